"""Wrong functions on single values whose mistakes no client can see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise, product
from typing import Final

import attrs

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.access import AccessDecision, Granted, decide_access
from curae_lifecycle.rules.binding import (
    AccountState,
    BindingTransition,
    LimitedAccountAppBinding,
    provision,
    tombstone,
)
from curae_lifecycle.rules.connection import Actor, Connection, Standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.merge import RANK
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    UserId,
)
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.testing.laws import (
    RevocationAnswer,
    check_access,
    check_merge,
    check_revocation,
    check_standing_is_monotone,
)
from curae_lifecycle.testing.laws.connections import AccessRule, StandingRule
from tests.proof.bugs.bug import HiddenBug
from tests.proof.bugs.service import LIFETIME, START

COORDINATE: Final = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    app_user_id=AppUserId("user-1"),
)
TICK: Final = timedelta(microseconds=1)


def pending(number: int = 1, at: datetime = START) -> Connection:
    """Return a new connection."""
    return rules.create(
        id=ConnectionId(f"00000000-0000-4000-8000-{number:012x}"),
        coordinate=COORDINATE,
        data_packages=(DataPackage("labs"),),
        now=at,
        next_action=NextAction("https://connect.example/1", at + LIFETIME),
        era=None,
    )


def _active(until: datetime | None) -> Connection:
    answer = triggers.authorize(pending(), START, expires_at=until, era=None)
    assert isinstance(answer, Done)
    return answer.value


def _snapshots() -> tuple[Connection, ...]:
    made = pending()
    active = _active(START + timedelta(hours=1))
    return (
        made,
        active,
        triggers.revoke(made, START + timedelta(minutes=1), actor=Actor.APP, era=None).value,
        triggers.revoke(active, START + timedelta(minutes=2), actor=Actor.PATIENT, era=None).value,
        attrs.evolve(active, updated_at=START + timedelta(minutes=3)),
    )


SNAPSHOTS: Final = _snapshots()

# --- Merge ------------------------------------------------------------------------------------

Merge = Callable[[Connection, Connection], Connection]


def probe_merge(merge: Merge) -> None:
    for a, b, c in product(SNAPSHOTS, repeat=3):
        check_merge(a, b, c, merge=merge)


def probe_merged_revocation(merge: Merge) -> None:
    # Merge two copies of one revoked connection: the first instant must win in both orders.
    early, late = SNAPSHOTS[2], SNAPSHOTS[3]
    joined = merge(early, late)
    check_revocation(
        [
            RevocationAnswer(early.id, revoked_now=True, revoked_at=early.revoked_at),
            RevocationAnswer(joined.id, revoked_now=False, revoked_at=joined.revoked_at),
        ]
    )


def _last_writer_wins(left: Connection, right: Connection) -> Connection:
    del left
    return right


def _newest_wins(left: Connection, right: Connection) -> Connection:
    return max(left, right, key=lambda each: (each.updated_at, str(each)))


def _left_on_a_tie(left: Connection, right: Connection) -> Connection:
    return left if RANK[left.status] >= RANK[right.status] else right


def _latest_revocation(left: Connection, right: Connection) -> Connection:
    joined = merging.merge(left, right)
    known = [each.revoked_at for each in (left, right) if each.revoked_at is not None]
    return attrs.evolve(joined, revoked_at=max(known, default=None))


# --- Standing and access ----------------------------------------------------------------------

StandingAt = StandingRule
Decide = AccessRule

END: Final = START + timedelta(hours=1)
INSTANTS: Final = [
    START + timedelta(minutes=1),
    END - timedelta(minutes=4),
    END - TICK,
    END,
    END + TICK,
    END + timedelta(minutes=6),
]


def probe_standing(standing: StandingAt) -> None:
    for connection in SNAPSHOTS:
        check_standing_is_monotone(connection, INSTANTS, standing=standing, era=None)


def probe_access(decide: Decide) -> None:
    for connection in (*SNAPSHOTS, _active(None), _active(END)):
        for package, now in product(("labs", "vitals"), INSTANTS):
            check_access(connection, package, now, decide=decide, era=None)


def _skew_with_the_wrong_sign(
    connection: Connection, now: datetime, /, *, era: datetime | None
) -> Standing:
    end = connection.expires_at
    if end is not None and abs(now - end) > timedelta(minutes=5):
        return rules.standing(attrs.evolve(connection, expires_at=None), now, era=era)
    return rules.standing(connection, now, era=era)


def _end_included(
    connection: Connection, package: str, now: datetime, /, *, era: datetime | None
) -> AccessDecision:
    return decide_access(connection, package, now - TICK, era=era)


def _grant_without_end(
    connection: Connection, package: str, now: datetime, /, *, era: datetime | None
) -> AccessDecision:
    decision = decide_access(connection, package, now, era=era)
    return attrs.evolve(decision, valid_until=None) if isinstance(decision, Granted) else decision


# --- Bindings ---------------------------------------------------------------------------------

Provision = Callable[[LimitedAccountAppBinding | None, Coordinate, UserId], BindingTransition]

_RISES: Final = (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED)


def probe_provision(provide: Provision) -> None:
    """Check that the binding of a user only rises, and another user is a new generation."""
    first = provide(None, COORDINATE, UserId("u-1"))
    assert isinstance(first, Done)
    dead = tombstone(first.value, COORDINATE, START)
    assert isinstance(dead, Done)
    history = [first.value, dead.value]
    for user in ("u-1", "u-2"):
        try:
            answer = provide(dead.value, COORDINATE, UserId(user))
        except ArgumentError:
            continue
        assert isinstance(answer, Done)
        history.append(answer.value)
        break
    for before, after in pairwise(history):
        if before.user_id == after.user_id and _RISES.index(after.state) < _RISES.index(
            before.state
        ):
            raise AssertionError(
                f"binding.provision.tombstoned: {after.user_id} was {before.state} and is "
                f"{after.state}"
            )
        if before.user_id != after.user_id and after.generation <= before.generation:
            raise AssertionError("binding.provision.tombstoned: another user, no new generation")


def _old_user_again(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    if binding is not None and binding.state is AccountState.TOMBSTONED:
        return Done(attrs.evolve(binding, state=AccountState.LIMITED), ())
    return provision(binding, coordinate, user_id)


def _same_generation(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    answer = provision(binding, coordinate, user_id)
    if binding is not None and isinstance(answer, Done):
        return Done(attrs.evolve(answer.value, generation=binding.generation), answer.rules)
    return answer


# --- Events -----------------------------------------------------------------------------------

Name = Callable[[Event], tuple[object, ...]]


def probe_event_names(name: Name) -> None:
    """Check that a repeated event keeps its id, and a second occurrence gets a new one."""
    reissued = Event(EventKind.CONNECTION_REISSUED, SNAPSHOTS[0], START)
    again = attrs.evolve(reissued, at=START + timedelta(minutes=1))
    if name(reissued) != name(attrs.evolve(reissued)):
        raise AssertionError("one event has two names, so an outbox sends it twice")
    if name(reissued) == name(again):
        raise AssertionError("two events have one name, so an outbox drops the second for ever")


def _kind_subject_instant(event: Event) -> tuple[object, ...]:
    return (event.kind, event.subject_id, event.at)


def _kind_and_subject(event: Event) -> tuple[object, ...]:
    return (event.kind, event.subject_id)


MERGE_BUGS: Final = (
    HiddenBug(
        name="last-writer-wins",
        wrong="Whichever snapshot arrives last is stored, so a late webhook restores what was revoked.",
        breaks="law 3",
        seen="langfuse/langfuse#17388, stripe/stripe-cli#418",
        found_by="laws.check_merge",
        probe=probe_merge,
        right=merging.merge,
        mistaken=_last_writer_wins,
    ),
    HiddenBug(
        name="newest-wins",
        wrong="The snapshot that was written last is stored whole, and a revocation is lost.",
        breaks="law 3",
        seen="laravel/cashier-stripe#1201",
        found_by="laws.check_merge",
        probe=probe_merge,
        right=merging.merge,
        mistaken=_newest_wins,
    ),
    HiddenBug(
        name="left-on-a-tie",
        wrong="Of two snapshots of one rank the first argument wins, so replicas never agree.",
        breaks="law 3",
        found_by="laws.check_merge",
        probe=probe_merge,
        right=merging.merge,
        mistaken=_left_on_a_tie,
    ),
    HiddenBug(
        name="latest-revocation",
        wrong="Of two revocations the later instant is kept.",
        breaks="law 2",
        found_by="laws.check_revocation",
        probe=probe_merged_revocation,
        right=merging.merge,
        mistaken=_latest_revocation,
    ),
)

STANDING_BUGS: Final = (
    HiddenBug(
        name="skew-with-the-wrong-sign",
        wrong="The tolerance for clocks that disagree has the wrong sign: what is over comes back.",
        breaks="law 4",
        seen="coralproject/talk#2356, pravega/pravega#7188",
        found_by="laws.check_standing_is_monotone",
        probe=probe_standing,
        right=rules.standing,
        mistaken=_skew_with_the_wrong_sign,
    ),
)

ACCESS_BUGS: Final = (
    HiddenBug(
        name="end-included",
        wrong="At expiresAt itself access is still granted.",
        breaks="law 5; intervals are half-open",
        seen="Altinn/altinn-studio#4085",
        found_by="laws.check_access",
        probe=probe_access,
        right=decide_access,
        mistaken=_end_included,
    ),
    HiddenBug(
        name="grant-without-end",
        wrong="A grant does not say until when it holds, so whoever caches it keeps it.",
        breaks="law 5",
        seen="vercel/vercel#16578",
        found_by="laws.check_access",
        probe=probe_access,
        right=decide_access,
        mistaken=_grant_without_end,
    ),
)

BINDING_BUGS: Final = (
    HiddenBug(
        name="old-user-again",
        wrong="After a tombstone the tombstoned user is provisioned again.",
        breaks="binding.provision.tombstoned",
        seen="TryGhost/Members#240",
        found_by="bugs.values.probe_provision",
        probe=probe_provision,
        right=provision,
        mistaken=_old_user_again,
    ),
    HiddenBug(
        name="same-generation",
        wrong="The user after a tombstone has the generation of the one before.",
        breaks="binding.provision.tombstoned",
        found_by="bugs.values.probe_provision",
        probe=probe_provision,
        right=provision,
        mistaken=_same_generation,
    ),
)

EVENT_BUGS: Final = (
    HiddenBug(
        name="event-named-without-its-instant",
        wrong="An outbox names events by kind and subject, and drops the second reconnect for ever.",
        breaks="changes, an event is named by what happened to what and when",
        seen="the-momentum/open-wearables#1263",
        found_by="bugs.values.probe_event_names",
        probe=probe_event_names,
        right=_kind_subject_instant,
        mistaken=_kind_and_subject,
    ),
)
