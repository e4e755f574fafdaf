"""Tests that steps of traffic are drawn from their documented domain."""

from __future__ import annotations

from typing import Final

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import (
    CALLERS,
    NEXT_ACTION_LIFETIME,
    START,
    Traffic,
    traffic,
)
from curae_lifecycle.testing.strategies.connection import FACT_TEMPLATES
from curae_lifecycle.testing.strategies.traffic import SpecialStep, TrafficStep
from tests.support.drawing import drawn_examples
from tests.testing.strategies.drawing import HOUR
from tests.testing.strategies.playing import (
    BUCKETS,
    NOW,
    exchange_of,
    play,
    step,
)

ALL_STEPS: Final = {
    *OPERATIONS,
    *SpecialStep,
    *FACT_TEMPLATES,
    *(HandoffCompleted, Graduated, Tombstoned),
}


def check_steps(steps: list[TrafficStep]) -> None:
    """Check that the steps choose each caller, user, subject and key that is drawn."""
    assert {each.caller for each in steps} == {0, 1, 2}
    assert {each.user for each in steps} == {1, 2}
    assert {each.nth_newest for each in steps} == {0, 1, 2}
    assert {each.key for each in steps} == {0, 1, 2}


@pytest.mark.slow
def test_drawn_steps_have_over_20_kinds_and_over_20_times() -> None:
    lists = drawn_examples(traffic.traffic_steps(20), count=100)
    steps = [each for drawn in lists for each in drawn]
    check_steps(steps)
    assert {each.kind for each in steps} <= ALL_STEPS
    assert len({each.kind for each in steps}) > 20
    assert all(NOW <= each.offset <= 3 * HOUR for each in steps)
    assert len({each.offset for each in steps}) > 20


@pytest.mark.slow
def test_drawn_steps_include_initiate_then_graduation_of_a_user() -> None:
    lists = drawn_examples(traffic.traffic_steps(20), count=150)
    threes = [each for drawn in lists for each in zip(drawn, drawn[1:], drawn[2:], strict=False)]
    graduations = [
        three
        for three in threes
        if [each.kind for each in three] == [Initiate, StartGraduation, Graduated]
    ]
    assert len({graduated.key for *_, graduated in graduations}) > 1
    for initiate, handoff, graduated in graduations:
        assert attrs.evolve(graduated, kind=Initiate, key=0, nth_newest=0) == initiate
        assert attrs.evolve(initiate, kind=StartGraduation) == handoff


@pytest.mark.slow
def test_drawn_step_list_has_at_most_the_asked_length() -> None:
    lists = drawn_examples(traffic.traffic_steps(2), count=150)
    assert set(map(len, lists)) == {0, 1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("max_steps", [2, 3])
def test_longest_list_of_drawn_steps_begins_with_a_create(max_steps: int) -> None:
    create = TrafficStep(NOW, CreateConnection)
    lists = drawn_examples(traffic.traffic_steps(max_steps), count=150)
    longest = [each for each in lists if len(each) == max_steps]
    assert all(each[0] == create for each in longest)
    # Its other steps are drawn, and so are all steps of a shorter list.
    assert len({each[1].kind for each in longest}) > 3
    assert any(each[0] != create for each in lists if 0 < len(each) < max_steps)


@pytest.mark.slow
def test_list_limited_to_one_step_need_not_begin_with_a_create() -> None:
    lists = drawn_examples(traffic.traffic_steps(1))
    assert len({each[0].kind for each in lists if each}) > 3


@pytest.mark.slow
def test_traffic_runs_are_drawn_with_and_without_a_rate_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "play_traffic", lambda buckets, steps: (buckets, steps))
    drawn = drawn_examples(draw.traffic_runs(max_steps=2), count=100)
    buckets, lists = zip(*drawn, strict=True)
    assert set(buckets) == {(), BUCKETS}
    assert set(map(len, lists)) == {0, 1, 2}


def test_drawn_run_has_at_most_ten_steps_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def note(buckets: tuple[Bucket, ...], most: int) -> Traffic:
        asked.append(most)
        return Traffic(buckets, ())

    monkeypatch.setattr(traffic, "traffic_steps", st.just)
    monkeypatch.setattr(traffic, "play_traffic", note)
    assert len(drawn_examples(draw.traffic_runs())) == asked.count(10)
    assert len(drawn_examples(draw.traffic_runs(max_steps=3))) == asked.count(3)


@pytest.mark.slow
def test_drawn_exchange_is_the_last_step_after_up_to_5_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier = exchange_of(play(step(CreateConnection))[0])
    played: list[TrafficStep] = []
    asked = set[object]()

    def note(buckets: tuple[Bucket, ...], most: int, last: tuple[TrafficStep, ...]) -> Traffic:
        asked.add((buckets, most))
        played.extend(last)
        ending = attrs.evolve(earlier, now=START + last[0].offset)
        return Traffic(buckets, (earlier, earlier, ending))

    monkeypatch.setattr(traffic, "traffic_steps", st.just)
    monkeypatch.setattr(traffic, "play_traffic", note)
    exchanges = drawn_examples(draw.exchanges(), count=150)
    assert asked == {((), 5), (BUCKETS, 5)}
    check_steps(played)
    assert {each.kind for each in played} == {*OPERATIONS, *SpecialStep} - {SpecialStep.ACCESS}
    assert {each.offset for each in played} == {NOW, NEXT_ACTION_LIFETIME}
    assert {each.now for each in exchanges} == {START, START + NEXT_ACTION_LIFETIME}


def test_callers_are_two_apps_of_one_account() -> None:
    assert [secret for secret, _ in CALLERS] == ["cae_live_k1", "cae_live_k2", "cae_test_k1"]
    [first, second, third] = [caller for _, caller in CALLERS]
    made = traffic._caller("key-1", "app-1", Environment.LIVE)
    assert made == first
    assert made.scopes == {CONNECTION_WRITE}
    assert len({each.api_key_id for each in (first, second, third)}) == 3
    assert (first.app_id, first.environment) == ("app-1", Environment.LIVE)
    assert (second.app_id, second.environment) == ("app-2", Environment.LIVE)
    assert (third.app_id, third.environment) == ("app-1", Environment.TEST)
    assert len({each.customer_account_id for each in (first, second, third)}) == 1
