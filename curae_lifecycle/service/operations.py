"""One request: what each operation needs loaded, and what it decides from that.

The laws of this module: **a request is decided purely, in one order** (`ORDER`), from a
snapshot, the instant and fresh ids; **refused, ignored and replayed requests write nothing but
their idempotency record and their rate limits, and emit no event**. Every write says what was
there before, so that a store compares and sets and two workers that race cannot both win.

A server does three things: it loads what `needs` names, calls `decide`, and stores the writes
of the decision in one transaction.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

import attrs

from curae_lifecycle.rules.binding import (
    AccountState,
    LimitedAccountAppBinding,
    account_state,
    check_coordinate,
    start_graduation,
)
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    Minted,
    authorize,
    create,
    reconnect,
    revoke_chain,
)
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    Record,
    RecordKey,
    StoredResponse,
    begin,
)
from curae_lifecycle.rules.outcomes import Done, Refused, RefuseWith
from curae_lifecycle.rules.problems import DEFAULT_TYPE_BASE, DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import (
    FRESH_LOG,
    FULL_BUCKET,
    GRADUATION_LIMIT,
    INITIATE_LIMIT,
    Bucket,
    Charge,
    ExactLog,
    Limited,
    RateState,
    admit,
    admit_one,
)
from curae_lifecycle.rules.session import CuraeConnectSession, initiate
from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.rules.values import (
    AppUserId,
    ArgumentError,
    ConnectionId,
    Coordinate,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
    ceil_seconds,
    check_instant,
)
from curae_lifecycle.service.changes import (
    NO_CHANGES,
    BindingWrite,
    BucketKey,
    Changes,
    ConnectionWrite,
    Effect,
    Event,
    EventKind,
    LimitKey,
    NextActionReplaced,
    RateWrite,
    SessionWrite,
    UserProvisioned,
    Write,
    authorization_changes,
    connection_changes,
    recovery_changes,
    revocation_changes,
)


class Gate(StrEnum):
    """What a request passes, in this order [O]."""

    CREDENTIALS = "credentials"
    ROUTE = "path and method"
    PERMISSION = "environment and scope"
    BODY = "path ids, query and body"
    KEY_ALLOWED = "no key where none is allowed"
    KEY_GIVEN = "a key where one is needed"
    KEY_READABLE = "a key that can be read"
    BUCKETS = "the platform's buckets"
    IDEMPOTENCY = "the key's record"
    LIMIT = "the app user's limit"
    OWNERSHIP = "ownership"
    RULE = "the rule itself"
    ROOM = "room in the store"


@attrs.frozen
class AskTable:
    """A cell's verdict: another table decides.

    Attributes:
        table: Its name; several where they are asked one after the other.
    """

    table: str

    def __str__(self) -> str:
        return f"see {self.table}"


# fmt: off
ORDER: Final = Table[Gate, RefuseWith | AskTable](
    "request",
    "What a request passes, in this order, and what it is answered where it does not.",
    Axis.of("gate", Gate),
    Row(CREDENTIALS,  RefuseWith(ProblemCode.UNAUTHENTICATED), "[O] Nothing is told to a stranger, not even whether a path exists."),
    Row(ROUTE,        RefuseWith(ProblemCode.NOT_FOUND), "[O] An unknown path or method; it charges no bucket."),
    Row(PERMISSION,   AskTable('permission'), "[S] A mutation needs connection:write; an environment meets its own keys only [P]."),
    Row(BODY,         RefuseWith(ProblemCode.BAD_REQUEST), "[O] Strict, since a mistyped member would be silently ignored."),
    Row(KEY_ALLOWED,  RefuseWith(ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED), "[P] A graduation hand-off rejects a key: a replayed token would be stale.", "key-not-allowed"),
    Row(KEY_GIVEN,    RefuseWith(ProblemCode.IDEMPOTENCY_KEY_REQUIRED), "[S] Every other mutation needs one.", "key-required"),
    Row(KEY_READABLE, RefuseWith(ProblemCode.IDEMPOTENCY_KEY_INVALID), "[O] A key that two parties could read differently protects neither.", "key-invalid"),
    Row(BUCKETS,      RefuseWith(ProblemCode.RATE_LIMITED), "[S] The platform's standard buckets; a refusal charges nothing [O]."),
    Row(IDEMPOTENCY,  AskTable('idempotency'), "[S] Before the app user's limit, so a lost answer can be learned at the limit [O]."),
    Row(LIMIT,        RefuseWith(ProblemCode.RATE_LIMITED), "[S] Ten a minute for one app user; a refusal charges nothing [O]."),
    Row(OWNERSHIP,    RefuseWith(ProblemCode.NOT_FOUND), "[O] Another tenant's id and an unknown id answer alike."),
    Row(RULE,         AskTable('connection, recovery, entry-path, graduation-handoff'), "[S] What the operation itself decides."),
    Row(ROOM,         RefuseWith(ProblemCode.INTERNAL), "[O] A full store refuses what is new and evicts nothing live."),
)
# fmt: on


def refuse_at(gate: Gate, facts: tuple[DetailValue, ...] = ()) -> Refused:
    """The refusal of a gate, as the table has it.

    Args:
        gate: The gate that was not passed.
        facts: The facts of its problem.
    """
    row = ORDER[gate,]
    verdict = row.outcome
    assert isinstance(verdict, RefuseWith)  # noqa: S101 - the other gates' own tables refuse
    return Refused(Problem(verdict.code, facts), row.rules)


class OperationName(StrEnum):
    """The seven paths; the name is part of a request's fingerprint."""

    CREATE_CONNECTION = "create-connection"
    GET_CONNECTION = "get-connection"
    RECONNECT = "reconnect"
    REVOKE = "revoke"
    INITIATE = "initiate"
    ACCOUNT_STATE = "account-state"
    GRADUATION_HANDOFF = "graduation-handoff"


