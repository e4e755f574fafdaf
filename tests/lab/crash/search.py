"""A search for an order of operations that explains everything that was seen.

The laws of this module: **an order is found only by executing it**, one operation after the other
in `world`, each within its time span and with its response; **an undecided search is reported**,
and never counts as a pass.

It is a depth-first search by Wing and Gong, with Lowe's memory of tried states. An operation that
changes nothing and gives its response is placed at once: it can disturb nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, next_deadline
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath
from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, UserId, parse_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.keys import key_of, record_key
from curae_lifecycle.stores.new_ids import NEXT_ACTION_LIFETIME
from tests.lab import judge
from tests.lab.crash.history import TICK, Operation, at
from tests.lab.crash.world import (
    DONE,
    Asked,
    Place,
    Posted,
    Rest,
    Told,
    Visited,
    World,
    forgets_until,
)
from tests.lab.judge import as_kept

BUDGET: Final = 100_000
"""The most executions of operations for one history."""

_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_SECOND: Final = timedelta(seconds=1)
_TOLERANCE: Final = timedelta(milliseconds=1)
_OF_USERS: Final = ('"initiate";', '"graduation";')
"""The limits of app users, as a 429 names them."""


@attrs.frozen
class Verdict:
    """The result of a search.

    Attributes:
        is_explained: Whether there is an order; None if the search was given up.
        executed: The number of executed operations.
        placed: The number of operations in the longest order found.
        stuck: The operations of which none could be the next in it.
        differs: What is stored otherwise than after it.
    """

    is_explained: bool | None
    executed: int
    placed: int
    stuck: tuple[Operation, ...] = ()
    differs: tuple[str, ...] = ()


@attrs.frozen
class _Step:
    """An operation as the search sees it.

    Attributes:
        lo: The earliest instant that its server may have seen.
        hi: The latest.
        is_sure: Whether it must be in the order.
    """

    operation: Operation
    lo: datetime
    hi: datetime
    ends: float
    is_sure: bool
    new_ids: NewIds
    record: Record | None
    record_place: Place | None
    hint: float


@attrs.define
class _Node:
    """A node of the search: the placed operations, the world, and the next candidates."""

    done: int
    world: World
    order: int
    moves: Iterator[tuple[int, World]]
    """Each next operation as its bit, or 0 for a commit of a sweep, and the world after it."""


class Search:
    """The search of one history.

    Args:
        operations: The operations of one user since the last rest.
        base: The user's values then.
        rest: The user's values now, at rest.
        ahead: How far the clock of all servers is ahead, in microseconds.
        until: The time of the rest, in microseconds of the true clock.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        base: Rest,
        rest: Rest,
        *,
        ahead: int,
        until: int,
        budget: int = BUDGET,
    ) -> None:
        self._base, self._rest = base, rest
        self._ahead, self._until = ahead, until
        self._budget = budget
        self._executed = 0
        self._told = sorted(_told(rest) | _eras(rest))
        made = [step for each in operations for step in self._steps(each)]
        self._made = sorted(made, key=lambda step: step.hint)
        self._sure = sum(1 << number for number, each in enumerate(self._made) if each.is_sure)
        # For an operation with a key that may have happened, the world says whether it has.
        self._told_apart = ~sum(
            1 << number
            for number, each in enumerate(self._made)
            if not each.is_sure and each.record_place is not None
        )

    def run(self) -> Verdict:
        """Look for an order."""
        seen: set[tuple[object, ...]] = set()
        best, stuck = -1, (0, World(self._base))
        stack = [self._node(0, World(self._base))]
        while stack:
            node = stack[-1]
            if node.order > best:
                best, stuck = node.order, (node.done, node.world)
            if node.done & self._sure == self._sure and node.world.is_at(self._rest):
                return Verdict(True, self._executed, node.order)
            if self._executed > self._budget:
                return Verdict(
                    is_explained=None,
                    executed=self._executed,
                    placed=best,
                    stuck=self._open(*stuck),
                    differs=stuck[1].differences(self._rest),
                )
            move = next(node.moves, None)
            if move is None:
                stack.pop()
                continue
            bit, world = move
            done = node.done | bit
            mark = (done & self._told_apart, *world.mark())
            if mark not in seen:
                seen.add(mark)
                stack.append(self._node(done, world))
        return Verdict(
            is_explained=False,
            executed=self._executed,
            placed=best,
            stuck=self._open(*stuck),
            differs=stuck[1].differences(self._rest),
        )

    def _node(self, done: int, world: World) -> _Node:
        # Operations that change nothing come at once, before their successors are tried.
        tried = set[int]()
        while new := set(self._next(done)) - tried:
            tried |= new
            for number in new:
                step = self._made[number]
                if not step.is_sure or _is_open(step.operation):
                    continue
                if any(after is world for after in self._after(step, world)):
                    done |= 1 << number
        return _Node(
            done=done,
            world=world,
            order=(done & self._sure).bit_count(),
            moves=self._moves(done, world),
        )

    def _moves(self, done: int, world: World) -> Iterator[tuple[int, World]]:
        # A sweep follows its tombstone at once, if nothing goes wrong.
        for changes in (*world.sweep_batches(self._rest), *world.sweep_ends(is_done=True)):
            yield from self._swept(world, changes)
        alike = set[tuple[object, ...]]()
        # Of several identical operations the latest is taken, since earlier ones fit as well.
        for number in sorted(self._next(done), key=self._order):
            step = self._made[number]
            for after in self._after(step, world):
                if after is world and not _is_open(step.operation):
                    continue
                if _has_twins(step):
                    mark = (step.operation.work, *after.mark())
                    if mark in alike:
                        continue
                    alike.add(mark)
                yield 1 << number, after
        for changes in world.sweep_ends(is_done=False):
            yield from self._swept(world, changes)

    def _swept(self, world: World, changes: Changes) -> Iterator[tuple[int, World]]:
        self._executed += 1
        after = world.after(changes, self._rest)
        if after is not None:
            yield 0, after

    def _order(self, number: int) -> tuple[bool, int]:
        is_alike = _has_twins(self._made[number])
        return is_alike, -number if is_alike else number

    def _next(self, done: int) -> list[int]:
        left = [number for number in range(len(self._made)) if not done >> number & 1]
        first = min((self._made[number].ends for number in left), default=0.0)
        return [number for number in left if self._made[number].operation.invoked <= first]

    def _open(self, done: int, world: World) -> tuple[Operation, ...]:
        del world
        left = self._next(done)
        return tuple([self._made[each].operation for each in left if self._made[each].is_sure])

    # --- One operation ------------------------------------------------------------------------

    def _steps(self, operation: Operation) -> Iterator[_Step]:
        # The operation, and an earlier attempt that its server did not know of.
        if operation.answer is not None:
            yield self._step(operation, is_sure=True)
        doubtful = int(operation.is_doubtful and _may_have_been_twice(operation))
        if isinstance(operation.work, Asked) and operation.answer is not None:
            # Several attempts without an answer may come before the one that has it.
            doubtful *= 2
        if _only_reads(operation):
            return
        before = attrs.evolve(operation, answer=None, returned=None)
        for _ in range((operation.answer is None) + doubtful):
            yield self._step(before, is_sure=False)

    def _step(self, operation: Operation, *, is_sure: bool) -> _Step:
        if isinstance(operation.work, Visited):
            operation = attrs.evolve(operation, work=operation.work.adopting(self._rest))
        ends = self._until if operation.returned is None else operation.returned
        ahead = self._ahead + operation.skew
        least, most = operation.offsets
        lo = at(operation.invoked + ahead + least) - _TOLERANCE
        hi = at(ends + ahead + most) + _TOLERANCE
        record, place = self._kept(operation)
        likely = [record.seen_at] if record is not None else self._likely(operation)
        hint = next((each for each in likely if lo <= each <= hi), lo)
        moment = max(operation.invoked, (hint - at(ahead + most)) / TICK)
        return _Step(
            operation=operation,
            lo=lo,
            hi=hi,
            ends=float("inf") if operation.returned is None else ends,
            is_sure=is_sure,
            new_ids=self._new_ids(operation, record, lo),
            record=record,
            record_place=place,
            hint=moment,
        )

    def _likely(self, operation: Operation) -> list[datetime]:
        # When something happened to the subject of a fact.
        work = operation.work
        fact = work.told if isinstance(work, Visited) else getattr(work, "fact", None)
        if not isinstance(fact, Fact):
            return []
        asked = fact.needs()
        subject = asked.connection or asked.chain or asked.session
        if subject is None:
            return self._told
        return sorted(_instants_of(self._rest.posted.get(key_of(subject), ())))

    def _kept(self, operation: Operation) -> tuple[Record | None, Place | None]:
        # The record of its key at rest.
        if not isinstance(operation.work, Asked):
            return None, None
        key = operation.work.call.needs.record
        if key is None:
            return None, None
        place = (Record.__name__, record_key(key))
        found = self._rest.values.get(place)
        return (found if isinstance(found, Record) else None), place

    def _new_ids(self, operation: Operation, record: Record | None, now: datetime) -> NewIds:
        # The minted ids are adopted, from the record of its key or from its response.
        response = operation.answer if record is None else record.response
        document = {}
        if isinstance(response, Response) and response.status == 201:
            document = json.loads(response.body)
        action = document.get("nextAction")
        connection = document.get("connection", {}).get("id", _NOBODY)
        session = document.get("session", {}).get("id", _NOBODY)
        return NewIds(
            connection_id=ConnectionId(connection),
            session_id=SessionId(session),
            user_id=self._user(session),
            next_action=NextAction("https://nowhere.example/", now + 10 * NEXT_ACTION_LIFETIME)
            if action is None
            else NextAction(action["url"], parse_time("expiresAt", action["expiresAt"])),
        )

    def _user(self, session_id: str) -> UserId:
        found = self._rest.values.get((CuraeConnectSession.__name__, session_id))
        if isinstance(found, CuraeConnectSession) and found.path is EntryPath.SILENT_LIMITED:
            return found.user_id or UserId("nobody")
        return UserId("nobody")

    def _after(self, step: _Step, world: World) -> Iterator[World]:
        # The worlds after it; the same one if it changes nothing.
        operation, seen = step.operation, set[tuple[object, ...]]()
        if is_turned_away(operation):
            yield world
            return
        for now in self._instants(step, world):
            after = self._executing(step, world, now)
            if after is None or (after is world and not step.is_sure):
                continue
            mark = after.mark()
            if mark not in seen:
                seen.add(mark)
                yield after

    def _executing(self, step: _Step, world: World, now: datetime) -> World | None:
        self._executed += 1
        try:
            said, changes = step.operation.work.act(world, now, step.new_ids)
        except ArgumentError:
            # The adopted ids do not fit this order.
            return None
        if not _same(said, step.operation.answer):
            return None
        return world.after(changes, self._rest) if changes.writes else world

    def _instants(self, step: _Step, world: World) -> Iterable[datetime]:
        # Instants of a possible decision: all between two of them are like the first.
        work, answer = step.operation.work, step.operation.answer
        if step.record_place is not None and (answer is None or is_kept(answer)):
            if world.find(step.record_place) is not None:
                return [step.lo] if step.is_sure else []
            if step.record is not None:
                inside = step.lo <= step.record.seen_at <= step.hi
                return [step.record.seen_at] if inside else []
            if answer is None:
                # It would have left a record.
                return []
        if not isinstance(work, Asked):
            return self._within(step, self._told)
        limit = work.call.needs.limit
        if limit is not None and not (isinstance(answer, Response) and answer.status == 429):
            # It was charged, and the log has the instant.
            return self._charged(step, limit)
        return self._within(step, self._of_request(work, step, world))

    def _charged(self, step: _Step, limit: LimitKey) -> list[datetime]:
        log = World(self._rest).log(limit)
        if log is None:
            return []
        charged = sorted({each for each in log.instants if step.lo <= each <= step.hi})
        since = forgets_until(log)
        is_forgotten = since is not None and step.lo <= since
        made = step.new_ids.next_action.expires_at - NEXT_ACTION_LIFETIME
        forgotten = [made if step.lo <= made <= step.hi else step.lo] if is_forgotten else []
        return [*charged, *forgotten]

    def _of_request(self, work: Asked, step: _Step, world: World) -> Iterator[datetime]:
        asked = work.call.needs
        if asked.limit is not None:
            log = world.log(asked.limit)
            yield from () if log is None else _edges(log, step)
        connection = None if asked.connection is None else world.connection(asked.connection)
        deadline = None if connection is None else _deadline_of(connection)
        if deadline is not None:
            yield deadline
            yield deadline - TICK

    def _within(self, step: _Step, instants: Iterable[datetime]) -> list[datetime]:
        inside = {each for each in instants if step.lo <= each <= step.hi}
        return [*sorted(inside), step.lo, step.hi]

    @cached_property
    def size(self) -> int:
        """The number of operations to place."""
        return self._sure.bit_count()


