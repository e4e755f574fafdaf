"""Tests of a simulated server whose store charges buckets ahead of the commit."""

from __future__ import annotations

from typing import Final

import pytest

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.request_loop import split_charges
from curae_lifecycle.testing.simulation import WorldProfile, simulate
from curae_lifecycle.testing.simulation.mishaps import Mishap
from curae_lifecycle.testing.simulation.server import OpenRequest
from tests.support.charging import ChargesOnlyApart
from tests.support.server import request
from tests.support.strategies import START, pending
from tests.testing.simulation.bench import Bench, Store, ids

TWO: Final = Settings(buckets=(Bucket(name="two", capacity=2, refill=1, seconds=10**6),))


class Apart(Store):
    """A store that charges buckets ahead of the commit, and writes down its charges."""

    charges_apart = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.charged: list[tuple[RateWrite, ...]] = []

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        del durable
        self.charged.append(charges)
        return MemoryStore.commit(self, loaded, Changes(charges))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        assert not split_charges(changes)[0]
        return super().commit(loaded, changes, page)


def test_request_retried_after_a_conflict_is_charged_once() -> None:
    bench = Bench.of(pending(), settings=TWO, kind=Apart)
    assert isinstance(bench.store, Apart)
    opened = bench.load(request("revoke"))
    bench.store.refuses = True
    assert bench.server.commit(opened, ids(1)) is None
    (charge,) = opened.store.charges
    # The watch learns of the charge, which explains a later refusal.
    assert bench.watch.seen == [("commit", (charge,), START, None)]
    bench.store.refuses = False
    again = bench.server.load(opened.request, START, opened.store)
    assert isinstance(again, OpenRequest)
    answer = bench.server.commit(again, ids(1))
    assert answer is not None
    assert answer.response.status == 200
    assert bench.store.charged == [(charge,)]
    assert bench.handle(request("revoke", key="k-2")).response.status == 200
    assert bench.handle(request("revoke", key="k-3")).response.status == 429
    assert bench.server.conflicts == 1


def test_request_whose_bucket_charge_conflicts_gets_no_answer() -> None:
    bench = Bench.of(pending(), settings=TWO, kind=Apart)
    late = bench.load(request("get"))
    bench.handle(request("get"))
    seen = [*bench.watch.seen]
    assert bench.server.commit(late, ids(2)) is None
    assert (bench.server.conflicts, bench.watch.seen) == (1, seen)
    assert late.store.charges == ()


def test_retry_with_nothing_to_commit_is_not_charged_again() -> None:
    bench = Bench.of(pending(), settings=TWO, kind=Apart)
    assert isinstance(bench.store, Apart)
    opened = bench.load(request("revoke"))
    bench.store.refuses = True
    assert bench.server.commit(opened, ids(1)) is None
    bench.store.refuses = False
    again = bench.server.load(request("get"), START, opened.store)
    assert isinstance(again, OpenRequest)
    assert bench.server.commit(again, ids(1)) is not None
    # The empty charge makes the earlier one durable.
    assert bench.store.charged == [opened.store.charges, ()]


class ConflictsOnce(ChargesOnlyApart):
    """A store that refuses the first commit of each charged request."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.charges = 0
        self._was_charged = False

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        accepted = super().charge(loaded, charges, durable=durable)
        self._was_charged = accepted and charges != ()
        self.charges += self._was_charged
        assert self.charges < 1000, "a request starts over for ever"
        return accepted

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        was_charged, self._was_charged = self._was_charged, False
        return not was_charged and super().commit(loaded, changes, page)


@pytest.mark.parametrize("mishaps", [{}, {Mishap.EXTERNAL_CALL: 1.0}])
def test_simulation_with_conflicts_charges_no_request_twice(
    mishaps: dict[Mishap, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(name="platform", capacity=100, refill=50, seconds=1)
    settings = Settings(buckets=(bucket,))
    profile = WorldProfile(
        mishaps, requests_per_hour=60, users=3, days_of_a_user=1, settings=settings
    )
    monkeypatch.setattr(WorldProfile, "draw", lambda _: profile)
    made: list[ConflictsOnce] = []

    def make_store(settings: Settings) -> ConflictsOnce:
        made.append(ConflictsOnce(settings))
        return made[-1]

    summary = simulate(0, hours=3, make_store=make_store)
    assert summary.violation is None
    (store,) = made
    assert 10 < store.charges <= summary.requests
    assert summary.conflicts > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 4])
def test_store_that_charges_buckets_before_commit_breaks_no_law(seed: int) -> None:
    summary = simulate(seed, clients=2, hours=6, make_store=ChargesOnlyApart)
    assert summary.violation is None
    assert summary.conflicts > 10
