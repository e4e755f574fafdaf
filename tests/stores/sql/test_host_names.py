"""Malformed host names in the URL of an engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql.engine import create_engine, create_engine_async

LONG = "a" * 64


@pytest.mark.parametrize(
    ("make", "driver"),
    [
        (create_engine, "postgresql+psycopg"),
        (create_engine, "mariadb+pymysql"),
        (create_engine_async, "postgresql+psycopg"),
        (create_engine_async, "postgresql+asyncpg"),
        (create_engine_async, "mariadb+asyncmy"),
    ],
)
@pytest.mark.parametrize("host", ["a..b", f"{LONG}.example", f"a.example.{LONG}"])
def test_engine_url_with_a_malformed_host_name_raises(
    make: Callable[[str], object], driver: str, host: str
) -> None:
    for valid in ("a_b.example.", "\xe4.example", "[::1]", ""):
        assert make(f"{driver}://ada:secret@{valid}/kept")
    with pytest.raises(ArgumentError) as raised:
        make(f"{driver}://ada:secret@{host}/kept")
    assert str(raised.value) == "url: must be a URL with a valid host name"
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("make", "driver"),
    [
        (create_engine, "postgresql+psycopg"),
        (create_engine_async, "postgresql+psycopg"),
        (create_engine_async, "postgresql+asyncpg"),
    ],
)
def test_engine_url_with_one_malformed_host_of_several_raises(
    make: Callable[[str], object], driver: str
) -> None:
    start = f"{driver}://ada:secret@/kept?host"
    assert make(f"{start}={'a' * 40}:1&host={'b' * 40}:2")
    assert make(f"{start}=/{LONG}")
    with pytest.raises(ArgumentError, match="a valid host name"):
        make(f"{start}=a.example:1&host=b..example:2")
