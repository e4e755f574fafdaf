"""Tests of `Endpoint`: a response to every request, and logs without its contents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import NoReturn, cast

import attrs
import pytest

from curae_lifecycle import ApiKey, ArgumentError, Bucket, Request, Response, Settings
from curae_lifecycle.servers import endpoint
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.servers.log import RequestLine
from curae_lifecycle.stores.deadline import seconds_left
from curae_lifecycle.stores.retry import RetryPolicy, RetryStats
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from tests.support.asking import KINDS, MINT, Asking, header, logged
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import (
    BEFORE,
    HANGS,
    LOST,
    Awaited,
    FakeTime,
    Faults,
    Faulty,
    fake_time,
    faulty,
    run_async,
)
from tests.support.strategies import pending

CREATE = request("create")
INITIATE = request("initiate")
STRANGER = Request("GET", "/api/sdk/v1/connections/1", (("Authorization", "Bearer unknown"),))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- The API --------------------------------------------------------------------------------


def test_endpoint_logs_each_served_request_as_one_line(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    instants = iter((7.0, 7.25))
    monkeypatch.setattr(endpoint, "perf_counter", lambda: next(instants))
    with logged() as log:
        answer = Asking(kind=kind, store=faulty())(CREATE)
    assert answer.status == 201
    (line,) = log.lines
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "curae_lifecycle.servers.endpoint",
        "message": "request",
        "requestId": header(answer, "x-request-id"),
        "operation": "create-connection",
        "method": "POST",
        "status": 201,
        "rules": line["rules"],
        "replayed": False,
        "seconds": 0.25,
        "attempts": 1,
        "waited": 0.0,
        "code": None,
        "retryAfter": None,
        "limit": None,
    }
    assert "operation.create-connection" in str(line["rules"])


def test_replayed_response_differs_only_in_its_request_id(kind: str) -> None:
    asking = Asking(kind=kind, store=faulty())
    with logged() as log:
        first, again = asking(CREATE), asking(CREATE)
    assert [line["replayed"] for line in log.requests] == [False, True]
    assert first.body == again.body
    kept = [pair for pair in first.headers if pair[0] != "x-request-id"]
    assert kept == [pair for pair in again.headers if pair[0] != "x-request-id"]
    assert header(first, "x-request-id") != header(again, "x-request-id")


def test_request_id_header_is_not_stored_with_the_response(kind: str) -> None:
    store = faulty()
    Asking(kind=kind, store=store)(CREATE)
    assert "x-request-id" not in repr(store.record_of("k-1"))
    assert "content-type" in repr(store.record_of("k-1"))


@pytest.mark.parametrize(
    ("asked", "operation", "code", "status"),
    [
        (STRANGER, "get-connection", "UNAUTHENTICATED", 401),
        (attrs.evolve(CREATE, target="/elsewhere"), None, "NOT_FOUND", 404),
        (attrs.evolve(CREATE, body=b"{"), "create-connection", "BAD_REQUEST", 400),
        (Request("BREW", "*"), None, "UNAUTHENTICATED", 401),
    ],
)
def test_refused_request_is_logged_with_its_problem_code(
    kind: str, asked: Request, operation: str | None, code: str, status: int
) -> None:
    with logged() as log:
        answer = Asking(kind=kind, store=faulty())(asked)
    assert answer.status == status
    (line,) = log.requests
    assert (line["operation"], line["code"], line["status"]) == (operation, code, status)
    assert line["method"] == ("OTHER" if asked.method == "BREW" else asked.method)


def test_request_over_a_rate_limit_is_logged_with_retry_after(kind: str) -> None:
    settings = Settings(buckets=(Bucket(name="small", capacity=1, refill=1, seconds=60),))
    asking = Asking(kind=kind, store=faulty(settings=settings), settings=settings)
    with logged() as log:
        asking(INITIATE)
        refused = asking(request("initiate", key="k-2"))
    assert refused.status == 429
    line = log.requests[1]
    assert (line["limit"], line["code"]) == ("small", "RATE_LIMITED")
    assert line["retryAfter"] == int(header(refused, "retry-after") or "0") > 0


@pytest.mark.parametrize(
    ("faults", "attempts"), [((), 1), ((LOST,), 2), ((BEFORE, LOST, BEFORE), 4)]
)
def test_retries_and_time_waited_are_logged_with_the_request_id(
    monkeypatch: pytest.MonkeyPatch, kind: str, faults: Faults, attempts: int
) -> None:
    time = fake_time(monkeypatch)
    with logged() as log:
        answer = ask_in(time, kind=kind, store=faulty(faults), asked=CREATE)
    assert answer.status == 201
    (line,) = log.requests
    assert line["attempts"] == attempts
    assert line["waited"] == pytest.approx(0.005 * (2 ** (attempts - 1) - 1))
    assert {each["requestId"] for each in log.lines} == {header(answer, "x-request-id")}
    assert len(log.lines) == 1 + [*faults].count(BEFORE)


def ask_in(time: FakeTime, kind: str, store: Faulty, asked: Request) -> Response:
    if kind == "waits":
        return Endpoint(store, MINT)(asked)
    return run_async(AsyncEndpoint(Awaited(store), MINT)(asked), time)


def test_failing_store_gives_retryable_500_after_20_attempts(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    time = fake_time(monkeypatch)
    with logged() as log:
        answer = ask_in(time, kind=kind, store=faulty(callers=[BEFORE] * 100), asked=CREATE)
    assert (answer.status, header(answer, "retry-after")) == (500, "1")
    (line,) = log.requests
    assert (line["attempts"], line["code"], line["retryAfter"]) == (20, "INTERNAL", 1)
    assert log.lines[-2]["message"] == "gave up after attempt 20: it failed before"


def test_failing_store_gives_500_after_the_configured_attempts(kind: str) -> None:
    store = faulty(callers=[BEFORE] * 100)
    with logged() as log:
        patience = RetryPolicy(attempts=2, seconds=60)
        answer = Asking(kind=kind, store=store, patience=patience)(CREATE)
    assert answer.status == 500
    assert log.requests[0]["attempts"] == 2


class Broken(Faulty):
    """A store whose commit raises an error."""

    error: Exception

    def commit(self, *_: object, **__: object) -> bool:
        raise self.error


def broken(error: Exception) -> Broken:
    plain = faulty()
    store = Broken(plain.store, plain.clock)
    store.error = error
    return store


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("a-secret"), "a request failed: KeyError at "),
        (ArgumentError("a-secret", "something else"), "programming error: ArgumentError at "),
        (AssertionError("a-secret"), "programming error: AssertionError at "),
    ],
)
def test_unexpected_error_is_logged_and_gives_500(kind: str, error: Exception, said: str) -> None:
    with logged() as log:
        answer = Asking(kind=kind, store=broken(error))(CREATE)
    assert (answer.status, json.loads(answer.body)["code"]) == (500, "INTERNAL")
    assert header(answer, "retry-after") == "1"
    failed, line = log.lines
    assert str(failed["message"]).startswith(said)
    assert "test_endpoint" in str(failed["message"])
    assert failed["level"] == "ERROR"
    assert line["requestId"] == failed["requestId"]
    assert "a-secret" not in log.text


def test_header_value_that_is_no_text_gives_500_and_is_logged(kind: str) -> None:
    with logged() as log:
        asking = Asking(kind=kind, store=faulty(), patience=RetryPolicy())
        wrong = (("Accept", "*/*"), ("Authorization", b"no text"))
        answer = asking(attrs.evolve(CREATE, headers=wrong))  # type: ignore[arg-type]  # what no server hands over
    assert answer.status == 500
    assert log.lines[0]["message"] != "request"


def test_keyboard_interrupt_is_raised_and_logged_without_status() -> None:
    def interrupted(_: Request) -> Response | None:
        raise KeyboardInterrupt

    with logged() as log, pytest.raises(KeyboardInterrupt):
        Endpoint(faulty(), MINT, hosted_pages=interrupted)(CREATE)
    (line,) = log.requests
    assert (line["status"], line["operation"], line["rules"]) == (None, None, [])


def test_cancellation_is_raised_and_logged_without_http_status() -> None:
    async def cancelled() -> None:
        answer = AsyncEndpoint(Awaited(faulty(callers=[HANGS])), MINT)
        task = asyncio.create_task(answer(CREATE))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with logged() as log:
        run_async(cancelled())
    (line,) = log.requests
    assert (line["status"], line["attempts"]) == (None, 1)


# --- Pages ----------------------------------------------------------------------------------

SHOWN = Response(200, (("content-type", "text/html"),), b"<p>")
PAGE = Request("GET", "/pages/a-secret")


def test_hosted_page_request_is_answered_without_the_store(kind: str) -> None:
    store = faulty()
    with logged() as log:
        answer = Asking(kind=kind, store=store, pages=lambda _: SHOWN)(PAGE)
    assert answer.body == b"<p>"
    assert not store.asked
    (line,) = log.requests
    assert (line["operation"], line["status"], line["rules"]) == ("page", 200, [])


def test_request_goes_to_the_api_if_page_handler_returns_none(kind: str) -> None:
    assert Asking(kind=kind, store=faulty(), pages=lambda _: None)(CREATE).status == 201


def test_exception_of_a_hosted_page_gives_503_and_is_logged(kind: str) -> None:
    def fails(_: Request) -> Response | None:
        raise KeyError("a-secret")

    with logged() as log:
        answer = Asking(kind=kind, store=faulty(), pages=fails)(PAGE)
    assert (answer.status, header(answer, "retry-after")) == (503, "1")
    assert header(answer, "cache-control") == "no-store"
    failed, line = log.lines
    assert str(failed["message"]).startswith("a page failed: KeyError at ")
    assert (line["operation"], line["retryAfter"]) == ("page", 1)
    assert "a-secret" not in log.text


def test_hosted_page_handler_that_returns_text_gives_503(kind: str) -> None:
    with logged() as log:
        answer = Asking(kind=kind, store=faulty(), pages=lambda _: cast("Response", "<p>"))(PAGE)
    failed, line = log.lines
    assert str(failed["message"]).startswith("a page failed: ArgumentError at ")
    assert (answer.status, line["operation"]) == (503, "page")


@pytest.fixture
def standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the clock while the remaining time is read."""
    monkeypatch.setattr("curae_lifecycle.stores.deadline.monotonic", lambda: 7.0)


