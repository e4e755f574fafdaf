"""Tests of the checks of access to operations."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.testing.conformance import Request
from curae_lifecycle.testing.conformance.gates import having, without
from curae_lifecycle.testing.laws import LawBrokenError
from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    members,
    play_check,
    status,
    steps_of,
    written_steps,
)

STEPS = {
    "request.ownership": """
        POST /connections user-1
        POST /connections user-2
        POST /connections/id-1:revoke
        GET /connections/id-1
        make_key app-1 id-2 live connection:write
        make_key app-2 id-3 live connection:write
        app 2: GET /connections/id-4
        app 2: GET /connections/id-5
        app 2: GET /connections/id-1
        app 2: GET /connections/id-6
        app 2: POST /connections/id-4:reconnect
        app 2: POST /connections/id-7:reconnect
        app 2: POST /connections/id-1:reconnect
        app 2: POST /connections/id-8:reconnect
        app 2: POST /connections/id-4:revoke
        app 2: POST /connections/id-9:revoke
        app 2: POST /connections/id-1:revoke
        app 2: POST /connections/id-10:revoke
        GET /connections/id-4
        app 3: GET /connections/id-4
        app 3: GET /connections/id-11
        app 3: GET /connections/id-1
        app 3: GET /connections/id-12
        app 3: POST /connections/id-4:reconnect
        app 3: POST /connections/id-13:reconnect
        app 3: POST /connections/id-1:reconnect
        app 3: POST /connections/id-14:reconnect
        app 3: POST /connections/id-4:revoke
        app 3: POST /connections/id-15:revoke
        app 3: POST /connections/id-1:revoke
        app 3: POST /connections/id-16:revoke
        GET /connections/id-4
        POST /connections/id-1:reconnect
    """,
    "request.route": """
        POST /connections user-1
        GET /nothing
        POST /connections/id-1:delete
        GET /connections
        GET /connections/id-1:reconnect
        GET /connections/id-1:revoke
        GET /graduation-handoff
        GET /initiate
        POST /connections/id-1
        POST /account-state
        PUT /connections/id-1
        PUT /account-state
        PUT /connections
        PUT /connections/id-1:reconnect
        PUT /connections/id-1:revoke
        PUT /graduation-handoff
        PUT /initiate
        PATCH /connections/id-1
        PATCH /account-state
        PATCH /connections
        PATCH /connections/id-1:reconnect
        PATCH /connections/id-1:revoke
        PATCH /graduation-handoff
        PATCH /initiate
        DELETE /connections/id-1
        DELETE /account-state
        DELETE /connections
        DELETE /connections/id-1:reconnect
        DELETE /connections/id-1:revoke
        DELETE /graduation-handoff
        DELETE /initiate
        GET /Connections/id-1
        GET /account-State
        POST /Connections
        POST /connections/id-1:Reconnect
        POST /connections/id-1:Revoke
        POST /graduation-Handoff
        POST /Initiate
        GET /connections/id-1/
        GET /account-state/
        POST /connections/
        POST /connections/id-1:reconnect/
        POST /connections/id-1:revoke/
        POST /graduation-handoff/
        POST /initiate/
        POST /connections/id-1%3Areconnect
        POST /connections/id-1%3Arevoke
        GET /connections/id-1
    """,
    "permission.scope-missing": """
        POST /connections user-1
        make_key app-1 id-1 live
        make_key app-1 id-1 live connection connection:read
        app 2: POST /connections user
        app 3: POST /connections user
        app 2: POST /connections/id-2:reconnect
        app 3: POST /connections/id-2:reconnect
        app 2: POST /connections/id-2:revoke
        app 3: POST /connections/id-2:revoke
        app 2: POST /initiate user
        app 3: POST /initiate user
        app 2: POST /graduation-handoff user
        app 3: POST /graduation-handoff user
        GET /connections/id-2
    """,
}

WRONG: list[tuple[str, int, Change, str]] = [
    (
        "request.route",
        2,
        status(404, "NO_ROUTE"),
        "the server answered 404 NO_ROUTE instead of 404 NOT_FOUND",
    ),
]
"""Wrong answers, each with its check, the number of its step, and the message of the check."""


@pytest.mark.parametrize("check", STEPS)
def test_kit_check_takes_exactly_the_steps_that_this_file_lists(check: str) -> None:
    assert steps_of(check) == written_steps(STEPS[check])


@pytest.mark.parametrize(("check", "step", "change", "message"), WRONG)
def test_kit_check_fails_on_each_wrong_answer_with_a_message(
    check: str, step: int, change: Change, message: str
) -> None:
    assert failure_of(check, {step: change}) == message


REQUEST = Request(
    "GET", target="/", headers=(("Accept", "a"), ("X-One", "1"), ("accept", "b")), body=b"body"
)


def test_removing_headers_from_a_request_keeps_all_others() -> None:
    assert without(REQUEST, "accept") == attrs.evolve(REQUEST, headers=(("X-One", "1"),))
    assert without(REQUEST, "accept", "x-one") == attrs.evolve(REQUEST, headers=())


def test_extra_headers_are_added_after_those_of_a_request() -> None:
    more = ("X-Two", "2")
    assert having(REQUEST, more) == attrs.evolve(REQUEST, headers=(*REQUEST.headers, more))


def test_refusal_wrongly_marked_retryable_breaks_a_law() -> None:
    with pytest.raises(LawBrokenError):
        play_check("request.route", {2: members(retryable=True)})
