"""How the values of one class are stored: what reads and what writes them, by what each member is.

The law of this module: **what was written is read, and nothing else**: every member by its exact
type, none missing and none too many. Both functions of a class are Python that is written out here,
member by member, and compiled once: a loop that asks each member what it is takes twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import TypeVar, cast

import attrs

from curae_lifecycle.rules.frozen import frozen, maker
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.web.json import MalformedError

_Json = TypeVar("_Json")
_Value = TypeVar("_Value")

Document = dict[str, object]
"""A stored value as JSON."""


@frozen
class Part:
    """What a member is, as JSON and as a value.

    Attributes:
        kind: Its type as JSON, exactly: a bool is an int to Python and no number to a store.
        read: Makes the value of it, and raises `ValueError` or `LookupError` where there is none;
            `None` where it is the value.
        write: Makes it of the value; `None` where it is the value.
        or_null: Whether it may be null, and the value `None`.
    """

    kind: type
    read: Callable[[object], object] | None = None
    write: Callable[[object], object] | None = None
    or_null: bool = False


def part(
    kind: type[_Json], read: Callable[[_Json], _Value], write: Callable[[_Value], object]
) -> Part:
    """What a member is whose value is not its JSON.

    Args:
        kind: Its type as JSON, exactly.
        read: Makes the value of it, and raises `ValueError` or `LookupError` where there is none.
        write: Makes it of the value.
    """
    # What is read is of that type, and what is written is what was read.
    reads, writes = (cast("Callable[[object], object]", each) for each in (read, write))
    return Part(kind, reads, writes)


def or_null(member: Part) -> Part:
    """The same, or null."""
    return attrs.evolve(member, or_null=True)


class Members:
    """How the values of a class are stored.

    Args:
        kind: The class.
        parts: What each of its fields is, in their order.
        others: Members that stand beside them, and say nothing of the value.

    Attributes:
        read: Makes the value of a document. It raises `MalformedError` with the path of the first
            member that is missing or no such member, or with `None` where there is one too many.
        write: Makes the document of a value, without the other members.
    """

    def __init__(self, kind: type, parts: dict[str, Part], *others: str) -> None:
        self._make = maker(kind)
        # A default, where there is one, is null or a number.
        defaults = {field.name: field.default for field in attrs.fields(kind)}
        self._parts = [(name, each, defaults[name]) for name, each in parts.items()]
        self._names = {*parts, *others}
        names: dict[str, object] = {"make": self._make, "read_each": self._read_each}
        for at, each in enumerate(parts.values()):
            names |= {f"kind_{at}": each.kind, f"read_{at}": each.read, f"write_{at}": each.write}
        self.read = cast("Callable[[Document], object]", _function(self._reading(), names))
        self.write = cast("Callable[[object], Document]", _function(self._writing(), names))

    def _reading(self) -> str:
        """What reads a document, and asks `_read_each` where it is not as it should be."""
        members = list(enumerate(self._parts))
        found = [f"_{at} = document[{name!r}]" for at, (name, _, _) in members]
        typed = [
            f"(type(_{at}) is kind_{at}{f' or _{at} is None' if each.or_null else ''})"
            for at, (_, each, _) in members
        ]
        values = [
            _unless_none(f"_{at}", f"read_{at}", each, each.read) for at, (_, each, _) in members
        ]
        return f"""
def read(document):
    try:
        {"; ".join(found)}
        if len(document) == {len(self._names)} and {" and ".join(typed)}:
            return make({", ".join(values)})
    except (ValueError, LookupError):
        pass
    return read_each(document)
"""

    def _writing(self) -> str:
        """What writes a value."""
        members = [
            f"{name!r}: {_unless_none(f'value.{name}', f'write_{at}', each, each.write)}"
            for at, (name, each, _) in enumerate(self._parts)
        ]
        return f"""
def write(value):
    return {{{", ".join(members)}}}
"""

    def _read_each(self, document: Document) -> object:
        # Where a member has its default; or one is at fault, and which.
        values: list[object] = []
        for name, each, default in self._parts:
            value = document.get(name, default)
            if type(value) is each.kind:
                try:
                    values.append(value if each.read is None else each.read(value))
                except (ValueError, LookupError) as error:
                    # Without its cause, whose text can repeat what was stored.
                    raise MalformedError(_path(name, error), Fault.INVALID) from None
            elif value is None and each.or_null:
                values.append(None)
            else:
                raise MalformedError(name, Fault.INVALID)
        if not document.keys() <= self._names:
            raise MalformedError(None, Fault.INVALID)
        made: object = self._make(*values)
        return made


def _function(source: str, names: dict[str, object]) -> FunctionType:
    # Made of the names of fields alone: nothing of it comes from outside.
    whole = compile(source, "<members>", "exec")
    (code,) = [each for each in whole.co_consts if isinstance(each, CodeType)]
    return FunctionType(code, names)


def _unless_none(value: str, function: str, member: Part, called: object) -> str:
    if called is None:
        return value
    call = f"{function}({value})"
    return f"None if {value} is None else {call}" if member.or_null else call


def _path(name: str, error: Exception) -> str:
    inner = error.member if isinstance(error, MalformedError) else None
    return name if inner is None else f"{name}.{inner}"
