"""A state machine of one chain: linear, with one pending successor, in any order of calls."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings, stateful
from hypothesis import strategies as st

from curae_lifecycle.rules import chain
from curae_lifecycle.rules.chain import Minted, Reissued, revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection, Standing, standing
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.triggers import authorize
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.testing import laws
from tests.support.specimens import NOT_PENDING, NOW, OLD_ID, happen
from tests.support.strategies import (
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    actors,
    next_action,
    pending,
    uuid,
)

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


waits = st.sampled_from([NEXT_ACTION_LIFETIME, NEXT_ACTION_LIFETIME / 2, TICK, 0 * TICK])


class Chain(stateful.RuleBasedStateMachine):
    """A chain as a server stores it: connections by id, linked by their predecessor ids.

    Reconnects, facts (some recorded late) and revocations by any actor happen to any id, in any
    order, each some time after the one before.
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
        """Draw when a fact that is recorded now happened: from the creation until now."""
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
            era=None,
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
        reached = revoke_chain(
            connection, self.following(connection), self.now, actor=actor, era=None
        )
        self.store |= {answer.value.id: answer.value for answer in reached}

    @stateful.rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        connection = self.pick(data)
        successor = self.successor(connection)
        waiting = successor is not None and standing(successor, self.now, era=None) == "PENDING"
        new_id = ConnectionId(uuid(len(self.store) + 1))
        head = self.head(connection)
        answer = chain.reconnect(
            connection,
            successor,
            self.now,
            id=new_id,
            next_action=next_action(self.now),
            head=head,
            era=None,
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
        laws.check_chain(tuple(self.store.values()), self.now, era=None)

    @stateful.invariant()
    def is_active_at_its_head_alone(self) -> None:
        # Stricter than the law: a recovered connection is never authorized again.
        root = self.store[OLD_ID]
        older = (root, *self.following(root))[:-1]
        assert Standing.ACTIVE not in {standing(each, self.now, era=None) for each in older}


@pytest.mark.parametrize("runs", [60, pytest.param(1_000, marks=pytest.mark.heavy)])
def test_law_06_chain_stays_linear_with_one_active_connection(
    runs: int,
) -> None:
    stateful.run_state_machine_as_test(
        Chain, settings=settings(max_examples=runs, stateful_step_count=30, deadline=None)
    )
