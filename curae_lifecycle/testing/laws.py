"""The sixteen laws as plain functions, to hold your own values, histories and answers against.

The law of this module: **a law is judged by what it says and not by asking the rules again**.
Each function has its own idea of what is right (its own ranks, paths, members, statuses), so a
mistake in the rules cannot hide itself here. Where a law speaks of a function (merge, standing,
access, path), that function is an argument, the library's own by default: pass yours.

Every function returns `None` where the law holds and raises `LawBrokenError` where it does not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, ParamSpec, TypeVar, cast

import attrs

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.access import AccessDecision, Granted, decide_access
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection, Standing
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import PATHS, EntryPath, Preference
from curae_lifecycle.service.changes import NO_CHANGES, BucketKey, Changes, RateWrite, RecordWrite
from curae_lifecycle.service.response import Response

LAWS: Final[Mapping[int, str]] = {
    1: "Stored rank never falls on one id.",
    2: "`revokedNow` is true exactly once per id; `revokedAt` never changes.",
    3: "Merge is commutative, associative, idempotent; REVOKED absorbs.",
    4: "Standing is monotone in `now` for a fixed record.",
    5: "Access granted implies ACTIVE now, package granted, before `valid_until`.",
    6: "A chain is acyclic and linear, of one coordinate and one set of packages, with at most "
    "one ACTIVE and one PENDING, PENDING only at its head.",
    7: "However many reconnects: one successor while it is pending.",
    8: "Path selection is total, a function of account state and preference alone.",
    9: "A replay equals the original byte for byte, writes nothing else, costs the app user "
    "nothing.",
    10: "In any half-open window at most the limit is admitted; `retry_after` is exact.",
    11: "Refused and ignored change nothing and emit nothing.",
    12: "One key, one execution: all who get an answer get the same one.",
    13: "Nothing internal is on the wire: every response has only the listed keys.",
    14: "Same inputs, same outputs.",
    15: "Another tenant's id and an unknown id are indistinguishable.",
    16: "Every input gives a value or a documented problem.",
}
"""The laws by number, as the errors quote them."""

TICK: Final = timedelta(microseconds=1)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class LawBrokenError(AssertionError):
    """A law does not hold.

    Attributes:
        law: Its number, 1 to 16.
        what: What was seen.
        where: On what: an id, an instant, a position, a member.
        rule: The law in words.
    """

    def __init__(self, law: int, what: str, where: str) -> None:
        """Say which law, what was seen and where."""
        rule = LAWS[law]
        super().__init__(f"law {law} is broken: {what}\n  where: {where}\n  law: {rule}")
        self.law = law
        self.what = what
        self.where = where
        self.rule = rule


# --- 1 to 7: connections --------------------------------------------------------------------

_RANKED: Final = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")


def check_rank_never_falls(snapshots: Iterable[Connection]) -> None:
    """Law 1 (spec section 8): a stored status only ever rises on one id.

    Args:
        snapshots: What was stored, in the order of its storing; several ids may be mixed.

    Raises:
        LawBrokenError: A snapshot ranks below an earlier one of its id.
    """
    latest: dict[str, str] = {}
    for position, snapshot in enumerate(snapshots):
        status = str(snapshot.status)
        before = latest.get(snapshot.id, status)
        if _RANKED.index(status) < _RANKED.index(before):
            raise LawBrokenError(
                1, f"{before} became {status}", f"connection {snapshot.id}, snapshot {position}"
            )
        latest[snapshot.id] = status


@attrs.frozen
class RevocationSeen:
    """What one revocation that was executed answered; a replay is not one.

    Attributes:
        connection_id: Which connection.
        revoked_now: Whether it said that it was this one that revoked.
        revoked_at: The `revokedAt` that it told, as an instant or as text.
    """

    connection_id: str
    revoked_now: bool
    revoked_at: datetime | str | None

    @classmethod
    def of(cls, answer: Done[Connection] | Ignored[Connection]) -> RevocationSeen:
        """What the library's `revoke` answered."""
        connection = answer.value
        return cls(connection.id, isinstance(answer, Done), connection.revoked_at)

    @classmethod
    def read(cls, response: Response) -> RevocationSeen:
        """What a server answered with 200, as it is on the wire.

        Raises:
            LawBrokenError: Law 13: the body does not have the members of a revocation.
        """
        document = _document(13, response.body)
        check_wire_members(document)
        if frozenset(document) != _REVOKED_MEMBERS:
            raise LawBrokenError(
                13, "the body is not that of a revocation", f"members {_listed(document)}"
            )
        connection = _object(13, document["connection"], "connection")
        at = connection["revokedAt"]
        return cls(
            str(connection["id"]),
            document["revokedNow"] is True,
            at if isinstance(at, str) else None,
        )


