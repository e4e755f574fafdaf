"""The catalogue of problems: every code the library can answer, once.

The law of this module: **a problem is a code and the facts that its code allows**. Status,
title, whether a retry may help, and the keys of `details` are looked up in `CATALOGUE`; the
code is the contract, the sentence may change [P]. Facts hold only what the caller already
owns: ids, tokens, times and integers.
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


@attrs.frozen
class ProblemType:
    """One row of the catalogue.

    Attributes:
        status: The HTTP status.
        retryable: Whether the same request with the same key may fare better later.
        title: A short name for people, the same for every occurrence.
        sentence: The detail; `{key}` stands for a fact.
        details: The fixed keys of `details`, in the order of a problem's facts.
    """

    status: int
    retryable: bool
    title: str
    sentence: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        facts = ", ".join(self.details) or "none"
        return f"{self.status}, {'retryable' if self.retryable else 'final'}, details: {facts}"


CATALOGUE: Final = Table[tuple[ProblemCode], ProblemType](
    "problems",
    "What each problem code means: its status, whether a retry may help, and the keys of its "
    "details.",
    (Axis.of("code", ProblemCode),),
    (
        Row(
            "problem.bad-request",
            (ProblemCode.BAD_REQUEST,),
            ProblemType(
                400,
                False,
                "Bad request",
                "The request cannot be read: {member} is at fault ({fault}).",
                ("member", "fault"),
            ),
            "[P] A strict body keeps a mistyped member from being silently ignored.",
        ),
        Row(
            "problem.key-required",
            (ProblemCode.IDEMPOTENCY_KEY_REQUIRED,),
            ProblemType(
                400,
                False,
                "Idempotency-Key required",
                "This operation needs an Idempotency-Key header.",
            ),
            "[O] Without a key a retry cannot be told from a second request.",
        ),
        Row(
            "problem.key-invalid",
            (ProblemCode.IDEMPOTENCY_KEY_INVALID,),
            ProblemType(
                400,
                False,
                "Idempotency-Key invalid",
                "An Idempotency-Key is one header of 1 to 255 visible ASCII characters, bare or "
                "as a quoted string.",
            ),
            "[O] A key that two parties could read differently protects neither.",
        ),
        Row(
            "problem.key-not-allowed",
            (ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED,),
            ProblemType(
                400,
                False,
                "Idempotency-Key not allowed",
                "This operation takes no Idempotency-Key: a replayed answer would be stale.",
            ),
            "[O] The platform rejects a key here [P] and names no code, so we did.",
        ),
        Row(
            "problem.unauthenticated",
            (ProblemCode.UNAUTHENTICATED,),
            ProblemType(401, False, "Unauthenticated", "A valid API key is needed: Bearer <key>."),
            "[O] The platform names no code for a missing or unknown key.",
        ),
        Row(
            "problem.scope-insufficient",
            (ProblemCode.SCOPE_INSUFFICIENT,),
            ProblemType(
                403,
                False,
                "Scope insufficient",
                "The API key lacks the scope {scope}.",
                ("scope",),
            ),
            "[P] A mutation needs the scope connection:write [S].",
        ),
        Row(
            "problem.wrong-environment",
            (ProblemCode.WRONG_ENVIRONMENT,),
            ProblemType(
                403,
                False,
                "Wrong environment",
                "This server does not serve the environment {environment}.",
                ("environment",),
            ),
            "[P] Test and live never meet.",
        ),
        Row(
            "problem.connection-access-denied",
            (ProblemCode.CONNECTION_ACCESS_DENIED,),
            ProblemType(
                403,
                False,
                "Connection access denied",
                "The connection grants no access to {dataPackage} now: {reason}.",
                ("connectionId", "dataPackage", "reason"),
            ),
            "[O] What an embedding server answers from a denied access decision.",
        ),
        Row(
            "problem.not-found",
            (ProblemCode.NOT_FOUND,),
            ProblemType(404, False, "Not found", "There is nothing here for this API key."),
            "[P] Another tenant's id answers byte for byte like an unknown one [O].",
        ),
        Row(
            "problem.connection-not-reconnectable",
            (ProblemCode.CONNECTION_NOT_RECONNECTABLE,),
            ProblemType(
                409,
                False,
                "Connection not reconnectable",
                "The connection needs no recovery: {reason}.",
                ("connectionId", "reason"),
            ),
            "[O] The seed forbids the reconnect [S] and names no code.",
        ),
        Row(
            "problem.connection-superseded",
            (ProblemCode.CONNECTION_SUPERSEDED,),
            ProblemType(
                409,
                False,
                "Connection superseded",
                "The connection was recovered before; go on with {nextConnectionId}.",
                ("connectionId", "nextConnectionId"),
            ),
            "[O] Chains are linear, so a connection is recovered once.",
        ),
        Row(
            "problem.connection-not-pending",
            (ProblemCode.CONNECTION_NOT_PENDING,),
            ProblemType(
                409,
                False,
                "Connection not pending",
                "Only a pending connection can be authorized; this one is {standing}.",
                ("connectionId", "standing"),
            ),
            "[O] Revocation and expiry never come undone on one id.",
        ),
        Row(
            "problem.handoff-lapsed",
            (ProblemCode.HANDOFF_LAPSED,),
            ProblemType(
                409,
                False,
                "Hand-off lapsed",
                "The hand-off was over at {deadline}; reconnect starts a new one.",
                ("connectionId", "deadline"),
            ),
            "[O] The hosted page lives until its deadline and no longer.",
        ),
        Row(
            "problem.session-expired",
            (ProblemCode.SESSION_EXPIRED,),
            ProblemType(
                409,
                False,
                "Session expired",
                "The connect session was over at {expiresAt}; initiate starts a new one.",
                ("sessionId", "expiresAt"),
            ),
            "[O] A session waits until its next action ends and no longer.",
        ),
        Row(
            "problem.handoff-not-required",
            (ProblemCode.HANDOFF_NOT_REQUIRED,),
            ProblemType(
                409,
                False,
                "Hand-off not required",
                "A session on path {path} has no hand-off to complete.",
                ("sessionId", "path"),
            ),
            "[O] Only Path B needs completeHandoff [S].",
        ),
        Row(
            "problem.binding-changed",
            (ProblemCode.BINDING_CHANGED,),
            ProblemType(
                409,
                False,
                "Binding changed",
                "The account is {lifecycleState} now, so this step no longer applies.",
                ("lifecycleState",),
            ),
            "[O] A binding is never silently rebound.",
        ),
        Row(
            "problem.binding-conflict",
            (ProblemCode.BINDING_CONFLICT,),
            ProblemType(
                409,
                False,
                "Binding conflict",
                "The account is {lifecycleState} and bound to another user.",
                ("lifecycleState",),
            ),
            "[O] One coordinate, one user; which one is not told.",
        ),
        Row(
            "problem.binding-not-limited",
            (ProblemCode.BINDING_NOT_LIMITED,),
            ProblemType(
                409,
                False,
                "Binding not limited",
                "Only a LIMITED account graduates; this one is {lifecycleState}.",
                ("lifecycleState",),
            ),
            "[O] The platform's rule [P], our code.",
        ),
        Row(
            "problem.key-in-flight",
            (ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT,),
            ProblemType(
                409,
                True,
                "Idempotency-Key in flight",
                "A request with this key is being worked on; try again in {retryAfter} s.",
                ("retryAfter",),
            ),
            "[O] Waiting is the caller's choice, so it learns how long.",
        ),
        Row(
            "problem.outcome-unknown",
            (ProblemCode.IDEMPOTENCY_OUTCOME_UNKNOWN,),
            ProblemType(
                409,
                False,
                "Idempotency outcome unknown",
                "A request with this key may or may not have taken effect.",
            ),
            "[O] Guessing either way can run a request twice or not at all.",
        ),
        Row(
            "problem.key-forgotten",
            (ProblemCode.IDEMPOTENCY_KEY_FORGOTTEN,),
            ProblemType(
                409,
                False,
                "Idempotency-Key forgotten",
                "The answer to this key was erased on purpose; the request is not run again.",
            ),
            "[O] Erasure must not turn a retry into a second execution.",
        ),
        Row(
            "problem.key-reused",
            (ProblemCode.IDEMPOTENCY_KEY_REUSED,),
            ProblemType(
                422,
                False,
                "Idempotency-Key reused",
                "This key was used for a request that differs in its {differs}.",
                ("differs",),
            ),
            "[O] The differing part is named, its values never.",
        ),
        Row(
            "problem.rate-limited",
            (ProblemCode.RATE_LIMITED,),
            ProblemType(
                429,
                True,
                "Rate limited",
                "The limit {policy} is reached; try again in {retryAfter} s.",
                ("policy", "retryAfter"),
            ),
            "[P] The wait is exact, in whole seconds rounded up [O].",
        ),
        Row(
            "problem.internal",
            (ProblemCode.INTERNAL,),
            ProblemType(500, True, "Internal error", "The server could not answer."),
            "[O] What a server answers when it fails; nothing was recorded under the key.",
        ),
    ),
)

DEFAULT_TYPE_BASE: Final = "https://example.com/problems/"
"""The base URI of `type` where a server names none [P: a base and the code in kebab case]."""


@attrs.frozen
class Problem:
    """Why something was refused: a code of the catalogue and its facts.

    Attributes:
        code: The contract [P].
        facts: One value for each key of the code's `details`, in that order.
    """

    code: ProblemCode
    facts: tuple[DetailValue, ...] = ()

    @property
    def type(self) -> ProblemType:
        """The code's row of the catalogue."""
        return CATALOGUE[self.code,].outcome

    @property
    def details(self) -> dict[str, DetailValue]:
        """The facts by name: exactly the keys that the catalogue fixes for the code."""
        return dict(zip(self.type.details, self.facts, strict=True))

    @property
    def detail(self) -> str:
        """A sentence for people, written only when asked for; it may change [P]."""
        return self.type.sentence.format_map(
            {name: _in_words(fact) for name, fact in self.details.items()}
        )


def _in_words(fact: DetailValue) -> str | int:
    if fact is None:
        # The member at fault, where it is the whole or one that we do not know.
        return "the body"
    return format_time(fact) if isinstance(fact, datetime) else fact


def type_uri(code: ProblemCode, base: str = DEFAULT_TYPE_BASE) -> str:
    """The `type` member: a base URI and the code in kebab case [P]."""
    return base + code.lower().replace("_", "-")
