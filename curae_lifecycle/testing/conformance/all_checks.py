"""Every check of the kit, in the order in which they are run, and every rule that none can show.

The laws of this module: **names are unique and stay**, since reports and skips go by them; **every
rule of every table is shown by a check or listed as unseen**, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
    """The kit for a server of these operations, each one's answers checked by its own class."""
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


CHECKS: Final = checks()
"""The kit for a server of the seven operations."""

_RACING: Final = "It shows only while an attempt runs, which no client can arrange."
_WITHIN: Final = "It concerns a server that works on a request outside its transaction."
_ON_PURPOSE: Final = "It follows an act of the server's operator, which no client sees."
_ONLY_BY_HOOK: Final = (
    "No request is answered so: a fact is. The code is compared where a hook says it; the problem "
    "itself is not seen."
)
_EFFECT: Final = "It decides what the server is to do beside its answer, which no client sees."
_READING: Final = "It is how a client reads a status, and a server reads none."

_NO_INSTANT: Final = "Whatever is revoked says when: only a value stored by others says it not."

_NO_FAILURE: Final = "A server that is right has no failure to show."

_BY_TABLE: Final = {
    "attempt": _WITHIN,
    "ending": _EFFECT,
    "life": _EFFECT,
    "record-standing": _WITHIN,
    "record-upkeep": _ON_PURPOSE,
    "stored-status": _READING,
}
_BY_RULE: Final = {
    "idempotency.in-flight.same": _RACING,
    "idempotency.in-flight.other": _RACING,
    "problem.key-in-flight": _RACING,
    "idempotency.released.same": _WITHIN,
    "idempotency.released.other": _WITHIN,
    "idempotency.lease-over.same": _WITHIN,
    "idempotency.lease-over.other": _WITHIN,
    "idempotency.unknown.same": _WITHIN,
    "idempotency.unknown.other": _WITHIN,
    "problem.outcome-unknown": _WITHIN,
    "idempotency.forgotten.same": _ON_PURPOSE,
    "idempotency.forgotten.other": _ON_PURPOSE,
    "problem.key-forgotten": _ON_PURPOSE,
    "problem.connection-access-denied": "It belongs to the server's own reading of data.",
    "problem.connection-not-pending": _ONLY_BY_HOOK,
    "problem.handoff-lapsed": _ONLY_BY_HOOK,
    "problem.session-expired": _ONLY_BY_HOOK,
    "problem.handoff-not-required": _ONLY_BY_HOOK,
    "problem.binding-changed": _ONLY_BY_HOOK,
    "problem.binding-conflict": _ONLY_BY_HOOK,
    "deadline.revoked": _NO_INSTANT,
    "standing.revoked": _NO_INSTANT,
    "problem.internal": _NO_FAILURE,
    "problem-status.failed": _NO_FAILURE,
    "request.room": "A kit that fills a store is no friend of a server that others use.",
}

UNSEEN: Final[Mapping[str, str]] = {
    row.rule: _BY_TABLE[name] for name in _BY_TABLE for row in TABLES[name].rows
} | _BY_RULE
"""The rules that cannot be seen from outside, each with the reason."""

UNSEEN_LAWS: Final[Mapping[int, str]] = {
    3: "No request joins two snapshots; hold your own merge against `laws.check_merge`.",
    18: "How a server keeps its values is its own; hold them against `laws.check_stored`.",
}
"""The laws of which nothing can be seen from outside, each with the reason."""
