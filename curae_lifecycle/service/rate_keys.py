"""Keys of rate limits: an API key's buckets and an app user's exact logs."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.ratelimit import Bucket


@attrs.frozen
class BucketKey:
    """The key of a bucket's state: the `owner` of the state, and the bucket [S; the owner O].

    The owner is the API key's id with its app, customer account and environment. A bucket with
    another capacity or refill has another key, so a changed bucket starts full.
    """

    owner: KeyOwner
    bucket: Bucket

    def __hash__(self) -> int:
        # The rest of the owner differs only if the API key was registered again.
        return hash((self.owner.api_key_id, self.bucket.name))


@attrs.frozen
class LimitKey:
    """The key of an app user's exact log: the instants at which one limit admitted the user [S].

    Attributes:
        app_user: The app user: environment, customer account and the app's id of its user. All apps
            share the limit.
        policy: The name of the rate limit.
    """

    app_user: values.AppUser
    policy: str

    def __hash__(self) -> int:
        # The rest rarely differs: a user has few limits and is seldom in both environments.
        user = self.app_user
        return hash((user.customer_account_id, user.app_user_id))


RateKey = BucketKey | LimitKey
"""The key of a rate limit: a bucket of an API key, or an exact log of an app user."""
