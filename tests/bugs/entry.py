"""Servers that get the entry flow wrong: paths, bindings and hand-offs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.session import EntryPath, Handoff
from curae_lifecycle.rules.values import LAST_INSTANT, Coordinate, UserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import BindingWrite, Changes, SessionWrite, Write
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactSnapshot
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.stores.keys import coordinate_name
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, with_members


class _MisreadBinding(Service):
    """Shows the rules of a request another binding than the stored one."""

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
        return LimitedAccountAppBinding(coordinate, UserId("u"), AccountState.LIMITED, 1)


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
        return super().decide(call, snapshot, now, new_ids)


class PreferenceIgnored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        operation = call.operation
        if isinstance(operation, Initiate):
            call = attrs.evolve(call, operation=attrs.evolve(operation, prefer_signup=False))
        return super().decide(call, snapshot, now, new_ids)


class PathAWaits(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if (
            not isinstance(reply, SessionInitiated)
            or reply.session.path is not EntryPath.EXISTING_ACTIVE_HANDOFF
        ):
            return decision
        waits = attrs.evolve(reply.session, handoff=Handoff.AWAITED, landed_at=None)
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
        decision = super().decide(call, snapshot, now, new_ids)
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
    """Shows the rules of a fact another snapshot than the stored one."""

    compares = False

    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
        del fact
        return snapshot

    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        return super().judge_fact(fact, self.misread(snapshot, fact), now)


class SignUpOverLimited(_MisreadHandoff):
    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
        if isinstance(fact, HandoffCompleted) and _in_state(snapshot.binding, AccountState.LIMITED):
            return attrs.evolve(snapshot, binding=None)
        return snapshot


class SignUpOverTombstone(_MisreadHandoff):
    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
        tombstoned = _in_state(snapshot.binding, AccountState.TOMBSTONED)
        if isinstance(fact, HandoffCompleted) and tombstoned:
            return attrs.evolve(snapshot, binding=None)
        return snapshot


class SessionNeverOver(_MisreadHandoff):
    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
        if isinstance(fact, HandoffCompleted) and snapshot.session is not None:
            session = attrs.evolve(snapshot.session, expires_at=LAST_INSTANT)
            return attrs.evolve(snapshot, session=session)
        return snapshot


class SilentPathCompletes(_MisreadHandoff):
    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
        session = snapshot.session
        if (
            isinstance(fact, HandoffCompleted)
            and session is not None
            and session.path is EntryPath.SILENT_LIMITED
        ):
            waits = attrs.evolve(
                session, path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, handoff=Handoff.AWAITED
            )
            return attrs.evolve(snapshot, session=waits, binding=None)
        return snapshot


class GraduatesNobody(_MisreadHandoff):
    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
        if isinstance(fact, Graduated) and snapshot.binding is None:
            nobody = LimitedAccountAppBinding(
                fact.coordinate, fact.user_id or UserId("u"), AccountState.LIMITED, 1
            )
            return attrs.evolve(snapshot, binding=nobody)
        return snapshot


class GraduatesTheDead(_MisreadHandoff):
    def misread(self, snapshot: FactSnapshot, fact: Fact) -> FactSnapshot:
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
            del self.memory._bindings[coordinate_name(fact.coordinate)]
        return answer


class TombstoneOfNobody(Service):
    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Tombstoned) and snapshot.binding is None:
            nobody = LimitedAccountAppBinding(
                fact.coordinate, UserId("nobody"), AccountState.TOMBSTONED, 1
            )
            return Done(Changes((BindingWrite(None, nobody),)), ())
        return super().judge_fact(fact, snapshot, now)


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
        "sign-up-for-limited",
        "A LIMITED user whose app prefers a sign-up is sent down Path B.",
        "law 8; entry-path.limited.sign-up",
        "",
        ("entry-path.limited.sign-up",),
        SignUpForLimited,
    ),
    VisibleBug(
        "sign-up-for-tombstoned",
        "A tombstoned account whose app prefers a sign-up is sent down Path B.",
        "law 8; entry-path.tombstoned",
        "",
        (
            "entry-path.tombstoned.sign-up",
            "binding.new-generation",
        ),
        SignUpForTombstoned,
    ),
    VisibleBug(
        "tombstoned-stays-active",
        "A tombstoned user is handed over as if still there.",
        "law 8; entry-path.tombstoned",
        "TryGhost/Members#240, jikig-ai/soleur#2190",
        (
            "entry-path.tombstoned",
            "binding.provision.tombstoned",
        ),
        TombstonedStaysActive,
    ),
    VisibleBug(
        "everyone-graduates",
        "A graduation hand-off starts whatever the account is.",
        "graduation-handoff.unlinked",
        "",
        ("graduation-handoff.unlinked",),
        EveryoneGraduates,
    ),
    VisibleBug(
        "active-graduates-again",
        "A graduation hand-off starts for a user who graduated before.",
        "graduation-handoff.active",
        "protean PR#806: terminal states accepted re-entry",
        ("graduation-handoff.active",),
        ActiveGraduatesAgain,
    ),
    VisibleBug(
        "sign-up-by-default",
        "An absent preferSignup is read as true.",
        "law 8; entry-path.unlinked.silent",
        "",
        (
            "entry-path.unlinked.silent",
            "binding.provision.unlinked",
        ),
        SignUpByDefault,
    ),
    VisibleBug(
        "preference-ignored",
        "preferSignup is never looked at.",
        "law 8; entry-path.unlinked.sign-up",
        "SandeepVashishtha/Eventra#8049: a value that was defined and never used",
        (
            "entry-path.unlinked.sign-up",
            "completion.landed.same",
        ),
        PreferenceIgnored,
    ),
    VisibleBug(
        "path-a-waits",
        "The hand-off of Path A does not land with the session: it waits for a completion.",
        "entry-path.active",
        "",
        (
            "entry-path.active",
            "completion.second-session",
        ),
        PathAWaits,
    ),
    VisibleBug(
        "one-session-per-coordinate",
        "A new key gets the first session again, with its old URL.",
        "operation.initiate",
        "",
        ("initiate.fresh-sessions",),
        OneSessionPerCoordinate,
    ),
    VisibleBug(
        "nobody-provisioned",
        "Path C answers and provisions nobody.",
        "binding.provision.unlinked",
        "pytransitions#202: half of a change is stored",
        ("binding.provision.unlinked",),
        NobodyProvisioned,
    ),
    VisibleBug(
        "sign-up-over-limited",
        "A sign-up replaces the LIMITED user that came in between.",
        "binding.complete-sign-up.limited",
        "",
        ("binding.complete-sign-up.limited",),
        SignUpOverLimited,
    ),
    VisibleBug(
        "sign-up-over-tombstone",
        "A sign-up that began before the tombstone brings the account back.",
        "binding.complete-sign-up.tombstoned",
        "jikig-ai/soleur#2190",
        ("binding.complete-sign-up.tombstoned",),
        SignUpOverTombstone,
    ),
    VisibleBug(
        "session-never-over",
        "A session is completed after its page was over.",
        "completion.over",
        "SandeepVashishtha/Eventra#8049",
        ("completion.over",),
        SessionNeverOver,
    ),
    VisibleBug(
        "silent-path-completes",
        "A session on Path C is completed like one on Path B.",
        "completion.silent-limited",
        "",
        ("completion.silent-limited",),
        SilentPathCompletes,
    ),
    VisibleBug(
        "graduates-nobody",
        "A graduation where nobody is bound makes an active user.",
        "binding.graduate.unlinked",
        "",
        ("binding.graduate.unlinked",),
        GraduatesNobody,
    ),
    VisibleBug(
        "graduates-the-dead",
        "A graduation brings a tombstoned user back.",
        "binding.graduate.tombstoned",
        "TryGhost/Members#240",
        (
            "binding.graduate.tombstoned",
            "binding.graduate.limited.other",
        ),
        GraduatesTheDead,
    ),
    VisibleBug(
        "tombstone-unlinks",
        "A tombstone deletes the binding, so the account looks as if it had never been.",
        "binding.tombstone.active",
        "",
        (
            "binding.tombstone.active",
            "binding.tombstone.limited",
        ),
        TombstoneUnlinks,
    ),
    VisibleBug(
        "tombstone-of-nobody",
        "A tombstone where nobody is bound makes a tombstoned account.",
        "binding.tombstone.unlinked",
        "",
        ("binding.tombstone.unlinked",),
        TombstoneOfNobody,
    ),
    VisibleBug(
        "half-landing",
        "A hand-off lands in the session and not in the binding.",
        "binding.complete-sign-up.unlinked",
        "pytransitions#202, stateless#5, spring-statemachine#148",
        (
            "binding.complete-sign-up.unlinked",
            "binding.provision.active",
        ),
        HalfLanding,
    ),
    VisibleBug(
        "session-ends-on-its-own",
        "A session says another end than its next action.",
        "operation.initiate",
        "",
        ("entry-path.unlinked.sign-up",),
        SessionEndsWithTheDay,
    ),
)
"""What is wrong with the entry flow."""
