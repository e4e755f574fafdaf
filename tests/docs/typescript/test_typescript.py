"""Tests of the published TypeScript definitions, and of clients that compile against them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from docs.generate.__main__ import GENERATORS
from docs.generate.typescript import PACKAGES
from tests.docs.node import installed, run
from tests.support.paths import ROOT
from tests.support.wire.trying import started

DOCS: Final = ROOT / "docs"
DEFINITIONS: Final = DOCS / "api.d.ts"
PAGE: Final = (DOCS / "clients.md").read_text(encoding="utf-8")
SOURCES: Final = Path(__file__).parent

RUN: Final = """
import { connect } from "./connect.js";
const [base, key] = process.argv.slice(2);
const wanted = { appUserId: "user-1", dataPackages: ["labs"] };
console.log(await connect(base, key, wanted));
await connect(base, "cae_test_unknown", wanted).catch((error) => console.log(error.message));
"""


def test_typescript_definitions_name_every_operation_and_schema() -> None:
    # The content is compared only if Node.js is installed; this test always runs.
    text = DEFINITIONS.read_text(encoding="utf-8")
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'operations["{operation["operationId"]}"];' in text
    for name in document["components"]["schemas"]:
        assert f"\n        {name}: " in text


def test_typescript_docs_page_names_the_tested_tool_versions() -> None:
    package = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    versions = package["devDependencies"]
    assert [f"{name}@{version}" for name, version in versions.items()] == [*PACKAGES]
    assert f"openapi-typescript {versions['openapi-typescript']}" in PAGE


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clients and the definitions, in a directory with their tools installed."""
    directory = installed(SOURCES, tmp_path_factory.mktemp("typescript") / "client")
    shutil.copy(DEFINITIONS, directory)
    written = re.findall(r"^```ts\n// (\w+\.ts)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in written] == ["problems.ts", "connect.ts"]
    for name, text in written:
        (directory / name).write_text(text, encoding="utf-8")
    return directory


@pytest.mark.node
def test_committed_typescript_definitions_are_current() -> None:
    assert GENERATORS["typescript"].stale(ROOT) == []


def compile_errors(project: Path, file: str, *more: str) -> str:
    """Return the compiler's errors about one file and its imports, or an empty text."""
    settings = json.loads((SOURCES / "tsconfig.json").read_text(encoding="utf-8"))
    own = project / "tsconfig.own.json"
    own.write_text(json.dumps({**settings, "files": [file]}), encoding="utf-8")
    done = run(project, "npx", "--no-install", "tsc", "--project", own.name, *more)
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


@pytest.mark.node
def test_typescript_client_handling_every_problem_code_compiles(project: Path) -> None:
    assert compile_errors(project, "client.ts") == ""


@pytest.mark.node
def test_typescript_client_missing_a_problem_code_fails_compile(project: Path) -> None:
    said = compile_errors(project, "forgets.ts")
    assert said.startswith("forgets.ts(")
    assert said.count("error TS") == 1
    assert "CONNECTION_SUPERSEDED" in said
    assert "'never'" in said


@pytest.mark.node
def test_typescript_client_with_wrong_problem_code_fails_compile(project: Path) -> None:
    # If `code` were a plain string, a switch could name a code that no operation returns.
    text = (project / "client.ts").read_text(encoding="utf-8")
    wrong = text.replace('case "NOT_FOUND":', 'case "NOT_FOUNT":', 1)
    assert wrong != text
    (project / "mistyped.ts").write_text(wrong, encoding="utf-8")
    assert "NOT_FOUNT" in compile_errors(project, "mistyped.ts")


@pytest.mark.node
def test_typescript_docs_client_compiles_and_connects_a_user(project: Path, tmp_path: Path) -> None:
    assert compile_errors(project, "connect.ts", "--noEmit", "false", "--outDir", "out") == ""
    (project / "out" / "run.js").write_text(RUN, encoding="utf-8")
    with started("fastapi_app", tmp_path) as (_, create, _):
        (base,) = re.findall(r"(http://\S+?)/api/", create)
        (key,) = re.findall(r"Bearer (\S+?)'", create)
        done = run(project, "node", "out/run.js", base, key)
    url, refused = done.stdout.splitlines()
    assert url.startswith(f"{base}/")
    assert refused == "UNAUTHENTICATED: A valid API key is needed: Bearer <key>."


@pytest.mark.node
def test_typescript_client_sending_unknown_member_fails_compile(project: Path) -> None:
    text = (project / "connect.ts").read_text(encoding="utf-8")
    wrong = f'{text}\nconnect("", "", {{ appUserId: "user-1", dataPackage: ["labs"] }});\n'
    (project / "misspelt.ts").write_text(wrong, encoding="utf-8")
    assert "'dataPackage'" in compile_errors(project, "misspelt.ts")
