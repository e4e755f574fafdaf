"""Entry paths and completed hand-offs (section 3 of the rules), against tables by hand."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import cycle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import session as rules
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import CuraeConnectSession, HandoffState
from curae_lifecycle.rules.values import NextAction, SessionId, UserId
from curae_lifecycle.testing import laws
from tests.proof.reference.tables import BINDING, COMPLETION, ENTRY_PATH
from tests.support import specimens
from tests.support.cells import outcome_of
from tests.support.specimens import BOUND, NEW_USER, binding_in, mint, waiting
from tests.support.strategies import COORDINATE, START, TICK, at, instants, next_action, uuid


def test_initiate_with_the_id_of_the_tombstoned_user_raises() -> None:
    with pytest.raises(ArgumentError, match="user_id"):
        mint("TOMBSTONED", prefer_signup=False, user=BOUND)


USERS = {
    "the bound user": BOUND,
    "the bound LIMITED user": BOUND,
    "none yet": None,
    "a new LIMITED user": NEW_USER,
}


@pytest.mark.parametrize(("cell", "expected"), ENTRY_PATH.items())
def test_initiate_in_each_case_matches_the_entry_path_table(
    cell: tuple[str, str], expected: str
) -> None:
    account, preference = cell
    path, handoff, user = expected.split(", ")
    prefers = preference == "preferSignup true"
    binding = binding_in(account)
    before = deepcopy(binding)
    minted = mint(account, prefer_signup=prefers)
    assert binding == before
    assert mint(account, prefer_signup=prefers) == minted
    assert minted.value.session == CuraeConnectSession(
        id=SessionId(uuid(1)),
        coordinate=COORDINATE,
        path=rules.EntryPath(path),
        handoff=HandoffState(handoff.removeprefix("hand-off ")),
        created_at=START,
        expires_at=at(30),
        landed_at=START if handoff == "hand-off LANDED" else None,
        user_id=USERS[user],
    )
    if user != "a new LIMITED user":
        assert minted.value.binding == binding
    else:
        assert minted.value.binding == LimitedAccountAppBinding(
            coordinate=COORDINATE,
            user_id=NEW_USER,
            state=AccountState.LIMITED,
            generation=1 if binding is None else 4,
            version=1 if binding is None else 6,
        )


def test_session_has_no_user_if_a_changed_table_gives_path_b() -> None:
    cell = (AccountState.TOMBSTONED, rules.PREFERRED)
    with outcome_of("entry-path", cell, rules.PATH_B):
        minted = mint("TOMBSTONED", prefer_signup=True)
    session = minted.value.session
    assert (session.path, session.user_id) == (rules.EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, None)


@pytest.mark.parametrize(
    ("account", "prefer", "trail"),
    [
        ("ACTIVE", True, ("entry-path.active",)),
        ("UNLINKED", True, ("entry-path.unlinked.sign-up",)),
        ("UNLINKED", False, ("entry-path.unlinked.silent", "binding.provision.unlinked")),
        ("LIMITED", True, ("entry-path.limited.sign-up",)),
        ("LIMITED", False, ("entry-path.limited.silent",)),
        ("TOMBSTONED", False, ("entry-path.tombstoned", "binding.provision.tombstoned")),
    ],
)
def test_initiate_returns_the_rules_that_decided_it(
    *, account: str, prefer: bool, trail: tuple[str, ...]
) -> None:
    answer = mint(account, prefer_signup=prefer)
    assert answer.rules == trail


def test_initiate_of_a_limited_user_returns_the_given_binding() -> None:
    binding = binding_in("LIMITED")
    answer = rules.initiate(
        binding,
        COORDINATE,
        START,
        prefer_signup=True,
        id=SessionId(uuid(1)),
        user_id=NEW_USER,
        next_action=next_action(START),
    )
    assert answer.value.binding is binding


users = st.integers(0, 99).map(lambda number: UserId(f"u-{number}"))


@given(
    calls=st.lists(st.tuples(instants, users, st.integers(0, 99), users), min_size=2, max_size=4)
)
def test_law_08_entry_path_depends_only_on_state_and_preference(
    calls: list[tuple[datetime, UserId, int, UserId]],
) -> None:
    everything_else = cycle(calls)

    def path(state: AccountState, prefers: bool) -> rules.EntryPath:  # noqa: FBT001 - a law's axis
        now, user, number, bound = next(everything_else)
        answer = rules.initiate(
            binding_in(state, UserId(f"bound-{bound}")),
            COORDINATE,
            now,
            prefer_signup=prefers,
            id=SessionId(uuid(number)),
            user_id=user,
            next_action=next_action(now),
        )
        chosen[state, prefers].add((answer.value.session.handoff, answer.rules))
        return answer.value.session.path

    chosen: defaultdict[tuple[str, bool], set[tuple[str, tuple[str, ...]]]] = defaultdict(set)
    laws.check_entry_paths(path)
    assert {len(answers) for answers in chosen.values()} == {1}
    assert len(chosen) == 2 * len(AccountState)


@pytest.mark.parametrize(
    ("now", "ends", "argument"),
    [
        (START, START - TICK, "next_action.expires_at"),
        (START.replace(tzinfo=None), at(30), "now"),
        (START, at(30).replace(tzinfo=None), "next_action.expires_at"),
    ],
)
def test_initiate_raises_for_times_out_of_order_or_not_in_utc(
    now: datetime, ends: datetime, argument: str
) -> None:
    with pytest.raises(ArgumentError) as error:
        rules.initiate(
            None,
            COORDINATE,
            now,
            prefer_signup=True,
            id=SessionId(uuid(1)),
            user_id=NEW_USER,
            next_action=NextAction("https://connect.example/1", ends),
        )
    assert error.value.argument == argument


# --- Completed hand-offs ---------------------------------------------------------------------


def session_that_is(name: str) -> CuraeConnectSession:
    match name:
        case "A":
            return mint("ACTIVE", prefer_signup=False).value.session
        case "C":
            return mint("UNLINKED", prefer_signup=False).value.session
        case "waiting":
            return waiting()
        case _:
            landed = rules.complete_handoff(waiting(), binding=None, user_id=BOUND, now=START)
            assert isinstance(landed, Done)
            return landed.value.session


def completion_of(session: CuraeConnectSession, user: UserId, state: str, minutes: int) -> str:
    """Return the verdict of the table `completion`, or the one of `binding` where it proceeds."""
    if session.user_id is not None:
        stands = f"landed for {'the same' if session.user_id == user else 'another'} user"
    else:
        stands = "waiting" if minutes < 30 else "over without landing"
    verdict = COMPLETION[session.path, stands]
    if verdict != "proceed":
        return verdict
    same = user == BOUND and state != "UNLINKED"
    beside = "same user" if same else "other user, or none bound"
    bound = BINDING["complete sign-up", state, beside]
    return bound if bound.startswith("refuse") else "proceed"


@pytest.mark.parametrize("name", ["A", "C", "waiting", "landed for bound"])
@pytest.mark.parametrize("user", [BOUND, NEW_USER])
@pytest.mark.parametrize("state", AccountState)
@pytest.mark.parametrize("minutes", [0, 29, 30, 99])
def test_complete_handoff_in_each_case_matches_the_table(
    name: str, user: UserId, state: str, minutes: int
) -> None:
    session, binding, now = session_that_is(name), binding_in(state), at(minutes)
    before = deepcopy((session, binding))
    answer = rules.complete_handoff(session, binding=binding, user_id=user, now=now)
    assert (session, binding) == before
    assert rules.complete_handoff(session, binding=binding, user_id=user, now=now) == answer
    expected = completion_of(session, user=user, state=state, minutes=minutes)
    if expected == "proceed":
        assert isinstance(answer, Done)
        assert answer.value.session == attrs.evolve(
            session, handoff=HandoffState.LANDED, landed_at=now, user_id=user
        )
        bound = LimitedAccountAppBinding(
            coordinate=COORDINATE, user_id=user, state=AccountState.ACTIVE, generation=1
        )
        assert answer.value.binding == (bound if binding is None else binding)
    elif expected == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value.session is session
        assert answer.value.binding is binding
    else:
        assert isinstance(answer, Refused)
        assert specimens.refusal(answer) == expected
        assert answer.problem.details == {
            "HANDOFF_NOT_REQUIRED": {"sessionId": session.id, "path": session.path},
            "SESSION_EXPIRED": {"sessionId": session.id, "expiresAt": at(30)},
        }.get(answer.problem.code, {"lifecycleState": state})


def test_complete_handoff_returns_the_rules_that_decided_it() -> None:
    landed = rules.complete_handoff(waiting(), binding=None, user_id=NEW_USER, now=START)
    assert landed.rules == ("completion.waiting", "binding.complete-sign-up.unlinked")
    changed = rules.complete_handoff(
        waiting(), binding=binding_in("LIMITED"), user_id=NEW_USER, now=START
    )
    assert changed.rules == ("completion.waiting", "binding.complete-sign-up.limited")
    late = rules.complete_handoff(waiting(), binding=None, user_id=NEW_USER, now=at(30))
    assert late.rules == ("completion.over",)


def test_second_session_of_a_bound_user_can_complete_its_handoff() -> None:
    first = rules.complete_handoff(waiting(), binding=None, user_id=NEW_USER, now=START)
    assert isinstance(first, Done)
    second = mint("UNLINKED", prefer_signup=True, number=2).value.session
    answer = rules.complete_handoff(
        second, binding=first.value.binding, user_id=NEW_USER, now=START
    )
    assert isinstance(answer, Done)
    assert answer.value.session.handoff is HandoffState.LANDED
    assert answer.value.binding is first.value.binding


@given(happened=instants, late=st.integers(0, 10**10).map(lambda us: timedelta(microseconds=us)))
def test_handoff_reported_late_is_decided_as_of_happened_at(
    happened: datetime, late: timedelta
) -> None:
    answer = rules.complete_handoff(
        waiting(), binding=None, user_id=NEW_USER, now=happened + late, happened_at=happened
    )
    if happened < at(30):
        assert isinstance(answer, Done)
        assert answer.value.session.landed_at == happened
    else:
        assert isinstance(answer, Refused)
        assert answer.problem.code == "SESSION_EXPIRED"


@pytest.mark.parametrize(
    ("now", "happened_at", "landed_at"),
    [
        # Before the session was created: counts as its creation.
        (at(10), START - TICK, START),
        (at(10), START - specimens.DAY, START),
        (at(10), START, START),
        (at(10), START + TICK, START + TICK),
        # Up to five minutes ahead of `now`: counts as `now`.
        (at(10), at(10) + TICK, at(10)),
        (at(10), at(15), at(10)),
        # `now` is before the creation.
        (START - TICK, None, START),
        (at(-90), None, START),
        (at(-90), at(-95), START),
        (at(-90), START, START),
        (at(-90), at(5), START),
        # The page ends at 30; by the recording clock the user finished in time.
        (at(30) - TICK, at(34), at(30) - TICK),
    ],
)
def test_handoff_completion_time_is_clamped_to_creation_and_now(
    now: datetime, happened_at: datetime | None, landed_at: datetime
) -> None:
    answer = rules.complete_handoff(
        waiting(), binding=None, user_id=NEW_USER, now=now, happened_at=happened_at
    )
    assert isinstance(answer, Done)
    assert answer.value.session.landed_at == landed_at


@pytest.mark.parametrize(
    ("now", "happened_at", "argument"),
    [
        (at(10), at(15) + TICK, "happened_at"),
        (at(-90), at(5) + TICK, "happened_at"),
        (START.replace(tzinfo=None), None, "now"),
        (START.replace(tzinfo=None), START, "now"),
        (START, START.replace(tzinfo=None), "happened_at"),
    ],
)
def test_handoff_time_far_ahead_or_naive_raises_argument_error(
    now: datetime, happened_at: datetime | None, argument: str
) -> None:
    with pytest.raises(ArgumentError) as error:
        rules.complete_handoff(
            waiting(), binding=None, user_id=NEW_USER, now=now, happened_at=happened_at
        )
    assert error.value.argument == argument


@pytest.mark.parametrize(
    ("now", "landed_at", "raised"),
    [
        (at(-90), None, START),
        (at(-90), at(10), at(10)),
        (at(9), at(10), at(10)),
        (at(11), at(10), at(11)),
    ],
)
def test_now_is_raised_to_the_creation_or_handoff_of_a_session(
    now: datetime, landed_at: datetime | None, raised: datetime
) -> None:
    session = attrs.evolve(waiting(), landed_at=landed_at)
    assert rules.raise_to_session(session, now) == raised


completions = st.lists(
    st.tuples(st.sampled_from([BOUND, NEW_USER]), st.integers(0, 40)), max_size=6
)


@given(completions)
def test_handoff_of_a_session_is_completed_at_most_once(
    completed: list[tuple[UserId, int]],
) -> None:
    stored = rules.Landing(waiting(), None)
    landings = []
    for user, minutes in sorted(completed, key=lambda each: each[1]):
        answer = rules.complete_handoff(
            stored.session, binding=stored.binding, user_id=user, now=at(minutes)
        )
        if isinstance(answer, Done):
            stored = answer.value
            landings.append((user, minutes))
    first = min((minutes for _, minutes in completed), default=99)
    assert len(landings) == (first < 30)
    if landings:
        user, minutes = landings[0]
        assert (stored.session.user_id, stored.session.landed_at) == (user, at(minutes))
        assert stored.binding == LimitedAccountAppBinding(
            coordinate=COORDINATE, user_id=user, state=AccountState.ACTIVE, generation=1
        )
