"""Strategies for outcomes of rules: transitions, recoveries, landings, access, replays, problems.

The law of this module: **a rule gave every drawn answer**, for a value with a history. Only
`problems` puts its values together from independent parts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules import attempt as acts
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.access import AccessDecision, Denied, Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, Recovery, Reissued, reconnect
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionView
from curae_lifecycle.rules.idempotency import Attempt, KnownResponse, Record, RecordStanding
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.preview import (
    ExpiryNotice,
    TriggerPreview,
    find_due_notices,
    preview_triggers,
)
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.session import Initiated, Landing, complete_handoff, initiate
from curae_lifecycle.rules.triggers import Transition, Trigger, authorize, revoke
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
from curae_lifecycle.service.json_schema import TEXT, UUID, or_null
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

_AFTER_HISTORIES: Final = START + timedelta(hours=4)
"""An instant after every drawn history."""


def transitions() -> st.SearchStrategy[Transition]:
    """Draw answers to a fact about a connection: `Done`, `Ignored` or `Refused`."""
    return st.one_of(done_transitions(), ignored_transitions(), refused_transitions())


def done_transitions() -> st.SearchStrategy[Done[Connection]]:
    """Draw `Done` answers to a fact, each with the changed connection.

    Each is the last `Done` answer in a drawn list of facts about one connection. If there is none,
    it is the answer to a revocation of the connection as it was created.
    """
    return connection_histories().map(
        lambda history: _last_answer(Done, history, _revoke(history.created))
    )


def ignored_transitions() -> st.SearchStrategy[Ignored[Connection]]:
    """Draw `Ignored` answers to a fact, each with the connection, which the fact did not change.

    Each is the last `Ignored` answer in a drawn list of facts about one connection. If there is
    none, the connection is revoked twice, and the second revocation is ignored.
    """
    return connection_histories().map(
        lambda history: _last_answer(Ignored, history, _revoke(_revoke(history.created).value))
    )


def refused_transitions() -> st.SearchStrategy[Refused]:
    """Draw `Refused` answers to a fact, each with its problem.

    Each is the last `Refused` answer in a drawn list of facts about one connection. If there is
    none, it is the answer to an authorization at the deadline of the hand-off.
    """
    return connection_histories().map(
        lambda history: _last_answer(
            Refused, history, authorize(history.created, START + NEXT_ACTION_LIFETIME, era=None)
        )
    )


def _last_answer(
    kind: type[Answered], history: ConnectionHistory, fallback: Transition
) -> Answered:
    answers = [step.answer for step in history.steps if isinstance(step.answer, kind)]
    return answers[-1] if answers else expect_type(kind, fallback)


def _revoke(
    connection: Connection, now: datetime = START
) -> Done[Connection] | Ignored[Connection]:
    return revoke(connection, now, era=None, actor=Actor.APP)


def recoveries() -> st.SearchStrategy[Minted | Reissued]:
    """Draw results of a reconnect that was not refused.

    `Minted` has a new successor, and `Reissued` the pending one with a fresh next action.
    """
    return st.one_of(minted(), reissued())


def minted() -> st.SearchStrategy[Minted]:
    """Draw results of a reconnect that made a new connection, the successor of a revoked one."""
    return connections().map(_mint)


def reissued() -> st.SearchStrategy[Reissued]:
    """Draw results of a reconnect that gave the PENDING successor a fresh next action."""
    return connections().map(_reissue)


def _mint(connection: Connection) -> Minted:
    return expect_done(Minted, _reconnect(connection, None))


def _reissue(connection: Connection) -> Reissued:
    return expect_done(Reissued, _reconnect(connection, _mint(connection).connection))


def _reconnect(connection: Connection, successor: Connection | None) -> Recovery:
    ended = _revoke(connection, _AFTER_HISTORIES).value
    new_id = ConnectionId(values.uuid_of(0xFFFF_FFFF_FFFF))
    next_action = values.next_action_at(_AFTER_HISTORIES)
    return reconnect(
        ended, successor, _AFTER_HISTORIES, era=None, id=new_id, next_action=next_action
    )


def connection_views() -> st.SearchStrategy[ConnectionView]:
    """Draw `ConnectionView` values: connections, each with an instant to judge it at.

    Some have a successor. Some have an era, the instant of the coordinate's last tombstone.
    """
    return st.builds(
        _view, connections(), values.instants(), st.none() | values.instants(), st.booleans()
    )


def _view(
    connection: Connection,
    now: datetime,
    era: datetime | None,
    recovered: bool,  # noqa: FBT001 - `st.builds` passes it
) -> ConnectionView:
    successor = _mint(connection).connection if recovered else None
    return ConnectionView(connection=connection, now=now, era=era, successor=successor, head=None)


def trigger_previews() -> st.SearchStrategy[TriggerPreview]:
    """Draw previews: what one trigger would do to a connection at an instant.

    A trigger is an event or a command, such as an expiry or a revoke; any `Trigger` is drawn. Some
    of the connections have a successor.
    """
    return st.builds(
        _preview, connections(), values.instants(), st.sampled_from(Trigger), st.booleans()
    )


def _preview(
    connection: Connection,
    now: datetime,
    trigger: Trigger,
    recovered: bool,  # noqa: FBT001 - `st.builds` passes it
) -> TriggerPreview:
    successor = _mint(connection).connection if recovered else None
    previews = preview_triggers(connection, now, era=None, successor=successor, head=successor)
    return next(each for each in previews if each.trigger is trigger)


def notices() -> st.SearchStrategy[ExpiryNotice]:
    """Draw warnings that an authorization ends soon, each due 1 to 60 days before the end."""
    return st.builds(_notice, new_connections(), st.integers(1, 60))


def _notice(connection: Connection, days: int) -> ExpiryNotice:
    start, lead = connection.identity.created_at, timedelta(days=days)
    active = expect_done(
        Connection, authorize(connection, start, era=None, expires_at=start + lead)
    )
    return find_due_notices(active, start + lead - TICK, (lead,), era=None)[0]


def initiations() -> st.SearchStrategy[Initiated]:
    """Draw results of an initiate at `START`: the new session and the binding of its coordinate."""
    bound = st.one_of(st.none(), bindings())
    return st.builds(_initiation, values.coordinates(), bound, st.booleans(), values.session_ids())


def landings() -> st.SearchStrategy[Landing]:
    """Draw results of a completed hand-off: its session and the binding of the new user."""
    delays = st.sampled_from((timedelta(0), NEXT_ACTION_LIFETIME - TICK))
    return st.builds(_landing, values.coordinates(), values.session_ids(), delays)


def _initiation(
    coordinate: Coordinate,
    binding: LimitedAccountAppBinding | None,
    prefer_signup: bool,  # noqa: FBT001 - `st.builds` passes it
    session_id: SessionId,
) -> Initiated:
    return initiate(
        binding,
        coordinate if binding is None else binding.coordinate,
        START,
        prefer_signup=prefer_signup,
        id=session_id,
        user_id=values.user_of(99),
        next_action=values.next_action_at(START),
    ).value


def _landing(coordinate: Coordinate, session_id: SessionId, delay: timedelta) -> Landing:
    initiated = _initiation(coordinate, binding=None, prefer_signup=True, session_id=session_id)
    return expect_done(
        Landing,
        complete_handoff(
            initiated.session, binding=None, user_id=values.user_of(1), now=START + delay
        ),
    )


def grants() -> st.SearchStrategy[Granted]:
    """Draw decisions that grant access at `START`, for half an hour or without an end."""
    ends = st.sampled_from((None, START + NEXT_ACTION_LIFETIME))
    return st.builds(
        authorize, new_connections(), st.just(START), era=st.none(), expires_at=ends
    ).map(_grant)


def _grant(answer: Transition) -> Granted:
    connection = expect_done(Connection, answer)
    return expect_type(
        Granted, decide_access(connection, connection.identity.data_packages[0], START, era=None)
    )


def denials() -> st.SearchStrategy[Denied]:
    """Draw decisions that deny access, for every reason (`DenialReason`)."""
    denied = access_decisions().filter(lambda decision: isinstance(decision, Denied))
    return denied.map(lambda decision: expect_type(Denied, decision))


def access_decisions() -> st.SearchStrategy[AccessDecision]:
    """Draw answers of `decide_access`: a data package may be read over a connection, or not.

    The patient need not have granted the package. The instant is at most 3 hours after `START`.
    """
    return st.builds(
        decide_access, connections(), values.data_package(), values.instants(), era=st.none()
    )


def replays() -> st.SearchStrategy[KnownResponse]:
    """Draw the answers to a retry of a completed request: the stored response."""
    return records_in_standing(RecordStanding.COMPLETED).map(lambda drawn: _replay(drawn[0]))


def lost_leases() -> st.SearchStrategy[LeaseLost]:
    """Draw `LeaseLost`: an executing request tries to renew its lease, but has lost it.

    The reason is that an operator erased the request's idempotency record meanwhile.
    """
    return attempts().map(_lost_lease)


def _replay(record: Record) -> KnownResponse:
    retry = idempotency.begin_attempt(
        record, key=record.key, fingerprint=record.fingerprint, now=record.seen_at
    )
    return expect_type(KnownResponse, retry)


def _lost_lease(attempt: Attempt) -> LeaseLost:
    erased = acts.forget(idempotency.in_flight_record(attempt), attempt.started_at)
    return expect_type(LeaseLost, acts.renew(erased.value, attempt, attempt.started_at))


def problems() -> st.SearchStrategy[Problem]:
    """Draw problems of every code, each with all details that its code requires.

    The details are drawn independently, so they need not fit together. The detail `reason` is one
    of the reasons of the code.
    """
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
        return st.sampled_from(reasons_of(code) or (None,))
    if isinstance(detail.example, StrEnum):
        return st.sampled_from(type(detail.example))
    if isinstance(detail.example, datetime):
        return values.instants()
    if isinstance(detail.example, int):
        return st.integers(1, 60)
    if detail.schema == UUID:
        return values.uuids()
    is_nullable = detail.schema == or_null(TEXT)
    return st.sampled_from((None, detail.example) if is_nullable else (detail.example,))
