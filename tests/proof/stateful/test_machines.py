"""Tests of six state machines against the reference model, and of the cells they reach."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from curae_lifecycle.rules.session import EntryPath
from curae_lifecycle.service.gates import REQUEST_GATES, Ask
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import Cell, cells_of
from curae_lifecycle.testing.laws import check_entry_paths
from docs.generate.vectors.cases import cell_id
from tests.proof.oracles.oracle import ROOM, UNASKED_CASES, UNREACHABLE_CASES
from tests.proof.stateful import limits
from tests.proof.stateful.chain import ChainMoves
from tests.proof.stateful.chain_snapshots import ChainMachine
from tests.proof.stateful.coordinate import CoordinateMachine
from tests.proof.stateful.limits import LimitsMachine
from tests.proof.stateful.record import RecordMachine
from tests.proof.stateful.running import CountedMachine, Reached, Size, cells_in, run, run_once
from tests.proof.stateful.world import FullWorldMachine, WorldMachine
from tests.support.cells import outcome_of

FULL: Final[dict[type[CountedMachine], Size]] = {
    ChainMachine: Size(5, 220, 20),
    CoordinateMachine: Size(4, 150, 20),
    RecordMachine: Size(5, 260, 20),
    LimitsMachine: Size(3, 100, 30),
    WorldMachine: Size(4, 30, 30),
    FullWorldMachine: Size(2, 10, 20),
}
"""The published size of each machine."""

SMALL: Final = Size(1, 15, 15)

OWN_TABLES: Final[dict[type[CountedMachine], tuple[str, ...]]] = {
    ChainMachine: (
        "deadline",
        "standing",
        "connection",
        "expiry-record",
        "authorization",
        "recovery",
        "revocation-reach",
        "life",
        "ending",
        "access",
        "wire-status",
        "stored-status",
    ),
    CoordinateMachine: ("entry-path", "binding", "completion", "graduation-handoff"),
    RecordMachine: ("record-standing", "idempotency", "attempt", "record-upkeep"),
    WorldMachine: ("permission", "request", "operation"),
}
"""The tables whose cells a machine must all reach; all machines show problems."""


EVERY: Final = {cell: cell_id(cell[0], cell[1:]) for cell in cells_of(TABLES.values())}
"""Every cell with its id in the test vectors."""

REACHABLE: Final = [cell for cell in EVERY if EVERY[cell] not in UNREACHABLE_CASES | UNASKED_CASES]


def reached(machine: type[CountedMachine]) -> Reached:
    """Return the cells of a full run; a gate that asks another table counts that table's cells."""
    seen = run_once(machine, FULL[machine])
    cells = seen.cells.copy()
    for gate, row in REQUEST_GATES.items():
        if isinstance(row.outcome, Ask):
            # A gate without a table leaves the decision to the operation.
            names = [row.outcome.table] if row.outcome.table else OF_OPERATIONS
            cells[REQUEST_GATES.name, gate] = sum(seen.cells[cell] for cell in cells_in(*names))
    return Reached(cells, seen.seen)


OF_OPERATIONS: Final = sorted(
    {rule.partition(".")[0] for each in OPERATIONS for rule in each.rule.asks}
)
"""The tables that may refuse an operation."""


def printed(cells: Counter[Cell], tables: tuple[str, ...]) -> str:
    """Format per table the reached cells, the reachable ones, and the count of the rarest."""
    lines = [f"{'table':20} reached    rarest"]
    for name in tables:
        own = [cell for cell in REACHABLE if cell[0] == name]
        found = sum(cells[cell] > 0 for cell in own)
        lines.append(f"{name:20} {found:3} of {len(own):2}  {min(map(cells.__getitem__, own)):8}")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("machine", FULL)
def test_stateful_machine_agrees_with_the_reference_model(machine: type[CountedMachine]) -> None:
    run(machine, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [30, pytest.param(300, marks=pytest.mark.heavy)])
def test_law_06_chain_stays_linear_with_one_active_connection(runs: int) -> None:
    run(ChainMoves, Size(1, runs, 30))


@pytest.mark.heavy
@pytest.mark.parametrize("machine", OWN_TABLES)
def test_stateful_machine_reaches_every_cell_of_its_tables(machine: type[CountedMachine]) -> None:
    cells = reached(machine).cells
    tables = OWN_TABLES[machine]
    print(printed(cells, tables))  # noqa: T201 - the counts are part of the result
    assert [cell for cell in REACHABLE if cell[0] in tables and not cells[cell]] == []


@pytest.mark.heavy
def test_rate_limit_state_machine_reaches_all_listed_situations() -> None:
    seen = reached(LimitsMachine).seen
    print(*(f"{seen[name]:8} {name}" for name in limits.SITUATIONS), sep="\n")  # noqa: T201 - the same
    assert seen.keys() == set(limits.SITUATIONS)
    assert [name for name in limits.SITUATIONS if not seen[name]] == []


