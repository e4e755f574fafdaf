"""The judge of one round: an order for every user's history, and no overdrawn bucket."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import attrs

from curae_lifecycle.rules.idempotency import Record, record_expires_at
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, SECOND, AppUser, to_epoch_microseconds
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.keys import rate_key
from tests.lab.crash.history import Operation
from tests.lab.crash.rest import Whole, of_users
from tests.lab.crash.search import Search, Verdict
from tests.lab.crash.world import Asked, Rest

_UNCHARGED: Final = frozenset({400, 401, 403, 429})


UNDECIDED: Final = "undecided: "
"""How the finding begins that a search was given up."""


@attrs.define
class Judged:
    """The findings of the searches.

    Attributes:
        histories: The number of searched histories.
        longest: The number of operations in the longest one.
        executed: The number of executed operations in the searches.
        undecided: The number of searches that were given up.
        broken: Histories without an order, and other violations.
    """

    histories: int = 0
    longest: int = 0
    executed: int = 0
    undecided: int = 0
    broken: list[str] = attrs.field(factory=list[str])

    def add(self, user: AppUser, verdict: Verdict, size: int, told: Callable[[], str]) -> None:
        """Count one history; print it in full if it is not explained."""
        self.histories += 1
        self.longest = max(self.longest, size)
        self.executed += verdict.executed
        stuck = "; ".join(map(str, verdict.stuck[:4])) or f"it differs in {verdict.differs}"
        where = f"{verdict.placed} of {size} operations of {user.app_user_id}"
        if verdict.is_explained is None:
            self.undecided += 1
            self.broken.append(f"{UNDECIDED}an order was found of {where}, then: {stuck}{told()}")
        elif not verdict.is_explained:
            self.broken.append(f"no order: {where} at most can be ordered, then: {stuck}{told()}")


def tell(operations: Sequence[Operation], base: Rest, rest: Rest) -> str:
    """Return everything about one user: operations, values before and after, messages."""
    lines = ["", "seen:", *map(str, sorted(operations, key=lambda each: each.invoked))]
    for name, whole in (("stored before", base), ("stored after", rest)):
        lines.append(f"{name}:")
        lines += [
            f"{kind} {key}: {whole.values[kind, key]!r}" for kind, key in sorted(whole.values)
        ]
    lines.append("posted:")
    lines += [f"{key}: {kind} {each}" for key in rest.posted for kind, each in rest.posted[key]]
    return "\n  ".join(lines)


def judge_round(
    judged: Judged,
    operations: Sequence[Operation],
    base: Whole,
    rest: Whole,
    keys: Mapping[tuple[str, str], AppUser],
    users: Collection[AppUser],
    *,
    ahead: int,
    until: int,
    budget: int,
) -> None:
    """Search the history of every user between two rests.

    Args:
        judged: The findings to add to.
        operations: The operations in between.
        base: The database before.
        rest: The database after, with all messages posted in between.
        keys: The user of each idempotency key.
        users: Every user.
        ahead: How far the clock of all servers is ahead.
        until: The time of the rest, in microseconds of the true clock.
        budget: The most executions of operations for one history.
    """
    before, _ = of_users(base, keys, users)
    after, nobodys = of_users(rest, keys, users)
    judged.broken += [f"nobody's: {each}" for each in nobodys]
    histories: dict[AppUser, list[Operation]] = defaultdict(list)
    for each in operations:
        histories[each.user].append(each)
    for user in sorted({*before, *after, *histories}, key=lambda each: each.app_user_id):
        ended = after.get(user, Rest())
        begun = before.get(user, Rest())
        search = Search(histories[user], begun, ended, ahead=ahead, until=until, budget=budget)
        told = partial(tell, histories[user], begun, ended)
        judged.add(user, search.run(), search.size, told=told)


def overdrawn(
    operations: Sequence[Operation], buckets: Sequence[Bucket], spread: int
) -> Iterator[str]:
    """Yield API keys that were admitted more often than their buckets allow in some span.

    Args:
        operations: The operations between two rests.
        buckets: The buckets of each API key.
        spread: The largest difference between two clocks, in microseconds.
    """
    of_key: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for each in operations:
        if isinstance(each.work, Asked) and is_admitted(each) and each.returned is not None:
            of_key[each.work.caller.api_key_id].append((each.invoked, each.returned))
    for bucket in buckets:
        for key, spans in of_key.items():
            most = _most_over(spans, bucket, spread)
            if most > 0:
                yield f"law 10: {key} was admitted {most:.1f} times too often by {bucket.name}"


def uncharged(
    operations: Sequence[Operation],
    buckets: Sequence[Bucket],
    before: Whole,
    after: Whole,
    earliest: int,
) -> Iterator[str]:
    """Yield API keys whose buckets were charged less often than they were admitted.

    A charge moves the instant at which a bucket is full forward, and nothing moves it back.

    Args:
        operations: The operations between two rests.
        buckets: The buckets of each API key.
        before: The database before.
        after: The database after.
        earliest: The slowest clock at the beginning, in microseconds.
    """
    admitted = Counter(
        each.work.caller.key_owner
        for each in operations
        if isinstance(each.work, Asked) and is_admitted(each)
    )
    for bucket in buckets:
        token = bucket.seconds * SECOND / bucket.refill
        for owner, times in admitted.items():
            key = rate_key(BucketKey(owner, bucket))
            left = after.buckets.get(key, FULL_BUCKET).full_at
            began = max(before.buckets.get(key, FULL_BUCKET).full_at, earliest)
            # The bucket may have been full at first, by the clock of the first request.
            charged = (left - min(began, left)) / token
            if charged < times - 1:
                yield (
                    f"law 10: {owner.api_key_id} was admitted {times} times and charged "
                    f"{charged:.1f} times by {bucket.name}"
                )


def is_admitted(operation: Operation) -> bool:
    answer = operation.answer
    return isinstance(answer, Response) and answer.status not in _UNCHARGED


def _most_over(spans: list[tuple[int, int]], bucket: Bucket, spread: int) -> float:
    # For each span between two requests: the number of requests in it, and the allowed number.
    rate = bucket.refill / (bucket.seconds * SECOND)
    by_end = sorted(spans, key=lambda span: span[1])
    worst = float("-inf")
    for first in {begins for begins, _ in spans}:
        inside = [ends for begins, ends in by_end if begins >= first]
        for count, ends in enumerate(inside, 1):
            allowed = bucket.capacity + rate * (ends - first + spread)
            worst = max(worst, count - allowed)
    return worst


def lost(before: Whole, after: Whole, now: int) -> Iterator[str]:
    """Yield values that a purge dropped too early.

    Args:
        before: The database before the purge.
        after: The database after the purge.
        now: The time of the purge, in microseconds by its clock.
    """
    for place in before.values.keys() - after.values.keys():
        value = before.values[place]
        if isinstance(value, Record):
            if to_epoch_microseconds(record_expires_at(value)) > now - CLOCK_TOLERANCE:
                yield f"law 12: purged too early: {place[0]} {place[1]}"
        elif place[0] != "LogState":
            yield f"lost: {place[0]} {place[1]}"
