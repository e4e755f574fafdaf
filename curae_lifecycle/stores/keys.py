"""The keys of rows: an id as it is, everything else by a digest of what names it.

The law of this module: **two names that differ in anything have two keys**: they are digests of
JSON, which keeps the parts of a name apart.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring_ascii

from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.changes import BucketKey, RateKey


def key_of(*parts: str) -> str:
    """The SHA-256 of a name, in hex."""
    # As `json.dumps` writes them, which makes an encoder for each name.
    text = f"[{', '.join(map(encode_basestring_ascii, parts))}]"
    return hashlib.sha256(text.encode()).hexdigest()


def coordinate_key(coordinate: Coordinate) -> str:
    """The key of a binding, and of what belongs to its user."""
    return key_of(
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    )


def record_key(key: RecordKey) -> str:
    """The key of an idempotency record."""
    owner = key.owner
    return key_of(
        owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.key
    )


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
