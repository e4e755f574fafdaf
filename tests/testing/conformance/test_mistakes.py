"""Tests that one mistake of a server fails one check with its message."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest

from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.testing.conformance import ApiKeyRequest, Request, Response, Server, run
from tests.support.kit import Reference, written

Change = Callable[["Wrong", Request, Response], Response]


class Wrong(Reference):
    """A server that changes its responses before it sends them."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change
        self.app_id = ""
        self.user_id = ""
        self.sent = 0

    def send(self, request: Request) -> Response:
        self.sent += 1
        return self.change(self, request, super().send(request))

    def make_key(self, wanted: ApiKeyRequest) -> str:
        self.app_id = wanted.app_id
        return super().make_key(wanted)

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        self.user_id = user_id
        return super().complete_handoff(session_id, user_id)


def members(**changed: object) -> Change:
    """Change members by their path, such as `connection__id`, at any place."""

    def change(server: Wrong, request: Request, answer: Response) -> Response:
        del server, request
        return written(answer, changed)

    return change


def header(name: str, value: str) -> Change:
    def change(server: Wrong, request: Request, answer: Response) -> Response:
        del server, request
        kept = tuple(pair for pair in answer.headers if pair[0] != name)
        return attrs.evolve(answer, headers=(*kept, (name, value)))

    return change


def old_id(server: Wrong, request: Request, answer: Response) -> Response:
    del server
    if not request.target.endswith(":reconnect") or answer.status != 201:
        return answer
    return written(answer, {"connection__id": json.loads(answer.body)["previousConnectionId"]})


def waits(seconds: int) -> Change:
    def change(server: Wrong, request: Request, answer: Response) -> Response:
        del server, request
        if answer.status != 429:
            return answer
        policy = json.loads(answer.body)["details"]["policy"]
        said = {"retry-after": str(seconds), "ratelimit": f'"{policy}";r=0;t={seconds}'}
        headers = tuple((name, said.get(name, value)) for name, value in answer.headers)
        return written(attrs.evolve(answer, headers=headers), {"details__retryAfter": seconds})

    return change


def never_done(server: Wrong, request: Request, answer: Response) -> Response:
    del server
    if request.method == "GET":
        return answer
    problem = {"code": "IDEMPOTENCY_KEY_IN_FLIGHT", "details": {"retryAfter": 1}}
    return attrs.evolve(answer, status=409, body=json.dumps(problem).encode())


def unlimited(server: Wrong, request: Request, answer: Response) -> Response:
    del request
    server.world._rates.clear()
    server.world._accounts._by_owner.clear()
    return answer


def refunds(server: Wrong, request: Request, answer: Response) -> Response:
    del request
    if answer.status == 404:
        server.world._rates.clear()
        server.world._accounts._by_owner.clear()
    return answer


def charged(status: int, server: Wrong, request: Request, answer: Response) -> Response:
    if answer.status == status:
        target = "/api/sdk/v1/curae-connect/account-state?appUserId=u"
        Reference.send(server, Request("GET", target, request.headers[:1]))
    return answer


def never_refused(server: Wrong, request: Request, answer: Response) -> Response:
    del server, request
    return attrs.evolve(answer, status=201)


def says(path: str, what: Callable[[Wrong, Request], str]) -> Change:
    def change(server: Wrong, request: Request, answer: Response) -> Response:
        return written(answer, {path: what(server, request)})

    return change


def counted(server: Wrong, request: Request, answer: Response) -> Response:
    del request
    return attrs.evolve(answer, headers=(*answer.headers, ("x-count", str(server.sent))))


def flickers(server: Wrong, request: Request, answer: Response) -> Response:
    shown = request.method == "GET" and server.sent % 3 == 0
    return written(answer, {"connection__status": "PENDING"}) if shown else answer


def always_modified(server: Wrong, request: Request, answer: Response) -> Response:
    if answer.status != 304:
        return answer
    kept = tuple(pair for pair in request.headers if pair[0] != "If-None-Match")
    return Reference.send(server, attrs.evolve(request, headers=kept))


def cut(server: Wrong, request: Request, answer: Response) -> Response:
    del server
    return attrs.evolve(answer, body=b"{") if request.method == "GET" else answer


def adds(server: Wrong, request: Request, answer: Response) -> Response:
    del server, request
    body = json.loads(answer.body)
    body.get("connection", {})["grantId"] = "g-1"
    return attrs.evolve(answer, body=json.dumps(body).encode())


def authorization(server: Wrong, request: Request) -> str:
    del server
    return dict(request.headers).get("Authorization", "")


