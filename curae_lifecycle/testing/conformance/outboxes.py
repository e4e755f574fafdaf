"""Checks of the outbox: the messages of each transition, their number and their order.

The law of this module: **the outbox holds what happened and nothing else**. Each transition has one
event, which shows its subject as the wire did at that time, and the effects that the server must
apply. Requests and facts that change nothing leave no message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, cast

from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, record_by_hook, require, same
from curae_lifecycle.testing.conformance.recovery import successor_of
from curae_lifecycle.testing.conformance.steps import (
    CONCURRENT_REQUESTS,
    HookCall,
    NotSeenError,
    Steps,
    send,
    send_concurrently,
)
from curae_lifecycle.web.events import format_coordinate

CHECKS: Final = Checks()
_Message = Mapping[str, object]
_MANY: Final = 40
"""More connections of a user than a store loads at once."""

_EFFECTS: Final = ("AccessEnded", "HandoffCancelled", "NextActionReplaced", "SuccessorsLive")


def _messages() -> Steps[list[_Message]]:
    return [*cast("list[_Message]", (yield HookCall("outbox", ())))]


def _events(app: App, user: str) -> Steps[list[_Message]]:
    coordinate = format_coordinate(app.coordinate(user))
    messages = yield from _messages()
    return [each for each in messages if each.get("coordinate") == coordinate and "id" in each]


def _kinds(events: list[_Message], *, prefix: str = "") -> list[str]:
    kinds = [client.text(each, "kind") for each in events]
    return [kind for kind in kinds if kind.startswith(prefix)]


def _effects(connection_id: str) -> Steps[list[_Message]]:
    messages = yield from _messages()
    if not any(each.get("kind") in _EFFECTS for each in messages):
        raise NotSeenError("the outbox holds no effects")
    return [each for each in messages if each.get("connectionId") == connection_id]


def _expect_newest_event(app: App, kind: str, connection_id: str) -> Steps[None]:
    events = yield from _events(app, "user")
    require(len(events) > 0, f"the outbox has no event of the user after {kind}")
    newest = events[-1]
    same(newest["kind"], kind, "the kind of the newest event")
    seen = yield from app.seen(connection_id)
    same(newest["subject"], dict(seen), "the subject of the newest event")
    same(newest["at"], seen["updatedAt"], "the instant of the newest event")


@CHECKS.add(
    "outbox.connection",
    laws=(1,),
    hooks=("outbox", "authorize", "require_action", "expire"),
)
def _connection_events(app: App) -> Steps[None]:
    """Transitions of a connection leave one event each, which shows the connection afterwards."""
    connection_id = yield from app.created_id("user")
    yield from _expect_newest_event(app, "connection.created", connection_id)
    for hook, more, kind in (
        ("authorize", (connections.HOUR,), "connection.authorized"),
        ("require_action", (connections.REASON,), "connection.action_required"),
        ("expire", (), "connection.expired"),
    ):
        yield from record_by_hook(hook, connection_id, *more)
        yield from _expect_newest_event(app, kind, connection_id)
    yield from app.revoked(connection_id)
    yield from _expect_newest_event(app, "connection.revoked", connection_id)
    successor = yield from client.created_id(app.reconnect(connection_id))
    yield from _expect_newest_event(app, "connection.created", successor)
    yield from app.reconnected(connection_id)
    yield from _expect_newest_event(app, "connection.reissued", successor)
    parts = (
        *("created", "authorized", "action_required", "expired"),
        *("revoked", "created", "reissued"),
    )
    kinds = _kinds((yield from _events(app, "user")))
    same(kinds, [f"connection.{part}" for part in parts], "the list of events")


@CHECKS.add("outbox.account", hooks=("outbox", "complete_handoff", "graduate", "tombstone"))
def _account_events(app: App) -> Steps[None]:
    """Transitions of a session and of an account leave one event each, in order."""
    yield from app.initiated("user")
    # The second one finds the user that the first one made.
    yield from app.initiated("user")
    yield from record_by_hook("graduate", app.coordinate("user"), None)
    yield from app.initiated("user")
    yield from record_by_hook("tombstone", app.coordinate("user"))
    other = yield from app.initiated("other", prefer_signup=True)
    yield from record_by_hook("complete_handoff", client.text(other, "session.id"), "u-1")
    events = yield from _events(app, "user")
    same(
        _kinds(events, prefix="binding."),
        ["binding.provisioned", "binding.graduated", "binding.tombstoned"],
        "the list of events of the account",
    )
    accounts = [each for each in events if str(each["kind"]).startswith("binding.")]
    states = [client.member(each, "subject.lifecycleState") for each in accounts]
    same(states, ["LIMITED", "ACTIVE", "TOMBSTONED"], "the list of account states in these events")
    initiated = ["connect_session.initiated"] * 3
    same(
        _kinds(events, prefix="connect_session.")[:3],
        initiated,
        "the list of events of the sessions",
    )
    events = yield from _events(app, "other")
    landed = ["connect_session.initiated", "connect_session.landed", "binding.signed_up"]
    same(sorted(_kinds(events)), sorted(landed), "the list of events of a sign-up")


@CHECKS.add("outbox.nothing", laws=(9, 11), hooks=("outbox", "authorize"))
def _no_event(app: App) -> Steps[None]:
    """Replayed, refused and ignored requests and facts leave no event, nor do reads."""
    create, initiate = app.create("user"), app.initiate("user", prefer_signup=True)
    yield from client.success(initiate, client.CREATED)
    connection_id = yield from client.created_id(create)
    yield from record_by_hook("authorize", connection_id, None)
    revoked = yield from client.created_id(app.create("user"))
    yield from app.revoked(revoked)
    before = yield from _events(app, "user")
    for request in (create, initiate):
        yield from client.success(request, client.CREATED)
    yield from record_by_hook("authorize", connection_id, None, expected="ignored")
    yield from record_by_hook("authorize", revoked, None, expected="CONNECTION_NOT_PENDING")
    yield from app.revoked(revoked)
    for refused in (app.reconnect(connection_id), app.graduate("user"), app.create("user", ())):
        answer = yield from send(refused)
        require(
            answer.status >= client.BAD_REQUEST,
            f"answered {client.in_short(answer)}, not a refusal",
        )
    yield from app.seen(connection_id)
    yield from app.state("user")
    same((yield from _events(app, "user")), before, "the list of events of the user")


@CHECKS.add("outbox.ids", hooks=("outbox",))
def _event_ids(app: App) -> Steps[None]:
    """Event ids are unique, and events do not change once they are in the outbox."""
    revoked = yield from connections.create_in_standing(app, Standing.REVOKED, "user")
    for _ in range(2):
        yield from connections.create_in_standing(app, Standing.REVOKED, "user")
        yield from app.initiated("user")
    before = yield from _events(app, "user")
    ids = Counter([client.text(each, "id") for each in before])
    require(len(ids) == len(before), f"{len(before)} events have {len(ids)} different ids")
    yield from app.reconnected(revoked)
    after = yield from _events(app, "user")
    same(after[: len(before)], before, "the list of earlier events")
    added = len(after) - len(before)
    require(added == 1, f"a reconnect left {added} events instead of 1")


@CHECKS.add("outbox.at-once", laws=(2, 7, 12), hooks=("outbox",))
def _concurrent_requests(app: App) -> Steps[None]:
    """Concurrent requests that do the same thing leave one event."""
    create = app.create("user")
    yield from send_concurrently((create,) * CONCURRENT_REQUESTS)
    connection_id = yield from client.created_id(create)
    yield from send_concurrently(
        tuple([app.revoke(connection_id) for _ in range(CONCURRENT_REQUESTS)])
    )
    events = yield from _events(app, "user")
    once = ["connection.created", "connection.revoked"]
    same(_kinds(events), once, "the list of events of a create and a revocation")


@CHECKS.add("outbox.tombstone", laws=(17,), hooks=("outbox", "authorize", "tombstone"))
def _tombstone_events(app: App) -> Steps[None]:
    """Tombstones leave an event and an effect for each connection that they revoke."""
    yield from app.initiated("user")
    active = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    pending = yield from app.created_id("user")
    others: list[str] = []
    for _ in range(_MANY):
        others += [(yield from app.created_id("user"))]
    yield from record_by_hook("tombstone", app.coordinate("user"))
    events = yield from _events(app, "user")
    revocations = [each for each in events if each["kind"] == "connection.revoked"]
    revoked = sorted([client.text(each, "subject.id") for each in revocations])
    expected = sorted([active, pending, *others])
    same(revoked, expected, "the list of connections with a revocation event")
    for each, kind in ((active, "AccessEnded"), (pending, "HandoffCancelled")):
        effects = [effect["kind"] for effect in (yield from _effects(each))]
        same(effects, [kind], "the list of effects on a connection")


@CHECKS.add("outbox.reissue", laws=(7,), rules=("recovery.revoked.pending",), hooks=("outbox",))
def _reissue_effect(app: App) -> Steps[None]:
    """Reissues leave an effect that cancels the earlier hosted page."""
    old = yield from app.created_id("user")
    yield from app.revoked(old)
    successor = successor_of((yield from app.reconnected(old)))
    yield from app.reconnected(old)
    replaced = [each["kind"] for each in (yield from _effects(successor))]
    same(replaced, ["NextActionReplaced"], "the list of effects of a reissue")


@CHECKS.add(
    "outbox.head-alive",
    hooks=("outbox", "authorize", "require_action", "revoke"),
    rules=("revocation-reach.app", "revocation-reach.patient"),
)
def _live_head_effect(app: App) -> Steps[None]:
    """Revoking an old id as an app names the live head in an effect; as a patient, it does not."""
    expected = {Actor.APP: ["AccessEnded", "SuccessorsLive"], Actor.PATIENT: ["AccessEnded"]}
    for actor, kinds in expected.items():
        old = yield from connections.create_in_standing(app, Standing.ACTION_REQUIRED)
        head = yield from client.created_id(app.reconnect(old))
        before = yield from _effects(old)
        if actor is Actor.APP:
            yield from app.revoked(old)
        else:
            yield from record_by_hook("revoke", old, actor)
        effects = (yield from _effects(old))[len(before) :]
        same(
            sorted(str(each["kind"]) for each in effects),
            kinds,
            f"the list of effects of a revocation by {actor}",
        )
        heads = [each["headConnectionId"] for each in effects if "headConnectionId" in each]
        same(heads, [head] * (len(kinds) - 1), "the list of heads in these effects")
