"""Tests that AsyncAPI's own parser accepts the document of the events."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.docs.node import installed, run
from tests.support.paths import ROOT

SOURCES: Final = Path(__file__).parent
DOCUMENT: Final = (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8")

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(SOURCES, tmp_path_factory.mktemp("asyncapi") / "events")


def faults(project: Path, document: str) -> tuple[int, str]:
    """Return whether the parser accepts a document, and its faults."""
    (project / "asyncapi.json").write_text(document, encoding="utf-8")
    done = run(project, "node", "validate.js", "asyncapi.json")
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_generated_asyncapi_document_is_valid(project: Path) -> None:
    assert faults(project, DOCUMENT) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ('"action": "send"', '"action": "shout"', "operations.publish.action: "),
        ('"$ref": "#/channels/events"', '"$ref": "#/channels/none"', "operations.publish.channel"),
        (
            '"$ref": "#/components/messages/connection.created"',
            '"$ref": "#/components/messages/connection.invented"',
            "channels.events.messages.connection.created",
        ),
        ('"type": "object"', '"type": "objekt"', "components.messages.connection.created.payload"),
        ('"title": ', '"titel": ', "info"),
    ],
)
def test_invalid_asyncapi_document_is_rejected(
    project: Path, right: str, wrong: str, says: str
) -> None:
    assert right in DOCUMENT
    status, said = faults(project, DOCUMENT.replace(right, wrong, 1))
    assert status == 1
    assert says in said
