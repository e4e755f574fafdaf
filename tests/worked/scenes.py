"""Scenes: what is stored and what comes in, for every rule of every table.

The law of this module: **a scene is run, never written**. A request goes through `read`, `decide` and
`respond`, a fact through `record_fact`; only what neither of them asks goes through its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import product
from typing import Final, cast

import attrs

from curae_lifecycle.rules.access import decide_access
from curae_lifecycle.rules.attempt import complete, forget, release, renew, resolve
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding, provision
from curae_lifecycle.rules.chain import RECOVERED
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, next_deadline
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import Attempt
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.rules.values import (
    SECOND,
    DataPackage,
    Environment,
    SessionId,
    UserId,
    later,
    microseconds,
)
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond
from curae_lifecycle.web.shapes import parse_connection
from tests.instants import handle_at
from tests.vectors import connections, keys, wire
from tests.vectors.accounts import bound
from tests.vectors.cases import COORDINATE, HANDOFF, START, Verdict, connection_id, next_action
from tests.vectors.connections import AT, END, HEAD, NOW, SUCCESSORS, make
from tests.vectors.texts import CALLER

BASE: Final = "/api/sdk/v1"
ID: Final = connection_id(1)
SESSION: Final = SessionId("22222222-2222-4222-8222-222222222222")
USER, OTHER = UserId("u-1"), UserId("u-2")
KEY: Final = (("Idempotency-Key", "k-1"),)
FULL: Final = LogState.of((later(NOW, -SECOND),) * 10)
SPENT: Final = BucketState(microseconds(NOW) + 60 * SECOND)
REPLY: Final = Response(200, (("content-type", "application/json"),), b'{"revokedNow":true}')
NOTHING: Final = Snapshot()
BUCKETED: Final = Settings(buckets=(Bucket(name="platform", capacity=1, refill=1, seconds=60),))


@attrs.frozen
class Asked:
    """A request; `caller` is `None` for a key that nobody knows."""

    request: Request
    snapshot: Snapshot = NOTHING
    now: datetime = NOW
    caller: Caller | None = CALLER
    settings: Settings = DEFAULT_SETTINGS

    def run(self) -> Answer:
        """The answer of the three functions that a server calls."""
        call = read(self.request, caller=self.caller, now=self.now, settings=self.settings)
        if not isinstance(call, Decision):
            call = decide(call, snapshot=self.snapshot, now=self.now, new_ids=new_ids(self.now))
        return respond(call)


@attrs.frozen
class Crowded(Asked):
    """A request to a store that has room for nothing."""

    def run(self) -> Answer:
        """The answer of such a store."""
        store = MemoryStore(capacity=0)
        store.register(ApiKey("k"), CALLER)
        sent = (*self.request.headers, ("Authorization", "Bearer k"))
        return handle_at(
            store, attrs.evolve(self.request, headers=sent), self.now, new_ids(self.now)
        )


@attrs.frozen
class Happened:
    """A fact."""

    fact: Fact
    snapshot: Snapshot
    now: datetime = NOW

    def run(self) -> FactAnswer:
        """What recording it answers."""
        return record_fact(self.fact, self.snapshot, self.now)


@attrs.frozen
class Called:
    """What no request and no fact asks: a function, and what it is given.

    Attributes:
        name: The call, as it is written.
        given: What is shown of its arguments.
        run: Calls it.
    """

    name: str
    given: Mapping[str, object]
    run: Callable[[], object]


Scene = Asked | Happened | Called


def new_ids(now: datetime) -> NewIds:
    """The ids that the server has at hand."""
    return NewIds(
        connection_id=connection_id(9),
        session_id=SESSION,
        user_id=UserId("u-9"),
        next_action=next_action(now),
    )


def ask(
    operation: str,
    snapshot: Snapshot = NOTHING,
    now: datetime = NOW,
    *,
    headers: tuple[tuple[str, str], ...] | None = None,
    body: str | None = None,
    caller: Caller | None = CALLER,
    settings: Settings = DEFAULT_SETTINGS,
) -> Asked:
    """A well-formed request of an operation, to what is stored for it."""
    method, path, given = {
        "create-connection": ("POST", "/connections", '{"appUserId": "user-1", "dataPackages": ["labs"]}'),
        "get-connection": ("GET", f"/connections/{ID}", ""),
        "reconnect": ("POST", f"/connections/{ID}:reconnect", ""),
        "revoke": ("POST", f"/connections/{ID}:revoke", ""),
        "initiate": ("POST", "/curae-connect/initiate", '{"appUserId": "user-1"}'),
        "account-state": ("GET", "/curae-connect/account-state?appUserId=user-1", ""),
        "graduation-handoff": ("POST", "/curae-connect/graduation-handoff", '{"appUserId": "user-1"}'),
    }[operation]  # fmt: skip
    keyed = method == "POST" and operation != "graduation-handoff"
    sent = (KEY if keyed else ()) if headers is None else headers
    text = given if body is None else body
    request = Request(method=method, target=BASE + path, headers=sent, body=text.encode())
    return Asked(request=request, snapshot=snapshot, now=now, caller=caller, settings=settings)


def line(connection: Connection, successor: Connection | None = None) -> Snapshot:
    """A connection, its successor, and the head of their chain."""
    head = successor if successor is None or successor.status is Status.PENDING else HEAD
    return Snapshot(connection=connection, successor=successor, head=head)


def standing_of(stands: Standing) -> tuple[Connection, datetime]:
    """A connection of a standing, and when it stands there."""
    status, now = AT[stands]
    return make(status), now


# --- By table ----------------------------------------------------------------------------------


def stored_connections() -> Iterator[Scene]:
    """A look at every stored status, with and without a `revokedAt`, before and at its end."""
    for status, revoked, now in product(Status, (False, True), (NOW, END)):
        connection = make(status)
        at = connection.revoked_at or START if revoked else None
        who = Actor.APP if revoked else None
        connection = attrs.evolve(connection, revoked_at=at, revoked_by=who)
        yield ask("get-connection", Snapshot(connection=connection), now)


def waits() -> Iterator[Scene]:
    """What every stored status waits for, with and without a `revokedAt`."""
    for scene in stored_connections():
        assert isinstance(scene, Asked)
        connection = scene.snapshot.connection
        assert connection is not None
        given = {"connection": connection}
        yield Called("next_deadline(connection)", given, partial(next_deadline, connection))


def happenings() -> Iterator[Scene]:
    """Every trigger at every standing."""
    facts: dict[Trigger, Callable[[datetime], Fact]] = {
        Trigger.AUTHORIZE: lambda now: Authorized(ID, expires_at=later(now, 3600 * SECOND)),
        Trigger.REQUIRE_ACTION: lambda _: ActionRequired(ID, "token_refresh_failed"),
        Trigger.EXPIRE: lambda _: Expired(ID),
    }
    for trigger, stands in product(Trigger, Standing):
        connection, now = standing_of(stands)
        if trigger in facts:
            yield Happened(facts[trigger](now), Snapshot(connection=connection), now)
        else:
            yield ask(trigger, Snapshot(connection=connection), now)


def expiries() -> Iterator[Scene]:
    """An expiry that the clock brought, by what is stored."""
    for status in (Status.ACTIVE, Status.ACTION_REQUIRED, Status.EXPIRED):
        yield Happened(Expired(ID), Snapshot(connection=make(status)), END)


def authorizations() -> Iterator[Scene]:
    """An authorization, by the successor."""
    for successor in SUCCESSORS.values():
        chain = line(make(Status.PENDING), successor)
        snapshot = Snapshot(connection=chain.connection, successor=chain.successor, head=chain.head)
        yield Happened(Authorized(ID, expires_at=END), snapshot)


def recoveries() -> Iterator[Scene]:
    """A reconnect, by standing and successor."""
    for stands, successor in product(RECOVERED, SUCCESSORS.values()):
        connection, now = standing_of(stands)
        yield ask("reconnect", line(connection, successor), now)


def revocations() -> Iterator[Scene]:
    """A revocation of the first of two, by whom."""
    first, second = make(Status.EXPIRED), make(Status.ACTIVE, number=2, after=1)
    one = Snapshot(connection=first, successor=second, head=second)
    chain = Snapshot(connection=first, following=(second,))
    yield ask("revoke", Snapshot(connection=first, successor=second, head=second))
    for actor in (Actor.PATIENT, Actor.PLATFORM):
        yield Happened(Revoked(ID, actor), chain)
    yield Happened(Revoked(ID, Actor.UPSTREAM), one)
    # An app's revocation, where a console records it.
    yield Happened(Revoked(ID, Actor.APP), one)


def lives() -> Iterator[Scene]:
    """An app's revocation of an old id, by the head of its chain."""
    first = make(Status.EXPIRED)
    for stands in Standing:
        status, now = AT[stands]
        head = make(status, number=2, after=1)
        yield ask("revoke", Snapshot(connection=first, successor=head, head=head), now)


