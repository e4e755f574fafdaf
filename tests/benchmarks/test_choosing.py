"""Tests of the choice of the mutants that CI tries."""

from __future__ import annotations

import pytest

from benchmarks.choosing import choose, choose_modules, modules_of

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


def test_changed_modules_include_only_python_files_of_package() -> None:
    files = ["curae_lifecycle/rules/chain.py", "curae_lifecycle/py.typed", "tests/rules/chain.py"]
    assert modules_of(files) == {"rules.chain"}


def test_modules_chosen_for_mutation_depend_on_the_seed_alone() -> None:
    sizes = dict.fromkeys("abcdefgh", 100)
    assert choose_modules(sizes, 3, seed=1) == choose_modules(sizes, 3, seed=1)
    assert {len(choose_modules(sizes, 3, seed=seed)) for seed in range(9)} == {3}
    assert set.union(*[choose_modules(sizes, 3, seed=seed) for seed in range(30)]) == {*sizes}


def test_large_modules_are_chosen_for_mutation_more_often() -> None:
    sizes = {"small": 10, "large": 30}
    chosen = [choose_modules(sizes, 1, seed=seed) for seed in range(400)]
    assert 270 < chosen.count({"large"}) < 330


def test_choosing_more_modules_than_exist_chooses_all() -> None:
    assert choose_modules({"rules": 1, "web": 2}, 9, seed=1) == {"rules", "web"}