class KeyUse(StrEnum):
    """What an operation does with an `Idempotency-Key`."""

    NEEDED = "key needed"
    NOT_ALLOWED = "key not allowed"
    UNUSED = "key not looked at"


@attrs.frozen
class OperationRule:
    """What holds for an operation before its own rule is asked.

    Attributes:
        method: The HTTP method.
        path: The path; `{connectionId}` stands for a UUID.
        scope: The scope it needs; `None` for a read.
        key: What it does with an idempotency key.
        limit: The app user's limit it is counted by, where there is one.
        status: The HTTP status of success.
    """

    method: str
    path: str
    scope: str | None
    key: KeyUse
    limit: ExactLog | None
    status: int

    def __str__(self) -> str:
        limit = "no limit" if self.limit is None else f"{self.limit.limit} a minute"
        scope = self.scope or "no scope"
        return f"{self.method} {self.path} → {self.status}; {scope}, {self.key}, {limit}"


_BASE: Final = "/api/sdk/v1"

# fmt: off
OPERATIONS: Final = Table[OperationName, OperationRule](
    "operation",
    "What each operation needs before its own rule is asked, and its status of success.",
    Axis.of("operation", OperationName),
    Row(OperationName.CREATE_CONNECTION,  OperationRule('POST', f'{_BASE}/connections', CONNECTION_WRITE, KeyUse.NEEDED, None, 201), "[P] Mints a PENDING connection."),
    Row(OperationName.GET_CONNECTION,     OperationRule('GET', f'{_BASE}/connections/{{connectionId}}', None, KeyUse.UNUSED, None, 200), "[P] A pending connection whose hand-off has landed heals."),
    Row(OperationName.RECONNECT,          OperationRule('POST', f'{_BASE}/connections/{{connectionId}}:reconnect', CONNECTION_WRITE, KeyUse.NEEDED, None, 201), "[S] Starts a recovery."),
    Row(OperationName.REVOKE,             OperationRule('POST', f'{_BASE}/connections/{{connectionId}}:revoke', CONNECTION_WRITE, KeyUse.NEEDED, None, 200), "[S] Ends the access of one connection, for ever."),
    Row(OperationName.INITIATE,           OperationRule('POST', f'{_BASE}/curae-connect/initiate', CONNECTION_WRITE, KeyUse.NEEDED, INITIATE_LIMIT, 201), "[S] Mints a fresh session."),
    Row(OperationName.ACCOUNT_STATE,      OperationRule('GET', f'{_BASE}/curae-connect/account-state', None, KeyUse.UNUSED, None, 200), "[P] Read-only; charges the coordinate nothing."),
    Row(OperationName.GRADUATION_HANDOFF, OperationRule('POST', f'{_BASE}/curae-connect/graduation-handoff', CONNECTION_WRITE, KeyUse.NOT_ALLOWED, GRADUATION_LIMIT, 201), "[P] Mints a next action."),
)
# fmt: on