def endings() -> Iterator[Scene]:
    """A revocation, by the status that it leaves."""
    for status in Status:
        yield ask("revoke", Snapshot(connection=make(status)))


def entries() -> Iterator[Scene]:
    """An initiate, by account and preference."""
    for state, prefers in product(AccountState, ("true", "false")):
        body = f'{{"appUserId": "user-1", "preferSignup": {prefers}}}'
        yield ask("initiate", Snapshot(binding=bound(state)), body=body)


def waiting(path: EntryPath, handoff: Handoff) -> CuraeConnectSession:
    """A session of a path, whose hand-off stands there."""
    landed = handoff is Handoff.LANDED
    at, user = (START, USER) if landed else (None, None)
    return CuraeConnectSession(
        id=SESSION,
        coordinate=COORDINATE,
        path=path,
        handoff=handoff,
        created_at=START,
        expires_at=later(START, HANDOFF),
        landed_at=at,
        user_id=user,
    )


AWAITED: Final = waiting(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, Handoff.AWAITED)
SOON: Final = later(START, 60 * SECOND)


def bindings() -> Iterator[Scene]:
    """Each trigger of a binding, by the account and the user."""
    yield from entries()
    states: list[LimitedAccountAppBinding | None] = [bound(state) for state in AccountState]
    for binding, user in product(states, (USER, OTHER)):
        snapshot = Snapshot(session=AWAITED, binding=binding)
        yield Happened(HandoffCompleted(SESSION, user), snapshot, SOON)
        yield Happened(Graduated(COORDINATE, user), Snapshot(binding=binding))
        yield Happened(Tombstoned(COORDINATE), Snapshot(binding=binding))
    yield from provisions()


