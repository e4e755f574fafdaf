"""Registrations of API keys whose output cannot be written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.operating import NAMED, Platform
from tests.support.commands import Command


def test_new_key_that_cannot_be_printed_is_withdrawn(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has a device that is always full")
    _, before, _ = command("keys", "list")
    with full.open("w") as device, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", device)
        status, _, error = command("keys", "register", *NAMED)
    assert status == 1
    assert "error: the new key could not be printed and is withdrawn: No space left" in error
    assert command("keys", "list") == (0, before, "")
    # The key that the platform's app uses works as before.
    assert platform.ask("GET", "curae-connect/account-state?appUserId=mary")[0] == 200
