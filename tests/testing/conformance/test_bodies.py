"""Tests of the invalid requests that the kit sends, and of what it expects in response."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

import attrs
import pytest

from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance import CHECKS, Failure, Request, Response
from curae_lifecycle.testing.conformance.bodies import (
    BAD_BODIES,
    BAD_PACKAGES,
    BAD_QUERIES,
    BAD_USERS,
    BAD_VALUES,
    _bad_targets,
    _first_fault,
)
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    build_request,
    member_values,
)
from curae_lifecycle.testing.conformance.results import Result
from curae_lifecycle.testing.conformance.runner import run_check
from tests.support.eighth import EIGHT, Relabel
from tests.support.kit import Reference
from tests.testing.conformance.by_hand import app, context
from tests.testing.conformance.test_operation_requests import Search

ID = "c0ffee00-0000-4000-8000-00000000abcd"
VALUES = member_values(ID, "u")
BY_NAME = {each.name: each for each in CHECKS}


def bodies(slug: str, kind: Kind) -> list[str | bytes]:
    return list(BAD_BODIES[slug][1](kind, VALUES))


def dumped(*values: Mapping[str, object]) -> list[str]:
    return [json.dumps(each) for each in values]


USER = {"appUserId": "u"}
BOTH = {"appUserId": "u", "dataPackages": ["clinical_summary", "labs"]}


def test_non_json_bodies_are_malformed_too_long_or_not_utf_8() -> None:
    text = '{"appUserId": "u"}'
    assert bodies("no-json", Initiate) == [
        *("{", "nonsense", "{'a': 'b'}", '{"appUserId": "u",}', text + " {}", "[" * 5000),
        *(text.encode("utf-16"), text.encode("utf-16-le"), text.encode("utf-32")),
        text + " " * (65_537 - len(text)),
        *("", " "),
        '{"appUserId": NaN}',
        '{"appUserId": [NaN]}',
        b'{"appUserId": "\xff"}',
    ]


def test_kit_tries_an_empty_body_only_if_a_member_is_required() -> None:
    assert bodies("no-json", Reconnect) == [
        *("{", "nonsense", "{'a': 'b'}", "{,}", "{} {}", "[" * 5000),
        *("{}".encode("utf-16"), b"{\0}\0", "{}".encode("utf-32")),
        "{}" + " " * 65_535,
    ]


@pytest.mark.parametrize("kind", [Initiate, Reconnect])
def test_non_object_bodies_are_array_string_number_null_and_true(kind: Kind) -> None:
    assert bodies("no-object", kind) == ["[]", '"text"', "7", "null", "true"]


def test_missing_member_bodies_leave_out_each_required_member() -> None:
    packages = {"dataPackages": BOTH["dataPackages"]}
    assert bodies("member-missing", CreateConnection) == dumped({}, packages, {}, USER)
    assert bodies("member-missing", Initiate) == ["{}", "{}"]
    assert bodies("member-missing", Reconnect) == []


def test_unknown_member_bodies_add_a_new_or_misspelt_member() -> None:
    names = [
        *("extra", "reason", "dataPackages", "app_user_id", "prefer_signup"),
        *("appuserid", "prefersignup", "preferSignUp"),
    ]
    for_initiate = [{**USER, name: value} for name in names for value in (True, None)]
    assert bodies("member-unknown", Initiate) == dumped(*for_initiate)
    of_others = ["extra", "reason", "appUserId", "dataPackages", "preferSignup"]
    for_reconnect = [{name: value} for name in of_others for value in (True, None)]
    assert bodies("member-unknown", Reconnect) == dumped(*for_reconnect)


def test_repeated_member_bodies_repeat_each_known_member() -> None:
    assert bodies("member-repeated", Initiate) == [
        '{"appUserId": "u", "appUserId": "u"}',
        '{"preferSignup": true, "appUserId": "u", "preferSignup": true}',
    ]
    assert bodies("member-repeated", Reconnect) == []


def test_null_member_bodies_set_each_member_to_null() -> None:
    expected: list[Mapping[str, object]] = [
        {"appUserId": None},
        {"appUserId": [None]},
        {**USER, "preferSignup": None},
        {**USER, "preferSignup": [None]},
    ]
    assert bodies("member-null", Initiate) == dumped(*expected)
    assert bodies("member-null", Reconnect) == []


def test_kit_has_a_body_for_each_invalid_app_user_id() -> None:
    assert bodies("app-user", Initiate) == dumped(*[{"appUserId": each} for each in BAD_USERS])
    assert bodies("app-user", Relabel) == bodies("app-user", Reconnect) == []


def test_kit_has_bodies_with_bad_packages_and_bad_prefer_signup() -> None:
    packages = [{**BOTH, "dataPackages": each} for each in BAD_PACKAGES]
    assert bodies("packages", CreateConnection) == dumped(*packages)
    flags = [{**USER, "preferSignup": each} for each in BAD_VALUES["preferSignup"]]
    assert bodies("packages", Initiate) == dumped(*flags)


def test_kit_omits_bad_values_that_a_custom_member_accepts() -> None:
    sent = [json.loads(each)["label"] for each in bodies("packages", Relabel)]
    # The parser of the label accepts the other texts.
    assert [each for each in sent if isinstance(each, str)] == ["", "\ud800", ""]
    assert [each for each in sent if each in (7, ["u"])] == [7, ["u"]]


@pytest.mark.parametrize("kind", [Initiate, CreateConnection, Reconnect, Relabel])
@pytest.mark.parametrize("slug", BAD_BODIES)
def test_library_refuses_each_invalid_body(slug: str, kind: Kind) -> None:
    for body in bodies(slug, kind):
        raw = body if isinstance(body, bytes) else body.encode()
        request = build_request(app(), kind, VALUES, body=raw)
        assert "fault" in _first_fault(request, EIGHT)


def test_kit_expects_fault_invalid_for_an_empty_text_member() -> None:
    request = build_request(app(), Initiate, VALUES, body={"appUserId": ""})
    assert _first_fault(request, OPERATIONS) == {"member": "appUserId", "fault": "INVALID"}
    relabel = build_request(app(), Relabel, VALUES, body={"label": ""})
    assert _first_fault(relabel, EIGHT) == {"member": "label", "fault": "INVALID"}


# --- Queries --------------------------------------------------------------------------------


def test_bad_app_user_queries_are_absent_repeated_or_malformed() -> None:
    path = f"{BASE_PATH}/curae-connect/account-state"
    targets = list(_bad_targets(GetAccountState, "unused"))
    assert targets == [
        *(path, f"{path}?", f"{path}?appUserId=", f"{path}?appuserid=u"),
        f"{path}?appUserId=u&appUserId=u",
        *(f"{path}?appUserId=%20u", f"{path}?appUserId=%00", f"{path}?appUserId=%FF"),
    ]
    assert len(targets) == len(BAD_QUERIES)


def test_bad_queries_repeat_each_member_other_than_app_user_id() -> None:
    assert list(_bad_targets(Search, "/x?y=1")) == [
        "/x?y=1&flag=true&flag=true",
        "/x?y=1&words=x+y&words=x+y",
        "/x?y=1&left_out=true&left_out=true",
    ]
    assert next(_bad_targets(Search, "/x")) == "/x?flag=true&flag=true"
    assert list(_bad_targets(GetConnection, "/x")) == []


def test_query_check_sends_bad_queries_of_a_custom_operation() -> None:
    kit = attrs.evolve(context(), operations=(Search,))
    steps = BY_NAME["request.body.query"].begin(kit)
    next(steps)
    request = steps.send("key")
    assert isinstance(request, Request)
    path, _, query = request.target.partition("?")
    assert re.fullmatch(f"{BASE_PATH}/found/[0-9a-f-]{{36}}/in/a/b", path)
    assert query == "flag=true&words=x+y&flag=true&flag=true"


# --- The checks -----------------------------------------------------------------------------


class Sent:
    """A correct server that notes each request, and may change a response."""

    def __init__(self, change: Callable[[Request, Response], Response] | None = None) -> None:
        self.reference = Reference()
        self.change = change
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.reference.send(request)
        return answer if self.change is None else self.change(request, answer)

    def run(self, check: str) -> Result:
        server = attrs.evolve(self.reference.server(), send=self.send)
        return run_check(
            server, check=BY_NAME[check], seed="s", operations=OPERATIONS, timeout=None
        )


def raw(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode()


def test_initiate_check_sends_bad_bodies_then_reads_the_account() -> None:
    sent = Sent()
    assert sent.run("request.body.initiate") is None
    *refused, last = sent.requests
    expected = [raw(body) for slug in BAD_BODIES for body in bodies(slug, Initiate)]
    assert [each.body for each in refused] == expected
    assert {each.target for each in refused} == {f"{BASE_PATH}/curae-connect/initiate"}
    assert last.target.endswith("account-state?appUserId=u")


def test_initiate_check_fails_if_a_bad_body_provisions_a_user() -> None:
    def limited(request: Request, answer: Response) -> Response:
        del request
        return attrs.evolve(answer, body=answer.body.replace(b"UNLINKED", b"LIMITED"))

    failure = Sent(limited).run("request.body.initiate")
    assert isinstance(failure, Failure)
    assert failure.message.startswith('the account state is "LIMITED" instead of "UNLINKED"')


def test_kit_sends_non_object_bodies_to_operations_with_a_body() -> None:
    sent = Sent()
    assert sent.run("request.body.no-object") is None
    create, *refused = sent.requests
    made = {each.target for each in refused}
    assert {each.body for each in refused} == {b"[]", b'"text"', b"7", b"null", b"true"}
    with_body = [each for each in OPERATIONS if each.rule.body is not None]
    assert len(refused) == 5 * len(with_body)
    assert len(made) == len({each.rule.path for each in with_body})
    assert not any("{" in target or "None" in target for target in made)
    assert create.target.endswith("/connections")
    assert isinstance(create.body, bytes)
    assert json.loads(create.body)["appUserId"].startswith("user-")


@pytest.mark.parametrize("accepted", [b"7", b"true"])
@pytest.mark.parametrize("check", ["request.body.no-object", "request.body.graduation"])
def test_body_check_fails_a_server_that_accepts_one_bad_body(check: str, accepted: bytes) -> None:
    def accepts(request: Request, answer: Response) -> Response:
        if request.body == accepted and "graduation" in request.target:
            return Response(201, (), b"{}")
        return answer

    failure = Sent(accepts).run(check)
    assert isinstance(failure, Failure)
    assert failure.message.startswith("the server answered 201 instead of 400 BAD_REQUEST")


def test_body_check_fails_a_server_that_names_a_wrong_member() -> None:
    def renames(request: Request, answer: Response) -> Response:
        del request
        return attrs.evolve(
            answer, body=answer.body.replace(b'"member":"appUserId"', b'"member":"labs"')
        )

    failure = Sent(renames).run("request.body.graduation")
    assert isinstance(failure, Failure)
    first, *_ = failure.message.splitlines()
    assert first == (
        'the first fault is {"member": "labs", "fault": "MISSING"} '
        'instead of {"member": "appUserId", "fault": "MISSING"}'
    )
