"""The decorators under which mutmut finds a function to mutate.

The law of this module: **a mutant reaches the function that runs**, so a decorator goes only if it
returns the function itself, or an object that calls it.
"""

from __future__ import annotations

import re
from typing import Final

_PLAIN_UNDERNEATH: Final = ("    @property\n", "    @classmethod\n")
"""mutmut leaves decorated functions alone; under these there is a plain function."""

CHECKED_BODIES: Final = (
    "testing.conformance.accounts",
    "testing.conformance.bodies",
    "testing.conformance.buckets",
    "testing.conformance.chains",
    "testing.conformance.gate_order",
    "testing.conformance.gates",
    "testing.conformance.hosted_page_checks",
    "testing.conformance.idempotency",
    "testing.conformance.idempotency_key_header",
    "testing.conformance.limits",
    "testing.conformance.lookalike_ids",
    "testing.conformance.outboxes",
    "testing.conformance.purging",
    "testing.conformance.races",
    "testing.conformance.recovery",
    "testing.conformance.registration",
    "testing.conformance.replies",
    "testing.conformance.retention",
    "testing.conformance.revocation",
    "testing.conformance.separation",
    "testing.conformance.sessions",
    "testing.conformance.standings",
    "testing.conformance.tombstones",
    "testing.conformance.wire",
)
"""The modules of the kit whose checks are mutated, too: the functions under `@CHECKS.add(...)`.

The checks of the kit's other modules are left to tests/proof/assertions, which disable each of
their assertions in turn.
"""

_ADDS_A_CHECK: Final = re.compile(
    r"^@(CHECKS\.add|_race)\(.*?\)\n(?=def )", re.MULTILINE | re.DOTALL
)
"""The decorators that return the check's function itself, so that a mutant reaches it."""


def undecorated(source: str, *, checks: bool) -> str:
    """Return a source without the decorators that leave a plain function to mutate.

    Args:
        source: The source of a module.
        checks: Whether to remove those, too, that add a function to the checks of the kit.
    """
    for decorator in _PLAIN_UNDERNEATH:
        source = source.replace(decorator, "")
    return _ADDS_A_CHECK.sub("", source) if checks else source
