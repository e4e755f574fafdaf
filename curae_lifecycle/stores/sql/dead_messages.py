"""Dead messages of the outbox: their list, and how an operator revives or discards one.

A message is dead when its last attempt failed. It stays in the table until an operator decides.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.stores.outbox import AnyDelivery
from curae_lifecycle.stores.retry import Retrier
from curae_lifecycle.stores.sql import outbox_statements
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.transactions import AsyncTransactions, run_while

_MAX_NUMBER: Final = 2**63 - 1
"""The largest number that a column of the outbox can hold; the drivers refuse a larger one."""


async def list_dead(database: AsyncTransactions, after: int, limit: int) -> tuple[AnyDelivery, ...]:
    """Return dead messages, which have no attempts left, in the order of their numbers.

    A message that only a newer release can read is a `NewerDelivery`. A malformed one is a
    `MalformedDelivery`.

    Args:
        database: The database of the outbox.
        after: Only messages with a higher number are returned.
        limit: The largest number of messages to return.

    Raises:
        StoreUnavailableError: The database failed.
    """
    return outbox_statements.deliveries(
        await database.rows(outbox_statements.dead_statement(after, limit))
    )


async def revive(database: AsyncTransactions, number: int, retrier: Retrier) -> bool:
    """Make a dead message due now, as if it were new; return whether there was one.

    A dead message has no attempts left. After `revive` it has all of them again.

    Args:
        database: The database of the outbox.
        number: The number of the message; any integer is allowed.
        retrier: Gives the number of attempts and the pauses if concurrent transactions win.

    Raises:
        StoreUnavailableError: The database failed, or concurrent transactions won every attempt.
    """
    revival = outbox_statements.revival_statement(database.dialect, number)
    return await _change(database, number, revival, retrier=retrier)


async def discard(database: AsyncTransactions, number: int, retrier: Retrier) -> bool:
    """Delete a dead message, which has no attempts left; return whether there was one.

    The message is then never delivered.

    Args:
        database: The database of the outbox.
        number: The number of the message; any integer is allowed.
        retrier: Gives the number of attempts and the pauses if concurrent transactions win.

    Raises:
        StoreUnavailableError: The database failed, or concurrent transactions won every attempt.
    """
    deletion = outbox_statements.discard_statement(number)
    return await _change(database, number, deletion, retrier=retrier)


async def _change(
    database: AsyncTransactions, number: int, change: Statement, *, retrier: Retrier
) -> bool:
    async def is_dead() -> bool:
        dead = await list_dead(database, number - 1, 1) if 0 < number <= _MAX_NUMBER else ()
        return bool(dead) and dead[0].number == number

    # Between its two statements another operator may revive or discard the message.
    return await run_while(is_dead, database, [change], retrier=retrier)
