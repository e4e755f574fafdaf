"""The tie between a coordinate and a platform user.

The laws of this module: **for one user a binding only rises** (LIMITED < ACTIVE <
TOMBSTONED), and **a coordinate is never silently rebound**: another user comes only after a
tombstone, as a new generation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.outcomes import (
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
from curae_lifecycle.rules.values import ArgumentError, Coordinate, UserId


class AccountState(StrEnum):
    """What the coordinate's account is; no binding is UNLINKED [S, P]."""

    UNLINKED = "UNLINKED"
    LIMITED = "LIMITED"
    ACTIVE = "ACTIVE"
    TOMBSTONED = "TOMBSTONED"


class BindingTrigger(StrEnum):
    """What can happen to a binding."""

    PROVISION = "provision"
    COMPLETE_SIGN_UP = "complete sign-up"
    GRADUATE = "graduate"
    TOMBSTONE = "tombstone"


class User(StrEnum):
    """The event's user beside the bound one."""

    SAME = "same user"
    OTHER = "other user, or none bound"


BindingVerdict = MoveTo[AccountState] | Ignore | RefuseWith

_CHANGED: Final = RefuseWith(ProblemCode.BINDING_CHANGED)
_CONFLICT: Final = RefuseWith(ProblemCode.BINDING_CONFLICT)

BINDING: Final = Table[tuple[BindingTrigger, AccountState, User], BindingVerdict](
    "binding",
    "What each event does to a binding, by the account's state and the user it names.",
    (
        Axis.of("event", BindingTrigger),
        Axis.of("account", AccountState),
        Axis.of("user", User),
    ),
    (
        Row(
            "binding.provision.unlinked",
            (BindingTrigger.PROVISION, AccountState.UNLINKED, ANY),
            MoveTo(AccountState.LIMITED),
            "[S] Path C provisions a LIMITED user.",
        ),
        Row(
            "binding.provision.limited",
            (BindingTrigger.PROVISION, AccountState.LIMITED, ANY),
            Ignore(),
            "[S] Path C reuses the LIMITED user.",
        ),
        Row(
            "binding.provision.active",
            (BindingTrigger.PROVISION, AccountState.ACTIVE, ANY),
            Ignore(),
            "[O] There is a better user already.",
        ),
        Row(
            "binding.provision.tombstoned",
            (BindingTrigger.PROVISION, AccountState.TOMBSTONED, ANY),
            MoveTo(AccountState.LIMITED),
            "[O] A new user and a new generation, never the old one.",
        ),
        Row(
            "binding.complete-sign-up.unlinked",
            (BindingTrigger.COMPLETE_SIGN_UP, AccountState.UNLINKED, ANY),
            MoveTo(AccountState.ACTIVE),
            "[S] Path B ends with a new ACTIVE user.",
        ),
        Row(
            "binding.complete-sign-up.limited",
            (BindingTrigger.COMPLETE_SIGN_UP, AccountState.LIMITED, ANY),
            _CHANGED,
            "[O] A LIMITED user came in between; graduation is its way up.",
        ),
        Row(
            "binding.complete-sign-up.active.same",
            (BindingTrigger.COMPLETE_SIGN_UP, AccountState.ACTIVE, User.SAME),
            Ignore(),
            "[O] The user is bound already.",
        ),
        Row(
            "binding.complete-sign-up.active.other",
            (BindingTrigger.COMPLETE_SIGN_UP, AccountState.ACTIVE, User.OTHER),
            _CONFLICT,
            "[O] A coordinate is never silently rebound.",
        ),
        Row(
            "binding.complete-sign-up.tombstoned",
            (BindingTrigger.COMPLETE_SIGN_UP, AccountState.TOMBSTONED, ANY),
            _CHANGED,
            "[O] The account was buried in between; a new session starts afresh.",
        ),
        Row(
            "binding.graduate.unlinked",
            (BindingTrigger.GRADUATE, AccountState.UNLINKED, ANY),
            _CHANGED,
            "[O] There is nobody to graduate.",
        ),
        Row(
            "binding.graduate.limited.same",
            (BindingTrigger.GRADUATE, AccountState.LIMITED, User.SAME),
            MoveTo(AccountState.ACTIVE),
            "[P] The LIMITED user becomes ACTIVE.",
        ),
        Row(
            "binding.graduate.limited.other",
            (BindingTrigger.GRADUATE, AccountState.LIMITED, User.OTHER),
            _CONFLICT,
            "[O] A coordinate is never silently rebound.",
        ),
        Row(
            "binding.graduate.active.same",
            (BindingTrigger.GRADUATE, AccountState.ACTIVE, User.SAME),
            Ignore(),
            "[O] The user graduated before.",
        ),
        Row(
            "binding.graduate.active.other",
            (BindingTrigger.GRADUATE, AccountState.ACTIVE, User.OTHER),
            _CONFLICT,
            "[O] A coordinate is never silently rebound.",
        ),
        Row(
            "binding.graduate.tombstoned",
            (BindingTrigger.GRADUATE, AccountState.TOMBSTONED, ANY),
            _CHANGED,
            "[O] The account was buried in between.",
        ),
        Row(
            "binding.tombstone.unlinked",
            (BindingTrigger.TOMBSTONE, AccountState.UNLINKED, ANY),
            Ignore(),
            "[O] There is nothing to bury.",
        ),
        Row(
            "binding.tombstone.limited",
            (BindingTrigger.TOMBSTONE, AccountState.LIMITED, ANY),
            MoveTo(AccountState.TOMBSTONED),
            "[O] The user is gone; the coordinate remembers that there was one.",
        ),
        Row(
            "binding.tombstone.active",
            (BindingTrigger.TOMBSTONE, AccountState.ACTIVE, ANY),
            MoveTo(AccountState.TOMBSTONED),
            "[O] The user is gone; the coordinate remembers that there was one.",
        ),
        Row(
            "binding.tombstone.tombstoned",
            (BindingTrigger.TOMBSTONE, AccountState.TOMBSTONED, ANY),
            Ignore(),
            "[O] It was buried before.",
        ),
    ),
    state="account",
)