@attrs.frozen
class CreateConnection:
    """`{appUserId, dataPackages}` to a PENDING connection and a next action [P]."""

    app_user_id: AppUserId
    data_packages: tuple[DataPackage, ...]


@attrs.frozen
class GetConnection:
    """One connection, without a next action [P]."""

    connection_id: ConnectionId


@attrs.frozen
class Reconnect:
    """Recover a connection [S]."""

    connection_id: ConnectionId


@attrs.frozen
class Revoke:
    """Revoke a connection [S]."""

    connection_id: ConnectionId


@attrs.frozen
class Initiate:
    """Mint a connect session [S]."""

    app_user_id: AppUserId
    prefer_signup: bool = False


@attrs.frozen
class GetAccountState:
    """The coordinate's account state [P].

    Attributes:
        app_user_id: Whose.
        known: The states whose entity tag the client already holds.
    """

    app_user_id: AppUserId
    known: frozenset[AccountState] = frozenset()


@attrs.frozen
class StartGraduation:
    """A graduation hand-off [P]."""

    app_user_id: AppUserId


Operation = (
    CreateConnection
    | GetConnection
    | Reconnect
    | Revoke
    | Initiate
    | GetAccountState
    | StartGraduation
)


@attrs.frozen
class Settings:
    """What a server chooses.

    Attributes:
        environment: The one environment it serves; `None` for both.
        buckets: The platform's standard buckets, one of each per API key; names are unique.
        type_base: The base URI of a problem's `type`.
        active_spelling: How ACTIVE is spelled on the wire: ACTIVE, or AUTHORIZED [P].
    """

    environment: Environment | None = None
    buckets: tuple[Bucket, ...] = ()
    type_base: str = DEFAULT_TYPE_BASE
    active_spelling: str = attrs.field(
        default="ACTIVE", validator=attrs.validators.in_(("ACTIVE", "AUTHORIZED"))
    )

    def __attrs_post_init__(self) -> None:
        """Refuse two buckets of one name: their states would be mixed up."""
        if len({bucket.name for bucket in self.buckets}) < len(self.buckets):
            raise ArgumentError("buckets", "of different names")


DEFAULT_SETTINGS: Final = Settings()


@attrs.frozen
class Call:
    """A request that was read and may be decided.

    Attributes:
        caller: Whom its API key stands for.
        operation: What it asks.
        key: Its idempotency key, where the operation needs one.
    """

    caller: Caller
    operation: Operation
    key: IdempotencyKey | None = None


@attrs.frozen
class Needs:
    """What the server loads for a call, all of it by key.

    Attributes:
        record: The idempotency record.
        buckets: The states of the platform's buckets, in this order.
        limit: The state of the app user's limit.
        connection: The connection, and every later one of its chain.
        binding: The binding of the coordinate.
    """

    record: RecordKey | None
    buckets: tuple[BucketKey, ...]
    limit: LimitKey | None
    connection: ConnectionId | None
    binding: Coordinate | None


@attrs.frozen
class LandedHandoff:
    """A hand-off of a pending connection that the server knows to have landed [P].

    Attributes:
        happened_at: When the patient authorized.
        expires_at: When the authorization ends; `None` for no end.
    """

    happened_at: datetime
    expires_at: datetime | None


