"""Tests of the playground's page without Python: its presets, and the form that adds a line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from curae_lifecycle.replay.log import replay
from tests.docs.browser import chromium
from tests.docs.playground.test_build import BUILD, EXAMPLE, HERE, PRESETS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    site = tmp_path_factory.mktemp("site")
    (site / "playground").mkdir()
    for name in ("page.js", "page.css"):
        shutil.copyfile(HERE / name, site / "playground" / name)
    html = f'<!doctype html><html lang="en"><title>Playground</title>{BUILD.fragment(1, 1)}</html>'
    (site / "playground.html").write_text(html, encoding="utf-8")
    with chromium(Path(tmp_path_factory.mktemp("browser"))) as opened:
        opened.get((site / "playground.html").as_uri())
        yield opened


def part(browser: webdriver.Chrome, name: str) -> Select:
    return Select(browser.find_element(By.ID, f"playground-{name}"))


def log(browser: webdriver.Chrome) -> str:
    return str(browser.find_element(By.ID, "playground-log").get_property("value"))


def test_playground_preset_replaces_the_log(browser: webdriver.Chrome) -> None:
    for name in PRESETS:
        part(browser, "preset").select_by_visible_text(name.replace("-", " "))
        assert log(browser) + "\n" == (HERE / f"presets/{name}.jsonl").read_text(encoding="utf-8")
    part(browser, "preset").select_by_index(0)
    assert log(browser) + "\n" == EXAMPLE.decode()


def test_playground_form_adds_lines_that_the_replay_accepts(browser: webdriver.Chrome) -> None:
    script = "document.getElementById('playground-log').value = arguments[0]"
    browser.execute_script(script, EXAMPLE.decode().splitlines()[0])
    kinds = [option.text for option in part(browser, "kind").options]
    for kind in kinds:
        part(browser, "kind").select_by_visible_text(kind)
        browser.find_element(By.ID, "playground-append").click()
    lines = [line.answer for line in replay(log(browser).encode().splitlines(keepends=True))]
    told = [
        next(line[key] for key in ("error", "outcome", "status", "granted") if key in line)
        for line in lines
    ]
    # The app reconnects too early, and each later fact finds the connection revoked.
    assert told == ["done", 201, "done", True, 409, 200, "ignored", "ignored", "done"]


def test_playground_form_without_an_api_key_adds_nothing(browser: webdriver.Chrome) -> None:
    script = "document.getElementById('playground-log').value = arguments[0]"
    browser.execute_script(script, "no JSON")
    browser.find_element(By.ID, "playground-append").click()
    assert log(browser) == "no JSON"
    assert "needs a line" in browser.find_element(By.ID, "playground-said").text
