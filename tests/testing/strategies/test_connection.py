"""Tests that the moves of a connection's history are drawn from the whole domain, and played."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import ConnectionId, parse_app_user_id, parse_uuid
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import START, TICK, ConnectionHistory, connection
from curae_lifecycle.testing.strategies.connection import FACT_TEMPLATES, FactTemplate
from tests.support.drawing import drawn_examples
from tests.support.eighth import ConsentWithdrawn
from tests.support.strategies import at, pending, uuid
from tests.testing.strategies.drawing import HOUR, reached
from tests.testing.strategies.test_values import check_connection

MINUTE: Final = timedelta(minutes=1)
HALF_HOUR: Final = timedelta(minutes=30)
AUTHORIZE: Final = FactTemplate(Authorized)
REQUIRE: Final = FactTemplate(ActionRequired, field_values=(("reason", "mfa_required"),))
EXPIRE: Final = FactTemplate(Expired)
RECONNECT: Final = None


@attrs.frozen
class Faxed(fact.ConnectionFact):
    """A fact of an extension, whose one member has no example."""

    connection_id: ConnectionId
    happened_at: datetime | None = None

    kind = "connection.fax"
    members = (Member("connectionId", lambda value: parse_uuid("connectionId", value)),)

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        raise NotImplementedError


def revoke(actor: Actor) -> FactTemplate:
    return FactTemplate(Revoked, field_values=(("actor", actor),))


def play(*moves: tuple[timedelta, FactTemplate]) -> ConnectionHistory:
    return connection._play(pending(), [*moves])


def play_chain(*moves: tuple[timedelta, FactTemplate | None, int]) -> tuple[Connection, ...]:
    return connection._play_chain(pending(number=0x1F), [*moves])


# --- Facts ----------------------------------------------------------------------------------


def test_fact_template_without_a_delay_omits_happened_at() -> None:
    first = pending()
    template = FactTemplate(Authorized, field_values=(("expires_at", HOUR),))
    assert template.fact(first, at(5)) == Authorized(first.id, expires_at=at(65))


def test_fact_template_with_a_delay_dates_the_fact_in_the_past() -> None:
    first = pending()
    template = FactTemplate(Authorized, MINUTE, (("expires_at", HOUR),))
    late = Authorized(first.id, expires_at=at(64), happened_at=at(4))
    assert template.fact(first, at(5)) == late
    reason = FactTemplate(ActionRequired, MINUTE, (("reason", "portal_login"),))
    assert reason.fact(first, at(5)) == ActionRequired(first.id, "portal_login", happened_at=at(4))


def test_fact_template_dates_no_fact_before_connection_creation() -> None:
    first = pending()
    fact = FactTemplate(Expired, HALF_HOUR).fact(first, at(5))
    assert fact == Expired(first.id, happened_at=START)


def test_fact_templates_cover_each_combination_of_field_values() -> None:
    ends = (None, HOUR, HALF_HOUR, TICK)
    wanted = [
        *(FactTemplate(Authorized, MINUTE, (("expires_at", end),)) for end in ends),
        *(
            FactTemplate(ActionRequired, MINUTE, (("reason", reason),))
            for reason in ("portal_login", "mfa_required")
        ),
        FactTemplate(Expired, MINUTE),
        *(FactTemplate(Revoked, MINUTE, (("actor", actor),)) for actor in Actor),
    ]
    made = [*connection._templates(MINUTE)]
    assert sorted(map(repr, made)) == sorted(map(repr, wanted))
    delays = {each.delay for each in FACT_TEMPLATES}
    assert delays == {timedelta(0), TICK, MINUTE, HALF_HOUR}
    assert len(FACT_TEMPLATES) == len(delays) * len(made)


def test_extension_fact_has_a_template_if_it_can_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FACTS", (ConsentWithdrawn, Faxed))
    assert [*connection._templates(MINUTE)] == [FactTemplate(Faxed, MINUTE)]


def test_drawn_facts_about_a_connection_come_from_templates() -> None:
    first, now = pending(), at(60)
    facts = drawn_examples(draw.facts_about(first, now), count=60)
    assert {*facts} <= {each.fact(first, now) for each in FACT_TEMPLATES}
    assert {type(each) for each in facts} == {Authorized, ActionRequired, Expired, Revoked}
    assert {None, at(59), at(30)} <= {each.happened_at for each in facts}


def test_apply_fact_refuses_authorizing_a_superseded_connection() -> None:
    older, newer = play_chain((HALF_HOUR, RECONNECT, 0))
    answer = draw.apply_fact(older, fact=Authorized(older.id), now=at(31), successor=newer)
    assert isinstance(answer, Refused)
    assert answer.problem.code is ProblemCode.CONNECTION_SUPERSEDED
    assert newer.id in answer.problem.details.values()
    alone = draw.apply_fact(older, Authorized(older.id), at(31))
    assert isinstance(alone, Refused)
    assert alone.problem.code is ProblemCode.HANDOFF_LAPSED


def test_apply_fact_returns_its_connection_not_the_successor() -> None:
    older, newer = play_chain((HALF_HOUR, RECONNECT, 0))
    fact = Revoked(older.id, Actor.PATIENT)
    answer = draw.apply_fact(older, fact=fact, now=at(31), successor=newer)
    assert isinstance(answer, Done)
    assert (answer.value.id, answer.value.status) == (older.id, Status.REVOKED)
    assert "connection.revoke.lapsed" in answer.rules
    again = draw.apply_fact(
        answer.value, fact=Revoked(older.id, Actor.APP), now=at(32), successor=newer
    )
    assert isinstance(again, Ignored)
    assert again.value is answer.value
    assert "connection.revoke.revoked" in again.rules


def test_revoking_a_successor_leaves_its_predecessor_unchanged() -> None:
    older, newer = play_chain((HALF_HOUR, RECONNECT, 0))
    revoked = play((timedelta(0), revoke(Actor.APP))).connection
    gone = attrs.evolve(revoked, identity=older.identity)
    answer = draw.apply_fact(
        gone, fact=Revoked(gone.id, Actor.PATIENT), now=at(31), successor=newer
    )
    assert isinstance(answer, Done)
    assert answer.value is gone


def test_apply_fact_accepts_a_connection_made_after_a_tombstone() -> None:
    identity = attrs.evolve(pending().identity, era=START)
    answer = draw.apply_fact(
        attrs.evolve(pending(), identity=identity), Authorized(identity.id), START
    )
    assert isinstance(answer, Done)
    assert (answer.value.status, answer.value.identity.era) == (Status.ACTIVE, START)


# --- Connections ----------------------------------------------------------------------------


@pytest.mark.slow
def test_new_connections_are_drawn_pending_at_the_start_instant() -> None:
    drawn = drawn_examples(draw.new_connections(), count=20)
    for each in drawn:
        check_connection(each)
        identity = each.identity
        assert (each.status, each.version) == (Status.PENDING, 1)
        assert identity.created_at == each.updated_at == START
        assert each.handoff_deadline == START + HALF_HOUR
        assert (identity.predecessor_id, identity.era) == (None, None)
        user, account = identity.coordinate.app_user_id, identity.coordinate.customer_account_id
        assert parse_app_user_id(user) == user
        assert parse_uuid("customer_account_id", account) == account
    for name in ("id", "coordinate", "data_packages"):
        assert len({getattr(each.identity, name) for each in drawn}) > 1


@pytest.mark.slow
def test_drawn_history_has_up_to_5_facts_within_three_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_play", lambda *played: played)
    first = pending()
    # A history is its moves here, since `_play` is replaced.
    drawn: list[object] = [*drawn_examples(draw.connection_histories(first), count=100)]
    lengths = set[int]()
    for each in drawn:
        assert isinstance(each, tuple)
        created, moves = each
        assert created is first
        lengths.add(len(moves))
        for offset, template in moves:
            assert timedelta(0) <= offset <= 3 * HOUR
            assert template in FACT_TEMPLATES
    assert (min(lengths), max(lengths)) == (0, 5)


@pytest.mark.slow
def test_drawn_histories_vary_the_connection_and_obey_max_steps() -> None:
    drawn = drawn_examples(draw.connection_histories(max_steps=1), count=20)
    assert len({each.created.id for each in drawn}) > 1
    assert {len(each.steps) for each in drawn} == {0, 1}


def test_connection_history_applies_its_facts_in_time_order() -> None:
    created = pending()
    past = play((2 * MINUTE, EXPIRE), (MINUTE, AUTHORIZE), (2 * MINUTE, AUTHORIZE), (HOUR, REQUIRE))
    assert past.created == created
    assert [each.now for each in past.steps] == [at(1), at(2), at(2), at(60)]
    assert [each.fact for each in past.steps] == [
        Authorized(created.id),
        Expired(created.id),
        Authorized(created.id),
        ActionRequired(created.id, "mfa_required"),
    ]
    assert [type(each.answer) for each in past.steps] == [Done, Done, Refused, Ignored]
    statuses = [each.connection.status for each in past.steps]
    assert statuses == [Status.ACTIVE, Status.EXPIRED, Status.EXPIRED, Status.EXPIRED]
    before = created
    for step in past.steps:
        assert step.answer == draw.apply_fact(before, step.fact, step.now)
        before = step.connection
    assert past.connection is before
    assert past.snapshots == (created, *(each.connection for each in past.steps))
    assert play().connection == play().created == created
    assert play().snapshots == (created,)


# --- Chains ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_chain_has_up_to_8_facts_and_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pending()
    monkeypatch.setattr(connection, "new_connections", lambda **_: st.just(first))
    monkeypatch.setattr(connection, "_play_chain", lambda *played: played)
    drawn: list[object] = [*drawn_examples(draw.chains(), count=110)]
    lengths, places, kinds = set[int](), set[int](), set[object]()
    for each in drawn:
        assert isinstance(each, tuple)
        created, moves = each
        assert created is first
        lengths.add(len(moves))
        for offset, template, place in moves:
            assert timedelta(0) <= offset <= 3 * HOUR
            assert template in (RECONNECT, *FACT_TEMPLATES)
            kinds.add(template and template.kind)
            # The fixed reconnects of the longest chain are all of the newest.
            if template is not RECONNECT:
                places.add(place)
    assert (min(lengths), max(lengths)) == (0, 8)
    assert places == {0, 1, 2, 3}
    assert kinds == {None, Authorized, ActionRequired, Expired, Revoked}
    lapses = [(number * HALF_HOUR, RECONNECT, 0) for number in range(1, 7)]
    longest: object = (first, lapses)
    assert reached(draw.chains(), lambda each: each == longest) == longest


@pytest.mark.slow
def test_max_steps_limits_the_facts_and_reconnects_of_a_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_play_chain", lambda _, moves: len(moves))
    drawn: list[object] = [*drawn_examples(draw.chains(max_steps=2), count=40)]
    assert {*drawn} == {0, 1, 2}


@pytest.mark.slow
def test_drawn_chain_numbers_connections_and_links_predecessors() -> None:
    longer = reached(draw.chains(), lambda chain: len(chain) > 1)
    for chain in (longer, *drawn_examples(draw.chains(), count=20)):
        older: Connection | None = None
        for position, each in enumerate(chain, 1):
            check_connection(each)
            assert each.identity.position == position
            assert each.identity.predecessor_id == (None if older is None else older.id)
            older = each


@pytest.mark.slow
def test_drawn_connections_are_valid_and_include_successors() -> None:
    for each in drawn_examples(draw.connections(), count=30):
        check_connection(each)
    successor = reached(draw.connections(), lambda each: each.identity.position > 1)
    assert successor.identity.predecessor_id is not None
    changed = reached(draw.connections(), lambda each: each.version > 1)
    assert changed.status is not Status.PENDING or changed.identity.predecessor_id


@pytest.mark.slow
def test_drawn_connections_are_revoked_by_a_later_tombstone() -> None:
    last = START + 3 * HOUR
    drawn = drawn_examples(draw.connections(era=START), count=100)
    assert {each.identity.era for each in drawn} == {START}
    assert {standing(each, last, era=START) for each in drawn} >= {Standing.ACTIVE, Standing.LAPSED}
    assert {standing(each, last, era=last) for each in drawn} == {Standing.REVOKED}
    assert any(each.identity.position > 1 for each in drawn)


def test_drawn_connection_is_the_last_of_its_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = play_chain(*((number * HALF_HOUR, RECONNECT, 0) for number in range(1, 4)))
    history = play((MINUTE, AUTHORIZE))
    monkeypatch.setattr(connection, "chains", lambda **_: st.just(chain))
    monkeypatch.setattr(connection, "connection_histories", lambda **_: st.just(history))
    drawn = drawn_examples(draw.connections(), count=10)
    assert sorted(each.version for each in drawn) == [1, 2]
    assert {each.id for each in drawn} == {chain[-1].id, history.created.id}


def test_chain_applies_its_reconnects_in_time_order() -> None:
    # The last two moves are at one instant, and stay in order.
    chain = play_chain(
        (HOUR, RECONNECT, 0), (HALF_HOUR, RECONNECT, 0), (HOUR, AUTHORIZE, 0), (HOUR, RECONNECT, 1)
    )
    assert [each.id for each in chain] == [uuid(0x1F), uuid(0x20), uuid(0x21)]
    assert [each.identity.created_at for each in chain] == [at(0), at(30), at(60)]
    assert [each.status for each in chain] == [Status.PENDING, Status.PENDING, Status.ACTIVE]
    assert [each.identity.position for each in chain] == [1, 2, 3]
    assert chain[-1].handoff_deadline == at(90)
    assert chain[-1].identity.era is None


def test_too_large_nth_newest_selects_the_oldest_of_a_chain() -> None:
    older, newer = play_chain((HALF_HOUR, RECONNECT, 3), (HOUR, revoke(Actor.APP), 3))
    assert (older.status, newer.status) == (Status.REVOKED, Status.PENDING)


def test_chain_reissues_the_page_of_a_pending_successor() -> None:
    first, second, third = play_chain(
        (HALF_HOUR, RECONNECT, 0), (HOUR, RECONNECT, 0), (HOUR + MINUTE, RECONNECT, 1)
    )
    assert [each.version for each in (first, second, third)] == [1, 1, 2]
    assert (third.updated_at, third.handoff_deadline) == (at(61), at(91))


def test_chain_is_unchanged_by_a_refused_reconnect() -> None:
    first = pending(number=0x1F)
    assert play_chain((MINUTE, RECONNECT, 0)) == (first,)
    lapsed = play_chain((HALF_HOUR, RECONNECT, 0), (MINUTE + HALF_HOUR, AUTHORIZE, 0))
    refused = play_chain(
        (HALF_HOUR, RECONNECT, 0), (MINUTE + HALF_HOUR, AUTHORIZE, 0), (HOUR, RECONNECT, 1)
    )
    assert refused == lapsed


def test_chain_refuses_to_authorize_a_recovered_connection() -> None:
    # The page was finished in time, and its connection was recovered before that is known.
    late = FactTemplate(Authorized, HALF_HOUR)
    lapse = ((HALF_HOUR, RECONNECT, 0),)
    assert play_chain(*lapse, (HALF_HOUR + MINUTE, late, 1)) == play_chain(*lapse)
    [alone] = play_chain((HALF_HOUR + MINUTE, late, 0))
    assert alone.status is Status.ACTIVE


@pytest.mark.parametrize(
    ("actor", "place", "wanted"),
    [
        (Actor.PATIENT, 2, "RRR"),
        (Actor.PATIENT, 1, "PRR"),
        (Actor.PATIENT, 0, "PPR"),
        (Actor.APP, 2, "RPP"),
        (Actor.APP, 1, "PRP"),
    ],
)
def test_patient_revokes_successors_too_but_app_does_not(
    actor: Actor, place: int, wanted: str
) -> None:
    chain = play_chain(
        (HALF_HOUR, RECONNECT, 0), (HOUR, RECONNECT, 0), (HOUR + MINUTE, revoke(actor), place)
    )
    assert "".join(each.status[0] for each in chain) == wanted
    assert [each.id for each in chain] == [uuid(0x1F), uuid(0x20), uuid(0x21)]
    assert {each.revoked_at for each in chain if each.revoked_at} == {at(61)}


@pytest.mark.parametrize("length", [2, 3, 4])
def test_app_revoking_the_oldest_changes_no_newer_connection(length: int) -> None:
    lapses = [(number * HALF_HOUR, RECONNECT, 0) for number in range(1, length)]
    chain = play_chain(*lapses, (2 * HOUR, revoke(Actor.APP), length - 1))
    assert chain[0].status is Status.REVOKED
    assert chain[1:] == play_chain(*lapses)[1:]
