"""A check that sends random steps to the server and to `MemoryStore`, and compares the responses.

The laws of this module:

- **`MemoryStore` is the oracle.** It adopts what the server may choose (ids, URLs, the lifetime of
  a next action) and follows the server's clock.
- **A failure is shown as a short log** that `replay` can read. In at most `TRIALS` further runs the
  check drops steps, as long as the server and the store still differ.
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
from curae_lifecycle.service.facts.fact import ConnectionFact, Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.registry import FACTS as FACT_CLASSES
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
    lasting,
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
from curae_lifecycle.testing.conformance.triggers import GENERIC_HOOK, example_fact
from curae_lifecycle.testing.conformance.wording import format_value, status_and_code
from curae_lifecycle.testing.log_format import format_caller, format_fact
from curae_lifecycle.web.request import Request

ROUNDS: Final = 3
"""How often a server is compared with a `MemoryStore`, each time by other random steps."""

LENGTH: Final = 120
"""How many random requests, facts and pauses a comparison with a `MemoryStore` has."""

TRIALS: Final = 60
"""How many shorter lists of requests and facts are tried, at most, to shorten one that fails."""

SLACK: Final = timedelta(seconds=15)
"""How far a server's clock, and the times in its responses, may differ from a `MemoryStore`'s."""

LIFETIME: Final = timedelta(minutes=30)
"""How long a next action (a page to show) is taken to be valid if no response shows its end."""

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
"""The kinds of random request that a server and a `MemoryStore` get, each with its weight.

A kind with a larger weight is drawn more often. `again` repeats an earlier request, `reuse` reuses
an idempotency key, `stranger` asks as an app of another account, and `burst` exceeds the limit of
initiates.
"""

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
"""The hooks (functions of a server) to call at random, with weights, if the server has them."""

OTHER_FACTS: Final[dict[str, type[Fact]]] = {
    kind.kind: kind
    for kind in FACT_CLASSES
    if issubclass(kind, ConnectionFact)
    and kind not in {Authorized, ActionRequired, Expired, Revoked}
}
"""The facts about connections, by `kind`, that only the server's function `record_fact` records."""

OTHER_FACT_WEIGHT: Final = 4
"""The weight of each fact of `OTHER_FACTS` in a random choice, if the server has `record_fact`."""

# All are multiples of 10 s. Short sums of them miss the deadlines of the rules by 10 s or more.
SPANS: Final = tuple(timedelta(seconds=each) for each in (70, 70, 660, 2820, 18_600, 90_000))


@attrs.frozen
class ModelStep:
    """One random step, done on both sides when a server is compared with a `MemoryStore`.

    Attributes:
        kind: The request, fact or pause: a key of `REQUESTS`, `FACTS` or `OTHER_FACTS`.
        pick: A random number that selects the values of the step, such as its user.
    """

    kind: str
    pick: int


def draw_steps(seed: str, hooks: frozenset[str]) -> list[ModelStep]:
    """Draw random requests, facts and pauses, by which a server is compared with a `MemoryStore`.

    Args:
        seed: The seed; the same seed gives the same steps.
        hooks: The names of the hooks that the server has, such as `expire`; others are not drawn.
    """
    draw = Random(seed)  # noqa: S311 - a test's choices, not secrets
    weights = REQUESTS | {name: weight for name, weight in FACTS.items() if name in hooks}
    if GENERIC_HOOK in hooks:
        weights |= dict.fromkeys(OTHER_FACTS, OTHER_FACT_WEIGHT)
    kinds = draw.choices(list(weights), list(weights.values()), k=LENGTH)
    return [ModelStep(kind, draw.getrandbits(32)) for kind in kinds]


@attrs.frozen
class Difference:
    """The first difference in a run between the server under test and a `MemoryStore`.

    Attributes:
        position: The index of the step that showed the difference, from 0.
        what: A sentence that says what differs.
        log: The lines of the run's log up to that step, which the command `replay` can read.
    """

    position: int
    what: str
    log: tuple[str, ...]


CHECKS: Final = Checks()