@pytest.mark.usefixtures("standing_still")
def test_hosted_page_handler_has_the_deadline_of_an_api_request() -> None:
    left: list[float] = []

    def page(_: Request) -> Response:
        left.append(seconds_left(99))
        return SHOWN

    Endpoint(faulty(), MINT, hosted_pages=page)(PAGE)
    assert left == [4.5]
    assert seconds_left(99) == 99


def test_hanging_async_hosted_page_gives_503_at_its_deadline() -> None:
    async def hangs(_: Request) -> Response:
        await asyncio.get_running_loop().create_future()
        return SHOWN

    time = FakeTime()
    with logged() as log:
        answer = run_async(AsyncEndpoint(Awaited(faulty()), MINT, hosted_pages=hangs)(PAGE), time)
    assert answer.status == 503
    assert time.passed == pytest.approx(4.5)
    assert "a page failed: TimeoutError" in str(log.lines[0]["message"])


# --- Health ---------------------------------------------------------------------------------


def said(answer: Response) -> tuple[int, str, str | None]:
    return answer.status, json.loads(answer.body)["status"], header(answer, "retry-after")


def test_livez_is_200_with_a_failing_store(kind: str) -> None:
    store = faulty(loads=[BEFORE] * 9)
    with logged() as log:
        answer = Asking(kind=kind, store=store)(Request("GET", "/livez"))
    assert said(answer) == (200, "ok", None)
    assert header(answer, "cache-control") == "no-store"
    assert not store.asked
    assert log.requests[0]["operation"] == "live"


