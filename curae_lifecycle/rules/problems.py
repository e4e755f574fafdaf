"""The catalogue of problems: every code that the library can answer, once.

The law of this module: **a problem is a code and the values that its code allows**. What sort of
trouble it is, whether a retry may help, and the keys of `details` are looked up in `CATALOGUE`;
the code is the contract, its `WORDING` may change [P]. The values hold only what the caller
already owns: ids, tokens, times and integers.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.rules.values import format_time

DetailValue = str | int | datetime | None
"""What a problem may carry beside its code."""


class ProblemCode(StrEnum):
    """Every code of the catalogue [P, O: the column `origin` says which]."""

    BAD_REQUEST = "BAD_REQUEST"
    IDEMPOTENCY_KEY_REQUIRED = "IDEMPOTENCY_KEY_REQUIRED"
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    IDEMPOTENCY_KEY_NOT_ALLOWED = "IDEMPOTENCY_KEY_NOT_ALLOWED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    SCOPE_INSUFFICIENT = "SCOPE_INSUFFICIENT"
    WRONG_ENVIRONMENT = "WRONG_ENVIRONMENT"
    CONNECTION_ACCESS_DENIED = "CONNECTION_ACCESS_DENIED"
    NOT_FOUND = "NOT_FOUND"
    CONNECTION_NOT_RECONNECTABLE = "CONNECTION_NOT_RECONNECTABLE"
    CONNECTION_SUPERSEDED = "CONNECTION_SUPERSEDED"
    CONNECTION_NOT_PENDING = "CONNECTION_NOT_PENDING"
    HANDOFF_LAPSED = "HANDOFF_LAPSED"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    HANDOFF_NOT_REQUIRED = "HANDOFF_NOT_REQUIRED"
    BINDING_CHANGED = "BINDING_CHANGED"
    BINDING_CONFLICT = "BINDING_CONFLICT"
    BINDING_NOT_LIMITED = "BINDING_NOT_LIMITED"
    IDEMPOTENCY_KEY_IN_FLIGHT = "IDEMPOTENCY_KEY_IN_FLIGHT"
    IDEMPOTENCY_OUTCOME_UNKNOWN = "IDEMPOTENCY_OUTCOME_UNKNOWN"
    IDEMPOTENCY_KEY_FORGOTTEN = "IDEMPOTENCY_KEY_FORGOTTEN"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL = "INTERNAL"


class Fault(StrEnum):
    """What is wrong with a request that is answered `BAD_REQUEST`."""

    NOT_JSON = "NOT_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    MISSING = "MISSING"
    UNKNOWN = "UNKNOWN"
    REPEATED = "REPEATED"
    NULL = "NULL"
    INVALID = "INVALID"


class ProblemKind(StrEnum):
    """What sort of trouble a problem is, for whoever carries it further."""

    INVALID = "invalid"
    UNKNOWN_CALLER = "unknown caller"
    FORBIDDEN = "forbidden"
    ABSENT = "absent"
    CONFLICT = "conflict"
    MISMATCH = "mismatch"
    LIMITED = "limited"
    FAILED = "failed"


@attrs.frozen
class ProblemType:
    """One row of the catalogue.

    Attributes:
        kind: What sort of trouble it is.
        retryable: Whether the same request with the same key may fare better later.
        details: The fixed keys of `details`, in the order of a problem's values.
    """

    kind: ProblemKind
    retryable: bool
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        facts = ", ".join(self.details) or "none"
        return f"{self.kind}, {'retryable' if self.retryable else 'final'}, details: {facts}"


def final(kind: ProblemKind, *details: str) -> ProblemType:
    """A problem that the same request with the same key meets again.

    Args:
        kind: What sort of trouble it is.
        details: The keys of its details, in order.
    """
    return ProblemType(kind, retryable=False, details=details)


def retryable(kind: ProblemKind, *details: str) -> ProblemType:
    """A problem that may pass.

    Args:
        kind: What sort of trouble it is.
        details: The keys of its details, in order.
    """
    return ProblemType(kind, retryable=True, details=details)


C = ProblemCode
INVALID, UNKNOWN_CALLER, FORBIDDEN, ABSENT, CONFLICT, MISMATCH, LIMITED, FAILED = ProblemKind

SUPERSEDED_DETAILS: Final = ("connectionId", "nextConnectionId", "headConnectionId")
"""The details that lead from any old connection to where its chain goes on."""

# fmt: off
CATALOGUE: Final = Table[ProblemCode, ProblemType](
    "problems",
    "What each problem code means: what sort of trouble it is, whether a retry may help, and the keys of its details.",
    Axis.of("code", ProblemCode),
    Row(C.BAD_REQUEST, final(INVALID, "member", "fault"), "[P] A mistyped member is never ignored."),
    Row(C.IDEMPOTENCY_KEY_REQUIRED, final(INVALID), "[O] A retry must be known as one.", name="key-required"),
    Row(C.IDEMPOTENCY_KEY_INVALID, final(INVALID), "[O] A key has one reading.", name="key-invalid"),
    Row(C.IDEMPOTENCY_KEY_NOT_ALLOWED, final(INVALID), "[O] The platform rejects a key [P].", name="key-not-allowed"),
    Row(C.UNAUTHENTICATED, final(UNKNOWN_CALLER), "[O] The platform names no code here."),
    Row(C.SCOPE_INSUFFICIENT, final(FORBIDDEN, "scope"), "[P] A mutation needs connection:write [S]."),
    Row(C.WRONG_ENVIRONMENT, final(FORBIDDEN, "environment"), "[P] Test and live never meet."),
    Row(C.CONNECTION_ACCESS_DENIED, final(FORBIDDEN, "connectionId", "dataPackage", "reason"), "[O] No access."),
    Row(C.NOT_FOUND, final(ABSENT), "[P] Another tenant's id answers alike [O]."),
    Row(C.CONNECTION_NOT_RECONNECTABLE, final(CONFLICT, "connectionId", "reason"), "[O] Refused [S]; our code."),
    Row(C.CONNECTION_SUPERSEDED, final(CONFLICT, *SUPERSEDED_DETAILS), "[O] Recovered once; the head is one hop away."),
    Row(C.CONNECTION_NOT_PENDING, final(CONFLICT, "connectionId", "standing"), "[O] No end comes undone."),
    Row(C.HANDOFF_LAPSED, final(CONFLICT, "connectionId", "deadline"), "[O] The page was over."),
    Row(C.SESSION_EXPIRED, final(CONFLICT, "sessionId", "expiresAt"), "[O] The session was over."),
    Row(C.HANDOFF_NOT_REQUIRED, final(CONFLICT, "sessionId", "path"), "[O] Only Path B needs one [S]."),
    Row(C.BINDING_CHANGED, final(CONFLICT, "lifecycleState"), "[O] A binding is never silently rebound."),
    Row(C.BINDING_CONFLICT, final(CONFLICT, "lifecycleState"), "[O] One coordinate, one user."),
    Row(C.BINDING_NOT_LIMITED, final(CONFLICT, "lifecycleState"), "[O] The platform's rule [P], our code."),
    Row(C.IDEMPOTENCY_KEY_IN_FLIGHT, retryable(CONFLICT, "retryAfter"), "[O] Retry later.", name="key-in-flight"),
    Row(C.IDEMPOTENCY_OUTCOME_UNKNOWN, final(CONFLICT), "[O] A guess may run it twice.", name="outcome-unknown"),
    Row(C.IDEMPOTENCY_KEY_FORGOTTEN, final(CONFLICT), "[O] Erasure runs nothing again.", name="key-forgotten"),
    Row(C.IDEMPOTENCY_KEY_REUSED, final(MISMATCH, "differs"), "[O] What differs is named.", name="key-reused"),
    Row(C.RATE_LIMITED, retryable(LIMITED, "policy", "retryAfter"), "[P] The wait is exact [O]."),
    Row(C.INTERNAL, retryable(FAILED), "[O] Nothing was recorded under the key."),
    prefix="problem",
)
"""The table `problems`: what each code means."""

WORDING: Final[dict[ProblemCode, tuple[str, str]]] = {
    C.BAD_REQUEST: ("Bad request", "The request cannot be read: {member} is at fault ({fault})."),
    C.IDEMPOTENCY_KEY_REQUIRED: ("Idempotency-Key required", "This operation needs an Idempotency-Key header."),
    C.IDEMPOTENCY_KEY_INVALID: ("Idempotency-Key invalid",
        "An Idempotency-Key is one header of 1 to 255 visible ASCII characters, bare or as a quoted string."),
    C.IDEMPOTENCY_KEY_NOT_ALLOWED: ("Idempotency-Key not allowed",
        "This operation takes no Idempotency-Key: a replayed answer would be stale."),
    C.UNAUTHENTICATED: ("Unauthenticated", "A valid API key is needed: Bearer <key>."),
    C.SCOPE_INSUFFICIENT: ("Scope insufficient", "The API key lacks the scope {scope}."),
    C.WRONG_ENVIRONMENT: ("Wrong environment", "This server does not serve the environment {environment}."),
    C.CONNECTION_ACCESS_DENIED: ("Connection access denied",
        "The connection grants no access to {dataPackage} now: {reason}."),
    C.NOT_FOUND: ("Not found", "There is nothing here for this API key."),
    C.CONNECTION_NOT_RECONNECTABLE: ("Connection not reconnectable", "The connection needs no recovery: {reason}."),
    C.CONNECTION_SUPERSEDED: ("Connection superseded",
        "The connection was recovered before; go on with {headConnectionId}."),
    C.CONNECTION_NOT_PENDING: ("Connection not pending",
        "Only a pending connection can be authorized; this one is {standing}."),
    C.HANDOFF_LAPSED: ("Hand-off lapsed", "The hand-off was over at {deadline}; reconnect starts a new one."),
    C.SESSION_EXPIRED: ("Session expired",
        "The connect session was over at {expiresAt}; initiate starts a new one."),
    C.HANDOFF_NOT_REQUIRED: ("Hand-off not required", "A session on path {path} has no hand-off to complete."),
    C.BINDING_CHANGED: ("Binding changed", "The account is {lifecycleState} now, so this step no longer applies."),
    C.BINDING_CONFLICT: ("Binding conflict", "The account is {lifecycleState} and bound to another user."),
    C.BINDING_NOT_LIMITED: ("Binding not limited",
        "Only a LIMITED account graduates; this one is {lifecycleState}."),
    C.IDEMPOTENCY_KEY_IN_FLIGHT: ("Idempotency-Key in flight",
        "A request with this key is being worked on; try again in {retryAfter} s."),
    C.IDEMPOTENCY_OUTCOME_UNKNOWN: ("Idempotency outcome unknown",
        "A request with this key may or may not have taken effect."),
    C.IDEMPOTENCY_KEY_FORGOTTEN: ("Idempotency-Key forgotten",
        "The answer to this key was erased on purpose; the request is not run again."),
    C.IDEMPOTENCY_KEY_REUSED: ("Idempotency-Key reused",
        "This key was used for a request that differs in its {differs}."),
    C.RATE_LIMITED: ("Rate limited", "The limit {policy} is reached; try again in {retryAfter} s."),
    C.INTERNAL: ("Internal error", "The server could not answer."),
}
"""For people, and free to change [P]: a short title, and a sentence in which `{key}` stands for a detail."""
# fmt: on

DEFAULT_TYPE_BASE: Final = "https://curaeai.com/problems/"
"""The base URI of `type` where a server names none [P: a base and the code in kebab case]."""


@attrs.frozen
class Problem:
    """Why something was refused: a code of the catalogue and its facts.

    Attributes:
        code: The contract [P].
        detail_values: One for each key of the code's `details`, in that order.
    """

    code: ProblemCode
    detail_values: tuple[DetailValue, ...] = ()

    @property
    def problem_type(self) -> ProblemType:
        """The code's row of the catalogue."""
        return CATALOGUE[self.code].outcome

    @property
    def title(self) -> str:
        """A short name for people, the same for every occurrence; it may change [P]."""
        return WORDING[self.code][0]

    @property
    def details(self) -> dict[str, DetailValue]:
        """The values by name: exactly the keys that the catalogue fixes for the code."""
        return dict(zip(self.problem_type.details, self.detail_values, strict=True))

    @property
    def detail(self) -> str:
        """A sentence for people, written only when asked for; it may change [P]."""
        sentence = WORDING[self.code][1]
        return sentence.format_map({name: _in_words(it) for name, it in self.details.items()})


def _in_words(value: DetailValue) -> str | int:
    if value is None:
        # The member at fault, where it is the whole or one that we do not know.
        return "the body"
    return format_time(value) if isinstance(value, datetime) else value


def type_uri(code: ProblemCode, base: str = DEFAULT_TYPE_BASE) -> str:
    """The `type` member: a base URI and the code in kebab case [P]."""
    return base + code.lower().replace("_", "-")
