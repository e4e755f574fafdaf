"""Oracles of the tables of bindings and sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules.binding import AccountState, BindingTrigger
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.session import EntryPath, HandoffState, complete_handoff
from curae_lifecycle.rules.values import UserId
from tests.proof.oracles.oracle import UNREACHABLE, Answer, answered, said
from tests.support.specimens import BOUND, NEW_USER, NOW, Key, bind, binding_in, mint, waiting
from tests.support.strategies import COORDINATE, START, TICK


def account_bindings() -> list[Answer]:
    def bound(trigger: str, state: str, user: UserId) -> tuple[str, Key]:
        binding = binding_in(state)
        if trigger == "tombstone" and binding is not None and user != BOUND:
            # It was tombstoned while no user was bound.
            binding = attrs.evolve(binding, user_id=None)
        answer = bind(trigger, binding, user)
        moved = None if isinstance(answer, Refused) else answer.value
        return said(answer, "" if moved is None else moved.state), answer.rules

    users = (("same user", BOUND), ("other user, or none bound", UserId("u-other")))
    return [
        answered((trigger, state, beside), bound, trigger, state, user)
        for trigger, state, (beside, user) in product(BindingTrigger, AccountState, users)
        if ("binding", trigger, state, beside) not in UNREACHABLE
    ]


def tombstone_reports() -> list[Answer]:
    def reported(happened_at: datetime | None) -> tuple[str, Key]:
        binding = binding_in("ACTIVE")
        assert binding is not None
        last = attrs.evolve(binding, era=NOW, tombstone_reported_at=START)
        answer = bindings.tombstone(last, COORDINATE, NOW, happened_at=happened_at)
        return said(answer, "proceed"), answer.rules

    return [
        answered((str(report),), reported, happened_at)
        for report, instants in (
            (bindings.TombstoneNovelty.COPY, (START,)),
            (bindings.TombstoneNovelty.NEW, (None, START + TICK, NOW)),
        )
        for happened_at in instants
    ]


def graduations() -> list[Answer]:
    def started(state: AccountState) -> tuple[str, Key]:
        answer = bindings.decide_graduation_start(binding_in(state))
        return said(answer, "proceed"), answer.rules

    return [answered((state,), started, state) for state in AccountState]


USERS: Final = {
    ("UNLINKED", None): "none yet",
    ("LIMITED", BOUND): "the bound LIMITED user",
    ("ACTIVE", BOUND): "the bound user",
    ("UNLINKED", NEW_USER): "a new LIMITED user",
    ("TOMBSTONED", NEW_USER): "a new LIMITED user",
}
"""The match of a session's user with the account before it."""


def entry_paths() -> list[Answer]:
    def entered(state: AccountState, *, prefers: bool) -> tuple[str, Key]:
        answer = mint(state, prefer_signup=prefers)
        session = answer.value.session
        landed = "" if (session.landed_at is None) is (session.handoff != "LANDED") else " amiss"
        user = USERS.get((state, session.user_id), "amiss")
        return f"{session.path}, hand-off {session.handoff}, {user}{landed}", answer.rules

    preferences = (("preferSignup true", True), ("preferSignup false or absent", False))
    return [
        answered((state, preference), entered, state, prefers=prefers)
        for state, (preference, prefers) in product(AccountState, preferences)
    ]


COMPLETIONS: Final = (
    ("waiting", -TICK, None),
    ("over without landing", timedelta(), None),
    ("waiting, made under another era", -TICK, None),
    ("landed for the same user", -TICK, "u-1"),
    ("landed for the same user", timedelta(), "u-1"),
    ("landed for another user", -TICK, "u-2"),
    ("landed for another user", timedelta(), "u-2"),
)
"""Sessions as the user u-1 sees them: the state, the time from the end, and the user."""


def completions() -> list[Answer]:
    def completed(
        path: EntryPath, state: str, at_end: timedelta, landed_for: str | None
    ) -> tuple[str, Key]:
        era = START if "era" in state else None
        session = attrs.evolve(waiting(), path=path, era=era)
        if landed_for is not None:
            session = attrs.evolve(
                session, handoff=HandoffState.LANDED, landed_at=START, user_id=UserId(landed_for)
            )
        answer = complete_handoff(
            session, binding=None, user_id=UserId("u-1"), now=session.expires_at + at_end
        )
        return said(answer, "proceed"), answer.rules

    return [
        answered((path, completion), completed, path, completion, at_end, landed_for)
        for path, (completion, at_end, landed_for) in product(EntryPath, COMPLETIONS)
    ]
