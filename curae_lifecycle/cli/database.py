"""The database of a command, and what is done with one as a whole."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import (
    AppId,
    Coordinate,
    Environment,
    parse_app_user_id,
    parse_opaque,
)
from curae_lifecycle.service.members import parse_account_id
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.store import SqlStore

if TYPE_CHECKING:
    from curae_lifecycle.stores.sql.engine import SqlDatabase

VARIABLE: Final = "DATABASE_URL"
"""Where the URL stands that no option names."""

_EXTRAS: Final = {"sqlalchemy": "sql", "psycopg": "postgresql", "pymysql": "mariadb"}
"""The extra that brings a package."""


def add_database(command: argparse.ArgumentParser) -> None:
    """Let a command be told its database."""
    command.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get(VARIABLE),
        help="sqlite:///FILE, postgresql+psycopg://USER:PASSWORD@HOST/NAME or "
        f"mariadb+pymysql://USER:PASSWORD@HOST/NAME; {VARIABLE} where it is not given, which hides "
        "the password from who lists processes",
    )


def add_app(command: argparse.ArgumentParser) -> None:
    """Let a command be told an app, of which account and where."""
    command.add_argument("--app-id", metavar="ID", required=True, help="the SDK app")
    command.add_argument(
        "--account", metavar="UUID", required=True, help="the customer account's id"
    )
    command.add_argument(
        "--environment", choices=[each.value for each in Environment], required=True
    )


@contextmanager
def open_database(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> Generator[SqlDatabase, None, None]:
    """The database of a command; what it cannot do ends the command with a message."""
    url: str | None = options.database
    if not url:
        parser.error(f"name a database with --database URL, or in {VARIABLE}")
    try:
        from sqlalchemy.exc import ArgumentError as UrlError  # noqa: PLC0415 - an optional extra
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - an optional extra

        from curae_lifecycle.stores.sql.engine import (  # noqa: PLC0415 - they need the extra
            SqlDatabase,
            create_engine,
        )
    except ModuleNotFoundError as error:
        parser.error(_missing(error))
    try:
        engine = create_engine(url)
    except (UrlError, ArgumentError, ValueError):
        # Without the URL, which holds a password.
        parser.error("--database must be the URL of a SQLite, PostgreSQL or MariaDB database")
    except ModuleNotFoundError as error:
        parser.error(_missing(error))
    driver = engine.dialect.loaded_dbapi.Error
    try:
        yield SqlDatabase(engine)
    except StoreUnavailableError as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    except (SQLAlchemyError, driver) as error:
        said = str(getattr(error, "orig", error)).partition("\n")[0]
        parser.exit(
            1,
            f"{parser.prog}: error: the database refused: {said}\n"
            f"are its tables there? {parser.prog} database create\n",
        )
    finally:
        engine.dispose()


def _missing(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(name)
    hint = "" if extra is None else f": python -m pip install 'curae-lifecycle[{extra}]'"
    return f"this needs {name}{hint}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what can be done with a database."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser(
        "create",
        help="make the tables where they are missing",
        description="Makes the tables and indexes that are missing, and changes none that is "
        "there. Many may do so at once.",
    )
    purge = acts.add_parser(
        "purge",
        help="drop what has been over for five minutes",
        description="Drops idempotency records, rate limits and hosted pages that have been over "
        "for five minutes, a thousand at a time. Nothing depends on when it runs, nor how often "
        "at once.",
    )
    erase = acts.add_parser(
        "erase",
        help="end what an app user has, and erase it",
        description="Reads the app user's id on standard input, which no list of processes shows. "
        "Tombstones whoever is bound, revokes every connection, and then deletes connections, "
        "sessions, binding and hosted pages, unless messages about them wait in the outbox: ship "
        "these and run it again. The exit status is 1 then.",
    )
    add_app(erase)
    for command, run in ((create, _create), (purge, _purge), (erase, _erase)):
        add_database(command)
        command.set_defaults(run=run)


def _create(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    with open_database(parser, options) as database:
        SqlStore(database).create_tables()
    print(f"the tables are there: {', '.join(TABLE_NAMES)}")
    return 0


def _purge(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    with open_database(parser, options) as database:
        SqlStore(database).purge()
    print("what has been over for five minutes is gone")
    return 0


def _erase(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    try:
        coordinate = Coordinate(
            environment=Environment(options.environment),
            app_id=AppId(parse_opaque("app id", options.app_id)),
            customer_account_id=parse_account_id(options.account),
            app_user_id=parse_app_user_id(sys.stdin.readline().rstrip("\r\n")),
        )
    except ArgumentError as error:
        parser.error(str(error))
    with open_database(parser, options) as database:
        erased = erase(database, coordinate)
    print(json.dumps(attrs.asdict(erased)))
    return 1 if erased.waiting else 0
