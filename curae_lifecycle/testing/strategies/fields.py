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
from curae_lifecycle.testing.making import Made, fields_of
from curae_lifecycle.testing.strategies.values import (
    LIFETIME,
    START,
    app_user_ids,
    connection_ids,
    coordinates,
    data_packages,
    reasons,
    session_ids,
    user_ids,
)

_FIELDS: Final[Mapping[str, st.SearchStrategy[object]]] = {
    "connection_id": connection_ids(),
    "session_id": session_ids(),
    "user_id": user_ids(),
    "app_user_id": app_user_ids(),
    "coordinate": coordinates(),
    "data_packages": data_packages(),
    "prefer_signup": st.booleans(),
    "known": st.frozensets(st.sampled_from(AccountState)),
    "actor": st.sampled_from(Actor),
    "reason": reasons(),
    "expires_at": st.just(START + LIFETIME),
    "happened_at": st.just(START),
}


def drawn(kind: type[Made]) -> st.SearchStrategy[Made]:
    """Operations or facts of one kind."""
    hints = get_type_hints(kind)
    fields: dict[str, st.SearchStrategy[object]] = {}
    for field in fields_of(kind):
        known = _FIELDS.get(field.name)
        values = st.from_type(hints[field.name]) if known is None else known
        fields[field.name] = st.none() | values if field.default is None else values
    return st.builds(kind, **fields)
