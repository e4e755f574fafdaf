"""The extra `postgresql`: a store on PostgreSQL, for a blocking and for an async server."""

import asyncio
import os

from serving import CALLER, CREATE, IDS, KEY, check, check_async

from curae_lifecycle import AsyncSqlStore, SqlStore
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)

url = os.environ["POSTGRESQL_URL"]
store = SqlStore(SqlDatabase(create_engine(url, timeout=30)))
store.create_tables()
store.register(KEY, CALLER)
endpoint = Endpoint(store, IDS)
check(endpoint(CREATE), endpoint(CREATE))


async def serve() -> None:
    """Serve the same requests with an async engine."""
    engine = create_engine_async(url, timeout=30)
    awaited = AsyncEndpoint(AsyncSqlStore(AsyncSqlDatabase(engine)), IDS)
    await check_async(awaited(CREATE), awaited(CREATE))
    await engine.dispose()


asyncio.run(serve())
