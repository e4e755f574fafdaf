"""The benchmarks: sides of a row that give the same answer, figures, tables and pictures.

Tests marked `peers` need the dependency group `peers`: `nox -s "marked(peers)"`.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import partial
from html import escape
from itertools import count
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import attrs
import pytest

from benchmarks import floors, shares, table
from benchmarks.measure import (
    ONCE,
    How,
    Kind,
    Row,
    Side,
    calls_in,
    check,
    measured,
    ratios,
    spent,
    spread,
    times,
)
from benchmarks.picture import picture
from benchmarks.rows import imports, replays, scale, sizes
from benchmarks.rows.subjects import F
from benchmarks.table import PEERS, Line, Report, all_rows, dumped, loaded, markdown, write
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done
from tests.support.paths import ROOT

ROWS: Final = all_rows(PEERS)
PAGE: Final = ROOT / "docs" / "benchmarks.md"
PICTURE: Final = ROOT / "docs" / "benchmarks.svg"


def named(row: Row) -> str:
    return f"{row.family}: {row.name}"


# --- Sides ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_package_and_handwritten_code_give_same_benchmark_answer(row: Row) -> None:
    own = [side for side in row.sides if side.kind is not Kind.PEER]
    assert own[0].kind is Kind.OURS
    for side in own:
        check(row, side)


@pytest.mark.peers
@pytest.mark.parametrize("row", ROWS, ids=named)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_peer_libraries_and_package_give_same_benchmark_answer(row: Row) -> None:
    for side in row.sides:
        if side.kind is Kind.PEER:
            check(row, side)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_benchmark_table_includes_all_installed_peer_libraries() -> None:
    report = table.measure(ONCE, PEERS)
    assert {line.side for line in report.lines if line.kind == "peer"} > {"token-bucket"}
    assert report.left_out == []
    assert "left out" not in markdown(report)


@pytest.mark.peers
def test_peer_libraries_are_installed_at_their_pinned_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(each.split("==") for each in project["dependency-groups"]["peers"])
    assert set(PEERS) <= set(pinned)
    assert {name: table.installed(name) for name in pinned} == pinned


def test_benchmark_rows_state_what_each_peer_library_lacks() -> None:
    peers = [side for row in ROWS for side in row.sides if side.kind is Kind.PEER]
    assert {side.package for side in peers} == set(PEERS) - {"pydantic"}
    assert [side.name for side in peers if not side.lacks] == []


def test_wrong_benchmark_answer_raises_assertion_error() -> None:
    wrong = Side("ours", lambda _calls: lambda: "refused", str)
    row = Row(family="a family", name="a name", answer="admitted", sides=(wrong,))
    with pytest.raises(AssertionError, match="ours answers refused, not admitted"):
        check(row, wrong)


def test_benchmark_answer_wrong_only_the_second_time_raises() -> None:
    answers = iter(["admitted", "refused"])
    wrong = Side("ours", lambda _calls: lambda: next(answers), str)
    with pytest.raises(AssertionError, match="ours answers refused"):
        check(Row(family="a family", name="a name", answer="admitted", sides=(wrong,)), wrong)


# --- Figures ----------------------------------------------------------------------------------


def test_benchmark_ratio_divides_the_times_of_the_same_round() -> None:
    assert ratios([2.0, 30.0], [1.0, 10.0]) == [2.0, 3.0]
    assert ratios([2.0], [0.0]) == [0.0]


def test_benchmark_spread_is_interquartile_range_over_median() -> None:
    assert spread([5.0]) == 0.0
    assert spread([8.0, 9.0, 10.0, 11.0, 100.0]) == pytest.approx(0.2)


def test_timing_a_batch_of_7_calls_runs_the_code_7_times() -> None:
    made: list[int] = []
    calls: list[None] = []

    def make(number: int) -> Callable[[], object]:
        made.append(number)
        return lambda: calls.append(None)

    side = Side("ours", make, str)
    assert calls_in(side, 0) == 1
    assert calls_in(side, 1e-9) >= 1
    assert made
    calls.clear()
    assert spent(side.make(7), 7) >= 0
    assert len(calls) == 7


@pytest.mark.slow
def test_benchmark_rounds_time_all_libraries_in_rotating_order() -> None:
    order: list[str] = []

    def side(name: str) -> Side:
        return Side(name, lambda _calls: lambda: order.append(name), str)

    seen = times([side("a"), side("b")], How(rounds=3, batch=0))
    assert "".join(order) == "abbaab"
    assert [len(each) for each in seen] == [3, 3]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advance the processor clocks by one microsecond at each reading."""
    for name in ("thread_time_ns", "process_time_ns"):
        monkeypatch.setattr(time, name, partial(next, count(1000, 1000)))


