"""The output of `check`: its help, each line in its colour on a terminal, and the progress."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from curae_lifecycle.cli import check, terminal
from curae_lifecycle.cli.main import main
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import (
    CHECKS,
    CheckOutcome,
    Failure,
    NotRun,
    Progress,
    Report,
)
from curae_lifecycle.testing.conformance.results import ProgressCallback
from curae_lifecycle.testing.races import RaceResult, StoreArena, ThreeWayResult
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys
from curae_lifecycle.testing.simulation import Summary, Violation
from tests.cli.styled import StyledConsole
from tests.support.commands import help_of

TITLE, RULE, DETAIL, RAISED = "bold", "bold yellow", "cyan", "red"
STORE = "curae_lifecycle:MemoryStore"
SIX = tuple([f"part {number}: A, not B" for number in range(6)])


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the lines that are printed on a terminal with colours, each with its style."""
    console = StyledConsole()
    monkeypatch.setattr(terminal, "_console", lambda *, stderr: None if stderr else console)
    return console.lines


def terminal_of_errors(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Make standard error a terminal without colours, and return it."""
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    return shown


def bar(name: str, *parts: int) -> str:
    """Return a progress bar as it is drawn for each of the parts, of 40."""
    return "".join([f"\r{name} [{'#' * part}{' ' * (40 - part)}]" for part in parts]) + "\n"


# --- The kit ----------------------------------------------------------------------------------


def test_check_prints_5_of_7_failed_and_all_skipped_kit_checks(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = tuple([Failure(f"c.{number}", f"Broken {number}.") for number in range(7)])
    not_run = (NotRun("d.one", "no time"), NotRun("d.two", "no time"))
    report = Report(("b.two", "a.one", "b.one"), failed, not_run, seed="1")
    monkeypatch.setattr(check, "check_store", lambda *_, **__: report)
    assert main(["check", STORE, "--only", "kit"]) == 1
    assert lines == [
        (TITLE, "kit: 3 checks passed, 7 failed, 2 not run"),
        (DETAIL, "  run: a 1, b 2, c 7"),
        (RULE, "  not run: d.one, d.two: no time"),
        *[(RULE, f"c.{number}\n  Broken {number}.") for number in range(5)],
        (RULE, "and 2 more"),
        (TITLE, "findings: 7, not run: 2"),
    ]


def test_check_prints_all_of_five_failed_kit_checks(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = tuple([Failure(f"c.{number}", f"Broken {number}.") for number in range(5)])
    report = Report((), failed, (), seed="1")
    monkeypatch.setattr(check, "check_store", lambda *_, **__: report)
    assert main(["check", STORE, "--only", "kit"]) == 1
    assert lines[-2:] == [(RULE, "c.4\n  Broken 4."), (TITLE, "findings: 5")]


def test_kit_progress_bar_is_full_if_some_checks_were_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "CHECKS", CHECKS[:4])
    names = [each.name for each in CHECKS[:4]]

    def run(
        store: object, *, only: list[str], timeout: timedelta, progress: ProgressCallback
    ) -> Report:
        assert isinstance(store, MemoryStore)
        assert (only, timeout) == (names, timedelta(seconds=30))
        for number in (1, 2):
            outcome = CheckOutcome.PASSED
            progress(Progress(names[number], outcome, seconds=1.0, number=number, total=2))
        assert shown.getvalue() == bar("kit", 10).rstrip()
        not_run = tuple([NotRun(each, "") for each in names[2:]])
        return Report(tuple(names[:2]), (), not_run, seed="1")

    monkeypatch.setattr(check, "check_store", run)
    shown = terminal_of_errors(monkeypatch)
    assert main(["check", STORE, "--only", "kit"]) == 0
    assert shown.getvalue() == bar("kit", 10, 20, 30, 40)


# --- The races --------------------------------------------------------------------------------


def same_races(wrong: int, right: int) -> Callable[[StoreArena, object], Iterator[RaceResult]]:
    """Return a `race_all` that finds the same in each scenario."""

    def race(arena: StoreArena, scenario: object) -> Iterator[RaceResult]:
        assert isinstance(arena, StoreArena)
        for number in range(wrong):
            yield RaceResult(f"revoke {number}", f"{scenario} {number}", SIX)
        for number in range(right):
            yield RaceResult(f"initiate {number}", f"{scenario} {number}", ())

    return race


def same_three_way_races(
    wrong: int, right: int
) -> Callable[[StoreArena, str, tuple[str, ...]], Iterator[ThreeWayResult]]:
    """Return a `race_three` that finds the same in each scenario."""

    def race(
        arena: StoreArena, scenario: str, actions: tuple[str, ...]
    ) -> Iterator[ThreeWayResult]:
        assert isinstance(arena, StoreArena)
        for _ in range(wrong):
            yield ThreeWayResult(scenario, actions * 2, SIX)
        for _ in range(right):
            yield ThreeWayResult(scenario, actions * 2, ())

    return race


@pytest.fixture
def _four_races(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave two scenarios of races, and two of races of three."""
    monkeypatch.setattr(check, "SCENARIOS", {"one": "expire", "two": "erase"})
    monkeypatch.setattr(
        check, "THREE_WAY_RACES", (("three", ("a", "b", "c")), ("four", ("d", "e", "f")))
    )


@pytest.mark.usefixtures("_four_races")
def test_check_styles_race_results_on_a_terminal_with_colours(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "race_all", same_races(3, 2))
    monkeypatch.setattr(check, "race_three", same_three_way_races(4, 3))
    assert main(["check", STORE, "--only", "races"]) == 1

    def found(text: str) -> list[tuple[str, str]]:
        return [(RULE, text), *[(DETAIL, f"  {each}") for each in SIX[:5]]]

    def pair(scenario: str, second: str, number: int) -> list[tuple[str, str]]:
        return found(
            f"{scenario}: revoke {number} commits before {second} {number}, "
            "which had loaded already"
        )

    def three(scenario: str, actions: str) -> list[tuple[str, str]]:
        a, b, c = list(actions)
        steps = f"{a} loads, {b} loads, {c} loads, {a} commits, {b} commits, {c} commits"
        return found(f"{scenario}: {steps}")

    assert lines == [
        (TITLE, "races: 10 pairs run, 6 failed"),
        (DETAIL, "  run: one; two"),
        *[line for number in range(3) for line in pair("one", "expire", number)],
        *[line for number in range(2) for line in pair("two", "erase", number)],
        (RULE, "and 1 more"),
        (TITLE, "three-way races: 14 schedules run, 8 failed"),
        (DETAIL, "  run: a, b, c; d, e, f"),
        *(three("three", "abc") * 4),
        *three("four", "def"),
        (RULE, "and 3 more"),
        (RULE, "  not run: messages of the races: the store has no method outbox"),
        (TITLE, "findings: 14, not run: 1"),
    ]


@pytest.mark.usefixtures("_four_races")
def test_check_prints_five_of_six_outbox_message_differences(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "race_all", same_races(0, 1))
    monkeypatch.setattr(check, "race_three", same_three_way_races(0, 1))
    monkeypatch.setattr(StoreArena, "outbox_differences", lambda _: SIX)
    assert main(["check", "tests.cli.planted_stores:WithOutbox", "--only", "races"]) == 1
    assert lines[-8:] == [
        (TITLE, "outbox after the races: 6 messages differ"),
        *[(DETAIL, each) for each in SIX[:5]],
        (RULE, "and 1 more"),
        (TITLE, "findings: 6"),
    ]


@pytest.mark.usefixtures("_four_races")
def test_strict_check_of_races_exits_1_for_store_without_outbox(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "race_all", same_races(0, 1))
    monkeypatch.setattr(check, "race_three", same_three_way_races(0, 1))
    assert main(["check", STORE, "--only", "races", "--strict"]) == 1
    assert lines[-2:] == [
        (RULE, "  not run: messages of the races: the store has no method outbox"),
        (TITLE, "findings: 0, not run: 1"),
    ]
    assert (
        main(["check", "tests.cli.planted_stores:WithOutbox", "--only", "races", "--strict"]) == 0
    )


@pytest.mark.usefixtures("_four_races")
def test_races_progress_bar_advances_once_per_scenario(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "race_all", same_races(0, 1))
    monkeypatch.setattr(check, "race_three", same_three_way_races(0, 1))
    shown = terminal_of_errors(monkeypatch)
    assert main(["check", STORE, "--only", "races"]) == 0
    assert shown.getvalue() == bar("races", 20, 40)


# --- The simulation ---------------------------------------------------------------------------


def summary_of(
    seed: int, clients: int, hours: int, store: Callable[[Settings], StoreWithApiKeys]
) -> Summary:
    """Return the summary of a simulation that ran, but for a broken law at seed 2."""
    first, second = store(Settings()), store(Settings())
    assert first is not second
    assert first.caller_of("0" * 64) is None
    violation = Violation(
        message="law 1 is broken",
        law=1,
        at=datetime(2026, 1, 5, tzinfo=UTC),
        log=("{}",),
        environment=Environment.LIVE,
    )
    return Summary(seed, clients, hours, requests=7, violation=violation if seed == 2 else None)


def headline(seed: int) -> tuple[str, str]:
    counts = "24 client-hours, 7 requests, 0 replays, 0 conflicts, 0 purged"
    return (TITLE, f"simulation: seed {seed}: {counts}")


def test_check_prints_each_simulation_until_a_law_is_broken(
    lines: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check, "run_seed", summary_of)
    assert main(["check", STORE, "--only", "simulation", "--seeds", "4"]) == 1
    replay = "python -m curae_lifecycle replay - --environment live"
    assert lines == [
        *map(headline, range(3)),
        (RULE, "seed 2 at 2026-01-05T00:00:00Z: law 1 is broken"),
        (TITLE, f"to replay the log: {replay}"),
        (RULE, "  not run: the simulation of later seeds: a law was broken with seed 2"),
        (TITLE, "findings: 1, not run: 1"),
    ]
    assert capsys.readouterr().out == "{}\n"


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        ("tests.cli.planted_stores:Bare", "the store has no method purge"),
        (
            "tests.cli.planted_stores:OwnClock",
            "the store has no attribute clock that can be replaced",
        ),
        (STORE, None),
        ("tests.cli.planted_stores:make_async_store", None),
    ],
)
def test_simulated_purges_need_a_purge_method_and_settable_clock(
    store: str,
    reason: str | None,
    lines: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "run_seed", summary_of)
    options = ["--only", "simulation", "--seeds", "1"]
    assert main(["check", store, *options]) == 0
    left_out = [] if reason is None else [(RULE, f"  not run: purges in the simulation: {reason}")]
    ending = "findings: 0" if reason is None else "findings: 0, not run: 1"
    assert lines == [headline(0), *left_out, (TITLE, ending)]
    assert main(["check", store, *options, "--strict"]) == (0 if reason is None else 1)


