"""The scenes of each table, in which its rules decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import product
from typing import Final, cast

import attrs

from curae_lifecycle.rules.access import decide_access
from curae_lifecycle.rules.attempt import complete, forget, release, renew, resolve
from curae_lifecycle.rules.binding import (
    AccountState,
    LimitedAccountAppBinding,
    present_era,
    provision,
    tombstone,
)
from curae_lifecycle.rules.chain import RECOVERABLE
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, next_deadline
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Attempt
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.rules.values import (
    SECOND,
    DataPackage,
    Environment,
    UserId,
    add_microseconds,
    to_epoch_microseconds,
)
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.wire_format import parse_connection
from docs.generate.vectors import connections, keys, wire
from docs.generate.vectors.accounts import bound, gone_before
from docs.generate.vectors.cases import (
    COORDINATE,
    HANDOFF,
    START,
    Verdict,
    connection_id,
)
from docs.generate.vectors.connections import AT, END, HEAD, NOW, SUCCESSORS, make
from docs.generate.vectors.texts import CALLER
from docs.generate.worked.scene import (
    NOTHING,
    SESSION,
    CallScene,
    FactScene,
    FullStoreScene,
    RequestScene,
    Scene,
)

BASE: Final = "/api/sdk/v1"
ID: Final = connection_id(1)
USER, OTHER = UserId("u-1"), UserId("u-2")
KEY: Final = (("Idempotency-Key", "k-1"),)
FULL: Final = LogState.of((add_microseconds(NOW, -SECOND),) * 10)
SPENT: Final = BucketState(to_epoch_microseconds(NOW) + 60 * SECOND)
REPLY: Final = Response(200, (("content-type", "application/json"),), b'{"revokedNow":true}')
BUCKETED: Final = Settings(buckets=(Bucket(name="platform", capacity=1, refill=1, seconds=60),))


def ask(
    operation: str,
    snapshot: Snapshot = NOTHING,
    now: datetime = NOW,
    *,
    headers: tuple[tuple[str, str], ...] | None = None,
    body: str | None = None,
    caller: Caller | None = CALLER,
    settings: Settings = DEFAULT_SETTINGS,
) -> RequestScene:
    """Return a well-formed request of an operation with a snapshot."""
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
    return RequestScene(
        request=request, snapshot=snapshot, now=now, caller=caller, settings=settings
    )


def line(connection: Connection, successor: Connection | None = None) -> Snapshot:
    """Return a snapshot of a connection, its successor, and the head of their chain."""
    head = successor if successor is None or successor.status is Status.PENDING else HEAD
    return Snapshot(connection=connection, successor=successor, head=head)


def standing_of(stands: Standing) -> tuple[Connection, datetime]:
    """Return a connection and an instant at which it has a standing."""
    status, now = AT[stands]
    return make(status), now


# --- By table ----------------------------------------------------------------------------------


TOMBSTONED: Final = gone_before()


def stored_connections() -> Iterator[Scene]:
    """Yield reads of every stored status, with and without a `revokedAt`, before and at its end."""
    for status, revoked, now in product(Status, (False, True), (NOW, END)):
        connection = make(status)
        at = connection.revoked_at or START if revoked else None
        who = Actor.APP if revoked else None
        connection = attrs.evolve(connection, revoked_at=at, revoked_by=who)
        yield ask("get-connection", Snapshot(connection=connection), now)
    yield ask("get-connection", Snapshot(connection=make(Status.ACTIVE), binding=TOMBSTONED))


def waits() -> Iterator[Scene]:
    """Yield the deadline of every stored status, with and without a `revokedAt`."""
    for scene in stored_connections():
        assert isinstance(scene, RequestScene)
        connection = scene.snapshot.connection
        assert connection is not None
        given = {"connection": connection}
        era = present_era(scene.snapshot.binding)
        call = "next_deadline(connection, era=era)"
        yield CallScene(call, {**given, "era": era}, partial(next_deadline, connection, era=era))


def happenings() -> Iterator[Scene]:
    """Yield every trigger at every standing."""
    facts: dict[Trigger, Callable[[datetime], Fact]] = {
        Trigger.AUTHORIZE: lambda now: Authorized(
            ID, expires_at=add_microseconds(now, 3600 * SECOND)
        ),
        Trigger.REQUIRE_ACTION: lambda _: ActionRequired(ID, "token_refresh_failed"),
        Trigger.EXPIRE: lambda _: Expired(ID),
    }
    for trigger, stands in product(Trigger, Standing):
        connection, now = standing_of(stands)
        if trigger in facts:
            yield FactScene(facts[trigger](now), Snapshot(connection=connection), now)
        else:
            yield ask(trigger, Snapshot(connection=connection), now)


def expiries() -> Iterator[Scene]:
    """Yield an expiry by the clock, for each stored status."""
    for status in (Status.ACTIVE, Status.ACTION_REQUIRED, Status.EXPIRED):
        yield FactScene(Expired(ID), Snapshot(connection=make(status)), END)


def authorizations() -> Iterator[Scene]:
    """Yield an authorization for each kind of successor."""
    for successor in SUCCESSORS.values():
        chain = line(make(Status.PENDING), successor)
        snapshot = Snapshot(connection=chain.connection, successor=chain.successor, head=chain.head)
        yield FactScene(Authorized(ID, expires_at=END), snapshot)


def recoveries() -> Iterator[Scene]:
    """Yield a reconnect for each standing and successor."""
    for stands, successor in product(RECOVERABLE, SUCCESSORS.values()):
        connection, now = standing_of(stands)
        yield ask("reconnect", line(connection, successor), now)


def revocations() -> Iterator[Scene]:
    """Yield a revocation of the first of two connections by each actor."""
    first, second = make(Status.EXPIRED), make(Status.ACTIVE, number=2, after=1)
    one = Snapshot(connection=first, successor=second, head=second)
    chain = Snapshot(connection=first, following=(second,))
    yield ask("revoke", Snapshot(connection=first, successor=second, head=second))
    for actor in (Actor.PATIENT, Actor.PLATFORM):
        yield FactScene(Revoked(ID, actor), chain)
    yield FactScene(Revoked(ID, Actor.UPSTREAM), one)
    # A console may record the revocation of an app.
    yield FactScene(Revoked(ID, Actor.APP), one)


def lives() -> Iterator[Scene]:
    """Yield an app's revocation of an old id for each standing of the head."""
    first = make(Status.EXPIRED)
    for stands in Standing:
        status, now = AT[stands]
        head = make(status, number=2, after=1)
        yield ask("revoke", Snapshot(connection=first, successor=head, head=head), now)


