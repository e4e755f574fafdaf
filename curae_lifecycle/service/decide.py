"""The decision on one request.

The laws of this module: **a decision is pure: it depends only on a snapshot, the instant and new
ids, and passes the gates in one order** (`DECIDE_GATES`); **refused, ignored and replayed requests
write only their idempotency record and their rate limits, and emit no event**. Every write holds
the value that it replaces, so that a store can compare and set, and of two workers that race one
wins.

A server loads the values that `call.needs` names, calls `decide`, and commits the changes of the
decision in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Attempt, Fingerprint, KnownResponse, begin_attempt
from curae_lifecycle.rules.problems import ProblemKind
from curae_lifecycle.rules.values import Coordinate, ceil_seconds, check_instant
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.gates import Gate, refuse_at, sort_gates
from curae_lifecycle.service.operations.operation import (
    NotModified,
    Operation,
    OperationContext,
    ProblemReply,
    Replayed,
    Ruling,
    ruling_from_refusal,
)
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import status_of_stored
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot, check_snapshot
from curae_lifecycle.service.status import NOT_MODIFIED, is_answer_kept, status_of
from curae_lifecycle.service.writes import RateWrite


def fingerprint(operation: Operation) -> Fingerprint:
    """Return the fingerprint of an operation, to recognize a retry with the same values [O].

    The fingerprint is made of the operation's name and its parsed values.
    """
    return Fingerprint.of(operation.rule.name, operation.fingerprint_values())


def decide(
    call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds | None = None
) -> Decision:
    """Decide one request: pass it through the checks of `DECIDE_GATES` [S, P; the order O].

    Args:
        call: The parsed request.
        snapshot: The values that were loaded for `call.needs`.
        now: The instant of the request, in UTC.
        new_ids: Fresh ids and a next action; a mutation needs them, a read does not.

    Returns:
        The answer as a value, with the changes to commit. If the store holds another value than the
        `before` of a write, the commit must fail: then load again and decide again.

    Raises:
        ArgumentError: `now` is not a UTC instant, `new_ids` is missing or its next action ended
            before `now`, or the snapshot holds other values than `call.needs` names. Or the
            snapshot's `landed_handoff`, an authorization to record, is not in UTC, is dated more
            than five minutes after `now`, or has an `expires_at` that is not after it.
    """
    check_instant("now", now)
    coordinates = _coordinates(call.needs, snapshot)
    if len(coordinates - {None}) > 1:
        # The binding may be that of either user. The gate of ownership refuses the request.
        snapshot = attrs.evolve(snapshot, binding=None)
    check_snapshot(call.needs, snapshot)
    request = _Request(
        caller=call.caller,
        snapshot=snapshot,
        now=now,
        needs=call.needs,
        new_ids_or_none=new_ids,
        call=call,
        coordinates=coordinates,
    )
    for check in DECIDE_GATES.values():
        decision = check(request)
        if decision is not None:
            return decision
    raise AssertionError("the rule itself decides")  # pragma: no cover - it is the last gate


@attrs.define
class _Request(OperationContext):
    """A request on its way through the gates, with the results of the gates it has passed."""

    caller: Caller
    snapshot: Snapshot
    now: datetime
    needs: Needs
    new_ids_or_none: NewIds | None
    call: Call
    coordinates: set[Coordinate | None]
    charges: tuple[RateWrite, ...] = ()
    attempt: Attempt | None = None
    rules: tuple[str, ...] = ()

    def refuse_by_limit(self, gate: Gate, limited: ratelimit.RateLimited) -> Decision:
        """Return the refusal of a limit, which charges nothing."""
        answer = refuse_at(gate, (limited.policy.name, ceil_seconds(limited.retry_after)))
        return decision_from_refusal(answer, self.now, self.call.settings, limited=limited)

    def to_decision(self, ruling: Ruling) -> Decision:
        """Return the decision of the rule itself, or of the gate of ownership."""
        reply, changes = ruling.reply, ruling.changes
        rule, attempt = self.call.operation.rule, self.attempt
        if isinstance(reply, ProblemReply):
            status = status_of(reply.problem)
            if not is_answer_kept(reply.problem):
                attempt = None
            if reply.problem.problem_type.kind is ProblemKind.ABSENT:
                # There was nothing, so the app user is not charged.
                self.charges = tuple(
                    [each for each in self.charges if not isinstance(each.key, LimitKey)]
                )
        elif isinstance(reply, NotModified):
            status, attempt = NOT_MODIFIED, None
        else:
            status = rule.status
        if self.charges:
            changes = Changes(self.charges + changes.writes, changes.effects, changes.events)
        return Decision(
            reply=reply,
            status=status,
            decided_at=self.now,
            changes=changes,
            rules=self.rules + rule.rules + ruling.rules,
            attempt=attempt,
            record=self.snapshot.record,
            settings=self.call.settings,
            binding=self.snapshot.binding,
        )


def _buckets(request: _Request) -> Decision | None:
    buckets = request.call.settings.buckets
    if not buckets or request.call.charged:
        return None
    stored = request.snapshot.buckets
    charges = [
        ratelimit.Charge(bucket, ratelimit.FULL_BUCKET if state is None else state)
        for bucket, state in zip(buckets, stored, strict=True)
    ]
    answer = ratelimit.admit(tuple(charges), request.now)
    if isinstance(answer, ratelimit.RateLimited):
        return request.refuse_by_limit(Gate.BUCKETS, answer)
    charged = zip(request.needs.buckets, buckets, stored, answer.states, strict=True)
    request.charges += tuple(
        RateWrite(key=key, policy=bucket, before=before, after=after)
        for key, bucket, before, after in charged
    )
    return None


def _idempotency(request: _Request) -> Decision | None:
    call, record, now = request.call, request.snapshot.record, request.now
    key = call.needs.record
    if key is None:
        return None
    begun = begin_attempt(record, key=key, fingerprint=fingerprint(call.operation), now=now)
    if isinstance(begun, Attempt):
        request.attempt, request.rules = begun, begun.rules
        return None
    changes = Changes(request.charges) if request.charges else NO_CHANGES
    if isinstance(begun, KnownResponse):
        return Decision(
            reply=Replayed(begun.response),
            status=status_of_stored(begun.response),
            decided_at=now,
            changes=changes,
            rules=begun.rules,
            settings=call.settings,
        )
    return decision_from_refusal(begun, now, call.settings, changes=changes)


def _limit(request: _Request) -> Decision | None:
    call = request.call
    limit, key = call.operation.rule.limit, call.needs.limit
    if limit is None or key is None:
        return None
    before = request.snapshot.limit
    log = ratelimit.FRESH_LOG if before is None else before
    after = ratelimit.admit_one(limit, log, request.now)
    if isinstance(after, int):
        return request.refuse_by_limit(Gate.LIMIT, ratelimit.RateLimited((log,), limit, after))
    request.charges += (RateWrite(key=key, policy=limit, before=before, after=after),)
    return None


def _ownership(request: _Request) -> Decision | None:
    # An operation of the server may load a user whose account or app a request names.
    is_owned = all(
        coordinate is not None and request.caller.owns(coordinate)
        for coordinate in request.coordinates
    )
    if is_owned and len(request.coordinates) <= 1:
        return None
    return request.to_decision(ruling_from_refusal(refuse_at(Gate.OWNERSHIP)))


def _coordinates(needs: Needs, snapshot: Snapshot) -> set[Coordinate | None]:
    # The coordinates of all that the request names; None for an unknown connection or session,
    # which may be that of any user.
    coordinates: set[Coordinate | None] = set()
    if needs.connection is not None or needs.chain is not None:
        connection = snapshot.connection
        coordinates.add(None if connection is None else connection.identity.coordinate)
    if needs.session is not None:
        coordinates.add(None if snapshot.session is None else snapshot.session.coordinate)
    if needs.binding is not None:
        coordinates.add(needs.binding)
    if needs.connections is not None:
        coordinates.add(needs.connections.coordinate)
    return coordinates


def _rule(request: _Request) -> Decision:
    return request.to_decision(request.call.operation.decide(request))


_CHECKS: Final[dict[Gate, Callable[[_Request], Decision | None]]] = {
    Gate.BUCKETS: _buckets,
    Gate.IDEMPOTENCY: _idempotency,
    Gate.LIMIT: _limit,
    Gate.OWNERSHIP: _ownership,
    Gate.RULE: _rule,
}

DECIDE_GATES: Final = {gate: _CHECKS[gate] for gate in sort_gates(*_CHECKS)}
"""The gates (checks of a request) that `decide` applies, in order, each with its function."""
