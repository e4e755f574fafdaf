"""Chains of connections: their tables, written out a second time by hand, and laws 6 and 7."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from itertools import chain as flattened
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings, stateful
from hypothesis import strategies as st

from curae_lifecycle.rules import chain
from curae_lifecycle.rules.chain import Minted, Reissued, revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.testing import laws
from tests import specimens
from tests.specimens import NEW_ID, NEXT_ID, NOT_PENDING, NOW, OLD_ID, STANDS, happen, stored
from tests.strategies import (
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    actors,
    at,
    next_action,
    pending,
    uuid,
)

RECOVERIES = specimens.transcribed("""
                | no successor | successor PENDING | successor anything else
LAPSED          | mint         | reissue           | superseded
ACTION_REQUIRED | mint         | reissue           | superseded
EXPIRED         | mint         | reissue           | superseded
REVOKED         | mint         | reissue           | superseded
""")


def test_a_chain_keeps_the_id_of_its_first_connection_and_counts_its_places() -> None:
    second = specimens.successor_of(stored("EXPIRED"), stored("EXPIRED"))
    answer = specimens.reconnect(second)
    assert isinstance(answer, Done)
    identity = answer.value.connection.identity
    assert (identity.predecessor_id, identity.root_id) == (NEXT_ID, OLD_ID)
    assert (second.identity.position, identity.position) == (2, 3)


@pytest.mark.parametrize("length", [1, 2, 3, 300])
def test_places_count_up_however_long_the_chain_is(length: int) -> None:
    made = specimens.chain_of(length)
    assert [each.identity.position for each in made] == [*range(1, length + 1)]
    assert {each.identity.root_id for each in made} == {OLD_ID}
    assert [each.identity.predecessor_id for each in made] == [None, *(each.id for each in made)][
        :-1
    ]
    assert {each.version for each in made} == {1}
    laws.check_chain(tuple(made), made[-1].updated_at)


@pytest.mark.parametrize("length", [2, 3, 300])
def test_a_refusal_names_the_head_of_the_chain_from_any_older_place(length: int) -> None:
    made = specimens.chain_of(length)
    head = made[-1]
    for now in (head.updated_at, head.updated_at + NEXT_ACTION_LIFETIME):
        pending_head = standing(head, now) == "PENDING"
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
            late = authorize(old, now, successor=next_one, head=head)
            assert isinstance(late, Refused)
            assert late.problem.details == ids
            # Where the successor is the head, it need not be given twice.
            if next_one is head:
                assert authorize(old, now, successor=next_one) == late
                assert specimens.reconnect(old, next_one, now) == answer


REACHES = {
    "APP": "that connection",
    "PATIENT": "that connection and every later one",
    "PLATFORM": "that connection and every later one",
    "UPSTREAM": "that connection",
}
LIVES = {
    "PENDING": "live",
    "LAPSED": "over",
    "ACTIVE": "live",
    "ACTION_REQUIRED": "live",
    "EXPIRED": "over",
    "REVOKED": "over",
}

# --- Recovery ----------------------------------------------------------------------------------


def made(connection: Connection, successor: Connection | None) -> str:
    """The word of the table for the answer, after checking all else that it says."""
    answer = specimens.reconnect(connection, successor)
    if isinstance(answer, Refused):
        assert answer.problem.code == "CONNECTION_SUPERSEDED"
        ids = {
            "connectionId": OLD_ID,
            "nextConnectionId": NEXT_ID,
            "headConnectionId": NEXT_ID,
        }
        assert answer.problem.details == ids
        return "superseded"
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
            return "mint"
        case Reissued(before, again):
            assert successor is not None
            assert before is successor
            assert again == attrs.evolve(
                successor, updated_at=NOW, handoff_deadline=NOW + NEXT_ACTION_LIFETIME, version=8
            )
            return "reissue"


@pytest.mark.parametrize(("cell", "expected"), RECOVERIES.items())
def test_a_reconnect_makes_what_the_recovery_table_says(
    cell: tuple[str, str], expected: str
) -> None:
    at_now, kind = cell
    for connection in STANDS[at_now]:
        for successor in specimens.successors(connection)[kind]:
            before = deepcopy((connection, successor))
            assert made(connection, successor) == expected
            again = specimens.reconnect(connection, successor)
            assert specimens.reconnect(connection, successor) == again
            assert (connection, successor) == before, "neither is touched"


@pytest.mark.parametrize(
    ("at_now", "reason"), [("PENDING", "STILL_PENDING"), ("ACTIVE", "ALREADY_ACTIVE")]
)
def test_what_needs_no_recovery_is_refused_whatever_follows_it(at_now: str, reason: str) -> None:
    for connection in STANDS[at_now]:
        for successor in flattened.from_iterable(specimens.successors(connection).values()):
            answer = specimens.reconnect(connection, successor)
            assert isinstance(answer, Refused)
            assert answer.problem.code == "CONNECTION_NOT_RECONNECTABLE"
            assert answer.problem.details == {"connectionId": OLD_ID, "reason": reason}
            assert len(answer.rules) == 1


def test_a_next_action_that_ends_at_once_makes_a_connection_that_has_lapsed() -> None:
    answer = chain.reconnect(
        stored("EXPIRED"), None, NOW, id=NEW_ID, next_action=next_action(NOW, 0 * TICK)
    )
    assert isinstance(answer, Done)
    assert standing(answer.value.connection, NOW) == "LAPSED"


def test_a_next_action_that_was_over_before_it_began_is_a_mistake() -> None:
    for connection in specimens.EVERY_CONNECTION:
        with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: must be "):
            chain.reconnect(connection, None, NOW, id=NEW_ID, next_action=next_action(NOW, -TICK))


@pytest.mark.parametrize(
    "wrong", [specimens.NAIVE, specimens.ELSEWHERE], ids=["naive", "elsewhere"]
)
def test_a_reconnect_wants_utc(wrong: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        specimens.reconnect(stored("EXPIRED"), None, wrong)
    with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: "):
        chain.reconnect(pending(), None, NOW, id=NEW_ID, next_action=next_action(wrong))
    with pytest.raises(ArgumentError, match=r"^now: "):
        revoke_chain(pending(), (), wrong, actor=Actor.PATIENT)


# --- Reissues ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lifetime", [0 * TICK, TICK, NEXT_ACTION_LIFETIME, NEXT_ACTION_LIFETIME * 100_000]
)
def test_a_reissued_deadline_is_the_end_of_the_newest_next_action(lifetime: timedelta) -> None:
    # Also where it ends before the one that it replaces: that page's URL is dead.
    old = stored("EXPIRED")
    waiting = specimens.successor_of(old, stored("PENDING", at(10_000)))
    answer = chain.reconnect(old, waiting, NOW, id=NEW_ID, next_action=next_action(NOW, lifetime))
    assert isinstance(answer, Done)
    again = answer.value.connection
    assert again == attrs.evolve(
        waiting, updated_at=NOW, handoff_deadline=NOW + lifetime, version=waiting.version + 1
    )
    assert standing(again, NOW) == ("PENDING" if lifetime else "LAPSED")


def test_hundreds_of_reissues_are_hundreds_of_versions() -> None:
    old, successor = stored("EXPIRED"), None
    for number in range(300):
        answer = specimens.reconnect(old, successor, NOW + number * TICK)
        assert isinstance(answer, Done)
        successor = answer.value.connection
        assert successor.version == number + 1
        assert successor.updated_at == NOW + number * TICK
        assert successor.handoff_deadline == successor.updated_at + NEXT_ACTION_LIFETIME
        assert successor.identity.created_at == NOW


# --- Clocks that disagree ----------------------------------------------------------------------


@pytest.mark.parametrize("behind", [TICK, NEXT_ACTION_LIFETIME, timedelta(days=9000)])
def test_a_reconnect_under_a_clock_that_is_behind_takes_what_was_seen_for_now(
    behind: timedelta,
) -> None:
    seen = at(60)
    action = next_action(seen)

    def reconnect(old: Connection, after: Connection | None, now: datetime) -> chain.Recovery:
        return chain.reconnect(old, after, now, id=NEW_ID, next_action=action)

    for at_now, connections in STANDS.items():
        for each in connections:
            old = attrs.evolve(each, updated_at=seen)
            for like in [None, *specimens.EVERY_CONNECTION]:
                after = None
                if like is not None:
                    after = attrs.evolve(specimens.successor_of(old, like), updated_at=seen)
                assert reconnect(old, after, seen - behind) == reconnect(old, after, seen), at_now
                if after is not None:
                    # What the successor has seen counts as well.
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
    assert again.value.connection.handoff_deadline == action.expires_at


@pytest.mark.parametrize("to", ["revoke", "expire"])
def test_a_reissue_is_the_same_whether_its_predecessor_moved_before_or_after(to: str) -> None:
    # They write two rows and meet on none, so either may be stored first.
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


# --- Contradictions ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_whatever_carries_a_revoked_at_is_no_pending_successor_and_is_not_alive(
    status: str,
) -> None:
    after = specimens.successor_of(stored("EXPIRED"), stored(status, revoked_at=at(10)))
    answer = specimens.reconnect(stored("EXPIRED"), after)
    assert isinstance(answer, Refused)
    assert answer.problem.code == "CONNECTION_SUPERSEDED"
    assert not chain.is_live(after, NOW)


# --- Revocation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("actor", "reach"), REACHES.items())
def test_a_patient_or_the_platform_ends_the_chain_and_others_one_connection(
    actor: str, reach: str
) -> None:
    named = stored("EXPIRED")
    later = (stored("REVOKED", number=2), stored("ACTIVE", number=3))
    before = deepcopy((named, later))
    answers = revoke_chain(named, later, NOW, actor=Actor[actor])
    assert (named, later) == before
    reached = (named,) if reach == "that connection" else (named, *later)
    assert [type(answer) for answer in answers] == [Done, Ignored, Done][: len(reached)]
    for connection, answer in zip(reached, answers, strict=True):
        assert answer == revoke(connection, NOW, actor=Actor[actor])


def test_a_late_revocation_of_a_chain_has_one_instant_but_for_what_was_made_later() -> None:
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
            stored("EXPIRED"), (young,), NOW, actor=Actor.PATIENT, happened_at=happened_at
        )
        assert [answer.value.revoked_at for answer in answers] == expected
        assert [answer.value.updated_at for answer in answers] == [NOW, NOW]
        assert [answer.value.version for answer in answers] == [8, 8]
    with pytest.raises(ArgumentError, match=r"^happened_at: "):
        revoke_chain(
            stored("EXPIRED"), (young,), NOW, actor=Actor.PATIENT, happened_at=at(25) + TICK
        )


@pytest.mark.parametrize("length", [2, 3, 300])
@pytest.mark.parametrize("actor", [Actor.PATIENT, Actor.PLATFORM])
def test_a_patient_s_revocation_reaches_over_every_link_that_lapsed(
    length: int, actor: Actor
) -> None:
    *lapsed, head = specimens.chain_of(length)
    now = head.updated_at + TICK
    assert {standing(each, now) for each in lapsed} == {"LAPSED"}
    for place, named in enumerate(lapsed):
        if place not in {0, 1, length - 2}:
            continue
        answers = revoke_chain(named, (*lapsed[place + 1 :], head), now, actor=actor)
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


def test_a_revocation_of_a_chain_under_a_clock_that_is_behind_is_recorded() -> None:
    made = specimens.chain_of(3)
    answers = revoke_chain(made[0], tuple(made[1:]), START - TICK, actor=Actor.PATIENT)
    assert [answer.value.revoked_at for answer in answers] == [each.updated_at for each in made]
    assert {type(answer) for answer in answers} == {Done}


@pytest.mark.parametrize(("at_now", "life"), LIVES.items())
def test_what_lives_is_what_gives_access_or_may_once_its_patient_acts(
    at_now: str, life: str
) -> None:
    assert {chain.is_live(each, NOW) for each in STANDS[at_now]} == {life == "live"}


# --- However long the chain --------------------------------------------------------------------


@given(
    st.sampled_from(NOT_PENDING).filter(lambda connection: standing(connection, NOW) != "ACTIVE"),
    st.lists(st.integers(0, NEXT_ACTION_LIFETIME // TICK - 1), min_size=1, max_size=12),
)
def test_law_07_however_many_reconnects_there_is_one_successor_while_it_is_pending(
    connection: Connection, waits: list[int]
) -> None:
    """Each reconnect comes with a key, an id and a next action of its own."""
    successor: Connection | None = None
    now = NOW
    answers: list[tuple[str, str]] = []
    for number, wait in enumerate(waits, start=10):
        now += wait * TICK
        answer = chain.reconnect(
            connection, successor, now, id=ConnectionId(uuid(number)), next_action=next_action(now)
        )
        assert isinstance(answer, Done)
        assert isinstance(answer.value, Minted if successor is None else Reissued)
        successor = answer.value.connection
        answers.append((connection.id, successor.id))
        assert successor.handoff_deadline == now + NEXT_ACTION_LIFETIME
    laws.check_one_pending_successor(answers)


waits = st.sampled_from([NEXT_ACTION_LIFETIME, NEXT_ACTION_LIFETIME / 2, TICK, 0 * TICK])


class Chain(stateful.RuleBasedStateMachine):
    """A chain as a server keeps it: each connection by id, linked by its predecessor alone.

    Reconnects of any id, facts of any id that may be recorded late, and revocations by anyone
    happen in any order, each some time after the one before.
    """

    @stateful.initialize()
    def begin(self) -> None:
        self.now = START
        self.store: dict[str, Connection] = {OLD_ID: pending()}

    def successor(self, connection: Connection) -> Connection | None:
        found = [
            each for each in self.store.values() if each.identity.predecessor_id == connection.id
        ]
        assert len(found) <= 1, "a chain is linear"
        return found[0] if found else None

    def following(self, connection: Connection) -> tuple[Connection, ...]:
        chain: list[Connection] = []
        after = self.successor(connection)
        while after is not None:
            assert len(chain) < len(self.store), "a chain is acyclic"
            chain.append(after)
            after = self.successor(after)
        return tuple(chain)

    def head(self, connection: Connection) -> Connection | None:
        return (None, *self.following(connection))[-1]

    def pick(self, data: st.DataObject) -> Connection:
        self.now += data.draw(waits)
        return data.draw(st.sampled_from(list(self.store.values())))

    def moment(self, data: st.DataObject, connection: Connection) -> datetime:
        """When a fact that is recorded now happened: at the creation, now, or in between."""
        age = (self.now - connection.identity.created_at) // TICK
        return self.now - data.draw(st.sampled_from([age, 0]) | st.integers(0, age)) * TICK

    @stateful.rule(
        data=st.data(),
        lasts=st.sampled_from([None, TICK, NEXT_ACTION_LIFETIME, 2 * NEXT_ACTION_LIFETIME]),
    )
    def authorize(self, data: st.DataObject, lasts: timedelta | None) -> None:
        connection = self.pick(data)
        happened_at = self.moment(data, connection)
        answer = authorize(
            connection,
            self.now,
            happened_at=happened_at,
            expires_at=None if lasts is None else happened_at + lasts,
            successor=self.successor(connection),
            head=self.head(connection),
        )
        if isinstance(answer, Done):
            self.store[connection.id] = answer.value

    @stateful.rule(data=st.data(), trigger=st.sampled_from(["require_action", "expire"]))
    def end(self, data: st.DataObject, trigger: str) -> None:
        connection = self.pick(data)
        answer = happen(
            trigger, connection=connection, now=self.now, happened_at=self.moment(data, connection)
        )
        if isinstance(answer, Done):
            self.store[connection.id] = answer.value

    @stateful.rule(data=st.data(), actor=actors)
    def revoke(self, data: st.DataObject, actor: Actor) -> None:
        connection = self.pick(data)
        reached = revoke_chain(connection, self.following(connection), self.now, actor=actor)
        self.store |= {answer.value.id: answer.value for answer in reached}

    @stateful.rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        connection = self.pick(data)
        successor = self.successor(connection)
        waiting = successor is not None and standing(successor, self.now) == "PENDING"
        new_id = ConnectionId(uuid(len(self.store) + 1))
        head = self.head(connection)
        answer = chain.reconnect(
            connection, successor, self.now, id=new_id, next_action=next_action(self.now), head=head
        )
        assert isinstance(answer, Done) or not waiting
        if isinstance(answer, Refused) and answer.problem.code == "CONNECTION_SUPERSEDED":
            assert head is not None
            assert answer.problem.details["headConnectionId"] == head.id
        if isinstance(answer, Done):
            made = answer.value.connection
            assert isinstance(answer.value, Minted) == (successor is None) == (made.id == new_id)
            self.store[made.id] = made
            assert made.identity.position == len(self.following(self.store[OLD_ID])) + 1

    @stateful.invariant()
    def is_one_line_with_one_living_end(self) -> None:
        laws.check_chain(tuple(self.store.values()), self.now)

    @stateful.invariant()
    def is_active_at_its_head_alone(self) -> None:
        # More than the law says: what was recovered is never authorized again.
        root = self.store[OLD_ID]
        older = (root, *self.following(root))[:-1]
        assert Standing.ACTIVE not in {standing(each, self.now) for each in older}


@pytest.mark.parametrize("runs", [60, pytest.param(1_000, marks=pytest.mark.heavy)])
def test_law_06_a_chain_is_linear_of_one_coordinate_with_one_active_and_a_pending_head(
    runs: int,
) -> None:
    stateful.run_state_machine_as_test(
        Chain, settings=settings(max_examples=runs, stateful_step_count=30, deadline=None)
    )
