"""Strategies for replies, writes, effects, events and rate keys, taken from runs of traffic.

The law of this module: **each run ends with fixed steps that are sure to produce the value**. The
steps before them are drawn.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeVar, cast, get_args

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    NextActionReplaced,
    SuccessorsLive,
    UserProvisioned,
)
from curae_lifecycle.service.events import Event
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey, RateKey
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.testing.strategies import traffic
from curae_lifecycle.testing.strategies.connection import FactTemplate
from curae_lifecycle.testing.strategies.expect import expect_type

Wanted = TypeVar("Wanted")
Answered = TypeVar("Answered", Done[changes.Changes], Ignored[changes.Changes])


def _step(
    kind: traffic.StepKind, minutes: int = 0, *, nth_newest: int = 0, key: int = 0
) -> traffic.TrafficStep:
    # No drawn step has user 3 or key 3, so no drawn step spoils the outcome of a final one.
    return traffic.TrafficStep(
        offset=timedelta(minutes=minutes), kind=kind, nth_newest=nth_newest, key=key, user=3
    )


_CREATE: Final = (_step(CreateConnection),)
_AUTHORIZED: Final = FactTemplate(Authorized)
_AUTHORIZE: Final = (*_CREATE, _step(_AUTHORIZED))
_RECONNECT: Final = (*_CREATE, _step(Reconnect, 31))
_INITIATE: Final = (_step(Initiate),)

FINAL_STEPS: Final[dict[type, tuple[traffic.TrafficStep, ...]]] = {
    # Every operation succeeds on a lapsed connection and a LIMITED user.
    **{kind.reply: (*_CREATE, *_INITIATE, _step(kind, 31)) for kind in OPERATIONS},
    operation.ProblemReply: (*_CREATE, _step(Reconnect)),
    operation.NotModified: (_step(traffic.SpecialStep.ALL_KNOWN),),
    operation.Replayed: (_step(CreateConnection, key=3), _step(CreateConnection, key=3)),
    ConnectionWrite: _CREATE,
    SessionWrite: _INITIATE,
    BindingWrite: _INITIATE,
    PageWrite: (*_CREATE, _step(_AUTHORIZED, key=1)),
    HostedPage: (*_CREATE, _step(_AUTHORIZED, key=1)),
    RecordWrite: _CREATE,
    RateWrite: _INITIATE,
    BucketKey: _CREATE,
    LimitKey: _INITIATE,
    AccessEnded: (*_AUTHORIZE, _step(Revoke)),
    HandoffCancelled: (*_CREATE, _step(Revoke)),
    NextActionReplaced: (*_RECONNECT, _step(Reconnect, 31, nth_newest=1)),
    SuccessorsLive: (*_RECONNECT, _step(Revoke, 31, nth_newest=1)),
    UserProvisioned: _INITIATE,
    Event: _CREATE,
    LandedHandoff: (*_CREATE, _step(traffic.SpecialStep.LANDED)),
    Needs: _AUTHORIZE,
    Snapshot: _AUTHORIZE,
    traffic.RecordedFact: _AUTHORIZE,
    traffic.AccessQuestion: (
        *_CREATE,
        traffic.TrafficStep(timedelta(0), traffic.SpecialStep.ACCESS),
    ),
}
"""For each class of values, steps that are sure to make one when they end a run of traffic.

A step is a request, a fact or an access question, and a run plays its steps in one store.
"""


def values_from_traffic(kind: type[Wanted]) -> st.SearchStrategy[Wanted]:
    """Draw values of one class, such as `Event`, as requests and facts in one store make them.

    Most of the requests and facts are drawn. Fixed ones at the end are sure to make such a value.

    Args:
        kind: The class of the values, a key of `FINAL_STEPS`.

    Raises:
        KeyError: `kind` is not a key of `FINAL_STEPS`.
    """
    return _runs_ending_with(FINAL_STEPS[kind]).map(lambda run: _find_last(run.interactions, kind))


def done_facts() -> st.SearchStrategy[Done[changes.Changes]]:
    """Draw answers to a fact that was recorded: `Done` with the changes of an authorization."""
    return _runs_ending_with(_AUTHORIZE).map(lambda run: _fact_answer(Done, run))


def ignored_facts() -> st.SearchStrategy[Ignored[changes.Changes]]:
    """Draw answers to a fact that changes nothing: `Ignored` for a repeated authorization."""
    runs = _runs_ending_with((*_AUTHORIZE, _step(_AUTHORIZED)))
    return runs.map(lambda run: _fact_answer(Ignored, run))


def _runs_ending_with(
    final_steps: tuple[traffic.TrafficStep, ...],
) -> st.SearchStrategy[traffic.Traffic]:
    # The bucket holds more tokens than any run uses.
    large_buckets = (Bucket(name="platform", capacity=100, refill=1, seconds=1),)
    return st.builds(
        traffic.play_traffic, st.just(large_buckets), traffic.traffic_steps(4), st.just(final_steps)
    )


def _fact_answer(kind: type[Answered], run: traffic.Traffic) -> Answered:
    return expect_type(kind, expect_type(traffic.RecordedFact, run.interactions[-1]).answer)


def _find_last(value: object, kind: type[Wanted]) -> Wanted:
    found: Wanted | None = None
    unvisited = [value]
    while unvisited:
        each = unvisited.pop(0)
        if isinstance(each, kind):
            found = each
        if isinstance(each, tuple):
            unvisited.extend(cast("tuple[object, ...]", each))
        elif attrs.has(type(each)):
            fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(each)))
            unvisited.extend([getattr(each, field.name) for field in fields])
    if found is None:
        raise TypeError(f"no run of traffic ends with a {kind.__name__}")
    return found


def replies() -> st.SearchStrategy[operation.Reply]:
    """Draw replies, the decided outcomes of requests before they become responses.

    Each is the success of an operation, a `ProblemReply` (a refusal), a `NotModified` (for a 304)
    or a `Replayed` (the stored response, for a retry).
    """
    own = (kind.reply for kind in OPERATIONS)
    return _one_of(*own, operation.ProblemReply, operation.NotModified, operation.Replayed)


def writes() -> st.SearchStrategy[Write]:
    """Draw writes of every class, such as those of connections, hosted pages and rate limits."""
    return _one_of(*cast("tuple[type[Write], ...]", get_args(Write)))


def effects() -> st.SearchStrategy[Effect]:
    """Draw effects of every class: tasks for the server that follow from a decision."""
    return _one_of(*cast("tuple[type[Effect], ...]", get_args(Effect)))


def outbox_events() -> st.SearchStrategy[Event]:
    """Draw events for an outbox; each tells of a connection that was created."""
    return values_from_traffic(Event)


def rate_keys() -> st.SearchStrategy[RateKey]:
    """Draw keys of rate limits: `BucketKey` of an API key, or `LimitKey` of an app user."""
    return _one_of(*cast("tuple[type[RateKey], ...]", get_args(RateKey)))


def _one_of(*kinds: type[Wanted]) -> st.SearchStrategy[Wanted]:
    return st.one_of(*map(values_from_traffic, kinds))
