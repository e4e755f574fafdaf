"""Checks of races: two things that happen at once end as one after the other may end.

The law of this module: **an end that neither order leaves is a lost write**. Nobody outside can say
which of two comes first, or whether they meet at all: each race is run several times, on a user of
its own, and what a run did not meet is not shown. A right server ends right each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, cast

from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, require, same
from curae_lifecycle.testing.conformance.recovery import create_recovered
from curae_lifecycle.testing.conformance.sessions import expect_state, session_id
from curae_lifecycle.testing.conformance.steps import (
    HookCall,
    NotConformingError,
    SingleStep,
    Steps,
    run_concurrently,
    wait,
)

CHECKS: Final = Checks()
_Round = Callable[[App, int], Steps[None]]


def _race(
    name: str, *hooks: str, laws: tuple[int, ...], rules: tuple[str, ...] = ()
) -> Callable[[_Round], _Round]:
    # Adds a check that runs a round as often as the server says.

    def added(one: _Round) -> _Round:
        needed = ("race_rounds", *hooks)
        shows = one.__doc__ or ""
        CHECKS.append(
            Check(
                name=f"race.{name}",
                shows=shows,
                steps=partial(_rounds, one),
                laws=laws,
                rules=rules,
                hooks=needed,
            )
        )
        return one

    return added


def _rounds(one: _Round, app: App) -> Steps[None]:
    for number in range(app.context.rounds):
        yield from one(app, number)


def _meets(number: int, one: SingleStep, other: SingleStep) -> Steps[tuple[object, object]]:
    # They take turns in being asked first; what came of each comes back as they were given.
    if number % 2:
        second, first = yield from run_concurrently(other, one)
    else:
        first, second = yield from run_concurrently(one, other)
    return first, second


def _status(answer: object, *allowed: int) -> int:
    seen = cast("Response", answer)
    if seen.status not in allowed:
        among = " or ".join(map(str, allowed))
        raise NotConformingError(f"answered {client.in_short(seen)} instead of {among}")
    return seen.status


def _fact(hook: str, *arguments: object) -> HookCall:
    return HookCall(hook, arguments)


# --- A chain --------------------------------------------------------------------------------


@CHECKS.add(
    "race.late-authorization.reconnect",
    laws=(6,),
    rules=("connection.authorize.pending", "recovery.lapsed.none"),
    hooks=("race_rounds", "authorize_late", "pass_time"),
    time_needed=connections.HALF_AN_HOUR + connections.MOMENT,
)
def _lapsed_or_recovered(app: App) -> Steps[None]:
    """A late authorization and a reconnect of one connection: never are both done."""
    made: list[client.Document] = []
    for _ in range(app.context.rounds):
        made += [(yield from client.success(app.create("user"), client.CREATED))]
    yield from wait(client.lifetime(made[-1]) + connections.MOMENT)
    for number, each in enumerate(made):
        old = client.text(each, "connection.id")
        late = _fact("authorize_late", old, connections.HALF_AN_HOUR / 2)
        _, answer = yield from _meets(number, late, app.reconnect(old))
        is_recovered = _status(answer, 201, 409) == client.CREATED
        status = client.status_of((yield from app.seen(old)))
        expected = "EXPIRED" if is_recovered else "ACTIVE"
        same(status, expected, f"the status beside {client.in_short(cast('Response', answer))}")


@_race("reissue.authorize", "authorize", laws=(1, 7), rules=("recovery.revoked.pending",))
def _reissued_or_authorized(app: App, number: int) -> Steps[None]:
    """A reissue and the authorization of what it reissues: it is ACTIVE in the end."""
    old, successor = yield from create_recovered(app, "user")
    authorize = _fact("authorize", successor, None)
    answer, _ = yield from _meets(number, app.reconnect(old), authorize)
    _status(answer, 201, 409)
    yield from app.shows(successor, "ACTIVE")


@_race("reissue.revoke", laws=(1, 2), rules=("recovery.revoked.pending",))
def _reissued_or_revoked(app: App, number: int) -> Steps[None]:
    """A reissue and the revocation of what it reissues: it is REVOKED in the end."""
    old, successor = yield from create_recovered(app, "user")
    answers = yield from _meets(number, app.reconnect(old), app.revoke(successor))
    _status(answers[0], 201, 409)
    _status(answers[1], 200)
    yield from app.shows(successor, "REVOKED")


@_race(
    "reconnect.revoke",
    "authorize",
    "require_action",
    laws=(1, 2, 6),
    rules=("recovery.action-required.none",),
)
def _recovered_or_revoked(app: App, number: int) -> Steps[None]:
    """A reconnect and an app's revocation of one connection: it is REVOKED and recovered once."""
    old = yield from connections.create_in_standing(app, Standing.ACTION_REQUIRED, "user")
    answers = yield from _meets(number, app.reconnect(old), app.revoke(old))
    successor = client.text(client.expect(cast("Response", answers[0]), 201), "connection.id")
    _status(answers[1], 200)
    yield from app.shows(old, "REVOKED")
    again = yield from client.made(app.reconnect(old))
    same(again, successor, "the recovery")


@_race(
    "chain-revocation.authorize",
    *("authorize", "revoke"),
    laws=(1, 2),
    rules=("revocation-reach.patient",),
)
def _chain_revoked_or_authorized(app: App, number: int) -> Steps[None]:
    """A patient's revocation of a chain and the authorization of its head: the head is REVOKED."""
    old, head = yield from create_recovered(app, "user")
    revoke = _fact("revoke", old, Actor.PATIENT)
    yield from _meets(number, revoke, _fact("authorize", head, None))
    yield from app.shows(head, "REVOKED")


