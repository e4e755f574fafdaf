"""What happens to a connection, beside state machines and beside constructing what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Final, Protocol

import attrs

from benchmarks.measure import Row, Side, Work
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
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Status
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import authorize, revoke

_NO_DATA: Final = "a state alone: no deadline, no instants, no rule's name"


# --- Ours -------------------------------------------------------------------------------------


def _authorize(_calls: int) -> Work:
    connection = pending()
    return lambda: authorize(connection, SOON, expires_at=END)


def _active() -> Connection:
    answer = authorize(pending(), SOON, expires_at=END)
    assert isinstance(answer, Done)
    return answer.value


def _authorize_again(_calls: int) -> Work:
    connection = _active()
    return lambda: authorize(connection, SOON, expires_at=END)


def _authorize_late(_calls: int) -> Work:
    connection = pending()
    return lambda: authorize(connection, LATER, expires_at=END)


def _revoke(_calls: int) -> Work:
    connection = _active()
    return lambda: revoke(connection, LATER, actor=Actor.APP)


def _reconnect(_calls: int) -> Work:
    connection, identity = _active(), connection_id(2)
    return lambda: reconnect(connection, None, LATER, id=identity, next_action=FRESH_ACTION)


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


# --- Constructing the same --------------------------------------------------------------------


def _construct(after: Connection) -> Callable[[int], Work]:
    # By position, with all its parts: what is shared above is made here.
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
    return revoke(_active(), LATER, actor=Actor.APP).value


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
    # The deadline is compared, a dict says what follows, and that is said in a value.
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


# --- Peers ------------------------------------------------------------------------------------


class _Machine(Protocol):
    """What the peers' machines have: an event, and the state that it leaves."""

    state: str


_STATES: Final = ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"]
_MOVES: Final = [
    {"trigger": "authorize", "source": "PENDING", "dest": "ACTIVE"},
    {"trigger": "revoke", "source": _STATES[:-1], "dest": "REVOKED"},
    {"trigger": "reconnect", "source": "EXPIRED", "dest": "ACTIVE"},
]


class _Model:
    """What a machine of transitions moves."""

    state: str
    authorize: Callable[[], bool]
    revoke: Callable[[], bool]
    reconnect: Callable[[], bool]


@cache
def _transitions(state: str = "PENDING") -> _Model:
    from transitions import Machine

    model = _Model()
    Machine(model=model, states=_STATES, transitions=_MOVES, initial=state)
    return model


def _transitions_fresh(_calls: int) -> Work:
    def work() -> _Model:
        model = _transitions.__wrapped__()
        model.authorize()
        return model

    return work


def _transitions_reused(event: str, before: str) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        model = _transitions()
        move: Callable[[], bool] = getattr(model, event)

        def work() -> _Model:
            model.state = before
            move()
            return model

        return work

    return make


def _transitions_refused(event: str) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        from transitions import MachineError

        model = _transitions()
        model.state = "ACTIVE"
        move: Callable[[], bool] = getattr(model, event)

        def work() -> str:
            try:
                move()
            except MachineError:
                return "refused"
            return "moved"

        return work

    return make


def _state_of(model: object) -> str:
    assert isinstance(model, _Model)
    return model.state


@cache
def _statemachine() -> Callable[[], object]:
    from statemachine import State, StateMachine

    class Lifecycle(StateMachine):
        pending = State(initial=True)
        active = State()
        action_required = State()
        expired = State()
        revoked = State(final=True)
        authorize = pending.to(active)
        need = active.to(action_required)
        expire = active.to(expired) | action_required.to(expired)
        revoke = (
            pending.to(revoked)
            | active.to(revoked)
            | action_required.to(revoked)
            | expired.to(revoked)
        )
        reconnect = expired.to(active)

    return Lifecycle


def _statemachine_fresh(_calls: int) -> Work:
    kind = _statemachine()

    def work() -> object:
        machine = kind()
        machine.authorize()  # type: ignore[attr-defined]  # its metaclass makes it  # pyright: ignore[reportAttributeAccessIssue]
        return machine

    return work


def _statemachine_reused(calls: int) -> Work:
    kind = _statemachine()
    machines = iter([kind() for _ in range(calls)])

    def work() -> object:
        machine = next(machines)
        machine.authorize()  # type: ignore[attr-defined]  # as above  # pyright: ignore[reportAttributeAccessIssue]
        return machine

    return work


def _configured(machine: object) -> str:
    values: set[str] = set(getattr(machine, "configuration_values"))  # noqa: B009 - it is untyped
    return values.pop().upper()


@cache
def _automat() -> Callable[[], object]:
    from automat import TypeMachineBuilder

    class Inputs(Protocol):
        def authorize(self) -> None: ...
        def revoke(self) -> None: ...
        def state(self) -> str: ...

    class Core:
        """Nothing is kept beside the state."""

    builder = TypeMachineBuilder(Inputs, Core)
    pending_, active, revoked = map(builder.state, ("PENDING", "ACTIVE", "REVOKED"))
    pending_.upon(Inputs.authorize).to(active).returns(None)
    pending_.upon(Inputs.revoke).to(revoked).returns(None)
    active.upon(Inputs.revoke).to(revoked).returns(None)
    for each, name in ((pending_, "PENDING"), (active, "ACTIVE"), (revoked, "REVOKED")):
        each.upon(Inputs.state).loop().returns(name)
    build = builder.build()
    return lambda: build(Core())


def _automat_reused(event: str, *before: str) -> Callable[[int], Work]:
    def make(calls: int) -> Work:
        made = [_automat()() for _ in range(calls)]
        for each in made:
            for earlier in before:
                getattr(each, earlier)()
        machines = iter(made)

        def work() -> object:
            machine = next(machines)
            getattr(machine, event)()
            return machine

        return work

    return make


