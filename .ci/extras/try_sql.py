"""The extra `sql`: a store on SQLite, for a blocking and for an async server."""

import asyncio

from serving import CALLER, CREATE, IDS, KEY, check, check_async

from curae_lifecycle import AsyncSqlStore, SqlStore
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase

database = SqlDatabase(create_engine("sqlite:///extra.db"))
store = SqlStore(database)
store.create_tables()
store.register(KEY, CALLER)
endpoint = Endpoint(store, IDS)
check(endpoint(CREATE), endpoint(CREATE))
awaited = AsyncEndpoint(AsyncSqlStore(ThreadedDatabase(database)), IDS)
asyncio.run(check_async(awaited(CREATE), awaited(CREATE)))
