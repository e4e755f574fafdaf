"""PostgreSQL on three hosts: Patroni and etcd elect the primary, haproxy finds it.

Each host has all four, and its servers use its own haproxy. The settings here are those that
`docs/clusters.md` describes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import attrs
import psycopg

from curae_lifecycle.stores.sql.postgresql import BoundedConnection
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.web.request import Request
from tests.lab.crash.load import CUT
from tests.lab.crash.place import Place
from tests.lab.engines.hosts import HERE, Host, Network
from tests.lab.engines.watching import MISSING, STORED, Copy, stored_status
from tests.support.databases.postgres import processes_of
from tests.support.wire.running import send

PATIENCE: Final = 300
"""Seconds after which a cluster that is not whole counts as broken."""

TTL: Final = 20
"""Seconds after which a silent primary is replaced: the fewest that Patroni accepts."""

DATABASE: Final = "curae"
HAPROXY: Final = "/usr/sbin/haproxy"
_USER: Final = "postgres"
_PROGRAMS: Final = Path("/usr/lib/postgresql/17/bin")
_CLIENTS, _PEERS, _REST, _POSTGRES, _PROXY = 2379, 2380, 8008, 5432, 5000

_PARAMETERS: Final[Mapping[str, object]] = {
    "max_connections": 150,
    "shared_buffers": "128MB",
    # A silent standby is dropped after that; otherwise every commit waits for it.
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "500ms",
}


@attrs.frozen
class Setting:
    """The setting of a cluster.

    Attributes:
        synchronous: Whether a commit waits until a standby has it, and for ever without one.
        members: The number of hosts with a PostgreSQL.
    """

    synchronous: bool = True
    members: int = 3

    def of_cluster(self) -> dict[str, object]:
        """Return Patroni's configuration in etcd."""
        return {
            "ttl": TTL,
            "loop_wait": 1,
            "retry_timeout": 3,
            "maximum_lag_on_failover": 1 << 30,
            # A crashed primary is replaced: if it restarted, it would show commits that no standby
            # has.
            "primary_start_timeout": 0,
            "synchronous_mode": self.synchronous,
            "synchronous_mode_strict": self.synchronous,
            "postgresql": {"use_pg_rewind": True, "parameters": _PARAMETERS},
        }


