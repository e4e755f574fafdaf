"""Tests of what the guard does with requests that wait, and of what it counts and logs."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from curae_lifecycle.servers.guard import (
    LINGER_SECONDS,
    AsgiMessage,
    Guard,
    GuardEvent,
    Receive,
    Send,
)
from curae_lifecycle.servers.health import LIVE_PATH, READY_PATH
from curae_lifecycle.web.request import BODY_MAX
from tests.servers.asgi import GONE, Client, Seen, answer, ask, part, refusal, run, scope_of

# --- Slots ----------------------------------------------------------------------------------


def test_request_waiting_too_long_in_the_queue_gets_503() -> None:
    async def scenario() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def app(_: AsgiMessage, __: Receive, send: Send) -> None:
            entered.set()
            await leave.wait()
            await answer(send, b"ok")

        guard = Guard(app, max_concurrent=1, queue_seconds=0.01)

        def asked() -> tuple[Client, asyncio.Task[None]]:
            client = Client([part(b"", more=False)])
            return client, asyncio.create_task(ask(guard, client))

        first, waits = asked()
        await entered.wait()
        second, refused = asked()
        await refused
        assert second.heard == refusal(503, b"Service Unavailable", (b"retry-after", b"1"))
        leave.set()
        await waits
        assert first.body() == b"ok"
        third, served = asked()
        await served
        assert third.body() == b"ok"

    run(scenario())


@attrs.define
class Hanging:
    """An app that records paths and answers when it is told to."""

    leave: asyncio.Event = attrs.field(factory=asyncio.Event)
    entered: asyncio.Event = attrs.field(factory=asyncio.Event)
    paths: list[object] = attrs.field(factory=list)

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.entered.set()
        await self.leave.wait()
        await receive()
        await answer(send, b"ok")


@attrs.define
class Remote(Client):
    """A client that disconnects when it is told to; its messages are received one at a time."""

    hang_up: asyncio.Event = attrs.field(factory=asyncio.Event)
    listened: asyncio.Event = attrs.field(factory=asyncio.Event)
    receives: int = 0

    async def receive(self) -> AsgiMessage:
        if self.sends:
            return self.sends.pop(0)
        assert not self.receives, "a server's receive is called once at a time"
        self.receives += 1
        self.listened.set()
        await self.hang_up.wait()
        self.receives -= 1
        return GONE


def called(guard: Guard, path: str) -> tuple[Remote, asyncio.Task[None]]:
    client = Remote([part(b"", more=False)])
    scope = {**scope_of(), "path": path}
    return client, asyncio.create_task(guard(scope, client.receive, client.send))


def test_clients_that_hang_up_leave_the_queue_at_once() -> None:
    async def scenario() -> None:
        app, counted = Hanging(), Counted()
        guard = Guard(app, max_concurrent=1, queue_seconds=60, counters=counted)
        first, served = called(guard, "/first")
        await app.entered.wait()
        strangers = [called(guard, "/stranger") for _ in range(50)]
        last, waits = called(guard, "/last")
        for client, task in strangers:
            await client.listened.wait()
            client.hang_up.set()
            await task
            assert client.heard == []
        assert counted.events == [GuardEvent.CLIENT_LEFT] * 50
        app.leave.set()
        await asyncio.gather(served, waits)
        assert app.paths == ["/first", "/last"]
        assert (first.body(), last.body()) == (b"ok", b"ok")

    run(scenario())


def test_started_request_keeps_its_slot_if_its_client_hangs_up() -> None:
    async def scenario() -> None:
        app = Hanging()
        guard = Guard(app, max_concurrent=1, queue_seconds=0.01)
        first, served = called(guard, "/first")
        await app.entered.wait()
        first.hang_up.set()
        second, refused = called(guard, "/second")
        await refused
        assert second.heard[0]["status"] == 503
        app.leave.set()
        await served
        assert app.paths == ["/first"]

    run(scenario())


def test_app_of_a_queued_request_sees_its_client_disconnect() -> None:
    async def scenario() -> None:
        entered, leave, heard = asyncio.Event(), asyncio.Event(), list[AsgiMessage]()

        async def app(_: AsgiMessage, receive: Receive, send: Send) -> None:
            await receive()
            entered.set()
            await leave.wait()
            heard.append(await receive())
            await answer(send, b"ok")

        guard = Guard(app, max_concurrent=1)
        first, one = called(guard, "/first")
        await entered.wait()
        second, two = called(guard, "/second")
        await second.listened.wait()
        leave.set()
        first.hang_up.set()
        await one
        second.hang_up.set()
        await two
        assert heard == [GONE] * 2

    run(scenario())


def test_serving_a_queued_request_reports_no_event_loop_error() -> None:
    errors = list[object]()

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        app = Hanging()
        guard = Guard(app, max_concurrent=1)
        _, first = called(guard, "/first")
        await app.entered.wait()
        queued, second = called(guard, "/second")
        await queued.listened.wait()
        app.leave.set()
        await asyncio.gather(first, second)
        assert app.paths == ["/first", "/second"]

    run(scenario())
    # The last callbacks of the loop run when it closes.
    assert errors == []


def test_app_gets_disconnect_message_after_cancelling_a_receive() -> None:
    async def scenario() -> None:
        entered, leave, heard = asyncio.Event(), asyncio.Event(), list[AsgiMessage]()

        async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
            await receive()
            if scope["path"] == "/first":
                entered.set()
                await leave.wait()
                return
            listening = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            listening.cancel()
            await asyncio.wait([listening])
            second.hang_up.set()
            heard.append(await receive())
            await answer(send, b"ok")

        guard = Guard(app, max_concurrent=1)
        _, one = called(guard, "/first")
        await entered.wait()
        second, two = called(guard, "/second")
        await second.listened.wait()
        leave.set()
        await asyncio.gather(one, two)
        assert heard == [GONE]

    run(scenario())


@attrs.define
class Endless(Client):
    """A client that sends a body without an end, and counts its parts before the response."""

    parts: int = 0
    parts_before: int = 0

    async def receive(self) -> AsgiMessage:
        self.parts += 1
        assert self.parts < 100, "the guard reads on and on"
        return part(b"x" * BODY_MAX, more=True)

    async def send(self, message: AsgiMessage) -> None:
        self.parts_before = self.parts_before or self.parts
        await super().send(message)


def test_guard_pauses_reading_too_long_body_of_queued_request() -> None:
    client = Endless([])

    async def scenario() -> None:
        guard = Guard(Seen(), max_concurrent=1, queue_seconds=0.01)
        await guard._slots.take(())
        await guard(scope_of(), client.receive, client.send)

    run(scenario())
    assert (client.heard[0]["status"], client.parts_before) == (503, 2)
    # Then more of the body is dropped, so that the client can read the 503.
    assert client.parts_before < client.parts
    assert client.headers()[b"connection"] == b"close"


@pytest.mark.parametrize(
    ("sent", "is_full", "limits"),
    [
        (b"", False, [11]),
        (b"", True, [11, 0.01]),
        (b"x" * (BODY_MAX + 1), False, [11, LINGER_SECONDS]),
    ],
)
def test_guard_limits_body_queue_and_discard_time_separately(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, limits: list[float], *, is_full: bool
) -> None:
    client = Client([part(sent, more=bool(sent)), GONE])
    asked: list[float | None] = []
    timeout = asyncio.timeout

    def record(seconds: float | None) -> asyncio.Timeout:
        asked.append(seconds)
        return timeout(seconds)

    monkeypatch.setattr(asyncio, "timeout", record)

    async def scenario() -> None:
        guard = Guard(Seen(), max_concurrent=1, body_seconds=11, queue_seconds=0.01)
        if is_full:
            await guard._slots.take(())
            client.sends.pop()
        await guard(scope_of(), client.receive, client.send)

    run(scenario())
    assert asked == limits


def test_request_cancelled_in_the_queue_takes_no_slot() -> None:
    async def scenario() -> None:
        app = Hanging()
        guard = Guard(app, max_concurrent=1, queue_seconds=60)
        _, served = called(guard, "/first")
        await app.entered.wait()
        second, cancelled = called(guard, "/second")
        await second.listened.wait()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        app.leave.set()
        await served
        third, waits = called(guard, "/third")
        await waits
        assert (app.paths, third.body()) == (["/first", "/third"], b"ok")

    run(scenario())


def test_app_that_raises_frees_its_slot_for_the_next_request() -> None:
    async def failing(_: AsgiMessage, __: Receive, ___: Send) -> None:
        raise RuntimeError("a mistake")

    async def scenario() -> None:
        guard = Guard(failing, max_concurrent=1, queue_seconds=0.01)
        for _ in range(2):
            client = Client([part(b"", more=False)])
            with pytest.raises(RuntimeError, match="a mistake"):
                await ask(guard, client)

    run(scenario())


@pytest.mark.parametrize("way", ["served", "app raises", "cancelled", "timeout", "client left"])
def test_queued_request_leaves_no_asyncio_task_behind(way: str) -> None:
    async def scenario() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def app(scope: AsgiMessage, _: Receive, send: Send) -> None:
            entered.set()
            await leave.wait()
            if scope["path"] == "/second" and way == "app raises":
                raise RuntimeError("a mistake")
            await answer(send, b"ok")

        guard = Guard(app, max_concurrent=1, queue_seconds=0.01 if way == "timeout" else 60)
        _, first = called(guard, "/first")
        await entered.wait()
        client, second = called(guard, "/second")
        await client.listened.wait()
        if way == "cancelled":
            second.cancel()
        elif way == "client left":
            client.hang_up.set()
        elif way != "timeout":
            leave.set()
        await asyncio.gather(second, return_exceptions=True)
        leave.set()
        await first
        # The loop runs once more, so that a cancelled task can end.
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


async def asked_when_full(
    method: str, path: str, body: bytes = b"", *, root_path: str = ""
) -> Client:
    """Send a request, while every slot of the guard is taken; return its client."""
    guard = Guard(Seen(), max_concurrent=1, queue_seconds=0.01)
    await guard._slots.take(())
    client = Client([part(body, more=False)])
    scope = {**scope_of(), "method": method, "path": path, "root_path": root_path}
    await guard(scope, client.receive, client.send)
    return client


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_liveness_check_without_a_free_slot_gets_200(method: str) -> None:
    async def scenario() -> None:
        client = await asked_when_full(method, LIVE_PATH)
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        assert client.heard == [
            {"type": "http.response.start", "status": 200, "headers": headers},
            {"type": "http.response.body", "body": b'{"status": "ok"}'},
        ]

    run(scenario())


@pytest.mark.parametrize("path", [f"/sub{LIVE_PATH}", LIVE_PATH])
def test_livez_under_a_root_path_gets_200_without_a_free_slot(path: str) -> None:
    async def scenario() -> None:
        client = await asked_when_full("GET", path, root_path="/sub")
        assert client.heard[0]["status"] == 200

    run(scenario())


def test_liveness_check_with_a_free_slot_reaches_the_app() -> None:
    app, client = Seen(), Client([part(b"", more=False)])
    scope = {**scope_of(), "method": "GET", "path": LIVE_PATH}
    run(Guard(app, max_concurrent=1)(scope, client.receive, client.send))
    assert [each["path"] for each in app.scopes] == [LIVE_PATH]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", READY_PATH), ("POST", LIVE_PATH), ("GET", f"{LIVE_PATH}/x")]
)
def test_all_but_liveness_checks_get_503_without_a_free_slot(method: str, path: str) -> None:
    async def scenario() -> None:
        client = await asked_when_full(method, path)
        assert client.heard[0]["status"] == 503

    run(scenario())


def test_liveness_check_with_too_long_body_ends_http_connection() -> None:
    async def scenario() -> None:
        client = await asked_when_full("GET", LIVE_PATH, b"x" * (BODY_MAX + 1))
        assert client.heard[0]["status"] == 200
        assert client.headers()[b"connection"] == b"close"

    run(scenario())


# --- What the guard tells ---------------------------------------------------------------------


@attrs.define
class Counted:
    """Counters that record the events of a guard, and then fail if they are told to."""

    events: list[GuardEvent] = attrs.field(factory=list)
    fails: bool = False

    def count_guard_event(self, event: GuardEvent) -> None:
        self.events.append(event)
        if self.fails:
            raise RuntimeError("a secret")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("sends", "event", "status", "line"),
    [
        (
            [],
            GuardEvent.BODY_TIMEOUT,
            408,
            "the guard answered 408: a body did not arrive in time",
        ),
        (
            [part(b"a secret", more=True), GONE],
            GuardEvent.BODY_BROKEN,
            400,
            "the guard answered 400: a body was malformed or broke off",
        ),
        (
            [part(b"x" * (BODY_MAX + 1), more=True), GONE],
            GuardEvent.BODY_TOO_LONG,
            200,
            "the guard cut a body off: it was too long",
        ),
        (
            [part(b"x" * BODY_MAX, more=True), part(b"x", more=False)],
            GuardEvent.BODY_TOO_LONG,
            200,
            "the guard cut a body off: it was too long",
        ),
        (
            [part(b"a secret", more=False)],
            GuardEvent.QUEUE_TIMEOUT,
            503,
            "the guard answered 503: no slot became free in time",
        ),
    ],
)
def test_each_refusal_of_the_guard_is_counted_and_logged(
    sends: list[AsgiMessage],
    event: GuardEvent,
    status: int,
    line: str,
    caplog: pytest.LogCaptureFixture,
    *,
    fails: bool,
) -> None:
    client, counted = Client([*sends]), Counted(fails=fails)

    async def scenario() -> None:
        guard = Guard(
            Seen(), max_concurrent=1, body_seconds=0.05, queue_seconds=0.01, counters=counted
        )
        if event is GuardEvent.QUEUE_TIMEOUT:
            await guard._slots.take(())
        await guard(scope_of(), client.receive, client.send)

    run(scenario())
    assert (counted.events, client.heard[0]["status"]) == ([event], status)
    lines = [each.getMessage() for each in caplog.records if each.name.endswith("guard")]
    assert lines == [line]
    assert "a secret" not in caplog.text
    assert ("a request was not counted: RuntimeError" in caplog.text) is fails


def test_guard_logs_and_counts_no_request_that_it_passes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted, client = Counted(), Client([part(b"", more=False)])
    run(Guard(Seen(), max_concurrent=1, counters=counted)(scope_of(), client.receive, client.send))
    assert (counted.events, caplog.records) == ([], [])
