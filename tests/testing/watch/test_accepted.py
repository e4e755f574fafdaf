"""Tests that the law watch accepts correct histories, and compares them with the latest state."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.attempt import forget
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.rules.session import EntryPath, HandoffState
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.respond import Answer
from tests.support.instants import commit_writes, handle_at
from tests.support.server import CALLER, ID, LIMITED, STRANGERS, new_ids, request, successor, world
from tests.support.strategies import START, TICK, apply_trigger, at, pending, uuid
from tests.testing.watched import (
    ACTIVE,
    REVOKED,
    Watched,
    another,
    body,
    bound,
    broken,
    call_of,
    session,
    stored,
)

DAY = timedelta(hours=24)
ERA, LATER_ERA = at(1), at(10)
GONE = attrs.evolve(bound(AccountState.TOMBSTONED), era=ERA, tombstoned_at=ERA)
NEXT = attrs.evolve(LIMITED, user_id=bound(AccountState.LIMITED, "u-2").user_id, generation=2)
GONE_AGAIN = attrs.evolve(
    NEXT, state=AccountState.TOMBSTONED, era=LATER_ERA, tombstoned_at=LATER_ERA
)
NEEDY = apply_trigger(ACTIVE, "require action", at(2))
WAITING = session(handoff=HandoffState.AWAITED)


def of_era(connection: Connection, era: datetime | None) -> Connection:
    return attrs.evolve(connection, identity=attrs.evolve(connection.identity, era=era))


def next_binding(before: datetime | None) -> BindingWrite:
    """Return the write of the next user's binding, in the era of a tombstone."""
    return BindingWrite(GONE, attrs.evolve(NEXT, era=before))


# --- Commits ----------------------------------------------------------------------------------


def test_commit_count_is_the_number_of_commits_with_writes() -> None:
    watch = Watch()
    assert watch.commit_count == 0
    watch.observe_commit((), START)
    assert watch.commit_count == 0
    for number in range(1, 4):
        write = ConnectionWrite(None, pending(number=number))
        watch.observe_commit((write, BindingWrite(None, LIMITED)), START)
        assert watch.commit_count == number


@pytest.mark.parametrize(
    ("rival", "now", "law"),
    [
        (successor(), at(30) - TICK, 7),
        (successor(), at(30), 6),
        (attrs.evolve(successor(), handoff_deadline=None), at(40), 7),
        (attrs.evolve(successor(), status=Status.ACTIVE), at(1), 6),
    ],
)
def test_second_successor_breaks_law_7_if_the_first_is_pending(
    rival: Connection, now: datetime, law: int
) -> None:
    watch = stored(ConnectionWrite(None, REVOKED), ConnectionWrite(None, rival))
    second = another(successor(), id=ConnectionId(uuid(3)))
    with broken(law):
        watch.observe_commit((ConnectionWrite(None, second),), now)


def test_law_watch_takes_the_latest_commit_instant_as_now() -> None:
    watch = stored(ConnectionWrite(None, REVOKED), ConnectionWrite(None, successor()))
    watch.observe_commit((BindingWrite(None, LIMITED),), at(30))
    second = another(successor(), id=ConnectionId(uuid(3)))
    with broken(6, "have the same predecessor", where=f"connection {uuid(3)}"):
        watch.observe_commit((ConnectionWrite(None, second),), at(5))


def test_watch_checks_standing_before_at_and_after_a_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[object, ...]] = []

    def check(connection: Connection, instants: tuple[datetime, ...], **era: object) -> None:
        seen.append((connection, instants, era))

    monkeypatch.setattr(laws, "check_standing_is_monotone", check)
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((BindingWrite(LIMITED, GONE),), at(1))
    made = of_era(pending(at(2)), ERA)
    watch.observe_commit((ConnectionWrite(None, made),), at(2))
    active = attrs.evolve(made, status=Status.ACTIVE, authorized_at=at(2))
    watch.observe_commit((ConnectionWrite(made, active),), at(2))
    deadline = at(32)
    assert seen == [(made, (at(2), deadline - TICK, deadline, deadline + TICK), {"era": ERA})]


