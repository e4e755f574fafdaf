"""Tests that every seeded bug is found by what the catalogue names."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.rulebook import find_rule
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import CHECKS, Report, Response, run, run_async
from tests.proof.bugs.bug import Hidden, VisibleBug
from tests.proof.bugs.catalogue import hidden, rules_named, visible
from tests.proof.bugs.kit import server, slow_server
from tests.proof.bugs.revocation import SecondRevokeRefused
from tests.proof.bugs.service import Service, with_header

SEED = "bugs"
SIDE_BY_SIDE = "model.side-by-side"

# The catalogue may grow; these fail if a bug is dropped.
VISIBLE = 306
HIDDEN = 50


FAIL_MANY = (
    "pending-not-revocable",
    "preference-ignored",
    "failed-refresh-revokes",
    "stale-replica",
    "sign-up-by-default",
    "key-ignored",
    "created-is-200",
    "malformed-charged",
    "bucket-starts-empty",
    "unknown-members-ignored",
)
"""Bugs that together fail the checks that the catalogue does not name."""


class Undated(Service):
    def dated(self, response: Response) -> Response:
        return response


class DatedByAnotherClock(Service):
    """A server that dates each response a second after the one before."""

    told = 0

    def dated(self, response: Response) -> Response:
        self.told += 1
        date = f"Mon, 05 Jan 2026 09:00:{self.told % 60:02} GMT"
        return with_header(response, "date", date)


def _held_against(service: Service, *, slowly: bool, only: Collection[str] | None) -> Report:
    if slowly:
        return asyncio.run(run_async(slow_server(service), only=only, seed=SEED))
    return run(server(service), only=only, seed=SEED)


def _failed(report: Report) -> set[str]:
    return {failure.check for failure in report.failed}


@pytest.mark.slow
@pytest.mark.parametrize("slowly", [pytest.param(False, marks=pytest.mark.heavy), True])
def test_correct_server_passes_every_conformance_check(slowly: bool) -> None:  # noqa: FBT001 - a test's parameter
    report = _held_against(Service(), slowly=slowly, only=None)
    assert not report.failed, str(report)
    assert len(report.passed) > 100


@pytest.mark.slow
@pytest.mark.parametrize("bug", visible(), ids=lambda bug: bug.name)
def test_planted_server_bug_fails_its_conformance_checks(bug: VisibleBug) -> None:
    report = _held_against(bug.make(), slowly=bug.slowly, only=bug.found_by)
    assert _failed(report) == set(bug.found_by), str(report)
    assert bug.found_by, "no check finds it"
    # A bug that raises instead of answering shows nothing about the check.
    assert ("send raised" in str(report)) is bug.name.endswith("-crashes"), str(report)


@pytest.mark.slow
@pytest.mark.parametrize("bug", hidden(), ids=lambda bug: bug.name)
def test_bug_invisible_to_clients_fails_a_model_or_law_check(bug: Hidden) -> None:
    bug.probe_right()
    with pytest.raises(AssertionError):
        bug.probe_mistaken()


def _single_checks() -> set[str]:
    return {check.name for check in CHECKS} - {SIDE_BY_SIDE}


@pytest.mark.heavy
def test_every_conformance_check_finds_a_planted_bug() -> None:
    # A check that no mistake fails would be useless. Those that the catalogue names have their tests.
    bugs = visible()
    useless = _single_checks().difference(*[bug.found_by for bug in bugs])
    assert useless
    for bug in sorted(bugs, key=lambda bug: bug.name not in FAIL_MANY):
        useless -= _failed(_held_against(bug.make(), slowly=bug.slowly, only=useless))
        if not useless:
            return
    pytest.fail(f"no bug fails {sorted(useless)}")


@pytest.mark.heavy
@pytest.mark.parametrize("bug", visible()[::30], ids=lambda bug: bug.name)
def test_whole_kit_run_on_planted_bug_fails_each_expected_check(bug: VisibleBug) -> None:
    failed = _failed(_held_against(bug.make(), slowly=bug.slowly, only=_single_checks()))
    assert failed >= set(bug.found_by)


@pytest.mark.heavy
def test_model_comparison_check_detects_a_refused_second_revoke() -> None:
    report = _held_against(SecondRevokeRefused(), slowly=False, only=[SIDE_BY_SIDE])
    assert _failed(report) == {SIDE_BY_SIDE}


def test_conformance_report_says_why_a_check_was_not_run() -> None:
    undated = Undated(Settings(environment=Environment.LIVE))
    report = _held_against(undated, slowly=False, only=["limit.environments", "idempotency.dates"])
    assert {(left.check, left.reason) for left in report.not_run} == {
        ("limit.environments", "the server serves one environment"),
        ("idempotency.dates", "the server sends no valid Date header"),
    }
    report = _held_against(DatedByAnotherClock(), slowly=False, only=["idempotency.dates"])
    assert [left.reason for left in report.not_run] == [
        "the Date header does not follow the clock that pass_time moves"
    ]


def test_planted_bugs_have_the_expected_count_and_unique_names() -> None:
    assert (len(visible()), len(hidden())) == (VISIBLE, HIDDEN)
    names = [bug.name for bug in visible()] + [bug.name for bug in hidden()]
    assert len(set(names)) == len(names)


def test_planted_bugs_name_existing_conformance_checks_and_rules() -> None:
    checks = {check.name for check in CHECKS}
    for bug in visible():
        assert checks.issuperset(bug.found_by), bug.name
    everything: list[VisibleBug | Hidden] = [*visible(), *hidden()]
    for each in everything:
        for name in rules_named(each):
            assert find_rule(name) is not None, f"{each.name}: {name}"