@attrs.frozen
class Snapshot:
    """What was loaded; `None` and `()` for what is not there.

    Attributes:
        record: As `Needs.record`.
        buckets: As `Needs.buckets`, one for each.
        limit: As `Needs.limit`.
        connection: As `Needs.connection`.
        following: Every later connection of the chain, nearest first.
        binding: As `Needs.binding`.
        landed: Where the connection's hand-off has landed and that is not recorded yet.
    """

    record: Record | None = None
    buckets: tuple[RateState | None, ...] = ()
    limit: RateState | None = None
    connection: Connection | None = None
    following: tuple[Connection, ...] = ()
    binding: LimitedAccountAppBinding | None = None
    landed: LandedHandoff | None = None


@attrs.frozen
class NewIds:
    """Ids and the next action that a mutation may use; the server mints them.

    Attributes:
        connection_id: For a new connection.
        session_id: For a new session.
        user_id: For a LIMITED user that is provisioned.
        next_action: What the app must show; it lives 30 minutes unless the server says
            otherwise [O].
    """

    connection_id: ConnectionId
    session_id: SessionId
    user_id: UserId
    next_action: NextAction


@attrs.frozen
class ConnectionCreated:
    """Answers a create: `{connection, nextAction}`."""

    connection: Connection
    next_action: NextAction


@attrs.frozen
class ConnectionShown:
    """Answers a get: `{connection}`."""

    connection: Connection


@attrs.frozen
class ConnectionReconnected:
    """Answers a reconnect: `{connection, previousConnectionId, nextAction}`."""

    connection: Connection
    previous_connection_id: ConnectionId
    next_action: NextAction


@attrs.frozen
class ConnectionRevoked:
    """Answers a revoke: `{connection, revokedNow}`."""

    connection: Connection
    revoked_now: bool


@attrs.frozen
class SessionInitiated:
    """Answers an initiate: `{session, nextAction}`."""

    session: CuraeConnectSession
    next_action: NextAction


@attrs.frozen
class AccountStateShown:
    """Answers an account state: `{lifecycleState}`, or nothing where the client knows it."""

    state: AccountState
    known: bool


@attrs.frozen
class GraduationStarted:
    """Answers a graduation hand-off: `{nextAction}`."""

    next_action: NextAction


@attrs.frozen
class ProblemReply:
    """Answers with a problem.

    Attributes:
        problem: Which.
        limited: The rate limit that refused, where one did: its headers are told.
    """

    problem: Problem
    limited: Limited | None = None


@attrs.frozen
class Replayed:
    """Answers what was answered before, byte for byte."""

    response: StoredResponse


FreshReply = (
    ConnectionCreated
    | ConnectionShown
    | ConnectionReconnected
    | ConnectionRevoked
    | SessionInitiated
    | AccountStateShown
    | GraduationStarted
    | ProblemReply
)
"""What is decided anew."""

Reply = FreshReply | Replayed


@attrs.frozen
class Decision:
    """What a request is answered, and what is to be stored for it in one transaction.

    Attributes:
        reply: The answer, as a value.
        status: Its HTTP status.
        at: The instant it was decided for.
        changes: Writes, effects and events, without the idempotency record.
        rules: The names of the rules that decided, in order; the last one had the last word.
        attempt: Where the answer is to be kept under the request's key.
        record: The record as loaded, for the write of the kept answer.
    """

    reply: Reply
    status: int
    at: datetime
    changes: Changes
    rules: tuple[str, ...]
    attempt: Attempt | None = None
    record: Record | None = None

    @property
    def replayed(self) -> bool:
        """Whether the answer was given before: told beside the response, not in it."""
        return isinstance(self.reply, Replayed)


def operation_name(operation: Operation) -> OperationName:
    """The operation's name."""
    return _NAMES[type(operation)]


_NAMES: Final[dict[type[Operation], OperationName]] = {
    CreateConnection: OperationName.CREATE_CONNECTION,
    GetConnection: OperationName.GET_CONNECTION,
    Reconnect: OperationName.RECONNECT,
    Revoke: OperationName.REVOKE,
    Initiate: OperationName.INITIATE,
    GetAccountState: OperationName.ACCOUNT_STATE,
    StartGraduation: OperationName.GRADUATION_HANDOFF,
}


