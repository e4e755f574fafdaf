"""Output on a terminal and on a pipe, with Rich and without it."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator

import pytest

from curae_lifecycle.cli import terminal
from curae_lifecycle.service.rulebook import TABLES
from tests.support.commands import without_colour
from tests.support.terminals import terminal_of, without_rich

LONG = "  > see [red] row 12: " + "w" * 40
"""A line with an indentation, what looks like markup and a number, and a word that is too long."""

# --- Lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "code"),
    [
        ("title", "1"),
        ("time", "2"),
        ("asked", "36"),
        ("answered", "32"),
        ("refused", "31"),
        ("body", "2"),
        ("rule", "1;33"),
    ],
)
def test_terminal_line_has_the_colour_code_of_its_kind(
    role: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal_of(monkeypatch, "stdout", columns=30)
    terminal.say(LONG, role)
    first, second = "  > see [red] row 12:", f"    {'w' * 40}"
    assert screen.getvalue() == f"\x1b[{code}m{first}\x1b[0m\n\x1b[{code}m{second}\x1b[0m\n"


def test_line_without_rich_has_the_same_words_and_no_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_rich(monkeypatch)
    screen = terminal_of(monkeypatch, "stdout", columns=30)
    terminal.say(LONG, "title")
    terminal.say("", "blank")
    assert screen.getvalue() == f"  > see [red] row 12:\n    {'w' * 40}\n\n"


def test_line_on_a_pipe_is_wrapped_only_at_a_given_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Standard error is a terminal, which says nothing about standard output.
    terminal_of(monkeypatch, "stderr")
    terminal.say(LONG, "title")
    assert capsys.readouterr().out == f"{LONG}\n"
    terminal.say(LONG, "title", 30)
    assert capsys.readouterr().out == f"  > see [red] row 12:\n    {'w' * 40}\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three", ["one two", "  three"]),
        ("  one two three", ["  one two", "    three"]),
        ("one-two-three", ["one-two-three"]),
        ("one two-three", ["one", "  two-three"]),
    ],
)
def test_line_is_wrapped_between_words_with_an_indentation(text: str, lines: list[str]) -> None:
    assert terminal.wrap_line(text, 9) == lines


@pytest.mark.parametrize(
    ("errors", "printed"), [("strict", b"a ? b\n"), ("backslashreplace", b"a \\u2192 b\n")]
)
def test_character_that_the_encoding_lacks_is_replaced(
    errors: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1", errors=errors)
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.replace_unencodable()
    stream.write("a → b\n")
    stream.flush()
    assert raw.getvalue() == printed


# --- Columns ----------------------------------------------------------------------------------

WIDE: terminal.Layout = (
    ["name", "why", "rule"],
    [["a", "because [red]", "r.1"], ["bb", "of 7", "rr"]],
)
NARROW: terminal.Layout = (["name", "why"], [["a", "because [red]"], ["bb", "of 7"]])
# The longest words, and three spaces for each column and one more.
WIDE_FITS = (4 + 7 + 4) + 3 * 3 + 1
NARROW_FITS = (4 + 7) + 3 * 2 + 1


def columns_on(columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a terminal without colours shows of the rows."""
    screen = terminal_of(monkeypatch, "stdout", columns=columns)
    assert terminal.show_columns("Title", "Caption", WIDE, NARROW, wide="why")
    return "".join(f"{line.rstrip()}\n" for line in without_colour(screen.getvalue()).splitlines())


def test_columns_exactly_as_wide_as_the_terminal_are_all_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert columns_on(WIDE_FITS, monkeypatch) == (
        "Title\n"
        "\n"
        "  name   why       rule\n"
        " ───────────────────────\n"
        "  a      because   r.1\n"
        "         [red]\n"
        "  bb     of 7      rr\n"
        "\n"
        "         Caption\n"
    )


def test_wide_column_gets_the_rest_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert columns_on(WIDE_FITS + 9, monkeypatch) == (
        "Title\n"
        "\n"
        "  name   why                rule\n"
        " ────────────────────────────────\n"
        "  a      because [red]      r.1\n"
        "  bb     of 7               rr\n"
        "\n"
        "             Caption\n"
    )


