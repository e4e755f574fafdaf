"""Checks of idempotency keys: retries get the first response, and no other request gets it."""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, refusal, require, same, success
from curae_lifecycle.testing.conformance.connections import MINUTE, MOMENT
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    build_successful_request,
    needs_key,
    short_name,
)
from curae_lifecycle.testing.conformance.steps import Operations, Steps, later, send
from curae_lifecycle.testing.laws import check_replay
from curae_lifecycle.web.request import Request

KEY_REUSED: Final = (422, "IDEMPOTENCY_KEY_REUSED")
"""The status and the code of the refusal of a reused idempotency key."""


def expect_replay(app: App, request: Request, first: Response) -> Steps[None]:
    """Send a request again, and raise unless the response repeats the first response.

    Args:
        app: The SDK app. Its context names the response headers that may differ.
        request: The request.
        first: The first response to the request, or to another request that means the same.

    Raises:
        NotConformingError: The statuses differ.
        LawBrokenError: The bodies differ, or headers that must be the same.
    """
    again, varying = (yield from send(request)), app.context.varying
    require(
        first.status == again.status,
        f"the retry got {client.in_short(again)} instead of the first response, "
        f"{client.in_short(first)}",
    )
    check_replay(client.lasting(first, varying), client.lasting(again, varying))


def expect_key_reused(request: Request, differs: str) -> Steps[None]:
    """Send a request, and raise unless it is refused because another request used its key.

    Args:
        request: The request.
        differs: What differs between the two requests: `operation` or `values`.

    Raises:
        NotConformingError: The response is anything else.
    """
    details = yield from refusal(request, *KEY_REUSED)
    same(dict(details), {"differs": differs}, "details")


def _retry_is_replayed(kind: Kind, app: App) -> Steps[None]:
    request = yield from build_successful_request(app, kind)
    first = yield from client.expect_answer(request, kind.rule.status)
    for _ in range(2):
        yield from later(app.context, MOMENT)
        yield from expect_replay(app, request, first)


CHECKS: Final = Checks()

REPLAY_RULES: Final = ("idempotency.completed.same",)
"""The names of the rules by which a retry gets the first response."""

REUSE_RULES: Final = ("idempotency.completed.other", "problem.key-reused", "request.idempotency")
"""The names of the rules that refuse a reused idempotency key."""


@CHECKS.add("idempotency.replay.after-all-moved", laws=(9,), rules=REPLAY_RULES)
def _replayed_after_changes(app: App) -> Steps[None]:
    """Replays repeat the first response even after everything in it has changed."""
    made = app.create("user")
    created = yield from send(made)
    connection_id = client.text(client.expect(created, client.CREATED), "connection.id")
    revoking = app.revoke(connection_id)
    revoked = yield from send(revoking)
    recovering = app.reconnect(connection_id)
    recovered = yield from send(recovering)
    successor = client.text(client.expect(recovered, client.CREATED), "connection.id")
    yield from app.revoked(successor)
    yield from later(app.context, MINUTE)
    for request, first in ((made, created), (revoking, revoked), (recovering, recovered)):
        yield from expect_replay(app, request, first)


@CHECKS.add("idempotency.absent", rules=("idempotency.absent",))
def _two_keys_execute(app: App) -> Steps[None]:
    """Requests with the same body and different keys both execute."""
    one = yield from client.created_id(app.create("user"))
    two = yield from client.created_id(app.create("user"))
    require(one != two, "two keys got the same connection")


def _equal_bodies_are_replayed(first: bytes, again: bytes, path: str, app: App) -> Steps[None]:
    key = app.new_key()
    original = yield from client.expect_answer(
        app.request("POST", path, first, key=key), client.CREATED
    )
    yield from expect_replay(app, app.request("POST", path, again, key=key), original)


@CHECKS.add("idempotency.same-request.id-in-upper-case", rules=REPLAY_RULES)
def _id_in_upper_case(app: App) -> Steps[None]:
    """Retries that spell the connection's id in upper case get the first response."""
    connection_id = yield from app.created_id()
    key = app.new_key()
    first = yield from client.expect_answer(app.revoke(connection_id, key=key), client.OK)
    yield from expect_replay(app, app.revoke(connection_id.upper(), key=key), first)


@CHECKS.add("idempotency.same-key.quoted", rules=REPLAY_RULES)
def _quoted_key(app: App) -> Steps[None]:
    """Keys are the same with and without quotes, and with escapes in quotes and without."""
    key = app.new_key()
    bare = app.create("user", key=key)
    first = yield from client.expect_answer(bare, client.CREATED)
    yield from expect_replay(app, app.create("user", key=f'"{key}"'), first)
    escaped = app.new_key()
    odd = yield from client.expect_answer(
        app.create("user", key=f'"{escaped}\\"\\\\"'), client.CREATED
    )
    yield from expect_replay(app, app.create("user", key=f'{escaped}"\\'), odd)


@CHECKS.add("idempotency.other-key.case", rules=("idempotency.absent",))
def _keys_differ_by_case(app: App) -> Steps[None]:
    """Keys that differ only in case are different keys."""
    key = app.new_key()
    one = yield from client.created_id(app.create("one", key=key))
    two = yield from client.created_id(app.create("two", key=key.upper()))
    require(one != two, "two keys got the same connection")


