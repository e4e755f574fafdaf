"""JSON text to values and back.

The laws of this module: **every text gives a value or a documented fault**, never another
exception; **what is printed has exactly the listed members**, times in RFC 3339 ending in `Z`,
UUIDs in lower case, nothing internal.

Reading is strict: a member that is unknown, repeated, null, missing or malformed is named by
its fault. cattrs structures what was read, and knows how to store and load the library's own
values for servers that keep them as JSON (`dump`, `load`).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from math import isinf
from typing import Final, NoReturn, TypeVar, cast, get_args

import attrs
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    ConnectionIdentity,
    Standing,
    Status,
    standing,
)
from curae_lifecycle.rules.idempotency import LostLease, Record, RecordState
from curae_lifecycle.rules.outcomes import MoveTo
from curae_lifecycle.rules.problems import DEFAULT_TYPE_BASE, Fault, Problem, ProblemCode, type_uri
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    ArgumentError,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    format_time,
    parse_app_user_id,
    parse_data_packages,
    parse_reason,
    parse_uuid,
)
from curae_lifecycle.service.operations import CreateConnection, Initiate, StartGraduation

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A JSON value as Python holds it."""

DEPTH_MAX: Final = 256
"""How deep a document may be nested; no document of the lifecycle comes near [O]."""

# A string that never ends is one match to the end, so that no text is read twice.
_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)


class RepeatedObject(dict[str, Json]):
    """A JSON object in which a name stood more than once; the last value counts, as ever.

    Attributes:
        pairs: All of its members as they stood.
    """

    def __init__(self, pairs: list[tuple[str, Json]]) -> None:
        """Keep the pairs beside the dict that they make."""
        super().__init__(pairs)
        self.pairs = pairs

    def repeated(self) -> str:
        """The first name that stands again."""
        seen: set[str] = set()
        for name, _ in self.pairs:
            if name in seen:
                return name
            seen.add(name)
        raise AssertionError("an object without a repeated name")  # pragma: no cover - see class


class MalformedError(ValueError):
    """A text or value from outside that cannot be read.

    Attributes:
        member: The member at fault; `None` where it is the whole, or a name we do not know.
        fault: What is wrong with it.
    """

    def __init__(self, member: str | None, fault: Fault) -> None:
        """Name the member and the fault; what stood there is never repeated."""
        super().__init__(f"{member or 'the document'}: {fault}")
        self.member = member
        self.fault = fault


def parse_json(text: bytes | str) -> Json:
    """Read one JSON document as RFC 8259 has it: UTF-8, no NaN, no infinities.

    Objects with a repeated name come back as `RepeatedObject`.

    Raises:
        MalformedError: It is none, nested more than `DEPTH_MAX` deep, or has a number of more
            digits than Python reads.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        if _is_too_deep(decoded):
            raise MalformedError(None, Fault.NOT_JSON)
        value: Json = _DECODER.decode(decoded)
    except (ValueError, RecursionError):
        # Recursion only where the caller's own stack left less room than a document may take.
        raise MalformedError(None, Fault.NOT_JSON) from None
    return value


def _is_too_deep(text: str) -> bool:
    # Counted here, since where Python itself gives up differs from release to release.
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return False
    depth = 0
    for found in _BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif found[0] in "]}":
            depth -= 1
    return False


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else RepeatedObject(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(text)
    return value


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite
)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
)


def format_json(value: Mapping[str, Json]) -> bytes:
    """The compact UTF-8 text of a body."""
    return _ENCODER.encode(value).encode()


def parse_time(argument: str, value: object) -> datetime:
    """An RFC 3339 time ending in `Z`, with at most six fraction digits.

    Raises:
        ArgumentError: Anything else.
    """
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value[:-1]).replace(tzinfo=UTC)
        except ValueError:
            pass
    raise ArgumentError(argument, "an RFC 3339 time ending in Z, at most six fraction digits")


class WireStatus(StrEnum):
    """The five statuses of the wire [S], and the spelling of ACTIVE in two places [P]."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    AUTHORIZED = "AUTHORIZED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


