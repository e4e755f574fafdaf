"""Traffic: requests and facts in order of time, and everything that was made of each.

The law of this module: **a run of traffic is a list of independent turns, played in the order of
their instants** against one world, as a server would: read, load, decide, respond, store. So
whatever a snapshot, a decision or an answer drawn here holds, the rules have reached, and a
counterexample shrinks to the turns that matter. Nothing here is broken.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeVar, cast

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.access import AccessDecision
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done, Ignored
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
from curae_lifecycle.service.changes import (
    AccessEnded,
    BindingWrite,
    BucketKey,
    Changes,
    ConnectionWrite,
    Effect,
    Event,
    HandoffCancelled,
    LimitKey,
    NextActionReplaced,
    RateKey,
    RateWrite,
    RecordWrite,
    SessionWrite,
    SuccessorsLive,
    UserProvisioned,
    Write,
)
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.fact import (
    Fact,
    FactAnswer,
    FactNeeds,
    FactSnapshot,
    fact_needs,
    record_fact,
)
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.account_state import AccountStateShown, GetAccountState
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted, StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.operations.operation import Operation, ProblemReply, Replayed, Reply
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, NewIds, Snapshot
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.strategies.connection import FACT_DEEDS, Deed, DeedKind
from curae_lifecycle.testing.strategies.request import call_of, print_request
from curae_lifecycle.testing.strategies.values import (
    LIFETIME,
    START,
    next_action_at,
    offsets,
    user_of,
    uuid_of,
)
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond

Wanted = TypeVar("Wanted")

# --- What happened --------------------------------------------------------------------------


class Printer(Protocol):
    """What Hypothesis prints with."""

    def text(self, obj: str) -> None:
        """Print some text."""
        ...


def _last_rule(answer: Answer | FactAnswer) -> str:
    return answer.rules[-1]


@attrs.frozen
class Exchange:
    """A request and everything that was made of it.

    Attributes:
        now: When it came.
        request: As it came.
        call: What it was read as.
        needs: What was to be loaded for it.
        snapshot: What was loaded.
        new_ids: The ids and the next action it might use.
        decision: What was decided.
        answer: What was sent, stored, done and told.
    """

    now: datetime
    request: Request = attrs.field(repr=False)
    call: Call
    # What follows from the rest would only hide it in a counterexample.
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    new_ids: NewIds = attrs.field(repr=False)
    decision: Decision = attrs.field(repr=False)
    answer: Answer = attrs.field(repr=_last_rule)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: FBT001 - its caller's
        # Hypothesis would print every member, and hide the counterexample in them.
        del cycle
        printer.text(repr(self))


@attrs.frozen
class Recording:
    """A fact that was recorded.

    Attributes:
        now: When it was recorded.
        fact: What happened.
        needs: What was to be loaded for it.
        snapshot: What was loaded.
        answer: Done, ignored or refused.
    """

    now: datetime
    fact: Fact
    needs: FactNeeds = attrs.field(repr=False)
    snapshot: FactSnapshot = attrs.field(repr=False)
    answer: FactAnswer = attrs.field(repr=_last_rule)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: FBT001 - its caller's
        # Hypothesis would print every member, and hide the counterexample in them.
        del cycle
        printer.text(repr(self))


@attrs.frozen
class Question:
    """A question for access.

    Attributes:
        now: When it was asked.
        connection: Over which connection, as it was stored.
        package: For which data package.
        answer: Granted or denied.
    """

    now: datetime
    connection: Connection = attrs.field(repr=False)
    package: DataPackage
    answer: AccessDecision

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: FBT001 - its caller's
        # Hypothesis would print every member, and hide the counterexample in them.
        del cycle
        printer.text(repr(self))


Happening = Exchange | Recording | Question


@attrs.frozen
class Traffic:
    """What happened in one world that was empty before.

    Attributes:
        buckets: The platform's buckets in it.
        happenings: What happened, in order of time.
    """

    buckets: tuple[Bucket, ...]
    happenings: tuple[Happening, ...]

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests alone."""
        return tuple(each for each in self.happenings if isinstance(each, Exchange))


