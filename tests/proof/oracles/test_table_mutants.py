"""Tests that every changed cell of every table is noticed.

A mutant is one cell with another outcome that occurs in the same table; its rule name stays, so
that the trail does not reveal it. An operation's rule is changed member by member, to the value of
another operation, and served in its place. An oracle per table (`tests.proof.oracles`) runs the
functions over the whole finite product and describes, in the words of the printed table, what they
did. A mutant is

- *killed* if the functions now do something else;
- *misprinted* if they do the same, but the page would no longer say what they do: there are none;
- *unreachable* if no call reaches the cell: `UNREACHABLE` lists those with their proof.

No other mutant survives, and the counts are pinned, so that a smaller run is noticed.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar, cast

import attrs
import pytest

from curae_lifecycle.rules import (
    access,
    attempt,
    binding,
    chain,
    connection,
    credentials,
    idempotency,
    problems,
    session,
    triggers,
    wire_status,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.tables import Row, Table
from curae_lifecycle.service import gates, status
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import replace_row
from tests.proof.oracles import accounts, connections, records, requests
from tests.proof.oracles.oracle import UNREACHABLE, Answer, Oracle
from tests.proof.reference import tables
from tests.support.specimens import BOUND, NOW, Key, binding_in, stored
from tests.support.strategies import COORDINATE

AnyKey = TypeVar("AnyKey", bound="str | tuple[StrEnum, ...]")
Outcome = TypeVar("Outcome")


# --- Mutants -----------------------------------------------------------------------------------


@attrs.frozen
class Mutant:
    """One cell with another outcome; `live` puts it in place, `dead` restores the table."""

    key: Key
    name: str
    live: Callable[[], None]
    dead: Callable[[], None]


@attrs.frozen
class Subject:
    """A table under test: its mutants, its oracle, and what its page says now."""

    name: str
    mutants: tuple[Mutant, ...]
    oracle: Oracle
    printed: Callable[[], dict[Key, str]]


def subject(table: Table[AnyKey, Outcome], oracle: Oracle) -> Subject:
    outcomes = {str(row.outcome) + repr(row.outcome): row.outcome for row in table.values()}

    def mutant(key: AnyKey, row: Row[Outcome], outcome: Outcome) -> Mutant:
        changed = attrs.evolve(row, outcome=outcome)
        words = (key,) if isinstance(key, str) else key
        return Mutant(
            key=tuple(map(str, words)),
            name=f"{table.name}: {' × '.join(words)}: {outcome}",
            live=lambda: replace_row(table, key, changed),
            dead=lambda: replace_row(table, key, row),
        )

    return Subject(
        name=table.name,
        mutants=tuple(
            mutant(key, row, outcome)
            for key, row in table.items()
            for outcome in outcomes.values()
            if outcome != row.outcome
        ),
        oracle=oracle,
        printed=lambda: {tuple(map(str, key)): str(row.outcome) for key, row in table.cells()},
    )


DECIDING: Final = (
    "method",
    "path",
    "scope",
    "key",
    "status",
    "limit",
    "ids",
    "query",
    "body",
    "tags",
    "asks",
)
"""The members of an operation's rule that decide; the others are its name and prose."""


def operations() -> Subject:
    """Build the subject of the operations, whose rules are in their classes, not in their table."""
    served = requests.SERVED

    def mutant(number: int, member: str, value: object) -> Mutant:
        kind = served[number]
        changed = attrs.evolve(kind.rule)
        object.__setattr__(changed, member, value)
        other = cast(
            "type[Operation]", type(kind.__name__, (kind,), {"__slots__": (), "rule": changed})
        )
        return Mutant(
            key=(kind.rule.name,),
            name=f"operation: {kind.rule.name}: {member}: {value}",
            live=lambda: served.__setitem__(number, other),
            dead=lambda: served.__setitem__(number, kind),
        )

    return Subject(
        name=OPERATION_TABLE.name,
        mutants=tuple(
            mutant(number, member, value)
            for number, kind in enumerate(served)
            for member in DECIDING
            for value in dict.fromkeys(getattr(each.rule, member) for each in served)
            if value != getattr(kind.rule, member)
        ),
        oracle=requests.operations,
        printed=lambda: {(kind.rule.name,): str(kind.rule) for kind in served},
    )


SUBJECTS: Final = (
    subject(connection.DEADLINE, connections.deadlines),
    subject(connection.STANDING, connections.standings),
    subject(triggers.TRIGGERS, connections.happenings),
    subject(triggers.EXPIRY_RECORD, connections.expiries),
    subject(triggers.AUTHORIZATION, connections.authorizations),
    subject(chain.RECOVERY, connections.recoveries),
    subject(chain.REVOCATION_REACH, connections.reaches),
    subject(chain.LIFE, connections.lives),
    subject(triggers.ENDING, connections.endings),
    subject(access.ACCESS, connections.accesses),
    subject(session.ENTRY_PATHS, accounts.entry_paths),
    subject(binding.BINDING, accounts.account_bindings),
    subject(binding.TOMBSTONE_REPORT, accounts.tombstone_reports),
    subject(session.COMPLETION, accounts.completions),
    subject(binding.GRADUATION_HANDOFF, accounts.graduations),
    subject(idempotency.RECORD_STANDING, records.record_standings),
    subject(idempotency.IDEMPOTENCY, records.begins),
    subject(attempt.ATTEMPT, records.attempts),
    subject(attempt.UPKEEP, records.upkeeps),
    subject(credentials.PERMISSION, requests.permissions),
    subject(gates.REQUEST_GATES, requests.gates),
    operations(),
    subject(problems.CATALOGUE, requests.problems),
    subject(status.PROBLEM_STATUS, requests.problem_statuses),
    subject(wire_status.WIRE_STATUS, connections.wire_statuses),
    subject(wire_status.STORED_STATUS, connections.stored_statuses),
)


