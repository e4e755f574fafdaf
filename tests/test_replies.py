"""Replies that no operation of the package gives, and stored responses that are not the package's."""

from __future__ import annotations

from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import StoredResponse
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.service.response import status_of_stored
from curae_lifecycle.web.shapes import format_reply
from tests.strategies import START


@attrs.frozen
class Counted(Reply):
    since_when: datetime
    how_many: int
    note: str | None


@attrs.frozen
class Odd(Reply):
    parts: set[str]


class Elsewhere(StoredResponse):
    def to_keep(self) -> Elsewhere:
        return self


def test_each_field_is_a_member_in_order_by_its_type() -> None:
    reply = Counted(START, 3, None)
    body = format_reply(reply, START, "ACTIVE")
    assert list(body.items()) == [
        ("sinceWhen", format_time(START)),
        ("howMany", 3),
        ("note", None),
    ]
    assert reply.tag is None


def test_a_member_that_the_wire_does_not_know_is_a_mistake() -> None:
    with pytest.raises(ArgumentError, match=r"^reply: ") as caught:
        format_reply(Odd({"secret"}), START, "ACTIVE")
    assert "secret" not in str(caught.value)


def test_a_stored_response_of_another_kind_is_a_mistake() -> None:
    with pytest.raises(ArgumentError, match=r"^response: must be a Response or a ResponseRef"):
        status_of_stored(Elsewhere())
