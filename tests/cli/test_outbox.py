"""Tests of what the command `outbox` prints before it deletes a message."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import sys
from pathlib import Path

import pytest

from curae_lifecycle.cli.outbox import _print
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.statement import Statement
from tests.cli.operating import Platform
from tests.support.commands import Command

MESSAGE = Delivery(number=7, attempt=1, kind="AccessEnded", subject="s", document={"a": 1})


def test_printed_message_is_flushed_before_it_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    # Standard output in a pipe keeps what it is given until it is flushed.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    _print(MESSAGE)
    assert json.loads(raw.getvalue())["number"] == 7


@pytest.mark.parametrize("mode", ["a", "w"])
def test_full_disk_leaves_no_part_of_a_line_in_the_file(
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


def test_failed_line_is_not_removed_if_another_line_follows_it(
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


def test_outbox_once_exits_1_and_keeps_a_message_not_printed(
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
    assert "error: a message could not be printed: No space left on device" in error
