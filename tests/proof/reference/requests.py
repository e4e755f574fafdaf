"""Requests to the model: parsing, and formatting of responses."""

# A model that is read from top to bottom has long functions:
# ruff: noqa: C901, PLR0912

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from urllib.parse import unquote_to_bytes

from tests.proof.reference import tables
from tests.proof.reference.values import (
    PACKAGE,
    Members,
    format_json,
    header_values,
    is_app_user,
    parse_json,
    seconds_up,
)

API = "/api/sdk/v1/"
TYPES = "https://curaeai.com/problems/"
VISIBLE = re.compile(r"[!-~]{1,255}")
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
ENTITY_TAG = r'(?:W/)?"[^"]*"'
ENTITY_TAGS = re.compile(rf"[ \t]*(?:{ENTITY_TAG})?(?:[ \t]*,[ \t]*(?:{ENTITY_TAG})?)*[ \t]*")

Answer = tuple[int, dict[str, str], str | None]
"""Status, headers and body."""


class ProblemReply(Exception):  # noqa: N818
    """The request, or the fact, may not run."""

    def __init__(
        self,
        code: str,
        details: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.details = details or {}
        self.headers = headers or {}


def problem(refusal: ProblemReply) -> Answer:
    body = {
        "type": TYPES + refusal.code.lower().replace("_", "-"),
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": tables.status_of(refusal.code),
        "detail": refusal.code,
        "code": refusal.code,
        "details": refusal.details,
        "retryable": refusal.code == "RATE_LIMITED",
    }
    headers = {"content-type": "application/problem+json", **refusal.headers}
    return tables.status_of(refusal.code), headers, format_json(body)


def success(status: int, body: dict[str, object]) -> Answer:
    headers = {"content-type": "application/json"}
    if "nextAction" in body:  # it holds a hand-off URL
        headers["cache-control"] = "no-store"
    return status, headers, format_json(body)


def limited(name: str, quota: int, window: int, wait: timedelta | Fraction) -> ProblemReply:
    after = max(1, seconds_up(wait))
    headers = {
        "cache-control": "no-store",
        "retry-after": str(after),
        "ratelimit-policy": f'"{name}";q={quota};w={window}',
        "ratelimit": f'"{name}";r=0;t={after}',
    }
    return ProblemReply("RATE_LIMITED", {}, headers)


def route(method: str, path: str) -> tuple[str, str]:
    """Return the operation and the id in the path, or refuse."""
    # Reading: an id is any text without a slash or a colon. So `GET …/{id}:revoke` is an
    # unknown path and not a malformed id, since no operation has that path and method.
    if method == "POST" and path == API + "connections":
        return "create", ""
    if method == "POST" and path == API + "curae-connect/initiate":
        return "initiate", ""
    if method == "GET" and path == API + "curae-connect/account-state":
        return "account-state", ""
    if method == "POST" and path == API + "curae-connect/graduation-handoff":
        return "graduation", ""
    match = re.fullmatch(re.escape(API) + r"connections/([^/:]+)(?::(reconnect|revoke))?", path)
    if match and match[2] is None and method == "GET":
        return "get", match[1]
    if match and match[2] is not None and method == "POST":
        return match[2], match[1]
    raise ProblemReply("NOT_FOUND")


def read_body(operation: str, body: object) -> dict[str, object]:
    """Return the validated values of a body, or refuse."""
    bad = ProblemReply("BAD_REQUEST")
    # Reading: `"body": null` is no body, as it is in an answer.
    if (body is None or body == "") and operation in ["reconnect", "revoke"]:
        return {}
    if isinstance(body, str):
        try:
            body.encode()
            body = parse_json(body)
        except (ValueError, RecursionError):
            raise bad from None
    if not isinstance(body, Members):
        raise bad
    names = [name for name, _ in body.pairs]
    if len(names) != len(set(names)):
        raise bad
    given = dict(body.pairs)
    if operation in ["reconnect", "revoke"]:
        if names:
            raise bad
        return {}

    allowed = {"create": "dataPackages", "initiate": "preferSignup"}.get(operation)
    if any(name not in ["appUserId", allowed] for name in names):
        raise bad
    if not is_app_user(given.get("appUserId")):
        raise bad
    values = {"appUserId": given["appUserId"]}
    if operation == "create":
        packages = given.get("dataPackages")
        if not isinstance(packages, list) or not packages:
            raise bad
        for package in packages:
            if not isinstance(package, str) or not PACKAGE.fullmatch(package):
                raise bad
        if len(set(packages)) > 64:
            raise bad
        values["dataPackages"] = sorted(set(packages))
    if operation == "initiate":
        prefer = given.get("preferSignup", False)
        if prefer is not True and prefer is not False:
            raise bad
        values["preferSignup"] = prefer
    return values


def decode(text: str) -> str | None:
    """Decode a name or value of a query.

    Reading: bytes that are not UTF-8 are a fault, since two different ones would otherwise become
    one user. So is a character beyond ASCII, which a client has to encode.
    """
    if not text.isascii():
        return None
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except ValueError:
        return None


def read_query(query: str) -> dict[str, object]:
    found = []
    for part in query.split("&"):
        name, _, text = part.partition("=")
        if decode(name) == "appUserId":
            found.append(decode(text))
    if len(found) != 1 or not is_app_user(found[0]):
        raise ProblemReply("BAD_REQUEST")
    return {"appUserId": found[0]}


def read_idempotency_key(headers: list[tuple[str, str]]) -> str:
    given = header_values(headers, "idempotency-key")
    if not given:
        raise ProblemReply("IDEMPOTENCY_KEY_REQUIRED")
    if len(given) > 1:
        raise ProblemReply("IDEMPOTENCY_KEY_INVALID")
    key = given[0].strip(" \t")
    # Reading: only a key that begins with a quote is a quoted one; in a bare key a quote, a
    # backslash or a semicolon is a visible character like any other.
    if key.startswith('"'):
        match = QUOTED.fullmatch(key)
        if match is None:
            raise ProblemReply("IDEMPOTENCY_KEY_INVALID")
        key = re.sub(r"\\(.)", r"\1", match[1])
    if not VISIBLE.fullmatch(key):
        raise ProblemReply("IDEMPOTENCY_KEY_INVALID")
    return key


def none_match(headers: list[tuple[str, str]], etag: str) -> bool:
    """Return whether If-None-Match has the tag, compared weakly."""
    text = ", ".join(header_values(headers, "if-none-match")).strip(" \t")
    if text == "*":
        return True
    # Reading: a field that is no list of entity tags matches nothing.
    return bool(ENTITY_TAGS.fullmatch(text)) and etag in re.findall(r'"[^"]*"', text)
