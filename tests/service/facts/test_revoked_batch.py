"""Tests of the first batch of a chain's revocation, and of what the next one takes over from it."""

from __future__ import annotations

from datetime import datetime

import attrs
import pytest

from curae_lifecycle import Actor, ArgumentError, Authorized, Done, Revoked, Snapshot
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.revoked_batch import RevokedBatch, first_step
from curae_lifecycle.service.snapshot import ChainPart
from curae_lifecycle.service.writes import ConnectionWrite
from tests.support.chains import chain_of
from tests.support.server import ID
from tests.support.strategies import apply_trigger, at

URL = "https://connect.example/page"


@pytest.mark.parametrize(
    "fact", [Revoked(ID, Actor.APP), Revoked(ID, Actor.UPSTREAM), Authorized(ID)]
)
def test_fact_about_one_connection_is_not_split_into_batches(fact: Fact) -> None:
    assert first_step(fact, 2) is fact


def test_subclass_of_the_revoked_fact_is_not_split_into_batches() -> None:
    class Cancelled(Revoked):
        """A fact that decides in another way."""

    fact = Cancelled(ID, Actor.PATIENT)
    assert first_step(fact, 2) is fact


@pytest.mark.parametrize("actor", [Actor.PATIENT, Actor.PLATFORM])
def test_first_revocation_batch_keeps_all_values_of_the_fact(actor: Actor) -> None:
    batch = first_step(Revoked(ID, actor, happened_at=at(1), page_url=URL), 2)
    assert batch == RevokedBatch(
        connection_id=ID, actor=actor, happened_at=at(1), page_url=URL, size=2
    )
    needs = batch.needs()
    assert (needs.chain, needs.chain_part) == (ID, ChainPart(2))
    assert needs.page is not None


def test_only_the_first_revocation_batch_names_the_hosted_page() -> None:
    chain = chain_of(4)
    batch = first_step(Revoked(chain[0].id, Actor.PATIENT, page_url=URL), 2)
    assert isinstance(batch, RevokedBatch)
    snapshot = Snapshot(connection=chain[0], following=tuple(chain[2:]))
    rest = batch.rest(snapshot, at(20))
    assert rest is not None
    assert rest == RevokedBatch(
        connection_id=chain[0].id, actor=Actor.PATIENT, happened_at=at(20), size=2, before=3
    )
    assert rest.needs().page is None
    last = Snapshot(connection=chain[0], following=(chain[1],))
    assert rest.rest(last, at(21)) is None


@pytest.mark.parametrize(
    ("happened_at", "updated_at", "expected"),
    [
        (None, at(0), at(20)),
        (at(3), at(0), at(3)),
        (at(50), at(0), at(20)),
        (at(25), at(30), at(25)),
        (at(50), at(30), at(30)),
    ],
)
def test_later_revocation_batches_use_revoked_at_of_the_first(
    happened_at: datetime | None, updated_at: datetime, expected: datetime
) -> None:
    chain = chain_of(3)
    first = attrs.evolve(chain[0], updated_at=updated_at)
    batch = RevokedBatch(
        connection_id=first.id, actor=Actor.PATIENT, happened_at=happened_at, size=1
    )
    rest = batch.rest(Snapshot(connection=first, following=(chain[2],)), at(20))
    assert rest is not None
    assert rest.happened_at == expected


def test_far_future_happened_at_raises_only_in_the_first_batch() -> None:
    batch = RevokedBatch(connection_id=ID, actor=Actor.PATIENT, happened_at=at(10_000), size=1)
    with pytest.raises(ArgumentError, match="happened_at"):
        batch.check(at(20))
    attrs.evolve(batch, before=2).check(at(20))


@pytest.mark.parametrize(("before", "written"), [(None, [1, 2]), (3, [1])])
def test_only_first_revocation_batch_writes_a_revoked_chain_head(
    before: int | None, written: list[int]
) -> None:
    first, second = chain_of(2)
    revoked = apply_trigger(second, "PATIENT", at(5))
    batch = RevokedBatch(connection_id=first.id, actor=Actor.PATIENT, size=2, before=before)
    answer = batch.judge(Snapshot(connection=first, following=(revoked,)), at(20))
    assert isinstance(answer, Done)
    writes = [each for each in answer.value.writes if isinstance(each, ConnectionWrite)]
    assert [each.after.identity.position for each in writes] == written