def misprints(answers: list[Answer], printed: dict[Key, str]) -> set[Key]:
    """Return the cells whose page differs from the observed behavior."""
    return {key for key, deed, _ in answers if deed != printed[key]}


def fate(mutant: Mutant, of: Subject, golden: list[Answer]) -> str:
    mutant.live()
    try:
        answers = of.oracle()
        if answers != golden:
            return "killed"
        if misprints(answers, of.printed()):
            return "misprinted"
    finally:
        mutant.dead()
    return "unreachable" if (of.name, *mutant.key) in UNREACHABLE else mutant.name


each_subject = pytest.mark.parametrize("of", SUBJECTS, ids=lambda of: of.name)


@pytest.mark.parametrize("state", ["UNLINKED", "LIMITED", "ACTIVE", "TOMBSTONED"])
def test_no_valid_call_leads_to_an_unreachable_binding_cell(state: str) -> None:
    bound = binding_in(state)
    assert (bound is None) is (state == "UNLINKED")
    taken = list(inspect.signature(binding.tombstone).parameters)
    assert taken == ["binding", "coordinate", "now", "happened_at"]
    if state == "TOMBSTONED":
        with pytest.raises(ArgumentError, match="user_id"):
            binding.provision(bound, COORDINATE, BOUND)


@pytest.mark.parametrize("over", connection.Status)
@pytest.mark.parametrize("revocation", connection.RevocationState)
@pytest.mark.parametrize("made_under", connection.EraState)
def test_status_without_deadline_reaches_no_cell_past_a_deadline(
    over: str, revocation: str, made_under: str
) -> None:
    revoked_at = NOW if revocation == "a revokedAt" else None
    asked = stored(over, NOW, revoked_at=revoked_at)
    era = None if made_under == connection.EraState.THIS else NOW
    waits = connection.next_deadline(asked, era=era) is not None
    cell = ("standing", over, revocation, made_under, "at or after the deadline")
    assert waits is (cell not in UNREACHABLE)


def test_oracles_have_the_names_and_order_of_the_rule_tables() -> None:
    assert [of.name for of in SUBJECTS] == list(TABLES)


def test_operation_table_lists_the_rule_of_each_served_operation() -> None:
    assert [row.outcome for row in OPERATION_TABLE.values()] == [
        kind.rule for kind in requests.SERVED
    ]
    decide_nothing = {"name", "why", "summary"}
    fields = attrs.fields(type(requests.SERVED[0].rule))
    members = {field.name for field in fields if field.init}
    assert members - decide_nothing == set(DECIDING)


@each_subject
def test_oracle_reaches_every_table_cell_and_gives_its_outcome(of: Subject) -> None:
    answers = of.oracle()
    asked = {key for key, _, _ in answers}
    unasked = {cell[1:] for cell in UNREACHABLE if cell[0] == of.name}
    assert asked | unasked == set(of.printed())
    assert misprints(answers, of.printed()) == set()
    assert of.oracle() == answers


@each_subject
def test_oracle_results_equal_the_hand_written_table(of: Subject) -> None:
    deeds: dict[Key, set[str]] = {}
    for key, deed, _ in of.oracle():
        deeds.setdefault(key, set()).add(deed)
    written = {key: {deed} for key, deed in tables.TABLES[of.name].items()}
    assert deeds == {
        key: deed for key, deed in written.items() if (of.name, *key) not in UNREACHABLE
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "of",
    [
        # Hundreds of mutants, each with hundreds of requests.
        pytest.param(of, id=of.name, marks=pytest.mark.heavy)
        if of.name in {"operation", "request"}
        else pytest.param(of, id=of.name)
        for of in SUBJECTS
    ],
)
def test_every_table_mutant_is_killed_or_unreachable(of: Subject) -> None:
    golden = of.oracle()
    fates = Counter(fate(mutant, of, golden) for mutant in of.mutants)
    counts = tuple(fates.pop(kind, 0) for kind in ("killed", "misprinted", "unreachable"))
    assert not fates, "these mutants survive"
    assert (len(of.mutants), *counts) == COUNTS[of.name]
    assert of.oracle() == golden, "the table is restored"


def test_killed_and_unreachable_table_mutants_add_up_to_all() -> None:
    assert tuple(map(sum, zip(*COUNTS.values(), strict=True))) == (2184, 2064, 0, 120)


# table: mutants, killed, misprinted, unreachable
COUNTS: Final = {
    "deadline": (40, 40, 0, 0),
    "standing": (200, 115, 0, 85),
    "connection": (300, 300, 0, 0),
    "expiry-record": (3, 3, 0, 0),
    "authorization": (3, 3, 0, 0),
    "recovery": (24, 24, 0, 0),
    "revocation-reach": (4, 4, 0, 0),
    "life": (6, 6, 0, 0),
    "ending": (4, 4, 0, 0),
    "access": (72, 72, 0, 0),
    "entry-path": (24, 24, 0, 0),
    "binding": (160, 125, 0, 35),
    "tombstone-report": (2, 2, 0, 0),
    "completion": (75, 75, 0, 0),
    "graduation-handoff": (4, 4, 0, 0),
    "record-standing": (80, 80, 0, 0),
    "idempotency": (70, 70, 0, 0),
    "attempt": (126, 126, 0, 0),
    "record-upkeep": (63, 63, 0, 0),
    "permission": (8, 8, 0, 0),
    "request": (130, 130, 0, 0),
    "operation": (154, 154, 0, 0),
    "problems": (432, 432, 0, 0),
    "problem-status": (56, 56, 0, 0),
    "wire-status": (24, 24, 0, 0),
    "stored-status": (120, 120, 0, 0),
}
