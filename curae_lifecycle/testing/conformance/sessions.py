"""Checks of connect sessions and bindings: entry paths, hand-offs, account states, graduation."""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.rules.binding import (
    BINDING,
    GRADUATION_HANDOFF,
    AccountState,
    BindingTrigger,
    UserMatch,
)
from curae_lifecycle.rules.outcomes import Ignore, MoveTo, RefuseWith
from curae_lifecycle.rules.session import (
    COMPLETION,
    ENTRY_PATHS,
    EntryPath,
    SessionStanding,
    SignUpPreference,
)
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks, row_check
from curae_lifecycle.testing.conformance.client import App, Document, require, same, success
from curae_lifecycle.testing.conformance.connections import HALF_AN_HOUR, NO_TIME, expected_outcome
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send, use, wait

USER: Final = "platform-user-1"
OTHER_USER: Final = "platform-user-2"

BRINGS: Final[dict[AccountState, tuple[str, ...]]] = {
    AccountState.UNLINKED: (),
    AccountState.LIMITED: (),
    AccountState.ACTIVE: ("complete_handoff",),
    AccountState.TOMBSTONED: ("tombstone",),
}
"""The hooks (functions of the server) that a check needs to bring an account into each state."""


def bring_account_to(app: App, user: str, state: AccountState) -> Steps[None]:
    """Bring an UNLINKED account into a state, and raise unless the server shows that state.

    Args:
        app: The SDK app that sends the requests.
        user: The app user, whose account is UNLINKED.
        state: The state to reach.
    """
    match state:
        case AccountState.UNLINKED:
            pass
        case AccountState.LIMITED:
            yield from app.initiated(user)
        case AccountState.ACTIVE:
            session = yield from app.initiated(user, prefer_signup=True)
            yield from use("complete_handoff", session_id(session), USER)
        case AccountState.TOMBSTONED:
            yield from app.initiated(user)
            yield from use("tombstone", app.coordinate(user))
    yield from expect_state(app, user, state)


def expect_state(app: App, user: str, state: str) -> Steps[None]:
    """Read the account state of an app user and raise unless it is the expected one.

    Args:
        app: The SDK app that sends the request.
        user: The app user.
        state: The expected state.

    Raises:
        NotConformingError: The server shows another state.
    """
    same((yield from app.state(user)), str(state), "the account state")


def session_id(answer: Document) -> str:
    """Return the id of the session from the body of the response to an initiate.

    Raises:
        NotConformingError: The body has no `session.id`, or it is not a string.
    """
    return client.text(answer, "session.id")


# --- Entry paths ----------------------------------------------------------------------------

_AFTER: Final = {
    EntryPath.EXISTING_ACTIVE_HANDOFF: "ACTIVE",
    EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF: "UNLINKED",
    EntryPath.SILENT_LIMITED: "LIMITED",
}
"""The account state after an initiate on each path."""


def _enters(state: AccountState, preference: SignUpPreference, app: App) -> Steps[None]:
    enter = ENTRY_PATHS[state, preference].outcome
    for prefers in (True,) if preference is SignUpPreference.SIGN_UP else (None, False):
        user = app.names.word("user")
        yield from bring_account_to(app, user, state)
        answer = yield from app.initiated(user, prefer_signup=prefers)
        session = client.as_document(client.member(answer, "session"))
        same(session.get("path"), enter.path, "session.path")
        same(session.get("handoff"), enter.handoff, "session.handoff")
        same(session.get("appUserId"), user, "session.appUserId")
        account = app.key_request.customer_account_id
        same(session.get("customerAccountId"), account, "session.customerAccountId")
        landed = session.get("createdAt") if enter.handoff == "LANDED" else None
        same(session.get("landedAt"), landed, "session.landedAt")
        end = client.member(answer, "nextAction.expiresAt")
        same(session.get("expiresAt"), end, "session.expiresAt")
        same(client.member(answer, "nextAction.type"), "open_webview", "nextAction.type")
        require(
            client.instant(session, "expiresAt") > client.instant(session, "createdAt"),
            "the session has expired when it is created",
        )
        yield from expect_state(app, user, _AFTER[enter.path])


CHECKS: Final = Checks()


CHECKS.extend(
    row_check(
        ENTRY_PATHS[state, preference],
        f"Initiate while the account is {state}, {preference}",
        partial(_enters, state, preference),
        laws=(8,),
        hooks=BRINGS[state],
    )
    # One check for each row. A row that covers both preferences has a second check below.
    for state, preference in {row.rule: key for key, row in ENTRY_PATHS.items()}.values()
)
CHECKS.extend(
    Check(
        f"{ENTRY_PATHS[state, SignUpPreference.SIGN_UP].rule}.sign-up",
        f"Initiate while the account is {state}, with a preference for a sign-up: "
        f"{ENTRY_PATHS[state, SignUpPreference.SIGN_UP].outcome}.",
        partial(_enters, state, SignUpPreference.SIGN_UP),
        laws=(8,),
        rules=(ENTRY_PATHS[state, SignUpPreference.SIGN_UP].rule,),
        hooks=BRINGS[state],
    )
    for state in (AccountState.ACTIVE, AccountState.TOMBSTONED)
)


