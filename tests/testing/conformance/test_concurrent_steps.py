"""Tests that concurrent steps of a check meet: what makes them overlap is there at each request."""

from __future__ import annotations

import asyncio
import sys
import threading
from threading import Barrier, get_ident

import attrs
import pytest

from curae_lifecycle.testing.conformance import CHECKS, Request, Response, runner
from curae_lifecycle.testing.conformance.steps import CONCURRENT_REQUESTS
from tests.support.kit import Reference, asynchronous

CHECK = "law-02.at-once"
"""A check that sends several requests concurrently."""


class Recorder:
    """A server that notes the switch interval at each request of another thread."""

    def __init__(self) -> None:
        self.inner = Reference().server()
        self.concurrent: list[float] = []

    def send(self, request: Request) -> Response:
        if get_ident() != threading.main_thread().ident:
            self.concurrent.append(sys.getswitchinterval())
        return self.inner.send(request)


def test_threads_switch_a_hundred_times_as_often_in_a_race() -> None:
    recorder, usual = Recorder(), sys.getswitchinterval()
    server = attrs.evolve(recorder.inner, send=recorder.send)
    assert runner.run(server, only=[CHECK], seed="1", timeout=None).passed == (CHECK,)
    assert len(recorder.concurrent) == CONCURRENT_REQUESTS
    assert max(recorder.concurrent) <= usual / 100
    assert sys.getswitchinterval() == usual


def test_threads_of_a_race_do_not_keep_the_program_alive() -> None:
    inner, daemons = Reference().server(), list[bool]()

    def send(request: Request) -> Response:
        if get_ident() != threading.main_thread().ident:
            daemons.append(threading.current_thread().daemon)
        return inner.send(request)

    server = attrs.evolve(inner, send=send)
    assert runner.run(server, only=[CHECK], seed="1", timeout=None).passed == (CHECK,)
    assert daemons == [True] * CONCURRENT_REQUESTS


@pytest.mark.slow
def test_only_checks_with_at_once_in_their_name_use_threads() -> None:
    full, other = Reference().server(), set[str]()

    def run_one(check: str) -> None:
        def send(request: Request) -> Response:
            if get_ident() != threading.main_thread().ident:
                other.add(check)
            return full.send(request)

        server = attrs.evolve(full, send=send, race_rounds=None)
        runner.run(server, only=[check], seed="1", timeout=None)

    names = [each.name for each in CHECKS]
    for name in names:
        run_one(name)
    assert other == {name for name in names if "at-once" in name}


def test_no_thread_of_a_race_sends_before_all_have_started(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    parties: list[int] = []
    late: list[int] = []

    class Noted(Barrier):
        def wait(self, timeout: float | None = None) -> int:
            parties.append(self.parties)
            place = super().wait(timeout)
            waited.append(get_ident())
            return place

    monkeypatch.setattr(runner, "Barrier", Noted)
    inner = Reference().server()

    def send(request: Request) -> Response:
        if get_ident() not in {threading.main_thread().ident, *waited}:
            late.append(get_ident())
        return inner.send(request)

    server = attrs.evolve(inner, send=send)
    assert runner.run(server, only=[CHECK], seed="1", timeout=None).passed == (CHECK,)
    assert parties == [CONCURRENT_REQUESTS] * CONCURRENT_REQUESTS
    assert late == []


def test_coroutines_of_a_race_all_begin_before_one_ends() -> None:
    inner = asynchronous(Reference().server())
    began, most = 0, 0

    async def send(request: Request) -> Response:
        nonlocal began, most
        began += 1
        most = max(most, began)
        await asyncio.sleep(0)
        response = await inner.send(request)
        began -= 1
        return response

    server = attrs.evolve(inner, send=send)
    report = asyncio.run(runner.run_async(server, only=[CHECK], seed="1", timeout=None))
    assert report.passed == (CHECK,)
    assert most == CONCURRENT_REQUESTS
