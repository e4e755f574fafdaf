"""Checks of what a request passes before its rule is asked, and of the order of the gates."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.client import (
    BASE,
    CREATED,
    OK,
    App,
    as_document,
    create,
    expect,
    expect_problem,
    get,
    headers,
    id_of,
    lasting,
    member,
    new_app,
    same,
    second_key,
    status_of,
)
from curae_lifecycle.testing.conformance.connections import bring
from curae_lifecycle.testing.conformance.idempotency import fill
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    NotConformingError,
    NotSeenError,
    Steps,
    send,
)
from curae_lifecycle.testing.laws import check_documented, check_indistinguishable
from curae_lifecycle.web.request import Request

Build = Callable[[App, str], Request]
"""Makes a request of an app for a connection's id."""

MUTATIONS: Final[dict[str, Build]] = {
    "create": lambda app, _: app.create("user"),
    "reconnect": lambda app, connection_id: app.reconnect(connection_id),
    "revoke": lambda app, connection_id: app.revoke(connection_id),
    "initiate": lambda app, _: app.initiate("user"),
    "graduation": lambda app, _: app.graduate("user"),
}
READS: Final[dict[str, Build]] = {
    "get": lambda app, connection_id: app.get(connection_id),
    "account-state": lambda app, _: app.account_state("user"),
}
OPERATIONS: Final = {**MUTATIONS, **READS}
KEYED: Final = ("create", "reconnect", "revoke", "initiate")


def without(request: Request, *names: str) -> Request:
    """A request without some of its headers; names in lower case."""
    kept = tuple([pair for pair in request.headers if pair[0].lower() not in names])
    return attrs.evolve(request, headers=kept)


def having(request: Request, *extra: tuple[str, str]) -> Request:
    """A request with more headers."""
    return attrs.evolve(request, headers=(*request.headers, *extra))


def _refused(answer: Response, status: int, code: str, where: str) -> None:
    expect_problem(answer, status, code, where)
    check_documented(answer)


# --- Credentials and routes -----------------------------------------------------------------


