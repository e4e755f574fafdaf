"""The catalogue of problems: every code of a refusal, once.

The law of this module: **a problem is a code and the values that its code allows**. `CATALOGUE`
holds the kind of each code, whether a retry may help, and the keys of `details`. The code is the
contract, its `WORDING` may change [P]. The values hold only ids, tokens, times and integers that
the caller already owns.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.tables import Axis, Row, Table, check_keys
from curae_lifecycle.rules.values import format_time

DetailValue = str | int | datetime | None
"""A value in the `details` of a problem."""


class ProblemCode(StrEnum):
    """The codes of problems, such as `NOT_FOUND`; the table `problems` explains each [P, O]."""

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
    """The faults of a request that is refused with `BAD_REQUEST`.

    Attributes:
        NOT_JSON: The body is no JSON, or is too long.
        NOT_AN_OBJECT: The body is no JSON object.
        MISSING: A required member is absent.
        UNKNOWN: The operation does not know a member.
        REPEATED: A member is there twice.
        NULL: A member is null.
        INVALID: A member has a value that is not allowed.
    """

    NOT_JSON = "NOT_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    MISSING = "MISSING"
    UNKNOWN = "UNKNOWN"
    REPEATED = "REPEATED"
    NULL = "NULL"
    INVALID = "INVALID"


class ProblemKind(StrEnum):
    """The kinds of problems; the table `problem-status` gives the HTTP status of each.

    Attributes:
        INVALID: The request cannot be read.
        UNKNOWN_CALLER: The API key is missing or unknown.
        FORBIDDEN: The API key or the connection does not permit what was requested.
        ABSENT: The path or the connection does not exist for the caller.
        CONFLICT: The state of the connection, account or idempotency key forbids the request now.
        MISMATCH: The idempotency key was used for another request.
        LIMITED: A rate limit refused the request.
        FAILED: The server failed.
    """

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
    """The properties of a problem code.

    Attributes:
        kind: The group of codes that share an HTTP status, such as CONFLICT for 409.
        retryable: Whether the same request with the same key may succeed later.
        details: The names of the problem's details, in the order of `Problem.detail_values`.
    """

    kind: ProblemKind
    retryable: bool
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        facts = ", ".join(self.details) or "none"
        return f"{self.kind}, {'retryable' if self.retryable else 'final'}, details: {facts}"


def final(kind: ProblemKind, *details: str) -> ProblemType:
    """Make the properties of a final problem code: an identical retry gets the same problem.

    Args:
        kind: The group of codes that share an HTTP status, such as CONFLICT for 409.
        details: The member names of the problem's `details`, in order.
    """
    return ProblemType(kind, retryable=False, details=details)


def retryable(kind: ProblemKind, *details: str) -> ProblemType:
    """Make the properties of a problem code after which an identical retry may succeed.

    Args:
        kind: The group of codes that share an HTTP status, such as CONFLICT for 409.
        details: The member names of the problem's `details`, in order.
    """
    return ProblemType(kind, retryable=True, details=details)


C = ProblemCode
INVALID, UNKNOWN_CALLER, FORBIDDEN, ABSENT, CONFLICT, MISMATCH, LIMITED, FAILED = ProblemKind

SUPERSEDED_DETAILS: Final = ("connectionId", "nextConnectionId", "headConnectionId")
"""The names of the details of `CONNECTION_SUPERSEDED`.

Their values are the ids of the connection, of its successor and of the chain's last connection.
"""


@attrs.frozen
class Wording:
    """The texts of a problem code.

    Attributes:
        title: A short name, the same for every occurrence.
        sentence: A sentence in which `{name}` stands for the value of the detail `name`.
        advice: The steps that a client should take. A program that reports a fact is a client too.
    """

    title: str
    sentence: str
    advice: str


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
    Row(C.INTERNAL, retryable(FAILED), "[O] A retry runs, or gets the stored answer."),
    prefix="problem",
)
"""The table `problems`: the kind of each code, whether a retry may help, and its details' names."""

