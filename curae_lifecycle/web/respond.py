"""Decisions to responses: status, headers and body.

The law of this module: **what holds a hand-off URL is never stored on its way**, and a response
holds nothing but the members of its reply.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import completed_record
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.ratelimit import MAX_INTEGER, LimitLeft, Policy, RateLimited, limit_left
from curae_lifecycle.rules.values import ceil_seconds
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.operations.operation import NotModified, ProblemReply, Replayed, Reply
from curae_lifecycle.service.response import Headers, Response, ResponseReference
from curae_lifecycle.service.writes import RateWrite, RecordWrite
from curae_lifecycle.web.json import format_json
from curae_lifecycle.web.wire_format import format_problem, format_reply, has_next_action


@attrs.frozen
class Answer:
    """What the server sends, and what it stores, does and tells in the same transaction.

    Attributes:
        response: What is sent, fresh or replayed.
        changes: Writes (the idempotency record among them), effects, events.
        rules: The names of the rules that decided, in order; the last one had the last word.
        replayed: Whether the response was sent before; the response itself does not say so.
        decided_at: The instant it was decided for.
    """

    response: Response
    changes: Changes
    rules: tuple[str, ...]
    replayed: bool
    decided_at: datetime

    @property
    def limits_left(self) -> tuple[LimitLeft, ...]:
        """What is left of each limit that was charged, for servers that want to tell [O].

        A replay, and what the rule itself refuses, are charged too; a 429 charges nothing.
        """
        writes = [each for each in self.changes.writes if isinstance(each, RateWrite)]
        return tuple(limit_left(each.policy, each.after, self.decided_at) for each in writes)


def respond(
    decision: Decision,
    *,
    fetch: Callable[[ResponseReference], Response] | None = None,
    instance: str | None = None,
) -> Answer:
    """The response of a decision, and the record that keeps it where it is to be kept.

    Args:
        decision: What was decided.
        fetch: Gives the kept response of a reference, where the server stores references.
        instance: The server's own URI of this occurrence, for a problem that is not a 404.

    Raises:
        ArgumentError: A replay of a reference without `fetch`.
    """
    reply = decision.reply
    if isinstance(reply, Replayed):
        response = _stored(reply, fetch)
        return Answer(
            response,
            decision.changes,
            decision.rules,
            replayed=True,
            decided_at=decision.decided_at,
        )
    response = _response(decision, reply, instance)
    changes = decision.changes
    attempt = decision.attempt
    if attempt is not None:
        write = RecordWrite(attempt.key, decision.record, completed_record(attempt, response))
        changes = Changes((*changes.writes, write), changes.effects, changes.events)
    return Answer(response, changes, decision.rules, replayed=False, decided_at=decision.decided_at)


def format_rate_limit_policy(policy: Policy) -> str:
    """The `RateLimit-Policy` field of one rule, draft-ietf-httpapi-ratelimit-headers-11."""
    return f"{_quoted(policy.name)};q={policy.limit};w={policy.window}"


def format_rate_limit(limited: RateLimited) -> str:
    """The `RateLimit` field of a refusal: nothing left for as long as it must wait."""
    return _limit_item(limited.policy, 0, ceil_seconds(limited.retry_after))


def rate_limit_headers(limits: tuple[LimitLeft, ...]) -> Headers:
    """Both fields of what is left, for a server that adds them to the response of an answer."""
    if not limits:
        return ()
    left = [_limit_item(each.policy, each.remaining, each.reset_seconds) for each in limits]
    return (
        ("ratelimit-policy", ", ".join([format_rate_limit_policy(each.policy) for each in limits])),
        ("ratelimit", ", ".join(left)),
    )


def _limit_item(policy: Policy, remaining: int, seconds: int) -> str:
    # A clock that stepped back can make the time longer than the field can carry.
    return f"{_quoted(policy.name)};r={remaining};t={min(seconds, MAX_INTEGER)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _stored(reply: Replayed, fetch: Callable[[ResponseReference], Response] | None) -> Response:
    stored = reply.response
    if isinstance(stored, Response):
        return stored
    if fetch is None or not isinstance(stored, ResponseReference):
        raise ArgumentError("fetch", "given where responses are kept by reference")
    return fetch(stored)


_JSON: Final = ("content-type", "application/json")
_PROBLEM_JSON: Final = ("content-type", "application/problem+json")
_NO_STORE: Final = ("cache-control", "no-store")
_REVALIDATE: Final = ("cache-control", "private, no-cache")
_CHALLENGE: Final = ("www-authenticate", "Bearer")


def _response(decision: Decision, reply: Reply, instance: str | None) -> Response:
    status, settings = decision.status, decision.settings
    if isinstance(reply, ProblemReply):
        problem = format_problem(reply.problem, settings.type_base, instance)
        return Response(status, problem_headers(reply), format_json(problem))
    if isinstance(reply, NotModified):
        return Response(status, (_REVALIDATE, ("etag", reply.etag)), b"")
    body = format_json(format_reply(reply, decision.decided_at, settings.active_spelling))
    headers: Headers = (_JSON, _NO_STORE) if has_next_action(reply) else (_JSON,)
    tag = reply.etag
    if tag is not None:
        headers = (*headers, _REVALIDATE, ("etag", tag))
    return Response(status, headers, body)


def problem_headers(reply: ProblemReply) -> Headers:
    """What is sent beside a problem; where a rate limit refused, both of its fields [P]."""
    problem, limited = reply.problem, reply.limited
    if problem.code is ProblemCode.UNAUTHENTICATED:
        return (_PROBLEM_JSON, _CHALLENGE)
    if problem.code is ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT:
        return (_PROBLEM_JSON, ("retry-after", str(problem.detail_values[0])))
    if limited is None:
        return (_PROBLEM_JSON,)
    return (
        _PROBLEM_JSON,
        _NO_STORE,
        ("retry-after", str(ceil_seconds(limited.retry_after))),
        ("ratelimit-policy", format_rate_limit_policy(limited.policy)),
        ("ratelimit", format_rate_limit(limited)),
    )
