"""Chains of connections: recovery and revocation, against tables written by hand."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from itertools import chain as flattened
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from curae_lifecycle.rules import chain
from curae_lifecycle.rules.chain import Minted, Reissued, revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection, Status, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.rules.values import LAST_INSTANT, ConnectionId
from curae_lifecycle.testing import laws
from tests.proof.reference.tables import LIFE, RECOVERY, REVOCATION_REACH
from tests.support import specimens
from tests.support.specimens import (
    NEW_ID,
    NEXT_ID,
    NOT_PENDING,
    NOW,
    OLD_ID,
    STANDS,
    happen,
    stored,
)
from tests.support.strategies import (
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    at,
    next_action,
    pending,
    uuid,
)


def test_successor_has_the_root_id_and_the_next_chain_position() -> None:
    second = specimens.successor_of(stored("EXPIRED"), stored("EXPIRED"))
    answer = specimens.reconnect(second)
    assert isinstance(answer, Done)
    identity = answer.value.connection.identity
    assert (identity.predecessor_id, identity.root_id) == (NEXT_ID, OLD_ID)
    assert (second.identity.position, identity.position) == (2, 3)


@pytest.mark.parametrize("length", [1, 2, 3, 300])
def test_chain_positions_count_up_from_1_at_any_chain_length(length: int) -> None:
    made = specimens.chain_of(length)
    assert [each.identity.position for each in made] == [*range(1, length + 1)]
    assert {each.identity.root_id for each in made} == {OLD_ID}
    assert [each.identity.predecessor_id for each in made] == [None, *(each.id for each in made)][
        :-1
    ]
    assert {each.version for each in made} == {1}
    laws.check_chain(tuple(made), made[-1].updated_at, era=None)


@pytest.mark.parametrize("length", [2, 3, 300])
def test_refusal_for_a_recovered_connection_names_the_chain_head(length: int) -> None:
    made = specimens.chain_of(length)
    head = made[-1]
    for now in (head.updated_at, head.updated_at + NEXT_ACTION_LIFETIME):
        pending_head = standing(head, now, era=None) == "PENDING"
        for place, (old, next_one) in enumerate(pairwise(made), start=1):
            ids = {
                "connectionId": old.id,
                "nextConnectionId": next_one.id,
                "headConnectionId": head.id,
            }
            answer = specimens.reconnect(old, next_one, now, head=head)
            if pending_head and place == length - 1:
                assert isinstance(answer, Done)
                assert answer.value.connection.id == head.id
            else:
                assert isinstance(answer, Refused)
                assert answer.problem.details == ids
            late = authorize(old, now, successor=next_one, head=head, era=None)
            assert isinstance(late, Refused)
            assert late.problem.details == ids
            # If the successor is the head, `head` may be omitted.
            if next_one is head:
                assert authorize(old, now, successor=next_one, era=None) == late
                assert specimens.reconnect(old, next_one, now) == answer


# --- Recovery ----------------------------------------------------------------------------------


def made(connection: Connection, successor: Connection | None) -> str:
    """Return the table's word for a reconnect, after checking the rest of the answer."""
    answer = specimens.reconnect(connection, successor)
    if isinstance(answer, Refused):
        assert answer.problem.code == "CONNECTION_SUPERSEDED"
        ids = {"connectionId": OLD_ID, "nextConnectionId": NEXT_ID, "headConnectionId": NEXT_ID}
        assert answer.problem.details == ids
        return specimens.refusal(answer)
    match answer.value:
        case Minted(minted):
            assert successor is None
            identity = attrs.evolve(
                connection.identity, id=NEW_ID, created_at=NOW, predecessor_id=OLD_ID, position=2
            )
            assert minted == Connection(
                identity=identity,
                status=Status.PENDING,
                updated_at=NOW,
                handoff_deadline=NOW + NEXT_ACTION_LIFETIME,
                version=1,
            )
            return "mint a successor"
        case Reissued(before, again):
            assert successor is not None
            assert before is successor
            assert again == attrs.evolve(
                successor, updated_at=NOW, handoff_deadline=NOW + NEXT_ACTION_LIFETIME, version=8
            )
            return "reissue the successor"


