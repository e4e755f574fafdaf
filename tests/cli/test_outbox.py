"""Tests of what the command `outbox` prints before it deletes a message."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from curae_lifecycle.cli.outbox import _print, _stop_at_signal
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.outbox_worker import DEFAULT_DEAD_LIMIT, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from tests.cli.operating import Platform
from tests.support.commands import Command
from tests.support.patiently import PATIENCE

MESSAGE = Delivery(number=7, attempt=1, kind="AccessEnded", subject="s", document={"a": 1})


def test_outbox_command_flushes_each_message_that_it_prints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    # Standard output in a pipe keeps what it is given until it is flushed.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    _print(MESSAGE)
    assert json.loads(raw.getvalue())["number"] == 7


@pytest.mark.parametrize("mode", ["a", "w"])
def test_outbox_removes_partly_written_line_if_the_disk_is_full(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"
    with path.open(mode) as file:
        monkeypatch.setattr(sys, "stdout", file)
        _print(MESSAGE)
        before = path.read_bytes()
        _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        # A file that reaches its largest size takes a part of a line, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                _print(MESSAGE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        _print(MESSAGE)
    assert path.read_bytes() == before * 2


def test_outbox_writes_the_rest_of_a_partly_written_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"
    write = os.write
    parts: list[bytes] = []

    def write_a_part(descriptor: int, data: bytes) -> int:
        parts.append(data)
        assert len(parts) < 50
        return write(descriptor, data[:20])

    with path.open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(os, "write", write_a_part)
        _print(MESSAGE)
    assert json.loads(path.read_text())["document"] == {"a": 1}
    assert len(parts) > 2


def test_failed_outbox_write_keeps_another_workers_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"
    write = os.write

    def fail_beside_another_worker(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            with path.open("a") as other:
                other.write("another line\n")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:-10])

    with path.open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(os, "write", fail_beside_another_worker)
        with pytest.raises(OSError, match="No space"):
            _print(MESSAGE)
    assert path.read_text().endswith("another line\n")


TORN = '{"number": 6, "att'


def test_outbox_begins_a_new_line_after_a_torn_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"
    path.write_text(TORN)
    with path.open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        _print(MESSAGE)
        with path.open("a") as killed_worker:
            killed_worker.write(TORN)
        _print(MESSAGE)
        _print(MESSAGE)
    first, line, second, *others = path.read_text().splitlines()
    assert json.loads(line)["number"] == 7
    assert (first, second, others) == (TORN, TORN, [line, line])


def test_failed_outbox_write_after_a_torn_line_leaves_that_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"
    path.write_text(TORN)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with path.open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        with monkeypatch.context() as failing:
            failing.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="Input/output"):
                _print(MESSAGE)
        assert path.read_text() == TORN
        _print(MESSAGE)
    assert path.read_text().splitlines()[0] == TORN


def test_outbox_adds_an_empty_line_if_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"

    def refuse(_: Path, __: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    with path.open("a") as file, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", file)
        patched.setattr(Path, "open", refuse)
        _print(MESSAGE)
        _print(MESSAGE)
    first, *others = path.read_text().splitlines()
    assert others == ["", first]


def test_outbox_line_in_a_file_is_synced_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_text()))
    with path.open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        _print(MESSAGE)
    assert synced == [path.read_text()]
    assert synced[0].endswith("\n")


def test_outbox_line_that_cannot_be_synced_is_no_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.jsonl"

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with path.open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        with pytest.raises(OSError, match="Input/output"):
            _print(MESSAGE)
    assert not path.read_text()


def test_outbox_once_option_exits_1_and_keeps_unprinted_message(
    platform: Platform, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.connect()
    count = Statement("SELECT COUNT(*) FROM curae_outbox")
    before = platform.database.rows(count)

    def fail(_: int, __: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (tmp_path / "shipped.jsonl").open("a") as file, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", file)
        patched.setattr(os, "write", fail)
        status, _, error = command("outbox", "--once")
    assert (status, platform.database.rows(count)) == (1, before)
    assert error.endswith("error: a message could not be printed: No space left on device\n")


# --- The options ------------------------------------------------------------------------------

COUNT = Statement("SELECT COUNT(*) FROM curae_outbox")


def kill_all(platform: Platform) -> None:
    """Make every message a dead one."""
    assert platform.database.run_transaction([Statement("UPDATE curae_outbox SET due_at = NULL")])


def test_outbox_once_option_prints_and_deletes_every_due_message(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    status, printed, error = command("outbox", "--once")
    assert (status, error) == (0, "")
    assert [each["number"] for each in printed] == [*range(1, len(printed) + 1)]
    names = ["number", "attempt", "kind", "subject", "document"]
    assert [[*each] for each in printed] == [names] * len(printed)
    assert {each["attempt"] for each in printed} == {1}
    documents = [each["document"] for each in printed]
    assert all(isinstance(each, dict) for each in documents)
    assert platform.database.rows(COUNT) == [(0,)]
    assert command("outbox", "--once") == (0, [], "")


def test_outbox_prints_other_subjects_after_one_message_fails(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("ann", "bob"):
        platform.connect(user, authorized=False)
    printed: list[str] = []

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            printed.append(text)
            if len(printed) == 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(text)

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        status, _, error = command("outbox", "--once")
    assert status == 1
    assert error.endswith("error: a message could not be printed: No space left on device\n")
    first, *others = [json.loads(text)["subject"] for text in printed if text.strip()]
    assert others
    assert first not in others


def test_outbox_once_option_exits_1_and_keeps_malformed_message(
    platform: Platform, command: Command
) -> None:
    platform.connect("ann")
    platform.connect("bob")
    ((before,),) = platform.database.rows(COUNT)
    update = "UPDATE curae_outbox SET document = '[]' WHERE id = 1"
    assert platform.database.run_transaction([Statement(update)])
    status, printed, error = command("outbox", "--once")
    assert status == 1
    assert error.endswith("outbox: error: a message could not be printed: it is malformed\n")
    left = platform.database.rows(Statement("SELECT id FROM curae_outbox ORDER BY id"))
    assert left[0] == (1,)
    assert len(printed) == int(str(before)) - len(left)


def test_outbox_dead_option_lists_each_dead_message_and_number(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    assert command("outbox", "--dead") == (0, [], "")
    kill_all(platform)
    ((count,),) = platform.database.rows(COUNT)
    status, printed, error = command("outbox", "--dead")
    assert (status, error) == (0, "")
    assert [each["number"] for each in printed] == [*range(1, int(str(count)) + 1)]
    assert {"kind", "subject", "document"} < {*printed[0]}
    # Listing delivers none.
    assert platform.database.rows(COUNT) == [(count,)]


def test_outbox_dead_lists_more_messages_than_one_query_reads(
    platform: Platform, command: Command
) -> None:
    for user in ("ann", "bob", "cy"):
        platform.connect(user)
    columns = "subject, kind, document, attempts, waits_from"
    pairs = "curae_outbox AS one, curae_outbox AS other, curae_outbox AS third"
    ones = ", ".join(f"one.{each}" for each in columns.split(", "))
    insert = f"INSERT INTO curae_outbox ({columns}) SELECT {ones} FROM {pairs}"  # noqa: S608
    assert platform.database.run_transaction([Statement(insert)])
    kill_all(platform)
    ((count,),) = platform.database.rows(COUNT)
    status, printed, _ = command("outbox", "--dead")
    numbers = [each["number"] for each in printed]
    assert (status, len(numbers)) == (0, count)
    assert numbers == sorted({int(str(each)) for each in numbers})
    assert len(numbers) > DEFAULT_DEAD_LIMIT


def test_outbox_dead_option_lists_unreadable_message_with_error(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    kill_all(platform)
    update = "UPDATE curae_outbox SET document = '[]' WHERE id = 1"
    assert platform.database.run_transaction([Statement(update)])
    first = command("outbox", "--dead")[1][0]
    assert [*first] == ["number", "attempt", "kind", "subject", "error"]
    (dead, *_) = Outbox(platform.database).list_dead()
    assert not isinstance(dead, Delivery)
    assert first["error"] == str(dead.error)


def test_outbox_revive_option_makes_one_dead_message_due(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    kill_all(platform)
    assert command("outbox", "--once") == (0, [], "")
    assert command("outbox", "--revive", "2") == (0, [], "")
    status, printed, _ = command("outbox", "--once")
    assert (status, [each["number"] for each in printed]) == (0, [2])


def test_outbox_discard_option_deletes_one_dead_message(
    platform: Platform, command: Command
) -> None:
    platform.connect()
    kill_all(platform)
    _, dead, _ = command("outbox", "--dead")
    assert command("outbox", "--discard", "2") == (0, [], "")
    assert command("outbox", "--dead") == (0, dead[:1], "")


@pytest.mark.parametrize("option", ["--revive", "--discard"])
@pytest.mark.parametrize("number", ["-1", "0", "7", str(2**63), "9" * 30])
def test_revive_and_discard_of_an_unknown_dead_message_exit_1(
    command: Command, platform: Platform, option: str, number: str
) -> None:
    platform.connect()
    assert number not in {str(each["number"]) for each in command("outbox", "--dead")[1]}
    status, printed, error = command("outbox", f"{option}={number}")
    assert (status, printed) == (1, [])
    name = "python -m curae_lifecycle outbox"
    assert error == f"{name}: error: no dead message has the number {number}\n"


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def _restored_handlers() -> Iterator[None]:
    """Handle each signal by doing nothing, and restore the handlers of the test's process."""
    # A process in the background of a shell ignores SIGINT.
    handlers = {each: signal.signal(each, lambda *_: None) for each in SIGNALS}
    yield
    for each, handler in handlers.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("_restored_handlers")
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_the_outbox_command_after_current_message(
    number: signal.Signals, platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.connect()
    ((before,),) = platform.database.rows(COUNT)
    printed: list[str] = []

    class Signalled(io.StringIO):
        def write(self, text: str) -> int:
            printed.append(text)
            if len(printed) > 1:
                pytest.fail("it did not end")
            signal.raise_signal(number)
            return len(text)

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Signalled())
        assert command("outbox")[0] == 0
    assert [json.loads(text)["number"] for text in printed] == [1]
    assert platform.database.rows(COUNT) == [(int(str(before)) - 1,)]


