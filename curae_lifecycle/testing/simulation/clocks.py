"""The clocks of a world's workers, which disagree, and which are stepped and put right.

The law of this module: **a step moves all clocks by the same span**, so that two clocks are never
further apart than five minutes. A step is a minute, an hour or a year, ahead or back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules import values
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap

_WORKERS: Final = 4
_SPANS: Final = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=365))
TOLERANCE: Final = timedelta(microseconds=values.CLOCK_TOLERANCE)
"""The span by which the clocks of two workers, the server's processes, may disagree."""

STEPS: Final = tuple(sign * span for sign in (1, -1) for span in _SPANS)
"""The spans by which a step makes all workers' clocks wrong; a negative one puts them back."""

_RIGHT: Final = timedelta(0)


class Clocks:
    """The clocks of the workers, the server's processes, in a simulated world; they can be wrong.

    Args:
        dice: The source of all random decisions.

    Attributes:
        wrong_by: How far all clocks are wrong since `maybe_step` stepped them; negative if they are
            behind, zero if they are right.
    """

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._errors = [_RIGHT] * _WORKERS
        self.wrong_by = _RIGHT

    def shown(self, now: datetime) -> datetime:
        """Add `wrong_by`, the span by which all workers' clocks are wrong, to the right time.

        The span may be zero or negative. A single clock may be wrong by a further span, which is
        left out here.

        Args:
            now: The right time.
        """
        return now + self.wrong_by

    def earliest(self, now: datetime) -> datetime:
        """Return the right time, plus `wrong_by` if `wrong_by` is negative.

        `wrong_by` is the error that all workers' clocks have in common. The clock of a single
        worker may be a few minutes further behind. A caller that purges the store must therefore
        choose an earlier instant than the returned one.

        Args:
            now: The right time.
        """
        return now + min(self.wrong_by, _RIGHT)

    def draw_worker(self, now: datetime) -> datetime:
        """Draw one of the workers, the server's processes, and return what its clock shows.

        If a mishap of the clocks happens, that clock is first made wrong by another span.

        Args:
            now: The right time.
        """
        chance = self._dice.chance
        worker = chance.randrange(_WORKERS)
        if self._dice.strikes(Mishap.CLOCK_MOVED):
            self._errors[worker] = timedelta(milliseconds=chance.randint(-1500, 1500))
        if self._dice.strikes(Mishap.CLOCKS_APART):
            # Half of the tolerance, so that no two clocks are further apart than all of it.
            self._errors[worker] = chance.choice((-1, 1)) * TOLERANCE / 2
        return self.shown(now) + self._errors[worker]

    def maybe_step(self) -> bool:
        """Draw whether all clocks are stepped now; if so, set `wrong_by` to one of the `STEPS`.

        `wrong_by` is the span by which all clocks are wrong.

        Returns:
            Whether the clocks were stepped.
        """
        if not self._dice.strikes(Mishap.CLOCKS_STEPPED):
            return False
        self.wrong_by = self._dice.chance.choice(STEPS)
        return True

    def put_right(self) -> None:
        """Set `wrong_by`, the span by which all clocks are wrong, to zero.

        A single clock may still be wrong by a further span.
        """
        self.wrong_by = _RIGHT
