"""The transactions of a server in threads, on SQLAlchemy.

The law of this module: **nothing of a request is stored unless all of it is**. A transaction that
somebody else was faster than is run again, from its first load.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import service
import sqlalchemy as sa
from sql_store import SqlStore, create_tables, is_passing, prepare
from sqlalchemy.exc import DBAPIError
from store import Conflict, Store

from curae_lifecycle import Request, Response

Result = TypeVar("Result")


@cache
def engine() -> sa.Engine:
    """The database, its tables made."""
    # Parameters of a failed statement can hold the URL of a hosted page: no log shows them.
    made = sa.create_engine(service.DATABASE_URL, hide_parameters=True)
    prepare(made)
    with made.begin() as connection:
        create_tables(connection)
    return made


def transact(work: Callable[[Store], Result]) -> Result:
    """Run work in a transaction, and again for as long as somebody else is faster."""
    for _ in range(service.TRIES):
        try:
            with engine().begin() as connection:
                return work(service.limited(SqlStore(connection)))
        except (Conflict, DBAPIError) as error:
            if not is_passing(error):
                raise
    raise Conflict


def respond_to(request: Request) -> Response:
    """Answer one request, in a transaction of its own."""
    try:
        return transact(lambda store: service.serve(store, request, service.now()))
    except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
        return service.failed(error)
