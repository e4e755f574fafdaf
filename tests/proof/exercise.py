"""Work that runs every public function of the pure packages."""

from __future__ import annotations

import json

import attrs

from curae_lifecycle import (
    Decision,
    Response,
    Snapshot,
    UserId,
    decide,
    dump,
    load,
    read,
    record_fact,
)
from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import (
    binding,
    chain,
    idempotency,
    preview,
    problems,
    ratelimit,
    triggers,
)
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.connection import Actor, Connection, Status, next_deadline
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.tables import Axis, check_keys
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service import gates, json_schema, members
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.operations.registry import OPERATIONS, operation_table
from curae_lifecycle.service.response import ResponseReference
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.web import asgi_wsgi, events, respond, wire_format
from curae_lifecycle.web.openapi import problem_codes
from curae_lifecycle.web.read import operation_name
from tests.proof.reference.traffic import traffic
from tests.support import server
from tests.support.eighth import Relabel
from tests.support.strategies import COORDINATE, START, at, pending


def lines() -> list[bytes]:
    """Return a log with every kind of line and every kind of answer."""
    # Many packages, so that an unsorted set differs between processes.
    many = {"appUserId": "user-9", "dataPackages": [f"p{number}" for number in range(16)]}
    request = {
        "method": "POST",
        "path": "/api/sdk/v1/connections",
        "headers": {"authorization": "Bearer many", "idempotency-key": "many"},
        "body": many,
    }
    caller = {
        "apiKey": "many",
        "appId": "app-1",
        "customerAccountId": COORDINATE.customer_account_id,
        "environment": "live",
        "scopes": ["connection:write"],
    }
    at_first = {"at": "2026-01-01T00:00:00Z"}
    first = [at_first | {"register": caller}, at_first | {"request": request}]
    return [json.dumps(line).encode() for line in first] + traffic(1, 250)


def the_rest() -> None:
    """Call the functions that no log reaches, since servers call them."""
    first = pending()
    ended = triggers.revoke(first, at(1), actor=Actor.APP, era=None).value
    merging.merge(ended, first)
    document = wire_format.format_connection(ended, at(2), "AUTHORIZED", binding=None)
    parsed = wire_format.parse_connection(
        document, environment=Environment.LIVE, app_id=COORDINATE.app_id
    )
    assert load(Connection, dump(parsed)) == parsed
    bound = binding.provision(None, COORDINATE, UserId("u-1"))
    assert isinstance(bound, Done)
    load(binding.LimitedAccountAppBinding, dump(bound.value))
    an_attempt()
    the_limits()
    for table in TABLES.values():
        for _, row in table.cells():
            str(row.outcome)
    for operation in OPERATIONS:
        problem_codes(operation)
    assert Relabel.examples() == ()
    assert operation_name(server.request("revoke")) == "revoke"
    call = read(server.request("revoke"), server.CALLER, START)
    assert not isinstance(call, Decision)
    assert not decide(call, Snapshot(connection=first), at(1)).replayed
    what_goes_on(first, ended)
    what_happened()
    what_names_a_page(first)
    what_makes_tables()
    what_servers_hand_over()


def what_goes_on(first: Connection, ended: Connection) -> None:
    """Call the functions of chains and previews."""
    chain.is_live(first, at(1), era=None)
    next_deadline(first, era=None)
    preview.preview_triggers(ended, at(1), successor=first, era=None)
    active = triggers.authorize(first, at(1), expires_at=at(60), era=None)
    assert isinstance(active, Done)
    preview.find_due_notices(active.value, at(2), era=None)


def what_happened() -> None:
    """Call the functions of events and of charged limits."""
    call = read(server.request("initiate"), server.CALLER, START)
    assert not isinstance(call, Decision)
    answer = respond.respond(decide(call, snapshot=Snapshot(), now=START, new_ids=server.new_ids()))
    assert respond.rate_limit_headers(answer.limits_left)
    for event in answer.changes.events:
        assert events.format_event(event)["id"] == event.id
        assert event.subject_id is None or event.coordinate == COORDINATE


