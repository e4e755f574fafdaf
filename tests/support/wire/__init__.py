"""Helpers for tests over sockets on real databases; they import the examples by name."""

import sys
from typing import Final

from tests.support.paths import ROOT

EXAMPLES: Final = ROOT / "docs" / "examples"

sys.path.append(str(EXAMPLES))
