"""The fence, driven at random with stepping clocks, and compared with its model in every answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curae_lifecycle import (
    ArgumentError,
    Done,
    Graduated,
    Granted,
    Ignored,
    StoreUnavailableError,
    Tombstoned,
)
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.serve import sweep_now
from tests.proof.second.client import (
    HOUR,
    MINUTE,
    ONE_ATTEMPT,
    SECOND,
    START,
    TICK,
    YEAR,
    World,
    body_of,
    code_of,
    connection_of,
    coordinate,
    id_of,
    in_memory,
    wire,
)
from tests.proof.second.fence_model import ERROR, Account, Entry, Row

Command = tuple[str, int, int]
MOST_ENTRIES: Final = 10
"""More initiates within a minute would meet the limit of the app user."""

STEPS: Final = (
    *(TICK, SECOND, MINUTE, 6 * MINUTE, 29 * MINUTE, 30 * MINUTE, HOUR, YEAR),
    *(-TICK, -SECOND, -MINUTE, -6 * MINUTE, -30 * MINUTE, -HOUR, -YEAR),
)
HAPPENED: Final = (
    *(None, None, None, timedelta(0), -MINUTE, -20 * MINUTE),
    *(-HOUR, 4 * MINUTE, 5 * MINUTE, 6 * MINUTE),
)
NAMES: Final = (
    *("create",) * 3,
    *("authorize",) * 6,
    *("reconnect",) * 4,
    *("step",) * 4,
    *("sign up", "complete") * 3,
    *("initiate", "graduate", "revoke") * 2,
    *("create late", "authorize late", "reconnect late", "sign up late", "complete late"),
    *("tombstone", "copy", "older copy", "cut tombstone", "sweep", "initiate late"),
)
COMMANDS: Final = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.integers(0, 19)),
    min_size=15,
    max_size=40,
)


def outcome(act: Callable[[], FactAnswer]) -> str:
    """Return the outcome of a fact in one word."""
    try:
        answer = act()
    except ArgumentError:
        return ERROR
    if isinstance(answer, Done):
        return "done"
    return "ignored" if isinstance(answer, Ignored) else answer.problem.code.value


@attrs.define
class Pair:
    """A world and its model, which get the same commands."""

    world: World
    user: str
    seen: Counter[str]
    account: Account = attrs.Factory(Account)
    reports: list[datetime] = attrs.Factory(list)
    fired: bool = False
    compared: dict[str, object] = attrs.Factory(dict)

    @property
    def now(self) -> datetime:
        return self.world.now

    def run(self, commands: list[Command]) -> None:
        for name, which, how in commands:
            self.do(name, which, how)
            self.compare()

    def do(self, name: str, which: int, how: int) -> None:
        command = name.removesuffix(" late")
        late = name != command
        rows, entries = self.account.rows, self.account.entries
        self.account.touched = set()
        if command in {"authorize", "reconnect", "revoke"}:
            if rows:
                self.do_to(rows[which % len(rows)], command, how, late=late)
        elif command == "complete":
            if entries:
                self.complete(entries[which % len(entries)], f"u-{how % 2}", late=late)
        elif command in {"initiate", "sign up"}:
            if len(entries) < MOST_ENTRIES:
                self.initiate(prefer=command == "sign up", late=late)
        elif command == "create":
            self.create(late=late)
        else:
            self.do_at_once(command, how)

    def do_to(self, row: Row, command: str, how: int, *, late: bool) -> None:
        if command == "authorize":
            self.authorize(row, how, late=late)
        elif command == "reconnect":
            self.reconnect(row, late=late)
        else:
            self.revoke(row)

    def do_at_once(self, command: str, how: int) -> None:
        if command == "step":
            self.world.step(STEPS[how % len(STEPS)])
        elif command == "graduate":
            expected = self.account.graduate(self.now)
            self.same(expected, self.fact(Graduated(coordinate(self.user))))
        elif command == "cut tombstone":
            self.cut_tombstone(how)
        elif command == "sweep":
            sweep_now(self.world.store, coordinate(self.user))
            self.account.finish_sweep(self.now)
        else:
            self.tombstone(command, how)

    # Each command on both

    def fact(self, fact: Graduated | Tombstoned) -> str:
        return outcome(lambda: self.world.record(fact))

    def same(self, expected: str, got: str) -> None:
        assert got == expected
        self.seen[got.partition(" ")[0]] += 1

    def overtake(self) -> None:
        """Record a tombstone in the world before the next commit."""
        self.fired = False

        def act() -> None:
            self.fired = True
            self.world.tombstone(self.user)

        self.world.store.before_commit = act

    def settle(self, act: Callable[[Account], str]) -> str:
        """Return the model's answer to what a tombstone may have overtaken.

        A commit that relied on what the tombstone wrote is decided again after it. Any other
        stands as it was decided, and what it made is of the earlier era.
        """
        self.world.store.before_commit = None
        if not self.fired:
            return act(self.account)
        self.seen["overtaken"] += 1
        before = deepcopy(self.account)
        answer = act(before)
        relied = before.touched
        self.account.tombstone(self.now, None)
        if relied & self.account.touched:
            return act(self.account)
        return answer

    def create(self, *, late: bool) -> None:
        era = self.account.era
        if late:
            self.overtake()
        answer = self.world.create(self.user)
        self.world.store.before_commit = None
        assert answer.response.status == 201
        if late:
            self.account.tombstone(self.now, None)
        self.account.create(id_of(answer), self.now, era)

    def authorize(self, row: Row, how: int, *, late: bool) -> None:
        offset = HAPPENED[how % len(HAPPENED)]
        happened = None if offset is None else self.now + offset
        expires = self.now + HOUR if how >= len(HAPPENED) else None
        number = self.account.rows.index(row)

        def act(account: Account) -> str:
            return account.authorize(account.rows[number], self.now, happened, expires=expires)

        self.fired = False
        if late:
            self.overtake()
        got = outcome(
            lambda: self.world.authorize(row.id, happened_at=happened, expires_at=expires)
        )
        self.same(self.settle(act), got)

    def reconnect(self, row: Row, *, late: bool) -> None:
        number, era = self.account.rows.index(row), self.account.era
        self.fired = False
        if late:
            self.overtake()
        answer = self.world.reconnect(row.id)
        got = str(code_of(answer)) if answer.response.status != 201 else f"201 {id_of(answer)}"
        if got == "CONNECTION_NOT_RECONNECTABLE":
            details = body_of(answer)["details"]
            assert isinstance(details, dict)
            got = str(details["reason"])
        new = got.removeprefix("201 ")
        self.world.store.before_commit = None
        if not self.fired:
            self.same(self.account.reconnect(row, self.now, new, era=era), got)
            return
        self.seen["overtaken"] += 1
        before = deepcopy(self.account)
        expected = before.reconnect(before.rows[number], self.now, new, era=era)
        self.account.tombstone(self.now, None)
        if before.touched & self.account.touched:
            expected = self.account.reconnect(row, self.now, new, era=self.account.era)
        elif before.touched:
            # Decided before the tombstone and stored after it, so it is over when it arrives.
            self.seen["over on arrival"] += 1
            self.account.reconnect(row, self.now, new, era=era)
        self.same(expected, got)

    def revoke(self, row: Row) -> None:
        answer = self.world.revoke(row.id)
        assert answer.response.status == 200
        expected = self.account.revoke(row, self.now)
        assert body_of(answer)["revokedNow"] is expected
        self.check(row, connection_of(answer))

    def initiate(self, *, prefer: bool, late: bool) -> None:
        state, era = self.account.state, self.account.era
        if late and state == "LIMITED":
            return  # The text does not say whether an entry that reuses a user is done again.
        if late:
            self.overtake()
        answer = self.world.initiate(self.user, prefer_signup=prefer)
        self.world.store.before_commit = None
        body = body_of(answer)
        session = body["session"]
        assert isinstance(session, dict)
        if late:
            self.seen["overtaken"] += 1
            self.account.tombstone(self.now, None)
            if state == "UNLINKED" and prefer:
                self.account.entries.append(
                    Entry(id_of(answer), "NEW_ACTIVE_SIGNUP_HANDOFF", self.now, era=era)
                )
                assert session["path"] == "NEW_ACTIVE_SIGNUP_HANDOFF"
                return
        bound = self.world.binding(self.user)
        user = "" if bound is None or bound.user_id is None else str(bound.user_id)
        path = self.account.initiate(
            id_of(answer), self.now, user, prefer=prefer, era=self.account.era
        )
        self.same(path, str(session["path"]))
        entry = self.account.entries[-1]
        assert session["landedAt"] == (None if entry.landed is None else wire(entry.landed))
        assert session["expiresAt"] == wire(entry.expires)

    def complete(self, entry: Entry, user: str, *, late: bool) -> None:
        number = self.account.entries.index(entry)
        self.fired = False
        if late:
            self.overtake()
        got = outcome(lambda: self.world.complete(entry.id, user))
        act = lambda account: account.complete(account.entries[number], user, self.now)  # noqa: E731 - as `settle` takes it
        self.same(self.settle(act), got)

    def report_of(self, name: str, how: int) -> datetime | None:
        if name == "copy":
            return self.account.reported
        if name == "older copy" and self.reports:
            return self.reports[how % len(self.reports)]
        offset = HAPPENED[how % len(HAPPENED)]
        return None if offset is None else self.now + offset

    def tombstone(self, name: str, how: int) -> None:
        reported = self.report_of(name, how)
        if reported is not None and reported > self.now + 5 * MINUTE and name != "tombstone":
            return  # The text does not say which comes first: a copy, or a mistake.
        if reported is not None:
            self.reports.append(reported)
        expected = self.account.tombstone(self.now, reported)
        self.same(expected, self.fact(Tombstoned(coordinate(self.user), reported)))

    def cut_tombstone(self, how: int) -> None:
        reported = self.report_of("tombstone", how)
        if reported is not None and (
            reported > self.now + 5 * MINUTE or reported == self.account.reported
        ):
            return
        if not self.account.swept:
            return
        self.world.store.commits_left = 1
        with pytest.raises(StoreUnavailableError):
            self.world.record(Tombstoned(coordinate(self.user), reported), policy=ONE_ATTEMPT)
        self.world.store.commits_left = None
        self.account.tombstone(self.now, reported, sweeps=False)
        self.seen["cut off"] += 1

    # Everything that can be seen

    def check(self, row: Row, shown: object) -> None:
        assert isinstance(shown, dict)
        expected = {
            name: wire(value) if isinstance(value, datetime) else value
            for name, value in self.account.shown(row, self.now).items()
        }
        assert {name: shown[name] for name in expected} == expected

    def compare(self) -> None:
        for row in self.account.rows:
            expected = self.account.access(row, self.now)
            loaded = self.world.inner.load(Needs(connection=ConnectionId(row.id))).snapshot
            # A response follows from these alone (law 14), so an equal one is not asked for again.
            decisive = (self.now, loaded, expected, self.account.shown(row, self.now))
            if self.compared.get(row.id) == decisive:
                continue
            self.check(row, self.world.get(row.id))
            got = self.world.access(row.id)
            word = "granted" if isinstance(got, Granted) else got.reason.value
            assert word == expected
            self.seen[f"access {word}"] += 1
            self.compared[row.id] = decisive
        kept = self.world.binding(self.user)
        if self.compared.get("") != (kept, self.account.state):
            assert self.world.account_state(self.user) == self.account.state
            self.compared[""] = (kept, self.account.state)
        if kept is not None:
            assert (kept.era, kept.tombstoned_at) == (self.account.era, self.account.counts)
            assert kept.tombstone_reported_at == self.account.reported
            assert (kept.generation, kept.swept) == (self.account.generation, self.account.swept)


@pytest.mark.slow
def test_memory_store_and_independent_tombstone_model_agree() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=20)
    @given(COMMANDS)
    def check(commands: list[Command]) -> None:
        Pair(in_memory(), "ada", seen).run(commands)

    check()


@pytest.mark.slow
def test_sqlite_store_and_independent_tombstone_model_agree(sqlite: World) -> None:
    users = iter(range(10**6))
    seen: Counter[str] = Counter()

    @settings(max_examples=4)
    @given(COMMANDS)
    def check(commands: list[Command]) -> None:
        sqlite.clock.now = START
        Pair(sqlite, f"user-{next(users)}", seen).run(commands)

    check()


@pytest.mark.heavy
def test_long_tombstone_histories_agree_with_independent_model() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=1_500)
    @given(COMMANDS)
    def check(commands: list[Command]) -> None:
        Pair(in_memory(), "ada", seen).run(commands)

    check()
    # Each kind of answer was really seen.
    answers = {
        "done",
        "ignored",
        "overtaken",
        "cut off",
        "over on arrival",
        ERROR.partition(" ")[0],
    }
    refusals = {"CONNECTION_SUPERSEDED", "HANDOFF_LAPSED", "CONNECTION_NOT_PENDING"}
    of_bindings = {"BINDING_CHANGED", "BINDING_CONFLICT", "SESSION_EXPIRED"}
    assert answers | refusals | of_bindings <= set(seen)
