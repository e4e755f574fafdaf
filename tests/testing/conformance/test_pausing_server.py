"""Tests that a correct server which pauses for a moment passes every check."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance import CHECKS, Request, Response, model
from curae_lifecycle.testing.conformance.all_checks import select_checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.results import Failure
from curae_lifecycle.testing.conformance.runner import run_check
from curae_lifecycle.testing.conformance.server import HOOKS
from tests.support.kit import Reference

MOST = timedelta(seconds=4.9)
"""The longest pause of a server; the checks tolerate five seconds."""

SHORT = ("limit.refusals-are-free", "limit.retry-after", "bucket.refusals-drain-no-other")
"""The checks that measure short times between two answers."""

MODEL = "model.side-by-side"

IN_ORDER = [
    each for each in CHECKS if not (each.name.startswith("race.") or "at-once" in each.name)
]
"""The checks that send requests one at a time, so that a test can pause the server at each."""


class StandingStill(Reference):
    """A server whose clock jumps ahead before one of its requests."""

    def __init__(self, at: int, span: timedelta) -> None:
        super().__init__()
        self.until = at
        self.span = span

    def tick(self) -> None:
        super().tick()
        self.until -= 1
        if self.until == 0:
            self.now += self.span


def accused(check: Check, span: timedelta) -> list[str]:
    """Return the failures of a check with the pause at each request in turn."""
    said: list[str] = []
    for at in count(1):
        server = StandingStill(at, span)
        result = run_check(
            server.server(), check=check, seed="1", operations=OPERATIONS, timeout=None
        )
        if isinstance(result, Failure):
            said.append(f"{at}: {result.message}")
        if server.until > 0:
            break
    return said


@pytest.mark.slow
@pytest.mark.parametrize("span", [timedelta(seconds=2), MOST])
@pytest.mark.parametrize("name", SHORT)
def test_server_paused_once_passes_the_time_dependent_checks(name: str, span: timedelta) -> None:
    (check,) = select_checks([name])
    assert accused(check, span) == []


@pytest.mark.parametrize("seconds", [38, 39])
def test_kit_check_passes_with_a_retry_after_of_1_or_2_seconds(seconds: int) -> None:
    # The server pauses before the second initiate, so the eleventh gets a `Retry-After` of 2 s or 1 s.
    server = StandingStill(2, timedelta(seconds=seconds))
    (check,) = select_checks(["limit.retry-after"])
    result = run_check(server.server(), check=check, seed="1", operations=OPERATIONS, timeout=None)
    assert result is None


class Hasty(Reference):
    """A server that forgets a rate limit as soon as it has refused."""

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if answer.status == 429:
            self.world._rates.clear()
        return answer


def test_kit_fails_a_server_that_admits_before_retry_after() -> None:
    (check,) = select_checks(["limit.retry-after"])
    result = run_check(Hasty().server(), check=check, seed="1", operations=OPERATIONS, timeout=None)
    assert isinstance(result, Failure)
    assert "an eleventh initiate was admitted 0:00:58" in result.message


@pytest.mark.heavy
@pytest.mark.parametrize(
    "check",
    [each for each in IN_ORDER if each.name != MODEL],
    ids=[each.name for each in IN_ORDER if each.name != MODEL],
)
def test_server_paused_at_any_request_passes_every_kit_check(check: Check) -> None:
    assert accused(check, MOST) == []


@pytest.mark.heavy
@pytest.mark.parametrize("number", range(model.ROUNDS))
def test_server_paused_at_any_request_passes_the_model_check(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each run makes new apps, so that a pause in one does not matter to the others.
    steps = model.draw_steps(f"1 {number}", frozenset(HOOKS))
    monkeypatch.setattr(model, "ROUNDS", 1)
    monkeypatch.setattr(model, "draw_steps", lambda _seed, _hooks: steps)
    (check,) = select_checks([MODEL])
    assert accused(check, MOST) == []
