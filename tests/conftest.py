"""What all tests share: how Hypothesis runs."""

from __future__ import annotations

from hypothesis import settings

# A deadline would be an assertion on wall time. `--hypothesis-profile thorough` draws twice as
# much; `.ci/run` does so where it tests the wheel.
settings.register_profile("curae", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("curae")