@CHECKS.add("model.side-by-side", laws=(1, 2, 6, 7, 8, 9, 11, 12, 15))
def _side_by_side(app: App) -> Steps[None]:
    """Responses to hundreds of random requests and facts equal those of the library's own store."""
    has_time = app.context.max_time_per_check >= sum(SPANS, LIFETIME)
    hooks = app.context.hooks if has_time else app.context.hooks - {"pass_time"}
    for number in range(ROUNDS):
        steps = draw_steps(f"{app.context.seed} {number}", hooks)
        found = yield from _compare(app.context, steps)
        if found is not None:
            shortest = yield from _shorten(app.context, steps[: found.position + 1], found)
            log = "\n    ".join(shortest.log)
            raise NotConformingError(f"{shortest.what}, in the last line of this log:\n    {log}")


def _shorten(kit: CheckContext, steps: list[ModelStep], found: Difference) -> Steps[Difference]:
    # Drops ever smaller groups of steps, as long as the rest still shows a difference.
    size, trials = max(1, len(steps) // 2), 0
    while trials < TRIALS:
        start, dropped = 0, False
        while start < len(steps) - 1 and trials < TRIALS:
            fewer = steps[:start] + steps[min(start + size, len(steps) - 1) :]
            trials += 1
            difference = yield from _compare(kit, fewer)
            if difference is None:
                start += size
            else:
                steps, found, dropped = fewer[: difference.position + 1], difference, True
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return found


def _compare(kit: CheckContext, steps: list[ModelStep]) -> Steps[Difference | None]:
    comparison = _Comparison(kit)
    what = yield from comparison.begin()
    for number, step in enumerate(steps):
        if what is not None:
            return Difference(max(0, number - 1), what, tuple(comparison.log))
        what = yield from comparison.run(step)
    return None if what is None else Difference(len(steps) - 1, what, tuple(comparison.log))


class _Comparison:
    """A run that does each step on the server and a `MemoryStore`, and returns what differs."""

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
        """Make two apps of one account and one of another; the first response sets the clock."""
        account = self.names.uuid()
        for owner in (account, account, self.names.uuid()):
            self.apps.append((yield from client.new_app(self.kit, account=owner)))
        first = self.apps[0].create(self.users[0])
        answer = yield from send(first)
        for member in ("createdAt", "updatedAt"):
            self.now = _instant(_text(client.parsed(answer), "connection", member)) or self.now
        for number, app in enumerate(self.apps):
            self._register(number, app)
        return self._judge(0, first, answer)

    def _register(self, number: int, app: App) -> None:
        # The caller's id follows from an alias, so that the log does not show the real API key.
        alias = self._alias(number)
        caller = caller_of(alias, app.key_request)
        self.store.register(ApiKey(app.api_key), caller)
        self._log(register=format_caller(alias, caller))

    def run(self, step: ModelStep) -> Steps[str | None]:
        """Run one step on both sides and return what differs, or None."""
        if step.kind == "pass_time":
            span = SPANS[step.pick % len(SPANS)]
            yield from wait(span)
            self.now += span
            self.store.purge(self.now)
            return None
        if step.kind in FACTS or step.kind in OTHER_FACTS:
            return (yield from self._fact(step))
        if step.kind == "burst":
            return (yield from self._burst(step))
        if step.kind == "again":
            # Counted from the end, so that dropping earlier steps does not change the pick.
            sender, request, _ = self.sent[-1 - step.pick % min(12, len(self.sent))]
            return (yield from self._request(sender, request))
        sender = 2 if step.kind == "stranger" else step.pick % 2
        return (yield from self._request(sender, self._build(self.apps[sender], step)))

    def _burst(self, step: ModelStep) -> Steps[str | None]:
        # One initiate more than a minute admits.
        user = self.users[step.pick // 2 % len(self.users)]
        for _ in range(INITIATES_PER_MINUTE + 1):
            what = yield from self._request(step.pick % 2, self.apps[step.pick % 2].initiate(user))
            if what is not None:
                return what
        return None

    # --- Requests ---------------------------------------------------------------------------

    def _build(self, app: App, step: ModelStep) -> Request:
        user = self.users[step.pick // 2 % len(self.users)]
        match step.kind:
            case "create":
                return app.create(user, ("clinical_summary", "labs")[: 1 + step.pick // 8 % 2])
            case "initiate":
                return app.initiate(user, prefer_signup=(None, False, True)[step.pick // 8 % 3])
            case "account-state":
                return app.account_state(user)
            case "graduation":
                return app.graduate(user)
            case "reuse":
                headers = [header for _, request, _ in self.sent for header in request.headers]
                used = [key for name, key in headers if name == "Idempotency-Key"]
                return app.create(
                    user, ("other",), key=used[-1 - step.pick // 8 % min(4, len(used))]
                )
            case _:
                return self._on_connection(app, step)

    def _on_connection(self, app: App, step: ModelStep) -> Request:
        # One of the four newest connections, so that most steps meet a connection that can change.
        connection_id = self.connections[-1 - step.pick // 8 % min(4, len(self.connections))]
        match step.kind:
            case "reconnect":
                return app.reconnect(connection_id)
            case "app-revoke":
                return app.revoke(connection_id)
            case "get":
                return app.get(connection_id)
            case _:
                builds = (app.get, app.revoke, app.reconnect)
                return builds[step.pick // 64 % len(builds)](connection_id)

    def _request(self, sender: int, request: Request) -> Steps[str | None]:
        return self._judge(sender, request, (yield from send(request)))

    def _judge(self, sender: int, request: Request, theirs: Response) -> str | None:
        body = client.parsed(theirs)
        self._follow_clock(body)
        ours = serve(
            self.store, request, lambda _: self._new_ids(body), settings=self.store.settings
        )
        response = {"status": theirs.status, "body": body}
        self._log(request=self._describe(sender, request), response=response)
        sent = self.sent if ours.replayed else []
        # An equal request, built anew, may have used the key. Those of two apps are never equal.
        earlier = [answer for _, each, answer in sent if each == request]
        if earlier and lasting(theirs, self.kit.varying) != lasting(earlier[-1], self.kit.varying):
            got = client.in_short(theirs)
            return f"the retry got {got}, which differs from the first response"
        self.sent.append((sender, request, theirs))
        for member, ids in (("connection", self.connections), ("session", self.sessions)):
            made = _text(body, member, "id")
            if made is not None and made not in ids:
                ids.append(made)
        return _differs(theirs, body, ours=ours.response, rule=ours.rules[-1])

    def _follow_clock(self, body: object) -> None:
        # A new response shows the server's clock; a replayed one shows an earlier instant.
        for member, name in (("connection", "updatedAt"), ("session", "createdAt")):
            instant = _instant(_text(body, member, name))
            if instant is not None and self.now < instant <= self.now + SLACK:
                self.now = instant

    def _new_ids(self, body: object) -> NewIds:
        end = _instant(_text(body, "nextAction", "expiresAt"))
        url = _text(body, "nextAction", "url")
        return NewIds(
            connection_id=values.ConnectionId(
                self._new_id(_text(body, "connection", "id"), self.connections)
            ),
            session_id=values.SessionId(self._new_id(_text(body, "session", "id"), self.sessions)),
            user_id=values.UserId(self.names.word("limited")),
            next_action=values.NextAction(
                url or "https://connect.example/none",
                end if end is not None and end > self.now else self.now + LIFETIME,
            ),
        )

    def _new_id(self, shown: str | None, taken: list[str]) -> str:
        # The store adopts a new id that the server's response shows.
        try:
            adopted = values.parse_uuid("id", shown)
        except ArgumentError:
            return self.names.uuid()
        return self.names.uuid() if adopted in taken else adopted

    # --- Facts ------------------------------------------------------------------------------

    def _fact(self, step: ModelStep) -> Steps[str | None]:
        built = self._build_fact(step)
        if built is None:
            return None
        fact, arguments = built
        hook = GENERIC_HOOK if step.kind in OTHER_FACTS else step.kind
        theirs = yield from use(hook, *arguments)
        answer = record(self.store, fact)
        self._log(fact=format_fact(fact))
        ours = outcome_name(answer)
        if theirs is None or theirs == ours:
            return None
        return f"the outcome of the fact is {theirs} instead of {ours} (rule {answer.rules[-1]})"

    def _build_fact(self, step: ModelStep) -> tuple[Fact, tuple[object, ...]] | None:
        # The fact, and the arguments of its hook.
        coordinate = self.apps[step.pick % 2].coordinate(self.users[step.pick // 2 % 3])
        match step.kind:
            case "tombstone":
                return Tombstoned(coordinate), (coordinate,)
            case "graduate":
                return Graduated(coordinate), (coordinate, None)
            case "complete_handoff":
                if not self.sessions:
                    return None
                session_id = self.sessions[-1 - step.pick % min(3, len(self.sessions))]
                user_id = f"platform-user-{step.pick // 8 % 2}"
                fact = HandoffCompleted(values.SessionId(session_id), values.UserId(user_id))
                return fact, (session_id, user_id)
            case _:
                connection_id = self.connections[-1 - step.pick % min(4, len(self.connections))]
                return self._connection_fact(step, values.ConnectionId(connection_id))

    def _connection_fact(
        self, step: ModelStep, connection_id: values.ConnectionId
    ) -> tuple[Fact, tuple[object, ...]]:
        if step.kind in OTHER_FACTS:
            fact = example_fact(OTHER_FACTS[step.kind], connection_id)
            return fact, (fact,)
        match step.kind:
            case "authorize":
                lifetime = (None, timedelta(hours=1), timedelta(hours=5))[step.pick // 8 % 3]
                end = None if lifetime is None else self.now + lifetime
                return Authorized(connection_id, end), (connection_id, lifetime)
            case "require_action":
                return ActionRequired(connection_id, REASON), (connection_id, REASON)
            case "expire":
                return Expired(connection_id), (connection_id,)
            case _:
                actor = (Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM)[step.pick // 8 % 3]
                return Revoked(connection_id, actor), (connection_id, actor)

    # --- The log ----------------------------------------------------------------------------

    def _log(self, **members: object) -> None:
        line = {"at": values.format_time(self.now), **members}
        self.log.append(json.dumps(line, ensure_ascii=False))

    def _alias(self, number: int) -> str:
        return f"cae_{self.kit.environment}_app_{number + 1}"

    def _describe(self, sender: int, request: Request) -> dict[str, object]:
        # The real API key must not be in the log.
        headers = {name: value for name, value in request.headers if name != "Authorization"}
        described: dict[str, object] = {
            "method": request.method,
            "path": request.target,
            "headers": {"Authorization": f"Bearer {self._alias(sender)}", **headers},
        }
        if request.body:
            described["body"] = json.loads(cast("bytes", request.body))
        return described


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

_SERVER_CHOSEN: Final = frozenset({"type", "title", "detail", "instance", "url"})
"""Members whose text the server chooses; they are not compared."""

_APPROXIMATE: Final = frozenset({"retryAfter"})
"""Members that may differ by `SLACK`."""


def _differs(theirs: Response, body: object, ours: Response, rule: str) -> str | None:
    due = client.parsed(ours)
    got, wanted = status_and_code(theirs.status, body), status_and_code(ours.status, due)
    what = f"answered {got} instead of {wanted}" if got != wanted else None
    what = what or _difference("body", body, due)
    return what and f"{what} (rule {rule})"


def _difference(path: str, theirs: object, ours: object) -> str | None:
    def differs() -> str:
        return f"{path} is {format_value(theirs)} instead of {format_value(ours)}"

    name = path.rpartition(".")[2]
    if isinstance(theirs, dict) and isinstance(ours, dict):
        left, right = cast("dict[str, object]", theirs), cast("dict[str, object]", ours)
        for each in sorted((left.keys() | right.keys()) - _SERVER_CHOSEN):
            if each not in left or each not in right:
                return f"{path}.{each} is {'missing' if each in right else 'not a listed member'}"
            found = _difference(f"{path}.{each}", left[each], right[each])
            if found is not None:
                return found
        return None
    if name in _APPROXIMATE and isinstance(theirs, int) and isinstance(ours, int):
        is_same = abs(theirs - ours) <= SLACK.seconds
    elif isinstance(theirs, str) and isinstance(ours, str):
        is_same = _same_text(name, theirs, ours)
    else:
        is_same = theirs == ours
    return None if is_same else differs()


def _same_text(name: str, theirs: str, ours: str) -> bool:
    if theirs == ours:
        return True
    if name == "status":
        return {theirs, ours} == {"ACTIVE", "AUTHORIZED"}
    left, right = _instant(theirs), _instant(ours)
    return left is not None and right is not None and abs(left - right) <= SLACK