def test_revoked_connection_may_be_written_again_unchanged() -> None:
    watch = stored(ConnectionWrite(None, REVOKED), ConnectionWrite(None, successor()))
    written = attrs.evolve(REVOKED, version=REVOKED.version + 1)
    watch.observe_commit((ConnectionWrite(REVOKED, written),), at(1))
    by_patient = apply_trigger(pending(), "PATIENT", START)
    watch = stored(ConnectionWrite(None, by_patient))
    watch.observe_commit((ConnectionWrite(None, successor()),), START)
    watch.observe_commit((ConnectionWrite(by_patient, by_patient),), at(1))


def test_patient_may_revoke_a_connection_without_a_successor() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE))
    watch.observe_commit((ConnectionWrite(ACTIVE, apply_trigger(ACTIVE, "PATIENT", at(2))),), at(2))


def test_app_revocation_may_leave_the_successor_unrevoked() -> None:
    watch = stored(ConnectionWrite(None, NEEDY), ConnectionWrite(None, successor(at(3))))
    watch.observe_commit((ConnectionWrite(NEEDY, apply_trigger(NEEDY, "APP", at(4))),), at(4))


def test_watch_accepts_unrevoked_successor_after_a_tombstone() -> None:
    watch = stored(ConnectionWrite(None, NEEDY), ConnectionWrite(None, successor(at(3))))
    watch.observe_commit((BindingWrite(None, GONE),), at(4))
    watch.observe_commit((ConnectionWrite(NEEDY, apply_trigger(NEEDY, "PATIENT", at(5))),), at(5))


def test_law_12_error_names_the_successor_left_unrevoked() -> None:
    watch = stored(ConnectionWrite(None, NEEDY), ConnectionWrite(None, successor(at(3))))
    where = f"connection {uuid(2)}, later than {uuid(1)}"
    with broken(12, "partial revocation by PATIENT", where=where):
        watch.observe_commit(
            (ConnectionWrite(NEEDY, apply_trigger(NEEDY, "PATIENT", at(4))),), at(4)
        )


HEIR = attrs.evolve(successor(), status=Status.ACTIVE, authorized_at=at(3))


def test_law_06_watch_reports_two_active_connections_without_end() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE))
    with broken(6, f"{uuid(1)} and {uuid(2)} are ACTIVE", where=f"chain {uuid(1)}"):
        watch.observe_commit((ConnectionWrite(None, HEIR),), at(3))


def test_law_06_watch_accepts_successor_of_revoked_connection() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE))
    gone = apply_trigger(ACTIVE, "APP", at(2))
    watch.observe_commit((ConnectionWrite(ACTIVE, gone),), at(2))
    watch.observe_commit((ConnectionWrite(None, HEIR),), at(3))


def test_law_06_watch_accepts_active_successor_after_tombstone() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE))
    watch.observe_commit((BindingWrite(None, GONE),), at(2))
    watch.observe_commit((ConnectionWrite(None, of_era(HEIR, ERA)),), at(3))


def test_law_06_watch_reports_a_successor_with_another_root_id() -> None:
    watch = stored(ConnectionWrite(None, REVOKED))
    other = another(successor(), root_id=ConnectionId(uuid(9)))
    with broken(6, where=f"connection {uuid(2)}") as caught:
        watch.observe_commit((ConnectionWrite(None, other),), START)
    what = "its coordinate, packages or root are not those of its predecessor"
    assert caught.value.what == what


# --- Eras -------------------------------------------------------------------------------------