def check_revocation(answers: Iterable[RevocationSeen], *, revoked: Iterable[str] = ()) -> None:
    """Law 2 (spec sections 2 and 8): revoked once, at one instant, for ever.

    Args:
        answers: What the revocations of any number of ids answered, in the order in which they
            were executed. The first of each id must say that it revoked, no later one may.
        revoked: Ids that something else had revoked before; none of theirs may say so.

    Raises:
        LawBrokenError: `revokedNow` was true twice, or not the first time; `revokedAt` is
            missing or moved.
    """
    before = set(revoked)
    instants: dict[str, datetime | str] = {}
    for position, answer in enumerate(answers):
        where = f"connection {answer.connection_id}, answer {position}"
        if answer.revoked_now and answer.connection_id in before:
            raise LawBrokenError(2, "revokedNow is true although it was revoked before", where)
        if not answer.revoked_now and answer.connection_id not in before:
            raise LawBrokenError(2, "revokedNow is false although it was never revoked", where)
        before.add(answer.connection_id)
        at = answer.revoked_at
        if at is None:
            raise LawBrokenError(2, "revokedAt is missing", where)
        first = instants.setdefault(answer.connection_id, at)
        if first != at:
            raise LawBrokenError(2, f"revokedAt moved from {first} to {at}", where)


def check_merge(
    a: Connection,
    b: Connection,
    c: Connection,
    *,
    merge: Callable[[Connection, Connection], Connection] = merging.merge,
) -> None:
    """Law 3 (spec sections 2 and 8): snapshots join in any order to one value.

    Args:
        a: A snapshot.
        b: Another snapshot of the same connection.
        c: A third one.
        merge: The function that joins two.

    Raises:
        LawBrokenError: The order, the grouping or a repetition matters, or a revocation is lost.
    """
    where = f"connection {a.id}, statuses {a.status}, {b.status}, {c.status}"
    for left, right in itertools.permutations((a, b, c), 2):
        joined = merge(left, right)
        if joined != merge(right, left):
            raise LawBrokenError(3, "merge(x, y) is not merge(y, x)", where)
        if "REVOKED" in {left.status, right.status} and joined.status != "REVOKED":
            raise LawBrokenError(3, f"a revocation was lost: {joined.status}", where)
    if merge(merge(a, b), c) != merge(a, merge(b, c)):
        raise LawBrokenError(3, "merge(merge(x, y), z) is not merge(x, merge(y, z))", where)
    for each in (a, b, c):
        if merge(each, each) != each:
            raise LawBrokenError(3, "merge(x, x) is not x", where)


_MAY_BECOME: Final = frozenset(
    {("PENDING", "LAPSED"), ("ACTIVE", "EXPIRED"), ("ACTION_REQUIRED", "EXPIRED")}
)


def check_standing_is_monotone(
    connection: Connection,
    instants: Iterable[datetime],
    *,
    standing: Callable[[Connection, datetime], Standing] = rules.standing,
) -> None:
    """Law 4 (spec sections 2 and 8): time alone only ever moves a standing on.

    Args:
        connection: The connection as stored.
        instants: When to look, in any order.
        standing: The function that tells the standing at an instant.

    Raises:
        LawBrokenError: Between two instants the standing became one that time does not bring.
    """
    before: str | None = None
    for now in sorted(instants):
        after = str(standing(connection, now))
        if before is not None and before != after and (before, after) not in _MAY_BECOME:
            raise LawBrokenError(
                4, f"{before} became {after}", f"connection {connection.id} at {now.isoformat()}"
            )
        before = after


