"""The command line in a process of its own, at a pipe or on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys


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