def test_law_17_watch_reports_access_after_a_second_tombstone() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((BindingWrite(LIMITED, GONE),), at(1))
    second = of_era(pending(at(2)), ERA)
    watch.observe_commit((ConnectionWrite(None, second), next_binding(ERA)), at(2))
    watch.observe_commit((BindingWrite(NEXT, GONE_AGAIN),), at(10))
    written = attrs.evolve(GONE_AGAIN, version=GONE_AGAIN.version + 1)
    watch.observe_commit((BindingWrite(GONE_AGAIN, written),), at(11))
    made = of_era(pending(at(12), number=2), LATER_ERA)
    active = attrs.evolve(made, status=Status.ACTIVE, authorized_at=at(12), updated_at=at(12))
    watch.observe_commit((ConnectionWrite(None, made),), at(12))
    watch.observe_commit((ConnectionWrite(made, active),), at(12))
    watch.observe_access_decision(made.id, "labs", at(13), decision=Granted(None, "mine"))
    watch.observe_commit((ConnectionWrite(second, attrs.evolve(second, version=9)),), at(14))
    with broken(17, "although a tombstone came after it was made"):
        watch.observe_access_decision(second.id, "labs", at(14), decision=Granted(None, "mine"))


def test_law_17_watch_reports_access_a_tombstone_did_not_end() -> None:
    active = of_era(ACTIVE, ERA)
    watch = stored(BindingWrite(None, LIMITED), ConnectionWrite(None, active))
    where = f"connection {ID}, package 'clinical_summary' at {at(2).isoformat()}"
    with broken(17, "granted although a tombstone came after it was made", where=where):
        watch.observe_commit((BindingWrite(LIMITED, GONE),), at(2))


def test_law_17_watch_accepts_tombstone_of_a_revoked_connection() -> None:
    watch = stored(BindingWrite(None, LIMITED), ConnectionWrite(None, of_era(REVOKED, ERA)))
    watch.observe_commit((BindingWrite(LIMITED, GONE),), at(1))


def test_law_17_error_names_a_connection_whose_era_is_not_loaded() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    read_at = watch.commit_count
    watch.observe_commit((BindingWrite(LIMITED, GONE),), at(1))
    made = ConnectionWrite(None, of_era(pending(at(1)), ERA))
    with broken(17, where=f"{ID} of app user user-1") as caught:
        watch.observe_commit((made,), at(2), loaded_at_commit=read_at)
    assert caught.value.what == "it was decided before a tombstone and stored under its era"


# --- Sessions and bindings --------------------------------------------------------------------


def test_law_watch_accepts_an_awaited_handoff_that_completes() -> None:
    watch = stored(SessionWrite(None, WAITING))
    watch.observe_commit((SessionWrite(WAITING, WAITING),), at(1))
    watch.observe_commit((SessionWrite(WAITING, session()),), at(1))
    watch.observe_commit((BindingWrite(None, GONE),), at(2))
    watch.observe_commit((SessionWrite(session(), session()),), at(3))


def test_law_17_watch_reports_handoff_of_a_pre_tombstone_session() -> None:
    watch = Watch()
    watch.observe_commit((BindingWrite(None, GONE),), at(1))
    watch.observe_commit((SessionWrite(None, WAITING),), at(2), loaded_at_commit=0)
    with broken(17, "it landed although a tombstone came after it", where=f"session {uuid(5)}"):
        watch.observe_commit((SessionWrite(WAITING, session()),), at(3))


def test_law_08_error_names_the_session_and_its_account_state() -> None:
    write = SessionWrite(None, attrs.evolve(WAITING, path=EntryPath.EXISTING_ACTIVE_HANDOFF))
    what = "path EXISTING_ACTIVE_HANDOFF for a UNLINKED account"
    with broken(8, what, where=f"session {uuid(5)}"):
        Watch().observe_commit((write,), at(1))


