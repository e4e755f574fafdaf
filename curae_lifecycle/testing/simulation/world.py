"""A world of apps, users, hosted pages, networks and workers, on simulated time.

The laws of this module:

- **The seed decides everything**, and no clock is read.
- **Everything is a step scheduled for an instant.** Of two steps at one instant, the one that was
  scheduled first runs first.

A request is at least two steps, its load and its commit, so transactions overlap.
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
from curae_lifecycle.rules.connection import ConnectionIdentity
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Attempt, IdempotencyKey, LostLeaseAction, RecordKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff
from curae_lifecycle.service.writes import ConnectionWrite, SessionWrite
from curae_lifecycle.testing.factories import with_happened_at
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.request_store import RequestStore
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore, StoreWithApiKeys
from curae_lifecycle.testing.simulation.clients import (
    PACKAGES,
    Client,
    ClientRequest,
    Population,
    User,
)
from curae_lifecycle.testing.simulation.clocks import TOLERANCE, Clocks
from curae_lifecycle.testing.simulation.hosted_pages import DelayedFact, FactSource
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap, WorldProfile
from curae_lifecycle.testing.simulation.server import FactTransaction, OpenRequest, SimulatedServer
from curae_lifecycle.testing.simulation.summary import RuleBrokenError, Summary, Violation
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.respond import Answer

Args = TypeVarTuple("Args")

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""The instant at which every simulated world begins, a Monday."""

MAX_CLIENTS: Final = 1000
"""The largest number of apps in a simulated world."""

MAX_HOURS: Final = 1_000_000
"""The largest number of hours in a simulated world: 114 years, so no instant is past year 9999."""

_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_PURGE_MARGIN: Final = timedelta(hours=3)
_STEP_SECONDS: Final = 600
_MEAN_SECONDS_WRONG: Final = 1200
_MEAN_SECONDS_TO_SHIP: Final = 60
_MAX_TRIES: Final = 5
_KNOWN_IDS: Final = 5
_TOO_MANY: Final = 429

_ACCESS_PERCENT: Final = 10
"""The percentage of a client's acts that are access questions instead of requests."""


