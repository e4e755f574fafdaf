"""Changes that each fact makes to a connection, a session or a binding."""

from __future__ import annotations

from datetime import datetime

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import AccessEnded, HandoffCancelled, SuccessorsLive
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, to_connection_fact_answer
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.members import ParsedMembers
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from tests.proof.reference import tables
from tests.proof.reference.facts import outcome as decided
from tests.support import subjects
from tests.support.server import ID, LIMITED
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending
from tests.support.subjects import OF_A_CONNECTION, REASON, SESSION, STANDINGS, USER, WAITING


@pytest.mark.parametrize("fact", OF_A_CONNECTION)
@pytest.mark.parametrize("standing", STANDINGS)
def test_each_connection_fact_matches_the_trigger_table(fact: str, standing: str) -> None:
    connection, now = STANDINGS[standing]
    answer = curae.record_fact(OF_A_CONNECTION[fact], curae.Snapshot(connection=connection), now)
    assert outcome(answer) == expected(fact, standing.partition(",")[0], connection.status)
    if isinstance(answer, curae.Done):
        (write,) = answer.value.writes
        assert isinstance(write, ConnectionWrite)
        assert write.before is connection
        assert write.after.version == connection.version + 1
        assert write.after.updated_at == now


EVENTS = {
    "authorize": "connection.authorized",
    "require_action": "connection.action_required",
    "expire": "connection.expired",
    "revoke": "connection.revoked",
}


def expected(fact: str, standing: str, status: str) -> str:
    """Return the outcome by the table, with its problem code or its event."""
    verdict = tables.CONNECTION[fact, standing]
    if verdict == tables.RECORDS_EXPIRY:
        verdict = tables.EXPIRY_RECORD[status,]
    word, code = decided(verdict)
    return " ".join([word, code or (EVENTS[fact] if word == "done" else "")]).strip()


def outcome(answer: FactAnswer) -> str:
    """Return the outcome with its problem code or its events."""
    match answer:
        case curae.Done(changed):
            return " ".join(["done", *(event.kind for event in changed.events)])
        case curae.Ignored(unchanged):
            assert unchanged == changes.Changes()
            return "ignored"
        case curae.Refused(problem):
            return f"refused {problem.code}"


ENDINGS = [
    ("authorize", "PENDING", ()),
    ("require_action", "PENDING", ()),
    ("require_action", "ACTIVE", (AccessEnded(ID, at(20)),)),
    ("expire", "ACTIVE", (AccessEnded(ID, at(20)),)),
    ("revoke", "PENDING", (HandoffCancelled(ID),)),
    ("revoke", "LAPSED", (HandoffCancelled(ID),)),
    ("revoke", "ACTIVE", (AccessEnded(ID, at(20)),)),
    ("revoke", "REVOKED", ()),
]


@pytest.mark.parametrize(("fact", "standing", "effects"), ENDINGS)
def test_fact_lists_ended_access_or_handoff_among_its_effects(
    fact: str, standing: str, effects: tuple[object, ...]
) -> None:
    connection, now = STANDINGS[standing]
    answer = curae.record_fact(OF_A_CONNECTION[fact], curae.Snapshot(connection=connection), now)
    assert not isinstance(answer, curae.Refused)
    assert answer.value.effects == effects


LATE: list[tuple[Fact, Connection, dict[str, object]]] = [
    (
        curae.Authorized(ID, at(90), at(29)),
        pending(),
        {"status": Status.ACTIVE, "authorized_at": at(29), "expires_at": at(90)},
    ),
    (curae.Revoked(ID, curae.Actor.UPSTREAM, at(5)), pending(), {"status": Status.REVOKED}),
    (
        curae.ActionRequired(ID, REASON, at(59)),
        STANDINGS["ACTIVE"][0],
        {"status": Status.ACTION_REQUIRED, "action_required_reason": REASON},
    ),
    # Before the authorization, too: the stored status counts.
    (
        curae.ActionRequired(ID, REASON, at(0)),
        STANDINGS["ACTIVE"][0],
        {"status": Status.ACTION_REQUIRED, "action_required_reason": REASON},
    ),
    (
        curae.Expired(ID, at(59)),
        STANDINGS["ACTIVE"][0],
        {"status": Status.EXPIRED, "expires_at": at(60)},
    ),
]


