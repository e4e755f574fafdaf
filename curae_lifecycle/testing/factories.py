"""Operations and facts put together by the names of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar, cast

import attrs

from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.operations.operation import Operation

Made = TypeVar("Made", Operation, Fact)


class _Maker(Protocol):
    def __call__(self, **values: object) -> object: ...


def can_build(kind: type[Made], names: Iterable[str]) -> bool:
    """Whether values of these names are all that one of a kind needs."""
    given = set(names)
    return all(each.name in given or each.default is not attrs.NOTHING for each in fields_of(kind))


def build(kind: type[Made], values: Mapping[str, object]) -> Made:
    """One of a kind, of those values that it has fields for."""
    given = {name: values[name] for name in kind.__match_args__ if name in values}
    return cast("Made", cast("_Maker", kind)(**given))


def with_happened_at(fact: Fact, at: datetime | None) -> Fact:
    """The same fact at another instant; `None` is when it is recorded."""
    values = {name: getattr(fact, name) for name in fact.__match_args__}
    return build(type(fact), values | {"happened_at": at})


def fields_of(kind: type[Made]) -> tuple[attrs.Attribute[object], ...]:
    """The fields of an operation or a fact, in order."""
    fields: tuple[attrs.Attribute[object], ...] = attrs.fields(
        cast("type[attrs.AttrsInstance]", kind)
    )
    return fields
