"""Keys of rate limits: an API key's buckets and an app user's exact logs."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.credentials import KeyOwner


@attrs.frozen
class BucketKey:
    """Whose bucket: one per API key, its owner and policy [S; the owner O]."""

    owner: KeyOwner
    policy: str

    def __hash__(self) -> int:
        # The API key's id tells owners apart, but for one that was registered again.
        return hash((self.owner.api_key_id, self.policy))


@attrs.frozen
class LimitKey:
    """Whose exact log: one per app user and policy, across apps [S]."""

    app_user: values.AppUser
    policy: str

    def __hash__(self) -> int:
        # A user has few limits, and is seldom of both environments.
        user = self.app_user
        return hash((user.customer_account_id, user.app_user_id))


RateKey = BucketKey | LimitKey
"""Whose limit it is: an API key, or an app user."""
