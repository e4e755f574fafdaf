"""Domains of sessions of Path B: users and instants of a completed hand-off."""

from __future__ import annotations

from itertools import product

import attrs

from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import HandoffState, complete_handoff
from curae_lifecycle.rules.values import UserId
from tests.proof.domains.marks import TICKS, instant
from tests.proof.reference.tables import COMPLETION
from tests.support.specimens import refusal, waiting
from tests.support.strategies import COORDINATE, START


def handoffs(size: int) -> int:
    """Compare every session of Path B at every instant, for every user and report."""
    cases = 0
    for end, landed_for, user, now in product(
        range(1, size), (None, "u-1", "u-2"), ("u-1", "u-2"), range(size)
    ):
        session = attrs.evolve(
            waiting(),
            created_at=START,
            expires_at=TICKS[end],
            handoff=HandoffState.AWAITED if landed_for is None else HandoffState.LANDED,
            landed_at=None if landed_for is None else START,
            user_id=None if landed_for is None else UserId(landed_for),
        )
        for past in (None, *range(now + 1)):
            happened = now if past is None else past
            answer = complete_handoff(
                session,
                binding=None,
                user_id=UserId(user),
                now=TICKS[now],
                happened_at=instant(past),
            )
            cases += 1
            if landed_for is None:
                is_now = "waiting" if happened < end else "over without landing"
            else:
                is_now = f"landed for {'the same' if landed_for == user else 'another'} user"
            cell = COMPLETION[session.path, is_now]
            if cell == "ignore":
                assert isinstance(answer, Ignored)
                assert answer.value.session is session
                assert answer.value.binding is None
            elif cell != "proceed":
                assert isinstance(answer, Refused)
                assert refusal(answer) == cell
                details = {
                    "BINDING_CONFLICT": ("UNLINKED",),
                    "SESSION_EXPIRED": (session.id, TICKS[end]),
                }
                assert answer.problem.detail_values == details[answer.problem.code]
            else:
                assert isinstance(answer, Done)
                assert answer.value.session == attrs.evolve(
                    session,
                    handoff=HandoffState.LANDED,
                    landed_at=TICKS[happened],
                    user_id=UserId(user),
                )
                bound = answer.value.binding
                assert bound is not None
                assert (bound.coordinate, bound.user_id) == (COORDINATE, user)
                assert (bound.state, bound.generation) == ("ACTIVE", 1)
    return cases
