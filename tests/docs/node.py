"""Node.js programs in a directory with their packages installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

PATIENCE: Final = 300
"""Seconds after which a running program counts as dead."""


def installed(sources: Path, directory: Path) -> Path:
    """Copy the sources and install their packages, without running any package script."""
    assert shutil.which("npm"), "npm is not installed"
    shutil.copytree(sources, directory)
    options = ("--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
    done = run(directory, "npm", "install", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, capture_output=True, check=False, text=True, timeout=PATIENCE
    )