def check_access(
    connection: Connection,
    package: str,
    now: datetime,
    *,
    decide: Callable[[Connection, str, datetime], AccessDecision] = decide_access,
) -> None:
    """Law 5 (spec sections 2 and 8): a grant is for an ACTIVE connection, its package, its time.

    Args:
        connection: The connection as stored.
        package: The data package that is asked for.
        now: The instant.
        decide: The function that decides.

    Raises:
        LawBrokenError: Access is granted where it may not be, or for longer.
    """
    decision = decide(connection, package, now)
    if not isinstance(decision, Granted):
        return
    where = f"connection {connection.id}, package {package!r} at {now.isoformat()}"
    until, end = decision.valid_until, connection.expires_at
    if connection.status != "ACTIVE":
        raise LawBrokenError(5, f"granted although the status is {connection.status}", where)
    if end is not None and end <= now:
        raise LawBrokenError(5, f"granted although it was over at {end.isoformat()}", where)
    if package not in connection.identity.data_packages:
        raise LawBrokenError(5, "granted although the package is not of the connection", where)
    if until is not None and until <= now:
        raise LawBrokenError(5, f"granted until {until.isoformat()}, which is over", where)
    if end is not None and (until is None or until > end):
        raise LawBrokenError(
            5, f"granted until {until}, beyond the end at {end.isoformat()}", where
        )


def check_chain(connections: Sequence[Connection], now: datetime) -> None:
    """Law 6 (spec sections 2 and 8): recoveries form one line with one living end.

    Args:
        connections: All connections of one chain, in any order.
        now: The instant to look at, no earlier than anything that is stored.

    Raises:
        LawBrokenError: A fork, a cycle, a gap, a second coordinate or set of packages, a second
            ACTIVE or PENDING, or a PENDING that is not the newest.
    """
    line = _line(connections)
    alive: set[str] = set()
    for each in line:
        where = f"connection {each.id} at {now.isoformat()}"
        _check_kin(each, line[0], where)
        pending = each.status == "PENDING"
        end = each.handoff_deadline if pending else each.expires_at
        if each.status not in {"PENDING", "ACTIVE"} or (end is not None and end <= now):
            continue
        if each.status in alive:
            raise LawBrokenError(6, f"a second {each.status}", where)
        if pending and each is not line[-1]:
            raise LawBrokenError(6, "PENDING although it has a successor", where)
        alive.add(each.status)


def _line(connections: Sequence[Connection]) -> list[Connection]:
    # The chain from its first connection on, if it is one line.
    by_predecessor: dict[str | None, Connection] = {}
    for each in connections:
        older = each.identity.predecessor_id
        if older in by_predecessor:
            raise LawBrokenError(
                6,
                f"{by_predecessor[older].id} and {each.id} have one predecessor",
                f"predecessor {older}",
            )
        by_predecessor[older] = each
    line: list[Connection] = []
    following = by_predecessor.pop(None, None)
    while following is not None:
        line.append(following)
        following = by_predecessor.pop(following.id, None)
    if by_predecessor:
        left = ", ".join(sorted(each.id for each in by_predecessor.values()))
        raise LawBrokenError(6, "not reached from the chain's first: a cycle or a gap", left)
    return line


def _check_kin(each: Connection, root: Connection, where: str) -> None:
    identity, first = each.identity, root.identity
    if identity.coordinate != first.coordinate:
        raise LawBrokenError(6, "another coordinate than the chain's first", where)
    if identity.data_packages != first.data_packages:
        raise LawBrokenError(6, "other data packages than the chain's first", where)
    if identity.root_id != first.id:
        raise LawBrokenError(6, f"its root is {identity.root_id}, not {first.id}", where)


