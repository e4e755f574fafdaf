"""The list of all checks in the order in which they run, and the rules that no check can show.

The laws of this module: **names are unique and never change**, because reports and skip lists refer
to them. **Every rule of every table is shown by a check or listed in `UNSEEN`**, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.conformance import (
    accounts,
    bodies,
    buckets,
    chains,
    clocks,
    connections,
    gate_order,
    gates,
    hosted_page_checks,
    idempotency,
    idempotency_key_header,
    limits,
    lookalike_ids,
    model,
    outboxes,
    purging,
    races,
    recovery,
    registration,
    replies,
    retention,
    revocation,
    separation,
    sessions,
    standings,
    tombstones,
    wire,
)
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.steps import Operations


def checks(operations: Operations = OPERATIONS) -> tuple[Check, ...]:
    """Return all checks for a server of these operations.

    Args:
        operations: The classes of the operations that the server serves. Some checks exist once
            for each of these.
    """
    return (
        *connections.CHECKS,
        *standings.CHECKS,
        *recovery.CHECKS,
        *revocation.CHECKS,
        *sessions.CHECKS,
        *tombstones.CHECKS,
        *clocks.CHECKS,
        *idempotency.checks(operations),
        *idempotency.CHECKS,
        *retention.checks(operations),
        *retention.CHECKS,
        *gates.CHECKS,
        *bodies.CHECKS,
        *idempotency_key_header.CHECKS,
        *gate_order.CHECKS,
        *limits.CHECKS,
        *buckets.CHECKS,
        *replies.checks(operations),
        *replies.CHECKS,
        *wire.CHECKS,
        *accounts.CHECKS,
        *separation.CHECKS,
        *lookalike_ids.CHECKS,
        *chains.CHECKS,
        *registration.CHECKS,
        *hosted_page_checks.CHECKS,
        *outboxes.CHECKS,
        *purging.CHECKS,
        *races.CHECKS,
        *model.CHECKS,
    )


def select_checks(only: Collection[str] | None, operations: Operations = OPERATIONS) -> list[Check]:
    """Return the checks with the given names, in the kit's own order.

    Args:
        only: The names; `None` selects all checks.
        operations: The classes of the operations that the server serves.

    Raises:
        ArgumentError: `only` is empty or a single text.
        KeyError: A name in `only` is not the name of a check.
    """
    kit = checks(operations)
    names = {check.name for check in kit}
    if isinstance(only, str) or (only is not None and not only):
        # A report of no check has no failure, and would look like a success.
        raise ArgumentError("only", "None, or the names of one or more checks")
    selected = names if only is None else set(only)
    if selected - names:
        raise KeyError(f"no such check: {', '.join(sorted(selected - names))}")
    return [check for check in kit if check.name in selected]


CHECKS: Final = checks()
"""All checks for a server of the seven operations."""

_RACING: Final = "The rule shows only while an attempt runs, which no client can arrange."
_OUTSIDE_TRANSACTION: Final = (
    "The rule concerns servers that work on a request outside their transaction."
)
_BY_OPERATOR: Final = (
    "The rule applies after an act of the server's operator, which no client sees."
)
_ONLY_BY_HOOK: Final = (
    "Only a fact can have this outcome, not a request. The checks compare the code if a hook "
    "returns it, but no client sees the problem itself."
)
_EFFECT: Final = "The rule decides what the server does beside its response, which no client sees."
_READING: Final = "The rule says how a client reads a status, and a server reads none."

_NO_INSTANT: Final = (
    "The library records an instant with every revocation. Only a value that other software "
    "stored has none."
)

_SWEPT: Final = (
    "A server sweeps at once after a tombstone, so no client sees by which rule a connection is "
    "REVOKED."
)
_NO_REPORT: Final = "The hook `tombstone` reports no instant, so no tombstone is a copy."

_NO_FAILURE: Final = "A correct server has no failure to show."

_BY_TABLE: Final = {
    "attempt": _OUTSIDE_TRANSACTION,
    "ending": _EFFECT,
    "life": _EFFECT,
    "record-standing": _OUTSIDE_TRANSACTION,
    "record-upkeep": _BY_OPERATOR,
    "stored-status": _READING,
    "tombstone-report": _NO_REPORT,
}
_BY_RULE: Final = {
    "idempotency.in-flight.same": _RACING,
    "idempotency.in-flight.other": _RACING,
    "problem.key-in-flight": _RACING,
    "idempotency.released.same": _OUTSIDE_TRANSACTION,
    "idempotency.released.other": _OUTSIDE_TRANSACTION,
    "idempotency.lease-over.same": _OUTSIDE_TRANSACTION,
    "idempotency.lease-over.other": _OUTSIDE_TRANSACTION,
    "idempotency.unknown.same": _OUTSIDE_TRANSACTION,
    "idempotency.unknown.other": _OUTSIDE_TRANSACTION,
    "problem.outcome-unknown": _OUTSIDE_TRANSACTION,
    "idempotency.forgotten.same": _BY_OPERATOR,
    "idempotency.forgotten.other": _BY_OPERATOR,
    "problem.key-forgotten": _BY_OPERATOR,
    "problem.connection-access-denied": (
        "Only the server's own endpoints that read data return this problem, and the kit calls "
        "none of them."
    ),
    "problem.connection-not-pending": _ONLY_BY_HOOK,
    "problem.handoff-lapsed": _ONLY_BY_HOOK,
    "problem.session-expired": _ONLY_BY_HOOK,
    "problem.handoff-not-required": _ONLY_BY_HOOK,
    "problem.binding-changed": _ONLY_BY_HOOK,
    "problem.binding-conflict": _ONLY_BY_HOOK,
    "deadline.revoked": _NO_INSTANT,
    "standing.revoked": _NO_INSTANT,
    "deadline.other-era": _SWEPT,
    "standing.other-era": _SWEPT,
    "problem.internal": _NO_FAILURE,
    "problem-status.failed": _NO_FAILURE,
    "request.room": (
        "The rule shows only when the store is full, and the kit does not fill a store that others "
        "may use."
    ),
}

UNSEEN: Final[Mapping[str, str]] = {
    row.rule: _BY_TABLE[name] for name in _BY_TABLE for row in TABLES[name].rows
} | _BY_RULE
"""The rules that no check can show from outside, by rule name, with the reason."""

UNSEEN_LAWS: Final[Mapping[int, str]] = {
    3: "No request merges two snapshots. Test your own merge with `laws.check_merge`.",
    18: "Clients do not see how a server stores its values. Test those with `laws.check_stored`.",
}
"""The laws that no check can show from outside, by number, with the reason."""
