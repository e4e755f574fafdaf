"""Values that check themselves at construction: wrong values, and the errors they raise."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final, cast
from uuid import UUID

import attrs
import pytest
from attrs import AttrsInstance

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError, describe
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId, NextAction
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.new_ids import RandomIds
from tests.support.server import CALLER, ID, new_ids
from tests.support.strategies import COORDINATE, START, uuid

SECRET: Final = "cae_live_secret"
NAIVE: Final = datetime(2030, 1, 1)  # noqa: DTZ001 - a naive time on purpose
OFFSET: Final = datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=1)))


def make(kind: type, **members: object) -> Callable[[], object]:
    return lambda: kind(**members)


def change(value: AttrsInstance, **members: object) -> Callable[[], object]:
    given = {
        each.name: getattr(value, each.name) for each in attrs.fields(type(value)) if each.init
    }
    return make(type(value), **(given | members))


def coordinate(**members: object) -> object:
    return change(COORDINATE, **members)()


def action(**members: object) -> Callable[[], object]:
    return change(new_ids(), next_action=change(new_ids().next_action, **members)())


OPAQUE: Final = "text that is not empty and holds no surrogates"
LOWER_UUID: Final = "the text of a UUID with hyphens, in lower case"
BASE_URL: Final = "a URL such as https://connect.example/"
ACTION: Final = "a NextAction, which has a URL and its expiry"
ENVIRONMENT: Final = "Environment.LIVE or Environment.TEST"

WRONG: Final[list[tuple[Callable[[], object], str, str, str]]] = [
    # The construction; argument, allowed values and given value of its error.
    (change(CALLER, api_key_id=""), "api_key_id", OPAQUE, "an empty str"),
    (change(CALLER, app_id=None), "app_id", OPAQUE, "None"),
    (change(CALLER, app_id="\ud800"), "app_id", OPAQUE, "text that holds one"),
    (change(CALLER, customer_account_id="acme"), "customer_account_id", LOWER_UUID, "other text"),
    (
        change(CALLER, customer_account_id=uuid(10).upper()[:-1] + "F"),
        "customer_account_id",
        LOWER_UUID,
        "other text",
    ),
    (
        change(CALLER, customer_account_id=UUID(uuid(1))),
        "customer_account_id",
        LOWER_UUID,
        "a UUID",
    ),
    (change(CALLER, environment="prod"), "environment", ENVIRONMENT, "a str"),
    (change(CALLER, environment="live"), "environment", ENVIRONMENT, "a str"),
    (change(CALLER, scopes="connection:write"), "scopes", "a frozenset of scopes", "a str"),
    (change(CALLER, scopes={"connection:write"}), "scopes", "a frozenset of scopes", "a set"),
    (change(CALLER, scopes=[]), "scopes", "a frozenset of scopes", "an empty list"),
    (change(CALLER, scopes=frozenset({b"a"})), "scopes", OPAQUE, "a bytes"),
    (
        lambda: ApiKey(cast("str", b"cae_live_secret")),
        "api key",
        "visible ASCII characters without spaces",
        "a bytes",
    ),
    (
        lambda: ApiKey(cast("str", None)),
        "api key",
        "visible ASCII characters without spaces",
        "None",
    ),
    (make(Settings, environment="test"), "environment", ENVIRONMENT, "a str"),
    (make(Settings, type_base=""), "type_base", OPAQUE, "an empty str"),
    (
        make(Settings, active_spelling="active"),
        "active_spelling",
        "one of ACTIVE, AUTHORIZED",
        "other text",
    ),
    (
        make(Settings, buckets=[Bucket("b", 1, 1, seconds=1)]),
        "buckets",
        "a tuple of Bucket",
        "a list",
    ),
    (make(Settings, buckets=("b",)), "buckets", "a tuple of Bucket", "one with a str"),
    (
        make(Settings, operations=(Revoke(ID),)),
        "operations",
        "a tuple of Operation classes",
        "one with a Revoke",
    ),
    (
        make(Settings, operations=(int,)),
        "operations",
        "a tuple of Operation classes",
        "one with a type",
    ),
    (
        make(Authorized, connection_id=None),
        "connection_id",
        "the text of a connection's id",
        "None",
    ),
    (
        make(Expired, connection_id=UUID(uuid(1))),
        "connection_id",
        "the text of a connection's id",
        "a UUID",
    ),
    (make(ActionRequired, connection_id=ID, reason=""), "reason", OPAQUE, "an empty str"),
    (
        make(Revoked, connection_id=ID, actor="PATIENT"),
        "actor",
        "one of Actor.APP, Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM",
        "a str",
    ),
    (
        make(HandoffCompleted, session_id=1, user_id="u-1"),
        "session_id",
        "the text of a session's id",
        "an int",
    ),
    (make(HandoffCompleted, session_id=uuid(1), user_id=""), "user_id", OPAQUE, "an empty str"),
    (make(Graduated, coordinate=COORDINATE, user_id=""), "user_id", OPAQUE, "an empty str"),
    (make(Graduated, coordinate="user-1"), "coordinate", "a Coordinate", "a str"),
    (
        make(Graduated, coordinate=coordinate(app_id="")),
        "coordinate.app_id",
        OPAQUE,
        "an empty str",
    ),
    (
        make(Tombstoned, coordinate=coordinate(environment="live")),
        "coordinate.environment",
        ENVIRONMENT,
        "a str",
    ),
    (
        make(Tombstoned, coordinate=coordinate(customer_account_id="1")),
        "coordinate.customer_account_id",
        LOWER_UUID,
        "other text",
    ),
    (change(new_ids(), connection_id="c-1"), "connection_id", LOWER_UUID, "other text"),
    (change(new_ids(), session_id=None), "session_id", LOWER_UUID, "None"),
    (change(new_ids(), user_id=""), "user_id", OPAQUE, "an empty str"),
    (change(new_ids(), next_action="https://x"), "next_action", ACTION, "a str"),
    (action(url=""), "next_action.url", OPAQUE, "an empty str"),
    (make(RandomIds, hosted_page_base_url=b"x"), "hosted_page_base_url", BASE_URL, "a bytes"),
    (
        make(RandomIds, hosted_page_base_url="https://x/", lifetime=30),
        "lifetime",
        "a timedelta longer than 0",
        "an int",
    ),
]


@pytest.mark.parametrize(("made", "argument", "allowed", "given"), WRONG)
def test_object_built_from_a_wrong_value_raises_naming_argument(
    made: Callable[[], object], argument: str, allowed: str, given: str
) -> None:
    with pytest.raises(ArgumentError) as raised:
        made()
    error = raised.value
    assert (error.argument, error.allowed, error.given) == (argument, allowed, given)
    assert str(error) == f"{argument}: must be {allowed}, not {given}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - the bytes are from this test


INSTANTS: Final = [
    # The construction, and what the error says was given.
    (make(Authorized, connection_id=ID, happened_at=NAIVE), "a datetime"),
    (make(Authorized, connection_id=ID, expires_at=OFFSET), "a datetime"),
    (make(ActionRequired, connection_id=ID, reason="r", happened_at=OFFSET), "a datetime"),
    (make(Expired, connection_id=ID, happened_at="2030-01-01T00:00:00Z"), "a str"),
    (make(Revoked, connection_id=ID, actor=Actor.APP, happened_at=0), "an int"),
    (make(HandoffCompleted, session_id=uuid(1), user_id="u-1", happened_at=NAIVE), "a datetime"),
    (make(Graduated, coordinate=COORDINATE, happened_at=NAIVE), "a datetime"),
    (make(Tombstoned, coordinate=COORDINATE, happened_at=NAIVE), "a datetime"),
    (action(expires_at=NAIVE), "a datetime"),
]


@pytest.mark.parametrize(("made", "given"), INSTANTS)
def test_instant_not_in_utc_raises_at_construction(made: Callable[[], object], given: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"_at: must be an aware datetime whose tzinfo is"
    ) as raised:
        made()
    assert raised.value.given == given


@pytest.mark.parametrize(
    "made",
    [
        lambda: ApiKey(f"{SECRET} "),
        lambda: ApiKey(f"{SECRET}é"),
        change(CALLER, customer_account_id=SECRET),
        change(CALLER, environment=SECRET),
        change(CALLER, scopes=SECRET),
        change(CALLER, scopes=[SECRET]),
        make(Settings, active_spelling=SECRET),
        change(new_ids(), connection_id=SECRET),
        change(new_ids(), next_action=SECRET),
    ],
)
def test_argument_error_hides_a_secret_value(made: Callable[[], object]) -> None:
    with pytest.raises(ArgumentError) as raised:
        made()
    assert SECRET not in f"{raised.value} {raised.value!r} {raised.value.args}"


@pytest.mark.parametrize(
    ("value", "described"),
    [
        (None, "None"),
        (True, "True"),
        (7, "an int"),
        (Actor.APP, "Actor.APP"),
        ("x", "a str"),
        ("", "an empty str"),
        ({}, "an empty dict"),
        (START, "a datetime"),
        (object(), "an object"),
    ],
)
def test_error_shows_the_type_but_not_the_text_of_a_wrong_value(
    value: object, described: str
) -> None:
    assert describe(value) == described


def test_object_built_from_correct_values_raises_nothing() -> None:
    assert isinstance(change(CALLER, scopes=frozenset())(), Caller)
    assert Expired(ID, START).happened_at == START
    # Text that is not a UUID is an unknown id, which `record_fact` refuses.
    assert Expired(ConnectionId("c-1")).happened_at is None
    assert Graduated(COORDINATE).user_id is None
    assert isinstance(attrs.evolve(new_ids(), next_action=NextAction("x", START)), NewIds)


def test_graduation_log_line_with_empty_user_id_gets_an_error() -> None:
    line = (
        b'{"at": "2030-01-01T00:00:00Z", "fact": {"type": "binding.graduate", "userId": "", '
        b'"customerAccountId": "%s", "appId": "app-1", "appUserId": "user-1"}}\n'
    ) % CALLER.customer_account_id.encode()
    (answer,) = [step.answer for step in replay([line])]
    assert answer.keys() == {"line", "error"}
