"""Laws 1 to 7 and 17: connections, their revocations, their chains and their access."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

import attrs

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.access import AccessDecision, Granted, decide_access
from curae_lifecycle.rules.connection import Connection, Standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.values import parse_time
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws.law import LawBrokenError
from curae_lifecycle.testing.laws.wire import (
    check_wire_members,
    format_names,
    parse_object,
    require_object,
)


class StandingRule(Protocol):
    """The type of a function such as `rules.connection.standing`, for the laws to check.

    The function returns what a connection is at an instant.
    """

    def __call__(
        self, connection: Connection, now: datetime, /, *, era: datetime | None
    ) -> Standing:
        """Return the standing: what a connection is at the instant `now`, such as EXPIRED.

        `era` is when the last tombstone of the connection's coordinate was recorded; `None` before
        the first.
        """
        ...


class AccessRule(Protocol):
    """The type of a function such as `rules.access.decide_access`, for the laws to check.

    The function decides whether a connection gives access to a data package.
    """

    def __call__(
        self, connection: Connection, package: str, now: datetime, /, *, era: datetime | None
    ) -> AccessDecision:
        """Return the decision whether the connection lets the package be read at `now`.

        `era` is when the last tombstone of the connection's coordinate was recorded; `None` before
        the first.
        """
        ...


_REVOKED_MEMBERS: Final = frozenset({"connection", "revokedNow"})

_RANKED: Final = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")


def check_rank_never_falls(snapshots: Iterable[Connection]) -> None:
    """Check law 1: the stored status of one connection never falls in rank.

    The ranks are, from low to high: PENDING, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED.

    Args:
        snapshots: The stored values of any number of connections, in the order in which they were
            stored.

    Raises:
        LawBrokenError: The rank of a connection's status fell.
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
    """The answer to one executed revocation. A replay is not an execution.

    Attributes:
        connection_id: The id of the connection.
        revoked_now: Whether the answer says that this execution revoked the connection.
        revoked_at: The instant of the revocation as the answer states it: a datetime from the
            library, text from a server's response; `None` if it is null or not text.
    """

    connection_id: str
    revoked_now: bool
    revoked_at: datetime | str | None

    @classmethod
    def of(cls, answer: Done[Connection] | Ignored[Connection]) -> RevocationAnswer:
        """Build the answer from a result of the rule `rules.triggers.revoke`.

        `Done` means that this call revoked the connection, so `revoked_now` is true. `Ignored`
        means that the connection was revoked before, so `revoked_now` is false.
        """
        connection = answer.value
        return cls(connection.id, isinstance(answer, Done), connection.revoked_at)

    @classmethod
    def read(cls, response: Response) -> RevocationAnswer:
        """Read the answer from a server's response with status 200.

        Raises:
            LawBrokenError: Law 13 is broken: the body does not have the members of a revocation.
        """
        document = parse_object(13, response.body)
        check_wire_members(document)
        if frozenset(document) != _REVOKED_MEMBERS:
            where = f"members {format_names(document)}"
            raise LawBrokenError(13, "the body is not that of a revocation", where)
        connection = require_object(13, document["connection"], "connection")
        revoked_at = connection["revokedAt"]
        at = revoked_at if isinstance(revoked_at, str) else None
        return cls(str(connection["id"]), document["revokedNow"] is True, at)


def check_revocation(answers: Iterable[RevocationAnswer], *, revoked: Iterable[str] = ()) -> None:
    """Check law 2: a connection is revoked once, and its `revokedAt` never changes.

    Args:
        answers: The answers to revocations of any number of ids, in the order of their execution.
            The first answer for each id must have `revoked_now` true, and no later one may.
        revoked: The ids that were already revoked by other means. None of their answers may have
            `revoked_now` true.

    Raises:
        LawBrokenError: `revokedNow` is true for an id that was revoked before, or false for one
            that was not; or `revokedAt` is missing or differs from an earlier answer.
    """
    before = set(revoked)
    instants: dict[str, datetime | str] = {}
    for position, answer in enumerate(answers):
        where = f"connection {answer.connection_id}, answer {position}"
        if answer.revoked_now and answer.connection_id in before:
            raise LawBrokenError(
                2, "revokedNow is true although the connection was revoked before", where
            )
        if not answer.revoked_now and answer.connection_id not in before:
            raise LawBrokenError(
                2, "revokedNow is false although the connection was never revoked", where
            )
        before.add(answer.connection_id)
        at = answer.revoked_at
        if at is None:
            raise LawBrokenError(2, "revokedAt is missing", where)
        first = instants.setdefault(answer.connection_id, at)
        if _instant(first) != _instant(at):
            raise LawBrokenError(2, f"revokedAt moved from {first} to {at}", where)


