"""Tests over real sockets, on real databases; they import the examples by name."""

import sys
from pathlib import Path
from typing import Final

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"

sys.path.append(str(EXAMPLES))
