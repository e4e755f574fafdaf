"""Clients that share one store: every interleaving of their steps.

The law of this module: **only what one step touches is decided, once**. A step of a client sees
the store and that client alone, so it is computed once for each such pair, by the production
functions, and cached: they are pure (law 14), so the cache changes no result. The explorer then
combines numbers.

Three reductions, each with its own switch. *Alike*: worlds that differ only in the order of alike
clients are one. *Relative*: worlds that differ only in their time are one. *One order*: a step
that no other client can see runs first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import Flag, auto
from typing import Final, Generic, Protocol, TypeVar, cast

import attrs

from curae_lifecycle.rules.values import format_time
from curae_lifecycle.testing.cells import Cell
from curae_lifecycle.testing.laws import LawBrokenError
from tests.proof.explore.engine import Label, Line, RuleBrokenError, StepBrokenError
from tests.proof.explore.results import Numbers, Results

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The first instant of every model."""

Store = TypeVar("Store", bound=Hashable)
Client = TypeVar("Client", bound=Hashable)

SERVER: Final = "server"
CLOCK: Final = "clock"


class Reduce(Flag):
    """The reductions that merge worlds; each can be switched off."""

    NOTHING = 0
    ALIKE = auto()
    RELATIVE = auto()
    ONE_ORDER = auto()


EVERYTHING: Final = Reduce.ALIKE | Reduce.RELATIVE | Reduce.ONE_ORDER


@attrs.frozen
class Step(Generic[Store, Client]):
    """A step that one client can take, or that happens to it.

    Attributes:
        what: The step in words.
        store: The store afterwards.
        client: The client afterwards.
        fault: Whether it is a fault, on which liveness does not rely.
    """

    what: str
    store: Store
    client: Client
    fault: bool = False


@attrs.frozen
class Change(Generic[Store]):
    """A step of the server or the clock, like `Step`."""

    what: str
    store: Store
    fault: bool = False


@attrs.frozen
class Taken(Generic[Store, Client]):
    """A step of a trace, as it was taken.

    Attributes:
        who: The client's name, the server or the clock.
        what: The step in words.
        store: The store before.
        client: The client before; None for the server or the clock.
        after: The store afterwards; None if the step broke a law.
    """

    who: str
    what: str
    store: Store
    client: Client | None
    after: Store | None


class Rules(Protocol[Store, Client]):
    """The rules of clients and a store, written over plain values."""

    @property
    def promise(self) -> str:
        """The promise of liveness, in words."""
        ...

    def starts(self) -> Iterable[tuple[Store, tuple[Client, ...]]]:
        """Yield the start states."""
        ...

    def client_steps(self, store: Store, client: Client) -> Iterable[Step[Store, Client]]:
        """Yield the steps that a client can take, or that can happen to it."""
        ...

    def hidden_steps(self, store: Store, client: Client) -> Iterable[Step[Store, Client]]:
        """Return the client's steps that no other client sees, if it has any."""
        ...

    def server_steps(self, store: Store) -> Iterable[Change[Store]]:
        """Yield the steps of the server."""
        ...

    def clock_steps(self, store: Store, busy: bool) -> Iterable[Change[Store]]:  # noqa: FBT001 - the parameter says which
        """Yield the steps of the clock; `busy` is whether time could end some client's work."""
        ...

    def busy(self, store: Store, client: Client) -> bool:
        """Return whether a client is at work that time could end."""
        ...

    def check(self, before: Store, after: Store, had: Client | None, has: Client | None) -> None:
        """Check a step against the laws; the client is None for a step of the server.

        Raises:
            LawBrokenError: If a law is broken.
            RuleBrokenError: If a rule is broken.
        """
        ...

    def done(self, client: Client) -> bool:
        """Return whether a client has its result."""
        ...

    def now(self, store: Store) -> datetime:
        """Return the time of the clock."""
        ...

    def moved_store(self, store: Store, by: timedelta) -> Store:
        """Return the store shifted to an earlier time."""
        ...

    def moved_client(self, client: Client, by: timedelta) -> Client:
        """Return the client shifted to an earlier time."""
        ...

    def line(self, taken: Taken[Store, Client]) -> Line | None:
        """Return a step as a log line without its time, or None if a log cannot express it."""
        ...

    def opening(self, store: Store) -> Iterable[Line]:
        """Return the first lines of a log."""
        ...


World = tuple[int, ...]
"""The number of the store, then of each client."""

_Moves = list[tuple[Label, bool, World]]
_Steps = list[tuple[str, bool, int, int]]
_Changes = list[tuple[str, bool, int]]


