"""Servers in other processes: start, stop, and access to their databases."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ApiKeyId, ConnectionId, Environment
from curae_lifecycle.servers.endpoint import REQUEST_ID_HEADER
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import ApiKeyRequest, Server
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of
from curae_lifecycle.web.request import Request
from tests.lab.engines.hosts import Host
from tests.support.wire.databases import MovedDatabase
from tests.support.wire.forked import LOCAL, fork
from tests.support.wire.serve import Control, read_control
from tests.support.wire.visiting import Visitor

PATIENCE: Final = 60
"""Seconds after which a silent server counts as dead."""


RACES: Final = 3
"""The number of rounds of a race over sockets."""


class ServerEndedError(AssertionError):
    """A server ended before it served, for example without its database."""


# --- Servers --------------------------------------------------------------------------------


@attrs.define
class RunningServer:
    """A server in another process."""

    app: str
    url: str
    control: Path
    log: Path
    process: ForkServerProcess
    port: int
    skew: int = 0
    host: Host | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Its address and its port."""
        return LOCAL if self.host is None else self.host.address, self.port

    def send(self, request: Request) -> Response:
        """Send a request unchanged over a new socket."""
        return send(self.place, request)

    def pause(self) -> None:
        """Pause it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        self.process.kill()
        self.process.join(PATIENCE)
        self.process.close()


def said(log: Path) -> list[str]:
    """Return the lines of a server's log, without those of requests."""
    lines = log.read_text().splitlines()
    return [line for line in lines if not is_request(line)]


def is_request(line: str) -> bool:
    """Return whether a log line is about a request."""
    try:
        return bool(json.loads(line)["message"] == "request")
    except (ValueError, KeyError, TypeError):
        return False


def send(place: tuple[str, int], request: Request, patience: float = PATIENCE) -> Response:
    """Send a request unchanged to an address and a port."""
    address, port = place
    connection = http.client.HTTPConnection(address, port, timeout=patience)
    try:
        connection.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        connection.putheader("Host", f"{address}:{port}")
        for name, value in request.headers:
            connection.putheader(name, value)
        body = request.body
        assert isinstance(body, bytes)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        headers = tuple([(name.lower(), value) for name, value in answer.getheaders()])
        return Response(answer.status, headers, answer.read())
    finally:
        connection.close()


def start_server(
    app: str, url: str, directory: Path, port: int = 0, skew: int = 0, host: Host | None = None
) -> RunningServer:
    """Start an example on a database, with its control file and log in the folder.

    Args:
        app: The example.
        url: The database.
        directory: The folder.
        port: The port; 0 for a free one.
        skew: How far its clock is ahead of the control file's, in microseconds.
        host: Its host, or None for this machine.

    Raises:
        ServerEndedError: If it ended before it served.
    """
    directory.mkdir(exist_ok=True)
    control, log = directory / "control.json", directory / "log"
    if not control.exists():
        Control().write(control)
    environment = {**os.environ, "DATABASE_URL": url, "SKEW": str(skew)}
    process, listens = fork(
        app, control=control, port=port, environment=environment, log=log, host=host
    )
    if listens is None:
        process.join(PATIENCE)
        process.close()
        raise ServerEndedError(f"{app} did not start:\n{log.read_text()[-4000:]}")
    return RunningServer(
        app=app,
        url=url,
        control=control,
        log=log,
        process=process,
        port=listens,
        skew=skew,
        host=host,
    )


@contextmanager
def running_server(app: str, url: str, directory: Path) -> Iterator[RunningServer]:
    """Run a server within the block."""
    server = start_server(app, url, directory)
    try:
        yield server
    finally:
        server.kill()


# --- Databases ------------------------------------------------------------------------------


def sqlite(directory: Path) -> str:
    """Return the URL of an SQLite file in the folder."""
    return f"sqlite:///{directory / 'curae.db'}"


