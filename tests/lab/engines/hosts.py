"""Hosts of a private network of this process, and faults of the links between them.

The law of this module: **everything started here ends with this process**, however it ends: it runs
in a PID namespace, whose first process takes all others with it, and in a private network that the
machine's does not see.

Each host is a network namespace with one link to a switch. So a lost link is a lost link: packets
are dropped, both ways or one way, without any notice.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import attrs

NETWORK: Final = "10.77.0"
HERE: Final = f"{NETWORK}.254"
"""The address of this process, which reaches every host and is never cut off."""

_INSIDE: Final = "CURAE_ENGINES_INSIDE"
_SWITCH: Final = "switch"
_CLONE_NEWNET: Final = 0x40000000


PACKAGES: Final = {"ip": "iproute2", "nft": "nftables", "unshare": "util-linux"}
"""The Debian packages that hosts need, by a program of each."""


def enter(packages: Mapping[str, str]) -> None:
    """Restart this command in private namespaces, unless it runs there already.

    Args:
        packages: The Debian packages that the command needs, by a program or file of each. They are
            installed first, since the private network leads nowhere.
    """
    if os.environ.get(_INSIDE) == "1":
        return
    assert os.geteuid() == 0, "namespaces are made by root alone"
    for program, package in {**PACKAGES, **packages}.items():
        _need(program, package)
    namespaces = ["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    # Services that a package would start are left out, and each run has its own names. The shell
    # stays as the first process and reaps orphans.
    prepared = 'mount -t tmpfs none /run/netns && ip link set lo up && "$@"; exit $?'
    Path("/run/netns").mkdir(exist_ok=True)
    again = [sys.executable, *sys.orig_argv[1:]]
    words = ["unshare", *namespaces, "sh", "-c", prepared, "sh", *again]
    os.execvpe(words[0], words, {**os.environ, _INSIDE: "1"})  # noqa: S606 - no shell is wanted


def _need(program: str, package: str) -> None:
    # Installs a package without starting it, if its program or file is missing.
    places = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    if shutil.which(program, path=places) is not None or (
        program.startswith("/") and Path(program).exists()
    ):
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    _run("apt-get", "-qq", "update", env=quiet)
    _run("apt-get", "-qq", "install", "--yes", "--no-install-recommends", package, env=quiet)


@attrs.frozen
class Host:
    """A host: a network namespace with one address."""

    name: str
    address: str

    def words(self, *command: str | Path) -> list[str]:
        """Return the words that run a command on the host."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def start(
        self,
        *command: str | Path,
        log: IO[bytes],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on the host, in a separate process group.

        Args:
            command: The words of the command.
            log: The file of its output.
            user: The user that runs it, or None for root.
            env: Additional environment variables.
            cwd: The working directory.
        """
        as_user = []
        if user is not None:
            known = pwd.getpwnam(user)
            ids = [f"--reuid={known.pw_uid}", f"--regid={known.pw_gid}", "--clear-groups"]
            as_user = ["setpriv", *ids]
        return subprocess.Popen(
            self.words(*as_user, *command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )

    def join(self) -> None:
        """Move this thread and its later child processes to the host."""
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(namespace, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), self.name)
        finally:
            os.close(namespace)


@attrs.frozen
class Network:
    """Hosts on one switch."""

    hosts: Sequence[Host]

    def cut_off(self, host: Host) -> None:
        """Cut a host off from all others in both directions; this process still reaches it."""
        for other in self._others(host):
            self.cut(host, other)
            self.cut(other, host)

    def cut(self, sender: Host, receiver: Host) -> None:
        """Drop packets from one host to another; the other direction still works."""
        _run(*receiver.words("nft", "add", "element", "ip", "lost", "from", _set_of(sender)))

    def slow(self, host: Host, kilobits: int) -> None:
        """Limit the bandwidth of a host to some kilobits a second, with a queue."""
        shape = f"rate {kilobits}kbit burst 4kb latency 2s"
        _run(*host.words("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", *shape.split()))

    def lose(self, host: Host, percent: int) -> None:
        """Drop a percentage of the packets that other hosts send to this one, at random."""
        rule = f"ip saddr != {HERE} numgen random mod 100 < {percent} drop"
        _run(*host.words("nft", "add", "rule", "ip", "lost", "input", *rule.split()))

    def heal(self) -> None:
        """Repair every link."""
        for host in self.hosts:
            _run(*host.words("nft", "delete", "table", "ip", "lost"))
            _tables(host)
            subprocess.run(
                host.words("tc", "qdisc", "del", "dev", "eth0", "root"),
                check=False,
                capture_output=True,
            )

    def _others(self, host: Host) -> Sequence[Host]:
        return [each for each in self.hosts if each is not host]


def _set_of(host: Host) -> str:
    return f"{{ {host.address} }}"


def _tables(host: Host) -> None:
    # Dropped on the way in, so that an existing connection is cut like a new one.
    rules = """
        table ip lost {
            set from { type ipv4_addr; }
            chain input { type filter hook input priority 0; ip saddr @from drop; }
        }
    """
    subprocess.run(host.words("nft", "-f", "-"), input=rules.encode(), check=True)


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Run hosts with these names on one switch with this process, within the block."""
    assert os.environ.get(_INSIDE) == "1", "call `enter` first: this would be the machine's network"
    hosts = [Host(name, f"{NETWORK}.{number}") for number, name in enumerate(names, 1)]
    _run("ip", "link", "add", _SWITCH, "type", "bridge")
    _run("ip", "addr", "add", f"{HERE}/24", "dev", _SWITCH)
    _run("ip", "link", "set", _SWITCH, "up")
    try:
        for host in hosts:
            _plug_in(host)
        yield Network(hosts)
    finally:
        for host in hosts:
            _run("ip", "netns", "del", host.name)
        _run("ip", "link", "del", _SWITCH)


def _plug_in(host: Host) -> None:
    port = f"to-{host.name}"
    _run("ip", "netns", "add", host.name)
    _run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _run("ip", "link", "set", port, "master", _SWITCH, "up")
    for words in (f"addr add {host.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
        _run("ip", "-n", host.name, *words.split())
    _tables(host)


def _run(*words: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
