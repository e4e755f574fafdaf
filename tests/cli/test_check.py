"""`python -m curae_lifecycle check` on correct stores, wrong stores and non-stores."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from math import isqrt
from pathlib import Path

import pytest

from curae_lifecycle.cli import check
from curae_lifecycle.cli.main import main
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import CHECKS
from curae_lifecycle.testing.conformance.store_kit import check_store
from curae_lifecycle.testing.races import SCENARIOS, THREE_WAY_RACES, StoreArena, race_all
from tests.support import serving, wrong_stores
from tests.support.paths import ROOT
from tests.support.strategies import START
from tests.support.wrong_stores import Forgetful, Lazy

RIGHT = "curae_lifecycle:MemoryStore"
REPLAYS = [each.name for each in CHECKS if each.name.startswith("idempotency.replay.")]
PAGES = [each.name for each in CHECKS if each.name.startswith("page.")]
BOUND = "a user is bound, one connection is pending"
FEW = (THREE_WAY_RACES[0], THREE_WAY_RACES[-1])
LAPSED, LAST = "the pending connection has lapsed", "the key has one request left"


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the run to a few checks, one scenario and short simulations."""
    few = tuple([each for each in CHECKS if each.name in REPLAYS])
    monkeypatch.setattr(check, "CHECKS", few)
    monkeypatch.setattr(check, "SCENARIOS", {LAPSED: SCENARIOS[LAPSED]})
    monkeypatch.setattr(check, "THREE_WAY_RACES", FEW)
    monkeypatch.setattr(check, "_HOURS", 2)


def wrong(name: str) -> str:
    return f"tests.support.wrong_stores:{name}"


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
def test_check_of_a_correct_store_exits_0_and_finds_no_bug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", RIGHT, "--seeds", "2"]) == 0
    kit, replays, races, lapsed, three_way, trios, outbox, *worlds, last = (
        capsys.readouterr().out.splitlines()
    )
    assert kit == f"kit: {len(REPLAYS)} checks passed, 0 failed, 0 not run"
    assert replays == f"  run: idempotency {len(REPLAYS)}"
    pairs = re.fullmatch(r"races: (\d+) pairs run, 0 failed", races)
    assert pairs is not None
    # Every ordered pair of at least ten actions.
    assert int(pairs[1]) == isqrt(int(pairs[1])) ** 2 >= 100
    assert lapsed == f"  run: {LAPSED}"
    # Three commits have six orders, and each allows several places of the loads.
    assert three_way == "three-way races: 72 schedules run, 0 failed"
    assert trios == f"  run: {'; '.join(', '.join(actions) for _, actions in FEW)}"
    assert outbox == "  not run: messages of the races: the store has no method outbox"
    assert [line[:19] for line in worlds] == ["simulation: seed 0:", "simulation: seed 1:"]
    assert last == "findings: 0, not run: 1"


FOUND_BY = {
    "ComparesNothing": {"races", "simulation"},
    "Lazy": {"races", "simulation"},
    "Stepping": {"races", "simulation"},
    "Forgetful": {"kit", "races", "simulation"},
    "LooksForNoPage": {"kit", "races", "simulation"},
    "LoadsNoPage": {"kit", "races"},
    "LoadsNoEra": {"kit", "races", "simulation"},
    "KeepsPage": {"races"},
    "MovesNoPage": {"races"},
    "AnswersAnyway": {"races", "simulation"},
}
"""Parts that find each wrong store in every run; the kit finds others by chance."""

BY_THREE = "LoadsNoEra"
"""The store that only races of three find among the races."""

