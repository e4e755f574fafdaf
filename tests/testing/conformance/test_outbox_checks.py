"""Tests of what the checks of the outbox allow, and of a mistake that only they find."""

from __future__ import annotations

from typing import cast

import attrs
import pytest

from curae_lifecycle.rules import session
from curae_lifecycle.rules.binding import (
    AccountState,
    BindingTransition,
    LimitedAccountAppBinding,
    account_state,
    provision,
)
from curae_lifecycle.rules.values import Coordinate, UserId
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import CHECKS, run
from curae_lifecycle.testing.conformance.store_server import server_for_store
from tests.proof.bugs.kit import server
from tests.proof.bugs.service import Service
from tests.testing.conformance.transcript import Run

(ACCOUNT,) = [each for each in CHECKS if each.name == "outbox.account"]


def test_outbox_check_accepts_connect_session_landed_event() -> None:
    right = server(Service(Settings()))

    def outbox() -> list[dict[str, Json]]:
        assert right.outbox is not None
        events = cast("list[dict[str, Json]]", [*right.outbox()])
        initiated = next(each for each in events if each["kind"] == "connect_session.initiated")
        return [*events, initiated | {"kind": "connect_session.landed"}]

    assert Run(attrs.evolve(right, outbox=outbox)).play(ACCOUNT) is None


def test_server_that_makes_a_user_at_each_initiate_fails_the_kit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def state_of(binding: LimitedAccountAppBinding | None) -> AccountState:
        state = account_state(binding)
        return AccountState.UNLINKED if state is AccountState.LIMITED else state

    def make_user(
        binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
    ) -> BindingTransition:
        is_limited = account_state(binding) is AccountState.LIMITED
        return provision(None if is_limited else binding, coordinate, user_id)

    monkeypatch.setattr(session, "account_state", state_of)
    monkeypatch.setattr(session, "provision", make_user)
    report = run(server_for_store(MemoryStore()), seed="1", only=["outbox.account"])
    (failure,) = report.failed
    assert failure.message.startswith(
        'the list of events of the account is ["binding.provisioned", "binding.provisioned"'
    )
