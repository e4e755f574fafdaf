"""A state machine of one key's idempotency record: several attempts, late ones, and a server."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import idempotency as rules
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import AppId
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import check_nothing_changed, check_one_execution, check_replay
from tests.proof.reference.records import Claim, KeyRecord, Stored
from tests.proof.reference.values import RETENTION
from tests.proof.stateful.running import (
    START,
    TICK,
    CountedMachine,
    agree,
    code_and_details,
    is_mistake,
    ticks,
)
from tests.support.server import CALLER

KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
OTHER_OWNER: Final = attrs.evolve(CALLER.key_owner, app_id=AppId("app-2"))
OTHER_KEY: Final = RecordKey(OTHER_OWNER, IdempotencyKey("k-1"))
MICROSECOND: Final = timedelta(microseconds=1)

Payload = tuple[str, str]
"""The operation and its values."""

payloads = st.sampled_from(
    [("create", "a"), ("create", "a"), ("create", "a"), ("create", "b"), ("revoke", "a")]
)
leases = st.sampled_from([1, 2, 1_000_000, 1_000_001, 60_000_000, 25 * 3600 * 1_000_000])
policies = st.sampled_from(LostLeaseAction)
statuses = st.sampled_from([200, 201, 404, 409, 201, 500])
moments = st.sampled_from([None, 0, -1, None, 1, 0])
"""Now, or some ticks from the end of the lease."""
which = st.sampled_from([0, 0, 1, 1, 2, 3])
"""An attempt; 0 is the latest."""
ENDED: Final = {RecordState.COMPLETED, RecordState.FORGOTTEN, RecordState.RELEASED}


@attrs.define(eq=False)
class Running:
    """An attempt, the record that it read, and the model's claim."""

    attempt: Attempt
    read: Record | None
    claim: Claim
    started: bool = False


