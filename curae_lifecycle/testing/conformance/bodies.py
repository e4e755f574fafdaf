"""Checks of the values in a request: bodies, ids in paths, and queries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import product
from typing import Final
from urllib.parse import urlencode

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, require, same, success
from curae_lifecycle.testing.conformance.gates import expect_documented_refusal
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    body_of,
    build_request,
    build_successful_request,
    has_connection_id,
    member_values,
    operations_where,
    takes,
    value_of,
)
from curae_lifecycle.testing.conformance.steps import Steps, send
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import BODY_MAX, Request

CHECKS: Final = Checks()

_BODY: Final = ("request.body", "problem.bad-request")

_LONGEST_TOKEN: Final = "a" * 64

BAD_USERS: Final[tuple[object, ...]] = (
    *("", " u", "u ", "\u00a0u", "u\n", "a\x00b", "a\x7fb", "\ud800", "x" * 257),
    *(7, ["u"]),
)
"""Invalid values of `appUserId`."""

BAD_PACKAGES: Final[tuple[object, ...]] = (
    *([], "labs", {"labs": 1}, [7], [""], ["Labs"], ["1abs"], ["lab-s"], ["labs "]),
    [_LONGEST_TOKEN + "a"],
    [f"p{number}" for number in range(65)],
)
"""Invalid values of `dataPackages`."""

BAD_VALUES: Final[Mapping[str, tuple[object, ...]]] = {
    "appUserId": BAD_USERS,
    "dataPackages": BAD_PACKAGES,
    "preferSignup": ("true", 1, "", [], {}),
}
"""Invalid values, by member name.

For a member that is not listed, the checks send each of these values that the member's parser
refuses.
"""

Values = Mapping[str, object]
"""Valid JSON values for the members of a request, by member name, as `member_values` returns them.

The checks make invalid bodies from them, each with one fault.
"""

Bodies = Iterator[str | bytes]
"""Invalid request bodies, as text or as bytes, which the server must refuse."""


def _not_json(kind: Kind, values: Values) -> Bodies:
    good = body_of(kind, values)
    text = json.dumps(good)
    yield from ("{", "nonsense", "{'a': 'b'}", text[:-1] + ",}", text + " {}", "[" * 5000)
    yield from (text.encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-32"))
    # White space counts toward the longest body.
    yield text.ljust(BODY_MAX + 1)
    if good:
        # An absent body is valid if no member is required.
        yield from ("", " ")
    for name in good:
        yield json.dumps(good | {name: "?"}).replace('"?"', "NaN")
        yield json.dumps(good | {name: ["?"]}).replace('"?"', "NaN")
        yield json.dumps(good | {name: "?"}).encode().replace(b"?", b"\xff")


def _not_object(_kind: Kind, _values: Values) -> Bodies:
    yield from ("[]", '"text"', "7", "null", "true")


def _missing(kind: Kind, values: Values) -> Bodies:
    good = body_of(kind, values)
    for left_out in good:
        yield "{}"
        yield json.dumps({name: good[name] for name in good if name != left_out})


def _unknown(kind: Kind, values: Values) -> Bodies:
    # Members of other operations, and the operation's own members in other spellings.
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
        whole = json.dumps(good | {each.name: value_of(each, values)})
        yield json.dumps({each.name: value_of(each, values)})[:-1] + ", " + whole[1:]


def _null(kind: Kind, values: Values) -> Bodies:
    for each in kind.rule.body or ():
        yield json.dumps(body_of(kind, values) | {each.name: None})
        yield json.dumps(body_of(kind, values) | {each.name: [None]})


def _bad_user(kind: Kind, values: Values) -> Bodies:
    return _bad_members(kind, values, lambda each: each.name == "appUserId")


def _bad_other_members(kind: Kind, values: Values) -> Bodies:
    return _bad_members(kind, values, lambda each: each.name != "appUserId")


def _bad_members(kind: Kind, values: Values, selects: Callable[[Member[object]], bool]) -> Bodies:
    for each in filter(selects, kind.rule.body or ()):
        candidates = [value for bad in BAD_VALUES.values() for value in bad]
        refused = [value for value in candidates if not takes(each, value)]
        for value in BAD_VALUES.get(each.name, refused):
            yield json.dumps(body_of(kind, values) | {each.name: value})


# fmt: off
BAD_BODIES: Final[Mapping[str, tuple[str, Callable[[Kind, Values], Bodies]]]] = {
    "no-json":         ("Bodies that are not JSON are refused.",                     _not_json),
    "no-object":       ("Bodies that are JSON but not an object are refused.",       _not_object),
    "member-missing":  ("Bodies without a required member are refused.",             _missing),
    "member-unknown":  ("Bodies with an unknown member are refused.",                _unknown),
    "member-repeated": ("Bodies that repeat a member are refused.",                  _repeated),
    "member-null":     ("Bodies with a null member, or null in a list, are refused.", _null),
    "app-user":        ("Bodies with an invalid appUserId are refused.",             _bad_user),
    "packages":        ("Bodies with invalid packages or another invalid value are refused.", _bad_other_members),
}
# fmt: on
"""Kinds of invalid bodies, by the last part of the name of the check that sends them.

