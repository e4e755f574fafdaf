"""Tests of the kit's timeout per check, and of its progress reports."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import timedelta
from queue import SimpleQueue
from threading import Event

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.testing.conformance import (
    CHECKS,
    ApiKeyRequest,
    CheckOutcome,
    NotRun,
    Progress,
    Request,
    Response,
    Server,
    conformance_tests,
    run,
    run_async,
    timeout,
)
from tests.support.kit import Reference, asynchronous
from tests.support.serving import run_async as in_fake_time

MOMENT = timedelta(milliseconds=50)
"""A limit that every hanging check exceeds; the tests with threads end it when the thread hangs."""

WHILE = timedelta(milliseconds=500)
"""A limit in a loop whose time passes only when every task waits."""

LONG = timedelta(seconds=20)
"""A limit that no working check exceeds."""

REVOKED = "law-02.revoked-once"


@attrs.define
class Hanging:
    """A server that holds back revocations until it is released."""

    reference: Reference = attrs.Factory(Reference)
    release: Event = attrs.Factory(Event)
    sent: list[Request] = attrs.Factory(list)
    seen: SimpleQueue[str] = attrs.Factory(SimpleQueue)
    limits: list[float] = attrs.Factory(list)

    def send(self, request: Request) -> Response:
        self.sent.append(request)
        if request.target.endswith(":revoke"):
            self.hang()
        return self.reference.send(request)

    def hang(self) -> None:
        self.seen.put("hangs")
        self.release.wait()

    def wait(self, futures: list[Future[object]], seconds: float) -> None:
        """Wait until the server hangs or the check has ended."""
        self.limits.append(seconds)
        futures[0].add_done_callback(lambda _: self.seen.put("ended"))
        self.seen.get()

    def server(self) -> Server:
        return attrs.evolve(self.reference.server(), send=self.send)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    made = Hanging()
    monkeypatch.setattr(timeout, "wait", made.wait)
    before = {*threading.enumerate()}
    yield made
    made.release.set()
    for thread in {*threading.enumerate()} - before:
        thread.join()


def test_hanging_kit_check_fails_and_names_its_request(hanging: Hanging) -> None:
    (failure,) = run(hanging.server(), only=[REVOKED], seed="1", timeout=MOMENT).failed
    assert failure.check == REVOKED
    assert hanging.limits == [0.05]
    hung, where, *after = failure.message.splitlines()
    assert hung == "the check took longer than 0:00:00.050000"
    assert where == f"  where: {hanging.sent[-1]}"
    assert after[0] == "  after: make_key"


def test_abandoned_kit_check_thread_sends_no_more_requests(hanging: Hanging) -> None:
    before = {*threading.enumerate()}
    assert run(hanging.server(), only=[REVOKED], seed="1", timeout=MOMENT).failed
    (left,) = {*threading.enumerate()} - before
    assert left.daemon
    hanging.release.set()
    left.join()
    assert [each.target.rpartition("/")[2][36:] for each in hanging.sent] == ["", ":revoke"]


def test_thread_switch_interval_is_restored_after_a_hanging_race(
    hanging: Hanging,
) -> None:
    before = sys.getswitchinterval()
    (failure,) = run(hanging.server(), only=["law-02.at-once"], seed="1", timeout=MOMENT).failed
    assert "where: 8 concurrent steps, such as Request(method='POST'" in failure.message
    assert sys.getswitchinterval() == before


def test_hanging_kit_check_does_not_stop_other_checks(hanging: Hanging) -> None:
    only = ["connection.revoke.pending", "request.limit"]
    report = run(hanging.server(), only=only, seed="1")
    assert [each.check for each in report.failed] == ["connection.revoke.pending"]
    assert report.passed == ("request.limit",)


def test_slow_server_passes_kit_checks_within_max_time_per_check() -> None:
    patient = attrs.evolve(Reference().server(), max_time_per_check=LONG)
    assert run(patient, only=[REVOKED], seed="1", timeout=timedelta.resolution).passed == (REVOKED,)
    awaited = asynchronous(Reference().server())
    awaited = attrs.evolve(awaited, max_time_per_check=LONG)
    report = asyncio.run(run_async(awaited, only=[REVOKED], seed="1", timeout=timedelta.resolution))
    assert report.passed == (REVOKED,)


@pytest.mark.parametrize("is_async", [False, True])
def test_buckets_are_restored_after_a_failed_kit_check(*, is_async: bool) -> None:
    reference, given = Reference(), list[object]()

    def replace_buckets(buckets: tuple[Bucket, ...] | None) -> None:
        given.append(buckets)

    server = attrs.evolve(reference.server(), replace_buckets=replace_buckets)
    only = ["request.buckets"]
    if is_async:
        report = asyncio.run(run_async(asynchronous(server), only=only, seed="1"))
    else:
        report = run(server, only=only, seed="1")
    # No bucket was replaced, so nothing was refused.
    assert [each.check for each in report.failed] == only
    assert (len(given), given[-1]) == (2, None)


def test_buckets_are_restored_after_a_hanging_kit_check(hanging: Hanging) -> None:
    given: list[object] = []

    def replace_buckets(buckets: tuple[Bucket, ...] | None) -> None:
        given.append(buckets)
        if buckets is not None:
            hanging.hang()

    server = attrs.evolve(hanging.server(), replace_buckets=replace_buckets)
    (failure,) = run(server, only=["request.buckets"], seed="1", timeout=MOMENT).failed
    assert "where: replace_buckets" in failure.message
    assert given[1:] == [None]


def test_hang_while_restoring_buckets_fails_the_kit_check(hanging: Hanging) -> None:
    reference = Reference()

    def replace_buckets(buckets: tuple[Bucket, ...] | None) -> None:
        if buckets is None:
            hanging.hang()
        reference.replace_buckets(buckets)

    server = attrs.evolve(reference.server(), replace_buckets=replace_buckets)
    (failure,) = run(server, only=["request.buckets"], seed="1", timeout=MOMENT).failed
    assert (
        "the check took longer than 0:00:00.050000\n  where: replace_buckets\n" in failure.message
    )


def test_async_hang_while_restoring_buckets_names_the_hook() -> None:
    async def hang() -> None:
        plain = asynchronous(Reference().server())
        assert plain.replace_buckets is not None
        replace = plain.replace_buckets

        async def replace_buckets(buckets: tuple[Bucket, ...] | None) -> None:
            if buckets is None:
                await asyncio.Event().wait()
            await replace(buckets)

        server = attrs.evolve(plain, replace_buckets=replace_buckets)
        report = await run_async(server, only=["request.buckets"], seed="1", timeout=WHILE)
        first, where, *_ = report.failed[0].message.splitlines()
        assert first == "the check took longer than 0:00:00.500000"
        assert where == "  where: replace_buckets"

    in_fake_time(hang())


def test_hanging_async_kit_check_is_cancelled() -> None:
    async def hang() -> None:
        ended: list[str] = []
        plain = asynchronous(Reference().server())

        async def send(request: Request) -> Response:
            if request.target.endswith(":revoke"):
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(request.target)
            return await plain.send(request)

        server = attrs.evolve(plain, send=send)
        only = [REVOKED, "law-02.at-once"]
        report = await run_async(server, only=only, seed="1", timeout=WHILE)
        assert [each.check for each in report.failed] == only
        assert len(ended) == 9
        assert all("the check took longer than" in each.message for each in report.failed)

    in_fake_time(hang())


def test_kit_check_coroutine_that_ignores_cancel_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeout, "_GRACE", 0.05)

    async def hang() -> None:
        release, refused = asyncio.Event(), list[str]()
        plain = asynchronous(Reference().server())

        async def send(request: Request) -> Response:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    refused.append(request.method)
            return await plain.send(request)

        server = attrs.evolve(plain, send=send)
        report = await run_async(server, only=[REVOKED], seed="1", timeout=WHILE)
        assert len(report.failed) == 1
        assert refused
        release.set()

    in_fake_time(hang())


def test_kit_check_without_timeout_runs_in_the_calling_thread() -> None:
    reference, threads = Reference(), set[threading.Thread]()

    def send(request: Request) -> Response:
        threads.add(threading.current_thread())
        return reference.send(request)

    server = attrs.evolve(reference.server(), send=send)
    assert run(server, only=[REVOKED], timeout=None).passed
    assert threads == {threading.current_thread()}
    test = conformance_tests(lambda: server, timeout=None)
    test(next(each for each in CHECKS if each.name == REVOKED))
    assert threads == {threading.current_thread()}
    assert asyncio.run(
        run_async(asynchronous(reference.server()), only=[REVOKED], timeout=None)
    ).passed


@pytest.mark.parametrize("check", [REVOKED, "law-02.at-once"])
def test_each_kit_step_sees_context_variables_set_before_the_run(check: str) -> None:
    reference, around = Reference().server(), ContextVar("around", default="nothing")
    seen: set[str] = set()

    def send(request: Request) -> Response:
        seen.add(f"{around.get()} in send")
        return reference.send(request)

    def make_key(wanted: ApiKeyRequest) -> str:
        seen.add(f"{around.get()} in make_key")
        return reference.make_key(wanted)

    server = attrs.evolve(reference, send=send, make_key=make_key)
    around.set("here")
    assert run(server, only=[check], seed="1").passed
    assert seen == {"here in send", "here in make_key"}
    seen.clear()
    assert asyncio.run(run_async(asynchronous(server), only=[check], seed="2")).passed
    assert seen == {"here in send", "here in make_key"}


def test_keyboard_interrupt_during_a_kit_check_is_raised() -> None:
    def send(request: Request) -> Response:
        raise KeyboardInterrupt(request.method)

    with pytest.raises(KeyboardInterrupt, match="POST"):
        run(attrs.evolve(Reference().server(), send=send), only=[REVOKED])


@pytest.mark.slow
def test_program_exits_despite_a_hanging_kit_check() -> None:
    program = """
