"""Functions that build operations and facts from values by field name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar, cast

import attrs

from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.operation import Operation

Made = TypeVar("Made", bound=Operation | Fact)


class _Maker(Protocol):
    def __call__(self, **values: object) -> object: ...


def can_build(kind: type[Made], names: Iterable[str]) -> bool:
    """Return whether `build` can build an operation or fact from the values of some fields.

    It can if each required field is in `names` or has an example, which `build` then uses. The
    example belongs to the member that the field is parsed from: a named value on the wire.

    Args:
        kind: The class of the operation or the fact.
        names: The names of the fields that have a value.
    """
    known = {*names, *example_fields(kind)}
    return all(each.name in known or each.default is not attrs.NOTHING for each in fields_of(kind))


def build(kind: type[Made], values: Mapping[str, object]) -> Made:
    """Build an operation or a fact from values and examples.

    A field is parsed from a member, a named value on the wire such as `appUserId`. A required field
    without a value takes the example of its member. An optional field without a value takes its
    default.

    Args:
        kind: The class of the operation or the fact.
        values: Values by the names of fields. Names that are not fields of the kind are ignored.

    Raises:
        TypeError: A required field has neither a value nor an example. See `can_build`.
    """
    known = {**example_fields(kind), **values}
    given = {name: known[name] for name in kind.__match_args__ if name in known}
    return cast("Made", cast("_Maker", kind)(**given))


def example_fields(kind: type[Made]) -> Mapping[str, object]:
    """Return an example value for each required field of an operation or a fact, by field name.

    A field is parsed from a member, a named value on the wire such as `appUserId`. The value is the
    member's `example`, parsed. Fields whose member has no example are left out.

    Args:
        kind: The class of the operation or the fact.
    """
    examples = {
        to_field_name(member): parse_example(kind, member)
        for member in members_of(kind)
        if not member.optional and member.example is not None
    }
    return {name: value for name, value in examples.items() if name in kind.__match_args__}


def members_of(kind: type[Made]) -> tuple[Member[object], ...]:
    """Return the members of a class of operations or facts.

    They are the named values on the wire, such as `appUserId`, that the fields are parsed from.
    """
    return kind.rule.members if issubclass(kind, Operation) else kind.members


def parse_example(kind: type[Made], member: Member[object]) -> object:
    """Return the example of a member, parsed as a server parses a request.

    A member is a named value on the wire, such as `appUserId`. The example of a query parameter is
    turned into text first.

    Args:
        kind: The class of the operation or the fact.
        member: A member of `kind`, with an example.
    """
    in_query = issubclass(kind, Operation) and member in kind.rule.query
    return member.parse(query_text(member.example) if in_query else member.example)


def query_text(value: object) -> str:
    """Return the text of a JSON value in a query string: a string as it is, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def to_field_name(member: Member[object]) -> str:
    """Return the name of the Python field for a member, a named value on the wire.

    For the member `appUserId` it is `app_user_id`.
    """
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in member.name)


def with_happened_at(fact: Fact, at: datetime | None) -> Fact:
    """Return a copy of a fact that happened at another instant.

    Args:
        fact: The fact.
        at: The instant; `None` for the instant at which the fact is recorded.
    """
    values = {name: getattr(fact, name) for name in fact.__match_args__}
    return build(type(fact), values | {"happened_at": at})


def fields_of(kind: type[Made]) -> tuple[attrs.Attribute[object], ...]:
    """Return the fields of a class of operations or facts, in their order."""
    fields: tuple[attrs.Attribute[object], ...] = attrs.fields(
        cast("type[attrs.AttrsInstance]", kind)
    )
    return fields
