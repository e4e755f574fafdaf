"""Tests that each example starts with one command and does what it prints and its page says."""

from __future__ import annotations

import json
import os
import re
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Final, get_args

import demo
import pytest
import sqlalchemy as sa

from curae_lifecycle import ApiKey
from curae_lifecycle.service.effects import Effect
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.fact_hooks import caller_of
from tests.support.databases.postgres import database
from tests.support.not_modified import headers_of_304
from tests.support.paths import ROOT
from tests.support.wire.running import engine_of
from tests.support.wire.trying import EXAMPLES, PATIENCE, send_parsed, send_printed, walk

APPS: Final = ("fastapi_app", "flask_app", "django_app", "asgi_app")


@pytest.mark.slow
@pytest.mark.parametrize(
    "app",
    ["fastapi_app", *(pytest.param(app, marks=pytest.mark.heavy) for app in APPS[1:])],
)
def test_example_server_gives_the_documented_http_statuses(app: str, tmp_path: Path) -> None:
    walk(app, tmp_path, send_parsed)


# Not every machine has curl; the test above sends the same requests with Python.
@pytest.mark.heavy
@pytest.mark.parametrize("app", APPS)
def test_curl_commands_printed_by_an_example_server_succeed(app: str, tmp_path: Path) -> None:
    walk(app, tmp_path, send_printed(tmp_path))


ASKED: Final = """
import asyncio, concurrent.futures, importlib, json, sys

threads = []

class Noted(concurrent.futures.ThreadPoolExecutor):
    def __init__(self, max_workers=None, *more, **named):
        if max_workers != 1:  # one of asgiref's own
            threads.append(max_workers)
        super().__init__(max_workers, *more, **named)

concurrent.futures.ThreadPoolExecutor = Noted
import demo
from curae_lifecycle.servers import endpoint

# How long it is waited for is the endpoint's, and tested there.
endpoint.READY_TIMEOUT_SECONDS = 60.0

module = importlib.import_module(sys.argv[1])
served, database = module.served, getattr(module, "database", None)
database = getattr(database, "_database", database)
if database is None:
    connections = None
elif hasattr(database, "_pool"):
    connections = database._pool.size
else:
    connections = database._engine.pool.size()
bounds = [connections, threads[:], served._slots.size]

async def ask(path):
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
    scope |= {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [], "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2)}
    told = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        told.append(message)

    await served(scope, receive, send)
    return told[0]["status"], told[1]["body"].decode()

async def main():
    said = [await ask("/metrics"), await ask("/readyz")]
    served.drain()
    return [*said, await ask("/readyz")]

said = None
if len(sys.argv) == 2:
    if sys.argv[1] == "django_app":
        from django.db import connection
        demo.prepare_django()
        assert connection.connection is None, "a connection is left to the workers"
    else:
        demo.prepare()
    said = asyncio.run(main())
print(json.dumps([bounds, said]))
"""


def asked(app: str, url: str, *more: str) -> tuple[list[object], list[list[object]], list[str]]:
    """Return the bounds of an example, its answers before and after its drain, and its log."""
    path = os.pathsep.join((str(ROOT), str(EXAMPLES)))
    given = {"DATABASE_URL": url, "METRICS": "1", "POOL": "3", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", ASKED, app, *more],
        capture_output=True,
        check=True,
        env={**os.environ, **given},
        text=True,
        timeout=PATIENCE,
    )
    bounds, said = json.loads(done.stdout)
    return bounds, said, done.stderr.splitlines()


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("app", "bounds"),
    [
        ("fastapi_app", [3, [], 3]),
        ("flask_app", [3, [3], 3]),
        ("django_app", [None, [3], 3]),
        ("asgi_app", [3, [3], 3]),
    ],
)
def test_example_has_thread_limits_metrics_and_503_when_draining(
    app: str, bounds: list[object], tmp_path: Path
) -> None:
    found, ((counted, metrics), ready, draining), log = asked(
        app, f"sqlite:///{tmp_path / 'curae.db'}"
    )
    # Connections, threads and slots; Django has one connection per thread.
    assert found == bounds
    assert counted == 200
    assert "curae_outbox_messages 0.0" in str(metrics)
    assert ready == [200, '{"status": "ok"}']
    assert draining == [503, '{"status": "draining"}']
    # Django would log its own message for each 5xx response.
    lines = [json.loads(line) for line in log]
    assert [(each["message"], each.get("status")) for each in lines] == [
        ("request", 200),
        ("request", 200),
        ("request", 503),
    ]


