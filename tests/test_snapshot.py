"""What a server mints and loads: ids are checked where they come in, a line of a chain too."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import attrs
import pytest

from curae_lifecycle import ArgumentError, ConnectionId, SessionId, UserId
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity
from curae_lifecycle.service.snapshot import Needs, Snapshot, check_snapshot
from tests import subjects
from tests.server import new_ids
from tests.strategies import apply_trigger, at, pending

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
def test_an_id_is_the_text_of_a_uuid_in_lower_case_or_is_named(value: object) -> None:
    assert attrs.evolve(new_ids(), session_id=SessionId(GOOD)).session_id == GOOD
    wrong = cast("str", value)
    with pytest.raises(ArgumentError, match="the text of a UUID") as raised:
        attrs.evolve(new_ids(), connection_id=ConnectionId(wrong))
    assert raised.value.argument == "connection_id"
    with pytest.raises(ArgumentError, match="the text of a UUID") as raised:
        attrs.evolve(new_ids(), session_id=SessionId(wrong))
    assert raised.value.argument == "session_id"


@pytest.mark.parametrize("value", ["", "\ud800", None, 7])
def test_a_user_s_id_is_text_or_is_named(value: object) -> None:
    with pytest.raises(ArgumentError, match="text that is not empty") as raised:
        attrs.evolve(new_ids(), user_id=UserId(cast("str", value)))
    assert raised.value.argument == "user_id"


# --- A line of a chain ------------------------------------------------------------------------

FIRST = subjects.needing_action(pending(), at(1))
SECOND = subjects.recovered(FIRST, at(2), 2)
THIRD = subjects.recovered(apply_trigger(SECOND, "APP", at(3)), at(4), 3)
STRANGER = subjects.recovered(pending(number=7), at(40), 8)


def renamed(connection: Connection, **members: object) -> Connection:
    """The connection with another identity, in what is given."""
    identity = connection.identity
    held = {name: getattr(identity, name) for name in attrs.fields_dict(type(identity))}
    return attrs.evolve(connection, identity=ConnectionIdentity(**{**held, **members}))


@pytest.mark.parametrize(
    ("successor", "head"),
    [(None, None), (None, FIRST), (SECOND, SECOND), (SECOND, THIRD)],
)
def test_a_connection_with_its_successor_and_its_head_is_a_line(
    successor: Connection | None, head: Connection | None
) -> None:
    check_snapshot(
        Needs(connection=FIRST.id),
        Snapshot(connection=FIRST, successor=successor, head=head),
    )


@pytest.mark.parametrize(
    ("argument", "connection", "successor", "head"),
    [
        ("connection", SECOND, None, None),
        ("connection", SECOND, SECOND, SECOND),
        ("successor", FIRST, None, SECOND),
        ("successor", FIRST, None, THIRD),
        ("successor", FIRST, THIRD, THIRD),
        ("successor", FIRST, FIRST, FIRST),
        ("successor", FIRST, STRANGER, THIRD),
        ("successor", FIRST, renamed(SECOND, predecessor_id=None), SECOND),
        ("head", FIRST, SECOND, None),
        ("head", FIRST, SECOND, FIRST),
        ("head", FIRST, SECOND, STRANGER),
        ("head", FIRST, SECOND, renamed(THIRD, root_id=STRANGER.id)),
        ("head", FIRST, SECOND, renamed(THIRD, position=1)),
    ],
)
def test_a_line_of_anything_else_is_named(
    argument: str, connection: Connection, successor: Connection | None, head: Connection | None
) -> None:
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(
            Needs(connection=FIRST.id),
            Snapshot(connection=connection, successor=successor, head=head),
        )
    assert raised.value.argument == f"snapshot.{argument}"


@pytest.mark.parametrize("following", [(), (SECOND,), (SECOND, THIRD)])
def test_a_connection_with_the_rest_of_its_chain_is_one(
    following: tuple[Connection, ...],
) -> None:
    check_snapshot(Needs(chain=FIRST.id), Snapshot(connection=FIRST, following=following))


@pytest.mark.parametrize(
    ("argument", "connection", "following"),
    [
        ("connection", SECOND, ()),
        ("connection", SECOND, (THIRD,)),
        ("following", FIRST, (THIRD,)),
        ("following", FIRST, (THIRD, SECOND)),
        ("following", FIRST, (SECOND, SECOND)),
        ("following", FIRST, (SECOND, STRANGER)),
    ],
)
def test_a_chain_of_anything_else_is_named(
    argument: str, connection: Connection, following: tuple[Connection, ...]
) -> None:
    with pytest.raises(ArgumentError) as raised:
        check_snapshot(Needs(chain=FIRST.id), Snapshot(connection=connection, following=following))
    assert raised.value.argument == f"snapshot.{argument}"
