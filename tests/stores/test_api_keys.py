"""Tests of API keys: registered, narrowed and withdrawn, on each worker and on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs
import pytest

from curae_lifecycle.cli import keys
from curae_lifecycle.cli.main import main
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.serve import serve, serve_async
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.web.request import Request
from tests.support.commands import Command

MINT = RandomIds("https://pages.example/")
ACCOUNT = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
OTHER_ACCOUNT = CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f")
KEY = ApiKey("cae_live_k1")
WRITER = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
READER = attrs.evolve(WRITER, scopes=frozenset[str]())
LIVE = Settings(environment=Environment.LIVE)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.heavy)])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@contextmanager
def database_of(url: str) -> Iterator[SqlDatabase]:
    engine = create_engine(url, timeout=30)
    try:
        yield SqlDatabase(engine)
    finally:
        engine.dispose()


@pytest.fixture
def database(url: str) -> Iterator[SqlDatabase]:
    with database_of(url) as made:
        SqlStore(made).create_tables()
        yield made


def create(key: str = "k") -> Request:
    headers = (("Authorization", "Bearer cae_live_k1"), ("Idempotency-Key", key))
    body = b'{"appUserId": "ada", "dataPackages": ["clinical_summary"]}'
    return Request(method="POST", target="/api/sdk/v1/connections", headers=headers, body=body)


def read(connection_id: str) -> Request:
    headers = (("Authorization", "Bearer cae_live_k1"),)
    return Request(
        method="GET", target=f"/api/sdk/v1/connections/{connection_id}", headers=headers, body=b""
    )


# --- Every worker ---------------------------------------------------------------------------

CHANGES: Sequence[tuple[Caller | None, int, int]] = (
    # The caller of the key, and the statuses of a create and a read.
    (WRITER, 201, 200),
    (READER, 403, 200),
    (WRITER, 201, 200),
    (None, 401, 401),
    (WRITER, 201, 200),
    (attrs.evolve(WRITER, environment=Environment.TEST), 403, 403),
    (WRITER, 201, 200),
    (attrs.evolve(WRITER, customer_account_id=OTHER_ACCOUNT), 201, 404),
    (attrs.evolve(WRITER, app_id=AppId("app-2")), 201, 404),
    (None, 401, 401),
)


def test_api_key_change_applies_to_next_request_on_every_worker(
    database: SqlDatabase,
) -> None:
    administrator = SqlStore(database, LIVE)
    workers = [SqlStore(database, LIVE) for _ in range(3)]
    made = ""
    for number, (caller, created, seen) in enumerate(CHANGES):
        if caller is None:
            administrator.withdraw(KEY)
        else:
            administrator.register(KEY, caller)
        for which, worker in enumerate(workers):
            answer = serve(
                worker, request=create(f"{number}-{which}"), id_factory=MINT, settings=LIVE
            ).response
            assert answer.status == created, f"change {number}, worker {which}"
            made = made or json.loads(answer.body)["connection"]["id"]
            assert (
                serve(worker, request=read(made), id_factory=MINT, settings=LIVE).response.status
                == seen
            )


def test_api_key_change_applies_at_once_on_async_workers(postgres_url: str) -> None:
    async def run() -> None:
        engine = create_engine_async(postgres_url, timeout=30)
        try:
            await check(AsyncSqlDatabase(engine))
        finally:
            await engine.dispose()

    async def check(database: AsyncSqlDatabase) -> None:
        administrator = AsyncSqlStore(database, LIVE)
        await administrator.create_tables()
        workers = [AsyncSqlStore(database, LIVE) for _ in range(2)]
        made = ""
        for number, (caller, created, seen) in enumerate(CHANGES):
            if caller is None:
                await administrator.withdraw(KEY)
            else:
                await administrator.register(KEY, caller)
            for which, worker in enumerate(workers):
                answer = await serve_async(
                    worker, request=create(f"{number}-{which}"), id_factory=MINT, settings=LIVE
                )
                assert answer.response.status == created, f"change {number}, worker {which}"
                made = made or json.loads(answer.response.body)["connection"]["id"]
                answer = await serve_async(
                    worker, request=read(made), id_factory=MINT, settings=LIVE
                )
                assert answer.response.status == seen

    asyncio.run(run())


def test_concurrent_registrations_of_an_api_key_store_one_caller(database: SqlDatabase) -> None:
    callers = [attrs.evolve(WRITER, api_key_id=ApiKeyId(f"key-{n}")) for n in range(8)]
    begin, failures = threading.Barrier(len(callers)), list[Exception]()

    def register(caller: Caller) -> None:
        store = SqlStore(database)
        begin.wait()
        try:
            for _ in range(10):
                store.register(KEY, caller)
        except Exception as error:  # noqa: BLE001 - the test says which
            failures.append(error)

    threads = [threading.Thread(target=register, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert SqlStore(database).caller_of(KEY.digest()) in callers
    assert len(database.rows(Statement("SELECT id FROM curae_caller"))) == 1


# --- The command line -------------------------------------------------------------------------


@pytest.fixture
def ask(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("DATABASE_URL", url)
    command = Command(capsys, monkeypatch)
    status, _, error = command("database", "create")
    assert (status, error) == (0, "")
    return command


OWNER = ("--app-id", "app-1", "--account", ACCOUNT.upper())
LIVE_OWNER = (*OWNER, "--environment", "live")
SHOWN = {
    "appId": "app-1",
    "customerAccountId": ACCOUNT,
    "environment": "live",
    "scopes": [CONNECTION_WRITE],
}


def test_keys_register_prints_the_key_once_and_stores_its_digest(
    ask: Command, database: SqlDatabase
) -> None:
    status, (printed,), _ = ask("keys", "register", *LIVE_OWNER, "--scope", CONNECTION_WRITE)
    secret = printed.pop("apiKey")
    assert isinstance(secret, str)
    assert re.fullmatch(r"cae_live_[\w-]{43}", secret)
    assert (status, printed) == (0, SHOWN | {"apiKeyId": printed["apiKeyId"]})
    assert ask("keys", "list") == (0, [printed], "")
    caller = SqlStore(database).caller_of(ApiKey(secret).digest())
    assert caller == attrs.evolve(WRITER, api_key_id=ApiKeyId(str(printed["apiKeyId"])))
    stored = database.rows(Statement("SELECT id, document FROM curae_caller"))
    assert secret not in str(stored)


def test_reregistered_api_key_keeps_its_key_id(ask: Command) -> None:
    register = ("keys", "register", "--stdin")
    _, (first,), _ = ask(*register, *LIVE_OWNER, "--scope", CONNECTION_WRITE, given="cae_live_k1\n")
    assert "apiKey" not in first
    _, (again,), _ = ask(*register, *OWNER, "--environment", "test", given="cae_live_k1")
    assert again == first | {"environment": "test", "scopes": []}
    _, (named,), _ = ask(*register, *LIVE_OWNER, "--api-key-id", "key-9", given="cae_live_k1")
    assert named == first | {"apiKeyId": "key-9", "scopes": []}
    assert ask("keys", "list") == (0, [named], "")


def test_keys_command_narrows_and_withdraws_api_keys_by_id(ask: Command) -> None:
    named = ("--api-key-id", "key-1")
    for _ in range(2):
        ask(
            "keys",
            "register",
            *LIVE_OWNER,
            *named,
            "--scope",
            CONNECTION_WRITE,
            "--own-scope",
            "more",
        )
    ask("keys", "register", *LIVE_OWNER, "--api-key-id", "key-2")
    status, narrowed, _ = ask("keys", "narrow", *named, "--scope", CONNECTION_WRITE)
    assert (status, narrowed) == (0, [SHOWN | {"apiKeyId": "key-1"}] * 2)
    status, _, error = ask("keys", "narrow", *named, "--scope", "more")
    assert (status, "a key with this id lacks the scope more" in error) == (2, True)
    assert ask("keys", "narrow", *named)[1] == [SHOWN | {"apiKeyId": "key-1", "scopes": []}] * 2
    assert len(ask("keys", "withdraw", *named)[1]) == 2
    for act in ("narrow", "withdraw"):
        status, printed, error = ask("keys", act, *named)
        assert (status, printed, "no such key is registered" in error) == (1, [], True)
    assert [each["apiKeyId"] for each in ask("keys", "list")[1]] == ["key-2"]


def test_keys_command_withdraws_an_api_key_by_its_text(ask: Command) -> None:
    for text in ("cae_live_k1", "cae_live_k2"):
        ask("keys", "register", *LIVE_OWNER, "--stdin", "--api-key-id", text[-2:], given=text)
    status, withdrawn, _ = ask("keys", "withdraw", "--stdin", given="cae_live_k1\r\n")
    assert (status, [each["apiKeyId"] for each in withdrawn]) == (0, ["k1"])
    assert [each["apiKeyId"] for each in ask("keys", "list")[1]] == ["k2"]


@pytest.mark.parametrize(
    ("act", "changed", "status", "left"),
    [
        (
            "narrow",
            attrs.evolve(WRITER, app_id=AppId("app-2")),
            0,
            SHOWN | {"apiKeyId": "key-1", "appId": "app-2", "scopes": []},
        ),
        (
            "withdraw",
            attrs.evolve(READER, api_key_id=ApiKeyId("key-2")),
            1,
            SHOWN | {"apiKeyId": "key-2", "scopes": []},
        ),
    ],
)
def test_keys_command_does_not_undo_a_concurrent_key_change(
    act: str,
    changed: Caller,
    status: int,
    left: dict[str, object],
    ask: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = ("--api-key-id", "key-1")
    ask("keys", "register", *LIVE_OWNER, *named, "--stdin", given="k")
    read_once = keys._load_callers
    meanwhile = [changed]

    def overtaken(database: SqlDatabase) -> object:
        found = read_once(database)
        while meanwhile:
            SqlStore(database).register(ApiKey("k"), meanwhile.pop())
        return found

    monkeypatch.setattr(keys, "_load_callers", overtaken)
    assert ask("keys", act, *named)[0] == status
    assert ask("keys", "list")[1] == [left]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("register", *OWNER), "", "--environment"),
        (("register", *OWNER, "--environment", "prod"), "", "invalid choice: 'prod'"),
        (("register", *LIVE_OWNER[2:]), "", "--app-id"),
        (("register", *LIVE_OWNER, "--app-id", ""), "", "app id: must be"),
        (("register", *LIVE_OWNER, "--account", "7"), "", "customerAccountId: must be a UUID"),
        (("register", *LIVE_OWNER, "--api-key-id", ""), "", "api key id: must be"),
        (("register", *LIVE_OWNER, "--scope", "a b"), "", "without spaces"),
        (("register", *LIVE_OWNER, "--scope", ""), "", "a scope must not be empty"),
        (("register", *LIVE_OWNER, "--own-scope", "a b"), "", "without spaces"),
        (("register", *LIVE_OWNER, "--scope", "connection:wirte"), "", "use --own-scope if one of"),
        (
            ("register", *LIVE_OWNER, "--scope", "connection:wirte"),
            "",
            "did you mean connection:write?",
        ),
        (("register", *LIVE_OWNER, "--app-id", "a\x1b[31m"), "", "app id: must be text without"),
        (("register", *LIVE_OWNER, "--api-key-id", "a\nb"), "", "api key id: must be text without"),
        (("register", *LIVE_OWNER, "--stdin"), "", "api key: must be not empty"),
        (("register", *LIVE_OWNER, "--stdin"), "a secret\n", "api key: must be visible ASCII"),
        (("withdraw",), "", "one of the arguments --api-key-id --stdin is required"),
        ((), "", "ACT"),
    ],
)
def test_keys_command_with_invalid_input_exits_2_with_a_message(
    arguments: tuple[str, ...], given: str, said: str, ask: Command
) -> None:
    status, printed, error = ask("keys", *arguments, given=given)
    assert (status, printed) == (2, [])
    assert said in error
    assert "secret" not in error


# --- Databases that cannot be used ------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("", 2, "a database is required: give --database URL or set DATABASE_URL"),
        ("secret", 2, "--database must be the URL of a SQLite, PostgreSQL or MariaDB database"),
        ("oracle://secret@host", 2, "--database must be the URL of"),
        ("postgresql+pg8000://secret@host/x", 2, "postgresql+pg8000 is not supported"),
        ("postgresql+asyncpg://secret@host/x", 2, "postgresql+asyncpg is an async driver"),
        ("sqlite:////nowhere/secret.db", 1, "unable to open database file"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", 1, "the store cannot be used now"),
    ],
)
def test_keys_list_reports_unusable_database_without_its_url(
    url: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", "list", "--database", url])
    error = capsys.readouterr().err
    assert (ended.value.code, said in error) == (status, True), error
    assert "secret" not in error


def test_keys_list_without_tables_says_how_to_create_them(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", "list", "--database", url])
    assert ended.value.code == 1
    assert "create its tables with: python -m curae_lifecycle database create" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "url", "said"),
    [
        (
            "sqlalchemy",
            "sqlite://",
            "needs sqlalchemy: python -m pip install 'curae-lifecycle[sql]'",
        ),
        ("psycopg", "postgresql+psycopg://x", "needs psycopg: python -m pip install 'curae-lif"),
    ],
)
def test_keys_list_with_a_missing_package_names_the_pip_extra(
    module: str, url: str, said: str
) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None; from curae_lifecycle.cli.main import main; "
        f"main(['keys', 'list', '--database', {url!r}])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


# --- The outbox -------------------------------------------------------------------------------


def provision(database: SqlDatabase) -> None:
    store = SqlStore(database)
    store.register(KEY, WRITER)
    headers = create().headers
    target = "/api/sdk/v1/curae-connect/initiate"
    request = Request(method="POST", target=target, headers=headers, body=b'{"appUserId": "ada"}')
    assert serve(store, request, MINT).response.status == 201


def test_outbox_once_option_prints_and_removes_each_message(
    ask: Command, database: SqlDatabase
) -> None:
    provision(database)
    status, printed, _ = ask("outbox", "--once")
    assert status == 0
    assert {each["kind"] for each in printed} == {
        "UserProvisioned",
        "binding.provisioned",
        "connect_session.initiated",
    }
    assert [sorted(each) for each in printed] == [
        ["attempt", "document", "kind", "number", "subject"]
    ] * 3
    assert ask("outbox", "--once") == (0, [], "")


def test_outbox_command_lists_and_revives_dead_messages(
    ask: Command, database: SqlDatabase
) -> None:
    provision(database)

    def fail(_: Delivery) -> None:
        raise ValueError

    while Outbox(database, DeliverySettings(attempts=1)).deliver_batch(fail):
        pass
    _, dead, _ = ask("outbox", "--dead")
    assert [each["attempt"] for each in dead] == [1, 1, 1]
    number = str(dead[1]["number"])
    assert ask("outbox", "--revive", number) == (0, [], "")
    status, _, error = ask("outbox", "--revive", number)
    assert (status, "no dead message has the number" in error) == (1, True)
    for unknown in ("0", "-1", str(2**63), "99999999999999999999999"):
        status, _, error = ask("outbox", f"--revive={unknown}")
        assert (status, f"no dead message has the number {unknown}\n" in error) == (1, True)
    assert [each["number"] for each in ask("outbox", "--once")[1]] == [int(number)]
    assert len(ask("outbox", "--dead")[1]) == 2


def test_outbox_command_lists_dead_messages_past_the_query_limit(
    ask: Command, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    provision(database)

    def fail(_: Delivery) -> None:
        raise ValueError

    while Outbox(database, DeliverySettings(attempts=1)).deliver_batch(fail):
        pass
    # Simulate more messages than one query returns.
    monkeypatch.setattr(Outbox.list_dead, "__defaults__", (0, 2))
    _, dead, _ = ask("outbox", "--dead")
    assert len({str(each["number"]) for each in dead}) == len(dead) == 3


@pytest.mark.slow
def test_outbox_command_with_closed_output_pipe_loses_no_message(
    url: str, database: SqlDatabase
) -> None:
    provision(database)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "curae_lifecycle", "outbox", "--once", "--database", url]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(database.rows(Statement("SELECT id FROM curae_outbox"))) == 3
    assert Outbox(database, DeliverySettings(attempts=1)).list_dead() == ()


@pytest.mark.slow
def test_outbox_command_prints_messages_until_sigterm(url: str, database: SqlDatabase) -> None:
    command = [sys.executable, "-m", "curae_lifecycle", "outbox", "--database", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        provision(database)
        assert running.stdout is not None
        kinds = [json.loads(running.stdout.readline())["kind"] for _ in range(3)]
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    assert "UserProvisioned" in kinds
    assert database.rows(Statement("SELECT id FROM curae_outbox")) == []
