"""HTTP requests as they were received, and parsers of their headers.

The law of this module: **every header gives a value or none**. A malformed header never raises.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import IdempotencyKey, parse_idempotency_key
from curae_lifecycle.rules.values import check_type
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import NO_TAGS, EntityTags

BODY_MAX: Final = 65_536
"""The size of the largest body that is parsed, in bytes, white space counted; a longer one gets a
400 [O]. The largest meaningful body has about five thousand bytes. A server may cut a longer body
off after `BODY_MAX` + 1 bytes."""


@attrs.frozen
class ParsedBody:
    """A body that the server's framework has parsed already.

    `read` uses the value as it is. It cannot check the size of the body against `BODY_MAX`. It can
    refuse repeated member names only if `parse_json` parsed the body, since other parsers keep only
    the last of them. For both checks, give the `Request` the bytes of the body instead.

    Attributes:
        value: The parsed JSON value.
    """

    value: Json = attrs.field(repr=False)


def _without_origin(target: str) -> str:
    allowed = "a str: decode bytes, as raw_path.decode('latin-1')"
    check_type("target", target, str, allowed=allowed)
    # RFC 9112 has servers accept a whole URL, and some server software passes it on.
    origin = _ORIGIN.match(target)
    if origin is None:
        return target
    rest = target[origin.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


@attrs.frozen
class Request:
    """An HTTP request as it was received.

    Attributes:
        method: The HTTP method, in the client's spelling.
        target: The path and, after `?`, the query; still percent-encoded. Of a whole URL, the scheme
            and the host are left out.
        headers: Names and values in order, repeated headers included; the case of names is ignored.
        body: The exact bytes of the body, or the value that the framework parsed from them.

    Raises:
        ArgumentError: The method or the target is no text, the headers are no tuple of pairs of
            text, or the body is of another type. Of the headers only the first is checked.
    """

    method: str
    target: str = attrs.field(converter=_without_origin, repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes | ParsedBody = attrs.field(default=b"", repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the types, since frameworks use bytes, a dict of headers or a parsed body."""
        check_type("method", self.method, str, allowed="a str such as GET")
        check_type("headers", self.headers, tuple, allowed="pairs, such as tuple(headers.items())")
        if self.headers and not _is_text_pair(self.headers[0]):
            allowed = "pairs of str: decode bytes, as value.decode('latin-1')"
            raise ArgumentError("headers", allowed)
        allowed = "bytes, or ParsedBody(value) for JSON that is parsed already"
        check_type("body", self.body, (bytes, ParsedBody), allowed=allowed)


def _is_text_pair(pair: object) -> bool:
    match pair:
        case (str(), str()):
            return True
        case _:
            return False


def header_values(request: Request, name: str) -> list[str]:
    """Return all values of a header, in order; an empty list if the request lacks the header.

    Args:
        request: The request.
        name: The header's name, in lower case.
    """
    # A few other letters become ASCII in lower case, such as the Kelvin sign.
    return [value for key, value in request.headers if key.lower() == name and key.isascii()]


def bearer(request: Request) -> ApiKey | None:
    """Return the API key of a request, from its header `Authorization: Bearer <key>` [S].

    Returns:
        The API key; `None` if the header is missing, repeated or malformed, or has another scheme.
    """
    values = header_values(request, "authorization")
    if len(values) != 1:
        return None
    scheme, _, secret = values[0].strip(" \t").partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    try:
        return ApiKey(secret.lstrip(" "))
    except ArgumentError:
        return None


def parse_idempotency_key_header(values: list[str]) -> IdempotencyKey | None:
    """Parse the idempotency key of a request, which may be bare or a quoted string.

    Args:
        values: All values of the request's `Idempotency-Key` header.

    Returns:
        The key; `None` if there is not exactly one value, or if it is malformed.
    """
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
    """Parse the entity tags of a request's `If-None-Match`, for a weak comparison.

    Returns:
        The tags of all `If-None-Match` headers, in quotes and without `W/`. For `*`, the result
        matches every tag. For a missing or malformed header, it is `NO_TAGS`, which matches none.
    """
    text = ",".join(header_values(request, "if-none-match"))
    if text.strip(" \t") == "*":
        return EntityTags(matches_any=True)
    tags: set[str] = set()
    at = 0
    while at < len(text):
        found = _ENTITY_TAG.match(text, at)
        if found is None:
            return NO_TAGS
        if found[1]:
            tags.add(found[1])
        at = found.end()
    return EntityTags(frozenset(tags))


_ORIGIN: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_SCHEME: Final = "bearer"
_QUOTED_KEY: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPE: Final = re.compile(r"\\(.)")
_ENTITY_TAG: Final = re.compile(r'[ \t]*+(?:(?:W/)?("[!#-~\x80-\xff]*"))?[ \t]*(?:,|\Z)')
