"""Every check of the kit, in the order in which they are run, and every rule that none can show.

The laws of this module: **names are unique and stay**, since reports and skips go by them; **every
rule of every table is shown by a check or listed as unseen**, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.conformance import (
    apart,
    connections,
    gates,
    idempotency,
    limits,
    model,
    recovery,
    sessions,
    wire,
)
from curae_lifecycle.testing.conformance.steps import Check

CHECKS: Final[tuple[Check, ...]] = (
    *connections.CHECKS,
    *recovery.CHECKS,
    *sessions.CHECKS,
    *idempotency.CHECKS,
    *gates.CHECKS,
    *limits.CHECKS,
    *wire.CHECKS,
    *apart.CHECKS,
    *model.CHECKS,
)
"""The kit."""

_CANNOT_ARISE: Final = "No history leads there, so nothing answers by it."
_RACING: Final = "It shows only while an attempt runs, which no client can arrange."
_WITHIN: Final = "It concerns a server that works on a request outside its transaction."
_ON_PURPOSE: Final = "It follows an act of the server's operator, which no client sees."
_TOLD_BY_HOOK: Final = (
    "No request is answered so: a fact is. The code is compared where a hook says it; the problem "
    "itself is not seen."
)
_READING: Final = "It is how a client reads a status, and a server reads none."

_BY_TABLE: Final = {
    "attempt": _WITHIN,
    "record-standing": _WITHIN,
    "record-upkeep": _ON_PURPOSE,
    "stored-status": _READING,
}
_BY_RULE: Final = {
    "expiry-record.pending": _CANNOT_ARISE,
    "expiry-record.revoked": _CANNOT_ARISE,
    "recovery.pending": _CANNOT_ARISE,
    "recovery.active": _CANNOT_ARISE,
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
    "problem.connection-not-pending": _TOLD_BY_HOOK,
    "problem.handoff-lapsed": _TOLD_BY_HOOK,
    "problem.session-expired": _TOLD_BY_HOOK,
    "problem.handoff-not-required": _TOLD_BY_HOOK,
    "problem.binding-changed": _TOLD_BY_HOOK,
    "problem.binding-conflict": _TOLD_BY_HOOK,
    "problem.internal": "A server that is right has no failure to show.",
    "request.room": "A kit that fills a store is no friend of a server that others use.",
}

UNSEEN: Final[Mapping[str, str]] = {
    row.rule: _BY_TABLE[name] for name in _BY_TABLE for row in TABLES[name].rows
} | _BY_RULE
"""The rules that cannot be seen from outside, each with the reason."""

UNSEEN_LAWS: Final[Mapping[int, str]] = {
    3: "No request joins two snapshots; hold your own merge against `laws.check_merge`.",
}
"""The laws of which nothing can be seen from outside, each with the reason."""
