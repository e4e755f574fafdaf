"""Tests of the log lines of an endpoint: their records, and lines of unusual responses."""

from __future__ import annotations

import logging

import pytest

from curae_lifecycle import Request, Response, Settings
from curae_lifecycle.servers import endpoint
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.servers.log import RequestLine
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.web.respond import Answer
from tests.servers.test_endpoint import Counted
from tests.support.asking import KINDS, MINT, Asking, logged
from tests.support.server import request
from tests.support.serving import Awaited, faulty, run_async

CREATE = request("create")
PAGE = Request("GET", "/page")


def test_request_log_record_has_http_status_and_source_line_0(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        Endpoint(faulty(), MINT)(CREATE)
    (record,) = caplog.records
    assert isinstance(record.msg, RequestLine)
    assert record.msg.status == 201
    assert (record.name, record.levelname) == (endpoint.__name__, "INFO")
    assert (record.args, record.exc_info) == ((), None)
    assert (record.pathname, record.lineno) == (endpoint.__file__, 0)


@pytest.mark.parametrize(
    ("level", "number"), [(logging.INFO, 1), (logging.INFO + 1, 0), (logging.WARNING, 0)]
)
def test_request_is_logged_only_if_log_level_info_is_enabled(
    level: int, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(level, logger=endpoint.__name__):
        Endpoint(faulty(), MINT)(CREATE)
    assert len(caplog.records) == number


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"code": "ANY"}', b"no JSON"])
def test_problem_of_a_hosted_page_is_logged_without_a_code(kind: str, body: bytes) -> None:
    problem = Response(404, (("content-type", "application/problem+json"),), body)
    with logged() as log:
        answer = Asking(kind=kind, store=faulty(), pages=lambda _: problem)(PAGE)
    assert (answer.status, answer.body) == (404, body)
    (line,) = log.lines
    assert (line["operation"], line["status"], line["code"]) == ("page", 404, None)


@pytest.mark.parametrize("kind", KINDS)
def test_hosted_page_handler_gets_the_unchanged_request(kind: str) -> None:
    given: list[Request] = []

    def page(asked: Request) -> Response:
        given.append(asked)
        return Response(200, (), b"")

    Asking(kind=kind, store=faulty(), pages=page)(PAGE)
    assert given == [PAGE]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), ("0", 0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)],
)
def test_numeric_retry_after_of_a_hosted_page_is_logged(
    retry_after: str, seconds: int | None
) -> None:
    busy = Response(503, (("retry-after", retry_after),), b"")
    with logged() as log:
        Endpoint(faulty(), MINT, hosted_pages=lambda _: busy)(PAGE)
    assert [line["retryAfter"] for line in log.lines] == [seconds]


def test_log_line_of_an_interrupted_request_has_every_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: Request) -> Response | None:
        raise KeyboardInterrupt

    instants = iter((7.0, 7.25))
    monkeypatch.setattr(endpoint, "perf_counter", lambda: next(instants))
    with logged() as log, pytest.raises(KeyboardInterrupt):
        Endpoint(faulty(), MINT, hosted_pages=interrupted)(PAGE)
    (line,) = log.lines
    assert line == {
        "time": line["time"],
        "level": "INFO",
        "logger": endpoint.__name__,
        "message": "request",
        "requestId": line["requestId"],
        "operation": None,
        "method": "GET",
        "status": None,
        "rules": [],
        "replayed": False,
        "seconds": 0.25,
        "attempts": 0,
        "waited": 0.0,
        "code": None,
        "retryAfter": None,
        "limit": None,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_error_raised_by_serve_is_logged_counted_and_gives_500(kind: str) -> None:
    def fail(*_: object, stats: RetryStats, **__: object) -> Answer:
        stats.unexpected_errors += 1
        raise KeyError("a-secret")

    async def fail_async(*_: object, stats: RetryStats, **__: object) -> Answer:
        return fail(stats=stats)

    counters = Counted()
    with logged() as log:
        if kind == "waits":
            answer = Endpoint(faulty(), MINT, counters=counters, serve=fail)(CREATE)
        else:
            endpoint = AsyncEndpoint(Awaited(faulty()), MINT, counters=counters, serve=fail_async)
            answer = run_async(endpoint(CREATE))
    assert (answer.status, [each.unexpected_errors for each in counters.efforts]) == (500, [2])
    failed, line = log.lines
    assert str(failed["message"]).startswith("a request failed: KeyError at ")
    assert line["code"] == "INTERNAL"
    assert "a-secret" not in log.text


@pytest.mark.parametrize("kind", KINDS)
def test_request_for_a_disabled_operation_logs_no_operation(kind: str) -> None:
    kept = tuple(each for each in OPERATIONS if each.rule.name != "create-connection")
    names = []
    for operations in (OPERATIONS, kept):
        settings = Settings(operations=operations)
        with logged() as log:
            Asking(kind=kind, store=faulty(settings=settings), settings=settings)(CREATE)
        names += [line["operation"] for line in log.lines]
    assert names == ["create-connection", None]
