"""Text, JSON and instants of every kind, and the faults of a parser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import ParsedMembers
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.wire_format import parse_members

any_text: Final = st.text(st.characters(exclude_categories=()))
"""Any text, with surrogates and control characters."""

leaves: Final[st.SearchStrategy[Json]] = (
    st.none() | st.booleans() | st.integers() | st.floats() | any_text
)
jsons: Final[st.SearchStrategy[Json]] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
any_instants: Final = st.datetimes(timezones=st.just(UTC)).map(
    lambda instant: instant.replace(fold=0)
)


def fault(read: Callable[[], object]) -> tuple[str | None, str]:
    """Return the member at fault, and the fault."""
    found = fault_if_any(read)
    assert found is not None, "it should have been malformed"
    return found


def fault_if_any(read: Callable[[], object]) -> tuple[str | None, Fault] | None:
    """Return the fault, or None for a value; catch no other exception."""
    try:
        read()
    except MalformedError as error:
        return error.member, error.fault
    return None


def _body_of(operation: type[Operation]) -> Callable[[Json], object]:
    members = operation.rule.body or ()
    if not members:
        return lambda document: parse_members(document, members)
    return lambda document: operation.from_members(ParsedMembers(parse_members(document, members)))


BODIES: Final = {
    "create": _body_of(CreateConnection),
    "initiate": _body_of(Initiate),
    "graduation": _body_of(StartGraduation),
    "nothing": _body_of(Revoke),
}
"""The parser of a body, by operation; an operation without members has the empty one."""
