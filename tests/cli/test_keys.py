"""Registrations of API keys whose output cannot be written, or whose row cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curae_lifecycle.stores.sql.statement import Statement
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


def test_key_with_a_malformed_row_is_registered_by_its_id(
    platform: Platform, command: Command
) -> None:
    platform.database.run_transaction([Statement("UPDATE curae_caller SET document = '{}'")])
    register = ("keys", "register", *NAMED, "--scope", "connection:write", "--stdin")
    status, printed, error = command(*register, given="cae_live_k1")
    assert (status, printed, error.count("\n")) == (1, [], 2)
    assert error.endswith("to register the key again, give its id with --api-key-id\n")
    status, (printed_key,), error = command(*register, "--api-key-id", "key-1", given="cae_live_k1")
    assert (status, printed_key["apiKeyId"], error) == (0, "key-1", "")
    assert platform.ask("GET", "curae-connect/account-state?appUserId=mary")[0] == 200
