"""Requests that a route builds wrongly: each raises at once and names the fix."""

from __future__ import annotations

from typing import Final, Protocol, cast

import pytest

from curae_lifecycle import ArgumentError, Request
from curae_lifecycle.web.request import ParsedBody

PAIR: Final = ("Authorization", "Bearer cae_live_k1")


class _UntypedRequest(Protocol):
    """The constructor of `Request` without types, as an unchecked program calls it."""

    def __call__(self, **parts: object) -> Request: ...


TARGET: Final = "a str: decode bytes, as raw_path.decode('latin-1')"
HEADERS: Final = "pairs, such as tuple(headers.items())"
PAIRS: Final = "pairs of str: decode bytes, as value.decode('latin-1')"
BODY: Final = "bytes, or ParsedBody(value) for JSON that is parsed already"


@pytest.mark.parametrize(
    ("argument", "value", "allowed", "given"),
    [
        ("method", b"GET", "a str such as GET", "a bytes"),
        ("target", b"/api", TARGET, "a bytes"),
        ("headers", {"Authorization": "Bearer cae_live_k1"}, HEADERS, "a dict"),
        ("headers", [PAIR], HEADERS, "a list"),
        ("headers", iter([PAIR]), HEADERS, "a list_iterator"),
        ("headers", ((b"authorization", b"Bearer cae_live_k1"),), PAIRS, ""),
        ("headers", (("Authorization", b"Bearer"),), PAIRS, ""),
        ("headers", PAIR, PAIRS, ""),
        ("body", '{"appUserId": "ada"}', BODY, "a str"),
        ("body", {"appUserId": "ada"}, BODY, "a dict"),
    ],
)
def test_request_built_from_a_wrong_type_raises_naming_the_fix(
    argument: str, value: object, *, allowed: str, given: str
) -> None:
    build = cast("_UntypedRequest", Request)
    parts = {"method": "GET", "target": "/", "headers": (), "body": b""} | {argument: value}
    with pytest.raises(ArgumentError) as caught:
        build(**parts)
    error = caught.value
    assert (error.argument, error.allowed, error.given) == (argument, allowed, given)
    assert "cae_live" not in str(error)


def test_request_built_from_lists_or_a_parsed_body_is_accepted() -> None:
    listed = cast("tuple[tuple[str, str], ...]", ([*PAIR],))
    assert Request("GET", "/", headers=listed).headers == listed
    assert Request(method="POST", target="/", headers=(PAIR, PAIR), body=ParsedBody({})).body
