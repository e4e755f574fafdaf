"""Tests of a store as one request uses it: its charges ahead of the commit, and what they outlast."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import Bucket, BucketState
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.request_store import RequestStore
from tests.support.server import CALLER
from tests.support.strategies import START

BUCKET: Final = Bucket(name="platform", capacity=3, refill=1, seconds=60)
CHARGE: Final = RateWrite(
    BucketKey(CALLER.key_owner, BUCKET), policy=BUCKET, before=None, after=BucketState(0, 0)
)
EFFECTS: Final = (HandoffCancelled(ConnectionId("c")),)
LOADED: Final = Loaded(Snapshot(), START)
PAGE: Final = HostedPage("d", kind=PageKind.SESSION, subject="s", expires_at=START)


class Scripted(MemoryStore):
    """A store that notes its charges and commits, and accepts them as told."""

    charges_apart = True

    def __init__(self, *accepts: bool) -> None:
        super().__init__()
        self.steps: list[tuple[object, ...]] = []
        self._accepts = [*accepts]

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        self.steps.append(("charge", loaded, charges, durable))
        return self._accepts.pop(0)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.steps.append(("commit", loaded, changes, page))
        return self._accepts.pop(0)


class ChargesWithCommit(Scripted):
    """The same for a store that charges buckets in its commit."""

    charges_apart = False


def test_request_store_charges_buckets_before_its_commit() -> None:
    store = Scripted(True, True)
    request = RequestStore(store)
    assert request.commit(LOADED, Changes((CHARGE,), EFFECTS), PAGE)
    assert request.charges == (CHARGE,)
    assert store.steps == [
        ("charge", LOADED, (CHARGE,), False),
        ("commit", LOADED, Changes((), EFFECTS), PAGE),
    ]


def test_request_whose_charge_is_refused_commits_nothing() -> None:
    store = Scripted(False)
    request = RequestStore(store)
    assert not request.commit(LOADED, Changes((CHARGE,), EFFECTS), PAGE)
    assert request.charges == ()
    assert [step[0] for step in store.steps] == ["charge"]


def test_commit_without_other_changes_charges_buckets_durably() -> None:
    store = Scripted(True)
    assert RequestStore(store).commit(LOADED, Changes((CHARGE,)))
    assert store.steps == [("charge", LOADED, (CHARGE,), True)]


def test_request_keeps_its_charge_after_a_refused_commit() -> None:
    store = Scripted(True, False, True)
    request = RequestStore(store)
    assert not request.commit(LOADED, Changes((CHARGE,), EFFECTS))
    assert request.charges == (CHARGE,)
    assert request.commit(LOADED, Changes((), EFFECTS))
    assert [step[0] for step in store.steps] == ["charge", "commit", "commit"]


def test_charge_becomes_durable_if_a_retry_has_nothing_to_commit() -> None:
    store = Scripted(True, False, True)
    request = RequestStore(store)
    assert not request.commit(LOADED, Changes((CHARGE,), EFFECTS))
    assert request.commit(LOADED, NO_CHANGES)
    assert store.steps[2:] == [("charge", LOADED, (), True)]


def test_nothing_is_charged_or_committed_without_changes() -> None:
    store = Scripted()
    assert RequestStore(store).commit(LOADED, NO_CHANGES)
    assert store.steps == []


def test_rate_limit_is_charged_before_a_hosted_page_is_committed() -> None:
    store = Scripted(True, True)
    assert RequestStore(store).commit(LOADED, Changes((CHARGE,)), PAGE)
    assert store.steps == [
        ("charge", LOADED, (CHARGE,), False),
        ("commit", LOADED, NO_CHANGES, PAGE),
    ]


def test_store_charging_buckets_in_its_commit_gets_all_changes() -> None:
    store = ChargesWithCommit(True)
    request, changes = RequestStore(store), Changes((CHARGE,), EFFECTS)
    assert request.commit(LOADED, changes, PAGE)
    assert request.charges == ()
    assert store.steps == [("commit", LOADED, changes, PAGE)]


def test_request_store_gets_snapshot_and_caller_from_its_store() -> None:
    key = ApiKey("cae_live_k1")
    store = MemoryStore(clock=lambda: START)
    store.register(key, CALLER)
    request = RequestStore(store)
    assert request.caller_of(key.digest()) == CALLER
    assert request.load(Needs(), key.digest()) == store.load(Needs(), key.digest())
    assert request.load(Needs(), key.digest()).caller == CALLER
