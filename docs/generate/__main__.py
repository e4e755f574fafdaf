"""Write the generated pages of this repository, or check that they are current.

python -m docs.generate [--check] [--except NAME] [NAME ...]
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from curae_lifecycle.cli.documents import document_text
from docs.generate import (
    api,
    blocks,
    matrices,
    problems,
    reference,
    tables,
    tour,
    traceability,
    typescript,
    vectors,
)
from docs.generate.files import Files

ROOT: Final = Path(__file__).resolve().parents[2]


def _worked_files() -> dict[str, str]:
    # The worked examples name the tests that hold each rule, so they import the tests, and those
    # need the extra `test`. So do the seeded bugs. The other generators run without it.
    from docs.generate import worked  # noqa: PLC0415 - see above

    return worked.files()


def _seeded_bugs_files() -> dict[str, str]:
    from tests.proof.bugs import catalogue  # noqa: PLC0415 - it needs the extra `test`

    return {"seeded-bugs.md": catalogue.page()}


def _document(name: str) -> dict[str, str]:
    return {f"{name}.json": document_text(name)}


GENERATORS: Final = {
    "tables": Files("docs/tables", ("*.md", "*.svg", tables.DOCUMENT), tables.files),
    "worked": Files("docs/tables/worked", ("*.md",), _worked_files),
    "problems": Files("docs/problems", ("*.md",), problems.files),
    "reference": Files(
        "docs/reference", tuple(f"{room}.md" for room in reference.ROOMS), reference.files
    ),
    "openapi": Files("docs", ("openapi.json",), lambda: _document("openapi")),
    "asyncapi": Files("docs", ("asyncapi.json",), lambda: _document("asyncapi")),
    "api": Files("docs/api", ("*.md",), api.files),
    "typescript": Files("docs", ("api.d.ts",), typescript.files),
    "vectors": Files("docs/vectors", ("*.json",), vectors.files),
    "vector-schemas": Files("docs/vectors/schemas", ("*.json",), vectors.schema_files),
    "traceability": Files("docs", ("traceability.md",), traceability.files),
    "tour": Files("docs", ("tour.svg",), tour.files),
    "seeded-bugs": Files("docs", ("seeded-bugs.md",), _seeded_bugs_files),
    "settings": Files("docs", ("extending.md",), blocks.setting_files),
    "hooks": Files("docs", ("conformance.md",), blocks.hook_files),
    "laws": Files("docs", ("correctness.md",), blocks.law_files),
    "matrices": Files("docs", ("rules.md",), matrices.rule_files),
    "documents": Files("docs/vectors", ("README.md",), blocks.vector_files),
}
"""The generators by the names that the command takes."""

BLOCKS: Final = frozenset({"settings", "hooks", "laws", "matrices", "documents"})
"""The generators that write one block of a page; people write the rest of it."""


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the named generators, or all of them.

    Returns:
        The exit status: 1 if `--check` found a stale file, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m docs.generate", description=(__doc__ or "").partition("\n")[0]
    )
    names = ", ".join(GENERATORS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{names}; all without a name")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a stale file")
    parser.add_argument(
        "--except",
        action="append",
        default=[],
        metavar="NAME",
        dest="left_out",
        help="leave one out",
    )
    options = parser.parse_args(arguments)
    for name in (*options.names, *options.left_out):
        if name not in GENERATORS:
            parser.error(f"no generator is named {name}; they are {names}")
    wanted = [name for name in options.names or GENERATORS if name not in options.left_out]
    stale = 0
    for name in wanted:
        if not options.check:
            GENERATORS[name].write(root)
        elif found := GENERATORS[name].stale(root):
            sys.stderr.write(
                f"stale: {', '.join(found)}; to write: python -m docs.generate {name}\n"
            )
            stale = 1
    return stale


if __name__ == "__main__":
    # The worked examples provoke errors that a server would log.
    logging.disable(logging.ERROR)
    sys.exit(main())
