"""Tests of the explorer page in a browser: every shown answer equals the library's."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from docs.explorer import answers
from tests.docs.browser import chromium
from tests.docs.explorer.explored import (
    CHOICES,
    FACTS_ASKED,
    FIRST,
    NAMES,
    OPERATIONS_ASKED,
    SWEPT,
    Shown,
    State,
    asks,
    expected,
    sweep,
)
from tests.support.paths import ROOT

DOCS: Final = ROOT / "docs"
PAGE: Final = (DOCS / "explorer.md").read_text(encoding="utf-8")
PATIENCE: Final = 300
"""Seconds after which a silent browser counts as dead."""

# --- The page itself ---------------------------------------------------------------------------

SWEEP: Final = r"""
const selects = [...document.querySelectorAll("#explorer-page select")];
const fields = document.querySelector("#explorer-page fieldset");
const lines = [...document.querySelectorAll("#explorer-page .answers li")];
const lit = document.getElementById("explorer-page").getElementsByClassName("lit");
const texts = new Map(), found = [];
const number = (text) => texts.get(text) ?? (texts.set(text, texts.size), texts.size - 1);
const change = new Event("change", { bubbles: true });
// Thousands of addresses in a second are no reader's, and the browser refuses them.
history.replaceState = () => {};

for (const [at, place] of arguments[0].entries()) selects[at].selectedIndex = place;

function sweep(left) {
  if (left.length) {
    for (let i = 0; i < selects[left[0]].length; i++) {
      selects[left[0]].selectedIndex = i;
      sweep(left.slice(1));
    }
    return;
  }
  fields.dispatchEvent(change);
  const said = lines.map((line) => [...line.children].slice(0, 5).map((each) => each.textContent).join("\n"));
  const named = [...lit].map((row) => `${row.querySelector("a").textContent}: ${row.querySelector(".by").textContent}`);
  found.push([said.map(number), named.map(number)]);
}

