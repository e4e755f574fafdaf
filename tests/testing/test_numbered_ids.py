"""Tests of numbered ids."""

from __future__ import annotations

from datetime import timedelta

from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, UserId
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.new_ids import NEXT_ACTION_LIFETIME
from curae_lifecycle.testing.numbered_ids import NumberedIds
from tests.support.strategies import START, at


def test_numbered_ids_count_the_calls_starting_at_1() -> None:
    ids = NumberedIds()
    assert ids(START) == NewIds(
        connection_id=ConnectionId("00000000-0000-4000-8000-000000000001"),
        session_id=SessionId("00000000-0000-4000-9000-000000000001"),
        user_id=UserId("limited-1"),
        next_action=NextAction("https://connect.example/1", START + NEXT_ACTION_LIFETIME),
    )
    second = ids(at(1))
    assert second.connection_id == "00000000-0000-4000-8000-000000000002"
    assert second.next_action == NextAction(
        "https://connect.example/2", at(1) + NEXT_ACTION_LIFETIME
    )


def test_numbered_hosted_page_has_given_base_url_and_lifetime() -> None:
    ids = NumberedIds("https://pages.example/p/", timedelta(minutes=5))
    assert ids(START).next_action == NextAction("https://pages.example/p/1", at(5))