@pytest.mark.parametrize(("cell", "expected"), RECOVERY.items())
def test_reconnect_matches_the_recovery_table_in_every_cell(
    cell: tuple[str, str], expected: str
) -> None:
    at_now, kind = cell
    for connection in STANDS[at_now]:
        for successor in specimens.successors(connection)[kind]:
            before = deepcopy((connection, successor))
            assert made(connection, successor) == expected
            again = specimens.reconnect(connection, successor)
            assert specimens.reconnect(connection, successor) == again
            assert (connection, successor) == before, "both are unchanged"


@pytest.mark.parametrize(
    ("at_now", "reason"), [("PENDING", "STILL_PENDING"), ("ACTIVE", "ALREADY_ACTIVE")]
)
def test_reconnect_of_pending_or_active_is_refused(at_now: str, reason: str) -> None:
    for connection in STANDS[at_now]:
        for successor in flattened.from_iterable(specimens.successors(connection).values()):
            answer = specimens.reconnect(connection, successor)
            assert isinstance(answer, Refused)
            assert answer.problem.code == "CONNECTION_NOT_RECONNECTABLE"
            assert answer.problem.details == {"connectionId": OLD_ID, "reason": reason}
            assert len(answer.rules) == 1


def test_successor_whose_next_action_ends_now_is_lapsed_at_once() -> None:
    answer = chain.reconnect(
        stored("EXPIRED"), None, NOW, id=NEW_ID, next_action=next_action(NOW, 0 * TICK), era=None
    )
    assert isinstance(answer, Done)
    assert standing(answer.value.connection, NOW, era=None) == "LAPSED"


def test_reconnect_with_a_next_action_ended_before_now_raises() -> None:
    for connection in specimens.EVERY_CONNECTION:
        with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: must be "):
            chain.reconnect(
                connection, None, NOW, id=NEW_ID, next_action=next_action(NOW, -TICK), era=None
            )


@pytest.mark.parametrize(
    "wrong", [specimens.NAIVE, specimens.ELSEWHERE], ids=["naive", "elsewhere"]
)
def test_reconnect_and_revoke_chain_raise_for_times_not_in_utc(wrong: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        specimens.reconnect(stored("EXPIRED"), None, wrong)
    with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: "):
        chain.reconnect(pending(), None, NOW, id=NEW_ID, next_action=next_action(wrong), era=None)
    with pytest.raises(ArgumentError, match=r"^now: "):
        revoke_chain(pending(), (), wrong, actor=Actor.PATIENT, era=None)


# --- Reissues ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lifetime", [0 * TICK, TICK, NEXT_ACTION_LIFETIME, NEXT_ACTION_LIFETIME * 100_000]
)
def test_reissue_sets_handoff_deadline_to_end_of_new_next_action(lifetime: timedelta) -> None:
    # Even if it ends before the deadline that it replaces: the old page's URL is dead.
    old = stored("EXPIRED")
    waiting = specimens.successor_of(old, stored("PENDING", at(10_000)))
    answer = chain.reconnect(
        old, waiting, NOW, id=NEW_ID, next_action=next_action(NOW, lifetime), era=None
    )
    assert isinstance(answer, Done)
    again = answer.value.connection
    assert again == attrs.evolve(
        waiting, updated_at=NOW, handoff_deadline=NOW + lifetime, version=waiting.version + 1
    )
    assert standing(again, NOW, era=None) == ("PENDING" if lifetime else "LAPSED")


def test_each_reissue_bumps_the_successors_version_by_one() -> None:
    old, successor = stored("EXPIRED"), None
    for number in range(300):
        answer = specimens.reconnect(old, successor, NOW + number * TICK)
        assert isinstance(answer, Done)
        successor = answer.value.connection
        assert successor.version == number + 1
        assert successor.updated_at == NOW + number * TICK
        assert successor.handoff_deadline == successor.updated_at + NEXT_ACTION_LIFETIME
        assert successor.identity.created_at == NOW


