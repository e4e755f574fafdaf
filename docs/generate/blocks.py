"""Generated tables within pages that people write.

A block stands between the comments `<!-- NAME: begin ... -->` and `<!-- NAME: end -->`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance.server import HOOKS, Server
from curae_lifecycle.testing.laws.law import LAWS
from docs.generate import vectors

DOCS: Final = Path(__file__).resolve().parents[1]

STRENGTHS: Final = ("Proven", "Exhaustive", "Sampled", "Observed", "By inspection")
"""The ways to hold a law, the strongest first."""


def hook_files() -> dict[str, str]:
    """Return the page on conformance with its table of hooks, from the docstring of `Server`."""
    described = _attributes(Server)
    rows = (f"| `{hook}` | {described[hook]} |" for hook in HOOKS)
    return _page("conformance.md", "hooks", ["| hook | does |", "| --- | --- |", *rows])


def setting_files() -> dict[str, str]:
    """Return the page on extending with its table of settings, from the docstring of `Settings`."""
    rows = (f"| `{name}` | {text} |" for name, text in _attributes(Settings).items())
    return _page("extending.md", "settings", ["| setting | chooses |", "| --- | --- |", *rows])


def vector_files() -> dict[str, str]:
    """Return the page on vectors with its table of documents, from the laws of the documents."""
    rows = (f"| `{name}.json` | {law} |" for name, law in sorted(vectors.laws().items()))
    return _page("vectors/README.md", "documents", ["| file | law |", "| --- | --- |", *rows])


def law_files() -> dict[str, str]:
    """Return the page on correctness with its table of laws, from their texts and their sections."""
    page = (DOCS / "correctness.md").read_text(encoding="utf-8")
    lines = ["| law | text | how strongly |", "| --- | --- | --- |"]
    for number, text in LAWS.items():
        section = page.partition(f"\n### Law {number}\n")[2].partition("\n#")[0]
        strengths = re.findall(rf"^- ({'|'.join(STRENGTHS)}): ", section, re.MULTILINE)
        held = ", ".join(strengths).lower()
        lines.append(f"| {number} | [{text}](rules.md#law-{number}) | [{held}](#law-{number}) |")
    return _page("correctness.md", "laws", lines)


def _page(page: str, block: str, lines: Iterable[str]) -> dict[str, str]:
    return {Path(page).name: fill_block(page, block, lines, generator=block)}


def fill_block(
    page: str, block: str, lines: Iterable[str], *, generator: str, text: str | None = None
) -> str:
    """Return the text of a page with the lines of a block.

    Args:
        page: The path of the page below `docs`.
        block: The name of the block.
        lines: The lines of the block.
        generator: The generator that writes the block.
        text: The text of the page, if another block of it was filled before; `None` reads it.
    """
    text = text or (DOCS / page).read_text(encoding="utf-8")
    begin = f"<!-- {block}: begin; `python -m docs.generate {generator}` -->"
    end = f"<!-- {block}: end -->"
    assert text.count(begin) == text.count(end) == 1, f"{page} has no block {block}"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    table = "\n".join(lines)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def _attributes(documented: type) -> dict[str, str]:
    """Return the description of each attribute in a docstring, each in one line."""
    listed = (inspect.getdoc(documented) or "").partition("\nAttributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
