"""Tests that the tutorial works as shown, from the server to the last command."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

import curae_lifecycle
from tests.docs import curl
from tests.docs.tutorial import PAGE, differences, masked, printed, read, rewritten

TEXT = PAGE.read_text(encoding="utf-8")
TUTORIAL = read(TEXT)
SOURCE = Path(curae_lifecycle.__file__).parent.parent


def program(path: Path, *command: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with fake installers, this Python, and a small `curl`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    made = "mkdir -p tutorial/bin && touch tutorial/bin/activate"
    program(programs / "python3", "sh", "-c", made)
    program(programs / "curl", sys.executable, "-I", "-S", curl.__file__)
    # It skips `pip`, and runs everything else.
    run = f'test "$2" = pip || exec {shlex.quote(sys.executable)} "$@"'
    program(programs / "python", "sh", "-c", run, "python")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    return tmp_path


@pytest.mark.heavy
def test_tutorial_program_prints_what_the_docs_page_shows(environment: Path) -> None:
    texts, log = printed(TUTORIAL, environment)
    assert list(differences(TUTORIAL, texts, log)) == []
    # Every block with output shows it.
    assert [each is None for each in TUTORIAL.shown].count(True) == 3
    shown = rewritten(TEXT, page=TUTORIAL, texts=texts, log=log)
    assert shown != TEXT, "other ids, at other times"
    assert "".join(masked([shown])) == "".join(masked([TEXT]))


def test_masking_tutorial_output_keeps_ids_distinct() -> None:
    one, two = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2))
    assert masked([f"{one} {two}"]) != masked([f"{one} {one}"])
    assert masked([f"{one} {two}"]) == masked([f"{two} {one}"])
    assert masked(["ACTIVE"]) != masked(["PENDING"])


def test_tutorial_covers_each_promised_step() -> None:
    typed, log = "".join(TUTORIAL.typed), TUTORIAL.log.text
    for each in ("initiate", "account-state", ":reconnect", ":revoke", "tables "):
        assert each in typed
    for rule in ("idempotency.completed.same", "connection.reconnect.active"):
        assert f"{rule}\n" in log
    assert log.count("connection.reconnect.revoked recovery.revoked.none\n") == 1
