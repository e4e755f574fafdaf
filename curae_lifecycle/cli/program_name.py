"""The name by which the command line was called, for texts that show a command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

SCRIPT: Final = "curae-lifecycle"
"""The name of the package's console script."""


def program_name() -> str:
    """Return the name of this program as the user called it, for help and error messages.

    It is `curae-lifecycle` for the console script, else `python -m curae_lifecycle`.
    """
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m curae_lifecycle"
