"""The command that runs PostgreSQL with Patroni, etcd and haproxy on three hosts under faults."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.lab.crash.enemies import Enemy
from tests.lab.crash.place import Place
from tests.lab.engines.against_patroni import AgainstPatroni
from tests.lab.engines.contest import contend, parser
from tests.lab.engines.hosts import enter, network
from tests.lab.engines.patroni import Cluster, Setting, cluster
from tests.lab.engines.watching import Copy

ENEMIES: Final = {
    Enemy.KILL: 10,
    Enemy.PAUSE: 5,
    Enemy.CRASH: 5,
    Enemy.STOP: 5,
    Enemy.CUT_OFF: 5,
    Enemy.CUT: 5,
    Enemy.SLOW: 3,
    Enemy.LOSE: 3,
    Enemy.SWITCH_OVER: 4,
    Enemy.FAIL_OVER: 3,
    Enemy.CANCEL: 3,
}
"""The kinds of faults, with their numbers."""

PACKAGES: Final = {
    "/usr/lib/postgresql/17/bin/postgres": "postgresql-17",
    "etcd": "etcd-server",
    "patroni": "patroni",
    "/usr/lib/python3/dist-packages/etcd": "python3-etcd",
    "haproxy": "haproxy",
}
"""The Debian packages of the cluster, by a program or file of each."""


SETTINGS: Final = {
    "asynchronous": Setting(synchronous=False),
    "alone": Setting(synchronous=False, members=1),
}
"""Other settings of a cluster; the first loses acknowledged commits."""


@attrs.frozen
class Postgres:
    """The cluster as an engine.

    Attributes:
        cluster: The cluster.
        cancels: Whether waits for a standby are cancelled while links are cut.
        replaces: Whether every fault that lasts strikes the primary until another one replaces it.
    """

    cluster: Cluster
    cancels: bool = False
    replaces: bool = False

    @property
    def url(self) -> str:
        """The URL of the primary from this process."""
        return self.cluster.url

    @property
    def places(self) -> Sequence[Place]:
        """Each host, with its own way to the primary."""
        return self.cluster.places

    @property
    def copies(self) -> Mapping[str, Copy]:
        """The standbys."""
        return self.cluster.copies

    @property
    def against(self) -> AgainstPatroni:
        """The faults of the cluster."""
        return AgainstPatroni(self.cluster, cancels=self.cancels, replaces=self.replaces)


def main() -> int:
    """Run the command; return its exit status, as `contend` does."""
    enter(PACKAGES)
    words = parser(str(__doc__), ENEMIES)
    words.add_argument(
        "--wrong", choices=["asynchronous", "cancelled", "deaf"], help="what must be found"
    )
    words.add_argument("--alone", action="store_true", help="one PostgreSQL, and no enemies")
    words.add_argument("--keep", type=Path, help="where logs stay")
    asked = words.parse_args()
    setting = SETTINGS.get(asked.wrong or ("alone" if asked.alone else ""), Setting())
    with tempfile.TemporaryDirectory() as directory, network("a", "b", "c") as hosts:
        place = asked.keep or Path(directory) / "cluster"
        place.mkdir(parents=True)
        Path(directory).chmod(0o755)
        with cluster(hosts, place, setting) as made:
            cancels = asked.wrong in {"cancelled", "deaf"}
            return contend(
                # What a control must find is lost only if another primary takes over.
                Postgres(made, cancels=cancels, replaces=asked.wrong is not None),
                asked,
                {} if asked.alone else ENEMIES,
                wrong="deaf" if asked.wrong == "deaf" else None,
            )


if __name__ == "__main__":
    sys.exit(main())
