"""Bindings: the tie between a coordinate and a platform user.

The laws of this module: **for one user a binding only rises** (LIMITED < ACTIVE <
TOMBSTONED); **a coordinate is never silently rebound**: another user comes only after a
tombstone, as a new generation; and **a tombstone begins a new era**: a connection or session that
was made under another era is over.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import (
    IGNORE,
    PROCEED,
    Done,
    Ignore,
    Ignored,
    MoveTo,
    Proceed,
    Refused,
    RefuseWith,
)
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    TICK,
    Coordinate,
    UserId,
    check_instant,
    clamp_happened_at,
)


class AccountState(StrEnum):
    """The state of a coordinate's account, which its binding stores [S, P].

    Attributes:
        UNLINKED: No user is bound; there is no binding.
        LIMITED: The platform created the bound user, who has not signed up.
        ACTIVE: The bound user signed up, or graduated from LIMITED.
        TOMBSTONED: The user is gone. Another one may be bound later.
    """

    UNLINKED = "UNLINKED"
    LIMITED = "LIMITED"
    ACTIVE = "ACTIVE"
    TOMBSTONED = "TOMBSTONED"


class BindingTrigger(StrEnum):
    """The events that can change a binding.

    Attributes:
        PROVISION: The platform creates a LIMITED user for the coordinate.
        COMPLETE_SIGN_UP: A user signed up on the hosted page.
        GRADUATE: The bound LIMITED user became ACTIVE.
        TOMBSTONE: The user of the coordinate no longer exists.
    """

    PROVISION = "provision"
    COMPLETE_SIGN_UP = "complete sign-up"
    GRADUATE = "graduate"
    TOMBSTONE = "tombstone"


class UserMatch(StrEnum):
    """The two cases of the user that a trigger names: the bound user, or not.

    Attributes:
        SAME: The bound user.
        OTHER: Another user than the bound one, or no user is bound.
    """

    SAME = "same user"
    OTHER = "other user, or none bound"


class TombstoneNovelty(StrEnum):
    """The two cases of a report that a coordinate's user is gone (tombstone): repeated, or new.

    Attributes:
        COPY: The report has the `happened_at` of the last tombstone, so it is ignored.
        NEW: The report has another `happened_at` or none, so it counts as a new tombstone.
    """

    COPY = "reported with the happenedAt of the last one"
    NEW = "any other, or without happenedAt"


SAME, OTHER = UserMatch
PROVISION, COMPLETE_SIGN_UP, GRADUATE, TOMBSTONE = BindingTrigger
UNLINKED, LIMITED, ACTIVE, TOMBSTONED = AccountState

TO_LIMITED: Final = MoveTo(LIMITED)
TO_ACTIVE: Final = MoveTo(ACTIVE)
TO_TOMBSTONED: Final = MoveTo(TOMBSTONED)
CHANGED: Final = RefuseWith(ProblemCode.BINDING_CHANGED)
CONFLICT: Final = RefuseWith(ProblemCode.BINDING_CONFLICT)
NOT_LIMITED: Final = RefuseWith(ProblemCode.BINDING_NOT_LIMITED)

# fmt: off
BINDING: Final = Table[
    tuple[BindingTrigger, AccountState, UserMatch], MoveTo[AccountState] | Ignore | RefuseWith
](
    "binding",
    "What each trigger does to a binding, by the account's state and the user it names.",
    (Axis.of("trigger", BindingTrigger), Axis.of("account", AccountState), Axis.of("user", UserMatch)),
    Row((PROVISION,        UNLINKED,   ANY),             TO_LIMITED,    "[S] Path C provisions a LIMITED user."),
    Row((PROVISION,        LIMITED,    ANY),             IGNORE,        "[S] Path C reuses the LIMITED user."),
    Row((PROVISION,        ACTIVE,     ANY),             IGNORE,        "[O] There is a better user already."),
    Row((PROVISION,        TOMBSTONED, ANY),             TO_LIMITED,    "[O] A new user, a new generation."),
    Row((COMPLETE_SIGN_UP, UNLINKED,   ANY),             TO_ACTIVE,     "[S] Path B ends with a new ACTIVE user."),
    Row((COMPLETE_SIGN_UP, LIMITED,    ANY),             CHANGED,       "[O] A LIMITED user came in between."),
    Row((COMPLETE_SIGN_UP, ACTIVE,     UserMatch.SAME),  IGNORE,        "[O] The user is bound already."),
    Row((COMPLETE_SIGN_UP, ACTIVE,     UserMatch.OTHER), CONFLICT,      "[O] A coordinate is never silently rebound."),
    Row((COMPLETE_SIGN_UP, TOMBSTONED, ANY),             CHANGED,       "[O] The account was tombstoned in between."),
    Row((GRADUATE,         UNLINKED,   ANY),             CHANGED,       "[O] There is nobody to graduate."),
    Row((GRADUATE,         LIMITED,    UserMatch.SAME),  TO_ACTIVE,     "[P] The LIMITED user becomes ACTIVE."),
    Row((GRADUATE,         LIMITED,    UserMatch.OTHER), CONFLICT,      "[O] A coordinate is never silently rebound."),
    Row((GRADUATE,         ACTIVE,     UserMatch.SAME),  IGNORE,        "[O] The user graduated before."),
    Row((GRADUATE,         ACTIVE,     UserMatch.OTHER), CONFLICT,      "[O] A coordinate is never silently rebound."),
    Row((GRADUATE,         TOMBSTONED, ANY),             CHANGED,       "[O] The account was tombstoned in between."),
    Row((TOMBSTONE,        UNLINKED,   ANY),             TO_TOMBSTONED, "[O] A new era, without a user."),
    Row((TOMBSTONE,        LIMITED,    ANY),             TO_TOMBSTONED, "[O] The user is gone; a new era."),
    Row((TOMBSTONE,        ACTIVE,     ANY),             TO_TOMBSTONED, "[O] The user is gone; a new era."),
    Row((TOMBSTONE,        TOMBSTONED, ANY),             TO_TOMBSTONED, "[O] A new era, no new event."),
    state="account",
)
"""The table `binding`: the change that each trigger makes to a binding."""

TOMBSTONE_REPORT: Final = Table[TombstoneNovelty, Proceed | Ignore](
    "tombstone-report",
    "Whether a reported tombstone is a copy of the last one; if not, the table `binding` decides.",
    Axis.of("report", TombstoneNovelty),
    Row(TombstoneNovelty.COPY, IGNORE,  "[O] A late copy must not end the access of the next user.", name="copy"),
    Row(TombstoneNovelty.NEW,  PROCEED, "[O] Without a `happenedAt` no copy can be told.",           name="new"),
)
"""The table `tombstone-report`: whether a report that a user is gone repeats the last one."""

GRADUATION_HANDOFF: Final = Table[AccountState, Proceed | RefuseWith](
    "graduation-handoff",
    "Whether a graduation hand-off may start.",
    Axis.of("account", AccountState),
    Row(UNLINKED,   NOT_LIMITED, "[P] There is nobody to graduate."),
    Row(LIMITED,    PROCEED,     "[P] The LIMITED user may become ACTIVE."),
    Row(ACTIVE,     NOT_LIMITED, "[P] The user graduated before."),
    Row(TOMBSTONED, NOT_LIMITED, "[P] The user is gone."),
)
"""The table `graduation-handoff`: whether a user may be sent to a page to become ACTIVE."""
# fmt: on


@attrs.frozen
class LimitedAccountAppBinding:
    """A binding: the tie of a coordinate to a platform user, in any state, not only LIMITED.

    Attributes:
        coordinate: The coordinate; each coordinate has at most one binding.
        user_id: The platform's user; never on the wire, and no repr shows it. `None` if the
            coordinate was tombstoned while no user was bound.
        state: The account's state: LIMITED, ACTIVE or TOMBSTONED, never UNLINKED.
        generation: The number of users that the coordinate has had, including the present one; 0
            before the first.
        version: The number of writes of the binding. A write that only raises `version`, so
            that a concurrent write conflicts, counts too.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never. If
            the clock is not past the previous era, the era is one microsecond after that, so that
            no two eras are equal. The era does not change when another user is bound.
        tombstoned_at: When the last tombstone happened: the reported instant, or the instant of
            recording if that is earlier or none was reported. `None` before the first tombstone.
        tombstone_reported_at: The `happened_at` of the last tombstone as it was reported; `None` if
            it was reported without one, or before the first tombstone.
        swept: Whether every connection that the last tombstone ended is stored as REVOKED.
    """

    coordinate: Coordinate
    user_id: UserId | None = attrs.field(repr=False)
    state: AccountState
    generation: int
    version: int = 1
    era: datetime | None = None
    tombstoned_at: datetime | None = None
    tombstone_reported_at: datetime | None = None
    swept: bool = True


BindingTransition = (
    Done[LimitedAccountAppBinding] | Ignored[LimitedAccountAppBinding | None] | Refused
)
"""The outcome of a binding's trigger; `Ignored` carries the given binding, which may be `None`."""


