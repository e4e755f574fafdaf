"""Statements of the platform's reference, and the parts that group them."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Statement:
    """One statement of the platform's reference, with the rules, code and tests that keep it.

    Attributes:
        number: A stable name on the page: a letter for the part of the reference, and a count.
        says: The statement in our words.
        rules: Names of rules of the tables, and anchors of `docs/rules.md` with a `#`.
        code: The code that keeps it: a module of the package, `:`, and a name in it.
        tests: The tests that fail without it: a module of `tests`, `::`, and a function in it.
        names: The identifiers of the reference in the statement.
        not_ours: The reason why the library does not keep it; such a row needs no rule, code or test.
    """

    number: str
    says: str
    rules: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    not_ours: str = ""


@attrs.frozen
class Part:
    """A part of the reference: its title, and its statements in order."""

    title: str
    statements: tuple[Statement, ...]
