"""Rule trails of requests and facts, by gate (section 6 of the rules)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.ratelimit import Bucket, LogState
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from docs.explorer.answers import document
from tests.support.server import CALLER, ID, LIMITED, new_ids, request, successor, world
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending

RULES: Final = Path(__file__).parents[2] / "docs" / "rules.md"
ACTIVE: Final = apply_trigger(pending(), "authorize for ever", at(1))
REVOKED: Final = apply_trigger(pending(), "APP", START)
NEXT: Final = successor()
FOLLOWED: Final = Snapshot(connection=REVOKED, successor=NEXT, head=NEXT)
TEST_ONLY: Final = Settings(environment=Environment.TEST)
BUCKETS: Final = Settings(buckets=(Bucket("platform", 1, 1, seconds=1),))
NO_SCOPE: Final = attrs.evolve(CALLER, scopes=frozenset[str]())


def ask(
    asked: Request,
    snapshot: Snapshot = Snapshot(),  # noqa: B008 - a frozen value
    *,
    caller: Caller | None = CALLER,
    settings: Settings = DEFAULT_SETTINGS,
) -> Sequence[str]:
    """Return the trail of a request."""
    call = read(asked, caller, at(2), settings=settings)
    if isinstance(call, Decision):
        return call.rules
    return decide(call, snapshot, at(2), new_ids=new_ids(9, at(2))).rules


def loaded(connection: Connection, landed_handoff: LandedHandoff | None = None) -> Snapshot:
    return Snapshot(connection=connection, landed_handoff=landed_handoff)


FULL: Final = LogState.of([at(2)] * 10)
LANDED: Final = LandedHandoff(at(1), None)

REQUESTS: Final[dict[str, tuple[Sequence[str], list[str]]]] = {
    # A refusal before the idempotency gate names one rule. A passed gate names none.
    "no credentials": (ask(request("get"), caller=None), ["request.credentials"]),
    "unknown path": (ask(attrs.evolve(request("get"), target="/")), ["request.route"]),
    "no scope": (ask(request("create"), caller=NO_SCOPE), ["permission.scope-missing"]),
    "other environment": (
        ask(request("get"), settings=TEST_ONLY),
        ["permission.wrong-environment"],
    ),
    "body": (ask(request("create", body=b"[]")), ["request.body"]),
    "no key": (ask(request("create", key=None)), ["request.key-required"]),
    # A 429 of a limit names one rule; the record, read before it, is not named.
    "app user's limit": (ask(request("initiate"), Snapshot(limit=FULL)), ["request.limit"]),
    # A read names its operation, and no permission and no key.
    "get": (ask(request("get"), loaded(ACTIVE)), ["operation.get-connection"]),
    "get, landed": (
        ask(request("get"), loaded(pending(), landed_handoff=LANDED)),
        ["operation.get-connection", "connection.authorize.pending"],
    ),
    "get, landed and ACTIVE": (
        ask(request("get"), loaded(ACTIVE, landed_handoff=LANDED)),
        ["operation.get-connection", "connection.authorize.active"],
    ),
    "account state": (ask(request("account-state")), ["operation.account-state"]),
    "ownership": (
        ask(request("revoke")),
        ["idempotency.absent", "operation.revoke", "request.ownership"],
    ),
    "create": (ask(request("create")), ["idempotency.absent", "operation.create-connection"]),
    "revoke": (
        ask(request("revoke"), loaded(ACTIVE)),
        [
            "idempotency.absent",
            "operation.revoke",
            "revocation-reach.app",
            "connection.revoke.active",
        ],
    ),
    "revoke again": (
        ask(request("revoke"), loaded(REVOKED)),
        [
            "idempotency.absent",
            "operation.revoke",
            "revocation-reach.app",
            "connection.revoke.revoked",
        ],
    ),
    "reconnect": (
        ask(request("reconnect"), FOLLOWED),
        [
            "idempotency.absent",
            "operation.reconnect",
            "connection.reconnect.revoked",
            "recovery.revoked.pending",
        ],
    ),
    "initiate, provisioned": (
        ask(request("initiate")),
        [
            "idempotency.absent",
            "operation.initiate",
            "entry-path.unlinked.silent",
            "binding.provision.unlinked",
        ],
    ),
    # The entry path reuses the user, so the binding table is not consulted.
    "initiate, LIMITED": (
        ask(request("initiate"), Snapshot(binding=LIMITED)),
        ["idempotency.absent", "operation.initiate", "entry-path.limited.silent"],
    ),
    "graduation": (
        ask(request("graduation"), Snapshot(binding=LIMITED)),
        ["operation.graduation-handoff", "graduation-handoff.limited"],
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_trail_of_a_request_names_each_rule_that_decided_it(case: str) -> None:
    trail, expected = REQUESTS[case]
    assert list(trail) == expected


def test_trail_of_a_bucket_refusal_names_only_the_bucket_rule() -> None:
    store = world(BUCKETS)
    serve(store, request("get"), lambda _: new_ids(), settings=BUCKETS)
    answer = serve(store, request("create"), lambda _: new_ids(2), settings=BUCKETS)
    assert (answer.response.status, list(answer.rules)) == (429, ["request.buckets"])


def test_trail_of_a_replay_has_only_its_idempotency_rule() -> None:
    store = world()
    serve(store, request("create"), lambda _: new_ids())
    answer = serve(store, request("create"), lambda _: new_ids(2))
    assert (answer.replayed, list(answer.rules)) == (True, ["idempotency.completed.same"])


FACTS: Final[dict[str, tuple[Fact, Snapshot, list[str]]]] = {
    "unknown": (Expired(ID), Snapshot(), ["request.ownership"]),
    "authorize": (Authorized(ID), loaded(pending()), ["connection.authorize.pending"]),
    "authorize, superseded": (Authorized(ID), FOLLOWED, ["authorization.successor-pending"]),
    "expire, recorded before": (
        Expired(ID),
        loaded(apply_trigger(ACTIVE, "expire", at(2))),
        ["connection.expire.expired", "expiry-record.expired"],
    ),
    "graduate": (
        Graduated(COORDINATE),
        Snapshot(binding=attrs.evolve(LIMITED, state=AccountState.ACTIVE)),
        ["binding.graduate.active.same"],
    ),
}


@pytest.mark.parametrize("case", FACTS)
def test_trail_of_a_fact_names_each_rule_that_decided_it(case: str) -> None:
    fact, snapshot, expected = FACTS[case]
    assert list(record_fact(fact, snapshot, at(3)).rules) == expected


@pytest.mark.parametrize("actor", Actor)
def test_revoked_fact_trail_begins_with_revocation_reach_rule(actor: Actor) -> None:
    fact = Revoked(ID, actor)
    chain = fact.needs().chain is not None
    snapshot = Snapshot(connection=REVOKED, following=(NEXT,)) if chain else FOLLOWED
    trail = ["connection.revoke.revoked", *["connection.revoke.pending"] * chain]
    answer = record_fact(fact, snapshot, at(3))
    assert list(answer.rules) == [f"revocation-reach.{actor.lower()}", *trail]


@pytest.mark.slow
def test_rules_md_lists_exactly_the_tables_absent_from_trails() -> None:
    text = RULES.read_text(encoding="utf-8")
    said = text.partition('<a id="trail"></a>')[2].partition("\n<a id=")[0]
    absent = re.findall(
        r"`([\w-]+)`", said.rpartition("The tables ")[2].partition("are\nin no trail")[0]
    )
    tables = document()["tables"]
    assert isinstance(tables, list)
    explored = {str(table["name"]) for table in tables if isinstance(table, dict)}
    # A preview, `standing` and `deadline` name no rule; the explorer looks up the row itself.
    named = {*explored, "permission"} - {"standing", "deadline"}
    assert set(absent) == set(TABLES) - named
    for name in named - {"access"}:
        assert f"`{name}." in said, name
