"""How the command line was called, for whoever is told to call it again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

SCRIPT: Final = "curae-lifecycle"
"""The console script that comes with the package."""


def program_name() -> str:
    """The console script where that was called, else the module."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m curae_lifecycle"