class Clients(Generic[Store, Client]):
    """A model of clients that share a store.

    Args:
        rules: The rules of the clients and the store.
        reduce: The reductions that merge worlds.
    """

    def __init__(self, rules: Rules[Store, Client], reduce: Reduce = EVERYTHING) -> None:
        """Start with empty caches."""
        self._rules = rules
        self._reduce = reduce
        self._alike = Reduce.ALIKE in reduce
        self._relative = Reduce.RELATIVE in reduce
        self._one_order = Reduce.ONE_ORDER in reduce
        self._stores: Numbers[Store] = Numbers()
        self._clients: Numbers[Client] = Numbers()
        # Results of pure functions, by the numbers of their arguments.
        self._local: Results[tuple[int, int], _Steps] = Results()
        self._hidden: Results[tuple[int, int], _Steps] = Results()
        self._server: Results[int, _Changes] = Results()
        self._clock: Results[tuple[int, bool], _Changes] = Results()
        self._busy: Results[tuple[int, int], bool] = Results()
        self._rebased: Results[int, tuple[int, timedelta]] = Results()
        self._moved: Results[tuple[int, timedelta], int] = Results()
        # The cells looked at since the last result was kept, where they are counted.
        self._looked: Counter[Cell] = Counter()
        self._done: list[bool] = []
        self._judges = True

    def watch(self, looked: Counter[Cell]) -> None:
        """Remember which cells each result uses: those counted since the result before."""
        self._looked = looked

    def cells(self) -> frozenset[Cell]:
        """Return the cells that the results use."""
        return frozenset[Cell]().union(*(each.users for each in self._results()))

    def _results(self) -> tuple[Results[Hashable, object], ...]:
        every = (
            self._local,
            self._hidden,
            self._server,
            self._clock,
            self._busy,
            self._rebased,
            self._moved,
        )
        return cast("tuple[Results[Hashable, object], ...]", every)

    def without(self, cell: Cell) -> Clients[Store, Client]:
        """Return the model with the results that do not use a cell: a mutant of it has the same."""
        other = Clients(self._rules, self._reduce)
        other._stores, other._clients = self._stores.copy(), self._clients.copy()
        other._local, other._hidden = self._local.without(cell), self._hidden.without(cell)
        other._server, other._clock = self._server.without(cell), self._clock.without(cell)
        other._busy, other._moved = self._busy.without(cell), self._moved.without(cell)
        other._rebased = self._rebased.without(cell)
        return other

    @property
    def promise(self) -> str:
        """The promise of liveness, in words."""
        return self._rules.promise

    def values(self, world: World) -> tuple[Store, tuple[Client, ...]]:
        """Return the store and the clients of a world."""
        return self._stores.values[world[0]], tuple(self._clients.values[c] for c in world[1:])

    def starts(self) -> Iterator[World]:
        """Yield the start worlds."""
        for world in self._raw_starts():
            yield self._canonical(world)

    def _raw_starts(self) -> Iterator[World]:
        for store, clients in self._rules.starts():
            yield (self._stores.of(store), *map(self._clients.of, clients))

    def settled(self, world: World) -> bool:
        """Return whether every client has its result."""
        known = len(self._done)
        self._done.extend(map(self._rules.done, self._clients.values[known:]))
        return all(map(self._done.__getitem__, world[1:]))

    def steps(self, world: World) -> _Moves:
        """Yield every step of every client, of the server and of the clock.

        Raises:
            StepBrokenError: If a step breaks a law or a rule.
        """
        if self._one_order:
            hidden = self._steps_of_clients(
                world, self._hidden, self._rules.hidden_steps, only=True
            )
            if hidden:
                return hidden
        moves = self._steps_of_clients(world, self._local, self._rules.client_steps)
        store, clients = world[0], world[1:]
        for what, fault, after in self._server_of(store):
            moves.append(((SERVER, what), fault, (after, *clients)))
        for what, fault, after in self._clock_of(world):
            late = (after, *clients)
            moves.append(((CLOCK, what), fault, self._canonical(late) if self._relative else late))
        return moves

    def _steps_of_clients(
        self,
        world: World,
        known: Results[tuple[int, int], _Steps],
        compute: Callable[[Store, Client], Iterable[Step[Store, Client]]],
        *,
        only: bool = False,
    ) -> _Moves:
        moves: _Moves = []
        store, alike = world[0], self._alike
        for place in range(1, len(world)):
            client = world[place]
            if alike and client == world[place - 1] and place > 1:
                continue
            steps = known.get((store, client))
            if steps is None:
                computed = self._compute(store, client=client, place=place, compute=compute)
                steps = known.keep((store, client), computed, self._looked)
            if not steps:
                continue
            who = _NAMES[place]
            for what, fault, after, became in steps:
                if alike:
                    rest = [*world[1:place], became, *world[place + 1 :]]
                    rest.sort()
                    moves.append(((who, what), fault, (after, *rest)))
                else:
                    moves.append(
                        (
                            (who, what),
                            fault,
                            (after, *world[1:place], became, *world[place + 1 :]),
                        )
                    )
            if only:
                break
        return moves

    def _compute(
        self,
        store: int,
        client: int,
        place: int,
        compute: Callable[[Store, Client], Iterable[Step[Store, Client]]],
    ) -> _Steps:
        before, had = self._stores.values[store], self._clients.values[client]
        steps: _Steps = []
        for step in compute(before, had):
            self._check(
                (_NAMES[place], step.what),
                before=before,
                after=step.store,
                had=had,
                has=step.client,
            )
            after, became = self._stores.of(step.store), self._clients.of(step.client)
            steps.append((step.what, step.fault, after, became))
        return steps

    def _check(
        self, label: Label, before: Store, after: Store, had: Client | None, has: Client | None
    ) -> None:
        if not self._judges:
            return
        try:
            self._rules.check(before, after, had=had, has=has)
        except (LawBrokenError, RuleBrokenError) as broken:
            raise StepBrokenError(label, broken) from broken

    def _server_of(self, store: int) -> _Changes:
        changes = self._server.get(store)
        if changes is None:
            value = self._stores.values[store]
            computed = self._changes(SERVER, value, self._rules.server_steps(value))
            changes = self._server.keep(store, computed, self._looked)
        return changes

    def _clock_of(self, world: World) -> _Changes:
        store = world[0]
        busy = False
        for client in world[1:]:
            if self._is_busy(store, client):
                busy = True
                break
        changes = self._clock.get((store, busy))
        if changes is None:
            value = self._stores.values[store]
            computed = self._changes(CLOCK, value, self._rules.clock_steps(value, busy))
            changes = self._clock.keep((store, busy), computed, self._looked)
        return changes

    def _changes(self, who: str, before: Store, changes: Iterable[Change[Store]]) -> _Changes:
        computed: _Changes = []
        for change in changes:
            self._check((who, change.what), before=before, after=change.store, had=None, has=None)
            computed.append((change.what, change.fault, self._stores.of(change.store)))
        return computed

    def _is_busy(self, store: int, client: int) -> bool:
        busy = self._busy.get((store, client))
        if busy is None:
            asked = self._rules.busy(self._stores.values[store], self._clients.values[client])
            busy = self._busy.keep((store, client), asked, self._looked)
        return busy

    def _canonical(self, world: World) -> World:
        store, clients = world[0], world[1:]
        if self._relative:
            rebased = self._rebased.get(store)
            if rebased is None:
                value = self._stores.values[store]
                by = self._rules.now(value) - START
                moved = self._stores.of(self._rules.moved_store(value, by))
                rebased = self._rebased.keep(store, (moved, by), self._looked)
            store, by = rebased
            clients = tuple([self._earlier(client, by) for client in clients])
        if self._alike:
            clients = tuple(sorted(clients))
        return (store, *clients)

    def _earlier(self, client: int, by: timedelta) -> int:
        moved = self._moved.get((client, by))
        if moved is None:
            earlier = self._rules.moved_client(self._clients.values[client], by)
            moved = self._moved.keep((client, by), self._clients.of(earlier), self._looked)
        return moved

    def quotient(self, world: World, plain: Clients[Store, Client]) -> World:
        """Return the world of this model that represents a world of a plain one."""
        store, clients = plain.values(world)
        return self._canonical((self._stores.of(store), *map(self._clients.of, clients)))

    def run(
        self, states: Sequence[World], last: Label | None
    ) -> Sequence[tuple[Label, Line | None]]:
        """Print a path with the clients and the clock of one unreduced world."""
        plain = Clients(self._rules, Reduce.NOTHING)
        # The path was checked already, and other steps beside it may break a law.
        plain._judges = False
        here = next(
            world for world in plain._raw_starts() if self.quotient(world, plain) == states[0]
        )
        first, _ = plain.values(here)
        trace: list[tuple[Label, Line | None]] = [
            (("log", "opens"), line) for line in self._rules.opening(first)
        ]
        # The clock of a log never steps back.
        latest = self._rules.now(first)
        for goal in [*states[1:], None]:
            if goal is not None:
                label, _, after = next(
                    move for move in plain.steps(here) if self.quotient(move[2], plain) == goal
                )
                line = self._line(label, plain=plain, here=here, after=plain.values(after)[0])
            elif last is not None:
                label, after = self._last(plain, here, last), here
                line = self._line(label, plain=plain, here=here, after=None)
            else:
                break
            latest = max(latest, self._rules.now(plain.values(here)[0]))
            trace.append((label, None if line is None else {"at": format_time(latest), **line}))
            here = after
        return trace

    def _last(self, plain: Clients[Store, Client], here: World, last: Label) -> Label:
        # The step that breaks a law, by its client in the world of the trace.
        store, clients = plain.values(here)
        judging = Clients(self._rules, Reduce.NOTHING)
        try:
            judging.steps((judging._stores.of(store), *map(judging._clients.of, clients)))
        except StepBrokenError as error:
            last = error.label
        return last

    def _line(
        self, label: Label, plain: Clients[Store, Client], here: World, after: Store | None
    ) -> Line | None:
        store, clients = plain.values(here)
        who, what = label
        client = clients[_NAMES.index(who) - 1] if who in _NAMES else None
        return self._rules.line(Taken(who=who, what=what, store=store, client=client, after=after))


_NAMES: Final = ("", "client 1", "client 2", "client 3", "client 4")
