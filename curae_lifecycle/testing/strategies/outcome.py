"""Answers of the rules: transitions, recoveries, landings, access, replays, problems.

The law of this module: **a rule gave each answer** to a value with a history, and a problem has values
that its code allows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar, cast

from hypothesis import strategies as st

from curae_lifecycle.rules import attempt as acts
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.access import AccessDecision, Denied, Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, Recovery, Reissued, reconnect
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.idempotency import Attempt, KnownResponse, Record, RecordStanding
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.preview import ExpiryNotice, TriggerPreview, preview_triggers
from curae_lifecycle.rules.preview import find_due_notices as due
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.session import Initiated, Landing, complete_handoff, initiate
from curae_lifecycle.rules.triggers import Transition, Trigger, authorize, revoke
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
from curae_lifecycle.service.json_schema import UUID
from curae_lifecycle.service.problem_details import DETAILS
from curae_lifecycle.service.rulebook import reasons_of
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.binding import bindings
from curae_lifecycle.testing.strategies.connection import (
    ConnectionHistory,
    connection_histories,
    connections,
    new_connections,
)
from curae_lifecycle.testing.strategies.expect import expect_done, expect_type
from curae_lifecycle.testing.strategies.record import attempts, records_in_standing
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME, START, TICK

Answered = TypeVar("Answered", Done[Connection], Ignored[Connection], Refused)

_LATER: Final = START + timedelta(hours=4)
"""An instant after the end of every history."""


def transitions() -> st.SearchStrategy[Transition]:
    """Draw the answer to the last fact of a history: done, ignored or refused."""
    return st.one_of(done_transitions(), ignored_transitions(), refused_transitions())


def done_transitions() -> st.SearchStrategy[Done[Connection]]:
    """Draw done answers: of the last such fact of a history, or of a first revocation."""
    return connection_histories().map(
        lambda history: _last(Done, history, _revoked(history.created))
    )


def ignored_transitions() -> st.SearchStrategy[Ignored[Connection]]:
    """Draw ignored answers: of the last such fact of a history, or of a second revocation."""
    return connection_histories().map(
        lambda history: _last(Ignored, history, _revoked(_revoked(history.created).value))
    )


def refused_transitions() -> st.SearchStrategy[Refused]:
    """Draw refusals: of the last such fact of a history, or of a fact after the deadline."""
    return connection_histories().map(
        lambda history: _last(
            Refused, history, authorize(history.created, START + NEXT_ACTION_LIFETIME)
        )
    )


def _last(kind: type[Answered], history: ConnectionHistory, sure_one: Transition) -> Answered:
    answers = [step.answer for step in history.steps if isinstance(step.answer, kind)]
    return answers[-1] if answers else expect_type(kind, sure_one)


def _revoked(
    connection: Connection, now: datetime = START
) -> Done[Connection] | Ignored[Connection]:
    return revoke(connection, now, actor=Actor.APP)


def recoveries() -> st.SearchStrategy[Minted | Reissued]:
    """Draw recoveries of a reconnect."""
    return st.one_of(minted(), reissued())


def minted() -> st.SearchStrategy[Minted]:
    """Draw successors that were just minted."""
    return connections().map(_minted)


def reissued() -> st.SearchStrategy[Reissued]:
    """Draw successors whose next action was replaced."""
    return connections().map(_reissued)


def _minted(connection: Connection) -> Minted:
    return expect_done(Minted, _recover(connection, None))


def _reissued(connection: Connection) -> Reissued:
    return expect_done(Reissued, _recover(connection, _minted(connection).connection))


def _recover(connection: Connection, successor: Connection | None) -> Recovery:
    ended = _revoked(connection, _LATER).value
    new_id, action = ConnectionId(values.uuid_of(0xFFFF_FFFF_FFFF)), values.next_action_at(_LATER)
    return reconnect(ended, successor, _LATER, id=new_id, next_action=action)


def trigger_previews() -> st.SearchStrategy[TriggerPreview]:
    """Draw previews of triggers at an instant; some connections were recovered."""
    return st.builds(
        _preview, connections(), values.instants(), st.sampled_from(Trigger), st.booleans()
    )


def _preview(
    connection: Connection,
    now: datetime,
    trigger: Trigger,
    recovered: bool,  # noqa: FBT001 - drawn
) -> TriggerPreview:
    successor = _minted(connection).connection if recovered else None
    every = preview_triggers(connection, now=now, successor=successor, head=successor)
    return next(each for each in every if each.trigger is trigger)


def notices() -> st.SearchStrategy[ExpiryNotice]:
    """Draw warnings that an authorization is about to end."""
    return st.builds(_notice, new_connections(), st.integers(1, 60))


def _notice(connection: Connection, days: int) -> ExpiryNotice:
    made, lead = connection.identity.created_at, timedelta(days=days)
    active = expect_done(Connection, authorize(connection, made, expires_at=made + lead))
    return due(active, made + lead - TICK, (lead,))[0]


def initiations() -> st.SearchStrategy[Initiated]:
    """Draw sessions that were just minted, with their binding."""
    bound = st.one_of(st.none(), bindings())
    return st.builds(_initiated, values.coordinates(), bound, st.booleans(), values.session_ids())


def landings() -> st.SearchStrategy[Landing]:
    """Draw hand-offs that landed, with their binding."""
    waits = st.sampled_from((timedelta(0), NEXT_ACTION_LIFETIME - TICK))
    return st.builds(_landed, values.coordinates(), values.session_ids(), waits)


def _initiated(
    whose: Coordinate,
    binding: LimitedAccountAppBinding | None,
    prefers: bool,  # noqa: FBT001 - it is drawn
    session_id: SessionId,
) -> Initiated:
    return initiate(
        binding,
        whose if binding is None else binding.coordinate,
        START,
        prefer_signup=prefers,
        id=session_id,
        user_id=values.user_of(99),
        next_action=values.next_action_at(START),
    ).value


def _landed(whose: Coordinate, session_id: SessionId, wait: timedelta) -> Landing:
    waiting = _initiated(whose, binding=None, prefers=True, session_id=session_id)
    return expect_done(
        Landing,
        complete_handoff(
            waiting.session, binding=None, user_id=values.user_of(1), now=START + wait
        ),
    )


def grants() -> st.SearchStrategy[Granted]:
    """Draw grants of access, some of them without an end."""
    ends = st.sampled_from((None, START + NEXT_ACTION_LIFETIME))
    return st.builds(authorize, new_connections(), st.just(START), expires_at=ends).map(_granted)


def _granted(answer: Transition) -> Granted:
    connection = expect_done(Connection, answer)
    return expect_type(
        Granted, decide_access(connection, connection.identity.data_packages[0], START)
    )


def denials() -> st.SearchStrategy[Denied]:
    """Draw denials of access, for every reason."""
    denied = access_decisions().filter(lambda decision: isinstance(decision, Denied))
    return denied.map(lambda decision: expect_type(Denied, decision))


def access_decisions() -> st.SearchStrategy[AccessDecision]:
    """Draw access decisions on connections with a history, for packages of theirs and others."""
    return st.builds(decide_access, connections(), values.data_package(), values.instants())


def replays() -> st.SearchStrategy[KnownResponse]:
    """Draw responses that are replayed."""
    return records_in_standing(RecordStanding.COMPLETED).map(lambda drawn: _replayed(drawn[0]))


def lost_leases() -> st.SearchStrategy[LeaseLost]:
    """Draw answers to an attempt whose record was erased."""
    return attempts().map(_lost)


def _replayed(record: Record) -> KnownResponse:
    again = idempotency.begin_attempt(
        record, key=record.key, fingerprint=record.fingerprint, now=record.seen_at
    )
    return expect_type(KnownResponse, again)


def _lost(attempt: Attempt) -> LeaseLost:
    erased = acts.forget(idempotency.in_flight_record(attempt), attempt.started_at)
    return expect_type(LeaseLost, acts.renew(erased.value, attempt, attempt.started_at))


def problems() -> st.SearchStrategy[Problem]:
    """Draw problems of every code, each with values that its code allows."""
    return st.sampled_from(ProblemCode).flatmap(
        lambda code: st.builds(
            Problem,
            st.just(code),
            st.tuples(*(_detail(code, key) for key in CATALOGUE[code].outcome.details)),
        )
    )


def _detail(code: ProblemCode, key: str) -> st.SearchStrategy[DetailValue]:
    detail = DETAILS[key]
    if key == "reason":
        return st.sampled_from(reasons_of(code))
    if isinstance(detail.example, StrEnum):
        return st.sampled_from(type(detail.example))
    if "enum" in detail.schema:
        return st.sampled_from(cast("list[str]", detail.schema["enum"]))
    if detail.schema == UUID:
        return values.uuids()
    if isinstance(detail.example, datetime):
        return values.instants()
    if isinstance(detail.example, int):
        return st.integers(1, 60)
    is_nullable = isinstance(detail.schema["type"], list)
    return st.sampled_from((None, detail.example) if is_nullable else (detail.example,))
