"""Tests of the number and the text of SQL statements."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

import attrs
import pytest
import sqlalchemy as sa
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes, bump_version
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql import loading, postgresql, store, storing
from curae_lifecycle.stores.sql.buckets import charge_statements
from curae_lifecycle.stores.sql.drivers import connection_of
from curae_lifecycle.stores.sql.engine import (
    SqlDatabase,
    _ddl_steps,
    _transaction_steps,
    create_engine,
)
from curae_lifecycle.stores.sql.schema import (
    TABLE_NAMES,
    create_table_statements,
    drop_table_statements,
)
from curae_lifecycle.stores.sql.statement import (
    Dialect,
    Rows,
    Statement,
    combine,
    combine_in_batches,
)
from curae_lifecycle.stores.sql.store import SqlStore
from tests.stores.sql.races import content
from tests.support.paths import ROOT
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.server import API_KEY, CALLER, OPERATIONS, request
from tests.support.sql.databases import Counted
from tests.support.sql.works import FIRST, SETTINGS, minted
from tests.support.strategies import pending

# --- How many ---------------------------------------------------------------------------------

COMMITS = {
    "create": 1,
    "get": 1,
    "reconnect": 1,
    "revoke": 1,
    "initiate": 1,
    "account-state": 1,
    "graduation": 1,
}
"""Commits of each operation; a read commits its charge to the buckets of the API key."""


def test_request_takes_one_load_statement_and_one_commit(
    database: SqlDatabase,
) -> None:
    counted = Counted(database)
    made = SqlStore(counted, SETTINGS)
    made.create_tables()
    made.register(ApiKey(API_KEY), CALLER)
    serve(
        made,
        request=request("create", key="first"),
        id_factory=lambda now: minted(1, now),
        settings=SETTINGS,
    )
    for number, operation in enumerate(OPERATIONS, 2):
        counted.read.clear()
        counted.changed.clear()
        asked = request(operation, key=f"k-{number}")
        serve(
            made,
            request=asked,
            id_factory=partial(minted, number),
            settings=SETTINGS,
            retry_policy=PATIENT,
        )
        assert (len(counted.read), len(counted.changed)) == (1, COMMITS[operation]), operation
    counted.read.clear()
    counted.changed.clear()
    record(made, Authorized(FIRST))
    assert (len(counted.read), len(counted.changed)) == (1, 0)


def test_databases_docs_page_lists_sql_statements_per_commit(
    sqlite_database: SqlDatabase,
) -> None:
    page = (ROOT / "docs" / "databases.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    plain = list(zip(STEPS, taken(sqlite_database, Settings()), strict=True))
    sqlite_database.run_transaction([Statement(f"DELETE FROM {table}") for table in TABLE_NAMES])
    charged = taken(
        sqlite_database,
        Settings(buckets=(Bucket(name="platform", capacity=50, refill=1, seconds=60),)),
    )
    assert rows == [
        (step, str(number), str(with_a_bucket))
        for (step, number), with_a_bucket in zip(plain, charged, strict=True)
    ]


STEPS = (
    *("create", "get", "authorized", "revoke", "reconnect", "initiate"),
    *("account-state", "graduation"),
)


def taken(database: SqlDatabase, settings: Settings) -> list[int]:
    """Count the statements of each step's commit, if each step does all that it can."""
    counted = Counted(database)
    made = SqlStore(counted, settings)
    made.create_tables()
    made.register(ApiKey(API_KEY), CALLER)
    numbers: list[int] = []
    for number, step in enumerate(STEPS, 1):
        counted.changed.clear()
        if step == "authorized":
            assert isinstance(record(made, Authorized(FIRST)), Done)
        else:
            asked = request(step, key=f"k-{number}")
            answer = serve(
                made,
                request=asked,
                id_factory=partial(minted, number),
                settings=settings,
                retry_policy=PATIENT,
            )
            assert answer.response.status in {200, 201}, step
        assert len(counted.changed) <= 1, step
        numbers.append(sum(len(each) for each in counted.changed))
    return numbers


@pytest.mark.parametrize("digit", ["0", "f"])
def test_predecessor_is_updated_before_successor_is_inserted(
    sqlite_database: SqlDatabase, digit: str
) -> None:
    # Otherwise two recoveries could deadlock, at its row and at the unique index.
    counted = Counted(sqlite_database)
    made = SqlStore(counted)
    made.create_tables()
    made.register(ApiKey(API_KEY), CALLER)
    serve(made, request("create", key="k-1"), partial(minted, 1))
    serve(made, request("revoke", key="k-2"), partial(minted, 2))

    def mint(now: datetime) -> NewIds:
        new_id = ConnectionId(f"{digit * 8}-0000-4000-8000-000000000000")
        return attrs.evolve(minted(3, now), connection_id=new_id)

    assert serve(made, request("reconnect", key="k-3"), mint).response.status == 201
    texts = [each.text for each in counted.changed[-1] if "curae_connection " in each.text]
    assert [text.split()[0] for text in texts] == ["UPDATE", "INSERT"]


