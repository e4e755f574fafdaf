"""Wrong arguments of every kind: each error names the argument and what it may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import attrs
import pytest

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import idempotency as records
from curae_lifecycle.rules import ratelimit, triggers, values
from curae_lifecycle.rules.binding import (
    AccountState,
    LimitedAccountAppBinding,
    complete_sign_up,
    provision,
)
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Bucket, Charge, ExactLog, LogState
from curae_lifecycle.rules.session import complete_handoff, initiate
from curae_lifecycle.rules.values import Coordinate, SessionId, UserId
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import (
    ConnectionsPage,
    LandedHandoff,
    Needs,
    Snapshot,
    check_snapshot,
)
from tests.service.exact import (
    ACTIVE,
    BUCKET,
    NEXT,
    NOW,
    REVOKED,
    attempt,
    call_with_bucket,
    decide_request,
)
from tests.service.facts.test_whole_answers import LANDED
from tests.support.server import CALLER, ID, LIMITED, LIMITED_USER, PACKAGES, USER, call
from tests.support.strategies import COORDINATE, START, TICK, at, next_action, pending, uuid

ELSEWHERE: Final = Coordinate(
    environment=COORDINATE.environment,
    app_id=COORDINATE.app_id,
    customer_account_id=COORDINATE.customer_account_id,
    app_user_id=values.AppUserId("user-2"),
)
NAIVE: Final = START.replace(tzinfo=None)
STRANGE: Final = attrs.evolve(LIMITED, coordinate=ELSEWHERE)
GONE: Final = attrs.evolve(LIMITED, state=AccountState.TOMBSTONED)
ORPHAN: Final = attrs.evolve(NEXT, identity=attrs.evolve(NEXT.identity, predecessor_id=None))
OWN: Final = attempt(Revoke(ID))
RUNNING: Final = records.in_flight_record(OWN)
OTHER_KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-2"))
ENDED: Final = Revoked(ID, rules.Actor.PATIENT)
LOG: Final = ExactLog("log", 1, 1)


def minted(binding: LimitedAccountAppBinding, user: str = "u-9") -> object:
    return initiate(
        binding,
        COORDINATE,
        NOW,
        prefer_signup=False,
        id=SessionId(uuid(1)),
        user_id=UserId(user),
        next_action=next_action(NOW),
    )


def decide_get(snapshot: Snapshot) -> object:
    return decide(call(GetConnection(ID), None), snapshot, NOW)


class Unlimited(Revoke):
    """An operation that has a limit but names no app user to charge."""

    __slots__ = ()
    rule: ClassVar = attrs.evolve(Revoke.rule, limit=INITIATE_LIMIT)


MISTAKES: Final[list[tuple[str, Callable[[], object]]]] = [
    ("reason", lambda: values.parse_opaque("reason", "")),
    ("now", lambda: rules.standing(ACTIVE, NAIVE, era=None)),
    ("next_action.expires_at", lambda: rules.check_next_action(next_action(START), at(31))),
    ("expires_at", lambda: triggers.authorize(pending(), NOW, expires_at=NOW, era=None)),
    ("happened_at", lambda: triggers.expire(ACTIVE, NOW, happened_at=at(15) + TICK, era=None)),
    ("user_id", lambda: provision(GONE, COORDINATE, LIMITED_USER)),
    ("binding", lambda: complete_sign_up(STRANGE, COORDINATE, LIMITED_USER)),
    ("binding", lambda: minted(STRANGE)),
    (
        "happened_at",
        lambda: complete_handoff(
            LANDED, binding=None, user_id=UserId("u"), now=NOW, happened_at=at(15) + TICK
        ),
    ),
    ("idempotencyKey", lambda: records.parse_idempotency_key("")),
    (
        "record",
        lambda: records.begin_attempt(RUNNING, key=OTHER_KEY, fingerprint=OWN.fingerprint, now=NOW),
    ),
    ("lease", lambda: records.in_flight_record(OWN, lease=0)),
    ("response", lambda: records.completed_record(OWN, Response(500, (), b""))),
    ("capacity", lambda: Bucket(name="b", capacity=999_999_999_999_999, refill=1, seconds=2)),
    ("now", lambda: ratelimit.admit((), NAIVE)),
    ("cost", lambda: ratelimit.admit((), NOW, cost=0)),
    ("now", lambda: ratelimit.admit_one(LOG, LogState(), NAIVE)),
    ("state of 'log'", lambda: ratelimit.admit_one(LOG, ratelimit.FULL_BUCKET, NOW)),
    ("state of 'platform'", lambda: ratelimit.admit_one(BUCKET, LogState(), NOW)),
    ("name", lambda: ExactLog("", 1, 1)),
    ("limit", lambda: ExactLog("log", 0, 1)),
    ("api key", lambda: ApiKey("a b")),
    ("api key", lambda: ApiKey("")),
    ("buckets", lambda: Settings(buckets=(BUCKET, BUCKET))),
    ("now", lambda: decide(call(GetConnection(ID), None), Snapshot(), NAIVE)),
    ("binding", lambda: decide_request(Initiate(USER), Snapshot(binding=STRANGE))),
    (
        "binding",
        lambda: decide_request(GetAccountState(USER), Snapshot(binding=STRANGE), keyed=False),
    ),
    (
        "happened_at",
        lambda: decide_get(Snapshot(connection=ACTIVE, landed_handoff=LandedHandoff(NAIVE, None))),
    ),
    (
        "happened_at",
        lambda: decide_get(Snapshot(connection=ACTIVE, landed_handoff=LandedHandoff(at(60), None))),
    ),
    (
        "expires_at",
        lambda: decide_get(Snapshot(connection=ACTIVE, landed_handoff=LandedHandoff(NOW, NOW))),
    ),
    ("snapshot.connection", lambda: decide_get(Snapshot(connection=NEXT))),
    (
        "snapshot.successor",
        lambda: decide_get(Snapshot(connection=REVOKED, successor=ORPHAN, head=ORPHAN)),
    ),
    ("snapshot.successor", lambda: decide_get(Snapshot(connection=REVOKED, head=NEXT))),
    ("snapshot.head", lambda: decide_get(Snapshot(connection=REVOKED, successor=NEXT))),
    (
        "snapshot.following",
        lambda: record_fact(ENDED, Snapshot(connection=REVOKED, following=(ORPHAN,)), NOW),
    ),
    (
        "snapshot.connections",
        lambda: check_snapshot(
            Needs(connections=ConnectionsPage(ELSEWHERE)), Snapshot(connections=(ACTIVE,))
        ),
    ),
    (
        "snapshot.buckets",
        lambda: decide(call_with_bucket(GetConnection(ID), keyed=False), Snapshot(), NOW),
    ),
    ("operation", lambda: call(Unlimited(ID)).needs),
    ("new_ids", lambda: decide(call(CreateConnection(USER, PACKAGES)), Snapshot(), NOW)),
]


@pytest.mark.parametrize(("argument", "mistake"), MISTAKES)
def test_argument_error_names_argument_and_allowed_values(
    argument: str, mistake: Callable[[], object]
) -> None:
    with pytest.raises(ArgumentError) as caught:
        mistake()
    assert caught.value.argument == argument
    assert caught.value.allowed
    given = f", not {caught.value.given}" if caught.value.given else ""
    assert str(caught.value) == f"{argument}: must be {caught.value.allowed}{given}"


def test_cost_error_is_raised_for_a_charge_above_the_limit() -> None:
    with pytest.raises(ratelimit.CostError) as caught:
        ratelimit.admit((Charge(LOG, LogState()),), NOW, cost=2)
    assert (caught.value.policy, caught.value.cost, caught.value.limit) == ("log", 2, 1)
    assert all(fact in str(caught.value) for fact in ("'log'", "2", "1"))
