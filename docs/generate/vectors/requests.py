"""Vectors of requests: gates, permission, operations, problem documents, entity tags.

The law of this module: **a request goes through `read`, `decide` and `respond`**, the three
functions that a server calls, from its bytes to the bytes of its response.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, cast

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import (
    CONNECTION_WRITE,
    PERMISSION,
    Caller,
    EnvironmentMatch,
    ScopeHeld,
    check_permission,
)
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.values import (
    SECOND,
    AppId,
    Environment,
    SessionId,
    UserId,
    add_microseconds,
    format_time,
    to_epoch_microseconds,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.gates import REQUEST_GATES, Gate
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.operations.operation import KeyUse
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds, Snapshot
from curae_lifecycle.service.status import PROBLEM_STATUS, is_kept, status_of
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import ParsedBody, Request
from curae_lifecycle.web.respond import respond
from curae_lifecycle.web.wire_format import format_problem
from docs.generate.vectors.accounts import bound
from docs.generate.vectors.cases import (
    BOUNDARY,
    START,
    Case,
    Members,
    Verdict,
    cell_id,
    connection_id,
    make_case,
    next_action,
    show_refusal,
    stored,
    time_or_null,
)
from docs.generate.vectors.changes import show_changes
from docs.generate.vectors.connections import NOW, make
from docs.generate.vectors.texts import CALLER

_ID: Final = connection_id(1)
_KEY: Final = ("Idempotency-Key", "k-1")
_BUCKET: Final = Bucket(name="platform", capacity=1, refill=1, seconds=60)
_BUCKETED: Final = Settings(buckets=(_BUCKET,))
_INITIATE: Final = "/api/sdk/v1/curae-connect/initiate"
_GRADUATION: Final = "/api/sdk/v1/curae-connect/graduation-handoff"
NEW_IDS: Final = NewIds(
    connection_id=connection_id(9),
    session_id=SessionId("22222222-2222-4222-8222-222222222222"),
    user_id=UserId("u-9"),
    next_action=next_action(NOW),
)
"""The ids that the server of the vectors has at hand."""

_BODY: Final = ParsedBody({"appUserId": "user-1"})


def permissions() -> Iterator[Case]:
    """Yield the permission of a known caller, by environment and scope."""
    for (environment, scope), row in PERMISSION.items():
        served = Environment.LIVE if environment is EnvironmentMatch.SERVED else Environment.TEST
        caller = CALLER if scope is ScopeHeld.HELD else attrs.evolve(CALLER, scopes=frozenset())
        result = check_permission(caller, CONNECTION_WRITE, served)
        given = {
            "caller": _caller(caller),
            "neededScope": CONNECTION_WRITE,
            "servedEnvironment": served,
        }
        name = cell_id(PERMISSION.name, (environment, scope))
        answer = {"outcome": "done", "rules": row.rules} if result is None else show_refusal(result)
        yield make_case(name, given, answer)
    for served in (None, *Environment):
        result = check_permission(attrs.evolve(CALLER, scopes=frozenset()), None, served)
        read_by: dict[str, object] = {
            "caller": _caller(attrs.evolve(CALLER, scopes=frozenset())),
            "neededScope": None,
            "servedEnvironment": served,
        }
        answer = {"outcome": "done"} if result is None else show_refusal(result)
        yield make_case(f"permission/read/{served or 'both'}", read_by, answer)


def gates() -> Iterator[Case]:
    """Yield a request that stops at each gate."""
    spent = BucketState(to_epoch_microseconds(NOW) + 60 * SECOND)
    revoke = f"/api/sdk/v1/connections/{_ID}:revoke"
    reconnect = f"/api/sdk/v1/connections/{_ID}:reconnect"
    initiate = Request(method="POST", target=_INITIATE, headers=(_KEY,), body=_BODY)
    first = decide(
        cast("Call", read(initiate, CALLER, START)),
        snapshot=Snapshot(),
        now=START,
        new_ids=NEW_IDS,
    )
    kept = cast("Record", respond(first).changes.writes[-1].after)
    other = Request(
        method="POST", target=_INITIATE, headers=(_KEY,), body=ParsedBody({"appUserId": "user-2"})
    )
    name = REQUEST_GATES.name
    yield request_case(cell_id(name, (Gate.CREDENTIALS,)), initiate, caller=None)
    yield request_case(cell_id(name, (Gate.ROUTE,)), Request("PUT", _INITIATE))
    no_scope = attrs.evolve(CALLER, scopes=frozenset())
    yield request_case(cell_id(name, (Gate.PERMISSION,)), initiate, caller=no_scope)
    wrong = Request(
        method="POST", target=_INITIATE, headers=(_KEY,), body=ParsedBody({"appUserId": " "})
    )
    yield request_case(cell_id(name, (Gate.BODY,)), wrong)
    with_key = Request(method="POST", target=_GRADUATION, headers=(_KEY,), body=_BODY)
    yield request_case(cell_id(name, (Gate.KEY_ALLOWED,)), with_key)
    yield request_case(
        cell_id(name, (Gate.KEY_GIVEN,)),
        Request(method="POST", target=_INITIATE, headers=(), body=_BODY),
    )
    unread = Request(
        method="POST", target=_INITIATE, headers=(("idempotency-key", '"k'),), body=_BODY
    )
    yield request_case(cell_id(name, (Gate.KEY_READABLE,)), unread)
    yield request_case(
        cell_id(name, (Gate.BUCKETS,)), initiate, Snapshot(buckets=(spent,)), settings=_BUCKETED
    )
    yield request_case(cell_id(name, (Gate.IDEMPOTENCY,)), other, Snapshot(record=kept))
    full = LogState.of((NOW,) * 10)
    yield request_case(cell_id(name, (Gate.LIMIT,)), initiate, Snapshot(limit=full))
    yield request_case(cell_id(name, (Gate.OWNERSHIP,)), Request("POST", revoke, (_KEY,)))
    pending = Snapshot(connection=make(Status.PENDING))
    yield request_case(cell_id(name, (Gate.RULE,)), Request("POST", reconnect, (_KEY,)), pending)
    yield request_case(
        f"{name}/replay-at-the-limit",
        initiate,
        Snapshot(record=kept, limit=full),
        comment="A lost answer can be learned at the limit.",
    )
    foreign = attrs.evolve(CALLER, app_id=AppId("app-2"))
    owned = Snapshot(connection=make(Status.ACTIVE))
    yield request_case(
        f"{name}/another-app",
        Request("POST", revoke, (_KEY,)),
        owned,
        caller=foreign,
        comment="Byte for byte what an unknown id is answered.",
    )


def operations() -> Iterator[Case]:
    """Yield a successful request of every operation."""
    bodies = {
        "create-connection": ParsedBody({"appUserId": "user-1", "dataPackages": ["labs"]}),
        "initiate": _BODY,
        "graduation-handoff": _BODY,
    }
    snapshots = {
        "get-connection": Snapshot(connection=make(Status.ACTIVE)),
        "revoke": Snapshot(connection=make(Status.ACTIVE)),
        "reconnect": Snapshot(connection=make(Status.REVOKED)),
        "graduation-handoff": Snapshot(binding=bound(AccountState.LIMITED)),
    }
    for operation, row in OPERATION_TABLE.items():
        rule = row.outcome
        path = rule.path.replace("{connectionId}", _ID)
        if rule.query:
            path += "?appUserId=user-1"
        headers = (_KEY,) if rule.key is KeyUse.NEEDED else ()
        request = Request(
            method=rule.method, target=path, headers=headers, body=bodies.get(operation, b"")
        )
        name = cell_id(OPERATION_TABLE.name, (operation,))
        yield request_case(name, request, snapshots.get(operation, Snapshot()))
    lapsed = make(Status.PENDING, add_microseconds(NOW, -1))
    for word, ticks in BOUNDARY.items():
        yield request_case(
            f"{OPERATION_TABLE.name}/get-connection/landed/{word}",
            Request("GET", f"/api/sdk/v1/connections/{_ID}"),
            Snapshot(
                connection=lapsed,
                landed_handoff=LandedHandoff(add_microseconds(NOW, ticks - 1), None),
            ),
            comment="A hand-off that landed in time heals its connection, however late it is read.",
        )


def entity_tags() -> Iterator[Case]:
    """Yield requests for an account state with each form of `If-None-Match`."""
    tag = etag(AccountState.UNLINKED)
    fields = {
        "none": (),
        "same": (tag,),
        "weak": (f"W/{tag}",),
        "star": ("*",),
        "list": (f'"x", {tag}',),
        "two-headers": ('"x"', tag),
        "other": (etag(AccountState.ACTIVE),),
        "unquoted": (tag.strip('"'),),
        "broken-list": (f"{tag} {tag}",),
    }
    path = "/api/sdk/v1/curae-connect/account-state?appUserId=user-1"
    for word, values in fields.items():
        headers = tuple(("If-None-Match", value) for value in values)
        yield request_case(f"entity-tag/{word}", Request("GET", path, headers))


def problems() -> Iterator[Case]:
    """Yield the document of every problem code."""
    for code, row in CATALOGUE.items():
        problem = _problem(code)
        given = {
            "code": code,
            "values": {name: _plain(value) for name, value in problem.details.items()},
        }
        document = {
            name: value
            for name, value in format_problem(problem).items()
            if name not in {"title", "detail"}
        }
        comment = "`title` and `detail` are there too; they are for people and may change."
        yield Case(
            id=cell_id(CATALOGUE.name, (code,)),
            input=given,
            answer={"document": document},
            rule=row.rule,
            comment=comment,
        )
    for code in (ProblemCode.INTERNAL, ProblemCode.NOT_FOUND):
        printed = format_problem(Problem(code), "https://errors.example.org/", "/occurrences/1")
        document = {
            name: value for name, value in printed.items() if name not in {"title", "detail"}
        }
        with_base: dict[str, object] = {
            "code": code,
            "values": {},
            "typeBase": "https://errors.example.org/",
            "instance": "/occurrences/1",
        }
        rule = CATALOGUE[code].rule
        yield Case(
            id=f"problems/instance/{code}",
            input=with_base,
            answer={"document": document},
            rule=rule,
        )


_VALUES: Final[dict[str, DetailValue]] = {
    "member": "appUserId",
    "fault": "INVALID",
    "scope": CONNECTION_WRITE,
    "environment": "test",
    "connectionId": _ID,
    "dataPackage": "labs",
    "reason": "REVOKED",
    "nextConnectionId": connection_id(2),
    "headConnectionId": connection_id(3),
    "standing": "EXPIRED",
    "deadline": START,
    "sessionId": NEW_IDS.session_id,
    "expiresAt": START,
    "path": "SILENT_LIMITED",
    "lifecycleState": "ACTIVE",
    "retryAfter": 12,
    "differs": "values",
    "policy": "initiate",
}


def _problem(code: ProblemCode) -> Problem:
    return Problem(code, tuple(_VALUES[name] for name in CATALOGUE[code].outcome.details))


def _plain(value: DetailValue) -> object:
    return format_time(value) if isinstance(value, datetime) else value


def statuses() -> Iterator[Case]:
    """Yield the HTTP status of each kind of problem, and whether its answer is kept."""
    for kind, row in PROBLEM_STATUS.items():
        codes = [code for code, each in CATALOGUE.items() if each.outcome.kind is kind]
        (status,) = {status_of(_problem(code)) for code in codes}
        given = {"kind": kind, "codes": codes}
        answer = {"status": status, "kept": is_kept(status)}
        yield Case(
            id=cell_id(PROBLEM_STATUS.name, (kind,)), input=given, answer=answer, rule=row.rule
        )


def request_case(
    id: str,  # noqa: A002 - see `Case`
    request: Request,
    snapshot: Snapshot | None = None,
    *,
    caller: Caller | None = CALLER,
    settings: Settings | None = None,
    comment: str | None = None,
) -> Case:
    """Return the case of one whole request."""
    loaded = snapshot or Snapshot()
    chosen = settings or Settings()
    call = read(request, caller=caller, now=NOW, settings=chosen)
    decision = (
        decide(call, snapshot=loaded, now=NOW, new_ids=NEW_IDS) if isinstance(call, Call) else call
    )
    answer = respond(decision)
    response = answer.response
    body = request.body
    given: dict[str, object] = {
        "method": request.method,
        "target": request.target,
        "headers": [list(pair) for pair in request.headers],
        "body": body.value if isinstance(body, ParsedBody) else None,
        "caller": None if caller is None else _caller(caller),
        "servedEnvironment": chosen.environment,
        "now": format_time(NOW),
        "buckets": [
            {
                "name": each.name,
                "capacity": each.capacity,
                "refill": each.refill,
                "seconds": each.seconds,
            }
            for each in chosen.buckets
        ],
        "stored": {
            "record": stored(loaded.record),
            "buckets": [None if each is None else stored(each) for each in loaded.buckets],
            "limit": stored(loaded.limit),
            "connection": stored(loaded.connection),
            "successor": stored(loaded.successor),
            "head": stored(loaded.head),
            "binding": stored(loaded.binding),
            "landed": None
            if loaded.landed_handoff is None
            else {
                "happenedAt": format_time(loaded.landed_handoff.happened_at),
                "expiresAt": time_or_null(loaded.landed_handoff.expires_at),
            },
        },
        "newIds": {
            "connectionId": NEW_IDS.connection_id,
            "sessionId": NEW_IDS.session_id,
            "userId": NEW_IDS.user_id,
            "nextAction": {
                "url": NEW_IDS.next_action.url,
                "expiresAt": format_time(NEW_IDS.next_action.expires_at),
            },
        },
    }
    shown: Members = {
        "status": response.status,
        "headers": [list(pair) for pair in response.headers],
        "body": response.body.decode() if response.status < _FAULT else _contract(response.body),
        "replayed": answer.replayed,
        "rules": answer.rules,
        "changes": show_changes(answer.changes),
    }
    verdict = Verdict.VALID if response.status < _FAULT else Verdict.INVALID
    return Case(
        id=id, input=given, answer=shown, rule=answer.rules[-1], verdict=verdict, comment=comment
    )


_FAULT: Final = 400


def _contract(body: bytes) -> Members:
    document = cast("dict[str, object]", parse_json(body))
    return {name: document[name] for name in document if name not in {"title", "detail"}}


def _caller(caller: Caller) -> Members:
    return {
        "apiKeyId": caller.api_key_id,
        "appId": caller.app_id,
        "customerAccountId": caller.customer_account_id,
        "environment": caller.environment,
        "scopes": sorted(caller.scopes),
    }
