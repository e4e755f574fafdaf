"""Tests of outbox workers that race, stall, fail and are killed, against a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, cast

import attrs
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from curae_lifecycle.stores.outbox import AnyDelivery, Delivery
from curae_lifecycle.stores.sql import outbox_statements
from curae_lifecycle.stores.sql.outbox_worker import _Worker
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from tests.proof.stateful.outbox import Shipped


def run(examples: int, *phases: Phase) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=40,
        database=None,
        # Until a planted mistake is found, random runs differ in time by a hundred times.
        derandomize=settings().derandomize or Phase.shrink not in phases,
        phases=phases,
        print_blob=False,
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(Shipped, settings=chosen)


@pytest.mark.slow
def test_killed_outbox_workers_lose_and_reorder_no_message() -> None:
    run(settings().max_examples, Phase.generate, Phase.shrink)


# --- Mistakes that it finds --------------------------------------------------------------------


class Made(Protocol):
    def __call__(self, *args: object, **named: object) -> Statement: ...


def changed(patched: pytest.MonkeyPatch, name: str, part: str, instead: str) -> None:
    """Replace a part of a statement of the outbox."""
    made: Made = getattr(outbox_statements, name)

    def wrong(*args: object, **named: object) -> Statement:
        statement = made(*args, **named)
        assert part in statement.text
        return statement._replace(text=statement.text.replace(part, instead))

    patched.setattr(outbox_statements, name, wrong)


def without_order(patched: pytest.MonkeyPatch) -> None:
    changed(patched, name="due_statement", part="earlier.id < later.id", instead="earlier.id < 0")


def ending_access_too_soon(patched: pytest.MonkeyPatch) -> None:
    # An ended access overtakes the earlier messages of its subject.
    head = "head.id, head.due_at, head.attempts, head.claim, head.subject"
    ended = head.replace("head.", "ended.")
    changed(patched, name="due_statement", part=head, instead=ended)


def behind_the_dead(patched: pytest.MonkeyPatch) -> None:
    changed(patched, name="due_statement", part="AND earlier.due_at IS NOT NULL", instead="")


def without_comparing(patched: pytest.MonkeyPatch) -> None:
    part, instead = ") AND due_at + 0 IS NOT NULL AND (", " OR due_at > -1) AND (1 = 1 OR "
    changed(patched, name="claim_statement", part=part, instead=instead)


def without_tokens(patched: pytest.MonkeyPatch) -> None:
    part, instead = "(claim IS NULL", "(1 = 1 OR claim IS NULL"
    changed(patched, name="claim_statement", part=part, instead=instead)


def believing(patched: pytest.MonkeyPatch) -> None:
    # A wait by a clock that was put back goes on.
    changed(patched, name="due_statement", part="waits_from >", instead="0 >")


def without_counting(patched: pytest.MonkeyPatch) -> None:
    changed(patched, name="claim_statement", part="attempts = attempts + 1, ", instead="")


def with_a_cursor(patched: pytest.MonkeyPatch) -> None:
    past = [0]
    due, deliveries, init = (
        outbox_statements.due_statement,
        outbox_statements.deliveries,
        Shipped.__init__,
    )

    def begun(machine: Shipped) -> None:
        past[0] = 0
        init(machine)

    def after(dialect: Dialect, limit: int) -> Statement:
        statement = due(dialect, limit)
        text = statement.text.replace("WHERE", f"WHERE later.id > {past[0]} AND", 1)
        return statement._replace(text=text)

    def noted(rows: Iterable[Sequence[object]]) -> tuple[AnyDelivery, ...]:
        found = deliveries(rows)
        past[0] = max([past[0], *[each.number for each in found]])
        return found

    patched.setattr(Shipped, "__init__", begun)
    patched.setattr(outbox_statements, "due_statement", after)
    patched.setattr(outbox_statements, "deliveries", noted)


def dropped_first(patched: pytest.MonkeyPatch) -> None:
    async def wrong(worker: _Worker, delivery: Delivery, claim: str) -> None:
        if await worker._change(
            *outbox_statements.delivered_statements(Dialect.SQLITE, delivery, claim)
        ):
            with suppress(ValueError):
                await worker.handle(delivery)

    patched.setattr(_Worker, "_try", wrong)


def dropped_where_it_failed(patched: pytest.MonkeyPatch) -> None:
    def wrong(_: _Worker, delivery: Delivery, claim: str, __: Exception) -> list[Statement]:
        return outbox_statements.delivered_statements(Dialect.SQLITE, delivery, claim)

    patched.setattr(_Worker, "_failed", wrong)


def beyond_the_lease(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(_Worker, "_has_time", lambda *_: True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake",
    [
        without_order,
        ending_access_too_soon,
        behind_the_dead,
        without_comparing,
        believing,
        without_counting,
        with_a_cursor,
        dropped_first,
        dropped_where_it_failed,
    ],
)
def test_stateful_model_detects_a_broken_outbox_worker(
    mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        run(10_000, Phase.generate)


@attrs.frozen
class Chosen:
    """A data object that always draws one value."""

    value: object

    def draw(self, _: st.SearchStrategy[object]) -> object:
        return self.value


def test_revived_message_is_shipped() -> None:
    machine = Shipped()
    try:
        machine.post(["one"])
        for _ in range(4):
            machine.go_on(0, 30, "fails")
            machine.pass_time(61.0)
        (number,) = machine.dead()
        machine.revive(cast("st.DataObject", Chosen(number)))
        machine.go_on_until_it_ships(0, "ships")
        machine.go_on(0, 30, "ships")
        assert machine.shipped[number] == 1
    finally:
        machine.teardown()


def test_second_worker_ships_a_message_after_the_first_failed() -> None:
    machine = Shipped()
    try:
        machine.post(["one"])
        machine.go_on_until_it_ships(0, "fails")
        while not machine.processes[0].noted:
            machine.go_on(0, 1, "fails")
        assert machine.processes[0].current == 1
        machine.pass_time(5.0)
        machine.go_on_until_it_ships(1, "ships")
        assert machine.processes[1].current == 1
    finally:
        machine.teardown()


def give_back() -> None:
    """Let a worker that stalled beyond its lease release messages that another took over."""
    machine = Shipped()
    try:
        machine.post(["one", "two"])
        machine.go_on_until_it_ships(0, "ships")
        machine.pass_time(61.0)
        machine.go_on_until_it_ships(1, "ships")
        machine.go_on_until_it_ships(1, "ships")
        machine.go_on(0, 30, "ships")
        machine.go_on_until_it_ships(2, "ships")
    finally:
        machine.teardown()


def claim_late() -> None:
    """Let a worker claim a message that it read before two others were killed at it."""
    machine = Shipped()
    try:
        machine.post(["one"])
        machine.go_on(0, 2, "ships")
        for other in (1, 2):
            machine.go_on_until_it_ships(other, "ships")
            machine.go_on_and_die(other, 1, "ships")
            machine.step_the_clock(3600.0)
        machine.go_on_until_it_ships(0, "ships")
    finally:
        machine.teardown()


def without_releasing(patched: pytest.MonkeyPatch) -> None:
    changed(patched, name="release_claim_statement", part="claim = ?", instead="? <> ''")


# Random runs find the last two mistakes only after thousands of examples.
@pytest.mark.parametrize(
    ("schedule", "mistake", "said"),
    [
        (give_back, without_releasing, "two ship one message"),
        (give_back, beyond_the_lease, "two ship one message"),
        (claim_late, without_tokens, "attempt 3"),
    ],
)
def test_fixed_outbox_schedule_fails_only_with_a_planted_bug(
    schedule: Callable[[], None],
    mistake: Callable[[pytest.MonkeyPatch], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule()
    mistake(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        schedule()
