"""Free ports for test servers, and waiting for a server to listen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support import ports
from tests.support.paths import ROOT
from tests.support.ports import free_port, wait_for


def test_free_port_never_returns_a_port_in_use() -> None:
    mine = {free_port() for _ in range(3)}
    assert len(mine) == 3
    # A process whose search starts at the same port, before any server listens.
    code = f"import os; os.getpid = lambda: {os.getpid()}; from tests.support.ports import *; print(free_port())"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert int(ended.stdout) not in mine


def test_free_port_skips_a_port_with_a_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listens:
        port = listens.getsockname()[1]
        ports._HELD.pop().close()
        monkeypatch.setattr(os, "getpid", lambda: port - ports._FIRST)
        assert free_port() != port


def test_waiting_for_a_server_raises_if_it_ended_or_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AssertionError, match="has ended"):
        wait_for(free_port(), lambda: False)
    monkeypatch.setattr(ports, "PATIENCE", 0.01)
    with pytest.raises(AssertionError, match="nobody listens"):
        wait_for(free_port())
