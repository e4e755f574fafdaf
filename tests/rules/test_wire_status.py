"""Wire statuses: formatting a standing and parsing a status, against tables by hand."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.connection import RevocationState, Status, standing
from curae_lifecycle.rules.wire_status import STORED_STATUS, AuthorizationEvidence, WireStatus
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.wire_format import format_connection, parse_connection
from tests.proof.reference import tables
from tests.support.specimens import NOW, STANDS, stored
from tests.support.strategies import COORDINATE, TICK, at, pending


@pytest.mark.parametrize(("cell", "expected"), tables.WIRE_STATUS.items())
def test_each_standing_formats_as_its_wire_status(cell: tuple[str], expected: str) -> None:
    for connection in STANDS[cell[0]]:
        assert format_connection(connection, NOW, binding=None)["status"] == expected
        other = format_connection(connection, NOW, "AUTHORIZED", binding=None)["status"]
        assert other == ("AUTHORIZED" if expected == "ACTIVE" else expected)


MEMBERS = {
    "authorizedAt or a reason": (
        {"authorizedAt": "2026-01-01T00:00:00Z", "actionRequiredReason": "portal_login"},
        {"authorizedAt": "2026-01-01T00:00:00Z", "actionRequiredReason": None},
        {"authorizedAt": None, "actionRequiredReason": "portal_login"},
    ),
    "neither authorizedAt nor a reason": ({"authorizedAt": None, "actionRequiredReason": None},),
}


@pytest.mark.parametrize(
    ("cell", "expected", "members"),
    [
        (cell, word, each)
        for cell, word in tables.STORED_STATUS.items()
        for each in MEMBERS[cell[2]]
    ],
)
def test_each_wire_status_parses_as_the_table_says(
    cell: tuple[str, str, str], expected: str, members: dict[str, str | None]
) -> None:
    status, revocation, trace = cell
    revoked_at = None if revocation == "no revokedAt" else at(10)
    page = format_connection(stored("ACTIVE", revoked_at=revoked_at), NOW, binding=None)
    page |= {**members, "status": status}
    made = parse_connection(page, environment=COORDINATE.environment, app_id=COORDINATE.app_id)
    to, _, lapsed = expected.partition(", ")
    assert made.status == to
    # The wire has no deadline; `updated_at` is the latest that a lapsed one can have been.
    assert made.handoff_deadline == (made.updated_at if lapsed else None)
    assert made.revoked_at == revoked_at
    row = STORED_STATUS[
        WireStatus(status), RevocationState(revocation), AuthorizationEvidence(trace)
    ]
    assert str(row.outcome) == expected


def test_lapsed_connection_round_trips_as_lapsed() -> None:
    deadline = pending().handoff_deadline
    assert deadline is not None
    page = format_connection(pending(), deadline, binding=None)
    made = parse_connection(page, environment=COORDINATE.environment, app_id=COORDINATE.app_id)
    assert page["status"] == "EXPIRED"
    assert made.status is Status.PENDING
    assert standing(made, deadline + TICK, era=None) == "LAPSED"


@pytest.mark.parametrize("status", ["LAPSED", "active", "", "GRANTED", None, 1])
def test_unknown_wire_status_raises_malformed_error(status: Json) -> None:
    page = format_connection(stored("ACTIVE"), NOW, binding=None) | {"status": status}
    with pytest.raises(MalformedError, match=r"^status: "):
        parse_connection(page, environment=COORDINATE.environment, app_id=COORDINATE.app_id)