@attrs.define(eq=False)
class Member:
    """The programs of one host."""

    host: Host
    directory: Path
    log: IO[bytes]
    running: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict)

    @property
    def data(self) -> Path:
        """The folder of its PostgreSQL."""
        return self.directory / "data"

    @property
    def url(self) -> str:
        """The URL of the primary through its haproxy."""
        return f"postgresql+psycopg://{_USER}@{self.host.address}:{_PROXY}/{DATABASE}"

    @property
    def own(self) -> str:
        """The URL of its own PostgreSQL in any role, with timeouts of two seconds."""
        place = f"{self.host.address}:{_POSTGRES}/{DATABASE}"
        return f"postgresql://{_USER}@{place}?connect_timeout=2"

    def database(self) -> list[int]:
        """Return the processes of its PostgreSQL, the first one first, or none if it has ended."""
        return processes_of(self.data)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of its PostgreSQL, even those started meanwhile."""
        for _ in range(2):
            for each in self.database():
                with suppress(ProcessLookupError):
                    os.kill(each, number)

    def start(self, name: str, *command: str | Path, user: str | None = None) -> None:
        """Start one of its programs."""
        # Patroni is Debian's, independent of the imports of this process.
        env = {"PYTHONPATH": "", "HOME": str(self.directory)}
        self.running[name] = self.host.start(
            *command, log=self.log, user=user, env=env, cwd=self.directory
        )

    def kill(self) -> None:
        """Kill everything on it at once, as a power failure would."""
        for each in self.running.values():
            each.kill()
        self.signal(signal.SIGKILL)
        for each in self.running.values():
            each.wait(PATIENCE)

    def ask(self, path: str, body: object = None, seconds: float = 3) -> object:
        """Return the answer of its Patroni, or None without one."""
        sent = b"" if body is None else json.dumps(body).encode()
        headers = (("Content-Type", "application/json"),)
        asked = Request(
            method="GET" if body is None else "POST", target=path, headers=headers, body=sent
        )
        try:
            answer = send((self.host.address, _REST), asked, seconds)
        except CUT:
            return None
        if answer.status >= 300:
            return None
        with suppress(ValueError):
            return json.loads(answer.body)
        return bytes(answer.body).decode()


@attrs.define(eq=False)
class Cluster:
    """A running cluster."""

    network: Network
    members: Sequence[Member]
    setting: Setting
    proxy: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The URL of the primary through a haproxy that is never cut off."""
        return f"postgresql+psycopg://{_USER}@{HERE}:{_PROXY}/{DATABASE}"

    @property
    def places(self) -> Sequence[Place]:
        """Each host, with its own way to the primary."""
        return [Place(each.url, each.host) for each in self.members]

    @property
    def copies(self) -> Mapping[str, Copy]:
        """The copy on each host, if it is a standby."""
        return {each.host.name: _Copy(each.host) for each in self.with_database}

    @property
    def with_database(self) -> Sequence[Member]:
        """The members with a PostgreSQL."""
        return self.members[: self.setting.members]

    def start(self, member: Member) -> None:
        """Start everything on a host."""
        addresses = {each.host.name: each.host.address for each in self.members}
        own, name = member.host.address, member.host.name
        peers = ",".join(f"{each}=http://{at}:{_PEERS}" for each, at in addresses.items())
        member.start(
            "etcd",
            *("etcd", "--name", name, "--data-dir", member.directory / "etcd"),
            *("--listen-client-urls", f"http://{own}:{_CLIENTS}"),
            *("--advertise-client-urls", f"http://{own}:{_CLIENTS}"),
            *("--listen-peer-urls", f"http://{own}:{_PEERS}"),
            *("--initial-advertise-peer-urls", f"http://{own}:{_PEERS}"),
            *("--initial-cluster", peers, "--log-level", "error"),
        )
        if member in self.with_database:
            config = member.directory / "patroni.yml"
            # JSON is YAML.
            config.write_text(json.dumps(_config(member, self.setting, addresses)))
            member.start("patroni", "patroni", config, user=_USER)
        proxy = member.directory / "haproxy.cfg"
        databases = {each: addresses[each] for each in self._names()}
        proxy.write_text(_proxy(own, databases))
        member.start("haproxy", HAPROXY, "-db", "-f", proxy)

    def primary(self) -> Member | None:
        """Return the host of the primary, or None."""
        for member in self.with_database:
            said = member.ask("/primary")
            if isinstance(said, dict) and said.get("role") == "primary":
                return member
        return None

    def standby(self) -> Member | None:
        """Return the host of the synchronous standby, or None."""
        for member in self.with_database:
            if member.ask("/sync") is not None and member is not self.primary():
                return member
        return None

    def wait(self) -> None:
        """Wait until there is a primary, every standby follows it, and every host finds it."""
        until = time.monotonic() + PATIENCE
        while not self._is_whole():
            for member in self.members:
                ended = [name for name, each in member.running.items() if each.poll() is not None]
                assert not ended, f"{ended} on {member.host.name} ended: see {member.log.name}"
            assert time.monotonic() < until, "the cluster is not whole again"
            time.sleep(0.2)

    def _is_whole(self) -> bool:
        primary = self.primary()
        if primary is None:
            return False
        said = primary.ask("/cluster")
        members = said.get("members", []) if isinstance(said, dict) else []
        states = [(each["role"], each["state"]) for each in members]
        wanted = {("leader", "running"), ("replica", "streaming"), ("sync_standby", "streaming")}
        if len(states) != self.setting.members or not wanted.issuperset(states):
            return False
        if self.setting.synchronous and ("sync_standby", "streaming") not in states:
            return False
        return all(map(_writes, [*[each.url for each in self.members], self.url]))

    def _names(self) -> list[str]:
        return [each.host.name for each in self.with_database]


def _writes(url: str, database: str = "postgres") -> bool:
    # A test commit shows if it works.
    plain = url.replace("+psycopg", "").rsplit("/", 1)[0] + f"/{database}"
    try:
        with BoundedConnection.connect_with_timeout(
            2.0, {"conninfo": plain, "connect_timeout": "2"}, Replication()
        ) as made:
            made.execute("SELECT pg_logical_emit_message(true, 'tests', '')")
    except psycopg.Error:
        return False
    return True


