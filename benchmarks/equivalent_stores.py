"""Mutants of the stores' loops that no caller can tell, each with the proof.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_ANY_CASE: Final = "Python reads the name of infinity in either case."

EQUIVALENT_STORES: Final[dict[Key, str]] = {
    (
        "stores.retry.RetryPolicy.__attrs_post_init__",
        'if not 0 < getattr(self, name) < float("inf"):',
        'if not 0 < getattr(self, name) < float("INF"):',
    ): _ANY_CASE,
}
"""Function, the line as it is, the line as it was changed: why no caller can tell."""
