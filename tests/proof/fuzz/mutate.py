"""Mutations of inputs: flipped bytes, swapped tokens, spliced texts; reproducible by seed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

LONGEST: Final = 20_000
"""The length limit of a mutant, which bounds the cost of a run."""

# Tokens of all formats at once: JSON, HTTP, times, ids.
TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[A-Za-z_]+|[0-9]+|\s+|.', re.DOTALL)

TRICKS: Final[tuple[bytes, ...]] = (
    b"",
    b"\x00",
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b'"',
    b"\\",
    b"\x7f",
    b"\xff",
    b"\xc0\xaf",  # a slash in an overlong form
    b"\xed\xa0\x80",  # a lone surrogate in UTF-8's manner
    b"\xef\xbb\xbf",  # a byte order mark
    b"\xff\xfe",
    b"\xf4\x90\x80\x80",  # past the last code point
    "\u00a0".encode(),
    "\u0085".encode(),
    "\u2028".encode(),
    "\u200b".encode(),
    "\u202e".encode(),
    "\u212a".encode(),  # KELVIN SIGN, a k in lower case
    "\u0130".encode(),  # a letter that is two in lower case
    "\uff11".encode(),
    "\u0661".encode(),
    "\U0001f9ec".encode(),
    b"\\ud800",
    b"\\udfff\\ud800",
    b"\\u0000",
    b"%00",
    b"%ff",
    b"%2",
    b"%zz",
    b"%C0%AF",
    b"%ED%A0%80",
    b"+",
    b"&appUserId=u",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"1.0",
    b"9" * 16,
    b"9" * 5000,
    b"[]",
    b"{}",
    b'{"a":',
    b"[" * 200,
    b"]" * 200,
    b"[" * 300 + b"]" * 300,
    b'{"a":1,"a":2}',
    b"{c1.connection.id}",
    b"{c1}",
    b"{c1.headers.etag}",
    b"0000-01-01T00:00:00Z",
    b"9999-12-31T23:59:59.999999Z",
    b"2026-02-30T00:00:00Z",
    b"2026-01-01T23:59:60Z",
    b"W/",
    b"*",
    b",",
    b";",
    b":",
    b"a" * 65,
    b"a" * 257,
)


def text_of(data: bytes) -> str:
    """Decode bytes as UTF-8 with surrogates, or else one character per byte."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")


Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]


def mutate(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Return a mutant of an input, by one to three mutations.

    Args:
        data: The input.
        random: The source of every choice.
        others: Inputs of the same kind, to splice with.
    """
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(MUTATIONS)(data, random, others)
    return data[:LONGEST]


def _flip(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x80"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def _insert(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(TRICKS) + data[at:]


def _cut(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = sorted(random.choices(range(len(data) + 1), k=2))
    return data[:start] + data[end:]


def _repeat(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = sorted(random.choices(range(len(data) + 1), k=2))
    times = random.choice((1, 1, 2, 64))
    return data[:end] + (data[start:end] * times)[:LONGEST] + data[end:]


def _splice(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _replace_token(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    tokens = TOKEN.findall(data) or [b""]
    donors = TOKEN.findall(random.choice(others)) or [b""]
    tokens[random.randrange(len(tokens))] = random.choice((*donors, random.choice(TRICKS)))
    return b"".join(tokens)


def _swap_tokens(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    tokens = TOKEN.findall(data) or [b""]
    first, second = random.choices(range(len(tokens)), k=2)
    tokens[first], tokens[second] = tokens[second], tokens[first]
    return b"".join(tokens)


def _drop_token(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    tokens = TOKEN.findall(data) or [b""]
    del tokens[random.randrange(len(tokens))]
    return b"".join(tokens)


def _swap_case(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = sorted(random.choices(range(len(data) + 1), k=2))
    return data[:start] + data[start:end].swapcase() + data[end:]


def _bend_json(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    # A JSON line stays JSON, so that later parsers see the mutation too.
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    try:
        value: object = json.loads(lines[at], object_pairs_hook=_Object)
        lines[at] = _print(_bend(value, random)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return _insert(data, random, [])
    return b"\n".join(lines)


class _Object(list[tuple[str, object]]):
    """The members of an object, including repeated ones."""


def _bend(value: object, random: Random) -> object:
    if isinstance(value, _Object) and value and random.random() < 0.9:
        return _bend_object(value, random)
    if isinstance(value, list) and not isinstance(value, _Object) and value:
        at = random.randrange(len(value))
        if random.random() < 0.6:
            return [*value[:at], _bend(value[at], random), *value[at + 1 :]]
        return random.choice((value[:at], value * 2, [value], value[::-1], [*value * 70]))
    if isinstance(value, str) and random.random() < 0.5:
        trick = text_of(random.choice(TRICKS))
        at = random.randrange(len(value) + 1)
        return random.choice((value[:at] + trick + value[at:], trick, value[:at], value.upper()))
    return random.choice(VALUES)


def _bend_object(members: _Object, random: Random) -> _Object:
    at = random.randrange(len(members))
    name, member = members[at]
    match random.randrange(8):
        case 0:
            bent = [(name, member), (name, random.choice(VALUES))]
        case 1:
            bent = []
        case 2:
            bent = [(random.choice(NAMES), member)]
        case 3:
            bent = [(name, member), (random.choice(NAMES), random.choice(VALUES))]
        case _:
            bent = [(name, _bend(member, random))]
    return _Object([*members[:at], *bent, *members[at + 1 :]])


def _print(value: object) -> str:
    if isinstance(value, _Object):
        return "{" + ",".join(f"{json.dumps(name)}:{_print(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_print, value)) + "]"
    return json.dumps(value)


VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1.0,
    10**15,
    "",
    " ",
    "a",
    "\ud800",
    "\u2003u",
    "PENDING",
    "EXPIRED",
    "REVOKED",
    "2026-01-01T00:00:00.5Z",
    "9999-12-31T23:59:59.999999Z",
    "00000000-0000-4000-8000-000000000001",
    "{c1.connection.id}",
    "{s1.nextAction.url}",
    _Object(),
    [],
    ["a", "b"],
    [None],
)
NAMES: Final[tuple[str, ...]] = (
    "appUserId",
    "dataPackages",
    "preferSignup",
    "x",
    "",
    "at",
    "as",
    "ask",
    "fact",
    "request",
    "response",
    "body",
    "happenedAt",
    "expiresAt",
    "environment",
    "userId",
)

MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip,
    _insert,
    _cut,
    _repeat,
    _splice,
    _replace_token,
    _bend_json,
    _bend_json,
    _bend_json,
    _bend_json,
    _swap_tokens,
    _drop_token,
    _swap_case,
)
