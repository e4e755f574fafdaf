"""A world of one coordinate that several clients enter, under every interleaving.

The laws of this module: **the path is a function of the account's state and the preference
alone** (law 8), **a hand-off lands with its binding or not at all**, and a coordinate is never
silently rebound: the state of a user only rises, and another user comes only after a tombstone.
A client that keeps trying is admitted, or learns why not.

Clients initiate, with a preference or without; hosted pages complete hand-offs, each client with
its own user; the platform graduates and tombstones. Every load and every commit is a separate step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import SessionId, UserId, format_time
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import BindingWrite, SessionWrite, Write
from curae_lifecycle.testing.laws import LawBrokenError
from tests.proof.explore.clients import START, Change, Step, Taken
from tests.proof.explore.engine import Line, RuleBrokenError
from tests.proof.explore.scene import CALLER, REGISTER, TICK, USER, new_ids, post

COORDINATE: Final = CALLER.coordinate(USER)
STRANGER: Final = UserId("u-9")
"""A user of no client."""


@attrs.frozen(cache_hash=True)
class Entrant:
    """One client, and the hosted page that it opened.

    Attributes:
        prefers: Whether its app prefers a sign-up.
        user: The user that signs up on its page.
        session: The session of its response.
        writes: The writes that its worker is about to commit.
        minted: The session that its worker will answer with.
        over: Whether it was admitted, or learned why not.
    """

    prefers: bool
    user: UserId
    session: SessionId | None = None
    writes: tuple[Write, ...] = ()
    minted: SessionId | None = None
    over: bool = False


@attrs.frozen
class AccountStore:
    """The binding and the sessions of one coordinate.

    Attributes:
        now: The time of the clock.
        faults: How many faults may still happen.
        binding: The stored binding.
        sessions: All minted sessions, first to last.
        tombstones: How often the platform may still tombstone the user.
    """

    now: datetime
    faults: int
    binding: LimitedAccountAppBinding | None = None
    sessions: tuple[CuraeConnectSession, ...] = ()
    tombstones: int = 1


@attrs.frozen
class Account:
    """Several clients at one coordinate.

    Attributes:
        clients: The number of clients; every second one prefers a sign-up.
        faults: The number of faults that may happen.
        tombstones: How often the platform may tombstone the user.
        one_user: Whether all clients hand over the same user.
        compares: Whether the store compares before it sets.
        whole: Whether the store sets all of a decision's writes.
    """

    clients: int = 2
    faults: int = 1
    tombstones: int = 1
    one_user: bool = False
    compares: bool = True
    whole: bool = True

    promise = "every client is let in or learns why not"

    def starts(self) -> Iterator[tuple[AccountStore, tuple[Entrant, ...]]]:
        """Yield the unbound coordinate with every mixture of preferences."""
        store = AccountStore(START, self.faults, tombstones=self.tombstones)
        for preferring in range(self.clients + 1):
            yield (
                store,
                tuple(
                    Entrant(
                        place < preferring, UserId("u-1" if self.one_user else f"u-{place + 1}")
                    )
                    for place in range(self.clients)
                ),
            )

    def done(self, client: Entrant) -> bool:
        """Return whether the client was admitted, or learned why not."""
        return client.over

    def now(self, store: AccountStore) -> datetime:
        """Return the time of the clock."""
        return store.now

    def hidden_steps(
        self, store: AccountStore, client: Entrant
    ) -> Iterator[Step[AccountStore, Entrant]]:
        """Return no step: every step of a client uses the store."""
        del store, client
        yield from ()

    def client_steps(
        self, store: AccountStore, client: Entrant
    ) -> Iterator[Step[AccountStore, Entrant]]:
        """Initiate and complete the hand-off; either may be repeated, lost or late."""
        if client.writes:
            yield from self._stores(store, client)
            return
        if client.session is None:
            yield from _initiates(store, client)
            return
        session = next(each for each in store.sessions if each.id == client.session)
        if session.path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF and not client.over:
            yield from _hands_over(
                store, client=client, session=session, user=client.user, who="page"
            )
        elif store.faults:
            # Reported again, for a session that does not wait, or for another user.
            for user in (client.user, STRANGER):
                yield from _hands_over(
                    _fault(store),
                    client=client,
                    session=session,
                    user=user,
                    who="needless page",
                    fault=True,
                )
        if store.faults:
            asks_again = attrs.evolve(client, session=None, over=False)
            yield Step("answer is lost, asks again", _fault(store), asks_again, fault=True)

    def _stores(
        self, store: AccountStore, client: Entrant
    ) -> Iterator[Step[AccountStore, Entrant]]:
        idle = attrs.evolve(client, writes=(), minted=None)
        if store.faults:
            yield Step("worker dies", _fault(store), idle, fault=True)
        writes = client.writes if self.whole else client.writes[:1]
        after = _compared_and_set(store, writes, compares=self.compares)
        if after is None:
            yield Step("worker lost the race", store, idle)
        elif client.minted is None:
            yield Step("hand-off is stored", after, attrs.evolve(idle, over=True))
        else:
            minted = after.sessions[-1]
            over = minted.path is not EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
            started = attrs.evolve(idle, session=minted.id, over=over)
            yield Step("session is stored", after, started)

    def server_steps(self, store: AccountStore) -> Iterator[Change[AccountStore]]:
        """Graduate and tombstone by the platform, also repeatedly."""
        for what, user in (("graduates", None), (_GRADUATES_STRANGER, STRANGER)):
            yield from _fact(what, store, Graduated(COORDINATE, user))
        gone = Tombstoned(COORDINATE)
        if store.tombstones:
            less = attrs.evolve(store, tombstones=store.tombstones - 1)
            yield from _fact("tombstones", less, gone)
        else:
            record_fact(gone, Snapshot(binding=store.binding), store.now)
        # Facts that change nothing run too, so that every cell of the tables is reached.
        decide(
            Call(CALLER, StartGraduation(USER)),
            snapshot=Snapshot(binding=store.binding),
            now=store.now,
            new_ids=new_ids(1, store.now),
        )
        bound = None if store.binding is None else store.binding.user_id
        for user in (STRANGER, bound or UserId("")):
            if store.binding is not None and store.binding.state is not AccountState.TOMBSTONED:
                bindings.provision(store.binding, COORDINATE, user)
            bindings.complete_sign_up(store.binding, COORDINATE, user)
            bindings.graduate(store.binding, COORDINATE, user)

    def clock_steps(self, store: AccountStore, busy: bool) -> Iterator[Change[AccountStore]]:  # noqa: FBT001 - the parameter says which
        """Move to the last instant of a waiting page, and to its end."""
        del busy
        ends = [
            each.expires_at
            for each in store.sessions
            if each.handoff is HandoffState.AWAITED and each.expires_at > store.now
        ]
        if ends:
            first = min(ends)
            instant = first - TICK if store.now < first - TICK else first
            what = "page is over" if instant == first else "page is nearly over"
            yield Change(what, attrs.evolve(store, now=instant))

    def busy(self, store: AccountStore, client: Entrant) -> bool:
        """Return False: time ends no work here."""
        del store, client
        return False

    def check(
        self,
        before: AccountStore,
        after: AccountStore,
        had: Entrant | None,
        has: Entrant | None,
    ) -> None:
        """Check law 8, whole landings, and bindings that only rise."""
        _check_binding(before.binding, after.binding)
        if had is not None and has is not None:
            if had.writes:
                _check_stored(had.writes, before, after)
            else:
                _check_planned(has, before.binding)

    def moved_store(self, store: AccountStore, by: timedelta) -> AccountStore:
        """Return the store shifted to an earlier time."""
        return attrs.evolve(
            store,
            now=store.now - by,
            binding=_earlier_binding(store.binding, by),
            sessions=tuple(_earlier(each, by) for each in store.sessions),
        )

    def moved_client(self, client: Entrant, by: timedelta) -> Entrant:
        """Return the client shifted to an earlier time."""
        return attrs.evolve(
            client,
            writes=tuple(
                SessionWrite(
                    None if write.before is None else _earlier(write.before, by),
                    _earlier(write.after, by),
                )
                if isinstance(write, SessionWrite)
                else _earlier_write(write, by)
                for write in client.writes
            ),
        )

    def opening(self, store: AccountStore) -> Iterable[Line]:
        """Return the registration of one API key."""
        return [{"at": format_time(store.now), **REGISTER}]

    def line(self, taken: Taken[AccountStore, Entrant]) -> Line | None:
        """Return a line for a committed session or hand-off, and for a fact."""
        client, what = taken.client, taken.what
        if client is not None:
            number = len(taken.store.sessions) + 1
            broken = what == "initiate is decided" and taken.after is None
            if broken or what == "session is stored":
                body: Line = {"appUserId": USER, "preferSignup": client.prefers}
                return {"as": f"s{number}", **post("curae-connect/initiate", f"k-{number}", body)}
            if what == "hand-off is stored":
                return _landing_line(taken.store, client)
        facts_by_what: dict[str, Line] = {
            "graduates": {"type": "binding.graduate"},
            _GRADUATES_STRANGER: {"type": "binding.graduate", "userId": STRANGER},
            "tombstones": {"type": "binding.tombstone"},
        }
        fact = facts_by_what.get(what)
        return None if fact is None else {"fact": {**fact, **_COORDINATE_LINE}}


_GRADUATES_STRANGER: Final = "graduates somebody else"
_COORDINATE_LINE: Final[Line] = {
    "customerAccountId": CALLER.customer_account_id,
    "appId": CALLER.app_id,
    "appUserId": USER,
}


def _landing_line(store: AccountStore, client: Entrant) -> Line:
    landed = next(write.after for write in client.writes if isinstance(write, SessionWrite))
    number = [each.id for each in store.sessions].index(landed.id) + 1
    return {
        "fact": {
            "type": "handoff.complete",
            "sessionId": f"{{s{number}.session.id}}",
            "userId": str(landed.user_id),
        }
    }


def _initiates(store: AccountStore, client: Entrant) -> Iterator[Step[AccountStore, Entrant]]:
    number = len(store.sessions) + 1
    decision = decide(
        Call(CALLER, Initiate(USER, client.prefers)),
        snapshot=Snapshot(binding=store.binding),
        now=store.now,
        new_ids=new_ids(number, store.now),
    )
    assert isinstance(decision.reply, SessionInitiated)
    writes = tuple(
        write for write in decision.changes.writes if isinstance(write, SessionWrite | BindingWrite)
    )
    planned = attrs.evolve(client, writes=writes, minted=decision.reply.session.id)
    yield Step("initiate is decided", store, planned)


def _hands_over(
    store: AccountStore,
    client: Entrant,
    session: CuraeConnectSession,
    user: UserId,
    who: str,
    fault: bool = False,  # noqa: FBT001, FBT002 - `who` says it too
) -> Iterator[Step[AccountStore, Entrant]]:
    answer = record_fact(
        HandoffCompleted(session.id, user),
        Snapshot(session=session, binding=store.binding),
        store.now,
    )
    if isinstance(answer, Done):
        planned = attrs.evolve(client, writes=answer.value.writes)
        yield Step(what=f"{who} hands over", store=store, client=planned, fault=fault)
    else:
        why = answer.problem.code if isinstance(answer, Refused) else "known"
        yield Step(
            what=f"{who} learns: {why}",
            store=store,
            client=attrs.evolve(client, over=True),
            fault=fault,
        )


def _fact(what: str, store: AccountStore, fact: Fact) -> Iterator[Change[AccountStore]]:
    answer = record_fact(fact, Snapshot(binding=store.binding), store.now)
    if isinstance(answer, Done):
        after = _compared_and_set(store, answer.value.writes)
        assert after is not None
        yield Change(what, after)


def _compared_and_set(
    store: AccountStore, writes: tuple[Write, ...], *, compares: bool = True
) -> AccountStore | None:
    binding, sessions = store.binding, {each.id: each for each in store.sessions}
    for write in writes:
        if isinstance(write, BindingWrite):
            if compares and _version(binding) != _version(write.before):
                return None
            binding = write.after
        else:
            assert isinstance(write, SessionWrite)
            if compares and sessions.get(write.after.id) != write.before:
                return None
            sessions[write.after.id] = write.after
    return attrs.evolve(store, binding=binding, sessions=tuple(sessions.values()))


def _version(binding: LimitedAccountAppBinding | None) -> int | None:
    return None if binding is None else binding.version


_RANK: Final = ("LIMITED", "ACTIVE", "TOMBSTONED")


def _check_binding(
    before: LimitedAccountAppBinding | None, after: LimitedAccountAppBinding | None
) -> None:
    if before is None or after is before:
        return
    assert after is not None
    where = f"{before.state} of {before.user_id} became {after.state} of {after.user_id}"
    if after.generation == before.generation:
        if after.user_id != before.user_id or _RANK.index(after.state) < _RANK.index(before.state):
            raise RuleBrokenError("binding", "a coordinate was silently rebound", where)
    elif before.state != "TOMBSTONED" or after.generation != before.generation + 1:
        raise RuleBrokenError("binding", "a new generation without a tombstone", where)


def _check_planned(client: Entrant, binding: LimitedAccountAppBinding | None) -> None:
    bound = binding
    for write in client.writes:
        if isinstance(write, BindingWrite):
            bound = write.after
    for write in client.writes:
        if isinstance(write, SessionWrite):
            session = write.after
            if write.before is None:
                _check_path(binding, session, client.prefers)
            elif bound is None or (bound.user_id, str(bound.state)) != (session.user_id, "ACTIVE"):
                what = f"a hand-off would land for {session.user_id} without its binding"
                raise RuleBrokenError("landing", what, f"session {session.id}")


def _check_stored(writes: tuple[Write, ...], before: AccountStore, after: AccountStore) -> None:
    if (before.binding, before.sessions) == (after.binding, after.sessions):
        return
    for write in writes:
        whole = write.after in {after.binding, *after.sessions}
        if not whole:
            raise RuleBrokenError("landing", "a part of a decision was stored", str(write))


def _check_path(
    binding: LimitedAccountAppBinding | None,
    session: CuraeConnectSession,
    prefers: bool,  # noqa: FBT001 - a law's axis
) -> None:
    state = "UNLINKED" if binding is None else str(binding.state)
    expected = {
        ("ACTIVE", True): "EXISTING_ACTIVE_HANDOFF",
        ("ACTIVE", False): "EXISTING_ACTIVE_HANDOFF",
        ("UNLINKED", True): "NEW_ACTIVE_SIGNUP_HANDOFF",
    }.get((state, prefers), "SILENT_LIMITED")
    if session.path != expected:
        raise LawBrokenError(8, f"path {session.path}, expected {expected}", f"account {state}")


def _earlier(session: CuraeConnectSession, by: timedelta) -> CuraeConnectSession:
    return attrs.evolve(
        session,
        created_at=session.created_at - by,
        expires_at=session.expires_at - by,
        landed_at=None if session.landed_at is None else session.landed_at - by,
        era=None if session.era is None else session.era - by,
    )


def _earlier_binding(
    binding: LimitedAccountAppBinding | None, by: timedelta
) -> LimitedAccountAppBinding | None:
    if binding is None or binding.era is None or binding.tombstoned_at is None:
        return binding
    return attrs.evolve(binding, era=binding.era - by, tombstoned_at=binding.tombstoned_at - by)


def _earlier_write(write: Write, by: timedelta) -> Write:
    if not isinstance(write, BindingWrite):
        return write
    after = _earlier_binding(write.after, by)
    assert after is not None
    return BindingWrite(_earlier_binding(write.before, by), after)


def _fault(store: AccountStore) -> AccountStore:
    return attrs.evolve(store, faults=store.faults - 1)
