"""Tests of Django's system checks of the store: none connects to a database."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from django.core import checks as django_checks
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import CheckRegistry
from django.db.backends.postgresql import psycopg_any
from django.test import override_settings

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.health import READY_TIMEOUT_SECONDS
from curae_lifecycle.stores.django.checks import READY_SECONDS, TAG, register_checks
from curae_lifecycle.stores.django.database import DjangoDatabase, pool_timeout
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.django_project import database

URLS = {"sqlite": "sqlite:///never-opened.db", "postgres": "postgresql://reader@127.0.0.1:9/none"}
OFF = "has AUTOCOMMIT off, but a commit needs its own transaction."
REQUESTS = "has ATOMIC_REQUESTS on, but a commit needs its own transaction."
IN_ANOTHER_WAY = "--statement-timeout=2000 -cLOCK_TIMEOUT=2s"
"""Options of a PostgreSQL session that set both timeouts without underscores or in capitals."""


def found(alias: str) -> list[CheckMessage]:
    with override_settings(CURAE_LIFECYCLE_DATABASE=alias):
        return run_checks(tags=[TAG])


def codes(alias: str) -> set[str]:
    return {str(each.id).removeprefix("curae_lifecycle.") for each in found(alias)}


@pytest.mark.parametrize(
    ("kind", "changed", "expected"),
    [
        ("sqlite", {}, set()),
        ("postgres", {}, {"W004"}),
        ("sqlite", {"ATOMIC_REQUESTS": True}, {"W001"}),
        ("postgres", {"ATOMIC_REQUESTS": True, "AUTOCOMMIT": False}, {"W001", "W004", "E003"}),
        ("postgres", {"OPTIONS": {"connect_timeout": 2, "options": IN_ANOTHER_WAY}}, set()),
    ],
)
def test_django_system_check_reports_invalid_settings(
    kind: str, changed: dict[str, object], expected: set[str]
) -> None:
    with database(URLS[kind], migrated=False, changed=changed) as alias:
        assert codes(alias) == expected
        with override_settings(CURAE_LIFECYCLE_DATABASE=alias):
            assert SqlStore(DjangoDatabase()).load is not None


def test_register_checks_adds_a_system_check_found_by_its_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CheckRegistry()
    monkeypatch.setattr(django_checks, "register", registry.register)
    register_checks()
    with override_settings(CURAE_LIFECYCLE_DATABASE="nowhere"):
        (error,) = registry.run_checks(tags=[TAG])
    assert error.id == "curae_lifecycle.E001"


def test_django_system_check_reports_an_invalid_database_alias() -> None:
    assert codes("nowhere") == {"E001"}
    assert codes("default") == {"E002"}
    with pytest.raises(ArgumentError, match="default"):
        DjangoDatabase("default")


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "connect_timeout, statement_timeout, lock_timeout"),
        ({"connect_timeout": 2}, "statement_timeout, lock_timeout"),
        ({"connect_timeout": 2, "options": "-c statement_timeout=2000"}, "lock_timeout"),
        ({"connect_timeout": 2, "options": f"{IN_ANOTHER_WAY} -c lock_timeout=0"}, "lock_timeout"),
        (
            {"connect_timeout": 0, "options": "-c deadlock_timeout=1s -c statement_timeout=0"},
            "connect_timeout, statement_timeout, lock_timeout",
        ),
        ({"connect_timeout": None, "options": IN_ANOTHER_WAY}, "connect_timeout"),
    ],
)
def test_django_system_check_warns_which_timeouts_are_not_set(
    options: Mapping[str, object], missing: str
) -> None:
    with database(
        URLS["postgres"], migrated=False, changed={"OPTIONS": options, "ATOMIC_REQUESTS": False}
    ) as alias:
        (warning,) = found(alias)
        assert warning.id == "curae_lifecycle.W002"
        assert warning.msg == f"DATABASES[{alias!r}] may block for ever: {missing} not set."


def test_ready_seconds_of_the_check_are_those_of_the_servers() -> None:
    assert READY_SECONDS == READY_TIMEOUT_SECONDS


@pytest.mark.parametrize(("seconds", "is_too_long"), [(2, False), ("2", False), (3, True)])
def test_django_system_check_warns_if_readyz_cannot_connect(
    seconds: object, *, is_too_long: bool
) -> None:
    options = {"connect_timeout": seconds, "options": IN_ANOTHER_WAY}
    with database(URLS["postgres"], migrated=False, changed={"OPTIONS": options}) as alias:
        messages = {each.id: (each.msg, each.hint) for each in found(alias)}
    said = f"DATABASES[{alias!r}] never connects for `/readyz`, which has 3 s in all."
    hint = 'Set "connect_timeout": 2 in OPTIONS.'
    assert messages == ({"curae_lifecycle.W004": (said, hint)} if is_too_long else {})


LIMITED = {"connect_timeout": 2, "options": "-c statement_timeout=2000 -c lock_timeout=2000"}


@pytest.mark.parametrize(
    ("pool", "seconds"),
    [
        (True, 30),
        ({"max_size": 9}, 30),
        ({"timeout": 5}, 5),
        ({"timeout": 2}, None),
        (False, None),
        ({}, None),
    ],
)
def test_django_system_check_warns_of_too_long_a_pool_timeout(
    pool: object, seconds: int | None
) -> None:
    options = {**LIMITED, "pool": pool}
    with database(URLS["postgres"], migrated=False, changed={"OPTIONS": options}) as alias:
        messages = {each.id: (each.msg, each.hint) for each in found(alias)}
    said = (
        f"DATABASES[{alias!r}] may block a request for {seconds} s until its pool has a connection."
    )
    hint = 'Add "timeout": 2 to the dict "pool" of OPTIONS.'
    assert messages == ({} if seconds is None else {"curae_lifecycle.W003": (said, hint)})


def test_pool_timeout_is_0_without_a_pool_and_30_s_if_not_set() -> None:
    assert [pool_timeout({}), pool_timeout({"pool": False}), pool_timeout({"pool": {}})] == [
        0.0
    ] * 3
    assert pool_timeout({"pool": True}) == 30.0
    assert pool_timeout({"pool": {"timeout": 3}}) == 3.0


def test_django_system_check_reports_an_unsupported_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with database(URLS["postgres"], migrated=False) as alias:
        monkeypatch.setattr(psycopg_any, "is_psycopg3", False)
        assert codes(alias) == {"E004", "W004"}


def test_each_message_of_django_system_check_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psycopg_any, "is_psycopg3", False)
    changed = {"AUTOCOMMIT": False, "ATOMIC_REQUESTS": True, "OPTIONS": {}}
    with database(URLS["postgres"], migrated=False, changed=changed) as alias:
        messages = [*found("nowhere"), *found("default"), *found(alias)]
    hints = {str(each.id).removeprefix("curae_lifecycle."): each.hint for each in messages}
    assert hints == {
        "E001": "Set it to a key of DATABASES, or remove the setting to use `default`.",
        "E002": "Set CURAE_LIFECYCLE_DATABASE to an SQLite or PostgreSQL database.",
        "E003": "Remove AUTOCOMMIT from the settings.",
        "E004": "Install psycopg 3.",
        "W001": "Mark the API's views with `transaction.non_atomic_requests`.",
        "W002": (
            'Set OPTIONS to {"connect_timeout": 2, '
            '"options": "-c statement_timeout=2000 -c lock_timeout=1875"}. If they are set '
            "elsewhere, silence this check."
        ),
    }
    texts = [each.msg for each in messages]
    where = f"DATABASES[{alias!r}]"
    assert texts[:2] == [
        "CURAE_LIFECYCLE_DATABASE is 'nowhere', which is not a key of DATABASES.",
        "The database 'default' is neither SQLite nor PostgreSQL.",
    ]
    assert f"{where} {OFF}" in texts
    assert f"{where} {REQUESTS}" in texts
    assert f"{where} uses psycopg2, whose errors the store cannot interpret." in texts
