"""Checks of connect sessions and bindings: entry paths, hand-offs, account states, graduation."""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.rules.binding import (
    BINDING,
    GRADUATION_HANDOFF,
    AccountState,
    BindingTrigger,
    User,
)
from curae_lifecycle.rules.outcomes import Ignore, MoveTo, RefuseWith
from curae_lifecycle.rules.session import COMPLETION, PATHS, Completion, EntryPath, Preference
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks, row_check
from curae_lifecycle.testing.conformance.client import App, Document, require, same, success
from curae_lifecycle.testing.conformance.connections import HALF_AN_HOUR, NO_TIME, word_for
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send, use, wait

USER: Final = "platform-user-1"
OTHER: Final = "platform-user-2"

BRINGS: Final[dict[AccountState, tuple[str, ...]]] = {
    AccountState.UNLINKED: (),
    AccountState.LIMITED: (),
    AccountState.ACTIVE: ("complete_handoff",),
    AccountState.TOMBSTONED: ("tombstone",),
}
"""The hooks that bring an account into a state."""


def bring(app: App, user: str, state: AccountState) -> Steps[None]:
    """Bring a new account of a user into a state."""
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
    yield from expect_state(app, user, state, f"an account that is to be {state}")


def expect_state(app: App, user: str, state: str, where: str) -> Steps[None]:
    """Raise unless the account is in a state."""
    same((yield from app.state(user)), str(state), "the account state", where)


def session_id(answer: Document) -> str:
    """The id of the session that an initiate answered."""
    return client.text(answer, "session.id", "initiate a session")


# --- Entry paths ----------------------------------------------------------------------------

_AFTER: Final = {
    EntryPath.EXISTING_ACTIVE_HANDOFF: "ACTIVE",
    EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF: "UNLINKED",
    EntryPath.SILENT_LIMITED: "LIMITED",
}
"""What the account is once a session of this path was minted."""


def _path(state: AccountState, preference: Preference, app: App) -> Steps[None]:
    enter = PATHS[state, preference].outcome
    for prefers in (True,) if preference is Preference.SIGN_UP else (None, False):
        user = app.names.word("user")
        yield from bring(app, user, state)
        where = f"initiate for an account that is {state}, preferSignup {prefers}"
        answer = yield from app.initiated(user, prefer_signup=prefers)
        session = client.as_document(client.member(answer, "session", where), where)
        same(session.get("path"), enter.path, "the path", where)
        same(session.get("handoff"), enter.handoff, "the hand-off", where)
        same(session.get("appUserId"), user, "appUserId", where)
        account = app.wanted.customer_account_id
        same(session.get("customerAccountId"), account, "customerAccountId", where)
        landed = session.get("createdAt") if enter.handoff == "LANDED" else None
        same(session.get("landedAt"), landed, "landedAt", where)
        end = client.member(answer, "nextAction.expiresAt", where)
        same(session.get("expiresAt"), end, "the session's end beside its next action's", where)
        same(client.member(answer, "nextAction.type", where), "open_webview", "the type", where)
        require(
            client.instant(session, "expiresAt", where)
            > client.instant(session, "createdAt", where),
            "it is over when it begins",
            where,
        )
        yield from expect_state(app, user, _AFTER[enter.path], f"after: {where}")


CHECKS: Final = Checks()


CHECKS.extend(
    row_check(
        PATHS[state, preference],
        f"Initiate where the account is {state}, {preference}",
        partial(_path, state, preference),
        laws=(8,),
        hooks=BRINGS[state],
    )
    # One check for each row; where a row covers both preferences, the other one follows.
    for state, preference in {row.rule: key for key, row in PATHS.items()}.values()
)
CHECKS.extend(
    Check(
        f"{PATHS[state, Preference.SIGN_UP].rule}.sign-up",
        f"Initiate where the account is {state}, with a preference for a sign-up: "
        f"{PATHS[state, Preference.SIGN_UP].outcome}.",
        partial(_path, state, Preference.SIGN_UP),
        laws=(8,),
        rules=(PATHS[state, Preference.SIGN_UP].rule,),
        hooks=BRINGS[state],
    )
    for state in (AccountState.ACTIVE, AccountState.TOMBSTONED)
)


@CHECKS.add("initiate.fresh-sessions", rules=("operation.initiate",))
def _fresh_sessions(app: App) -> Steps[None]:
    """Every initiate with a new key mints a fresh session and a fresh URL."""
    where = "initiate for one user with four keys"
    seen: set[str] = set()
    for prefers in (True, True, None, None):
        answer = yield from app.initiated("user", prefer_signup=prefers)
        for path in ("session.id", "nextAction.url"):
            value = client.text(answer, path, where)
            require(value not in seen, f"{path} is not fresh", where)
            seen.add(value)


