"""Tests of logging: one JSON object a line with the request id, and no secrets."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import format_exc

import pytest

from curae_lifecycle import MemoryStore, Request
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.log import (
    REQUEST_ID,
    JsonFormatter,
    RequestLine,
    configure_logging,
    request_id,
)
from curae_lifecycle.stores.request_loop import LOG_TRACEBACKS
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.statement import Statement
from tests.support.asking import MINT, logged

UUID = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def asked(*headers: tuple[str, str]) -> Request:
    return Request("GET", "/", headers)


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ([("X-Request-Id", UUID)], UUID),
        ([("x-request-id", TRACE.upper())], TRACE.upper()),
        ([("x-request-id", "0" * 16)], "0" * 16),
        ([("x-request-id", "0" * 64)], "0" * 64),
        ([("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")], TRACE),
        ([("traceparent", f"01-{TRACE}-b7ad6b7169203331-01-more")], TRACE),
        ([("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-request-id", UUID)], UUID),
        ([("x-request-id", "a-word"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")], TRACE),
    ],
)
def test_valid_client_request_id_or_trace_id_is_the_request_id(
    headers: list[tuple[str, str]], taken: str
) -> None:
    assert request_id(asked(*headers)) == taken


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-request-id", "")],
        [("x-request-id", "0" * 15)],
        [("x-request-id", "0" * 65)],
        [("x-request-id", "cae_live_0123456789abcdef")],
        [("x-request-id", f"{UUID}\n")],
        [("x-request-id", f"-{UUID}")],
        [("x-request-id", f"{UUID}, {UUID}")],
        [("x-request-id", UUID), ("X-Request-Id", UUID)],
        [("traceparent", f"00-{TRACE}-b7ad6b7169203331")],
        [("traceparent", f"00-{TRACE.upper()}-b7ad6b7169203331-01")],
    ],
)
def test_missing_or_unsafe_request_id_header_is_replaced(
    headers: list[tuple[str, str]],
) -> None:
    first, second = request_id(asked(*headers)), request_id(asked(*headers))
    assert first != second
    assert {len(first), len(second)} == {32}
    assert not [value for _, value in headers if value and first in value]


def test_lines_of_other_loggers_get_the_request_id() -> None:
    with logged() as log:
        logging.getLogger("urllib3.pool").warning("said %s", "so\nand so")
        token = REQUEST_ID.set(UUID)
        logging.getLogger("urllib3.pool").info("said so")
        REQUEST_ID.reset(token)
    first, second = log.lines
    assert (first["logger"], first["message"]) == ("urllib3.pool", "said so\nand so")
    assert "requestId" not in first
    assert (second["level"], second["requestId"]) == ("INFO", UUID)
    assert log.text.isascii()


def fails() -> None:
    raise KeyError("a-secret")


def test_exception_is_logged_with_only_its_type_and_place() -> None:
    with logged() as log:
        try:
            fails()
        except KeyError:
            logging.getLogger("x").exception("it failed")
    (line,) = log.lines
    assert (line["message"], line["error"]) == ("it failed", "KeyError")
    assert "test_log:" in str(line["raisedAt"])
    assert "a-secret" not in log.text


def test_failed_task_is_logged_without_the_text_of_its_exception() -> None:
    async def fail() -> None:
        raise RuntimeError("cae_live_k1")

    async def leave_failed_task() -> None:
        await asyncio.wait([asyncio.create_task(fail())])
        gc.collect()

    with logged() as log:
        asyncio.run(leave_failed_task())
    (line,) = log.lines
    assert line["error"] == "RuntimeError"
    assert str(line["raisedAt"]).startswith(__name__)
    assert "cae_live_k1" not in log.text


def test_debug_mode_logs_the_traceback_that_python_prints() -> None:
    printed: list[str] = []
    token = LOG_TRACEBACKS.set(True)
    with logged() as log:
        try:
            fails()
        except KeyError:
            printed.append(format_exc())
            logging.getLogger("x").exception("it failed")
    LOG_TRACEBACKS.reset(token)
    assert [line["traceback"] for line in log.lines] == printed


def test_log_line_without_an_exception_has_no_error_member() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 1, "said", (), (None, None, None))
    assert "error" not in json.loads(JsonFormatter().format(record))


@contextmanager
def handled(logger: logging.Logger) -> Iterator[io.StringIO]:
    """Collect the output of a separate handler of a logger."""
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    logger.addHandler(handler)
    try:
        yield printed
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    "name",
    [
        *("django.request", "django.security.csrf", "uvicorn.access", "gunicorn.access"),
        *("aiohttp.access", "sanic.access"),
    ],
)
def test_access_loggers_log_only_errors_and_never_a_path(name: str) -> None:
    logger = logging.getLogger(name)
    with logged() as log, handled(logger) as own:
        logger.warning("Not Found: %s", "/pages/a-secret")
        failure = ValueError("it failed")
        logger.error("Internal Server Error: %s", "/pages/a-secret", exc_info=failure)
    (line,) = log.lines
    assert (line["level"], line["logger"]) == ("ERROR", name)
    assert "outside of the endpoint" in str(line["message"])
    for text in (log.text, own.getvalue()):
        assert "a-secret" not in text
    assert "outside of the endpoint" in own.getvalue()


@pytest.mark.parametrize("name", ["django.request", "django.server"])
def test_django_log_line_of_a_returned_error_response_is_dropped(name: str) -> None:
    # A handler of the logger's own, since Django's set-up keeps `django.server` from the root.
    logger = logging.getLogger(name)
    with logged() as log, handled(logger) as own:
        logger.error("Service Unavailable: %s", "/readyz", exc_info=None)
    assert (log.lines, own.getvalue()) == ([], "")


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("Exception on /pages/a-secret [GET]", ()),
        ("Exception on /pages/\n/a-secret [x] [GET]", ()),
        ("Exception on %s [%s]", ("/pages/a-secret", "GET")),
        ("Exception while serving %s", ("/pages/a-secret",)),
        ("Error handling request %s", ("/pages/a-secret",)),
        ("Exception occurred while handling uri: %s", ("'http://x/pages/a-secret'",)),
        ('Exception raised in exception handler "%s" for uri: %s', ("f", "/pages/a-secret")),
        ("Uncaught exception (connection_type=%s, path=%r):", ("http", "/pages/a-secret")),
        ("Application callable raised an exception\nTraceback\nValueError: a-secret", ()),
    ],
)
def test_error_lines_of_web_servers_are_logged_without_the_url(
    text: str, given: tuple[str, ...]
) -> None:
    with logged() as log:
        logging.getLogger("an.app").error(text, *given)
    (line,) = log.lines
    assert "outside of the endpoint" in str(line["message"])
    assert "a-secret" not in log.text


@pytest.mark.parametrize("name", ["sanic.error", "litestar", "_granian.utils"])
def test_log_handlers_of_a_framework_get_errors_without_path(name: str) -> None:
    own = io.StringIO()
    handler = logging.StreamHandler(own)
    logger = logging.getLogger(name)
    with logged():
        logger.addHandler(handler)
        try:
            logger.error("Exception occurred while handling uri: %s", "/pages/a-secret")
            logger.error("Startup failed due to OS error: %s", "no such file")
        finally:
            logger.removeHandler(handler)
    hidden, kept = own.getvalue().splitlines()
    assert "outside of the endpoint" in hidden
    assert kept == "Startup failed due to OS error: no such file"


def test_aiosqlite_statements_are_logged_without_their_values(tmp_path: Path) -> None:
    logger = logging.getLogger("aiosqlite")
    statement = Statement("SELECT ?", ("a-secret",))

    async def ask() -> None:
        engine = create_engine_async(f"sqlite+aiosqlite:///{tmp_path}/file")
        assert [*await AsyncSqlDatabase(engine).rows(statement)] == [("a-secret",)]
        await engine.dispose()

    with logged() as log, handled(logger) as own:
        logger.setLevel(logging.DEBUG)
        try:
            asyncio.run(ask())
            logger.info("a note")
        finally:
            logger.setLevel(logging.NOTSET)
    assert {line["message"] for line in log.lines if line["logger"] == "aiosqlite"} == {
        "a line of a database driver, which may hold values",
        "a note",
    }
    for text in (log.text, own.getvalue()):
        assert "a-secret" not in text


@pytest.mark.parametrize(
    ("name", "level"), [("aiosqlite", logging.DEBUG), ("asyncmy", logging.INFO)]
)
def test_statements_of_database_drivers_lose_their_text(name: str, level: int) -> None:
    for each, hides in ((level, True), (level + 1, False)):
        record = logging.LogRecord(name, each, "", 1, "SELECT 'a-secret'", (), None)
        assert ("a-secret" not in JsonFormatter().format(record)) is hides


@pytest.mark.parametrize("text", ["Exception on the way", "Exception on [x", "Not an Exception on"])
def test_message_resembling_a_server_error_is_logged_unchanged(text: str) -> None:
    with logged() as log:
        logging.getLogger("an.app").error(text)
    assert [line["message"] for line in log.lines] == [text]


class Unprintable:
    """An object that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("a-secret")


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("%d", ("a-secret",)),
        ("%s %s", ("a-secret",)),
        ("%(name)s", ({"other": "a-secret"},)),
        ("%", ("a-secret",)),
        ("%s", (Unprintable(),)),
    ],
)
def test_log_record_that_cannot_be_formatted_hides_its_arguments(
    text: str, given: tuple[object, ...]
) -> None:
    wrong = logging.LogRecord("x", logging.ERROR, "", 1, text, given, None)
    line = json.loads(JsonFormatter().format(wrong))
    assert line["message"] == "a log record that cannot be formatted"
    of_an_object = logging.LogRecord("x", logging.ERROR, "", 1, ["an object"], (), None)
    assert json.loads(JsonFormatter().format(of_an_object))["message"] == "['an object']"