# --- Clock skew --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("behind", [TICK, NEXT_ACTION_LIFETIME, timedelta(days=9000)])
def test_reconnect_with_now_before_updated_at_uses_updated_at(
    behind: timedelta,
) -> None:
    seen = at(60)

    def reconnect(old: Connection, after: Connection | None, now: datetime) -> chain.Recovery:
        action = next_action(now)
        return chain.reconnect(old, after, now, id=NEW_ID, next_action=action, era=None)

    for at_now, connections in STANDS.items():
        for each in connections:
            old = attrs.evolve(each, updated_at=seen)
            for like in [None, *specimens.EVERY_CONNECTION]:
                after = None
                if like is not None:
                    after = attrs.evolve(specimens.successor_of(old, like), updated_at=seen)
                assert reconnect(old, after, seen - behind) == reconnect(old, after, seen), at_now
                if after is not None:
                    # The successor's `updated_at` counts as well.
                    young = attrs.evolve(after, updated_at=seen + 5 * TICK)
                    late = reconnect(old, young, seen + 5 * TICK)
                    assert reconnect(old, young, seen - behind) == late
    minted = reconnect(attrs.evolve(stored("REVOKED"), updated_at=seen), None, seen - behind)
    assert isinstance(minted, Done)
    made = minted.value.connection
    assert (made.identity.created_at, made.updated_at) == (seen, seen)
    waiting = attrs.evolve(
        specimens.successor_of(stored("REVOKED"), pending()), updated_at=seen, handoff_deadline=None
    )
    again = reconnect(stored("REVOKED"), waiting, seen - behind)
    assert isinstance(again, Done)
    assert again.value.connection.updated_at == seen
    assert again.value.connection.handoff_deadline == seen + NEXT_ACTION_LIFETIME


@pytest.mark.parametrize("successor", ["none", "pending"])
@pytest.mark.parametrize("lifetime", [TICK, NEXT_ACTION_LIFETIME])
def test_slow_clock_does_not_shorten_lifetime_of_a_hosted_page(
    successor: str, lifetime: timedelta
) -> None:
    seen = NOW + 2 * NEXT_ACTION_LIFETIME
    old = attrs.evolve(stored("REVOKED"), updated_at=seen)
    waiting = None
    if successor == "pending":
        waiting = specimens.successor_of(old, stored("PENDING", NOW))
        waiting = attrs.evolve(waiting, updated_at=seen, handoff_deadline=seen + TICK)
    answer = chain.reconnect(
        old, waiting, NOW, id=NEW_ID, next_action=next_action(NOW, lifetime), era=None
    )
    assert isinstance(answer, Done)
    made = answer.value.connection
    # A fact is judged at the last write at the earliest; the page ends as long after it.
    assert made.handoff_deadline == seen + lifetime
    assert isinstance(authorize(made, NOW, era=None), Done)
    assert isinstance(authorize(made, seen + lifetime - TICK, era=None), Done)
    assert isinstance(authorize(made, seen + lifetime, era=None), Refused)


def test_extended_handoff_deadline_never_exceeds_year_9999() -> None:
    old = attrs.evolve(stored("REVOKED"), updated_at=NOW + TICK)
    for end in (LAST_INSTANT, LAST_INSTANT - TICK):
        action = next_action(end, 0 * TICK)
        answer = chain.reconnect(old, None, NOW, id=NEW_ID, next_action=action, era=None)
        assert isinstance(answer, Done)
        assert answer.value.connection.handoff_deadline == LAST_INSTANT


def test_reissue_succeeds_with_predecessor_updated_in_the_future() -> None:
    # A worker whose clock is ahead wrote the predecessor.
    old = attrs.evolve(stored("EXPIRED"), updated_at=NOW + NEXT_ACTION_LIFETIME)
    waiting = specimens.successor_of(old, stored("PENDING", NOW + TICK))
    answer = specimens.reconnect(old, waiting)
    assert isinstance(answer, Done)
    assert isinstance(answer.value, Reissued)


