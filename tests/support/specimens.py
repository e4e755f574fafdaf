"""Values in every state that the rules know, and calls that tests of several rules share."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final, Literal

import attrs

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules import chain, triggers
from curae_lifecycle.rules.attempt import LeaseLost, complete, forget, release, renew, resolve
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    LostLeaseAction,
    Record,
    RecordKey,
    begin_attempt,
    completed_record,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.session import CuraeConnectSession, Initiated, initiate
from curae_lifecycle.rules.values import ApiKeyId, ConnectionId, SessionId, UserId
from curae_lifecycle.service.response import Response
from tests.support.strategies import (
    COORDINATE,
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    at,
    next_action,
    pending,
    uuid,
)
from tests.support.subjects import recovered

Key = tuple[str, ...]
"""A cell of a table, in the words of its page."""


def refusal(answer: Refused) -> str:
    """Return a refusal in the words of a page."""
    reason = answer.problem.details.get("reason")
    return f"refuse {answer.problem.code}" + (f" ({reason})" if reason else "")


# --- Connections -------------------------------------------------------------------------------

NOW, END = at(20), at(60)
NAIVE: Final = NOW.replace(tzinfo=None)
ELSEWHERE: Final = NOW.astimezone(timezone(timedelta(hours=2)))
OLD_ID, NEXT_ID, NEW_ID = (ConnectionId(uuid(number)) for number in (1, 2, 3))


def stored(
    status: str,
    deadline: datetime | None = None,
    *,
    number: int = 1,
    revoked_at: datetime | None = None,
) -> Connection:
    """Return a connection of a stored status, with the deadline that applies to it.

    The other deadline says the opposite, so that a rule with the wrong one is found. All other
    members are set, so that a rule which changes the wrong member is found too; only a
    `revoked_at`, which overrules all else, must be given.
    """
    other = None if deadline is not None and deadline <= NOW else START + TICK
    waits = status == "PENDING"
    return attrs.evolve(
        pending(number=number),
        status=Status[status],
        handoff_deadline=deadline if waits else other,
        expires_at=other if waits else deadline,
        authorized_at=at(5),
        action_required_reason="portal_login",
        revoked_at=revoked_at,
        revoked_by=Actor.PATIENT,
        version=7,
    )


STANDS: Final = {
    "PENDING": [stored("PENDING"), stored("PENDING", NOW + TICK)],
    "LAPSED": [stored("PENDING", NOW), stored("PENDING", NOW - TICK)],
    "ACTIVE": [stored("ACTIVE"), stored("ACTIVE", NOW + TICK)],
    "ACTION_REQUIRED": [stored("ACTION_REQUIRED"), stored("ACTION_REQUIRED", NOW + TICK)],
    "EXPIRED": [
        stored("EXPIRED"),
        stored("EXPIRED", NOW + TICK),
        stored("ACTIVE", NOW),
        stored("ACTION_REQUIRED", NOW),
    ],
    "REVOKED": [
        *(stored("REVOKED", deadline) for deadline in (None, NOW, NOW + TICK)),
        *(
            stored(status, deadline, revoked_at=at(10))
            for status in Status
            for deadline in (None, NOW, NOW + TICK)
        ),
    ],
}
"""Connections with each standing at `NOW`, in every possible way."""

LOWERING: Final = [
    (trigger, START, START, Actor.PATIENT)
    for trigger in (
        *("authorize", "require_action", "authorize", "expire", "require_action", "authorize"),
        *("revoke", "expire", "require_action", "authorize"),
    )
]
"""Facts about one connection: in each stored status, each that would lower its rank."""

EVERY_CONNECTION: Final = [each for specimens in STANDS.values() for each in specimens]
NOT_PENDING: Final = [each for each in EVERY_CONNECTION if each not in STANDS["PENDING"]]


def successor_of(connection: Connection, like: Connection) -> Connection:
    """Return the successor of a connection, in the state of another one."""
    identity = attrs.evolve(
        like.identity,
        id=NEXT_ID,
        created_at=at(15),
        predecessor_id=connection.id,
        position=connection.identity.position + 1,
    )
    return attrs.evolve(like, identity=identity, updated_at=at(15))


def successors(connection: Connection) -> dict[str, list[Connection | None]]:
    """Return every possible successor of a connection, by its word in the tables."""
    return {
        "no successor": [None],
        "successor PENDING": [successor_of(connection, like) for like in STANDS["PENDING"]],
        "successor anything else": [successor_of(connection, like) for like in NOT_PENDING],
    }


def happen(
    trigger: str,
    connection: Connection,
    now: datetime = NOW,
    happened_at: datetime | None = None,
    *,
    actor: Actor = Actor.UPSTREAM,
    expires_at: datetime | None = END,
) -> triggers.Transition:
    """Apply a trigger, with members that no specimen has."""
    match trigger:
        case "authorize":
            return triggers.authorize(
                connection, now, expires_at=expires_at, happened_at=happened_at, era=None
            )
        case "require_action":
            return triggers.require_action(
                connection, now, reason="consent_withdrawn", happened_at=happened_at, era=None
            )
        case "expire":
            return triggers.expire(connection, now, happened_at=happened_at, era=None)
        case _:
            return triggers.revoke(connection, now, actor=actor, happened_at=happened_at, era=None)


def reconnect(
    connection: Connection,
    successor: Connection | None = None,
    now: datetime = NOW,
    *,
    head: Connection | None = None,
) -> chain.Recovery:
    """Reconnect with a unique id and next action."""
    return chain.reconnect(
        connection, successor, now, id=NEW_ID, next_action=next_action(now), head=head, era=None
    )


def chain_of(length: int, now: datetime = START) -> list[Connection]:
    """Return a chain of reconnects, each after the lapse of a hand-off."""
    made = [pending(now)]
    for number in range(2, length + 1):
        now += NEXT_ACTION_LIFETIME
        made.append(recovered(made[-1], now, number))
    return made


# --- Bindings and sessions ---------------------------------------------------------------------

BOUND: Final = UserId("u-bound")
NEW_USER: Final = UserId("u-new")


def binding_in(state: str, user: UserId = BOUND) -> LimitedAccountAppBinding | None:
    """Return a third-generation binding after five writes, or None for UNLINKED."""
    if state == "UNLINKED":
        return None
    return LimitedAccountAppBinding(
        coordinate=COORDINATE, user_id=user, state=AccountState(state), generation=3, version=5
    )


def bind(
    trigger: str, binding: LimitedAccountAppBinding | None, user: UserId
) -> bindings.BindingTransition:
    """Apply a trigger to a binding."""
    match trigger:
        case "provision":
            return bindings.provision(binding, COORDINATE, user)
        case "complete sign-up":
            return bindings.complete_sign_up(binding, COORDINATE, user)
        case "graduate":
            return bindings.graduate(binding, COORDINATE, user)
        case _:
            return bindings.tombstone(binding, COORDINATE, NOW)


def mint(
    state: str,
    *,
    prefer_signup: bool,
    now: datetime = START,
    user: UserId = NEW_USER,
    number: int = 1,
) -> Done[Initiated]:
    """Create a session of an account in a state."""
    return initiate(
        binding_in(state),
        COORDINATE,
        now,
        prefer_signup=prefer_signup,
        id=SessionId(uuid(number)),
        user_id=user,
        next_action=next_action(now),
    )


def waiting() -> CuraeConnectSession:
    """Return a session on Path B whose hand-off is awaited."""
    return mint("UNLINKED", prefer_signup=True).value.session


# --- Idempotency records -----------------------------------------------------------------------

OWNER: Final = KeyOwner(
    api_key_id=ApiKeyId("key-1"),
    environment=COORDINATE.environment,
    app_id=COORDINATE.app_id,
    customer_account_id=COORDINATE.customer_account_id,
)
KEY: Final = RecordKey(OWNER, IdempotencyKey("k-1"))
SAME: Final = Fingerprint.of("initiate", ["user-1", "false"])
OTHERS: Final = {
    "values": Fingerprint.of("initiate", ["user-2", "false"]),
    "operation": Fingerprint.of("revoke", ["user-1", "false"]),
}
"""Fingerprints of other requests, by what differs."""

ANSWER: Final = Response(201, (("content-type", "application/json"),), b'{"a": 1}')
LEASE: Final = timedelta(minutes=1)
DAY: Final = timedelta(hours=24)

Act = Literal["renew", "complete", "release"]
ACTS: Final[tuple[Act, ...]] = ("renew", "complete", "release")


def first_attempt(now: datetime = START) -> Attempt:
    """Return the attempt of a key's first use."""
    attempt = begin_attempt(None, key=KEY, fingerprint=SAME, now=now)
    assert isinstance(attempt, Attempt)
    return attempt