def test_readyz_is_200_if_the_store_loads_and_503_if_it_fails(kind: str) -> None:
    store = faulty(loads=[None, BEFORE])
    asking = Asking(kind=kind, store=store)
    with logged() as log:
        assert said(asking(Request("HEAD", "/readyz?deep=1"))) == (200, "ok", None)
        assert said(asking(Request("GET", "/readyz"))) == (503, "unavailable", "1")
    assert "not ready: the store cannot be used now" in str(log.lines[1]["message"])
    assert [line["operation"] for line in log.requests] == ["ready", "ready"]


def test_readyz_is_503_if_the_store_raises_an_unexpected_error(kind: str) -> None:
    class Wrong(Faulty):
        def load(self, *_: object, **__: object) -> NoReturn:
            raise KeyError("a-secret")

    plain = faulty()
    with logged() as log:
        answer = Asking(kind=kind, store=Wrong(plain.store, plain.clock))(Request("GET", "/readyz"))
    assert said(answer) == (503, "unavailable", "1")
    assert "not ready: KeyError at" in log.text
    assert "a-secret" not in log.text


def test_readyz_is_503_after_3_seconds_if_the_store_hangs() -> None:
    time = FakeTime()
    asked = AsyncEndpoint(Awaited(faulty(loads=[HANGS])), MINT)
    with logged() as log:
        answer = run_async(asked(Request("GET", "/readyz")), time)
    assert said(answer) == (503, "unavailable", "1")
    assert time.passed == pytest.approx(3.0)
    assert log.lines[0]["message"] == "not ready: no answer within 3.000 seconds"


@pytest.mark.usefixtures("standing_still")
def test_readyz_gives_the_store_a_deadline_of_3_seconds() -> None:
    left: list[float] = []
    store = faulty()
    store.before_load = lambda: left.append(seconds_left(99))
    Endpoint(store, MINT)(Request("GET", "/readyz"))
    assert left == [3.0]


