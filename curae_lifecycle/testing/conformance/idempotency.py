"""Checks of idempotency keys: one execution, and its answer again, byte for byte."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    OK,
    PACKAGES,
    App,
    create,
    expect,
    expect_problem,
    get,
    headers,
    id_of,
    initiate,
    lasting,
    member,
    new_app,
    revoke,
    same,
    second_key,
    status_of,
    told,
)
from curae_lifecycle.testing.conformance.connections import (
    MINUTE,
    MOMENT,
    bring,
)
from curae_lifecycle.testing.conformance.recovery import MANY, later
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    NotConformingError,
    Steps,
    send,
    together,
    wait,
)
from curae_lifecycle.testing.laws import check_one_execution, check_replay
from curae_lifecycle.web.request import Request

RETENTION: Final = timedelta(hours=24)
REUSED: Final = (422, "IDEMPOTENCY_KEY_REUSED")
LIMIT: Final = 10
"""How many initiates of one user are admitted in a minute."""

_STATUS: Final = {"create": CREATED, "reconnect": CREATED, "revoke": OK, "initiate": CREATED}
"""The mutations that need a key, and their status of success."""


def keyed(app: App, operation: str, key: str) -> Steps[Request]:
    """A mutation that will succeed, with this key; what it acts on is new."""
    match operation:
        case "create":
            return app.create(app.names.word("user"), key=key)
        case "initiate":
            return app.initiate(app.names.word("user"), key=key)
        case "revoke":
            return app.revoke(id_of((yield from create(app))), key=key)
        case _:
            return app.reconnect((yield from bring(app, Standing.REVOKED)), key=key)


def replays(kit: Kit, first: Response, again: Response) -> None:
    """Raise unless an answer is the first one again."""
    if first.status != again.status:
        what = f"answered {told(again)}, and not the first answer ({told(first)}) again"
        raise NotConformingError(what, "a request sent again with its key")
    check_replay(lasting(first, kit.varying), lasting(again, kit.varying))


def _reused(answer: Response, where: str, differs: str) -> None:
    details = expect_problem(answer, *REUSED, where)
    same(dict(details), {"differs": differs}, "details", where)


# --- The same request again -----------------------------------------------------------------


def _replayed(operation: str, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = yield from keyed(app, operation, app.new_key())
    first = yield from send(request)
    expect(first, _STATUS[operation], operation)
    for _ in range(2):
        yield from later(kit, MOMENT)
        replays(kit, first, (yield from send(request)))


def _replayed_after_all_moved(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    made = app.create("user", key=app.new_key())
    created = yield from send(made)
    where = "create a connection"
    connection_id = str(member(expect(created, CREATED, where), "connection.id", where))
    revoking = app.revoke(connection_id, key=app.new_key())
    revoked = yield from send(revoking)
    recovering = app.reconnect(connection_id, key=app.new_key())
    recovered = yield from send(recovering)
    where = "reconnect it"
    successor = str(member(expect(recovered, CREATED, where), "connection.id", where))
    yield from revoke(app, successor)
    yield from later(kit, MINUTE)
    for request, first in ((made, created), (revoking, revoked), (recovering, recovered)):
        replays(kit, first, (yield from send(request)))


def _executed(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    one = id_of((yield from create(app, "user")))
    two = id_of((yield from create(app, "user")))
    if one == two:
        raise NotConformingError("two keys got one connection", "the same body with two keys")


def _replayed_by_value(first: bytes, again: bytes, path: str, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    original = yield from send(app.request("POST", path, first, key=key))
    expect(original, CREATED, f"POST {path}")
    replays(kit, original, (yield from send(app.request("POST", path, again, key=key))))


def _id_in_upper_case(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    key = app.new_key()
    first = yield from send(app.revoke(connection_id, key=key))
    expect(first, OK, "revoke a connection")
    replays(kit, first, (yield from send(app.revoke(connection_id.upper(), key=key))))


def _quoted_key(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    bare = app.create("user", key=key)
    first = yield from send(bare)
    expect(first, CREATED, "create a connection")
    replays(kit, first, (yield from send(app.create("user", key=f'"{key}"'))))
    escaped = app.new_key()
    odd = yield from send(app.create("user", key=f'"{escaped}\\"\\\\"'))
    expect(odd, CREATED, "create a connection with an escaped key")
    replays(kit, odd, (yield from send(app.create("user", key=f'{escaped}"\\'))))


def _keys_differ_by_case(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    one = expect((yield from send(app.create("one", key=key))), CREATED, "create a connection")
    where = "create another with the key in upper case"
    other = expect((yield from send(app.create("two", key=key.upper()))), CREATED, where)
    if member(one, "connection.id", where) == member(other, "connection.id", where):
        raise NotConformingError("two keys got one connection", where)


# --- Another request with the key -----------------------------------------------------------


def _another_body(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    request = app.create("user", key=key)
    first = yield from send(request)
    expect(first, CREATED, "create a connection")
    others = (
        ("another user", app.create("another", key=key)),
        ("other packages", app.create("user", PACKAGES[:1], key=key)),
        ("more packages", app.create("user", (*PACKAGES, "more"), key=key)),
    )
    for name, other in others:
        _reused((yield from send(other)), f"the key of a create again, with {name}", "values")
    replays(kit, first, (yield from send(request)))


def _another_preference(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    expect((yield from send(app.initiate("user", key=key))), CREATED, "initiate a session")
    other = yield from send(app.initiate("user", prefer_signup=True, key=key))
    _reused(other, "the key of an initiate again, with preferSignup", "values")


def _another_path(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    one = id_of((yield from create(app)))
    two = id_of((yield from create(app)))
    key = app.new_key()
    expect((yield from send(app.revoke(one, key=key))), OK, "revoke a connection")
    _reused((yield from send(app.revoke(two, key=key))), "the key for another id", "values")
    other = yield from send(app.reconnect(one, key=key))
    _reused(other, "the key of a revoke for a reconnect of the same id", "operation")
    other = yield from send(app.create("user", key=key))
    _reused(other, "the key of a revoke for a create", "operation")
    seen = yield from get(app, two)
    same(status_of(seen, two), "PENDING", "the other connection's status", "it was not revoked")


def _never_tells_values(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key, user = app.new_key(), app.names.word("secret")
    expect((yield from send(app.create(user, key=key))), CREATED, "create a connection")
    other = yield from send(app.create("another", key=key))
    expect_problem(other, *REUSED, "the key with another body")
    if user.encode() in other.body or key.encode() in other.body:
        raise NotConformingError("the refusal tells a value", "the key with another body")


def _other_api_key(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    first = yield from send(app.create("user", key=key))
    made = expect(first, CREATED, "create a connection")
    sibling = yield from second_key(kit, app)
    stranger = yield from new_app(kit)
    for other, who in ((sibling, "another API key of the app"), (stranger, "another customer")):
        where = f"{who} uses the same idempotency key"
        answer = expect((yield from send(other.create("user", key=key))), CREATED, where)
        if member(answer, "connection.id", where) == member(made, "connection.id", where):
            raise NotConformingError("it got the first one's answer", where)
        different = yield from send(other.create("another", key=app.new_key()))
        expect(different, CREATED, where)


# --- What is kept, and for how long ---------------------------------------------------------


def _refused_reconnect_is_kept(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    request = app.reconnect(connection_id, key=app.new_key())
    first = yield from send(request)
    expect_problem(first, 409, "CONNECTION_NOT_RECONNECTABLE", "reconnect a pending connection")
    yield from revoke(app, connection_id)
    replays(kit, first, (yield from send(request)))
    expect((yield from send(app.reconnect(connection_id))), CREATED, "the same with a new key")


def _not_found_is_kept(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    key, nobody = app.new_key(), app.names.uuid()
    first = yield from send(app.revoke(nobody, key=key))
    expect_problem(first, 404, "NOT_FOUND", "revoke an unknown id")
    replays(kit, first, (yield from send(app.revoke(nobody, key=key))))
    other = yield from send(app.revoke(connection_id, key=key))
    _reused(other, "the key of an answer 404 for another id", "values")


def _bad_request_keeps_nothing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for body in (b"{", {"appUserId": "user", "dataPackages": ["labs"], "extra": 1}):
        key = app.new_key()
        bad = yield from send(app.request("POST", "/connections", body, key=key))
        expect_problem(bad, 400, "BAD_REQUEST", "create with a body that cannot be read")
        where = "the same key with a body that can be read"
        expect((yield from send(app.create("user", key=key))), CREATED, where)


def _rate_limit_keeps_nothing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user")
    key = app.new_key()
    refused = yield from send(app.initiate("user", key=key))
    expect_problem(refused, 429, "RATE_LIMITED", f"initiate number {LIMIT + 1}")
    where = "the key of an answer 429 for another user"
    expect((yield from send(app.initiate("another", key=key))), CREATED, where)


def _rate_limit_is_asked_again(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user")
    request = app.initiate("user", key=app.new_key())
    refused = yield from send(request)
    expect_problem(refused, 429, "RATE_LIMITED", f"initiate number {LIMIT + 1}")
    yield from wait(MINUTE)
    where = "the same request with the same key, a minute after its answer 429"
    first = yield from send(request)
    expect(first, CREATED, where)
    replays(kit, first, (yield from send(request)))


def _reuse_keeps_nothing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = app.create("user", key=app.new_key())
    first = yield from send(request)
    expect(first, CREATED, "create a connection")
    key = headers(Response(0, request.headers, b""), "idempotency-key")[0]
    for _ in range(2):
        other = yield from send(app.create("another", key=key))
        _reused(other, "the key with another body, twice", "values")
    replays(kit, first, (yield from send(request)))


def _retention(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = app.create("user", key=app.new_key())
    first = yield from send(request)
    made = expect(first, CREATED, "create a connection")
    yield from wait(RETENTION / 2)
    replays(kit, first, (yield from send(request)))
    yield from wait(RETENTION / 2 - MINUTE)
    replays(kit, first, (yield from send(request)))
    yield from wait(MINUTE)
    where = f"the same request {RETENTION} after its first use"
    again = expect((yield from send(request)), CREATED, where)
    if member(again, "connection.id", where) == member(made, "connection.id", where):
        raise NotConformingError("the answer was kept longer than that", where)


def _retention_of_another(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    expect((yield from send(app.create("user", key=key))), CREATED, "create a connection")
    yield from wait(RETENTION - MINUTE)
    other = app.create("another", key=key)
    _reused((yield from send(other)), "the key with another body within a day", "values")
    yield from wait(MINUTE)
    where = f"the key with another body {RETENTION} after its first use"
    expect((yield from send(other)), CREATED, where)


def _no_cookie_again(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = app.create("user", key=app.new_key())
    first = yield from send(request)
    again = yield from send(request)
    connection_id = str(member(expect(first, CREATED, "create"), "connection.id", "create"))
    plain = yield from send(app.get(connection_id))
    replayed = {*headers(first, "set-cookie")} & {*headers(again, "set-cookie")}
    if replayed - {*headers(plain, "set-cookie")}:
        raise NotConformingError("a Set-Cookie header was replayed", "a create sent again")


# --- The app user's limit -------------------------------------------------------------------


def fill(app: App, user: str, count: int = LIMIT) -> Steps[None]:
    """Use up so many of the initiates that a minute admits."""
    for _ in range(count):
        yield from initiate(app, user)


def _replay_is_free(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = app.initiate("user", key=app.new_key())
    first = yield from send(request)
    expect(first, CREATED, "initiate a session")
    for _ in range(LIMIT):
        replays(kit, first, (yield from send(request)))
    for number in range(2, LIMIT + 1):
        where = f"initiate number {number}, after {LIMIT} replays of the first"
        expect((yield from send(app.initiate("user"))), CREATED, where)
    refused = yield from send(app.initiate("user"))
    expect_problem(refused, 429, "RATE_LIMITED", f"initiate number {LIMIT + 1}")
    replays(kit, first, (yield from send(request)))


# --- At once --------------------------------------------------------------------------------


def _one_of_many(operation: str, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = yield from keyed(app, operation, app.new_key())
    answers = yield from together((request,) * MANY)
    where = f"{operation}, {MANY} times at once with one key"
    done = [lasting(each, kit.varying) for each in answers if each.status == _STATUS[operation]]
    for each in answers:
        if each.status != _STATUS[operation]:
            expect_problem(each, 409, "IDEMPOTENCY_KEY_IN_FLIGHT", where)
    if not done:
        raise NotConformingError("none was executed", where)
    check_one_execution(done, 1)
    replays(kit, done[0], lasting((yield from send(request)), kit.varying))


def _one_initiate_of_many(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = app.initiate("user", key=app.new_key())
    yield from together((request,) * MANY)
    expect((yield from send(request)), CREATED, "initiate a session")
    for number in range(2, LIMIT + 1):
        where = f"initiate number {number}, after {MANY} at once with one key"
        expect((yield from send(app.initiate("user"))), CREATED, where)


def _one_body_of_many(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    key = app.new_key()
    requests = tuple([app.create(f"user-{number}", key=key) for number in range(MANY)])
    answers = yield from together(requests)
    where = f"{MANY} different bodies at once with one key"
    done = [each for each in answers if each.status == CREATED]
    for each in answers:
        if each.status != CREATED:
            expect_problem(each, *REUSED, where)
    if len(done) != 1:
        raise NotConformingError(f"{len(done)} were executed", where)


# --- The checks -----------------------------------------------------------------------------

_CREATE: Final = b'{"appUserId": "ada", "dataPackages": ["clinical_summary", "labs"]}'
_INITIATE: Final = b'{"appUserId": "ada"}'

BY_VALUE: Final = (
    (
        "order-of-members",
        "the order of its members",
        _CREATE,
        b'{"dataPackages":["clinical_summary","labs"],"appUserId":"ada"}',
        "/connections",
    ),
    (
        "white-space",
        "white space",
        _CREATE,
        b' {\n"appUserId" : "ada",\t"dataPackages":[ "clinical_summary","labs" ] }\r\n',
        "/connections",
    ),
    (
        "order-of-packages",
        "the order and repetition of packages",
        _CREATE,
        b'{"appUserId": "ada", "dataPackages": ["labs", "clinical_summary", "labs"]}',
        "/connections",
    ),
    (
        "escapes",
        "how its characters are written",
        _CREATE,
        rb'{"appUserId": "\u0061da", "dataPackages": ["clinical_summary", "l\u0061bs"]}',
        "/connections",
    ),
    (
        "false-preference",
        "whether a false preference is written out",
        _INITIATE,
        b'{"appUserId": "ada", "preferSignup": false}',
        "/curae-connect/initiate",
    ),
)
"""Two texts of one request, by what tells them apart."""

_SAME: Final = ("idempotency.completed.same",)
_OTHER: Final = ("idempotency.completed.other", "problem.key-reused", "request.idempotency")

CHECKS: Final = (
    *[
        Check(
            f"idempotency.replay.{operation}",
            f"A {operation} sent again with its key gets the first answer, byte for byte.",
            partial(_replayed, operation),
            laws=(9, 12),
            rules=_SAME,
        )
        for operation in _STATUS
    ],
    Check(
        "idempotency.replay.after-all-moved",
        "A replay is the first answer even where everything it speaks of has moved on.",
        _replayed_after_all_moved,
        laws=(9,),
        rules=_SAME,
    ),
    Check(
        "idempotency.absent",
        "The same body with two keys is two requests.",
        _executed,
        rules=("idempotency.absent",),
    ),
    *[
        Check(
            f"idempotency.same-request.{name}",
            f"Two requests that differ in {what} are the same.",
            partial(_replayed_by_value, first, again, path),
            laws=(9,),
            rules=_SAME,
        )
        for name, what, first, again, path in BY_VALUE
    ],
    Check(
        "idempotency.same-request.id-in-upper-case",
        "An id in upper case is the same id, also in a replay.",
        _id_in_upper_case,
        rules=_SAME,
    ),
    Check(
        "idempotency.same-key.quoted",
        "A key in quotes and the bare one are one key, and so are its escapes.",
        _quoted_key,
        rules=_SAME,
    ),
    Check(
        "idempotency.other-key.case",
        "Keys that differ in case are two keys.",
        _keys_differ_by_case,
        rules=("idempotency.absent",),
    ),
    Check(
        "idempotency.completed.other",
        "Another body with a used key is refused and not executed, and the first answer stays.",
        _another_body,
        laws=(12,),
        rules=_OTHER,
    ),
    Check(
        "idempotency.other-request.preference",
        "An initiate with the other preference is another request.",
        _another_preference,
        rules=_OTHER,
    ),
    Check(
        "idempotency.other-request.path",
        "A used key with another path or another id is refused and not executed.",
        _another_path,
        laws=(12,),
        rules=_OTHER,
    ),
    Check(
        "idempotency.other-request.tells-no-values",
        "The refusal of a reused key names which part differed and never a value.",
        _never_tells_values,
        rules=("problem.key-reused",),
    ),
    Check(
        "idempotency.scope",
        "An idempotency key belongs to one API key: no other one meets it.",
        _other_api_key,
        rules=("idempotency.absent",),
    ),
    Check(
        "idempotency.kept.409",
        "A refusal of the rule itself is kept: a new judgement needs a new key.",
        _refused_reconnect_is_kept,
        laws=(9,),
        rules=_SAME,
    ),
    Check(
        "idempotency.kept.404",
        "An answer 404 is kept.",
        _not_found_is_kept,
        laws=(9,),
        rules=_SAME,
    ),
    Check(
        "idempotency.not-kept.400",
        "A body that cannot be read leaves its key free.",
        _bad_request_keeps_nothing,
        rules=("idempotency.absent",),
    ),
    Check(
        "idempotency.not-kept.429",
        "A request that the app user's limit refuses leaves its key free.",
        _rate_limit_keeps_nothing,
        rules=("idempotency.absent",),
    ),
    Check(
        "idempotency.not-kept.429-later",
        "A request that the app user's limit refused runs with the same key later.",
        _rate_limit_is_asked_again,
        rules=("idempotency.absent",),
        hooks=("pass_time",),
        passes=MINUTE,
    ),
    Check(
        "idempotency.not-kept.422",
        "A refused reuse changes nothing about the key.",
        _reuse_keeps_nothing,
        laws=(11,),
        rules=_OTHER,
    ),
    Check(
        "idempotency.retention",
        "An answer is kept for 24 hours from its first use, and no replay makes it longer.",
        _retention,
        laws=(9,),
        rules=("idempotency.absent", *_SAME),
        hooks=("pass_time",),
        passes=RETENTION,
    ),
    Check(
        "idempotency.retention.other",
        "A key is bound to its request for 24 hours and free afterwards.",
        _retention_of_another,
        rules=("idempotency.absent", "idempotency.completed.other"),
        hooks=("pass_time",),
        passes=RETENTION,
    ),
    Check(
        "idempotency.cookies",
        "A Set-Cookie header is never replayed.",
        _no_cookie_again,
        laws=(9,),
    ),
    Check(
        "idempotency.replay-is-free",
        "A replay costs the app user nothing, also at the limit.",
        _replay_is_free,
        laws=(9,),
        rules=("request.idempotency", "request.limit"),
    ),
    *[
        Check(
            f"idempotency.at-once.{operation}",
            f"A {operation} sent many times at once with one key takes effect once.",
            partial(_one_of_many, operation),
            laws=(12,),
        )
        for operation in _STATUS
    ],
    Check(
        "idempotency.at-once.charged-once",
        "An initiate sent many times at once with one key is charged once.",
        _one_initiate_of_many,
        laws=(9, 12),
    ),
    Check(
        "idempotency.at-once.other-bodies",
        "Of different bodies sent at once with one key one is executed.",
        _one_body_of_many,
        laws=(12,),
        rules=_OTHER,
    ),
)
