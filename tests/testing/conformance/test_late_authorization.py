"""Tests of when the kit says that a late authorization happened, by the lifetime of a page."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from curae_lifecycle.rules.values import format_time
from curae_lifecycle.testing.conformance import CHECKS, Response
from curae_lifecycle.testing.conformance.steps import HookCall, Step
from tests.support.strategies import START
from tests.testing.conformance.by_hand import context

(CHECK,) = [each for each in CHECKS if each.name == "authorization.no-successor"]
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def authorized(lifetime: timedelta) -> HookCall:
    """Play the check with pages of a lifetime, and return the step that records the fact."""
    body = {
        "connection": {"id": "c", "status": "EXPIRED", "updatedAt": format_time(START)},
        "nextAction": {"expiresAt": format_time(START + lifetime)},
    }
    response = Response(201, (), json.dumps(body).encode())
    steps = CHECK.begin(context(*CHECK.hooks))
    step: Step = next(steps)
    while not (isinstance(step, HookCall) and step.hook == "authorize_late"):
        is_read = not isinstance(step, HookCall) and getattr(step, "method", "") == "GET"
        answered = Response(200, (), response.body) if is_read else response
        step = steps.send("key" if isinstance(step, HookCall) else answered)
    return step


@pytest.mark.parametrize(
    ("lifetime", "ago"),
    [(30 * MINUTE, 5 * MINUTE), (4 * MINUTE, 2 * MINUTE + SECOND)],
)
def test_kit_dates_late_authorization_before_hosted_page_expiry(
    lifetime: timedelta, ago: timedelta
) -> None:
    assert authorized(lifetime) == HookCall("authorize_late", ("c", ago))
