"""Tests of functions of a server that raise, or that return a value of a wrong type."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Never, cast

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.outcomes import Ignored
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import (
    ApiKeyRequest,
    Report,
    Request,
    Response,
    run,
    run_async,
)
from curae_lifecycle.testing.conformance.store_server import server_for_store
from tests.support.kit import Reference, asynchronous

ONE, RACE, NEXT = "law-02.revoked-once", "race.authorize.revoke", "request.limit"
ENDS = [SystemExit(0), asyncio.CancelledError()]
"""Exceptions of a server that would end a program or a task."""

is_in = pytest.mark.parametrize("check", [ONE, "law-02.at-once"])


def raises_on_revoke(
    send: Callable[[Request], Response], error: BaseException
) -> Callable[[Request], Response]:
    """Return `send`, but with `error` raised for each revocation."""

    def send_or_raise(request: Request) -> Response:
        if request.target.endswith(":revoke"):
            raise error
        return send(request)

    return send_or_raise


def expect_failure_of(check: str, error: BaseException, report: Report) -> None:
    (failure,) = report.failed
    assert failure.check == check
    named = f"(send|a concurrent step) raised {type(error).__name__}.*\n  where: .*POST"
    assert re.match(named, failure.message), failure.message
    is_one_of_several = check.endswith(".at-once") and failure.message.startswith("send")
    assert ("\n  sent at once: " in failure.message) == is_one_of_several
    assert report.passed == (NEXT,)


@is_in
@pytest.mark.parametrize("error", ENDS, ids=repr)
@pytest.mark.parametrize("timeout", [None, timedelta(seconds=20)])
def test_kit_check_fails_if_send_raises_exit_or_cancelled(
    check: str, error: BaseException, timeout: timedelta | None
) -> None:
    server = Reference().server()
    server = attrs.evolve(server, send=raises_on_revoke(server.send, error))
    report = run(server, only=[check, NEXT], seed="1", timeout=timeout)
    expect_failure_of(check, error, report)


@is_in
@pytest.mark.parametrize("error", ENDS, ids=repr)
def test_async_kit_check_fails_if_send_raises_exit_or_cancelled(
    check: str, error: BaseException
) -> None:
    server = Reference().server()
    server = attrs.evolve(server, send=raises_on_revoke(server.send, error))
    report = asyncio.run(run_async(asynchronous(server), only=[check, NEXT], seed="1"))
    expect_failure_of(check, error, report)


@is_in
def test_async_kit_check_fails_if_the_server_cancels_its_task(check: str) -> None:
    plain = asynchronous(Reference().server())

    async def send(request: Request) -> Response:
        if request.target.endswith(":revoke"):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return await plain.send(request)

    server = attrs.evolve(plain, send=send)
    report = asyncio.run(run_async(server, only=[check, NEXT], seed="1"))
    expect_failure_of(check, ENDS[1], report)


def test_cancelling_an_async_kit_run_ends_the_run() -> None:
    async def run_and_cancel() -> None:
        plain = asynchronous(Reference().server())

        async def send(request: Request) -> Response:
            running.cancel()
            return await plain.send(request)

        server = attrs.evolve(plain, send=send)
        running = asyncio.ensure_future(run_async(server, only=[ONE, NEXT], seed="1"))
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run_and_cancel())


def test_pytest_fail_in_a_hook_of_a_race_check_ends_the_kit_run() -> None:
    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        del lifetime
        pytest.fail(f"cannot authorize {connection_id}")

    server = attrs.evolve(Reference().server(), authorize=authorize)
    with pytest.raises(pytest.fail.Exception, match="cannot authorize"):
        run(server, only=[RACE], seed="1")


@pytest.mark.parametrize("rounds", [0, -1])
def test_races_are_not_run_with_less_than_one_round(rounds: int) -> None:
    server = attrs.evolve(Reference().server(), race_rounds=rounds)
    report = run(server, only=[RACE, NEXT], seed="1")
    assert report.passed == (NEXT,)
    assert [(each.check, each.reason) for each in report.not_run] == [(RACE, "needs race_rounds")]


def test_blocking_kit_fails_with_type_error_if_a_hook_is_async() -> None:
    async def purge() -> None:
        pass

    server = attrs.evolve(Reference().server(), purge=purge)
    (failure,) = run(server, only=["purge.live"], seed="1").failed
    error = "TypeError('the function is async: pass an AsyncServer to run_async')"
    assert failure.message.startswith(f"the hook purge raised {error}\n  where: purge\n")


def test_blocking_kit_fails_with_type_error_if_send_is_async() -> None:
    async def send(request: Request) -> Response:
        raise NotImplementedError(request)

    blocking = cast("Callable[[Request], Response]", send)
    report = run(attrs.evolve(Reference().server(), send=blocking), only=[ONE, NEXT], seed="1")
    (failure,) = report.failed
    assert failure.message.startswith("the server is down: send raised TypeError('the function is")
    assert [each.check for each in report.not_run] == [NEXT]


WRONG_RESULTS: list[tuple[str, object, str, str]] = [
    ("send", (200, b""), "request.limit", "send returned a tuple instead of a Response"),
    (
        "make_key",
        ApiKey("cae_live_secret"),
        "request.limit",
        "the hook make_key returned an ApiKey instead of the text of the key",
    ),
    (
        "authorize",
        Ignored(NO_CHANGES, ()),
        "law-01.rank-never-falls",
        "the hook authorize returned an Ignored instead of None or the outcome as a text",
    ),
    (
        "may_read",
        None,
        "access.active",
        "the hook may_read returned None instead of True or False",
    ),
    (
        "outbox",
        None,
        "outbox.ids",
        "the hook outbox returned None instead of a sequence of JSON objects",
    ),
]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("function", "result", "check", "message"), WRONG_RESULTS, ids=[it[0] for it in WRONG_RESULTS]
)
def test_failure_names_the_function_that_returns_a_wrong_type(
    function: str, result: object, check: str, message: str, *, is_async: bool
) -> None:
    replaced = cast("dict[str, Never]", {function: lambda *_: result})
    wrong = attrs.evolve(Reference().server(), **replaced)
    if is_async:
        report = asyncio.run(run_async(asynchronous(wrong), only=[check], seed="1"))
    else:
        report = run(wrong, only=[check], seed="1")
    (failure,) = report.failed
    assert failure.message.startswith(message)
    assert "secret" not in failure.message


@pytest.mark.parametrize("key", ["", "cae_live_secret\n", "cae secret", "cae_secret_\u20ac"])
@pytest.mark.parametrize("is_async", [False, True])
def test_key_that_no_header_can_hold_fails_without_being_shown(key: str, *, is_async: bool) -> None:
    def make_key(wanted: ApiKeyRequest) -> str:
        del wanted
        return key

    wrong = attrs.evolve(Reference().server(), make_key=make_key)
    if is_async:
        report = asyncio.run(run_async(asynchronous(wrong), only=["request.limit"], seed="1"))
    else:
        report = run(wrong, only=["request.limit"], seed="1")
    (failure,) = report.failed
    what = "not empty" if not key else "visible ASCII characters without spaces"
    first = f"the hook make_key returned a wrong key: api key: must be {what}"
    assert failure.message.splitlines()[0] == first
    assert "secret" not in failure.message


IGNORED_RESULTS = {
    "pass_time": "limit.half-open",
    "turn_clock_back": "bucket.clock-corrected",
    "replace_buckets": "request.buckets",
    "register_again": "registration.scopes",
    "change_key_id": "registration.other-id",
    "withdraw": "registration.withdrawn",
    "purge": "purge.live",
}
"""The hooks whose result the kit ignores, each with a check that calls it."""


@pytest.mark.parametrize("hook", IGNORED_RESULTS)
def test_kit_accepts_any_result_of_a_hook_that_returns_none(hook: str) -> None:
    server = server_for_store(MemoryStore())
    right = cast("Callable[[object, object], object]", getattr(server, hook))
    called: list[object] = []

    def return_number(*arguments: Never) -> int:
        called.append(right(*arguments))
        return 5

    replaced = cast("dict[str, Never]", {hook: return_number})
    check = IGNORED_RESULTS[hook]
    assert run(attrs.evolve(server, **replaced), only=[check], seed="1").passed == (check,)
    assert called
