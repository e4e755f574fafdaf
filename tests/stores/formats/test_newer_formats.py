"""Tests that a newer release's rows are refused by name while the other rows are read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.callers import format_caller, parse_caller
from curae_lifecycle.stores.codec import dump
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.outbox import Delivery, NewerDelivery
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import (
    SqlDatabase,
    create_engine,
)
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.json import MalformedError
from tests.support.commands import Command
from tests.support.server import API_KEY, CALLER, ID, document, new_ids, request
from tests.support.strategies import uuid

SUSPENDED: Final = {**dump(CALLER), "format": 2, "suspended": True}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'curae.db'}"


@pytest.fixture
def database(url: str) -> Iterator[SqlDatabase]:
    engine = create_engine(url)
    made = SqlDatabase(engine)
    store = SqlStore(made)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    yield made
    engine.dispose()


def minted(number: int) -> IdFactory:
    """Make ids of this number, and a next action with its own URL."""

    def make(now: datetime) -> NewIds:
        made = new_ids(number, now)
        action = attrs.evolve(made.next_action, url=f"https://connect.example/{number}")
        return attrs.evolve(made, next_action=action)

    return make


def run(database: SqlDatabase, text: str, *values: str | int) -> None:
    assert database.run_transaction([Statement(text, values)])


# --- Callers ------------------------------------------------------------------------------------


def test_stored_caller_carries_its_format_number() -> None:
    text = format_caller(CALLER)
    assert json.loads(text)["format"] == 1
    assert (text.isascii(), parse_caller(text)) == (True, CALLER)


def test_stored_caller_in_newer_format_raises_newer_format_error() -> None:
    with pytest.raises(NewerFormatError, match=r"^Caller: stored in form 2 by a newer release"):
        parse_caller(json.dumps(SUSPENDED))


@pytest.mark.parametrize(
    "changed",
    [
        {"suspended": True},
        {"environment": "prod"},
        {"scopes": "connection:write"},
        {"scopes": ["a", "a"]},
        {"customer_account_id": "1"},
        {"format": None},
    ],
)
def test_stored_caller_with_an_invalid_member_is_malformed(changed: dict[str, object]) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_caller(json.dumps({**dump(CALLER), **changed}))
    assert raised.value.fault is Fault.INVALID


def test_api_key_with_caller_in_newer_format_gets_500(database: SqlDatabase) -> None:
    run(database, "UPDATE curae_caller SET document = ?", json.dumps(SUSPENDED))
    answer = serve(SqlStore(database), request("create"), lambda _: new_ids())
    assert (answer.response.status, document(answer)["code"]) == (500, "INTERNAL")
    assert database.rows(Statement("SELECT * FROM curae_connection")) == []


@pytest.fixture
def ask(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch, ("--database", url))


def add_newer_caller(database: SqlDatabase) -> None:
    text = "INSERT INTO curae_caller (id, version, document) VALUES (?, 1, ?)"
    run(database, text, "0" * 64, json.dumps(SUSPENDED))


def test_keys_list_exits_1_at_a_newer_format_and_prints_the_rest(
    database: SqlDatabase, ask: Command
) -> None:
    add_newer_caller(database)
    status, listed, error = ask("keys", "list")
    assert (status, [each["apiKeyId"] for each in listed]) == (1, ["key-1"])
    assert f"the key with the digest {'0' * 64}: Caller: stored in form 2" in error


NEWER_CALLER: Final = Statement("SELECT * FROM curae_caller WHERE id = ?", ("0" * 64,))


def test_keys_narrow_command_skips_newer_formats_and_exits_1(
    database: SqlDatabase, ask: Command
) -> None:
    add_newer_caller(database)
    (newer,) = database.rows(NEWER_CALLER)
    status, narrowed, error = ask("keys", "narrow", "--api-key-id", "key-1")
    assert (status, [each["scopes"] for each in narrowed]) == (1, [[]])
    assert f"the key with the digest {'0' * 64}: Caller: stored in form 2" in error
    assert database.rows(NEWER_CALLER) == [newer]


def test_keys_withdraw_by_id_skips_newer_formats_and_exits_1(
    database: SqlDatabase, ask: Command
) -> None:
    add_newer_caller(database)
    status, withdrawn, error = ask("keys", "withdraw", "--api-key-id", "key-1")
    assert (status, [each["apiKeyId"] for each in withdrawn]) == (1, ["key-1"])
    assert f"the key with the digest {'0' * 64}: Caller: stored in form 2" in error
    assert database.rows(Statement("SELECT id FROM curae_caller")) == [("0" * 64,)]


OWNER: Final = (
    *("--environment", "live", "--app-id", "app-1"),
    *("--account", CALLER.customer_account_id),
)


def test_api_key_in_newer_format_can_only_be_withdrawn(database: SqlDatabase, ask: Command) -> None:
    run(database, "UPDATE curae_caller SET document = ?", json.dumps(SUSPENDED))
    for named in ((), ("--api-key-id", "key-1")):
        status, _, error = ask("keys", "register", *OWNER, *named, "--stdin", given=API_KEY)
        assert (status, "Caller: stored in form 2" in error) == (1, True)
    assert "Caller: stored in form 2" in ask("keys", "withdraw", "--stdin", given=API_KEY)[2]
    assert database.rows(Statement("SELECT * FROM curae_caller")) == []


# --- Hosted pages -------------------------------------------------------------------------------


def test_hosted_page_in_newer_format_raises_newer_format_error(database: SqlDatabase) -> None:
    store = SqlStore(database)
    urls: list[str] = []
    for number, key in enumerate(("k-1", "k-2"), 1):
        answer = serve(store, request("create", key=key), minted(number))
        action = document(answer)["nextAction"]
        assert isinstance(action, dict)
        urls.append(action["url"])
    text = "UPDATE curae_page SET document = replace(document, ?, ?) WHERE document LIKE ?"
    run(database, text, '"format":1', '"format":2', f"%{uuid(1)}%")
    with pytest.raises(NewerFormatError, match=r"^HostedPage: stored in form 2"):
        store.hosted_page(urls[0])
    other = store.hosted_page(urls[1])
    assert other is not None
    assert other.subject == uuid(2)


# --- The outbox ---------------------------------------------------------------------------------


def post(database: SqlDatabase, *forms: int) -> None:
    """Post a message of each form, each about its own subject; the first one is taken first."""
    text = "INSERT INTO curae_outbox (subject, kind, document, attempts, due_at, waits_from) "
    for number, form in enumerate(forms):
        written = json.dumps({"format": form, "number": number})
        run(database, text + "VALUES (?, 'k', ?, 0, 0, 0)", key_of(str(number)), written)


def test_outbox_handlers_do_not_see_the_message_format_number(database: SqlDatabase) -> None:
    store = SqlStore(database)
    serve(store, request("create"), minted(1))
    record(store, Revoked(ID, Actor.PATIENT))
    stored = database.rows(Statement("SELECT document FROM curae_outbox"))
    assert {json.loads(str(text))["format"] for (text,) in stored} == {1}
    seen: list[Delivery] = []
    while Outbox(database).deliver_batch(seen.append):
        pass
    assert len(seen) == len(stored)
    assert [each for each in seen if "format" in each.document] == []


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_outbox_worker_skips_newer_formats_and_delivers_the_rest(
    batch: int, database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, 2, 3, 1, 2, 1)
    seen: list[Delivery] = []
    outbox = Outbox(database, DeliverySettings(batch=batch))
    while outbox.deliver_batch(seen.append):
        pass
    assert [each.document for each in seen] == [{"number": 2}, {"number": 4}]
    left = database.rows(Statement("SELECT id, attempts, claim FROM curae_outbox ORDER BY id"))
    assert left == [(1, 0, None), (2, 0, None), (4, 0, None)]
    assert "message 2 is returned untried: Message: stored in form 3 by a newer" in caplog.text
    # A worker that can read the messages delivers them.
    run(database, "UPDATE curae_outbox SET document = '{\"format\": 1}'")
    assert outbox.deliver_batch(seen.append) == min(batch, 3)


def test_newer_format_message_holds_back_others_of_its_subject(database: SqlDatabase) -> None:
    post(database, 2, 1)
    run(database, "UPDATE curae_outbox SET subject = ?", key_of("0"))
    assert Outbox(database).deliver_batch(lambda _: None) == 0


def test_outbox_worker_claims_a_newer_format_message_only_once(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, 2, 1, 1)
    stop, seen = threading.Event(), list[int]()

    def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)
        if len(seen) == 2:
            stop.set()

    Outbox(database, DeliverySettings(batch=1, poll_seconds=0.01)).run(handle, stop)
    assert (seen, caplog.text.count("returned untried")) == ([2, 3], 1)


def test_newer_format_message_is_claimed_once_as_others_arrive(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, 2, 1)
    run(database, "UPDATE curae_outbox SET id = id + 10")
    stop, seen = threading.Event(), list[int]()

    def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)
        if delivery.number == 12:
            # Numbers are not in the order of commits.
            for number in (1, 2, 20):
                put = "INSERT INTO curae_outbox (id, subject, kind, document, attempts, due_at, "
                values = "waits_from) VALUES (?, ?, 'k', '{\"format\":1}', 0, 0, 0)"
                run(database, put + values, number, key_of(f"late {number}"))
        if delivery.number == 20:
            stop.set()

    outbox = Outbox(database, DeliverySettings(batch=1, poll_seconds=0.01))
    outbox.run(handle, stop)
    assert (seen, caplog.text.count("returned untried")) == ([12, 1, 2, 20], 1)


def test_outbox_dead_option_shows_error_for_newer_format_message(
    database: SqlDatabase, ask: Command
) -> None:
    post(database, 1, 2)
    run(database, "UPDATE curae_outbox SET due_at = NULL")
    readable, newer = Outbox(database).list_dead()
    assert isinstance(readable, Delivery)
    assert isinstance(newer, NewerDelivery)
    assert (newer.number, newer.error.stored, newer.error.known) == (2, 2, 1)
    status, listed, _ = ask("outbox", "--dead")
    assert (status, [each.get("document") for each in listed]) == (0, [{"number": 0}, None])
    assert str(listed[1]["error"]).startswith("Message: stored in form 2 by a newer release")
