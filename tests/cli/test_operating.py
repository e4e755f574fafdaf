"""Commands of an operator on a database: facts, erasure, purge and a restored backup.

The commands are those of `docs/operating.md`. After a restored backup, they end again every access
that had ended.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from curae_lifecycle import Settings
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
    format_time,
)
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.erasing import Erasure, erase
from curae_lifecycle.stores.sql.outbox_worker import DeliverySettings, Outbox
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import Rows, SqlStore
from curae_lifecycle.web.request import Request
from tests.support.commands import Command
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
MINT = RandomIds("https://pages.example/")
ACCOUNT = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
WRITER = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
KEY = ApiKey("cae_live_k1")
# Letters that no hexadecimal digest or id contains.
MARY = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    app_user_id=AppUserId("mary"),
)
NAMED = ("--app-id", "app-1", "--account", ACCOUNT, "--environment", "live")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.heavy)])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@attrs.frozen
class Platform:
    """A database with the key of one app, and the actions of apps and patients on it."""

    url: str
    database: SqlDatabase
    store: SqlStore

    def ask(self, method: str, path: str, **body: object) -> tuple[int, dict[str, object]]:
        """Send a request and return the status and the document."""
        # A graduation takes no idempotency key.
        is_keyed = method == "POST" and "graduation" not in path
        keyed = [("Idempotency-Key", os.urandom(8).hex())] if is_keyed else []
        headers = (("Authorization", "Bearer cae_live_k1"), *keyed)
        sent = json.dumps(body).encode() if body else b""
        request = Request(method=method, target=f"/api/sdk/v1/{path}", headers=headers, body=sent)
        response = serve(self.store, request, MINT).response
        return response.status, json.loads(response.body)

    def connect(self, user: str = "mary", *, authorized: bool = True) -> str:
        """Create a connection of an app user and return its id."""
        _, made = self.ask("POST", "connections", appUserId=user, dataPackages=["labs"])
        connection = made["connection"]
        assert isinstance(connection, dict)
        if authorized:
            self.record(Authorized(ConnectionId(connection["id"])))
        return str(connection["id"])

    def sign_up(self, user: str = "mary") -> None:
        """Bind a user to an app user through the hosted page of a session."""
        initiate = {"appUserId": user, "preferSignup": True}
        _, begun = self.ask("POST", "curae-connect/initiate", **initiate)
        session = begun["session"]
        assert isinstance(session, dict)
        self.record(HandoffCompleted(SessionId(session["id"]), UserId(f"u-{session['id']}")))

    def record(self, fact: Fact) -> None:
        record(self.store, fact)

    def status(self, connection_id: str) -> object:
        """Return the wire status of a connection, or the problem code if it is refused."""
        _, document = self.ask("GET", f"connections/{connection_id}")
        held = document.get("connection")
        return held["status"] if isinstance(held, dict) else document["code"]

    def ship(self) -> list[Delivery]:
        """Deliver every message in the outbox."""
        shipped: list[Delivery] = []
        outbox = Outbox(self.database)
        while outbox.deliver_batch(shipped.append):
            pass
        return shipped

    def everything(self) -> str:
        """Return the text of every stored row except callers."""
        return "\n".join(
            str(row)
            for table in TABLE_NAMES
            if table != "curae_caller"
            for row in self.database.rows(Statement(f"SELECT * FROM {table}"))  # noqa: S608
        )


@pytest.fixture
def platform(url: str) -> Iterator[Platform]:
    engine = create_engine(url, timeout=30)
    database = SqlDatabase(engine)
    store = SqlStore(database)
    store.create_tables()
    store.register(KEY, WRITER)
    yield Platform(url, database, store)
    engine.dispose()


@pytest.fixture
def command(
    platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return Command(capsys, monkeypatch, ("--database", platform.url))


# --- Erasure ----------------------------------------------------------------------------------


def test_erase_leaves_only_idempotency_records_of_the_app_user(
    platform: Platform, command: Command
) -> None:
    platform.sign_up()
    made = [platform.connect(), platform.connect(authorized=False)]
    other = platform.connect("bob")
    waiting = ("database", "erase", *NAMED)
    # The messages of the sign-up, the connections and their end are waiting.
    status, printed, _ = command(*waiting, given="mary\n")
    assert (status, printed[0]["connections"]) == (1, 0)
    assert printed[0]["waiting"]
    assert [platform.status(each) for each in made] == ["REVOKED", "REVOKED"]
    told = [(each.kind, each.document.get("connectionId")) for each in platform.ship()]
    assert ("AccessEnded", made[0]) in told
    assert ("HandoffCancelled", made[1]) in told
    erased = {"connections": 2, "sessions": 1, "bindings": 1, "waiting": 0}
    assert command(*waiting, given="mary\n")[:2] == (0, [erased])
    assert [platform.status(each) for each in [*made, other]] == [
        "NOT_FOUND",
        "NOT_FOUND",
        "ACTIVE",
    ]
    platform.database.run_transaction([Statement("DELETE FROM curae_record")])
    assert "mary" not in platform.everything()
    assert "bob" in platform.everything()
    # The next user with this id is new.
    _, state = platform.ask("GET", "curae-connect/account-state?appUserId=mary")
    assert state["lifecycleState"] == "UNLINKED"


def test_erase_of_a_user_without_binding_deletes_the_connections(platform: Platform) -> None:
    made = [platform.connect(), platform.connect(authorized=False), platform.connect()]
    platform.record(ActionRequired(ConnectionId(made[2]), "login"))
    assert erase(platform.database, MARY).waiting
    assert [platform.status(each) for each in made] == ["REVOKED"] * 3
    platform.ship()
    assert erase(platform.database, MARY) == Erasure(
        connections=3, sessions=0, bindings=0, waiting=0
    )
    assert erase(platform.database, MARY) == Erasure()


def test_erase_deletes_more_than_100_connections_of_a_user(platform: Platform) -> None:
    made = [platform.connect(authorized=False) for _ in range(101)]
    erase(platform.database, MARY)
    platform.database.run_transaction([Statement("DELETE FROM curae_outbox")])
    assert erase(platform.database, MARY).connections == len(made)
    assert {platform.status(each) for each in made} == {"NOT_FOUND"}


def test_erase_waits_for_an_outbox_message_about_a_binding(platform: Platform) -> None:
    platform.sign_up()
    platform.ship()
    # Its only message is about the binding.
    assert erase(platform.database, MARY).waiting == 1


def test_erase_waits_for_undeliverable_outbox_messages(platform: Platform) -> None:
    platform.connect()
    erase(platform.database, MARY)

    def fail(_: Delivery) -> None:
        raise ValueError

    while Outbox(platform.database, DeliverySettings(attempts=1)).deliver_batch(fail):
        pass
    assert erase(platform.database, MARY).waiting == len(Outbox(platform.database).list_dead())


def test_hosted_pages_of_an_erased_user_are_gone(platform: Platform) -> None:
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
    assert not erase(platform.database, MARY).waiting
    assert [platform.store.hosted_page(each) for each in urls] == [None] * 3


@attrs.frozen
class Meanwhile:
    """A database that calls `happen` between the end of access and the erasure."""

    database: SqlDatabase
    happen: Callable[[], None]

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    def rows(self, statement: Statement) -> Rows:
        if "COUNT" in statement.text:
            self.happen()
        return self.database.rows(statement)

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.database.run_ddl(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self.database.run_transaction(statements)


def test_connection_created_during_erase_survives_for_new_user(platform: Platform) -> None:
    platform.sign_up()
    old = platform.connect()
    erase(platform.database, MARY)
    platform.ship()
    new: list[str] = []

    def come_back() -> None:
        platform.sign_up()
        new.append(platform.connect())
        platform.ship()

    assert erase(Meanwhile(platform.database, come_back), MARY).connections == 1
    assert [platform.status(each) for each in (old, *new)] == ["NOT_FOUND", "ACTIVE"]
    _, state = platform.ask("GET", "curae-connect/account-state?appUserId=mary")
    # After the tombstone, a new limited user is provisioned.
    assert state["lifecycleState"] == "LIMITED"
    (kept,) = platform.database.rows(Statement("SELECT COUNT(*) FROM curae_session"))
    assert kept == (1,)


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("--app-id", "", *NAMED[2:]), "mary", "app id"),
        ((*NAMED[:2], "--account", "x", *NAMED[4:]), "mary", "customerAccountId"),
        (NAMED, "", "appUserId"),
        (NAMED[2:], "mary", "--app-id"),
    ],
)
def test_erase_with_a_bad_coordinate_exits_2(
    command: Command, arguments: tuple[str, ...], given: str, said: str
) -> None:
    status, printed, error = command("database", "erase", *arguments, given=given)
    assert (status, printed) == (2, [])
    assert said in error


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


def test_facts_with_a_bad_file_or_instant_exits_2(command: Command, tmp_path: Path) -> None:
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


def test_facts_command_repeats_revocations_lost_in_a_restore(
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
    patient = {"type": "connection.revoke", "connectionId": chain, "actor": "PATIENT"}
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
    for outcome in ("done", "ignored"):
        status, printed, _ = command("facts", "-", "--ends-since", format_time(since), given=given)
        assert status == 0
        # The successor was created after the backup, so its revocation is refused.
        assert {each["outcome"] for each in printed} == {outcome, "refused"} | (
            {"ignored"} if outcome == "done" else set()
        )
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


def test_ends_since_option_skips_earlier_and_other_messages(
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


def test_changed_buckets_beside_old_ones_admit_the_sum_of_both(
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
