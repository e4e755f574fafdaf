"""Do what the tutorial says, as a newcomer does: each block as it stands, in the page's order.

    python -m tests.docs.tutorial

does all of it in the folder of the repository, its virtual environment and `curl` included, and fails
where something else is printed than the page shows; with `--write` the page shows what was printed.
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
"""What the page makes."""

PORT: Final = "8000"
START: Final = "python server.py\n"
PATIENCE: Final = 300
"""Seconds after which the shell is taken for dead."""

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = "---- printed ----"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=/pages/)[\w-]+")
_VARIES: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=\.py:)\d+")


class Shown(NamedTuple):
    """What the page shows of an output, and where it does."""

    text: str
    span: tuple[int, int]


class Page(NamedTuple):
    """What a page says: the server, what is typed in a shell, and what each of that prints."""

    server: str
    typed: list[str]
    shown: list[Shown | None]
    log: Shown


def read(text: str) -> Page:
    """The page's blocks.

    Each block of `sh` is typed; the block behind it, where it is another, is what that prints. The
    one left over is what the server prints.
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
    """What a page's blocks and its server print, in one shell that begins in a folder."""
    server = f"cat > server.py <<'SERVER'\n{page.server}SERVER\n"
    lines = ["set -e"]
    for each in page.typed:
        lines.append(f"echo '{_MARK}'")
        if each == START:
            # Another terminal in the same folder.
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
    """The same texts, each id by the number of its first place, without times and ports."""
    known: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"<{len(known)}>")

    return [
        re.sub(r"127\.0\.0\.1:\d+", "<here>", _ID.sub(number, _VARIES.sub("<varies>", each)))
        for each in texts
    ]


def differences(page: Page, texts: list[str], log: str) -> Iterator[tuple[str, str]]:
    """What the page shows and what was printed, where that differs."""
    shown = [each.text if each is not None else "" for each in (*page.shown, page.log)]
    seen = [*texts, log]
    for (said, is_so), text in zip(
        zip(masked(shown), masked(seen), strict=True), seen, strict=True
    ):
        if said != is_so:
            yield said, text


def main(arguments: list[str]) -> int:
    """Do it in the folder of the repository, as printed."""
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
    """The page, showing what was printed, at the port that it names."""
    at = zip((*page.shown, page.log), (*texts, log), strict=True)
    # From the last one to the first, so that none moves before it is its turn.
    found = sorted((each.span, was) for each, was in at if each is not None)
    for (start, end), was in reversed(found):
        told = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{PORT}", was)
        text = text[:start] + told + text[end:]
    return text


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main(sys.argv[1:]))