def running(lost_lease: LostLeaseAction = LostLeaseAction.EXECUTE, now: datetime = START) -> Record:
    """Return the record of a running first attempt."""
    return in_flight_record(first_attempt(now), lost_lease=lost_lease)


def done(answer: object) -> Record:
    """Return the record of a done act."""
    assert isinstance(answer, Done)
    record = answer.value
    assert isinstance(record, Record)
    return record


def act(
    name: Act, record: Record | None, attempt: Attempt, now: datetime
) -> Done[Record] | LeaseLost:
    """Apply an act of an attempt to its record."""
    match name:
        case "renew":
            return renew(record, attempt, now)
        case "complete":
            return complete(record, attempt=attempt, response=ANSWER, now=now)
        case "release":
            return release(record, attempt, now)


_EXECUTED, _CALLED_OUT = running(), running(LostLeaseAction.UNKNOWN)
_COMPLETED = completed_record(first_attempt(), ANSWER)
_RELEASED = done(release(_EXECUTED, first_attempt(), START))
_LAST: Final = START + DAY - TICK

RECORDS: Final[list[tuple[str, Record | None, datetime]]] = [
    ("absent, or retention over", None, START),
    ("absent, or retention over", _EXECUTED, START + DAY),
    ("absent, or retention over", _CALLED_OUT, START + DAY),
    ("absent, or retention over", _COMPLETED, START + DAY),
    ("absent, or retention over", _RELEASED, START + DAY),
    ("absent, or retention over", done(forget(_EXECUTED, START)), START + DAY),
    ("released", _RELEASED, START + TICK),
    ("released", _RELEASED, _LAST),
    ("released", done(resolve(_EXECUTED, START + LEASE, response=None)), START + LEASE),
    ("in flight, lease running", _EXECUTED, START),
    ("in flight, lease running", _CALLED_OUT, START + LEASE - TICK),
    ("in flight, lease over", _EXECUTED, START + LEASE),
    ("in flight, lease over", _EXECUTED, _LAST),
    ("unknown", _CALLED_OUT, START + LEASE),
    ("unknown", _CALLED_OUT, _LAST),
    ("completed", _COMPLETED, START),
    (
        "completed",
        done(complete(_EXECUTED, attempt=first_attempt(), response=ANSWER, now=START)),
        _LAST,
    ),
    ("completed", done(resolve(_EXECUTED, START + LEASE, response=ANSWER)), START + LEASE),
    ("forgotten", done(forget(_COMPLETED, START)), START),
    ("forgotten", done(forget(_EXECUTED, START)), _LAST),
]
"""Every standing of a record: the record, and the instant."""


def rule_word(name: str) -> str:
    """Return the word for a record's standing in rule names."""
    short = name.removesuffix(", or retention over").removesuffix(", lease running")
    return short.removeprefix("in flight, ").replace(" ", "-")
