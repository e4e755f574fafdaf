"""One program for each pip extra, which works with that extra alone.

    python tests/project/extras.py EXTRA FOLDER

Each runs in an environment without the other extras, so it imports what it needs itself. Its files
are in FOLDER.
"""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Final
from urllib.error import URLError

from curae_lifecycle import (
    ApiKey,
    ApiKeyId,
    AppId,
    AsyncSqlStore,
    Bucket,
    Caller,
    CustomerAccountId,
    Environment,
    MemoryStore,
    RandomIds,
    Request,
    Settings,
    SqlStore,
)
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.stores.contract import AsyncStore, Store

ROOT: Final = Path(__file__).resolve().parents[2]

IDS: Final = RandomIds("https://connect.example/")
# Programs that run at the same time may share a database.
SECRET: Final = f"cae_live_k{os.getpid()}"
KEY: Final = ApiKey(SECRET)
CALLER: Final = Caller(
    api_key_id=ApiKeyId(f"key-{os.getpid()}"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    environment=Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)
CREATE: Final = Request(
    method="POST",
    target="/api/sdk/v1/connections",
    headers=(("Authorization", f"Bearer {SECRET}"), ("Idempotency-Key", "k-1")),
    body=b'{"appUserId": "ada", "dataPackages": ["clinical_summary"]}',
)


def create_twice(store: Store) -> None:
    """Create a connection by a request, and check that a retry repeats the response."""
    endpoint = Endpoint(store, IDS)
    first, second = endpoint(CREATE), endpoint(CREATE)
    assert first.status == 201, first
    assert first.body == second.body


async def create_twice_async(store: AsyncStore) -> None:
    """Do the same on an async store."""
    endpoint = AsyncEndpoint(store, IDS)
    first, second = await endpoint(CREATE), await endpoint(CREATE)
    assert first.status == 201, first
    assert first.body == second.body


def registered() -> MemoryStore:
    """Return a store in memory that knows the API key."""
    store = MemoryStore()
    store.register(KEY, CALLER)
    return store


def is_ready(port: int) -> bool:
    """Wait until a server answers, and return whether its readiness check succeeds."""
    for _ in range(300):
        url = f"http://127.0.0.1:{port}/readyz"
        with suppress(URLError, ConnectionError), urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
        time.sleep(0.1)
    return False


def free_port() -> int:
    """Return a port that no server uses."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_and_stop(command: list[str], port: int, environment: dict[str, str]) -> None:
    """Start a server, check that it gets ready, and that SIGTERM ends it with the status 0."""
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL
    ) as server:
        ready = is_ready(port)
        server.send_signal(signal.SIGTERM)
        assert (ready, server.wait(60)) == (True, 0), (command, ready, server.returncode)


# --- SQL stores ------------------------------------------------------------------------------


def serve_sql(url: str) -> None:
    """Serve the request on a blocking store."""
    from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine

    store = SqlStore(SqlDatabase(create_engine(url, timeout=30)))
    store.create_tables()
    store.register(KEY, CALLER)
    create_twice(store)


def serve_sql_async(url: str) -> None:
    """Serve the request on an async store."""
    from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async

    async def serve() -> None:
        engine = create_engine_async(url, timeout=30)
        store = AsyncSqlStore(AsyncSqlDatabase(engine))
        await store.create_tables()
        await store.register(KEY, CALLER)
        await create_twice_async(store)
        await engine.dispose()

    asyncio.run(serve())


def sql() -> None:
    """Serve on SQLite."""
    serve_sql("sqlite:///extra.db")


def aiosqlite() -> None:
    """Serve on SQLite with async code."""
    serve_sql_async("sqlite+aiosqlite:///extra.db")


def postgresql() -> None:
    """Serve on PostgreSQL, with blocking and with async code."""
    serve_sql(os.environ["POSTGRESQL_URL"])
    serve_sql_async(os.environ["POSTGRESQL_URL"])


def asyncpg() -> None:
    """Serve on PostgreSQL with asyncpg."""
    serve_sql_async(os.environ["POSTGRESQL_URL"].replace("+psycopg", "+asyncpg"))


def mariadb() -> None:
    """Serve on MariaDB."""
    serve_sql(os.environ["MARIADB_URL"])


def asyncmy() -> None:
    """Serve on MariaDB with async code."""
    serve_sql_async(os.environ["MARIADB_URL"].replace("+pymysql", "+asyncmy"))


# --- Other extras -----------------------------------------------------------------------------


def django() -> None:
    """Run the migrations of the app, and serve on Django's own connection."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(
        INSTALLED_APPS=["curae_lifecycle.stores.django"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path("extra.db")}},
    )
    django.setup()
    from curae_lifecycle.stores.django.database import DjangoDatabase

    call_command("migrate", verbosity=0)
    store = SqlStore(DjangoDatabase())
    store.register(KEY, CALLER)
    create_twice(store)


