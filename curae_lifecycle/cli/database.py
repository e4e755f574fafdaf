"""The option `--database` of several commands, and the command `database`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from curae_lifecycle.cli.options import positive_up_to, read_line
from curae_lifecycle.cli.program_name import program_name
from curae_lifecycle.cli.terminal import show_busy
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
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.failures import is_missing_table
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.json import MalformedError

if TYPE_CHECKING:
    from curae_lifecycle.stores.sql.engine import SqlDatabase

VARIABLE: Final = "DATABASE_URL"
"""The environment variable with the database URL, for commands without `--database`."""

_MAX_TIMEOUT: Final = 86_400
"""The largest `--timeout`: a day, in seconds."""

_EXTRAS: Final = {"sqlalchemy": "sql", "psycopg": "postgresql", "pymysql": "mariadb"}
"""The extra that installs a package, by the package's name."""


def add_database(command: argparse.ArgumentParser) -> None:
    """Add the option `--database` to a parser; the environment's `DATABASE_URL` is its default."""
    command.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get(VARIABLE),
        help="sqlite:///FILE, postgresql+psycopg://USER:PASSWORD@HOST/NAME or "
        f"mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default is {VARIABLE}, which keeps the "
        "password out of the list of processes",
    )


def add_app(command: argparse.ArgumentParser) -> None:
    """Add the required options that name an app: `--app-id`, `--account` and `--environment`."""
    command.add_argument("--app-id", metavar="ID", required=True, help="the SDK app")
    command.add_argument(
        "--account", metavar="UUID", required=True, help="the customer account's id"
    )
    command.add_argument(
        "--environment",
        choices=[each.value for each in Environment],
        required=True,
        help="the environment of the API keys",
    )


@contextmanager
def open_database(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    *,
    create: bool = False,
    timeout: float | None = None,
) -> Generator[SqlDatabase, None, None]:
    """Open the database that `options.database` names, and close it at the end of the `with` block.

    A database error in the block prints a message and exits with status 1; so does a stored value
    that cannot be read. A missing or malformed URL exits with status 2; so does a missing package,
    such as the database's driver.

    Args:
        parser: The parser of the command.
        options: The options of the command.
        create: Create a missing SQLite file. By default a missing file exits with status 1.
        timeout: How long a connection, a lock and a statement may each take, in seconds; `None` for
            the default of `create_engine`.
    """
    url: str | None = options.database
    if not url:
        parser.error(f"a database is required: give --database URL or set {VARIABLE}")
    try:
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - an optional extra

        from curae_lifecycle.stores.sql.engine import (  # noqa: PLC0415 - needs an optional extra
            SqlDatabase,
            create_engine,
        )
    except ModuleNotFoundError as error:
        parser.error(_missing_package(error))
    try:
        engine = create_engine(url) if timeout is None else create_engine(url, timeout=timeout)
    except ArgumentError as error:
        # It names the driver at most, and not the rest of the URL, which can hold a password.
        parser.error(f"--database must be {error.allowed}")
    except ModuleNotFoundError as error:
        parser.error(_missing_package(error))
    driver = engine.dialect.loaded_dbapi.Error
    hint = f"create its tables with: {program_name()} database create --database URL\n"
    if not create and _is_missing_file(engine.url.drivername, engine.url.database):
        parser.exit(1, f"{parser.prog}: error: the SQLite file does not exist; {hint}")
    database = SqlDatabase(engine)
    try:
        yield database
    except StoreUnavailableError as error:
        # The driver says why there is no connection, such as a wrong name of the database.
        why = "" if error.__cause__ is None else f": {' '.join(str(error.__cause__).split())}"
        parser.exit(1, f"{parser.prog}: error: {error}{why}\n")
    except (NewerFormatError, MalformedError) as error:
        parser.exit(1, f"{parser.prog}: error: a stored value cannot be read: {error}\n")
    except (SQLAlchemyError, driver) as error:
        cause = getattr(error, "orig", error)
        reason = str(cause).partition("\n")[0]
        fix = hint if is_missing_table(database.dialect, cause) else ""
        parser.exit(1, f"{parser.prog}: error: the database reported: {reason}\n{fix}")
    finally:
        engine.dispose()


def _is_missing_file(driver: str, name: str | None) -> bool:
    # SQLite would create the file. A URI decides that itself, and names a missing directory itself.
    if not driver.startswith("sqlite") or name is None or name.startswith("file:"):
        return False
    try:
        file = Path(name)
        return file.parent.is_dir() and not file.exists()
    except OSError:
        # SQLite says why the file cannot be opened.
        return False


def _missing_package(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(name)
    hint = "" if extra is None else f": python -m pip install 'curae-lifecycle[{extra}]'"
    return f"this needs {name}{hint}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `create`, `purge` and `erase` to the parser of `database`."""
    acts = parser.add_subparsers(required=True, metavar="ACT")
    create = acts.add_parser(
        "create",
        help="create missing tables",
        description="Creates the tables and indexes that are missing and changes no existing one. "
        "Several processes may do so at once.",
    )
    purge = acts.add_parser(
        "purge",
        help="delete what expired or was erased more than five minutes ago",
        description="Deletes idempotency records, rate limits and hosted pages that expired more "
        "than five minutes ago, a thousand at a time. Finishes the sweeps after tombstones, and "
        "deletes the rows of app users that were erased more than five minutes ago, once the "
        "outbox has delivered the messages about them. It may run at any time, and several may run "
        "at once.",
    )
    erase = acts.add_parser(
        "erase",
        help="revoke everything of an app user and leave it to purge",
        description="Reads the app user's id from standard input, which no list of processes "
        "shows. Tombstones the user and revokes every connection. A purge deletes connections, "
        "sessions, binding and hosted pages from five minutes later on, once the outbox has "
        "delivered the messages about them.",
    )
    add_app(erase)
    create.add_argument(
        "--timeout",
        type=positive_up_to(_MAX_TIMEOUT),
        metavar="SECONDS",
        help="how long a statement may take, such as an index on a large table, and may wait for a "
        "lock; by default 2",
    )
    for command, run in ((create, _create), (purge, _purge), (erase, _erase)):
        add_database(command)
        command.set_defaults(run=run, parser=command)


def _create(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    opened = open_database(parser, options, create=True, timeout=options.timeout)
    with opened as database, show_busy("create"):
        SqlStore(database).create_tables()
    print(f"the tables exist: {', '.join(TABLE_NAMES)}")
    return 0


def _purge(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    with open_database(parser, options) as database, show_busy("purge"):
        SqlStore(database).purge()
    print("deleted what expired or was erased more than five minutes ago")
    return 0


def _erase(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    try:
        coordinate = Coordinate(
            environment=Environment(options.environment),
            app_id=AppId(parse_opaque("app id", options.app_id)),
            customer_account_id=parse_account_id(options.account),
            app_user_id=parse_app_user_id(read_line(parser)),
        )
    except ArgumentError as error:
        parser.error(str(error))
    with open_database(parser, options) as database, show_busy("erase"):
        erased = erase(database, coordinate)
    print(json.dumps(attrs.asdict(erased)))
    return 0
