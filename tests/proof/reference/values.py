"""Values of the model: JSON, times, ids and texts, parsed as strictly as the rules ask."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NoReturn

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HANDOFF_LIFE = timedelta(minutes=30)
RETENTION = timedelta(hours=24)
SKEW = timedelta(minutes=5)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
ENVIRONMENTS = ["live", "test"]
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?Z"
)
PACKAGE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Members:
    """A JSON object as it was written, including repeated names."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self.pairs = pairs


class Broken(Exception):  # noqa: N818
    """The line is broken and has no effect."""


def parse_json(text: str) -> object:
    """Parse strict JSON with objects as `Members`; raise ValueError or RecursionError otherwise."""

    def constant(name: str) -> NoReturn:
        raise ValueError(name)

    value: object = json.loads(text, object_pairs_hook=Members, parse_constant=constant)
    return value


def format_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_time(text: object) -> datetime | None:
    match = TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction = match.groups()
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second),
            int((fraction or "").ljust(6, "0")),
            tzinfo=UTC,
        )
    except ValueError:
        return None


def format_time(time: datetime | None) -> str | None:
    if time is None:
        return None
    text = time.replace(tzinfo=None, microsecond=0).isoformat()
    if time.microsecond:
        text += f".{time.microsecond:06}".rstrip("0")
    return text + "Z"


def later(time: datetime, wait: timedelta) -> datetime:
    try:
        return time + wait
    except OverflowError:
        return LAST_INSTANT


def parse_uuid(value: object) -> str | None:
    if isinstance(value, str) and UUID.fullmatch(value):
        return value.lower()
    return None


def is_text(value: object) -> bool:
    """Return whether a value is a non-empty string that UTF-8 can encode."""
    if not isinstance(value, str) or value == "":
        return False
    return not any(unicodedata.category(character) == "Cs" for character in value)


def is_app_user(value: object) -> bool:
    if not isinstance(value, str) or not is_text(value) or len(value) > 256:
        return False
    if value[0].isspace() or value[-1].isspace():
        return False
    return not any(unicodedata.category(character) == "Cc" for character in value)


def seconds_up(wait: timedelta | Fraction) -> int:
    """Round up to whole seconds."""
    exact = wait if isinstance(wait, Fraction) else Fraction(wait // timedelta.resolution, 10**6)
    return -(-exact.numerator // exact.denominator)


# Lines ------------------------------------------------------------------------------------


def members(value: object, required: list[str], optional: list[str]) -> dict[str, object]:
    """Return the members of an object of the log itself (not of a request's body)."""
    if not isinstance(value, Members):
        raise Broken("an object was expected")
    found: dict[str, object] = {}
    for name, member in value.pairs:
        if name in found:
            raise Broken("a member is repeated")
        # Reading: unknown members break the line inside `request`, `register`, a bucket, a fact and
        # a question as they do at the top: a mistyped name must not pass.
        if name not in required and name not in optional:
            raise Broken("a member is unknown")
        found[name] = member
    for name in required:
        if name not in found:
            raise Broken("a member is missing")
    return found


def require_time(value: object) -> datetime:
    time = parse_time(value)
    if time is None:
        raise Broken("a time was expected")
    return time


def require_text(value: object) -> str:
    if not isinstance(value, str) or not is_text(value):
        raise Broken("a string was expected")
    return value


def require_uuid(value: object) -> str:
    found = parse_uuid(value)
    if found is None:
        raise Broken("a UUID was expected")
    return found


def require_environment(value: object) -> str:
    if not isinstance(value, str) or value not in ENVIRONMENTS:
        raise Broken("an environment was expected")
    return value


def require_no_repeats(value: object) -> None:
    if isinstance(value, Members):
        names = [name for name, _ in value.pairs]
        if len(names) != len(set(names)):
            raise Broken("a member is repeated")
        for _, member in value.pairs:
            require_no_repeats(member)
    if isinstance(value, list):
        for item in value:
            require_no_repeats(item)


def read_headers(value: object) -> list[tuple[str, str]]:
    """Return the headers one by one, with names in lower case."""
    if not isinstance(value, Members):
        raise Broken("headers are an object")
    headers = []
    for name, given in value.pairs:
        for text in given if isinstance(given, list) else [given]:
            if not isinstance(text, str):
                raise Broken("a header is a string or a list of strings")
            headers.append((name.lower(), text))
    return headers


def header_values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [text for header, text in headers if header == name]
