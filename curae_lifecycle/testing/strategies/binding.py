"""Strategies for bindings and connect sessions.

The law of this module: **the rules' tables made every binding and session**. Bindings are
provisioned, graduated, tombstoned and bound again. Sessions are initiated. The hand-offs of some
have landed: the patient's return from the hosted page was recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules import binding as rules
from curae_lifecycle.rules.binding import AccountState, BindingTransition, LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import (
    CuraeConnectSession,
    EntryPath,
    Initiated,
    Landing,
    complete_handoff,
    initiate,
)
from curae_lifecycle.rules.values import Coordinate, SessionId
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.expect import expect_done
from curae_lifecycle.testing.strategies.values import START

_BOUND_STATES: Final = (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED)


def bindings(
    coordinate: Coordinate | None = None, state: AccountState | None = None
) -> st.SearchStrategy[LimitedAccountAppBinding]:
    """Draw bindings whose coordinates have had 0 to 4 users, as `generation` counts them.

    Those with 0 were tombstoned before any user was bound. UNLINKED is never drawn: that state
    means that there is no binding.

    Args:
        coordinate: The coordinate of the bindings; `None` draws one.
        state: The state of the bindings: LIMITED, ACTIVE or TOMBSTONED; `None` draws one of these.
    """
    return _bindings(coordinate, state)


@st.composite
def _bindings(
    draw: st.DrawFn, coordinate: Coordinate | None, state: AccountState | None
) -> LimitedAccountAppBinding:
    coordinate = draw(values.coordinates()) if coordinate is None else coordinate
    state = draw(st.sampled_from(_BOUND_STATES)) if state is None else state
    tombstoned = state is AccountState.TOMBSTONED
    happened_at = draw(st.sampled_from((None, START))) if tombstoned else None
    generation = draw(st.integers(0 if tombstoned else 1, 4))
    if generation == 0:
        return _binding_of(rules.tombstone(None, coordinate, START, happened_at=happened_at))
    binding: LimitedAccountAppBinding | None = None
    for number in range(1, generation):
        binding = _bind_next(binding, coordinate, number, graduated=draw(st.booleans()))
        binding = _binding_of(rules.tombstone(binding, coordinate, START))
    graduated = state is AccountState.ACTIVE or (tombstoned and draw(st.booleans()))
    if binding is None and graduated and draw(st.booleans()):
        # A sign-up on the hosted page makes an ACTIVE user without a LIMITED one before.
        binding = _binding_of(rules.complete_sign_up(None, coordinate, values.user_of(1)))
    else:
        binding = _bind_next(binding, coordinate, generation, graduated=graduated)
    if not tombstoned:
        return binding
    return _binding_of(rules.tombstone(binding, coordinate, START, happened_at=happened_at))


def _bind_next(
    binding: LimitedAccountAppBinding | None,
    coordinate: Coordinate,
    generation: int,
    *,
    graduated: bool,
) -> LimitedAccountAppBinding:
    limited = _binding_of(rules.provision(binding, coordinate, values.user_of(generation)))
    if not graduated:
        return limited
    return _binding_of(rules.graduate(limited, coordinate, values.user_of(generation)))


def _binding_of(answer: BindingTransition) -> LimitedAccountAppBinding:
    # The binding's table allows every transition of these strategies.
    return expect_done(LimitedAccountAppBinding, answer)


def sessions(path: EntryPath | None = None) -> st.SearchStrategy[CuraeConnectSession]:
    """Draw connect sessions with a hand-off in every state that the entry path allows.

    - `EXISTING_ACTIVE_HANDOFF` (Path A): the hand-off was complete when the session was created.
    - `NEW_ACTIVE_SIGNUP_HANDOFF` (Path B): the hand-off is awaited, or was completed later.
    - `SILENT_LIMITED` (Path C): no hand-off is required.

    Args:
        path: The entry path of the sessions; `None` draws one.
    """
    return _sessions(path)


@st.composite
def _sessions(draw: st.DrawFn, path: EntryPath | None) -> CuraeConnectSession:
    coordinate = draw(values.coordinates())
    path = draw(st.sampled_from(EntryPath)) if path is None else path
    binding: LimitedAccountAppBinding | None = None
    prefer_signup = path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    if path is EntryPath.EXISTING_ACTIVE_HANDOFF:
        binding = draw(bindings(coordinate, AccountState.ACTIVE))
        prefer_signup = draw(st.booleans())
    elif path is EntryPath.SILENT_LIMITED:
        states = st.sampled_from((AccountState.LIMITED, AccountState.TOMBSTONED))
        bound = states.flatmap(lambda state: bindings(coordinate, state))
        binding = draw(st.one_of(st.none(), bound))
        prefer_signup = binding is not None and draw(st.booleans())
    now = draw(values.instants())
    initiated = initiate(
        binding,
        coordinate,
        now,
        prefer_signup=prefer_signup,
        id=draw(values.session_ids()),
        user_id=values.user_of(1 if binding is None else binding.generation + 1),
        next_action=values.next_action_at(now),
    ).value
    delay = draw(st.one_of(st.none(), values.offsets()))
    if delay is None:
        return initiated.session
    landing = complete_handoff(
        initiated.session,
        binding=initiated.binding,
        user_id=draw(values.user_ids()),
        now=now + delay,
    )
    return landing.value.session if isinstance(landing, Done) else initiated.session


# --- Histories ------------------------------------------------------------------------------


class CoordinateAct(StrEnum):
    """The events of a `CoordinateHistory`, which happen to one user of one app, simplest first.

    Attributes:
        INITIATE: A session is initiated without a sign-up.
        INITIATE_SIGN_UP: A session is initiated, and a sign-up is preferred.
        LAND: The hand-off of a session lands: its completion is recorded.
        GRADUATE: The LIMITED user becomes ACTIVE.
        TOMBSTONE: The user is gone.
    """

    INITIATE = "initiate"
    INITIATE_SIGN_UP = "initiate, a sign-up preferred"
    LAND = "land a hand-off"
    GRADUATE = "graduate"
    TOMBSTONE = "tombstone"


CoordinateAnswer = Done[Initiated] | Done[Landing] | Ignored[Landing] | BindingTransition
"""The answer of the rules to a `CoordinateAct`, an event at a coordinate."""


@attrs.frozen
class CoordinateStep:
    """One event in the history of a coordinate, with the rules' answer and the new binding.

    Attributes:
        now: The instant of the event.
        act: The event.
        answer: The answer of the rules to the event.
        binding: The stored binding after the event; `None` if the coordinate has none.
    """

    now: datetime
    act: CoordinateAct
    answer: CoordinateAnswer
    binding: LimitedAccountAppBinding | None


@attrs.frozen
class CoordinateHistory:
    """A coordinate with the events that happened at it, in time order.

    Attributes:
        coordinate: The coordinate.
        steps: The events, oldest first. A hand-off is left out if no session was initiated earlier.
        sessions: All sessions of the coordinate as stored after the last step, oldest first. Their
            entry paths and hand-off states vary, and a session may have expired by the last step.
    """

    coordinate: Coordinate
    steps: tuple[CoordinateStep, ...]
    sessions: tuple[CuraeConnectSession, ...]

    @property
    def binding(self) -> LimitedAccountAppBinding | None:
        """The stored binding after the last event, or `None` if the coordinate has none."""
        return self.steps[-1].binding if self.steps else None

    @property
    def bindings(self) -> tuple[LimitedAccountAppBinding, ...]:
        """The stored binding after each event, oldest first; events that leave none are skipped."""
        return tuple(step.binding for step in self.steps if step.binding is not None)


_Move = tuple[timedelta, CoordinateAct, int, bool]
"""Offset from `START`, act, session (0 is the newest), and whether a different user acts.

