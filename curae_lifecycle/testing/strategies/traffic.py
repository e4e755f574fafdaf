"""Traffic: requests and facts in order of time, and everything that was made of each.

The law of this module: **a run of traffic is a list of independent turns, played in the order of
their instants** against one store, as a server would: read, load, decide, respond, store. So
whatever a snapshot, a decision or an answer drawn here holds, the rules have reached, and a
counterexample shrinks to the turns that matter. Nothing here is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import product
from typing import Final, TypeVar

import attrs
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    CustomerAccountId,
    DataPackage,
    Environment,
    SessionId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, SessionWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.factories import build, can_build
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.connection import FACT_TEMPLATES, FactTemplate
from curae_lifecycle.testing.strategies.request import call_of, format_request
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME, START
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond

Id = TypeVar("Id", ConnectionId, SessionId)

# --- What happened --------------------------------------------------------------------------


class Terse:
    """Printed by Hypothesis as its `repr`: every member would hide the counterexample in them."""

    __slots__ = ()

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:  # noqa: FBT001 - its caller's
        del cycle
        printer.text(repr(self))


def _last_rule(answer: Answer | FactAnswer) -> str:
    return answer.rules[-1]


def _asked(call: Call) -> str:
    return f"{call.operation} by {call.caller.api_key_id} under {call.key}"


@attrs.frozen
class Exchange(Terse):
    """A request and everything that was made of it, in the order of its making."""

    now: datetime
    request: Request = attrs.field(repr=False)
    call: Call = attrs.field(repr=_asked)
    # What follows from the rest would only hide it in a counterexample.
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    new_ids: NewIds = attrs.field(repr=False)
    decision: Decision = attrs.field(repr=False)
    answer: Answer = attrs.field(repr=_last_rule)


@attrs.frozen
class RecordedFact(Terse):
    """A fact that was recorded, what was loaded for it, and what it was answered."""

    now: datetime
    fact: Fact
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    answer: FactAnswer = attrs.field(repr=_last_rule)


@attrs.frozen
class AccessQuestion(Terse):
    """A question for access to a connection as it was stored, and its answer."""

    now: datetime
    connection: Connection = attrs.field(repr=False)
    package: DataPackage
    answer: AccessDecision


Interaction = Exchange | RecordedFact | AccessQuestion


@attrs.frozen
class Traffic:
    """What happened, in order of time, in one store that was empty before."""

    buckets: tuple[Bucket, ...]
    interactions: tuple[Interaction, ...]

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests alone."""
        return tuple(each for each in self.interactions if isinstance(each, Exchange))


def _caller(key: str, app: str, environment: Environment) -> Caller:
    account, scopes = CustomerAccountId(values.uuid_of(0xACC)), frozenset({CONNECTION_WRITE})
    return Caller(
        api_key_id=ApiKeyId(key),
        app_id=AppId(app),
        customer_account_id=account,
        environment=environment,
        scopes=scopes,
    )


CALLERS: Final[tuple[tuple[str, Caller], ...]] = (
    ("cae_live_k1", _caller("key-1", "app-1", Environment.LIVE)),
    ("cae_live_k2", _caller("key-2", "app-2", Environment.LIVE)),
    ("cae_test_k1", _caller("key-3", "app-1", Environment.TEST)),
)
"""Whom the API keys of all traffic stand for: two apps of one account, one of them in test too."""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))

# --- Turns ----------------------------------------------------------------------------------


class SpecialRequest(StrEnum):
    """What a turn asks in a way of its own."""

    LANDED = "get, the hand-off has landed"
    SIGN_UP = "initiate, a sign-up preferred"
    ALL_KNOWN = "account state, every entity tag known"
    ACCESS = "access"


StepKind = type[Operation] | type[Fact] | FactTemplate | SpecialRequest
"""What a turn does."""

