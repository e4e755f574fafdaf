"""Planted mutants of rules, ends and stores, and the check that kills each.

The law of this module: **a mutant is killed by the first check that notices it**: a law or a rule
(safety), a stuck state (liveness), the number of visited states (figures), or the interval ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cache, partial
from types import ModuleType
from typing import Final, Protocol, cast

import attrs
import pytest

from curae_lifecycle.rules import access, attempt, chain, idempotency, ratelimit, session, triggers
from curae_lifecycle.rules import connection as connections
from curae_lifecycle.testing.cells import Cell, count_cell_lookups
from tests.proof.explore.account import Account
from tests.proof.explore.chain import Chain
from tests.proof.explore.clients import Clients, World
from tests.proof.explore.ends import check_ends
from tests.proof.explore.engine import Model, RuleBrokenError, ViolationError, explore
from tests.proof.explore.key import Held
from tests.proof.explore.published import SMALL, Figures, Run
from tests.proof.explore.races import Racer, Races, RaceStore, Task
from tests.proof.explore.rows import Stores
from tests.proof.explore.scene import TICK
from tests.support.cells import Key, outcome_of, outcomes

TABLES_OF_THE_MODELS: Final = (
    "deadline",
    "standing",
    "connection",
    "expiry-record",
    "authorization",
    "recovery",
    "revocation-reach",
    "life",
    "ending",
    "entry-path",
    "binding",
    "completion",
    "graduation-handoff",
    "record-standing",
    "idempotency",
    "attempt",
    "record-upkeep",
)
"""The tables that the models use."""


def mutant(table: str, key: Key, like: Key) -> AbstractContextManager[None]:
    """Replace the outcome of one cell by that of another within the block."""
    return outcome_of(table, key, outcomes(table)[like])


COMPLETE = ("complete", "in flight, lease running", "this attempt")
EXECUTE = ("absent, or retention over", "same fingerprint")
BUSY = ("in flight, lease running", "same fingerprint")
LOST = ("complete", "completed", "another attempt")
KEY = "one key, 2 clients, 1 fault"
ALONE = "one key, 1 client, 1 fault"
AT_ONCE = "one key, one transaction, 2 clients, 1 fault"
ONE = "one connection, 4 steps"
CHAIN = "one predecessor, 1 client, everybody acts"
RACE = "one predecessor, 2 clients"
ENTRY = "one coordinate, 2 clients"
LIMIT = "limit of 2"


def verdict(run: Callable[[], object]) -> str:
    """Return the verdict of a run: it holds, or what it broke."""
    try:
        run()
    except ViolationError as violation:
        return "liveness" if violation.broken is None else "safety"
    except Exception:  # noqa: BLE001 - whatever a function raises is a function that is broken
        return "safety"
    return "holds"


@attrs.frozen
class SmallRun:
    """A small run of the rules as they are.

    Attributes:
        figures: Its figures.
        cells: The table cells that it looked at, and the functions of `SHIFTED` that it called.
        model: The model with its results.
    """

    figures: Figures
    cells: frozenset[Cell]
    model: object

    def without(self, cell: Cell) -> Clients[Hashable, Hashable] | None:
        """Return the model with what it computed without a cell; None for one without clients."""
        return self.model.without(cell) if isinstance(self.model, Clients) else None


@cache
def small_run(name: str) -> SmallRun:
    """Run a small exploration once, and keep what it computed for its mutants."""
    with pytest.MonkeyPatch.context() as monkeypatch, count_cell_lookups() as looked:
        for shifted in SHIFTED:
            shifted.count(monkeypatch, looked)
        run = cast("Run[World]", SMALL[name])
        model: Model[World] = run.model()
        if isinstance(model, Clients):
            model.watch(looked)
        figures = run.of(model)
        cells = frozenset(looked)
    return SmallRun(
        figures, cells | (model.cells() if isinstance(model, Clients) else set()), model
    )


def killed_by(runs: Sequence[str], then: Mapping[str, Figures], changed: Cell | None = None) -> str:
    """Return the first kind of check that notices: safety, liveness, figures or ends.

    Args:
        runs: The names of small runs.
        then: The figures of each run without a mutant.
        changed: The cell or function that the mutant changes. What a run computed without it is
            not computed again: the rules are pure (law 14). None to compute everything.
    """
    seen = set[str]()
    for name in runs:
        got: list[Figures] = []
        known = None if changed is None else small_run(name).without(changed)
        run = SMALL[name] if known is None else partial(cast("Run[World]", SMALL[name]).of, known)
        said = verdict(lambda: got.append(run()))  # noqa: B023 - called at once
        if said == "safety":
            return said
        seen.add(said if said == "liveness" or got == [then[name]] else "figures")
    for kind in ("liveness", "figures"):
        if kind in seen:
            return kind
    try:
        check_ends()
    except RuleBrokenError:
        return "ends"
    return "nothing"


STORES: Final[dict[str, Callable[[], object]]] = {
    "one key": lambda: explore(Clients(Held(2, 1, compares=False))),
    "one key, at once": lambda: explore(Clients(Held(2, 0, at_once=True, compares=False))),
    "one predecessor": lambda: explore(Clients(Chain(2, 0, compares=False))),
    "one key, one transaction": lambda: explore(
        Clients(Chain(2, 0, shared_key=True, page=False, compares=False))
    ),
    "one coordinate": lambda: explore(Clients(Account(2, 0, compares=False))),
    "one user": lambda: explore(Clients(Races(2, store=Stores(compares=False)))),
    "without what only counts": lambda: explore(Clients(Races(2, store=Stores(counts=False)))),
    "a part of what is written": lambda: explore(Clients(Account(2, 0, whole=False))),
}
"""Stores that do not compare, or set only a part."""


def uncounted(root: str, *tasks: Task) -> Clients[RaceStore, Racer]:
    """Build a world of two workers on a store that skips version bumps."""
    return Clients(Races(2, roots=((root,),), store=Stores(counts=False), tasks=tasks))


class _Asked(Protocol):
    def __call__(self, *given: object, **named: object) -> object: ...


@attrs.frozen
class Shifted:
    """A function that is called a tick late or early, which moves the end of an interval.

    Attributes:
        name: The function.
        by: The delay.
        modules: The modules that define or import it.
    """

    name: str
    by: timedelta
    modules: tuple[ModuleType, ...]

    @property
    def cell(self) -> Cell:
        """The function as `count` counts it."""
        return ("call", self.name, *(module.__name__ for module in self.modules))

    def count(self, monkeypatch: pytest.MonkeyPatch, counts: Counter[Cell]) -> None:
        """Count the calls of the function that a mutant would change."""
        asked = cast("_Asked", getattr(self.modules[0], self.name))

        def counted(*given: object, **named: object) -> object:
            counts[self.cell] += 1
            return asked(*given, **named)

        for module in self.modules:
            monkeypatch.setattr(module, self.name, counted)

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = cast("_Asked", getattr(self.modules[0], self.name))

        def shifted(*given: object, **named: object) -> object:
            if "happened" in named:
                named["happened"] = cast("datetime", named["happened"]) + self.by
                return asked(*given, **named)
            *first, last = given
            return asked(*first, cast("datetime", last) + self.by, **named)

        for module in self.modules:
            monkeypatch.setattr(module, self.name, shifted)


SHIFTED: Final = tuple(
    Shifted(name, by, tuple(modules))
    for name, *modules in (
        ("standing", connections, triggers, chain),
        ("standing", access),
        ("_session_standing", session),
        ("record_standing", idempotency, attempt),
        ("admit_one", ratelimit),
    )
    for by in (TICK, -TICK)
)


def mutants_of_cells() -> Iterator[tuple[str, Key, object]]:
    """Yield every cell that small runs use, with every other kind of outcome of its table."""
    for table in TABLES_OF_THE_MODELS:
        cells = outcomes(table)
        kinds = {kind_of(outcome): outcome for outcome in cells.values()}
        for key, held in cells.items():
            for kind, outcome in kinds.items():
                if kind != kind_of(held):
                    yield table, key, outcome


def kind_of(outcome: object) -> str:
    # All refusals count as one kind: other tests check their problems.
    name = type(outcome).__name__
    return name if name == "RefuseWith" else repr(outcome)


def table_of_mutants(rows: dict[str, Counter[str]]) -> str:
    lines = ["| mutants | in all | safety | with liveness | with the figures | with the ends |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, killers in rows.items():
        columns = [name, str(killers.total())]
        killed = 0
        for kind in ("safety", "liveness", "figures", "ends"):
            killed += killers[kind]
            columns.append(str(killed))
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)