import threading
from datetime import timedelta
from curae_lifecycle.testing.conformance import Server, run
hangs = Server(lambda request: threading.Event().wait(), lambda wanted: "cae_live_1")
report = run(hangs, only=["law-02.revoked-once"], timeout=timedelta(seconds=0.1))
print(len(report.failed), threading.active_count())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "1 2\n"


def test_kit_progress_reports_each_finished_check() -> None:
    only = ["request.limit", "law-02.revoked-once", "permission.wrong-environment"]
    reference = Reference()

    def send(request: Request) -> Response:
        answer = reference.send(request)
        return attrs.evolve(answer, status=500) if "initiate" in request.target else answer

    server, told = attrs.evolve(reference.server(), send=send), list[Progress]()
    report = run(server, only=only, seed="1", progress=told.append)
    names = [each.name for each in CHECKS if each.name in only]
    assert [(each.check, each.number, each.total) for each in told] == [
        (name, number, 3) for number, name in enumerate(names, 1)
    ]
    assert {each.check: each.outcome for each in told} == {
        "request.limit": CheckOutcome.FAILED,
        "law-02.revoked-once": CheckOutcome.PASSED,
        "permission.wrong-environment": CheckOutcome.NOT_RUN,
    }
    assert all(each.seconds >= 0 for each in told)
    assert report.not_run == (NotRun("permission.wrong-environment", "needs environment"),)
    again = list[Progress]()
    asyncio.run(run_async(asynchronous(server), only=only, seed="1", progress=again.append))
    assert [each.outcome for each in again] == [each.outcome for each in told]


@pytest.mark.parametrize(
    ("wrong", "given"),
    [(30, ", not an int"), (timedelta(0), ""), (-LONG, "")],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_kit_timeout_that_is_no_positive_timedelta_raises(
    wrong: timedelta, given: str, *, is_async: bool
) -> None:
    server = Reference().server()

    def run_kit() -> object:
        if is_async:
            return asyncio.run(run_async(asynchronous(server), only=[REVOKED], timeout=wrong))
        return run(server, only=[REVOKED], timeout=wrong)

    with pytest.raises(ArgumentError) as raised:
        run_kit()
    allowed = "None, or a timedelta above zero such as timedelta(seconds=30)"
    assert str(raised.value) == f"timeout: must be {allowed}{given}"
