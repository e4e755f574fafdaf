"""Hypothesis strategies for the library's values.

The law of this module: **every value drawn is one that the rules can reach**, because the
library's own transitions made it; what is broken on purpose comes from `broken_requests` alone
and says how it is answered. Whole pasts are drawn as a list of independent moves that are then
played in the order of their instants, so a counterexample shrinks to the few moves that matter.

Everything happens within a few hours after `START`, crowded around the instants where a
standing changes: half an hour (a hand-off), an hour and an hour and a half (an authorization),
one minute (a lease, a window), each with the microsecond before it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import attrs
from hypothesis import strategies as st

from curae_lifecycle import idempotency
from curae_lifecycle.binding import (
    AccountState,
    LimitedAccountAppBinding,
    complete_sign_up,
    graduate,
    provision,
    tombstone,
)
from curae_lifecycle.connection import (
    Actor,
    Connection,
    ConnectionIdentity,
    Minted,
    Standing,
    Transition,
    authorize,
    create,
    expire,
    reconnect,
    require_action,
    revoke,
    revoke_chain,
)
from curae_lifecycle.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.facts import (
    ActionRequired,
    Authorized,
    ConnectionFact,
    Expired,
    Fact,
    Graduated,
    HandoffCompleted,
    Revoked,
    Tombstoned,
)
from curae_lifecycle.http import Request, etag
from curae_lifecycle.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    LostLease,
    Record,
    RecordKey,
    RecordStanding,
    Response,
    ResponseReference,
)
from curae_lifecycle.operations import (
    OPERATIONS,
    Call,
    CreateConnection,
    Fresh,
    GetAccountState,
    GetConnection,
    Initiate,
    KeyUse,
    Operation,
    Reconnect,
    Revoke,
    Settings,
    StartGraduation,
    fingerprint,
    operation_name,
)
from curae_lifecycle.outcomes import Done, Refused
from curae_lifecycle.problems import CATALOGUE, Fault, Problem, ProblemCode
from curae_lifecycle.problems import Fact as ProblemFact
from curae_lifecycle.ratelimit import (
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    Policy,
    admit,
    fresh_state,
)
from curae_lifecycle.session import CuraeConnectSession, EntryPath, complete_handoff, initiate
from curae_lifecycle.values import (
    ApiKeyId,
    AppId,
    AppUser,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
    parse_data_packages,
)
from curae_lifecycle.wire import Json, print_json

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When every past begins."""

TICK: Final = timedelta(microseconds=1)
LIFETIME: Final = timedelta(minutes=30)
"""How long a drawn next action lives, as it does unless a server says otherwise [O]."""

_State = TypeVar("_State", LogState, BucketState)

_DAY: Final = timedelta(hours=24)
_LEASE: Final = timedelta(minutes=1)
# In the order in which a counterexample should like them.
_CROWDED: Final = (
    *(timedelta(minutes=minutes) for minutes in (0, 1, 10, 29, 30, 31, 60, 61, 90)),
    *(timedelta(minutes=minutes) - TICK for minutes in (1, 30, 60, 90)),
)
_HOURS: Final = 3 * 60 * 60 * 1_000_000
_LONGEST_USER: Final = 256
_LONGEST_KEY: Final = 255


# --- Instants and ids -----------------------------------------------------------------------


def offsets() -> st.SearchStrategy[timedelta]:
    """Times after a beginning, none negative, crowded around the deadlines."""
    return st.one_of(
        st.sampled_from(_CROWDED), st.integers(0, _HOURS).map(lambda tick: tick * TICK)
    )


def instants() -> st.SearchStrategy[datetime]:
    """UTC instants from `START` on, crowded around the deadlines."""
    return offsets().map(lambda offset: START + offset)


def uuids() -> st.SearchStrategy[str]:
    """UUIDs in lower case; the simplest ends in 1."""
    return st.integers(1, 0xFFFF_FFFF).map(_uuid)


def connection_ids() -> st.SearchStrategy[ConnectionId]:
    """Ids of connections."""
    return uuids().map(ConnectionId)


def session_ids() -> st.SearchStrategy[SessionId]:
    """Ids of connect sessions."""
    return uuids().map(SessionId)


def customer_account_ids() -> st.SearchStrategy[CustomerAccountId]:
    """Ids of customer accounts; a few, so that two draws often agree."""
    return st.integers(1, 3).map(_uuid).map(CustomerAccountId)


def app_ids() -> st.SearchStrategy[AppId]:
    """Ids of SDK apps; a few, so that two draws often agree."""
    return st.sampled_from(("app-1", "app-2")).map(AppId)


def api_key_ids() -> st.SearchStrategy[ApiKeyId]:
    """A server's ids of API keys."""
    return st.sampled_from(("key-1", "key-2", "key-3")).map(ApiKeyId)


