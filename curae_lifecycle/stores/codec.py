"""The library's own values as JSON, for servers that keep them so.

The law of this module: **what `dump` wrote, `load` reads, and nothing else**; what an earlier
release wrote goes through the upgrades of `formats` first. Each class stands here once, by its
members in the order of its fields: how it is written and read follows from them.
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
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Fingerprint,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    Coordinate,
    Environment,
    format_time,
    parse_time,
    to_epoch_microseconds,
)
from curae_lifecycle.service.response import Headers, Response, ResponseReference
from curae_lifecycle.stores.formats import FORMAT, newest_format, upgrade_document
from curae_lifecycle.stores.object_codec import (
    Document,
    FieldCodec,
    ObjectCodec,
    field_codec,
    nullable,
)
from curae_lifecycle.web.json import Json, MalformedError, has_duplicate_keys

Storable = (
    Connection | CuraeConnectSession | LimitedAccountAppBinding | Record | LogState | BucketState
)
"""What `dump` and `load` know."""

_Stored = TypeVar("_Stored", bound=Storable)


def dump(value: Storable) -> dict[str, Json]:
    """A value as JSON for a server's own store: everything, internals too, never the wire."""
    kind = type(value)
    members = cast("dict[str, Json]", _WRITERS[kind](value))
    return {FORMAT: newest_format(kind.__name__), **members}


def load(kind: type[_Stored], document: Json) -> _Stored:
    """A value that `dump` printed, of this release or an earlier one.

    Args:
        kind: The type that is wanted.
        document: What was stored.

    Raises:
        MalformedError: Anything else; it names the member at fault by its path, such as
            `identity.coordinate.app_id`.
        NewerFormatError: A newer release stored it.
    """
    name = kind.__name__
    newest = newest_format(name)
    if type(document) is not dict:
        raise MalformedError(None, Fault.INVALID)
    form = document.get(FORMAT)
    if type(form) is not int or form != newest:
        if has_duplicate_keys(document):
            raise MalformedError(None, Fault.INVALID)
        document = {FORMAT: newest, **upgrade_document(name, document)}
    try:
        return cast("_Stored", _READERS[kind](cast("Document", document)))
    except MalformedError:
        # Of what says something twice nothing is read: in the newest form it is no plain object.
        if has_duplicate_keys(document):
            raise MalformedError(None, Fault.INVALID) from None
        raise


def _word(kind: type[StrEnum]) -> FieldCodec:
    words = {word.value: word for word in kind}
    return field_codec(str, words.__getitem__, str.__str__)


def _object(kind: type, **parts: FieldCodec) -> FieldCodec:
    members = ObjectCodec(kind, parts)
    return field_codec(dict, members.read, members.write)


def _stored(kind: type, **parts: FieldCodec) -> ObjectCodec:
    return ObjectCodec(kind, parts, FORMAT)


def _list(items: Iterable[object]) -> list[object]:
    return [*items]


def _texts(items: list[object]) -> tuple[str, ...]:
    if all(type(item) is str for item in items):
        return cast("tuple[str, ...]", tuple(items))
    raise ArgumentError("value", "a list of text")


def _headers(items: list[list[object]]) -> Headers:
    return tuple([_header(item) for item in items])


def _header(item: list[object]) -> tuple[str, str]:
    # It may be anything: only of lists is it known that they are some.
    match item:
        case [name, value] if type(name) is str and type(value) is str:
            return name, value
        case _:
            raise ArgumentError("header", "two texts")


def _lists(headers: Headers) -> list[list[str]]:
    return [list(header) for header in headers]


_TEXT: Final = FieldCodec(str)
_NUMBER: Final = FieldCodec(int)
_TEXTS: Final = field_codec(list, _texts, _list)
_TIME: Final = field_codec(str, partial(parse_time, "time"), format_time)
_BYTES: Final = field_codec(
    str,
    partial(a2b_base64, strict_mode=True),
    lambda value: b2a_base64(value, newline=False).decode(),
)