def _stranger(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    unknown = f"Bearer cae_{kit.environment}_{kit.names.word('unknown')}"
    real = f"Bearer {app.api_key}"
    for name, build in OPERATIONS.items():
        request = without(build(app, kit.names.uuid()), "authorization")
        for how, given in (
            ("no key", ()),
            ("an unknown key", (("Authorization", unknown),)),
            ("no scheme", (("Authorization", app.api_key),)),
            ("another scheme", (("Authorization", f"Basic {app.api_key}"),)),
            ("a key with more after it", (("Authorization", f"{real}-more"),)),
            ("two keys", (("Authorization", real), ("Authorization", real))),
        ):
            answer = yield from send(having(request, *given))
            where = f"{name} with {how}"
            _refused(answer, 401, "UNAUTHENTICATED", where)
            same(headers(answer, "www-authenticate"), ["Bearer"], "WWW-Authenticate", where)


def _scheme_in_any_case(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = without(app.account_state("user"), "authorization")
    for scheme in ("bearer", "BEARER"):
        answer = yield from send(having(request, ("authorization", f"{scheme} {app.api_key}")))
        expect(answer, OK, f"a key after {scheme}")


def _unknown_routes(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for method, path in (
        ("GET", "/nothing"),
        ("GET", "/connections"),
        ("PUT", "/connections"),
        ("POST", f"/connections/{connection_id}"),
        ("DELETE", f"/connections/{connection_id}"),
        ("PATCH", f"/connections/{connection_id}"),
        ("GET", f"/connections/{connection_id}:revoke"),
        ("POST", f"/connections/{connection_id}:delete"),
        ("POST", f"/connections/{connection_id}:Revoke"),
        ("GET", "/curae-connect/initiate"),
        ("POST", "/curae-connect/account-state"),
        ("GET", "/curae-connect/graduation-handoff"),
    ):
        answer = yield from send(app.request(method, path, key=app.new_key()))
        _refused(answer, 404, "NOT_FOUND", f"{method} {BASE}{path}")
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "after unknown routes")


# --- Scopes and environments ----------------------------------------------------------------


def _scope_missing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    reader = yield from second_key(kit, app, frozenset())
    other = yield from second_key(kit, app, frozenset({"connection:read", "connection"}))
    for name, build in MUTATIONS.items():
        for who in (reader, other):
            answer = yield from send(build(who, connection_id))
            where = f"{name} with a key that lacks the scope"
            details = expect_problem(answer, 403, "SCOPE_INSUFFICIENT", where)
            same(dict(details), {"scope": "connection:write"}, "details", where)
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "nothing was executed")


def _reads_need_no_scope(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    reader = yield from second_key(kit, app, frozenset())
    for name, build in READS.items():
        expect((yield from send(build(reader, connection_id))), OK, f"{name} without any scope")


def _wrong_environment(kit: Kit) -> Steps[None]:
    other = Environment.TEST if kit.environment is Environment.LIVE else Environment.LIVE
    app = yield from new_app(kit, environment=other)
    reader = yield from second_key(kit, app, frozenset())
    for who in (app, reader):
        for name, build in OPERATIONS.items():
            answer = yield from send(build(who, kit.names.uuid()))
            where = f"{name} with a key of the environment {other}"
            details = expect_problem(answer, 403, "WRONG_ENVIRONMENT", where)
            same(dict(details), {"environment": str(other)}, "details", where)


# --- Bodies and ids -------------------------------------------------------------------------

_LONGEST_TOKEN: Final = "a" * 64

BAD_USERS: Final = (
    "",
    " u",
    "u ",
    "\u00a0u",
    "u\n",
    "a\x00b",
    "a\x7fb",
    "\ud800",
    "x" * 257,
    7,
    ["u"],
)

BAD_BODIES: Final[dict[str, tuple[bytes, ...]]] = {
    "no JSON": (
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"{'appUserId': 'u', 'dataPackages': ['labs']}",
        b'{"appUserId": "u", "dataPackages": ["labs"],}',
        b'{"appUserId": "u", "dataPackages": ["labs"]} {}',
        b'{"appUserId": "\xff", "dataPackages": ["labs"]}',
        b'{"appUserId": "u", "dataPackages": [NaN]}',
        b"[" * 5000,
    ),
    "no object": (b"[]", b'"text"', b"7", b"null", b"true"),
    "a member missing": (b"{}", b'{"appUserId": "u"}', b'{"dataPackages": ["labs"]}'),
    "a member unknown": (
        b'{"appUserId": "u", "dataPackages": ["labs"], "preferSignup": true}',
        b'{"appUserId": "u", "dataPackages": ["labs"], "extra": null}',
        b'{"appUserId": "u", "dataPackages": ["labs"], "appuserid": "u"}',
        b'{"app_user_id": "u", "data_packages": ["labs"]}',
    ),
    "a member repeated": (
        b'{"appUserId": "u", "appUserId": "u", "dataPackages": ["labs"]}',
        b'{"appUserId": "u", "dataPackages": ["labs"], "dataPackages": ["labs"]}',
    ),
    "a member null": (
        b'{"appUserId": null, "dataPackages": ["labs"]}',
        b'{"appUserId": "u", "dataPackages": null}',
        b'{"appUserId": "u", "dataPackages": [null]}',
    ),
    "an app user that may not be": tuple(
        json.dumps({"appUserId": user, "dataPackages": ["labs"]}).encode() for user in BAD_USERS
    ),
    "packages that may not be": tuple(
        json.dumps({"appUserId": "u", "dataPackages": packages}).encode()
        for packages in (
            [],
            "labs",
            {"labs": 1},
            [7],
            [""],
            ["Labs"],
            ["1abs"],
            ["lab-s"],
            ["labs "],
            [_LONGEST_TOKEN + "a"],
            [f"p{number}" for number in range(65)],
        )
    ),
}
"""Bodies that no create may take, by what is wrong."""

BAD_INITIATES: Final = (
    b"",
    b"[]",
    b"{}",
    b'{"appUserId": ""}',
    b'{"appUserId": null}',
    b'{"appUserId": "u", "appUserId": "u"}',
    b'{"appUserId": "u", "prefersignup": true}',
    b'{"appUserId": "u", "prefer_signup": true}',
    b'{"appUserId": "u", "preferSignUp": true}',
    b'{"appUserId": "u", "preferSignup": null}',
    b'{"appUserId": "u", "preferSignup": "true"}',
    b'{"appUserId": "u", "preferSignup": 1}',
    b'{"appUserId": "u", "preferSignup": true, "preferSignup": true}',
)
BAD_GRADUATIONS: Final = (
    b"",
    b"[]",
    b"{}",
    b'{"appUserId": ""}',
    b'{"appUserId": null}',
    b'{"appUserId": "u", "preferSignup": true}',
    b'{"appUserId": "u", "appUserId": "u"}',
)
BAD_EMPTY_BODIES: Final = (
    b"[]",
    b"null",
    b'"x"',
    b'{"reason": "x"}',
    b'{"dataPackages": ["labs"]}',
    b"{",
)

BAD_IDS: Final = (
    "nonsense",
    "1",
    "8d3c6f0a5b0e4f3c9a9e2f1b7c6d5e4f",
    "{8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4f}",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4g",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4f0",
)


def _bad(answer: Response, where: str) -> None:
    details = expect_problem(answer, 400, "BAD_REQUEST", where)
    check_documented(answer)
    if details.get("fault") not in list(Fault):
        raise NotConformingError(f"the fault {details.get('fault')!r} is not listed", where)


def _bad_creates(what: str, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for body in BAD_BODIES[what]:
        answer = yield from send(app.request("POST", "/connections", body, key=app.new_key()))
        _bad(answer, f"create with the body {_short(body)}: {what}")


def _short(body: bytes) -> str:
    return f"{body[:80]!r}" + (f" and {len(body) - 80} bytes more" if len(body) > 80 else "")  # noqa: PLR2004 - a line's length


def _bad_others(path: str, bodies: tuple[bytes, ...], kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for body in bodies:
        key = None if path.endswith("graduation-handoff") else app.new_key()
        answer = yield from send(app.request("POST", path, body, key=key))
        _bad(answer, f"POST {BASE}{path} with the body {_short(body)}")
    state = yield from send(app.account_state("u"))
    where = "after bodies that cannot be read"
    same(member(expect(state, OK, where), "lifecycleState", where), "UNLINKED", "the state", where)


def _bad_empty_bodies(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for action in ("revoke", "reconnect"):
        path = f"/connections/{connection_id}:{action}"
        for body in BAD_EMPTY_BODIES:
            answer = yield from send(app.request("POST", path, body, key=app.new_key()))
            _bad(answer, f"{action} with the body {_short(body)}")
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "nothing was executed")


def _empty_bodies(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for body in (b"", b"{}", b" { } "):
        connection_id = id_of((yield from create(app)))
        for action, status in (("revoke", OK), ("reconnect", CREATED)):
            path = f"/connections/{connection_id}:{action}"
            answer = yield from send(app.request("POST", path, body, key=app.new_key()))
            expect(answer, status, f"{action} with the body {body!r}")


def _good_creates(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    most = [f"p{number:02}_x" for number in range(64)]
    for user, packages, kept in (
        ("x" * 256, ["labs"], ["labs"]),
        ("\U0001f600" * 256, ["labs"], ["labs"]),
        ("u", [_LONGEST_TOKEN], [_LONGEST_TOKEN]),
        ("u", most + most[:5], most),
        ("u", ["b", "a", "c", "a"], ["a", "b", "c"]),
        ("a b", ["a_1"], ["a_1"]),
    ):
        answer = yield from send(app.create(user, packages))
        where = f"create for a user of {len(user)} code points with {len(packages)} packages"
        made = as_document(member(expect(answer, CREATED, where), "connection", where), where)
        same(made.get("appUserId"), user, "appUserId", where)
        same(made.get("dataPackages"), kept, "dataPackages", where)


def _bad_ids(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for bad in BAD_IDS:
        for name in ("get", "reconnect", "revoke"):
            answer = yield from send(OPERATIONS[name](app, bad))
            _bad(answer, f"{name} with the id {bad}")


def _ids_in_any_case(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    made = yield from create(app)
    answer = yield from send(app.get(id_of(made).upper()))
    where = "get with the id in upper case"
    same(member(expect(answer, OK, where), "connection", where), made, "the connection", where)
    if id_of(made) != id_of(made).lower():
        raise NotConformingError("the id is not in lower case", "create a connection")


BAD_QUERIES: Final = (
    "",
    "?",
    "?appUserId=",
    "?appuserid=u",
    "?appUserId=u&appUserId=u",
    "?appUserId=%20u",
    "?appUserId=%00",
    "?appUserId=%FF",
)
GOOD_QUERIES: Final = (
    "?appUserId=a%20b",
    "?appUserId=a+b",
    "?other=1&appUserId=a+b&more",
    "?appUserI%64=a+b",
)
"""Queries for the user `a b`."""


def _bad_queries(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    path = "/curae-connect/account-state"
    for query in BAD_QUERIES:
        answer = yield from send(app.request("GET", path + query))
        _bad(answer, f"GET {BASE}{path}{query}")
    yield from send(app.initiate("a b"))
    for query in GOOD_QUERIES:
        answer = yield from send(app.request("GET", path + query))
        where = f"GET {BASE}{path}{query}"
        same(member(expect(answer, OK, where), "lifecycleState", where), "LIMITED", "it", where)


# --- Idempotency keys -----------------------------------------------------------------------


def _key_missing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for name in KEYED:
        request = without(OPERATIONS[name](app, connection_id), "idempotency-key")
        answer = yield from send(request)
        _refused(answer, 400, "IDEMPOTENCY_KEY_REQUIRED", f"{name} without a key")
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "nothing was executed")


BAD_KEYS: Final = {
    "an empty one": ("",),
    "empty quotes": ('""',),
    "an unclosed quote": ('"k',),
    "a quote that ends early": ('"k"x',),
    "parameters after it": ('"k";a=1',),
    "an escape that is none": ('"k\\n"',),
    "white space inside": ("k k",),
    "256 characters": ("k" * 256,),
    "two headers": ("k-1", "k-2"),
    "the same one twice": ("k-1", "k-1"),
}
"""Values of the header that are no key."""


def _key_invalid(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for name in KEYED:
        plain = without(OPERATIONS[name](app, connection_id), "idempotency-key")
        for how, values in BAD_KEYS.items():
            given = [("Idempotency-Key", value) for value in values]
            answer = yield from send(having(plain, *given))
            _refused(answer, 400, "IDEMPOTENCY_KEY_INVALID", f"{name} with {how}")
        spelled = having(plain, ("Idempotency-Key", "k-1"), ("idempotency-key", "k-1"))
        answer = yield from send(spelled)
        where = f"{name} with the header in two spellings"
        _refused(answer, 400, "IDEMPOTENCY_KEY_INVALID", where)
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "nothing was executed")


def _key_valid(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    longest = (app.new_key() + "x" * 255)[:255]
    for key in (longest, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0", f'"{app.new_key()}"'):
        answer = yield from send(app.create("user", key=key))
        expect(answer, CREATED, f"create with a key of {len(key)} characters")


def _key_not_allowed(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from send(app.initiate("user"))
    for values in ((app.new_key(),), ("",), ("a", "b")):
        given = [("Idempotency-Key", value) for value in values]
        answer = yield from send(app.graduate("user", *given))
        where = f"start a graduation hand-off with {len(values)} keys"
        _refused(answer, 400, "IDEMPOTENCY_KEY_NOT_ALLOWED", where)
    expect((yield from send(app.graduate("user"))), CREATED, "the same without a key")


def _key_unused(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for name, build in READS.items():
        for value in ("", "k-1", '"k'):
            answer = yield from send(having(build(app, connection_id), ("Idempotency-Key", value)))
            expect(answer, OK, f"{name} with the key {value!r}")


# --- The order ------------------------------------------------------------------------------

Fails = tuple[str, int, str]
"""A gate's name and what it answers."""

STRANGER: Final[Fails] = ("credentials", 401, "UNAUTHENTICATED")
ROUTE: Final[Fails] = ("route", 404, "NOT_FOUND")
SCOPE: Final[Fails] = ("scope", 403, "SCOPE_INSUFFICIENT")
BODY: Final[Fails] = ("body", 400, "BAD_REQUEST")
NO_KEY: Final[Fails] = ("key", 400, "IDEMPOTENCY_KEY_REQUIRED")
BAD_KEY: Final[Fails] = ("key", 400, "IDEMPOTENCY_KEY_INVALID")
NOT_ALLOWED: Final[Fails] = ("key not allowed", 400, "IDEMPOTENCY_KEY_NOT_ALLOWED")
REUSED: Final[Fails] = ("idempotency", 422, "IDEMPOTENCY_KEY_REUSED")
LIMITED: Final[Fails] = ("limit", 429, "RATE_LIMITED")
OWNERSHIP: Final[Fails] = ("ownership", 404, "NOT_FOUND")


@attrs.frozen
class _Scene:
    # Everything that a request may fail on.
    app: App
    reader: App
    used_key: str
    pending: str
    of_another: str
    user_at_limit: str


def _scene(kit: Kit) -> Steps[_Scene]:
    app = yield from new_app(kit)
    reader = yield from second_key(kit, app, frozenset())
    stranger = yield from new_app(kit)
    key = app.new_key()
    yield from send(app.create("somebody", key=key))
    pending = id_of((yield from create(app)))
    of_another = yield from bring(stranger, Standing.REVOKED)
    yield from fill(app, "busy")
    for _ in range(10):
        yield from send(app.graduate("busy"))
    return _Scene(app, reader, key, pending, of_another, "busy")


BAD: Final = b'{"extra": 1}'


def _pairs(scene: _Scene) -> tuple[tuple[str, Fails, Request], ...]:
    # What else the request fails on, the gate that answers, and the request.
    app, reader, used = scene.app, scene.reader, scene.used_key
    busy, pending, foreign = scene.user_at_limit, scene.pending, scene.of_another
    initiate_path, connect = "/curae-connect/initiate", "/connections"
    graduation = "/curae-connect/graduation-handoff"
    nobody = attrs.evolve(app, api_key="cae_live_nobody")
    return (
        ("route", STRANGER, nobody.request("GET", "/nothing")),
        ("body", STRANGER, nobody.request("POST", connect, BAD, key=app.new_key())),
        ("id", STRANGER, nobody.get("nonsense")),
        ("key", STRANGER, without(nobody.create("user"), "idempotency-key")),
        ("ownership", STRANGER, nobody.get(pending)),
        ("scope", ROUTE, reader.request("POST", "/nothing")),
        ("body", ROUTE, app.request("PUT", connect, BAD, key=app.new_key())),
        ("key", ROUTE, app.request("POST", "/nothing", key="")),
        ("body", SCOPE, reader.request("POST", connect, BAD, key=app.new_key())),
        ("id", SCOPE, reader.revoke("nonsense")),
        ("key", SCOPE, without(reader.create("user"), "idempotency-key")),
        ("a key that is not allowed", SCOPE, reader.graduate(busy, ("Idempotency-Key", "k"))),
        ("limit", SCOPE, reader.initiate(busy)),
        ("ownership", SCOPE, reader.revoke(foreign)),
        ("rule", SCOPE, reader.reconnect(pending)),
        ("key", BODY, app.request("POST", connect, BAD)),
        ("an invalid key", BODY, app.request("POST", connect, BAD, key="")),
        ("a key that is not allowed", BODY, app.request("POST", graduation, BAD, key="k")),
        ("id, key", BODY, app.request("POST", "/connections/nonsense:revoke")),
        ("body, id", BODY, app.request("POST", f"/connections/{pending}:revoke", BAD)),
        ("a used key", BODY, app.request("POST", initiate_path, BAD, key=used)),
        ("limit", BODY, app.request("POST", initiate_path, {"appUserId": busy, "x": 1}, key="k")),
        ("limit", NO_KEY, without(app.initiate(busy), "idempotency-key")),
        ("ownership", NO_KEY, without(app.revoke(foreign), "idempotency-key")),
        ("rule", NO_KEY, without(app.reconnect(pending), "idempotency-key")),
        ("limit", BAD_KEY, app.initiate(busy, key="k k")),
        ("ownership", BAD_KEY, app.revoke(foreign, key="k k")),
        ("limit", NOT_ALLOWED, app.graduate(busy, ("Idempotency-Key", "k"))),
        ("limit", REUSED, app.initiate(busy, key=used)),
        ("ownership", REUSED, app.revoke(foreign, key=used)),
        ("rule", REUSED, app.reconnect(pending, key=used)),
        ("rule", OWNERSHIP, app.reconnect(foreign)),
    )


def _order(answering: Fails, kit: Kit) -> Steps[None]:
    scene = yield from _scene(kit)
    gate, status, code = answering
    for other, first, request in _pairs(scene):
        if first == answering:
            answer = yield from send(request)
            expect_problem(answer, status, code, f"fails at {gate} and at {other}")


def _limit_before_rule(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for _ in range(10):
        answer = yield from send(app.graduate("user"))
        expect_problem(answer, 409, "BINDING_NOT_LIMITED", "graduate an unlinked account")
    answer = yield from send(app.graduate("user"))
    where = "graduate an unlinked account the 11th time: fails at the limit and at the rule"
    expect_problem(answer, 429, "RATE_LIMITED", where)


# --- Tenants --------------------------------------------------------------------------------


def _others_ids(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    pending = id_of((yield from create(app)))
    revoked = yield from bring(app, Standing.REVOKED)
    account, app_id = app.wanted.customer_account_id, app.wanted.app_id
    sibling = yield from new_app(kit, account=account)
    cousin = yield from new_app(kit, app_id=app_id)
    strangers = [(sibling, "another app"), (cousin, "another customer account")]
    yield from _strangers(kit, app, strangers, (pending, revoked))
    where = "reconnect a connection after strangers tried to"
    made = expect((yield from send(app.reconnect(revoked))), CREATED, where)
    created = member(made, "connection.createdAt", where)
    same(member(made, "connection.updatedAt", where), created, "updatedAt", where)


def _other_environments_ids(kit: Kit) -> Steps[None]:
    if "environment" in kit.hooks:
        raise NotSeenError("the server serves one environment")
    app = yield from new_app(kit)
    pending = id_of((yield from create(app)))
    account, app_id = app.wanted.customer_account_id, app.wanted.app_id
    test = yield from new_app(kit, account=account, app_id=app_id, environment=Environment.TEST)
    yield from _strangers(kit, app, [(test, "the other environment")], (pending,))
    yield from send(app.initiate("user"))
    answer = yield from send(test.account_state("user"))
    where = "the same user in the other environment"
    same(member(expect(answer, OK, where), "lifecycleState", where), "UNLINKED", "it", where)


def _strangers(
    kit: Kit, app: App, strangers: list[tuple[App, str]], ids: tuple[str, ...]
) -> Steps[None]:
    for stranger, who in strangers:
        for name in ("get", "reconnect", "revoke"):
            for foreign in ids:
                theirs = yield from send(OPERATIONS[name](stranger, foreign))
                nobodys = yield from send(OPERATIONS[name](stranger, kit.names.uuid()))
                check_indistinguishable(
                    attrs.evolve(theirs, headers=_steady(theirs, kit)),
                    attrs.evolve(nobodys, headers=_steady(nobodys, kit)),
                )
                expect_problem(theirs, 404, "NOT_FOUND", f"{name} by {who}")
    seen = yield from get(app, ids[0])
    same(status_of(seen, ids[0]), "PENDING", "its status", "after strangers tried to revoke it")


def _steady(answer: Response, kit: Kit) -> tuple[tuple[str, str], ...]:
    return lasting(answer, kit.varying).headers


# --- The checks -----------------------------------------------------------------------------

_SLUGS: Final = {
    "no JSON": "no-json",
    "no object": "no-object",
    "a member missing": "member-missing",
    "a member unknown": "member-unknown",
    "a member repeated": "member-repeated",
    "a member null": "member-null",
    "an app user that may not be": "app-user",
    "packages that may not be": "packages",
}
_BODY: Final = ("request.body", "problem.bad-request")

CHECKS: Final = (
    Check(
        "request.credentials",
        "Nobody without exactly one known key gets further, and is told nothing.",
        _stranger,
        rules=("request.credentials", "problem.unauthenticated"),
    ),
    Check(
        "request.credentials.scheme",
        "The scheme of the Authorization header is read in any case.",
        _scheme_in_any_case,
        rules=("request.credentials",),
    ),
    Check(
        "request.route",
        "An unknown path or method is not found.",
        _unknown_routes,
        rules=("request.route", "problem.not-found"),
    ),
    Check(
        "permission.scope-missing",
        "A mutation needs connection:write.",
        _scope_missing,
        rules=("permission.scope-missing", "problem.scope-insufficient", "request.permission"),
    ),
    Check(
        "permission.granted",
        "A read needs a valid key and no scope.",
        _reads_need_no_scope,
        rules=("permission.granted",),
    ),
    Check(
        "permission.wrong-environment",
        "A key of the environment that is not served is refused, whatever its scopes.",
        _wrong_environment,
        rules=("permission.wrong-environment", "problem.wrong-environment", "request.permission"),
        hooks=("environment",),
    ),
    *[
        Check(
            f"request.body.{_SLUGS[what]}",
            f"A create whose body is or has {what} is refused.",
            partial(_bad_creates, what),
            laws=(16,),
            rules=_BODY,
        )
        for what in BAD_BODIES
    ],
    Check(
        "request.body.initiate",
        "An initiate whose body cannot be read is refused and provisions nobody.",
        partial(_bad_others, "/curae-connect/initiate", BAD_INITIATES),
        laws=(16,),
        rules=_BODY,
    ),
    Check(
        "request.body.graduation",
        "A graduation hand-off whose body cannot be read is refused.",
        partial(_bad_others, "/curae-connect/graduation-handoff", BAD_GRADUATIONS),
        laws=(16,),
        rules=_BODY,
    ),
    Check(
        "request.body.not-empty",
        "A reconnect or a revoke takes no members.",
        _bad_empty_bodies,
        laws=(16,),
        rules=_BODY,
    ),
    Check(
        "request.body.empty",
        "For a reconnect and a revoke an absent body and an empty object are one.",
        _empty_bodies,
        rules=("request.body",),
    ),
    Check(
        "request.body.accepted",
        "What a create may hold it may hold up to its bounds; packages are kept as a sorted set.",
        _good_creates,
        rules=("request.body",),
    ),
    Check(
        "request.body.malformed-id",
        "An id that is no UUID is a bad request.",
        _bad_ids,
        laws=(16,),
        rules=_BODY,
    ),
    Check(
        "request.body.id-in-any-case",
        "An id is read in any case and told in lower case.",
        _ids_in_any_case,
        rules=("request.body",),
    ),
    Check(
        "request.body.query",
        "A query names exactly one app user, percent-encoded, with + for a space.",
        _bad_queries,
        laws=(16,),
        rules=_BODY,
    ),
    Check(
        "request.key-required",
        "Every mutation but graduation needs a key.",
        _key_missing,
        rules=("request.key-required", "problem.key-required"),
    ),
    Check(
        "request.key-invalid",
        "A key that two parties could read differently is refused.",
        _key_invalid,
        rules=("request.key-invalid", "problem.key-invalid"),
    ),
    Check(
        "request.key-readable",
        "A key of 1 to 255 visible ASCII characters is taken.",
        _key_valid,
        rules=("request.key-invalid",),
    ),
    Check(
        "request.key-not-allowed",
        "A graduation hand-off rejects a key.",
        _key_not_allowed,
        rules=("request.key-not-allowed", "problem.key-not-allowed"),
    ),
    Check(
        "request.key-unused",
        "A read does not look at a key.",
        _key_unused,
        rules=("operation.get-connection", "operation.account-state"),
    ),
    *[
        Check(
            f"order.{slug}",
            f"A request that fails at {answering[0]} and at a later gate is answered by the first.",
            partial(_order, answering),
            rules=(rule,),
        )
        for slug, answering, rule in (
            ("credentials", STRANGER, "request.credentials"),
            ("route", ROUTE, "request.route"),
            ("scope", SCOPE, "request.permission"),
            ("body", BODY, "request.body"),
            ("key-missing", NO_KEY, "request.key-required"),
            ("key-invalid", BAD_KEY, "request.key-invalid"),
            ("key-not-allowed", NOT_ALLOWED, "request.key-not-allowed"),
            ("idempotency", REUSED, "request.idempotency"),
            ("ownership", OWNERSHIP, "request.ownership"),
        )
    ],
    Check(
        "order.limit",
        "The app user's limit is asked before the rule itself, which refuses at a cost.",
        _limit_before_rule,
        rules=("request.limit", "request.rule"),
    ),
    Check(
        "request.ownership",
        "Another tenant's id is answered byte for byte like an unknown one, and nothing happens.",
        _others_ids,
        laws=(15,),
        rules=("request.ownership", "problem.not-found"),
    ),
    Check(
        "request.ownership.environment",
        "Test and live never meet.",
        _other_environments_ids,
        laws=(15,),
        rules=("request.ownership",),
    ),
)
