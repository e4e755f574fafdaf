"""The conformance kit against servers that are right, and against some that are not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import ParamSpec, TypeVar

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    ConnectionId,
    CustomerAccountId,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import (
    CHECKS,
    HOOKS,
    UNSEEN,
    UNSEEN_LAWS,
    AsyncServer,
    KeyWanted,
    Report,
    Request,
    Response,
    Server,
    async_conformance_tests,
    conformance_tests,
    run,
    run_async,
)
from curae_lifecycle.testing.laws import LAWS
from tests.fact_hooks import FactHooks
from tests.strategies import START

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Reference(FactHooks):
    """A server over the embedded world, on a clock of its own."""

    def __init__(
        self,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        tick: timedelta = timedelta(milliseconds=1),
        lifetime: timedelta = timedelta(minutes=30),
    ) -> None:
        self.settings = settings
        self.world = MemoryStore(settings)
        self.now = START
        self.numbers = count(1)
        self.ticks = tick
        self.lifetime = lifetime

    def tick(self) -> None:
        self.now += self.ticks

    def send(self, request: Request) -> Response:
        self.tick()
        answer = self.world.handle(request, self.now, self.new_ids()).response
        date = ("date", format_datetime(self.now, usegmt=True))
        return attrs.evolve(answer, headers=(*answer.headers, date))

    def new_ids(self) -> NewIds:
        number = next(self.numbers)
        return NewIds(
            ConnectionId(f"c0ffee00-0000-4000-8000-{number:012x}"),
            SessionId(f"c0ffee00-0000-4000-9000-{number:012x}"),
            UserId(f"limited-{number}"),
            NextAction(f"https://connect.example/{number}", self.now + self.lifetime),
        )

    def make_key(self, wanted: KeyWanted) -> str:
        number = next(self.numbers)
        text = f"cae_{wanted.environment}_{number}"
        self.world.register(
            ApiKey(text),
            Caller(
                ApiKeyId(f"key-{number}"),
                AppId(wanted.app_id),
                CustomerAccountId(wanted.customer_account_id),
                wanted.environment,
                wanted.scopes,
            ),
        )
        return text

    def pass_time(self, span: timedelta) -> None:
        self.now += span
        self.world.purge(self.now)

    def clock(self) -> datetime:
        return self.now

    def recorded(self, fact: Fact) -> FactAnswer:
        self.tick()
        return self.world.record(fact, self.now)

    def may_read(self, connection_id: str, package: str) -> bool:
        return isinstance(self.world.ask(ConnectionId(connection_id), package, self.now), Granted)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.world.replace_buckets(self.settings.buckets if buckets is None else buckets)

    def server(self) -> Server:
        return Server(
            self.send,
            self.make_key,
            pass_time=self.pass_time,
            authorize=self.authorize,
            authorize_late=self.authorize_late,
            require_action=self.require_action,
            expire=self.expire,
            revoke=self.revoke,
            complete_handoff=self.complete_handoff,
            graduate=self.graduate,
            tombstone=self.tombstone,
            may_read=self.may_read,
            replace_buckets=self.replace_buckets,
            environment=self.settings.environment,
        )


def turned(function: Callable[Given, Result]) -> Callable[Given, Awaitable[Result]]:
    """A coroutine function that does the same after the others had a turn."""

    async def turn(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    return turn


def if_there(
    hook: Callable[Given, Result] | None,
) -> Callable[Given, Awaitable[Result]] | None:
    return None if hook is None else turned(hook)


def asynchronous(server: Server) -> AsyncServer:
    """The same server behind coroutine functions."""
    return AsyncServer(
        turned(server.send),
        turned(server.make_key),
        if_there(server.pass_time),
        if_there(server.authorize),
        if_there(server.authorize_late),
        if_there(server.require_action),
        if_there(server.expire),
        if_there(server.revoke),
        if_there(server.complete_handoff),
        if_there(server.graduate),
        if_there(server.tombstone),
        if_there(server.may_read),
        if_there(server.replace_buckets),
        environment=server.environment,
    )


# --- No false alarm -------------------------------------------------------------------------


test_reference = conformance_tests(lambda: Reference().server())


@asynccontextmanager
async def in_the_loop() -> AsyncIterator[AsyncServer]:
    assert asyncio.get_running_loop().is_running()
    yield asynchronous(Reference().server())


def passes_everything(report: Report, *missing: str) -> None:
    assert not report.failed, str(report)
    assert {each.reason for each in report.not_run} == {f"needs {name}" for name in missing}
    assert len(report.passed) + len(report.not_run) == len(CHECKS)


def test_a_right_server_passes_every_check_and_what_is_not_run_is_named() -> None:
    report = run(Reference().server(), seed="1")
    passes_everything(report, "environment")
    assert [each.check for each in report.not_run] == ["permission.wrong-environment"]


RIGHT: dict[str, Callable[[], Reference]] = {
    "one environment": lambda: Reference(Settings(environment=Environment.LIVE)),
    "the test environment": lambda: Reference(Settings(environment=Environment.TEST)),
    "a clock that stands still": lambda: Reference(tick=timedelta(0)),
    "a slow clock": lambda: Reference(tick=timedelta(milliseconds=40)),
    "short next actions": lambda: Reference(lifetime=timedelta(minutes=12)),
    "long next actions": lambda: Reference(lifetime=timedelta(hours=2)),
    "the other spelling": lambda: Reference(Settings(active_spelling="AUTHORIZED")),
    "a wide bucket": lambda: Reference(Settings(buckets=(Bucket("wide", 1000, 100, 1),))),
    "another base of types": lambda: Reference(Settings(type_base="urn:problem:")),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_right_servers_of_every_kind_pass(kind: str) -> None:
    report = run(RIGHT[kind]().server(), seed=kind)
    assert not report.failed, str(report)


def test_a_right_server_of_coroutine_functions_passes() -> None:
    report = asyncio.run(run_async(asynchronous(Reference().server()), seed="1"))
    passes_everything(report, "environment")


def test_checks_that_share_a_server_do_not_meet() -> None:
    server = Reference().server()
    assert not run(server).failed
    report = run(server, only=[check.name for check in reversed(CHECKS)])
    assert report.passed == tuple(check.name for check in CHECKS if check.name in report.passed)
    assert not report.failed


@pytest.mark.heavy
def test_twenty_runs_raise_no_false_alarm() -> None:
    kinds = list(RIGHT.values())
    for number in range(20):
        reference = kinds[number % len(kinds)]().server()
        assert not run(reference, seed=f"sync {number}").failed
        assert not asyncio.run(run_async(asynchronous(reference), seed=f"async {number}")).failed


# --- What is not run, and why ---------------------------------------------------------------


def test_without_hooks_every_check_that_needs_one_names_it() -> None:
    full = Reference().server()
    report = run(Server(full.send, full.make_key), seed="1")
    assert not report.failed, str(report)
    needed = {check.name: check.hooks for check in CHECKS if check.hooks}
    assert {each.check: each.reason for each in report.not_run} == {
        name: f"needs {', '.join(hooks)}" for name, hooks in needed.items()
    }
    assert len(report.passed) == 122


def test_a_check_that_lets_more_time_pass_than_the_patience_is_not_run() -> None:
    full = attrs.evolve(Reference().server(), patience=timedelta(minutes=2))
    report = run(full, seed="1")
    assert not report.failed, str(report)
    reasons = {each.check: each.reason for each in report.not_run}
    assert reasons["idempotency.retention"] == "needs the patience for 1 day, 0:00:00"
    assert "limit.half-open" in report.passed
    assert "model.side-by-side" in report.passed


def test_a_hook_that_says_nothing_leaves_out_only_what_it_alone_could_show() -> None:
    reference = Reference()
    server = reference.server()

    def silent(function: Callable[Given, object] | None) -> Callable[Given, None]:
        assert function is not None

        def hook(*args: Given.args, **kwargs: Given.kwargs) -> None:
            function(*args, **kwargs)

        return hook

    quiet = attrs.evolve(
        server,
        authorize=silent(server.authorize),
        complete_handoff=silent(server.complete_handoff),
        graduate=silent(server.graduate),
        tombstone=silent(server.tombstone),
    )
    report = run(quiet, seed="1")
    assert not report.failed, str(report)
    assert {each.check for each in report.not_run} == {
        "permission.wrong-environment",
        "binding.complete-sign-up.active.other",
        "binding.graduate.active.other",
        "completion.existing-active",
        "completion.landed.other",
    }


def test_a_name_that_no_check_has_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no such check: nonsense"):
        run(Reference().server(), only=["nonsense", "request.route"])


def test_the_same_seed_sends_the_same_requests() -> None:
    sent: list[list[Request]] = [[], []]
    for each in sent:
        reference = Reference()

        def recorded(
            request: Request, to: list[Request] = each, server: Reference = reference
        ) -> Response:
            to.append(request)
            return server.send(request)

        names = [check.name for check in CHECKS if "at-once" not in check.name]
        run(attrs.evolve(reference.server(), send=recorded), only=names, seed="1")
    assert sent[0] == sent[1]


# --- Everything is shown or said not to be --------------------------------------------------


def test_every_rule_of_every_table_is_shown_by_a_check_or_listed_with_a_reason() -> None:
    rules = {row.rule for table in TABLES.values() for row in table.rows}
    shown = {rule for check in CHECKS for rule in check.rules}
    assert shown | UNSEEN.keys() == rules
    assert not shown & UNSEEN.keys()
    assert (len(shown), len(UNSEEN)) == (158, 77)
    assert all(UNSEEN.values())


def test_every_law_is_shown_by_a_check_or_listed_with_a_reason() -> None:
    shown = {law for check in CHECKS for law in check.laws}
    assert shown | UNSEEN_LAWS.keys() == set(LAWS)
    assert not shown & UNSEEN_LAWS.keys()


def test_names_are_unique_and_a_check_named_after_a_rule_shows_it() -> None:
    names = [check.name for check in CHECKS]
    rules = {row.rule for table in TABLES.values() for row in table.rows}
    assert len(set(names)) == len(names) == 240
    for check in CHECKS:
        assert set(check.hooks) <= set(HOOKS), check.name
        assert check.shows.endswith("."), check.name
        if check.name in rules:
            assert check.name in check.rules


# --- What is wrong is found, and told -------------------------------------------------------


class Garbled(Reference):
    """A server of which now and then an answer or a fact goes wrong, by a seed."""

    def __init__(self, seed: str, rate: float) -> None:
        super().__init__()
        self.random = Random(seed)  # noqa: S311 - a test's choices, not secrets
        self.rate = rate
        self.wrong = 0

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if self.random.random() >= self.rate:
            return answer
        self.wrong += 1
        return self.garble(answer)

    def record(self, fact: Fact) -> str:
        if self.random.random() >= self.rate:
            return super().record(fact)
        self.wrong += 1
        return self.random.choice(("done", "ignored", "BINDING_CHANGED", "NONSENSE"))

    def may_read(self, connection_id: str, package: str) -> bool:
        return super().may_read(connection_id, package) is (self.random.random() >= self.rate)

    def garble(self, answer: Response) -> Response:
        draw = self.random
        kind = draw.randrange(8)
        if kind == 0:
            return attrs.evolve(answer, status=draw.choice((200, 201, 304, 404, 409, 429, 500)))
        if kind == 1:
            return attrs.evolve(answer, body=draw.choice((b"", b"{", b"[]", b"7", b"{}", b"\xff")))
        if kind == 2:
            name, value = draw.choice((*answer.headers, ("x-odd", "1")))
            changed = draw.choice(((), ((name, value + "0"),), ((name, value), (name, value))))
            kept = tuple(pair for pair in answer.headers if pair[0] != name)
            return attrs.evolve(answer, headers=kept + changed)
        try:
            body = json.loads(answer.body)
        except ValueError:
            return answer
        holder = draw.choice([body, *(value for value in body.values() if isinstance(value, dict))])
        if not holder:
            return answer
        member = draw.choice(sorted(holder))
        if kind == 3:
            del holder[member]
        elif kind == 4:
            holder["unlisted"] = "cae_live_1"
        else:
            holder[member] = draw.choice(ODD)
        return attrs.evolve(answer, body=json.dumps(body).encode())


ODD: tuple[object, ...] = (
    *(None, True, False, 0, "", "x", [], {}, 1e400),
    *("PENDING", "REVOKED", "2026-01-05T09:00:00Z"),
)


@pytest.mark.parametrize(("rate", "runs", "finds"), [(1.0, 2, 220), (0.3, 3, 210), (0.05, 3, 90)])
def test_whatever_is_answered_every_check_ends_and_tells_what_it_saw(
    rate: float, runs: int, finds: int
) -> None:
    found: set[str] = set()
    names = [check.name for check in CHECKS if check.name != "model.side-by-side"]
    for number in range(runs):
        garbled = Garbled(f"{rate} {number}", rate)
        report = run(garbled.server(), seed=str(number), only=names)
        assert len(report.passed) + len(report.failed) + len(report.not_run) == len(names)
        assert garbled.wrong
        for failure in report.failed:
            assert "could not be judged" not in failure.account, failure.account
            assert f"check: {failure.check}: " in failure.account
        found |= {failure.check for failure in report.failed}
    assert len(found) > finds


def test_a_server_that_raises_fails_the_check_and_no_other() -> None:
    reference = Reference()

    def send(request: Request) -> Response:
        if request.target.endswith(":revoke"):
            raise ZeroDivisionError
        return reference.send(request)

    server = attrs.evolve(reference.server(), send=send)
    report = run(server, seed="1", only=["law-02.revoked-once", "law-02.at-once", "request.limit"])
    assert report.passed == ("request.limit",)
    for failure in report.failed:
        assert "the server raised ZeroDivisionError()" in failure.account
        assert "law 2:" in failure.account
    again = asyncio.run(
        run_async(asynchronous(server), only=["law-02.revoked-once", "law-02.at-once"])
    )
    assert [each.check for each in again.failed] == [each.check for each in report.failed]


def test_a_hook_that_raises_fails_the_check() -> None:
    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        raise LookupError(connection_id, lifetime)

    server = attrs.evolve(Reference().server(), authorize=authorize)
    report = run(server, seed="1", only=["standing.active"])
    assert "the server raised LookupError" in report.failed[0].account
    assert "where: authorize" in str(report)


class Forgetful(Reference):
    """Every reconnect makes a successor: nobody remembers the pending one."""

    def send(self, request: Request) -> Response:
        if request.target.endswith(":reconnect"):
            self.world._successors.clear()
        return super().send(request)


def test_a_difference_to_the_model_is_told_as_a_short_log_that_can_be_replayed() -> None:
    full = Forgetful().server()
    requests_alone = Server(full.send, full.make_key, pass_time=full.pass_time)
    report = run(requests_alone, seed="1", only=["model.side-by-side"])
    account = report.failed[0].account
    lines = [line.strip() for line in account.splitlines() if line.strip().startswith("{")]
    assert 6 <= len(lines) <= 12
    assert "cae_live_app_1" in account
    answers = list(replay((line.encode() for line in lines), check=True))
    assert not any(line.broken for line in answers)
    assert [bool(line.divergences) for line in answers] == [False] * (len(lines) - 1) + [True]


def test_a_long_search_for_a_short_log_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curae_lifecycle.testing.conformance.model.TRIALS", 1)
    report = run(Forgetful().server(), seed="1", only=["model.side-by-side"])
    assert "the last line of this log" in report.failed[0].account


# --- One mistake, one check -----------------------------------------------------------------

Change = Callable[["Wrong", Request, Response], Response]


class Wrong(Reference):
    """A server that changes its answers on their way."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change
        self.app_id = ""
        self.user_id = ""
        self.sent = 0

    def send(self, request: Request) -> Response:
        self.sent += 1
        return self.change(self, request, super().send(request))

    def make_key(self, wanted: KeyWanted) -> str:
        self.app_id = wanted.app_id
        return super().make_key(wanted)

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        self.user_id = user_id
        return super().complete_handoff(session_id, user_id)


