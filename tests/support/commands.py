"""Runs of the command line: in another process, on a pipe or a terminal, and in this one."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from curae_lifecycle.cli.main import main
from tests.support.paths import ROOT


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "curae_lifecycle", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def run_page(page: str, folder: Path) -> list[dict[str, object]]:
    """Run every command of a documentation page in one shell, and return the printed objects."""
    typed = "\n".join(re.findall(r"^\$ (.*)$", page, re.MULTILINE))
    # The page's `python` is the interpreter of this test.
    python = shlex.quote(sys.executable)
    ended = subprocess.run(
        ["/bin/sh", "-c", f'set -e\npython() {{ {python} "$@"; }}\n{typed}'],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def on_a_terminal(code: str) -> str:
    """Return the output of a program whose standard streams are a terminal."""
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
            # Linux raises this when the last writer has closed.
            pass
        os.close(controller)
        assert process.wait(timeout=60) == 0, written.decode()
    return written.decode()


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the help of a command, with one space between two words."""
    with pytest.MonkeyPatch.context() as patched:
        # In a narrow terminal, words break at their hyphens.
        patched.setenv("COLUMNS", "1000")
        with pytest.raises(SystemExit, match="0"):
            main([*arguments, "--help"])
    return " ".join(capsys.readouterr().out.split())


@attrs.frozen
class Command:
    """A command in this process: returns its exit status, JSON output lines and errors.

    Attributes:
        more: Arguments that are always added at the end.
    """

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    more: tuple[str, ...] = ()

    def __call__(
        self, *arguments: str, given: str = ""
    ) -> tuple[int, list[dict[str, object]], str]:
        """Run it with some standard input."""
        self.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        try:
            status: object = main([*arguments, *self.more])
        except SystemExit as ended:
            status = ended.code
        assert isinstance(status, int)
        printed, error = self.capsys.readouterr()
        lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        return status, lines, error
