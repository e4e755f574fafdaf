"""A server for the kit around any store: `serve`, the hooks, and a simulated clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache, partial
from itertools import count
from typing import Final, cast

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.outcomes import Ignored
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ApiKeyId, ConnectionId, Environment, SessionId, UserId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, require_connection
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RateWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.blocking import Method, has_clock, method_of
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of
from curae_lifecycle.testing.conformance.server import ApiKeyRequest, Outbox, Server
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore, StoreWithApiKeys
from curae_lifecycle.web.request import Request

START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""The first simulated instant for a store whose clock can be replaced."""

_ROUNDS: Final = 5
"""How often each race is run."""

_IDS: Final = RandomIds("https://connect.example/")


def server_for_store(store: StoreWithApiKeys, environment: Environment | None = None) -> Server:
    """Return a server for the kit that runs in this process on a simulated clock.

    Args:
        store: An empty store, in which the server keeps everything. The kit calls the store from
            several threads. It also checks the methods `withdraw`, `hosted_page`, `purge` and
            `outbox` that the store has.
        environment: The only environment that the server serves; `None` if it serves both.
    """
    return StoreHooks(store).server(environment)


class StoreHooks(FactHooks):
    """The kit's hooks for a server in this process that keeps everything in a given store.

    A hook is a function by which a check does what no request can, such as recording a fact.

    The server runs on a simulated clock, which starts at `START`. If the store's own clock cannot
    be replaced, the simulated clock starts at the store's current instant. The checks then move the
    simulated clock alone, by hours. The store's clock falls behind, so the store drops no value
    that is live for the kit.

    Args:
        store: An empty store.
    """

    def __init__(self, store: StoreWithApiKeys) -> None:
        start = START if has_clock(store) else store.load(Needs()).now
        self._store = _RenamedBuckets(store, start)
        self._buckets: tuple[Bucket, ...] = ()
        self._numbers = count(1)
        self._page = method_of(store, "hosted_page")
        self._withdraw = method_of(store, "withdraw")
        self._purge = method_of(store, "purge")
        self._outbox = _outbox_of(store)

    def server(self, environment: Environment | None = None) -> Server:
        """Return a server for the kit, with every hook that the methods of the store allow.

        A hook is a function by which a check does what no request can, such as recording a fact.

        Args:
            environment: The only environment that the server serves; `None` if it serves both.
        """
        plain = self.as_server(partial(self._send, environment), environment)
        return attrs.evolve(
            plain,
            turn_clock_back=self.turn_clock_back,
            change_key_id=self.change_key_id,
            withdraw=None if self._withdraw is None else self.withdraw,
            finish=None if self._page is None else self.finish,
            cancel=None if self._page is None else self.cancel,
            purge=None if self._purge is None else self.purge,
            outbox=self._outbox,
            race_rounds=_ROUNDS,
        )

    def _send(self, environment: Environment | None, request: Request) -> Response:
        settings = _settings_of(environment, self._buckets)
        answer = serve(self._store, request=request, id_factory=_IDS, settings=settings)
        # A web server adds the date to every response, also to a replayed one.
        date = ("date", format_datetime(self._store.now, usegmt=True))
        return attrs.evolve(answer.response, headers=(*answer.response.headers, date))

    def make_key(self, wanted: ApiKeyRequest) -> str:
        """Register a new API key for the caller that `wanted` describes, and return its text."""
        text = f"cae_{wanted.environment}_{next(self._numbers)}"
        self.register_again(text, wanted)
        return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        """Register an existing API key again, for the caller that `wanted` describes.

        The id of the key is the one that `make_key` gave it.
        """
        self._store.register(ApiKey(api_key), caller_of(api_key, wanted))

    def change_key_id(self, api_key: str, wanted: ApiKeyRequest) -> None:
        """Register an existing API key again as `wanted` describes, under an unused key id.

        Idempotency keys and rate limits belong to the key id, so they start anew.
        """
        caller = caller_of(api_key, wanted)
        new_id = ApiKeyId(f"{caller.api_key_id}-{next(self._numbers)}")
        self._store.register(ApiKey(api_key), attrs.evolve(caller, api_key_id=new_id))

    def pass_time(self, span: timedelta) -> None:
        """Move the simulated clock forward by `span`.

        A store whose own clock can be set gets the same instant, and its method `purge`, if any, is
        called.
        """
        self._store.now += span
        if self._store.has_settable_clock:
            self.purge()

    def turn_clock_back(self, span: timedelta) -> None:
        """Move the simulated clock back by `span`, like an operator who corrects a fast clock."""
        self._store.now -= span

    def purge(self) -> None:
        """Delete the stored values whose retention has ended.

        The retention is judged at the simulated instant, or by the store's own clock if a test
        cannot replace that clock.
        """
        if self._store.has_settable_clock:
            _call(lambda: self._store.purge(self._store.now), "purge")
        else:
            _call(cast("Method", self._purge), "purge")

    def withdraw(self, api_key: str) -> None:
        """Call the store's method `withdraw` for an API key, which is unknown from then on."""
        withdraw = cast("Method", self._withdraw)
        _call(lambda: withdraw(ApiKey(api_key)), "withdraw")

    def may_read(self, connection_id: str, package: str) -> bool:
        """Return whether the access rules let a data package of a connection be read now.

        For an unknown connection, the result is False.
        """
        loaded = self._store.load(Needs(connection=ConnectionId(connection_id)))
        connection = loaded.snapshot.connection
        if connection is None:
            return False
        era = present_era(loaded.snapshot.binding)
        return isinstance(decide_access(connection, package, loaded.now, era=era), Granted)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        """Replace the rate limits of every API key with `buckets`, all full.

        With `None`, no API key has a rate limit, as when this server started.
        """
        self._buckets = buckets or ()
        self._store.generation += 1

    def clock(self) -> datetime:
        """Return the simulated instant."""
        return self._store.now

    def record_fact(self, fact: Fact) -> FactAnswer:
        """Record a fact in the store and return the answer: done, ignored or refused."""
        return record(self._store, fact)

    # --- Hosted pages -----------------------------------------------------------------------

    def finish(self, url: str) -> str:
        """Complete the hosted page of a URL, as its user does; this records a fact.

        Returns:
            The outcome of the fact: `done`, `ignored` or a problem code. If the URL leads to no
            page, `gone`.
        """
        page = self._find_page(url)
        return "gone" if page is None else self.record(_finish_fact(page, url))

    def cancel(self, url: str) -> str:
        """Decline on the hosted page of a URL; this revokes a connection that was never authorized.

        Returns:
            `gone` if the URL leads to no page. `ignored` for a page about a session or a user, and
            if the connection or a successor was authorized before. Otherwise the outcome of the
            revocation: `done`, `ignored` or a problem code.
        """
        page = self._find_page(url)
        if page is None:
            return "gone"
        if page.kind is not PageKind.CONNECTION:
            return "ignored"
        return self.record(_Declined(ConnectionId(page.subject), Actor.PATIENT, page_url=url))

    def _find_page(self, url: str) -> HostedPage | None:
        find = cast("Method", self._page)
        return cast("HostedPage | None", _call(lambda: find(url), "hosted_page"))


