"""Tests of a guard's slots: bounds for each name, the order of waiting, cancelled waits."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.servers.slots import ALONE_AFTER, Names, Slots
from tests.servers.asgi import run

A, B, C, ROW = b"a", b"b", b"c", b"row"


async def taken(slots: Slots, *requests: Names) -> list[int]:
    """Ask for a slot for each request in turn; return the numbers of those that got one."""
    tasks = [asyncio.create_task(slots.take(names)) for names in requests]
    await asyncio.sleep(0)
    got = [number for number, task in enumerate(tasks) if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got


@pytest.mark.parametrize(
    ("requests", "got"),
    [
        ([(A,)] * 4, [0, 1]),
        ([(A,), (A,), (A,), (B,)], [0, 1, 3]),
        ([(A, ROW), (B, ROW), (C, ROW), (C,)], [0, 1, 3]),
        ([(), (), (A,), (B,)], [0, 2, 3]),
        ([(A,), (B,), (C,), ()], [0, 1, 2]),
    ],
)
def test_slots_per_api_key_and_per_connection_id_are_limited(
    requests: list[Names], got: list[int]
) -> None:
    async def scenario() -> None:
        assert await taken(Slots(3, max_per_name=2, max_alone=2, max_nameless=1), *requests) == got

    run(scenario())


def test_slot_freed_by_a_request_without_key_is_available_again() -> None:
    slots = Slots(4, max_per_name=2, max_alone=2, max_nameless=1)
    for _ in range(3):
        assert slots.take_free(())
        assert not slots.take_free(())
        slots.give_back(())
    assert slots.take_free((A,))
    slots.give_back((A,))
    # A slot with a name gives none back to those without.
    assert slots.take_free(())
    assert not slots.take_free(())


async def served_in_order(slots: Slots, holding: list[Names], waiting: list[Names]) -> list[Names]:
    """Fill the slots, let requests wait, and give slots back in turn; return who was next."""
    for names in holding:
        await slots.take(names)
    order: list[Names] = []

    async def wait(names: Names) -> None:
        await slots.take(names)
        order.append(names)

    tasks = [asyncio.create_task(wait(names)) for names in waiting]
    await asyncio.sleep(0)
    held = list(holding)
    while len(order) < len(waiting):
        slots.give_back(held.pop(0))
        before = len(order)
        await asyncio.sleep(0)
        held += order[before:]
    await asyncio.gather(*tasks)
    return order


@pytest.mark.parametrize(
    ("holding", "waiting", "order"),
    [
        # In the order of arrival, if all hold as many.
        ([(A,)], [(B,), (C,), (B,)], [(B,), (C,), (B,)]),
        # Those of a key at its bound wait while others pass.
        ([(A,), (A,), (B,)], [(C,), (A,), (B,), (A,)], [(C,), (A,), (B,), (A,)]),
        ([(B,), (A,), (A,)], [(A,), (A,), (C,), (B,)], [(C,), (A,), (A,), (B,)]),
        ([(A,), (B, ROW), (B, ROW)], [(C, ROW), (C,)], [(C,), (C, ROW)]),
        # What has no name is next.
        ([(A,), (A,)], [(A,), (B,), ()], [(), (A,), (B,)]),
    ],
)
def test_request_at_its_api_key_limit_is_overtaken_by_later_ones(
    holding: list[Names], waiting: list[Names], order: list[Names]
) -> None:
    async def scenario() -> None:
        slots = Slots(len(holding), max_per_name=2, max_alone=2, max_nameless=1)
        assert await served_in_order(slots, holding, waiting) == order

    run(scenario())


def test_freed_slot_admits_waiters_of_api_key_and_connection_id() -> None:
    async def scenario() -> None:
        slots = Slots(4, max_per_name=1, max_alone=1, max_nameless=1)
        await slots.take((A, ROW))
        tasks = [asyncio.create_task(slots.take(names)) for names in [(A,), (ROW,)]]
        await asyncio.sleep(0)
        slots.give_back((A, ROW))
        _, left = await asyncio.wait(tasks, timeout=10)
        assert not left

    run(scenario())


def test_api_key_at_its_limit_gets_one_slot_for_each_it_frees() -> None:
    async def scenario() -> None:
        slots = Slots(4, max_per_name=2, max_alone=2, max_nameless=1)
        for _ in range(2):
            await slots.take((A,))
        slots.give_back((A,))
        assert await taken(slots, (A,), (A,)) == [0]

    run(scenario())


def test_cancelled_wait_for_a_slot_leaves_no_waiter() -> None:
    async def scenario() -> None:
        slots = Slots(1, max_per_name=1, max_alone=1, max_nameless=1)
        await slots.take((A,))
        assert await taken(slots, (B,), (B,), ()) == []
        assert slots._lines == {}

    run(scenario())


@pytest.mark.parametrize("is_given", [False, True])
def test_cancelled_wait_for_a_slot_does_not_take_it(is_given: bool) -> None:  # noqa: FBT001 - drawn
    async def scenario() -> None:
        slots = Slots(1, max_per_name=1, max_alone=1, max_nameless=1)
        await slots.take((A,))
        first, second = (asyncio.create_task(slots.take((name,))) for name in (B, C))
        await asyncio.sleep(0)
        if is_given:
            slots.give_back((A,))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        if not is_given:
            slots.give_back((A,))
        await second
        slots.give_back((C,))
        assert slots.is_free((A,))
        assert await taken(slots, (A,), (B,)) == [0]

    run(scenario())


def test_slot_freed_after_a_cancelled_wait_goes_to_next_request() -> None:
    async def scenario() -> None:
        slots = Slots(1, max_per_name=1, max_alone=1, max_nameless=1)
        await slots.take((A,))
        first, second = (asyncio.create_task(slots.take((name,))) for name in (B, C))
        await asyncio.sleep(0)
        first.cancel()
        slots.give_back((A,))
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        slots.give_back((C,))
        assert slots.is_free((B,))

    run(scenario())


async def pass_through(slots: Slots, *requests: Names) -> None:
    """Take a slot for each request in turn, and give it back."""
    for names in requests:
        await slots.take(names)
        slots.give_back(names)


@pytest.mark.parametrize(
    ("before", "asked", "most"),
    [
        # The first two of those that are asked for count too.
        ([(A,)] * (ALONE_AFTER - 3), (A,), 2),
        ([(A,)] * (ALONE_AFTER - 2), (A,), 4),
        ([(A,)] * ALONE_AFTER + [(B,)], (A,), 2),
        ([(A,)] * ALONE_AFTER + [(B,)], (B,), 2),
        ([(A,)] * ALONE_AFTER + [()], (A,), 4),
        # Several keys at one row: the row is alone, the keys are not.
        ([(A, ROW), (B, ROW)] * (ALONE_AFTER // 2), (C, ROW), 4),
        ([(A, ROW), (B, ROW)] * (ALONE_AFTER // 2), (A,), 2),
        ([(A, ROW)] * ALONE_AFTER + [(A,)], (A,), 4),
        ([(A, ROW)] * ALONE_AFTER + [(A,)], (ROW,), 2),
    ],
)
def test_api_key_or_id_in_all_last_100_requests_gets_more_slots(
    before: list[Names], asked: Names, most: int
) -> None:
    async def scenario() -> None:
        slots = Slots(5, max_per_name=2, max_alone=4, max_nameless=1)
        await pass_through(slots, *before)
        keys = [
            tuple(b"%d" % number if name == C else name for name in asked) for number in range(6)
        ]
        assert await taken(slots, *keys) == list(range(most))

    run(scenario())


def test_last_slot_stays_free_for_a_second_api_key() -> None:
    async def scenario() -> None:
        slots = Slots(5, max_per_name=2, max_alone=4, max_nameless=1)
        await pass_through(slots, *[(A,)] * ALONE_AFTER)
        for _ in range(4):
            assert slots.take_free((A,))
        assert slots.take_free((B,))
        # From then on the lower bound holds.
        waiting = asyncio.create_task(slots.take((A,)))
        for _ in range(2):
            slots.give_back((A,))
            await asyncio.sleep(0)
            assert not waiting.done()
        slots.give_back((A,))
        await waiting

    run(scenario())


def test_repr_of_slots_hides_the_api_keys_that_hold_them() -> None:
    async def scenario() -> None:
        slots = Slots(1, max_per_name=1, max_alone=1, max_nameless=1)
        await slots.take((b"secret",))
        assert "secret" not in repr(slots)

    run(scenario())


moves = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from([(), (A,), (B,), (A, ROW), (B, ROW)])),
        st.tuples(st.just("give back"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
    ),
    max_size=40,
)


@given(moves, st.integers(1, 4), st.integers(1, 4))
def test_request_waits_only_if_no_slot_is_free_or_at_its_limit(
    moved: list[tuple[str, Names] | tuple[str, int]], size: int, bound: int
) -> None:
    async def scenario() -> None:
        slots = Slots(size, max_per_name=bound, max_alone=bound, max_nameless=1)
        held: list[Names] = []
        waiting: list[tuple[Names, asyncio.Task[None]]] = []
        for move, given_ in moved:
            if isinstance(given_, tuple):
                waiting.append((given_, asyncio.create_task(slots.take(given_))))
            elif move == "give back" and held:
                slots.give_back(held.pop(given_ % len(held)))
            elif move == "leave" and waiting:
                _, task = waiting.pop(given_ % len(waiting))
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0)
            held += [names for names, task in waiting if task.done()]
            waiting = [(names, task) for names, task in waiting if not task.done()]
            counts = Counter(name for names in held for name in names)
            assert len(held) <= size
            assert all(count <= bound for count in counts.values())
            assert held.count(()) <= 1
            for names, _ in waiting:
                is_bound = any(counts[name] == bound for name in names)
                assert len(held) == size or is_bound or (not names and () in held)
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)

    run(scenario())
