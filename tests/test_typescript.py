"""The OpenAPI document gives TypeScript definitions that hold a client to every problem code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.node import installed, run

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = Path(__file__).parent / "typescript"

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client beside the definitions, in a directory where its tools are installed."""
    directory = installed(SOURCES, tmp_path_factory.mktemp("typescript") / "client")
    document = str(ROOT / "docs" / "openapi.json")
    make = ("npx", "--no-install", "openapi-typescript", document, "--output", "api.d.ts")
    done = run(directory, *make)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def compile_errors(project: Path, file: str) -> str:
    """What the compiler says of one file and what it imports; nothing where it is right."""
    settings = json.loads((SOURCES / "tsconfig.json").read_text(encoding="utf-8"))
    own = project / "tsconfig.own.json"
    own.write_text(json.dumps({**settings, "files": [file]}), encoding="utf-8")
    done = run(project, "npx", "--no-install", "tsc", "--project", own.name)
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def test_a_client_that_handles_every_problem_code_compiles(project: Path) -> None:
    assert compile_errors(project, "client.ts") == ""


def test_a_client_that_forgets_a_problem_code_does_not(project: Path) -> None:
    said = compile_errors(project, "forgets.ts")
    assert said.startswith("forgets.ts(")
    assert said.count("error TS") == 1
    assert "CONNECTION_SUPERSEDED" in said
    assert "'never'" in said


def test_each_code_that_a_client_handles_is_one_of_its_operation(project: Path) -> None:
    # Were `code` no more than a string, a switch could name what no operation answers.
    text = (project / "client.ts").read_text(encoding="utf-8")
    wrong = text.replace('case "NOT_FOUND":', 'case "NOT_FOUNT":', 1)
    assert wrong != text
    (project / "mistyped.ts").write_text(wrong, encoding="utf-8")
    assert "NOT_FOUNT" in compile_errors(project, "mistyped.ts")