def members(**changed: object) -> Change:
    """Changes members by their path, `connection__id` and the like, wherever they are."""

    def change(server: Wrong, request: Request, answer: Response) -> Response:
        del server, request
        return written(answer, changed)

    return change


def written(answer: Response, changed: dict[str, object]) -> Response:
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


def header(name: str, value: str) -> Change:
    def change(server: Wrong, request: Request, answer: Response) -> Response:
        del server, request
        kept = tuple(pair for pair in answer.headers if pair[0] != name)
        return attrs.evolve(answer, headers=(*kept, (name, value)))

    return change


def old_id(server: Wrong, request: Request, answer: Response) -> Response:
    del server
    if not request.target.endswith(":reconnect") or answer.status != 201:
        return answer
    return written(answer, {"connection__id": json.loads(answer.body)["previousConnectionId"]})


def waits(seconds: int) -> Change:
    def change(server: Wrong, request: Request, answer: Response) -> Response:
        del server, request
        if answer.status != 429:
            return answer
        policy = json.loads(answer.body)["details"]["policy"]
        told = {"retry-after": str(seconds), "ratelimit": f'"{policy}";r=0;t={seconds}'}
        headers = tuple((name, told.get(name, value)) for name, value in answer.headers)
        return written(attrs.evolve(answer, headers=headers), {"details__retryAfter": seconds})

    return change


