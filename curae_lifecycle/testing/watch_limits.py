"""The admissions of rate limits that a `Watch` remembers, and its checks of law 10.

The law of this module: **a refusal is judged by the admissions before it**. The state of a limit is
never read.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket, ExactLog
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, SECOND, to_epoch_microseconds
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey, RateKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.watch_answers import check_retry_after, limit_header

_EXTRA_INSTANTS: Final = 54
"""The number of instants that are kept beyond a limit, since workers' clocks can disagree."""

_LIMITS: Final = (ExactLog("initiate", 10, 60), ExactLog("graduation", 10, 60))
"""The limits of the platform, stated a second time so that a wrong rule is noticed."""

_WHOLE_SECONDS: Final = re.compile("[0-9]{1,15}")
"""A whole number; HTTP's structured fields allow no more digits."""

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""A string of HTTP's structured fields, in which a backslash escapes the next character."""

_SECOND: Final = timedelta(seconds=1)
_TOLERANCE: Final = timedelta(microseconds=CLOCK_TOLERANCE)


@attrs.define
class Admissions:
    """The latest admissions by one rate limit of one app user, to judge its refusals by.

    A purge may drop the state of a limit that no longer restricts the user, and a `Watch` does not
    know if it did. So a refusal is accepted if it follows from `instants`, as for a kept state, or
    from `since_drop`, as for a dropped one.

    Attributes:
        instants: The instants of the latest admissions, earliest first. A few more are kept
            than the limit admits in its window.
        last_commit: The number of the commit that stored the latest admission; 0 if there is none.
        since_drop: The instants of the admissions since the last purge that may have dropped the
            limit's state; at most as many as in `instants`.
    """

    instants: list[datetime]
    last_commit: int
    since_drop: list[datetime] = attrs.field(factory=list[datetime])


@attrs.frozen
class LastCharge:
    """The latest request that one bucket, a rate limit of an API key, admitted.

    A `Watch`, which checks the laws, judges later refusals of the bucket by this charge.

    Attributes:
        at: The instant of the request.
        commit: The number of the commit that stored the charge.
    """

    at: datetime
    commit: int


class FullInstants:
    """The instants at which buckets are full again, to check that each admission had a token.

    Buckets are the rate limits of API keys. Each charge moves the instant of its bucket later. If
    the instant is then further ahead than an empty bucket takes to fill, no token was left. The
    instants are computed from the admitted requests; the stored states are not read.
    """

    def __init__(self) -> None:
        """Start with full buckets."""
        # In microseconds since 1970, times the bucket's refill, so that nothing is rounded.
        self._full_at: dict[BucketKey, int] = {}
        self._latest: datetime | None = None

    def admit(self, key: BucketKey, now: datetime) -> None:
        """Check that a bucket holds a token, and take that token.

        If `now` is more than five minutes before an earlier charge, a clock was put back. All
        buckets then count as full.

        Args:
            key: The key of the bucket, which is a rate limit of an API key.
            now: The instant of the charge.

        Raises:
            LawBrokenError: The bucket holds no token.
        """
        if self._latest is not None and self._latest - now > _TOLERANCE:
            # A clock that was ahead was put right, so that a bucket may admit more than its tokens.
            self._full_at.clear()
            self._latest = None
        self._latest = now if self._latest is None else max(now, self._latest)
        bucket = key.bucket
        at, token = to_epoch_microseconds(now) * bucket.refill, bucket.seconds * SECOND
        full_at = max(self._full_at.get(key, at), at) + token
        if full_at - at > bucket.capacity * token:
            where = f"bucket {bucket.name} at {now.isoformat()}"
            raise LawBrokenError(10, "admitted a request without a token", where)
        self._full_at[key] = full_at

    def purge(self, now: datetime) -> None:
        """Forget the buckets that are full at `now`, whose states the store may have dropped."""
        at = to_epoch_microseconds(now)
        for key in [
            each for each, full in self._full_at.items() if full <= at * each.bucket.refill
        ]:
            del self._full_at[key]


