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
from operator import attrgetter
from typing import Final, TypeVar, cast

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Status
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.idempotency import (
    Fingerprint,
    LostLease,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    Coordinate,
    Environment,
    format_time,
    instant_at,
    microseconds,
    parse_time,
)
from curae_lifecycle.service.response import Headers, Response, ResponseReference
from curae_lifecycle.stores.formats import FORMAT, newest_form, upgraded
from curae_lifecycle.web.json import Json, MalformedError, has_repeats

Storable = (
    Connection | CuraeConnectSession | LimitedAccountAppBinding | Record | LogState | BucketState
)
"""What `dump` and `load` know."""

_Stored = TypeVar("_Stored", bound=Storable)
_Json = TypeVar("_Json")
_Value = TypeVar("_Value")


def dump(value: Storable) -> dict[str, Json]:
    """A value as JSON for a server's own store: everything, internals too, never the wire."""
    kind = type(value)
    members = cast("dict[str, Json]", _STORED[kind].write(value))
    return {FORMAT: newest_form(kind.__name__), **members}


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
    if type(document) is not dict or (
        document.get(FORMAT) != newest_form(name) and has_repeats(document)
    ):
        raise MalformedError(None, Fault.INVALID)
    try:
        return cast("_Stored", _STORED[kind].read(upgraded(name, document)))
    except MalformedError:
        # Of what says something twice nothing is read: in the newest form it is no plain object.
        if has_repeats(document):
            raise MalformedError(None, Fault.INVALID) from None
        raise


def _same(value: object) -> object:
    return value  # pragma: no cover - where it stands nothing is called


@frozen
class _Part:
    """What a member is, as JSON and as a value.

    Attributes:
        kind: Its type as JSON, exactly: a bool is an int to Python and no number to a store.
        read: Makes the value of it, and raises `ValueError` or `LookupError` where there is none.
        write: Makes it of the value.
        or_null: Whether it may be null, and the value `None`.
    """

    kind: type
    read: Callable[[object], object] = _same
    write: Callable[[object], object] = _same
    or_null: bool = False


def _part(
    kind: type[_Json], read: Callable[[_Json], _Value], write: Callable[[_Value], object]
) -> _Part:
    # What is read is of that type, and what is written is what was read.
    reads, writes = (cast("Callable[[object], object]", each) for each in (read, write))
    return _Part(kind, reads, writes)


def _or_null(part: _Part) -> _Part:
    return attrs.evolve(part, or_null=True)


def _word(kind: type[StrEnum]) -> _Part:
    words = {word.value: word for word in kind}
    return _part(str, words.__getitem__, str.__str__)


class _Members:
    """How the values of one class are stored: its fields, in their order, and what each is."""

    def __init__(self, kind: type, parts: dict[str, _Part]) -> None:
        defaults = {field.name: field.default for field in attrs.fields(kind)}
        self._kind = kind
        self._names = parts.keys()
        self._fields_of = attrgetter(*parts)
        # A default, where there is one, is null or a number.
        self._read = [
            (name, defaults[name], part.kind, part.read, part.or_null)
            for name, part in parts.items()
        ]
        self._written = [(name, part.write) for name, part in parts.items()]

    def read(self, document: dict[str, object]) -> object:
        """The value of a document.

        Raises:
            MalformedError: The first member that is missing or no such member, by its path; or
                `None`, where there is one too many.
        """
        values: list[object] = []
        for name, default, kind, read, or_null in self._read:
            value = document.get(name, default)
            if type(value) is kind:
                try:
                    values.append(value if read is _same else read(value))
                except (ValueError, LookupError) as error:
                    # Without its cause, whose text can repeat what was stored.
                    raise MalformedError(_path(name, error), Fault.INVALID) from None
            elif value is None and or_null:
                values.append(None)
            else:
                raise MalformedError(name, Fault.INVALID)
        if not document.keys() <= self._names:
            raise MalformedError(None, Fault.INVALID)
        made: object = self._kind(*values)
        return made

    def write(self, value: object) -> dict[str, object]:
        """The document of a value."""
        document: dict[str, object] = {}
        for (name, write), held in zip(self._written, self._fields_of(value), strict=True):
            document[name] = held if write is _same or held is None else write(held)
        return document


def _path(name: str, error: Exception) -> str:
    inner = error.member if isinstance(error, MalformedError) else None
    return name if inner is None else f"{name}.{inner}"


def _object(kind: type, **parts: _Part) -> _Part:
    members = _Members(kind, parts)
    return _part(dict, members.read, members.write)


def _list(items: Iterable[object]) -> list[object]:
    return [*items]


def _texts(items: list[object]) -> tuple[str, ...]:
    if all(type(item) is str for item in items):
        return cast("tuple[str, ...]", tuple(items))
    raise ArgumentError("value", "a list of text")


