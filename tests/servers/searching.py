"""Searches in a process's log for what must be there and what must not."""

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
"""Members of bodies whose values no log may contain: users, ids, pages."""

NEVER = ("/api/", "/pages/", "://", "appUserId", "Bearer")
"""Parts of paths, URLs and bodies that no log line may contain."""


class Secrets:
    """The secrets of requests and responses."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def saw(self, request: Request, response: Response) -> None:
        """Note the secrets of a request and its response."""
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
        """Return the secrets in a log: long ones anywhere, short ones as whole words."""
        text = log.text
        words = set(re.findall(r"[\w.-]+", text))
        # A body that is a JSON literal is no secret.
        known = {secret for secret in self.found if len(secret) > 2} - {"null", "true", "false"}
        return {
            secret for secret in known if (secret in text if len(secret) > 11 else secret in words)
        } | {part for part in NEVER if part in text}


def members(body: bytes) -> Iterator[str]:
    """Yield the values in a body that no log may contain."""
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