def test_law_08_watch_judges_response_by_account_state_at_load() -> None:
    made = Watched()
    signup = request("initiate", body=b'{"appUserId":"user-1","preferSignup":true}')
    answer, needs = made.decide(signup, START, new_ids())
    made.watch.observe_commit((BindingWrite(None, LIMITED),), START)
    with broken(8, "path NEW_ACTIVE_SIGNUP_HANDOFF for a LIMITED account"):
        made.watch.observe_response(answer, START, caller=CALLER, needs=needs)
    made.watch.observe_response(answer, START, caller=CALLER, needs=needs, loaded_at_commit=0)


def test_law_01_watch_accepts_a_new_user_after_a_tombstone() -> None:
    watch = stored(BindingWrite(None, GONE))
    watch.observe_commit((next_binding(ERA),), at(2))
    same_user = attrs.evolve(NEXT, era=ERA, generation=3)
    what = "bound to u-2 in generation 2, then to u-2 in generation 3"
    with broken(1, what, where="user u-2 of app user user-1"):
        watch.observe_commit((BindingWrite(NEXT, same_user),), at(3))


# --- Responses --------------------------------------------------------------------------------


def test_law_11_watch_reports_a_write_despite_a_400_response() -> None:
    made = Watched()

    def spoil(answer: Answer) -> Answer:
        assert answer.response.status == 400
        return attrs.evolve(answer, changes=Changes((ConnectionWrite(None, pending()),)))

    with broken(11, "something was written", where="ConnectionWrite"):
        made.ask(request("create", body=b"{}"), START, spoil=spoil)


def test_law_01_watch_accepts_404_for_another_tenants_connection() -> None:
    answer = handle_at(world(), request("get"), START)
    needs = call_of(request("get")).needs
    watch = stored(ConnectionWrite(None, pending()))
    for caller in (*STRANGERS, None):
        watch.observe_response(answer, START, caller=caller, needs=needs)
    where = f"connection {ID}"
    with broken(1, "404 although it is stored as PENDING and belongs to the", where=where):
        watch.observe_response(answer, START, caller=CALLER, needs=needs)
    Watch().observe_response(answer, START, caller=CALLER, needs=needs)
    # A request that no operation takes loads nothing.
    watch.observe_response(answer, START, caller=CALLER)


def revoke_after_a_tombstone() -> tuple[Watched, Answer]:
    """Return a watch of a connection that a tombstone ended, and the response to a revocation."""
    made = Watched(ACTIVE)
    writes: tuple[Write, ...] = (BindingWrite(None, attrs.evolve(GONE, tombstoned_at=at(3))),)
    assert commit_writes(made.world, writes)
    made.watch.observe_commit(writes, at(3))
    answer, _ = made.decide(request("revoke"), at(4), new_ids())
    # The store's sweep has not reached the connection.
    return made, attrs.evolve(answer, changes=NO_CHANGES)


def test_law_02_watch_accepts_revoked_at_from_a_tombstone() -> None:
    made, answer = revoke_after_a_tombstone()
    assert b'"revokedNow":false' in answer.response.body
    made.watch.observe_response(answer, at(4), caller=CALLER)
    with broken(2, "although the connection was revoked before"):
        made.watch.observe_response(
            body(b'"revokedNow":false', b'"revokedNow":true')(answer), at(4), caller=CALLER
        )


def test_law_02_watch_skips_revoked_at_if_tombstoned_after_load() -> None:
    made, answer = revoke_after_a_tombstone()
    wrong = body(b'"revokedAt":"2026-01-01', b'"revokedAt":"2026-01-02')(answer)
    what = "revokedAt is 2026-01-02T00:03:00Z in the response and 2026-01-01T00:03:00Z in the store"
    for loaded_at in (None, made.watch.commit_count):
        with broken(2, what, where=f"connection {ID}"):
            made.watch.observe_response(wrong, at(4), caller=CALLER, loaded_at_commit=loaded_at)
    loaded_at = made.watch.commit_count - 1
    made.watch.observe_response(wrong, at(4), caller=CALLER, loaded_at_commit=loaded_at)