@contextmanager
def engine_of(url: str) -> Iterator[sa.Engine]:
    """Yield an engine of a database with its tables, as the examples see it."""
    engine = create_engine(url, timeout=PATIENCE)
    SqlStore(SqlDatabase(engine)).create_tables()
    try:
        yield engine
    finally:
        engine.dispose()


# --- Behind a server ------------------------------------------------------------------------


class Behind(FactHooks):
    """The actions of a platform beside its API: keys, facts, settings and the clock.

    All of them use the database of a running server directly, at the time of its clock.
    """

    def __init__(self, control: Path, engine: sa.Engine) -> None:
        self.control = control
        self.engine = engine
        self.store = SqlStore(
            MovedDatabase(SqlDatabase(engine), lambda: read_control(control).ahead)
        )
        self._numbers = count(1)
        self._posted: dict[int, dict[str, Json]] = {}

    def now(self) -> datetime:
        return read_control(self.control).now()

    def make_key(self, wanted: ApiKeyRequest) -> str:
        text = f"cae_{wanted.environment}_{next(self._numbers)}"
        self.register_again(text, wanted)
        return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.store.register(ApiKey(api_key), caller_of(api_key, wanted))

    def change_key_id(self, api_key: str, wanted: ApiKeyRequest) -> None:
        caller = caller_of(api_key, wanted)
        changed = ApiKeyId(f"{caller.api_key_id}-{next(self._numbers)}")
        self.store.register(ApiKey(api_key), attrs.evolve(caller, api_key_id=changed))

    def withdraw(self, api_key: str) -> None:
        self.store.withdraw(ApiKey(api_key))

    def outbox(self) -> list[dict[str, Json]]:
        # No message is delivered here, so all are still in the table.
        query = "SELECT id, document FROM curae_outbox ORDER BY id"
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql(query).all()
        new = {number: text for number, text in found if number not in self._posted}
        self._posted |= {number: json.loads(text) for number, text in new.items()}
        return [self._posted[number] for number, _ in found]

    def pass_time(self, span: timedelta) -> None:
        self._move_clock(span)
        self.store.purge()

    def turn_clock_back(self, span: timedelta) -> None:
        self._move_clock(-span)

    def _move_clock(self, span: timedelta) -> None:
        control = read_control(self.control)
        ahead = control.ahead + span // timedelta(microseconds=1)
        attrs.evolve(control, ahead=ahead).write(self.control)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        rows = tuple(
            [(each.name, each.capacity, each.refill, each.seconds) for each in buckets or ()]
        )
        attrs.evolve(read_control(self.control), buckets=rows).write(self.control)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM curae_bucket")

    def clock(self) -> datetime:
        return self.now()

    def record_fact(self, fact: Fact, store: Store | None = None) -> FactAnswer:
        # A longer limit than a server's, since there is no retry here.
        policy = RetryPolicy(attempts=1000, seconds=PATIENCE)
        return record(store or self.store, fact, retry_policy=policy)

    def may_read(self, connection_id: str, package: str) -> bool:
        asked = Needs(connection=ConnectionId(connection_id))
        loaded = self.store.load(asked).snapshot
        held, era = loaded.connection, present_era(loaded.binding)
        assert held is not None
        return isinstance(decide_access(held, package, self.now(), era=era), Granted)


def conformance_server(
    server: RunningServer, behind: Behind, environment: Environment | None = None
) -> Server:
    """Return a running server for the conformance kit, with every hook."""
    visitor = Visitor(server.send)
    return attrs.evolve(
        behind.as_server(server.send, environment),
        turn_clock_back=behind.turn_clock_back,
        change_key_id=behind.change_key_id,
        withdraw=behind.withdraw,
        finish=visitor.finish,
        cancel=visitor.cancel,
        purge=behind.store.purge,
        outbox=behind.outbox,
        race_rounds=RACES,
        varying_headers=frozenset({REQUEST_ID_HEADER}),
    )
