"""Tests of the rounds of races, with responses that each test gives itself."""

from __future__ import annotations

import json
from datetime import timedelta

import attrs

from curae_lifecycle.rules.values import format_time
from curae_lifecycle.testing.conformance import CHECKS, Response
from curae_lifecycle.testing.conformance.connections import MOMENT
from curae_lifecycle.testing.conformance.steps import HookCall
from tests.support.strategies import START
from tests.testing.conformance.by_hand import context

(LATE,) = [each for each in CHECKS if each.name == "race.late-authorization.reconnect"]


def created(number: int, lifetime: timedelta) -> Response:
    body = {
        "connection": {"id": f"c-{number}", "updatedAt": format_time(START)},
        "nextAction": {"expiresAt": format_time(START + lifetime)},
    }
    return Response(201, (), json.dumps(body).encode())


def test_race_check_waits_until_the_newest_hosted_page_expired() -> None:
    kit = attrs.evolve(context(*LATE.hooks), rounds=3)
    steps = LATE.begin(kit)
    next(steps)
    steps.send("key")
    minute = timedelta(minutes=1)
    for number, lifetime in enumerate((minute, 2 * minute)):
        steps.send(created(number, lifetime))
    step = steps.send(created(3, 5 * minute))
    assert step == HookCall("pass_time", (5 * minute + MOMENT,))
