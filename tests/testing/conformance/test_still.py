"""A right server that stands still for a moment, as a machine does that has no time, is not accused."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance import CHECKS, Request, Response
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.results import Failure
from curae_lifecycle.testing.conformance.runner import run_check, select_checks
from tests.support.kit import Reference

MOST = timedelta(seconds=4.9)
"""The longest that a server may stand still; what a check must not cross is five seconds away."""

SHORT = ("limit.refusals-are-free", "limit.retry-after", "bucket.refusals-drain-no-other")
"""The checks that count on the time between two answers, where it is short."""

IN_ORDER = [
    each for each in CHECKS if not (each.name.startswith("race.") or "at-once" in each.name)
]
"""Those that send one request after the other: a test can give the one at which a server stands."""


class StandingStill(Reference):
    """A server whose clock goes on for a while before it does one of the things that it is to do."""

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
    """What a check says of a server that stands still, wherever it does."""
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


@pytest.mark.parametrize("span", [timedelta(seconds=2), MOST])
@pytest.mark.parametrize("name", SHORT)
def test_nobody_is_accused_where_time_is_short(name: str, span: timedelta) -> None:
    (check,) = select_checks([name])
    assert accused(check, span) == []


class Hasty(Reference):
    """A server that forgets at once whom it has just refused."""

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if answer.status == 429:
            self.world._rates.clear()
        return answer


def test_who_admits_somebody_too_early_did_not_stand_still() -> None:
    (check,) = select_checks(["limit.retry-after"])
    result = run_check(Hasty().server(), check=check, seed="1", operations=OPERATIONS, timeout=None)
    assert isinstance(result, Failure)
    assert "an eleventh initiate was admitted 0:00:58" in result.message


@pytest.mark.heavy
@pytest.mark.parametrize("check", IN_ORDER, ids=[check.name for check in IN_ORDER])
def test_nobody_is_accused_wherever_it_stands_still(check: Check) -> None:
    assert accused(check, MOST) == []
