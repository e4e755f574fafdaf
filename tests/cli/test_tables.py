"""The command `tables`: printing tables, comparing releases, finding rules."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from curae_lifecycle import __version__
from curae_lifecycle.cli import tables
from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.release import parse_release
from curae_lifecycle.cli.table_formats import to_document, to_markdown
from curae_lifecycle.cli.tables import find_source
from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.service.rulebook import TABLES, find_rule
from tests.support.commands import help_of, on_a_terminal, run, without_colour


def test_tables_command_prints_all_tables_or_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables"]) == 0
    everything = capsys.readouterr().out
    assert everything.count("\n# ") + 1 == len(TABLES)
    assert main(["tables", "recovery"]) == 0
    assert capsys.readouterr().out == to_markdown(TABLES["recovery"])


def test_tables_command_prints_json_and_mermaid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [table["name"] for table in document["tables"]] == list(TABLES)
    assert (document["format"], document["version"]) == (1, __version__)
    assert main(["tables", "access", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "access"
    assert main(["tables", "--format", "mermaid"]) == 0
    assert "PENDING --> ACTIVE: authorize" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["tables", "access", "--format", "mermaid"])
    assert "moves no state" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_tables_print_arrow_as_question_mark_if_not_encodable(
    encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []
    for arguments in (["tables", "--format", "json"], ["tables", "operation"]):
        output = io.TextIOWrapper(io.BytesIO(), encoding)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", output)
            assert main(arguments) == 0
        output.seek(0)
        printed.append(output.read())
    assert printed[0] == to_document(TABLES.values())
    assert printed[1] == to_markdown(TABLES["operation"]).replace("\N{RIGHTWARDS ARROW}", "?")
    assert parse_release(printed[0]).version == __version__
    # The encoding of this test's own output has an arrow.
    assert main(["tables", "operation"]) == 0
    assert "\N{RIGHTWARDS ARROW}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.heavy)])
def test_tables_command_prints_the_source_line_of_a_rule(
    step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in TABLES.values():
        for row in table.rows[::step]:
            assert main(["tables", row.rule]) == 0
            place = capsys.readouterr().out.splitlines()[2]
            assert re.fullmatch(r"curae_lifecycle/[\w/]+\.py:\d+", place), (row.rule, place)
    assert main(["tables", "connection.reconnect.active", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "connection"


@pytest.fixture
def older(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Write an older release, in which revoking a pending connection was ignored."""
    main(["tables", "--format", "json"])
    document = json.loads(capsys.readouterr().out) | {"version": "0.0.1"}
    for table in document["tables"]:
        for cell in table["cells"]:
            if cell["rule"] == "connection.revoke.pending":
                cell |= {"outcome": {"kind": "Ignore"}, "says": "ignore"}
    path = tmp_path / "older.json"
    path.write_text(json.dumps(document))
    return path


