"""Tests of the choice of the mutants that a short run tries."""

from __future__ import annotations

from benchmarks.choosing import choose, choose_modules


def test_chosen_mutants_depend_on_the_seed_alone() -> None:
    assert choose(100, 8, seed=1) == choose(100, 8, seed=1)
    assert len({tuple(choose(100, 8, seed=seed)) for seed in range(9)}) > 1


def test_chosen_mutants_are_as_many_as_asked_and_in_order() -> None:
    chosen = choose(100, 8, seed=1)
    assert len(chosen) == 8
    assert chosen == sorted({*chosen} & {*range(100)})
    assert choose(5, 8, seed=1) == [0, 1, 2, 3, 4]


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
