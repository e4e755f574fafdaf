"""The command `keys`: register, narrow, withdraw and list API keys.

The law of this module: **a new key is printed once, when it is created**. A key is never an
argument, because every user of the machine can read the arguments of its processes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from secrets import token_urlsafe
from typing import Final, TypeVar
from uuid import uuid4

from curae_lifecycle.cli.database import add_app, add_database, open_database
from curae_lifecycle.cli.options import read_line
from curae_lifecycle.cli.parser import suggestion
from curae_lifecycle.cli.terminal import discard_output
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import ApiKeyId, AppId, Environment, parse_opaque
from curae_lifecycle.service.members import parse_account_id
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.sql.callers import (
    StoredCaller,
    callers_statement,
    narrowing_statement,
    removal_statement,
)
from curae_lifecycle.stores.sql.store import Database, SqlStore
from curae_lifecycle.web.json import MalformedError

_Given = TypeVar("_Given")
_Parsed = TypeVar("_Parsed")

_STDIN: Final = "read the key from standard input"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `register`, `narrow`, `withdraw` and `list` to the parser of `keys`."""
    acts = parser.add_subparsers(required=True, metavar="ACT")
    register = acts.add_parser(
        "register",
        help="create or register a key",
        description="Creates a key and prints it once, or registers the key on standard input. A "
        "key that is already registered gets the new caller from the next request on.",
    )
    add_app(register)
    _add_scopes(register, "a scope of the key; without scopes it may only read")
    register.add_argument(
        "--own-scope",
        action="append",
        default=[],
        metavar="SCOPE",
        help="a scope of the key that only operations of your own know",
    )
    register.add_argument(
        "--api-key-id",
        metavar="ID",
        help="the id that idempotency records and rate limits belong to; a key and its replacement "
        "share one. By default a registered key keeps its id and any other key gets a new id",
    )
    register.add_argument("--stdin", action="store_true", help=_STDIN)
    narrow = acts.add_parser(
        "narrow",
        help="take scopes away from keys, by their id",
        description="Leaves all keys of an id only the named scopes, which each of them must have.",
    )
    narrow.add_argument("--api-key-id", metavar="ID", required=True, help="all keys of this id")
    _add_scopes(narrow, "a scope to keep; without scopes the keys may only read")
    withdraw = acts.add_parser(
        "withdraw",
        help="delete keys",
        description="Deletes the key on standard input, or all keys of an id. They stop working "
        "with the next request.",
    )
    which = withdraw.add_mutually_exclusive_group(required=True)
    which.add_argument("--api-key-id", metavar="ID", help="all keys of this id")
    which.add_argument("--stdin", action="store_true", help=_STDIN)
    shown = acts.add_parser(
        "list",
        help="print the callers of all keys",
        description="Prints the caller of each key as a JSON line, and never the key.",
    )
    subcommands = ((register, _register), (narrow, _narrow), (withdraw, _withdraw), (shown, _list))
    for command, run in subcommands:
        add_database(command)
        command.set_defaults(run=run, parser=command)


def _add_scopes(command: argparse.ArgumentParser, help_text: str) -> None:
    command.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="SCOPE",
        help=f"{help_text}. The package's own operations need only {CONNECTION_WRITE}",
    )