def never_done(server: Wrong, request: Request, answer: Response) -> Response:
    del server
    if request.method == "GET":
        return answer
    problem = {"code": "IDEMPOTENCY_KEY_IN_FLIGHT", "details": {"retryAfter": 1}}
    return attrs.evolve(answer, status=409, body=json.dumps(problem).encode())


def unlimited(server: Wrong, request: Request, answer: Response) -> Response:
    del request
    server.world._rates.clear()
    server.world._deadlines.clear()
    return answer


def refunds(server: Wrong, request: Request, answer: Response) -> Response:
    del request
    if answer.status == 404:
        server.world._rates.clear()
    return answer


def charged(status: int, server: Wrong, request: Request, answer: Response) -> Response:
    if answer.status == status:
        target = "/api/sdk/v1/curae-connect/account-state?appUserId=u"
        Reference.send(server, Request("GET", target, request.headers[:1]))
    return answer


def never_refused(server: Wrong, request: Request, answer: Response) -> Response:
    del server, request
    return attrs.evolve(answer, status=201)


def says(path: str, what: Callable[[Wrong, Request], str]) -> Change:
    def change(server: Wrong, request: Request, answer: Response) -> Response:
        return written(answer, {path: what(server, request)})

    return change


def counted(server: Wrong, request: Request, answer: Response) -> Response:
    del request
    return attrs.evolve(answer, headers=(*answer.headers, ("x-count", str(server.sent))))