Each holds a sentence for the report, which is true of a server that passes, and a function. The
function takes an operation's class and valid values of its members, and yields the bodies.
"""

BAD_IDS: Final = (
    "nonsense",
    "1",
    "8d3c6f0a5b0e4f3c9a9e2f1b7c6d5e4f",
    "{8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4f}",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4g",
    "8d3c6f0a-5b0e-4f3c-9a9e-2f1b7c6d5e4f0",
)
"""Path ids that are not UUIDs."""


def _expect_bad_request(app: App, request: Request) -> Steps[None]:
    details = yield from expect_documented_refusal(request, 400, "BAD_REQUEST")
    same(details, _first_fault(request, app.context.operations), "the first fault")


def _first_fault(request: Request, operations: tuple[Kind, ...]) -> Mapping[str, object]:
    scopes = frozenset(kind.rule.scope for kind in operations if kind.rule.scope is not None)
    caller = attrs.evolve(_CALLER, scopes=scopes)
    refused = read(request, caller, _ANY_TIME, settings=Settings(operations=operations))
    assert isinstance(refused, Decision)  # noqa: S101 - the checks send what must be refused
    assert isinstance(refused.reply, ProblemReply)  # noqa: S101 - as above
    return refused.reply.problem.details


_CALLER: Final = Caller(
    api_key_id=ApiKeyId("any"),
    app_id=AppId("any"),
    customer_account_id=CustomerAccountId("00000000-0000-4000-8000-000000000000"),
    environment=Environment.LIVE,
    scopes=frozenset(),
)
_ANY_TIME: Final = datetime(2026, 1, 5, tzinfo=UTC)


def _all_operations_refuse(slug: str, app: App) -> Steps[None]:
    connection_id = yield from app.created_id()
    for kind in operations_where(app, lambda rule: rule.body is not None):
        yield from _expect_bodies_refused(app, kind, connection_id, slug)


def _expect_bodies_refused(app: App, kind: Kind, connection_id: str, *slugs: str) -> Steps[None]:
    values = member_values(connection_id, "u")
    for slug in slugs:
        for body in BAD_BODIES[slug][1](kind, values):
            raw = body if isinstance(body, bytes) else body.encode()
            yield from _expect_bad_request(app, build_request(app, kind, values, body=raw))


def _refuses_all_bodies(kind: Kind, app: App) -> Steps[None]:
    yield from _expect_bodies_refused(app, kind, app.names.uuid(), *BAD_BODIES)
    same((yield from app.state("u")), "UNLINKED", "the account state")


@CHECKS.add("request.body.not-empty", laws=(16,), rules=_BODY)
def _bad_empty_bodies(app: App) -> Steps[None]:
    """Reconnect and revoke refuse bodies that have members or are not JSON objects."""
    connection_id = yield from app.created_id()
    for kind in operations_where(app, lambda rule: rule.body == ()):
        yield from _expect_bodies_refused(app, kind, connection_id, *BAD_BODIES)
    yield from app.shows(connection_id, "PENDING")


_EMPTY: Final = (b"", b"{}", b" { } ", b"{}".ljust(BODY_MAX))


@CHECKS.add("request.body.empty", rules=("request.body",))
def _empty_bodies(app: App) -> Steps[None]:
    """Reconnect and revoke accept an absent body and an empty object of at most 65,536 bytes."""
    for body, kind in product(_EMPTY, operations_where(app, lambda rule: rule.body == ())):
        request = yield from build_successful_request(app, kind, body)
        yield from success(request, kind.rule.status)


@CHECKS.add("request.body.accepted", rules=("request.body",))
def _creates_up_to_the_bounds(app: App) -> Steps[None]:
    """Creating a connection accepts values up to their bounds and sorts the set of packages."""
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
    # Clients in other languages do not escape what is not ASCII.
    user = "\u00e9\U0001f600"
    body = json.dumps({"appUserId": user, "dataPackages": ["labs"]}, ensure_ascii=False).encode()
    request = app.request("POST", "/connections", body, key=app.new_key())
    made = client.as_document(
        client.member((yield from success(request, client.CREATED)), "connection")
    )
    same(made.get("appUserId"), user, "appUserId")


@CHECKS.add("request.body.malformed-id", laws=(16,), rules=_BODY)
def _bad_ids(app: App) -> Steps[None]:
    """Requests with an id that is not a UUID are refused."""
    for bad, kind in product(BAD_IDS, operations_where(app, has_connection_id)):
        yield from _expect_bad_request(app, build_request(app, kind, member_values(bad)))


@CHECKS.add("request.body.id-in-any-case", rules=("request.body",))
def _ids_in_any_case(app: App) -> Steps[None]:
    """Ids are read in any case and returned in lower case."""
    made = yield from app.created()
    connection_id = client.id_of(made)
    answer = yield from success(app.get(connection_id.upper()), client.OK)
    same(client.member(answer, "connection"), made, "the connection")
    require(connection_id == connection_id.lower(), "the id is not in lower case")


BAD_QUERIES: Final = (
    *("", "?", "?{name}=", "?{lower}=u", "?{name}=u&{name}=u"),
    *("?{name}=%20u", "?{name}=%00", "?{name}=%FF"),
)
"""Invalid queries. `{name}` stands for a member's name, `{lower}` for that name in lower case."""

