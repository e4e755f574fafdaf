"""Tests of the kit's report: one message per cause, without Python notation."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from enum import Enum

import attrs
import pytest

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.testing.conformance import (
    CHECKS,
    CheckOutcome,
    Failure,
    NotRun,
    NotSeenError,
    Progress,
    Report,
    Request,
    Response,
    run,
    run_async,
)
from curae_lifecycle.testing.conformance.results import FailureGroup, list_names, outcome_of
from curae_lifecycle.testing.conformance.wording import format_argument, format_value
from tests.support.kit import Reference, asynchronous
from tests.support.strategies import START


def refuse(request: Request) -> Response:
    raise ConnectionRefusedError(111, request.method)


def test_kit_reports_one_failure_for_a_server_that_is_down() -> None:
    server, told = attrs.evolve(Reference().server(), send=refuse), list[Progress]()
    report = run(server, seed="1", progress=told.append)
    (failure,) = report.failed
    assert failure.message.startswith("the server is down: send raised ConnectionRefusedError(111")
    assert len(report.not_run) == len(CHECKS) - 1
    assert {each.reason for each in report.not_run} == {
        f"the server was down since {failure.check}"
    }
    assert len(told) == len(CHECKS)
    assert len(str(report).splitlines()) < 12
    again = asyncio.run(run_async(asynchronous(server), seed="1"))
    assert (len(again.failed), len(again.not_run)) == (1, len(CHECKS) - 1)


def test_server_that_always_answers_502_gives_one_kit_failure() -> None:
    server = attrs.evolve(Reference().server(), send=lambda _: Response(502, (), b"bad gateway"))
    report = run(server, seed="1")
    (failure,) = report.failed
    first, second, *_ = failure.message.splitlines()
    assert first == "the server is down: 3 more reads got 502, 502, 502"
    assert second == "  first seen: the server answered 502 instead of 201"


def test_kit_keeps_results_of_a_server_that_goes_down_in_the_run() -> None:
    reference, left = Reference(), iter(range(200))

    def send(request: Request) -> Response:
        return reference.send(request) if next(left, None) is not None else refuse(request)

    report = run(attrs.evolve(reference.server(), send=send), seed="1")
    assert report.passed
    assert len(report.failed) == 1
    assert len(report.passed) + len(report.not_run) == len(CHECKS) - 1


def test_failing_make_key_hook_gives_one_kit_failure() -> None:
    def make_key(wanted: object) -> str:
        raise LookupError(str(type(wanted)))

    report = run(attrs.evolve(Reference().server(), make_key=make_key), seed="1")
    (failure,) = report.failed
    assert failure.message.startswith("the server is down: the hook make_key raised LookupError(")


def test_kit_does_not_call_a_server_down_if_only_revoke_fails() -> None:
    reference = Reference()

    def send(request: Request) -> Response:
        return refuse(request) if request.target.endswith(":revoke") else reference.send(request)

    only = ["law-02.revoked-once", "request.limit", "law-02.at-once"]
    report = run(attrs.evolve(reference.server(), send=send), only=only, seed="1")
    assert report.passed == ("request.limit",)
    assert {each.check for each in report.failed} == {"law-02.revoked-once", "law-02.at-once"}


def test_kit_failure_shows_the_hook_that_raised_and_its_notes() -> None:
    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        error = LookupError(len(connection_id), str(lifetime))
        error.add_note("the page is gone")
        raise error

    server = attrs.evolve(Reference().server(), authorize=authorize)
    (failure,) = run(server, seed="1", only=["standing.active"]).failed
    hook, note, *_ = failure.message.splitlines()
    assert hook == "the hook authorize raised LookupError(36, '1:00:00')"
    assert note == "  note: the page is gone"


def test_kit_check_is_skipped_if_its_hook_raises_not_seen_error() -> None:
    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        raise NotSeenError(f"no page for {len(connection_id)} characters, {lifetime}")

    server = attrs.evolve(Reference().server(), authorize=authorize)
    report = run(server, seed="1", only=["standing.active", "race.authorize.revoke"])
    assert not report.failed
    assert report.not_run[0].reason == "no page for 36 characters, 1:00:00"
    again = asyncio.run(run_async(asynchronous(server), seed="1", only=["standing.active"]))
    assert [each.check for each in again.not_run] == ["standing.active"]


def test_kit_reports_a_changed_replay_body_before_its_headers() -> None:
    reference, seen = Reference(), set[Request]()

    def send(request: Request) -> Response:
        answer = reference.send(request)
        body = answer.body.replace(b"PENDING", b"ACTIVE") if request in seen else answer.body
        seen.add(request)
        length = ("content-length", str(len(body)))
        return attrs.evolve(answer, body=body, headers=(*answer.headers, length))

    server = attrs.evolve(reference.server(), send=send)
    (failure,) = run(server, seed="1", only=["idempotency.replay.create"]).failed
    assert failure.message.startswith("law 9 is broken: bodies differ from byte ")


# --- Words ----------------------------------------------------------------------------------

PYTHON = re.compile(r"frozenset\(|\bset\(|<\w+\.\w+: |datetime\.|(is|of|holds) (None|True|\{')")


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 201, 409])
def test_kit_failure_messages_contain_no_python_literals(status: int) -> None:
    reference = Reference()
    spoilt = {"connection": {"status": "ACTIVE", "id": "c", "authorizedAt": None}, "code": True}

    def send(request: Request) -> Response:
        reference.send(request)
        return Response(status, (("content-type", "text/html"),), json.dumps(spoilt).encode())

    only = [each.name for each in CHECKS if each.name != "model.side-by-side"]
    report = run(attrs.evolve(reference.server(), send=send), seed="1", only=only)
    assert len(report.failed) > 100
    for failure in report.failed:
        assert PYTHON.search(failure.message) is None, failure.message


COORDINATE = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("a"),
    customer_account_id=CustomerAccountId("c"),
    app_user_id=AppUserId("u"),
)


class Colour(Enum):
    """An enumeration that is no text."""

    RED = 7
    BLUE = "blue"


VALUES: list[tuple[object, str]] = [
    (Colour.RED, "7"),
    ({"a": 1.5, 2: (b"c", START)}, '{"a": 1.5, "2": ["c", "2026-01-01T00:00:00Z"]}'),
    ([{"b", "a"}], '[["a", "b"]]'),
    ([{2, "1"}], '[["1", 2]]'),
    (frozenset(), "none"),
    ({"b", "a"}, "a, b"),
    (Status.ACTIVE, '"ACTIVE"'),
    (None, "null"),
    (True, "true"),
    ([Status.ACTIVE, {"x"}], '["ACTIVE", ["x"]]'),
    (b"\xff", '"\\ufffd"'),
    (START, '"2026-01-01T00:00:00Z"'),
    ({"a": timedelta(minutes=1)}, '{"a": "0:01:00"}'),
    (COORDINATE, json.dumps(attrs.asdict(COORDINATE))),
]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_format_value_writes_json_in_kit_messages(value: object, text: str) -> None:
    assert format_value(value) == text


def test_hook_arguments_are_shown_without_quotes() -> None:
    values = ["c-1", timedelta(minutes=1), Status.ACTIVE, *Colour, None, True]
    said = ["c-1", "0:01:00", "ACTIVE", "7", "blue", "null", "true"]
    assert [*map(format_argument, values)] == said


# --- Groups ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "shown"), [(8, "0, 1, 2, 3, 4, 5, 6, 7"), (9, "0, 1, 2, 3, 4, 5, 6, 7 and 1 more")]
)
def test_list_of_names_shows_eight_and_counts_the_others(count: int, shown: str) -> None:
    assert list_names([str(each) for each in range(count)]) == shown


def test_kit_check_outcome_is_passed_failed_or_not_run() -> None:
    results = None, Failure("a", "b"), NotRun("a", "b")
    assert [*map(outcome_of, results)] == [
        CheckOutcome.PASSED,
        CheckOutcome.FAILED,
        CheckOutcome.NOT_RUN,
    ]


def test_kit_report_groups_failures_by_their_first_line() -> None:
    messages = ("one\n  a\n  b", "two\n  a\n  b", "one\n  c")
    failed = tuple([Failure(str(number), each) for number, each in enumerate(messages)])
    report = Report(passed=(), failed=failed, not_run=(), seed="seed")
    assert report.failure_groups() == (
        FailureGroup(failed[0], ("2",)),
        FailureGroup(failed[1], ()),
    )


def test_kit_prints_failures_of_one_cause_once() -> None:
    failed = tuple([Failure(f"a.{each}", f"down\n  where: {each}") for each in range(12)])
    not_run = (NotRun("b.1", "needs x"), NotRun("b.2", "needs y"), NotRun("b.3", "needs x"))
    report = Report(
        passed=(), failed=(*failed, Failure("c", "other")), not_run=not_run, seed="seed"
    )
    assert str(report).splitlines() == [
        "0 passed, 13 failed, 3 not run (seed seed)",
        "failed: a.0",
        "  down",
        "  where: 0",
        "  the same in 11 more: a.1, a.2, a.3, a.4, a.5, a.6, a.7, a.8 and 3 more",
        "failed: c",
        "  other",
        "not run: b.1, b.3: needs x",
        "not run: b.2: needs y",
    ]
