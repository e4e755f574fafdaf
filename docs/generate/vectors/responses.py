"""Vectors of whole requests in the less common states of what is stored.

The law of this module: **a request is decided by everything that was loaded for it**: the caller, the
key's record, the limits, the chain and the binding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.idempotency import LostLeaseAction, Record, RecordState
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.triggers import SuccessorState
from curae_lifecycle.rules.values import (
    HOUR,
    MINUTE,
    SECOND,
    AppId,
    CustomerAccountId,
    Environment,
    add_microseconds,
    to_epoch_microseconds,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import ParsedBody, Request
from curae_lifecycle.web.respond import respond
from docs.generate.vectors.accounts import bound, gone_before
from docs.generate.vectors.cases import START, Case, connection_id
from docs.generate.vectors.connections import AUTHORIZED, END, HEAD, NOW, SUCCESSORS, make
from docs.generate.vectors.requests import NEW_IDS, request_case
from docs.generate.vectors.texts import CALLER

_KEY: Final = ("Idempotency-Key", "k-1")
_ID: Final = connection_id(1)
_CREATE: Final = "/api/sdk/v1/connections"
_GET: Final = f"{_CREATE}/{_ID}"
_INITIATE: Final = "/api/sdk/v1/curae-connect/initiate"
_STATE: Final = "/api/sdk/v1/curae-connect/account-state?appUserId=user-1"
_USER: Final = ParsedBody({"appUserId": "user-1"})
_BAD: Final = ParsedBody({"appUserId": " "})
_BUCKETS: Final = Settings(
    buckets=(
        Bucket(name="platform", capacity=1, refill=1, seconds=60),
        Bucket(name="slow", capacity=2, refill=1, seconds=60),
    )
)
_SPENT: Final = BucketState(to_epoch_microseconds(NOW) + 60 * SECOND)
_FULL: Final = LogState.of((NOW,) * 10)


def _post(path: str, body: ParsedBody | bytes = b"", *headers: tuple[str, str]) -> Request:
    return Request(method="POST", target=path, headers=headers, body=body)


_ASKED: Final = _post(_INITIATE, _USER, _KEY)
_GRADUATE: Final = "/api/sdk/v1/curae-connect/graduation-handoff"
_RECONNECT: Final = _post(f"{_GET}:reconnect", b"", _KEY)
_REVOKE: Final = _post(f"{_GET}:revoke", b"", _KEY)
_READ: Final = Request("GET", _GET)


def _record(request: Request = _ASKED) -> Record:
    """Return the record of a request that got its response at the start."""
    first = decide(
        cast("Call", read(request, CALLER, START)),
        snapshot=Snapshot(connection=make(Status.ACTIVE)),
        now=START,
        new_ids=NEW_IDS,
    )
    return cast("Record", respond(first).changes.writes[-1].after)


def gate_pairs() -> Iterator[Case]:
    """Yield requests that fail at two gates, or more: the first gate answers."""
    no_scope = attrs.evolve(CALLER, scopes=frozenset())
    test = Settings(environment=Environment.TEST)
    yield request_case("request/pair/credentials-and-path", _post("/x"), caller=None)
    yield request_case("request/pair/environment-and-scope", _ASKED, caller=no_scope, settings=test)
    yield request_case("request/pair/scope-and-body", _post(_INITIATE, _BAD, _KEY), caller=no_scope)
    yield request_case("request/pair/body-and-no-key", _post(_INITIATE, _BAD))
    yield request_case("request/pair/body-and-key-not-allowed", _post(_GRADUATE, _BAD, _KEY))
    yield request_case(
        "request/pair/body-and-unreadable-key", _post(_INITIATE, _BAD, ("Idempotency-Key", ""))
    )
    spent = (_SPENT, None)
    two = (_KEY, ("Idempotency-Key", "k-2"))
    yield request_case(
        "request/pair/two-keys-and-buckets",
        _post(_INITIATE, _USER, *two),
        Snapshot(buckets=spent),
        settings=_BUCKETS,
    )
    yield request_case(
        "request/pair/no-key-and-buckets",
        _post(_INITIATE, _USER),
        Snapshot(buckets=spent),
        settings=_BUCKETS,
    )
    other = _post(_INITIATE, ParsedBody({"appUserId": "user-2"}), _KEY)
    yield request_case(
        "request/pair/buckets-and-reused-key",
        other,
        Snapshot(buckets=spent, record=_record()),
        settings=_BUCKETS,
    )
    yield request_case(
        "request/pair/buckets-and-replay",
        _ASKED,
        Snapshot(buckets=spent, record=_record()),
        settings=_BUCKETS,
    )
    yield request_case(
        "request/pair/buckets-and-limit",
        _ASKED,
        Snapshot(buckets=spent, limit=_FULL),
        settings=_BUCKETS,
    )
    yield request_case(
        "request/pair/reused-key-and-limit", other, Snapshot(record=_record(), limit=_FULL)
    )
    yield request_case(
        "request/pair/reused-key-and-ownership", _RECONNECT, Snapshot(record=_record(_REVOKE))
    )
    yield request_case(
        "request/pair/limit-and-rule",
        _post(_GRADUATE, _USER),
        Snapshot(limit=_FULL, binding=bound(AccountState.ACTIVE)),
    )
    for name, connection in _of_another().items():
        yield request_case(
            f"request/pair/ownership-and-rule/{name}",
            _RECONNECT,
            Snapshot(connection=connection),
            comment="Byte for byte what an unknown id is answered.",
        )


def _of_another() -> dict[str, Connection]:
    """Return pending connections whose app, account or environment is another one."""
    pending = make(Status.PENDING)
    coordinate = pending.identity.coordinate
    other = CustomerAccountId("33333333-3333-4333-8333-333333333333")
    coordinates = {
        "app": attrs.evolve(coordinate, app_id=AppId("app-2")),
        "account": attrs.evolve(coordinate, customer_account_id=other),
        "environment": attrs.evolve(coordinate, environment=Environment.TEST),
    }
    return {
        name: attrs.evolve(pending, identity=attrs.evolve(pending.identity, coordinate=each))
        for name, each in coordinates.items()
    }


def keys_and_limits() -> Iterator[Case]:
    """Yield requests with each kind of record, with several buckets, and without a scope."""
    answered = _record()
    in_flight = attrs.evolve(
        answered,
        state=RecordState.IN_FLIGHT,
        response=None,
        lease_until=add_microseconds(NOW, 10 * SECOND + 1),
    )
    records = {
        "in-flight": in_flight,
        "lease-over": attrs.evolve(in_flight, lease_until=NOW),
        "unknown": attrs.evolve(in_flight, lease_until=NOW, lost_lease=LostLeaseAction.UNKNOWN),
        "forgotten": attrs.evolve(answered, state=RecordState.FORGOTTEN, response=None),
        "released": attrs.evolve(answered, state=RecordState.RELEASED, response=None),
        "retention-over": attrs.evolve(answered, first_used_at=add_microseconds(NOW, -24 * HOUR)),
        "almost-over": attrs.evolve(answered, first_used_at=add_microseconds(NOW, 1 - 24 * HOUR)),
    }
    for name, record in records.items():
        yield request_case(f"request/record/{name}", _ASKED, Snapshot(record=record))
    yield request_case("request/record/revoke", _REVOKE, Snapshot(record=_record(_REVOKE)))
    quoted = _post(_INITIATE, _USER, ("IDEMPOTENCY-KEY", '"k-1"'))
    yield request_case(
        "request/record/quoted-key",
        quoted,
        Snapshot(record=answered),
        comment="A quoted key and a bare one are one key.",
    )
    slower = BucketState(to_epoch_microseconds(NOW) + 170 * SECOND)
    for name, states in (
        ("both-new", (None, None)),
        ("second-refuses", (None, slower)),
        ("longest-wait", (_SPENT, slower)),
        ("first-refuses", (_SPENT, None)),
    ):
        snapshot = Snapshot(connection=make(Status.ACTIVE), buckets=states)
        yield request_case(f"request/buckets/{name}", _READ, snapshot, settings=_BUCKETS)
    almost = LogState.of((NOW,) * 9)
    yield request_case("request/limit/one-left", _ASKED, Snapshot(limit=almost))
    yield request_case(
        "request/limit/graduation",
        _post(_GRADUATE, _USER),
        Snapshot(limit=_FULL, binding=bound(AccountState.LIMITED)),
    )
    reader = attrs.evolve(CALLER, scopes=frozenset())
    snapshot = Snapshot(connection=make(Status.ACTIVE))
    yield request_case("request/read/without-a-scope", _READ, snapshot, caller=reader)
    keyed = Request("GET", _GET, (("Idempotency-Key", ""),))
    yield request_case("request/read/with-an-unreadable-key", keyed, snapshot)
    live = Settings(environment=Environment.LIVE)
    yield request_case("request/read/environment-served", _READ, snapshot, settings=live)
    test = Settings(environment=Environment.TEST)
    yield request_case("request/read/environment-not-served", _READ, snapshot, settings=test)


def answers() -> Iterator[Case]:
    """Yield answers of each operation by the state of the connection, its chain and its account."""
    for status in Status:
        for request, name in ((_READ, "get-connection"), (_RECONNECT, "reconnect")):
            snapshot = Snapshot(connection=make(status))
            yield request_case(f"operation/{name}/{status}", request, snapshot)
        yield request_case(f"operation/revoke/{status}", _REVOKE, Snapshot(connection=make(status)))
    chains = {
        "successor-pending": Snapshot(
            connection=make(Status.EXPIRED),
            successor=SUCCESSORS[SuccessorState.PENDING],
            head=SUCCESSORS[SuccessorState.PENDING],
        ),
        "superseded": Snapshot(
            connection=make(Status.EXPIRED), successor=SUCCESSORS[SuccessorState.OTHER], head=HEAD
        ),
    }
    for name, snapshot in chains.items():
        yield request_case(f"operation/reconnect/{name}", _RECONNECT, snapshot)
        yield request_case(f"operation/revoke/{name}", _REVOKE, snapshot)
    tombstoned = attrs.evolve(gone_before(), tombstoned_at=AUTHORIZED)
    for binding, word in ((tombstoned, "tombstoned"), (gone_before(), "made-later")):
        late = make(Status.ACTIVE)
        if word == "made-later":
            late = attrs.evolve(
                late, identity=attrs.evolve(late.identity, created_at=add_microseconds(START, 1))
            )
        for request, name in (
            (_READ, "get-connection"),
            (_RECONNECT, "reconnect"),
            (_REVOKE, "revoke"),
        ):
            yield request_case(
                f"operation/{name}/{word}",
                request,
                Snapshot(connection=late, binding=binding),
                comment="A tombstone ended it, and its sweep is still to come.",
            )
    behind = attrs.evolve(make(Status.ACTIVE), updated_at=add_microseconds(NOW, MINUTE))
    for request, name in ((_READ, "get-connection"), (_REVOKE, "revoke")):
        yield request_case(f"operation/{name}/clock-behind", request, Snapshot(connection=behind))
    created = _post(
        _CREATE, ParsedBody({"appUserId": "user-1", "dataPackages": ["b", "a", "b"]}), _KEY
    )
    yield request_case(
        "operation/create-connection/under-an-era", created, Snapshot(binding=gone_before())
    )
    preferred = _post(_INITIATE, ParsedBody({"appUserId": "user-1", "preferSignup": True}), _KEY)
    for state in AccountState:
        snapshot = Snapshot(binding=bound(state))
        yield request_case(f"operation/initiate/{state}", _ASKED, snapshot)
        yield request_case(f"operation/initiate/{state}/sign-up", preferred, snapshot)
        yield request_case(
            f"operation/graduation-handoff/{state}", _post(_GRADUATE, _USER), snapshot
        )
    yield from _landed()


def _landed() -> Iterator[Case]:
    """Yield gets of connections whose hand-off landed."""
    landed = LandedHandoff(AUTHORIZED, END)
    for status in Status:
        yield request_case(
            f"operation/get-connection/landed/{status}",
            _READ,
            Snapshot(connection=make(status), landed_handoff=landed),
            comment="It is the fact authorize; where that changes nothing, the get shows it as it is.",
        )
    yield request_case(
        "operation/get-connection/landed/superseded",
        _READ,
        Snapshot(
            connection=make(Status.PENDING),
            landed_handoff=landed,
            successor=SUCCESSORS[SuccessorState.OTHER],
            head=HEAD,
        ),
    )


def entity_tags() -> Iterator[Case]:
    """Yield requests for account states with further forms of `If-None-Match`."""
    for state in AccountState:
        for word, tag in (("same", etag(state)), ("other", '"account"')):
            yield request_case(
                f"entity-tag/{state}/{word}",
                Request("GET", _STATE, (("If-None-Match", tag),)),
                Snapshot(binding=bound(state)),
            )
    tag = etag(AccountState.UNLINKED)
    fields = {
        "empty": ("",),
        "empty-members": (f", ,{tag},\t,",),
        "white-space-around": (f"\t{tag} ",),
        "star-in-a-list": (f"*, {tag}",),
        "two-stars": ("*", "*"),
        "star-with-white-space": (" * ",),
        "comma-in-a-tag": (f'"a,b", {tag}',),
        "tag-in-a-tag": (f'"x, {tag[1:-1]}"',),
        "empty-tag": (f'"", {tag}',),
        "lower-case-weak": (f"w/{tag}",),
        "weak-with-a-space": (f"W/ {tag}",),
        "unclosed": (f'{tag}, "x',),
        "space-in-a-tag": (f'"a b", {tag}',),
        "upper-case-tag": (tag.upper(),),
        "prefix-of-the-tag": (tag[:-2] + '"',),
        "broken-member-last": (f"{tag}, x",),
        "broken-in-another-header": (tag, "x"),
        "obsolete-text": (f'"\u00ff", {tag}',),
        "beyond-latin-1": (f'"\u20ac", {tag}',),
    }
    for word, values in fields.items():
        headers = tuple(("if-none-match", value) for value in values)
        yield request_case(f"entity-tag/{word}", Request("GET", _STATE, headers))