@pytest.mark.parametrize("to", ["revoke", "expire"])
def test_reissue_is_the_same_if_the_predecessor_ended_meanwhile(to: str) -> None:
    # The two writes touch different rows, so they may commit in either order.
    recovered = stored("ACTION_REQUIRED")
    minted = specimens.reconnect(recovered)
    assert isinstance(minted, Done)
    successor = minted.value.connection
    moved = happen(to, recovered, NOW + 2 * TICK)
    assert isinstance(moved, Done)
    after, before = [
        specimens.reconnect(each, successor, NOW + TICK) for each in (moved.value, recovered)
    ]
    assert isinstance(after, Done)
    assert isinstance(before, Done)
    assert after.value == before.value


# --- Eras --------------------------------------------------------------------------------------


def test_reconnect_is_refused_if_a_tombstone_ended_the_successor() -> None:
    old = stored("ACTION_REQUIRED")
    waiting = specimens.successor_of(old, stored("PENDING"))
    before, after = [
        chain.reconnect(old, waiting, NOW, id=NEW_ID, next_action=next_action(NOW), era=era)
        for era in (None, at(19))
    ]
    assert isinstance(before, Done)
    assert isinstance(before.value, Reissued)
    assert isinstance(after, Refused)
    assert after.problem.code == "CONNECTION_SUPERSEDED"
    assert after.rules == ("connection.reconnect.revoked", "recovery.revoked.other")


def test_chain_revocation_ignores_chain_ended_by_a_tombstone() -> None:
    first, *later = specimens.chain_of(3)
    answers = revoke_chain(first, tuple(later), NOW, era=at(19), actor=Actor.PATIENT)
    assert [type(answer) for answer in answers] == [Ignored] * 3
    assert [answer.value for answer in answers] == [first, *later]


# --- Contradictory statuses --------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_reconnect_is_refused_if_the_successor_has_revoked_at(
    status: str,
) -> None:
    after = specimens.successor_of(stored("EXPIRED"), stored(status, revoked_at=at(10)))
    answer = specimens.reconnect(stored("EXPIRED"), after)
    assert isinstance(answer, Refused)
    assert answer.problem.code == "CONNECTION_SUPERSEDED"
    assert not chain.is_live(after, NOW, era=None)


# --- Revocation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "reach"), REVOCATION_REACH.items())
def test_each_actor_revokes_as_the_revocation_reach_table_says(
    cell: tuple[str], reach: str
) -> None:
    (actor,) = cell
    named = stored("EXPIRED")
    later = (stored("REVOKED", number=2), stored("ACTIVE", number=3))
    before = deepcopy((named, later))
    answers = revoke_chain(named, later, NOW, actor=Actor[actor], era=None)
    assert (named, later) == before
    reached = (named,) if reach == "that connection" else (named, *later)
    assert [type(answer) for answer in answers] == [Done, Ignored, Done][: len(reached)]
    trails = [(f"revocation-reach.{actor.lower()}",), *[()] * len(later)]
    for connection, answer, trail in zip(reached, answers, trails[: len(reached)], strict=True):
        alone = revoke(connection, NOW, actor=Actor[actor], era=None)
        assert answer == attrs.evolve(alone, rules=(*trail, *alone.rules))


def test_chain_revocation_is_never_dated_before_created_at() -> None:
    young = attrs.evolve(
        stored("ACTIVE"), identity=attrs.evolve(pending(at(15)).identity, id=NEXT_ID)
    )
    for happened_at, expected in (
        (START - TICK, [START, at(15)]),
        (at(12), [at(12), at(15)]),
        (at(15) - TICK, [at(15) - TICK, at(15)]),
        (at(15), [at(15), at(15)]),
        (at(15) + TICK, [at(15) + TICK, at(15) + TICK]),
        (at(25), [NOW, NOW]),
    ):
        answers = revoke_chain(
            stored("EXPIRED"), (young,), NOW, actor=Actor.PATIENT, happened_at=happened_at, era=None
        )
        assert [answer.value.revoked_at for answer in answers] == expected
        assert [answer.value.updated_at for answer in answers] == [NOW, NOW]
        assert [answer.value.version for answer in answers] == [8, 8]
    with pytest.raises(ArgumentError, match=r"^happened_at: "):
        revoke_chain(
            stored("EXPIRED"),
            (young,),
            NOW,
            actor=Actor.PATIENT,
            happened_at=at(25) + TICK,
            era=None,
        )


