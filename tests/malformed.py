"""Text and JSON of every kind, and what a reader says is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.web.json import Json, MalformedError

any_text: Final = st.text(st.characters(exclude_categories=()))
"""Text with surrogates, control characters and all else."""

leaves: Final[st.SearchStrategy[Json]] = (
    st.none() | st.booleans() | st.integers() | st.floats() | any_text
)
jsons: Final[st.SearchStrategy[Json]] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)


def fault(read: Callable[[], object]) -> tuple[str | None, str]:
    """Which member is at fault, and how."""
    found = fault_if_any(read)
    assert found is not None, "it should have been malformed"
    return found


def fault_if_any(read: Callable[[], object]) -> tuple[str | None, Fault] | None:
    """The same, or `None` where there is a value; no other exception is caught."""
    try:
        read()
    except MalformedError as error:
        return error.member, error.fault
    return None
