"""Checks of what must stay apart: environments, a grant and its end, an answer and its date.

The law of this module: **what looks alike is told apart**. Each check shows two things that a
server could easily take for one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, require, same
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, ask, send, use, wait

WHILE: Final = timedelta(seconds=5)
"""Long enough for two times in whole seconds to differ."""


CHECKS: Final = Checks()


@CHECKS.add("limit.environments", laws=(10,), rules=("request.limit",))
def _limits_of_environments(app: App) -> Steps[None]:
    """A user's test traffic does not count against the live limit."""
    if "environment" in app.kit.hooks:
        raise NotSeenError("the server serves one environment")
    wanted = app.wanted
    test = yield from client.new_app(
        app.kit,
        account=wanted.customer_account_id,
        app_id=wanted.app_id,
        environment=Environment.TEST,
    )
    yield from test.filled("user", client.LIMIT)
    yield from app.initiated("user")


def _readable(connection_id: str) -> Steps[bool]:
    return (yield from ask("may_read", connection_id, client.PACKAGES[0]))


@CHECKS.add(
    "access.ends-with-a-revocation",
    laws=(5,),
    rules=("access.active", "access.revoked"),
    hooks=("may_read", "authorize"),
)
def _granted_before(app: App) -> Steps[None]:
    """A connection that was read before it was revoked is not read again."""
    connection_id = client.id_of((yield from app.created()))
    yield from use("authorize", connection_id, None)
    where = f"the connection {connection_id}"
    same((yield from _readable(connection_id)), True, "whether it may be read", where)
    yield from app.revoked(connection_id)
    where = f"{where}, revoked after it was read"
    same((yield from _readable(connection_id)), False, "whether it may be read", where)


@CHECKS.add(
    "idempotency.dates",
    laws=(9,),
    rules=("idempotency.completed.same",),
    hooks=("pass_time",),
    passes=WHILE,
)
def _date_of_a_replay(app: App) -> Steps[None]:
    """A replay carries no Date of the first answer."""
    request = app.create("user")
    first = yield from send(request)
    client.expect(first, client.CREATED, "create a connection")
    dates = client.headers(first, "date")
    if not dates:
        raise NotSeenError("the server sends no Date")
    plain = yield from send(app.account_state("user"))
    yield from wait(WHILE)
    moved = yield from send(app.account_state("user"))
    if client.headers(plain, "date") == client.headers(moved, "date"):
        raise NotSeenError("the Date follows another clock than pass_time moves")
    again = yield from send(request)
    require(
        client.headers(again, "date") != dates,
        f"the Date is still {dates[0]!r}",
        f"a replay, {WHILE.seconds} s later",
    )
