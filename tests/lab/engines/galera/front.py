"""HAProxy in front of a Galera cluster, which connects to nodes of the cluster only.

The law of this module: **a node that refuses statements gets no connection**: a check logs in and
reads one row, which only a Primary node answers.
"""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tests.lab.engines.galera import DATABASE, PATIENCE, Node
from tests.lab.engines.galera.asking import PORT, USER, MariadbError, asking
from tests.lab.engines.hosts import Host

FRONT: Final = 3307

_LOCAL: Final = "127.0.0.1"

_LONG_PASSWORD, _PROTOCOL_41, _SECURE = 0x1, 0x200, 0x8000
_UTF8MB4: Final = 45


def url() -> sa.URL:
    """Return the URL of the database through the HAProxy of the caller's host."""
    return sa.URL.create("mariadb+pymysql", USER, host=_LOCAL, port=FRONT, database=DATABASE)


@contextmanager
def front(
    host: Host | None, nodes: Sequence[Node], directory: Path, *, in_order: bool
) -> Iterator[None]:
    """Run an HAProxy on a host within the block.

    Args:
        host: The host, or None for that of this process.
        nodes: The nodes.
        directory: The folder of its configuration and log.
        in_order: Whether all connections go to the first healthy node, instead of to each in turn.
    """
    name = "here" if host is None else host.name
    file = directory / f"haproxy-{name}.cfg"
    file.write_text(_configuration(nodes, in_order=in_order))
    with (directory / f"haproxy-{name}.log").open("wb") as log:
        words = ["haproxy", "-db", "-f", str(file)]
        if host is None:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        else:
            process = host.start(*words, log=log)
    try:
        if host is None:
            _wait(process)
        yield
    finally:
        process.kill()
        process.wait(PATIENCE)


def _wait(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "HAProxy ended"
        with suppress(MariadbError), asking(_LOCAL, FRONT):
            return
        assert time.monotonic() < until, "HAProxy lets nobody through"
        time.sleep(0.1)


def _configuration(nodes: Sequence[Node], *, in_order: bool) -> str:
    servers = [
        f"server {node.host.name} {node.host.address}:{PORT} check"
        + (" backup" if in_order and number else "")
        for number, node in enumerate(nodes)
    ]
    indented = "\n    ".join(servers)
    return f"""
global
    maxconn 1000
defaults
    mode tcp
    retries 0
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 1s
listen database
    bind {_LOCAL}:{FRONT}
    balance roundrobin
    option tcp-check
    tcp-check connect
    tcp-check send-binary {_login().hex()}
    tcp-check expect rbinary 070000020000
    tcp-check send-binary {_packet(0, bytes([3]) + b"SELECT 1").hex()}
    tcp-check expect rbinary 0100000101
    default-server inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions
    {indented}
"""


def _login() -> bytes:
    # The login packet of a client without a password.
    flags = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE
    head = struct.pack("<IIB23x", flags, 1 << 24, _UTF8MB4)
    return _packet(1, head + USER.encode() + bytes(2))


def _packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload
