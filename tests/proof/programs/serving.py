"""A whole server on a store: requests, facts, an external call, and the same async."""

from collections.abc import Awaitable, Callable

from curae_lifecycle import (
    Authorized,
    ConnectionId,
    Done,
    MemoryStore,
    NewIds,
    NextAction,
    RetryPolicy,
    RandomIds,
    Request,
    Response,
    Settings,
    Store,
    StoreUnavailableError,
    record,
    record_async,
    serve,
    serve_async,
    serve_with_external_call,
    serve_with_external_call_async,
)
from curae_lifecycle.stores.contract import AsyncStore

SETTINGS = Settings()
MINT = RandomIds("https://connect.example/")
PATIENCE = RetryPolicy(attempts=5, seconds=2.0)


def answer(store: Store, request: Request) -> Response:
    return serve(store, request=request, id_factory=MINT, settings=SETTINGS, retry_policy=PATIENCE).response


def authorized(store: Store, connection_id: str) -> bool:
    try:
        outcome = record(store, Authorized(ConnectionId(connection_id)))
    except StoreUnavailableError:
        return False
    return isinstance(outcome, Done)


def answer_elsewhere(
    store: Store, request: Request, make_page: Callable[[str], NextAction]
) -> Response:
    def call_out(new_ids: NewIds, renew: Callable[[], bool]) -> NextAction:
        renew()
        return make_page(new_ids.session_id)

    return serve_with_external_call(store, request=request, id_factory=MINT, make_next_action=call_out, settings=SETTINGS, lease=30.0).response


async def answer_async(store: AsyncStore, request: Request) -> Response:
    return (await serve_async(store, request=request, id_factory=MINT, settings=SETTINGS)).response


async def authorized_async(store: AsyncStore, connection_id: str) -> bool:
    return isinstance(await record_async(store, Authorized(ConnectionId(connection_id))), Done)


async def answer_elsewhere_async(
    store: AsyncStore, request: Request, make_page: Callable[[str], Awaitable[NextAction]]
) -> Response:
    async def call_out(new_ids: NewIds, renew: Callable[[], Awaitable[bool]]) -> NextAction:
        await renew()
        return await make_page(new_ids.session_id)

    made = await serve_with_external_call_async(store, request=request, id_factory=MINT, make_next_action=call_out, settings=SETTINGS)
    return made.response


answer(MemoryStore(SETTINGS), Request("GET", "/"))
