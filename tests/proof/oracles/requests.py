"""Oracles of the tables of requests: permission, gates, operations, problems."""

from __future__ import annotations

import json
from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import check_permission
from curae_lifecycle.rules.problems import CATALOGUE, Problem, ProblemCode, ProblemKind
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.values import SECOND, Environment, to_epoch_microseconds
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.gates import Gate
from curae_lifecycle.service.operations.operation import KeyUse, Operation, ProblemReply
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import find_rule
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.status import is_kept, status_of
from curae_lifecycle.web.openapi import openapi, problem_codes
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import respond
from curae_lifecycle.web.wire_format import format_problem
from tests.proof.oracles.oracle import Answer, answered, said
from tests.proof.reference.tables import PROBLEM_STATUS
from tests.support import server
from tests.support.instants import handle_at
from tests.support.specimens import Key, running
from tests.support.strategies import START, pending, uuid


def permissions() -> list[Answer]:
    def permitted(served: Environment | None, scope: str | None) -> tuple[str, Key]:
        answer = check_permission(server.CALLER, scope, served)
        return ("proceed", ()) if answer is None else (said(answer), answer.rules)

    environments = (
        ("environment served", None),
        ("environment served", Environment.LIVE),
        ("another environment", Environment.TEST),
    )
    scopes = (
        ("scope held or not needed", None),
        ("scope held or not needed", "connection:write"),
        ("scope missing", "connection:other"),
    )
    return [
        answered((environment, held), permitted, served, scope)
        for (environment, served), (held, scope) in product(environments, scopes)
    ]


# --- The order of the gates --------------------------------------------------------------------

FULL: Final = LogState.of((START,) * 10)
DRAINED: Final = Settings(buckets=(Bucket(name="platform", capacity=1, refill=1, seconds=60),))
EMPTY: Final = BucketState(to_epoch_microseconds(START) + 60 * SECOND)
KEYED: Final = (("Idempotency-Key", "k-1"),)
ASKS: Final = {
    "permission": "see permission",
    "idempotency": "see idempotency",
    "connection": "see the tables of the operation",
}
"""Tables that may decide in the end, as the gates page names them."""


def decided(
    request: Request,
    snapshot: Snapshot,
    settings: Settings,
    *,
    known: bool = True,
    scopes: bool = True,
) -> Decision:
    """Return the result of `read` and `decide` for a request."""
    caller = server.CALLER if scopes else attrs.evolve(server.CALLER, scopes=frozenset())
    call = read(request, caller=caller if known else None, now=START, settings=settings)
    return (
        call
        if isinstance(call, Decision)
        else decide(call, snapshot=snapshot, now=START, new_ids=server.new_ids())
    )


def stopped() -> dict[Gate, tuple[Request, Snapshot]]:
    """Yield a request that stops at each gate, with its snapshot."""
    stored = Snapshot(connection=pending())
    request = server.request
    return {
        Gate.CREDENTIALS: (request("get"), stored),
        Gate.ROUTE: (Request("PUT", "/"), stored),
        Gate.PERMISSION: (request("revoke"), stored),
        Gate.BODY: (request("create", body=b"{"), stored),
        Gate.KEY_ALLOWED: (request("graduation", headers=KEYED), stored),
        Gate.KEY_GIVEN: (request("create", key=None), stored),
        Gate.KEY_READABLE: (request("create", key='"'), stored),
        Gate.BUCKETS: (request("get"), attrs.evolve(stored, buckets=(EMPTY,))),
        Gate.IDEMPOTENCY: (request("revoke"), attrs.evolve(stored, record=running())),
        Gate.LIMIT: (request("initiate"), Snapshot(limit=FULL)),
        Gate.OWNERSHIP: (request("get"), Snapshot()),
        Gate.RULE: (request("reconnect"), stored),
    }


def gates() -> list[Answer]:
    def gated(gate: Gate) -> tuple[str, Key]:
        # The API document of each operation follows from the same cells.
        codes = tuple(" ".join(problem_codes(kind)) for kind in OPERATIONS)
        if gate is Gate.ROOM:
            full = server.world(capacity=0)
            answer = handle_at(full, server.request("create"), START, new_ids=server.new_ids())
            return f"refuse {server.code(answer)}", codes
        request, snapshot = stopped()[gate]
        decision = decided(
            request,
            snapshot,
            DRAINED if snapshot.buckets else Settings(),
            known=gate is not Gate.CREDENTIALS,
            scopes=gate is not Gate.PERMISSION,
        )
        assert isinstance(decision.reply, ProblemReply)
        found = find_rule(decision.rules[-1])
        assert found is not None
        refusal = f"refuse {decision.reply.problem.code}"
        return ASKS.get(found.table.name, refusal), (*decision.rules, *codes)

    return [answered((gate,), gated, gate) for gate in Gate]


