"""The output of `tables` in full: on a terminal with colours, in columns, and in each format."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import curae_lifecycle
from curae_lifecycle import __version__
from curae_lifecycle.cli import terminal
from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.release import parse_release
from curae_lifecycle.cli.table_diff import compare, format_changes
from curae_lifecycle.cli.table_formats import to_document, to_json, to_markdown, to_mermaid
from curae_lifecycle.service.rulebook import TABLES, find_rule
from tests.support.commands import without_colour
from tests.support.paths import ROOT

PACKAGE = Path(curae_lifecycle.__file__).parent
ARROWS = "\n".join([to_mermaid(table) for table in TABLES.values() if table.state is not None])


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "\n".join(map(to_markdown, TABLES.values()))),
        (["access"], to_markdown(TABLES["access"])),
        (["--format", "mermaid"], ARROWS),
        (["binding", "--format", "mermaid"], to_mermaid(TABLES["binding"])),
        (["--format", "json"], to_document(TABLES.values())),
        (["access", "--format", "json"], to_json(TABLES["access"])),
        (["access.active", "--format", "json"], to_json(TABLES["access"])),
        (["connection.expire.active", "--format", "mermaid"], to_mermaid(TABLES["connection"])),
        (
            ["BINDING_NOT_LIMITED", "--format", "json"],
            to_document([TABLES["graduation-handoff"], TABLES["problems"]]),
        ),
    ],
)
def test_tables_command_prints_the_requested_format(
    arguments: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", *arguments]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("connection.revoke.pending", "Row("),
        ("operation.initiate", 'name="initiate"'),
        ("access.active", "Row("),
    ],
)
def test_tables_command_prints_source_line_and_table_of_a_rule(
    rule: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_rule(rule)
    assert found is not None
    assert main(["tables", rule]) == 0
    told = capsys.readouterr().out
    place = told.splitlines()[2]
    file, _, line = place.partition(":")
    text = (PACKAGE.parent / file).read_text("utf-8").splitlines()
    assert code in text[int(line) - 1].replace(" = ", "=")
    row = found.row
    assert told == f"{rule}: {row.outcome}\n{row.why}\n{place}\n\n{to_markdown(found.table)}"


# --- Differences ------------------------------------------------------------------------------


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Write an older release, in which one table and the answer of one cell differed."""
    document = json.loads(to_document(TABLES.values())) | {"version": "0.0.1"}
    (table,) = [each for each in document["tables"] if each["name"] == "connection"]
    table["law"] = "Formerly."
    for cell in table["cells"]:
        if cell["rule"] == "connection.revoke.pending":
            cell |= {"outcome": {"kind": "Ignore"}, "says": "ignore"}
    path = tmp_path / "older.json"
    path.write_text(json.dumps(document))
    return path


def test_tables_diff_on_a_wide_terminal_wraps_no_text(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    console = Console(
        file=shown, width=400, force_terminal=True, color_system="standard", highlight=False
    )
    monkeypatch.setattr(terminal, "_console", lambda **_: console)
    assert main(["tables", "--diff", str(older)]) == 1
    summary = "changed: 1 table; answer changed: 1 cell"
    assert shown.getvalue().startswith(f"\x1b[1mfrom 0.0.1 to {__version__}: {summary}\x1b[0m\n")
    plain = without_colour(shown.getvalue()).splitlines()
    lines = [" ".join(line.split()) for line in plain if set(line) - {" ", "─"}]
    table, rule = TABLES["connection"], find_rule("connection.revoke.pending")
    assert rule is not None
    assert lines == [
        f"from 0.0.1 to {__version__}: {summary}",
        "connection",
        "where change was and now",
        # The last column gets the remaining width, so that no detail breaks.
        "what it reworded was: Formerly.",
        f"decides now: {table.law}",
        f"revoke answer was: ignore, by {rule.row.rule}: {rule.row.why}",
        f"× changed now: REVOKED, by {rule.row.rule}: {rule.row.why}",
        "PENDING",
    ]


def test_tables_diff_as_json_prints_one_document(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = parse_release(older.read_text()), parse_release(to_document(TABLES.values()))
    assert main(["tables", "--diff", str(older), "--format", "json"]) == 1
    assert capsys.readouterr().out == format_changes(old, new, compare(old, new))


# --- Mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["zzzzz"],
            f"no table, rule, problem or reason is named zzzzz; the tables are {', '.join(TABLES)}",
        ),
        (
            ["access", "--format", "mermaid"],
            "the table access moves no state, so it has no diagram",
        ),
        (
            ["access.active", "--format", "mermaid"],
            "the table access moves no state, so it has no diagram",
        ),
        (
            ["--diff", "x", "access"],
            "--diff compares all tables: omit NAME, and use --format md or json",
        ),
        (["--diff", "none.json"], "cannot read none.json: No such file or directory"),
        (["--diff", "pyproject.toml"], "cannot read pyproject.toml: it is not JSON"),
    ],
)
def test_tables_with_invalid_arguments_exits_2_and_says_why(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="2"):
        main(["tables", *arguments])
    assert capsys.readouterr().err.endswith(f" tables: error: {said}\n")
