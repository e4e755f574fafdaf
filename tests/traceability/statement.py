"""What a row of the traceability page holds."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Statement:
    """One thing that the platform's reference says, and where it went.

    Attributes:
        number: Its name on the page, which stays: a letter for the part of the reference, and a count.
        says: What the reference says, in our words.
        rules: Names of rules of the tables, and anchors of `docs/rules.md`, those with a `#`.
        code: What does it: a module of the package, `:`, and a name in it.
        tests: What fails where it is not done: a module of `tests`, `::`, and a function in it.
        names: The identifiers of the reference that stand in it.
        not_ours: Why the library leaves it to others; such a row needs no rule, code or test.
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
    """A part of the reference: its heading here, and its statements in its order."""

    title: str
    statements: tuple[Statement, ...]
