"""Equivalent mutants of the commands on keys, stores, tables and problems, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.equivalent import Key

_SAME_LENGTH: Final = "Both have the same length: there is one value for each axis."
_NO_COLOUR: Final = "Without columns there is no Rich or no terminal, so no line has a colour."


def _not_strict(where: str, line: str) -> Iterator[tuple[Key, str]]:
    """Yield the three ways not to ask `zip` for equal lengths, each with the proof."""
    for other in ("strict=None", "strict=False", ""):
        yield (where, line, line.replace("strict=True", other)), _SAME_LENGTH


EQUIVALENT_CLI_TABLES: Final[dict[Key, str]] = {
    (
        "cli.check._as_store",
        'if inspect.iscoroutinefunction(getattr(store, "load", None)):',
        'if inspect.iscoroutinefunction(getattr(store, "load", )):',
    ): "A store without the method was refused before.",
    (
        "cli.check._kit",
        "make_store(), only=names, timeout=limit, progress=lambda _: next(ticks, None)",
        "make_store(), only=names, timeout=limit, progress=lambda _: next(ticks, )",
    ): "It is called at most once for each check, so there is always a next one.",
    **{
        (
            "cli.keys._add_scopes",
            'metavar="SCOPE",',
            other,
        ): "By default, argparse makes the same word of the name of the option."
        for other in ("metavar=None,", "")
    },
    (
        "cli.keys._register",
        'minted = None if options.stdin else f"cae_{environment}_{token_urlsafe(32)}"',
        'minted = None if options.stdin else f"cae_{environment}_{token_urlsafe(None)}"',
    ): "Python's default is 32 bytes, too.",
    (
        "cli.problems.to_markdown",
        'f"```json\\n{json.dumps(format_problem(problem, DEFAULT_TYPE_BASE), indent=2)}\\n```",',
        'f"```json\\n{json.dumps(format_problem(problem, ), indent=2)}\\n```",',
    ): "It is the default of `format_problem`.",
    **{
        (
            "cli.table_diff._places",
            (
                "axis: own.get(axis, other.get(axis, ())) "
                "for axis in (own if cell_axes == {*own} else other)"
            ),
            (
                f"axis: own.get(axis, other.get(axis, {default})) "
                "for axis in (own if cell_axes == {*own} else other)"
            ),
        ): "One of the two has the axis, so nothing needs the default."
        for default in ("None", "")
    },
    **dict(
        _not_strict(
            "cli.table_diff._places",
            "if frozenset(zip(axes, place, strict=True)) in change.cells",
        )
    ),
    (
        "cli.table_diff.spread",
        "if not own.axes.keys() < other.axes.keys():",
        "if not own.axes.keys() <= other.axes.keys():",
    ): "With the same axes there is nothing to add, and each cell is copied once.",
    **dict(
        _not_strict(
            "cli.table_diff.spread",
            "cell | frozenset(zip(added, values, strict=True)): rule",
        )
    ),
    **dict(
        _not_strict(
            "cli.table_formats._to_dict",
            '"key": dict(zip(names, key, strict=True)),',
        )
    ),
    (
        "cli.tables._diff",
        'if not show_columns(table.name, "", layout, wide="was and now"):',
        'if not show_columns(table.name, None, layout, wide="was and now"):',
    ): "Rich prints nothing below the columns for either.",
    **{
        ("cli.tables._diff", f'say({text}, "{role}")', f"say({text}, {other})"): _NO_COLOUR
        for text, role in (
            ('f"\\n{table.name}"', "title"),
            ('f"  {each.where}: {each.what}"', "rule"),
            ('f"    {detail}"', "answered"),
        )
        for other in ("None", f'"XX{role}XX"', f'"{role.upper()}"')
    },
    (
        "cli.tables._callee",
        'return function.id if isinstance(function, ast.Name) else ""',
        'return function.id if isinstance(function, ast.Name) else "XXXX"',
    ): "It is only compared with `Table` and `Row`.",
    (
        "cli.tables._text",
        'return str(expression.value) if isinstance(expression, ast.Constant) else ""',
        'return str(expression.value) if isinstance(expression, ast.Constant) else "XXXX"',
    ): "No table and no operation has either name.",
}
"""The proof for each mutant, by its function, its line in the code and its changed line."""
