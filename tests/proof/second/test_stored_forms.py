"""Stored values say their form, and a newer one is refused by name, never misread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from curae_lifecycle import ApiKey, ApiKeyId, Authorized, ConnectionId, Done, SessionId, dump, load
from curae_lifecycle.cli.main import main
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.callers import format_caller, parse_caller
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.outbox import Delivery, NewerDelivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from tests.proof.second.client import (
    CALLER,
    CONNECT,
    HOUR,
    World,
    code_of,
    id_of,
    on_sqlite,
    url_of,
)


@attrs.frozen
class Database:
    """A world on a SQLite file, whose rows a test may rewrite as a newer release would."""

    world: World
    path: Path
    originals: dict[tuple[str, int], str] = attrs.Factory(dict)

    def renew(self, table: str, where: str = "1", **members: object) -> int:
        """Store documents of a table in a form of the future; return how many."""
        with closing(sqlite3.connect(self.path)) as database, database:
            rows = database.execute(
                f"SELECT rowid, document FROM {table} WHERE {where}"  # noqa: S608 - a test's own text
            ).fetchall()
            for number, document in rows:
                self.originals[table, number] = document
                newer = {**json.loads(document), "format": 99, **members}
                database.execute(
                    f"UPDATE {table} SET document = ? WHERE rowid = ?",  # noqa: S608 - a test's own text
                    (json.dumps(newer), number),
                )
        return len(rows)

    def restore(self) -> None:
        """Store each document again as this release stored it."""
        with closing(sqlite3.connect(self.path)) as database, database:
            for (table, number), document in self.originals.items():
                database.execute(
                    f"UPDATE {table} SET document = ? WHERE rowid = ?",  # noqa: S608 - a test's own text
                    (document, number),
                )


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "curae.db"
    with on_sqlite(path) as world:
        yield Database(world, path)


def values(world: World) -> list[Storable]:
    """Return a stored value of each kind that has a document."""
    made = world.create()
    session = world.initiate(prefer_signup=True)
    world.tombstone()
    load_of = world.inner.load
    page = world.inner.hosted_page(url_of(made))
    found = load_of(Needs(connection=ConnectionId(id_of(made)))).snapshot
    landed = load_of(Needs(session=SessionId(id_of(session)))).snapshot.session
    kept = (found.connection, found.binding, landed, page, CALLER)
    return [each for each in kept if each is not None]


KINDS = (Connection, LimitedAccountAppBinding, CuraeConnectSession, HostedPage, Caller)


def test_every_dumped_value_has_format_1_and_loads_back_equal(world: World) -> None:
    for value, kind in zip(values(world), KINDS, strict=True):
        assert isinstance(value, kind)
        document = dump(value)
        assert document["format"] == 1
        assert load(kind, document) == value


def test_newer_format_of_any_value_raises_and_names_its_kind(world: World) -> None:
    for value, kind in zip(values(world), KINDS, strict=True):
        assert isinstance(value, kind)
        with pytest.raises(NewerFormatError) as caught:
            load(kind, {**dump(value), "format": 99})
        assert (caught.value.kind, caught.value.stored) == (kind.__name__, 99)


# Callers


def test_caller_round_trips_as_json_but_newer_format_raises() -> None:
    text = format_caller(CALLER)
    assert json.loads(text)["format"] == 1
    assert parse_caller(text) == CALLER
    newer = json.dumps({**json.loads(text), "format": 2, "suspended": True})
    with pytest.raises(NewerFormatError, match="Caller"):
        parse_caller(newer)


def test_request_of_a_caller_in_a_newer_format_gets_500(stored: Database) -> None:
    made = id_of(stored.world.create())
    stored.renew("curae_caller", suspended=True)
    for answer in (stored.world.create(), stored.world.revoke(made)):
        assert answer.response.status == 500
        assert code_of(answer) == "INTERNAL"
    stored.restore()
    assert stored.world.get(made)["status"] == "PENDING"


def test_caller_stored_in_a_newer_format_on_sqlite_gives_500(tmp_path: Path) -> None:
    path = tmp_path / "curae.db"
    with on_sqlite(path) as world:
        Database(world, path).renew("curae_caller", suspended=True)
        assert world.create().response.status == 500
        with pytest.raises(NewerFormatError, match="Caller"):
            world.inner.caller_of(ApiKey("cae_live_k1").digest())


def test_keys_list_command_skips_api_keys_in_a_newer_format(
    stored: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    other = attrs.evolve(CALLER, api_key_id=ApiKeyId("key-2"))
    stored.world.inner.register(ApiKey("cae_live_k2"), other)
    stored.renew("curae_caller", "document LIKE '%key-1%'")
    main(["keys", "list", "--database", f"sqlite:///{stored.path}"])
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [each.get("apiKeyId") for each in lines if "apiKeyId" in each] == ["key-2"]
    assert "99" in printed.out + printed.err


# Pages


def test_hosted_page_in_a_newer_format_raises_but_others_load(stored: Database) -> None:
    one, other = stored.world.create(), stored.world.create()
    stored.renew("curae_page", f"document LIKE '%{id_of(one)}%'")
    with pytest.raises(NewerFormatError, match="HostedPage"):
        stored.world.inner.hosted_page(url_of(one))
    assert stored.world.inner.hosted_page(url_of(other)) is not None
    with pytest.raises(NewerFormatError, match="HostedPage"):
        stored.world.record(Authorized(ConnectionId(id_of(one)), page_url=url_of(one)))
    assert stored.world.get(id_of(one))["status"] == "PENDING"


def test_hosted_page_in_newer_format_can_be_replaced_and_purged(stored: Database) -> None:
    stored.world.initiate()
    handoff = f"{CONNECT}/graduation-handoff"
    stored.world.send("POST", handoff, {"appUserId": "ada"})
    stored.renew("curae_page")
    again = stored.world.send("POST", handoff, {"appUserId": "ada"})
    assert stored.world.inner.hosted_page(url_of(again)) is not None
    stored.world.step(HOUR)
    stored.world.inner.purge()
    assert stored.world.inner.hosted_page(url_of(again)) is None


# Connections and bindings


def test_connection_in_a_newer_format_raises_and_get_gives_500(stored: Database) -> None:
    made = id_of(stored.world.create())
    stored.world.authorize(made)
    stored.renew("curae_connection")
    with pytest.raises(NewerFormatError, match="Connection"):
        stored.world.access(made)
    target = f"/api/sdk/v1/connections/{made}"
    assert stored.world.send("GET", target).response.status == 500


def test_binding_in_a_newer_format_raises_and_create_gives_500(stored: Database) -> None:
    made = id_of(stored.world.create())
    stored.world.tombstone()
    stored.renew("curae_binding")
    with pytest.raises(NewerFormatError, match="LimitedAccountAppBinding"):
        stored.world.access(made)
    assert stored.world.create().response.status == 500


# The outbox


def worker(stored: Database, **numbers: int) -> Outbox:
    assert stored.world.database is not None
    return Outbox(stored.world.database, DeliverySettings(**numbers))


def test_outbox_worker_leaves_a_newer_format_message_untried(stored: Database) -> None:
    one, other = id_of(stored.world.create()), id_of(stored.world.create())
    stored.renew("curae_outbox", f"document LIKE '%{one}%'")
    stored.world.authorize(one)
    got: list[Delivery] = []
    for _ in range(5):
        worker(stored).deliver_batch(got.append)
        stored.world.step(HOUR)
    subjects = [each.document["subject"] for each in got]
    assert [each["id"] for each in subjects if isinstance(each, dict)] == [other]
    stored.restore()
    got.clear()
    worker(stored).deliver_batch(got.append)
    worker(stored).deliver_batch(got.append)
    assert [(each.kind, each.attempt) for each in got] == [
        ("connection.created", 1),
        ("connection.authorized", 1),
    ]


def test_outbox_handlers_get_no_format_number_in_a_message(stored: Database) -> None:
    stored.world.authorize(id_of(stored.world.create()))
    stored.world.initiate()
    stored.world.tombstone()
    got: list[Delivery] = []
    for _ in range(9):
        worker(stored).deliver_batch(got.append)
    assert len(got) > 6
    assert not any("format" in each.document for each in got)


def test_dead_messages_list_includes_one_in_a_newer_format(stored: Database) -> None:
    one, other = id_of(stored.world.create()), id_of(stored.world.create())
    outbox = worker(stored, attempts=1)

    def fail(_: Delivery) -> None:
        raise OSError("the receiver is down")

    outbox.deliver_batch(fail)
    stored.renew("curae_outbox", f"document LIKE '%{one}%'")
    dead = outbox.list_dead()
    newer = [each for each in dead if isinstance(each, NewerDelivery)]
    read = [each for each in dead if isinstance(each, Delivery)]
    assert [each.error.stored for each in newer] == [99]
    subjects = [each.document["subject"] for each in read]
    assert [each["id"] for each in subjects if isinstance(each, dict)] == [other]


def test_hosted_page_document_without_a_format_raises(stored: Database) -> None:
    made = stored.world.create()
    stored.renew("curae_page", format=None)
    with pytest.raises(ValueError, match="format"):
        stored.world.inner.hosted_page(url_of(made))
    assert isinstance(stored.world.authorize(id_of(made)), Done)
