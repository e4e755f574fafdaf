"""Tests of a simulated server's requests: load, commit, and what the world learns of them."""

from __future__ import annotations

import json
from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import ConnectionId, Environment, UserId, format_time
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.hosted_page import PageKind, url_digest
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import LandedHandoff
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from curae_lifecycle.testing.simulation import server as simulated
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from curae_lifecycle.web.respond import Answer
from tests.support.server import API_KEY, CALLER, ID, code, document, request
from tests.support.strategies import COORDINATE, START, at, pending, uuid
from tests.testing.simulation.bench import Bench, ids, url

DIGEST = ApiKey(API_KEY).digest()
STRANGER = (("Authorization", "Bearer cae_live_nobody"),)


def logged(bench: Bench) -> list[tuple[str, object]]:
    """Return the instant of each logged request, and the status of its response."""
    lines = [json.loads(line) for line in bench.log()]
    return [(line["at"], line["response"]["status"]) for line in lines]


def test_new_simulated_server_has_no_user_no_page_and_no_counts() -> None:
    bench = Bench.of()
    server = simulated.SimulatedServer(
        SimulatedClockStore(bench.store, START),
        settings=DEFAULT_SETTINGS,
        watch=None,
        journal=bench.journal,
    )
    assert (server.current_user, server.shown) == (None, None)
    assert (server.unrecorded, server.conflicts, server.facts) == ({}, 0, {})


# --- Load -------------------------------------------------------------------------------------


def test_load_parses_a_request_and_returns_its_call_and_snapshot() -> None:
    settings = Settings(Environment.LIVE, active_spelling="AUTHORIZED")
    bench = Bench.of(pending(), settings=settings)
    bench.watch.commit_count = 5
    asked = request("get")
    opened = bench.load(asked, at(3))
    assert opened.request == asked
    assert opened.digest == DIGEST
    assert isinstance(opened.call, Call)
    assert (opened.call.caller, opened.call.settings) == (CALLER, settings)
    assert opened.loaded.snapshot.connection == pending()
    assert opened.now == at(3)
    assert opened.loaded_at_commit == 5
    assert (opened.attempt, opened.page, opened.page_url) == (None, None, "")
    assert bench.store.digests == [DIGEST]
    assert (bench.log(), bench.watch.seen) == ([], [])


def test_request_loaded_without_a_law_watch_has_commit_count_0() -> None:
    assert Bench.of(watched=False).load(request("create")).loaded_at_commit == 0


def test_request_refused_before_its_load_is_answered_and_logged() -> None:
    bench = Bench.of()
    bench.handle(request("create"))
    answer = bench.server.load(request("create", key="k-2", body=b"{"), at(3))
    assert isinstance(answer, Answer)
    assert answer.response.status == 400
    assert answer.decided_at == at(3)
    assert bench.server.shown is None
    assert logged(bench)[1:] == [(format_time(at(3)), 400)]
    assert bench.watch.seen[1:] == [("response", answer, at(3), CALLER, None, None)]
    assert bench.store.digests == [DIGEST]


@pytest.mark.parametrize("headers", [(), STRANGER])
def test_request_with_no_or_an_unknown_api_key_is_refused(
    headers: tuple[tuple[str, str], ...],
) -> None:
    bench = Bench.of(watched=False)
    answer = bench.server.load(attrs.evolve(request("get"), headers=headers), START)
    assert isinstance(answer, Answer)
    assert code(answer) == "UNAUTHENTICATED"


def test_request_is_not_logged_if_server_has_no_current_app_user() -> None:
    bench = Bench.of()
    bench.server.current_user = None
    bench.handle(request("create"))
    assert bench.log() == []


# --- Commit -----------------------------------------------------------------------------------


def test_commit_stores_and_logs_what_a_request_decides() -> None:
    bench = Bench.of()
    bench.watch.commit_count = 5
    opened = bench.load(request("create"), at(3))
    bench.watch.commit_count = 6
    answer = bench.server.commit(opened, ids(7))
    assert answer is not None
    assert answer.response.status == 201
    stored = bench.store.connection(ConnectionId(uuid(7)))
    assert stored is not None
    assert stored.identity.created_at == at(3)
    assert logged(bench) == [(format_time(at(3)), 201)]
    needs = opened.call.needs
    assert bench.watch.seen == [("response", answer, at(3), CALLER, needs, 5)]
    assert bench.store.decided_from[-1] is opened.loaded
    assert bench.server.conflicts == 0


def test_commit_registers_and_shows_the_hosted_page_of_the_reply() -> None:
    bench = Bench.of()
    bench.handle(request("create"), 7)
    assert bench.server.shown is not None
    page, page_url = bench.server.shown
    assert (page.kind, page.subject) == (PageKind.CONNECTION, uuid(7))
    assert page_url == url(7)
    assert bench.store._pages.get(url_digest(url(7))) == page


def test_answer_without_hosted_page_stops_showing_earlier_page() -> None:
    bench = Bench.of()
    bench.handle(request("create"), 1)
    bench.handle(request("account-state"), 2)
    assert bench.server.shown is None


def test_answer_without_writes_needs_no_commit() -> None:
    bench = Bench.of(pending())
    bench.store.refuses = True
    assert bench.handle(request("get")).response.status == 200
    assert bench.server.conflicts == 0


def test_graduation_handoff_shows_a_page_for_the_bound_user() -> None:
    bench = Bench.of()
    bench.handle(request("initiate"), 1)
    bench.handle(request("graduation"), 2)
    assert bench.server.shown is not None
    assert (bench.server.shown[0].kind, bench.server.shown[1]) == (PageKind.USER, url(2))
    assert bench.server.shown[0].user_id == UserId("limited-1")


