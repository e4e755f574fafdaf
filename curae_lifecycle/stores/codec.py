"""The library's own values as JSON, for servers that keep them so.

The law of this module: **what `dump` wrote, `load` reads, and nothing else**; what an earlier
release wrote goes through the upgrades of `formats` first. It is the one place that needs cattrs,
which structures what was read and knows every class by its annotations.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection
from datetime import datetime
from functools import cache, partial
from operator import is_
from typing import TypeVar, cast, get_args

from cattrs import AttributeValidationNote, BaseValidationError, ClassValidationError, Converter

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.idempotency import Record, StoredResponse
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import format_time, instant_at, microseconds, parse_time
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.stores.formats import FORMAT, newest_form, upgraded
from curae_lifecycle.web.json import Json, MalformedError, has_repeats

Storable = (
    Connection | CuraeConnectSession | LimitedAccountAppBinding | Record | LogState | BucketState
)
"""What `dump` and `load` know."""

_Stored = TypeVar("_Stored", bound=Storable)


def dump(value: Storable) -> dict[str, Json]:
    """A value as JSON for a server's own store: everything, internals too, never the wire."""
    members: dict[str, Json] = _store_converter().unstructure(value)
    return {FORMAT: newest_form(type(value).__name__), **members}


def load(kind: type[_Stored], document: Json) -> _Stored:
    """A value that `dump` printed, of this release or an earlier one.

    Raises:
        MalformedError: Anything else; it names the member at fault by its path, such as
            `identity.coordinate.app_id`.
        NewerFormatError: A newer release stored it.
    """
    if not isinstance(document, dict) or has_repeats(document):
        raise MalformedError(None, Fault.INVALID)
    members = upgraded(kind.__name__, document)
    try:
        return _store_converter().structure(members, kind)
    except (BaseValidationError, ArgumentError) as error:
        # Without its cause, whose text can repeat what was stored.
        raise MalformedError(_member_at_fault(error), Fault.INVALID) from None


def _member_at_fault(error: BaseException) -> str | None:
    # The path to the first member that could not be read; one too many has no name to show.
    if not isinstance(error, ClassValidationError):
        return None
    first = error.exceptions[0]
    notes: list[object] = getattr(first, "__notes__", [])
    names = [note.name for note in notes if isinstance(note, AttributeValidationNote)]
    missing = str(first.args[0]) if isinstance(first, KeyError) else None
    here = names[0] if names else missing
    deeper = _member_at_fault(first)
    return here if deeper is None else f"{here}.{deeper}"


@cache
def _store_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(datetime, format_time)
    converter.register_structure_hook(datetime, lambda value, _: parse_time("time", value))
    converter.register_unstructure_hook(bytes, lambda value: b64encode(value).decode())
    converter.register_structure_hook(bytes, lambda value, _: b64decode(value, validate=True))
    # cattrs would turn 5 into "5" and "abc" into three packages; a store that does so hides
    # its mistakes. A hook for a class also catches those below it: that for str every StrEnum.
    converter.register_structure_hook(int, lambda value, _: _exactly(int, value))
    converter.register_structure_hook(
        str, lambda value, kind: _exactly(str, value) if kind is str else kind(value)
    )
    base = partial(is_, StoredResponse)
    converter.register_structure_hook_func(
        base, lambda value, _: converter.structure(value, _response_kind(value))
    )
    converter.register_unstructure_hook_func(
        base, lambda value: converter.unstructure(value, type(value))
    )
    converter.register_structure_hook_func(
        lambda kind: getattr(kind, "__origin__", None) is tuple,
        lambda value, kind: _structure_tuple(converter, value, get_args(kind)),
    )
    converter.register_unstructure_hook(
        LogState, lambda state: {"instants": [*map(microseconds, state.instants)]}
    )
    converter.register_structure_hook(LogState, lambda value, _: _structure_log(converter, value))
    converter.register_unstructure_hook(BucketState, BucketState._asdict)
    converter.register_structure_hook(
        BucketState, lambda value, _: _structure_bucket(converter, value)
    )
    return converter


def _response_kind(value: object) -> type[Response | ResponseReference]:
    return ResponseReference if isinstance(value, dict) and "reference" in value else Response


@frozen
class _StoredLog:
    """A log as JSON: microseconds since 1970, oldest first."""

    instants: tuple[int, ...]


def _structure_log(converter: Converter, value: object) -> LogState:
    instants = converter.structure(value, _StoredLog).instants
    state = LogState.of(map(instant_at, instants))
    if tuple(map(microseconds, state.instants)) != instants:
        raise ArgumentError("instants", "instants in order")
    return state


@frozen
class _StoredBucket:
    """A bucket as JSON: the members of its state."""

    full_at: int
    part: int
    parts: int


def _structure_bucket(converter: Converter, value: object) -> BucketState:
    stored = converter.structure(value, _StoredBucket)
    if 0 <= stored.part < stored.parts:
        return BucketState(stored.full_at, stored.part, stored.parts)
    raise ArgumentError("part", "less than a whole")


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
