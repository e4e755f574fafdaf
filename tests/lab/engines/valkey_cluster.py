"""A Valkey cluster of three hosts, and what is done to it.

The slots are spread over the hosts. Without replicas a node that is gone is waited for; with them each
node has one on the next host, which takes its place.
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
"""Milliseconds after which nodes take one that says nothing for gone."""

LAG: Final = 1.0
"""Seconds for which a node's replica hears nothing of it before it is killed, where that is wanted."""

PATIENCE: Final = 60
KEPT: Final = (
    *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    *("--maxmemory-policy", "noeviction", "--cluster-enabled", "yes", "--protected-mode", "no"),
    *("--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-require-full-coverage", "no"),
)
"""How a node runs that forgets nothing, and goes on where others are gone."""

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
        """Start it, and wait until it has read back what it kept."""
        self.directory.mkdir(exist_ok=True)
        own = ("--port", str(self.port), "--dir", str(self.directory))
        bound = ("--bind", self.host.address)
        with (self.directory / "log").open("ab") as log:
            self.process = self.host.start(
                "valkey-server", *own, *bound, *KEPT, *self.settings, log=log
            )
        wait_until(self.answers, f"{self} starts")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def ask(self, *words: str | int) -> object:
        """What it answers to a command; of the hosts this process alone is never cut off."""
        with redis.Redis(self.host.address, self.port, socket_timeout=5) as client:
            return cast("object", client.execute_command(*words))

    def answers(self) -> bool:
        """Whether it is there and reads nothing back any more."""
        with suppress(redis.RedisError):
            return bool(self.ask("PING"))
        return False

    def is_well(self) -> bool:
        """Whether all slots have a node that it can reach."""
        with suppress(redis.RedisError):
            told = cast("dict[str, str]", self.ask("CLUSTER INFO"))
            return told["cluster_state"] == "ok" and told["cluster_slots_ok"] == str(SLOTS)
        return False

    def leads(self) -> bool:
        """Whether it takes charges."""
        with suppress(redis.RedisError):
            return cast("list[object]", self.ask("ROLE"))[0] in {b"master", "master"}
        return False


@attrs.define
class Cluster:
    """The nodes of three hosts.

    Attributes:
        network: Its hosts.
        nodes: The nodes that it began with; the one on each host.
        replicas: The one that follows each of them, on the next host; none without replicas.
        lags: Whether a node's replica is cut off from it before it is killed.
    """

    network: Network
    nodes: Sequence[Node]
    replicas: Sequence[Node]
    lags: bool

    @property
    def urls(self) -> str:
        """Where its servers look for it."""
        return " ".join(f"redis://{each.host.address}:{each.port}" for each in self.nodes)

    def begin(self) -> None:
        """Start every node, spread the slots, and let the replicas follow."""
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
        """Wait until every node reaches all others, and leads again where it did at first."""
        for each in (*self.nodes, *self.replicas):
            wait_until(each.is_well, f"{each} is well")
        for each in self.nodes if self.replicas else ():
            wait_until(partial(_leads_again, each), f"{each} leads again")

    def stop(self) -> None:
        """End every node."""
        for each in (*self.nodes, *self.replicas):
            if each.process is not None and each.process.poll() is None:
                each.kill()

    def strike(self, blow: Blow, random: Random) -> str:
        """Strike, and set right what can be: all nodes are there again at the end."""
        node = random.choice([each for each in (*self.nodes, *self.replicas) if each.leads()])
        host, network = node.host, self.network
        with ExitStack() as undone:
            match blow.enemy:
                case Enemy.CRASH:
                    if self.lags:
                        undone.callback(network.heal)
                        for other in [each for each in network.hosts if each is not host]:
                            network.cut(host, other)
                        # Not for so long that others notice.
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
    # It asks the one that took its place to hand over, and nothing is lost on the way.
    with suppress(redis.RedisError):
        node.ask("CLUSTER FAILOVER")
    return False


def wait_until(told: Callable[[], bool], what: str) -> None:
    """Ask again and again until it is so."""
    until = time.monotonic() + PATIENCE
    while not told():
        assert time.monotonic() < until, f"this never came true: {what}"
        time.sleep(0.1)


@contextmanager
def cluster(
    network: Network, directory: Path, *, size: int, replicas: bool, lags: bool
) -> Generator[Cluster, None, None]:
    """A cluster for as long as the context lasts.

    Args:
        network: Its three hosts.
        directory: Where its nodes keep what they keep.
        size: How many of them have a node.
        replicas: Whether each node has one that takes its place.
        lags: Whether that one is cut off from it before it is killed.
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
