"""One store in memory for many: customer accounts, threads, clocks, and what is over."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import attrgetter
from threading import Barrier
from time import sleep
from typing import Final, TypeVar, cast

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    ApiKeyId,
    AppId,
    AppUserId,
    CustomerAccountId,
    DataPackage,
    Environment,
)
from curae_lifecycle.service.changes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.testing.watch import Watch, check_store
from curae_lifecycle.web.respond import Answer
from tests import subjects
from tests.server import (
    API_KEY,
    CALLER,
    ID,
    LIMITED,
    call,
    code,
    document,
    new_ids,
    request,
)
from tests.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid

BUCKET: Final = curae.Bucket("platform", 2, 1, 60)
TOLERANCE: Final = timedelta(minutes=5)
DAY: Final = timedelta(hours=24)
MONTH: Final = timedelta(days=30)
ACTIVE: Final = apply_trigger(pending(), "authorize", at(1))
FOR_EVER: Final = apply_trigger(pending(), "authorize for ever", at(1))
REVOKED: Final = apply_trigger(pending(), "APP", START)
NEIGHBOUR: Final = attrs.evolve(
    CALLER, api_key_id=ApiKeyId("key-2"), customer_account_id=CustomerAccountId(uuid(99))
)
NEIGHBOURS_KEY: Final = curae.ApiKey("cae_live_k2")


class Store(curae.MemoryStore):
    """A store that says how much it holds."""

    def sizes(self) -> dict[str, int]:
        """How many entries each of its collections has; none is left out."""
        collections = {
            name: held
            for name, held in vars(self).items()
            if name not in {"_callers", "_instants", "_accounts", "commits"}
            and hasattr(held, "__len__")
        }
        sizes = {name.strip("_"): len(held) for name, held in collections.items()}
        accounts = self._accounts.values()
        sizes["deadlines"] = sum(len(account.deadlines) for account in accounts)
        sizes["counted"] = sum(account.held.total() for account in accounts)
        return sizes

    def counted(self) -> int:
        """How many values it holds, by counting them."""
        values = self._connections, self._sessions, self._bindings, self._records, self._rates
        return sum([len(held) for held in values])

    def check(self, now: datetime) -> None:
        """Judge what it holds."""
        held = self._connections.values(), self._sessions.values(), self._bindings.values()
        check_store(*held, now)


def store(
    *connections: Connection,
    settings: curae.Settings | None = None,
    capacity: int = 1000,
    keep_over: timedelta | None = None,
) -> Store:
    """A store that two customer accounts use."""
    made = Store(settings or curae.Settings(), capacity=capacity, keep_over=keep_over)
    made.register(curae.ApiKey(API_KEY), CALLER)
    made.register(NEIGHBOURS_KEY, NEIGHBOUR)
    for each in connections:
        assert made.store((ConnectionWrite(None, each),))
    return made


def by_neighbour(asked: curae.Request) -> curae.Request:
    """The same request by the other account."""
    headers = tuple(each for each in asked.headers if each[0] != "Authorization")
    return attrs.evolve(asked, headers=(*headers, ("Authorization", "Bearer cae_live_k2")))


EMPTY: Final = store().sizes()


# --- Accounts -------------------------------------------------------------------------------------


def of_neighbour(number: int) -> Connection:
    """A pending connection of the other account."""
    made = pending(number=number)
    coordinate = NEIGHBOUR.coordinate(COORDINATE.app_user_id)
    return attrs.evolve(made, identity=attrs.evolve(made.identity, coordinate=coordinate))


def unknown(number: int) -> curae.Request:
    """A revocation of nothing that is there, under a fresh key."""
    return request("revoke", id=uuid(500), key=f"junk-{number}")


def created(number: int) -> curae.Request:
    return request("create", key=f"c-{number}", user=f"user-{number}")


def initiated(number: int) -> curae.Request:
    return request("initiate", key=f"i-{number}", user=f"user-{number}")


def with_signup(number: int) -> curae.Request:
    body = b'{"appUserId":"user-1","preferSignup":true}'
    return request("initiate", key=f"s-{number}", body=body)


def limited(number: int) -> curae.Request:
    return request("graduation", user=f"user-{number}")


FILLS: Final[dict[str, Callable[[int], curae.Request]]] = {
    "records": unknown,
    "connections": created,
    "sessions": with_signup,
    "bindings": initiated,
    "rates": limited,
}
"""What fills an account, by the kind of value that it fills it with beside others."""


@pytest.mark.parametrize("kind", FILLS)
def test_who_fills_the_store_stops_nobody_else(kind: str) -> None:
    fill = FILLS[kind]
    made = store(of_neighbour(700), of_neighbour(701), capacity=8)
    held = made.sizes()[kind]
    answers = [
        made.handle(fill(number), START, new_ids(10 + number)).response.status
        for number in range(9)
    ]
    assert made.sizes()[kind] - held == 8
    assert 500 not in answers[:8]
    assert answers[8] == 500, "the account itself has no room left"
    counted = made.counted()
    for number, operation in enumerate(("revoke", "create", "initiate", "get", "reconnect")):
        asked = by_neighbour(request(operation, id=uuid(700), key=f"n-{number}"))
        answer = made.handle(asked, START, new_ids(50 + number))
        assert answer.response.status in {200, 201}, operation
    assert made.counted() > counted
    ended = curae.Revoked(curae.ConnectionId(uuid(701)), curae.Actor.PATIENT)
    assert isinstance(made.record(ended, START), curae.Done)
    again = made.handle(fill(9), START, new_ids(90))
    assert (again.response.status, code(again), document(again)["retryable"]) == (
        500,
        "INTERNAL",
        True,
    )
    assert again.changes.writes == ()


def test_who_is_full_loses_nothing_and_still_moves_what_it_has() -> None:
    made = store(pending(number=2), pending(number=3), capacity=2)
    assert made.handle(request("revoke", id=uuid(2)), START).response.status == 200
    assert made.handle(unknown(1), START).response.status == 404
    assert made.handle(unknown(2), START).response.status == 500
    before = made.sizes()
    assert made.handle(request("revoke", id=uuid(2)), at(1)).replayed
    assert isinstance(
        made.record(curae.Revoked(curae.ConnectionId(uuid(3)), curae.Actor.PATIENT), at(1)),
        curae.Done,
    )
    assert made.sizes() == before


def test_a_full_account_is_named_with_the_kind_that_found_no_room() -> None:
    made = store(pending(), capacity=1)
    with pytest.raises(StoreFullError) as raised:
        made.store((ConnectionWrite(None, pending(number=2)),))
    error = raised.value
    assert (error.kind, error.capacity) == ("Connection", 1)
    assert error.environment is Environment.LIVE
    assert error.customer_account_id == COORDINATE.customer_account_id
    assert str(error) == (
        f"the live customer account {COORDINATE.customer_account_id} holds 1 values of kind "
        "Connection, and no more are taken"
    )
    in_test = attrs.evolve(
        pending(number=2).identity,
        coordinate=attrs.evolve(COORDINATE, environment=Environment.TEST),
    )
    assert made.store((ConnectionWrite(None, attrs.evolve(pending(), identity=in_test)),)), (
        "test and live never meet"
    )


def test_an_account_is_no_larger_for_having_many_apps_and_keys() -> None:
    made = store(capacity=2)
    for number in range(3):
        app = attrs.evolve(CALLER, api_key_id=ApiKeyId(f"k{number}"), app_id=AppId(f"app-{number}"))
        made.register(curae.ApiKey(API_KEY), app)
        assert made.handle(unknown(0), START).response.status == (404 if number < 2 else 500)


# --- What is over -----------------------------------------------------------------------------


def fill_records(made: Store, number: int, now: datetime = START, first: int = 0) -> None:
    for each in range(first, first + number):
        assert made.handle(unknown(each), now).response.status == 404


def test_each_request_drops_a_few_of_what_is_over() -> None:
    made = store()
    fill_records(made, 100)
    due = START + DAY + TOLERANCE
    for _ in range(15):
        made.handle(request("get"), due)
    assert made.sizes()["records"] == 100, "one of the latest sixteen instants was a day earlier"
    for number in range(1, 6):
        made.handle(request("get"), due)
        assert made.sizes()["records"] == 100 - 16 * number
    made.handle(unknown(1000), due)
    for _ in range(2):
        assert isinstance(made.record(curae.Expired(ID), due), curae.Refused)
    assert made.sizes()["records"] == 1, "a fact drops some too, and what is new stays"
    assert made.sizes()["deadlines"] == 1


def test_a_request_drops_nothing_before_its_time() -> None:
    made = store()
    fill_records(made, 3)
    due = START + DAY + TOLERANCE
    for _ in range(20):
        made.handle(request("get"), due - TICK)
    assert made.sizes()["records"] == 3
    for _ in range(20):
        made.handle(request("get"), due)
    assert made.sizes()["records"] == 0


def test_one_clock_far_ahead_drops_nothing_that_others_need() -> None:
    made = store()
    first = made.handle(unknown(0), START)
    for number in range(1, 40):
        ahead = number % 16 != 0
        made.handle(request("get"), START + 400 * DAY if ahead else at(number))
    answer = made.handle(unknown(0), at(60))
    assert (answer.replayed, answer.response) == (True, first.response)


def test_an_account_that_rests_is_looked_at_in_its_turn() -> None:
    made = store()
    fill_records(made, 100)
    due = START + DAY + TOLERANCE
    for _ in range(15 + 2 * 13):
        made.handle(by_neighbour(request("get")), due)
    made.handle(by_neighbour(unknown(0)), due)
    for _ in range(2 * 13):
        made.handle(by_neighbour(request("get")), due)
    assert made.sizes()["records"] == 1


def test_a_full_account_has_room_again_when_its_own_values_are_over() -> None:
    made = store(capacity=50)
    for number in range(50):
        made.handle(by_neighbour(unknown(number)), at(-1))
    fill_records(made, 50)
    due = START + DAY + TOLERANCE
    for _ in range(16):
        made.handle(request("account-state"), due)
    assert made.handle(unknown(100), due).response.status == 404, "whatever the neighbour holds"


def test_a_purge_looks_at_no_more_than_it_is_told() -> None:
    made = store()
    fill_records(made, 100)
    due = START + DAY + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.purge(due, most=0) == 0
    assert made.purge(due, most=30) == 30
    assert made.sizes()["records"] == 70
    assert made.purge(due) == 70
    assert made.purge(due) == 0


def test_a_purge_goes_on_with_the_next_account() -> None:
    made = store()
    fill_records(made, 10)
    for number in range(10):
        made.handle(by_neighbour(unknown(number)), START)
    due = START + DAY + TOLERANCE
    made.purge(due, most=10)
    made.purge(due, most=5)
    assert made.sizes()["records"] == 5
    assert made.purge(due, most=1) == 0, "the account that was emptied had its turn"
    assert made.purge(due, most=6) == 5


def test_what_moved_on_is_looked_at_and_kept() -> None:
    made = store(settings=curae.Settings(buckets=(BUCKET,)))
    made.handle(request("account-state"), START)
    made.handle(request("account-state"), at(1))
    noted = at(1) + TOLERANCE
    assert made.purge(noted, most=1) == 0
    assert made.sizes()["rates"] == 1
    assert made.purge(at(2) + TOLERANCE) == 1


TIMED: Final[dict[str, Callable[[Store, datetime], object]]] = {
    "handle": lambda made, now: made.handle(request("get"), now),
    "record": lambda made, now: made.record(curae.Expired(ID), now),
    "purge": lambda made, now: made.purge(now),
}


@pytest.mark.parametrize("use", TIMED)
def test_an_instant_that_is_none_is_refused_and_spoils_nothing(use: str) -> None:
    made = store(pending())
    naive = START.replace(tzinfo=None)
    with pytest.raises(curae.ArgumentError, match="now"):
        TIMED[use](made, naive)
    assert made.handle(request("get"), START).response.status == 200


# --- How long what is over is kept --------------------------------------------------------------

PENDING_OVER: Final = pending().handoff_deadline or START
ENDINGS: Final = {
    "LAPSED": (pending(), PENDING_OVER),
    "EXPIRED by itself": (ACTIVE, at(60)),
    "EXPIRED, recorded": (apply_trigger(ACTIVE, "expire", at(61)), at(61)),
    "REVOKED": (apply_trigger(ACTIVE, "PATIENT", at(7)), at(7)),
    "REVOKED, whatever stands beside it": (
        attrs.evolve(FOR_EVER, revoked_at=at(7), updated_at=at(8)),
        at(8),
    ),
}
"""A connection, and when it is over."""


@pytest.mark.parametrize("how", ENDINGS)
def test_a_connection_that_is_over_is_kept_as_long_as_said_and_not_longer(how: str) -> None:
    connection, over = ENDINGS[how]
    made = store(connection, keep_over=MONTH)
    due = over + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.connection(ID) is connection
    assert made.purge(due) == 1
    assert made.sizes() == EMPTY
    assert made.connection(ID) is None
    assert made.handle(request("get"), due).response.status == 404
    assert made.handle(request("reconnect"), due, new_ids(2, due)).response.status == 404
    assert isinstance(made.record(curae.Revoked(ID, curae.Actor.PATIENT), due), curae.Refused)


@pytest.mark.parametrize("live", [FOR_EVER, attrs.evolve(pending(), handoff_deadline=None)])
def test_what_only_an_event_ends_is_kept_until_one_does(live: Connection) -> None:
    made = store(live, keep_over=MONTH)
    for days in range(0, 4000, 7):
        assert made.purge(START + timedelta(days=days)) == 0
    now = START + timedelta(days=4000)
    assert made.handle(request("revoke"), now).response.status == 200
    due = now + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 1, "the idempotency record"
    assert made.purge(due) == 1
    assert made.sizes() == EMPTY


def test_what_ends_earlier_than_it_would_by_itself_is_dropped_as_much_earlier() -> None:
    far = attrs.evolve(ACTIVE, expires_at=START + timedelta(days=4000))
    made = store(far, keep_over=MONTH)
    for days in range(100):
        assert made.purge(START + timedelta(days=days)) == 0
    now = START + timedelta(days=100)
    made.record(curae.Revoked(ID, curae.Actor.PATIENT), now)
    assert made.purge(now + MONTH + TOLERANCE - TICK) == 0
    assert made.purge(now + MONTH + TOLERANCE) == 1


def test_everything_is_kept_where_nothing_is_said() -> None:
    made = store(*(connection for connection, _ in [ENDINGS["REVOKED"]]))
    made.handle(request("initiate"), START, new_ids(3))
    assert made.purge(LAST_INSTANT) == 2, "the record and the limit"
    assert made.connection(ID) is not None
    assert made.session(curae.SessionId(uuid(1003))) is not None
    assert made.binding(COORDINATE) is not None


@pytest.mark.parametrize("span", [DAY - TICK, timedelta(0), -MONTH])
def test_nothing_is_dropped_that_a_replay_may_name(span: timedelta) -> None:
    with pytest.raises(curae.ArgumentError, match="keep_over: must be at least 24 hours"):
        curae.MemoryStore(keep_over=span)
    store(keep_over=DAY)
    made = store(FOR_EVER, keep_over=timedelta.max)
    assert made.purge(LAST_INSTANT - TOLERANCE) == 0


def chain(length: int, last: Connection | None = None) -> list[Connection]:
    """Revoked connections, each the next one's predecessor, and a living one at the end."""
    connections = [pending()]
    while len(connections) < length:
        recovered = apply_trigger(connections[-1], "APP", START)
        connections[-1] = recovered
        connections.append(subjects.recovered(recovered, START, len(connections) + 1))
    if last is not None:
        connections[-1] = attrs.evolve(last, identity=connections[-1].identity)
    return connections


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_chain_with_a_living_head_is_kept_whole_and_goes_whole(length: int) -> None:
    made = store(*chain(length, FOR_EVER), keep_over=MONTH)
    year = START + timedelta(days=365)
    assert made.purge(year) == 0
    assert made.counted() == length
    made.record(curae.Revoked(ID, curae.Actor.PATIENT), year)
    due = year + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.purge(due, most=1) == length, "a chain counts as one, and goes as one"
    assert made.sizes() == EMPTY


