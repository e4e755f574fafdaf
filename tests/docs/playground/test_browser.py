"""Tests of the playground in a browser: it answers like the command and can be shared."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from curae_lifecycle.service.json_schema import Json
from tests.docs.browser import chromium
from tests.docs.playground.test_build import BUILD, EXAMPLE, PAGE
from tests.support.logs import (
    BUCKET,
    K1,
    REST,
    STORY,
    created,
    got,
    initiated,
    is_broken,
    recorded,
    registered,
    written,
)
from tests.support.paths import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.node]

DOCS: Final = ROOT / "docs"
PATIENCE: Final = 120
"""Seconds after which Python in the browser counts as dead."""

TEXT: Final = '<img src=x onerror="document.title=1"></textarea>&amp;{c1.connection.id}'
"""Text that would show or run if a page inserted it as HTML."""

LOGS: Final[dict[str, list[bytes]]] = {
    "the example": EXAMPLE.splitlines(),
    "a story": [*STORY, *REST],
    "lines that are broken, and what stands between them": [
        b"",
        K1,
        b"not JSON",
        b"[" * 300 + b"]" * 300,
        b"[" * 256 + b"]" * 256,
        b'{"at": "2026-01-05T09:00:00Z", "at": 1}',
        b'{"at": "2026-01-05T09:00:00Z", "ask": {"type": "access"}}',
        created(1, user="Zoë 🂡 \u2028"),
        written(2, buckets=[BUCKET]),
        created(3, None, key="first"),
        created(3, None, key="second"),
        created(0, None),
        b'{"at": "2026-01-05T09:09:00Z", "fact": {"type": "\\ud800"}}',
        # The last line has no line end.
        b"  ",
    ],
    "names that a page could take for its own": [
        K1,
        created(1, TEXT, user=TEXT, key="create"),
        got(2, TEXT),
        initiated(3, TEXT, key="initiate"),
        b"x" * 5_000,
    ],
    "keys of two apps": [K1, registered("cae_test_k2", environment="test"), *REST],
}
RECORDED: Final = [
    K1,
    created(1, response=recorded(7)),
    got(2, response={"status": 404, "body": {"code": TEXT}}),
    created(3, None, key="other", response={"status": 201, "body": {TEXT: 1}}),
]


@attrs.frozen
class Served:
    """A site with a playground, and the paths that a browser requested, in order."""

    site: Path
    url: str
    size: int
    asked: list[str] = attrs.field(factory=list)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    site = tmp_path_factory.mktemp("site")
    place = BUILD._PLACE.search(PAGE)
    assert place is not None
    html = f'<!doctype html><html lang="en"><title>Playground</title><main>{place[0]}</main></html>'
    (site / "playground.html").write_text(html, encoding="utf-8")
    size, packed = BUILD.build(site)
    assert packed < size
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            del code, size
            asked.append(urlsplit(self.path).path)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        yield Served(site=site, url=url, size=size, asked=asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("browser"), "--window-size=500,900") as opened:
        opened.get(f"{served.url}playground.html")
        yield opened


def part(browser: webdriver.Chrome, name: str, said: str = "textContent") -> str:
    """Return a property of one part of the page."""
    script = f"return document.getElementById('playground-{name}').{said}"
    return str(browser.execute_script(script))


def paste(browser: webdriver.Chrome, log: str, *, check: bool = False) -> None:
    script = """
        document.getElementById("playground-log").value = arguments[0];
        document.getElementById("playground-check").checked = arguments[1];
    """
    browser.execute_script(script, log, check)


def press(browser: webdriver.Chrome, name: str) -> None:
    browser.find_element(By.ID, f"playground-{name}").click()


def said(browser: webdriver.Chrome, expected: str) -> str:
    """Wait for an expected status or an end, and return the status line."""
    ends = re.compile(rf"{expected}|failed|could not|Stopped")
    wait = WebDriverWait(browser, PATIENCE)
    wait.until(lambda _: ends.search(part(browser, "said")))
    return part(browser, "said")


def answer(browser: webdriver.Chrome, log: str, *, check: bool = False) -> list[dict[str, Json]]:
    """Enter a log and return the answers that the page shows."""
    paste(browser, log, check=check)
    press(browser, "answer")
    assert "Lines answered" in said(browser, "Lines answered")
    lines, _, _ = part(browser, "printed").partition("\n\n")
    return [json.loads(line) for line in lines.splitlines()]


def printed(log: bytes, tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the replay command on a log."""
    (tmp_path / "log.jsonl").write_bytes(log)
    command = [sys.executable, "-m", "curae_lifecycle", "replay", str(tmp_path / "log.jsonl")]
    return subprocess.run([*command, *more], capture_output=True, check=False, text=True)


