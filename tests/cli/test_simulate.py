"""The command `simulate`: its output, and the log of a violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from curae_lifecycle.cli import simulate, terminal
from curae_lifecycle.cli.main import main
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.cells import cells_of
from curae_lifecycle.testing.simulation import Summary, Violation
from tests.support.terminals import terminal_of

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VIOLATIONS = {
    environment: Violation(
        message="law 12 is broken: x\n  where: y",
        law=12,
        at=AT,
        log=('{"a": 1}', '{"b": "é"}'),
        environment=environment,
    )
    for environment in (None, Environment.TEST)
}


class Simulated:
    """A simulation of which every hour has 1,000 requests, and the second seed a violation."""

    violation: Violation | None = None

    def __init__(
        self, seed: int, *, clients: int, hours: int, make_store: Callable[[Settings], object]
    ) -> None:
        assert make_store is MemoryStore
        self.summary = Summary(seed, clients)
        self._hours = hours

    def run(self) -> Iterator[None]:
        for _ in range(self._hours):
            self.summary.hours += 1
            self.summary.requests += 1000
            self.summary.mishaps += Counter(retry=1)
            row = next(iter(TABLES["permission"].values()))
            assert row.outcome
            yield
        if self.summary.seed == 8:
            self.summary.violation = self.violation


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "Simulation", Simulated)


GROUPS = "requests\nanswers\nfacts\naccess\nmishaps\n"


def headline(seed: int, hours: int, requests: str) -> str:
    counts = f"{hours} client-hours, {requests} requests"
    return f"seed {seed}: {counts}, 0 replays, 0 conflicts, 0 purged\n"


def test_simulate_prints_each_seed_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "7", "--seeds", "3", "--clients", "3", "--hours", "2"]
    assert main(["simulate", *arguments]) == 0
    out, err = capsys.readouterr()
    heads = "".join(headline(seed, hours=6, requests="2,000") for seed in (7, 8, 9))
    retries = f"{6:>12}  retry\n"
    assert out == f"{heads}{GROUPS}{retries}every law held: 18 client-hours, 6,000 requests\n"
    assert err == ""


def test_simulate_defaults_to_one_seed_and_48_client_hours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulate", "--seed", "7"]) == 0
    lines = capsys.readouterr().out.splitlines(keepends=True)
    assert lines[0] == headline(7, hours=48, requests="24,000")
    assert lines[-1] == "every law held: 48 client-hours, 24,000 requests\n"


def test_simulate_cells_option_lists_table_cells_never_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulate", "--seed", "7", "--hours", "1", "--cells"]) == 0
    out = capsys.readouterr().out
    (reached, *others) = cells_of([TABLES["permission"]])
    every = len(cells_of(TABLES.values()))
    assert f"\ncells reached: 1 of {every}\nnever reached: " in out
    assert out.count("\nnever reached: ") == every - 1
    assert f"never reached: {' × '.join(reached)}\n" not in out
    assert all(f"\nnever reached: {' × '.join(cell)}\n" in out for cell in others)


def test_simulate_on_a_terminal_colours_titles_counts_and_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = terminal_of(monkeypatch, "stdout", columns=200)
    assert main(["simulate", "--seed", "7", "--hours", "1", "--cells"]) == 0
    lines = screen.getvalue().splitlines()
    (asked,) = [line for line in lines if "  retry" in line]
    assert asked.startswith("\x1b[36m ")
    cells = [line for line in lines if "never reached" in line]
    assert {line.partition("never")[0] for line in cells} == {"\x1b[1;33m"}
    titles = [line for line in lines if line not in (asked, *cells)]
    assert {line[:4] for line in titles} == {"\x1b[1m"}


def test_simulate_shows_the_progress_of_each_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal_of(monkeypatch, "stderr")
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    assert main(["simulate", "--seed", "7", "--seeds", "2", "--hours", "2"]) == 0
    bars = [f"\rseed {seed} [{'#' * 20}{' ' * 20}]\rseed {seed} [{'#' * 40}]\n" for seed in (7, 8)]
    assert screen.getvalue() == "".join(bars)


# --- Violations -------------------------------------------------------------------------------

REPLAY = "to replay the log: python -m curae_lifecycle replay"
FOUND = "seed 8 at 2026-01-02T03:04:05Z: law 12 is broken: x\n  where: y\n"


@pytest.mark.parametrize(("environment", "option"), [(None, ""), ("test", " --environment test")])
def test_simulate_stops_at_the_first_violation_and_prints_log(
    environment: str | None,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = None if environment is None else Environment(environment)
    monkeypatch.setattr(Simulated, "violation", VIOLATIONS[found])
    assert main(["simulate", "--seed", "7", "--seeds", "3", "--hours", "1"]) == 1
    heads = headline(7, hours=2, requests="1,000") + headline(8, hours=2, requests="1,000")
    log = '{"a": 1}\n{"b": "é"}\n'
    assert capsys.readouterr().out == f"{heads}{FOUND}{REPLAY} -{option}\n{log}"


@pytest.mark.usefixtures("ascii_locale")
def test_violation_is_written_to_the_log_file_as_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Simulated, "violation", VIOLATIONS[None])
    file = tmp_path / "violation.jsonl"
    assert main(["simulate", "--seed", "8", "--hours", "1", "--log", str(file)]) == 1
    assert capsys.readouterr().out.endswith(f"{FOUND}{REPLAY} {file}\n")
    assert file.read_bytes() == '{"a": 1}\n{"b": "é"}\n'.encode()


def test_violation_is_printed_if_its_log_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Simulated, "violation", VIOLATIONS[None])
    file = tmp_path / ("x" * 256)
    assert main(["simulate", "--seed", "8", "--hours", "1", "--log", str(file)]) == 1
    lost = f"cannot write {file}: File name too long; the log is printed below\n"
    log = '{"a": 1}\n{"b": "é"}\n'
    assert capsys.readouterr().out.endswith(f"{FOUND}{lost}{REPLAY} -\n{log}")


def test_violation_on_a_terminal_is_coloured_and_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulated, "violation", VIOLATIONS[None])
    screen = terminal_of(monkeypatch, "stdout", columns=200)
    assert main(["simulate", "--seed", "8", "--hours", "1"]) == 1
    assert "\x1b[1;33mseed 8 at " in screen.getvalue()
    assert "\x1b[1mto replay the log: " in screen.getvalue()


def test_log_file_that_cannot_be_written_is_named_in_yellow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Simulated, "violation", VIOLATIONS[None])
    screen = terminal_of(monkeypatch, "stdout", columns=200)
    file = tmp_path / ("x" * 256)
    assert main(["simulate", "--seed", "8", "--hours", "1", "--log", str(file)]) == 1
    assert "\x1b[1;33mcannot write" in screen.getvalue()


def test_simulate_exits_2_if_log_is_a_folder_or_has_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(SystemExit, match="2"):
            main(["simulate", "--seed", "7", "--log", str(file)])
        said = f"error: cannot write {file}: it is a directory, or its directory does not exist\n"
        assert capsys.readouterr().err.endswith(said)
