"""Standard streams that fail: a reader that closed the pipe, a full disk, closed descriptors."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import NoReturn

import pytest

from curae_lifecycle.cli import facts
from curae_lifecycle.cli.main import main
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.cli.operating import NAMED, Platform
from tests.support.commands import Command

FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")

SHORT = (["problems", "NOT_FOUND"], ["tables", "connection.reconnect.active"], ["--version"])


@contextmanager
def closed_pipe() -> Generator[None, None, None]:
    """Make standard output a buffered pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, redirect_stdout(stream):
        yield
        # Python flushes again at exit, which must not fail.
        stream.flush()


@contextmanager
def full_disk() -> Generator[None, None, None]:
    """Make standard output a file that takes nothing."""
    with FULL.open("w") as stream, redirect_stdout(stream):
        yield
        stream.flush()


def exit_status(*arguments: str) -> object:
    try:
        return main([*arguments])
    except SystemExit as ended:
        return ended.code


def revocations(*connections: str) -> str:
    line = {"type": "connection.revoke", "actor": "PLATFORM"}
    return "".join(json.dumps(line | {"connectionId": each}) + "\n" for each in connections)


# --- A reader that closed the pipe ------------------------------------------------------------


@pytest.mark.parametrize("arguments", [*SHORT, ["tables"], ["tables", "--help"]])
def test_closed_pipe_exits_0_without_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with closed_pipe():
        assert exit_status(*arguments) == 0
    assert capsys.readouterr().err == ""


def test_closed_pipe_keeps_the_exit_status_of_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "log.jsonl"
    broken.write_text("no JSON\n")
    with closed_pipe():
        assert exit_status("replay", str(broken)) == 1
        assert exit_status("tables", "nothing") == 2


def test_facts_command_with_a_closed_pipe_records_every_fact(
    platform: Platform, command: Command
) -> None:
    made = [platform.connect(f"u{n}") for n in range(3)]
    with closed_pipe():
        assert command("facts", "-", given=revocations(*made)) == (0, [], "")
    assert {platform.status(each) for each in made} == {"REVOKED"}


