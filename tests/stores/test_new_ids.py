"""Tests of new ids and page URLs: unique and not guessable."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import timedelta
from typing import cast
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


def test_new_ids_are_random_uuids() -> None:
    new_ids = RandomIds(PAGES)(START)
    for each in (new_ids.connection_id, new_ids.session_id, new_ids.user_id):
        assert str(UUID(each)) == each
        assert UUID(each).version == 4


def test_hosted_page_url_is_the_base_plus_256_random_bits() -> None:
    url = RandomIds(PAGES)(START).next_action.url
    assert url.startswith(PAGES)
    assert len(urlsafe_b64decode(url.removeprefix(PAGES) + "=")) * 8 == 256


def test_new_ids_and_hosted_page_urls_never_repeat() -> None:
    mint = RandomIds(PAGES)
    every = [each for _ in range(50) for each in drawn(mint(START))]
    assert len(set(every)) == len(every) == 200


def test_hosted_page_lifetime_is_30_minutes_or_as_configured() -> None:
    assert RandomIds(PAGES)(START).next_action.expires_at == at(30)
    assert RandomIds(PAGES, timedelta(minutes=5))(START).next_action.expires_at == at(5)


def test_hosted_page_expiry_is_capped_at_the_end_of_year_9999() -> None:
    late = LAST_INSTANT - timedelta(minutes=30)
    for now in (late, late + TICK, LAST_INSTANT):
        assert RandomIds(PAGES)(now).next_action.expires_at == LAST_INSTANT
    assert RandomIds(PAGES)(late - TICK).next_action.expires_at == LAST_INSTANT - TICK
    made = faulty()
    made.clock.now = LAST_INSTANT
    assert serve(made, request("create"), RandomIds(PAGES)).response.status == 201


def test_hosted_page_lifetime_of_300_years_is_exact() -> None:
    # A float of this many microseconds would be rounded.
    lifetime = timedelta(days=300 * 365) + TICK
    assert RandomIds(PAGES, lifetime)(START).next_action.expires_at == START + lifetime


@pytest.mark.parametrize(
    ("base", "given"), [(7, "an int"), (None, "None"), ("https://connect.example", "")]
)
def test_base_url_without_a_path_raises_argument_error(base: object, given: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        RandomIds(cast("str", base))
    error = raised.value
    assert (error.argument, error.given) == ("hosted_page_base_url", given)
    assert error.allowed == "a URL such as https://connect.example/"


def test_base_url_of_only_a_host_and_a_slash_is_accepted() -> None:
    assert RandomIds("https://a/")(START).next_action.url.startswith("https://a/")


def test_hosted_page_lifetime_that_is_no_timedelta_raises() -> None:
    with pytest.raises(ArgumentError) as raised:
        RandomIds(PAGES, cast("timedelta", 30))
    error = raised.value
    assert (error.argument, error.given) == ("lifetime", "an int")
    assert error.allowed == "a timedelta longer than 0"


@pytest.mark.parametrize("life", [timedelta(0), timedelta(microseconds=-1)])
def test_zero_or_negative_hosted_page_lifetime_raises(life: timedelta) -> None:
    with pytest.raises(ArgumentError, match=r"^lifetime: must be longer than 0$"):
        RandomIds(PAGES, life)


def test_repr_of_new_ids_hides_the_url() -> None:
    assert RandomIds(PAGES)(START).next_action.url not in repr(RandomIds(PAGES)(START))


def test_random_microseconds_are_drawn_from_a_whole_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below: list[int] = []

    def randbelow(most: int) -> int:
        below.append(most)
        return 42

    monkeypatch.setattr(new_ids, "randbelow", randbelow)
    assert new_ids.random_microseconds() == 42
    assert below == [SECOND] == [1_000_000]
