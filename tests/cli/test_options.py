"""Parsers of option values that several commands share."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from curae_lifecycle.cli.options import (
    open_input,
    positive,
    positive_up_to,
    read_line,
    read_lines,
)

PARSER = argparse.ArgumentParser(prog="program")


def test_positive_option_accepts_only_numbers_from_1() -> None:
    assert (positive("1"), positive("2")) == (1, 2)
    for text in ("0", "-1"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"^must be 1 or more$"):
            positive(text)


@pytest.mark.parametrize("parse", [positive, positive_up_to(9)])
def test_non_numeric_option_error_asks_for_a_whole_number(parse: Callable[[str], int]) -> None:
    parser = argparse.ArgumentParser(prog="program", exit_on_error=False)
    parser.add_argument("--seeds", type=parse)
    with pytest.raises(argparse.ArgumentError) as caught:
        parser.parse_args(["--seeds", "x"])
    assert str(caught.value) == "argument --seeds: must be a whole number, not 'x'"


@pytest.mark.parametrize("text", [" mary \t", "maryX"])
@pytest.mark.parametrize("rest", ["\n", "\r\n", "\n \n\r\n", ""])
def test_read_line_returns_the_only_line_without_its_line_break(
    text: str, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}{rest}"))
    assert read_line(PARSER) == text


@pytest.mark.parametrize("text", ["mary\nbob\n", "mary\n\n\nbob", "\nmary\n"])
def test_read_line_of_a_second_line_exits_2(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(SystemExit, match="2"):
        read_line(PARSER)
    error = capsys.readouterr().err
    assert error.endswith("program: error: standard input must hold one line\n")


def test_read_line_of_a_terminal_does_not_wait_for_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal("mary\nbob\n")
    monkeypatch.setattr("sys.stdin", terminal)
    assert read_line(PARSER) == "mary"
    assert terminal.read() == "bob\n"


def test_read_line_drops_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows PowerShell writes one before what it pipes.
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffmary\n"))
    assert read_line(PARSER) == "mary"


def test_file_that_cannot_be_opened_exits_2_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        open_input(PARSER, "/nowhere/log.jsonl")
    said = "program: error: cannot read /nowhere/log.jsonl: No such file or directory\n"
    assert capsys.readouterr().err.endswith(said)


def test_read_failure_exits_1_and_names_the_unread_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"1\n2")
    with open_input(PARSER, str(log)) as file:
        lines = read_lines(PARSER, file, "log.jsonl")
        assert next(lines) == b"1\n"
        assert [*lines] == [b"2"]
    with log.open("ab") as unreadable, pytest.raises(SystemExit, match="1"):
        next(read_lines(PARSER, unreadable, "log.jsonl"))
    assert capsys.readouterr().err.startswith("program: error: cannot read line 1 of log.jsonl: ")
