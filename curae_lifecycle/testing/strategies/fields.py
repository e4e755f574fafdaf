"""Operations and facts, drawn from their fields; a new one needs no change here.

The law of this module: **the name of a field decides its values**. A field whose name is not listed
has the example of its member, or any value of its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_type_hints

from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.testing.factories import Made, example_fields, fields_of
from curae_lifecycle.testing.strategies import values

_FIELDS: Final[Mapping[str, st.SearchStrategy[object]]] = {
    "connection_id": values.connection_ids(),
    "session_id": values.session_ids(),
    "user_id": values.user_ids(),
    "app_user_id": values.app_user_ids(),
    "coordinate": values.coordinates(),
    "data_packages": values.data_packages(),
    "prefer_signup": st.booleans(),
    "cached_states": st.frozensets(st.sampled_from(AccountState)),
    "actor": st.sampled_from(Actor),
    "reason": values.reasons(),
    "expires_at": st.just(values.START + values.NEXT_ACTION_LIFETIME),
    "happened_at": st.just(values.START),
}


def build_from_fields(kind: type[Made]) -> st.SearchStrategy[Made]:
    """Draw operations or facts of one kind."""
    hints, examples = get_type_hints(kind), example_fields(kind)
    fields: dict[str, st.SearchStrategy[object]] = {}
    for field in fields_of(kind):
        name = field.name
        if name in _FIELDS:
            drawn = _FIELDS[name]
        elif name in examples:
            drawn = st.just(examples[name])
        else:
            drawn = st.from_type(hints[name])
        fields[name] = st.none() | drawn if field.default is None else drawn
    return st.builds(kind, **fields)


def facts() -> st.SearchStrategy[Fact]:
    """Draw facts of every kind; no `happened_at` is after `START`."""
    return st.one_of(*FACT_STRATEGIES.values())


FACT_STRATEGIES: Final[dict[type[Fact], st.SearchStrategy[Fact]]] = {
    kind: build_from_fields(kind) for kind in FACTS
}
"""The strategy of each kind of fact."""