@CHECKS.add("account.own")
def _own_accounts(app: App) -> Steps[None]:
    """An account belongs to one user of one app of one customer account."""
    user = "Ada"
    yield from app.initiated(user)
    sibling = yield from app.second_key()
    yield from expect_state(sibling, user, "LIMITED", "the same app with another API key")
    others = (
        ("another app of the account", app.wanted.customer_account_id, None),
        ("the app in another account", None, app.wanted.app_id),
    )
    for who, account, app_id in others:
        other = yield from client.new_app(app.kit, account=account, app_id=app_id)
        yield from expect_state(other, user, "UNLINKED", who)
    for name in ("ada", "Ada ".strip() + "\u0301", "Ad\u0430"):
        yield from expect_state(app, name, "UNLINKED", f"the user {name!a} beside {user!a}")


ODD_USERS: Final = (
    "J\u00fcrgen",
    "\u738b\u5c0f\u660e",
    "a b",
    "a+b",
    "100%",
    "a&b=c",
    "\U0001f600",
    "x" * 256,
)
"""Ids that an app may give its users."""


@CHECKS.add("account.exact-user")
def _exact_user(app: App) -> Steps[None]:
    """An app user's id is opaque and compared exactly."""
    for user in ODD_USERS:
        answer = yield from app.initiated(user)
        where = f"initiate for the user {user[:20]!a}"
        same(client.member(answer, "session.appUserId", where), user, "appUserId", where)
        yield from expect_state(app, user, "LIMITED", where)


# --- Bindings -------------------------------------------------------------------------------

_HOOKS: Final[dict[BindingTrigger, tuple[str, ...]]] = {
    BindingTrigger.PROVISION: (),
    BindingTrigger.COMPLETE_SIGN_UP: ("complete_handoff",),
    BindingTrigger.GRADUATE: ("graduate",),
    BindingTrigger.TOMBSTONE: ("tombstone",),
}
"""The hook that lets each thing happen to a binding."""


def _binds(trigger: BindingTrigger, state: AccountState, user: User, app: App) -> Steps[None]:
    name = app.names.word("user")
    waiting = ""
    if trigger is BindingTrigger.COMPLETE_SIGN_UP:
        waiting = session_id((yield from app.initiated(name, prefer_signup=True)))
    yield from bring(app, name, state)
    where = f"{trigger} where the account is {state}, {user}"
    outcome = BINDING[trigger, state, user].outcome
    expected = word_for(outcome)
    match trigger:
        case BindingTrigger.PROVISION:
            yield from app.initiated(name)
        case BindingTrigger.COMPLETE_SIGN_UP:
            # A second session that lands for the user already bound is done: it has landed.
            expected = "done" if isinstance(outcome, Ignore) else expected
            who = USER if user is User.SAME else OTHER
            said = yield from use("complete_handoff", waiting, who)
            _judge(said, expected, "complete_handoff", state == "ACTIVE" and who == OTHER, where)
        case BindingTrigger.GRADUATE:
            claims = None if user is User.SAME else OTHER
            said = yield from use("graduate", app.coordinate(name), claims)
            _judge(said, expected, "graduate", state == "ACTIVE" and claims == OTHER, where)
        case BindingTrigger.TOMBSTONE:
            yield from client.happens("tombstone", app.coordinate(name), said=expected, where=where)
    after = outcome.to if isinstance(outcome, MoveTo) else state
    yield from expect_state(app, name, after, where)


def _judge(said: str | None, expected: str, hook: str, silent: bool, where: str) -> None:  # noqa: FBT001 - whether only the hook's word shows it
    if said is None and silent:
        raise NotSeenError(f"the hook {hook} does not say what the server made of it")
    client.expect_said(said, expected, where)


CHECKS.extend(
    row_check(
        BINDING[trigger, state, user],
        f"{trigger} where the account is {state}, {user}",
        partial(_binds, trigger, state, user),
        hooks=(*BRINGS[state], *_HOOKS[trigger]),
    )
    # One check for each row; where a row covers both users, the other one shows more.
    for trigger, state, user in {row.rule: key for key, row in BINDING.items()}.values()
)


