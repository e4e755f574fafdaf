"""The JSON text in which stores keep the caller of an API key."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment

_CACHE_SIZE: Final = 1024
"""The number of parsed callers that are cached; each request parses the text of its caller."""


def format_caller(caller: Caller) -> str:
    """Return a caller as JSON; equal callers give equal text."""
    members = {
        "api_key_id": caller.api_key_id,
        "app_id": caller.app_id,
        "customer_account_id": caller.customer_account_id,
        "environment": caller.environment,
        "scopes": sorted(caller.scopes),
    }
    return json.dumps(members)


@lru_cache(_CACHE_SIZE)
def parse_caller(text: str) -> Caller:
    """Return the caller from a text that `format_caller` returned."""
    members = json.loads(text)
    return Caller(
        api_key_id=ApiKeyId(members["api_key_id"]),
        app_id=AppId(members["app_id"]),
        customer_account_id=CustomerAccountId(members["customer_account_id"]),
        environment=Environment(members["environment"]),
        scopes=frozenset(members["scopes"]),
    )