def endings() -> Iterator[Scene]:
    """Yield a revocation of each stored status."""
    for status in Status:
        yield ask("revoke", Snapshot(connection=make(status)))


def entries() -> Iterator[Scene]:
    """Yield an initiate for each account and preference."""
    for state, prefers in product(AccountState, ("true", "false")):
        body = f'{{"appUserId": "user-1", "preferSignup": {prefers}}}'
        yield ask("initiate", Snapshot(binding=bound(state)), body=body)


def waiting(path: EntryPath, handoff: HandoffState) -> CuraeConnectSession:
    """Return a session of a path with its hand-off in a state."""
    landed = handoff is HandoffState.LANDED
    at, user = (START, USER) if landed else (None, None)
    return CuraeConnectSession(
        id=SESSION,
        coordinate=COORDINATE,
        path=path,
        handoff=handoff,
        created_at=START,
        expires_at=add_microseconds(START, HANDOFF),
        landed_at=at,
        user_id=user,
    )


AWAITED: Final = waiting(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, HandoffState.AWAITED)
SOON: Final = add_microseconds(START, 60 * SECOND)


def bindings() -> Iterator[Scene]:
    """Yield each trigger of a binding for each account and user."""
    yield from entries()
    states: list[LimitedAccountAppBinding | None] = [bound(state) for state in AccountState]
    for binding, user in product(states, (USER, OTHER)):
        snapshot = Snapshot(session=AWAITED, binding=binding)
        yield FactScene(HandoffCompleted(SESSION, user), snapshot, SOON)
        yield FactScene(Graduated(COORDINATE, user), Snapshot(binding=binding))
        yield FactScene(Tombstoned(COORDINATE), Snapshot(binding=binding))
    yield from provisions()


def completions() -> Iterator[Scene]:
    """Yield the completion of a hand-off for each path and state of the hand-off."""
    sessions = (
        waiting(EntryPath.EXISTING_ACTIVE_HANDOFF, HandoffState.LANDED),
        waiting(EntryPath.SILENT_LIMITED, HandoffState.NOT_REQUIRED),
        AWAITED,
        waiting(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF, HandoffState.LANDED),
    )
    for session, user, now in product(sessions, (USER, OTHER), (SOON, END)):
        landed = session.handoff is HandoffState.LANDED
        binding = bound(AccountState.ACTIVE) if landed else None
        snapshot = Snapshot(session=session, binding=binding)
        yield FactScene(HandoffCompleted(SESSION, user), snapshot, now)
    over = Snapshot(session=AWAITED, binding=TOMBSTONED)
    yield FactScene(HandoffCompleted(SESSION, USER), over, SOON)


