"""Measure servers with the library beside bare servers and floors: rates and processor time.

    python benchmarks/servers.py            # every row of the page, about 40 minutes
    python benchmarks/servers.py --quick    # a few rows in a minute

It needs everything that the tests over the wire need. Three servers run at once on one database:

- `bare`: one SELECT by key, and one INSERT with a unique id for requests that write;
- `floor`: the least code that could do the work: the library's own statements by hand, so the same
  rows in two prepared statements;
- `ours`: the library.

All three have the same framework, event loop and driver. Each is loaded alone, in rounds that
interleave them; the ratios are medians over the rounds. Clients, servers and database share this
machine, so read the ratios and the processor time, not the rates. Each row ends with the load
average; on a busy machine, read the ratio by processor time.

A slow disk is a PostgreSQL with `fsync` on and `commit_delay` of 10 ms, which waits before each
flush as a slow disk would, and flushes all commits that wait at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final
from uuid import uuid4

import attrs
import sqlalchemy as sa

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import load  # noqa: E402 - found by the line above
from benchmarks.by_hand import Recorder, Recording, record  # noqa: E402 - as above
from benchmarks.load import MakeRequest, http_request  # noqa: E402 - as above
from benchmarks.rates import (  # noqa: E402 - as above
    Turn,
    median_rate,
    median_ratio,
    microseconds,
    processor_ratio,
    processor_time,
)
from benchmarks.worker import BUCKETS  # noqa: E402 - as above
from curae_lifecycle import ApiKey, Caller, Environment, Request, Settings  # noqa: E402 - as above
from curae_lifecycle.rules.values import (  # noqa: E402 - as above
    ApiKeyId,
    AppId,
    CustomerAccountId,
)
from curae_lifecycle.stores.new_ids import RandomIds  # noqa: E402 - as above
from curae_lifecycle.stores.serve import serve  # noqa: E402 - as above
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine  # noqa: E402 - as above
from curae_lifecycle.stores.sql.store import SqlStore  # noqa: E402 - as above
from tests.support.databases.mariadb import mariadb, mariadb_database  # noqa: E402 - as above
from tests.support.databases.postgres import Cluster, cluster, database, processes_of  # noqa: E402 - as above

SIDES: Final = ("bare", "floor", "ours")
KINDS: Final = ("initiate", "get", "reconnect", "replay")
CLIENTS: Final = (1, 4, 16, 64)
BASE: Final = "/api/sdk/v1"
MINT: Final = RandomIds("https://connect.example/")
SLOW_DISK: Final = "-c fsync=on -c commit_delay=10000 -c commit_siblings=0"
_PATIENCE: Final = 60
_WARM_UP: Final = 0.3


@attrs.frozen
class Setup:
    """The values that the three servers share.

    Attributes:
        driver: The beginning of the database's URL, such as `postgresql+asyncpg`.
        framework: `fastapi` or `asgi`.
        loop: `asyncio` or `uvloop`.
        buckets: Whether each request charges a bucket of its API key.
        disk: `fast`, or `slow` for commits that take 10 ms.
    """

    driver: str
    framework: str = "fastapi"
    loop: str = "asyncio"
    buckets: bool = False
    disk: str = "fast"

    def __str__(self) -> str:
        bucket = "bucket" if self.buckets else "no bucket"
        return f"{self.driver} {self.framework} {self.loop}, {bucket}, {self.disk} disk"


@attrs.frozen
class Place:
    """A database server.

    Attributes:
        url: The URL of a new database.
        data: The server's data directory; `None` if the database is a file.
    """

    url: sa.URL
    data: Path | None

    def processes(self) -> list[int]:
        """Return the database's processes; none if it is a file that the server opens."""
        if self.data is None:
            return []
        if self.url.get_backend_name() == "mariadb":
            return [int(file.read_text()) for file in self.data.glob("*.pid")]
        return processes_of(self.data)


# --- Preparing ------------------------------------------------------------------------------


def api_key(client: int) -> str:
    """Return the API key of a client. Each has its own, so that no two charge the same bucket."""
    return f"cae_live_benchmark_{client}"


