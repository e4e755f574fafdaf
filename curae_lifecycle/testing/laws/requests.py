"""Laws 8 to 12, 14 and 15: what a request gets, what it may change, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, ParamSpec, TypeVar

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.session import ENTRY_PATHS, EntryPath, SignUpPreference
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import RateWrite, RecordWrite
from curae_lifecycle.testing.laws.law import TICK, LawBrokenError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# --- 8: entry paths -------------------------------------------------------------------------

_A: Final = "EXISTING_ACTIVE_HANDOFF"
_B: Final = "NEW_ACTIVE_SIGNUP_HANDOFF"
_C: Final = "SILENT_LIMITED"
_PATHS: Final = (
    ("ACTIVE", True, _A),
    ("ACTIVE", False, _A),
    ("UNLINKED", True, _B),
    ("UNLINKED", False, _C),
    ("LIMITED", True, _C),
    ("LIMITED", False, _C),
    ("TOMBSTONED", True, _C),
    ("TOMBSTONED", False, _C),
)


def _path(state: AccountState, prefer_signup: bool) -> EntryPath:  # noqa: FBT001 - a law's axis
    preference = SignUpPreference.SIGN_UP if prefer_signup else SignUpPreference.NONE
    return ENTRY_PATHS[state, preference].outcome.path


def check_entry_paths(path: Callable[[AccountState, bool], EntryPath] = _path) -> None:
    """Law 8: every account state and preference has its one path.

    `path` tells the path of a state and of whether a sign-up is preferred; it is asked twice.
    """
    for state, prefers, expected in _PATHS:
        where = f"account {state}, preferSignup {str(prefers).lower()}"
        chosen = path(AccountState(state), prefers)
        if chosen != expected:
            raise LawBrokenError(8, f"path {chosen}, expected {expected}", where)
        again = path(AccountState(state), prefers)
        if again != chosen:
            raise LawBrokenError(8, f"path {chosen}, then {again}", where)


# --- 9 and 12: idempotency ------------------------------------------------------------------


def check_replay(original: Response, replay: Response, changes: Changes = NO_CHANGES) -> None:
    """Law 9: a replay is the answer again and nothing else.

    Args:
        original: What was answered first, as it was kept (without `Date` and the like).
        replay: What the retry got.
        changes: What the retry wrote, did and announced; only buckets of an API key may be charged.

    Raises:
        LawBrokenError: A byte differs, something was written, done or announced, or the app user
            paid.
    """
    _check_same(9, first=original, second=replay, where="replay")
    for write in changes.writes:
        if not isinstance(write, RateWrite):
            raise LawBrokenError(9, "something was written", type(write).__name__)
        if not isinstance(write.key, BucketKey):
            raise LawBrokenError(9, "the app user's limit was charged", write.key.policy)
    _check_silent(9, changes)


def check_one_execution(answers: Sequence[Response], executions: int) -> None:
    """Law 12: retries, crashes and lost answers make no second one.

    Args:
        answers: Every answer under one key that came from its execution or a replay of it.
            Those that came from no execution (in flight, a rate limit, a failure) are left out.
        executions: How many executions took effect, as your store or your counter knows it.

    Raises:
        LawBrokenError: More than one took effect, or two answers differ.
    """
    if executions > 1:
        raise LawBrokenError(12, f"{executions} executions took effect", "one idempotency key")
    for position, answer in enumerate(answers):
        _check_same(12, first=answers[0], second=answer, where=f"answer {position}")


def _check_same(law: int, first: Response, second: Response, where: str) -> None:
    if first.status != second.status:
        raise LawBrokenError(law, f"status {second.status} instead of {first.status}", where)
    if first.headers != second.headers:
        names = sorted({name for name, _ in {*first.headers} ^ {*second.headers}})
        differs = ", ".join(names) or "their order or repetition"
        raise LawBrokenError(law, f"headers differ: {differs}", where)
    if first.body != second.body:
        # A body can hold a hand-off URL, so the bytes themselves are not shown.
        pairs = enumerate(zip(first.body, second.body, strict=False))
        shorter = min(len(first.body), len(second.body))
        at = next((index for index, (one, other) in pairs if one != other), shorter)
        raise LawBrokenError(law, f"bodies differ from byte {at} on", where)


def _check_silent(law: int, changes: Changes) -> None:
    for effect in changes.effects:
        raise LawBrokenError(law, "the server is asked for an effect", type(effect).__name__)
    for event in changes.events:
        raise LawBrokenError(law, "an event is emitted", str(event.kind))


# --- 10: rate limits ------------------------------------------------------------------------


def check_rate_limit(admitted: Iterable[datetime], *, limit: int = 10, seconds: int = 60) -> None:
    """Law 10: no half-open window of `seconds` holds more than `limit` calls.

    `admitted` is when one app user's calls were admitted, in any order.
    """
    instants = sorted(admitted)
    window = timedelta(seconds=seconds)
    for first, last in zip(instants, instants[limit:], strict=False):
        if last - first < window:
            where = f"from {first.isoformat()} to {last.isoformat()}"
            seen = f"{limit + 1} admitted within {last - first}"
            raise LawBrokenError(10, f"{seen}, at most {limit} in {seconds} s", where)


def check_retry_after(
    admits: Callable[[datetime], bool], refused_at: datetime, retry_after: timedelta
) -> None:
    """Law 10: the wait that is named is enough, and no less would be.

    Args:
        admits: Whether a call at an instant would be admitted, with nothing charged since.
        refused_at: When a call was refused.
        retry_after: The exact wait that was named (a header rounds it up to whole seconds).

    Raises:
        LawBrokenError: It is refused after the wait, or admitted a microsecond earlier.
    """
    then = refused_at + retry_after
    where = f"refused at {refused_at.isoformat()}, asked to wait {retry_after}"
    if retry_after <= timedelta(0):
        raise LawBrokenError(10, "retry_after is no time at all", where)
    if not admits(then):
        raise LawBrokenError(10, "refused again when the wait is over", where)
    if admits(then - TICK):
        raise LawBrokenError(10, "admitted a microsecond before the wait is over", where)


# --- 11, 14, 15: nothing changed, nothing hidden, nothing shown ------------------------------


def check_nothing_changed(before: object, after: object, changes: Changes = NO_CHANGES) -> None:
    """Law 11: refused and ignored leave no trace.

    Args:
        before: A value, or all that a store held, before.
        after: The same afterwards.
        changes: What was written, done and announced; the idempotency record and the rate limits
            may be.

    Raises:
        LawBrokenError: Something changed, or something was done or announced.
    """
    if before != after:
        raise LawBrokenError(11, f"{before!r} became {after!r}", type(before).__name__)
    for write in changes.writes:
        if not isinstance(write, RecordWrite | RateWrite):
            raise LawBrokenError(11, "something was written", type(write).__name__)
    _check_silent(11, changes)


def check_deterministic(
    function: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Law 14: the arguments are all that an answer depends on.

    The function is called three times with them.

    Returns:
        What the function answered.

    Raises:
        LawBrokenError: Two calls with the same arguments answered differently.
    """
    first = function(*args, **kwargs)
    for _ in range(2):
        again = function(*args, **kwargs)
        if again != first:
            where = getattr(function, "__qualname__", repr(function))
            raise LawBrokenError(14, f"answered {first!r}, then {again!r}", str(where))
    return first


def check_indistinguishable(a: Response, b: Response) -> None:
    """Law 15: another tenant's id is answered (`a`) as an id that nobody has (`b`).

    Raises:
        LawBrokenError: They differ, or are no 404.
    """
    _check_same(15, first=a, second=b, where="the unknown id's answer beside the other tenant's")
    if a.status != 404:  # noqa: PLR2004 - HTTP's own number
        raise LawBrokenError(15, f"both are answered {a.status} instead of 404", "status")
