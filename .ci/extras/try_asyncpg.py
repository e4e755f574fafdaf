"""The extra `asyncpg`: a store on PostgreSQL, for an async server."""

import asyncio
import os

from serving import CALLER, CREATE, IDS, KEY, check_async

from curae_lifecycle import AsyncSqlStore
from curae_lifecycle.servers.endpoint import AsyncEndpoint
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async


async def serve() -> None:
    """Create the tables and a caller, and serve the same request twice."""
    engine = create_engine_async(
        os.environ["POSTGRESQL_URL"].replace("postgresql+psycopg", "postgresql+asyncpg"), timeout=30
    )
    store = AsyncSqlStore(AsyncSqlDatabase(engine))
    await store.create_tables()
    await store.register(KEY, CALLER)
    endpoint = AsyncEndpoint(store, IDS)
    await check_async(endpoint(CREATE), endpoint(CREATE))
    await engine.dispose()


asyncio.run(serve())