_OPERATION: Final[Mapping[SpecialRequest, type[Operation]]] = {
    SpecialRequest.LANDED: GetConnection,
    SpecialRequest.SIGN_UP: Initiate,
    SpecialRequest.ALL_KNOWN: GetAccountState,
}
_VALUES: Final = (
    *("connection_id", "session_id", "app_user_id", "coordinate", "user_id"),
    *("data_packages", "prefer_signup", "cached_states"),
)
_DEED_KINDS: Final = frozenset(deed.kind for deed in FACT_TEMPLATES)
# The simplest first.
_REQUESTS: Final[tuple[StepKind, ...]] = (
    *(each for each in OPERATIONS if can_build(each, _VALUES)),
    *_OPERATION,
)
_FACTS: Final[tuple[StepKind, ...]] = tuple(
    each for each in FACTS if each not in _DEED_KINDS and can_build(each, _VALUES)
)
# Deeds are many and requests few; this makes either as likely.
_WHAT: Final = (*(*_REQUESTS, *_FACTS, SpecialRequest.ACCESS) * 2, *FACT_TEMPLATES)


@attrs.frozen
class TrafficStep:
    """What happens, when, of which connection or session (so many before the newest), by whom.

    The key is one of a few that are used again, or, 0, one that nobody else uses.
    """

    offset: timedelta
    kind: StepKind
    nth_newest: int = 0
    key: int = 0
    user: int = 1
    caller: int = 0


# Drawn as one: Hypothesis leaves out an element of a list whole where that is a few draws.
_HOWS: Final = (*product((0, 0, 0, 1, 2), (1, 2), (0, 1, 2), (0, 0, 1, 2)),)
"""Caller, user, how far back, and key."""


def traffic_steps(max_steps: int) -> st.SearchStrategy[list[TrafficStep]]:
    """At most so many turns, in any order."""
    return st.lists(_turns(values.offsets(), _WHAT), max_size=max_steps)


def _turns(
    offsets: st.SearchStrategy[timedelta], whats: tuple[StepKind, ...]
) -> st.SearchStrategy[TrafficStep]:
    return st.builds(_turn, offsets, st.sampled_from(whats), st.sampled_from(_HOWS))


def _turn(offset: timedelta, what: StepKind, how: tuple[int, int, int, int]) -> TrafficStep:
    caller, user, back, key = how
    return TrafficStep(offset=offset, kind=what, nth_newest=back, key=key, user=user, caller=caller)


def traffic_runs(*, max_steps: int = 10) -> st.SearchStrategy[Traffic]:
    """At most `max_steps` requests of three callers, facts and questions for access in one store."""
    return st.builds(play_traffic, _some_buckets(), traffic_steps(max_steps))


def exchanges() -> st.SearchStrategy[Exchange]:
    """A request with a past behind it, and everything that was made of it."""
    last = _turns(st.sampled_from((timedelta(0), NEXT_ACTION_LIFETIME)), _REQUESTS)
    runs = st.builds(play_traffic, _some_buckets(), traffic_steps(5), st.tuples(last))
    return runs.map(lambda run: run.exchanges[-1])


def _some_buckets() -> st.SearchStrategy[tuple[Bucket, ...]]:
    return st.sampled_from(((), (Bucket(name="platform", capacity=5, refill=1, seconds=1),)))


def _newest(known: list[Id], back: int, nobody: Id) -> Id:
    return known[max(0, len(known) - 1 - back)] if known else nobody


