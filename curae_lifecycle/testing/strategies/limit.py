"""Rate limits and their states.

The law of this module: **a run of requests left each state behind**; some of them were refused.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.testing.strategies.expect import expect_type
from curae_lifecycle.testing.strategies.values import START, offsets


def exact_logs() -> st.SearchStrategy[ratelimit.ExactLog]:
    """Draw limits with an exact log; those of the app user are among them."""
    return st.builds(
        ratelimit.ExactLog,
        st.sampled_from(("initiate", "graduation")),
        st.sampled_from((10, 1, 2, 3)),
        st.sampled_from((60, 1)),
    )


def buckets() -> st.SearchStrategy[ratelimit.Bucket]:
    """Draw token buckets; some refill at a rate that does not divide a second."""
    sizes = st.integers(1, 10)
    return st.builds(ratelimit.Bucket, st.sampled_from(("platform", "burst")), sizes, sizes, sizes)


def policies() -> st.SearchStrategy[ratelimit.Policy]:
    """Draw policies of both kinds."""
    return st.one_of(exact_logs(), buckets())


def charges(policy: ratelimit.Policy | None = None) -> st.SearchStrategy[ratelimit.Charge]:
    """Draw policies with a state that a run of requests left behind.

    Args:
        policy: The policy; any by default.
    """
    which = policies() if policy is None else st.just(policy)
    gaps = st.one_of(st.integers(0, 3).map(lambda s: timedelta(seconds=s)), offsets())
    return st.builds(_charge, which, st.lists(gaps, max_size=12))


def log_states() -> st.SearchStrategy[ratelimit.LogState]:
    """Draw states of exact logs."""
    return (
        exact_logs().flatmap(charges).map(lambda each: expect_type(ratelimit.LogState, each.state))
    )


def bucket_states() -> st.SearchStrategy[ratelimit.BucketState]:
    """Draw states of token buckets."""
    return (
        buckets().flatmap(charges).map(lambda each: expect_type(ratelimit.BucketState, each.state))
    )


def admissions() -> st.SearchStrategy[ratelimit.Admitted]:
    """Draw admissions of a policy."""
    return charges().map(_admitted)


def limit_refusals() -> st.SearchStrategy[ratelimit.RateLimited]:
    """Draw refusals of a policy, which may take several requests."""
    return charges().map(_limited)


def limits_left() -> st.SearchStrategy[ratelimit.LimitLeft]:
    """Draw the rest of a limit soon after a run of requests."""
    return charges().map(lambda charge: ratelimit.limit_left(charge.policy, charge.state, START))


def _admitted(charge: ratelimit.Charge) -> ratelimit.Admitted:
    # Every state has expired by then.
    return expect_type(ratelimit.Admitted, ratelimit.admit((charge,), START + timedelta(days=1)))


def _limited(charge: ratelimit.Charge) -> ratelimit.RateLimited:
    while isinstance(answer := ratelimit.admit((charge,), START), ratelimit.Admitted):
        charge = ratelimit.Charge(charge.policy, answer.states[0])
    return answer


def _charge(policy: ratelimit.Policy, after: list[timedelta]) -> ratelimit.Charge:
    charge = ratelimit.Charge(policy, ratelimit.fresh_state(policy))
    for offset in sorted(after):
        answer = ratelimit.admit((charge,), START + offset)
        if isinstance(answer, ratelimit.Admitted):
            charge = ratelimit.Charge(policy, answer.states[0])
    return charge
