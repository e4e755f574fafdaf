"""The search of a history, before anybody trusts it: what it explains, and what it does not."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Final, TypedDict, Unpack

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import BucketKey, Changes
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.keys import coordinate_key, key_of, rate_key, record_key
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.minting import RandomIds
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.conformance import KeyWanted
from curae_lifecycle.web.request import Request
from tests.wire.crash.enemies import Enemy, schedule
from tests.wire.crash.history import Operation, at
from tests.wire.crash.judging import lost, overdrawn, uncharged
from tests.wire.crash.load import ACCOUNT, seeded
from tests.wire.crash.rest import Whole
from tests.wire.crash.search import Search, Verdict
from tests.wire.crash.traffic import BASE
from tests.wire.crash.world import Asked, Place, Posted, Rest, Told, Visited, Work, said_of

CALLER: Final = Caller(
    ApiKeyId("key-1"),
    AppId("app-1"),
    CustomerAccountId(ACCOUNT),
    Environment.LIVE,
    KeyWanted("app-1", ACCOUNT).scopes,
)
USER: Final = Coordinate(
    CALLER.environment, CALLER.app_id, CALLER.customer_account_id, AppUserId("ada")
)
MINT: Final = RandomIds("https://pages.example/")
START: Final = 1_800_000_000_000_000
STEP: Final = 10_000
"""Microseconds, longer than what clocks may disagree in by their resolution."""


class Alterations(TypedDict, total=False):
    """What may have been seen otherwise."""

    work: Work
    invoked: int
    returned: int | None
    answer: Response | str | None
    skew: int
    is_doubtful: bool


class Lived:
    """A world that is lived through the real loop, one operation after the other."""

    def __init__(self) -> None:
        self.moment = START
        self.posted: dict[str, list[Posted]] = defaultdict(list)
        self.store = MemoryStore(clock=lambda: at(self.moment), deliver=self._deliver)
        self.store.register(ApiKey("cae_live_1"), CALLER)
        self.history: list[Operation] = []
        self.connections: list[str] = []
        self.sessions: list[str] = []

    def _deliver(self, changes: Changes) -> None:
        for each in messages(changes):
            document = json.loads(json.dumps(each.document))
            self.posted[key_of(each.subject)].append((str(each.kind), document))

    def create(self, key: str) -> Response:
        body = {"appUserId": "ada", "dataPackages": ["labs"]}
        return self.ask("POST", "connections", body, key)

    def initiate(self, key: str) -> Response:
        return self.ask("POST", "curae-connect/initiate", {"appUserId": "ada"}, key)

    def revoke(self, connection: str, key: str) -> Response:
        return self.ask("POST", f"connections/{connection}:revoke", None, key)

    def get(self, connection: str) -> Response:
        return self.ask("GET", f"connections/{connection}")

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Response:
        headers = [("Authorization", "Bearer cae_live_1")]
        if key is not None:
            headers.append(("Idempotency-Key", key))
        sent = b"" if body is None else json.dumps(body).encode()
        request = Request(method, f"{BASE}/{path}", tuple(headers), sent)
        response = self._note(
            Asked(CALLER, request), lambda: serve(self.store, request, MINT).response
        )
        assert isinstance(response, Response)
        document = json.loads(response.body)
        if response.status == 201 and "connection" in document:
            self.connections.append(document["connection"]["id"])
        if "session" in document:
            self.sessions.append(document["session"]["id"])
        return response

    def tell(self, fact: Fact) -> str:
        said = self._note(Told(fact), lambda: said_of(record(self.store, fact)))
        assert isinstance(said, str)
        return said

    def _note(self, work: Work, act: Callable[[], Response | str]) -> Response | str:
        invoked = self.moment
        self.moment += STEP
        answer = act()
        self.moment += STEP
        self.history.append(
            Operation(
                user=USER.app_user,
                work=work,
                invoked=invoked,
                returned=self.moment,
                answer=answer,
            )
        )
        self.moment += STEP
        return answer

    def pass_time(self, seconds: int) -> None:
        self.moment += seconds * 1_000_000

    def rest(self) -> Rest:
        store, values = self.store, dict[Place, Storable]()
        values |= {("Connection", id_): each for id_, each in store._connections.items()}
        values |= {("CuraeConnectSession", id_): each for id_, each in store._sessions.items()}
        for user, binding in store._bindings.items():
            values["LimitedAccountAppBinding", coordinate_key(user)] = binding
        for key, kept in store._records.items():
            values["Record", record_key(key)] = kept
        for limit, (state, _) in store._rates.items():
            assert isinstance(state, LogState)
            values["LogState", rate_key(limit)] = state
        return Rest(values, {key: list(each) for key, each in self.posted.items()})

    def judged(self, rest: Rest | None = None, budget: int = 5_000) -> Verdict:
        ended = self.rest() if rest is None else rest
        search = Search(self.history, Rest(), ended, ahead=0, until=self.moment, budget=budget)
        return search.run()

    def alter(self, number: int, **how: Unpack[Alterations]) -> None:
        """Pretend that an operation was seen otherwise."""
        self.history[number] = attrs.evolve(self.history[number], **how)


@pytest.fixture
def lived() -> Lived:
    return Lived()


def revoked(lived: Lived) -> str:
    """One connection that was made, seen, revoked and seen again."""
    lived.create("k-1")
    connection = lived.connections[0]
    lived.get(connection)
    lived.revoke(connection, "k-2")
    lived.get(connection)
    return connection


def test_what_happened_is_explained(lived: Lived) -> None:
    revoked(lived)
    verdict = lived.judged()
    assert verdict.is_explained
    assert verdict.placed == 4


def test_what_overlaps_may_have_come_in_any_order(lived: Lived) -> None:
    revoked(lived)
    for number in range(4):
        lived.alter(number, invoked=START, returned=lived.moment)
    lived.history.reverse()
    assert lived.judged().is_explained


def test_a_lost_update_is_not_explained(lived: Lived) -> None:
    lived.create("k-1")
    before = lived.store.connection(ConnectionId(lived.connections[0]))
    assert before is not None
    lived.revoke(lived.connections[0], "k-2")
    rest = lived.rest()
    values = {**rest.values, ("Connection", before.id): before}
    assert lived.judged(Rest(values, rest.posted)).is_explained is False


@pytest.mark.parametrize("kind", ["Connection", "Record", "CuraeConnectSession", "LogState"])
def test_what_is_gone_is_not_explained(lived: Lived, kind: str) -> None:
    lived.create("k-1")
    lived.initiate("k-2")
    rest = lived.rest()
    gone = next(place for place in rest.values if place[0] == kind)
    values = {place: each for place, each in rest.values.items() if place != gone}
    assert lived.judged(Rest(values, rest.posted)).is_explained is False


def test_a_message_more_or_fewer_is_not_explained(lived: Lived) -> None:
    lived.create("k-1")
    rest = lived.rest()
    ((subject, posted),) = rest.posted.items()
    for others in ({subject: [*posted, *posted]}, {}, {"another": posted}):
        assert lived.judged(Rest(rest.values, others)).is_explained is False


def test_a_stale_read_is_not_explained_unless_it_was_in_time(lived: Lived) -> None:
    revoked(lived)
    lived.alter(3, answer=lived.history[1].answer)
    assert lived.judged().is_explained is False
    lived.alter(3, invoked=lived.history[2].invoked)
    assert lived.judged().is_explained


def test_a_read_before_what_it_saw_is_not_explained(lived: Lived) -> None:
    revoked(lived)
    lived.alter(3, invoked=lived.history[1].invoked, returned=lived.history[1].returned)
    assert lived.judged().is_explained is False


def test_a_doubled_execution_is_not_explained(lived: Lived) -> None:
    lived.create("k-1")
    lived.create("k-2")
    # As if both had come with the first one's key.
    lived.alter(1, work=lived.history[0].work)
    assert lived.judged().is_explained is False


def test_a_repeated_answer_is_explained(lived: Lived) -> None:
    assert lived.create("k-1") == lived.create("k-1")
    assert lived.judged().is_explained


def test_a_wrong_404_is_not_explained(lived: Lived) -> None:
    revoked(lived)
    unknown = lived.get("00000000-0000-0000-0000-000000000001")
    assert lived.judged().is_explained
    lived.alter(3, answer=unknown)
    assert lived.judged().is_explained is False


def test_what_is_not_known_may_have_taken_effect_or_not(lived: Lived) -> None:
    lived.create("k-1")
    before = lived.rest()
    lived.revoke(lived.connections[0], "k-2")
    after = lived.rest()
    assert lived.judged(before).is_explained is False
    lived.alter(1, answer=None, returned=None)
    assert lived.judged(before).is_explained
    assert lived.judged(after).is_explained


def test_what_is_not_known_may_take_effect_late_and_never_early(lived: Lived) -> None:
    revoked(lived)
    begun = lived.history[0].invoked
    lived.alter(2, answer=None, returned=None, invoked=begun)
    assert lived.judged().is_explained
    # As if it had been sent only after the read that saw its effect.
    lived.alter(2, invoked=lived.moment)
    assert lived.judged().is_explained is False


def test_a_fact_that_finds_its_own_work_done_needs_a_doubt(lived: Lived) -> None:
    lived.create("k-1")
    lived.tell(Revoked(ConnectionId(lived.connections[0]), Actor.PATIENT))
    lived.alter(1, answer="ignored")
    assert lived.judged().is_explained is False
    lived.alter(1, is_doubtful=True)
    assert lived.judged().is_explained


def test_what_a_bucket_refused_changes_nothing(lived: Lived) -> None:
    policy = ("ratelimit-policy", '"platform";q=1;w=1')
    away = Response(429, (policy,), b"{}")
    before = lived.rest()
    lived.create("k-1")
    lived.alter(0, answer=away)
    assert lived.judged(before).is_explained
    assert lived.judged().is_explained is False


def test_the_limit_of_an_app_user_is_held_to_the_second(lived: Lived) -> None:
    for number in range(10):
        lived.initiate(f"k-{number}")
    refused = lived.initiate("k-refused")
    assert refused.status == 429
    assert lived.judged().is_explained
    headers = [(name, "1" if name == "retry-after" else each) for name, each in refused.headers]
    lived.alter(10, answer=attrs.evolve(refused, headers=tuple(headers)))
    assert lived.judged().is_explained is False


def test_an_eleventh_initiate_is_not_explained(lived: Lived) -> None:
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


def test_a_clock_that_is_ahead_explains_what_a_right_one_does_not(lived: Lived) -> None:
    lived.create("k-1")
    lived.alter(0, invoked=START - 15_000_000, returned=START - 14_900_000)
    assert lived.judged().is_explained is False
    lived.alter(0, skew=15_000_000 - STEP)
    assert lived.judged().is_explained


def test_a_page_is_explained_by_its_fact_or_says_no(lived: Lived) -> None:
    lived.create("k-1")
    connection = lived.connections[0]
    until = at(START + 10**12)
    lived.tell(Authorized(ConnectionId(connection), until))
    lived.alter(1, work=Visited("connection", connection, USER, "finish"))
    assert lived.judged().is_explained
    lived.alter(1, answer="refused")
    assert lived.judged().is_explained is False


def test_a_page_that_may_have_found_its_work_done_may_also_have_done_it(lived: Lived) -> None:
    revoked(lived)
    first = lived.connections[0]
    lived.ask("POST", f"connections/{first}:reconnect", None, "k-3")
    assert lived.tell(Revoked(ConnectionId(first), Actor.PATIENT)) == "done"
    # It began when there was nothing left to revoke, and ended when there was.
    work = Visited("connection", first, USER, "cancel")
    lived.alter(5, work=work, invoked=lived.history[4].invoked)
    assert lived.judged().is_explained


def test_a_search_that_is_given_up_says_so(lived: Lived) -> None:
    revoked(lived)
    assert lived.judged(budget=2).is_explained is None


def test_two_charges_of_one_instant_are_two(lived: Lived) -> None:
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
    """One more operation of a kind."""
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


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(WORKS), st.integers(0, 2)), min_size=1, max_size=12),
    st.data(),
)
def test_what_the_loop_does_is_explained_and_nothing_else(
    works: list[tuple[str, int]], data: st.DataObject
) -> None:
    lived = Lived()
    for number, (kind, which) in enumerate(works):
        live(lived, number, kind, which)
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


# --- Beside the search ----------------------------------------------------------------------------

BUCKET: Final = Bucket("platform", 2, 1, 1)
KEY: Final = rate_key(BucketKey(CALLER.key_owner, "platform"))


def whole(full_at: int | None, values: dict[Place, Storable] | None = None) -> Whole:
    buckets = {} if full_at is None else {KEY: BucketState(full_at)}
    return Whole(values or {}, (), 0, buckets)


def test_whoever_is_admitted_too_often_is_found(lived: Lived) -> None:
    for _ in range(3):
        lived.ask("GET", "curae-connect/account-state?appUserId=ada")
    assert any(overdrawn(lived.history, [BUCKET], 0))
    assert not any(overdrawn(lived.history, [BUCKET], 1_000_000))
    assert not any(overdrawn(lived.history[1:], [BUCKET], 0))


def test_a_charge_that_is_missing_is_found(lived: Lived) -> None:
    for _ in range(3):
        lived.ask("GET", "curae-connect/account-state?appUserId=ada")
    before, charged = whole(None), whole(START + 3_000_000)
    assert not any(uncharged(lived.history, [BUCKET], before, charged, START))
    assert any(uncharged(lived.history, [BUCKET], before, whole(START + 1_500_000), START))
    assert any(uncharged(lived.history, [BUCKET], before, before, START))
    assert any(uncharged(lived.history, [BUCKET], charged, charged, START))


def test_a_purge_that_drops_what_lives_is_found(lived: Lived) -> None:
    lived.create("k-1")
    values = dict(lived.rest().values)
    before, day = whole(None, values), 86_400_000_000
    assert len(list(lost(before, whole(None), START + 2 * day))) == 1
    for kind, found in (("Record", "purged too early"), ("Connection", "lost")):
        left = {place: each for place, each in values.items() if place[0] != kind}
        assert any(each.find(found) >= 0 for each in lost(before, whole(None, left), START + day))
    left = {place: each for place, each in values.items() if place[0] != "Record"}
    assert not any(lost(before, whole(None, left), START + 2 * day))


def test_enemies_come_as_their_seed_says() -> None:
    wanted = {Enemy.KILL: 7, Enemy.PAUSE: 3, Enemy.FILL: 1}

    def planned(seed: int) -> object:
        return schedule(seeded(seed), wanted, rounds=3, requests=100, longest=8.0)

    plan = schedule(seeded(1), wanted, rounds=3, requests=100, longest=8.0)
    assert planned(1) == plan
    assert planned(2) != plan
    blows = [blow for blows in plan for blow in blows]
    assert len(blows) == 11
    assert all(0 <= blow.after < 80 and 0 < blow.seconds <= 8 for blow in blows)