def completions() -> Iterator[Scene]:
    """A hand-off that is completed, by path, and by how it stands."""
    sessions = (
        waiting(EntryPath.EXISTING_ACTIVE_HANDOFF, Handoff.LANDED),
        waiting(EntryPath.SILENT_LIMITED, Handoff.NOT_REQUIRED),
        AWAITED,
        waiting(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, Handoff.LANDED),
    )
    for session, user, now in product(sessions, (USER, OTHER), (SOON, END)):
        landed = session.handoff is Handoff.LANDED
        binding = bound(AccountState.ACTIVE) if landed else None
        snapshot = Snapshot(session=session, binding=binding)
        yield Happened(HandoffCompleted(SESSION, user), snapshot, now)


def graduations() -> Iterator[Scene]:
    """A graduation hand-off, by account."""
    for state in AccountState:
        yield ask("graduation-handoff", Snapshot(binding=bound(state)))


def keyed() -> Iterator[Scene]:
    """A revocation with a key, and one of another id, by the key's record."""
    other = connection_id(2)
    for record, now in keys.AT.values():
        held = Snapshot(connection=make(Status.ACTIVE), record=record)
        yield ask("revoke", held, now)
        another = Snapshot(connection=make(Status.ACTIVE, number=2), record=record)
        request = Request(
            method="POST", target=f"{BASE}/connections/{other}:revoke", headers=KEY, body=b""
        )
        yield Asked(request, another, now)


def permissions() -> Iterator[Scene]:
    """A revocation by a key that may, by one without the scope, and of another environment."""
    held = Snapshot(connection=make(Status.ACTIVE))
    yield ask("revoke", held)
    yield ask("revoke", held, caller=attrs.evolve(CALLER, scopes=frozenset()))
    yield ask("revoke", held, settings=Settings(environment=Environment.TEST))


def gates() -> Iterator[Scene]:
    """A request that is stopped at each gate."""
    held = Snapshot(connection=make(Status.ACTIVE))
    yield ask("get-connection", held, caller=None)
    yield Asked(Request(method="PUT", target=f"{BASE}/connections", headers=KEY, body=b""))
    yield from permissions()
    yield ask("initiate", body='{"appUserId": "user-1", "prefersSignup": true}')
    yield ask("graduation-handoff", headers=KEY)
    yield ask("revoke", held, headers=())
    yield ask("revoke", held, headers=(("Idempotency-Key", '"k-1'),))
    yield ask("get-connection", attrs.evolve(held, buckets=(SPENT,)), settings=BUCKETED)
    yield from keyed()
    yield ask("initiate", Snapshot(limit=FULL))
    yield ask("get-connection")
    yield ask("reconnect", held)
    crowded = ask("create-connection")
    yield Crowded(crowded.request)


