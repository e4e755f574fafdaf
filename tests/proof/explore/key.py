"""A world of one idempotency key that several clients use, under every interleaving.

The law of this module: **one key, one execution** (law 12), and a client that keeps trying gets
its response. Workers load and plan in one step and commit in another, so every race between them
happens. Any worker may die, outlive its lease and return late, fail in a way that can be retried,
or lose its response; a request may be delivered twice, however late.

Here the server begins, makes an external call, and renews, completes or releases; it resolves what
dead workers left, and erases on request. `transaction` has the server that commits all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import attrs

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.idempotency import (
    Attempt,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordState,
)
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError, check_one_execution
from tests.proof.explore.clients import START, Change, Step, Taken
from tests.proof.explore.engine import Line
from tests.proof.explore.scene import CREATE, DAY, ERASED, KEY, LEASE, OTHER, REGISTER, SAME, TICK


@attrs.frozen(cache_hash=True)
class Worker:
    """The work on one request of a client.

    Attributes:
        attempt: The right to execute, if it has it.
        before: The loaded record, if it plans to store one.
        after: The record that it plans to store.
        renewed: Whether it has extended its lease; it may once.
        answer: The response that it sent, while it is on its way.
    """

    attempt: Attempt | None = None
    before: Record | None = None
    after: Record | None = None
    renewed: bool = False
    answer: Response | None = None


@attrs.frozen(cache_hash=True)
class HeldClient:
    """One client: its response, and its workers."""

    answer: Response | None = None
    workers: tuple[Worker, ...] = ()


@attrs.frozen
class HeldStore:
    """The record, and the state of the world.

    Attributes:
        now: The time of the clock.
        faults: How many faults may still happen.
        record: The stored record.
        effect: The response of the execution that took effect since the key was first used.
        outside: Whether an external call has started and none has reported its end.
        erased: Whether the response was erased on purpose.
        days: How often the retention may still end.
    """

    now: datetime
    faults: int
    record: Record | None = None
    effect: Response | None = None
    outside: bool = False
    erased: bool = False
    days: int = 0


@attrs.frozen
class Held:
    """A server that begins, makes an external call, and renews, completes or releases.

    Attributes:
        clients: The number of clients.
        faults: The number of faults that may happen.
        attempts: The number of workers that may work for one client.
        lost_leases: The meanings of a lost lease, chosen by each attempt.
        forgets: Whether the server may erase the response.
        days: How often the retention may end.
        at_once: Whether a worker may also commit its effects and response at once.
        steps_back: Whether the clock may step back, by the length of a lease.
        compares: Whether the store compares before it sets.
    """

    clients: int = 2
    faults: int = 2
    attempts: int = 2
    lost_leases: tuple[LostLeaseAction, ...] = (LostLeaseAction.EXECUTE,)
    forgets: bool = False
    days: int = 0
    at_once: bool = False
    steps_back: bool = False
    compares: bool = True

    promise = "every client gets its answer"

    def starts(self) -> Iterable[tuple[HeldStore, tuple[HeldClient, ...]]]:
        """Yield the state before any request."""
        yield HeldStore(START, self.faults, days=self.days), (HeldClient(),) * self.clients

    def done(self, client: HeldClient) -> bool:
        """Return whether the client has its response."""
        return client.answer is not None

    def now(self, store: HeldStore) -> datetime:
        """Return the time of the clock."""
        return store.now

    def hidden_steps(
        self, store: HeldStore, client: HeldClient
    ) -> Iterator[Step[HeldStore, HeldClient]]:
        """Yield responses that arrive or are lost, which only their client sees."""
        for worker in client.workers:
            if worker.answer is not None:
                yield from _arrivals(store, client, worker)
                return

    def client_steps(
        self, store: HeldStore, client: HeldClient
    ) -> Iterator[Step[HeldStore, HeldClient]]:
        """Send and resend requests; let workers continue or die."""
        if client.answer is None and not client.workers:
            yield from self._loads(store, client, "request")
        elif store.faults and len(client.workers) < self.attempts:
            yield from self._loads(_fault(store), client, "duplicate request", fault=True)
        for worker in client.workers:
            if worker.answer is not None:
                yield from _arrivals(store, client, worker)
                continue
            if store.faults:
                yield Step("worker dies", _fault(store), _without(client, worker), fault=True)
            if worker.after is not None:
                yield self._stores(store, client=client, worker=worker, after=worker.after)
            else:
                assert worker.attempt is not None
                yield from _plans(store, client=client, worker=worker, attempt=worker.attempt)

    def _loads(
        self, store: HeldStore, client: HeldClient, what: str, *, fault: bool = False
    ) -> Iterator[Step[HeldStore, HeldClient]]:
        got = idempotency.begin_attempt(store.record, key=KEY, fingerprint=SAME, now=store.now)
        if isinstance(got, KnownResponse):
            assert isinstance(got.response, Response)
            answered = _with(client, Worker(answer=got.response))
            yield Step(what=f"{what} is replayed", store=store, client=answered, fault=fault)
        elif isinstance(got, Attempt):
            for lost_lease in self.lost_leases:
                begun = idempotency.in_flight_record(got, lost_lease=lost_lease)
                planned = _with(client, Worker(got, store.record, begun))
                yield Step(
                    what=f"{what} begins, a lost lease means {lost_lease}",
                    store=store,
                    client=planned,
                    fault=fault,
                )
            if self.at_once:
                kept = idempotency.completed_record(got, _answer(got))
                planned = _with(client, Worker(got, store.record, kept))
                yield Step(
                    what=f"{what} is executed at once", store=store, client=planned, fault=fault
                )
        elif got.problem.code is ProblemCode.IDEMPOTENCY_KEY_FORGOTTEN:
            yield Step(
                what=f"{what} finds it forgotten",
                store=store,
                client=_answered(client, ERASED),
                fault=fault,
            )
        else:
            # Nothing has changed, and the client may retry.
            yield Step(
                what=f"{what} is refused: {got.problem.code}",
                store=store,
                client=client,
                fault=fault,
            )

    def _stores(
        self, store: HeldStore, client: HeldClient, worker: Worker, after: Record
    ) -> Step[HeldStore, HeldClient]:
        rest = _without(client, worker)
        if self.compares and store.record != worker.before:
            if worker.before is None or after.token > worker.before.token:
                return Step("worker lost the race and gives up", store, rest)
            loads_again = Worker(worker.attempt, renewed=worker.renewed)
            return Step("worker lost the race", store, _with(rest, loads_again))
        stored = _stored(store, after)
        what = f"worker stores {after.state}"
        if after.state is RecordState.COMPLETED:
            assert isinstance(after.response, Response)
            return Step(what, stored, _with(rest, Worker(answer=after.response)))
        if after.state is RecordState.RELEASED:
            return Step(what, stored, rest)
        renewed = worker.before is not None and worker.before.token == after.token
        return Step(what, stored, _with(rest, Worker(worker.attempt, renewed=renewed)))

    def server_steps(self, store: HeldStore) -> Iterator[Change[HeldStore]]:
        """Resolve what workers left, and erase on request."""
        if LostLeaseAction.UNKNOWN in self.lost_leases:
            for response in (None, Response(201, (), b"resolved")):
                resolved = attempts.resolve(store.record, store.now, response=response)
                if isinstance(resolved, Done):
                    after = _stored(store, resolved.value)
                    yield Change(f"resolves as {resolved.value.state}", after)
        if self.forgets and store.faults:
            forgotten = attempts.forget(store.record, store.now)
            if isinstance(forgotten, Done):
                yield Change("forgets", _stored(_fault(store), forgotten.value), fault=True)

    def clock_steps(self, store: HeldStore, busy: bool) -> Iterator[Change[HeldStore]]:  # noqa: FBT001 - the parameter says which
        """Move to the last instant of the lease, to its end, and to the end of the retention.

        Time that ends a running lease is a fault; otherwise it just passes.
        """
        if self.steps_back and store.faults:
            earlier = attrs.evolve(_fault(store), now=store.now - LEASE)
            yield Change("steps back", earlier, fault=True)
        record = store.record
        if record is not None and store.days:
            ends = record.first_used_at + DAY
            for instant in (ends - TICK, ends):
                if instant > store.now:
                    later = attrs.evolve(store, now=instant, days=store.days - 1)
                    yield Change("the retention runs out", later)
        lease = None if record is None else record.lease_until
        if lease is None or lease <= store.now:
            if busy and store.faults:
                yield Change(
                    "a lease passes", attrs.evolve(_fault(store), now=store.now + LEASE), True
                )
            return
        if lease - TICK > store.now:
            yield Change("the lease is nearly over", attrs.evolve(store, now=lease - TICK))
        if not busy:
            yield Change("the lease is over", attrs.evolve(store, now=lease))
        elif store.faults:
            yield Change("the lease is over", attrs.evolve(_fault(store), now=lease), True)

    def busy(self, store: HeldStore, client: HeldClient) -> bool:
        """Return whether one of its workers is about to do something."""
        del store
        return any(worker.attempt is not None for worker in client.workers)

    def check(
        self,
        before: HeldStore,
        after: HeldStore,
        had: HeldClient | None,
        has: HeldClient | None,
    ) -> None:
        """Check law 12 with fencing, and that nothing executes over an unknown outcome."""
        if after.record is not None and after.record is not before.record:
            _check_stored(before, before.record, after.record)
            other = idempotency.begin_attempt(
                after.record, key=KEY, fingerprint=OTHER, now=after.now
            )
            seen = max(after.now, after.record.seen_at)
            absent = seen - after.record.first_used_at >= DAY
            if not absent and not isinstance(other, Refused):
                raise LawBrokenError(12, "another request took the key", f"key {KEY.key}")
        if had is not None and has is not None:
            known = {id(worker.answer) for worker in had.workers} | {id(had.answer), id(ERASED)}
            for worker in has.workers:
                attempt, planned = worker.attempt, worker.after
                if attempt is not None and planned is not None and planned.token != attempt.token:
                    where = f"token {attempt.token} on a record of token {planned.token}"
                    raise LawBrokenError(12, "an attempt that lost its lease acts", where)
            for worker in (*has.workers, Worker(answer=has.answer)):
                if worker.answer is not None and id(worker.answer) not in known:
                    first = [] if after.effect is None else [after.effect]
                    check_one_execution([*first, worker.answer], len(first))

    def moved_store(self, store: HeldStore, by: timedelta) -> HeldStore:
        """Return the store shifted to an earlier time."""
        return attrs.evolve(store, now=store.now - by, record=_earlier_record(store.record, by))

    def moved_client(self, client: HeldClient, by: timedelta) -> HeldClient:
        """Return the client shifted to an earlier time."""
        return HeldClient(
            client.answer,
            _sorted(
                Worker(
                    attempt=_earlier_attempt(worker.attempt, by),
                    before=_earlier_record(worker.before, by),
                    after=_earlier_record(worker.after, by),
                    renewed=worker.renewed,
                    answer=worker.answer,
                )
                for worker in client.workers
            ),
        )

    def opening(self, store: HeldStore) -> Iterable[Line]:
        """Return the registration of one API key."""
        return [{"at": format_time(store.now), **REGISTER}]

    def line(self, taken: Taken[HeldStore, HeldClient]) -> Line | None:
        """Return a line for a request that gets its response at once."""
        answered = taken.what.endswith(("is replayed", "worker stores COMPLETED"))
        return CREATE if answered else None


def _check_stored(world: HeldStore, before: Record | None, after: Record) -> None:
    where = f"key {after.key.key}, token {after.token}, {after.state}"
    again = before is not None and after.first_used_at != before.first_used_at
    if before is not None and after.token < before.token:
        raise LawBrokenError(12, "an attempt that lost its lease wrote the record", where)
    starts = before is None or after.token > before.token
    if again and starts:
        return
    if starts and world.outside:
        raise LawBrokenError(12, "it runs again while its outcome is unknown", where)
    if world.erased and (starts or after.state is not RecordState.FORGOTTEN):
        raise LawBrokenError(12, "what was forgotten runs again", where)
    if world.effect is not None and (starts or after.state is RecordState.COMPLETED):
        if starts and after.state is not RecordState.COMPLETED:
            raise LawBrokenError(12, "it runs again after it took effect", where)
        check_one_execution([], 2)


def _stored(world: HeldStore, after: Record) -> HeldStore:
    before = world.record
    again = before is not None and after.first_used_at != before.first_used_at
    effect, outside, erased = (
        (None, False, False) if again else (world.effect, world.outside, world.erased)
    )
    match after.state:
        case RecordState.COMPLETED:
            assert isinstance(after.response, Response)
            effect, outside = after.response, False
        case RecordState.RELEASED:
            outside = False
        case RecordState.IN_FLIGHT:
            outside = after.lost_lease is LostLeaseAction.UNKNOWN
        case RecordState.FORGOTTEN:
            erased = True
    return HeldStore(
        now=world.now,
        faults=world.faults,
        record=after,
        effect=effect,
        outside=outside,
        erased=erased,
        days=world.days,
    )


def _plans(
    store: HeldStore, client: HeldClient, worker: Worker, attempt: Attempt
) -> Iterator[Step[HeldStore, HeldClient]]:
    rest = _without(client, worker)
    record, now = store.record, store.now
    acts = [
        (
            "complete",
            store,
            attempts.complete(record, attempt=attempt, response=_answer(attempt), now=now),
        )
    ]
    if not worker.renewed:
        acts.append(("renew", store, attempts.renew(record, attempt, now)))
    released = attempts.release(record, attempt, now)
    if store.faults:
        acts.append(("release", _fault(store), released))
    for act, then, acted in acts:
        fault = then is not store
        if isinstance(acted, LeaseLost):
            yield Step(f"worker would {act}, its lease is lost", store, rest)
        else:
            planned = Worker(
                attempt=attempt, before=record, after=acted.value, renewed=worker.renewed
            )
            yield Step(
                what=f"worker plans to {act}", store=then, client=_with(rest, planned), fault=fault
            )


def _answer(attempt: Attempt) -> Response:
    return Response(201, (), b"answer of attempt %d" % attempt.token)


def _arrivals(
    store: HeldStore, client: HeldClient, worker: Worker
) -> Iterator[Step[HeldStore, HeldClient]]:
    assert worker.answer is not None
    rest = _without(client, worker)
    yield Step("answer arrives", store, _answered(rest, worker.answer))
    if store.faults:
        yield Step("answer is lost", _fault(store), rest, fault=True)


def _answered(client: HeldClient, answer: Response) -> HeldClient:
    return HeldClient(answer if client.answer is None else client.answer, client.workers)


def _fault(store: HeldStore) -> HeldStore:
    return attrs.evolve(store, faults=store.faults - 1)


def _with(client: HeldClient, worker: Worker) -> HeldClient:
    return HeldClient(client.answer, _sorted((*client.workers, worker)))


def _without(client: HeldClient, worker: Worker) -> HeldClient:
    rest = list(client.workers)
    rest.remove(worker)
    return HeldClient(client.answer, tuple(rest))


def _sorted(workers: Iterable[Worker]) -> tuple[Worker, ...]:
    # The workers of one client are interchangeable too; those with equal rank keep their order.
    return tuple(sorted(workers, key=_rank))


def _rank(worker: Worker) -> tuple[int, bool, str, str]:
    attempt, before, after = worker.attempt, worker.before, worker.after
    return (
        0 if attempt is None else attempt.token,
        worker.renewed,
        "" if after is None else after.state,
        "" if before is None else before.seen_at.isoformat(),
    )


def _earlier_record(record: Record | None, by: timedelta) -> Record | None:
    if record is None:
        return None
    return attrs.evolve(
        record,
        first_used_at=record.first_used_at - by,
        seen_at=record.seen_at - by,
        lease_until=None if record.lease_until is None else record.lease_until - by,
    )


def _earlier_attempt(attempt: Attempt | None, by: timedelta) -> Attempt | None:
    if attempt is None:
        return None
    return attrs.evolve(
        attempt, first_used_at=attempt.first_used_at - by, started_at=attempt.started_at - by
    )
