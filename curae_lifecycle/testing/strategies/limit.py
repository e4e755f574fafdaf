"""Strategies for rate limits and their states.

The law of this module: **a run of requests made every drawn state**; the limit refused some of the
requests.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.testing.strategies.expect import expect_type
from curae_lifecycle.testing.strategies.values import START, offsets


def exact_logs() -> st.SearchStrategy[ratelimit.ExactLog]:
    """Draw limits with an exact log, among them an app user's limit of 10 initiates in 60 s."""
    return st.builds(
        ratelimit.ExactLog,
        st.sampled_from(("initiate", "graduation")),
        st.sampled_from((10, 1, 2, 3)),
        st.sampled_from((60, 1)),
    )


def buckets() -> st.SearchStrategy[ratelimit.Bucket]:
    """Draw token buckets; some gain a token after a time that is no whole number of microseconds."""
    sizes = st.integers(1, 10)
    return st.builds(ratelimit.Bucket, st.sampled_from(("platform", "burst")), sizes, sizes, sizes)


def policies() -> st.SearchStrategy[ratelimit.Policy]:
    """Draw rate limits of both kinds: exact logs and token buckets."""
    return st.one_of(exact_logs(), buckets())


def charges(policy: ratelimit.Policy | None = None) -> st.SearchStrategy[ratelimit.Charge]:
    """Draw a limit with the state after a run of at most 12 requests, some of them refused.

    Args:
        policy: The limit; `None` draws one of either kind.
    """
    chosen = policies() if policy is None else st.just(policy)
    request_offsets = st.one_of(st.integers(0, 3).map(lambda s: timedelta(seconds=s)), offsets())
    return st.builds(_charge, chosen, st.lists(request_offsets, max_size=12))


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
    """Draw the answers of limits that admit a request a day after `START`."""
    return charges().map(_admitted)


def limit_refusals() -> st.SearchStrategy[ratelimit.RateLimited]:
    """Draw the answers of limits that refuse a request at `START`, after as many as it takes."""
    return charges().map(_limited)


def limits_left() -> st.SearchStrategy[ratelimit.LimitLeft]:
    """Draw what a limit has left when asked at `START`, with the state after a run of requests.

    The requests of the run come up to 3 hours after `START`, as if the server's clock had stepped
    back. The time until the limit is full can therefore be longer than its window.
    """
    return charges().map(lambda charge: ratelimit.limit_left(charge.policy, charge.state, START))


def _admitted(charge: ratelimit.Charge) -> ratelimit.Admitted:
    # Every drawn state has expired a day later, so the limit must admit.
    return expect_type(ratelimit.Admitted, ratelimit.admit((charge,), START + timedelta(days=1)))


def _limited(charge: ratelimit.Charge) -> ratelimit.RateLimited:
    while isinstance(answer := ratelimit.admit((charge,), START), ratelimit.Admitted):
        charge = ratelimit.Charge(charge.policy, answer.states[0])
    return answer


def _charge(policy: ratelimit.Policy, request_offsets: list[timedelta]) -> ratelimit.Charge:
    charge = ratelimit.Charge(policy, ratelimit.fresh_state(policy))
    for offset in sorted(request_offsets):
        answer = ratelimit.admit((charge,), START + offset)
        if isinstance(answer, ratelimit.Admitted):
            charge = ratelimit.Charge(policy, answer.states[0])
    return charge
