"""Programs that confuse types: each has an error at the marked line."""

from collections.abc import Callable
from datetime import datetime

from curae_lifecycle import (
    ApiKey,
    Authorized,
    ConnectionId,
    Done,
    NextAction,
    RandomIds,
    Request,
    Revoked,
    SessionId,
    Store,
    serve,
    serve_async,
)
from curae_lifecycle.rules.chain import reconnect
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.idempotency import RecordKey, parse_idempotency_key
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.stores.contract import AsyncStore


def one_id_for_another(session_id: SessionId) -> None:
    GetConnection(session_id)  # error: [arg-type]
    Authorized("a plain string")  # error: [arg-type]


def a_key_without_its_scope() -> RecordKey:
    return RecordKey(parse_idempotency_key("k-1"))  # error: [call-arg] [arg-type]


def a_change_in_place(connection: Connection) -> None:
    connection.status = Status.ACTIVE  # error: [misc]
    connection.identity.id = ConnectionId("x")  # error: [misc]


def nobody_revoked(connection: Connection, now: datetime) -> None:
    revoke(connection, now, era=None)  # error: [call-arg]
    Revoked(connection.id, "PATIENT")  # error: [arg-type]


def an_instant_in_words(connection: Connection) -> None:
    authorize(connection, "now", era=None)  # error: [arg-type]


def what_a_reconnect_needs(connection: Connection, now: datetime, action: NextAction) -> None:
    reconnect(connection, None, now, next_action=action, era=None)  # error: [call-arg]


def a_secret_that_is_read(api_key: ApiKey) -> None:
    print(api_key.secret)  # error: [attr-defined]


def an_initiate_by_truth(user: AppUserId) -> Initiate:
    return Initiate(user, "yes")  # error: [arg-type]


def the_wrong_value(connection: Connection, now: datetime) -> None:
    answer = authorize(connection, now, era=None)
    if isinstance(answer, Done):
        status: str | None = answer.value.revoked_at  # error: [assignment]
        print(status)


def a_store_that_waits_where_one_is_awaited(
    waits: Store, awaited: AsyncStore, request: Request, mint: RandomIds
) -> None:
    serve(awaited, request, mint)  # error: [arg-type]
    serve_async(waits, request, mint)  # error: [arg-type] [unused-coroutine]


def a_wsgi_app_without_its_adapter(
    app: Callable[[dict[str, object], Callable[..., object]], list[bytes]],
) -> Guard:
    return Guard(app, max_concurrent=1)  # error: [arg-type]
