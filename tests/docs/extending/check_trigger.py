"""Check a copy with the trigger of the page: `decline`, which the fact `Declined` fires."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from curae_lifecycle import Done, Ignored
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.connection import Connection, Standing
from curae_lifecycle.rules.preview import TriggerPreview, preview_triggers
from curae_lifecycle.rules.triggers import TRIGGERS, Trigger
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACT_BY_TRIGGER
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.testing import strategies
from curae_lifecycle.testing.conformance import CHECKS, model
from curae_lifecycle.testing.conformance.triggers import example_fact, settable_members
from curae_lifecycle.testing.factories import build
from curae_lifecycle.testing.log_format import format_fact
from tests.docs.extending.checks import require_checks_to_pass, require_copy, require_drawn
from tests.support import server
from tests.support.instants import handle_at, record_at
from tests.support.strategies import START, at, pending, uuid

DECLINE = Trigger["DECLINE"]
DECLINED: type[Fact] = FACT_BY_TRIGGER[DECLINE]


def check_table() -> None:
    assert len(TRIGGERS) == len(Trigger) * len(Standing)
    assert TRIGGERS[DECLINE, Standing.PENDING].rule == "connection.decline.pending"


def check_previews() -> None:
    shown = {each.trigger: each for each in preview_triggers(pending(), START, era=None)}
    assert list(shown) == list(Trigger)
    assert shown[DECLINE].rules == ("connection.decline.pending",)


def check_kit() -> None:
    assert settable_members(DECLINE) == {"revokedAt"}
    assert model.OTHER_FACTS == {"connection.decline": DECLINED}
    rows = [check.name for check in CHECKS if check.name.startswith("connection.decline.")]
    assert len(rows) == len(Standing) == 6
    require_checks_to_pass(
        "connection.decline.",
        "law-01.rank-never-falls",
        "law-02.revocation-survives",
        "model.side-by-side",
    )


def check_server_in_memory() -> None:
    store = server.world(DEFAULT_SETTINGS, pending())
    answer = record_at(store, example_fact(DECLINED, uuid(1)), at(1))
    assert isinstance(answer, Done)
    shown = handle_at(store, server.request("get"), at(2)).response
    assert json.loads(shown.body)["connection"]["status"] == "REVOKED"


def check_fact_recorded_after_the_page_ended_is_ignored() -> None:
    store = server.world(DEFAULT_SETTINGS, pending())
    late = build(DECLINED, {"connection_id": uuid(1), "happened_at": at(10)})
    assert isinstance(record_at(store, late, at(40)), Ignored)


def check_log() -> None:
    fact = build(DECLINED, {"connection_id": uuid(1)})
    line = {"at": "2026-01-05T09:00:00Z", "fact": format_fact(fact)}
    (answer,) = replay([json.dumps(line).encode()])
    assert answer.answer["code"] == "NOT_FOUND"


def check_strategies() -> None:
    strategies.register()
    require_drawn(strategies.facts(), DECLINED)
    require_drawn(strategies.facts_about(pending(), START), DECLINED)
    triggers = st.from_type(TriggerPreview).map(lambda preview: preview.trigger)
    require_drawn(triggers, DECLINE)
    kinds = strategies.traffic_runs().map(
        lambda run: {type(getattr(each, "fact", None)) for each in run.interactions}
    )
    require_drawn(kinds.map(lambda found: DECLINED in found), True)
    require_drawn(st.from_type(Connection), Connection)


if __name__ == "__main__":
    require_copy()
    check_table()
    check_previews()
    check_kit()
    check_server_in_memory()
    check_fact_recorded_after_the_page_ended_is_ignored()
    check_log()
    check_strategies()
