"""The TypeScript definitions of the API, made by openapi-typescript.

It is a program of Node.js, so this generator needs `npx` and a package index.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from curae_lifecycle.cli.documents import document_text

PACKAGES: Final = ("openapi-typescript@7.13.0", "typescript@5.9.3")
"""The packages that decide the bytes of the file."""


def files() -> dict[str, str]:
    """Return the definitions of the current OpenAPI document.

    Raises:
        SystemExit: `npx` is not installed.
        subprocess.CalledProcessError: openapi-typescript failed.
    """
    npx = shutil.which("npx")
    if npx is None:
        raise SystemExit("npx is not installed; leave the definitions out with --except typescript")
    with TemporaryDirectory() as name:
        document, made = Path(name, "openapi.json"), Path(name, "api.d.ts")
        document.write_text(document_text("openapi"), encoding="utf-8")
        packages = [part for each in PACKAGES for part in ("--package", each)]
        subprocess.run(  # noqa: S603 - the arguments are this module's own
            [npx, "--yes", *packages, "openapi-typescript", document, "--output", made],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return {made.name: made.read_text(encoding="utf-8")}
