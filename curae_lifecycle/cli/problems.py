"""The command `problems`: print what each problem code means and what a client should do.

The law of this module: **a description repeats the tables**. They hold the status, the retry flag,
the keys of `details`, the operations, the rules, the reasons and the advice of a code.
"""

from __future__ import annotations

import argparse
import json
from typing import Final

from curae_lifecycle.cli.parser import suggestion
from curae_lifecycle.cli.table_formats import markdown_table
from curae_lifecycle.rules.problems import (
    CATALOGUE,
    DEFAULT_TYPE_BASE,
    WORDING,
    ProblemCode,
    type_uri,
)
from curae_lifecycle.rules.tables import Row
from curae_lifecycle.service.operations.operation import KeyUse
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.problem_details import DETAILS
from curae_lifecycle.service.rulebook import find_refusals, reasons_of
from curae_lifecycle.service.status import PROBLEM_STATUS
from curae_lifecycle.web.openapi.document import problem_codes
from curae_lifecycle.web.openapi.schemas import example_problem
from curae_lifecycle.web.wire_format import format_problem

_NO_OPERATION: Final = (
    "No operation. Only an access question of the server or a recorded fact gets this answer."
)
_NO_DETAILS: Final = "None: `details` is an empty object."
_UNEXPECTED_ERRORS: Final = (
    "The server also answers this if the store could not be reached in any attempt, and on an "
    "unexpected error. No rule decides these two."
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `problems` to its parser; set the function that runs it."""
    command.add_argument(
        "code", nargs="?", metavar="CODE", help="a problem code; by default every code"
    )
    command.set_defaults(run=run, parser=command)


def to_markdown(code: ProblemCode) -> str:
    """Return a page about a problem code as Markdown.

    The page has the code's status, details and an example, the operations and rules that answer
    with it, and what a client should do.
    """
    row = CATALOGUE[code]
    kind = row.outcome
    http = PROBLEM_STATUS[kind.kind]
    problem = example_problem(code)
    facts = [
        [
            "type",
            f"`{type_uri(code)}`, or with another base that the server sets",
            "[section 7](../rules.md#section-7)",
        ],
        ["HTTP status", str(http.outcome.status), _link("problem-status", http)],
        ["retryable", "yes" if kind.retryable else "no", _link("problems", row)],
        ["idempotency key", _key_effect(code), _link("problem-status", http)],
    ]
    details = [[f"`{key}`", DETAILS[key].meaning] for key in kind.details]
    rules = [
        [_link(each.table.name, each.row), str(each.row.outcome), each.row.why]
        for each in find_refusals(code)
    ]
    operations = [each.rule.name for each in OPERATIONS if code in problem_codes(each)]
    parts = [
        f"# {code}",
        f"{problem.title}. {row.why}",
        markdown_table(("property", "value", "rule"), facts).rstrip(),
        "## What a client should do",
        _advice(code),
        "## Details",
        markdown_table(("key", "meaning"), details).rstrip() if details else _NO_DETAILS,
        "An example with made-up values:",
        f"```json\n{json.dumps(format_problem(problem, DEFAULT_TYPE_BASE), indent=2)}\n```",
        "## When it is the answer",
        f"Operations: {', '.join(f'`{name}`' for name in operations)}."
        if operations
        else _NO_OPERATION,
        markdown_table(("rule", "outcome", "why"), rules).rstrip(),
    ]
    parts += [_UNEXPECTED_ERRORS] if code is ProblemCode.INTERNAL else []
    return "\n\n".join(parts) + "\n"


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the page about the given problem code, or about every code; return 0.

    An unknown code exits with status 2.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.
    """
    code: str | None = options.code
    if code is None:
        print("\n".join(to_markdown(each) for each in ProblemCode), end="")
        return 0
    if code not in ProblemCode.__members__:
        meant = suggestion(code, ProblemCode) or f"; the codes are {', '.join(ProblemCode)}"
        parser.error(f"there is no problem code {code}{meant}")
    print(to_markdown(ProblemCode[code]), end="")
    return 0


def _link(table: str, row: Row[object]) -> str:
    return f"[`{row.rule}`](../tables/{table}.md#{row.rule})"


def _advice(code: ProblemCode) -> str:
    reasons = "\n".join(f"- `{reason}`: {reason.advice}" for reason in reasons_of(code))
    return WORDING[code].advice + (f"\n\n{reasons}" if reasons else "")


def _key_effect(code: ProblemCode) -> str:
    row = CATALOGUE[code]
    is_stored = PROBLEM_STATUS[row.outcome.kind].outcome.kept
    if not any(
        code in problem_codes(each) for each in OPERATIONS if each.rule.key is KeyUse.NEEDED
    ):
        return "none: no request with a key gets this answer"
    if any(each.table.name == "idempotency" for each in find_refusals(code)):
        return "unchanged: the key's record stays as it is"
    if is_stored and not row.outcome.retryable:
        return "used up, if the request had one: a retry gets this answer again"
    return "not used up: this answer is not stored"
