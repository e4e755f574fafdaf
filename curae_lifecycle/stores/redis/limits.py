"""Stores that keep the rate limits in Redis or Valkey and everything else in another store.

The laws of this module:

- **Every admitted request was charged first.** Limits are charged before the other store commits,
  so no failure admits an uncharged request.
- **A charge is given back if the other store refuses the commit.**
- **A charge reads the bucket's state at commit time**, so concurrent requests of one API key do not
  conflict.

If it is unknown whether the other store committed, the charge stays. It also stays if the worker
crashes before it gives the charge back. So a failure can refuse too many requests for one window,
and never admits too many.

Keys hold digests only, so they identify no person. All limits of a customer account are on one node
of a cluster. Redis keeps a state until it has expired by the clock of the charge, and five minutes
longer. So the clock of Redis itself may show any time.

If Redis loses a state, it admits those requests again. So set `maxmemory-policy noeviction` and
`appendonly yes`. Also set `appendfsync always` if a crash of the machine may not lose a second of
charges.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, cast

import attrs
import redis
from redis.exceptions import (
    ClusterError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState, RateState
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    SECOND,
    from_epoch_microseconds,
    to_epoch_microseconds,
)
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey, RateKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.codec import load
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    Store,
    StoreFullError,
    StoreUnavailableError,
    StoreUnchangedError,
)
from curae_lifecycle.stores.formats import Document, NewerFormatError, number_document
from curae_lifecycle.stores.keys import key_of, rate_key
from curae_lifecycle.stores.redis.clients import AsyncRedis, Redis, Value
from curae_lifecycle.stores.redis.scripts import CHARGE, GIVE_BACK, Script
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store
from curae_lifecycle.stores.wiring import check_async_store, check_store
from curae_lifecycle.web.json import MalformedError

_FORM: Final = 1
"""The form in which the states of limits are stored. The module `scripts` describes it."""

_NEWER_FORM: Final = re.compile(r"[2-9]|[1-9][0-9]{1,8}")
_BUCKET_TEXT: Final = re.compile(rf"{_FORM}(?: -?[0-9]{{1,16}}){{9}}")
_LOG_TEXT: Final = re.compile(rf"{_FORM}(?: [0-9a-f]{{16}})+")

_TRANSIENT_ERRORS: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    OutOfMemoryError,
    ReadOnlyError,
    # The slots move or are down, or redirections did not end.
    ClusterError,
    # No node of a cluster responds, or none has the keys.
    RedisClusterException,
    TryAgainError,
)

_TRANSIENT_CODES: Final = frozenset({"BUSY", "MISCONF", "NOREPLICAS"})
"""Codes of temporary errors that redis-py raises as a plain `ResponseError`.