def caller(client: int) -> Caller:
    """Return the caller of a client's API key."""
    return Caller(
        api_key_id=ApiKeyId(f"key-{client}"),
        app_id=AppId("app-1"),
        customer_account_id=CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
        environment=Environment.LIVE,
        scopes=frozenset({"connection:write"}),
    )


@attrs.frozen
class Client:
    """A client of the load.

    Attributes:
        number: Its number, from 0.
        name: A text that no other client has.
        connection: The id of a revoked connection of the client.
    """

    number: int
    name: str
    connection: str


@attrs.frozen
class Asked:
    """A request of the load, without its headers."""

    method: str
    path: str
    body: Mapping[str, object] | None = None
    key: str | None = None

    def headers(self, client: int) -> tuple[tuple[str, str], ...]:
        """Return the headers of the request from a client."""
        authorization = ("Authorization", f"Bearer {api_key(client)}")
        return (authorization, *([] if self.key is None else [("Idempotency-Key", self.key)]))

    def encoded(self) -> bytes:
        """Return the body as JSON; empty if there is none."""
        return b"" if self.body is None else json.dumps(self.body).encode()


def post(path: str, body: Mapping[str, object], key: str) -> Asked:
    """Return a POST request with a body and an idempotency key."""
    return Asked("POST", f"{BASE}/{path}", body=body, key=key)


def asked(kind: str, client: Client, unique: str) -> Asked:
    """Return a client's request.

    Args:
        kind: One of `KINDS`.
        client: The client.
        unique: A text that no other request has.
    """
    match kind:
        case "get":
            return Asked("GET", f"{BASE}/connections/{client.connection}")
        case "reconnect":
            return post(f"connections/{client.connection}:reconnect", {}, unique)
        case _:
            # Each initiate has another user, so that no user reaches the limit.
            named = f"{client.name}-replayed" if kind == "replay" else unique
            return post("curae-connect/initiate", {"appUserId": named}, named)


class Prepared:
    """Stored values that the clients need, and the recordings of the floor."""

    def __init__(self, url: str, settings: Settings, clients: int) -> None:
        self._settings = settings
        self._engine = create_engine(url, timeout=_PATIENCE)
        self._recorder = Recorder(SqlDatabase(self._engine))
        self._store = SqlStore(self._recorder, settings)
        self._store.create_tables()
        with self._engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE bare (id VARCHAR(64) PRIMARY KEY, body TEXT)")
            for client in range(clients):
                row = f"('known-{client}', 'body')"
                connection.exec_driver_sql(f"INSERT INTO bare (id, body) VALUES {row}")  # noqa: S608 - no input
        self.clients = [self._register(client) for client in range(clients)]

    def _register(self, number: int) -> Client:
        self._store.register(ApiKey(api_key(number)), caller(number))
        name = str(uuid4())
        create = {"appUserId": name, "dataPackages": ["labs"]}
        created = self._ask(number, post("connections", create, f"{name}-create"))
        client = Client(number, name, str(created["connection"]["id"]))
        self._ask(number, post(f"connections/{client.connection}:revoke", {}, f"{name}-revoke"))
        self._ask(number, asked("replay", client, ""))
        return client

    def _ask(self, number: int, request: Asked) -> dict[str, dict[str, object]]:
        headers = tuple([(name.lower(), value) for name, value in request.headers(number)])
        sent = Request(
            method=request.method, target=request.path, headers=headers, body=request.encoded()
        )
        answer = serve(self._store, sent, id_factory=MINT, settings=self._settings)
        assert answer.response.status < 300, answer.response.body  # noqa: PLR2004 - a success
        found: dict[str, dict[str, object]] = json.loads(answer.response.body)
        return found

    def _ask_once(self, kind: str, client: Client) -> None:
        self._ask(client.number, asked(kind, client, uuid4().hex))

    def recordings(self) -> dict[str, list[Recording]]:
        """Record one request of each kind for each client.

        They use new connections, which only the floor uses afterwards.
        """
        found: dict[str, list[Recording]] = {kind: [] for kind in KINDS}
        for number in range(len(self.clients)):
            client = self._register(number)
            # The first reconnect creates a successor; each later one issues its page again.
            self._ask_once("reconnect", client)
            for kind in KINDS:
                found[kind].append(record(self._recorder, partial(self._ask_once, kind, client)))
        return found

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()


