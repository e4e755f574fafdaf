"""Tests of the picture of the tour: its words and its animation."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from curae_lifecycle.cli.main import main as tour
from docs.generate.tour import frames, to_svg


def test_tour_picture_has_the_words_that_the_tour_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tour(["tour"]) == 0
    words = capsys.readouterr().out.rpartition("Each rule is")[0].split()
    assert " ".join(text for frame in frames() for text, _ in frame).split() == words
    drawn = ET.fromstring(to_svg())  # noqa: S314 - it is our own
    shown = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert shown[1:] == [text for frame in frames() for text, _ in frame if text]


def test_reduced_motion_setting_stops_the_tour_animation() -> None:
    picture = to_svg()
    before, _, moving = picture.partition("@media (prefers-reduced-motion: no-preference)")
    assert "animation" not in before
    assert "animation:" in moving
    assert picture.count(' still"') == picture.count(' last"') == 1
    assert "href" not in picture
    assert "url(" not in picture
    assert "<script" not in picture