def test_code_three_times_as_slow_gets_a_benchmark_ratio_of_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0]
    monkeypatch.setattr(time, "thread_time_ns", lambda: now[0])

    def side(name: str, nanoseconds: int) -> Side:
        def work() -> str:
            now[0] += nanoseconds
            return "done"

        return Side(name, lambda _calls: work, str)

    sides = (side("ours", 2_000), side("floor: less", 1_000), side("floor: more", 6_000))
    row = Row(family="a family", name="a name", answer="done", sides=sides)
    figures = measured(row, side("F", 500), How(rounds=3, batch=0))
    assert [each.microseconds for each in figures] == [2, 1, 6]
    assert [each.in_f for each in figures] == [4, 2, 12]
    assert [each.to_ours for each in figures] == [1, 0.5, 3]
    assert {each.spread for each in figures} == {each.to_ours_spread for each in figures} == {0}


@pytest.mark.usefixtures("ticking")
def test_benchmark_row_has_one_figure_per_compared_library() -> None:
    row = all_rows(())[0]
    figures = measured(row, F, ONCE)
    assert [each.side for each in figures] == list(row.sides)
    assert figures[0].to_ours == 1


@pytest.mark.usefixtures("ticking")
def test_size_replay_and_scale_benchmarks_give_positive_values() -> None:
    seen = [
        *sizes.quantities(20),
        *replays.quantities(80, 1),
        *scale.quantities((5, 10), 10, 1),
    ]
    assert [each.name for each in seen if each.value <= 0 and each.unit != "B"] == []
    log = next(each for each in seen if each.name == "a full log of ten")
    assert log.value > 80, "ten instants take eight bytes each"


def test_benchmark_log_replays_without_refusals() -> None:
    answers = [json.dumps(line.answer) for line in replay(replays.log(16))]
    assert len(answers) == 17
    assert [each for each in answers if '"status": 4' in each or "broken" in each] == []
    assert sum('"replayed": true' in each for each in answers) == 2


def test_statements_that_the_import_benchmark_measures_run() -> None:
    for statement in (imports.ATTRS, *imports.OURS.values()):
        exec(statement, {})  # noqa: S102 - the statements of the benchmark


@pytest.mark.heavy
def test_import_benchmark_runs_in_a_separate_process(tmp_path: Path) -> None:
    assert imports.milliseconds(imports.ATTRS, str(tmp_path)) > 0
    seen = imports.quantities(1, pydantic=False)
    assert [each.side for each in seen] == ["ours"] * len(imports.OURS)


# --- Table, picture and page ------------------------------------------------------------------


def a_report() -> Report:
    def line(side: str, kind: str, to_ours: float) -> Line:
        return Line(
            family="limits",
            name="a log",
            side=side,
            kind=kind,
            value=1.5,
            unit="µs",
            spread=0.1,
            lacks="no <wait>",
            in_f=2.0,
            to_ours=to_ours,
            to_ours_spread=0.2,
        )

    about = {"Python": "CPython 3.11.7, GCC", "machine": "a machine", "attrs": "26.1.0"}
    lines = [line("ours", "ours", 1.0), line("a & b", "peer", 12.0), line("floor", "floor", 0.1)]
    return Report(about, ["automat"], lines)


def test_dumped_benchmark_report_loads_back_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(dumped(a_report()), encoding="utf-8")
    assert loaded(file) == a_report()


def test_benchmark_table_names_python_version_and_missing_peers() -> None:
    text = markdown(a_report())
    assert "Seen on CPython 3.11.7, GCC, a machine; attrs 26.1.0." in text
    assert "left out: automat." in text
    assert "|  | a & b | 1.50 µs ±5% | 2.00 | 12.0 × ±10% | no <wait> |" in text