def test_playground_loads_on_demand_with_the_stated_size(
    browser: webdriver.Chrome, served: Served
) -> None:
    # The browser may request an icon, which a real site has.
    eager = {path for path in served.asked if path != "/favicon.ico"}
    assert eager == {"/playground.html", "/playground/page.css", "/playground/page.js"}
    assert part(browser, "answer") == f"Load {served.size / 1e6:.1f} MB and answer"
    del served.asked[:]
    # Using only the keyboard.
    browser.find_element(By.ID, "playground-log").click()
    ActionChains(browser).send_keys(Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    assert "Lines answered: 11; broken: 0; exit status 0" in said(browser, "Lines answered")
    assert part(browser, "answer") == "Answer"
    loaded = [path for path in served.asked if path != "/favicon.ico"]
    assert len(loaded) == len(set(loaded))
    files = [served.site / path.lstrip("/") for path in loaded]
    assert sum(file.stat().st_size for file in files) == served.size


@pytest.mark.parametrize("name", LOGS)
def test_playground_answers_as_the_replay_command(
    browser: webdriver.Chrome, tmp_path: Path, name: str
) -> None:
    log = b"\n".join(LOGS[name])
    answer(browser, log.decode())
    done = printed(log, tmp_path)
    assert part(browser, "printed").splitlines() == done.stdout.splitlines()
    assert f"exit status {done.returncode};" in part(browser, "said")
    assert browser.title == "Playground"
    assert browser.find_elements(By.CSS_SELECTOR, "#playground img") == []


def test_playground_check_shows_the_output_of_replay_check(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    log = b"\n".join(RECORDED)
    answer(browser, log.decode(), check=True)
    done = printed(log, tmp_path, "--check")
    assert done.stderr
    assert part(browser, "printed") == f"{done.stdout.rstrip()}\n\n{done.stderr}"
    diverging = sum("divergences" in line for line in done.stdout.splitlines())
    assert f"diverging: {diverging}; exit status 1" in part(browser, "said")
    assert part(browser, "rows").count("diverges at") == len(done.stderr.splitlines())


def test_playground_shows_each_log_line_with_links_to_its_rules(
    browser: webdriver.Chrome,
) -> None:
    lines = LOGS["the example"] + LOGS["a story"][3:]
    answers = answer(browser, b"\n".join(lines).decode())
    rows = browser.find_elements(By.CSS_SELECTOR, "#playground-rows tr")
    assert len(rows) == len(answers) == len(lines)
    for row, line in zip(rows, answers, strict=True):
        assert row.find_element(By.TAG_NAME, "th").text == str(line["line"])
        told, rules = row.find_elements(By.TAG_NAME, "td")
        named = rules.find_elements(By.TAG_NAME, "a")
        assert [each.text for each in named] == line.get("rules", [])
        for each in named:
            page, _, anchor = str(each.get_dom_attribute("href")).partition("#")
            assert anchor == each.text
            assert f'<a id="{anchor}"></a>' in described(page)
        problems = told.find_elements(By.CSS_SELECTOR, "a")
        for each in problems:
            assert f"# {each.text}\n" in described(str(each.get_dom_attribute("href")))
        refused = isinstance(line.get("status"), int) and int(str(line["status"])) >= 400
        assert len(problems) == (refused or line.get("code") is not None)
        assert (f"broken: {line.get('error')}" in told.text) == is_broken(line)
    rows[5].find_element(By.TAG_NAME, "button").click()
    script = """
        const log = document.getElementById("playground-log");
        return log.value.slice(log.selectionStart, log.selectionEnd);
    """
    assert browser.execute_script(script) == lines[5].decode()


def described(page: str) -> str:
    return (DOCS / page).with_suffix(".md").read_text(encoding="utf-8")


def test_playground_loads_nothing_from_another_host(
    browser: webdriver.Chrome, served: Served
) -> None:
    answer(browser, EXAMPLE.decode())
    items = browser.find_elements(By.CSS_SELECTOR, "#playground-loaded li")
    told = [str(item.get_property("textContent")) for item in items]
    loaded = [name for each in told for name in re.findall(r"^(\S+): \d+ bytes$", each)]
    assert len(loaded) == len(told) - 1
    assert any(each.endswith("pyodide.asm.wasm") for each in loaded)
    script = "return performance.getEntriesByType('resource').map((each) => each.name)"
    for each in [*loaded, *browser.execute_script(script)]:
        assert each.startswith(served.url)


def test_shared_playground_link_restores_its_log(browser: webdriver.Chrome, served: Served) -> None:
    log = b"\n".join(LOGS["lines that are broken, and what stands between them"]).decode()
    paste(browser, log, check=True)
    press(browser, "share")
    assert "has the log, its API keys included" in said(browser, "The link has")
    url = part(browser, "url", "value")
    assert url.startswith(f"{served.url}playground.html#log=")
    del served.asked[:]
    browser.get("about:blank")
    browser.get(url)
    assert said(browser, "of the link") == "The log is the one of the link."
    assert part(browser, "log", "value") == log
    assert part(browser, "check", "checked") == "True"
    assert not any("pyodide" in path for path in served.asked)


def test_playground_link_without_a_valid_log_changes_nothing(
    browser: webdriver.Chrome, served: Served
) -> None:
    bomb = zlib.compressobj(wbits=-15)
    packed = bomb.compress(b" " * 1_048_577) + bomb.flush()
    text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    for fragment in ("AAAA", "a", text):
        browser.get("about:blank")
        browser.get(f"{served.url}playground.html#log={fragment}")
        assert "holds no log" in said(browser, "holds no log")
        assert part(browser, "log", "value") + "\n" == EXAMPLE.decode()


def test_playground_refuses_a_log_or_link_over_its_size_limit(
    browser: webdriver.Chrome, served: Served
) -> None:
    browser.get(f"{served.url}playground.html")
    paste(browser, "é" * 524_288 + "x")
    press(browser, "answer")
    assert said(browser, "bytes").startswith("The log has 1048577 bytes; 1048576 is the most")
    paste(browser, "\n" * 10_001)
    press(browser, "answer")
    assert said(browser, "lines;").startswith("The log has 10001 lines; 10000 is the most")
    # Random characters do not compress.
    script = """
        const bytes = crypto.getRandomValues(new Uint8Array(30_000));
        document.getElementById("playground-log").value = String.fromCharCode(...bytes);
    """
    browser.execute_script(script)
    press(browser, "share")
    assert "32000 is the most that is made" in said(browser, "The link would have")


def test_stopped_playground_can_be_restarted(browser: webdriver.Chrome, served: Served) -> None:
    browser.get(f"{served.url}playground.html")
    script = """
        document.getElementById("playground-answer").click();
        document.getElementById("playground-stop").click();
    """
    browser.execute_script(script)
    assert part(browser, "said") == "Stopped."
    assert len(answer(browser, EXAMPLE.decode())) == 11


def test_playground_shows_a_failed_load_on_the_page(
    browser: webdriver.Chrome, served: Served
) -> None:
    worker = served.site / "playground" / "worker.js"
    text = worker.read_bytes()
    worker.unlink()
    try:
        browser.get(f"{served.url}playground.html")
        # Otherwise the browser takes the file from its cache.
        browser.execute_cdp_cmd("Network.clearBrowserCache", {})
        press(browser, "answer")
        assert "could not be loaded" in said(browser, "could not")
    finally:
        worker.write_bytes(text)
    browser.get((served.site / "playground.html").as_uri())
    press(browser, "answer")
    assert "could not be loaded" in said(browser, "could not")
