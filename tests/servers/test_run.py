"""Tests of `run`, which starts the server software with its limits set."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from http.client import RemoteDisconnected
from pathlib import Path
from time import monotonic, sleep

import pytest
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers import guard
from curae_lifecycle.servers import run as running
from curae_lifecycle.servers.shutdown import GracefulShutdown
from curae_lifecycle.web.request import BODY_MAX, Request
from tests.support.paths import ROOT
from tests.support.ports import free_port, wait_for
from tests.support.wire.launched import Launched, launched
from tests.support.wire.running import PATIENCE, send, sqlite

TARGET = f"{__name__}:served"


class Started:
    """The arguments of the server software."""

    given: dict[str, object]
    loader: Callable[[str], object]

    def __init__(self, target: str, **given: object) -> None:
        Started.given = {"target": target, **given}

    def serve(self, target_loader: Callable[[str], object]) -> None:
        Started.loader = target_loader


def test_function_run_passes_its_limits_to_the_granian_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "Granian", Started)
    monkeypatch.setattr("gc.freeze", lambda: None)
    running.run(TARGET, host="127.0.0.1", port=1, workers=3)
    # Without `log_access`: the access log of the software would show paths.
    assert Started.given == {
        "target": TARGET,
        "address": "127.0.0.1",
        "port": 1,
        "interface": Interfaces.ASGI,
        "workers": 3,
        "websockets": False,
        "http": HTTPModes.http1,
        "http1_settings": running.HEADERS,
        "backpressure": running.CONNECTIONS,
        "log_level": LogLevels.warning,
        "respawn_failed_workers": True,
        "respawn_interval": running.IMPORT_SECONDS,
        "workers_kill_timeout": running.DRAIN_SECONDS,
    }
    app = Started.loader(TARGET)
    assert isinstance(app, GracefulShutdown)
    assert (app._app, app._drain) == (served, served.drain)
    with pytest.raises(ArgumentError, match=r"^target: must be the module and the name of a Guard"):
        Started.loader(f"{__name__}:plain")
    with pytest.raises(ArgumentError, match=r"^target: must be the module and the name of a Guard"):
        Started.loader(":served")


@pytest.mark.slow
def test_loaded_app_is_exempt_from_garbage_collection() -> None:
    # In another process: this one would keep the garbage of later tests.
    loaded = f"import gc; from curae_lifecycle.servers.run import load; load({TARGET!r})"
    counts = "print(gc.get_freeze_count(), len(gc.get_objects()))"
    ran = subprocess.run(
        [sys.executable, "-c", f"{loaded}; {counts}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    frozen, others = map(int, ran.stdout.split())
    assert frozen > 10 * others


def test_worker_has_default_sigterm_handler_while_it_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []

    def import_module(name: str) -> object:
        seen.append(signal.getsignal(signal.SIGTERM))
        return sys.modules[name]

    monkeypatch.setattr(running, "import_module", import_module)
    monkeypatch.setattr("gc.freeze", lambda: None)
    # A forked worker has the handler of granian's first process.
    earlier = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        running.load(TARGET)
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert seen == [signal.SIG_DFL]


SLOW_START = """
import sys
from time import sleep
from curae_lifecycle.servers.run import run

if __name__ == "__main__":
    run("slow_start:served", host="127.0.0.1", port=int(sys.argv[1]), workers=1)
else:
    print("importing", flush=True)
    sleep(600)
"""


@pytest.mark.slow
def test_sigterm_while_a_worker_still_imports_ends_the_server(tmp_path: Path) -> None:
    program = tmp_path / "slow_start.py"
    program.write_text(SLOW_START)
    process = subprocess.Popen(
        [sys.executable, str(program), str(free_port())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Granian warns of a worker that it has to kill.
    assert (output, process.returncode) == ("", 0)


FAILING = """
import sys
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.servers.run import run

async def app(scope, receive, send):
    raise ValueError("a secret")

configure_logging()
served = Guard(app, max_concurrent=1)
if __name__ == "__main__":
    run("failing:served", host="127.0.0.1", port=int(sys.argv[1]), workers=1)
