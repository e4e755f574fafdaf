"""The command `keys`: its help, output that cannot be written, rows that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.cli.operating import KEY, NAMED, Platform
from tests.support.commands import Command, help_of

# --- Help -------------------------------------------------------------------------------------

OPTIONS = "options: -h, --help show this help message and exit"
DATABASE = (
    "--database URL sqlite:///FILE, postgresql+psycopg://USER:PASSWORD@HOST/NAME or "
    "mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default is DATABASE_URL, which keeps the "
    "password out of the list of processes"
)
STDIN = "--stdin read the key from standard input"
SCOPES = "The package's own operations need only connection:write"


def test_help_of_keys_lists_its_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "keys") == (
        "usage: python -m curae_lifecycle keys [-h] ACT ... "
        "Manages the callers of API keys. Each change takes effect with the next request, on every "
        "worker. Of a key only the digest is stored. "
        "positional arguments: ACT register create or register a key "
        "narrow take scopes away from keys, by their id "
        "withdraw delete keys "
        f"list print the callers of all keys {OPTIONS}"
    )


def test_help_of_keys_register_explains_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "keys", "register") == (
        "usage: python -m curae_lifecycle keys register [-h] --app-id ID --account UUID "
        "--environment {live,test} [--scope SCOPE] [--own-scope SCOPE] [--api-key-id ID] [--stdin] "
        "[--database URL] "
        "Creates a key and prints it once, or registers the key on standard input. A key that is "
        "already registered gets the new caller from the next request on. "
        f"{OPTIONS} --app-id ID the SDK app --account UUID the customer account's id "
        "--environment {live,test} the environment of the API keys "
        f"--scope SCOPE a scope of the key; without scopes it may only read. {SCOPES} "
        "--own-scope SCOPE a scope of the key that only operations of your own know "
        "--api-key-id ID the id that idempotency records and rate limits belong to; a key and its "
        "replacement share one. By default a registered key keeps its id and any other key gets a "
        f"new id {STDIN} {DATABASE}"
    )


def test_help_of_keys_narrow_explains_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "keys", "narrow") == (
        "usage: python -m curae_lifecycle keys narrow [-h] --api-key-id ID [--scope SCOPE] "
        "[--database URL] "
        "Leaves all keys of an id only the named scopes, which each of them must have. "
        f"{OPTIONS} --api-key-id ID all keys of this id "
        f"--scope SCOPE a scope to keep; without scopes the keys may only read. {SCOPES} {DATABASE}"
    )


def test_help_of_keys_withdraw_explains_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "keys", "withdraw") == (
        "usage: python -m curae_lifecycle keys withdraw [-h] (--api-key-id ID | --stdin) "
        "[--database URL] "
        "Deletes the key on standard input, or all keys of an id. They stop working with the next "
        f"request. {OPTIONS} --api-key-id ID all keys of this id {STDIN} {DATABASE}"
    )


def test_help_of_keys_list_explains_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "keys", "list") == (
        "usage: python -m curae_lifecycle keys list [-h] [--database URL] "
        f"Prints the caller of each key as a JSON line, and never the key. {OPTIONS} {DATABASE}"
    )


# --- Registrations ----------------------------------------------------------------------------

FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@needs_full_device
def test_new_api_key_that_cannot_be_printed_is_withdrawn(
    platform: Platform, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before, _ = command("keys", "list")
    with FULL.open("w") as device, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", device)
        status, _, error = command("keys", "register", *NAMED)
    assert status == 1
    assert "error: the new key could not be printed and is withdrawn: No space left" in error
    assert command("keys", "list") == (0, before, "")
    # The key that the platform's app uses works as before.
    assert platform.ask("GET", "curae-connect/account-state?appUserId=mary")[0] == 200


@needs_full_device
@pytest.mark.usefixtures("platform")
def test_error_says_that_an_unprinted_key_is_still_registered(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: SqlStore, __: ApiKey) -> None:
        raise StoreUnavailableError("lost")

    with FULL.open("w") as device, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", device)
        patched.setattr(SqlStore, "withdraw", fail)
        status, _, error = command("keys", "register", *NAMED, "--api-key-id", "key-2")
    assert status == 1
    prog = "python -m curae_lifecycle keys register"
    assert error == (
        f"{prog}: error: the new key could not be printed: No space left on device\n"
        f"{prog}: error: it is still registered, with the id key-2\n"
        f"{prog}: error: the store cannot be used now: lost\n"
    )
    # They are listed in the order of their digests, and the new key is a random one.
    assert {each["apiKeyId"] for each in command("keys", "list")[1]} == {"key-1", "key-2"}


def test_reregistering_key_with_malformed_row_requires_its_id(
    platform: Platform, command: Command
) -> None:
    platform.database.run_transaction([Statement("UPDATE curae_caller SET document = '{}'")])
    register = ("keys", "register", *NAMED, "--scope", "connection:write", "--stdin")
    status, printed, error = command(*register, given="cae_live_k1")
    assert (status, printed) == (1, [])
    assert error == (
        "python -m curae_lifecycle keys register: error: the key with the digest "
        f"{KEY.digest()}: format: INVALID\n"
        "to register the key again, give its id with --api-key-id\n"
    )
    status, (printed_key,), error = command(*register, "--api-key-id", "key-1", given="cae_live_k1")
    assert (status, printed_key["apiKeyId"], error) == (0, "key-1", "")
    assert platform.ask("GET", "curae-connect/account-state?appUserId=mary")[0] == 200


def test_withdraw_deletes_a_key_with_malformed_row_and_exits_1(
    platform: Platform, command: Command
) -> None:
    platform.database.run_transaction([Statement("UPDATE curae_caller SET document = '{}'")])
    status, printed, error = command("keys", "withdraw", "--stdin", given="cae_live_k1")
    assert (status, printed) == (1, [])
    assert error.endswith(f"the key with the digest {KEY.digest()}: format: INVALID\n")
    assert command("keys", "list") == (0, [], "")


def test_withdraw_of_two_keys_from_standard_input_deletes_none(
    platform: Platform, command: Command
) -> None:
    given = "cae_live_k1\ncae_live_k2\n"
    status, printed, error = command("keys", "withdraw", "--stdin", given=given)
    assert (status, printed) == (2, [])
    assert error.endswith("error: standard input must hold one line\n")
    assert platform.ask("GET", "curae-connect/account-state?appUserId=mary")[0] == 200


def test_key_is_withdrawn_by_id_if_another_keys_row_is_malformed(
    platform: Platform, command: Command
) -> None:
    added = ("INSERT INTO curae_caller (id, version, document) VALUES (?, 1, '{}')", ("0" * 64,))
    platform.database.run_transaction([Statement(*added)])
    status, (withdrawn,), error = command("keys", "withdraw", "--api-key-id", "key-1")
    assert (status, withdrawn["apiKeyId"]) == (1, "key-1")
    assert error.endswith(f"the key with the digest {'0' * 64}: format: INVALID\n")
    assert platform.ask("GET", "curae-connect/account-state?appUserId=mary")[0] == 401


def test_new_keys_get_different_ids_that_are_uuids(command: Command) -> None:
    ids = {str(command("keys", "register", *NAMED)[1][0]["apiKeyId"]) for _ in range(2)}
    assert {str(UUID(each)) for each in ids} == ids
    assert len(ids) == 2


def test_registering_a_known_key_again_prints_its_existing_id(command: Command) -> None:
    register = ("keys", "register", *NAMED, "--stdin")
    for text in "abc":
        assert command(*register, "--api-key-id", f"id-{text}", given=text)[0] == 0
    for text in "abc":
        _, (printed,), _ = command(*register, given=text)
        assert printed["apiKeyId"] == f"id-{text}"


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("a b", "a scope must be visible ASCII characters without spaces"),
        ("", "a scope must not be empty"),
    ],
)
def test_narrowing_to_a_malformed_scope_exits_2(scope: str, said: str, command: Command) -> None:
    status, printed, error = command("keys", "narrow", "--api-key-id", "key-1", "--scope", scope)
    assert (status, printed) == (2, [])
    assert error.endswith(f" keys narrow: error: {said}\n")


def test_key_is_narrowed_by_id_if_another_keys_row_is_malformed(
    platform: Platform, command: Command
) -> None:
    added = ("INSERT INTO curae_caller (id, version, document) VALUES (?, 1, '{}')", ("0" * 64,))
    platform.database.run_transaction([Statement(*added)])
    status, (narrowed,), error = command("keys", "narrow", "--api-key-id", "key-1")
    assert (status, narrowed["scopes"]) == (1, [])
    assert error.count("\n") == 1
    assert error.endswith(f"the key with the digest {'0' * 64}: format: INVALID\n")


def test_keys_narrow_exits_1_if_a_malformed_key_row_is_added(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SqlDatabase.run_transaction
    added = ("INSERT INTO curae_caller (id, version, document) VALUES (?, 1, '{}')", ("0" * 64,))

    def run_and_add(database: SqlDatabase, statements: Sequence[Statement]) -> bool:
        return run(database, statements) and run(database, [Statement(*added)])

    monkeypatch.setattr(SqlDatabase, "run_transaction", run_and_add)
    status, (narrowed,), error = command("keys", "narrow", "--api-key-id", "key-1")
    assert (status, narrowed["scopes"]) == (1, [])
    assert error == (
        f"python -m curae_lifecycle keys narrow: error: the key with the digest {'0' * 64}: "
        "format: INVALID\n"
    )
