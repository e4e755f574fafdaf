"""Tests of the facts that the kit's hooks record, and of the outcomes that they return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    ConnectionId,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.testing.conformance import HOOKS, ApiKeyRequest, Request, Response
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of, outcome_name
from tests.testing.conformance.by_hand import ACCOUNT, app

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = "c0ffee00-0000-4000-8000-00000000abcd"
CONNECTION = ConnectionId(ID)
COORDINATE = app().coordinate("u")

DONE = Done(NO_CHANGES, ("a",))
IGNORED = Ignored(NO_CHANGES, ("a",))


class Noting(FactHooks):
    """Hooks that note each fact."""

    def __init__(self, answer: FactAnswer = DONE) -> None:
        self.answer = answer
        self.facts: list[Fact] = []

    def make_key(self, wanted: ApiKeyRequest) -> str:
        raise NotImplementedError(wanted)  # these tests record facts alone

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        raise NotImplementedError(api_key, wanted)  # as above

    def pass_time(self, span: timedelta) -> None:
        raise NotImplementedError(span)  # as above

    def may_read(self, connection_id: str, package: str) -> bool:
        raise NotImplementedError(connection_id, package)  # as above

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        raise NotImplementedError(buckets)  # as above

    def clock(self) -> datetime:
        return NOW

    def record_fact(self, fact: Fact) -> FactAnswer:
        self.facts.append(fact)
        return self.answer


@pytest.mark.parametrize(
    ("hook", "arguments", "fact"),
    [
        ("authorize", (ID, HOUR), Authorized(CONNECTION, NOW + HOUR)),
        ("authorize", (ID, None), Authorized(CONNECTION, None)),
        ("authorize_late", (ID, HOUR), Authorized(CONNECTION, happened_at=NOW - HOUR)),
        ("require_action", (ID, "login"), ActionRequired(CONNECTION, "login")),
        ("expire", (ID,), Expired(CONNECTION)),
        ("revoke", (ID, Actor.PLATFORM), Revoked(CONNECTION, Actor.PLATFORM)),
        ("revoke_late", (ID, Actor.PATIENT, HOUR), Revoked(CONNECTION, Actor.PATIENT, NOW - HOUR)),
        ("complete_handoff", (ID, "u-1"), HandoffCompleted(SessionId(ID), UserId("u-1"))),
        ("graduate", (COORDINATE, None), Graduated(COORDINATE, None)),
        ("graduate", (COORDINATE, "u-1"), Graduated(COORDINATE, UserId("u-1"))),
        ("tombstone", (COORDINATE,), Tombstoned(COORDINATE)),
        ("record", (Expired(CONNECTION),), Expired(CONNECTION)),
    ],
)
def test_hook_records_its_fact_and_returns_the_outcome(
    hook: str, arguments: tuple[object, ...], fact: Fact
) -> None:
    for answer, outcome in ((DONE, "done"), (IGNORED, "ignored")):
        hooks = Noting(answer)
        assert getattr(hooks, hook)(*arguments) == outcome
        assert hooks.facts == [fact]


def test_outcome_of_a_fact_is_done_ignored_or_a_problem_code() -> None:
    refused = Refused(Problem(ProblemCode.NOT_FOUND), ("a",))
    assert outcome_name(refused) == "NOT_FOUND"
    assert (outcome_name(DONE), outcome_name(IGNORED)) == ("done", "ignored")


def test_api_key_id_takes_the_number_at_the_end_of_the_api_key() -> None:
    wanted = ApiKeyRequest("app", ACCOUNT, Environment.TEST, scopes=frozenset({"a"}))
    assert caller_of("cae_test_a_17", wanted) == Caller(
        api_key_id=ApiKeyId("key-17"),
        app_id=AppId("app"),
        customer_account_id=CustomerAccountId(ACCOUNT),
        environment=Environment.TEST,
        scopes=frozenset({"a"}),
    )


@pytest.mark.parametrize("environment", [None, *Environment])
def test_server_of_fact_hooks_has_only_the_implemented_hooks(
    environment: Environment | None,
) -> None:
    def send(request: Request) -> Response:
        raise NotImplementedError(request)  # only its presence counts

    hooks = Noting()
    server = hooks.as_server(send, environment)
    assert (server.send, server.make_key) == (send, hooks.make_key)
    assert server.environment is environment
    own = {name: getattr(hooks, name, None) for name in HOOKS if name != "environment"}
    own["record_fact"] = hooks.record
    assert {name: getattr(server, name) for name in own} == own
    missing = {name for name in own if own[name] is None}
    assert missing == {
        *("turn_clock_back", "change_key_id", "withdraw", "finish", "cancel", "purge"),
        *("outbox", "race_rounds"),
    }
