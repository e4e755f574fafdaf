"""Vectors of accounts: entry paths, bindings, completing a hand-off, graduation.

The law of this module: **every cell is driven through its function**. A test lists the few cells
that no call can reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import (
    BINDING,
    GRADUATION_HANDOFF,
    TOMBSTONE_REPORT,
    AccountState,
    BindingTransition,
    BindingTrigger,
    LimitedAccountAppBinding,
    TombstoneNovelty,
    UserMatch,
    complete_sign_up,
    decide_graduation_start,
    graduate,
    provision,
    tombstone,
)
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.session import (
    COMPLETION,
    ENTRY_PATHS,
    CuraeConnectSession,
    EntryPath,
    HandoffState,
    Landing,
    SessionStanding,
    SignUpPreference,
    complete_handoff,
    initiate,
)
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    MINUTE,
    Coordinate,
    SessionId,
    UserId,
    add_microseconds,
    format_time,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.sweep import sweep_changes
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from docs.generate.vectors.cases import (
    BOUNDARY,
    COORDINATE,
    HANDOFF,
    START,
    Case,
    Members,
    cell_id,
    make_case,
    next_action,
    show_coordinate,
    show_result,
    stored,
    time_or_null,
    try_call,
)
from docs.generate.vectors.connections import NOW as CONNECTIONS_NOW
from docs.generate.vectors.connections import make

_SESSION: Final = SessionId("22222222-2222-4222-8222-222222222222")
_USER: Final = UserId("u-1")
_OTHER: Final = UserId("u-2")
_NOW: Final = add_microseconds(START, MINUTE)
_END: Final = add_microseconds(START, HANDOFF)


def bound(state: AccountState) -> LimitedAccountAppBinding | None:
    """Return the binding of an account in a state."""
    if state is AccountState.UNLINKED:
        return None
    return LimitedAccountAppBinding(coordinate=COORDINATE, user_id=_USER, state=state, generation=1)


def paths() -> Iterator[Case]:
    """Yield the path of a connect session for each account and preference."""
    for state, preference in ENTRY_PATHS:
        yield path_case(
            cell_id(ENTRY_PATHS.name, (state, preference)),
            binding=bound(state),
            prefers=preference is SignUpPreference.SIGN_UP,
        )


def path_case(
    id: str,  # noqa: A002 - see `Case`
    *,
    binding: LimitedAccountAppBinding | None,
    prefers: bool,
    coordinate: Coordinate = COORDINATE,
    comment: str | None = None,
) -> Case:
    """Return the case of one session."""
    done = initiate(
        binding,
        coordinate,
        START,
        prefer_signup=prefers,
        id=_SESSION,
        user_id=_OTHER,
        next_action=next_action(START),
    )
    given = {
        "binding": stored(binding),
        "coordinate": show_coordinate(coordinate),
        "preferSignup": prefers,
        "now": format_time(START),
        "newSessionId": _SESSION,
        "newUserId": _OTHER,
        "nextActionExpiresAt": format_time(_END),
    }
    answer = {
        "outcome": "done",
        "session": stored(done.value.session),
        "binding": stored(done.value.binding),
        "rules": done.rules,
    }
    return Case(id=id, input=given, answer=answer, rule=done.rules[0], comment=comment)


def bindings() -> Iterator[Case]:
    """Yield the effect of each trigger on a binding."""
    for trigger, state, user in BINDING:
        gone = trigger is BindingTrigger.PROVISION and state is AccountState.TOMBSTONED
        if user is UserMatch.SAME and (state is AccountState.UNLINKED or gone):
            continue
        binding = bound(state)
        if trigger is BindingTrigger.TOMBSTONE and user is UserMatch.OTHER and binding is not None:
            if state is not AccountState.TOMBSTONED:
                continue
            binding = attrs.evolve(binding, user_id=None, generation=0)
        user_id = _USER if user is UserMatch.SAME else _OTHER
        name = cell_id(BINDING.name, (trigger, state, user))
        yield binding_case(name, trigger=trigger, binding=binding, user_id=user_id)
    yield binding_case(
        "binding/mistake/the-tombstoned-user-again",
        trigger=BindingTrigger.PROVISION,
        binding=bound(AccountState.TOMBSTONED),
        user_id=_USER,
    )


def binding_case(
    id: str,  # noqa: A002 - see `Case`
    trigger: BindingTrigger,
    binding: LimitedAccountAppBinding | None,
    user_id: UserId,
    *,
    coordinate: Coordinate = COORDINATE,
    comment: str | None = None,
) -> Case:
    """Return the case of one trigger on a binding."""
    given: dict[str, object] = {
        "trigger": trigger,
        "binding": stored(binding),
        "coordinate": show_coordinate(coordinate),
    }

    def run() -> BindingTransition:
        match trigger:
            case BindingTrigger.PROVISION:
                return provision(binding, coordinate, user_id)
            case BindingTrigger.COMPLETE_SIGN_UP:
                return complete_sign_up(binding, coordinate, user_id)
            case BindingTrigger.GRADUATE:
                return graduate(binding, coordinate, user_id)
            case BindingTrigger.TOMBSTONE:
                return tombstone(binding, coordinate, _NOW)

    if trigger is BindingTrigger.TOMBSTONE:
        given["now"] = format_time(_NOW)
    else:
        given["userId"] = user_id
    answer = show_result(try_call(run), lambda after: {"binding": stored(after)})
    return make_case(id, given=given, answer=answer, comment=comment)


WAITING: Final = CuraeConnectSession(
    id=_SESSION,
    coordinate=COORDINATE,
    path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
    handoff=HandoffState.AWAITED,
    created_at=START,
    expires_at=_END,
    landed_at=None,
    user_id=None,
)
"""A session on path B that waits for its user."""


def _session(path: EntryPath, completion: SessionStanding) -> CuraeConnectSession:
    session = attrs.evolve(WAITING, path=path)
    if completion in {SessionStanding.LANDED_SAME, SessionStanding.LANDED_OTHER}:
        return attrs.evolve(session, handoff=HandoffState.LANDED, landed_at=START, user_id=_USER)
    silent = path is EntryPath.SILENT_LIMITED
    return attrs.evolve(session, handoff=HandoffState.NOT_REQUIRED) if silent else session


_NEVER_MINTED: Final = {
    (EntryPath.EXISTING_ACTIVE_HANDOFF, SessionStanding.WAITING),
    (EntryPath.EXISTING_ACTIVE_HANDOFF, SessionStanding.OVER),
    (EntryPath.SILENT_LIMITED, SessionStanding.LANDED_SAME),
    (EntryPath.SILENT_LIMITED, SessionStanding.LANDED_OTHER),
}


def completions() -> Iterator[Case]:
    """Yield completions of a hand-off: in time, late, repeated, and by another user."""
    for path, completion in COMPLETION:
        session = _session(path, completion)
        if completion is SessionStanding.OTHER_ERA:
            session = attrs.evolve(session, era=START)
        user_id = _OTHER if completion is SessionStanding.LANDED_OTHER else _USER
        now = _END if completion is SessionStanding.OVER else _NOW
        binding = bound(AccountState.ACTIVE) if session.user_id is not None else None
        minted = (path, completion) not in _NEVER_MINTED
        comment = None if minted else "No session is minted like this; the table is total."
        name = cell_id(COMPLETION.name, (path, completion))
        yield completion_case(
            name, session=session, binding=binding, user_id=user_id, now=now, comment=comment
        )
    for state in AccountState:
        for user_id, whose in ((_USER, "same"), (_OTHER, "other")):
            yield completion_case(
                f"completion/binding/{state}/{whose}",
                session=WAITING,
                binding=bound(state),
                user_id=user_id,
                now=_NOW,
            )
    for word, ticks in BOUNDARY.items():
        at = add_microseconds(_END, ticks)
        yield completion_case(
            f"completion/boundary/{word}", session=WAITING, binding=None, user_id=_USER, now=at
        )
        yield completion_case(
            f"completion/late/{word}",
            session=WAITING,
            binding=None,
            user_id=_USER,
            now=add_microseconds(_END, MINUTE),
            happened=at,
            comment="What counts is when it happened, not when it is recorded.",
        )
        yield completion_case(
            f"completion/created/{word}",
            session=WAITING,
            binding=None,
            user_id=_USER,
            now=_NOW,
            happened=add_microseconds(START, ticks),
            comment="What is said to have happened before it was minted happened at its minting.",
        )
    yield completion_case(
        "completion/clocks/five-minutes-ahead",
        session=WAITING,
        binding=None,
        user_id=_USER,
        now=_NOW,
        happened=add_microseconds(_NOW, CLOCK_TOLERANCE),
        comment="Clocks disagree: it is taken as of `now`.",
    )
    yield completion_case(
        "completion/mistake/from-the-future",
        session=WAITING,
        binding=None,
        user_id=_USER,
        now=_NOW,
        happened=add_microseconds(_NOW, CLOCK_TOLERANCE + 1),
    )


def completion_case(
    id: str,  # noqa: A002 - see `Case`
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    user_id: UserId,
    now: datetime,
    *,
    happened: datetime | None = None,
    comment: str | None = None,
) -> Case:
    """Return the case of one completion."""
    given = {
        "session": stored(session),
        "binding": stored(binding),
        "userId": user_id,
        "now": format_time(now),
        "happenedAt": time_or_null(happened),
    }
    result = try_call(
        lambda: complete_handoff(
            session, binding=binding, user_id=user_id, now=now, happened_at=happened
        )
    )
    return make_case(id, given=given, answer=show_result(result, _landing), comment=comment)


def _landing(landing: Landing) -> Members:
    return {"session": stored(landing.session), "binding": stored(landing.binding)}


def tombstones() -> Iterator[Case]:
    """Yield the effect of a tombstone on its coordinate, and of the sweep on the connections."""
    everything = (
        make(Status.REVOKED),
        make(Status.ACTIVE, number=2, after=1),
        make(Status.PENDING, number=4),
    )
    for state in AccountState:
        yield tombstone_case(f"tombstone/{state}", bound(state), everything)
    for status in Status:
        yield tombstone_case(
            f"tombstone/connection/{status}", bound(AccountState.ACTIVE), (make(status),)
        )
    yield tombstone_case("tombstone/no-connection", bound(AccountState.LIMITED), ())
    late = add_microseconds(CONNECTIONS_NOW, -MINUTE)
    yield tombstone_case(
        "tombstone/late",
        bound(AccountState.ACTIVE),
        everything,
        happened=late,
        comment="Access ended when the user was gone, however late that is recorded.",
    )
    again = attrs.evolve(gone_before(), state=AccountState.ACTIVE, user_id=_OTHER, generation=2)
    yield tombstone_case(
        "tombstone/copy",
        again,
        everything,
        happened=START,
        comment="A late copy does not end the access of the next user.",
    )
    yield tombstone_case("tombstone/without-happened-at", again, everything)
    yield tombstone_case(
        "tombstone/era-would-repeat",
        attrs.evolve(gone_before(), era=CONNECTIONS_NOW),
        (),
        comment="The era moves on by a microsecond.",
    )


def tombstone_reports() -> Iterator[Case]:
    """Yield a copy of the last tombstone, and another one."""
    for report, happened in ((TombstoneNovelty.COPY, START), (TombstoneNovelty.NEW, _NOW)):
        yield tombstone_case(
            cell_id(TOMBSTONE_REPORT.name, (report,)), gone_before(), (), happened=happened
        )


def gone_before() -> LimitedAccountAppBinding:
    """Return a TOMBSTONED binding whose last tombstone was reported as of `START`."""
    return LimitedAccountAppBinding(
        coordinate=COORDINATE,
        user_id=_USER,
        state=AccountState.TOMBSTONED,
        generation=1,
        version=3,
        era=START,
        tombstoned_at=START,
        tombstone_reported_at=START,
    )


def tombstone_case(
    id: str,  # noqa: A002 - see `Case`
    binding: LimitedAccountAppBinding | None,
    connections: tuple[Connection, ...],
    *,
    now: datetime = CONNECTIONS_NOW,
    happened: datetime | None = None,
    coordinate: Coordinate = COORDINATE,
    comment: str | None = None,
) -> Case:
    """Return the case of one tombstone and its sweep."""
    given = {
        "binding": stored(binding),
        "coordinate": show_coordinate(coordinate),
        "connections": [stored(each) for each in connections],
        "now": format_time(now),
        "happenedAt": time_or_null(happened),
    }
    snapshot = Snapshot(binding=binding)
    result = try_call(lambda: record_fact(Tombstoned(coordinate, happened), snapshot, now))

    def swept(changes: Changes) -> Members:
        (gone,) = [each.after for each in changes.writes if isinstance(each, BindingWrite)]
        sweep = sweep_changes(gone, connections, now)
        after = [each.after for each in sweep.writes if isinstance(each, ConnectionWrite)]
        return {"binding": stored(gone), "connections": [stored(each) for each in after]}

    return make_case(id, given=given, answer=show_result(result, swept), comment=comment)


def graduations() -> Iterator[Case]:
    """Yield the start of a graduation hand-off for each account state."""
    for state in GRADUATION_HANDOFF:
        answer = show_result(decide_graduation_start(bound(state)), lambda _: {})
        name = cell_id(GRADUATION_HANDOFF.name, (state,))
        yield make_case(name, {"binding": stored(bound(state))}, answer)