def _automat_state(machine: object) -> str:
    return str(getattr(machine, "state")())  # noqa: B009 - it is untyped


@cache
def _django_fsm() -> Callable[[], _Machine]:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure()
        django.setup()
    from django.db import models
    from django_fsm import FSMField, transition

    class Patient(models.Model):
        state = FSMField(default="PENDING")

        class Meta:
            app_label = "benchmarks"

        @transition(field=state, source="PENDING", target="ACTIVE")
        def authorize(self) -> None:
            """Nothing but the state changes."""

        @transition(field=state, source=_STATES[:-1], target="REVOKED")
        def revoke(self) -> None:
            """Nothing but the state changes."""

        @transition(field=state, source="EXPIRED", target="ACTIVE")
        def reconnect(self) -> None:
            """Nothing but the state changes."""

    return Patient


def _django_fsm_reused(event: str, before: str) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        instance = _django_fsm()()
        move: Callable[[], None] = getattr(instance, event)

        def work() -> _Machine:
            instance.state = before
            move()
            return instance

        return work

    return make


def _django_fsm_refused(event: str) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        from django_fsm import TransitionNotAllowed

        instance = _django_fsm()()
        instance.state = "ACTIVE"
        move: Callable[[], None] = getattr(instance, event)

        def work() -> str:
            try:
                move()
            except TransitionNotAllowed:
                return "refused"
            return "moved"

        return work

    return make


def _django_state(instance: object) -> str:
    return str(getattr(instance, "state"))  # noqa: B009 - its class is made where it is installed


# --- The rows ---------------------------------------------------------------------------------


def _refused_by_peer(code: str) -> Callable[[object], str]:
    return lambda answer: f"{answer} {code}"


def rows() -> list[Row]:
    """The rows of this family."""
    transitions, django_fsm = "transitions", "django-fsm-2"
    statemachine, automat = "python-statemachine", "automat"
    not_reconnectable = "CONNECTION_NOT_RECONNECTABLE"
    raises = "an exception that names no deadline, no id and no code"
    return [
        Row(
            "connection",
            "authorize, accepted",
            "ACTIVE",
            (
                Side("ours", _authorize, _outcome),
                Side(
                    "floor: the same connection constructed",
                    _construct(_active()),
                    _outcome,
                    "decides nothing; constructs the identity too, which a transition shares",
                ),
                Side(
                    "transitions, a machine for each",
                    _transitions_fresh,
                    _state_of,
                    _NO_DATA,
                    transitions,
                ),
                Side(
                    "transitions, one machine",
                    _transitions_reused("authorize", "PENDING"),
                    _state_of,
                    _NO_DATA,
                    transitions,
                ),
                Side(
                    "python-statemachine, a machine for each",
                    _statemachine_fresh,
                    _configured,
                    _NO_DATA,
                    statemachine,
                ),
                Side(
                    "python-statemachine, made before",
                    _statemachine_reused,
                    _configured,
                    _NO_DATA,
                    statemachine,
                ),
                Side(
                    "automat, made before",
                    _automat_reused("authorize"),
                    _automat_state,
                    _NO_DATA,
                    automat,
                ),
                Side(
                    "django-fsm-2",
                    _django_fsm_reused("authorize", "PENDING"),
                    _django_state,
                    "a state alone, and Django's signals",
                    django_fsm,
                ),
            ),
        ),
        Row(
            "connection",
            "revoke, accepted",
            "REVOKED",
            (
                Side("ours", _revoke, _outcome),
                Side(
                    "floor: the same connection constructed",
                    _construct(_revoked()),
                    _outcome,
                    "as above",
                ),
                Side(
                    "transitions, one machine",
                    _transitions_reused("revoke", "ACTIVE"),
                    _state_of,
                    _NO_DATA,
                    transitions,
                ),
                Side(
                    "automat, made before",
                    _automat_reused("revoke", "authorize"),
                    _automat_state,
                    _NO_DATA,
                    automat,
                ),
                Side(
                    "django-fsm-2",
                    _django_fsm_reused("revoke", "ACTIVE"),
                    _django_state,
                    "a state alone, and Django's signals",
                    django_fsm,
                ),
            ),
        ),
        Row(
            "connection",
            "authorize, ignored",
            Ignored.__name__,
            (
                Side("ours", _authorize_again, _outcome),
                Side(
                    "floor: two comparisons and a dict",
                    _floor("authorize", "ACTIVE", END, SOON),
                    _what,
                    "checks no instant",
                ),
            ),
        ),
        Row(
            "connection",
            "authorize, refused",
            "refused HANDOFF_LAPSED",
            (
                Side("ours", _authorize_late, _outcome),
                Side(
                    "floor: two comparisons and a dict",
                    _floor("authorize", "PENDING", NEXT_ACTION.expires_at, LATER),
                    _what,
                    "checks no instant",
                ),
            ),
        ),
        Row(
            "connection",
            "reconnect, refused",
            f"refused {not_reconnectable}",
            (
                Side("ours", _reconnect, _outcome),
                Side(
                    "floor: two comparisons and a dict",
                    _floor("reconnect", "ACTIVE", END, LATER),
                    _what,
                    "checks no instant",
                ),
                Side(
                    "transitions, one machine",
                    _transitions_refused("reconnect"),
                    _refused_by_peer(not_reconnectable),
                    raises,
                    transitions,
                ),
                Side(
                    "django-fsm-2",
                    _django_fsm_refused("reconnect"),
                    _refused_by_peer(not_reconnectable),
                    raises,
                    django_fsm,
                ),
            ),
        ),
    ]
