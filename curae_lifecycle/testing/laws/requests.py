"""Laws 8 to 12, 14 and 15: the answers to requests, their changes and their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
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
    """Check law 8: every account state and preference has one fixed path.

    Args:
        path: The function to check. Its arguments are an account state and whether the app prefers
            a sign-up; it returns the entry path. It is called twice for each pair of arguments.

    Raises:
        LawBrokenError: A path is wrong, or two calls with the same arguments differ.
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
    """Check law 9: a replay equals the original byte for byte, and changes nothing but buckets.

    Args:
        original: The first response as it was stored, without headers that a web server adds, such
            as `Date`.
        replay: The response to the retry, without such headers.
        changes: The changes of the retry. They may only charge buckets, the limits of an API key.

    Raises:
        LawBrokenError: The responses differ, or the changes hold an effect, an event, a charge to
            the app user's limit or any other write.
    """
    _check_same(9, first=original, second=replay, where="replay")
    for write in changes.writes:
        if not isinstance(write, RateWrite):
            raise LawBrokenError(9, "something was written", type(write).__name__)
        if not isinstance(write.key, BucketKey):
            raise LawBrokenError(9, "the app user's limit was charged", write.key.policy)
    _check_silent(9, changes)


def check_one_execution(answers: Sequence[Response], executions: int) -> None:
    """Check law 12: one idempotency key has at most one execution that takes effect.

    Args:
        answers: All answers under one key that come from an execution or from a replay. Leave out
            answers without an execution: a key in flight, a rate limit, a failure.
        executions: The number of executions that took effect, from your store or your own counter.

    Raises:
        LawBrokenError: More than one execution took effect, or two answers differ.
    """
    if executions > 1:
        raise LawBrokenError(12, f"{executions} executions took effect", "one idempotency key")
    for position, answer in enumerate(answers):
        _check_same(12, first=answers[0], second=answer, where=f"answer {position}")


def _check_same(law: int, first: Response, second: Response, where: str) -> None:
    if first.status != second.status:
        raise LawBrokenError(law, f"status {second.status} instead of {first.status}", where)
    # Another body has another Content-Length, so bodies are compared before headers.
    if first.body != second.body:
        # A body can hold a hand-off URL, so the bytes themselves are not shown.
        pairs = enumerate(zip(first.body, second.body, strict=False))
        shorter = min(len(first.body), len(second.body))
        at = next((index for index, (one, other) in pairs if one != other), shorter)
        raise LawBrokenError(law, f"bodies differ from byte {at} on", where)
    if first.headers != second.headers:
        names = sorted({name for name, _ in {*first.headers} ^ {*second.headers}})
        differs = ", ".join(names) or "their order or repetition"
        raise LawBrokenError(law, f"headers differ: {differs}", where)


def _check_silent(law: int, changes: Changes) -> None:
    for effect in changes.effects:
        raise LawBrokenError(law, "the server is asked for an effect", type(effect).__name__)
    for event in changes.events:
        raise LawBrokenError(law, "an event is emitted", str(event.kind))


# --- 10: rate limits ------------------------------------------------------------------------


def check_rate_limit(admitted: Iterable[datetime], *, limit: int = 10, seconds: int = 60) -> None:
    """Check law 10: no half-open window of `seconds` seconds holds more than `limit` calls.

    Args:
        admitted: The instants at which the calls of one app user were admitted, in any order.
        limit: The number of calls that one window may hold.
        seconds: The length of the window in seconds.

    Raises:
        LawBrokenError: A window holds more than `limit` calls.
    """
    instants = sorted(admitted)
    window = timedelta(seconds=seconds)
    for first, last in zip(instants, instants[limit:], strict=False):
        if last - first < window:
            where = f"from {first.isoformat()} to {last.isoformat()}"
            what = f"{limit + 1} admitted within {last - first}, although {seconds} s allow {limit}"
            raise LawBrokenError(10, what, where)


def check_retry_after(
    admits: Callable[[datetime], bool], refused_at: datetime, retry_after: timedelta
) -> None:
    """Check law 10: a refusal names the shortest wait after which a call is admitted.

    Args:
        admits: Returns whether a call at an instant would be admitted, given that nothing was
            charged since the refusal.
        refused_at: The instant at which a call was refused.
        retry_after: The exact wait that the refusal named, not the whole seconds of the header
            `Retry-After`, which are rounded up.

    Raises:
        LawBrokenError: The wait is not positive, a call at the end of the wait is refused, or a
            call one microsecond earlier is admitted.
    """
    then = refused_at + retry_after
    where = f"refused at {refused_at.isoformat()} with a wait of {retry_after}"
    if retry_after <= timedelta(0):
        raise LawBrokenError(10, "retry_after is not positive", where)
    if not admits(then):
        raise LawBrokenError(10, "refused again after the wait", where)
    if admits(then - TICK):
        raise LawBrokenError(10, "admitted a microsecond before the end of the wait", where)


# --- 11, 14, 15: no changes, no hidden state, no other tenant's ids --------------------------


def check_nothing_changed(before: object, after: object, changes: Changes = NO_CHANGES) -> None:
    """Check law 11: a refused or ignored request or fact changes nothing and emits nothing.

    Args:
        before: A value, or all contents of a store, before the request or fact.
        after: The same value or contents after the request or fact.
        changes: The changes of the request or fact. They may only write idempotency records and
            rate limits.

    Raises:
        LawBrokenError: `after` differs from `before`, or the changes hold an effect, an event or
            any other write.
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
    """Check law 14: the result of a function depends on its arguments alone.

    Args:
        function: The function, which is called three times.
        *args: The positional arguments of each call.
        **kwargs: The keyword arguments of each call.

    Returns:
        The result of the first call.

    Raises:
        LawBrokenError: Two calls with the same arguments returned different results, or a later
            call changed the first result.
    """
    first = function(*args, **kwargs)
    kept = _copy(first)
    for _ in range(2):
        again = function(*args, **kwargs)
        if again != kept:
            where = getattr(function, "__qualname__", repr(function))
            raise LawBrokenError(14, f"returned {kept!r}, then {again!r}", str(where))
    return first


def _copy(result: Result) -> Result:
    # A later call may change the result of the first. Some objects, such as locks, have no copy, or
    # one that is not equal to them.
    try:
        copied = deepcopy(result)
    except Exception:  # noqa: BLE001 - a class may raise anything when it is copied
        return result
    return copied if copied == result else result


def check_indistinguishable(a: Response, b: Response) -> None:
    """Check law 15: another tenant's id and an unknown id get the same response.

    Args:
        a: The response for one of the two ids.
        b: The response for the other id.

    Raises:
        LawBrokenError: The responses differ, or their status is not 404.
    """
    _check_same(15, first=a, second=b, where="another tenant's id and an unknown id")
    if a.status != 404:  # noqa: PLR2004 - HTTP's own number
        raise LawBrokenError(15, f"both have the status {a.status} instead of 404", "status")
