"""Erasures of an app user on the command line, and the purge that follows."""

from __future__ import annotations

import json
from datetime import timedelta

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState, present_era
from curae_lifecycle.rules.connection import create
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery, coordinate_subject
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Statement
from tests.cli.operating import MARY, NAMED, Platform
from tests.support.commands import Command


def purge_later(platform: Platform) -> None:
    """Purge as if five minutes had passed since the erasure."""
    platform.database.run_transaction([Statement("UPDATE curae_erasure SET due_at = 0")])
    platform.store.purge()


def test_erase_of_two_users_from_standard_input_erases_none(
    platform: Platform, command: Command
) -> None:
    made = platform.connect()
    assert command("database", "erase", *NAMED, given="mary\nbob\n")[:2] == (2, [])
    assert platform.status(made) == "ACTIVE"


def test_erase_and_purge_leave_only_idempotency_records(
    platform: Platform, command: Command
) -> None:
    platform.sign_up()
    made = [platform.connect(), platform.connect(authorized=False)]
    other = platform.connect("bob")
    status, printed, _ = command("database", "erase", *NAMED, given="mary\n")
    assert (status, printed[0]["connections"], printed[0]["sessions"]) == (0, 2, 1)
    assert printed[0]["waiting"]
    assert [platform.status(each) for each in made] == ["REVOKED", "REVOKED"]
    # The messages of the sign-up, the connections and their end are waiting.
    purge_later(platform)
    assert [platform.status(each) for each in made] == ["REVOKED", "REVOKED"]
    told = [(each.kind, each.document.get("connectionId")) for each in platform.ship()]
    assert ("AccessEnded", made[0]) in told
    assert ("HandoffCancelled", made[1]) in told
    assert command("database", "purge")[0] == 0
    assert [platform.status(each) for each in [*made, other]] == [
        "NOT_FOUND",
        "NOT_FOUND",
        "ACTIVE",
    ]
    platform.database.run_transaction([Statement("DELETE FROM curae_record")])
    assert "mary" not in platform.everything()
    assert "bob" in platform.everything()
    assert [*platform.database.rows(Statement("SELECT id FROM curae_erasure"))] == []
    # The next user with this id is new.
    _, state = platform.ask("GET", "curae-connect/account-state?appUserId=mary")
    assert state["lifecycleState"] == "UNLINKED"


def test_purge_deletes_nothing_right_after_an_erasure(platform: Platform) -> None:
    made = platform.connect()
    erase(platform.database, MARY)
    platform.ship()
    platform.store.purge()
    assert platform.status(made) == "REVOKED"


def test_erase_of_a_user_without_binding_deletes_the_connections(platform: Platform) -> None:
    made = [platform.connect(), platform.connect(authorized=False), platform.connect()]
    platform.record(ActionRequired(ConnectionId(made[2]), "login"))
    assert erase(platform.database, MARY).connections == 3
    assert [platform.status(each) for each in made] == ["REVOKED"] * 3
    platform.ship()
    purge_later(platform)
    assert {platform.status(each) for each in made} == {"NOT_FOUND"}
    assert [*platform.database.rows(Statement("SELECT id FROM curae_binding"))] == []


def test_purge_deletes_more_than_100_erased_connections(platform: Platform) -> None:
    made = [platform.connect(authorized=False) for _ in range(101)]
    assert erase(platform.database, MARY).connections == len(made)
    platform.database.run_transaction([Statement("DELETE FROM curae_outbox")])
    purge_later(platform)
    assert {platform.status(each) for each in made} == {"NOT_FOUND"}


