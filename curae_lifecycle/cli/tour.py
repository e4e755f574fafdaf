"""The command `tour`: the platform's operations as a story, answered by the rules.

The law of this module: **no answer is written by hand**. Each step sends a request or a fact to a
store in memory, and shows the answer and the rule that decided.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.cli.program_name import program_name
from curae_lifecycle.cli.terminal import say
from curae_lifecycle.rules import values
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rulebook import find_rule
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.web.json import format_json, parse_json
from curae_lifecycle.web.request import Request

_KEY: Final = "cae_test_tour"
_START: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_INITIATE: Final = "/api/sdk/v1/curae-connect/initiate"
_CONNECTIONS: Final = "/api/sdk/v1/connections"


@attrs.frozen
class Step:
    """A step of the tour, a guided example: one request or fact, with its answer.

    Attributes:
        title: A sentence that says what the step shows.
        at: The time of the step.
        asked: The request or the fact, as lines of text.
        answered: The answer, as lines of text.
        rules: The names of the rules that decided, in order. The last one gave the answer.
    """

    title: str
    at: datetime
    asked: tuple[str, ...]
    answered: tuple[str, ...]
    rules: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """True if a rule refused the request or the fact."""
        return self.answered[0].startswith(("4", "refused"))


class _Platform:
    """A server in memory, with a clock that only the tour moves and ids in order."""

    def __init__(self) -> None:
        self.now = _START
        self._store = MemoryStore(clock=lambda: self.now)
        self._numbers = count(1)
        self._body: Json = None
        self._store.register(
            ApiKey(_KEY),
            Caller(
                api_key_id=values.ApiKeyId("key-1"),
                app_id=values.AppId("tour-app"),
                customer_account_id=values.CustomerAccountId(
                    "d8c60791-7301-441c-98e8-5bea9a162d9b"
                ),
                environment=values.Environment.TEST,
                scopes=frozenset({CONNECTION_WRITE}),
            ),
        )

    def post(self, title: str, path: str, key: str, **body: Json) -> Step:
        text = format_json(body)
        headers = (("Authorization", f"Bearer {_KEY}"), ("Idempotency-Key", key))
        asked = (f"POST {path}", f"Idempotency-Key: {key}", text.decode())
        return self._send(
            title, Request(method="POST", target=path, headers=headers, body=text), asked
        )

    def get(self, title: str, path: str) -> Step:
        headers = (("Authorization", f"Bearer {_KEY}"),)
        return self._send(title, Request("GET", path, headers), (f"GET {path}",))

    def fact(self, title: str, fact: Fact, sent: str) -> Step:
        answer = record(self._store, fact)
        outcome = f"refused: {answer.problem.code}" if isinstance(answer, Refused) else "done"
        return Step(
            title=title, at=self.now, asked=(sent,), answered=(outcome,), rules=answer.rules
        )

    def last_id(self, member: str) -> str:
        """Return the id of the connection or session in the last answer."""
        body = self._body
        inner = body.get(member) if isinstance(body, dict) else None
        return str(inner.get("id")) if isinstance(inner, dict) else ""

    def _send(self, title: str, request: Request, asked: tuple[str, ...]) -> Step:
        new_ids = NewIds(
            connection_id=values.ConnectionId(self._uuid()),
            session_id=values.SessionId(self._uuid()),
            user_id=values.UserId(self._uuid()),
            next_action=values.NextAction(
                f"https://connect.example/{self._uuid()}", self.now + _HALF_HOUR
            ),
        )
        answer = serve(self._store, request, lambda _: new_ids)
        response = answer.response
        self._body = body = parse_json(response.body)
        status = f"{response.status} (replayed)" if answer.replayed else str(response.status)
        shown = [f"{name}: {value}" for name, value in response.headers if name in _SHOWN]
        members = body.items() if isinstance(body, dict) else ()
        shown += [json.dumps({name: value}, ensure_ascii=False)[1:-1] for name, value in members]
        return Step(
            title=title, at=self.now, asked=asked, answered=(status, *shown), rules=answer.rules
        )

    def _uuid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._numbers):012x}"


def add_options(command: argparse.ArgumentParser) -> None:
    """Set the function that runs the command `tour`, which has no options."""
    command.set_defaults(run=run, parser=command)


def run(_: argparse.ArgumentParser, __: argparse.Namespace) -> int:
    """Print the steps of the tour, a guided example of the rules; return the exit status 0."""
    for number, step in enumerate(steps(), 1):
        for text, role in lines(number, step):
            say(text, role, PIPED_WIDTH)
    say(f"Each rule is a row of a table: {program_name()} tables RULE", "title")
    return 0


def steps() -> Iterator[Step]:
    """Yield the steps of the guided example that `python -m curae_lifecycle tour` prints.

    Each step runs when the caller asks for the next item.
    """
    platform = _Platform()
    yield platform.post(
        "No user is bound: path C provisions a LIMITED user silently.",
        _INITIATE,
        "tour-1",
        appUserId="ada",
    )
    yield platform.post(
        "No user is bound and the app prefers a sign-up: path B waits for the hosted page.",
        _INITIATE,
        "tour-2",
        appUserId="ben",
        preferSignup=True,
    )
    session_id = platform.last_id("session")
    platform.now += timedelta(minutes=4)
    yield platform.fact(
        "Ben signs up, and the hosted page hands him over to the app: completeHandoff.",
        HandoffCompleted(values.SessionId(session_id), values.UserId("platform-user-ben")),
        f"handoff.complete of session {session_id}",
    )
    platform.now += timedelta(minutes=1)
    yield platform.post(
        "Now Ben is an ACTIVE user: path A, and the hand-off lands at once.",
        _INITIATE,
        "tour-3",
        appUserId="ben",
    )
    yield platform.post(
        "Ben's app asks for his clinical summary: a connection that waits for him.",
        _CONNECTIONS,
        "tour-4",
        appUserId="ben",
        dataPackages=["clinical_summary"],
    )
    first = platform.last_id("connection")
    platform.now += timedelta(minutes=2)
    yield platform.fact(
        "Ben authorizes it for thirty days.",
        Authorized(values.ConnectionId(first), platform.now + timedelta(days=30)),
        f"connection.authorize of {first} for 30 days",
    )
    platform.now += timedelta(days=1)
    yield platform.post(
        "A reconnect the next day is refused: the connection is active.",
        f"{_CONNECTIONS}/{first}:reconnect",
        "tour-5",
    )
    platform.now += timedelta(days=30)
    yield platform.get(
        "A month later it has expired, although no one recorded that.",
        f"{_CONNECTIONS}/{first}",
    )
    yield platform.post(
        "So a reconnect starts a recovery: a new connection. The old one is unchanged.",
        f"{_CONNECTIONS}/{first}:reconnect",
        "tour-6",
    )
    second = platform.last_id("connection")
    platform.now += timedelta(seconds=3)
    yield platform.post(
        "The response was lost. A retry with the same key replays it byte for byte.",
        f"{_CONNECTIONS}/{first}:reconnect",
        "tour-6",
    )
    yield platform.post(
        "Ben's app revokes the new connection.", f"{_CONNECTIONS}/{second}:revoke", "tour-7"
    )
    platform.now += timedelta(seconds=3)
    yield platform.post(
        "A second revoke succeeds and changes nothing: revokedNow is false, revokedAt is kept.",
        f"{_CONNECTIONS}/{second}:revoke",
        "tour-8",
    )
    for number in range(1, 11):
        platform.post("", _INITIATE, f"burst-{number}", appUserId="ada")
        platform.now += timedelta(seconds=1)
    yield platform.post(
        "Ten initiates for Ada in ten seconds. The eleventh is refused with the exact wait.",
        _INITIATE,
        "burst-11",
        appUserId="ada",
    )


def lines(number: int, step: Step) -> Iterator[tuple[str, str]]:
    """Format a step: yield its lines, each with its role, which selects its colour.

    Args:
        number: The step's number, from 1.
        step: The step.
    """
    yield f"{number}. {step.title}", "title"
    yield f"   at {values.format_time(step.at)}", "time"
    for each in step.asked:
        yield f"   > {each}", "asked"
    status, *body = step.answered
    yield f"   < {status}", "refused" if step.is_refused else "answered"
    for each in body:
        yield f"   < {each}", "body"
    yield "", "blank"
    for rule in step.rules:
        found = find_rule(rule)
        why = f": {found.row.why} (table {found.table.name})" if found else ""
        yield f"   rule {rule}{why}", "rule"
    yield "", "blank"


PIPED_WIDTH: Final = 80
"""The width of the tour's lines in characters, if standard output is no terminal."""

_HALF_HOUR: Final = timedelta(minutes=30)
_SHOWN: Final = frozenset({"retry-after", "ratelimit", "ratelimit-policy"})
