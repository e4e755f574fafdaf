"""Tests of what the comparison with `MemoryStore` reports as a difference, and of its log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import pytest

from curae_lifecycle.testing.conformance import Request, Response
from tests.testing.conformance.answering import refuse
from tests.testing.conformance.model_runs import Change, Compare, Served, at, compare, failure

__all__ = ("compare",)

GET_RULE: Final = "(rule operation.get-connection)"

# --- Differences ---------------------------------------------------------------------------------


def with_body(number: int, body: bytes) -> Change:
    """Change the body of the response to the request of a number."""
    return lambda which, _, answer: attrs.evolve(answer, body=body) if which == number else answer


def edited(number: int, path: str, edit: Callable[[dict[str, object]], object]) -> Change:
    """Edit a JSON object in the response to the request of a number."""

    def change(which: int, _: Request, answer: Response) -> Response:
        if which != number:
            return answer
        body = json.loads(answer.body)
        edit(body[path] if path else body)
        return attrs.evolve(answer, body=json.dumps(body).encode())

    return change


NULL_BODY: Final = 'body is null instead of {"connection": {'
TURNED: Final = '["labs", "clinical_summary"] instead of ["clinical_summary", "labs"]'
TEXT: Final = 'body.connection is "c" instead of {"id": '


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at(2, status=201), f"answered 201 instead of 200 {GET_RULE}"),
        (
            lambda which, _, answer: refuse(404, "NOT_FOUND") if which == 2 else answer,
            f"answered 404 NOT_FOUND instead of 200 {GET_RULE}",
        ),
        (with_body(2, b"no JSON"), NULL_BODY),
        (with_body(2, b""), NULL_BODY),
        (with_body(2, b"[1]"), "body is [1] instead of {"),
        (at(2, connection="c"), TEXT),
        (
            edited(2, "connection", lambda it: it.update(label="x")),
            f"body.connection.label is not a listed member {GET_RULE}",
        ),
        (edited(2, "", lambda it: it.update(a=1)), f"body.a is not a listed member {GET_RULE}"),
        (
            edited(2, "connection", lambda it: it.pop("status")),
            f"body.connection.status is missing {GET_RULE}",
        ),
        (
            at(2, connection__status="REVOKED", connection__appUserId="x"),
            f'body.connection.appUserId is "x" instead of "user-1" {GET_RULE}',
        ),
        (
            at(2, connection__status="ACTIVE"),
            f'body.connection.status is "ACTIVE" instead of "PENDING" {GET_RULE}',
        ),
        (
            at(2, connection__status=["PENDING"]),
            f'body.connection.status is ["PENDING"] instead of "PENDING" {GET_RULE}',
        ),
        (
            at(2, connection__status="AUTHORIZED"),
            f'body.connection.status is "AUTHORIZED" instead of "PENDING" {GET_RULE}',
        ),
        (
            at(2, connection__dataPackages=["labs", "clinical_summary"]),
            f"body.connection.dataPackages is {TURNED} {GET_RULE}",
        ),
        (
            at(2, connection__authorizedAt="2026-01-01T00:00:00Z"),
            f'body.connection.authorizedAt is "2026-01-01T00:00:00Z" instead of null {GET_RULE}',
        ),
        (
            at(2, connection__createdAt=None),
            f'body.connection.createdAt is null instead of "2026-01-01T00:00:00.001Z" {GET_RULE}',
        ),
        (
            at(2, connection__createdAt="soon"),
            f'body.connection.createdAt is "soon" instead of "2026-01-01T00:00:00.001Z" {GET_RULE}',
        ),
    ],
)
def test_response_unlike_memory_stores_fails_the_model_check(
    compare: Compare, change: Change, message: str
) -> None:
    what, log = failure(compare, ("get", 0), ("create", 0), served=Served(change=change))
    assert what[: len(message)] == message
    assert what.endswith(GET_RULE)
    assert '"method": "GET"' in log[-1]


SECONDS: Final = "2026-01-01T00:00:15.001Z", "2025-12-31T23:59:45.001Z"
MORE: Final = "2026-01-01T00:00:15.002Z", "2025-12-31T23:59:45.000Z"


@pytest.mark.parametrize("shown", SECONDS)
def test_time_in_a_response_may_differ_by_fifteen_seconds(compare: Compare, shown: str) -> None:
    compare(("get", 0), served=Served(change=at(2, connection__createdAt=shown)))


@pytest.mark.parametrize("shown", MORE)
def test_time_in_a_response_off_by_over_fifteen_seconds_fails(compare: Compare, shown: str) -> None:
    served = Served(change=at(2, connection__createdAt=shown))
    what, _ = failure(compare, ("get", 0), served=served)
    assert what == (
        f'body.connection.createdAt is "{shown}" instead of "2026-01-01T00:00:00.001Z" {GET_RULE}'
    )


def test_active_connection_may_be_shown_as_authorized(compare: Compare) -> None:
    steps = ("authorize", 0), ("get", 0)
    compare(*steps, served=Served(change=at(2, connection__status="AUTHORIZED")))
    for other in ("2026-01-01T00:00:00Z", "PENDING"):
        what, _ = failure(compare, *steps, served=Served(change=at(2, connection__status=other)))
        assert what == f'body.connection.status is "{other}" instead of "ACTIVE" {GET_RULE}'


def test_page_url_and_problem_texts_may_differ_from_memory_store(compare: Compare) -> None:
    compare(("create", 0), served=Served(change=at(2, nextAction__type="x", nextAction__url="y")))
    chosen = dict.fromkeys(("type", "title", "detail", "instance"), "x")
    compare(("stranger", 0), served=Served(change=at(2, **chosen)))
    removed = edited(2, "", lambda it: it.pop("title"))
    compare(("stranger", 0), served=Served(change=removed))


@pytest.mark.parametrize("seconds", [45, 75])
def test_retry_after_may_differ_by_fifteen_seconds(compare: Compare, seconds: int) -> None:
    compare(("burst", 0), served=Served(change=at(12, details__retryAfter=seconds)))


@pytest.mark.parametrize("shown", [44, 76, "60", None])
def test_retry_after_off_by_more_than_fifteen_seconds_fails(
    compare: Compare, shown: object
) -> None:
    served = Served(change=at(12, details__retryAfter=shown))
    what, _ = failure(compare, ("burst", 0), served=served)
    expected = f"body.details.retryAfter is {json.dumps(shown)} instead of 60 "
    assert what[: len(expected)] == expected


def test_revoked_now_must_equal_that_of_memory_store(compare: Compare) -> None:
    served = Served(change=at(2, revokedNow=False))
    what, _ = failure(compare, ("app-revoke", 0), served=served)
    assert what.startswith("body.revokedNow is false instead of true ")


# --- Retries -------------------------------------------------------------------------------------

RETRIED: Final = ("create", 0), ("create", 8), ("again", 1)


def with_header(number: int, name: str, value: str) -> Change:
    def change(which: int, _: Request, answer: Response) -> Response:
        if which != number:
            return answer
        return attrs.evolve(answer, headers=(*answer.headers, (name, value)))

    return change


def test_model_check_fails_if_a_retry_gets_another_response(compare: Compare) -> None:
    compare(*RETRIED, ("again", 0), ("again", 2))
    for change, got in (
        (at(4, status=500), "500"),
        (at(4, connection__status="REVOKED"), "201"),
        (with_header(4, "X-Name", "value"), "201"),
        (
            lambda which, _, answer: refuse(409, "CONFLICT") if which == 4 else answer,
            "409 CONFLICT",
        ),
    ):
        what, log = failure(compare, *RETRIED, served=Served(change=change))
        assert what == f"the retry got {got}, which differs from the first response"
        assert len(log) == 7


def test_header_listed_as_varying_may_differ_in_a_retry(compare: Compare) -> None:
    served = Served(change=with_header(4, "X-Name", "value"))
    compare(*RETRIED, served=served, varying=frozenset({"x-name"}))


def test_model_check_lets_a_repeated_get_return_other_content(compare: Compare) -> None:
    compare(("get", 0), ("app-revoke", 0), ("again", 1))


def test_equal_request_with_same_key_must_get_first_response(compare: Compare) -> None:
    # App 2 uses the key of app 1 anew, and then retries with a request that it built anew.
    steps = ("reuse", 1), ("reuse", 1)
    assert len({*compare(*steps).lines[1:]}) == 1
    served = Served(change=with_header(3, "X-Name", "value"))
    what, _ = failure(compare, *steps, served=served)
    assert what == "the retry got 201, which differs from the first response"


def test_retry_must_get_later_success_not_the_earlier_refusal(compare: Compare) -> None:
    # The first reuse is refused. A day later an equal one creates, and the first is sent again.
    compare(("create", 0), ("reuse", 0), ("pass_time", 5), ("reuse", 0), ("again", 1))


# --- The log -------------------------------------------------------------------------------------

ACCOUNT: Final = "ab000000-0000-4000-8000-00000000000"


def registered(number: int, account: int) -> dict[str, object]:
    return {
        "apiKey": f"cae_live_app_{number}",
        "appId": f"app-{number + 1}",
        "customerAccountId": f"{ACCOUNT}{account}",
        "scopes": ["connection:write"],
        "environment": "live",
    }


def logged(
    method: str, path: str, headers: Mapping[str, str], body: object | None = None, app: int = 1
) -> dict[str, object]:
    caller = {"Authorization": f"Bearer cae_live_app_{app}"}
    line: dict[str, object] = {
        "method": method,
        "path": f"/api/sdk/v1{path}",
        "headers": caller | dict(headers),
    }
    return line if body is None else line | {"body": body}


def test_log_of_a_failed_model_run_holds_all_callers_and_steps(compare: Compare) -> None:
    served = Served(change=at(3, status=418, detail="é"))
    steps = ("expire", 0), ("get", 0), ("stranger", 0), ("create", 0)
    _, log = failure(compare, *steps, served=served)
    lines = [json.loads(line) for line in log]
    assert [line.pop("at") for line in lines] == ["2026-01-01T00:00:00.001Z"] * 7
    connection = lines[3]["response"]["body"]["connection"]
    assert connection["id"] == "c5"
    made = logged(
        "POST",
        path="/connections",
        headers={"Idempotency-Key": "key-1", "Content-Type": "application/json"},
        body={"appUserId": "user-1", "dataPackages": ["clinical_summary", "labs"]},
    )
    next_action = {
        "type": "open_webview",
        "url": "https://connect.example/5",
        "expiresAt": "2026-01-01T00:30:00.001Z",
    }
    absent = lines[6]["response"]["body"]
    assert lines == [
        *[
            {"register": registered(number, account)}
            for number, account in ((1, 2), (2, 2), (3, 3))
        ],
        {
            "request": made,
            "response": {
                "status": 201,
                "body": {"connection": connection, "nextAction": next_action},
            },
        },
        {"fact": {"type": "connection.expire", "connectionId": "c5"}},
        {
            "request": logged("GET", "/connections/c5", {}),
            "response": {"status": 200, "body": {"connection": connection}},
        },
        {
            "request": logged("GET", "/connections/c5", {}, app=3),
            "response": {"status": 418, "body": absent},
        },
    ]
    assert absent["code"] == "NOT_FOUND"
    assert '"detail": "é"' in log[-1]


def test_model_check_stops_at_the_first_response_that_differs(compare: Compare) -> None:
    for steps in ([], [("get", 0)]):
        what, log = failure(compare, *steps, served=Served(change=at(1, status=500)))
        assert what == "answered 500 instead of 201 (rule operation.create-connection)"
        assert len(log) == 4


# --- The shortest log ----------------------------------------------------------------------------


class Lies(Served):
    """A run whose responses to graduations have the status 500 if a condition holds."""

    def __init__(self, lie: Callable[[list[str]], bool]) -> None:
        super().__init__(change=self.answer)
        self.lie = lie
        self.sent: list[str] = []

    def answer(self, number: int, request: Request, answer: Response) -> Response:
        if number == 1:
            self.sent.clear()
        self.sent.append(request.target.rpartition("/")[2])
        is_graduation = self.sent[-1] == "graduation-handoff"
        return attrs.evolve(answer, status=500) if is_graduation and self.lie(self.sent) else answer


GRADUATION: Final = ("graduation", 0)
INITIATE: Final = ("initiate", 0)
CREATE: Final = ("create", 0)
STATE: Final = ("account-state", 0)


@pytest.mark.parametrize(
    ("lie", "steps", "kept", "trials"),
    [
        # Halves that are not needed are dropped at once.
        (lambda _: True, [STATE] * 7 + [GRADUATION], ["graduation"], 2),
        # A step that is needed stays, wherever it is.
        (
            lambda it: "initiate" in it,
            [INITIATE, STATE, STATE, STATE, GRADUATION],
            ["initiate", "graduation"],
            5,
        ),
        (
            lambda it: "initiate" in it,
            [*[STATE] * 4, INITIATE, STATE, STATE, GRADUATION],
            ["initiate", "graduation"],
            7,
        ),
        # Without some steps, an earlier step may differ; the rest is then cut.
        (
            lambda it: it.count("connections") % 2 == 1,
            [CREATE, GRADUATION, CREATE, GRADUATION],
            ["graduation"],
            3,
        ),
        # The steps after the first difference do not count.
        (
            lambda it: "initiate" in it,
            [INITIATE, STATE, GRADUATION, STATE],
            ["initiate", "graduation"],
            3,
        ),
        # A step that differs alone is tried no further.
        (lambda _: True, [GRADUATION, STATE], ["graduation"], 0),
        (
            lambda it: len(it) == 6,
            [STATE, STATE, STATE, STATE, GRADUATION],
            ["account-state"] * 4 + ["graduation"],
            6,
        ),
    ],
)
def test_failure_log_omits_steps_that_the_failure_does_not_need(
    compare: Compare,
    lie: Callable[[list[str]], bool],
    steps: list[tuple[str, int]],
    kept: list[str],
    trials: int,
) -> None:
    served = Lies(lie)
    _, log = failure(compare, *steps, served=served, trials=60)
    paths = [json.loads(line)["request"]["path"].rpartition("/")[2] for line in log[4:]]
    assert [path.partition("?")[0].removesuffix("-handoff") for path in paths] == kept
    assert served.runs == trials


@pytest.mark.parametrize(("trials", "length"), [(0, 6), (1, 6), (2, 6), (3, 5), (8, 5)])
def test_failure_log_is_shrunk_in_at_most_the_allowed_trials(
    compare: Compare, trials: int, length: int
) -> None:
    served = Lies(lambda it: len(it) > 5)
    _, log = failure(compare, *[STATE] * 5, GRADUATION, served=served, trials=trials)
    assert len(log) - 4 == length
    assert served.runs == trials
