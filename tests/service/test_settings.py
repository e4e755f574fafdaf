"""Settings of a server: unusable values raise at construction."""

from __future__ import annotations

import re

import attrs
import pytest

from curae_lifecycle import ArgumentError, Bucket, Settings
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.members import APP_USER_ID, CONNECTION_ID, Member, ParsedMembers
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import (
    BASE_PATH,
    ConnectionOperation,
    Operation,
    OperationContext,
    OperationRule,
    Ruling,
)
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.snapshot import Needs

BUCKET = Bucket(name="platform", capacity=1, refill=1, seconds=60)


@pytest.mark.parametrize("spelling", ["active", "Authorized", "", "REVOKED"])
def test_active_spelling_setting_must_be_active_or_authorized(spelling: str) -> None:
    for good in ("ACTIVE", "AUTHORIZED"):
        assert Settings(active_spelling=good).active_spelling == good
    with pytest.raises(ArgumentError, match="ACTIVE, AUTHORIZED") as raised:
        Settings(active_spelling=spelling)
    assert raised.value.argument == "active_spelling"


def test_settings_with_two_buckets_of_the_same_name_raise() -> None:
    with pytest.raises(ArgumentError, match="of different names") as raised:
        Settings(buckets=(BUCKET, attrs.evolve(BUCKET, capacity=2)))
    assert raised.value.argument == "buckets"


def test_settings_with_two_operations_of_the_same_name_raise() -> None:
    with pytest.raises(ArgumentError, match="of different names") as raised:
        Settings(operations=(*OPERATIONS, Revoke))
    assert raised.value.argument == "operations"


@pytest.mark.parametrize("path", [GetConnection.rule.path, f"{BASE_PATH}/connections/{{id}}"])
def test_settings_with_two_operations_of_the_same_path_raise(path: str) -> None:
    class Peek(GetConnection):
        rule = attrs.evolve(GetConnection.rule, name="peek", path=path)

    message = rf"methods and paths, not get-connection and peek, both GET {re.escape(path)}$"
    with pytest.raises(ArgumentError, match=message) as raised:
        Settings(operations=(*OPERATIONS, Peek))
    assert raised.value.argument == "operations"


RULE = attrs.evolve(GetConnection.rule, name="mistaken")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (attrs.evolve(RULE, method="get"), "method: must be in capitals, such as GET$"),
        (
            attrs.evolve(RULE, path="me/{connectionId}"),
            "path: must be one that begins with / and has no query$",
        ),
        (
            attrs.evolve(RULE, path="/{connectionId}?all"),
            "path: must be one that begins with / and has no query$",
        ),
        (
            attrs.evolve(RULE, path="/me"),
            r"path: must be one with each of `ids` and no other: connectionId$",
        ),
        (
            attrs.evolve(RULE, path="/{connectionId}/{it}"),
            "path: must be one with each of `ids` and no other: ",
        ),
        (
            attrs.evolve(RULE, path="/{it}", ids=()),
            "path: must be one with each of `ids` and no other: none$",
        ),
        (attrs.evolve(RULE, query=(CONNECTION_ID,)), "members: must be of different names$"),
        (
            attrs.evolve(RULE, query=(APP_USER_ID,)),
            "members: must be no more than the fields: connection_id$",
        ),
    ],
)
def test_operation_with_a_faulty_rule_raises_naming_the_fault(
    rule: OperationRule, message: str
) -> None:
    class Mistaken(GetConnection):
        pass

    Mistaken.rule = rule
    with pytest.raises(ArgumentError, match=rf"^Mistaken\.rule\.{message}"):
        Settings(operations=(Mistaken,))


@attrs.frozen
class Words(Operation):
    """An operation with fields of one type, which are easily swapped."""

    first_word: str
    last_word: str
    limit: int = 20

    reply = GetConnection.reply
    rule = attrs.evolve(
        GetConnection.rule,
        name="words",
        path=f"{BASE_PATH}/words",
        ids=(),
        query=(Member("firstWord", str), Member("lastWord", str)),
    )

    def needs(self, caller: Caller) -> Needs:
        raise NotImplementedError  # the tests only make settings with it

    def decide(self, context: OperationContext) -> Ruling:
        raise NotImplementedError  # the tests only make settings with it


def test_operation_field_with_a_default_needs_no_request_member() -> None:
    assert Settings(operations=(Words,)).operations == (Words,)


def test_operation_raises_if_members_are_not_in_field_order() -> None:
    class Swapped(Words):
        rule = attrs.evolve(Words.rule, query=Words.rule.query[::-1])

    expected = r"^Swapped\.rule\.members: must be in the order of the fields: first_word, last_word, limit$"
    with pytest.raises(ArgumentError, match=expected):
        Settings(operations=(Swapped,))


def test_operation_with_from_members_method_may_reorder_members() -> None:
    class Built(Words):
        rule = attrs.evolve(Words.rule, query=Words.rule.query[::-1])

        @classmethod
        def from_members(cls, parsed: ParsedMembers) -> Built:
            raise NotImplementedError  # the tests only make settings with it

    assert Settings(operations=(Built,)).operations == (Built,)


@pytest.mark.parametrize("base", [Operation, ConnectionOperation])
def test_operation_without_a_rule_raises(base: type[Operation]) -> None:
    expected = (
        rf"^{base.__name__}: must be an operation with a rule, a reply and no abstract method$"
    )
    with pytest.raises(ArgumentError, match=expected):
        Settings(operations=(base,))


def test_operation_with_an_abstract_method_raises() -> None:
    class Undecided(ConnectionOperation):
        rule, reply = GetConnection.rule, GetConnection.reply

    with pytest.raises(ArgumentError, match=r"^Undecided: must be an operation with a rule"):
        Settings(operations=(Undecided,))


def test_settings_repr_shows_non_default_values_only() -> None:
    assert repr(Settings()) == "Settings()"
    changed = Settings(active_spelling="AUTHORIZED", operations=(Revoke,))
    assert repr(changed) == f"Settings(active_spelling='AUTHORIZED', operations=({Revoke!r},))"


def test_empty_buckets_setting_equals_the_default() -> None:
    assert Settings(buckets=()) == Settings()
    assert Settings(buckets=()).buckets == ()


def test_empty_operations_setting_is_not_replaced_by_default() -> None:
    settings = Settings(operations=())
    assert settings.operations == ()
    assert settings != Settings()
    assert repr(settings) == "Settings(operations=())"


def test_problem_type_base_uri_of_one_character_is_accepted() -> None:
    assert Settings(type_base="/").type_base == "/"
