"""Chains of connections: their tables, written out a second time by hand, and laws 6 and 7."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from itertools import chain as flattened

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
from tests.strategies import LIFETIME, START, TICK, actors, at, next_action, pending, uuid

RECOVERIES = specimens.transcribed("""
                | no successor | successor PENDING | successor anything else
LAPSED          | mint         | reissue           | superseded
ACTION_REQUIRED | mint         | reissue           | superseded
EXPIRED         | mint         | reissue           | superseded
REVOKED         | mint         | reissue           | superseded
""")


def test_a_chain_keeps_the_id_of_its_first_connection() -> None:
    second = specimens.successor_of(stored("EXPIRED"), stored("EXPIRED"))
    answer = specimens.reconnect(second)
    assert isinstance(answer, Done)
    identity = answer.value.connection.identity
    assert (identity.predecessor_id, identity.root_id) == (NEXT_ID, OLD_ID)


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
        ids = {"connectionId": OLD_ID, "nextConnectionId": NEXT_ID}
        assert answer.problem.details == ids
        return "superseded"
    match answer.value:
        case Minted(minted):
            assert successor is None
            identity = attrs.evolve(
                connection.identity, id=NEW_ID, created_at=NOW, predecessor_id=OLD_ID
            )
            assert minted == Connection(identity, Status.PENDING, NOW, NOW + LIFETIME)
            return "mint"
        case Reissued(before, again):
            assert successor is not None
            assert before is successor
            assert again == attrs.evolve(successor, updated_at=NOW, handoff_deadline=NOW + LIFETIME)
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


def test_a_late_revocation_of_a_chain_has_one_instant_for_all() -> None:
    young = attrs.evolve(
        stored("ACTIVE"), identity=attrs.evolve(pending(at(15)).identity, id=NEXT_ID)
    )
    answers = revoke_chain(
        stored("EXPIRED"), (young,), NOW, actor=Actor.PATIENT, happened_at=at(12)
    )
    assert [answer.value.revoked_at for answer in answers] == [at(12), at(12)]
    assert [answer.value.updated_at for answer in answers] == [NOW, NOW]


@pytest.mark.parametrize(("at_now", "life"), LIVES.items())
def test_what_lives_is_what_gives_access_or_may_once_its_patient_acts(
    at_now: str, life: str
) -> None:
    assert {chain.is_live(each, NOW) for each in STANDS[at_now]} == {life == "live"}


# --- However long the chain --------------------------------------------------------------------


@given(
    st.sampled_from(NOT_PENDING).filter(lambda connection: standing(connection, NOW) != "ACTIVE"),
    st.lists(st.integers(0, LIFETIME // TICK - 1), min_size=1, max_size=12),
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
        assert successor.handoff_deadline == now + LIFETIME
    laws.check_one_pending_successor(answers)


waits = st.sampled_from([LIFETIME, LIFETIME / 2, TICK, 0 * TICK])


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

    def pick(self, data: st.DataObject) -> Connection:
        self.now += data.draw(waits)
        return data.draw(st.sampled_from(list(self.store.values())))

    def moment(self, data: st.DataObject, connection: Connection) -> datetime:
        """When a fact that is recorded now happened: at the creation, now, or in between."""
        age = (self.now - connection.identity.created_at) // TICK
        return self.now - data.draw(st.sampled_from([age, 0]) | st.integers(0, age)) * TICK

    @stateful.rule(data=st.data(), lasts=st.sampled_from([None, TICK, LIFETIME, 2 * LIFETIME]))
    def authorize(self, data: st.DataObject, lasts: timedelta | None) -> None:
        connection = self.pick(data)
        happened_at = self.moment(data, connection)
        answer = authorize(
            connection,
            self.now,
            happened_at=happened_at,
            expires_at=None if lasts is None else happened_at + lasts,
            successor=self.successor(connection),
        )
        if isinstance(answer, Done):
            self.store[connection.id] = answer.value

    @stateful.rule(data=st.data(), trigger=st.sampled_from(["require_action", "expire"]))
    def end(self, data: st.DataObject, trigger: str) -> None:
        connection = self.pick(data)
        answer = happen(trigger, connection, self.now, self.moment(data, connection))
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
        answer = chain.reconnect(
            connection, successor, self.now, id=new_id, next_action=next_action(self.now)
        )
        assert isinstance(answer, Done) or not waiting
        if isinstance(answer, Done):
            made = answer.value.connection
            assert isinstance(answer.value, Minted) == (successor is None) == (made.id == new_id)
            self.store[made.id] = made

    @stateful.invariant()
    def is_one_line_with_one_living_end(self) -> None:
        laws.check_chain(tuple(self.store.values()), self.now)

    @stateful.invariant()
    def is_active_at_its_head_alone(self) -> None:
        # More than the law says: what was recovered is never authorized again.
        root = self.store[OLD_ID]
        older = (root, *self.following(root))[:-1]
        assert Standing.ACTIVE not in {standing(each, self.now) for each in older}


def test_law_06_a_chain_is_linear_of_one_coordinate_with_one_active_and_a_pending_head() -> None:
    stateful.run_state_machine_as_test(
        Chain, settings=settings(max_examples=200, stateful_step_count=30, deadline=None)
    )