@pytest.mark.parametrize(("fact", "connection", "members"), LATE)
def test_late_fact_uses_happened_at_and_sets_updated_at_to_now(
    fact: Fact, connection: Connection, members: dict[str, object]
) -> None:
    answer = curae.record_fact(fact, curae.Snapshot(connection=connection), at(70))
    assert isinstance(answer, curae.Done)
    (write,) = answer.value.writes
    assert isinstance(write, ConnectionWrite)
    assert write.after.updated_at == at(70)
    for member, value in members.items():
        assert getattr(write.after, member) == value
    if isinstance(fact, curae.Revoked):
        assert (write.after.revoked_at, write.after.revoked_by) == (at(5), curae.Actor.UPSTREAM)
    assert [event.at for event in answer.value.events] == [at(70)]
    if isinstance(fact, curae.ActionRequired | curae.Expired):
        assert answer.value.effects == (AccessEnded(ID, at(70)),)


def test_late_authorization_of_a_recovered_connection_is_refused() -> None:
    lapsed = pending()
    second = subjects.recovered(lapsed, at(31), 2)
    third = subjects.recovered(apply_trigger(second, "APP", at(32)), at(33), 3)
    for head in (second, third):
        answer = curae.record_fact(
            curae.Authorized(ID, None, at(29)),
            curae.Snapshot(connection=lapsed, successor=second, head=head),
            at(40),
        )
        assert isinstance(answer, curae.Refused)
        assert answer.problem.details == {
            "connectionId": ID,
            "nextConnectionId": second.id,
            "headConnectionId": head.id,
        }
        assert outcome(answer) == "refused CONNECTION_SUPERSEDED"


@pytest.mark.parametrize(("cell", "reach"), tables.REVOCATION_REACH.items())
def test_revocation_reach_of_each_actor_matches_the_table(cell: tuple[str], reach: str) -> None:
    (actor,) = cell
    first = subjects.needing_action(pending(), at(1))
    second = subjects.needing_action(subjects.recovered(first, at(2), 2), at(3))
    third = apply_trigger(subjects.recovered(second, at(4), 3), "authorize for ever", at(5))
    fact = curae.Revoked(ID, curae.Actor[actor], at(6))
    answer = curae.record_fact(fact, loaded(fact, first, second, third), at(7))
    assert isinstance(answer, curae.Done)
    reached = [first] if reach == "that connection" else [first, second, third]
    # A head reported as live gets a version bump, so that a concurrent end conflicts.
    held = [] if len(reached) == 3 else [third]
    assert [write.before for write in answer.value.writes] == reached + held
    assert [event.subject_id for event in answer.value.events] == [each.id for each in reached]
    ended = [AccessEnded(each.id, at(6)) for each in reached]
    alive = [] if len(reached) == 3 else [SuccessorsLive(ID, third.id)]
    assert list(answer.value.effects) == ended + alive
    assert answer.rules[0] == f"revocation-reach.{actor.lower()}"
    assert len(answer.rules) == 1 + len(reached)


def loaded(fact: Fact, *chain: Connection) -> curae.Snapshot:
    """Return what a store loads for a fact about the first connection of a chain."""
    if fact.needs().chain is not None:
        return curae.Snapshot(connection=chain[0], following=chain[1:])
    successor, head = (chain[1], chain[-1]) if chain[1:] else (None, None)
    return curae.Snapshot(connection=chain[0], successor=successor, head=head)


def test_patient_revoking_revoked_connection_ends_its_successor() -> None:
    first = apply_trigger(pending(), "APP", START)
    second = subjects.recovered(first, at(1), 2)
    fact = curae.Revoked(ID, curae.Actor.PATIENT)
    answer = curae.record_fact(fact, loaded(fact, first, second), at(2))
    assert isinstance(answer, curae.Done)
    assert [write.before for write in answer.value.writes] == [second]
    assert answer.value.effects == (HandoffCancelled(second.id),)


