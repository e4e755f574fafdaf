"""API keys, which are never shown, and callers, which act within app, account, environment."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from itertools import product
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.credentials import (
    CONNECTION_WRITE,
    ApiKey,
    Caller,
    KeyOwner,
    check_permission,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
)
from tests.proof.reference.tables import PERMISSION
from tests.support.specimens import refusal
from tests.support.strategies import COORDINATE, uuid


def test_api_key_digest_is_sha_256_in_hex() -> None:
    # The example in FIPS 180-2
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ApiKey("abc").digest() == expected


SECRET: Final = "cae_live_s3cr3t"
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=COORDINATE.app_id,
    customer_account_id=COORDINATE.customer_account_id,
    environment=Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)


def fails_with_a_key(key: ApiKey) -> None:
    raise RuntimeError(key)


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, lambda key: f"{[key]}"])
def test_formatting_an_api_key_hides_its_text(show: Callable[[ApiKey], str]) -> None:
    assert "s3cr3t" not in show(ApiKey(SECRET))


def test_tracebacks_hide_the_api_key() -> None:
    with pytest.raises(RuntimeError) as error:
        fails_with_a_key(ApiKey(SECRET))
    shown = traceback.TracebackException.from_exception(error.value, capture_locals=True)
    text = "".join(line for line in shown.format() if "fails_with_a_key" in line)
    assert "key = ApiKey()" in text
    assert "s3cr3t" not in text + str(error.value) + repr(error.value)


@pytest.mark.parametrize("bad", ["", " ", "\t", "\n", "\x7f", "\x00", "é", "\u2003", "\ud800"])
def test_api_key_outside_visible_ascii_raises_without_showing_it(bad: str) -> None:
    for text in {bad, bad and SECRET + bad, bad and bad + SECRET}:
        with pytest.raises(ArgumentError) as error:
            ApiKey(text)
        assert error.value.argument == "api key"
        assert "s3cr3t" not in "".join(traceback.format_exception(error.value))
        assert error.value.__cause__ is error.value.__context__ is None


@given(st.text([chr(number) for number in range(0x21, 0x7F)], min_size=1, max_size=300))
def test_equal_api_key_texts_compare_equal_and_repr_hides_them(text: str) -> None:
    assert ApiKey(text) == ApiKey(text)
    assert hash(ApiKey(text)) == hash(ApiKey(text))
    assert ApiKey(text) != ApiKey(text + "x")
    assert repr(ApiKey(text)) == "ApiKey()"


@pytest.mark.parametrize(
    ("environment", "served", "needed", "scopes"),
    list(
        product(
            Environment,
            [None, *Environment],
            [None, "connection:write"],
            [frozenset(), frozenset({"other"}), frozenset({"connection:write", "other"})],
        )
    ),
)
def test_permission_by_environment_and_scope_matches_the_table(
    environment: Environment,
    served: Environment | None,
    needed: str | None,
    scopes: frozenset[str],
) -> None:
    caller = attrs.evolve(CALLER, environment=environment, scopes=scopes)
    here = served is None or served is environment
    held = needed is None or needed in scopes
    cell = PERMISSION[
        "environment served" if here else "another environment",
        "scope held or not needed" if held else "scope missing",
    ]
    answer = check_permission(caller, needed, served)
    assert check_permission(caller, needed, served) == answer
    if cell == "proceed":
        assert answer is None
        return
    assert isinstance(answer, Refused)
    assert refusal(answer) == cell
    assert answer.problem.details == (
        {"environment": environment}
        if answer.problem.code == "WRONG_ENVIRONMENT"
        else {"scope": "connection:write"}
    )
    assert answer.rules == (
        "permission.wrong-environment"
        if answer.problem.code == "WRONG_ENVIRONMENT"
        else "permission.scope-missing",
    )


def test_scope_needed_by_mutations_is_connection_write() -> None:
    assert CONNECTION_WRITE == "connection:write"


def test_caller_coordinate_has_its_app_account_and_environment() -> None:
    assert CALLER.coordinate(AppUserId("user-2")) == Coordinate(
        environment=Environment.LIVE,
        app_id=COORDINATE.app_id,
        customer_account_id=COORDINATE.customer_account_id,
        app_user_id=AppUserId("user-2"),
    )


def test_key_owner_is_api_key_id_environment_app_and_account() -> None:
    assert CALLER.key_owner == KeyOwner(
        api_key_id=ApiKeyId("key-1"),
        environment=Environment.LIVE,
        app_id=COORDINATE.app_id,
        customer_account_id=COORDINATE.customer_account_id,
    )
    # Scopes are no part of the key owner.
    assert attrs.evolve(CALLER, scopes=frozenset()).key_owner == CALLER.key_owner


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(CALLER, api_key_id=ApiKeyId("key-2")),
        attrs.evolve(CALLER, environment=Environment.TEST),
        attrs.evolve(CALLER, app_id=AppId("app-2")),
        attrs.evolve(CALLER, customer_account_id=CustomerAccountId(uuid(7))),
    ],
)
def test_key_owner_differs_if_any_of_its_four_parts_differs(other: Caller) -> None:
    assert other.key_owner != CALLER.key_owner
    assert len({other.key_owner, CALLER.key_owner}) == 2


# --- Lookalike ids -----------------------------------------------------------------------------

TWINS: Final = [
    ("app-1", "App-1"),
    ("stra\u00dfe", "strasse"),
    ("caf\u00e9", "cafe\u0301"),
    ("\ufb01", "fi"),
    ("\u212b", "\u00c5"),
    ("\u0130", "i\u0307"),
    ("\u0430", "a"),
    ("1", "\u0661"),
    ("app-1", "app-1x"),
    ("app-1", "app-1\u200b"),
    ("app-1", "app-1\ufe0f"),
    ("app-1", "app-1\u0301"),
    ("app-1", "app\u20111"),
    ("app-1", "app-1 "),
]
"""Texts that look alike, fold to each other or share a prefix; ids are compared exactly."""

each_twin = pytest.mark.parametrize(
    ("one", "other"), [*TWINS, *(pair[::-1] for pair in TWINS)], ids=ascii
)


def with_key(text: str) -> Caller:
    return attrs.evolve(CALLER, api_key_id=ApiKeyId(text))


def with_app(text: str) -> Caller:
    return attrs.evolve(CALLER, app_id=AppId(text))


# An account is a UUID in lower case, so no other text looks like it.
@each_twin
def test_app_with_a_lookalike_id_does_not_own_the_connection(one: str, other: str) -> None:
    caller = with_app
    user = AppUserId("user-1")
    mine = caller(one).coordinate(user)
    assert caller(one).owns(mine)
    assert not caller(other).owns(mine)
    assert len({caller(text).coordinate(user) for text in (one, other)}) == 2


@each_twin
@pytest.mark.parametrize("caller", [with_key, with_app])
def test_lookalike_api_key_or_app_ids_have_unequal_key_owners(
    caller: Callable[[str], Caller], one: str, other: str
) -> None:
    owners = {caller(text).key_owner for text in (one, other)}
    assert len(owners) == 2
    assert len({RecordKey(owner, IdempotencyKey("k-1")) for owner in owners}) == 2


@each_twin
def test_lookalike_app_users_and_idempotency_keys_are_unequal(one: str, other: str) -> None:
    users = {CALLER.coordinate(AppUserId(text)) for text in (one, other)}
    assert len(users) == len({each.app_user for each in users}) == 2
    assert len({RecordKey(CALLER.key_owner, IdempotencyKey(text)) for text in (one, other)}) == 2


@pytest.mark.parametrize(
    ("caller", "owns"),
    [
        (CALLER, True),
        (attrs.evolve(CALLER, api_key_id=ApiKeyId("key-2"), scopes=frozenset()), True),
        (attrs.evolve(CALLER, app_id=AppId("app-2")), False),
        (attrs.evolve(CALLER, customer_account_id=CustomerAccountId(uuid(7))), False),
        (attrs.evolve(CALLER, environment=Environment.TEST), False),
    ],
)
def test_ownership_needs_same_app_account_and_environment(*, caller: Caller, owns: bool) -> None:
    assert caller.owns(COORDINATE) is owns
