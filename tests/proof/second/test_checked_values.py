"""Values are checked where a program makes them, and no client's request raises."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle import (
    ArgumentError,
    Caller,
    Environment,
    Graduated,
    Request,
    Response,
    serve,
)
from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, user_subject
from curae_lifecycle.web.respond import Answer
from tests.proof.second.client import (
    CALLER,
    CONNECT,
    START,
    World,
    coordinate,
    in_memory,
    wire,
)

MEMBERS: dict[str, object] = {
    "api_key_id": "key-1",
    "app_id": "app-1",
    "customer_account_id": "d8c60791-7301-441c-98e8-5bea9a162d9b",
    "environment": Environment.LIVE,
    "scopes": frozenset({"connection:write"}),
}


def caller(**members: object) -> Callable[[], object]:
    return lambda: Caller(**{**MEMBERS, **members})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose


def request(**members: object) -> Callable[[], object]:
    values: dict[str, object] = {"method": "GET", "target": "/", **members}
    return lambda: Request(**values)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose


WRONG: dict[str, tuple[str, Callable[[], object]]] = {
    "scopes as a str": ("scopes", caller(scopes="connection:write")),
    "scopes as a list": ("scopes", caller(scopes=["connection:write"])),
    "a scope that is no str": ("scopes", caller(scopes=frozenset({1}))),
    "environment prod": ("environment", caller(environment="prod")),
    "environment None": ("environment", caller(environment=None)),
    "account that is no UUID": ("customer_account_id", caller(customer_account_id="acme")),
    "account as an int": ("customer_account_id", caller(customer_account_id=7)),
    "app that is empty": ("app_id", caller(app_id="")),
    "app as None": ("app_id", caller(app_id=None)),
    "key id that is empty": ("api_key_id", caller(api_key_id="")),
    "headers as a dict": ("headers", request(headers={"a": "b"})),
    "headers of three parts": ("headers", request(headers=(("a", "b", "c"),))),
    "headers of bytes": ("headers", request(headers=((b"a", b"b"),))),
    "target as bytes": ("target", request(target=b"/")),
    "method as None": ("method", request(method=None)),
    "body as None": ("body", request(body=None)),
    "body as a str": ("body", request(body="{}")),
    "body as a dict": ("body", request(body={})),
    "empty user of a graduation": (
        "user_id",
        lambda: Graduated(coordinate(), user_id=""),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_constructor_error_names_the_argument_that_is_invalid(case: str) -> None:
    argument, make = WRONG[case]
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
    assert caught.value.allowed


def test_argument_error_names_the_wrong_type_and_hides_the_value() -> None:
    with pytest.raises(ArgumentError, match="scopes") as caught:
        caller(scopes="connection:write")()
    assert "str" in caught.value.given
    assert "connection:write" not in str(caught.value)


def test_valid_constructor_arguments_raise_no_error() -> None:
    assert caller()() == CALLER
    assert caller(scopes=frozenset())() != CALLER
    request(headers=(("a", "b"),), body=b"{}")()
    Graduated(coordinate(), user_id=None)


def test_graduation_log_line_with_an_empty_user_id_is_an_error() -> None:
    fact = {
        "type": "binding.graduate",
        "customerAccountId": MEMBERS["customer_account_id"],
        "appId": "app-1",
        "appUserId": "ada",
    }
    lines = [
        json.dumps({"at": wire(START), "fact": {**fact, **more}}).encode()
        for more in ({"userId": ""}, {}, {"userId": "u-1"})
    ]
    answers = [each.answer for each in replay(lines)]
    assert ["error" in each for each in answers] == [True, False, False]
    assert answers[1]["code"] == "BINDING_CHANGED"


def test_hosted_page_of_an_unbound_app_user_has_no_user_id() -> None:
    page = HostedPage(
        "0" * 64, PageKind.USER, subject=user_subject(coordinate(), None), expires_at=START
    )
    assert page.user_id is None
    assert page.coordinate == coordinate()


# Law 16: nothing that a client can send raises


def sent(target: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Answer:
    world = in_memory()
    lines = (("Authorization", "Bearer cae_live_k1"), *headers)
    request = Request(method="POST", target=target, headers=lines, body=body)
    return serve(world.store, request, world.ids)


TARGETS = st.sampled_from(
    [
        "/api/sdk/v1/connections",
        f"{CONNECT}/initiate",
        f"{CONNECT}/graduation-handoff",
        "/api/sdk/v1/connections/%00:revoke",
        "/api/sdk/v1/connections/d8c60791-7301-441c-98e8-5bea9a162d9b:reconnect",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
BODIES = st.binary() | st.dictionaries(
    st.sampled_from(["appUserId", "dataPackages", "preferSignup", "x"]), JSON
).map(lambda each: json.dumps(each).encode())
HEADERS = st.lists(
    st.tuples(st.sampled_from(["Idempotency-Key", "idempotency-key", "X"]), st.text()), max_size=3
).map(tuple)


@pytest.mark.slow
@given(TARGETS | st.text(), HEADERS, BODIES)
def test_any_request_of_a_client_is_answered_without_a_500(
    target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    response = sent(target, headers, body).response
    assert isinstance(response, Response)
    assert response.status != 500


@pytest.mark.parametrize("token", ["", " ", "ä", "\ud800", "cae_live_k1\x00", "x" * 10_000])
def test_malformed_or_unknown_api_key_gets_401(token: str) -> None:
    world = in_memory()
    request = Request(
        method="GET",
        target=f"{CONNECT}/account-state?appUserId=ada",
        headers=(("Authorization", f"Bearer {token}"),),
    )
    assert serve(world.store, request, world.ids).response.status == 401


@pytest.mark.parametrize("user", ["\ud800", "\x00", " ada", "", "a" * 257])
def test_create_with_an_invalid_app_user_id_gets_400(world: World, user: str) -> None:
    assert world.create(user).response.status == 400
