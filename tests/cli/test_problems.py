"""Descriptions of the problem codes, on their pages and in the command `problems`."""

from __future__ import annotations

import json
import re

import pytest

from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.problems import to_markdown
from curae_lifecycle.rules.access import ACCESS, DenialReason, Deny
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.problems import CATALOGUE, WORDING, ProblemCode, type_uri
from curae_lifecycle.rules.triggers import TRIGGERS, RefusalReason, Trigger
from curae_lifecycle.service.problem_details import DETAILS
from curae_lifecycle.service.rulebook import TABLES, find_rule, reasons_of
from curae_lifecycle.service.status import PROBLEM_STATUS
from docs.generate.problems import files
from tests.support.commands import help_of
from tests.support.paths import ROOT

each_code = pytest.mark.parametrize("code", ProblemCode)


@pytest.mark.slow
@each_code
def test_problem_type_uri_ends_in_the_name_of_its_docs_page(code: ProblemCode) -> None:
    assert files()[type_uri(code).rpartition("/")[2] + ".md"] == to_markdown(code)
    assert f"`{type_uri(code)}`" in to_markdown(code)


def test_every_problem_code_and_detail_member_has_an_explanation() -> None:
    assert list(WORDING) == list(ProblemCode)
    assert DETAILS.keys() == {key for row in CATALOGUE.rows for key in row.outcome.details}


@each_code
def test_problem_docs_page_shows_advice_of_its_code_and_reasons(code: ProblemCode) -> None:
    advice = to_markdown(code).partition("## What a client should do")[2].partition("## ")[0]
    expected = [WORDING[code].advice, *(f"- `{each}`: {each.advice}" for each in reasons_of(code))]
    assert [line for line in advice.splitlines() if line] == expected


@each_code
def test_problem_docs_page_lists_exactly_the_rules_of_its_code(code: ProblemCode) -> None:
    answers = to_markdown(code).partition("## When it is the answer")[2]
    named = re.findall(
        r"^\| \[`([\w.-]+)`\]\(\.\./tables/([\w-]+)\.md#\1\) \|", answers, re.MULTILINE
    )
    expected = [
        (row.rule, table.name)
        for table in TABLES.values()
        for row in table.rows
        if (isinstance(row.outcome, RefuseWith) and row.outcome.code == code)
        or (isinstance(row.outcome, Deny) and code == "CONNECTION_ACCESS_DENIED")
    ]
    assert named == expected
    assert expected


@each_code
def test_rule_links_of_a_problem_docs_page_reach_table_rows(code: ProblemCode) -> None:
    links = re.findall(r"\[`([\w.-]+)`\]\(\.\./tables/([\w-]+)\.md#([\w.-]+)\)", to_markdown(code))
    for shown, table, anchor in links:
        found = find_rule(shown)
        assert found is not None
        assert (anchor, table) == (shown, found.table.name)
        assert f'<a id="{anchor}"></a>' in (ROOT / f"docs/tables/{table}.md").read_text("utf-8")


@each_code
def test_example_answer_on_a_problem_docs_page_has_its_code(code: ProblemCode) -> None:
    block = re.search(r"^```json\n(.*?)^```", to_markdown(code), re.MULTILINE | re.DOTALL)
    assert block is not None
    shown = json.loads(block[1])
    kind = CATALOGUE[code].outcome
    assert (shown["code"], shown["retryable"]) == (code, kind.retryable)
    assert shown["status"] == PROBLEM_STATUS[kind.kind].outcome.status
    assert list(shown["details"]) == list(kind.details)
    for key in kind.details:
        assert f"| `{key}` | {DETAILS[key].meaning} |" in to_markdown(code)


KEPT = {"NOT_FOUND", "CONNECTION_NOT_RECONNECTABLE", "CONNECTION_SUPERSEDED"}
LEFT_ALONE = {
    "IDEMPOTENCY_KEY_IN_FLIGHT",
    "IDEMPOTENCY_OUTCOME_UNKNOWN",
    "IDEMPOTENCY_KEY_FORGOTTEN",
    "IDEMPOTENCY_KEY_REUSED",
}
WITHOUT_A_KEY = {
    *("IDEMPOTENCY_KEY_NOT_ALLOWED", "CONNECTION_ACCESS_DENIED", "CONNECTION_NOT_PENDING"),
    *("HANDOFF_LAPSED", "SESSION_EXPIRED", "HANDOFF_NOT_REQUIRED"),
    *("BINDING_CHANGED", "BINDING_CONFLICT", "BINDING_NOT_LIMITED"),
}


@each_code
def test_problem_docs_page_says_if_idempotency_key_is_used_up(code: ProblemCode) -> None:
    expected = "not used up"
    if code in KEPT:
        expected = "used up"
    elif code in LEFT_ALONE:
        expected = "unchanged"
    elif code in WITHOUT_A_KEY:
        expected = "none"
    assert f"| idempotency key | {expected}" in to_markdown(code)


def test_problem_docs_page_example_shows_a_reason_of_its_code() -> None:
    for code in (ProblemCode.CONNECTION_ACCESS_DENIED, ProblemCode.CONNECTION_NOT_RECONNECTABLE):
        assert f'"reason": "{reasons_of(code)[0]}"' in to_markdown(code)
    assert set(reasons_of(ProblemCode.CONNECTION_ACCESS_DENIED)) == set(DenialReason)
    assert set(reasons_of(ProblemCode.CONNECTION_NOT_RECONNECTABLE)) == set(RefusalReason)


def test_access_denial_advises_reconnect_if_and_only_if_allowed() -> None:
    reasons = {each for each in DenialReason if each.advice.startswith("Reconnect")}
    recovered = {
        standing.value
        for standing in Standing
        if not isinstance(TRIGGERS[Trigger.RECONNECT, standing].outcome, RefuseWith)
    }
    assert reasons == recovered
    denied = {row.outcome.reason for row in ACCESS.rows if isinstance(row.outcome, Deny)}
    assert denied - reasons == {"PENDING", "PACKAGE_NOT_GRANTED"}


def test_problems_command_prints_all_codes_or_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["problems"]) == 0
    assert capsys.readouterr().out == "\n".join(map(to_markdown, ProblemCode))
    assert main(["problems", "NOT_FOUND"]) == 0
    assert capsys.readouterr().out == to_markdown(ProblemCode.NOT_FOUND)


def test_problems_command_with_an_unknown_code_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["problems", "LOST"])
    error = capsys.readouterr().err
    assert error.startswith("usage: python -m curae_lifecycle problems ")
    assert error.endswith(
        f"problems: error: there is no problem code LOST; the codes are {', '.join(ProblemCode)}\n"
    )


def test_help_of_problems_explains_its_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(capsys, "problems") == (
        "usage: python -m curae_lifecycle problems [-h] [CODE] "
        "Prints the page of every problem code, or of the named one: its status, its details, the "
        "rules that answer with it, and what a client should do. "
        "positional arguments: CODE a problem code; by default every code "
        "options: -h, --help show this help message and exit"
    )
