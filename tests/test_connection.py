"""Section 2 of the rules, its tables written out a second time by hand."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.chain import RECOVERY, REVOCATION_REACH, Minted, Reissued
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.merge import MergeError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import (
    AUTHORIZATION,
    EXPIRY_RECORD,
    TRIGGERS,
    Successor,
    Transition,
    Trigger,
)
from curae_lifecycle.rules.values import ConnectionId, DataPackage, Environment
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.laws import RevocationSeen
from tests.strategies import (
    COORDINATE,
    LIFETIME,
    START,
    TICK,
    actors,
    at,
    instants,
    next_action,
    pending,
    uuid,
)

NOW, END = at(20), at(60)
OLD_ID, NEXT_ID, FRESH_ID = (ConnectionId(uuid(number)) for number in (1, 2, 3))


def stored(status: str, deadline: datetime | None = None, *, number: int = 1) -> Connection:
    """A record of `status`; `deadline` is the one that counts for it.

    The other deadline says the opposite, so that a rule which asks the wrong one is found out.
    All other members are set, so that a rule which changes one that it does not name is too.
    """
    other = None if deadline is not None and deadline <= NOW else START + TICK
    waits = status == "PENDING"
    return attrs.evolve(
        pending(number=number),
        status=Status[status],
        handoff_deadline=deadline if waits else other,
        expires_at=other if waits else deadline,
        authorized_at=at(5),
        action_required_reason="portal_login",
        revoked_at=at(10),
        revoked_by=Actor.PATIENT,
    )


# --- The standing table --------------------------------------------------------------------

# stored status: standing before the deadline or with none, standing at it and after
STANDINGS = {
    "PENDING": ("PENDING", "LAPSED"),
    "ACTIVE": ("ACTIVE", "EXPIRED"),
    "ACTION_REQUIRED": ("ACTION_REQUIRED", "EXPIRED"),
    "EXPIRED": ("EXPIRED", "EXPIRED"),
    "REVOKED": ("REVOKED", "REVOKED"),
}

each_status = pytest.mark.parametrize("status", STANDINGS)


def test_statuses_and_standings_are_those_of_the_specification_in_order_of_rank() -> None:
    assert list(Status.__members__) == list(STANDINGS)
    assert list(Standing.__members__) == [
        "PENDING", "LAPSED", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED",
    ]  # fmt: skip


@each_status
def test_standing_is_what_the_table_says_and_intervals_are_half_open(status: str) -> None:
    before, reached = STANDINGS[status]
    assert rules.standing(stored(status), NOW) == before
    assert rules.standing(stored(status, NOW + TICK), NOW) == before
    assert rules.standing(stored(status, NOW), NOW) == reached
    assert rules.standing(stored(status, NOW - TICK), NOW) == reached


@each_status
def test_next_deadline_is_the_instant_at_which_the_standing_changes_by_itself(
    status: str,
) -> None:
    before, reached = STANDINGS[status]
    expected = NOW if before != reached else None
    assert rules.next_deadline(stored(status, NOW)) == expected
    assert rules.next_deadline(stored(status)) is None


# --- The event table -----------------------------------------------------------------------

EVENT_TABLE = """
                | PENDING         | LAPSED  | ACTIVE          | ACTION_REQUIRED | EXPIRED | REVOKED