GOOD_QUERIES: Final = (
    "?appUserId=a%20b",
    "?appUserId=a+b",
    "?other=1&appUserId=a+b&more",
    "?appUserI%64=a+b",
)
"""Valid queries for the app user `a b`."""


@CHECKS.add("request.body.query", laws=(16,), rules=_BODY)
def _bad_queries(app: App) -> Steps[None]:
    """Queries are percent-encoded, with + for a space, and must name one valid app user."""
    for kind in operations_where(app, lambda rule: rule.query):
        request = build_request(app, kind, member_values(app.names.uuid()))
        for target in _bad_targets(kind, request.target):
            yield from _expect_bad_request(app, attrs.evolve(request, target=target))
    yield from send(app.initiate("a b"))
    for query in GOOD_QUERIES:
        path = f"/curae-connect/account-state{query}"
        answer = yield from success(app.request("GET", path), client.OK)
        same(answer.get("lifecycleState"), "LIMITED", "lifecycleState")


def _bad_targets(kind: Kind, good: str) -> Iterator[str]:
    for each in kind.rule.query:
        if each.name == "appUserId":
            names = {"name": each.name, "lower": each.name.lower()}
            yield from (kind.rule.path + query.format(**names) for query in BAD_QUERIES)
        else:
            value = value_of(each, member_values(""), in_query=True)
            repeated = urlencode([(each.name, value)] * 2)
            yield f"{good}{'&' if '?' in good else '?'}{repeated}"


CHECKS.extend(
    Check(
        f"request.body.{slug}",
        shows,
        partial(_all_operations_refuse, slug),
        laws=(16,),
        rules=_BODY,
    )
    for slug, (shows, _) in BAD_BODIES.items()
)
CHECKS.extend(
    Check(
        f"request.body.{name}", shows, partial(_refuses_all_bodies, kind), laws=(16,), rules=_BODY
    )
    for name, kind, shows in (
        ("initiate", Initiate, "Initiates with an invalid body are refused and provision no user."),
        ("graduation", StartGraduation, "Graduation hand-offs with an invalid body are refused."),
    )
)
