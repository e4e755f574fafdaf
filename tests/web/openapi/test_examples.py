"""Examples of responses and problems, for operations and settings that the package does not have."""

from __future__ import annotations

import json
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.problems import CATALOGUE, Fault, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket, ExactLog, RateLimited
from curae_lifecycle.service.operations import example_values
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Example, OperationRule, ProblemReply
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.openapi.examples import problem_reply, successes
from curae_lifecycle.web.openapi.schemas import EXAMPLE_BUCKET, example_problem
from tests.support.strategies import apply_trigger

OPTIONAL: Final = tuple(attrs.evolve(each, optional=True) for each in GetAccountState.rule.query)
NOTHING: Final = attrs.evolve(GetAccountState.rule, query=())
FAULTS: Final[list[tuple[OperationRule, tuple[str | None, Fault]]]] = [
    (Initiate.rule, ("appUserId", Fault.MISSING)),
    (GetAccountState.rule, ("appUserId", Fault.MISSING)),
    (GetConnection.rule, ("connectionId", Fault.INVALID)),
    (attrs.evolve(NOTHING, query=OPTIONAL), ("appUserId", Fault.INVALID)),
    (NOTHING, (None, Fault.NOT_JSON)),
]


@pytest.mark.parametrize(("rule", "details"), FAULTS)
def test_bad_request_example_has_a_fault_its_operation_can_have(
    rule: OperationRule, details: tuple[str | None, Fault]
) -> None:
    expected = ProblemReply(Problem(ProblemCode.BAD_REQUEST, details))
    assert problem_reply(ProblemCode.BAD_REQUEST, rule, Settings()) == expected


def test_scope_problem_example_names_the_scope_of_its_operation() -> None:
    rule = attrs.evolve(Initiate.rule, scope="session:write")
    expected = ProblemReply(Problem(ProblemCode.SCOPE_INSUFFICIENT, ("session:write",)))
    assert problem_reply(ProblemCode.SCOPE_INSUFFICIENT, rule, Settings()) == expected


OWN: Final = ExactLog("own", 3, 60)
BUCKETS: Final = (
    Bucket("slow", capacity=9, refill=3, seconds=7),
    Bucket("other", capacity=9, refill=1, seconds=1),
)
LIMITS: Final = [
    (OWN, (), RateLimited((), OWN, 12_000_000), 12),
    (OWN, BUCKETS, RateLimited((), OWN, 12_000_000), 12),
    (None, (), RateLimited((), EXAMPLE_BUCKET, 20_000), 1),
    (None, BUCKETS, RateLimited((), BUCKETS[0], 2_333_334), 3),
    (None, BUCKETS[1:], RateLimited((), BUCKETS[1], 1_000_000), 1),
]


@pytest.mark.parametrize(("limit", "buckets", "limited", "seconds"), LIMITS)
def test_429_example_names_the_operations_limit_else_a_bucket(
    limit: ExactLog | None, buckets: tuple[Bucket, ...], *, limited: RateLimited, seconds: int
) -> None:
    rule = attrs.evolve(Initiate.rule, limit=limit)
    problem = Problem(ProblemCode.RATE_LIMITED, (limited.policy.name, seconds))
    expected = ProblemReply(problem, limited)
    assert problem_reply(ProblemCode.RATE_LIMITED, rule, Settings(buckets=buckets)) == expected


@pytest.mark.parametrize("code", ProblemCode)
def test_problem_example_has_details_in_the_order_of_the_table(code: ProblemCode) -> None:
    assert list(example_problem(code).details) == list(CATALOGUE[code].outcome.details)


class ShownActive(GetConnection):
    """An operation whose example is an active connection."""

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return one example."""
        active = apply_trigger(example_values.CONNECTION, "authorize", example_values.NOW)
        return (Example("active", cls(active.id), Snapshot(connection=active)),)


@pytest.mark.parametrize("spelling", ["ACTIVE", "AUTHORIZED"])
def test_success_example_spells_active_status_as_configured(spelling: str) -> None:
    (title, response), *others = successes(ShownActive, Settings(active_spelling=spelling)).items()
    assert (title, response.status, others) == ("active", 200, [])
    assert json.loads(response.body)["connection"]["status"] == spelling