def test_a_chain_lives_while_any_connection_of_it_does() -> None:
    waiting = apply_trigger(FOR_EVER, "require action", at(2))
    lapsed = subjects.recovered(waiting, at(3), 2)
    made = store(waiting, lapsed, keep_over=MONTH)
    assert made.purge(START + 10 * MONTH) == 0
    assert made.counted() == 2


def test_another_chain_of_the_same_user_stays() -> None:
    made = store(
        REVOKED, attrs.evolve(FOR_EVER, identity=pending(number=2).identity), keep_over=MONTH
    )
    assert made.purge(START + 3 * MONTH) == 1
    tombstoned = curae.Tombstoned(COORDINATE)
    made.store((BindingWrite(None, LIMITED),))
    assert [each.id for each in made.load_fact(tombstoned).connections] == [uuid(2)]
    assert isinstance(made.record(tombstoned, START + 3 * MONTH), curae.Done)


def test_a_session_that_is_over_is_kept_as_long_as_said() -> None:
    made = store(keep_over=MONTH)
    assert made.store((SessionWrite(None, subjects.WAITING),))
    due = subjects.WAITING.expires_at + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 0
    landed = curae.HandoffCompleted(subjects.SESSION, subjects.USER, at(1))
    assert isinstance(made.record(landed, due - TICK), curae.Done)
    assert made.purge(due) == 1
    assert made.session(subjects.SESSION) is None
    assert isinstance(made.record(landed, due), curae.Refused)
    sizes = made.sizes()
    assert sizes == EMPTY | {"bindings": 1, "counted": 1}, "a binding is never over"


