"""The keys of rows: an id as it is, everything else by a digest of what names it.

The law of this module: **two names that differ in anything have two keys**: they are digests of
JSON, which keeps the parts of a name apart.

A request asks for each of its keys several times, so the latest are remembered.
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

KEYS_REMEMBERED: Final = 4096
"""How many keys of each kind are remembered."""


def key_of(*parts: str) -> str:
    """The SHA-256 of a name, in hex."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_ID: Final = re.compile(r"[0-9a-f-]{36}")


def id_key(id_: ConnectionId | SessionId) -> str:
    """The key of a connection or a session: its id; of a text that is none, what no row has.

    A fact may name anything, and databases differ in what they do with it: they take a space at
    the end for nothing, or raise where a text holds a null.
    """
    return id_ if _ID.fullmatch(id_) else ""


@lru_cache(KEYS_REMEMBERED)
def coordinate_key(coordinate: Coordinate) -> str:
    """The key of a binding, and of what belongs to its user."""
    return key_of(
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    )


@lru_cache(KEYS_REMEMBERED)
def record_key(key: RecordKey) -> str:
    """The key of an idempotency record."""
    owner = key.owner
    return key_of(
        owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.key
    )


@lru_cache(KEYS_REMEMBERED)
def rate_key(key: RateKey) -> str:
    """The key of a bucket, or of an app user's log."""
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
