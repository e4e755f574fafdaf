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

It takes an SDK app with an API key, and yields steps: requests to send and hooks (functions of the
server) to call. It raises if the server breaks a rule.
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
        hooks: The names of the hooks (optional fields of `Server`, such as the function
            `expire`) that the check needs.
        time_needed: An estimate of the time that the check lets pass on the server's clock. It
            assumes that a hosted page of the server is valid for half an hour.
    """

    name: str
    shows: str
    steps: CheckFunction
    laws: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    time_needed: timedelta = timedelta(0)

    def begin(self, context: CheckContext) -> Steps[None]:
        """Yield the steps of the check: make a new SDK app with an API key, then run the check.

        A runner performs each step: it sends a request, or calls a hook (a function of the server).

        Args:
            context: The values that the check gets from its runner, such as its source of names.

        Raises:
            NotSeenError: A check with the hook `pass_time`, which lets time pass on the server's
                clock, would let more time pass than `max_time_per_check` of the context.
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

        The function yields the steps: requests to send and hooks (functions of the server) to call.
        Its docstring becomes `Check.shows`, the sentence that is true of a server that passes.

        Args:
            name: The unique name of the check.
            laws: The numbers of the laws that the check covers in part.
            rules: The rule names of the table rows that the check covers.
            hooks: The names of the hooks that the check needs, such as `expire`.
            time_needed: An estimate of the time that the check lets pass, as in `Check`.
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
    """Return a check that a server keeps one row of a table, named after the row's rule.

    Args:
        row: The row. `Check.shows`, the sentence about a server that passes, consists of `doing`
            and the outcome of the row.
        doing: The action that the check takes, such as "revoke on a connection that is ACTIVE".
        steps: The generator function that runs the check.
        laws: The numbers of the laws that the check covers in part.
        hooks: The names of the hooks (optional fields of `Server`, such as the function
            `expire`) that the check needs. Repeated names count once.
        time_needed: An estimate of the time that the check lets pass, as in `Check`.
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