def test_requests_drop_chains_and_sessions_too() -> None:
    made = store(*chain(3, REVOKED), keep_over=MONTH)
    made.handle(request("initiate"), START, new_ids(3))
    later = START + 3 * MONTH
    for _ in range(17):
        made.handle(request("get", id=uuid(9)), later)
    assert made.sizes() == EMPTY | {"bindings": 1, "counted": 1}


def test_what_was_dropped_since_it_was_read_is_not_written() -> None:
    made = store(REVOKED, keep_over=MONTH)
    asked, now = call(Reconnect(ID)), START + MONTH
    decided = curae.decide(asked, made.load(curae.needs(asked)), now, new_ids(2, now))
    assert made.purge(START + 2 * MONTH) == 1
    assert not made.store(decided.changes.writes)
    assert made.sizes() == EMPTY


# --- Long chains ----------------------------------------------------------------------------------

K = TypeVar("K")
V = TypeVar("V")
LOOKS: Final = (
    "__contains__",
    "__delitem__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__setitem__",
    "get",
    "setdefault",
    "values",
)


def guarded(held: dict[K, V], looked_at: Callable[[], None]) -> dict[K, V]:
    """The same dict, which tells of each look at it."""
    kind = type(held)

    def telling(name: str) -> Callable[[object], object]:
        plain = getattr(kind, name)

        def method(self: object, *arguments: object) -> object:
            looked_at()
            found: object = plain(self, *arguments)
            return found

        return method

    looks = {name: telling(name) for name in LOOKS}
    return cast("dict[K, V]", type("Guarded", (kind,), looks)(held))