def test_patient_revocation_bumps_version_of_revoked_chain_head() -> None:
    first = subjects.needing_action(pending(), at(1))
    second = apply_trigger(subjects.recovered(first, at(2), 2), "APP", at(3))
    fact = curae.Revoked(ID, curae.Actor.PATIENT)
    answer = curae.record_fact(fact, loaded(fact, first, second), at(4))
    assert isinstance(answer, curae.Done)
    moved, held = answer.value.writes
    assert (moved.before, held) == (first, ConnectionWrite(second, changes.bump_version(second)))


def test_patient_revocation_skips_revoked_part_of_a_long_chain() -> None:
    chain = [apply_trigger(pending(), "APP", START)]
    for number in range(2, 400):
        made = subjects.recovered(chain[-1], at(number), number)
        chain.append(apply_trigger(made, "APP", at(number)) if number < 399 else made)
    fact = curae.Revoked(ID, curae.Actor.PATIENT)
    answer = curae.record_fact(fact, loaded(fact, *chain), at(400))
    assert isinstance(answer, curae.Done)
    (write,) = answer.value.writes
    assert write.before is chain[-1]
    # The rule of the reach, and one for each connection.
    assert len(answer.rules) == 1 + len(chain)


def test_upstream_revocation_effect_names_only_a_live_successor() -> None:
    first = subjects.needing_action(pending(), at(1))
    second = subjects.recovered(first, at(2), 2)
    fact = curae.Revoked(ID, curae.Actor.UPSTREAM)
    for now, alive in ((at(32) - TICK, True), (at(32), False)):
        answer = curae.record_fact(fact, loaded(fact, first, second), now)
        assert isinstance(answer, curae.Done)
        named = SuccessorsLive(ID, second.id)
        assert (named in answer.value.effects) is alive, "its hosted page has expired by then"


# --- Sessions and bindings -----------------------------------------------------------------


COMPLETED: list[tuple[CuraeConnectSession, LimitedAccountAppBinding | None, str, str]] = [
    (subjects.LANDED, subjects.ACTIVE, "u-1", "ignored"),
    (subjects.LANDED, subjects.ACTIVE, "u-2", "refused BINDING_CONFLICT"),
    (WAITING, subjects.ACTIVE, "u-2", "refused BINDING_CONFLICT"),
    (WAITING, LIMITED, "u-1", "refused BINDING_CHANGED"),
    (WAITING, subjects.TOMBSTONED, "u-1", "refused BINDING_CHANGED"),
    (attrs.evolve(WAITING, expires_at=at(2)), None, "u-1", "refused SESSION_EXPIRED"),
    (
        attrs.evolve(WAITING, path=EntryPath.SILENT_LIMITED, handoff=HandoffState.NOT_REQUIRED),
        LIMITED,
        "u-1",
        "refused HANDOFF_NOT_REQUIRED",
    ),
    (
        attrs.evolve(subjects.LANDED, path=EntryPath.EXISTING_ACTIVE_HANDOFF),
        subjects.ACTIVE,
        "u-1",
        "refused HANDOFF_NOT_REQUIRED",
    ),
]


@pytest.mark.parametrize(("session", "binding", "user", "expected"), COMPLETED)
def test_handoff_that_cannot_be_completed_is_ignored_or_refused(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    user: str,
    expected: str,
) -> None:
    snapshot = curae.Snapshot(session=session, binding=binding)
    assert (
        outcome(
            curae.record_fact(curae.HandoffCompleted(SESSION, curae.UserId(user)), snapshot, at(2))
        )
        == expected
    )


def copied(reported_at: datetime) -> LimitedAccountAppBinding:
    """Return a binding whose last tombstone was reported with an instant."""
    return attrs.evolve(subjects.TOMBSTONED, era=at(1), tombstone_reported_at=reported_at)


