"""Tests of the message of a failed check, and of which failures a server that is down may cause."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from curae_lifecycle.testing.conformance import CHECKS, Check, Request, Response
from curae_lifecycle.testing.conformance.failures import (
    ServerRaisedError,
    describe_outcome,
    describe_step,
    failure_of,
    history_of,
    server_raised,
)
from curae_lifecycle.testing.conformance.results import Failure
from curae_lifecycle.testing.conformance.steps import (
    Concurrently,
    HookCall,
    NotConformingError,
    Step,
    wait,
)
from curae_lifecycle.testing.conformance.timeout import CheckTimeoutError
from curae_lifecycle.testing.laws import LAWS
from curae_lifecycle.web.request import ParsedBody

WRONG = NotConformingError("the status is wrong")


@pytest.mark.parametrize(
    ("error", "last_status", "may_be_down"),
    [
        *((WRONG, status, False) for status in (0, 200, 404, 429, 499)),
        *((WRONG, status, True) for status in (500, 501, 503, 599)),
        (ServerRaisedError("refused"), 0, True),
        (CheckTimeoutError("hung"), 200, True),
        (ValueError("no JSON"), 200, False),
    ],
)
def test_timeout_exception_or_5xx_means_server_may_be_down(
    error: Exception,
    last_status: int,
    may_be_down: bool,  # noqa: FBT001 - a parameter
) -> None:
    failure = failure_of(CHECKS[0], error, (), last_status=last_status)
    assert failure.may_be_down is may_be_down


GET = Request("GET", "/x", (("Authorization", "Bearer secret"), ("X-A", "1")))
POST = Request("POST", "/y", (("CONTENT-TYPE", "application/json"),), body=b'{"a": "' + b"b" * 80)
OK = Response(200, (), b"{}")
GONE = Response(410, (), b'{"code": "GONE"}')
REVOKE = HookCall("revoke", ("c", 7))
MAKE_KEY = HookCall("make_key", ("secret",))

CHECK = Check(
    name="a.b",
    shows="The server does it.",
    steps=lambda _: wait(timedelta(0)),
    laws=(2, 9),
    rules=("r.s", "t.u"),
)


@pytest.mark.parametrize(
    ("step", "outcome", "lines"),
    [
        (GET, GONE, ["GET /x X-A: 1: 410 GONE"]),
        (POST, OK, [f'POST /y b\'{{"a": "{"b" * 73}\': 200']),
        (REVOKE, None, ["revoke(c, 7)"]),
        (REVOKE, "done", ["revoke(c, 7): done"]),
        (MAKE_KEY, "secret", ["make_key"]),
        (HookCall("outbox", ()), ["much"], ["outbox"]),
        (
            Concurrently((GET, REVOKE)),
            (OK, "ignored"),
            ["concurrently, GET /x X-A: 1: 200", "concurrently, revoke(c, 7): ignored"],
        ),
    ],
)
def test_step_is_described_by_request_or_hook_and_its_outcome(
    step: Step, outcome: object, lines: list[str]
) -> None:
    assert list(describe_outcome(step, outcome)) == lines


def test_step_description_omits_a_body_passed_as_parsed_json() -> None:
    request = Request("POST", "/y", (), body=ParsedBody({"a": 1}))
    assert list(describe_outcome(request, OK)) == ["POST /y: 200"]


def test_check_history_keeps_requests_and_shows_hooks_as_text() -> None:
    assert list(history_of(GET, OK)) == [(GET, OK)]
    assert list(history_of(REVOKE, "done")) == ["revoke(c, 7): done"]
    assert list(history_of(Concurrently((GET,)), (OK,))) == ["concurrently, GET /x X-A: 1: 200"]


def test_history_shows_request_as_text_if_response_is_malformed() -> None:
    text = Response(200, (), cast("bytes", "{}"))
    assert list(history_of(GET, text)) == ["GET /x X-A: 1: 200"]
    with pytest.raises(AttributeError):
        list(history_of(GET, None))


def test_history_shows_hook_as_text_even_if_it_returns_response() -> None:
    (line,) = history_of(REVOKE, OK)
    assert isinstance(line, str)
    assert line.startswith("revoke(c, 7): ")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (REVOKE, "revoke"),
        (GET, str(GET)),
        (Concurrently((REVOKE, GET)), "2 concurrent steps, such as revoke"),
    ],
)
def test_step_description_names_hook_or_request_without_secret(step: Step, said: str) -> None:
    assert describe_step(step) == said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("step", "function"),
    [
        (REVOKE, "the hook revoke"),
        (GET, "send"),
        (Concurrently((REVOKE, GET)), "a concurrent step"),
    ],
)
def test_server_exception_message_has_the_function_and_the_step(step: Step, function: str) -> None:
    error = KeyError("k")
    where = f"  where: {describe_step(step)}"
    assert str(server_raised(step, error)) == f"{function} raised KeyError('k')\n{where}"
    error.add_note("one")
    error.add_note("two")
    lines = [f"{function} raised KeyError('k')", "  note: one", "  note: two", where]
    assert str(server_raised(step, error)).splitlines() == lines


@pytest.mark.parametrize(
    "step",
    [
        GET,
        Concurrently((REVOKE, GET)),
        *(HookCall(hook, ("secret",)) for hook in ("register_again", "change_key_id", "withdraw")),
    ],
    ids=describe_step,
)
def test_server_exception_message_hides_the_api_key(step: Step) -> None:
    error = ValueError(b"Bearer secret")
    error.add_note("sent secret")
    lines = str(server_raised(step, error)).splitlines()
    assert lines[0].endswith(" raised ValueError(b'Bearer <API key>')")
    assert lines[1] == "  note: sent <API key>"


def test_server_exception_message_hides_a_key_with_backslash() -> None:
    request = Request("GET", "/x", (("authorization", "Bearer a\\b"),))
    error = ValueError("Bearer a\\b")
    error.add_note("a\\b")
    lines = str(server_raised(request, error)).splitlines()
    assert lines[:2] == ["send raised ValueError('Bearer <API key>')", "  note: <API key>"]


def test_server_exception_message_stays_whole_without_a_key() -> None:
    request = Request("GET", "/x", (("Authorization", ""), ("X-A", "Bearer k")))
    said = str(server_raised(request, ValueError("k")))
    assert said.startswith("send raised ValueError('k')\n")


def test_error_of_concurrent_requests_hints_at_listen_backlog() -> None:
    hint = "  sent at once: 2; connections beyond the server's listen backlog may be reset"
    assert str(server_raised(GET, ConnectionResetError(104), 2)).splitlines()[-1] == hint
    for step, at_once in ((GET, 1), (REVOKE, 2)):
        assert hint not in str(server_raised(step, ConnectionResetError(104), at_once))


def test_failure_of_a_check_lists_earlier_steps_laws_and_rules() -> None:
    failure = failure_of(CHECK, WRONG, ["revoke(c)", (GET, GONE)])
    assert failure == Failure(
        "a.b",
        "\n".join(
            [
                "the status is wrong",
                "  after: revoke(c)",
                "  after: GET /x X-A: 1: 410 GONE",
                f"  law 2: {LAWS[2]}",
                f"  law 9: {LAWS[9]}",
                "  rules: r.s, t.u",
                "  check: a.b: The server does it.",
            ]
        ),
    )


def test_failure_of_a_check_without_rules_names_none() -> None:
    check = Check("a.b", "The server does it.", CHECK.steps)
    lines = failure_of(check, ValueError("no JSON"), ()).message.splitlines()
    assert lines == [
        "the response could not be judged: ValueError('no JSON')",
        "  check: a.b: The server does it.",
    ]
