"""The kit on any store: every check that the store's methods allow, and why the others are not run.

The law of this module: **a method that the store has is checked**, and one that it lacks is named.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.testing.blocking import has_clock
from curae_lifecycle.testing.conformance.all_checks import select_checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.results import NotRun, ProgressCallback, Report
from curae_lifecycle.testing.conformance.runner import run
from curae_lifecycle.testing.conformance.server import Server
from curae_lifecycle.testing.conformance.store_server import StoreHooks
from curae_lifecycle.testing.conformance.timeout import DEFAULT_TIMEOUT
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys

METHODS: Final[Mapping[str, str]] = {
    "withdraw": "withdraw",
    "finish": "hosted_page",
    "cancel": "hosted_page",
    "purge": "purge",
    "outbox": "outbox",
}
"""For each hook that needs an optional method of the store, the name of that method.

A hook is a function by which a check does what no request can, such as purging.
"""

NO_CLOCK: Final = "the store has no attribute clock that can be replaced"
"""The reason for not running a check of a deadline that the store judges by its own clock.

Such a check must set this clock, and the store does not allow that.
"""

_JUDGED_BY_STORE: Final = frozenset({"finish", "cancel", "purge"})
"""The hooks whose deadlines the store judges by its own clock."""


def check_store(
    store: StoreWithApiKeys,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> Report:
    """Run the conformance kit on a store, with a server in this process on a simulated clock.

    Args:
        store: An empty store. The kit calls it from several threads.
        only: The names of the checks to run; all by default.
        seed: The seed of the names that the checks send; random by default.
        timeout: How long a check may take before it fails, as in `run`; `None` for no timeout.
        progress: Called after each check that runs.

    Returns:
        The result of every selected check: passed, failed or not run. A check that needs a method
        that the store lacks is not run.

    Raises:
        ArgumentError: `only` is empty or a single text, or `timeout` is not above zero.
        KeyError: A name in `only` is not the name of a check.
    """
    seed = secrets.token_hex(8) if seed is None else seed
    hooks = StoreHooks(store)
    server = hooks.server()
    selected = select_checks(only)
    reasons = {each.name: _reason_not_run(each, server, store) for each in selected}
    not_run = [NotRun(name, reason) for name, reason in reasons.items() if reason is not None]
    runnable = [each for each in selected if reasons[each.name] is None]
    of_one = [each.name for each in runnable if "environment" in each.hooks]
    of_both = [each.name for each in runnable if "environment" not in each.hooks]
    live = hooks.server(Environment.LIVE)
    reports = [
        run(each, only=names, seed=seed, timeout=timeout, progress=progress)
        for each, names in ((server, of_both), (live, of_one))
        if names
    ]
    return Report(
        passed=tuple([name for each in reports for name in each.passed]),
        failed=tuple([failure for each in reports for failure in each.failed]),
        not_run=(*[check for each in reports for check in each.not_run], *not_run),
        seed=seed,
    )


def _reason_not_run(check: Check, server: Server, store: object) -> str | None:
    missing = [
        METHODS[hook] for hook in check.hooks if hook in METHODS and getattr(server, hook) is None
    ]
    if missing:
        return f"the store has no method {', '.join(dict.fromkeys(missing))}"
    hooks = frozenset(check.hooks)
    if "pass_time" in hooks and hooks & _JUDGED_BY_STORE and not has_clock(store):
        return NO_CLOCK
    return None