class _Play:
    """A store in which turns are played."""

    def __init__(self, buckets: tuple[Bucket, ...]) -> None:
        self._settings = Settings(buckets=buckets)
        self._now = START
        self._store = MemoryStore(self._settings, clock=lambda: self._now)
        self._connections: list[ConnectionId] = []
        self._sessions: list[SessionId] = []
        self._count = 0

    def turn(self, turn: TrafficStep, now: datetime) -> Interaction | None:
        """What the turn made happen; `None` where nobody could have asked so."""
        self._count += 1
        self._now = now
        what = turn.kind
        if what is SpecialRequest.ACCESS:
            return self._question(turn, now)
        if isinstance(what, FactTemplate):
            connection = self._store.connection(self._connection_id(turn))
            return None if connection is None else self._record(what.fact(connection, now), now)
        if isinstance(what, type) and issubclass(what, Fact):
            return self._record(build(what, self._values(turn)), now)
        kind = _OPERATION[what] if isinstance(what, SpecialRequest) else what
        return self._exchange(turn, build(kind, self._values(turn)), now)

    def _values(self, turn: TrafficStep) -> dict[str, object]:
        # What may stand in an operation or a fact, by the name of the field.
        user = AppUserId(f"user-{turn.user}")
        return {
            "connection_id": self._connection_id(turn),
            "session_id": _newest(self._sessions, turn.nth_newest, SessionId(values.uuid_of(9999))),
            "app_user_id": user,
            "coordinate": CALLERS[turn.caller][1].coordinate(user),
            "user_id": values.user_of(turn.user),
            "data_packages": PACKAGES,
            "prefer_signup": turn.kind is SpecialRequest.SIGN_UP,
            "cached_states": frozenset(
                AccountState if turn.kind is SpecialRequest.ALL_KNOWN else ()
            ),
        }

    def _connection_id(self, turn: TrafficStep) -> ConnectionId:
        return _newest(self._connections, turn.nth_newest, ConnectionId(values.uuid_of(9999)))

    def _record(self, fact: Fact, now: datetime) -> RecordedFact:
        loaded = self._store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, now)
        if isinstance(answer, Done):
            self._commit(loaded, answer.value)
        return RecordedFact(
            now=now, fact=fact, needs=fact.needs(), snapshot=loaded.snapshot, answer=answer
        )

    def _question(self, turn: TrafficStep, now: datetime) -> AccessQuestion | None:
        connection = self._store.connection(self._connection_id(turn))
        package = (*PACKAGES, DataPackage("imaging"))[turn.user]
        if connection is None:
            return None
        answer = decide_access(connection, package, now)
        return AccessQuestion(now=now, connection=connection, package=package, answer=answer)

    def _exchange(self, turn: TrafficStep, operation: Operation, now: datetime) -> Exchange:
        secret, caller = CALLERS[turn.caller]
        key = IdempotencyKey(f"k-{turn.key}" if turn.key else f"k-of-turn-{self._count}")
        call = attrs.evolve(call_of(caller, operation, key), settings=self._settings)
        loaded = self._store.load(call.needs)
        snapshot = loaded.snapshot
        if turn.kind is SpecialRequest.LANDED and snapshot.connection is not None:
            landed = LandedHandoff(snapshot.connection.identity.created_at, None)
            snapshot = attrs.evolve(snapshot, landed_handoff=landed)
        new_ids = NewIds(
            connection_id=ConnectionId(values.uuid_of(self._count)),
            session_id=SessionId(values.uuid_of(1000 + self._count)),
            user_id=values.user_of(1000 + self._count),
            next_action=values.next_action_at(now),
        )
        decision = decide(call, snapshot=snapshot, now=now, new_ids=new_ids)
        answer = respond(decision)
        self._commit(loaded, answer.changes)
        request = format_request(call, f"Bearer {secret}")
        return Exchange(
            now=now,
            request=request,
            call=call,
            needs=call.needs,
            snapshot=snapshot,
            new_ids=new_ids,
            decision=decision,
            answer=answer,
        )

    def _commit(self, loaded: Loaded, changes: Changes) -> None:
        stored = self._store.commit(loaded, changes)
        assert stored, "one turn at a time: nobody else has written"  # noqa: S101 - see its words
        for write in changes.writes:
            match write:
                case ConnectionWrite(None, Connection(identity)):
                    self._connections.append(identity.id)
                case SessionWrite(None, CuraeConnectSession(id)):
                    self._sessions.append(id)
                case _:
                    pass


def play_traffic(
    buckets: tuple[Bucket, ...], turns: list[TrafficStep], last: tuple[TrafficStep, ...] = ()
) -> Traffic:
    """What some turns make happen in the order of their instants, and then some last ones."""
    play = _Play(buckets)
    ordered = sorted(turns, key=lambda turn: turn.offset)
    end = ordered[-1].offset if ordered else timedelta(0)
    ending = (attrs.evolve(turn, offset=end + turn.offset) for turn in last)
    happened = [play.turn(turn, START + turn.offset) for turn in (*ordered, *ending)]
    return Traffic(buckets, tuple(each for each in happened if each is not None))
