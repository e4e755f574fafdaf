"""Tests that steps of traffic are played as by a server."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis.vendor.pretty import pretty

from curae_lifecycle.rules.access import Denied, Granted
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId, Coordinate, UserId
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import NotModified, Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.snapshot import LandedHandoff
from curae_lifecycle.service.writes import PageWrite
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import (
    CALLERS,
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    AccessQuestion,
    Exchange,
    RecordedFact,
    traffic,
    values,
)
from curae_lifecycle.testing.strategies.connection import FACT_TEMPLATES, FactTemplate
from curae_lifecycle.testing.strategies.traffic import PACKAGES, SpecialStep, StepKind
from curae_lifecycle.web.respond import respond
from tests.testing.strategies.drawing import HOUR
from tests.testing.strategies.playing import (
    AUTHORIZE,
    BUCKETS,
    LAPSED,
    UNKNOWN,
    USER,
    USER_2,
    exchange_of,
    fact_of,
    play,
    question_of,
    status_of,
    step,
)

# --- Requests -------------------------------------------------------------------------------


@pytest.mark.parametrize("buckets", [(), BUCKETS])
def test_traffic_request_is_decided_and_answered_as_by_a_server(
    buckets: tuple[Bucket, ...],
) -> None:
    turns = [step(CreateConnection, TICK, user=2, caller=1)]
    run = traffic.play_traffic(buckets, turns, last=(step(GetConnection, HOUR, caller=1),))
    assert run.buckets == buckets
    assert len(run.exchanges) == 2
    secret, caller = CALLERS[1]
    for each in run.exchanges:
        assert each.call.settings.buckets == buckets
        assert each.call.caller == caller
        assert each.needs == each.call.needs
        assert each.request == draw.format_request(each.call, f"Bearer {secret}")
        decision = decide(each.call, snapshot=each.snapshot, now=each.now, new_ids=each.new_ids)
        assert each.decision == decision
        assert each.answer == respond(decision)
    created, shown = run.exchanges
    assert created.call.operation == CreateConnection(USER_2, PACKAGES)
    assert (created.now, shown.now) == (START + TICK, START + TICK + HOUR)
    assert shown.call.operation == GetConnection(created.new_ids.connection_id)
    assert shown.snapshot.connection is not None
    assert shown.snapshot.connection.identity.created_at == created.now
    assert (status_of(created), status_of(shown)) == (201, 200)


def test_ids_and_next_action_of_a_step_come_from_its_number() -> None:
    first, second = map(exchange_of, play(step(CreateConnection), step(Initiate, HOUR)))
    assert first.new_ids.connection_id == values.uuid_of(1)
    assert first.new_ids.next_action.url == "https://connect.example/1"
    assert second.new_ids.connection_id == values.uuid_of(2)
    assert second.new_ids.session_id == values.uuid_of(1002)
    assert second.new_ids.user_id == values.user_of(1002)
    assert second.new_ids.next_action.url == "https://connect.example/2"
    assert second.new_ids.next_action.expires_at == START + HOUR + NEXT_ACTION_LIFETIME


def test_step_repeating_a_nonzero_key_number_is_a_replay() -> None:
    played = play(
        step(CreateConnection, key=1),
        step(CreateConnection, key=1),
        step(CreateConnection, key=2),
        step(CreateConnection),
        step(CreateConnection),
    )
    calls = [exchange_of(each) for each in played]
    assert [each.answer.replayed for each in calls] == [False, True, False, False, False]
    assert [each.call.key for each in calls[:3]] == ["k-1", "k-1", "k-2"]
    assert len({each.call.key for each in calls}) == 4


def test_sixth_request_of_one_instant_gets_429_from_the_bucket() -> None:
    steps = [step(CreateConnection) for _ in range(6)]
    limited = traffic.play_traffic(BUCKETS, [*steps, step(CreateConnection, HOUR)])
    assert [status_of(each) for each in limited.interactions] == [*[201] * 5, 429, 201]
    assert {status_of(each) for each in play(*steps)} == {201}


@pytest.mark.parametrize(("nth_newest", "created_by"), [(0, 3), (1, 2), (2, 1), (9, 1)])
def test_step_is_about_the_nth_newest_connection(nth_newest: int, created_by: int) -> None:
    creates = [step(CreateConnection) for _ in range(3)]
    *_, shown = play(*creates, step(GetConnection, nth_newest=nth_newest))
    assert exchange_of(shown).call.operation == GetConnection(
        ConnectionId(values.uuid_of(created_by))
    )
    assert status_of(shown) == 200


def test_get_step_before_any_connection_is_answered_with_404() -> None:
    [shown] = play(step(GetConnection))
    assert status_of(shown) == 404


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        (SpecialStep.SIGN_UP, Initiate(USER, prefer_signup=True)),
        (Initiate, Initiate(USER)),
        (GetAccountState, GetAccountState(USER)),
        (SpecialStep.ALL_KNOWN, GetAccountState(USER, frozenset(AccountState))),
        (StartGraduation, StartGraduation(USER)),
        (SpecialStep.LANDED, GetConnection(UNKNOWN)),
        (Reconnect, Reconnect(UNKNOWN)),
        (Revoke, Revoke(UNKNOWN)),
    ],
)
def test_step_sends_the_operation_of_its_kind(kind: StepKind, operation: Operation) -> None:
    [played] = play(step(kind))
    assert exchange_of(played).call.operation == operation


def test_account_state_already_known_to_the_app_gets_a_304() -> None:
    [played] = play(step(SpecialStep.ALL_KNOWN))
    assert isinstance(exchange_of(played).decision.reply, NotModified)


def test_get_after_a_completed_handoff_shows_connection_active() -> None:
    created, landed, unknown = play(
        step(CreateConnection, TICK),
        step(SpecialStep.LANDED, HOUR),
        step(GetConnection, HOUR),
    )
    assert exchange_of(created).snapshot.landed_handoff is None
    found = exchange_of(landed)
    assert found.snapshot.landed_handoff == LandedHandoff(START + TICK, None)
    assert b'"status":"ACTIVE"' in found.answer.response.body
    assert exchange_of(unknown).snapshot.landed_handoff is None
    [missing] = play(step(SpecialStep.LANDED))
    assert exchange_of(missing).snapshot.landed_handoff is None


# --- Facts ----------------------------------------------------------------------------------


def test_traffic_fact_is_recorded_as_by_a_server() -> None:
    created, recorded, again, shown = play(
        step(CreateConnection),
        step(AUTHORIZE, TICK),
        step(AUTHORIZE, HOUR),
        step(GetConnection, HOUR),
    )
    connection_id = exchange_of(created).new_ids.connection_id
    for each in map(fact_of, (recorded, again)):
        assert each.fact == Authorized(connection_id)
        assert each.needs == each.fact.needs()
        assert each.answer == record_fact(each.fact, each.snapshot, each.now)
    assert (recorded.now, again.now) == (START + TICK, START + HOUR)
    assert isinstance(fact_of(recorded).answer, Done)
    assert isinstance(fact_of(again).answer, Ignored)
    connection = exchange_of(shown).snapshot.connection
    assert connection is not None
    assert connection.status is Status.ACTIVE
    assert connection.authorized_at == START + TICK


def test_happened_at_of_a_delayed_fact_is_step_time_minus_delay() -> None:
    late = FactTemplate(Authorized, delay=TICK)
    _, recorded = play(step(CreateConnection), step(late, HOUR))
    assert fact_of(recorded).fact.happened_at == START + HOUR - TICK


def test_connection_fact_before_any_connection_is_left_out() -> None:
    assert play(step(AUTHORIZE), step(SpecialStep.ACCESS)) == ()


def test_user_fact_names_its_user_and_session_fact_its_session() -> None:
    coordinate = CALLERS[2][1].coordinate(USER_2)
    initiated, completed, graduated, ended = play(
        step(SpecialStep.SIGN_UP, user=2, caller=2),
        step(HandoffCompleted, user=2, caller=2),
        step(Graduated, user=2, caller=2),
        step(Tombstoned, user=2, caller=2),
    )
    session_id = exchange_of(initiated).new_ids.session_id
    assert fact_of(completed).fact == HandoffCompleted(session_id, values.user_of(2))
    assert fact_of(graduated).fact == Graduated(coordinate, values.user_of(2))
    assert fact_of(ended).fact == Tombstoned(coordinate)
    answers = [fact_of(each).answer for each in (completed, graduated, ended)]
    assert [type(each) for each in answers] == [Done, Ignored, Done]


@pytest.mark.parametrize(
    ("nth_newest", "user"),
    [
        (0, (CALLERS[1][1].coordinate(USER_2), "u-1002")),
        (1, (CALLERS[0][1].coordinate(USER), "u-1001")),
        (2, (CALLERS[0][1].coordinate(USER), "u-1001")),
    ],
)
def test_graduation_step_is_for_the_nth_newest_limited_user(
    nth_newest: int, user: tuple[Coordinate, UserId]
) -> None:
    *_, graduated = play(
        step(Initiate),
        step(Initiate, user=2, caller=1),
        step(Initiate),
        step(Graduated, nth_newest=nth_newest, user=2),
    )
    assert fact_of(graduated).fact == Graduated(*user)
    assert isinstance(fact_of(graduated).answer, Done)


def test_graduation_step_names_its_own_user_if_none_is_limited() -> None:
    [graduated] = play(step(Graduated, user=2, caller=1))
    coordinate = CALLERS[1][1].coordinate(USER_2)
    assert fact_of(graduated).fact == Graduated(coordinate, values.user_of(2))


@pytest.mark.parametrize(("key", "page_url"), [(0, None), (1, "https://connect.example/2")])
def test_graduation_step_names_its_page_with_key_1_but_not_key_0(
    key: int, page_url: str | None
) -> None:
    *_, graduated = play(step(Initiate), step(StartGraduation), step(Graduated, key=key))
    fact = fact_of(graduated).fact
    assert isinstance(fact, Graduated)
    assert fact.page_url == page_url
    assert isinstance(fact_of(graduated).answer, Done)


def test_session_fact_is_about_the_nth_newest_session() -> None:
    _, _, newest, older = play(
        step(SpecialStep.SIGN_UP),
        step(SpecialStep.SIGN_UP, user=2),
        step(HandoffCompleted),
        step(HandoffCompleted, nth_newest=1),
    )
    facts = [fact_of(each).fact for each in (newest, older)]
    assert [each.session_id for each in facts if isinstance(each, HandoffCompleted)] == [
        values.uuid_of(1002),
        values.uuid_of(1001),
    ]
    [unknown] = play(step(HandoffCompleted))
    fact = fact_of(unknown).fact
    assert isinstance(fact, HandoffCompleted)
    assert fact.session_id == values.uuid_of(9999)


def test_tombstone_revokes_the_connections_of_its_user_at_once() -> None:
    played = play(
        step(CreateConnection),
        step(AUTHORIZE),
        step(SpecialStep.ACCESS),
        step(Tombstoned, TICK),
        step(SpecialStep.ACCESS, HOUR),
        step(GetConnection, HOUR),
    )
    assert isinstance(question_of(played[2]).answer, Granted)
    assert isinstance(question_of(played[4]).answer, Denied)
    swept = question_of(played[4]).connection
    assert (swept.status, swept.revoked_at) == (Status.REVOKED, START + TICK)


PAGES: Final = (
    step(CreateConnection),
    step(Reconnect, LAPSED),
    step(Reconnect, LAPSED, nth_newest=1),
)
"""Steps after which two hosted pages about the newest connection were handed out."""


@pytest.mark.parametrize(
    ("key", "page_url"),
    [(0, None), (1, "https://connect.example/3"), (2, "https://connect.example/2")],
)
def test_fact_step_with_key_n_names_the_nth_newest_hosted_page(
    key: int, page_url: str | None
) -> None:
    *_, recorded = play(*PAGES, step(AUTHORIZE, LAPSED, key=key))
    fact = fact_of(recorded).fact
    assert isinstance(fact, Authorized)
    assert fact.page_url == page_url


@pytest.mark.parametrize(("key", "is_named"), [(1, True), (2, False)])
def test_fact_step_with_too_large_page_number_names_no_page(key: int, *, is_named: bool) -> None:
    _, recorded = play(step(CreateConnection), step(AUTHORIZE, key=key))
    found = fact_of(recorded)
    assert isinstance(found.fact, Authorized)
    assert found.fact.page_url == ("https://connect.example/1" if is_named else None)
    assert isinstance(found.answer, Done)
    pages = [each for each in found.answer.value.writes if isinstance(each, PageWrite)]
    assert bool(pages) is is_named


def test_fact_about_a_session_names_its_page() -> None:
    _, recorded = play(step(SpecialStep.SIGN_UP), step(HandoffCompleted, key=1))
    fact = fact_of(recorded).fact
    assert isinstance(fact, HandoffCompleted)
    assert fact.page_url == "https://connect.example/1"


def test_fact_of_a_subject_without_a_hosted_page_names_no_page() -> None:
    _, _, ended = play(step(Initiate), step(StartGraduation), step(Tombstoned, key=1))
    assert isinstance(fact_of(ended).answer, Done)
    *_, foreign = play(step(CreateConnection), step(Graduated, key=1))
    assert isinstance(foreign, RecordedFact)
    assert isinstance(foreign.fact, Graduated)
    assert foreign.fact.page_url is None


def test_expired_hosted_page_is_dropped_one_step_after_expiry() -> None:
    late = 2 * NEXT_ACTION_LIFETIME
    _, recorded = play(step(CreateConnection), step(AUTHORIZE, late, key=1))
    assert fact_of(recorded).snapshot.page is not None
    _, _, recorded = play(
        step(CreateConnection), step(GetConnection, late), step(AUTHORIZE, late, key=1)
    )
    assert fact_of(recorded).snapshot.page is None


# --- Access questions -----------------------------------------------------------------------


@pytest.mark.parametrize(("user", "package"), [(1, "labs"), (2, "imaging")])
def test_user_number_of_an_access_step_selects_its_data_package(user: int, package: str) -> None:
    question = question_of(
        play(
            step(CreateConnection, user=2),
            step(AUTHORIZE),
            step(SpecialStep.ACCESS, TICK, user=user),
        )[-1]
    )
    assert (question.now, question.package) == (START + TICK, package)
    assert isinstance(question.connection, Connection)
    assert question.connection.status is Status.ACTIVE
    assert isinstance(question.answer, Granted if package in PACKAGES else Denied)


# --- The run --------------------------------------------------------------------------------


def test_final_steps_are_timed_from_the_last_step_before_them() -> None:
    turns = [step(GetConnection, HOUR), step(CreateConnection, TICK)]
    last = (step(SpecialStep.ACCESS, TICK), step(AUTHORIZE, 2 * TICK))
    run = traffic.play_traffic((), turns, last)
    assert [each.now - START for each in run.interactions] == [
        TICK,
        HOUR,
        HOUR + TICK,
        HOUR + 2 * TICK,
    ]
    assert [type(each) for each in run.interactions] == [
        *(Exchange, Exchange, AccessQuestion, RecordedFact)
    ]
    alone = traffic.play_traffic((), [], (step(CreateConnection, TICK),))
    assert [each.now for each in alone.interactions] == [START + TICK]


def test_exchanges_of_traffic_hold_its_requests_but_no_facts() -> None:
    run = traffic.play_traffic((), [step(CreateConnection), step(AUTHORIZE), step(GetConnection)])
    first, _, last = run.interactions
    assert run.exchanges == (first, last)


def test_repr_of_an_exchange_names_its_last_rule() -> None:
    exchange = exchange_of(play(step(Initiate))[0])
    assert exchange.answer.rules[-1] == "binding.provision.unlinked"
    assert "answer=binding.provision.unlinked)" in repr(exchange)
    assert pretty(exchange) == repr(exchange)


@pytest.mark.parametrize("kind", FACTS)
def test_every_fact_type_has_a_step_or_a_template_not_both(kind: type[Fact]) -> None:
    templates = {each.kind for each in FACT_TEMPLATES}
    assert (kind in templates) != (kind in traffic._FACTS)
