"""Runs of a target over its corpus and mutants of it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random
from typing import Final

from curae_lifecycle.testing.laws import LawBrokenError
from tests.proof.fuzz.corpus_files import load_corpus
from tests.proof.fuzz.mutate import mutate
from tests.proof.fuzz.targets import TARGETS

MUTANTS: Final = 20
"""Mutants per input; fifteen times as many in the heavy run."""


class FuzzError(AssertionError):
    """An input breaks law 16, a round trip, or the agreement of two readers."""


def fuzz(target: str, mutants: int, seed: int) -> Counter[str]:
    """Run a target on its corpus and mutants; count the outcomes."""
    corpus, counts = load_corpus(target), Counter[str]()
    random, others = Random(f"{seed} {target}"), list(corpus.values())  # noqa: S311 - a seed is the point
    for name, data in corpus.items():
        for bent in [data, *(mutate(data, random, others) for _ in range(mutants))]:
            try:
                counts[TARGETS[target](bent)] += 1
            except Exception as error:
                law = "" if isinstance(error, LawBrokenError) else "law 16: "
                what = f"{law}{target}, from {name!r}: {error!r} for {bent[:300]!r}"
                raise FuzzError(what) from error
    return counts


@cache
def small(target: str) -> Counter[str]:
    """Run a target once at the everyday size, for all tests."""
    return fuzz(target, MUTANTS, seed=0)