def _headers(items: list[object]) -> Headers:
    return tuple([_header(item) for item in items])


def _header(item: object) -> tuple[str, str]:
    if not isinstance(item, list):
        raise ArgumentError("header", "a list")
    name, value = _texts(cast("list[object]", item))
    return name, value


def _lists(headers: Headers) -> list[list[str]]:
    return [list(header) for header in headers]


_TEXT: Final = _Part(str)
_NUMBER: Final = _Part(int)
_TEXTS: Final = _part(list, _texts, _list)
_TIME: Final = _part(str, partial(parse_time, "time"), format_time)
_BYTES: Final = _part(
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
_CONNECTION: Final = _object(
    Connection,
    identity=_object(
        ConnectionIdentity,
        id=_TEXT,
        coordinate=_COORDINATE,
        data_packages=_TEXTS,
        created_at=_TIME,
        predecessor_id=_or_null(_TEXT),
        root_id=_TEXT,
        position=_NUMBER,
    ),
    status=_word(Status),
    updated_at=_TIME,
    handoff_deadline=_or_null(_TIME),
    authorized_at=_or_null(_TIME),
    expires_at=_or_null(_TIME),
    action_required_reason=_or_null(_TEXT),
    revoked_at=_or_null(_TIME),
    revoked_by=_or_null(_word(Actor)),
    version=_NUMBER,
)
_SESSION: Final = _object(
    CuraeConnectSession,
    id=_TEXT,
    coordinate=_COORDINATE,
    path=_word(EntryPath),
    handoff=_word(Handoff),
    created_at=_TIME,
    expires_at=_TIME,
    landed_at=_or_null(_TIME),
    user_id=_or_null(_TEXT),
)
_BINDING: Final = _object(
    LimitedAccountAppBinding,
    coordinate=_COORDINATE,
    user_id=_TEXT,
    state=_word(AccountState),
    generation=_NUMBER,
    version=_NUMBER,
)

_RESPONSE: Final = _object(
    Response, status=_NUMBER, headers=_part(list, _headers, _lists), body=_BYTES
)
_REFERENCE: Final = _object(ResponseReference, status=_NUMBER, reference=_TEXT)


def _read_response(document: dict[str, object]) -> object:
    return (_REFERENCE if "reference" in document else _RESPONSE).read(document)


def _write_response(response: object) -> object:
    return (_REFERENCE if isinstance(response, ResponseReference) else _RESPONSE).write(response)


_RECORD: Final = _object(
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
    lease_until=_or_null(_TIME),
    lost_lease=_word(LostLease),
    response=_or_null(_part(dict, _read_response, _write_response)),
)


@frozen
class _Log:
    """A log as JSON: microseconds since 1970, oldest first."""

    instants: tuple[int, ...]


def _numbers(items: list[object]) -> tuple[int, ...]:
    if set(map(type, items)) <= {int}:
        return cast("tuple[int, ...]", tuple(items))
    raise ArgumentError("value", "a list of integers")


_LOG: Final = _Members(_Log, {"instants": _part(list, _numbers, _list)})
_FIRST: Final = microseconds(datetime.min.replace(tzinfo=UTC))
_LAST: Final = microseconds(LAST_INSTANT)


def _read_log(document: dict[str, object]) -> LogState:
    instants = cast("_Log", _LOG.read(document)).instants
    # In order, so that the first and the last say it of all.
    in_order = instants == tuple(sorted(instants))
    if in_order and (not instants or _FIRST <= instants[0] <= instants[-1] <= _LAST):
        return LogState.of(map(instant_at, instants))
    raise MalformedError(None, Fault.INVALID)


def _write_log(state: LogState) -> object:
    return {"instants": [*map(microseconds, state.instants)]}


@frozen
class _Bucket:
    """A bucket as JSON: the members of its state."""

    full_at: int
    part: int
    parts: int


_BUCKET: Final = _Members(_Bucket, {"full_at": _NUMBER, "part": _NUMBER, "parts": _NUMBER})


def _read_bucket(document: dict[str, object]) -> BucketState:
    stored = cast("_Bucket", _BUCKET.read(document))
    if 0 <= stored.part < stored.parts:
        return BucketState(stored.full_at, stored.part, stored.parts)
    raise MalformedError(None, Fault.INVALID)


_STORED: Final[dict[type, _Part]] = {
    Connection: _CONNECTION,
    CuraeConnectSession: _SESSION,
    LimitedAccountAppBinding: _BINDING,
    Record: _RECORD,
    LogState: _part(dict, _read_log, _write_log),
    BucketState: _part(dict, _read_bucket, BucketState._asdict),
}