def test_uncached_api_key_takes_one_more_sql_statement(
    database: SqlDatabase,
) -> None:
    SqlStore(database).create_tables()
    SqlStore(database).register(ApiKey(API_KEY), CALLER)
    counted = Counted(database)
    made = SqlStore(counted, SETTINGS)
    serve(made, request=request("create"), id_factory=lambda now: minted(1, now), settings=SETTINGS)
    assert (len(counted.read), len(counted.changed)) == (2, 1)


def test_request_to_postgresql_takes_two_round_trips(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(postgres_url, timeout=PATIENCE)
    made = SqlStore(SqlDatabase(engine), SETTINGS)
    made.create_tables()
    made.register(ApiKey(API_KEY), CALLER)
    serve(
        made,
        request=request("create", key="first"),
        id_factory=lambda now: minted(1, now),
        settings=SETTINGS,
    )
    sent: list[str] = []
    limited = postgresql._wait_until

    def counted(waits: PQGen[object], deadline: float, pgconn: PGconn) -> PQGen[object]:
        sent.append("a round trip")
        return limited(waits, deadline, pgconn)

    monkeypatch.setattr(postgresql, "_wait_until", counted)
    for number, operation in enumerate(OPERATIONS, 2):
        sent.clear()
        asked = request(operation, key=f"k-{number}")
        serve(
            made,
            request=asked,
            id_factory=partial(minted, number),
            settings=SETTINGS,
            retry_policy=PATIENT,
        )
        # No BEGIN, COMMIT or ROLLBACK, and no liveness query.
        assert len(sent) == 2, operation
    engine.dispose()


def test_sql_statements_are_sent_in_batches_of_fifty() -> None:
    move = Statement("UPDATE t SET a = ? WHERE id = ?", (1, 2), 1)
    assert [
        len(_transaction_steps(Dialect.POSTGRESQL, [move] * size)) for size in (1, 50, 51, 101)
    ] == [*(1, 1, 4, 5)]
    assert _transaction_steps(Dialect.SQLITE, [move])[0].text == "BEGIN IMMEDIATE"
    assert _transaction_steps(Dialect.MARIADB, [move]) == [
        Statement("BEGIN"),
        move,
        Statement("COMMIT"),
    ]


def test_mariadb_ddl_runs_without_a_transaction() -> None:
    statements = create_table_statements(Dialect.MARIADB)
    assert _ddl_steps(Dialect.MARIADB, statements) == statements


class Pymysql:
    """A fake PyMySQL connection that records what runs on it."""

    def __init__(self) -> None:
        self.open = True
        self.server_status = 2
        self.ran: list[tuple[str, Sequence[object]]] = []
        self.rowcount = 1

    def cursor(self) -> Pymysql:
        return self

    def execute(self, text: str, values: Sequence[object], /) -> object:
        self.ran.append((text, values))
        return self.rowcount

    def fetchall(self) -> Rows:
        return [(1,)]

    def rollback(self) -> None:
        self.ran.append(("ROLLBACK", ()))


def test_sqlite_connection_closed_or_in_transaction_is_not_idle() -> None:
    idle, busy, closed = (sqlite3.connect(":memory:") for _ in range(3))
    busy.execute("BEGIN")
    closed.close()
    found = [connection_of(Dialect.SQLITE, each).is_idle for each in (idle, busy, closed)]
    assert found == [True, False, False]
    idle.close()
    busy.close()


def test_mariadb_connection_closed_or_in_transaction_is_not_idle() -> None:
    driver = Pymysql()
    connection = connection_of(Dialect.MARIADB, driver)
    assert connection.is_idle
    cursor = connection.run(Statement("SELECT ? % 2", (3,)))
    assert ([*cursor.fetchall()], cursor.rowcount) == ([(1,)], 1)
    begun, closed = Pymysql(), Pymysql()
    begun.server_status |= 1
    closed.open = False
    for other in (begun, closed):
        assert not connection_of(Dialect.MARIADB, other).is_idle
    connection.rollback()
    assert driver.ran == [("SELECT %s %% 2", (3,)), ("ROLLBACK", ())]


def test_full_caller_cache_evicts_its_oldest_caller(
    sqlite_database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CALLER_CACHE_SIZE", 2)
    counted = Counted(sqlite_database)
    made = SqlStore(counted)
    made.create_tables()
    keys = [ApiKey(f"cae_live_k{number}") for number in range(3)]
    for key in keys:
        made.register(key, CALLER)
        assert made.caller_of(key.digest()) == CALLER
    for key, reads in ((keys[2], 0), (keys[1], 0), (keys[0], 1)):
        counted.read.clear()
        assert made.caller_of(key.digest()) == CALLER
        assert len(counted.read) == reads


# --- Statement texts ----------------------------------------------------------------------------


def test_sql_placeholders_are_formatted_for_each_driver() -> None:
    statement = Statement("SELECT a % ? FROM t WHERE b = ?", (1, "x"))
    assert statement.as_format == "SELECT a %% %s FROM t WHERE b = %s"
    assert statement.as_numbered == "SELECT a % $1 FROM t WHERE b = $2"
    assert Statement("SELECT 1").as_numbered == "SELECT 1"


def test_batched_statements_check_each_row_count() -> None:
    joined = combine([Statement("A ?", (1,), 1), Statement("B"), Statement("C ?", (2,), 2)])
    assert joined == Statement(
        "WITH changed_0 AS (A ? RETURNING 1), changed_1 AS (B RETURNING 1), "
        "changed_2 AS (C ? RETURNING 1) SELECT 1 / (CASE WHEN "
        "(SELECT COUNT(*) FROM changed_0) <> 1 OR (SELECT COUNT(*) FROM changed_2) <> 2 "
        "THEN 0 ELSE 1 END)",
        (1, 2),
    )
    assert combine([Statement("B")]).text.endswith("SELECT 1 / (CASE WHEN 1 = 0 THEN 0 ELSE 1 END)")


def test_batches_hold_each_statement_once_and_in_order() -> None:
    inserts = [Statement("INSERT ?", (number,), 1) for number in range(120)]
    batches = [each.values for each in combine_in_batches(inserts)]
    assert [len(each) for each in batches] == [50, 50, 20]
    assert [value for each in batches for value in each] == [*range(120)]


def test_mariadb_statements_set_engine_and_collation() -> None:
    tables = create_table_statements(Dialect.MARIADB)
    for table in tables[: len(TABLE_NAMES)]:
        assert table.text.endswith("ENGINE=InnoDB")
        # Every text column has a collation that compares bytes.
        texts = re.findall(
            r"(?:VARCHAR\(\d+\)|MEDIUMTEXT)( CHARACTER SET \w+ COLLATE \w+_bin)?", table.text
        )
        assert texts
        assert all(texts)
    policy = Bucket(name="p", capacity=2, refill=1, seconds=1)
    new, charge = charge_statements(Dialect.MARIADB, policy=policy, key="k", at=0, known=False)
    assert charge_statements(Dialect.MARIADB, policy=policy, key="k", at=0, known=True) == [charge]
    assert new.text.startswith("INSERT IGNORE INTO curae_bucket")
    assert "SIMULTANEOUS_ASSIGNMENT" in charge.text
    assert " DIV " in charge.text
    assert " / " not in charge.text
    for statement in (new, charge):
        assert statement.text.count("?") == len(statement.values)
    registered = storing.save_caller_statement(Dialect.MARIADB, "d", CALLER)
    assert registered.text.endswith(
        "ON DUPLICATE KEY UPDATE version = VALUES(version), document = VALUES(document)"
    )
    now = loading.now_statement(Dialect.MARIADB)
    assert "UTC_TIMESTAMP(6)" in now.text


@pytest.mark.parametrize("dialect", Dialect)
def test_drop_statements_cover_every_created_table(dialect: Dialect) -> None:
    made = [
        each.text.split()[5] for each in create_table_statements(dialect) if "TABLE" in each.text
    ]
    dropped = [
        each.text.split()[-1] for each in drop_table_statements(dialect) if "DROP" in each.text
    ]
    assert made == dropped == [*TABLE_NAMES]


# --- Tables -------------------------------------------------------------------------------------


def test_concurrent_create_tables_on_sql_creates_them_once(url: str) -> None:
    engines = [create_engine(url, timeout=20) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda engine: SqlStore(SqlDatabase(engine)).create_tables(), engines)
        assert [*made] == [None] * 8
    assert content(SqlDatabase(engines[0])).keys() == {*TABLE_NAMES}
    dropping = SqlDatabase(engines[0])
    dropping.run_ddl(drop_table_statements(dropping.dialect))
    assert not sa.inspect(sa.create_engine(engines[0].url, poolclass=sa.NullPool)).get_table_names()
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize("kind", ["postgres", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def test_create_tables_does_not_wait_for_writers(kind: str, request: pytest.FixtureRequest) -> None:
    # Longer than any pause of the machine; a wait for a lock would still be seen.
    engine = create_engine(request.getfixturevalue(f"{kind}_url"), timeout=20)
    made = SqlStore(SqlDatabase(engine))
    made.create_tables()
    writing = sa.create_engine(engine.url)
    with writing.connect() as writer:
        for table in TABLE_NAMES:
            writer.exec_driver_sql(f"DELETE FROM {table}")
        made.create_tables()
    for each in (engine, writing):
        each.dispose()


def test_commit_of_a_value_that_was_not_loaded_raises(
    sqlite_database: SqlDatabase,
) -> None:
    made = SqlStore(sqlite_database)
    made.create_tables()
    loaded = made.load(Needs(connection=FIRST))
    relied = Changes((ConnectionWrite(pending(), bump_version(pending())),))
    for other in (loaded, Loaded(loaded.snapshot, loaded.now)):
        with pytest.raises(
            ArgumentError, match=r"^changes: must be decided from the loaded values"
        ):
            made.commit(other, relied)
