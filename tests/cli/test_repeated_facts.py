"""Files of facts that are recorded again, as `docs/operating.md` describes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from curae_lifecycle.cli import facts
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.store import SqlStore
from tests.cli.operating import ACCOUNT, Platform
from tests.support.commands import Command

COORDINATE = {
    "customerAccountId": ACCOUNT,
    "appId": "app-1",
    "appUserId": "mary",
    "environment": "live",
}


def lines(*facts: Mapping[str, object]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in facts)


def reconnect(platform: Platform, connection_id: str) -> str:
    """Reconnect and authorize, and return the id of the new connection."""
    _, made = platform.ask("POST", f"connections/{connection_id}:reconnect")
    successor = made["connection"]
    assert isinstance(successor, dict)
    platform.record(Authorized(ConnectionId(successor["id"])))
    return str(successor["id"])


@pytest.mark.parametrize(
    ("actor", "status"),
    [("PATIENT", "REVOKED"), ("PLATFORM", "REVOKED"), ("APP", "ACTIVE"), ("UPSTREAM", "ACTIVE")],
)
def test_repeated_patient_or_platform_revocation_ends_successor(
    actor: str, status: str, platform: Platform, command: Command
) -> None:
    revoked = platform.connect()
    given = lines({"type": "connection.revoke", "connectionId": revoked, "actor": actor})
    command("facts", "-", given=given)
    successor = reconnect(platform, revoked)
    command("facts", "-", given=given)
    assert platform.status(successor) == status


@pytest.mark.parametrize(
    ("happened", "status"),
    [({}, "REVOKED"), ({"happenedAt": "2026-01-01T00:00:00Z"}, "ACTIVE")],
)
def test_only_undated_repeated_tombstone_ends_a_new_connection(
    happened: dict[str, object], status: str, platform: Platform, command: Command
) -> None:
    given = lines({"type": "binding.tombstone", **COORDINATE, **happened})
    command("facts", "-", given=given)
    later = platform.connect()
    command("facts", "-", given=given)
    assert platform.status(later) == status


def test_expire_fact_is_ignored_if_pending_but_done_once_active(
    platform: Platform, command: Command
) -> None:
    pending = platform.connect(authorized=False)
    given = lines({"type": "connection.expire", "connectionId": pending})
    _, (first,), _ = command("facts", "-", given=given)
    platform.record(Authorized(ConnectionId(pending)))
    _, (second,), _ = command("facts", "-", given=given)
    assert (first["outcome"], second["outcome"]) == ("ignored", "done")


def test_graduation_without_user_id_is_done_again_for_next_user(
    platform: Platform, command: Command
) -> None:
    graduate = lines({"type": "binding.graduate", **COORDINATE})
    platform.ask("POST", "curae-connect/initiate", appUserId="mary")
    _, (first,), _ = command("facts", "-", given=graduate)
    command("facts", "-", given=lines({"type": "binding.tombstone", **COORDINATE}))
    platform.ask("POST", "curae-connect/initiate", appUserId="mary")
    _, (second,), _ = command("facts", "-", given=graduate)
    assert (first["outcome"], second["outcome"]) == ("done", "done")


def test_outcome_is_flushed_before_the_next_fact_is_recorded(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pipe and a file keep what is printed in a buffer.
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    recorded: list[Fact] = []

    def fail_second(store: SqlStore, fact: Fact, *, retry_policy: RetryPolicy) -> FactAnswer:
        if recorded:
            assert json.loads(raw.getvalue())["line"] == 1
            raise StoreUnavailableError("lost")
        recorded.append(fact)
        return record(store, fact, retry_policy=retry_policy)

    monkeypatch.setattr(facts, "record", fail_second)
    line = {"type": "connection.expire", "connectionId": platform.connect()}
    assert command("facts", "-", given=lines(line, line))[0] == 1
    assert len(recorded) == 1


def test_ends_after_a_torn_line_and_an_empty_line_are_recorded(
    platform: Platform, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = platform.connect()
    assert command("outbox", "--once")[0] == 0
    platform.record(Revoked(ConnectionId(made), Actor.PATIENT))
    shipped = tmp_path / "shipped.jsonl"
    shipped.write_text('\n{"number": 6, "att')
    with shipped.open("a") as file, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", file)
        assert command("outbox", "--once") == (0, [], "")
    since = ("--ends-since", "2000-01-01T00:00:00Z")
    status, (torn, repeated), error = command("facts", str(shipped), *since)
    assert (status, error) == (1, "")
    assert (torn["line"], "error" in torn) == (2, True)
    assert repeated["outcome"] == "ignored"
