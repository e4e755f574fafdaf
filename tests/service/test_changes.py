"""Changes of a decision: ids of events, versions of writes, live heads."""

from __future__ import annotations

from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Status
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import SuccessorsLive
from curae_lifecycle.service.events import Event, EventKind, Subject
from curae_lifecycle.service.writes import ConnectionWrite
from tests.support import subjects
from tests.support.server import LIMITED
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid
from tests.support.subjects import LANDED, WAITING

# --- Ids of events ----------------------------------------------------------------------------

ELSEWHERE = [
    attrs.evolve(COORDINATE, environment=Environment.TEST),
    attrs.evolve(COORDINATE, app_id=AppId("app-2")),
    attrs.evolve(COORDINATE, customer_account_id=CustomerAccountId(uuid(99))),
    attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2")),
    # If the members were only joined, these two would be equal.
    attrs.evolve(COORDINATE, app_id=AppId("a"), app_user_id=AppUserId('b", "c')),
    attrs.evolve(COORDINATE, app_id=AppId('a", "b'), app_user_id=AppUserId("c")),
]
SUBJECTS: list[Subject] = [
    pending(),
    pending(number=2),
    WAITING,
    attrs.evolve(WAITING, id=SessionId(uuid(1002))),
    LIMITED,
    *(attrs.evolve(LIMITED, coordinate=each) for each in ELSEWHERE),
]


def test_event_id_differs_by_kind_subject_and_instant() -> None:
    events = [
        Event(kind, subject, now)
        for kind in EventKind
        for subject in SUBJECTS
        for now in (START, START + TICK, at(1))
    ]
    assert len({each.id for each in events}) == len(events)
    for each in events:
        assert str(UUID(each.id)) == each.id


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (pending(), apply_trigger(pending(), "PATIENT", at(1))),
        (pending(), attrs.evolve(pending(), version=9)),
        (WAITING, LANDED),
        (LIMITED, attrs.evolve(LIMITED, version=2)),
        (LIMITED, subjects.ACTIVE),
        (LIMITED, attrs.evolve(LIMITED, user_id=UserId("u-2"), generation=2)),
    ],
)
def test_event_id_is_the_same_in_any_state_of_its_subject(one: Subject, same: Subject) -> None:
    for kind in EventKind:
        assert Event(kind, one, at(1)).id == Event(kind, same, at(1)).id


def test_event_ids_equal_the_ones_already_published() -> None:
    # Receivers store these ids, so they must never change.
    assert [Event(EventKind.CONNECTION_REVOKED, each, at(1)).id for each in SUBJECTS[::2][:3]] == [
        "8cbf5ba5-e7e0-58da-8f1b-2b6ec6455e80",
        "7c620007-0170-58b7-a35e-762970ede79a",
        "61f63e7f-507e-5eb2-ada5-949fe7a7971d",
    ]


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_binding_event_id_is_a_digest_that_differs_by_app_user(one: str, other: str) -> None:
    ids = []
    for text in (one, other):
        coordinate = attrs.evolve(COORDINATE, app_user_id=AppUserId(text))
        bound = attrs.evolve(LIMITED, coordinate=coordinate, user_id=UserId(f"user {text}"))
        ids.append(Event(EventKind.BINDING_TOMBSTONED, bound, START).id)
        assert UUID(ids[-1]).version == 5, "a digest: it does not reveal the user"
    assert (ids[0] == ids[1]) is (one == other)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_binding_event_has_no_subject_id_but_other_events_do(subject: Subject) -> None:
    event = Event(EventKind.CONNECTION_CREATED, subject, START)
    if isinstance(subject, LimitedAccountAppBinding):
        assert (event.subject_id, event.coordinate) == (None, subject.coordinate)
    else:
        assert event.subject_id == subject.id
        assert event.coordinate == COORDINATE


# --- Versions ---------------------------------------------------------------------------------


def test_bump_version_changes_only_the_version() -> None:
    for connection in (pending(), apply_trigger(pending(), "APP", at(1))):
        held = changes.bump_version(connection)
        assert held == attrs.evolve(connection, version=connection.version + 1)
        assert held.updated_at == connection.updated_at
    assert changes.bump_version(LIMITED) == attrs.evolve(LIMITED, version=2)


def test_each_trigger_increments_the_version_of_a_connection() -> None:
    connection = pending()
    versions = [connection.version]
    for number, trigger in enumerate(("authorize", "require action", "expire", "PLATFORM"), 1):
        connection = apply_trigger(connection, trigger, at(number))
        versions.append(connection.version)
    assert connection.status is Status.REVOKED
    assert versions == [1, 2, 3, 4, 5]


def test_revocation_without_one_outcome_per_connection_raises() -> None:
    answer = revoke(pending(), at(1), actor=Actor.APP, era=None)
    assert len(changes.revocation_changes((pending(),), (answer,), has_head=True).writes) == 1
    with pytest.raises(ValueError, match="shorter"):
        changes.revocation_changes((pending(), pending(number=2)), (answer,), has_head=True)
    with pytest.raises(ValueError, match="longer"):
        changes.revocation_changes((pending(),), (answer, answer), has_head=True)


# --- Live successors --------------------------------------------------------------------------


def test_chain_head_is_written_and_reported_only_if_it_is_live() -> None:
    first = subjects.needing_action(pending(), at(1))
    second = subjects.needing_action(subjects.recovered(first, at(2), 2), at(3))
    third = subjects.recovered(second, at(4), 3)
    for head in (second, third):
        named = changes.live_head_changes(first, head, at(5), era=None)
        held = ConnectionWrite(head, changes.bump_version(head))
        assert named == changes.Changes((held,), (SuccessorsLive(first.id, head.id),))
    over = apply_trigger(third, "APP", at(5))
    for absent in (None, first, over):
        assert changes.live_head_changes(first, absent, at(5), era=None) == changes.NO_CHANGES
    assert changes.live_head_changes(first, third, at(34) - TICK, era=None) != changes.NO_CHANGES
    assert changes.live_head_changes(first, third, at(34), era=None) == changes.NO_CHANGES, (
        "its page has expired"
    )


def test_chain_head_ended_by_a_tombstone_is_not_live() -> None:
    first = subjects.needing_action(pending(), at(1))
    head = subjects.recovered(first, at(2), 2)
    assert changes.live_head_changes(first, head, at(3), era=None) != changes.NO_CHANGES
    assert changes.live_head_changes(first, head, at(3), era=at(2)) == changes.NO_CHANGES
