"""What an implementer gives the kit: a way to send, a way to get a key, and a few hooks.

The law of this module: **the kit knows a server only through these functions**. A hook that is
`None` is not there; the checks that need it are reported as not run, by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Coordinate, Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request

UNLIMITED_TIME: Final = timedelta.max
"""The patience of a kit whose `pass_time` moves a clock instead of waiting."""

WRITING: Final = frozenset({CONNECTION_WRITE})
"""The scopes of a key that may do everything."""


@attrs.frozen
class ApiKeyRequest:
    """What the kit wants an API key for; two equal wants are two keys all the same.

    Attributes:
        app_id: The SDK app; make it where it is unknown.
        customer_account_id: The customer account, a UUID; make it where it is unknown.
        environment: Live or test.
        scopes: What the key may do; empty for a key that may only read.
    """

    app_id: str
    customer_account_id: str
    environment: Environment = Environment.LIVE
    scopes: frozenset[str] = WRITING


Outbox = Sequence[Mapping[str, object]]
"""Events and effects as JSON, in the order in which they left or will leave."""


@attrs.frozen
class Server:
    """A server, as the kit sees it.

    A hook that records a fact may return what the server made of it, in the words of a log's
    answer: `done`, `ignored`, or the code of the problem that it refused with. `None` says
    nothing; the kit then goes by what can be read afterwards. A refusal is no exception.

    Attributes:
        send: Answers a request.
        make_key: Makes a new API key and returns its text, as it stands after `Bearer`.
        pass_time: Moves the server's clock on by so much, or waits for so long.
        authorize: The patient authorizes a connection (its id) on the hosted page, for so long;
            `None`: without an end.
        authorize_late: The same without an end, recorded now though it happened so long ago; a
            span below zero is a clock that is ahead.
        require_action: The patient must act on a connection (id, reason).
        expire: The upstream ends the authorization of a connection (id).
        revoke: Somebody else than the app revokes a connection (id, who).
        revoke_late: The same, recorded now though it happened so long ago, as above.
        complete_handoff: The sign-up page of a session lands (session id, platform user id).
        graduate: The LIMITED user of a coordinate becomes ACTIVE; the user id is the one that
            claims it, `None` for the user who is bound.
        tombstone: The platform's user of a coordinate is gone.
        may_read: Whether the server would let a data package be read over a connection now.
        replace_buckets: Every key gets these standard buckets alone, full; `None` brings the
            server's own back.
        register_again: An API key (its text) stands for another app from now on, under the id
            that it had.
        withdraw: An API key (its text) stands for nobody from now on.
        finish: A person follows the URL of a next action and does what the page asks for. Beside
            the words of a fact it may say `gone` where the URL leads nowhere.
        cancel: The same, but the person says no.
        purge: Drops what is over and may be dropped.
        outbox: Every event, and every effect, that has left since the server began or waits to
            leave: an event as the AsyncAPI document has it; an effect as `{kind, ...}`, its kind
            the name of the library's class.
        race_rounds: How often each race is run, for a server that may be called from several
            threads at once, hooks that record facts among them.
        environment: The one environment that the server serves; `None` for both.
        max_time_per_check: The longest time that one check may let pass. Leave it where `pass_time` moves
            a clock; make it small where it really waits.
        varying_headers: Names, in lower case, of response headers that the server's front sets
            anew each time, such as a request id. `Date` and its like need no mention.
    """

    send: Callable[[Request], Response]
    make_key: Callable[[ApiKeyRequest], str]
    pass_time: Callable[[timedelta], object] | None = None
    authorize: Callable[[str, timedelta | None], str | None] | None = None
    authorize_late: Callable[[str, timedelta], str | None] | None = None
    require_action: Callable[[str, str], str | None] | None = None
    expire: Callable[[str], str | None] | None = None
    revoke: Callable[[str, Actor], str | None] | None = None
    revoke_late: Callable[[str, Actor, timedelta], str | None] | None = None
    complete_handoff: Callable[[str, str], str | None] | None = None
    graduate: Callable[[Coordinate, str | None], str | None] | None = None
    tombstone: Callable[[Coordinate], str | None] | None = None
    may_read: Callable[[str, str], bool] | None = None
    replace_buckets: Callable[[tuple[Bucket, ...] | None], object] | None = None
    register_again: Callable[[str, ApiKeyRequest], object] | None = None
    withdraw: Callable[[str], object] | None = None
    finish: Callable[[str], str | None] | None = None
    cancel: Callable[[str], str | None] | None = None
    purge: Callable[[], object] | None = None
    outbox: Callable[[], Outbox] | None = None
    race_rounds: int | None = None
    environment: Environment | None = None
    max_time_per_check: timedelta = UNLIMITED_TIME
    varying_headers: frozenset[str] = frozenset()


@attrs.frozen
class AsyncServer:
    """A server whose functions are coroutine functions; everything else is as in `Server`."""

    send: Callable[[Request], Awaitable[Response]]
    make_key: Callable[[ApiKeyRequest], Awaitable[str]]
    pass_time: Callable[[timedelta], Awaitable[object]] | None = None
    authorize: Callable[[str, timedelta | None], Awaitable[str | None]] | None = None
    authorize_late: Callable[[str, timedelta], Awaitable[str | None]] | None = None
    require_action: Callable[[str, str], Awaitable[str | None]] | None = None
    expire: Callable[[str], Awaitable[str | None]] | None = None
    revoke: Callable[[str, Actor], Awaitable[str | None]] | None = None
    revoke_late: Callable[[str, Actor, timedelta], Awaitable[str | None]] | None = None
    complete_handoff: Callable[[str, str], Awaitable[str | None]] | None = None
    graduate: Callable[[Coordinate, str | None], Awaitable[str | None]] | None = None
    tombstone: Callable[[Coordinate], Awaitable[str | None]] | None = None
    may_read: Callable[[str, str], Awaitable[bool]] | None = None
    replace_buckets: Callable[[tuple[Bucket, ...] | None], Awaitable[object]] | None = None
    register_again: Callable[[str, ApiKeyRequest], Awaitable[object]] | None = None
    withdraw: Callable[[str], Awaitable[object]] | None = None
    finish: Callable[[str], Awaitable[str | None]] | None = None
    cancel: Callable[[str], Awaitable[str | None]] | None = None
    purge: Callable[[], Awaitable[object]] | None = None
    outbox: Callable[[], Awaitable[Outbox]] | None = None
    race_rounds: int | None = None
    environment: Environment | None = None
    max_time_per_check: timedelta = UNLIMITED_TIME
    varying_headers: frozenset[str] = frozenset()


HOOKS: Final = tuple(field.name for field in attrs.fields(Server) if field.default is None)
"""What a server may leave out; a check names what it needs of it."""