authorize       | ACTIVE          | LAPSED! | ignore          | NOT_PENDING!    | NOT_PENDING! | NOT_PENDING!
require_action  | ACTION_REQUIRED | ignore  | ACTION_REQUIRED | ignore          | ignore  | ignore
expire          | ignore          | ignore  | EXPIRED         | EXPIRED         | record  | ignore
revoke          | REVOKED         | REVOKED | REVOKED         | REVOKED         | REVOKED | ignore
reconnect       | STILL_PENDING!  | recover | ALREADY_ACTIVE! | recover         | recover | recover
"""

# What the short words of the table stand for, as the functions answer it.
ANSWERS = {
    "LAPSED!": "refuse HANDOFF_LAPSED",
    "NOT_PENDING!": "refuse CONNECTION_NOT_PENDING",
    "STILL_PENDING!": "refuse CONNECTION_NOT_RECONNECTABLE (STILL_PENDING)",
    "ALREADY_ACTIVE!": "refuse CONNECTION_NOT_RECONNECTABLE (ALREADY_ACTIVE)",
    "record": "EXPIRED (records it) or ignore",
}

# Every way in which a record can have a standing at `NOW`.
SPECIMENS = {
    "PENDING": [stored("PENDING"), stored("PENDING", NOW + TICK)],
    "LAPSED": [stored("PENDING", NOW), stored("PENDING", NOW - TICK)],
    "ACTIVE": [stored("ACTIVE"), stored("ACTIVE", NOW + TICK)],
    "ACTION_REQUIRED": [stored("ACTION_REQUIRED"), stored("ACTION_REQUIRED", NOW + TICK)],
    "EXPIRED": [
        stored("EXPIRED"),
        stored("EXPIRED", NOW + TICK),
        stored("ACTIVE", NOW),
        stored("ACTION_REQUIRED", NOW),
    ],
    "REVOKED": [stored("REVOKED"), stored("REVOKED", NOW), stored("REVOKED", NOW + TICK)],
}

# The members that each event names; the status and `updated_at` change with all of them.
NAMED: dict[str, dict[str, object]] = {
    "authorize": {"authorized_at": NOW, "expires_at": END},
    "require_action": {"action_required_reason": "consent_withdrawn"},
    "expire": {},
    "revoke": {"revoked_at": NOW, "revoked_by": Actor.UPSTREAM},
}


def event_cells() -> list[tuple[str, str, str]]:
    head, *lines = [
        [cell.strip() for cell in line.split("|")] for line in EVENT_TABLE.strip("\n").split("\n")
    ]
    return [
        (line[0], standing, ANSWERS.get(cell, cell))
        for line in lines
        for standing, cell in zip(head[1:], line[1:], strict=True)
    ]


CELLS = event_cells()


def happen(
    connection: Connection,
    event: str,
    now: datetime = NOW,
    happened_at: datetime | None = None,
    *,
    actor: Actor = Actor.UPSTREAM,
    expires_at: datetime | None = END,
) -> Transition:
    match event:
        case "authorize":
            return triggers.authorize(
                connection, now, expires_at=expires_at, happened_at=happened_at
            )
        case "require_action":
            return triggers.require_action(
                connection, now, reason="consent_withdrawn", happened_at=happened_at
            )
        case "expire":
            return triggers.expire(connection, now, happened_at=happened_at)
        case _:
            return triggers.revoke(connection, now, actor=actor, happened_at=happened_at)


def reconnect(
    connection: Connection, successor: Connection | None = None, now: datetime = NOW
) -> chains.Recovery:
    return chains.reconnect(connection, successor, now, id=FRESH_ID, next_action=next_action(now))


def members(connection: Connection) -> dict[str, object]:
    return attrs.asdict(connection, recurse=False)


def refusal(answer: Refused) -> str:
    reason = answer.problem.details.get("reason")
    return f"refuse {answer.problem.code}" + (f" ({reason})" if reason else "")


def test_the_event_table_has_the_events_and_standings_of_the_package() -> None:
    assert {(event, standing) for event, standing, _ in CELLS} == {
        (str(event), str(standing)) for event in Trigger for standing in Standing
    }
    for standing, specimens in SPECIMENS.items():
        assert {rules.standing(each, NOW) for each in specimens} == {standing}


@pytest.mark.parametrize(
    ("event", "standing", "expected"), [cell for cell in CELLS if cell[0] != "reconnect"]
)
def test_each_event_does_to_each_standing_what_the_table_says(
    event: str, standing: str, expected: str
) -> None:
    for connection in SPECIMENS[standing]:
        before = deepcopy(connection)
        answer = happen(connection, event)
        assert connection == before, "the input is untouched"
        assert answer == happen(connection, event), "the same call gives the same answer"
        assert answer.rules[0] == TRIGGERS[Trigger(event), Standing[standing]].rule

        recorded = connection.status.value == "EXPIRED"
        if expected == "EXPIRED (records it) or ignore":
            to = "ignore" if recorded else "EXPIRED"
            assert answer.rules[1:] == (EXPIRY_RECORD[connection.status].rule,)
        else:
            to = expected
            assert len(answer.rules) == 1

        match answer:
            case Done(value):
                changes = {"status": to, "updated_at": NOW, **NAMED[event]}
                assert members(value) == members(connection) | changes
                assert value.identity is connection.identity
            case Ignored(value):
                assert to == "ignore"
                assert value is connection
            case Refused():
                assert to == refusal(answer)


@pytest.mark.parametrize(
    ("standing", "expected"), [cell[1:] for cell in CELLS if cell[0] == "reconnect"]
)
def test_reconnect_recovers_the_standings_that_the_table_says(standing: str, expected: str) -> None:
    for connection in SPECIMENS[standing]:
        answer = reconnect(connection)
        assert answer.rules[0] == TRIGGERS[Trigger.RECONNECT, Standing[standing]].rule
        assert expected == (refusal(answer) if isinstance(answer, Refused) else "recover")


@pytest.mark.parametrize(("event", "standing", "expected"), CELLS)
def test_the_printed_event_table_says_the_same(event: str, standing: str, expected: str) -> None:
    assert str(TRIGGERS[Trigger(event), Standing[standing]].outcome) == expected


@each_status
def test_only_a_stored_active_or_action_required_has_an_expiry_to_record(status: str) -> None:
    expected = "EXPIRED" if status in {"ACTIVE", "ACTION_REQUIRED"} else "ignore"
    assert str(EXPIRY_RECORD[Status[status],].outcome) == expected


@pytest.mark.parametrize("standing", ["ACTION_REQUIRED", "EXPIRED", "REVOKED"])
def test_a_refused_authorization_says_what_the_connection_is(standing: str) -> None:
    for connection in SPECIMENS[standing]:
        answer = triggers.authorize(connection, NOW)
        assert isinstance(answer, Refused)
        assert answer.problem.details == {"connectionId": OLD_ID, "standing": standing}


def test_a_lapsed_authorization_says_when_the_hand_off_was_over() -> None:
    answer = triggers.authorize(pending(), at(30))
    assert isinstance(answer, Refused)
    assert answer.problem.details == {"connectionId": OLD_ID, "deadline": at(30)}


def test_an_authorization_without_an_end_has_none() -> None:
    answer = triggers.authorize(pending(), NOW)
    assert isinstance(answer, Done)
    assert answer.value.expires_at is None
    assert rules.standing(answer.value, at(10**6)) == "ACTIVE"


def test_a_new_connection_is_pending_until_its_next_action_ends() -> None:
    made = pending()
    assert members(made) | {"identity": None} == {
        "identity": None, "status": "PENDING", "updated_at": START, "handoff_deadline": at(30),
        "authorized_at": None, "expires_at": None, "action_required_reason": None,
        "revoked_at": None, "revoked_by": None,
    }  # fmt: skip
    assert made.identity == rules.ConnectionIdentity(
        OLD_ID, COORDINATE, (DataPackage("clinical_summary"), DataPackage("labs")), START, None,
        OLD_ID,
    )  # fmt: skip
    assert made.id == OLD_ID


# --- The recovery table --------------------------------------------------------------------

# standing: no successor, successor PENDING, successor anything else
RECOVERIES = {
    "LAPSED": ("mint", "reissue", "superseded"),
    "ACTION_REQUIRED": ("mint", "reissue", "superseded"),
    "EXPIRED": ("mint", "reissue", "superseded"),
    "REVOKED": ("mint", "reissue", "superseded"),
    "PENDING": ("STILL_PENDING", "STILL_PENDING", "STILL_PENDING"),
    "ACTIVE": ("ALREADY_ACTIVE", "ALREADY_ACTIVE", "ALREADY_ACTIVE"),
}


def successor_of(connection: Connection, like: Connection) -> Connection:
    """A successor in the state of `like`."""
    identity = attrs.evolve(
        like.identity, id=NEXT_ID, created_at=at(15), predecessor_id=connection.id
    )
    return attrs.evolve(like, identity=identity, updated_at=at(15))


OTHERS = [each for standing, ones in SPECIMENS.items() if standing != "PENDING" for each in ones]
SUCCESSORS: list[list[Connection | None]] = [[None], [*SPECIMENS["PENDING"]], [*OTHERS]]

each_recovery = pytest.mark.parametrize(
    ("standing", "kind", "expected"),
    [
        (standing, kind, expected)
        for standing, cells in RECOVERIES.items()
        for kind, expected in enumerate(cells)
    ],
)


def outcome_of_reconnect(connection: Connection, successor: Connection | None) -> str:
    """The word of the table for the answer, after checking all else that it says."""
    answer = reconnect(connection, successor)
    if isinstance(answer, Refused):
        details = answer.problem.details
        if answer.problem.code == "CONNECTION_SUPERSEDED":
            assert details == {"connectionId": OLD_ID, "nextConnectionId": NEXT_ID}
            return "superseded"
        assert answer.problem.code == "CONNECTION_NOT_RECONNECTABLE"
        assert details == {"connectionId": OLD_ID, "reason": details["reason"]}
        return str(details["reason"])
    match answer.value:
        case Minted(made):
            assert successor is None
            assert made == Connection(
                attrs.evolve(
                    connection.identity, id=FRESH_ID, created_at=NOW, predecessor_id=OLD_ID
                ),
                Status.PENDING,
                NOW,
                NOW + LIFETIME,
            )
            return "mint"
        case Reissued(before, again):
            assert successor is not None
            assert before is successor
            moved = {"updated_at": NOW, "handoff_deadline": NOW + LIFETIME}
            assert members(again) == members(successor) | moved
            return "reissue"


@each_recovery
def test_a_reconnect_makes_what_the_recovery_table_says(
    standing: str, kind: int, expected: str
) -> None:
    for connection in SPECIMENS[standing]:
        for like in SUCCESSORS[kind]:
            successor = None if like is None else successor_of(connection, like)
            before = deepcopy((connection, successor))
            assert outcome_of_reconnect(connection, successor) == expected
            assert reconnect(connection, successor) == reconnect(connection, successor)
            assert (connection, successor) == before, "neither is touched"


@each_recovery
def test_the_printed_recovery_table_says_the_same(standing: str, kind: int, expected: str) -> None:
    printed = {
        "mint": "mint a successor",
        "reissue": "reissue the successor",
        "superseded": "refuse CONNECTION_SUPERSEDED",
    }.get(expected, f"refuse CONNECTION_NOT_RECONNECTABLE ({expected})")
    row = RECOVERY[Standing[standing], list(Successor)[kind]]
    assert str(row.outcome) == printed
    if standing not in {"PENDING", "ACTIVE"}:
        like = SUCCESSORS[kind][0]
        connection = SPECIMENS[standing][0]
        successor = None if like is None else successor_of(connection, like)
        assert reconnect(connection, successor).rules[1:] == (row.rule,)


@pytest.mark.parametrize("standing", SPECIMENS)
def test_whoever_has_a_successor_is_never_authorized(standing: str) -> None:
    for connection in SPECIMENS[standing]:
        for kind, like in ((1, SPECIMENS["PENDING"][0]), *((2, other) for other in OTHERS)):
            answer = triggers.authorize(connection, NOW, successor=successor_of(connection, like))
            assert isinstance(answer, Refused)
            assert answer.problem.code == "CONNECTION_SUPERSEDED"
            assert answer.problem.details == {
                "connectionId": OLD_ID, "nextConnectionId": NEXT_ID,
            }  # fmt: skip
            assert answer.rules == (AUTHORIZATION[list(Successor)[kind],].rule,)
    assert str(AUTHORIZATION[Successor.NONE].outcome) == "proceed"


def test_a_chain_keeps_the_id_of_its_first_connection() -> None:
    first = stored("EXPIRED")
    second = successor_of(first, stored("EXPIRED"))
    answer = reconnect(second)
    assert isinstance(answer, Done)
    identity = answer.value.connection.identity
    assert (identity.predecessor_id, identity.root_id) == (NEXT_ID, OLD_ID)


# --- Revocation ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actor", "reach"), [("APP", 1), ("PATIENT", 3), ("PLATFORM", 3), ("UPSTREAM", 1)]
)
def test_a_patient_or_the_platform_ends_the_chain_and_others_one_connection(
    actor: str, reach: int
) -> None:
    named = stored("EXPIRED")
    later = (stored("REVOKED", number=2), stored("ACTIVE", number=3))
    before = deepcopy((named, later))
    answers = chains.revoke_chain(named, later, NOW, actor=Actor[actor])
    assert (named, later) == before
    assert len(answers) == reach
    for connection, answer in zip((named, *later), answers, strict=False):
        assert answer == triggers.revoke(connection, NOW, actor=Actor[actor])
    assert [type(answer) for answer in answers] == [Done, Ignored, Done][:reach]
    reached = REVOCATION_REACH[Actor[actor],].outcome.to
    assert reached == ("that connection" if reach == 1 else "that connection and every later one")


def test_a_late_revocation_of_a_chain_has_one_instant_for_all() -> None:
    young = attrs.evolve(
        stored("ACTIVE"), identity=attrs.evolve(pending(at(15)).identity, id=NEXT_ID)
    )
    answers = chains.revoke_chain(
        stored("EXPIRED"), (young,), NOW, actor=Actor.PATIENT, happened_at=at(12)
    )
    assert [answer.value.revoked_at for answer in answers] == [at(12), at(12)]
    assert [answer.value.updated_at for answer in answers] == [NOW, NOW]


# --- Late facts ----------------------------------------------------------------------------


def test_a_late_authorization_is_judged_when_it_happened() -> None:
    answer = triggers.authorize(pending(), at(90), happened_at=at(30) - TICK, expires_at=at(60))
    assert isinstance(answer, Done)
    assert (answer.value.authorized_at, answer.value.updated_at) == (at(30) - TICK, at(90))
    assert rules.standing(answer.value, at(90)) == "EXPIRED"
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


# --- Mistakes ------------------------------------------------------------------------------

NAIVE = NOW.replace(tzinfo=None)
ELSEWHERE = NOW.astimezone(timezone(timedelta(hours=2)))
EVERY_RECORD = [each for specimens in SPECIMENS.values() for each in specimens]

each_event = pytest.mark.parametrize("event", ["authorize", "require_action", "expire", "revoke"])


@each_event
def test_a_fact_outside_its_time_is_a_mistake_whatever_the_connection_is(event: str) -> None:
    for connection in EVERY_RECORD:
        for happened_at, allowed in (
            (NOW + TICK, "no later than now"),
            (START - TICK, "no earlier than the connection's creation"),
            (NAIVE, "datetime.UTC"),
            (ELSEWHERE, "datetime.UTC"),
        ):
            with pytest.raises(ArgumentError, match=rf"^happened_at: must be .*{allowed}"):
                happen(connection, event, NOW, happened_at)
        happen(connection, event, NOW, START)


@each_event
@pytest.mark.parametrize("now", [NAIVE, ELSEWHERE], ids=["naive", "elsewhere"])
def test_a_now_that_is_not_utc_is_a_mistake(event: str, now: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        happen(pending(), event, now, START)


@pytest.mark.parametrize("expires_at", [at(10), at(10) - TICK, NAIVE, ELSEWHERE])
def test_an_end_that_is_not_after_the_authorization_is_a_mistake_whatever_the_connection_is(
    expires_at: datetime,
) -> None:
    for connection in EVERY_RECORD:
        successor = successor_of(connection, pending())
        for recovered_by in (None, successor):
            with pytest.raises(ArgumentError, match=r"^expires_at: "):
                triggers.authorize(
                    connection,
                    NOW,
                    expires_at=expires_at,
                    happened_at=at(10),
                    successor=recovered_by,
                )
        triggers.authorize(connection, NOW, expires_at=at(10) + TICK, happened_at=at(10))


def test_a_next_action_that_was_over_before_it_began_is_a_mistake() -> None:
    over = next_action(NOW, -TICK)
    packages = (DataPackage("labs"),)
    with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: must be "):
        rules.create(
            id=OLD_ID, coordinate=COORDINATE, data_packages=packages, now=NOW, next_action=over
        )
    for connection in EVERY_RECORD:
        with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: must be "):
            chains.reconnect(connection, None, NOW, id=FRESH_ID, next_action=over)


def test_a_next_action_that_ends_at_once_makes_a_connection_that_has_lapsed() -> None:
    made = chains.reconnect(
        stored("EXPIRED"), None, NOW, id=FRESH_ID, next_action=next_action(NOW, 0 * TICK)
    )
    assert isinstance(made, Done)
    assert rules.standing(made.value.connection, NOW) == "LAPSED"


@pytest.mark.parametrize("wrong", [NAIVE, ELSEWHERE], ids=["naive", "elsewhere"])
def test_reconnect_and_create_want_utc(wrong: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        reconnect(stored("EXPIRED"), None, wrong)
    with pytest.raises(ArgumentError, match=r"^now: "):
        pending(wrong)
    with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: "):
        chains.reconnect(pending(), None, NOW, id=FRESH_ID, next_action=next_action(wrong))


# --- Merge ---------------------------------------------------------------------------------

few_instants = st.sampled_from([at(minutes) for minutes in (0, 10, 20, 30)])
maybe = st.none() | few_instants
snapshots = st.builds(
    Connection,
    st.just(pending().identity),
    st.sampled_from(Status),
    few_instants,
    maybe,
    maybe,
    maybe,
    st.sampled_from([None, "portal_login", "consent_withdrawn"]),
    maybe,
    st.none() | actors,
)
"""Any snapshots of one connection, also such as no rule makes."""


def test_a_higher_rank_wins_a_merge_with_the_earliest_facts_and_the_latest_deadline() -> None:
    left = Connection(
        pending().identity, Status.ACTION_REQUIRED, at(20), at(30), at(5), None, "b", None, None
    )
    right = Connection(
        pending().identity, Status.REVOKED, at(12), at(40), at(6), at(90), "a", at(12), Actor.APP
    )
    assert merging.merge(left, right) == Connection(
        pending().identity, Status.REVOKED, at(20), at(40), at(5), at(90), "a", at(12), Actor.APP
    )


@pytest.mark.parametrize("low", range(5))
@pytest.mark.parametrize("high", range(5))
def test_the_higher_rank_wins_a_merge(low: int, high: int) -> None:
    names = list(STANDINGS)
    merged = merging.merge(stored(names[low]), stored(names[high]))
    assert merged.status.value == names[max(low, high)]


def test_a_merge_keeps_the_first_revocation_with_who_did_it() -> None:
    first, second = (
        attrs.evolve(stored("REVOKED"), revoked_at=instant, revoked_by=actor)
        for instant, actor in ((at(3), Actor.UPSTREAM), (at(4), Actor.APP))
    )
    merged = merging.merge(second, first)
    assert (merged.revoked_at, merged.revoked_by) == (at(3), Actor.UPSTREAM)


@each_status
def test_a_snapshot_that_knows_less_takes_nothing_away(status: str) -> None:
    """The wire has neither the deadline of the hand-off nor who revoked."""
    known = stored(status, NOW)
    less = Connection(known.identity, Status[status], START, revoked_at=known.revoked_at)
    assert merging.merge(known, less) == merging.merge(less, known) == known


def test_a_lapse_does_not_beat_an_authorization_that_is_learnt_late() -> None:
    authorized = triggers.authorize(pending(), at(29))
    assert isinstance(authorized, Done)
    assert rules.standing(pending(), at(40)) == "LAPSED"
    merged = merging.merge(pending(), authorized.value)
    assert rules.standing(merged, at(40)) == "ACTIVE"


IDENTITY = pending().identity
OTHER_IDENTITIES = [
    attrs.evolve(IDENTITY, id=NEXT_ID),
    attrs.evolve(IDENTITY, created_at=at(1)),
    attrs.evolve(IDENTITY, data_packages=(DataPackage("labs"),)),
    attrs.evolve(IDENTITY, predecessor_id=NEXT_ID),
    attrs.evolve(IDENTITY, root_id=NEXT_ID),
    attrs.evolve(IDENTITY, coordinate=attrs.evolve(COORDINATE, environment=Environment.TEST)),
]


@pytest.mark.parametrize("identity", OTHER_IDENTITIES)
def test_snapshots_of_different_connections_do_not_merge(
    identity: rules.ConnectionIdentity,
) -> None:
    left, right = pending(), attrs.evolve(pending(), identity=identity)
    with pytest.raises(MergeError, match="have different identities") as error:
        merging.merge(left, right)
    assert (error.value.left, error.value.right) == (left.id, right.id)


@given(snapshots, snapshots, snapshots)
def test_law_03_merge_is_commutative_associative_and_idempotent_and_revoked_absorbs(
    one: Connection, two: Connection, three: Connection
) -> None:
    before = deepcopy((one, two, three))
    laws.check_merge(one, two, three)
    laws.check_merge(one, two, attrs.evolve(three, status=Status.REVOKED))
    assert (one, two, three) == before


# --- One connection, whatever happens ------------------------------------------------------

happenings = st.lists(
    st.tuples(
        st.sampled_from(["authorize", "require_action", "expire", "revoke"]),
        instants,
        instants,
        actors,
    ),
    max_size=8,
)
"""Events, each with two instants, recorded in no order of time at all."""


def histories(
    events: list[tuple[str, datetime, datetime, Actor]],
) -> list[tuple[Connection, str, Transition]]:
    """What each event was asked of, and what it was answered."""
    connection = pending()
    history = []
    for event, one, other, actor in events:
        now, happened_at = max(one, other), min(one, other)
        ends = happened_at + LIFETIME
        answer = happen(connection, event, now, happened_at, actor=actor, expires_at=ends)
        history.append((connection, event, answer))
        if not isinstance(answer, Refused):
            connection = answer.value
    return history


@given(happenings, st.lists(snapshots, max_size=2))
def test_law_01_the_stored_rank_of_one_id_never_falls(
    events: list[tuple[str, datetime, datetime, Actor]], others: list[Connection]
) -> None:
    stored = [pending()]
    for before, _, answer in histories(events):
        stored.append(before if isinstance(answer, Refused) else answer.value)
    laws.check_rank_never_falls(stored)
    for each in stored:
        for other in others:
            laws.check_rank_never_falls([each, merging.merge(each, other)])


@given(happenings)
def test_law_02_revoked_now_is_true_exactly_once_and_the_first_revoked_at_stands(
    events: list[tuple[str, datetime, datetime, Actor]],
) -> None:
    history = histories([*events, ("revoke", at(200), START, Actor.APP)])
    asked = [answer for _, event, answer in history if event == "revoke"]
    answered = [answer for answer in asked if not isinstance(answer, Refused)]
    assert len(answered) == len(asked), "a revocation is never refused"
    laws.check_revocation(map(RevocationSeen.of, answered))
    # Nothing else moves it either, and who revoked stands as well.
    revoked = [before for before, _, _ in history if before.status == "REVOKED"]
    revoked += [answer.value for answer in answered]
    assert len({(each.revoked_at, each.revoked_by) for each in revoked}) == 1


@given(snapshots, st.lists(instants, min_size=2, max_size=6))
def test_law_04_standing_is_monotone_in_time_for_a_fixed_record(
    connection: Connection, times: list[datetime]
) -> None:
    laws.check_standing_is_monotone(connection, times)


@given(snapshots, instants)
def test_the_standing_changes_by_itself_at_the_next_deadline_and_at_no_other_instant(
    connection: Connection, now: datetime
) -> None:
    deadline = rules.next_deadline(connection)
    first = rules.standing(connection, START - TICK)
    if deadline is None or now < deadline:
        assert rules.standing(connection, now) == first
    else:
        assert rules.standing(connection, now) == rules.standing(connection, deadline) != first


# --- Chains --------------------------------------------------------------------------------


@given(
    st.sampled_from([*SPECIMENS["LAPSED"], *OTHERS]).filter(
        lambda connection: rules.standing(connection, NOW) != "ACTIVE"
    ),
    st.lists(st.integers(0, LIFETIME // TICK - 1), min_size=1, max_size=12),
)
def test_law_07_however_many_reconnects_there_is_one_successor_while_it_is_pending(
    connection: Connection, waits: list[int]
) -> None:
    """Each reconnect comes with a key, an id and a next action of its own."""
    successor: Connection | None = None
    now = NOW
    answers: list[tuple[str, str]] = []
    for number, wait in enumerate(waits, start=10):
        now += wait * TICK
        answer = chains.reconnect(
            connection, successor, now, id=ConnectionId(uuid(number)), next_action=next_action(now)
        )
        assert isinstance(answer, Done)
        assert isinstance(answer.value, Minted if successor is None else Reissued)
        successor = answer.value.connection
        answers.append((connection.id, successor.id))
        assert successor.handoff_deadline == now + LIFETIME
    laws.check_one_pending_successor(answers)


waits = st.sampled_from([LIFETIME, LIFETIME / 2, TICK, 0 * TICK])


class Chain(RuleBasedStateMachine):
    """A chain as a server keeps it: each connection by id, linked by its predecessor alone.

    Reconnects of any id, facts of any id that may be recorded late, and revocations by anyone
    happen in any order, each some time after the one before.
    """

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.store: dict[str, Connection] = {OLD_ID: pending()}

    def successor(self, connection: Connection) -> Connection | None:
        found = [
            each for each in self.store.values() if each.identity.predecessor_id == connection.id
        ]
        assert len(found) <= 1, "a chain is linear"
        return found[0] if found else None

    def following(self, connection: Connection) -> tuple[Connection, ...]:
        chain: list[Connection] = []
        after = self.successor(connection)
        while after is not None:
            assert len(chain) < len(self.store), "a chain is acyclic"
            chain.append(after)
            after = self.successor(after)
        return tuple(chain)

    def pick(self, data: st.DataObject) -> Connection:
        self.now += data.draw(waits)
        return data.draw(st.sampled_from(list(self.store.values())))

    def moment(self, data: st.DataObject, connection: Connection) -> datetime:
        """When a fact that is recorded now happened: at the creation, now, or in between."""
        age = (self.now - connection.identity.created_at) // TICK
        return self.now - data.draw(st.sampled_from([age, 0]) | st.integers(0, age)) * TICK

    @rule(data=st.data(), lasts=st.sampled_from([None, TICK, LIFETIME, 2 * LIFETIME]))
    def authorize(self, data: st.DataObject, lasts: timedelta | None) -> None:
        connection = self.pick(data)
        happened_at = self.moment(data, connection)
        answer = triggers.authorize(
            connection,
            self.now,
            happened_at=happened_at,
            expires_at=None if lasts is None else happened_at + lasts,
            successor=self.successor(connection),
        )
        if isinstance(answer, Done):
            self.store[connection.id] = answer.value

    @rule(data=st.data(), event=st.sampled_from(["require_action", "expire"]))
    def end(self, data: st.DataObject, event: str) -> None:
        connection = self.pick(data)
        answer = happen(connection, event, self.now, self.moment(data, connection))
        if isinstance(answer, Done):
            self.store[connection.id] = answer.value

    @rule(data=st.data(), actor=actors)
    def revoke(self, data: st.DataObject, actor: Actor) -> None:
        connection = self.pick(data)
        reached = chains.revoke_chain(connection, self.following(connection), self.now, actor=actor)
        self.store |= {answer.value.id: answer.value for answer in reached}

    @rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        connection = self.pick(data)
        successor = self.successor(connection)
        waiting = successor is not None and rules.standing(successor, self.now) == "PENDING"
        new_ids = ConnectionId(uuid(len(self.store) + 1))
        answer = chains.reconnect(
            connection, successor, self.now, id=new_ids, next_action=next_action(self.now)
        )
        assert isinstance(answer, Done) or not waiting
        if isinstance(answer, Done):
            made = answer.value.connection
            assert isinstance(answer.value, Minted) == (successor is None) == (made.id == new_ids)
            self.store[made.id] = made

    @invariant()
    def is_one_line_with_one_living_end(self) -> None:
        laws.check_chain(tuple(self.store.values()), self.now)

    @invariant()
    def is_active_at_its_head_alone(self) -> None:
        # More than the law says: what was recovered is never authorized again.
        root = self.store[OLD_ID]
        older = (root, *self.following(root))[:-1]
        assert Standing.ACTIVE not in {rules.standing(each, self.now) for each in older}


def test_law_06_a_chain_is_linear_of_one_coordinate_with_one_active_and_a_pending_head() -> None:
    run_state_machine_as_test(
        Chain, settings=settings(max_examples=200, stateful_step_count=30, deadline=None)
    )