# fmt: off
WIRE_STATUS: Final = Table[Standing, MoveTo[WireStatus]](
    "wire-status",
    "How each standing is spelled on the wire.",
    Axis.of("standing", Standing),
    Row(PENDING,         MoveTo(WireStatus.PENDING),         "[S] Waits for the patient."),
    Row(LAPSED,          MoveTo(WireStatus.EXPIRED), "[O] The wire has five statuses; a lapsed hand-off is recovered like an expiry."),
    Row(ACTIVE,          MoveTo(WireStatus.ACTIVE), "[S] Spelled AUTHORIZED where the server asks for it [P]."),
    Row(ACTION_REQUIRED, MoveTo(WireStatus.ACTION_REQUIRED), "[S] Waits for the patient to act."),
    Row(EXPIRED,         MoveTo(WireStatus.EXPIRED),         "[S] Over, recorded or not."),
    Row(REVOKED,         MoveTo(WireStatus.REVOKED),         "[S] For ever."),
)
# fmt: on

# fmt: off
STORED_STATUS: Final = Table[WireStatus, MoveTo[Status]](
    "stored-status",
    "What each status of the wire is read as; EXPIRED with neither `authorizedAt` nor a reason is a lapsed "
    "PENDING, so that a completion recorded late still wins.",
    Axis.of("wire status", WireStatus),
    Row(WireStatus.PENDING,         MoveTo(Status.PENDING),         "[S] As it is spelled."),
    Row(WireStatus.ACTIVE,          MoveTo(Status.ACTIVE),          "[S] As it is spelled."),
    Row(WireStatus.AUTHORIZED,      MoveTo(Status.ACTIVE),          "[P] Two of the platform's pages spell ACTIVE so."),
    Row(WireStatus.ACTION_REQUIRED, MoveTo(Status.ACTION_REQUIRED), "[S] As it is spelled."),
    Row(WireStatus.EXPIRED,         MoveTo(Status.EXPIRED), "[S] As it is spelled, where it was ever authorized."),
    Row(WireStatus.REVOKED,         MoveTo(Status.REVOKED),         "[S] As it is spelled."),
)
# fmt: on


def format_connection(
    connection: Connection, now: datetime, active_spelling: str = WireStatus.ACTIVE
) -> dict[str, Json]:
    """A connection as it is on the wire at `now` [S].

    Args:
        connection: The connection as stored.
        now: The instant of the answer; the status shown is the standing's.
        active_spelling: ACTIVE, or AUTHORIZED where the server asks for it [P].
    """
    identity = connection.identity
    coordinate = identity.coordinate
    status = WIRE_STATUS[standing(connection, now),].outcome.to
    return {
        "id": identity.id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
        "status": active_spelling if status is WireStatus.ACTIVE else status,
        "dataPackages": list(identity.data_packages),
        "authorizedAt": _print_optional(connection.authorized_at),
        "expiresAt": _print_optional(connection.expires_at),
        "revokedAt": _print_optional(connection.revoked_at),
        "actionRequiredReason": connection.action_required_reason,
        "createdAt": format_time(identity.created_at),
        "updatedAt": format_time(connection.updated_at),
    }


def format_session(session: CuraeConnectSession) -> dict[str, Json]:
    """A connect session as it is on the wire: no user id of the platform [O]."""
    coordinate = session.coordinate
    return {
        "id": session.id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
        "path": session.path,
        "handoff": session.handoff,
        "createdAt": format_time(session.created_at),
        "expiresAt": format_time(session.expires_at),
        "landedAt": _print_optional(session.landed_at),
    }


def format_next_action(next_action: NextAction) -> dict[str, Json]:
    """A next action as it is on the wire [S]."""
    return {
        "type": "open_webview",
        "url": next_action.url,
        "expiresAt": format_time(next_action.expires_at),
    }


def format_problem(
    problem: Problem, type_base: str = DEFAULT_TYPE_BASE, instance: str | None = None
) -> dict[str, Json]:
    """A problem as RFC 9457 has it, with `code`, `details` and `retryable` [S].

    Args:
        problem: Which.
        type_base: The base URI of `type`.
        instance: The server's own URI of this occurrence; a 404 never has one [O].
    """
    kind = problem.type
    document: dict[str, Json] = {
        "type": type_uri(problem.code, type_base),
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "code": problem.code,
        "details": {
            name: format_time(fact) if isinstance(fact, datetime) else fact
            for name, fact in problem.details.items()
        },
        "retryable": kind.retryable,
    }
    if instance is not None and problem.code is not ProblemCode.NOT_FOUND:
        document["instance"] = instance
    return document