@CHECKS.add("initiate.fresh-sessions", rules=("operation.initiate",))
def _fresh_sessions(app: App) -> Steps[None]:
    """Initiates with different keys get different sessions and URLs."""
    seen: set[str] = set()
    for prefers in (True, True, None, None):
        answer = yield from app.initiated("user", prefer_signup=prefers)
        for path in ("session.id", "nextAction.url"):
            value = client.text(answer, path)
            require(value not in seen, f"{path} occurred in an earlier response")
            seen.add(value)


@CHECKS.add("account.own")
def _separate_accounts(app: App) -> Steps[None]:
    """Account states are separate for each app user, app and customer account."""
    yield from app.initiated("user")
    sibling = yield from app.second_key()
    yield from expect_state(sibling, "user", "LIMITED")
    for account, app_id in (
        (app.key_request.customer_account_id, None),
        (None, app.key_request.app_id),
    ):
        other = yield from client.new_app(app.context, account=account, app_id=app_id)
        yield from expect_state(other, "user", "UNLINKED")


ODD_USERS: Final = (
    *("J\u00fcrgen", "\u738b\u5c0f\u660e", "\U0001f600"),
    *("a b", "a+b", "100%", "a&b=c", "x" * 256),
)
"""Unusual but valid app user ids."""


@CHECKS.add("account.exact-user")
def _exact_user(app: App) -> Steps[None]:
    """Unusual app user ids are accepted and returned unchanged."""
    for user in ODD_USERS:
        answer = yield from app.initiated(user)
        same(client.member(answer, "session.appUserId"), user, "appUserId")
        yield from expect_state(app, user, "LIMITED")


# --- Bindings -------------------------------------------------------------------------------

_HOOKS: Final[dict[BindingTrigger, tuple[str, ...]]] = {
    BindingTrigger.PROVISION: (),
    BindingTrigger.COMPLETE_SIGN_UP: ("complete_handoff",),
    BindingTrigger.GRADUATE: ("graduate",),
    BindingTrigger.TOMBSTONE: ("tombstone",),
}
"""The hooks that a check needs for each trigger of a binding."""


def _binds(trigger: BindingTrigger, state: AccountState, user: UserMatch, app: App) -> Steps[None]:
    name = app.names.word("user")
    pending_session = ""
    if trigger is BindingTrigger.COMPLETE_SIGN_UP:
        pending_session = session_id((yield from app.initiated(name, prefer_signup=True)))
    yield from bring_account_to(app, name, state)
    outcome = BINDING[trigger, state, user].outcome
    expected = expected_outcome(outcome)
    is_same = user is UserMatch.SAME
    is_invisible = state == "ACTIVE" and not is_same
    match trigger:
        case BindingTrigger.PROVISION:
            yield from app.initiated(name)
        case BindingTrigger.COMPLETE_SIGN_UP:
            # A second session of the bound user lands although the binding ignores it.
            expected = "done" if isinstance(outcome, Ignore) else expected
            yield from _record(
                "complete_handoff",
                pending_session,
                USER if is_same else OTHER_USER,
                expected=expected,
                is_invisible=is_invisible,
            )
        case BindingTrigger.GRADUATE:
            yield from _record(
                "graduate",
                app.coordinate(name),
                None if is_same else OTHER_USER,
                expected=expected,
                is_invisible=is_invisible,
            )
        case BindingTrigger.TOMBSTONE:
            yield from client.record_by_hook("tombstone", app.coordinate(name), expected=expected)
    after = outcome.to if isinstance(outcome, MoveTo) else state
    yield from expect_state(app, name, after)


def _record(hook: str, *arguments: object, expected: str, is_invisible: bool) -> Steps[None]:
    # `is_invisible`: no later request shows the outcome, so the hook must report it.
    reported = yield from use(hook, *arguments)
    if reported is None and is_invisible:
        raise NotSeenError(f"the hook {hook} does not report the outcome of the fact")
    client.expect_outcome(reported, expected)


CHECKS.extend(
    row_check(
        BINDING[trigger, state, user],
        f"{trigger} while the account is {state}, {user}",
        partial(_binds, trigger, state, user),
        hooks=(*BRINGS[state], *_HOOKS[trigger]),
    )
    # One check for each row. A row that covers both users is checked with the other user.
    for trigger, state, user in {row.rule: key for key, row in BINDING.items()}.values()
)


