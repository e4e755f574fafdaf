"""What all tests share: how Hypothesis runs, and what the garbage collector need not look at."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

# A deadline would be an assertion on wall time. `--hypothesis-profile thorough` draws twice as
# much; `.ci/run` does so where it tests the wheel.
settings.register_profile("curae", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("curae")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # Thousands of tests stay until the end: to look for garbage among them, over and over, took a
    # tenth of the time.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
