"""Traffic: requests and facts in order of time, with the values that each of them produced.

The law of this module: **a run of traffic is a list of independent steps, played in the order of
their instants** against one store, as a server does: read, load, decide, respond, commit. So the
rules have reached every drawn snapshot, decision and answer, and a counterexample shrinks to the steps
that matter. No request here is broken.
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

# --- Interactions ---------------------------------------------------------------------------


class Terse:
    """A base class: Hypothesis prints the `repr`, since all fields would hide the counterexample."""

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
    """A request with the values that it produced, in their order."""

    now: datetime
    request: Request = attrs.field(repr=False)
    call: Call = attrs.field(repr=_asked)
    # Values that follow from the others would hide them in a counterexample.
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    new_ids: NewIds = attrs.field(repr=False)
    decision: Decision = attrs.field(repr=False)
    answer: Answer = attrs.field(repr=_last_rule)


@attrs.frozen
class RecordedFact(Terse):
    """A recorded fact, with its needs, its snapshot and its answer."""

    now: datetime
    fact: Fact
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    answer: FactAnswer = attrs.field(repr=_last_rule)


@attrs.frozen
class AccessQuestion(Terse):
    """A question for access to a stored connection, and its answer."""

    now: datetime
    connection: Connection = attrs.field(repr=False)
    package: DataPackage
    answer: AccessDecision


Interaction = Exchange | RecordedFact | AccessQuestion


@attrs.frozen
class Traffic:
    """The interactions with one store that was empty before, in order of time."""

    buckets: tuple[Bucket, ...]
    interactions: tuple[Interaction, ...]

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests."""
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
"""The API keys of all traffic with their callers: two apps of one account, one of them in test too."""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))

# --- Steps ----------------------------------------------------------------------------------


class SpecialRequest(StrEnum):
    """Special requests of a step."""

    LANDED = "get, the hand-off has landed"
    SIGN_UP = "initiate, a sign-up preferred"
    ALL_KNOWN = "account state, every entity tag known"
    ACCESS = "access"


StepKind = type[Operation] | type[Fact] | FactTemplate | SpecialRequest
"""The kind of a step."""

_OPERATION: Final[Mapping[SpecialRequest, type[Operation]]] = {
    SpecialRequest.LANDED: GetConnection,
    SpecialRequest.SIGN_UP: Initiate,
    SpecialRequest.ALL_KNOWN: GetAccountState,
}
_FIELDS: Final = (
    *("connection_id", "session_id", "app_user_id", "coordinate", "user_id"),
    *("data_packages", "prefer_signup", "cached_states"),
)
_TEMPLATE_KINDS: Final = frozenset(template.kind for template in FACT_TEMPLATES)
# The simplest first.
_REQUESTS: Final[tuple[StepKind, ...]] = (
    *(each for each in OPERATIONS if can_build(each, _FIELDS)),
    *_OPERATION,
)
_FACTS: Final[tuple[StepKind, ...]] = tuple(
    each for each in FACTS if each not in _TEMPLATE_KINDS and can_build(each, _FIELDS)
)
# Templates are many and requests few; this makes either as likely.
_KINDS: Final = (*(*_REQUESTS, *_FACTS, SpecialRequest.ACCESS) * 2, *FACT_TEMPLATES)


@attrs.frozen
class TrafficStep:
    """A step of a run.

    Attributes:
        offset: The offset of its instant from `START`.
        kind: Its kind.
        nth_newest: The position of its connection or session, counted from the newest.
        key: The number of its idempotency key, one of a few; 0 for a key of its own.
        user: The number of its app user.
        caller: The position of its caller in `CALLERS`.
    """

    offset: timedelta
    kind: StepKind
    nth_newest: int = 0
    key: int = 0
    user: int = 1
    caller: int = 0


# One draw for all of them: Hypothesis drops a whole element of a list if it takes few draws.
_PARAMETERS: Final = (*product((0, 0, 0, 1, 2), (1, 2), (0, 1, 2), (0, 0, 1, 2)),)
"""Caller, user, position from the newest, and key."""


def traffic_steps(max_steps: int) -> st.SearchStrategy[list[TrafficStep]]:
    """Draw at most so many steps, in any order."""
    return st.lists(_steps(values.offsets(), _KINDS), max_size=max_steps)


def _steps(
    offsets: st.SearchStrategy[timedelta], kinds: tuple[StepKind, ...]
) -> st.SearchStrategy[TrafficStep]:
    return st.builds(_step, offsets, st.sampled_from(kinds), st.sampled_from(_PARAMETERS))


def _step(offset: timedelta, kind: StepKind, parameters: tuple[int, int, int, int]) -> TrafficStep:
    caller, user, back, key = parameters
    return TrafficStep(offset=offset, kind=kind, nth_newest=back, key=key, user=user, caller=caller)


def traffic_runs(*, max_steps: int = 10) -> st.SearchStrategy[Traffic]:
    """Draw runs of traffic in one store: requests of three callers, facts and questions for access.

    Args:
        max_steps: The largest number of steps.
    """
    return st.builds(play_traffic, _some_buckets(), traffic_steps(max_steps))