def test_law_02_watch_reports_a_revocation_that_was_not_stored() -> None:
    made = Watched(ACTIVE)
    answer, _ = made.decide(request("revoke"), at(2), new_ids())
    lost = attrs.evolve(answer, changes=NO_CHANGES)
    what = "revokedAt is 2026-01-01T00:02:00Z in the response and None in the store"
    with broken(2, what, where=f"connection {ID}"):
        made.watch.observe_response(lost, at(2), caller=CALLER)


# --- Idempotency keys -------------------------------------------------------------------------


def created() -> tuple[Watched, Answer, Answer, RecordWrite]:
    """Return a watch of a created connection, the answer, its replay and its record."""
    made = Watched()
    first = made.ask(request("create"), START)
    write = next(each for each in first.changes.writes if isinstance(each, RecordWrite))
    return made, first, attrs.evolve(first, replayed=True, changes=NO_CHANGES), write


NEEDS = call_of(request("create")).needs


def test_watch_counts_the_charge_of_a_replay_as_a_commit() -> None:
    made, _, again, _ = created()
    bucket = Bucket(name="platform", capacity=99, refill=1, seconds=1)
    charge = RateWrite(
        key=BucketKey(CALLER.key_owner, bucket), policy=bucket, before=None, after=FULL_BUCKET
    )
    commits = made.watch.commit_count
    charging = attrs.evolve(again, changes=Changes((charge,)))
    made.watch.observe_response(charging, at(1), caller=CALLER, needs=NEEDS)
    assert made.watch.commit_count == commits + 1


def test_law_09_watch_forgets_a_response_after_24_hours() -> None:
    made, _, again, write = created()
    made.watch.purge(START + DAY - TICK)
    made.watch.observe_response(again, at(1), needs=NEEDS)
    made.watch.purge(START + DAY)
    with broken(9, "a replay although no response was stored", where=f"key {write.key}"):
        made.watch.observe_response(again, at(1), needs=NEEDS)


def test_law_09_watch_reports_a_replay_of_an_erased_response() -> None:
    _, _, again, write = created()
    erased = forget(write.after, at(1))
    assert isinstance(erased, Done)
    watch = stored(RecordWrite(write.key, None, erased.value))
    with broken(9, "a replay of an erased response", where=f"key {write.key}"):
        watch.observe_response(again, at(2), needs=NEEDS)
    watch.observe_response(again, at(2), needs=NEEDS, loaded_at_commit=0)


def test_law_09_watch_reports_writes_of_a_replay_by_reference() -> None:
    _, _, again, write = created()
    reference = ResponseReference(201, "vault/1")
    kept = attrs.evolve(write.after, response=reference)
    watch = stored(RecordWrite(write.key, None, kept))
    watch.observe_response(again, at(1), needs=NEEDS)
    wrong = attrs.evolve(again, changes=Changes((ConnectionWrite(None, pending()),)))
    with broken(9, "something was written", where="ConnectionWrite"):
        watch.observe_response(wrong, at(1), needs=NEEDS)


def test_law_12_watch_names_an_idempotency_key_executed_twice() -> None:
    made, _, _, write = created()
    what = "COMPLETED was stored after the key was completed or erased"
    with broken(12, what, where="key k-1"):
        made.watch.observe_commit((write,), at(1))


def test_law_01_watch_reports_a_fact_that_moves_status_back() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE))
    backwards = Changes((ConnectionWrite(ACTIVE, pending()),))
    with broken(1, "ACTIVE became PENDING"):
        watch.observe_fact(Done(backwards, ()), at(2))


def test_law_16_watch_reports_a_response_with_status_299() -> None:
    made = Watched(pending())

    def spoil(answer: Answer) -> Answer:
        response = Response(299, answer.response.headers, answer.response.body)
        return attrs.evolve(answer, response=response)

    with broken(16, "the status is not one of success", where="status 299"):
        made.ask(request("get"), START, spoil=spoil)
