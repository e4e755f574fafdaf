"""Tests of the built site in a browser: accessible pages that fit the screen."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.support.ui import WebDriverWait

from docs.mending import mended
from tests.docs.browser import chromium
from tests.docs.node import PATIENCE, installed
from tests.docs.site.weights import weigh
from tests.support.paths import ROOT

MODES: Final = {
    "phone, dark": (390, "dark"),
    "desktop, light": (1280, "light"),
}
"""The modes in which every page is measured, by width and colours. The layout depends on the width alone."""

FIRST: Final = "phone, dark"
"""The mode in which axe checks every page; it checks `SAMPLE` in each mode."""

SAMPLE: Final = (
    *("index", "explorer", "questions", "howto", "search", "tables/README", "tables/connection"),
    *("problems/README", "problems/rate-limited", "reference/servers"),
)
"""One page of each kind: text, code, long tables, the generated reference, the explorer."""

SETTLED: Final = """
const [width, done] = arguments;
// What listens to a new width hears of it before the next frame but one.
function frame(left) {
  if (left === 0) done();
  else requestAnimationFrame(() => frame(innerWidth === width ? left - 1 : 3));
}
frame(3);
"""
LARGE: Final = 200_000
"""How many bytes of HTML make a page large: the reference of a room, which has the colours of `SAMPLE`'s."""

SHARED: Final = (".sidebar-drawer",)
"""The links to all pages, which are the same on each; they are checked on those of `SAMPLE`."""

JUDGE: Final = """
const [contrast, exclude, done] = arguments;
const rules = { "color-contrast": { enabled: contrast } };
const what = { include: [["html"]], exclude };
axe.run(what, { resultTypes: ["violations"], preload: false, rules }).then((found) => done(
  found.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}`)),
));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that `CURAE_SITE` names, or one built here."""
    built = os.environ.get("CURAE_SITE")
    if built is not None:
        return Path(built)
    assert importlib.util.find_spec("sphinx"), "the dependency group `docs` is not installed"
    out = tmp_path_factory.mktemp("site")
    command = ["-q", "-W", "--keep-going", "-d", str(out / "doctrees"), "-b", "html", "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *command, str(out / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser that loads axe-core into every page."""
    folder = installed(ROOT / "tests/docs/site/axe", tmp_path_factory.mktemp("axe") / "axe")
    axe = (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
    with chromium(folder / "profile", "--hide-scrollbars") as opened:
        # The largest pages take long on a busy machine, and a pooled connection keeps its old
        # timeout.
        executor = opened.command_executor
        assert isinstance(executor, RemoteConnection)
        executor.client_config.timeout = PATIENCE
        executor.client_config.keep_alive = False
        opened.set_script_timeout(PATIENCE)
        opened.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": axe})
        yield opened


def look(
    browser: webdriver.Chrome,
    page: Path,
    *,
    modes: Iterable[str],
    judged: Container[str],
    contrast: bool = True,
    exclude: Sequence[str] = (),
) -> list[str]:
    """Return the faults of a page: those that axe finds, and modes in which it is too wide.

    Args:
        exclude: The CSS selectors of the parts that axe skips.
    """
    browser.get(page.as_uri())
    faults: list[str] = []
    for mode in modes:
        width, scheme = MODES[mode]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        colours = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": colours})
        browser.execute_async_script(SETTLED, width)
        found: list[str] = []
        if mode in judged:
            found += browser.execute_async_script(JUDGE, contrast, [[each] for each in exclude])
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"is {wide} wide")
        faults += [f"{page.stem}, {mode}: {fault}" for fault in found]
    return faults


@pytest.mark.browser
@pytest.mark.node
def test_docs_pages_pass_axe_and_fit_the_screen(site: Path, browser: webdriver.Chrome) -> None:
    pages = {
        page.relative_to(site).with_suffix("").as_posix(): page for page in site.rglob("*.html")
    }
    assert set(SAMPLE) <= set(pages)
    faults: list[str] = []
    for name, page in pages.items():
        if name in SAMPLE:
            faults += look(browser, page, modes=MODES, judged=MODES)
        else:
            # Of a large page, contrast alone takes many seconds.
            contrast = page.stat().st_size < LARGE
            faults += look(
                browser, page, modes=MODES, judged=[FIRST], contrast=contrast, exclude=SHARED
            )
    assert not faults, "\n".join(faults)


@pytest.mark.browser
@pytest.mark.node
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="data:image/png;base64,AA==">', "image-alt: "),
        ('<p style="color: #999; background: #fff">pale', "color-contrast: "),
        ("<h3>too deep</h3>", "heading-order: "),
        ("<table><tr><th></th><td>1</td></tr></table>", "empty-table-header: "),
        ('<p style="width: 2000px">wide</p>', "is 20"),
    ],
)
def test_accessibility_check_reports_an_inaccessible_docs_page(
    browser: webdriver.Chrome, tmp_path: Path, body: str, fault: str
) -> None:
    page = tmp_path / "page.html"
    html = '<!doctype html><html lang="en"><title>t</title><main><h1>t</h1>'
    page.write_text(f"{html}{body}</main></html>", encoding="utf-8")
    (found, *_) = look(browser, page, modes=[FIRST], judged=[FIRST])
    assert found.startswith(f"page, phone, dark: {fault}")


