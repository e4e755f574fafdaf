"""Strategies for rate limits and their states.

The law of this module: **a run of requests made every drawn state**; the limit refused some of the
requests.

There are two kinds of limits. An exact log remembers the instant of each admission. A token bucket
holds tokens, which are refilled with time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.testing.strategies.expect import expect_type
from curae_lifecycle.testing.strategies.values import START, mostly, offsets

# More than any drawn limit admits at once.
_MOST_REQUESTS: Final = 12


def exact_logs() -> st.SearchStrategy[ratelimit.ExactLog]:
    """Draw exact logs: rate limits that remember the instant of each admitted request.

    They admit at most 1, 2, 3 or 10 requests in any 1 or 60 seconds.
    """
    return st.builds(
        ratelimit.ExactLog,
        st.sampled_from(("initiate", "graduation")),
        st.sampled_from((10, 1, 2, 3)),
        st.sampled_from((60, 1)),
    )


def buckets() -> st.SearchStrategy[ratelimit.Bucket]:
    """Draw token buckets with capacity, refill and seconds from 1 to 10 each.

    A bucket gains `refill` tokens in `seconds` seconds. Some gain a token after a time that is no
    whole number of microseconds. The largest and slowest bucket is drawn often.
    """
    names, sizes = st.sampled_from(("platform", "burst")), st.integers(1, 10)
    slowest = st.builds(ratelimit.Bucket, names, st.just(10), st.just(1), st.just(10))
    return mostly(st.builds(ratelimit.Bucket, names, sizes, sizes, sizes), slowest)


def policies() -> st.SearchStrategy[ratelimit.Policy]:
    """Draw rate limits of both kinds.

    An exact log remembers the instant of each admitted request. A token bucket holds tokens, which
    are refilled with time.
    """
    return st.one_of(exact_logs(), buckets())


def charges(policy: ratelimit.Policy | None = None) -> st.SearchStrategy[ratelimit.Charge]:
    """Draw `Charge` values: a rate limit with the state that the next request finds.

    The state is that after at most 12 earlier requests.

    The requests come at `START` or up to 3 hours later. The limit may have refused some of them. In
    half of the draws all come at `START`, and use the limit up.

    Args:
        policy: The limit; `None` draws an exact log or a token bucket.
    """
    chosen = policies() if policy is None else st.just(policy)
    request_offsets = st.one_of(st.integers(0, 3).map(lambda s: timedelta(seconds=s)), offsets())
    requests = st.one_of(
        st.lists(request_offsets, max_size=_MOST_REQUESTS), st.just([timedelta(0)] * _MOST_REQUESTS)
    )
    return st.builds(_charge, chosen, requests)


def log_states() -> st.SearchStrategy[ratelimit.LogState]:
    """Draw states of exact logs, rate limits that remember the instant of each admitted request.

    Each is the state after at most 12 requests, which come at `START` or up to 3 hours later. The
    limit may have refused some of them.
    """
    return (
        exact_logs().flatmap(charges).map(lambda each: expect_type(ratelimit.LogState, each.state))
    )


def bucket_states() -> st.SearchStrategy[ratelimit.BucketState]:
    """Draw states of token buckets, rate limits whose tokens are refilled with time.

    Each is the state after at most 12 requests, which come at `START` or up to 3 hours later. The
    limit may have refused some of them.
    """
    return (
        buckets().flatmap(charges).map(lambda each: expect_type(ratelimit.BucketState, each.state))
    )


def admissions() -> st.SearchStrategy[ratelimit.Admitted]:
    """Draw `Admitted` answers: a rate limit lets a request pass.

    The request comes a day after `strategies.values.START`, when the drawn state of the limit has
    expired, so nothing is left of earlier requests.
    """
    return charges().map(_admitted)


def limit_refusals() -> st.SearchStrategy[ratelimit.RateLimited]:
    """Draw `RateLimited` answers: a rate limit refuses a request.

    The request comes at `strategies.values.START`, after earlier requests have used up the limit.
    """
    return charges().map(_limited)


def limits_left() -> st.SearchStrategy[ratelimit.LimitLeft]:
    """Draw the remaining allowance of a rate limit at `START`, after a run of requests.

    The requests of the run come up to 3 hours after `START`, as if the server's clock had been
    stepped back since. So `reset_seconds` can be longer than the window of the limit.
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