class _Copy:
    """A reader of the status of a connection on one host, if it is a standby."""

    def __init__(self, host: Host) -> None:
        self._named = {
            "conninfo": f"postgresql://{_USER}@{host.address}:{_POSTGRES}/{DATABASE}",
            "connect_timeout": "2",
        }
        self._made: BoundedConnection | None = None

    def __call__(self, connection: str) -> str | None:
        rows = f"(SELECT 1) one LEFT JOIN ({STORED}) stored ON true"
        asked = f"SELECT pg_is_in_recovery(), stored.* FROM {rows}"  # noqa: S608 - a constant
        try:
            if self._made is None or self._made.closed:
                self._made = BoundedConnection.connect_with_timeout(0.5, self._named, Replication())
            found = self._made.execute(asked, (connection,)).fetchone()
        except psycopg.Error:
            if self._made is not None:
                self._made.close()
            return None
        assert found is not None
        is_copy, stored, binding = found
        if not is_copy:
            return None
        if stored is None:
            return MISSING
        return stored_status(str(stored), None if binding is None else str(binding))


def _config(member: Member, setting: Setting, addresses: Mapping[str, str]) -> dict[str, object]:
    own, name = member.host.address, member.host.name
    anybody = [
        "local all all trust",
        *[f"host {who} all 0.0.0.0/0 trust" for who in ("all", "replication")],
    ]
    return {
        "scope": "engines",
        "name": name,
        "log": {"level": "INFO"},
        "restapi": {"listen": f"{own}:{_REST}", "connect_address": f"{own}:{_REST}"},
        "etcd3": {"hosts": [f"{each}:{_CLIENTS}" for each in addresses.values()]},
        "bootstrap": {
            "dcs": setting.of_cluster(),
            "initdb": [{"encoding": "UTF8"}, "data-checksums", "no-locale"],
        },
        "postgresql": {
            "listen": f"{own}:{_POSTGRES}",
            "connect_address": f"{own}:{_POSTGRES}",
            "data_dir": str(member.data),
            "bin_dir": str(_PROGRAMS),
            "authentication": {
                "superuser": {"username": _USER},
                "replication": {"username": "replicator"},
            },
            "parameters": {"unix_socket_directories": str(member.directory)},
            "pg_hba": anybody,
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
        },
        "watchdog": {"mode": "off"},
    }


def _proxy(address: str, databases: Mapping[str, str]) -> str:
    check = f"check port {_REST} inter 1s fall 2 rise 1 on-marked-down shutdown-sessions"
    servers = [f"    server {name} {at}:{_POSTGRES} {check}" for name, at in databases.items()]
    return "\n".join(
        [
            "defaults",
            "    mode tcp",
            "    timeout connect 1s",
            "    timeout check 1s",
            "    timeout client 1h",
            "    timeout server 1h",
            "listen primary",
            f"    bind {address}:{_PROXY}",
            "    option httpchk OPTIONS /primary",
            "    http-check expect status 200",
            *servers,
            "",
        ]
    )


@contextmanager
def cluster(network: Network, directory: Path, setting: Setting) -> Generator[Cluster, None, None]:
    """Run a cluster with a new database on these hosts within the block.

    Args:
        network: The hosts.
        directory: A new folder, which keeps the logs.
        setting: The setting of the cluster.
    """
    directory.chmod(0o755)
    members = []
    for host in network.hosts:
        place = directory / host.name
        place.mkdir()
        shutil.chown(place, _USER, _USER)
        members.append(Member(host, place, (place / "log").open("ab")))
    config = directory / "haproxy.cfg"
    with_database = network.hosts[: setting.members]
    config.write_text(_proxy(HERE, {each.name: each.address for each in with_database}))
    with (directory / "log").open("ab") as log:
        proxy = subprocess.Popen([HAPROXY, "-db", "-f", config], stdout=log, stderr=log)
    made = Cluster(network=network, members=members, setting=setting, proxy=proxy)
    try:
        for member in members:
            made.start(member)
        made.wait()
        plain = made.url.replace("+psycopg", "").replace(f"/{DATABASE}", "/postgres")
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        yield made
    finally:
        proxy.kill()
        proxy.wait(PATIENCE)
        for member in members:
            member.kill()
            member.log.close()
