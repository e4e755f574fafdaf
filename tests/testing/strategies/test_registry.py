"""Tests of `register`, which lets `from_type` draw public attrs classes, enums and NewTypes."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from types import ModuleType
from typing import NewType, TypeVar, cast

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle import rules, service, web
from curae_lifecycle.rules.access import DenialReason
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity
from curae_lifecycle.rules.outcomes import Done, Ignored, Reason
from curae_lifecycle.rules.problems import WORDING, Wording
from curae_lifecycle.rules.tables import Axis, Row
from curae_lifecycle.rules.triggers import RefusalReason
from curae_lifecycle.rules.values import ConnectionId, Coordinate, parse_uuid
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.revoked_batch import RevokedBatch
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Example, Ruling
from curae_lifecycle.service.problem_details import DETAILS, Detail
from curae_lifecycle.service.revocation import reaches_chain
from curae_lifecycle.service.rulebook import TABLES, FoundRule
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage, Needs, Snapshot
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import registry
from curae_lifecycle.web.respond import Answer
from tests.support.drawing import drawn_examples
from tests.testing.strategies.drawing import check_storable, reached
from tests.testing.strategies.playing import exchange_of, play, step

Drawn = TypeVar("Drawn")

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
def test_hypothesis_from_type_draws_valid_values_after_register() -> None:
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


@pytest.mark.slow
def test_done_and_ignored_are_drawn_with_requested_value_type() -> None:
    assert isinstance(reached(registry._done(Done[Changes]), lambda _: True).value, Changes)
    assert isinstance(reached(registry._done(Done), lambda _: True).value, Connection)
    assert isinstance(reached(registry._ignored(Ignored[Changes]), lambda _: True).value, Changes)
    assert isinstance(reached(registry._ignored(Ignored), lambda _: True).value, Connection)


# --- What is registered ---------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[object, object]:
    """Return what `register` registers, without a registration."""
    found: dict[object, object] = {}
    monkeypatch.setattr(st, "register_type_strategy", found.__setitem__)
    draw.register()
    return found


@pytest.fixture
def ends_of_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw of each range of integers only the lowest and the highest."""
    monkeypatch.setattr(st, "integers", lambda *ends: st.sampled_from(ends))


def strategy_of(registered: dict[object, object], kind: type[Drawn]) -> st.SearchStrategy[Drawn]:
    strategy = registered[kind]
    assert isinstance(strategy, st.SearchStrategy)
    return cast("st.SearchStrategy[Drawn]", strategy)


def test_every_registration_is_a_type_with_a_strategy(registered: dict[object, object]) -> None:
    functions = {registered.pop(Done), registered.pop(Ignored)}
    assert functions == {registry._done, registry._ignored}
    for kind, strategy in registered.items():
        assert isinstance(kind, type | NewType)
        assert isinstance(strategy, st.SearchStrategy)


@pytest.mark.slow
def test_drawn_reasons_are_those_of_denials_and_refusals(
    registered: dict[object, object],
) -> None:
    drawn = drawn_examples(strategy_of(registered, Reason))
    assert set(drawn) == {*DenialReason, *RefusalReason}


@pytest.mark.slow
def test_every_listed_problem_wording_and_detail_is_drawn(
    registered: dict[object, object],
) -> None:
    wordings = drawn_examples(strategy_of(registered, Wording), count=100)
    assert {id(each) for each in wordings} == {id(each) for each in WORDING.values()}
    details = drawn_examples(strategy_of(registered, Detail), count=100)
    assert {id(each) for each in details} == {id(each) for each in DETAILS.values()}
    examples = drawn_examples(strategy_of(registered, Example), count=10)
    assert set(map(type, examples)) == {Example}


@pytest.mark.slow
def test_connection_identity_strategy_draws_only_identities(
    registered: dict[object, object],
) -> None:
    identities = drawn_examples(strategy_of(registered, ConnectionIdentity), count=10)
    assert set(map(type, identities)) == {ConnectionIdentity}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        *(draw.ConnectionStep, draw.CoordinateStep, draw.RecordStep),
        *(draw.RecordedFact, draw.AccessQuestion),
    ],
)
def test_drawn_steps_facts_and_access_questions_have_utc_times(
    kind: type[draw.ConnectionStep], registered: dict[object, object]
) -> None:
    drawn = drawn_examples(strategy_of(registered, kind), count=10)
    assert set(map(type, drawn)) == {kind}
    assert {each.now.tzinfo for each in drawn} == {UTC}


@pytest.mark.slow
@pytest.mark.usefixtures("ends_of_ranges")
def test_drawn_list_pages_and_chain_parts_reach_their_max_size(
    registered: dict[object, object],
) -> None:
    parts = drawn_examples(strategy_of(registered, ChainPart), count=20)
    assert {attrs.astuple(each) for each in parts} == {
        (size, before) for size in (1, 100) for before in (None, 1, 100)
    }
    pages = drawn_examples(strategy_of(registered, ConnectionsPage), count=60)
    assert {each.limit for each in pages} == {None, 1, 9}
    assert {type(each.coordinate) for each in pages} == {Coordinate}
    ids = {each.after for each in pages}
    assert None in ids
    assert {parse_uuid("after", each) for each in ids if each is not None} == ids - {None}


@pytest.mark.slow
@pytest.mark.usefixtures("ends_of_ranges")
def test_revoked_batch_is_drawn_with_an_actor_who_revokes_chains(
    registered: dict[object, object],
) -> None:
    batches = drawn_examples(strategy_of(registered, RevokedBatch), count=100)
    assert {each.size for each in batches} == {1, 100}
    assert {each.before for each in batches} == {None, 1, 100}
    assert {each.actor for each in batches} == {each for each in Actor if reaches_chain(each)}
    assert {type(each.happened_at) for each in batches} == {type(None), datetime}
    for each in batches:
        assert parse_uuid("id", each.connection_id) == each.connection_id


def test_axes_rows_and_outcomes_of_every_table_are_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(st, "sampled_from", list)
    parts = cast("dict[type, list[object]]", dict(registry._of_tables()))
    rows = [(table, row) for table in TABLES.values() for row in table.rows]
    assert parts.pop(Axis) == [axis for table in TABLES.values() for axis in table.axes]
    assert parts.pop(Row) == [row for _, row in rows]
    assert parts.pop(FoundRule) == [FoundRule(table, row) for table, row in rows]
    assert parts.keys() == {type(row.outcome) for _, row in rows}
    assert sum(map(len, parts.values())) == len(rows)
    for kind, outcomes in parts.items():
        assert set(map(type, outcomes)) == {kind}


def test_each_value_type_within_an_exchange_has_a_strategy() -> None:
    [exchange] = map(exchange_of, play(step(Initiate)))
    decision = exchange.decision
    parts = [
        (kind, drawn_examples(strategy))
        for kind, strategy in registry._of_exchanges(st.just(exchange))
    ]
    assert parts == [
        (Needs, [exchange.needs]),
        (Snapshot, [exchange.snapshot]),
        (Decision, [decision]),
        (Ruling, [Ruling(decision.reply, decision.rules, decision.changes)]),
        (Answer, [exchange.answer]),
        (Changes, [exchange.answer.changes]),
    ]
    assert decision.changes.writes
    assert decision.changes != exchange.answer.changes


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        (draw.connections, Connection),
        (draw.connection_ids, ConnectionId),
        (draw.members, Member),
    ],
)
def test_type_of_a_strategy_is_read_from_its_return_annotation(
    strategy: Callable[[], st.SearchStrategy[object]], kind: object
) -> None:
    assert registry._drawn_type(strategy) is kind
