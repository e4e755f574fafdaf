"""Vectors of whose state a request charges: an API key's bucket, or an app user's exact log.

The law of this module: **each case changes one member of the second request**, and the answer is
that of the keys under which a store keeps the states.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Bucket, Policy
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUser,
    AppUserId,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.stores.keys import rate_key
from docs.generate.vectors.cases import Case, Members, make_case
from docs.generate.vectors.limits import show_policy

_APP: Final = AppId("app-1")
_KEY: Final = ApiKeyId("key-1")
_USER: Final = AppUserId("user-1")
_ACCOUNT: Final = CustomerAccountId("0000000a-0000-4000-8000-000000000001")
_OTHER_ACCOUNT: Final = CustomerAccountId("0000000a-0000-4000-8000-000000000002")
_BUCKET: Final = Bucket(name="platform", capacity=10, refill=2, seconds=1)


@attrs.frozen
class _Asked:
    """A request, as far as it decides which state it charges."""

    policy: Policy
    environment: Environment = Environment.LIVE
    app_id: AppId = _APP
    customer_account_id: CustomerAccountId = _ACCOUNT
    api_key_id: ApiKeyId = _KEY
    app_user_id: AppUserId = _USER

    @property
    def key(self) -> str:
        """The key under which a store keeps the state that the request charges."""
        if isinstance(self.policy, Bucket):
            owner = KeyOwner(
                api_key_id=self.api_key_id,
                environment=self.environment,
                app_id=self.app_id,
                customer_account_id=self.customer_account_id,
            )
            return rate_key(BucketKey(owner, self.policy))
        user = AppUser(self.environment, self.customer_account_id, self.app_user_id)
        return rate_key(LimitKey(user, self.policy.name))

    def show(self) -> Members:
        """Return the request as a JSON object."""
        return {
            "environment": self.environment,
            "appId": self.app_id,
            "customerAccountId": self.customer_account_id,
            "apiKeyId": self.api_key_id,
            "appUserId": self.app_user_id,
            "policy": show_policy(self.policy),
        }


def shared() -> Iterator[Case]:
    """Yield pairs of requests, and whether they charge the same state."""
    policies: tuple[tuple[str, Policy], ...] = (("bucket", _BUCKET), ("log", INITIATE_LIMIT))
    for kind, policy in policies:
        first = _Asked(policy)
        for name, second in _changed_requests(first).items():
            yield _pair(f"{kind}/{name}", first, second)
    for name, bucket in {
        "name": attrs.evolve(_BUCKET, name="daily"),
        "capacity": attrs.evolve(_BUCKET, capacity=11),
        "refill": attrs.evolve(_BUCKET, refill=3),
        "seconds": attrs.evolve(_BUCKET, seconds=2),
        "the-same-rate": attrs.evolve(_BUCKET, refill=4, seconds=2),
    }.items():
        yield _pair(f"bucket/{name}", _Asked(_BUCKET), _Asked(bucket))
    for name, log in {
        "limit": attrs.evolve(INITIATE_LIMIT, limit=20),
        "seconds": attrs.evolve(INITIATE_LIMIT, seconds=120),
        "name": attrs.evolve(INITIATE_LIMIT, name="graduation"),
    }.items():
        yield _pair(f"log/{name}", _Asked(INITIATE_LIMIT), _Asked(log))


def _changed_requests(first: _Asked) -> dict[str, _Asked]:
    return {
        "nothing": first,
        "environment": attrs.evolve(first, environment=Environment.TEST),
        "app": attrs.evolve(first, app_id=AppId("app-2")),
        "account": attrs.evolve(first, customer_account_id=_OTHER_ACCOUNT),
        "key": attrs.evolve(first, api_key_id=ApiKeyId("key-2")),
        "user": attrs.evolve(first, app_user_id=AppUserId("user-2")),
        "user-in-capitals": attrs.evolve(first, app_user_id=AppUserId("USER-1")),
    }


def _pair(name: str, first: _Asked, second: _Asked) -> Case:
    given: Members = {"first": first.show(), "second": second.show()}
    answer: Members = {"outcome": "done", "shared": first.key == second.key}
    return make_case(f"limit-state/{name}", given=given, answer=answer)
