"""Tests of the codec: a dumped value is loaded unchanged, and any other document is refused."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from functools import partial
from typing import cast

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle import ArgumentError, Response, SessionId, UserId, dump, load, standing
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.errors import describe
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import MAX_INTEGER, BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import LAST_INSTANT
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import ResponseReference
from curae_lifecycle.stores import codec
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.object_codec import FieldCodec
from curae_lifecycle.web.json import MalformedError, parse_json
from tests.stores.documents import places, with_value
from tests.support.malformed import any_instants, fault, fault_if_any, jsons
from tests.support.server import CALLER
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
from tests.support.subjects import LANDED


def test_invalid_app_id_in_a_document_is_reported_by_full_path() -> None:
    document = dump(pending())
    assert load(Connection, document) == pending()
    broken = with_value(document, ("identity", "coordinate", "app_id"), 7)
    assert fault(lambda: load(Connection, broken)) == ("identity.coordinate.app_id", "INVALID")


STORED: list[Storable] = [
    apply_trigger(pending(), "PATIENT", at(1)),
    LANDED,
    LimitedAccountAppBinding(
        coordinate=COORDINATE, user_id=UserId("u-1"), state=AccountState.LIMITED, generation=1
    ),
    idempotency.Record(
        key=idempotency.RecordKey(CALLER.key_owner, idempotency.IdempotencyKey("k-1")),
        fingerprint=idempotency.Fingerprint.of("revoke", ["x"]),
        state=idempotency.RecordState.COMPLETED,
        token=1,
        first_used_at=START,
        seen_at=START,
        lease_until=None,
        lost_lease=idempotency.LostLeaseAction.EXECUTE,
        response=Response(200, (), b"{}"),
    ),
    LogState.of((START,)),
    BucketState(5),
]


keys = st.builds(
    idempotency.RecordKey, st.just(CALLER.key_owner), st.just(idempotency.IdempotencyKey("k-1"))
)
responses = st.builds(
    Response,
    st.sampled_from([200, 404, 409]),
    st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    st.binary(),
) | st.builds(ResponseReference, st.just(201), st.text())
records = st.builds(
    idempotency.Record,
    keys,
    st.builds(idempotency.Fingerprint.of, st.text(), st.text()),
    st.sampled_from(idempotency.RecordState),
    st.integers(1),
    any_instants,
    any_instants,
    st.none() | any_instants,
    st.sampled_from(idempotency.LostLeaseAction),
    st.none() | responses,
)
bindings = st.builds(
    LimitedAccountAppBinding,
    st.just(COORDINATE),
    st.text().map(UserId),
    st.sampled_from(AccountState),
    st.integers(1),
    st.integers(1),
)
sessions = st.builds(
    CuraeConnectSession,
    st.just(SessionId(uuid(1))),
    st.just(COORDINATE),
    st.sampled_from(EntryPath),
    st.sampled_from(HandoffState),
    any_instants,
    any_instants,
    st.none() | any_instants,
    st.none() | st.text().map(UserId),
)
logs = st.lists(any_instants, max_size=10).map(LogState.of)
buckets = st.builds(BucketState, st.integers(), st.integers(0, MAX_INTEGER - 1))

KINDS = (
    Connection,
    CuraeConnectSession,
    LimitedAccountAppBinding,
    idempotency.Record,
    LogState,
    BucketState,
)


def stored(value: Storable) -> dict[str, Json]:
    return dump(value)


def loaded(kind: type[Storable], document: Json) -> Storable:
    return load(kind, document)


@pytest.mark.slow
@given(connections() | sessions | bindings | records | logs | buckets)
def test_loading_a_dumped_value_restores_the_value_and_its_types(value: Storable) -> None:
    document = stored(value)
    through_json: Json = json.loads(json.dumps(document, allow_nan=False))
    for each in (document, through_json):
        again = loaded(type(value), each)
        # An enum member equals its text; only the repr tells them apart.
        assert (again, repr(again)) == (value, repr(value))


@pytest.mark.parametrize("value", [None, 5, "x", COORDINATE])
def test_dump_or_load_of_a_class_that_is_not_stored_raises(value: object) -> None:
    classes = "one of Connection, CuraeConnectSession, LimitedAccountAppBinding, Record, .*"
    with pytest.raises(ArgumentError, match=rf"^value: must be {classes}, not {describe(value)}$"):
        dump(cast("Connection", value))
    with pytest.raises(ArgumentError, match=rf"^kind: must be {classes}$"):
        load(cast("type[Connection]", type(value)), {})


@given(connections(), instants)
def test_dumped_and_loaded_connection_has_the_same_standing(
    connection: Connection, now: datetime
) -> None:
    document: Json = json.loads(json.dumps(dump(connection)))
    assert standing(load(Connection, document), now, era=None) is standing(
        connection, now, era=None
    )


def members_of(kind: type[Storable]) -> dict[str, bool]:
    """Return the members of a document of this kind, and whether each is required."""
    if kind is LogState:
        return {"instants": True}
    if attrs.has(kind):
        return {field.name: field.default is attrs.NOTHING for field in attrs.fields(kind)}
    return dict.fromkeys(BucketState._fields, True)


@pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)
def test_document_with_unknown_or_missing_member_is_malformed(value: Storable) -> None:
    kind = type(value)
    document: dict[str, Json] = json.loads(json.dumps(stored(value)))
    assert loaded(kind, document) == value
    assert fault(partial(loaded, kind, {**document, "added_later": None})) == (None, "INVALID")
    required = [name for name, must in members_of(kind).items() if must]
    for gone in required:
        left = {name: document[name] for name in document if name != gone}
        assert fault(partial(loaded, kind, left)) == (gone, "INVALID")


@pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)
def test_document_fault_names_the_path_and_not_the_value(
    value: Storable,
) -> None:
    document: dict[str, Json] = json.loads(json.dumps(stored(value)))
    wrong: list[Json] = [["u-secret", None], 1.5, True]
    for path in places(document):
        for bad in wrong[: 2 if path == ("swept",) else 3]:
            broken = with_value(document, path, bad)
            with pytest.raises(MalformedError, match="INVALID") as raised:
                loaded(type(value), broken)
            assert (raised.value.member, raised.value.fault) == (".".join(path), Fault.INVALID)
            assert "u-secret" not in "".join(traceback.format_exception(raised.value))


MAY_BE_NULL: dict[type[Storable], set[str]] = {
    Connection: {
        "identity.predecessor_id",
        "identity.era",
        "handoff_deadline",
        "authorized_at",
        "expires_at",
        "action_required_reason",
        "revoked_at",
        "revoked_by",
    },
    CuraeConnectSession: {"landed_at", "user_id", "era"},
    LimitedAccountAppBinding: {
        "user_id",
        "era",
        "tombstoned_at",
        "tombstone_reported_at",
    },
    idempotency.Record: {"lease_until", "response"},
}
"""The paths of the members that may be null."""


@pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)
def test_stored_document_accepts_null_only_in_nullable_members(value: Storable) -> None:
    kind, document = type(value), stored(value)
    for path in places(document):
        name = ".".join(path)
        expected = None if name in MAY_BE_NULL.get(kind, set()) else (name, "INVALID")
        broken = with_value(document, path, None)
        assert fault_if_any(partial(loaded, kind, broken)) == expected


@pytest.mark.parametrize("packages", ["labs", {"labs": 1}])
def test_document_whose_packages_are_no_list_is_malformed(
    packages: Json,
) -> None:
    broken = with_value(dump(pending()), ("identity", "data_packages"), packages)
    assert fault(lambda: load(Connection, broken)) == ("identity.data_packages", "INVALID")


def test_connection_document_with_unknown_status_is_malformed() -> None:
    document = {**dump(pending()), "status": "PAUSED"}
    with pytest.raises(MalformedError, match=r"^status: INVALID$") as raised:
        load(Connection, document)
    assert "PAUSED" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "text",
    [
        b'{"full_at":1,"full_at":2}',
        b'{"full_at":{"a":1,"a":1}}',
        b'{"format":1,"full_at":1,"full_at":2,"part":0}',
        b'{"format":1,"full_at":{"a":1,"a":1},"part":0}',
        b'{"format":1,"full_at":1,"part":[{"a":1,"a":1}]}',
    ],
)
def test_document_with_a_duplicate_member_is_malformed(text: bytes) -> None:
    assert fault(lambda: load(BucketState, parse_json(text))) == (None, "INVALID")


def test_duplicate_member_in_nested_document_is_malformed() -> None:
    text = json.dumps(dump(pending())).replace('"app_id"', '"app_id": "app-1", "app_id"', 1)
    assert fault(lambda: load(Connection, parse_json(text))) == (None, "INVALID")


def test_rate_limit_log_with_equal_instants_is_loaded() -> None:
    assert (
        load(LogState, {"format": 1, "instants": [0, 0]}).instants
        == (datetime(1970, 1, 1, tzinfo=UTC),) * 2
    )


@pytest.mark.parametrize("instants", [[1, 0], [10**30], [-(10**30)]])
def test_unordered_or_out_of_range_rate_limit_log_is_malformed(instants: list[Json]) -> None:
    assert fault(lambda: load(LogState, {"format": 1, "instants": instants})) == (None, "INVALID")


@pytest.mark.parametrize("part", [-1, MAX_INTEGER, 10**30])
def test_bucket_document_with_fraction_out_of_range_is_malformed(part: int) -> None:
    document: Json = {"format": 1, "full_at": 0, "part": part}
    assert fault(lambda: load(BucketState, document)) == (None, "INVALID")


@pytest.mark.parametrize("instant", [datetime.min.replace(tzinfo=UTC), LAST_INSTANT])
def test_rate_limit_log_in_year_1_or_9999_loads_unchanged(instant: datetime) -> None:
    state = LogState.of((instant,))
    assert load(LogState, dump(state)) == state


# --- Codecs that are built when the module is imported ---------------------------------------


def test_enum_field_is_stored_as_text_and_loaded_as_the_enum() -> None:
    status = codec._enum_field(Status)
    assert status.kind is str
    assert status.read is not None
    assert status.write is not None
    assert status.read("ACTIVE") is Status.ACTIVE
    assert type(status.write(Status.ACTIVE)) is str
    assert status.write(Status.ACTIVE) == "ACTIVE"
    with pytest.raises(LookupError):
        status.read("PAUSED")


def test_object_field_codec_converts_an_object_to_json_and_back() -> None:
    field = codec._object_field(
        ResponseReference, status=FieldCodec(int), reference=FieldCodec(str)
    )
    value, document = ResponseReference(201, "r"), {"status": 201, "reference": "r"}
    assert field.kind is dict
    assert field.read is not None
    assert field.write is not None
    assert field.read(document) == value
    assert field.write(value) == document


def test_document_codec_accepts_no_extra_member_except_format() -> None:
    document = codec._document_codec(
        ResponseReference, status=FieldCodec(int), reference=FieldCodec(str)
    )
    members: dict[str, object] = {"status": 201, "reference": "r"}
    assert document.read({**members, "format": 1}) == ResponseReference(201, "r")
    assert fault(lambda: document.read({**members, "form": 1})) == (None, "INVALID")


# --- Law 16 -----------------------------------------------------------------------------------


@given(st.sampled_from(KINDS), jsons)
@example(Connection, None)
@example(Connection, [])
@example(BucketState, "full_at")
@example(LogState, 5)
def test_law_16_any_json_document_is_loaded_or_malformed(
    kind: type[Storable], document: Json
) -> None:
    found = fault_if_any(partial(loaded, kind, document))
    fields = {None, "format", *members_of(kind)}
    assert found is None or (found[0] in fields and found[1] is Fault.INVALID)
