"""Parsing and formatting JSON: every text gives a value or a documented fault."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.web.json import (
    DEPTH_MAX,
    DIGITS_MAX,
    MalformedError,
    format_json,
    has_duplicate_keys,
    parse_json,
)
from tests.support.malformed import BODIES, any_text, fault, fault_if_any, jsons


def test_json_at_maximum_depth_and_any_width_is_parsed() -> None:
    assert parse_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    wide = b"[" + b",".join([b"{}"] * 2 * DEPTH_MAX) + b"]"
    assert parse_json(wide) == [{}] * 2 * DEPTH_MAX
    # As deep as allowed, with more brackets than that; closing ones are counted.
    deep = b"[" * DEPTH_MAX + b"]" * (DEPTH_MAX - 1)
    assert parse_json(deep + b",[[]],{}]")


NOT_JSON: list[bytes | str] = [
    b"",
    b"{",
    b"{}{}",
    b"{'a':1}",
    b'{"a":1,}',
    b"[1,]",
    b"// no\n{}",
    b"NaN",
    b"[Infinity]",
    b'{"a":-Infinity}',
    b"0x10",
    b"01",
    b"\xff",
    b"\xef\xbb\xbf{}",
    b'"\xed\xa0\x80"',
    "{}".encode("utf-16"),
    b'"\t"',
    b"\x0c{}",
    "{}\u00a0",
    b'"\\x"',
    b"nul",
    b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
    b"[" * 100_000,
    b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
    # The texts between the brackets do not count as closing ones.
    b'["",' * (DEPTH_MAX + 1) + b"1" + b"]" * (DEPTH_MAX + 1),
    b"[" * 200 + b"[]," + b"[" * (DEPTH_MAX - 199) + b"]" * (DEPTH_MAX + 1),
    b"9" * 5000,
    "\ud800",
]


@pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: repr(text[:16]))
def test_invalid_json_raises_the_fault_not_json(text: bytes | str) -> None:
    assert fault(lambda: parse_json(text)) == (None, "NOT_JSON")


BRACKETS = "[{" * DEPTH_MAX
VALUES: list[tuple[bytes | str, Json]] = [
    (b" {} ", {}),
    ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'"\\ud83d"', "\ud83d"),
    (b"9" * 4000, int("9" * 4000)),
    (json.dumps([BRACKETS, '\\"' + BRACKETS]).encode(), [BRACKETS, '\\"' + BRACKETS]),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=lambda value: repr(value)[:16])
def test_valid_json_is_parsed(text: bytes | str, value: Json) -> None:
    assert parse_json(text) == value


@pytest.mark.slow
def test_json_on_a_deep_call_stack_never_raises_recursion_error() -> None:
    def sink(frames: int) -> tuple[str | None, Fault] | None:
        if frames:
            return sink(frames - 1)
        return fault_if_any(lambda: parse_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX))

    room = sys.getrecursionlimit() - len(inspect.stack(0))
    assert sink(room // 2) in {None, (None, Fault.NOT_JSON)}
    assert sink(room - 50) in {None, (None, Fault.NOT_JSON)}


def test_number_too_large_for_a_float_raises_not_json() -> None:
    assert fault(lambda: parse_json(b"1e999")) == (None, "NOT_JSON")


@pytest.fixture(params=[0, 640, 4_300])
def _int_digits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set how many digits of an integer Python converts; 0 for no limit."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("_int_digits")
@pytest.mark.parametrize("sign", ["", "-"])
def test_json_integer_limit_of_4300_digits_ignores_pythons_limit(sign: str) -> None:
    for digits in (1, 640, 641, 1_280, DIGITS_MAX):
        expected = 10**digits - 10 ** (digits - 1) - 1
        text = f"{sign}8{'9' * (digits - 1)}"
        assert parse_json(text) == (-expected if sign else expected)
    with pytest.raises(MalformedError) as raised:
        parse_json(f"{sign}{'9' * (DIGITS_MAX + 1)}")
    assert raised.value.fault is Fault.NOT_JSON


@pytest.mark.slow
def test_large_json_is_parsed_in_one_pass() -> None:
    # Each of these takes minutes if a scan restarts at every character.
    escapes = b'"' + b'\\"' * 200_000
    assert fault(lambda: parse_json(escapes + BRACKETS.encode())) == (None, "NOT_JSON")
    names = ",".join(f'"{number}":0' for number in range(100_000))
    assert fault(lambda: BODIES["nothing"](parse_json(f'{{{names},"99999":0}}'))) == (
        None,
        "REPEATED",
    )


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ('{"a":1,"a":2}', True),
        ('{"a" :1 , "\\u0061": 2}', True),
        ('[{"a":1,"b":{"a":1,"a":1}}]', True),
        ('{"a":{"a":1}}', False),
        ('[{"a":1},{"a":1}]', False),
        ('{"a:":":"}', False),
        ('{"a":1}', False),
        ("[]", False),
    ],
)
def test_duplicate_keys_are_detected_at_any_depth(text: str, *, repeats: bool) -> None:
    assert has_duplicate_keys(parse_json(text)) is repeats
    assert parse_json(text) == json.loads(text)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_formatted_json_parses_back_to_the_same_value(value: dict[str, Json]) -> None:
    text = format_json(value)
    assert parse_json(text) == value
    assert text.decode() == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_malformed_error_text_never_repeats_the_value() -> None:
    error = MalformedError("appUserId", Fault.INVALID)
    assert error.args == (error.member, error.fault) == ("appUserId", Fault.INVALID)
    assert str(error) == "appUserId: INVALID"
    assert str(MalformedError(None, Fault.NOT_JSON)) == "the document: NOT_JSON"


@given(st.binary() | any_text | jsons.map(json.dumps))
def test_law_16_any_text_parses_or_has_a_documented_fault(text: bytes | str) -> None:
    assert fault_if_any(partial(parse_json, text)) in {None, (None, Fault.NOT_JSON)}