@_race("chain-revocation.reissue", "revoke", laws=(2, 7), rules=("revocation-reach.patient",))
def _chain_revoked_or_reissued(app: App, number: int) -> Steps[None]:
    """A patient's revocation of a chain and a reissue of its head: the head is REVOKED."""
    old, head = yield from create_recovered(app, "user")
    revoke = _fact("revoke", old, Actor.PATIENT)
    _, answer = yield from _meets(number, revoke, app.reconnect(old))
    _status(answer, 201, 409)
    yield from app.shows(head, "REVOKED")


# --- A connection ---------------------------------------------------------------------------


@_race("authorize.revoke", "authorize", laws=(1, 2), rules=("connection.revoke.pending",))
def _authorized_or_revoked(app: App, number: int) -> Steps[None]:
    """An authorization and an app's revocation of one connection: it is REVOKED in the end."""
    connection_id = client.id_of((yield from app.created("user")))
    authorize = _fact("authorize", connection_id, None)
    _, answer = yield from _meets(number, authorize, app.revoke(connection_id))
    same(client.expect(cast("Response", answer), 200).get("revokedNow"), True, "revokedNow")
    yield from app.shows(connection_id, "REVOKED")


@_race(
    "require-action.revoke",
    *("authorize", "require_action"),
    laws=(1, 2),
    rules=("connection.revoke.active",),
)
def _needed_or_revoked(app: App, number: int) -> Steps[None]:
    """A failed refresh and an app's revocation of one connection: it is REVOKED in the end."""
    connection_id = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    needed = _fact("require_action", connection_id, connections.REASON)
    _, answer = yield from _meets(number, needed, app.revoke(connection_id))
    _status(answer, 200)
    yield from app.shows(connection_id, "REVOKED")


# --- An account -----------------------------------------------------------------------------


@_race(
    "tombstone.authorize",
    "tombstone",
    "authorize",
    laws=(17,),
    rules=("binding.tombstone.limited",),
)
def _gone_or_authorized(app: App, number: int) -> Steps[None]:
    """A tombstone and the end of a hand-off: no connection of before is left alive."""
    user = f"user-{number}"
    yield from app.initiated(user)
    connection_id = client.id_of((yield from app.created(user)))
    tombstone = _fact("tombstone", app.coordinate(user))
    yield from _meets(number, tombstone, _fact("authorize", connection_id, None))
    yield from app.shows(connection_id, "REVOKED")
    yield from expect_state(app, user, "TOMBSTONED")


@_race("tombstone.reissue", "tombstone", laws=(17,), rules=("binding.tombstone.limited",))
def _gone_or_reissued(app: App, number: int) -> Steps[None]:
    """A tombstone and a reissue: no connection of before is left alive."""
    user = f"user-{number}"
    yield from app.initiated(user)
    old, head = yield from create_recovered(app, user)
    tombstone = _fact("tombstone", app.coordinate(user))
    _, answer = yield from _meets(number, tombstone, app.reconnect(old))
    _status(answer, 201, 409)
    yield from app.shows(head, "REVOKED")


@_race(
    "tombstone.graduate",
    *("tombstone", "graduate"),
    laws=(17,),
    rules=("binding.tombstone.limited",),
)
def _gone_or_graduated(app: App, number: int) -> Steps[None]:
    """A tombstone and a graduation: the user is gone in the end."""
    user = f"user-{number}"
    yield from app.initiated(user)
    coordinate = app.coordinate(user)
    graduate = _fact("graduate", coordinate, None)
    yield from _meets(number, _fact("tombstone", coordinate), graduate)
    yield from expect_state(app, user, "TOMBSTONED")


@_race(
    "sign-up.sign-up",
    "complete_handoff",
    laws=(12,),
    rules=("binding.complete-sign-up.active.other",),
)
def _two_sign_up(app: App, number: int) -> Steps[None]:
    """Two sign-ups of one app user by two platform users: one lands, and stays."""
    user = f"user-{number}"
    facts: list[HookCall] = []
    for each in ("u-1", "u-2"):
        session = session_id((yield from app.initiated(user, prefer_signup=True)))
        facts.append(_fact("complete_handoff", session, each))
    said = yield from _meets(number, *facts)
    require(said.count("done") <= 1, "both landed")
    yield from expect_state(app, user, "ACTIVE")
    for fact, outcome in zip(facts, said, strict=True):
        if outcome == "done":
            client.expect_said(cast("str | None", (yield fact)), "ignored")


# --- Keys and limits ------------------------------------------------------------------------


@_race("one-key.two-operations", laws=(12,), rules=("idempotency.completed.other",))
def _one_key(app: App, number: int) -> Steps[None]:
    """Two operations at once with one key: one is executed, and the other one's key is used."""
    key, user = app.new_key(), f"user-{number}"
    create, initiate = app.create(user, key=key), app.initiate(user, key=key)
    answers = yield from _meets(number, create, initiate)
    executed = [_status(each, 201, 409, 422) == client.CREATED for each in answers]
    require(executed.count(True) == 1, f"{executed.count(True)} were executed")
    state = yield from app.state(user)
    same(state, "LIMITED" if executed[1] else "UNLINKED", "the account state")


@_race("limit.last-initiate", laws=(10,), rules=("request.limit",))
def _the_tenth(app: App, number: int) -> Steps[None]:
    """Two initiates at once through two apps of an account, where one is left: one is admitted."""
    user = f"user-{number}"
    other = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    yield from app.filled(user, client.INITIATES_PER_MINUTE - 1)
    answers = yield from _meets(number, app.initiate(user), other.initiate(user))
    statuses = sorted([_status(each, 201, 429) for each in answers])
    same(statuses, [201, 429], "the two answers")
