"""Values that a strategy draws, the same ones in every run."""

from __future__ import annotations

from typing import Final, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Drawn = TypeVar("Drawn")

FIXED: Final = settings(
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=60,
    phases=(Phase.generate,),
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ),
)
"""Settings under which a strategy draws the same values in every run, each of them once."""


def drawn_examples(strategy: st.SearchStrategy[Drawn], count: int = 60) -> list[Drawn]:
    """Return the first values that a strategy draws: at most `count`, fewer of a small domain.

    Build the strategy in the test: one that was built on import has the code of that time.
    """
    seen: list[Drawn] = []

    @settings(FIXED, max_examples=count)
    @given(strategy)
    def note(value: Drawn) -> None:
        seen.append(value)

    note()
    return seen