def api_keys() -> st.SearchStrategy[ApiKey]:
    """API keys; no repr shows them."""
    return st.sampled_from(("cae_live_k1", "cae_test_k1")).map(ApiKey)


def user_ids() -> st.SearchStrategy[UserId]:
    """The platform's own ids of users."""
    return st.integers(1, 9).map(_user)


def app_user_ids() -> st.SearchStrategy[AppUserId]:
    """An app's ids of its users: mostly plain, and whatever else is allowed, up to 256 long."""
    plain = st.sampled_from(("user-1", "user-2"))
    strange = st.text(
        st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=_LONGEST_USER
    )
    return st.one_of(plain, strange.filter(lambda text: text == text.strip())).map(AppUserId)


def idempotency_keys() -> st.SearchStrategy[IdempotencyKey]:
    """Idempotency keys: mostly plain, and any visible ASCII, up to 255 long."""
    visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
    plain = st.sampled_from(("k-1", "k-2"))
    return st.one_of(plain, st.text(visible, min_size=1, max_size=_LONGEST_KEY)).map(IdempotencyKey)


def data_package() -> st.SearchStrategy[DataPackage]:
    """One data package."""
    plain = st.sampled_from(("labs", "clinical_summary", "medications"))
    return st.one_of(plain, st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)).map(DataPackage)


def data_packages() -> st.SearchStrategy[tuple[DataPackage, ...]]:
    """Non-empty sets of packages as a connection holds them: sorted, each once."""
    return st.sets(data_package(), min_size=1, max_size=64).map(parse_data_packages)


def environments() -> st.SearchStrategy[Environment]:
    """Live or test."""
    return st.sampled_from(Environment)


def coordinates() -> st.SearchStrategy[Coordinate]:
    """Users of SDK apps."""
    return st.builds(Coordinate, environments(), app_ids(), customer_account_ids(), app_user_ids())


def app_users() -> st.SearchStrategy[AppUser]:
    """Keys of app users' limits."""
    return coordinates().map(lambda coordinate: coordinate.app_user)


def next_actions(now: datetime = START) -> st.SearchStrategy[NextAction]:
    """What an app must show from `now` on; none ended before it."""
    urls = st.integers(1, 99).map(lambda number: f"https://connect.example/{number}")
    lives = st.sampled_from((LIFETIME, timedelta(0), TICK, 2 * LIFETIME))
    return st.builds(NextAction, urls, lives.map(lambda life: now + life))


def reasons() -> st.SearchStrategy[str]:
    """Why a patient must act."""
    return st.sampled_from(_REASONS)


# --- Connections ----------------------------------------------------------------------------


class _Kind(StrEnum):
    """What a move does; the simplest first."""

    AUTHORIZE = "authorize"
    REQUIRE_ACTION = "require action"
    EXPIRE = "expire"
    REVOKE = "revoke"
    RECONNECT = "reconnect"


@attrs.frozen
class _Deed:
    """What is to happen, whenever and to whichever connection; it is told late or not."""

    kind: _Kind
    delay: timedelta
    lifetime: timedelta | None = None
    reason: str = "portal_login"
    actor: Actor = Actor.APP

    def fact(self, connection: Connection, now: datetime) -> ConnectionFact:
        """The deed as a fact of a connection that was created no later than `now`."""
        created = connection.identity.created_at
        happened = max(created, now - self.delay)
        said = happened if self.delay else None
        match self.kind:
            case _Kind.AUTHORIZE:
                until = None if self.lifetime is None else happened + self.lifetime
                return Authorized(connection.id, until, said)
            case _Kind.REQUIRE_ACTION:
                return ActionRequired(connection.id, self.reason, said)
            case _Kind.REVOKE:
                return Revoked(connection.id, self.actor, said)
            case _Kind.EXPIRE | _Kind.RECONNECT:
                return Expired(connection.id, said)


_DELAYS: Final = (timedelta(0), TICK, timedelta(minutes=1), LIFETIME)
_LIFETIMES: Final = (None, 2 * LIFETIME, LIFETIME, TICK)
_REASONS: Final = ("portal_login", "mfa_required")

