"""A world of the limit of one app user, with every order of instants.

The law of this module: **any half-open window admits at most the limit, and the stated wait is
exact** (law 10), also if clocks step back. A refused caller that waits is admitted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import FRESH_LOG, ExactLog, LogState
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.testing.laws import LawBrokenError, check_rate_limit, check_retry_after
from tests.proof.explore.clients import START
from tests.proof.explore.engine import Label, Line, StepBrokenError
from tests.proof.explore.scene import REGISTER, TICK, USER, post

WINDOW: Final = timedelta(seconds=60)
INSTANTS: Final = tuple(
    START + instant
    for instant in (
        timedelta(0),
        WINDOW / 2,
        WINDOW - TICK,
        WINDOW,
        WINDOW + TICK,
        WINDOW * 3 / 2,
        2 * WINDOW - TICK,
        2 * WINDOW,
        2 * WINDOW + TICK,
    )
)
"""Every instant of the clock: on either side of the ends of the windows."""


@attrs.frozen
class LimitState:
    """The state of the limiter, and the true admissions.

    Attributes:
        place: The time of the clock, as an index of `INSTANTS`.
        log: The state of the limit.
        admitted: The instants of admitted calls.
        served: Whether the caller was admitted since the clock last moved.
    """

    place: int
    log: LogState = FRESH_LOG
    admitted: tuple[datetime, ...] = ()
    served: bool = False


@attrs.frozen
class SmallLimit:
    """A limit of a few calls a minute, with clocks that advance and step back.

    Attributes:
        limit: The number of calls in a window.
    """

    limit: int = 2

    promise = "a caller that waits is admitted"

    def starts(self) -> Iterator[LimitState]:
        """Yield the state without calls."""
        yield LimitState(0)

    def settled(self, state: LimitState) -> bool:
        """Return whether the caller is admitted, or may have to wait beyond the last instant."""
        return state.served or INSTANTS[-1] - max(state.admitted, default=START) < WINDOW

    def steps(self, state: LimitState) -> Iterator[tuple[Label, bool, LimitState]]:
        """Yield a call, and a clock at every other instant; a step back is a fault."""
        label = ("client", "calls")
        try:
            after = self._called(state)
        except LawBrokenError as broken:
            raise StepBrokenError(label, broken) from broken
        yield label, False, after
        for place, instant in enumerate(INSTANTS):
            if place != state.place:
                moved = LimitState(place, state.log, state.admitted)
                yield ("clock", f"shows {format_time(instant)}"), place < state.place, moved

    def _called(self, state: LimitState) -> LimitState:
        policy = ExactLog("initiate", self.limit, 60)
        now = INSTANTS[state.place]
        answer = ratelimit.admit_one(policy, state.log, now)
        if isinstance(answer, int):

            def admits(instant: datetime) -> bool:
                return not isinstance(ratelimit.admit_one(policy, state.log, instant), int)

            check_retry_after(admits, now, timedelta(microseconds=answer))
            return LimitState(state.place, state.log, state.admitted)
        assert isinstance(answer, LogState)
        admitted = tuple(sorted((*state.admitted, now)))
        check_rate_limit(admitted, limit=self.limit, seconds=policy.seconds)
        return LimitState(state.place, answer, admitted, served=True)

    def run(
        self, states: Sequence[LimitState], last: Label | None
    ) -> Sequence[tuple[Label, Line | None]]:
        """Print every call as a request, unless the clock steps back, which a log cannot."""
        trace: list[tuple[Label, Line | None]] = [
            (("log", "opens"), {"at": format_time(INSTANTS[0]), **REGISTER})
        ]
        latest = calls = 0
        labels = [self._between(*pair) for pair in itertools.pairwise(states)]
        labels += [] if last is None else [last]
        for before, label in zip(states, labels, strict=False):
            latest = max(latest, before.place)
            line: Line | None = None
            if label[0] == "client":
                calls += 1
                at = format_time(INSTANTS[latest])
                line = {"at": at, **post("curae-connect/initiate", f"k-{calls}", _BODY)}
            trace.append((label, line))
        return trace

    def _between(self, before: LimitState, after: LimitState) -> Label:
        return next(label for label, _, to in self.steps(before) if to == after)


_BODY: Final[Line] = {"appUserId": USER}