def operations() -> Iterator[Scene]:
    """A request of each operation that succeeds."""
    limited, over = bound(AccountState.LIMITED), make(Status.EXPIRED)
    held = Snapshot(connection=over, binding=limited)
    for name in ("create-connection", "get-connection", "reconnect", "revoke", "initiate"):
        yield ask(name, held if name != "create-connection" else Snapshot())
    yield ask("account-state", Snapshot(binding=limited))
    yield ask("graduation-handoff", Snapshot(binding=limited))


def accesses() -> Iterator[Scene]:
    """An access, by standing, to a package that was granted and to another."""
    packages = (*connections.PACKAGES, DataPackage("imaging"))
    for stands, package in product(Standing, packages):
        connection, now = standing_of(stands)
        yield Called(
            "decide_access(connection, package, now)",
            {"connection": connection, "package": package, "now": now},
            partial(decide_access, connection, package, now),
        )


def attempts() -> Iterator[Scene]:
    """Each act of an attempt, by its record and by whether it holds it."""
    for token, (record, now) in product((1, 2), keys.AT.values()):
        attempt = Attempt(
            key=record.key,
            fingerprint=record.fingerprint,
            token=token,
            first_used_at=START,
            at=START,
            rules=(),
        )
        calls: dict[str, Callable[[], object]] = {
            "renew(record, attempt, now)": partial(renew, record, attempt, now),
            "complete(record, attempt, response, now)": partial(
                complete, record, attempt, REPLY, now
            ),
            "release(record, attempt, now)": partial(release, record, attempt, now),
        }
        given = {"record": record, "attempt": attempt, "now": now}
        yield from (Called(name, given, call) for name, call in calls.items())


def upkeep() -> Iterator[Scene]:
    """Each act of a server without an attempt, by the record."""
    for record, now in keys.AT.values():
        calls: dict[str, Callable[[], object]] = {
            "resolve(record, now, response=response)": partial(
                resolve, record, now, response=REPLY
            ),
            "resolve(record, now, response=None)": partial(resolve, record, now, response=None),
            "forget(record, now)": partial(forget, record, now),
        }
        given = {"record": record, "now": now}
        yield from (Called(name, given, call) for name, call in calls.items())


def provisions() -> Iterator[Scene]:
    """What no initiate asks: a user for an account that has one."""
    for state in (AccountState.LIMITED, AccountState.ACTIVE):
        binding = bound(state)
        yield Called(
            "provision(binding, coordinate, user_id)",
            {"binding": binding, "user_id": OTHER},
            partial(provision, binding, COORDINATE, OTHER),
        )


def readings() -> Iterator[Scene]:
    """A connection as somebody else's server printed it."""
    for case in wire.readings():
        document = cast("dict[str, Json]", case.input["document"])
        if case.verdict is not Verdict.INVALID:
            yield Called(
                "parse_connection(document, environment, app_id)",
                {"document": document},
                partial(
                    parse_connection,
                    document,
                    environment=COORDINATE.environment,
                    app_id=COORDINATE.app_id,
                ),
            )


def everything() -> Iterator[Scene]:
    """Every scene above, for the tables that any of them may ask."""
    for scenes in (
        gates,
        happenings,
        authorizations,
        recoveries,
        completions,
        bindings,
        graduations,
    ):
        yield from scenes()
    yield from accesses()


SCENES: Final[dict[str, Callable[[], Iterator[Scene]]]] = {
    "deadline": waits,
    "standing": stored_connections,
    "connection": happenings,
    "expiry-record": expiries,
    "authorization": authorizations,
    "recovery": recoveries,
    "revocation-reach": revocations,
    "life": lives,
    "ending": endings,
    "access": accesses,
    "entry-path": entries,
    "binding": bindings,
    "completion": completions,
    "graduation-handoff": graduations,
    "record-standing": keyed,
    "idempotency": keyed,
    "attempt": attempts,
    "record-upkeep": upkeep,
    "permission": permissions,
    "request": gates,
    "operation": operations,
    "problems": everything,
    "problem-status": everything,
    "wire-status": stored_connections,
    "stored-status": readings,
}
"""The scenes of each table; the first that a rule decides is its example."""
