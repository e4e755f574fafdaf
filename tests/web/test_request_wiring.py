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


@pytest.mark.parametrize(
    ("argument", "value", "fix"),
    [
        ("method", b"GET", "a str such as GET"),
        ("target", b"/api", "raw_path.decode('latin-1')"),
        ("headers", {"Authorization": "Bearer cae_live_k1"}, "tuple(headers.items())"),
        ("headers", [PAIR], "tuple(headers.items())"),
        ("headers", iter([PAIR]), "tuple(headers.items())"),
        ("headers", ((b"authorization", b"Bearer cae_live_k1"),), "value.decode('latin-1')"),
        ("headers", (("Authorization", b"Bearer"),), "value.decode('latin-1')"),
        ("headers", PAIR, "pairs of str"),
        ("body", '{"appUserId": "ada"}', "bytes, or ParsedBody(value)"),
        ("body", {"appUserId": "ada"}, "bytes, or ParsedBody(value)"),
    ],
)
def test_request_built_from_a_wrong_type_raises_naming_the_fix(
    argument: str, value: object, fix: str
) -> None:
    build = cast("_UntypedRequest", Request)
    parts = {"method": "GET", "target": "/", "headers": (), "body": b""} | {argument: value}
    with pytest.raises(ArgumentError) as caught:
        build(**parts)
    assert caught.value.argument == argument
    assert fix in str(caught.value)
    assert "cae_live" not in str(caught.value)


def test_request_built_from_lists_or_a_parsed_body_is_accepted() -> None:
    listed = cast("tuple[tuple[str, str], ...]", ([*PAIR],))
    assert Request("GET", "/", headers=listed).headers == listed
    assert Request(method="POST", target="/", headers=(PAIR, PAIR), body=ParsedBody({})).body
