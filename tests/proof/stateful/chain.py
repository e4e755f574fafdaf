"""A state machine of one chain: late and repeated facts, revocations, recoveries, snapshots."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.chain import Minted, is_live
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import Transition
from curae_lifecycle.rules.values import ConnectionId, DataPackage, NextAction
from curae_lifecycle.rules.wire_status import WireStatus
from curae_lifecycle.service.changes import (
    Changes,
    connection_write_changes,
    live_head_changes,
    recovery_changes,
    revocation_changes,
)
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    NextActionReplaced,
    SuccessorsLive,
)
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.laws import (
    RevocationAnswer,
    check_access,
    check_chain,
    check_merge,
    check_nothing_changed,
    check_one_pending_successor,
    check_rank_never_falls,
    check_revocation,
    check_standing_is_monotone,
)
from curae_lifecycle.web.wire_format import format_connection, parse_connection
from tests.proof.stateful.chain_model import (
    LIVE,
    PACKAGES,
    ChainModel,
    Stored,
    deadline_of,
    join,
    on_the_wire,
    read_from_the_wire,
    standing,
)
from tests.proof.stateful.coordinate_model import MISTAKE, TOLERANCE, Said, show
from tests.proof.stateful.running import (
    START,
    TICK,
    CountedMachine,
    agree,
    code_and_details,
    heard,
    is_mistake,
    ticks,
)
from tests.support.strategies import COORDINATE, uuid

OF_THE_WIRE_ALONE: Final = {"customerAccountId", "appUserId"}

which = st.sampled_from([0, 0, 1, 0, 1, 2, 3])
"""A connection of the chain; 0 is the newest."""
moments = st.sampled_from(["now", "now", "created", "deadline", "deadline", "soon"])
lives = st.sampled_from([60, 60, 30, 1, 0])
reasons = st.sampled_from(["portal_login", "consent"])

BEGUN: Final = [
    ("authorize",),
    ("authorize", "require action"),
    (),
    ("authorize", "require action", "reconnect"),
    ("authorize", "require action", "reconnect", "authorize"),
    ("authorize", "expire"),
    ("authorize", "expire", "reconnect", "authorize"),
    (*("authorize", "require action", "reconnect") * 2,),
]
"""Events of a chain before a run, which bring rare states close."""


class ChainMachine(CountedMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.line: list[Connection] = []
        self.model = ChainModel()
        self.snapshots: dict[str, list[tuple[Connection, Stored]]] = {}
        self.history: list[Connection] = []
        self.revocations: list[RevocationAnswer] = []
        self.recoveries: list[tuple[str, str]] = []

    def teardown(self) -> None:
        check_rank_never_falls(self.history)
        check_revocation(self.revocations)
        check_one_pending_successor(self.recoveries, stored=self.line)
        super().teardown()

    @initialize(life=lives, begun=st.sampled_from(BEGUN))
    def create(self, life: int, begun: tuple[str, ...]) -> None:
        deadline = self.now + life * TICK
        made = rules.create(
            id=ConnectionId(uuid(1)),
            coordinate=COORDINATE,
            data_packages=tuple(map(DataPackage, PACKAGES)),
            now=self.now,
            next_action=NextAction("https://connect.example/1", deadline),
            era=None,
        )
        self.model.mint(uuid(1), self.now, deadline)
        self._store(made)
        for trigger in begun:
            match trigger:
                case "authorize":
                    self.authorize(0, moment="now", tick=0, lasts=50)
                case "require action":
                    self.require_action(0, moment="now", tick=0, reason="portal_login")
                case "expire":
                    self.expire(0, "now", 0)
                case _:
                    self.reconnect(0, 60)

    # Time -----------------------------------------------------------------------------------

    @rule(by=st.sampled_from([1, 1, 40]))
    def time_passes(self, by: int) -> None:
        self.now += by * TICK

    @rule(by=st.sampled_from([1, 40, 300_000_000]))
    def another_worker_s_clock_is_behind(self, by: int) -> None:
        self.now -= by * TICK

    @rule(n=which, tick=ticks)
    def time_comes_to_a_deadline(self, n: int, tick: int) -> None:
        deadline = rules.next_deadline(self.line[self._at(n)], era=None)
        if deadline is not None:
            self.now = max(self.now, deadline + tick * TICK)

    # Facts ----------------------------------------------------------------------------------

    @rule(n=which, moment=moments, tick=ticks, lasts=st.sampled_from([50, None, 50, None, 1, 0]))
    def authorize(self, n: int, moment: str, tick: int, lasts: int | None) -> None:
        n = self._at(n)
        happened = self._moment(n, moment, tick)
        end = None if lasts is None else happened + lasts * TICK
        successor, head = self._later(n)
        before, now = self.line[n], self.now
        said = self.model.authorize(n, now, happened, end=end)
        self._fact(
            n,
            fact="authorize",
            said=said,
            record=lambda: triggers.authorize(
                before,
                now,
                expires_at=end,
                happened_at=happened,
                successor=successor,
                head=head,
                era=None,
            ),
        )

    @rule(n=which, moment=moments, tick=ticks, reason=reasons)
    def require_action(self, n: int, moment: str, tick: int, reason: str) -> None:
        n = self._at(n)
        happened = self._moment(n, moment, tick)
        before, now = self.line[n], self.now
        said = self.model.require_action(n, now, happened, reason=reason)
        self._fact(
            n,
            fact="require_action",
            said=said,
            record=lambda: triggers.require_action(
                before, now, reason=reason, happened_at=happened, era=None
            ),
        )

    @rule(n=which, moment=moments, tick=ticks)
    def expire(self, n: int, moment: str, tick: int) -> None:
        n = self._at(n)
        happened = self._moment(n, moment, tick)
        before, now = self.line[n], self.now
        said = self.model.expire(n, now, happened)
        self._fact(
            n,
            fact="expire",
            said=said,
            record=lambda: triggers.expire(before, now, happened_at=happened, era=None),
        )

    def _fact(self, n: int, fact: str, said: Said, record: Callable[[], Transition]) -> None:
        if said == MISTAKE:
            agree(f"{fact} out of order is a mistake", True, is_mistake(record))
            return
        before, answer = self.line[n], record()
        agree(f"{fact} of {self.model.line[n]}", said, heard(answer))
        match answer:
            case Done(after):
                self._store(after, n)
            case Ignored(after):
                check_nothing_changed(before, after)
                assert after is before
            case Refused():
                check_nothing_changed(before, self.line[n])

    # Commands -------------------------------------------------------------------------------

    @rule(n=which, moment=moments, tick=ticks, actor=st.sampled_from(Actor))
    def revoke(self, n: int, moment: str, tick: int, actor: Actor) -> None:
        n = self._at(n)
        happened = self._moment(n, moment, tick)
        before, following, now = self.line[n], tuple(self.line[n + 1 :]), self.now
        _, head = self._later(n)
        said = self.model.revoke(n, now, happened, actor=actor)

        def record() -> tuple[Done[Connection] | Ignored[Connection], ...]:
            return chains.revoke_chain(
                before, following, now, actor=actor, happened_at=happened, era=None
            )

        if said is None:
            agree("a revocation out of order is a mistake", True, is_mistake(record))
            return
        answers = record()
        reached = (before, *following)[: len(answers)]
        whole = actor in {Actor.PATIENT, Actor.PLATFORM}
        changes = revocation_changes(reached, answers, heads=reached[-1:] if whole else ())
        if not whole and isinstance(answers[0], Done):
            changes += live_head_changes(before, head, now, era=None)
        outcomes = [heard(answer)[0] for answer in answers]
        agree(f"revoked by {actor}", said, (outcomes, list(map(in_words, changes.effects))))
        for position, answer in enumerate(answers, n):
            self.revocations.append(RevocationAnswer.of(answer))
            if isinstance(answer, Ignored):
                assert answer.value is self.line[position]
        if whole and outcomes[-1] == "ignored":
            # The head was relied on: no connection created meanwhile may follow it.
            self.model.rely_on(len(self.line) - 1)
        self._write(changes)

    @rule(n=which, life=lives, times=st.sampled_from([2, 1, 2, 3]))
    def reconnect(self, n: int, life: int, times: int = 1) -> None:
        """Reconnect, repeatedly if the client lost the response and uses another key."""
        position = self._at(n)
        for _ in range(times):
            self._reconnect(position, life)

    def _reconnect(self, n: int, life: int) -> None:
        new_id, deadline = uuid(len(self.line) + 1), self.now + life * TICK
        successor, head = self._later(n)
        before = self.line[n]
        answer = chains.reconnect(
            before,
            successor,
            self.now,
            id=ConnectionId(new_id),
            next_action=NextAction("https://connect.example/1", deadline),
            head=head,
            era=None,
        )
        said = self.model.reconnect(n, self.now, new_id, deadline=deadline)
        if isinstance(answer, Refused):
            agree("reconnect", said, heard(answer))
            return
        recovered = answer.value.connection
        if isinstance(answer.value, Minted):
            kind, changes = "minted", recovery_changes(before, recovered)
        else:
            kind, old = "reissued", answer.value.before
            killed = NextActionReplaced(recovered.id)
            changes = connection_write_changes(
                EventKind.CONNECTION_REISSUED, old, recovered, killed
            )
        agree("reconnect", said, ("done", None, {kind: recovered.id}))
        self.recoveries.append((before.id, recovered.id))
        self._write(changes)

    # Questions and snapshots ----------------------------------------------------------------

    @rule(
        n=which,
        package=st.sampled_from(["labs", "notes"]),
        active=st.sampled_from(["ACTIVE", "AUTHORIZED"]),
    )
    def look(self, n: int, package: str, active: str) -> None:
        n = self._at(n)
        self._ask(n, package)
        self._send(n, active)

    @rule(n=which)
    def look_elsewhere(self, n: int) -> None:
        """Show less or more of a connection to another server, in either spelling."""
        n = self._at(n)
        for active in ("ACTIVE", "AUTHORIZED"):
            document = format_connection(self.line[n], self.now, active, binding=None)
            more, less = self.model.line[n].copy(), self.model.line[n].copy()
            more["authorized"] = more["authorized"] or more["created"]
            less["authorized"] = less["reason"] = None
            since = document["authorizedAt"] or document["createdAt"]
            self._read(n, document | {"authorizedAt": since}, more)
            bare: dict[str, Json] = {"authorizedAt": None, "actionRequiredReason": None}
            self._read(n, document | bare, less)

    @rule(n=which)
    def look_at_contradictions(self, n: int) -> None:
        """Check that a status that contradicts its `revokedAt` counts as revoked."""
        n = self._at(n)
        connection, now = self.line[n], self.now
        for status in rules.Status:
            at = None if status is rules.Status.REVOKED else connection.updated_at
            torn = attrs.evolve(connection, status=status, revoked_at=at)
            agree(
                "the standing of a contradiction",
                "REVOKED",
                str(rules.standing(torn, now, era=None)),
            )
            agree("the deadline of a contradiction", None, rules.next_deadline(torn, era=None))
        document = format_connection(connection, now, binding=None)
        since = document["updatedAt"]
        for spelled in WireStatus:
            revoked = None if spelled is WireStatus.REVOKED else since
            for authorized in (None, since):
                told: dict[str, Json] = {
                    "status": spelled.value,
                    "authorizedAt": authorized,
                    "revokedAt": revoked,
                    "actionRequiredReason": None,
                }
                read = self._parsed(n, document | told)
                agree("the status of a contradiction", "REVOKED", str(read.status))

    def _ask(self, n: int, package: str) -> None:
        reason, until = self.model.ask(n, self.now, package)
        answer = decide_access(self.line[n], package, self.now, era=None)
        check_access(self.line[n], package, self.now, era=None)
        if isinstance(answer, Granted):
            agree("access", (reason, until), (None, answer.valid_until))
            return
        details = {"connectionId": self.line[n].id, "dataPackage": package, "reason": reason}
        agree("access", ("CONNECTION_ACCESS_DENIED", details), code_and_details(answer.problem))

    def _send(self, n: int, active: str) -> None:
        """Send a snapshot over the wire and return the receiver's value."""
        connection, stored = self.line[n], self.model.line[n]
        document = format_connection(connection, self.now, active, binding=None)
        sent = {name: it for name, it in document.items() if name not in OF_THE_WIRE_ALONE}
        agree("a connection on the wire", on_the_wire(stored, self.now, active), sent)
        read = self._read(n, document, stored)
        self.snapshots[connection.id].append((read, read_from_the_wire(stored, self.now)))

    def _read(self, n: int, document: dict[str, Json], stored: Stored) -> Connection:
        read = self._parsed(n, document)
        agree("a snapshot read from the wire", read_from_the_wire(stored, self.now), shown(read))
        return read

    def _parsed(self, n: int, document: dict[str, Json]) -> Connection:
        connection = self.line[n]
        return parse_connection(
            document,
            environment=COORDINATE.environment,
            app_id=COORDINATE.app_id,
            predecessor_id=connection.identity.predecessor_id,
            root_id=connection.identity.root_id,
            position=connection.identity.position,
        )

    @rule(n=which, picks=st.tuples(*[st.integers(0, 7)] * 3))
    def merge(self, n: int, picks: tuple[int, int, int]) -> None:
        snapshots = self.snapshots[self.line[self._at(n)].id]
        (a, one), (b, other), (c, _) = (snapshots[-1 - pick % len(snapshots)] for pick in picks)
        check_merge(a, b, c)
        agree("two snapshots merged", join(one, other), shown(merging.merge(a, b)))
        if merging.merge(a, b) not in (a, b):
            self.snapshots[a.id].append((merging.merge(a, b), join(one, other)))

    # What always holds ----------------------------------------------------------------------

    @invariant()
    def the_chain_is_the_model_s(self) -> None:
        agree("the stored chain", self.model.line, list(map(shown, self.line)))
        for connection, stored in zip(self.line, self.model.line, strict=True):
            at_now = str(rules.standing(connection, self.now, era=None))
            agree(f"the standing of {connection.id}", standing(stored, self.now), at_now)
            lives_on = standing(stored, self.now) in LIVE
            agree(f"the life of {connection.id}", lives_on, is_live(connection, self.now, era=None))
            deadline = rules.next_deadline(connection, era=None)
            agree(f"the deadline of {connection.id}", deadline_of(stored), deadline)

    @invariant()
    def laws_4_and_6_hold_of_the_chain(self) -> None:
        check_chain(self.line, max(self.now, *(each.updated_at for each in self.line)), era=None)
        newest = self.line[-1]
        deadline = rules.next_deadline(newest, era=None) or self.now
        around = (deadline - TICK, deadline, deadline + TICK, self.now)
        check_standing_is_monotone(newest, around, era=None)

    # Helpers --------------------------------------------------------------------------------

    def _at(self, n: int) -> int:
        return len(self.line) - 1 - n % len(self.line)

    def _later(self, n: int) -> tuple[Connection | None, Connection | None]:
        """Return the successor and the head, if any."""
        later = self.line[n + 1 :]
        return (later[0], later[-1]) if later else (None, None)

    def _write(self, changes: Changes) -> None:
        for write in changes.writes:
            assert isinstance(write, ConnectionWrite)
            ids = [each.id for each in self.line]
            n = ids.index(write.after.id) if write.before is not None else len(ids)
            assert write.before is None or write.before == self.line[n]
            self._store(write.after, n)

    def _moment(self, n: int, moment: str, tick: int) -> datetime:
        if moment == "now":
            return self.now
        if moment == "soon":
            # The reporter's clock is ahead.
            seen = max(self.now, self.model.line[n]["updated"])
            return seen + TOLERANCE + tick * TICK
        stored = self.model.line[n]
        anchor = stored["created"] if moment == "created" else deadline_of(stored)
        happened = (anchor or self.now) + tick * TICK
        if moment == "deadline":
            self.now = max(self.now, happened)
        return happened

    def _store(self, connection: Connection, n: int = 0) -> None:
        self.line[n : n + 1] = [connection]
        self.history.append(connection)
        copy = self.model.line[n].copy()
        self.snapshots.setdefault(connection.id, []).append((connection, copy))


def shown(connection: Connection) -> Stored:
    """Return a connection in the model's words."""
    identity = connection.identity
    agree("the data packages", PACKAGES, list(identity.data_packages))
    return {
        "id": identity.id,
        "previous": identity.predecessor_id,
        "root": identity.root_id,
        "created": identity.created_at,
        "status": str(connection.status),
        "updated": connection.updated_at,
        "deadline": connection.handoff_deadline,
        "authorized": connection.authorized_at,
        "end": connection.expires_at,
        "reason": connection.action_required_reason,
        "revoked": connection.revoked_at,
        "revoked_by": connection.revoked_by,
        "version": connection.version,
    }


def in_words(effect: Effect) -> str:
    """Return an effect of a revocation in the model's words."""
    match effect:
        case HandoffCancelled(connection_id):
            return f"cancel the hand-off of {connection_id}"
        case AccessEnded(connection_id, at):
            return f"access of {connection_id} ended at {show(at)}"
        case SuccessorsLive(connection_id, head_id):
            return f"{head_id} lives on after {connection_id}"
        case _:
            return repr(effect)
