"""Tests of the checks of triggers, with responses that each test gives itself."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

import pytest

from curae_lifecycle.rules.connection import Standing, Status
from curae_lifecycle.rules.outcomes import IGNORE, MoveTo, RefuseWith
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.tables import Row
from curae_lifecycle.rules.triggers import RECORD_EXPIRY, RECOVER, Trigger
from curae_lifecycle.testing.conformance import Request, connections
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.steps import NotConformingError
from tests.testing.conformance.answering import body_of, in_words, refuse, respond
from tests.testing.conformance.by_hand import Played, app, context, play

LIFETIME: Final = timedelta(minutes=20)
HALF_AN_HOUR_AND_A_SECOND: Final = timedelta(minutes=30, seconds=1)
MADE: Final = "2026-01-05T09:00:00Z"
Document = dict[str, object]

# fmt: off
BROUGHT: Final = {
    "PENDING":         [],
    "LAPSED":          ["pass_time 0:20:01"],
    "ACTIVE":          ["authorize c None"],
    "ACTION_REQUIRED": ["authorize c None", "require_action c portal_login"],
    "EXPIRED":         ["authorize c None", "expire c"],
    "REVOKED":         ["POST /connections/c:revoke"],
}
"""The steps that bring a connection into each standing."""

FIRED: Final = {
    "authorize":      "authorize c 1:00:00",
    "require_action": "require_action c another_reason",
    "expire":         "expire c",
    "revoke":         "POST /connections/c:revoke",
    "reconnect":      "POST /connections/c:reconnect",
}
"""The step that fires each trigger."""

MAY_CHANGE: Final = {
    "authorize":      {"authorizedAt": MADE, "expiresAt": MADE},
    "require_action": {"actionRequiredReason": "another_reason"},
    "expire":         {},
    "revoke":         {"revokedAt": MADE},
}
"""The members, besides the status and `updatedAt`, that each trigger may change."""

ROWS: Final = (
    ("authorize",      "PENDING",         "to ACTIVE",              1),
    ("authorize",      "LAPSED",          "HANDOFF_LAPSED",         11),
    ("authorize",      "ACTIVE",          "ignored",                11),
    ("authorize",      "ACTION_REQUIRED", "CONNECTION_NOT_PENDING", 11),
    ("authorize",      "EXPIRED",         "CONNECTION_NOT_PENDING", 11),
    ("authorize",      "REVOKED",         "CONNECTION_NOT_PENDING", 11),
    ("require_action", "PENDING",         "ignored",                11),
    ("require_action", "LAPSED",          "ignored",                11),
    ("require_action", "ACTIVE",          "to ACTION_REQUIRED",     1),
    ("require_action", "ACTION_REQUIRED", "ignored",                11),
    ("require_action", "EXPIRED",         "ignored",                11),
    ("require_action", "REVOKED",         "ignored",                11),
    ("expire",         "PENDING",         "ignored",                11),
    ("expire",         "LAPSED",          "ignored",                11),
    ("expire",         "ACTIVE",          "to EXPIRED",             1),
    ("expire",         "ACTION_REQUIRED", "to EXPIRED",             1),
    ("expire",         "EXPIRED",         "ignored",                1),
    ("expire",         "REVOKED",         "ignored",                11),
    ("revoke",         "PENDING",         "to REVOKED",             2),
    ("revoke",         "LAPSED",          "to REVOKED",             2),
    ("revoke",         "ACTIVE",          "to REVOKED",             2),
    ("revoke",         "ACTION_REQUIRED", "to REVOKED",             2),
    ("revoke",         "EXPIRED",         "to REVOKED",             2),
    ("revoke",         "REVOKED",         "ignored",                2),
    ("reconnect",      "PENDING",         "STILL_PENDING",          11),
    ("reconnect",      "LAPSED",          "recovered",              6),
    ("reconnect",      "ACTIVE",          "ALREADY_ACTIVE",         11),
    ("reconnect",      "ACTION_REQUIRED", "recovered",              6),
    ("reconnect",      "EXPIRED",         "recovered",              6),
    ("reconnect",      "REVOKED",         "recovered",              6),
)
"""The trigger and the standing of each check, the outcome that it expects, and its law."""
# fmt: on

HOOKED: Final = [row[:3] for row in ROWS if row[0] not in {"revoke", "reconnect"}]
MOVING: Final = [row[:3] for row in ROWS if row[2].startswith("to ")]
STAYING: Final = [row[:3] for row in ROWS if not row[2].startswith("to ")]
of_rows = pytest.mark.parametrize(("trigger", "standing", "outcome"), [row[:3] for row in ROWS])


def check_of(trigger: str, standing: str) -> Check:
    words = f"connection.{trigger}.{standing}".lower().replace("_", "-")
    (check,) = [each for each in connections.checks() if each.name == words]
    return check


def shown(standing: str, **members: object) -> Document:
    """Return the JSON object of a connection in a standing, with these members."""
    status = "EXPIRED" if standing == "LAPSED" else standing
    return {"id": "c", "status": status, "updatedAt": MADE} | members


def read(connection: Document) -> object:
    return respond(200, {"connection": connection})


CREATED: Final = respond(
    201,
    {"connection": shown("PENDING"), "nextAction": {"expiresAt": "2026-01-05T09:20:00Z"}},
)


def brought(standing: str) -> list[object]:
    """Return the outcomes of the steps that bring a new connection into a standing."""
    outcomes: dict[str, object] = {"pass_time": None, "POST": respond(200, {})}
    named = [each.partition(" ")[0] for each in BROUGHT[standing]]
    looked = [] if standing == "PENDING" else [read(shown(standing))]
    return [CREATED, *(outcomes.get(name, "done") for name in named), *looked]


def fired(trigger: str, outcome: str) -> object:
    """Return what a correct server reports of a trigger: a hook's outcome, or a response."""
    if trigger == "revoke":
        return respond(200, {"revokedNow": outcome != "ignored"})
    if trigger != "reconnect":
        return "done" if outcome.startswith("to ") else outcome
    if outcome != "recovered":
        details = {"connectionId": "c", "reason": outcome}
        return refuse(409, "CONNECTION_NOT_RECONNECTABLE", **details)
    new = {"connection": {"id": "d", "status": "PENDING"}, "previousConnectionId": "c"}
    return respond(201, new)