@pytest.mark.parametrize("length", [2, 3, 300])
@pytest.mark.parametrize("actor", [Actor.PATIENT, Actor.PLATFORM])
def test_chain_revocation_ends_lapsed_connections_and_the_head(length: int, actor: Actor) -> None:
    *lapsed, head = specimens.chain_of(length)
    now = head.updated_at + TICK
    assert {standing(each, now, era=None) for each in lapsed} == {"LAPSED"}
    for place, named in enumerate(lapsed):
        if place not in {0, 1, length - 2}:
            continue
        answers = revoke_chain(named, (*lapsed[place + 1 :], head), now, actor=actor, era=None)
        assert len(answers) == length - place
        for before, answer in zip((*lapsed[place:], head), answers, strict=True):
            assert answer.value == attrs.evolve(
                before,
                status=Status.REVOKED,
                updated_at=now,
                revoked_at=now,
                revoked_by=actor,
                version=2,
            )


def test_slow_clock_revocation_sets_revoked_at_to_updated_at() -> None:
    made = specimens.chain_of(3)
    answers = revoke_chain(made[0], tuple(made[1:]), START - TICK, actor=Actor.PATIENT, era=None)
    assert [answer.value.revoked_at for answer in answers] == [each.updated_at for each in made]
    assert {type(answer) for answer in answers} == {Done}


MINUTES = st.integers(0, 12).map(at)


@given(MINUTES, MINUTES, MINUTES, MINUTES)
def test_revoke_chain_raises_only_if_revoking_the_first_raises(
    first_seen: datetime, later_seen: datetime, now: datetime, happened_at: datetime
) -> None:
    # The first connection may have seen a later instant than the others, and later than `now`.
    first, later = (
        attrs.evolve(pending(number=number), updated_at=seen)
        for number, seen in ((1, first_seen), (2, later_seen))
    )
    try:
        alone = revoke(first, now, era=None, actor=Actor.PATIENT, happened_at=happened_at)
    except ArgumentError:
        reject()
    answers = revoke_chain(
        first, (later,), now, era=None, actor=Actor.PATIENT, happened_at=happened_at
    )
    recorded_at = max(now, later_seen)
    assert answers[0].value == alone.value
    assert answers[1].value.updated_at == recorded_at
    assert answers[1].value.revoked_at == min(happened_at, recorded_at)


@pytest.mark.parametrize(("cell", "life"), LIFE.items())
def test_only_pending_active_or_action_required_counts_as_live(cell: tuple[str], life: str) -> None:
    assert {chain.is_live(each, NOW, era=None) for each in STANDS[cell[0]]} == {life == "live"}


# --- Chains of any length ----------------------------------------------------------------------


@given(
    st.sampled_from(NOT_PENDING).filter(
        lambda connection: standing(connection, NOW, era=None) != "ACTIVE"
    ),
    st.lists(st.integers(0, NEXT_ACTION_LIFETIME // TICK - 1), min_size=1, max_size=12),
)
def test_law_07_repeated_reconnects_yield_one_pending_successor(
    connection: Connection, waits: list[int]
) -> None:
    """Give each reconnect its own id and next action."""
    successor: Connection | None = None
    now = NOW
    answers: list[tuple[str, str]] = []
    for number, wait in enumerate(waits, start=10):
        now += wait * TICK
        answer = chain.reconnect(
            connection,
            successor,
            now,
            id=ConnectionId(uuid(number)),
            next_action=next_action(now),
            era=None,
        )
        assert isinstance(answer, Done)
        assert isinstance(answer.value, Minted if successor is None else Reissued)
        successor = answer.value.connection
        answers.append((connection.id, successor.id))
        assert successor.handoff_deadline == now + NEXT_ACTION_LIFETIME
    laws.check_one_pending_successor(answers)