class Counting(Store):
    """A store that counts the looks at its connections and at what leads to them."""

    looks = 0

    def count(self) -> None:
        def looked_at() -> None:
            self.looks += 1

        self._connections = guarded(self._connections, looked_at)
        self._successors = guarded(self._successors, looked_at)
        self._heads = guarded(self._heads, looked_at)
        self.looks = 0


ON_A_CHAIN: Final[dict[str, Callable[[Store], object]]] = {
    "get": lambda made: made.handle(request("get"), at(3)),
    "get a later one": lambda made: made.handle(request("get", id=uuid(2)), at(3)),
    "reconnect": lambda made: made.handle(request("reconnect"), at(3), new_ids(900)),
    "revoke": lambda made: made.handle(request("revoke"), at(3)),
    "access": lambda made: made.ask(ID, DataPackage("labs"), at(3)),
    "authorized": lambda made: made.record(curae.Authorized(ID), at(3)),
    "upstream": lambda made: made.record(curae.Revoked(ID, curae.Actor.UPSTREAM), at(3)),
    "a look whether it is over": lambda made: made.purge(START + 3 * MONTH),
}


@pytest.mark.parametrize("use", ON_A_CHAIN)
def test_nothing_walks_a_long_chain(use: str) -> None:
    looks: list[int] = []
    for length in (3, 300):
        made = Counting(keep_over=MONTH)
        made.register(curae.ApiKey(API_KEY), CALLER)
        for each in chain(length, FOR_EVER):
            assert made.store((ConnectionWrite(None, each),))
        made.count()
        ON_A_CHAIN[use](made)
        looks.append(made.looks)
    assert looks[0] == looks[1] <= 12