@pytest.mark.heavy
def test_async_example_server_has_its_configured_pool_size() -> None:
    # No connection is opened before the first request.
    bounds, _, _ = asked("fastapi_app", "postgresql://127.0.0.1:1/nobody", "bounds")
    assert bounds == [3, [], 3]


LEFT: Final = """
import asyncio, asgi_app

path = b"/api/sdk/v1/connections/0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f:revoke"
scope = {"type": "http", "method": "POST", "raw_path": path, "query_string": b"", "headers": []}
messages = [
    {"type": "http.request", "body": b"", "more_body": True},
    {"type": "http.disconnect"},
]
sent = []

async def receive():
    return messages.pop(0)

async def send(message):
    sent.append(message)

asyncio.run(asgi_app.app(scope, receive, send))
print(len(sent), len(messages))
"""


@pytest.mark.slow
def test_asgi_example_serves_no_request_whose_body_is_cut_off(tmp_path: Path) -> None:
    # The guard refuses such a request, but the function may be copied without it.
    path = os.pathsep.join((str(ROOT), str(EXAMPLES)))
    done = subprocess.run(
        [sys.executable, "-c", LEFT],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        timeout=PATIENCE,
    )
    assert (done.stdout, done.stderr) == ("0 0\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("app", ["django_app", "asgi_app"])
def test_example_sends_no_content_length_with_a_304(app: str, tmp_path: Path) -> None:
    # RFC 9110 allows only the length that the 200 would have.
    assert headers_of_304(app, tmp_path) == ["etag"]


# --- Code that a user writes ----------------------------------------------------------------


@pytest.mark.parametrize("app", APPS)
def test_each_example_server_has_at_most_60_lines(app: str) -> None:
    assert len((EXAMPLES / f"{app}.py").read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.heavy
def test_example_refuses_to_start_with_too_large_database_pool(
    postgres_server: sa.URL, tmp_path: Path
) -> None:
    with database(postgres_server) as url:
        given = {"DATABASE_URL": url, "PYTHONPATH": str(ROOT), "WORKERS": "50", "POOL": "100"}
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "flask_app.py")],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **given},
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert re.fullmatch(
        r"WORKERS times POOL must be at most \d+: max_connections is \d+\n", done.stderr
    )
    assert done.stdout == ""


