"""The log of a world, kept until it is needed: what was committed, in the order of commits.

The law of this module: **every line is one that `replay` reads**. Requests and facts are held as
they are and printed only when somebody wants them, one app user at a time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import AppUser, format_time
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.log_format import format_caller, format_fact, format_response
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.request import Request

Line = dict[str, Json]
_Entry = tuple[datetime, Request | Fact, Response | None]


class Journal:
    """What was committed, by app user."""

    def __init__(self) -> None:
        """Start empty."""
        self._setup: list[Line] = []
        self._entries: dict[AppUser, list[_Entry]] = defaultdict(list)

    def registered(self, at: datetime, api_key: str, caller: Caller) -> None:
        """An API key that stands for a caller from `at` on."""
        register = format_caller(api_key, caller)
        self._setup.append({"at": format_time(at), "register": register})

    def add(
        self, user: AppUser, at: datetime, what: Request | Fact, response: Response | None = None
    ) -> None:
        """A request with its answer, or a fact, that was committed for an app user."""
        self._entries[user].append((at, what, response))

    def drop(self, user: AppUser) -> None:
        """Forget an app user who is gone."""
        self._entries.pop(user, None)

    def lines(self, user: AppUser | None) -> Iterator[str]:
        """The setup, then all that was committed for one app user, one JSON text each."""
        yield from map(_text, self._setup)
        entries = [] if user is None else self._entries.get(user, [])
        clock = None
        for at, what, response in entries:
            # Workers' clocks disagree; a log's time never runs backwards.
            clock = at if clock is None else max(clock, at)
            yield _text({"at": format_time(clock), **_printed(what, response)})


def _text(line: Line) -> str:
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


def _printed(what: Request | Fact, response: Response | None) -> Line:
    if not isinstance(what, Request):
        return {"fact": format_fact(what)}
    names = dict.fromkeys(name for name, _ in what.headers)
    headers: Line = {
        name: [value for each, value in what.headers if each == name] for name in names
    }
    request: Line = {"method": what.method, "path": what.target, "headers": headers}
    if isinstance(what.body, bytes) and what.body:
        request["body"] = what.body.decode()
    answered: Line = {} if response is None else {"response": format_response(response)}
    return {"request": request, **answered}