def _print_optional(instant: datetime | None) -> str | None:
    return None if instant is None else format_time(instant)


def read_create(body: Json) -> CreateConnection:
    """The body of a create: `{appUserId, dataPackages}` [P].

    Raises:
        MalformedError: What is wrong, and with which member.
    """
    return _structure(body, CreateConnection)


def read_initiate(body: Json) -> Initiate:
    """The body of an initiate: `{appUserId, preferSignup?}` [S].

    Raises:
        MalformedError: What is wrong, and with which member.
    """
    return _structure(body, Initiate)


def read_graduation(body: Json) -> StartGraduation:
    """The body of a graduation hand-off: `{appUserId}` [P].

    Raises:
        MalformedError: What is wrong, and with which member.
    """
    return _structure(body, StartGraduation)


@attrs.frozen
class _Nothing:
    pass


def read_nothing(body: Json) -> None:
    """The body of a reconnect or a revoke: `{}` [S].

    Raises:
        MalformedError: It has a member, or is no object.
    """
    _structure(body, _Nothing)


@attrs.frozen
class _WireConnection:
    id: ConnectionId
    customer_account_id: CustomerAccountId
    app_user_id: AppUserId
    status: WireStatus
    data_packages: tuple[DataPackage, ...]
    authorized_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    action_required_reason: str | None
    created_at: datetime
    updated_at: datetime


def parse_connection(
    document: Json,
    *,
    environment: Environment,
    app_id: AppId,
    predecessor_id: ConnectionId | None = None,
    root_id: ConnectionId | None = None,
) -> Connection:
    """A snapshot of a connection that came over the wire, for instance to be merged [O].

    Args:
        document: The connection as JSON, every member present.
        environment: Kept beside the wire.
        app_id: Kept beside the wire.
        predecessor_id: Kept beside the wire.
        root_id: Kept beside the wire; the connection's own id where absent.

    Raises:
        MalformedError: What is wrong, and with which member. An unknown status is malformed:
            it never grants anything.
    """
    wire = _structure(document, _WireConnection)
    status = STORED_STATUS[wire.status,].outcome.to
    lapsed = (
        status is Status.EXPIRED
        and wire.authorized_at is None
        and wire.action_required_reason is None
    )
    return Connection(
        ConnectionIdentity(
            wire.id,
            Coordinate(environment, app_id, wire.customer_account_id, wire.app_user_id),
            wire.data_packages,
            wire.created_at,
            predecessor_id,
            wire.id if root_id is None else root_id,
        ),
        Status.PENDING if lapsed else status,
        wire.updated_at,
        # The wire does not tell the deadline; over it was when the snapshot was taken.
        wire.updated_at if lapsed else None,
        wire.authorized_at,
        wire.expires_at,
        wire.action_required_reason,
        wire.revoked_at,
        None,
    )


_Document = TypeVar(
    "_Document", CreateConnection, Initiate, StartGraduation, _Nothing, _WireConnection
)


def _structure(document: Json, kind: type[_Document]) -> _Document:
    if not isinstance(document, dict):
        raise MalformedError(None, Fault.NOT_AN_OBJECT)
    if isinstance(document, RepeatedObject):
        name = document.repeated()
        known = name in {_camel(field.name) for field in attrs.fields(kind)}
        raise MalformedError(name if known else None, Fault.REPEATED)
    try:
        return _wire_converter().structure(document, kind)
    except ForbiddenExtraKeysError:
        raise MalformedError(None, Fault.UNKNOWN) from None
    except KeyError as missing:
        raise MalformedError(str(missing.args[0]), Fault.MISSING) from None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


@cache
def _wire_converter() -> Converter:
    # Each hook knows its member, since no two members of a kind share a type but times do.
    converter = Converter(forbid_extra_keys=True, detailed_validation=False)
    for kind in (CreateConnection, Initiate, StartGraduation, _Nothing, _WireConnection):
        hooks = {
            field.name: override(
                rename=_camel(field.name), struct_hook=_member_hook(_camel(field.name))
            )
            for field in attrs.fields(kind)
        }
        converter.register_structure_hook(
            kind,
            make_dict_structure_fn(
                kind,
                converter,
                # The names are members, none of them an option of cattrs.
                **hooks,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            ),
        )
    return converter