@CHECKS.add("idempotency.other-key.last-character", rules=("idempotency.absent",))
def _keys_differ_at_the_end(app: App) -> Steps[None]:
    """Keys that differ only in the last character, or have one more, are different keys."""
    short, long = app.new_key(), (app.new_key() + "k" * 254)[:254]
    for number, key in enumerate((short, f"{short}.", long, f"{long}a", f"{long}b")):
        yield from success(app.create(f"user-{number}", key=key), client.CREATED)


@CHECKS.add("idempotency.completed.other", laws=(12,), rules=REUSE_RULES)
def _another_body(app: App) -> Steps[None]:
    """Reusing a key with another body is refused, and the first response can still be replayed."""
    key = app.new_key()
    request = app.create("user", key=key)
    first = yield from client.expect_answer(request, client.CREATED)
    for other in (
        app.create("another", key=key),
        app.create("user", client.PACKAGES[:1], key=key),
        app.create("user", (*client.PACKAGES, "more"), key=key),
    ):
        yield from expect_key_reused(other, "values")
    yield from expect_replay(app, request, first)


@CHECKS.add("idempotency.other-request.preference", rules=REUSE_RULES)
def _another_preference(app: App) -> Steps[None]:
    """Reusing a key for an initiate with the other `preferSignup` is refused."""
    key = app.new_key()
    yield from success(app.initiate("user", key=key), client.CREATED)
    yield from expect_key_reused(app.initiate("user", prefer_signup=True, key=key), "values")


@CHECKS.add("idempotency.other-request.path", laws=(12,), rules=REUSE_RULES)
def _another_path(app: App) -> Steps[None]:
    """Reusing a key for another operation or another connection is refused and not executed."""
    one = yield from app.created_id()
    two = yield from app.created_id()
    key = app.new_key()
    yield from success(app.revoke(one, key=key), client.OK)
    yield from expect_key_reused(app.revoke(two, key=key), "values")
    yield from expect_key_reused(app.reconnect(one, key=key), "operation")
    yield from expect_key_reused(app.create("user", key=key), "operation")
    yield from app.shows(two, "PENDING")


@CHECKS.add("idempotency.other-request.tells-no-values", rules=("problem.key-reused",))
def _refusal_reveals_no_values(app: App) -> Steps[None]:
    """Refusals of a reused key name the part that differs and never a value."""
    key, user = app.new_key(), app.names.word("secret")
    yield from success(app.create(user, key=key), client.CREATED)
    other = yield from send(app.create("another", key=key))
    client.expect_problem(other, *KEY_REUSED)
    for value in (user, key):
        require(value.encode() not in other.body, "the refusal contains a value of the request")


@CHECKS.add("idempotency.scope", rules=("idempotency.absent",))
def _other_api_key(app: App) -> Steps[None]:
    """Idempotency keys of different API keys do not affect each other."""
    key = app.new_key()
    first = yield from client.created_id(app.create("user", key=key))
    sibling = yield from app.second_key()
    stranger = yield from client.new_app(app.context)
    for other in (sibling, stranger):
        made = yield from client.created_id(other.create("user", key=key))
        require(made != first, "another API key got the first one's response")
        yield from success(other.create("another"), client.CREATED)


_CREATE: Final = b'{"appUserId": "ada", "dataPackages": ["clinical_summary", "labs"]}'

_INITIATE: Final = b'{"appUserId": "ada"}'

# fmt: off
BY_VALUE: Final = (
    ("order-of-members",  "the order of members", _CREATE,
     b'{"dataPackages":["clinical_summary","labs"],"appUserId":"ada"}', "/connections"),
    ("white-space",       "white space", _CREATE,
     b' {\n"appUserId" : "ada",\t"dataPackages":[ "clinical_summary","labs" ] }\r\n', "/connections"),
    ("order-of-packages", "the order and repetition of packages", _CREATE,
     b'{"appUserId": "ada", "dataPackages": ["labs", "clinical_summary", "labs"]}', "/connections"),
    ("escapes",           "escaped characters", _CREATE,
     rb'{"appUserId": "\u0061da", "dataPackages": ["clinical_summary", "l\u0061bs"]}', "/connections"),
    ("false-preference",  "whether a false preferSignup is written out", _INITIATE,
     b'{"appUserId": "ada", "preferSignup": false}', "/curae-connect/initiate"),
)
# fmt: on
"""Pairs of bodies that are the same request.

Each holds a name for the check, the difference, both bodies, and the path of the operation.
"""


CHECKS.extend(
    Check(
        f"idempotency.same-request.{name}",
        f"Requests that differ only in {what} are the same request.",
        partial(_equal_bodies_are_replayed, first, again, path),
        laws=(9,),
        rules=REPLAY_RULES,
    )
    for name, what, first, again, path in BY_VALUE
)


def checks(operations: Operations) -> list[Check]:
    """Return a check for each operation that needs a key: a retry gets the first response again."""
    return [
        Check(
            f"idempotency.replay.{short_name(kind)}",
            f"A retry of {short_name(kind)} with the same key gets the first response, "
            "byte for byte.",
            partial(_retry_is_replayed, kind),
            laws=(9, 12),
            rules=REPLAY_RULES,
        )
        for kind in operations
        if needs_key(kind.rule)
    ]
