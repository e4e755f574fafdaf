"""Tests that idempotency records are drawn from their documented domain, and histories are played."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordStanding,
    RecordState,
    parse_idempotency_key,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import START, TICK, RecordAct, RecordHistory, record
from tests.support.drawing import drawn_examples
from tests.support.specimens import OWNER
from tests.testing.strategies.drawing import HOUR
from tests.testing.strategies.test_plain_values import API_KEY_IDS

DAY: Final = timedelta(days=1)
LEASE: Final = timedelta(minutes=1)
NOW: Final = timedelta(0)
KEPT: Final = {200, 201, 404, 409}
EXECUTE, UNKNOWN = LostLeaseAction

KEY: Final = RecordKey(OWNER, IdempotencyKey("k-1"))
MINE: Final = fingerprint(Initiate(AppUserId("user-1")))
OTHERS: Final = fingerprint(Initiate(AppUserId("user-2")))
RESPONSE: Final = Response(201, (("content-type", "application/json"),), b"{}")

Move = tuple[timedelta, RecordAct, LostLeaseAction, int]


def play(*moves: tuple[timedelta, RecordAct]) -> RecordHistory:
    """Play moves of the newest attempt, after whose lost lease a retry is executed."""
    return play_moves(*((offset, act, EXECUTE, 0) for offset, act in moves))


def play_moves(*moves: Move) -> RecordHistory:
    return record._play(KEY, fingerprint_pair=(MINE, OTHERS), response=RESPONSE, moves=list(moves))


# --- Domains --------------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_fingerprints_have_names_of_known_operations() -> None:
    drawn = drawn_examples(draw.fingerprints())
    assert set(map(type, drawn)) == {Fingerprint}
    assert {each.operation for each in drawn} <= {kind.rule.name for kind in OPERATIONS}
    assert len(set(drawn)) > 10


@pytest.mark.slow
def test_drawn_record_key_has_an_owner_and_an_idempotency_key() -> None:
    keys = drawn_examples(draw.record_keys())
    assert set(map(type, keys)) == {RecordKey}
    assert {each.owner.api_key_id for each in keys} == API_KEY_IDS
    assert all(parse_idempotency_key(each.key) == each.key for each in keys)


@pytest.mark.slow
def test_responses_are_drawn_with_every_status_kept_for_replay() -> None:
    responses = drawn_examples(draw.responses(), count=100)
    assert set(map(type, responses)) == {Response}
    assert {each.status for each in responses} == KEPT
    assert {each.headers for each in responses} == {
        (("content-type", "application/json"),),
        (("x-hop", "1"), ("x-hop", "2")),
    }
    sizes = {len(each.body) for each in responses}
    assert (min(sizes), max(sizes)) == (0, 8)


def test_response_references_have_every_status_kept_for_replay() -> None:
    assert set(drawn_examples(draw.response_references())) == {
        ResponseReference(status, "vault/1") for status in KEPT
    }


@pytest.mark.slow
def test_drawn_attempt_is_the_first_second_or_third() -> None:
    attempts = drawn_examples(draw.attempts())
    assert {each.token for each in attempts} == {1, 2, 3}
    for each in attempts:
        assert isinstance(each, Attempt)
        assert isinstance(each.key, RecordKey)
        assert isinstance(each.fingerprint, Fingerprint)
        assert each.first_used_at == START
        assert each.started_at == START + timedelta(seconds=each.token - 1)
    assert len({each.key for each in attempts}) > 3
    assert len({each.fingerprint for each in attempts}) > 3


@pytest.mark.slow
def test_idempotency_records_are_drawn_in_every_state() -> None:
    records = drawn_examples(draw.records(), count=200)
    assert set(map(type, records)) == {Record}
    assert {each.state for each in records} == set(RecordState)


@pytest.mark.slow
@pytest.mark.parametrize("standing", RecordStanding)
def test_drawn_idempotency_record_has_the_requested_standing(standing: RecordStanding) -> None:
    drawn = drawn_examples(draw.records_in_standing(standing), count=25)
    spans, lost_leases = set[timedelta](), set[LostLeaseAction]()
    for made, now in drawn:
        assert record_standing(made, now) is standing
        started_at = START + timedelta(seconds=made.token - 1)
        spans.add(now - (made.first_used_at if standing is RecordStanding.ABSENT else started_at))
        lost_leases.add(made.lost_lease)
    begin = {
        RecordStanding.LEASE_OVER: LEASE,
        RecordStanding.UNKNOWN: LEASE,
        RecordStanding.ABSENT: DAY,
    }.get(standing, NOW)
    assert spans == {begin, begin + TICK, begin + LEASE - TICK}
    assert lost_leases == {
        RecordStanding.LEASE_OVER: {LostLeaseAction.EXECUTE},
        RecordStanding.UNKNOWN: {LostLeaseAction.UNKNOWN},
    }.get(standing, set(LostLeaseAction))


@pytest.mark.slow
def test_completed_record_has_a_response_or_a_response_reference() -> None:
    drawn = drawn_examples(draw.records_in_standing(RecordStanding.COMPLETED), count=25)
    assert {type(made.response) for made, _ in drawn} == {Response, ResponseReference}


@pytest.mark.slow
def test_drawn_record_history_has_up_to_6_steps_of_all_kinds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played: list[list[Move]] = []

    def note(
        key: RecordKey, pair: tuple[Fingerprint, ...], response: Response, moves: list[Move]
    ) -> tuple[RecordKey, tuple[Fingerprint, ...], Response]:
        played.append(moves)
        return key, pair, response

    monkeypatch.setattr(record, "_play", note)
    drawn = drawn_examples(draw.record_histories(), count=150)
    moves = [move for each in played for move in each]
    offsets = {offset for offset, *_ in moves}
    assert offsets >= {NOW, TICK, LEASE - TICK, LEASE, DAY - TICK, DAY}
    assert max(offsets) == DAY + LEASE
    assert {act for _, act, *_ in moves} == set(RecordAct)
    assert {(lost_lease, nth_newest) for *_, lost_lease, nth_newest in moves} == {
        (lost_lease, nth_newest) for lost_lease in LostLeaseAction for nth_newest in (0, 1)
    }
    lengths = set(map(len, played))
    assert (min(lengths), max(lengths)) == (0, 6)
    keys, pairs, responses = map(set, zip(*drawn, strict=True))
    assert all(isinstance(key, RecordKey) for key in keys)
    assert pairs == {(MINE, OTHERS), (OTHERS, MINE)}
    assert all(isinstance(response, Response) for response in responses)


@pytest.mark.slow
def test_drawn_record_history_obeys_max_steps() -> None:
    histories = drawn_examples(draw.record_histories(max_steps=1))
    assert {len(each.steps) for each in histories} == {0, 1}


# --- Histories ------------------------------------------------------------------------------


def test_record_history_applies_its_steps_in_time_order() -> None:
    history = play((LEASE, RecordAct.BEGIN), (NOW, RecordAct.RENEW), (NOW, RecordAct.BEGIN_OTHER))
    # The renewal comes before any attempt, so it is left out.
    assert [(each.now, each.act) for each in history.steps] == [
        (START, RecordAct.BEGIN_OTHER),
        (START + LEASE, RecordAct.BEGIN),
    ]
    assert (history.key, history.fingerprint, history.other) == (KEY, MINE, OTHERS)


def test_idempotency_record_replays_its_response_until_forgotten() -> None:
    history = play(
        (NOW, RecordAct.BEGIN),
        (TICK, RecordAct.RENEW),
        (LEASE, RecordAct.COMPLETE),
        (LEASE, RecordAct.BEGIN),
        (2 * LEASE, RecordAct.BEGIN_OTHER),
        (2 * LEASE, RecordAct.FORGET),
        (HOUR, RecordAct.BEGIN),
    )
    begin, renew, complete, again, other, forget, late = history.steps
    assert isinstance(begin.answer, Attempt)
    assert (begin.answer.key, begin.answer.fingerprint, begin.answer.token) == (KEY, MINE, 1)
    assert begin.record is not None
    assert begin.record.state is RecordState.IN_FLIGHT
    assert renew.record is not None
    assert renew.record.lease_until == START + TICK + LEASE
    assert complete.record is not None
    assert complete.record.response == RESPONSE
    assert complete.record.seen_at == START + LEASE
    assert isinstance(again.answer, KnownResponse)
    assert again.answer.response == RESPONSE
    assert isinstance(other.answer, Refused)
    assert forget.record is not None
    assert forget.record.state is RecordState.FORGOTTEN
    assert forget.record.seen_at == START + 2 * LEASE
    assert isinstance(late.answer, Refused)
    assert [each.attempt for each in history.steps] == [
        *(None, begin.answer, begin.answer),
        *(None, None, None, None),
    ]
    assert again.record is complete.record
    assert late.record is history.record is forget.record
    assert history.records == tuple(each.record for each in history.steps)


def test_older_attempt_loses_its_lease_to_a_newer_attempt() -> None:
    history = play_moves(
        (NOW, RecordAct.BEGIN, EXECUTE, 0),
        (LEASE, RecordAct.BEGIN, EXECUTE, 0),
        (LEASE, RecordAct.COMPLETE, EXECUTE, 1),
        (LEASE, RecordAct.RENEW, EXECUTE, 1),
        (LEASE, RecordAct.RELEASE, EXECUTE, 1),
        (LEASE + TICK, RecordAct.RELEASE, EXECUTE, 0),
        (LEASE + TICK, RecordAct.BEGIN_OTHER, EXECUTE, 0),
        (LEASE + TICK, RecordAct.BEGIN, EXECUTE, 0),
    )
    first, second, complete, renew, release, ended, other, third = history.steps
    begun = [each.answer for each in (first, second, third)]
    assert [each.token for each in begun if isinstance(each, Attempt)] == [1, 2, 3]
    for each in (complete, renew, release):
        assert each.attempt is first.answer
        assert isinstance(each.answer, LeaseLost)
        assert each.record is second.record
    assert ended.attempt is second.answer
    assert ended.record is not None
    assert ended.record.state is RecordState.RELEASED
    assert ended.record.seen_at == START + LEASE + TICK
    assert isinstance(other.answer, Refused)


@pytest.mark.parametrize("act", [RecordAct.COMPLETE, RecordAct.RENEW, RecordAct.RELEASE])
def test_too_large_attempt_number_means_the_first_attempt(act: RecordAct) -> None:
    history = play_moves((NOW, RecordAct.BEGIN, EXECUTE, 0), (TICK, act, EXECUTE, 1))
    begin, ended = history.steps
    assert ended.attempt is begin.answer
    assert isinstance(ended.answer, Done)
    assert ended.answer.value is ended.record is history.record
    assert ended.record != begin.record


@pytest.mark.parametrize(
    ("act", "state", "response"),
    [
        (RecordAct.RESOLVE, RecordState.COMPLETED, RESPONSE),
        (RecordAct.RESOLVE_NOTHING, RecordState.RELEASED, None),
    ],
)
def test_operator_resolves_an_attempt_only_after_its_lease_ends(
    act: RecordAct, state: RecordState, response: Response | None
) -> None:
    history = play_moves(
        (NOW, RecordAct.BEGIN, UNKNOWN, 0),
        (TICK, act, UNKNOWN, 0),
        (LEASE, RecordAct.BEGIN, UNKNOWN, 0),
        (LEASE, act, UNKNOWN, 0),
        (2 * LEASE, act, UNKNOWN, 0),
    )
    begin, early, again, resolved, late = history.steps
    assert isinstance(early.answer, Ignored)
    assert isinstance(again.answer, Refused)
    assert begin.record is early.record is again.record
    assert resolved.record is not None
    assert (resolved.record.state, resolved.record.response) == (state, response)
    assert resolved.record.seen_at == START + LEASE
    assert isinstance(late.answer, Ignored)
    assert history.record is resolved.record
    assert all(each.attempt is None for each in history.steps)


def test_resolving_or_forgetting_an_unused_key_finds_no_record() -> None:
    history = play((NOW, RecordAct.RESOLVE), (TICK, RecordAct.FORGET), (TICK, RecordAct.COMPLETE))
    assert [each.act for each in history.steps] == [RecordAct.RESOLVE, RecordAct.FORGET]
    for each in history.steps:
        assert isinstance(each.answer, Ignored)
        assert each.answer.value is None
        assert each.record is None
        assert each.attempt is None
    assert history.record is None
    assert history.records == ()
    assert play().record is None
