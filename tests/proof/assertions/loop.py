"""A pytest plugin that disables one assertion at a time and repeats the tests in which it failed.

For each assertion it writes the first test that fails without it, or null, to the file that the
environment variable `CURAE_ASSERTIONS` names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from tests.proof.assertions.sites import (
    Assertion,
    disabled,
    noted_failures,
    other_assertions,
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run every test once. Then disable each assertion and repeat the tests in which it failed."""
    failing_in: dict[Assertion, list[pytest.Item]] = {each: [] for each in other_assertions()}
    for item in session.items:
        with noted_failures(failing_in) as noted:
            assert not _fails(item), f"{item.nodeid} fails as it is"
        for each in noted:
            failing_in[each].append(item)
    found = {each.name: _first_to_fail(each, items) for each, items in failing_in.items()}
    Path(os.environ["CURAE_ASSERTIONS"]).write_text(json.dumps(found), encoding="utf-8")
    return True


def _first_to_fail(without: Assertion, items: list[pytest.Item]) -> str | None:
    with disabled(without):
        return next((item.nodeid for item in items if _fails(item)), None)


def _fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False))
