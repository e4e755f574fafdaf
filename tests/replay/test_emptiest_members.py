"""Facts of a log whose optional members have the shortest legal text or the earliest instant."""

from __future__ import annotations

from typing import Final

import pytest

from curae_lifecycle.rules.values import LAST_INSTANT, TICK, format_time
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.json_schema import Json
from tests.support.logs import (
    AUTHORIZED,
    GRADUATED,
    LANDED,
    TOMBSTONED,
    A,
    B,
    C,
    asked,
    created,
    fact,
    last,
    recorded,
    told,
)
from tests.support.strategies import at

EARLIEST: Final = "0001-01-01T00:00:00Z"
ACTIVE: Final = (A, AUTHORIZED)
LINES: Final[dict[str, tuple[tuple[bytes, ...], dict[str, Json]]]] = {
    "connection.authorize": ((A,), {}),
    "connection.require_action": (ACTIVE, {"reason": "r"}),
    "connection.expire": (ACTIVE, {}),
    "connection.revoke": (ACTIVE, {"actor": "APP"}),
    "handoff.complete": ((B,), {}),
    "binding.graduate": ((C,), {"userId": "limited-user-1"}),
    "binding.tombstone": ((C,), {}),
}
"""The lines before each fact, and the members that it needs."""

OPTIONAL: Final = {
    (kind.kind, member.name) for kind in FACTS for member in kind.members if member.optional
}


def test_every_optional_member_of_a_fact_is_tested() -> None:
    assert {kind for kind, _ in OPTIONAL} == LINES.keys()
    assert {name for _, name in OPTIONAL} == {
        # A fact's environment is one of two words, of which neither is emptier.
        "environment",
        "expiresAt",
        "happenedAt",
        "pageUrl",
        "userId",
    }


@pytest.mark.parametrize("kind", sorted(kind for kind, name in OPTIONAL if name == "happenedAt"))
def test_fact_that_happened_at_the_earliest_instant_is_done(kind: str) -> None:
    before, members = LINES[kind]
    assert told(last(*before, fact(3, kind, happenedAt=EARLIEST, **members))) == ("done", None)


def test_repeated_tombstone_of_the_earliest_instant_is_ignored() -> None:
    earliest = fact(3, "binding.tombstone", happenedAt=EARLIEST)
    assert told(last(C, earliest, earliest)) == ("ignored", None)
    assert told(last(C, earliest, TOMBSTONED.replace(b":02:", b":03:"))) == ("done", None)


@pytest.mark.parametrize("kind", sorted(kind for kind, name in OPTIONAL if name == "pageUrl"))
def test_fact_with_an_unknown_one_character_page_url_is_refused(kind: str) -> None:
    before, members = LINES[kind]
    assert told(last(*before, fact(3, kind, **members))) == ("done", None)
    unknown = fact(3, kind, pageUrl="/", **members)
    assert told(last(*before, unknown)) == ("refused", "NOT_FOUND")


def test_hosted_page_with_a_url_of_one_character_is_found() -> None:
    created_by = created(1, response=recorded(1, url="/"))
    assert told(last(created_by, fact(2, "connection.authorize", pageUrl="/"))) == ("done", None)
    other = fact(2, "connection.authorize", pageUrl="?")
    assert told(last(created_by, other)) == ("refused", "NOT_FOUND")


def test_fact_naming_user_0_conflicts_with_another_bound_user() -> None:
    landed = fact(2, "handoff.complete", userId="0")
    assert told(last(B, landed)) == ("done", None)
    assert told(last(B, landed, landed)) == ("ignored", None)
    assert told(last(B, landed, LANDED)) == ("refused", "BINDING_CONFLICT")
    other = fact(2, "binding.graduate", userId="0")
    assert told(last(C, other)) == ("refused", "BINDING_CONFLICT")
    assert told(last(C, GRADUATED)) == ("done", None)


def test_authorization_for_one_microsecond_grants_access() -> None:
    end = format_time(at(2) + TICK)
    authorized = fact(2, "connection.authorize", expiresAt=end)
    assert told(last(A, authorized)) == ("done", None)
    answer = last(A, authorized, asked(2))
    assert (answer["granted"], answer["validUntil"]) == (True, end)
    assert "expiresAt: must" in str(last(A, fact(2, "connection.authorize", expiresAt=EARLIEST)))


def test_authorization_to_the_last_instant_of_9999_grants_access() -> None:
    end = format_time(LAST_INSTANT)
    answer = last(A, fact(2, "connection.authorize", expiresAt=end), asked(2))
    assert (answer["granted"], answer["validUntil"]) == (True, end)
