"""A world of apps, users, hosted pages, networks and workers, on simulated time.

The laws of this module: **the seed decides everything**, no clock is read; **everything is an
event** with its instant, and of two at one instant the earlier planned one is first. A request is
at least two events, its load and its commit, so transactions run into each other.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey, LostLease, RecordKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    MINUTE,
    ApiKeyId,
    AppId,
    AppUser,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import ConnectionWrite, SessionWrite
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulation.chance import Dice, Fault, Mix
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.server import FactTransaction, Server, Store, Transaction
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""When every world begins: a Monday."""

_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_LIFETIME: Final = timedelta(minutes=30)
_SLACK: Final = timedelta(hours=1)
_WORKERS: Final = 4
_TRIES: Final = 5
_KNOWN_IDS: Final = 5
_BASE: Final = "/api/sdk/v1"
_PACKAGES: Final = tuple(map(DataPackage, ("labs", "medications", "clinical_summary")))
_REASONS: Final = ("portal_login", "consent_renewal")
_ACTORS: Final = (Actor.PATIENT, Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM, Actor.UPSTREAM)
_TOO_MANY: Final = 429
_UNTOLD: Final = (
    "request.buckets",
    "idempotency.released.",
    "idempotency.in-flight.",
    "idempotency.lease-over.",
    "idempotency.unknown.",
    "idempotency.forgotten.",
)
"""Rules that refuse and change nothing, for a reason that is not in the log of one app user."""

_WISHES: Final = {
    "create": 15,
    "get": 14,
    "reconnect": 24,
    "revoke": 9,
    "initiate": 14,
    "account-state": 8,
    "graduation": 6,
}
"""What an app asks how often, of a hundred things; the rest are questions for access."""
_ASKS: Final = 10

_BROKEN: Final = (
    ("POST", f"{_BASE}/connections", b"{"),
    ("POST", f"{_BASE}/connections", b'{"appUserId":"u","dataPackages":[]}'),
    ("POST", f"{_BASE}/connections", b'{"appUserId":" u","dataPackages":["labs"]}'),
    ("POST", f"{_BASE}/curae-connect/initiate", b'{"appUserId":"u","preferSignUp":true}'),
    ("POST", f"{_BASE}/curae-connect/initiate", b'{"appUserId":"u","appUserId":"u"}'),
    ("POST", f"{_BASE}/connections/none:revoke", b""),
    ("GET", f"{_BASE}/curae-connect/account-state?appUserId=u&appUserId=u", b""),
    ("PUT", f"{_BASE}/connections", b""),
    ("GET", f"{_BASE}/nowhere", b""),
)
_BROKEN_KEYS: Final[tuple[tuple[str, ...], ...]] = ((), ("",), ('"open',), ("one", "two"))


@attrs.frozen
class Client:
    """One app with its API keys."""

    caller: Caller
    keys: tuple[str, ...]
    """One that may write, one that may only read, then the same two of the test environment."""


@attrs.define
class User:
    """One app user of an account, in every app of that account."""

    name: AppUserId
    gone_at: datetime
    app_user: AppUser
    connections: dict[AppId, list[ConnectionId]] = attrs.field(
        factory=dict[AppId, list[ConnectionId]]
    )

    def of(self, client: Client) -> list[ConnectionId]:
        """The latest ids of this user's connections that an app knows."""
        return self.connections.setdefault(client.caller.app_id, [])


@attrs.define
class Errand:
    """One request of a client, with all its tries."""

    wish: str
    client: Client
    user: User
    request: Request
    key: str | None
    calls_out: bool
    tries: int = 0


@attrs.frozen
class Violation:
    """A law that did not hold.

    Attributes:
        account: The law, what was seen and where, in words.
        law: Its number.
        at: The instant in the world.
        log: What led there: JSON lines for `replay`, what was committed for the app user.
        environment: The one that the server serves, which `replay` must be told; `None` for both.
    """

    account: str
    law: int
    at: datetime
    log: tuple[str, ...]
    environment: Environment | None