def _edges(log: LogState, step: _Step) -> Iterator[datetime]:
    # When an initiate is admitted again, and when the seconds of the wait change.
    for instant in log.instants:
        yield instant
        edge = instant + 60 * _SECOND
        while edge >= step.lo:
            if edge <= step.hi:
                yield edge
                yield edge - TICK
            edge -= _SECOND


def _told(rest: Rest) -> set[datetime]:
    # The instants of the facts, from their events.
    return {at for posted in rest.posted.values() for at in _instants_of(posted)}


def _eras(rest: Rest) -> set[datetime]:
    # The instants of tombstones, also of those without an event.
    found: set[datetime | None] = {each.revoked_at for each in rest.connections}
    for value in rest.values.values():
        match value:
            case Connection():
                found.add(value.identity.era)
            case CuraeConnectSession():
                found.add(value.era)
            case LimitedAccountAppBinding():
                # After a step back of the clock, the era is no earlier than the one before.
                found |= {value.era, value.tombstoned_at}
            case _:
                pass
    return {each for each in found if each is not None}


def _deadline_of(connection: Connection) -> datetime | None:
    return next_deadline(connection, era=connection.identity.era)


def _instants_of(posted: Iterable[Posted]) -> set[datetime]:
    return {parse_time("at", document["at"]) for _, document in posted if "at" in document}


