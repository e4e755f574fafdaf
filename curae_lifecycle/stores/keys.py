"""The keys of rows: an id as it is, everything else by a digest of what names it.

The law of this module: **two names that differ in anything have two keys**: they are digests of
JSON, which keeps the parts of a name apart.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring_ascii

from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.rate_keys import LimitKey, RateKey

KeyParts = tuple[str, ...]
"""What names a value among all of its kind: a few texts, in a fixed order."""


def key_of(*parts: str) -> str:
    """The SHA-256 of a name, in hex."""
    # As `json.dumps` writes them, which makes an encoder for each name.
    text = f"[{', '.join(map(encode_basestring_ascii, parts))}]"
    return hashlib.sha256(text.encode()).hexdigest()


def coordinate_key_parts(coordinate: Coordinate) -> KeyParts:
    """What names a binding, and a user."""
    return (
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    )


def record_key_parts(key: RecordKey) -> KeyParts:
    """What names an idempotency record."""
    owner = key.owner
    return owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.key


def rate_key_parts(key: RateKey) -> KeyParts:
    """What names an app user's log, in four texts, or a bucket, in five."""
    if isinstance(key, LimitKey):
        user = key.app_user
        return user.environment, user.customer_account_id, user.app_user_id, key.policy
    owner = key.owner
    return owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.policy


def coordinate_key(coordinate: Coordinate) -> str:
    """The key of a binding, and of what belongs to its user."""
    return key_of(*coordinate_key_parts(coordinate))


def record_key(key: RecordKey) -> str:
    """The key of an idempotency record."""
    return key_of(*record_key_parts(key))


def rate_key(key: RateKey) -> str:
    """The key of a bucket, or of an app user's log."""
    return key_of(*rate_key_parts(key))
