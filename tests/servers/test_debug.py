"""Tests of debug mode, which logs tracebacks; otherwise only an error's type and place."""

from __future__ import annotations

import io
import logging
from typing import cast

import pytest

from curae_lifecycle import Request, Response
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.stores.request_loop import LOG_TRACEBACKS
from tests.servers.test_endpoint import broken
from tests.support.asking import KINDS, MINT, Log, logged
from tests.support.server import request
from tests.support.serving import Awaited, faulty, run_async

CREATE = request("create")


def failing_page(_: Request) -> Response | None:
    raise LookupError("a-secret")


async def failing_async_page(asked: Request) -> Response | None:
    return failing_page(asked)


def log_of(kind: str, *, debug: bool, pages: bool = False) -> Log:
    """Answer a request that fails at the store or at the hosted pages, and return the log."""
    store = faulty() if pages else broken(LookupError("a-secret"))
    with logged() as log:
        if kind == "waits":
            page = failing_page if pages else None
            answer = Endpoint(store, MINT, hosted_pages=page, debug=debug)(CREATE)
        else:
            async_page = failing_async_page if pages else None
            awaited = AsyncEndpoint(Awaited(store), MINT, hosted_pages=async_page, debug=debug)
            answer = run_async(awaited(CREATE))
    assert answer.status >= 500
    assert b"a-secret" not in answer.body
    return log


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_debug_mode_logs_the_traceback_of_an_unexpected_error(kind: str, *, pages: bool) -> None:
    (failed,) = [line for line in log_of(kind, debug=True, pages=pages).lines if "error" in line]
    assert failed["error"] == "LookupError"
    traceback = str(failed["traceback"])
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert traceback.endswith("LookupError: a-secret\n")


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_without_debug_no_error_text_or_traceback_is_logged(kind: str, *, pages: bool) -> None:
    log = log_of(kind, debug=False, pages=pages)
    assert "a-secret" not in log.text
    assert "Traceback" not in log.text
    (failed,) = [line for line in log.lines if line["level"] == "ERROR"]
    assert "LookupError at " in str(failed["message"])
    assert "error" not in failed


def test_debug_mode_logs_one_warning_at_the_start() -> None:
    with logged() as log:
        Endpoint(faulty(), MINT)
        Endpoint(faulty(), MINT, debug=True)
    (line,) = log.lines
    assert line["level"] == "WARNING"
    assert str(line["message"]).startswith("debug is on")


def test_debug_traceback_logging_is_off_after_the_request() -> None:
    endpoint = Endpoint(faulty(), MINT, debug=True)
    assert endpoint(CREATE).status == 201
    assert LOG_TRACEBACKS.get() is False


def test_debug_mode_logs_the_traceback_with_any_log_formatter() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        Endpoint(broken(LookupError("a-secret")), MINT, debug=True)(CREATE)
    finally:
        logging.getLogger().removeHandler(handler)
    assert "LookupError: a-secret\n" in stream.getvalue()


def test_debug_mode_logs_the_type_of_a_wrong_hosted_page_result() -> None:
    with logged() as log:
        Endpoint(faulty(), MINT, hosted_pages=lambda _: cast("Response", 1), debug=True)(CREATE)
    (failed,) = [line for line in log.lines if "error" in line]
    assert str(failed["traceback"]).endswith("page: must be a Response or None, not an int\n")
