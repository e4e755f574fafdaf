"""The extra `aiosqlite`: a store on SQLite, for an async server."""

import asyncio

from async_store import serve_twice

from curae_lifecycle.stores.sql.engine import create_engine_async


async def serve() -> None:
    """Serve the requests with this driver."""
    engine = create_engine_async("sqlite+aiosqlite:///extra.db", timeout=30)
    await serve_twice(engine)


asyncio.run(serve())
