"""Strict parsing of request bodies and of members."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.values import AppUserId, DataPackage, Environment
from curae_lifecycle.service import members
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import OperationRule
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.web.json import parse_json
from tests.support.malformed import BODIES, fault, fault_if_any, jsons

GOOD: list[tuple[str, str, object]] = [
    (
        "create",
        '{"dataPackages": ["b", "a", "b"], "appUserId": "u"}',
        CreateConnection(AppUserId("u"), (DataPackage("a"), DataPackage("b"))),
    ),
    (
        "create",
        json.dumps({"appUserId": "u" * 256, "dataPackages": [f"p{i}" for i in range(64)] * 2}),
        CreateConnection(
            AppUserId("u" * 256), tuple(DataPackage(f"p{i}") for i in sorted(range(64), key=str))
        ),
    ),
    ("initiate", '{"appUserId": "u"}', Initiate(AppUserId("u"))),
    ("initiate", '{"appUserId": "u", "preferSignup": false}', Initiate(AppUserId("u"))),
    ("initiate", '{"preferSignup": true, "appUserId": "u"}', Initiate(AppUserId("u"), True)),
    ("graduation", '{"appUserId": "u v"}', StartGraduation(AppUserId("u v"))),
    ("nothing", "{}", {}),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_well_formed_body_is_parsed(kind: str, text: str, value: object) -> None:
    assert BODIES[kind](parse_json(text)) == value


BAD_PACKAGES: list[Json] = [
    [],
    "a",
    {"a": 1},
    ["A"],
    ["1a"],
    ["a-b"],
    [""],
    ["a", 1],
    ["a", None],
    ["a\n"],
    ["é"],
    ["a" * 65],
    [f"p{number}" for number in range(65)],
]
BAD_USERS: list[Json] = [
    "",
    " u",
    "u\u2003",
    "u\u00a0",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "u\n",
    "\ud800",
    "u" * 257,
    1,
    1.5,
    True,
    ["u"],
    {},
]
BAD: list[tuple[str, str, str | None, str]] = [
    *((kind, "[]", None, "NOT_AN_OBJECT") for kind in BODIES),
    *((kind, "null", None, "NOT_AN_OBJECT") for kind in BODIES),
    ("nothing", '{"a": 1}', None, "UNKNOWN"),
    ("nothing", '{"a": 1, "a": 1}', None, "REPEATED"),
    ("create", '{"appUserId": "u"}', "dataPackages", "MISSING"),
    ("create", '{"dataPackages": ["a"]}', "appUserId", "MISSING"),
    ("create", '{"appUserId": "u", "dataPackages": ["a"], "x": 1}', None, "UNKNOWN"),
    ("create", '{"appUserId": "u", "dataPackages": null}', "dataPackages", "NULL"),
    *(
        ("create", json.dumps({"appUserId": "u", "dataPackages": bad}), "dataPackages", "INVALID")
        for bad in BAD_PACKAGES
    ),
    ("initiate", '{"appUserID": "u"}', None, "UNKNOWN"),
    ("initiate", '{"appUserId": "u", "prefersignup": true}', None, "UNKNOWN"),
    ("initiate", '{"appUserId": "u", "preferSignup": null}', "preferSignup", "NULL"),
    ("initiate", '{"appUserId": "u", "preferSignup": 1}', "preferSignup", "INVALID"),
    ("initiate", '{"appUserId": "u", "preferSignup": "true"}', "preferSignup", "INVALID"),
    ("initiate", '{"appUserId": "u", "appUserId": "u"}', "appUserId", "REPEATED"),
    ("initiate", '{"appUserId": "u", "x": 1, "x": 1}', None, "REPEATED"),
    ("graduation", '{"appUserId": null}', "appUserId", "NULL"),
    *(("graduation", json.dumps({"appUserId": bad}), "appUserId", "INVALID") for bad in BAD_USERS),
]


@pytest.mark.parametrize(("kind", "text", "member", "expected"), BAD)
def test_malformed_body_is_refused_with_member_and_fault(
    kind: str, text: str, member: str | None, expected: str
) -> None:
    assert fault(lambda: BODIES[kind](parse_json(text))) == (member, expected)


PARSERS: list[tuple[Callable[[object], object], str, str]] = [
    (members.ENVIRONMENT.parse, "environment", "one of live, test"),
    (members.parse_account_id, "customerAccountId", "a UUID"),
    (members.parse_flag, "flag", "true or false"),
    (members.ACTOR.parse, "actor", "one of APP, PATIENT, PLATFORM, UPSTREAM"),
    (members.parse_connection_id, "connectionId", "a UUID"),
    (members.FACT_CONNECTION_ID.parse, "connectionId", "a string"),
    (members.FACT_SESSION_ID.parse, "sessionId", "a string"),
]


@pytest.mark.parametrize(("parse", "name", "allowed"), PARSERS)
@pytest.mark.parametrize("value", [None, 5, ["live"]])
def test_invalid_member_error_names_the_allowed_values(
    parse: Callable[[object], object], name: str, allowed: str, value: object
) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(value)
    assert caught.value.argument == name
    assert caught.value.allowed.startswith(allowed)


@pytest.mark.parametrize("member", [members.EXPIRES_AT, members.HAPPENED_AT])
def test_optional_time_member_defaults_to_none(
    member: members.Member[datetime | None],
) -> None:
    assert (member.optional, member.default) == (True, None)
    assert member.parse("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ArgumentError) as caught:
        member.parse("today")
    assert caught.value.argument == member.name


@pytest.mark.parametrize("word", ["LIVE", " live", "", "patient"])
def test_enum_member_accepts_exact_spelling_only(word: str) -> None:
    assert members.ENVIRONMENT.parse("test") is Environment.TEST
    assert members.ACTOR.parse("PATIENT") is Actor.PATIENT
    for member in (members.ENVIRONMENT, members.ACTOR):
        with pytest.raises(ArgumentError):
            member.parse(word)


def test_fact_id_becomes_lower_case_and_need_not_be_a_uuid() -> None:
    for member in (members.FACT_CONNECTION_ID, members.FACT_SESSION_ID):
        assert member.parse("No-UUID") == "no-uuid"


def test_absent_optional_member_has_its_default() -> None:
    given = members.ParsedMembers({"appId": "a"})
    assert given[members.APP_ID] == "a"
    assert given[members.ENVIRONMENT] is Environment.LIVE
    assert given[members.PREFER_SIGNUP] is False
    assert given[members.OPTIONAL_USER_ID] is None


@given(jsons, st.sampled_from(list(BODIES)))
def test_law_16_any_body_parses_or_has_a_documented_fault(value: Json, kind: str) -> None:
    found = fault_if_any(lambda: BODIES[kind](value))
    named = {None, "appUserId", "dataPackages", "preferSignup"}
    assert found is None or (found[0] in named and found[1] in Fault)


@pytest.mark.parametrize("of", [*(each.rule for each in OPERATIONS), *FACTS])
def test_member_names_of_an_operation_or_fact_are_unique(of: OperationRule | type[Fact]) -> None:
    names = [member.name for member in of.members]
    assert len(set(names)) == len(names)
