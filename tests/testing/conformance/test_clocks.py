"""Tests of the checks of clock skew, with responses that each test gives itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.testing.conformance import CHECKS, Request, Response
from curae_lifecycle.testing.conformance.clocks import AHEAD
from curae_lifecycle.testing.conformance.standings import ALMOST
from curae_lifecycle.testing.conformance.steps import HookCall, NotConformingError, Step
from tests.testing.conformance.by_hand import context, play

BY_NAME = {each.name: each for each in CHECKS}
MADE = datetime(2026, 1, 5, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LIFETIMES = [(timedelta(minutes=30), MINUTE), (MINUTE, MINUTE / 2)]


def connection(
    status: int,
    instants: Mapping[str, datetime],
    lifetime: timedelta = HOUR,
    *,
    name: str = "c",
    shown_status: str = "PENDING",
) -> Response:
    """Return a response with a connection that was made at `MADE`."""
    shown = {"createdAt": MADE, "updatedAt": MADE, **instants}
    times = {member: format_time(at) for member, at in shown.items()}
    body = {
        "connection": {"id": name, "status": shown_status} | times,
        "nextAction": {"expiresAt": format_time(MADE + lifetime)},
    }
    return Response(status, (), json.dumps(body).encode())


def clamped(name: str, instants: Mapping[str, datetime], lifetime: timedelta = HOUR) -> list[Step]:
    """Play a check on a connection that then has these instants, and return its steps."""
    check = BY_NAME[f"clock.{name}"]
    outcomes = ("text", connection(201, {}, lifetime), None, "done", connection(200, instants))
    return play(check.begin(context("pass_time", *check.hooks)), *outcomes).steps[1:]


SHOWN = {"authorize": "authorizedAt", "revoke": "revokedAt"}
MORE: dict[str, tuple[object, ...]] = {"authorize": (), "revoke": (Actor.PATIENT,)}
of_each_fact = pytest.mark.parametrize("fact", SHOWN)


@of_each_fact
@pytest.mark.parametrize(("lifetime", "waited"), LIFETIMES)
def test_future_fact_check_passes_if_the_fact_is_dated_now(
    fact: str, lifetime: timedelta, waited: timedelta
) -> None:
    now = {SHOWN[fact]: MADE + MINUTE, "updatedAt": MADE + MINUTE}
    create, wait, hook, get = clamped(f"ahead.{fact}", now, lifetime)
    assert isinstance(create, Request)
    assert isinstance(create.body, bytes)
    assert json.loads(create.body)["appUserId"] == "user"
    assert wait == HookCall("pass_time", (waited,))
    assert hook == HookCall(f"{fact}_late", ("c", *MORE[fact], -AHEAD))
    assert isinstance(get, Request)
    assert get.target.endswith("/connections/c")


@of_each_fact
@pytest.mark.parametrize("recorded", [MADE, MADE + 5 * MINUTE])
def test_future_fact_check_fails_if_the_fact_is_not_dated_now(
    fact: str, recorded: datetime
) -> None:
    with pytest.raises(NotConformingError) as raised:
        clamped(f"ahead.{fact}", {SHOWN[fact]: recorded, "updatedAt": MADE + MINUTE})
    assert raised.value.what == (
        f'{SHOWN[fact]} is "{format_time(recorded)}" instead of "{format_time(MADE + MINUTE)}"'
    )


@of_each_fact
def test_kit_check_requires_early_fact_to_be_dated_at_creation(fact: str) -> None:
    instants = {SHOWN[fact]: MADE, "updatedAt": MADE + MINUTE}
    hook = clamped(f"before-the-making.{fact}", instants)[2]
    assert hook == HookCall(f"{fact}_late", ("c", *MORE[fact], HOUR))
    with pytest.raises(NotConformingError, match=SHOWN[fact]):
        clamped(f"before-the-making.{fact}", instants | {SHOWN[fact]: MADE + MINUTE})


def late(gap: timedelta, status: str = "REVOKED") -> list[Step]:
    """Play the check on a chain of two, and return its steps after the reconnect."""
    check = BY_NAME["clock.late.revoke"]
    instants = {"updatedAt": MADE + HOUR, "revokedAt": MADE + HOUR - gap}
    outcomes = (
        *("text", connection(201, {}, name="old")),
        connection(200, {}, name="old", shown_status="REVOKED"),
        connection(200, {}, name="old", shown_status="REVOKED"),
        *(connection(201, {}), None, "done"),
        connection(200, instants, shown_status=status),
    )
    return play(check.begin(context(*check.hooks)), *outcomes).steps[5:]


@pytest.mark.parametrize("off", [-ALMOST, timedelta(0), ALMOST])
def test_late_revocation_check_tolerates_a_small_time_difference(off: timedelta) -> None:
    wait, hook, get = late(5 * MINUTE + off)
    assert wait == HookCall("pass_time", (10 * MINUTE,))
    assert hook == HookCall("revoke_late", ("old", Actor.PATIENT, 5 * MINUTE))
    assert isinstance(get, Request)
    assert get.target.endswith("/connections/c")


@pytest.mark.parametrize("off", [ALMOST, 5 * MINUTE])
def test_check_fails_if_a_late_revocation_has_a_wrong_revoked_at(off: timedelta) -> None:
    for gap in (5 * MINUTE + off + MINUTE / 60, 5 * MINUTE - off - MINUTE / 60):
        with pytest.raises(NotConformingError) as raised:
            late(gap)
        assert raised.value.what == f"revokedAt is {gap} before updatedAt instead of 0:05:00"


def test_late_revocation_check_fails_if_successor_is_not_revoked() -> None:
    with pytest.raises(NotConformingError) as raised:
        late(5 * MINUTE, "PENDING")
    assert raised.value.what == 'the status of the successor is "PENDING" instead of "REVOKED"'
