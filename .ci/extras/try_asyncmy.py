"""The extra `asyncmy`: a store on MariaDB, for an async server."""

import asyncio
import os

from async_store import serve_twice

from curae_lifecycle.stores.sql.engine import create_engine_async


async def serve() -> None:
    """Serve the requests with this driver."""
    engine = create_engine_async(
        os.environ["MARIADB_URL"].replace("mariadb+pymysql", "mariadb+asyncmy"), timeout=30
    )
    await serve_twice(engine)


asyncio.run(serve())