# --- Operations --------------------------------------------------------------------------------

SERVED: Final = list(OPERATIONS)
"""The operations of the oracle's server; a mutant replaces one."""

NAMES: Final = tuple(kind.rule.name for kind in OPERATIONS)
STORED: Final = Snapshot(
    connection=attrs.evolve(pending(), status=Status.REVOKED), binding=server.LIMITED
)


def operations() -> list[Answer]:
    return [answered((name,), probed, number) for number, name in enumerate(NAMES)]


def probed(number: int) -> tuple[str, Key]:
    """Describe the server's behavior on one operation, in the words of its page."""
    settings = Settings(operations=tuple(SERVED))
    plain = server.request(server.OPERATIONS[number], key=None)
    keyed = attrs.evolve(plain, headers=(*plain.headers, *KEYED))
    with_key, without = decided(keyed, STORED, settings), decided(plain, STORED, settings)
    unscoped = decided(keyed, STORED, settings, scopes=False)
    scope = "no scope"
    if isinstance(unscoped.reply, ProblemReply) and unscoped.status == 403:
        scope = str(unscoped.reply.problem.details["scope"])
    if without.status == 400:
        key, good, taken = KeyUse.NEEDED, keyed, with_key
    elif with_key.status == 400:
        key, good, taken = KeyUse.NOT_ALLOWED, plain, without
    else:
        key, good, taken = KeyUse.UNUSED, keyed, with_key
    full = decided(good, attrs.evolve(STORED, limit=FULL), settings)
    limited = full.reply.limited if isinstance(full.reply, ProblemReply) else None
    limit = "no limit" if limited is None else f"{limited.policy.limit} a minute"
    path = plain.target.partition("?")[0].replace(uuid(1), "{connectionId}")
    deed = f"{plain.method} {path} → {respond(taken).response.status}; {scope}, {key}, {limit}"
    return deed, (
        *taken.rules,
        "" if limited is None else limited.policy.name,
        *(str(decided(each, STORED, settings).status) for each in variants(good)),
        *problem_codes(SERVED[number]),
        *parameters(SERVED[number]),
    )


def variants(request: Request) -> tuple[Request, ...]:
    """Yield the request with a broken body, an extra member and a matching tag."""
    assert isinstance(request.body, bytes)
    more = {**json.loads(request.body or b"{}"), "preferSignup": True}
    tag = ("If-None-Match", '"account-limited"')
    return (
        attrs.evolve(request, body=b"{"),
        attrs.evolve(request, body=json.dumps(more).encode()),
        attrs.evolve(request, headers=(*request.headers, tag)),
    )


def parameters(kind: type[Operation]) -> tuple[str, ...]:
    """Return the parameters of an operation in the API document."""
    document = json.loads(json.dumps(openapi(Settings(operations=(kind,)))))
    described = document["paths"][kind.rule.path][kind.rule.method.lower()]
    return tuple(each["name"] for each in described["parameters"])


# --- Problems ----------------------------------------------------------------------------------

DETAILS: Final = {code: len(row.outcome.details) for code, row in CATALOGUE.items()}
KINDS: Final = {int(words[:3]): kind for (kind,), words in PROBLEM_STATUS.items()}


def problem(code: ProblemCode) -> Problem:
    """Return a problem with a value for each of its details."""
    return Problem(code, tuple(map(str, range(DETAILS[code]))))


def problems() -> list[Answer]:
    def printed(code: ProblemCode) -> tuple[str, Key]:
        page = format_problem(problem(code))
        details, status = page["details"], page["status"]
        assert isinstance(details, dict)
        assert isinstance(status, int)
        final = "retryable" if page["retryable"] else "final"
        deed = f"{KINDS[status]}, {final}, details: {', '.join(details) or 'none'}"
        return deed, (str(page["title"]), str(page["detail"]))

    return [answered((code,), printed, code) for code in ProblemCode]


CODES: Final = {kind: code for code, row in CATALOGUE.items() for kind in [row.outcome.kind]}
"""A code of each kind."""


def problem_statuses() -> list[Answer]:
    def answers(kind: ProblemKind) -> tuple[str, Key]:
        status = status_of(problem(CODES[kind]))
        return f"{status}, {'kept' if is_kept(status) else 'not kept'}", ()

    return [answered((kind,), answers, kind) for kind in ProblemKind]
