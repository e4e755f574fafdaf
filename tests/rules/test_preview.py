"""Previews of triggers, against the real calls, and notices of expiry."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle.rules import chain, triggers
from curae_lifecycle.rules.connection import Actor, Connection, Status, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.preview import (
    DEFAULT_LEAD_TIMES,
    ExpiryNotice,
    PreviewOutcome,
    TriggerPreview,
    find_due_notices,
    preview_trigger,
    preview_triggers,
)
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.rules.values import LAST_INSTANT, ConnectionId, NextAction
from tests.support import specimens
from tests.support.specimens import EVERY_CONNECTION, NEW_ID, NOW, OLD_ID, STANDS, stored
from tests.support.strategies import (
    START,
    TICK,
    at,
    connections,
    instants,
    pending,
    snapshots,
    uuid,
)

# --- Triggers ----------------------------------------------------------------------------------


def answers(
    connection: Connection,
    now: datetime,
    successor: Connection | None,
    head: Connection | None,
) -> dict[Trigger, triggers.Transition | chain.Recovery]:
    """Return the answer of each real call, with arguments that are always accepted."""
    return {
        Trigger.AUTHORIZE: triggers.authorize(
            connection, now, successor=successor, head=head, era=None
        ),
        Trigger.REQUIRE_ACTION: triggers.require_action(
            connection, now, reason="portal_login", era=None
        ),
        Trigger.EXPIRE: triggers.expire(connection, now, era=None),
        Trigger.REVOKE: chain.revoke_chain(connection, (), now, actor=Actor.APP, era=None)[0],
        Trigger.RECONNECT: chain.reconnect(
            connection,
            successor,
            now,
            id=NEW_ID,
            next_action=NextAction("https://connect.example/1", LAST_INSTANT),
            head=head,
            era=None,
        ),
    }


def expected_preview(
    trigger: Trigger, answer: triggers.Transition | chain.Recovery
) -> TriggerPreview:
    match answer:
        case Done():
            return TriggerPreview(
                trigger=trigger, outcome=PreviewOutcome.DONE, refused=None, rules=answer.rules
            )
        case Ignored():
            return TriggerPreview(
                trigger=trigger, outcome=PreviewOutcome.IGNORED, refused=None, rules=answer.rules
            )
        case Refused():
            return TriggerPreview(
                trigger=trigger, outcome=PreviewOutcome.REFUSED, refused=answer, rules=answer.rules
            )


def check_allowed(
    connection: Connection,
    now: datetime,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> None:
    before = deepcopy((connection, successor, head))
    check_preview(connection, now=now, successor=successor, head=head)
    assert (connection, successor, head) == before, "nothing is changed"


def check_preview(
    connection: Connection,
    now: datetime,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> None:
    found = preview_triggers(connection, now=now, successor=successor, head=head, era=None)
    really = answers(connection, now=now, successor=successor, head=head)
    assert found == tuple(expected_preview(trigger, answer) for trigger, answer in really.items())
    assert [each.trigger for each in found] == list(Trigger)


@pytest.mark.slow
@pytest.mark.parametrize("at_now", STANDS)
@pytest.mark.parametrize("now", [NOW, NOW - TICK, NOW + TICK, START - TICK])
def test_trigger_preview_matches_the_real_call_in_each_standing(at_now: str, now: datetime) -> None:
    head = pending(number=9)
    for connection in STANDS[at_now]:
        successors = [each for some in specimens.successors(connection).values() for each in some]
        before = deepcopy((connection, successors, head))
        for successor in successors:
            check_preview(connection, now, successor)
            check_preview(connection, now=now, successor=successor, head=successor)
            if successor is not None:
                check_preview(connection, now=now, successor=successor, head=head)
        assert (connection, successors, head) == before, "nothing is changed"


def test_reconnect_preview_equals_reconnect_with_an_empty_url() -> None:
    connection = stored("EXPIRED")
    placeholder = NextAction("", LAST_INSTANT)
    assert preview_trigger(Trigger.RECONNECT, connection, NOW, era=None) == chain.reconnect(
        connection, None, NOW, id=connection.id, next_action=placeholder, era=None
    )


def successors_of(like: Connection) -> Connection:
    return specimens.successor_of(pending(), like)


def heads_of(like: Connection) -> Connection:
    return attrs.evolve(
        like, identity=attrs.evolve(like.identity, id=ConnectionId(uuid(9)), position=3)
    )


@pytest.mark.slow
@given(
    connections() | snapshots,
    instants,
    st.none() | st.builds(successors_of, snapshots),
    st.none() | st.builds(heads_of, snapshots),
)
# `updated_at` is ahead of the clock and past the deadline, so the call is judged there.
@example(attrs.evolve(stored("ACTIVE", at(40)), updated_at=at(50)), at(30), None, None)
@example(
    stored("EXPIRED"),
    at(30),
    attrs.evolve(successors_of(stored("PENDING", at(40))), updated_at=at(50)),
    None,
)
@example(
    stored("ACTIVE", at(40)),
    at(30),
    attrs.evolve(successors_of(stored("PENDING")), updated_at=at(50)),
    None,
)
def test_trigger_preview_matches_the_real_call_on_any_connection(
    connection: Connection, now: datetime, successor: Connection | None, head: Connection | None
) -> None:
    check_allowed(
        connection, now=now, successor=successor, head=None if successor is None else head
    )


@pytest.mark.parametrize("length", [2, 3, 300])
def test_previewed_refusals_name_the_chain_head(length: int) -> None:
    made = specimens.chain_of(length)
    first, second, head = made[0], made[1], made[-1]
    now = head.updated_at + timedelta(days=1)
    refusals = {
        each.trigger: each.refused
        for each in preview_triggers(first, now=now, successor=second, head=head, era=None)
        if each.refused
    }
    assert refusals.keys() == {Trigger.AUTHORIZE, Trigger.RECONNECT}
    for refused in refusals.values():
        assert refused.problem.details == {
            "connectionId": first.id,
            "nextConnectionId": second.id,
            "headConnectionId": head.id,
        }
    check_allowed(first, now=now, successor=second, head=head)


def test_preview_lists_done_ignored_or_refused_for_each_trigger() -> None:
    def words(connection: Connection) -> dict[str, str]:
        return {
            each.trigger.value: each.outcome.value
            for each in preview_triggers(connection, NOW, era=None)
        }

    assert words(stored("PENDING")) == {
        "authorize": "done",
        "require_action": "ignored",
        "expire": "ignored",
        "revoke": "done",
        "reconnect": "refused",
    }
    assert words(stored("ACTIVE", revoked_at=NOW)) == {
        "authorize": "refused",
        "require_action": "ignored",
        "expire": "ignored",
        "revoke": "ignored",
        "reconnect": "done",
    }


# --- Notices of expiry -------------------------------------------------------------------------

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
END = at(0) + 365 * DAY


def ending(status: str = "ACTIVE", end: datetime | None = END) -> Connection:
    """Return a connection that was authorized five minutes after `START`."""
    connection = stored(status, end)
    assert connection.authorized_at == at(5)
    return connection


def notice(lead: timedelta, end: datetime = END) -> ExpiryNotice:
    return ExpiryNotice(f"{OLD_ID}.ends-in.{int(lead.total_seconds())}", end - lead, end)


MONTH, WEEK = notice(30 * DAY), notice(7 * DAY)


@pytest.mark.parametrize("status", ["ACTIVE", "ACTION_REQUIRED"])
@pytest.mark.parametrize(
    ("now", "due"),
    [
        (START, ()),
        (END - 30 * DAY - TICK, ()),
        (END - 30 * DAY, (MONTH,)),
        (END - 30 * DAY + TICK, (MONTH,)),
        (END - 7 * DAY - TICK, (MONTH,)),
        (END - 7 * DAY, (MONTH, WEEK)),
        (END - TICK, (MONTH, WEEK)),
        (END, ()),
        (END + TICK, ()),
        (LAST_INSTANT, ()),
    ],
)
def test_expiry_notice_is_due_from_its_lead_time_until_expiry(
    status: str, now: datetime, due: tuple[ExpiryNotice, ...]
) -> None:
    connection = ending(status)
    before = deepcopy(connection)
    assert find_due_notices(connection, now, era=None) == due
    assert find_due_notices(connection, now, (7 * DAY, 30 * DAY, 7 * DAY), era=None) == due, (
        "sorted, and each once"
    )
    assert connection == before


def test_expiry_notice_id_has_only_connection_id_and_lead_time() -> None:
    assert DEFAULT_LEAD_TIMES == (30 * DAY, 7 * DAY)
    assert [each.id for each in find_due_notices(ending(), END - TICK, era=None)] == [
        "00000000-0000-4000-8000-000000000001.ends-in.2592000",
        "00000000-0000-4000-8000-000000000001.ends-in.604800",
    ]
    # Other changes to the connection do not matter.
    moved = attrs.evolve(ending("ACTION_REQUIRED"), updated_at=at(99), version=300)
    assert find_due_notices(moved, END - TICK, era=None) == find_due_notices(
        ending(), END - TICK, era=None
    )


def test_expiry_notice_due_before_authorization_is_omitted() -> None:
    since = at(5)
    for days, expected in ((7, [7]), (30, [30, 7]), (8, [7])):
        end = since + days * DAY
        due = find_due_notices(ending(end=end), end - TICK, era=None)
        assert due == tuple(notice(lead * DAY, end) for lead in expected)
    end = since + 7 * DAY - TICK
    assert find_due_notices(ending(end=end), end - TICK, era=None) == ()
    assert find_due_notices(ending(end=since + 7 * DAY), since, era=None) == (
        notice(7 * DAY, since + 7 * DAY),
    )
    # A lead time that reaches before year 1 is also omitted.
    assert find_due_notices(
        ending(), END - TICK, (timedelta.max // SECOND * SECOND, 7 * DAY), era=None
    ) == (WEEK,)


@pytest.mark.parametrize("years", [40, 400])
def test_notice_of_an_expiry_decades_ahead_has_exact_due_time(years: int) -> None:
    end = END.replace(year=END.year + years)
    for lead in (30 * DAY, 3650 * DAY):
        assert find_due_notices(ending(end=end), end - lead - TICK, (lead,), era=None) == ()
        assert find_due_notices(ending(end=end), end - lead, (lead,), era=None) == (
            notice(lead, end),
        )


def test_one_second_expiry_notice_is_due_a_second_before_expiry() -> None:
    assert find_due_notices(ending(), END - TICK, (), era=None) == ()
    assert find_due_notices(ending(), END - SECOND, (SECOND,), era=None) == (notice(SECOND),)
    assert find_due_notices(ending(), END - SECOND - TICK, (SECOND,), era=None) == ()


@pytest.mark.parametrize(
    "connection",
    [
        ending(end=None),
        attrs.evolve(ending(), authorized_at=None),
        # `expires_at` has no effect in these statuses.
        attrs.evolve(ending("PENDING"), expires_at=END, handoff_deadline=END),
        attrs.evolve(ending("PENDING"), expires_at=END, handoff_deadline=None),
        attrs.evolve(ending("EXPIRED"), expires_at=END),
        attrs.evolve(ending("REVOKED"), expires_at=END),
        *(
            attrs.evolve(ending(status), expires_at=END, revoked_at=revoked_at)
            for status in Status
            for revoked_at in (at(10), END)
        ),
        # It expired before it was authorized.
        attrs.evolve(ending(), authorized_at=END),
        attrs.evolve(ending(), authorized_at=END + DAY),
    ],
)
def test_connection_that_will_not_expire_has_no_expiry_notices(connection: Connection) -> None:
    for now in (START, END - 30 * DAY, END - TICK, END):
        assert find_due_notices(connection, now, era=None) == ()


def test_connection_ended_by_a_tombstone_has_no_expiry_notices() -> None:
    assert find_due_notices(ending(), END - TICK, era=None) == (MONTH, WEEK)
    assert find_due_notices(ending(), END - TICK, era=at(10)) == ()


leads = st.lists(st.integers(1, 10**5).map(lambda seconds: seconds * SECOND), max_size=4)


@given(connections() | snapshots, instants, leads)
def test_expiry_notices_lie_between_authorization_and_expiry(
    connection: Connection, now: datetime, wanted: list[timedelta]
) -> None:
    due = find_due_notices(connection, now, tuple(wanted), era=None)
    since, end = connection.authorized_at, connection.expires_at
    running = standing(connection, now, era=None) in {"ACTIVE", "ACTION_REQUIRED"}
    expected = {
        end - lead
        for lead in wanted
        if running and since is not None and end is not None and since <= end - lead <= now
    }
    assert [each.due_at for each in due] == sorted(expected)
    assert {each.ends_at for each in due} <= {end}
    assert len({each.id for each in due}) == len(due)


@pytest.mark.parametrize(
    "lead", [timedelta(), -SECOND, TICK, SECOND - TICK, SECOND + TICK, timedelta.max]
)
@pytest.mark.parametrize("connection", [ending(), pending()])
def test_expiry_notice_lead_time_not_in_whole_seconds_raises(
    connection: Connection, lead: timedelta
) -> None:
    with pytest.raises(ArgumentError, match=r"^lead_times: must be whole seconds, at least one$"):
        find_due_notices(connection, NOW, (7 * DAY, lead), era=None)


@pytest.mark.parametrize("wrong", [specimens.NAIVE, specimens.ELSEWHERE])
def test_previews_and_notices_raise_if_now_is_not_utc(wrong: datetime) -> None:
    for connection in EVERY_CONNECTION:
        for ask in (preview_triggers, find_due_notices):
            with pytest.raises(ArgumentError, match=r"^now: "):
                ask(connection, wrong, era=None)
