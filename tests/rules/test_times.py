"""Times as text: formatting and parsing of one RFC 3339 spelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from curae_lifecycle import ArgumentError
from curae_lifecycle.rules.values import format_time, parse_time
from tests.support.malformed import any_instants
from tests.support.strategies import START

TIMES = [
    ("2026-01-01T00:00:00Z", START),
    ("2026-01-01T00:00:00.5Z", START + timedelta(milliseconds=500)),
    ("2026-01-01T00:00:00.000001Z", START + timedelta(microseconds=1)),
    ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "instant"), TIMES)
def test_format_time_writes_the_shortest_text_and_parses_back(text: str, instant: datetime) -> None:
    assert format_time(instant) == text
    assert parse_time("at", text) == instant
    assert parse_time("at", text).tzinfo is UTC


@given(any_instants)
def test_every_instant_is_unchanged_by_formatting_and_parsing(instant: datetime) -> None:
    assert parse_time("at", format_time(instant)) == instant


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
        "",
        None,
        0,
        START,
    ],
)
def test_text_that_is_not_rfc_3339_utc_raises_argument_error(text: object) -> None:
    with pytest.raises(ArgumentError, match="at: must be an RFC 3339 time"):
        parse_time("at", text)
