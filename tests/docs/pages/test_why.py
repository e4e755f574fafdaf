"""Tests that the page on other libraries is true for the versions that it names."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Awaitable, Callable, MutableMapping

import pytest

from benchmarks.rows import state_machines
from curae_lifecycle import Request
from curae_lifecycle.rules.tables import Axis, Row, Table, TableError
from tests.support import server
from tests.support.instants import handle_at
from tests.support.paths import ROOT
from tests.support.strategies import START

PAGE = (ROOT / "docs/why.md").read_text(encoding="utf-8")


def test_comparison_docs_page_names_the_measured_versions() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(each.split("==") for each in groups["dependency-groups"]["peers"])
    named = dict(re.findall(r"([\w-]+) (\d+\.\d+\.\d+)", PAGE))
    assert len(named) == 9
    assert {name: pinned[name] for name in named} == named


def test_rule_table_with_a_missing_cell_raises() -> None:
    with pytest.raises(TableError):
        Table("half", "One of two.", Axis("side", ("left", "right")), Row(("left",), 1, "[O] One."))


def test_retry_with_reordered_json_members_is_replayed() -> None:
    world = server.world()
    head = (("Authorization", f"Bearer {server.API_KEY}"), ("Idempotency-Key", "k-1"))
    bodies = (
        b'{"appUserId": "ada", "dataPackages": ["labs"]}',
        b'{"dataPackages": ["labs"], "appUserId": "ada"}',
    )
    asked = [
        Request(method="POST", target="/api/sdk/v1/connections", headers=head, body=body)
        for body in bodies
    ]
    answers = [handle_at(world, each, START, new_ids=server.new_ids()) for each in asked]
    assert [answer.replayed for answer in answers] == [False, True]


# --- Behavior of the peers -----------------------------------------------------------------------

peers = pytest.mark.peers


@peers
@pytest.mark.parametrize(
    ("machine", "error"),
    [
        (state_machines._transitions, "MachineError"),
        (state_machines._statemachine, "TransitionNotAllowed"),
        (state_machines._automat, "NoTransition"),
        (state_machines._django_fsm, "TransitionNotAllowed"),
    ],
    ids=["transitions", "python-statemachine", "automat", "django-fsm-2"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_libraries_find_a_missing_transition_at_run_time(
    machine: Callable[[], object], error: str
) -> None:
    made = machine()
    if isinstance(made, state_machines._Model):
        made.state = "PENDING"
    else:
        assert callable(made)
        made = made()
    authorize: Callable[[], object] = getattr(made, "authorize")  # noqa: B009 - they are untyped
    authorize()
    assert raised(authorize) == error


def raised(move: Callable[[], object]) -> str:
    try:
        move()
    except Exception as error:  # noqa: BLE001 - a peer that is not installed has no class to name
        return type(error).__name__
    return ""


def middleware() -> Callable[[str, bytes], tuple[int, bytes]]:
    """Build fastapi-idempotency-key around an app that counts calls; return its client."""
    from fastapi_idempotency_key import IdempotencyMiddleware

    calls = 0

    async def app(_scope: object, receive: Receive, send: Send) -> None:
        nonlocal calls
        calls += 1
        await receive()
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"call %d" % calls})

    guarded = IdempotencyMiddleware(app)

    def ask(bearer: str, body: bytes) -> tuple[int, bytes]:
        headers = [(b"authorization", bearer.encode()), (b"idempotency-key", b"k-1")]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        told: list[MutableMapping[str, object]] = []

        async def receive() -> MutableMapping[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, object]) -> None:
            told.append(message)

        asyncio.run(guarded(scope, receive, send))
        status, answered = told[0]["status"], told[1]["body"]
        assert isinstance(status, int)
        assert isinstance(answered, bytes)
        return status, answered

    return ask


Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Send = Callable[[MutableMapping[str, object]], Awaitable[None]]


@peers
def test_idempotency_library_replays_response_to_another_caller() -> None:
    ask = middleware()
    assert ask("Bearer one", b"{}") == (201, b"call 1")
    assert ask("Bearer two", b"{}") == (201, b"call 1")


@peers
def test_idempotency_library_refuses_retry_with_reordered_json() -> None:
    ask = middleware()
    assert ask("Bearer one", b'{"a": 1, "b": 2}') == (201, b"call 1")
    assert ask("Bearer one", b'{"b": 2, "a": 1}')[0] == 422


@peers
def test_idempotency_library_overwrites_newer_with_late_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fastapi_idempotency_key import MemoryBackend

    now = 0.0
    monkeypatch.setattr("time.time", lambda: now)

    async def late() -> bytes:
        nonlocal now
        backend = MemoryBackend()
        assert (await backend.try_lock("k-1", "f", ttl=60, timeout=0.0))[0]
        now = 61.0
        assert (await backend.try_lock("k-1", "f", ttl=60, timeout=0.0))[0]
        await backend.store_response("k-1", 201, [], b"the newer one", ttl=60)
        await backend.store_response("k-1", 201, [], b"the late one", ttl=60)
        _, record = await backend.try_lock("k-1", "f", ttl=60, timeout=0.0)
        assert record is not None
        return bytes(record.body)

    assert asyncio.run(late()) == b"the late one"


@peers
def test_rate_limit_libraries_charge_a_limit_if_another_refuses() -> None:
    from limits import RateLimitItemPerMinute
    from limits.storage import MemoryStorage
    from limits.strategies import MovingWindowRateLimiter
    from token_bucket import Limiter
    from token_bucket import MemoryStorage as Buckets

    limiter = MovingWindowRateLimiter(MemoryStorage())
    account, user = RateLimitItemPerMinute(10), RateLimitItemPerMinute(1)
    for _ in range(5):
        _ = limiter.hit(account, "account") and limiter.hit(user, "user")
    assert limiter.get_window_stats(account, "account").remaining == 5

    kept = Buckets()
    accounts, users = Limiter(0.001, 10, kept), Limiter(0.001, 1, kept)
    for _ in range(5):
        _ = accounts.consume("account") and users.consume("user")
    assert round(kept.get_token_count("account")) == 5


@peers
def test_token_bucket_library_admits_19_a_minute_instead_of_10(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from token_bucket import Limiter, MemoryStorage

    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limiter = Limiter(10 / 60, 10, MemoryStorage())
    admitted = sum(limiter.consume("user") for _ in range(20))
    while now < 59:
        now += 1.0
        admitted += limiter.consume("user")
    assert admitted == 19
