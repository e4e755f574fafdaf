"""A helper for tests that fork."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable


def run_in_fork(check: Callable[[], bool]) -> bool:
    """Return whether a check is true in a forked process."""
    with warnings.catch_warnings():
        # Other threads of the tests run nothing that the child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        # Nothing else of the tests may run in this process, not even after an error.
        passed = False
        try:
            passed = check()
        finally:
            os._exit(0 if passed else 1)
    return os.waitpid(child, 0)[1] == 0
