"""What the rules answer: transitions, recoveries, landings, access, replays, problems.

The law of this module: **an answer is one that a rule gave** to a value with a past, and a
problem has the values that its code allows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules import attempt as acts
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.access import AccessDecision, Denied, Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, Recovery, Reissued, reconnect
from curae_lifecycle.rules.connection import Actor, Connection, Standing
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.idempotency import Attempt, KnownResponse, Record, RecordStanding
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.preview import ExpiryNotice, TriggerPreview, preview_triggers
from curae_lifecycle.rules.preview import find_due_notices as due
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Fault, Problem, ProblemCode
from curae_lifecycle.rules.session import EntryPath, Initiated, Landing, complete_handoff, initiate
from curae_lifecycle.rules.triggers import Transition, Trigger, authorize, revoke
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
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
"""After everything that any past holds."""


def transitions() -> st.SearchStrategy[Transition]:
    """What the last fact of a connection's past was answered: done, ignored or refused."""
    return st.one_of(done_transitions(), ignored_transitions(), refused_transitions())


def done_transitions() -> st.SearchStrategy[Done[Connection]]:
    """What changed a connection: the last such fact of its past, or its first revocation."""
    return connection_histories().map(
        lambda history: _last(Done, history, _revoked(history.created))
    )


def ignored_transitions() -> st.SearchStrategy[Ignored[Connection]]:
    """What changed nothing: the last such fact of a connection's past, or a second revocation."""
    return connection_histories().map(
        lambda history: _last(Ignored, history, _revoked(_revoked(history.created).value))
    )


def refused_transitions() -> st.SearchStrategy[Refused]:
    """What was refused: the last such fact of a connection's past, or one after its deadline."""
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
    """What a reconnect gives."""
    return st.one_of(minted(), reissued())


def minted() -> st.SearchStrategy[Minted]:
    """Successors just minted."""
    return connections().map(_minted)


def reissued() -> st.SearchStrategy[Reissued]:
    """Successors whose next action was replaced."""
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
    """What a trigger would answer at an instant, also of a connection that was recovered."""
    return st.builds(
        _prospect, connections(), values.instants(), st.sampled_from(Trigger), st.booleans()
    )


def _prospect(
    connection: Connection,
    now: datetime,
    trigger: Trigger,
    recovered: bool,  # noqa: FBT001 - drawn
) -> TriggerPreview:
    successor = _minted(connection).connection if recovered else None
    every = preview_triggers(connection, now=now, successor=successor, head=successor)
    return next(each for each in every if each.trigger is trigger)


def notices() -> st.SearchStrategy[ExpiryNotice]:
    """Warnings that an authorization is about to end."""
    return st.builds(_notice, new_connections(), st.integers(1, 60))


def _notice(connection: Connection, days: int) -> ExpiryNotice:
    made, lead = connection.identity.created_at, timedelta(days=days)
    active = expect_done(Connection, authorize(connection, made, expires_at=made + lead))
    return due(active, made + lead - TICK, (lead,))[0]


def initiations() -> st.SearchStrategy[Initiated]:
    """Sessions just minted, with the binding beside them."""
    bound = st.one_of(st.none(), bindings())
    return st.builds(_initiated, values.coordinates(), bound, st.booleans(), values.session_ids())


def landings() -> st.SearchStrategy[Landing]:
    """Hand-offs that landed, with the binding beside them."""
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
    """Access that is granted, some of it without an end."""
    ends = st.sampled_from((None, START + NEXT_ACTION_LIFETIME))
    return st.builds(authorize, new_connections(), st.just(START), expires_at=ends).map(_granted)


def _granted(answer: Transition) -> Granted:
    connection = expect_done(Connection, answer)
    return expect_type(
        Granted, decide_access(connection, connection.identity.data_packages[0], START)
    )


def denials() -> st.SearchStrategy[Denied]:
    """Access that is denied, for every reason."""
    denied = access_decisions().filter(lambda decision: isinstance(decision, Denied))
    return denied.map(lambda decision: expect_type(Denied, decision))


def access_decisions() -> st.SearchStrategy[AccessDecision]:
    """What is decided of connections with a past, for packages of theirs and others."""
    return st.builds(decide_access, connections(), values.data_package(), values.instants())


def replays() -> st.SearchStrategy[KnownResponse]:
    """Answers that are given again."""
    return records_in_standing(RecordStanding.COMPLETED).map(lambda drawn: _replayed(drawn[0]))


def lost_leases() -> st.SearchStrategy[LeaseLost]:
    """What an attempt is answered whose record was erased."""
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
    """Problems of every code, each with the values that its code allows."""
    return st.sampled_from(ProblemCode).flatmap(
        lambda code: st.builds(
            Problem,
            st.just(code),
            st.tuples(*(_DETAILS[name] for name in CATALOGUE[code].outcome.details)),
        )
    )


_DETAILS: Final[dict[str, st.SearchStrategy[DetailValue]]] = {
    "member": st.sampled_from((None, "appUserId")),
    "fault": st.sampled_from(Fault),
    "scope": st.just(CONNECTION_WRITE),
    "environment": values.environments(),
    "connectionId": values.connection_ids(),
    "dataPackage": values.data_package(),
    "reason": st.sampled_from(("STILL_PENDING", "ALREADY_ACTIVE")),
    "nextConnectionId": values.connection_ids(),
    "headConnectionId": values.connection_ids(),
    "standing": st.sampled_from(Standing),
    "deadline": values.instants(),
    "sessionId": values.session_ids(),
    "expiresAt": values.instants(),
    "path": st.sampled_from(EntryPath),
    "lifecycleState": st.sampled_from(AccountState),
    "retryAfter": st.integers(1, 60),
    "differs": st.sampled_from(("operation", "values")),
    "policy": st.sampled_from(("initiate", "platform")),
}