def exchanges() -> st.SearchStrategy[Exchange]:
    """Draw a request after a run of traffic, with the values that it produced."""
    last = _steps(st.sampled_from((timedelta(0), NEXT_ACTION_LIFETIME)), _REQUESTS)
    runs = st.builds(play_traffic, _some_buckets(), traffic_steps(5), st.tuples(last))
    return runs.map(lambda run: run.exchanges[-1])


def _some_buckets() -> st.SearchStrategy[tuple[Bucket, ...]]:
    return st.sampled_from(((), (Bucket(name="platform", capacity=5, refill=1, seconds=1),)))


def _newest(known: list[Id], back: int, unknown: Id) -> Id:
    return known[max(0, len(known) - 1 - back)] if known else unknown


class _Play:
    """A store in which steps are played."""

    def __init__(self, buckets: tuple[Bucket, ...]) -> None:
        self._settings = Settings(buckets=buckets)
        self._now = START
        self._store = MemoryStore(self._settings, clock=lambda: self._now)
        self._connections: list[ConnectionId] = []
        self._sessions: list[SessionId] = []
        self._count = 0

    def play(self, step: TrafficStep, now: datetime) -> Interaction | None:
        """Play a step; return `None` for a fact or a question without a connection."""
        self._count += 1
        self._now = now
        kind = step.kind
        if kind is SpecialRequest.ACCESS:
            return self._question(step, now)
        if isinstance(kind, FactTemplate):
            connection = self._store.connection(self._connection_id(step))
            return None if connection is None else self._record(kind.fact(connection, now), now)
        if isinstance(kind, type) and issubclass(kind, Fact):
            return self._record(build(kind, self._values(step)), now)
        operation = _OPERATION[kind] if isinstance(kind, SpecialRequest) else kind
        return self._exchange(step, build(operation, self._values(step)), now)

    def _values(self, step: TrafficStep) -> dict[str, object]:
        # The values of operations and facts, by the names of their fields.
        user = AppUserId(f"user-{step.user}")
        return {
            "connection_id": self._connection_id(step),
            "session_id": _newest(self._sessions, step.nth_newest, SessionId(values.uuid_of(9999))),
            "app_user_id": user,
            "coordinate": CALLERS[step.caller][1].coordinate(user),
            "user_id": values.user_of(step.user),
            "data_packages": PACKAGES,
            "prefer_signup": step.kind is SpecialRequest.SIGN_UP,
            "cached_states": frozenset(
                AccountState if step.kind is SpecialRequest.ALL_KNOWN else ()
            ),
        }

    def _connection_id(self, step: TrafficStep) -> ConnectionId:
        return _newest(self._connections, step.nth_newest, ConnectionId(values.uuid_of(9999)))

    def _record(self, fact: Fact, now: datetime) -> RecordedFact:
        loaded = self._store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, now)
        if isinstance(answer, Done):
            self._commit(loaded, answer.value)
        return RecordedFact(
            now=now, fact=fact, needs=fact.needs(), snapshot=loaded.snapshot, answer=answer
        )

    def _question(self, step: TrafficStep, now: datetime) -> AccessQuestion | None:
        connection = self._store.connection(self._connection_id(step))
        package = (*PACKAGES, DataPackage("imaging"))[step.user]
        if connection is None:
            return None
        answer = decide_access(connection, package, now)
        return AccessQuestion(now=now, connection=connection, package=package, answer=answer)

    def _exchange(self, step: TrafficStep, operation: Operation, now: datetime) -> Exchange:
        secret, caller = CALLERS[step.caller]
        key = IdempotencyKey(f"k-{step.key}" if step.key else f"k-of-step-{self._count}")
        call = attrs.evolve(call_of(caller, operation, key), settings=self._settings)
        loaded = self._store.load(call.needs)
        snapshot = loaded.snapshot
        if step.kind is SpecialRequest.LANDED and snapshot.connection is not None:
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
        assert stored, "one step at a time: no other write"  # noqa: S101 - see its message
        for write in changes.writes:
            match write:
                case ConnectionWrite(None, Connection(identity)):
                    self._connections.append(identity.id)
                case SessionWrite(None, CuraeConnectSession(id)):
                    self._sessions.append(id)
                case _:
                    pass


def play_traffic(
    buckets: tuple[Bucket, ...], steps: list[TrafficStep], last: tuple[TrafficStep, ...] = ()
) -> Traffic:
    """Play some steps in the order of their instants, and then some last ones.

    Args:
        buckets: The buckets of each API key.
        steps: The steps, in any order.
        last: The last steps, whose offsets count from the latest of the others.
    """
    play = _Play(buckets)
    ordered = sorted(steps, key=lambda step: step.offset)
    end = ordered[-1].offset if ordered else timedelta(0)
    ending = (attrs.evolve(step, offset=end + step.offset) for step in last)
    played = [play.play(step, START + step.offset) for step in (*ordered, *ending)]
    return Traffic(buckets, tuple(each for each in played if each is not None))
