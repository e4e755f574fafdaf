"""The whole of a server: two brackets and a route."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from curae_lifecycle import (
    ApiKey,
    Caller,
    Environment,
    MemoryStore,
    NewIds,
    Request,
    Response,
    Snapshot,
    bearer,
    decide,
    needs,
    read,
    respond,
)
from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import (
    AccessEnded,
    BindingWrite,
    ConnectionWrite,
    Effect,
    HandoffCancelled,
    NextActionReplaced,
    RateWrite,
    RecordWrite,
    SessionWrite,
    SuccessorsLive,
    UserProvisioned,
    Write,
)
from curae_lifecycle.service.snapshot import Needs


class Store(Protocol):
    def caller(self, api_key: ApiKey | None) -> Caller | None: ...
    def load(self, asked: Needs) -> Snapshot: ...
    def store(self, writes: tuple[Write, ...]) -> bool: ...


def answer(
    store: Store, request: Request, now: datetime, mint: Callable[[datetime], NewIds]
) -> Response:
    call = read(request, caller_at(store, bearer(request)), now)
    if not isinstance(call, Call):
        return respond(call).response
    while True:
        answer = respond(decide(call, snapshot=store.load(call.needs), now=now, new_ids=mint(now)))
        if store.store(answer.changes.writes):
            for effect in answer.changes.effects:
                print(what_to_do(effect))
            return answer.response


def what_to_do(effect: Effect) -> str:
    match effect:
        case AccessEnded(connection_id, at):
            return f"drop the grants of {connection_id}, over at {at:%H:%M}"
        case HandoffCancelled(connection_id) | NextActionReplaced(connection_id):
            return f"kill the page of {connection_id}"
        case SuccessorsLive(_, alive):
            return f"tell the app about {', '.join(alive)}"
        case UserProvisioned(user_id):
            return f"create {user_id}"


def where_to_store(write: Write) -> str:
    match write:
        case ConnectionWrite(_, after):
            return after.identity.id
        case SessionWrite(_, after):
            return after.id
        case BindingWrite(_, after):
            return after.coordinate.app_user_id
        case RecordWrite(key):
            return key.key
        case RateWrite(key):
            return key.policy


def embedded(request: Request, now: datetime, new_ids: NewIds) -> bytes:
    store: Store = MemoryStore()
    answer(store, request=request, now=now, mint=lambda _: new_ids)
    bounded = MemoryStore(capacity=10, clock=lambda: now)
    return serve(bounded, request, lambda _: new_ids).response.body


def broken_lines(lines: list[bytes]) -> int:
    return sum(line.broken for line in replay(lines, environment=Environment.LIVE))
