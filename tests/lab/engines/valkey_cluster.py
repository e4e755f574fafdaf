"""A Valkey cluster of three hosts, and its faults.

The slots are spread over the hosts. Without replicas a missing node makes requests wait; with them
each node has a replica on the next host, which takes over.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, cast

import attrs
import redis

from tests.lab.crash.enemies import Blow, Enemy
from tests.lab.engines.hosts import Host, Network

PORT: Final = 7000
REPLICA_PORT: Final = 7001
SLOTS: Final = 16384
NODE_TIMEOUT: Final = 2000
"""Milliseconds after which a silent node counts as gone."""

LAG: Final = 1.0
"""Seconds for which a node's replica is cut off before the node is killed, if requested."""

PATIENCE: Final = 60
KEPT: Final = (
    *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    *("--maxmemory-policy", "noeviction", "--cluster-enabled", "yes", "--protected-mode", "no"),
    *("--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-require-full-coverage", "no"),
)
"""Options of a node that persists everything, and continues without missing nodes."""

ENEMIES: Final = (Enemy.CRASH, Enemy.STOP, Enemy.CUT_OFF, Enemy.CUT, Enemy.SLOW, Enemy.LOSE)


@attrs.define
class Node:
    """A server of the cluster."""

    host: Host
    port: int
    directory: Path
    settings: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return f"{self.host.name}:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it has loaded its data."""
        self.directory.mkdir(exist_ok=True)
        own = ("--port", str(self.port), "--dir", str(self.directory))
        bound = ("--bind", self.host.address)
        with (self.directory / "log").open("ab") as log:
            self.process = self.host.start(
                "valkey-server", *own, *bound, *KEPT, *self.settings, log=log
            )
        wait_until(self.answers, f"{self} starts")

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def ask(self, *words: str | int) -> object:
        """Run a command on it; this process is never cut off from a host."""
        with redis.Redis(self.host.address, self.port, socket_timeout=5) as client:
            return cast("object", client.execute_command(*words))

    def answers(self) -> bool:
        """Return whether it answers and has loaded its data."""
        with suppress(redis.RedisError):
            return bool(self.ask("PING"))
        return False

    def is_well(self) -> bool:
        """Return whether it reaches a node for every slot."""
        with suppress(redis.RedisError):
            told = cast("dict[str, str]", self.ask("CLUSTER INFO"))
            return told["cluster_state"] == "ok" and told["cluster_slots_ok"] == str(SLOTS)
        return False

    def leads(self) -> bool:
        """Return whether it accepts charges."""
        with suppress(redis.RedisError):
            return cast("list[object]", self.ask("ROLE"))[0] in {b"master", "master"}
        return False


@attrs.define
class Cluster:
    """The nodes of three hosts.

    Attributes:
        network: Its hosts.
        nodes: The first primaries, one on each host.
        replicas: The replica of each of them, on the next host; empty without replicas.
        lags: Whether a node's replica is cut off before the node is killed.
    """

    network: Network
    nodes: Sequence[Node]
    replicas: Sequence[Node]
    lags: bool

    @property
    def urls(self) -> str:
        """The URLs for the servers."""
        return " ".join(f"redis://{each.host.address}:{each.port}" for each in self.nodes)

    def begin(self) -> None:
        """Start every node, spread the slots, and attach the replicas."""
        for each in (*self.nodes, *self.replicas):
            each.start()
        first = self.nodes[0]
        share = -(-SLOTS // len(self.nodes))
        for number, each in enumerate(self.nodes):
            last = min(SLOTS, (number + 1) * share) - 1
            each.ask("CLUSTER ADDSLOTSRANGE", number * share, last)
            each.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for each in (*self.nodes[1:], *self.replicas):
            first.ask("CLUSTER MEET", each.host.address, each.port)
        self.settle()
        for node, replica in zip(self.nodes, self.replicas, strict=False):
            name = cast("bytes", node.ask("CLUSTER MYID")).decode()
            replica.ask("CLUSTER REPLICATE", name)
        wait_until(lambda: not any(each.leads() for each in self.replicas), "replicas follow")
        self.settle()

    def settle(self) -> None:
        """Wait until every node reaches all others, and the first primaries lead again."""
        for each in (*self.nodes, *self.replicas):
            wait_until(each.is_well, f"{each} is well")
        for each in self.nodes if self.replicas else ():
            wait_until(partial(_leads_again, each), f"{each} leads again")

    def stop(self) -> None:
        """Stop every node."""
        for each in (*self.nodes, *self.replicas):
            if each.process is not None and each.process.poll() is None:
                each.kill()

    def strike(self, blow: Blow, random: Random) -> str:
        """Inject a fault and repair it: all nodes run again at the end."""
        node = random.choice([each for each in (*self.nodes, *self.replicas) if each.leads()])
        host, network = node.host, self.network
        with ExitStack() as undone:
            match blow.enemy:
                case Enemy.CRASH:
                    if self.lags:
                        undone.callback(network.heal)
                        for other in [each for each in network.hosts if each is not host]:
                            network.cut(host, other)
                        # Too short for others to notice.
                        time.sleep(LAG)
                    node.kill()
                    undone.callback(node.start)
                case Enemy.STOP:
                    assert node.process is not None
                    node.process.send_signal(signal.SIGSTOP)
                    undone.callback(node.process.send_signal, signal.SIGCONT)
                case Enemy.CUT_OFF:
                    undone.callback(network.heal)
                    network.cut_off(host)
                case Enemy.CUT:
                    other = random.choice([each for each in network.hosts if each is not host])
                    undone.callback(network.heal)
                    network.cut(host, other)
                case Enemy.SLOW:
                    undone.callback(network.heal)
                    network.slow(host, 256)
                case Enemy.LOSE:
                    undone.callback(network.heal)
                    network.lose(host, 20)
                case _:
                    raise AssertionError(blow.enemy)
            time.sleep(blow.seconds)
        self.settle()
        return f"{node} for {blow.seconds:.1f} s"


def _leads_again(node: Node) -> bool:
    if node.leads():
        return True
    # It asks its successor to hand over, which loses nothing.
    with suppress(redis.RedisError):
        node.ask("CLUSTER FAILOVER")
    return False


def wait_until(told: Callable[[], bool], what: str) -> None:
    """Poll until a condition holds."""
    until = time.monotonic() + PATIENCE
    while not told():
        assert time.monotonic() < until, f"this never came true: {what}"
        time.sleep(0.1)


@contextmanager
def cluster(
    network: Network, directory: Path, *, size: int, replicas: bool, lags: bool
) -> Generator[Cluster, None, None]:
    """Run a cluster within the block.

    Args:
        network: Its three hosts.
        directory: The folder of its data.
        size: The number of hosts with a node.
        replicas: Whether each node has a replica.
        lags: Whether the replica is cut off before its node is killed.
    """
    hosts = network.hosts[:size]
    others = (*hosts[1:], hosts[0]) if replicas else ()
    made = Cluster(
        network=network,
        nodes=[Node(each, PORT, directory / f"{each.name}-{PORT}") for each in hosts],
        replicas=[
            Node(each, REPLICA_PORT, directory / f"{each.name}-{REPLICA_PORT}") for each in others
        ],
        lags=lags,
    )
    try:
        made.begin()
        yield made
    finally:
        made.stop()