def flickers(server: Wrong, request: Request, answer: Response) -> Response:
    shown = request.method == "GET" and server.sent % 3 == 0
    return written(answer, {"connection__status": "PENDING"}) if shown else answer


def always_modified(server: Wrong, request: Request, answer: Response) -> Response:
    if answer.status != 304:
        return answer
    kept = tuple(pair for pair in request.headers if pair[0] != "If-None-Match")
    return Reference.send(server, attrs.evolve(request, headers=kept))


def cut(server: Wrong, request: Request, answer: Response) -> Response:
    del server
    return attrs.evolve(answer, body=b"{") if request.method == "GET" else answer


def adds(server: Wrong, request: Request, answer: Response) -> Response:
    del server, request
    body = json.loads(answer.body)
    body.get("connection", {})["grantId"] = "g-1"
    return attrs.evolve(answer, body=json.dumps(body).encode())


def authorization(server: Wrong, request: Request) -> str:
    del server
    return dict(request.headers).get("Authorization", "")


def idempotency_key(server: Wrong, request: Request) -> str:
    del server
    return dict(request.headers).get("Idempotency-Key", "")


ONE_ID = members(connection__id="c0ffee00-0000-4000-8000-00000000abcd")
SHOUTED = members(connection__id=str.upper)
ONE_URL = members(nextAction__url="https://connect.example/1")
NO_LIFE = members(
    session__expiresAt="2020-01-05T09:00:00Z", nextAction__expiresAt="2020-01-05T09:00:00Z"
)