def fingerprint(operation: Operation) -> Fingerprint:
    """What makes two requests the same: the parsed values, never their text [O]."""
    name = _NAMES[type(operation)]
    match operation:
        case Initiate():
            preference = "true" if operation.prefer_signup else "false"
            return Fingerprint.of(name, operation.app_user_id, preference)
        case CreateConnection():
            return Fingerprint.of(name, operation.app_user_id, *operation.data_packages)
        case GetConnection() | Reconnect() | Revoke():
            return Fingerprint.of(name, operation.connection_id)
        case GetAccountState() | StartGraduation():
            return Fingerprint.of(name, operation.app_user_id)


def needs(call: Call, settings: Settings = DEFAULT_SETTINGS) -> Needs:
    """What the server must load before it decides the call."""
    operation = call.operation
    coordinate = _coordinate(call)
    limit = OPERATIONS[_NAMES[type(operation)],].outcome.limit
    connection_id: ConnectionId | None = None
    if isinstance(operation, GetConnection | Reconnect | Revoke):
        connection_id = operation.connection_id
    return Needs(
        _record_key(call),
        _bucket_keys(call, settings),
        None if limit is None or coordinate is None else _limit_key(coordinate, limit),
        connection_id,
        coordinate,
    )


def _record_key(call: Call) -> RecordKey | None:
    return None if call.key is None else RecordKey(call.caller.api_key_id, call.key)


def _bucket_keys(call: Call, settings: Settings) -> tuple[BucketKey, ...]:
    owner = call.caller.api_key_id
    return tuple([BucketKey(owner, bucket.name) for bucket in settings.buckets])


def _limit_key(coordinate: Coordinate, limit: ExactLog) -> LimitKey:
    return LimitKey(coordinate.app_user, limit.name)


def _coordinate(call: Call) -> Coordinate | None:
    operation = call.operation
    if isinstance(operation, Initiate | GetAccountState | StartGraduation):
        return call.caller.coordinate(operation.app_user_id)
    return None


def decide(
    call: Call,
    snapshot: Snapshot,
    now: datetime,
    new_ids: NewIds | None = None,
    settings: Settings = DEFAULT_SETTINGS,
) -> Decision:
    """Decide one request [S, P; the order O].

    Args:
        call: The request, read.
        snapshot: What was loaded for `needs(call, settings)`.
        now: The instant of the request.
        new_ids: Ids and a next action; a mutation needs them, a read does not.
        settings: What the server chose.

    Returns:
        The answer as a value, with everything that is to be stored for it. Compare and set;
        where that fails, somebody was faster: load again and decide again.

    Raises:
        ArgumentError: `now` is no UTC instant, `new_ids` is missing or stale, or the snapshot is
            not the one that was asked for.
    """
    check_instant("now", now)
    rule = OPERATIONS.cells[_NAMES[type(call.operation)],]
    charges = _charge_buckets(call, snapshot, now, settings)
    if isinstance(charges, Limited):
        return _limited(charges, Gate.BUCKETS, now)
    attempt: Attempt | None = None
    rules = rule.rules
    record_key = _record_key(call)
    if record_key is not None:
        begun = begin(snapshot.record, record_key, fingerprint(call.operation), now)
        if isinstance(begun, KnownResponse):
            replay = Replayed(begun.response)
            return Decision(replay, begun.response.status, now, Changes(charges), begun.rules)
        if isinstance(begun, Refused):
            status = begun.problem.type.status
            return Decision(ProblemReply(begun.problem), status, now, Changes(charges), begun.rules)
        attempt = begun
        rules = begun.rules + rules
    coordinate = _coordinate(call)
    if coordinate is not None:
        check_coordinate(snapshot.binding, coordinate)
    limit = rule.outcome.limit
    if limit is not None and coordinate is not None:
        charge = _charge_limit(limit, coordinate, snapshot.limit, now)
        if isinstance(charge, Limited):
            return _limited(charge, Gate.LIMIT, now)
        charges = (*charges, charge)
    ruling = _rule(call, coordinate, snapshot, now, new_ids)
    reply = ruling.reply
    status = rule.outcome.status
    if isinstance(reply, ProblemReply):
        status = reply.problem.type.status
    elif isinstance(reply, AccountStateShown) and reply.known:
        status = _NOT_MODIFIED
    changes = ruling.changes
    return Decision(
        reply,
        status,
        now,
        Changes(charges + changes.writes, changes.effects, changes.events),
        rules + ruling.rules,
        attempt,
        snapshot.record,
    )