def tombstones() -> Iterator[Scene]:
    """Yield a copy of the last tombstone, and another one."""
    for happened in (START, SOON):
        yield FactScene(Tombstoned(COORDINATE, happened), Snapshot(binding=TOMBSTONED))
    given = {"binding": TOMBSTONED, "coordinate": COORDINATE, "now": SOON}
    yield CallScene(
        "tombstone(binding, coordinate, now)",
        given,
        partial(tombstone, TOMBSTONED, COORDINATE, SOON),
    )


def graduations() -> Iterator[Scene]:
    """Yield a graduation hand-off for each account."""
    for state in AccountState:
        yield ask("graduation-handoff", Snapshot(binding=bound(state)))


def keyed() -> Iterator[Scene]:
    """Yield a revocation, and one of another id with the same key, for each record of the key."""
    other = connection_id(2)
    for record, now in keys.AT.values():
        held = Snapshot(connection=make(Status.ACTIVE), record=record)
        yield ask("revoke", held, now)
        another = Snapshot(connection=make(Status.ACTIVE, number=2), record=record)
        request = Request(
            method="POST", target=f"{BASE}/connections/{other}:revoke", headers=KEY, body=b""
        )
        yield RequestScene(request, another, now)


def permissions() -> Iterator[Scene]:
    """Yield a revocation: permitted, without the scope, and on another environment."""
    held = Snapshot(connection=make(Status.ACTIVE))
    yield ask("revoke", held)
    yield ask("revoke", held, caller=attrs.evolve(CALLER, scopes=frozenset()))
    yield ask("revoke", held, settings=Settings(environment=Environment.TEST))


def gates() -> Iterator[Scene]:
    """Yield a request that stops at each gate."""
    held = Snapshot(connection=make(Status.ACTIVE))
    yield ask("get-connection", held, caller=None)
    yield RequestScene(Request(method="PUT", target=f"{BASE}/connections", headers=KEY, body=b""))
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
    yield FullStoreScene(crowded.request)


def operations() -> Iterator[Scene]:
    """Yield a successful request of each operation."""
    limited, over = bound(AccountState.LIMITED), make(Status.EXPIRED)
    held = Snapshot(connection=over, binding=limited)
    for name in ("create-connection", "get-connection", "reconnect", "revoke", "initiate"):
        yield ask(name, held if name != "create-connection" else Snapshot())
    yield ask("account-state", Snapshot(binding=limited))
    yield ask("graduation-handoff", Snapshot(binding=limited))


def accesses() -> Iterator[Scene]:
    """Yield an access for each standing, to each granted package and to another one."""
    packages = (*connections.PACKAGES, DataPackage("imaging"))
    for stands, package in product(Standing, packages):
        connection, now = standing_of(stands)
        yield CallScene(
            "decide_access(connection, package, now, era=era)",
            {"connection": connection, "package": package, "now": now, "era": None},
            partial(decide_access, connection, package, now, era=None),
        )


def attempts() -> Iterator[Scene]:
    """Yield each act of an attempt for each record, with the current token and another one."""
    for token, (record, now) in product((1, 2), keys.AT.values()):
        attempt = Attempt(
            key=record.key,
            fingerprint=record.fingerprint,
            token=token,
            first_used_at=START,
            started_at=START,
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
        yield from (CallScene(name, given, call) for name, call in calls.items())


def upkeep() -> Iterator[Scene]:
    """Yield each act of a server without an attempt for each record."""
    for record, now in keys.AT.values():
        calls: dict[str, Callable[[], object]] = {
            "resolve(record, now, response=response)": partial(
                resolve, record, now, response=REPLY
            ),
            "resolve(record, now, response=None)": partial(resolve, record, now, response=None),
            "forget(record, now)": partial(forget, record, now),
        }
        given = {"record": record, "now": now}
        yield from (CallScene(name, given, call) for name, call in calls.items())


def provisions() -> Iterator[Scene]:
    """Yield provisions of a user for an account that has one, which no initiate makes."""
    for state in (AccountState.LIMITED, AccountState.ACTIVE):
        binding = bound(state)
        yield CallScene(
            "provision(binding, coordinate, user_id)",
            {"binding": binding, "user_id": OTHER},
            partial(provision, binding, COORDINATE, OTHER),
        )


def readings() -> Iterator[Scene]:
    """Yield connections as another server printed them."""
    for case in wire.readings():
        document = cast("dict[str, Json]", case.input["document"])
        if case.verdict is not Verdict.INVALID:
            yield CallScene(
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
    """Yield all scenes, for the tables that any of them may look up."""
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
    "tombstone-report": tombstones,
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
"""The scenes of each table. The first scene that a rule decides is its example."""
