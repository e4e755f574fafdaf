"""The keys of rows: the id itself for connections and sessions, a digest for everything else.

The law of this module: **two names that differ in anything have different keys**. A key is the
digest of a JSON array, which keeps the parts of a name apart.

A request asks for each of its keys several times, so the latest keys are cached.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import Final

from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
from curae_lifecycle.service.rate_keys import RateKey
from curae_lifecycle.stores.keys import rate_key_parts

KEY_CACHE_SIZE: Final = 4096
"""The number of keys of each kind that are cached."""


def key_of(*parts: str) -> str:
    """Return the key of a row: the SHA-256 in hex of the texts that identify it, in order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_ID: Final = re.compile(r"[0-9a-f-]{36}")


def id_key(id_: ConnectionId | SessionId) -> str:
    """Return an id as the key of its row, or an empty key if the id is malformed.

    An id is malformed unless it has 36 characters, each a lower-case hex digit or a hyphen. No row
    has the empty key. A fact may hold any text as an id, and databases disagree about some texts:
    one ignores a trailing space, another raises an error for a null character.
    """
    return id_ if _ID.fullmatch(id_) else ""


@lru_cache(KEY_CACHE_SIZE)
def coordinate_key(coordinate: Coordinate) -> str:
    """Return the key of an app user's coordinate: a SHA-256 in hex.

    It is the key of the binding's row. Rows of connections and sessions hold it in a column.
    """
    return key_of(
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    )


@lru_cache(KEY_CACHE_SIZE)
def record_key(key: RecordKey) -> str:
    """Return the key of the row of an idempotency record.

    The key is a SHA-256 in hex over the owner and the client's idempotency key.
    """
    owner = key.owner
    return key_of(
        owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.key
    )


@lru_cache(KEY_CACHE_SIZE)
def rate_key(key: RateKey) -> str:
    """Return the key of the row of a rate limit: a SHA-256 in hex.

    The limit is a token bucket of an API key, with its numbers, or the log of an app user's
    admissions.
    """
    return key_of(*rate_key_parts(key))