@CHECKS.add(
    "binding.new-generation",
    rules=("binding.provision.tombstoned", "entry-path.tombstoned"),
    hooks=("tombstone", "graduate"),
)
def _new_generation(app: App) -> Steps[None]:
    """Initiates after a tombstone provision a new LIMITED user, who can graduate."""
    coordinate = app.coordinate("user")
    yield from bring_account_to(app, "user", AccountState.TOMBSTONED)
    yield from app.initiated("user", prefer_signup=True)
    yield from expect_state(app, "user", "LIMITED")
    yield from client.record_by_hook("graduate", coordinate, None)
    yield from expect_state(app, "user", "ACTIVE")


# --- Completing a hand-off ------------------------------------------------------------------


_NEEDED: Final[dict[SessionStanding, tuple[str, ...]]] = {
    SessionStanding.OVER: ("pass_time",),
    SessionStanding.OTHER_ERA: ("tombstone",),
}
"""The hooks that bring a session into a state, beside `complete_handoff`."""


def _completes(path: EntryPath, completion: SessionStanding, app: App) -> Steps[None]:
    name = app.names.word("user")
    signs_up = path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    if path is EntryPath.EXISTING_ACTIVE_HANDOFF:
        yield from bring_account_to(app, name, AccountState.ACTIVE)
    answer = yield from app.initiated(name, prefer_signup=signs_up)
    session = session_id(answer)
    same(client.member(answer, "session.path"), path, "session.path")
    landed = completion in {SessionStanding.LANDED_SAME, SessionStanding.LANDED_OTHER}
    if signs_up and landed:
        yield from client.record_by_hook("complete_handoff", session, USER)
    if completion is SessionStanding.OVER:
        yield from wait(client.lifetime(answer))
    if completion is SessionStanding.OTHER_ERA:
        yield from client.record_by_hook("tombstone", app.coordinate(name))
    before = yield from app.state(name)
    user_id = OTHER_USER if completion is SessionStanding.LANDED_OTHER else USER
    outcome = COMPLETION[path, completion].outcome
    yield from _record(
        "complete_handoff",
        session,
        user_id,
        expected=expected_outcome(outcome),
        is_invisible=isinstance(outcome, RefuseWith) and before == "ACTIVE",
    )
    after = before if isinstance(outcome, Ignore | RefuseWith) else "ACTIVE"
    yield from expect_state(app, name, after)


CHECKS.extend(
    row_check(
        COMPLETION[path, completion],
        f"Complete a session on {path} that is {completion}",
        partial(_completes, path, completion),
        hooks=("complete_handoff", *_NEEDED.get(completion, ())),
        time_needed=HALF_AN_HOUR if completion is SessionStanding.OVER else NO_TIME,
    )
    # One check for each row, by the first of its keys.
    for path, completion in {row.rule: key for key, row in reversed(COMPLETION.items())}.values()
)


@CHECKS.add(
    "completion.second-session",
    rules=("binding.complete-sign-up.active.same", "completion.landed.same"),
    hooks=("complete_handoff",),
)
def _second_session_lands(app: App) -> Steps[None]:
    """Signing up the bound user again is done in a second session and ignored in the same one."""
    one = session_id((yield from app.initiated("user", prefer_signup=True)))
    two = session_id((yield from app.initiated("user", prefer_signup=True)))
    yield from client.record_by_hook("complete_handoff", one, USER)
    yield from client.record_by_hook("complete_handoff", two, USER)
    yield from client.record_by_hook("complete_handoff", two, USER, expected="ignored")
    yield from expect_state(app, "user", "ACTIVE")
    answer = yield from app.initiated("user", prefer_signup=True)
    same(client.member(answer, "session.handoff"), "LANDED", "session.handoff of the next session")


# --- Graduation -----------------------------------------------------------------------------


def _starts_graduation(state: AccountState, app: App) -> Steps[None]:
    name = app.names.word("user")
    yield from bring_account_to(app, name, state)
    response = yield from send(app.graduate(name))
    outcome = GRADUATION_HANDOFF[state].outcome
    if isinstance(outcome, RefuseWith):
        details = client.expect_problem(response, 409, outcome.code)
        same(dict(details), {"lifecycleState": str(state)}, "details")
    else:
        answer = client.expect(response, client.CREATED)
        client.text(answer, "nextAction.url")
    yield from expect_state(app, name, state)


@CHECKS.add("graduation-handoff.fresh", rules=("operation.graduation-handoff",))
def _fresh_graduations(app: App) -> Steps[None]:
    """Graduation hand-offs get different URLs."""
    yield from bring_account_to(app, "user", AccountState.LIMITED)
    urls: list[str] = []
    for _ in range(2):
        answer = yield from success(app.graduate("user"), client.CREATED)
        urls.append(client.text(answer, "nextAction.url"))
    require(urls[0] != urls[1], "two graduation hand-offs have the same URL")


CHECKS.extend(
    row_check(
        row,
        f"Start a graduation hand-off while the account is {state}",
        partial(_starts_graduation, state),
        hooks=BRINGS[state],
    )
    for state, row in GRADUATION_HANDOFF.items()
)