BY_PAGE = [name for name in FOUND_BY if name.endswith("NoPage")]
"""Stores that ignore the hosted page that a fact names."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FOUND_BY if name not in (*BY_PAGE, BY_THREE)])
@pytest.mark.usefixtures("_small")
def test_check_of_races_exits_1_for_a_store_with_a_race_bug(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", wrong(name), "--only", "races"]) == 1
    headline, _, first, part, *_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"races: \d{3,} pairs run, [1-9]\d* failed", headline)
    assert first.startswith(f"{LAPSED}: ")
    assert part.startswith("  ")


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
def test_three_way_races_find_a_bug_that_two_way_races_miss(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", wrong(BY_THREE), "--only", "races"]) == 1
    pairs, _, three_way, _, first, part, *_, rest, _, last = capsys.readouterr().out.splitlines()
    assert pairs.endswith(" pairs run, 0 failed")
    found = re.fullmatch(r"three-way races: \d+ schedules run, (\d+) failed", three_way)
    assert found is not None
    count = found[1]
    begin, second = FEW[-1][0], FEW[-1][1][0]
    assert first == (
        f"{begin}: initiate loads, initiate commits, tombstone loads, tombstone commits, "
        f"{second} loads, {second} commits"
    )
    assert part.startswith("  ")
    assert last == f"findings: {count}, not run: 1"
    assert rest == f"and {int(count) - 5} more"


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
def test_check_of_races_exits_1_if_refused_commits_send_messages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "tests.cli.planted_stores:WithOutbox", "--only", "races"]) == 0
    assert "outbox" not in capsys.readouterr().out
    assert main(["check", "tests.cli.planted_stores:SendsAnyway", "--only", "races"]) == 1
    printed = capsys.readouterr().out
    pairs, *_, last = printed.splitlines()
    assert pairs.endswith(" pairs run, 0 failed")
    found = re.search(
        r"^outbox after the races: (\d+) messages differ\n(.*)\n", printed, re.MULTILINE
    )
    assert found is not None
    assert last == f"findings: {found[1]}"
    assert re.fullmatch(r'{"at": .*}: [1-9] times, not \d', found[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_PAGE)
def test_races_fail_stores_that_ignore_the_hosted_page_of_a_fact(name: str) -> None:
    kind = getattr(wrong_stores, name)
    failed = {each.check for each in check_store(kind(), only=PAGES).failed}
    found = {
        f"{each.first}; {each.second}"
        for each in race_all(StoreArena(kind()), SCENARIOS[BOUND])
        if any(not part.startswith("page ") for part in each.differences)
    }
    assert ("page.fact.replaced" in failed) == ("kit" in FOUND_BY[name])
    assert found
    assert all("the page graduates" in pair for pair in found)
    # A graduation replaces the page. A store that loads no page fails the races with a valid one.
    assert (found == {"graduation; the page graduates"}) == (name != "LoadsNoPage")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "part"),
    [(BY_THREE, "kit"), ("MovesNoPage", "kit"), *((name, "simulation") for name in FOUND_BY)],
)
def test_kit_and_simulation_each_fail_the_expected_broken_stores(name: str, part: str) -> None:
    # The tests above show what the races find, and the kit by its checks of pages and replays. The
    # first seed finds each store that a simulation finds.
    status = main(["check", wrong(name), "--only", part, "--seeds", "1"])
    assert status == (part in FOUND_BY[name])


@pytest.mark.usefixtures("_small")
def test_check_groups_equal_failures_and_counts_groups_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["check", wrong("Forgetful"), "--only", "kit"]) == 1
    told = capsys.readouterr().out
    headline = f"kit: 0 checks passed, {len(REPLAYS)} failed, 0 not run"
    listed = f"  run: idempotency {len(REPLAYS)}"
    assert told.startswith(f"{headline}\n{listed}\nidempotency.replay.")
    assert "law 9 is broken" in told
    assert told.endswith(f"\nfindings: {len(REPLAYS)}\n")
    assert len(re.findall(r"^idempotency\.replay\.\S+$", told, re.MULTILINE)) > 1
    # Random ids decide which findings have equal messages, so the number of groups varies by run.
    report = check_store(Forgetful(), only=REPLAYS)
    monkeypatch.setattr("curae_lifecycle.cli.check.check_store", lambda *_, **__: report)
    monkeypatch.setattr(check, "_MAX_SHOWN", 1)
    assert main(["check", wrong("Forgetful"), "--only", "kit"]) == 1
    rest = len(report.failure_groups()) - 1
    assert rest > 0
    assert capsys.readouterr().out.endswith(f"\nand {rest} more\nfindings: {len(REPLAYS)}\n")
    assert main(["check", wrong("Forgetful"), "--only", "simulation"]) == 1
    told = capsys.readouterr().out
    assert re.search(r"^seed 0 at \S+: law \d+ is broken", told, re.MULTILINE)
    assert '{"at":"2026-01-05T00:00:00Z","register":' in told


@pytest.mark.slow
def test_failed_race_lists_fields_that_differ_from_serial_order() -> None:
    every = race_all(StoreArena(Lazy()), SCENARIOS[LAPSED])
    races = {(each.first, each.second): each.differences for each in every}
    told = races["reconnect the first", "the first is authorized"]
    first = "connection xxxxxxxx-0000-4000-8000-000000000001"
    assert f"{first}.status: ACTIVE, not PENDING" in told
    assert not races["the patient revokes the first", "revoke the first"]


class Passing(MemoryStore):
    """A store that is unavailable at every fifth commit."""

    turn = 0

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.turn += 1
        if self.turn % 5 == 0:
            raise StoreUnavailableError("a lock")
        return super().commit(loaded, changes, page)


@pytest.mark.slow
def test_race_is_retried_if_the_store_is_unavailable_once() -> None:
    every = [*race_all(StoreArena(Passing()), SCENARIOS[LAST])]
    actions = dict.fromkeys(each.first for each in every)
    assert len(actions) >= 10
    assert [(each.first, each.second) for each in every] == [*product(actions, repeat=2)]
    assert [each for each in every if each.differences] == []


class Broken(MemoryStore):
    """A store whose load raises."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:  # noqa: ARG002 - it always raises
        raise RuntimeError("no such table")


