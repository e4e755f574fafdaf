"""Checks of stored responses, their retention, and concurrent requests with one key."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, refusal, require, success
from curae_lifecycle.testing.conformance.connections import MINUTE
from curae_lifecycle.testing.conformance.idempotency import (
    KEY_REUSED,
    REPLAY_RULES,
    REUSE_RULES,
    expect_key_reused,
    expect_replay,
)
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    build_successful_request,
    needs_key,
    short_name,
)
from curae_lifecycle.testing.conformance.steps import (
    CONCURRENT_REQUESTS,
    Operations,
    Steps,
    send,
    send_concurrently,
    wait,
)
from curae_lifecycle.testing.laws import check_one_execution

RETENTION: Final = timedelta(hours=24)
"""How long a server stores a response, from the first use of its idempotency key."""

CHECKS: Final = Checks()


@CHECKS.add("idempotency.kept.409", laws=(9,), rules=(*REPLAY_RULES, "problem-status.conflict"))
def _conflict_is_stored(app: App) -> Steps[None]:
    """Conflicts (409) that a rule decided are stored; a new decision needs a new key."""
    connection_id = yield from app.created_id()
    request = app.reconnect(connection_id)
    first = yield from send(request)
    client.expect_problem(first, 409, "CONNECTION_NOT_RECONNECTABLE")
    yield from app.revoked(connection_id)
    yield from expect_replay(app, request, first)
    yield from success(app.reconnect(connection_id), client.CREATED)


@CHECKS.add("idempotency.kept.404", laws=(9,), rules=(*REPLAY_RULES, "problem-status.absent"))
def _not_found_is_stored(app: App) -> Steps[None]:
    """Responses with status 404 are stored."""
    connection_id = yield from app.created_id()
    key, unknown = app.new_key(), app.names.uuid()
    first = yield from send(app.revoke(unknown, key=key))
    client.expect_problem(first, 404, "NOT_FOUND")
    yield from expect_replay(app, app.revoke(unknown, key=key), first)
    yield from expect_key_reused(app.revoke(connection_id, key=key), "values")


@CHECKS.add("idempotency.not-kept.400", rules=("problem-status.invalid", "idempotency.absent"))
def _bad_request_frees_key(app: App) -> Steps[None]:
    """Requests refused with 400 leave their key free for another request."""
    for body in (b"{", {"appUserId": "user", "dataPackages": ["labs"], "extra": 1}):
        key = app.new_key()
        yield from refusal(app.request("POST", "/connections", body, key=key), 400, "BAD_REQUEST")
        yield from success(app.create("user", key=key), client.CREATED)


@CHECKS.add("idempotency.not-kept.429", rules=("problem-status.limited", "idempotency.absent"))
def _rate_limit_frees_key(app: App) -> Steps[None]:
    """Requests refused by the app user's limit leave their key free for another request."""
    yield from app.use_up_initiates("user")
    key = app.new_key()
    yield from refusal(app.initiate("user", key=key), 429, "RATE_LIMITED")
    yield from success(app.initiate("another", key=key), client.CREATED)


@CHECKS.add(
    "idempotency.not-kept.429-later",
    rules=("idempotency.absent",),
    hooks=("pass_time",),
    time_needed=MINUTE,
)
def _limited_request_is_retried(app: App) -> Steps[None]:
    """Requests refused by the app user's limit execute on a later retry with the same key."""
    yield from app.use_up_initiates("user")
    request = app.initiate("user")
    yield from refusal(request, 429, "RATE_LIMITED")
    yield from wait(MINUTE)
    first = yield from client.expect_answer(request, client.CREATED)
    yield from expect_replay(app, request, first)


@CHECKS.add("idempotency.not-kept.422", laws=(11,), rules=(*REUSE_RULES, "problem-status.mismatch"))
def _reuse_changes_nothing(app: App) -> Steps[None]:
    """Refused reuses of a key do not change the stored response."""
    request = app.create("user")
    first = yield from client.expect_answer(request, client.CREATED)
    key = client.headers(Response(0, request.headers, b""), "idempotency-key")[0]
    for _ in range(2):
        yield from expect_key_reused(app.create("another", key=key), "values")
    yield from expect_replay(app, request, first)