@pytest.mark.parametrize("columns", [WIDE_FITS - 1, NARROW_FITS])
def test_terminal_too_narrow_for_all_columns_shows_fewer(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = columns_on(columns, monkeypatch)
    assert "rule" not in shown
    assert f"\n  name   why{' ' * (columns - 13)}".rstrip() in shown
    assert ("  a      because [red]\n" in shown) == (columns > NARROW_FITS)


def test_columns_are_not_shown_on_a_pipe_or_without_rich(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not terminal.show_columns("Title", "Caption", WIDE, wide="why")
    assert capsys.readouterr().out == ""
    without_rich(monkeypatch)
    screen = terminal_of(monkeypatch, "stdout")
    assert not terminal.show_columns("Title", "Caption", WIDE, wide="why")
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("columns", "head", "row"),
    [
        (
            120,
            "environment scope outcome why rule",
            "environment scope refuse [S] A mutation needs connection:write. permission.scope-missing",
        ),
        (70, "environment scope outcome why", "environment scope refuse [S] A mutation needs"),
        (40, "scope outcome why", "served has the"),
        (60, "× scope outcome why", "served × SCOPE_INSUFFICIENT connection:write."),
    ],
)
def test_table_of_rules_shows_the_columns_that_fit(
    columns: int, head: str, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal_of(monkeypatch, "stdout", columns=columns)
    assert terminal.show_table(TABLES["permission"])
    lines = [" ".join(line.split()) for line in without_colour(screen.getvalue()).splitlines()]
    assert lines[0] == "permission"
    assert head in lines
    assert row in lines
    assert " ".join(lines).endswith("the environment is asked first.")


# --- Progress ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "percents"), [(80, "100"), (160, "50"), (0, None)])
def test_progress_bar_of_rich_shows_how_much_is_done(
    total: int, percents: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal_of(monkeypatch, "stderr")
    items = ["x" * 20] * 4
    assert [*terminal.track_progress("replay", items=items, total=total, size=len)] == items
    shown = without_colour(screen.getvalue())
    assert "replay" in shown
    assert re.findall(r"(\d+)%", shown)[-1:] == ([] if percents is None else [percents])
    # The bar is erased at the end.
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")


def test_plain_progress_bar_is_printed_only_when_it_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_rich(monkeypatch)
    screen = terminal_of(monkeypatch, "stderr")
    # Each mark of the bar stands for 3 of the 120.
    assert len([*terminal.track_progress("replay", items="x" * 8, total=120, size=len)]) == 8
    one, two = f"\rreplay [#{' ' * 39}]", f"\rreplay [##{' ' * 38}]"
    assert screen.getvalue() == f"{one}{two}\n"
    assert len([*terminal.track_progress("replay", items="x" * 2, total=120, size=len)]) == 2
    assert screen.getvalue() == f"{one}{two}\n"


def test_progress_is_not_shown_on_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal_of(monkeypatch, "stdout")
    assert [*terminal.track_progress("replay", items="ab", total=2, size=len)] == ["a", "b"]
    assert capsys.readouterr().err == ""


class Clock:
    """An event that is set after some waits, and keeps for how long it was waited for."""

    def __init__(self, waits: int) -> None:
        self.ends: Iterator[bool] = iter([*[False] * (waits - 1), True])
        self.waited: list[float] = []
        self.is_set = False

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return next(self.ends)

    def set(self) -> None:
        self.is_set = True


@pytest.mark.parametrize(
    ("waits", "shown"),
    [(1, ""), (2, "\rpurge: 2 s\n"), (4, "\rpurge: 2 s\rpurge: 3 s\rpurge: 4 s\n")],
)
def test_task_shows_elapsed_seconds_only_after_two_seconds(
    waits: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal_of(monkeypatch, "stderr")
    clock = Clock(waits)
    monkeypatch.setattr(terminal, "Event", lambda: clock)
    with terminal.show_busy("purge"):
        ended = [clock.is_set]
    ended.append(clock.is_set)
    assert ended == [False, True]
    assert screen.getvalue() == shown
    assert clock.waited == [2, 1, 1, 1][:waits]
