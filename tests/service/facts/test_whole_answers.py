"""Whole answers to facts, member by member: writes, effects and events."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import (
    CuraeConnectSession,
    EntryPath,
    HandoffState,
    complete_handoff,
)
from curae_lifecycle.rules.values import ConnectionId, SessionId, UserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import AccessEnded, HandoffCancelled
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite
from tests.service.exact import ACTIVE, NEXT, NOW, REVOKED, event, with_next_version
from tests.support.server import ID, LIMITED
from tests.support.strategies import COORDINATE, START, TICK, at, pending, uuid


def test_authorized_fact_activates_connection_and_emits_event() -> None:
    after = attrs.evolve(
        with_next_version(pending()),
        status=Status.ACTIVE,
        updated_at=NOW,
        authorized_at=at(7),
        expires_at=at(90),
    )
    fact = Authorized(ID, expires_at=at(90), happened_at=at(7))
    assert record_fact(fact, Snapshot(connection=pending()), NOW) == Done(
        Changes(
            (ConnectionWrite(pending(), after),),
            (),
            (event("connection.authorized", after),),
        ),
        ("connection.authorize.pending",),
    )


def test_action_required_fact_ends_access_and_stores_its_reason() -> None:
    after = attrs.evolve(
        with_next_version(ACTIVE),
        status=Status.ACTION_REQUIRED,
        updated_at=NOW,
        action_required_reason="why",
    )
    fact = ActionRequired(ID, "why", happened_at=at(7))
    assert record_fact(fact, Snapshot(connection=ACTIVE), NOW) == Done(
        Changes(
            (ConnectionWrite(ACTIVE, after),),
            (AccessEnded(ID, NOW),),
            (event("connection.action_required", after),),
        ),
        ("connection.require-action.active",),
    )


def test_expired_fact_ends_an_active_not_a_pending_connection() -> None:
    after = attrs.evolve(with_next_version(ACTIVE), status=Status.EXPIRED, updated_at=NOW)
    assert record_fact(Expired(ID), Snapshot(connection=ACTIVE), NOW) == Done(
        Changes(
            (ConnectionWrite(ACTIVE, after),),
            (AccessEnded(ID, NOW),),
            (event("connection.expired", after),),
        ),
        ("connection.expire.active",),
    )
    assert record_fact(Expired(ID), Snapshot(connection=pending()), NOW) == Ignored(
        Changes(), ("connection.expire.pending",)
    )


def test_trail_of_an_expired_fact_has_two_rules_from_expiry_on() -> None:
    over = attrs.evolve(ACTIVE, expires_at=at(8))
    after = attrs.evolve(with_next_version(over), status=Status.EXPIRED, updated_at=NOW)
    recorded = Changes(
        (ConnectionWrite(over, after),),
        (AccessEnded(ID, NOW),),
        (event("connection.expired", after),),
    )
    by_time = ("connection.expire.expired", "expiry-record.active")
    for happened_at, rules in (
        (at(7), ("connection.expire.active",)),
        (at(8), by_time),
        (None, by_time),
    ):
        fact = Expired(ID, happened_at)
        assert record_fact(fact, Snapshot(connection=over), NOW) == Done(recorded, rules)


def test_revoked_fact_cancels_a_handoff_once_then_is_ignored() -> None:
    after = attrs.evolve(
        with_next_version(pending()),
        status=Status.REVOKED,
        updated_at=NOW,
        revoked_at=at(7),
        revoked_by=Actor.UPSTREAM,
    )
    fact = Revoked(ID, Actor.UPSTREAM, happened_at=at(7))
    assert record_fact(fact, Snapshot(connection=pending()), NOW) == Done(
        Changes(
            (ConnectionWrite(pending(), after),),
            (HandoffCancelled(ID),),
            (event("connection.revoked", after),),
        ),
        ("revocation-reach.upstream", "connection.revoke.pending"),
    )
    assert record_fact(fact, Snapshot(connection=REVOKED), NOW) == Ignored(
        Changes(), ("revocation-reach.upstream", "connection.revoke.revoked")
    )


def ended(connection: Connection) -> Connection:
    return attrs.evolve(
        with_next_version(connection),
        status=Status.REVOKED,
        updated_at=NOW,
        revoked_at=NOW,
        revoked_by=Actor.PATIENT,
    )


def test_chain_revocation_also_writes_an_already_revoked_head() -> None:
    fact = Revoked(ID, Actor.PATIENT)
    assert record_fact(fact, Snapshot(connection=ACTIVE), NOW) == Done(
        Changes(
            (ConnectionWrite(ACTIVE, ended(ACTIVE)),),
            (AccessEnded(ID, NOW),),
            (event("connection.revoked", ended(ACTIVE)),),
        ),
        ("revocation-reach.patient", "connection.revoke.active"),
    )
    head = attrs.evolve(
        NEXT, identity=attrs.evolve(NEXT.identity, id=ConnectionId(uuid(3)), predecessor_id=NEXT.id)
    )
    following = (NEXT, head)
    assert record_fact(fact, Snapshot(connection=ACTIVE, following=following), NOW) == Done(
        Changes(
            (
                ConnectionWrite(ACTIVE, ended(ACTIVE)),
                ConnectionWrite(NEXT, ended(NEXT)),
                ConnectionWrite(head, ended(head)),
            ),
            (AccessEnded(ID, NOW), HandoffCancelled(NEXT.id), HandoffCancelled(head.id)),
            tuple(event("connection.revoked", ended(each)) for each in (ACTIVE, NEXT, head)),
        ),
        (
            "revocation-reach.patient",
            "connection.revoke.active",
            "connection.revoke.pending",
            "connection.revoke.pending",
        ),
    )
    gone = ended(head)
    assert record_fact(fact, Snapshot(connection=ACTIVE, following=(NEXT, gone)), NOW) == Done(
        Changes(
            (
                ConnectionWrite(ACTIVE, ended(ACTIVE)),
                ConnectionWrite(NEXT, ended(NEXT)),
                ConnectionWrite(gone, with_next_version(gone)),
            ),
            (AccessEnded(ID, NOW), HandoffCancelled(NEXT.id)),
            tuple(event("connection.revoked", ended(each)) for each in (ACTIVE, NEXT)),
        ),
        (
            "revocation-reach.patient",
            "connection.revoke.active",
            "connection.revoke.pending",
            "connection.revoke.revoked",
        ),
    )


WAITING: Final = CuraeConnectSession(
    id=SessionId(uuid(1001)),
    coordinate=COORDINATE,
    path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
    handoff=HandoffState.AWAITED,
    created_at=START,
    expires_at=at(30),
    landed_at=None,
    user_id=None,
)
LANDED: Final = attrs.evolve(
    WAITING, handoff=HandoffState.LANDED, landed_at=at(7), user_id=UserId("u-1")
)
BOUND: Final = LimitedAccountAppBinding(
    coordinate=COORDINATE, user_id=UserId("u-1"), state=AccountState.ACTIVE, generation=1
)
COMPLETED: Final = HandoffCompleted(WAITING.id, UserId("u-1"), happened_at=at(7))
SESSION_LANDED: Final = event("connect_session.landed", LANDED)


def test_handoff_completed_fact_applies_once_and_binds_its_user() -> None:
    assert record_fact(COMPLETED, Snapshot(session=WAITING), NOW) == Done(
        Changes(
            (SessionWrite(WAITING, LANDED), BindingWrite(None, BOUND)),
            (),
            (SESSION_LANDED, event("binding.signed_up", BOUND)),
        ),
        ("completion.waiting", "binding.complete-sign-up.unlinked"),
    )
    assert record_fact(COMPLETED, Snapshot(session=WAITING, binding=BOUND), NOW) == Done(
        Changes(
            (SessionWrite(WAITING, LANDED), BindingWrite(BOUND, with_next_version(BOUND))),
            (),
            (SESSION_LANDED,),
        ),
        ("completion.waiting", "binding.complete-sign-up.active.same"),
    )
    assert record_fact(COMPLETED, Snapshot(session=LANDED, binding=BOUND), NOW) == Ignored(
        Changes(), ("completion.landed.same",)
    )


def test_graduated_and_tombstoned_facts_emit_their_event_once() -> None:
    active = attrs.evolve(with_next_version(LIMITED), state=AccountState.ACTIVE)
    tombstoned = attrs.evolve(
        with_next_version(LIMITED),
        state=AccountState.TOMBSTONED,
        era=NOW,
        tombstoned_at=NOW,
        swept=False,
    )
    bound, unbound = Snapshot(binding=LIMITED), Snapshot()
    assert record_fact(Graduated(COORDINATE), bound, NOW) == Done(
        Changes((BindingWrite(LIMITED, active),), (), (event("binding.graduated", active),)),
        ("binding.graduate.limited.same",),
    )
    assert record_fact(Graduated(COORDINATE), Snapshot(binding=active), NOW) == Ignored(
        Changes(), ("binding.graduate.active.same",)
    )
    assert record_fact(Tombstoned(COORDINATE), bound, NOW) == Done(
        Changes(
            (BindingWrite(LIMITED, tombstoned),), (), (event("binding.tombstoned", tombstoned),)
        ),
        ("binding.tombstone.limited",),
    )
    alone = attrs.evolve(tombstoned, user_id=None, generation=0, version=1)
    assert record_fact(Tombstoned(COORDINATE), unbound, NOW) == Done(
        Changes((BindingWrite(None, alone),), (), (event("binding.tombstoned", alone),)),
        ("binding.tombstone.unlinked",),
    )
    earlier = attrs.evolve(tombstoned, tombstone_reported_at=at(7))
    again = attrs.evolve(with_next_version(earlier), era=NOW + TICK, tombstone_reported_at=None)
    assert record_fact(Tombstoned(COORDINATE), Snapshot(binding=earlier), NOW) == Done(
        Changes((BindingWrite(earlier, again),)), ("binding.tombstone.tombstoned",)
    )
    copy = Tombstoned(COORDINATE, at(7))
    assert record_fact(copy, Snapshot(binding=earlier), NOW) == Ignored(
        Changes(), ("tombstone-report.copy",)
    )


def test_repeated_handoff_completion_is_ignored_naming_its_rule() -> None:
    answer = complete_handoff(LANDED, binding=BOUND, user_id=UserId("u-1"), now=NOW)
    assert isinstance(answer, Ignored)
    assert answer.rules == ("completion.landed.same",)
