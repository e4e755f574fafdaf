"""The command that runs a Galera cluster on three hosts under load and faults."""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.lab.crash import Run, crash, exit_status
from tests.lab.crash.place import Place
from tests.lab.engines.galera import PACKAGES, Galera, galera
from tests.lab.engines.galera.against import LONGEST, AgainstGalera, enemies
from tests.lab.engines.galera.front import front, url
from tests.lab.engines.galera.races import race, read_revoked
from tests.lab.engines.galera.watch import Watch
from tests.lab.engines.hosts import enter, network
from tests.support.wire.databases import WRONG, spoil

HOSTS = ("a", "b", "c")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--writers", choices=["one", "all"], default="one")
    parser.add_argument("--requests", type=int, default=8_500, help="at least")
    parser.add_argument("--faults", type=int, default=35, help="of the database")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--users", type=int, default=96)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--sync-wait", type=int, default=1, help="wsrep_sync_wait of every node")
    parser.add_argument("--wrong", choices=WRONG)
    parser.add_argument("--budget", type=int, default=400_000, help="executions for one history")
    parser.add_argument("--races", type=int, help="run so many races and no load")
    parser.add_argument("--reads", type=int, help="revoke and read so often, and no load")
    parser.add_argument("--blows", action="store_true", help="say each blow")
    parser.add_argument("--keep", type=Path, help="where logs are left, and all that is wrong")
    asked = parser.parse_args()
    enter(PACKAGES)
    # Retries of this process are not logged.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="curae-galera-") as name, ExitStack() as stack:
        directory = Path(name)
        hosts = stack.enter_context(network(*HOSTS[: asked.nodes]))
        if asked.keep is not None:
            stack.callback(_keep, directory, asked.keep)
        setting = f"--wsrep-sync-wait={asked.sync_wait}"
        cluster = stack.enter_context(galera(hosts, directory, setting))
        if asked.reads is not None:
            read = read_revoked(cluster, asked.reads)
            print(read)  # noqa: T201 - a command's answer
            return 1 if read.otherwise else 0
        if asked.races is not None:
            spoil(asked.wrong)
            found = race(cluster, asked.races)
            print(found)  # noqa: T201 - a command's answer
            return 1 if found.broken else 0
        watch = Watch(cluster)
        places = stack.enter_context(_ways(cluster, directory, asked.writers))
        seen = crash(
            "flask",
            url().render_as_string(),
            directory / "workers",
            requests=asked.requests,
            enemies=enemies(asked.faults),
            against=AgainstGalera(cluster),
            places=places,
            beside=watch.beside,
            workers=asked.workers,
            rounds=asked.rounds,
            users=asked.users,
            seed=asked.seed,
            longest=LONGEST,
            budget=asked.budget,
            wrong=asked.wrong,
        )
    seen.laws += watch.broken
    if asked.blows:
        print("\n".join(seen.fought))  # noqa: T201 - the same
    if asked.keep is not None:
        (asked.keep / "broken").write_text("\n\n".join(seen.broken))
    # The first line of each violation describes it.
    broken = [each.partition("\n")[0][:400] for each in seen.broken[:10]]
    lines = [seen.summary, *broken, *_gaps(seen), str(watch)]
    print("\n".join(lines))  # noqa: T201 - the same
    return exit_status(seen.broken)


@contextmanager
def _ways(cluster: Galera, directory: Path, writers: str) -> Iterator[list[Place]]:
    # Other clients connect through a HAProxy too.
    with ExitStack() as stack:
        in_order = writers == "one"
        stack.enter_context(front(None, cluster.nodes, directory, in_order=in_order))
        if not in_order:
            # Each worker uses only the node of its own host.
            yield [Place(each.url().render_as_string(), each.host) for each in cluster.nodes]
            return
        for node in cluster.nodes:
            stack.enter_context(front(node.host, cluster.nodes, directory, in_order=True))
        yield [Place(url().render_as_string(), node.host) for node in cluster.nodes]


def _gaps(run: Run) -> Iterator[str]:
    for enemy, gaps in run.gaps.items():
        middle, longest = statistics.median(gaps), max(gaps)
        yield f"{len(gaps)} {enemy}: no commit for {middle:.1f} s (median), {longest:.1f} s (longest)"


def _keep(directory: Path, place: Path) -> None:
    place.mkdir(exist_ok=True, parents=True)
    for log in [*directory.glob("*/log"), *directory.glob("haproxy*")]:
        kept = place / f"{log.parent.name}-{log.name}"
        kept.write_bytes(log.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
