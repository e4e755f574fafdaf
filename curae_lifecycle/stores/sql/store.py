"""The SQL stores: one statement to load, one transaction to commit, on any `Database`.

The law of this module: **a store decides nothing, and never relies on its cache**. It caches
callers as a guess, and every load reads the caller again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final, Protocol

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage, url_digest
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.retry import (
    DEFAULT_RETRY_POLICY,
    async_retrier,
    blocking_retrier,
)
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store
from curae_lifecycle.stores.sql import loading, outbox_statements, storing
from curae_lifecycle.stores.sql.buckets import check_sizes
from curae_lifecycle.stores.sql.charging import (
    RequestCharge,
    SharedCharges,
    request_charge_statements,
)
from curae_lifecycle.stores.sql.purging import purge_database
from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.transactions import (
    AsyncTransactions,
    BlockingTransactions,
    Transactions,
    run_until_committed,
)
from curae_lifecycle.stores.sweeping import BATCH_POLICY
from curae_lifecycle.stores.wiring import check_async_database, check_database

CALLER_CACHE_SIZE: Final = 10_000
"""The largest number of callers that a store caches."""


class Database(Transactions, Protocol):
    """A blocking database that runs statements.

    Every method raises `StoreUnavailableError` for a transient failure, such as a lock that was not
    free in time, a deadlock or a lost connection.
    """

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements, in one transaction if the database supports that."""
        ...