_ACCOUNT: Final = CustomerAccountId(uuid_of(0xACC))
_WRITES: Final = frozenset({CONNECTION_WRITE})
CALLERS: Final[tuple[tuple[str, Caller], ...]] = (
    (
        "cae_live_k1",
        Caller(ApiKeyId("key-1"), AppId("app-1"), _ACCOUNT, Environment.LIVE, _WRITES),
    ),
    (
        "cae_live_k2",
        Caller(ApiKeyId("key-2"), AppId("app-2"), _ACCOUNT, Environment.LIVE, _WRITES),
    ),
    (
        "cae_test_k1",
        Caller(ApiKeyId("key-3"), AppId("app-1"), _ACCOUNT, Environment.TEST, _WRITES),
    ),
)
"""Whom the API keys of all traffic stand for: two apps of one account, one of them in test too."""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))

# --- Turns ----------------------------------------------------------------------------------


class _Ask(StrEnum):
    """What a turn asks, where it is no fact of a connection; the simplest first."""

    CREATE = "create"
    GET = "get"
    GET_LANDED = "get, the hand-off has landed"
    REVOKE = "revoke"
    RECONNECT = "reconnect"
    INITIATE = "initiate"
    INITIATE_SIGN_UP = "initiate, a sign-up preferred"
    ACCOUNT_STATE = "account state"
    GRADUATION = "graduation hand-off"
    LAND = "complete the hand-off"
    GRADUATE = "graduate"
    TOMBSTONE = "tombstone"
    ACCESS = "access"


@attrs.frozen
class _Turn:
    """What happens, when, of which connection or session (so many before the newest), by whom.

    The key is one of a few that are used again, or, 0, one that nobody else uses.
    """

    offset: timedelta
    what: _Ask | Deed
    back: int = 0
    key: int = 0
    user: int = 1
    caller: int = 0


# Facts are many and requests few; this makes either as likely.
_WHAT: Final = (*tuple(_Ask) * 2, *FACT_DEEDS)


def _turns() -> st.SearchStrategy[_Turn]:
    return st.builds(
        _Turn,
        offsets(),
        st.sampled_from(_WHAT),
        st.integers(0, 2),
        st.sampled_from((0, 0, 1, 2)),
        st.integers(1, 2),
        st.sampled_from((0, 0, 0, 1, 2)),
    )


def traffic(*, most: int = 10) -> st.SearchStrategy[Traffic]:
    """What happened in one world: requests of three callers, facts, questions for access.

    Args:
        most: How many of them at most.
    """
    return st.builds(_play, _some_buckets(), st.lists(_turns(), max_size=most))


def exchanges() -> st.SearchStrategy[Exchange]:
    """A request with a past behind it, and everything that was made of it."""
    last = st.builds(
        _Turn,
        st.sampled_from((timedelta(0), LIFETIME)),
        st.sampled_from(_REQUESTS),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(1, 2),
        st.integers(0, 2),
    )
    runs = st.builds(_play, _some_buckets(), st.lists(_turns(), max_size=5), st.tuples(last))
    return runs.map(lambda run: run.exchanges[-1])


_REQUESTS: Final = tuple(
    ask for ask in _Ask if ask not in {_Ask.LAND, _Ask.GRADUATE, _Ask.TOMBSTONE, _Ask.ACCESS}
)


def _some_buckets() -> st.SearchStrategy[tuple[Bucket, ...]]:
    return st.sampled_from(((), (Bucket("platform", 5, 1, 1),)))