GRADUATION_HANDOFF: Final = Table[tuple[AccountState], Proceed | RefuseWith](
    "graduation-handoff",
    "Whether a graduation hand-off may start.",
    (Axis.of("account", AccountState),),
    (
        Row(
            "graduation-handoff.unlinked",
            (AccountState.UNLINKED,),
            RefuseWith(ProblemCode.BINDING_NOT_LIMITED),
            "[P] There is nobody to graduate.",
        ),
        Row(
            "graduation-handoff.limited",
            (AccountState.LIMITED,),
            Proceed(),
            "[P] The LIMITED user may become ACTIVE.",
        ),
        Row(
            "graduation-handoff.active",
            (AccountState.ACTIVE,),
            RefuseWith(ProblemCode.BINDING_NOT_LIMITED),
            "[P] The user graduated before.",
        ),
        Row(
            "graduation-handoff.tombstoned",
            (AccountState.TOMBSTONED,),
            RefuseWith(ProblemCode.BINDING_NOT_LIMITED),
            "[P] The user is gone.",
        ),
    ),
)


@attrs.frozen
class LimitedAccountAppBinding:
    """Which platform user a coordinate is bound to.

    Attributes:
        coordinate: Whose binding it is; unique.
        user_id: The platform's user; never on the wire.
        state: LIMITED, ACTIVE or TOMBSTONED, never UNLINKED.
        generation: 1 for the first user of the coordinate, one more for each later one.
    """

    coordinate: Coordinate
    user_id: UserId
    state: AccountState
    generation: int


BindingTransition = (
    Done[LimitedAccountAppBinding] | Ignored[LimitedAccountAppBinding | None] | Refused
)
"""What an event answers; ignored carries what was passed in, be it `None`."""


