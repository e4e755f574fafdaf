"""The text of replies: what is put together in one step is what the values' own JSON would be."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
    format_time,
)
from curae_lifecycle.service.operations.get_connection import ConnectionShown
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.web.shapes import camel, format_connection, format_session
from curae_lifecycle.web.written import write_reply
from tests.malformed import any_instants, any_text
from tests.strategies import START

SPELLINGS: Final = ("ACTIVE", "AUTHORIZED")
some_instant: Final = st.none() | any_instants
coordinates: Final = st.builds(
    Coordinate,
    st.sampled_from(Environment),
    any_text.map(AppId),
    any_text.map(CustomerAccountId),
    any_text.map(AppUserId),
)
identities: Final = st.builds(
    ConnectionIdentity,
    any_text.map(ConnectionId),
    coordinates,
    st.lists(any_text.map(DataPackage), max_size=3).map(tuple),
    any_instants,
    st.none(),
    any_text.map(ConnectionId),
)
anything: Final = st.builds(
    Connection,
    identities,
    st.sampled_from(Status),
    any_instants,
    *(some_instant, some_instant, some_instant, st.none() | any_text, some_instant),
    st.none() | st.sampled_from(Actor),
)
sessions: Final = st.builds(
    CuraeConnectSession,
    any_text.map(SessionId),
    coordinates,
    st.sampled_from(EntryPath),
    st.sampled_from(Handoff),
    *(any_instants, any_instants, some_instant),
    st.none() | any_text.map(UserId),
)
next_actions: Final = st.builds(NextAction, any_text, any_instants)


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
class Odd(Reply):
    parts: set[str]


replies: Final = st.builds(
    Everything,
    anything,
    sessions,
    next_actions,
    some_instant,
    st.integers(),
    st.booleans(),
    any_text,
    st.none() | st.sampled_from(Actor),
)


@given(replies, any_instants, st.sampled_from(SPELLINGS))
def test_the_text_is_that_of_the_values(reply: Everything, now: datetime, spelling: str) -> None:
    action, since = reply.next_action, reply.since_when
    plain = {
        "connection": format_connection(reply.connection, now, spelling),
        "connectSession": format_session(reply.connect_session),
        "nextAction": {
            "type": "open_webview",
            "url": action.url,
            "expiresAt": format_time(action.expires_at),
        },
        "sinceWhen": None if since is None else format_time(since),
        "howMany": reply.how_many,
        "isNew": reply.is_new,
        "spelled": reply.spelled,
        "ofKind": reply.of_kind,
    }
    written = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    assert write_reply(reply, now, spelling) == (written, True)
    assert list(plain) == [camel(field.name) for field in attrs.fields(Everything)]


@pytest.mark.parametrize("updated", range(5))
def test_a_connection_was_updated_by_what_happened_last_or_by_something_else(updated: int) -> None:
    created, authorized, expires, revoked, other = (START + timedelta(days=n) for n in range(5))
    whose = Coordinate(Environment.LIVE, AppId("a"), CustomerAccountId("c"), AppUserId("u"))
    identity = ConnectionIdentity(ConnectionId("1"), whose, (), created, None, ConnectionId("1"))
    at = (created, authorized, expires, revoked, other)[updated]
    # Equal, and not the same: so they are where they were read.
    at = datetime.fromisoformat(at.isoformat())
    connection = Connection(
        identity, Status.REVOKED, at, None, authorized, expires, None, revoked, revoked_by=Actor.APP
    )
    shown = format_connection(connection, START, "ACTIVE")
    text, holds_url = write_reply(ConnectionShown(connection), START, "ACTIVE")
    assert json.loads(text) == {"connection": shown}
    assert shown["updatedAt"] == format_time(at)
    assert not holds_url


def test_a_member_that_the_wire_does_not_know_is_a_mistake() -> None:
    with pytest.raises(ArgumentError, match=r"^reply: ") as caught:
        write_reply(Odd({"secret"}), START, "ACTIVE")
    assert "secret" not in str(caught.value)
