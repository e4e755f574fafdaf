"""Searches in what a process logged: for what must be there, and for what must not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import cast
from urllib.parse import parse_qs, urlsplit

from curae_lifecycle import ApiKey, Request, Response
from curae_lifecycle.web.request import header_values
from tests.support.asking import Log

SECRET_MEMBERS = frozenset({"appUserId", "id", "userId", "url", "fromAppUserId"})
"""Members of bodies whose values no log may hold: users, ids, pages."""

NEVER = ("/api/", "/pages/", "://", "appUserId", "Bearer")
"""Parts of paths, URLs and bodies that stand in no line, whatever is asked."""


class Secrets:
    """What was sent and answered, as far as no log may hold it."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def saw(self, request: Request, response: Response) -> None:
        """Note what a request and its answer hold."""
        for name in ("authorization", "idempotency-key"):
            for value in header_values(request, name):
                self.found |= {value, value.removeprefix("Bearer ")}
        self.found |= {
            ApiKey(each.removeprefix("Bearer ")).digest()
            for each in header_values(request, "authorization")
            if re.fullmatch("Bearer [!-~]+", each)
        }
        split = urlsplit(request.target)
        self.found |= {
            split.path,
            *(value for each in parse_qs(split.query).values() for value in each),
        }
        for body in (request.body, response.body):
            assert isinstance(body, bytes)
            self.found |= {body.decode(errors="replace"), *members(body)}

    def in_log(self, log: Log) -> set[str]:
        """Those that stand in a line: a long one anywhere, a short one as a word of its own."""
        text = log.text
        words = set(re.findall(r"[\w.-]+", text))
        # A body that is one of JSON's own words says nothing.
        known = {secret for secret in self.found if len(secret) > 2} - {"null", "true", "false"}
        return {
            secret for secret in known if (secret in text if len(secret) > 11 else secret in words)
        } | {part for part in NEVER if part in text}


def members(body: bytes) -> Iterator[str]:
    """The values in a body that no log may hold."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        return
    held = [document]
    while held:
        value = held.pop()
        if isinstance(value, list):
            held += cast("list[object]", value)
        elif isinstance(value, dict):
            for name, each in cast("dict[str, object]", value).items():
                held.append(each)
                if name in SECRET_MEMBERS and isinstance(each, str):
                    yield each
