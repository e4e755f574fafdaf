"""Tests that parsing takes linear time: twice the input runs at most twice the lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

import pytest

from curae_lifecycle import Request, bearer, read
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.values import parse_time
from curae_lifecycle.web.json import parse_json
from tests.support.malformed import BODIES
from tests.support.server import CALLER
from tests.support.strategies import START

if TYPE_CHECKING:
    from _typeshed import TraceFunction


def test_linear_time_check_detects_a_quadratic_parser() -> None:
    def slow(size: int) -> object:
        return [_one(text) for end in range(size) for text in range(end)]

    once, twice, four_times = (_lines_run(slow, size) for size in (50, 100, 200))
    assert four_times - twice > 2 * (twice - once) + 50


def _read(method: str, target: str, *headers: tuple[str, str]) -> object:
    return read(Request(method, target, headers), CALLER, START)


def _state(query: str, *headers: tuple[str, str]) -> object:
    return _read("GET", f"/api/sdk/v1/curae-connect/account-state?{query}", *headers)


def _key(value: str) -> object:
    path = f"/api/sdk/v1/connections/{'0' * 8}-0000-4000-8000-{'0' * 12}:revoke"
    return _read("POST", path, ("Idempotency-Key", value))


def _fails(parse: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must be|NOT_JSON|REPEATED|INVALID"):
        parse()


def _named(line: str) -> object:
    """Replay a line after one that named an answer, so that its texts are searched for names."""
    first = '{"at":"2026-01-01T00:00:00Z","as":"c1","request":{"method":"GET","path":"/"}}'
    return list(replay([first.encode(), json.dumps(line).encode()]))


GROWING: Final[dict[str, Callable[[int], object]]] = {
    "an open string": lambda n: _fails(lambda: parse_json('"' + '\\"' * n + "[" * 300)),
    "open brackets": lambda n: _fails(lambda: parse_json("[" * n)),
    "brackets in strings": lambda n: parse_json("[" + '"[[[",' * n + "0]"),
    "closing brackets": lambda n: _fails(lambda: parse_json("]" * n + "[" * 300)),
    "names": lambda n: _fails(
        lambda: BODIES["nothing"](
            parse_json("{" + "".join(f'"{i}":0,' for i in range(n)) + '"0":0}')
        )
    ),
    "packages": lambda n: _fails(
        lambda: BODIES["create"]({"appUserId": "u", "dataPackages": [f"p{i}" for i in range(n)]})
    ),
    "digits of a fraction": lambda n: _fails(
        lambda: parse_time("at", f"2026-01-01T00:00:00.{'0' * n}Z")
    ),
    "blanks after the scheme": lambda n: bearer(
        Request("GET", "/", (("Authorization", f"Bearer{' ' * n}\n"),))
    ),
    "escapes in an open key": lambda n: _key('"' + '\\"' * n),
    "quotes in a key": lambda n: _key('"' * n),
    "parameters of a query": lambda n: _state("a=b&" * n),
    "percent signs": lambda n: _state("appUserId=" + "%" * n),
    "surrogates in percents": lambda n: _state("appUserId=" + "%ED%A0%80" * n),
    "entity tags": lambda n: _state("appUserId=u", ("If-None-Match", '"a",' * n)),
    "commas": lambda n: _state("appUserId=u", ("If-None-Match", "," * n)),
    "blanks between tags": lambda n: _state("appUserId=u", ("If-None-Match", " " * n + "x")),
    "an open tag": lambda n: _state("appUserId=u", ("If-None-Match", '"' + "a" * n)),
    "colons in a path": lambda n: _read("POST", "/api/sdk/v1/connections/" + ":a" * n),
    "open braces": lambda n: _named("{" * n),
    "braces and blanks": lambda n: _named(("{" + " " * 9) * n),
    "dots in a name": lambda n: _named("{c1" + ".a" * n),
    "names in a line": lambda n: _named("{c2.a}" * n),
}


@pytest.mark.parametrize("input_", GROWING)
def test_doubling_parser_input_at_most_doubles_executed_lines(input_: str) -> None:
    GROWING[input_](500)  # what is made once is made now
    once, twice, four_times = (_lines_run(GROWING[input_], size) for size in (500, 1000, 2000))
    assert four_times - twice <= 2 * (twice - once) + 50, "law 16: more than linear"


@pytest.mark.slow
@pytest.mark.parametrize("input_", GROWING)
def test_large_parser_input_is_parsed_in_one_pass(input_: str) -> None:
    # A quadratic scan would take minutes here.
    GROWING[input_](100_000)


def _one(value: object) -> object:
    return value


def _lines_run(run: Callable[[int], object], size: int) -> int:
    """Count the lines of Python that a call runs, without the work in C."""
    lines = 0

    def trace(_: FrameType, event: str, __: object) -> TraceFunction:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(size)
    finally:
        sys.settrace(before)
    return lines
