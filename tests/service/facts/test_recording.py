"""Recording facts: needs, checks of arguments and snapshots, and laws."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curae_lifecycle as curae
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.members import ParsedMembers
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import BindingWrite, SessionWrite
from curae_lifecycle.testing import laws
from tests.support import subjects
from tests.support.server import ID, LIMITED
from tests.support.strategies import (
    COORDINATE,
    START,
    TICK,
    apply_trigger,
    at,
    connections,
    instants,
    pending,
    uuid,
)
from tests.support.subjects import SESSION, STANDINGS, USER, WAITING

OF_A_CONNECTION = list(subjects.OF_A_CONNECTION.values())
OF_A_CHAIN = [curae.Revoked(ID, actor) for actor in (curae.Actor.PATIENT, curae.Actor.PLATFORM)]
EVERY = [
    *((fact, Needs(connection=ID)) for fact in OF_A_CONNECTION),
    *((fact, Needs(chain=ID)) for fact in OF_A_CHAIN),
    (curae.Revoked(ID, curae.Actor.APP), Needs(connection=ID)),
    *subjects.OTHERS,
]


@pytest.mark.parametrize(("fact", "needed"), EVERY)
def test_each_fact_declares_the_expected_values_to_load(fact: Fact, needed: Needs) -> None:
    assert fact.needs() == needed


@pytest.mark.parametrize("fact", [fact for fact, needed in EVERY if needed.binding is None])
def test_fact_about_an_unknown_id_is_refused_as_not_found(fact: Fact) -> None:
    answer = curae.record_fact(fact, curae.Snapshot(), at(1))
    assert isinstance(answer, curae.Refused)
    assert answer.problem.code == "NOT_FOUND"


def at_instant(fact: Fact, happened_at: datetime) -> Fact:
    """Return the fact with another `happened_at`."""
    # Every fact is an attrs class, which the type of the base does not show.
    return attrs.evolve(cast("curae.Expired", fact), happened_at=happened_at)


@pytest.mark.parametrize("fact", [fact for fact, _ in EVERY])
def test_far_ahead_or_naive_time_of_a_fact_always_raises(fact: Fact) -> None:
    for snapshot in (
        curae.Snapshot(),
        curae.Snapshot(connection=pending(), session=WAITING, binding=LIMITED),
    ):
        with pytest.raises(curae.ArgumentError, match="happened_at"):
            curae.record_fact(at_instant(fact, at(6) + TICK), snapshot, at(1))
        with pytest.raises(curae.ArgumentError, match="happened_at"):
            curae.record_fact(at_instant(fact, START.replace(tzinfo=None)), snapshot, at(1))
        for record in (fact.check, partial(curae.record_fact, fact, snapshot)):
            with pytest.raises(curae.ArgumentError) as caught:
                record(START.replace(tzinfo=None))
            assert caught.value.argument == "now"


@pytest.mark.parametrize("fact", [fact for fact, _ in EVERY])
def test_happened_at_up_to_5_minutes_ahead_is_recorded_as_now(fact: Fact) -> None:
    for ahead in (TICK, timedelta(minutes=1), timedelta(minutes=5)):
        early = recorded(at_instant(fact, at(1) + ahead), at(1))
        assert without_report(early) == without_report(recorded(fact, at(1)))


def without_report(answer: curae.Done[Changes]) -> curae.Done[Changes]:
    """Return the answer without the reported instant of a tombstone, which is kept as it was."""
    writes = tuple(
        attrs.evolve(each, after=attrs.evolve(each.after, tombstone_reported_at=None))
        if isinstance(each, BindingWrite)
        else each
        for each in answer.value.writes
    )
    return attrs.evolve(answer, value=Changes(writes, answer.value.effects))


@pytest.mark.parametrize(
    "fact", [fact for fact, _ in EVERY if not isinstance(fact, curae.Tombstoned)]
)
def test_happened_at_before_creation_is_recorded_as_created_at(fact: Fact) -> None:
    for before in (TICK, timedelta(days=20_000)):
        early = recorded(at_instant(fact, START - before), at(1))
        assert early == recorded(at_instant(fact, START), at(1))


@pytest.mark.parametrize("fact", [fact for fact, needed in EVERY if needed.binding is None])
def test_happened_at_over_5_minutes_past_updated_at_raises(fact: Fact) -> None:
    # The clock was put back after the row was written.
    latest = START + timedelta(minutes=5)
    for now in (START, START - timedelta(hours=1)):
        assert recorded(at_instant(fact, latest), now).value.writes
        with pytest.raises(curae.ArgumentError, match="happened_at"):
            recorded(at_instant(fact, latest + TICK), now)


def test_repeated_handoff_is_ignored_after_a_clock_was_put_back() -> None:
    fact = curae.HandoffCompleted(SESSION, USER, happened_at=at(10))
    session, binding = recorded(fact, at(10)).value.writes
    assert isinstance(session, SessionWrite)
    assert isinstance(binding, BindingWrite)
    snapshot = curae.Snapshot(session=session.after, binding=binding.after)
    for now in (START, START - timedelta(hours=1)):
        assert isinstance(curae.record_fact(fact, snapshot, now), curae.Ignored)
        with pytest.raises(curae.ArgumentError, match="happened_at"):
            curae.record_fact(at_instant(fact, at(15) + TICK), snapshot, now)


def test_repeated_account_graduation_is_ignored_on_a_slow_clock() -> None:
    fact = curae.Graduated(COORDINATE, happened_at=at(10))
    (write,) = recorded(fact, at(10)).value.writes
    assert isinstance(write, BindingWrite)
    snapshot = curae.Snapshot(binding=write.after)
    for now in (START, START - timedelta(hours=1)):
        assert isinstance(curae.record_fact(fact, snapshot, now), curae.Ignored)
        with pytest.raises(curae.ArgumentError, match=r"^now: must be an aware datetime"):
            fact.check(now.replace(tzinfo=None))
        # A graduation that changes something or is refused still needs a possible instant.
        for binding in (LIMITED, None):
            with pytest.raises(curae.ArgumentError, match="five minutes"):
                curae.record_fact(fact, curae.Snapshot(binding=binding), now)


@pytest.mark.parametrize("fact", [fact for fact, _ in EVERY])
def test_on_a_slow_clock_only_binding_events_are_dated_now(fact: Fact) -> None:
    seen = recorded(at_instant(fact, START), START)
    for behind in (TICK, timedelta(minutes=5), timedelta(days=20_000)):
        now = START - behind
        late = recorded(at_instant(fact, now), now)
        for event, same in zip(late.value.events, seen.value.events, strict=True):
            if not isinstance(fact, curae.Tombstoned):
                assert event.subject == same.subject
            assert event.at == (now if event.kind in OF_A_BINDING else START)


OF_A_BINDING = ("binding.graduated", "binding.tombstoned")
"""Kinds of events about a binding, which stores no instant that could go back."""


def recorded(fact: Fact, now: datetime) -> curae.Done[Changes]:
    """Record a fact about subjects created at `START`, and return its changes."""
    connection = pending()
    if isinstance(fact, curae.ActionRequired | curae.Expired):
        connection = apply_trigger(connection, "authorize for ever", START)
    binding = None if isinstance(fact, curae.HandoffCompleted) else LIMITED
    needed = fact.needs()
    snapshot = curae.Snapshot(
        connection=None if needed.connection is needed.chain is None else connection,
        session=None if needed.session is None else WAITING,
        binding=binding,
    )
    answer = curae.record_fact(fact, snapshot, now)
    assert isinstance(answer, curae.Done)
    return answer


@pytest.mark.parametrize("standing", STANDINGS)
def test_expires_at_not_after_authorization_always_raises(
    standing: str,
) -> None:
    connection, now = STANDINGS[standing]
    for stored in (connection, None):
        with pytest.raises(curae.ArgumentError, match="expires_at"):
            curae.record_fact(
                curae.Authorized(ID, at(5), at(5)), curae.Snapshot(connection=stored), now
            )


# --- Wrong snapshots and arguments -----------------------------------------------------------


@pytest.mark.parametrize(
    "fact", [*OF_A_CONNECTION, *(curae.Revoked(ID, actor) for actor in curae.Actor)]
)
def test_fact_on_a_snapshot_of_another_connection_raises(fact: Fact) -> None:
    other = pending(number=2)
    later = subjects.recovered(other, at(31), 3)
    for snapshot in (
        curae.Snapshot(connection=other),
        curae.Snapshot(connection=other, successor=later, head=later, following=(later,)),
    ):
        with pytest.raises(curae.ArgumentError, match="asked for") as raised:
            curae.record_fact(fact, snapshot, at(40))
        assert raised.value.argument == "snapshot.connection"


@pytest.mark.parametrize("fact", OF_A_CHAIN)
def test_snapshot_with_a_connection_of_another_chain_raises(fact: Fact) -> None:
    ada = STANDINGS["REVOKED"][0]
    second, stranger = subjects.recovered(ada, at(31), 2), pending(number=3)
    for following in ((stranger,), (second, stranger), (second, second)):
        with pytest.raises(curae.ArgumentError, match="later connections of the chain") as raised:
            curae.record_fact(fact, curae.Snapshot(connection=ada, following=following), at(40))
        assert raised.value.argument == "snapshot.following"


@pytest.mark.parametrize("fact", [*OF_A_CONNECTION, curae.Revoked(ID, curae.Actor.APP)])
def test_snapshot_with_a_successor_of_another_chain_raises(fact: Fact) -> None:
    ada, stranger = STANDINGS["REVOKED"][0], pending(number=3)
    with pytest.raises(
        curae.ArgumentError, match="the connection that recovered the one"
    ) as raised:
        curae.record_fact(
            fact, curae.Snapshot(connection=ada, successor=stranger, head=stranger), at(40)
        )
    assert raised.value.argument == "snapshot.successor"


def test_fact_on_a_snapshot_of_another_session_raises() -> None:
    other = attrs.evolve(WAITING, id=curae.SessionId(uuid(1002)))
    with pytest.raises(curae.ArgumentError, match="asked for") as raised:
        curae.record_fact(
            curae.HandoffCompleted(SESSION, USER), curae.Snapshot(session=other), at(2)
        )
    assert raised.value.argument == "snapshot.session"


@pytest.mark.parametrize("fact", [fact for fact, _ in subjects.OTHERS])
def test_fact_with_a_binding_of_another_coordinate_raises(fact: Fact) -> None:
    elsewhere = attrs.evolve(LIMITED, coordinate=attrs.evolve(COORDINATE, app_id=AppId("app-2")))
    with pytest.raises(curae.ArgumentError, match="the binding of the coordinate"):
        curae.record_fact(fact, curae.Snapshot(session=WAITING, binding=elsewhere), at(2))


@pytest.mark.parametrize(
    "elsewhere",
    [
        attrs.evolve(COORDINATE, environment=Environment.TEST),
        attrs.evolve(COORDINATE, app_id=AppId("app-2")),
        attrs.evolve(COORDINATE, customer_account_id=CustomerAccountId(uuid(99))),
        attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2")),
    ],
)
def test_fact_with_connections_of_another_coordinate_raises(elsewhere: Coordinate) -> None:
    own, other = pending(), pending(number=2)
    other = attrs.evolve(other, identity=attrs.evolve(other.identity, coordinate=elsewhere))
    for loaded in ((other,), (own, other), (other, own)):
        for binding in (None, LIMITED, subjects.TOMBSTONED):
            snapshot = curae.Snapshot(binding=binding, connections=loaded)
            needs = Needs(connections=ConnectionsPage(COORDINATE))
            with pytest.raises(curae.ArgumentError, match="of the coordinate") as raised:
                curae.record_fact(Noted(needs), snapshot, at(2))
            assert raised.value.argument == "snapshot.connections"


@attrs.frozen
class Noted(Fact):
    """A custom fact of a server, which never changes anything."""

    loads: Needs
    happened_at: datetime | None = None

    kind: ClassVar = "noted"
    members: ClassVar = ()

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Noted:
        raise NotImplementedError

    def needs(self) -> Needs:
        return self.loads

    def judge(self, snapshot: curae.Snapshot, now: datetime) -> FactAnswer:
        del snapshot, now
        return curae.Ignored(Changes(), ("noted",))


def test_custom_fact_loaded_with_another_apps_binding_raises() -> None:
    elsewhere = attrs.evolve(LIMITED, coordinate=attrs.evolve(COORDINATE, app_id=AppId("app-2")))
    loaded = curae.Snapshot(session=subjects.LANDED, binding=elsewhere)
    for asked in (Needs(binding=COORDINATE), Needs(session=SESSION)):
        with pytest.raises(curae.ArgumentError) as caught:
            curae.record_fact(Noted(asked), loaded, at(2))
        assert caught.value.argument == "binding"
        own = attrs.evolve(loaded, binding=LIMITED)
        assert isinstance(curae.record_fact(Noted(asked), own, at(2)), curae.Ignored)
    assert isinstance(curae.record_fact(Noted(Needs()), loaded, at(2)), curae.Ignored)


@pytest.mark.parametrize("actor", ["patient", "PATIENT", "NOBODY", "", None])
def test_revoked_fact_with_an_unknown_actor_raises(actor: object) -> None:
    with pytest.raises(curae.ArgumentError, match=r"one of Actor\.APP, ") as raised:
        curae.Revoked(ID, cast("curae.Actor", actor))
    assert raised.value.argument == "actor"


# --- Laws ------------------------------------------------------------------------------------

facts = st.sampled_from(
    [
        *(fact for fact, _ in EVERY),
        *(curae.Revoked(ID, actor) for actor in curae.Actor),
        curae.Authorized(ID, at(300)),
    ]
)


@st.composite
def snapshots(draw: st.DrawFn) -> curae.Snapshot:
    connection = draw(connections())
    successor = draw(st.none() | st.just(subjects.recovered(STANDINGS["REVOKED"][0], at(31), 2)))
    session = draw(st.sampled_from([WAITING, subjects.LANDED]))
    other = pending(number=5)
    return curae.Snapshot(
        connection=connection,
        successor=successor,
        head=successor,
        following=() if successor is None else (successor,),
        session=session,
        binding=draw(st.sampled_from([None, LIMITED, subjects.ACTIVE, subjects.TOMBSTONED])),
        connections=draw(st.sampled_from([(), (connection,), (connection, other)])),
    )


@given(facts, snapshots(), instants)
def test_law_11_refused_or_ignored_facts_change_nothing(
    fact: Fact, snapshot: curae.Snapshot, now: datetime
) -> None:
    stored = [
        snapshot.connection,
        *snapshot.following,
        *snapshot.connections,
        snapshot.session,
        snapshot.binding,
    ]
    answer = curae.record_fact(fact, snapshot, now)
    if isinstance(answer, curae.Done):
        changes = answer.value
        # A tombstone of a tombstoned account begins an era without an event.
        assert changes.events or isinstance(fact, curae.Tombstoned)
        assert any(write.after != write.before for write in changes.writes)
        for write in changes.writes:
            assert write.before in stored, "a write names the stored value before it"
    else:
        changes = answer.value if isinstance(answer, curae.Ignored) else Changes()
        laws.check_nothing_changed((), changes.writes, changes)


@given(facts, snapshots(), instants)
def test_law_14_facts_are_deterministic_and_mutate_no_input(
    fact: Fact, snapshot: curae.Snapshot, now: datetime
) -> None:
    before = deepcopy((fact, snapshot))
    laws.check_deterministic(curae.record_fact, fact, snapshot, now)
    assert (fact, snapshot) == before
