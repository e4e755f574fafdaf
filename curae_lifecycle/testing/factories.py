"""Functions that build operations and facts from values by field name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar, cast

import attrs

from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.operations.operation import Operation

Made = TypeVar("Made", Operation, Fact)


class _Constructor(Protocol):
    def __call__(self, **values: object) -> object: ...


def can_build(kind: type[Made], names: Iterable[str]) -> bool:
    """Return whether values with these names cover every required field of a class.

    Args:
        kind: A class of operation or fact.
        names: The names of the values.
    """
    given = set(names)
    return all(each.name in given or each.default is not attrs.NOTHING for each in fields_of(kind))


def build(kind: type[Made], values: Mapping[str, object]) -> Made:
    """Build an operation or a fact from values by field name.

    Values that match no field are ignored.

    Args:
        kind: A class of operation or fact.
        values: The values by field name.
    """
    given = {name: values[name] for name in kind.__match_args__ if name in values}
    return cast("Made", cast("_Constructor", kind)(**given))


def with_happened_at(fact: Fact, at: datetime | None) -> Fact:
    """Return a copy of a fact with another `happened_at`.

    Args:
        fact: The fact.
        at: The instant; `None` means the instant at which the fact is recorded.
    """
    values = {name: getattr(fact, name) for name in fact.__match_args__}
    return build(type(fact), values | {"happened_at": at})


def fields_of(kind: type[Made]) -> tuple[attrs.Attribute[object], ...]:
    """Return the fields of a class of operation or fact, in order."""
    fields: tuple[attrs.Attribute[object], ...] = attrs.fields(
        cast("type[attrs.AttrsInstance]", kind)
    )
    return fields