A script runs too long, the server cannot persist its data, or too few replicas are connected.
"""


class RedisLimitsStore:
    """A `Store` that keeps rate limits in Redis and everything else in another `Store`.

    Args:
        store: The store for everything else, called "the other store" below.
        client: A client that never retries, since a repeated command could charge twice, such as
            one from `create_client` or a `ClusterClient`.

    Raises:
        ArgumentError: `store` is async, or no store.
    """

    def __init__(self, store: Store, client: Redis) -> None:
        check_store(store, "AsyncRedisLimitsStore")
        self._store = AsyncRedisLimitsStore(as_async_store(store), _AsyncClient(client))

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return an API key's caller from the constructor's `store`, or None for an unknown key."""
        return run_sync(self._store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load the rate limits from Redis, and all other values and `now` from the other store.

        The other store is the constructor's argument `store`.

        Args:
            needs: Names the values to load, by their ids and other keys.
            key_digest: The digest of the API key whose caller is loaded as well; `None` for a fact.

        Raises:
            StoreUnavailableError: Redis or the other store failed.
            NewerFormatError: A newer release stored a limit in a form that this one cannot read.
            MalformedError: The text of a limit is not one that this library wrote.
        """
        return run_sync(self._store.load(needs, key_digest))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Charge the limits in Redis, then commit everything else to the other store.

        The other store is the constructor's argument `store`. If it certainly stored nothing, the
        charge is given back.

        Args:
            loaded: The result of this store's `load` that the changes were decided from.
            changes: The changes, with the charges of rate limits among their writes.
            page: The hosted page for the other store to register, whose URL the answer hands out;
                `None` if there is none.

        Returns:
            True if everything was stored. False on a conflict, or if a limit no longer admits the
            request: load again and decide again.

        Raises:
            StoreFullError: The other store is full. The charge was given back.
            StoreUnchangedError: The other store failed and stored nothing. The charge was given
                back.
            StoreUnavailableError: Redis or the other store failed. The charge may stay.
            ArgumentError: `loaded` is not a result of this store's `load`.
        """
        return run_sync(self._store.commit(loaded, changes, page))


class AsyncRedisLimitsStore:
    """An `AsyncStore` that keeps rate limits in Redis and everything else in another `AsyncStore`.

    Args:
        store: The store for everything else, called "the other store" below.
        client: An async client that never retries, since a repeated command could charge twice,
            such as one from `create_client_async` or `create_cluster_client_async`.

    Raises:
        ArgumentError: `store` is blocking, or no store.
    """

    def __init__(self, store: AsyncStore, client: AsyncRedis) -> None:
        check_async_store(store, "RedisLimitsStore")
        self._store = store
        self._client = client

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Return an API key's caller from the constructor's `store`, or None for an unknown key."""
        return await self._store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load the rate limits from Redis, and all else from the constructor's argument `store`.

        The result also holds the caller of the API key with the digest `key_digest`, and the
        instant of the load by the clock of `store`. Errors are as for `RedisLimitsStore.load`.

        Args:
            needs: Names the values to load, by their ids and other keys.
            key_digest: The digest of an API key; `None` for a fact.
        """
        loaded = await self._store.load(_without_limits(needs), key_digest)
        keys = _rate_keys(needs)
        if not keys:
            return _with_limits(needs, loaded, ())
        with _store_errors():
            held = await self._client.execute_command("MGET", *map(_name, keys))
        return _with_limits(needs, loaded, _states(keys, held))

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Charge the limits in Redis, then commit the rest to the constructor's argument `store`.

        If `store` certainly stored nothing, the charge is given back. Errors are as for
        `RedisLimitsStore.commit`.

        Args:
            loaded: The result of this store's `load` that the changes were decided from.
            changes: The changes, with the charges of rate limits among their writes.
            page: The hosted page for `store` to register; `None` if there is none.

        Returns:
            True if everything was stored. False on a conflict, or if a limit no longer admits the
            request.
        """
        inner, others, charge = _split(loaded, changes)
        if charge is None:
            return await self._store.commit(inner, others, page)
        result = await self._run(CHARGE, charge.names, charge.charge_arguments())
        if result is None:
            return False
        if page is None and others == NO_CHANGES:
            return True
        try:
            stored = await self._store.commit(inner, others, page)
        except (StoreFullError, StoreUnchangedError, ArgumentError):
            await self._run(GIVE_BACK, charge.names, charge.give_back_arguments(result))
            raise
        if not stored:
            await self._run(GIVE_BACK, charge.names, charge.give_back_arguments(result))
        return stored

    async def _run(
        self, script: Script, names: Sequence[str], arguments: Sequence[Value]
    ) -> object:
        parameters = (len(names), *names, *arguments)
        with _store_errors():
            try:
                return await self._client.execute_command("EVALSHA", script.digest, *parameters)
            except NoScriptError:
                return await self._client.execute_command("EVAL", script.text, *parameters)


@attrs.frozen
class _AsyncClient:
    """A blocking client as an async one; its commands block and never suspend."""

    client: Redis = attrs.field(repr=False)

    async def execute_command(self, *command: Value) -> object:
        return self.client.execute_command(*command)


# --- Loading ----------------------------------------------------------------------------------


def _without_limits(needs: Needs) -> Needs:
    return attrs.evolve(needs, buckets=(), limit=None)


def _rate_keys(needs: Needs) -> tuple[RateKey, ...]:
    return needs.buckets if needs.limit is None else (*needs.buckets, needs.limit)


def _with_limits(needs: Needs, loaded: Loaded, states: Sequence[RateState | None]) -> Loaded:
    # `seen` keeps what the other store loaded, which `commit` passes back to that store.
    limit = None if needs.limit is None else states[-1]
    buckets = tuple(states[: len(needs.buckets)])
    snapshot = attrs.evolve(loaded.snapshot, buckets=buckets, limit=limit)
    return Loaded(caller=loaded.caller, snapshot=snapshot, now=loaded.now, seen=loaded)


def _name(key: RateKey) -> str:
    # A cluster places a key by the part in braces: all keys of an account are on one node.
    owner = key.owner if isinstance(key, BucketKey) else key.app_user
    return f"curae:{{{key_of(owner.customer_account_id)}}}:{rate_key(key)}"


def _states(keys: Sequence[RateKey], held: object) -> list[RateState | None]:
    return [_state(key, text) for key, text in zip(keys, _texts(held), strict=True)]


def _texts(result: object) -> list[str]:
    # Texts may be bytes, and damaged ones may be no UTF-8. A missing value becomes an empty text.
    assert isinstance(result, list)  # noqa: S101 - MGET and `CHARGE` return lists
    parts = cast("list[bytes | str | None]", result)
    return [
        each.decode(errors="replace") if isinstance(each, bytes) else each or "" for each in parts
    ]


def _state(key: RateKey, held: str) -> RateState | None:
    if not held:
        return None
    form, *parts = held.split(" ")
    is_log = isinstance(key, LimitKey)
    kind = LogState if is_log else BucketState
    if _NEWER_FORM.fullmatch(form):
        raise NewerFormatError(kind.__name__, int(form), _FORM)
    if not (_LOG_TEXT if is_log else _BUCKET_TEXT).fullmatch(held):
        raise MalformedError(None, Fault.INVALID)
    # `load` checks the values, as for the other stores.
    if is_log:
        instants: list[Json] = [*LogState(bytes.fromhex("".join(parts))).microseconds]
        return load(LogState, number_document(kind.__name__, {"instants": instants}))
    seconds, micros, part = map(int, parts[:3])
    members: Document = {"full_at": seconds * SECOND + micros, "part": part}
    return load(BucketState, number_document(kind.__name__, members))


# --- Charging ---------------------------------------------------------------------------------


def _split(loaded: Loaded, changes: Changes) -> tuple[Loaded, Changes, _Charge | None]:
    # Returns what the other store loaded, the changes that it commits, and the charge in Redis.
    rates = [write for write in changes.writes if isinstance(write, RateWrite)]
    others = tuple([write for write in changes.writes if not isinstance(write, RateWrite)])
    if not isinstance(loaded.seen, Loaded):
        raise ArgumentError("loaded", "a result of this store's load")
    charge = _Charge.of(rates, to_epoch_microseconds(loaded.now)) if rates else None
    return loaded.seen, attrs.evolve(changes, writes=others), charge


@attrs.frozen
class _Charge:
    """The limits that one decision charges.

    Attributes:
        at: The instant of the charge, in microseconds since 1970.
        names: The keys in Redis: those of the buckets, then that of the exact log, if any.
        buckets: The policies of the buckets, in the order of their keys.
        log: The write of the app user's exact log, if one is charged.
    """

    at: int
    names: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    log: RateWrite | None

    @classmethod
    def of(cls, rates: Sequence[RateWrite], at: int) -> _Charge:
        """Build the charge of these writes."""
        buckets = [(write.key, write.policy) for write in rates if isinstance(write.policy, Bucket)]
        logs = [write for write in rates if not isinstance(write.policy, Bucket)]
        keys = (*(key for key, _ in buckets), *(write.key for write in logs))
        log = logs[0] if logs else None
        return cls(
            at=at,
            names=tuple(map(_name, keys)),
            buckets=tuple([bucket for _, bucket in buckets]),
            log=log,
        )

    def charge_arguments(self) -> list[Value]:
        """Return the arguments of `CHARGE`."""
        margin = CLOCK_TOLERANCE // _MILLISECOND
        arguments: list[Value] = [*_time(self.at, 1), margin, len(self.buckets)]
        for bucket in self.buckets:
            token = bucket.seconds * SECOND
            most = _time(bucket.capacity * token, bucket.refill)
            arguments += [bucket.refill, *_time(token, bucket.refill), *most]
        if self.log is not None:
            left = to_epoch_microseconds(self.log.expires_at) - self.at
            arguments += [*self._log(self.log), -(-left // _MILLISECOND) + margin]
        return arguments

    def give_back_arguments(self, result: object) -> list[Value]:
        """Return the arguments of `GIVE_BACK`, given the result of `CHARGE`."""
        arguments: list[Value] = [*_time(self.at, 1), len(self.buckets)]
        for bucket, became in zip(self.buckets, _texts(result), strict=True):
            arguments += [bucket.refill, *_time(bucket.seconds * SECOND, bucket.refill), became]
        if self.log is not None:
            arguments += [
                *self._log(self.log),
                _hex(LogState.of([from_epoch_microseconds(self.at)]))[0],
            ]
        return arguments

    def _log(self, log: RateWrite) -> tuple[str, str]:
        return "" if log.before is None else _log_text(log.before), _log_text(log.after)


_MILLISECOND: Final = 1000


def _time(units: int, parts: int) -> tuple[int, int, int]:
    # Splits a time, in units of 1/parts of a microsecond, into seconds, microseconds and parts.
    whole, part = divmod(units, parts)
    return *divmod(whole, SECOND), part


def _log_text(state: RateState) -> str:
    assert isinstance(state, LogState)  # noqa: S101 - the write's policy is no bucket
    return " ".join([str(_FORM), *_hex(state)])


def _hex(state: LogState) -> list[str]:
    text = state.hex()
    return [text[place : place + 16] for place in range(0, len(text), 16)]


# --- Failures ---------------------------------------------------------------------------------


@contextmanager
def _store_errors() -> Generator[None, None, None]:
    try:
        yield
    except _TRANSIENT_ERRORS as error:
        raise StoreUnavailableError(f"Redis failed ({type(error).__name__})") from None
    except redis.ResponseError as error:
        code = str(error).partition(" ")[0]
        if code not in _TRANSIENT_CODES:
            raise
        raise StoreUnavailableError(f"Redis failed ({code})") from None
