"""Tests of a transaction that is repeated until it commits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import attrs
import pytest

from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.retry import Retrier, RetryPolicy, RetryStats
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.transactions import run_until_committed

POLICY = RetryPolicy(attempts=4, pause=1, longest_pause=3)
STATEMENTS = [Statement("UPDATE a"), Statement("UPDATE b")]


@attrs.define
class Refusing:
    """A database that refuses its first transactions, and a clock that notes each pause."""

    refusals: int
    ran: list[Sequence[Statement]] = attrs.field(factory=list[Sequence[Statement]])
    pauses: list[float] = attrs.field(factory=list[float])

    dialect = Dialect.SQLITE

    async def rows(self, statement: Statement) -> Rows:
        raise AssertionError(statement)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.ran.append(statements)
        return len(self.ran) > self.refusals

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def run(self) -> None:
        retrier = Retrier(POLICY, self.sleep, timeout=None, stats=RetryStats())
        asyncio.run(run_until_committed(self, STATEMENTS, retrier))


def test_conflicting_transaction_is_retried_after_random_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.25)
    refusing = Refusing(refusals=3)
    refusing.run()
    assert refusing.ran == [STATEMENTS] * 4
    assert refusing.pauses == [0.25, 0.5, 0.75]


def test_transaction_that_conflicts_on_every_attempt_raises() -> None:
    refusing = Refusing(refusals=5)
    with pytest.raises(StoreUnchangedError, match="concurrent transactions won"):
        refusing.run()
    assert len(refusing.ran) == POLICY.attempts
