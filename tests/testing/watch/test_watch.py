"""Tests of the law watch: it accepts what the rules do, and names the law of each violation."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.attempt import forget
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.idempotency import Record, RecordState
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, INITIATE_LIMIT, Bucket, LogState
from curae_lifecycle.rules.session import HandoffState
from curae_lifecycle.rules.values import AppId, ConnectionId, DataPackage
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
)
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support.eighth import EIGHT
from tests.support.instants import access_at, handle_at, record_at
from tests.support.server import (
    BASE,
    CALLER,
    ID,
    LIMITED,
    STRANGERS,
    new_ids,
    request,
    successor,
    world,
)
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid
from tests.testing.watched import (
    ACTIVE,
    REVOKED,
    SECONDS,
    Watched,
    another,
    answer_with,
    body,
    bound,
    broken,
    call_of,
    limited,
    session,
    stored,
)


def test_law_watch_accepts_a_whole_connection_lifecycle() -> None:
    made = Watched()
    made.ask(request("create"), START, 1)
    made.ask(request("create"), at(1), 2)
    fact = Authorized(ID, at(60))
    recorded = record_at(made.world, fact, at(2))
    made.watch.observe_fact(recorded, at(2))
    made.watch.observe_fact(record_at(made.world, fact, at(3)), at(3))
    made.watch.observe_fact(record_at(made.world, Authorized(ConnectionId(uuid(9))), at(3)), at(3))
    granted = access_at(made.world, ID, "labs", now=at(4))
    assert granted is not None
    made.watch.observe_access_decision(ID, "labs", at(4), decision=granted)
    made.ask(request("get"), at(4))
    made.ask(request("get", id=uuid(7)), at(4))
    made.ask(request("reconnect", key="k-2"), at(61), 3)
    made.ask(request("reconnect", key="k-3"), at(62), 4)
    made.watch.observe_fact(
        record_at(made.world, Authorized(ConnectionId(uuid(3))), at(63)), at(63)
    )
    made.ask(request("revoke", id=uuid(3), key="k-4"), at(64))
    made.ask(request("revoke", id=uuid(3), key="k-5"), at(65))
    made.ask(request("initiate", key="k-6"), at(66), 5)
    made.ask(request("account-state"), at(66))
    made.ask(Request("GET", "/"), at(66))
    assert made.watch.commit_count > 9


def test_law_12_watch_lets_idempotency_key_run_again_after_24_h() -> None:
    made = Watched()
    made.ask(request("create"), START, 1)
    day = START + timedelta(hours=24)
    made.watch.purge(day - timedelta(microseconds=1))
    answer, asking = made.decide(request("create"), day, new_ids(2, day))
    record = next(w for w in answer.changes.writes if isinstance(w, RecordWrite))
    too_early = attrs.evolve(record.after, first_used_at=day - timedelta(microseconds=1))
    with broken(12, "COMPLETED was stored after the key was completed"):
        made.watch.observe_commit((RecordWrite(record.key, None, too_early),), day)
    made.watch.observe_response(answer, day, caller=CALLER, needs=asking)
    # The first use has expired, the second has not.
    made.watch.purge(day)
    with broken(12):
        made.watch.observe_commit((record,), day)
    made.watch.purge(day + timedelta(hours=24))
    made.watch.observe_commit((record,), day)


def test_law_01_watch_reports_a_status_that_moves_back() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE))
    with broken(1, "ACTIVE became PENDING"):
        watch.observe_commit((ConnectionWrite(ACTIVE, pending()),), at(2))


def test_law_01_watch_reports_a_404_if_caller_owns_connection() -> None:
    made = Watched(pending())
    lost = world()
    answer = handle_at(lost, request("get"), START)
    asking = call_of(request("get")).needs
    with broken(1, "404 although it is stored as PENDING"):
        made.watch.observe_response(answer, START, caller=CALLER, needs=asking)


def test_law_01_watch_reports_a_change_of_a_landed_session() -> None:
    watch = stored(SessionWrite(None, session()))
    watch.observe_commit((SessionWrite(session(), session()),), at(1))
    with broken(1, "a landed session changed"):
        watch.observe_commit(
            (SessionWrite(session(), session(handoff=HandoffState.AWAITED)),), at(1)
        )


def test_law_watch_accepts_a_version_bump_of_a_binding() -> None:
    relied_on = attrs.evolve(LIMITED, version=2)
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((BindingWrite(LIMITED, relied_on),), at(1))
    with broken(1, "bound to u-1"):
        watch.observe_commit((BindingWrite(relied_on, bound(AccountState.LIMITED, "u-2")),), at(2))


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (bound(AccountState.LIMITED), "ACTIVE became LIMITED"),
        (bound(AccountState.TOMBSTONED, "u-2"), "bound to u-1"),
        (bound(AccountState.ACTIVE, generation=2), "bound to u-1"),
    ],
)
def test_law_01_watch_reports_a_lower_binding_state_or_new_user(
    after: LimitedAccountAppBinding, what: str
) -> None:
    active = bound(AccountState.ACTIVE)
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((BindingWrite(LIMITED, active),), at(1))
    with broken(1, what):
        watch.observe_commit((BindingWrite(active, after),), at(2))


def test_law_02_watch_reports_a_changed_revoked_at() -> None:
    watch = stored(ConnectionWrite(None, REVOKED))
    moved = attrs.evolve(REVOKED, revoked_at=at(1))
    what = r"revokedAt moved from 2026-01-01 00:00:00\+00:00 to 2026-01-01 00:01:00\+00:00"
    with broken(2, what, where=f"connection {ID}"):
        watch.observe_commit((ConnectionWrite(REVOKED, moved),), at(1))


def test_law_02_watch_reports_a_wrong_revoked_now_in_a_response() -> None:
    made = Watched(pending())
    with broken(2, "revokedNow is false"):
        made.ask(request("revoke"), at(1), spoil=body(b'"revokedNow":true', b'"revokedNow":false'))
    made = Watched(REVOKED)
    with broken(2, "revokedNow is true"):
        made.ask(request("revoke"), at(1), spoil=body(b'"revokedNow":false', b'"revokedNow":true'))


def test_law_02_watch_reports_a_response_with_a_wrong_revoked_at() -> None:
    made = Watched(REVOKED)

    def spoil(answer: Answer) -> Answer:
        spoilt = body(b'"revokedAt":"2026-01-01', b'"revokedAt":"2026-01-02')(answer)
        writes = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, response=spoilt.response))
            if isinstance(write, RecordWrite)
            else write
            for write in spoilt.changes.writes
        )
        return attrs.evolve(spoilt, changes=Changes(writes))

    with broken(2, "revokedAt is 2026-01-02"):
        made.ask(request("revoke"), at(1), spoil=spoil)


def test_law_05_watch_reports_access_to_a_pending_or_unknown_id() -> None:
    watch = stored(ConnectionWrite(None, pending()))
    with broken(5, "granted although the status is PENDING"):
        watch.observe_access_decision(
            ID, DataPackage("labs"), START, decision=Granted(None, "rule")
        )
    with broken(5, "unknown id"):
        watch.observe_access_decision(
            ConnectionId(uuid(9)), DataPackage("labs"), START, decision=Granted(None, "rule")
        )


@pytest.mark.parametrize(
    ("connection", "what"),
    [
        (another(pending(number=3), root_id=ConnectionId(uuid(9))), "but its root is"),
        (another(successor(), predecessor_id=ConnectionId(uuid(9))), "is not stored"),
        (another(successor(), root_id=ConnectionId(uuid(9))), "its coordinate, packages or root"),
        (
            another(successor(), data_packages=(DataPackage("labs"),)),
            "its coordinate, packages or root",
        ),
        (
            another(successor(), coordinate=attrs.evolve(COORDINATE, app_id=AppId("app-2"))),
            "its coordinate, packages or root",
        ),
    ],
)
def test_law_06_watch_reports_a_successor_that_fits_no_chain(
    connection: Connection, what: str
) -> None:
    watch = stored(ConnectionWrite(None, REVOKED))
    with broken(6, what):
        watch.observe_commit((ConnectionWrite(None, connection),), START)


def test_law_06_watch_reports_a_connection_of_changed_identity() -> None:
    watch = stored(ConnectionWrite(None, pending()))
    changed = another(pending(), created_at=at(1))
    with broken(6, "its identity changed"):
        watch.observe_commit((ConnectionWrite(pending(), changed),), at(1))


def test_law_06_and_07_watch_reports_a_second_successor() -> None:
    rival = another(successor(), id=ConnectionId(uuid(3)))
    watch = stored(ConnectionWrite(None, REVOKED), ConnectionWrite(None, successor()))
    with broken(7, "it was recovered by"):
        watch.observe_commit((ConnectionWrite(None, rival),), at(1))
    ended = apply_trigger(successor(), "APP", at(1))
    watch = stored(ConnectionWrite(None, REVOKED), ConnectionWrite(None, ended))
    with broken(6, "have the same predecessor"):
        watch.observe_commit((ConnectionWrite(None, rival),), at(1))


def test_law_06_watch_reports_a_second_active_connection() -> None:
    lapsed = pending(at(-60))
    minted = attrs.evolve(successor(), status=Status.ACTIVE)
    watch = stored(ConnectionWrite(None, lapsed), now=at(-60))
    late = attrs.evolve(lapsed, status=Status.ACTIVE, expires_at=at(5))
    kin = another(minted, created_at=START)
    watch.observe_commit((ConnectionWrite(None, kin),), START)
    with broken(6, "are ACTIVE"):
        watch.observe_commit((ConnectionWrite(lapsed, late),), at(4))
    # If the older connection has ended, there is one.
    watch = stored(ConnectionWrite(None, lapsed), ConnectionWrite(None, kin), now=at(-60))
    watch.observe_commit((ConnectionWrite(lapsed, late),), at(5))


def test_law_08_watch_reports_wrong_entry_path_for_account_state() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    with broken(8, "path NEW_ACTIVE_SIGNUP_HANDOFF for a LIMITED account"):
        watch.observe_commit((SessionWrite(None, session()),), START)


def test_law_08_watch_judges_entry_path_by_account_state_at_load() -> None:
    watch = Watch()
    unlinked = watch.commit_count
    watch.observe_commit((BindingWrite(None, LIMITED),), START)
    limited = watch.commit_count
    write = SessionWrite(None, session())
    with broken(8, "for a LIMITED account"):
        watch.observe_commit((write,), at(1), loaded_at_commit=limited)
    watch.observe_commit((write,), at(1), loaded_at_commit=unlinked)


def test_law_09_watch_reports_a_replay_unlike_stored_response() -> None:
    made = Watched()
    first = made.ask(request("create"), START)
    again = attrs.evolve(first, replayed=True, changes=NO_CHANGES)
    asking = call_of(request("create")).needs
    made.watch.observe_response(again, at(1), caller=CALLER, needs=asking)
    with broken(9, "bodies differ"):
        made.watch.observe_response(body(b"PENDING", b"pending")(again), at(1), needs=asking)
    charged = attrs.evolve(again, changes=first.changes)
    with broken(9, "something was written"):
        made.watch.observe_response(charged, at(1), needs=asking)
    with broken(9, "no response was stored"):
        made.watch.observe_response(again, at(1))
    other = call_of(request("create", key="k-9")).needs
    with broken(9, "no response was stored"):
        made.watch.observe_response(again, at(1), needs=other)


def test_law_watch_skips_replay_of_response_stored_by_reference() -> None:
    made = Watched()
    reference = ResponseReference(201, "vault/1")

    def by_reference(answer: Answer) -> Answer:
        writes = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, response=reference))
            if isinstance(write, RecordWrite)
            else write
            for write in answer.changes.writes
        )
        return attrs.evolve(answer, changes=Changes(writes))

    first = made.ask(request("create"), START, spoil=by_reference)
    again = attrs.evolve(first, replayed=True, changes=NO_CHANGES)
    made.watch.observe_response(again, at(1), needs=call_of(request("create")).needs)


def rate(instants: tuple[datetime, ...] = (), policy: str = "initiate") -> RateWrite:
    key = call_of(request("initiate")).needs.limit
    assert key is not None
    return RateWrite(
        key=attrs.evolve(key, policy=policy),
        policy=INITIATE_LIMIT,
        before=None,
        after=LogState.of(instants),
    )


SMALL = Bucket(name="b", capacity=1, refill=1, seconds=1)


def test_law_10_watch_reports_an_eleventh_initiate_in_a_minute() -> None:
    watch = Watch()
    watch.observe_commit(
        (
            RateWrite(
                key=BucketKey(CALLER.key_owner, SMALL),
                policy=SMALL,
                before=None,
                after=FULL_BUCKET,
            ),
        ),
        START,
    )
    for number in range(10):
        watch.observe_commit((rate(),), START + number * SECONDS)
    # An earlier instant counts in the same windows.
    with broken(10, "11 admitted"):
        watch.observe_commit((rate(),), START - SECONDS)
    for minute in range(2, 99):
        watch.observe_commit((rate(),), at(minute))


def test_law_10_watch_reports_an_inexact_retry_after() -> None:
    watch = Watch()
    asking = call_of(request("initiate")).needs
    now = START + 20 * SECONDS
    with broken(10, "the limit had room"):
        watch.observe_response(limited(40), now, needs=asking)
    for _ in range(10):
        watch.observe_commit((rate(),), START)
    watch.observe_response(limited(40), now, needs=asking)
    with broken(10, "Retry-After is 41 s instead of 40 s"):
        watch.observe_response(limited(41), now, needs=asking)
    with broken(10, "the limit had room"):
        watch.observe_response(limited(40), at(1), needs=asking)
    # Responses decided before the last admission or by another policy are not judged.
    watch.observe_response(limited(41), now, needs=asking, loaded_at_commit=watch.commit_count - 1)
    watch.observe_response(limited(41, "platform"), now, needs=asking)
    watch.observe_response(limited(41), now)


def test_law_11_watch_reports_writes_of_refusal_or_ignored_fact() -> None:
    made = Watched(pending())
    write = ConnectionWrite(pending(), ACTIVE)
    with broken(11, "something was written"):
        made.ask(
            request("reconnect"),
            at(1),
            spoil=lambda answer: attrs.evolve(answer, changes=Changes((write,))),
        )
    with broken(11, "something was written"):
        made.watch.observe_fact(Ignored(Changes((write,)), ("rule",)), at(1))


def test_law_12_watch_reports_a_retry_that_executes_again() -> None:
    made = Watched()
    first = made.ask(request("create"), START)
    asking = call_of(request("create")).needs
    with broken(12, "COMPLETED was stored after the key was completed"):
        made.watch.observe_response(first, at(1), caller=CALLER, needs=asking)


def test_law_12_watch_reports_unstored_or_altered_response() -> None:
    made = Watched()
    with broken(12, "one execution stored 0 responses"):
        made.ask(request("create"), START, spoil=lambda a: attrs.evolve(a, changes=NO_CHANGES))
    made = Watched()
    with broken(12, "bodies differ"):
        made.ask(request("create"), START, spoil=body(b"user-1", b"user-2"))


def test_law_12_watch_reports_a_replay_of_an_erased_response() -> None:
    made = Watched()
    first = made.ask(request("create"), START)
    write = next(w for w in first.changes.writes if isinstance(w, RecordWrite))
    erased = forget(write.after, at(1))
    assert isinstance(erased, Done)
    made.watch.observe_commit((RecordWrite(write.key, write.after, erased.value),), at(1))
    again = attrs.evolve(first, replayed=True, changes=NO_CHANGES)
    asking = call_of(request("create")).needs
    for read_at in (None, made.watch.commit_count):
        with broken(9, "a replay of an erased response"):
            made.watch.observe_response(again, at(2), needs=asking, loaded_at_commit=read_at)
    made.watch.observe_response(
        again, at(2), needs=asking, loaded_at_commit=made.watch.commit_count - 1
    )
    with broken(12):
        made.watch.observe_commit((write,), at(2))
    flying: Record = attrs.evolve(write.after, state=RecordState.IN_FLIGHT, response=None)
    other = stored(RecordWrite(write.key, None, flying))
    other.observe_commit((write,), at(1))


def test_law_12_watch_reports_a_partial_patient_revocation() -> None:
    needy = apply_trigger(ACTIVE, "require action", at(2))
    watch = stored(ConnectionWrite(None, needy), ConnectionWrite(None, successor(at(3))))
    gone, heir = (
        apply_trigger(needy, "PATIENT", at(4)),
        apply_trigger(successor(at(3)), "PATIENT", at(4)),
    )
    with broken(12, "partial revocation by PATIENT"):
        watch.observe_commit((ConnectionWrite(needy, gone),), at(4))
    watch = stored(ConnectionWrite(None, needy), ConnectionWrite(None, successor(at(3))))
    watch.observe_commit(
        (ConnectionWrite(needy, gone), ConnectionWrite(successor(at(3)), heir)), at(4)
    )


def test_law_13_watch_reports_an_undocumented_response_member() -> None:
    made = Watched()
    with broken(13, "not listed: appId"):
        made.ask(request("create"), START, spoil=body(b'"status":', b'"appId":"a","status":'))


def test_law_15_watch_reports_404_bodies_that_differ() -> None:
    made = Watched(pending())
    made.ask(request("get", id=uuid(7)), START)
    with broken(15, "bodies differ"):
        made.ask(request("get", id=uuid(8)), START, spoil=body(b'retryable":', b'retryable": '))


@pytest.mark.parametrize("operation", ["create", "initiate"])
def test_law_15_watch_reports_a_write_to_another_tenant(operation: str) -> None:
    made = Watched()
    answer, asking = made.decide(request(operation), START, new_ids(1))
    for stranger in STRANGERS:
        with broken(15, "another tenant's value"):
            made.watch.observe_response(answer, START, caller=stranger, needs=asking)


def test_law_16_watch_reports_an_undocumented_response() -> None:
    made = Watched()
    with broken(16, "it is not an object"):
        made.ask(request("get"), START, spoil=answer_with(Response(200, (), b"null")))


def test_law_13_watch_knows_only_custom_operations_given_to_it() -> None:
    here = world(Settings(operations=EIGHT), pending())
    headers = (*request("get").headers, ("Idempotency-Key", "k-1"))
    asked = Request(
        method="POST",
        target=f"{BASE}/connections/{ID}:relabel",
        headers=headers,
        body=b'{"label":"my clinic"}',
    )
    answer = handle_at(here, asked, START, new_ids=new_ids())
    assert answer.response.status == 202
    eight = Watch(EIGHT)
    eight.observe_commit((ConnectionWrite(None, pending()),), START)
    eight.observe_response(answer, START, caller=CALLER)
    with broken(13, "no response has these members"):
        Watch().observe_response(answer, START, caller=CALLER)