@cache
def _settings_of(environment: Environment | None, buckets: tuple[Bucket, ...]) -> Settings:
    # Each `Settings` checks all operations, and every request needs one.
    return Settings(environment, buckets)


@attrs.frozen
class _Declined(Revoked):
    """The patient declined on the page, which does nothing after an authorization."""

    def judge(self, snapshot: Snapshot, now: datetime) -> FactAnswer:
        """Judge as a revocation does, unless a connection that it reaches was authorized."""
        reached = (require_connection(snapshot), *snapshot.following)
        if any(each.authorized_at is not None for each in reached):
            return Ignored(NO_CHANGES, ("a finished page cancels nothing",))
        return super().judge(snapshot, now)


def _finish_fact(page: HostedPage, url: str) -> Fact:
    match page.kind:
        case PageKind.CONNECTION:
            return Authorized(ConnectionId(page.subject), page_url=url)
        case PageKind.SESSION:
            user_id = UserId(f"user-{page.digest}")
            return HandoffCompleted(SessionId(page.subject), user_id, page_url=url)
        case PageKind.USER:
            return Graduated(page.coordinate, page.user_id, page_url=url)


def _outbox_of(store: object) -> Callable[[], Outbox] | None:
    found = method_of(store, "outbox")
    if found is not None:
        return lambda: cast("Outbox", _call(found, "outbox"))
    if not isinstance(store, MemoryStore):
        return None
    # A store in memory hands its messages to a function and keeps none.
    delivered: list[dict[str, Json]] = []
    deliver = store.deliver

    def collect(changes: Changes) -> None:
        if deliver is not None:
            deliver(changes)
        delivered.extend([each.document for each in messages(changes, store.settings)])

    store.deliver = collect
    return lambda: [*delivered]


def _call(method: Callable[[], object], name: str) -> object:
    # The hooks are the kit's own, so a failure names the method of the store.
    try:
        return method()
    except Exception as error:
        error.add_note(f"the store's method {name} raised this")
        raise


class _RenamedBuckets(SimulatedClockStore):
    """A store whose buckets are full again whenever the generation changes.

    Stores have no method that fills a bucket, so each generation gives the buckets new names.
    """

    generation = 0

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        buckets = tuple([self._rename(key) for key in needs.buckets])
        return super().load(attrs.evolve(needs, buckets=buckets), key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([self._rename_write(write) for write in changes.writes])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        renamed = tuple([self._rename_charge(write) for write in charges])
        return super().charge(loaded, renamed, durable=durable)

    def _rename_write(self, write: Write) -> Write:
        if isinstance(write, RateWrite):
            return self._rename_charge(write)
        return write

    def _rename_charge(self, write: RateWrite) -> RateWrite:
        if isinstance(write.key, BucketKey):
            return attrs.evolve(write, key=self._rename(write.key))
        return write

    def _rename(self, key: BucketKey) -> BucketKey:
        name = f"{key.bucket.name}-{self.generation}"
        return attrs.evolve(key, bucket=attrs.evolve(key.bucket, name=name))
