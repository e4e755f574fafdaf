"""Tests of the wording of failure messages."""

from __future__ import annotations

import pytest

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.wording import difference

FIRST = Response(200, (("etag", "1"), ("x-id", "a")), b"{}")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (Response(404, (), b""), "statuses: 200 and 404"),
        (Response(200, FIRST.headers, b"{ }"), "bodies"),
        (Response(200, (("x-id", "b"), ("x-other", "")), b"{}"), "headers: etag, x-id, x-other"),
        (Response(200, FIRST.headers[::-1], b"{}"), "headers: their order or repetition"),
    ],
)
def test_kit_message_says_if_status_body_or_headers_differ(second: Response, said: str) -> None:
    assert difference(FIRST, second) == said
