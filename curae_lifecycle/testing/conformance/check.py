"""The type of the kit's checks, and the list in which each module collects its checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import cast

import attrs

from curae_lifecycle.rules.tables import Row
from curae_lifecycle.testing.conformance.client import App, new_app
from curae_lifecycle.testing.conformance.steps import (
    CheckContext,
    HookCall,
    NotSeenError,
    Steps,
)

CheckFunction = Callable[[App], Steps[None]]
"""The generator function of a check.

It takes an SDK app with an API key, and yields steps: requests to send and hooks to call. It raises
if the server breaks a rule.
"""


@attrs.frozen
class Check:
    """One named check of the conformance kit.

    Attributes:
        name: The unique name. A check of a single table row has the rule name of that row.
        shows: A sentence that is true of every server that passes.
        steps: The generator function that runs the check.
        laws: The numbers of the laws that the check covers in part.
        rules: The rule names of the table rows that the check covers.
        hooks: The names of the hooks that the check needs: fields of `Server`, such as `expire`.
        time_needed: How much time the check lets pass on the server's clock, if a hosted page of
            the server is valid for half an hour.
    """

    name: str
    shows: str
    steps: CheckFunction
    laws: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    time_needed: timedelta = timedelta(0)

    def begin(self, context: CheckContext) -> Steps[None]:
        """Make a new app, then yield the steps of the check with that app.

        A runner performs each step: it sends the request or calls the hook.

        Raises:
            NotSeenError: A check that needs `pass_time` would let more time pass than the context's
                `max_time_per_check`.
        """
        steps = self.steps((yield from new_app(context)))
        if "pass_time" in self.hooks:
            steps = _limit_time(steps, context.max_time_per_check)
        yield from steps


def _limit_time(steps: Steps[None], most: timedelta) -> Steps[None]:
    passed, outcome = timedelta(0), None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            return
        if isinstance(step, HookCall) and step.hook == "pass_time":
            passed += cast("timedelta", step.arguments[0])
            if passed > most:
                raise NotSeenError(f"needs a max_time_per_check of at least {passed}")
        outcome = yield step


class Checks(list[Check]):
    """The checks of a module, in the order in which the module adds them."""

    def add(
        self,
        name: str,
        *,
        laws: tuple[int, ...] = (),
        rules: tuple[str, ...] = (),
        hooks: tuple[str, ...] = (),
        time_needed: timedelta = timedelta(0),
    ) -> Callable[[CheckFunction], CheckFunction]:
        """Return a decorator that makes a check of a generator function and adds it to the list.

        The function yields the steps. Its docstring becomes `Check.shows`.

        Args:
            name: The unique name of the check.
            laws: The numbers of the laws that the check covers in part.
            rules: The rule names of the table rows that the check covers.
            hooks: The names of the hooks that it needs: fields of `Server`, such as `expire`.
            time_needed: How much time the check lets pass on the server's clock.
        """

        def add_check(steps: CheckFunction) -> CheckFunction:
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

        return add_check


def row_check(
    row: Row[object],
    doing: str,
    steps: CheckFunction,
    *,
    laws: tuple[int, ...] = (),
    hooks: Iterable[str] = (),
    time_needed: timedelta = timedelta(0),
) -> Check:
    """Return a check that a server keeps one row of a table; its name is the row's rule name.

    Args:
        row: The row. `Check.shows` consists of `doing` and the outcome of the row.
        doing: The action that the check takes, such as "revoke on a connection that is ACTIVE".
        steps: The generator function that runs the check.
        laws: The numbers of the laws that the check covers in part.
        hooks: The names of the hooks that the check needs: fields of `Server`, such as `expire`.
            Repeated names count once.
        time_needed: How much time the check lets pass on the server's clock.
    """
    return Check(
        name=row.rule,
        shows=f"{doing}: {row.outcome}.",
        steps=steps,
        laws=laws,
        rules=(row.rule,),
        hooks=tuple(dict.fromkeys(hooks)),
        time_needed=time_needed,
    )
