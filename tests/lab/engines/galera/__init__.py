"""A Galera cluster of MariaDB with a node on each host.

The law of this module: **a stopped cluster restarts from the most advanced node**: if no node is
left to join, each is asked for its position before one may begin.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import sqlalchemy as sa

from tests.lab.engines.galera.asking import PORT, USER, Asking, MariadbError, as_root, asking
from tests.lab.engines.hosts import Host, Network

OWNER: Final = "mysql"
DATABASE: Final = "curae"
PATIENCE: Final = 300
"""Seconds after which a missing node counts as lost."""

SETTINGS: Final = (
    "--wsrep-on=ON",
    "--wsrep-provider=/usr/lib/galera/libgalera_smm.so",
    "--wsrep-cluster-name=curae",
    "--wsrep-sst-method=rsync",
    "--wsrep-slave-threads=2",
    "--binlog-format=ROW",
    "--default-storage-engine=InnoDB",
    "--innodb-autoinc-lock-mode=2",
    # Every acknowledged transaction is in the node's log, even if all nodes end at once.
    "--innodb-flush-log-at-trx-commit=1",
    # Unfinished connections do not block a host.
    "--max-connect-errors=1000000",
    "--max-connections=200",
    "--innodb-buffer-pool-size=128M",
    "--skip-name-resolve",
)
PACKAGES: Final = {
    "mariadbd": "mariadb-server",
    "/usr/lib/galera/libgalera_smm.so": "galera-4",
    "rsync": "rsync",
    "haproxy": "haproxy",
}
"""The Debian packages of the cluster, by a program or file of each."""

PROVIDER: Final = "gcache.size=64M;gcache.recover=yes"


@attrs.define
class Node:
    """A MariaDB node on a host.

    Attributes:
        host: The host.
        directory: The folder of its data, socket and log.
        addresses: The addresses of all nodes.
        settings: Further options of the server.
        process: The running process, or None.
        is_paused: Whether the process is paused.
    """

    host: Host
    directory: Path
    addresses: Sequence[str]
    settings: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    is_paused: bool = False

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.directory / "data"

    @property
    def temporary(self) -> Path:
        """The folder of its temporary files."""
        return self.directory / "tmp"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.directory / "log"

    def url(self) -> sa.URL:
        """Return the URL of the database on it."""
        return sa.URL.create(
            "mariadb+pymysql", USER, host=self.host.address, port=PORT, database=DATABASE
        )

    def install(self) -> None:
        """Create an empty data folder."""
        self.directory.mkdir(mode=0o755)
        shutil.chown(self.directory, OWNER)
        # A server names its files there by process id, and each run reuses process ids.
        self.temporary.mkdir()
        shutil.chown(self.temporary, OWNER)
        words = ["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", f"--user={OWNER}"]
        words += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        words += [f"--tmpdir={self.temporary}"]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *, begins: bool = False) -> None:
        """Start it; it joins the others, or begins a cluster.

        Args:
            begins: Whether it begins a cluster.
        """
        assert self.process is None, "it runs"
        words = self._words()
        if begins:
            words.append("--wsrep-new-cluster")
        position = self.recovered() if (self.data / "grastate.dat").exists() else None
        if position is not None:
            # As Debian's unit does, so that the node needs only the missing transactions.
            words.append(f"--wsrep-start-position={position}")
        with self.log.open("ab") as log:
            self.process = self.host.start(*words, log=log)
        self.is_paused = False

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.process = None

    def stop(self) -> None:
        """Stop it in order."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        self.process = None

    def pause(self) -> None:
        """Pause its process."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Resume its process."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def asking(self, *, seconds: float = 2.0, sync: int = 0) -> AbstractContextManager[Asking]:
        """Open a connection of this process, which reaches every node whatever the links are."""
        return asking(self.host.address, seconds=seconds, sync=sync)

    def status(self) -> dict[str, str]:
        """Return its status variables, or none if it does not answer."""
        if self.process is None or self.is_paused:
            return {}
        try:
            with self.asking(seconds=1.0) as node:
                rows = node.ask("SHOW GLOBAL STATUS LIKE 'wsrep_%'")
                return {str(name): str(value) for name, value in rows}
        except MariadbError:
            return {}

    @property
    def is_synced(self) -> bool:
        """Return whether the node belongs to its cluster and has every transaction."""
        said = self.status()
        return said.get("wsrep_ready") == "ON" and said.get("wsrep_local_state") == "4"

    def recovered(self) -> str | None:
        """Return its history and the number of its last transaction, if any.

        It must not run.
        """
        assert self.process is None
        words = self.host.words(*self._words(), "--wsrep-recover")
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)
        with self.log.open("a") as log:
            log.write(done.stderr)
        found = re.findall(r"Recovered position:\s*([0-9a-f-]{36}:\d+)", done.stderr)
        return found[-1] if found else None

    def may_begin(self) -> None:
        """Mark it as the most advanced, so that it may begin a cluster."""
        with suppress(FileNotFoundError):
            (self.data / "gvwstate.dat").unlink()
        state = self.data / "grastate.dat"
        text = state.read_text().replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1")
        state.write_text(text)

    def _words(self) -> list[str]:
        name = self.host.name
        return [
            "mariadbd",
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.temporary}",
            f"--user={OWNER}",
            f"--socket={self.directory / 'door'}",
            f"--pid-file={self.directory / 'pid'}",
            f"--port={PORT}",
            f"--bind-address={self.host.address}",
            f"--wsrep-node-address={self.host.address}",
            f"--wsrep-node-name={name}",
            f"--wsrep-cluster-address=gcomm://{','.join(self.addresses)}",
            f"--wsrep-provider-options={PROVIDER}",
            *SETTINGS,
            *self.settings,
        ]


@attrs.define
class Galera:
    """A cluster.

    Attributes:
        network: Its hosts and links.
        nodes: Its nodes, in the order of the hosts.
    """

    network: Network
    nodes: Sequence[Node]

    @property
    def running(self) -> list[Node]:
        """The nodes with a running process."""
        return [each for each in self.nodes if each.process is not None]

    def begin(self) -> None:
        """Create the data, form the cluster, and create the database."""
        first, *others = self.nodes
        for node in self.nodes:
            node.install()
        first.start(begins=True)
        door = first.directory / "door"
        self._until(partial(_opens, door), "the first node")
        with as_root(str(door)) as root:
            root.ask(f"CREATE USER {USER}@'%'")
            root.ask(f"GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION")
            root.ask(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        for node in others:
            node.start()
            self._until(partial(_is_synced, node), node.host.name)

    def come_back(self) -> str:
        """Start stopped nodes and wait until all are synced; return how, in a word."""
        said = "joined"
        for node in self.running:
            if node.process is not None and node.process.poll() is not None:
                # It ended by itself.
                node.process = None
        ended = [node for node in self.nodes if node.process is None]
        if len(ended) == len(self.nodes):
            said = self._begin_again()
            ended = [node for node in self.nodes if node.process is None]
        for node in ended:
            node.start()
        until = time.monotonic() + PATIENCE
        while not all(node.is_synced for node in self.nodes):
            for node in self.nodes:
                assert node.process is not None
                if node.process.poll() is not None:
                    node.process = None
                    node.start()
            assert time.monotonic() < until, "the cluster does not come back: " + self.tell()
            time.sleep(0.1)
        return said

    def _begin_again(self) -> str:
        found = {node.host.name: node.recovered() or ":-1" for node in self.nodes}
        numbers = {name: int(position.partition(":")[2]) for name, position in found.items()}
        most = max(self.nodes, key=lambda node: numbers[node.host.name])
        most.may_begin()
        most.start(begins=True)
        self._until(partial(_is_synced, most), most.host.name)
        return f"formed again from {most.host.name} of {numbers}"

    def tell(self) -> str:
        """Return the state of each node."""
        names = ("wsrep_cluster_status", "wsrep_local_state_comment", "wsrep_cluster_size")
        lines = []
        for node in self.nodes:
            said = node.status()
            lines.append(f"{node.host.name}: {[said.get(name) for name in names]}")
        return "; ".join(lines)

    def stop(self) -> None:
        """Kill all nodes."""
        for node in self.nodes:
            node.kill()

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, f"{what} does not come: {self.tell()}"
            for node in self.running:
                assert node.process is not None
                assert node.process.poll() is None, node.log.read_text()[-4000:]
            time.sleep(0.1)


def _is_synced(node: Node) -> bool:
    return node.is_synced


def _opens(door: Path) -> bool:
    try:
        with as_root(str(door)):
            return True
    except MariadbError:
        return False


@contextmanager
def galera(network: Network, directory: Path, *settings: str) -> Iterator[Galera]:
    """Run a cluster on the hosts of a network within the block.

    Args:
        network: The hosts.
        directory: The folder of all its data.
        settings: Further options of each node.
    """
    directory.chmod(0o755)
    addresses = [host.address for host in network.hosts]
    nodes = [
        Node(host=host, directory=directory / host.name, addresses=addresses, settings=settings)
        for host in network.hosts
    ]
    cluster = Galera(network, nodes)
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.stop()
