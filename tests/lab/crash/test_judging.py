"""Tests of the judge beside the search: unexplained histories, buckets, purges, fault plans."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final, cast

import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.ratelimit import Bucket, BucketState
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.keys import rate_key
from tests.lab.crash import Run, crash_until_decided, exit_status
from tests.lab.crash.enemies import Enemy, schedule
from tests.lab.crash.judging import UNDECIDED, Judged, lost, overdrawn, tell, uncharged
from tests.lab.crash.lived import CALLER, START, USER, Lived
from tests.lab.crash.load import seeded
from tests.lab.crash.rest import Whole
from tests.lab.crash.search import Verdict
from tests.lab.crash.world import Place, Rest, Visited


@pytest.fixture
def lived() -> Lived:
    return Lived()


def test_history_with_no_valid_request_order_is_printed_in_full(lived: Lived) -> None:
    lived.create("k-1")
    lived.get(lived.connections[0])
    lived.revoke(lived.connections[0], "k-2")
    lived.get(lived.connections[0])
    lived.tell(Revoked(ConnectionId(lived.connections[0]), Actor.PATIENT))
    work = Visited(
        kind="connection", subject=lived.connections[0], coordinate=USER, action="cancel"
    )
    lived.alter(3, work=work, answer=None, returned=None, is_doubtful=True)
    told = tell(lived.history, Rest(), lived.rest())
    assert [each.strip() for each in told.splitlines()[1:6]] == [
        "seen:",
        *[str(each) for each in lived.history[:4]],
    ]
    for part in ("by key k-2 -> 200", "doubtful) cancel on the page", "-> unknown", "-> ignored"):
        assert part in told
    assert all(key in told for _, key in lived.rest().values)
    judged = Judged()
    judged.add(
        USER.app_user, Verdict(is_explained=False, executed=1, placed=0), 1, told=lambda: told
    )
    assert judged.broken[0].endswith(told)


BUCKET: Final = Bucket(name="platform", capacity=2, refill=1, seconds=1)
KEY: Final = rate_key(BucketKey(CALLER.key_owner, BUCKET))


def whole(full_at: int | None, values: dict[Place, Storable] | None = None) -> Whole:
    buckets = {} if full_at is None else {KEY: BucketState(full_at)}
    return Whole(values=values or {}, posted=(), number=0, buckets=buckets)


def test_crash_check_reports_a_bucket_that_admitted_too_much(lived: Lived) -> None:
    for _ in range(3):
        lived.ask("GET", "curae-connect/account-state?appUserId=ada")
    assert any(overdrawn(lived.history, [BUCKET], 0))
    assert not any(overdrawn(lived.history, [BUCKET], 1_000_000))
    assert not any(overdrawn(lived.history[1:], [BUCKET], 0))


def test_crash_check_reports_a_missing_bucket_charge(lived: Lived) -> None:
    for _ in range(3):
        lived.ask("GET", "curae-connect/account-state?appUserId=ada")
    before, charged = whole(None), whole(START + 3_000_000)
    assert not any(
        uncharged(lived.history, buckets=[BUCKET], before=before, after=charged, earliest=START)
    )
    assert any(
        uncharged(
            lived.history,
            buckets=[BUCKET],
            before=before,
            after=whole(START + 1_500_000),
            earliest=START,
        )
    )
    assert any(
        uncharged(lived.history, buckets=[BUCKET], before=before, after=before, earliest=START)
    )
    assert any(
        uncharged(lived.history, buckets=[BUCKET], before=charged, after=charged, earliest=START)
    )


def test_crash_check_reports_a_value_purged_too_early_or_lost(lived: Lived) -> None:
    lived.create("k-1")
    values = dict(lived.rest().values)
    before, day = whole(None, values), 86_400_000_000
    assert len(list(lost(before, whole(None), START + 2 * day))) == 1
    for kind, found in (("Record", "purged too early"), ("Connection", "lost")):
        left = {place: each for place, each in values.items() if place[0] != kind}
        assert any(each.find(found) >= 0 for each in lost(before, whole(None, left), START + day))
    left = {place: each for place, each in values.items() if place[0] != "Record"}
    assert not any(lost(before, whole(None, left), START + 2 * day))


def test_crash_fault_schedule_depends_only_on_its_seed() -> None:
    wanted = {Enemy.KILL: 7, Enemy.PAUSE: 3, Enemy.FILL: 1}

    def planned(seed: int) -> object:
        return schedule(seeded(seed), wanted, rounds=3, requests=100, longest=8.0)

    plan = schedule(seeded(1), wanted, rounds=3, requests=100, longest=8.0)
    assert planned(1) == plan
    assert planned(2) != plan
    blows = [blow for blows in plan for blow in blows]
    assert len(blows) == 11
    assert all(0 <= blow.after < 80 and 0 < blow.seconds <= 8 for blow in blows)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([], 0),
        (["law 4 is broken"], 1),
        ([f"{UNDECIDED}an order was found"], 3),
        ([f"{UNDECIDED}an order was found", "law 4 is broken"], 1),
    ],
)
def test_crash_run_exit_status_is_1_if_broken_3_if_undecided(found: list[str], status: int) -> None:
    assert exit_status(found) == status


@pytest.mark.parametrize(
    ("found", "seeds"),
    [
        ([None], [1]),
        (["law 4 is broken"], [1]),
        ([f"{UNDECIDED}an order", None], [1, 2]),
        ([f"{UNDECIDED}an order"] * 3, [1, 2, 3]),
    ],
)
def test_crash_run_is_repeated_only_while_it_is_undecided(
    found: list[str | None], seeds: list[int]
) -> None:
    ran: list[int] = []

    def run(seed: int) -> Run:
        ran.append(seed)
        broken = found[seed - 1]
        return cast("Run", SimpleNamespace(broken=[] if broken is None else [broken]))

    assert crash_until_decided(run).broken == [each for each in found[-1:] if each]
    assert ran == seeds
