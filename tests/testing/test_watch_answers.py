"""Tests of the checks of one answer that need no history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import ExactLog
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.testing.watch_answers import (
    check_owner,
    check_response_is_stored,
    check_retry_after,
    limit_header,
    rule_that_answers,
    shown_revoked_at,
)
from curae_lifecycle.web.json import format_json
from curae_lifecycle.web.wire_format import format_problem
from tests.support.server import CALLER, LIMITED, STRANGERS, new_ids, request
from tests.support.strategies import START, TICK, at, pending
from tests.testing.watched import ACTIVE, REVOKED, Watched, bound, broken, session

SECOND = timedelta(seconds=1)
OK = Response(200, (), b"{}")


def record_write() -> RecordWrite:
    """Return the write of a completed idempotency record."""
    answer, _ = Watched().decide(request("create"), START, new_ids())
    return next(write for write in answer.changes.writes if isinstance(write, RecordWrite))


RECORD = record_write()
KEY = RECORD.key
OTHER_KEY = RecordKey(KEY.owner, IdempotencyKey("k-9"))


def stored_as(response: Response | ResponseReference, key: RecordKey = KEY) -> RecordWrite:
    after = attrs.evolve(RECORD.after, key=key, response=response)
    return RecordWrite(key, None, after)


def refused(code: ProblemCode) -> Response:
    return Response(409, (), format_json(format_problem(Problem(code))))


@pytest.mark.parametrize("status", [200, 201, 404, 409])
def test_law_12_check_raises_if_no_response_is_stored(status: int) -> None:
    response = Response(status, (), b"{}")
    check_response_is_stored(response, Changes((stored_as(response),)), KEY)
    with broken(12, "one execution stored 0 responses", where="key k-1"):
        check_response_is_stored(response, NO_CHANGES, KEY)


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
def test_law_12_check_accepts_unstored_responses_such_as_429(status: int) -> None:
    check_response_is_stored(Response(status, (), b"{}"), NO_CHANGES, KEY)


def test_law_12_check_accepts_an_unstored_idempotency_conflict() -> None:
    for code in (ProblemCode.IDEMPOTENCY_KEY_FORGOTTEN, ProblemCode.IDEMPOTENCY_OUTCOME_UNKNOWN):
        check_response_is_stored(refused(code), NO_CHANGES, KEY)


@pytest.mark.parametrize(
    ("writes", "what"),
    [
        ((stored_as(OK, OTHER_KEY),), "stored 0 responses"),
        ((stored_as(OK), stored_as(OK)), "stored 2 responses"),
        ((stored_as(attrs.evolve(OK, status=201)),), "status 200 instead of 201"),
        ((stored_as(attrs.evolve(OK, body=b"[]")),), "bodies differ from byte 0 on"),
    ],
)
def test_law_12_check_requires_the_sent_response_stored_once(
    writes: tuple[Write, ...], what: str
) -> None:
    with broken(12, what):
        check_response_is_stored(OK, Changes(writes), KEY)


def test_law_12_check_accepts_a_response_stored_by_reference() -> None:
    reference = ResponseReference(200, "vault/1")
    check_response_is_stored(OK, Changes((stored_as(reference), stored_as(OK, OTHER_KEY))), KEY)


@pytest.mark.parametrize(
    "write",
    [
        ConnectionWrite(None, pending()),
        SessionWrite(None, session()),
        BindingWrite(None, LIMITED),
    ],
)
def test_law_15_check_raises_on_a_write_to_another_tenant(write: Write) -> None:
    changes = Changes((RECORD, write))
    check_owner(changes, CALLER)
    for stranger in STRANGERS:
        with broken(15, "another tenant's value was written", where="app user user-1"):
            check_owner(changes, stranger)


LIMIT = ExactLog("initiate", 3, 60)
ADMITTED = (at(-9), START, START + SECOND, START + 2 * SECOND)


def check_wait(
    wait: int, seconds: float, instants: Sequence[datetime] = ADMITTED, where: str = "limit"
) -> None:
    """Check the wait of a refusal so many seconds after the oldest admission in the window."""
    now = START + timedelta(seconds=seconds)
    response = Response(429, (("x-a", "1"), ("retry-after", str(wait))), b"")
    check_retry_after(response, instants, now, limit=LIMIT, where=where)


@pytest.mark.parametrize(("seconds", "wait"), [(2, 58), (2.5, 58), (59, 1), (59.9, 1)])
def test_law_10_check_requires_retry_after_rounded_up_to_seconds(seconds: float, wait: int) -> None:
    check_wait(wait, seconds)
    check_wait(wait, seconds, ADMITTED[1:])
    for other in (wait - 1, wait + 1):
        with broken(10, f"Retry-After is {other} s instead of {wait} s", where="limit"):
            check_wait(other, seconds)


@pytest.mark.parametrize(
    ("seconds", "instants"), [(60, ADMITTED), (2, ADMITTED[2:]), (2, ()), (61, ADMITTED)]
)
def test_law_10_check_reports_a_429_while_the_limit_has_room(
    seconds: float, instants: tuple[datetime, ...]
) -> None:
    with broken(10, "refused although the limit had room", where="limit"):
        check_wait(1, seconds, instants)


def test_law_10_check_reads_the_first_of_two_retry_after_headers() -> None:
    response = Response(429, (("a", "1"), ("retry-after", "2"), ("retry-after", "3")), b"")
    assert limit_header(response, "retry-after", "limit") == "2"
    with broken(10, "refused without the header ratelimit", where="limit"):
        limit_header(response, "ratelimit", "limit")


def test_stub_access_rule_always_returns_the_given_decision() -> None:
    decision = Granted(None, "mine")
    assert rule_that_answers(decision)(pending(), "labs", START, era=START) is decision


GONE = attrs.evolve(bound(AccountState.TOMBSTONED), era=at(5), tombstoned_at=at(5))


def test_shown_revoked_at_is_the_stored_or_tombstone_time() -> None:
    for binding in (None, LIMITED, GONE):
        assert shown_revoked_at(REVOKED, binding) == REVOKED.revoked_at == START
    assert shown_revoked_at(ACTIVE, LIMITED) is None
    assert shown_revoked_at(ACTIVE, GONE) == at(5)
    late = attrs.evolve(GONE, tombstoned_at=START - TICK)
    assert shown_revoked_at(ACTIVE, late) == START