_NOT_MODIFIED: Final = 304


@attrs.frozen
class _Ruling:
    reply: Reply
    rules: tuple[str, ...]
    changes: Changes = NO_CHANGES


def _rule(
    call: Call,
    coordinate: Coordinate | None,
    snapshot: Snapshot,
    now: datetime,
    new_ids: NewIds | None,
) -> _Ruling:
    operation = call.operation
    match operation:
        case Initiate():
            assert coordinate is not None  # noqa: S101 - it names an app user
            return _initiate(coordinate, operation, snapshot, now, _required(new_ids))
        case CreateConnection():
            return _create(call.caller, operation, now, _required(new_ids))
        case GetAccountState():
            state = account_state(snapshot.binding)
            return _Ruling(AccountStateShown(state, state in operation.known), ())
        case StartGraduation():
            return _start_graduation(snapshot, new_ids)
        case GetConnection() | Reconnect() | Revoke():
            connection = snapshot.connection
            if connection is None or not call.caller.owns(connection):
                return _refusal(refuse_at(Gate.OWNERSHIP))
            if connection.id != operation.connection_id:
                raise ArgumentError("snapshot.connection", "the connection that was asked for")
            next_one = snapshot.following[0] if snapshot.following else None
            if next_one is not None and next_one.identity.predecessor_id != connection.id:
                raise ArgumentError("snapshot.following", "the later connections of the chain")
            return _on_connection(operation, connection, snapshot, now, new_ids)
        case _ as never:
            assert_never(never)


def _on_connection(
    operation: GetConnection | Reconnect | Revoke,
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    new_ids: NewIds | None,
) -> _Ruling:
    match operation:
        case GetConnection():
            return _get(connection, snapshot, now)
        case Reconnect():
            return _reconnect(connection, snapshot, now, _required(new_ids))
        case Revoke():
            return _revoke(connection, snapshot, now)


def _create(caller: Caller, operation: CreateConnection, now: datetime, new_ids: NewIds) -> _Ruling:
    made = create(
        id=new_ids.connection_id,
        coordinate=caller.coordinate(operation.app_user_id),
        data_packages=operation.data_packages,
        now=now,
        next_action=new_ids.next_action,
    )
    changes = connection_changes(EventKind.CONNECTION_CREATED, None, made)
    return _Ruling(ConnectionCreated(made, new_ids.next_action), (), changes)


def _get(connection: Connection, snapshot: Snapshot, now: datetime) -> _Ruling:
    landed = snapshot.landed
    if landed is None:
        return _Ruling(ConnectionShown(connection), ())
    check_instant("landed.happened_at", landed.happened_at)
    # A clock ahead of ours may have seen it land: it is recorded no earlier than it happened.
    healed = authorize(
        connection,
        max(now, landed.happened_at),
        expires_at=landed.expires_at,
        happened_at=landed.happened_at,
        successor=snapshot.following[0] if snapshot.following else None,
    )
    if not isinstance(healed, Done):
        return _Ruling(ConnectionShown(connection), healed.rules)
    changes = authorization_changes(connection, healed.value)
    return _Ruling(ConnectionShown(healed.value), healed.rules, changes)


def _reconnect(
    connection: Connection, snapshot: Snapshot, now: datetime, new_ids: NewIds
) -> _Ruling:
    answer = reconnect(
        connection,
        snapshot.following[0] if snapshot.following else None,
        now,
        id=new_ids.connection_id,
        next_action=new_ids.next_action,
    )
    if isinstance(answer, Refused):
        return _refusal(answer)
    recovery = answer.value
    recovered = recovery.connection
    if isinstance(recovery, Minted):
        changes = recovery_changes(connection, recovered)
    else:
        coordinate = recovered.identity.coordinate
        changes = Changes(
            (ConnectionWrite(recovery.before, recovered),),
            (NextActionReplaced(recovered.id),),
            (Event(EventKind.CONNECTION_REISSUED, coordinate, recovered.id, now),),
        )
    reply = ConnectionReconnected(recovered, connection.id, new_ids.next_action)
    return _Ruling(reply, answer.rules, changes)


