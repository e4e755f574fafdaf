"""Tests that callers, calls and requests are drawn from their documented domain, and are printed."""

from __future__ import annotations

import json
from typing import Final

import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey, parse_idempotency_key
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    Environment,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.members import NO_TAGS, EntityTags, ParsedMembers
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import SPELLINGS, Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import START
from curae_lifecycle.testing.strategies.request import body_bytes, call_of
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import ParsedBody
from tests.support.drawing import drawn_examples
from tests.support.strategies import uuid
from tests.testing.strategies.test_plain_values import ACCOUNTS, API_KEY_IDS, APPS, ENVIRONMENTS

BASE: Final = "/api/sdk/v1"
BEARER: Final = "Bearer cae_live_k1"
WRITE: Final = frozenset({CONNECTION_WRITE})
CALLER: Final = draw.CALLERS[0][1]
USER: Final = AppUserId("a user/1")
STATES: Final = frozenset({AccountState.LIMITED, AccountState.ACTIVE})
TAGS: Final = {etag(state) for state in AccountState}


def check_callers(callers: list[Caller]) -> None:
    """Check that the callers have each ID and environment that is drawn."""
    assert {each.api_key_id for each in callers} == API_KEY_IDS
    assert {each.app_id for each in callers} == APPS
    assert {each.customer_account_id for each in callers} == ACCOUNTS
    assert {each.environment for each in callers} == ENVIRONMENTS


def test_members_of_all_operations_and_facts_are_drawn() -> None:
    of_facts = {member for kind in FACTS for member in kind.members}
    of_operations = {member for kind in OPERATIONS for member in kind.rule.members}
    assert set(drawn_examples(draw.members(), count=100)) == of_facts | of_operations


@pytest.mark.slow
def test_drawn_parsed_members_are_those_of_an_operation() -> None:
    drawn = drawn_examples(draw.parsed_members())
    assert set(map(type, drawn)) == {ParsedMembers}
    assert all(each.tags == NO_TAGS for each in drawn)
    names = {frozenset(each.values) for each in drawn}
    assert names <= {frozenset(each.name for each in kind.rule.members) for kind in OPERATIONS}
    assert len(names) > 2
    for each in drawn:
        if "connectionId" in each.values:
            parse_uuid("connectionId", each.values["connectionId"])
        else:
            parse_app_user_id(each.values["appUserId"])


@pytest.mark.slow
def test_drawn_entity_tags_are_none_some_all_or_a_wildcard() -> None:
    drawn = drawn_examples(draw.entity_tags(), count=100)
    assert set(map(type, drawn)) == {EntityTags}
    assert {tag for each in drawn for tag in each.tags} == TAGS
    assert {each.matches_any for each in drawn} == {True, False}
    assert {len(each.tags) for each in drawn} == set(range(len(TAGS) + 1))


@pytest.mark.slow
def test_callers_are_drawn_with_and_without_the_write_scope() -> None:
    assert set(drawn_examples(draw.scopes())) == {WRITE, frozenset()}
    callers = drawn_examples(draw.callers())
    check_callers(callers)
    assert {each.scopes for each in callers} == {WRITE, frozenset()}


@pytest.mark.slow
def test_callers_with_write_scope_are_drawn_with_only_that_scope() -> None:
    callers = drawn_examples(draw.callers_with_write_scope())
    check_callers(callers)
    assert {each.scopes for each in callers} == {WRITE}


@pytest.mark.slow
def test_drawn_call_is_read_back_from_its_request() -> None:
    calls = drawn_examples(draw.calls(), count=100)
    assert len({type(each.operation) for each in calls}) > 3
    assert len({each.caller for each in calls}) > 3
    for each in calls:
        assert read(draw.format_request(each, BEARER), caller=each.caller, now=START) == each
        if each.key is not None:
            assert parse_idempotency_key(each.key) == each.key
    assert {each.key for each in calls} > {None, "k-1", "k-2"}


