"""Checks of what a request may say: bodies, path ids and queries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, require, same, success
from curae_lifecycle.testing.conformance.gates import expect_documented_refusal
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    about,
    body_of,
    build_request,
    build_successful_request,
    operations_where,
    takes,
    value_of,
)
from curae_lifecycle.testing.conformance.steps import Steps, send
from curae_lifecycle.web.request import BODY_MAX, Request

CHECKS: Final = Checks()

_BODY: Final = ("request.body", "problem.bad-request")

_LONGEST_TOKEN: Final = "a" * 64

BAD_USERS: Final[tuple[object, ...]] = (
    *("", " u", "u ", "\u00a0u", "u\n", "a\x00b", "a\x7fb", "\ud800", "x" * 257),
    *(7, ["u"]),
)

BAD_PACKAGES: Final[tuple[object, ...]] = (
    *([], "labs", {"labs": 1}, [7], [""], ["Labs"], ["1abs"], ["lab-s"], ["labs "]),
    [_LONGEST_TOKEN + "a"],
    [f"p{number}" for number in range(65)],
)

BAD_VALUES: Final[Mapping[str, tuple[object, ...]]] = {
    "appUserId": BAD_USERS,
    "dataPackages": BAD_PACKAGES,
    "preferSignup": ("true", 1, "", [], {}),
}
"""What a member may not be; another one may not be what its own parser refuses of all these."""

Values = Mapping[str, object]
Bodies = Iterator[str | bytes]


def _no_json(kind: Kind, values: Values) -> Bodies:
    good = body_of(kind, values)
    text = json.dumps(good)
    yield from ("{", "nonsense", "{'a': 'b'}", text[:-1] + ",}", text + " {}", "[" * 5000)
    # White space counts.
    yield text.ljust(BODY_MAX + 1)
    yield from ("", " ")[: 2 * len(good)]
    for name in good:
        yield json.dumps(good | {name: "?"}).replace('"?"', "NaN")
        yield json.dumps(good | {name: ["?"]}).replace('"?"', "NaN")
        yield json.dumps(good | {name: "?"}).encode().replace(b"?", b"\xff")


def _no_object(_kind: Kind, _values: Values) -> Bodies:
    yield from ("[]", '"text"', "7", "null", "true")


def _missing(kind: Kind, values: Values) -> Bodies:
    good = body_of(kind, values)
    for left_out in good:
        yield "{}"
        yield json.dumps({name: good[name] for name in good if name != left_out})


def _unknown(kind: Kind, values: Values) -> Bodies:
    # Members that it does not have, and its own ones in other spellings.
    own = [each.name for each in kind.rule.body or ()]
    spelled = [re.sub("([A-Z])", r"_\1", name).lower() for name in own]
    spelled += [name.lower() for name in own] + [name.replace("up", "Up") for name in own]
    for name in dict.fromkeys(("extra", "reason", *BAD_VALUES, *spelled)):
        if name not in own:
            yield json.dumps(body_of(kind, values) | {name: True})
            yield json.dumps(body_of(kind, values) | {name: None})


def _repeated(kind: Kind, values: Values) -> Bodies:
    good = body_of(kind, values)
    for each in kind.rule.body or ():
        whole = json.dumps(good | {each.name: _good(each, values)})
        yield json.dumps({each.name: _good(each, values)})[:-1] + ", " + whole[1:]


def _null(kind: Kind, values: Values) -> Bodies:
    for each in kind.rule.body or ():
        yield json.dumps(body_of(kind, values) | {each.name: None})
        yield json.dumps(body_of(kind, values) | {each.name: [None]})


def _user(kind: Kind, values: Values) -> Bodies:
    return _bad_members(kind, values, lambda each: each.name == "appUserId")


def _other_members(kind: Kind, values: Values) -> Bodies:
    return _bad_members(kind, values, lambda each: each.name != "appUserId")


def _bad_members(kind: Kind, values: Values, which: Callable[[Member[object]], bool]) -> Bodies:
    for each in filter(which, kind.rule.body or ()):
        anything = [value for bad in BAD_VALUES.values() for value in bad]
        unfit = [value for value in anything if not takes(each, value)]
        for value in BAD_VALUES.get(each.name, unfit):
            yield json.dumps(body_of(kind, values) | {each.name: value})


def _good(each: Member[object], values: Values) -> object:
    return value_of(each, values) if each.name != "preferSignup" else True


# fmt: off
BAD_BODIES: Final[Mapping[str, tuple[str, Callable[[Kind, Values], Bodies]]]] = {
    "no JSON":                    ("no-json",         _no_json),
    "no object":                  ("no-object",       _no_object),
    "a member missing":           ("member-missing",  _missing),
    "a member unknown":           ("member-unknown",  _unknown),
    "a member repeated":          ("member-repeated", _repeated),
    "a member null":              ("member-null",     _null),
    "an app user that may not be": ("app-user",       _user),
    "packages that may not be":   ("packages",        _other_members),
}
# fmt: on
"""Bodies that an operation may not take, by what is wrong, with the name of the check."""

BAD_IDS: Final = (
    "nonsense",
    "1",
    "8d3c6f0a5b0e4f3c9a9e2f1b7c6d5e4f",
    "{8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4f}",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4g",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4f0",
)


def _bad(request: Request) -> Steps[None]:
    fault = (yield from expect_documented_refusal(request, 400, "BAD_REQUEST")).get("fault")
    require(fault in list(Fault), f"the fault {fault!r} is not listed")


def _bad_bodies(what: str, app: App) -> Steps[None]:
    connection_id = client.id_of((yield from app.created()))
    for kind in operations_where(app, lambda rule: rule.body is not None):
        yield from _all_bad(app, kind, connection_id, what)


def _all_bad(app: App, kind: Kind, connection_id: str, *whats: str) -> Steps[None]:
    values = about(connection_id, "u")
    for what in whats:
        for body in BAD_BODIES[what][1](kind, values):
            raw = body if isinstance(body, bytes) else body.encode()
            yield from _bad(build_request(app, kind, values, body=raw))


def _bad_for(kind: Kind, app: App) -> Steps[None]:
    yield from _all_bad(app, kind, app.names.uuid(), *BAD_BODIES)
    same((yield from app.state("u")), "UNLINKED", "the state")


@CHECKS.add("request.body.not-empty", laws=(16,), rules=_BODY)
def _bad_empty_bodies(app: App) -> Steps[None]:
    """A reconnect or a revoke takes no members."""
    connection_id = client.id_of((yield from app.created()))
    for kind in operations_where(app, lambda rule: rule.body == ()):
        yield from _all_bad(app, kind, connection_id, *BAD_BODIES)
    yield from app.shows(connection_id, "PENDING")


_EMPTY: Final = (b"", b"{}", b" { } ", b"{}".ljust(BODY_MAX))


@CHECKS.add("request.body.empty", rules=("request.body",))
def _empty_bodies(app: App) -> Steps[None]:
    """For a reconnect and a revoke an absent body and an empty object are one."""
    for body, kind in product(_EMPTY, operations_where(app, lambda rule: rule.body == ())):
        request = yield from build_successful_request(app, kind, body)
        yield from success(request, kind.rule.status)


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
        answer = yield from success(app.create(user, packages), client.CREATED)
        made = client.as_document(client.member(answer, "connection"))
        same(made.get("appUserId"), user, "appUserId")
        same(made.get("dataPackages"), kept, "dataPackages")


@CHECKS.add("request.body.malformed-id", laws=(16,), rules=_BODY)
def _bad_ids(app: App) -> Steps[None]:
    """An id that is no UUID is a bad request."""
    for bad, kind in product(BAD_IDS, operations_where(app, lambda rule: rule.ids)):
        yield from _bad(build_request(app, kind, about(bad)))


@CHECKS.add("request.body.id-in-any-case", rules=("request.body",))
def _ids_in_any_case(app: App) -> Steps[None]:
    """An id is read in any case and answered in lower case."""
    made = yield from app.created()
    connection_id = client.id_of(made)
    answer = yield from success(app.get(connection_id.upper()), client.OK)
    same(client.member(answer, "connection"), made, "the connection")
    require(connection_id == connection_id.lower(), "the id is not in lower case")


BAD_QUERIES: Final = (
    *("", "?", "?{name}=", "?{lower}=u", "?{name}=u&{name}=u"),
    *("?{name}=%20u", "?{name}=%00", "?{name}=%FF"),
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
    for kind, query in product(operations_where(app, lambda rule: rule.query), BAD_QUERIES):
        name = kind.rule.query[0].name
        target = kind.rule.path + query.format(name=name, lower=name.lower())
        request = attrs.evolve(build_request(app, kind, about(app.names.uuid())), target=target)
        yield from _bad(request)
    yield from send(app.initiate("a b"))
    for query in GOOD_QUERIES:
        path = f"/curae-connect/account-state{query}"
        answer = yield from success(app.request("GET", path), client.OK)
        same(answer.get("lifecycleState"), "LIMITED", "lifecycleState")


CHECKS.extend(
    Check(
        f"request.body.{slug}",
        f"A request whose body is or has {what} is refused.",
        partial(_bad_bodies, what),
        laws=(16,),
        rules=_BODY,
    )
    for what, (slug, _) in BAD_BODIES.items()
)
CHECKS.extend(
    Check(f"request.body.{name}", shows, partial(_bad_for, kind), laws=(16,), rules=_BODY)
    for name, kind, shows in (
        ("initiate", Initiate, "An initiate that cannot be read is refused and provisions nobody."),
        ("graduation", StartGraduation, "A graduation that cannot be read is refused."),
    )
)
