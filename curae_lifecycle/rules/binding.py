"""The tie between a coordinate and a platform user.

The laws of this module: **for one user a binding only rises** (LIMITED < ACTIVE <
TOMBSTONED), and **a coordinate is never silently rebound**: another user comes only after a
tombstone, as a new generation.
"""

from __future__ import annotations

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
from curae_lifecycle.rules.values import Coordinate, UserId


class AccountState(StrEnum):
    """The state of a coordinate's account; a coordinate without a binding is UNLINKED [S, P]."""

    UNLINKED = "UNLINKED"
    LIMITED = "LIMITED"
    ACTIVE = "ACTIVE"
    TOMBSTONED = "TOMBSTONED"


class BindingTrigger(StrEnum):
    """The triggers that can change a binding."""

    PROVISION = "provision"
    COMPLETE_SIGN_UP = "complete sign-up"
    GRADUATE = "graduate"
    TOMBSTONE = "tombstone"


class UserMatch(StrEnum):
    """Relation of the user that a trigger names to the bound user; OTHER if none is bound."""

    SAME = "same user"
    OTHER = "other user, or none bound"


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
    Row((TOMBSTONE,        UNLINKED,   ANY),             IGNORE,        "[O] Nobody is bound."),
    Row((TOMBSTONE,        LIMITED,    ANY),             TO_TOMBSTONED, "[O] The user is gone."),
    Row((TOMBSTONE,        ACTIVE,     ANY),             TO_TOMBSTONED, "[O] The user is gone."),
    Row((TOMBSTONE,        TOMBSTONED, ANY),             IGNORE,        "[O] It was tombstoned before."),
    state="account",
)
"""The table `binding`: the change that each trigger makes to a binding."""

GRADUATION_HANDOFF: Final = Table[AccountState, Proceed | RefuseWith](
    "graduation-handoff",
    "Whether a graduation hand-off may start.",
    Axis.of("account", AccountState),
    Row(UNLINKED,   NOT_LIMITED, "[P] There is nobody to graduate."),
    Row(LIMITED,    PROCEED,     "[P] The LIMITED user may become ACTIVE."),
    Row(ACTIVE,     NOT_LIMITED, "[P] The user graduated before."),
    Row(TOMBSTONED, NOT_LIMITED, "[P] The user is gone."),
)
"""The table `graduation-handoff`: the account states in which a graduation hand-off may start."""
# fmt: on


@attrs.frozen
class LimitedAccountAppBinding:
    """A binding: the tie of a coordinate to a platform user.

    Attributes:
        coordinate: The coordinate; each coordinate has at most one binding.
        user_id: The platform's user; never on the wire, and no repr shows it.
        state: The account's state: LIMITED, ACTIVE or TOMBSTONED, never UNLINKED.
        generation: 1 for the first user of the coordinate, one more for each later user.
        version: The number of writes of the binding. A write that only raises `version`, so
            that a concurrent write conflicts, counts too.
    """

    coordinate: Coordinate
    user_id: UserId = attrs.field(repr=False)
    state: AccountState
    generation: int
    version: int = 1


BindingTransition = (
    Done[LimitedAccountAppBinding] | Ignored[LimitedAccountAppBinding | None] | Refused
)
"""The outcome of a binding's trigger; `Ignored` carries the given binding, which may be `None`."""


def account_state(binding: LimitedAccountAppBinding | None) -> AccountState:
    """Return the state of the coordinate's account; without a binding it is UNLINKED [S, P]."""
    return UNLINKED if binding is None else binding.state


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

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate to bind.
        user_id: The new user's id; unused if a LIMITED or ACTIVE user is bound.

    Returns:
        Done: `user_id` is bound and LIMITED, as a new generation. Ignored: the bound user stays.
        This trigger is never refused.

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
    """Record that the bound LIMITED user became ACTIVE [P].

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate of the binding.
        user_id: The user that graduated.

    Returns:
        Done: the binding, now ACTIVE. Ignored: the user was ACTIVE before. Refused:
        `BINDING_CONFLICT` if another user is bound; `BINDING_CHANGED` if the account is UNLINKED or
        TOMBSTONED.

    Raises:
        ArgumentError: The binding belongs to another coordinate.
    """
    return _bind(GRADUATE, binding=binding, coordinate=coordinate, user_id=user_id)


def tombstone(
    binding: LimitedAccountAppBinding | None, coordinate: Coordinate
) -> BindingTransition:
    """Record that the bound user no longer exists [O].

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate of the binding.

    Returns:
        Done: the binding, now TOMBSTONED. Ignored: no user was bound, or the binding was TOMBSTONED
        before. This trigger is never refused.

    Raises:
        ArgumentError: The binding belongs to another coordinate.
    """
    return _bind(
        TOMBSTONE,
        binding=binding,
        coordinate=coordinate,
        user_id=None if binding is None else binding.user_id,
    )


def start_graduation(binding: LimitedAccountAppBinding | None) -> Done[AccountState] | Refused:
    """Decide whether a graduation hand-off may start [P].

    The binding is unchanged; `graduate` changes it once the user has graduated.

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.

    Returns:
        Done: the hand-off may start; the value is the account's state, LIMITED. Refused:
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
    user_id: UserId | None,
) -> BindingTransition:
    check_coordinate(binding, coordinate)
    state = account_state(binding)
    same = binding is not None and binding.user_id == user_id
    row = BINDING[trigger, state, SAME if same else OTHER]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        assert user_id is not None  # noqa: S101 - the table ignores the tombstone of no binding
        generation, version = (0, 0) if binding is None else (binding.generation, binding.version)
        bound = LimitedAccountAppBinding(
            coordinate=coordinate,
            user_id=user_id,
            state=outcome.to,
            generation=generation if same else generation + 1,
            version=version + 1,
        )
        return Done(bound, row.rules)
    if isinstance(outcome, Ignore):
        return Ignored(binding, row.rules)
    return Refused(Problem(outcome.code, (state,)), row.rules)
