"""A world of apps, users, hosted pages, networks and workers, on simulated time.

The laws of this module: **the seed decides everything**, no clock is read; **everything is a
step planned for an instant**, and of two at one instant the one planned earlier is first. A request
is at least two steps, its load and its commit, so transactions run into each other.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Final, TypeVarTuple

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Attempt, IdempotencyKey, LostLeaseAction, RecordKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds
from curae_lifecycle.service.writes import ConnectionWrite, SessionWrite
from curae_lifecycle.testing.factories import with_happened_at
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore, StoreWithApiKeys
from curae_lifecycle.testing.simulation.clients import PACKAGES, Client, Population, User, uuid_of
from curae_lifecycle.testing.simulation.hosted_pages import HostedPages, Planned
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap, WorldProfile
from curae_lifecycle.testing.simulation.server import FactTransaction, SimulatedServer, Transaction
from curae_lifecycle.testing.simulation.summary import Summary, Violation
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

Args = TypeVarTuple("Args")

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""When every world begins: a Monday."""

_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_LIFETIME: Final = timedelta(minutes=30)
_SLACK: Final = timedelta(hours=1)
_WORKERS: Final = 4
_APART: Final = timedelta(microseconds=values.CLOCK_TOLERANCE)
_TRIES: Final = 5
_KNOWN_IDS: Final = 5
_TOO_MANY: Final = 429
_UNTOLD: Final = (
    *("request.buckets", "idempotency.released.", "idempotency.in-flight."),
    *("idempotency.lease-over.", "idempotency.unknown.", "idempotency.forgotten."),
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


@attrs.define
class ClientRequest:
    """One request of a client, with all its tries."""

    wish: str
    client: Client
    user: User
    request: Request
    key: str | None
    makes_external_call: bool
    tries: int = 0


class Simulation:
    """One world; its arguments are those of `simulate`, its `summary` what happened until now."""

    def __init__(
        self,
        seed: int,
        *,
        clients: int = 1,
        hours: int = 24,
        make_store: Callable[[Settings], StoreWithApiKeys],
        watched: bool = True,
    ) -> None:
        """Draw the world's mix and set up its clients."""
        chance = Random(seed)  # noqa: S311 - a world's dice, no secret
        self._mix = WorldProfile.draw(chance)
        self._dice = Dice(chance, self._mix)
        self._chance = chance
        timed = SimulatedClockStore(make_store(self._mix.settings), START)
        self._watch = Watch(self._mix.settings.operations) if watched else None
        self._server = SimulatedServer(timed, self._mix.settings, self._watch)
        self._journal = Journal()
        self.summary = Summary(seed, clients)
        self._hours = hours
        self._now = START
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()
        self._numbers = count(1)
        self._skew = [timedelta(0)] * _WORKERS
        self._suspect: values.AppUser | None = None
        self._people = Population(
            number=clients,
            dice=self._dice,
            numbers=self._numbers,
            journal=self._journal,
            store=timed,
            now=START,
        )
        self._pages = HostedPages(self._dice, self._numbers)

    def run(self) -> Iterator[int]:
        """Live; yields the number of each hour that is over, and ends at a violation."""
        for client in self._people.clients:
            self._after(self._dice.around(60), self._arrival, client)
        self._after(1800, self._upkeep)
        try:
            for hour in range(1, self._hours + 1):
                end = START + hour * _HOUR
                while self._agenda[0][0] < end:
                    self._now, _, step = heapq.heappop(self._agenda)
                    step()
                self.summary.hours = hour
                yield hour
        except LawBrokenError as broken:
            log = tuple(self._journal.lines(self._suspect))
            self.summary.violation = Violation(
                message=str(broken),
                law=broken.law,
                at=self._now,
                log=log,
                environment=self._mix.settings.environment,
            )
        self.summary.conflicts = self._server.conflicts
        self.summary.facts = self._server.facts
        self.summary.mishaps = Counter({str(k): n for k, n in self._dice.thrown.items()})

    # --- When things happen ------------------------------------------------------------------

    def _after(self, seconds: float, step: Callable[[*Args], None], *args: *Args) -> None:
        self._at(self._now + timedelta(seconds=seconds), step, *args)

    def _at(self, instant: datetime, step: Callable[[*Args], None], *args: *Args) -> None:
        planned: Callable[[], None] = partial(step, *args)
        heapq.heappush(self._agenda, (instant, next(self._order), planned))

    def _arrival(self, client: Client) -> None:
        # Busy by day, quiet by night.
        daylight = 0.25 + 0.75 * (6 <= self._now.hour < 22)  # noqa: PLR2004 - hours of a day
        busy = self._mix.requests_per_hour * daylight
        self._after(self._dice.around(3600 / busy), self._arrival, client)
        user = self._people.anyone(client, self._now)
        if self._dice.strikes(Mishap.OUT_OF_TURN):
            coordinate = client.caller.coordinate(user.name)
            self._plan(user, self._pages.out_of_turn(coordinate, user.of(client)))
        if self._chance.randrange(100) < _ASKS:
            self._ask(client, user)
            return
        wish = self._chance.choices([*_WISHES], weights=[*_WISHES.values()])[0]
        self._want(wish, client, user)
        if self._dice.strikes(Mishap.DOUBLE_CLICK):
            self._want(wish, client, user)
        if self._dice.strikes(Mishap.BURST):
            greedy = self._chance.choice(("initiate", "initiate", "graduation", wish))
            for _ in range(12):
                self._want(greedy, client, user)

    def _upkeep(self) -> None:
        self._after(3600, self._upkeep)
        # No worker's clock and no transaction is as far behind.
        self.summary.purged += self._server.purge(self._now - _SLACK)

    # --- What clients ask --------------------------------------------------------------------

    def _want(self, wish: str, client: Client, user: User) -> None:
        key = None if wish in {"get", "account-state", "graduation"} else f"k-{next(self._numbers)}"
        request = self._people.request(wish, client, user, key, self._now)
        if request is None:
            return
        # What an operation calls out for, it calls out for at each try.
        calls_out = key is not None and self._dice.strikes(Mishap.CALLS_OUT)
        errand = ClientRequest(
            wish=wish,
            client=client,
            user=user,
            request=request,
            key=key,
            makes_external_call=calls_out,
        )
        self._send(errand)
        if key is None:
            return
        if self._dice.strikes(Mishap.KEY_REUSED):
            another = self._chance.choice((wish, "initiate"))
            other = self._people.request(another, client, user, key, self._now)
            again = attrs.evolve(errand, request=other or request, tries=0)
            for mean in (2, 120):
                self._after(self._dice.around(mean), self._send, again)
        if self._dice.strikes(Mishap.KEY_OLD):
            a_day_on = self._now + _DAY + _HOUR * self._chance.uniform(-1, 1)
            self._at(a_day_on, self._send, attrs.evolve(errand, tries=0))
        if self._dice.strikes(Mishap.ANSWER_ERASED):
            self._operate(RecordKey(client.caller.key_owner, IdempotencyKey(key)), user)

    def _operate(self, record: RecordKey, user: User) -> None:
        # Operators do not look what a record is before they act on it.
        for _ in range(2):
            act = self._chance.choice((self._erase, self._settle))
            self._after(self._dice.around(60), act, record, user)

    def _ask(self, client: Client, user: User) -> None:
        connection_id = self._people.some_id(client, user, self._now)
        if connection_id is None:
            return
        self._suspect = user.app_user
        package = self._chance.choice((*PACKAGES, "genomics"))
        answer = self._server.ask(client.caller, connection_id, package, self._now)
        self.summary.access[answer] += 1

    # --- The network -------------------------------------------------------------------------

    def _send(self, errand: ClientRequest) -> None:
        errand.tries += 1
        strikes = self._dice.strikes
        if strikes(Mishap.REQUEST_LOST):
            self._retry(errand)
            return
        late = self._dice.around(600) if strikes(Mishap.DELAYED) else 0
        self._after(late + self._dice.around(0.05), self._arrive, errand)
        if strikes(Mishap.DUPLICATED):
            self._after(self._dice.around(0.3), self._arrive, errand)

    def _retry(self, errand: ClientRequest) -> None:
        if errand.tries < _TRIES:
            self._after(self._dice.around(4.0**errand.tries), self._send, errand)

    # --- The workers -------------------------------------------------------------------------

    def _clock(self) -> datetime:
        worker = self._chance.randrange(_WORKERS)
        if self._dice.strikes(Mishap.CLOCK_MOVED):
            self._skew[worker] = timedelta(milliseconds=self._chance.randint(-1500, 1500))
        if self._dice.strikes(Mishap.CLOCKS_APART):
            # Any two clocks are five minutes apart at most.
            self._skew[worker] = self._chance.choice((-1, 1)) * _APART / 2
        return self._now + self._skew[worker]

    def _arrive(self, errand: ClientRequest) -> None:
        self.summary.requests += 1
        self.summary.asked[errand.wish] += 1
        self._load(errand)

    def _load(self, errand: ClientRequest) -> None:
        self._suspect = errand.user.app_user
        now = self._clock()
        work = self._server.load(errand.request, now)
        if isinstance(work, Answer):
            self._committed(errand, work, now)
            return
        if errand.makes_external_call:
            self._after(self._dice.around(0.02), self._call_out, errand, work)
            return
        slow = self._dice.around(40) if self._dice.strikes(Mishap.SLOW_WORKER) else 0
        self._after(slow + self._dice.around(0.03), self._commit, errand, work)

    def _commit(self, errand: ClientRequest, work: Transaction) -> None:
        if self._dice.strikes(Mishap.CRASH_BEFORE_STORE):
            self._retry(errand)
            return
        self._suspect = errand.user.app_user
        answer = self._server.commit(work, self._fresh(work.now))
        if answer is None:
            self._load(errand)
        else:
            self._committed(errand, answer, work.now)

    def _call_out(self, errand: ClientRequest, work: Transaction) -> None:
        self._suspect = errand.user.app_user
        lost = LostLeaseAction.UNKNOWN if self._dice.likely(0.5) else LostLeaseAction.EXECUTE
        answer = self._server.begin_external_call(
            work, self._fresh(work.now), values.MINUTE, lost=lost
        )
        if answer is not None:
            self._committed(errand, answer, work.now)
        elif work.attempt is None:
            self._load(errand)
        elif self._dice.strikes(Mishap.CALL_DIED):
            self._retry(errand)
            dead_for = 60 + self._dice.around(120)
            self._after(dead_for, self._settle, work.attempt.key, errand.user)
        else:
            if self._dice.strikes(Mishap.ANSWER_ERASED):
                self._operate(work.attempt.key, errand.user)
            if self._dice.likely(0.4):
                self._after(self._dice.around(60), self._renew, work, work.attempt)
            # One in twenty is away for longer than the key is kept.
            away = self._dice.around(40) if self._dice.likely(0.95) else 26 * 3600
            self._after(away, self._come_back, errand, work, work.attempt)
            if self._dice.likely(0.3):
                # The client does not wait for so long.
                self._retry(errand)

    def _renew(self, work: Transaction, attempt: Attempt) -> None:
        self._server.prolong(work, attempt=attempt, now=self._clock(), lease=2 * values.MINUTE)

    def _come_back(self, errand: ClientRequest, work: Transaction, attempt: Attempt) -> None:
        self._suspect = errand.user.app_user
        now = self._clock()
        answer = self._server.finish_external_call(work, attempt, now, new_ids=self._fresh(now))
        if answer is None:
            self._retry(errand)
        else:
            self._committed(errand, answer, work.now)

    def _fresh(self, now: datetime) -> NewIds:
        number = next(self._numbers)
        return NewIds(
            connection_id=values.ConnectionId(uuid_of(0xC, number)),
            session_id=values.SessionId(uuid_of(0x5, number)),
            user_id=values.UserId(f"limited-{number}"),
            next_action=values.NextAction(
                f"https://connect.example/{number}", now + _SECOND * 2 + _LIFETIME
            ),
        )

    def _erase(self, key: RecordKey, user: User) -> None:
        self._suspect = user.app_user
        self._server.erase(key, self._now)

    def _settle(self, key: RecordKey, user: User) -> None:
        self._suspect = user.app_user
        self._server.settle(key, self._now, answered=self._dice.likely(0.2))

    def _committed(self, errand: ClientRequest, answer: Answer, now: datetime) -> None:
        response = answer.response
        code = ""
        if b'"code":"' in response.body:
            code = " " + response.body.partition(b'"code":"')[2].partition(b'"')[0].decode()
        summary = self.summary
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
                    self._plan(errand.user, *self._pages.sign_ups(errand.user.name, after))
                case _:
                    pass
        if errand.wish == "graduation" and response.status < 400:  # noqa: PLR2004 - HTTP's own
            graduated = Graduated(errand.client.caller.coordinate(errand.user.name))
            self._plan(errand.user, (self._dice.around(300), graduated))
        dice = self._dice
        lost = dice.strikes(Mishap.CRASH_AFTER_STORE) or dice.strikes(Mishap.ANSWER_LOST)
        if lost or response.status == _TOO_MANY or code == " IDEMPOTENCY_KEY_IN_FLIGHT":
            self._retry(errand)

    def _note(self, errand: ClientRequest, answer: Answer, now: datetime) -> None:
        user = errand.user.app_user
        for write in answer.changes.writes:
            match write:
                case ConnectionWrite(Connection(status="PENDING"), Connection(status="ACTIVE")):
                    # A get that heals knows of a hand-off that a log must say.
                    after = write.after
                    healed = Authorized(after.id, after.expires_at, after.authorized_at)
                    self._journal.add(user, now, healed)
                case _:
                    pass
        if not answer.rules[-1].startswith(_UNTOLD):
            self._journal.add(user, now, errand.request, answer.response)

    # --- The hosted pages and the upstreams --------------------------------------------------

    def _show_page(self, user: User, connection_id: values.ConnectionId) -> None:
        seconds = self._pages.seconds_on_page()
        if seconds is not None:
            self._after(seconds, self._land, user, connection_id)

    def _land(self, user: User, connection_id: values.ConnectionId) -> None:
        fact = self._pages.authorization(connection_id, self._now)
        if self._dice.strikes(Mishap.RECORDED_LATE):
            self._server.landed[connection_id] = LandedHandoff(self._now, fact.expires_at)
            self._plan(user, (self._dice.around(2400), fact))
        else:
            self._record(user, fact)

    def _plan(self, user: User, *planned: Planned) -> None:
        for seconds, fact in planned:
            self._after(seconds, self._record, user, fact)

    def _record(self, user: User, fact: Fact) -> None:
        if self._dice.strikes(Mishap.RECORDED_LATE):
            # It happened now and is written down later.
            fact = with_happened_at(fact, fact.happened_at or self._now)
            self._after(self._dice.around(900), self._load_fact, user, fact)
        else:
            self._load_fact(user, fact)
        if self._dice.strikes(Mishap.RECORDED_TWICE):
            self._after(self._dice.around(30), self._load_fact, user, fact)

    def _load_fact(self, user: User, fact: Fact) -> None:
        work = self._server.load_fact(fact, self._clock())
        crossed = self._dice.strikes(Mishap.CROSSED)
        if crossed:
            self._cross(user)
        slow = self._dice.around(40) if crossed or self._dice.strikes(Mishap.SLOW_WORKER) else 0
        self._after(slow + self._dice.around(0.03), self._commit_fact, user, work)

    def _cross(self, user: User) -> None:
        account = user.app_user.customer_account_id
        clients = [
            each for each in self._people.clients if each.caller.customer_account_id == account
        ]
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
            self._plan(user, *self._pages.after_authorization(work.fact.connection_id))
