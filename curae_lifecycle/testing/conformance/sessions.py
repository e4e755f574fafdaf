"""Checks of connect sessions and bindings: entry paths, hand-offs, account states, graduation."""

from __future__ import annotations

from collections.abc import Callable
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
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    App,
    Document,
    as_document,
    expect,
    expect_problem,
    expect_said,
    instant,
    lifetime,
    member,
    new_app,
    require,
    same,
    second_key,
    success,
    text,
)
from curae_lifecycle.testing.conformance.connections import HALF_AN_HOUR, NO_TIME
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Checks,
    Kit,
    NotSeenError,
    Steps,
    send,
    use,
    wait,
)

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
    return text(answer, "session.id", "initiate a session")


# --- Entry paths ----------------------------------------------------------------------------

_AFTER: Final = {
    EntryPath.EXISTING_ACTIVE_HANDOFF: "ACTIVE",
    EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF: "UNLINKED",
    EntryPath.SILENT_LIMITED: "LIMITED",
}
"""What the account is once a session of this path was minted."""


def _path(state: AccountState, preference: Preference, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    enter = PATHS[state, preference].outcome
    for prefers in (True,) if preference is Preference.SIGN_UP else (None, False):
        user = app.names.word("user")
        yield from bring(app, user, state)
        where = f"initiate for an account that is {state}, preferSignup {prefers}"
        answer = yield from app.initiated(user, prefer_signup=prefers)
        session = as_document(member(answer, "session", where), where)
        same(session.get("path"), enter.path, "the path", where)
        same(session.get("handoff"), enter.handoff, "the hand-off", where)
        same(session.get("appUserId"), user, "appUserId", where)
        account = app.wanted.customer_account_id
        same(session.get("customerAccountId"), account, "customerAccountId", where)
        landed = session.get("createdAt") if enter.handoff == "LANDED" else None
        same(session.get("landedAt"), landed, "landedAt", where)
        end = member(answer, "nextAction.expiresAt", where)
        same(session.get("expiresAt"), end, "the session's end beside its next action's", where)
        same(member(answer, "nextAction.type", where), "open_webview", "the type", where)
        require(
            instant(session, "expiresAt", where) > instant(session, "createdAt", where),
            "it is over when it begins",
            where,
        )
        yield from expect_state(app, user, _AFTER[enter.path], f"after: {where}")


CHECKS: Final = Checks()


@CHECKS.add("initiate.fresh-sessions", rules=("operation.initiate",))
def _fresh_sessions(kit: Kit) -> Steps[None]:
    """Every initiate with a new key mints a fresh session and a fresh URL."""
    app = yield from new_app(kit)
    where = "initiate for one user with four keys"
    seen: set[str] = set()
    for prefers in (True, True, None, None):
        answer = yield from app.initiated("user", prefer_signup=prefers)
        for path in ("session.id", "nextAction.url"):
            value = text(answer, path, where)
            require(value not in seen, f"{path} is not fresh", where)
            seen.add(value)


@CHECKS.add("account.own")
def _own_accounts(kit: Kit) -> Steps[None]:
    """An account belongs to one user of one app of one customer account."""
    app = yield from new_app(kit)
    user = "Ada"
    yield from app.initiated(user)
    sibling = yield from second_key(kit, app)
    yield from expect_state(sibling, user, "LIMITED", "the same app with another API key")
    others = (
        ("another app of the account", app.wanted.customer_account_id, None),
        ("the app in another account", None, app.wanted.app_id),
    )
    for who, account, app_id in others:
        other = yield from new_app(kit, account=account, app_id=app_id)
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
def _exact_user(kit: Kit) -> Steps[None]:
    """An app user's id is opaque and compared exactly."""
    app = yield from new_app(kit)
    for user in ODD_USERS:
        answer = yield from app.initiated(user)
        where = f"initiate for the user {user[:20]!a}"
        same(member(answer, "session.appUserId", where), user, "appUserId", where)
        yield from expect_state(app, user, "LIMITED", where)


# --- Bindings -------------------------------------------------------------------------------

_WHO: Final = {User.SAME: USER, User.OTHER: OTHER}


def _completes_sign_up(state: AccountState, user: User, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    name = app.names.word("user")
    waiting = session_id((yield from app.initiated(name, prefer_signup=True)))
    yield from bring(app, name, state)
    outcome = BINDING[BindingTrigger.COMPLETE_SIGN_UP, state, user].outcome
    where = f"complete a sign-up where the account is {state} by now, {user}"
    said = yield from use("complete_handoff", waiting, _WHO[user])
    # A second session that lands for the user already bound is done: the session has landed.
    expected = outcome.code if isinstance(outcome, RefuseWith) else "done"
    silent = state is AccountState.ACTIVE and user is User.OTHER
    _judge(said, expected, "complete_handoff", silent, where)
    after = outcome.to if isinstance(outcome, MoveTo) else state
    yield from expect_state(app, name, after, where)


def _graduates(state: AccountState, user: User, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    name = app.names.word("user")
    yield from bring(app, name, state)
    outcome = BINDING[BindingTrigger.GRADUATE, state, user].outcome
    where = f"graduate where the account is {state}, {user}"
    said = yield from use("graduate", app.coordinate(name), None if user is User.SAME else OTHER)
    expected = outcome.code if isinstance(outcome, RefuseWith) else "done"
    silent = state is AccountState.ACTIVE and user is User.OTHER
    _judge(said, "ignored" if isinstance(outcome, Ignore) else expected, "graduate", silent, where)
    after = outcome.to if isinstance(outcome, MoveTo) else state
    yield from expect_state(app, name, after, where)


def _judge(said: str | None, expected: str, hook: str, silent: bool, where: str) -> None:  # noqa: FBT001 - whether only the hook's word shows it
    if said is None and silent:
        raise NotSeenError(f"the hook {hook} does not say what the server made of it")
    expect_said(said, expected, where)


def _tombstones(state: AccountState, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    name = app.names.word("user")
    yield from bring(app, name, state)
    outcome = BINDING[BindingTrigger.TOMBSTONE, state, User.SAME].outcome
    where = f"tombstone where the account is {state}"
    said = yield from use("tombstone", app.coordinate(name))
    expect_said(said, "ignored" if isinstance(outcome, Ignore) else "done", where)
    after = outcome.to if isinstance(outcome, MoveTo) else state
    yield from expect_state(app, name, after, where)


def _provisions(state: AccountState, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    name = app.names.word("user")
    yield from bring(app, name, state)
    yield from app.initiated(name)
    after = "ACTIVE" if state is AccountState.ACTIVE else "LIMITED"
    yield from expect_state(app, name, after, f"initiate where the account is {state}")


@CHECKS.add(
    "binding.new-generation",
    rules=("binding.provision.tombstoned", "entry-path.tombstoned"),
    hooks=("tombstone", "graduate"),
)
def _new_generation(kit: Kit) -> Steps[None]:
    """Where the user is gone a new LIMITED one is provisioned, who can graduate."""
    app = yield from new_app(kit)
    coordinate = app.coordinate("user")
    yield from bring(app, "user", AccountState.TOMBSTONED)
    where = "a new LIMITED user where the old one is gone"
    yield from app.initiated("user", prefer_signup=True)
    yield from expect_state(app, "user", "LIMITED", where)
    expect_said((yield from use("graduate", coordinate, None)), "done", where)
    yield from expect_state(app, "user", "ACTIVE", where)


_BINDING_HOOKS: Final[dict[BindingTrigger, tuple[str, ...]]] = {
    BindingTrigger.PROVISION: (),
    BindingTrigger.COMPLETE_SIGN_UP: ("complete_handoff",),
    BindingTrigger.GRADUATE: ("graduate",),
    BindingTrigger.TOMBSTONE: ("tombstone",),
}


def _binding_steps(
    trigger: BindingTrigger, state: AccountState, user: User
) -> Callable[[Kit], Steps[None]]:
    match trigger:
        case BindingTrigger.PROVISION:
            return partial(_provisions, state)
        case BindingTrigger.TOMBSTONE:
            return partial(_tombstones, state)
        case BindingTrigger.GRADUATE:
            return partial(_graduates, state, user)
        case BindingTrigger.COMPLETE_SIGN_UP:
            return partial(_completes_sign_up, state, user)


def _binding_check(trigger: BindingTrigger, state: AccountState, user: User) -> Check:
    row = BINDING[trigger, state, user]
    return Check(
        row.rule,
        f"{trigger} where the account is {state}, {user}: {row.outcome}.",
        _binding_steps(trigger, state, user),
        rules=(row.rule,),
        hooks=tuple(dict.fromkeys((*BRINGS[state], *_BINDING_HOOKS[trigger]))),
    )


def _binding_checks() -> tuple[Check, ...]:
    # One check for each row; where a row covers both users, the other one shows more.
    by_rule = {row.rule: key for key, row in BINDING.items()}
    return tuple([_binding_check(*key) for key in by_rule.values()])


# --- Completing a hand-off ------------------------------------------------------------------


def _completes(path: EntryPath, completion: Completion, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    name = app.names.word("user")
    waits = path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    if path is EntryPath.EXISTING_ACTIVE_HANDOFF:
        yield from bring(app, name, AccountState.ACTIVE)
    answer = yield from app.initiated(name, prefer_signup=waits)
    session = session_id(answer)
    where = f"complete the hand-off of a session on {path} that is {completion}"
    same(member(answer, "session.path", where), path, "the path", where)
    landed = completion in {Completion.LANDED_SAME, Completion.LANDED_OTHER}
    if waits and landed:
        expect_said((yield from use("complete_handoff", session, USER)), "done", where)
    if completion is Completion.OVER:
        yield from wait(lifetime(answer, where))
    before = yield from app.state(name)
    who = OTHER if completion is Completion.LANDED_OTHER else USER
    said = yield from use("complete_handoff", session, who)
    outcome = COMPLETION[path, completion].outcome
    if isinstance(outcome, RefuseWith):
        _judge(said, outcome.code, "complete_handoff", before == "ACTIVE", where)
    else:
        expect_said(said, "ignored" if isinstance(outcome, Ignore) else "done", where)
    after = before if isinstance(outcome, Ignore | RefuseWith) else "ACTIVE"
    yield from expect_state(app, name, after, where)


def _completion_check(path: EntryPath, completion: Completion) -> Check:
    row = COMPLETION[path, completion]
    over = completion is Completion.OVER
    return Check(
        row.rule,
        f"Completing a session on {path} that is {completion}: {row.outcome}.",
        partial(_completes, path, completion),
        rules=(row.rule,),
        hooks=("complete_handoff", "pass_time") if over else ("complete_handoff",),
        passes=HALF_AN_HOUR if over else NO_TIME,
    )


def _completion_checks() -> tuple[Check, ...]:
    by_rule: dict[str, tuple[EntryPath, Completion]] = {}
    for key, row in COMPLETION.items():
        by_rule.setdefault(row.rule, key)
    return tuple([_completion_check(*key) for key in by_rule.values()])


@CHECKS.add(
    "completion.second-session",
    rules=("binding.complete-sign-up.active.same", "completion.landed.same"),
    hooks=("complete_handoff",),
)
def _second_session_lands(kit: Kit) -> Steps[None]:
    """A second session that lands for the user already bound is done."""
    app = yield from new_app(kit)
    one = session_id((yield from app.initiated("user", prefer_signup=True)))
    two = session_id((yield from app.initiated("user", prefer_signup=True)))
    where = "two waiting sessions of one user"
    expect_said((yield from use("complete_handoff", one, USER)), "done", where)
    expect_said((yield from use("complete_handoff", two, USER)), "done", f"{where}, the second")
    expect_said((yield from use("complete_handoff", two, USER)), "ignored", f"{where}, again")
    yield from expect_state(app, "user", "ACTIVE", where)
    answer = yield from app.initiated("user", prefer_signup=True)
    same(member(answer, "session.handoff", where), "LANDED", "the next session's hand-off", where)


# --- Graduation -----------------------------------------------------------------------------


def _starts_graduation(state: AccountState, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    name = app.names.word("user")
    yield from bring(app, name, state)
    response = yield from send(app.graduate(name))
    where = f"start a graduation hand-off where the account is {state}"
    outcome = GRADUATION_HANDOFF[state].outcome
    if isinstance(outcome, RefuseWith):
        details = expect_problem(response, 409, outcome.code, where)
        same(dict(details), {"lifecycleState": str(state)}, "details", where)
    else:
        answer = expect(response, CREATED, where)
        text(answer, "nextAction.url", where)
    yield from expect_state(app, name, state, f"after: {where}")


@CHECKS.add("graduation-handoff.fresh", rules=("operation.graduation-handoff",))
def _fresh_graduations(kit: Kit) -> Steps[None]:
    """Every graduation hand-off has a URL of its own."""
    app = yield from new_app(kit)
    yield from bring(app, "user", AccountState.LIMITED)
    where = "start two graduation hand-offs"
    urls: list[str] = []
    for _ in range(2):
        answer = yield from success(app.graduate("user"), CREATED, where)
        urls.append(text(answer, "nextAction.url", where))
    require(urls[0] != urls[1], "both have one URL", where)


CHECKS.extend(
    [
        Check(
            PATHS[state, preference].rule,
            f"Initiate where the account is {state}, {preference}: "
            f"{PATHS[state, preference].outcome}.",
            partial(_path, state, preference),
            laws=(8,),
            rules=(PATHS[state, preference].rule,),
            hooks=BRINGS[state],
        )
        for state, preference in (
            (AccountState.ACTIVE, Preference.NONE),
            (AccountState.UNLINKED, Preference.SIGN_UP),
            (AccountState.UNLINKED, Preference.NONE),
            (AccountState.LIMITED, Preference.SIGN_UP),
            (AccountState.LIMITED, Preference.NONE),
            (AccountState.TOMBSTONED, Preference.NONE),
        )
    ]
)
CHECKS.extend(
    [
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
    ]
)
CHECKS.extend(_binding_checks())
CHECKS.extend(_completion_checks())
CHECKS.extend(
    [
        Check(
            row.rule,
            f"A graduation hand-off where the account is {state}: {row.outcome}.",
            partial(_starts_graduation, state),
            rules=(row.rule,),
            hooks=BRINGS[state],
        )
        for state, row in GRADUATION_HANDOFF.items()
    ]
)
