"""Tests that each run of traffic ends with the steps that make the value to draw."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, get_args

import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.effects import AccessEnded, Effect, NextActionReplaced
from curae_lifecycle.service.events import Event
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.operation import NotModified, ProblemReply, Replayed
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.rate_keys import RateKey
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import Exchange, RecordedFact, from_traffic, traffic
from curae_lifecycle.testing.strategies.traffic import TrafficStep
from tests.support.drawing import drawn_examples

MOST_DRAWN: Final = 4
"""The largest number of drawn steps before the final ones."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", draw.FINAL_STEPS, ids=lambda kind: kind.__name__)
def test_value_drawn_from_traffic_has_the_requested_type(kind: type[object]) -> None:
    for each in drawn_examples(draw.values_from_traffic(kind), count=3):
        assert isinstance(each, kind)


@pytest.mark.slow
def test_final_step_has_a_user_and_key_that_no_drawn_step_has() -> None:
    made = from_traffic._step(CreateConnection)
    assert made == TrafficStep(timedelta(0), CreateConnection, nth_newest=0, key=0, user=3)
    assert draw.FINAL_STEPS[ConnectionWrite] == (made,)
    later = from_traffic._step(Reconnect, 31, nth_newest=1)
    assert later == TrafficStep(timedelta(minutes=31), Reconnect, nth_newest=1, user=3)
    assert draw.FINAL_STEPS[NextActionReplaced][-1] == later
    again = from_traffic._step(CreateConnection, key=3)
    assert draw.FINAL_STEPS[Replayed] == (again, again)
    drawn = [step for steps in drawn_examples(traffic.traffic_steps(2)) for step in steps]
    assert drawn
    assert not any(each.user == made.user or each.key == again.key for each in drawn)


@pytest.mark.slow
def test_traffic_ends_with_given_steps_after_a_few_drawn_steps() -> None:
    steps = draw.FINAL_STEPS[AccessEnded]
    runs = drawn_examples(from_traffic._runs_ending_with(steps), count=40)
    drawn_lengths = set[int]()
    for run in runs:
        created, authorized, revoked = run.interactions[-len(steps) :]
        assert isinstance(created, Exchange)
        assert isinstance(created.call.operation, CreateConnection)
        assert isinstance(authorized, RecordedFact)
        assert isinstance(authorized.fact, Authorized)
        assert isinstance(revoked, Exchange)
        assert isinstance(revoked.call.operation, Revoke)
        assert created.now == revoked.now
        drawn_lengths.add(len(run.interactions) - len(steps))
        # No bucket refuses a final step.
        [bucket] = run.buckets
        assert bucket.name == "platform"
        assert bucket.capacity > MOST_DRAWN + len(steps)
    assert (min(drawn_lengths), max(drawn_lengths)) == (0, MOST_DRAWN)


def test_search_in_traffic_returns_the_last_value_of_a_class() -> None:
    [run] = drawn_examples(
        from_traffic._runs_ending_with(draw.FINAL_STEPS[NextActionReplaced]), count=1
    )
    *_, create, _, last = run.exchanges
    assert from_traffic._find_last(run.interactions, Exchange) is last
    assert from_traffic._find_last((create, last, ()), CreateConnection) == create.call.operation
    assert from_traffic._find_last(((1, 2), ("a", (3,))), int) == 3


def test_drawn_recorded_fact_authorizes_a_connection() -> None:
    for each in drawn_examples(draw.done_facts(), count=10):
        assert isinstance(each, Done)
        [write] = (w for w in each.value.writes if isinstance(w, ConnectionWrite))
        assert write.after.authorized_at is not None
        assert each.rules


def test_drawn_ignored_fact_repeats_an_authorization() -> None:
    for each in drawn_examples(draw.ignored_facts(), count=10):
        assert isinstance(each, Ignored)
        assert each.value == NO_CHANGES
        assert "connection.authorize.active" in each.rules


@pytest.mark.parametrize(
    ("union", "kinds"),
    [
        (
            draw.replies,
            {*(each.reply for each in OPERATIONS), ProblemReply, NotModified, Replayed},
        ),
        (draw.writes, {*get_args(Write)}),
        (draw.effects, {*get_args(Effect)}),
        (draw.rate_keys, {*get_args(RateKey)}),
        (draw.outbox_events, {Event}),
    ],
)
def test_every_type_of_reply_write_effect_and_rate_key_is_drawn(
    union: Callable[[], st.SearchStrategy[object]],
    kinds: set[type[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Draws the classes, in place of values of them.
    monkeypatch.setattr(from_traffic, "values_from_traffic", st.just)
    assert {*drawn_examples(union(), count=60)} == kinds
