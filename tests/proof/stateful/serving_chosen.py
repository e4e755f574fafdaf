"""Drivers of the interleavings: Hypothesis, or a seeded random generator."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from random import Random
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from curae_lifecycle.rules.idempotency import LostLeaseAction
from curae_lifecycle.service.facts.fact import Fact
from tests.proof.stateful.running import CountedMachine
from tests.proof.stateful.serving import FACTS, KEYS, LEASE, PASSING, Luck, Out, Serving
from tests.support.server import CALLER
from tests.support.serving import LOST

NO_SCOPE: Final = frozenset[str]()
STORM: Final = (LOST,) * 4

keys = st.sampled_from([None, None, None, *KEYS])
outs = st.builds(
    Out,
    fails=st.sampled_from([False, False, True]),
    renews=st.booleans(),
    seconds=st.sampled_from([0, 1, LEASE + 2]),
    lost_lease=st.sampled_from(
        [LostLeaseAction.EXECUTE, LostLeaseAction.EXECUTE, LostLeaseAction.UNKNOWN]
    ),
)
lucks = st.builds(
    Luck,
    turns=st.integers(1, 12),
    faults=st.lists(st.sampled_from([None, *PASSING]), max_size=4).map(tuple) | st.just(STORM),
    load_fails=st.sampled_from([False, False, True]),
)
numbers = st.integers(0, 5)


class ServingMachine(CountedMachine):
    """A machine whose steps Hypothesis chooses and shrinks."""

    @initialize(key=st.sampled_from(KEYS))
    def begin(self, key: str) -> None:
        self.world = Serving(key)

    @rule(key=keys)
    def serve(self, key: str | None) -> None:
        self.world.serve(key)

    @rule(key=keys, out=outs)
    def call_out(self, key: str | None, out: Out) -> None:
        self.world.call_out(key, out)

    @rule(fact=st.sampled_from(FACTS))
    def record(self, fact: Fact) -> None:
        self.world.record(fact)

    @precondition(lambda self: self.world.runs)
    @rule(number=numbers, luck=lucks)
    def go_on(self, number: int, luck: Luck) -> None:
        self.world.go_on(number, luck)

    @precondition(lambda self: self.world.runs)
    @rule(number=numbers, dies=st.booleans())
    def end_badly(self, number: int, dies: bool) -> None:  # noqa: FBT001 - drawn
        (self.world.die if dies else self.world.cancel)(number)

    @precondition(lambda self: self.world.late)
    @rule()
    def arrive(self) -> None:
        self.world.arrive()

    @rule(seconds=st.sampled_from([1, LEASE + 2]))
    def pass_time(self, seconds: int) -> None:
        self.world.clock.pass_time(seconds)

    @rule(scopes=st.sampled_from([NO_SCOPE, CALLER.scopes]))
    def register_again(self, scopes: frozenset[str]) -> None:
        self.world.register_again(scopes)

    def teardown(self) -> None:
        with closing(self.world):
            self.world.end()
        self.seen.update(self.world.seen)
        super().teardown()


def play(seed: int, steps: int) -> Counter[str]:
    """Play a world chosen by a seed from start to end; count its situations."""
    chance = Random(seed)  # noqa: S311 - no secret
    world = Serving(chance.choice(KEYS))
    with closing(world):
        for _ in range(steps):
            _choose(world, chance)
        world.end()
    return world.seen


def _choose(world: Serving, chance: Random) -> None:
    often = chance.random()
    if not world.runs or often < 0.25:
        _begin(world, chance)
    elif often < 0.91:
        _go_on(world, chance)
    elif often < 0.93:
        world.register_again(chance.choice([NO_SCOPE, CALLER.scopes, CALLER.scopes]))
    elif often < 0.96:
        world.clock.pass_time(chance.choice([1, LEASE + 2]))
    elif world.late:
        world.arrive()


def _begin(world: Serving, chance: Random) -> None:
    key, often = chance.choice([None, None, None, *KEYS]), chance.random()
    if often < 0.3:
        world.serve(key)
    elif often < 0.4:
        world.record(chance.choice(FACTS))
    else:
        fails, renews = chance.random() < 0.3, chance.random() < 0.5
        seconds = chance.choice([0, 0, 1, LEASE + 2])
        lost_lease = chance.choice(
            [LostLeaseAction.EXECUTE, LostLeaseAction.EXECUTE, LostLeaseAction.UNKNOWN]
        )
        world.call_out(key, Out(fails=fails, renews=renews, seconds=seconds, lost_lease=lost_lease))


def _go_on(world: Serving, chance: Random) -> None:
    number, often = chance.randrange(6), chance.random()
    if often < 0.05:
        world.cancel(number)
    elif often < 0.1:
        world.die(number)
    else:
        faults = tuple(chance.choice([None, *PASSING]) for _ in range(chance.randrange(4)))
        storm = chance.random() < 0.1
        turns, load_fails = chance.randrange(1, 9), chance.random() < 0.2
        world.go_on(number, Luck(turns, STORM if storm else faults, load_fails))