def redis() -> None:
    """Serve with rate limits in Redis, and reach the server with the async client."""
    from curae_lifecycle.stores.redis.clients import AsyncRedis, create_client, create_client_async
    from curae_lifecycle.stores.redis.limits import RedisLimitsStore

    url = os.environ["REDIS_URL"]
    settings = Settings(buckets=(Bucket(name="platform", capacity=2, refill=1, seconds=3600),))
    store = MemoryStore(settings)
    store.register(KEY, CALLER)
    endpoint = Endpoint(RedisLimitsStore(store, create_client(url)), IDS, settings)
    target = "/api/sdk/v1/curae-connect/account-state?appUserId=ada"
    asked = Request(method="GET", target=target, headers=CREATE.headers[:1])
    assert [endpoint(asked).status for _ in range(3)] == [200, 200, 429]

    async def ping() -> None:
        client: AsyncRedis = create_client_async(url)
        assert await client.execute_command("PING")

    asyncio.run(ping())


def prometheus() -> None:
    """Count requests, and read the counters."""
    from curae_lifecycle.servers.metrics import Metrics

    endpoint = Endpoint(registered(), IDS, counters=Metrics())
    assert endpoint(CREATE).status == 201
    assert b"curae_requests_total" in endpoint(Request("GET", "/metrics")).body


APP: Final = """
from curae_lifecycle import MemoryStore, RandomIds
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.web.asgi_wsgi import asgi_body, asgi_headers, asgi_request

endpoint = Endpoint(MemoryStore(), RandomIds("https://connect.example/"))

async def app(scope, receive, send):
    answer = endpoint(asgi_request(scope, await asgi_body(receive) or b""))
    head = {"type": "http.response.start", "status": answer.status}
    await send(head | {"headers": asgi_headers(answer)})
    await send({"type": "http.response.body", "body": answer.body})

served = Guard(app, max_concurrent=10, drain=endpoint.drain)
"""


def servers() -> None:
    """Serve an endpoint behind a guard with Granian."""
    Path("extra_app.py").write_text(APP, encoding="utf-8")
    port = free_port()
    program = (
        "from curae_lifecycle.servers.run import run; "
        f"run('extra_app:served', host='127.0.0.1', port={port}, workers=1)"
    )
    start_and_stop([sys.executable, "-c", program], port, {"PYTHONPATH": "."})


def examples() -> None:
    """Start and stop each example."""
    for name in ("asgi_app", "django_app", "fastapi_app", "flask_app"):
        port = free_port()
        environment = {"PORT": str(port), "DATABASE_URL": f"sqlite:///{name}.db"}
        start_and_stop([sys.executable, str(ROOT / f"docs/examples/{name}.py")], port, environment)


def cli() -> None:
    """Print the tour in colour on a terminal."""
    controller, terminal = pty.openpty()
    child = os.fork()
    if child == 0:
        os.dup2(terminal, 1)
        os.environ |= {"TERM": "xterm", "COLUMNS": "80"}
        os.execv(sys.executable, [sys.executable, "-m", "curae_lifecycle", "tour"])
    os.close(terminal)
    shown = b""
    # Linux reports the end of a terminal as an error.
    with suppress(OSError):
        while chunk := os.read(controller, 65536):
            shown += chunk
    assert os.waitpid(child, 0)[1] == 0
    assert b"\x1b[1;33m" in shown, shown[:400]


def testing() -> None:
    """Draw values of the package with Hypothesis."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    from curae_lifecycle.testing import strategies

    strategies.register()

    @settings(max_examples=20, database=None)
    @given(st.from_type(Request), st.from_type(Settings))
    def draw(request: Request, chosen: Settings) -> None:
        assert isinstance(request, Request)
        assert isinstance(chosen, Settings)

    draw()


def test() -> None:
    """Collect tests that import what the extra installs, and run a file of them."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-q"]
    for more in (
        ["--collect-only", "tests/support", "tests/web", "tests/servers"],
        ["tests/service/test_settings.py"],
    ):
        subprocess.run([*command, *more], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


PROGRAMS: Final[dict[str, Callable[[], None]]] = {
    "aiosqlite": aiosqlite,
    "asyncmy": asyncmy,
    "asyncpg": asyncpg,
    "cli": cli,
    "django": django,
    "examples": examples,
    "mariadb": mariadb,
    "postgresql": postgresql,
    "prometheus": prometheus,
    "redis": redis,
    "servers": servers,
    "sql": sql,
    "test": test,
    "testing": testing,
}

if __name__ == "__main__":
    os.chdir(sys.argv[2])
    PROGRAMS[sys.argv[1]]()
