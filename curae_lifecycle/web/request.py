"""An HTTP request as it came, and what its headers say.

The law of this module: **every header gives a value or none**, however malformed.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import IdempotencyKey, parse_idempotency_key
from curae_lifecycle.service.members import NO_TAGS, EntityTags
from curae_lifecycle.web.json import Json

BODY_MAX: Final = 65_536
"""The longest body that is read, in bytes; the longest one that says something has about five
thousand. Of a longer one a server need not hand over more than one byte too many [O]."""


@attrs.frozen
class ParsedBody:
    """A body that the server's framework has read already; `parse_json` reads it strictly."""

    value: Json = attrs.field(repr=False)


@attrs.frozen
class Request:
    """An HTTP request as it came.

    Attributes:
        method: The method, as it was spelled.
        target: The path and, after `?`, the query; nothing decoded.
        headers: Names and values in order, repetitions included; names ignore case.
        body: The exact bytes, or what the framework made of them.
    """

    method: str
    target: str = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes | ParsedBody = attrs.field(default=b"", repr=False)


def header_values(request: Request, name: str) -> list[str]:
    """Every value of a header, in order; `name` in lower case.

    Args:
        request: The request as it came.
        name: In lower case.
    """
    # The length first: it rules most names out at once.
    length = len(name)
    values: list[str] = []
    for key, value in request.headers:
        if len(key) == length and key.isascii() and key.lower() == name:
            values.append(value)
    return values


def bearer(request: Request) -> ApiKey | None:
    """The API key of a request's `Authorization: Bearer <key>` [S]; `None` but for exactly one."""
    values = header_values(request, "authorization")
    scheme, _, secret = values[0].strip(" \t").partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != _SCHEME:
        return None
    try:
        return ApiKey(secret.lstrip(" "))
    except ArgumentError:
        return None


def parse_idempotency_key_header(values: list[str]) -> IdempotencyKey | None:
    """The key of exactly one `Idempotency-Key` header, bare or quoted; `None` for any other."""
    if len(values) != 1:
        return None
    text = values[0].strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(text)
        if quoted is None:
            return None
        text = _ESCAPE.sub(r"\1", quoted[1])
    try:
        return parse_idempotency_key(text)
    except ArgumentError:
        return None


def parse_if_none_match(request: Request) -> EntityTags:
    """The entity tags of `If-None-Match`: compared weakly, lists and `*` understood."""
    text = ",".join(header_values(request, "if-none-match"))
    if text == "":
        return NO_TAGS
    if text.strip(" \t") == "*":
        return EntityTags(matches_any=True)
    tags: set[str] = set()
    at = 0
    while at < len(text):
        found = _ENTITY_TAG.match(text, at)
        if found is None:
            return NO_TAGS
        tags.add(found[1] or "")
        at = found.end()
    return EntityTags(frozenset(tags))


_SCHEME: Final = "bearer"
_QUOTED_KEY: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPE: Final = re.compile(r"\\(.)")
_ENTITY_TAG: Final = re.compile(r'[ \t]*+(?:(?:W/)?("[!#-~\x80-\xff]*"))?[ \t]*(?:,|\Z)')