@CHECKS.add(
    "idempotency.retention",
    laws=(9,),
    rules=("idempotency.absent", *REPLAY_RULES),
    hooks=("pass_time",),
    time_needed=RETENTION,
)
def _retention(app: App) -> Steps[None]:
    """Responses are stored for 24 hours from the first use of their key, however often replayed."""
    request = app.create("user")
    first = yield from send(request)
    made = client.text(client.expect(first, client.CREATED), "connection.id")
    conflict = app.reconnect(made)
    refused = yield from send(conflict)
    client.expect_problem(refused, 409, "CONNECTION_NOT_RECONNECTABLE")
    for span in (RETENTION / 2, RETENTION / 2 - MINUTE):
        yield from wait(span)
        yield from expect_replay(app, request, first)
        # The conflict ended with the hosted page: only its stored response is still the same.
        yield from expect_replay(app, conflict, refused)
    yield from wait(MINUTE)
    again = yield from client.created_id(request)
    require(again != made, "the response was stored longer than 24 hours")


@CHECKS.add(
    "idempotency.retention.other",
    rules=("idempotency.absent", "idempotency.completed.other"),
    hooks=("pass_time",),
    time_needed=RETENTION,
)
def _key_is_free_after_retention(app: App) -> Steps[None]:
    """Keys are bound to their request for 24 hours and free for another one afterwards."""
    key, of_unknown = app.new_key(), app.new_key()
    yield from success(app.create("user", key=key), client.CREATED)
    yield from refusal(app.revoke(app.names.uuid(), key=of_unknown), 404, "NOT_FOUND")
    yield from wait(RETENTION - MINUTE)
    other = app.create("another", key=key)
    yield from expect_key_reused(other, "values")
    yield from expect_key_reused(app.revoke(app.names.uuid(), key=of_unknown), "values")
    yield from wait(MINUTE)
    yield from success(other, client.CREATED)


@CHECKS.add("idempotency.cookies", laws=(9,))
def _cookies_are_not_replayed(app: App) -> Steps[None]:
    """Replays never contain the Set-Cookie header of the first response."""
    request = app.create("user")
    first = yield from send(request)
    again = yield from send(request)
    connection_id = client.text(client.expect(first, client.CREATED), "connection.id")
    plain = yield from send(app.get(connection_id))
    replayed = {*client.headers(first, "set-cookie")} & {*client.headers(again, "set-cookie")}
    # A web server or proxy in front may set the same cookie on every response.
    always_set = {*client.headers(plain, "set-cookie")}
    require(replayed <= always_set, "a Set-Cookie header was replayed")


@CHECKS.add("idempotency.replay-is-free", laws=(9,), rules=("request.idempotency", "request.limit"))
def _replay_is_free(app: App) -> Steps[None]:
    """Replays are not charged to the app user, not even at the limit."""
    request = app.initiate("user")
    first = yield from client.expect_answer(request, client.CREATED)
    for _ in range(client.INITIATES_PER_MINUTE):
        yield from expect_replay(app, request, first)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE - 1)
    yield from refusal(app.initiate("user"), 429, "RATE_LIMITED")
    yield from expect_replay(app, request, first)


def _concurrent_retries(kind: Kind, app: App) -> Steps[None]:
    request = yield from build_successful_request(app, kind)
    answers = yield from send_concurrently((request,) * CONCURRENT_REQUESTS)
    status = kind.rule.status
    done = [client.lasting(each, app.context.varying) for each in answers if each.status == status]
    for each in answers:
        if each.status != status:
            client.expect_problem(each, 409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    require(len(done) > 0, "no request was executed")
    check_one_execution(done, 1)
    yield from expect_replay(app, request, done[0])


@CHECKS.add("idempotency.at-once.charged-once", laws=(9, 12))
def _concurrent_initiates(app: App) -> Steps[None]:
    """Concurrent retries of an initiate with one key are charged once."""
    request = app.initiate("user")
    yield from send_concurrently((request,) * CONCURRENT_REQUESTS)
    yield from success(request, client.CREATED)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE - 1)


@CHECKS.add("idempotency.at-once.other-bodies", laws=(12,), rules=REUSE_RULES)
def _concurrent_bodies(app: App) -> Steps[None]:
    """Concurrent requests with one key and different bodies: exactly one executes."""
    key = app.new_key()
    requests = tuple(
        [app.create(f"user-{number}", key=key) for number in range(CONCURRENT_REQUESTS)]
    )
    answers = yield from send_concurrently(requests)
    done = [each for each in answers if each.status == client.CREATED]
    for each in answers:
        if each.status != client.CREATED:
            client.expect_problem(each, *KEY_REUSED)
    require(len(done) == 1, f"{len(done)} requests were executed instead of 1")


def checks(operations: Operations) -> list[Check]:
    """Return a check for each operation that needs an idempotency key.

    Each check shows that concurrent requests with one key execute once.
    """
    return [
        Check(
            f"idempotency.at-once.{short_name(kind)}",
            f"Concurrent requests for {short_name(kind)} with one key execute once.",
            partial(_concurrent_retries, kind),
            laws=(12,),
        )
        for kind in operations
        if needs_key(kind.rule)
    ]
