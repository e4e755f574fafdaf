"""Examples of responses: the successes that the operations give, and each problem.

The law of this module: **an example is a response that the operation can give**. A success is
decided; a problem names the operation's own members, scope and limits.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.problems import DetailValue, Fault, ProblemCode
from curae_lifecycle.rules.ratelimit import RateLimited
from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, UserId, ceil_seconds
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.example_values import CALLER, NOW
from curae_lifecycle.service.operations.operation import (
    Example,
    Operation,
    OperationRule,
    ProblemReply,
)
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.web.openapi.schemas import EXAMPLE_BUCKET, example_problem
from curae_lifecycle.web.respond import respond

_NEW_IDS: Final = NewIds(
    connection_id=ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    session_id=SessionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    user_id=UserId("user-of-the-platform"),
    next_action=NextAction("https://connect.example/6b7f2a52", NOW + timedelta(minutes=30)),
)


def successes(kind: type[Operation], settings: Settings) -> dict[str, Response]:
    """Return the successful responses that the OpenAPI document shows for an operation, by title.

    Args:
        kind: The class of the operation. Its `examples()` gives the requests and the titles.
        settings: The settings of the server.
    """
    return {each.title: _response(each, settings) for each in kind.examples()}


def problem_reply(code: ProblemCode, rule: OperationRule, settings: Settings) -> ProblemReply:
    """Build an example of the reply that refuses an operation, for the OpenAPI document.

    Args:
        code: The problem's code.
        rule: The properties of the operation: the example shows its members, scope or limit.
        settings: The settings of the server.
    """
    if code is ProblemCode.BAD_REQUEST:
        return ProblemReply(example_problem(code, _fault(rule)))
    if code is ProblemCode.SCOPE_INSUFFICIENT:
        return ProblemReply(example_problem(code, {"scope": rule.scope}))
    if code is ProblemCode.RATE_LIMITED:
        limited = _limited(rule, settings)
        details: dict[str, DetailValue] = {
            "policy": limited.policy.name,
            "retryAfter": ceil_seconds(limited.retry_after),
        }
        return ProblemReply(example_problem(code, details), limited)
    return ProblemReply(example_problem(code))


def _fault(rule: OperationRule) -> dict[str, DetailValue]:
    can_miss = [each for each in (*(rule.body or ()), *rule.query) if not each.optional]
    if can_miss:
        return {"member": can_miss[0].name, "fault": Fault.MISSING}
    member = rule.members[0].name if rule.members else None
    return {"member": member, "fault": Fault.INVALID if member else Fault.NOT_JSON}


def _limited(rule: OperationRule, settings: Settings) -> RateLimited:
    if rule.limit is not None:
        return RateLimited((), rule.limit, 12_000_000)
    bucket = settings.buckets[0] if settings.buckets else EXAMPLE_BUCKET
    # An empty bucket admits a request as soon as it has one token.
    return RateLimited((), bucket, -(-bucket.seconds * 1_000_000 // bucket.refill))


def _response(example: Example, settings: Settings) -> Response:
    # A key would change what is stored, not the response. The snapshot holds no states of buckets,
    # and a success shows none.
    call = Call(caller=CALLER, operation=example.operation, settings=settings, charged=True)
    decision = decide(call, snapshot=example.snapshot, now=NOW, new_ids=_NEW_IDS)
    return respond(decision).response