_COORDINATE: Final = _object(
    Coordinate,
    environment=_word(Environment),
    app_id=_TEXT,
    customer_account_id=_TEXT,
    app_user_id=_TEXT,
)
_CONNECTION: Final = _stored(
    Connection,
    identity=_object(
        ConnectionIdentity,
        id=_TEXT,
        coordinate=_COORDINATE,
        data_packages=_TEXTS,
        created_at=_TIME,
        predecessor_id=nullable(_TEXT),
        root_id=_TEXT,
        position=_NUMBER,
    ),
    status=_word(Status),
    updated_at=_TIME,
    handoff_deadline=nullable(_TIME),
    authorized_at=nullable(_TIME),
    expires_at=nullable(_TIME),
    action_required_reason=nullable(_TEXT),
    revoked_at=nullable(_TIME),
    revoked_by=nullable(_word(Actor)),
    version=_NUMBER,
)
_SESSION: Final = _stored(
    CuraeConnectSession,
    id=_TEXT,
    coordinate=_COORDINATE,
    path=_word(EntryPath),
    handoff=_word(HandoffState),
    created_at=_TIME,
    expires_at=_TIME,
    landed_at=nullable(_TIME),
    user_id=nullable(_TEXT),
)
_BINDING: Final = _stored(
    LimitedAccountAppBinding,
    coordinate=_COORDINATE,
    user_id=_TEXT,
    state=_word(AccountState),
    generation=_NUMBER,
    version=_NUMBER,
)

_RESPONSE: Final = ObjectCodec(
    Response, {"status": _NUMBER, "headers": field_codec(list, _headers, _lists), "body": _BYTES}
)
_REFERENCE: Final = ObjectCodec(ResponseReference, {"status": _NUMBER, "reference": _TEXT})


def _read_response(document: Document) -> object:
    return (_REFERENCE if "reference" in document else _RESPONSE).read(document)


def _write_response(response: object) -> object:
    return (_REFERENCE if isinstance(response, ResponseReference) else _RESPONSE).write(response)


_RECORD: Final = _stored(
    Record,
    key=_object(
        RecordKey,
        owner=_object(
            KeyOwner,
            api_key_id=_TEXT,
            environment=_word(Environment),
            app_id=_TEXT,
            customer_account_id=_TEXT,
        ),
        key=_TEXT,
    ),
    fingerprint=_object(Fingerprint, operation=_TEXT, values=_TEXT),
    state=_word(RecordState),
    token=_NUMBER,
    first_used_at=_TIME,
    seen_at=_TIME,
    lease_until=nullable(_TIME),
    lost_lease=_word(LostLeaseAction),
    response=nullable(field_codec(dict, _read_response, _write_response)),
)


@attrs.frozen
class _Log:
    """A log as JSON: microseconds since 1970, oldest first."""

    instants: tuple[int, ...]


def _numbers(items: list[object]) -> tuple[int, ...]:
    if set(map(type, items)) <= {int}:
        return cast("tuple[int, ...]", tuple(items))
    raise ArgumentError("value", "a list of integers")


_LOG: Final = _stored(_Log, instants=field_codec(list, _numbers, _list))
_FIRST: Final = to_epoch_microseconds(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_epoch_microseconds(LAST_INSTANT)


def _read_log(document: Document) -> LogState:
    instants = cast("_Log", _LOG.read(document)).instants
    # In order, so that the first and the last say it of all.
    in_order = instants == tuple(sorted(instants))
    if in_order and (not instants or _FIRST <= instants[0] <= instants[-1] <= _LAST):
        return LogState.of_microseconds(instants)
    raise MalformedError(None, Fault.INVALID)


def _write_log(state: object) -> Document:
    return {"instants": cast("LogState", state).microseconds}


@attrs.frozen
class _Bucket:
    """A bucket as JSON: the members of its state."""

    full_at: int
    part: int
    parts: int


_BUCKET: Final = _stored(_Bucket, full_at=_NUMBER, part=_NUMBER, parts=_NUMBER)


def _read_bucket(document: Document) -> BucketState:
    stored = cast("_Bucket", _BUCKET.read(document))
    if 0 <= stored.part < stored.parts:
        return BucketState(stored.full_at, stored.part, stored.parts)
    raise MalformedError(None, Fault.INVALID)


_READERS: Final[dict[type, Callable[[Document], object]]] = {
    Connection: _CONNECTION.read,
    CuraeConnectSession: _SESSION.read,
    LimitedAccountAppBinding: _BINDING.read,
    Record: _RECORD.read,
    LogState: _read_log,
    BucketState: _read_bucket,
}
_WRITERS: Final[dict[type, Callable[[object], Document]]] = {
    Connection: _CONNECTION.write,
    CuraeConnectSession: _SESSION.write,
    LimitedAccountAppBinding: _BINDING.write,
    Record: _RECORD.write,
    LogState: _write_log,
    BucketState: _BUCKET.write,
}
