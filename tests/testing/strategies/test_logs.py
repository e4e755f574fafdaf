"""Tests that drawn logs are printed from their traffic, and are broken in one line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Final, cast

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.log_format import format_caller, format_fact, format_response
from curae_lifecycle.testing.strategies import (
    CALLERS,
    START,
    TICK,
    BrokenLog,
    Exchange,
    Log,
    Traffic,
    log,
    traffic,
)
from curae_lifecycle.testing.strategies.traffic import SpecialStep
from tests.support.drawing import drawn_examples
from tests.support.strategies import pending
from tests.testing.strategies.drawing import HOUR
from tests.testing.strategies.playing import (
    AUTHORIZE,
    BUCKETS,
    LAPSED,
    exchange_of,
    fact_of,
    play,
    step,
)

RUN: Final = traffic.play_traffic(
    BUCKETS,
    [
        step(CreateConnection),
        step(SpecialStep.ACCESS, TICK),
        step(Reconnect, LAPSED),
        step(Reconnect, LAPSED, nth_newest=1),
        step(AUTHORIZE, LAPSED, key=1),
        step(GetConnection, LAPSED, nth_newest=1),
        step(Initiate, HOUR),
    ],
)
AT_START: Final = format_time(START)


def read_log(lines: Iterable[bytes]) -> list[dict[str, object]]:
    return [cast("dict[str, object]", json.loads(line)) for line in lines]


def read_request(line: dict[str, object]) -> dict[str, object]:
    return cast("dict[str, object]", line["request"])


def check_replayed(lines: tuple[bytes, ...]) -> None:
    """Check that `replay` accepts every line, and finds no response that the rules did not give."""
    for each in replay(lines, check=True):
        assert not each.broken
        assert not each.divergences


@pytest.mark.parametrize("with_responses", [True, False])
def test_log_begins_with_the_api_keys_and_the_buckets(*, with_responses: bool) -> None:
    lines = draw.format_log(RUN, with_responses=with_responses)
    check_replayed(lines)
    first, second, third, buckets, *others = read_log(lines)
    assert [first, second, third] == [
        {"at": AT_START, "register": format_caller(secret, caller)} for secret, caller in CALLERS
    ]
    [bucket] = BUCKETS
    assert buckets == {
        "at": AT_START,
        "buckets": [
            {
                "name": bucket.name,
                "capacity": bucket.capacity,
                "refill": bucket.refill,
                "seconds": bucket.seconds,
            }
        ],
    }
    assert len(others) == len(RUN.interactions)


def test_log_of_a_run_without_buckets_has_no_bucket_line() -> None:
    lines = draw.format_log(Traffic((), ()), with_responses=True)
    assert len(lines) == len(CALLERS)
    check_replayed(lines)


@pytest.mark.parametrize("with_responses", [True, False])
def test_log_line_has_the_time_and_the_name_of_its_step(*, with_responses: bool) -> None:
    lines = read_log(draw.format_log(RUN, with_responses=with_responses))[4:]
    assert [each["at"] for each in lines] == [format_time(each.now) for each in RUN.interactions]
    kinds = [(each.keys() - {"at", "as", "response"}).pop() for each in lines]
    assert kinds == ["request", "ask", "request", "request", "fact", "request", "request"]
    names = [each.get("as") for each in lines]
    assert names == ["a0", None, "a2", "a3", None, "a5", "a6"]
    responses = [each["response"] for each in lines if "response" in each]
    expected = [format_response(each.answer.response) for each in RUN.exchanges]
    assert responses == (expected if with_responses else [])


def test_log_with_responses_prints_the_requests_and_facts() -> None:
    lines = read_log(draw.format_log(RUN, with_responses=True))[4:]
    create, ask, _, _, fact, shown, _ = lines
    created = RUN.exchanges[0]
    assert created.request.body
    assert read_request(create) == {
        "method": "POST",
        "path": created.request.target,
        "headers": dict(created.request.headers),
        "body": {"appUserId": "user-1", "dataPackages": ["clinical_summary", "labs"]},
    }
    assert ask["ask"] == {
        "type": "access",
        "connectionId": created.new_ids.connection_id,
        "dataPackage": "labs",
    }
    assert fact["fact"] == format_fact(fact_of(RUN.interactions[4]).fact)
    assert read_request(shown).keys() == {"method", "path", "headers"}


def test_log_without_responses_refers_to_earlier_answers_by_name() -> None:
    lines = read_log(draw.format_log(RUN, with_responses=False))[4:]
    _, ask, reconnect, again, fact, shown, _ = lines
    asked = cast("dict[str, object]", ask["ask"])
    assert asked["connectionId"] == "{a0.connection.id}"
    for each in (reconnect, again):
        assert read_request(each)["path"] == (
            "/api/sdk/v1/connections/{a0.connection.id}:reconnect"
        )
    # The first answer names the connection, and the newest the page.
    assert fact["fact"] == {
        "type": "connection.authorize",
        "connectionId": "{a2.connection.id}",
        "pageUrl": "{a3.nextAction.url}",
    }
    assert read_request(shown)["path"] == "/api/sdk/v1/connections/{a0.connection.id}"


def test_log_without_responses_refers_to_a_session_by_name() -> None:
    run = Traffic((), play(step(SpecialStep.SIGN_UP), step(HandoffCompleted, key=1)))
    *_, line = draw.format_log(run, with_responses=False)
    assert json.loads(line)["fact"] == {
        "type": "handoff.complete",
        "sessionId": "{a0.session.id}",
        "userId": "u-1",
        "pageUrl": "{a0.nextAction.url}",
    }
    check_replayed(draw.format_log(run, with_responses=False))


GRADUATION: Final = (step(Initiate), step(StartGraduation), step(Graduated, key=1))


@pytest.mark.parametrize("with_responses", [True, False])
def test_logged_graduation_fact_has_neither_user_id_nor_page(*, with_responses: bool) -> None:
    played = play(*GRADUATION, step(Graduated, key=1), step(GetAccountState))
    assert [type(fact_of(each).answer) for each in played[2:4]] == [Done, Ignored]
    lines = draw.format_log(Traffic((), played), with_responses=with_responses)
    # `replay` gives the user an ID that no response shows.
    for line in read_log(lines)[-3:-1]:
        assert line["fact"] == {
            "type": "binding.graduate",
            "environment": "live",
            "appId": "app-1",
            "customerAccountId": CALLERS[0][1].customer_account_id,
            "appUserId": "user-1",
        }
    *_, done, ignored, state = replay(lines, check=True)
    assert (done.answer["outcome"], ignored.answer["outcome"]) == ("done", "ignored")
    assert not state.divergences
    assert '"ACTIVE"' in str(state.answer["body"])


def test_replaying_a_log_refuses_its_refused_graduation_again() -> None:
    again = step(StartGraduation, LAPSED)
    played = play(*GRADUATION[:2], again, step(Graduated, LAPSED, key=2))
    assert isinstance(fact_of(played[-1]).answer, Refused)
    lines = draw.format_log(Traffic((), played), with_responses=True)
    assert json.loads(lines[-1])["fact"]["userId"] == "u-1001"
    *_, refused = replay(lines, check=True)
    assert refused.answer["outcome"] == "refused"


# --- Landed hand-offs -----------------------------------------------------------------------


@pytest.mark.parametrize("with_responses", [True, False])
def test_log_has_the_fact_of_a_handoff_before_the_get_finding_it(*, with_responses: bool) -> None:
    run = Traffic((), play(step(CreateConnection, TICK), step(SpecialStep.LANDED, HOUR)))
    lines = draw.format_log(run, with_responses=with_responses)
    check_replayed(lines)
    *_, fact, _ = read_log(lines)
    found = exchange_of(run.interactions[-1])
    connection_id = found.call.needs.connection
    assert fact == {
        "at": format_time(START + HOUR),
        "fact": {
            "type": "connection.authorize",
            "connectionId": connection_id if with_responses else "{a0.connection.id}",
            "happenedAt": format_time(START + TICK),
        },
    }


CONNECTION: Final = pending()
AUTHORIZED: Final = attrs.evolve(CONNECTION, authorized_at=START + TICK)
TOUCHED: Final = attrs.evolve(CONNECTION, updated_at=START + TICK)
OTHER: Final = pending(number=2)
LANDED: Final = LandedHandoff(START + TICK, START + HOUR)
FOUND: Final = Snapshot(connection=CONNECTION, landed_handoff=LANDED)
RECORDED: Final = ConnectionWrite(CONNECTION, AUTHORIZED)


def landing_facts(snapshot: Snapshot, *writes: Write) -> list[dict[str, Json]]:
    """Return the lines about a landing that go before a request with some writes."""
    exchange = SimpleNamespace(
        now=START + LAPSED,
        snapshot=snapshot,
        decision=SimpleNamespace(changes=Changes(writes=writes)),
    )
    return log._landing_facts(cast("Exchange", exchange))


def test_log_line_of_a_completed_handoff_has_its_time_and_expiry() -> None:
    assert landing_facts(FOUND, RECORDED) == [
        {
            "at": format_time(START + LAPSED),
            "fact": {
                "type": "connection.authorize",
                "connectionId": CONNECTION.id,
                "expiresAt": format_time(START + HOUR),
                "happenedAt": format_time(START + TICK),
            },
        }
    ]


@pytest.mark.parametrize(
    ("snapshot", "writes"),
    [
        (Snapshot(connection=CONNECTION), (RECORDED,)),
        (Snapshot(landed_handoff=LANDED), (RECORDED,)),
        (Snapshot(), (RECORDED,)),
        (FOUND, ()),
        (FOUND, (ConnectionWrite(CONNECTION, TOUCHED),)),
        (FOUND, (ConnectionWrite(OTHER, attrs.evolve(OTHER, authorized_at=START)),)),
        (FOUND, (ConnectionWrite(None, OTHER),)),
        (FOUND, exchange_of(play(step(Initiate))[0]).decision.changes.writes),
    ],
)
def test_request_that_records_no_handoff_logs_no_fact_before_it(
    snapshot: Snapshot, writes: tuple[Write, ...]
) -> None:
    assert landing_facts(snapshot, *writes) == []


# --- Drawn logs -----------------------------------------------------------------------------


def test_logs_are_drawn_with_and_without_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def runs(*, max_steps: int) -> st.SearchStrategy[Traffic]:
        asked.append(max_steps)
        return st.just(RUN)

    monkeypatch.setattr(traffic, "traffic_runs", runs)
    logs = sorted(drawn_examples(draw.logs()), key=lambda each: each.with_responses)
    assert logs == [
        Log(draw.format_log(RUN, with_responses=flag), RUN, flag) for flag in (False, True)
    ]
    drawn_examples(draw.logs(max_steps=3))
    assert asked == [10, 3]


@pytest.mark.slow
def test_drawn_log_is_broken_at_any_line_but_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def logs(*, max_steps: int) -> st.SearchStrategy[str]:
        asked.append(max_steps)
        return st.just("a log")

    monkeypatch.setattr(log, "logs", logs)
    monkeypatch.setattr(log, "_break", lambda *arguments: arguments)
    drawn = drawn_examples(draw.broken_logs(), count=200)
    assert sorted(map(str, drawn)) == sorted(
        str(("a log", place, breakage)) for place in range(7) for breakage in log._BREAKAGES
    )
    few = drawn_examples(draw.broken_logs(max_steps=1), count=200)
    assert len(few) == 2 * len(log._BREAKAGES)
    assert asked == [6, 1]


# --- Broken logs ----------------------------------------------------------------------------

LOG: Final = Log(draw.format_log(RUN, with_responses=True), RUN, with_responses=True)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 4, 8, 99])
@pytest.mark.parametrize("breakage", log._BREAKAGES, ids=[each[1] for each in log._BREAKAGES])
def test_broken_log_names_its_broken_line_and_the_error(
    breakage: tuple[str, str, str], place: int
) -> None:
    error, defect, _ = breakage
    broken = log._break(LOG, place, breakage)
    assert (broken.error, broken.defect) == (error, defect)
    assert broken.number == min(2 + place, len(LOG.lines) + 1)
    assert broken.others == LOG.lines
    answers = list(replay(broken.lines))
    assert [number for number, each in enumerate(answers, 1) if each.broken] == [broken.number]
    assert str(answers[broken.number - 1].answer["error"]).startswith(error)


def test_broken_log_attribute_others_omits_only_the_broken_line() -> None:
    lines = (b"1", b"2", b"3")
    others = [
        BrokenLog(lines=lines, number=number, defect="", error="").others for number in (1, 2, 3)
    ]
    assert others == [(b"2", b"3"), (b"1", b"3"), (b"1", b"2")]
