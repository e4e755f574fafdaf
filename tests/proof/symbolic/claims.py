"""Claims about the production functions, and mistakes that must refute them.

The law of this module: **a claim that no mistake breaks says nothing**. A mistake replaces a text
in a production function; the claim is proven without it and refuted with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from textwrap import dedent
from types import ModuleType
from typing import cast

import attrs

from curae_lifecycle.rules import values
from tests.proof.symbolic.integers import Instant, Number, Refuted, prove


@attrs.frozen
class Mistake:
    """A text in a production function, and its replacement in a mutant."""

    module: ModuleType
    function: str
    right: str
    wrong: str


@attrs.frozen
class Claim:
    """A property for all values.

    Attributes:
        says: The property in words.
        check: A function for `prove`.
        mistakes: Mistakes that each must refute it.
    """

    says: str
    check: Callable[[], None]
    mistakes: tuple[Mistake, ...]


@contextmanager
def built_in(mistake: Mistake) -> Iterator[None]:
    """Build the mistake into the function of its module within the block."""
    module, name = mistake.module, mistake.function
    function: object = getattr(module, name)
    source = dedent(inspect.getsource(cast("Callable[[], object]", function)))
    assert source.count(mistake.right) == 1, f"{name} no longer says {mistake.right!r}"
    setattr(module, name, _compiled(source.replace(mistake.right, mistake.wrong), module, name))
    try:
        yield
    finally:
        setattr(module, name, function)


def _compiled(source: str, module: ModuleType, name: str) -> object:
    # The future import keeps annotations unevaluated, as in the module.
    names = dict(vars(module))
    exec(f"from __future__ import annotations\n{source}", names)  # noqa: S102 - the mutant
    return names[name]


def is_refuted(claim: Claim, mistake: Mistake) -> bool:
    """Return whether the claim fails with the mistake built in."""
    with built_in(mistake):
        try:
            prove(claim.check)
        except Refuted:
            return True
    return False


# --- Stand-ins -------------------------------------------------------------------------------


def span(since: Instant, now: Instant) -> Number:
    """Return what `elapsed` computes for two instants."""
    return as_number(values.elapsed(as_datetime(since), as_datetime(now)))


def since_epoch(now: Instant) -> Number:
    """Return what `microseconds` computes for an instant."""
    return as_number(values.to_epoch_microseconds(as_datetime(now)))


def as_int(value: Number) -> int:
    """Cast a number for a function that takes an integer."""
    return cast("int", value)


def as_number(value: int) -> Number:
    """Cast the integer result of a function to a number."""
    return cast("Number", value)


def as_datetime(value: Instant) -> datetime:
    """Cast an instant for a function that takes a datetime."""
    return cast("datetime", value)
