"""A state machine of one chain: late and repeated facts, revocations, recoveries, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.chain import Minted, is_live
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import Transition
from curae_lifecycle.rules.values import ConnectionId, DataPackage, NextAction
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
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.laws import (
    RevocationAnswer,
    check_chain,
    check_nothing_changed,
    check_one_pending_successor,
    check_rank_never_falls,
    check_revocation,
    check_standing_is_monotone,
)
from tests.proof.reference import tables
from tests.proof.reference.facts import Connection as Stored
from tests.proof.reference.facts import deadline_of, standing
from tests.proof.reference.requests import ProblemReply
from tests.proof.reference.values import SKEW
from tests.proof.stateful.driven import MISTAKE, DrivenModel
from tests.proof.stateful.running import (
    START,
    TICK,
    CountedMachine,
    Said,
    agree,
    code_and_details,
    heard,
    is_mistake,
    ticks,
)
from tests.support.strategies import COORDINATE, uuid

PACKAGES: Final = ("labs", "vitals")

which = st.sampled_from([0, 0, 1, 0, 1, 2, 3])
"""A connection of the chain; 0 is the newest."""
moments = st.sampled_from(["now", "now", "created", "deadline", "deadline", "soon"])
lives = st.sampled_from([60, 60, 30, 1])
reasons = st.sampled_from(["portal_login", "consent"])

BEGUN: Final = [
    ("lapse", "reconnect", "authorize the recovered"),
    ("authorize",),
    ("authorize", "require action"),
    (),
    ("authorize", "require action", "reconnect"),
    ("authorize", "require action", "reconnect", "authorize"),
    ("authorize", "expire"),
    ("authorize", "expire", "reconnect", "authorize"),
    (*("authorize", "require action", "reconnect") * 2,),
    ("lapse", "reconnect", "authorize"),
    ("authorize", "expire", "reconnect", "lapse"),
]
"""Events of a chain before a run, which bring rare states close."""


class ChainMoves(CountedMachine):
    """A chain that is only changed, so that it grows long."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.line: list[Connection] = []
        self.model = DrivenModel(COORDINATE)
        self.snapshots: dict[str, list[Connection]] = {}
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
        self.model.mint(uuid(1), self.now, deadline, *PACKAGES)
        self._store(made)
        for trigger in begun:
            match trigger:
                case "authorize":
                    self.authorize(0, moment="now", tick=0, lasts=50)
                case "authorize the recovered":
                    self.authorize(1, moment="created", tick=0, lasts=50)
                case "require action":
                    self.require_action(0, moment="now", tick=0, reason="portal_login")
                case "expire":
                    self.expire(0, "now", 0)
                case "lapse":
                    self.time_comes_to_a_deadline(0, 0)
                case _:
                    self.reconnect(0, 60)

    # Time -----------------------------------------------------------------------------------

    @rule(by=st.sampled_from([1, 40, 60]))
    def time_passes(self, by: int) -> None:
        self.now += by * TICK

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
        self._fact(
            n,
            fact="authorize",
            given={"happenedAt": happened} | ({} if end is None else {"expiresAt": end}),
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
        self._fact(
            n,
            fact="require_action",
            given={"happenedAt": happened, "reason": reason},
            record=lambda: triggers.require_action(
                before, now, reason=reason, happened_at=happened, era=None
            ),
        )

    @rule(n=which, moment=moments, tick=ticks)
    def expire(self, n: int, moment: str, tick: int) -> None:
        n = self._at(n)
        happened = self._moment(n, moment, tick)
        before, now = self.line[n], self.now
        self._fact(
            n,
            fact="expire",
            given={"happenedAt": happened},
            record=lambda: triggers.expire(before, now, happened_at=happened, era=None),
        )

    def _fact(
        self,
        n: int,
        fact: str,
        given: Mapping[str, str | datetime],
        record: Callable[[], Transition],
    ) -> None:
        told = f"{fact} of {self.model.chain[n]}"
        said = self._said(n, fact, given)
        if said == MISTAKE:
            agree(f"{fact} out of order is a mistake", True, is_mistake(record))
            return
        before, answer = self.line[n], record()
        agree(told, said, heard(answer))
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
        stored = [each.copy() for each in self.model.chain]
        said = self._said(n, "revoke", {"happenedAt": happened, "actor": str(actor)})

        def record() -> tuple[Done[Connection] | Ignored[Connection], ...]:
            return chains.revoke_chain(
                before, following, now, actor=actor, happened_at=happened, era=None
            )

        if said == MISTAKE:
            agree("a revocation out of order is a mistake", True, is_mistake(record))
            return
        answers = record()
        reached = (before, *following)[: len(answers)]
        whole = actor in {Actor.PATIENT, Actor.PLATFORM}
        changes = revocation_changes(reached, answers, has_head=whole)
        if not whole and isinstance(answers[0], Done):
            changes += live_head_changes(before, head, now, era=None)
        ended = any(isinstance(answer, Done) for answer in answers)
        agree(f"revoked by {actor}", said, ("done" if ended else "ignored", None))
        effects = self._effects(stored, n, n + len(reached), whole=whole)
        agree(f"what is revoked by {actor}", effects, list(changes.effects))
        for position, answer in enumerate(answers, n):
            self.revocations.append(RevocationAnswer.of(answer))
            if isinstance(answer, Ignored):
                assert answer.value is self.line[position]
        self._write(changes)

    def _said(self, n: int, fact: str, given: Mapping[str, str | datetime]) -> Said:
        connection_id = self.model.chain[n]["id"]
        return self.model.fact(self.now, f"connection.{fact}", connectionId=connection_id, **given)

    def _effects(self, before: list[Stored], n: int, end: int, *, whole: bool) -> list[Effect]:
        """Return the effects of a revocation of the connections from `n` to `end`, by the tables."""
        effects: list[Effect] = []
        for stored, revoked in zip(before[n:end], self.model.chain[n:end], strict=True):
            connection_id, at = ConnectionId(stored["id"]), revoked["revoked_at"]
            if stored["revoked_at"] is None and at is not None:
                access = tables.ENDING[stored["status"],] == "the access that it gave"
                effects.append(
                    AccessEnded(connection_id, at) if access else HandoffCancelled(connection_id)
                )
        head = before[-1]
        lives = tables.LIFE[standing(head, self.now),] == "live"
        if effects and not whole and head != before[n] and lives:
            effects.append(SuccessorsLive(ConnectionId(before[n]["id"]), ConnectionId(head["id"])))
        return effects

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
        if isinstance(said, ProblemReply):
            assert isinstance(answer, Refused)
            code, details = code_and_details(answer.problem)
            details = {name: details[name] for name in said.details}
            agree("reconnect", (said.code, said.details), (code, details))
            return
        assert isinstance(answer, Done), f"the model says: done\n  the rules say:  {answer!r}"
        recovered = answer.value.connection
        if isinstance(answer.value, Minted):
            changes = recovery_changes(before, recovered)
        else:
            old = answer.value.before
            killed = NextActionReplaced(recovered.id)
            changes = connection_write_changes(
                EventKind.CONNECTION_REISSUED, old, recovered, killed
            )
        self.recoveries.append((before.id, recovered.id))
        self._write(changes)

    # What always holds ----------------------------------------------------------------------

    @invariant()
    def the_chain_is_the_model_s(self) -> None:
        agree("the stored chain", self.model.chain, list(map(shown, self.line)))
        for connection, stored in zip(self.line, self.model.chain, strict=True):
            at_now = str(rules.standing(connection, self.now, era=None))
            agree(f"the standing of {connection.id}", standing(stored, self.now), at_now)
            lives_on = tables.LIFE[standing(stored, self.now),] == "live"
            agree(f"the life of {connection.id}", lives_on, is_live(connection, self.now, era=None))
            deadline = rules.next_deadline(connection, era=None)
            agree(f"the deadline of {connection.id}", deadline_of(stored), deadline)

    @invariant()
    def laws_4_and_6_hold_of_the_chain(self) -> None:
        check_chain(self.line, max(self.now, *(each.updated_at for each in self.line)), era=None)
        *older, newest = self.line
        # Stricter than law 6: a connection with a successor is never authorized again.
        standings = {str(rules.standing(each, self.now, era=None)) for each in older}
        agree("an older connection is active", False, "ACTIVE" in standings)
        positions = [each.identity.position for each in self.line]
        agree("the positions", [*range(1, len(self.line) + 1)], positions)
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
            return self.now + SKEW + tick * TICK
        stored = self.model.chain[n]
        anchor = stored["created_at"] if moment == "created" else deadline_of(stored)
        happened = (anchor or self.now) + tick * TICK
        if moment == "deadline":
            self.now = max(self.now, happened)
        return happened

    def _store(self, connection: Connection, n: int = 0) -> None:
        self.line[n : n + 1] = [connection]
        self.history.append(connection)
        self.snapshots.setdefault(connection.id, []).append(connection)


def shown(connection: Connection) -> Stored:
    """Return a connection in the model's words."""
    identity = connection.identity
    coordinate = identity.coordinate
    assert connection.handoff_deadline is not None
    return {
        "id": identity.id,
        "environment": str(coordinate.environment),
        "app": coordinate.app_id,
        "account": coordinate.customer_account_id,
        "user": coordinate.app_user_id,
        "packages": [*identity.data_packages],
        "status": str(connection.status),
        "authorized_at": connection.authorized_at,
        "expires_at": connection.expires_at,
        "revoked_at": connection.revoked_at,
        "reason": connection.action_required_reason,
        "created_at": identity.created_at,
        "updated_at": connection.updated_at,
        "deadline": connection.handoff_deadline,
        "previous": identity.predecessor_id,
        "over": False,
    }