@pytest.mark.usefixtures("_restored_handlers")
def test_signal_during_a_wait_for_messages_ends_that_wait() -> None:
    stop = _stop_at_signal()
    # `Event.wait` holds this lock just before it sleeps and just after.
    condition: threading.Condition = vars(stop)["_cond"]
    with condition:
        signal.raise_signal(signal.SIGTERM)
    assert stop.wait(PATIENCE)


@pytest.mark.usefixtures("_restored_handlers")
def test_second_signal_ends_the_outbox_command_at_once() -> None:
    stop = _stop_at_signal()
    assert not stop.is_set()
    signal.raise_signal(signal.SIGTERM)
    assert stop.is_set()
    # A write to a pipe that no one reads does not return, so the default has to end it.
    assert {signal.getsignal(each) for each in SIGNALS} == {signal.SIG_DFL}


@pytest.mark.usefixtures("_restored_handlers")
@pytest.mark.parametrize("ignored", SIGNALS)
def test_ignored_signal_does_not_stop_the_outbox_command(ignored: signal.Signals) -> None:
    signal.signal(ignored, signal.SIG_IGN)
    (other,) = {*SIGNALS} - {ignored}
    stop = _stop_at_signal()
    signal.raise_signal(ignored)
    assert not stop.is_set()
    signal.raise_signal(other)
    assert stop.is_set()
    assert signal.getsignal(ignored) is signal.SIG_IGN
    assert signal.getsignal(other) is signal.SIG_DFL