class Simulation:
    """One simulated world of apps, users, hosted pages, a failing network and a server.

    Args:
        seed: The seed, which decides everything that happens.
        clients: The number of apps.
        hours: The number of simulated hours.
        make_store: Makes an empty store for the server's settings.
        watched: Whether a `Watch` checks the laws at each step.

    Attributes:
        summary: The counts so far. Its `conflicts`, `shipped` (delivered outbox messages), `facts`
            and `mishaps` are set only when `run` ends.

    Raises:
        ArgumentError: `clients` is not from 1 to `MAX_CLIENTS`, or `hours` not from 1 to
            `MAX_HOURS`.
    """

    def __init__(
        self,
        seed: int,
        *,
        clients: int = 1,
        hours: int = 24,
        make_store: Callable[[Settings], StoreWithApiKeys],
        watched: bool = True,
    ) -> None:
        """Draw the world's profile and set up its clients."""
        for name, number, most in (("clients", clients, MAX_CLIENTS), ("hours", hours, MAX_HOURS)):
            if not 1 <= number <= most:
                raise ArgumentError(name, f"from 1 to {most:,}", str(number))
        random = Random(seed)  # noqa: S311 - a world's dice, no secret
        self._random = random
        self._profile = WorldProfile.draw(random)
        self._dice = Dice(random, self._profile)
        settings = self._profile.settings
        store = SimulatedClockStore(make_store(settings), START)
        watch = Watch(settings.operations, checks_buckets=True) if watched else None
        self._journal = Journal()
        self._server = SimulatedServer(store, settings=settings, watch=watch, journal=self._journal)
        self.summary = Summary(seed, clients)
        self._hours = hours
        self._now = START
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._step_numbers = count()
        self._numbers = count(1)
        self._clocks = Clocks(self._dice)
        self._population = Population(
            number=clients,
            dice=self._dice,
            numbers=self._numbers,
            journal=self._journal,
            store=store,
            now=START,
        )
        self._pages = FactSource(self._dice, self._numbers)

    def run(self) -> Iterator[int]:
        """Run the simulated world until its last hour, or until a law or rule is broken.

        The broken law or rule is not raised, but is in the `violation` of `summary`.

        Yields:
            After each simulated hour, the number of hours that have ended.
        """
        for client in self._population.clients:
            self._schedule_in(self._dice.around(60), self._act, client)
        self._schedule_in(1800, self._purge)
        self._schedule_in(_STEP_SECONDS, self._step_clocks)
        self._schedule_in(_MEAN_SECONDS_TO_SHIP, self._ship)
        try:
            for hour in range(1, self._hours + 1):
                end = START + hour * _HOUR
                while self._agenda[0][0] < end:
                    self._now, _, step = heapq.heappop(self._agenda)
                    step()
                self.summary.hours = hour
                yield hour
        except (LawBrokenError, RuleBrokenError) as broken:
            self.summary.violation = Violation(
                message=str(broken),
                law=broken.law if isinstance(broken, LawBrokenError) else None,
                at=self._now,
                log=tuple(self._journal.lines(self._server.current_user)),
                environment=self._profile.settings.environment,
            )
        finally:
            self._server.outbox.close()
        self.summary.conflicts = self._server.conflicts
        self.summary.shipped = self._server.outbox.shipped
        self.summary.facts = self._server.facts
        self.summary.mishaps = Counter({str(k): n for k, n in self._dice.counts.items()})

    # --- Steps --------------------------------------------------------------------------------

    def _schedule_in(self, seconds: float, step: Callable[[*Args], None], *args: *Args) -> None:
        self._schedule_at(self._now + timedelta(seconds=seconds), step, *args)

    def _schedule_at(self, at: datetime, step: Callable[[*Args], None], *args: *Args) -> None:
        scheduled: Callable[[], None] = partial(step, *args)
        heapq.heappush(self._agenda, (at, next(self._step_numbers), scheduled))

    def _act(self, client: Client) -> None:
        # Apps are busy by day and quiet by night.
        daylight = 0.25 + 0.75 * (6 <= self._now.hour < 22)  # noqa: PLR2004 - hours of a day
        acts_per_hour = self._profile.requests_per_hour * daylight
        self._schedule_in(self._dice.around(3600 / acts_per_hour), self._act, client)
        user = self._population.pick_user(client, self._now)
        if self._dice.strikes(Mishap.UNEXPECTED_FACT):
            coordinate = client.caller.coordinate(user.name)
            known = user.ids_known_by(client)
            self._schedule_facts(user, self._pages.unexpected_fact(coordinate, known))
        if self._random.randrange(100) < _ACCESS_PERCENT:
            self._decide_access(client, user)
            return
        operation = self._population.draw_operation()
        self._start_request(operation, client, user)
        if self._dice.strikes(Mishap.DOUBLE_CLICK):
            self._start_request(operation, client, user)
        if self._dice.strikes(Mishap.BURST):
            repeated = self._random.choice(("initiate", "initiate", "graduation", operation))
            for _ in range(12):
                self._start_request(repeated, client, user)

    def _purge(self) -> None:
        self._schedule_in(3600, self._purge)
        # No worker's clock and no transaction is behind by as much as the margin.
        self.summary.purged += self._server.purge(self._clocks.earliest(self._now) - _PURGE_MARGIN)

    def _ship(self) -> None:
        self._schedule_in(self._dice.around(_MEAN_SECONDS_TO_SHIP), self._ship)
        clock = self._clocks.shown(self._now)
        self._server.current_user = None
        self._server.outbox.ship(
            self._now, clock, dies=lambda: self._dice.strikes(Mishap.SHIPPER_DIED)
        )

    def _step_clocks(self) -> None:
        self._schedule_in(_STEP_SECONDS, self._step_clocks)
        # A store whose clock cannot be set would not follow the step: while the others are a year
        # behind, it would drop idempotency records as old that were made just before.
        if self._server.has_settable_clock and self._clocks.maybe_step():
            self._server.limit_purge_to(self._clocks.earliest(self._now) - _PURGE_MARGIN)
            self._schedule_in(self._dice.around(_MEAN_SECONDS_WRONG), self._clocks.put_right)

    # --- Clients ------------------------------------------------------------------------------

    def _start_request(self, operation: str, client: Client, user: User) -> None:
        unkeyed = operation in {"get", "account-state", "graduation"}
        key = None if unkeyed else f"k-{next(self._numbers)}"
        request = self._population.request(operation, client, user, key=key, now=self._now)
        if request is None:
            return
        makes_external_call = key is not None and self._dice.strikes(Mishap.EXTERNAL_CALL)
        sent = ClientRequest(
            operation=operation,
            client=client,
            user=user,
            request=request,
            key=key,
            makes_external_call=makes_external_call,
        )
        self._send(sent)
        if key is None:
            return
        if self._dice.strikes(Mishap.KEY_REUSED):
            another = self._random.choice((operation, "initiate"))
            other = self._population.request(another, client, user, key=key, now=self._now)
            reused = attrs.evolve(sent, request=other or request, tries=0)
            for mean in (2, 120):
                self._schedule_in(self._dice.around(mean), self._send, reused)
        if self._dice.strikes(Mishap.KEY_OLD):
            a_day_later = self._now + _DAY + _HOUR * self._random.uniform(-1, 1)
            self._schedule_at(a_day_later, self._send, attrs.evolve(sent, tries=0))
        if self._dice.strikes(Mishap.ANSWER_ERASED):
            self._schedule_operator(RecordKey(client.caller.key_owner, IdempotencyKey(key)), user)

    def _schedule_operator(self, record: RecordKey, user: User) -> None:
        # Operators do not look at the state of a record before they change it.
        for _ in range(2):
            act = self._random.choice((self._erase_response, self._resolve_attempt))
            self._schedule_in(self._dice.around(60), act, record, user)

    def _decide_access(self, client: Client, user: User) -> None:
        connection_id = self._population.pick_connection_id(client, user, self._now)
        if connection_id is None:
            return
        self._server.current_user = user.app_user
        package = self._random.choice((*PACKAGES, "genomics"))
        now = self._clocks.shown(self._now)
        answer = self._server.decide_access(client.caller, connection_id, package, now=now)
        self.summary.access[answer] += 1

    # --- The network --------------------------------------------------------------------------

    def _send(self, sent: ClientRequest) -> None:
        sent.tries += 1
        strikes = self._dice.strikes
        if strikes(Mishap.REQUEST_LOST):
            self._retry(sent)
            return
        delay = self._dice.around(600) if strikes(Mishap.DELAYED) else 0
        self._schedule_in(delay + self._dice.around(0.05), self._receive, sent)
        if strikes(Mishap.DUPLICATED):
            self._schedule_in(self._dice.around(0.3), self._receive, sent)

    def _retry(self, sent: ClientRequest) -> None:
        if sent.tries < _MAX_TRIES:
            self._schedule_in(self._dice.around(4.0**sent.tries), self._send, sent)

    # --- The workers --------------------------------------------------------------------------

    def _receive(self, sent: ClientRequest) -> None:
        self.summary.requests += 1
        self.summary.asked[sent.operation] += 1
        self._load(sent)

    def _load(self, sent: ClientRequest, store: RequestStore | None = None) -> None:
        self._server.current_user = sent.user.app_user
        now = self._clocks.draw_worker(self._now)
        loaded = self._server.load(sent.request, now, store)
        if isinstance(loaded, Answer):
            self._handle_answer(sent, loaded)
            return
        if sent.makes_external_call:
            self._schedule_in(self._dice.around(0.02), self._begin_external_call, sent, loaded)
            return
        meets = sent.key is not None and self._may_meet_tombstone(sent.user, sent.client)
        slow = meets or self._dice.strikes(Mishap.SLOW_WORKER)
        delay = self._dice.around(40) if slow else 0
        self._schedule_in(delay + self._dice.around(0.03), self._commit, sent, loaded)

    def _commit(self, sent: ClientRequest, transaction: OpenRequest) -> None:
        if self._dice.strikes(Mishap.CRASH_BEFORE_STORE):
            self._retry(sent)
            return
        self._server.current_user = sent.user.app_user
        answer = self._server.commit(transaction, self._pages.new_ids(transaction.now))
        if answer is None:
            self._load(sent, transaction.store)
        else:
            self._handle_answer(sent, answer)

    def _begin_external_call(self, sent: ClientRequest, transaction: OpenRequest) -> None:
        self._server.current_user = sent.user.app_user
        unknown = self._dice.likely(0.5)
        lost_lease = LostLeaseAction.UNKNOWN if unknown else LostLeaseAction.EXECUTE
        answer = self._server.begin_external_call(
            transaction,
            self._pages.new_ids(transaction.now),
            lease=values.MINUTE,
            lost_lease=lost_lease,
        )
        if answer is not None:
            self._handle_answer(sent, answer)
        elif transaction.attempt is None:
            self._load(sent, transaction.store)
        elif self._dice.strikes(Mishap.DIED_DURING_CALL):
            self._retry(sent)
            delay = 60 + self._dice.around(120)
            self._schedule_in(delay, self._resolve_attempt, transaction.attempt.key, sent.user)
        else:
            self._await_external_call(sent, transaction, transaction.attempt)

    def _await_external_call(
        self, sent: ClientRequest, transaction: OpenRequest, attempt: Attempt
    ) -> None:
        if self._dice.strikes(Mishap.ANSWER_ERASED):
            self._schedule_operator(attempt.key, sent.user)
        if self._dice.likely(0.4):
            self._schedule_in(self._dice.around(60), self._renew_lease, sent, transaction, attempt)
        # One call in twenty takes longer than the retention of the key.
        duration = self._dice.around(40) if self._dice.likely(0.95) else 26 * 3600
        self._schedule_in(duration, self._finish_external_call, sent, transaction, attempt)
        if self._dice.likely(0.3):
            # The client has a timeout, and retries while the call still runs.
            self._retry(sent)

    def _renew_lease(self, sent: ClientRequest, transaction: OpenRequest, attempt: Attempt) -> None:
        self._server.current_user = sent.user.app_user
        now = self._clocks.draw_worker(self._now)
        self._server.renew_lease(transaction, attempt, now=now, lease=2 * values.MINUTE)

    def _finish_external_call(
        self, sent: ClientRequest, transaction: OpenRequest, attempt: Attempt
    ) -> None:
        self._server.current_user = sent.user.app_user
        now = self._clocks.draw_worker(self._now)
        answer = self._server.finish_external_call(
            transaction, attempt, now=now, new_ids=self._pages.new_ids(now)
        )
        if answer is None:
            self._retry(sent)
        else:
            self._handle_answer(sent, answer)

    def _erase_response(self, key: RecordKey, user: User) -> None:
        self._server.current_user = user.app_user
        self._server.erase_response(key, self._clocks.shown(self._now))

    def _resolve_attempt(self, key: RecordKey, user: User) -> None:
        self._server.current_user = user.app_user
        now = self._clocks.shown(self._now)
        self._server.resolve_attempt(key, now, took_effect=self._dice.likely(0.2))

    def _handle_answer(self, sent: ClientRequest, answer: Answer) -> None:
        response = answer.response
        code = ""
        if b'"code":"' in response.body:
            code = " " + response.body.partition(b'"code":"')[2].partition(b'"')[0].decode()
        self.summary.answers[f"{response.status}{code}"] += 1
        self.summary.replays += answer.replayed
        for write in answer.changes.writes:
            if isinstance(write, ConnectionWrite) and write.before is None:
                known = sent.user.ids_known_by(sent.client)
                known.append(write.after.id)
                del known[:-_KNOWN_IDS]
        self._follow_page(sent, answer)
        strikes = self._dice.strikes
        lost = strikes(Mishap.CRASH_AFTER_STORE) or strikes(Mishap.ANSWER_LOST)
        if lost or response.status == _TOO_MANY or code == " IDEMPOTENCY_KEY_IN_FLIGHT":
            self._retry(sent)

    # --- Hosted pages and upstreams -----------------------------------------------------------

    def _follow_page(self, sent: ClientRequest, answer: Answer) -> None:
        page, url = self._server.shown or (None, None)
        for write in answer.changes.writes:
            match write:
                case ConnectionWrite(_, after) if after.status == "PENDING":
                    self._show_page(sent.user, after.identity, url)
                case SessionWrite(None, after):
                    sign_ups = self._pages.sign_ups(sent.user.name, after, url)
                    self._schedule_facts(sent.user, *sign_ups)
                case _:
                    pass
        if page is not None and page.kind is PageKind.USER:
            self._schedule_facts(sent.user, self._pages.graduation(page, url))

    def _show_page(self, user: User, identity: ConnectionIdentity, url: str | None) -> None:
        seconds = self._pages.seconds_on_page()
        if seconds is not None:
            self._schedule_in(seconds, self._land_handoff, user, identity, url)

    def _land_handoff(self, user: User, identity: ConnectionIdentity, url: str | None) -> None:
        now = self._clocks.shown(self._now)
        late = self._dice.strikes(Mishap.RECORDED_LATE)
        # A fact that is reported later, or by another way, names no page.
        named = None if late else self._pages.maybe_name(url)
        fact = self._pages.authorization(identity, now, named)
        if late:
            self._server.unrecorded[identity.id] = LandedHandoff(now, fact.expires_at)
            self._schedule_facts(user, (self._dice.around(2400), fact))
        else:
            self._record_fact(user, fact)

    def _schedule_facts(self, user: User, *facts: DelayedFact) -> None:
        for seconds, fact in facts:
            self._schedule_in(seconds, self._record_fact, user, fact)

    def _record_fact(self, user: User, fact: Fact) -> None:
        if self._dice.strikes(Mishap.RECORDED_LATE):
            fact = with_happened_at(fact, fact.happened_at or self._clocks.shown(self._now))
            self._schedule_in(self._dice.around(900), self._load_fact, user, fact)
        else:
            self._load_fact(user, fact)
        if self._dice.strikes(Mishap.RECORDED_TWICE):
            self._schedule_in(self._dice.around(30), self._load_fact, user, fact)

    def _load_fact(self, user: User, fact: Fact) -> None:
        now = self._clocks.draw_worker(self._now)
        if fact.happened_at is not None and fact.happened_at > now + TOLERANCE:
            # A clock that ran ahead reported this instant, and has been put right since.
            fact = with_happened_at(fact, now)
        transaction = self._server.load_fact(fact, now)
        concurrent = self._dice.strikes(Mishap.CONCURRENT_REQUEST)
        if concurrent:
            self._start_concurrent_request(user)
        meets = self._may_meet_tombstone(user, self._random.choice(self._clients_of(user)))
        slow = concurrent or meets or self._dice.strikes(Mishap.SLOW_WORKER)
        delay = self._dice.around(40) if slow else 0
        self._schedule_in(delay + self._dice.around(0.03), self._commit_fact, user, transaction)

    def _start_concurrent_request(self, user: User) -> None:
        client = self._random.choice(self._clients_of(user))
        operation = self._random.choice(("reconnect", "reconnect", "reconnect", "initiate"))
        self._start_request(operation, client, user)

    def _may_meet_tombstone(self, user: User, client: Client) -> bool:
        """Record a tombstone during a request or a fact if that mishap happens now."""
        if not self._dice.strikes(Mishap.CONCURRENT_TOMBSTONE):
            return False
        tombstone = Tombstoned(client.caller.coordinate(user.name))
        self._schedule_facts(user, (self._dice.around(1), tombstone))
        return True

    def _clients_of(self, user: User) -> list[Client]:
        account = user.app_user.customer_account_id
        clients = self._population.clients
        return [each for each in clients if each.caller.customer_account_id == account]

    def _commit_fact(self, user: User, transaction: FactTransaction) -> None:
        self._server.current_user = user.app_user
        fact = transaction.fact
        answer = self._server.commit_fact(transaction)
        if answer is None:
            self._load_fact(user, fact)
            return
        if not isinstance(fact, Authorized):
            return
        self._server.unrecorded.pop(fact.connection_id, None)
        if isinstance(answer, Done):
            self._schedule_facts(user, *self._pages.after_authorization(fact.connection_id))
