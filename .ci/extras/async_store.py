"""A store on an async engine that creates a connection and replays the response."""

from serving import CALLER, CREATE, IDS, KEY, check_async

from curae_lifecycle import AsyncSqlStore
from curae_lifecycle.servers.endpoint import AsyncEndpoint
from curae_lifecycle.stores.sql.engine import AsyncEngine, AsyncSqlDatabase


async def serve_twice(engine: AsyncEngine) -> None:
    """Create the tables and a caller, serve the same request twice, and dispose of the engine."""
    store = AsyncSqlStore(AsyncSqlDatabase(engine))
    await store.create_tables()
    await store.register(KEY, CALLER)
    endpoint = AsyncEndpoint(store, IDS)
    await check_async(endpoint(CREATE), endpoint(CREATE))
    await engine.dispose()
