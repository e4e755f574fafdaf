"""State machines of other libraries that move as a connection does: the peers of `connections`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, Protocol

from benchmarks.measure import Work

_STATES: Final = ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"]


class _Model:
    """An object whose state a machine of `transitions` changes."""

    state: str
    authorize: Callable[[], bool]
    revoke: Callable[[], bool]
    reconnect: Callable[[], bool]


@cache
def _transitions() -> _Model:
    from transitions import Machine

    model = _Model()
    machine = Machine(model=model, states=_STATES, initial="PENDING")
    machine.add_transition("authorize", "PENDING", "ACTIVE")
    for state in _STATES[:-1]:
        machine.add_transition("revoke", state, "REVOKED")
    machine.add_transition("reconnect", "EXPIRED", "ACTIVE")
    return model


def transitions_fresh(_calls: int) -> Work:
    """Return work that makes a new machine of `transitions` for each call.

    A program that makes one for each row of a database does the same.
    """

    def work() -> _Model:
        model = _transitions.__wrapped__()
        model.authorize()
        return model

    return work


def transitions_reused(event: str, before: str) -> Callable[[int], Work]:
    """Return a maker of work that moves one machine of `transitions`, reset before each move."""

    def make(_calls: int) -> Work:
        model = _transitions()
        move: Callable[[], bool] = getattr(model, event)

        def work() -> _Model:
            model.state = before
            move()
            return model

        return work

    return make


def transitions_refused(event: str) -> Callable[[int], Work]:
    """Return a maker of work that attempts a move that `transitions` refuses."""

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


def state_of(model: object) -> str:
    """Return the state of a model of `transitions`."""
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


def statemachine_fresh(_calls: int) -> Work:
    """Return work that makes a new machine of python-statemachine for each call."""
    kind = _statemachine()

    def work() -> object:
        machine = kind()
        machine.authorize()  # type: ignore[attr-defined]  # its metaclass makes it  # pyright: ignore[reportAttributeAccessIssue]
        return machine

    return work


def statemachine_reused(calls: int) -> Work:
    """Return work that moves machines of python-statemachine, each made before and moved once."""
    kind = _statemachine()
    machines = iter([kind() for _ in range(calls)])

    def work() -> object:
        machine = next(machines)
        machine.authorize()  # type: ignore[attr-defined]  # as above  # pyright: ignore[reportAttributeAccessIssue]
        return machine

    return work


def configured(machine: object) -> str:
    """Return the state of a machine of python-statemachine."""
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
        """A core without data: the machine stores only its state."""

    builder = TypeMachineBuilder(Inputs, Core)
    pending_, active, revoked = map(builder.state, ("PENDING", "ACTIVE", "REVOKED"))
    pending_.upon(Inputs.authorize).to(active).returns(None)
    pending_.upon(Inputs.revoke).to(revoked).returns(None)
    active.upon(Inputs.revoke).to(revoked).returns(None)
    for each, name in ((pending_, "PENDING"), (active, "ACTIVE"), (revoked, "REVOKED")):
        each.upon(Inputs.state).loop().returns(name)
    build = builder.build()
    return lambda: build(Core())


def automat_reused(event: str, *before: str) -> Callable[[int], Work]:
    """Return a maker of work that moves each machine of automat once.

    The machines are made before, and have made the moves of `before`.
    """

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


def automat_state(machine: object) -> str:
    """Return the state of a machine of automat."""
    return str(getattr(machine, "state")())  # noqa: B009 - it is untyped


@cache
def _django_fsm() -> Callable[[], object]:
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

        def __str__(self) -> str:
            return str(self.state)

        @transition(field=state, source="PENDING", target="ACTIVE")
        def authorize(self) -> None:
            """Change only the state."""

        @transition(field=state, source=_STATES[:-1], target="REVOKED")
        def revoke(self) -> None:
            """Change only the state."""

        @transition(field=state, source="EXPIRED", target="ACTIVE")
        def reconnect(self) -> None:
            """Change only the state."""

    return Patient


def django_fsm_reused(event: str, before: str) -> Callable[[int], Work]:
    """Return a maker of work that moves one instance of a django-fsm-2 model.

    Its state is reset before each move.
    """

    def make(_calls: int) -> Work:
        instance = _django_fsm()()
        move: Callable[[], None] = getattr(instance, event)

        def work() -> object:
            instance.state = before  # type: ignore[attr-defined]  # its class is made above  # pyright: ignore[reportAttributeAccessIssue]
            move()
            return instance

        return work

    return make


def django_fsm_refused(event: str) -> Callable[[int], Work]:
    """Return a maker of work that attempts a move that django-fsm-2 refuses."""

    def make(_calls: int) -> Work:
        from django_fsm import TransitionNotAllowed

        instance = _django_fsm()()
        setattr(instance, "state", "ACTIVE")  # noqa: B010 - its class is made above
        move: Callable[[], None] = getattr(instance, event)

        def work() -> str:
            try:
                move()
            except TransitionNotAllowed:
                return "refused"
            return "moved"

        return work

    return make


def django_state(instance: object) -> str:
    """Return the state of a model of django-fsm-2."""
    return str(getattr(instance, "state"))  # noqa: B009 - its class exists only with the peer
