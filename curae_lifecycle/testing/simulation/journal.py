"""The log of a world: its requests and facts in the order of their commits, by app user.

The law of this module: **`replay` can read every line**. Requests and facts are stored as values.
They are formatted only on demand, for one app user.
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
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.log_format import format_caller, format_fact, format_response
from curae_lifecycle.testing.simulation.clocks import TOLERANCE
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

Line = dict[str, Json]
_Entry = tuple[datetime, Request | Fact, Response | None]

_NOT_REPLAYABLE: Final = (
    *("request.buckets", "idempotency.released.", "idempotency.in-flight."),
    *("idempotency.lease-over.", "idempotency.unknown.", "idempotency.forgotten."),
)
"""Prefixes of rules that refuse for a reason that the log of one app user does not hold.

Those refusals change nothing, so the log can leave them out.
"""


class Journal:
    """The log of a simulated world: its committed requests and facts, by app user.

    After a violation of a law, `replay` can decide the requests and facts of one user again.
    """

    def __init__(self) -> None:
        """Start with an empty log."""
        self._setup: list[Line] = []
        self._entries: dict[AppUser, list[_Entry]] = defaultdict(list)

    def add_api_key(self, at: datetime, api_key: str, caller: Caller) -> None:
        """Add the registration of an API key to the log.

        Args:
            at: The instant of the registration.
            api_key: The API key.
            caller: The caller of the key.
        """
        register = format_caller(api_key, caller)
        self._setup.append({"at": format_time(at), "register": register})

    def add(
        self, user: AppUser, at: datetime, entry: Request | Fact, response: Response | None = None
    ) -> None:
        """Add a committed request or fact to the log of an app user.

        Args:
            user: The app user that the request or fact is about.
            at: The instant that the request or fact was decided for.
            entry: The request or fact.
            response: The response to the request; `None` to log none, and for a fact.
        """
        self._entries[user].append((at, entry, response))

    def add_answer(self, user: AppUser, at: datetime, request: Request, answer: Answer) -> None:
        """Add a request with its answer to the log of an app user.

        Some refusals are left out, since a replay of this log alone could not explain them: for
        example a 429 by a bucket that other users' requests drained.

        If a get stored an authorization that no fact had recorded, a fact about the authorization
        is added before the request.

        Args:
            user: The app user that the request is about.
            at: The instant that the request was decided for.
            request: The request.
            answer: The answer.
        """
        for write in answer.changes.writes:
            if not isinstance(write, ConnectionWrite) or write.before is None:
                continue
            after = write.after
            if (write.before.status, after.status) == ("PENDING", "ACTIVE"):
                self.add(user, at, Authorized(after.id, after.expires_at, after.authorized_at))
        if not answer.rules[-1].startswith(_NOT_REPLAYABLE):
            self.add(user, at, request, response=answer.response)

    def drop(self, user: AppUser) -> None:
        """Drop all entries of an app user from the log."""
        self._entries.pop(user, None)

    def lines(self, user: AppUser | None) -> Iterator[str]:
        """Yield the log of one app user: the registrations of API keys, then the user's entries.

        The times in the log never run backwards: an entry whose worker's clock was behind gets the
        time of the entry before it. If that moves an authorization by more than five minutes, its
        `expires_at` moves as well, so that the authorization lasts as long as before.

        Args:
            user: The app user; `None` for the registrations alone.

        Yields:
            The lines in order, each a JSON object as text.
        """
        yield from map(_to_json, self._setup)
        entries = [] if user is None else self._entries.get(user, [])
        latest = None
        for at, entry, response in entries:
            # Workers' clocks disagree, but the times of a log must not run backwards.
            latest = at if latest is None else max(latest, at)
            put_back = latest - at > TOLERANCE
            shown = _authorized_at(entry, latest) if put_back else entry
            yield _to_json({"at": format_time(latest), **_format_entry(shown, response)})


def _authorized_at(entry: Request | Fact, at: datetime) -> Request | Fact:
    """Return an authorization of the same length that begins at `at`; other entries unchanged."""
    match entry:
        case Authorized(_, datetime() as expires_at, datetime() as happened_at):
            return attrs.evolve(entry, expires_at=at + (expires_at - happened_at))
        case _:
            return entry


def _to_json(line: Line) -> str:
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


def _format_entry(entry: Request | Fact, response: Response | None) -> Line:
    if not isinstance(entry, Request):
        return {"fact": format_fact(entry)}
    names = dict.fromkeys(name for name, _ in entry.headers)
    headers: Line = {
        name: [value for each, value in entry.headers if each == name] for name in names
    }
    request: Line = {"method": entry.method, "path": entry.target, "headers": headers}
    if isinstance(entry.body, bytes) and entry.body:
        request["body"] = entry.body.decode()
    line: Line = {"request": request}
    if response is not None:
        line["response"] = format_response(response)
    return line
