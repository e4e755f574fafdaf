"""Bindings and connect sessions.

The law of this module: **the tables moved every binding and session**: provisioned, graduated,
tombstoned and bound again; initiated, and landed or not.
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

_LINKED: Final = (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED)


@st.composite
def bindings(
    draw: st.DrawFn, coordinate: Coordinate | None = None, state: AccountState | None = None
) -> LimitedAccountAppBinding:
    """Draw bindings of the first generations.

    Args:
        draw: Hypothesis passes it.
        coordinate: The coordinate; any by default.
        state: The state; any by default.
    """
    whose = draw(values.coordinates()) if coordinate is None else coordinate
    last = draw(st.sampled_from(_LINKED)) if state is None else state
    generation = draw(st.integers(1, 4))
    binding: LimitedAccountAppBinding | None = None
    for number in range(1, generation):
        binding = _live(binding, whose, number, grown=draw(st.booleans()))
        binding = _bound(rules.tombstone(binding, whose))
    grown = last is AccountState.ACTIVE or (last is AccountState.TOMBSTONED and draw(st.booleans()))
    if binding is None and grown and draw(st.booleans()):
        # A sign-up on the hosted page, with no LIMITED user before it.
        binding = _bound(rules.complete_sign_up(None, whose, values.user_of(1)))
    else:
        binding = _live(binding, whose, generation, grown=grown)
    return _bound(rules.tombstone(binding, whose)) if last is AccountState.TOMBSTONED else binding


def _live(
    binding: LimitedAccountAppBinding | None, whose: Coordinate, number: int, *, grown: bool
) -> LimitedAccountAppBinding:
    limited = _bound(rules.provision(binding, whose, values.user_of(number)))
    return _bound(rules.graduate(limited, whose, limited.user_id)) if grown else limited


def _bound(answer: BindingTransition) -> LimitedAccountAppBinding:
    # The table `binding` allows every step above.
    return expect_done(LimitedAccountAppBinding, answer)


@st.composite
def sessions(draw: st.DrawFn, path: EntryPath | None = None) -> CuraeConnectSession:
    """Draw connect sessions; a session on Path B may have landed.

    Args:
        draw: Hypothesis passes it.
        path: The path; any by default.
    """
    whose = draw(values.coordinates())
    wanted = draw(st.sampled_from(EntryPath)) if path is None else path
    binding: LimitedAccountAppBinding | None = None
    prefers = wanted is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    if wanted is EntryPath.EXISTING_ACTIVE_HANDOFF:
        binding = draw(bindings(whose, AccountState.ACTIVE))
        prefers = draw(st.booleans())
    elif wanted is EntryPath.SILENT_LIMITED:
        states = (AccountState.LIMITED, AccountState.TOMBSTONED)
        binding = draw(
            st.one_of(st.none(), st.sampled_from(states).flatmap(lambda at: bindings(whose, at)))
        )
        prefers = binding is not None and draw(st.booleans())
    now = draw(values.instants())
    minted = initiate(
        binding,
        whose,
        now,
        prefer_signup=prefers,
        id=draw(values.session_ids()),
        user_id=values.user_of(1 if binding is None else binding.generation + 1),
        next_action=values.next_action_at(now),
    ).value
    landing = draw(st.one_of(st.none(), values.offsets()))
    if landing is None:
        return minted.session
    answer = complete_handoff(
        minted.session, binding=minted.binding, user_id=draw(values.user_ids()), now=now + landing
    )
    return answer.value.session if isinstance(answer, Done) else minted.session


# --- Histories ------------------------------------------------------------------------------


class CoordinateAct(StrEnum):
    """Acts at one coordinate; the simplest first."""

    INITIATE = "initiate"
    INITIATE_SIGN_UP = "initiate, a sign-up preferred"
    LAND = "land a hand-off"
    GRADUATE = "graduate"
    TOMBSTONE = "tombstone"


CoordinateAnswer = Done[Initiated] | Done[Landing] | Ignored[Landing] | BindingTransition
"""The answer to an act."""


@attrs.frozen
class CoordinateStep:
    """A step of a history: an act at a coordinate, its answer, and the binding after it."""

    now: datetime
    act: CoordinateAct
    answer: CoordinateAnswer
    binding: LimitedAccountAppBinding | None


@attrs.frozen
class CoordinateHistory:
    """A coordinate with its history.

    Attributes:
        coordinate: The coordinate.
        steps: The acts, in order.
        sessions: The sessions after the last step, in the order of their minting.
    """

    coordinate: Coordinate
    steps: tuple[CoordinateStep, ...]
    sessions: tuple[CuraeConnectSession, ...]

    @property
    def binding(self) -> LimitedAccountAppBinding | None:
        """The binding after the last step."""
        return self.steps[-1].binding if self.steps else None

    @property
    def bindings(self) -> tuple[LimitedAccountAppBinding, ...]:
        """The binding after each step that left one, generations and states in order."""
        return tuple(step.binding for step in self.steps if step.binding is not None)


_Move = tuple[timedelta, CoordinateAct, int, bool]
"""The offset, the act, the position of the session from the newest, and True for another user."""


def coordinate_histories(*, max_steps: int = 6) -> st.SearchStrategy[CoordinateHistory]:
    """Draw histories of one coordinate.

    Args:
        max_steps: The largest number of acts.
    """
    acts = st.sampled_from(CoordinateAct)
    move = st.tuples(values.offsets(), acts, st.integers(0, 2), st.booleans())
    return st.builds(_play, values.coordinates(), st.lists(move, max_size=max_steps))


def _play(whose: Coordinate, moves: list[_Move]) -> CoordinateHistory:
    binding: LimitedAccountAppBinding | None = None
    sessions: list[CuraeConnectSession] = []
    steps: list[CoordinateStep] = []
    ordered = sorted(moves, key=lambda move: move[0])
    for number, (offset, act, back, stranger) in enumerate(ordered, 1):
        now = START + offset
        # The bound user (a new one if none is bound), or another user, always the same.
        known = values.user_of(100) if binding is None else binding.user_id
        user = values.user_of(99) if stranger else known
        answer: CoordinateAnswer
        match act:
            case CoordinateAct.INITIATE | CoordinateAct.INITIATE_SIGN_UP:
                minted = initiate(
                    binding,
                    whose,
                    now,
                    prefer_signup=act is CoordinateAct.INITIATE_SIGN_UP,
                    id=SessionId(values.uuid_of(number)),
                    user_id=values.user_of(number),
                    next_action=values.next_action_at(now),
                )
                sessions.append(minted.value.session)
                binding, answer = minted.value.binding, minted
            case CoordinateAct.LAND:
                if not sessions:
                    continue
                at = max(0, len(sessions) - 1 - back)
                landed = complete_handoff(sessions[at], binding=binding, user_id=user, now=now)
                answer = landed
                if isinstance(landed, Done):
                    sessions[at], binding = landed.value.session, landed.value.binding
            case CoordinateAct.GRADUATE:
                answer = rules.graduate(binding, whose, user)
            case CoordinateAct.TOMBSTONE:
                answer = rules.tombstone(binding, whose)
        if isinstance(answer, Done) and isinstance(answer.value, LimitedAccountAppBinding):
            binding = answer.value
        steps.append(CoordinateStep(now=now, act=act, answer=answer, binding=binding))
    return CoordinateHistory(whose, tuple(steps), tuple(sessions))
