"""The command line: tour, replay, simulate, documents and help."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from curae_lifecycle import __version__
from curae_lifecycle.cli import terminal, tour
from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.program_name import SCRIPT
from curae_lifecycle.cli.tour import steps
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.openapi import openapi
from tests.support.commands import on_a_terminal, run, without_colour
from tests.support.paths import ROOT
from tests.support.wrong_stores import Forgetful

DOCS = ROOT / "docs"


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


def test_tour_prints_every_step_with_its_rule(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_tour_written_to_a_pipe_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tour"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) <= 80
    # A blank line separates the rules from the JSON above them.
    first_rules = [at for at, line in enumerate(told) if line.startswith("   rule ")]
    assert all(told[at - 1] == "" or told[at - 1].startswith("   ") for at in first_rules)
    assert sum(told[at - 1] == "" for at in first_rules) == len([*steps()])


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/bin/curae-lifecycle", "curae-lifecycle"),
        ("curae-lifecycle.exe", "curae-lifecycle"),
        ("/lib/curae_lifecycle/__main__.py", "python -m curae_lifecycle"),
    ],
)
def test_usage_shows_the_command_name_it_was_called_by(
    called: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert main(["tour"]) == 0
    assert capsys.readouterr().out.endswith(f": {name} tables RULE\n")
    with pytest.raises(SystemExit):
        main(["tables", "nothing"])
    assert capsys.readouterr().err.startswith(f"usage: {name} ")


def test_installed_console_script_calls_main() -> None:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {SCRIPT: f"{main.__module__}:{main.__name__}"}


def test_retry_in_the_tour_gets_the_first_response_unchanged() -> None:
    (first,) = [step for step in steps() if "starts a recovery" in step.title]
    (retry,) = [step for step in steps() if "byte for byte" in step.title]
    assert retry.answered[1:] == first.answered[1:]


@pytest.mark.slow
def test_tour_text_is_the_same_with_and_without_rich() -> None:
    plain = run("tour").stdout.decode()
    tour = "from curae_lifecycle.cli.main import main; raise SystemExit(main(['tour']))"
    pretty = on_a_terminal(tour)
    assert "\x1b[" in pretty
    assert without_colour(pretty).split() == plain.split()
    assert all(len(line) <= 80 for line in without_colour(pretty).splitlines())
    assert "\x1b[31m   < 409" in pretty, "a refusal is red"
    assert "\x1b[32m   < 201" in pretty, "a success is green"
    assert '\x1b[2m   < "session"' in pretty, "JSON is dim"
    assert "\x1b[1;33m   rule " in pretty, "a rule is bold"
    poor = on_a_terminal(f"import sys; sys.modules['rich.console'] = None; {tour}")
    assert poor.replace("\r\n", "\n") == without_colour(pretty)


@pytest.mark.slow
def test_replay_command_prints_one_answer_per_log_line(log: Path) -> None:
    answered = run("replay", str(log))
    assert answered.returncode == 0
    assert answered.stderr == b""
    first, second = map(json.loads, answered.stdout.splitlines())
    assert first == {"line": 1, "outcome": "done"}
    assert (second["line"], second["status"], second["replayed"]) == (2, 201, False)


@pytest.mark.slow
def test_replay_of_stdin_continues_after_a_broken_line(log: Path) -> None:
    answered = run("replay", "-", given=b"\xff\n\n" + log.read_bytes())
    assert answered.returncode == 1
    lines = [json.loads(line) for line in answered.stdout.splitlines()]
    assert [line["line"] for line in lines] == [1, 2, 3, 4]
    assert ["error" in line for line in lines] == [True, True, False, False]


def test_replay_with_environment_test_gives_403_to_live_api_keys(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(log), "--environment", "test"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[1])
    assert (answer["status"], "WRONG_ENVIRONMENT" in answer["body"]) == (403, True)


def test_replay_check_exits_1_if_a_recorded_status_differs(
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
    rule = "operation.initiate"
    assert err == f"line 2: status: recorded 200, decided 201 by rule {rule}\n"
    assert json.loads(out.splitlines()[1])["divergences"] == [
        {"member": "status", "recorded": 200, "decided": 201, "rule": rule}
    ]


@pytest.mark.slow
def test_replay_of_a_missing_file_exits_2(tmp_path: Path) -> None:
    answered = run("replay", str(tmp_path / "none.jsonl"))
    assert answered.returncode == 2
    assert b"none.jsonl: No such file" in answered.stderr


@pytest.mark.slow
def test_closed_output_pipe_is_no_failure_of_replay(log: Path) -> None:
    register, retried = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(register + retried * 3000)
    command = f"{sys.executable} -m curae_lifecycle replay {log} | head -n 1"
    answered = subprocess.run(  # noqa: S602 - the test is about a shell pipe
        f"set -o pipefail; {command}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (answered.returncode, answered.stderr) == (0, b"")
    assert json.loads(answered.stdout) == {"line": 1, "outcome": "done"}


@pytest.mark.slow
def test_simulate_prints_counts_and_that_every_law_held(
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
    assert re.fullmatch(rf"cells reached: \d+ of {sum(map(len, TABLES.values()))}", titles[5])
    assert "never reached: request × room in the store" in told
    assert any(re.fullmatch(r" +\d+  create", line) for line in told)
    assert re.fullmatch(r"every law held: 4 client-hours, \d+ requests", told[-1])
    assert main(arguments) == 0
    assert "cells" not in capsys.readouterr().out


def test_simulate_writes_a_replayable_log_when_a_law_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curae_lifecycle.cli.simulate.MemoryStore", Forgetful)
    arguments = ["simulate", "--seed", "0", "--seeds", "9"]
    assert main(arguments) == 1
    told = capsys.readouterr().out
    place = re.search(
        r"^seed \d+ at 2026-01-\S+: law 12 is broken: .*\n.*\n.*\nto replay the log: .* -.*\n",
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
        (["--seed", "1", "--hours", "99999999"], "must be 1,000,000 or less"),
        (["--seed", "1", "--clients", "1001"], "must be 1,000 or less"),
        (["--seed", "1", "--clients", "x"], "must be a whole number"),
        (["--seed", "1", "--log", "/nowhere/at/all"], "its directory does not exist"),
        ([], "--seed"),
    ],
)
def test_simulate_with_a_bad_argument_exits_2(
    wrong: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["simulate", *wrong])
    assert why in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("rich", ["", "import sys; sys.modules['rich.console'] = None; "])
def test_tracking_progress_on_a_terminal_yields_every_line(rich: str) -> None:
    shown = on_a_terminal(
        f"{rich}from curae_lifecycle.cli.terminal import track_progress\n"
        "lines = [b'x' * 9 + b'\\n'] * 500\n"
        "assert list(track_progress('replay', lines, 5000, len)) == lines\n"
        "assert list(track_progress('replay', lines, 0, len)) == lines\n"
    )
    assert "replay" in shown


def test_progress_bar_without_rich_is_full_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    assert (
        len(list(terminal.track_progress("replay", items=[b"x" * 10] * 80, total=800, size=len)))
        == 80
    )
    assert shown.getvalue().endswith(f"\rreplay [{'#' * 40}]\n")
    shown.truncate(0)
    assert len(list(terminal.track_progress("replay", items=[b"x"] * 3, total=0, size=len))) == 3
    assert shown.getvalue() == ""


@pytest.mark.slow
def test_version_and_help_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version").stdout.decode().strip() == f"curae_lifecycle {__version__}"
    assert run().returncode == 2
    for command in ((), ("tour",), ("tables",), ("replay",), ("simulate",)):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
        assert "usage: python -m curae_lifecycle" in capsys.readouterr().out


def test_version_option_prints_the_version_of_the_package(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"curae_lifecycle {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["database"], "the following arguments are required: ACT"),
        (["tour", "one", "two"], "unrecognized arguments: one two"),
    ],
)
def test_missing_or_unknown_argument_exits_2_and_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.endswith(f": error: {said}\n")


DOCUMENTS = {"openapi": openapi, "asyncapi": asyncapi}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_openapi_and_asyncapi_check_exits_1_for_a_stale_file(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENTS[command]()
    file = tmp_path / f"{command}.json"
    assert main([command, "--write", str(file), "--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert not file.exists()
    assert main([command, "--write", str(file)]) == 0
    assert main([command, "--write", str(file), "--check"]) == 0
    file.write_text("{}")
    assert main([command, "--write", str(file), "--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert main([command, "--write", str(DOCS / f"{command}.json"), "--check"]) == 0


def test_openapi_server_option_sets_the_only_server_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi", "--server", "https://api.health.example"]) == 0
    assert json.loads(capsys.readouterr().out)["servers"] == [{"url": "https://api.health.example"}]


@pytest.mark.parametrize("command", DOCUMENTS)
def test_openapi_and_asyncapi_with_check_but_no_write_exit_2(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--check"])
    assert stopped.value.code == 2
    assert "--write" in capsys.readouterr().err


@pytest.mark.parametrize(("terminal_end", "said"), [(True, "\n"), (False, "")])
def test_interrupt_exits_130_without_a_traceback(
    terminal_end: bool,  # noqa: FBT001 - a parameter of the test
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tour, "steps", interrupt)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal_end)
    assert main(["tour"]) == 130
    assert capsys.readouterr() == ("", said)


def test_importing_dunder_main_runs_no_command() -> None:
    assert import_module("curae_lifecycle.__main__").main is main
