"""Tests of the steps of a database's clock: offsets of operations, and histories across a step."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.service.facts.tombstoned import Tombstoned
from tests.lab.crash.lived import USER, Lived
from tests.lab.crash.steps import Step, Steps

MINUTE: Final = 60_000_000
BACK: Final = Step(first=100, last=110, before=0, after=-MINUTE)
FORWARD: Final = Step(first=200, last=210, before=-MINUTE, after=0)


@pytest.mark.parametrize(
    ("span", "offsets", "forward"),
    [
        ((10, 99), (0, 0), 0),
        ((10, 100), (-MINUTE, 0), 0),
        ((105, 106), (-MINUTE, 0), 0),
        ((111, 199), (-MINUTE, -MINUTE), 0),
        ((111, 200), (-MINUTE, 0), MINUTE),
        ((10, 300), (-MINUTE, 0), MINUTE),
        ((211, 300), (0, 0), 0),
    ],
)
def test_clock_offset_range_covers_each_step_during_the_period(
    span: tuple[int, int], offsets: tuple[int, int], forward: int
) -> None:
    steps = Steps([BACK, FORWARD])
    assert steps.offsets(*span) == offsets
    assert steps.forward(*span) == forward


def test_unanswered_request_may_have_run_after_later_clock_step() -> None:
    lived = Lived()
    lived.create("k-1")
    steps = Steps([attrs.evolve(BACK, first=lived.moment, last=lived.moment + 1)])
    answered = lived.history[0]
    unanswered = attrs.evolve(answered, returned=None, answer=None)
    until = lived.moment + MINUTE
    assert [each.offsets for each in steps.applied([answered, unanswered], until)] == [
        (0, 0),
        (-MINUTE, 0),
    ]


@pytest.mark.parametrize(
    ("offsets", "is_explained"),
    [((0, 0), False), ((-MINUTE, -MINUTE), True), ((-MINUTE, 0), True), ((0, MINUTE), False)],
)
def test_history_checker_rejects_an_unrecorded_clock_step_back(
    offsets: tuple[int, int], *, is_explained: bool
) -> None:
    lived = Lived()
    lived.create("k-1")
    lived.create("k-2")
    later = lived.history[1]
    assert later.returned is not None
    # A client sent it a minute later than the database's clock says.
    lived.alter(
        1, invoked=later.invoked + MINUTE, returned=later.returned + MINUTE, offsets=offsets
    )
    assert lived.judged().is_explained is is_explained


def test_history_checker_accepts_tombstone_after_clock_step_back() -> None:
    lived = Lived()
    lived.initiate("k-1")
    lived.tell(Tombstoned(USER))
    lived.initiate("k-2")
    before = len(lived.history)
    lived.moment -= MINUTE
    lived.tell(Tombstoned(USER))
    # The era is that of the earlier tombstone, and the later one is told by its own instant.
    for number in range(before, len(lived.history)):
        each = lived.history[number]
        assert each.returned is not None
        lived.alter(
            number,
            invoked=each.invoked + MINUTE,
            returned=each.returned + MINUTE,
            offsets=(-MINUTE, -MINUTE),
        )
    assert lived.judged().is_explained


def test_history_checker_accepts_tombstone_done_twice_if_retried() -> None:
    lived = Lived()
    lived.create("k-1")
    first = len(lived.history)
    lived.tell(Tombstoned(USER))
    lived.create("k-2")
    lived.tell(Tombstoned(USER))
    # Its first attempt was committed in a failover, and the retry ended what came after it.
    tried = lived.history.pop(first)
    last = len(lived.history) - 1
    lived.alter(last, invoked=tried.invoked)
    assert lived.judged().is_explained is False
    lived.alter(last, is_doubtful=True)
    assert lived.judged().is_explained
