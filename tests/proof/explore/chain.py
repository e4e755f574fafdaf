"""A world of one connection that several clients recover, under every interleaving.

The laws of this module: **one successor while it is pending** (law 7), **a chain stays one line
with one live end** (law 6), ranks never fall and a revocation is final (laws 1 and 2), access is
what was authorized (law 5), refusals change nothing (law 11), and each client's key has one
response (laws 9 and 12). A client that keeps trying gets its response.

Clients reconnect, each with its own key or all with one, through `decide` and `respond`; a hosted
page reports that the patient authorized the old connection in time; hand-offs land, lapse and
expire; the patient, the app and the upstream revoke. Every load and commit is a separate step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, cast

import attrs

from curae_lifecycle.rules import connection as connections
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import ConnectionId, format_time
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import RecordWrite, Write
from curae_lifecycle.testing.laws import (
    RevocationAnswer,
    check_access,
    check_chain,
    check_nothing_changed,
    check_one_execution,
    check_one_pending_successor,
    check_rank_never_falls,
    check_replay,
    check_revocation,
)
from curae_lifecycle.web.respond import respond
from tests.proof.explore.clients import START, Change, Step, Taken
from tests.proof.explore.engine import Line
from tests.proof.explore.pasts import HOUR, PASTS, old_connection
from tests.proof.explore.rows import Stores, compared_and_set, loaded, loaded_for
from tests.proof.explore.scene import CALLER, CREATE, KEY, PACKAGES, REGISTER, TICK, new_ids, post

REPORT: Final = "hosted page"
"""The action of the hosted page's worker."""


@attrs.frozen(cache_hash=True)
class Plan:
    """The pending commit of a worker, and its response.

    Attributes:
        writes: The writes of the commit, all or none.
        answer: The response to a request; None if the page reports a fact.
        changed: Whether it is more than a record.
        replayed: Whether the response is a replay.
    """

    writes: tuple[Write, ...]
    answer: Response | None
    changed: bool
    replayed: bool = False


@attrs.frozen(cache_hash=True)
class ChainClient:
    """One client, or the hosted page.

    Attributes:
        page: Whether it is the page that reports a late authorization.
        target: The connection of the chain that it asks for.
        follows: How often it still follows the successor that a refusal names.
        record: The record of its own key, if each client has one.
        effect: The first response of its key.
        plans: The pending commits of its workers.
        coming: Responses on their way.
        got: The response that it received.
        over: Whether the page's report was accepted.
    """

    page: bool = False
    target: int = 0
    follows: int = 1
    record: Record | None = None
    effect: Response | None = None
    plans: tuple[Plan, ...] = ()
    coming: tuple[Response, ...] = ()
    got: Response | None = None
    over: bool = False


@attrs.frozen
class ChainStore:
    """The chain, and the record if all share a key.

    Attributes:
        now: The time of the clock.
        faults: How many faults may still happen.
        chain: The connections, first to last.
        record: The record of the shared key.
        effect: The first response of the shared key.
    """

    now: datetime
    faults: int
    chain: tuple[Connection, ...]
    record: Record | None = None
    effect: Response | None = None