class _Play:
    """A world in which turns are played."""

    def __init__(self, buckets: tuple[Bucket, ...]) -> None:
        self._settings = Settings(buckets=buckets)
        self._world = MemoryStore(self._settings)
        self._connections: list[ConnectionId] = []
        self._sessions: list[SessionId] = []
        self._count = 0

    def turn(self, turn: _Turn, now: datetime) -> Happening | None:
        """What the turn made happen; `None` where nobody could have asked so."""
        self._count += 1
        _, caller = CALLERS[turn.caller]
        coordinate = caller.coordinate(AppUserId(f"user-{turn.user}"))
        match turn.what:
            case Deed():
                connection = self._world.connection(self._connection_id(turn))
                if connection is None:
                    return None
                return self._tell(turn.what.fact(connection, now), now)
            case _Ask.LAND:
                return self._tell(HandoffCompleted(self._session_id(turn), user_of(turn.user)), now)
            case _Ask.GRADUATE:
                return self._tell(Graduated(coordinate), now)
            case _Ask.TOMBSTONE:
                return self._tell(Tombstoned(coordinate), now)
            case _Ask.ACCESS:
                return self._question(turn, now)
            case _:
                return self._exchange(turn, now)

    def _connection_id(self, turn: _Turn) -> ConnectionId:
        known = self._connections
        return known[max(0, len(known) - 1 - turn.back)] if known else ConnectionId(uuid_of(9999))

    def _session_id(self, turn: _Turn) -> SessionId:
        known = self._sessions
        return known[max(0, len(known) - 1 - turn.back)] if known else SessionId(uuid_of(9999))

    def _tell(self, fact: Fact, now: datetime) -> Recording:
        asked, snapshot = fact_needs(fact), self._world.load_fact(fact)
        answer = record_fact(fact, snapshot, now)
        if isinstance(answer, Done):
            self._store(answer.value)
        return Recording(now, fact, asked, snapshot, answer)

    def _question(self, turn: _Turn, now: datetime) -> Question | None:
        connection = self._world.connection(self._connection_id(turn))
        package = (*PACKAGES, DataPackage("imaging"))[turn.user]
        answer = self._world.ask(self._connection_id(turn), package, now)
        if connection is None or answer is None:
            return None
        return Question(now, connection, package, answer)

    def _exchange(self, turn: _Turn, now: datetime) -> Exchange:
        secret, caller = CALLERS[turn.caller]
        key = IdempotencyKey(f"k-{turn.key}" if turn.key else f"k-of-turn-{self._count}")
        call = call_of(caller, self._operation(turn), key)
        asked = needs(call, self._settings)
        snapshot = self._world.load(asked)
        if turn.what is _Ask.GET_LANDED and snapshot.connection is not None:
            landed = LandedHandoff(snapshot.connection.identity.created_at, None)
            snapshot = attrs.evolve(snapshot, landed=landed)
        new_ids = NewIds(
            ConnectionId(uuid_of(self._count)),
            SessionId(uuid_of(1000 + self._count)),
            user_of(1000 + self._count),
            next_action_at(now),
        )
        decision = decide(call, snapshot, now, new_ids, self._settings)
        answer = respond(decision, self._settings)
        self._store(answer.changes)
        request = print_request(call, f"Bearer {secret}")
        return Exchange(now, request, call, asked, snapshot, new_ids, decision, answer)

    def _operation(self, turn: _Turn) -> Operation:
        user = AppUserId(f"user-{turn.user}")
        match turn.what:
            case _Ask.CREATE:
                return CreateConnection(user, PACKAGES)
            case _Ask.REVOKE:
                return Revoke(self._connection_id(turn))
            case _Ask.RECONNECT:
                return Reconnect(self._connection_id(turn))
            case _Ask.INITIATE | _Ask.INITIATE_SIGN_UP:
                return Initiate(user, turn.what is _Ask.INITIATE_SIGN_UP)
            case _Ask.ACCOUNT_STATE:
                return GetAccountState(user)
            case _Ask.GRADUATION:
                return StartGraduation(user)
            case _:
                return GetConnection(self._connection_id(turn))

    def _store(self, changes: Changes) -> None:
        stored = self._world.store(changes.writes)
        assert stored, "one turn at a time: nobody else has written"  # noqa: S101 - see its words
        for write in changes.writes:
            match write:
                case ConnectionWrite(None, Connection(identity)):
                    self._connections.append(identity.id)
                case SessionWrite(None, CuraeConnectSession(id)):
                    self._sessions.append(id)
                case _:
                    pass