# --- Threads --------------------------------------------------------------------------------------


class Locked(Store):
    """A store that fails where one of its collections is touched without its lock."""

    def watch(self) -> None:
        owned = attrgetter("_is_owned")(self._lock)

        def looked_at() -> None:
            assert owned(), "what others write meanwhile is seen in halves"

        with self._lock:
            for name, held in list(vars(self).items()):
                if isinstance(held, dict) and name != "_callers":
                    setattr(self, name, guarded(held, looked_at))


USES: Final[dict[str, Callable[[Store], object]]] = {
    "connection": lambda made: made.connection(ID),
    "session": lambda made: made.session(subjects.SESSION),
    "binding": lambda made: made.binding(COORDINATE),
    "access": lambda made: made.ask(ID, DataPackage("labs"), at(3)),
    "load": lambda made: made.load(curae.needs(call(Reconnect(ID)))),
    "load for a fact": lambda made: made.load_fact(curae.Tombstoned(COORDINATE)),
    "store": lambda made: made.store((ConnectionWrite(None, pending(number=8)),)),
    "replace the buckets": lambda made: made.replace_buckets(()),
    "purge": lambda made: made.purge(START + 3 * MONTH),
    "stranger": lambda made: made.handle(curae.Request("GET", "/"), at(3)),
    "get": lambda made: made.handle(request("get"), at(3)),
    "create": lambda made: made.handle(request("create"), at(3), new_ids(20)),
    "initiate": lambda made: made.handle(request("initiate"), at(3), new_ids(20)),
    "reconnect": lambda made: made.handle(request("reconnect"), at(61), new_ids(20, at(61))),
    "fact": lambda made: made.record(curae.Revoked(ID, curae.Actor.PATIENT), at(3)),
    "fact of a binding": lambda made: made.record(curae.Graduated(COORDINATE), at(3)),
}


