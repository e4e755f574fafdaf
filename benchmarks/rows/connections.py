"""Benchmarks of connection triggers: authorize, revoke and reconnect.

A floor is the least code that could do the work. One constructs the same connection, the other
compares the deadline and finds the verdict in a dict. The peers are libraries of state machines.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from benchmarks.measure import Row, Side, Work
from benchmarks.rows.state_machines import (
    automat_reused,
    automat_state,
    configured,
    django_fsm_refused,
    django_fsm_reused,
    django_state,
    state_of,
    statemachine_fresh,
    statemachine_reused,
    transitions_fresh,
    transitions_refused,
    transitions_reused,
)
from benchmarks.rows.subjects import (
    COORDINATE,
    END,
    FRESH_ACTION,
    LATER,
    NEXT_ACTION,
    SOON,
    connection_id,
    pending,
)
from curae_lifecycle.rules.chain import reconnect
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import authorize, revoke

_NO_DATA: Final = "a state alone: no deadline, no instants, no rule's name"


# --- Ours -------------------------------------------------------------------------------------


def _authorize(_calls: int) -> Work:
    connection = pending()
    return lambda: authorize(connection, SOON, expires_at=END, era=None)


def _active() -> Connection:
    answer = authorize(pending(), SOON, expires_at=END, era=None)
    assert isinstance(answer, Done)
    return answer.value


def _authorize_again(_calls: int) -> Work:
    connection = _active()
    return lambda: authorize(connection, SOON, expires_at=END, era=None)


def _authorize_late(_calls: int) -> Work:
    connection = pending()
    return lambda: authorize(connection, LATER, expires_at=END, era=None)


def _revoke(_calls: int) -> Work:
    connection, actor = _active(), Actor.APP
    return lambda: revoke(connection, LATER, actor=actor, era=None)


def _reconnect(_calls: int) -> Work:
    connection, identity = _active(), connection_id(2)
    return lambda: reconnect(
        connection, None, LATER, id=identity, next_action=FRESH_ACTION, era=None
    )


def _outcome(answer: object) -> str:
    match answer:
        case Done(Connection(status=status)):
            return status
        case Refused(problem):
            return f"refused {problem.code}"
        case Connection(status=status):
            return status
        case _:
            return type(answer).__name__


# --- Constructing the same connection ---------------------------------------------------------


def _construct(after: Connection) -> Callable[[int], Work]:
    # Positional arguments are the cheapest call. The identity is constructed too; ours shares it.
    identity = after.identity
    packages, created, root = identity.data_packages, identity.created_at, identity.root_id

    def work() -> Connection:
        own = ConnectionIdentity(identity.id, COORDINATE, packages, created, None, root)
        return Connection(
            own,
            after.status,
            after.updated_at,
            NEXT_ACTION.expires_at,
            SOON,
            END,
            None,
            after.revoked_at,
            after.revoked_by,
            after.version,
        )

    return lambda _calls: work


def _revoked() -> Connection:
    return revoke(_active(), LATER, actor=Actor.APP, era=None).value


# --- The floors -------------------------------------------------------------------------------


@attrs.frozen
class _Said:
    what: str
    value: object


_VERDICTS: Final = {
    ("authorize", "ACTIVE"): ("Ignored", "connection.authorize.active"),
    ("authorize", "LAPSED"): ("refused HANDOFF_LAPSED", "connection.authorize.lapsed"),
    ("reconnect", "ACTIVE"): (
        "refused CONNECTION_NOT_RECONNECTABLE",
        "connection.reconnect.active",
    ),
}


def _floor(trigger: str, standing: str, deadline: datetime, now: datetime) -> Callable[[int], Work]:
    # The least that could decide: compare the deadline, find the verdict, and return it in a value.
    verdicts = _VERDICTS

    def ignored() -> _Said:
        stands = standing if now < deadline else "LAPSED"
        verdict, rule = verdicts[trigger, stands]
        return _Said(verdict, rule)

    def refused() -> _Said:
        stands = standing if now < deadline else "LAPSED"
        verdict, rule = verdicts[trigger, stands]
        return _Said(verdict, _Said("id", (stands, rule)))

    is_ignored = verdicts[trigger, standing if now < deadline else "LAPSED"][0] == "Ignored"
    return lambda _calls: ignored if is_ignored else refused


def _what(said: object) -> str:
    assert isinstance(said, _Said)
    return said.what


# --- The rows ---------------------------------------------------------------------------------


def _refused_by_peer(code: str) -> Callable[[object], str]:
    return lambda answer: f"{answer} {code}"


def rows() -> list[Row]:
    """Return the rows of connection triggers."""
    transitions, django_fsm = "transitions", "django-fsm-2"
    statemachine, automat = "python-statemachine", "automat"
    not_reconnectable = "CONNECTION_NOT_RECONNECTABLE"
    raises = "an exception that names no deadline, no id and no code"
    return [
        Row(
            family="connection",
            name="authorize, accepted",
            answer="ACTIVE",
            sides=(
                Side("ours", _authorize, _outcome),
                Side(
                    name="floor: the same connection constructed",
                    make=_construct(_active()),
                    says=_outcome,
                    lacks="decides nothing; constructs the identity too, which a transition shares",
                ),
                Side(
                    name="transitions, a machine for each",
                    make=transitions_fresh,
                    says=state_of,
                    lacks=_NO_DATA,
                    package=transitions,
                ),
                Side(
                    name="transitions, one machine",
                    make=transitions_reused("authorize", "PENDING"),
                    says=state_of,
                    lacks=_NO_DATA,
                    package=transitions,
                ),
                Side(
                    name="python-statemachine, a machine for each",
                    make=statemachine_fresh,
                    says=configured,
                    lacks=_NO_DATA,
                    package=statemachine,
                ),
                Side(
                    name="python-statemachine, made before",
                    make=statemachine_reused,
                    says=configured,
                    lacks=_NO_DATA,
                    package=statemachine,
                ),
                Side(
                    name="automat, made before",
                    make=automat_reused("authorize"),
                    says=automat_state,
                    lacks=_NO_DATA,
                    package=automat,
                ),
                Side(
                    name="django-fsm-2",
                    make=django_fsm_reused("authorize", "PENDING"),
                    says=django_state,
                    lacks="a state alone, and Django's signals",
                    package=django_fsm,
                ),
            ),
        ),
        Row(
            family="connection",
            name="revoke, accepted",
            answer="REVOKED",
            sides=(
                Side("ours", _revoke, _outcome),
                Side(
                    name="floor: the same connection constructed",
                    make=_construct(_revoked()),
                    says=_outcome,
                    lacks="as above",
                ),
                Side(
                    name="transitions, one machine",
                    make=transitions_reused("revoke", "ACTIVE"),
                    says=state_of,
                    lacks=_NO_DATA,
                    package=transitions,
                ),
                Side(
                    name="automat, made before",
                    make=automat_reused("revoke", "authorize"),
                    says=automat_state,
                    lacks=_NO_DATA,
                    package=automat,
                ),
                Side(
                    name="django-fsm-2",
                    make=django_fsm_reused("revoke", "ACTIVE"),
                    says=django_state,
                    lacks="a state alone, and Django's signals",
                    package=django_fsm,
                ),
            ),
        ),
        Row(
            family="connection",
            name="authorize, ignored",
            answer=Ignored.__name__,
            sides=(
                Side("ours", _authorize_again, _outcome),
                Side(
                    name="floor: two comparisons and a dict",
                    make=_floor("authorize", standing="ACTIVE", deadline=END, now=SOON),
                    says=_what,
                    lacks="checks no instant",
                ),
            ),
        ),
        Row(
            family="connection",
            name="authorize, refused",
            answer="refused HANDOFF_LAPSED",
            sides=(
                Side("ours", _authorize_late, _outcome),
                Side(
                    name="floor: two comparisons and a dict",
                    make=_floor(
                        "authorize", standing="PENDING", deadline=NEXT_ACTION.expires_at, now=LATER
                    ),
                    says=_what,
                    lacks="checks no instant",
                ),
            ),
        ),
        Row(
            family="connection",
            name="reconnect, refused",
            answer=f"refused {not_reconnectable}",
            sides=(
                Side("ours", _reconnect, _outcome),
                Side(
                    name="floor: two comparisons and a dict",
                    make=_floor("reconnect", standing="ACTIVE", deadline=END, now=LATER),
                    says=_what,
                    lacks="checks no instant",
                ),
                Side(
                    name="transitions, one machine",
                    make=transitions_refused("reconnect"),
                    says=_refused_by_peer(not_reconnectable),
                    lacks=raises,
                    package=transitions,
                ),
                Side(
                    name="django-fsm-2",
                    make=django_fsm_refused("reconnect"),
                    says=_refused_by_peer(not_reconnectable),
                    lacks=raises,
                    package=django_fsm,
                ),
            ),
        ),
    ]
