"""What happens to a connection: the tables of the triggers, written out a second time by hand."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import merge, triggers
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import AUTHORIZATION, EXPIRY_RECORD, TRIGGERS, Trigger
from curae_lifecycle.service import changes
from curae_lifecycle.testing import laws
from tests import specimens
from tests.specimens import NOW, OLD_ID, STANDS, happen, stored, transcribed
from tests.strategies import LIFETIME, START, TICK, actors, at, instants, pending, snapshots

SHORT = """
               | PENDING         | LAPSED  | ACTIVE          | ACTION_REQUIRED | EXPIRED      | REVOKED
authorize      | ACTIVE          | LAPSED! | ignore          | NOT_PENDING!    | NOT_PENDING! | NOT_PENDING!
require_action | ACTION_REQUIRED | ignore  | ACTION_REQUIRED | ignore          | ignore       | ignore
expire         | ignore          | ignore  | EXPIRED         | EXPIRED         | record       | ignore
revoke         | REVOKED         | REVOKED | REVOKED         | REVOKED         | REVOKED      | ignore
reconnect      | STILL_PENDING!  | recover | ALREADY_ACTIVE! | recover         | recover      | recover
"""


def test_the_table_has_every_trigger_and_every_standing() -> None:
    assert set(CELLS) == {(trigger, standing) for trigger in Trigger for standing in Standing}


LONG = {
    "LAPSED!": "refuse HANDOFF_LAPSED",
    "NOT_PENDING!": "refuse CONNECTION_NOT_PENDING",
    "STILL_PENDING!": "refuse CONNECTION_NOT_RECONNECTABLE (STILL_PENDING)",
    "ALREADY_ACTIVE!": "refuse CONNECTION_NOT_RECONNECTABLE (ALREADY_ACTIVE)",
    "record": "EXPIRED (records it) or ignore",
}
CELLS = {cell: LONG.get(word, word) for cell, word in transcribed(SHORT).items()}
"""The table in the words of its page."""

NAMED: dict[str, dict[str, object]] = {
    "authorize": {"authorized_at": NOW, "expires_at": specimens.END},
    "require_action": {"action_required_reason": "consent_withdrawn"},
    "expire": {},
    "revoke": {"revoked_at": NOW, "revoked_by": Actor.UPSTREAM},
}
"""The members that each trigger names; the status and `updated_at` change with all of them."""

EXPIRY_RECORDS = {"ACTIVE": "EXPIRED", "ACTION_REQUIRED": "EXPIRED", "EXPIRED": "ignore"}
AUTHORIZATIONS = {
    "no successor": "proceed",
    "successor PENDING": "refuse CONNECTION_SUPERSEDED",
    "successor anything else": "refuse CONNECTION_SUPERSEDED",
}
ENDINGS = {
    "PENDING": "its live hand-off",
    "ACTIVE": "the access that it gave",
    "ACTION_REQUIRED": "the access that it gave",
    "EXPIRED": "the access that it gave",
}


def members(connection: Connection) -> dict[str, object]:
    return attrs.asdict(connection, recurse=False)


@pytest.mark.parametrize(
    ("cell", "expected"), [each for each in CELLS.items() if each[0][0] != "reconnect"]
)
def test_each_trigger_does_to_each_standing_what_the_table_says(
    cell: tuple[str, str], expected: str
) -> None:
    trigger, at_now = cell
    for connection in STANDS[at_now]:
        before = deepcopy(connection)
        answer = happen(trigger, connection)
        assert connection == before, "the input is untouched"
        assert answer == happen(trigger, connection), "the same call gives the same answer"
        assert answer.rules[0] == TRIGGERS[Trigger(trigger), Standing[at_now]].rule

        if expected == "EXPIRED (records it) or ignore":
            to = EXPIRY_RECORDS[connection.status]
            assert answer.rules[1:] == (EXPIRY_RECORD[connection.status].rule,)
        else:
            to = expected
            assert len(answer.rules) == 1

        match answer:
            case Done(value):
                named = {"status": to, "updated_at": NOW, **NAMED[trigger]}
                assert members(value) == members(connection) | named
                assert value.identity is connection.identity
            case Ignored(value):
                assert to == "ignore"
                assert value is connection
            case Refused():
                assert to == specimens.refusal(answer)


@pytest.mark.parametrize("at_now", STANDS)
@pytest.mark.parametrize(("kind", "expected"), AUTHORIZATIONS.items())
def test_whoever_has_a_successor_is_never_authorized(at_now: str, kind: str, expected: str) -> None:
    rule = next(row.rule for value, row in AUTHORIZATION.items() if value == kind)
    for connection in STANDS[at_now]:
        for successor in specimens.successors(connection)[kind]:
            answer = triggers.authorize(connection, NOW, successor=successor)
            if expected == "proceed":
                assert answer.rules[0].startswith("connection.authorize.")
                continue
            assert isinstance(answer, Refused)
            assert specimens.refusal(answer) == expected
            assert answer.rules == (rule,)
            ids = {"connectionId": OLD_ID, "nextConnectionId": specimens.NEXT_ID}
            assert answer.problem.details == ids


@pytest.mark.parametrize(("status", "ending"), ENDINGS.items())
def test_what_ends_is_what_the_status_before_had(status: str, ending: str) -> None:
    revoked = happen("revoke", stored(status))
    assert isinstance(revoked, Done)
    kind = changes.EventKind.CONNECTION_REVOKED
    expected: changes.Effect = changes.AccessEnded(OLD_ID, NOW)
    if ending == "its live hand-off":
        expected = changes.HandoffCancelled(OLD_ID)
    made = changes.connection_changes(kind, stored(status), revoked.value)
    assert made.effects == (expected,)


@pytest.mark.parametrize("at_now", ["ACTION_REQUIRED", "EXPIRED", "REVOKED"])
def test_a_refused_authorization_says_what_the_connection_is(at_now: str) -> None:
    for connection in STANDS[at_now]:
        answer = triggers.authorize(connection, NOW)
        assert isinstance(answer, Refused)
        assert answer.problem.details == {"connectionId": OLD_ID, "standing": at_now}


def test_a_lapsed_authorization_says_when_the_hand_off_was_over() -> None:
    answer = triggers.authorize(pending(), at(30))
    assert isinstance(answer, Refused)
    assert answer.problem.details == {"connectionId": OLD_ID, "deadline": at(30)}


def test_an_authorization_without_an_end_has_none() -> None:
    answer = triggers.authorize(pending(), NOW)
    assert isinstance(answer, Done)
    assert answer.value.expires_at is None
    assert standing(answer.value, at(10**6)) == "ACTIVE"


# --- Late facts --------------------------------------------------------------------------------


def test_a_late_authorization_is_judged_when_it_happened() -> None:
    answer = triggers.authorize(pending(), at(90), happened_at=at(30) - TICK, expires_at=at(60))
    assert isinstance(answer, Done)
    assert (answer.value.authorized_at, answer.value.updated_at) == (at(30) - TICK, at(90))
    assert standing(answer.value, at(90)) == "EXPIRED"
    late = triggers.authorize(pending(), at(90), happened_at=at(30))
    assert isinstance(late, Refused)
    assert late.problem.code == "HANDOFF_LAPSED"


def test_a_late_action_or_expiry_is_judged_when_it_happened() -> None:
    over = stored("ACTIVE", NOW)
    in_time = triggers.require_action(over, at(90), reason="portal_login", happened_at=NOW - TICK)
    assert isinstance(in_time, Done)
    assert in_time.value.updated_at == at(90)
    too_late = triggers.require_action(over, at(90), reason="portal_login", happened_at=NOW)
    assert isinstance(too_late, Ignored)
    early = triggers.expire(over, at(90), happened_at=NOW - TICK)
    recorded = triggers.expire(over, at(90), happened_at=NOW)
    assert isinstance(early, Done)
    assert isinstance(recorded, Done)
    assert early.value == recorded.value
    assert early.rules != recorded.rules


def test_a_late_revocation_is_judged_now_and_dated_when_it_happened() -> None:
    answer = triggers.revoke(pending(), at(90), actor=Actor.APP, happened_at=at(10))
    assert isinstance(answer, Done)
    assert (answer.value.revoked_at, answer.value.updated_at) == (at(10), at(90))
    assert answer.rules == (TRIGGERS[Trigger.REVOKE, Standing.LAPSED].rule,)


# --- Mistakes ----------------------------------------------------------------------------------

each_fact = pytest.mark.parametrize("trigger", NAMED)


@each_fact
def test_a_fact_outside_its_time_is_a_mistake_whatever_the_connection_is(trigger: str) -> None:
    for connection in specimens.EVERY_CONNECTION:
        for happened_at, allowed in (
            (NOW + TICK, "no later than now"),
            (START - TICK, "no earlier than the connection's creation"),
            (specimens.NAIVE, "datetime.UTC"),
            (specimens.ELSEWHERE, "datetime.UTC"),
        ):
            with pytest.raises(ArgumentError, match=rf"^happened_at: must be .*{allowed}"):
                happen(trigger, connection, NOW, happened_at)
        happen(trigger, connection, NOW, START)


@each_fact
@pytest.mark.parametrize("now", [specimens.NAIVE, specimens.ELSEWHERE], ids=["naive", "elsewhere"])
def test_a_now_that_is_not_utc_is_a_mistake(trigger: str, now: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        happen(trigger, pending(), now, START)


@pytest.mark.parametrize(
    "expires_at", [at(10), at(10) - TICK, specimens.NAIVE, specimens.ELSEWHERE]
)
def test_an_end_that_is_not_after_the_authorization_is_a_mistake_whatever_the_connection_is(
    expires_at: datetime,
) -> None:
    for connection in specimens.EVERY_CONNECTION:
        for successor in (None, specimens.successor_of(connection, pending())):
            with pytest.raises(ArgumentError, match=r"^expires_at: "):
                triggers.authorize(
                    connection,
                    NOW,
                    expires_at=expires_at,
                    happened_at=at(10),
                    successor=successor,
                )
        triggers.authorize(connection, NOW, expires_at=at(10) + TICK, happened_at=at(10))


# --- One connection, whatever happens ----------------------------------------------------------

happenings = st.lists(st.tuples(st.sampled_from([*NAMED]), instants, instants, actors), max_size=8)
"""Triggers, each with two instants, recorded in no order of time at all."""


def histories(
    happened: list[tuple[str, datetime, datetime, Actor]],
) -> list[tuple[Connection, str, triggers.Transition]]:
    """What each trigger was asked of, and what it was answered."""
    connection = pending()
    history = []
    for trigger, one, other, actor in happened:
        now, happened_at = max(one, other), min(one, other)
        ends = happened_at + LIFETIME
        answer = happen(trigger, connection, now, happened_at, actor=actor, expires_at=ends)
        history.append((connection, trigger, answer))
        if not isinstance(answer, Refused):
            connection = answer.value
    return history


@given(happenings, st.lists(snapshots, max_size=2))
def test_law_01_the_stored_rank_of_one_id_never_falls(
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
def test_law_02_revoked_now_is_true_exactly_once_and_the_first_revoked_at_stands(
    happened: list[tuple[str, datetime, datetime, Actor]],
) -> None:
    history = histories([*happened, ("revoke", at(200), START, Actor.APP)])
    asked = [answer for _, trigger, answer in history if trigger == "revoke"]
    answered = [answer for answer in asked if not isinstance(answer, Refused)]
    assert len(answered) == len(asked), "a revocation is never refused"
    laws.check_revocation(map(laws.RevocationSeen.of, answered))
    # Nothing else moves it either, and who revoked stands as well.
    revoked = [before for before, _, _ in history if before.status is Status.REVOKED]
    revoked += [answer.value for answer in answered]
    assert len({(each.revoked_at, each.revoked_by) for each in revoked}) == 1


def test_what_an_authorization_happened_at_is_checked_by_its_name() -> None:
    naive = START.replace(tzinfo=None)
    for now, happened, ends, argument in (
        (naive, None, None, "now"),
        (naive, START, None, "now"),
        (START, naive, None, "happened_at"),
        (START, START + TICK, None, "happened_at"),
        (START, None, naive, "expires_at"),
        (START, None, START, "expires_at"),
    ):
        with pytest.raises(ArgumentError) as caught:
            triggers.check_authorization(now, happened, ends)
        assert caught.value.argument == argument
    assert triggers.check_authorization(START, None, START + TICK) == START
    assert triggers.check_authorization(START + TICK, START, None) == START


def test_a_connection_can_be_superseded_by_one_that_nobody_names() -> None:
    problem = triggers.problem_of(triggers.SUPERSEDED, pending(), START, None)
    assert problem.values == (pending().id, None)
    named = triggers.problem_of(triggers.SUPERSEDED, pending(), START, pending(number=2))
    assert named.values == (pending().id, pending(number=2).id)
