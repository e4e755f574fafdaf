"""Tests that small values are drawn from the whole of their documented domain, and from no more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from random import Random
from typing import Final

import pytest
from hypothesis import find, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.credentials import ApiKey, KeyOwner
from curae_lifecycle.rules.idempotency import parse_idempotency_key
from curae_lifecycle.rules.values import (
    AppUser,
    Coordinate,
    Environment,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import NEXT_ACTION_LIFETIME, START, TICK, values
from tests.support.drawing import drawn_examples
from tests.testing.strategies.drawing import HOUR, reached

ACCOUNTS: Final = {values.uuid_of(number) for number in (1, 2, 3)}
APPS: Final = {"app-1", "app-2"}
API_KEY_IDS: Final = {"key-1", "key-2", "key-3"}
ENVIRONMENTS: Final = set(Environment)

DEADLINES: Final = [timedelta(minutes=minutes) for minutes in (1, 30, 60, 90)]
EDGES_OF_TIME: Final = {
    *(timedelta(0), 3 * HOUR),
    *DEADLINES,
    *(deadline - TICK for deadline in DEADLINES),
}


@pytest.mark.parametrize(
    ("strategy", "domain"),
    [
        (draw.customer_account_ids, ACCOUNTS),
        (draw.app_ids, APPS),
        (draw.api_key_ids, API_KEY_IDS),
        (draw.api_keys, {ApiKey("cae_live_k1"), ApiKey("cae_test_k1")}),
        (draw.user_ids, {f"u-{number}" for number in range(1, 10)}),
        (draw.environments, ENVIRONMENTS),
        (draw.reasons, {"portal_login", "mfa_required"}),
    ],
)
def test_strategy_of_a_few_values_draws_each_of_them(
    strategy: Callable[[], st.SearchStrategy[object]], domain: Collection[object]
) -> None:
    assert set(drawn_examples(strategy())) == domain


@pytest.mark.slow
def test_drawn_offsets_include_all_deadlines_within_3_hours() -> None:
    drawn = drawn_examples(draw.offsets(), count=100)
    assert all(timedelta(0) <= each <= 3 * HOUR for each in drawn)
    assert set(drawn) >= EDGES_OF_TIME
    assert len(set(drawn)) > 30


@pytest.mark.slow
def test_drawn_instants_are_within_three_hours_of_the_start() -> None:
    drawn = drawn_examples(draw.instants(), count=100)
    assert {each - START for each in drawn} >= EDGES_OF_TIME
    assert all(START <= each <= START + 3 * HOUR for each in drawn)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [draw.uuids, draw.connection_ids, draw.session_ids])
def test_drawn_uuid_is_parsed_to_itself(strategy: Callable[[], st.SearchStrategy[str]]) -> None:
    drawn = drawn_examples(strategy())
    for each in drawn:
        assert parse_uuid("id", each) == each
        assert values.uuid_of(int(each[-12:], 16)) == each
    assert len(set(drawn)) > 30


def test_key_owners_are_drawn_with_every_api_key_app_and_account() -> None:
    owners = drawn_examples(draw.key_owners())
    assert set(map(type, owners)) == {KeyOwner}
    assert {each.api_key_id for each in owners} == API_KEY_IDS
    assert {each.environment for each in owners} == ENVIRONMENTS
    assert {each.app_id for each in owners} == APPS
    assert {each.customer_account_id for each in owners} == ACCOUNTS


@pytest.mark.slow
def test_drawn_coordinates_vary_environment_app_account_and_user() -> None:
    coordinates = drawn_examples(draw.coordinates())
    assert set(map(type, coordinates)) == {Coordinate}
    assert {each.environment for each in coordinates} == ENVIRONMENTS
    assert {each.app_id for each in coordinates} == APPS
    assert {each.customer_account_id for each in coordinates} == ACCOUNTS
    users = {parse_app_user_id(each.app_user_id) for each in coordinates}
    assert users >= {"user-1", "user-2"}


@pytest.mark.slow
def test_app_users_are_drawn_in_each_account_and_environment() -> None:
    users = drawn_examples(draw.app_users())
    assert set(map(type, users)) == {AppUser}
    assert {each.environment for each in users} == ENVIRONMENTS
    assert {each.customer_account_id for each in users} == ACCOUNTS


@pytest.mark.slow
def test_drawn_app_user_ids_include_shortest_and_longest_ones() -> None:
    drawn = drawn_examples(draw.app_user_ids(), count=200)
    assert all(parse_app_user_id(each) == each for each in drawn)
    assert set(drawn) >= {"user-1", "user-2", "~", "a" * 256}
    assert len(set(drawn)) > 50


@pytest.mark.slow
def test_drawn_idempotency_keys_include_shortest_and_longest() -> None:
    drawn = drawn_examples(draw.idempotency_keys(), count=150)
    assert all(parse_idempotency_key(each) == each for each in drawn)
    assert set(drawn) >= {"k-1", "k-2", "!", "~" * 255}
    assert len(set(drawn)) > 50
    assert reached(draw.idempotency_keys(), lambda key: "!" in key[1:])


@pytest.mark.slow
def test_drawn_data_packages_include_shortest_and_longest_ones() -> None:
    drawn = drawn_examples(draw.data_package(), count=100)
    assert all(parse_data_packages((each,)) == (each,) for each in drawn)
    plain = {"labs", "clinical_summary", "medications", "z", "z" * 64}
    assert set(drawn) >= plain
    assert len(set(drawn) - plain) > 10


@pytest.mark.slow
def test_drawn_data_packages_are_sorted_and_number_one_to_64() -> None:
    drawn = drawn_examples(draw.data_packages(), count=40)
    assert all(parse_data_packages(each) == each for each in drawn)
    lengths = set(map(len, drawn))
    assert (min(lengths), max(lengths)) == (1, 64)
    assert len(lengths) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "bound", "edges"),
    [
        (draw.app_user_ids, "_APP_USER_ID_MAX_LENGTH", values._APP_USER_ID_EDGES),
        (draw.idempotency_keys, "_IDEMPOTENCY_KEY_MAX_LENGTH", values._IDEMPOTENCY_KEY_EDGES),
        (draw.data_packages, "_PACKAGES_MAX", [tuple(sorted(values._MOST_PACKAGES))]),
    ],
)
def test_randomly_drawn_value_has_at_most_its_maximum_length(
    monkeypatch: pytest.MonkeyPatch,
    strategy: Callable[[], st.SearchStrategy[Collection[str]]],
    bound: str,
    edges: Collection[Collection[str]],
) -> None:
    # Chance draws nothing as long as the real bounds.
    monkeypatch.setattr(values, bound, 2)
    drawn = drawn_examples(strategy())
    plain = {"user-1", "user-2", "k-1", "k-2"}
    lengths = {len(each) for each in drawn if each not in edges and each not in plain}
    assert lengths == {1, 2}


def test_drawn_next_action_expires_within_an_hour_of_given_time() -> None:
    now = START + HOUR
    actions = drawn_examples(draw.next_actions(now))
    lifetimes = (timedelta(0), TICK, NEXT_ACTION_LIFETIME, HOUR)
    assert {each.expires_at - now for each in actions} == set(lifetimes)
    urls = {f"https://connect.example/{number}" for number in range(1, 100)}
    assert {each.url for each in actions} <= urls


def test_edge_case_is_drawn_one_time_in_eight() -> None:
    drawn = drawn_examples(values.mostly(st.just("usual"), st.just("edge")))
    assert set(drawn) == {"usual", "edge"}
    assert len(drawn) == 8 * drawn.count("edge")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_edge_case_shrinks_to_the_usual_value(seed: int) -> None:
    usual = st.lists(st.integers(0, 3), min_size=1)
    drawn = st.tuples(values.mostly(usual, st.just([3] * 9)), st.integers(0, 100))
    least = find(
        drawn,
        lambda each: each[1] > 50,
        settings=settings(database=None),
        random=Random(seed),  # noqa: S311 - a fixed one
    )
    assert least == ([0], 51)


def test_helpers_make_user_id_u_1_and_a_30_minute_next_action() -> None:
    assert values.user_of(1) == "u-1"
    action = values.next_action_at(START)
    assert action.url == "https://connect.example/1"
    assert action.expires_at == START + HOUR / 2
