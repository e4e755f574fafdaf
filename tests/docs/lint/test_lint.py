"""Tests that Redocly and Spectral find nothing in the documents of the API and its events."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs
import pytest

from curae_lifecycle.service.json_schema import Json
from tests.docs.blocks import files_on
from tests.docs.node import installed, run
from tests.support.paths import ROOT

SOURCES: Final = Path(__file__).parent
DOCUMENTS: Final = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("openapi.json", "asyncapi.json")
}
CONFIGS: Final = files_on(ROOT / "docs" / "conformance.md", "yaml")


def test_each_lint_rule_turned_off_has_a_reason() -> None:
    assert CONFIGS.keys() == {"redocly.yaml", ".spectral.yaml"}
    off = {
        line.strip()
        for text in CONFIGS.values()
        for before, line in pairwise(text.splitlines())
        if line.endswith(": off")
        and (before.startswith("  # ") or (before.endswith(": off") and "contact" in line))
    }
    assert off == {
        "security-defined: off",
        "info-contact: off",
        "asyncapi-info-contact: off",
        "asyncapi-servers: off",
    }
    assert sum(text.count(": off") for text in CONFIGS.values()) == len(off)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The linters, installed beside the configuration of the page."""
    directory = installed(SOURCES, tmp_path_factory.mktemp("lint") / "documents")
    for name, text in CONFIGS.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def redocly(project: Path, name: str, text: str) -> set[str]:
    """Return the rules of Redocly that a document breaks, as errors or warnings."""
    (project / name).write_text(text, encoding="utf-8")
    quiet = ("REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
    command = ("npx", "--no-install", "redocly", "lint", name, "--format=json")
    done = run(project, "env", *quiet, *command)
    report = json.loads(done.stdout)
    rules = {each["ruleId"] for each in report["problems"]}
    assert report["totals"]["ignored"] == 0
    assert (done.returncode == 0) == (report["totals"]["errors"] == 0), done.stderr
    return rules


def spectral(project: Path, name: str, text: str) -> set[str]:
    """Return the rules of Spectral that a document breaks, as errors or warnings."""
    (project / name).write_text(text, encoding="utf-8")
    command = ("npx", "--no-install", "spectral", "lint", name, "--format=json", "--quiet")
    done = run(project, *command, "--fail-severity=warn")
    report: list[dict[str, Json]] = json.loads(done.stdout)
    rules = {str(each["code"]) for each in report if each["severity"] in {0, 1}}
    assert (done.returncode == 0) == (not rules), done.stderr
    return rules


@pytest.mark.node
@pytest.mark.parametrize("name", DOCUMENTS)
def test_redocly_accepts_the_openapi_and_asyncapi_documents(project: Path, name: str) -> None:
    assert redocly(project, name, DOCUMENTS[name]) == set()


@pytest.mark.node
@pytest.mark.parametrize("name", DOCUMENTS)
def test_spectral_accepts_the_openapi_and_asyncapi_documents(project: Path, name: str) -> None:
    assert spectral(project, name, DOCUMENTS[name]) == set()


@attrs.frozen(kw_only=True)
class Mistake:
    """A mistake in a document, and the rule of each linter that finds it."""

    document: str
    right: str
    wrong: str
    redocly: str
    spectral: str | None


MISTAKES: Final = {
    "duplicate operationId": Mistake(
        document="openapi.json",
        right='"operationId": "revoke",\n        "summary"',
        wrong='"operationId": "reconnect",\n        "summary"',
        redocly="operation-operationId-unique",
        spectral="operation-operationId-unique",
    ),
    "no security": Mistake(
        document="openapi.json",
        right='\n  "security": [',
        wrong='\n  "x-security": [',
        redocly="security-defined",
        spectral=None,
    ),
    "no servers": Mistake(
        document="openapi.json",
        right='"servers": [',
        wrong='"x-servers": [',
        redocly="no-empty-servers",
        spectral="oas3-api-servers",
    ),
    "unknown word in an example": Mistake(
        document="openapi.json",
        right='"status": "PENDING"',
        wrong='"status": "WAITING"',
        redocly="no-invalid-media-type-examples",
        spectral="oas3-valid-media-example",
    ),
    "unknown action": Mistake(
        document="asyncapi.json",
        right='"action": "send"',
        wrong='"action": "shout"',
        redocly="struct",
        spectral="asyncapi-3-document-resolved",
    ),
}


@pytest.mark.node
@pytest.mark.parametrize("name", MISTAKES)
def test_linters_find_a_planted_mistake_in_a_document(project: Path, name: str) -> None:
    planted = MISTAKES[name]
    text = DOCUMENTS[planted.document]
    assert text.count(planted.right) >= 1
    mistaken = text.replace(planted.right, planted.wrong, 1)
    assert planted.redocly in redocly(project, planted.document, mistaken)
    if planted.spectral is not None:
        assert planted.spectral in spectral(project, planted.document, mistaken)