def idempotency_key(server: Wrong, request: Request) -> str:
    del server
    return dict(request.headers).get("Idempotency-Key", "")


ONE_ID = members(connection__id="c0ffee00-0000-4000-8000-00000000abcd")

SHOUTED = members(connection__id=str.upper)

ONE_URL = members(nextAction__url="https://connect.example/1")

NO_LIFE = members(
    session__expiresAt="2020-01-05T09:00:00Z", nextAction__expiresAt="2020-01-05T09:00:00Z"
)

WRONG: tuple[tuple[str, str, Change], ...] = (
    ("connection.reconnect.revoked", "the recovery has the old id", old_id),
    ("law-06.chain-of-three", "an id occurs twice in the chain", old_id),
    (
        "standing.active",
        "authorizedAt is before createdAt",
        members(connection__createdAt="2030-01-01T00:00:00Z"),
    ),
    ("request.body.id-in-any-case", "not in lower case", SHOUTED),
    (
        "request.body.no-json",
        'the first fault is {"member": null, "fault": "INVALID"}',
        members(details__fault="INVALID"),
    ),
    (
        "request.body.app-user",
        'instead of {"member": "appUserId", "fault": "INVALID"}',
        members(details__member=None),
    ),
    (
        "request.body.member-missing",
        'instead of {"member": "appUserId", "fault": "MISSING"}',
        members(details__member="dataPackages"),
    ),
    (
        "request.body.malformed-id",
        'instead of {"member": "connectionId", "fault": "INVALID"}',
        members(details__member=None),
    ),
    ("request.body.query", '"fault": "MISSING"}', members(details__fault="INVALID")),
    ("operation.get-connection", "is not a UUID in lower case", SHOUTED),
    ("idempotency.absent", "two keys got the same connection", ONE_ID),
    ("idempotency.other-key.case", "two keys got the same connection", ONE_ID),
    ("idempotency.scope", "another API key got the first one's response", ONE_ID),
    ("idempotency.retention", "instead of 409 CONNECTION_NOT_RECONNECTABLE", ONE_ID),
    ("create.looks-for-no-earlier-one", "returned the first connection", ONE_ID),
    (
        "idempotency.other-request.tells-no-values",
        "contains a value of the request",
        says("detail", idempotency_key),
    ),
    ("idempotency.at-once.create", "no request was executed", never_done),
    ("request.limit", "not whole seconds", header("retry-after", "1.5")),
    ("request.limit", "Retry-After is 99 s instead of at most 60 s", waits(99)),
    ("request.limit", "law 10 is broken", unlimited),
    ("request.buckets", "Retry-After is 30 s instead of", waits(30)),
    ("bucket.charges", "was not charged", refunds),
    ("bucket.charges", "was charged", lambda *it: charged(400, *it)),
    ("recovery.revoked.pending", "has the same URL as the first response", ONE_URL),
    ("recovery.revoked.pending", "moved by", members(nextAction__expiresAt="2030-01-01T00:00:00Z")),
    ("graduation-handoff.fresh", "have the same URL", ONE_URL),
    ("law-01.rank-never-falls", "became PENDING", flickers),
    ("entry-path.unlinked.silent", "has expired when it is created", NO_LIFE),
    (
        "initiate.fresh-sessions",
        "session.id occurred in an earlier response",
        members(session__id="c0ffee00-1"),
    ),
    ("operation.revoke", "revokedNow is not a boolean", members(revokedNow="yes")),
    (
        "operation.create-connection",
        "nextAction.url is not a non-empty string",
        members(nextAction__url=""),
    ),
    ("law-16.problems", "not a base URI followed by", members(type="problem")),
    ("law-16.problems", "title is not a non-empty string", members(title="")),
    ("law-16.problems", "BAD_REQUEST must have the status 400", members(status=500)),
    ("law-13.nothing-internal", "contains the API key", says("nextAction__url", authorization)),
    (
        "law-13.nothing-internal",
        "contains the app's id",
        says("nextAction__url", lambda it, _: it.app_id),
    ),
    ("law-13.nothing-internal", "contains the unknown API key", says("detail", authorization)),
    (
        "law-13.no-user-id",
        "contains the platform's user id",
        says("nextAction__url", lambda it, _: it.user_id),
    ),
    ("account-state.not-modified", "instead of one strong entity tag", header("etag", 'W/"x"')),
    ("account-state.not-modified", "instead of 304", always_modified),
    ("account-state.moved", "has not changed", header("etag", '"x"')),
    (
        "account-state.tags-differ",
        'the states UNLINKED and LIMITED share a tag: "x"',
        header("etag", '"x"'),
    ),
    ("bucket.charges", "charged more than once", lambda *it: charged(404, *it)),
    ("idempotency.at-once.other-bodies", "8 requests were executed instead of 1", never_refused),
    ("law-16.problems", "answered 400 NOT_FOUND instead of BAD_REQUEST", members(code="NOT_FOUND")),
    ("model.side-by-side", "differs from the first response", counted),
    ("model.side-by-side", "answered 201 instead of 429", unlimited),
    ("model.side-by-side", "instead of", cut),
    ("model.side-by-side", "body.connection.grantId is not a listed member", adds),
    ("model.side-by-side", "body.connection.status is", flickers),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "what", "change"), WRONG, ids=[f"{check}: {what}" for check, what, _ in WRONG]
)
def test_each_server_bug_fails_its_kit_check_with_a_message(
    check: str, what: str, change: Change
) -> None:
    report = run(Wrong(change).server(), seed="1", only=[check])
    assert what in report.failed[0].message


