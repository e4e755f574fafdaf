"""Tests of graceful shutdown: responses to started requests, and clients told to reconnect."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic, sleep

import pytest

from curae_lifecycle.servers.guard import AsgiMessage, Guard, Receive, Send
from curae_lifecycle.servers.shutdown import SHUTDOWN_DELAY_SECONDS, GracefulShutdown
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY
from curae_lifecycle.testing.conformance import ApiKeyRequest
from tests.servers import asgi
from tests.servers.asgi import Seen, ask, lifespan, part, run
from tests.support.wire.launched import launched
from tests.support.wire.running import PATIENCE, Behind, engine_of, sqlite
from tests.support.wire.serve import Control

ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
CREATE = "/api/sdk/v1/connections"


@pytest.mark.slow
@pytest.mark.parametrize(
    "app",
    [
        "asgi",
        *(pytest.param(app, marks=pytest.mark.heavy) for app in ("fastapi", "flask", "django")),
    ],
)
def test_graceful_shutdown_answers_requests_already_started(app: str, tmp_path: Path) -> None:
    url, control = sqlite(tmp_path), tmp_path / "control.json"
    Control().write(control)
    with (
        engine_of(url) as engine,
        launched(app, url, tmp_path, workers=2) as server,
        ThreadPoolExecutor() as pool,
        ExitStack() as stack,
    ):
        key = Behind(control, engine).make_key(ApiKeyRequest("app-1", ACCOUNT))
        clients = [
            stack.enter_context(closing(Client(server.port, key, f"user-{number}")))
            for number in range(4)
        ]
        # Each connection belongs to a worker by now.
        assert [each.create("first") for each in clients] == [(201, False)] * 4
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            since = monotonic()
            begun = [pool.submit(each.create, "second") for each in clients[:2]]
            # The log shows that a request waits for the lock.
            while True:
                given_up = any(each.done() for each in begun)
                if "attempt 1" in server.log.read_text():
                    break
                assert not given_up
                sleep(0.02)
            ends = monotonic()
            server.terminate()
            # A client that keeps sending gets answers until it is told to reconnect; so does a
            # client that was idle at the signal.
            for client in clients[2:]:
                told = False
                while not told:
                    assert monotonic() - ends < PATIENCE, (
                        "it goes on as if nobody had asked it to end"
                    )
                    try:
                        status, told = client.state()
                    except (http.client.RemoteDisconnected, ConnectionResetError):
                        # On a slow machine a worker may end before the client sends: it only waits
                        # for a fixed delay.
                        assert monotonic() - ends > SHUTDOWN_DELAY_SECONDS - 0.1
                        break
                    assert status == 200
            connection.exec_driver_sql("ROLLBACK")
        answers = {each.result() for each in begun}
        # On a slow machine the lock may outlast the retry time, and then the answer is a 500.
        took = monotonic() - since
        late = {(500, True), (500, False)} if took > DEFAULT_RETRY_POLICY.seconds - 0.5 else set()
        assert answers <= {(201, True), *late}
        assert server.ended() == 0
        with pytest.raises(ConnectionRefusedError):
            stack.enter_context(closing(Client(server.port, key, "nobody"))).state()


class Client:
    """A client with a persistent connection."""

    def __init__(self, port: int, key: str, user: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._key = key
        self._user = user

    def close(self) -> None:
        self._connection.close()

    def create(self, idempotency_key: str) -> tuple[int, bool]:
        """Create a connection; return the status and whether the connection closes."""
        body = json.dumps({"appUserId": self._user, "dataPackages": ["labs"]})
        key = f"{self._user}-{idempotency_key}"
        return self._ask("POST", path=CREATE, body=body, headers={"Idempotency-Key": key})

    def state(self) -> tuple[int, bool]:
        path = f"/api/sdk/v1/curae-connect/account-state?appUserId={self._user}"
        return self._ask("GET", path=path, body=None, headers={})

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, bool]:
        given = {"Authorization": f"Bearer {self._key}", **headers}
        self._connection.request(method, path, body, given)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.will_close


# --- One worker ---------------------------------------------------------------------------


def test_sigterm_closes_http_connections_then_ends_the_worker() -> None:
    async def scenario() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, ended.set)
        drained: list[str] = []
        guard = Guard(Seen(), max_concurrent=1, drain=lambda: drained.append("drains"))
        leaving = GracefulShutdown(guard, guard.drain, seconds=0.01)
        beginning = lifespan()
        serving = asyncio.create_task(
            leaving({"type": "lifespan"}, beginning.receive, beginning.send)
        )
        await serving
        before = asgi.Client([part(b"", more=False)])
        await ask(leaving, before)
        assert drained == []
        os.kill(os.getpid(), signal.SIGTERM)
        await ended.wait()
        after = asgi.Client([part(b"", more=False)])
        await ask(leaving, after)
        assert b"connection" not in before.headers()
        assert after.headers() == {b"x": b"y", b"connection": b"close"}
        assert after.body() == b"0"
        assert drained == ["drains"]

    run(scenario())


def test_sigterm_before_the_first_request_drains_the_worker() -> None:
    async def scenario() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, ended.set)
        drained: list[str] = []

        async def bare(scope: AsgiMessage, _: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await send({"type": "http.response.start", "status": 204})
                await send({"type": "http.response.body", "more_body": False})

        leaving = GracefulShutdown(bare, lambda: drained.append("drains"), seconds=0.01)
        beginning = lifespan()
        await leaving({"type": "lifespan"}, beginning.receive, beginning.send)
        os.kill(os.getpid(), signal.SIGTERM)
        await ended.wait()
        client = asgi.Client([])
        await ask(leaving, client)
        assert drained == ["drains"]
        # A response may leave its headers out, and only its start has any.
        assert client.heard == [
            {
                "type": "http.response.start",
                "status": 204,
                "headers": [(b"connection", b"close")],
            },
            {"type": "http.response.body", "more_body": False},
        ]

    run(scenario())


def test_worker_ends_after_sigterm_if_its_drain_function_raises() -> None:
    async def scenario() -> None:
        loop, ended, errors = asyncio.get_running_loop(), asyncio.Event(), list[object]()
        loop.add_signal_handler(signal.SIGINT, ended.set)
        loop.set_exception_handler(lambda _, error: errors.append(error["exception"]))
        failure = ConnectionError("no route to the load balancer")

        def drain() -> None:
            raise failure

        leaving = GracefulShutdown(Guard(Seen(), max_concurrent=1), drain, seconds=0.01)
        beginning = lifespan()
        await leaving({"type": "lifespan"}, beginning.receive, beginning.send)
        os.kill(os.getpid(), signal.SIGTERM)
        await ended.wait()
        client = asgi.Client([part(b"", more=False)])
        await ask(leaving, client)
        assert client.headers()[b"connection"] == b"close"
        assert errors == [failure]

    run(scenario())


def test_app_starts_on_an_event_loop_without_signal_handlers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError  # as asyncio's loops on Windows do

    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
        guard = Guard(Seen(), max_concurrent=1)
        beginning = lifespan()
        leaving = GracefulShutdown(guard, guard.drain)
        await leaving({"type": "lifespan"}, beginning.receive, beginning.send)
        assert [each["type"] for each in beginning.heard] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]

    run(scenario())


def test_worker_serves_for_the_given_seconds_after_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        called: list[tuple[object, ...]] = []
        loop = asyncio.get_running_loop()
        handled: dict[int, Callable[[], None]] = {}
        monkeypatch.setattr(loop, "add_signal_handler", handled.__setitem__)
        monkeypatch.setattr(loop, "call_later", lambda *given: called.append(given))
        for seconds in ((), (7.0,)):
            leaving = GracefulShutdown(Seen(), lambda: None, *seconds)
            beginning = lifespan()
            # The app refuses the lifespan itself, as a WSGI app does.
            with pytest.raises(NotImplementedError):
                await leaving({"type": "lifespan"}, beginning.receive, beginning.send)
            handled[signal.SIGTERM]()
        assert called == [
            (seconds, signal.raise_signal, signal.SIGINT)
            for seconds in (SHUTDOWN_DELAY_SECONDS, 7.0)
        ]
        assert list(handled) == [signal.SIGTERM]
        monkeypatch.undo()

    run(scenario())
