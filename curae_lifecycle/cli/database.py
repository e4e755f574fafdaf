"""The database of a command: how it is named, what is said where it cannot be used; its tables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.schema import TABLES
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


@contextmanager
def opened(
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
            "are its tables there? python -m curae_lifecycle database create\n",
        )
    finally:
        engine.dispose()


def _missing(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(name)
    hint = "" if extra is None else f": python -m pip install 'curae-lifecycle[{extra}]'"
    return f"this needs {name}{hint}"


def add_options(command: argparse.ArgumentParser) -> None:
    """Say what can be done with a database."""
    acts = command.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser(
        "create",
        help="make the tables where they are missing",
        description="Makes the tables and indexes that are missing, and changes none that is "
        "there. Many may do so at once.",
    )
    add_database(create)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Make the tables."""
    with opened(parser, options) as database:
        SqlStore(database).create_tables()
    print(f"the tables are there: {', '.join(TABLES)}")
    return 0