WORDING: Final[dict[ProblemCode, Wording]] = {
    C.BAD_REQUEST: Wording("Bad request", "The request cannot be read: {member} is at fault ({fault}).",
        "Correct the member that `details` names, and send it again. The idempotency key is unchanged. The same "
        "request always fails."),
    C.IDEMPOTENCY_KEY_REQUIRED: Wording("Idempotency-Key required",
        "This operation needs an Idempotency-Key header.",
        "Make a key for each intended change, store both, and send the key with the request and with every retry."),
    C.IDEMPOTENCY_KEY_INVALID: Wording("Idempotency-Key invalid",
        "An Idempotency-Key is one header of 1 to 255 visible ASCII characters, bare or as a quoted string.",
        "Send one `Idempotency-Key` header of 1 to 255 visible ASCII characters."),
    C.IDEMPOTENCY_KEY_NOT_ALLOWED: Wording("Idempotency-Key not allowed",
        "This operation takes no Idempotency-Key: a replayed answer would be stale.",
        "Leave the header out. A retry is safe: it makes a new next action."),
    C.UNAUTHENTICATED: Wording("Unauthenticated", "A valid API key is needed: Bearer <key>.",
        "Send `Authorization: Bearer` and a registered key. If the key was withdrawn, ask for another; a retry "
        "with this one does not help."),
    C.SCOPE_INSUFFICIENT: Wording("Scope insufficient", "The API key lacks the scope {scope}.",
        "Use a key that has the scope in `details`, or have it added. The idempotency key is unchanged."),
    C.WRONG_ENVIRONMENT: Wording("Wrong environment", "This server does not serve the environment {environment}.",
        "Send a key of the other environment, or use the server of the other environment."),
    C.CONNECTION_ACCESS_DENIED: Wording("Connection access denied",
        "The connection grants no access to {dataPackage} now: {reason}.",
        "Act on the reason in `details`."),
    C.NOT_FOUND: Wording("Not found", "There is nothing here for this API key.",
        "Check the id, the path and the API key. The same answer protects the connections of other apps, so it does "
        "not say if the id exists."),
    C.CONNECTION_NOT_RECONNECTABLE: Wording("Connection not reconnectable",
        "The connection needs no recovery: {reason}.",
        "Go on with the connection as it is, and act on the reason in `details`."),
    C.CONNECTION_SUPERSEDED: Wording("Connection superseded",
        "The connection was recovered before; go on with {headConnectionId}.",
        "Go on with `headConnectionId`, and forget this id."),
    C.CONNECTION_NOT_PENDING: Wording("Connection not pending",
        "Only a pending connection can be authorized; this one is {standing}.",
        "Drop the fact. To connect again, the app reconnects."),
    C.HANDOFF_LAPSED: Wording("Hand-off lapsed", "The hand-off was over at {deadline}; reconnect starts a new one.",
        "The patient finished too late. The app reconnects and shows the new page."),
    C.SESSION_EXPIRED: Wording("Session expired",
        "The connect session was over at {expiresAt}; initiate starts a new one.",
        "The user finished too late. The app initiates again with a new key."),
    C.HANDOFF_NOT_REQUIRED: Wording("Hand-off not required", "A session on path {path} has no hand-off to complete.",
        "Drop the fact: a session on this path waits for no hand-off."),
    C.BINDING_CHANGED: Wording("Binding changed",
        "The account is {lifecycleState} now, so this step no longer applies.",
        "Read the state of the account and start from there: initiate returns the path that is left."),
    C.BINDING_CONFLICT: Wording("Binding conflict", "Another user was bound here; the account is {lifecycleState} now.",
        "Do not retry. Another user was bound to this app user; a person must look at it."),
    C.BINDING_NOT_LIMITED: Wording("Binding not limited",
        "Only a LIMITED account graduates; this one is {lifecycleState}.",
        "If the account is ACTIVE, there is nothing to graduate. Otherwise initiate first."),
    C.IDEMPOTENCY_KEY_IN_FLIGHT: Wording("Idempotency-Key in flight",
        "A request with this key is being worked on; try again in {retryAfter} s.",
        "Wait as long as `Retry-After` says, and send the same request again with the same key."),
    C.IDEMPOTENCY_OUTCOME_UNKNOWN: Wording("Idempotency outcome unknown",
        "A request with this key may or may not have taken effect.",
        "Do not send it under another key: it may have taken effect. Read what it would have changed, or wait until "
        "the operator has resolved it, and then retry with the same key."),
    C.IDEMPOTENCY_KEY_FORGOTTEN: Wording("Idempotency-Key forgotten",
        "The answer to this key was erased on purpose; the request is not run again.",
        "Read the present state. If you still want the change, send a new request with a new key."),
    C.IDEMPOTENCY_KEY_REUSED: Wording("Idempotency-Key reused",
        "This key was used for a request that differs in its {differs}.",
        "A key belongs to one request. Use a new key for this one, and check that no value changes between "
        "retries."),
    C.RATE_LIMITED: Wording("Rate limited", "The limit {policy} is reached; try again in {retryAfter} s.",
        "Wait as long as `Retry-After` says, and send the same request again with the same key. An earlier "
        "retry is refused, and does not count."),
    C.INTERNAL: Wording("Internal error", "The server could not answer.",
        "Send the same request again with the same key, after a pause that grows. If it took effect, you get its "
        "answer."),
}
"""The texts of each code. They are for people and may change [P]."""
# fmt: on

