"""A request that every store must answer: create a connection, and replay its response."""

import os
from collections.abc import Awaitable
from typing import Final

from curae_lifecycle import (
    ApiKey,
    ApiKeyId,
    AppId,
    Caller,
    CustomerAccountId,
    Environment,
    RandomIds,
    Request,
    Response,
)

IDS: Final = RandomIds("https://connect.example/")
# Programs that run at the same time share a database.
SECRET: Final = f"cae_live_k{os.getpid()}"
KEY: Final = ApiKey(SECRET)
CALLER: Final = Caller(
    api_key_id=ApiKeyId(f"key-{os.getpid()}"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    environment=Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)
CREATE: Final = Request(
    method="POST",
    target="/api/sdk/v1/connections",
    headers=(("Authorization", f"Bearer {SECRET}"), ("Idempotency-Key", "k-1")),
    body=b'{"appUserId": "ada", "dataPackages": ["clinical_summary"]}',
)


def check(first: Response, second: Response) -> None:
    """Check that the first response created a connection and that the second repeats it."""
    assert first.status == 201, first
    assert first.body == second.body


async def check_async(first: Awaitable[Response], second: Awaitable[Response]) -> None:
    """Check the same of two responses that are awaited, one after the other."""
    check(await first, await second)
