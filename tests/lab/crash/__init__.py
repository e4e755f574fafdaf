"""Crash runs: servers under load and faults, and a judge of everything that was seen.

    python -m tests.lab.crash

runs it at the published size, on PostgreSQL, and prints what it saw. Several workers of one
example share one database; their clocks disagree. Workers are killed and paused, the database is
stopped and paused, its connections and its disk run out (`enemies`). Clients send requests and
note the responses (`load`). Between rounds everything comes to rest and the clock advances. For
each user and each round some order must explain all responses and all stored values (`search`), in
a world in which `decide` and `record_fact` alone define each operation (`world`). At the end the
laws are checked on the whole database and all responses (`judge`).
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
from tests.lab.crash.judging import (
    UNDECIDED,
    Judged,
    judge_round,
    lost,
    overdrawn,
    uncharged,
)
from tests.lab.crash.load import PAGES, Load, seeded, true_time
from tests.lab.crash.place import Place
from tests.lab.crash.rest import Reader, Whole
from tests.lab.crash.search import BUDGET
from tests.lab.crash.steps import Steps
from tests.lab.judge import judge
from tests.support.databases.postgres import Cluster
from tests.support.wire.running import engine_of
from tests.support.wire.serve import read_control

BUCKETS: Final = (("platform", 660, 20, 1),)
"""The standard buckets of each API key, which refuse a part of the load."""

SKEW: Final = 15.0
"""The clock skew of the first worker behind and of the last worker ahead, in seconds."""


def exit_status(broken: Sequence[str]) -> int:
    """Return the exit status of a command that found these violations.

    Returns:
        0 for none; 1 for at least one; 3 if searches were given up, and nothing else was found.
    """
    if all(each.startswith(UNDECIDED) for each in broken):
        return 3 if broken else 0
    return 1


@attrs.define
class Run:
    """The result of a run.

    Attributes:
        sent: The number of requests, each attempt counted.
        cut: The number of requests without a response.
        unknown: The number of operations without a known outcome.
        blows: The number of faults of each kind.
        fought: Each fault, after so many requests.
        gaps: The seconds without a successful commit, for each fault of the database.
        statuses: The number of responses with each status.
        judged: The results of the searches.
        laws: The broken laws.
        seconds: The duration of the load.
        judging: The duration of the searches.
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
        """Everything that is wrong."""
        return [*self.laws, *self.judged.broken]

    def __str__(self) -> str:
        return "\n".join([self.summary, *self.broken[:10]])

    @property
    def summary(self) -> str:
        """The result in a few lines, without what is wrong."""
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


def crash_until_decided(run: Callable[[int], Run]) -> Run:
    """Run with the seeds 1 to 3, until nothing is undecided; return the last run.

    Many operations at once can have more orders than a search tries. Such a run shows neither a
    violation nor that there is none.
    """
    seen = run(1)
    for seed in (2, 3):
        if exit_status(seen.broken) == 3:
            seen = run(seed)
    return seen


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
    steps: Steps | None = None,
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
    """Load workers with requests, inject faults, and judge the responses and the database.

    Args:
        app: The example.
        url: A new database.
        directory: The folder for the control file and the log of the workers.
        requests: The least number of requests.
        enemies: The number of faults of each kind.
        cluster: The server of the database, if faults hit it.
        against: The faults of a database that is not a single server.
        places: The places of workers, with their URLs of the database; this machine by default.
        steps: The steps of the database's clock, which `against` adds; none by default.
        beside: A context that is open during the load.
        workers: The number of workers.
        rounds: The number of rounds; the clock advances by up to an hour between two.
        users: The number of app users.
        seed: The seed of requests and faults; their interleaving is the machine's.
        longest: The longest duration of a fault, in seconds.
        skew: The clock skew of the first worker behind and of the last ahead, in seconds.
        buckets: The standard buckets.
        budget: The most executions of operations for one history.
        wrong: The mistake of each worker's store, if any.
    """
    random = seeded(seed)
    parsed, steps = sa.make_url(url), steps or Steps()
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
                ahead, until = read_control(load.behind.control).ahead, true_time()
                seen = steps.applied(seen, until)
                judge_round(
                    judged,
                    operations=seen,
                    base=base,
                    rest=rest,
                    keys=load.keys,
                    users=load.app_users,
                    ahead=ahead,
                    until=until,
                    budget=budget,
                )
                behind, chosen = round(skew * SECOND), [Bucket(*each) for each in buckets]
                laws += overdrawn(seen, chosen, 2 * behind + steps.forward(first, until))
                slowest = ahead - behind + steps.offsets(first, until)[0]
                laws += uncharged(
                    seen, buckets=chosen, before=base, after=rest, earliest=first + slowest
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
    # From the clock that is furthest behind to the one that is furthest ahead.
    return [
        round(skew * SECOND * (2 * number / max(1, workers - 1) - 1)) for number in range(workers)
    ]


def _pass_time(load: Load, reader: Reader, before: Whole, seconds: int, laws: list[str]) -> Whole:
    load.behind.pass_time(timedelta(seconds=seconds))
    after = reader.read(before.number)
    laws += lost(before, after, to_epoch_microseconds(load.behind.now()))
    return after


def _told(log: Path) -> list[str]:
    # Texts that no log may contain: keys, hosted pages, app users; and unexpected errors.
    secrets = ("cae_", PAGES, "/pages/", "user-")
    lines = log.read_text().splitlines()
    told = [line for line in lines if any(each in line for each in secrets)]
    for number, line in enumerate(lines):
        if "Traceback" in line:
            # The last line of a traceback names the error.
            after = (each for each in lines[number + 1 :] if not each.startswith(" "))
            told.append(f"{line} ... {next(after, '')}")
    return told