# --- All parts --------------------------------------------------------------------------------


def failing(*_: object, **__: object) -> Report:
    """Raise an error of two lines."""
    raise LookupError("first\nsecond")


@pytest.mark.usefixtures("_four_races")
def test_check_adds_up_the_failures_of_kit_races_and_simulation(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "check_store", failing)
    monkeypatch.setattr(check, "race_all", same_races(1, 0))
    monkeypatch.setattr(check, "race_three", same_three_way_races(1, 0))
    monkeypatch.setattr(check, "run_seed", summary_of)
    assert main(["check", "tests.cli.planted_stores:OwnClock", "--seeds", "1"]) == 1
    raised, trace, *others = lines
    assert raised == (RAISED, "kit: raised LookupError: first\nsecond")
    assert trace[0] == RULE
    assert trace[1].startswith("Traceback (most recent call last):\n")
    assert trace[1].endswith("\nLookupError: first\nsecond")
    titles = [text for style, text in others if style == TITLE]
    assert titles == [
        "races: 2 pairs run, 2 failed",
        "three-way races: 2 schedules run, 2 failed",
        headline(0)[1],
        "findings: 5, not run: 1",
    ]


@pytest.mark.usefixtures("_four_races")
def test_check_prints_the_total_of_checks_not_run(
    lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report((), (), (NotRun("a.one", "no time"), NotRun("a.two", "no time")), seed="1")
    monkeypatch.setattr(check, "check_store", lambda *_, **__: report)
    monkeypatch.setattr(check, "race_all", same_races(0, 1))
    monkeypatch.setattr(check, "race_three", same_three_way_races(0, 1))
    monkeypatch.setattr(check, "run_seed", summary_of)
    arguments = ["check", "tests.cli.planted_stores:OwnClock", "--seeds", "1"]
    assert main(arguments) == 0
    assert lines[-1] == (TITLE, "findings: 0, not run: 3")
    assert main([*arguments, "--strict"]) == 1


def test_check_breaks_long_lists_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passed = tuple([f"family-{number}.check" for number in range(10, 30)])
    not_run = tuple([NotRun(f"other.of-many-checks-{number}", "no time") for number in range(8)])
    report = Report(passed, (), not_run, seed="1")
    monkeypatch.setattr(check, "check_store", lambda *_, **__: report)
    assert main(["check", STORE, "--only", "kit"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) in range(90, 101)
    listed = ", ".join([f"family-{number} 1" for number in range(10, 30)])
    names = ", ".join([each.check for each in not_run])
    assert " ".join(each.strip() for each in told[1:-1]) == (
        f"run: {listed} not run: {names}: no time"
    )
    assert all(each.startswith(("  run: ", "  not run: ", "    ")) for each in told[1:-1])


def test_help_of_check_explains_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "check") == (
        "usage: python -m curae_lifecycle check [-h] [--seeds N] [--limit SECONDS] "
        "[--only {kit,races,simulation}] [--strict] MODULE:STORE "
        "Creates empty stores and looks for bugs in them in three parts: the conformance kit on a "
        "server in this process, every pair of actions that can race, and the simulation. A race "
        "fails if its result is that of neither order. Each part prints its findings. The exit "
        "status is 1 if there are any. "
        "positional arguments: MODULE:STORE a callable that returns a new empty store each time; "
        "it may be a coroutine function "
        "options: -h, --help show this help message and exit "
        "--seeds N how many seeds to simulate, from 0 (default: 3) "
        "--limit SECONDS how long one check of the kit may take, in seconds (default: 30) "
        "--only {kit,races,simulation} run only this part; by default all "
        "--strict also exit with status 1 if any check was not run"
    )
