"""Faults of a Galera cluster in use.

The law of this module: **after a fault, every node belongs to the cluster and is synced**.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from random import Random
from typing import Final

import attrs

from tests.lab.crash.enemies import Blow, Enemy
from tests.lab.engines.galera import Galera, Node
from tests.lab.engines.galera.asking import USER, MariadbError

PATIENCE: Final = 60
LONGEST: Final = 10.0
"""The longest duration of a fault, in seconds: nodes drop each other after five."""

_LONGER: Final = 2
"""The factor for silent nodes, so that the others often drop them."""

_BUSY: Final = (
    "SELECT id FROM information_schema.processlist "
    "WHERE user = %s AND command = 'Query' AND id <> CONNECTION_ID()"
)


def enemies(faults: int) -> Mapping[Enemy, int]:
    """Return the given number of database faults, of every kind, and half as many of workers."""
    kinds = (
        Enemy.CRASH,
        Enemy.CUT_OFF,
        Enemy.STOP,
        Enemy.CUT,
        Enemy.LOSE,
        Enemy.SLOW,
        Enemy.RESTART,
    )
    wanted = dict.fromkeys(kinds, 0)
    for number in range(faults):
        wanted[kinds[number % len(kinds)]] += 1
    return {**wanted, Enemy.KILL: faults // 4, Enemy.PAUSE: faults // 4}


@attrs.frozen
class AgainstGalera:
    """Faults of nodes and links."""

    cluster: Galera

    def strike(self, blow: Blow, random: Random) -> str:
        """Inject a fault; at the end every link is whole and every node is synced."""
        said = self._strike(blow, random)
        self.cluster.network.heal()
        return f"{said}; {self.cluster.come_back()}"

    def settle(self) -> None:
        """Wait until no work runs on any node."""
        self.cluster.come_back()
        until = time.monotonic() + PATIENCE
        for node in self.cluster.nodes:
            while _is_busy(node):
                assert time.monotonic() < until, "the database does not come to rest"
                time.sleep(0.05)

    def _strike(self, blow: Blow, random: Random) -> str:
        node = random.choice(self.cluster.nodes)
        match blow.enemy:
            case Enemy.CRASH:
                return self._crash(blow, random, node)
            case Enemy.RESTART:
                node.stop()
                time.sleep(blow.seconds)
                return node.host.name
            case Enemy.STOP:
                seconds = blow.seconds * _LONGER
                node.pause()
                try:
                    time.sleep(seconds)
                finally:
                    node.resume()
                return f"{node.host.name}, for {seconds:.1f} s"
            case _:
                return self._disturb(blow, random, node)

    def _crash(self, blow: Blow, random: Random, node: Node) -> str:
        nodes = self.cluster.nodes
        others = [each for each in nodes if each is not node]
        killed = random.choice([[node], [node], [node], [node, others[0]], [node, *others]])
        for each in killed:
            each.kill()
        if len(killed) < len(nodes):
            time.sleep(blow.seconds)
        return f"{', '.join(each.host.name for each in killed)} of {len(nodes)}"

    def _disturb(self, blow: Blow, random: Random, node: Node) -> str:
        nodes, network = self.cluster.nodes, self.cluster.network
        others = [each for each in nodes if each is not node]
        name, seconds = node.host.name, blow.seconds
        match blow.enemy:
            case Enemy.CUT_OFF:
                alone = random.choice([[node], [node], nodes])
                for each in alone:
                    network.cut_off(each.host)
                name = ", ".join(each.host.name for each in alone)
                seconds *= _LONGER
            case Enemy.CUT:
                unheard = random.choice([others, others[:1]])
                for each in unheard:
                    network.cut(node.host, each.host)
                name += f" to {', '.join(each.host.name for each in unheard)}"
                seconds *= _LONGER
            case Enemy.SLOW:
                kilobits = random.choice([100, 500, 2000])
                network.slow(node.host, kilobits)
                name += f" to {kilobits} kbit/s"
            case Enemy.LOSE:
                percent = random.choice([5, 20, 40])
                network.lose(node.host, percent)
                name += f", {percent} %"
            case _:
                raise AssertionError(blow.enemy)
        time.sleep(seconds)
        return f"{name}, for {seconds:.1f} s"


def _is_busy(node: Node) -> bool:
    try:
        with node.asking(seconds=10) as asked:
            return bool(asked.ask(_BUSY, USER))
    except MariadbError:
        return True
