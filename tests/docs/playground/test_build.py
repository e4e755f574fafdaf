"""Tests of the build of the playground: its page, its pinned files and its limits."""

from __future__ import annotations

import hashlib
import html
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from curae_lifecycle.replay.log import replay
from tests.support.paths import ROOT

HERE: Final = ROOT / "docs" / "playground"
PAGE: Final = (ROOT / "docs" / "playground.md").read_text(encoding="utf-8")
EXAMPLE: Final = (HERE / "example.jsonl").read_bytes()


def builder() -> ModuleType:
    """Load the script that builds the playground into a site."""
    spec = importlib.util.spec_from_file_location("playground_build", HERE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD: Final = builder()


def test_playground_docs_page_has_one_placeholder_for_the_build() -> None:
    places = BUILD._PLACE.findall(PAGE)
    assert len(places) == 1
    assert "not built" in places[0]
    built = PAGE.replace(places[0], BUILD.fragment(1, 1))
    assert BUILD._PLACE.findall(built) == [BUILD.fragment(1, 1)]


def test_built_playground_shows_its_size_and_the_example_log() -> None:
    made = BUILD.fragment(13_955_925, 6_833_572)
    assert "Load 14.0 MB and answer" in made
    assert "6.8 MB where the server compresses" in made
    assert "[[" not in made
    log = re.search(r"<textarea[^>]*>(.*?)</textarea>", made, re.DOTALL)
    assert log is not None
    assert html.unescape(log[1]) + "\n" == EXAMPLE.decode()


def test_playground_example_log_has_every_kind_of_line() -> None:
    answers = [line.answer for line in replay(EXAMPLE.splitlines(keepends=True))]
    assert [line["line"] for line in answers if "error" in line] == []
    assert [line["granted"] for line in answers if "granted" in line] == [True, False]
    replayed = [line["line"] for line in answers if line.get("replayed") is True]
    refused = [line["line"] for line in answers if line.get("status") == 409]
    assert (replayed, refused) == ([3], [6, 11])
    assert [line["outcome"] for line in answers if "outcome" in line] == ["done"] * 3


PRESETS: Final = {
    "expiry": ["done", 201, "done", True, False, 200, "done"],
    "limit": ["done", *[201] * 10, 429, 201],
    "reconnect-chain": [
        *("done", 201, "done", 201, "done", 409, 201, "done"),
        *(False, True, 200, True),
    ],
    "revoke": ["done", 201, "done", True, 200, False, 200, 200, "ignored"],
    "tombstone": ["done", 201, 201, "done", True, "done", "ignored", False, 200, 201],
}
"""The answer to each line of a preset: an outcome, a status, or whether access is granted."""


@pytest.mark.parametrize("name", PRESETS)
def test_playground_preset_runs_without_a_broken_line(name: str) -> None:
    log = (HERE / "presets" / f"{name}.jsonl").read_bytes()
    answers = [line.answer for line in replay(log.splitlines(keepends=True))]
    told = [
        next(line[key] for key in ("error", "outcome", "status", "granted") if key in line)
        for line in answers
    ]
    assert told == PRESETS[name]


def test_playground_offers_the_example_and_every_preset() -> None:
    assert {path.stem for path in (HERE / "presets").iterdir()} == set(PRESETS)
    made = BUILD.fragment(1, 1)
    script = re.search(r'id="playground-presets">(.*?)</script>', made, re.DOTALL)
    assert script is not None
    logs = json.loads(script[1])
    assert logs.pop("a first example") == EXAMPLE.decode()
    assert list(logs) == [name.replace("-", " ") for name in PRESETS]
    assert re.findall("<option>(.*?)</option>", made) == ["a first example", *logs]


def test_playground_page_states_limits_of_log_link_and_time() -> None:
    script = (HERE / "page.js").read_text(encoding="utf-8")
    found = dict(re.findall(r"const (\w+) = ([\d_]+);", script))
    bounds = {name: f"{int(value):,}" for name, value in found.items()}
    assert bounds.keys() == {"LOG_BYTES", "LOG_LINES", "LINK_CHARACTERS", "SECONDS"}
    assert f"at most {bounds['LOG_BYTES']} bytes and {bounds['LOG_LINES']} lines" in PAGE
    assert f"at most {bounds['LINK_CHARACTERS']} characters" in " ".join(PAGE.split())
    assert f"longer than {bounds['SECONDS']} seconds" in PAGE


def test_playground_build_stops_if_a_pinned_digest_differs() -> None:
    digest = hashlib.sha256(b"attrs").hexdigest()
    BUILD.hold("attrs", digest, digest)
    with pytest.raises(SystemExit, match="attrs is not what was pinned"):
        BUILD.hold("attrs", digest, BUILD.ATTRS_SHA256)


def test_playground_build_stops_if_the_page_has_no_placeholder(tmp_path: Path) -> None:
    (tmp_path / "playground.html").write_text("<p>another page</p>")
    with pytest.raises(SystemExit, match="has no place for the playground"):
        BUILD.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["playground.html"]
