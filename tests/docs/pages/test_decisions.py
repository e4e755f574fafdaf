"""Tests of the decisions page: every own rule has one decision with a reason."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.problems import CATALOGUE, ProblemCode
from curae_lifecycle.rules.ratelimit import ExactLog
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import Settings
from tests.support.instants import handle_at
from tests.support.paths import ROOT
from tests.support.server import new_ids, request, world
from tests.support.strategies import apply_trigger, at, pending

DOCS = ROOT / "docs"
PAGE = (DOCS / "decisions.md").read_text(encoding="utf-8")
RULES = (DOCS / "rules.md").read_text(encoding="utf-8")
OURS: Final = {
    row.rule: name for name, table in TABLES.items() for row in table.rows if "[O" in row.why
}
"""Each rule with a source [O], in whole or in part, with its table."""

_LINK = re.compile(r"\[(`?)([^\]`]+)`?\]\(([^)]+)\)")
_TITLE = re.compile(r"\| \*\*(.*?)\.\*\* ")
_WAYS = ("setting", "cell", "own operation", "fork")


@attrs.frozen
class Decision:
    title: str
    change: str
    rules: tuple[tuple[str, str], ...]
    """Names of rules or patterns, and anchors of `rules.md`, each with its link."""


def decisions(page: str) -> list[Decision]:
    """Return the decisions of the page, one from each row of its tables."""
    found: list[Decision] = []
    for line in page.splitlines():
        title = _TITLE.match(line)
        if title is not None:
            _, why, change, rules = line.removesuffix(" |").split(" | ")
            assert why, title[1]
            links = tuple((name, target) for _, name, target in _LINK.findall(rules))
            found.append(Decision(title[1], change, links))
    return found


def faults(page: str) -> list[str]:
    """List the faults of a page of decisions."""
    wrong: list[str] = []
    held: Counter[str] = Counter()
    for decision in decisions(page):
        names = 0
        for name, target in decision.rules:
            if target.startswith("rules.md#"):
                names += 1
                if target.removeprefix("rules.md#") not in anchors(RULES):
                    wrong.append(f"{decision.title}: {target} is not there")
                continue
            table, _, anchor = target.removeprefix("tables/").partition(".md")
            rules = [rule for rule, of in OURS.items() if of == table and fnmatchcase(rule, name)]
            names += len(rules)
            held.update(rules)
            if not rules:
                wrong.append(f"{decision.title}: no rule of ours is {name} of {table}")
            if anchor != ("" if "*" in name else f"#{name}"):
                wrong.append(f"{decision.title}: {name} leads to {target}")
        if not names:
            wrong.append(f"{decision.title}: names no rule")
        if not decision.change.startswith(_WAYS):
            wrong.append(f"{decision.title}: does not say how to change it")
    wrong += [f"no decision names {rule}" for rule in OURS if rule not in held]
    wrong += [f"{times} decisions name {rule}" for rule, times in held.items() if times > 1]
    return wrong


def anchors(text: str) -> set[str]:
    """Return the link targets of a page: its anchors, and its headings as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"></a>', text))


def test_decisions_page_has_each_rule_beyond_the_reference_once() -> None:
    assert faults(PAGE) == []


def test_rules_page_names_the_problem_codes_of_the_platform() -> None:
    sentence = re.search(r"Only ([^.]*) are \[P\]; the others are \[O\]", RULES)
    assert sentence is not None
    named = re.findall(r"`([A-Z_]+)`", sentence[1])
    assert named == [code for code in ProblemCode if CATALOGUE[code].why.startswith("[P]")]


def test_decisions_docs_have_the_expected_count_of_unique_titles() -> None:
    assert (len(decisions(PAGE)), len(OURS)) == (63, 172)
    titles = [decision.title for decision in decisions(PAGE)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "[`recovery.*.pending`](tables/recovery.md), ",
            "",
            "no decision names recovery.lapsed.pending",
        ),
        (
            "[`recovery.*.pending`](tables/recovery.md), [neighbours](rules.md#neighbours)",
            "none",
            "A reconnect reissues a pending successor: names no rule",
        ),
        (
            "[`recovery.*.other`]",
            "[`recovery.*`]",
            "2 decisions name recovery.lapsed.pending",
        ),
        (
            "(tables/request.md#request.room)",
            "(tables/request.md#request.rule)",
            "A full store refuses new values: request.room leads to tables/request.md#request.rule",
        ),
        (
            "[`request.room`]",
            "[`request.rule`]",
            "A full store refuses new values: no rule of ours is request.rule of request",
        ),
        (
            "rules.md#law-16",
            "rules.md#law-61",
            "Programming mistakes are raised: rules.md#law-61 is not there",
        ),
        (
            "setting: the `capacity` of",
            "the `capacity` of",
            "A full store refuses new values: does not say how to change it",
        ),
    ],
)
def test_check_of_the_decisions_docs_reports_each_planted_fault(
    old: str, new: str, fault: str
) -> None:
    assert old in PAGE
    assert fault in faults(PAGE.replace(old, new))


# --- Custom operations -----------------------------------------------------------------------


@attrs.frozen
class Politer(Reconnect):
    """A reconnect with the status 200."""

    rule = attrs.evolve(Reconnect.rule, status=200)


@attrs.frozen
class Rarer(Initiate):
    """An initiate that is admitted twice a minute."""

    rule = attrs.evolve(Initiate.rule, limit=ExactLog("initiate", 2, 60))


def test_operation_in_settings_replaces_the_built_in_operation() -> None:
    mine: dict[type[Operation], type[Operation]] = {Reconnect: Politer, Initiate: Rarer}
    settings = Settings(operations=tuple(mine.get(each, each) for each in OPERATIONS))
    store = world(settings, apply_trigger(pending(), "APP", at(1)))
    statuses = [
        handle_at(store, each, at(2), new_ids=new_ids(number, at(2))).response.status
        for number, each in enumerate(
            [request("reconnect"), *(request("initiate", key=f"k{n}") for n in range(3))], 2
        )
    ]
    assert statuses == [200, 201, 201, 429]
