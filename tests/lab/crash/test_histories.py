"""Tests of the search of a history: what it explains and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId, SessionId, UserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.contract import Loaded
from tests.lab.crash.history import at
from tests.lab.crash.lived import START, STEP, USER, Lived
from tests.lab.crash.world import Rest, Visited


@pytest.fixture
def lived() -> Lived:
    return Lived()


def revoked(lived: Lived) -> str:
    """Create, read, revoke and read one connection again."""
    lived.create("k-1")
    connection = lived.connections[0]
    lived.get(connection)
    lived.revoke(connection, "k-2")
    lived.get(connection)
    return connection


def test_history_checker_accepts_serial_requests(lived: Lived) -> None:
    revoked(lived)
    verdict = lived.judged()
    assert verdict.is_explained
    assert verdict.placed == 4


def test_history_checker_accepts_parallel_requests_in_any_order(lived: Lived) -> None:
    revoked(lived)
    for number in range(4):
        lived.alter(number, invoked=START, returned=lived.moment)
    lived.history.reverse()
    assert lived.judged().is_explained


def test_history_checker_rejects_a_lost_update(lived: Lived) -> None:
    lived.create("k-1")
    before = lived.store.connection(ConnectionId(lived.connections[0]))
    assert before is not None
    lived.revoke(lived.connections[0], "k-2")
    rest = lived.rest()
    values = {**rest.values, ("Connection", before.id): before}
    assert lived.judged(Rest(values, rest.posted)).is_explained is False


@pytest.mark.parametrize("kind", ["Connection", "Record", "CuraeConnectSession", "LogState"])
def test_history_checker_rejects_a_missing_stored_value(lived: Lived, kind: str) -> None:
    lived.create("k-1")
    lived.initiate("k-2")
    rest = lived.rest()
    gone = next(place for place in rest.values if place[0] == kind)
    values = {place: each for place, each in rest.values.items() if place != gone}
    assert lived.judged(Rest(values, rest.posted)).is_explained is False


def test_history_checker_rejects_extra_or_missing_outbox_message(lived: Lived) -> None:
    lived.create("k-1")
    rest = lived.rest()
    ((subject, posted),) = rest.posted.items()
    for others in ({subject: [*posted, *posted]}, {}, {"another": posted}):
        assert lived.judged(Rest(rest.values, others)).is_explained is False


def test_history_checker_accepts_old_value_only_during_the_write(lived: Lived) -> None:
    revoked(lived)
    lived.alter(3, answer=lived.history[1].answer)
    assert lived.judged().is_explained is False
    lived.alter(3, invoked=lived.history[2].invoked)
    assert lived.judged().is_explained


def test_history_checker_rejects_a_read_that_shows_a_later_write(lived: Lived) -> None:
    revoked(lived)
    lived.alter(3, invoked=lived.history[1].invoked, returned=lived.history[1].returned)
    assert lived.judged().is_explained is False


def test_history_checker_rejects_reexecuted_idempotency_key(lived: Lived) -> None:
    lived.create("k-1")
    lived.create("k-2")
    # As if both had the key of the first one.
    lived.alter(1, work=lived.history[0].work)
    assert lived.judged().is_explained is False


def test_history_checker_accepts_a_replayed_response(lived: Lived) -> None:
    assert lived.create("k-1") == lived.create("k-1")
    assert lived.judged().is_explained


def test_history_checker_rejects_404_for_a_stored_connection(lived: Lived) -> None:
    revoked(lived)
    unknown = lived.get("00000000-0000-0000-0000-000000000001")
    assert lived.judged().is_explained
    lived.alter(3, answer=unknown)
    assert lived.judged().is_explained is False


def test_history_checker_lets_unanswered_revoke_be_done_or_not(lived: Lived) -> None:
    lived.create("k-1")
    before = lived.rest()
    lived.revoke(lived.connections[0], "k-2")
    after = lived.rest()
    assert lived.judged(before).is_explained is False
    lived.alter(1, answer=None, returned=None)
    assert lived.judged(before).is_explained
    assert lived.judged(after).is_explained


def test_history_checker_rejects_an_effect_before_its_request(lived: Lived) -> None:
    revoked(lived)
    begun = lived.history[0].invoked
    lived.alter(2, answer=None, returned=None, invoked=begun)
    assert lived.judged().is_explained
    # As if it was sent only after the read that saw its effect.
    lived.alter(2, invoked=lived.moment)
    assert lived.judged().is_explained is False


def test_checker_lets_ignored_fact_have_effect_only_if_retried(lived: Lived) -> None:
    lived.create("k-1")
    lived.tell(Revoked(ConnectionId(lived.connections[0]), Actor.PATIENT))
    lived.alter(1, answer="ignored")
    assert lived.judged().is_explained is False
    lived.alter(1, is_doubtful=True)
    assert lived.judged().is_explained


def test_checker_accepts_two_rate_limit_charges_only_if_retried(
    lived: Lived,
) -> None:
    lived.initiate("k-1")
    for _ in range(2):
        # The server executed it twice, without knowing of the first time.
        lived.ask("POST", "curae-connect/graduation-handoff", {"appUserId": "ada"})
    twice = lived.history.pop()
    lived.alter(1, answer=None, returned=None)
    assert lived.judged().is_explained is False
    lived.alter(1, is_doubtful=True)
    assert lived.judged().is_explained
    # A request with a key is charged only once.
    lived.history.append(twice)
    lived.initiate("k-2")
    lived.initiate("k-3")
    lived.history.pop()
    lived.alter(3, answer=None, returned=None, is_doubtful=True)
    assert lived.judged().is_explained is False


def test_checker_accepts_answer_after_3_charges_only_if_retried(lived: Lived) -> None:
    lived.initiate("k-1")
    for _ in range(3):
        lived.ask("POST", "curae-connect/graduation-handoff", {"appUserId": "ada"})
    begun = lived.history[1].invoked
    del lived.history[1:3]
    lived.alter(1, invoked=begun)
    assert lived.judged().is_explained is False
    lived.alter(1, is_doubtful=True)
    assert lived.judged().is_explained


def test_checker_accepts_that_1_of_many_unanswered_requests_ran(lived: Lived) -> None:
    lived.initiate("k-1")
    for _ in range(4):
        lived.ask("POST", "curae-connect/graduation-handoff", {"appUserId": "ada"})
    one = attrs.evolve(lived.history[1], answer=None, returned=None, is_doubtful=True)
    # Only the first of them happened.
    lived.history[1:2] = [attrs.evolve(one, invoked=one.invoked + each) for each in range(16)]
    assert lived.judged().is_explained
    # That one cannot have come before it was sent.
    lived.history[1:17] = [attrs.evolve(one, invoked=lived.moment)] * 16
    assert lived.judged().is_explained is False


def test_history_checker_expects_no_change_from_a_429(lived: Lived) -> None:
    policy = ("ratelimit-policy", '"platform";q=1;w=1')
    away = Response(429, (policy,), b"{}")
    before = lived.rest()
    lived.create("k-1")
    lived.alter(0, answer=away)
    assert lived.judged(before).is_explained
    assert lived.judged().is_explained is False


def test_history_checker_rejects_an_incorrect_retry_after(lived: Lived) -> None:
    for number in range(10):
        lived.initiate(f"k-{number}")
    refused = lived.initiate("k-refused")
    assert refused.status == 429
    assert lived.judged().is_explained
    headers = [(name, "1" if name == "retry-after" else each) for name, each in refused.headers]
    lived.alter(10, answer=attrs.evolve(refused, headers=tuple(headers)))
    assert lived.judged().is_explained is False


def test_history_checker_rejects_an_11th_initiate_in_a_minute(lived: Lived) -> None:
    for number in range(10):
        lived.initiate(f"k-{number}")
    lived.pass_time(60)
    lived.initiate("k-later")
    assert lived.judged().is_explained
    # As if it had been admitted at once.
    late = lived.history[9]
    assert late.returned is not None
    lived.alter(10, invoked=late.invoked, returned=late.returned)
    assert lived.judged().is_explained is False


def test_history_checker_accepts_client_times_within_clock_skew(lived: Lived) -> None:
    lived.create("k-1")
    lived.alter(0, invoked=START - 15_000_000, returned=START - 14_900_000)
    assert lived.judged().is_explained is False
    lived.alter(0, skew=15_000_000 - STEP)
    assert lived.judged().is_explained


def test_checker_rejects_effect_of_a_refused_hosted_page_visit(lived: Lived) -> None:
    lived.create("k-1")
    connection = lived.connections[0]
    until = at(START + 10**12)
    lived.tell(Authorized(ConnectionId(connection), until))
    lived.alter(
        1, work=Visited(kind="connection", subject=connection, coordinate=USER, action="finish")
    )
    assert lived.judged().is_explained
    lived.alter(1, answer="refused")
    assert lived.judged().is_explained is False


def test_checker_accepts_hosted_page_cancel_during_a_reconnect(lived: Lived) -> None:
    revoked(lived)
    first = lived.connections[0]
    lived.ask("POST", f"connections/{first}:reconnect", None, key="k-3")
    assert lived.tell(Revoked(ConnectionId(first), Actor.PATIENT)) == "done"
    # It began before there was anything left to revoke, and ended after.
    work = Visited(kind="connection", subject=first, coordinate=USER, action="cancel")
    lived.alter(5, work=work, invoked=lived.history[4].invoked)
    assert lived.judged().is_explained


@pytest.mark.parametrize("meanwhile", [partial(Revoked, actor=Actor.UPSTREAM), Expired])
def test_history_checker_accepts_reconnect_that_overlaps_a_fact(
    lived: Lived, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[ConnectionId], Fact]
) -> None:
    lived.create("k-1")
    first = ConnectionId(lived.connections[0])
    lived.tell(Authorized(first))
    lived.tell(ActionRequired(first, "login"))
    lived.ask("POST", f"connections/{first}:reconnect", None, key="k-2")
    commit = lived.store.commit

    def late(loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        # As behind a held lock: everything was loaded before it was decided.
        monkeypatch.undo()
        assert lived.tell(meanwhile(first)) == "done"
        lived.get(ConnectionId(lived.connections[1]))
        return commit(loaded, changes, page)

    begun = lived.moment
    monkeypatch.setattr(lived.store, "commit", late)
    assert lived.ask("POST", f"connections/{first}:reconnect", None, key="k-3").status == 201
    lived.alter(len(lived.history) - 1, invoked=begun)
    assert lived.judged().is_explained


def test_history_checker_accepts_revoke_that_overlaps_a_fact(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived.create("k-1")
    first = ConnectionId(lived.connections[0])
    lived.tell(Authorized(first))
    lived.tell(ActionRequired(first, "login"))
    lived.ask("POST", f"connections/{first}:reconnect", None, key="k-2")
    commit = lived.store.commit

    def late(loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        monkeypatch.undo()
        lived.tell(Revoked(ConnectionId(lived.connections[1]), Actor.UPSTREAM))
        lived.get(first)
        return commit(loaded, changes, page)

    begun = lived.moment
    monkeypatch.setattr(lived.store, "commit", late)
    assert lived.revoke(first, "k-3").status == 200
    lived.alter(len(lived.history) - 1, invoked=begun)
    assert lived.judged().is_explained


def test_history_checker_is_undecided_if_its_step_budget_ends(lived: Lived) -> None:
    revoked(lived)
    assert lived.judged(budget=2).is_explained is None


def test_history_checker_rejects_a_request_recorded_twice(lived: Lived) -> None:
    lived.initiate("k-1")
    lived.ask("POST", "curae-connect/graduation-handoff", {"appUserId": "ada"})
    lived.history.append(lived.history[1])
    assert lived.judged().is_explained is False


# --- At random ------------------------------------------------------------------------------------

WORKS: Final = (
    *("create", "initiate", "initiate-again", "graduate", "state"),
    *("get", "revoke", "reconnect", "authorized", "expired", "action-required", "revoked"),
    *("landed", "graduated", "tombstoned", "wait"),
)


def live(lived: Lived, number: int, kind: str, which: int) -> None:
    """Run one more operation of a kind."""
    known, sessions = lived.connections, lived.sessions
    connection = ConnectionId(known[which % len(known)]) if known else ConnectionId("0" * 8)
    of_user: dict[str, Callable[[], object]] = {
        "create": lambda: lived.create(f"k-{number}"),
        "initiate": lambda: lived.initiate(f"k-{number}"),
        "initiate-again": lambda: lived.initiate(f"again-{which}"),
        "graduate": lambda: lived.ask(
            "POST", "curae-connect/graduation-handoff", {"appUserId": "ada"}
        ),
        "state": lambda: lived.ask("GET", "curae-connect/account-state?appUserId=ada"),
        "wait": lambda: lived.pass_time([1, 61, 1801][which]),
        "graduated": lambda: lived.tell(Graduated(USER)),
        "tombstoned": lambda: lived.tell(Tombstoned(USER)),
    }
    of_session: dict[str, Callable[[], object]] = {
        "landed": lambda: lived.tell(HandoffCompleted(SessionId(sessions[-1]), UserId("user-1"))),
    }
    of_connection: dict[str, Callable[[], object]] = {
        "get": lambda: lived.get(connection),
        "revoke": lambda: lived.revoke(connection, f"k-{number}"),
        "reconnect": lambda: lived.ask(
            "POST", f"connections/{connection}:reconnect", None, f"k-{number}"
        ),
        "authorized": lambda: lived.tell(Authorized(connection)),
        "expired": lambda: lived.tell(Expired(connection)),
        "action-required": lambda: lived.tell(ActionRequired(connection, "login")),
        "revoked": lambda: lived.tell(Revoked(connection, list(Actor)[which])),
    }
    may = of_user | (of_connection if known else {}) | (of_session if sessions else {})
    may.get(kind, lambda: None)()


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(WORKS), st.integers(0, 2)), min_size=1, max_size=12),
    st.data(),
)
def test_history_checker_accepts_random_and_rejects_altered_runs(
    works: list[tuple[str, int]], data: st.DataObject
) -> None:
    lived = Lived()
    for number, (kind, which) in enumerate(works):
        live(lived, number=number, kind=kind, which=which)
    verdict = lived.judged()
    assert verdict.is_explained, verdict.stuck
    answered = [n for n, each in enumerate(lived.history) if isinstance(each.answer, Response)]
    rest = lived.rest()
    if answered:
        number = data.draw(st.sampled_from(answered))
        right = lived.history[number].answer
        assert isinstance(right, Response)
        lived.alter(number, answer=attrs.evolve(right, body=right.body + b" "))
        assert lived.judged().is_explained is False
        lived.alter(number, answer=right)
    if rest.values:
        place = data.draw(st.sampled_from(sorted(rest.values)))
        values = {each: value for each, value in rest.values.items() if each != place}
        assert lived.judged(Rest(values, rest.posted)).is_explained is False
