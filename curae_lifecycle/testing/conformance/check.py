"""What a check of the kit is, and how a module's checks are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

import attrs

from curae_lifecycle.rules.tables import Row
from curae_lifecycle.testing.conformance.client import App, new_app
from curae_lifecycle.testing.conformance.steps import CheckContext, Steps

Shows = Callable[[App], Steps[None]]
"""A generator function that shows something of a server, with a fresh app, or raises."""


@attrs.frozen
class Check:
    """One named check.

    Attributes:
        name: Its name; the name of the table's row where it shows one row alone.
        shows: What holds on a server that passes, in one sentence.
        steps: The generator function.
        laws: The laws of which it shows a part.
        rules: The rows of the tables that it shows.
        hooks: The optional parts of a server that it needs.
        time_needed: How much time it lets pass.
    """

    name: str
    shows: str
    steps: Shows
    laws: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    time_needed: timedelta = timedelta(0)

    def begin(self, kit: CheckContext) -> Steps[None]:
        """All that is done for it, with an app of its own."""
        yield from self.steps((yield from new_app(kit)))


class Checks(list[Check]):
    """The checks of a module, in the order in which they are written."""

    def add(
        self,
        name: str,
        *,
        laws: tuple[int, ...] = (),
        rules: tuple[str, ...] = (),
        hooks: tuple[str, ...] = (),
        time_needed: timedelta = timedelta(0),
    ) -> Callable[[Shows], Shows]:
        """Add the generator function below as a check; its docstring is what it shows."""

        def added(steps: Shows) -> Shows:
            self.append(
                Check(
                    name=name,
                    shows=steps.__doc__ or "",
                    steps=steps,
                    laws=laws,
                    rules=rules,
                    hooks=hooks,
                    time_needed=time_needed,
                )
            )
            return steps

        return added


def row_check(
    row: Row[object],
    doing: str,
    steps: Shows,
    *,
    laws: tuple[int, ...] = (),
    hooks: Iterable[str] = (),
    time_needed: timedelta = timedelta(0),
) -> Check:
    """A check that shows one row of a table alone and is named after it."""
    needed = tuple(dict.fromkeys(hooks))
    return Check(
        name=row.rule,
        shows=f"{doing}: {row.outcome}.",
        steps=steps,
        laws=laws,
        rules=(row.rule,),
        hooks=needed,
        time_needed=time_needed,
    )