def check_one_pending_successor(
    answers: Iterable[tuple[str, str]], *, stored: Iterable[Connection] = ()
) -> None:
    """Law 7 (spec sections 2 and 8): a lost answer never costs a second connection.

    Args:
        answers: What reconnects answered while the successor was pending, whatever their keys:
            the id that was recovered (`previousConnectionId`) and the id of the recovery.
        stored: Connections of the store, which may show what no answer told.

    Raises:
        LawBrokenError: One connection was recovered by two, or by itself.
    """
    successors: dict[str, str] = {}
    told = list(answers)
    for each in stored:
        predecessor = each.identity.predecessor_id
        if predecessor is not None:
            told.append((predecessor, each.id))
    for older, newer in told:
        where = f"connection {older}"
        if older == newer:
            raise LawBrokenError(7, "it was recovered by itself", where)
        first = successors.setdefault(older, newer)
        if first != newer:
            raise LawBrokenError(7, f"it was recovered by {first} and by {newer}", where)


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
    preference = Preference.SIGN_UP if prefer_signup else Preference.NONE
    return PATHS[state, preference].outcome.path


def check_paths(path: Callable[[AccountState, bool], EntryPath] = _path) -> None:
    """Law 8 (spec sections 3 and 8): every account state and preference has its one path.

    Args:
        path: Tells the path of a state and of whether a sign-up is preferred; each pair is
            asked twice.

    Raises:
        LawBrokenError: Another path than the spec's, or two answers to one question.
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
    """Law 9 (spec sections 4, 5 and 8): a replay is the answer again and nothing else.

    Args:
        original: What was answered first, as it was kept (without `Date` and the like).
        replay: What the retry got.
        changes: What the retry wrote, did and told; only buckets of an API key may be charged.

    Raises:
        LawBrokenError: A byte differs, something was written, done or told, or the app user
            paid.
    """
    _check_same(9, original, replay, "replay")
    for write in changes.writes:
        if not isinstance(write, RateWrite):
            raise LawBrokenError(9, "something was written", type(write).__name__)
        if not isinstance(write.key, BucketKey):
            raise LawBrokenError(9, "the app user's limit was charged", write.key.policy)
    _check_silent(9, changes)


def check_one_execution(answers: Sequence[Response], executions: int) -> None:
    """Law 12 (spec sections 4 and 8): retries, crashes and lost answers make no second one.

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
        _check_same(12, answers[0], answer, f"answer {position}")


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
    """Law 10 (spec sections 5 and 8): no window of that length holds more than the limit.

    Args:
        admitted: When one app user's calls were admitted, in any order.
        limit: How many a window may hold.
        seconds: The length of the half-open window.

    Raises:
        LawBrokenError: A window holds one more.
    """
    instants = sorted(admitted)
    window = timedelta(seconds=seconds)
    for first, last in zip(instants, instants[limit:], strict=False):
        if last - first < window:
            raise LawBrokenError(
                10,
                f"{limit + 1} admitted within {last - first}, at most {limit} in {seconds} s",
                f"from {first.isoformat()} to {last.isoformat()}",
            )


def check_retry_after(
    admits: Callable[[datetime], bool], refused_at: datetime, retry_after: timedelta
) -> None:
    """Law 10 (spec sections 5 and 8): the wait that is told is enough, and no less would be.

    Args:
        admits: Whether a call at an instant would be admitted, with nothing charged since.
        refused_at: When a call was refused.
        retry_after: The exact wait that was told (a header rounds it up to whole seconds).

    Raises:
        LawBrokenError: It is refused after the wait, or admitted a microsecond earlier.
    """
    then = refused_at + retry_after
    where = f"refused at {refused_at.isoformat()}, told to wait {retry_after}"
    if retry_after <= timedelta(0):
        raise LawBrokenError(10, "retry_after is no time at all", where)
    if not admits(then):
        raise LawBrokenError(10, "refused again when the wait is over", where)
    if admits(then - TICK):
        raise LawBrokenError(10, "admitted a microsecond before the wait is over", where)


# --- 11, 14, 15: nothing changed, nothing hidden, nothing told ------------------------------


