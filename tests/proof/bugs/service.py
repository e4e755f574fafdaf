"""A correct server over the store in memory, in small steps that a bug can replace."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import RLock
from typing import Final, cast

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller, KeyOwner
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, NewIds, Snapshot
from curae_lifecycle.service.sweep import sweep_changes, swept_changes
from curae_lifecycle.service.writes import BindingWrite, RateWrite, RecordWrite, Write
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.fact_hooks import caller_of, outcome_name
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond
from tests.support.hosted import Hosted, Page, page_row
from tests.support.instants import caller_at, commit_writes
from tests.support.memory import overwrite

START: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
LIFETIME: Final = timedelta(minutes=30)

TRIES: Final = 100


class StuckError(RuntimeError):
    """A bug gives the rules values that the store will never accept."""


class Service:
    """A server on its own clock; each method is a step that a bug may replace."""

    compares = True
    """True if the store compares replaced values with the loaded ones."""

    kept_in: type[MemoryStore] = MemoryStore
    """The class of the store."""

    def __init__(self, settings: Settings = DEFAULT_SETTINGS) -> None:
        self.settings = settings
        self.clock: datetime = START
        self.memory = self.kept_in(settings)
        self.memory.clock = lambda: self.clock
        self.numbers = count(1)
        self.keys = count(1)
        self._lock = RLock()
        self.left: list[dict[str, Json]] = []
        self.hosted = self.pages()

    # --- Steps visible to clients and hosted pages -----------------------------------------

    def send(self, request: Request) -> Response:
        with self._lock:
            now = self.now()
            call = self.read(request, now)
            if isinstance(call, Decision):
                return self.dated(self.sent(request, self.respond(None, call).response))
            for _ in range(TRIES):
                answer = self.judged(call, self.load(call), now)
                if self.store(call, answer.changes.writes):
                    return self.given(request, answer)
            raise StuckError

    async def send_slowly(self, request: Request) -> Response:
        # The same steps, but other requests run between the load and the commit.
        now = self.now()
        call = self.read(request, now)
        if isinstance(call, Decision):
            return self.dated(self.sent(request, self.respond(None, call).response))
        for _ in range(TRIES):
            snapshot = self.load(call)
            await asyncio.sleep(0)
            answer = self.judged(call, snapshot, now)
            if self.store(call, answer.changes.writes):
                return self.given(request, answer)
        raise StuckError

    def given(self, request: Request, answer: Answer) -> Response:
        # Deliver the changes, and open the page.
        self.leave(answer.changes)
        response = self.dated(self.sent(request, answer.response))
        url = self.hosted.note(request, answer.response)
        page = None if url is None else self.hosted.found.get(url)
        if url is not None and page is not None:
            # A fact may name the page.
            self.memory._pages.add(page_row(url, page))
        return response

    def make_key(self, wanted: ApiKeyRequest) -> str:
        with self._lock:
            text = f"cae_{wanted.environment}_{next(self.keys)}"
            self.register_again(text, wanted)
            return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.memory.register(ApiKey(api_key), caller_of(api_key, wanted))

    def change_key_id(self, api_key: str, wanted: ApiKeyRequest) -> None:
        caller = caller_of(api_key, wanted)
        changed = ApiKeyId(f"{caller.api_key_id}-{next(self.keys)}")
        self.memory.register(ApiKey(api_key), attrs.evolve(caller, api_key_id=changed))

    def withdraw(self, api_key: str) -> None:
        self.memory._callers.pop(ApiKey(api_key).digest())

    def turn_clock_back(self, span: timedelta) -> None:
        with self._lock:
            self.clock -= span

    def pass_time(self, span: timedelta) -> None:
        with self._lock:
            self.clock += span
            self.purge()

    def record(self, fact: Fact) -> FactAnswer:
        with self._lock:
            now = self.now()
            for _ in range(TRIES):
                answer = self.judge_fact(fact, self.load_fact(fact), now)
                if self.taken(answer):
                    return answer
            raise StuckError

    async def record_slowly(self, fact: Fact) -> FactAnswer:
        # As in `send_slowly`.
        now = self.now()
        for _ in range(TRIES):
            snapshot = self.load_fact(fact)
            await asyncio.sleep(0)
            answer = self.judge_fact(fact, snapshot, now)
            if self.taken(answer):
                return answer
        raise StuckError

    def taken(self, answer: FactAnswer) -> bool:
        if not isinstance(answer, Done):
            return True
        if not self.store(None, answer.value.writes):
            return False
        self.leave(answer.value)
        for write in answer.value.writes:
            if isinstance(write, BindingWrite) and not write.after.swept:
                self.sweep(write.after)
        return True

    def sweep(self, binding: LimitedAccountAppBinding) -> None:
        # What a tombstone ended is written down, in one commit.
        page = ConnectionsPage(binding.coordinate)
        held = self.memory.load(Needs(connections=page)).snapshot.connections
        changes = self.swept(binding, held)
        assert commit_writes(self.memory, (changes + swept_changes(binding)).writes)
        self.leave(changes)

    def swept(self, binding: LimitedAccountAppBinding, held: tuple[Connection, ...]) -> Changes:
        return sweep_changes(binding, held, self.now())

    def leave(self, changes: Changes) -> None:
        self.left += [each.document for each in messages(changes, self.settings)]

    def outbox(self) -> list[dict[str, Json]]:
        return [*self.left]

    def finish(self, url: str) -> str:
        return self.followed(url, lambda page: self.hosted.finished(page, self.now()))

    def cancel(self, url: str) -> str:
        return self.followed(url, self.hosted.cancelled)

    def followed(self, url: str, what: Callable[[Page], Fact | None]) -> str:
        page = self.hosted.find(url, self.now())
        if page is None:
            return "gone"
        fact = what(page)
        if fact is None:
            return "ignored"
        outcome = outcome_name(self.record(fact))
        if outcome == "done":
            self.hosted.close(url)
        return outcome

    def may_read(self, connection_id: ConnectionId, package: str) -> bool:
        with self._lock:
            connection = self.memory.connection(connection_id)
            return connection is not None and self.access(connection, package, self.now())

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        with self._lock:
            self.settings = attrs.evolve(self.settings, buckets=buckets)
            self.memory.replace_buckets(buckets)

    def pages(self) -> Hosted:
        return Hosted(self.memory)

    # --- The steps ----------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock

    def purge(self) -> None:
        self.memory.purge(self.clock)

    def caller(self, request: Request) -> Caller | None:
        return caller_at(self.memory, bearer(request))

    def read(self, request: Request, now: datetime) -> Call | Decision:
        return read(request, caller=self.caller(request), now=now, settings=self.settings)

    def asked(self, call: Call) -> Needs:
        return call.needs

    def load(self, call: Call) -> Snapshot:
        return self.memory.load(self.asked(call)).snapshot

    def judged(self, call: Call, snapshot: Snapshot, now: datetime) -> Answer:
        return self.respond(
            call, self.decide(call, snapshot=snapshot, now=now, new_ids=self.new_ids(now))
        )

    def new_ids(self, now: datetime) -> NewIds:
        number = next(self.numbers)
        return NewIds(
            connection_id=ConnectionId(f"abcdef00-0000-4000-8000-{number:012x}"),
            session_id=SessionId(f"abcdef00-0000-4000-9000-{number:012x}"),
            user_id=UserId(f"limited-{number}"),
            next_action=NextAction(f"https://connect.example/{number}", now + LIFETIME),
        )

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        return decide(call, snapshot=snapshot, now=now, new_ids=new_ids)

    def respond(self, call: Call | None, decision: Decision) -> Answer:
        del call
        return respond(decision)

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        del call
        if self.compares:
            return commit_writes(self.memory, writes)
        for write in writes:
            overwrite(self.memory, self._over_what_is_there(write))
        return True

    def _over_what_is_there(self, write: Write) -> Write:
        # The store notes a deadline for a new value, so one that is not new must say so.
        match write:
            case RecordWrite(key, None, after):
                return RecordWrite(key, self.memory._records.of(key), after)
            case RateWrite(key, policy, None, after):
                return RateWrite(
                    key=key, policy=policy, before=self.memory._rates.of(key), after=after
                )
            case _:
                return write

    def sent(self, request: Request, response: Response) -> Response:
        del request
        return self.answered(response)

    def answered(self, response: Response) -> Response:
        return response

    def dated(self, response: Response) -> Response:
        # The last step of any front; an existing date comes from an inner layer.
        if header_of(response, "date"):
            return response
        return with_header(response, "date", http_date(self.clock))

    def load_fact(self, fact: Fact) -> Snapshot:
        return self.memory.load(fact.needs()).snapshot

    def access(self, connection: Connection, package: str, now: datetime) -> bool:
        era = present_era(self.memory.binding(connection.identity.coordinate))
        return isinstance(decide_access(connection, package, now, era=era), Granted)

    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        return record_fact(fact, snapshot, now)


# --- Changes of the rules that many bugs share ------------------------------------------------


ANYBODY: Final = KeyOwner(
    api_key_id=ApiKeyId("anonymous"),
    environment=Environment.LIVE,
    app_id=AppId("any"),
    customer_account_id=CustomerAccountId("any"),
)
"""The owner of a key if the owner is ignored."""


def alone(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without the later connections of the chain."""
    return attrs.evolve(snapshot, successor=None, head=None)


