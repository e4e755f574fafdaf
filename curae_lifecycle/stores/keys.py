"""Keys of rows: an id is its own key, and every other value has a digest of its name.

The law of this module: **two names that differ in any part have different keys**. A key is the
digest of a JSON list, which keeps the parts of a name apart.

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
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import LimitKey, RateKey

KeyParts = tuple[str, ...]
"""The name of a value: a few strings in a fixed order, unique among the values of one kind."""


KEY_CACHE_SIZE: Final = 4096
"""The largest number of row keys that are cached for each kind of value, such as bindings."""


def key_of(*parts: str) -> str:
    """Return the key of the value that `parts` name: the SHA-256 of their JSON list, in hex."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def coordinate_key_parts(coordinate: Coordinate) -> KeyParts:
    """Return the parts of a coordinate's key: environment, app, account and app user.

    They name the coordinate's binding, and also the group of its user's connections.
    """
    return (
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    )


def record_key_parts(key: RecordKey) -> KeyParts:
    """Return the five strings that name an idempotency record: its owner, then the client's key.

    The owner is the API key's id with its environment, app and customer account.
    """
    owner = key.owner
    return owner.api_key_id, owner.environment, owner.app_id, owner.customer_account_id, key.key


def rate_key_parts(key: RateKey) -> KeyParts:
    """Return the strings that name a rate limit: four for a `LimitKey`, eight for a `BucketKey`.

    A `LimitKey` names an exact log, which keeps the instants of an app user's admitted requests. A
    `BucketKey` names a bucket of an API key; the strings include its capacity, refill and period.
    """
    if isinstance(key, LimitKey):
        user = key.app_user
        return user.environment, user.customer_account_id, user.app_user_id, key.policy
    owner, bucket = key.owner, key.bucket
    return (
        owner.api_key_id,
        owner.environment,
        owner.app_id,
        owner.customer_account_id,
        bucket.name,
        str(bucket.capacity),
        str(bucket.refill),
        str(bucket.seconds),
    )


@lru_cache(KEY_CACHE_SIZE)
def coordinate_key(coordinate: Coordinate) -> str:
    """Return the key of the row of a coordinate's binding.

    The rows of the user's connections and sessions hold this key, too (`stores.rows.Row.user`).
    """
    return key_of(*coordinate_key_parts(coordinate))


def page_subject_key(page: HostedPage) -> str:
    """Return the key of a hosted page's subject, such as a session: a SHA-256 in hex."""
    return key_of(page.kind, page.subject)


@lru_cache(KEY_CACHE_SIZE)
def record_key(key: RecordKey) -> str:
    """Return the key of the row of an idempotency record.

    It is the SHA-256 in hex of the idempotency key that the client sent and of its owner: the API
    key's id, with its environment, app and customer account.
    """
    return key_of(*record_key_parts(key))


@lru_cache(KEY_CACHE_SIZE)
def rate_key(key: RateKey) -> str:
    """Return the key of the row of a rate limit, which is a SHA-256 in hex.

    The limit is the `ExactLog` of an app user, or a `Bucket` of an API key.
    """
    return key_of(*rate_key_parts(key))


_ID: Final = re.compile(r"[0-9a-f-]{36}")


def id_key(id_: ConnectionId | SessionId) -> str:
    """Return an id as the key of its row, or an empty key if the id is malformed.

    An id is malformed unless it has 36 characters, each a lower-case hex digit or a hyphen. No row
    has the empty key. A fact may hold any text as an id, and databases disagree about some texts:
    one ignores a trailing space, another raises an error for a null character.
    """
    return id_ if _ID.fullmatch(id_) else ""
