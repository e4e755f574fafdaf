"""Tests of `ThreadedDatabase`, which runs a blocking database in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.deadline import current_deadline, deadline_scope
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase

ASKED = Statement("SELECT ?", (1,))


class Waiting:
    """A database that waits for an event, and records what ran in which thread."""

    dialect = Dialect.SQLITE

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.ran: list[tuple[str, Sequence[Statement], bool]] = []

    def note(self, what: str, statements: Sequence[Statement]) -> None:
        self.go_on.wait()
        here = threading.current_thread() is threading.main_thread()
        self.ran.append((what, statements, here))

    def rows(self, statement: Statement) -> Rows:
        self.note("rows", [statement])
        return [("row",)]

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.note("create", statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.note("change", statements)
        return len(statements) == 1


class Broken(Waiting):
    """A database whose reads raise an error."""

    def rows(self, statement: Statement) -> Rows:
        del statement
        raise RuntimeError("dictionary changed size during iteration")


def test_threaded_database_is_unavailable_if_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def ask() -> None:
        broken = Broken()
        broken.go_on.set()
        database = ThreadedDatabase(broken)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            for act in (database.run_transaction, database.run_ddl):
                with pytest.raises(StoreUnavailableError) as raised:
                    await act([])
                # The call is queued, so it may still take effect.
                assert not isinstance(raised.value, StoreUnchangedError)
            with pytest.raises(StoreUnavailableError, match="no thread"):
                await database.rows(ASKED)
        with pytest.raises(RuntimeError, match="changed size"):
            await database.rows(ASKED)

    asyncio.run(ask())


def test_threaded_database_runs_blocking_calls_in_another_thread() -> None:
    waiting = Waiting()
    database = ThreadedDatabase(waiting)

    async def ask() -> None:
        rows = asyncio.ensure_future(database.rows(ASKED))
        await asyncio.sleep(0)
        assert not rows.done()
        waiting.go_on.set()
        assert await rows == [("row",)]
        await database.run_ddl([ASKED])
        assert await database.run_transaction([ASKED]) is True
        assert await database.run_transaction([]) is False

    asyncio.run(ask())
    assert database.dialect is Dialect.SQLITE
    told = [("rows", [ASKED]), ("create", [ASKED]), ("change", [ASKED]), ("change", [])]
    assert waiting.ran == [(*each, False) for each in told]


def test_threaded_database_passes_the_deadline_to_its_threads() -> None:
    ends: list[float] = []

    class Noting(Waiting):
        def note(self, what: str, statements: Sequence[Statement]) -> None:
            super().note(what, statements)
            ends.append(current_deadline())

    async def ask() -> float:
        noting = Noting()
        noting.go_on.set()
        database = ThreadedDatabase(noting)
        with deadline_scope(7):
            await database.rows(ASKED)
            await database.run_ddl([ASKED])
            await database.run_transaction([ASKED])
            return current_deadline()

    end = asyncio.run(ask())
    assert end < float("inf")
    assert ends == [end] * 3