@pytest.mark.heavy
def test_pool_must_leave_ten_database_connections_unused(
    postgres_server: sa.URL, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(postgres_server) as url, engine_of(url) as engine:
        with engine.connect() as connection:
            most = int(connection.exec_driver_sql("SHOW max_connections").scalar_one())
        monkeypatch.setattr(demo, "DATABASE_URL", url)
        monkeypatch.setattr(demo, "BLOCKING_URL", url)
        monkeypatch.setattr(demo, "WORKERS", 1)
        monkeypatch.setattr(demo, "POOL", most - 10)
        demo.prepare()
        monkeypatch.setattr(demo, "POOL", most - 9)
        with pytest.raises(SystemExit, match=f"at most {most - 10}: max_connections is {most}"):
            demo.prepare()
        store = SqlStore(SqlDatabase(engine))
        assert store.caller_of(ApiKey(demo.API_KEY).digest()) is None
    assert capsys.readouterr().out == ""


def test_examples_docs_page_lists_every_setting_and_file() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = list(EXAMPLES.rglob("*.py"))
    read = {
        name
        for file in files
        for name in re.findall(r'os\.environ\.get\("(\w+)"', file.read_text(encoding="utf-8"))
    }
    # Django requires a secret key, which signs nothing here.
    assert read - {"SECRET_KEY"} == set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    for file in EXAMPLES.glob("*.py"):
        assert f"({file.name})" in page


def setting(name: str, given: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return what the examples read from an environment variable."""
    monkeypatch.setenv("DATABASE_URL" if name == "BLOCKING_URL" else name, given)
    return runpy.run_path(str(EXAMPLES / "settings.py"))[name]


@pytest.mark.parametrize("given", ["https://connect.example", "https://connect.example/"])
def test_slash_at_the_end_of_an_examples_public_url_is_dropped(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two slashes before `pages` would lead a browser to a server of that name.
    assert setting("PUBLIC_URL", given, monkeypatch) == "https://connect.example"


@pytest.mark.parametrize(
    ("given", "blocking"),
    [
        ("postgresql+asyncpg://app:secret@db/curae", "postgresql://app:secret@db/curae"),
        ("postgresql://app+live:secret@db/curae", "postgresql://app+live:secret@db/curae"),
        ("mariadb+asyncmy://a+b:c+d:e@db/curae", "mariadb://a+b:c+d:e@db/curae"),
        ("sqlite:///curae.db", "sqlite:///curae.db"),
    ],
)
def test_example_uses_a_blocking_driver_url_to_create_its_tables(
    given: str, blocking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert setting("BLOCKING_URL", given, monkeypatch) == blocking


# --- Django's tables ------------------------------------------------------------------------


def manage(database: Path, *command: str) -> str:
    given = {"DATABASE_URL": f"sqlite:///{database}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "django_app.py"), *command],
        capture_output=True,
        check=True,
        env={**os.environ, **given},
        text=True,
        timeout=PATIENCE,
    )
    return done.stdout


@pytest.mark.slow
def test_django_migrations_match_the_models(tmp_path: Path) -> None:
    assert "No changes" in manage(tmp_path / "new.db", "makemigrations", "--check", "--dry-run")


# Django keeps its own table beside them, and SQLite one for each counter.
TABLES: Final = """
    SELECT name FROM sqlite_master
    WHERE type = 'table' AND name NOT LIKE 'django_%' AND name NOT LIKE 'sqlite_%'
"""


def schema(database: Path) -> dict[str, object]:
    """Return the columns of each table, and the uniqueness and columns of each index."""
    connection = sqlite3.connect(database)
    seen: dict[str, object] = {}
    for (table,) in connection.execute(TABLES).fetchall():
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        indexes = connection.execute(f"PRAGMA index_list({table})").fetchall()
        parts = sorted(
            (unique, *[part[2] for part in connection.execute(f"PRAGMA index_info({name})")])
            for _, name, unique, *_ in indexes
        )
        seen[table] = [column[:4] for column in columns], parts
    connection.close()
    return seen


@pytest.mark.slow
def test_django_and_sqlalchemy_create_the_same_tables(tmp_path: Path) -> None:
    manage(tmp_path / "django.db", "migrate")
    with engine_of(f"sqlite:///{tmp_path / 'sqlalchemy.db'}"):
        expected = schema(tmp_path / "sqlalchemy.db")
    found = schema(tmp_path / "django.db")
    assert "curae_record" in expected
    assert {name: str(each).upper() for name, each in found.items()} == {
        name: str(each).upper() for name, each in expected.items()
    }


@pytest.mark.heavy
def test_django_migrate_accepts_tables_created_by_sqlalchemy(tmp_path: Path) -> None:
    api_key, database = ApiKey("cae_test_1"), tmp_path / "curae.db"
    caller = caller_of("cae_test_1", ApiKeyRequest("app-1", "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"))
    with engine_of(f"sqlite:///{database}") as engine:
        store = SqlStore(SqlDatabase(engine))
        store.register(api_key, caller)
        assert "OK" in manage(database, "migrate")
        assert store.load(Needs(), api_key.digest()).caller == caller
        assert "No migrations to apply" in manage(database, "migrate")


# --- The how-to -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("howto.md", 15), ("upgrades.md", 2)])
def test_code_blocks_of_a_docs_page_run_as_one_program(name: str, count: int) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == count
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)  # noqa: S102 - the page's own code


def test_howto_docs_tables_list_every_effect_and_fact_type() -> None:
    page = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    for heading, kinds in (("| effect |", get_args(Effect)), ("| what happened |", FACTS)):
        table = page.partition(heading)[2].partition("\n\n")[0]
        assert set(re.findall(r"`([A-Z]\w+)`", table)) == {each.__name__ for each in kinds}
