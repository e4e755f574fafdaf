"""The store itself: one statement to load, one transaction to commit, whatever runs them.

The law of this module: **it decides nothing and remembers nothing that it does not look up again**:
the callers that it remembers are a guess, and every load tells the caller anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final, Protocol

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import HostedPage, url_digest
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.sql import loading, storing
from curae_lifecycle.stores.sql.buckets import check_sizes
from curae_lifecycle.stores.sql.clock import now_parameter
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement

CALLERS_REMEMBERED: Final = 10_000
"""How many callers a store remembers."""

Rows = Sequence[Sequence[object]]
"""What a database answers."""


class Database(Protocol):
    """What runs statements.

    It raises `StoreUnavailableError` for whatever may pass: a lock, a deadlock, a lost connection.
    """

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        ...

    def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        ...

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, in one transaction where the database can."""
        ...

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether each changed as many rows as it says. `False`, also where a unique index
            refused one: all of them are undone.
        """
        ...


class AsyncDatabase(Protocol):
    """The same, awaited."""

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        ...

    async def rows(self, statement: Statement) -> Rows:
        """As `Database.rows`."""
        ...

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """As `Database.create`."""
        ...

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """As `Database.change`."""
        ...


class _Statements:
    """What both kinds of store run, and the callers that they remember."""

    def __init__(self, dialect: Dialect, settings: Settings) -> None:
        check_sizes(settings.buckets)
        self._dialect = dialect
        self._settings = settings
        self._lock = Lock()
        self._callers: OrderedDict[str, Caller] = OrderedDict()

    def remembered(self, digest: str) -> Caller | None:
        """Whom an API key stood for a moment ago; `None` where nobody asked of late."""
        with self._lock:
            return self._callers.get(digest)

    def remember(self, digest: str, caller: Caller | None) -> None:
        """Note whom an API key stands for, and forget who was noted longest ago."""
        with self._lock:
            self._callers.pop(digest, None)
            if caller is not None:
                self._callers[digest] = caller
            if len(self._callers) > CALLERS_REMEMBERED:
                self._callers.popitem(last=False)

    def load(self, needs: Needs, key_digest: str | None) -> Statement:
        """Build the statement that loads everything of one moment."""
        moment = now_parameter(self._dialect)
        return loading.load_statement(self._dialect, needs, key_digest=key_digest, clock=moment)

    def loaded(self, needs: Needs, rows: Rows, key_digest: str | None) -> Loaded:
        """Return what was loaded, and remember its caller."""
        loaded = loading.parse_loaded(needs, rows)
        if key_digest is not None:
            self.remember(key_digest, loaded.caller)
        return loaded

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None) -> list[Statement]:
        """What commits."""
        posted = messages(changes, self._settings)
        return storing.commit_statements(
            self._dialect, loaded=loaded, changes=changes, messages=posted, page=page
        )

    def page(self, url: str) -> Statement:
        """What finds a page."""
        return loading.page_statement(self._dialect, url_digest(url), now_parameter(self._dialect))

    def instant(self) -> Statement:
        """What asks for the instant."""
        return loading.now_statement(self._dialect, now_parameter(self._dialect))

    def register(self, digest: str, caller: Caller) -> list[Statement]:
        """What lets an API key in."""
        return [storing.save_caller_statement(self._dialect, digest, caller)]


class SqlStore:
    """A store in a database that waits for its answers.

    Args:
        database: What runs statements.
        settings: What the server chose; events are shown as it says.
    """

    def __init__(self, database: Database, settings: Settings = DEFAULT_SETTINGS) -> None:
        self._database = database
        self._statements = _Statements(database.dialect, settings)

    def create_tables(self) -> None:
        """Make the tables where they are missing; many may do so at once."""
        self._database.run_ddl(create_table_statements(self._database.dialect))

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller, from the next request on; again replaces."""
        self._database.run_transaction(self._statements.register(api_key.digest(), caller))

    def withdraw(self, api_key: ApiKey) -> None:
        """Make an API key unknown, from the next request on."""
        self._database.run_transaction([storing.withdrawal_statement(api_key.digest())])

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key from the cache, else from the database."""
        known = self._statements.remembered(key_digest)
        return known or self.load(Needs(), key_digest).caller

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, in one statement."""
        rows = self._database.rows(self._statements.load(needs, key_digest))
        return self._statements.loaded(needs, rows, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Compare and set, all or nothing, with effects, events and the page."""
        return self._database.run_transaction(self._statements.commit(loaded, changes, page))

    def hosted_page(self, url: str) -> HostedPage | None:
        """What a URL leads to; `None` for one that is unknown or over."""
        return loading.loaded_page(self._database.rows(self._statements.page(url)))

    def purge(self) -> None:
        """Drop records, limits and pages that have been over for five minutes."""
        now = loading.loaded_now(self._database.rows(self._statements.instant()))
        for purge in storing.purges(to_epoch_microseconds(now)):
            nearest: Rows | None = None
            while nearest is None or nearest:
                nearest = self._database.rows(purge.nearest())
                self._database.run_transaction([purge.drop(nearest)])


class AsyncSqlStore:
    """A store in a database that is awaited.

    Args:
        database: What runs statements.
        settings: What the server chose; events are shown as it says.
    """

    def __init__(self, database: AsyncDatabase, settings: Settings = DEFAULT_SETTINGS) -> None:
        self._database = database
        self._statements = _Statements(database.dialect, settings)

    async def create_tables(self) -> None:
        """Make the tables where they are missing; many may do so at once."""
        await self._database.run_ddl(create_table_statements(self._database.dialect))

    async def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller, from the next request on; again replaces."""
        await self._database.run_transaction(self._statements.register(api_key.digest(), caller))

    async def withdraw(self, api_key: ApiKey) -> None:
        """Make an API key unknown, from the next request on."""
        await self._database.run_transaction([storing.withdrawal_statement(api_key.digest())])

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key from the cache, else from the database."""
        known = self._statements.remembered(key_digest)
        return known or (await self.load(Needs(), key_digest)).caller

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, in one statement."""
        rows = await self._database.rows(self._statements.load(needs, key_digest))
        return self._statements.loaded(needs, rows, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Compare and set, all or nothing, with effects, events and the page."""
        return await self._database.run_transaction(self._statements.commit(loaded, changes, page))

    async def hosted_page(self, url: str) -> HostedPage | None:
        """What a URL leads to; `None` for one that is unknown or over."""
        return loading.loaded_page(await self._database.rows(self._statements.page(url)))

    async def purge(self) -> None:
        """Drop records, limits and pages that have been over for five minutes."""
        now = loading.loaded_now(await self._database.rows(self._statements.instant()))
        for purge in storing.purges(to_epoch_microseconds(now)):
            nearest: Rows | None = None
            while nearest is None or nearest:
                nearest = await self._database.rows(purge.nearest())
                await self._database.run_transaction([purge.drop(nearest)])
