"""Runs the tutorial as a newcomer does: each block unchanged, in the page's order.

    python -m tests.docs.tutorial

runs it in the folder of the repository, with a real virtual environment and `curl`, and fails if
the output differs from the page; with `--write` the page is updated.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.paths import ROOT
from tests.support.ports import free_port

PAGE: Final = ROOT / "docs" / "tutorial.md"
FOLDER: Final = ROOT / "tutorial"
"""The folder that the tutorial creates."""

PORT: Final = "8000"
START: Final = "python server.py\n"
PATIENCE: Final = 300
"""Seconds after which the shell counts as dead."""

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = "---- printed ----"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=/pages/)[\w-]+")
_VARIES: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


class Shown(NamedTuple):
    """An output that the page shows, with its position."""

    text: str
    span: tuple[int, int]


class Page(NamedTuple):
    """The blocks of a page: the server, the shell commands and their outputs."""

    server: str
    typed: list[str]
    shown: list[Shown | None]
    log: Shown


def read(text: str) -> Page:
    """Read the page's blocks.

    Each `sh` block is a command; a different block after it is its output. The remaining one is the
    server's output.
    """
    blocks = list(_BLOCK.finditer(text))
    (server,) = (each[2] for each in blocks if each[1] == "python")
    typed: list[str] = []
    shown: list[Shown | None] = []
    left: list[Shown] = []
    for before, block in zip([None, *blocks], blocks, strict=False):
        if block[1] == "sh":
            typed.append(block[2])
            shown.append(None)
        elif block[1] != "python":
            found = Shown(block[2], block.span(2))
            if before is not None and before[1] == "sh":
                shown[-1] = found
            else:
                left.append(found)
    (log,) = left
    return Page(server=server, typed=typed, shown=shown, log=log)


def printed(page: Page, folder: Path) -> tuple[list[str], str]:
    """Run a page's blocks in one shell in a folder; return their outputs and the server's."""
    server = f"cat > server.py <<'SERVER'\n{page.server}SERVER\n"
    lines = ["set -e"]
    for each in page.typed:
        lines.append(f"echo '{_MARK}'")
        if each == START:
            # The page opens another terminal in the same folder.
            lines.append(f"{server}python server.py > server.log 2>&1 & server=$!")
            lines.append("trap 'kill $server' EXIT")
            lines.append(f"until curl -s -o page.txt http://127.0.0.1:{PORT}/pages/; do")
            lines.append("kill -0 $server; sleep 0.1; done; cd ..")
        else:
            lines.append(each)
    lines.append(f"echo '{_MARK}'; cat server.log")
    program = "\n".join(lines).replace(PORT, str(free_port()))
    ended = subprocess.run(
        ["/bin/sh", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), (ended.stdout, ended.stderr)
    first, *texts, log = ended.stdout.split(f"{_MARK}\n")
    assert first == ""
    return texts, log


def masked(texts: list[str]) -> list[str]:
    """Number ids by first occurrence, and remove times and ports."""
    known: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"<{len(known)}>")

    return [
        re.sub(r"127\.0\.0\.1:\d+", "<here>", _ID.sub(number, _VARIES.sub("<varies>", each)))
        for each in texts
    ]


def differences(page: Page, texts: list[str], log: str) -> Iterator[tuple[str, str]]:
    """Yield each shown output that differs from the printed one."""
    shown = [each.text if each is not None else "" for each in (*page.shown, page.log)]
    seen = [*texts, log]
    for (said, is_so), text in zip(
        zip(masked(shown), masked(seen), strict=True), seen, strict=True
    ):
        if said != is_so:
            yield said, text


def main(arguments: list[str]) -> int:
    """Run the tutorial in the folder of the repository."""
    text = PAGE.read_text(encoding="utf-8")
    page = read(text)
    if FOLDER.exists():
        raise SystemExit(f"{FOLDER.name} is somebody's already")
    try:
        texts, log = printed(page, ROOT)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    if arguments == ["--write"]:
        PAGE.write_text(rewritten(text, page=page, texts=texts, log=log), encoding="utf-8")
        return 0
    found = list(differences(page, texts, log))
    for said, was in found:
        sys.stdout.write(f"the page shows\n{said}\nand this was printed:\n{was}\n")
    return 1 if found else 0


def rewritten(text: str, page: Page, texts: list[str], log: str) -> str:
    """Return the page with the printed outputs, at its own port."""
    at = zip((*page.shown, page.log), (*texts, log), strict=True)
    # From last to first, so that positions stay valid.
    found = sorted((each.span, was) for each, was in at if each is not None)
    for (start, end), was in reversed(found):
        told = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{PORT}", was)
        text = text[:start] + told + text[end:]
    return text


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main(sys.argv[1:]))
