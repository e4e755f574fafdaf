"""A seeded run beside the library's own store: every answer compared, the shortest failure shown.

The laws of this module: **the store in memory is the oracle**, it adopts what a server may choose (ids,
URLs, how long a next action lives) and follows the server's clock; **a failure is shown as a
log**, made as short as dropping steps can make it, so that it can be replayed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, cast

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import (
    INITIATES_PER_MINUTE,
    App,
    in_short,
    lasting,
    new_app,
)
from curae_lifecycle.testing.conformance.connections import REASON
from curae_lifecycle.testing.conformance.fact_hooks import caller_of, outcome_name
from curae_lifecycle.testing.conformance.steps import (
    CheckContext,
    Names,
    NotConformingError,
    Steps,
    send,
    use,
    wait,
)
from curae_lifecycle.testing.log_format import format_caller, format_fact
from curae_lifecycle.web.request import Request

ROUNDS: Final = 3
LENGTH: Final = 120
TRIALS: Final = 60
"""How many shorter runs are tried at most, once one has failed."""

SLACK: Final = timedelta(seconds=15)
"""How far the server's clock may run ahead of what its answers have shown."""

LIFETIME: Final = timedelta(minutes=30)

REQUESTS: Final = {
    "create": 10,
    "get": 14,
    "reconnect": 14,
    "app-revoke": 9,
    "initiate": 14,
    "account-state": 6,
    "graduation": 4,
    "again": 10,
    "reuse": 4,
    "stranger": 5,
    "burst": 2,
}
"""The requests of a run and how often each comes."""

FACTS: Final = {
    "authorize": 12,
    "require_action": 5,
    "expire": 4,
    "revoke": 3,
    "complete_handoff": 8,
    "graduate": 4,
    "tombstone": 3,
    "pass_time": 9,
}
"""The hooks of a run and how often each comes, where the server has it."""

# Sums of these keep clear of every deadline that the rules know by more than the slack.
SPANS: Final = tuple(timedelta(seconds=each) for each in (70, 70, 660, 2820, 18_600, 90_000))


@attrs.frozen
class Op:
    """One step, without ids: what it acts on is picked from what there is by then."""

    kind: str
    pick: int


def draw_steps(seed: str, hooks: frozenset[str]) -> list[Op]:
    """The steps of a run."""
    draw = Random(seed)  # noqa: S311 - a test's choices, not secrets
    weights = REQUESTS | {name: weight for name, weight in FACTS.items() if name in hooks}
    kinds = draw.choices(list(weights), list(weights.values()), k=LENGTH)
    return [Op(kind, draw.getrandbits(32)) for kind in kinds]


@attrs.frozen
class Difference:
    """Where the server and the store part: at which step, what differs, and the log up to there."""

    at: int
    what: str
    log: tuple[str, ...]


CHECKS: Final = Checks()


@CHECKS.add("model.side-by-side", laws=(1, 2, 6, 7, 8, 9, 11, 12, 15))
def _against_the_store(app: App) -> Steps[None]:
    """Hundreds of requests and facts in any order are answered as the library's own store does."""
    enough = app.context.max_time_per_check >= sum(SPANS, LIFETIME)
    hooks = app.context.hooks if enough else app.context.hooks - {"pass_time"}
    for number in range(ROUNDS):
        ops = draw_steps(f"{app.context.seed} {number}", hooks)
        found = yield from _trial(app.context, ops)
        if found is not None:
            shortest = yield from _shortest(app.context, ops[: found.at + 1], found)
            log = "\n    ".join(shortest.log)
            raise NotConformingError(f"{shortest.what}, in the last line of this log:\n    {log}")