def test_draining_server_is_not_ready_and_still_serves(kind: str) -> None:
    asking = Asking(kind=kind, store=faulty(), drains=True)
    assert said(asking(Request("GET", "/readyz"))) == (503, "draining", "1")
    assert said(asking(Request("GET", "/livez"))) == (200, "ok", None)
    assert asking(CREATE).status == 201


def test_post_to_livez_is_an_api_request(kind: str) -> None:
    assert Asking(kind=kind, store=faulty())(Request("POST", "/livez")).status == 401


# --- Counters -------------------------------------------------------------------------------


@attrs.define
class Counted:
    """Counters that only record their arguments."""

    fails: bool = False
    lines: list[RequestLine] = attrs.field(factory=list[RequestLine])
    efforts: list[RetryStats] = attrs.field(factory=list[RetryStats])

    def count(self, line: RequestLine, stats: RetryStats) -> None:
        if self.fails:
            raise OSError("a-secret")
        self.lines.append(line)
        self.efforts.append(stats)

    def render(self, backlog: Backlog | None) -> tuple[str, bytes]:
        if self.fails:
            raise OSError("a-secret")
        return "text/plain", str(backlog).encode()


METRICS = Request("GET", "/metrics")


def test_metrics_path_gets_401_if_no_counters_are_configured(kind: str) -> None:
    assert Asking(kind=kind, store=faulty())(METRICS).status == 401


def test_every_request_is_counted_with_http_status_and_attempts(kind: str) -> None:
    counters = Counted()
    Asking(kind=kind, store=faulty(), counters=counters)(CREATE)
    assert [line.status for line in counters.lines] == [201]
    assert counters.efforts == [RetryStats(attempts=1)]


def held() -> Backlog:
    return Backlog(3, 1, 2.5)


def unknown() -> Backlog:
    raise OSError("a-secret")


@pytest.mark.parametrize(
    ("backlog", "text"),
    [(held, str(held())), (None, "None"), (unknown, "None")],
)
def test_metrics_include_the_outbox_backlog(
    kind: str, backlog: Callable[[], Backlog] | None, text: str
) -> None:
    with logged() as log:
        answer = Asking(kind=kind, store=faulty(), counters=Counted(), backlog=backlog)(METRICS)
    assert (answer.status, answer.body.decode()) == (200, text)
    assert answer.headers[:2] == (("content-type", "text/plain"), ("cache-control", "no-store"))
    assert ("the outbox cannot be counted" in log.text) == (backlog is unknown)
    assert "a-secret" not in log.text
    assert log.requests[0]["operation"] == "metrics"


@pytest.mark.usefixtures("standing_still")
def test_outbox_count_for_metrics_has_a_3_second_deadline() -> None:
    left: list[float] = []

    def asked() -> Backlog:
        left.append(seconds_left(99))
        return held()

    Endpoint(faulty(), MINT, counters=Counted(), backlog=asked)(METRICS)
    assert left == [3.0]


def test_metrics_are_served_without_backlog_if_the_outbox_hangs() -> None:
    async def hangs() -> Backlog:
        await asyncio.get_running_loop().create_future()
        return held()

    time = FakeTime()
    asked = AsyncEndpoint(Awaited(faulty()), MINT, counters=Counted(), backlog=hangs)
    with logged() as log:
        answer = run_async(asked(METRICS), time)
    assert (answer.status, answer.body) == (200, b"None")
    assert time.passed == pytest.approx(3.0)
    assert "the outbox cannot be counted: TimeoutError" in log.text


def test_request_succeeds_if_its_metrics_counters_raise(kind: str) -> None:
    asking = Asking(kind=kind, store=faulty(), counters=Counted(fails=True))
    with logged() as log:
        assert asking(CREATE).status == 201
        assert said(asking(METRICS)) == (503, "unavailable", "1")
    assert "a request was not counted: OSError" in log.text
    assert "the counters cannot be read: OSError" in log.text
    assert "a-secret" not in log.text


# --- Room -----------------------------------------------------------------------------------


def test_full_store_is_logged_without_account_id_or_api_key(kind: str) -> None:
    store = faulty((), pending(), capacity=1)
    with logged() as log:
        answer = Asking(kind=kind, store=store)(request("create", user="another"))
    assert answer.status == 500
    assert "no room: 1 values of kind" in log.text
    assert CALLER.customer_account_id not in log.text
    assert API_KEY not in log.text
    assert ApiKey(API_KEY).digest() not in log.text
