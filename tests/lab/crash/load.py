"""Clients of several servers on one database, and their responses.

Clients send requests, and send them again with the same key: after no response, after a response,
and twice at once. Two that race on one connection or one user are sent at once on purpose. Every
request is noted with its time and its response.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import AppUser, AppUserId, Coordinate, parse_time
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.fact_hooks import caller_of
from curae_lifecycle.web.request import Request
from tests.lab.crash.doubt import DoubtedCommits, with_doubt
from tests.lab.crash.enemies import OF_WORKERS, Against, Blow, Enemy
from tests.lab.crash.gaps import longest_gap
from tests.lab.crash.history import Operation
from tests.lab.crash.place import Place
from tests.lab.crash.search import is_kept
from tests.lab.crash.traffic import BASE, MEETINGS, WEIGHTS, Page, Target, fact_of, request_of
from tests.lab.crash.world import Asked, Told, Visited, Work, said_of
from tests.lab.judge import Keyed
from tests.support.wire.running import Behind, RunningServer, ServerEndedError, send, start_server
from tests.support.wire.serve import Control
from tests.support.wire.visiting import pressed_on, target_of

ACCOUNT: Final = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
PAGES: Final = "https://pages.example"
CLIENTS: Final = 8
AGAIN: Final = 0.2
"""The share of requests sent twice at once, and of those sent again after a response."""

OTHERWISE: Final = 0.03
"""The share of keys that are reused for another request."""

PATIENCE: Final = 3.0
"""Seconds after which a client stops waiting."""

ANSWERED: Final = 30.0
"""Seconds within which another worker answers while one is paused."""

CUT: Final = (OSError, http.client.HTTPException)
"""Errors of a client whose worker dies, or pauses for too long."""


def seeded(seed: object) -> Random:
    """Return a random generator for a seed."""
    return Random(str(seed))  # noqa: S311 - nothing here is a secret


def true_time() -> int:
    """Return the microseconds of the clock that the database uses."""
    return time.time_ns() // 1000


@attrs.define
class Load:
    """Workers, clients and faults, on one database."""

    app: str
    places: Sequence[Place]
    directory: Path
    behind: Behind
    against: Against
    users: int
    api_keys: list[str] = attrs.field(factory=list[str])
    callers: dict[str, Caller] = attrs.field(factory=dict)
    workers: list[RunningServer] = attrs.field(factory=list)
    lock: threading.Condition = attrs.field(factory=threading.Condition)
    sent: int = 0
    cut: int = 0
    unknown: int = 0
    blows: Counter[Enemy] = attrs.field(factory=Counter)
    fought: list[str] = attrs.field(factory=list[str])
    statuses: Counter[int] = attrs.field(factory=Counter)
    answers: dict[Keyed, list[Response]] = attrs.field(factory=lambda: defaultdict(list))
    keys: dict[Keyed, AppUser] = attrs.field(factory=dict)
    connections: dict[str, tuple[Coordinate, datetime]] = attrs.field(factory=dict)
    sessions: dict[str, Coordinate] = attrs.field(factory=dict)
    pages: list[Page] = attrs.field(factory=list)
    history: list[Operation] = attrs.field(factory=list)
    troubles: list[tuple[int, int]] = attrs.field(factory=list)
    answered: list[tuple[int, tuple[str, int]]] = attrs.field(factory=list)
    committed: list[int] = attrs.field(factory=list)
    gaps: dict[Enemy, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    heard: Callable[[Operation], None] = lambda _: None
    shunned: dict[tuple[str, int], float] = attrs.field(factory=dict)
    timed_out: set[tuple[str, int]] = attrs.field(factory=set)
    failures: list[str] = attrs.field(factory=list[str])
    stalled: list[str] = attrs.field(factory=list[str])
    at_work: bool = False

    @classmethod
    def begin(
        cls,
        app: str,
        engine: sa.Engine,
        directory: Path,
        against: Against,
        places: Sequence[Place],
        *,
        skews: Sequence[int],
        users: int,
        buckets: tuple[tuple[str, int, int, int], ...],
        wrong: str | None,
    ) -> Load:
        """Create the keys, and start a worker for each skew, alternating between the places."""
        directory.mkdir(exist_ok=True)
        control = directory / "control.json"
        chosen = Control(public_url=PAGES, wrong=wrong, buckets=buckets, patience=None, wait=None)
        chosen.write(control)
        load = cls(
            app=app,
            places=places,
            directory=directory,
            behind=Behind(control, engine),
            against=against,
            users=users,
        )
        for app_id in ("app-1", "app-1", "app-2", "app-2"):
            wanted = ApiKeyRequest(app_id, ACCOUNT)
            api_key = load.behind.make_key(wanted)
            load.api_keys.append(api_key)
            load.callers[api_key] = caller_of(api_key, wanted)
        for skew, place in zip(skews, cycle(places), strict=False):
            load.workers.append(load.start(skew, place))
        return load

    @property
    def app_users(self) -> list[AppUser]:
        """Every user."""
        caller = self.callers[self.api_keys[0]]
        return [
            AppUser(caller.environment, caller.customer_account_id, self._name(number))
            for number in range(self.users)
        ]

    @staticmethod
    def _name(number: int) -> AppUserId:
        return AppUserId(f"user-{number}")

    def start(self, skew: int, place: Place) -> RunningServer:
        """Start one worker whose clock is ahead by some microseconds, and wait until it serves."""
        while True:
            try:
                worker = start_server(
                    self.app, place.url, self.directory, skew=skew, host=place.host
                )
            except ServerEndedError:
                # Its database was unavailable, and it waited for it.
                continue
            try:
                worker.send(Request(method="GET", target="/", headers=(), body=b""))
            except CUT:
                # It ended before it served, since its database was unavailable.
                worker.kill()
            else:
                return worker

    def stop(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def round(self, seed: str, requests: int, blows: Iterable[Blow]) -> list[Operation]:
        """Send about so many requests during faults; return the operations once all is at rest."""
        self.history.clear()
        self.troubles.clear()
        until, begun = self.sent + requests, self.sent
        self.at_work = True
        clients = [partial(self._client, f"{seed} {each}", until) for each in range(CLIENTS)]
        self._together([*clients, partial(self._fight, seed, begun, blows)])
        assert not self.failures, self.failures[0]
        # A worker whose client gave up may still be at work.
        for worker in [each for each in self.workers if each.place in self.timed_out]:
            self._replace(worker)
        self.timed_out.clear()
        self.against.settle()
        return [with_doubt(each, self.troubles) for each in self.history]

    def _together(self, works: Iterable[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - the thread that waits reports it
            self.failures.append(traceback.format_exc())

    # --- Enemies ------------------------------------------------------------------------------

    def _fight(self, seed: str, begun: int, blows: Iterable[Blow]) -> None:
        random = seeded(seed)
        paused: list[threading.Thread] = []
        try:
            for blow in blows:
                with self.lock:
                    self.lock.wait_for(partial(self._has_sent, begun + blow.after))
                if blow.enemy not in OF_WORKERS:
                    first = true_time()
                    said = self.against.strike(blow, random)
                    last = true_time()
                    self.troubles.append((first, last))
                    gap = longest_gap(self.committed, first, last)
                    self.gaps[blow.enemy].append(gap)
                    said += f"; no commit for {gap:.1f} s"
                elif blow.enemy is Enemy.KILL:
                    victim = random.choice(self.workers)
                    self._replace(victim)
                    said = f"the one that is ahead by {victim.skew} µs"
                else:
                    victim = random.choice(self.workers)
                    pause = threading.Thread(
                        target=self._guard, args=(partial(self._pause, victim, blow.seconds),)
                    )
                    pause.start()
                    paused.append(pause)
                    said = f"for {blow.seconds:.1f} s"
                self.blows[blow.enemy] += 1
                self.fought.append(f"{self.sent}: {blow.enemy}, {said}")
        finally:
            for pause in paused:
                pause.join()
            self.at_work = False

    def _pause(self, worker: RunningServer, seconds: float) -> None:
        try:
            worker.pause()
        except (ValueError, ProcessLookupError):
            # It was killed before.
            return
        first = true_time()
        time.sleep(seconds)
        # The other workers may be paused as well, and so may their clients.
        until = time.monotonic() + ANSWERED
        while not (others := self._is_answered(first, worker)) and time.monotonic() < until:
            if self.failures:
                break
            time.sleep(0.02)
        last = true_time()
        # Unless it was killed meanwhile.
        with suppress(ValueError, ProcessLookupError):
            worker.resume()
        undisturbed = not any(a <= last and first <= b for a, b in self.troubles)
        if not others and undisturbed:
            stood = (last - first) / 1_000_000
            self.stalled.append(f"no client was answered while one was paused for {stood:.1f} s")

    def _is_answered(self, since: int, other: RunningServer) -> bool:
        # Return whether any other worker has answered.
        with self.lock:
            return any(since <= when and place != other.place for when, place in self.answered)

    def _replace(self, victim: RunningServer) -> None:
        victim.kill()
        others = [each for each in self.workers if each is not victim]
        self.workers = others
        self.workers = [*others, self.start(victim.skew, Place(victim.url, victim.host))]

    def _has_sent(self, count: int) -> bool:
        return self.sent >= count or bool(self.failures)

    # --- Clients ------------------------------------------------------------------------------

    def _client(self, seed: str, until: int) -> None:
        random = seeded(seed)
        while (self.sent < until or self.at_work) and not self.failures:
            kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            if kind == "meeting":
                first, second = random.choice(MEETINGS)
                target = self._target(random, late="late" in {first, second})
                works = [
                    partial(self._do, seeded(random.random()), each, target, random.random() / 200)
                    for each in (first, second)
                ]
                self._together(works)
            else:
                self._do(random, kind, self._target(random))

    def _target(self, random: Random, *, late: bool = False) -> Target:
        api_key = random.choice(self.api_keys)
        caller = self.callers[api_key]
        user = self._name(random.randrange(self.users))
        with self.lock:
            known, begun = list(self.connections.items()), list(self.sessions.items())
        now = self.behind.now()
        if late:
            # Their hosted pages have expired, or will have by the next visit.
            known = [each for each in known if each[1][1] < now] or known
        mine = [each for each in known if each[1][0].app_id == caller.app_id]
        # If connections are few, the same one is chosen repeatedly.
        chosen = random.choice(mine[-24:]) if mine and random.random() < 0.98 else None
        if chosen is None and known:
            # A connection of another app, which is not found.
            chosen = random.choice(known[-24:])
        if chosen is not None and random.random() < 0.4:
            user = chosen[1][0].app_user_id
        coordinate = Coordinate(
            environment=caller.environment,
            app_id=caller.app_id,
            customer_account_id=caller.customer_account_id,
            app_user_id=user,
        )
        sessions = [id_ for id_, whose in begun if whose == coordinate]
        session = random.choice(sessions[-4:]) if sessions else None
        connection, deadline = (None, None) if chosen is None else (chosen[0], chosen[1][1])
        return Target(
            api_key=api_key,
            coordinate=coordinate,
            connection=connection,
            deadline=deadline,
            session=session,
        )

    def _do(self, random: Random, kind: str, target: Target, wait: float = 0.0) -> None:
        if wait:
            time.sleep(wait)
        if kind in {"finish", "cancel"}:
            if self.pages:
                # The newest pages are still live.
                self._visit(random, random.choice(self.pages[-30:]), kind)
            return
        fact = fact_of(random, kind=kind, target=target, now=self.behind.now())
        if fact is not None:
            self._record(fact, target)
            return
        request = request_of(random, kind, target)
        if request is not None:
            self._ask(random, request, target)

    def _record(self, fact: Fact, target: Target) -> None:
        connection = fact.needs().connection or fact.needs().chain
        user = target.coordinate if connection is None else self.connections[connection][0]
        invoked, doubted = true_time(), DoubtedCommits(self.behind.store)
        try:
            said: str | None = said_of(self.behind.record_fact(fact, doubted))
        except StoreUnavailableError:
            said = None
        self._note(user.app_user, Told(fact), invoked, answer=said, is_doubtful=doubted.number > 0)

    def _note(
        self,
        user: AppUser,
        work: Work,
        invoked: int,
        *,
        answer: Response | str | None,
        skew: int = 0,
        is_doubtful: bool = False,
    ) -> None:
        operation = Operation(
            user=user,
            work=work,
            invoked=invoked,
            returned=None if answer is None else true_time(),
            answer=answer,
            skew=skew,
            is_doubtful=is_doubtful,
        )
        with self.lock:
            self.unknown += answer is None
            self.history.append(operation)
        self.heard(operation)

    def _ask(self, random: Random, request: Request, target: Target) -> None:
        about = target.coordinate
        if target.connection is not None and target.connection in request.target:
            about = self.connections[target.connection][0]
        asking = partial(self._until_answered, request=request, target=target, about=about)
        seeds = [seeded(random.random()) for _ in range(2 if random.random() < AGAIN else 1)]
        self._together([partial(asking, each) for each in seeds])
        if random.random() < AGAIN:
            asking(random)
        if random.random() < OTHERWISE and request.target == f"{BASE}/connections":
            body = json.dumps({"appUserId": about.app_user_id, "dataPackages": ["notes"]})
            asking(random, request=attrs.evolve(request, body=body.encode()))

    def _until_answered(
        self, random: Random, request: Request, target: Target, about: Coordinate
    ) -> None:
        caller, key = self.callers[target.api_key], dict(request.headers).get("Idempotency-Key")
        work = Asked(caller, request)
        if key is not None:
            with self.lock:
                self.keys[caller.api_key_id, key] = about.app_user
        for _ in range(8):
            invoked = true_time()
            worker, response = self._send(random, request)
            if worker is None:
                continue
            known = None if response is None or response.status >= 500 else response
            self._note(about.app_user, work=work, invoked=invoked, answer=known, skew=worker.skew)
            if known is not None:
                self._learn(known, about=about, caller=caller, key=key)
                return

    def _send(
        self, random: Random, request: Request
    ) -> tuple[RunningServer | None, Response | None]:
        # To a worker that answered recently, as a load balancer would.
        now = time.monotonic()
        workers = list(self.workers)
        well = [each for each in workers if self.shunned.get(each.place, 0) < now] or workers
        worker = random.choice(well)
        try:
            response = send(worker.place, request, PATIENCE)
        except ConnectionRefusedError:
            # It was dead before the request was sent.
            time.sleep(0.005)
            return None, None
        except TimeoutError:
            response = None
            self.shunned[worker.place] = time.monotonic() + PATIENCE
            self.timed_out.add(worker.place)
        except CUT:
            response = None
        with self.lock:
            self.sent += 1
            self.cut += response is None
            if response is not None:
                self.statuses[response.status] += 1
                self.answered.append((true_time(), worker.place))
                if request.method == "POST" and response.status < 300:
                    self.committed.append(true_time())
            self.lock.notify_all()
        return worker, response

    def _learn(
        self, response: Response, about: Coordinate, caller: Caller, key: str | None
    ) -> None:
        document = json.loads(response.body)
        with self.lock:
            if key is not None and is_kept(response):
                self.answers[caller.api_key_id, key].append(response)
            if "session" in document:
                self.sessions[document["session"]["id"]] = about
            action = document.get("nextAction")
            if action is None:
                return
            until = parse_time("expiresAt", action["expiresAt"])
            kind, subject = "user", ""
            for each in ("session", "connection"):
                if each in document:
                    kind, subject = each, document[each]["id"]
            if kind == "connection":
                self.connections[subject] = about, until
            self.pages.append(Page(url=action["url"], kind=kind, subject=subject, coordinate=about))

    # --- Hosted pages -------------------------------------------------------------------------

    def _visit(self, random: Random, page: Page, action: str) -> None:
        worker, shown = self._send(
            random, Request(method="GET", target=target_of(page.url), headers=(), body=b"")
        )
        if worker is None or shown is None:
            return
        asked = pressed_on(shown, page.url, action)
        if asked is None:
            # There is no button: the page has expired, or was finished before.
            return
        invoked = true_time()
        worker, response = self._send(random, asked)
        if worker is None:
            return
        answer: str | None = None
        if response is not None and response.status < 500:
            answer = "done" if response.status == 200 else "refused"
        work = Visited(
            kind=page.kind, subject=page.subject, coordinate=page.coordinate, action=action
        )
        self._note(
            page.coordinate.app_user, work=work, invoked=invoked, answer=answer, skew=worker.skew
        )
