"""The root folder of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The folder that holds `pyproject.toml`, `docs` and `tests`."""
