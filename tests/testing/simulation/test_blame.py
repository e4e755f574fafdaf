"""Tests of the log of a violation: it ends with the step that broke the law."""

from __future__ import annotations

import json
from typing import Never, cast

import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulation import Violation, simulate
from curae_lifecycle.testing.simulation.outbox import SimulatedOutbox
from curae_lifecycle.testing.simulation.server import OpenRequest, SimulatedServer
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from curae_lifecycle.testing.watch import Watch
from tests.support.wrong_stores import Forgetful


def lines(violation: Violation | None) -> list[dict[str, Json]]:
    """Return the lines of the log of a violation, all of which `replay` can read."""
    assert violation is not None
    answers = list(replay([line.encode() for line in violation.log]))
    assert [answer.answer for answer in answers if answer.broken] == []
    return [cast("dict[str, Json]", json.loads(line)) for line in violation.log]


def test_violation_log_ends_with_the_request_that_broke_a_law() -> None:
    violation = simulate(3, hours=1, make_store=Forgetful).violation
    assert violation is not None
    assert "where: key k-6" in violation.message
    log = [json.dumps(each) for each in lines(violation)]
    same_key = [each for each in log if '"k-6"' in each]
    assert len(same_key) > 1
    assert same_key[-1] == log[-1]
    *before, last = replay([line.encode() for line in violation.log], check=True)
    assert last.divergences
    assert not any(each.divergences for each in before)


def test_violation_log_ends_with_the_fact_that_broke_a_law(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def observe_fact(*_: object) -> Never:
        raise LawBrokenError(1, "a fact", "a test")

    monkeypatch.setattr(Watch, "observe_fact", observe_fact)
    assert "fact" in lines(simulate(0, hours=1).violation)[-1]


@pytest.mark.slow
def test_lease_renewal_is_logged_under_the_user_of_its_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users: list[tuple[str, str]] = []

    def renew_lease(
        server: SimulatedServer, renewed: OpenRequest, *_: object, **__: object
    ) -> None:
        assert server.current_user is not None
        operation = renewed.call.operation
        if isinstance(operation, CreateConnection | Initiate):
            users.append((server.current_user.app_user_id, operation.app_user_id))

    monkeypatch.setattr(SimulatedServer, "renew_lease", renew_lease)
    simulate(2686, hours=3)
    assert len(users) > 1
    assert all(logged == own for logged, own in users)


def test_log_of_an_outbox_violation_only_registers_api_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ship(outbox: SimulatedOutbox, *_: object, **__: object) -> None:
        if outbox.waiting:
            raise RuleBrokenError("a message", "a test")

    monkeypatch.setattr(SimulatedOutbox, "ship", ship)
    log = lines(simulate(0, hours=1).violation)
    assert {*map(len, log)} == {2}
    assert all("register" in each for each in log)
