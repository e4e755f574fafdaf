"""Tests of the keys of rows: names that differ in any part have different keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.stores.keys import (
    coordinate_key,
    id_key,
    page_subject_key,
    rate_key,
    record_key,
)
from tests.support.server import CALLER
from tests.support.strategies import COORDINATE, START, uuid

OWNER: Final = CALLER.key_owner
OWNERS: Final = [
    OWNER,
    attrs.evolve(OWNER, api_key_id=ApiKeyId("key-2")),
    attrs.evolve(OWNER, environment=Environment.TEST),
    attrs.evolve(OWNER, app_id=AppId("app-2")),
    attrs.evolve(OWNER, customer_account_id=CustomerAccountId(uuid(99))),
]
COORDINATES: Final = [
    COORDINATE,
    attrs.evolve(COORDINATE, environment=Environment.TEST),
    attrs.evolve(COORDINATE, app_id=AppId("app-2")),
    attrs.evolve(COORDINATE, customer_account_id=CustomerAccountId(uuid(99))),
    attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2")),
]
BUCKETS: Final = [
    Bucket(name="a", capacity=1, refill=1, seconds=1),
    Bucket(name="b", capacity=1, refill=1, seconds=1),
    Bucket(name="a", capacity=2, refill=1, seconds=1),
    Bucket(name="a", capacity=1, refill=2, seconds=1),
    Bucket(name="a", capacity=1, refill=1, seconds=2),
    # The same digits, divided otherwise.
    Bucket(name="a1", capacity=1, refill=1, seconds=1),
    Bucket(name="a", capacity=11, refill=1, seconds=1),
    Bucket(name="a", capacity=1, refill=11, seconds=1),
    Bucket(name="a", capacity=1, refill=1, seconds=11),
]
APP_USERS: Final = sorted({each.app_user for each in COORDINATES}, key=str)
K_1, K_2 = IdempotencyKey("k-1"), IdempotencyKey("k-2")

TEXTS: Final[dict[str, Callable[[], list[str]]]] = {
    "coordinate": lambda: [coordinate_key(each) for each in COORDINATES],
    "record": lambda: [record_key(RecordKey(owner, key)) for owner in OWNERS for key in (K_1, K_2)],
    "bucket": lambda: [rate_key(BucketKey(owner, each)) for owner in OWNERS for each in BUCKETS],
    "log": lambda: [rate_key(LimitKey(user, name)) for user in APP_USERS for name in ("a", "b")],
    "page": lambda: [page_subject_key(page(kind, id_)) for kind in PageKind for id_ in "ab"],
}
"""The texts of keys that differ in one member, or in two."""


def page(kind: PageKind, subject: str) -> HostedPage:
    """Return a page about a subject."""
    return HostedPage(digest="d", kind=kind, subject=subject, expires_at=START)


@pytest.mark.parametrize("kind", TEXTS)
def test_row_keys_differ_if_any_of_their_members_differs(kind: str) -> None:
    texts = TEXTS[kind]()
    assert len(set(texts)) == len(texts) >= 5
    assert {len(text) for text in texts} == {64}, "it fits every index"


def test_row_keys_differ_though_their_members_join_to_same_text() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ('a","b', "c"), ("a", 'b","c')]
    texts = {
        coordinate_key(
            Coordinate(
                environment=Environment.LIVE,
                app_id=AppId(app),
                customer_account_id=CustomerAccountId(account),
                app_user_id=AppUserId("u"),
            )
        )
        for app, account in pairs
    }
    assert len(texts) == len(pairs)


def test_row_key_of_a_page_subject_is_the_digest_of_its_json() -> None:
    # Rows of an earlier release have this key.
    text = '["connection", "c-1"]'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert page_subject_key(page(PageKind.CONNECTION, "c-1")) == expected


def test_lower_case_uuid_is_the_key_of_its_row() -> None:
    id_ = ConnectionId("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")
    assert id_key(id_) == id_


@pytest.mark.parametrize(
    "id_",
    ["", uuid(1)[:-1], f"{uuid(1)}0", f"{uuid(1)} ", f"{uuid(1)}\n", uuid(10).upper(), "\0" * 36],
    ids=repr,
)
def test_row_key_of_a_malformed_id_is_empty(id_: str) -> None:
    assert id_key(ConnectionId(id_)) == ""
