"""Arenas: the stores that races run in, set up for a scenario, with their contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import count
from typing import Protocol, TypeVar

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import PageWrite, RateWrite, RecordWrite, SessionWrite, Write
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races.outbox import OutboxRecorder
from curae_lifecycle.testing.races.scenarios import (
    PAST_PAGES,
    START,
    RaceTenant,
    Scenario,
    at,
    commit_with_retries,
)
from curae_lifecycle.testing.request_store import RequestStore
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys

Content = Mapping[str, str]
"""The contents of a store, for comparison: the text of each value, or part of one, by its name."""

AnyStore = TypeVar("AnyStore", bound=Store, covariant=True)


class Arena(Protocol[AnyStore]):
    """A store under test, prepared for races, each of which runs two or three actions at once.

    An action is a request or a fact. Races run one after the other. Each has a separate tenant: an
    app user whose values no other race uses.
    """

    def set_up(self, scenario: Scenario) -> RaceTenant:
        """Prepare a new tenant for a race, and set the store's clock to the instant of the race.

        A tenant is an app user whose values no other race uses. Preparing it runs the earlier
        actions of the scenario, and no others.

        Args:
            scenario: The scenario of the race.

        Returns:
            The tenant.
        """
        ...

    def stores(self) -> tuple[AnyStore, AnyStore]:
        """Return two objects for the tested store, one for each action in a race of two.

        They may be two connections to one database, or the same object twice. In a race of three,
        and for an action that runs alone, this is called once for each action. The action then uses
        only the first object.
        """
        ...

    def content(self, tenant: RaceTenant, touched: Iterable[Write]) -> Content:
        """Return the stored values of a tenant, for comparison with those of another tenant.

        A tenant is the app user of one race. One tenant's actions raced. Another tenant ran the
        same actions one after the other, in the arena that `reference()` returns. Both arenas must
        return equal names and texts for equal values. The ids of a tenant begin with its
        `id_prefix`, so replace that prefix by a text that is the same for all tenants.

        Args:
            tenant: The tenant.
            touched: All writes that the tenant's actions tried to commit: they name the values to
                return. A hosted page that they tried to register is named by a `PageWrite` whose
                `before` and `after` are both that page.

        Returns:
            The text of each stored value, or of a part of it, by a name such as `connection 1`. Of
            the stored values, those that `touched` names and the session `tenant.open_session_id`
            are required. Other values of the tenant are allowed if the arena of `reference()`
            returns them, too.
        """
        ...

    def reference(self) -> Arena[Store]:
        """Return an arena with a correct store, to find the contents that a race should leave.

        After a race, its actions run again in this store, one after the other. The contents of the
        tested store are then compared with those of this one.
        """
        ...


class StoreArena:
    """An arena in which two actions race on one store object, for any store.

    An action is a request or a fact. Each race has a separate tenant, an app user, in the store.
    After a race, the contents of the tenant are compared with those of a `MemoryStore` in which the
    same two actions ran in sequence. The store may hold the tenants of earlier arenas. The outbox
    of the store is compared when `outbox_differences` is called.

    Args:
        store: The store, which both actions of a race use.
    """

    def __init__(self, store: StoreWithApiKeys) -> None:
        self._store = OutboxRecorder(store, START)
        self._numbers = count(1)

    def set_up(self, scenario: Scenario) -> RaceTenant:
        """Prepare and return a new tenant, which is the app user of one race.

        This runs the earlier actions of the scenario, and sets the store's clock to the instant of
        the race.
        """
        settings = _settings_with(scenario.buckets)
        tenant = RaceTenant.of(next(self._numbers), settings)
        # Another arena may have used the store before.
        while self._store.caller_of(tenant.digest) is not None:
            tenant = RaceTenant.of(next(self._numbers), settings)
        self._store.register(ApiKey(tenant.api_key), tenant.caller)
        for minutes, action in scenario.before(tenant):
            self._store.now = at(minutes)
            commit_with_retries(self.stores()[0], action)
        self._store.now = at(scenario.race_minute)
        return tenant

    def stores(self) -> tuple[Store, Store]:
        """Return the store for each of the two racing actions.

        Both get the same object. If the store charges API keys' rate limits before the commit, each
        gets a `RequestStore` instead: a wrapper that charges them only once for one request.
        """
        if self._store.charges_apart:
            return RequestStore(self._store), RequestStore(self._store)
        return self._store, self._store

    def outbox_differences(self) -> tuple[str, ...]:
        """Return how the store's outbox differs from the messages of all accepted commits.

        Returns:
            The differences, each as "message: count, not expected count". Empty if there are none
            or nothing could be compared; `reason_outbox_not_compared` tells which.
        """
        return self._store.outbox_differences()

    def reason_outbox_not_compared(self) -> str | None:
        """Return the reason why `outbox_differences` can compare nothing; None if it can."""
        return self._store.reason_not_compared()

    def reference(self) -> Arena[Store]:
        """Return an arena with a new `MemoryStore`, in which a race's actions run in sequence.

        The race itself runs on the tested store. Afterwards that store must hold what such a
        `MemoryStore` holds after one order of the actions.
        """
        return StoreArena(MemoryStore())

    def content(self, tenant: RaceTenant, touched: Iterable[Write]) -> Content:
        """Return the stored values that a race can change, as text that can be compared.

        A tenant is the app user of one race. The values are:

        - the binding of the tenant, and its session `open_session_id`
        - its connections, and the successor and the newest connection in the chain of each
        - the hosted pages of the requests in `PAST_PAGES`, which run before the race
        - the sessions, idempotency records, rate limits and registered pages of `touched`

        Text that differs between tenants is replaced or left out:

        - Each character of the tenant's `id_prefix` becomes `x`, in names and texts.
        - In an idempotency record, only the operation is left of the fingerprint, which identifies
          the request. Only the status and the body are left of the response.
        - In a hosted page, the digest is left out. The name of each text begins with "page" and the
          number of the request that opened the page.

        A page about a user is left out unless the user is LIMITED. If an action registers such a
        page while the user becomes ACTIVE, the page may be stored, but has no effect.

        Args:
            tenant: The tenant.
            touched: All writes that the tenant's actions tried to commit. A hosted page that they
                tried to register is named by a `PageWrite` whose `before` and `after` are both that
                page.

        Returns:
            The text of each value, or of a part of it, by a name such as `connection 1`.
        """
        parts: dict[str, str] = {}
        for name, value in _load_values(self._store, tenant, touched):
            document = dump(value)
            if isinstance(value, Record):
                # The digest and the encoded body hide the tenant's digits, so only readable
                # parts of them are compared.
                document["fingerprint"] = value.fingerprint.operation
                answer = value.response
                bodies = [answer.body.decode()] if isinstance(answer, Response) else []
                document["response"] = [str(getattr(answer, "status", None)), *bodies]
            if isinstance(value, HostedPage):
                del document["digest"]
            _flatten(name, document, parts)
        blank = "x" * len(tenant.id_prefix)
        return {
            name.replace(tenant.id_prefix, blank): text.replace(tenant.id_prefix, blank)
            for name, text in parts.items()
        }


@cache
def _settings_with(buckets: tuple[Bucket, ...]) -> Settings:
    # Each `Settings` checks all operations, and every race needs one.
    return Settings(buckets=buckets)


def _load_values(
    store: Store, tenant: RaceTenant, touched: Iterable[Write]
) -> Iterator[tuple[str, Storable]]:
    of_user = Needs(binding=tenant.coordinate, connections=ConnectionsPage(tenant.coordinate))
    loaded = store.load(of_user).snapshot
    if loaded.binding is not None:
        yield "binding", loaded.binding
    for connection in loaded.connections:
        yield f"connection {connection.id}", connection
        chain = store.load(Needs(connection=connection.id)).snapshot
        for name, other in (("successor", chain.successor), ("head", chain.head)):
            if other is not None:
                yield f"{name} of {connection.id}", other
    # A hand-off whose commit was refused touched it, and in sequence nothing may.
    opened = store.load(Needs(session=tenant.open_session_id)).snapshot.session
    if opened is not None:
        yield f"session {opened.id}", opened
    writes = [*touched]
    # Actions that started over touched the same values again.
    for name, needs in dict.fromkeys(map(_written, writes)):
        if needs is not None:
            snapshot = store.load(needs, tenant.digest).snapshot
            found = (snapshot.session, snapshot.record, snapshot.limit, *snapshot.buckets)
            yield from [(name, value) for value in found if value is not None]
    bound = loaded.binding
    is_limited = bound is not None and bound.state is AccountState.LIMITED
    registered = [
        tenant.page_number(each.after.digest)
        for each in writes
        if isinstance(each, PageWrite) and each.before == each.after
    ]
    for number in dict.fromkeys((*PAST_PAGES, *registered)):
        page = store.load(Needs(page=url_digest(tenant.page_url(number)))).snapshot.page
        if page is not None and (page.kind is not PageKind.USER or is_limited):
            yield f"page {number}", page


def _written(write: Write) -> tuple[str, Needs | None]:
    # The name of what a write touched, and how to load it; what else it may touch is loaded anyway.
    match write:
        case SessionWrite(_, after):
            return f"session {after.id}", Needs(session=after.id)
        case RecordWrite(key):
            return f"record {key.key}", Needs(record=key)
        case RateWrite(LimitKey() as key):
            return f"limit {key.policy}", Needs(limit=key)
        case RateWrite(BucketKey() as key):
            return f"bucket {key.bucket.name}", Needs(buckets=(key,))
        case _:
            return "", None


def _flatten(name: str, value: Json, parts: dict[str, str]) -> None:
    if isinstance(value, dict):
        for member, inner in value.items():
            _flatten(f"{name}.{member}", inner, parts)
    else:
        parts[name] = str(value)