@pytest.mark.browser
@pytest.mark.node
def test_explorer_without_scripts_shows_only_a_link_to_tables(
    site: Path, browser: webdriver.Chrome
) -> None:
    browser.get((site / "explorer.html").as_uri())
    assert browser.find_elements(By.CSS_SELECTOR, "#explorer-page .answers li")
    links = browser.find_elements(By.CSS_SELECTOR, "#explorer-page tbody a")
    for link in links:
        path, _, anchor = str(link.get_dom_attribute("href")).partition("#")
        assert f'id="{anchor}"' in (site / path).read_text(encoding="utf-8")
    assert len(links) > 100
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((site / "explorer.html").as_uri())
        assert not browser.find_elements(By.CSS_SELECTOR, "#explorer-page *")
        (link, *_) = browser.find_elements(By.LINK_TEXT, "The tables")
        assert link.is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


SOUGHT: Final = {
    "who may revoke": "questions.html#who-may-revoke",
    "PHI": "privacy.html",
    "HIPAA": "privacy.html",
    "GDPR": "privacy.html",
    "backup": "operating.html",
    "django": "frameworks.html#django",
    "tombstone": "rules.html#tombstone",
}
"""Searches of readers, each with the page that comes first."""


@pytest.mark.browser
def test_site_search_shows_the_right_page_first(site: Path, tmp_path: Path) -> None:
    found: dict[str, str] = {}
    first = (By.CSS_SELECTOR, "#search-results li a")
    with chromium(tmp_path) as browser:
        for words in SOUGHT:
            browser.get("about:blank")
            browser.get(f"{(site / 'search.html').as_uri()}?q={quote(words)}")
            WebDriverWait(browser, PATIENCE).until(lambda _: browser.find_elements(*first))
            link = str(browser.find_element(*first).get_property("href"))
            found[words] = link.removeprefix(f"{site.as_uri()}/")
    assert found == SOUGHT


def shown(browser: webdriver.Chrome) -> list[str]:
    """Return the names of the alternatives that the page shows."""
    panels = browser.find_elements(By.CSS_SELECTOR, "[role=tabpanel]")
    return [str(panel.get_dom_attribute("id")) for panel in panels if panel.is_displayed()]


@pytest.mark.browser
def test_click_arrow_key_or_link_selects_the_visible_docs_tab(site: Path, tmp_path: Path) -> None:
    page = (site / "frameworks.html").as_uri()
    with chromium(tmp_path, "--window-size=1280,900") as browser:
        browser.get(page)
        tabs = browser.find_elements(By.CSS_SELECTOR, "[role=tablist] [role=tab]")
        names = [tab.text for tab in tabs]
        assert (len(names), names[0], shown(browser)) == (8, "FastAPI", ["fastapi"])
        # The theme scrolls smoothly, and a click would meet the tab on its way.
        browser.execute_script(
            "arguments[0].scrollIntoView({ behavior: 'instant', block: 'center' })", tabs[1]
        )
        tabs[1].click()
        assert shown(browser) == ["starlette"]
        for key, name in (
            (Keys.ARROW_LEFT, "fastapi"),
            (Keys.ARROW_LEFT, "django"),
            (Keys.ARROW_RIGHT, "fastapi"),
            (Keys.ARROW_RIGHT, "starlette"),
        ):
            browser.switch_to.active_element.send_keys(key)
            assert shown(browser) == [name]
        assert [tab.get_dom_attribute("aria-selected") for tab in tabs].count("true") == 1
        assert browser.switch_to.active_element == tabs[1]
        browser.execute_script("location.hash = 'flask'")
        WebDriverWait(browser, PATIENCE).until(lambda _: shown(browser) == ["flask"])
        browser.get("about:blank")
        browser.get(f"{page}#django")
        assert shown(browser) == ["django"]


@pytest.mark.browser
def test_docs_tabs_show_all_panels_if_no_script_runs(site: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.get((site / "databases.html").as_uri())
        for name in ("blocking", "async"):
            assert browser.find_element(By.ID, name).is_displayed()
        assert not browser.find_element(By.CSS_SELECTOR, "div.tabs").is_displayed()


@pytest.mark.browser
def test_docs_page_weight_lists_bytes_of_page_and_loaded_files(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_bytes(b"p { color: red }")
    (tmp_path / "a.js").write_bytes(b"1;")
    page = '<!doctype html><link rel="stylesheet" href="a.css?v=1"><script src="a.js"></script>'
    (tmp_path / "a.html").write_text(page)
    (weight,) = weigh(tmp_path)
    assert weight[:3] == ("a.html", len(page), 18)
    assert weight.took > 0


def test_fixing_docs_page_html_twice_equals_fixing_it_once() -> None:
    page = (
        '<aside class="sidebar-drawer"><aside class="toc-drawer"><p class="caption" role="heading">'
    )
    heading = '<h2>HANDOFF_LAPSED and testing.store_invariants, twice._<a href="#handoff_lapsed">#</a></h2>'
    once = mended(page + '<div id="search-results"></div>' + heading)
    assert mended(once) == once
    assert once.endswith(
        "<h2>HANDOFF_<wbr>LAPSED and testing.<wbr>store_<wbr>invariants, twice._"
        '<a href="#handoff_lapsed">#</a></h2>'
    )
    assert once.count("aria-label=") == 2
    assert 'role="heading" aria-level="2">' in once
    assert "<h1>Search</h1>" in once
