"""The pages of the problem codes.

The law of this module: **a page is what `problems CODE` prints**. Its file name is the end of the
`type` of that problem.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.cli.problems import to_markdown
from curae_lifecycle.cli.table_formats import markdown_table
from curae_lifecycle.rules.problems import CATALOGUE, WORDING, ProblemCode, type_uri
from curae_lifecycle.service.rulebook import find_refusals
from curae_lifecycle.service.status import PROBLEM_STATUS

_INDEX: Final = (
    "# Problems\n\nEvery code that can be answered, a page each: what it means, which rules answer it, "
    "and what a client should do.\nThe `type` of an answer ends in the name of its page. They are printed "
    "from the tables: `python -m docs.generate problems`.\n\n"
)


def files() -> dict[str, str]:
    """Return the text of every page by its file name."""
    pages = {_file_name(code): to_markdown(code) for code in ProblemCode}
    return {"README.md": _INDEX + _index(), **pages}


def _index() -> str:
    lines: list[list[str]] = []
    for code in ProblemCode:
        kind = CATALOGUE[code].outcome
        status = str(PROBLEM_STATUS[kind.kind].outcome.status)
        rules = str(len(find_refusals(code)))
        link = f"[`{code}`]({_file_name(code)})"
        retryable = "yes" if kind.retryable else "no"
        said = WORDING[code].sentence.replace("<", "\\<")
        lines.append([link, status, retryable, rules, said])
    return markdown_table(("code", "status", "retryable", "rules", "what it says"), lines)


def _file_name(code: ProblemCode) -> str:
    return f"{type_uri(code, '')}.md"