WRONG: tuple[tuple[str, str, Change], ...] = (
    ("connection.reconnect.revoked", "the recovery has the old id", old_id),
    ("law-06.chain-of-three", "an id stands twice", old_id),
    (
        "standing.active",
        "before it was created",
        members(connection__createdAt="2030-01-01T00:00:00Z"),
    ),
    ("request.body.id-in-any-case", "not in lower case", SHOUTED),
    ("operation.get-connection", "is no UUID in lower case", SHOUTED),
    ("idempotency.absent", "two keys got one connection", ONE_ID),
    ("idempotency.other-key.case", "two keys got one connection", ONE_ID),
    ("idempotency.scope", "it got the first one's answer", ONE_ID),
    ("idempotency.retention", "kept longer than that", ONE_ID),
    ("create.looks-for-no-earlier-one", "the earlier connection came back", ONE_ID),
    ("idempotency.other-request.tells-no-values", "tells a value", says("detail", idempotency_key)),
    ("idempotency.at-once.create", "none was executed", never_done),
    ("request.limit", "no whole seconds", header("retry-after", "1.5")),
    ("request.limit", "to wait 99 s in a window", waits(99)),
    ("request.limit", "law 10 is broken", unlimited),
    ("request.buckets", "to wait 30 s", waits(30)),
    ("bucket.charges", "it was not charged", refunds),
    ("bucket.charges", "it was charged:", lambda *it: charged(400, *it)),
    ("recovery.revoked.pending", "not a fresh one", ONE_URL),
    ("recovery.revoked.pending", "moved by", members(nextAction__expiresAt="2030-01-01T00:00:00Z")),
    ("graduation-handoff.fresh", "both have one URL", ONE_URL),
    ("law-01.rank-never-falls", "became PENDING", flickers),
    ("entry-path.unlinked.silent", "over when it begins", NO_LIFE),
    ("initiate.fresh-sessions", "session.id is not fresh", members(session__id="c0ffee00-1")),
    ("operation.revoke", "neither true nor false", members(revokedNow="yes")),
    ("operation.create-connection", "nextAction.url is no text", members(nextAction__url="")),
    ("law-16.problems", "no base URI", members(type="problem")),
    ("law-16.problems", "title is no text", members(title="")),
    ("law-13.nothing-internal", "the API key is in it", says("nextAction__url", authorization)),
    (
        "law-13.nothing-internal",
        "app's id is in it",
        says("nextAction__url", lambda it, _: it.app_id),
    ),
    ("law-13.nothing-internal", "unknown API key is in it", says("detail", authorization)),
    ("law-13.no-user-id", "user id is in it", says("nextAction__url", lambda it, _: it.user_id)),
    ("account-state.not-modified", "not one strong one", header("etag", 'W/"x"')),
    ("account-state.not-modified", "instead of 304", always_modified),
    ("account-state.moved", "has not moved", header("etag", '"x"')),
    ("account-state.tags-differ", "share a tag", header("etag", '"x"')),
    ("bucket.charges", "charged more than once", lambda *it: charged(404, *it)),
    ("idempotency.at-once.other-bodies", "8 were executed", never_refused),
    ("law-16.problems", "answered 400 NOT_FOUND", members(code="NOT_FOUND")),
    ("model.side-by-side", "not the first answer again", counted),
    ("model.side-by-side", "answered 201 instead of 429", unlimited),
    ("model.side-by-side", "instead of", cut),
    ("model.side-by-side", "body.connection.grantId is not listed", adds),
    ("model.side-by-side", "body.connection.status is", flickers),
)


