"""Tests of the kit's checks of triggers and facts without a hook."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle import ConnectionId
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.triggers import Trigger, revoke
from curae_lifecycle.rules.values import parse_opaque
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.registry import FACT_BY_TRIGGER
from curae_lifecycle.service.members import FACT_CONNECTION_ID, HAPPENED_AT, Member
from curae_lifecycle.service.operations.registry import OPERATION_BY_TRIGGER, OPERATIONS
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.testing.conformance import Server, connections, model, run, triggers
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.results import NotRun, Result
from curae_lifecycle.testing.conformance.runner import run_check
from curae_lifecycle.testing.conformance.steps import HookCall
from tests.support.kit import Reference
from tests.testing.conformance.by_hand import Played, play

EXPIRE_CHECKS = [f"connection.expire.{each}" for each in ("pending", "active", "revoked")]


def result_of(check: Check, server: Server) -> Result:
    return run_check(server, check=check, seed="1", operations=OPERATIONS)


@pytest.fixture
def without_own_hook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """The checks of triggers if an expiry had no hook."""
    hooks = {each: hook for each, hook in triggers.OWN_HOOKS.items() if each != Trigger.EXPIRE}
    monkeypatch.setattr(triggers, "OWN_HOOKS", hooks)
    return {check.name: check for check in connections.checks()}


@pytest.mark.parametrize("name", EXPIRE_CHECKS)
def test_kit_trigger_without_a_hook_uses_the_record_fact_hook(
    without_own_hook: dict[str, Check], name: str
) -> None:
    check = without_own_hook[name]
    assert check.hooks[-1] == "record_fact"
    assert result_of(check, attrs.evolve(Reference().server(), record_fact=None)) == NotRun(
        name, "needs record_fact"
    )
    assert result_of(check, Reference().server()) is None


def test_record_fact_hook_that_ignores_facts_fails_a_kit_check(
    without_own_hook: dict[str, Check],
) -> None:
    server = attrs.evolve(Reference().server(), record_fact=lambda _: None)
    assert result_of(without_own_hook["connection.expire.revoked"], server) is None
    failed = result_of(without_own_hook["connection.expire.active"], server)
    assert 'the status is "ACTIVE" instead of' in str(failed)


def test_kit_lists_the_triggers_whose_hooks_are_available() -> None:
    own = [Trigger.AUTHORIZE, Trigger.REQUIRE_ACTION, Trigger.EXPIRE, Trigger.REVOKE]
    assert triggers.triggers_of(frozenset(triggers.OWN_HOOK_NAMES)) == own
    assert triggers.triggers_of(frozenset({"expire"})) == [Trigger.EXPIRE]
    assert triggers.OWN_HOOK_NAMES == ("authorize", "require_action", "expire", "revoke")


@pytest.mark.parametrize(
    ("trigger", "members"),
    [
        (Trigger.AUTHORIZE, {"authorizedAt", "expiresAt"}),
        (Trigger.REQUIRE_ACTION, {"actionRequiredReason"}),
        (Trigger.EXPIRE, set[str]()),
        (Trigger.REVOKE, {"revokedAt"}),
        (Trigger.RECONNECT, set[str]()),
    ],
)
def test_kit_knows_which_connection_members_a_trigger_may_set(
    trigger: Trigger, members: set[str]
) -> None:
    assert triggers.settable_members(trigger) == members


@pytest.mark.parametrize(
    ("trigger", "hook", "arguments"),
    [
        (Trigger.AUTHORIZE, "authorize", (timedelta(hours=1),)),
        (Trigger.REQUIRE_ACTION, "require_action", ("another_reason",)),
        (Trigger.EXPIRE, "expire", ()),
        (Trigger.REVOKE, "revoke", (Actor.PLATFORM,)),
    ],
)
def test_trigger_with_a_hook_calls_it_and_returns_its_outcome(
    trigger: Trigger, hook: str, arguments: tuple[object, ...]
) -> None:
    played = play(triggers.fire(trigger, "c"), "ignored")
    assert played == Played([HookCall(hook, ("c", *arguments))], "ignored")


def test_every_trigger_has_a_fact_or_an_operation() -> None:
    assert {*FACT_BY_TRIGGER, *OPERATION_BY_TRIGGER} == set(Trigger)
    assert FACT_BY_TRIGGER[Trigger.EXPIRE] is Expired
    assert list(OPERATION_BY_TRIGGER) == [Trigger.RECONNECT, Trigger.REVOKE]


# --- Facts without a hook in the comparison with the store in memory --------------------------


@attrs.frozen
class Closed(fact.ConnectionFact):
    """A fact: an account was closed at a desk, and one connection ends."""

    connection_id: ConnectionId
    desk: str
    happened_at: datetime | None = None

    kind = "connection.close"
    members = (
        FACT_CONNECTION_ID,
        Member("desk", lambda value: parse_opaque("desk", value), example="north"),
        HAPPENED_AT,
    )

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        connection = fact.require_connection(snapshot)
        answer = revoke(
            connection, now, actor=Actor.PLATFORM, happened_at=self.happened_at, era=None
        )
        return fact.to_connection_fact_answer(EventKind.CONNECTION_REVOKED, connection, answer)


@pytest.fixture
def with_other_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model.OTHER_FACTS, Closed.kind, Closed)


@pytest.mark.slow
@pytest.mark.usefixtures("with_other_fact")
def test_kit_passes_a_server_that_records_a_custom_fact() -> None:
    assert Closed.kind in {step.kind for step in model.draw_steps("1", frozenset({"record_fact"}))}
    assert Closed.kind not in {step.kind for step in model.draw_steps("1", frozenset())}
    report = run(Reference().server(), seed="1", only=["model.side-by-side"])
    assert report.passed, str(report)


@pytest.mark.usefixtures("with_other_fact")
def test_kit_fails_a_server_that_drops_a_custom_fact() -> None:
    server = attrs.evolve(Reference().server(), record_fact=lambda _: "ignored")
    (failure,) = run(server, seed="1", only=["model.side-by-side"]).failed
    assert "ignored instead of done (rule connection.revoke." in failure.message
    assert '"type": "connection.close"' in failure.message


def test_record_fact_hook_adds_no_model_step_if_no_custom_fact() -> None:
    assert model.OTHER_FACTS == {}
    hooks = frozenset(model.FACTS)
    assert model.draw_steps("1", hooks) == model.draw_steps("1", hooks | {"record_fact"})