@pytest.mark.parametrize("use", USES)
def test_nothing_is_touched_without_the_lock(use: str) -> None:
    made = Locked(curae.Settings(buckets=(BUCKET,)), keep_over=MONTH)
    made.register(curae.ApiKey(API_KEY), CALLER)
    assert made.store(
        (
            ConnectionWrite(None, ACTIVE),
            SessionWrite(None, subjects.WAITING),
            BindingWrite(None, LIMITED),
        )
    )
    made.handle(request("account-state"), START)
    made.watch()
    USES[use](made)


def test_an_id_that_is_in_use_is_looked_up_under_the_lock() -> None:
    made = Locked()
    made.register(curae.ApiKey(API_KEY), CALLER)
    assert made.store((ConnectionWrite(None, ACTIVE),))
    made.watch()
    with pytest.raises(curae.ArgumentError, match="in use"):
        made.handle(request("create"), START, new_ids(1))


class Seen(Store):
    """A store that notes each commit down where it is written, and lets others have their turn."""

    def __init__(self) -> None:
        super().__init__(keep_over=MONTH)
        self.commits: list[tuple[Write, ...]] = []

    def _check_room(
        self, owners: list[tuple[Environment, CustomerAccountId] | None], writes: tuple[Write, ...]
    ) -> None:
        super()._check_room(owners, writes)
        sleep(0)
        self.commits.append(writes)