@pytest.mark.parametrize(
    ("check", "what", "change"), WRONG, ids=[f"{check}: {what}" for check, what, _ in WRONG]
)
def test_a_mistake_fails_its_check_which_says_what_it_saw(
    check: str, what: str, change: Change
) -> None:
    report = run(Wrong(change).server(), seed="1", only=[check])
    assert what in report.failed[0].account


def test_a_cookie_that_is_replayed_is_found_and_one_of_the_front_is_not() -> None:
    def cookies(*, everywhere: bool) -> Server:
        reference = Reference()

        def send(request: Request) -> Response:
            answer = reference.send(request)
            if everywhere or request.method == "POST":
                return attrs.evolve(answer, headers=(*answer.headers, ("set-cookie", "a=1")))
            return answer

        return attrs.evolve(reference.server(), send=send)

    only = ["idempotency.cookies"]
    found = run(cookies(everywhere=False), seed="1", only=only)
    front = run(cookies(everywhere=True), seed="1", only=only)
    assert "a Set-Cookie header was replayed" in found.failed[0].account
    assert front.passed


def test_a_date_that_is_replayed_is_found_where_dates_follow_the_server_s_clock() -> None:
    kept: dict[str, Response] = {}

    def replays(server: Wrong, request: Request, answer: Response) -> Response:
        return kept.setdefault(idempotency_key(server, request) or str(server.sent), answer)

    only = ["idempotency.dates"]
    found = run(Wrong(replays).server(), seed="1", only=only)
    assert "the Date is still" in found.failed[0].account
    wall = run(Wrong(header("date", "Mon, 05 Jan 2026 09:00:00 GMT")).server(), seed="1", only=only)
    assert "another clock" in wall.not_run[0].reason
    none = Wrong(lambda _, __, answer: attrs.evolve(answer, headers=answer.headers[:-1]))
    assert run(none.server(), seed="1", only=only).not_run[0].reason == "the server sends no Date"