def account_state(binding: LimitedAccountAppBinding | None) -> AccountState:
    """The state of the coordinate's account; no binding is UNLINKED [S, P]."""
    return AccountState.UNLINKED if binding is None else binding.state


def check_coordinate(binding: LimitedAccountAppBinding | None, coordinate: Coordinate) -> None:
    """Raise where a binding is of another coordinate than the one that is asked about.

    Raises:
        ArgumentError: It is.
    """
    if binding is not None and binding.coordinate != coordinate:
        raise ArgumentError("binding", "the binding of the coordinate")


def provision(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    """Bind a new LIMITED user where the coordinate has no living one [S; tombstone O].

    Returns:
        Done: `user_id` is bound, as a new generation. Ignored: the bound user stays.

    Raises:
        ArgumentError: `user_id` is the user that was buried.
    """
    if (
        binding is not None
        and binding.state is AccountState.TOMBSTONED
        and binding.user_id == user_id
    ):
        raise ArgumentError("user_id", "a new user, never the tombstoned one")
    return _bind(BindingTrigger.PROVISION, binding, coordinate, user_id)


def complete_sign_up(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    """Bind the user that signed up on the hosted page [S; conflicts O].

    Returns:
        Done: `user_id` is bound and ACTIVE. Ignored: it was. Refused: `BINDING_CHANGED`, or
        `BINDING_CONFLICT` where another user is bound.
    """
    return _bind(BindingTrigger.COMPLETE_SIGN_UP, binding, coordinate, user_id)


def graduate(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
) -> BindingTransition:
    """Record that the LIMITED user became ACTIVE [P].

    Returns:
        Done: ACTIVE now. Ignored: it was. Refused: `BINDING_CHANGED`, or `BINDING_CONFLICT`
        where another user is bound.
    """
    return _bind(BindingTrigger.GRADUATE, binding, coordinate, user_id)


def tombstone(binding: LimitedAccountAppBinding | None) -> BindingTransition:
    """Record that the bound user is gone [O].

    Returns:
        Done: TOMBSTONED now. Ignored: nobody was bound, or it was buried before.
    """
    if binding is None:
        row = BINDING[BindingTrigger.TOMBSTONE, AccountState.UNLINKED, User.OTHER]
        assert isinstance(row.outcome, Ignore)  # noqa: S101 - there is nothing to bury
        return Ignored(None, row.rules)
    return _bind(BindingTrigger.TOMBSTONE, binding, binding.coordinate, binding.user_id)


def start_graduation(
    binding: LimitedAccountAppBinding | None,
) -> Done[AccountState] | Refused:
    """Whether a graduation hand-off may start; the binding itself moves when it is over [P].

    Returns:
        Done: it may, from the state that is named. Refused: `BINDING_NOT_LIMITED`.
    """
    state = account_state(binding)
    row = GRADUATION_HANDOFF[state,]
    if isinstance(row.outcome, RefuseWith):
        return Refused(Problem(row.outcome.code, (state,)), row.rules)
    return Done(state, row.rules)


_SAME: Final = User.SAME
_OTHER: Final = User.OTHER


def _bind(
    event: BindingTrigger,
    binding: LimitedAccountAppBinding | None,
    coordinate: Coordinate,
    user_id: UserId,
) -> BindingTransition:
    check_coordinate(binding, coordinate)
    state = account_state(binding)
    same = binding is not None and binding.user_id == user_id
    row = BINDING.cells[event, state, _SAME if same else _OTHER]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        generation = 0 if binding is None else binding.generation
        bound = LimitedAccountAppBinding(
            coordinate, user_id, outcome.to, generation if same else generation + 1
        )
        return Done(bound, row.rules)
    if isinstance(outcome, RefuseWith):
        return Refused(Problem(outcome.code, (state,)), row.rules)
    return Ignored(binding, row.rules)