def _register(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    app_id = AppId(_parse_or_exit(parser, partial(_parse_name, "app id"), options.app_id))
    account = _parse_or_exit(parser, parse_account_id, options.account)
    environment, scopes = Environment(options.environment), _new_scopes(parser, options)
    given_id: str | None = options.api_key_id
    if given_id is not None:
        _parse_or_exit(parser, partial(_parse_name, "api key id"), given_id)
    minted = None if options.stdin else f"cae_{environment}_{token_urlsafe(32)}"
    api_key = _read_key(parser) if minted is None else ApiKey(minted)
    with open_database(parser, options) as database:
        registered_id = _registered_id(
            parser, database, api_key.digest(), is_id_given=given_id is not None
        )
        caller = Caller(
            api_key_id=ApiKeyId(given_id or registered_id or str(uuid4())),
            app_id=app_id,
            customer_account_id=account,
            environment=environment,
            scopes=scopes,
        )
        store = SqlStore(database)
        store.register(api_key, caller)
        try:
            _print_caller(caller, minted)
            sys.stdout.flush()
        except OSError as error:
            if minted is None:
                raise
            # Its text is lost, so that no one could use the key.
            discard_output()
            said = f"{parser.prog}: error: the new key could not be printed"
            try:
                store.withdraw(api_key)
            except BaseException:
                sys.stderr.write(f"{said}: {error.strerror}\n")
                still = f"it is still registered, with the id {caller.api_key_id}"
                sys.stderr.write(f"{parser.prog}: error: {still}\n")
                raise
            parser.exit(1, f"{said} and is withdrawn: {error.strerror}\n")
    return 0


def _registered_id(
    parser: argparse.ArgumentParser, database: Database, digest: str, *, is_id_given: bool
) -> str | None:
    # Returns the id of a registered key, or None if the key is unknown or its row is malformed.
    for each in _load_callers(database):
        if each.digest != digest:
            continue
        try:
            return each.caller.api_key_id
        except NewerFormatError as error:
            # It may hold a restriction that only the newer release knows.
            parser.exit(1, _describe_unreadable(parser, each, error))
        except MalformedError as error:
            if not is_id_given:
                hint = "to register the key again, give its id with --api-key-id"
                parser.exit(1, f"{_describe_unreadable(parser, each, error)}{hint}\n")
    return None


def _narrow(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    scopes = _scopes(parser, options.scope)
    with open_database(parser, options) as database:
        while True:
            found, _ = _callers_of_id(database, options.api_key_id)
            lacking = [scope for each in found for scope in scopes - each.caller.scopes]
            if lacking:
                parser.error(f"a key with this id lacks the scope {min(lacking)}")
            statements = [narrowing_statement(each, scopes) for each in found]
            # On a conflict with another registration or withdrawal, load the keys and retry.
            if not found or database.run_transaction(statements):
                break
        found, unreadable = _callers_of_id(database, options.api_key_id)
        return _report(parser, found, unreadable)


def _withdraw(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    digest = _read_key(parser).digest() if options.stdin else None
    with open_database(parser, options) as database:
        while True:
            unreadable: list[StoredCaller] = []
            if digest is None:
                found, unreadable = _callers_of_id(database, options.api_key_id)
            else:
                found = [each for each in _load_callers(database) if each.digest == digest]
            # On a conflict with another registration or withdrawal, load the keys and retry.
            if not found or database.run_transaction([removal_statement(each) for each in found]):
                break
        return _report(parser, found, unreadable)


def _list(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    with open_database(parser, options) as database:
        return _print_callers(parser, _load_callers(database))


def _load_callers(database: Database) -> list[StoredCaller]:
    return [StoredCaller(str(id_), str(text)) for id_, text in database.rows(callers_statement())]


def _print_callers(parser: argparse.ArgumentParser, stored: Iterable[StoredCaller]) -> int:
    """Print the callers, and report those that cannot be read; return the exit status."""
    status = 0
    for each in stored:
        try:
            _print_caller(each.caller)
        except (NewerFormatError, MalformedError) as error:
            sys.stderr.write(_describe_unreadable(parser, each, error))
            status = 1
    return status


def _describe_unreadable(
    parser: argparse.ArgumentParser, stored: StoredCaller, error: Exception
) -> str:
    return f"{parser.prog}: error: the key with the digest {stored.digest}: {error}\n"


def _callers_of_id(
    database: Database, api_key_id: str
) -> tuple[list[StoredCaller], list[StoredCaller]]:
    """Return the callers of an id, and those that cannot be read, which may have the same id.

    The others are changed at once all the same, since their keys may have leaked.
    """
    found: list[StoredCaller] = []
    unreadable: list[StoredCaller] = []
    for each in _load_callers(database):
        try:
            if each.caller.api_key_id == api_key_id:
                found.append(each)
        except (NewerFormatError, MalformedError):
            unreadable.append(each)
    return found, unreadable


def _report(
    parser: argparse.ArgumentParser,
    found: Sequence[StoredCaller],
    unreadable: Sequence[StoredCaller],
) -> int:
    # A caller that cannot be read keeps its rights, so the status is 1.
    status = _print_callers(parser, [*unreadable, *found])
    if not found:
        parser.exit(1, f"{parser.prog}: error: no such key is registered\n")
    return status


def _print_caller(caller: Caller, minted: str | None = None) -> None:
    members = {
        "apiKeyId": caller.api_key_id,
        "appId": caller.app_id,
        "customerAccountId": caller.customer_account_id,
        "environment": caller.environment,
        "scopes": sorted(caller.scopes),
    }
    print(json.dumps(members if minted is None else members | {"apiKey": minted}))


def _read_key(parser: argparse.ArgumentParser) -> ApiKey:
    return _parse_or_exit(parser, ApiKey, read_line(parser))


def _parse_name(argument: str, value: object) -> str:
    name = parse_opaque(argument, value)
    if not name.isprintable():
        raise ArgumentError(argument, "text without control characters")
    return name


def _new_scopes(parser: argparse.ArgumentParser, options: argparse.Namespace) -> frozenset[str]:
    scopes = _scopes(parser, options.scope)
    known = {each.rule.scope for each in OPERATIONS if each.rule.scope is not None}
    for unknown in sorted(scopes - known):
        parser.error(
            f"no operation needs the scope {unknown}: use --own-scope if one of yours does"
            f"{suggestion(unknown, known)}"
        )
    return scopes | _scopes(parser, options.own_scope)


def _scopes(parser: argparse.ArgumentParser, scopes: list[str]) -> frozenset[str]:
    if not all(scope.isascii() and scope.isprintable() and " " not in scope for scope in scopes):
        parser.error("a scope must be visible ASCII characters without spaces")
    if "" in scopes:
        parser.error("a scope must not be empty")
    return frozenset(scopes)


def _parse_or_exit(
    parser: argparse.ArgumentParser, parse: Callable[[_Given], _Parsed], value: _Given
) -> _Parsed:
    try:
        return parse(value)
    except ArgumentError as error:
        parser.error(str(error))