def _play(buckets: tuple[Bucket, ...], turns: list[_Turn], last: tuple[_Turn, ...] = ()) -> Traffic:
    play = _Play(buckets)
    ordered = sorted(turns, key=lambda turn: turn.offset)
    end = ordered[-1].offset if ordered else timedelta(0)
    ending = (attrs.evolve(turn, offset=end + turn.offset) for turn in last)
    happened = [play.turn(turn, START + turn.offset) for turn in (*ordered, *ending)]
    return Traffic(buckets, tuple(each for each in happened if each is not None))


# --- What is within -------------------------------------------------------------------------


def _turn(what: _Ask | Deed, minutes: int = 0, *, back: int = 0, key: int = 0) -> _Turn:
    # No other turn is of the third user or under the third key.
    return _Turn(timedelta(minutes=minutes), what, back, key, user=3)


_CREATE: Final = (_turn(_Ask.CREATE),)
_AUTHORIZED: Final = Deed(DeedKind.AUTHORIZE, timedelta(0))
_AUTHORIZE: Final = (*_CREATE, _turn(_AUTHORIZED))
_RECONNECT: Final = (*_CREATE, _turn(_Ask.RECONNECT, 31))
_INITIATE: Final = (_turn(_Ask.INITIATE),)

ENDINGS: Final[dict[type, tuple[_Turn, ...]]] = {
    ConnectionCreated: _CREATE,
    ConnectionShown: (*_CREATE, _turn(_Ask.GET)),
    ConnectionReconnected: _RECONNECT,
    ConnectionRevoked: (*_CREATE, _turn(_Ask.REVOKE)),
    SessionInitiated: _INITIATE,
    AccountStateShown: (_turn(_Ask.ACCOUNT_STATE),),
    GraduationStarted: (*_INITIATE, _turn(_Ask.GRADUATION)),
    ProblemReply: (*_CREATE, _turn(_Ask.RECONNECT)),
    Replayed: (_turn(_Ask.CREATE, key=3), _turn(_Ask.CREATE, key=3)),
    ConnectionWrite: _CREATE,
    SessionWrite: _INITIATE,
    BindingWrite: _INITIATE,
    RecordWrite: _CREATE,
    RateWrite: _INITIATE,
    BucketKey: _CREATE,
    LimitKey: _INITIATE,
    AccessEnded: (*_AUTHORIZE, _turn(_Ask.REVOKE)),
    HandoffCancelled: (*_CREATE, _turn(_Ask.REVOKE)),
    NextActionReplaced: (*_RECONNECT, _turn(_Ask.RECONNECT, 31, back=1)),
    SuccessorsLive: (*_RECONNECT, _turn(_Ask.REVOKE, 31, back=1)),
    UserProvisioned: _INITIATE,
    Event: _CREATE,
    LandedHandoff: (*_CREATE, _turn(_Ask.GET_LANDED)),
    FactNeeds: _AUTHORIZE,
    FactSnapshot: _AUTHORIZE,
}
"""How a run ends that is sure to hold a value of the kind."""


def in_traffic(kind: type[Wanted]) -> st.SearchStrategy[Wanted]:
    """A value of a kind as it came up in a run of traffic.

    Args:
        kind: One of `ENDINGS`: a reply, a write, an effect, an event, a key.
    """
    return _ending(ENDINGS[kind]).map(lambda run: _last(run.happenings, kind))


