"""Laws 1 to 7 and 17: what connections, their revocations and their chains may be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.access import AccessDecision, Granted, decide_access
from curae_lifecycle.rules.connection import Connection, Standing
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws.law import LawBrokenError
from curae_lifecycle.testing.laws.wire import as_object, check_wire_members, listed, parsed

_REVOKED_MEMBERS: Final = frozenset({"connection", "revokedNow"})

_RANKED: Final = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")


def check_rank_never_falls(snapshots: Iterable[Connection]) -> None:
    """Law 1: a stored status only ever rises on one id.

    `snapshots` are what was stored, in the order of its storing; several ids may be mixed.
    """
    latest: dict[str, str] = {}
    for position, snapshot in enumerate(snapshots):
        status = str(snapshot.status)
        before = latest.get(snapshot.id, status)
        if _RANKED.index(status) < _RANKED.index(before):
            where = f"connection {snapshot.id}, snapshot {position}"
            raise LawBrokenError(1, f"{before} became {status}", where)
        latest[snapshot.id] = status


@attrs.frozen
class RevocationAnswer:
    """What one revocation that was executed answered; a replay is not one.

    `revoked_now` is whether it said that it was this one that revoked.
    """

    connection_id: str
    revoked_now: bool
    revoked_at: datetime | str | None

    @classmethod
    def of(cls, answer: Done[Connection] | Ignored[Connection]) -> RevocationAnswer:
        """What the library's `revoke` answered."""
        connection = answer.value
        return cls(connection.id, isinstance(answer, Done), connection.revoked_at)

    @classmethod
    def read(cls, response: Response) -> RevocationAnswer:
        """What a server answered with 200, as it is on the wire.

        Raises:
            LawBrokenError: Law 13: the body does not have the members of a revocation.
        """
        document = parsed(13, response.body)
        check_wire_members(document)
        if frozenset(document) != _REVOKED_MEMBERS:
            where = f"members {listed(document)}"
            raise LawBrokenError(13, "the body is not that of a revocation", where)
        connection = as_object(13, document["connection"], "connection")
        revoked_at = connection["revokedAt"]
        at = revoked_at if isinstance(revoked_at, str) else None
        return cls(str(connection["id"]), document["revokedNow"] is True, at)


def check_revocation(answers: Iterable[RevocationAnswer], *, revoked: Iterable[str] = ()) -> None:
    """Law 2: revoked once, at one instant, for ever.

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
    """Law 3: three snapshots of one connection join in any order to one value.

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
    """Law 4: time alone only ever moves a standing on, at whichever instants it is looked at."""
    before: str | None = None
    for now in sorted(instants):
        after = str(standing(connection, now))
        if before is not None and before != after and (before, after) not in _MAY_BECOME:
            where = f"connection {connection.id} at {now.isoformat()}"
            raise LawBrokenError(4, f"{before} became {after}", where)
        before = after


def check_access(
    connection: Connection,
    package: str,
    now: datetime,
    *,
    decide: Callable[[Connection, str, datetime], AccessDecision] = decide_access,
) -> None:
    """Law 5: a grant is for an ACTIVE connection, its package, its time."""
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
        beyond = f"beyond the end at {end.isoformat()}"
        raise LawBrokenError(5, f"granted until {until}, {beyond}", where)


def check_tombstone(
    gone: Iterable[Connection],
    now: datetime,
    *,
    decide: Callable[[Connection, str, datetime], AccessDecision] = decide_access,
) -> None:
    """Law 17: a user who is gone leaves no access behind.

    Args:
        gone: The connections that were there when the account was tombstoned, and those that
            were made later of what was read before.
        now: Any instant since.
        decide: What decides access.

    Raises:
        LawBrokenError: One of them grants access.
    """
    for each in gone:
        for package in each.identity.data_packages:
            if isinstance(decide(each, package, now), Granted):
                where = f"connection {each.id}, package {package!r} at {now.isoformat()}"
                raise LawBrokenError(17, "granted although its user is gone", where)


def check_chain(connections: Sequence[Connection], now: datetime) -> None:
    """Law 6: recoveries form one line with one living end.

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
            rivals = f"{by_predecessor[older].id} and {each.id}"
            raise LawBrokenError(6, f"{rivals} have one predecessor", f"predecessor {older}")
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
    """Law 7: a lost answer never costs a second connection.

    Args:
        answers: What reconnects answered while the successor was pending, whatever their keys:
            the id that was recovered (`previousConnectionId`) and the id of the recovery.
        stored: Connections of the store, which may show what no answer showed.

    Raises:
        LawBrokenError: One connection was recovered by two, or by itself.
    """
    successors: dict[str, str] = {}
    pairs = list(answers)
    for each in stored:
        predecessor = each.identity.predecessor_id
        if predecessor is not None:
            pairs.append((predecessor, each.id))
    for older, newer in pairs:
        where = f"connection {older}"
        if older == newer:
            raise LawBrokenError(7, "it was recovered by itself", where)
        first = successors.setdefault(older, newer)
        if first != newer:
            raise LawBrokenError(7, f"it was recovered by {first} and by {newer}", where)
