"""Measure what slow and hostile clients cost a normal client, and what SIGTERM costs.

    python benchmarks/strangers.py [APP...]

The script starts each example by its command, with two workers on a SQLite file, and measures

- the median and the 99th percentile of a normal client's time: alone, beside 500 slow clients that
  send half of their headers, and beside 500 that send half of a body; and the seconds until the
  last of the slow clients was cut off;
- how much of a body of 200 MB the server took before it responded to a client without a key;
- how many requests got a response, and how many were lost, while SIGTERM came. Eight clients reuse
  their connections, and eight open a new one for each request. A request is lost if its connection
  ended before the response was complete. A connection that was never accepted loses nothing.

Clients and workers share this machine's cores, so read the ratios.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final
from uuid import uuid4

import attrs

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from curae_lifecycle.testing.conformance import ApiKeyRequest  # noqa: E402 - found by the line above
from tests.support.wire.launched import Launched, launched  # noqa: E402 - the same
from tests.support.wire.running import Behind, engine_of, sqlite  # noqa: E402 - the same
from tests.support.wire.serve import Control  # noqa: E402 - the same

APPS: Final = ("fastapi", "flask", "django", "asgi")
ACCOUNT: Final = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
BASE: Final = "/api/sdk/v1/curae-connect"
STRANGERS: Final = 500
REQUESTS: Final = 1500
CLIENTS: Final = 8
LONG: Final = 200_000_000
_PATIENCE: Final = 60

HALF_HEADERS: Final = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthoriz"
HALF_BODY: Final = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n{"


def normal(port: int, api_key: str) -> list[float]:
    """Return the time of each request of a normal client, in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    took = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        path = f"{BASE}/account-state?appUserId=ada"
        connection.request("GET", path, headers={"Authorization": f"Bearer {api_key}"})
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - begun) * 1000)
        assert answer.status == http.HTTPStatus.OK, answer.status
    connection.close()
    return took


def cuts(took: list[float]) -> str:
    """Format the median and the 99th percentile of some times."""
    at = statistics.quantiles(took, n=100)
    return f"{at[49]:6.1f}{at[98]:7.1f}"


def beside(port: int, api_key: str, sent: bytes) -> tuple[list[float], float]:
    """Measure a normal client beside slow clients.

    Args:
        port: The port of the server.
        api_key: The API key of the normal client.
        sent: The bytes that each slow client sends.

    Returns:
        The times of the normal client in milliseconds, and the seconds from the start until the
        last slow client was cut off.
    """
    begun = time.perf_counter()
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(STRANGERS)]
    for each in strangers:
        each.sendall(sent)
    took = normal(port, api_key)
    left = set(strangers)
    while left:
        ready, _, _ = select.select(list(left), [], [], _PATIENCE)
        assert ready, f"{len(left)} strangers were never cut off"
        for each in ready:
            try:
                over = not each.recv(65_536)
            except ConnectionResetError:
                over = True
            if over:
                each.close()
                left.discard(each)
    return took, time.perf_counter() - begun


def long_body(port: int) -> tuple[int, bytes]:
    """Send a long body without a key.

    Returns:
        The number of bytes that the server took, and the first line of its response.
    """
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % LONG
    taken = 0
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(head)
        try:
            while taken < LONG:
                taken += connection.send(b" " * 65_536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return taken, connection.recv(65_536).partition(b"\r\n")[0]


@attrs.define
class Load:
    """Clients that send requests until the server accepts no more connections.

    Attributes:
        port: The port of the server.
        api_key: The API key of the clients.
        answered: The number of complete responses.
        lost: For each lost request, the error and whether its client reuses its connection.
    """

    port: int
    api_key: str
    answered: int = 0
    lost: list[str] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def ask(self, *, keeps: bool) -> None:
        """Send one request after the other.

        Args:
            keeps: True to reuse the connection, False to open one for each request.
        """
        headers = {"Authorization": f"Bearer {self.api_key}"}
        connection: http.client.HTTPConnection | None = None
        for _ in count():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
                try:
                    connection.connect()
                except OSError:
                    return
            mine = str(uuid4())
            try:
                body = json.dumps({"appUserId": mine})
                given = {**headers, "Idempotency-Key": mine}
                connection.request("POST", f"{BASE}/initiate", body, given)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.lost.append(f"{type(error).__name__}, {'kept' if keeps else 'new'}")
                connection.close()
                connection = None
                continue
            assert answer.status == http.HTTPStatus.CREATED, answer.status
            with self._lock:
                self.answered += 1
            if not keeps or answer.will_close:
                connection.close()
                connection = None


def ended_under_load(server: Launched, api_key: str) -> tuple[Load, float]:
    """Stop a server with SIGTERM while clients send requests.

    Returns:
        The clients, and the seconds until the server had ended.
    """
    load = Load(server.port, api_key)
    threads = [
        threading.Thread(target=load.ask, kwargs={"keeps": each % 2 == 0})
        for each in range(2 * CLIENTS)
    ]
    for each in threads:
        each.start()
    time.sleep(2)
    begun = time.perf_counter()
    server.terminate()
    assert server.ended() == 0
    took = time.perf_counter() - begun
    for each in threads:
        each.join()
    return load, took


def see(app: str, say: Callable[[str], None]) -> None:
    """Measure one example, and pass the lines of its results to `say`."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        url = sqlite(directory)
        Control().write(directory / "control.json")
        with engine_of(url) as engine, launched(app, url, directory, workers=2) as server:
            key = Behind(directory / "control.json", engine).make_key(
                ApiKeyRequest("app-1", ACCOUNT)
            )
            normal(server.port, key)
            alone = normal(server.port, key)
            headers, headers_end = beside(server.port, key, HALF_HEADERS)
            bodies, bodies_end = beside(server.port, key, HALF_BODY)
            taken, answer = long_body(server.port)
            load, took = ended_under_load(server, key)
            said = server.log.read_text()
    say(
        f"{app:9}{cuts(alone)}{cuts(headers)}{headers_end:7.1f}{cuts(bodies)}{bodies_end:7.1f}"
        f"{taken / 1e6:8.1f}  {answer.decode()[9:12]}{load.answered:9}{len(load.lost):6}{took:7.2f}"
    )
    for each in sorted(set(load.lost)):
        say(f"    lost: {each} ({load.lost.count(each)})")
    if said:
        say(f"    its log: {said}")


def main(apps: tuple[str, ...]) -> None:
    """Measure the examples, and print a line for each."""
    print("             alone      half headers       half bodies        200 MB       SIGTERM")
    print(
        "         p50 ms p99    p50    p99  ended   p50    p99  ended      MB"
        "  got answered  lost  seconds"
    )
    for app in apps:
        see(app, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or APPS)