@CHECKS.add(
    "binding.new-generation",
    rules=("binding.provision.tombstoned", "entry-path.tombstoned"),
    hooks=("tombstone", "graduate"),
)
def _new_generation(app: App) -> Steps[None]:
    """Where the user is gone a new LIMITED one is provisioned, who can graduate."""
    coordinate = app.coordinate("user")
    yield from bring(app, "user", AccountState.TOMBSTONED)
    where = "a new LIMITED user where the old one is gone"
    yield from app.initiated("user", prefer_signup=True)
    yield from expect_state(app, "user", "LIMITED", where)
    yield from client.happens("graduate", coordinate, None, where=where)
    yield from expect_state(app, "user", "ACTIVE", where)


# --- Completing a hand-off ------------------------------------------------------------------


def _completes(path: EntryPath, completion: Completion, app: App) -> Steps[None]:
    name = app.names.word("user")
    waits = path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    if path is EntryPath.EXISTING_ACTIVE_HANDOFF:
        yield from bring(app, name, AccountState.ACTIVE)
    answer = yield from app.initiated(name, prefer_signup=waits)
    session = session_id(answer)
    where = f"complete the hand-off of a session on {path} that is {completion}"
    same(client.member(answer, "session.path", where), path, "the path", where)
    landed = completion in {Completion.LANDED_SAME, Completion.LANDED_OTHER}
    if waits and landed:
        yield from client.happens("complete_handoff", session, USER, where=where)
    if completion is Completion.OVER:
        yield from wait(client.lifetime(answer, where))
    before = yield from app.state(name)
    who = OTHER if completion is Completion.LANDED_OTHER else USER
    said = yield from use("complete_handoff", session, who)
    outcome = COMPLETION[path, completion].outcome
    silent = isinstance(outcome, RefuseWith) and before == "ACTIVE"
    _judge(said, word_for(outcome), "complete_handoff", silent, where)
    after = before if isinstance(outcome, Ignore | RefuseWith) else "ACTIVE"
    yield from expect_state(app, name, after, where)


CHECKS.extend(
    row_check(
        COMPLETION[path, completion],
        f"Completing a session on {path} that is {completion}",
        partial(_completes, path, completion),
        hooks=("complete_handoff", *(("pass_time",) if completion is Completion.OVER else ())),
        passes=HALF_AN_HOUR if completion is Completion.OVER else NO_TIME,
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
    """A second session that lands for the user already bound is done."""
    one = session_id((yield from app.initiated("user", prefer_signup=True)))
    two = session_id((yield from app.initiated("user", prefer_signup=True)))
    where = "two waiting sessions of one user"
    yield from client.happens("complete_handoff", one, USER, where=where)
    yield from client.happens("complete_handoff", two, USER, where=f"{where}, the second")
    yield from client.happens(
        "complete_handoff", two, USER, said="ignored", where=f"{where}, again"
    )
    yield from expect_state(app, "user", "ACTIVE", where)
    answer = yield from app.initiated("user", prefer_signup=True)
    same(
        client.member(answer, "session.handoff", where),
        "LANDED",
        "the next session's hand-off",
        where,
    )


# --- Graduation -----------------------------------------------------------------------------


def _starts_graduation(state: AccountState, app: App) -> Steps[None]:
    name = app.names.word("user")
    yield from bring(app, name, state)
    response = yield from send(app.graduate(name))
    where = f"start a graduation hand-off where the account is {state}"
    outcome = GRADUATION_HANDOFF[state].outcome
    if isinstance(outcome, RefuseWith):
        details = client.expect_problem(response, 409, outcome.code, where)
        same(dict(details), {"lifecycleState": str(state)}, "details", where)
    else:
        answer = client.expect(response, client.CREATED, where)
        client.text(answer, "nextAction.url", where)
    yield from expect_state(app, name, state, f"after: {where}")


@CHECKS.add("graduation-handoff.fresh", rules=("operation.graduation-handoff",))
def _fresh_graduations(app: App) -> Steps[None]:
    """Every graduation hand-off has a URL of its own."""
    yield from bring(app, "user", AccountState.LIMITED)
    where = "start two graduation hand-offs"
    urls: list[str] = []
    for _ in range(2):
        answer = yield from success(app.graduate("user"), client.CREATED, where)
        urls.append(client.text(answer, "nextAction.url", where))
    require(urls[0] != urls[1], "both have one URL", where)


CHECKS.extend(
    row_check(
        row,
        f"A graduation hand-off where the account is {state}",
        partial(_starts_graduation, state),
        hooks=BRINGS[state],
    )
    for state, row in GRADUATION_HANDOFF.items()
)
