"""Decisions formatted as HTTP responses: status, headers and body.

The law of this module: **no cache may store a response with the URL of a hosted page**. A body
contains the members of its reply and nothing else.
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
from curae_lifecycle.web.wire_format import find_next_action, format_problem, format_reply


@attrs.frozen
class Answer:
    """The response to send, and the changes to commit before it is sent, in one transaction.

    Attributes:
        response: The response, new or replayed.
        changes: The writes (with the idempotency record, if the response is kept), effects and
            events.
        rules: The names of the rules that decided, in order; the last one made the final decision.
        replayed: Whether the response replays a stored one; the response itself does not say so.
        decided_at: The instant of the decision.
    """

    response: Response
    changes: Changes
    rules: tuple[str, ...]
    replayed: bool
    decided_at: datetime

    @property
    def limits_left(self) -> tuple[LimitLeft, ...]:
        """The remaining requests of each rate limit that was charged, in the order of charging [O].

        It is empty if no limit was charged. Replays and refusals by the operation's rule are
        charged, too; a 429 charges nothing. A server may send the remaining requests to the client:
        `rate_limit_headers` formats them.
        """
        writes = [each for each in self.changes.writes if isinstance(each, RateWrite)]
        return tuple(limit_left(each.policy, each.after, self.decided_at) for each in writes)


def respond(
    decision: Decision,
    *,
    fetch: Callable[[ResponseReference], Response] | None = None,
    instance: str | None = None,
) -> Answer:
    """Format the response of a decision, and add the idempotency record that keeps the response.

    The record is added only if the decision has an `attempt`, the right to store a response under
    an idempotency key. A replay has none.

    Args:
        decision: The decision of `decide`, or the refusal of `read`, which parses requests.
        fetch: Returns the stored response that a `ResponseReference` names. It is needed if the
            server stores references instead of responses.
        instance: A URI that identifies this occurrence of a problem, for the member `instance`;
            `None` leaves the member out. A 404 never shows it [O].

    Returns:
        The response to send, and the changes to commit before it is sent.

    Raises:
        ArgumentError: The stored response to replay is neither a `Response` nor a
            `ResponseReference`, or it is a reference and `fetch` is missing.
    """
    reply, changes, attempt = decision.reply, decision.changes, decision.attempt
    if isinstance(reply, Replayed):
        response = _stored_response(reply, fetch)
    else:
        response = _format_response(decision, reply, instance)
    if attempt is not None:
        write = RecordWrite(attempt.key, decision.record, completed_record(attempt, response))
        changes = Changes((*changes.writes, write), changes.effects, changes.events)
    return Answer(
        response=response,
        changes=changes,
        rules=decision.rules,
        replayed=decision.replayed,
        decided_at=decision.decided_at,
    )


def format_rate_limit_policy(policy: Policy) -> str:
    """Return the value of the header `RateLimit-Policy` for a rate limit: name, quota and window.

    The form is that of draft-ietf-httpapi-ratelimit-headers-11; the window is in seconds.
    """
    return f"{_quoted(policy.name)};q={policy.limit};w={policy.window}"


def format_rate_limit(limited: RateLimited) -> str:
    """Return the value of the header `RateLimit` for the rate limit that refused a request.

    The value has the limit's name, 0 remaining requests and the wait in seconds, rounded up.
    """
    return _format_limit(limited.policy, 0, ceil_seconds(limited.retry_after))


def rate_limit_headers(limits: tuple[LimitLeft, ...]) -> Headers:
    """Return the headers `RateLimit-Policy` and `RateLimit`, which a server may add to a response.

    Args:
        limits: The limits that the answer charged, from `Answer.limits_left`.

    Returns:
        Both headers, with one item for each limit; an empty tuple if `limits` is empty.
    """
    if not limits:
        return ()
    left = [_format_limit(each.policy, each.remaining, each.reset_seconds) for each in limits]
    return (
        ("ratelimit-policy", ", ".join([format_rate_limit_policy(each.policy) for each in limits])),
        ("ratelimit", ", ".join(left)),
    )


def _format_limit(policy: Policy, remaining: int, seconds: int) -> str:
    # After a clock was set back, the wait can exceed the largest integer of a structured field.
    return f"{_quoted(policy.name)};r={remaining};t={min(seconds, MAX_INTEGER)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _stored_response(
    reply: Replayed, fetch: Callable[[ResponseReference], Response] | None
) -> Response:
    stored = reply.response
    if isinstance(stored, Response):
        return stored
    if fetch is None or not isinstance(stored, ResponseReference):
        raise ArgumentError("fetch", "given if the server stores references to responses")
    return fetch(stored)


_JSON: Final = ("content-type", "application/json")
_PROBLEM_JSON: Final = ("content-type", "application/problem+json")
_NO_STORE: Final = ("cache-control", "no-store")
_REVALIDATE: Final = ("cache-control", "private, no-cache")
_CHALLENGE: Final = ("www-authenticate", "Bearer")


def _format_response(decision: Decision, reply: Reply, instance: str | None) -> Response:
    status, settings = decision.status, decision.settings
    if isinstance(reply, ProblemReply):
        problem = format_problem(reply.problem, settings.type_base, instance)
        return Response(status, problem_headers(reply), format_json(problem))
    if isinstance(reply, NotModified):
        return Response(status, (_REVALIDATE, ("etag", reply.etag)), b"")
    body = format_json(
        format_reply(reply, decision.decided_at, settings.active_spelling, binding=decision.binding)
    )
    headers: Headers = (_JSON,) if find_next_action(reply) is None else (_JSON, _NO_STORE)
    tag = reply.etag
    if tag is not None:
        headers = (*headers, _REVALIDATE, ("etag", tag))
    return Response(status, headers, body)


def problem_headers(reply: ProblemReply) -> Headers:
    """Return the headers of the response with a problem.

    All have `Content-Type: application/problem+json`. `UNAUTHENTICATED` adds `WWW-Authenticate`.
    `IDEMPOTENCY_KEY_IN_FLIGHT` and `INTERNAL` add `Retry-After`, in whole seconds. The refusal of a rate
    limit adds `Retry-After`, `RateLimit-Policy` and `RateLimit` [P], and `Cache-Control: no-store`.
    """
    problem, limited = reply.problem, reply.limited
    if problem.code is ProblemCode.UNAUTHENTICATED:
        return (_PROBLEM_JSON, _CHALLENGE)
    if problem.code is ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT:
        return (_PROBLEM_JSON, ("retry-after", str(problem.detail_values[0])))
    if problem.code is ProblemCode.INTERNAL:
        return (_PROBLEM_JSON, ("retry-after", "1"))
    if limited is None:
        return (_PROBLEM_JSON,)
    return (
        _PROBLEM_JSON,
        _NO_STORE,
        ("retry-after", str(ceil_seconds(limited.retry_after))),
        ("ratelimit-policy", format_rate_limit_policy(limited.policy)),
        ("ratelimit", format_rate_limit(limited)),
    )