@attrs.define
class Summary:
    """What happened in a world, how often.

    Attributes:
        seed: The world's seed.
        clients: How many clients.
        hours: How many hours were simulated.
        requests: How many requests were handled.
        asked: Requests by operation.
        answers: Answers by status and code.
        replays: How many answers were replays.
        facts: Facts by outcome.
        access: Questions for access by answer.
        faults: Faults by kind.
        conflicts: How often a transaction started again because somebody was faster.
        purged: How many records and rate limits were dropped.
        violation: What went wrong; `None` where every law held.
    """

    seed: int
    clients: int
    hours: int = 0
    requests: int = 0
    asked: Counter[str] = attrs.field(factory=Counter[str])
    answers: Counter[str] = attrs.field(factory=Counter[str])
    replays: int = 0
    facts: Counter[str] = attrs.field(factory=Counter[str])
    access: Counter[str] = attrs.field(factory=Counter[str])
    faults: Counter[str] = attrs.field(factory=Counter[str])
    conflicts: int = 0
    purged: int = 0
    violation: Violation | None = None

    @property
    def client_hours(self) -> int:
        """Clients times hours."""
        return self.clients * self.hours

    def add(self, other: Summary) -> None:
        """Count in what happened in another world of as many clients."""
        self.hours += other.hours
        self.requests += other.requests
        self.replays += other.replays
        self.conflicts += other.conflicts
        self.purged += other.purged
        for mine, theirs in zip(self._counts(), other._counts(), strict=True):
            mine.update(theirs)

    def headline(self) -> str:
        """How much happened, in one line."""
        return (
            f"seed {self.seed}: {self.client_hours:,} client-hours, {self.requests:,} requests, "
            f"{self.replays:,} replays, {self.conflicts:,} conflicts, {self.purged:,} purged"
        )

    def lines(self) -> Iterator[str]:
        """What happened how often, in lines of text that are the same for the same seed."""
        titles = ("requests", "answers", "facts", "access", "faults")
        for title, counts in zip(titles, self._counts(), strict=True):
            yield title
            for name, number in sorted(counts.items()):
                yield f"{number:>12,}  {name}"

    def _counts(self) -> tuple[Counter[str], ...]:
        return self.asked, self.answers, self.facts, self.access, self.faults


