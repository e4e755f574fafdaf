"""Tests of exhaustive exploration: figures, laws, liveness and mutants."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Final, TypeVar

import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules import chain, ratelimit, triggers
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import ConnectionId, NextAction
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import cells_of, count_cell_lookups
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.web.json import parse_json
from docs.generate.vectors.cases import cell_id
from tests.proof.explore.account import Account
from tests.proof.explore.chain import Chain
from tests.proof.explore.clients import Clients, Reduce, Rules
from tests.proof.explore.ends import check_ends
from tests.proof.explore.engine import (
    Model,
    RuleBrokenError,
    ViolationError,
    count_sequences,
    explore,
)
from tests.proof.explore.key import Held
from tests.proof.explore.limit import SmallLimit
from tests.proof.explore.mutants import (
    ALONE,
    AT_ONCE,
    BUSY,
    CHAIN,
    COMPLETE,
    ENTRY,
    EXECUTE,
    KEY,
    LIMIT,
    LOST,
    ONE,
    RACE,
    SHIFTED,
    STORES,
    TABLES_OF_THE_MODELS,
    Shifted,
    killed_by,
    mutant,
    mutants_of_cells,
    small_run,
    table_of_mutants,
    uncounted,
    verdict,
)
from tests.proof.explore.never_made import NEVER_MADE
from tests.proof.explore.published import (
    EITHER,
    FEW,
    FIGURES,
    LARGEST,
    LONG,
    PUBLISHED,
    SMALL,
    Figures,
)
from tests.proof.explore.races import Races, Task
from tests.proof.explore.single import Single
from tests.proof.oracles.oracle import UNASKED_CASES, UNREACHABLE_CASES
from tests.support.cells import Key, outcome_of
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/testing-the-library.md").read_text(encoding="utf-8")
State = TypeVar("State", bound=Hashable)
Store = TypeVar("Store", bound=Hashable)
Client = TypeVar("Client", bound=Hashable)


def shown_figures() -> dict[str, Figures]:
    """Return the figures of each run that the page lists."""
    listed = PAGE.partition("\n### Figures\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| (\d+) \|", listed, re.MULTILINE)
    return {
        name: Figures(*(int(number.replace(",", "")) for number in numbers))
        for name, *numbers in rows
    }


# --- Figures ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.heavy) if name in LARGEST else name for name in SMALL],
)
def test_small_exploration_visits_the_published_state_count(name: str) -> None:
    assert small_run(name).figures == FIGURES[name]


@pytest.mark.heavy
@pytest.mark.parametrize("name", PUBLISHED)
def test_full_exploration_visits_the_published_state_count(name: str) -> None:
    assert PUBLISHED[name]() == FIGURES[name]


def test_exploration_docs_page_lists_every_run_and_state_count() -> None:
    assert FIGURES.keys() == {*SMALL, *PUBLISHED, *LONG}
    assert shown_figures() == {name: FIGURES[name] for name in PUBLISHED}
    small, published, long = (
        sum(FIGURES[name].states for name in runs) for runs in (SMALL, PUBLISHED, LONG)
    )
    assert f"fourteen small runs, {small:,} states" in PAGE
    assert f"visited {long:,} states" in PAGE
    assert (len(SMALL), len(LONG)) == (14, 5)
    assert published > 1_000_000
    assert long > 10_000_000


def test_connection_has_1096_possible_sequences_of_three_steps() -> None:
    assert [count_sequences(Single(), length) for length in (0, 1, 2, 3)] == [1, 10, 103, 1096]


@pytest.mark.heavy
def test_exploration_docs_state_the_number_of_9_step_sequences() -> None:
    assert f"{count_sequences(Single(), 9):,} sequences of nine steps" in PAGE


# --- The reductions --------------------------------------------------------------------------


def check_quotient(rules: Rules[Store, Client], reduce: Reduce) -> None:
    plain, reduced = Clients(rules, Reduce.NOTHING), Clients(rules, reduce)
    every, some = explore(plain).order, explore(reduced).order
    assert {reduced.quotient(world, plain) for world in every} == set(some)


@pytest.mark.slow
@pytest.mark.parametrize(
    "reduce",
    [
        pytest.param(Reduce.ALIKE, marks=pytest.mark.heavy),
        pytest.param(Reduce.RELATIVE, marks=pytest.mark.heavy),
        Reduce.ALIKE | Reduce.RELATIVE,
    ],
)
def test_symmetry_reduction_visits_each_equivalence_class_once(reduce: Reduce) -> None:
    check_quotient(Held(2, 1, forgets=True), reduce)
    check_quotient(Held(1, 1, steps_back=True, at_once=True), reduce)
    check_quotient(Held(2, 0, days=1), reduce)
    check_quotient(Held(1, 0, days=2), reduce)
    check_quotient(Account(2, 0, one_user=True), reduce)
    check_quotient(Chain(2, 0, happens=False), reduce)


def check_one_order(rules: Rules[Store, Client]) -> None:
    plain, reduced = Clients(rules, Reduce.NOTHING), Clients(rules, Reduce.ONE_ORDER)
    every, some = explore(plain).order, explore(reduced).order
    assert len(some) < len(every)
    assert {plain.values(world)[0] for world in every} == {
        reduced.values(world)[0] for world in some
    }


@pytest.mark.slow
def test_exploring_one_of_equivalent_orders_reaches_every_state() -> None:
    check_one_order(Held(2, 1))
    check_one_order(Held(1, 2, forgets=True))
    check_one_order(Chain(2, 0, happens=False, follows=1))
    check_one_order(Chain(2, 1, shared_key=True, page=False, happens=False))
    check_one_order(Chain(1, 1, shared_key=True, page=False, roots=("REVOKED",)))


@pytest.mark.heavy
def test_exploring_a_chain_in_one_order_of_steps_misses_no_state() -> None:
    check_one_order(Chain(1, 1, shared_key=True, page=False))


# --- Mutants ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "table", "key", "like", "killer"),
    [
        (KEY, "idempotency", BUSY, EXECUTE, "safety"),
        (KEY, "idempotency", ("completed", "same fingerprint"), EXECUTE, "safety"),
        (KEY, "idempotency", ("completed", "other fingerprint"), EXECUTE, "safety"),
        (KEY, "idempotency", ("unknown", "same fingerprint"), EXECUTE, "safety"),
        (KEY, "idempotency", ("forgotten", "same fingerprint"), EXECUTE, "safety"),
        (KEY, "attempt", LOST, COMPLETE, "safety"),
        (ALONE, "idempotency", ("in flight, lease over", "same fingerprint"), BUSY, "liveness"),
        (ONE, "connection", ("authorize", "REVOKED"), ("authorize", "PENDING"), "safety"),
        (ONE, "connection", ("reconnect", "LAPSED"), ("reconnect", "PENDING"), "figures"),
        (
            RACE,
            "recovery",
            ("EXPIRED", "successor PENDING"),
            ("EXPIRED", "no successor"),
            "figures",
        ),
        (CHAIN, "revocation-reach", ("PATIENT",), ("APP",), "figures"),
        (
            ENTRY,
            "entry-path",
            ("UNLINKED", "preferSignup true"),
            ("UNLINKED", "preferSignup false or absent"),
            "safety",
        ),
    ],
)
def test_exploration_kills_the_mutant_of_each_table_cell(
    run: str, table: str, key: Key, like: Key, killer: str
) -> None:
    with mutant(table, key, like):
        assert killed_by([run], FIGURES) == killer


@pytest.mark.parametrize("shifted", SHIFTED, ids=lambda each: f"{each.name} {each.by}")
def test_exploration_detects_a_deadline_off_by_one_tick(
    shifted: Shifted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_ends() == 13
    shifted.put(monkeypatch)
    with pytest.raises(RuleBrokenError, match="rule half-open is broken"):
        check_ends()


@pytest.mark.parametrize("name", STORES)
def test_exploration_detects_each_broken_store(name: str) -> None:
    with pytest.raises(ViolationError) as error:
        STORES[name]()
    assert error.value.broken is not None


# Shortest traces through a store that skips writes that only bump a version.
UNCOUNTED: Final[dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]]] = {
    "two ACTIVE": (
        ("LAPSED", Task.RECOVER_FIRST, Task.REPORT),
        "law 6 is broken: a second ACTIVE",
        (
            "client 1: recovers the first: decided",
            "server: the newest hand-off lands",
            "client 1: recovers the first: stored",
            "server: the newest hand-off lands",
        ),
    ),
    "a connection that outlives the revocation of its chain": (
        ("ACTION_REQUIRED", Task.RECOVER_FIRST, Task.REVOKE),
        "rule chain-revocation is broken: a connection of the chain is PENDING",
        (
            "client 1: recovers the first: decided",
            "client 2: revokes the chain: decided",
            "client 1: recovers the first: stored",
            "client 2: revokes the chain: stored",
        ),
    ),
}


@pytest.mark.parametrize("what", UNCOUNTED)
def test_store_without_version_bumps_breaks_in_documented_steps(what: str) -> None:
    (root, *tasks), says, trace = UNCOUNTED[what]
    violation = broken_by(lambda: explore(uncounted(root, *map(Task, tasks))))
    assert violation.what.startswith(says)
    assert tuple(step for step in violation.trace if step != "log: opens") == trace
    shown = "".join(f"{number}. {step}\n" for number, step in enumerate(trace, 1))
    assert f"```text\n{shown}```\n" in PAGE, what
    # With version bumps the same world breaks no law.
    counted = Clients(Races(2, roots=((root,),), tasks=tuple(map(Task, tasks))))
    assert explore(counted).states > 10


def verdict_in_any_order(rules: Rules[Store, Client], most: int) -> str:
    plain, reduced = Clients(rules, Reduce.NOTHING), Clients(rules, Reduce.ONE_ORDER)
    said = verdict(lambda: explore(plain, most=most))
    assert verdict(lambda: explore(reduced, most=most)) == said
    return said


@pytest.mark.slow
@pytest.mark.parametrize("most", [FEW // 6, pytest.param(FEW, marks=pytest.mark.heavy)])
def test_one_explored_order_kills_the_same_mutants_as_all_orders(most: int) -> None:
    said = Counter[str]()
    for rules, table, key, like in (
        (Held(2, 1), "idempotency", BUSY, EXECUTE),
        (Held(2, 1), "attempt", LOST, COMPLETE),
        (Held(1, 1), "attempt", COMPLETE, LOST),
        (Held(1, 1), "idempotency", ("in flight, lease over", "same fingerprint"), BUSY),
        (Held(1, 1), "idempotency", ("completed", "same fingerprint"), EXECUTE),
        (Held(1, 1), "attempt", ("renew", "in flight, lease running", "this attempt"), LOST),
    ):
        with mutant(table, key, like):
            said[verdict_in_any_order(rules, most)] += 1
    expired = Chain(2, 0, happens=False, page=False, roots=("EXPIRED",))
    for successor in ("successor PENDING", "successor anything else"):
        for outcome in (chain.MINT, triggers.ALREADY_ACTIVE):
            with outcome_of("recovery", ("EXPIRED", successor), outcome):
                said[verdict_in_any_order(expired, most)] += 1
    assert said.keys() == {"safety", "liveness", "holds"}


@pytest.mark.heavy
def test_exploration_docs_page_states_how_many_mutants_it_kills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    then = FIGURES
    # Smaller runs come first.
    cheap = sorted(SMALL, key=lambda name: then[name].transitions)
    cells = Counter[str]()
    for table, key, outcome in mutants_of_cells():
        # The two smallest runs that use the cell are enough.
        changed = (table, *map(str, key))
        runs = [name for name in cheap if changed in small_run(name).cells][:2]
        if runs:
            with outcome_of(table, key, outcome):
                cells[killed_by(runs, then, changed)] += 1
    ticks = Counter[str]()
    for shifted in SHIFTED:
        with monkeypatch.context() as patch:
            shifted.put(patch)
            ticks[killed_by(cheap, then, shifted.cell)] += 1
    stores = Counter(map(verdict, STORES.values()))
    table = table_of_mutants({"cells": cells, "ends, a tick off": ticks, "stores": stores})
    assert table in PAGE, table


# --- Violations ------------------------------------------------------------------------------


def broken_by(run: Callable[[], object]) -> ViolationError:
    with pytest.raises(ViolationError) as error:
        run()
    return error.value


def answers_of(log: Sequence[bytes]) -> list[dict[str, Json]]:
    lines = list(replay(log))
    assert not [line.answer for line in lines if line.broken]
    return [line.answer for line in lines]


@pytest.mark.parametrize(
    ("run", "table", "key", "like", "law"),
    [
        (KEY, "idempotency", ("completed", "same fingerprint"), EXECUTE, 12),
        (AT_ONCE, "idempotency", ("completed", "same fingerprint"), EXECUTE, 12),
        (ONE, "connection", ("authorize", "REVOKED"), ("authorize", "PENDING"), 1),
        (ONE, "connection", ("revoke", "REVOKED"), ("revoke", "ACTIVE"), 2),
        (
            ENTRY,
            "entry-path",
            ("UNLINKED", "preferSignup true"),
            ("UNLINKED", "preferSignup false or absent"),
            8,
        ),
    ],
)
def test_exploration_violation_has_its_law_and_replayable_log(
    run: str, table: str, key: Key, like: Key, law: int
) -> None:
    with mutant(table, key, like):
        violation = broken_by(SMALL[run])
    assert isinstance(violation.broken, LawBrokenError)
    assert violation.broken.law == law
    assert f"law {law} is broken" in str(violation)
    assert answers_of(violation.log)


def test_exploration_violation_of_no_law_names_the_broken_rule() -> None:
    key = ("complete sign-up", "LIMITED", "other user, or none bound")
    with mutant("binding", key, ("complete sign-up", "UNLINKED", "other user, or none bound")):
        violation = broken_by(SMALL[ENTRY])
    assert isinstance(violation.broken, RuleBrokenError)
    assert violation.broken.rule == "binding"
    assert "rule binding is broken: a new generation without a tombstone" in str(violation)
    assert [answer.get("status") for answer in answers_of(violation.log)].count(201) > 0
    key = ("complete sign-up", "UNLINKED", "other user, or none bound")
    with mutant("binding", key, ("provision", *key[1:])):
        assert "rule landing is broken: a hand-off would land" in str(broken_by(SMALL[ENTRY]))
    torn = broken_by(STORES["a part of what is written"])
    assert isinstance(torn.broken, RuleBrokenError)
    assert torn.broken.rule == "landing"


@pytest.mark.heavy
def test_exploration_detects_reconnect_judged_at_the_wrong_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reconnect = chain.reconnect

    def on_the_predecessors_clock(
        held: Connection,
        successor: Connection | None,
        now: datetime,
        *,
        era: datetime | None,
        id: ConnectionId,  # noqa: A002 - the name of the argument
        next_action: NextAction,
        head: Connection | None = None,
    ) -> chain.Recovery:
        at = now if successor is None else max(now, held.updated_at)
        return reconnect(held, successor, at, era=era, id=id, next_action=next_action, head=head)

    monkeypatch.setattr(chain, "reconnect", on_the_predecessors_clock)
    with pytest.raises(AssertionError):
        SMALL["one predecessor, 2 clients, everybody acts, clocks step back"]()


def test_exploration_liveness_violation_names_the_broken_promise() -> None:
    with mutant("idempotency", ("in flight, lease over", "same fingerprint"), BUSY):
        violation = broken_by(SMALL[ALONE])
    assert violation.broken is None
    assert "liveness is broken: once faults stop, every client gets its answer" in str(violation)
    assert violation.trace[-1] == "clock: a lease passes"


def test_exploration_rate_limit_violation_has_a_replayable_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ratelimit, "admit_one", lambda _policy, state, _now: state)
    violation = broken_by(SMALL[LIMIT])
    assert "law 10 is broken" in str(violation)
    assert [answer.get("status") for answer in answers_of(violation.log)] == [None, 201, 201, 201]


@pytest.mark.heavy
def test_replayed_exploration_logs_give_expected_problem_codes() -> None:
    # About fifty paths of each world; no log is broken or has an unexpected code.
    codes = {
        *codes_on_paths(Single(), 3),
        *codes_on_paths(Clients(Account(2, 0))),
        *codes_on_paths(Clients(Account(1, 2))),
        *codes_on_paths(Clients(Chain(2, 0, happens=False, follows=1))),
        *codes_on_paths(Clients(Chain(1, 0, roots=("REVOKED",)))),
        *codes_on_paths(Clients(Chain(1, 0, roots=("EXPIRED EARLY",)))),
        *codes_on_paths(Clients(Chain(1, 1, happens=False, roots=("LAPSED",)))),
        *codes_on_paths(Clients(Races(2))),
        *codes_on_paths(Clients(Held(1, 1, steps_back=True))),
        *codes_on_paths(SmallLimit(2), 5),
    }
    assert codes == {
        None,
        "SESSION_EXPIRED",
        "CONNECTION_SUPERSEDED",
        "CONNECTION_NOT_RECONNECTABLE",
        "HANDOFF_LAPSED",
    }


def codes_on_paths(model: Model[State], depth: int | None = None) -> set[str | None]:
    done = explore(model, depth=depth)
    codes = set[str | None]()
    for place in range(0, done.states, max(1, done.states // 50)):
        trace = model.run(done.path(place), None)
        lines = [json.dumps(dict(line)).encode() for _, line in trace if line is not None]
        codes.update(map(code_of, answers_of(lines)))
    return codes


def code_of(answer: dict[str, Json]) -> str | None:
    body = answer.get("body")
    problem = parse_json(body.encode()) if isinstance(body, str) else answer
    code = problem.get("code") if isinstance(problem, dict) else None
    return code if isinstance(code, str) else None


# --- The cells -------------------------------------------------------------------------------


@pytest.mark.heavy
def test_exploration_reaches_every_reachable_table_cell() -> None:
    with count_cell_lookups() as counts:
        explore(Single(), depth=8, liveness=False)
        explore(Clients(Account(1, 3)), liveness=False)
        explore(Clients(Chain(1, 0, roots=("EXPIRED EARLY",))))
        one_try = Held(2, 2, attempts=1, lost_leases=EITHER, forgets=True)
        explore(Clients(one_try), liveness=False, most=5_000)
    seen = frozenset(counts).union(*(small_run(name).cells for name in SMALL))
    unseen = {*cells_of(TABLES[name] for name in TABLES_OF_THE_MODELS)} - seen
    unreachable = {
        cell for cell in unseen if cell_id(cell[0], cell[1:]) in UNREACHABLE_CASES | UNASKED_CASES
    }
    assert unseen - unreachable == set(NEVER_MADE)