def test_configuring_logging_again_keeps_other_handlers() -> None:
    with logged() as log:
        other = logging.StreamHandler(io.StringIO())
        logging.getLogger().addHandler(other)
        again = io.StringIO()
        configure_logging(logging.WARNING, again, {"loud": logging.DEBUG})
        assert other in logging.getLogger().handlers
        logging.getLogger("loud").debug("heard")
        logging.getLogger("quiet").info("not heard")
        logging.getLogger("loud").setLevel(logging.NOTSET)
    assert log.text == ""
    assert [json.loads(line)["message"] for line in again.getvalue().splitlines()] == ["heard"]


def test_configuring_logging_enables_the_packages_loggers_again() -> None:
    endpoint = Endpoint(MemoryStore(), MINT)
    other = logging.getLogger("urllib3.pool")
    loggers = [
        each
        for each in logging.root.manager.loggerDict.values()
        if isinstance(each, logging.Logger)
    ]
    for logger in loggers:
        # As `logging.config.dictConfig` does by default.
        logger.disabled = True
    try:
        with logged() as log:
            endpoint(asked())
            assert other.disabled
    finally:
        for logger in loggers:
            logger.disabled = False
    (line,) = log.lines
    assert (line["logger"], line["message"]) == ("curae_lifecycle.servers.endpoint", "request")


