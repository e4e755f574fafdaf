"""Connect sessions: one run of the hosted entry flow, its path and the landing of its hand-off.

The laws of this module: **the path is a function of the account's state and the app's
preference alone** (`ENTRY_PATHS`), and **a hand-off lands once**, together with its binding or not
at all (`COMPLETION`, then the table `binding`). An instant that is out of order or not UTC raises
`ArgumentError`.

In a *hand-off* the hosted page returns the user to the app. It *lands* when it is recorded.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.binding import (
    AccountState,
    LimitedAccountAppBinding,
    account_state,
    check_coordinate,
    complete_sign_up,
    present_era,
    provision,
)
from curae_lifecycle.rules.connection import check_next_action
from curae_lifecycle.rules.outcomes import (
    IGNORE,
    PROCEED,
    Done,
    Ignore,
    Ignored,
    Proceed,
    Refused,
    RefuseWith,
)
from curae_lifecycle.rules.problems import DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table


class EntryPath(StrEnum):
    """The entry paths of a connect session [S].

    Attributes:
        EXISTING_ACTIVE_HANDOFF: Path A: an ACTIVE user is bound, and the hand-off lands (is
            recorded) at once.
        NEW_ACTIVE_SIGNUP_HANDOFF: Path B: a new user signs up on the hosted page.
        SILENT_LIMITED: Path C: the bound or a new LIMITED user is used, without a hand-off.
    """

    EXISTING_ACTIVE_HANDOFF = "EXISTING_ACTIVE_HANDOFF"
    NEW_ACTIVE_SIGNUP_HANDOFF = "NEW_ACTIVE_SIGNUP_HANDOFF"
    SILENT_LIMITED = "SILENT_LIMITED"


class SignUpPreference(StrEnum):
    """The app's wish that a user without an account signs up: the member `preferSignup`.

    Attributes:
        SIGN_UP: The member is true.
        NONE: The member is false or absent.
    """

    SIGN_UP = "preferSignup true"
    NONE = "preferSignup false or absent"


class HandoffState(StrEnum):
    """The state of a session's hand-off, in which the hosted page returns the user to the app [O].

    Attributes:
        LANDED: The hand-off was recorded.
        AWAITED: The user has not finished the page yet.
        NOT_REQUIRED: The path needs no hand-off.
    """

    LANDED = "LANDED"
    AWAITED = "AWAITED"
    NOT_REQUIRED = "NOT_REQUIRED"


class SessionUser(StrEnum):
    """The platform's user that a session has when it is minted.

    Attributes:
        BOUND: The bound ACTIVE user (Path A).
        NONE_YET: No user yet: one will sign up (Path B).
        REUSED: The bound LIMITED user (Path C).
        PROVISIONED: A new LIMITED user (Path C).
    """

    BOUND = "the bound user"
    NONE_YET = "none yet"
    REUSED = "the bound LIMITED user"
    PROVISIONED = "a new LIMITED user"


class SessionStanding(StrEnum):
    """The state of a session when a user completes its hand-off.

    Attributes:
        WAITING: The hosted page has not ended.
        OVER: The page ended before the hand-off.
        OTHER_ERA: The page has not ended, but the coordinate's user was recorded as gone (a
            tombstone) since the session was minted.
        LANDED_SAME: The hand-off landed before, for the same user.
        LANDED_OTHER: The hand-off landed before, for another user.
    """

    WAITING = "waiting"
    OVER = "over without landing"
    OTHER_ERA = "waiting, made under another era"
    LANDED_SAME = "landed for the same user"
    LANDED_OTHER = "landed for another user"


@attrs.frozen
class Enter:
    """The outcome of a cell of the table `entry-path`: the path, hand-off and user of a session.

    Attributes:
        path: The path of the session.
        handoff: The state of the hand-off when the session is minted.
        user: The sort of user that the session gets: the bound one, a new one or none yet.
    """

    path: EntryPath
    handoff: HandoffState
    user: SessionUser

    def __str__(self) -> str:
        return f"{self.path}, hand-off {self.handoff}, {self.user}"


UNLINKED, LIMITED, ACTIVE, TOMBSTONED = AccountState
PREFERRED, NOT_PREFERRED = SignUpPreference
WAITING, OVER, OTHER_ERA, LANDED_SAME, LANDED_OTHER = SessionStanding
A, B, C = EntryPath
LANDED: Final = HandoffState.LANDED
"""The state of a hand-off once the return of the user to the app is recorded."""
PROVISIONED: Final = SessionUser.PROVISIONED
"""The case of a session that gets a new LIMITED user: its path provisions one."""

PATH_A: Final = Enter(A, HandoffState.LANDED, SessionUser.BOUND)
PATH_B: Final = Enter(B, HandoffState.AWAITED, SessionUser.NONE_YET)
PATH_C_NEW: Final = Enter(C, HandoffState.NOT_REQUIRED, SessionUser.PROVISIONED)
PATH_C_REUSED: Final = Enter(C, HandoffState.NOT_REQUIRED, SessionUser.REUSED)
NOT_REQUIRED: Final = RefuseWith(ProblemCode.HANDOFF_NOT_REQUIRED)
TOO_LATE: Final = RefuseWith(ProblemCode.SESSION_EXPIRED)
CHANGED: Final = RefuseWith(ProblemCode.BINDING_CHANGED)
OTHER_USER: Final = RefuseWith(ProblemCode.BINDING_CONFLICT)

# fmt: off
ENTRY_PATHS: Final = Table[tuple[AccountState, SignUpPreference], Enter](
    "entry-path",
    "Which path a connect session takes.",
    (Axis.of("account", AccountState), Axis.of("preference", SignUpPreference)),
    Row((ACTIVE,     ANY),           PATH_A,        "[S] There is an active user, so the hand-off lands at once."),
    Row((UNLINKED,   PREFERRED),     PATH_B,        "[S] No user; a sign-up is preferred.",  name="unlinked.sign-up"),
    Row((UNLINKED,   NOT_PREFERRED), PATH_C_NEW,    "[S] No user: provision a LIMITED one.", name="unlinked.silent"),
    Row((LIMITED,    PREFERRED),     PATH_C_REUSED, "[S] Else: the preference is ignored.",  name="limited.sign-up"),
    Row((LIMITED,    NOT_PREFERRED), PATH_C_REUSED, "[S] The LIMITED user is reused.",       name="limited.silent"),
    Row((TOMBSTONED, ANY),           PATH_C_NEW,    "[O] The literal else: a new LIMITED user, never the old one."),
)
"""The table `entry-path`: the path that a session takes, by the account and the preference."""

COMPLETION: Final = Table[tuple[EntryPath, SessionStanding], Proceed | Ignore | RefuseWith](
    "completion",
    "Whether a session's hand-off can be completed; if so, the table `binding` decides.",
    (Axis.of("path", EntryPath), Axis.of("session", SessionStanding)),
    Row((A, ANY),          NOT_REQUIRED, "[O] Path A landed when it was minted.",            name="existing-active"),
    Row((C, ANY),          NOT_REQUIRED, "[O] Path C has no hand-off.",                      name="silent-limited"),
    Row((B, WAITING),      PROCEED,      "[S] Path B requires completeHandoff.",             name="waiting"),
    Row((B, OVER),         TOO_LATE,     "[O] The hosted page was over before it happened.", name="over"),
    Row((B, OTHER_ERA),    CHANGED,      "[O] A tombstone came after the session was minted.", name="other-era"),
    Row((B, LANDED_SAME),  IGNORE,       "[O] A repeated completion changes nothing.",       name="landed.same"),
    Row((B, LANDED_OTHER), OTHER_USER,   "[O] One session hands over one user.",             name="landed.other"),
)
"""The table `completion`: whether the hand-off of a session can be completed."""
# fmt: on


@attrs.frozen
class CuraeConnectSession:
    """A connect session, one run of the hosted entry flow, as it is stored.

    Attributes:
        id: The session's id.
        coordinate: The coordinate that the session was minted for.
        path: The entry path.
        handoff: The state of the hand-off: landed, awaited or not required.
        created_at: When the session was minted.
        expires_at: When the session's next action, the hosted page, ends (exclusive).
        landed_at: When the recorded hand-off happened; `None` while the hand-off is awaited, and on
            Path C, which has none.
        user_id: The platform's id of the user; `None` until it is known. It is never on the
            wire, and no repr shows it.
        era: The coordinate's era as the session was minted: when its user was last recorded as
            gone (tombstoned). `None` if never before.
    """

    id: values.SessionId
    coordinate: values.Coordinate
    path: EntryPath
    handoff: HandoffState
    created_at: datetime
    expires_at: datetime
    landed_at: datetime | None
    user_id: values.UserId | None = attrs.field(repr=False)
    era: datetime | None = None


@attrs.frozen
class Initiated:
    """The result of `initiate`: a new session with the coordinate's binding.

    Attributes:
        session: The new session.
        binding: The coordinate's binding, after any provisioning; `None` if no user is bound. If it
            is not the same object that was passed to `initiate`, store it with the session.
    """

    session: CuraeConnectSession
    binding: LimitedAccountAppBinding | None


@attrs.frozen
class Landing:
    """The session and binding to store for a hand-off that landed: both or neither [O].

    Attributes:
        session: The session whose hand-off landed.
        binding: The binding of the coordinate to the user that signed up. It is `None` only if the
            hand-off changed nothing (`Ignored`) and the coordinate has no binding.
    """

    session: CuraeConnectSession
    binding: LimitedAccountAppBinding | None


def initiate(
    binding: LimitedAccountAppBinding | None,
    coordinate: values.Coordinate,
    now: datetime,
    *,
    prefer_signup: bool,
    id: values.SessionId,  # noqa: A002 - the spec's word for it
    user_id: values.UserId,
    next_action: values.NextAction,
) -> Done[Initiated]:
    """Mint a session on the path that the binding and the preference choose [S].

    Args:
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        coordinate: The coordinate of the session.
        now: The instant of the request, in UTC.
        prefer_signup: Whether a user without an account is to sign up.
        id: The new session's id.
        user_id: The id for a new LIMITED user; unused unless the path provisions one.
        next_action: The hosted page to show the user; the session expires when it ends.

    Returns:
        Done: the session and the coordinate's binding. An initiate is never refused.

    Raises:
        ArgumentError: `now` or the end of the next action is not a UTC instant, the next action
            ended before `now`, the binding belongs to another coordinate, or the path needs a new
            user and `user_id` is the tombstoned one.
    """
    check_next_action(next_action, now)
    check_coordinate(binding, coordinate)
    row = ENTRY_PATHS[account_state(binding), PREFERRED if prefer_signup else NOT_PREFERRED]
    enter, rules = row.outcome, row.rules
    if enter.user is PROVISIONED:
        provisioned = provision(binding, coordinate, user_id)
        assert isinstance(provisioned, Done)  # noqa: S101 - the table `binding` provisions too
        binding = provisioned.value
        rules += provisioned.rules
    bound = None if binding is None else binding.user_id
    session = CuraeConnectSession(
        id=id,
        coordinate=coordinate,
        path=enter.path,
        handoff=enter.handoff,
        created_at=now,
        expires_at=next_action.expires_at,
        landed_at=now if enter.handoff is LANDED else None,
        user_id=None if enter.user is SessionUser.NONE_YET else bound,
        era=present_era(binding),
    )
    return Done(Initiated(session, binding), rules)


def complete_handoff(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    user_id: values.UserId,
    now: datetime,
    *,
    happened_at: datetime | None = None,
) -> Done[Landing] | Ignored[Landing] | Refused:
    """Record that a user signed up on the hosted page and returned to the app [S; conflicts O].

    Args:
        session: The session as it is stored.
        binding: The coordinate's binding as it is stored; `None` if no user is bound.
        user_id: The user that signed up.
        now: When the hand-off is recorded, in UTC.
        happened_at: When the hand-off happened, in UTC; `None` if it happened at `now`.

    Returns:
        Done: the session and binding to store. Ignored: the hand-off landed for this user before.
        Refused: `HANDOFF_NOT_REQUIRED` if the session is not on Path B; `SESSION_EXPIRED` if its
        page ended before the hand-off; `BINDING_CONFLICT` if the session landed for another user or
        another user is bound and ACTIVE; `BINDING_CHANGED` if the coordinate was tombstoned since
        the session was minted, or if the account is LIMITED or TOMBSTONED.

    Raises:
        ArgumentError: `now` or `happened_at` is not a UTC instant, `happened_at` is more than five
            minutes after `now` (or after the session's creation or landing, if that is later), or
            the binding belongs to another coordinate.
    """
    seen = raise_to_session(session, now)
    # A hand-off that is dated before the session's creation counts as of the creation [O].
    happened = max(values.clamp_happened_at(happened_at, seen), session.created_at)
    row = COMPLETION[
        session.path,
        _session_standing(session, binding=binding, user_id=user_id, happened=happened),
    ]
    match row.outcome:
        case Ignore():
            return Ignored(Landing(session, binding), row.rules)
        case RefuseWith(code):
            return Refused(_build_problem(code, session, binding), row.rules)
        case Proceed():
            bound = complete_sign_up(binding, session.coordinate, user_id)
            rules = (row.rule, *bound.rules)
            if isinstance(bound, Refused):
                return Refused(bound.problem, rules)
            landed = attrs.evolve(session, handoff=LANDED, landed_at=happened, user_id=user_id)
            return Done(Landing(landed, bound.value), rules)


def raise_to_session(session: CuraeConnectSession, now: datetime) -> datetime:
    """Return the latest of `now`, the session's creation and the landing of its hand-off [O].

    If the clock was put back, `now` can be before these two. A reported `happened_at` may
    therefore be at most five minutes after the returned instant.

    Args:
        session: The session as it is stored.
        now: The instant, in UTC.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    values.check_instant("now", now)
    # No hand-off lands before its session's creation.
    return max(now, session.landed_at or session.created_at)


def _session_standing(
    session: CuraeConnectSession,
    *,
    binding: LimitedAccountAppBinding | None,
    user_id: values.UserId,
    happened: datetime,
) -> SessionStanding:
    if session.handoff is LANDED:
        return LANDED_SAME if session.user_id == user_id else LANDED_OTHER
    if happened >= session.expires_at:
        return OVER
    return WAITING if session.era == present_era(binding) else OTHER_ERA


def _build_problem(
    code: ProblemCode, session: CuraeConnectSession, binding: LimitedAccountAppBinding | None
) -> Problem:
    facts: dict[ProblemCode, tuple[DetailValue, ...]] = {
        ProblemCode.HANDOFF_NOT_REQUIRED: (session.id, session.path),
        ProblemCode.SESSION_EXPIRED: (session.id, session.expires_at),
        ProblemCode.BINDING_CONFLICT: (account_state(binding),),
        ProblemCode.BINDING_CHANGED: (account_state(binding),),
    }
    return Problem(code, facts[code])
