"""The command `tables`: print tables of rules, find a rule's code, or compare two releases."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from curae_lifecycle.cli.parser import suggestion
from curae_lifecycle.cli.release import UnreadableError, parse_release
from curae_lifecycle.cli.table_diff import compare, findings, format_changes, summary
from curae_lifecycle.cli.table_formats import to_document, to_json, to_markdown, to_mermaid
from curae_lifecycle.cli.terminal import say, show_columns, show_table
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.rulebook import TABLES, reasons_of

PACKAGE: Final = Path(__file__).parent.parent
"""The package's folder, in which `find_source` searches for a rule."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `tables` to its parser, and set the function that runs it."""
    command.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a table, a rule, a problem code or a reason; by default every table",
    )
    command.add_argument(
        "--format",
        choices=("md", "mermaid", "json"),
        default="md",
        help="how to print (default: %(default)s)",
    )
    command.add_argument(
        "--diff",
        type=Path,
        metavar="OLD.json",
        help="print the changes since OLD.json, which --format json printed; the exit status is 1 "
        "if there are any",
    )
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print every table, or the one with the given name.

    If the name is that of a rule, a problem code or a reason, print the matching rules. With
    `--diff`, print the changes since an older release instead.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.

    Returns:
        The exit status: 1 if `--diff` finds a change, else 0.
    """
    if options.diff is not None:
        return _diff(parser, options)
    name: str | None = options.name
    if name is None or name in TABLES:
        return _show(parser, list(TABLES.values()) if name is None else [TABLES[name]], options)
    found = list(_find_rules(name))
    if not found:
        meant = suggestion(name, _known_words()) or f"; the tables are {', '.join(TABLES)}"
        parser.error(f"no table, rule, problem or reason is named {name}{meant}")
    if options.format == "md":
        for table, row in found:
            print(f"{row.rule}: {row.outcome}\n{row.why}\n{find_source(table, row)}\n")
    if options.format == "md" and all(row.rule != name for _, row in found):
        return 0
    tables = {table.name: table for table, _ in found}
    return _show(parser, list(tables.values()), options)


def _show(
    parser: argparse.ArgumentParser, chosen: list[AnyTable], options: argparse.Namespace
) -> int:
    match options.format:
        case "json":
            print(to_json(chosen[0]) if len(chosen) == 1 else to_document(chosen), end="")
        case "mermaid":
            texts = [to_mermaid(table) for table in chosen if table.state is not None]
            if not texts:
                parser.error(f"the table {chosen[0].name} moves no state, so it has no diagram")
            print("\n".join(texts), end="")
        case _:
            for number, table in enumerate(chosen):
                if not show_table(table):
                    print(("\n" if number else "") + to_markdown(table), end="")
    return 0


def _diff(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    file: Path = options.diff
    if options.name is not None or options.format == "mermaid":
        parser.error("--diff compares all tables: omit NAME, and use --format md or json")
    try:
        old = parse_release(file.read_bytes())
    except OSError as error:
        parser.error(f"cannot read {file}: {error.strerror}")
    except UnreadableError as error:
        parser.error(f"cannot read {file}: {error.why}")
    new = parse_release(to_document(TABLES.values()))
    changes = compare(old, new)
    if options.format == "json":
        print(format_changes(old, new, changes), end="")
        return 1 if changes else 0
    say(f"from {old.version} to {new.version}: {summary(changes)}", "title")
    for table in changes:
        found = list(findings(table))
        lines = [[each.where, each.what, "\n".join(each.details)] for each in found]
        layout = (["where", "change", "was and now"], lines)
        if not show_columns(table.name, "", layout, wide="was and now"):
            say(f"\n{table.name}", "title")
            for each in found:
                say(f"  {each.where}: {each.what}", "rule")
                for detail in each.details:
                    say(f"    {detail}", "answered")
    return 1 if changes else 0


def _find_rules(word: str) -> Iterator[tuple[AnyTable, Row[object]]]:
    # A name finds one rule; a problem code or a reason can find several.
    for table in TABLES.values():
        for row in table.rows:
            outcome = row.outcome
            words = set(map(str, row.parts))
            words |= {str(getattr(outcome, name, None)) for name in ("code", "reason")}
            if word == row.rule or (word.isupper() and word in words):
                yield table, row


def _known_words() -> set[str]:
    rules = {row.rule for table in TABLES.values() for row in table.rows}
    reasons = {reason for code in ProblemCode for reason in reasons_of(code)}
    return {*TABLES, *rules, *ProblemCode, *reasons}


def find_source(table: AnyTable, row: Row[object]) -> str:
    """Find the code that declares a rule, and return its place as `path:line`.

    If the code is not found, the returned text says so.

    Args:
        table: The table of the rule.
        row: The row of `table` that is the rule.
    """
    number = table.rows.index(row)
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = _rule_lines(path)
        line = lines.get((table.name, number)) or lines.get(row.rule)
        if line is not None:
            return f"{path.relative_to(PACKAGE.parent)}:{line}"
    return "its source was not found"


@cache
def _rule_lines(path: Path) -> dict[tuple[str, int] | str, int]:
    # Maps a table's name and a row's number to the row's line. The rule of an operation has no
    # row; its line is that of the `name` of the operation's class.
    lines: dict[tuple[str, int] | str, int] = {}
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and _callee(node) == "Table" and node.args:
            rows = [each for each in node.args if isinstance(each, ast.Call)]
            rows = [each for each in rows if _callee(each) == "Row"]
            table = _text(node.args[0])
            lines.update({(table, number): row.lineno for number, row in enumerate(rows)})
        elif isinstance(node, ast.keyword) and node.arg == "name":
            lines[f"operation.{_text(node.value)}"] = node.lineno
    return lines


def _callee(call: ast.Call) -> str:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    return function.id if isinstance(function, ast.Name) else ""


def _text(expression: ast.expr) -> str:
    return str(expression.value) if isinstance(expression, ast.Constant) else ""
