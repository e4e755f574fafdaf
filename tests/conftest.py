"""What all tests share: how Hypothesis runs."""

from __future__ import annotations

from hypothesis import settings

# A deadline would be an assertion on wall time.
settings.register_profile("curae", deadline=None)
settings.load_profile("curae")