def test_outbox_with_a_closed_pipe_exits_0_and_keeps_messages(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    count = Statement("SELECT COUNT(*) FROM curae_outbox")
    before = platform.database.rows(count)
    with closed_pipe():
        assert command("outbox", "--once") == (0, [], "")
    assert platform.database.rows(count) == before


def test_facts_command_names_the_line_at_which_it_stopped(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = platform.connect("u2")

    def fail_last(store: SqlStore, fact: Fact, *, retry_policy: RetryPolicy) -> FactAnswer:
        if getattr(fact, "connection_id", None) == last:
            raise StoreUnavailableError("lost")
        return record(store, fact, retry_policy=retry_policy)

    monkeypatch.setattr(facts, "record", fail_last)
    given = revocations(platform.connect("u1"), last)
    with closed_pipe():
        status, _, error = command("facts", "-", given=given)
    assert status == 1
    assert error.startswith("stopped at line 2\n")


# --- A full disk ------------------------------------------------------------------------------


@needs_full_device
@pytest.mark.parametrize("arguments", [*SHORT, ["tables", "--format", "json"]])
def test_full_disk_exits_1_and_says_why(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with full_disk():
        assert exit_status(*arguments) == 1
    error = capsys.readouterr().err
    assert error.endswith("error: the output could not be printed: No space left on device\n")


@needs_full_device
def test_outbox_command_on_a_full_disk_exits_1_with_one_error(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    count = Statement("SELECT COUNT(*) FROM curae_outbox")
    before = platform.database.rows(count)
    with full_disk():
        status, _, error = command("outbox", "--once")
    assert (status, platform.database.rows(count)) == (1, before)
    assert error.count("error: ") == 1


@needs_full_device
def test_facts_command_on_a_full_disk_records_all_and_exits_1(
    platform: Platform, command: Command
) -> None:
    made = [platform.connect(f"u{n}") for n in range(3)]
    with full_disk():
        status, _, error = command("facts", "-", given=revocations(*made))
    assert {platform.status(each) for each in made} == {"REVOKED"}
    assert status == 1
    assert "error: the outcomes from line 1 on could not be printed: No space left" in error


@needs_full_device
def test_facts_on_full_disk_says_that_an_error_was_not_printed(
    platform: Platform, command: Command
) -> None:
    assert platform.connect()
    with full_disk():
        status, _, error = command("facts", "-", given="no JSON\n")
    assert status == 1
    assert "error: the outcomes from line 1 on could not be printed" in error


def test_file_error_unrelated_to_standard_output_is_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Standard output is intact.
    monkeypatch.setattr("curae_lifecycle.cli.tables.run", lambda *_: (tmp_path / "x").read_text())
    with pytest.raises(FileNotFoundError):
        main(["tables"])


# --- Closed standard streams ------------------------------------------------------------------


def test_keys_register_with_closed_output_registers_no_key(
    platform: Platform, command: Command
) -> None:
    count = Statement("SELECT COUNT(*) FROM curae_caller")
    before = platform.database.rows(count)
    with redirect_stdout(None):
        status, _, error = command("keys", "register", *NAMED)
    assert (status, platform.database.rows(count)) == (1, before)
    assert error.endswith("error: standard output is closed\n")


def test_commands_with_closed_standard_error_succeed(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = platform.connect()
    for arguments in (("database", "create"), ("database", "purge"), ("facts", "-")):
        with monkeypatch.context() as closed:
            closed.setattr(sys, "stderr", None)
            assert command(*arguments, given=revocations(made))[0] == 0
            sys.stderr.close()
    assert platform.status(made) == "REVOKED"


@pytest.mark.usefixtures("ascii_locale")
def test_error_text_to_closed_standard_error_keeps_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert exit_status("asyncapi", "--write", str(tmp_path / "é.json"), "--check") == 1
    sys.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("facts", "-"),
        ("keys", "withdraw", "--stdin"),
        ("keys", "register", "--stdin", *NAMED),
        ("database", "erase", *NAMED),
    ],
)
def test_closed_standard_input_exits_2_and_says_so(
    arguments: tuple[str, ...],
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert exit_status(*arguments, "--database", platform.url) == 2
    assert capsys.readouterr().err.endswith("error: standard input is closed\n")


def test_replay_with_closed_standard_input_exits_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert exit_status("replay", "-") == 2


# --- Input that fails -------------------------------------------------------------------------


FAILED = os.strerror(errno.EIO)


class FailingInput(io.BytesIO):
    """A file that fails after its last line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        return super().readline(size) or self.fail()

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(size) or self.fail()

    def fail(self) -> NoReturn:
        raise OSError(errno.EIO, FAILED)


def failing_stdin(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(FailingInput(text.encode()), encoding="utf-8")


def test_facts_command_names_the_line_that_it_cannot_read(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = platform.connect()
    monkeypatch.setattr(sys, "stdin", failing_stdin(revocations(made)))
    assert exit_status("facts", "-", "--database", platform.url) == 1
    printed = capsys.readouterr()
    assert printed.err.endswith(f"facts: error: cannot read line 2 of standard input: {FAILED}\n")
    assert json.loads(printed.out)["outcome"] == "done"
    assert platform.status(made) == "REVOKED"


def test_replay_command_names_the_line_that_it_cannot_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", failing_stdin("\n\n"))
    assert exit_status("replay", "-") == 1
    printed = capsys.readouterr()
    assert printed.err.endswith(f"replay: error: cannot read line 3 of standard input: {FAILED}\n")
    assert len(printed.out.splitlines()) == 2


def test_keys_withdraw_exits_2_if_standard_input_is_unreadable(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", failing_stdin(""))
    assert exit_status("keys", "withdraw", "--stdin", "--database", platform.url) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"error: cannot read standard input: {FAILED}\n")


# --- Files and values that cannot be used -----------------------------------------------------


def test_openapi_write_to_a_folder_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status("openapi", "--write", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"error: cannot write {tmp_path}: Is a directory\n")


def test_openapi_check_calls_a_file_that_is_not_utf_8_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "openapi.json"
    file.write_bytes(b"\xff")
    assert exit_status("openapi", "--write", str(file), "--check") == 1
    assert "openapi.json is stale" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("database", "erase", *NAMED), ("keys", "withdraw", "--stdin")],
)
def test_standard_input_that_is_not_text_exits_2(
    arguments: tuple[str, ...],
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))
    assert exit_status(*arguments, "--database", platform.url) == 2
    assert capsys.readouterr().err.endswith("error: standard input is not utf-8\n")