def test_request_whose_commit_conflicts_shows_no_hosted_page() -> None:
    bench = Bench.of()
    bench.handle(request("create"), 1)
    bench.store.refuses = True
    assert bench.server.commit(bench.load(request("create", key="k-2")), ids(2)) is None
    assert bench.server.shown is None


def test_commit_conflict_is_counted_and_changes_nothing_else() -> None:
    bench = Bench.of(pending())
    first = bench.load(request("revoke", key="k-1"))
    second = bench.load(request("revoke", key="k-2"))
    assert bench.server.commit(first, ids(1)) is not None
    posted, seen, log = dict(bench.server.outbox.waiting), [*bench.watch.seen], bench.log()
    assert bench.server.commit(second, ids(2)) is None
    assert bench.server.conflicts == 1
    assert (bench.server.outbox.waiting, bench.watch.seen, bench.log()) == (posted, seen, log)
    again = bench.handle(request("revoke", key="k-2"))
    assert document(again)["revokedNow"] is False
    assert bench.server.conflicts == 1
    assert bench.server.commit(second, ids(2)) is None
    assert bench.server.conflicts == 2


def test_messages_of_a_commit_are_posted_to_the_outbox() -> None:
    bench = Bench.of(pending())
    bench.handle(request("revoke"))
    bench.server.outbox.ship(START, START, dies=lambda: False)
    assert bench.server.outbox.shipped == 2


def test_server_answers_alike_with_and_without_a_law_watch() -> None:
    watched, alone = Bench.of(), Bench.of(watched=False)
    assert watched.handle(request("create")) == alone.handle(request("create"))
    assert alone.server.load(request("create", body=b"{"), START) == watched.server.load(
        request("create", body=b"{"), START
    )


# --- Hand-offs that no fact recorded yet ------------------------------------------------------


@pytest.mark.parametrize(
    ("happened_at", "recorded_at"),
    [
        (at(2), at(2)),
        # The clock that reported it ran ahead by more than the tolerance.
        (at(20), at(5)),
    ],
)
def test_get_records_a_completed_handoff_that_no_fact_reported(
    happened_at: datetime, recorded_at: datetime
) -> None:
    bench = Bench.of(pending())
    bench.server.unrecorded[ID] = LandedHandoff(happened_at, at(60))
    bench.handle(request("get"), now=at(5))
    stored = bench.store.connection(ID)
    assert stored is not None
    assert stored.status == "ACTIVE"
    assert (stored.authorized_at, stored.expires_at) == (recorded_at, at(60))


def test_only_get_of_the_same_connection_records_its_handoff() -> None:
    bench = Bench.of(pending(), pending(number=2))
    bench.server.unrecorded[ID] = LandedHandoff(at(2), None)
    bench.handle(request("get", id=uuid(2)), now=at(5))
    opened = bench.load(request("revoke"), at(5))
    assert opened.loaded.snapshot.landed_handoff is None
    assert bench.store.connection(ID) == pending()


# --- Pages that were replaced -----------------------------------------------------------------


def test_fact_naming_the_newest_hosted_page_is_recorded() -> None:
    bench = Bench.of()
    bench.handle(request("create"), 1)
    fact = Authorized(ID, page_url=url(1))
    answer = bench.server.commit_fact(bench.server.load_fact(fact, at(1)))
    assert isinstance(answer, Done)


def test_fact_recorded_for_a_replaced_hosted_page_breaks_a_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench.of()
    bench.handle(request("initiate"), 1)
    bench.handle(request("graduation"), 2)
    transaction = bench.server.load_fact(
        Graduated(COORDINATE, UserId("limited-1"), page_url=url(2)), at(1)
    )
    bench.handle(request("graduation"), 3)
    stored = bench.store._pages.get(url_digest(url(3)))
    assert stored is not None
    # The store does not notice the replacement.
    monkeypatch.setattr(bench.store, "commit", lambda *_: True)
    with pytest.raises(RuleBrokenError, match="a hosted page that was replaced") as found:
        bench.server.commit_fact(transaction)
    what = "the fact binding.graduate of a hosted page that was replaced was recorded"
    assert found.value.what == what
    assert found.value.where == f"{stored.kind} {stored.subject}"


def test_fact_that_names_no_hosted_page_is_recorded() -> None:
    bench = Bench.of()
    bench.handle(request("create"), 1)
    answer = bench.server.commit_fact(bench.server.load_fact(Authorized(ID), at(1)))
    assert isinstance(answer, Done)


# --- Errors -----------------------------------------------------------------------------------


def raising(error: Exception) -> object:
    def rule(*_: object, **__: object) -> object:
        raise error

    return rule


@pytest.mark.parametrize("rule", ["read", "decide", "respond"])
def test_rule_that_raises_in_a_request_breaks_law_16(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.of()
    monkeypatch.setattr(simulated, rule, raising(ValueError("too deep")))
    with pytest.raises(LawBrokenError, match="the rules raised ValueError: too deep") as found:
        bench.handle(request("create"))
    assert found.value.law == 16
    assert found.value.where == "a request or a fact"
    assert isinstance(found.value.__cause__, ValueError)


@pytest.mark.parametrize("rule", ["read", "decide", "respond"])
def test_store_that_is_unavailable_breaks_no_law(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.of()
    monkeypatch.setattr(simulated, rule, raising(StoreUnavailableError("gone")))
    with pytest.raises(StoreUnavailableError):
        bench.handle(request("create"))
