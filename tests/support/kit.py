"""Servers over the store in memory for the conformance kit: correct ones, and a forgetful one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import count
from typing import ParamSpec, TypeVar

import attrs

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    ConnectionId,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.conformance import (
    CHECKS,
    ApiKeyRequest,
    AsyncServer,
    Request,
    Response,
    Server,
)
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of
from tests.support.hosted import Hosted, Page
from tests.support.instants import access_at
from tests.support.strategies import START

ROUNDS = 2
"""The number of rounds of a race."""

Given = ParamSpec("Given")

Result = TypeVar("Result")


class Reference(FactHooks):
    """A server over the store in memory, on its own clock."""

    def __init__(
        self,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        tick: timedelta = timedelta(milliseconds=1),
        lifetime: timedelta = timedelta(minutes=30),
    ) -> None:
        self.settings = settings
        self.now = START
        self.world = MemoryStore(settings, clock=lambda: self.now)
        self.numbers = count(1)
        self.ticks = tick
        self.lifetime = lifetime
        self.changes: list[Changes] = []
        self.documents: list[dict[str, Json]] = []
        self.hosted = Hosted(self.world)

    def tick(self) -> None:
        self.now += self.ticks

    def send(self, request: Request) -> Response:
        self.tick()
        mint = partial(self.new_ids, next(self.numbers))
        answer = serve(self.world, request, mint, settings=self.world.settings)
        self.changes.append(answer.changes)
        self.hosted.note(request, answer.response)
        date = ("date", format_datetime(self.now, usegmt=True))
        return attrs.evolve(answer.response, headers=(*answer.response.headers, date))

    def new_ids(self, number: int, now: datetime) -> NewIds:
        return NewIds(
            connection_id=ConnectionId(f"c0ffee00-0000-4000-8000-{number:012x}"),
            session_id=SessionId(f"c0ffee00-0000-4000-9000-{number:012x}"),
            user_id=UserId(f"limited-{number}"),
            next_action=NextAction(f"https://connect.example/{number}", now + self.lifetime),
        )

    def make_key(self, wanted: ApiKeyRequest) -> str:
        text = f"cae_{wanted.environment}_{next(self.numbers)}"
        self.register_again(text, wanted)
        return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.world.register(ApiKey(api_key), caller_of(api_key, wanted))

    def change_key_id(self, api_key: str, wanted: ApiKeyRequest) -> None:
        caller = caller_of(api_key, wanted)
        changed = ApiKeyId(f"{caller.api_key_id}-{next(self.numbers)}")
        self.world.register(ApiKey(api_key), attrs.evolve(caller, api_key_id=changed))

    def pass_time(self, span: timedelta) -> None:
        self.now += span
        self.world.purge(self.now)

    def turn_clock_back(self, span: timedelta) -> None:
        self.now -= span

    def clock(self) -> datetime:
        return self.now

    def record_fact(self, fact: Fact) -> FactAnswer:
        self.tick()
        answer = record(self.world, fact)
        if isinstance(answer, Done):
            self.changes.append(answer.value)
        return answer

    def left(self) -> list[dict[str, Json]]:
        # Few checks look at the outbox, so the changes wait until one does.
        for changes in self.changes:
            self.documents += [each.document for each in messages(changes, self.settings)]
        self.changes.clear()
        return [*self.documents]

    def withdraw(self, api_key: str) -> None:
        self.world._callers.pop(ApiKey(api_key).digest())

    def finish(self, url: str) -> str:
        return self.followed(url, lambda page: self.hosted.finished(page, self.now))

    def cancel(self, url: str) -> str:
        return self.followed(url, self.hosted.cancelled)

    def followed(self, url: str, what: Callable[[Page], Fact | None]) -> str:
        page = self.hosted.find(url, self.now)
        if page is None:
            return "gone"
        fact = what(page)
        if fact is None:
            return "ignored"
        outcome = self.record(fact)
        if outcome == "done":
            self.hosted.close(url)
        return outcome

    def may_read(self, connection_id: str, package: str) -> bool:
        return isinstance(
            access_at(self.world, ConnectionId(connection_id), package, now=self.now), Granted
        )

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.world.replace_buckets(self.settings.buckets if buckets is None else buckets)

    def server(self) -> Server:
        plain = self.as_server(self.send, self.settings.environment)
        return attrs.evolve(
            plain,
            turn_clock_back=self.turn_clock_back,
            change_key_id=self.change_key_id,
            withdraw=self.withdraw,
            finish=self.finish,
            cancel=self.cancel,
            purge=lambda: self.world.purge(self.now),
            outbox=self.left,
            race_rounds=ROUNDS,
        )


def turned(function: Callable[Given, Result]) -> Callable[Given, Awaitable[Result]]:
    """Return a coroutine function that yields once and then calls a function."""

    async def turn(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    return turn


def if_there(
    hook: Callable[Given, Result] | None,
) -> Callable[Given, Awaitable[Result]] | None:
    return None if hook is None else turned(hook)


def asynchronous(server: Server) -> AsyncServer:
    """Return the same server with coroutine functions."""
    return AsyncServer(
        turned(server.send),
        turned(server.make_key),
        pass_time=if_there(server.pass_time),
        turn_clock_back=if_there(server.turn_clock_back),
        authorize=if_there(server.authorize),
        authorize_late=if_there(server.authorize_late),
        require_action=if_there(server.require_action),
        expire=if_there(server.expire),
        revoke=if_there(server.revoke),
        revoke_late=if_there(server.revoke_late),
        complete_handoff=if_there(server.complete_handoff),
        graduate=if_there(server.graduate),
        tombstone=if_there(server.tombstone),
        record_fact=if_there(server.record_fact),
        may_read=if_there(server.may_read),
        replace_buckets=if_there(server.replace_buckets),
        register_again=if_there(server.register_again),
        change_key_id=if_there(server.change_key_id),
        withdraw=if_there(server.withdraw),
        finish=if_there(server.finish),
        cancel=if_there(server.cancel),
        purge=if_there(server.purge),
        outbox=if_there(server.outbox),
        race_rounds=server.race_rounds,
        environment=server.environment,
    )


RIGHT: dict[str, Callable[[], Reference]] = {
    "one environment": lambda: Reference(Settings(environment=Environment.LIVE)),
    "the test environment": lambda: Reference(Settings(environment=Environment.TEST)),
    "a clock that stands still": lambda: Reference(tick=timedelta(0)),
    "a slow clock": lambda: Reference(tick=timedelta(milliseconds=40)),
    "short next actions": lambda: Reference(lifetime=timedelta(minutes=12)),
    "long next actions": lambda: Reference(lifetime=timedelta(hours=2)),
    "the other spelling": lambda: Reference(Settings(active_spelling="AUTHORIZED")),
    "a wide bucket": lambda: Reference(
        Settings(buckets=(Bucket(name="wide", capacity=1000, refill=100, seconds=1),))
    ),
    "another base of types": lambda: Reference(Settings(type_base="urn:problem:")),
}


def needing(*hooks: str) -> set[str]:
    """Return the names of the checks that need any of these hooks."""
    return {check.name for check in CHECKS if not set(hooks).isdisjoint(check.hooks)}


class Forgetful(Reference):
    """A server that forgets pending successors, so that every reconnect creates one."""

    def send(self, request: Request) -> Response:
        if request.target.endswith(":reconnect"):
            self.world._connections._successors.clear()
        return super().send(request)


def written(answer: Response, changed: Mapping[str, object]) -> Response:
    """Return a response with members replaced by path, such as `connection__id`."""
    if not answer.body:
        return answer
    body = json.loads(answer.body)
    for path, value in changed.items():
        *outer, name = path.split("__")
        holder = body
        for each in outer:
            holder = holder.get(each, {})
        if name in holder:
            holder[name] = value(holder[name]) if callable(value) else value
    return attrs.evolve(answer, body=json.dumps(body).encode())