@pytest.mark.usefixtures("_small")
def test_check_reports_an_exception_raised_by_a_store(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "tests.cli.test_check:Broken", "--only", "races"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("races: raised RuntimeError: no such table\nTraceback ")
    assert told.endswith("findings: 1\n")


class Awaited(serving.Awaited):
    """An async store in memory with a blocking `register`."""

    def __init__(self) -> None:
        # It purges by a fixed clock, because the simulation cannot set this store's clock.
        self.made = MemoryStore(clock=lambda: START)
        super().__init__(self.made)

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        self.made.register(api_key, caller)
        return caller


class OwnClock:
    """A blocking store whose clock cannot be set either."""

    def __init__(self) -> None:
        made = MemoryStore(clock=lambda: START)
        self.register, self.caller_of = made.register, made.caller_of
        self.load, self.commit = made.load, made.commit


class AwaitedWhole(Awaited):
    """An async store in memory with an async `register`."""

    async def register(self, api_key: ApiKey, caller: Caller) -> None:
        self.made.register(api_key, caller)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Awaited", "AwaitedWhole"])
@pytest.mark.usefixtures("_small")
def test_check_output_is_the_same_for_async_and_blocking_stores(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--only", "simulation", "--seeds", "1"]
    assert main(["check", f"tests.cli.test_check:{name}", *options]) == 0
    told = capsys.readouterr().out
    assert main(["check", "tests.cli.test_check:OwnClock", *options]) == 0
    simulated, *missing, last = told.splitlines()
    assert simulated.endswith(" 0 purged")
    assert missing == ["  not run: purges in the simulation: the store has no method purge"]
    assert last == "findings: 0, not run: 1"
    assert capsys.readouterr().out == told


@pytest.mark.heavy
def test_correct_async_store_passes_the_whole_kit() -> None:
    assert main(["check", "tests.cli.test_check:Awaited", "--only", "kit"]) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
def test_correct_async_store_passes_every_part_of_check() -> None:
    assert main(["check", "tests.cli.test_check:Awaited"]) == 0


class NoRegister:
    """A store without `register`."""

    caller_of = load = commit = print


MISTAKES = {
    "curae_lifecycle": "must be MODULE:STORE, such as",
    ":MemoryStore": "must be MODULE:STORE, such as",
    "./stores:MemoryStore": "must be MODULE:STORE, such as",
    "no_such_module:Store": "No module named 'no_such_module'",
    "curae_lifecycle:NoStore": "has no attribute 'NoStore'",
    "builtins:object:more": "has no attribute 'object:more'",
    "curae_lifecycle:__version__": "must be callable and return a store",
    "builtins:object": "object is not a store: it has no method register, caller_of, load, commit",
    "tests.cli.test_check:NoRegister": "NoRegister is not a store: it has no method register; ",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_check_of_an_object_that_is_no_store_exits_2(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", text])
    assert stopped.value.code == 2
    assert MISTAKES[text] in capsys.readouterr().err


def test_check_imports_a_store_from_the_current_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store_of_this_folder.py").write_text("empty = 1")
    monkeypatch.chdir(tmp_path)
    before = [*sys.path]
    monkeypatch.setattr(sys, "path", [*before])
    for _ in range(2):
        with pytest.raises(SystemExit):
            main(["check", "store_of_this_folder:empty"])
        assert "must be callable and return a store" in capsys.readouterr().err
        assert sys.path == [str(tmp_path), *before]
    del sys.modules["store_of_this_folder"]


@pytest.mark.slow
@pytest.mark.parametrize("is_safe", [False, True])
def test_console_script_imports_a_store_of_the_current_folder(
    tmp_path: Path, *, is_safe: bool
) -> None:
    (tmp_path / "not_callable.py").write_text("empty = 1")
    # The interpreter puts the folder of a script into sys.path, but not the current one.
    script = tmp_path / "bin" / "curae-lifecycle"
    script.parent.mkdir()
    script.write_text("from curae_lifecycle.cli.main import main\nmain()")
    ended = subprocess.run(
        [sys.executable, *["-P"] * is_safe, str(script), "check", "not_callable:empty"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = "No module named" if is_safe else "must be callable and return a store"
    assert (ended.returncode, said in ended.stderr) == (2, True)


@pytest.mark.parametrize("options", [["--seeds", "0"], ["--seeds", "x"], ["--only", "luck"]])
def test_check_with_a_bad_option_exits_2(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", RIGHT, *options])
    assert stopped.value.code == 2


def test_races_are_expected_to_find_every_broken_store_class() -> None:
    text = (ROOT / "tests/support/wrong_stores.py").read_text(encoding="utf-8")
    assert re.findall(r"^class (\w+)", text, re.MULTILINE) == [*FOUND_BY]
    assert all("races" in parts for parts in FOUND_BY.values())