def _instant(revoked_at: datetime | str) -> datetime | str:
    # Answers of the library and of a server's responses may be mixed.
    if isinstance(revoked_at, str):
        with suppress(ArgumentError):
            return parse_time("revokedAt", revoked_at)
    return revoked_at


def check_merge(
    a: Connection,
    b: Connection,
    c: Connection,
    *,
    merge: Callable[[Connection, Connection], Connection] = merging.merge,
) -> None:
    """Check law 3: three snapshots of one connection merge to the same value in any order.

    Args:
        a: A snapshot.
        b: A second snapshot of the same connection.
        c: A third snapshot of the same connection.
        merge: The function to check, which merges two snapshots.

    Raises:
        LawBrokenError: The order, the grouping or a repetition changes the result, or a revocation
            is lost.
    """
    where = f"connection {a.id}, statuses {a.status}, {b.status}, {c.status}"
    for left, right in itertools.permutations((a, b, c), 2):
        joined = merge(left, right)
        if joined != merge(right, left):
            raise LawBrokenError(3, "merge(x, y) is not merge(y, x)", where)
        if "REVOKED" in {left.status, right.status} and joined.status != "REVOKED":
            raise LawBrokenError(3, f"a revocation was lost: {joined.status}", where)
    joined = merge(a, merge(b, c))
    for x, y, z in itertools.permutations((a, b, c)):
        if not merge(merge(x, y), z) == merge(x, merge(y, z)) == joined:
            what = "merge(merge(x, y), z) is not merge(x, merge(y, z)) in every order"
            raise LawBrokenError(3, what, where)
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
    era: datetime | None,
    standing: StandingRule = rules.standing,
) -> None:
    """Check law 4: time alone only moves a standing forward.

    Time alone may change PENDING to LAPSED, and ACTIVE or ACTION_REQUIRED to EXPIRED.

    Args:
        connection: The connection, which stays the same.
        instants: The instants at which to compare the connection's standings, in any order.
        era: When the last tombstone of the connection's coordinate was recorded; `None` before the
            first. It is the same at all instants.
        standing: The function to check, which returns the standing of a connection at an instant.

    Raises:
        LawBrokenError: From one instant to the next, the standing changed in another way.
    """
    before: str | None = None
    for now in sorted(instants):
        after = str(standing(connection, now, era=era))
        if before is not None and before != after and (before, after) not in _MAY_BECOME:
            where = f"connection {connection.id} at {now.isoformat()}"
            raise LawBrokenError(4, f"{before} became {after}", where)
        before = after


def check_access(
    connection: Connection,
    package: str,
    now: datetime,
    *,
    era: datetime | None,
    decide: AccessRule = decide_access,
) -> None:
    """Check law 5: access is granted only while a connection is ACTIVE and for its packages.

    A denial always passes.

    Args:
        connection: The connection.
        package: The data package.
        now: The instant to decide for.
        era: When the last tombstone of the connection's coordinate was recorded; `None` before the
            first.
        decide: The function to check, which decides access by a connection to a data package.

    Raises:
        LawBrokenError: Access is granted although the connection is not ACTIVE at `now`, has a
            `revoked_at`, was made in another era or lacks the package. Or the grant has ended by
            `now`, or lasts longer than the connection.
    """
    decision = decide(connection, package, now, era=era)
    if not isinstance(decision, Granted):
        return
    where = f"connection {connection.id}, package {package!r} at {now.isoformat()}"
    until, end = decision.valid_until, connection.expires_at
    if connection.status != "ACTIVE":
        raise LawBrokenError(5, f"granted although the status is {connection.status}", where)
    if connection.revoked_at is not None:
        raise LawBrokenError(5, "granted although the connection has a revokedAt", where)
    if connection.identity.era != era:
        raise LawBrokenError(5, "granted although the connection is of another era", where)
    if end is not None and end <= now:
        raise LawBrokenError(5, f"granted although it expired at {end.isoformat()}", where)
    if package not in connection.identity.data_packages:
        raise LawBrokenError(
            5, "granted although the connection does not include the package", where
        )
    if until is not None and until <= now:
        raise LawBrokenError(5, f"granted until {until.isoformat()}, which has passed", where)
    if end is not None and (until is None or until > end):
        granted = "without an end" if until is None else f"until {until.isoformat()}"
        what = f"granted {granted} although the connection ends at {end.isoformat()}"
        raise LawBrokenError(5, what, where)


