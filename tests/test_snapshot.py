"""What a server mints for a request: ids are checked where they come in."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import attrs
import pytest

from curae_lifecycle import ArgumentError, ConnectionId, SessionId, UserId
from tests.server import new_ids

GOOD = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"


@pytest.mark.parametrize(
    "value",
    [
        UUID(GOOD),
        GOOD.upper(),
        GOOD.replace("-", ""),
        f"{{{GOOD}}}",
        f"urn:uuid:{GOOD}",
        f"{GOOD}\n",
        GOOD[:-1],
        "",
        None,
        GOOD.encode(),
    ],
    ids=repr,
)
def test_an_id_is_the_text_of_a_uuid_in_lower_case_or_is_named(value: object) -> None:
    assert attrs.evolve(new_ids(), session_id=SessionId(GOOD)).session_id == GOOD
    wrong = cast("str", value)
    with pytest.raises(ArgumentError, match="the text of a UUID") as raised:
        attrs.evolve(new_ids(), connection_id=ConnectionId(wrong))
    assert raised.value.argument == "connection_id"
    with pytest.raises(ArgumentError, match="the text of a UUID") as raised:
        attrs.evolve(new_ids(), session_id=SessionId(wrong))
    assert raised.value.argument == "session_id"


@pytest.mark.parametrize("value", ["", "\ud800", None, 7])
def test_a_user_s_id_is_text_or_is_named(value: object) -> None:
    with pytest.raises(ArgumentError, match="text that is not empty") as raised:
        attrs.evolve(new_ids(), user_id=UserId(cast("str", value)))
    assert raised.value.argument == "user_id"
