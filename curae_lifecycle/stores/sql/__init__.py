"""SQL stores for SQLite, PostgreSQL and MariaDB, for any code that can run a statement.

Open a store, and create its tables once:

    from curae_lifecycle import SqlStore
    from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine

    engine = create_engine("sqlite:///connections.db")
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()

The same for an async server on PostgreSQL:

    from curae_lifecycle import AsyncSqlStore
    from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async

    engine = create_engine_async("postgresql://user:password@host/name")
    store = AsyncSqlStore(AsyncSqlDatabase(engine))
    await store.create_tables()

For an async server on SQLite or MariaDB, wrap the `SqlDatabase` in a `threaded.ThreadedDatabase`.

The module `engine` needs SQLAlchemy and a driver, which the extras `sql`, `postgresql` and `mariadb`
install. `outbox_worker.Outbox` and `AsyncOutbox` deliver the effects and events.
"""
