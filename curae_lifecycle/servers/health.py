"""Whether a server lives, and whether it can serve: what whoever runs it asks it again and again.

The laws of this module: **a server that lives says so, whatever its store does**, so that nobody
restarts it for a database that hangs; **whether it can serve is known in time**.
"""

from __future__ import annotations

import json
import logging
from typing import Final

from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import AsyncStore, StoreUnavailableError
from curae_lifecycle.stores.request_loop import log_error

_LOG: Final = logging.getLogger(__name__)

LIVE_PATH: Final = "/livez"
"""Asked whether the process should be restarted."""

READY_PATH: Final = "/readyz"
"""Asked whether requests should be sent here."""

READY_TIMEOUT_SECONDS: Final = 3.0
"""Seconds that the store is given to show that it can serve."""

_NOBODY: Final = "readiness"
"""No digest of an API key, and no id of anybody's."""

_TRIVIAL: Final = Needs(
    record=None,
    # Whatever keeps the rate limits is asked, too.
    buckets=(
        BucketKey(
            KeyOwner(
                api_key_id=ApiKeyId(_NOBODY),
                environment=Environment.TEST,
                app_id=AppId(_NOBODY),
                customer_account_id=CustomerAccountId(_NOBODY),
            ),
            _NOBODY,
        ),
    ),
    limit=None,
    connection=None,
    binding=None,
)


async def is_ready(store: AsyncStore) -> bool:
    """Whether a store can be asked for something that is not there; what it said else is logged."""
    try:
        await store.load(_TRIVIAL, _NOBODY)
    except StoreUnavailableError as error:
        _LOG.warning("not ready: %s", error)
    except Exception as error:  # noqa: BLE001 - whatever it was, it cannot serve
        log_error("not ready", error)
    else:
        return True
    return False


def health(status: int, said: str) -> Response:
    """An answer about the server itself, never kept on its way.

    Args:
        status: The HTTP status.
        said: The one word that it answers.
    """
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    if status >= 500:  # noqa: PLR2004 - as HTTP has it
        headers.append(("retry-after", "1"))
    return Response(status, tuple(headers), json.dumps({"status": said}).encode())