def _shortest(kit: CheckContext, ops: list[Op], found: Difference) -> Steps[Difference]:
    # Drops ever smaller runs of steps, as long as what is left still fails.
    size, trials = max(1, len(ops) // 2), 0
    while trials < TRIALS:
        start, dropped = 0, False
        while start < len(ops) - 1 and trials < TRIALS:
            fewer = ops[:start] + ops[min(start + size, len(ops) - 1) :]
            trials += 1
            still = yield from _trial(kit, fewer)
            if still is None:
                start += size
            else:
                ops, found, dropped = fewer[: still.at + 1], still, True
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return found


def _trial(kit: CheckContext, ops: list[Op]) -> Steps[Difference | None]:
    side = _SideBySide(kit)
    what = yield from side.begin()
    for number, op in enumerate(ops):
        if what is not None:
            return Difference(max(0, number - 1), what, tuple(side.log))
        what = yield from side.step(op)
    return None if what is None else Difference(len(ops) - 1, what, tuple(side.log))


class _SideBySide:
    """A server and a store that are asked the same."""

    def __init__(self, kit: CheckContext) -> None:
        self.kit = kit
        self.names: Names = kit.names
        self.store = MemoryStore(clock=lambda: self.now)
        self.now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
        self.apps: list[App] = []
        self.users = [kit.names.word("user") for _ in range(3)]
        self.connections: list[str] = []
        self.sessions: list[str] = []
        self.sent: list[tuple[int, Request, Response]] = []
        self.log: list[str] = []

    def begin(self) -> Steps[str | None]:
        """Two apps of one account and one of another; a first answer, which tells the time."""
        account = self.names.uuid()
        for owner in (account, account, self.names.uuid()):
            self.apps.append((yield from new_app(self.kit, account=owner)))
        first = self.apps[0].create(self.users[0])
        answer = yield from send(first)
        for member in ("createdAt", "updatedAt"):
            self.now = _instant(_text(client.parsed(answer), "connection", member)) or self.now
        for number, app in enumerate(self.apps):
            self._register(number, app)
        return self._judge(0, first, answer)

    def _register(self, number: int, app: App) -> None:
        # What a real key is called stays out of the store, too.
        alias = self._alias(number)
        caller = caller_of(alias, app.key_request)
        self.store.register(ApiKey(app.api_key), caller)
        self._note(register=format_caller(alias, caller))

    def step(self, op: Op) -> Steps[str | None]:
        """Do one step on both sides; what differs comes back."""
        if op.kind == "pass_time":
            span = SPANS[op.pick % len(SPANS)]
            yield from wait(span)
            self.now += span
            self.store.purge(self.now)
            return None
        if op.kind in FACTS:
            return (yield from self._fact(op))
        if op.kind == "burst":
            return (yield from self._burst(op))
        if op.kind == "again":
            # Counted from the end, so that dropping earlier steps leaves the pick alone.
            by, request, _ = self.sent[-1 - op.pick % min(12, len(self.sent))]
            return (yield from self._request(by, request))
        by = 2 if op.kind == "stranger" else op.pick % 2
        return (yield from self._request(by, self._build(self.apps[by], op)))

    def _burst(self, op: Op) -> Steps[str | None]:
        # One more than a minute admits.
        user = self.users[op.pick // 2 % len(self.users)]
        for _ in range(INITIATES_PER_MINUTE + 1):
            what = yield from self._request(op.pick % 2, self.apps[op.pick % 2].initiate(user))
            if what is not None:
                return what
        return None

    # --- Requests ---------------------------------------------------------------------------

    def _build(self, app: App, op: Op) -> Request:
        user = self.users[op.pick // 2 % len(self.users)]
        match op.kind:
            case "create":
                return app.create(user, ("clinical_summary", "labs")[: 1 + op.pick // 8 % 2])
            case "initiate":
                return app.initiate(user, prefer_signup=(None, False, True)[op.pick // 8 % 3])
            case "account-state":
                return app.account_state(user)
            case "graduation":
                return app.graduate(user)
            case "reuse":
                headers = [header for _, request, _ in self.sent for header in request.headers]
                used = [key for name, key in headers if name == "Idempotency-Key"]
                return app.create(user, ("other",), key=used[-1 - op.pick // 8 % min(4, len(used))])
            case _:
                return self._on_connection(app, op)

    def _on_connection(self, app: App, op: Op) -> Request:
        # A late one: what happens to a connection happens while it is young.
        connection_id = self.connections[-1 - op.pick // 8 % min(4, len(self.connections))]
        match op.kind:
            case "reconnect":
                return app.reconnect(connection_id)
            case "app-revoke":
                return app.revoke(connection_id)
            case "get":
                return app.get(connection_id)
            case _:
                builds = (app.get, app.revoke, app.reconnect)
                return builds[op.pick // 64 % len(builds)](connection_id)

    def _request(self, by: int, request: Request) -> Steps[str | None]:
        return self._judge(by, request, (yield from send(request)))

    def _judge(self, by: int, request: Request, theirs: Response) -> str | None:
        body = client.parsed(theirs)
        self._follow(body)
        ours = serve(self.store, request, lambda _: self._fresh(body), settings=self.store.settings)
        response = {"status": theirs.status, "body": body}
        self._note(request=self._told(by, request), response=response)
        earlier = [answer for who, each, answer in self.sent if who == by and each is request]
        if ours.replayed and earlier:
            varying = self.kit.varying
            if lasting(theirs, varying) != lasting(earlier[-1], varying):
                return f"answered {in_short(theirs)}, and not the first answer again"
        self.sent.append((by, request, theirs))
        for member, ids in (("connection", self.connections), ("session", self.sessions)):
            made = _text(body, member, "id")
            if made is not None and made not in ids:
                ids.append(made)
        return _differs(theirs, ours.response, ours.rules[-1])

    def _follow(self, body: object) -> None:
        # A fresh answer tells the server's clock; a replayed one only what it was.
        for member, name in (("connection", "updatedAt"), ("session", "createdAt")):
            instant = _instant(_text(body, member, name))
            if instant is not None and self.now < instant <= self.now + SLACK:
                self.now = instant

    def _fresh(self, body: object) -> NewIds:
        end = _instant(_text(body, "nextAction", "expiresAt"))
        url = _text(body, "nextAction", "url")
        return NewIds(
            connection_id=values.ConnectionId(
                self._fresh_id(_text(body, "connection", "id"), self.connections)
            ),
            session_id=values.SessionId(
                self._fresh_id(_text(body, "session", "id"), self.sessions)
            ),
            user_id=values.UserId(self.names.word("limited")),
            next_action=values.NextAction(
                url or "https://connect.example/none",
                end if end is not None and end > self.now else self.now + LIFETIME,
            ),
        )

    def _fresh_id(self, adopted: str | None, taken: list[str]) -> str:
        try:
            given = values.parse_uuid("id", adopted)
        except ArgumentError:
            return self.names.uuid()
        return self.names.uuid() if given in taken else given

    # --- Facts ------------------------------------------------------------------------------

    def _fact(self, op: Op) -> Steps[str | None]:
        made = self._made(op)
        if made is None:
            return None
        fact, arguments = made
        said = yield from use(op.kind, *arguments)
        answer = record(self.store, fact)
        self._note(fact=format_fact(fact))
        ours = outcome_name(answer)
        if said is None or said == ours:
            return None
        return f"the fact was answered {said} instead of {ours} (rule {answer.rules[-1]})"

    def _made(self, op: Op) -> tuple[Fact, tuple[object, ...]] | None:
        # The fact, and what its hook is called with.
        coordinate = self.apps[op.pick % 2].coordinate(self.users[op.pick // 2 % 3])
        match op.kind:
            case "tombstone":
                return Tombstoned(coordinate), (coordinate,)
            case "graduate":
                return Graduated(coordinate), (coordinate, None)
            case "complete_handoff":
                if not self.sessions:
                    return None
                session_id = self.sessions[-1 - op.pick % min(3, len(self.sessions))]
                user_id = f"platform-user-{op.pick // 8 % 2}"
                fact = HandoffCompleted(values.SessionId(session_id), values.UserId(user_id))
                return fact, (session_id, user_id)
            case _:
                named = self.connections[-1 - op.pick % min(4, len(self.connections))]
                return self._connection_fact(op, values.ConnectionId(named))

    def _connection_fact(
        self, op: Op, named: values.ConnectionId
    ) -> tuple[Fact, tuple[object, ...]]:
        match op.kind:
            case "authorize":
                lifetime = (None, timedelta(hours=1), timedelta(hours=5))[op.pick // 8 % 3]
                end = None if lifetime is None else self.now + lifetime
                return Authorized(named, end), (named, lifetime)
            case "require_action":
                return ActionRequired(named, REASON), (named, REASON)
            case "expire":
                return Expired(named), (named,)
            case _:
                actor = (Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM)[op.pick // 8 % 3]
                return Revoked(named, actor), (named, actor)

    # --- The log ----------------------------------------------------------------------------

    def _note(self, **members: object) -> None:
        self.log.append(
            json.dumps({"at": values.format_time(self.now), **members}, ensure_ascii=False)
        )

    def _alias(self, number: int) -> str:
        return f"cae_{self.kit.environment}_app_{number + 1}"

    def _told(self, by: int, request: Request) -> dict[str, object]:
        # The keys of a real server stay out of the log.
        given = {name: value for name, value in request.headers if name != "Authorization"}
        told_request: dict[str, object] = {
            "method": request.method,
            "path": request.target,
            "headers": {"Authorization": f"Bearer {self._alias(by)}", **given},
        }
        if request.body:
            told_request["body"] = json.loads(cast("bytes", request.body))
        return told_request


def _text(body: object, member: str, name: str) -> str | None:
    part = cast("dict[str, object]", body).get(member) if isinstance(body, dict) else None
    value = cast("dict[str, object]", part).get(name) if isinstance(part, dict) else None
    return value if isinstance(value, str) else None


def _instant(text: str | None) -> datetime | None:
    try:
        return values.parse_time("time", text)
    except ArgumentError:
        return None


# --- Comparing ------------------------------------------------------------------------------

_OWN_WORDS: Final = frozenset({"type", "title", "detail", "instance", "url"})
"""What every server says in its own words."""

_ROUGH: Final = frozenset({"retryAfter"})


def _differs(theirs: Response, ours: Response, rule: str) -> str | None:
    if in_short(theirs) != in_short(ours):
        return f"answered {in_short(theirs)} instead of {in_short(ours)} (rule {rule})"
    path = _difference("body", client.parsed(theirs), client.parsed(ours))
    return None if path is None else f"{path} (rule {rule})"


def _difference(path: str, theirs: object, ours: object) -> str | None:
    name = path.rpartition(".")[2]
    if isinstance(theirs, dict) and isinstance(ours, dict):
        left, right = cast("dict[str, object]", theirs), cast("dict[str, object]", ours)
        for each in sorted((left.keys() | right.keys()) - _OWN_WORDS):
            if each not in left or each not in right:
                return f"{path}.{each} is {'missing' if each in right else 'not listed'}"
            found = _difference(f"{path}.{each}", left[each], right[each])
            if found is not None:
                return found
        return None
    if name in _ROUGH and isinstance(theirs, int) and isinstance(ours, int):
        is_same = abs(theirs - ours) <= SLACK.seconds
    elif isinstance(theirs, str) and isinstance(ours, str):
        is_same = _same_text(name, theirs, ours)
    else:
        is_same = theirs == ours
    return None if is_same else f"{path} is {theirs!r} instead of {ours!r}"


def _same_text(name: str, theirs: str, ours: str) -> bool:
    if theirs == ours:
        return True
    if name == "status":
        return {theirs, ours} == {"ACTIVE", "AUTHORIZED"}
    left, right = _instant(theirs), _instant(ours)
    return left is not None and right is not None and abs(left - right) <= SLACK
