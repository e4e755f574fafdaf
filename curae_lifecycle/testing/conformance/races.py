"""Checks of races: two concurrent steps end as if one had followed the other.

The law of this module: **a result that neither order gives is a lost write**. The kit cannot choose
which of two steps comes first, or make them overlap. So each race is run several times on fresh
values. A passed race proves little; a correct server never fails one.
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
_RaceRound = Callable[[App, int], Steps[None]]


def _race(
    name: str, *hooks: str, laws: tuple[int, ...], rules: tuple[str, ...] = ()
) -> Callable[[_RaceRound], _RaceRound]:
    """Add the round below as a check, which runs it `race_rounds` times."""

    def add(race_round: _RaceRound) -> _RaceRound:
        CHECKS.append(
            Check(
                name=f"race.{name}",
                shows=race_round.__doc__ or "",
                steps=partial(_run_rounds, race_round),
                laws=laws,
                rules=rules,
                hooks=("race_rounds", *hooks),
            )
        )
        return race_round

    return add


def _run_rounds(race_round: _RaceRound, app: App) -> Steps[None]:
    for number in range(app.context.rounds):
        yield from race_round(app, number)


def _run_pair(number: int, one: SingleStep, other: SingleStep) -> Steps[tuple[object, object]]:
    # The step that is started first alternates from round to round.
    if number % 2:
        second, first = yield from run_concurrently(other, one)
    else:
        first, second = yield from run_concurrently(one, other)
    return first, second


def _expect_status(outcome: object, *allowed: int) -> int:
    response = cast("Response", outcome)
    if response.status not in allowed:
        statuses = " or ".join(map(str, allowed))
        raise NotConformingError(f"answered {client.in_short(response)} instead of {statuses}")
    return response.status


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
def _authorize_late_or_reconnect(app: App) -> Steps[None]:
    """Racing a late authorization with a reconnect: at most one of the two succeeds."""
    made: list[client.Document] = []
    for _ in range(app.context.rounds):
        made += [(yield from client.success(app.create("user"), client.CREATED))]
    yield from wait(client.lifetime(made[-1]) + connections.MOMENT)
    for number, each in enumerate(made):
        old = client.text(each, "connection.id")
        late = _fact("authorize_late", old, connections.HALF_AN_HOUR / 2)
        _, answer = yield from _run_pair(number, late, app.reconnect(old))
        is_recovered = _expect_status(answer, 201, 409) == client.CREATED
        status = client.status_of((yield from app.seen(old)))
        expected = "EXPIRED" if is_recovered else "ACTIVE"
        same(
            status,
            expected,
            f"the status after the reconnect got {client.in_short(cast('Response', answer))}",
        )


@_race("reissue.authorize", "authorize", laws=(1, 7), rules=("recovery.revoked.pending",))
def _reissue_or_authorize(app: App, number: int) -> Steps[None]:
    """Racing a reissue with the authorization of the successor: the successor ends ACTIVE."""
    old, successor = yield from create_recovered(app, "user")
    authorize = _fact("authorize", successor, None)
    answer, _ = yield from _run_pair(number, app.reconnect(old), authorize)
    _expect_status(answer, 201, 409)
    yield from app.shows(successor, "ACTIVE")


@_race("reissue.revoke", laws=(1, 2), rules=("recovery.revoked.pending",))
def _reissue_or_revoke(app: App, number: int) -> Steps[None]:
    """Racing a reissue with the revocation of the successor: the successor ends REVOKED."""
    old, successor = yield from create_recovered(app, "user")
    answers = yield from _run_pair(number, app.reconnect(old), app.revoke(successor))
    _expect_status(answers[0], 201, 409)
    _expect_status(answers[1], 200)
    yield from app.shows(successor, "REVOKED")


@_race(
    "reconnect.revoke",
    "authorize",
    "require_action",
    laws=(1, 2, 6),
    rules=("recovery.action-required.none",),
)
def _reconnect_or_revoke(app: App, number: int) -> Steps[None]:
    """Racing a reconnect with an app's revocation: the connection ends REVOKED, recovered once."""
    old = yield from connections.create_in_standing(app, Standing.ACTION_REQUIRED, "user")
    answers = yield from _run_pair(number, app.reconnect(old), app.revoke(old))
    successor = client.text(client.expect(cast("Response", answers[0]), 201), "connection.id")
    _expect_status(answers[1], 200)
    yield from app.shows(old, "REVOKED")
    again = yield from client.created_id(app.reconnect(old))
    same(again, successor, "the id of the successor")


@_race(
    "chain-revocation.authorize",
    *("authorize", "revoke"),
    laws=(1, 2),
    rules=("revocation-reach.patient",),
)
def _revoke_chain_or_authorize(app: App, number: int) -> Steps[None]:
    """Racing a patient's revocation with the authorization of the head: the head ends REVOKED."""
    old, head = yield from create_recovered(app, "user")
    revoke = _fact("revoke", old, Actor.PATIENT)
    yield from _run_pair(number, revoke, _fact("authorize", head, None))
    yield from app.shows(head, "REVOKED")


@_race("chain-revocation.reissue", "revoke", laws=(2, 7), rules=("revocation-reach.patient",))
def _revoke_chain_or_reissue(app: App, number: int) -> Steps[None]:
    """Racing a patient's revocation with a reissue of the head: the head ends REVOKED."""
    old, head = yield from create_recovered(app, "user")
    revoke = _fact("revoke", old, Actor.PATIENT)
    _, answer = yield from _run_pair(number, revoke, app.reconnect(old))
    _expect_status(answer, 201, 409)
    yield from app.shows(head, "REVOKED")


