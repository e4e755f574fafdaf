"""Tests that the kit passes servers whose hosted pages are valid for another time than 30 minutes."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from curae_lifecycle.testing.conformance import CHECKS, run
from tests.support.kit import Reference

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

WAITING = [each for each in CHECKS if "pass_time" in each.hooks]
"""The checks that let time pass."""

ABOUT_PAGES = (
    "authorization.no-successor",
    "authorization.late-after-action-required",
    "authorization.late-after-revoke",
    "authorization.successor-pending",
    "clock.ahead.authorize",
    "connection.expire.lapsed",
    "law-17.tombstone",
    "page.finish.over",
    "purge.over",
    "recovery.lapsed.pending",
    "recovery.reissue-moves-the-deadline",
    "recovery.successor-lapsed",
    "standing.lapsed",
)
"""Checks that wait for the end of a page, or may wait too long for one."""


@pytest.mark.parametrize("lifetime", [MINUTE, 5 * MINUTE, 10 * MINUTE, DAY, 2 * DAY], ids=str)
def test_kit_passes_a_server_with_pages_of_any_lifetime(lifetime: timedelta) -> None:
    server = Reference(lifetime=lifetime).server()
    report = run(server, only=ABOUT_PAGES, seed="1")
    assert not report.failed, str(report)
    assert set(report.passed) == set(ABOUT_PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("lifetime", [MINUTE, 2 * DAY], ids=str)
def test_checks_that_wait_pass_with_short_and_long_lived_pages(lifetime: timedelta) -> None:
    server = Reference(lifetime=lifetime).server()
    report = run(server, only=[each.name for each in WAITING], seed="1")
    assert not report.failed, str(report)
    assert not report.not_run, str(report)


def test_kit_check_is_not_run_if_hosted_page_outlives_max_time() -> None:
    reference, most = Reference(lifetime=60 * MINUTE), 31 * MINUTE
    server = attrs.evolve(reference.server(), max_time_per_check=most)
    begun = reference.now
    report = run(server, only=["standing.lapsed"], seed="1")
    reason = "needs a max_time_per_check of at least 0:59:55"
    assert [each.reason for each in report.not_run] == [reason], str(report)
    assert reference.now - begun < most


@pytest.mark.slow
def test_kit_check_waits_at_most_the_time_that_it_declares() -> None:
    reference = Reference()
    for check in WAITING:
        passed = timedelta(0)

        def pass_time(span: timedelta) -> None:
            nonlocal passed
            passed += span
            reference.pass_time(span)

        run(attrs.evolve(reference.server(), pass_time=pass_time), only=[check.name], seed="1")
        assert passed <= check.time_needed, check.name
