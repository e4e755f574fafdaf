"""Failovers under load: a primary is killed, and its standby takes over with another clock.

    python -m tests.lab.failover

runs the crash run on a PostgreSQL primary and its standby on one machine. At each failover the
primary is killed and the standby promoted; the dead server then becomes the standby. The clock of
one server is 60 seconds behind the other's, so the service's clock steps back at the first failover
and forward at the second. Beside the checks of the crash run, every acknowledged revocation must be
read as REVOKED, and no API key may be refused for longer than the rules allow (`refused`).

Workers have one URL with both servers, which leads libpq to the one that accepts writes.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from tests.lab.crash import BUCKETS, Run, crash
from tests.lab.crash.enemies import Enemy
from tests.lab.crash.load import Load
from tests.lab.engines.watching import Watch
from tests.lab.failover.pair import BEHIND, pair
from tests.lab.failover.refused import Refusals

SLOW_BUCKETS: Final = (("platform", 660, 4, 1),)
"""Buckets with a window of 165 s: after a step back by 60 s they admit, with fewer tokens."""

FAST_BUCKETS: Final = BUCKETS
"""The standard buckets, with a window of 33 s: they refuse after such a step until it is over."""


@attrs.frozen
class Failovers:
    """The result of a run with failovers.

    Attributes:
        run: The result of the crash run.
        watch: The reads of acknowledged revocations.
        refusals: The refusals of API keys.
    """

    run: Run
    watch: Watch
    refusals: Refusals

    @property
    def broken(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.watch.broken, *self.refusals.broken, *self.run.broken]

    def __str__(self) -> str:
        # A history takes many lines.
        broken = [each.split("\n")[0] for each in self.broken[:20]]
        said = [self.run.summary, str(self.watch), str(self.refusals)]
        return "\n".join([*said, f"{len(self.broken)} violations in all", *broken])


def fail_over(
    directory: Path,
    *,
    requests: int,
    failovers: int,
    kills: int = 0,
    app: str = "fastapi",
    workers: int = 4,
    rounds: int = 2,
    users: int = 24,
    seed: int = 1,
    longest: float = 4.0,
    buckets: tuple[tuple[str, int, int, int], ...] = SLOW_BUCKETS,
    is_synchronous: bool = True,
) -> Failovers:
    """Load workers with requests during failovers, and judge what was seen.

    Args:
        directory: The folder for the control file and the log of the workers.
        requests: The least number of requests.
        failovers: The number of failovers.
        kills: The number of killed workers.
        app: The example.
        workers: The number of workers.
        rounds: The number of rounds.
        users: The number of app users.
        seed: The seed of requests and faults.
        longest: Twice the longest time for which the link is cut before a failover, in seconds.
        buckets: The standard buckets.
        is_synchronous: Whether commits wait until the standby has them.
    """
    watch, refusals = Watch(), Refusals(buckets, stepped=BEHIND)

    @contextmanager
    def beside(load: Load) -> Generator[None, None, None]:
        with watch.over(load), refusals.over(load):
            yield

    with pair(is_synchronous=is_synchronous) as servers:
        run = crash(
            app,
            servers.url.render_as_string(hide_password=False),
            directory,
            requests=requests,
            enemies={Enemy.FAIL_OVER: failovers, Enemy.KILL: kills},
            against=servers,
            steps=servers.steps,
            beside=beside,
            workers=workers,
            rounds=rounds,
            users=users,
            seed=seed,
            longest=longest,
            # All workers use the clock of the one primary.
            skew=0,
            buckets=buckets,
        )
    return Failovers(run, watch, refusals)