def _member_hook(member: str) -> Callable[[object, object], object]:
    parse = _MEMBERS[member]

    def structure(value: object, _: object) -> object:
        try:
            return parse(value)
        except ArgumentError:
            fault = Fault.NULL if value is None else Fault.INVALID
            raise MalformedError(member, fault) from None

    return structure


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ArgumentError("preferSignup", "true or false")


def _parse_status(value: object) -> WireStatus:
    if isinstance(value, str) and value in WireStatus.__members__:
        return WireStatus(value)
    raise ArgumentError("status", f"one of {', '.join(WireStatus)}")


def _optional(parse: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else parse(value)


def _time(member: str) -> Callable[[object], datetime]:
    return lambda value: parse_time(member, value)


_MEMBERS: Final[dict[str, Callable[[object], object]]] = {
    "id": lambda value: parse_uuid("id", value),
    "customerAccountId": lambda value: parse_uuid("customerAccountId", value),
    "appUserId": parse_app_user_id,
    "preferSignup": _parse_flag,
    "status": _parse_status,
    "dataPackages": parse_data_packages,
    "authorizedAt": _optional(_time("authorizedAt")),
    "expiresAt": _optional(_time("expiresAt")),
    "revokedAt": _optional(_time("revokedAt")),
    "actionRequiredReason": _optional(parse_reason),
    "createdAt": _time("createdAt"),
    "updatedAt": _time("updatedAt"),
}


Storable = (
    Connection | CuraeConnectSession | LimitedAccountAppBinding | Record | LogState | BucketState
)
"""What `dump` and `load` know."""

_Stored = TypeVar("_Stored", bound=Storable)


def dump(value: Storable) -> dict[str, Json]:
    """A value as JSON for a server's own store: everything, internals too, never the wire."""
    dumped: dict[str, Json] = _store_converter().unstructure(value)
    return dumped


def load(kind: type[_Stored], document: Json) -> _Stored:
    """A value that `dump` printed.

    Raises:
        MalformedError: Anything else, including what a later release may have added.
    """
    if not isinstance(document, dict) or _has_repeats(document):
        raise MalformedError(None, Fault.INVALID)
    try:
        return _store_converter().structure(document, kind)
    except (BaseValidationError, ArgumentError) as error:
        raise MalformedError(None, Fault.INVALID) from error


def _has_repeats(value: Json) -> bool:
    if isinstance(value, dict):
        return isinstance(value, RepeatedObject) or any(map(_has_repeats, value.values()))
    return isinstance(value, list) and any(map(_has_repeats, value))


_STORED_ENUMS: Final[tuple[type[StrEnum], ...]] = (
    Environment,
    Status,
    Actor,
    EntryPath,
    Handoff,
    AccountState,
    RecordState,
    LostLease,
)


@cache
def _store_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(datetime, format_time)
    converter.register_structure_hook(datetime, lambda value, _: parse_time("time", value))
    converter.register_unstructure_hook(bytes, lambda value: b64encode(value).decode())
    converter.register_structure_hook(bytes, lambda value, _: b64decode(value, validate=True))
    # cattrs would turn 5 into "5" and "abc" into three packages; a store that does so hides
    # its mistakes. The hook for str would also catch every StrEnum, so each has its own.
    converter.register_structure_hook(str, lambda value, _: _exactly(str, value))
    converter.register_structure_hook(int, lambda value, _: _exactly(int, value))
    for kind in _STORED_ENUMS:
        converter.register_structure_hook(kind, lambda value, kind: kind(value))
    converter.register_structure_hook_func(
        _is_tuple,
        lambda value, kind: _structure_tuple(converter, value, get_args(kind)),
    )
    return converter


def _is_tuple(kind: object) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _structure_tuple(
    converter: Converter, value: object, kinds: tuple[object, ...]
) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ArgumentError("value", "a list")
    items = cast("Collection[object]", value)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    return tuple(
        converter.structure(item, cast("type[object]", kind))
        for item, kind in zip(items, kinds, strict=True)
    )


_Exact = TypeVar("_Exact", str, int)


def _exactly(kind: type[_Exact], value: object) -> _Exact:
    # A bool is an int to Python and no number to a store.
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    raise ArgumentError("value", f"of type {kind.__name__}")
