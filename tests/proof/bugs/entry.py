"""Servers with a wrong entry flow: paths, bindings and hand-offs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.session import EntryPath, HandoffState
from curae_lifecycle.rules.values import LAST_INSTANT, Coordinate, UserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import BindingWrite, SessionWrite, Write
from curae_lifecycle.stores.keys import coordinate_key_parts
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, with_members


class _MisreadBinding(Service):
    """A server that gives the rules of a request another binding than the stored one."""

    compares = False

    def misread(
        self, binding: LimitedAccountAppBinding | None, call: Call
    ) -> LimitedAccountAppBinding | None:
        del call
        return binding

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        return attrs.evolve(snapshot, binding=self.misread(snapshot.binding, call))


def _in_state(binding: LimitedAccountAppBinding | None, state: AccountState) -> bool:
    return binding is not None and binding.state is state


class SignUpForLimited(_MisreadBinding):
    def misread(
        self, binding: LimitedAccountAppBinding | None, call: Call
    ) -> LimitedAccountAppBinding | None:
        operation = call.operation
        if isinstance(operation, Initiate) and operation.prefer_signup:
            return None if _in_state(binding, AccountState.LIMITED) else binding
        return binding


class SignUpForTombstoned(_MisreadBinding):
    def misread(
        self, binding: LimitedAccountAppBinding | None, call: Call
    ) -> LimitedAccountAppBinding | None:
        operation = call.operation
        if isinstance(operation, Initiate) and operation.prefer_signup:
            return None if _in_state(binding, AccountState.TOMBSTONED) else binding
        return binding


class TombstonedStaysActive(_MisreadBinding):
    def misread(
        self, binding: LimitedAccountAppBinding | None, call: Call
    ) -> LimitedAccountAppBinding | None:
        if isinstance(call.operation, Initiate) and _in_state(binding, AccountState.TOMBSTONED):
            return None if binding is None else attrs.evolve(binding, state=AccountState.ACTIVE)
        return binding


class EveryoneGraduates(_MisreadBinding):
    def misread(
        self, binding: LimitedAccountAppBinding | None, call: Call
    ) -> LimitedAccountAppBinding | None:
        operation = call.operation
        if not isinstance(operation, StartGraduation):
            return binding
        coordinate = call.caller.coordinate(operation.app_user_id)
        return LimitedAccountAppBinding(
            coordinate=coordinate, user_id=UserId("u"), state=AccountState.LIMITED, generation=1
        )


class ActiveGraduatesAgain(_MisreadBinding):
    def misread(
        self, binding: LimitedAccountAppBinding | None, call: Call
    ) -> LimitedAccountAppBinding | None:
        if isinstance(call.operation, StartGraduation) and _in_state(binding, AccountState.ACTIVE):
            return None if binding is None else attrs.evolve(binding, state=AccountState.LIMITED)
        return binding


class SignUpByDefault(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        operation = call.operation
        if isinstance(operation, Initiate):
            call = attrs.evolve(call, operation=attrs.evolve(operation, prefer_signup=True))
        return super().decide(call, snapshot, now, new_ids=new_ids)


class PreferenceIgnored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        operation = call.operation
        if isinstance(operation, Initiate):
            call = attrs.evolve(call, operation=attrs.evolve(operation, prefer_signup=False))
        return super().decide(call, snapshot, now, new_ids=new_ids)


class PathAWaits(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if (
            not isinstance(reply, SessionInitiated)
            or reply.session.path is not EntryPath.EXISTING_ACTIVE_HANDOFF
        ):
            return decision
        waits = attrs.evolve(reply.session, handoff=HandoffState.AWAITED, landed_at=None)
        writes = tuple(
            SessionWrite(None, waits) if isinstance(write, SessionWrite) else write
            for write in decision.changes.writes
        )
        changes = attrs.evolve(decision.changes, writes=writes)
        return attrs.evolve(decision, reply=attrs.evolve(reply, session=waits), changes=changes)


class OneSessionPerCoordinate(Service):
    compares = False

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[Coordinate, SessionInitiated] = {}

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, SessionInitiated):
            first = self.sessions.setdefault(reply.session.coordinate, reply)
            return attrs.evolve(decision, reply=first)
        return decision


class NobodyProvisioned(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is not None:
            writes = tuple(write for write in writes if not isinstance(write, BindingWrite))
        return super().store(call, writes)


class _MisreadHandoff(Service):
    """A server that gives the rules of a fact another snapshot than the stored one."""

    compares = False

    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        del fact
        return snapshot

    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        return super().judge_fact(fact, self.misread(snapshot, fact), now)


class SignUpOverLimited(_MisreadHandoff):
    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        if isinstance(fact, HandoffCompleted) and _in_state(snapshot.binding, AccountState.LIMITED):
            return attrs.evolve(snapshot, binding=None)
        return snapshot


class SignUpOverTombstone(_MisreadHandoff):
    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        tombstoned = _in_state(snapshot.binding, AccountState.TOMBSTONED)
        if isinstance(fact, HandoffCompleted) and tombstoned:
            return attrs.evolve(snapshot, binding=None)
        return snapshot


class SessionNeverOver(_MisreadHandoff):
    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        if isinstance(fact, HandoffCompleted) and snapshot.session is not None:
            session = attrs.evolve(snapshot.session, expires_at=LAST_INSTANT)
            return attrs.evolve(snapshot, session=session)
        return snapshot


class SilentPathCompletes(_MisreadHandoff):
    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        session = snapshot.session
        if (
            isinstance(fact, HandoffCompleted)
            and session is not None
            and session.path is EntryPath.SILENT_LIMITED
        ):
            waits = attrs.evolve(
                session, path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, handoff=HandoffState.AWAITED
            )
            return attrs.evolve(snapshot, session=waits, binding=None)
        return snapshot


class GraduatesNobody(_MisreadHandoff):
    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        if isinstance(fact, Graduated) and snapshot.binding is None:
            nobody = LimitedAccountAppBinding(
                coordinate=fact.coordinate,
                user_id=fact.user_id or UserId("u"),
                state=AccountState.LIMITED,
                generation=1,
            )
            return attrs.evolve(snapshot, binding=nobody)
        return snapshot


class GraduatesTheDead(_MisreadHandoff):
    def misread(self, snapshot: Snapshot, fact: Fact) -> Snapshot:
        binding = snapshot.binding
        if isinstance(fact, Graduated) and binding is not None:
            if fact.user_id is not None:
                binding = attrs.evolve(binding, user_id=fact.user_id)
            alive = attrs.evolve(binding, state=AccountState.LIMITED)
            return attrs.evolve(snapshot, binding=alive)
        return snapshot


class TombstoneUnlinks(Service):
    def record(self, fact: Fact) -> FactAnswer:
        answer = super().record(fact)
        if isinstance(fact, Tombstoned) and isinstance(answer, Done):
            del self.memory._bindings[coordinate_key_parts(fact.coordinate)]
        return answer


class HalfLanding(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is None and any(isinstance(write, SessionWrite) for write in writes):
            writes = tuple(write for write in writes if not isinstance(write, BindingWrite))
        return super().store(call, writes)


class SessionEndsWithTheDay(Service):
    def answered(self, response: Response) -> Response:
        return with_members(response, "session", expiresAt="2026-12-31T00:00:00Z")


BUGS: Final = (
    VisibleBug(
        name="sign-up-for-limited",
        wrong="A LIMITED user whose app prefers a sign-up is sent down Path B.",
        breaks="law 8; entry-path.limited.sign-up",
        found_by=("entry-path.limited.sign-up",),
        make=SignUpForLimited,
    ),
    VisibleBug(
        name="sign-up-for-tombstoned",
        wrong="A tombstoned account whose app prefers a sign-up is sent down Path B.",
        breaks="law 8; entry-path.tombstoned",
        found_by=(
            "entry-path.tombstoned.sign-up",
            "binding.new-generation",
        ),
        make=SignUpForTombstoned,
    ),
    VisibleBug(
        name="tombstoned-stays-active",
        wrong="A tombstoned user is handed over as if still there.",
        breaks="law 8; entry-path.tombstoned",
        seen="TryGhost/Members#240, jikig-ai/soleur#2190",
        found_by=(
            "entry-path.tombstoned",
            "binding.provision.tombstoned",
        ),
        make=TombstonedStaysActive,
    ),
    VisibleBug(
        name="everyone-graduates",
        wrong="A graduation hand-off starts whatever the account is.",
        breaks="graduation-handoff.unlinked",
        found_by=("graduation-handoff.unlinked",),
        make=EveryoneGraduates,
    ),
    VisibleBug(
        name="active-graduates-again",
        wrong="A graduation hand-off starts for a user who graduated before.",
        breaks="graduation-handoff.active",
        seen="protean PR#806: terminal states accepted re-entry",
        found_by=("graduation-handoff.active",),
        make=ActiveGraduatesAgain,
    ),
    VisibleBug(
        name="sign-up-by-default",
        wrong="An absent preferSignup is read as true.",
        breaks="law 8; entry-path.unlinked.silent",
        found_by=(
            "entry-path.unlinked.silent",
            "binding.provision.unlinked",
        ),
        make=SignUpByDefault,
    ),
    VisibleBug(
        name="preference-ignored",
        wrong="preferSignup is never looked at.",
        breaks="law 8; entry-path.unlinked.sign-up",
        seen="SandeepVashishtha/Eventra#8049: a value that was defined and never used",
        found_by=(
            "entry-path.unlinked.sign-up",
            "completion.landed.same",
        ),
        make=PreferenceIgnored,
    ),
    VisibleBug(
        name="path-a-waits",
        wrong="The hand-off of Path A does not land with the session: it waits for a completion.",
        breaks="entry-path.active",
        found_by=(
            "entry-path.active",
            "completion.second-session",
        ),
        make=PathAWaits,
    ),
    VisibleBug(
        name="one-session-per-coordinate",
        wrong="A new key gets the first session again, with its old URL.",
        breaks="operation.initiate",
        found_by=("initiate.fresh-sessions",),
        make=OneSessionPerCoordinate,
    ),
    VisibleBug(
        name="nobody-provisioned",
        wrong="Path C answers and provisions nobody.",
        breaks="binding.provision.unlinked",
        seen="pytransitions#202: half of a change is stored",
        found_by=("binding.provision.unlinked",),
        make=NobodyProvisioned,
    ),
    VisibleBug(
        name="sign-up-over-limited",
        wrong="A sign-up replaces the LIMITED user that came in between.",
        breaks="binding.complete-sign-up.limited",
        found_by=("binding.complete-sign-up.limited",),
        make=SignUpOverLimited,
    ),
    VisibleBug(
        name="sign-up-over-tombstone",
        wrong="A sign-up that began before the tombstone brings the account back.",
        breaks="binding.complete-sign-up.tombstoned",
        seen="jikig-ai/soleur#2190",
        found_by=("binding.complete-sign-up.tombstoned", "law-17.waiting-session"),
        make=SignUpOverTombstone,
    ),
    VisibleBug(
        name="session-never-over",
        wrong="A session is completed after its page was over.",
        breaks="completion.over",
        seen="SandeepVashishtha/Eventra#8049",
        found_by=("completion.over",),
        make=SessionNeverOver,
    ),
    VisibleBug(
        name="silent-path-completes",
        wrong="A session on Path C is completed like one on Path B.",
        breaks="completion.silent-limited",
        found_by=("completion.silent-limited",),
        make=SilentPathCompletes,
    ),
    VisibleBug(
        name="graduates-nobody",
        wrong="A graduation where nobody is bound makes an active user.",
        breaks="binding.graduate.unlinked",
        found_by=("binding.graduate.unlinked",),
        make=GraduatesNobody,
    ),
    VisibleBug(
        name="graduates-the-dead",
        wrong="A graduation brings a tombstoned user back.",
        breaks="binding.graduate.tombstoned",
        seen="TryGhost/Members#240",
        found_by=(
            "binding.graduate.tombstoned",
            "binding.graduate.limited.other",
        ),
        make=GraduatesTheDead,
    ),
    VisibleBug(
        name="tombstone-unlinks",
        wrong="A tombstone deletes the binding, so the account looks as if it had never been.",
        breaks="binding.tombstone.active",
        found_by=(
            "binding.tombstone.active",
            "binding.tombstone.limited",
        ),
        make=TombstoneUnlinks,
    ),
    VisibleBug(
        name="half-landing",
        wrong="A hand-off lands in the session and not in the binding.",
        breaks="binding.complete-sign-up.unlinked",
        seen="pytransitions#202, stateless#5, spring-statemachine#148",
        found_by=(
            "binding.complete-sign-up.unlinked",
            "binding.provision.active",
        ),
        make=HalfLanding,
    ),
    VisibleBug(
        name="session-ends-on-its-own",
        wrong="A session says another end than its next action.",
        breaks="operation.initiate",
        found_by=("entry-path.unlinked.sign-up",),
        make=SessionEndsWithTheDay,
    ),
)
"""The seeded bugs about the entry flow."""
