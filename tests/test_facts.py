"""Facts and commands (section 2), completeHandoff and the binding's facts (section 3)."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, reconnect
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.values import ConnectionId, SessionId, UserId
from curae_lifecycle.service.changes import (
    AccessEnded,
    BindingWrite,
    Changes,
    ConnectionWrite,
    HandoffCancelled,
    SessionWrite,
    SuccessorsLive,
)
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import (
    Fact,
    FactAnswer,
    FactNeeds,
    FactSnapshot,
    fact_needs,
    record_fact,
)
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.testing import laws
from tests.strategies import (
    COORDINATE,
    START,
    TICK,
    apply_event,
    at,
    connections,
    instants,
    next_action,
    pending,
    uuid,
)

ID = ConnectionId(uuid(1))
SESSION = SessionId(uuid(1001))
USER = UserId("u-1")
REASON = "portal_login"


def recovered(connection: Connection, now: datetime, number: int) -> Connection:
    answer = reconnect(
        connection, None, now, id=ConnectionId(uuid(number)), next_action=next_action(now)
    )
    assert isinstance(answer, Done)
    assert isinstance(answer.value, Minted)
    return answer.value.connection


def told(answer: FactAnswer) -> str:
    """The outcome, and the code or the events with it."""
    match answer:
        case Done(changes):
            return " ".join(["done", *(event.kind for event in changes.events)])
        case Ignored(changes):
            assert changes == Changes()
            return "ignored"
        case Refused(problem):
            return f"refused {problem.code}"


# --- One connection ------------------------------------------------------------------------

STANDINGS: dict[str, tuple[Connection, datetime]] = {
    "PENDING": (pending(), at(20)),
    "LAPSED": (pending(), at(30)),
    "ACTIVE": (apply_event(pending(), "authorize", at(10)), at(20)),
    "ACTION_REQUIRED": (
        apply_event(apply_event(pending(), "authorize", at(10)), "require action", at(11)),
        at(20),
    ),
    "EXPIRED": (apply_event(pending(), "authorize", at(10)), at(60)),
    "EXPIRED, recorded": (
        apply_event(apply_event(pending(), "authorize", at(10)), "expire", at(11)),
        at(20),
    ),
    "REVOKED": (apply_event(pending(), "PATIENT", at(10)), at(20)),
}
FACTS: dict[str, Fact] = {
    "authorize": Authorized(ID),
    "require_action": ActionRequired(ID, REASON),
    "expire": Expired(ID),
    "revoke": Revoked(ID, Actor.UPSTREAM),
}
COLUMNS = list(STANDINGS)
SPEC = {
    "authorize": [
        "done connection.authorized",
        "refused HANDOFF_LAPSED",
        "ignored",
        "refused CONNECTION_NOT_PENDING",
        "refused CONNECTION_NOT_PENDING",
        "refused CONNECTION_NOT_PENDING",
        "refused CONNECTION_NOT_PENDING",
    ],
    "require_action": [
        "done connection.action_required",
        "ignored",
        "done connection.action_required",
        "ignored",
        "ignored",
        "ignored",
        "ignored",
    ],
    "expire": [
        "ignored",
        "ignored",
        "done connection.expired",
        "done connection.expired",
        "done connection.expired",
        "ignored",
        "ignored",
    ],
    "revoke": ["done connection.revoked"] * 6 + ["ignored"],
}
"""The table of section 2, row by row; EXPIRED twice, before and after it was written down."""


@pytest.mark.parametrize("fact", SPEC)
@pytest.mark.parametrize("standing", COLUMNS)
def test_a_fact_about_a_connection_answers_as_the_table_says(fact: str, standing: str) -> None:
    connection, now = STANDINGS[standing]
    answer = record_fact(FACTS[fact], FactSnapshot(connection), now)
    assert told(answer) == SPEC[fact][COLUMNS.index(standing)]
    if isinstance(answer, Done):
        (write,) = answer.value.writes
        assert isinstance(write, ConnectionWrite)
        assert write.before is connection
        assert write.is_head is (fact == "authorize")
        assert write.after.updated_at == now


ENDINGS = [
    ("authorize", "PENDING", ()),
    ("require_action", "PENDING", (HandoffCancelled(ID),)),
    ("require_action", "ACTIVE", (AccessEnded(ID, at(20)),)),
    ("expire", "ACTIVE", (AccessEnded(ID, at(20)),)),
    ("revoke", "PENDING", (HandoffCancelled(ID),)),
    ("revoke", "LAPSED", (HandoffCancelled(ID),)),
    ("revoke", "ACTIVE", (AccessEnded(ID, at(20)),)),
    ("revoke", "REVOKED", ()),
]


@pytest.mark.parametrize(("fact", "standing", "effects"), ENDINGS)
def test_what_a_fact_ends_the_server_tears_down(
    fact: str, standing: str, effects: tuple[object, ...]
) -> None:
    connection, now = STANDINGS[standing]
    answer = record_fact(FACTS[fact], FactSnapshot(connection), now)
    assert not isinstance(answer, Refused)
    assert answer.value.effects == effects


LATE: list[tuple[Fact, Connection, dict[str, object]]] = [
    (
        Authorized(ID, at(90), at(29)),
        pending(),
        {"status": Status.ACTIVE, "authorized_at": at(29), "expires_at": at(90)},
    ),
    (Revoked(ID, Actor.UPSTREAM, at(5)), pending(), {"status": Status.REVOKED}),
    (ActionRequired(ID, REASON, at(5)), pending(), {"action_required_reason": REASON}),
    (Expired(ID, at(59)), STANDINGS["ACTIVE"][0], {"status": Status.EXPIRED, "expires_at": at(60)}),
]


@pytest.mark.parametrize(("fact", "connection", "members"), LATE)
def test_a_late_fact_is_judged_when_it_happened_and_stamped_when_it_is_recorded(
    fact: Fact, connection: Connection, members: dict[str, object]
) -> None:
    answer = record_fact(fact, FactSnapshot(connection), at(70))
    assert isinstance(answer, Done)
    (write,) = answer.value.writes
    assert isinstance(write, ConnectionWrite)
    assert write.after.updated_at == at(70)
    for member, value in members.items():
        assert getattr(write.after, member) == value
    if isinstance(fact, Revoked):
        assert (write.after.revoked_at, write.after.revoked_by) == (at(5), Actor.UPSTREAM)
    assert [event.at for event in answer.value.events] == [at(70)]


def test_whoever_was_recovered_cannot_be_authorized_late() -> None:
    lapsed = pending()
    following = (recovered(lapsed, at(31), 2),)
    answer = record_fact(Authorized(ID, None, at(29)), FactSnapshot(lapsed, following), at(40))
    assert isinstance(answer, Refused)
    assert answer.problem.details == {"connectionId": ID, "nextConnectionId": uuid(2)}
    assert told(answer) == "refused CONNECTION_SUPERSEDED"


CHAIN = {
    "APP": [True, False, False],
    "UPSTREAM": [True, False, False],
    "PATIENT": [True, True, True],
    "PLATFORM": [True, True, True],
}
"""How far a revocation reaches [O]: the named connection, its successor, the next one."""


@pytest.mark.parametrize("actor", CHAIN)
def test_a_patient_or_the_platform_ends_the_chain_and_an_app_one_id(actor: str) -> None:
    first = apply_event(pending(), "require action", at(1))
    second = apply_event(recovered(first, at(2), 2), "require action", at(3))
    third = apply_event(recovered(second, at(4), 3), "authorize for ever", at(5))
    answer = record_fact(
        Revoked(ID, Actor[actor], at(6)), FactSnapshot(first, (second, third)), at(7)
    )
    assert isinstance(answer, Done)
    reached = [each for each, hit in zip((first, second, third), CHAIN[actor], strict=True) if hit]
    assert [write.before for write in answer.value.writes] == reached
    heads = [isinstance(write, ConnectionWrite) and write.is_head for write in answer.value.writes]
    assert heads == ([False, False, True] if len(reached) == 3 else [False])
    assert [event.subject_id for event in answer.value.events] == [each.id for each in reached]
    ended = [AccessEnded(each.id, at(6)) for each in reached]
    alive = [] if len(reached) == 3 else [SuccessorsLive(ID, (second.id, third.id))]
    assert list(answer.value.effects) == ended + alive
    assert len(answer.rules) == len(reached)


def test_a_patient_who_revokes_a_revoked_id_still_ends_its_successor() -> None:
    first = apply_event(pending(), "APP", START)
    second = recovered(first, at(1), 2)
    answer = record_fact(Revoked(ID, Actor.PATIENT), FactSnapshot(first, (second,)), at(2))
    assert isinstance(answer, Done)
    assert [write.before for write in answer.value.writes] == [second]
    assert answer.value.effects == (HandoffCancelled(second.id),)


def test_a_chain_whose_last_was_revoked_before_must_still_end_with_it() -> None:
    first = apply_event(pending(), "require action", at(1))
    second = apply_event(recovered(first, at(2), 2), "APP", at(3))
    answer = record_fact(Revoked(ID, Actor.PATIENT), FactSnapshot(first, (second,)), at(4))
    assert isinstance(answer, Done)
    moved, relied_on = answer.value.writes
    assert (moved.before, relied_on) == (first, ConnectionWrite(second, second, is_head=True))


# --- Sessions and bindings -----------------------------------------------------------------

WAITING = CuraeConnectSession(
    SESSION,
    COORDINATE,
    EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
    Handoff.AWAITED,
    START,
    at(30),
    None,
    None,
)
LANDED = attrs.evolve(WAITING, handoff=Handoff.LANDED, landed_at=at(1), user_id=USER)


def bound(state: AccountState, user: str = "u-1") -> LimitedAccountAppBinding:
    return LimitedAccountAppBinding(COORDINATE, UserId(user), state, 1)


ACTIVE = bound(AccountState.ACTIVE)
LIMITED = bound(AccountState.LIMITED)
BURIED = bound(AccountState.TOMBSTONED)


def test_a_hand_off_lands_session_and_binding_together() -> None:
    answer = record_fact(
        HandoffCompleted(SESSION, USER, at(29)), FactSnapshot(session=WAITING), at(40)
    )
    assert isinstance(answer, Done)
    assert told(answer) == "done connect_session.landed binding.signed_up"
    landed = attrs.evolve(WAITING, handoff=Handoff.LANDED, landed_at=at(29), user_id=USER)
    assert answer.value.writes == (SessionWrite(WAITING, landed), BindingWrite(None, ACTIVE))


def test_a_second_session_that_lands_for_the_bound_user_is_done() -> None:
    answer = record_fact(
        HandoffCompleted(SESSION, USER), FactSnapshot(session=WAITING, binding=ACTIVE), at(2)
    )
    assert isinstance(answer, Done)
    assert told(answer) == "done connect_session.landed"
    assert [write.before for write in answer.value.writes] == [WAITING]


COMPLETED: list[tuple[CuraeConnectSession, LimitedAccountAppBinding | None, str, str]] = [
    (LANDED, ACTIVE, "u-1", "ignored"),
    (LANDED, ACTIVE, "u-2", "refused BINDING_CONFLICT"),
    (WAITING, ACTIVE, "u-2", "refused BINDING_CONFLICT"),
    (WAITING, LIMITED, "u-1", "refused BINDING_CHANGED"),
    (WAITING, BURIED, "u-1", "refused BINDING_CHANGED"),
    (attrs.evolve(WAITING, expires_at=at(2)), None, "u-1", "refused SESSION_EXPIRED"),
    (
        attrs.evolve(WAITING, path=EntryPath.SILENT_LIMITED, handoff=Handoff.NOT_REQUIRED),
        LIMITED,
        "u-1",
        "refused HANDOFF_NOT_REQUIRED",
    ),
    (
        attrs.evolve(LANDED, path=EntryPath.EXISTING_ACTIVE_HANDOFF),
        ACTIVE,
        "u-1",
        "refused HANDOFF_NOT_REQUIRED",
    ),
]


@pytest.mark.parametrize(("session", "binding", "user", "expected"), COMPLETED)
def test_a_hand_off_that_cannot_land_changes_nothing(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    user: str,
    expected: str,
) -> None:
    snapshot = FactSnapshot(session=session, binding=binding)
    assert told(record_fact(HandoffCompleted(SESSION, UserId(user)), snapshot, at(2))) == expected


BINDING_FACTS: list[tuple[Fact, LimitedAccountAppBinding | None, str]] = [
    (Graduated(COORDINATE), None, "refused BINDING_CHANGED"),
    (Graduated(COORDINATE), LIMITED, "done binding.graduated"),
    (Graduated(COORDINATE, USER), LIMITED, "done binding.graduated"),
    (Graduated(COORDINATE, UserId("u-2")), LIMITED, "refused BINDING_CONFLICT"),
    (Graduated(COORDINATE), ACTIVE, "ignored"),
    (Graduated(COORDINATE, UserId("u-2")), ACTIVE, "refused BINDING_CONFLICT"),
    (Graduated(COORDINATE), BURIED, "refused BINDING_CHANGED"),
    (Tombstoned(COORDINATE), None, "ignored"),
    (Tombstoned(COORDINATE), LIMITED, "done binding.tombstoned"),
    (Tombstoned(COORDINATE), ACTIVE, "done binding.tombstoned"),
    (Tombstoned(COORDINATE), BURIED, "ignored"),
]


@pytest.mark.parametrize(("fact", "binding", "expected"), BINDING_FACTS)
def test_a_fact_about_a_binding_answers_as_the_table_says(
    fact: Fact, binding: LimitedAccountAppBinding | None, expected: str
) -> None:
    answer = record_fact(fact, FactSnapshot(binding=binding), at(2))
    assert told(answer) == expected
    if isinstance(answer, Done):
        state = AccountState.ACTIVE if isinstance(fact, Graduated) else AccountState.TOMBSTONED
        assert answer.value.writes == (BindingWrite(binding, bound(state)),)


# --- What is loaded, what is unknown, what is a mistake --------------------------------------

EVERY: list[tuple[Fact, FactNeeds]] = [
    *((fact, FactNeeds(connection=ID)) for fact in FACTS.values()),
    (HandoffCompleted(SESSION, USER), FactNeeds(session=SESSION)),
    (Graduated(COORDINATE), FactNeeds(binding=COORDINATE)),
    (Tombstoned(COORDINATE), FactNeeds(binding=COORDINATE)),
]


@pytest.mark.parametrize(("fact", "needed"), EVERY)
def test_what_a_fact_needs_loaded(fact: Fact, needed: FactNeeds) -> None:
    assert fact_needs(fact) == needed


@pytest.mark.parametrize("fact", [fact for fact, needed in EVERY if needed.binding is None])
def test_a_fact_about_an_unknown_id_is_refused(fact: Fact) -> None:
    assert told(record_fact(fact, FactSnapshot(), at(1))) == "refused NOT_FOUND"


@pytest.mark.parametrize("fact", [fact for fact, _ in EVERY])
def test_an_instant_that_cannot_be_is_a_mistake_whatever_is_stored(fact: Fact) -> None:
    for snapshot in (FactSnapshot(), FactSnapshot(pending(), session=WAITING, binding=LIMITED)):
        with pytest.raises(ArgumentError, match="happened_at"):
            record_fact(attrs.evolve(fact, happened_at=at(1) + TICK), snapshot, at(1))
        with pytest.raises(ArgumentError, match="happened_at"):
            record_fact(attrs.evolve(fact, happened_at=START.replace(tzinfo=None)), snapshot, at(1))
        with pytest.raises(ArgumentError, match="now"):
            record_fact(fact, snapshot, START.replace(tzinfo=None))


def test_a_fact_from_before_its_subject_is_a_mistake() -> None:
    snapshot = FactSnapshot(pending(), session=WAITING)
    for fact, needed in EVERY:
        if needed.binding is None:
            with pytest.raises(ArgumentError, match="happened_at"):
                record_fact(attrs.evolve(fact, happened_at=START - TICK), snapshot, at(1))


@pytest.mark.parametrize("standing", COLUMNS)
def test_an_end_that_is_not_after_the_authorization_is_a_mistake_whatever_is_stored(
    standing: str,
) -> None:
    connection, now = STANDINGS[standing]
    for stored in (connection, None):
        with pytest.raises(ArgumentError, match="expires_at"):
            record_fact(Authorized(ID, at(5), at(5)), FactSnapshot(stored), now)


# --- Laws ------------------------------------------------------------------------------------

facts = st.sampled_from(
    [
        *(fact for fact, _ in EVERY),
        *(Revoked(ID, actor) for actor in Actor),
        Authorized(ID, at(300)),
    ]
)


@st.composite
def snapshots(draw: st.DrawFn) -> FactSnapshot:
    connection = draw(connections())
    following = draw(st.sampled_from([(), (recovered(STANDINGS["REVOKED"][0], at(31), 2),)]))
    session = draw(st.sampled_from([WAITING, LANDED]))
    return FactSnapshot(
        connection, following, session, draw(st.sampled_from([None, LIMITED, ACTIVE, BURIED]))
    )


@given(facts, snapshots(), instants)
def test_law_11_a_fact_that_is_refused_or_ignored_changes_nothing(
    fact: Fact, snapshot: FactSnapshot, now: datetime
) -> None:
    stored = [
        snapshot.connection,
        *snapshot.following,
        snapshot.session,
        snapshot.binding,
    ]
    answer = record_fact(fact, snapshot, now)
    if isinstance(answer, Done):
        changes = answer.value
        assert changes.events
        assert any(write.after != write.before for write in changes.writes)
        for write in changes.writes:
            assert write.before in stored, "a write says what was there before"
    else:
        told = answer.value if isinstance(answer, Ignored) else Changes()
        laws.check_nothing_changed((), told.writes, told)


@given(facts, snapshots(), instants)
def test_law_14_the_same_fact_gives_the_same_answer_and_leaves_its_inputs_alone(
    fact: Fact, snapshot: FactSnapshot, now: datetime
) -> None:
    before = deepcopy((fact, snapshot))
    laws.check_deterministic(record_fact, fact, snapshot, now)
    assert (fact, snapshot) == before
