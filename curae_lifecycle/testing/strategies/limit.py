"""Rate limits and their states.

The law of this module: **a state is what a run of requests left behind**, some of them refused.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules.ratelimit import (
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    Limited,
    LimitLeft,
    LogState,
    Policy,
    admit,
    fresh_state,
    limit_left,
)
from curae_lifecycle.testing.strategies.values import START, offsets

_State = TypeVar("_State", LogState, BucketState)


def exact_logs() -> st.SearchStrategy[ExactLog]:
    """Limits with an exact log, the app user's own among them."""
    return st.builds(
        ExactLog,
        st.sampled_from(("initiate", "graduation")),
        st.sampled_from((10, 1, 2, 3)),
        st.sampled_from((60, 1)),
    )


def buckets() -> st.SearchStrategy[Bucket]:
    """Token buckets, some of which refill at a rate that does not divide a second."""
    sizes = st.integers(1, 10)
    return st.builds(Bucket, st.sampled_from(("platform", "burst")), sizes, sizes, sizes)


def policies() -> st.SearchStrategy[Policy]:
    """Rules of either kind."""
    return st.one_of(exact_logs(), buckets())


def charges(policy: Policy | None = None) -> st.SearchStrategy[Charge]:
    """A rule, or any, with a state that a run of requests left behind, some of them refused."""
    which = policies() if policy is None else st.just(policy)
    gaps = st.one_of(st.integers(0, 3).map(lambda s: timedelta(seconds=s)), offsets())
    return st.builds(_charge, which, st.lists(gaps, max_size=12))


def log_states() -> st.SearchStrategy[LogState]:
    """States of exact logs."""
    return exact_logs().flatmap(charges).map(lambda charge: _of(LogState, charge))


def bucket_states() -> st.SearchStrategy[BucketState]:
    """States of token buckets."""
    return buckets().flatmap(charges).map(lambda charge: _of(BucketState, charge))


def admissions() -> st.SearchStrategy[Admitted]:
    """What a rule answers that admits."""
    return charges().map(_admitted)


def limitations() -> st.SearchStrategy[Limited]:
    """What a rule answers that refuses, however often it had to be asked."""
    return charges().map(_limited)


def limits_left() -> st.SearchStrategy[LimitLeft]:
    """What is left of a rule, soon after a run of requests."""
    return charges().map(lambda charge: limit_left(charge.policy, charge.state, START))


def _admitted(charge: Charge) -> Admitted:
    answer = admit((charge,), START + timedelta(days=1))
    assert isinstance(answer, Admitted)  # noqa: S101 - every state has expired by then
    return answer


def _limited(charge: Charge) -> Limited:
    while isinstance(answer := admit((charge,), START), Admitted):
        charge = Charge(charge.policy, answer.states[0])
    return answer


def _charge(policy: Policy, after: list[timedelta]) -> Charge:
    charge = Charge(policy, fresh_state(policy))
    for offset in sorted(after):
        answer = admit((charge,), START + offset)
        if isinstance(answer, Admitted):
            charge = Charge(policy, answer.states[0])
    return charge


def _of(kind: type[_State], charge: Charge) -> _State:
    if isinstance(charge.state, kind):
        return charge.state
    raise TypeError(f"{charge.policy.name!r} has another kind of state")
