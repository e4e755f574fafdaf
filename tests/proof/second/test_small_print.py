"""Sentences that were wrong, silent or double, and now say one thing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import attrs
import pytest

from curae_lifecycle import (
    ActionRequired,
    Actor,
    AppId,
    ArgumentError,
    ConnectionId,
    Done,
    Environment,
    Expired,
    ProblemCode,
    Refused,
    Request,
    Revoked,
    serve,
)
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.web.respond import Answer
from curae_lifecycle.web.wire_format import parse_connection
from tests.proof.second.client import (
    CALLER,
    CONNECT,
    CONNECTIONS,
    HOUR,
    MINUTE,
    PACKAGE,
    SECOND,
    START,
    World,
    body_of,
    buckets,
    id_of,
    in_memory,
    wire,
)

ACCOUNT = f"{CONNECT}/account-state"


# Clocks


def test_revocation_dated_before_the_last_update_keeps_its_date(world: World) -> None:
    made = id_of(world.create())
    world.step(10 * MINUTE)
    world.authorize(made)
    world.step(-9 * MINUTE)
    revoked = world.record(Revoked(ConnectionId(made), Actor.UPSTREAM, happened_at=START + SECOND))
    assert revoked.rules[-1] == "connection.revoke.active"
    shown = world.get(made)
    assert shown["revokedAt"] == wire(START + SECOND)
    assert shown["updatedAt"] == wire(START + 10 * MINUTE)


def test_happened_at_over_5_minutes_after_updated_at_raises(world: World) -> None:
    made = id_of(world.create())
    world.step(10 * MINUTE)
    world.authorize(made)
    world.step(-9 * MINUTE)
    late, later = START + 15 * MINUTE, START + 15 * MINUTE + SECOND
    with pytest.raises(ArgumentError):
        world.record(ActionRequired(ConnectionId(made), "portal_login", happened_at=later))
    world.record(ActionRequired(ConnectionId(made), "portal_login", happened_at=late))
    assert world.get(made)["status"] == "ACTION_REQUIRED"


def test_revocation_dated_after_now_revokes_the_successor_at_now(world: World) -> None:
    old = id_of(world.create())
    world.step(HOUR)
    world.record(Expired(ConnectionId(old)))
    successor = id_of(world.reconnect(old))
    world.step(HOUR)
    world.record(Revoked(ConnectionId(old), Actor.UPSTREAM))
    world.step(-HOUR)
    no = Revoked(ConnectionId(old), Actor.PATIENT, happened_at=START + 2 * HOUR)
    assert isinstance(world.record(no), Done)
    assert world.get(successor)["revokedAt"] == wire(START + HOUR)


def test_handoff_completes_on_a_clock_behind_session_creation(world: World) -> None:
    world.step(HOUR)
    session = id_of(world.initiate(prefer_signup=True))
    world.step(-HOUR)
    answer = world.complete(session, happened_at=START + HOUR + MINUTE)
    assert isinstance(answer, Done)


def test_revoke_on_a_slow_clock_stores_last_update_as_revoked_at(world: World) -> None:
    made = id_of(world.create())
    world.step(10 * MINUTE)
    world.authorize(made)
    world.step(-9 * MINUTE)
    world.revoke(made)
    assert world.get(made)["revokedAt"] == wire(START + 10 * MINUTE)


def test_authorization_dated_before_a_reconnect_is_refused(world: World) -> None:
    made = id_of(world.create())
    world.step(HOUR)
    successor = id_of(world.reconnect(made))
    for _ in range(2):
        answer = world.authorize(made, happened_at=START + MINUTE)
        assert isinstance(answer, Refused)
        assert answer.problem.code is ProblemCode.CONNECTION_SUPERSEDED
        world.revoke(successor)


# Merge


def merged(*others: Callable[[Connection], Connection]) -> set[Connection]:
    """Return what all orders of some snapshots of one connection merge to."""
    world = in_memory()
    row = world.row(id_of(world.create()))
    snapshots = [change(row) for change in others]
    return {
        merge(merge(one, two), three)
        for one, two, three in itertools.permutations([row, *snapshots], 3)
    }


def test_merge_at_equal_revoked_at_takes_actor_first_in_alphabet() -> None:
    def by(actor: Actor | None) -> Callable[[Connection], Connection]:
        revoked = partial(attrs.evolve, status=Status.REVOKED, revoked_at=START)
        return lambda row: revoked(row, revoked_by=actor)

    for actor, other, first in (
        (Actor.PLATFORM, Actor.APP, Actor.APP),
        (None, Actor.UPSTREAM, Actor.UPSTREAM),
        (Actor.PATIENT, Actor.PLATFORM, Actor.PATIENT),
    ):
        (one,) = merged(by(actor), by(other))
        assert one.revoked_by is first


def test_merging_connections_takes_the_first_reason_in_alphabet() -> None:
    (one,) = merged(
        lambda row: attrs.evolve(
            row, status=Status.REVOKED, revoked_at=START, action_required_reason="b"
        ),
        lambda row: attrs.evolve(row, status=Status.ACTION_REQUIRED, action_required_reason="a"),
    )
    assert (one.status, one.action_required_reason) == (Status.REVOKED, "a")


def snapshot(**members: str) -> Connection:
    """Return a snapshot as it is read from the wire."""
    document: dict[str, Json] = {
        "id": "00000000-0000-4000-8000-000000000001",
        "customerAccountId": CALLER.customer_account_id,
        "appUserId": "ada",
        "status": "EXPIRED",
        "dataPackages": [PACKAGE],
        "createdAt": wire(START),
        "updatedAt": wire(START + MINUTE),
    }
    return parse_connection(
        {**document, **members},
        environment=Environment.LIVE,
        app_id=AppId("app-1"),
    )


def test_parsing_lapsed_connection_takes_updated_at_as_deadline() -> None:
    read = snapshot()
    assert (read.status, read.handoff_deadline) == (Status.PENDING, START + MINUTE)


def test_connection_json_with_an_empty_reason_is_invalid() -> None:
    with pytest.raises(ValueError, match="actionRequiredReason"):
        snapshot(status="ACTION_REQUIRED", actionRequiredReason="")


def test_parsing_pending_connection_json_keeps_its_revoked_at() -> None:
    read = snapshot(status="PENDING", revokedAt=wire(START), actionRequiredReason="x")
    assert read.revoked_at == START


# The order of faults


def fault(answer: Answer) -> tuple[Json, Json]:
    """Return the fault and the member that a 400 names."""
    assert answer.response.status == 400
    details = body_of(answer)["details"]
    assert isinstance(details, dict)
    return details.get("fault", details.get("reason")), details.get("member")


def sent(world: World, body: bytes, target: str = CONNECTIONS) -> Answer:
    """Send the exact bytes of a body."""
    lines = (("Authorization", "Bearer cae_live_k1"), ("Idempotency-Key", "k"))
    request = Request(method="POST", target=target, headers=lines, body=body)
    return serve(world.store, request, world.ids, settings=world.settings)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", ("NOT_JSON", None)),
        (b" " * 65_537, ("NOT_JSON", None)),
        (b"[]", ("NOT_AN_OBJECT", None)),
        (b'{"x":1,"appUserId":"a","appUserId":"b"}', ("REPEATED", "appUserId")),
        (b'{"x":1,"x":2,"appUserId":null}', ("REPEATED", None)),
        (b'{"x":1,"appUserId":null}', ("UNKNOWN", None)),
        (b'{"dataPackages":null}', ("MISSING", "appUserId")),
        (b'{"dataPackages":7,"appUserId":null}', ("NULL", "appUserId")),
        (b'{"dataPackages":7,"appUserId":"ada"}', ("INVALID", "dataPackages")),
        (b'{"appUserId":1e999}', ("NOT_JSON", None)),
        (b'{"appUserId":-1e999,"dataPackages":[]}', ("NOT_JSON", None)),
        (b'{"appUserId":1e300,"dataPackages":[]}', ("INVALID", "appUserId")),
        (b'{"appUserId":' + b"9" * 400 + b',"dataPackages":[]}', ("INVALID", "appUserId")),
        (b'{"appUserId":' + b"9" * 5_000 + b',"dataPackages":[]}', ("NOT_JSON", None)),
        (b'{"appUserId":' + b"9" * 4_300 + b',"dataPackages":[]}', ("INVALID", "appUserId")),
        (b'{"appUserId":' + b"9" * 4_301 + b',"dataPackages":[]}', ("NOT_JSON", None)),
    ],
)
def test_response_400_names_the_first_fault_of_a_request_body(
    body: bytes, named: tuple[Json, Json]
) -> None:
    assert fault(sent(in_memory(), body)) == named


def test_body_fault_is_reported_before_a_malformed_path_id() -> None:
    answer = sent(in_memory(), b'{"x":1}', f"{CONNECTIONS}/no-uuid:revoke")
    assert fault(answer) == ("UNKNOWN", None)
    (kind, member) = fault(sent(in_memory(), b"{}", f"{CONNECTIONS}/no-uuid:revoke"))
    assert kind == "INVALID"
    assert member is not None


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", ("MISSING", "appUserId")),
        ("?appUserId=a&appUserId=a", ("REPEATED", "appUserId")),
        ("?appUserId=", ("INVALID", "appUserId")),
        ("?x=1&x=2", ("MISSING", "appUserId")),
    ],
)
def test_response_400_names_the_first_fault_of_a_query(
    query: str, named: tuple[Json, Json]
) -> None:
    assert fault(in_memory().send("GET", f"{ACCOUNT}{query}")) == named


# Headers


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        (("{etag}",), 304),
        (("W/{etag}",), 304),
        (('"x", {etag}',), 304),
        ((",, {etag},",), 304),
        (('"x"', "{etag}"), 304),
        (("*",), 304),
        (("{etag}, x",), 200),
        (("x", "{etag}"), 200),
        ((",",), 200),
        (("",), 200),
        (('"x"',), 200),
    ],
)
def test_if_none_match_gives_304_if_a_valid_list_has_the_etag(
    tags: tuple[str, ...], status: int
) -> None:
    world = in_memory()
    target = f"{ACCOUNT}?appUserId=ada"
    etag = dict(world.send("GET", target).response.headers)["etag"]
    lines = tuple(("If-None-Match", each.format(etag=etag)) for each in tags)
    answer = world.send("GET", target, headers=lines).response
    assert answer.status == status
    if status == 304:
        assert not answer.body
        assert [name for name, _ in answer.headers] == ["cache-control", "etag"]


def names(answer: Answer) -> list[str]:
    return [name for name, _ in answer.response.headers]


def test_response_headers_come_in_the_documented_order() -> None:
    world = in_memory()
    made = world.create()
    assert names(made) == ["content-type", "cache-control"]
    assert names(world.send("GET", f"{ACCOUNT}?appUserId=ada")) == [
        "content-type",
        "cache-control",
        "etag",
    ]
    assert names(world.revoke(id_of(made))) == ["content-type"]
    assert names(world.send("GET", f"{CONNECTIONS}/{id_of(made)}")) == ["content-type"]
    assert names(world.send("GET", "/none")) == ["content-type"]


def test_response_429_has_its_headers_in_the_documented_order() -> None:
    world = in_memory()
    for _ in range(10):
        world.initiate()
    world.step(SECOND / 2)
    answer = world.initiate()
    assert answer.response.headers[1:] == (
        ("cache-control", "no-store"),
        ("retry-after", "60"),
        ("ratelimit-policy", '"initiate";q=10;w=60'),
        ("ratelimit", '"initiate";r=0;t=60'),
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path_charges_no_rate_limit_bucket(method: str) -> None:
    world = in_memory()
    world.settings = buckets(("platform", 1, 1, 60))
    for target in ("/none", f"{CONNECTIONS}/", "/api/sdk/v1/connections/x/y"):
        assert world.send(method, target, {}).response.status == 404
    assert world.create().response.status == 201
    assert world.create().response.status == 429


def test_404_for_an_unknown_id_charges_the_rate_limit_bucket() -> None:
    world = in_memory()
    world.settings = buckets(("platform", 1, 1, 60))
    unknown = f"{CONNECTIONS}/00000000-0000-4000-8000-00000000ffff"
    assert world.send("GET", unknown).response.status == 404
    assert world.send("GET", unknown).response.status == 429


def test_rate_limit_policy_header_rounds_its_window_up() -> None:
    world = in_memory()
    world.settings = buckets(("platform", 1, 7, 10))
    world.create()
    policy = dict(world.create().response.headers)["ratelimit-policy"]
    assert policy == '"platform";q=1;w=2'


def test_ignored_fact_has_no_changes_and_stores_nothing(world: World) -> None:
    made = id_of(world.create())
    world.authorize(made)
    before = world.inner.load(Needs(connection=ConnectionId(made))).snapshot
    answer = world.authorize(made)
    assert not isinstance(answer, Refused)
    assert (answer.value.writes, answer.value.effects, answer.value.events) == ((), (), ())
    assert world.inner.load(Needs(connection=ConnectionId(made))).snapshot == before


@pytest.mark.parametrize("back", [timedelta(0), -MINUTE, -HOUR])
def test_repeated_reconnect_never_moves_handoff_deadline_earlier(
    world: World, back: timedelta
) -> None:
    made = id_of(world.create())
    world.step(HOUR)
    successor = id_of(world.reconnect(made))
    world.step(back)
    action = body_of(world.reconnect(made))["nextAction"]
    assert isinstance(action, dict)
    deadline = world.row(successor).handoff_deadline
    assert isinstance(deadline, datetime)
    assert action["expiresAt"] == wire(world.now + 30 * MINUTE)
    # The deadline moves by as much as the clock of the reconnect was raised.
    assert deadline == world.now - back + 30 * MINUTE


@pytest.mark.parametrize("ended", ["once", "twice"])
def test_successor_made_after_clock_step_back_can_be_authorized(world: World, ended: str) -> None:
    world.step(HOUR)
    made = id_of(world.create())
    world.revoke(made)
    if ended == "twice":
        world.reconnect(made)
    world.step(-50 * MINUTE)
    successor = id_of(world.reconnect(made))
    world.step(2 * MINUTE)
    assert not isinstance(world.authorize(successor), Refused)
    assert world.get(successor)["status"] == "ACTIVE"


def test_two_reconnects_at_one_instant_emit_equal_reissue_events(world: World) -> None:
    made = id_of(world.create())
    world.revoke(made)
    world.reconnect(made)
    world.step(MINUTE)
    world.reconnect(made)
    # The clock is behind the successor's last write.
    world.step(-SECOND)
    world.reconnect(made)
    first, second = world.told("connection.reissued")
    assert first == second
    world.step(2 * SECOND)
    world.reconnect(made)
    assert world.told("connection.reissued")[-1]["id"] != first["id"]