def collated(coordinate: Coordinate) -> Coordinate:
    """Return the coordinate as a database with a folding collation compares it."""
    name = unicodedata.normalize("NFKC", coordinate.app_user_id).casefold().rstrip(".\u200b")
    return attrs.evolve(coordinate, app_user_id=AppUserId(name))


class MisreadFact(Service):
    """A server that gives a fact another connection, so that its writes compare nothing."""

    compares = False

    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        del fact
        return connection

    def load_fact(self, fact: Fact) -> Snapshot:
        snapshot = super().load_fact(fact)
        connection = snapshot.connection
        if connection is None:
            return snapshot
        return attrs.evolve(snapshot, connection=self.misread_fact(connection, fact))


def with_writes(decision: Decision, *writes: Write) -> Decision:
    changes = decision.changes
    more = Changes((*changes.writes, *writes), changes.effects, changes.events)
    return attrs.evolve(decision, changes=more)


# --- Changes of requests and responses that many bugs share -----------------------------------


def document(response: Response) -> dict[str, object]:
    """Return the members of a body, or none if it is empty."""
    value: object = json.loads(response.body or b"{}")
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def part(members: Mapping[str, object], name: str) -> dict[str, object]:
    """Return a member that is an object, or an empty one if it is missing."""
    value = members.get(name)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def with_body(response: Response, members: Mapping[str, object]) -> Response:
    """Return the response with another body."""
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return attrs.evolve(response, body=text.encode())


def with_members(response: Response, within: str, **members: object) -> Response:
    """Return the response with members replaced in one part of its body, if it exists."""
    body = document(response)
    if within and within not in body:
        return response
    inner = part(body, within) if within else body
    inner.update(members)
    return with_body(response, body)


def without_header(response: Response, *names: str) -> Response:
    """Return the response without some headers."""
    kept = tuple(pair for pair in response.headers if pair[0] not in names)
    return attrs.evolve(response, headers=kept)


def with_header(response: Response, name: str, value: str) -> Response:
    """Return the response with one header replaced, or added at the end."""
    left = without_header(response, name)
    return attrs.evolve(left, headers=(*left.headers, (name, value)))


def header_of(response: Response, name: str) -> str:
    """Return the value of a header, or an empty text."""
    return next((value for key, value in response.headers if key == name), "")


def http_date(instant: datetime) -> str:
    """Format an instant for a `Date` header."""
    return instant.strftime("%a, %d %b %Y %H:%M:%S GMT")


def code_of(response: Response) -> object:
    """Return the code of a problem, or None for another response."""
    return document(response).get("code")
