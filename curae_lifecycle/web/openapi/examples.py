"""Examples of successes: the responses to the examples that the operations give."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, UserId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.example_values import CALLER, NOW
from curae_lifecycle.service.operations.operation import Example, KeyUse, Operation
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.web.respond import respond

_NEW_IDS: Final = NewIds(
    connection_id=ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    session_id=SessionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    user_id=UserId("user-of-the-platform"),
    next_action=NextAction("https://connect.example/6b7f2a52", NOW + timedelta(minutes=30)),
)


def successes(kind: type[Operation], settings: Settings) -> dict[str, Response]:
    """Return the responses to the example requests of an operation, by the examples' titles.

    Args:
        kind: The operation, whose `examples()` gives the requests.
        settings: The settings of the server.
    """
    return {each.title: _response(each, settings) for each in kind.examples()}


def _response(example: Example, settings: Settings) -> Response:
    key = IdempotencyKey("k-1") if example.operation.rule.key is KeyUse.NEEDED else None
    call = Call(caller=CALLER, operation=example.operation, key=key, settings=settings)
    decision = decide(call, snapshot=example.snapshot, now=NOW, new_ids=_NEW_IDS)
    return respond(decision).response
