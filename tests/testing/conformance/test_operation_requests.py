"""Tests of the requests that the kit builds from the class of an operation."""

from __future__ import annotations

import json
import re
from typing import ClassVar

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.members import CONNECTION_ID, Member
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance import NotSeenError, Request, Response
from curae_lifecycle.testing.conformance.operation_requests import (
    body_of,
    build_request,
    build_successful_request,
    member_values,
    needs_key,
    operations_where,
    short_name,
    takes,
    value_of,
)
from tests.support.eighth import Relabel
from tests.testing.conformance.by_hand import app, play

ID = "c0ffee00-0000-4000-8000-00000000abcd"
KEY = ("Idempotency-Key", "k")
MORE = ("X-More", "1")


def only(*accepted: object) -> Member[object]:
    """Return a member that accepts these values alone."""

    def parse(value: object) -> object:
        if not any(type(value) is type(each) and value == each for each in accepted):
            raise ArgumentError("it", "another value")
        return value

    return Member("it", parse)


@attrs.frozen
class Search(operation.ConnectionOperation):
    """An operation with ids, a query, and optional members."""

    connection_id: ConnectionId

    reply = Relabel.reply
    rule = operation.OperationRule(
        name="search",
        why="[O] For a test.",
        summary="Search",
        method="PUT",
        path=f"{BASE_PATH}/found/{{connectionId}}/in/{{it}}",
        scope=None,
        key=KeyUse.UNUSED,
        status=200,
        ids=(CONNECTION_ID, attrs.evolve(only("a/b"), example="a/b")),
        query=(
            attrs.evolve(only("true"), name="flag"),
            attrs.evolve(only("x y"), name="words", example="x y"),
            attrs.evolve(only("true"), name="left_out", optional=True),
        ),
        body=(
            attrs.evolve(only(1), name="count"),
            attrs.evolve(only(1), name="left_out_too", optional=True),
        ),
    )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError(context)  # only its requests are built


# --- Selecting ------------------------------------------------------------------------------


def test_operations_are_selected_by_a_condition_on_their_rule() -> None:
    found = operations_where(app(), lambda rule: rule.method == "GET")
    assert found == [each for each in OPERATIONS if each.rule.method == "GET"]
    assert 0 < len(found) < len(OPERATIONS)
    assert operations_where(app(), needs_key) == [
        each for each in OPERATIONS if each.rule.key is KeyUse.NEEDED
    ]


def test_short_name_of_an_operation_omits_the_word_connection() -> None:
    names = [short_name(each) for each in (CreateConnection, GetConnection, Initiate)]
    assert names == ["create", "get", "initiate"]


def test_sample_values_of_a_connection_have_id_user_and_packages() -> None:
    packages = ["clinical_summary", "labs"]
    assert member_values(ID) == {"connectionId": ID, "appUserId": "user", "dataPackages": packages}
    assert member_values(ID, "u")["appUserId"] == "u"


# --- Building -------------------------------------------------------------------------------


def test_kit_request_has_path_ids_query_and_required_members() -> None:
    sent = build_request(app(), Search, member_values(ID), MORE)
    assert sent.method == "PUT"
    assert sent.target == f"{BASE_PATH}/found/{ID}/in/a/b?flag=true&words=x+y"
    assert sent.body == b'{"count": 1}'
    assert (sent.headers[0][0], sent.headers[-1]) == ("Authorization", MORE)
    assert "Idempotency-Key" not in dict(sent.headers)


def test_operation_request_has_given_values_instead_of_examples() -> None:
    values = member_values(ID) | {"words": "z", "count": 7}
    sent = build_request(app(), Search, values)
    assert sent.target.endswith("?flag=true&words=z")
    assert sent.body == b'{"count": 7}'


@pytest.mark.parametrize("body", [b"{", {"a": 1}])
def test_kit_request_sends_the_given_body_and_idempotency_key(body: object) -> None:
    sent = build_request(app(), Reconnect, member_values(ID), body=body, key="k")
    assert sent.body == (body if isinstance(body, bytes) else json.dumps(body).encode())
    assert KEY in sent.headers
    assert build_request(app(), Search, member_values(ID), body=b"x", key="k").body == b"x"
    assert KEY in build_request(app(), Search, member_values(ID), key="k").headers


def test_only_operations_that_need_an_idempotency_key_get_one() -> None:
    one = app()
    keys = [
        dict(build_request(one, Reconnect, member_values(ID)).headers)["Idempotency-Key"]
        for _ in "ab"
    ]
    assert len(set(keys)) == 2
    assert all(each.startswith("key-") for each in keys)
    for kind in (GetConnection, StartGraduation):
        assert "Idempotency-Key" not in dict(build_request(one, kind, member_values(ID)).headers)


def test_request_of_an_operation_without_members_has_no_body() -> None:
    sent = build_request(app(), Reconnect, member_values(ID))
    assert (sent.method, sent.body) == ("POST", b"")
    assert sent.target == f"{BASE_PATH}/connections/{ID}:reconnect"
    assert body_of(Reconnect, member_values(ID)) == body_of(GetConnection, member_values(ID)) == {}


def test_body_of_an_operation_has_its_required_members() -> None:
    assert body_of(Initiate, member_values(ID, "u")) == {"appUserId": "u"}
    assert body_of(Search, member_values(ID)) == {"count": 1}


