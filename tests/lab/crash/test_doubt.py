"""Tests of which operations may have been tried more than once."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle import MemoryStore, StoreUnavailableError
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded, StoreUnchangedError
from tests.lab.crash.doubt import DoubtedCommits, with_doubt
from tests.lab.crash.history import Operation
from tests.lab.crash.lived import USER
from tests.lab.crash.world import Asked, Told
from tests.support.server import CALLER, request
from tests.support.strategies import uuid

SECOND = 1_000_000
ASKED = Operation(
    user=USER.app_user,
    work=Asked(CALLER, request("get")),
    invoked=10 * SECOND,
    returned=11 * SECOND,
    answer=None,
)
TOLD = attrs.evolve(ASKED, work=Told(Expired(ConnectionId(uuid(1)))))


class Refusing(MemoryStore):
    """A store that says that a commit changed nothing."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        del loaded, changes, page
        raise StoreUnchangedError("a lock was not released")


class Silent(MemoryStore):
    """A store that does not say what became of a commit."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        del loaded, changes, page
        raise StoreUnavailableError("the connection was lost")


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [((0, 9), False), ((0, 10), True), ((11, 20), True), ((12, 20), False)],
)
def test_request_in_a_database_outage_is_marked_maybe_retried(
    trouble: tuple[int, int], *, expected: bool
) -> None:
    troubles = [(trouble[0] * SECOND, trouble[1] * SECOND)]
    assert with_doubt(ASKED, troubles).is_doubtful is expected


def test_request_that_takes_2_s_is_marked_as_maybe_retried() -> None:
    assert not with_doubt(ASKED, []).is_doubtful
    assert with_doubt(attrs.evolve(ASKED, returned=12 * SECOND), []).is_doubtful


@pytest.mark.parametrize("is_doubtful", [False, True])
def test_database_outage_alone_marks_no_fact_as_maybe_retried(*, is_doubtful: bool) -> None:
    told = attrs.evolve(TOLD, is_doubtful=is_doubtful)
    assert with_doubt(told, [(0, 20 * SECOND)]) == told


def test_only_commits_of_unknown_outcome_count_as_doubtful() -> None:
    store = DoubtedCommits(MemoryStore())
    assert store.commit(store.load(Needs()), NO_CHANGES)
    assert store.number == 0
    silent = DoubtedCommits(Silent())
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            silent.commit(silent.load(Needs()), NO_CHANGES)
    assert silent.number == 2
    refusing = DoubtedCommits(Refusing())
    with pytest.raises(StoreUnchangedError):
        refusing.commit(refusing.load(Needs()), NO_CHANGES)
    assert refusing.number == 0