def test_purge_keeps_erased_user_with_an_unsent_outbox_message(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    platform.sign_up()
    platform.ship()
    # Its only message is about the binding.
    assert erase(platform.database, MARY).waiting == 1
    purge_later(platform)
    assert "mary" in platform.everything()
    # The operator learns that the user is not deleted yet.
    assert caplog.messages == ["an erasure is left: the outbox has messages about the user"]


@pytest.mark.parametrize("about", ["connection", "session", "coordinate"])
def test_purge_keeps_erased_data_until_outbox_messages_are_gone(
    platform: Platform, about: str
) -> None:
    platform.sign_up()
    made = platform.connect()
    ((session,),) = platform.database.rows(Statement("SELECT id FROM curae_session"))
    erase(platform.database, MARY)
    platform.ship()
    subjects = {
        "connection": made,
        "session": str(session),
        "coordinate": coordinate_subject(MARY),
    }
    put = (
        "INSERT INTO curae_outbox (subject, kind, document, waits_from, due_at, attempts) "
        "VALUES (?, 'k', '{}', 0, 0, 0)"
    )
    platform.database.run_transaction([Statement(put, (key_of(subjects[about]),))])
    purge_later(platform)
    assert platform.status(made) == "REVOKED"
    platform.database.run_transaction([Statement("DELETE FROM curae_outbox")])
    purge_later(platform)
    assert platform.status(made) == "NOT_FOUND"


def test_purge_keeps_erased_connection_with_dead_outbox_message(platform: Platform) -> None:
    made = platform.connect()
    erase(platform.database, MARY)

    def fail(_: Delivery) -> None:
        raise ValueError

    while Outbox(platform.database, DeliverySettings(attempts=1)).deliver_batch(fail):
        pass
    assert Outbox(platform.database).list_dead()
    purge_later(platform)
    assert platform.status(made) == "REVOKED"


def test_purge_deletes_the_hosted_pages_of_an_erased_user(platform: Platform) -> None:
    initiate = "curae-connect/initiate"
    _, begun = platform.ask("POST", initiate, appUserId="mary", preferSignup=True)
    platform.ask("POST", initiate, appUserId="mary")
    _, graduation = platform.ask("POST", "curae-connect/graduation-handoff", appUserId="mary")
    _, again = platform.ask("POST", "connections", appUserId="mary", dataPackages=["labs"])
    actions = [each["nextAction"] for each in (begun, graduation, again)]
    urls = [str(each["url"]) for each in actions if isinstance(each, dict)]
    assert len(urls) == 3
    assert None not in [platform.store.hosted_page(each) for each in urls]
    erase(platform.database, MARY)
    platform.ship()
    purge_later(platform)
    assert [platform.store.hosted_page(each) for each in urls] == [None] * 3


def test_purge_keeps_a_user_who_is_bound_again_after_an_erasure(platform: Platform) -> None:
    platform.sign_up()
    old = platform.connect()
    erase(platform.database, MARY)
    platform.sign_up()
    new = platform.connect()
    platform.ship()
    purge_later(platform)
    assert [platform.status(each) for each in (old, new)] == ["NOT_FOUND", "ACTIVE"]
    _, state = platform.ask("GET", "curae-connect/account-state?appUserId=mary")
    # After the tombstone, a new limited user is provisioned.
    assert state["lifecycleState"] == "LIMITED"
    (kept,) = platform.database.rows(Statement("SELECT COUNT(*) FROM curae_session"))
    assert kept == (1,)
    assert [*platform.database.rows(Statement("SELECT id FROM curae_erasure"))] == []


def test_purge_keeps_erased_binding_while_new_connection_exists(platform: Platform) -> None:
    platform.sign_up()
    erase(platform.database, MARY)
    new = platform.connect()
    platform.ship()
    for _ in range(2):
        purge_later(platform)
        assert platform.status(new) == "ACTIVE"
        binding = platform.store.load(Needs(binding=MARY)).snapshot.binding
        assert binding is not None
        assert (binding.state, binding.user_id) == (AccountState.TOMBSTONED, None)
    # It goes with the last that was made under its era.
    platform.database.run_transaction([Statement("DELETE FROM curae_connection")])
    purge_later(platform)
    assert platform.store.load(Needs(binding=MARY)).snapshot.binding is None


def test_purge_deletes_erased_user_despite_a_later_tombstone(platform: Platform) -> None:
    platform.sign_up()
    platform.connect()
    erase(platform.database, MARY)
    # The platform reports the same deletion.
    platform.record(Tombstoned(MARY))
    platform.ship()
    purge_later(platform)
    platform.database.run_transaction([Statement("DELETE FROM curae_record")])
    assert "mary" not in platform.everything()


def test_purge_clears_user_id_of_a_binding_kept_for_a_connection(platform: Platform) -> None:
    platform.sign_up()
    erase(platform.database, MARY)
    between = platform.connect()
    platform.record(Tombstoned(MARY))
    platform.ship()
    purge_later(platform)
    assert platform.status(between) == "REVOKED"
    binding = platform.store.load(Needs(binding=MARY)).snapshot.binding
    assert binding is not None
    assert (binding.state, binding.user_id) == (AccountState.TOMBSTONED, None)


def test_handoff_completed_after_an_erasure_is_refused(platform: Platform) -> None:
    initiate = "curae-connect/initiate"
    _, begun = platform.ask("POST", initiate, appUserId="mary", preferSignup=True)
    session = begun["session"]
    assert isinstance(session, dict)
    erase(platform.database, MARY)
    landed = HandoffCompleted(SessionId(str(session["id"])), UserId("u-1"))
    answer = record(platform.store, landed)
    assert isinstance(answer, Refused)
    assert answer.problem.code == "BINDING_CHANGED"


def test_connection_committed_during_an_erasure_is_erased(platform: Platform) -> None:
    loaded = platform.store.load(Needs(binding=MARY))
    late = create(
        id=ConnectionId("00000000-0000-4000-8000-0000000000aa"),
        coordinate=MARY,
        data_packages=(DataPackage("labs"),),
        now=loaded.now,
        next_action=NextAction("https://connect.example/late", loaded.now + timedelta(hours=1)),
        era=present_era(loaded.snapshot.binding),
    )
    erase(platform.database, MARY)
    assert platform.store.commit(loaded, Changes((ConnectionWrite(None, late),)))
    assert platform.status(late.id) == "REVOKED"
    platform.ship()
    purge_later(platform)
    assert platform.status(late.id) == "NOT_FOUND"


def test_purge_deletes_the_erasure_row_if_the_binding_is_gone(platform: Platform) -> None:
    platform.connect()
    erase(platform.database, MARY)
    platform.database.run_transaction([Statement("DELETE FROM curae_binding")])
    purge_later(platform)
    assert [*platform.database.rows(Statement("SELECT id FROM curae_erasure"))] == []


def test_purge_leaves_a_binding_in_a_newer_format_unchanged(platform: Platform) -> None:
    platform.connect()
    erase(platform.database, MARY)
    platform.ship()
    ((document,),) = platform.database.rows(Statement("SELECT document FROM curae_binding"))
    newer = json.dumps(json.loads(str(document)) | {"format": 2})
    update = Statement("UPDATE curae_binding SET unswept = 1, document = ?", (newer,))
    platform.database.run_transaction([update])
    purge_later(platform)
    assert [*platform.database.rows(Statement("SELECT document FROM curae_binding"))] == [(newer,)]


def test_purge_sweeps_no_connection_stored_in_a_newer_format(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    platform.connect()
    platform.connect("bob")
    erase(platform.database, MARY)
    newer = "UPDATE curae_connection SET document = REPLACE(document, ?, ?) WHERE document LIKE ?"
    values = ('"format":1', '"format":2', "%bob%")
    assert platform.database.run_transaction([Statement(newer, values, 1)])
    bob = attrs.evolve(MARY, app_user_id=AppUserId("bob"))
    with pytest.raises(NewerFormatError):
        platform.record(Tombstoned(bob))
    platform.ship()
    purge_later(platform)
    assert "a sweep is left to a newer release: Connection: stored in form 2" in caplog.text
    unswept = Statement("SELECT unswept FROM curae_binding")
    assert [*platform.database.rows(unswept)] == [(1,)]
    # The erased user is purged all the same.
    platform.database.run_transaction([Statement("DELETE FROM curae_record")])
    assert "mary" not in platform.everything()


@pytest.mark.parametrize(
    ("found", "said"), [('"format":1', "Binding: stored in form 2"), ('"format":', "format")]
)
def test_erase_command_reports_an_unreadable_stored_value(
    found: str, said: str, platform: Platform, command: Command
) -> None:
    platform.sign_up()
    update = "UPDATE curae_binding SET document = REPLACE(document, ?, ?)"
    values = (found, found.replace("1", "2") if "1" in found else '"formats":')
    assert platform.database.run_transaction([Statement(update, values, 1)])
    status, printed, error = command("database", "erase", *NAMED, given="mary")
    assert (status, printed) == (1, [])
    assert "error: a stored value cannot be read" in error
    assert said in error