# The simplest first. One choice among all of them, so that a move is few choices and Hypothesis
# can leave a whole move out.
_FACTS: Final = tuple(
    deed
    for delay in _DELAYS
    for deed in (
        *(_Deed(_Kind.AUTHORIZE, delay, lifetime) for lifetime in _LIFETIMES),
        *(_Deed(_Kind.REQUIRE_ACTION, delay, reason=reason) for reason in _REASONS),
        _Deed(_Kind.EXPIRE, delay),
        *(_Deed(_Kind.REVOKE, delay, actor=actor) for actor in Actor),
    )
)
# Often enough that most chains have more than one connection.
_RECOVERIES: Final = (_Deed(_Kind.RECONNECT, timedelta(0)),) * (len(_FACTS) // 3)


@attrs.frozen
class _Move:
    """A deed, when it is told, and how many connections before the newest it is of."""

    offset: timedelta
    deed: _Deed
    back: int = 0


def _moves() -> st.SearchStrategy[_Move]:
    return st.builds(_Move, offsets(), st.sampled_from(_FACTS), st.just(0))


def _chain_moves() -> st.SearchStrategy[_Move]:
    deeds = (*_RECOVERIES, *_FACTS)
    return st.builds(_Move, offsets(), st.sampled_from(deeds), st.integers(0, 3))


def _in_order(moves: list[_Move]) -> list[_Move]:
    return sorted(moves, key=lambda move: move.offset)


@attrs.frozen
class Step:
    """One fact of a history and what it was answered.

    Attributes:
        now: When it was recorded.
        fact: What happened.
        answer: Done, ignored or refused.
        connection: The connection after it, whatever it was answered.
    """

    now: datetime
    fact: ConnectionFact
    answer: Transition
    connection: Connection


@attrs.frozen
class History:
    """A connection with its past.

    Attributes:
        created: The connection as it was created.
        steps: What happened to it, in the order of its recording.
    """

    created: Connection
    steps: tuple[Step, ...]

    @property
    def connection(self) -> Connection:
        """The connection after everything."""
        return self.steps[-1].connection if self.steps else self.created

    @property
    def snapshots(self) -> tuple[Connection, ...]:
        """Every snapshot that was ever stored, oldest first, one for each step and the first."""
        return (self.created, *(step.connection for step in self.steps))


def apply_event(
    connection: Connection,
    fact: ConnectionFact,
    now: datetime,
    successor: Connection | None = None,
) -> Transition:
    """What one connection answers to a fact about it; a revocation reaches no further.

    Args:
        connection: The connection that the fact names.
        fact: What happened.
        now: When it is recorded.
        successor: The connection that recovered this one, where there is one.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = fact.happened_at
    match fact:
        case Authorized():
            return authorize(
                connection,
                now,
                expires_at=fact.expires_at,
                happened_at=happened,
                successor=successor,
            )
        case ActionRequired():
            return require_action(connection, now, reason=fact.reason, happened_at=happened)
        case Expired():
            return expire(connection, now, happened_at=happened)
        case Revoked():
            return revoke(connection, now, actor=fact.actor, happened_at=happened)


def new_connections() -> st.SearchStrategy[Connection]:
    """Connections just created, at `START`, PENDING for half an hour."""
    return st.builds(_create, connection_ids(), coordinates(), data_packages())


def events(connection: Connection, now: datetime) -> st.SearchStrategy[ConnectionFact]:
    """Facts that may be recorded of a connection at `now`, some of them late.

    Args:
        connection: Of which; created no later than `now`.
        now: When they are recorded.
    """
    return st.sampled_from(_FACTS).map(lambda deed: deed.fact(connection, now))


def histories(*, most: int = 5) -> st.SearchStrategy[History]:
    """One connection with its past: created, then at most `most` facts in order."""
    return st.builds(_play, new_connections(), st.lists(_moves(), max_size=most))


def chains(*, most: int = 8) -> st.SearchStrategy[tuple[Connection, ...]]:
    """A connection with its successors, oldest first, after at most `most` facts and recoveries."""
    return st.builds(_play_chain, new_connections(), st.lists(_chain_moves(), max_size=most))


def connections() -> st.SearchStrategy[Connection]:
    """Connections with a plausible past, some of them a chain's newest."""
    return st.one_of(
        histories().map(lambda history: history.connection), chains().map(lambda chain: chain[-1])
    )


def _create(
    connection_id: ConnectionId, coordinate: Coordinate, packages: tuple[DataPackage, ...]
) -> Connection:
    return create(
        id=connection_id,
        coordinate=coordinate,
        data_packages=packages,
        now=START,
        next_action=_next_action(START),
    )


def _play(created: Connection, moves: list[_Move]) -> History:
    connection = created
    steps: list[Step] = []
    for move in _in_order(moves):
        now = START + move.offset
        fact = move.deed.fact(connection, now)
        answer = apply_event(connection, fact, now)
        connection = connection if isinstance(answer, Refused) else answer.value
        steps.append(Step(now, fact, answer, connection))
    return History(created, tuple(steps))


def _play_chain(created: Connection, moves: list[_Move]) -> tuple[Connection, ...]:
    chain = [created]
    for move in _in_order(moves):
        at = max(0, len(chain) - 1 - move.back)
        if move.deed.kind is _Kind.RECONNECT:
            _recover(chain, at, START + move.offset)
        else:
            _happen(chain, at, move)
    return tuple(chain)


def _recover(chain: list[Connection], at: int, now: datetime) -> None:
    answer = reconnect(
        chain[at],
        chain[at + 1] if at + 1 < len(chain) else None,
        now,
        id=ConnectionId(_uuid(int(chain[0].id[-12:], 16) + len(chain))),
        next_action=_next_action(now),
    )
    if isinstance(answer, Refused):
        return
    if isinstance(answer.value, Minted):
        chain.append(answer.value.connection)
    else:
        chain[at + 1] = answer.value.connection


def _happen(chain: list[Connection], at: int, move: _Move) -> None:
    now = START + move.offset
    connection, following = chain[at], tuple(chain[at + 1 :])
    fact = move.deed.fact(connection, now)
    answers: tuple[Transition, ...]
    if isinstance(fact, Revoked):
        answers = revoke_chain(
            connection, following, now, actor=fact.actor, happened_at=fact.happened_at
        )
    else:
        answers = (apply_event(connection, fact, now, following[0] if following else None),)
    for index, answer in enumerate(answers, at):
        if isinstance(answer, Done):
            chain[index] = answer.value


# --- Bindings and sessions ------------------------------------------------------------------

_LINKED: Final = (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED)


@st.composite
def bindings(
    draw: st.DrawFn, coordinate: Coordinate | None = None, state: AccountState | None = None
) -> LimitedAccountAppBinding:
    """Bindings in every state and of the first generations.

    Args:
        draw: Given by Hypothesis.
        coordinate: Whose; any where absent.
        state: LIMITED, ACTIVE or TOMBSTONED; any where absent.
    """
    whose = draw(coordinates()) if coordinate is None else coordinate
    last = draw(st.sampled_from(_LINKED)) if state is None else state
    generation = draw(st.integers(1, 4))
    binding: LimitedAccountAppBinding | None = None
    for number in range(1, generation):
        binding = _live(binding, whose, number, grown=draw(st.booleans()))
        binding = _bound(tombstone(binding))
    grown = last is AccountState.ACTIVE or (last is AccountState.TOMBSTONED and draw(st.booleans()))
    if binding is None and grown and draw(st.booleans()):
        # A sign-up on the hosted page, with no LIMITED user before it.
        binding = _bound(complete_sign_up(None, whose, _user(1)))
    else:
        binding = _live(binding, whose, generation, grown=grown)
    return _bound(tombstone(binding)) if last is AccountState.TOMBSTONED else binding


def _live(
    binding: LimitedAccountAppBinding | None, whose: Coordinate, number: int, *, grown: bool
) -> LimitedAccountAppBinding:
    limited = _bound(provision(binding, whose, _user(number)))
    return _bound(graduate(limited, whose, limited.user_id)) if grown else limited


def _bound(answer: object) -> LimitedAccountAppBinding:
    # Every move above is one that the binding's table allows.
    match answer:
        case Done(value=LimitedAccountAppBinding() as binding):
            return binding
        case _:
            raise TypeError(f"a binding's past cannot be played: {answer!r}")


@st.composite
def sessions(draw: st.DrawFn, path: EntryPath | None = None) -> CuraeConnectSession:
    """Connect sessions on each path; one of Path B has landed or not.

    Args:
        draw: Given by Hypothesis.
        path: The path; any where absent.
    """
    whose = draw(coordinates())
    wanted = draw(st.sampled_from(EntryPath)) if path is None else path
    binding: LimitedAccountAppBinding | None = None
    prefers = wanted is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    if wanted is EntryPath.EXISTING_ACTIVE_HANDOFF:
        binding = draw(bindings(whose, AccountState.ACTIVE))
        prefers = draw(st.booleans())
    elif wanted is EntryPath.SILENT_LIMITED:
        states = (AccountState.LIMITED, AccountState.TOMBSTONED)
        binding = draw(
            st.one_of(st.none(), st.sampled_from(states).flatmap(lambda at: bindings(whose, at)))
        )
        prefers = binding is not None and draw(st.booleans())
    now = draw(instants())
    minted = initiate(
        binding,
        whose,
        now,
        prefer_signup=prefers,
        id=draw(session_ids()),
        user_id=_user(1 if binding is None else binding.generation + 1),
        next_action=_next_action(now),
    ).value
    landing = draw(st.one_of(st.none(), offsets()))
    if landing is None:
        return minted.session
    answer = complete_handoff(minted.session, minted.binding, draw(user_ids()), now + landing)
    return answer.value.session if isinstance(answer, Done) else minted.session


# --- Idempotency ----------------------------------------------------------------------------


def fingerprints() -> st.SearchStrategy[Fingerprint]:
    """Fingerprints of operations."""
    return operations().map(fingerprint)


def record_keys() -> st.SearchStrategy[RecordKey]:
    """Idempotency keys within API keys."""
    return st.builds(RecordKey, api_key_ids(), idempotency_keys())


def responses() -> st.SearchStrategy[Response]:
    """Responses that may be kept and replayed."""
    return st.builds(
        Response,
        st.sampled_from((200, 201, 404, 409)),
        st.sampled_from(
            ((("content-type", "application/json"),), (("x-hop", "1"), ("x-hop", "2")))
        ),
        st.binary(max_size=8),
    )


def response_references() -> st.SearchStrategy[ResponseReference]:
    """References to responses that a server keeps elsewhere."""
    return st.builds(ResponseReference, st.sampled_from((200, 201, 404, 409)), st.just("vault/1"))


def attempts() -> st.SearchStrategy[Attempt]:
    """The right to execute, the first or after earlier attempts that were released."""
    return st.builds(_attempt, record_keys(), fingerprints(), st.integers(0, 2))


@st.composite
def records_with(draw: st.DrawFn, standing: RecordStanding) -> tuple[Record, datetime]:
    """A record, and an instant at which it has the given standing.

    Args:
        draw: Given by Hypothesis.
        standing: Which; ABSENT is a record whose retention is over.
    """
    attempt = draw(attempts())
    lost = draw(st.sampled_from(LostLease))
    if standing in {RecordStanding.UNKNOWN, RecordStanding.LEASE_OVER}:
        unknown = standing is RecordStanding.UNKNOWN
        lost = LostLease.UNKNOWN if unknown else LostLease.EXECUTE
    running = idempotency.in_flight(attempt, lost_lease=lost)
    # Within the lease, its last microsecond included.
    within = draw(st.sampled_from((timedelta(0), TICK, _LEASE - TICK)))
    now = attempt.at + within
    match standing:
        case RecordStanding.IN_FLIGHT:
            return running, now
        case RecordStanding.LEASE_OVER | RecordStanding.UNKNOWN:
            return running, attempt.at + _LEASE + within
        case RecordStanding.RELEASED:
            return _moved(idempotency.release(running, attempt, now)), now
        case RecordStanding.COMPLETED:
            return draw(_completed(running, attempt, now)), now
        case RecordStanding.FORGOTTEN:
            return _moved(idempotency.forget(running, now)), now
        case RecordStanding.ABSENT:
            return running, attempt.first_used_at + _DAY + within


def records() -> st.SearchStrategy[Record]:
    """Idempotency records in each standing."""
    return st.sampled_from(RecordStanding).flatmap(records_with).map(lambda drawn: drawn[0])


def _completed(running: Record, attempt: Attempt, now: datetime) -> st.SearchStrategy[Record]:
    return st.one_of(responses(), response_references()).map(
        lambda response: _moved(idempotency.complete(running, attempt, response, now))
    )


def _attempt(key: RecordKey, print_: Fingerprint, released: int) -> Attempt:
    record: Record | None = None
    for earlier in range(released):
        now = START + timedelta(seconds=earlier)
        attempt = _begun(record, key, print_, now)
        record = _moved(idempotency.release(idempotency.in_flight(attempt), attempt, now))
    return _begun(record, key, print_, START + timedelta(seconds=released))


def _begun(record: Record | None, key: RecordKey, print_: Fingerprint, now: datetime) -> Attempt:
    match idempotency.begin(record, key, print_, now):
        case Attempt() as attempt:
            return attempt
        case other:
            raise TypeError(f"a record's past cannot be played: {other!r}")


def _moved(answer: object) -> Record:
    match answer:
        case Done(value=Record() as record):
            return record
        case _:
            raise TypeError(f"a record's past cannot be played: {answer!r}")


# --- Rate limits ----------------------------------------------------------------------------


def exact_logs() -> st.SearchStrategy[ExactLog]:
    """Limits with an exact log, the app user's own among them."""
    return st.builds(
        ExactLog,
        st.sampled_from(("initiate", "graduation")),
        st.sampled_from((10, 1, 2, 3)),
        st.sampled_from((60, 1)),
    )


def buckets() -> st.SearchStrategy[Bucket]:
    """Token buckets, some of which refill at a rate that does not divide a second."""
    sizes = st.integers(1, 10)
    return st.builds(Bucket, st.sampled_from(("platform", "burst")), sizes, sizes, sizes)


def policies() -> st.SearchStrategy[Policy]:
    """Rules of either kind."""
    return st.one_of(exact_logs(), buckets())


def charges(policy: Policy | None = None) -> st.SearchStrategy[Charge]:
    """Rules with a state that a run of requests left behind, some of them refused.

    Args:
        policy: The rule; any where absent.
    """
    which = policies() if policy is None else st.just(policy)
    gaps = st.one_of(st.integers(0, 3).map(lambda s: timedelta(seconds=s)), offsets())
    return st.builds(_charge, which, st.lists(gaps, max_size=12))


def log_states() -> st.SearchStrategy[LogState]:
    """States of exact logs."""
    return exact_logs().flatmap(charges).map(lambda charge: _of(LogState, charge))


def bucket_states() -> st.SearchStrategy[BucketState]:
    """States of token buckets."""
    return buckets().flatmap(charges).map(lambda charge: _of(BucketState, charge))


def _charge(policy: Policy, after: list[timedelta]) -> Charge:
    charge = Charge(policy, fresh_state(policy))
    for offset in sorted(after):
        answer = admit((charge,), START + offset)
        if isinstance(answer, Admitted):
            charge = Charge(policy, answer.states[0])
    return charge


def _of(kind: type[_State], charge: Charge) -> _State:
    if isinstance(charge.state, kind):
        return charge.state
    raise TypeError(f"{charge.policy.name!r} has another kind of state")


# --- Callers, operations, requests ----------------------------------------------------------


def scopes() -> st.SearchStrategy[frozenset[str]]:
    """Scopes of an API key: to write, or none."""
    return st.sampled_from((frozenset({CONNECTION_WRITE}), frozenset[str]()))


def callers() -> st.SearchStrategy[Caller]:
    """Whom API keys stand for."""
    return st.builds(
        Caller, api_key_ids(), app_ids(), customer_account_ids(), environments(), scopes()
    )


def operations() -> st.SearchStrategy[Operation]:
    """The seven operations."""
    return st.one_of(*OPERATION_STRATEGIES.values())


def writers() -> st.SearchStrategy[Caller]:
    """Callers that may run every operation."""
    return callers().map(lambda caller: attrs.evolve(caller, scopes=frozenset({CONNECTION_WRITE})))


def calls() -> st.SearchStrategy[Call]:
    """Requests that were read: a caller that may, an operation, a key where one is needed."""
    return st.builds(_call, writers(), operations(), idempotency_keys())


def fresh() -> st.SearchStrategy[Fresh]:
    """Ids and a next action that a mutation at `START` may use."""
    return st.builds(Fresh, connection_ids(), session_ids(), st.just(_user(99)), next_actions())


def server_settings() -> st.SearchStrategy[Settings]:
    """What a server chose."""
    return st.builds(
        Settings,
        st.sampled_from((None, *Environment)),
        st.lists(buckets(), max_size=2, unique_by=lambda bucket: bucket.name).map(tuple),
        st.just("https://example.com/problems/"),
        st.sampled_from(("ACTIVE", "AUTHORIZED")),
    )


def requests() -> st.SearchStrategy[Request]:
    """Well-formed requests of every operation: read for a caller that may, each is a `Call`."""
    return st.builds(
        print_request, calls(), st.sampled_from(("Bearer cae_live_k1", "Bearer cae_test_k1"))
    )


def print_request(call: Call, authorization: str) -> Request:
    """The request that reads as `call`: what an app sends.

    Args:
        call: What it asks.
        authorization: The value of its `Authorization` header.
    """
    operation = call.operation
    rule = OPERATIONS[operation_name(operation),].outcome
    headers = [("Authorization", authorization)]
    if call.key is not None:
        escaped = call.key.replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Idempotency-Key", f'"{escaped}"'))
    target, body = rule.path, b""
    match operation:
        case GetConnection() | Reconnect() | Revoke():
            target = rule.path.replace("{connectionId}", quote(operation.connection_id))
        case CreateConnection():
            packages: list[Json] = list(operation.data_packages)
            body = print_json({"appUserId": operation.app_user_id, "dataPackages": packages})
        case Initiate():
            members: dict[str, Json] = {"appUserId": operation.app_user_id}
            if operation.prefer_signup:
                members["preferSignup"] = True
            body = print_json(members)
        case StartGraduation():
            body = print_json({"appUserId": operation.app_user_id})
        case GetAccountState():
            target = f"{rule.path}?{urlencode({'appUserId': operation.app_user_id})}"
            tags = ", ".join(etag(state) for state in sorted(operation.known))
            headers.extend([("If-None-Match", tags)] if tags else [])
    return Request(rule.method, target, tuple(headers), body)


@attrs.frozen
class BrokenRequest:
    """A request that no server may obey.

    Attributes:
        request: The request.
        how: What was done to a well-formed one.
        code: What it must be answered, whoever may otherwise ask.
    """

    request: Request
    how: str
    code: ProblemCode


def broken_requests() -> st.SearchStrategy[BrokenRequest]:
    """Requests broken in one way each; each says which, and how it must be answered."""
    creates = st.builds(CreateConnection, app_user_ids(), data_packages())
    graduations = st.builds(StartGraduation, app_user_ids())

    def broken(
        how: str,
        code: ProblemCode,
        operation: st.SearchStrategy[Operation],
        change: Callable[[Request], Request],
    ) -> st.SearchStrategy[BrokenRequest]:
        return st.builds(_call, writers(), operation, idempotency_keys()).map(
            lambda call: BrokenRequest(change(print_request(call, "Bearer cae_live_k1")), how, code)
        )

    bad, missing = ProblemCode.BAD_REQUEST, ProblemCode.NOT_FOUND
    invalid = ProblemCode.IDEMPOTENCY_KEY_INVALID
    stranger = ProblemCode.UNAUTHENTICATED
    get = st.builds(GetConnection, connection_ids())
    return st.one_of(
        broken("no credentials", stranger, operations(), lambda r: _without(r, "Authorization")),
        broken("two credentials", stranger, operations(), lambda r: _twice(r, "Authorization")),
        broken("unknown method", missing, operations(), lambda r: attrs.evolve(r, method="PUT")),
        broken("unknown path", missing, operations(), lambda r: attrs.evolve(r, target="/nowhere")),
        broken("malformed id", bad, get, lambda r: attrs.evolve(r, target=r.target[:-1])),
        broken("no JSON", bad, creates, lambda r: attrs.evolve(r, body=_text(r) + b"}")),
        broken("no object", bad, creates, lambda r: attrs.evolve(r, body=b"[]")),
        broken("unknown member", bad, creates, lambda r: _member(r, b'"preferSignUp":true')),
        broken("repeated member", bad, creates, lambda r: _member(r, b'"appUserId":"user-1"')),
        broken("null member", bad, creates, lambda r: attrs.evolve(r, body=b'{"appUserId":null}')),
        broken("missing member", bad, creates, lambda r: attrs.evolve(r, body=b"{}")),
        broken(
            "no key",
            ProblemCode.IDEMPOTENCY_KEY_REQUIRED,
            creates,
            lambda r: _without(r, "Idempotency-Key"),
        ),
        broken("two keys", invalid, creates, lambda r: _twice(r, "Idempotency-Key")),
        broken(
            "an unclosed key",
            invalid,
            creates,
            lambda r: _with(_without(r, "Idempotency-Key"), "Idempotency-Key", '"k-1'),
        ),
        broken(
            "a key where none is allowed",
            ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED,
            graduations,
            lambda r: _with(r, "Idempotency-Key", "k-1"),
        ),
    )


def _call(caller: Caller, operation: Operation, key: IdempotencyKey) -> Call:
    rule = OPERATIONS[operation_name(operation),].outcome
    return Call(caller, operation, key if rule.key is KeyUse.NEEDED else None)


def _without(request: Request, name: str) -> Request:
    kept = tuple(pair for pair in request.headers if pair[0] != name)
    return attrs.evolve(request, headers=kept)


def _with(request: Request, name: str, value: str) -> Request:
    return attrs.evolve(request, headers=(*request.headers, (name, value)))


def _twice(request: Request, name: str) -> Request:
    again = tuple(pair for pair in request.headers if pair[0] == name)
    return attrs.evolve(request, headers=request.headers + again)


def _member(request: Request, member: bytes) -> Request:
    # Every body that is broken so is an object with members.
    return attrs.evolve(request, body=b"{" + member + b"," + _text(request)[1:])


def _text(request: Request) -> bytes:
    # `print_request` writes bytes; the type allows more.
    return request.body if isinstance(request.body, bytes) else b"{}"


# --- Facts and problems ---------------------------------------------------------------------


def facts() -> st.SearchStrategy[Fact]:
    """Facts of every kind, of whatever they may be; no `happened_at` is after `START`."""
    return st.one_of(*FACT_STRATEGIES.values())


def problems() -> st.SearchStrategy[Problem]:
    """Problems of every code, each with the facts that its code allows."""
    return st.sampled_from(ProblemCode).flatmap(
        lambda code: st.builds(
            Problem,
            st.just(code),
            st.tuples(*(_FACT[name] for name in CATALOGUE[code,].outcome.details)),
        )
    )


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _user(number: int) -> UserId:
    return UserId(f"u-{number}")


def _next_action(now: datetime) -> NextAction:
    return NextAction("https://connect.example/1", now + LIFETIME)


_FACT: Final[dict[str, st.SearchStrategy[ProblemFact]]] = {
    "member": st.sampled_from((None, "appUserId")),
    "fault": st.sampled_from(Fault),
    "scope": st.just(CONNECTION_WRITE),
    "environment": environments(),
    "connectionId": connection_ids(),
    "dataPackage": data_package(),
    "reason": st.sampled_from(("STILL_PENDING", "ALREADY_ACTIVE")),
    "nextConnectionId": connection_ids(),
    "standing": st.sampled_from(Standing),
    "deadline": instants(),
    "sessionId": session_ids(),
    "expiresAt": instants(),
    "path": st.sampled_from(EntryPath),
    "lifecycleState": st.sampled_from(AccountState),
    "retryAfter": st.integers(1, 60),
    "differs": st.sampled_from(("operation", "values")),
    "policy": st.sampled_from(("initiate", "platform")),
}


OPERATION_STRATEGIES: Final[dict[type[Operation], st.SearchStrategy[Operation]]] = {
    GetConnection: st.builds(GetConnection, connection_ids()),
    Revoke: st.builds(Revoke, connection_ids()),
    Reconnect: st.builds(Reconnect, connection_ids()),
    CreateConnection: st.builds(CreateConnection, app_user_ids(), data_packages()),
    Initiate: st.builds(Initiate, app_user_ids(), st.booleans()),
    GetAccountState: st.builds(
        GetAccountState, app_user_ids(), st.frozensets(st.sampled_from(AccountState))
    ),
    StartGraduation: st.builds(StartGraduation, app_user_ids()),
}
"""One strategy for each operation."""

_HAPPENED: Final = st.sampled_from((None, START))

FACT_STRATEGIES: Final[dict[type[Fact], st.SearchStrategy[Fact]]] = {
    Authorized: st.builds(
        Authorized, connection_ids(), st.sampled_from((None, START + LIFETIME)), _HAPPENED
    ),
    ActionRequired: st.builds(ActionRequired, connection_ids(), reasons(), _HAPPENED),
    Expired: st.builds(Expired, connection_ids(), _HAPPENED),
    Revoked: st.builds(Revoked, connection_ids(), st.sampled_from(Actor), _HAPPENED),
    HandoffCompleted: st.builds(HandoffCompleted, session_ids(), user_ids(), _HAPPENED),
    Graduated: st.builds(Graduated, coordinates(), st.one_of(st.none(), user_ids()), _HAPPENED),
    Tombstoned: st.builds(Tombstoned, coordinates(), _HAPPENED),
}
"""One strategy for each kind of fact."""


def register() -> None:
    """Let `st.from_type` draw the library's types with the strategies above, everywhere.

    From then on `st.from_type(Connection)` draws a reachable connection, and so does
    `st.builds` of anything of yours that has one as a member. The registration is global to
    the process and stays; calling it again changes nothing. `datetime` is left alone: it is
    not the library's type. `st.builds(Connection)` itself still puts a connection together
    from parts that do not know each other; ask for the type instead.
    """
    # Hypothesis takes a NewType here; pyright does not see one as a type.
    st.register_type_strategy(ApiKeyId, api_key_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(AppId, app_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(AppUserId, app_user_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(ConnectionId, connection_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(CustomerAccountId, customer_account_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(DataPackage, data_package())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(IdempotencyKey, idempotency_keys())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(SessionId, session_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(UserId, user_ids())  # pyright: ignore[reportArgumentType]
    for operation in OPERATION_STRATEGIES:
        st.register_type_strategy(operation, OPERATION_STRATEGIES[operation])
    for fact in FACT_STRATEGIES:
        st.register_type_strategy(fact, FACT_STRATEGIES[fact])
    st.register_type_strategy(ApiKey, api_keys())
    st.register_type_strategy(AppUser, app_users())
    st.register_type_strategy(Attempt, attempts())
    st.register_type_strategy(BrokenRequest, broken_requests())
    st.register_type_strategy(Bucket, buckets())
    st.register_type_strategy(BucketState, bucket_states())
    st.register_type_strategy(Call, calls())
    st.register_type_strategy(Caller, callers())
    st.register_type_strategy(Charge, charges())
    st.register_type_strategy(Connection, connections())
    st.register_type_strategy(
        ConnectionIdentity, connections().map(lambda connection: connection.identity)
    )
    st.register_type_strategy(Coordinate, coordinates())
    st.register_type_strategy(CuraeConnectSession, sessions())
    st.register_type_strategy(ExactLog, exact_logs())
    st.register_type_strategy(Fingerprint, fingerprints())
    st.register_type_strategy(Fresh, fresh())
    st.register_type_strategy(History, histories())
    st.register_type_strategy(LimitedAccountAppBinding, bindings())
    st.register_type_strategy(LogState, log_states())
    st.register_type_strategy(NextAction, next_actions())
    st.register_type_strategy(Problem, problems())
    st.register_type_strategy(Record, records())
    st.register_type_strategy(RecordKey, record_keys())
    st.register_type_strategy(Request, requests())
    st.register_type_strategy(Response, responses())
    st.register_type_strategy(ResponseReference, response_references())
    st.register_type_strategy(Settings, server_settings())
