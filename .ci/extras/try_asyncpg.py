"""The extra `asyncpg`: a store on PostgreSQL, for an async server."""

import asyncio
import os

from async_store import serve_twice

from curae_lifecycle.stores.sql.engine import create_engine_async


async def serve() -> None:
    """Serve the requests with this driver."""
    engine = create_engine_async(
        os.environ["POSTGRESQL_URL"].replace("postgresql+psycopg", "postgresql+asyncpg"), timeout=30
    )
    await serve_twice(engine)


asyncio.run(serve())
