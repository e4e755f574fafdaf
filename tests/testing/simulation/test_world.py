"""Tests of a simulated world as a whole: its hours, its store, its violation and its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Never

import pytest

from curae_lifecycle.rules.connection import ConnectionIdentity
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, Environment
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing import simulation
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulation import MAX_CLIENTS, MAX_HOURS, START, simulate, world
from curae_lifecycle.testing.simulation.hosted_pages import FactSource
from curae_lifecycle.testing.simulation.mishaps import Mishap, WorldProfile
from curae_lifecycle.testing.simulation.outbox import SimulatedOutbox
from curae_lifecycle.testing.simulation.server import FactTransaction, SimulatedServer
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from curae_lifecycle.testing.simulation.world import Simulation
from curae_lifecycle.testing.watch import Watch
from tests.support.wrong_stores import Forgetful


def settings_of(seed: int) -> Settings:
    """Return the settings that a seed draws."""
    return WorldProfile.draw(Random(seed)).settings  # noqa: S311 - a world's dice, no secret


def draw_profile(
    monkeypatch: pytest.MonkeyPatch, rates: dict[Mishap, float], *, requests_per_hour: int
) -> None:
    """Let every seed draw one profile."""
    profile = WorldProfile(
        rates=rates,
        requests_per_hour=requests_per_hour,
        users=3,
        days_of_a_user=1,
        settings=DEFAULT_SETTINGS,
    )
    monkeypatch.setattr(WorldProfile, "draw", lambda _: profile)


def test_simulation_run_yields_each_hour_number_when_it_ends() -> None:
    simulation = Simulation(7, hours=3, make_store=MemoryStore)
    seen = [(hour, simulation.summary.hours) for hour in simulation.run()]
    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert (simulation.summary.seed, simulation.summary.clients) == (7, 1)


def test_simulation_has_one_client_and_24_hours_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_profile(monkeypatch, {}, requests_per_hour=1)
    simulation = Simulation(7, make_store=MemoryStore)
    assert simulation.summary.clients == 1
    assert len([*simulation.run()]) == 24


def test_clock_step_due_when_the_simulation_ends_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw_profile(monkeypatch, {Mishap.CLOCKS_STEPPED: 1.0}, requests_per_hour=1)
    # The clocks are stepped every ten minutes.
    assert simulate(7, hours=1).mishaps[str(Mishap.CLOCKS_STEPPED)] == 5
    assert simulate(7, hours=2).mishaps[str(Mishap.CLOCKS_STEPPED)] == 11


@pytest.mark.parametrize(("hour", "busy"), [(5, False), (6, True), (21, True), (22, False)])
def test_apps_send_more_requests_from_6_am_to_10_pm(
    hour: int, *, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_profile(monkeypatch, {}, requests_per_hour=60)
    monkeypatch.setattr(world, "START", START + timedelta(hours=hour))
    requests = simulate(7, hours=1).requests
    assert (35 < requests < 70) if busy else (5 < requests < 25)


@pytest.mark.parametrize("seed", range(6))
def test_simulation_makes_one_store_with_the_settings_of_a_seed(seed: int) -> None:
    made: list[Settings] = []

    def make_store(settings: Settings) -> MemoryStore:
        made.append(settings)
        return MemoryStore(settings)

    Simulation(seed, make_store=make_store)
    assert made == [settings_of(seed)]


def test_simulation_of_the_most_clients_and_hours_is_created() -> None:
    simulation = Simulation(1, clients=MAX_CLIENTS, hours=MAX_HOURS, make_store=MemoryStore)
    assert simulation.summary.clients == MAX_CLIENTS


TOLERANCE = timedelta(microseconds=CLOCK_TOLERANCE)
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("ahead", "recorded"), [(TOLERANCE, TOLERANCE), (TOLERANCE + MICROSECOND, timedelta(0))]
)
def test_fact_dated_beyond_clock_tolerance_is_recorded_as_now(
    ahead: timedelta, recorded: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[timedelta] = []
    load_fact = SimulatedServer.load_fact

    def authorization(
        _: FactSource, identity: ConnectionIdentity, now: datetime, __: str | None
    ) -> Authorized:
        return Authorized(identity.id, happened_at=now + ahead)

    def load(server: SimulatedServer, fact: Fact, now: datetime) -> FactTransaction:
        if isinstance(fact, Authorized) and fact.happened_at is not None:
            found.append(fact.happened_at - now)
        return load_fact(server, fact, now)

    monkeypatch.setattr(FactSource, "authorization", authorization)
    monkeypatch.setattr(SimulatedServer, "load_fact", load)
    draw_profile(monkeypatch, {}, requests_per_hour=60)
    assert simulate(7, hours=1).violation is None
    assert {*found} == {recorded}


def test_simulation_without_a_law_watch_checks_no_law() -> None:
    assert simulate(3, hours=1, make_store=Forgetful).violation is not None
    assert simulate(3, hours=1, make_store=Forgetful, watched=False).violation is None


@pytest.mark.parametrize("seed", range(4))
def test_violation_names_its_law_its_time_and_its_environment(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "observe_fact", breaks_law_seven)
    simulation = Simulation(seed, hours=2, make_store=MemoryStore)
    ended = [*simulation.run()]
    violation = simulation.summary.violation
    assert violation is not None
    assert violation.message == str(LawBrokenError(7, "a fact", "a test"))
    assert violation.law == 7
    assert violation.environment == settings_of(seed).environment
    hours = len(ended)
    assert simulation.summary.hours == hours < 2
    assert timedelta(hours=hours) <= violation.at - START < timedelta(hours=hours + 1)


def breaks_law_seven(*_: object) -> Never:
    raise LawBrokenError(7, "a fact", "a test")


def test_simulations_of_seeds_0_to_3_vary_the_environment() -> None:
    assert {settings_of(seed).environment for seed in range(4)} == {None, Environment.LIVE}


def test_violation_of_an_unnumbered_rule_has_no_law_number(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuleBrokenError("a message", "a test")

    def ship(*_: object, **__: object) -> Never:
        raise error

    monkeypatch.setattr(SimulatedOutbox, "ship", ship)
    violation = simulate(0, hours=1).violation
    assert violation is not None
    assert (violation.law, violation.message) == (None, str(error))
    # The first worker of the outbox runs after a minute.
    assert violation.at == START + timedelta(minutes=1)


def test_outbox_is_closed_at_the_end_of_a_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[SimulatedOutbox] = []
    real_close = SimulatedOutbox.close

    def close(outbox: SimulatedOutbox) -> None:
        closed.append(outbox)
        real_close(outbox)

    monkeypatch.setattr(SimulatedOutbox, "close", close)
    assert simulate(0, hours=1).violation is None
    assert len(closed) == 1
    monkeypatch.setattr(Watch, "observe_fact", breaks_law_seven)
    assert simulate(0, hours=1).violation is not None
    assert len(closed) == 2


def test_simulation_lasts_a_day_unless_hours_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def begin(seed: int, *, hours: int, **_: object) -> Simulation:
        asked.append(hours)
        return Simulation(seed, hours=1, make_store=MemoryStore)

    monkeypatch.setattr(simulation, "Simulation", begin)
    simulate(1)
    simulate(1, hours=36)
    assert asked == [24, 36]
