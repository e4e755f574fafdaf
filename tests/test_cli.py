"""The command line, run as a user runs it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from curae_lifecycle import __version__
from curae_lifecycle.cli import terminal
from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.pages import pages, to_markdown
from curae_lifecycle.cli.tables import place
from curae_lifecycle.cli.tour import steps
from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.service.changes import RecordWrite, Write
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.openapi import openapi
from tests.vectors import vectors
from tests.vectors.__main__ import main as write_vectors

DOCS = Path(__file__).parent.parent / "docs"
ACCOUNT = "d8c60791-7301-441c-98e8-5bea9a162d9b"
REGISTER = {
    "at": "2026-01-01T00:00:00Z",
    "register": {
        "apiKey": "cae_live_k1",
        "appId": "app-1",
        "customerAccountId": ACCOUNT,
        "scopes": ["connection:write"],
    },
}


def initiate(status: int = 201) -> dict[str, object]:
    headers = {"Authorization": "Bearer cae_live_k1", "Idempotency-Key": "k"}
    path = "/api/sdk/v1/curae-connect/initiate"
    request = {"method": "POST", "path": path, "headers": headers, "body": {"appUserId": "u"}}
    return {"at": "2026-01-01T00:00:01Z", "request": request, "response": {"status": status}}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (REGISTER, initiate())))
    return path


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "curae_lifecycle", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def on_a_terminal(code: str) -> str:
    """What a program writes while its standard streams are a terminal."""
    controller, terminal_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=terminal_end,
        stdout=terminal_end,
        stderr=terminal_end,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    ) as process:
        os.close(terminal_end)
        written = b""
        try:
            while chunk := os.read(controller, 65536):
                written += chunk
        except OSError:
            # Linux says so when the last writer is gone.
            pass
        os.close(controller)
        assert process.wait(timeout=60) == 0, written.decode()
    return written.decode()


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")


def test_the_tour_tells_the_whole_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tour"]) == 0
    told = capsys.readouterr().out
    statuses = [step.answered[0] for step in steps()]
    assert statuses == [
        *("201", "201", "done", "201", "201", "done", "409", "200"),
        *("201", "201 (replayed)", "200", "200", "429"),
    ]
    for path in ("SILENT_LIMITED", "NEW_ACTIVE_SIGNUP_HANDOFF", "EXISTING_ACTIVE_HANDOFF"):
        assert path in told
    for rule in (step.rules[-1] for step in steps()):
        assert find_rule(rule) is not None
        assert f"rule {rule}: [" in told
    assert '"revokedNow": true' in told
    assert '"revokedNow": false' in told
    assert "retry-after: 50" in told


def test_the_tour_replays_byte_for_byte() -> None:
    told = {step.title.split()[0]: step.answered for step in steps()}
    assert told["So"][1:] == told["The"][1:]


def test_the_tour_reads_the_same_with_and_without_rich() -> None:
    plain = run("tour").stdout.decode()
    tour = "from curae_lifecycle.cli.main import main; raise SystemExit(main(['tour']))"
    pretty = on_a_terminal(tour)
    assert "\x1b[" in pretty
    assert without_colour(pretty).split() == plain.split()
    assert all(len(line) <= 80 for line in without_colour(pretty).splitlines())
    assert "\x1b[31m   < 409" in pretty, "a refusal is red"
    assert "\x1b[32m   < 201" in pretty, "a success is green"
    poor = on_a_terminal(f"import sys; sys.modules['rich.console'] = None; {tour}")
    assert poor.replace("\r\n", "\n") == without_colour(pretty)


def test_tables_prints_all_of_them_or_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables"]) == 0
    everything = capsys.readouterr().out
    assert everything.count("\n# ") + 1 == len(TABLES)
    assert main(["tables", "recovery"]) == 0
    assert capsys.readouterr().out == to_markdown(TABLES["recovery"])


def test_tables_speaks_json_and_mermaid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert [table["name"] for table in tables["tables"]] == list(TABLES)
    assert (tables["format"], tables["version"]) == (1, __version__)
    assert main(["tables", "access", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "access"
    assert main(["tables", "--format", "mermaid"]) == 0
    assert "PENDING --> ACTIVE: authorize" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["tables", "access", "--format", "mermaid"])
    assert "moves no state" in capsys.readouterr().err


def test_a_rule_of_an_answer_leads_to_its_line_of_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for table in TABLES.values():
        for row in table.rows:
            assert main(["tables", row.rule]) == 0
            place = capsys.readouterr().out.splitlines()[2]
            assert re.fullmatch(r"curae_lifecycle/[\w/]+\.py:\d+", place), (row.rule, place)
    assert main(["tables", "connection.reconnect.active", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "connection"


@pytest.fixture
def older(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """All tables, as if revoking a pending connection had once done nothing."""
    main(["tables", "--format", "json"])
    document = json.loads(capsys.readouterr().out) | {"version": "0.0.1"}
    for table in document["tables"]:
        for cell in table["cells"]:
            if cell["rule"] == "connection.revoke.pending":
                cell |= {"outcome": {"kind": "Ignore"}, "says": "ignore"}
    path = tmp_path / "older.json"
    path.write_text(json.dumps(document))
    return path


def test_what_changed_since_an_older_release_is_said(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", "--diff", str(older)]) == 1
    why = TABLES["connection"].rows[18].why
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


def test_between_a_release_and_itself_there_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tables", "--format", "json"])
    same = tmp_path / "same.json"
    same.write_text(capsys.readouterr().out)
    assert main(["tables", "--diff", str(same)]) == 0
    assert capsys.readouterr().out == f"from {__version__} to {__version__}: no difference\n"
    assert main(["tables", "--diff", str(same), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == []


def test_what_changed_stands_in_columns_on_a_terminal(older: Path) -> None:
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
        (b"{}", [], "it is no document of tables"),
        (b'{"format": 2}', [], "its format is 2, and this version reads 1"),
        (None, [], "No such file"),
        (b"{}", ["access"], "--diff compares all tables"),
        (b"{}", ["--format", "mermaid"], "--diff compares all tables"),
        (b"{}", ["--write", "pages"], "not allowed with argument"),
    ],
)
def test_a_file_that_cannot_be_compared_is_a_mistake_on_the_command_line(
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


def test_an_unknown_table_is_named_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["tables", "nonsense"])
    assert "nonsense" in (told := capsys.readouterr().err)
    assert "recovery" in told


def test_pages_are_written_and_a_stale_one_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["tables", "--write", str(tmp_path / "tables")]
    assert main([*target, "--check"]) == 1
    assert main(target) == 0
    assert main([*target, "--check"]) == 0
    assert {path.name for path in (tmp_path / "tables").iterdir()} == set(pages())
    (tmp_path / "tables" / "access.md").write_text("stale")
    (tmp_path / "tables" / "of-old.md").write_text("nobody's")
    capsys.readouterr()
    assert main([*target, "--check"]) == 1
    assert "access.md, of-old.md" in capsys.readouterr().err


def test_vectors_are_written_and_a_stale_one_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = [str(tmp_path / "vectors")]
    assert write_vectors(target) == 0
    assert write_vectors([*target, "--check"]) == 0
    assert {path.name for path in (tmp_path / "vectors").iterdir()} == set(vectors())
    (tmp_path / "vectors" / "merge.json").write_text("{}")
    assert write_vectors([*target, "--check"]) == 1
    assert "merge.json" in capsys.readouterr().err


def test_replay_answers_every_line(log: Path) -> None:
    answered = run("replay", str(log))
    assert answered.returncode == 0
    assert answered.stderr == b""
    first, second = map(json.loads, answered.stdout.splitlines())
    assert first == {"line": 1, "outcome": "done"}
    assert (second["line"], second["status"], second["replayed"]) == (2, 201, False)


def test_replay_reads_standard_input_and_goes_on_after_a_broken_line(log: Path) -> None:
    answered = run("replay", "-", given=b"\xff\n\n" + log.read_bytes())
    assert answered.returncode == 1
    lines = [json.loads(line) for line in answered.stdout.splitlines()]
    assert [line["line"] for line in lines] == [1, 2, 3, 4]
    assert ["error" in line for line in lines] == [True, True, False, False]


def test_replay_serves_one_environment(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(log), "--environment", "test"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[1])
    assert (answer["status"], "WRONG_ENVIRONMENT" in answer["body"]) == (403, True)


def test_replay_checks_recorded_responses(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(log), "--check"]) == 0
    assert capsys.readouterr().err == ""
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("".join(json.dumps(line) + "\n" for line in (REGISTER, initiate(200))))
    assert main(["replay", str(wrong)]) == 0
    capsys.readouterr()
    assert main(["replay", str(wrong), "--check"]) == 1
    out, err = capsys.readouterr()
    rule = "binding.provision.unlinked"
    assert err == f"line 2: status: recorded 200, decided 201 by rule {rule}\n"
    assert json.loads(out.splitlines()[1])["divergences"] == [
        {"member": "status", "recorded": 200, "decided": 201, "rule": rule}
    ]


def test_a_log_that_is_not_there_is_a_mistake_on_the_command_line(tmp_path: Path) -> None:
    answered = run("replay", str(tmp_path / "none.jsonl"))
    assert answered.returncode == 2
    assert b"none.jsonl: No such file" in answered.stderr


def test_a_reader_that_has_read_enough_is_no_error(log: Path) -> None:
    log.write_bytes(log.read_bytes() * 3000)
    command = f"{sys.executable} -m curae_lifecycle replay {log} | head -n 1"
    answered = subprocess.run(  # noqa: S602 - a shell's pipe is what is tested
        f"set -o pipefail; {command}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (answered.returncode, answered.stderr) == (0, b"")
    assert json.loads(answered.stdout) == {"line": 1, "outcome": "done"}


def test_simulate_tells_what_happened_and_that_every_law_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["simulate", "--seed", "3", "--seeds", "2", "--clients", "1", "--hours", "2"]
    assert main([*arguments, "--cells"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    told = out.splitlines()
    assert told[0].startswith("seed 3: 2 client-hours, ")
    assert told[1].startswith("seed 4: 2 client-hours, ")
    titles = [line for line in told[2:] if not line.startswith((" ", "never reached: "))]
    assert titles[:5] == ["requests", "answers", "facts", "access", "mishaps"]
    assert re.fullmatch(r"cells reached: \d+ of 339", titles[5])
    assert "never reached: request × room in the store" in told
    assert any(re.fullmatch(r" +\d+  create", line) for line in told)
    assert re.fullmatch(r"every law held: 4 client-hours, \d+ requests", told[-1])
    assert main(arguments) == 0
    assert "cells" not in capsys.readouterr().out


class Forgetful(MemoryStore):
    """A store that keeps no answer."""

    def store(self, writes: tuple[Write, ...]) -> bool:
        return super().store(tuple(w for w in writes if not isinstance(w, RecordWrite)))


def test_simulate_writes_a_log_that_replay_reads_where_a_law_does_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curae_lifecycle.cli.simulate.MemoryStore", Forgetful)
    arguments = ["simulate", "--seed", "0", "--seeds", "9"]
    assert main(arguments) == 1
    told = capsys.readouterr().out
    place = re.search(
        r"^seed \d+ at 2026-01-\S+: law 12 is broken: .*\n.*\n.*\nread the log with: .* -.*\n",
        told,
        re.MULTILINE,
    )
    assert place is not None
    path = tmp_path / "violation.jsonl"
    assert main([*arguments, "--log", str(path)]) == 1
    assert path.read_text() == told[place.end() :]
    capsys.readouterr()
    assert main(["replay", str(path)]) == 0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--seed", "x"], "invalid int value"),
        (["--seed", "1", "--hours", "0"], "must be 1 or more"),
        (["--seed", "1", "--clients", "x"], "invalid"),
        (["--seed", "1", "--log", "/nowhere/at/all"], "no such place"),
        ([], "--seed"),
    ],
)
def test_simulate_says_what_is_wrong_with_an_argument(
    wrong: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["simulate", *wrong])
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("rich", ["", "import sys; sys.modules['rich.console'] = None; "])
def test_progress_shows_on_a_terminal_and_hands_every_line_on(rich: str) -> None:
    shown = on_a_terminal(
        f"{rich}from curae_lifecycle.cli.terminal import steps\n"
        "lines = [b'x' * 9 + b'\\n'] * 500\n"
        "assert list(steps('replay', lines, 5000, len)) == lines\n"
        "assert list(steps('replay', lines, 0, len)) == lines\n"
    )
    assert "replay" in shown


def test_progress_without_rich_fills_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    assert len(list(terminal.steps("replay", [b"x" * 10] * 80, 800, len))) == 80
    assert shown.getvalue().endswith(f"\rreplay [{'#' * 40}]\n")
    shown.truncate(0)
    assert len(list(terminal.steps("replay", [b"x"] * 3, 0, len))) == 3
    assert shown.getvalue() == ""


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version").stdout.decode().strip() == f"curae_lifecycle {__version__}"
    assert run().returncode == 2
    for command in ((), ("tour",), ("tables",), ("replay",), ("simulate",)):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
        assert "usage: python -m curae_lifecycle" in capsys.readouterr().out


DOCUMENTS = {"openapi": openapi, "asyncapi": asyncapi}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_a_document_is_printed_written_and_checked(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENTS[command]()
    file = tmp_path / f"{command}.json"
    assert main([command, "--write", str(file)]) == 0
    assert main([command, "--write", str(file), "--check"]) == 0
    file.write_text("{}")
    assert main([command, "--write", str(file), "--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert main([command, "--write", str(DOCS / f"{command}.json"), "--check"]) == 0


@pytest.mark.parametrize("command", DOCUMENTS)
def test_a_check_of_no_file_is_a_mistake(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--check"])
    assert stopped.value.code == 2
    assert "--write" in capsys.readouterr().err


def shown_table(columns: int, name: str, before: str = "") -> str:
    """What `tables NAME` prints on a terminal that is so wide."""
    main_of = "from curae_lifecycle.cli.main import main"
    program = f"import os\nos.environ['COLUMNS'] = '{columns}'\n{before}\n{main_of}\n"
    return without_colour(on_a_terminal(f"{program}raise SystemExit(main(['tables', '{name}']))"))


@pytest.mark.parametrize("name", ["recovery", "connection", "idempotency"])
@pytest.mark.parametrize("columns", [80, 160])
def test_a_table_stands_in_columns_on_a_terminal_and_no_word_is_broken(
    name: str, columns: int
) -> None:
    shown = shown_table(columns, name)
    assert all(len(line.rstrip()) <= columns for line in shown.splitlines())
    words = set(shown.split())
    for row in TABLES[name].rows:
        assert set(str(row.outcome).split()) <= words, row.rule
        assert set(row.why.split()) <= words, row.rule
        assert columns < 160 or row.rule in words


def test_a_table_is_markdown_on_a_terminal_without_rich() -> None:
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
def test_a_problem_s_code_and_a_reason_lead_to_their_rules(
    word: str, rules: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", word]) == 0
    shown = capsys.readouterr().out.split("\n\n")
    assert [each.partition(":")[0] for each in shown if each] == rules
    for each in shown[: len(rules)]:
        assert re.fullmatch(r"curae_lifecycle/[\w/]+\.py:\d+", each.splitlines()[2])
    assert main(["tables", word, "--format", "json"]) == 0
    named = json.loads(capsys.readouterr().out)
    tables = named.get("tables", [named])
    assert {rule.partition(".")[0] for rule in rules} >= {
        table["name"].removesuffix("s") if table["name"] == "problems" else table["name"]
        for table in tables
    }


def test_a_rule_of_a_table_made_elsewhere_has_no_line_here() -> None:
    axis = Axis("weather", ("rain",))
    table: Table[str, str] = Table(
        "of-elsewhere", "What to wear.", axis, Row("rain", "a coat", "[O] It is wet.")
    )
    assert place(table, table["rain"]) == "its source is not at hand"


def test_the_module_that_python_runs_does_nothing_when_it_is_imported() -> None:
    assert import_module("curae_lifecycle.__main__").main is main
