"""The command `facts`: its output, its progress and its errors."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from curae_lifecycle.cli import facts, terminal
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.cli.operating import ACCOUNT, Platform
from tests.support.commands import Command
from tests.support.serving import fake_time

COORDINATE = {
    "appUserId": "mary",
    "appId": "app-1",
    "customerAccountId": ACCOUNT,
    "environment": "live",
}


def revocation(connection: str) -> str:
    fact = {"type": "connection.revoke", "connectionId": connection, "actor": "PLATFORM"}
    return f"{json.dumps(fact)}\n"


def event(kind: str, **members: object) -> str:
    """Return the line that `outbox` prints for an event of 2026."""
    document = {"kind": kind, "at": "2026-01-31T08:00:00Z", **members}
    return f"{json.dumps({'document': document})}\n"


def test_facts_with_malformed_ends_since_exits_2_and_names_it(command: Command) -> None:
    status, _, error = command("facts", "-", "--ends-since", "today")
    assert status == 2
    assert "error: --ends-since: INSTANT: must be " in error


def test_facts_line_that_is_not_json_gets_error_with_line_number(
    platform: Platform, command: Command
) -> None:
    made = platform.connect()
    status, printed, error = command("facts", "-", given=f"{revocation(made)}no JSON\n")
    assert (status, error) == (1, "")
    assert [sorted(each) for each in printed] == [
        ["code", "line", "outcome", "rules"],
        ["error", "line"],
    ]
    assert printed[1]["line"] == 2


def test_facts_show_progress_of_a_file_but_not_of_a_short_stream(
    tmp_path: Path, platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    line = revocation(platform.connect())
    file = tmp_path / "facts.jsonl"
    file.write_text(line * 4)
    assert command("facts", str(file))[0] == 0
    full = "".join(f"\rfacts [{'#' * done}{' ' * (40 - done)}]" for done in (10, 20, 30, 40))
    assert shown.getvalue() == f"{full}\n"
    # The size of a stream is unknown, and nothing is shown in the first two seconds.
    assert command("facts", "-", given=line)[0] == 0
    assert shown.getvalue() == f"{full}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (event("connection.revoked"), "subject: must be an object"),
        (event("connection.revoked", subject=[]), "subject: must be an object"),
        (event("binding.tombstoned"), "coordinate: must be an object"),
        ("[]\n", "the line: must be a line that outbox printed"),
        ('{"document": []}\n', "the line: must be a line that outbox printed"),
        ('{"document": {"at": "2026-01-31T08:00:00Z"}}\n', "the line: must be a line that outbox"),
        ('{"document": {"kind": "connection.revoked", "subject": {}}}\n', "at: "),
    ],
)
def test_ends_since_option_prints_an_error_for_malformed_event(
    line: str, said: str, command: Command
) -> None:
    since = "2026-01-01T00:00:00Z"
    status, printed, _ = command("facts", "-", "--ends-since", since, given=line)
    assert (status, len(printed)) == (1, 1)
    assert str(printed[0]["error"]).startswith(said)


def test_ends_since_option_ignores_a_connection_authorized_event(command: Command) -> None:
    given = event("connection.authorized", subject={"id": "x"})
    arguments = ("facts", "-", "--ends-since", "2026-01-01T00:00:00Z")
    assert command(*arguments, given=given) == (0, [], "")


@pytest.mark.parametrize(("since", "taken"), [("08:10:00Z", 1), ("08:10:00.000001Z", 0)])
def test_ends_since_option_includes_events_10_minutes_earlier(
    since: str, taken: int, platform: Platform, command: Command
) -> None:
    # A backup that began before the commit lacks it, although the event has an earlier instant.
    subject = {"id": platform.connect(), "revokedAt": "2026-01-31T08:00:00Z"}
    given = event("connection.revoked", subject=subject)
    _, printed, _ = command("facts", "-", "--ends-since", f"2026-01-31T{since}", given=given)
    assert [each["outcome"] for each in printed] == ["done"] * taken


def test_ends_since_option_prints_the_tombstone_answer_last(
    platform: Platform, command: Command
) -> None:
    made = platform.connect()
    tombstone = event("binding.tombstoned", coordinate=COORDINATE)
    subject = {"id": made, "revokedAt": "2026-01-31T08:00:00Z"}
    broken = event("binding.tombstoned", coordinate={**COORDINATE, "environment": "x"})
    given = tombstone + broken + event("connection.revoked", subject=subject)
    arguments = ("facts", "-", "--ends-since", "2026-01-31T08:00:00Z")
    status, printed, _ = command(*arguments, given=given)
    assert status == 1
    assert [each["line"] for each in printed] == [2, 3, 1]
    assert "environment" in str(printed[0]["error"])
    assert [each.get("outcome") for each in printed[1:]] == ["done", "done"]


def test_facts_command_prints_line_of_an_unreadable_binding(
    platform: Platform, command: Command
) -> None:
    platform.sign_up()
    update = "UPDATE curae_binding SET document = REPLACE(document, ?, ?)"
    values = ('"format":1', '"format":2')
    assert platform.database.run_transaction([Statement(update, values, 1)])
    given = event("connection.authorized") + event("binding.tombstoned", coordinate=COORDINATE)
    arguments = ("facts", "-", "--ends-since", "2026-01-31T08:00:00Z")
    status, printed, error = command(*arguments, given=given)
    assert (status, error) == (1, "")
    assert [each["line"] for each in printed] == [2]
    assert "stored in form 2 by a newer release" in str(printed[0]["error"])


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also if the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_facts_command_prints_the_current_outcome(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [platform.connect(f"u{n}") for n in range(2)]

    def interrupt(store: SqlStore, fact: Fact, *, retry_policy: RetryPolicy) -> FactAnswer:
        answer = record(store, fact, retry_policy=retry_policy)
        signal.raise_signal(signal.SIGINT)
        return answer

    monkeypatch.setattr(facts, "record", interrupt)
    status, printed, error = command("facts", "-", given="".join(map(revocation, made)))
    assert (status, error) == (130, "")
    assert [each["outcome"] for each in printed] == ["done"]
    assert [platform.status(each) for each in made] == ["REVOKED", "ACTIVE"]


@pytest.mark.usefixtures("interruptible")
def test_facts_command_leaves_an_ignored_sigint_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with facts.hold_signals():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("interruptible")
def test_second_signal_ends_the_facts_command_at_once() -> None:
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    held = facts.hold_signals()
    held.__enter__()
    signal.raise_signal(signal.SIGINT)
    # A write to a pipe that no one reads does not return, so the default has to end it.
    assert {signal.getsignal(each) for each in handlers} == {signal.SIG_DFL}
    with pytest.raises(KeyboardInterrupt):
        held.__exit__(None, None, None)
    assert {each: signal.getsignal(each) for each in handlers} == handlers


def test_fact_is_recorded_although_database_is_down_for_30_s(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = platform.connect()
    time = fake_time(monkeypatch)
    load = SqlStore.load

    def refuse(store: SqlStore, needs: Needs, key_digest: str | None = None) -> Loaded:
        if time.passed < 30:
            raise StoreUnavailableError("no connection")
        return load(store, needs, key_digest)

    monkeypatch.setattr(SqlStore, "load", refuse)
    status, (printed,), _ = command("facts", "-", given=revocation(made))
    assert (status, printed["outcome"]) == (0, "done")
