"""Liveness and readiness checks.

The laws of this module:

- **Liveness does not depend on the store.** So a supervisor does not restart a server because its
  database hangs.
- **Readiness is known within `READY_TIMEOUT_SECONDS`.**
"""

from __future__ import annotations

import json
import logging
from typing import Final

from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import AsyncStore, StoreUnavailableError
from curae_lifecycle.stores.request_loop import log_error

_LOG: Final = logging.getLogger(__name__)

LIVE_PATH: Final = "/livez"
"""The path of the liveness check: whether to restart the process."""

READY_PATH: Final = "/readyz"
"""The path of the readiness check: whether to send requests to this process."""

READY_TIMEOUT_SECONDS: Final = 3.0
"""Seconds within which the store must answer the readiness check."""

_PROBE_ID: Final = "readiness"
"""A value that is the digest of no API key and the id of no stored value."""

_PROBE_NEEDS: Final = Needs(
    # The rate limits can be in another store than the rest. It must answer, too.
    buckets=(
        BucketKey(
            KeyOwner(
                api_key_id=ApiKeyId(_PROBE_ID),
                environment=Environment.TEST,
                app_id=AppId(_PROBE_ID),
                customer_account_id=CustomerAccountId(_PROBE_ID),
            ),
            Bucket(name=_PROBE_ID, capacity=1, refill=1, seconds=1),
        ),
    ),
)


async def is_ready(store: AsyncStore) -> bool:
    """Return whether the store can load values, tested with an unknown API key.

    If the load fails, the error is logged. This function sets no timeout.
    """
    try:
        await store.load(_PROBE_NEEDS, _PROBE_ID)
    except StoreUnavailableError as error:
        _LOG.warning("not ready: %s", error)
    except Exception as error:  # noqa: BLE001 - a store that raises is not ready
        log_error("not ready", error)
    else:
        return True
    return False


def health(status: int, state: str) -> Response:
    """Build the response of a health check, which no cache may store.

    A 5xx response has `Retry-After: 1`.

    Args:
        status: The HTTP status.
        state: One word for the state, such as `ok`; the body is then `{"status": "ok"}`.
    """
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    if status >= 500:  # noqa: PLR2004 - server errors start here
        headers.append(("retry-after", "1"))
    return Response(status, tuple(headers), json.dumps({"status": state}).encode())
