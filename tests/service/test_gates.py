"""Gates of a request: the earliest gate that refuses it answers."""

from __future__ import annotations

from itertools import combinations

import attrs
import pytest

from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Admitted, Bucket, Charge, LogState, admit
from curae_lifecycle.rules.values import AppUserId, Environment
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import DECIDE_GATES, decide
from curae_lifecycle.service.gates import REQUEST_GATES, Gate
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.web.read import READ_GATES, read
from curae_lifecycle.web.respond import Answer, respond
from tests.support import server
from tests.support.server import CALLER, LIMITED, STRANGERS, USER, code, written
from tests.support.strategies import START, apply_trigger, pending

BUCKET = Bucket(name="platform", capacity=1, refill=1, seconds=60)


def test_request_failing_every_gate_gets_unauthenticated() -> None:
    for operation, gates in APPLIES.items():
        assert code(ask(operation, frozenset(gates.split()))) == "UNAUTHENTICATED"


def test_parsing_and_deciding_run_the_gates_in_table_order() -> None:
    # Only the store itself can find that it is full.
    assert (*READ_GATES, *DECIDE_GATES, Gate.ROOM) == tuple(REQUEST_GATES)


APPLIES = {
    "create": "credentials route environment scope body key buckets idempotency",
    "get": "credentials route environment body buckets ownership",
    "reconnect": "credentials route environment scope body key buckets idempotency ownership rule",
    "revoke": "credentials route environment scope body key buckets idempotency ownership",
    "initiate": "credentials route environment scope body key buckets idempotency limit",
    "account-state": "credentials route environment body buckets",
    "graduation": "credentials route environment scope body key buckets limit rule",
}
"""Gates of each operation, in the order of section 6 of the rules."""

ANSWERED = {
    "credentials": ("UNAUTHENTICATED", 401),
    "route": ("NOT_FOUND", 404),
    "environment": ("WRONG_ENVIRONMENT", 403),
    "scope": ("SCOPE_INSUFFICIENT", 403),
    "body": ("BAD_REQUEST", 400),
    "key": ("IDEMPOTENCY_KEY_REQUIRED", 400),
    "key of graduation": ("IDEMPOTENCY_KEY_NOT_ALLOWED", 400),
    "buckets": ("RATE_LIMITED", 429),
    "idempotency": ("IDEMPOTENCY_KEY_REUSED", 422),
    "limit": ("RATE_LIMITED", 429),
    "ownership": ("NOT_FOUND", 404),
    "rule of reconnect": ("CONNECTION_NOT_RECONNECTABLE", 409),
    "rule of graduation": ("BINDING_NOT_LIMITED", 409),
}

WRITTEN = {
    "idempotency": ["platform"],
    "ownership of get": ["platform"],
    "ownership": ["platform", "record"],
    "rule of reconnect": ["platform", "record"],
    "rule of graduation": ["platform", "graduation"],
}
"""Writes of a refusal by gate; none at a gate that is not listed."""

SUCCESS = {
    "create": (201, ["platform", "connection", "record"]),
    "get": (200, ["platform"]),
    "reconnect": (201, ["platform", "connection", "connection", "record"]),
    "revoke": (200, ["platform", "connection", "record"]),
    "initiate": (201, ["platform", "initiate", "session", "binding", "record"]),
    "account-state": (200, ["platform"]),
    "graduation": (201, ["platform", "graduation"]),
}


def other_record() -> Record:
    """Return the record of another request under the same key."""
    other = server.call(Initiate(AppUserId("user-2")))
    write = respond(
        decide(other, snapshot=Snapshot(), now=START, new_ids=server.new_ids(1))
    ).changes.writes[-1]
    assert isinstance(write, RecordWrite)
    return write.after


def spent_bucket() -> Admitted:
    spent = admit((Charge(BUCKET, FULL_BUCKET),), START)
    assert isinstance(spent, Admitted)
    return spent


