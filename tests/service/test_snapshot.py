"""Checks of minted ids and of loaded snapshots."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import attrs
import pytest

from curae_lifecycle import ArgumentError, ConnectionId, SessionId, UserId
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import initiate
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.snapshot import (
    ChainPart,
    ConnectionsPage,
    Needs,
    Snapshot,
    check_snapshot,
)
from tests.support import subjects
from tests.support.server import CALLER, LIMITED, new_ids
from tests.support.strategies import COORDINATE, apply_trigger, at, next_action, pending, uuid

THE_CONNECTION = "the connection that was asked for"
A_SUCCESSOR = "given if the chain goes on"
ITS_SUCCESSOR = "the connection that recovered the one that was asked for"
ITS_HEAD = "the last connection of the chain"
LATER = "the later connections of the chain"
THEIRS = "the connections of the coordinate"
ONE_PAGE = "one page, in the order of the ids"

GOOD = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"


@pytest.mark.parametrize(
    "value",
    [
        UUID(GOOD),
        GOOD.upper(),
        GOOD.replace("-", ""),
        f"{{{GOOD}}}",
        f"urn:uuid:{GOOD}",
        f"{GOOD}\n",
        GOOD[:-1],
        "",
        None,
        GOOD.encode(),
    ],
    ids=repr,
)
def test_new_id_not_a_lower_case_uuid_raises(value: object) -> None:
    assert attrs.evolve(new_ids(), session_id=SessionId(GOOD)).session_id == GOOD
    wrong = cast("str", value)
    with pytest.raises(ArgumentError, match="the text of a UUID") as raised:
        attrs.evolve(new_ids(), connection_id=ConnectionId(wrong))
    assert raised.value.argument == "connection_id"
    with pytest.raises(ArgumentError, match="the text of a UUID") as raised:
        attrs.evolve(new_ids(), session_id=SessionId(wrong))
    assert raised.value.argument == "session_id"


@pytest.mark.parametrize("value", ["", "\ud800", None, 7])
def test_new_user_id_that_is_empty_or_not_valid_text_raises(value: object) -> None:
    with pytest.raises(ArgumentError, match="text that is not empty") as raised:
        attrs.evolve(new_ids(), user_id=UserId(cast("str", value)))
    assert raised.value.argument == "user_id"


# --- Chains -----------------------------------------------------------------------------------

FIRST = subjects.needing_action(pending(), at(1))
SECOND = subjects.recovered(FIRST, at(2), 2)
THIRD = subjects.recovered(apply_trigger(SECOND, "APP", at(3)), at(4), 3)
STRANGER = subjects.recovered(pending(number=7), at(40), 8)


def with_identity(connection: Connection, **members: object) -> Connection:
    """Return the connection with these members of its identity changed."""
    identity = connection.identity
    held = {name: getattr(identity, name) for name in attrs.fields_dict(type(identity))}
    return attrs.evolve(connection, identity=ConnectionIdentity(**{**held, **members}))


@pytest.mark.parametrize(
    ("successor", "head"),
    [(None, None), (None, FIRST), (SECOND, SECOND), (SECOND, THIRD)],
)
def test_snapshot_with_a_matching_successor_and_head_is_accepted(
    successor: Connection | None, head: Connection | None
) -> None:
    check_snapshot(
        Needs(connection=FIRST.id),
        Snapshot(connection=FIRST, successor=successor, head=head),
    )


@pytest.mark.parametrize(
    ("argument", "allowed", "connection", "successor", "head"),
    [
        ("connection", THE_CONNECTION, SECOND, None, None),
        ("connection", THE_CONNECTION, SECOND, SECOND, SECOND),
        ("successor", A_SUCCESSOR, FIRST, None, SECOND),
        ("successor", A_SUCCESSOR, FIRST, None, THIRD),
        ("successor", ITS_SUCCESSOR, FIRST, THIRD, THIRD),
        ("successor", ITS_SUCCESSOR, FIRST, FIRST, FIRST),
        ("successor", ITS_SUCCESSOR, FIRST, STRANGER, THIRD),
        ("successor", ITS_SUCCESSOR, FIRST, with_identity(SECOND, predecessor_id=None), SECOND),
        ("head", ITS_HEAD, FIRST, SECOND, None),
        ("head", ITS_HEAD, FIRST, SECOND, FIRST),
        ("head", ITS_HEAD, FIRST, SECOND, STRANGER),
        ("head", ITS_HEAD, FIRST, SECOND, with_identity(THIRD, root_id=STRANGER.id)),
        ("head", ITS_HEAD, FIRST, SECOND, with_identity(THIRD, position=1)),
    ],
)
def test_snapshot_with_wrong_connection_successor_or_head_raises(
    argument: str,
    allowed: str,
    connection: Connection,
    successor: Connection | None,
    head: Connection | None,
) -> None:
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(
            Needs(connection=FIRST.id),
            Snapshot(connection=connection, successor=successor, head=head),
        )
    assert raised.value.argument == f"snapshot.{argument}"
    assert raised.value.allowed == allowed


@pytest.mark.parametrize("following", [(), (SECOND,), (SECOND, THIRD)])
def test_snapshot_with_the_rest_of_its_chain_is_accepted(
    following: tuple[Connection, ...],
) -> None:
    check_snapshot(Needs(chain=FIRST.id), Snapshot(connection=FIRST, following=following))


@pytest.mark.parametrize(
    ("argument", "allowed", "connection", "following"),
    [
        ("connection", THE_CONNECTION, SECOND, ()),
        ("connection", THE_CONNECTION, SECOND, (THIRD,)),
        ("following", LATER, FIRST, (THIRD,)),
        ("following", LATER, FIRST, (THIRD, SECOND)),
        ("following", LATER, FIRST, (SECOND, SECOND)),
        ("following", LATER, FIRST, (SECOND, STRANGER)),
    ],
)
def test_snapshot_of_a_chain_with_gaps_or_out_of_order_raises(
    argument: str, allowed: str, connection: Connection, following: tuple[Connection, ...]
) -> None:
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(Needs(chain=FIRST.id), Snapshot(connection=connection, following=following))
    assert raised.value.argument == f"snapshot.{argument}"
    assert raised.value.allowed == allowed


@pytest.mark.parametrize("following", [(), (SECOND,), (THIRD,), (SECOND, THIRD)])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_gap_before_a_chain_part_raises_unless_limit_is_reached(
    following: tuple[Connection, ...], limit: int
) -> None:
    needs = Needs(chain=FIRST.id, chain_part=ChainPart(limit))
    snapshot = Snapshot(connection=FIRST, following=following)
    if following == (THIRD,) and limit > 1:
        with pytest.raises(ArgumentError, match="following"):
            check_snapshot(needs, snapshot)
    else:
        check_snapshot(needs, snapshot)


@pytest.mark.parametrize("following", [(THIRD, SECOND), (SECOND, STRANGER)])
def test_chain_part_out_of_order_or_of_two_chains_raises(
    following: tuple[Connection, ...],
) -> None:
    with pytest.raises(ArgumentError, match="following"):
        check_snapshot(
            Needs(chain=FIRST.id, chain_part=ChainPart(2)),
            Snapshot(connection=FIRST, following=following),
        )


def test_chain_part_with_a_limit_of_0_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^limit: must be at least 1$"):
        ChainPart(0)


# --- Bindings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "snapshot"),
    [
        (Needs(binding=COORDINATE), Snapshot()),
        (Needs(connection=FIRST.id), Snapshot(connection=FIRST)),
        (Needs(chain=FIRST.id), Snapshot(connection=FIRST)),
        (Needs(session=subjects.SESSION), Snapshot(session=subjects.WAITING)),
        (Needs(connections=ConnectionsPage(COORDINATE)), Snapshot()),
    ],
)
def test_snapshot_with_a_binding_of_another_coordinate_raises(
    needs: Needs, snapshot: Snapshot
) -> None:
    check_snapshot(needs, attrs.evolve(snapshot, binding=LIMITED))
    elsewhere = attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2"))
    strange = attrs.evolve(LIMITED, coordinate=elsewhere)
    with pytest.raises(ArgumentError, match=r"^binding: must be the binding of the coordinate"):
        check_snapshot(needs, attrs.evolve(snapshot, binding=strange))


# --- Sessions, buckets and pages of connections ------------------------------------------------


SESSION = initiate(
    None,
    COORDINATE,
    at(0),
    prefer_signup=True,
    id=SessionId(GOOD),
    user_id=UserId("u-1"),
    next_action=next_action(at(0)),
).value.session


def test_snapshot_with_another_session_than_needed_raises() -> None:
    check_snapshot(Needs(session=SESSION.id), Snapshot(session=SESSION))
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(Needs(session=SessionId(uuid(9))), Snapshot(session=SESSION))
    assert raised.value.argument == "snapshot.session"
    assert raised.value.allowed == "the session that was asked for"


@pytest.mark.parametrize(("asked", "loaded"), [(0, 1), (1, 0), (2, 1), (1, 2)])
def test_snapshot_with_other_bucket_count_than_needed_raises(asked: int, loaded: int) -> None:
    key = BucketKey(CALLER.key_owner, Bucket(name="ip", capacity=1, refill=1, seconds=1))
    check_snapshot(Needs(buckets=(key,) * asked), Snapshot(buckets=(None,) * asked))
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(Needs(buckets=(key,) * asked), Snapshot(buckets=(None,) * loaded))
    assert raised.value.argument == "snapshot.buckets"
    assert raised.value.allowed == "a state or None for each bucket of the settings"


@pytest.mark.parametrize("limit", [0, -1])
def test_list_of_connections_with_a_limit_below_1_raises(limit: int) -> None:
    with pytest.raises(ArgumentError) as raised:
        ConnectionsPage(COORDINATE, limit=limit)
    assert raised.value.argument == "limit"
    assert raised.value.allowed == "at least 1, or None for all"


ONE, TWO, THREE = (pending(number=number) for number in (1, 2, 3))
ELSEWHERE = with_identity(TWO, coordinate=attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2")))


@pytest.mark.parametrize(
    ("after", "limit", "connections"),
    [
        (None, None, ()),
        (None, None, (ONE, TWO, THREE)),
        (None, None, (TWO, THREE, ONE)),
        (None, 1, ()),
        (None, 1, (ONE,)),
        (None, 2, (ONE,)),
        (None, 2, (ONE, THREE)),
        (ONE.id, None, ()),
        (ONE.id, None, (TWO, THREE)),
        (ONE.id, 2, (TWO, THREE)),
        (TWO.id, 2, (THREE,)),
    ],
)
def test_snapshot_with_a_correct_connection_list_is_accepted(
    after: ConnectionId | None, limit: int | None, connections: tuple[Connection, ...]
) -> None:
    page = ConnectionsPage(COORDINATE, after, limit)
    check_snapshot(Needs(connections=page), Snapshot(connections=connections))


@pytest.mark.parametrize(
    ("allowed", "after", "limit", "connections"),
    [
        (THEIRS, None, None, (ELSEWHERE,)),
        (THEIRS, None, None, (ONE, ELSEWHERE)),
        (THEIRS, None, 2, (ONE, ELSEWHERE)),
        (ONE_PAGE, None, 1, (ONE, TWO)),
        (ONE_PAGE, None, 2, (ONE, TWO, THREE)),
        (ONE_PAGE, None, 2, (TWO, ONE)),
        (ONE_PAGE, None, 2, (ONE, ONE)),
        (ONE_PAGE, ONE.id, None, (THREE, TWO)),
        (ONE_PAGE, ONE.id, None, (ONE,)),
        (ONE_PAGE, TWO.id, None, (ONE,)),
        (ONE_PAGE, ONE.id, 1, (TWO, THREE)),
        (ONE_PAGE, TWO.id, 2, (ONE, THREE)),
    ],
)
def test_snapshot_with_a_wrong_connection_list_raises(
    allowed: str,
    after: ConnectionId | None,
    limit: int | None,
    connections: tuple[Connection, ...],
) -> None:
    page = ConnectionsPage(COORDINATE, after, limit)
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(Needs(connections=page), Snapshot(connections=connections))
    assert raised.value.argument == "snapshot.connections"
    assert raised.value.allowed == allowed
