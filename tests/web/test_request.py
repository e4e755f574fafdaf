"""Parts of a request: the target, API keys and header values."""

from __future__ import annotations

import pytest
from hypothesis import given

from curae_lifecycle import ApiKey, Request, bearer
from curae_lifecycle.service.members import NO_TAGS, EntityTags
from curae_lifecycle.web.request import header_values, parse_if_none_match
from tests.support.malformed import any_text
from tests.support.server import API_KEY


@pytest.mark.parametrize(
    ("sent", "target"),
    [
        ("http://h.example:80/a%2fb?q=http://h/", "/a%2fb?q=http://h/"),
        ("HTTPS://h.example", "/"),
        ("https://h.example?q", "/?q"),
        ("//h.example/a", "//h.example/a"),
        ("/http://h.example/a", "/http://h.example/a"),
        ("*", "*"),
        ("h.example:80", "h.example:80"),
    ],
)
def test_request_target_has_no_scheme_and_host(sent: str, target: str) -> None:
    assert Request("GET", sent).target == target


AUTHORIZATIONS: list[tuple[list[str], str | None]] = [
    ([f"Bearer {API_KEY}"], API_KEY),
    ([f"bearer   {API_KEY} \t"], API_KEY),
    ([f"BEARER {API_KEY}"], API_KEY),
    (["Bearer a~!/+="], "a~!/+="),
    ([f" \tBearer {API_KEY}"], API_KEY),
    (["Bearer XkX"], "XkX"),
    ([f"Bearer \t{API_KEY}"], None),
    ([f"\x0cBearer {API_KEY}"], None),
    ([], None),
    ([""], None),
    (["Bearer"], None),
    (["Bearer "], None),
    ([f"Bearer{API_KEY}"], None),
    ([f"Basic {API_KEY}"], None),
    ([f"Bearer {API_KEY} more"], None),
    ([f"Bearer\t{API_KEY}"], None),
    ([f"Bearer {API_KEY}\n"], None),
    (["Bearer é"], None),
    (["Bearer \u212a"], None),
    ([f"Bearer {API_KEY}", f"Bearer {API_KEY}"], None),
]


@pytest.mark.parametrize(("values", "key"), AUTHORIZATIONS)
def test_api_key_is_read_from_exactly_one_authorization_header(
    values: list[str], key: str | None
) -> None:
    headers = tuple(("AUTHORIZATION", value) for value in values)
    found = bearer(Request("GET", "/", headers))
    assert found == (None if key is None else ApiKey(key))


def test_header_lookup_ignores_case_of_names_and_keeps_order() -> None:
    # In lower case the Kelvin sign is a k, too.
    headers = (("K-b", "1"), ("x", "2"), ("k-B", "3"), ("\u212a-b", "4"))
    assert header_values(Request("GET", "/", headers), "k-b") == ["1", "3"]


TAGS: list[tuple[list[str], EntityTags]] = [
    ([], NO_TAGS),
    ([""], NO_TAGS),
    ([" , ,"], NO_TAGS),
    (['"a" x'], NO_TAGS),
    (["*"], EntityTags(matches_any=True)),
    (["\t* "], EntityTags(matches_any=True)),
    (["X*X"], NO_TAGS),
    (["\x0c*"], NO_TAGS),
    ([' "a", W/"b",', '"c,d"'], EntityTags(frozenset({'"a"', '"b"', '"c,d"'}))),
]


@pytest.mark.parametrize(("values", "tags"), TAGS)
def test_entity_tags_are_those_of_all_if_none_match_headers(
    values: list[str], tags: EntityTags
) -> None:
    headers = tuple(("If-None-Match", value) for value in values)
    assert parse_if_none_match(Request("GET", "/", headers)) == tags


@given(any_text)
def test_law_16_any_authorization_header_is_a_key_or_none(value: str) -> None:
    found = bearer(Request("GET", "/", (("Authorization", value),)))
    assert found is None or value.lower().startswith("bearer ")