def check_nothing_changed(before: object, after: object, changes: Changes = NO_CHANGES) -> None:
    """Law 11 (spec sections 2, 6 and 8): refused and ignored leave no trace.

    Args:
        before: A value, or all that a store held, before.
        after: The same afterwards.
        changes: What was written, done and told; the idempotency record and the rate limits
            may be.

    Raises:
        LawBrokenError: Something changed, or something was done or told.
    """
    if before != after:
        raise LawBrokenError(11, f"{before!r} became {after!r}", type(before).__name__)
    for write in changes.writes:
        if not isinstance(write, RecordWrite | RateWrite):
            raise LawBrokenError(11, "something was written", type(write).__name__)
    _check_silent(11, changes)


def check_deterministic(
    function: Callable[Parameters, Result],
    /,
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """Law 14 (spec sections 1 and 8): the arguments are all that an answer depends on.

    Args:
        function: What to call, three times.
        *args: Its arguments.
        **kwargs: The same.

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
    """Law 15 (spec sections 6, 7 and 8): nothing tells another's id from an unknown one.

    Args:
        a: The answer to an id of another tenant.
        b: The answer to the same request with an id that nobody has.

    Raises:
        LawBrokenError: They differ, or are no 404.
    """
    _check_same(15, a, b, "the unknown id's answer beside the other tenant's")
    if a.status != 404:  # noqa: PLR2004 - HTTP's own number
        raise LawBrokenError(15, f"both are answered {a.status} instead of 404", "status")


# --- 13 and 16: the wire --------------------------------------------------------------------

_CONNECTION: Final = frozenset(
    [
        "id",
        "customerAccountId",
        "appUserId",
        "status",
        "dataPackages",
        "authorizedAt",
        "expiresAt",
        "revokedAt",
        "actionRequiredReason",
        "createdAt",
        "updatedAt",
    ]
)
_SESSION: Final = frozenset(
    [
        "id",
        "customerAccountId",
        "appUserId",
        "path",
        "handoff",
        "createdAt",
        "expiresAt",
        "landedAt",
    ]
)
_NEXT_ACTION: Final = frozenset({"type", "url", "expiresAt"})
_PROBLEM: Final = frozenset(["type", "title", "status", "detail", "code", "details", "retryable"])
_REVOKED_MEMBERS: Final = frozenset({"connection", "revokedNow"})
_BODIES: Final = frozenset(
    {
        frozenset({"connection", "nextAction"}),
        frozenset({"connection"}),
        frozenset({"connection", "previousConnectionId", "nextAction"}),
        frozenset({"session", "nextAction"}),
        frozenset({"nextAction"}),
        frozenset({"lifecycleState"}),
        _REVOKED_MEMBERS,
    }
)
_PARTS: Final = {"connection": _CONNECTION, "session": _SESSION, "nextAction": _NEXT_ACTION}

_CODES: Final[Mapping[str, tuple[int, bool, tuple[str, ...]]]] = {
    "BAD_REQUEST": (400, False, ("member", "fault")),
    "IDEMPOTENCY_KEY_REQUIRED": (400, False, ()),
    "IDEMPOTENCY_KEY_INVALID": (400, False, ()),
    "IDEMPOTENCY_KEY_NOT_ALLOWED": (400, False, ()),
    "UNAUTHENTICATED": (401, False, ()),
    "SCOPE_INSUFFICIENT": (403, False, ("scope",)),
    "WRONG_ENVIRONMENT": (403, False, ("environment",)),
    "CONNECTION_ACCESS_DENIED": (403, False, ("connectionId", "dataPackage", "reason")),
    "NOT_FOUND": (404, False, ()),
    "CONNECTION_NOT_RECONNECTABLE": (409, False, ("connectionId", "reason")),
    "CONNECTION_SUPERSEDED": (409, False, ("connectionId", "nextConnectionId")),
    "CONNECTION_NOT_PENDING": (409, False, ("connectionId", "standing")),
    "HANDOFF_LAPSED": (409, False, ("connectionId", "deadline")),
    "SESSION_EXPIRED": (409, False, ("sessionId", "expiresAt")),
    "HANDOFF_NOT_REQUIRED": (409, False, ("sessionId", "path")),
    "BINDING_CHANGED": (409, False, ("lifecycleState",)),
    "BINDING_CONFLICT": (409, False, ("lifecycleState",)),
    "BINDING_NOT_LIMITED": (409, False, ("lifecycleState",)),
    "IDEMPOTENCY_KEY_IN_FLIGHT": (409, True, ("retryAfter",)),
    "IDEMPOTENCY_OUTCOME_UNKNOWN": (409, False, ()),
    "IDEMPOTENCY_KEY_FORGOTTEN": (409, False, ()),
    "IDEMPOTENCY_KEY_REUSED": (422, False, ("differs",)),
    "RATE_LIMITED": (429, True, ("policy", "retryAfter")),
    "INTERNAL": (500, True, ()),
}


def check_wire_members(body: bytes | str | Mapping[str, object]) -> None:
    """Law 13 (spec sections 2, 3, 6, 7 and 8): a response has the listed members and no others.

    Args:
        body: A response's body, as bytes, as text or parsed. An empty one (304) has none.

    Raises:
        LawBrokenError: A member that is not listed, or one that is missing.
    """
    document = _document(13, body) if isinstance(body, bytes | str) else body
    if "code" in document:
        _check_problem_members(document)
        return
    if document and frozenset(document) not in _BODIES:
        raise LawBrokenError(13, "no response has these members", _listed(document))
    for name, members in _PARTS.items():
        if name in document:
            _check_members(_object(13, document[name], name), members, name)


def _check_problem_members(document: Mapping[str, object]) -> None:
    code = document["code"]
    known = _CODES.get(code) if isinstance(code, str) else None
    if known is None:
        raise LawBrokenError(13, f"the code {code!r} is not listed", "code")
    # The server's own URI of the occurrence; a 404 tells nothing apart, so it has none.
    optional = frozenset({"instance"} if code != "NOT_FOUND" else ())
    _check_members(document, _PROBLEM, "problem", optional)
    details = _object(13, document["details"], "details")
    _check_members(details, frozenset(known[2]), f"details of {code}")


def _check_members(
    document: Mapping[str, object],
    members: frozenset[str],
    where: str,
    optional: frozenset[str] = frozenset(),
) -> None:
    unlisted = document.keys() - members - optional
    if unlisted:
        raise LawBrokenError(13, f"not listed: {_listed(unlisted)}", where)
    missing = members - document.keys()
    if missing:
        raise LawBrokenError(13, f"missing: {_listed(missing)}", where)


def check_documented(response: Response) -> None:
    """Law 16 (spec sections 6, 7 and 8): whatever was asked, the answer is a documented one.

    Args:
        response: The answer to any request, however malformed.

    Raises:
        LawBrokenError: Neither a success nor a problem of the catalogue with its own status,
            media type and `retryable`. Law 13: its members are not the listed ones.
    """
    where = f"status {response.status}"
    if response.status == 304:  # noqa: PLR2004 - HTTP's own number
        if response.body:
            raise LawBrokenError(16, "a 304 has a body", where)
        return
    document = _document(16, response.body)
    if not document:
        raise LawBrokenError(16, "the body is empty", where)
    check_wire_members(document)
    if "code" not in document:
        if response.status not in {200, 201}:
            raise LawBrokenError(16, "no problem, and no status of success either", where)
        return
    status, retryable, _ = _CODES[str(document["code"])]
    if not response.status == document["status"] == status:
        raise LawBrokenError(16, f"{document['code']} is answered with {status}", where)
    if document["retryable"] is not retryable:
        raise LawBrokenError(16, f"{document['code']} has retryable {retryable}", where)
    kinds = [value for name, value in response.headers if name.lower() == "content-type"]
    if kinds != ["application/problem+json"]:
        raise LawBrokenError(16, f"a problem with the media type {kinds}", where)


def _document(law: int, body: bytes | str) -> Mapping[str, object]:
    if not body:
        return {}
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise LawBrokenError(law, "the body is no JSON", "body") from None
    return _object(law, value, "body")


def _object(law: int, value: object, where: str) -> Mapping[str, object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise LawBrokenError(law, "it is no object", where)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