def check_each_replaces_the_last(commits: list[tuple[Write, ...]]) -> None:
    """No write was lost: each says before what the one before it on the same value says after."""
    held: dict[object, object] = {}
    for write in itertools.chain.from_iterable(commits):
        key = key_of(write)
        limit_that_was_over = isinstance(write, RateWrite) and write.before is None
        assert limit_that_was_over or held.get(key) == write.before
        held[key] = write.after


def key_of(write: Write) -> object:
    match write:
        case ConnectionWrite(_, after) | SessionWrite(_, after):
            return type(write), after.id
        case BindingWrite(_, after):
            return after.coordinate
        case RecordWrite(key) | RateWrite(key):
            return key


@contextmanager
def switching() -> Iterator[None]:
    """Threads that take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


USERS: Final = 3
THREADS: Final = 6
ROUNDS: Final = 40


def work(made: Seen, barrier: Barrier, worker: int) -> list[Answer]:
    """What one thread does, all of it with the same few users, connections and keys."""
    answers: list[Answer] = []
    barrier.wait()
    for turn in range(ROUNDS):
        number = 10_000 * (worker + 1) + 10 * turn
        user = f"user-{turn % USERS}"
        target = uuid(1 + turn % USERS)
        now = at(turn)
        asked = (
            request("create", user=user, key=f"c-{turn}"),
            request("initiate", user=user, key=f"i-{turn % 7}"),
            request("reconnect", id=target, key=f"r-{worker}-{turn}"),
            request("get", id=target),
        )
        for place, each in enumerate(asked):
            answers.append(made.handle(each, now, new_ids(number + place, now)))
        made.record(curae.Authorized(curae.ConnectionId(target)), now)
        match (worker + turn) % 6:
            case 0:
                made.handle(request("revoke", id=target, key=f"v-{worker}-{turn}"), now)
            case 1:
                made.record(curae.Revoked(curae.ConnectionId(target), curae.Actor.PATIENT), now)
            case 2:
                made.purge(now, most=3)
            case 3:
                sizes = BUCKET if turn % 2 else attrs.evolve(BUCKET, capacity=1000)
                made.replace_buckets((attrs.evolve(sizes, refill=1000),))
            case 4:
                made.register(curae.ApiKey(API_KEY), CALLER)
            case _:
                made.record(curae.Tombstoned(CALLER.coordinate(AppUserId(user))), now)
        held = made.connection(curae.ConnectionId(target))
        assert held is not None
        assert held.identity.id == target
        assert made.settings.buckets == () or made.settings.buckets[0].refill == 1000
    return answers


def test_threads_that_race_break_no_law() -> None:
    made = Seen()
    made.register(curae.ApiKey(API_KEY), CALLER)
    for number in range(1, USERS + 1):
        assert made.store((ConnectionWrite(None, pending(number=number)),))
    barrier = Barrier(THREADS)
    with switching(), ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(work, made, barrier, worker) for worker in range(THREADS)]
        answers = [answer for each in running for answer in each.result()]
    assert {answer.response.status for answer in answers} >= {200, 201}
    check_each_replaces_the_last(made.commits)
    watch = Watch()
    for writes in made.commits:
        # Each wrote at its own instant; by the latest of them nothing that is read is over.
        watch.stored(writes, at(ROUNDS), read_at=0)
    made.check(at(ROUNDS))
    sizes = made.sizes()
    assert sizes["counted"] == made.counted()
    made.purge(LAST_INSTANT)
    assert made.sizes() == EMPTY | {"bindings": sizes["bindings"], "counted": sizes["bindings"]}