class RecordMachine(CountedMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.record: Record | None = None
        self.model = KeyRecord()
        self.running: list[Running] = []
        self.numbered = 0
        self.executions: dict[datetime, int] = {}
        self.answers: dict[datetime, list[Response]] = {}

    @initialize(
        state=st.sampled_from(
            ["IN_FLIGHT", "RELEASED", "COMPLETED", "FORGOTTEN", None, "IN_FLIGHT"]
        ),
        policy=policies,
        lease=st.sampled_from([60_000_000, 25 * 3600 * 1_000_000]),
    )
    def found_in_the_store(self, state: str | None, policy: LostLeaseAction, lease: int) -> None:
        """Store a key in use with a current or former attempt, and an older late one.

        A store may keep the lease's column filled after its attempt ended.
        """
        if state is None:
            return
        answer = self._answer(201) if state == "COMPLETED" else None
        until = START + lease * MICROSECOND
        payload: Payload = ("create", "a")
        self.record = Record(
            key=KEY,
            fingerprint=Fingerprint(*payload),
            state=RecordState(state),
            token=7,
            first_used_at=START,
            seen_at=START,
            lease_until=until,
            lost_lease=policy,
            response=answer,
        )
        self.model.stored = {
            "payload": payload,
            "state": state,
            "token": 7,
            "first": START,
            "seen": START,
            "lease": until,
            "unknown": policy is LostLeaseAction.UNKNOWN,
            "answer": answer,
        }
        for token in (6, 7):
            attempt = Attempt(
                key=KEY,
                fingerprint=Fingerprint(*payload),
                token=token,
                first_used_at=START,
                started_at=START,
                rules=(),
            )
            claim: Claim = {"payload": payload, "token": token, "first": START, "at": START}
            self.running.append(Running(attempt, None, claim, started=True))
        if answer is not None:
            self._took_effect(answer)

    # Time -----------------------------------------------------------------------------------

    @rule(by=st.sampled_from([1, 1_000_000, 30_000_000, -1, -1_000_000, -90_000_000]))
    def time_passes_or_the_clock_steps_back(self, by: int) -> None:
        self.now += by * MICROSECOND

    @precondition(lambda self: self.record is not None and self.record.state in ENDED)
    @rule(tick=ticks, purges=st.sampled_from([True, True, False]))
    def retention_comes_to_its_end(self, tick: int, purges: bool) -> None:  # noqa: FBT001 - drawn
        assert self.record is not None
        self.now = self.record.first_used_at + RETENTION + tick * TICK
        due = rules.record_expires_at(self.record) <= self.now
        agree("whether the store may drop the record", tick >= 0, due)
        if purges and due:
            # From here on the key may be used again, even by a worker that read it as free.
            first = self.record.first_used_at
            self.executions.pop(first, None)
            self.answers.pop(first, None)
            self.record, self.model.stored = None, None

    def _move_to(self, moment: int | None) -> None:
        """Move to the end of the lease, or a tick beside it; None is now."""
        if moment is not None and self.record is not None and self.record.lease_until is not None:
            self.now = self.record.lease_until + moment * TICK

    # Requests -------------------------------------------------------------------------------

    @rule(
        payload=payloads,
        then=st.sampled_from(["call out", "call out", "call out", "commit", "wait"]),
        lease=leases,
        policy=policies,
        moment=moments,
    )
    def request(
        self, payload: Payload, then: str, lease: int, policy: LostLeaseAction, moment: int | None
    ) -> None:
        self._move_to(moment)
        before, now = self.record, self.now
        answer = rules.begin_attempt(before, key=KEY, fingerprint=Fingerprint(*payload), now=now)
        expected = self.model.begin(payload, now)
        match answer:
            case KnownResponse(response):
                agree("a request with the key", expected, ("replay", response))
                assert isinstance(response, Response)
                check_replay(self._answers()[0], response)
                self._answers().append(response)
            case Refused(problem):
                agree("a request with the key", expected, code_and_details(problem))
                check_nothing_changed(before, self.record)
            case Attempt():
                claim: Claim = {
                    "payload": (answer.fingerprint.operation, answer.fingerprint.values),
                    "token": answer.token,
                    "first": answer.first_used_at,
                    "at": answer.started_at,
                }
                agree("a request with the key", expected, claim)
                running = Running(answer, before, claim)
                self.running.append(running)
                if then == "call out":
                    self._call_out(running, lease, policy)
                elif then == "commit":
                    self._commit(running)

    @precondition(lambda self: self.running)
    @rule(n=which, commits=st.booleans(), lease=leases, policy=policies)
    def start_late(self, n: int, commits: bool, lease: int, policy: LostLeaseAction) -> None:  # noqa: FBT001 - drawn
        """Start with an old record: compare and set makes a worker with an older record fail."""
        running = self._pick(n)
        if self.record is running.read and not running.started:
            if commits:
                self._commit(running)
            else:
                self._call_out(running, lease, policy)

    def _call_out(self, running: Running, lease: int, policy: LostLeaseAction) -> None:
        running.started = True
        self.record = rules.in_flight_record(running.attempt, lease=lease, lost_lease=policy)
        unknown = policy is LostLeaseAction.UNKNOWN
        self.model.start(running.claim, lease * MICROSECOND, unknown=unknown)

    def _commit(self, running: Running) -> None:
        running.started = True
        answer = self._answer(201)
        self.record = rules.completed_record(running.attempt, answer)
        self.model.commit(running.claim, answer)
        self._took_effect(answer)

    @precondition(lambda self: self.record is not None and self.numbered == 2)
    @rule(payload=payloads)
    def the_record_of_another_key_is_a_mistake(self, payload: Payload) -> None:
        wrong = is_mistake(
            rules.begin_attempt, self.record, OTHER_KEY, Fingerprint(*payload), self.now
        )
        agree("another key's record is a mistake", True, wrong)

    # Attempts -------------------------------------------------------------------------------

    @precondition(lambda self: self.running)
    @rule(n=which, moment=moments, lease=leases)
    def renew(self, n: int, moment: int | None, lease: int) -> None:
        self._move_to(moment)
        running = self._pick(n)
        before = self.record
        answer = attempts.renew(self.record, running.attempt, self.now, lease=lease)
        held = self.model.act(
            "renew", running.claim, self.now, lease=lease * MICROSECOND, answer=None
        )
        if held:
            none = is_mistake(attempts.renew, before, running.attempt, self.now, lease=0)
            agree("a lease of no time is a mistake", True, none)
        self._acted("renew", answer, held=held)

    @precondition(lambda self: self.running)
    @rule(n=which, moment=moments, status=statuses)
    def complete(self, n: int, moment: int | None, status: int) -> None:
        self._move_to(moment)
        running, response = self._pick(n), self._answer(status)
        given = attrs.evolve(response, headers=(*response.headers, ("Date", "now")))
        if status == 500:
            wrong = is_mistake(attempts.complete, self.record, running.attempt, given, self.now)
            agree("an answer that may not be kept", True, wrong)
            return
        answer = attempts.complete(
            self.record, attempt=running.attempt, response=given, now=self.now
        )
        held = self.model.act("complete", running.claim, self.now, lease=None, answer=response)
        self._acted("complete", answer, held=held)
        if held:
            self._took_effect(response)

    @precondition(lambda self: self.running)
    @rule(n=which, moment=moments)
    def release(self, n: int, moment: int | None) -> None:
        self._move_to(moment)
        running = self._pick(n)
        answer = attempts.release(self.record, running.attempt, self.now)
        held = self.model.act("release", running.claim, self.now, lease=None, answer=None)
        self._acted("release", answer, held=held)

    def _acted(self, act: str, answer: Done[Record] | LeaseLost, *, held: bool) -> None:
        agree(f"whether an attempt may {act}", held, isinstance(answer, Done))
        if isinstance(answer, Done):
            self.record = answer.value
        else:
            check_nothing_changed(self.record, answer.record)
            assert answer.record is self.record

    # The server -----------------------------------------------------------------------------

    @precondition(lambda self: self.record is not None or self.running)
    @rule(act=st.sampled_from(["answered", "nothing", "forget"]), moment=moments)
    def upkeep(self, act: str, moment: int | None) -> None:
        self._move_to(moment)
        if act == "forget":
            answer = attempts.forget(self.record, self.now)
            self._kept_up(act, answer, moved=self.model.forget(self.now))
            return
        response = self._answer(201) if act == "answered" else None
        answer = attempts.resolve(self.record, self.now, response=response)
        moved = self.model.resolve(self.now, response)
        self._kept_up("resolve", answer, moved=moved)
        if moved and response is not None:
            self._took_effect(response)

    def _kept_up(
        self, act: str, answer: Done[Record] | Ignored[Record | None], *, moved: bool
    ) -> None:
        agree(f"whether there was something to {act}", moved, isinstance(answer, Done))
        if isinstance(answer, Ignored):
            assert answer.value is self.record
        self.record = answer.value

    # What always holds ----------------------------------------------------------------------

    @invariant()
    def the_record_is_the_model_s(self) -> None:
        agree("the stored record", self.model.stored, shown(self.record))
        standing = str(rules.record_standing(self.record, self.now))
        agree("the record's standing", self.model.standing(self.now), standing)

    @invariant()
    def law_12_one_key_has_one_execution_and_one_answer(self) -> None:
        if self.record is not None:
            first = self.record.first_used_at
            check_one_execution(self.answers.get(first, []), self.executions.get(first, 0))

    # Helpers --------------------------------------------------------------------------------

    def _pick(self, n: int) -> Running:
        return self.running[-1 - n % len(self.running)]

    def _answer(self, status: int) -> Response:
        self.numbered += 1
        return Response(status, (("content-type", "text/plain"),), b"%d" % self.numbered)

    def _answers(self) -> list[Response]:
        assert self.record is not None
        return self.answers.setdefault(self.record.first_used_at, [])

    def _took_effect(self, answer: Response) -> None:
        assert self.record is not None
        first = self.record.first_used_at
        self.executions[first] = self.executions.get(first, 0) + 1
        self._answers().append(answer)


def shown(record: Record | None) -> Stored | None:
    """Return a record in the model's words."""
    if record is None:
        return None
    return {
        "payload": (record.fingerprint.operation, record.fingerprint.values),
        "state": str(record.state),
        "token": record.token,
        "first": record.first_used_at,
        "seen": record.seen_at,
        "lease": record.lease_until,
        "unknown": record.lost_lease is LostLeaseAction.UNKNOWN,
        "answer": record.response,
    }
