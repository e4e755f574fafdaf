"""Checks of the outbox: what leaves for each transition, how often, and in which order.

The law of this module: **what leaves is what happened**: an event for each transition, as the wire
shows its subject then, the effects that it asks for, and nothing where nothing happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, cast

from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, happens, require, same
from curae_lifecycle.testing.conformance.recovery import successor_of
from curae_lifecycle.testing.conformance.steps import (
    CONCURRENT_REQUESTS,
    HookCall,
    NotSeenError,
    Steps,
    send,
    send_concurrently,
)

CHECKS: Final = Checks()
_Message = Mapping[str, object]
_EFFECTS: Final = ("AccessEnded", "HandoffCancelled", "NextActionReplaced", "SuccessorsLive")


def _left() -> Steps[list[_Message]]:
    return [*cast("list[_Message]", (yield HookCall("outbox", ())))]


def _events(app: App, user: str) -> Steps[list[_Message]]:
    # Those of a user, in their order.
    wanted = app.key_request
    coordinate = {
        "environment": str(wanted.environment),
        "appId": wanted.app_id,
        "customerAccountId": wanted.customer_account_id,
        "appUserId": user,
    }
    every = yield from _left()
    return [each for each in every if each.get("coordinate") == coordinate and "id" in each]


def _kinds(events: list[_Message], *, about: str) -> list[str]:
    kinds = [client.text(each, "kind") for each in events]
    return [kind for kind in kinds if kind.startswith(about)]


def _effects(connection_id: str) -> Steps[list[_Message]]:
    every = yield from _left()
    if not any(each.get("kind") in _EFFECTS for each in every):
        raise NotSeenError("no effect has left")
    return [each for each in every if each.get("connectionId") == connection_id]


def _newest(app: App, kind: str, connection_id: str) -> Steps[None]:
    # The newest event of the user has this kind, and shows the connection as a get does.
    newest = (yield from _events(app, "user"))[-1]
    same(newest["kind"], kind, "the kind of the newest event")
    seen = yield from app.seen(connection_id)
    same(newest["subject"], dict(seen), "its subject")
    same(newest["at"], seen["updatedAt"], "its instant")


@CHECKS.add(
    "outbox.connection",
    laws=(1,),
    hooks=("outbox", "authorize", "require_action", "expire"),
)
def _of_a_connection(app: App) -> Steps[None]:
    """Each transition of a connection leaves one event, which shows it as it became."""
    connection_id = client.id_of((yield from app.created("user")))
    yield from _newest(app, "connection.created", connection_id)
    for hook, more, kind in (
        ("authorize", (connections.HOUR,), "connection.authorized"),
        ("require_action", (connections.REASON,), "connection.action_required"),
        ("expire", (), "connection.expired"),
    ):
        yield from happens(hook, connection_id, *more)
        yield from _newest(app, kind, connection_id)
    yield from app.revoked(connection_id)
    yield from _newest(app, "connection.revoked", connection_id)
    successor = yield from client.made(app.reconnect(connection_id))
    yield from _newest(app, "connection.created", successor)
    yield from app.reconnected(connection_id)
    yield from _newest(app, "connection.reissued", successor)
    parts = (
        *("created", "authorized", "action_required", "expired"),
        *("revoked", "created", "reissued"),
    )
    kinds = _kinds((yield from _events(app, "user")), about="")
    same(kinds, [f"connection.{part}" for part in parts], "the events, in their order,")


@CHECKS.add("outbox.account", hooks=("outbox", "complete_handoff", "graduate", "tombstone"))
def _of_an_account(app: App) -> Steps[None]:
    """Each transition of a session and of an account leaves one event, in its order."""
    yield from app.initiated("user")
    yield from happens("graduate", app.coordinate("user"), None)
    yield from app.initiated("user")
    yield from happens("tombstone", app.coordinate("user"))
    other = yield from app.initiated("other", prefer_signup=True)
    yield from happens("complete_handoff", client.text(other, "session.id"), "u-1")
    events = yield from _events(app, "user")
    same(
        _kinds(events, about="binding."),
        ["binding.provisioned", "binding.graduated", "binding.tombstoned"],
        "the events of the account",
    )
    accounts = [each for each in events if str(each["kind"]).startswith("binding.")]
    states = [client.member(each, "subject.lifecycleState") for each in accounts]
    same(states, ["LIMITED", "ACTIVE", "TOMBSTONED"], "the account states that they show")
    initiated = ["connect_session.initiated"] * 2
    same(_kinds(events, about="connect_session.")[:2], initiated, "the events of the sessions")
    events = yield from _events(app, "other")
    landed = ["connect_session.initiated", "connect_session.landed", "binding.signed_up"]
    same(sorted(_kinds(events, about="")), sorted(landed), "the events of a sign-up")


@CHECKS.add("outbox.nothing", laws=(9, 11), hooks=("outbox", "authorize", "tombstone"))
def _nothing_leaves(app: App) -> Steps[None]:
    """What is replayed, refused, ignored or read leaves nothing."""
    create, initiate = app.create("user"), app.initiate("user", prefer_signup=True)
    yield from client.success(initiate, client.CREATED)
    connection_id = yield from client.made(create)
    yield from happens("authorize", connection_id, None)
    revoked = yield from client.made(app.create("user"))
    yield from app.revoked(revoked)
    before = yield from _events(app, "user")
    for request in (create, initiate):
        yield from client.success(request, client.CREATED)
    yield from happens("authorize", connection_id, None, said="ignored")
    yield from happens("authorize", revoked, None, said="CONNECTION_NOT_PENDING")
    yield from happens("tombstone", app.coordinate("user"), said="ignored")
    yield from app.revoked(revoked)
    for refused in (app.reconnect(connection_id), app.graduate("user"), app.create("user", ())):
        answer = yield from send(refused)
        require(answer.status >= client.BAD_REQUEST, f"answered {client.in_short(answer)}")
    yield from app.seen(connection_id)
    yield from app.state("user")
    same((yield from _events(app, "user")), before, "what has left")


@CHECKS.add("outbox.ids", hooks=("outbox",))
def _ids(app: App) -> Steps[None]:
    """No two events have one id, and what has left stays as it left."""
    revoked = yield from connections.create_in_standing(app, Standing.REVOKED, "user")
    for _ in range(2):
        yield from connections.create_in_standing(app, Standing.REVOKED, "user")
        yield from app.initiated("user")
    before = yield from _events(app, "user")
    ids = Counter([client.text(each, "id") for each in before])
    require(len(ids) == len(before), f"{len(before)} events have {len(ids)} ids")
    yield from app.reconnected(revoked)
    after = yield from _events(app, "user")
    same(after[: len(before)], before, "what had left before")
    require(len(after) == len(before) + 1, f"a reconnect left {len(after) - len(before)} events")


@CHECKS.add("outbox.at-once", laws=(2, 7, 12), hooks=("outbox",))
def _at_once(app: App) -> Steps[None]:
    """Of what many requests at once did, each thing leaves once."""
    create = app.create("user")
    yield from send_concurrently((create,) * CONCURRENT_REQUESTS)
    connection_id = yield from client.made(create)
    yield from send_concurrently(
        tuple([app.revoke(connection_id) for _ in range(CONCURRENT_REQUESTS)])
    )
    events = yield from _events(app, "user")
    once = ["connection.created", "connection.revoked"]
    same(_kinds(events, about=""), once, "the events of a create and a revocation")


@CHECKS.add("outbox.tombstone", laws=(17,), hooks=("outbox", "authorize", "tombstone"))
def _of_a_tombstone(app: App) -> Steps[None]:
    """A tombstone leaves an event for each connection that it ends, and asks to end its access."""
    yield from app.initiated("user")
    active = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    pending = client.id_of((yield from app.created("user")))
    yield from happens("tombstone", app.coordinate("user"))
    events = yield from _events(app, "user")
    ends = [each for each in events if each["kind"] == "connection.revoked"]
    ended = {client.text(each, "subject.id") for each in ends}
    same(ended, {active, pending}, "the connections whose end has left")
    for each, kind in ((active, "AccessEnded"), (pending, "HandoffCancelled")):
        seen = [effect["kind"] for effect in (yield from _effects(each))]
        same(seen, [kind], "the effects on a connection")


@CHECKS.add("outbox.reissue", laws=(7,), rules=("recovery.revoked.pending",), hooks=("outbox",))
def _of_a_reissue(app: App) -> Steps[None]:
    """A reissue asks for the end of the page before."""
    old = client.id_of((yield from app.created("user")))
    yield from app.revoked(old)
    successor = successor_of((yield from app.reconnected(old)))
    yield from app.reconnected(old)
    replaced = [each["kind"] for each in (yield from _effects(successor))]
    same(replaced, ["NextActionReplaced"], "the effects of a reissue")


@CHECKS.add(
    "outbox.head-alive",
    hooks=("outbox", "authorize", "require_action", "revoke"),
    rules=("revocation-reach.app", "revocation-reach.patient"),
)
def _of_an_old_id(app: App) -> Steps[None]:
    """Where an app revokes an old id, what leaves names the live head; where a patient does, not."""
    told = {Actor.APP: ["AccessEnded", "SuccessorsLive"], Actor.PATIENT: ["AccessEnded"]}
    for actor, kinds in told.items():
        old = yield from connections.create_in_standing(app, Standing.ACTION_REQUIRED)
        head = yield from client.made(app.reconnect(old))
        before = yield from _effects(old)
        if actor is Actor.APP:
            yield from app.revoked(old)
        else:
            yield from happens("revoke", old, actor)
        effects = (yield from _effects(old))[len(before) :]
        same(sorted(str(each["kind"]) for each in effects), kinds, f"the effects of {actor}")
        heads = [each["headConnectionId"] for each in effects if "headConnectionId" in each]
        same(heads, [head] * (len(kinds) - 1), "the head that they name")