def ask(operation: str, failing: frozenset[str]) -> Answer:
    """Answer a request that fails at these gates and at no other."""
    caller = attrs.evolve(CALLER, scopes=frozenset()) if "scope" in failing else CALLER
    served = Environment.TEST if "environment" in failing else None
    settings = Settings(served, (BUCKET,))
    asked = server.request(operation, key=None if "key" in failing else "k-1")
    if operation == "graduation" and "key" in failing:
        asked = attrs.evolve(asked, headers=(*asked.headers, ("Idempotency-Key", "k-1")))
    if "body" in failing:
        target = {"get": asked.target[:-1], "account-state": asked.target.partition("?")[0]}
        asked = attrs.evolve(asked, target=target.get(operation, asked.target), body=b'{"nope":1}')
    if "route" in failing:
        asked = attrs.evolve(asked, method="PATCH")
    reading = read(
        asked, caller=None if "credentials" in failing else caller, now=START, settings=settings
    )
    if isinstance(reading, Decision):
        return respond(reading)
    connection = pending() if "rule" in failing else apply_trigger(pending(), "PATIENT", START)
    if "ownership" in failing:
        identity = attrs.evolve(connection.identity, coordinate=STRANGERS[0].coordinate(USER))
        connection = attrs.evolve(connection, identity=identity)
    if operation == "revoke" and "ownership" not in failing:
        connection = pending()
    snapshot = Snapshot(
        record=other_record() if "idempotency" in failing else None,
        buckets=spent_bucket().states if "buckets" in failing else (None,),
        limit=LogState.of((START,) * 10) if "limit" in failing else None,
        connection=connection,
        binding=LIMITED if operation == "graduation" and "rule" not in failing else None,
    )
    return respond(decide(reading, snapshot=snapshot, now=START, new_ids=server.new_ids(2)))


def _failures() -> list[tuple[str, tuple[str, ...]]]:
    return [
        (operation, failing)
        for operation, gates in APPLIES.items()
        for size in (1, 2)
        for failing in combinations(gates.split(), size)
    ]


@pytest.mark.parametrize(("operation", "failing"), _failures(), ids=str)
def test_request_failing_two_gates_is_answered_by_the_earlier(
    operation: str, failing: tuple[str, ...]
) -> None:
    first = next(gate for gate in APPLIES[operation].split() if gate in failing)
    exact = f"{first} of {operation}"
    answer = ask(operation, frozenset(failing))
    expected = ANSWERED.get(exact) or ANSWERED[first]
    assert (code(answer), answer.response.status) == expected
    assert written(answer.changes.writes) == WRITTEN.get(exact, WRITTEN.get(first, []))
    assert (answer.changes.effects, answer.changes.events) == ((), ())


@pytest.mark.parametrize("operation", server.OPERATIONS)
def test_request_passing_every_gate_is_executed(operation: str) -> None:
    answer = ask(operation, frozenset())
    assert (answer.response.status, written(answer.changes.writes)) == SUCCESS[operation]


def test_429_of_spent_bucket_and_user_limit_names_the_bucket() -> None:
    answer = ask("initiate", frozenset({"buckets", "limit"}))
    assert answer.rules == ("request.buckets",)
    assert dict(answer.response.headers)["ratelimit"] == '"platform";r=0;t=60'
    answer = ask("initiate", frozenset({"limit"}))
    assert answer.rules == ("request.limit",)
    assert dict(answer.response.headers)["ratelimit"] == '"initiate";r=0;t=60'


def test_gate_row_prints_its_problem_code_or_table_name() -> None:
    assert str(REQUEST_GATES[Gate.CREDENTIALS].outcome) == "refuse UNAUTHENTICATED"
    assert str(REQUEST_GATES[Gate.PERMISSION].outcome) == "see permission"
    assert str(REQUEST_GATES[Gate.RULE].outcome) == "see the tables of the operation"
