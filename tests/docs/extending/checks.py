"""Helpers of the checks of a changed copy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.strategies import SearchStrategy

import curae_lifecycle
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.testing import conformance
from tests.support.kit import Reference

Drawn = TypeVar("Drawn")


def require_copy() -> None:
    """Raise unless the package is the copy whose folder the command line names."""
    assert Path(curae_lifecycle.__file__).is_relative_to(sys.argv[1])


def require_checks_to_pass(*names: str, settings: Settings = DEFAULT_SETTINGS) -> None:
    """Run checks of the kit against a server of the copy; raise unless all of them pass."""
    operations = settings.operations
    known = [check.name for check in conformance.checks(operations)]
    selected = [each for each in known if any(name in each for name in names)]
    report = conformance.run(
        Reference(settings).server(), only=selected, seed="1", operations=operations
    )
    assert selected, names
    assert list(report.passed) == selected, str(report)


def require_drawn(strategy: SearchStrategy[Drawn], wanted: object) -> None:
    """Raise unless a strategy draws a value of a type, or equal to one."""
    is_wanted = (
        (lambda value: isinstance(value, wanted))
        if isinstance(wanted, type)
        else (lambda value: value == wanted)
    )
    find(strategy, is_wanted, settings=_SEARCH)


_SEARCH = settings(
    max_examples=5000,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
