"""Checks of the standard buckets of an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, refusal, require, success
from curae_lifecycle.testing.conformance.connections import MINUTE, MOMENT
from curae_lifecycle.testing.conformance.limits import FEW, limited, refused
from curae_lifecycle.testing.conformance.steps import Steps, send, use, wait
from curae_lifecycle.web.request import Request

SMALL: Final = Bucket("kit", 4, 1, 60)
"""Four at once, one back every minute."""


def _emptied(app: App) -> Steps[None]:
    for _ in range(SMALL.capacity):
        yield from success(app.account_state("user"), client.OK, "a request with a full bucket")


def _empty(app: App, where: str) -> Steps[int]:
    answer = yield from send(app.account_state("user"))
    return limited(answer, SMALL.name, SMALL.window, SMALL.capacity, where)


CHECKS: Final = Checks()

_BUCKETS: Final = ("request.buckets", "problem.rate-limited")


@CHECKS.add("request.buckets", rules=_BUCKETS, hooks=("replace_buckets",))
def _bucket(app: App) -> Steps[None]:
    """A standard bucket belongs to one API key, admits what it holds, and then says how long."""
    yield from use("replace_buckets", (SMALL,))
    other = yield from app.second_key()
    yield from _emptied(app)
    seconds = SMALL.window
    for _ in range(3):
        seconds = yield from _empty(app, "a request with an empty bucket")
    require(
        SMALL.seconds - FEW.seconds <= seconds <= SMALL.seconds,
        f"it is to wait {seconds} s",
        "one comes back every 60 s",
    )
    yield from success(other.account_state("user"), client.OK, "another API key of the app")


@CHECKS.add(
    "bucket.refills", rules=_BUCKETS, hooks=("replace_buckets", "pass_time"), passes=9 * MINUTE
)
def _bucket_refills(app: App) -> Steps[None]:
    """A bucket refills with time alone, and never beyond what it holds."""
    yield from use("replace_buckets", (SMALL,))
    yield from _emptied(app)
    seconds = 0
    for _ in range(3):
        seconds = yield from _empty(app, "a request with an empty bucket")
    yield from wait(timedelta(seconds=seconds))
    where = "a request when the wait is over, with nothing but refusals in between"
    yield from success(app.account_state("user"), client.OK, where)
    yield from _empty(app, "the request after that")
    yield from wait(2 * SMALL.window * MOMENT)
    yield from _emptied(app)
    yield from _empty(app, "a request after a long rest and as many as the bucket holds")


@CHECKS.add("bucket.charges", rules=_BUCKETS, hooks=("replace_buckets",))
def _what_buckets_charge(app: App) -> Steps[None]:
    """Every request is charged that is not refused with 400, 401 or 403 or an unknown path."""
    reader = yield from app.second_key(frozenset())
    pending = client.id_of((yield from app.created()))
    key = app.new_key()
    replayed = app.revoke(pending, key=key)
    yield from send(replayed)
    for name, request, costs in (
        ("a replay", replayed, True),
        ("a 404", app.get(app.names.uuid()), True),
        ("a 409", app.graduate("user"), True),
        ("a 422", app.create("user", key=key), True),
        ("a 304", app.account_state("user", ("If-None-Match", "*")), True),
        ("a 400", app.get("nonsense"), False),
        ("a key that is missing", app.request("POST", f"/connections/{pending}:revoke"), False),
        ("an unknown path", app.request("GET", "/nothing"), False),
    ):
        yield from _charges(app, name, request, costs=costs)
    yield from use("replace_buckets", (SMALL,))
    for _ in range(2 * SMALL.capacity):
        yield from refusal(reader.create("user"), 403, "SCOPE_INSUFFICIENT", "a 403")
    where = "a read after many answers 403"
    yield from success(reader.account_state("user"), client.OK, where)


def _charges(app: App, name: str, request: Request, *, costs: bool) -> Steps[None]:
    yield from use("replace_buckets", (SMALL,))
    for _ in range(SMALL.capacity):
        answer = yield from send(request)
        require(
            client.in_short(answer) != "429 RATE_LIMITED", "it was charged more than once", name
        )
    answer = yield from send(app.account_state("user"))
    if costs:
        require(answer.status != client.OK, "it was not charged", name)
    else:
        require(answer.status == client.OK, f"it was charged: then {client.in_short(answer)}", name)


@CHECKS.add("bucket.all-or-nothing", rules=_BUCKETS, hooks=("replace_buckets",))
def _all_or_nothing(app: App) -> Steps[None]:
    """Where one limit refuses none is charged, and the one that refuses is named."""
    wide = Bucket("wide", 2 * client.LIMIT, 1, 3600)
    yield from use("replace_buckets", (wide,))
    yield from app.filled("user")
    for number in range(client.LIMIT):
        yield from refused(app, "user", f"refusal number {number + 1} of the app user's limit")
    for number in range(client.LIMIT):
        where = f"read number {number + 1}: refusals of the app user's limit charge no bucket"
        yield from success(app.account_state("user"), client.OK, where)
    yield from use("replace_buckets", (SMALL, wide))
    yield from _emptied(app)
    for _ in range(2 * client.LIMIT):
        yield from _empty(app, "a request with the first of two buckets empty")
    yield from use("replace_buckets", (wide, SMALL))
    yield from _emptied(app)
    yield from _empty(app, "a request with the second of two buckets empty")


@CHECKS.add(
    "bucket.refusals-drain-no-other",
    rules=_BUCKETS,
    hooks=("replace_buckets", "pass_time"),
    passes=4 * FEW,
)
def _second_bucket_kept(app: App) -> Steps[None]:
    """Refusals of one bucket drain no other."""
    tight, wide = Bucket("tight", 1, 1, 5), Bucket("wide", 4, 1, 3600)
    yield from use("replace_buckets", (tight, wide))
    for number in range(wide.capacity):
        where = f"read number {number + 1}, five seconds after the last"
        yield from success(app.account_state("user"), client.OK, where)
        for _ in range(2 * wide.capacity):
            yield from send(app.account_state("user"))
        yield from wait(FEW)
    yield from refusal(
        app.account_state("user"), 429, "RATE_LIMITED", "a read with the wide bucket empty"
    )


@CHECKS.add("order.buckets", rules=("request.buckets",), hooks=("replace_buckets",))
def _bucket_order(app: App) -> Steps[None]:
    """Buckets are asked after the body and before the key's record and the app user's limit."""
    request = app.initiate("user", key=app.new_key())
    yield from send(request)
    yield from app.filled("user", client.LIMIT - 1)
    yield from use("replace_buckets", (SMALL,))
    yield from _emptied(app)
    stranger = attrs.evolve(app, api_key="cae_live_nobody")
    where = "with an empty bucket"
    yield from refusal(stranger.get("x"), 401, "UNAUTHENTICATED", where)
    yield from refusal(app.request("GET", "/x"), 404, "NOT_FOUND", where)
    yield from refusal(app.get("x"), 400, "BAD_REQUEST", where)
    for name, each in (
        ("a replay", request),
        ("an initiate at the app user's limit", app.initiate("user")),
        ("an unknown id", app.get(app.names.uuid())),
    ):
        answer = yield from send(each)
        limited(answer, SMALL.name, SMALL.window, SMALL.capacity, f"{name} {where}")