def account_state(binding: LimitedAccountAppBinding | None) -> AccountState:
    """Return the state of the coordinate's account; without a binding it is UNLINKED [S, P]."""
    return UNLINKED if binding is None else binding.state


def present_era(binding: LimitedAccountAppBinding | None) -> datetime | None:
    """Return the present era of a coordinate: when its user was last recorded as gone [O].

    Recording that the user is gone is called a tombstone.

    Args:
        binding: The coordinate's binding as it is stored; `None` if there is none.

    Returns:
        When the last tombstone was recorded; `None` before the first.
    """
    return None if binding is None else binding.era


def check_coordinate(binding: LimitedAccountAppBinding | None, coordinate: Coordinate) -> None:
    """Check that a binding belongs to a coordinate.

    Args:
        binding: The binding; `None` passes the check.
        coordinate: The coordinate that `binding` must belong to.

    Raises:
        ArgumentError: The binding belongs to another coordinate.
    """
    if binding is not None and binding.coordinate != coordinate:
        raise ArgumentError("binding", "the binding of the coordinate")


def provision(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    """Bind a new LIMITED user, unless a LIMITED or ACTIVE user is bound [S; tombstone O].

    A LIMITED user is one that the platform created and who has not signed up.

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate to bind.
        user_id: The new user's id; unused if a LIMITED or ACTIVE user is bound.

    Returns:
        Done: `user_id` is bound and LIMITED, as a new generation: the next user of the coordinate.
        Ignored: the user that was bound before stays. This trigger is never refused.

    Raises:
        ArgumentError: `user_id` is the tombstoned user, or the binding belongs to another
            coordinate.
    """
    if binding and binding.state is TOMBSTONED and binding.user_id == user_id:
        raise ArgumentError("user_id", "a new user, never the tombstoned one")
    return _bind(PROVISION, binding=binding, coordinate=coordinate, user_id=user_id)


def complete_sign_up(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    """Bind the user that signed up on the hosted page, as ACTIVE [S; conflicts O].

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate to bind.
        user_id: The user that signed up.

    Returns:
        Done: `user_id` is bound and ACTIVE. Ignored: `user_id` was bound and ACTIVE before.
        Refused: `BINDING_CONFLICT` if another user is bound and ACTIVE; `BINDING_CHANGED` if the
        account is LIMITED or TOMBSTONED.

    Raises:
        ArgumentError: The binding belongs to another coordinate.
    """
    return _bind(COMPLETE_SIGN_UP, binding=binding, coordinate=coordinate, user_id=user_id)


def graduate(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    """Record that the bound LIMITED user became ACTIVE: the graduation of the account [P].

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate of the binding.
        user_id: The user that became ACTIVE.

    Returns:
        Done: the binding, now ACTIVE. Ignored: the user was ACTIVE before. Refused:
        `BINDING_CONFLICT` if another user is bound; `BINDING_CHANGED` if the account is UNLINKED or
        TOMBSTONED.

    Raises:
        ArgumentError: The binding belongs to another coordinate.
    """
    return _bind(GRADUATE, binding=binding, coordinate=coordinate, user_id=user_id)


def tombstone(
    binding: LimitedAccountAppBinding | None,
    coordinate: Coordinate,
    now: datetime,
    *,
    happened_at: datetime | None = None,
) -> Done[LimitedAccountAppBinding] | Ignored[LimitedAccountAppBinding | None]:
    """Record that the user of a coordinate no longer exists, and begin a new era [O].

    An era begins when a tombstone is recorded, even if no user is bound. All connections and
    sessions of earlier eras have then ended, even those that are committed after the tombstone.

    Args:
        binding: The coordinate's binding as it is stored; `None` if there is none.
        coordinate: The coordinate of the binding.
        now: When the tombstone is recorded, in UTC.
        happened_at: The reported instant from which the user no longer existed, in UTC; `None` if
            none was reported.

    Returns:
        Done: the binding, TOMBSTONED and under a new era. Ignored: the report is a copy of the last
        tombstone. This trigger is never refused.

    Raises:
        ArgumentError: An instant is not UTC, or the binding belongs to another coordinate. If the
            report is no copy: `happened_at` is more than five minutes after `now`, or the last era
            is the last instant that a datetime can hold.
    """
    check_instant("now", now)
    check_coordinate(binding, coordinate)
    is_copy = (
        binding is not None
        and happened_at is not None
        and happened_at == binding.tombstone_reported_at
    )
    report = TOMBSTONE_REPORT[TombstoneNovelty.COPY if is_copy else TombstoneNovelty.NEW]
    if isinstance(report.outcome, Ignore):
        return Ignored(binding, report.rules)
    counts_as = clamp_happened_at(happened_at, now)
    user = OTHER if binding is None or binding.user_id is None else SAME
    row = BINDING[TOMBSTONE, account_state(binding), user]
    assert isinstance(row.outcome, MoveTo)  # noqa: S101 - the trigger's cells hold no other verdict
    before = binding or LimitedAccountAppBinding(
        coordinate=coordinate, user_id=None, state=row.outcome.to, generation=0, version=0
    )
    # If an era were repeated, connections and sessions of the last one would stay live.
    if before.era == LAST_INSTANT:
        raise ArgumentError("now", "early enough for another era before the year 10000")
    era = now if before.era is None or before.era < now else before.era + TICK
    gone = attrs.evolve(
        before,
        state=row.outcome.to,
        version=before.version + 1,
        era=era,
        tombstoned_at=counts_as,
        tombstone_reported_at=happened_at,
        swept=False,
    )
    return Done(gone, row.rules)


def decide_graduation_start(
    binding: LimitedAccountAppBinding | None,
) -> Done[AccountState] | Refused:
    """Decide whether a user may be sent to the page that makes the account ACTIVE [P].

    Becoming ACTIVE, which only a LIMITED user can, is called graduation. This function changes
    nothing; `graduate` changes the binding once the user has finished the page.

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.

    Returns:
        Done: the user may be sent there; the value is the account's state, LIMITED. Refused:
        `BINDING_NOT_LIMITED` in any other state.
    """
    state = account_state(binding)
    row = GRADUATION_HANDOFF[state]
    if isinstance(row.outcome, RefuseWith):
        return Refused(Problem(row.outcome.code, (state,)), row.rules)
    return Done(state, row.rules)


def _bind(
    trigger: BindingTrigger,
    binding: LimitedAccountAppBinding | None,
    coordinate: Coordinate,
    user_id: UserId,
) -> BindingTransition:
    check_coordinate(binding, coordinate)
    state = account_state(binding)
    same = binding is not None and binding.user_id == user_id
    row = BINDING[trigger, state, SAME if same else OTHER]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        if binding is None:
            bound = LimitedAccountAppBinding(
                coordinate=coordinate, user_id=user_id, state=outcome.to, generation=1
            )
        else:
            # The era and the last tombstone stay across generations.
            bound = attrs.evolve(
                binding,
                user_id=user_id,
                state=outcome.to,
                generation=binding.generation if same else binding.generation + 1,
                version=binding.version + 1,
            )
        return Done(bound, row.rules)
    if isinstance(outcome, Ignore):
        return Ignored(binding, row.rules)
    return Refused(Problem(outcome.code, (state,)), row.rules)
