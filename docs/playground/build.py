"""Build the playground into a site: `python docs/playground/build.py SITE`.

The law of this module: **a browser loads only files of the site, in the versions that are pinned
here**. Pyodide comes from the npm registry and attrs from Python's; the digest of each is checked.
All other packages are removed from Pyodide's list. The build imports the modules in Pyodide's Python
and saves its memory, so that a browser loads that memory instead of starting Python. The build needs
Node.js, npm, pip and, the first time, a network.
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
"""The digest of the package, in the form of the npm registry."""

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
"""The files that load with the page; the others load when the playground is used first."""

_PLACE: Final = re.compile(
    r'<div id="playground">.*?</div>|<div id="playground" .*?<!-- end of the playground --></div>',
    re.DOTALL,
)


def build(site: Path) -> tuple[int, int]:
    """Build the playground into a site that Sphinx has built; replace an earlier one.

    Args:
        site: The directory of the site.

    Returns:
        The number of bytes that a browser loads before the first result: plain, and with gzip.

    Raises:
        SystemExit: The site has no page for it, or a digest differs from the pinned one.
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
    """Return the HTML of the playground's page, with the size of the files that load later."""
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
        # Browsers drop a newline at the beginning of a textarea; the example has none there.
        "EXAMPLE": html.escape(example.rstrip("\n")),
        "OPTIONS": "".join(f"<option>{html.escape(name)}</option>" for name in logs),
        # `</script>` in the text would end the script.
        "PRESETS": json.dumps(logs).replace("</", "<\\/"),
    }.items():
        text = text.replace(f"[[{name}]]", value)
    return text.rstrip("\n")


def megabytes(size: int) -> str:
    """Format a size in megabytes."""
    return f"{size / 1_000_000:.1f} MB"


def fetch(made: Path, scratch: Path) -> list[Path]:
    """Add Pyodide to the playground's folder, and return the wheels of the library and of attrs."""
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
    # Pyodide requests no package that its list lacks, from any host.
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
    """Compare the digest of a fetched file with the pinned one.

    Raises:
        SystemExit: The digests differ.
    """
    if found != pinned:
        raise SystemExit(f"{name} is not what was pinned: its digest is {found}")


def program(name: str) -> str:
    """Return the path of an installed command."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return found


def run(where: Path, *command: str) -> None:
    """Run a command to its end; if it fails, exit with its output."""
    done = subprocess.run(command, cwd=where, capture_output=True, check=False, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Build the playground into the site that the command line names, and print its size."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the command and a site
        raise SystemExit("usage: python docs/playground/build.py SITE")
    plain, packed = build(Path(sys.argv[1]))
    print(f"the playground loads {plain} bytes, {packed} where the server compresses them")


if __name__ == "__main__":
    main()
