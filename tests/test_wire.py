"""JSON text to values and back: strict reading, exact printing, faithful storing."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle.rules.access import decide_access
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Standing, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Fingerprint,
    IdempotencyKey,
    LostLease,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.rules.problems import Fault, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppUserId,
    ConnectionId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
    format_time,
    parse_time,
)
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.stores.codec import dump, load
from curae_lifecycle.web.json import DEPTH_MAX, Json, MalformedError, format_json, parse_json
from curae_lifecycle.web.shapes import (
    format_connection,
    format_next_action,
    format_problem,
    format_session,
    parse_connection,
)
from tests.strategies import (
    COORDINATE,
    START,
    apply_event,
    at,
    connections,
    instants,
    pending,
    uuid,
)

any_text = st.text(st.characters(exclude_categories=()))
"""Text with surrogates, control characters and all else."""

jsons: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
any_instants = st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(fold=0))


def fault(read: Callable[[], object]) -> tuple[str | None, str]:
    """Which member is at fault, and how."""
    found = fault_if_any(read)
    assert found is not None, "it should have been malformed"
    return found


def fault_if_any(read: Callable[[], object]) -> tuple[str | None, Fault] | None:
    """The same, or `None` where there is a value; no other exception is caught."""
    try:
        read()
    except MalformedError as error:
        return error.member, error.fault
    return None


# --- Texts -----------------------------------------------------------------------------------

NOT_JSON: list[bytes | str] = [
    b"",
    b"{",
    b"{}{}",
    b"{'a':1}",
    b'{"a":1,}',
    b"[1,]",
    b"// no\n{}",
    b"NaN",
    b"[Infinity]",
    b'{"a":-Infinity}',
    b"0x10",
    b"01",
    b"\xff",
    b"\xef\xbb\xbf{}",
    b'"\xed\xa0\x80"',
    "{}".encode("utf-16"),
    b'"\t"',
    b'"\\x"',
    b"nul",
    b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
    b"[" * 100_000,
    b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
    b"9" * 5000,
    "\ud800",
]


@pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: repr(text[:16]))
def test_what_is_no_json_is_said_to_be_none(text: bytes | str) -> None:
    assert fault(lambda: parse_json(text)) == (None, "NOT_JSON")


BRACKETS = "[{" * DEPTH_MAX
VALUES: list[tuple[bytes | str, Json]] = [
    (b" {} ", {}),
    ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'"\\ud83d"', "\ud83d"),
    (b"9" * 4000, int("9" * 4000)),
    (json.dumps([BRACKETS, '\\"' + BRACKETS]).encode(), [BRACKETS, '\\"' + BRACKETS]),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=lambda value: repr(value)[:16])
def test_what_is_json_is_read(text: bytes | str, value: Json) -> None:
    assert parse_json(text) == value


def test_a_document_is_read_to_its_greatest_depth_and_however_wide() -> None:
    assert parse_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    wide = b"[" + b",".join([b"{}"] * 2 * DEPTH_MAX) + b"]"
    assert parse_json(wide) == [{}] * 2 * DEPTH_MAX


def test_a_document_is_read_or_refused_however_deep_the_caller_s_stack_is() -> None:
    def sink(frames: int) -> tuple[str | None, Fault] | None:
        if frames:
            return sink(frames - 1)
        return fault_if_any(lambda: parse_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX))

    room = sys.getrecursionlimit() - len(inspect.stack(0))
    assert sink(room // 2) in {None, (None, Fault.NOT_JSON)}
    assert sink(room - 50) in {None, (None, Fault.NOT_JSON)}


def test_a_number_too_large_for_a_float_is_no_infinity() -> None:
    assert fault(lambda: parse_json(b"1e999")) == (None, "NOT_JSON")


def test_a_large_text_is_read_in_one_pass() -> None:
    # Each of these takes minutes where a scan starts over at every character.
    escapes = b'"' + b'\\"' * 200_000
    assert fault(lambda: parse_json(escapes + BRACKETS.encode())) == (None, "NOT_JSON")
    names = ",".join(f'"{number}":0' for number in range(100_000))
    assert fault(lambda: read_nothing(parse_json(f'{{{names},"99999":0}}'))) == (None, "REPEATED")


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_a_document_that_is_printed_is_read_as_the_same(value: dict[str, Json]) -> None:
    text = format_json(value)
    assert parse_json(text) == value
    assert text.decode() == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- Bodies ----------------------------------------------------------------------------------

READERS: dict[str, Callable[[Json], object]] = {
    "create": read_create,
    "initiate": read_initiate,
    "graduation": read_graduation,
    "nothing": read_nothing,
}
GOOD: list[tuple[str, str, object]] = [
    (
        "create",
        '{"dataPackages": ["b", "a", "b"], "appUserId": "u"}',
        CreateConnection(AppUserId("u"), (DataPackage("a"), DataPackage("b"))),
    ),
    (
        "create",
        json.dumps({"appUserId": "u" * 256, "dataPackages": [f"p{i}" for i in range(64)] * 2}),
        CreateConnection(
            AppUserId("u" * 256), tuple(DataPackage(f"p{i}") for i in sorted(range(64), key=str))
        ),
    ),
    ("initiate", '{"appUserId": "u"}', Initiate(AppUserId("u"))),
    ("initiate", '{"appUserId": "u", "preferSignup": false}', Initiate(AppUserId("u"))),
    ("initiate", '{"preferSignup": true, "appUserId": "u"}', Initiate(AppUserId("u"), True)),
    ("graduation", '{"appUserId": "u v"}', StartGraduation(AppUserId("u v"))),
    ("nothing", "{}", None),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_a_well_formed_body_is_read(kind: str, text: str, value: object) -> None:
    assert READERS[kind](parse_json(text)) == value


BAD_PACKAGES: list[Json] = [
    [],
    "a",
    {"a": 1},
    ["A"],
    ["1a"],
    ["a-b"],
    [""],
    ["a", 1],
    ["a", None],
    ["a\n"],
    ["é"],
    ["a" * 65],
    [f"p{number}" for number in range(65)],
]
BAD_USERS: list[Json] = [
    "",
    " u",
    "u\u2003",
    "u\u00a0",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "u\n",
    "\ud800",
    "u" * 257,
    1,
    1.5,
    True,
    ["u"],
    {},
]
BAD: list[tuple[str, str, str | None, str]] = [
    *((kind, "[]", None, "NOT_AN_OBJECT") for kind in READERS),
    *((kind, "null", None, "NOT_AN_OBJECT") for kind in READERS),
    ("nothing", '{"a": 1}', None, "UNKNOWN"),
    ("nothing", '{"a": 1, "a": 1}', None, "REPEATED"),
    ("create", '{"appUserId": "u"}', "dataPackages", "MISSING"),
    ("create", '{"dataPackages": ["a"]}', "appUserId", "MISSING"),
    ("create", '{"appUserId": "u", "dataPackages": ["a"], "x": 1}', None, "UNKNOWN"),
    ("create", '{"appUserId": "u", "dataPackages": null}', "dataPackages", "NULL"),
    *(
        ("create", json.dumps({"appUserId": "u", "dataPackages": bad}), "dataPackages", "INVALID")
        for bad in BAD_PACKAGES
    ),
    ("initiate", '{"appUserID": "u"}', "appUserId", "MISSING"),
    ("initiate", '{"appUserId": "u", "prefersignup": true}', None, "UNKNOWN"),
    ("initiate", '{"appUserId": "u", "preferSignup": null}', "preferSignup", "NULL"),
    ("initiate", '{"appUserId": "u", "preferSignup": 1}', "preferSignup", "INVALID"),
    ("initiate", '{"appUserId": "u", "preferSignup": "true"}', "preferSignup", "INVALID"),
    ("initiate", '{"appUserId": "u", "appUserId": "u"}', "appUserId", "REPEATED"),
    ("initiate", '{"appUserId": "u", "x": 1, "x": 1}', None, "REPEATED"),
    ("graduation", '{"appUserId": null}', "appUserId", "NULL"),
    *(("graduation", json.dumps({"appUserId": bad}), "appUserId", "INVALID") for bad in BAD_USERS),
]


@pytest.mark.parametrize(("kind", "text", "member", "expected"), BAD)
def test_a_malformed_body_is_refused_by_its_member_and_fault(
    kind: str, text: str, member: str | None, expected: str
) -> None:
    found = fault(lambda: READERS[kind](parse_json(text)))
    if kind == "initiate" and "appUserID" in text:
        assert found in {(None, "UNKNOWN"), ("appUserId", "MISSING")}, "both hold; either is told"
    else:
        assert found == (member, expected)


def test_a_fault_never_repeats_what_stood_there() -> None:
    error = MalformedError("appUserId", Fault.INVALID)
    assert str(error) == "appUserId: INVALID"
    assert str(MalformedError(None, Fault.NOT_JSON)) == "the document: NOT_JSON"


# --- Times -----------------------------------------------------------------------------------

TIMES = [
    ("2026-01-01T00:00:00Z", START),
    ("2026-01-01T00:00:00.5Z", START + timedelta(milliseconds=500)),
    ("2026-01-01T00:00:00.000001Z", START + timedelta(microseconds=1)),
    ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "instant"), TIMES)
def test_a_time_is_printed_in_its_shortest_form_and_read_back(text: str, instant: datetime) -> None:
    assert format_time(instant) == text
    assert parse_time("at", text) == instant
    assert parse_time("at", text).tzinfo is UTC


@given(any_instants)
def test_every_instant_survives_its_text(instant: datetime) -> None:
    assert parse_time("at", format_time(instant)) == instant


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
        "",
        None,
        0,
        START,
    ],
)
def test_what_is_no_time_of_the_wire_is_refused_by_its_argument(text: object) -> None:
    with pytest.raises(ArgumentError, match="at: must be an RFC 3339 time"):
        parse_time("at", text)


# --- A connection on the wire ----------------------------------------------------------------

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
"""Section 2, the wire fields [S]."""

SHOWN = {
    "PENDING": "PENDING",
    "LAPSED": "EXPIRED",
    "ACTIVE": "ACTIVE",
    "ACTION_REQUIRED": "ACTION_REQUIRED",
    "EXPIRED": "EXPIRED",
    "REVOKED": "REVOKED",
}


def read_back(document: dict[str, Json]) -> Connection:
    return parse_connection(document, environment=COORDINATE.environment, app_id=COORDINATE.app_id)


@given(connections(), instants, st.sampled_from(["ACTIVE", "AUTHORIZED"]))
def test_a_connection_is_printed_with_its_standing_and_read_back_as_the_same(
    connection: Connection, now: datetime, spelling: str
) -> None:
    document = format_connection(connection, now, spelling)
    shown = SHOWN[standing(connection, now)]
    assert list(document) == MEMBERS
    assert document["status"] == (spelling if shown == "ACTIVE" else shown)
    parsed = parse_json(format_json(document))
    assert isinstance(parsed, dict)
    again = read_back(parsed)
    assert format_connection(again, max(now, again.updated_at), spelling) == document
    assert again.identity == connection.identity
    assert merge(connection, again).status >= "", "it joins with what is stored"


def test_a_connection_is_printed_member_by_member() -> None:
    connection = apply_event(apply_event(pending(), "authorize", at(1)), "require action", at(2))
    connection = apply_event(connection, "PATIENT", at(3) + timedelta(microseconds=500))
    assert format_connection(connection, at(4)) == {
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


def test_a_wire_expired_that_was_never_authorized_is_a_lapsed_pending_and_can_heal() -> None:
    stored = pending()
    snapshot = read_back(format_connection(stored, at(31)))
    assert (snapshot.status, standing(snapshot, at(31))) == ("PENDING", Standing.LAPSED)
    healed = apply_event(stored, "authorize for ever", at(29))
    assert merge(snapshot, healed).status == "ACTIVE"


def test_a_wire_expired_with_a_reason_was_no_hand_off_that_lapsed() -> None:
    stored = apply_event(apply_event(pending(), "require action", at(1)), "expire", at(2))
    document = format_connection(stored, at(3))
    assert (document["authorizedAt"], document["actionRequiredReason"]) == (None, "portal_login")
    assert read_back(document).status == "EXPIRED"


def test_both_spellings_of_active_are_read_and_upper_case_ids_too() -> None:
    document = format_connection(apply_event(pending(), "authorize", at(1)), at(2), "AUTHORIZED")
    assert document["status"] == "AUTHORIZED"
    again = read_back({**document, "id": uuid(1).upper()})
    assert (again.status, again.id) == ("ACTIVE", uuid(1))
    assert decide_access(again, DataPackage("labs"), at(2)) == decide_access(
        apply_event(pending(), "authorize", at(1)), DataPackage("labs"), at(2)
    )


def test_what_is_kept_beside_the_wire_comes_from_the_server() -> None:
    chained = parse_connection(
        format_connection(pending(number=3), START),
        environment=COORDINATE.environment,
        app_id=COORDINATE.app_id,
        predecessor_id=ConnectionId(uuid(2)),
        root_id=ConnectionId(uuid(1)),
    )
    assert (chained.identity.predecessor_id, chained.identity.root_id) == (uuid(2), uuid(1))
    assert read_back(format_connection(pending(number=3), START)).identity.root_id == uuid(3)


NULLABLE = {"authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"}


@pytest.mark.parametrize("member", MEMBERS)
def test_a_connection_on_the_wire_has_every_member_and_no_other(member: str) -> None:
    document = format_connection(pending(), START)
    wrong: list[Json] = [7, True, {}, [], "", "\ud800"]
    for value in wrong:
        assert fault(partial(read_back, {**document, member: value})) == (member, "INVALID")
    without = {name: value for name, value in document.items() if name != member}
    assert fault(lambda: read_back(without)) == (member, "MISSING")
    assert fault(lambda: read_back({**document, "owner": 1})) == (None, "UNKNOWN")
    if member in NULLABLE:
        assert read_back({**document, member: None}).identity == pending().identity
    else:
        assert fault(lambda: read_back({**document, member: None})) == (member, "NULL")


@given(any_text.filter(lambda text: text not in {*SHOWN.values(), "AUTHORIZED"}))
@example("LAPSED")
@example("active")
def test_an_unknown_status_is_a_clear_error(status: str) -> None:
    document = format_connection(pending(), START)
    assert fault(lambda: read_back({**document, "status": status})) == ("status", "INVALID")


# --- What else is printed ---------------------------------------------------------------------

SESSION = CuraeConnectSession(
    SessionId(uuid(1001)),
    COORDINATE,
    EntryPath.EXISTING_ACTIVE_HANDOFF,
    Handoff.LANDED,
    START,
    at(30),
    START,
    UserId("u-secret"),
)


def test_a_session_is_printed_without_the_user() -> None:
    assert format_session(SESSION) == {
        "id": uuid(1001),
        "customerAccountId": COORDINATE.customer_account_id,
        "appUserId": "user-1",
        "path": "EXISTING_ACTIVE_HANDOFF",
        "handoff": "LANDED",
        "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2026-01-01T00:30:00Z",
        "landedAt": "2026-01-01T00:00:00Z",
    }
    assert format_session(attrs.evolve(SESSION, landed_at=None))["landedAt"] is None


def test_a_next_action_is_printed_with_its_type() -> None:
    assert format_next_action(NextAction("https://connect.example/1", at(30))) == {
        "type": "open_webview",
        "url": "https://connect.example/1",
        "expiresAt": "2026-01-01T00:30:00Z",
    }


def test_a_problem_is_printed_as_rfc_9457_has_it() -> None:
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


# --- A server's own store ---------------------------------------------------------------------

keys = st.builds(RecordKey, st.just(ApiKeyId("key-1")), st.just(IdempotencyKey("k-1")))
responses = st.builds(
    Response,
    st.sampled_from([200, 404, 409]),
    st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    st.binary(),
) | st.builds(ResponseReference, st.just(201), st.text())
records = st.builds(
    Record,
    keys,
    st.builds(Fingerprint.of, st.text(), st.text()),
    st.sampled_from(RecordState),
    st.integers(1),
    any_instants,
    any_instants,
    st.none() | any_instants,
    st.sampled_from(LostLease),
    st.none() | responses,
)
bindings = st.builds(
    LimitedAccountAppBinding,
    st.just(COORDINATE),
    st.text().map(UserId),
    st.sampled_from(AccountState),
    st.integers(1),
)
sessions = st.builds(
    CuraeConnectSession,
    st.just(SessionId(uuid(1))),
    st.just(COORDINATE),
    st.sampled_from(EntryPath),
    st.sampled_from(Handoff),
    any_instants,
    any_instants,
    st.none() | any_instants,
    st.none() | st.text().map(UserId),
)
logs = st.builds(LogState, st.lists(any_instants, max_size=10).map(tuple))
buckets = st.builds(BucketState, st.none() | st.integers())

Storable = (
    Connection | CuraeConnectSession | LimitedAccountAppBinding | Record | LogState | BucketState
)
KINDS = (Connection, CuraeConnectSession, LimitedAccountAppBinding, Record, LogState, BucketState)


def stored(value: Storable) -> dict[str, Json]:
    return dump(value)


def loaded(kind: type[Storable], document: Json) -> Storable:
    return load(kind, document)


@given(connections() | sessions | bindings | records | logs | buckets)
def test_what_is_dumped_is_loaded_as_the_same_value_of_the_same_types(value: Storable) -> None:
    document = stored(value)
    through_json: Json = json.loads(json.dumps(document, allow_nan=False))
    for each in (document, through_json):
        again = loaded(type(value), each)
        # An enumeration equals its text; only the repr tells them apart.
        assert (again, repr(again)) == (value, repr(value))


@given(connections(), instants)
def test_a_loaded_connection_stands_where_the_stored_one_stood(
    connection: Connection, now: datetime
) -> None:
    document: Json = json.loads(json.dumps(dump(connection)))
    assert standing(load(Connection, document), now) is standing(connection, now)


STORED: list[Storable] = [
    apply_event(pending(), "PATIENT", at(1)),
    SESSION,
    LimitedAccountAppBinding(COORDINATE, UserId("u-1"), AccountState.LIMITED, 1),
    Record(
        RecordKey(ApiKeyId("key-1"), IdempotencyKey("k-1")),
        Fingerprint.of("revoke", "x"),
        RecordState.COMPLETED,
        1,
        START,
        START,
        None,
        LostLease.EXECUTE,
        Response(200, (), b"{}"),
    ),
    LogState((START,)),
    BucketState(5),
]


@pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)
def test_anything_but_what_was_dumped_is_malformed(value: Storable) -> None:
    kind = type(value)
    document: dict[str, Json] = json.loads(json.dumps(stored(value)))
    assert loaded(kind, document) == value
    wrong: list[Json] = [{"a": 1}, [None], 1.5, True]
    required = [field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING]
    for mutated in [
        {**document, "added_later": None},
        *({name: document[name] for name in document if name != gone} for gone in required),
        *({**document, name: value} for name in document for value in wrong),
    ]:
        assert fault(partial(loaded, kind, mutated)) == (None, "INVALID")


@pytest.mark.parametrize("packages", ["labs", {"labs": 1}])
def test_a_stored_set_of_packages_is_a_list_and_nothing_that_merely_iterates(
    packages: Json,
) -> None:
    document = dump(pending())
    identity = document["identity"]
    assert isinstance(identity, dict)
    broken: Json = {**document, "identity": {**identity, "data_packages": packages}}
    assert fault(lambda: load(Connection, broken)) == (None, "INVALID")


def test_a_status_that_a_later_release_may_have_added_is_malformed() -> None:
    document = {**dump(pending()), "status": "PAUSED"}
    assert fault(lambda: load(Connection, document)) == (None, "INVALID")


@pytest.mark.parametrize("text", [b'{"arrival":1,"arrival":2}', b'{"arrival":{"a":1,"a":1}}'])
def test_a_stored_document_that_says_something_twice_is_malformed(text: bytes) -> None:
    assert fault(lambda: load(BucketState, parse_json(text))) == (None, "INVALID")


def test_a_stored_document_may_hold_the_same_list_twice() -> None:
    times: Json = ["2026-01-05T09:00:00Z", "2026-01-05T09:00:00Z"]
    assert len(load(LogState, {"instants": times}).instants) == 2


# --- Law 16 -----------------------------------------------------------------------------------


@given(st.binary() | any_text | jsons.map(json.dumps))
def test_law_16_every_text_gives_a_value_or_a_documented_fault(text: bytes | str) -> None:
    assert fault_if_any(partial(parse_json, text)) in {None, (None, Fault.NOT_JSON)}


@given(jsons, st.sampled_from([*READERS.values(), read_back]))
def test_law_16_every_value_is_read_or_refused_by_member_and_fault(
    value: Json, read: Callable[[Json], object]
) -> None:
    found = fault_if_any(partial(read, value))
    assert found is None or (found[0] in {None, *MEMBERS, "preferSignup"} and found[1] in Fault)


@given(st.sampled_from(KINDS), jsons)
@example(Connection, None)
@example(Connection, [])
@example(BucketState, "arrival")
@example(LogState, 5)
def test_law_16_every_stored_document_is_loaded_or_malformed(
    kind: type[Storable], document: Json
) -> None:
    assert fault_if_any(partial(loaded, kind, document)) in {None, (None, Fault.INVALID)}