check_keys("wording", WORDING, ProblemCode)

DEFAULT_TYPE_BASE: Final = "https://curaeai.com/problems/"
"""The base URI of a problem's `type`, if the server sets none [P].

The `type` is the base and the code in kebab case; `type_uri` returns it.
"""


@attrs.frozen
class Problem:
    """The problem of a refusal: a code of the table `problems` and the values of its details.

    Attributes:
        code: The code. Clients can rely on it, while texts may change [P].
        detail_values: One value for each key of the code's `details`, in that order.
    """

    code: ProblemCode
    detail_values: tuple[DetailValue, ...] = ()

    @property
    def problem_type(self) -> ProblemType:
        """The properties of the problem's code in the table `problems`."""
        return CATALOGUE[self.code].outcome

    @property
    def title(self) -> str:
        """A short title for people, the same for all problems with the code; it may change [P]."""
        return WORDING[self.code].title

    @property
    def details(self) -> dict[str, DetailValue]:
        """The details: a value for each name that the table `problems` lists for the code.

        Raises:
            ArgumentError: `detail_values` is no tuple with a value for each name.
        """
        names, values = self.problem_type.details, self.detail_values
        # The keys of a dict, or the letters of a text, would become the values.
        if type(values) is not tuple or len(values) != len(names):
            shown = ", ".join(names) or "no detail"
            allowed = f"a tuple with the values of {shown} for {self.code}"
            raise ArgumentError("detail_values", allowed)
        return dict(zip(names, values, strict=True))

    @property
    def detail(self) -> str:
        """A sentence for people about this problem; its text may change [P]."""
        sentence = WORDING[self.code].sentence
        return sentence.format_map({name: _in_words(it) for name, it in self.details.items()})


def _in_words(value: DetailValue) -> str | int:
    if value is None:
        # The member at fault is None for the whole body, or for an unknown member.
        return "the body"
    return format_time(value) if isinstance(value, datetime) else value


def type_uri(code: ProblemCode, base: str = DEFAULT_TYPE_BASE) -> str:
    """Return the `type` of a problem: a base URI and the code in kebab case [P]."""
    return base + code.lower().replace("_", "-")