def what_names_a_page(first: Connection) -> None:
    """Record a fact that names its hosted page, and call what other facts say of theirs."""
    url = "https://connect.example/1"
    page = HostedPage(
        digest=url_digest(url),
        kind=PageKind.CONNECTION,
        subject=first.id,
        expires_at=at(30),
    )
    fact = Authorized(first.id, page_url=url)
    assert isinstance(record_fact(fact, Snapshot(connection=first, page=page), at(1)), Done)
    user = UserId("u-1")
    about_session = HandoffCompleted(server.new_ids().session_id, user).page_key()
    assert about_session[0] is PageKind.SESSION
    about_user = Graduated(COORDINATE, user).page_key()
    assert about_user is not None
    kept = attrs.evolve(page, kind=about_user[0], subject=about_user[1])
    assert (kept.coordinate, kept.user_id) == (COORDINATE, user)
    assert Tombstoned(COORDINATE).page_key() is None


def an_attempt() -> None:
    """Run one key's record from its first attempt to its end."""
    key = idempotency.RecordKey(server.CALLER.key_owner, idempotency.parse_idempotency_key("k-1"))
    mark = idempotency.Fingerprint.of("revoke", ["a", "b\nc"])
    attempt = idempotency.begin_attempt(None, key=key, fingerprint=mark, now=START)
    assert isinstance(attempt, idempotency.Attempt)
    running = idempotency.in_flight_record(attempt)
    response = Response(200, (("date", "now"), ("etag", '"1"')), b"{}")
    attempts.renew(running, attempt, at(0.5))
    attempts.complete(running, attempt=attempt, response=response, now=at(0.5))
    attempts.complete(
        running, attempt=attempt, response=ResponseReference(200, "vault/1"), now=at(0.5)
    )
    attempts.release(running, attempt, at(0.5))
    attempts.resolve(running, at(1), response=response)
    done = attempts.forget(running, at(1)).value
    assert done is not None
    load(idempotency.Record, dump(done))


def the_limits() -> None:
    """Charge a log and a bucket until each refuses."""
    for policy in (
        ratelimit.ExactLog("log", 1, 60),
        ratelimit.Bucket(name="bucket", capacity=1, refill=1, seconds=60),
    ):
        state = ratelimit.fresh_state(policy)
        if isinstance(state, ratelimit.LogState):
            assert ratelimit.LogState.of(state.instants) == state
        charged = ratelimit.admit_one(policy, state, START)
        assert not isinstance(charged, int)
        ratelimit.count_remaining(policy, charged, START)
        ratelimit.state_expires_at(policy, charged)
        ratelimit.admit_one(policy, charged, START)
        limited = ratelimit.admit((ratelimit.Charge(policy, charged),), START)
        assert isinstance(limited, ratelimit.RateLimited)
        respond.format_rate_limit_policy(policy)
        respond.format_rate_limit(limited)


def what_makes_tables() -> None:
    """Call the functions that modules call once, at import."""
    Axis.of("status", Status)
    problems.final(problems.CONFLICT, "reason")
    problems.retryable(problems.LIMITED)
    check_keys("statuses", [*Status], Status)
    assert json_schema.or_null(json_schema.array_of(json_schema.TEXT))["type"] == ["array", "null"]
    operation_table(OPERATIONS)
    assert members.parse_enum("status", Status, "ACTIVE") is Status.ACTIVE
    assert gates.sort_gates(gates.Gate.RULE, gates.Gate.BODY) == (gates.Gate.BODY, gates.Gate.RULE)
    assert find_rule(gates.REQUEST_GATES[gates.Gate.RULE].rule) is not None


def what_servers_hand_over() -> None:
    """Call the parsers of ASGI and WSGI requests and responses."""
    scope = {"method": "GET", "raw_path": b"/a", "query_string": b"", "headers": [(b"a", b"b")]}
    assert asgi_wsgi.asgi_request(scope, b"").target == "/a"
    environ = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/a", "HTTP_A": "b"}
    assert asgi_wsgi.wsgi_request(environ, b"").target == "/a"
    assert asgi_wsgi.asgi_headers(Response(200, (("a", "b"),), b"")) == [(b"a", b"b")]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"a"}

    assert run_sync(asgi_wsgi.asgi_body(receive)) == b"a"
