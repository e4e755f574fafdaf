"""A worker that counts: it answers some requests and prints the counters.

`python -m tests.servers.counting NUMBER` creates NUMBER connections and replays one of them.
"""

from __future__ import annotations

import sys

from curae_lifecycle import ApiKey, Caller, Environment, MemoryStore, RandomIds, Request
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.metrics import Metrics

BODY = b'{"appUserId": "ada", "dataPackages": ["labs"]}'


def main(number: int) -> None:
    account = CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f")
    scopes = frozenset({"connection:write"})
    store = MemoryStore()
    store.register(
        ApiKey("cae_live_k1"),
        Caller(
            api_key_id=ApiKeyId("k"),
            app_id=AppId("a"),
            customer_account_id=account,
            environment=Environment.LIVE,
            scopes=scopes,
        ),
    )
    endpoint = Endpoint(store, RandomIds("https://connect.example/"), counters=Metrics())
    for key in [*range(number), 0]:
        headers = (("Authorization", "Bearer cae_live_k1"), ("Idempotency-Key", f"k-{key}"))
        answer = endpoint(
            Request(method="POST", target="/api/sdk/v1/connections", headers=headers, body=BODY)
        )
        assert answer.status == 201
    sys.stdout.write(endpoint(Request("GET", "/metrics")).body.decode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
