"""The extra `redis`: rate limits in Redis, for a blocking server and for an async one."""

import asyncio
import os

from serving import CALLER, CREATE, IDS, KEY, check

from curae_lifecycle import Bucket, MemoryStore, Request, Settings
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.stores.redis.clients import create_client, create_client_async
from curae_lifecycle.stores.redis.limits import RedisLimitsStore

settings = Settings(buckets=(Bucket(name="platform", capacity=2, refill=1, seconds=3600),))
store = MemoryStore(settings)
store.register(KEY, CALLER)
url = os.environ["REDIS_URL"]
endpoint = Endpoint(RedisLimitsStore(store, create_client(url)), IDS, settings)
check(endpoint(CREATE), endpoint(CREATE))
target = "/api/sdk/v1/curae-connect/account-state?appUserId=ada"
asked = Request(method="GET", target=target, headers=CREATE.headers[:1])
statuses = [endpoint(asked).status for _ in range(3)]
assert statuses[-1] == 429, statuses


async def ping() -> None:
    """Ask the server through the async client."""
    client = create_client_async(url)
    assert await client.execute_command("PING")


asyncio.run(ping())
