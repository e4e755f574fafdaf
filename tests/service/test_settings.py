"""Settings of a server: unusable values raise at construction."""

from __future__ import annotations

import re

import attrs
import pytest

from curae_lifecycle import ArgumentError, Bucket, Settings
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke

BUCKET = Bucket(name="platform", capacity=1, refill=1, seconds=60)


@pytest.mark.parametrize("spelling", ["active", "Authorized", "", "REVOKED"])
def test_active_spelling_not_active_or_authorized_raises(spelling: str) -> None:
    for good in ("ACTIVE", "AUTHORIZED"):
        assert Settings(active_spelling=good).active_spelling == good
    with pytest.raises(ArgumentError, match="ACTIVE, AUTHORIZED") as raised:
        Settings(active_spelling=spelling)
    assert raised.value.argument == "active_spelling"


def test_settings_with_two_buckets_of_one_name_raise() -> None:
    with pytest.raises(ArgumentError, match="of different names") as raised:
        Settings(buckets=(BUCKET, attrs.evolve(BUCKET, capacity=2)))
    assert raised.value.argument == "buckets"


def test_settings_with_two_operations_of_one_name_raise() -> None:
    with pytest.raises(ArgumentError, match="of different names") as raised:
        Settings(operations=(*OPERATIONS, Revoke))
    assert raised.value.argument == "operations"


@pytest.mark.parametrize("path", [GetConnection.rule.path, f"{BASE_PATH}/connections/{{id}}"])
def test_settings_with_two_operations_of_one_path_raise(path: str) -> None:
    class Peek(GetConnection):
        rule = attrs.evolve(GetConnection.rule, name="peek", path=path)

    message = rf"methods and paths, not get-connection and peek, both GET {re.escape(path)}$"
    with pytest.raises(ArgumentError, match=message) as raised:
        Settings(operations=(*OPERATIONS, Peek))
    assert raised.value.argument == "operations"


def test_settings_repr_shows_non_default_values_only() -> None:
    assert repr(Settings()) == "Settings()"
    changed = Settings(active_spelling="AUTHORIZED", operations=(Revoke,))
    assert repr(changed) == f"Settings(active_spelling='AUTHORIZED', operations=({Revoke!r},))"


def test_empty_buckets_are_the_same_as_no_buckets() -> None:
    assert Settings(buckets=()) == Settings()
    assert Settings(buckets=()).buckets == ()


def test_empty_operations_are_not_replaced_by_the_default() -> None:
    settings = Settings(operations=())
    assert settings.operations == ()
    assert settings != Settings()
    assert repr(settings) == "Settings(operations=())"


def test_problem_type_base_uri_of_one_character_is_accepted() -> None:
    assert Settings(type_base="/").type_base == "/"
