"""What traffic is made of: replies, writes, effects, events, keys, each as it came up in a run.

The law of this module: **a run ends with the turns that make the value sure to come up**; whatever
was before them is drawn.
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


def _turn(
    what: traffic.StepKind, minutes: int = 0, *, back: int = 0, key: int = 0
) -> traffic.TrafficStep:
    # No other turn is of the third user or under the third key.
    return traffic.TrafficStep(
        offset=timedelta(minutes=minutes), kind=what, nth_newest=back, key=key, user=3
    )


_CREATE: Final = (_turn(CreateConnection),)
_AUTHORIZED: Final = FactTemplate(Authorized)
_AUTHORIZE: Final = (*_CREATE, _turn(_AUTHORIZED))
_RECONNECT: Final = (*_CREATE, _turn(Reconnect, 31))
_INITIATE: Final = (_turn(Initiate),)

FINAL_STEPS: Final[dict[type, tuple[traffic.TrafficStep, ...]]] = {
    # A connection that has lapsed and a LIMITED user are what every operation succeeds with.
    **{kind.reply: (*_CREATE, *_INITIATE, _turn(kind, 31)) for kind in OPERATIONS},
    operation.ProblemReply: (*_CREATE, _turn(Reconnect)),
    operation.NotModified: (_turn(traffic.SpecialRequest.ALL_KNOWN),),
    operation.Replayed: (_turn(CreateConnection, key=3), _turn(CreateConnection, key=3)),
    ConnectionWrite: _CREATE,
    SessionWrite: _INITIATE,
    BindingWrite: _INITIATE,
    RecordWrite: _CREATE,
    RateWrite: _INITIATE,
    BucketKey: _CREATE,
    LimitKey: _INITIATE,
    AccessEnded: (*_AUTHORIZE, _turn(Revoke)),
    HandoffCancelled: (*_CREATE, _turn(Revoke)),
    NextActionReplaced: (*_RECONNECT, _turn(Reconnect, 31, back=1)),
    SuccessorsLive: (*_RECONNECT, _turn(Revoke, 31, back=1)),
    UserProvisioned: _INITIATE,
    Event: _CREATE,
    LandedHandoff: (*_CREATE, _turn(traffic.SpecialRequest.LANDED)),
    Needs: _AUTHORIZE,
    Snapshot: _AUTHORIZE,
}
"""How a run ends that is sure to hold a value of the kind."""


def values_from_traffic(kind: type[Wanted]) -> st.SearchStrategy[Wanted]:
    """A value as it came up in a run of traffic, of one of the kinds of `ENDINGS`."""
    return _ending(FINAL_STEPS[kind]).map(lambda run: _last(run.interactions, kind))


def done_facts() -> st.SearchStrategy[Done[changes.Changes]]:
    """What a fact was answered that changed something."""
    return _ending(_AUTHORIZE).map(lambda run: _fact_answer(Done, run))


def ignored_facts() -> st.SearchStrategy[Ignored[changes.Changes]]:
    """What a fact was answered that changed nothing."""
    again = _ending((*_AUTHORIZE, _turn(_AUTHORIZED)))
    return again.map(lambda run: _fact_answer(Ignored, run))


def _ending(last: tuple[traffic.TrafficStep, ...]) -> st.SearchStrategy[traffic.Traffic]:
    # With buckets that no ending empties.
    roomy = (Bucket(name="platform", capacity=100, refill=1, seconds=1),)
    return st.builds(traffic.play_traffic, st.just(roomy), traffic.traffic_steps(4), st.just(last))


def _fact_answer(kind: type[Answered], run: traffic.Traffic) -> Answered:
    return expect_type(kind, expect_type(traffic.RecordedFact, run.interactions[-1]).answer)


def _last(value: object, kind: type[Wanted]) -> Wanted:
    found: Wanted | None = None
    waiting = [value]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, kind):
            found = each
        if isinstance(each, tuple):
            waiting.extend(cast("tuple[object, ...]", each))
        elif attrs.has(type(each)):
            kept = attrs.fields(cast("type[attrs.AttrsInstance]", type(each)))
            waiting.extend([getattr(each, field.name) for field in kept])
    if found is None:
        raise TypeError(f"no run of traffic ends with a {kind.__name__}")
    return found


def replies() -> st.SearchStrategy[operation.Reply]:
    """Replies of every kind."""
    own = (kind.reply for kind in OPERATIONS)
    return _one_of(*own, operation.ProblemReply, operation.NotModified, operation.Replayed)


def writes() -> st.SearchStrategy[Write]:
    """Writes of every kind."""
    return _one_of(*cast("tuple[type[Write], ...]", get_args(Write)))


def effects() -> st.SearchStrategy[Effect]:
    """Effects of every kind."""
    return _one_of(*cast("tuple[type[Effect], ...]", get_args(Effect)))


def outbox_events() -> st.SearchStrategy[Event]:
    """What an outbox gets."""
    return values_from_traffic(Event)


def rate_keys() -> st.SearchStrategy[RateKey]:
    """Whose rate limits there are."""
    return _one_of(*cast("tuple[type[RateKey], ...]", get_args(RateKey)))


def _one_of(*kinds: type[Wanted]) -> st.SearchStrategy[Wanted]:
    return st.one_of(*map(values_from_traffic, kinds))