def test_tables_diff_prints_changes_since_an_older_release(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", "--diff", str(older)]) == 1
    rule = find_rule("connection.revoke.pending")
    assert rule is not None
    why = rule.row.why
    assert capsys.readouterr().out == (
        f"from 0.0.1 to {__version__}: changed: 1 table; answer changed: 1 cell\n"
        "\n"
        "connection\n"
        "  revoke × PENDING: answer changed\n"
        f"    was: ignore, by connection.revoke.pending: {why}\n"
        f"    now: REVOKED, by connection.revoke.pending: {why}\n"
    )
    assert main(["tables", "--diff", str(older), "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["from"], document["to"]) == ("0.0.1", __version__)
    assert [table["name"] for table in document["changes"]] == ["connection"]


def test_tables_diff_of_a_release_with_itself_is_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tables", "--format", "json"])
    same = tmp_path / "same.json"
    same.write_text(capsys.readouterr().out)
    assert main(["tables", "--diff", str(same)]) == 0
    assert capsys.readouterr().out == f"from {__version__} to {__version__}: no difference\n"
    assert main(["tables", "--diff", str(same), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == []


@pytest.mark.slow
def test_tables_diff_prints_columns_on_a_terminal(older: Path) -> None:
    words = run("tables", "--diff", str(older)).stdout.decode().split()
    program = (
        "from curae_lifecycle.cli.main import main\n"
        f"assert main(['tables', '--diff', {str(older)!r}]) == 1\n"
    )
    pretty = without_colour(on_a_terminal(program))
    assert all(len(line.rstrip()) <= 80 for line in pretty.splitlines())
    assert {word.strip(":─") for word in pretty.split()} == {
        *(word.strip(":") for word in words), *("where", "change", "and", ""),
    }  # fmt: skip
    poor = on_a_terminal(f"import sys; sys.modules['rich.console'] = None\n{program}")
    assert poor.split() == words


@pytest.mark.parametrize(
    ("given", "more", "why"),
    [
        (b"\xff", [], "it is not JSON"),
        (b"{}", [], "it is not a document of tables"),
        (b'{"format": 2}', [], "its format is 2, but this version reads only 1"),
        (None, [], "No such file"),
        (b"{}", ["access"], "--diff compares all tables"),
        (b"{}", ["--format", "mermaid"], "--diff compares all tables"),
    ],
)
def test_tables_diff_with_an_unusable_file_or_option_exits_2(
    given: bytes | None,
    more: list[str],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "old.json"
    if given is not None:
        path.write_bytes(given)
    with pytest.raises(SystemExit, match="2"):
        main(["tables", "--diff", str(path), *more])
    assert why in capsys.readouterr().err


def test_unknown_table_name_exits_2_and_lists_the_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["tables", "nonsense"])
    assert "nonsense" in (told := capsys.readouterr().err)
    assert "recovery" in told


def shown_table(columns: int, name: str, before: str = "") -> str:
    """Return what `tables NAME` prints on a terminal of this width."""
    main_of = "from curae_lifecycle.cli.main import main"
    program = f"import os\nos.environ['COLUMNS'] = '{columns}'\n{before}\n{main_of}\n"
    return without_colour(on_a_terminal(f"{program}raise SystemExit(main(['tables', '{name}']))"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (80, "connection"),
        (160, "recovery"),
        pytest.param(80, "recovery", marks=pytest.mark.heavy),
        pytest.param(80, "idempotency", marks=pytest.mark.heavy),
        pytest.param(160, "connection", marks=pytest.mark.heavy),
        pytest.param(160, "idempotency", marks=pytest.mark.heavy),
    ],
)
def test_table_on_a_terminal_prints_columns_with_whole_words(columns: int, name: str) -> None:
    shown = shown_table(columns, name)
    assert all(len(line.rstrip()) <= columns for line in shown.splitlines())
    words = set(shown.split())
    for row in TABLES[name].rows:
        assert set(str(row.outcome).split()) <= words, row.rule
        assert set(row.why.split()) <= words, row.rule
        assert columns < 160 or row.rule in words


@pytest.mark.slow
def test_table_on_a_terminal_without_rich_is_markdown() -> None:
    shown = shown_table(80, "recovery", "import sys; sys.modules['rich.console'] = None")
    assert shown == to_markdown(TABLES["recovery"])


@pytest.mark.parametrize(
    ("word", "rules"),
    [
        ("ALREADY_ACTIVE", ["connection.reconnect.active"]),
        (
            "BINDING_NOT_LIMITED",
            [
                "graduation-handoff.unlinked",
                "graduation-handoff.active",
                "graduation-handoff.tombstoned",
                "problem.binding-not-limited",
            ],
        ),
        ("PACKAGE_NOT_GRANTED", ["access.active-other-package"]),
    ],
)
def test_tables_command_with_a_problem_code_prints_its_rules(
    word: str, rules: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", word]) == 0
    shown = capsys.readouterr().out.split("\n\n")
    assert [each.partition(":")[0] for each in shown if each] == rules
    for each in shown[: len(rules)]:
        assert re.fullmatch(r"curae_lifecycle/[\w/]+\.py:\d+", each.splitlines()[2])
    assert main(["tables", word, "--format", "json"]) == 0
    named = json.loads(capsys.readouterr().out)
    found = named.get("tables", [named])
    assert {rule.partition(".")[0] for rule in rules} >= {
        table["name"].removesuffix("s") if table["name"] == "problems" else table["name"]
        for table in found
    }


LAMP = """\
from curae_lifecycle.rules.tables import Axis, Row, Table

SIZE = max(len("lamp"), 1)
LAMP = Table[str, str](
    "lamp",
    "What to do.",
    Axis("light", ("red", "green")),
    Row("red", "go", "[O] It is safe."),
    Row("green", "stop", "[O] It is not."),
)
"""


def test_source_of_a_rule_is_the_file_and_line_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lamps"
    package.mkdir()
    (package / "rules.py").write_text(LAMP)
    monkeypatch.setattr(tables, "PACKAGE", package)
    namespace: dict[str, Table[str, str]] = {}
    exec(LAMP, namespace)  # noqa: S102 - the code of the file
    lamp = namespace["LAMP"]
    places = [find_source(lamp, row) for row in lamp.rows]
    assert places == ["lamps/rules.py:8", "lamps/rules.py:9"]


def test_rule_of_a_table_outside_the_package_has_no_source_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PACKAGE", tmp_path)
    axis = Axis("weather", ("rain",))
    table: Table[str, str] = Table(
        "of-elsewhere", "What to wear.", axis, Row("rain", "a coat", "[O] It is wet.")
    )
    assert find_source(table, table["rain"]) == "its source was not found"


def test_help_of_tables_explains_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "tables") == (
        "usage: python -m curae_lifecycle tables [-h] [--format {md,mermaid,json}] "
        "[--diff OLD.json] [NAME] "
        "Prints every table, or the named one. Given the name of a rule, a problem code or a "
        "reason, prints the matching rules and the lines of code that declare them. "
        "positional arguments: NAME a table, a rule, a problem code or a reason; by default every "
        "table "
        "options: -h, --help show this help message and exit "
        "--format {md,mermaid,json} how to print (default: md) "
        "--diff OLD.json print the changes since OLD.json, which --format json printed; the exit "
        "status is 1 if there are any"
    )