def test_benchmark_table_has_columns_for_each_python_version() -> None:
    other = attrs.evolve(a_report(), about={"Python": "CPython 3.13.5, GCC"})
    assert "| limits: a log | 1.50 µs | 1.50 µs | 1.00 × | 2.00 | 2.00 |" in markdown(
        a_report(), other
    )


def test_benchmark_picture_is_svg_with_light_and_dark_style() -> None:
    text = picture(a_report().lines)
    root = ET.fromstring(text)  # noqa: S314 - made here
    space = "{http://www.w3.org/2000/svg}"
    assert [child.tag for child in root][:2] == [f"{space}title", f"{space}desc"]
    assert "prefers-color-scheme: dark" in text
    bars = {each.get("class"): each for each in root.iter(f"{space}rect")}
    assert set(bars) == {"peer", "floor"}
    one = next(each for each in root.iter(f"{space}line") if each.get("class") == "one")
    where = float(one.get("x1", ""))
    assert float(bars["peer"].get("x", "")) == pytest.approx(where), "a slower side is on the right"
    floor = float(bars["floor"].get("x", "")) + float(bars["floor"].get("width", ""))
    assert floor == pytest.approx(where, abs=0.2), "a faster side is on the left"


def test_benchmark_table_is_written_between_marks_of_a_docs_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    write(page, "new\n")
    assert page.read_text("utf-8") == (f"before\n{table.BEGIN}\n\nnew\n\n{table.END}\nafter\n")
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit, match="no place for the figures"):
        write(page, "new\n")


def test_benchmark_command_prints_the_table_of_a_report_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, svg = tmp_path / "report.json", tmp_path / "picture.svg"
    file.write_text(dumped(a_report()), encoding="utf-8")
    table.main(["--from", str(file), "--svg", str(svg)])
    assert capsys.readouterr().out == markdown(a_report()) + "\n"
    assert svg.read_text("utf-8") == picture(a_report().lines)


def test_docs_show_every_benchmark_row_and_compared_library() -> None:
    page, svg = PAGE.read_text("utf-8"), PICTURE.read_text("utf-8")
    shown = page.partition(table.BEGIN)[2].partition(table.END)[0]
    ET.fromstring(svg)  # noqa: S314 - the committed picture
    for row in ROWS:
        assert f"| {row.name} | ours |" in shown
        for side in row.sides:
            assert f"| {side.name} |" in shown
        if len(row.sides) > 1:
            assert escape(f"{row.family}: {row.name}") in svg


# --- Profiles ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_profiler_restores_the_signal_handler_after_its_samples() -> None:
    (row,) = [each for each in ROWS if named(each) == "bytes in, bytes out: initiate"]
    before = signal.getsignal(signal.SIGPROF)
    assert shares.sampled(row, 2).total() >= 2
    assert signal.getsignal(signal.SIGPROF) is before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_profiler_attributes_time_to_the_running_function() -> None:
    (row,) = [each for each in ROWS if named(each) == "bytes in, bytes out: initiate"]
    work = row.sides[0].make(1)
    seen = set[str]()
    sys.setprofile(lambda frame, _event, _argument: seen.add(shares.where(frame)))
    try:
        work()
    finally:
        sys.setprofile(None)
    ours = {"constructing values", "`web.read: read`", "`service.decide: decide`"}
    assert ours | {"Python's decoder"} <= seen


def test_profile_table_sums_all_but_the_top_functions_in_one_row() -> None:
    seen = Counter({f"function {number:02}": 20 - number for number in range(shares.SHOWN + 1)})
    text = shares.markdown(seen)
    assert "| function 00 |" in text
    assert f"function {shares.SHOWN}" not in text
    assert text.splitlines()[-1].endswith("| all others |")


def test_recorded_constructor_calls_rebuild_the_benchmark_result() -> None:
    rows = {(row.family, row.name): row for row in all_rows(())}
    work = rows["connection", "authorize, accepted"].sides[0].make(2)
    made = floors.made_by(work)
    assert [type(make(*arguments)) for make, arguments in made] == [Connection, Done]
    moved, done = [make(*arguments) for make, arguments in made]
    assert done == work()
    assert isinstance(done, Done)
    assert done.value == moved
