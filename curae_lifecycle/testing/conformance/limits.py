"""Checks of rate limits: the app user's, graduation's, and the standard buckets."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    OK,
    App,
    create,
    expect,
    expect_problem,
    headers,
    id_of,
    initiate,
    instant,
    new_app,
    same,
    second_key,
    told,
)
from curae_lifecycle.testing.conformance.connections import MINUTE, MOMENT
from curae_lifecycle.testing.conformance.idempotency import LIMIT, fill
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    NotConformingError,
    Steps,
    send,
    together,
    use,
    wait,
)
from curae_lifecycle.testing.laws import check_rate_limit
from curae_lifecycle.web.request import Request

FEW: Final = timedelta(seconds=5)


def limited(answer: Response, policy: str, window: int, quota: int, where: str) -> int:
    """The seconds that a 429 tells to wait, once its parts agree with each other."""
    details = expect_problem(answer, 429, "RATE_LIMITED", where)
    told_wait = _only(answer, "retry-after", where)
    if re.fullmatch(r"[1-9][0-9]*", told_wait) is None:
        raise NotConformingError(f"Retry-After is {told_wait!r}, no whole seconds", where)
    seconds = int(told_wait)
    same(dict(details), {"policy": policy, "retryAfter": seconds}, "details", where)
    expected = f'"{policy}";q={quota};w={window}'
    same(_only(answer, "ratelimit-policy", where), expected, "RateLimit-Policy", where)
    same(_only(answer, "ratelimit", where), f'"{policy}";r=0;t={seconds}', "RateLimit", where)
    same(_only(answer, "cache-control", where), "no-store", "Cache-Control", where)
    if seconds > window:
        raise NotConformingError(f"it is to wait {seconds} s in a window of {window} s", where)
    return seconds


def _only(answer: Response, name: str, where: str) -> str:
    values = headers(answer, name)
    if len(values) != 1:
        raise NotConformingError(f"{len(values)} headers {name}", where)
    return values[0]


def _refused(app: App, user: str, where: str) -> Steps[int]:
    return limited((yield from send(app.initiate(user))), "initiate", 60, LIMIT, where)


# --- The app user's limit -------------------------------------------------------------------


def _eleventh(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    instants: list[datetime] = []
    for _ in range(LIMIT + 1):
        answer = yield from send(app.initiate("user"))
        if answer.status != CREATED:
            break
        where = "initiate a session"
        made = expect(answer, CREATED, where)
        instants.append(instant(made, "session.createdAt", where))
    check_rate_limit(instants)
    if len(instants) < LIMIT:
        raise NotConformingError(f"refused after {len(instants)}", "initiates of one user")
    if len(instants) == LIMIT:
        yield from _refused(app, "user", f"initiate number {LIMIT + 2}")


def _across_apps(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    other = yield from new_app(kit, account=app.wanted.customer_account_id)
    sibling = yield from second_key(kit, app)
    for each, count in ((app, 4), (other, 3), (sibling, 3)):
        yield from fill(each, "user", count)
    for each, who in ((app, "the app"), (other, "another app"), (sibling, "another key")):
        yield from _refused(each, "user", f"initiate number {LIMIT + 1}, by {who} of the account")
    stranger = yield from new_app(kit, app_id=app.wanted.app_id)
    yield from initiate(stranger, "user")
    yield from initiate(app, "another")


def _refusals_are_free(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user", LIMIT - 1)
    yield from wait(FEW)
    yield from fill(app, "user", 1)
    seconds = 0
    for number in range(2 * LIMIT):
        seconds = yield from _refused(app, "user", f"refusal number {number + 1}")
    yield from wait(timedelta(seconds=seconds))
    where = "initiate after the wait that was told, with nothing but refusals in between"
    for _ in range(LIMIT - 1):
        expect((yield from send(app.initiate("user"))), CREATED, where)


def _retry_after(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user", 1)
    yield from wait(2 * FEW)
    yield from fill(app, "user", LIMIT - 1)
    yield from wait(2 * FEW)
    seconds = yield from _refused(app, "user", f"initiate number {LIMIT + 1}")
    left = timedelta(seconds=seconds) - 2 * MOMENT
    if left > timedelta(0):
        yield from wait(left)
        yield from _refused(app, "user", "initiate two seconds before the wait is over")
        yield from wait(2 * MOMENT)
    expect((yield from send(app.initiate("user"))), CREATED, "initiate when the wait is over")
    yield from _refused(app, "user", "initiate once more: only one of ten was a minute ago")


def _half_open(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user")
    yield from wait(MINUTE)
    where = "initiate a minute after ten"
    for _ in range(LIMIT):
        expect((yield from send(app.initiate("user"))), CREATED, where)
    yield from _refused(app, "user", "and once more")


def _any_window(kit: Kit) -> Steps[None]:
    # A window that starts with the clock's minute admits twenty around its start: of three
    # users who begin at different moments at least two meet one.
    app = yield from new_app(kit)
    for number in range(3):
        user = f"user-{number}"
        yield from fill(app, user)
        yield from wait(MINUTE - 2 * FEW)
        yield from _refused(app, user, "initiate 50 seconds after ten")
        yield from wait(6 * FEW)


def _sliding(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user", LIMIT // 2)
    yield from wait(MINUTE / 2)
    yield from fill(app, "user", LIMIT // 2)
    yield from _refused(app, "user", "initiate after five and five")
    yield from wait(MINUTE / 2)
    where = "initiate a minute after the first five"
    for _ in range(LIMIT // 2):
        expect((yield from send(app.initiate("user"))), CREATED, where)
    yield from _refused(app, "user", "initiate with the other five within the minute")


def _what_costs_nothing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    reader = yield from second_key(kit, app, frozenset())
    key = app.new_key()
    yield from send(app.create("user", key=key))
    bad = {"appUserId": "user", "extra": 1}
    for _ in range(LIMIT):
        for request in (
            app.request("POST", "/curae-connect/initiate", bad, key=app.new_key()),
            app.initiate("user", key="k k"),
            app.initiate("user", key=key),
            reader.initiate("user"),
            app.account_state("user"),
        ):
            yield from send(request)
    where = "initiate after many requests that cost the app user nothing"
    for _ in range(LIMIT):
        expect((yield from send(app.initiate("user"))), CREATED, where)


def _at_once(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    requests = tuple([app.initiate("user") for _ in range(2 * LIMIT)])
    answers = yield from together(requests)
    where = f"{2 * LIMIT} initiates of one user at once"
    for each in answers:
        if each.status != CREATED:
            expect_problem(each, 429, "RATE_LIMITED", where)
    admitted = sum(each.status == CREATED for each in answers)
    same(admitted, LIMIT, "how many were admitted", where)


def _graduations(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    other = yield from new_app(kit, account=app.wanted.customer_account_id)
    yield from fill(app, "user")
    for number in range(LIMIT):
        where = f"graduation hand-off number {number + 1}, with the initiates used up"
        expect((yield from send(app.graduate("user"))), CREATED, where)
    for each in (app, other):
        answer = yield from send(each.graduate("user"))
        limited(answer, "graduation", 60, LIMIT, f"graduation hand-off number {LIMIT + 1}")
    answer = yield from send(app.graduate("another"))
    expect_problem(answer, 409, "BINDING_NOT_LIMITED", "graduate another user")


def _graduations_leave_initiates(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for _ in range(LIMIT + 1):
        yield from send(app.graduate("user"))
    where = "initiate with the graduation hand-offs used up"
    expect((yield from send(app.initiate("user"))), CREATED, where)


def _reads_are_free(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from fill(app, "user")
    for number in range(3 * LIMIT):
        where = f"account state number {number + 1}"
        expect((yield from send(app.account_state("user"))), OK, where)


# --- The standard buckets -------------------------------------------------------------------

SMALL: Final = Bucket("kit", 4, 1, 60)
"""Four at once, one back every minute."""


def _with_buckets(kit: Kit, *buckets: Bucket) -> Steps[App]:
    app = yield from new_app(kit)
    yield from use("replace_buckets", buckets)
    return app


def _emptied(app: App) -> Steps[None]:
    for _ in range(SMALL.capacity):
        expect((yield from send(app.account_state("user"))), OK, "a request with a full bucket")


def _empty(app: App, where: str) -> Steps[int]:
    answer = yield from send(app.account_state("user"))
    return limited(answer, SMALL.name, SMALL.window, SMALL.capacity, where)


def _bucket(kit: Kit) -> Steps[None]:
    app = yield from _with_buckets(kit, SMALL)
    other = yield from second_key(kit, app)
    yield from _emptied(app)
    seconds = SMALL.window
    for _ in range(3):
        seconds = yield from _empty(app, "a request with an empty bucket")
    if not 60 - 5 <= seconds <= 60:  # noqa: PLR2004 - one comes back every minute
        raise NotConformingError(f"it is to wait {seconds} s", "one comes back every 60 s")
    expect((yield from send(other.account_state("user"))), OK, "another API key of the app")


def _bucket_refills(kit: Kit) -> Steps[None]:
    app = yield from _with_buckets(kit, SMALL)
    yield from _emptied(app)
    seconds = 0
    for _ in range(3):
        seconds = yield from _empty(app, "a request with an empty bucket")
    yield from wait(timedelta(seconds=seconds))
    where = "a request when the wait is over, with nothing but refusals in between"
    expect((yield from send(app.account_state("user"))), OK, where)
    yield from _empty(app, "the request after that")
    yield from wait(2 * SMALL.window * MOMENT)
    yield from _emptied(app)
    yield from _empty(app, "a request after a long rest and as many as the bucket holds")


def _what_buckets_charge(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    reader = yield from second_key(kit, app, frozenset())
    pending = id_of((yield from create(app)))
    key = app.new_key()
    replayed = app.revoke(pending, key=key)
    yield from send(replayed)
    for name, request, costs in (
        ("a replay", replayed, True),
        ("a 404", app.get(kit.names.uuid()), True),
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
        expect_problem((yield from send(reader.create("user"))), 403, "SCOPE_INSUFFICIENT", "a 403")
    where = "a read after many answers 403"
    expect((yield from send(reader.account_state("user"))), OK, where)


def _charges(app: App, name: str, request: Request, *, costs: bool) -> Steps[None]:
    yield from use("replace_buckets", (SMALL,))
    for _ in range(SMALL.capacity):
        answer = yield from send(request)
        if answer.status == 429:  # noqa: PLR2004 - HTTP's own number
            raise NotConformingError("it was charged more than once", name)
    answer = yield from send(app.account_state("user"))
    if costs and answer.status == OK:
        raise NotConformingError("it was not charged", name)
    if not costs and answer.status != OK:
        raise NotConformingError(f"it was charged: then {told(answer)}", name)


def _all_or_nothing(kit: Kit) -> Steps[None]:
    wide = Bucket("wide", 2 * LIMIT, 1, 3600)
    app = yield from _with_buckets(kit, wide)
    yield from fill(app, "user")
    for number in range(LIMIT):
        yield from _refused(app, "user", f"refusal number {number + 1} of the app user's limit")
    for number in range(LIMIT):
        where = f"read number {number + 1}: refusals of the app user's limit charge no bucket"
        expect((yield from send(app.account_state("user"))), OK, where)
    yield from use("replace_buckets", (SMALL, wide))
    yield from _emptied(app)
    for _ in range(2 * LIMIT):
        yield from _empty(app, "a request with the first of two buckets empty")
    yield from use("replace_buckets", (wide, SMALL))
    yield from _emptied(app)
    yield from _empty(app, "a request with the second of two buckets empty")


def _second_bucket_kept(kit: Kit) -> Steps[None]:
    tight, wide = Bucket("tight", 1, 1, 5), Bucket("wide", 4, 1, 3600)
    app = yield from _with_buckets(kit, tight, wide)
    for number in range(wide.capacity):
        where = f"read number {number + 1}, five seconds after the last"
        expect((yield from send(app.account_state("user"))), OK, where)
        for _ in range(2 * wide.capacity):
            yield from send(app.account_state("user"))
        yield from wait(FEW)
    answer = yield from send(app.account_state("user"))
    expect_problem(answer, 429, "RATE_LIMITED", "a read with the wide bucket empty")


def _bucket_order(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    request = app.initiate("user", key=app.new_key())
    yield from send(request)
    yield from fill(app, "user", LIMIT - 1)
    yield from use("replace_buckets", (SMALL,))
    yield from _emptied(app)
    stranger = attrs.evolve(app, api_key="cae_live_nobody")
    where = "with an empty bucket"
    expect_problem((yield from send(stranger.get("x"))), 401, "UNAUTHENTICATED", where)
    expect_problem((yield from send(app.request("GET", "/x"))), 404, "NOT_FOUND", where)
    expect_problem((yield from send(app.get("x"))), 400, "BAD_REQUEST", where)
    for name, each in (
        ("a replay", request),
        ("an initiate at the app user's limit", app.initiate("user")),
        ("an unknown id", app.get(kit.names.uuid())),
    ):
        answer = yield from send(each)
        limited(answer, SMALL.name, SMALL.window, SMALL.capacity, f"{name} {where}")


_LIMIT: Final = ("request.limit", "problem.rate-limited")
_BUCKETS: Final = ("request.buckets", "problem.rate-limited")

CHECKS: Final = (
    Check(
        "request.limit",
        "At most ten initiates of one user are admitted in a minute; the refusal says how long.",
        _eleventh,
        laws=(10,),
        rules=_LIMIT,
    ),
    Check(
        "limit.across-apps",
        "The limit counts a user across the apps and keys of one customer account, and no other.",
        _across_apps,
        laws=(10,),
        rules=_LIMIT,
    ),
    Check(
        "limit.refusals-are-free",
        "A refused initiate is not charged and makes no wait longer.",
        _refusals_are_free,
        laws=(10,),
        rules=_LIMIT,
        hooks=("pass_time",),
        passes=MINUTE + FEW,
    ),
    Check(
        "limit.retry-after",
        "After the wait that a refusal tells one more is admitted, and not before.",
        _retry_after,
        laws=(10,),
        rules=_LIMIT,
        hooks=("pass_time",),
        passes=MINUTE,
    ),
    Check(
        "limit.half-open",
        "A minute after ten initiates ten more are admitted.",
        _half_open,
        laws=(10,),
        rules=_LIMIT,
        hooks=("pass_time",),
        passes=MINUTE,
    ),
    Check(
        "limit.any-window",
        "No minute holds more than ten, wherever it begins.",
        _any_window,
        laws=(10,),
        rules=_LIMIT,
        hooks=("pass_time",),
        passes=3 * (MINUTE + 4 * FEW),
    ),
    Check(
        "limit.sliding",
        "What was admitted a minute ago makes room, and nothing else does.",
        _sliding,
        laws=(10,),
        rules=_LIMIT,
        hooks=("pass_time",),
        passes=MINUTE,
    ),
    Check(
        "limit.costs-nothing",
        "Answers 400, 403 and 422 and account states cost the app user nothing.",
        _what_costs_nothing,
        laws=(10,),
        rules=("request.limit", "operation.account-state"),
    ),
    Check(
        "limit.at-once",
        "Of twenty initiates at once exactly ten are admitted.",
        _at_once,
        laws=(10,),
        rules=_LIMIT,
    ),
    Check(
        "limit.graduation",
        "Graduation hand-offs have a limit of their own, counted like the initiates'.",
        _graduations,
        laws=(10,),
        rules=("request.limit", "operation.graduation-handoff"),
    ),
    Check(
        "limit.graduation-leaves-initiates",
        "Graduation hand-offs use up no initiate.",
        _graduations_leave_initiates,
        rules=("request.limit",),
    ),
    Check(
        "limit.reads-are-free",
        "An account state is told also at the limit.",
        _reads_are_free,
        rules=("operation.account-state",),
    ),
    Check(
        "request.buckets",
        "A standard bucket belongs to one API key, admits what it holds, and then says how long.",
        _bucket,
        rules=_BUCKETS,
        hooks=("replace_buckets",),
    ),
    Check(
        "bucket.refills",
        "A bucket refills with time alone, and never beyond what it holds.",
        _bucket_refills,
        rules=_BUCKETS,
        hooks=("replace_buckets", "pass_time"),
        passes=9 * MINUTE,
    ),
    Check(
        "bucket.charges",
        "Every request is charged that is not refused with 400, 401 or 403 or an unknown path.",
        _what_buckets_charge,
        rules=_BUCKETS,
        hooks=("replace_buckets",),
    ),
    Check(
        "bucket.all-or-nothing",
        "Where one limit refuses none is charged, and the one that refuses is named.",
        _all_or_nothing,
        rules=_BUCKETS,
        hooks=("replace_buckets",),
    ),
    Check(
        "bucket.refusals-drain-no-other",
        "Refusals of one bucket drain no other.",
        _second_bucket_kept,
        rules=_BUCKETS,
        hooks=("replace_buckets", "pass_time"),
        passes=4 * FEW,
    ),
    Check(
        "order.buckets",
        "Buckets are asked after the body and before the key's record and the app user's limit.",
        _bucket_order,
        rules=("request.buckets",),
        hooks=("replace_buckets",),
    ),
)
