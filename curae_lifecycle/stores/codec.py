"""The library's values as JSON, for servers that store them as JSON.

The law of this module: **`load` reads what `dump` wrote, and nothing else**. A document of an
earlier release goes through the upgrades of `formats` first. Each class is listed here once, with
its members in the order of its fields; reading and writing both follow from that list.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar, cast

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Status
from curae_lifecycle.rules.credentials import Caller, KeyOwner
from curae_lifecycle.rules.errors import ArgumentError, describe
from curae_lifecycle.rules.idempotency import (
    Fingerprint,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import MAX_INTEGER, BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    Coordinate,
    Environment,
    format_time,
    parse_time,
    to_epoch_microseconds,
)
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Headers, Response, ResponseReference
from curae_lifecycle.stores.formats import (
    FORMAT,
    newest_format,
    number_document,
    upgrade_document,
)
from curae_lifecycle.stores.object_codec import (
    Document,
    FieldCodec,
    ObjectCodec,
    field_codec,
    nullable,
)
from curae_lifecycle.web.json import MalformedError, has_duplicate_keys

Storable = (
    Connection
    | CuraeConnectSession
    | LimitedAccountAppBinding
    | Record
    | LogState
    | BucketState
    | Caller
    | HostedPage
)
"""A value that a store keeps: `dump` makes a JSON document of it, and `load` reads that."""

_Stored = TypeVar("_Stored", bound=Storable)


def dump(value: Storable) -> dict[str, Json]:
    """Return a value as a JSON document that `load` reads, for a server that stores JSON.

    The document holds every member of the value, internal ones too. Never send it to a client.

    Raises:
        ArgumentError: The value is of no class that `Storable` lists.
    """
    kind = type(value)
    if kind not in _CODECS:
        raise ArgumentError("value", _show_classes(), describe(value))
    members = cast("dict[str, Json]", _CODECS[kind].write(value))
    return number_document(kind.__name__, members)


def load(kind: type[_Stored], document: Json) -> _Stored:
    """Return the value that a document of `dump` holds, of this release or an earlier one.

    A missing member is read as its field's default, if the field has one.

    Args:
        kind: The class of the value.
        document: The stored document.

    Raises:
        MalformedError: `dump` never returned this document. The error names the member at fault by
            its path, such as `identity.coordinate.app_id`, or `None` for the whole document.
        NewerFormatError: A newer release stored the document.
        ArgumentError: `kind` is no class that `Storable` lists.
    """
    if kind not in _CODECS:
        raise ArgumentError("kind", _show_classes())
    name = kind.__name__
    newest = newest_format(name)
    if type(document) is not dict:
        raise MalformedError(None, Fault.INVALID)
    stored = document.get(FORMAT)
    if type(stored) is not int or stored != newest:
        if has_duplicate_keys(document):
            raise MalformedError(None, Fault.INVALID)
        document = {FORMAT: newest, **upgrade_document(name, document)}
    try:
        return cast("_Stored", _CODECS[kind].read(cast("Document", document)))
    except MalformedError:
        # A repeated member makes the whole document ambiguous, so no single member is named.
        if has_duplicate_keys(document):
            raise MalformedError(None, Fault.INVALID) from None
        raise


def _show_classes() -> str:
    return f"one of {', '.join(kind.__name__ for kind in _CODECS)}"


def _enum_field(kind: type[StrEnum]) -> FieldCodec:
    members = {member.value: member for member in kind}
    return field_codec(str, members.__getitem__, str.__str__)


def _object_field(kind: type, **parts: FieldCodec) -> FieldCodec:
    codec = ObjectCodec(kind, parts)
    return field_codec(dict, codec.read, codec.write)


def _document_codec(kind: type, /, **parts: FieldCodec) -> ObjectCodec:
    return ObjectCodec(kind, parts, FORMAT)


def _to_list(items: Iterable[object]) -> list[object]:
    return [*items]


def _parse_strings(items: list[object]) -> tuple[str, ...]:
    if all(type(item) is str for item in items):
        return cast("tuple[str, ...]", tuple(items))
    raise ArgumentError("value", "a list of strings")


def _parse_scopes(items: list[object]) -> frozenset[str]:
    scopes = frozenset(_parse_strings(items))
    if len(scopes) < len(items):
        raise ArgumentError("value", "a list of different strings")
    return scopes


def _parse_headers(items: list[object]) -> Headers:
    return tuple([_parse_header(item) for item in items])


def _parse_header(item: object) -> tuple[str, str]:
    match item:
        case [str(name), str(value)]:
            return name, value
        case _:
            raise ArgumentError("header", "a list of two strings")


def _format_headers(headers: Headers) -> list[list[str]]:
    return [list(header) for header in headers]


_STRING: Final = FieldCodec(str)
_INTEGER: Final = FieldCodec(int)
_BOOLEAN: Final = FieldCodec(bool)
_STRINGS: Final = field_codec(list, _parse_strings, _to_list)
_TIME: Final = field_codec(str, partial(parse_time, "time"), format_time)
_BYTES: Final = field_codec(
    str,
    partial(a2b_base64, strict_mode=True),
    lambda value: b2a_base64(value, newline=False).decode(),
)

_COORDINATE: Final = _object_field(
    Coordinate,
    environment=_enum_field(Environment),
    app_id=_STRING,
    customer_account_id=_STRING,
    app_user_id=_STRING,
)
_CONNECTION: Final = _document_codec(
    Connection,
    identity=_object_field(
        ConnectionIdentity,
        id=_STRING,
        coordinate=_COORDINATE,
        data_packages=_STRINGS,
        created_at=_TIME,
        predecessor_id=nullable(_STRING),
        root_id=_STRING,
        position=_INTEGER,
        era=nullable(_TIME),
    ),
    status=_enum_field(Status),
    updated_at=_TIME,
    handoff_deadline=nullable(_TIME),
    authorized_at=nullable(_TIME),
    expires_at=nullable(_TIME),
    action_required_reason=nullable(_STRING),
    revoked_at=nullable(_TIME),
    revoked_by=nullable(_enum_field(Actor)),
    version=_INTEGER,
)
_SESSION: Final = _document_codec(
    CuraeConnectSession,
    id=_STRING,
    coordinate=_COORDINATE,
    path=_enum_field(EntryPath),
    handoff=_enum_field(HandoffState),
    created_at=_TIME,
    expires_at=_TIME,
    landed_at=nullable(_TIME),
    user_id=nullable(_STRING),
    era=nullable(_TIME),
)
_BINDING: Final = _document_codec(
    LimitedAccountAppBinding,
    coordinate=_COORDINATE,
    user_id=nullable(_STRING),
    state=_enum_field(AccountState),
    generation=_INTEGER,
    version=_INTEGER,
    era=nullable(_TIME),
    tombstoned_at=nullable(_TIME),
    tombstone_reported_at=nullable(_TIME),
    swept=_BOOLEAN,
)

_CALLER: Final = _document_codec(
    Caller,
    api_key_id=_STRING,
    app_id=_STRING,
    customer_account_id=_STRING,
    environment=_enum_field(Environment),
    # Sorted, so that equal callers give equal text.
    scopes=field_codec(list, _parse_scopes, sorted),
)
_PAGE: Final = _document_codec(
    HostedPage,
    digest=_STRING,
    kind=_enum_field(PageKind),
    subject=_STRING,
    expires_at=_TIME,
    version=_INTEGER,
)

_RESPONSE: Final = ObjectCodec(
    Response,
    {
        "status": _INTEGER,
        "headers": field_codec(list, _parse_headers, _format_headers),
        "body": _BYTES,
    },
)
_REFERENCE: Final = ObjectCodec(ResponseReference, {"status": _INTEGER, "reference": _STRING})


def _read_response(document: Document) -> object:
    return (_REFERENCE if "reference" in document else _RESPONSE).read(document)


def _write_response(response: object) -> object:
    return (_REFERENCE if isinstance(response, ResponseReference) else _RESPONSE).write(response)


_RECORD: Final = _document_codec(
    Record,
    key=_object_field(
        RecordKey,
        owner=_object_field(
            KeyOwner,
            api_key_id=_STRING,
            environment=_enum_field(Environment),
            app_id=_STRING,
            customer_account_id=_STRING,
        ),
        key=_STRING,
    ),
    fingerprint=_object_field(Fingerprint, operation=_STRING, values=_STRING),
    state=_enum_field(RecordState),
    token=_INTEGER,
    first_used_at=_TIME,
    seen_at=_TIME,
    lease_until=nullable(_TIME),
    lost_lease=_enum_field(LostLeaseAction),
    response=nullable(field_codec(dict, _read_response, _write_response)),
)


@attrs.frozen
class _Log:
    """An exact log as it is stored: its instants in microseconds since 1970, oldest first."""

    instants: tuple[int, ...]


def _parse_integers(items: list[object]) -> tuple[int, ...]:
    if set(map(type, items)) <= {int}:
        return cast("tuple[int, ...]", tuple(items))
    raise ArgumentError("value", "a list of integers")


_LOG: Final = _document_codec(_Log, instants=field_codec(list, _parse_integers, _to_list))
_FIRST_INSTANT: Final = to_epoch_microseconds(datetime.min.replace(tzinfo=UTC))
_LAST_INSTANT: Final = to_epoch_microseconds(LAST_INSTANT)


def _read_log(document: Document) -> LogState:
    instants = cast("_Log", _LOG.read(document)).instants
    in_order = instants == tuple(sorted(instants))
    # The instants are in order, so the bounds of the first and the last hold for all.
    if in_order and (
        not instants or _FIRST_INSTANT <= instants[0] <= instants[-1] <= _LAST_INSTANT
    ):
        return LogState.of_microseconds(instants)
    raise MalformedError(None, Fault.INVALID)


def _write_log(state: object) -> Document:
    return {"instants": cast("LogState", state).microseconds}


@attrs.frozen
class _Bucket:
    """A bucket as it is stored: the members of its state."""

    full_at: int
    part: int


_BUCKET: Final = _document_codec(_Bucket, full_at=_INTEGER, part=_INTEGER)


def _read_bucket(document: Document) -> BucketState:
    stored = cast("_Bucket", _BUCKET.read(document))
    if 0 <= stored.part < MAX_INTEGER:
        return BucketState(stored.full_at, stored.part)
    raise MalformedError(None, Fault.INVALID)


@attrs.frozen
class _Codec:
    """The functions that read and write the values of a class."""

    read: Callable[[Document], object]
    write: Callable[[object], Document]


_CODECS: Final[dict[type, _Codec]] = {
    Connection: _Codec(_CONNECTION.read, _CONNECTION.write),
    CuraeConnectSession: _Codec(_SESSION.read, _SESSION.write),
    LimitedAccountAppBinding: _Codec(_BINDING.read, _BINDING.write),
    Record: _Codec(_RECORD.read, _RECORD.write),
    LogState: _Codec(_read_log, _write_log),
    BucketState: _Codec(_read_bucket, _BUCKET.write),
    Caller: _Codec(_CALLER.read, _CALLER.write),
    HostedPage: _Codec(_PAGE.read, _PAGE.write),
}