class AsyncDatabase(AsyncTransactions, Protocol):
    """An async database that runs statements: the methods of `Database` as coroutines.

    Every method raises `StoreUnavailableError` for a transient failure, such as a deadlock.
    """

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements, in one transaction if the database supports that."""
        ...


class _Statements:
    """The statements of the blocking and the async store, and their cache of callers."""

    def __init__(self, dialect: Dialect, settings: Settings) -> None:
        check_sizes(settings.buckets)
        self._dialect = dialect
        self._settings = settings
        self._lock = Lock()
        self._callers: OrderedDict[str, Caller] = OrderedDict()

    def cached_caller(self, digest: str) -> Caller | None:
        """Return the cached caller of an API key, or None."""
        with self._lock:
            return self._callers.get(digest)

    def _cache_caller(self, digest: str, caller: Caller | None) -> None:
        # Also drops a key that became unknown, and the oldest entry of a full cache.
        with self._lock:
            self._callers.pop(digest, None)
            if caller is not None:
                self._callers[digest] = caller
            if len(self._callers) > CALLER_CACHE_SIZE:
                self._callers.popitem(last=False)

    def forget_caller(self, digest: str | None, error: Exception) -> None:
        """Drop the cached caller of an API key after a failed load, unless the failure may pass.

        The values of an outdated caller can be the ones that cannot be loaded.
        """
        if digest is not None and not isinstance(error, StoreUnavailableError):
            self._cache_caller(digest, None)

    def load(self, needs: Needs, key_digest: str | None) -> Statement:
        """Build the statement that loads everything in `needs`."""
        return loading.load_statement(self._dialect, needs, key_digest)

    def loaded(self, needs: Needs, rows: Rows, key_digest: str | None) -> Loaded:
        """Parse the loaded rows and cache the caller."""
        loaded = loading.parse_loaded(needs, rows)
        if key_digest is not None:
            self._cache_caller(key_digest, loaded.caller)
        return loaded

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None) -> list[Statement]:
        """Build the commit statements."""
        return storing.commit_statements(
            self._dialect,
            loaded=loaded,
            changes=changes,
            messages=messages(changes, self._settings),
            page=page,
        )

    def flush(self) -> Statement | None:
        """Build the statement that makes earlier charges durable; None if they are already."""
        return Statement(CONFIRM) if self._dialect is Dialect.POSTGRESQL else None

    def page(self, url: str) -> Statement:
        """Build the statement that finds a hosted page by its URL."""
        return loading.page_statement(self._dialect, url_digest(url))

    def register(self, api_key: ApiKey, caller: Caller) -> Statement:
        """Build the statement that registers an API key."""
        return storing.save_caller_statement(self._dialect, api_key.digest(), caller)


class SqlStore:
    """A `Store` in a blocking database.

    Args:
        database: The database, such as a `SqlDatabase`.
        settings: The server's settings, by which events are formatted.
        charge_apart: Whether the buckets (rate limits) of a request are charged in a short
            transaction ahead of its commit, so that requests of one API key do not wait for each
            other's commits. A request whose commit fails keeps its charge.

    Raises:
        ArgumentError: `database` is async, or no database, or a bucket of the settings is too large
            for 64-bit integers.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        charge_apart: bool = False,
    ) -> None:
        check_database(database, "AsyncSqlStore")
        self._database = database
        self._charges_apart = charge_apart
        self._statements = _Statements(database.dialect, settings)

    def create_tables(self) -> None:
        """Create missing tables and indexes. Several processes may call this at once."""
        self._database.run_ddl(create_table_statements(self._database.dialect))

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Register an API key for a caller, or replace the caller of a registered key.

        From the next request on, the key belongs to that caller.

        Args:
            api_key: The key. Only its digest is stored.
            caller: The caller of the key.

        Raises:
            StoreUnavailableError: The database failed, or refused every attempt. Call again.
        """
        self._run_until_committed(self._statements.register(api_key, caller))

    def withdraw(self, api_key: ApiKey) -> None:
        """Make an API key unknown from the next request on.

        Raises:
            StoreUnavailableError: The database failed, or refused every attempt. Call again.
        """
        self._run_until_committed(storing.withdrawal_statement(api_key.digest()))

    def _run_until_committed(self, statement: Statement) -> None:
        database = BlockingTransactions(self._database)
        run_sync(run_until_committed(database, [statement], blocking_retrier(DEFAULT_RETRY_POLICY)))

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, or None for an unknown key.

        A caller from the cache may be outdated; `load` returns the current one.

        Args:
            key_digest: The digest of the API key.
        """
        known = self._statements.cached_caller(key_digest)
        return known or self.load(Needs(), key_digest).caller

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs in one statement.

        The result holds these values, the database's current instant and the caller.

        Args:
            needs: The values to load.
            key_digest: The digest of the API key whose caller to load; `None` for a fact.

        Raises:
            StoreUnavailableError: The database failed.
            MalformedError: A stored value is not one that this library wrote.
            NewerFormatError: A newer release stored a value in a form that this one cannot read.
        """
        try:
            rows = self._database.rows(self._statements.load(needs, key_digest))
            return self._statements.loaded(needs, rows, key_digest)
        except Exception as error:
            self._statements.forget_caller(key_digest, error)
            raise

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Store the changes and the page in one transaction.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The writes, and the effects and events for the outbox.
            page: The hosted page to register, if any.

        Returns:
            True if everything was stored. False on a conflict, after which nothing was stored: load
            again and decide again.

        Raises:
            ArgumentError: A write replaces a value that was not loaded.
            StoreUnavailableError: The database failed. The changes may have been stored.
        """
        return self._database.run_transaction(self._statements.commit(loaded, changes, page))

    @property
    def charges_apart(self) -> bool:
        """True if a request's buckets (rate limits) are charged ahead of its commit."""
        return self._charges_apart

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        """Charge buckets in one short transaction, ahead of the commit of the request.

        Buckets are the rate limits of the request's API key.

        On PostgreSQL the transaction does not wait for the disk, unless it inserts the row of a
        bucket. The next commit waits for all earlier charges, too.

        Args:
            loaded: The result of the load that the charges were decided from.
            charges: The writes of the buckets. If there are none, an earlier attempt at the request
                charged the buckets; the call then only waits until that charge is on disk.
            durable: True to wait until these and all earlier charges are on disk, because no commit
                follows.

        Returns:
            True if all buckets were charged. False if a bucket no longer admits the request, after
            which none was charged: load again and decide again.

        Raises:
            StoreUnavailableError: The database failed. The buckets may have been charged.
        """
        if charges:
            charge = RequestCharge.of(loaded, charges)
            statements = request_charge_statements(self._database.dialect, [charge])
            if not self._database.run_transaction(statements):
                return False
        flush = self._statements.flush() if durable else None
        if flush is not None:
            self._database.rows(flush)
        return True

    def hosted_page(self, url: str) -> HostedPage | None:
        """Return the hosted page of a URL, or None if the URL is unknown or has expired.

        Raises:
            StoreUnavailableError: The database failed.
            MalformedError: The stored page is not one that this library wrote.
            NewerFormatError: A newer release stored the page in a form that this one cannot read.
        """
        return loading.loaded_page(self._database.rows(self._statements.page(url)))

    def outbox(self) -> list[dict[str, Json]]:
        """Return the effects and events in the outbox as JSON, in the order of their numbers.

        The method reads the whole outbox, so it is for tests; a server has an `Outbox` worker.

        Raises:
            StoreUnavailableError: The database failed.
            MalformedError: A message is not one that this library wrote.
            NewerFormatError: A newer release stored a message in a form that this one cannot read.
        """
        rows = self._database.rows(outbox_statements.messages_statement())
        return outbox_statements.documents(rows)

    def purge(self) -> None:
        """Delete expired values and the rows of erased app users, and finish interrupted sweeps.

        A tombstone records that a user is gone. A sweep revokes the connections of that user.

        Idempotency records, rate limits and hosted pages are deleted from five minutes after their
        expiry. The rows of an erased app user are deleted once the messages about the user were
        delivered.

        Raises:
            StoreUnavailableError: The database was unavailable at the start, or for a minute at one
                batch. Call `purge` again.
        """
        statement = loading.now_statement(self._database.dialect)
        now = loading.loaded_now(self._database.rows(statement))
        run_sync(
            purge_database(
                BlockingTransactions(self._database),
                as_async_store(self),
                now=now,
                retrier=blocking_retrier(BATCH_POLICY),
            )
        )


