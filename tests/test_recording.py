"""The recording of the tour shows what a run prints, and does not move for who wants no motion."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from curae_lifecycle.cli.main import main as tour
from tests.recording import frames, recording
from tests.recording import main as write

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_recording_shows_what_the_tour_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert write([str(DOCS / "tour.svg"), "--check"]) == 0
    assert tour(["tour"]) == 0
    words = capsys.readouterr().out.rpartition("Each rule is")[0].split()
    assert " ".join(text for frame in frames() for text, _ in frame).split() == words
    drawn = ET.fromstring(recording())  # noqa: S314 - it is our own
    shown = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert shown[1:] == [text for frame in frames() for text, _ in frame if text]


def test_the_recording_stands_still_for_who_wants_no_motion_and_loads_nothing() -> None:
    picture = recording()
    before, _, moving = picture.partition("@media (prefers-reduced-motion: no-preference)")
    assert "animation" not in before
    assert "animation:" in moving
    assert picture.count(' still"') == picture.count(' last"') == 1
    assert "href" not in picture
    assert "url(" not in picture
    assert "<script" not in picture


def test_a_stale_recording_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tour.svg"
    assert write([str(file), "--check"]) == 1
    assert capsys.readouterr().err == "stale, write again: tour.svg\n"
    assert write([str(file)]) == 0
    assert write([str(file), "--check"]) == 0
    file.write_text(file.read_text().replace("201", "200", 1))
    assert write([str(file), "--check"]) == 1
