"""A whole server: two brackets and a route."""

from collections.abc import Callable
from datetime import UTC, datetime

from curae_lifecycle import (
    Environment,
    MemoryStore,
    NewIds,
    Request,
    Response,
    Store,
    bearer,
    decide,
    read,
    respond,
    serve,
)
from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.effects import AccessEnded, Effect, HandoffCancelled, NextActionReplaced, SuccessorsLive, UserProvisioned
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, PageWrite, RateWrite, RecordWrite, SessionWrite, Write


def answer(store: Store, request: Request, mint: Callable[[datetime], NewIds]) -> Response:
    api_key = bearer(request)
    digest = "" if api_key is None else api_key.digest()
    call = read(request, store.caller_of(digest), datetime.now(UTC))
    if not isinstance(call, Call):
        return respond(call).response
    while True:
        loaded = store.load(call.needs, digest)
        decision = decide(call, loaded.snapshot, loaded.now, new_ids=mint(loaded.now))
        answer = respond(decision)
        if store.commit(loaded, answer.changes):
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
        case RateWrite(_, policy):
            return policy.name
        case PageWrite(_, after):
            return after.digest


def embedded(request: Request, now: datetime, new_ids: NewIds) -> bytes:
    store: Store = MemoryStore(clock=lambda: now)
    answer(store, request, lambda _: new_ids)
    bounded = MemoryStore(capacity=10, clock=lambda: now)
    return serve(bounded, request, lambda _: new_ids).response.body


def broken_lines(lines: list[bytes]) -> int:
    return sum(line.broken for line in replay(lines, environment=Environment.LIVE))
