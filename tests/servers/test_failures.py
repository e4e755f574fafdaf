"""Tests of servers with missing tables, failing databases and long bodies."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.support.wire.running import (
    PATIENCE,
    Behind,
    RunningServer,
    engine_of,
    running_server,
    said,
    sqlite,
)
from tests.support.wire.serve import Control
from tests.support.wire.visiting import pressed

ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
APPS = [
    "fastapi",
    *(pytest.param(app, marks=pytest.mark.heavy) for app in ("flask", "asgi", "django")),
]


@pytest.mark.slow
@pytest.mark.parametrize("app", APPS)
def test_missing_database_table_gives_500_and_logs_no_secret(app: str, tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    with running_server(app, url, tmp_path) as server, engine_of(url) as engine:
        api_key = Behind(server.control, engine).make_key(ApiKeyRequest("app-1", ACCOUNT))
        headers = (("Authorization", f"Bearer {api_key}"), ("Idempotency-Key", "a-secret-key"))
        body = b'{"appUserId": "mary-smith", "dataPackages": ["labs"]}'
        create = Request(
            method="POST", target="/api/sdk/v1/connections", headers=headers, body=body
        )
        # A server that answers has created its tables.
        assert server.send(Request("GET", "/")).status == 401
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE curae_connection RENAME TO elsewhere")
        answer = server.send(create)
        assert answer.status == 500
        assert dict(answer.headers)["content-type"] == "application/problem+json"
        assert dict(answer.headers)["retry-after"] == "1"
        problem = json.loads(answer.body)
        assert (problem["code"], problem["retryable"]) == ("INTERNAL", True)
        # Nothing was stored: the same key executes once the table exists again.
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO curae_connection")
        assert server.send(create).status == 201
    (line,) = said(server.log)
    assert "OperationalError" in line
    for secret in (api_key, "a-secret-key", "mary-smith", "/pages/"):
        assert secret not in line


@pytest.mark.slow
@pytest.mark.parametrize("app", APPS)
def test_server_creates_its_database_tables_at_the_start(app: str, tmp_path: Path) -> None:
    with running_server(app, sqlite(tmp_path), tmp_path) as server:
        unknown = (("Authorization", "Bearer cae_live_unknown"),)
        assert server.send(Request("GET", "/", unknown)).status == 401
    assert said(server.log) == []


@pytest.mark.slow
@pytest.mark.parametrize("app", APPS)
def test_locked_database_does_not_block_other_requests(app: str, tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    # Attempts are short and many, so that the test sees one fail.
    Control(wait=0.1).write(tmp_path / "control.json")
    with (
        running_server(app, url, tmp_path) as server,
        engine_of(url) as engine,
        ThreadPoolExecutor() as pool,
    ):
        api_key = Behind(server.control, engine).make_key(ApiKeyRequest("app-1", ACCOUNT))
        headers = (("Authorization", f"Bearer {api_key}"), ("Idempotency-Key", "one"))
        body = b'{"appUserId": "ada", "dataPackages": ["labs"]}'
        create = Request(
            method="POST", target="/api/sdk/v1/connections", headers=headers, body=body
        )
        # A server that answers has created its tables.
        assert server.send(Request("GET", "/")).status == 401
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            created = pool.submit(server.send, create)
            # Wait until the first attempt has failed.
            while not said(server.log):
                assert not created.done()
                assert server.send(Request("GET", "/")).status == 401
            connection.exec_driver_sql("ROLLBACK")
        # It retried until the lock was free.
        assert created.result().status == 201


@pytest.mark.heavy
@pytest.mark.parametrize("app", ["fastapi", "flask"])
def test_hosted_page_gives_503_while_the_database_is_locked(app: str, tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    # The default limits apply.
    Control(patience=None, wait=None).write(tmp_path / "control.json")
    with running_server(app, url, tmp_path) as server, engine_of(url) as engine:
        api_key = Behind(server.control, engine).make_key(ApiKeyRequest("app-1", ACCOUNT))
        headers = (("Authorization", f"Bearer {api_key}"), ("Idempotency-Key", "one"))
        body = b'{"appUserId": "ada", "dataPackages": ["labs"]}'
        created = server.send(
            Request(method="POST", target="/api/sdk/v1/connections", headers=headers, body=body)
        )
        finish = pressed(json.loads(created.body)["nextAction"]["url"], "finish")
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            refused = server.send(finish)
            assert refused.status == 503
            assert b"Please try again in a moment." in refused.body
            connection.exec_driver_sql("ROLLBACK")
        assert server.send(finish).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("app", APPS)
def test_oversized_body_is_cut_off_within_bounded_memory(app: str, tmp_path: Path) -> None:
    with running_server(app, sqlite(tmp_path), tmp_path) as server:
        stranger = Request(method="POST", target="/", headers=(), body=b"")
        assert server.send(stranger).status == 401
        before = most_memory(server)
        taken, answer = send_long_body(server.port, 200_000_000)
        assert answer.startswith(b"HTTP/1.1 401")
        assert taken < 50_000_000
        assert most_memory(server) - before < 50_000
        # Only its own connection has ended.
        assert server.send(stranger).status == 401
    (line,) = said(server.log)
    assert "the guard cut a body off" in line


def send_long_body(port: int, length: int) -> tuple[int, bytes]:
    """Send a body until the server reads no more; return the bytes sent and the response."""
    taken = 0
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % length
        connection.sendall(head)
        with suppress(BrokenPipeError, ConnectionResetError):
            while taken < length:
                taken += connection.send(b" " * 65_536)
        return taken, connection.recv(65_536)


def most_memory(server: RunningServer) -> int:
    """Return the peak memory of a process, in kilobytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])