def test_replay_may_set_a_cookie_only_if_every_response_does() -> None:
    def cookies(*, everywhere: bool) -> Server:
        reference = Reference()

        def send(request: Request) -> Response:
            answer = reference.send(request)
            if everywhere or request.method == "POST":
                return attrs.evolve(answer, headers=(*answer.headers, ("set-cookie", "a=1")))
            return answer

        return attrs.evolve(reference.server(), send=send)

    only = ["idempotency.cookies"]
    found = run(cookies(everywhere=False), seed="1", only=only)
    front = run(cookies(everywhere=True), seed="1", only=only)
    assert "a Set-Cookie header was replayed" in found.failed[0].message
    assert front.passed


def test_kit_fails_a_replay_with_the_first_responses_date_header() -> None:
    kept: dict[str, Response] = {}

    def replays(server: Wrong, request: Request, answer: Response) -> Response:
        return kept.setdefault(idempotency_key(server, request) or str(server.sent), answer)

    only = ["idempotency.dates"]
    found = run(Wrong(replays).server(), seed="1", only=only)
    assert "the replay has the Date of the first response" in found.failed[0].message
    wall = run(Wrong(header("date", "Mon, 05 Jan 2026 09:00:00 GMT")).server(), seed="1", only=only)
    assert "does not follow the clock" in wall.not_run[0].reason
    none = Wrong(lambda _, __, answer: attrs.evolve(answer, headers=answer.headers[:-1]))
    assert (
        run(none.server(), seed="1", only=only).not_run[0].reason
        == "the server sends no valid Date header"
    )


def test_kit_fails_a_fact_hook_with_an_incorrect_outcome() -> None:
    reference = Reference()

    def tombstone(coordinate: Coordinate) -> str:
        reference.tombstone(coordinate)
        return "refused"

    server = attrs.evolve(reference.server(), tombstone=tombstone)
    report = run(server, seed="1", only=["model.side-by-side"])
    assert "the outcome of the fact is refused instead of" in report.failed[0].message


def test_kit_fails_authorize_hooks_that_double_the_given_time() -> None:
    reference = Reference()

    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        return reference.authorize(connection_id, None if lifetime is None else 2 * lifetime)

    def authorize_late(connection_id: str, ago: timedelta) -> str:
        return reference.authorize_late(connection_id, 2 * ago)

    server = attrs.evolve(reference.server(), authorize=authorize, authorize_late=authorize_late)
    report = run(server, seed="1", only=["standing.active", "authorization.no-successor"])
    accounts = [each.message for each in report.failed]
    assert "the authorization lasts 1:59:59" in accounts[0]
    assert "before updatedAt" in accounts[1]


class ReadsEscapedColons(Reference):
    """A server that reads `%3A` in a path as `:`."""

    def send(self, request: Request) -> Response:
        return super().send(attrs.evolve(request, target=request.target.replace("%3A", ":")))


def test_kit_fails_a_server_that_reads_percent_3a_as_a_colon() -> None:
    assert run(Reference().server(), seed="1", only=["request.route"]).passed
    (failure,) = run(ReadsEscapedColons().server(), seed="1", only=["request.route"]).failed
    assert "%3A" in failure.message


def test_slow_server_passes_the_rate_limit_kit_checks() -> None:
    slow = Reference(tick=timedelta(seconds=7))
    assert run(slow.server(), seed="1", only=["request.limit"]).passed
    slow = Reference(tick=timedelta(seconds=3, milliseconds=800))
    assert run(slow.server(), seed="1", only=["limit.retry-after"]).passed
