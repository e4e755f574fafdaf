"""The wire format: formatting member by member, and tolerant parsing of snapshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle import ConnectionId, NextAction, SessionId, UserId, decide_access, standing
from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.rules.problems import Fault, Problem, ProblemCode
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import DataPackage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.web import wire_format
from curae_lifecycle.web.json import format_json, parse_json
from curae_lifecycle.web.wire_format import format_connection, format_problem, parse_connection
from tests.proof.reference.tables import WIRE_STATUS
from tests.support.malformed import any_text, fault, fault_if_any, jsons
from tests.support.strategies import (
    COORDINATE,
    START,
    apply_trigger,
    at,
    connections,
    instants,
    pending,
    uuid,
)


def test_connection_json_has_exactly_the_documented_members() -> None:
    connection = apply_trigger(
        apply_trigger(pending(), "authorize", at(1)), "require action", at(2)
    )
    connection = apply_trigger(connection, "PATIENT", at(3) + timedelta(microseconds=500))
    assert format_connection(connection, at(4), binding=None) == {
        "id": uuid(1),
        "customerAccountId": "d8c60791-7301-441c-98e8-5bea9a162d9b",
        "appUserId": "user-1",
        "status": "REVOKED",
        "dataPackages": ["clinical_summary", "labs"],
        "authorizedAt": "2026-01-01T00:01:00Z",
        "expiresAt": "2026-01-01T01:00:00Z",
        "revokedAt": "2026-01-01T00:03:00.0005Z",
        "actionRequiredReason": "portal_login",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:03:00.0005Z",
    }


MEMBERS = [
    "id",
    "customerAccountId",
    "appUserId",
    "status",
    "dataPackages",
    "authorizedAt",
    "expiresAt",
    "revokedAt",
    "actionRequiredReason",
    "createdAt",
    "updatedAt",
]
"""Wire members of a connection, in order (section 2 of the rules) [S]."""


def read_back(document: Json) -> Connection:
    return parse_connection(document, environment=COORDINATE.environment, app_id=COORDINATE.app_id)


@pytest.mark.slow
@given(connections(), instants, st.sampled_from(["ACTIVE", "AUTHORIZED"]))
def test_connection_json_shows_its_standing_and_parses_back(
    connection: Connection, now: datetime, spelling: str
) -> None:
    document = format_connection(connection, now, spelling, binding=None)
    shown = WIRE_STATUS[standing(connection, now, era=None),]
    assert list(document) == MEMBERS
    assert document["status"] == (spelling if shown == "ACTIVE" else shown)
    parsed = parse_json(format_json(document))
    assert isinstance(parsed, dict)
    again = read_back(parsed)
    assert format_connection(again, max(now, again.updated_at), spelling, binding=None) == document
    assert again.identity == connection.identity
    assert merge(connection, again).identity == connection.identity


def test_expired_json_without_authorized_at_parses_as_lapsed() -> None:
    stored = pending()
    snapshot = read_back(format_connection(stored, at(31), binding=None))
    assert (snapshot.status, standing(snapshot, at(31), era=None)) == ("PENDING", Standing.LAPSED)
    healed = apply_trigger(stored, "authorize for ever", at(29))
    assert merge(snapshot, healed).status == "ACTIVE"


def test_expired_json_with_a_reason_parses_as_expired() -> None:
    stored = attrs.evolve(
        pending(), status=Status.EXPIRED, action_required_reason="portal_login", updated_at=at(2)
    )
    document = format_connection(stored, at(3), binding=None)
    assert (document["authorizedAt"], document["actionRequiredReason"]) == (None, "portal_login")
    assert read_back(document).status == "EXPIRED"


SAMPLE: dict[str, Json] = {
    "id": uuid(1),
    "customerAccountId": COORDINATE.customer_account_id,
    "appUserId": "user-1",
    "status": "PENDING",
    "dataPackages": ["labs", "clinical_summary"],
    "authorizedAt": "2026-01-01T00:00:00Z",
    "expiresAt": "2027-01-01T00:00:00Z",
    "revokedAt": "2026-06-01T00:00:00Z",
    "actionRequiredReason": "portal_login",
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-06-01T00:00:00Z",
}
"""A connection as in sample answers [S], with every member set: PENDING with a `revokedAt`."""


def test_connection_json_with_revoked_at_denies_access_for_ever() -> None:
    read = read_back(SAMPLE)
    assert read.status == "REVOKED"
    for now in (START, at(10**6)):
        assert standing(read, now, era=None) == "REVOKED"
        assert not isinstance(decide_access(read, DataPackage("labs"), now, era=None), Granted)
    assert format_connection(read, START, binding=None) == {
        **SAMPLE,
        "status": "REVOKED",
        "dataPackages": ["clinical_summary", "labs"],
    }


@pytest.mark.parametrize("status", [*sorted({*WIRE_STATUS.values()}), "AUTHORIZED"])
def test_any_status_in_json_with_revoked_at_parses_as_revoked(status: str) -> None:
    for trace in ({}, {"authorizedAt": None, "actionRequiredReason": None}):
        read = read_back({**SAMPLE, **trace, "status": status})
        assert (read.status, read.handoff_deadline) == ("REVOKED", None)
        assert standing(read, START, era=None) == "REVOKED"


def test_authorized_status_and_upper_case_id_in_json_are_parsed() -> None:
    document = format_connection(
        apply_trigger(pending(), "authorize", at(1)), at(2), "AUTHORIZED", binding=None
    )
    assert document["status"] == "AUTHORIZED"
    again = read_back({**document, "id": uuid(1).upper()})
    assert (again.status, again.id) == ("ACTIVE", uuid(1))
    assert decide_access(again, DataPackage("labs"), at(2), era=None) == decide_access(
        apply_trigger(pending(), "authorize", at(1)), DataPackage("labs"), at(2), era=None
    )


def test_members_missing_in_json_come_from_arguments_or_defaults() -> None:
    chained = parse_connection(
        format_connection(pending(number=3), START, binding=None),
        environment=COORDINATE.environment,
        app_id=COORDINATE.app_id,
        predecessor_id=ConnectionId(uuid(2)),
        root_id=ConnectionId(uuid(1)),
        position=3,
        era=START,
    )
    assert (chained.identity.predecessor_id, chained.identity.root_id) == (uuid(2), uuid(1))
    assert (chained.identity.position, chained.identity.era) == (3, START)
    alone = read_back(format_connection(pending(number=3), START, binding=None))
    assert (alone.identity.root_id, alone.identity.position) == (uuid(3), 1)
    assert (alone.identity.predecessor_id, alone.identity.era) == (None, None)
    # The wire has neither the actor of a revocation nor the version.
    assert (alone.revoked_by, alone.version) == (None, 1)


NULLABLE = {"authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"}


@pytest.mark.parametrize("member", MEMBERS)
def test_connection_json_may_lack_only_members_that_may_be_null(member: str) -> None:
    document = format_connection(pending(), START, binding=None)
    wrong: list[Json] = [7, True, {}, [], "", "\ud800"]
    for value in wrong:
        assert fault(partial(read_back, {**document, member: value})) == (member, "INVALID")
    without = {name: value for name, value in document.items() if name != member}
    if member in NULLABLE:
        assert read_back(without) == read_back({**document, member: None}) == read_back(document)
        full = {name: value for name, value in SAMPLE.items() if name != member}
        assert read_back(full) == read_back({**SAMPLE, member: None})
    else:
        assert fault(lambda: read_back(without)) == (member, "MISSING")
        assert fault(lambda: read_back({**document, member: None})) == (member, "NULL")


@pytest.mark.slow
@given(st.dictionaries(any_text.filter(lambda name: name not in MEMBERS), jsons, max_size=3))
@example({"tenantId": "t-1"})
@example({"ID": 7, "Status": None, "revoked_at": "2026-01-01T00:00:00Z"})
def test_unknown_members_of_connection_json_are_ignored(more: dict[str, Json]) -> None:
    document = format_connection(pending(), START, binding=None)
    assert read_back({**more, **document}) == read_back({**document, **more}) == read_back(document)


@pytest.mark.parametrize(
    "member", ["authorizedAt", "expiresAt", "revokedAt", "createdAt", "updatedAt"]
)
def test_connection_json_accepts_only_times_in_z_or_plus_00_00(member: str) -> None:
    for text in ("2026-06-01T00:00:00", "2026-06-01T00:00:00.000001"):
        as_offset = read_back({**SAMPLE, member: f"{text}+00:00"})
        assert as_offset == read_back({**SAMPLE, member: f"{text}Z"})
    for end in (
        "+01:00",
        "-00:00",
        "+00:00:00",
        "+0000",
        "+00",
        "",
        "Z+00:00",
        "+00:00Z",
        "+00:01",
    ):
        wrong = partial(read_back, {**SAMPLE, member: f"2026-06-01T00:00:00{end}"})
        assert fault(wrong) == (member, "INVALID"), end


def test_repeated_member_of_connection_json_is_refused() -> None:
    text = format_json(SAMPLE).decode()
    again = parse_json(text[:-1] + ',"revokedAt":null}')
    assert fault(lambda: read_back(again)) == ("revokedAt", "REPEATED")
    unknown = parse_json(text[:-1] + ',"tenantId":1,"tenantId":2}')
    assert fault(lambda: read_back(unknown)) == (None, "REPEATED")


@given(any_text.filter(lambda text: text not in {*WIRE_STATUS.values(), "AUTHORIZED"}))
@example("LAPSED")
@example("active")
def test_unknown_status_in_connection_json_is_invalid(status: str) -> None:
    document = format_connection(pending(), START, binding=None)
    assert fault(lambda: read_back({**document, "status": status})) == ("status", "INVALID")


@given(jsons)
def test_law_16_any_json_parses_or_has_a_documented_fault(value: Json) -> None:
    found = fault_if_any(lambda: read_back(value))
    assert found is None or (found[0] in {None, *MEMBERS} and found[1] in Fault)


# --- Sessions, actions and problems -----------------------------------------------------------

SESSION = CuraeConnectSession(
    id=SessionId(uuid(1001)),
    coordinate=COORDINATE,
    path=EntryPath.EXISTING_ACTIVE_HANDOFF,
    handoff=HandoffState.LANDED,
    created_at=START,
    expires_at=at(30),
    landed_at=START,
    user_id=UserId("u-secret"),
)


def test_session_json_has_no_user_id() -> None:
    assert wire_format.format_session(SESSION) == {
        "id": uuid(1001),
        "customerAccountId": COORDINATE.customer_account_id,
        "appUserId": "user-1",
        "path": "EXISTING_ACTIVE_HANDOFF",
        "handoff": "LANDED",
        "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2026-01-01T00:30:00Z",
        "landedAt": "2026-01-01T00:00:00Z",
    }
    assert wire_format.format_session(attrs.evolve(SESSION, landed_at=None))["landedAt"] is None


def test_next_action_json_has_its_type_url_and_expiry() -> None:
    action = NextAction("https://connect.example/1", at(30))
    assert wire_format.format_reply(GraduationStarted(action), START, binding=None) == {
        "nextAction": {
            "type": "open_webview",
            "url": "https://connect.example/1",
            "expiresAt": "2026-01-01T00:30:00Z",
        }
    }


def test_problem_json_is_formatted_as_in_rfc_9457() -> None:
    lapsed = Problem(ProblemCode.HANDOFF_LAPSED, (uuid(1), at(30)))
    printed = format_problem(lapsed, "https://problems.example/", "/logs/1")
    assert printed == {
        "type": "https://problems.example/handoff-lapsed",
        "title": "Hand-off lapsed",
        "status": 409,
        "detail": lapsed.detail,
        "code": "HANDOFF_LAPSED",
        "details": {"connectionId": uuid(1), "deadline": "2026-01-01T00:30:00Z"},
        "retryable": False,
        "instance": "/logs/1",
    }
    assert "instance" not in format_problem(lapsed)
    assert "instance" not in format_problem(Problem(ProblemCode.NOT_FOUND), instance="/logs/1")


# --- Replies ----------------------------------------------------------------------------------


@attrs.frozen
class Everything(Reply):
    connection: Connection
    connect_session: CuraeConnectSession
    next_action: NextAction
    since_when: datetime | None
    how_many: int
    is_new: bool
    spelled: str
    of_kind: Actor | None


@attrs.frozen
class Unprintable(Reply):
    parts: set[str]


@pytest.mark.parametrize("since", [None, at(3)])
@pytest.mark.parametrize("spelling", ["ACTIVE", "AUTHORIZED"])
def test_each_reply_field_is_formatted_by_its_type(since: datetime | None, spelling: str) -> None:
    connection = attrs.evolve(pending(), status=Status.ACTIVE, authorized_at=at(1))
    action = NextAction("https://connect.example/1", at(30))
    reply = Everything(
        connection=connection,
        connect_session=SESSION,
        next_action=action,
        since_when=since,
        how_many=3,
        is_new=True,
        spelled="as it is",
        of_kind=None if since is None else Actor.PATIENT,
    )
    printed = wire_format.format_reply(reply, at(2), spelling, binding=None)
    assert list(printed.items()) == [
        ("connection", format_connection(connection, at(2), spelling, binding=None)),
        ("connectSession", wire_format.format_session(SESSION)),
        ("nextAction", wire_format.format_next_action(action)),
        ("sinceWhen", None if since is None else "2026-01-01T00:03:00Z"),
        ("howMany", 3),
        ("isNew", True),
        ("spelled", "as it is"),
        ("ofKind", None if since is None else "PATIENT"),
    ]
    assert printed["connection"] == format_connection(connection, at(2), binding=None) | {
        "status": spelling
    }
    assert wire_format.find_next_action(reply) is action
    assert wire_format.find_next_action(Unprintable({"a"})) is None
