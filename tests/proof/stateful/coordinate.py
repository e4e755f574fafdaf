"""A state machine of one coordinate: its binding, and concurrent sessions."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules import session as rules
from curae_lifecycle.rules.binding import AccountState, BindingTransition, LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import AppUserId, NextAction, SessionId, UserId
from curae_lifecycle.testing.laws import check_nothing_changed
from curae_lifecycle.web.wire_format import format_session
from tests.proof.reference import tables
from tests.proof.reference.facts import Session, outcome
from tests.proof.reference.values import SKEW
from tests.proof.stateful.driven import MISTAKE, DrivenModel
from tests.proof.stateful.running import (
    START,
    TICK,
    CountedMachine,
    Said,
    agree,
    heard,
    is_mistake,
    ticks,
)
from tests.support.strategies import COORDINATE, uuid

OTHERS: Final = attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2"))

users = st.sampled_from(["the bound one", "the bound one", "u-1", "u-2"])
"""The user that a trigger names."""
which = st.sampled_from([0, 0, 1, 2, 3])
"""A session; 0 is the latest."""
moments = st.sampled_from(["now", "now", "created", "end", "end", "soon"])
STRANGE: Final = [
    (EntryPath.EXISTING_ACTIVE_HANDOFF, HandoffState.AWAITED),
    (EntryPath.SILENT_LIMITED, HandoffState.LANDED),
]


class CoordinateMachine(CountedMachine):
    paths: ClassVar[dict[tuple[str, bool], str]] = {}
    """The path of every account state and preference, over all runs."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.binding: LimitedAccountAppBinding | None = None
        self.sessions: list[CuraeConnectSession] = []
        self.model = DrivenModel(COORDINATE)
        self.numbered = 0
        self.reported: datetime | None = None
        """The `happened_at` of the last tombstone."""

    @initialize(
        waiting=st.integers(0, 3),
        strange=st.sampled_from([None, None, *STRANGE]),
        landed_for=users,
        age=st.sampled_from([0, 60]),
    )
    def found_in_the_store(
        self,
        waiting: int,
        strange: tuple[EntryPath, HandoffState] | None,
        landed_for: str,
        age: int,
    ) -> None:
        """Store waiting sessions, at times one that no rule creates."""
        for _ in range(waiting):
            self._initiate(prefers=True, life=60)
        if strange is None:
            return
        path, handoff = strange
        user = UserId(self._user(landed_for))
        created = START - age * TICK
        landed = created if handoff is HandoffState.LANDED else None
        end = created + 60 * TICK
        self.sessions.append(
            CuraeConnectSession(
                id=SessionId(uuid(99)),
                coordinate=COORDINATE,
                path=path,
                handoff=handoff,
                created_at=created,
                expires_at=end,
                landed_at=landed,
                user_id=user,
            )
        )
        self.model.sessions[uuid(99)] = {
            "path": str(path),
            "coordinate": self.model.coordinate,
            "created_at": created,
            "expires_at": end,
            "landed_user": None if landed is None else user,
            "over": False,
        }

    # Time -----------------------------------------------------------------------------------

    @rule(by=st.sampled_from([1, 1, 30, 1000]))
    def time_passes(self, by: int) -> None:
        self.now += by * TICK

    # Requests -------------------------------------------------------------------------------

    @rule(prefers=st.booleans(), life=st.sampled_from([60, 60, 1]))
    def initiate(self, prefers: bool, life: int) -> None:  # noqa: FBT001 - drawn
        self._initiate(prefers=prefers, life=life)

    def _initiate(self, *, prefers: bool, life: int) -> None:
        self.numbered += 1
        session_id, end = uuid(self.numbered), self.now + life * TICK
        before, gone = self.model.binding
        if before == "TOMBSTONED" and gone:
            wrong = is_mistake(self._initiated, session_id, end, gone, prefers=prefers)
            agree("a tombstoned user is never provisioned again", True, wrong)
        # The model numbers the users that it provisions.
        user = f"provisioned user {self.model.numbered + 1}"
        expected = self.model.initiate(session_id, self.now, end, prefers=prefers)
        made = self._initiated(session_id, end, user, prefers=prefers).value
        agree("a session", expected, format_session(made.session))
        path = str(made.session.path)
        agree(
            f"law 8: the path of {before}, preferSignup {prefers}",
            self.paths.setdefault((before, prefers), path),
            path,
        )
        self.sessions.append(made.session)
        self.binding = made.binding

    def _initiated(
        self, session_id: str, end: datetime, user: str, *, prefers: bool
    ) -> Done[rules.Initiated]:
        return rules.initiate(
            self.binding,
            COORDINATE,
            self.now,
            prefer_signup=prefers,
            id=SessionId(session_id),
            user_id=UserId(user),
            next_action=NextAction("https://connect.example/1", end),
        )

    @rule()
    def start_graduation(self) -> None:
        verdict = tables.GRADUATION_HANDOFF[self.model.binding[0],]
        answer = bindings.decide_graduation_start(self.binding)
        agree("a graduation hand-off", outcome(verdict), heard(answer))

    # Facts ----------------------------------------------------------------------------------

    @precondition(lambda self: self.sessions)
    @rule(n=which, user=users, moment=moments, tick=ticks)
    def complete(self, n: int, user: str, moment: str, tick: int) -> None:
        position = len(self.sessions) - 1 - n % len(self.sessions)
        session, user_id = self.sessions[position], UserId(self._user(user))
        happened: datetime | None = None
        if moment == "created":
            happened = session.created_at + tick * TICK
        elif moment == "end":
            happened = session.expires_at + tick * TICK
            self.now = max(self.now, happened - TICK)
        elif moment == "soon":
            # The clock of the page is ahead.
            happened = self.now + SKEW + tick * TICK
        said = self.model.fact(
            self.now,
            "handoff.complete",
            sessionId=session.id,
            userId=user_id,
            happenedAt=happened or self.now,
        )
        if said == MISTAKE:
            wrong = is_mistake(
                rules.complete_handoff,
                session,
                self.binding,
                user_id,
                self.now,
                happened_at=happened,
            )
            agree("completed further ahead than clocks may be apart", True, wrong)
            return
        answer = rules.complete_handoff(
            session, binding=self.binding, user_id=user_id, now=self.now, happened_at=happened
        )
        agree("completeHandoff", said, heard(answer))
        if isinstance(answer, Refused):
            return
        landing = answer.value
        if not isinstance(answer, Done):
            check_nothing_changed(session, landing.session)
            assert landing.session is session
            assert landing.binding is self.binding
        self.sessions[position], self.binding = landing.session, landing.binding

    @rule(user=users)
    def provision(self, user: str) -> None:
        user_id = UserId(self._user(user))
        if self.model.binding == ("TOMBSTONED", user_id):
            wrong = is_mistake(bindings.provision, self.binding, COORDINATE, user_id)
            agree("a tombstoned user is never provisioned again", True, wrong)
            return
        said = self.model.bind("provision", user_id)
        self._moved("provision", said, bindings.provision(self.binding, COORDINATE, user_id))

    @rule(user=users)
    def sign_up(self, user: str) -> None:
        user_id = UserId(self._user(user))
        said = self.model.bind("complete sign-up", user_id)
        answer = bindings.complete_sign_up(self.binding, COORDINATE, user_id)
        self._moved("complete sign-up", said, answer)

    @rule(user=users)
    def graduate(self, user: str) -> None:
        user_id = UserId(self._user(user))
        said = self.model.bind("graduate", user_id)
        self._moved("graduate", said, bindings.graduate(self.binding, COORDINATE, user_id))

    @rule(moment=st.sampled_from(["unknown", "now", "before", "the last one", "soon"]))
    def tombstone(self, moment: str) -> None:
        happened = {
            "now": self.now,
            "before": self.now - 7 * TICK,
            "the last one": self.reported,
            "soon": self.now + SKEW + TICK,
        }.get(moment)
        said = self.model.tombstone(self.now, happened)
        if said == MISTAKE:
            wrong = is_mistake(
                bindings.tombstone, self.binding, COORDINATE, self.now, happened_at=happened
            )
            agree("tombstoned further ahead than clocks may be apart", True, wrong)
            return
        answer = bindings.tombstone(self.binding, COORDINATE, self.now, happened_at=happened)
        self._moved("tombstone", said, answer)
        if isinstance(answer, Done):
            self.reported = happened

    @precondition(lambda self: self.binding is not None and self.numbered == 2)
    @rule()
    def the_binding_of_another_coordinate_is_a_mistake(self) -> None:
        wrong = is_mistake(bindings.graduate, self.binding, OTHERS, UserId("u-1"))
        agree("another coordinate's binding is a mistake", True, wrong)

    # What always holds ----------------------------------------------------------------------

    @invariant()
    def what_is_stored_is_the_model_s(self) -> None:
        state = str(bindings.account_state(self.binding))
        user = "" if self.binding is None else self.binding.user_id or ""
        agree("the binding", self.model.binding, (state, user))
        stored = [shown(each, self.binding) for each in self.sessions]
        agree("the sessions", list(self.model.sessions.values()), stored)

    # Helpers --------------------------------------------------------------------------------

    def _user(self, user: str) -> str:
        if user != "the bound one":
            return user
        return (None if self.binding is None else self.binding.user_id) or "u-1"

    def _moved(self, trigger: str, said: Said, answer: BindingTransition) -> None:
        agree(trigger, said, heard(answer))
        if isinstance(answer, Refused):
            return
        after = answer.value
        if not isinstance(answer, Done):
            assert after is self.binding
        elif self.binding is not None and after is not None:
            rises = after.generation > self.binding.generation or RISING.index(
                after.state
            ) > RISING.index(self.binding.state)
            begins = after.era != self.binding.era
            agree("a binding rises, has a new generation or a new era", True, rises or begins)
        self.binding = after


RISING: Final = [AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED]


def shown(session: CuraeConnectSession, binding: LimitedAccountAppBinding | None) -> Session:
    """Return a session in the model's words, with the binding as it is now."""
    coordinate = session.coordinate
    return {
        "path": str(session.path),
        "coordinate": (
            str(coordinate.environment),
            coordinate.app_id,
            coordinate.customer_account_id,
            coordinate.app_user_id,
        ),
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "landed_user": session.user_id if session.handoff is HandoffState.LANDED else None,
        "over": session.era != bindings.present_era(binding),
    }
