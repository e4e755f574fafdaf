"""Every stored format of every value, as documents that a store may still hold.

`<kind>.<form>.json` holds values of one kind in one format. A file never changes once a release
wrote that format: `python -m tests.stores.formats` writes the files of the newest formats, and
refuses to replace one whose content differs.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

import attrs

from curae_lifecycle.rules import attempt, binding, connection, credentials, idempotency, values
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Bucket, LogState, admit_one, fresh_state
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest, user_subject
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.stores.codec import Storable
from tests.support.strategies import COORDINATE, START, at, uuid

FOLDER: Final = Path(__file__).parent
_SECOND: Final = timedelta(seconds=1)


def _connections() -> list[Storable]:
    identity = connection.ConnectionIdentity(
        id=values.ConnectionId(uuid(1)),
        coordinate=COORDINATE,
        data_packages=(values.DataPackage("clinical_summary"), values.DataPackage("labs")),
        created_at=START,
        predecessor_id=None,
        root_id=values.ConnectionId(uuid(1)),
    )
    later = connection.ConnectionIdentity(
        id=values.ConnectionId(uuid(9)),
        coordinate=COORDINATE,
        data_packages=(values.DataPackage("labs"),),
        created_at=at(1),
        predecessor_id=values.ConnectionId(uuid(8)),
        root_id=values.ConnectionId(uuid(1)),
        position=300,
    )
    bare = [connection.Connection(identity, status, START) for status in connection.Status]
    full = [
        connection.Connection(
            identity=later,
            status=connection.Status.REVOKED,
            updated_at=at(9),
            handoff_deadline=at(3),
            authorized_at=at(2),
            expires_at=at(8),
            action_required_reason="portal_login",
            revoked_at=at(7),
            revoked_by=actor,
            version=12,
        )
        for actor in connection.Actor
    ]
    return [*bare, *full]


def _sessions() -> list[Storable]:
    return [
        CuraeConnectSession(
            id=values.SessionId(uuid(number)),
            coordinate=COORDINATE,
            path=path,
            handoff=handoff,
            created_at=START,
            expires_at=at(30),
            landed_at=START if handoff is HandoffState.LANDED else None,
            user_id=values.UserId("u-1") if path is EntryPath.EXISTING_ACTIVE_HANDOFF else None,
        )
        for number, (path, handoff) in enumerate(
            (path, handoff) for path in EntryPath for handoff in HandoffState
        )
    ]


def _bindings() -> list[Storable]:
    states = [state for state in binding.AccountState if state is not binding.UNLINKED]
    return [
        binding.LimitedAccountAppBinding(
            coordinate=COORDINATE,
            user_id=values.UserId("u-1"),
            state=state,
            generation=number,
            version=number + 4,
        )
        for number, state in enumerate(states, 1)
    ]


def _records() -> list[Storable]:
    owner = credentials.KeyOwner(
        api_key_id=values.ApiKeyId("key-1"),
        environment=values.Environment.LIVE,
        app_id=values.AppId("app-1"),
        customer_account_id=COORDINATE.customer_account_id,
    )
    key = idempotency.RecordKey(owner, idempotency.parse_idempotency_key("k-1"))
    begun = idempotency.begin_attempt(
        None, key=key, fingerprint=idempotency.Fingerprint.of("revoke", [uuid(1)]), now=START
    )
    assert isinstance(begun, idempotency.Attempt)
    answers = (
        Response(200, (("content-type", "application/json"),), '{"é": 1}'.encode()),
        ResponseReference(201, "vault/1"),
    )
    running = idempotency.in_flight_record(begun, lost_lease=idempotency.LostLeaseAction.UNKNOWN)
    released = attempt.release(running, begun, at(0.5))
    kept = [idempotency.completed_record(begun, answer) for answer in answers]
    forgotten = attempt.forget(kept[0], at(2))
    assert isinstance(released, Done)
    assert isinstance(forgotten, Done)
    return [running, released.value, *kept, forgotten.value]


def _logs() -> list[Storable]:
    states: list[Storable] = [LogState.of(())]
    state = fresh_state(INITIATE_LIMIT)
    for number in range(10):
        charged = admit_one(INITIATE_LIMIT, state, START + number * _SECOND)
        assert isinstance(charged, LogState)
        state = charged
        states.append(charged)
    return states


def _buckets() -> list[Storable]:
    states: list[Storable] = []
    for policy in (
        Bucket(name="platform", capacity=100, refill=50, seconds=1),
        Bucket(name="slow", capacity=7, refill=3, seconds=10),
    ):
        charged = admit_one(policy, fresh_state(policy), START)
        assert not isinstance(charged, int)
        states.append(charged)
    return states


def _callers() -> list[Storable]:
    caller = credentials.Caller(
        api_key_id=values.ApiKeyId("key-1"),
        app_id=values.AppId("app-é"),
        customer_account_id=COORDINATE.customer_account_id,
        environment=values.Environment.LIVE,
        scopes=frozenset[str](),
    )
    scopes = frozenset({"connection:write", "another:scope"})
    test = values.Environment.TEST
    return [caller, attrs.evolve(caller, environment=test, scopes=scopes)]


def _pages() -> list[Storable]:
    subjects = {
        PageKind.CONNECTION: [uuid(1)],
        PageKind.SESSION: [uuid(1001)],
        PageKind.USER: [user_subject(COORDINATE, user) for user in (values.UserId("u-é"), None)],
    }
    return [
        HostedPage(
            digest=url_digest("https://connect.example/1"),
            kind=kind,
            subject=subject,
            expires_at=at(30),
        )
        for kind, held in subjects.items()
        for subject in held
    ]


VALUES: Final[dict[str, list[Storable]]] = {
    "Connection": _connections(),
    "CuraeConnectSession": _sessions(),
    "LimitedAccountAppBinding": _bindings(),
    "Record": _records(),
    "LogState": _logs(),
    "BucketState": _buckets(),
    "Caller": _callers(),
    "HostedPage": _pages(),
}
"""Values of every kind, in every state that can be stored."""
