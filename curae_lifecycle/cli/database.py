"""`database`: the tables of a store in SQL."""

from __future__ import annotations

import argparse

from curae_lifecycle.cli.databases import add_database, opened
from curae_lifecycle.stores.sql.schema import TABLES
from curae_lifecycle.stores.sql.store import SqlStore


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