"""


@pytest.mark.slow
def test_server_output_hides_the_text_of_an_apps_exception(tmp_path: Path) -> None:
    program, port = tmp_path / "failing.py", free_port()
    program.write_text(FAILING)
    process = subprocess.Popen(
        [sys.executable, str(program), str(port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        wait_for(port, lambda: process.poll() is None)
        assert send(("127.0.0.1", port), Request("GET", "/")).status == 500
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "the app failed: ValueError at " in output
    assert "failing:8" in output
    assert "a request failed outside of the endpoint" in output
    assert "a secret" not in output


SLOW_RESTART = """
import os, sys
from pathlib import Path
from time import sleep
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.run import run

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

if __name__ == "__main__":
    run("slow_restart:served", host="127.0.0.1", port=int(sys.argv[1]), workers=1)
elif Path("started").exists():
    # Longer than granian waits by default.
    sleep(5)
Path("started").touch()
served = Guard(app, max_concurrent=1)
"""


@pytest.mark.heavy
def test_server_keeps_listening_while_sighup_replaces_a_worker(tmp_path: Path) -> None:
    program, port = tmp_path / "slow_restart.py", free_port()
    program.write_text(SLOW_RESTART)
    process = subprocess.Popen(
        [sys.executable, str(program), str(port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        wait_for(port, lambda: process.poll() is None)
        known = send(("127.0.0.1", port), Request("GET", "/")).body
        process.send_signal(signal.SIGHUP)
        end, body = monotonic() + PATIENCE, known
        while body == known:
            assert monotonic() < end
            # The old worker may end a connection that it has not served yet, but none is refused.
            with suppress(ConnectionResetError, RemoteDisconnected):
                body = send(("127.0.0.1", port), Request("GET", "/")).body
            sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


@pytest.mark.heavy
def test_crash_loop_of_one_worker_ends_server_with_exit_status_1(tmp_path: Path) -> None:
    with launched("asgi", sqlite(tmp_path), tmp_path, workers=2) as server:
        known = worker_pids(server)
        assert len(known) == 2
        os.kill(min(known), signal.SIGKILL)
        new = wait_for_workers(server, known)
        assert len(new) == 1
        # The killed worker may have been the only one that listened.
        wait_for(server.port, lambda: server.process.poll() is None)
        assert send(server.place, Request("GET", "/")).status == 401
        # After a pause of the machine between two kills, the server goes on.
        while new:
            os.kill(min(new), signal.SIGKILL)
            known |= new
            new = wait_for_workers(server, known)
        assert server.ended() == 1
        assert worker_pids(server) == set()
    assert "crash loop" in server.log.read_text()


def worker_pids(server: Launched) -> set[int]:
    """Return the process ids of a server's workers; none if the server has ended."""
    pid = server.process.pid
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return set()
    return {int(each) for each in listed.split()}


def wait_for_workers(server: Launched, known: set[int]) -> set[int]:
    """Return the new workers once there is one, or none once the server has ended."""
    end = monotonic() + PATIENCE
    while monotonic() < end and server.process.poll() is None:
        new = worker_pids(server) - known
        if new:
            return new
        sleep(0.02)
    return set()


PAGE = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")


def test_program_on_servers_docs_page_wraps_its_app_in_a_guard() -> None:
    block = PAGE.split("```python\n")[1].split("```")[0]
    namespace: dict[str, object] = {"app": plain, "__name__": "my_module"}
    exec(block, namespace)  # noqa: S102 - the page's own code
    assert isinstance(namespace["served"], guard.Guard)
    assert namespace["run"] is running.run


@pytest.mark.parametrize(
    ("what", "bound"),
    [
        ("the headers of a request, and a connection", running.HEADERS.header_read_timeout / 1000),
        ("their size", running.HEADERS.max_buffer_size / 1024),
        ("connections of a worker", running.CONNECTIONS),
        ("a body, in seconds", guard.BODY_SECONDS),
        ("a body, in bytes", BODY_MAX),
        ("the wait for a slot", guard.QUEUE_SECONDS),
        ("shutdown", running.DRAIN_SECONDS),
    ],
)
def test_servers_docs_page_states_each_limit_of_the_server(what: str, bound: float) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {what}")]
    assert re.search(rf"\b{bound:,.0f}\b", row.split("|")[2]), row


async def plain(scope: object, receive: object, send: object) -> None:
    """Serve nothing: an app for a test that never asks it."""


served = guard.Guard(plain, max_concurrent=1)