def _revoke(connection: Connection, snapshot: Snapshot, now: datetime) -> _Ruling:
    # A clock behind the one that created the connection revokes it all the same.
    now = max(now, connection.identity.created_at)
    answers = revoke_chain(connection, snapshot.following, now, actor=Actor.APP)
    named = answers[0]
    return _Ruling(
        ConnectionRevoked(named.value, isinstance(named, Done)),
        named.rules,
        revocation_changes(connection, snapshot.following, answers, now, Actor.APP),
    )


def _initiate(
    coordinate: Coordinate, operation: Initiate, snapshot: Snapshot, now: datetime, new_ids: NewIds
) -> _Ruling:
    before = snapshot.binding
    answer = initiate(
        before,
        coordinate,
        now,
        prefer_signup=operation.prefer_signup,
        id=new_ids.session_id,
        user_id=new_ids.user_id,
        next_action=new_ids.next_action,
    )
    session, after = answer.value.session, answer.value.binding
    writes: tuple[Write, ...] = (SessionWrite(None, session),)
    effects: tuple[Effect, ...] = ()
    events: tuple[Event, ...] = (Event(EventKind.SESSION_INITIATED, coordinate, session.id, now),)
    if after is not None and after is not before:
        writes += (BindingWrite(before, after),)
        effects = (UserProvisioned(after.user_id, coordinate),)
        events += (Event(EventKind.BINDING_PROVISIONED, coordinate, None, now),)
    reply = SessionInitiated(session, new_ids.next_action)
    return _Ruling(reply, answer.rules, Changes(writes, effects, events))


def _start_graduation(snapshot: Snapshot, new_ids: NewIds | None) -> _Ruling:
    answer = start_graduation(snapshot.binding)
    if isinstance(answer, Refused):
        return _refusal(answer)
    return _Ruling(GraduationStarted(_required(new_ids).next_action), answer.rules)


def _refusal(refused: Refused) -> _Ruling:
    return _Ruling(ProblemReply(refused.problem), refused.rules)


def _required(new_ids: NewIds | None) -> NewIds:
    if new_ids is None:
        raise ArgumentError("new_ids", "given for a mutation")
    return new_ids


def _limited(limited: Limited, gate: Gate, now: datetime) -> Decision:
    wait = ceil_seconds(limited.retry_after)
    refused = refuse_at(gate, (limited.policy.name, wait))
    problem = refused.problem
    status = problem.type.status
    return Decision(ProblemReply(problem, limited), status, now, NO_CHANGES, refused.rules)


def _charge_buckets(
    call: Call, snapshot: Snapshot, now: datetime, settings: Settings
) -> tuple[Write, ...] | Limited:
    buckets = settings.buckets
    if not buckets:
        return ()
    if len(snapshot.buckets) != len(buckets):
        raise ArgumentError("snapshot.buckets", "a state or None for each bucket of the settings")
    charges = tuple(
        [
            Charge(bucket, FULL_BUCKET if state is None else state)
            for bucket, state in zip(buckets, snapshot.buckets, strict=True)
        ]
    )
    answer = admit(charges, now)
    if isinstance(answer, Limited):
        return answer
    keys = _bucket_keys(call, settings)
    return tuple(
        [
            RateWrite(key, bucket, before, after)
            for key, bucket, before, after in zip(
                keys, buckets, snapshot.buckets, answer.states, strict=True
            )
        ]
    )


def _charge_limit(
    limit: ExactLog, coordinate: Coordinate, stored: RateState | None, now: datetime
) -> RateWrite | Limited:
    after = admit_one(limit, FRESH_LOG if stored is None else stored, now)
    if isinstance(after, Limited):
        return after
    return RateWrite(_limit_key(coordinate, limit), limit, stored, after)
