"""Small worlds, and what happens in each: counts, and a line for each step of the server.

    python -m tests.testing.simulation.recorded [WORLD]

writes what happens in every world to `recorded_worlds.txt`, or prints the steps of one world.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final
from unittest import mock

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Attempt, LostLeaseAction, RecordKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId, Environment
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.log_format import format_fact
from curae_lifecycle.testing.request_store import RequestStore
from curae_lifecycle.testing.simulation import world as world_module
from curae_lifecycle.testing.simulation.mishaps import Mishap, WorldProfile
from curae_lifecycle.testing.simulation.server import (
    FactTransaction,
    OpenRequest,
    SimulatedServer,
)
from curae_lifecycle.testing.simulation.summary import Summary
from curae_lifecycle.testing.simulation.world import Simulation
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

_MOST_STEPS: Final = 2000
FILE: Final = Path(__file__).with_name("recorded_worlds.txt")


class Contended(MemoryStore):
    """A store in which every third commit conflicts."""

    turn = 0

    def _store(self, writes: tuple[Write, ...]) -> bool:
        self.turn += 1
        return self.turn % 3 > 0 and super()._store(writes)


@attrs.frozen
class World:
    """The arguments of a world, and its profile; the seed draws the profile if it is None."""

    seed: int
    clients: int
    hours: int
    profile: WorldProfile | None = None
    make_store: Callable[[Settings], MemoryStore] = MemoryStore


def _profile(
    rates: Mapping[Mishap, float],
    *,
    requests_per_hour: int = 60,
    days_of_a_user: float = 1,
    settings: Settings = DEFAULT_SETTINGS,
) -> WorldProfile:
    return WorldProfile(
        rates=rates,
        requests_per_hour=requests_per_hour,
        users=2,
        days_of_a_user=days_of_a_user,
        settings=settings,
    )


_TIGHT: Final = Settings(
    Environment.LIVE, (Bucket(name="minute", capacity=2, refill=1, seconds=60),)
)


def _often(*mishaps: Mishap, rate: float = 0.2) -> World:
    return World(0, clients=3, hours=2, profile=_profile(dict.fromkeys(mishaps, rate)))


WORLDS: Final = {
    **{f"seed {seed}": World(seed, clients=2, hours=1) for seed in range(3)},
    "no mishaps": World(0, clients=3, hours=3, profile=_profile({})),
    "a bad network": _often(
        *(Mishap.REQUEST_LOST, Mishap.ANSWER_LOST, Mishap.DUPLICATED, Mishap.DELAYED),
    ),
    "bad workers": _often(
        *(Mishap.SLOW_WORKER, Mishap.CRASH_BEFORE_STORE, Mishap.CRASH_AFTER_STORE),
        Mishap.SHIPPER_DIED,
    ),
    "bad clocks": _often(
        *(Mishap.CLOCK_MOVED, Mishap.CLOCKS_APART, Mishap.CLOCKS_STEPPED, Mishap.RECORDED_LATE),
        rate=0.4,
    ),
    "external calls": _often(
        *(Mishap.EXTERNAL_CALL, Mishap.DIED_DURING_CALL, Mishap.ANSWER_ERASED)
    ),
    "bad apps": _often(
        *(Mishap.KEY_REUSED, Mishap.DOUBLE_CLICK, Mishap.BURST, Mishap.BROKEN_REQUEST),
        *(Mishap.FOREIGN_ID, Mishap.WRONG_API_KEY),
    ),
    "bad facts": _often(
        *(Mishap.RECORDED_LATE, Mishap.RECORDED_TWICE, Mishap.UNEXPECTED_FACT),
        *(Mishap.CONCURRENT_REQUEST, Mishap.CONCURRENT_TOMBSTONE),
    ),
    "many conflicts": World(
        0,
        clients=2,
        hours=2,
        profile=_profile({Mishap.EXTERNAL_CALL: 0.3, Mishap.RECORDED_LATE: 0.3}),
        make_store=Contended,
    ),
    "calls that outlast their keys": World(
        2, clients=1, hours=30, profile=_profile({Mishap.EXTERNAL_CALL: 1}, requests_per_hour=2)
    ),
    "keys that are reused": World(
        2,
        clients=1,
        hours=27,
        profile=_profile(
            {Mishap.ANSWER_LOST: 1, Mishap.KEY_REUSED: 0.3, Mishap.KEY_OLD: 0.3},
            requests_per_hour=2,
        ),
    ),
    "few requests in two days": World(
        0,
        clients=1,
        hours=32,
        profile=_profile(
            dict.fromkeys(Mishap, 0.1), requests_per_hour=3, days_of_a_user=0.3, settings=_TIGHT
        ),
    ),
}
"""The worlds by name. The mishaps of most are chosen, so that a short world has them often."""


class _RecordedServer(SimulatedServer):
    """A server that adds a line to `steps` for each step of the world."""

    steps: list[str]

    def load(
        self, request: Request, now: datetime, store: RequestStore | None = None
    ) -> OpenRequest | Answer:
        loaded = super().load(request, now, store)
        self._add(now, f"load {_request(request)}", loaded)
        return loaded

    def commit(self, transaction: OpenRequest, new_ids: NewIds) -> Answer | None:
        answer = super().commit(transaction, new_ids)
        self._add(
            transaction.now, f"commit {_request(transaction.request)}", answer, new_ids=new_ids
        )
        return answer

    def begin_external_call(
        self, transaction: OpenRequest, new_ids: NewIds, lease: int, lost_lease: LostLeaseAction
    ) -> Answer | None:
        answer = super().begin_external_call(
            transaction, new_ids, lease=lease, lost_lease=lost_lease
        )
        what = f"begin a call of {lease} us ({lost_lease}) for {_request(transaction.request)}"
        self._add(transaction.now, what, answer or transaction.attempt, new_ids=new_ids)
        return answer

    def renew_lease(
        self, transaction: OpenRequest, attempt: Attempt, now: datetime, lease: int
    ) -> None:
        super().renew_lease(transaction, attempt, now=now, lease=lease)
        self._add(now, f"renew the lease of {attempt.key.key} for {lease} us", None)

    def finish_external_call(
        self, transaction: OpenRequest, attempt: Attempt, now: datetime, new_ids: NewIds
    ) -> Answer | None:
        answer = super().finish_external_call(transaction, attempt, now=now, new_ids=new_ids)
        what = f"finish the call of {attempt.key.key} for {_request(transaction.request)}"
        self._add(now, what, answer, new_ids=new_ids)
        return answer

    def load_fact(self, fact: Fact, now: datetime) -> FactTransaction:
        loaded = super().load_fact(fact, now)
        self._add(now, f"load {_fact(fact)}", None)
        return loaded

    def commit_fact(self, transaction: FactTransaction) -> FactAnswer | None:
        answer = super().commit_fact(transaction)
        self._add(transaction.now, f"commit {_fact(transaction.fact)}", type(answer).__name__)
        return answer

    def decide_access(
        self, caller: Caller, connection_id: ConnectionId, package: str, now: datetime
    ) -> str:
        answer = super().decide_access(caller, connection_id, package, now=now)
        self._add(now, f"{caller.api_key_id} reads {package} of {connection_id}", answer)
        return answer

    def resolve_attempt(self, key: RecordKey, now: datetime, *, took_effect: bool) -> None:
        super().resolve_attempt(key, now, took_effect=took_effect)
        self._add(now, f"resolve {_key(key)}", took_effect)

    def erase_response(self, key: RecordKey, now: datetime) -> None:
        super().erase_response(key, now)
        self._add(now, f"erase {_key(key)}", None)

    def limit_purge_to(self, now: datetime) -> None:
        super().limit_purge_to(now)
        self._add(now, "limit purges", None)

    def purge(self, now: datetime) -> int:
        purged = super().purge(now)
        self._add(now, "purge", purged)
        return purged

    def _add(self, at: datetime, what: str, result: object, new_ids: NewIds | None = None) -> None:
        user = "nobody" if self.current_user is None else self.current_user.app_user_id
        ids = "" if new_ids is None else f" ({_new_ids(new_ids)})"
        totals = f"{self.conflicts} conflicts, {self.outbox.shipped} shipped"
        totals += f", {len(self.unrecorded)} unrecorded"
        assert len(self.steps) < _MOST_STEPS, "the world does not end"
        self.steps.append(f"{at.isoformat()} {user}: {what}{ids}: {_result(result)}; {totals}")


def _new_ids(ids: NewIds) -> str:
    return f"{ids.connection_id}, page until {ids.next_action.expires_at.isoformat()}"


def _key(key: RecordKey) -> str:
    return f"{key.key} of {key.owner.api_key_id}"


def _request(request: Request) -> str:
    return f"{request.method} {request.target} {request.headers} {request.body!r}"


def _fact(fact: Fact) -> str:
    return f"{json.dumps(format_fact(fact))} on {fact.page_url}"


def _result(result: object) -> str:
    match result:
        case Answer():
            writes = ", ".join(map(_write, result.changes.writes))
            return f"{result.response.status} replayed={result.replayed} [{writes}]"
        case OpenRequest():
            return "loaded"
        case Attempt():
            return f"began {result.key.key}"
        case _:
            return str(result)


def _write(write: Write) -> str:
    if isinstance(write, ConnectionWrite):
        return f"ConnectionWrite {write.after.status} until {write.after.expires_at}"
    return type(write).__name__


def run(world: World) -> tuple[Summary, list[str]]:
    """Run a world; return its summary, and a line for each step of its server."""
    recorded: list[str] = []

    class Server(_RecordedServer):
        steps = recorded

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(world_module, "SimulatedServer", Server))
        if world.profile is not None:
            drawn = mock.Mock(return_value=world.profile)
            stack.enter_context(mock.patch.object(WorldProfile, "draw", drawn))
        simulation = Simulation(
            world.seed, clients=world.clients, hours=world.hours, make_store=world.make_store
        )
        hours = list(simulation.run())
    assert hours == [*range(1, world.hours + 1)]
    return simulation.summary, recorded


def describe(name: str) -> str:
    """Run a world; return its counts and a digest of its steps as lines of text."""
    summary, steps = run(WORLDS[name])
    assert summary.violation is None
    digest = hashlib.sha256("\n".join(steps).encode()).hexdigest()
    lines = [f"== {name}", f"{summary.headline()}, {summary.shipped} shipped"]
    for line in summary.lines():
        number, _, what = line.strip().partition("  ")
        if what:
            lines[-1] += f"{what} {number}; "
        else:
            lines.append(f"{line}: ")
    lines = [line.rstrip("; ") for line in lines]
    return "\n".join([*lines, f"{len(steps)} steps: {digest}", ""])


def main(*names: str) -> None:
    """Print the steps of the named worlds; without names, write the file of all worlds."""
    for name in names:
        sys.stdout.writelines(f"{step}\n" for step in run(WORLDS[name])[1])
    if not names:
        FILE.write_text("".join(map(describe, WORLDS)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
