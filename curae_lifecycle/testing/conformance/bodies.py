"""Checks of what a request may say: bodies, path ids and queries."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import (
    BASE,
    CREATED,
    OK,
    App,
    as_document,
    expect,
    expect_problem,
    id_of,
    member,
    require,
    same,
    success,
)
from curae_lifecycle.testing.conformance.gates import OPERATIONS
from curae_lifecycle.testing.conformance.steps import Steps, send
from curae_lifecycle.testing.laws import check_documented

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
    require(
        details.get("fault") in list(Fault),
        f"the fault {details.get('fault')!r} is not listed",
        where,
    )


def _bad_creates(what: str, app: App) -> Steps[None]:
    for body in BAD_BODIES[what]:
        answer = yield from send(app.request("POST", "/connections", body, key=app.new_key()))
        _bad(answer, f"create with the body {_short(body)}: {what}")


def _short(body: bytes) -> str:
    return f"{body[:80]!r}" + (f" and {len(body) - 80} bytes more" if len(body) > 80 else "")  # noqa: PLR2004 - a line's length


def _bad_others(path: str, bodies: tuple[bytes, ...], app: App) -> Steps[None]:
    for body in bodies:
        key = None if path.endswith("graduation-handoff") else app.new_key()
        answer = yield from send(app.request("POST", path, body, key=key))
        _bad(answer, f"POST {BASE}{path} with the body {_short(body)}")
    state = yield from send(app.account_state("u"))
    where = "after bodies that cannot be read"
    same(member(expect(state, OK, where), "lifecycleState", where), "UNLINKED", "the state", where)


CHECKS: Final = Checks()

_BODY: Final = ("request.body", "problem.bad-request")


@CHECKS.add("request.body.not-empty", laws=(16,), rules=_BODY)
def _bad_empty_bodies(app: App) -> Steps[None]:
    """A reconnect or a revoke takes no members."""
    connection_id = id_of((yield from app.created()))
    for action in ("revoke", "reconnect"):
        path = f"/connections/{connection_id}:{action}"
        for body in BAD_EMPTY_BODIES:
            answer = yield from send(app.request("POST", path, body, key=app.new_key()))
            _bad(answer, f"{action} with the body {_short(body)}")
    yield from app.shows(
        connection_id, "PENDING", "the connection's status", "nothing was executed"
    )


@CHECKS.add("request.body.empty", rules=("request.body",))
def _empty_bodies(app: App) -> Steps[None]:
    """For a reconnect and a revoke an absent body and an empty object are one."""
    for body in (b"", b"{}", b" { } "):
        connection_id = id_of((yield from app.created()))
        for action, status in (("revoke", OK), ("reconnect", CREATED)):
            path = f"/connections/{connection_id}:{action}"
            yield from success(
                app.request("POST", path, body, key=app.new_key()),
                status,
                f"{action} with the body {body!r}",
            )


@CHECKS.add("request.body.accepted", rules=("request.body",))
def _good_creates(app: App) -> Steps[None]:
    """What a create may hold it may hold up to its bounds; packages are kept as a sorted set."""
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


@CHECKS.add("request.body.malformed-id", laws=(16,), rules=_BODY)
def _bad_ids(app: App) -> Steps[None]:
    """An id that is no UUID is a bad request."""
    for bad in BAD_IDS:
        for name in ("get", "reconnect", "revoke"):
            answer = yield from send(OPERATIONS[name](app, bad))
            _bad(answer, f"{name} with the id {bad}")


@CHECKS.add("request.body.id-in-any-case", rules=("request.body",))
def _ids_in_any_case(app: App) -> Steps[None]:
    """An id is read in any case and answered in lower case."""
    made = yield from app.created()
    answer = yield from send(app.get(id_of(made).upper()))
    where = "get with the id in upper case"
    same(member(expect(answer, OK, where), "connection", where), made, "the connection", where)
    require(
        id_of(made) == id_of(made).lower(), "the id is not in lower case", "create a connection"
    )


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


@CHECKS.add("request.body.query", laws=(16,), rules=_BODY)
def _bad_queries(app: App) -> Steps[None]:
    """A query names exactly one app user, percent-encoded, with + for a space."""
    path = "/curae-connect/account-state"
    for query in BAD_QUERIES:
        answer = yield from send(app.request("GET", path + query))
        _bad(answer, f"GET {BASE}{path}{query}")
    yield from send(app.initiate("a b"))
    for query in GOOD_QUERIES:
        answer = yield from send(app.request("GET", path + query))
        where = f"GET {BASE}{path}{query}"
        same(member(expect(answer, OK, where), "lifecycleState", where), "LIMITED", "it", where)


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


CHECKS.extend(
    Check(
        f"request.body.{_SLUGS[what]}",
        f"A create whose body is or has {what} is refused.",
        partial(_bad_creates, what),
        laws=(16,),
        rules=_BODY,
    )
    for what in BAD_BODIES
)
CHECKS.append(
    Check(
        "request.body.initiate",
        "An initiate whose body cannot be read is refused and provisions nobody.",
        partial(_bad_others, "/curae-connect/initiate", BAD_INITIATES),
        laws=(16,),
        rules=_BODY,
    )
)
CHECKS.append(
    Check(
        "request.body.graduation",
        "A graduation hand-off whose body cannot be read is refused.",
        partial(_bad_others, "/curae-connect/graduation-handoff", BAD_GRADUATIONS),
        laws=(16,),
        rules=_BODY,
    )
)