def test_log_lines_go_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with logged():
        configure_logging()
        logging.getLogger("x").warning("heard")
    seen = capsys.readouterr()
    assert json.loads(seen.err)["message"] == "heard"
    assert seen.out == ""


def test_str_of_a_logged_request_is_its_json() -> None:
    line = RequestLine(
        operation=None,
        method="GET",
        status=404,
        rules=("request.route",),
        replayed=False,
        seconds=0.0123456789,
        attempts=1,
        waited=0.0023456789,
        code="NOT_FOUND",
        retry_after=2,
        limit="small",
    )
    assert json.loads(str(line)) == line.members()
    assert line.members() == {
        "operation": None,
        "method": "GET",
        "status": 404,
        "rules": ["request.route"],
        "replayed": False,
        "seconds": 0.012346,
        "attempts": 1,
        "waited": 0.002346,
        "code": "NOT_FOUND",
        "retryAfter": 2,
        "limit": "small",
    }


@pytest.mark.parametrize(
    ("created", "time"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000.1239, "2026-09-21T14:13:20.123Z"),
    ],
)
def test_time_of_a_log_line_is_utc_in_milliseconds(created: float, time: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "said", (), None)
    record.created = created
    assert json.loads(JsonFormatter().format(record)) == {
        "time": time,
        "level": "INFO",
        "logger": "x",
        "message": "said",
    }