def test_a_hook_that_keeps_other_times_is_found() -> None:
    reference = Reference()

    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        return reference.authorize(connection_id, None if lifetime is None else 2 * lifetime)

    def authorize_late(connection_id: str, ago: timedelta) -> str:
        return reference.authorize_late(connection_id, 2 * ago)

    server = attrs.evolve(reference.server(), authorize=authorize, authorize_late=authorize_late)
    report = run(server, seed="1", only=["standing.active", "authorization.no-successor"])
    accounts = [each.account for each in report.failed]
    assert "it is authorized for 1:59:59" in accounts[0]
    assert "before it was recorded" in accounts[1]


def test_on_a_slow_server_the_limit_is_judged_by_its_own_times() -> None:
    slow = Reference(tick=timedelta(seconds=7))
    assert run(slow.server(), seed="1", only=["request.limit"]).passed
    slow = Reference(tick=timedelta(seconds=3, milliseconds=800))
    assert run(slow.server(), seed="1", only=["limit.retry-after"]).passed


def test_what_a_server_of_coroutine_functions_cannot_show_is_not_run() -> None:
    server = asynchronous(RIGHT["one environment"]().server())
    report = asyncio.run(run_async(server, only=["request.ownership.environment"], seed="1"))
    assert report.not_run[0].reason == "the server serves one environment"


def test_the_programs_of_the_page_run_and_it_names_every_hook() -> None:
    page = (Path(__file__).parent.parent / "docs/conformance.md").read_text(encoding="utf-8")
    namespace: dict[str, object] = {}
    for program in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(program, namespace)  # noqa: S102 - the page's own code
    report = namespace["report"]
    assert isinstance(report, Report)
    assert len(report.passed) > 100
    assert set(re.findall(r"^\| `(\w+)", page, re.MULTILINE)) == set(HOOKS)
    by_name = {check.name: check for check in CHECKS}
    for test in (namespace["test_conformance"], namespace["test_async_conformance"]):
        assert callable(test)
        test(by_name["request.limit"])


def test_the_pytest_face_fails_skips_and_cleans_up() -> None:
    by_name = {check.name: check for check in CHECKS}
    ended: list[str] = []

    @contextmanager
    def made() -> Iterator[Server]:
        yield Forgetful().server()
        ended.append("sync")

    @asynccontextmanager
    async def made_async() -> AsyncIterator[AsyncServer]:
        assert asyncio.get_running_loop().is_running()
        yield asynchronous(Forgetful().server())
        ended.append("async")

    for test in (
        conformance_tests(made),
        async_conformance_tests(made_async),
        conformance_tests(lambda: Forgetful().server()),
        async_conformance_tests(lambda: asynchronous(Forgetful().server())),
    ):
        test(by_name["request.route"])
        with pytest.raises(pytest.skip.Exception, match="not run: needs environment"):
            test(by_name["permission.wrong-environment"])
        with pytest.raises(pytest.fail.Exception, match="law 7 is broken"):
            test(by_name["recovery.revoked.pending"])
    assert ended == ["sync"] * 3 + ["async"] * 3