def after(outcome: str, standing: str, **members: object) -> Document:
    """Return the JSON object of the connection after the trigger, with these members."""
    _, to, status = outcome.rpartition("to ")
    return shown(status if to else standing, **members)


def steps_of(
    trigger: str, standing: str, report: object, later: Document, *, earlier: Document | None = None
) -> list[str]:
    """Play a check, and return its steps after the one that makes an API key."""
    check = check_of(trigger, standing)
    first = read(shown(standing) if earlier is None else earlier)
    outcomes = ("key", *brought(standing), first, report, read(later))
    played: Played = play(check.begin(context(*check.hooks)), *outcomes)
    return [in_words(step) for step in played.steps[1:]]


GET: Final = "GET /connections/c"


@of_rows
def test_trigger_check_sets_up_the_standing_then_sends_trigger(
    trigger: str, standing: str, outcome: str
) -> None:
    later = after(outcome, standing)
    assert steps_of(trigger, standing=standing, report=fired(trigger, outcome), later=later) == [
        "POST /connections",
        *BROUGHT[standing],
        *([] if standing == "PENDING" else [GET]),
        GET,
        FIRED[trigger],
        GET,
    ]


@pytest.mark.parametrize(("trigger", "standing", "outcome", "law"), ROWS)
def test_trigger_check_lists_the_hooks_that_its_steps_call(
    trigger: str, standing: str, outcome: str, law: int
) -> None:
    del outcome
    check = check_of(trigger, standing)
    steps = [*BROUGHT[standing], FIRED[trigger]]
    hooks = dict.fromkeys(each.partition(" ")[0] for each in steps if "POST" not in each)
    assert check.hooks == tuple(hooks)
    assert check.rules == (check.name,)
    assert check.laws == (law,)
    wait = HALF_AN_HOUR_AND_A_SECOND if standing == "LAPSED" else timedelta(0)
    assert check.time_needed == wait
    assert check.shows.startswith(f"{trigger} on a connection that is {standing}: ")


def test_trigger_checks_are_one_per_table_row_in_row_order() -> None:
    names = [check_of(trigger, standing).name for trigger, standing, *_ in ROWS]
    assert [each.name for each in connections.CHECKS] == names


@pytest.mark.parametrize(("trigger", "standing", "outcome"), HOOKED)
def test_hook_that_reports_a_wrong_outcome_fails_the_check(
    trigger: str, standing: str, outcome: str
) -> None:
    right = fired(trigger, outcome)
    with pytest.raises(NotConformingError, match=f"hook returned other instead of {right}$"):
        steps_of(trigger, standing=standing, report="other", later=after(outcome, standing))
    # A hook need not report the outcome.
    steps_of(trigger, standing=standing, report=None, later=after(outcome, standing))


