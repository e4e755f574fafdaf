"""The limit of one app user, small enough to try every order of instants.

The law of this module: **in any half-open window at most the limit is admitted, and the wait that
is named is exact** (law 10), also where clocks step back. A refused caller that waits is admitted.
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
"""Every instant that a clock can show: on either side of the ends of the windows."""


@attrs.frozen
class LimitState:
    """What the limiter keeps, and what really happened.

    Attributes:
        place: What the clock says, among `INSTANTS`.
        log: The state of the limit.
        admitted: When calls were admitted.
        served: Whether the caller was admitted since the clock last moved.
    """

    place: int
    log: LogState = FRESH_LOG
    admitted: tuple[datetime, ...] = ()
    served: bool = False


@attrs.frozen
class SmallLimit:
    """A limit of a few calls a minute, and clocks that go on and step back.

    Attributes:
        limit: How many calls a window may hold.
    """

    limit: int = 2

    promise = "a caller that waits is admitted"

    def starts(self) -> Iterator[LimitState]:
        """Nobody has called."""
        yield LimitState(0)

    def settled(self, state: LimitState) -> bool:
        """Whether the caller is admitted, or may have to wait for longer than the clock goes on."""
        return state.served or INSTANTS[-1] - max(state.admitted, default=START) < WINDOW

    def steps(self, state: LimitState) -> Iterator[tuple[Label, bool, LimitState]]:
        """A call, or a clock that shows any other instant; one that steps back is a fault."""
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
        """Every call as a request, as long as the clock does not step back: a log's cannot."""
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