def done_facts() -> st.SearchStrategy[Done[Changes]]:
    """What a fact was answered that changed something."""
    return _ending(_AUTHORIZE).map(_done)


def ignored_facts() -> st.SearchStrategy[Ignored[Changes]]:
    """What a fact was answered that changed nothing."""
    return _ending((*_AUTHORIZE, _turn(_AUTHORIZED))).map(_ignored)


def _ending(turns: tuple[_Turn, ...]) -> st.SearchStrategy[Traffic]:
    # With buckets that no ending empties.
    roomy = (Bucket("platform", 100, 1, 1),)
    return st.builds(_play, st.just(roomy), st.lists(_turns(), max_size=4), st.just(turns))


def _done(run: Traffic) -> Done[Changes]:
    match run.happenings[-1]:
        case Recording(answer=Done() as answer):
            return answer
        case other:
            raise TypeError(f"a run of traffic ends with {other!r}")


def _ignored(run: Traffic) -> Ignored[Changes]:
    match run.happenings[-1]:
        case Recording(answer=Ignored() as answer):
            return answer
        case other:
            raise TypeError(f"a run of traffic ends with {other!r}")


def _last(value: object, kind: type[Wanted]) -> Wanted:
    found: Wanted | None = None
    waiting = [value]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, kind):
            found = each
        if isinstance(each, tuple):
            waiting.extend(cast("tuple[object, ...]", each))
        elif attrs.has(type(each)):
            kept = attrs.fields(cast("type[attrs.AttrsInstance]", type(each)))
            waiting.extend([getattr(each, field.name) for field in kept])
    if found is None:
        raise TypeError(f"no run of traffic ends with a {kind.__name__}")
    return found


def decisions() -> st.SearchStrategy[Decision]:
    """What requests were decided: done, refused, replayed."""
    return exchanges().map(lambda exchange: exchange.decision)


def answers() -> st.SearchStrategy[Answer]:
    """What requests were answered."""
    return exchanges().map(lambda exchange: exchange.answer)


def snapshots() -> st.SearchStrategy[Snapshot]:
    """What was loaded for requests."""
    return exchanges().map(lambda exchange: exchange.snapshot)


def request_needs() -> st.SearchStrategy[Needs]:
    """What was to be loaded for requests."""
    return exchanges().map(lambda exchange: exchange.needs)


def changes() -> st.SearchStrategy[Changes]:
    """What requests changed, be it nothing."""
    return exchanges().map(lambda exchange: exchange.answer.changes)


def replies() -> st.SearchStrategy[Reply]:
    """Replies of every kind."""
    return st.one_of(
        in_traffic(ConnectionCreated),
        in_traffic(ConnectionShown),
        in_traffic(ConnectionReconnected),
        in_traffic(ConnectionRevoked),
        in_traffic(SessionInitiated),
        in_traffic(AccountStateShown),
        in_traffic(GraduationStarted),
        in_traffic(ProblemReply),
        in_traffic(Replayed),
    )


def writes() -> st.SearchStrategy[Write]:
    """Writes of every kind."""
    return st.one_of(
        in_traffic(ConnectionWrite),
        in_traffic(SessionWrite),
        in_traffic(BindingWrite),
        in_traffic(RecordWrite),
        in_traffic(RateWrite),
    )


def effects() -> st.SearchStrategy[Effect]:
    """Effects of every kind."""
    return st.one_of(
        in_traffic(HandoffCancelled),
        in_traffic(AccessEnded),
        in_traffic(NextActionReplaced),
        in_traffic(SuccessorsLive),
        in_traffic(UserProvisioned),
    )


def outbox_events() -> st.SearchStrategy[Event]:
    """What an outbox is told."""
    return in_traffic(Event)


def rate_keys() -> st.SearchStrategy[RateKey]:
    """Whose rate limits there are."""
    return st.one_of(in_traffic(LimitKey), in_traffic(BucketKey))