@pytest.mark.parametrize(("trigger", "standing", "outcome"), MOVING)
def test_check_fails_if_a_trigger_changes_an_unlisted_member(
    trigger: str, standing: str, outcome: str
) -> None:
    report = fired(trigger, outcome)
    own = MAY_CHANGE[trigger] | {"updatedAt": "2026-01-05T09:00:01Z"}
    steps_of(trigger, standing=standing, report=report, later=after(outcome, standing, **own))
    other = after(outcome, standing, **own, label="x", createdAt=MADE)
    with pytest.raises(NotConformingError) as raised:
        steps_of(
            trigger,
            standing=standing,
            report=report,
            later=other,
            earlier=shown(standing, label="y"),
        )
    assert raised.value.what == (
        f"{trigger} changed members that it may not change: createdAt, label"
    )


@pytest.mark.parametrize(("trigger", "standing", "outcome"), MOVING)
def test_trigger_that_leads_to_a_wrong_status_fails_the_check(
    trigger: str, standing: str, outcome: str
) -> None:
    with pytest.raises(NotConformingError) as raised:
        steps_of(trigger, standing=standing, report=fired(trigger, outcome), later=shown("OTHER"))
    assert raised.value.what == f'the status is "OTHER" instead of "{outcome[3:]}"'


@pytest.mark.parametrize(("trigger", "standing", "outcome"), STAYING)
def test_check_fails_if_trigger_without_effect_changes_a_member(
    trigger: str, standing: str, outcome: str
) -> None:
    moved = after(outcome, standing, updatedAt="2026-01-05T09:00:01Z", revokedAt=MADE)
    with pytest.raises(NotConformingError) as raised:
        steps_of(trigger, standing=standing, report=fired(trigger, outcome), later=moved)
    assert raised.value.what == (
        f"{trigger} changed revokedAt, updatedAt although it must change nothing"
    )


@pytest.mark.parametrize("standing", [each for each in BROUGHT if each != "PENDING"])
def test_check_fails_if_connection_does_not_reach_the_standing(standing: str) -> None:
    *outcomes, _ = brought(standing)
    steps = connections.create_in_standing(app(), Standing(standing))
    with pytest.raises(NotConformingError) as raised:
        play(steps, *outcomes, read(shown("OTHER")))
    status = shown(standing)["status"]
    assert raised.value.what == f'the status of c is "OTHER" instead of "{status}"'


@pytest.mark.parametrize(("user", "sent"), [("ann", "ann"), (None, "user-")])
def test_kit_creates_connection_for_the_given_or_a_fresh_user(user: str | None, sent: str) -> None:
    played = play(connections.create_in_standing(app(), user=user), CREATED)
    assert played.result == "c"
    (create,) = played.steps
    assert isinstance(create, Request)
    name = (body_of(create) or {})["appUserId"]
    assert str(name)[: len(sent)] == sent
    assert len(str(name)) == len("user-0123456789abcdef" if user is None else user)


def test_kit_check_fails_if_a_create_is_not_answered_with_201() -> None:
    with pytest.raises(NotConformingError, match="answered 200 instead of 201"):
        play(connections.create_in_standing(app()), respond(200, json.loads(CREATED.body)))


# --- Requests that fire a trigger ----------------------------------------------------------------


def revocation(**members: object) -> object:
    return respond(200, members)


def recovery(
    new_id: object = "d", status: object = "PENDING", previous: object = "c", *, code: int = 201
) -> object:
    body = {"connection": {"id": new_id, "status": status}, "previousConnectionId": previous}
    return respond(code, body)


def not_reconnectable(**details: object) -> object:
    right = {"connectionId": "c", "reason": "STILL_PENDING"}
    return refuse(409, "CONNECTION_NOT_RECONNECTABLE", **(right | details))


INSTEAD: Final = "instead of 409 CONNECTION_NOT_RECONNECTABLE"
DETAILS: Final = 'instead of {"connectionId": "c", "reason": "STILL_PENDING"}'


