"""The probe: a check that only asks whether the server answers at all.

The law of this module: **a server that answers one simple read is not down**. After a failed check
that may have met a server that is down, the runner runs the probe. If the probe fails too, the
runner runs no more checks, so that a server that is down is reported once.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import App, in_short
from curae_lifecycle.testing.conformance.failures import SERVER_ERROR
from curae_lifecycle.testing.conformance.results import Failure
from curae_lifecycle.testing.conformance.steps import NotConformingError, Steps, send

_READS: Final = 3
"""How many reads the probe sends before it says that the server answers none."""


def _answers(app: App) -> Steps[None]:
    seen: list[str] = []
    while len(seen) < _READS:
        response = yield from send(app.account_state(app.names.word("user")))
        if response.status < SERVER_ERROR:
            return
        seen.append(in_short(response))
    raise NotConformingError(f"{_READS} more reads got {', '.join(seen)}")


PROBE: Final = Check("server.answers", "The server answers a read.", _answers)
"""The check that asks only whether the server answers; it is not one of the kit's checks.

A runner runs it after a check whose failure may mean that the server is down.
"""


def down_failure(failure: Failure, probe: Failure) -> Failure:
    """Return the failure to report if a check failed and a probe, a plain request, failed too.

    The server is then down, so the check shows nothing about the rules.

    Args:
        failure: The failure of the check.
        probe: The failure of the probe.
    """
    why, first = probe.message.partition("\n")[0], failure.message.partition("\n")[0]
    known = "" if why == first else f"{why}\n  first seen: "
    return Failure(failure.check, f"the server is down: {known}{failure.message}")


def reason_not_run(down: Failure) -> str:
    """Return why the remaining checks are not run: the server is down.

    Args:
        down: The failure of the check that found the server down.
    """
    return f"the server was down since {down.check}"
