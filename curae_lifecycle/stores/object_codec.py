"""Codecs between the values of a class and their JSON objects, built from a codec for each field.

The law of this module: **a codec reads what it wrote, and refuses anything else**: a member of
another type, an unknown member, and a missing member, unless its field has a default.
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
"""A stored value, as a JSON object."""


@attrs.frozen
class FieldCodec:
    """The codec of one field: how it is read from JSON, and written.

    Attributes:
        kind: The exact type of the JSON member. Subclasses do not count, so a `bool` is not an
            `int`.
        read: Takes the member and returns the field's value; raises `ValueError` or `LookupError`
            for an invalid member. `None` if the field's value is the member itself.
        write: Takes the field's value and returns the member. `None` if the member is the value
            itself.
        nullable: True if the member may be null; the field's value is then `None`.
    """

    kind: type
    read: Callable[[object], object] | None = None
    write: Callable[[object], object] | None = None
    nullable: bool = False


def field_codec(
    kind: type[_Json], read: Callable[[_Json], _Value], write: Callable[[_Value], object]
) -> FieldCodec:
    """Build the codec of a field whose value differs from its JSON member.

    Args:
        kind: The exact type of the JSON member.
        read: Takes the member and returns the field's value; raises `ValueError` or `LookupError`
            for an invalid member.
        write: Takes the field's value and returns the member.
    """
    # An `ObjectCodec` calls `read` only with members of that kind, and `write` only with values
    # of that field.
    untyped_read = cast("Callable[[object], object]", read)
    untyped_write = cast("Callable[[object], object]", write)
    return FieldCodec(kind, untyped_read, untyped_write)


def nullable(codec: FieldCodec) -> FieldCodec:
    """Return a copy of a codec that also reads and writes null, as the value `None`."""
    return attrs.evolve(codec, nullable=True)


class ObjectCodec:
    """The codec of a class: one JSON object for each value.

    Args:
        kind: The class of the values, built with attrs.
        parts: The codec of each field by its name, in the order of the fields.
        others: Names of further members that the object may have, such as `format`; `read` ignores
            them.
    """

    def __init__(self, kind: type, parts: dict[str, FieldCodec], *others: str) -> None:
        self._kind = kind
        self._parts = parts
        self._defaults = {field.name: field.default for field in attrs.fields(kind)}
        self._names = {*parts, *others}

    def read(self, document: Document) -> object:
        """Build an instance of the codec's class from a JSON object.

        A missing member gets the default of its field.

        Raises:
            MalformedError: A member is invalid, or is missing although its field has no default;
                the error names that member by its path. The error names `None` instead if a member
                is unknown, or if the class refuses the values.
        """
        values: dict[str, object] = {}
        for name, codec in self._parts.items():
            # A field's default is null, a number, or a marker of attrs that no JSON type matches.
            member = document.get(name, self._defaults[name])
            if type(member) is codec.kind:
                values[name] = member if codec.read is None else _read(name, codec.read, member)
            elif member is None and codec.nullable:
                values[name] = None
            else:
                raise MalformedError(name, Fault.INVALID)
        if not document.keys() <= self._names:
            raise MalformedError(None, Fault.INVALID)
        try:
            value: object = self._kind(**values)
        except ValueError:
            # The value checks itself, and no caller that was loaded is a mistake of the program.
            raise MalformedError(None, Fault.INVALID) from None
        return value

    def write(self, value: object) -> Document:
        """Return the JSON object of a value: one member for each field, and no others."""
        document: Document = {}
        for name, codec in self._parts.items():
            held = getattr(value, name)
            document[name] = held if held is None or codec.write is None else codec.write(held)
        return document


def _read(name: str, read: Callable[[object], object], member: object) -> object:
    try:
        return read(member)
    except (ValueError, LookupError) as error:
        # The cause is dropped, since its text can repeat what was stored.
        raise MalformedError(_path(name, error), Fault.INVALID) from None


def _path(name: str, error: Exception) -> str:
    inner = error.member if isinstance(error, MalformedError) else None
    return name if inner is None else f"{name}.{inner}"
