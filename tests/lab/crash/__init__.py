"""Servers that enemies work against, under load, and the judge of all that was seen.

    python -m tests.lab.crash

runs it at the size that the docs publish, on PostgreSQL, and says what it saw. Several workers of
one example share one database; their clocks disagree. Workers are killed and stand still, the
database is ended and stands still, its connections and its disk run out (`enemies`). Clients send
requests and note what they saw (`load`). Between rounds everything comes to rest and the clock moves
on. For each user and each round some order must explain all that was seen and all that is stored
(`search`), in a world where `decide` and `record_fact` alone say what happens (`world`). At the end
everything in the database and everything that was answered is held against the laws (`judge`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Final

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import SECOND, to_epoch_microseconds
from tests.lab.crash.enemies import Against, AgainstPostgres, AgainstSqlite, Enemy, schedule
from tests.lab.crash.judging import Judged, judge_round, lost, overdrawn, uncharged
from tests.lab.crash.load import PAGES, Load, seeded, true_time
from tests.lab.crash.place import Place
from tests.lab.crash.rest import Reader, Whole
from tests.lab.crash.search import BUDGET
from tests.lab.judge import judge
from tests.support.databases.postgres import Cluster
from tests.support.wire.running import engine_of
from tests.support.wire.serve import read_control

BUCKETS: Final = (("platform", 660, 20, 1),)
"""The standard buckets of each API key: they refuse a part of the load."""

SKEW: Final = 15.0
"""How many seconds the clock of the first worker is behind, and that of the last one ahead."""


@attrs.define
class Run:
    """What happened.

    Attributes:
        sent: How many requests were sent, each attempt counted.
        cut: How many of them ended with no answer.
        unknown: How many operations had no answer that says what became of them.
        blows: How often each enemy struck.
        fought: Each blow: after how many requests, and what it was.
        gaps: For how many seconds no commit was answered, of each blow against the database.
        statuses: How often each status was answered.
        judged: What the searches found.
        laws: Which laws were broken, and how.
        seconds: How long the load took.
        judging: How long the searches took.
    """

    sent: int
    cut: int
    unknown: int
    blows: Counter[Enemy]
    fought: list[str]
    gaps: Mapping[Enemy, Sequence[float]]
    statuses: Counter[int]
    judged: Judged
    laws: list[str]
    seconds: float
    judging: float

    @property
    def broken(self) -> list[str]:
        """All that is wrong."""
        return [*self.laws, *self.judged.broken]

    def __str__(self) -> str:
        return "\n".join([self.summary, *self.broken[:10]])

    @property
    def summary(self) -> str:
        """All but what is wrong, in a few lines."""
        statuses = ", ".join(f"{status}: {n}" for status, n in sorted(self.statuses.items()))
        blows = ", ".join(f"{self.blows[each]} {each}" for each in Enemy if self.blows[each])
        judged = self.judged
        searched = (
            f"{judged.histories} histories, the longest of {judged.longest} operations, "
            f"explained by executing {judged.executed} in {self.judging:.0f} s; "
            f"{judged.undecided} undecided"
        )
        return "\n".join(
            [
                f"{self.sent} requests in {self.seconds:.0f} s ({statuses})",
                f"{blows}; {self.cut} answers cut off, {self.unknown} outcomes unknown",
                searched,
                f"{len(self.broken)} violations",
            ]
        )


def crash(
    app: str,
    url: str,
    directory: Path,
    *,
    requests: int,
    enemies: Mapping[Enemy, int],
    cluster: Cluster | None = None,
    against: Against | None = None,
    places: Sequence[Place] = (),
    beside: Callable[[Load], AbstractContextManager[object]] = nullcontext,
    workers: int = 4,
    rounds: int = 5,
    users: int = 24,
    seed: int = 1,
    longest: float = 8.0,
    skew: float = SKEW,
    buckets: tuple[tuple[str, int, int, int], ...] = BUCKETS,
    budget: int = BUDGET,
    wrong: str | None = None,
) -> Run:
    """Load workers with requests, let enemies strike, and judge what was seen and what is left.

    Args:
        app: The example.
        url: A new database.
        directory: For what controls the workers, and for their log.
        requests: How many requests to send at least.
        enemies: How often each enemy strikes.
        cluster: The server of the database, where enemies work against it.
        against: What is done to the database, where it is none of a single server.
        places: Where workers run, and their ways to the database; all on this machine, where
            none is given.
        beside: What is done besides, for as long as there is load.
        workers: How many run at any time.
        rounds: Between two rounds the clock moves on, by up to an hour.
        users: How many app users there are.
        seed: Of what is sent and when who strikes; how they interleave is the machine's.
        longest: For how many seconds an enemy stays at most.
        skew: How many seconds the clock of the first worker is behind, and of the last one ahead.
        buckets: The standard buckets.
        budget: How many times an operation is executed for one history, before it is given up.
        wrong: In what way the store of each worker is wrong.
    """
    random = seeded(seed)
    parsed = sa.make_url(url)
    if against is None:
        against = (
            AgainstSqlite(parsed)
            if parsed.drivername.startswith("sqlite")
            else AgainstPostgres(cluster, parsed)
        )
    plan = schedule(random, enemies, rounds=rounds, requests=requests // rounds, longest=longest)
    judged, laws, judging, loading = Judged(), list[str](), 0.0, 0.0
    with engine_of(url) as engine:
        load = Load.begin(
            app,
            engine=engine,
            directory=directory,
            against=against,
            places=places or [Place(url)],
            skews=_skews(skew, workers),
            users=users,
            buckets=buckets,
            wrong=wrong,
        )
        reader = Reader(engine)
        try:
            base = reader.read()
            for number in range(rounds):
                if number:
                    base = _pass_time(
                        load,
                        reader=reader,
                        before=base,
                        seconds=random.choice([20, 61, 600, 2400]),
                        laws=laws,
                    )
                begun = time.perf_counter()
                first = true_time()
                with beside(load):
                    seen = load.round(f"{seed} {number}", requests // rounds, plan[number])
                loading += time.perf_counter() - begun
                begun = time.perf_counter()
                rest = reader.read(base.number)
                ahead = read_control(load.behind.control).ahead
                judge_round(
                    judged,
                    operations=seen,
                    base=base,
                    rest=rest,
                    keys=load.keys,
                    users=load.app_users,
                    ahead=ahead,
                    until=true_time(),
                    budget=budget,
                )
                behind, chosen = round(skew * SECOND), [Bucket(*each) for each in buckets]
                laws += overdrawn(seen, chosen, 2 * behind)
                laws += uncharged(
                    seen, buckets=chosen, before=base, after=rest, earliest=first + ahead - behind
                )
                judging += time.perf_counter() - begun
                base = rest
        finally:
            load.stop()
        now = load.behind.now() + timedelta(seconds=skew)
        laws += judge(engine, now, load.answers)
    laws += load.stalled
    if wrong is None:
        laws += [f"the log says: {line}" for line in _told(directory / "log")]
    return Run(
        sent=load.sent,
        cut=load.cut,
        unknown=load.unknown,
        blows=load.blows,
        fought=load.fought,
        gaps=load.gaps,
        statuses=load.statuses,
        judged=judged,
        laws=laws,
        seconds=loading,
        judging=judging,
    )


def _skews(skew: float, workers: int) -> Sequence[int]:
    # From the one that is most behind to the one that is most ahead.
    return [
        round(skew * SECOND * (2 * number / max(1, workers - 1) - 1)) for number in range(workers)
    ]


def _pass_time(load: Load, reader: Reader, before: Whole, seconds: int, laws: list[str]) -> Whole:
    load.behind.pass_time(timedelta(seconds=seconds))
    after = reader.read(before.number)
    laws += lost(before, after, to_epoch_microseconds(load.behind.now()))
    return after


def _told(log: Path) -> list[str]:
    # What no log may hold: a key, a hosted page, an app user; and what nobody foresaw.
    secrets = ("cae_", PAGES, "/pages/", "user-")
    lines = log.read_text().splitlines()
    told = [line for line in lines if any(each in line for each in secrets)]
    for number, line in enumerate(lines):
        if "Traceback" in line:
            # Its last line says what it was.
            after = (each for each in lines[number + 1 :] if not each.startswith(" "))
            told.append(f"{line} ... {next(after, '')}")
    return told