For a tombstone the last one says that it is reported without `happened_at`.
"""


def coordinate_histories(*, max_steps: int = 6) -> st.SearchStrategy[CoordinateHistory]:
    """Draw a coordinate, one user of one app, with the events that happened to the user.

    The events are initiates, hand-offs, graduations and tombstones. The rules refuse or ignore
    some, for instance the graduation of a user who is not bound.

    Args:
        max_steps: The largest number of events.
    """
    acts = st.sampled_from(CoordinateAct)
    move = st.tuples(values.offsets(), acts, st.integers(0, 2), st.booleans())
    return st.builds(_play, values.coordinates(), st.lists(move, max_size=max_steps))


def _play(coordinate: Coordinate, moves: list[_Move]) -> CoordinateHistory:
    binding: LimitedAccountAppBinding | None = None
    sessions: list[CuraeConnectSession] = []
    steps: list[CoordinateStep] = []
    ordered = sorted(moves, key=lambda move: move[0])
    for number, (offset, act, nth_newest, by_other_user) in enumerate(ordered, 1):
        now = START + offset
        # User 100 acts if no user is bound. No initiate binds user 99.
        own_user = (None if binding is None else binding.user_id) or values.user_of(100)
        user = values.user_of(99) if by_other_user else own_user
        answer: CoordinateAnswer
        match act:
            case CoordinateAct.INITIATE | CoordinateAct.INITIATE_SIGN_UP:
                initiated = initiate(
                    binding,
                    coordinate,
                    now,
                    prefer_signup=act is CoordinateAct.INITIATE_SIGN_UP,
                    id=SessionId(values.uuid_of(number)),
                    user_id=values.user_of(number),
                    next_action=values.next_action_at(now),
                )
                sessions.append(initiated.value.session)
                binding, answer = initiated.value.binding, initiated
            case CoordinateAct.LAND:
                if not sessions:
                    continue
                index = max(0, len(sessions) - 1 - nth_newest)
                landing = complete_handoff(sessions[index], binding=binding, user_id=user, now=now)
                answer = landing
                if isinstance(landing, Done):
                    sessions[index], binding = landing.value.session, landing.value.binding
            case CoordinateAct.GRADUATE:
                answer = rules.graduate(binding, coordinate, user)
            case CoordinateAct.TOMBSTONE:
                # All reported ones happened at one instant, so later ones are copies.
                happened_at = None if by_other_user else START
                answer = rules.tombstone(binding, coordinate, now, happened_at=happened_at)
        if isinstance(answer, Done) and isinstance(answer.value, LimitedAccountAppBinding):
            binding = answer.value
        steps.append(CoordinateStep(now=now, act=act, answer=answer, binding=binding))
    return CoordinateHistory(coordinate, tuple(steps), tuple(sessions))
