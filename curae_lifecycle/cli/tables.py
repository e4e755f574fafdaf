"""`tables`: the rules, as pages, as a table on a terminal, or one rule with its line of code."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from curae_lifecycle.cli.difference import compare, findings, format_changes, summary
from curae_lifecycle.cli.files import write
from curae_lifecycle.cli.options import add_write
from curae_lifecycle.cli.pages import (
    WORKED,
    pages,
    to_document,
    to_json,
    to_markdown,
    to_mermaid,
)
from curae_lifecycle.cli.release import UnreadableError, parse_release
from curae_lifecycle.cli.terminal import say, show_columns, show_table
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.rulebook import TABLES

PACKAGE: Final = Path(__file__).parent.parent


def add_options(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument(
        "name", nargs="?", metavar="NAME", help="a table, a rule, a problem code or a reason"
    )
    command.add_argument("--format", choices=("md", "mermaid", "json"), default="md")
    add_write(command, "DIR", "write every page and every picture into a directory instead")
    command.add_argument(
        "--diff",
        type=Path,
        metavar="OLD.json",
        help="say what changed since what --format json printed; the exit status is 1 if anything "
        "did",
    )
    command.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print every table, the one that is named, or every rule that a word leads to."""
    if options.diff is not None:
        return _diff(parser, options)
    if options.write is not None:
        wanted = pages(worked=(options.write / WORKED).is_dir())
        return write(options.write, wanted, "*.md", "*.svg", check=options.check)
    name: str | None = options.name
    if name is None or name in TABLES:
        return _show(parser, list(TABLES.values()) if name is None else [TABLES[name]], options)
    found = list(_found(name))
    if not found:
        known = ", ".join(TABLES)
        parser.error(f"no table, rule, problem or reason is named {name}; the tables are {known}")
    if options.format == "md":
        for table, row in found:
            print(f"{row.rule}: {row.outcome}\n{row.why}\n{place(table, row)}\n")
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
    if options.name is not None or options.write is not None or options.format == "mermaid":
        parser.error("--diff compares all tables, in words or with --format json")
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


def _found(word: str) -> Iterator[tuple[AnyTable, Row[object]]]:
    # A rule by its name; or every rule that answers with a problem's code, or with a reason.
    for table in TABLES.values():
        for row in table.rows:
            outcome = row.outcome
            said = {row.rule, *map(str, row.parts)}
            said |= {str(getattr(outcome, name, None)) for name in ("code", "reason")}
            if word == row.rule or (word.isupper() and word in said):
                yield table, row


def place(table: AnyTable, row: Row[object]) -> str:
    """The line of code in which a rule stands."""
    number = table.rows.index(row)
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = _lines_of(path)
        line = lines.get((table.name, number)) or lines.get(row.rule)
        if line is not None:
            return f"{path.relative_to(PACKAGE.parent)}:{line}"
    return "its source is not at hand"


@cache
def _lines_of(path: Path) -> dict[tuple[str, int] | str, int]:
    # Where the rows of a file's tables stand, by table and number, and the rules of operations,
    # which stand where their class names them.
    lines: dict[tuple[str, int] | str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and _called(node) == "Table" and node.args:
            rows = [each for each in node.args if isinstance(each, ast.Call)]
            rows = [each for each in rows if _called(each) == "Row"]
            table = _text(node.args[0])
            lines.update({(table, number): row.lineno for number, row in enumerate(rows)})
        elif isinstance(node, ast.keyword) and node.arg == "name":
            lines[f"operation.{_text(node.value)}"] = node.lineno
    return lines


def _called(call: ast.Call) -> str:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    return function.id if isinstance(function, ast.Name) else ""


def _text(expression: ast.expr) -> str:
    return str(expression.value) if isinstance(expression, ast.Constant) else ""
