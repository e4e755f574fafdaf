"""Tests of `register`, which lets `from_type` draw public attrs classes, enums and NewTypes."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import NewType

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle import rules, service, web
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import registry
from tests.testing.strategies.drawing import check_storable, reached

REGISTERED = """
import attrs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.rules.ratelimit import BucketState, LogState, Policy
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.testing import strategies
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate, parse_uuid

strategies.register()
strategies.register()


@attrs.frozen
class Mine:
    connection: Connection
    id: ConnectionId
    user: AppUserId


few = settings(max_examples=20, database=None, derandomize=True, deadline=None)


@few
@given(st.builds(Mine))
def mine(drawn):
    assert drawn.connection.identity.created_at.tzinfo is not None
    assert (drawn.connection.status is Status.REVOKED) == (drawn.connection.revoked_at is not None)
    assert parse_uuid("id", drawn.id) == drawn.id


@few
@given(st.from_type(Operation), st.from_type(Fact), st.from_type(Policy), st.from_type(Record))
def unions(operation, fact, policy, record):
    assert isinstance(operation, Operation)
    assert isinstance(fact, Fact)
    assert isinstance(policy, Policy)
    assert record.token >= 1


@few
@given(st.from_type(LimitedAccountAppBinding), st.from_type(CuraeConnectSession))
def others(binding, session):
    assert binding.generation >= 1
    assert session.created_at < session.expires_at


mine()
unions()
others()
print("registered")
"""


@pytest.mark.heavy
def test_from_type_and_builds_draw_reachable_values() -> None:
    # Run in another process: a registration is global and permanent.
    done = subprocess.run(
        [sys.executable, "-c", REGISTERED], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("registered\n", "")


ROOMS = (rules, service, web)


def modules() -> Iterator[ModuleType]:
    for room in ROOMS:
        for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            yield importlib.import_module(found.name)


def public_types() -> list[tuple[str, object]]:
    """List every attrs class, enum and NewType of the deciding packages, where it is defined."""
    found: list[tuple[str, object]] = []
    for module in modules():
        for name, held in sorted(vars(module).items()):
            is_type = isinstance(held, NewType) or (
                isinstance(held, type) and (attrs.has(held) or issubclass(held, Enum))
            )
            own = getattr(held, "__module__", None) == module.__name__
            if is_type and own and not name.startswith("_"):
                found.append((f"{module.__name__}.{name}", held))
    return found


ALL_TYPES = """
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.testing import strategies
from tests.testing.strategies.test_registry import public_types

strategies.register()
quick = settings(database=None, derandomize=True, max_examples=50, phases=(Phase.generate,))
for name, kind in public_types():
    drawn = find(st.from_type(kind), lambda _: True, settings=quick)
    assert isinstance(drawn, kind if isinstance(kind, type) else str), name
for outcome in (Done, Ignored):
    for kind in (Changes, Connection):
        drawn = find(st.from_type(outcome[kind]), lambda _: True, settings=quick)
        assert isinstance(drawn, outcome)
        assert isinstance(drawn.value, kind)
print("drawn")
"""


@pytest.mark.heavy
def test_from_type_draws_every_public_type() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALL_TYPES], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("drawn\n", "")
    assert len(public_types()) > 100


@pytest.mark.slow
def test_register_covers_every_public_type(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[object, object] = {}
    monkeypatch.setattr(st, "register_type_strategy", registered.__setitem__)
    draw.register()
    named = {held for _, held in public_types()}
    # Hypothesis draws enum members by itself.
    enums = {held for held in named if isinstance(held, type) and issubclass(held, Enum)}
    assert named - enums - {*registered} == set()
    for kind, strategy in registered.items():
        if isinstance(strategy, st.SearchStrategy):
            drawn: object = reached(strategy, lambda _: True)
            assert not isinstance(kind, type) or isinstance(drawn, kind)
            check_storable(drawn)


def test_done_and_ignored_are_drawn_with_the_requested_type() -> None:
    assert isinstance(reached(registry._done(Done[Changes]), lambda _: True).value, Changes)
    assert isinstance(reached(registry._done(Done), lambda _: True).value, Connection)
    assert isinstance(reached(registry._ignored(Ignored[Changes]), lambda _: True).value, Changes)
    assert isinstance(reached(registry._ignored(Ignored), lambda _: True).value, Connection)
