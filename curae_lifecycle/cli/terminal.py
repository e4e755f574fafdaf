"""Terminal output, in colour if Rich is installed and the output is a terminal, else plain.

The law of this module: **the words are the same with and without Rich**; only the style differs.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, TextIO, TypeVar, cast

from curae_lifecycle.rules.tables import AnyTable

if TYPE_CHECKING:
    import io

    from rich.console import Console

_STYLES: Final = {
    "title": "bold",
    "time": "dim",
    "asked": "cyan",
    "answered": "green",
    "refused": "red",
    "body": "dim",
    "rule": "bold yellow",
    "blank": "",
}
_BAR_WIDTH: Final = 40

SHOW_AFTER_SECONDS: Final = 2
"""Seconds until a task of unknown size shows that it is running."""

Item = TypeVar("Item")
"""An item of an iterable whose progress is shown."""


def say(text: str, role: str, piped_width: int | None = None) -> None:
    """Print one line to standard output; on a terminal, break a long line between words.

    Args:
        text: The line.
        role: The kind of line, which selects its colour: `title`, `time`, `asked`, `answered`,
            `refused`, `body`, `rule` or `blank`.
        piped_width: The width at which to break the line if standard output is no terminal; `None`
            to print the line whole.
    """
    console = _console(stderr=False)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else piped_width
    if width is not None:
        text = "\n".join(wrap_line(text, width))
    if console is None:
        sys.stdout.write(f"{text}\n")
    else:
        console.print(text, style=_STYLES[role], soft_wrap=True, markup=False)


def discard_output(stream: TextIO | None = None) -> None:
    """Discard the buffered rest of a standard stream, and later output, after a write to it failed.

    Python would otherwise repeat the write, and report its error, when it flushes at exit.

    Args:
        stream: Standard output or standard error; by default standard output.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def replace_unencodable() -> None:
    """Set up standard output to print a question mark for each character that its encoding lacks.

    By default Python raises an error for such a character, for example an arrow in Latin-1.
    """
    if sys.stdout.errors == "strict":
        cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="replace")


def wrap_line(text: str, width: int) -> list[str]:
    """Break a line between words into lines of at most `width` characters.

    Each further line is indented by two more spaces than the first. A word that is longer than
    `width` is not broken.
    """
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines = textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines or [""]


def show_table(table: AnyTable) -> bool:
    """Print a table of rules in columns, if Rich is installed and standard output is a terminal.

    Returns:
        Whether the table was printed.
    """
    axes = [axis.name for axis in table.axes]
    rows = [(list(map(str, row.parts)), str(row.outcome), row.why, row.rule) for row in table.rows]
    return show_columns(
        table.name,
        table.law,
        ([*axes, "outcome", "why", "rule"], [[*key, *rest] for key, *rest in rows]),
        # The rule names follow from the keys, so narrower layouts omit them.
        ([*axes, "outcome", "why"], [[*key, *rest[:2]] for key, *rest in rows]),
        (
            [" × ".join(axes), "outcome", "why"],
            [[" × ".join(key), *rest[:2]] for key, *rest in rows],
        ),
        wide="why",
    )


Layout = tuple[list[str], list[list[str]]]
"""The names of columns, and the rows of texts below them."""


def show_columns(title: str, caption: str, *layouts: Layout, wide: str) -> bool:
    """Print rows in columns if Rich is installed and standard output is a terminal.

    Args:
        title: The text above the columns.
        caption: The text below the columns.
        layouts: Alternatives, each with the names of the columns and the rows. The first one that
            fits into the terminal is printed; if none fits, the last.
        wide: The name of the column that gets the remaining width.

    Returns:
        Whether the rows were printed.
    """
    console = _console(stderr=False)
    if console is None:
        return False
    from rich import box  # noqa: PLC0415 - an optional extra
    from rich.table import Table  # noqa: PLC0415 - an optional extra

    fitting = (layout for layout in layouts if _width(*layout) <= console.width)
    names, lines = next(fitting, layouts[-1])
    shown = Table(title=title, caption=caption, title_justify="left", box=box.SIMPLE)
    left = console.width - _width(names, lines)
    for name, width in zip(names, _widths(names, lines), strict=True):
        shown.add_column(name, width=width + max(left, 0) if name == wide else width)
    for line in lines:
        shown.add_row(*line)
    console.print(shown, markup=False)
    return True


def _widths(names: list[str], lines: list[list[str]]) -> list[int]:
    # Each column is as wide as its longest word, so that no word is broken.
    columns = zip(names, *lines, strict=True)
    return [max(len(word) for text in column for word in text.split()) for column in columns]


def _width(names: list[str], lines: list[list[str]]) -> int:
    # Rich adds two spaces around each column, one between two columns, and one at each edge.
    return sum(_widths(names, lines)) + 3 * len(names) + 1


def track_progress(
    name: str, items: Iterable[Item], total: int, size: Callable[[Item], int]
) -> Iterator[Item]:
    """Yield items, and meanwhile show a progress bar if standard error is a terminal.

    Args:
        name: The name of the task, shown with the progress.
        items: The items.
        total: The size of all items together, in the unit of `size`; 0 if the size is unknown.
        size: Returns the size of one item.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    console = _console(stderr=True)
    if console is None:
        yield from _plain_progress(name, items=items, total=total, size=size)
        return
    from rich.progress import Progress  # noqa: PLC0415 - an optional extra

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(name, total=total or None)
        for item in items:
            yield item
            bar.advance(task, size(item))


@contextmanager
def show_busy(name: str) -> Generator[None, None, None]:
    """Show how long a `with` block has been running, on standard error if that is a terminal.

    Nothing is shown in the first two seconds.

    Args:
        name: The name of the task.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = Event()
    shower = Thread(target=_show_seconds, args=(name, done), daemon=True)
    shower.start()
    try:
        yield
    finally:
        done.set()
        shower.join()


def _show_seconds(name: str, done: Event) -> None:
    seconds = SHOW_AFTER_SECONDS
    if done.wait(seconds):
        return
    while True:
        sys.stderr.write(f"\r{name}: {seconds} s")
        sys.stderr.flush()
        if done.wait(1):
            sys.stderr.write("\n")
            return
        seconds += 1


def _plain_progress(
    name: str, items: Iterable[Item], total: int, size: Callable[[Item], int]
) -> Iterator[Item]:
    done = shown = 0
    next_time = monotonic() + SHOW_AFTER_SECONDS
    for item in items:
        yield item
        done += size(item)
        if not total:
            # The size is unknown, so the amount is shown, once a second.
            if monotonic() >= next_time:
                shown, next_time = done, monotonic() + 1
                sys.stderr.write(f"\r{name}: {done:,}")
                sys.stderr.flush()
            continue
        filled = _BAR_WIDTH * done // total
        if filled > shown:
            shown = filled
            sys.stderr.write(f"\r{name} [{'#' * filled}{' ' * (_BAR_WIDTH - filled)}]")
            sys.stderr.flush()
    if shown:
        sys.stderr.write("\n")


def _console(*, stderr: bool) -> Console | None:
    if not (sys.stderr if stderr else sys.stdout).isatty():
        return None
    try:
        from rich.console import Console  # noqa: PLC0415 - an optional extra
    except ImportError:
        return None
    return Console(stderr=stderr, highlight=False)