def check_tombstone(
    gone: Iterable[Connection],
    now: datetime,
    *,
    era: datetime | None,
    decide: AccessRule = decide_access,
) -> None:
    """Check law 17: no connection that was made before a tombstone grants access.

    Args:
        gone: The connections of the coordinate that existed when the tombstone was recorded, and
            those that were created later from values loaded before it.
        now: An instant that is not before the tombstone.
        era: The argument `era` of `decide`: when the coordinate's last tombstone was recorded.
        decide: The function to check, which decides access by a connection to a data package.

    Raises:
        LawBrokenError: One of the connections grants access.
    """
    for each in gone:
        for package in each.identity.data_packages:
            if isinstance(decide(each, package, now, era=era), Granted):
                where = f"connection {each.id}, package {package!r} at {now.isoformat()}"
                raise LawBrokenError(
                    17, "granted although a tombstone came after it was made", where
                )


def check_chain(connections: Sequence[Connection], now: datetime, *, era: datetime | None) -> None:
    """Check law 6: a chain is linear, and only its newest connection is PENDING.

    A PENDING connection past the deadline of its hand-off does not count as PENDING. An ACTIVE one
    past its `expires_at` does not count as ACTIVE. A connection of another era counts as neither.

    Args:
        connections: All connections of one chain, in any order.
        now: The instant to judge at. No stored instant may be later.
        era: When the last tombstone of the chain's coordinate was recorded; `None` before the
            first.

    Raises:
        LawBrokenError: The chain has a fork, a cycle, a gap, a wrong root id, a second coordinate
            or set of packages, a second ACTIVE or PENDING, or a PENDING that is not the newest.
    """
    line = _line(connections)
    alive: set[str] = set()
    for each in line:
        where = f"connection {each.id} at {now.isoformat()}"
        _check_same_chain(each, line[0], where)
        pending = each.status == "PENDING"
        end = each.handoff_deadline if pending else each.expires_at
        if each.status not in {"PENDING", "ACTIVE"} or (end is not None and end <= now):
            continue
        if each.identity.era != era:
            continue
        if each.status in alive:
            raise LawBrokenError(6, f"a second {each.status}", where)
        if pending and each is not line[-1]:
            raise LawBrokenError(6, "PENDING although it has a successor", where)
        alive.add(each.status)


def _line(connections: Sequence[Connection]) -> list[Connection]:
    by_predecessor: dict[str | None, Connection] = {}
    for each in connections:
        older = each.identity.predecessor_id
        if older in by_predecessor:
            rivals = f"{by_predecessor[older].id} and {each.id}"
            where = f"predecessor {older}"
            raise LawBrokenError(6, f"{rivals} have the same predecessor", where)
        by_predecessor[older] = each
    line: list[Connection] = []
    following = by_predecessor.pop(None, None)
    while following is not None:
        line.append(following)
        following = by_predecessor.pop(following.id, None)
    if by_predecessor:
        left = ", ".join(sorted(each.id for each in by_predecessor.values()))
        raise LawBrokenError(6, "not reachable from the root: a cycle or a gap", left)
    return line


def _check_same_chain(each: Connection, root: Connection, where: str) -> None:
    identity, first = each.identity, root.identity
    if identity.coordinate != first.coordinate:
        raise LawBrokenError(6, "its coordinate is not that of the root", where)
    if identity.data_packages != first.data_packages:
        raise LawBrokenError(6, "its data packages are not those of the root", where)
    if identity.root_id != first.id:
        raise LawBrokenError(6, f"its root is {identity.root_id}, not {first.id}", where)


def check_one_pending_successor(
    answers: Iterable[tuple[str, str]], *, stored: Iterable[Connection] = ()
) -> None:
    """Check law 7: while a successor is pending, no reconnect makes another one.

    A reconnect with another idempotency key must make none, either.

    Args:
        answers: The answers to reconnects while the successor was pending. Each is a pair: the id
            of the recovered connection (`previousConnectionId`) and the id of the new one.
        stored: Stored connections; each counts as the successor of its predecessor, if it has one.

    Raises:
        LawBrokenError: A connection has two successors or is its own successor.
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
