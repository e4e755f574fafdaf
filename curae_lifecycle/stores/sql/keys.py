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
from curae_lifecycle.service.rate_keys import BucketKey, RateKey

KEY_CACHE_SIZE: Final = 4096
"""The number of keys of each kind that are cached."""


def key_of(*parts: str) -> str:
    """Return the SHA-256 of a name, in hex."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_ID: Final = re.compile(r"[0-9a-f-]{36}")


def id_key(id_: ConnectionId | SessionId) -> str:
    """Return an id as the key of its row, or an empty key if the id is malformed.

    No row has the empty key. A fact may hold any text as an id, and databases disagree about some
    texts: one ignores a trailing space, another raises an error for a null character.
    """
    return id_ if _ID.fullmatch(id_) else ""


@lru_cache(KEY_CACHE_SIZE)
def coordinate_key(coordinate: Coordinate) -> str:
    """Return the key of a coordinate, which its binding, connections and sessions hold."""
    return key_of(
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    )


@lru_cache(KEY_CACHE_SIZE)
def record_key(key: RecordKey) -> str:
    """Return the key of an idempotency record."""
    owner = key.owner
    return key_of(
        owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.key
    )


@lru_cache(KEY_CACHE_SIZE)
def rate_key(key: RateKey) -> str:
    """Return the key of a bucket or of an app user's exact log."""
    if isinstance(key, BucketKey):
        owner = key.owner
        return key_of(
            owner.api_key_id,
            owner.environment,
            owner.app_id,
            owner.customer_account_id,
            key.policy,
        )
    user = key.app_user
    return key_of(user.environment, user.customer_account_id, user.app_user_id, key.policy)