class AsyncSqlStore:
    """A store in an async database, with the methods of `Store` as coroutines.

    Args:
        database: The database, such as an `AsyncSqlDatabase`.
        settings: The server's settings, by which events are formatted.
        charge_apart: Whether the buckets (rate limits) of a request are charged in a short
            transaction ahead of its commit, so that requests of one API key do not wait for each
            other's commits. A request whose commit fails keeps its charge.

    Raises:
        ArgumentError: `database` is blocking, or no database, or a bucket of the settings is too
            large for 64-bit integers.
    """

    def __init__(
        self,
        database: AsyncDatabase,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        charge_apart: bool = False,
    ) -> None:
        check_async_database(database, "SqlStore")
        self._database = database
        self._charges_apart = charge_apart
        self._statements = _Statements(database.dialect, settings)
        self._shared = SharedCharges(database)

    async def create_tables(self) -> None:
        """Create missing tables and indexes. Several processes may call this at once."""
        await self._database.run_ddl(create_table_statements(self._database.dialect))

    async def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Register an API key, or replace its caller, as `SqlStore.register` does.

        Only the key's digest is stored.
        """
        await self._run_until_committed(self._statements.register(api_key, caller))

    async def withdraw(self, api_key: ApiKey) -> None:
        """Make an API key unknown from the next request on, as `SqlStore.withdraw` does."""
        await self._run_until_committed(storing.withdrawal_statement(api_key.digest()))

    async def _run_until_committed(self, statement: Statement) -> None:
        retrier = async_retrier(DEFAULT_RETRY_POLICY)
        await run_until_committed(self._database, [statement], retrier)

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, or None if unknown, as `SqlStore.caller_of` does.

        A caller from the cache may be outdated; `load` returns the current one.

        Args:
            key_digest: The digest of the API key.
        """
        known = self._statements.cached_caller(key_digest)
        return known or (await self.load(Needs(), key_digest)).caller

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, as `SqlStore.load` does.

        The result holds these values, the database's current instant and the caller.

        Args:
            needs: The values to load.
            key_digest: The digest of the API key whose caller to load; `None` for a fact.
        """
        try:
            rows = await self._database.rows(self._statements.load(needs, key_digest))
            return self._statements.loaded(needs, rows, key_digest)
        except Exception as error:
            self._statements.forget_caller(key_digest, error)
            raise

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Store the changes and the page in one transaction, as `SqlStore.commit` does.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The writes, and the effects and events for the outbox.
            page: The hosted page to register, if any.

        Returns:
            True if everything was stored. False on a conflict, after which nothing was stored: load
            again and decide again.
        """
        return await self._database.run_transaction(self._statements.commit(loaded, changes, page))

    @property
    def charges_apart(self) -> bool:
        """True if a request's buckets (rate limits) are charged ahead of its commit."""
        return self._charges_apart

    async def charge(
        self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool
    ) -> bool:
        """Charge buckets ahead of the commit of the request, as `SqlStore.charge` does.

        Buckets are the rate limits of the request's API key. Waiting requests of one API key are
        charged in one transaction.

        Args:
            loaded: The result of the load that the charges were decided from.
            charges: The writes of the buckets. If there are none, an earlier attempt at the request
                charged the buckets; the call then only waits until that charge is on disk.
            durable: True to wait until these and all earlier charges are on disk, because no commit
                follows.

        Returns:
            True if all buckets were charged. False if a bucket no longer admits the request, after
            which none was charged: load again and decide again.
        """
        if charges and not await self._shared.charge(RequestCharge.of(loaded, charges)):
            return False
        flush = self._statements.flush() if durable else None
        if flush is not None:
            await self._database.rows(flush)
        return True

    async def hosted_page(self, url: str) -> HostedPage | None:
        """Return the hosted page of a URL, or None if the URL is unknown or has expired.

        It raises the same errors as `SqlStore.hosted_page`, such as `StoreUnavailableError`.
        """
        return loading.loaded_page(await self._database.rows(self._statements.page(url)))

    async def outbox(self) -> list[dict[str, Json]]:
        """Return the effects and events in the outbox as JSON, as `SqlStore.outbox` does."""
        rows = await self._database.rows(outbox_statements.messages_statement())
        return outbox_statements.documents(rows)

    async def purge(self) -> None:
        """Delete expired values and the rows of erased app users, as `SqlStore.purge` does.

        It also finishes interrupted sweeps, which revoke the connections of a user who is gone.
        """
        statement = loading.now_statement(self._database.dialect)
        now = loading.loaded_now(await self._database.rows(statement))
        await purge_database(self._database, self, now=now, retrier=async_retrier(BATCH_POLICY))
