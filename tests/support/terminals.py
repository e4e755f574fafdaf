"""A terminal in this process, which keeps what a command prints on it."""

from __future__ import annotations

import io
import sys

import pytest


class Terminal(io.StringIO):
    """A text stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch, *streams: str, columns: int = 80) -> Terminal:
    """Make standard streams one terminal, until the test ends.

    Args:
        monkeypatch: The fixture that takes the streams back.
        streams: The streams, `stdout` or `stderr`.
        columns: The width of the terminal.
    """
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    made = Terminal()
    for each in streams:
        monkeypatch.setattr(f"sys.{each}", made)
    return made


def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Rich a package that is not installed, until the test ends."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