# --- Running --------------------------------------------------------------------------------


@attrs.frozen
class Server:
    """A running server."""

    port: int
    process: int


@contextmanager
def servers(setup: Setup, url: str, directory: Path) -> Iterator[dict[str, Server]]:
    """Start the three servers, yield them by side, and stop them at the end of the block."""
    environment = {**os.environ, "DATABASE_URL": url, "BUCKETS": "1" if setup.buckets else ""}
    running: list[subprocess.Popen[str]] = []
    found: dict[str, Server] = {}
    try:
        with (directory / "log").open("w") as log:
            for side in SIDES:
                arguments = [side, setup.framework, setup.loop, str(directory / "recordings.json")]
                process = subprocess.Popen(
                    [sys.executable, str(ROOT / "benchmarks" / "worker.py"), *arguments],
                    cwd=directory,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
                running.append(process)
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, (directory / "log").read_text()[-4000:]
                found[side] = Server(int(line), process.pid)
        yield found
    finally:
        for process in running:
            process.communicate(timeout=_PATIENCE)


def makers(side: str, kind: str, clients: Sequence[Client]) -> list[MakeRequest]:
    """Return a function for each client that builds the client's requests to a side."""
    # The idempotency keys of an earlier turn would be replayed.
    turn = uuid4().hex[:8]

    def make(client: Client, number: int) -> bytes:
        request = asked(kind, client, f"{turn}-{client.number}-{number}")
        path = request.path if side == "ours" else f"/{kind}/{client.number}"
        headers = request.headers(client.number)
        return http_request(request.method, path, headers=headers, body=request.encoded())

    return [partial(make, client) for client in clients]


@attrs.frozen
class Lengths:
    """The number of rounds, and the seconds of each turn."""

    rounds: int
    seconds: float


def measure(
    kind: str,
    clients: int,
    *,
    found: dict[str, Server],
    prepared: Prepared,
    place: Place,
    lengths: Lengths,
) -> dict[str, list[Turn]]:
    """Load the three servers in turn, and return the turns of each."""
    turns: dict[str, list[Turn]] = {side: [] for side in SIDES}
    for round_ in range(lengths.rounds + 1):
        # Every other round is in the opposite order; the first one only warms up.
        for side in SIDES if round_ % 2 else SIDES[::-1]:
            server = found[side]
            seconds = lengths.seconds if round_ else _WARM_UP
            made = makers(side, kind, prepared.clients[:clients])
            before = processor_time([server.process]), processor_time(place.processes())
            done, took = asyncio.run(load.run(server.port, made, seconds))
            after = processor_time([server.process]), processor_time(place.processes())
            if round_:
                turns[side].append(
                    Turn(done, took, server=after[0] - before[0], database=after[1] - before[1])
                )
    return turns


def row(kind: str, clients: int, turns: dict[str, list[Turn]]) -> str:
    """Return a row of the table."""
    rates = [f"{median_rate(turns[side]):,.0f}" for side in SIDES]
    times = [
        f"{server:,.0f} / {base:,.0f}"
        for server, base in (microseconds(turns[side]) for side in SIDES)
    ]
    of_floor = f"**{median_ratio(turns['ours'], turns['floor']):.2f}**"
    by_time = f"{processor_ratio(turns['ours'], turns['floor']):.2f}"
    of_bare = f"{median_ratio(turns['ours'], turns['bare']):.2f}"
    cells = [
        kind,
        str(clients),
        *rates,
        of_floor,
        by_time,
        of_bare,
        *times,
        f"{os.getloadavg()[0]:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD: Final = (
    "| request | clients | bare | floor | ours | of the floor | by processor time | of bare "
    "| µs bare | µs floor | µs ours | load |\n" + "| --- " * 12 + "|"
)


def slow_down(started: Cluster) -> None:
    """Restart a PostgreSQL so that its commits take 10 ms, as on a slow disk."""
    started.settings = started.settings.replace("-c fsync=off", SLOW_DISK)
    started.stop("fast")
    started.start()


@contextmanager
def place_for(setup: Setup, directory: Path) -> Iterator[Place]:
    """Yield a new database, on a new database server unless it is SQLite."""
    with ExitStack() as stack:
        if setup.driver.startswith("sqlite"):
            url = sa.URL.create(setup.driver, database=str(directory / "curae.db"))
            yield Place(url, None)
        elif setup.driver.startswith("mariadb"):
            server = stack.enter_context(mariadb())
            made = stack.enter_context(mariadb_database(server))
            socket = str(server.query.get("unix_socket", ""))
            data = Path(socket).parent / "data"
            yield Place(sa.make_url(made).set(drivername=setup.driver), data)
        else:
            started: Cluster = stack.enter_context(cluster())
            if setup.disk == "slow":
                slow_down(started)
            made = stack.enter_context(database(started.url))
            yield Place(sa.make_url(made).set(drivername=setup.driver), started.data)


def run(setup: Setup, kinds: Sequence[str], clients: Sequence[int], lengths: Lengths) -> None:
    """Measure a setup and print its rows."""
    print(f"\n{setup}\n\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        with place_for(setup, directory) as place:
            plain = place.url.set(drivername=place.url.get_backend_name())
            url = plain.render_as_string(hide_password=False)
            settings = Settings(buckets=BUCKETS if setup.buckets else ())
            prepared = Prepared(url, settings, max(clients))
            stored = {
                kind: [attrs.asdict(each) for each in found]
                for kind, found in prepared.recordings().items()
            }
            (directory / "recordings.json").write_text(json.dumps(stored))
            named = place.url.render_as_string(hide_password=False)
            if setup.driver in {"sqlite", "mariadb"}:
                named = url
            with servers(setup, named, directory) as found:
                for kind, number in product(kinds, clients):
                    turns = measure(
                        kind, number, found=found, prepared=prepared, place=place, lengths=lengths
                    )
                    print(row(kind, number, turns), flush=True)
            prepared.close()


ASYNCPG: Final = "postgresql+asyncpg"
PSYCOPG: Final = "postgresql+psycopg"
WRITES: Final = ("initiate", "reconnect")
PLAN: Final[tuple[tuple[Setup, tuple[str, ...], tuple[int, ...]], ...]] = (
    # setup, kinds, clients
    (Setup(ASYNCPG), KINDS, CLIENTS),
    (Setup(ASYNCPG, buckets=True), KINDS, CLIENTS),
    (Setup(ASYNCPG, disk="slow"), WRITES, CLIENTS),
    (Setup(ASYNCPG, disk="slow", buckets=True), KINDS, CLIENTS),
    (Setup(ASYNCPG, framework="asgi"), KINDS, CLIENTS),
    (Setup(ASYNCPG, framework="asgi", loop="uvloop"), ("initiate", "get"), (4, 16)),
    (Setup(PSYCOPG), KINDS, CLIENTS),
    (Setup(PSYCOPG, framework="asgi"), ("initiate", "get"), (4, 16)),
    (Setup("sqlite"), KINDS, (1, 4, 16)),
    (Setup("sqlite+aiosqlite"), ("initiate", "get"), (1, 4, 16)),
    (Setup("mariadb"), KINDS, (1, 4, 16)),
    (Setup("mariadb+asyncmy"), ("initiate", "get"), (4, 16)),
)


def main() -> None:
    """Measure all setups, or those whose name contains a text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="setups whose name holds this text")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="these kinds of requests")
    parser.add_argument("--clients", nargs="+", type=int, help="these numbers of clients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="the length of a turn")
    parser.add_argument("--quick", action="store_true", help="a few rows in a minute")
    given = parser.parse_args()
    lengths = Lengths(given.rounds, given.seconds)
    plan = [*PLAN] if not given.only else [each for each in PLAN if given.only in str(each[0])]
    if given.quick:
        plan = [(Setup(ASYNCPG), KINDS, (4,))]
        lengths = Lengths(3, 0.5)
    for setup, kinds, clients in plan:
        run(setup, given.kinds or kinds, given.clients or clients, lengths=lengths)


if __name__ == "__main__":
    main()
