"""The set-up of an example: it creates the tables, once for all workers, and prints what to try."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from settings import BLOCKING_URL, DATABASE_URL, DEMO_URL, POOL, PUBLIC_URL, WORKERS

from curae_lifecycle import ApiKey, ApiKeyId, AppId, Caller, CustomerAccountId, Environment
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore

RESERVED: Final = 10
"""The connections that are left for the outbox worker, for commands and for the database's operator."""

API_KEY: Final = "cae_test_demo"
CALLER: Final = Caller(
    api_key_id=ApiKeyId("demo"),
    app_id=AppId("demo-app"),
    customer_account_id=CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
    environment=Environment.TEST,
    scopes=frozenset({"connection:write"}),
)

_TEXT: Final = """Try, in another terminal:

  curl -s -X POST {url}/api/sdk/v1/curae-connect/initiate \\
    -H 'Authorization: Bearer {key}' -H 'Idempotency-Key: first-visit' \\
    -d '{{"appUserId": "user-1", "preferSignup": true}}'

  curl -s -X POST {url}/api/sdk/v1/connections \\
    -H 'Authorization: Bearer {key}' -H 'Idempotency-Key: first-connection' \\
    -d '{{"appUserId": "user-1", "dataPackages": ["clinical_summary"]}}'

Send one again: the response is the same, byte for byte. Then open its nextAction.url in a browser,
finish or cancel, and see the new state:

  curl -s '{url}/api/sdk/v1/curae-connect/account-state?appUserId=user-1' \\
    -H 'Authorization: Bearer {key}'
"""


def prepare() -> None:
    """Create the tables. With the default database, also register a key and print what to try."""
    engine = create_engine(BLOCKING_URL)
    try:
        _prepare(engine)
    finally:
        engine.dispose()


def _prepare(engine: sa.Engine) -> None:
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            most = int(connection.exec_driver_sql("SHOW max_connections").scalar_one())
        free = most - RESERVED
        if free < WORKERS * POOL:
            raise SystemExit(
                f"WORKERS times POOL must be at most {free}: max_connections is {most}"
            )
    if DATABASE_URL == DEMO_URL:
        store.register(ApiKey(API_KEY), CALLER)
        print(_TEXT.format(url=PUBLIC_URL, key=API_KEY), flush=True)


def prepare_django() -> None:
    """Set up the Django example as `prepare` does; Django's migrations create the tables."""
    from django.core.management import call_command  # noqa: PLC0415 - needed only on Django
    from django.db import connection  # noqa: PLC0415 - needed only on Django

    call_command("migrate", verbosity=0)
    # The workers are forked later, and must not share this connection.
    connection.close()
    prepare()