sweep(arguments[1]);
return { texts: [...texts.keys()], found };
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("explorer")
    (place,) = re.findall("<div.*</div>", PAGE)
    (folder / "data.js").write_text(answers.script(), encoding="utf-8")
    html = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Explorer</title>
        <meta name="viewport" content="width=device-width">
        <style>:root {{ --color-brand-primary: blue }}</style>
        <link rel="stylesheet" href="{(DOCS / "explorer/explorer.css").as_uri()}">
        <script defer src="data.js"></script>
        <script defer src="{(DOCS / "explorer/explorer.js").as_uri()}"></script>
        <main><h1>Explorer</h1>{place}</main>"""
    (folder / "explorer.html").write_text(html, encoding="utf-8")
    with chromium(folder / "profile", "--window-size=1280,900") as browser:
        browser.set_script_timeout(PATIENCE)
        yield Page(browser, (folder / "explorer.html").as_uri())


class Page(NamedTuple):
    """The explorer page in a browser, loaded from a file."""

    browser: webdriver.Chrome
    address: str

    def opens(self, fragment: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(self.address + fragment)

    def chosen(self) -> State:
        # One script: a look-up of each option by the driver takes a minute over all tests.
        script = """return [...document.querySelectorAll("select")]
            .map((each) => each.selectedOptions[0].text)"""
        return State(*self.browser.execute_script(script))

    def choose(self, state: State) -> None:
        script = """const [selects, values] = arguments;
            selects.forEach((select, at) => { select.value = values[at]; });
            selects[0].closest("fieldset").onchange({ target: {} });"""
        selects = self.browser.find_elements(By.TAG_NAME, "select")
        self.browser.execute_script(script, selects, list(state))
        assert self.chosen() == state

    def says(self) -> dict[str, Shown]:
        script = """return [...document.querySelectorAll(".answers li")]
            .map((line) => [...line.children].slice(0, 5).map((each) => each.textContent))"""
        return {line[0]: Shown(*line) for line in self.browser.execute_script(script)}

    def unreached(self) -> tuple[str, list[str]]:
        """Return the sentence about the state, and the lines that are marked."""
        script = """return [document.querySelector(".unreached").textContent,
            [...document.querySelectorAll(".answers .unreachable h4")].map((e) => e.textContent)]"""
        told, marked = self.browser.execute_script(script)
        marks = "return [...document.querySelectorAll('.mark')].map((e) => e.textContent)"
        assert [text for text in self.browser.execute_script(marks) if text] == (
            ["unreachable state"] * len(marked)
        )
        return told, marked

    def link(self) -> str:
        return str(self.browser.find_element(By.ID, "explorer-link").get_property("value"))


@pytest.mark.browser
def test_state_explorer_answers_equal_the_library_in_every_state(page: Page) -> None:
    page.opens()
    names = page.browser.execute_script(
        'return [...document.querySelectorAll("select")].map((each) => [each.name,'
        "[...each.options].map((option) => option.text)])"
    )
    assert dict(names) == CHOICES
    order = [row.rule for table in TABLES.values() for row in table.rows]
    for names in SWEPT:
        places = [State._fields.index(name) for name in names]
        left = iter(sweep(names))
        # In parts, so that a slow browser does not count as dead.
        for first in range(len([*CHOICES.values()][places[0]])):
            at = [0] * len(CHOICES)
            at[places[0]] = first
            swept = page.browser.execute_script(SWEEP, at, places[1:])
            texts = swept["texts"]
            lines = [Shown(*text.split("\n")) if "\n" in text else None for text in texts]
            for said, lit in swept["found"]:
                state = next(left)
                told = [expected(name, state) for name in NAMES]
                assert [lines[each] for each in said] == told, state
                by: dict[str, list[str]] = {}
                for answer in told:
                    for rule in dict.fromkeys(answer.rules.split(" → ")):
                        by.setdefault(rule, []).append(answer.name)
                named = [f"{rule}: {'; '.join(by[rule])}" for rule in order if rule in by]
                assert [texts[each] for each in lit] == named, state
        assert next(left, None) is None


def test_each_explorer_answer_is_tested_for_all_its_inputs() -> None:
    assert all(any(asks(name) <= set(names) for names in SWEPT) for name in NAMES)


@pytest.mark.browser
def test_explorer_answers_equal_the_library_in_random_states(page: Page) -> None:
    page.opens()
    draw = random.Random(1)  # noqa: S311 - the same states in every run
    for _ in range(50):
        state = State(*(draw.choice(values) for values in CHOICES.values()))
        page.choose(state)
        assert page.says() == {name: expected(name, state) for name in NAMES}, state


@pytest.mark.browser
def test_explorer_marks_the_answers_that_a_choice_changed(page: Page) -> None:
    marks = (
        'return [...document.querySelectorAll(".answers .changed h4")].map((e) => e.textContent)'
    )
    page.opens()
    assert page.browser.execute_script(marks) == []
    before = page.says()
    status = Select(page.browser.find_element(By.NAME, "stored status"))
    status.select_by_visible_text("ACTIVE")
    after = page.says()
    changed = [name for name in NAMES if before[name] != after[name]]
    assert page.browser.execute_script(marks) == changed
    assert 0 < len(changed) < len(NAMES)
    told = page.browser.find_element(By.CSS_SELECTOR, ".difference").text
    assert told == f"{len(changed)} of {len(NAMES)} answers changed; they are marked."


@pytest.mark.browser
def test_copied_explorer_link_restores_its_state(page: Page) -> None:
    page.opens()
    first = State(*(values[0] for values in CHOICES.values()))
    last = State(*(values[-1] for values in CHOICES.values()))
    assert page.chosen() == first
    for select, value in zip(page.browser.find_elements(By.TAG_NAME, "select"), last, strict=True):
        Select(select).select_by_visible_text(value)
    assert page.chosen() == last
    assert page.link() == page.browser.current_url
    page.browser.find_element(By.TAG_NAME, "button").click()
    status = page.browser.find_element(By.CSS_SELECTOR, "[role=status]")
    WebDriverWait(page.browser, PATIENCE).until(lambda _: status.text)
    # Even if the browser denies the clipboard, the link is selected for copying.
    selected = (
        "const link = arguments[0]; return link.value.slice(link.selectionStart, link.selectionEnd)"
    )
    link = page.browser.find_element(By.ID, "explorer-link")
    assert page.browser.execute_script(selected, link) == page.browser.current_url
    address = page.link()
    page.opens()
    assert page.chosen() == first
    page.browser.get(address)
    # Within one page, a browser reports the new address only after navigation.
    WebDriverWait(page.browser, PATIENCE).until(lambda _: page.chosen() == last)
    assert page.says() == {name: expected(name, last) for name in NAMES}
    page.browser.refresh()
    assert page.chosen() == last


@pytest.mark.browser
@pytest.mark.parametrize(
    "fragment", ["#", "#x", "#clock=never&stored+status=", "#%", "#clock=" + "x" * 9_999]
)
def test_explorer_link_with_invalid_state_shows_the_first_state(page: Page, fragment: str) -> None:
    page.opens(fragment + "&account=LIMITED")
    first = State(*(values[0] for values in CHOICES.values()))
    assert page.chosen() == first._replace(account="LIMITED")


@pytest.mark.browser
def test_clicking_an_explorer_picture_box_selects_its_state(page: Page) -> None:
    page.opens()
    boxes = page.browser.find_elements(By.CSS_SELECTOR, "#explorer-page [role=button]")
    names = [each.text for each in boxes]
    assert sorted(names) == sorted(Standing)
    for name, box in zip(names, boxes, strict=True):
        page.browser.execute_script(
            "arguments[0].dispatchEvent(new MouseEvent('click', { bubbles: true }))", box
        )
        chosen, said = page.chosen(), page.says()
        assert said == {each: expected(each, chosen) for each in NAMES}
        assert said["standing"].said == name
        pressed = [each.get_dom_attribute("aria-pressed") for each in boxes]
        assert pressed == [str(each == name).lower() for each in names]
        assert page.link() == page.browser.current_url
        assert page.unreached() == ("", [])


@pytest.mark.browser
def test_explorer_marks_unreachable_states_and_their_answers(page: Page) -> None:
    page.opens()
    Select(page.browser.find_element(By.NAME, "stored status")).select_by_visible_text("REVOKED")
    # The revocation follows the status, until the reader chooses another.
    assert page.chosen().revocation == "a revokedAt"
    assert page.unreached() == ("", [])
    Select(page.browser.find_element(By.NAME, "revocation")).select_by_visible_text("no revokedAt")
    told, marked = page.unreached()
    assert told == "Unreachable: no requests and facts lead to this connection."
    assert marked == [name for name in NAMES if {"status", "revocation", "clock"} <= asks(name)]
    page.choose(FIRST._replace(status="ACTIVE", successor="successor ACTIVE"))
    told, marked = page.unreached()
    assert told == "Unreachable: no requests and facts lead to this connection with this successor."
    assert marked == [name for name in NAMES if "successor" in asks(name)]
    page.choose(FIRST._replace(era="made under another era", session=CHOICES["session"][1]))
    told, marked = page.unreached()
    assert told == "Unreachable: no requests and facts lead to this session with this account."
    assert marked == [name for name in NAMES if "session" in asks(name)]


@pytest.mark.browser
def test_explorer_keyboard_reaches_and_changes_every_control(page: Page) -> None:
    page.opens()
    visited: list[tuple[str, str]] = []
    focused = """const at = document.activeElement, style = getComputedStyle(at);
        return [at.tagName, at.name || at.textContent, style.outlineStyle, style.outlineWidth]"""
    links = sum(len(each.rules.split(" → ")) for each in page.says().values())
    tables = page.browser.find_elements(By.TAG_NAME, "table")
    rules = page.browser.find_elements(By.CSS_SELECTOR, "tbody tr")
    proofs = page.browser.find_elements(By.TAG_NAME, "summary")
    found = (
        len(CHOICES) + 1 + len(Standing) + 2 + links + 2 * len(tables) + len(rules) + len(proofs)
    )
    for _ in range(found):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        tag, name, style, width = page.browser.execute_script(focused)
        visited.append((tag, name))
        assert (style, width) == ("solid", "3px"), name
    boxes = len(CHOICES) + 1
    assert visited[: len(CHOICES)] == [("SELECT", name) for name in CHOICES]
    assert {name for _, name in visited[boxes : boxes + len(Standing)]} == {*Standing}
    after = visited[boxes + len(Standing) :]
    assert after[:2] == [("INPUT", ""), ("BUTTON", "Copy the link")]
    assert [tag for tag, _ in after].count("A") == links + len(tables) + len(rules)
    assert [tag for tag, _ in visited].count("DIV") == len(tables) + 1
    page.opens()
    ActionChains(page.browser).send_keys(Keys.TAB, Keys.DOWN).perform()
    assert page.chosen().status == "ACTIVE"
    assert page.says()["standing"].said == "ACTIVE"
    box = page.browser.find_element(By.CSS_SELECTOR, "#explorer-page [role=button]")
    page.browser.execute_script("arguments[0].focus()", box)
    ActionChains(page.browser).send_keys(Keys.ENTER).perform()
    assert page.says()["standing"].said == box.text


@pytest.mark.browser
def test_explorer_page_fits_a_phone_with_touch_sized_controls(page: Page) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.opens()
        wide = "return [document.documentElement.scrollWidth, window.innerWidth]"
        assert page.browser.execute_script(wide) == [360, 360]
        boxes = page.browser.find_elements(By.CSS_SELECTOR, ".table-wrapper")
        script = "return arguments[0].some((each) => each.scrollWidth > each.clientWidth)"
        assert page.browser.execute_script(script, boxes)
        for each in page.browser.find_elements(By.CSS_SELECTOR, "select, input, button"):
            assert each.size["height"] >= 44
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# --- Tests without a browser -------------------------------------------------------------------


def test_explorer_has_an_answer_for_every_operation_and_fact() -> None:
    assert [each.name for each in answers.ASKED] == NAMES
    assert {each.rule.name for each in OPERATIONS} == {
        each.rule.name for each in OPERATIONS_ASKED.values()
    }
    assert set(FACTS) == {type(each) for each in FACTS_ASKED.values()}


@pytest.mark.slow
def test_every_rule_link_of_the_explorer_resolves() -> None:
    for table in TABLES.values():
        text = (DOCS / f"tables/{table.name}.md").read_text(encoding="utf-8")
        assert all(f'<a id="{row.rule}"></a>' in text for row in table.rows)
    document = json.loads(answers.script().removeprefix("const EXPLORER = ").removesuffix(";\n"))
    names = {rule for answer in document["answers"] for rule in answer["rules"]}
    rows = {row["rule"] for table in document["tables"] for row in table["rows"]}
    assert names <= rows
    # The rules that no state reaches: they pass, decide earlier, or need values that no choice sets.
    before = {row.rule for row in TABLES["request"].rows} - {"request.limit"}
    assert rows - names - before == {
        "authorization.no-successor",
        "binding.provision.active",
        "binding.provision.limited",
        "tombstone-report.new",
    }


def test_explorer_page_without_javascript_links_to_the_tables() -> None:
    named = re.findall(r"\]\(tables/([\w-]+)\.md", PAGE)
    assert {"README", "standing", "connection", "recovery", "binding", "idempotency"} <= set(named)
