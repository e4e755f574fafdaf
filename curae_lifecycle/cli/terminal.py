"""Text for people: in colour where Rich is installed and a terminal reads, plain elsewhere.

The law of this module: **the text is the same with and without Rich**; only its looks differ.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Final = {
    "title": "bold",
    "time": "dim",
    "asked": "cyan",
    "answered": "green",
    "rule": "yellow",
    "blank": "",
}
_BAR: Final = 40

Item = TypeVar("Item")


def say(text: str, role: str) -> None:
    """Print one line to standard output; `role` says what it is, and so how it looks."""
    console = _console(stderr=False)
    if console is None:
        sys.stdout.write(f"{text}\n")
    else:
        # Soft wrap, so that a copied line is the line that was printed.
        console.print(text, style=_STYLES[role], soft_wrap=True, markup=False)


def progress(lines: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Hand lines of a log on; show how far they are, as `steps` does.

    Args:
        lines: The lines.
        total: Their length in bytes; 0 where it is not known.
    """
    return steps("replay", lines, total, len)


def steps(
    name: str, items: Iterable[Item], total: int, size: Callable[[Item], int]
) -> Iterator[Item]:
    """Hand items on; show how far they are on standard error where that is a terminal.

    Args:
        name: What is going on.
        items: The items.
        total: The size of all of them; 0 where it is not known.
        size: Tells the size of one.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    console = _console(stderr=True)
    if console is None:
        yield from _plain_steps(name, items, total, size)
        return
    from rich.progress import Progress  # noqa: PLC0415 - an optional extra

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(name, total=total or None)
        for item in items:
            yield item
            bar.advance(task, size(item))


def _plain_steps(
    name: str, items: Iterable[Item], total: int, size: Callable[[Item], int]
) -> Iterator[Item]:
    done = shown = 0
    for item in items:
        yield item
        done += size(item)
        filled = _BAR * done // total if total else 0
        if filled > shown:
            shown = filled
            sys.stderr.write(f"\r{name} [{'#' * filled}{' ' * (_BAR - filled)}]")
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
