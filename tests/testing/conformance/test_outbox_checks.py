"""Tests of what the checks of the outbox allow beside the events that they ask for."""

from __future__ import annotations

from typing import cast

import attrs

from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import CHECKS
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