# --- A connection ---------------------------------------------------------------------------


@_race("authorize.revoke", "authorize", laws=(1, 2), rules=("connection.revoke.pending",))
def _authorize_or_revoke(app: App, number: int) -> Steps[None]:
    """Racing an authorization with an app's revocation: the connection ends REVOKED."""
    connection_id = yield from app.created_id("user")
    authorize = _fact("authorize", connection_id, None)
    _, answer = yield from _run_pair(number, authorize, app.revoke(connection_id))
    same(client.expect(cast("Response", answer), 200).get("revokedNow"), True, "revokedNow")
    yield from app.shows(connection_id, "REVOKED")


@_race(
    "require-action.revoke",
    *("authorize", "require_action"),
    laws=(1, 2),
    rules=("connection.revoke.active",),
)
def _require_action_or_revoke(app: App, number: int) -> Steps[None]:
    """Racing a failed refresh with an app's revocation: the connection ends REVOKED."""
    connection_id = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    require_action = _fact("require_action", connection_id, connections.REASON)
    _, answer = yield from _run_pair(number, require_action, app.revoke(connection_id))
    _expect_status(answer, 200)
    yield from app.shows(connection_id, "REVOKED")


# --- An account -----------------------------------------------------------------------------


@_race(
    "tombstone.authorize",
    "tombstone",
    "authorize",
    laws=(17,),
    rules=("binding.tombstone.limited",),
)
def _tombstone_or_authorize(app: App, number: int) -> Steps[None]:
    """Racing a tombstone with an authorization: the earlier connection ends REVOKED."""
    user = f"user-{number}"
    yield from app.initiated(user)
    connection_id = yield from app.created_id(user)
    tombstone = _fact("tombstone", app.coordinate(user))
    yield from _run_pair(number, tombstone, _fact("authorize", connection_id, None))
    yield from app.shows(connection_id, "REVOKED")
    yield from expect_state(app, user, "TOMBSTONED")


@_race("tombstone.reissue", "tombstone", laws=(17,), rules=("binding.tombstone.limited",))
def _tombstone_or_reissue(app: App, number: int) -> Steps[None]:
    """Racing a tombstone with a reissue: the earlier connection ends REVOKED."""
    user = f"user-{number}"
    yield from app.initiated(user)
    old, head = yield from create_recovered(app, user)
    tombstone = _fact("tombstone", app.coordinate(user))
    _, answer = yield from _run_pair(number, tombstone, app.reconnect(old))
    _expect_status(answer, 201, 409)
    yield from app.shows(head, "REVOKED")


@_race(
    "tombstone.graduate",
    *("tombstone", "graduate"),
    laws=(17,),
    rules=("binding.tombstone.limited",),
)
def _tombstone_or_graduate(app: App, number: int) -> Steps[None]:
    """Racing a tombstone with a graduation: the account ends TOMBSTONED."""
    user = f"user-{number}"
    yield from app.initiated(user)
    coordinate = app.coordinate(user)
    graduate = _fact("graduate", coordinate, None)
    yield from _run_pair(number, _fact("tombstone", coordinate), graduate)
    yield from expect_state(app, user, "TOMBSTONED")


@_race(
    "sign-up.sign-up",
    "complete_handoff",
    laws=(12,),
    rules=("binding.complete-sign-up.active.other",),
)
def _two_sign_ups(app: App, number: int) -> Steps[None]:
    """Racing sign-ups of two platform users for one app user: one lands and stays bound."""
    user = f"user-{number}"
    facts: list[HookCall] = []
    for each in ("u-1", "u-2"):
        session = session_id((yield from app.initiated(user, prefer_signup=True)))
        facts.append(_fact("complete_handoff", session, each))
    outcomes = yield from _run_pair(number, *facts)
    require(outcomes.count("done") <= 1, "both sign-ups landed")
    yield from expect_state(app, user, "ACTIVE")
    for fact, outcome in zip(facts, outcomes, strict=True):
        if outcome == "done":
            client.expect_outcome(cast("str | None", (yield fact)), "ignored")


# --- Keys and limits ------------------------------------------------------------------------


@_race("one-key.two-operations", laws=(12,), rules=("idempotency.completed.other",))
def _one_key_two_operations(app: App, number: int) -> Steps[None]:
    """Racing two operations with one key: exactly one is executed, and the other is refused."""
    key, user = app.new_key(), f"user-{number}"
    create, initiate = app.create(user, key=key), app.initiate(user, key=key)
    answers = yield from _run_pair(number, create, initiate)
    executed = [_expect_status(each, 201, 409, 422) == client.CREATED for each in answers]
    require(
        executed.count(True) == 1, f"{executed.count(True)} operations were executed instead of 1"
    )
    state = yield from app.state(user)
    same(state, "LIMITED" if executed[1] else "UNLINKED", "the account state")


@_race("limit.last-initiate", laws=(10,), rules=("request.limit",))
def _last_initiate(app: App, number: int) -> Steps[None]:
    """Racing initiates of two apps when the limit has room for one: exactly one is admitted."""
    user = f"user-{number}"
    other = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    yield from app.use_up_initiates(user, client.INITIATES_PER_MINUTE - 1)
    answers = yield from _run_pair(number, app.initiate(user), other.initiate(user))
    statuses = sorted([_expect_status(each, 201, 429) for each in answers])
    same(statuses, [201, 429], "the list of both statuses")
