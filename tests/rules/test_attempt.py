"""Actions on an idempotency record after its attempt began, against tables written by hand."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.attempt import LeaseLost, complete, forget, release, renew, resolve
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Attempt,
    LostLeaseAction,
    Record,
    RecordState,
    begin_attempt,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ApiKeyId, AppId
from curae_lifecycle.service.response import Response, ResponseReference
from tests.proof.reference import tables
from tests.support import specimens
from tests.support.specimens import (
    ACTS,
    ANSWER,
    LEASE,
    RECORDS,
    Act,
    act,
    done,
    first_attempt,
    running,
)
from tests.support.strategies import START, TICK


def test_forgetting_an_idempotency_record_erases_its_response() -> None:
    completed = idempotency.completed_record(first_attempt(), ANSWER)
    assert done(forget(completed, START)).response is None


HOLDERS = {
    "this attempt": lambda attempt: attempt,
    "an earlier token": lambda attempt: attrs.evolve(attempt, token=attempt.token - 1),
    "a later token": lambda attempt: attrs.evolve(attempt, token=attempt.token + 1),
    "the token of an earlier retention": lambda attempt: attrs.evolve(
        attempt, first_used_at=attempt.first_used_at - specimens.DAY
    ),
    "another key's": lambda attempt: attrs.evolve(
        attempt,
        key=attrs.evolve(
            attempt.key, owner=attrs.evolve(attempt.key.owner, api_key_id=ApiKeyId("key-2"))
        ),
    ),
    "the same key's, of an earlier owner": lambda attempt: attrs.evolve(
        attempt,
        key=attrs.evolve(attempt.key, owner=attrs.evolve(attempt.key.owner, app_id=AppId("app-2"))),
    ),
}


@pytest.mark.parametrize(("name", "record", "now"), RECORDS)
@pytest.mark.parametrize("what", ACTS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_only_the_lease_holder_can_renew_complete_or_release(
    name: str, record: Record | None, now: datetime, what: Act, holder: str
) -> None:
    attempt = HOLDERS[holder](first_attempt())
    before = deepcopy(record)
    answer = act(what, record=record, attempt=attempt, now=now)
    assert record == before
    assert act(what, record=record, attempt=attempt, now=now) == answer
    whose = "this attempt" if holder == "this attempt" else "another attempt"
    cell = tables.ATTEMPT[what, name, whose]
    if record is None or cell == "lease lost":
        assert isinstance(answer, LeaseLost)
        assert answer.record is record
        assert answer.rules[0].startswith(f"attempt.{specimens.rule_word(name)}")
        return
    assert isinstance(answer, Done)
    assert answer.rules == (f"attempt.{what}",)
    assert answer.value == attrs.evolve(
        record,
        state=RecordState(cell),
        seen_at=now,
        lease_until=now + LEASE if what == "renew" else None,
        response=ANSWER if what == "complete" else None,
    )


@pytest.mark.parametrize(("name", "record", "now"), RECORDS)
@pytest.mark.parametrize(
    ("what", "rule"),
    [
        ("resolve with a response", "resolve-answered"),
        ("resolve as not executed", "resolve-nothing"),
        ("forget", "forget"),
    ],
)
def test_forget_and_resolve_of_a_record_match_the_upkeep_table(
    name: str, record: Record | None, now: datetime, what: str, rule: str
) -> None:
    def upkeep() -> Done[Record] | Ignored[Record | None]:
        if what == "forget":
            return forget(record, now)
        return resolve(record, now, response=later if what.endswith("response") else None)

    later = Response(201, (), b'{"a": 2}')
    before = deepcopy(record)
    answer = upkeep()
    assert record == before
    assert upkeep() == answer
    assert answer.rules == (f"record-upkeep.{rule}.{specimens.rule_word(name)}",)
    cell = tables.RECORD_UPKEEP[what, name]
    if record is None or cell == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is record
    else:
        assert answer.value == attrs.evolve(
            record,
            state=RecordState(cell),
            seen_at=now,
            lease_until=None,
            response=later if cell == "COMPLETED" else None,
        )


# --- Late attempts -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ACTS)
def test_attempt_gets_lease_lost_as_soon_as_its_lease_ends(what: Act) -> None:
    late_one = first_attempt()
    record = idempotency.in_flight_record(late_one)
    late = START + LEASE
    assert isinstance(act(what, record=record, attempt=late_one, now=late), LeaseLost)
    heir = begin_attempt(record, key=specimens.KEY, fingerprint=specimens.SAME, now=late)
    assert isinstance(heir, Attempt)
    taken = idempotency.in_flight_record(heir)
    assert heir.token == 2
    for now in (START, late, late + LEASE - TICK):
        assert isinstance(act(what, record=taken, attempt=late_one, now=now), LeaseLost)
    assert isinstance(act(what, record=taken, attempt=heir, now=late), Done)


@pytest.mark.parametrize("what", ACTS)
def test_old_attempt_cannot_change_a_newer_idempotency_record(
    what: Act,
) -> None:
    old = first_attempt()
    new = first_attempt(START + specimens.DAY)
    assert (old.key, old.token) == (new.key, new.token)
    record = idempotency.in_flight_record(new)
    assert isinstance(act(what, record=record, attempt=old, now=START + specimens.DAY), LeaseLost)
    assert isinstance(act(what, record=record, attempt=new, now=START + specimens.DAY), Done)


def test_now_is_raised_to_latest_seen_at_of_idempotency_record() -> None:
    attempt, seen, back = first_attempt(), START + LEASE / 2, START - specimens.DAY
    record = done(renew(idempotency.in_flight_record(attempt), attempt, seen))
    waits = begin_attempt(record, key=specimens.KEY, fingerprint=specimens.SAME, now=back)
    assert isinstance(waits, Refused)
    assert waits.problem.details == {"retryAfter": 60}
    renewed = done(renew(record, attempt, back))
    assert (renewed.seen_at, renewed.lease_until) == (seen, seen + LEASE)
    assert done(complete(record, attempt=attempt, response=ANSWER, now=back)).seen_at == seen
    assert done(forget(record, back)).seen_at == seen
    released = done(release(record, attempt, back))
    assert released.seen_at == seen
    again = begin_attempt(released, key=specimens.KEY, fingerprint=specimens.SAME, now=back)
    assert isinstance(again, Attempt)
    assert (again.started_at, again.first_used_at) == (seen, START)


# --- Clocks in any order ------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "renew", "complete", "release", "resolve", "forget"]),
        st.one_of(
            st.sampled_from([0, 60 * 10**6 - 1, 60 * 10**6, 24 * 3600 * 10**6]),
            st.integers(0, 50 * 3600 * 10**6),
        ).map(lambda us: START + timedelta(microseconds=us)),
        st.sampled_from(LostLeaseAction),
    ),
    max_size=20,
)


@pytest.mark.slow
@given(steps)
def test_idempotency_record_token_and_seen_at_never_decrease(
    history: list[tuple[str, datetime, LostLeaseAction]],
) -> None:
    attempt, record = first_attempt(), running()
    for what, now, lost_lease in history:
        before = record
        match what:
            case "begin":
                answer = begin_attempt(
                    record, key=specimens.KEY, fingerprint=specimens.SAME, now=now
                )
                if isinstance(answer, Attempt):
                    attempt, record = (
                        answer,
                        idempotency.in_flight_record(answer, lost_lease=lost_lease),
                    )
            case "renew" | "complete" | "release":
                acted = act(what, record=record, attempt=attempt, now=now)
                record = record if isinstance(acted, LeaseLost) else acted.value
            case "resolve":
                record = resolve(record, now, response=None).value or record
            case _:
                record = forget(record, now).value or record
        assert record.seen_at >= before.seen_at
        assert record.token == before.token + (record is not before and what == "begin")
        if before.first_used_at != record.first_used_at:
            assert what == "begin"
            assert record.first_used_at >= before.first_used_at + specimens.DAY
        if record is not before:
            assert record.seen_at >= now


# --- Stored responses --------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "kept"), [(200, True), (404, True), (409, True), (500, False)])
def test_attempt_completes_with_200_404_or_409_and_raises_on_500(
    *, status: int, kept: bool
) -> None:
    for response in (Response(status, (), b""), ResponseReference(status, "vault/1")):
        if kept:
            completed = done(
                complete(running(), attempt=first_attempt(), response=response, now=START)
            )
            resolved = done(resolve(running(), START + LEASE, response=response))
            assert completed.response is resolved.response is response
            continue
        with pytest.raises(ArgumentError, match="response"):
            complete(running(), attempt=first_attempt(), response=response, now=START)
        with pytest.raises(ArgumentError, match="response"):
            resolve(running(), START + LEASE, response=response)


# --- Invalid arguments -------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [specimens.NAIVE, START.isoformat()])
def test_every_attempt_action_raises_if_now_is_not_utc(bad: datetime) -> None:
    record, attempt = running(), first_attempt()
    for call in (
        lambda: renew(record, attempt, bad),
        lambda: complete(record, attempt=attempt, response=ANSWER, now=bad),
        lambda: release(record, attempt, bad),
        lambda: resolve(record, bad, response=None),
        lambda: forget(record, bad),
    ):
        with pytest.raises(ArgumentError) as error:
            call()
        assert error.value.argument == "now"


@pytest.mark.parametrize("lease", [0, -1])
def test_renew_raises_if_the_lease_is_below_one_microsecond(lease: int) -> None:
    with pytest.raises(ArgumentError, match="lease"):
        renew(running(), first_attempt(), START, lease=lease)
