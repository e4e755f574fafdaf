"""How the values of one class are stored: what reads and what writes them, by what each member is.

The law of this module: **what was written is read, and nothing else**: every member by its exact
type, none missing and none too many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import attrs

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.web.json import MalformedError

_Json = TypeVar("_Json")
_Value = TypeVar("_Value")

Document = dict[str, object]
"""A stored value as JSON."""


@attrs.frozen
class FieldCodec:
    """What a member is, as JSON and as a value.

    Attributes:
        kind: Its type as JSON, exactly: a bool is an int to Python and no number to a store.
        read: Makes the value of it, and raises `ValueError` or `LookupError` where there is none;
            `None` where it is the value.
        write: Makes it of the value; `None` where it is the value.
        nullable: Whether it may be null, and the value `None`.
    """

    kind: type
    read: Callable[[object], object] | None = None
    write: Callable[[object], object] | None = None
    nullable: bool = False


def field_codec(
    kind: type[_Json], read: Callable[[_Json], _Value], write: Callable[[_Value], object]
) -> FieldCodec:
    """What a member is whose value is not its JSON.

    Args:
        kind: Its type as JSON, exactly.
        read: Makes the value of it, and raises `ValueError` or `LookupError` where there is none.
        write: Makes it of the value.
    """
    # What is read is of that type, and what is written is what was read.
    reads, writes = (cast("Callable[[object], object]", each) for each in (read, write))
    return FieldCodec(kind, reads, writes)


def nullable(member: FieldCodec) -> FieldCodec:
    """The same, or null."""
    return attrs.evolve(member, nullable=True)


class ObjectCodec:
    """How the values of a class are stored.

    Args:
        kind: The class.
        parts: What each of its fields is, in their order.
        others: Members that stand beside them, and say nothing of the value.
    """

    def __init__(self, kind: type, parts: dict[str, FieldCodec], *others: str) -> None:
        self._kind = kind
        # A default, where there is one, is null or a number.
        defaults = {field.name: field.default for field in attrs.fields(kind)}
        self._reading = [
            (name, each.kind, each.read, each.nullable, defaults[name])
            for name, each in parts.items()
        ]
        self._writing = [(name, each.write) for name, each in parts.items()]
        self._names = {*parts, *others}

    def read(self, document: Document) -> object:
        """The value of a document.

        Raises:
            MalformedError: With the path of the first member that is missing or no such member, or
                with `None` where there is one too many.
        """
        values: dict[str, object] = {}
        for name, kind, read, or_null, default in self._reading:
            value = document.get(name, default)
            if type(value) is kind:
                if read is not None:
                    try:
                        value = read(value)
                    except (ValueError, LookupError) as error:
                        # Without its cause, whose text can repeat what was stored.
                        raise MalformedError(_path(name, error), Fault.INVALID) from None
            elif value is not None or not or_null:
                raise MalformedError(name, Fault.INVALID)
            values[name] = value
        if not document.keys() <= self._names:
            raise MalformedError(None, Fault.INVALID)
        made: object = self._kind(**values)
        return made

    def write(self, value: object) -> Document:
        """The document of a value, without the other members."""
        document: Document = {}
        for name, write in self._writing:
            held = getattr(value, name)
            document[name] = held if held is None or write is None else write(held)
        return document


def _path(name: str, error: Exception) -> str:
    inner = error.member if isinstance(error, MalformedError) else None
    return name if inner is None else f"{name}.{inner}"
