"""Tests of building operations and facts from values and member examples."""

from __future__ import annotations

from typing import ClassVar

import attrs
import pytest
from hypothesis import find
from jsonschema import Draft202012Validator

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import AppUserId, ConnectionId, DataPackage
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.members import APP_USER_ID, Member
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.factories import (
    build,
    can_build,
    example_fields,
    members_of,
    parse_example,
    query_text,
    to_field_name,
    with_happened_at,
)
from curae_lifecycle.testing.strategies.fields import build_from_fields
from tests.support.strategies import START, at, uuid
from tests.testing.conformance.test_triggers import Closed

ID = ConnectionId(uuid(1))


def test_factory_fills_a_missing_required_field_with_its_example() -> None:
    assert build(ActionRequired, {"connection_id": ID}) == ActionRequired(ID, "portal_login")
    assert build(Revoked, {"connection_id": ID}) == Revoked(ID, Actor.PATIENT)
    packages = (DataPackage("clinical_summary"), DataPackage("labs"))
    assert build(CreateConnection, {}) == CreateConnection(AppUserId("user-1"), packages)


def test_factory_keeps_the_default_of_a_field() -> None:
    assert build(Authorized, {"connection_id": ID, "other": 1}) == Authorized(ID, None, None)


def test_field_without_value_default_or_example_prevents_build() -> None:
    assert can_build(ActionRequired, ())
    # The members are parts of the coordinate, which has no example itself.
    assert not can_build(Graduated, ())
    assert can_build(Graduated, ("coordinate",))
    assert example_fields(Graduated) == {}


def test_strategy_draws_a_custom_facts_field_from_its_example() -> None:
    drawn = find(build_from_fields(Closed), lambda _: True)
    assert (drawn.connection_id, drawn.desk) == (uuid(1), "north")


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "a b"), (20, "20"), (True, "true"), (None, "null")]
)
def test_query_text_writes_a_string_as_it_is_and_others_as_json(value: object, text: str) -> None:
    assert query_text(value) == text


def test_to_field_name_converts_to_snake_case() -> None:
    names = [to_field_name(Member(name, str)) for name in ("label", "appUserId")]
    assert names == ["label", "app_user_id"]


def as_it_is(value: object) -> object:
    return value


SIZE = Member("size", as_it_is, example=20)


class Sized(GetAccountState):
    """An operation with a number in its query."""

    rule: ClassVar = attrs.evolve(GetAccountState.rule, query=(APP_USER_ID, SIZE))


def test_example_number_of_a_query_parameter_becomes_text() -> None:
    assert parse_example(Sized, SIZE) == "20"
    assert parse_example(Revoked, SIZE) == 20
    assert parse_example(CreateConnection, SIZE) == 20


def test_setting_happened_at_leaves_a_facts_other_fields_alone() -> None:
    fact = Revoked(ID, Actor.APP, START)
    assert with_happened_at(fact, at(1)) == Revoked(ID, Actor.APP, at(1))
    assert with_happened_at(fact, None) == Revoked(ID, Actor.APP)


@pytest.mark.parametrize("kind", [*OPERATIONS, *FACTS], ids=lambda kind: kind.__name__)
def test_required_operation_and_fact_members_have_valid_examples(
    kind: type[Operation | Fact],
) -> None:
    for member in members_of(kind):
        Draft202012Validator.check_schema(member.schema)
        assert member.schema
        assert member.optional or member.example is not None
        if member.example is not None:
            Draft202012Validator(member.schema).validate(member.example)
            parse_example(kind, member)
