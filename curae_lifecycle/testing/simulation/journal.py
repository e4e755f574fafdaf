"""The log of a world, kept until it is needed: what was committed, in the order of commits.

The law of this module: **every line is one that `replay` reads**. Requests and facts are held as
they are and printed only when somebody wants them, one app user at a time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import AppUser, format_time
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request

Line = dict[str, object]

_TYPES: Final[dict[type[Fact], str]] = {
    Authorized: "connection.authorize",
    ActionRequired: "connection.require_action",
    Expired: "connection.expire",
    Revoked: "connection.revoke",
    HandoffCompleted: "handoff.complete",
    Graduated: "binding.graduate",
    Tombstoned: "binding.tombstone",
}


@attrs.frozen
class _Entry:
    at: datetime
    what: Request | Fact
    response: Response | None


class Journal:
    """What was committed, by app user."""

    def __init__(self) -> None:
        """Start empty."""
        self._setup: list[Line] = []
        self._entries: dict[AppUser, list[_Entry]] = defaultdict(list)

    def registered(self, at: datetime, api_key: str, caller: Caller) -> None:
        """An API key that stands for a caller from `at` on."""
        register = {
            "apiKey": api_key,
            "appId": caller.app_id,
            "customerAccountId": caller.customer_account_id,
            "scopes": sorted(caller.scopes),
            "environment": caller.environment,
        }
        self._setup.append({"at": format_time(at), "register": register})

    def add(
        self, user: AppUser, at: datetime, what: Request | Fact, response: Response | None = None
    ) -> None:
        """A request with its answer, or a fact, that was committed for an app user."""
        self._entries[user].append(_Entry(at, what, response))

    def drop(self, user: AppUser) -> None:
        """Forget an app user who is gone."""
        self._entries.pop(user, None)

    def lines(self, user: AppUser | None) -> Iterator[str]:
        """The setup, then all that was committed for one app user, one JSON text each."""
        yield from map(_text, self._setup)
        entries = [] if user is None else self._entries.get(user, [])
        clock = None
        for entry in entries:
            # Workers' clocks disagree; a log's time never runs backwards.
            clock = entry.at if clock is None else max(clock, entry.at)
            yield _text({"at": format_time(clock)} | _printed(entry))


def _text(line: Line) -> str:
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


def _printed(entry: _Entry) -> Line:
    what = entry.what
    if not isinstance(what, Request):
        return {"fact": _printed_fact(what)}
    headers: dict[str, list[str]] = {}
    for name, value in what.headers:
        headers.setdefault(name, []).append(value)
    request: Line = {"method": what.method, "path": what.target, "headers": headers}
    if isinstance(what.body, bytes) and what.body:
        request["body"] = what.body.decode()
    line: Line = {"request": request}
    response = entry.response
    if response is not None:
        line["response"] = {
            "status": response.status,
            "headers": dict(response.headers),
            "body": response.body.decode() or None,
        }
    return line


def _printed_fact(fact: Fact) -> Line:
    line: Line = {"type": _TYPES[type(fact)]}
    match fact:
        case Authorized(connection_id, expires_at):
            line["connectionId"] = connection_id
            if expires_at is not None:
                line["expiresAt"] = format_time(expires_at)
        case ActionRequired(connection_id, reason):
            line |= {"connectionId": connection_id, "reason": reason}
        case Expired(connection_id):
            line["connectionId"] = connection_id
        case Revoked(connection_id, actor):
            line |= {"connectionId": connection_id, "actor": actor}
        case HandoffCompleted(session_id, user_id):
            line |= {"sessionId": session_id, "userId": user_id}
        case Graduated(coordinate) | Tombstoned(coordinate):
            line |= {
                "environment": coordinate.environment,
                "appId": coordinate.app_id,
                "customerAccountId": coordinate.customer_account_id,
                "appUserId": coordinate.app_user_id,
            }
    if fact.happened_at is not None:
        line["happenedAt"] = format_time(fact.happened_at)
    return line
