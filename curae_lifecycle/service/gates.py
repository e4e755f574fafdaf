"""The gates of a request.

The law of this module: **a request passes its gates in the order of this table**. `web` runs the
gates that need no stored value, `decide` the others; both take the order from here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.outcomes import Refused, RefuseWith
from curae_lifecycle.rules.problems import DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.tables import Axis, Row, Table


class Gate(StrEnum):
    """The checks that a request must pass, in this order.

    Attributes:
        CREDENTIALS: The API key is known.
        ROUTE: An operation has the path and method.
        PERMISSION: The server serves the key's environment, and the key has the needed scope.
        BODY: The ids in the path, the query and the body can be read.
        KEY_ALLOWED: No idempotency key is sent if the operation forbids one.
        KEY_GIVEN: An idempotency key is sent if the operation needs one.
        KEY_READABLE: The idempotency key can be read.
        BUCKETS: The buckets (rate limits) of the API key have tokens.
        IDEMPOTENCY: The record of the idempotency key lets the request execute.
        LIMIT: The app user's rate limit for the operation, if there is one, admits the request.
        OWNERSHIP: The connection, session and app user belong to the caller.
        RULE: The operation's own rules allow the request.
        ROOM: The store has room for new values.
    """

    CREDENTIALS = "credentials"
    ROUTE = "path and method"
    PERMISSION = "environment and scope"
    BODY = "path ids, query and body"
    KEY_ALLOWED = "no key where none is allowed"
    KEY_GIVEN = "a key where one is needed"
    KEY_READABLE = "a key that can be read"
    BUCKETS = "the platform's buckets"
    IDEMPOTENCY = "the key's record"
    LIMIT = "the app user's limit"
    OWNERSHIP = "ownership"
    RULE = "the rule itself"
    ROOM = "room in the store"


@attrs.frozen
class Ask:
    """The outcome of a cell of the table `request`: another table decides at this gate (check).

    Attributes:
        table: The name of the other table; empty for the tables of the operation.
    """

    table: str = ""

    def __str__(self) -> str:
        return f"see {self.table or 'the tables of the operation'}"


UNAUTHENTICATED: Final = RefuseWith(ProblemCode.UNAUTHENTICATED)
NOT_FOUND: Final = RefuseWith(ProblemCode.NOT_FOUND)
BAD_REQUEST: Final = RefuseWith(ProblemCode.BAD_REQUEST)
KEY_NOT_ALLOWED: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED)
KEY_MISSING: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_REQUIRED)
KEY_INVALID: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_INVALID)
LIMITED: Final = RefuseWith(ProblemCode.RATE_LIMITED)
FAILED: Final = RefuseWith(ProblemCode.INTERNAL)

# fmt: off
REQUEST_GATES: Final = Table[Gate, RefuseWith | Ask](
    "request",
    "The gates of a request, in order, and the answer of each gate that refuses it.",
    Axis.of("gate", Gate),
    Row(Gate.CREDENTIALS,  UNAUTHENTICATED,    "[O] Nothing is said to a stranger, not even of paths."),
    Row(Gate.ROUTE,        NOT_FOUND,          "[O] An unknown path or method; it charges no bucket."),
    Row(Gate.PERMISSION,   Ask("permission"),  "[S] A mutation needs its scope; test and live are apart [P]."),
    Row(Gate.BODY,         BAD_REQUEST,        "[O] Strict: a mistyped member must not be ignored."),
    Row(Gate.KEY_ALLOWED,  KEY_NOT_ALLOWED,    "[P] A replayed graduation URL is stale.",      name="key-not-allowed"),
    Row(Gate.KEY_GIVEN,    KEY_MISSING,        "[S] Every other mutation needs one.",          name="key-required"),
    Row(Gate.KEY_READABLE, KEY_INVALID,        "[O] An ambiguous key protects neither party.", name="key-invalid"),
    Row(Gate.BUCKETS,      LIMITED,            "[S] The platform's buckets; a refusal charges nothing [O]."),
    Row(Gate.IDEMPOTENCY,  Ask("idempotency"), "[S] Before the limit: a lost answer can be learned there [O]."),
    Row(Gate.LIMIT,        LIMITED,            "[S] Ten a minute for one app user; a refusal charges nothing [O]."),
    Row(Gate.OWNERSHIP,    NOT_FOUND,          "[O] Another tenant's id and an unknown id answer alike."),
    Row(Gate.RULE,         Ask(),              "[S] What the operation itself decides."),
    Row(Gate.ROOM,         FAILED,             "[O] A full store refuses what is new and evicts nothing live."),
)
"""The table `request`: each gate (check of a request), with its refusal or the table it asks."""
# fmt: on


def sort_gates(*gates: Gate) -> tuple[Gate, ...]:
    """Return the given gates (checks of a request) in the order of the table `request`."""
    return tuple(gate for gate in REQUEST_GATES if gate in gates)


def refuse_at(gate: Gate, detail_values: tuple[DetailValue, ...] = ()) -> Refused:
    """Return the refusal by a gate (a check of a request), as the table `request` says.

    Args:
        gate: A gate for which the table holds a code. One that asks another table fails an
            assertion.
        detail_values: The values of the problem's `details`, in the order in which the catalogue of
            problems lists the keys for the code.

    Returns:
        Refused: with the code of the gate, and the name of the gate's row.
    """
    row = REQUEST_GATES[gate]
    verdict = row.outcome
    assert isinstance(verdict, RefuseWith)  # noqa: S101 - the other gates' own tables refuse
    return Refused(Problem(verdict.code, detail_values), row.rules)
