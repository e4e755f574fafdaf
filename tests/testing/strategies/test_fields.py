"""Tests that operations and facts are drawn field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId, parse_opaque, parse_time, parse_uuid
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.members import FACT_CONNECTION_ID, HAPPENED_AT, Member
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import START, fields
from tests.support.drawing import drawn_examples
from tests.support.eighth import Relabel

NOTE: Final = Member("note", lambda value: parse_opaque("note", value), example="by post")
COUNT: Final = Member("count", lambda _: 1)
AT: Final = Member("at", lambda value: parse_time("at", value))


@attrs.frozen
class Noted(fact.ConnectionFact):
    """A fact of an extension: one member has an example, and two have a type alone."""

    connection_id: ConnectionId
    note: str
    count: int
    at: datetime
    happened_at: datetime | None = None

    kind = "connection.note"
    members = (FACT_CONNECTION_ID, NOTE, COUNT, AT, HAPPENED_AT)

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        raise NotImplementedError


def test_custom_fact_field_value_fits_its_name_example_or_type() -> None:
    drawn = drawn_examples(fields.build_from_fields(Noted), count=40)
    for each in drawn:
        assert parse_uuid("connection_id", each.connection_id) == each.connection_id
        assert each.note == "by post"
    assert {each.happened_at for each in drawn} == {None, START}
    assert {type(each.count) for each in drawn} == {int}
    assert len({each.count for each in drawn}) > 1
    assert {each.at.tzinfo for each in drawn} == {UTC}
    assert len({each.at for each in drawn}) > 1


def test_operation_of_an_extension_is_drawn_from_its_fields() -> None:
    drawn = drawn_examples(fields.build_from_fields(Relabel), count=20)
    assert {type(each.label) for each in drawn} == {str}
    assert len({each.connection_id for each in drawn}) > 1


@pytest.mark.slow
def test_only_optional_fields_are_none_in_some_draws() -> None:
    drawn = drawn_examples(fields.build_from_fields(Revoked), count=60)
    assert {each.actor for each in drawn} == {*Actor}
    assert {each.happened_at for each in drawn} == {None, START}
    assert {each.page_url for each in drawn} == {None, "https://connect.example/1"}


@pytest.mark.slow
def test_each_fact_and_operation_is_built_from_its_fields() -> None:
    assert {*draw.FACT_STRATEGIES} == {*FACTS}
    assert {*draw.OPERATION_STRATEGIES} == {*OPERATIONS}
    for fact_kind in FACTS:
        [drawn_fact] = drawn_examples(fields.build_from_fields(fact_kind), count=1)
        assert type(drawn_fact) is fact_kind
    for operation_kind in OPERATIONS:
        [drawn_operation] = drawn_examples(fields.build_from_fields(operation_kind), count=1)
        assert type(drawn_operation) is operation_kind
