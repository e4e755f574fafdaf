"""Tests of the choice of the mutants that CI tries."""

from __future__ import annotations

import pytest

from benchmarks.choosing import choose, modules_of

MODULES = ["rules.chain"] * 90 + ["web.read"] * 10


@pytest.mark.parametrize(
    ("number", "changed", "fewest", "most"),
    [
        (8, {"web.read"}, 4, 7),
        (60, {"web.read"}, 10, 10),
        (200, {"web.read"}, 10, 10),
        (8, {"rules.chain", "web.read"}, 8, 8),
    ],
)
def test_half_of_the_chosen_mutants_are_in_changed_modules(
    number: int, changed: set[str], *, fewest: int, most: int
) -> None:
    chosen = choose(MODULES, number, seed=1, changed=changed)
    assert len(chosen) == min(number, len(MODULES))
    assert chosen == sorted(set(chosen))
    assert fewest <= sum(MODULES[place] in changed for place in chosen) <= most


def test_chosen_mutants_depend_on_the_seed_alone() -> None:
    assert choose(MODULES, 8, seed=1, changed=()) == choose(MODULES, 8, seed=1, changed=())
    assert len({tuple(choose(MODULES, 8, seed=seed, changed=())) for seed in range(9)}) > 1


def test_changed_files_outside_the_package_name_no_module() -> None:
    files = ["curae_lifecycle/rules/chain.py", "curae_lifecycle/py.typed", "tests/rules/chain.py"]
    assert modules_of(files) == {"rules.chain"}
