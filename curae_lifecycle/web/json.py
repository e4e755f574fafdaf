"""JSON text to JSON values and back.

The law of this module: **every text gives a value or a documented fault**, never another
exception. A repeated name is kept, so that a parser can refuse it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Final

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.json_schema import Json

DEPTH_MAX: Final = 256
"""The deepest nesting that `parse_json` accepts; real requests are far less deep [O]."""

DIGITS_MAX: Final = 4_300
"""The most digits of an integer that `parse_json` accepts, whatever limit Python is set to [O]."""

# Python converts as many digits at once, whatever it is set to.
_DIGITS_AT_ONCE: Final = 640

_WHITE: Final = " \t\n\r"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# An unterminated string matches to the end of the text, so that the scan stays linear.
_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


class DuplicateKeyObject(dict[str, Json]):
    """A JSON object with a repeated name; as a `dict` it holds the last value of each name.

    Attributes:
        pairs: The name and value of every member, repeated ones included, in the order of the text.
    """

    def __init__(self, pairs: list[tuple[str, Json]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def first_duplicate(self) -> str:
        """Return the first name in `pairs` that repeats an earlier name.

        Raises:
            AssertionError: No name is repeated. `parse_json` makes no such object.
        """
        seen: set[str] = set()
        for name, _ in self.pairs:
            if name in seen:
                return name
            seen.add(name)
        raise AssertionError("an object without a repeated name")  # pragma: no cover - see class


def has_duplicate_keys(value: Json) -> bool:
    """Return whether any object in a value that `parse_json` returned has a repeated name."""
    if isinstance(value, dict):
        return isinstance(value, DuplicateKeyObject) or any(map(has_duplicate_keys, value.values()))
    return isinstance(value, list) and any(map(has_duplicate_keys, value))


def has_surrogates(value: Json) -> bool:
    """Return whether a name or a text in a value holds a surrogate, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return not value.isascii() and _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(map(has_surrogates, value)) or any(map(has_surrogates, value.values()))
    return isinstance(value, list) and any(map(has_surrogates, value))


class MalformedError(LifecycleError, ValueError):
    """The error for a malformed text or value from outside; its message never repeats the input.

    Attributes:
        member: The name of the member at fault; `None` for the whole document or an unknown member.
        fault: The kind of fault.
    """

    def __init__(self, member: str | None, fault: Fault) -> None:
        super().__init__(member, fault)
        self.member = member
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.member or 'the document'}: {self.fault}"


def parse_json(text: bytes | str) -> Json:
    """Parse one JSON document of RFC 8259; bytes must be UTF-8.

    An object with a repeated name becomes a `DuplicateKeyObject`.

    Raises:
        MalformedError: The text is no JSON, holds NaN or an infinity, is nested more than
            `DEPTH_MAX` deep, or has a number that is too large for a float or an integer of more
            than `DIGITS_MAX` digits.
    """
    try:
        decoded = (text.decode() if isinstance(text, bytes) else text).strip(_WHITE)
        # Shorter text has no room to be too deep.
        too_deep = len(decoded) > DEPTH_MAX and _is_too_deep(decoded)
        read: tuple[Json, int] | None = None if too_deep else _DECODER.raw_decode(decoded)
    except (ValueError, RecursionError):
        # Recursion fails only if the caller's stack leaves less room than a document may take.
        raise MalformedError(None, Fault.NOT_JSON) from None
    if read is None or read[1] < len(decoded):
        raise MalformedError(None, Fault.NOT_JSON)
    return read[0]


def _is_too_deep(text: str) -> bool:
    # Counted here, since the limit of Python itself differs between releases.
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return False
    depth = 0
    for found in _BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif found[0] in "]}":
            depth -= 1
    return False


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else DuplicateKeyObject(pairs)


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError
    return value


def _integer(text: str) -> int:
    if len(text) <= _DIGITS_AT_ONCE:
        return int(text)
    digits = text.removeprefix("-")
    if len(digits) > DIGITS_MAX:
        raise ValueError
    value = 0
    for first in range(0, len(digits), _DIGITS_AT_ONCE):
        part = digits[first : first + _DIGITS_AT_ONCE]
        value = value * 10 ** len(part) + int(part)
    return -value if text.startswith("-") else value


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_finite, parse_float=_finite, parse_int=_integer
)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
)


def json_text(value: Mapping[str, Json]) -> str:
    """Format a JSON object as compact text: no spaces, and non-ASCII characters as they are.

    NaN and infinities raise `ValueError`.
    """
    return _ENCODER.encode(value)


def format_json(value: Mapping[str, Json]) -> bytes:
    """Format a JSON object as UTF-8 bytes without spaces, for the body of a response."""
    return json_text(value).encode()
