"""Vectors of eras and generations: values made before and after a tombstone.

The law of this module: **an era is compared for equality, never by order**. A value of another era is
over, whatever user is bound; a later user is a new generation of the same coordinate.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, BindingTrigger, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.session import HandoffState
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    HOUR,
    MINUTE,
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
    UserId,
    add_microseconds,
)
from docs.generate.vectors.accounts import (
    WAITING,
    binding_case,
    bound,
    completion_case,
    gone_before,
    path_case,
    tombstone_case,
)
from docs.generate.vectors.cases import START, Case
from docs.generate.vectors.connections import AUTHORIZED, END, NOW, make

_ELSEWHERE: Final = Coordinate(
    environment=Environment.TEST,
    app_id=AppId("app-2"),
    customer_account_id=CustomerAccountId("33333333-3333-4333-8333-333333333333"),
    app_user_id=AppUserId("user-2"),
)
_ONE: Final = UserId("u-1")
_TWO: Final = UserId("u-2")
_SOON: Final = add_microseconds(START, MINUTE)


def _again(state: AccountState, *, generation: int = 2) -> LimitedAccountAppBinding:
    """Return the binding of a later user of a coordinate that a tombstone was recorded for."""
    return attrs.evolve(gone_before(), state=state, generation=generation)


def paths() -> Iterator[Case]:
    """Yield sessions under an era, and of another coordinate."""
    for state in (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED):
        for prefers in (True, False):
            yield path_case(
                f"entry-path/era/{state}/{'sign-up' if prefers else 'silent'}",
                binding=_again(state),
                prefers=prefers,
                comment="The session keeps the present era.",
            )
    for prefers in (True, False):
        yield path_case(
            f"entry-path/elsewhere/{'sign-up' if prefers else 'silent'}",
            binding=None,
            prefers=prefers,
            coordinate=_ELSEWHERE,
        )


def bindings() -> Iterator[Case]:
    """Yield triggers on later generations, and on another coordinate."""
    for trigger in BindingTrigger:
        for state in (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED):
            yield binding_case(
                f"binding/era/{trigger.replace(' ', '-')}/{state}",
                trigger=trigger,
                binding=_again(state),
                user_id=_TWO if trigger is BindingTrigger.PROVISION else _ONE,
                comment="The era and the last tombstone stay until another tombstone.",
            )
        yield binding_case(
            f"binding/elsewhere/{trigger.replace(' ', '-')}",
            trigger=trigger,
            binding=None,
            user_id=_ONE,
            coordinate=_ELSEWHERE,
        )
    unswept = attrs.evolve(
        gone_before(), user_id=None, generation=0, swept=False, tombstone_reported_at=None
    )
    yield binding_case(
        "binding/generation/first-after-a-tombstone-without-a-user",
        trigger=BindingTrigger.PROVISION,
        binding=unswept,
        user_id=_ONE,
    )


def completions() -> Iterator[Case]:
    """Yield completions of sessions of this era and of another one."""
    under = attrs.evolve(WAITING, era=START)
    landed = attrs.evolve(WAITING, handoff=HandoffState.LANDED, landed_at=START, user_id=_ONE)
    for state in (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED):
        for session, name in ((under, "this"), (WAITING, "another"), (landed, "landed-before")):
            yield completion_case(
                f"completion/era/{state}/{name}",
                session=session,
                binding=_again(state),
                user_id=_ONE,
                now=_SOON,
                comment="The era is asked before the binding, and after the session itself.",
            )
    yield completion_case(
        "completion/era/over-first",
        session=WAITING,
        binding=_again(AccountState.ACTIVE),
        user_id=_ONE,
        now=END,
    )
    yield completion_case(
        "completion/clocks/behind-its-making",
        session=WAITING,
        binding=None,
        user_id=_ONE,
        now=add_microseconds(START, -1),
    )
    yield completion_case(
        "completion/elsewhere",
        session=attrs.evolve(WAITING, coordinate=_ELSEWHERE),
        binding=None,
        user_id=_ONE,
        now=_SOON,
    )


def _made_under(number: int, era: datetime) -> Connection:
    """Return a connection that was made under an era."""
    connection = make(Status.ACTIVE, number=number)
    return attrs.evolve(connection, identity=attrs.evolve(connection.identity, era=era))


def _made_at(created_at: datetime) -> Connection:
    """Return a pending connection that was made at an instant."""
    connection = make(Status.PENDING)
    identity = attrs.evolve(connection.identity, created_at=created_at)
    return attrs.evolve(connection, identity=identity)


def tombstones() -> Iterator[Case]:
    """Yield tombstones by clocks that disagree, and sweeps of connections of every era."""
    ahead = add_microseconds(NOW, CLOCK_TOLERANCE)
    earlier = add_microseconds(NOW, -MINUTE)
    for name, happened in (
        ("five-minutes-ahead", ahead),
        ("from-the-future", add_microseconds(ahead, 1)),
        ("before-1970", datetime(1969, 12, 31, tzinfo=UTC)),
        ("before-the-last-one", add_microseconds(START, -1)),
        ("after-the-last-one", add_microseconds(START, 1)),
    ):
        yield tombstone_case(
            f"tombstone/clocks/{name}",
            _again(AccountState.ACTIVE),
            (make(Status.ACTIVE),),
            happened=happened,
            comment="It is kept as it was reported, and counts at `now` at the latest.",
        )
    yield tombstone_case(
        "tombstone/clocks/copy-of-one-ahead",
        attrs.evolve(gone_before(), tombstone_reported_at=ahead, tombstoned_at=NOW),
        (),
        happened=ahead,
        comment="A copy is known by the `happenedAt` that was reported.",
    )
    yield tombstone_case(
        "tombstone/clocks/era-ahead",
        attrs.evolve(gone_before(), era=END),
        (make(Status.ACTIVE),),
        comment="The era moves on by a microsecond.",
    )
    for name, binding in (("UNLINKED", None), ("LIMITED", bound(AccountState.LIMITED))):
        yield tombstone_case(
            f"tombstone/reported/{name}", binding, (make(Status.ACTIVE),), happened=earlier
        )
    yield tombstone_case("tombstone/elsewhere", None, (), happened=earlier, coordinate=_ELSEWHERE)
    sweeps: dict[str, tuple[Connection, ...]] = {
        "every-status": (
            make(Status.PENDING, number=1),
            make(Status.EXPIRED, number=2),
            make(Status.ACTIVE, number=3),
            make(Status.ACTION_REQUIRED, number=4),
            make(Status.ACTIVE, number=5),
        ),
        "earlier-eras": (
            _made_under(1, START),
            _made_under(2, add_microseconds(NOW, -1)),
        ),
        "this-era": (_made_under(1, NOW), make(Status.PENDING, number=2)),
        "made-after-it-happened": (_made_at(NOW),),
        "written-by-a-clock-ahead": (
            attrs.evolve(make(Status.ACTIVE), updated_at=add_microseconds(NOW, MINUTE)),
        ),
        "contradictions": (
            attrs.evolve(make(Status.ACTIVE), revoked_at=AUTHORIZED),
            attrs.evolve(make(Status.REVOKED, number=2), revoked_at=None, revoked_by=None),
        ),
    }
    for name, connections in sweeps.items():
        yield tombstone_case(
            f"tombstone/sweep/{name}",
            bound(AccountState.ACTIVE),
            connections,
            happened=add_microseconds(NOW, -10 * MINUTE),
        )
    yield tombstone_case(
        "tombstone/sweep/long-after",
        bound(AccountState.ACTIVE),
        (make(Status.ACTIVE), make(Status.PENDING, number=2)),
        now=add_microseconds(END, HOUR),
        happened=NOW,
    )
