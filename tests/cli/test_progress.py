"""Progress on a terminal of tasks that take longer than two seconds."""

from __future__ import annotations

import sys
import threading

import pytest

from curae_lifecycle.cli import terminal
from tests.support.commands import on_a_terminal

BUSY = (
    "import sys, time; {before}from curae_lifecycle.cli import terminal; "
    "terminal.SHOW_AFTER_SECONDS = {after}\n"
    "with terminal.show_busy('purge'): time.sleep({seconds})"
)


@pytest.mark.slow
def test_long_task_shows_its_elapsed_seconds_on_a_terminal() -> None:
    shown = on_a_terminal(BUSY.format(before="", after=0, seconds=1.5))
    assert shown == "\rpurge: 0 s\rpurge: 1 s\r\n"


def test_short_task_shows_no_progress() -> None:
    assert on_a_terminal(BUSY.format(before="", after=2, seconds=0.1)) == ""


def test_task_shows_no_progress_on_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.show_busy("purge"):
        pass
    assert capsys.readouterr().err == ""


def test_progress_of_unknown_size_shows_the_amount_each_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instants = iter([0.0, 1.0, 2.0, 2.0, 2.5, 3.0, 3.0])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(instants))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    found = [*terminal.track_progress("replay", range(4), total=0, size=lambda _: 1000)]
    assert found == [0, 1, 2, 3]
    assert capsys.readouterr().err == "\rreplay: 2,000\rreplay: 4,000\n"


def test_progress_thread_does_not_keep_the_process_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    before = set(threading.enumerate())
    with terminal.show_busy("purge"):
        (shower,) = set(threading.enumerate()) - before
        # An interrupt before the block is entered never tells the thread to end.
        assert shower.daemon
