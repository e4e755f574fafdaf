"""Builds the playground into a site: `python docs/playground/build.py SITE`.

The law of this module: **what a browser loads stands in the site's own directory, and is what was
pinned here**. Pyodide comes from the npm registry and attrs from Python's, each held against a digest;
what else Pyodide could load is struck from its list. The modules are compiled and imported here, by that Python, and
its memory is kept: a browser copies it instead of starting Python. It needs Node.js, npm, pip and, the first time,
a network.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]

PYODIDE: Final = "314.0.7"
PYODIDE_SHA512: Final = (
    "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
)
"""As the npm registry writes the integrity of a package."""

ATTRS: Final = "26.1.0"
ATTRS_SHA256: Final = "c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309"

OF_PYODIDE: Final = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
)
LIST: Final = "pyodide-lock.json"
OURS: Final = ("page.js", "page.css", "worker.js")
EAGER: Final = frozenset({"page.js", "page.css"})
"""What is loaded with the page; the rest is, once a person asks for it."""

_PLACE: Final = re.compile(
    r'<div id="playground">.*?</div>|<div id="playground" .*?<!-- end of the playground --></div>',
    re.DOTALL,
)


def build(site: Path) -> tuple[int, int]:
    """Build the playground into a site that Sphinx has built, anew where one stands there.

    Args:
        site: The directory of the site.

    Returns:
        How many bytes a browser loads before it answers, as they are, and as gzip has them.

    Raises:
        SystemExit: The site has no page for it, or something that was fetched is not what was pinned.
    """
    page = site / "playground.html"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if _PLACE.search(text) is None:
        raise SystemExit(f"{page} has no place for the playground: build the site first")
    with tempfile.TemporaryDirectory() as name:
        made = Path(name, "playground")
        made.mkdir()
        wheels = fetch(made, Path(name))
        run(made, program("node"), str(HERE / "prepare.mjs"), str(made), *map(str, wheels))
        for own in OURS:
            shutil.copyfile(HERE / own, made / own)
        shutil.rmtree(site / "playground", ignore_errors=True)
        shutil.copytree(made, site / "playground")
    loaded = [path for path in (site / "playground").iterdir() if path.name not in EAGER]
    plain = sum(path.stat().st_size for path in loaded)
    packed = sum(len(gzip.compress(path.read_bytes(), 6)) for path in loaded)
    place = fragment(plain, packed)
    page.write_text(_PLACE.sub(lambda _: place, text, count=1), encoding="utf-8")
    return plain, packed


def fragment(plain: int, packed: int) -> str:
    """What stands in the page, with how large the rest is."""
    example = (HERE / "example.jsonl").read_text(encoding="utf-8")
    text = (HERE / "page.html").read_text(encoding="utf-8")
    presets = sorted((HERE / "presets").glob("*.jsonl"))
    logs = {"a first example": example} | {
        path.stem.replace("-", " "): path.read_text(encoding="utf-8") for path in presets
    }
    for name, value in {
        "PLAIN": megabytes(plain),
        "PACKED": megabytes(packed),
        "PYODIDE": PYODIDE,
        # A first newline in a textarea is not part of it, and the example begins with none.
        "EXAMPLE": html.escape(example.rstrip("\n")),
        "OPTIONS": "".join(f"<option>{html.escape(name)}</option>" for name in logs),
        # Nothing in it may end the script.
        "PRESETS": json.dumps(logs).replace("</", "<\\/"),
    }.items():
        text = text.replace(f"[[{name}]]", value)
    return text.rstrip("\n")


def megabytes(size: int) -> str:
    """A size as a person reads it."""
    return f"{size / 1_000_000:.1f} MB"


def fetch(made: Path, scratch: Path) -> list[Path]:
    """Put Pyodide where the playground is made, and return the library's wheel and that of attrs."""
    run(scratch, program("npm"), "pack", "--silent", "--prefer-offline", f"pyodide@{PYODIDE}")
    archive = scratch / f"pyodide-{PYODIDE}.tgz"
    digest = hashlib.sha512(archive.read_bytes()).digest()
    hold("pyodide", base64.b64encode(digest).decode(), PYODIDE_SHA512)
    with tarfile.open(archive) as held:
        for name in (*OF_PYODIDE, LIST):
            member = held.extractfile(f"package/{name}")
            if member is None:
                raise SystemExit(f"pyodide {PYODIDE} has no {name}")
            (made / name).write_bytes(member.read())
    # What is not listed is never asked for, here or at another host.
    listed = json.loads((made / LIST).read_text(encoding="utf-8"))
    (made / LIST).write_text(json.dumps({"info": listed["info"], "packages": {}}), encoding="utf-8")
    wheels = scratch / "wheels"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    wanted = ("--no-deps", "--only-binary", ":all:", f"attrs=={ATTRS}")
    run(scratch, *pip, "download", *wanted, "--dest", str(wheels))
    (attrs,) = wheels.iterdir()
    hold("attrs", hashlib.sha256(attrs.read_bytes()).hexdigest(), ATTRS_SHA256)
    run(scratch, *pip, "wheel", "--no-deps", str(ROOT), "--wheel-dir", str(wheels))
    return sorted(wheels.iterdir())


def hold(name: str, found: str, pinned: str) -> None:
    """Hold the digest of what was fetched against the one that is pinned here."""
    if found != pinned:
        raise SystemExit(f"{name} is not what was pinned: its digest is {found}")


def program(name: str) -> str:
    """Return the path of an installed command."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return found


def run(where: Path, *command: str) -> None:
    """Run a command to its end; what it says is said where it fails."""
    done = subprocess.run(command, cwd=where, capture_output=True, check=False, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Build it into the site that the command line names, and say how large it is."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the command and a site
        raise SystemExit("usage: python docs/playground/build.py SITE")
    plain, packed = build(Path(sys.argv[1]))
    print(f"the playground loads {plain} bytes, {packed} where the server compresses them")


if __name__ == "__main__":
    main()