@pytest.mark.parametrize(
    ("trigger", "standing", "answer", "message"),
    [
        ("revoke", "ACTIVE", revocation(revokedNow=False), "revokedNow is false instead of true"),
        ("revoke", "REVOKED", revocation(revokedNow=True), "revokedNow is true instead of false"),
        ("revoke", "ACTIVE", revocation(), "the member revokedNow is missing"),
        ("revoke", "ACTIVE", respond(201, {}), "the server answered 201 instead of 200"),
        ("reconnect", "EXPIRED", recovery(code=200), "the server answered 200 instead of 201"),
        (
            "reconnect",
            "EXPIRED",
            recovery(status="ACTIVE"),
            'the status of the recovery is "ACTIVE" instead of "PENDING"',
        ),
        (
            "reconnect",
            "EXPIRED",
            recovery(previous="b"),
            'previousConnectionId is "b" instead of "c"',
        ),
        ("reconnect", "EXPIRED", recovery("c"), "the recovery has the old id"),
        (
            "reconnect",
            "PENDING",
            recovery(),
            f"the server answered 201 {INSTEAD}",
        ),
        (
            "reconnect",
            "PENDING",
            refuse(409, "CONNECTION_SUPERSEDED"),
            f"the server answered 409 CONNECTION_SUPERSEDED {INSTEAD}",
        ),
        (
            "reconnect",
            "PENDING",
            not_reconnectable(reason="ALREADY_ACTIVE"),
            f'details is {{"connectionId": "c", "reason": "ALREADY_ACTIVE"}} {DETAILS}',
        ),
        (
            "reconnect",
            "PENDING",
            not_reconnectable(connectionId="b"),
            f'details is {{"connectionId": "b", "reason": "STILL_PENDING"}} {DETAILS}',
        ),
        (
            "reconnect",
            "PENDING",
            not_reconnectable(more=1),
            f'details is {{"connectionId": "c", "reason": "STILL_PENDING", "more": 1}} {DETAILS}',
        ),
    ],
)
def test_trigger_check_tells_what_is_wrong_with_the_response(
    trigger: str, standing: str, answer: object, message: str
) -> None:
    with pytest.raises(NotConformingError) as raised:
        steps_of(trigger, standing=standing, report=answer, later=shown(standing))
    assert raised.value.what == message


def test_problem_detail_unknown_to_the_kit_may_have_any_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = Trigger.RECONNECT, Standing.PENDING
    row = Row(at, RefuseWith(ProblemCode.HANDOFF_LAPSED), "why", name="late")
    monkeypatch.setattr(connections, "TRIGGERS", {at: row})
    (check,) = connections.checks()
    connection = read(shown("PENDING"))

    def played(**details: object) -> None:
        refused = refuse(409, "HANDOFF_LAPSED", **details)
        play(check.begin(context()), "key", CREATED, connection, refused, connection)

    played(connectionId="c", deadline=MADE)
    with pytest.raises(NotConformingError, match="details is"):
        played(connectionId="c")


# --- Functions that other checks use -------------------------------------------------------------


def test_kit_check_reserves_half_an_hour_per_lapsed_connection() -> None:
    pending, lapsed = Standing.PENDING, Standing.LAPSED
    assert connections.time_needed() == connections.time_needed(pending) == timedelta(0)
    assert connections.time_needed(lapsed, pending, lapsed) == 2 * HALF_AN_HOUR_AND_A_SECOND


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (MoveTo(Status.ACTIVE), "done"),
        (RECOVER, "done"),
        (IGNORE, "ignored"),
        (RECORD_EXPIRY, "ignored"),
        (RefuseWith(ProblemCode.HANDOFF_LAPSED), "HANDOFF_LAPSED"),
    ],
)
def test_expected_outcome_of_table_row_is_done_ignored_or_code(outcome: object, name: str) -> None:
    assert connections.expected_outcome(outcome) == name


def test_changed_members_include_added_and_removed_ones() -> None:
    before = {"same": 1, "other": 1, "gone": 1}
    after_it = {"same": 1, "other": 2, "new": 1}
    assert connections.changed(before, after_it) == {"other", "gone", "new"}


def test_kit_check_fails_if_a_connection_that_must_stay_changes() -> None:
    before = shown("ACTIVE")
    (get,) = play(connections.stays(app(), before), read(before)).steps
    assert in_words(get) == GET
    with pytest.raises(NotConformingError) as raised:
        play(connections.stays(app(), before), read(shown("ACTIVE", updatedAt="later", label=1)))
    assert raised.value.what == (
        "the set of changed members of connection c is label, updatedAt instead of none"
    )
