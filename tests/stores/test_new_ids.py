"""Tests of new ids and page URLs: unique and not guessable."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import timedelta
from uuid import UUID

import pytest

from curae_lifecycle import ArgumentError, NewIds, RandomIds, serve
from curae_lifecycle.rules.values import LAST_INSTANT, SECOND
from curae_lifecycle.stores import new_ids
from tests.support.server import request
from tests.support.serving import faulty
from tests.support.strategies import START, TICK, at

PAGES = "https://connect.example/"


def drawn(new_ids: NewIds) -> list[str]:
    """Return everything that was drawn."""
    token = new_ids.next_action.url.removeprefix(PAGES)
    return [new_ids.connection_id, new_ids.session_id, new_ids.user_id, token]


def test_ids_are_random_uuids() -> None:
    new_ids = RandomIds(PAGES)(START)
    for each in (new_ids.connection_id, new_ids.session_id, new_ids.user_id):
        assert str(UUID(each)) == each
        assert UUID(each).version == 4


def test_a_url_is_the_base_and_256_random_bits() -> None:
    url = RandomIds(PAGES)(START).next_action.url
    assert url.startswith(PAGES)
    assert len(urlsafe_b64decode(url.removeprefix(PAGES) + "=")) * 8 == 256


def test_nothing_is_drawn_twice() -> None:
    mint = RandomIds(PAGES)
    every = [each for _ in range(50) for each in drawn(mint(START))]
    assert len(set(every)) == len(every) == 200


def test_a_page_lives_half_an_hour_or_as_long_as_the_server_says() -> None:
    assert RandomIds(PAGES)(START).next_action.expires_at == at(30)
    assert RandomIds(PAGES, timedelta(minutes=5))(START).next_action.expires_at == at(5)


def test_at_the_end_of_time_a_page_lives_to_its_end() -> None:
    late = LAST_INSTANT - timedelta(minutes=30)
    for now in (late, late + TICK, LAST_INSTANT):
        assert RandomIds(PAGES)(now).next_action.expires_at == LAST_INSTANT
    assert RandomIds(PAGES)(late - TICK).next_action.expires_at == LAST_INSTANT - TICK
    made = faulty()
    made.clock.now = LAST_INSTANT
    assert serve(made, request("create"), RandomIds(PAGES)).response.status == 201


@pytest.mark.parametrize("life", [timedelta(0), timedelta(microseconds=-1)])
def test_a_page_that_would_be_over_at_once_is_a_mistake(life: timedelta) -> None:
    with pytest.raises(ArgumentError, match="lifetime: must be longer than 0"):
        RandomIds(PAGES, life)


def test_no_page_of_one_server_shows_in_its_repr() -> None:
    assert RandomIds(PAGES)(START).next_action.url not in repr(RandomIds(PAGES)(START))


def test_a_part_of_a_second_is_drawn_of_all_its_microseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below: list[int] = []

    def randbelow(most: int) -> int:
        below.append(most)
        return 42

    monkeypatch.setattr(new_ids, "randbelow", randbelow)
    assert new_ids.random_microseconds() == 42
    assert below == [SECOND] == [1_000_000]
