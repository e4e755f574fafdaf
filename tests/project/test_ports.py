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


def test_nobody_is_given_a_port_that_somebody_has() -> None:
    mine = {free_port() for _ in range(3)}
    assert len(mine) == 3
    # A process whose search starts at the same port, before any server listens.
    code = f"import os; os.getpid = lambda: {os.getpid()}; from tests.support.ports import *; print(free_port())"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert int(ended.stdout) not in mine


def test_a_port_that_somebody_listens_on_is_given_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listens:
        port = listens.getsockname()[1]
        ports._HELD.pop().close()
        monkeypatch.setattr(os, "getpid", lambda: port - ports._FIRST)
        assert free_port() != port


def test_who_waits_for_a_server_hears_that_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="has ended"):
        wait_for(free_port(), lambda: False)
    monkeypatch.setattr(ports, "PATIENCE", 0.01)
    with pytest.raises(AssertionError, match="nobody listens"):
        wait_for(free_port())
