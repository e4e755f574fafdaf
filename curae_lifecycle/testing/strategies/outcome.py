"""What the rules answer: transitions, recoveries, landings, access, replays.

The law of this module: **an answer is one that a rule gave** to a value with a past.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

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
from curae_lifecycle.rules.session import Initiated, Landing, complete_handoff, initiate
from curae_lifecycle.rules.triggers import Transition, authorize, revoke
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
from curae_lifecycle.testing.strategies.binding import bindings
from curae_lifecycle.testing.strategies.connection import (
    History,
    connections,
    histories,
    new_connections,
)
from curae_lifecycle.testing.strategies.record import attempts, records_with
from curae_lifecycle.testing.strategies.values import (
    LIFETIME,
    START,
    TICK,
    coordinates,
    data_package,
    instants,
    next_action_at,
    session_ids,
    user_of,
    uuid_of,
)

_LATER: Final = START + timedelta(hours=4)
"""After everything that any past holds."""


def transitions() -> st.SearchStrategy[Transition]:
    """What the last fact of a connection's past was answered: done, ignored or refused."""
    return st.one_of(done_transitions(), ignored_transitions(), refused_transitions())


def done_transitions() -> st.SearchStrategy[Done[Connection]]:
    """What changed a connection: the last such fact of its past, or its first revocation."""
    return histories().map(_done)


def ignored_transitions() -> st.SearchStrategy[Ignored[Connection]]:
    """What changed nothing: the last such fact of a connection's past, or a second revocation."""
    return histories().map(_ignored)


def refused_transitions() -> st.SearchStrategy[Refused]:
    """What was refused: the last such fact of a connection's past, or one after its deadline."""
    return histories().map(_refused)


def _done(history: History) -> Done[Connection]:
    answers = [step.answer for step in history.steps if isinstance(step.answer, Done)]
    first = revoke(history.created, START, actor=Actor.APP)
    assert isinstance(first, Done)  # noqa: S101 - a new connection may be revoked
    return (answers or [first])[-1]


def _ignored(history: History) -> Ignored[Connection]:
    answers = [step.answer for step in history.steps if isinstance(step.answer, Ignored)]
    once = revoke(history.created, START, actor=Actor.APP)
    twice = revoke(once.value, START, actor=Actor.APP)
    assert isinstance(twice, Ignored)  # noqa: S101 - it was revoked before
    return (answers or [twice])[-1]


def _refused(history: History) -> Refused:
    answers = [step.answer for step in history.steps if isinstance(step.answer, Refused)]
    lapsed = authorize(history.created, START + LIFETIME)
    assert isinstance(lapsed, Refused)  # noqa: S101 - the deadline is reached
    return (answers or [lapsed])[-1]


def recoveries() -> st.SearchStrategy[Minted | Reissued]:
    """What a reconnect gives."""
    return st.one_of(minted(), reissued())


def minted() -> st.SearchStrategy[Minted]:
    """Successors just minted."""
    return connections().map(lambda connection: _minted(_ended(connection)))


def reissued() -> st.SearchStrategy[Reissued]:
    """Successors whose next action was replaced."""
    return connections().map(lambda connection: _reissued(_ended(connection)))


def _ended(connection: Connection) -> Connection:
    return revoke(connection, _LATER, actor=Actor.APP).value


def _minted(ended: Connection) -> Minted:
    recovery = _recover(ended, None)
    assert isinstance(recovery, Done)  # noqa: S101 - it is revoked and nobody recovered it
    assert isinstance(recovery.value, Minted)  # noqa: S101 - the same
    return recovery.value


def _reissued(ended: Connection) -> Reissued:
    recovery = _recover(ended, _minted(ended).connection)
    assert isinstance(recovery, Done)  # noqa: S101 - its successor is pending
    assert isinstance(recovery.value, Reissued)  # noqa: S101 - the same
    return recovery.value


def _recover(ended: Connection, successor: Connection | None) -> Recovery:
    return reconnect(
        ended,
        successor,
        _LATER,
        id=ConnectionId(uuid_of(0xFFFF_FFFF_FFFF)),
        next_action=next_action_at(_LATER),
    )


def initiations() -> st.SearchStrategy[Initiated]:
    """Sessions just minted, with the binding beside them."""
    bound = st.one_of(st.none(), bindings())
    return st.builds(_initiated, coordinates(), bound, st.booleans(), session_ids())


def landings() -> st.SearchStrategy[Landing]:
    """Hand-offs that landed, with the binding beside them."""
    waits = st.sampled_from((timedelta(0), LIFETIME - TICK))
    return st.builds(_landed, coordinates(), session_ids(), waits)


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
        user_id=user_of(99),
        next_action=next_action_at(START),
    ).value


def _landed(whose: Coordinate, session_id: SessionId, wait: timedelta) -> Landing:
    waiting = _initiated(whose, None, True, session_id)
    landed = complete_handoff(waiting.session, None, user_of(1), START + wait)
    assert isinstance(landed, Done)  # noqa: S101 - it waits, and nobody is bound
    return landed.value


def grants() -> st.SearchStrategy[Granted]:
    """Access that is granted, some of it without an end."""
    ends = st.sampled_from((None, START + LIFETIME))
    return st.builds(authorize, new_connections(), st.just(START), expires_at=ends).map(_granted)


def _granted(answer: Transition) -> Granted:
    assert isinstance(answer, Done)  # noqa: S101 - a new connection may be authorized
    connection = answer.value
    granted = decide_access(connection, connection.identity.data_packages[0], START)
    assert isinstance(granted, Granted)  # noqa: S101 - it is ACTIVE and the package its own
    return granted


def denials() -> st.SearchStrategy[Denied]:
    """Access that is denied, for every reason."""
    return access_decisions().filter(lambda decision: isinstance(decision, Denied)).map(_denied)


def access_decisions() -> st.SearchStrategy[AccessDecision]:
    """What is decided of connections with a past, for packages of theirs and others."""
    return st.builds(decide_access, connections(), data_package(), instants())


def _denied(decision: AccessDecision) -> Denied:
    assert isinstance(decision, Denied)  # noqa: S101 - the filter let nothing else through
    return decision


def replays() -> st.SearchStrategy[KnownResponse]:
    """Answers that are given again."""
    return records_with(RecordStanding.COMPLETED).map(lambda drawn: _replayed(drawn[0]))


def lost_leases() -> st.SearchStrategy[LeaseLost]:
    """What an attempt is answered whose record was erased."""
    return attempts().map(_lost)


def _replayed(record: Record) -> KnownResponse:
    replay = idempotency.begin(record, record.key, record.fingerprint, record.seen_at)
    assert isinstance(replay, KnownResponse)  # noqa: S101 - the record is completed
    return replay


def _lost(attempt: Attempt) -> LeaseLost:
    erased = acts.forget(idempotency.in_flight_record(attempt), attempt.at)
    lost = acts.renew(erased.value, attempt, attempt.at)
    assert isinstance(lost, LeaseLost)  # noqa: S101 - its record is gone
    return lost
