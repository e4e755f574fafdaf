"""Tests that a guard gives no API key and no connection all of its slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.endpoint import METRICS_PATH
from curae_lifecycle.servers.guard import AsgiMessage, Guard, Receive, Send
from curae_lifecycle.servers.health import LIVE_PATH, READY_PATH
from tests.servers.asgi import Client, answer, part, run

BASE = "/api/sdk/v1"
CREATE = f"{BASE}/connections"
ONE, OTHER = f"{CREATE}/one", f"{CREATE}/other"


@attrs.define
class Holding:
    """An app that holds each request until it is told to answer."""

    inside: list[tuple[bytes, str]] = attrs.field(factory=list)
    leave: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        assert isinstance(headers, list)
        self.inside.append((dict(headers).get(b"authorization", b""), str(scope["path"])))
        await self.leave.wait()
        await receive()
        await answer(send, b"ok")


async def inside(
    guard: Guard, app: Holding, *asked: tuple[bytes, str], method: str = "POST"
) -> list[tuple[bytes, str]]:
    """Ask a guard, each request with an API key and a path; return those that reach the app."""

    async def ask(key: bytes, path: str) -> None:
        client = Client([part(b"", more=False)])
        headers = [(b"accept", b"*/*"), (b"authorization", key)] if key else []
        scope: AsgiMessage = {"type": "http", "method": method, "path": path, "headers": headers}
        await guard(scope, client.receive, client.send)

    tasks = [asyncio.create_task(ask(*each)) for each in asked]
    for _ in range(3):
        await asyncio.sleep(0)
    reached = list(app.inside)
    app.leave.set()
    await asyncio.gather(*tasks)
    return reached


@pytest.mark.parametrize(
    ("asked", "left_out"),
    [
        ([(b"a", CREATE)] * 4, [3]),
        ([(b"a", CREATE)] * 4 + [(b"b", CREATE)], [3]),
        ([(b"a", ONE), (b"b", f"{ONE}:revoke"), (b"c", f"{ONE}:reconnect"), (b"d", ONE)], [3]),
        ([(b"a", ONE), (b"b", ONE), (b"c", ONE), (b"d", OTHER)], []),
        ([(b"", "/page/one")] * 4 + [(b"a", CREATE)], [3]),
        ([(b"a", f"{CREATE}/\ud800")], []),
        # Only equal keys and equal connections share a bound.
        ([(b"", "/page/one")] * 3 + [(b"Bearer XXXX", CREATE)], []),
        (
            [(key, f"{CREATE}/s") for key in (b"a", b"b", b"c")] + [(b"d", f"{CREATE}/\u017f")],
            [],
        ),
        # One key, and one connection, in several spellings.
        (
            [
                (b"Bearer a", CREATE),
                (b"bearer a", CREATE),
                (b"BEARER  a", CREATE),
                (b"Bearer a ", CREATE),
            ],
            [3],
        ),
        (
            [
                (b"a", ONE),
                (b"b", ONE.replace("one", "ONE")),
                (b"c", ONE),
                (b"d", ONE.replace("one", "One")),
            ],
            [3],
        ),
        ([(b" ", CREATE), (b"", CREATE), (b"a", CREATE), (b"b", CREATE)], []),
    ],
)
def test_one_api_key_or_connection_id_gets_at_most_3_of_4_slots(
    asked: list[tuple[bytes, str]], left_out: list[int]
) -> None:
    async def scenario() -> None:
        app = Holding()
        expected = [each for number, each in enumerate(asked) if number not in left_out]
        got = [path for _, path in await inside(Guard(app, max_concurrent=4), app, *asked)]
        assert got == [path for _, path in expected]

    run(scenario())


@pytest.mark.parametrize("path", [LIVE_PATH, READY_PATH, METRICS_PATH])
@pytest.mark.parametrize(("method", "reached"), [("GET", 4), ("HEAD", 4), ("POST", 3), ("PUT", 3)])
def test_only_get_or_head_of_health_or_metrics_gets_last_slot(
    path: str, method: str, reached: int
) -> None:
    async def scenario() -> None:
        app = Holding()
        asked = [(b"", "/page/one")] * 3 + [(b"", path)]
        got = await inside(Guard(app, max_concurrent=4), app, *asked, method=method)
        assert got == asked[:reached]

    run(scenario())


@pytest.mark.parametrize("path", [LIVE_PATH, READY_PATH, METRICS_PATH])
@pytest.mark.parametrize(("size", "most"), [(1, 1), (3, 1), (4, 1), (7, 1), (8, 2)])
def test_health_checks_and_metrics_get_at_most_quarter_of_slots(
    path: str, size: int, most: int
) -> None:
    # They are next, so a stranger who sends many would keep every other request out.
    async def scenario() -> None:
        app = Holding()
        paths = (path, READY_PATH)
        asked = [(b"", paths[n % 2]) for n in range(size)] + [(b"a", CREATE)] * (size > 1)
        got = await inside(Guard(app, max_concurrent=size), app, *asked, method="GET")
        assert got == [*asked[:most], *asked[size:]]

    run(scenario())


@pytest.mark.parametrize(
    ("size", "max_per_key", "most"),
    [(5, 1, 1), (5, 2, 2), (1, None, 1), (2, None, 1), (3, None, 2), (4, None, 3), (7, None, 5)],
)
def test_guard_limits_concurrent_requests_of_one_api_key(
    size: int, max_per_key: int | None, most: int
) -> None:
    async def scenario() -> None:
        app = Holding()
        guard = Guard(app, max_concurrent=size, max_per_key=max_per_key)
        assert len(await inside(guard, app, *[(b"a", CREATE)] * 7)) == most

    run(scenario())


@pytest.mark.parametrize(
    ("size", "max_per_key", "most"), [(5, 2, 2), (1, None, 1), (2, None, 1), (8, None, 7)]
)
def test_sole_api_key_in_use_gets_all_slots_but_one_by_default(
    size: int, max_per_key: int | None, most: int
) -> None:
    async def scenario() -> None:
        app = Holding()
        guard = Guard(app, max_concurrent=size, max_per_key=max_per_key)
        app.leave.set()
        await inside(guard, app, *[(b"a", CREATE)] * 100)
        app.inside.clear()
        app.leave.clear()
        assert len(await inside(guard, app, *[(b"a", CREATE)] * (size + 1))) == most

    run(scenario())


def test_guard_tells_api_keys_apart_by_the_authorization_header() -> None:
    async def scenario() -> None:
        app = Holding()
        guard = Guard(app, max_concurrent=9, max_per_key=1)
        asked = [(key, CREATE) for key in (b"Bearer 1", b"Bearer 2", b"Bearer 2", b"")]
        reached = await inside(guard, app, *asked)
        assert len(reached) == 3

    run(scenario())


def with_slots(count: int) -> Guard:
    return Guard(Holding(), max_concurrent=count)


def with_bound(count: int) -> Guard:
    return Guard(Holding(), max_concurrent=4, max_per_key=count)


@pytest.mark.parametrize(
    ("make", "argument"), [(with_slots, "max_concurrent"), (with_bound, "max_per_key")]
)
@pytest.mark.parametrize(
    ("count", "given"),
    [(0, "0"), (-1, "-1"), (True, "True"), (1.5, "a float"), ("2", "a str")],
)
def test_guard_limit_that_is_no_positive_integer_raises(
    make: Callable[[int], Guard], argument: str, count: int, given: str
) -> None:
    with pytest.raises(ArgumentError) as raised:
        make(count)
    assert str(raised.value) == f"{argument}: must be an integer of at least 1, not {given}"
