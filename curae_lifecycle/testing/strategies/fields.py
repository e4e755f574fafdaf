"""Operations and facts made of their fields, so that a new one is drawn without a word here.

The law of this module: **a field's name says what may stand in it**; where no name here does, its
type does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_type_hints

from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.testing.factories import Made, fields_of
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
    """Operations or facts of one kind."""
    hints = get_type_hints(kind)
    fields: dict[str, st.SearchStrategy[object]] = {}
    for field in fields_of(kind):
        known = _FIELDS.get(field.name)
        held = st.from_type(hints[field.name]) if known is None else known
        fields[field.name] = st.none() | held if field.default is None else held
    return st.builds(kind, **fields)


def facts() -> st.SearchStrategy[Fact]:
    """Facts of every kind, of whatever they may be; no `happened_at` is after `START`."""
    return st.one_of(*FACT_STRATEGIES.values())


FACT_STRATEGIES: Final[dict[type[Fact], st.SearchStrategy[Fact]]] = {
    kind: build_from_fields(kind) for kind in FACTS
}
"""One strategy for each kind of fact."""
