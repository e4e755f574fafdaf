"""A store with its watch, and values and responses to spoil."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import ConnectionId, Coordinate, DataPackage, SessionId, UserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond
from tests.support.instants import caller_at, clock_at, commit_writes
from tests.support.server import CALLER, LIMITED_USER, new_ids, request, world
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid

REVOKED = apply_trigger(pending(), "APP", START)

ACTIVE = apply_trigger(pending(), "authorize for ever", at(1))

SECONDS = timedelta(seconds=1)


class Watched:
    """A store and its watch."""

    def __init__(self, *connections: Connection) -> None:
        self.world: MemoryStore = world(
            Settings(buckets=(Bucket(name="platform", capacity=99, refill=1, seconds=1),)),
            *connections,
        )
        self.watch = Watch()
        self.watch.observe_commit(tuple(ConnectionWrite(None, each) for each in connections), START)

    def decide(self, context: Request, now: datetime, ids: NewIds) -> tuple[Answer, Needs | None]:
        settings = self.world.settings
        reading = read(
            context, caller=caller_at(self.world, bearer(context)), now=now, settings=settings
        )
        if isinstance(reading, Decision):
            return respond(reading), None
        asking = reading.needs
        with clock_at(self.world, now):
            snapshot = self.world.load(asking).snapshot
        decision = decide(reading, snapshot=snapshot, now=now, new_ids=ids)
        return respond(decision), asking

    def ask(
        self,
        asked: Request,
        now: datetime,
        number: int = 1,
        spoil: Callable[[Answer], Answer] = lambda answer: answer,
    ) -> Answer:
        answer, asking = self.decide(asked, now, new_ids(number, now))
        assert commit_writes(self.world, answer.changes.writes)
        spoilt = spoil(answer)
        self.watch.observe_response(spoilt, now, caller=CALLER, needs=asking)
        return spoilt


def limited(wait: int, policy: str = "initiate") -> Answer:
    made = Watched()
    for number in range(10):
        made.ask(request("initiate", key=f"k-{number}"), START, number)
    answer, _ = made.decide(request("initiate", key="k-11"), START + 20 * SECONDS, new_ids(11))
    assert ("retry-after", "40") in answer.response.headers
    changed = {"retry-after": str(wait), "ratelimit": f'"{policy}";r=0;t={wait}'}
    headers = tuple((name, changed.get(name, value)) for name, value in answer.response.headers)
    return attrs.evolve(answer, response=attrs.evolve(answer.response, headers=headers))


@contextmanager
def broken(
    law: int, what: str = "", where: str | None = None
) -> Generator[pytest.ExceptionInfo[LawBrokenError]]:
    """Expect a broken law, with what was observed and its place.

    Args:
        law: The number of the law.
        what: A pattern that the observation matches.
        where: The place; None for any place.
    """
    with pytest.raises(LawBrokenError, match=rf"(?s)law {law} is broken: .*{what}") as caught:
        yield caught
    error = caught.value
    assert error.what
    assert error.where if where is None else error.where == where


def stored(*writes: Write, now: datetime = START) -> Watch:
    watch = Watch()
    watch.observe_commit(writes, now)
    return watch


def answer_with(response: Response, *writes: Write) -> Callable[[Answer], Answer]:
    return lambda answer: attrs.evolve(answer, response=response, changes=Changes(writes))


def body(before: bytes, after: bytes) -> Callable[[Answer], Answer]:
    def spoil(answer: Answer) -> Answer:
        assert before in answer.response.body
        response = attrs.evolve(answer.response, body=answer.response.body.replace(before, after))
        return attrs.evolve(answer, response=response)

    return spoil


def another(
    connection: Connection,
    *,
    id: ConnectionId | None = None,  # noqa: A002 - the member's name
    root_id: ConnectionId | None = None,
    predecessor_id: ConnectionId | None = None,
    coordinate: Coordinate | None = None,
    data_packages: tuple[DataPackage, ...] = (),
    created_at: datetime | None = None,
) -> Connection:
    """Return the connection with the given parts of its identity replaced."""
    identity = connection.identity
    changed = ConnectionIdentity(
        id=id or identity.id,
        coordinate=coordinate or identity.coordinate,
        data_packages=data_packages or identity.data_packages,
        created_at=created_at or identity.created_at,
        predecessor_id=predecessor_id or identity.predecessor_id,
        root_id=root_id or identity.root_id,
    )
    return attrs.evolve(connection, identity=changed)


def call_of(asked: Request) -> Call:
    call = read(asked, CALLER, START)
    assert isinstance(call, Call)
    return call


def session(
    *, handoff: HandoffState = HandoffState.LANDED, user_id: UserId = LIMITED_USER
) -> CuraeConnectSession:
    return CuraeConnectSession(
        id=SessionId(uuid(5)),
        coordinate=COORDINATE,
        path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
        handoff=handoff,
        created_at=START,
        expires_at=at(30),
        landed_at=at(1),
        user_id=user_id,
    )


def bound(state: AccountState, user: str = "u-1", generation: int = 1) -> LimitedAccountAppBinding:
    return LimitedAccountAppBinding(
        coordinate=COORDINATE, user_id=UserId(user), state=state, generation=generation
    )