@pytest.mark.heavy
def test_stateful_machines_reach_every_http_status_and_a_replay() -> None:
    seen = reached(WorldMachine).seen + reached(FullWorldMachine).seen
    statuses = [200, 201, 400, 401, 403, 404, 409, 422, 429, 500]
    expected = {"replay", "records dropped", *(f"answered {status}" for status in statuses)}
    assert seen.keys() == expected


@pytest.mark.heavy
def test_stateful_machines_together_reach_every_table_cell() -> None:
    cells = sum((reached(machine).cells for machine in FULL), Counter[Cell]())
    print(printed(cells, tuple(TABLES)))  # noqa: T201 - the counts are part of the result
    assert [cell for cell in REACHABLE if not cells[cell]] == []
    assert len(REACHABLE) == len(EVERY) - len(UNREACHABLE_CASES | UNASKED_CASES) > 300
    beyond = {EVERY[cell] for cell, count in cells.items() if count} & UNREACHABLE_CASES
    assert beyond == {ROOM}


@pytest.mark.heavy
def test_law_08_account_and_preference_determine_the_entry_path() -> None:
    reached(CoordinateMachine)
    taken = CoordinateMachine.paths
    check_entry_paths(lambda state, prefers: EntryPath(taken[str(state), prefers]))


THIS_ERA, OTHER_ERA = "made under the present era", "made under another era"
EARLY, LATE = "before the deadline, or none set", "at or after the deadline"
SHOWN, BARE = "authorizedAt or a reason", "neither authorizedAt nor a reason"
OTHER = "other user, or none bound"

BROKEN: Final[list[tuple[type[CountedMachine], str, str, str]]] = [
    (ChainMachine, f"deadline/ACTION_REQUIRED/no revokedAt/{THIS_ERA}", "none", "the deadline of"),
    (ChainMachine, f"standing/PENDING/no revokedAt/{THIS_ERA}/{LATE}", "PENDING", "the model says"),
    (ChainMachine, "connection/authorize/REVOKED", "ACTIVE", "the model says"),
    (
        ChainMachine,
        "connection/require_action/ACTION_REQUIRED",
        "ACTION_REQUIRED",
        "require_action",
    ),
    (ChainMachine, "authorization/successor anything else", "proceed", "authorize"),
    (ChainMachine, "recovery/REVOKED/successor PENDING", "mint a successor", "reconnect"),
    (
        ChainMachine,
        "revocation-reach/PATIENT",
        "that connection",
        "the stored chain|revoked by PATIENT",
    ),
    (ChainMachine, "life/ACTION_REQUIRED", "over", "the life of"),
    (ChainMachine, "ending/PENDING", "the access that it gave", "revoked by"),
    (ChainMachine, f"stored-status/EXPIRED/no revokedAt/{BARE}", "EXPIRED", "read from the wire"),
    (
        ChainMachine,
        f"stored-status/ACTIVE/a revokedAt/{SHOWN}",
        "ACTIVE",
        "status of a contradiction",
    ),
    (ChainMachine, f"standing/ACTIVE/no revokedAt/{OTHER_ERA}/{EARLY}", "ACTIVE", "another era"),
    (ChainMachine, f"deadline/ACTIVE/no revokedAt/{OTHER_ERA}", "expiresAt", "another era"),
    (
        ChainMachine,
        f"standing/ACTIVE/a revokedAt/{THIS_ERA}/{EARLY}",
        "ACTIVE",
        "standing of a contradiction",
    ),
    (
        ChainMachine,
        f"deadline/PENDING/a revokedAt/{THIS_ERA}",
        "the hand-off's deadline",
        "of a contradiction",
    ),
    (ChainMachine, "access/ACTIVE/package granted", "deny PENDING", "access"),
    (CoordinateMachine, f"binding/graduate/LIMITED/{OTHER}", "ACTIVE", "graduate"),
    (
        CoordinateMachine,
        "completion/NEW_ACTIVE_SIGNUP_HANDOFF/over without landing",
        "ignore",
        "completeHandoff",
    ),
    (RecordMachine, "idempotency/unknown/same fingerprint", "execute", "request with the key"),
    (
        RecordMachine,
        "attempt/complete/in flight, lease running/another attempt",
        "COMPLETED",
        "may complete",
    ),
    (RecordMachine, "record-upkeep/forget/completed", "ignore", "something to forget"),
    (WorldMachine, "connection/revoke/PENDING", "ignore", "the world differs"),
]
"""A machine, a cell, another outcome of its table, and a part of the failure."""


@pytest.mark.heavy
@pytest.mark.parametrize(("machine", "cell", "outcome", "said"), BROKEN)
def test_stateful_machine_detects_a_broken_rule(
    machine: type[CountedMachine], cell: str, outcome: str, said: str
) -> None:
    table, *key = cell.split("/")
    broken = {str(row.outcome): row.outcome for row in TABLES[table].rows}[outcome]
    with outcome_of(table, tuple(key), broken), pytest.raises(AssertionError, match=said):
        run(machine, FULL[machine], shrinks=False)
