"""Workers that are killed at random points, under load of requests that are sent again.

    python -m tests.wire.crash --requests 20000 --kills 50

runs it at the size that the docs publish, on PostgreSQL, and says what it saw. Several workers of
one example share one database. Clients send requests, and send them again with the same key:
where no answer came, because an answer came, and twice at once. Between rounds the clock moves on.
At the end everything in the database and everything that was answered is held against the laws.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import KeyWanted
from curae_lifecycle.web.request import Request
from tests.wire.judge import Keyed, is_kept, judge
from tests.wire.pressing import pressed
from tests.wire.running import Behind, RunningServer, engine_of, said, send, start_server
from tests.wire.serve import Control

ACCOUNT: Final = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
PAGES: Final = "https://pages.example"
BASE: Final = "/api/sdk/v1"
CLIENTS: Final = 6
AGAIN: Final = 0.25
"""How often a request is sent twice at once, and how often once more after an answer."""

CUT: Final = (OSError, http.client.HTTPException)
"""What a client sees when its worker dies."""

_WEIGHTS: Final = {
    "initiate": 30,
    "create": 14,
    "reconnect": 16,
    "revoke": 8,
    "get": 4,
    "account-state": 2,
    "graduate": 3,
    "finish": 14,
    "cancel": 3,
    "expire": 3,
    "require-action": 3,
}


def seeded(seed: object) -> Random:
    """Chance that comes out the same for the same seed."""
    return Random(str(seed))  # noqa: S311 - nothing here is a secret


@attrs.define
class Run:
    """What happened.

    Attributes:
        sent: How many requests were sent, each attempt counted.
        cut: How many of them ended with no answer.
        kills: How many workers were killed.
        statuses: How often each status was answered.
        broken: Which laws were broken, and how.
        seconds: How long the load took.
    """

    sent: int
    cut: int
    kills: int
    statuses: Counter[int]
    broken: list[str]
    seconds: float

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {n}" for status, n in sorted(self.statuses.items()))
        load = (
            f"{self.sent} requests, {self.kills} workers killed, {self.cut} answers cut off, "
            f"{self.seconds:.0f} s ({statuses})"
        )
        return "\n".join([load, f"{len(self.broken)} violations", *self.broken[:10]])


class Load:
    """Workers, clients and whoever kills, on one database."""

    def __init__(
        self,
        app: str,
        engine: sa.Engine,
        directory: Path,
        *,
        workers: int,
        seed: int,
        wrong: str | None,
    ) -> None:
        self.url = engine.url.render_as_string(hide_password=False)
        self.app, self.directory, self.seed = app, directory, seed
        directory.mkdir(exist_ok=True)
        Control(public_url=PAGES, wrong=wrong).write(directory / "control.json")
        self.behind = Behind(directory / "control.json", engine)
        self.api_keys = [
            self.behind.make_key(KeyWanted(app_id, ACCOUNT))
            for app_id in ("app-1", "app-1", "app-2")
        ]
        # As `Behind` names the callers of the keys that it makes.
        self.ids = {key: f"key-{number}" for number, key in enumerate(self.api_keys, 1)}
        self.workers = tuple([self.start() for _ in range(workers)])
        self.lock = threading.Condition()
        self.sent = self.cut = self.kills = 0
        self.statuses: Counter[int] = Counter()
        self.answers: dict[Keyed, list[Response]] = defaultdict(list)
        self.connections: dict[str, list[str]] = {key: [] for key in self.api_keys}
        self.pages: list[str] = []
        self.failures: list[str] = []

    def start(self) -> RunningServer:
        return start_server(self.app, self.url, self.directory)

    def round(self, number: int, requests: int, kills: Iterable[int]) -> None:
        """Send about so many requests, and kill a worker after each of these counts."""
        until = self.sent + requests
        seed = f"{self.seed} {number}"
        clients = [partial(self._client, f"{seed} {each}", until) for each in range(CLIENTS)]
        self._together([*clients, partial(self._kill, seed, kills)])
        assert not self.failures, self.failures[0]

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()

    def _together(self, works: Iterable[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the thread that waits reports it
            self.failures.append(repr(error))

    def _kill(self, seed: str, after: Iterable[int]) -> None:
        random = seeded(seed)
        for count in after:
            with self.lock:
                self.lock.wait_for(partial(self._has_sent, count))
            victim = random.choice(self.workers)
            victim.kill()
            others = tuple([each for each in self.workers if each is not victim])
            self.workers = others
            self.workers = (*others, self.start())
            self.kills += 1

    def _has_sent(self, count: int) -> bool:
        return self.sent >= count

    # --- Clients ------------------------------------------------------------------------------

    def _client(self, seed: str, until: int) -> None:
        random = seeded(seed)
        while self.sent < until and not self.failures:
            kind = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            api_key = random.choice(self.api_keys)
            known = self.connections[api_key]
            match kind:
                case "expire" | "require-action" if known:
                    id_ = ConnectionId(random.choice(known))
                    fact: Fact = Expired(id_) if kind == "expire" else ActionRequired(id_, "login")
                    self.behind.record(fact)
                case "finish" | "cancel" if self.pages:
                    # The newest pages are the ones that live.
                    page = random.choice(self.pages[-20:])
                    self._ask(random, pressed(page, kind))
                case _:
                    request = self._request(kind, random, api_key, known)
                    if request is not None:
                        self._ask(random, request)

    def _request(self, kind: str, random: Random, api_key: str, known: list[str]) -> Request | None:
        user = f"user-{random.randrange(8)}"
        # Where connections are few, the same one is asked for again and again.
        connection = random.choice(known[-12:]) if known else None
        path, body = {
            "initiate": (
                "curae-connect/initiate",
                {"appUserId": user, "preferSignup": random.random() < 0.5},
            ),
            "create": ("connections", {"appUserId": user, "dataPackages": ["labs"]}),
            "reconnect": (f"connections/{connection}:reconnect", None),
            "revoke": (f"connections/{connection}:revoke", None),
            "get": (f"connections/{connection}", None),
            "account-state": (f"curae-connect/account-state?appUserId={user}", None),
            "graduate": ("curae-connect/graduation-handoff", {"appUserId": user}),
        }.get(kind, ("", None))
        if not path or (connection is None and "None" in path):
            return None
        headers = [("Authorization", f"Bearer {api_key}")]
        if kind in {"initiate", "create", "reconnect", "revoke"}:
            headers.append(("Idempotency-Key", f"{random.getrandbits(64):x}"))
        method = "GET" if kind in {"get", "account-state"} else "POST"
        sent = b"" if body is None else json.dumps(body).encode()
        return Request(method, f"{BASE}/{path}", tuple(headers), sent)

    def _ask(self, random: Random, request: Request) -> None:
        seeds = [seeded(random.random()) for _ in range(2 if random.random() < AGAIN else 1)]
        self._together([partial(self._until_answered, each, request) for each in seeds])
        if random.random() < AGAIN:
            self._until_answered(random, request)

    def _until_answered(self, random: Random, request: Request) -> None:
        while True:
            worker = random.choice(self.workers)
            try:
                response = send(worker.port, request)
            except ConnectionRefusedError:
                # It was dead before the request was sent.
                continue
            except CUT:
                response = None
            with self.lock:
                self.sent += 1
                self.cut += response is None
                if response is not None:
                    self.statuses[response.status] += 1
                self.lock.notify_all()
            if response is not None:
                self._learn(request, response)
                return

    def _learn(self, request: Request, response: Response) -> None:
        if not request.target.startswith(BASE):
            return
        headers = dict(request.headers)
        api_key = headers["Authorization"].removeprefix("Bearer ")
        key = headers.get("Idempotency-Key")
        document = json.loads(response.body)
        with self.lock:
            if key is not None and is_kept(response):
                self.answers[self.ids[api_key], key].append(response)
            if "nextAction" in document:
                self.pages.append(document["nextAction"]["url"])
            if "connection" in document:
                self.connections[api_key].append(document["connection"]["id"])


def crash(
    app: str,
    url: str,
    directory: Path,
    *,
    requests: int,
    kills: int,
    workers: int = 3,
    rounds: int = 5,
    seed: int = 1,
    wrong: str | None = None,
) -> Run:
    """Load workers with requests, kill them, and judge what is left.

    Args:
        app: The example.
        url: A new database.
        directory: For what controls the workers, and for their log.
        requests: How many requests to send at least.
        kills: How many workers to kill.
        workers: How many run at any time.
        rounds: Between two rounds a clock moves on, by up to an hour.
        seed: Of what is sent and when a worker is killed; how they interleave is the machine's.
        wrong: In what way the database of each worker is wrong.
    """
    random = seeded(seed)
    with engine_of(url) as engine:
        load = Load(app, engine, directory, workers=workers, seed=seed, wrong=wrong)
        begun = time.perf_counter()
        try:
            each = requests // rounds
            for number in range(rounds):
                # The last kill of a round comes while enough is still to be sent.
                count = kills * (number + 1) // rounds - kills * number // rounds
                points = sorted(random.randrange(each * 9 // 10) for _ in range(count))
                if number:
                    ahead = random.choice([20, 61, 600, 2400])
                    load.behind.pass_time(timedelta(seconds=ahead))
                load.round(number, each, [load.sent + point for point in points])
        finally:
            load.stop()
        seconds = time.perf_counter() - begun
        broken = judge(engine, load.behind.now(), load.answers)
    if wrong is None:
        broken += [f"the log says: {line}" for line in said(directory / "log")]
    return Run(load.sent, load.cut, load.kills, load.statuses, broken, seconds)
