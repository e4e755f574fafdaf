"""Triggers of a connection, against tables written by hand."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle.rules import merge, triggers
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import AUTHORIZATION, EXPIRY_RECORD, TRIGGERS, Trigger
from curae_lifecycle.rules.values import LAST_INSTANT
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import AccessEnded, Effect, HandoffCancelled
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.testing import laws
from tests.proof.reference import tables
from tests.proof.reference.tables import CONNECTION, RECORDS_EXPIRY
from tests.support import specimens
from tests.support.specimens import NOW, OLD_ID, STANDS, happen, stored
from tests.support.strategies import (
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    Frozen,
    actors,
    at,
    instants,
    pending,
    snapshots,
)

authorize = partial(triggers.authorize, era=None)
expire = partial(triggers.expire, era=None)
require_action = partial(triggers.require_action, era=None)
revoke = partial(triggers.revoke, era=None)


def test_hand_written_table_covers_every_trigger_and_standing() -> None:
    assert set(CONNECTION) == {(trigger, standing) for trigger in Trigger for standing in Standing}


NAMED: dict[str, dict[str, object]] = {
    "authorize": {"authorized_at": NOW, "expires_at": specimens.END},
    "require_action": {"action_required_reason": "consent_withdrawn"},
    "expire": {},
    "revoke": {"revoked_at": NOW, "revoked_by": Actor.UPSTREAM},
}
"""Members that each trigger sets, besides status, `updated_at` and version."""


def members(connection: Connection) -> dict[str, object]:
    return attrs.asdict(connection, recurse=False)


@pytest.mark.parametrize(
    ("cell", "expected"), [each for each in CONNECTION.items() if each[0][0] != "reconnect"]
)
def test_each_trigger_in_each_standing_matches_the_table(
    cell: tuple[str, str], expected: str
) -> None:
    trigger, at_now = cell
    for connection in STANDS[at_now]:
        before = deepcopy(connection)
        answer = happen(trigger, connection)
        assert connection == before, "the input is untouched"
        assert answer == happen(trigger, connection), "the same call gives the same answer"
        assert answer.rules[0] == TRIGGERS[Trigger(trigger), Standing[at_now]].rule

        if expected == RECORDS_EXPIRY:
            to = tables.EXPIRY_RECORD[connection.status,]
            assert answer.rules[1:] == (EXPIRY_RECORD[connection.status].rule,)
        else:
            to = expected
            assert len(answer.rules) == 1

        match answer:
            case Done(value):
                named = {"status": to, "updated_at": NOW, "version": 8, **NAMED[trigger]}
                assert members(value) == members(connection) | named
                assert value.identity is connection.identity
            case Ignored(value):
                assert to == "ignore"
                assert value is connection
            case Refused():
                assert to == specimens.refusal(answer)


@pytest.mark.parametrize("at_now", STANDS)
@pytest.mark.parametrize(("kind", "expected"), tables.AUTHORIZATION.items())
def test_authorize_of_a_connection_with_a_successor_is_refused(
    at_now: str, kind: tuple[str], expected: str
) -> None:
    rule = next(row.rule for value, row in AUTHORIZATION.items() if (value,) == kind)
    for connection in STANDS[at_now]:
        for successor in specimens.successors(connection)[kind[0]]:
            if successor is None:
                answer = authorize(connection, NOW)
                assert expected == "proceed"
                assert answer.rules[0].startswith("connection.authorize.")
                continue
            for head, happened_at in ((None, None), (successor, at(10)), (pending(number=9), None)):
                answer = authorize(
                    connection, NOW, happened_at=happened_at, successor=successor, head=head
                )
                assert isinstance(answer, Refused)
                assert specimens.refusal(answer) == expected
                assert answer.rules == (rule,)
                assert answer.problem.details == {
                    "connectionId": OLD_ID,
                    "nextConnectionId": specimens.NEXT_ID,
                    "headConnectionId": (head or successor).id,
                }


@pytest.mark.parametrize(("cell", "ending"), tables.ENDING.items())
def test_effect_of_a_revoke_in_each_status_matches_ending_table(
    cell: tuple[str], ending: str
) -> None:
    (status,) = cell
    revoked = happen("revoke", stored(status))
    assert isinstance(revoked, Done)
    kind = EventKind.CONNECTION_REVOKED
    expected: Effect = AccessEnded(OLD_ID, NOW)
    if ending == "its live hand-off":
        expected = HandoffCancelled(OLD_ID)
    made = changes.ending_changes(kind, stored(status), revoked.value)
    assert made.effects == (expected,)


@pytest.mark.parametrize("at_now", ["ACTION_REQUIRED", "EXPIRED", "REVOKED"])
def test_refused_authorization_names_the_standing(at_now: str) -> None:
    for connection in STANDS[at_now]:
        answer = authorize(connection, NOW)
        assert isinstance(answer, Refused)
        assert answer.problem.details == {"connectionId": OLD_ID, "standing": at_now}


def test_refused_authorization_after_deadline_names_the_deadline() -> None:
    answer = triggers.authorize(pending(), at(31), era=None)
    assert isinstance(answer, Refused)
    assert answer.problem.details == {"connectionId": OLD_ID, "deadline": at(30)}


def test_authorization_without_expiry_never_expires() -> None:
    answer = authorize(pending(), NOW)
    assert isinstance(answer, Done)
    assert answer.value.expires_at is None
    assert standing(answer.value, at(10**6), era=None) == "ACTIVE"


# --- Facts recorded late -----------------------------------------------------------------------


def test_late_authorization_is_decided_as_of_happened_at() -> None:
    answer = authorize(pending(), at(90), happened_at=at(30) - TICK, expires_at=at(60))
    assert isinstance(answer, Done)
    assert (answer.value.authorized_at, answer.value.updated_at) == (at(30) - TICK, at(90))
    assert standing(answer.value, at(90), era=None) == "EXPIRED"
    late = authorize(pending(), at(90), happened_at=at(30))
    assert isinstance(late, Refused)
    assert late.problem.code == "HANDOFF_LAPSED"


def test_late_require_action_or_expire_is_judged_at_happened_at() -> None:
    over = stored("ACTIVE", NOW)
    in_time = require_action(over, at(90), reason="portal_login", happened_at=NOW - TICK)
    assert isinstance(in_time, Done)
    assert in_time.value.updated_at == at(90)
    too_late = require_action(over, at(90), reason="portal_login", happened_at=NOW)
    assert isinstance(too_late, Ignored)
    early = expire(over, at(90), happened_at=NOW - TICK)
    recorded = expire(over, at(90), happened_at=NOW)
    assert isinstance(early, Done)
    assert isinstance(recorded, Done)
    assert early.value == recorded.value
    assert early.rules != recorded.rules


def test_late_revocation_is_decided_now_and_dated_happened_at() -> None:
    answer = revoke(pending(), at(90), actor=Actor.APP, happened_at=at(10))
    assert isinstance(answer, Done)
    assert (answer.value.revoked_at, answer.value.updated_at) == (at(10), at(90))
    assert answer.rules == (TRIGGERS[Trigger.REVOKE, Standing.LAPSED].rule,)


# --- Clock skew --------------------------------------------------------------------------------

each_fact = pytest.mark.parametrize("trigger", NAMED)
SEEN = at(60)
"""`updated_at` of the connections below, ahead of every clock used on them."""


@each_fact
@pytest.mark.parametrize("ahead", [TICK, timedelta(minutes=5)], ids=["a tick", "five minutes"])
def test_happened_at_up_to_five_minutes_ahead_counts_as_now(trigger: str, ahead: timedelta) -> None:
    for connection in specimens.EVERY_CONNECTION:
        assert happen(trigger, connection=connection, now=NOW, happened_at=NOW + ahead) == happen(
            trigger, connection
        )


@each_fact
@pytest.mark.parametrize("before", [TICK, timedelta(days=9000)], ids=["a tick", "decades"])
def test_happened_at_before_the_connection_counts_as_created_at(
    trigger: str, before: timedelta
) -> None:
    for connection in specimens.EVERY_CONNECTION:
        early = happen(trigger, connection=connection, now=NOW, happened_at=START - before)
        assert early == happen(trigger, connection=connection, now=NOW, happened_at=START)
    authorized = authorize(pending(), NOW, happened_at=START - before)
    assert isinstance(authorized, Done)
    assert authorized.value.authorized_at == START
    revoked = revoke(pending(), NOW, actor=Actor.PATIENT, happened_at=START - before)
    assert revoked.value.revoked_at == START


@each_fact
@pytest.mark.parametrize("now", [SEEN - TICK, NOW, START - TICK, at(-9000)])
def test_now_before_updated_at_counts_as_updated_at(trigger: str, now: datetime) -> None:
    for each in specimens.EVERY_CONNECTION:
        connection = attrs.evolve(each, updated_at=SEEN)
        ends = SEEN + NEXT_ACTION_LIFETIME
        answer = happen(trigger, connection, now, expires_at=ends)
        assert answer == happen(trigger, connection, SEEN, expires_at=ends)
        if isinstance(answer, Done):
            assert answer.value.updated_at == SEEN
            assert answer.value.authorized_at in {at(5), SEEN}
        # With a slow clock, "ahead" is measured from `updated_at`.
        for happened_at in (at(25), SEEN, SEEN + timedelta(minutes=5)):
            answer = happen(
                trigger, connection=connection, now=now, happened_at=happened_at, expires_at=ends
            )
            assert answer == happen(
                trigger,
                connection=connection,
                now=SEEN,
                happened_at=min(happened_at, SEEN),
                expires_at=ends,
            )
        with pytest.raises(ArgumentError, match=r"^happened_at: "):
            happen(
                trigger, connection=connection, now=now, happened_at=at(65) + TICK, expires_at=ends
            )


@pytest.mark.parametrize("at_now", [name for name in STANDS if name != "REVOKED"])
@pytest.mark.parametrize("actor", Actor)
def test_revoking_with_now_before_updated_at_keeps_updated_at(at_now: str, actor: Actor) -> None:
    for each in STANDS[at_now]:
        connection = attrs.evolve(each, updated_at=SEEN)
        for now, happened_at, revoked_at in (
            (START - TICK, None, SEEN),
            (NOW, START - TICK, START),
            (NOW, at(12), at(12)),
            (NOW, at(30), at(30)),
            (SEEN - TICK, SEEN + TICK, SEEN),
        ):
            answer = revoke(connection, now, actor=actor, happened_at=happened_at)
            assert isinstance(answer, Done)
            assert answer.value == attrs.evolve(
                connection,
                status=Status.REVOKED,
                updated_at=SEEN,
                revoked_at=revoked_at,
                revoked_by=actor,
                version=8,
            )


def test_expires_at_may_be_a_datetime_subclass_but_not_text() -> None:
    end = Frozen(2026, 3, 1, tzinfo=UTC)
    answer = authorize(pending(), NOW, expires_at=end)
    assert isinstance(answer, Done)
    assert answer.value.expires_at is end
    for nothing in ("2026-03-01T00:00:00Z", 1_772_323_200):
        with pytest.raises(ArgumentError, match=r"^expires_at: "):
            authorize(pending(), NOW, expires_at=cast("datetime", nothing))


def test_expires_at_not_after_the_stored_authorized_at_raises() -> None:
    connection = attrs.evolve(pending(), updated_at=at(10))
    with pytest.raises(ArgumentError, match=r"^expires_at: "):
        authorize(connection, START, expires_at=at(10))
    answer = authorize(connection, START, expires_at=at(10) + TICK)
    assert isinstance(answer, Done)
    assert (answer.value.authorized_at, answer.value.updated_at) == (at(10), at(10))
    early = authorize(pending(), NOW, expires_at=START + TICK, happened_at=START - TICK)
    assert isinstance(early, Done)
    with pytest.raises(ArgumentError, match=r"^expires_at: "):
        authorize(pending(), NOW, expires_at=START, happened_at=START - TICK)


# --- Contradictory statuses --------------------------------------------------------------------


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("status", Status)
def test_revoked_at_in_any_status_is_treated_as_revoked(trigger: str, status: str) -> None:
    expected = CONNECTION[trigger, "REVOKED"]
    for deadline in (None, NOW - TICK, NOW, NOW + TICK):
        # Including a `revoked_at` in the future of this clock.
        for revoked_at in (START, NOW, at(10**6)):
            connection = stored(status, deadline, revoked_at=revoked_at)
            if trigger == "reconnect":
                recovered = specimens.reconnect(connection)
                assert isinstance(recovered, Done)
                assert recovered.rules == ("connection.reconnect.revoked", "recovery.revoked.none")
                continue
            answer = happen(trigger, connection)
            assert answer.rules == (TRIGGERS[Trigger(trigger), Standing.REVOKED].rule,)
            if expected == "ignore":
                assert isinstance(answer, Ignored)
                assert answer.value is connection
            else:
                assert isinstance(answer, Refused)
                assert specimens.refusal(answer) == expected
                assert answer.problem.details["standing"] == "REVOKED"


# --- Distant instants --------------------------------------------------------------------------


@pytest.mark.parametrize("years", [30, 400])
def test_long_authorization_expires_exactly_at_its_expires_at(years: int) -> None:
    end = NOW.replace(year=NOW.year + years)
    answer = authorize(pending(), NOW, expires_at=end)
    assert isinstance(answer, Done)
    assert standing(answer.value, end - TICK, era=None) == "ACTIVE"
    recorded = expire(answer.value, end)
    early = expire(answer.value, end - TICK)
    assert isinstance(recorded, Done)
    assert isinstance(early, Done)
    assert len(recorded.rules) == 2
    assert len(early.rules) == 1
    assert recorded.value.expires_at == end


# --- Invalid arguments -------------------------------------------------------------------------


@each_fact
def test_happened_at_over_5_minutes_ahead_or_not_utc_raises(
    trigger: str,
) -> None:
    for connection in specimens.EVERY_CONNECTION:
        for happened_at, allowed in (
            (at(25) + TICK, "no more than five minutes after now"),
            (LAST_INSTANT, "no more than five minutes after now"),
            (specimens.NAIVE, "datetime.UTC"),
            (specimens.ELSEWHERE, "datetime.UTC"),
        ):
            with pytest.raises(ArgumentError, match=rf"^happened_at: must be .*{allowed}"):
                happen(trigger, connection=connection, now=NOW, happened_at=happened_at)


@each_fact
@pytest.mark.parametrize("now", [specimens.NAIVE, specimens.ELSEWHERE], ids=["naive", "elsewhere"])
def test_now_not_in_utc_raises_argument_error(trigger: str, now: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        happen(trigger, connection=pending(), now=now, happened_at=START)


@pytest.mark.parametrize(
    "expires_at", [at(10), at(10) - TICK, specimens.NAIVE, specimens.ELSEWHERE]
)
def test_expires_at_not_after_authorization_raises(expires_at: datetime) -> None:
    for connection in specimens.EVERY_CONNECTION:
        for successor in (None, specimens.successor_of(connection, pending())):
            with pytest.raises(ArgumentError, match=r"^expires_at: "):
                authorize(
                    connection, NOW, expires_at=expires_at, happened_at=at(10), successor=successor
                )
        authorize(connection, NOW, expires_at=at(10) + TICK, happened_at=at(10))


# --- Histories of one connection ---------------------------------------------------------------

happenings = st.lists(st.tuples(st.sampled_from([*NAMED]), instants, instants, actors), max_size=8)
"""Triggers, each with two instants, recorded in any order of time."""


def histories(
    happened: list[tuple[str, datetime, datetime, Actor]], behind: timedelta = timedelta()
) -> list[tuple[Connection, str, triggers.Transition]]:
    """Return each trigger with the connection before it and its answer."""
    connection = pending()
    history = []
    for trigger, one, other, actor in happened:
        now = max(one, other) - behind
        happened_at = min(one, other, now)
        ends = max(happened_at, connection.updated_at) + NEXT_ACTION_LIFETIME
        answer = happen(
            trigger,
            connection=connection,
            now=now,
            happened_at=happened_at,
            actor=actor,
            expires_at=ends,
        )
        history.append((connection, trigger, answer))
        if not isinstance(answer, Refused):
            connection = answer.value
    return history


@given(happenings, st.lists(snapshots, max_size=2))
@example(specimens.LOWERING, [])
def test_law_01_rank_of_a_stored_status_never_falls(
    happened: list[tuple[str, datetime, datetime, Actor]], others: list[Connection]
) -> None:
    kept = [pending()]
    for before, _, answer in histories(happened):
        kept.append(before if isinstance(answer, Refused) else answer.value)
    laws.check_rank_never_falls(kept)
    for each in kept:
        for other in others:
            laws.check_rank_never_falls([each, merge.merge(each, other)])


@given(happenings)
def test_law_02_second_revoke_keeps_the_first_revoked_at(
    happened: list[tuple[str, datetime, datetime, Actor]],
) -> None:
    history = histories([*happened, ("revoke", at(200), START, Actor.APP)])
    asked = [answer for _, trigger, answer in history if trigger == "revoke"]
    answered = [answer for answer in asked if not isinstance(answer, Refused)]
    assert len(answered) == len(asked), "a revocation is never refused"
    laws.check_revocation(map(laws.RevocationAnswer.of, answered))
    # No other trigger changes it, and the actor of the first revocation is kept.
    revoked = [before for before, _, _ in history if before.status is Status.REVOKED]
    revoked += [answer.value for answer in answered]
    assert len({(each.revoked_at, each.revoked_by) for each in revoked}) == 1


@given(happenings, st.sampled_from([timedelta(), TICK, NEXT_ACTION_LIFETIME, timedelta(days=1)]))
def test_each_write_adds_1_to_version_and_updated_at_never_falls(
    happened: list[tuple[str, datetime, datetime, Actor]], behind: timedelta
) -> None:
    for before, _, answer in histories(happened, behind):
        if isinstance(answer, Done):
            after = answer.value
            assert after.version == before.version + 1
            assert after.updated_at >= before.updated_at
            assert after.updated_at >= (after.revoked_at or START) >= START
            assert after.updated_at >= (after.authorized_at or START) >= START


def test_superseded_problem_names_successor_and_chain_head() -> None:
    named = triggers.build_problem(
        triggers.SUPERSEDED, connection=pending(), at=START, successor=pending(number=2), era=None
    )
    assert named.detail_values == (pending().id, pending(number=2).id, pending(number=2).id)
    long = triggers.build_problem(
        triggers.SUPERSEDED,
        connection=pending(),
        at=START,
        successor=pending(number=2),
        head=pending(number=3),
        era=None,
    )
    assert long.detail_values == (pending().id, pending(number=2).id, pending(number=3).id)


# --- Eras --------------------------------------------------------------------------------------

ERA = at(19)
"""The present era; every connection of this module was made before the first tombstone."""


@pytest.mark.parametrize("at_now", STANDS)
def test_triggers_see_connection_ended_by_tombstone_as_revoked(at_now: str) -> None:
    for connection in STANDS[at_now]:
        refused = triggers.authorize(connection, NOW, era=ERA)
        assert isinstance(refused, Refused)
        assert refused.rules == ("connection.authorize.revoked",)
        assert refused.problem.details == {"connectionId": OLD_ID, "standing": "REVOKED"}
        for answer, trigger in (
            (triggers.require_action(connection, NOW, era=ERA, reason="why"), "require-action"),
            (triggers.expire(connection, NOW, era=ERA), "expire"),
            (triggers.revoke(connection, NOW, era=ERA, actor=Actor.APP), "revoke"),
        ):
            assert answer == Ignored(connection, (f"connection.{trigger}.revoked",))


def test_authorize_treats_tombstoned_successor_as_not_pending() -> None:
    waiting = specimens.successor_of(pending(), pending(number=2))
    for era, rule in ((None, "successor-pending"), (ERA, "successor-other")):
        answer = triggers.authorize(pending(), NOW, era=era, successor=waiting)
        assert isinstance(answer, Refused)
        assert specimens.refusal(answer) == "refuse CONNECTION_SUPERSEDED"
        assert answer.rules == (f"authorization.{rule}",)