# --- Values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["word", True, 1, ["word"], "2026-01-05T09:00:00Z", ID])
def test_member_value_is_the_first_sample_its_parser_accepts(value: object) -> None:
    assert value_of(only(value, "other"), member_values(ID)) == value


@pytest.mark.parametrize("text", ["word", "true", "1", '["word"]', ID])
def test_query_parameter_gets_the_sample_text_that_it_accepts(text: str) -> None:
    assert value_of(only(text), member_values(ID), in_query=True) == text


def test_request_member_has_the_given_value_or_else_its_example() -> None:
    wanted = attrs.evolve(only("example", "word"), example="example")
    assert value_of(wanted, member_values(ID)) == "example"
    assert value_of(wanted, member_values(ID) | {"it": None}) is None
    number = attrs.evolve(only("7"), example=7)
    assert value_of(number, member_values(ID), in_query=True) == "7"


@pytest.mark.parametrize("example", [None, "bad"])
def test_kit_raises_not_seen_error_if_it_knows_no_member_value(example: str | None) -> None:
    wanted = attrs.evolve(only("secret"), example=example)
    with pytest.raises(NotSeenError, match=r"^the kit knows no value of the member it$"):
        value_of(wanted, member_values(ID))


def test_value_fits_a_member_only_if_its_parser_accepts_it() -> None:
    assert takes(only("a"), "a") is True
    assert takes(only("a"), "b") is False


# --- Requests that must succeed -------------------------------------------------------------


def made(name: str) -> Response:
    return Response(201, (), json.dumps({"connection": {"id": name}}).encode())


SESSION = Response(201, (), b'{"session": {"id": "s"}}')
OK = Response(200, (), b"{}")
CONFLICT = Response(409, (), b'{"code": "CONNECTION_NOT_RECONNECTABLE"}')
IN_FLIGHT = Response(409, (), b'{"code": "IDEMPOTENCY_KEY_IN_FLIGHT"}')


def user_of(step: object) -> str:
    assert isinstance(step, Request)
    assert isinstance(step.body, bytes)
    return str(json.loads(step.body)["appUserId"])


def path_of(step: object) -> str:
    assert isinstance(step, Request)
    return step.target.removeprefix(BASE_PATH)


@pytest.mark.parametrize("first", [OK, IN_FLIGHT, Response(404, (), b'{"code": "NOT_FOUND"}')])
def test_kit_tries_a_request_on_a_spare_connection_first(first: Response) -> None:
    played = play(build_successful_request(app(), Reconnect), made("a"), first, made("b"))
    create, tried, again = played.steps
    assert [path_of(each) for each in (create, tried, again)] == [
        "/connections",
        "/connections/a:reconnect",
        "/connections",
    ]
    assert user_of(create) != user_of(again)
    assert path_of(played.result) == "/connections/b:reconnect"


def test_kit_revokes_a_new_connection_if_reconnect_gets_409() -> None:
    steps = build_successful_request(app(), Reconnect)
    played = play(steps, made("a"), CONFLICT, SESSION, made("b"), OK)
    _, _, initiate, create, revoke = played.steps
    assert [path_of(each) for each in (initiate, create, revoke)] == [
        "/curae-connect/initiate",
        "/connections",
        "/connections/b:revoke",
    ]
    assert user_of(initiate) == user_of(create)
    assert path_of(played.result) == "/connections/b:reconnect"


def test_kit_initiates_a_user_if_graduation_handoff_gets_409() -> None:
    played = play(build_successful_request(app(), StartGraduation), CONFLICT, SESSION)
    tried, initiate = played.steps
    assert path_of(tried) == path_of(played.result) == "/curae-connect/graduation-handoff"
    assert user_of(tried) != user_of(initiate) == user_of(played.result)


def test_kit_tries_initiate_for_a_new_user_before_the_given_user() -> None:
    steps = build_successful_request(app(), Initiate, {"appUserId": "mine"})
    played = play(steps, OK)
    assert user_of(played.steps[0]).startswith("user-")
    assert user_of(played.result) == "mine"


class OfSession(Search):
    """An operation on a session, with a random id otherwise."""

    rule: ClassVar = attrs.evolve(
        Search.rule,
        path=f"{BASE_PATH}/sessions/{{sessionId}}",
        ids=(attrs.evolve(CONNECTION_ID, name="sessionId"),),
        query=(),
        body=None,
    )


def test_kit_initiates_a_new_session_for_each_session_request() -> None:
    played = play(build_successful_request(app(), OfSession), SESSION, OK, SESSION)
    initiate, tried, again = played.steps
    assert user_of(initiate) != user_of(again)
    assert path_of(tried) == path_of(played.result) == "/sessions/s"


class OfOther(Search):
    """An operation on something that the kit does not know, with an id."""

    rule: ClassVar = attrs.evolve(
        OfSession.rule,
        path=f"{BASE_PATH}/others/{{otherId}}",
        ids=(attrs.evolve(CONNECTION_ID, name="otherId", example=None),),
    )


def test_kit_makes_a_new_id_per_request_for_an_unknown_id_kind() -> None:
    played = play(build_successful_request(app(), OfOther), OK)
    paths = [path_of(each) for each in (*played.steps, played.result)]
    assert len(set(paths)) == 2
    assert all(re.fullmatch(r"/others/[0-9a-f-]{36}", each) for each in paths)