def is_kept(answer: Response | str) -> bool:
    """Return whether a record of the response was stored (section 4 of the rules)."""
    return isinstance(answer, Response) and judge.is_kept(answer)


def is_turned_away(operation: Operation) -> bool:
    # Refused by a page or by an API key's bucket: neither changes anything.
    answer = operation.answer
    if isinstance(operation.work, Visited):
        return answer not in {None, "done"}
    if not isinstance(answer, Response) or answer.status != 429:
        return False
    policy = dict(answer.headers).get("ratelimit-policy", "")
    return not policy.startswith(_OF_USERS)


def _is_open(operation: Operation) -> bool:
    # A page also says done if it found its work done; it may have done it later.
    return isinstance(operation.work, Visited) and operation.answer == DONE


def _has_twins(step: _Step) -> bool:
    # An operation that may have happened, without a trace that identifies it.
    return not step.is_sure and step.record_place is None and isinstance(step.operation.work, Asked)


def _may_have_been_twice(operation: Operation) -> bool:
    # An operation with a record, or with the outcome done, happened at its recorded instant only.
    if isinstance(operation.work, Asked):
        key = operation.work.call.needs.record
        # An unanswered operation takes effect only with its record, and once.
        return key is None or (operation.answer is not None and not is_kept(operation.answer))
    # A repeated tombstone ends what was made since the first attempt.
    is_tombstone = isinstance(operation.work, Told) and isinstance(operation.work.fact, Tombstoned)
    return is_tombstone or operation.answer != DONE


def _only_reads(operation: Operation) -> bool:
    work = operation.work
    return isinstance(work, Asked) and work.request.method == "GET"


def _same(said: Response | str, answer: Response | str | None) -> bool:
    if answer is None:
        return True
    if not (isinstance(said, Response) and isinstance(answer, Response)):
        return said == answer
    if said.status != answer.status or said.body != answer.body:
        return False
    # Servers send headers in different orders.
    return sorted(as_kept(said).headers) == sorted(as_kept(answer).headers)