@attrs.frozen
class Chain:
    """Several clients of one predecessor.

    Attributes:
        clients: The number of clients.
        faults: The number of faults that may happen.
        shared_key: Whether all send the same request with the same key.
        page: Whether the hosted page reports that the old connection was authorized in time.
        follows: How often a client follows the successor that a refusal names.
        roots: The states of the old connection: LAPSED, ACTION_REQUIRED, EXPIRED by the clock or
            early by its upstream, REVOKED.
        happens: Whether patients, apps and the upstream act meanwhile.
        steps_back: Whether a request may also be decided on a clock that is back at the start.
        compares: Whether the store compares before it sets.
    """

    clients: int = 2
    faults: int = 1
    shared_key: bool = False
    page: bool = True
    follows: int = 0
    roots: tuple[str, ...] = ("LAPSED", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
    happens: bool = True
    steps_back: bool = False
    compares: bool = True

    promise = "every client gets its answer and every report is taken"

    def starts(self) -> Iterator[tuple[ChainStore, tuple[ChainClient, ...]]]:
        """Yield each old connection that may be recovered, before any request."""
        client = ChainClient(follows=self.follows)
        clients = (client,) * self.clients + (ChainClient(page=True),) * self.page
        for root in self.roots:
            yield ChainStore(START, self.faults, (old_connection(root),)), clients

    def done(self, client: ChainClient) -> bool:
        """Return whether the client has its response."""
        return client.over if client.page else client.got is not None

    def now(self, store: ChainStore) -> datetime:
        """Return the time of the clock."""
        return store.now

    def hidden_steps(
        self, store: ChainStore, client: ChainClient
    ) -> Iterator[Step[ChainStore, ChainClient]]:
        """Yield responses that arrive or are lost, which only their client sees."""
        if client.coming:
            yield from self._arrivals(store, client)

    def client_steps(
        self, store: ChainStore, client: ChainClient
    ) -> Iterator[Step[ChainStore, ChainClient]]:
        """Send and resend requests; let workers commit or die."""
        idle = not client.plans and not client.coming
        if idle and not self.done(client):
            yield from self._loads(store, client, "request")
        elif store.faults and not client.page and len(client.plans) + len(client.coming) <= 1:
            yield from self._loads(_fault(store), client, "duplicate request", fault=True)
        if client.coming:
            yield from self._arrivals(store, client)
        for plan in dict.fromkeys(client.plans):
            yield self._stores(store, client, plan)
            if store.faults:
                yield Step("worker dies", _fault(store), _planless(client, plan), fault=True)

    def _loads(
        self, store: ChainStore, client: ChainClient, what: str, *, fault: bool = False
    ) -> Iterator[Step[ChainStore, ChainClient]]:
        if client.page:
            root = store.chain[0]
            # The patient finished in time, and the report is late.
            happened = root.identity.created_at + TICK
            report = Authorized(root.id, store.now + HOUR, happened)
            taken = record_fact(report, loaded_for(report, store.chain), store.now)
            if isinstance(taken, Done):
                plan = Plan(taken.value.writes, None, changed=True)
                yield Step("reports the old authorization", store, _planned(client, plan))
            else:
                over = attrs.evolve(client, over=True)
                yield Step("reports the old authorization, too late", store, over)
            return
        named = store.chain[client.target]
        record = store.record if self.shared_key else client.record
        snapshot = attrs.evolve(loaded(store.chain, named.id), record=record)
        call = Call(CALLER, Reconnect(named.id), KEY.key)
        for now in dict.fromkeys((store.now, START) if self.steps_back else (store.now,)):
            ids = new_ids(len(store.chain) + 1, now)
            decision = decide(call, snapshot=snapshot, now=now, new_ids=ids)
            _check_clock_of_predecessor(call, snapshot, decision, ids=ids)
            answer = respond(decision)
            changed = decision.status < 400
            plan = Plan(
                writes=answer.changes.writes,
                answer=answer.response,
                changed=changed,
                replayed=answer.replayed,
            )
            behind = ", on a clock that is behind" if now < store.now else ""
            yield Step(
                what=f"{what} is decided: {answer.response.status}{behind}",
                store=store,
                client=_planned(client, plan),
                fault=fault,
            )

    def _stores(
        self, store: ChainStore, client: ChainClient, plan: Plan
    ) -> Step[ChainStore, ChainClient]:
        rest = _planless(client, plan)
        record = store.record if self.shared_key else client.record
        stored = _compared_and_set(store.chain, record, plan.writes, compares=self.compares)
        if stored is None:
            return Step("worker lost the race", store, rest)
        chain, record = stored
        if plan.answer is None:
            after = attrs.evolve(store, chain=chain)
            return Step("report is stored", after, attrs.evolve(rest, over=True))
        coming = tuple(sorted((*client.coming, plan.answer), key=_body))
        if self.shared_key:
            effect = store.effect or plan.answer
            after = attrs.evolve(store, chain=chain, record=record, effect=effect)
            return Step("answer is stored", after, attrs.evolve(rest, coming=coming))
        effect = client.effect or plan.answer
        answered = attrs.evolve(rest, coming=coming, record=record, effect=effect)
        return Step("answer is stored", attrs.evolve(store, chain=chain), answered)

    def _arrivals(
        self, store: ChainStore, client: ChainClient
    ) -> Iterator[Step[ChainStore, ChainClient]]:
        answer, *others = client.coming
        left = attrs.evolve(client, coming=tuple(others))
        next_id = _next_id(answer)
        if client.got is not None:
            yield Step("answer arrives again", store, left)
        elif next_id is not None and client.follows:
            ids = [each.id for each in store.chain]
            # A new decision needs a new key.
            onward = ChainClient(target=ids.index(next_id), follows=client.follows - 1)
            yield Step("answer names the successor, client goes on to it", store, onward)
        else:
            yield Step("answer arrives", store, attrs.evolve(left, got=answer))
        if store.faults:
            yield Step("answer is lost", _fault(store), left, fault=True)

    def server_steps(self, store: ChainStore) -> Iterator[Change[ChainStore]]:
        """Land hand-offs, fail upstreams, and revoke as patient and app."""
        first, *later = store.chain
        head = later[-1] if later else first
        if later:
            landed = Authorized(head.id, store.now + HOUR)
            yield from self._fact(_LANDS, store, landed)
        if self.happens:
            failed = ActionRequired(head.id, "portal_login")
            yield from self._fact("newest needs an action", store, failed)
            yield from self._fact(_ENDS, store, Revoked(head.id, Actor.UPSTREAM))
            for actor in Actor:
                revoked = Revoked(first.id, actor)
                yield from self._fact(f"{actor} revokes the first", store, revoked)

    def _fact(self, what: str, store: ChainStore, fact: Fact) -> Iterator[Change[ChainStore]]:
        answer = record_fact(fact, loaded_for(fact, store.chain), store.now)
        if isinstance(answer, Done):
            stored = _compared_and_set(store.chain, None, answer.value.writes)
            assert stored is not None
            yield Change(what, attrs.evolve(store, chain=stored[0]))

    def clock_steps(self, store: ChainStore, busy: bool) -> Iterator[Change[ChainStore]]:  # noqa: FBT001 - the parameter says which
        """Move to the last instant before the newest connection's deadline, and to the deadline."""
        del busy
        ends = connections.next_deadline(store.chain[-1], era=None)
        if ends is None or len(store.chain) == 1:
            return
        for instant in (ends - TICK, ends):
            if store.now < instant:
                yield Change(
                    "newest is nearly over" if instant < ends else "newest is over",
                    attrs.evolve(store, now=instant),
                )
                return

    def busy(self, store: ChainStore, client: ChainClient) -> bool:
        """Return False: time ends no work here."""
        del store, client
        return False

    def check(
        self,
        before: ChainStore,
        after: ChainStore,
        had: ChainClient | None,
        has: ChainClient | None,
    ) -> None:
        """Check laws 1, 2, 5, 6, 7, 9, 11 and 12."""
        if after.chain != before.chain:
            _check_connections(before.chain, after)
        if had is not None and has is not None:
            effect = before.effect if self.shared_key else had.effect
            for plan in has.plans:
                if plan not in had.plans:
                    _check_plan(plan, effect)
            kept = effect or (after.effect if self.shared_key else has.effect)
            answers = [answer for answer in has.coming if answer not in had.coming]
            if kept is not None and answers:
                check_one_execution([kept, *answers], 1)

    def moved_store(self, store: ChainStore, by: timedelta) -> ChainStore:
        """Return the store unchanged: bodies contain times, so responses are kept."""
        del by
        return store

    def moved_client(self, client: ChainClient, by: timedelta) -> ChainClient:
        """Return the client unchanged."""
        del by
        return client

    def opening(self, store: ChainStore) -> Iterable[Line]:
        """Return the registration of one API key, and the old connection with its past."""
        old = store.chain[0]
        made = old.identity.created_at
        lines: list[Line] = [
            {"at": format_time(made), **REGISTER},
            {"at": format_time(made), "as": "c1", **CREATE},
        ]
        for past in PASTS.get(old.status, ()):
            fact = {"connectionId": "{c1.connection.id}", **past}
            lines.append({"at": format_time(made + TICK), "fact": fact})
        return lines

    def line(self, taken: Taken[ChainStore, ChainClient]) -> Line | None:
        """Return a line for a committed request, and for a fact."""
        what, client, chain = taken.what, taken.client, taken.store.chain
        broken = taken.after is None and what.startswith("request is decided")
        if client is not None and (broken or what == "answer is stored"):
            # A client keeps its key until it asks for another connection.
            key = "k-2" if self.shared_key else f"{taken.who}, {client.target}".replace(" ", "-")
            request = post(f"connections/{_name(client.target)}:reconnect", key)
            minted = taken.after is not None and len(taken.after.chain) > len(chain)
            return {"as": f"c{len(chain) + 1}", **request} if minted else request
        if what == "report is stored":
            fact: Line = {
                "type": "connection.authorize",
                "expiresAt": format_time(taken.store.now + HOUR),
                "happenedAt": format_time(chain[0].identity.created_at + TICK),
            }
            return {"fact": {"connectionId": _name(0), **fact}}
        if what == _LANDS:
            ends = format_time(taken.store.now + HOUR)
            fact = {"type": "connection.authorize", "expiresAt": ends}
            return {"fact": {"connectionId": _name(len(chain) - 1), **fact}}
        if what not in _FACTS:
            return None
        place = 0 if what.endswith("the first") else len(chain) - 1
        return {"fact": {"connectionId": _name(place), **_FACTS[what]}}


def _name(place: int) -> str:
    return f"{{c{place + 1}.connection.id}}"


_LANDS: Final = "hand-off of the newest lands"
_ENDS: Final = "UPSTREAM revokes the newest"
_FACTS: Final[dict[str, Line]] = {
    "newest needs an action": {"type": "connection.require_action", "reason": "portal_login"},
    _ENDS: {"type": "connection.revoke", "actor": str(Actor.UPSTREAM)},
    **{
        f"{actor} revokes the first": {"type": "connection.revoke", "actor": str(actor)}
        for actor in Actor
    },
}


def _compared_and_set(
    chain: tuple[Connection, ...],
    record: Record | None,
    writes: tuple[Write, ...],
    *,
    compares: bool = True,
) -> tuple[tuple[Connection, ...], Record | None] | None:
    for write in writes:
        if isinstance(write, RecordWrite):
            if compares and record != write.before:
                return None
            record = write.after
    stored = compared_and_set(chain, binding=None, writes=writes, store=Stores(compares=compares))
    return None if stored is None else (stored[0], record)


def _check_connections(before: tuple[Connection, ...], after: ChainStore) -> None:
    check_rank_never_falls([*before, *after.chain])
    check_one_pending_successor((), stored=after.chain)
    check_chain(after.chain, after.now, era=None)
    for old, new in zip(before, after.chain, strict=False):
        if old.revoked_at is not None:
            seen = RevocationAnswer(new.id, revoked_now=False, revoked_at=new.revoked_at)
            check_revocation(
                [attrs.evolve(seen, revoked_at=old.revoked_at), seen], revoked=[new.id]
            )
    for each in after.chain:
        for package in (*PACKAGES, "other"):
            check_access(each, package, after.now, era=None)


def _check_clock_of_predecessor(
    call: Call, snapshot: Snapshot, decision: Decision, ids: NewIds
) -> None:
    """Check that the last write of a revoked connection does not change what its successor gets."""
    named = snapshot.connection
    if named is None or named.revoked_at is None or snapshot.successor is None:
        return
    earlier = attrs.evolve(named, updated_at=named.identity.created_at)
    moved = attrs.evolve(snapshot, connection=earlier)
    assert decide(call, moved, decision.decided_at, new_ids=ids).reply == decision.reply


def _check_plan(plan: Plan, effect: Response | None) -> None:
    changes = Changes(plan.writes)
    if plan.replayed:
        assert effect is not None
        assert plan.answer is not None
        check_replay(effect, plan.answer, changes)
    elif not plan.changed:
        check_nothing_changed(None, None, changes)


def _next_id(answer: Response) -> ConnectionId | None:
    document = cast("dict[str, object]", json.loads(answer.body))
    details = cast("dict[str, str]", document.get("details", {}))
    named = details.get("nextConnectionId")
    return None if named is None else ConnectionId(named)


def _body(answer: Response) -> bytes:
    return answer.body


def _fault(store: ChainStore) -> ChainStore:
    return attrs.evolve(store, faults=store.faults - 1)


def _planned(client: ChainClient, plan: Plan) -> ChainClient:
    return attrs.evolve(client, plans=tuple(sorted((*client.plans, plan), key=repr)))


def _planless(client: ChainClient, plan: Plan) -> ChainClient:
    rest = list(client.plans)
    rest.remove(plan)
    return attrs.evolve(client, plans=tuple(rest))