class Simulation:
    """One world.

    Args:
        seed: Decides everything that happens.
        clients: How many apps use the platform.
        hours: How long.
        store: Makes the store from the server's settings.
        watched: Whether the laws are checked at each step.
    """

    def __init__(
        self,
        seed: int,
        *,
        clients: int = 1,
        hours: int = 24,
        store: Callable[[Settings], Store],
        watched: bool = True,
    ) -> None:
        """Draw the world's mix and set up its clients."""
        chance = Random(seed)  # noqa: S311 - a world's dice, no secret
        self._mix = Mix.draw(chance)
        self._dice = Dice(chance, self._mix)
        self._chance = chance
        self._store = store(self._mix.settings)
        self._watch = Watch() if watched else None
        self._server = Server(self._store, self._mix.settings, self._watch)
        self._journal = Journal()
        self._summary = Summary(seed, clients)
        self._hours = hours
        self._now = START
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()
        self._numbers = count(1)
        self._skew = [timedelta(0)] * _WORKERS
        self._suspect: AppUser | None = None
        self._clients = [self._client(number) for number in range(clients)]
        self._users: dict[CustomerAccountId, list[User]] = {}
        for client in self._clients:
            account = client.caller.customer_account_id
            if account not in self._users:
                self._users[account] = [self._user(account) for _ in range(self._mix.users)]

    @property
    def summary(self) -> Summary:
        """What happened until now."""
        return self._summary

    def run(self) -> Iterator[int]:
        """Live; yields the number of each hour that is over, and ends at a violation."""
        for client in self._clients:
            self._after(self._dice.around(60), partial(self._arrival, client))
        self._after(1800, self._upkeep)
        try:
            for hour in range(1, self._hours + 1):
                end = START + hour * _HOUR
                while self._events[0][0] < end:
                    self._now, _, event = heapq.heappop(self._events)
                    event()
                self._summary.hours = hour
                yield hour
        except LawBrokenError as broken:
            log = tuple(self._journal.lines(self._suspect))
            self._summary.violation = Violation(
                str(broken), broken.law, self._now, log, self._mix.settings.environment
            )
        self._summary.conflicts = self._server.conflicts
        self._summary.facts = self._server.facts
        self._summary.faults = Counter({str(k): n for k, n in self._dice.thrown.items()})

    # --- Who is there ------------------------------------------------------------------------

    def _client(self, number: int) -> Client:
        account = CustomerAccountId(_uuid(0xA, number // 2))
        app = AppId(f"app-{number}")
        scopes = frozenset({CONNECTION_WRITE})
        live, test = Environment.LIVE, Environment.TEST
        callers = (
            Caller(ApiKeyId(f"key-{number}-w"), app, account, live, scopes),
            Caller(ApiKeyId(f"key-{number}-r"), app, account, live, frozenset()),
            Caller(ApiKeyId(f"key-{number}-tw"), app, account, test, scopes),
            Caller(ApiKeyId(f"key-{number}-tr"), app, account, test, frozenset()),
        )
        keys = tuple(
            f"cae_{env}_{number}_{may}" for env in ("live", "test") for may in ("write", "read")
        )
        for key, caller in zip(keys, callers, strict=True):
            self._store.register(ApiKey(key), caller)
            self._journal.registered(START, key, caller)
        return Client(callers[0], keys)

    def _user(self, account: CustomerAccountId) -> User:
        name = AppUserId(f"user-{next(self._numbers)}")
        gone_at = self._now + _DAY * self._dice.around(self._mix.days_of_a_user)
        return User(name, gone_at, AppUser(Environment.LIVE, account, name))

    def _anyone(self, client: Client) -> User:
        users = self._users[client.caller.customer_account_id]
        place = self._chance.randrange(len(users))
        user = users[place]
        if user.gone_at <= self._now:
            self._journal.drop(user.app_user)
            user = users[place] = self._user(client.caller.customer_account_id)
        return user

    # --- When things happen ------------------------------------------------------------------

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        self._at(self._now + timedelta(seconds=seconds), event)

    def _at(self, instant: datetime, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (instant, next(self._order), event))

    def _arrival(self, client: Client) -> None:
        # Busy by day, quiet by night.
        daylight = 0.25 + 0.75 * (6 <= self._now.hour < 22)  # noqa: PLR2004 - hours of a day
        self._after(
            self._dice.around(3600 / (self._mix.requests_per_hour * daylight)),
            partial(self._arrival, client),
        )
        user = self._anyone(client)
        if self._dice.strikes(Fault.OUT_OF_TURN):
            self._odd_fact(client, user)
        wishes = [*_WISHES]
        if self._chance.randrange(100) < _ASKS:
            self._ask(client, user)
            return
        wish = self._chance.choices(wishes, weights=[*_WISHES.values()])[0]
        self._want(wish, client, user)
        if self._dice.strikes(Fault.DOUBLE_CLICK):
            self._want(wish, client, user)
        if self._dice.strikes(Fault.BURST):
            greedy = self._chance.choice(("initiate", "initiate", "graduation", wish))
            for _ in range(12):
                self._want(greedy, client, user)

    def _upkeep(self) -> None:
        self._after(3600, self._upkeep)
        # No worker's clock and no transaction is as far behind.
        self._summary.purged += self._server.purge(self._now - _SLACK)

    # --- What clients ask --------------------------------------------------------------------

    def _want(self, wish: str, client: Client, user: User) -> None:
        key = None if wish in {"get", "account-state", "graduation"} else self._key()
        request = self._request(wish, client, user, key)
        if request is None:
            return
        # What an operation calls out for, it calls out for at each try.
        calls_out = key is not None and self._dice.strikes(Fault.CALLS_OUT)
        errand = Errand(wish, client, user, request, key, calls_out)
        self._send(errand)
        if key is None:
            return
        if self._dice.strikes(Fault.KEY_REUSED):
            other = self._request(self._chance.choice((wish, "initiate")), client, user, key)
            again = Errand(wish, client, user, other or request, key, calls_out)
            for mean in (2, 120):
                self._after(self._dice.around(mean), partial(self._send, again))
        if self._dice.strikes(Fault.KEY_OLD):
            self._at(
                self._now + _DAY + _HOUR * self._chance.uniform(-1, 1),
                partial(self._send, Errand(wish, client, user, request, key, calls_out)),
            )
        if self._dice.strikes(Fault.ANSWER_ERASED):
            self._operate(RecordKey(client.caller.api_key_id, IdempotencyKey(key)), user)

    def _operate(self, record: RecordKey, user: User) -> None:
        # Operators do not look what a record is before they act on it.
        for _ in range(2):
            act = self._chance.choice((self._erase, self._settle))
            self._after(self._dice.around(60), partial(act, record, user))

    def _key(self) -> str:
        return f"k-{next(self._numbers)}"

    def _request(self, wish: str, client: Client, user: User, key: str | None) -> Request | None:
        likely = self._dice.likely
        method, body = "POST", b""
        match wish:
            case "create":
                path = "/connections"
                packages = self._chance.sample(_PACKAGES, self._chance.randint(1, len(_PACKAGES)))
                body = _json({"appUserId": user.name, "dataPackages": packages})
            case "initiate":
                path = "/curae-connect/initiate"
                body = _json({"appUserId": user.name, "preferSignup": likely(0.5)})
            case "account-state":
                method, path = "GET", f"/curae-connect/account-state?appUserId={user.name}"
            case "graduation":
                path = "/curae-connect/graduation-handoff"
                body = _json({"appUserId": user.name})
            case _:
                connection_id = self._some_id(client, user)
                if connection_id is None:
                    return None
                method = "GET" if wish == "get" else "POST"
                path = f"/connections/{connection_id}" + ("" if wish == "get" else f":{wish}")
        api_key = client.keys[0]
        if self._dice.strikes(Fault.STRANGER_KEY):
            api_key = self._chance.choice((*client.keys[1:], "cae_live_nobody"))
        keys: tuple[str, ...] = () if key is None else (key,)
        target = f"{_BASE}{path}"
        if self._dice.strikes(Fault.BROKEN_REQUEST):
            if likely(0.4):
                keys = self._chance.choice(_BROKEN_KEYS) if key is not None else ("unasked",)
            else:
                method, target, body = self._chance.choice(_BROKEN)
        headers = [("Authorization", f"Bearer {api_key}")]
        headers += [("Idempotency-Key", each) for each in keys]
        if wish == "account-state" and likely(0.3):
            headers.append(("If-None-Match", '"account-limited", "account-active"'))
        return Request(method, target, tuple(headers), body)

    def _some_id(self, client: Client, user: User) -> ConnectionId | None:
        if self._dice.strikes(Fault.STRANGER_ID):
            other = self._chance.choice(self._clients)
            theirs = [] if other is client else self._anyone(other).of(other)
            nobody = ConnectionId(_uuid(0xF, self._chance.randrange(1000)))
            return self._chance.choice((nobody, *theirs))
        known = user.of(client)
        if not known:
            return None
        # The newest most of the time.
        return known[-1] if self._dice.likely(0.6) else self._chance.choice(known)

    def _ask(self, client: Client, user: User) -> None:
        connection_id = self._some_id(client, user)
        if connection_id is None:
            return
        self._suspect = user.app_user
        package = self._chance.choice((*_PACKAGES, "genomics"))
        answer = self._server.ask(client.caller, connection_id, package, self._now)
        self._summary.access[answer] += 1

    # --- The network -------------------------------------------------------------------------

    def _send(self, errand: Errand) -> None:
        errand.tries += 1
        strikes = self._dice.strikes
        if strikes(Fault.REQUEST_LOST):
            self._retry(errand)
            return
        late = self._dice.around(600) if strikes(Fault.DELAYED) else 0
        self._after(late + self._dice.around(0.05), partial(self._arrive, errand))
        if strikes(Fault.DUPLICATED):
            self._after(self._dice.around(0.3), partial(self._arrive, errand))

    def _retry(self, errand: Errand) -> None:
        if errand.tries < _TRIES:
            self._after(self._dice.around(4.0**errand.tries), partial(self._send, errand))

    # --- The workers -------------------------------------------------------------------------

    def _clock(self) -> datetime:
        worker = self._chance.randrange(_WORKERS)
        if self._dice.strikes(Fault.CLOCK_MOVED):
            self._skew[worker] = timedelta(milliseconds=self._chance.randint(-1500, 1500))
        return self._now + self._skew[worker]

    def _arrive(self, errand: Errand) -> None:
        self._summary.requests += 1
        self._summary.asked[errand.wish] += 1
        self._load(errand)

    def _load(self, errand: Errand) -> None:
        self._suspect = errand.user.app_user
        now = self._clock()
        work = self._server.load(errand.request, now)
        if isinstance(work, Answer):
            self._committed(errand, work, now)
            return
        if errand.calls_out:
            self._after(self._dice.around(0.02), partial(self._call_out, errand, work))
            return
        slow = self._dice.around(40) if self._dice.strikes(Fault.SLOW_WORKER) else 0
        self._after(slow + self._dice.around(0.03), partial(self._commit, errand, work))

    def _commit(self, errand: Errand, work: Transaction) -> None:
        if self._dice.strikes(Fault.CRASH_BEFORE_STORE):
            self._retry(errand)
            return
        self._suspect = errand.user.app_user
        answer = self._server.commit(work, self._fresh(work.now))
        if answer is None:
            self._load(errand)
        else:
            self._committed(errand, answer, work.now)

    def _call_out(self, errand: Errand, work: Transaction) -> None:
        self._suspect = errand.user.app_user
        lost = LostLease.UNKNOWN if self._dice.likely(0.5) else LostLease.EXECUTE
        answer = self._server.call_out(work, self._fresh(work.now), MINUTE, lost)
        if answer is not None:
            self._committed(errand, answer, work.now)
        elif work.attempt is None:
            self._load(errand)
        elif self._dice.strikes(Fault.CALL_DIED):
            self._retry(errand)
            settle = partial(self._settle, work.attempt.key, errand.user)
            self._after(60 + self._dice.around(120), settle)
        else:
            if self._dice.strikes(Fault.ANSWER_ERASED):
                self._operate(work.attempt.key, errand.user)
            if self._dice.likely(0.4):
                self._after(self._dice.around(60), partial(self._renew, work))
            # One in twenty is away for longer than the key is kept.
            away = self._dice.around(40) if self._dice.likely(0.95) else 26 * 3600
            self._after(away, partial(self._come_back, errand, work))
            if self._dice.likely(0.3):
                # The client does not wait for so long.
                self._retry(errand)

    def _renew(self, work: Transaction) -> None:
        assert work.attempt is not None  # noqa: S101 - it called out
        self._server.prolong(work, work.attempt, self._clock(), 2 * MINUTE)

    def _come_back(self, errand: Errand, work: Transaction) -> None:
        self._suspect = errand.user.app_user
        assert work.attempt is not None  # noqa: S101 - it called out
        now = self._clock()
        answer = self._server.come_back(work, work.attempt, now, self._fresh(now))
        if answer is None:
            self._retry(errand)
        else:
            self._committed(errand, answer, work.now)

    def _fresh(self, now: datetime) -> NewIds:
        number = next(self._numbers)
        return NewIds(
            ConnectionId(_uuid(0xC, number)),
            SessionId(_uuid(0x5, number)),
            UserId(f"limited-{number}"),
            NextAction(f"https://connect.example/{number}", now + _SECOND * 2 + _LIFETIME),
        )

    def _erase(self, key: RecordKey, user: User) -> None:
        self._suspect = user.app_user
        self._server.erase(key, self._now)

    def _settle(self, key: RecordKey, user: User) -> None:
        self._suspect = user.app_user
        self._server.settle(key, self._now, answered=self._dice.likely(0.2))

    def _committed(self, errand: Errand, answer: Answer, now: datetime) -> None:
        response = answer.response
        code = ""
        if b'"code":"' in response.body:
            code = " " + response.body.partition(b'"code":"')[2].partition(b'"')[0].decode()
        summary = self._summary
        summary.answers[f"{response.status}{code}"] += 1
        summary.replays += answer.replayed
        self._note(errand, answer, now)
        for write in answer.changes.writes:
            match write:
                case ConnectionWrite(before, after) if (
                    after.status == "PENDING" and after is not before
                ):
                    if before is None:
                        known = errand.user.of(errand.client)
                        known.append(after.id)
                        del known[:-_KNOWN_IDS]
                    self._show_page(errand.user, after.id)
                case SessionWrite(None, after):
                    self._show_sign_up(errand.user, after)
                case _:
                    pass
        if errand.wish == "graduation" and response.status < 400:  # noqa: PLR2004 - HTTP's own
            graduated = Graduated(errand.client.caller.coordinate(errand.user.name))
            self._plan(errand.user, self._dice.around(300), graduated)
        dice = self._dice
        lost = dice.strikes(Fault.CRASH_AFTER_STORE) or dice.strikes(Fault.ANSWER_LOST)
        if lost or response.status == _TOO_MANY or code == " IDEMPOTENCY_KEY_IN_FLIGHT":
            self._retry(errand)

    def _note(self, errand: Errand, answer: Answer, now: datetime) -> None:
        user = errand.user.app_user
        for write in answer.changes.writes:
            match write:
                case ConnectionWrite(Connection(status="PENDING"), Connection(status="ACTIVE")):
                    # A get that heals knows of a hand-off that a log must be told.
                    after = write.after
                    healed = Authorized(after.id, after.expires_at, after.authorized_at)
                    self._journal.add(user, now, healed)
                case _:
                    pass
        if not answer.rules[-1].startswith(_UNTOLD):
            self._journal.add(user, now, errand.request, answer.response)

    # --- The hosted pages and the upstreams --------------------------------------------------

    def _show_page(self, user: User, connection_id: ConnectionId) -> None:
        dice = self._dice
        fate = self._chance.random()
        if fate < 0.2:  # noqa: PLR2004 - one in five walks away
            return
        # One in ten comes back to a page that is over.
        seconds = 5 + dice.around(240) if fate < 0.9 else 1900 + dice.around(600)  # noqa: PLR2004
        self._after(seconds, partial(self._land, user, connection_id))

    def _land(self, user: User, connection_id: ConnectionId) -> None:
        ends = self._chance.choice((None, _HOUR, _DAY, 30 * _DAY))
        expires_at = None if ends is None else self._now + ends
        fact = Authorized(connection_id, expires_at, self._now)
        if self._dice.strikes(Fault.RECORDED_LATE):
            self._server.landed[connection_id] = LandedHandoff(self._now, expires_at)
            self._plan(user, self._dice.around(2400), fact)
        else:
            self._record(user, fact)

    def _show_sign_up(self, user: User, session: CuraeConnectSession) -> None:
        dice = self._dice
        awaited = session.handoff == "AWAITED"
        if not awaited and not dice.strikes(Fault.OUT_OF_TURN):
            return
        session_id = session.id
        seconds = 5 + dice.around(300) if dice.likely(0.85) else 1900
        completed = HandoffCompleted(session_id, UserId(f"patient-{user.name}"))
        self._plan(user, seconds, completed)
        if dice.strikes(Fault.OUT_OF_TURN):
            other = HandoffCompleted(session_id, UserId(f"patient-{next(self._numbers)}"))
            self._plan(user, seconds + dice.around(100), other)

    def _odd_fact(self, client: Client, user: User) -> None:
        coordinate: Coordinate = client.caller.coordinate(user.name)
        facts: list[Fact] = [
            Tombstoned(coordinate),
            Graduated(coordinate),
            Graduated(coordinate, UserId("patient-other")),
        ]
        if known := user.of(client):
            connection_id = self._chance.choice(known)
            facts += [
                Authorized(connection_id),
                ActionRequired(connection_id, self._chance.choice(_REASONS)),
                Expired(connection_id),
                Revoked(connection_id, self._chance.choice(_ACTORS)),
            ]
        self._plan(user, self._dice.around(60), self._chance.choice(facts))

    def _plan(self, user: User, seconds: float, fact: Fact) -> None:
        self._after(seconds, partial(self._record, user, fact))

    def _record(self, user: User, fact: Fact) -> None:
        if self._dice.strikes(Fault.RECORDED_LATE):
            # It happened now and is written down later.
            fact = attrs.evolve(fact, happened_at=fact.happened_at or self._now)
            self._after(self._dice.around(900), partial(self._load_fact, user, fact))
        else:
            self._load_fact(user, fact)
        if self._dice.strikes(Fault.RECORDED_TWICE):
            self._after(self._dice.around(30), partial(self._load_fact, user, fact))

    def _load_fact(self, user: User, fact: Fact) -> None:
        work = self._server.load_fact(fact, self._clock())
        crossed = self._dice.strikes(Fault.CROSSED)
        if crossed:
            self._cross(user)
        slow = self._dice.around(40) if crossed or self._dice.strikes(Fault.SLOW_WORKER) else 0
        self._after(slow + self._dice.around(0.03), partial(self._commit_fact, user, work))

    def _cross(self, user: User) -> None:
        account = user.app_user.customer_account_id
        clients = [each for each in self._clients if each.caller.customer_account_id == account]
        wish = self._chance.choice(("reconnect", "reconnect", "reconnect", "initiate"))
        self._want(wish, self._chance.choice(clients), user)

    def _commit_fact(self, user: User, work: FactTransaction) -> None:
        self._suspect = user.app_user
        answer = self._server.commit_fact(work)
        if answer is None:
            self._load_fact(user, work.fact)
            return
        self._journal.add(user.app_user, work.now, work.fact)
        if not isinstance(work.fact, Authorized):
            return
        self._server.landed.pop(work.fact.connection_id, None)
        if isinstance(answer, Done):
            self._foresee(user, work.fact.connection_id)

    def _foresee(self, user: User, connection_id: ConnectionId) -> None:
        fate = self._chance.random()
        days = 86_400 * self._dice.around(0.5)
        fact: Fact
        if fate < 0.5:  # noqa: PLR2004 - half of all upstreams ask again some day
            fact = ActionRequired(connection_id, self._chance.choice(_REASONS))
            if self._dice.likely(0.3):
                self._plan(user, 2 * days, Expired(connection_id))
        elif fate < 0.7:  # noqa: PLR2004 - a fifth ends
            fact = Expired(connection_id)
        elif fate < 0.9:  # noqa: PLR2004 - a fifth is revoked
            fact = Revoked(connection_id, self._chance.choice(_ACTORS))
        else:
            return
        self._plan(user, days, fact)


def _uuid(kind: int, number: int) -> str:
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode()
