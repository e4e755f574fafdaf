"""Hashes of rate-limit keys, made of the members that usually differ."""

from __future__ import annotations

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from tests.support.server import CALLER
from tests.support.strategies import COORDINATE


def test_hash_of_bucket_key_uses_api_key_id_and_bucket_name() -> None:
    key = BucketKey(CALLER.key_owner, Bucket(name="burst", capacity=9, refill=2, seconds=1))
    assert hash(key) == hash((CALLER.api_key_id, "burst"))


def test_hash_of_app_user_limit_key_uses_account_and_app_user() -> None:
    key = LimitKey(COORDINATE.app_user, "initiate")
    assert hash(key) == hash((COORDINATE.customer_account_id, COORDINATE.app_user_id))