class LimitHistory:
    """The admissions of every rate limit of one store, to judge later refusals by.

    Args:
        operations: The classes of the operations that the server serves. The limits that these
            operations set for each app user are checked. Limits with the names `initiate` and
            `graduation` must admit at most 10 requests in 60 s, whatever the operations say.
        checks_buckets: Whether to check that a bucket held a token for each request that it
            admitted. Set it only if each bucket is charged at the instant that `observe_charge`
            gets as `now`.
    """

    def __init__(
        self, operations: tuple[type[Operation], ...], *, checks_buckets: bool = False
    ) -> None:
        """Start without admissions."""
        self._full_instants = FullInstants() if checks_buckets else None
        own = [each.rule.limit for each in operations]
        self._limits = {each.name: each for each in (*own, *_LIMITS) if each is not None}
        self._admissions: dict[LimitKey, Admissions] = {}
        self._charges: dict[BucketKey, LastCharge] = {}

    def observe_charge(self, key: RateKey, now: datetime, commit: int) -> None:
        """Remember a charge that a commit stored, and check that the rate limit had room for it.

        The room of a bucket, a rate limit of an API key, is checked only if `checks_buckets` was
        set. A limit with an unknown name is ignored.

        Args:
            key: The key of the limit.
            now: The instant that the request was decided for.
            commit: The number of the commit that stored the charge, counted from 1.

        Raises:
            LawBrokenError: The limit admitted more requests than it may.
        """
        if isinstance(key, BucketKey):
            self._charges[key] = LastCharge(now, commit)
            if self._full_instants is not None:
                self._full_instants.admit(key, now)
            return
        limit = self._limits.get(key.policy)
        if limit is None:
            return
        admissions = self._admissions.setdefault(key, Admissions([], 0))
        admissions.last_commit = commit
        instants = sorted([*admissions.instants, now])
        laws.check_rate_limit(instants, limit=limit.limit, seconds=limit.seconds)
        admissions.instants = instants[-(limit.limit + _EXTRA_INSTANTS) :]
        since_drop = sorted([*admissions.since_drop, now])
        admissions.since_drop = since_drop[-(limit.limit + _EXTRA_INSTANTS) :]

    def purge(self, now: datetime) -> None:
        """Remember that the store may have dropped states of limits that restrict nothing at `now`.

        Call it when the store purges. The history cannot know which of these states the store
        dropped. So `check_refusal` accepts a refusal that is right for a store that kept the
        limit's state, or for a store that dropped it.

        Args:
            now: The instant of the purge, by the clock that is furthest behind.
        """
        if self._full_instants is not None:
            self._full_instants.purge(now)
        for key, admissions in self._admissions.items():
            window = timedelta(seconds=self._limits[key.policy].seconds)
            if admissions.since_drop and admissions.since_drop[-1] + window <= now:
                admissions.since_drop = []

    def check_refusal(
        self, response: Response, now: datetime, needs: Needs | None, commits_before_load: int
    ) -> None:
        """Check that a rate limit had reason to refuse a request, and that `Retry-After` is right.

        The response names the limit that refused, and `needs` has its key. If that limit admitted
        another request after the values were loaded, the refusal is not checked: it was decided
        from the older state.

        Args:
            response: The response, a 429.
            now: The instant that the request was decided for.
            needs: The keys of the loaded values, among them those of the limits. `None` if the
                request was refused before the load; then nothing is checked.
            commits_before_load: The number of commits that were observed before the load. A limit
                whose latest admission has a higher number is not checked.

        Raises:
            LawBrokenError: The limit had room, `RateLimit` is missing, or `Retry-After` is missing
                or wrong.
        """
        if needs is None:
            return
        where = f"a 429 at {now.isoformat()}"
        policy = _limit_name(limit_header(response, "ratelimit", where))
        for bucket in needs.buckets:
            if bucket.bucket.name == policy:
                self._check_bucket(response, bucket, now, commits_before_load=commits_before_load)
        key = needs.limit
        if key is not None and {policy, key.policy} <= self._limits.keys():
            self._check_limit(response, key, now, commits_before_load=commits_before_load)

    def _check_limit(
        self, response: Response, key: LimitKey, now: datetime, commits_before_load: int
    ) -> None:
        limit = self._limits[key.policy]
        admissions = self._admissions.get(key, Admissions([], 0))
        if admissions.last_commit > commits_before_load:
            return
        where = f"{key.policy} of {key.app_user.app_user_id} at {now.isoformat()}"
        try:
            check_retry_after(response, admissions.instants, now, limit=limit, where=where)
        except LawBrokenError:
            if admissions.since_drop == admissions.instants:
                raise
            check_retry_after(response, admissions.since_drop, now, limit=limit, where=where)

    def _check_bucket(
        self, response: Response, key: BucketKey, now: datetime, commits_before_load: int
    ) -> None:
        last = self._charges.get(key)
        if last is not None and last.commit > commits_before_load:
            return
        check_bucket_refusal(response, key.bucket, now, last=None if last is None else last.at)


def _limit_name(header: str) -> str:
    # Returns the name in a `RateLimit`; empty, as no limit's name is, if it begins with none.
    quoted = _QUOTED.match(header)
    return "" if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1])


def check_bucket_refusal(
    response: Response, bucket: Bucket, now: datetime, *, last: datetime | None
) -> None:
    """Check that a bucket may refuse at `now`, and that its `Retry-After` is not too long.

    A bucket's window is the time in which it fills up from empty. So a bucket may refuse only until
    one window after its last charge. The last charge may lie after `now` if clocks disagree. But a
    bucket must ignore a charge that lies further ahead than its window and five minutes, since only
    a wrong clock can have made that charge.

    Args:
        response: The response, a 429.
        bucket: The bucket that refused.
        now: The instant that the request was decided for.
        last: The instant of the bucket's last charge; `None` if there is none.

    Raises:
        LawBrokenError: The bucket must admit the request, `Retry-After` is missing or no whole
            number, or the wait is longer than the window and five minutes.
    """
    where = f"bucket {bucket.name} at {now.isoformat()}"
    window = timedelta(seconds=bucket.window)
    if last is None or not -window < last - now <= window + _TOLERANCE:
        raise LawBrokenError(10, f"refused although its last charge was at {last}", where)
    retry_after = limit_header(response, "retry-after", where)
    if _WHOLE_SECONDS.fullmatch(retry_after) is None:
        raise LawBrokenError(10, "Retry-After is no whole number of seconds", where)
    # `Retry-After` is in whole seconds, rounded up.
    if int(retry_after) > (window + _TOLERANCE) // _SECOND:
        what = f"Retry-After is {retry_after} s, more than the window and five minutes"
        raise LawBrokenError(10, what, where)
