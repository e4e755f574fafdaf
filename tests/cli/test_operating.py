"""Commands of an operator on a database: facts, erasure, purge and a restored backup.

The commands are those of `docs/operating.md`. After a restored backup, they end again every access
that had ended.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from curae_lifecycle import Settings
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    format_time,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request
from tests.cli.operating import MARY, MINT, NAMED, Platform
from tests.support.commands import Command
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("--app-id", "", *NAMED[2:]), "mary", "app id: must be "),
        ((*NAMED[:2], "--account", "x", *NAMED[4:]), "mary", "customerAccountId: must be "),
        (NAMED, "", "appUserId: must be "),
        (NAMED[2:], "mary", "the following arguments are required: --app-id\n"),
    ],
)
def test_erase_with_a_bad_coordinate_exits_2(
    command: Command, arguments: tuple[str, ...], given: str, said: str
) -> None:
    status, printed, error = command("database", "erase", *arguments, given=given)
    assert (status, printed) == (2, [])
    assert f" database erase: error: {said}" in error


# --- Purge ------------------------------------------------------------------------------------


def test_purge_command_deletes_expired_records(platform: Platform, command: Command) -> None:
    platform.connect()
    count = Statement("SELECT COUNT(*) FROM curae_record")
    assert command("database", "purge")[0] == 0
    assert platform.database.rows(count) == [(1,)]
    platform.database.run_transaction([Statement("UPDATE curae_record SET expires_at = 1")])
    assert command("database", "purge")[0] == 0
    assert platform.database.rows(count) == [(0,)]


# --- Facts ------------------------------------------------------------------------------------


def test_facts_command_records_and_answers_each_line(
    platform: Platform, command: Command, tmp_path: Path
) -> None:
    made = platform.connect()
    revoke = json.dumps({"type": "connection.revoke", "connectionId": made, "actor": "PLATFORM"})
    unknown = json.dumps({"type": "connection.expire", "connectionId": "x"})
    text = f"{revoke}\n{revoke}\n{unknown}\n[]\nno JSON\n"
    file = tmp_path / "facts.jsonl"
    file.write_text(text)
    for arguments, given in ((str(file), ""), ("-", text)):
        status, printed, _ = command("facts", arguments, given=given)
        assert status == 1
        outcomes = [each.get("outcome") for each in printed]
        assert outcomes == ["done" if not given else "ignored", "ignored", "refused", None, None]
        assert printed[2]["code"] == "NOT_FOUND"
        assert "fact.type: must be one of" in str(printed[3]["error"])
        assert [each["line"] for each in printed] == [1, 2, 3, 4, 5]
    assert platform.status(made) == "REVOKED"
    assert command("facts", "-", given=f"{revoke}\n")[0] == 0


def test_facts_command_continues_after_a_value_in_newer_format(
    platform: Platform, command: Command
) -> None:
    newer, later = platform.connect("ann"), platform.connect("bob")
    update = "UPDATE curae_connection SET document = REPLACE(document, ?, ?) WHERE document LIKE ?"
    values = ('"format":1', '"format":2', "%ann%")
    assert platform.database.run_transaction([Statement(update, values, 1)])
    revoke = {"type": "connection.revoke", "actor": "PLATFORM"}
    lines = [json.dumps({**revoke, "connectionId": each}) for each in (newer, later)]
    status, printed, _ = command("facts", "-", given="\n".join(lines))
    assert (status, platform.status(later)) == (1, "REVOKED")
    assert str(printed[0]["error"]).startswith("Connection: stored in form 2 by a newer release")
    assert printed[1]["outcome"] == "done"


def test_facts_with_missing_file_or_bad_ends_since_exits_2(
    command: Command, tmp_path: Path
) -> None:
    status, _, error = command("facts", str(tmp_path / "none"))
    assert (status, "cannot read" in error) == (2, True)
    status, _, error = command("facts", "-", "--ends-since", "today")
    assert (status, "--ends-since" in error) == (2, True)


# --- Restored backups -------------------------------------------------------------------------


def printed_lines(shipped: list[Delivery]) -> str:
    """Return what the command `outbox` prints for these deliveries."""
    lines = [{"number": each.number, "document": each.document} for each in shipped]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def is_revocation(document: Mapping[str, object]) -> bool:
    return document.get("kind") == "connection.revoked"


def copy(source: str | Path, target: str | Path) -> None:
    with closing(sqlite3.connect(source)) as of, closing(sqlite3.connect(target)) as to:
        of.backup(to)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the clock of the database


def test_facts_command_revokes_again_after_a_backup_is_restored(
    tmp_path: Path, command: Command, platform: Platform
) -> None:
    if not platform.url.startswith("sqlite"):
        pytest.skip("a file is what is restored here")
    file = platform.url.removeprefix("sqlite:///")
    platform.sign_up()
    platform.sign_up("bob")
    chain, alone, lasting = platform.connect(), platform.connect(), platform.connect("cy")
    bobs = platform.connect("bob")
    old = platform.connect("cy")
    command("facts", "-", given=json.dumps({"type": "connection.expire", "connectionId": old}))
    _, followed = platform.ask("POST", f"connections/{old}:reconnect")
    head = followed["connection"]
    assert isinstance(head, dict)
    platform.record(Authorized(ConnectionId(str(head["id"]))))
    shipped = platform.ship()
    backup = tmp_path / "backup.db"
    since = now()
    copy(file, backup)
    # End access in every way, and create a connection.
    platform.ask("POST", f"connections/{alone}:revoke")
    command("facts", "-", given=json.dumps({"type": "connection.expire", "connectionId": chain}))
    _, recovered = platform.ask("POST", f"connections/{chain}:reconnect")
    # The patient's revocation is reported late.
    patient = {"type": "connection.revoke", "connectionId": chain, "actor": "PATIENT"}
    patient["happenedAt"] = format_time(since)
    command("facts", "-", given=json.dumps(patient))
    platform.record(Tombstoned(attrs.evolve(MARY, app_user_id=AppUserId("bob"))))
    # An app revokes an old id whose successor is live.
    command(
        "facts",
        "-",
        given=json.dumps({"type": "connection.revoke", "connectionId": old, "actor": "APP"}),
    )
    later = platform.connect("cy")
    shipped += platform.ship()
    ends = [chain, alone, bobs, old]
    truth = [platform.ask("GET", f"connections/{each}")[1] for each in ends]
    copy(backup, file)
    # As the page warns, the backup grants access that had ended.
    assert [platform.status(each) for each in ends] == ["ACTIVE", "ACTIVE", "ACTIVE", "EXPIRED"]
    given = printed_lines(shipped)
    # The first expiry is in the backup, too. The successor is not, so its revocation is refused.
    for outcomes in ({"done", "ignored", "refused"}, {"ignored", "refused"}):
        status, printed, _ = command("facts", "-", "--ends-since", format_time(since), given=given)
        assert status == 0
        assert {each["outcome"] for each in printed} == outcomes
    again = [platform.ask("GET", f"connections/{each}")[1] for each in ends]
    for before, after in zip(truth, again, strict=True):
        was, held = before["connection"], after["connection"]
        assert isinstance(was, dict)
        assert isinstance(held, dict)
        assert (held["status"], held["revokedAt"]) == ("REVOKED", was["revokedAt"])
    assert [platform.status(each) for each in (lasting, str(head["id"]))] == ["ACTIVE", "ACTIVE"]
    assert platform.status(later) == "NOT_FOUND"
    _, state = platform.ask("GET", "curae-connect/account-state?appUserId=bob")
    assert state["lifecycleState"] == "TOMBSTONED"
    successor = recovered["connection"]
    assert isinstance(successor, dict)
    assert platform.status(str(successor["id"])) == "NOT_FOUND"


@pytest.mark.parametrize("order", [1, -1])
def test_ends_since_option_restores_revoked_at_in_any_line_order(
    order: int, tmp_path: Path, command: Command, platform: Platform
) -> None:
    if not platform.url.startswith("sqlite"):
        pytest.skip("a file is what is restored here")
    file = platform.url.removeprefix("sqlite:///")
    reported_at = now()
    ends = [platform.connect(), platform.connect(), platform.connect()]
    platform.ship()
    backup = tmp_path / "backup.db"
    since = now()
    copy(file, backup)
    platform.ask("POST", f"connections/{ends[0]}:revoke")
    # The tombstone is reported late, and its sweep ends the other two connections.
    platform.record(Tombstoned(MARY, reported_at))
    shipped = platform.ship()[::order]
    truth = [platform.ask("GET", f"connections/{each}")[1] for each in ends]
    copy(backup, file)
    given = printed_lines(shipped)
    status, printed, _ = command("facts", "-", "--ends-since", format_time(since), given=given)
    assert (status, [each["outcome"] for each in printed]) == (0, ["done"] * 4)
    # The tombstone is recorded last, whatever its line is.
    (line,) = [n for n, each in enumerate(shipped, 1) if each.kind == "binding.tombstoned"]
    assert printed[-1]["line"] == line
    for connection, before in zip(ends, truth, strict=True):
        _, after = platform.ask("GET", f"connections/{connection}")
        was, held = before["connection"], after["connection"]
        assert isinstance(was, dict)
        assert isinstance(held, dict)
        assert (held["status"], held["revokedAt"]) == ("REVOKED", was["revokedAt"])


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ({"type": "connection.expire"}, "EXPIRED"),
        ({"type": "connection.require_action", "reason": "portal_login"}, "ACTION_REQUIRED"),
    ],
)
def test_after_a_database_restore_facts_can_be_recorded_again(
    end: dict[str, object], status: str, tmp_path: Path, command: Command, platform: Platform
) -> None:
    if not platform.url.startswith("sqlite"):
        pytest.skip("a file is what is restored here")
    file = platform.url.removeprefix("sqlite:///")
    ended, backup = platform.connect(), tmp_path / "backup.db"
    since = now()
    copy(file, backup)
    command("facts", "-", given=json.dumps({**end, "connectionId": ended}))
    _, made = platform.ask("POST", f"connections/{ended}:reconnect")
    successor = made["connection"]
    assert isinstance(successor, dict)
    platform.record(Authorized(ConnectionId(successor["id"])))
    # The patient withdraws, and that reaches no earlier connection.
    patient = {"type": "connection.revoke", "connectionId": successor["id"], "actor": "PATIENT"}
    command("facts", "-", given=json.dumps(patient))
    given = printed_lines(platform.ship())
    copy(backup, file)
    assert platform.status(ended) == "ACTIVE"
    for outcomes in (["done", "refused"], ["ignored", "refused"]):
        _, printed, _ = command("facts", "-", "--ends-since", format_time(since), given=given)
        assert [each["outcome"] for each in printed] == outcomes
        assert platform.status(ended) == status


def test_ends_since_option_skips_old_events_but_not_bad_lines(
    platform: Platform, command: Command
) -> None:
    made = platform.connect()
    platform.ask("POST", f"connections/{made}:revoke")
    shipped = platform.ship()
    given = printed_lines(shipped)
    (at,) = [each.document["at"] for each in shipped if is_revocation(each.document)]
    status, printed, _ = command("facts", "-", "--ends-since", str(at), given=given)
    assert (status, [each["outcome"] for each in printed]) == (0, ["ignored"])
    tomorrow = format_time(now() + timedelta(days=1))
    assert command("facts", "-", "--ends-since", tomorrow, given=given) == (0, [], "")
    status, printed, _ = command("facts", "-", "--ends-since", tomorrow, given='{}\n{"document":1}')
    assert status == 1
    assert {each["error"] for each in printed} == {"the line: must be a line that outbox printed"}
    # A line with a missing part is an error, not skipped.
    for broken in ('{"kind": "connection.revoked"}', '{"kind": "binding.tombstoned", "at": 1}'):
        line = f'{{"document": {broken}}}'
        status, printed, _ = command("facts", "-", "--ends-since", tomorrow, given=line)
        assert (status, "error" in printed[0]) == (1, True)


# --- Buckets ----------------------------------------------------------------------------------


def test_bucket_with_a_new_capacity_or_name_starts_full(
    platform: Platform,
) -> None:
    namespace: dict[str, object] = {}
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(block, namespace)  # noqa: S102 - the code of the page
    old, new = namespace["before"], namespace["after"]
    assert isinstance(old, Settings)
    assert isinstance(new, Settings)
    (bucket,) = new.buckets
    slow = attrs.evolve(bucket, refill=1, seconds=3600)
    headers = (("Authorization", "Bearer cae_live_k1"),)
    asked = Request("GET", "/api/sdk/v1/curae-connect/account-state?appUserId=mary", headers)

    def admitted(settings: Settings) -> int:
        store = SqlStore(platform.database, settings)
        statuses = [
            serve(store, request=asked, id_factory=MINT, settings=settings).response.status
            for _ in range(slow.capacity + 5)
        ]
        return statuses.count(200)

    # The refill is so slow that no token returns during the test.
    wider = attrs.evolve(slow, capacity=slow.capacity + 2)
    assert admitted(Settings(buckets=(slow,))) == slow.capacity
    assert admitted(Settings(buckets=(wider,))) == wider.capacity
    assert admitted(Settings(buckets=(slow,))) == 0
    assert admitted(Settings(buckets=(wider,))) == 0
    assert admitted(Settings(buckets=(attrs.evolve(slow, name="another"),))) == slow.capacity
    assert isinstance(old.buckets[0], Bucket)
