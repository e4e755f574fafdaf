"""Strategies for operations and facts, built from their fields; a new kind needs no code here.

The law of this module: **a field's name chooses its strategy**. A field with an unknown name is the
example of its member. Without an example it is drawn from its type, a `datetime` in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, get_args, get_type_hints

from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.testing.factories import Made, example_fields, fields_of
from curae_lifecycle.testing.strategies import values

_STRATEGY_OF_FIELD: Final[Mapping[str, st.SearchStrategy[object]]] = {
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
    "page_url": st.just(values.next_action_at(values.START).url),
}


def build_from_fields(kind: type[Made]) -> st.SearchStrategy[Made]:
    """Draw operations or facts of one class, with each field drawn independently.

    A field whose default is `None` is `None` in some draws. The IDs are arbitrary, not those of any
    store.

    Args:
        kind: The class of the operations or facts.
    """
    hints, examples = get_type_hints(kind), example_fields(kind)
    fields: dict[str, st.SearchStrategy[object]] = {}
    for field in fields_of(kind):
        name = field.name
        if name in _STRATEGY_OF_FIELD:
            drawn = _STRATEGY_OF_FIELD[name]
        elif name in examples:
            drawn = st.just(examples[name])
        elif datetime in (hints[name], *get_args(hints[name])):
            drawn = values.instants()
        else:
            drawn = st.from_type(hints[name])
        fields[name] = st.none() | drawn if field.default is None else drawn
    return st.builds(kind, **fields)


def facts() -> st.SearchStrategy[Fact]:
    """Draw facts of every class about any ID or coordinate; `happened_at` is `START` or `None`."""
    return st.one_of(*FACT_STRATEGIES.values())


FACT_STRATEGIES: Final[dict[type[Fact], st.SearchStrategy[Fact]]] = {
    kind: build_from_fields(kind) for kind in FACTS
}
"""For each class of facts, the strategy that draws them."""