@pytest.mark.slow
def test_drawn_new_ids_have_valid_uuids_and_a_next_action() -> None:
    drawn = drawn_examples(draw.new_ids())
    assert set(map(type, drawn)) == {NewIds}
    assert {each.user_id for each in drawn} == {"u-99"}
    for each in drawn:
        assert parse_uuid("id", each.connection_id) == each.connection_id
        assert parse_uuid("id", each.session_id) == each.session_id
        assert each.next_action.url.startswith("https://connect.example/")
        assert each.next_action.expires_at >= START


@pytest.mark.slow
def test_drawn_settings_vary_environment_and_active_spelling() -> None:
    drawn = drawn_examples(draw.server_settings(), count=100)
    assert set(map(type, drawn)) == {Settings}
    assert {each.environment for each in drawn} == {None, *Environment}
    assert {each.active_spelling for each in drawn} == set(SPELLINGS)
    assert {each.type_base for each in drawn} == {"https://example.com/problems/"}
    assert {each.operations for each in drawn} == {OPERATIONS}
    names = {tuple(sorted(bucket.name for bucket in each.buckets)) for each in drawn}
    assert names == {(), ("burst",), ("platform",), ("burst", "platform")}


@pytest.mark.slow
def test_drawn_request_parses_and_has_one_of_two_api_keys() -> None:
    requests = drawn_examples(draw.requests())
    assert all(isinstance(read(each, CALLER, START), Call) for each in requests)
    assert len({each.method for each in requests}) == 2
    assert {each.headers[0] for each in requests} == {
        ("Authorization", "Bearer cae_live_k1"),
        ("Authorization", "Bearer cae_test_k1"),
    }


@pytest.mark.slow
def test_drawn_parsed_json_body_has_members_of_a_create_request() -> None:
    bodies = drawn_examples(draw.parsed_bodies(), count=40)
    assert set(map(type, bodies)) == {ParsedBody}
    users = set[str]()
    for each in bodies:
        assert isinstance(each.value, dict)
        packages = each.value["dataPackages"]
        assert list(parse_data_packages(packages)) == packages
        users.add(parse_app_user_id(each.value["appUserId"]))
        assert len(each.value) == 2
    assert len(users) > 5


def test_only_calls_that_need_an_idempotency_key_get_one() -> None:
    key = IdempotencyKey("k-1")
    create = CreateConnection(USER, (DataPackage("labs"),))
    assert call_of(CALLER, create, key) == Call(CALLER, create, key)
    get = GetAccountState(USER)
    assert get.rule.key is not KeyUse.NEEDED
    assert call_of(CALLER, get, key) == Call(CALLER, get, None)


@pytest.mark.parametrize(
    ("operation", "target", "headers", "body"),
    [
        (
            CreateConnection(USER, (DataPackage("labs"),)),
            f"{BASE}/connections",
            [("Idempotency-Key", '"a\\\\b\\"c"')],
            {"appUserId": USER, "dataPackages": ["labs"]},
        ),
        (
            Revoke(ConnectionId(uuid(1))),
            f"{BASE}/connections/{uuid(1)}:revoke",
            [("Idempotency-Key", '"a\\\\b\\"c"')],
            None,
        ),
        (
            Initiate(USER),
            f"{BASE}/curae-connect/initiate",
            [("Idempotency-Key", '"a\\\\b\\"c"')],
            {"appUserId": USER},
        ),
        (
            Initiate(USER, prefer_signup=True),
            f"{BASE}/curae-connect/initiate",
            [("Idempotency-Key", '"a\\\\b\\"c"')],
            {"appUserId": USER, "preferSignup": True},
        ),
        (
            GetAccountState(USER, STATES),
            f"{BASE}/curae-connect/account-state?appUserId=a+user%2F1",
            [("If-None-Match", ", ".join(map(etag, sorted(STATES))))],
            None,
        ),
    ],
)
def test_call_is_formatted_as_the_request_that_an_app_sends(
    operation: Operation,
    target: str,
    headers: list[tuple[str, str]],
    body: dict[str, object] | None,
) -> None:
    call = call_of(CALLER, operation, IdempotencyKey('a\\b"c'))
    request = draw.format_request(call, BEARER)
    assert request.method == operation.rule.method
    assert request.target == target
    assert list(request.headers) == [("Authorization", BEARER), *headers]
    printed = body_bytes(request)
    assert (json.loads(printed) if printed else None) == body
    assert read(request, CALLER, START) == call
