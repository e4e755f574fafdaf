"""The laws checked against a running system, one commit and one answer at a time.

The law of this module: **a `Watch` compares each step with the earlier steps and does not ask the
rules again**. It remembers the written values and the stored answers. It judges each step in
amortised constant time by the laws of `curae_lifecycle.testing.laws`. Its `purge` forgets the
answers to idempotency keys whose retention has ended, so that it holds no more than the store.

Call its methods in the order of the commits:

- `observe_response` for a request,
- `observe_fact` for a fact,
- `observe_access_decision` for an access question,
- `observe_commit` if only the writes are known.

`curae_lifecycle.testing.store_invariants` checks all contents of an idle store.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules.access import AccessDecision
from curae_lifecycle.rules.binding import LimitedAccountAppBinding, account_state
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity, next_deadline
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, format_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
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
from curae_lifecycle.testing.watch_answers import (
    check_owner,
    check_response_is_stored,
    rule_that_answers,
    shown_revoked_at,
)
from curae_lifecycle.testing.watch_limits import LimitHistory
from curae_lifecycle.testing.watch_memory import UsedKey
from curae_lifecycle.web.respond import Answer

_RETENTION: Final = timedelta(hours=24)
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


class Watch:
    """An observer that checks the laws on every commit and every answer of one store.

    The store must be empty when the watch begins. Calls must not overlap, and must come in the
    order of the commits.

    Args:
        operations: The classes of the operations that the server serves.
        checks_buckets: Whether to check that no bucket admits too many requests. Set it only if
            each bucket is charged at the instant that the `Watch` gets as `now`, as on a simulated
            clock.

    Attributes:
        commit_count: The number of observed commits that wrote something.
    """

    def __init__(
        self,
        operations: tuple[type[Operation], ...] = OPERATIONS,
        *,
        checks_buckets: bool = False,
    ) -> None:
        """Start with the contents of an empty store."""
        self.commit_count = 0
        self._operations = operations
        self._latest: datetime | None = None
        self._connections: dict[ConnectionId, Connection] = {}
        self._successors: dict[ConnectionId, ConnectionId] = {}
        self._active: dict[ConnectionId, set[ConnectionId]] = defaultdict(set)
        self._sessions: dict[SessionId, CuraeConnectSession] = {}
        self._bindings: dict[Coordinate, LimitedAccountAppBinding] = {}
        self._connections_of: dict[Coordinate, list[ConnectionId]] = defaultdict(list)
        self._sessions_of: dict[Coordinate, list[SessionId]] = defaultdict(list)
        # What tombstones ended, and the eras of each coordinate.
        self._orphaned: set[ConnectionId | SessionId] = set()
        self._eras: dict[Coordinate, list[datetime | None]] = defaultdict(lambda: [None])
        # The commit that began the present era of each coordinate.
        self._era_began_at: dict[Coordinate, int] = defaultdict(int)
        # For each earlier state of an account, the commit that last replaced it.
        self._state_left_at: dict[Coordinate, dict[str, int]] = defaultdict(dict)
        self._used_keys: dict[RecordKey, UsedKey] = {}
        self._keys_by_age: deque[tuple[datetime, RecordKey]] = deque()
        self._limits = LimitHistory(operations, checks_buckets=checks_buckets)
        self._first_not_found: Response | None = None

    def observe_commit(
        self, writes: tuple[Write, ...], now: datetime, *, loaded_at_commit: int | None = None
    ) -> None:
        """Check the writes of one commit (laws 1, 2, 4, 6, 7, 8, 10, 12 and 17).

        Args:
            writes: All writes of the commit.
            now: The instant that the decision was made for.
            loaded_at_commit: The value of `commit_count` when the values were loaded; `None` if
                nothing was committed since. The entry path of a new session must suit a state that
                the account had at any time since the load.

        Raises:
            LawBrokenError: One of these laws is broken.
        """
        if not writes:
            return
        self.commit_count += 1
        self._latest = now if self._latest is None else max(now, self._latest)
        loaded_at = self.commit_count - 1 if loaded_at_commit is None else loaded_at_commit
        # A session is judged by the account before this commit, so sessions are checked first.
        for write in writes:
            if isinstance(write, SessionWrite):
                self._check_session(write, loaded_at)
            elif isinstance(write, ConnectionWrite) and write.before is None:
                identity = write.after.identity
                self._note_era(identity.id, identity.coordinate, identity.era, loaded_at=loaded_at)
        for write in writes:
            self._check_write(write, now, self._latest)
        for write in writes:
            if isinstance(write, ConnectionWrite) and write.before is not None:
                self._check_chain_ended(write.before, write.after)
            if isinstance(write, BindingWrite):
                self._check_era(write, self._latest)

    def observe_response(
        self,
        answer: Answer,
        now: datetime,
        *,
        caller: Caller | None = None,
        needs: Needs | None = None,
        loaded_at_commit: int | None = None,
    ) -> None:
        """Check the answer to a request and its commit.

        The laws are 9, 11, 13, 15 and 16, and those that `observe_commit` checks: 1, 2, 4, 6, 7, 8,
        10, 12 and 17. Three checks are looser if commits came between the load and the answer. A
        429 is checked only if the limit that refused admitted nothing since the load. A `revokedAt`
        is checked only if no tombstone was recorded since the load. A replay of a response that was
        erased since the load breaks no law.

        Args:
            answer: The answer. The store has committed its changes.
            now: The instant that the request was decided for.
            caller: The caller. If `None`, no check looks at who owns a value.
            needs: The keys of the loaded values; `None` if the request was refused before the load.
            loaded_at_commit: The value of `commit_count` when the values were loaded; `None` if
                nothing was committed since.

        Raises:
            LawBrokenError: One of these laws is broken.
        """
        response, changes = answer.response, answer.changes
        loaded_at = self.commit_count if loaded_at_commit is None else loaded_at_commit
        if answer.replayed:
            self._check_replay(response, changes=changes, needs=needs, loaded_at=loaded_at_commit)
            self.observe_commit(changes.writes, now, loaded_at_commit=loaded_at_commit)
            return
        laws.check_documented(response, operations=self._operations)
        if response.status >= _REFUSED:
            laws.check_nothing_changed(None, None, changes)
        is_revocation = b'"revokedNow":' in response.body and response.status < _REFUSED
        revocation = self._check_revocation(response) if is_revocation else None
        if response.status == _NOT_FOUND:
            self._check_not_found(response, caller, needs)
        if response.status == _TOO_MANY:
            self._limits.check_refusal(response, now, needs, commits_before_load=loaded_at)
        if needs is not None and needs.record is not None:
            check_response_is_stored(response, changes, needs.record)
        if caller is not None:
            check_owner(changes, caller)
        self.observe_commit(changes.writes, now, loaded_at_commit=loaded_at_commit)
        if revocation is not None:
            self._check_revoked_at(revocation, loaded_at)

    def observe_fact(self, answer: FactAnswer, now: datetime) -> None:
        """Check the answer to a recorded fact.

        For a `Done`, the writes of its commit are checked as by `observe_commit`. For an `Ignored`,
        the check is that it changes nothing (law 11). A `Refused` holds no changes to check.

        Args:
            answer: The answer. If it is `Done`, the store has committed its changes.
            now: The instant that the fact was decided for.

        Raises:
            LawBrokenError: A law of `observe_commit` or law 11 is broken.
        """
        if isinstance(answer, Done):
            self.observe_commit(answer.value.writes, now)
        elif isinstance(answer, Ignored):
            laws.check_nothing_changed(None, None, answer.value)

    def observe_access_decision(
        self, connection_id: ConnectionId, package: str, now: datetime, decision: AccessDecision
    ) -> None:
        """Check an access decision (laws 5 and 17).

        Args:
            connection_id: The id of the connection.
            package: The data package.
            now: The instant that the decision was made for.
            decision: The decision.

        Raises:
            LawBrokenError: Law 5 or 17 is broken, or no connection with this id was ever stored.
        """
        held = self._connections.get(connection_id)
        if held is None:
            where = f"connection {connection_id}"
            raise LawBrokenError(5, "access was decided for an unknown id", where)
        era, decide = self._eras[held.identity.coordinate][-1], rule_that_answers(decision)
        if connection_id in self._orphaned:
            laws.check_tombstone((held,), now, era=era, decide=decide)
        laws.check_access(held, package, now, era=era, decide=decide)

    def purge(self, now: datetime) -> None:
        """Forget the idempotency keys whose retention has ended.

        Call it when the store purges. The store may then also have dropped the states of rate
        limits that restrict nothing at `now`; later checks allow for that.

        Args:
            now: The instant to judge the retention at, no later than any server process's clock.
        """
        self._limits.purge(now)
        while self._keys_by_age and self._keys_by_age[0][0] + _RETENTION <= now:
            first_used_at, key = self._keys_by_age.popleft()
            used = self._used_keys.get(key)
            if used is not None and used.first_used_at == first_used_at:
                del self._used_keys[key]

    def _check_write(self, write: Write, now: datetime, latest: datetime) -> None:
        match write:
            case ConnectionWrite():
                self._check_connection(write.after, latest)
            case BindingWrite():
                self._check_binding(write.after)
            case RecordWrite():
                self._check_record(write)
            case RateWrite():
                self._limits.observe_charge(write.key, now, self.commit_count)
            case _:
                pass

    def _check_connection(self, after: Connection, latest: datetime) -> None:
        held = self._connections.get(after.id)
        if held is None:
            self._check_new_connection(after, latest)
        else:
            laws.check_rank_never_falls((held, after))
            where = f"connection {after.id}"
            if held.identity != after.identity:
                raise LawBrokenError(6, "its identity changed", where)
            if held.status == "REVOKED" and held.revoked_at != after.revoked_at:
                moved = f"from {held.revoked_at} to {after.revoked_at}"
                raise LawBrokenError(2, f"revokedAt moved {moved}", where)
        self._connections[after.id] = after
        if after.id in self._orphaned:
            self._check_orphaned(after, latest)
        self._check_one_active(after, latest)
        era = self._eras[after.identity.coordinate][-1]
        deadline = next_deadline(after, era=era)
        if deadline is not None:
            laws.check_standing_is_monotone(
                after, (after.updated_at, deadline - TICK, deadline, deadline + TICK), era=era
            )

    def _check_new_connection(self, after: Connection, latest: datetime) -> None:
        identity = after.identity
        older = identity.predecessor_id
        where = f"connection {after.id}"
        self._connections_of[identity.coordinate].append(after.id)
        if older is None:
            if identity.root_id != after.id:
                what = f"it has no predecessor, but its root is {identity.root_id}"
                raise LawBrokenError(6, what, where)
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
            raise LawBrokenError(6, f"{rival} and {after.id} have the same predecessor", where)
        if _chain_key(predecessor.identity) != _chain_key(identity):
            what = "its coordinate, packages or root are not those of its predecessor"
            raise LawBrokenError(6, what, where)
        self._successors[older] = after.id

    def _check_chain_ended(self, before: Connection, after: Connection) -> None:
        # A sweep after a tombstone revokes each connection alone.
        is_swept = self._is_of_another_era(after)
        if before.status == "REVOKED" or after.revoked_by not in _ENDING_A_CHAIN or is_swept:
            return
        newer = self._successors.get(after.id)
        if newer is not None and self._connections[newer].status != "REVOKED":
            where = f"connection {newer}, later than {after.id}"
            raise LawBrokenError(12, f"partial revocation by {after.revoked_by}", where)

    def _note_era(
        self,
        new_id: ConnectionId | SessionId,
        coordinate: Coordinate,
        era: datetime | None,
        *,
        loaded_at: int,
    ) -> None:
        if era != self._eras[coordinate][-1]:
            # Decided before a tombstone and stored after it.
            self._orphaned.add(new_id)
        elif loaded_at < self._era_began_at[coordinate]:
            what = "it was decided before a tombstone and stored under its era"
            raise LawBrokenError(17, what, f"{new_id} of app user {coordinate.app_user_id}")

    def _check_era(self, write: BindingWrite, latest: datetime) -> None:
        coordinate, era = write.after.coordinate, write.after.era
        eras = self._eras[coordinate]
        where = f"app user {coordinate.app_user_id}"
        if era == eras[-1]:
            was = account_state(write.before)
            if write.after.state == "TOMBSTONED" != was:
                raise LawBrokenError(17, "a tombstone began no new era", where)
            return
        if era in eras:
            raise LawBrokenError(17, "an era came back", where)
        eras.append(era)
        self._era_began_at[coordinate] = self.commit_count
        ended = self._connections_of.pop(coordinate, [])
        self._orphaned.update(ended, self._sessions_of.pop(coordinate, []))
        for each in ended:
            self._check_orphaned(self._connections[each], latest)

    def _check_orphaned(self, held: Connection, latest: datetime) -> None:
        era = self._eras[held.identity.coordinate][-1]
        laws.check_tombstone((held,), latest, era=era)
        if held.identity.era == era and held.status != "REVOKED":
            what = f"{held.status} under the era of a tombstone that came after it was made"
            raise LawBrokenError(17, what, f"connection {held.id}")

    def _check_one_active(self, after: Connection, latest: datetime) -> None:
        active = self._active[after.identity.root_id]
        if after.status != "ACTIVE":
            active.discard(after.id)
            return
        active.add(after.id)
        unexpired = [each for each in sorted(active) if self._is_unexpired(each, latest)]
        if len(unexpired) > 1:
            where = f"chain {after.identity.root_id}"
            raise LawBrokenError(6, f"{' and '.join(unexpired)} are ACTIVE", where)

    def _is_unexpired(self, connection_id: ConnectionId, latest: datetime) -> bool:
        held = self._connections[connection_id]
        is_unexpired = held.expires_at is None or latest < held.expires_at
        return is_unexpired and not self._is_of_another_era(held)

    def _check_session(self, write: SessionWrite, loaded_at: int) -> None:
        after = write.after
        where = f"session {after.id}"
        held = self._sessions.get(after.id)
        if held is None:
            account = self._account_state(after.coordinate)
            left = self._state_left_at[after.coordinate]
            earlier = (state for state, commit in left.items() if commit > loaded_at)
            if not any(after.path in _PATHS[state] for state in (account, *earlier)):
                raise LawBrokenError(8, f"path {after.path} for a {account} account", where)
            self._sessions_of[after.coordinate].append(after.id)
            self._note_era(after.id, after.coordinate, after.era, loaded_at=loaded_at)
            if after.handoff == "LANDED" and after.id in self._orphaned:
                raise LawBrokenError(17, "it landed as it was made, after a tombstone", where)
        elif held.handoff == "AWAITED" and after.id in self._orphaned:
            raise LawBrokenError(17, "it landed although a tombstone came after it", where)
        elif held.handoff == "LANDED" and held != after:
            raise LawBrokenError(1, "a landed session changed", where)
        self._sessions[after.id] = after

    def _account_state(self, coordinate: Coordinate) -> str:
        bound = self._bindings.get(coordinate)
        return "UNLINKED" if bound is None else str(bound.state)

    def _check_binding(self, after: LimitedAccountAppBinding) -> None:
        held = self._bindings.get(after.coordinate)
        where = f"user {after.user_id} of app user {after.coordinate.app_user_id}"
        if held is not None and held != after:
            before = (held.generation, _ACCOUNT_RANKS.index(held.state))
            if (after.generation, _ACCOUNT_RANKS.index(after.state)) < before:
                raise LawBrokenError(1, f"{held.state} became {after.state}", where)
            if (held.generation == after.generation) != (held.user_id == after.user_id):
                what = (
                    f"bound to {held.user_id} in generation {held.generation}, "
                    f"then to {after.user_id} in generation {after.generation}"
                )
                raise LawBrokenError(1, what, where)
        state = self._account_state(after.coordinate)
        self._state_left_at[after.coordinate][state] = self.commit_count
        self._bindings[after.coordinate] = after

    def _check_record(self, write: RecordWrite) -> None:
        key, after = write.key, write.after
        used = self._used_keys.get(key)
        if used is not None and after.first_used_at - used.first_used_at < _RETENTION:
            if after.state == "FORGOTTEN":
                used.erased_after = self.commit_count
                return
            what = f"{after.state} was stored after the key was completed or erased"
            raise LawBrokenError(12, what, f"key {key.key}")
        if after.state in {"COMPLETED", "FORGOTTEN"}:
            erased_after = self.commit_count if after.response is None else None
            self._used_keys[key] = UsedKey(after.first_used_at, after.response, erased_after)
            self._keys_by_age.append((after.first_used_at, key))

    def _check_replay(
        self, response: Response, changes: Changes, needs: Needs | None, loaded_at: int | None
    ) -> None:
        key = None if needs is None else needs.record
        used = None if key is None else self._used_keys.get(key)
        if used is None:
            raise LawBrokenError(9, "a replay although no response was stored", f"key {key}")
        # A replay that was loaded before the response was erased may still be sent.
        erased_after = used.erased_after
        if erased_after is not None and (loaded_at is None or erased_after <= loaded_at):
            raise LawBrokenError(9, "a replay of an erased response", f"key {key}")
        # A response that is kept elsewhere is not compared, but its replay must write nothing, too.
        original = used.response if isinstance(used.response, Response) else response
        laws.check_replay(original, response, changes)

    def _check_revocation(self, response: Response) -> laws.RevocationAnswer:
        answer = laws.RevocationAnswer.read(response)
        held = self._connections.get(ConnectionId(answer.connection_id))
        is_over = held and (held.status == "REVOKED" or self._is_of_another_era(held))
        laws.check_revocation((answer,), revoked=[answer.connection_id] if is_over else [])
        return answer

    def _is_of_another_era(self, held: Connection) -> bool:
        return held.identity.era != self._eras[held.identity.coordinate][-1]

    def _check_revoked_at(self, answer: laws.RevocationAnswer, loaded_at: int) -> None:
        held = self._connections[ConnectionId(answer.connection_id)]
        if self._era_began_at[held.identity.coordinate] > loaded_at:
            # A connection that arrived after a tombstone shows that tombstone's instant until the
            # next tombstone sweeps it.
            return
        revoked_at = shown_revoked_at(held, self._bindings.get(held.identity.coordinate))
        stored = None if revoked_at is None else format_time(revoked_at)
        if answer.revoked_at != stored:
            what = f"revokedAt is {answer.revoked_at} in the response and {stored} in the store"
            raise LawBrokenError(2, what, f"connection {answer.connection_id}")

    def _check_not_found(
        self, response: Response, caller: Caller | None, needs: Needs | None
    ) -> None:
        if self._first_not_found is None:
            self._first_not_found = response
        laws.check_indistinguishable(self._first_not_found, response)
        requested = None if needs is None else needs.connection
        held = None if requested is None else self._connections.get(requested)
        if held is not None and caller is not None and caller.owns(held.identity.coordinate):
            what = f"404 although it is stored as {held.status} and belongs to the caller"
            raise LawBrokenError(1, what, f"connection {held.id}")


def _chain_key(identity: ConnectionIdentity) -> tuple[object, ...]:
    return identity.coordinate, identity.data_packages, identity.root_id
