"""The laws held against a running system, one commit and one answer at a time.

The law of this module: **what was seen is compared with what was seen before, and the rules are
not asked again**. A `Watch` remembers what was stored and answered, judges each step in amortised
constant time by the laws of `curae_lifecycle.testing.laws`, and forgets a key's answer when its
retention is over, so that it holds no more than the store itself.

Feed it in the order of commits: `answered` for a request, `recorded` for a fact, `asked` for a
question, `stored` where only the writes are at hand. `curae_lifecycle.testing.store_invariants` judges a
whole store at rest.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.access import AccessDecision
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity, next_deadline
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import RecordKey, StoredResponse
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, format_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.laws import TICK, LawBrokenError
from curae_lifecycle.web.respond import Answer

_RETENTION: Final = timedelta(hours=24)
_WINDOW: Final = timedelta(seconds=60)
_LIMIT: Final = 10
_LOG_KEPT: Final = 64
_LIMITS: Final = frozenset({"initiate", "graduation"})
_EXECUTED: Final = frozenset({200, 201, 404, 409})
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_REFUSED: Final = 400
_ACCOUNT_RANKS: Final = ("LIMITED", "ACTIVE", "TOMBSTONED")
_ENDING_A_CHAIN: Final = frozenset({"PATIENT", "PLATFORM"})
_PATHS: Final = {
    "UNLINKED": {"NEW_ACTIVE_SIGNUP_HANDOFF", "SILENT_LIMITED"},
    "LIMITED": {"SILENT_LIMITED"},
    "ACTIVE": {"EXISTING_ACTIVE_HANDOFF"},
    "TOMBSTONED": {"SILENT_LIMITED"},
}


@attrs.define
class _Used:
    # What became of a key: its first use, its answer, and at which step that was erased.
    first_used_at: datetime
    response: StoredResponse | None
    erased_at: int | None = None


@attrs.define
class _Admissions:
    # When an app user's latest calls were admitted, and at which step the last of them was.
    instants: list[datetime]
    step: int


class Watch:
    """Sees every commit and every answer; raises `LawBrokenError` where a law does not hold.

    Feed it from one thread, or one step at a time.

    Args:
        operations: The operations that are served.

    Attributes:
        commit_count: How many commits it has seen.
    """

    def __init__(self, operations: tuple[type[Operation], ...] = OPERATIONS) -> None:
        """Start with an empty store."""
        self.commit_count = 0
        self._operations = operations
        self._latest: datetime | None = None
        self._connections: dict[ConnectionId, Connection] = {}
        self._successors: dict[ConnectionId, ConnectionId] = {}
        self._active: dict[ConnectionId, set[ConnectionId]] = defaultdict(set)
        self._sessions: dict[SessionId, CuraeConnectSession] = {}
        self._bindings: dict[Coordinate, LimitedAccountAppBinding] = {}
        self._of_user: dict[Coordinate, list[ConnectionId]] = defaultdict(list)
        # Whose user is gone, and at which step that of a coordinate last went.
        self._gone: set[ConnectionId] = set()
        self._tombstoned: dict[Coordinate, int] = {}
        # At which step an account last was in a state that it left.
        self._left: dict[Coordinate, dict[str, int]] = defaultdict(dict)
        self._used: dict[RecordKey, _Used] = {}
        self._retained: deque[tuple[datetime, RecordKey]] = deque()
        self._admitted: dict[LimitKey, _Admissions] = {}
        self._not_found: Response | None = None

    def observe_commit(
        self, writes: tuple[Write, ...], now: datetime, *, loaded_at_commit: int | None = None
    ) -> None:
        """A commit (laws 1, 2, 4, 6, 7, 8, 10, 12 and 17).

        Args:
            writes: What was stored, all of it.
            now: The instant it was decided for.
            loaded_at_commit: `steps` when the values were loaded, `None` for now. An entry path was right
                if the account had its state at any time since, and a connection that is made of
                what was read before a tombstone is one of those that the tombstone ends.
        """
        if not writes:
            return
        self.commit_count += 1
        self._latest = now if self._latest is None else max(now, self._latest)
        # A session is judged by the account as it was before this commit.
        for write in writes:
            read = self.commit_count - 1 if loaded_at_commit is None else loaded_at_commit
            if isinstance(write, SessionWrite):
                self._see_session(write, read)
            elif isinstance(write, ConnectionWrite) and write.before is None:
                self._see_made(write.after, read)
        for write in writes:
            self._see(write, now, self._latest)
        for write in writes:
            if isinstance(write, ConnectionWrite) and write.before is not None:
                self._see_chain_ended(write.before, write.after)
            if isinstance(write, BindingWrite) and write.after.state == "TOMBSTONED":
                self._see_tombstone(write, self._latest)

    def observe_response(
        self,
        answer: Answer,
        now: datetime,
        *,
        caller: Caller | None = None,
        needs: Needs | None = None,
        loaded_at_commit: int | None = None,
    ) -> None:
        """A request that was decided, with what was committed for it (also laws 2, 9, 11 to 16).

        Args:
            answer: The answer and its changes, which the store took.
            now: The instant it was decided for.
            caller: Who asked; `None` for a stranger.
            needs: What was loaded for it; `None` where it was refused before that.
            loaded_at_commit: As `stored` has it; an exact wait is judged only where nothing moved
                since, and an answer may be replayed that was erased since.
        """
        response, changes = answer.response, answer.changes
        if answer.replayed:
            self._see_replay(response, changes=changes, needs=needs, read_at=loaded_at_commit)
            self.observe_commit(changes.writes, now, loaded_at_commit=loaded_at_commit)
            return
        laws.check_documented(response, operations=self._operations)
        if response.status >= _REFUSED:
            laws.check_nothing_changed(None, None, changes)
        revocation = b'"revokedNow":' in response.body and response.status < _REFUSED
        seen = self._see_revocation(response) if revocation else None
        if response.status == _NOT_FOUND:
            self._see_not_found(response, caller, needs)
        if response.status == _TOO_MANY:
            self._see_limited(
                response,
                now=now,
                needs=needs,
                read_at=self.commit_count if loaded_at_commit is None else loaded_at_commit,
            )
        if needs is not None and needs.record is not None:
            _check_kept(response, changes, needs.record)
        if caller is not None:
            _check_owner(changes, caller)
        self.observe_commit(changes.writes, now, loaded_at_commit=loaded_at_commit)
        if seen is not None:
            self._check_revoked_at(seen)

    def observe_fact(self, answer: FactAnswer, now: datetime) -> None:
        """A fact that was recorded `now`, with its `answer` and what was committed for it (law 11)."""
        match answer:
            case Done(changes):
                self.observe_commit(changes.writes, now)
            case Ignored(changes):
                laws.check_nothing_changed(None, None, changes)
            case _:
                pass

    def observe_access_decision(
        self, connection_id: ConnectionId, package: str, now: datetime, decision: AccessDecision
    ) -> None:
        """A question for access (laws 5 and 17).

        Args:
            connection_id: What was asked about.
            package: Which package.
            now: The instant that was asked about.
            decision: What was answered.

        Raises:
            LawBrokenError: Law 5 or 17 is broken.
        """
        held = self._connections.get(connection_id)
        if held is None:
            raise LawBrokenError(5, "decided for an unknown id", f"connection {connection_id}")
        if connection_id in self._gone:
            laws.check_tombstone((held,), now, decide=lambda _held, _package, _now: decision)
        laws.check_access(held, package, now, decide=lambda _connection, _package, _now: decision)

    def purge(self, now: datetime) -> None:
        """Forget the keys whose retention was over at `now`, which no clock is behind."""
        while self._retained and self._retained[0][0] + _RETENTION <= now:
            first_used_at, key = self._retained.popleft()
            used = self._used.get(key)
            if used is not None and used.first_used_at == first_used_at:
                del self._used[key]

    def _see(self, write: Write, now: datetime, latest: datetime) -> None:
        match write:
            case ConnectionWrite():
                self._see_connection(write.after, latest)
            case BindingWrite():
                self._see_binding(write.after)
            case RecordWrite():
                self._see_record(write)
            case RateWrite(LimitKey() as key):
                self._see_admission(key, now)
            case _:
                pass

    def _see_connection(self, after: Connection, latest: datetime) -> None:
        held = self._connections.get(after.id)
        if held is None:
            self._see_new(after, latest)
        else:
            laws.check_rank_never_falls((held, after))
            where = f"connection {after.id}"
            if held.identity != after.identity:
                raise LawBrokenError(6, "its identity changed", where)
            if held.status == "REVOKED" and held.revoked_at != after.revoked_at:
                moved = f"from {held.revoked_at} to {after.revoked_at}"
                raise LawBrokenError(2, f"revokedAt moved {moved}", where)
        self._connections[after.id] = after
        if after.id in self._gone:
            laws.check_tombstone((after,), latest)
        self._see_active(after, latest)
        turn = next_deadline(after)
        if turn is not None:
            laws.check_standing_is_monotone(
                after, (after.updated_at, turn - TICK, turn, turn + TICK)
            )

    def _see_new(self, after: Connection, latest: datetime) -> None:
        identity = after.identity
        older = identity.predecessor_id
        where = f"connection {after.id}"
        self._of_user[identity.coordinate].append(after.id)
        if older is None:
            if identity.root_id != after.id:
                raise LawBrokenError(6, f"a first one whose root is {identity.root_id}", where)
            return
        predecessor = self._connections.get(older)
        if predecessor is None:
            raise LawBrokenError(6, f"its predecessor {older} is not stored", where)
        rival = self._successors.get(older)
        if rival is not None:
            held = self._connections[rival]
            deadline = held.handoff_deadline
            if held.status == "PENDING" and (deadline is None or latest < deadline):
                laws.check_one_pending_successor([(older, rival), (older, after.id)])
            raise LawBrokenError(6, f"{rival} and {after.id} have one predecessor", where)
        if _kin(predecessor.identity) != _kin(identity):
            raise LawBrokenError(6, "another coordinate, packages or root", where)
        self._successors[older] = after.id

    def _see_chain_ended(self, before: Connection, after: Connection) -> None:
        if before.status == "REVOKED" or after.revoked_by not in _ENDING_A_CHAIN:
            return
        newer = self._successors.get(after.id)
        if newer is not None and self._connections[newer].status != "REVOKED":
            where = f"connection {newer}, later than {after.id}"
            raise LawBrokenError(12, f"half of a revocation by the {after.revoked_by}", where)

    def _see_made(self, after: Connection, read_at: int) -> None:
        if read_at < self._tombstoned.get(after.identity.coordinate, 0):
            # It is made of what was there before its user was gone.
            self._gone.add(after.id)

    def _see_tombstone(self, write: BindingWrite, latest: datetime) -> None:
        if write.before is not None and write.before.state == "TOMBSTONED":
            # It only relied on one that was there.
            return
        left = self._of_user.pop(write.after.coordinate, [])
        self._gone.update(left)
        self._tombstoned[write.after.coordinate] = self.commit_count
        laws.check_tombstone([self._connections[each] for each in left], latest)

    def _see_active(self, after: Connection, latest: datetime) -> None:
        active = self._active[after.identity.root_id]
        if after.status != "ACTIVE":
            active.discard(after.id)
            return
        active.add(after.id)
        living = [each for each in sorted(active) if self._is_live(each, latest)]
        if len(living) > 1:
            where = f"chain {after.identity.root_id}"
            raise LawBrokenError(6, f"{' and '.join(living)} are ACTIVE", where)

    def _is_live(self, connection_id: ConnectionId, latest: datetime) -> bool:
        end = self._connections[connection_id].expires_at
        return end is None or latest < end

    def _see_session(self, write: SessionWrite, read_at: int) -> None:
        after = write.after
        where = f"session {after.id}"
        held = self._sessions.get(after.id)
        if held is None:
            account = self._account(after.coordinate)
            left = self._left[after.coordinate]
            since = (state for state, step in left.items() if step > read_at)
            if not any(after.path in _PATHS[state] for state in (account, *since)):
                raise LawBrokenError(8, f"path {after.path} for an account {account}", where)
        elif held.handoff == "LANDED" and held != after:
            raise LawBrokenError(1, "a landed session changed", where)
        self._sessions[after.id] = after

    def _account(self, coordinate: Coordinate) -> str:
        bound = self._bindings.get(coordinate)
        return "UNLINKED" if bound is None else str(bound.state)

    def _see_binding(self, after: LimitedAccountAppBinding) -> None:
        held = self._bindings.get(after.coordinate)
        where = f"user {after.user_id} of app user {after.coordinate.app_user_id}"
        if held is not None and held != after:
            before = (held.generation, _ACCOUNT_RANKS.index(held.state))
            if (after.generation, _ACCOUNT_RANKS.index(after.state)) < before:
                raise LawBrokenError(1, f"{held.state} became {after.state}", where)
            if (held.generation == after.generation) != (held.user_id == after.user_id):
                raise LawBrokenError(1, f"bound to {held.user_id} in one generation", where)
        self._left[after.coordinate][self._account(after.coordinate)] = self.commit_count
        self._bindings[after.coordinate] = after

    def _see_record(self, write: RecordWrite) -> None:
        key, after = write.key, write.after
        used = self._used.get(key)
        if used is not None and after.first_used_at - used.first_used_at < _RETENTION:
            if after.state == "FORGOTTEN":
                used.erased_at = self.commit_count
                return
            raise LawBrokenError(12, f"{after.state} after it was answered", f"key {key.key}")
        if after.state in {"COMPLETED", "FORGOTTEN"}:
            erased_at = self.commit_count if after.response is None else None
            self._used[key] = _Used(after.first_used_at, after.response, erased_at)
            self._retained.append((after.first_used_at, key))

    def _see_admission(self, key: LimitKey, now: datetime) -> None:
        admitted = self._admitted.setdefault(key, _Admissions([], 0))
        instants = admitted.instants
        admitted.step = self.commit_count
        # Mostly nothing else is in the window.
        crowded = bool(instants) and now < instants[-1] + _WINDOW
        instants.append(now)
        if crowded:
            instants.sort()
            laws.check_rate_limit(instants)
        del instants[:-_LOG_KEPT]

    def _see_replay(
        self, response: Response, changes: Changes, needs: Needs | None, read_at: int | None
    ) -> None:
        key = None if needs is None else needs.record
        used = None if key is None else self._used.get(key)
        if used is None:
            raise LawBrokenError(9, "a replay of what was never answered", f"key {key}")
        # A replay that was read before the answer was erased may still go out.
        erased_at = used.erased_at
        if erased_at is not None and (read_at is None or erased_at <= read_at):
            raise LawBrokenError(9, "a replay of what was erased", f"key {key}")
        if isinstance(used.response, Response):
            laws.check_replay(used.response, response, changes)

    def _see_revocation(self, response: Response) -> laws.RevocationAnswer:
        seen = laws.RevocationAnswer.read(response)
        held = self._connections.get(ConnectionId(seen.connection_id))
        before = [seen.connection_id] if held is not None and held.status == "REVOKED" else []
        laws.check_revocation((seen,), revoked=before)
        return seen

    def _check_revoked_at(self, seen: laws.RevocationAnswer) -> None:
        held = self._connections[ConnectionId(seen.connection_id)]
        stored = None if held.revoked_at is None else format_time(held.revoked_at)
        if seen.revoked_at != stored:
            where = f"connection {seen.connection_id}"
            raise LawBrokenError(2, f"answered {seen.revoked_at}, stored {stored}", where)

    def _see_not_found(
        self, response: Response, caller: Caller | None, needs: Needs | None
    ) -> None:
        if self._not_found is None:
            self._not_found = response
        laws.check_indistinguishable(self._not_found, response)
        asked = None if needs is None else needs.connection
        held = None if asked is None else self._connections.get(asked)
        if held is not None and caller is not None and caller.owns(held):
            raise LawBrokenError(1, f"{held.status} became nothing", f"connection {held.id}")

    def _see_limited(
        self, response: Response, now: datetime, needs: Needs | None, read_at: int
    ) -> None:
        key = None if needs is None else needs.limit
        policy = _header(response, "ratelimit").partition(";")[0].strip('"')
        if key is None or policy not in _LIMITS:
            return
        admitted = self._admitted.get(key, _Admissions([], 0))
        if admitted.step > read_at:
            return
        instants = admitted.instants
        where = f"{policy} of {key.app_user.app_user_id} at {now.isoformat()}"
        if len(instants) < _LIMIT or instants[-_LIMIT] + _WINDOW <= now:
            raise LawBrokenError(10, "refused although there was room", where)
        # Whole seconds, rounded up.
        wait = -((now - instants[-_LIMIT] - _WINDOW) // timedelta(seconds=1))
        said = _header(response, "retry-after")
        if said != str(wait):
            raise LawBrokenError(10, f"to wait {said} s instead of {wait}", where)


def _kin(identity: ConnectionIdentity) -> tuple[object, ...]:
    return identity.coordinate, identity.data_packages, identity.root_id


def _header(response: Response, name: str) -> str:
    return next(value for key, value in response.headers if key == name)


def _check_kept(response: Response, changes: Changes, key: RecordKey) -> None:
    writes = [write for write in changes.writes if isinstance(write, RecordWrite)]
    if response.status not in _EXECUTED or b'"code":"IDEMPOTENCY_' in response.body:
        return
    kept = [write.after.response for write in writes if write.key == key]
    if len(kept) != 1:
        raise LawBrokenError(12, f"an execution kept {len(kept)} answers", f"key {key.key}")
    if isinstance(kept[0], Response):
        laws.check_one_execution((kept[0], response), 1)


def _check_owner(changes: Changes, caller: Caller) -> None:
    for write in changes.writes:
        if isinstance(write, ConnectionWrite):
            coordinate = write.after.identity.coordinate
        elif isinstance(write, SessionWrite | BindingWrite):
            coordinate = write.after.coordinate
        else:
            continue
        if coordinate != caller.coordinate(coordinate.app_user_id):
            where = f"app user {coordinate.app_user_id}"
            raise LawBrokenError(15, "another tenant's value was touched", where)