BINDING_FACTS: list[tuple[Fact, LimitedAccountAppBinding | None, str]] = [
    (curae.Graduated(COORDINATE), None, "refused BINDING_CHANGED"),
    (curae.Graduated(COORDINATE), LIMITED, "done binding.graduated"),
    (curae.Graduated(COORDINATE, USER), LIMITED, "done binding.graduated"),
    (
        curae.Graduated(COORDINATE, curae.UserId("u-2")),
        LIMITED,
        "refused BINDING_CONFLICT",
    ),
    (curae.Graduated(COORDINATE), subjects.ACTIVE, "ignored"),
    (curae.Graduated(COORDINATE, curae.UserId("u-2")), subjects.ACTIVE, "refused BINDING_CONFLICT"),
    (curae.Graduated(COORDINATE), subjects.TOMBSTONED, "refused BINDING_CHANGED"),
    (curae.Tombstoned(COORDINATE), None, "done binding.tombstoned"),
    (curae.Tombstoned(COORDINATE), LIMITED, "done binding.tombstoned"),
    (curae.Tombstoned(COORDINATE), subjects.ACTIVE, "done binding.tombstoned"),
    (curae.Tombstoned(COORDINATE, at(1)), copied(at(1)), "ignored"),
    (curae.Tombstoned(COORDINATE), copied(at(1)), "done"),
    (curae.Tombstoned(COORDINATE, at(2)), copied(at(1)), "done"),
]


@pytest.mark.parametrize(("fact", "binding", "expected"), BINDING_FACTS)
def test_each_binding_fact_matches_the_binding_table(
    fact: Fact, binding: LimitedAccountAppBinding | None, expected: str
) -> None:
    answer = curae.record_fact(fact, curae.Snapshot(binding=binding), at(2))
    assert outcome(answer) == expected
    if isinstance(answer, curae.Done):
        state = (
            AccountState.ACTIVE if isinstance(fact, curae.Graduated) else AccountState.TOMBSTONED
        )
        (write,) = answer.value.writes
        assert isinstance(write, BindingWrite)
        user_id = None if binding is None else USER
        assert (write.before, write.after.state) == (binding, state)
        assert (write.after.user_id, write.after.version) == (user_id, 2 if binding else 1)


PAGE_URL = "https://connect.example/1"
GIVEN: dict[str, object] = {
    "connectionId": ID,
    "sessionId": SESSION,
    "reason": REASON,
    "actor": curae.Actor.PATIENT,
    "userId": USER,
    "environment": COORDINATE.environment,
    "appId": COORDINATE.app_id,
    "customerAccountId": COORDINATE.customer_account_id,
    "appUserId": COORDINATE.app_user_id,
    "expiresAt": at(60),
    "happenedAt": at(1),
    "pageUrl": PAGE_URL,
}
READ: list[Fact] = [
    curae.Authorized(ID, at(60), at(1), page_url=PAGE_URL),
    curae.ActionRequired(ID, REASON, at(1), page_url=PAGE_URL),
    curae.Expired(ID, at(1), page_url=PAGE_URL),
    curae.Revoked(ID, curae.Actor.PATIENT, at(1), page_url=PAGE_URL),
    curae.HandoffCompleted(SESSION, USER, at(1), page_url=PAGE_URL),
    curae.Graduated(COORDINATE, USER, at(1), page_url=PAGE_URL),
    curae.Tombstoned(COORDINATE, at(1)),
]


@pytest.mark.parametrize("fact", READ, ids=lambda fact: fact.kind)
def test_each_fact_is_built_from_its_parsed_members(fact: Fact) -> None:
    names = {member.name for member in fact.members}
    assert type(fact).from_members(ParsedMembers({name: GIVEN[name] for name in names})) == fact


def test_every_fact_type_has_a_test_of_its_parsed_members() -> None:
    assert [type(fact) for fact in READ] == list(FACTS)


def test_ignored_or_refused_fact_has_the_rules_of_its_trigger() -> None:
    refused = curae.Refused(Problem(ProblemCode.INTERNAL), ("rule",))
    kind = EventKind.CONNECTION_EXPIRED
    assert to_connection_fact_answer(kind, pending(), refused) is refused
    ignored = to_connection_fact_answer(kind, pending(), curae.Ignored(pending(), ("rule",)))
    assert ignored == curae.Ignored(changes.NO_CHANGES, ("rule",))
