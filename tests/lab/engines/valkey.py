"""Limits in a Valkey cluster of three hosts, under load and faults.

    python -m tests.lab.engines.valkey

Each host has a node of the cluster and a server of the FastAPI example with its own database, so
that only the cluster connects their limits. Clients use all servers. Without replicas a missing
node makes requests wait, and no limit may be exceeded. With `--replicas` a replica takes over, and
charges that it had not received are admitted again: the run reports how many, without a verdict.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Bucket
from curae_lifecycle.rules.values import (
    MINUTE,
    SECOND,
    AppUser,
    AppUserId,
    parse_time,
    to_epoch_microseconds,
)
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.fact_hooks import caller_of
from curae_lifecycle.web.request import Request
from tests.lab.crash.enemies import Blow, Enemy, schedule
from tests.lab.crash.history import Operation
from tests.lab.crash.judging import overdrawn
from tests.lab.crash.load import seeded, true_time
from tests.lab.crash.traffic import BASE
from tests.lab.crash.world import Asked
from tests.lab.engines.hosts import Host, enter, network
from tests.lab.engines.valkey_cluster import ENEMIES, Cluster, cluster
from tests.support.wire.running import RunningServer, engine_of, send, sqlite, start_server
from tests.support.wire.serve import Control, read_control

BUCKET: Final = Bucket(name="platform", capacity=120, refill=10, seconds=1)
"""The standard bucket of each API key, which refuses a part of the load."""

SKEW: Final = 15 * SECOND
"""The clock skew of the first server behind and of the last one ahead."""

ACCOUNTS: Final = [f"0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e{number:02x}" for number in range(6)]
USERS: Final = 4
"""The number of users of each account."""

CLIENTS: Final = 8
PATIENCE: Final = 6.0
"""Seconds after which a client stops waiting."""

CUT: Final = (OSError, http.client.HTTPException)


@attrs.define
class Load:
    """Servers on hosts, their clients, and the results.

    Attributes:
        servers: The server of each host.
        callers: The callers, by their API key.
        operations: The operations of this round.
        admitted: The instants of each user's admitted initiates, by the server's clock.
        failed: The times without a response, or with one that says that limits are unavailable.
        blows: The number of faults of each kind.
        away: For each fault, the seconds until the last response without limits.
        statuses: The number of responses with each status.
        sent: The number of requests.
        failures: The errors of the load itself.
    """

    servers: list[RunningServer]
    callers: Mapping[str, Caller]
    operations: list[Operation] = attrs.field(factory=list[Operation])
    admitted: dict[AppUser, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    failed: list[int] = attrs.field(factory=list[int])
    blows: Counter[Enemy] = attrs.field(factory=Counter[Enemy])
    away: dict[Enemy, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    statuses: Counter[int] = attrs.field(factory=Counter[int])
    sent: int = 0
    failures: list[BaseException] = attrs.field(factory=list[BaseException])
    at_work: bool = False
    _lock: threading.Condition = attrs.field(factory=threading.Condition)

    def round(self, seed: str, requests: int, blows: Sequence[Blow], against: Cluster) -> list[str]:
        """Send about so many requests during faults; return the faults."""
        self.operations.clear()
        begun, fought = self.sent, list[str]()
        self.at_work = True
        works = [
            partial(self._client, f"{seed} {each}", begun + requests) for each in range(CLIENTS)
        ]
        works.append(partial(self._fight, seed, begun, blows, against, fought))
        threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]
        return fought

    def _guard(self, work: partial[None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the thread that waits reports it
            self.failures.append(error)

    def _fight(
        self,
        seed: str,
        begun: int,
        blows: Sequence[Blow],
        against: Cluster,
        fought: list[str],
    ) -> None:
        random = seeded(f"{seed} enemies")
        try:
            for blow in blows:
                with self._lock:
                    self._lock.wait_for(partial(self._has_sent, begun + blow.after))
                first = true_time()
                if blow.enemy is Enemy.KILL:
                    said = self._replace(random.randrange(len(self.servers)))
                else:
                    said = against.strike(blow, random)
                self.blows[blow.enemy] += 1
                away = [each for each in self.failed if first <= each]
                gone = (max(away) - first) / SECOND if away else 0.0
                self.away[blow.enemy].append(gone)
                fought.append(f"{self.sent}: {blow.enemy}, {said}; limits away for {gone:.1f} s")
        finally:
            self.at_work = False

    def _has_sent(self, count: int) -> bool:
        return self.sent >= count or bool(self.failures)

    def _replace(self, number: int) -> str:
        ended = self.servers[number]
        ended.kill()
        self.servers[number] = start_server(
            ended.app, ended.url, ended.control.parent, skew=ended.skew, host=ended.host
        )
        return "and started again"

    def _client(self, seed: str, until: int) -> None:
        random = seeded(seed)
        while (self.sent < until or self.at_work) and not self.failures:
            self._ask(random)

    def _ask(self, random: Random) -> None:
        api_key = random.choice(list(self.callers))
        caller = self.callers[api_key]
        user = AppUser(
            caller.environment,
            caller.customer_account_id,
            AppUserId(f"user-{random.randrange(USERS)}"),
        )
        server = random.choice(self.servers)
        headers = (("Authorization", f"Bearer {api_key}"),)
        if random.random() < 0.75:
            key = f"visit-{random.getrandbits(64):x}"
            body = json.dumps({"appUserId": user.app_user_id}).encode()
            request = Request(
                method="POST",
                target=f"{BASE}/curae-connect/initiate",
                headers=(*headers, ("Idempotency-Key", key)),
                body=body,
            )
        else:
            request = Request(
                method="GET", target=f"{BASE}/connections/{ACCOUNTS[0]}", headers=headers, body=b""
            )
        invoked = true_time()
        try:
            answer = send(server.place, request, PATIENCE)
        except CUT:
            answer = None
        returned = true_time()
        with self._lock:
            self.sent += 1
            self._lock.notify_all()
            if answer is None or answer.status >= 500:
                self.failed.append(returned)
            if answer is None:
                return
            self.statuses[answer.status] += 1
            self.operations.append(
                Operation(
                    user=user,
                    work=Asked(caller, request),
                    invoked=invoked,
                    returned=returned,
                    answer=answer,
                    skew=server.skew,
                )
            )
            if answer.status == 201:
                at = parse_time("createdAt", json.loads(answer.body)["session"]["createdAt"])
                self.admitted[user].append(to_epoch_microseconds(at))


def exceeded(admitted: Mapping[AppUser, Sequence[int]]) -> list[str]:
    """List the app users that were admitted more than ten times in a minute, each once.

    Args:
        admitted: The instants of their admissions, by the clocks that admitted them.
    """
    return [
        f"law 10: {user.app_user_id} of {user.customer_account_id} was admitted {most} times in a minute"
        for user, instants in admitted.items()
        if (most := most_in_a_minute(instants)) > INITIATE_LIMIT.limit
    ]


def most_in_a_minute(instants: Sequence[int]) -> int:
    """Return the number of instants in the fullest half-open minute."""
    ordered = sorted(instants)
    most, first = 0, 0
    for number, instant in enumerate(ordered):
        while ordered[first] <= instant - MINUTE:
            first += 1
        most = max(most, number - first + 1)
    return most


@contextmanager
def servers(hosts: Sequence[Host], directory: Path) -> Generator[Load, None, None]:
    """Run a server on each host, each with its own database, with shared keys."""
    callers, started = dict[str, Caller](), list[RunningServer]()
    for number, account in enumerate(ACCOUNTS):
        api_key = f"cae_live_{number}"
        callers[api_key] = caller_of(api_key, ApiKeyRequest("app-1", account))
    buckets = ((BUCKET.name, BUCKET.capacity, BUCKET.refill, BUCKET.seconds),)
    skews = [round(SKEW * (2 * number / (len(hosts) - 1) - 1)) for number in range(len(hosts))]
    try:
        for host, skew in zip(hosts, skews, strict=True):
            own = directory / f"server-{host.name}"
            own.mkdir()
            chosen = Control(
                public_url="https://pages.example", buckets=buckets, patience=None, wait=None
            )
            chosen.write(own / "control.json")
            url = sqlite(own)
            with engine_of(url) as engine:
                store = SqlStore(SqlDatabase(engine))
                for api_key, caller in callers.items():
                    store.register(ApiKey(api_key), caller)
            started.append(start_server("fastapi", url, own, skew=skew, host=host))
        yield Load(started, callers)
    finally:
        for each in started:
            each.kill()


def pass_time(load: Load, seconds: int) -> None:
    """Advance the clock of every server."""
    for each in load.servers:
        control = read_control(each.control)
        attrs.evolve(control, ahead=control.ahead + seconds * SECOND).write(each.control)


def main() -> int:
    """Run the command; return 0 if no limit was exceeded, or if that was expected."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--requests", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--each", type=int, default=6, help="how often each enemy strikes")
    parser.add_argument("--longest", type=float, default=12.0, help="twice the seconds of a fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=3, help="how many hosts have a node")
    parser.add_argument("--replicas", action="store_true", help="others take a node's place")
    parser.add_argument("--lags", action="store_true", help="and have not heard its last second")
    parser.add_argument("--blows", action="store_true", help="say each blow")
    asked = parser.parse_args()
    enter({"valkey-server": "valkey-server"})
    logging.disable(logging.WARNING)
    random = seeded(asked.seed)
    strikers = (Enemy.CRASH,) if asked.lags else (Enemy.KILL, *ENEMIES)
    wanted: dict[Enemy, int] = dict.fromkeys(strikers, asked.each)
    plan = schedule(
        random,
        wanted,
        rounds=asked.rounds,
        requests=asked.requests // asked.rounds,
        longest=asked.longest,
    )
    laws, fought = list[str](), list[str]()
    loading = 0.0
    with (
        tempfile.TemporaryDirectory(prefix="curae-engines-") as name,
        network("a", "b", "c") as hosts,
        cluster(
            hosts,
            Path(name),
            size=asked.nodes,
            replicas=asked.replicas or asked.lags,
            lags=asked.lags,
        ) as valkeys,
    ):
        os.environ["REDIS_URL"] = valkeys.urls
        with servers(hosts.hosts, Path(name)) as load:
            for number in range(asked.rounds):
                if number:
                    pass_time(load, random.choice([20, 61, 600]))
                size, begun = asked.requests // asked.rounds, time.monotonic()
                fought += load.round(f"{asked.seed} {number}", size, plan[number], against=valkeys)
                loading += time.monotonic() - begun
                laws += overdrawn(load.operations, [BUCKET], 2 * SKEW)
    over = exceeded(load.admitted)
    extra = sum(
        max(0, most_in_a_minute(each) - INITIATE_LIMIT.limit) for each in load.admitted.values()
    )
    if asked.blows:
        _say("\n".join(fought))
    statuses = ", ".join(f"{status}: {n}" for status, n in sorted(load.statuses.items()))
    _say(f"{load.sent} requests in {loading:.0f} s ({statuses})")
    _say("; ".join(f"{times} {each}" for each, times in load.blows.items()))
    _say("seconds until limits were back, for the median and the longest of each:")
    for enemy, gaps in load.away.items():
        _say(f"  {enemy}: {len(gaps)} times, {median(gaps):.1f}, {max(gaps):.1f}")
    admitted = sum(map(len, load.admitted.values()))
    _say(f"{admitted} initiates of {len(load.admitted)} app users admitted")
    _say(
        f"{len(over)} app users above ten in a minute, by {extra} in all; {len(laws)} buckets overdrawn"
    )
    _say("\n".join([*over[:10], *laws[:10]]))
    return 1 if over or laws else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    sys.exit(main())
