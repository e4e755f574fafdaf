"""`keys`: API keys, each known by its digest alone.

The law of this module: **a key is printed once, where it was minted**, and is never an argument,
which everybody on the machine could read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from secrets import token_urlsafe
from typing import Final, TypeVar
from uuid import uuid4

from curae_lifecycle.cli.database import add_app, add_database, open_database
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import ApiKeyId, AppId, Environment, parse_opaque
from curae_lifecycle.service.members import parse_account_id
from curae_lifecycle.stores.sql.callers import (
    StoredCaller,
    callers_statement,
    narrowing_statement,
    removal_statement,
)
from curae_lifecycle.stores.sql.store import Database, SqlStore

_Parsed = TypeVar("_Parsed")

_STDIN: Final = "read the key from standard input"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what can be done with keys."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    register = acts.add_parser(
        "register",
        help="let a key stand for a caller",
        description="Mints a key and prints it once, or registers the one on standard input. A "
        "key that is known already stands for the new caller from the next request on.",
    )
    add_app(register)
    _add_scopes(register, "what it may do; without any it may only read")
    register.add_argument(
        "--api-key-id",
        metavar="ID",
        help="whose idempotency records and limits are its own; keys that take turns share one. "
        "Without it a known key keeps its id, and another gets a new one",
    )
    register.add_argument("--stdin", action="store_true", help=_STDIN)
    narrow = acts.add_parser(
        "narrow",
        help="take scopes from keys whose text nobody has at hand",
        description="Leaves all keys of an id with the scopes that are named, each of which they "
        "must have.",
    )
    narrow.add_argument("--api-key-id", metavar="ID", required=True)
    _add_scopes(narrow, "what they may still do; without any they may only read")
    withdraw = acts.add_parser(
        "withdraw",
        help="make keys unknown",
        description="Makes the key on standard input unknown, or all keys of an id, from the next "
        "request on.",
    )
    which = withdraw.add_mutually_exclusive_group(required=True)
    which.add_argument("--api-key-id", metavar="ID", help="all keys of this id")
    which.add_argument("--stdin", action="store_true", help=_STDIN)
    shown = acts.add_parser(
        "list",
        help="print whom the keys stand for",
        description="Prints a JSON line for each key: whom it stands for, never the key.",
    )
    acting = ((register, _register), (narrow, _narrow), (withdraw, _withdraw), (shown, _list))
    for command, run in acting:
        add_database(command)
        command.set_defaults(run=run)


def _add_scopes(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="SCOPE",
        help=f"{what}; {CONNECTION_WRITE} is the one that the package's own operations need",
    )


def _register(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    app_id = _parsed(parser, lambda value: AppId(parse_opaque("app id", value)), options.app_id)
    account = _parsed(parser, parse_account_id, options.account)
    environment, scopes = Environment(options.environment), _scopes(parser, options)
    named: str | None = options.api_key_id
    if named is not None:
        _parsed(parser, lambda value: parse_opaque("api key id", value), named)
    minted = None if options.stdin else f"cae_{environment}_{token_urlsafe(32)}"
    api_key = _read(parser) if minted is None else ApiKey(minted)
    with open_database(parser, options) as database:
        digest = api_key.digest()
        known = [each.caller for each in _stored(database) if each.digest == digest]
        kept = known[0].api_key_id if known else str(uuid4())
        caller = Caller(
            api_key_id=ApiKeyId(named or kept),
            app_id=app_id,
            customer_account_id=account,
            environment=environment,
            scopes=scopes,
        )
        SqlStore(database).register(api_key, caller)
    _print(caller, minted)
    return 0


def _narrow(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    scopes = _scopes(parser, options)
    with open_database(parser, options) as database:
        while found := _of_id(database, options.api_key_id):
            lacking = [scope for each in found for scope in scopes - each.caller.scopes]
            if lacking:
                parser.error(f"a key of this id has no scope {min(lacking)}")
            # Again where somebody registered or withdrew one of them meanwhile.
            if database.run_transaction([narrowing_statement(each, scopes) for each in found]):
                break
        return _report(parser, _of_id(database, options.api_key_id))


def _withdraw(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    digest = _read(parser).digest() if options.stdin else None
    with open_database(parser, options) as database:
        while True:
            if digest is None:
                found = _of_id(database, options.api_key_id)
            else:
                found = [each for each in _stored(database) if each.digest == digest]
            # Again where somebody registered or withdrew one of them meanwhile.
            if not found or database.run_transaction([removal_statement(each) for each in found]):
                return _report(parser, found)


def _list(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    with open_database(parser, options) as database:
        for each in _stored(database):
            _print(each.caller)
    return 0


def _stored(database: Database) -> list[StoredCaller]:
    return [StoredCaller(str(id_), str(text)) for id_, text in database.rows(callers_statement())]


def _of_id(database: Database, api_key_id: str) -> list[StoredCaller]:
    return [each for each in _stored(database) if each.caller.api_key_id == api_key_id]


def _report(parser: argparse.ArgumentParser, found: Sequence[StoredCaller]) -> int:
    if not found:
        parser.exit(1, f"{parser.prog}: error: there is no such key\n")
    for each in found:
        _print(each.caller)
    return 0


def _print(caller: Caller, minted: str | None = None) -> None:
    members = {
        "apiKeyId": caller.api_key_id,
        "appId": caller.app_id,
        "customerAccountId": caller.customer_account_id,
        "environment": caller.environment,
        "scopes": sorted(caller.scopes),
    }
    print(json.dumps(members if minted is None else members | {"apiKey": minted}))


def _read(parser: argparse.ArgumentParser) -> ApiKey:
    text = sys.stdin.readline().rstrip("\r\n")
    return _parsed(parser, lambda value: ApiKey(str(value)), text)


def _scopes(parser: argparse.ArgumentParser, options: argparse.Namespace) -> frozenset[str]:
    scopes: list[str] = options.scope
    if not all(scope.isascii() and scope.isprintable() and " " not in scope for scope in scopes):
        parser.error("a scope must be visible ASCII characters without spaces")
    if "" in scopes:
        parser.error("a scope must not be empty")
    return frozenset(scopes)


def _parsed(
    parser: argparse.ArgumentParser, parse: Callable[[object], _Parsed], value: object
) -> _Parsed:
    try:
        return parse(value)
    except ArgumentError as error:
        parser.error(str(error))
