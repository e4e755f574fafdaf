"""The server under test, as functions: one sends a request, one makes an API key, others are hooks.

The law of this module: **the kit knows a server only through these functions**. A server lacks a
hook that is `None`. Checks that need the hook are reported as not run, by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.errors import ArgumentError, describe
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Coordinate, Environment, check_type
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request

UNLIMITED_TIME: Final = timedelta.max
"""The default of `Server.max_time_per_check`: a check may let any time pass on the server's clock.

It is for servers whose clock the function `pass_time` moves, instead of really waiting.
"""

WRITING: Final = frozenset({CONNECTION_WRITE})
"""The scopes of an API key that may call every operation of the library."""


@attrs.frozen
class ApiKeyRequest:
    """The kit's request for a new API key; each request must give a different key.

    Attributes:
        app_id: The id of the SDK app. Create the app if it does not exist.
        customer_account_id: The UUID of the customer account. Create the account if it does not
            exist.
        environment: Live or test.
        scopes: The scopes of the key. Without scopes the key may only read.
    """

    app_id: str
    customer_account_id: str
    environment: Environment = Environment.LIVE
    scopes: frozenset[str] = WRITING


Outbox = Sequence[Mapping[str, object]]
"""The events and effects (tasks beside storing) of a server, as JSON objects in delivery order."""


def _lower_case(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise ArgumentError("varying_headers", "a set of names", describe(names))
    return frozenset([name.lower() for name in names])


@attrs.frozen
class Server:
    """The server under test, as blocking functions.

    Only `send` and `make_key` are required. The other functions are hooks, by which the kit does
    what no request can, such as recording a fact. Each hook lets more checks run. If a hook is
    `None`, the checks that need it are not run.

    A hook that records a fact may return its outcome: `done`, `ignored`, or the code of the problem
    that refused the fact. If the hook returns `None`, the kit judges only what later requests show.
    The hook must not raise when the server refuses the fact. A hook that cannot do what a check
    asks for raises `NotSeenError` with the reason; the check is then not run.

    A *coordinate* is one user of one SDK app, in the test or live environment.

    Attributes:
        send: Sends a request and returns the response.
        make_key: Makes a new API key and returns its text: what follows `Bearer` in the header.
        pass_time: Moves the server's clock forward by a span, or waits for that long.
        turn_clock_back: Moves the server's clock back by a span, as an operator does who corrects a
            clock that was ahead. Nothing else changes.
        authorize: Lets the patient authorize a connection on the hosted page. Takes the
            connection's id and how long the authorization lasts; `None` means without an end.
        authorize_late: Records now that the patient authorized a connection some time ago, with no
            end. Takes the connection's id and how long ago. A negative span comes from a clock that
            is ahead.
        require_action: Records that the patient must act. Takes the connection's id and the reason.
        expire: Records that the upstream ended the authorization. Takes the connection's id.
        revoke: Revokes a connection for the patient, the platform or the upstream. Takes the
            connection's id and the actor.
        revoke_late: Records now that a connection was revoked some time ago. Takes the connection's
            id, the actor and how long ago, as in `authorize_late`.
        complete_handoff: Records that a user completed the sign-up page of a session. Takes the
            session's id and the platform's user id.
        graduate: Records that the LIMITED user of a coordinate became ACTIVE. Takes the coordinate
            and the id of the user who graduated; `None` means the bound user.
        tombstone: Records that the user of a coordinate is gone, as a new tombstone each time.
        record_fact: Records any fact of the library now. Takes the fact. The kit calls it for facts
            that no other hook records.
        may_read: Returns whether the server would now let a data package be read. Takes the
            connection's id and the package.
        replace_buckets: Replaces every key's standard rate-limit buckets with the given ones, full.
            `None` restores the server's own buckets.
        register_again: Registers an existing API key for another app, account or scopes. The key
            keeps its id. Takes the key's text and the new registration.
        change_key_id: Registers an existing API key again, under an id that no key had before.
            Takes the key's text and the registration.
        withdraw: Withdraws an API key. From then on the key is unknown. Takes the key's text.
        finish: Opens the URL of a next action and completes its page. Besides the outcome of a
            fact, it may return `gone` if the URL leads nowhere.
        cancel: Opens the URL of a next action and declines on its page. It returns the same values
            as `finish`.
        purge: Drops the expired values that the server may drop.
        outbox: Returns every event and every effect since the server started, delivered or not.
            An event has the form of the AsyncAPI document. An effect is `{kind, ...}`; its kind is
            the name of the library's class.
        race_rounds: How often each race is run. Set it only if `send` and the hooks that record
            facts may be called concurrently.
        environment: The only environment that the server serves; `None` if it serves both.
        max_time_per_check: The longest time that one check may let pass. Keep the default if
            `pass_time` moves a clock; choose a short time if it really waits.
        varying_headers: Names, in any case, of response headers that differ on each response, such
            as a request id. Headers like `Date` need not be listed.
    """

    send: Callable[[Request], Response]
    make_key: Callable[[ApiKeyRequest], str]
    pass_time: Callable[[timedelta], object] | None = None
    turn_clock_back: Callable[[timedelta], object] | None = None
    authorize: Callable[[str, timedelta | None], str | None] | None = None
    authorize_late: Callable[[str, timedelta], str | None] | None = None
    require_action: Callable[[str, str], str | None] | None = None
    expire: Callable[[str], str | None] | None = None
    revoke: Callable[[str, Actor], str | None] | None = None
    revoke_late: Callable[[str, Actor, timedelta], str | None] | None = None
    complete_handoff: Callable[[str, str], str | None] | None = None
    graduate: Callable[[Coordinate, str | None], str | None] | None = None
    tombstone: Callable[[Coordinate], str | None] | None = None
    record_fact: Callable[[Fact], str | None] | None = None
    may_read: Callable[[str, str], bool] | None = None
    replace_buckets: Callable[[tuple[Bucket, ...] | None], object] | None = None
    register_again: Callable[[str, ApiKeyRequest], object] | None = None
    change_key_id: Callable[[str, ApiKeyRequest], object] | None = None
    withdraw: Callable[[str], object] | None = None
    finish: Callable[[str], str | None] | None = None
    cancel: Callable[[str], str | None] | None = None
    purge: Callable[[], object] | None = None
    outbox: Callable[[], Outbox] | None = None
    race_rounds: int | None = None
    environment: Environment | None = None
    max_time_per_check: timedelta = UNLIMITED_TIME
    varying_headers: frozenset[str] = attrs.field(default=frozenset(), converter=_lower_case)

    def __attrs_post_init__(self) -> None:
        _check_fields(self)


@attrs.frozen
class AsyncServer:
    """The server under test, as coroutine functions. The fields mean the same as in `Server`.

    Only `send` and `make_key` are required. The other functions are hooks, by which the kit does
    what no request can, such as recording a fact.
    """

    send: Callable[[Request], Awaitable[Response]]
    make_key: Callable[[ApiKeyRequest], Awaitable[str]]
    pass_time: Callable[[timedelta], Awaitable[object]] | None = None
    turn_clock_back: Callable[[timedelta], Awaitable[object]] | None = None
    authorize: Callable[[str, timedelta | None], Awaitable[str | None]] | None = None
    authorize_late: Callable[[str, timedelta], Awaitable[str | None]] | None = None
    require_action: Callable[[str, str], Awaitable[str | None]] | None = None
    expire: Callable[[str], Awaitable[str | None]] | None = None
    revoke: Callable[[str, Actor], Awaitable[str | None]] | None = None
    revoke_late: Callable[[str, Actor, timedelta], Awaitable[str | None]] | None = None
    complete_handoff: Callable[[str, str], Awaitable[str | None]] | None = None
    graduate: Callable[[Coordinate, str | None], Awaitable[str | None]] | None = None
    tombstone: Callable[[Coordinate], Awaitable[str | None]] | None = None
    record_fact: Callable[[Fact], Awaitable[str | None]] | None = None
    may_read: Callable[[str, str], Awaitable[bool]] | None = None
    replace_buckets: Callable[[tuple[Bucket, ...] | None], Awaitable[object]] | None = None
    register_again: Callable[[str, ApiKeyRequest], Awaitable[object]] | None = None
    change_key_id: Callable[[str, ApiKeyRequest], Awaitable[object]] | None = None
    withdraw: Callable[[str], Awaitable[object]] | None = None
    finish: Callable[[str], Awaitable[str | None]] | None = None
    cancel: Callable[[str], Awaitable[str | None]] | None = None
    purge: Callable[[], Awaitable[object]] | None = None
    outbox: Callable[[], Awaitable[Outbox]] | None = None
    race_rounds: int | None = None
    environment: Environment | None = None
    max_time_per_check: timedelta = UNLIMITED_TIME
    varying_headers: frozenset[str] = attrs.field(default=frozenset(), converter=_lower_case)

    def __attrs_post_init__(self) -> None:
        _check_fields(self)


HOOKS: Final = tuple(field.name for field in attrs.fields(Server) if field.default is None)
"""The names of the hooks, by which the kit does what no request can, such as `expire`.

They are the optional fields of `Server` that are `None` by default, and include `race_rounds` and
`environment`, which are values and no functions.
"""

_VALUES: Final = frozenset({"race_rounds", "environment", "max_time_per_check", "varying_headers"})
"""The fields of `Server` that are no functions."""


def _check_fields(server: Server | AsyncServer) -> None:
    for field in attrs.fields(type(server)):
        value: object = getattr(server, field.name)
        is_absent_hook = value is None and field.name in HOOKS
        if field.name not in _VALUES and not callable(value) and not is_absent_hook:
            raise ArgumentError(field.name, "a function", describe(value))
    if server.race_rounds is not None:
        allowed = "None or an integer"
        check_type("race_rounds", server.race_rounds, int, allowed=allowed)
        if isinstance(server.race_rounds, bool):
            raise ArgumentError("race_rounds", allowed, describe(server.race_rounds))
    if server.environment is not None:
        check_type("environment", server.environment, Environment, allowed="None or an Environment")
    span, allowed = server.max_time_per_check, "a timedelta that is not negative"
    check_type("max_time_per_check", span, timedelta, allowed=allowed)
    if span < timedelta(0):
        raise ArgumentError("max_time_per_check", allowed)
