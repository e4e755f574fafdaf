"""Domains of time as integers, and of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from typing import Final

from curae_lifecycle.rules import idempotency, values
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import LAST_INSTANT
from tests.support.strategies import START, TICK


def spans(size: int) -> int:
    """Compare every span from -`size` to `size` microseconds, in seconds rounded up, at least 1."""
    cases = 0
    for span in range(-size, size):
        whole, rest = divmod(span, 1_000_000)
        expected = whole + 1 if rest else whole
        assert values.ceil_seconds(span) == max(expected, 1)
        cases += 1
    return cases


def intervals(size: int) -> int:
    """Compare instants around the epoch, a leap second's day and the last one, both ways."""
    cases = 0
    epoch = datetime(1970, 1, 1, tzinfo=START.tzinfo)
    for base in (epoch, START, LAST_INSTANT - timedelta(microseconds=size)):
        offset = (base - epoch) // TICK
        for first in range(size):
            at = base + timedelta(microseconds=first)
            assert values.to_epoch_microseconds(at) == offset + first
            assert values.from_epoch_microseconds(offset + first) == at
            for second in range(0, 2 * size, 3):
                by = second - first
                there = values.add_microseconds(at, by)
                past_the_end = base not in {epoch, START} and second > size
                assert there == (
                    LAST_INSTANT if past_the_end else base + timedelta(microseconds=second)
                )
                if not past_the_end:
                    assert values.elapsed(at, there) == by
                    assert values.elapsed(there, at) == -by
                cases += 1
    return cases


def printed_times(size: int) -> int:
    """Compare every `size`-th microsecond of a second, and every second of a day."""
    cases = 0
    for microsecond in range(0, 1_000_000, size):
        text = f"2026-01-01T00:00:00.{microsecond:06}"
        while text[-1] in "0." and "." in text:
            text = text[:-1]
        instant = START.replace(microsecond=microsecond)
        assert values.format_time(instant) == text + "Z"
        cases += 1
    for second in range(0, 86_400, size):
        hours, rest = divmod(second, 3600)
        clock = f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
        assert values.format_time(START + timedelta(seconds=second)) == f"2026-01-01T{clock}Z"
        cases += 1
    return cases


LETTERS: Final = " a_0B\x00\ud800\u00a0~"
"""White space, allowed and other characters of a token, a control, a surrogate, the last ASCII."""


def accepts(parse: Callable[[object], str], text: str) -> bool:
    try:
        return parse(text) == text
    except ArgumentError:
        return False


def texts(size: int) -> int:
    """Compare every text of up to `size` letters under each rule for text."""
    cases = 0
    for letters in lengths(size):
        text = "".join(letters)
        seen = set(letters)
        safe = text != "" and not seen & {"\x00", "\ud800"}
        ends = text[:1] + text[-1:]
        edged = " " in ends or "\u00a0" in ends
        assert accepts(values.parse_app_user_id, text) == (safe and not edged)
        assert accepts(partial(values.parse_opaque, "text"), text) == (
            text != "" and "\ud800" not in seen
        )
        assert accepts(idempotency.parse_idempotency_key, text) == (
            text != "" and seen <= set("a_0B~")
        )
        token = text != "" and text[0] == "a" and seen <= set("a_0")
        assert accepts(lambda given: "".join(values.parse_data_packages([given])), text) == token
        cases += 4
    return cases


def lengths(size: int) -> Iterator[tuple[str, ...]]:
    for length in range(size + 1):
        yield from product(LETTERS, repeat=length)
