"""Stores that keep the rate limits in Redis or Valkey and everything else in another store.

The laws of this module: **whatever was admitted was charged first**: limits are charged before the
other store commits, so no failure admits what was not charged; **what the other store refuses to
store is given back**; **buckets are charged from what they hold by then**, so requests of one API
key do not turn each other away.

Where it is not known whether the other store committed, or nobody is left to give back, the charge
stays: this store errs on the side of refusing, for as long as a window lasts.

A key names nobody: it is made of digests. All limits of a customer account are kept on one node of
a cluster. Redis drops a state by a clock of its own, so each stays for five minutes after it is
over. What Redis forgets it admits again: give it `maxmemory-policy noeviction` and `appendonly
yes`, and `appendfsync always` where a crash of its machine may not cost a second of charges.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, cast

import attrs
import redis
from redis.exceptions import (
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState, RateState
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    SECOND,
    from_epoch_microseconds,
    to_epoch_microseconds,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey, RateKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    Store,
    StoreFullError,
    StoreUnavailableError,
    StoreUnchangedError,
)
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.hosted_pages import HostedPage
from curae_lifecycle.stores.redis.clients import AsyncRedis, Redis, Value
from curae_lifecycle.stores.redis.scripts import CHARGE, GIVE_BACK, Script
from curae_lifecycle.stores.sql.keys import key_of, rate_key

_FORM: Final = 1
"""The form that limits are kept in; see `scripts`."""

_PASSING: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    # No node of a cluster answers, or none has the keys.
    RedisClusterException,
    TryAgainError,
)


class RedisLimitsStore:
    """A store whose rate limits are in Redis.

    Args:
        store: For everything else.
        client: How Redis is asked; see `clients`.
    """

    def __init__(self, store: Store, client: Redis) -> None:
        self._store = store
        self._client = client

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, from the other store."""
        return self._store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load rate limits from Redis and everything else from the other store."""
        loaded = self._store.load(_without_limits(needs), key_digest)
        keys = _rate_keys(needs)
        if not keys:
            return _with_limits(needs, loaded, ())
        with _unavailable():
            held = self._client.execute_command("MGET", *map(_name, keys))
        return _with_limits(needs, loaded, _states(keys, held))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Charge, then commit everything else; where that is refused, give back."""
        inner, others, charge = _parted(loaded, changes)
        if charge is None:
            return self._store.commit(inner, others, page)
        answer = self._run(CHARGE, charge.names, charge.arguments())
        if answer is None:
            return False
        if _is_nothing(others, page):
            return True
        try:
            stored = self._store.commit(inner, others, page)
        except (StoreFullError, StoreUnchangedError, ArgumentError):
            self._run(GIVE_BACK, charge.names, charge.returned(answer))
            raise
        if not stored:
            self._run(GIVE_BACK, charge.names, charge.returned(answer))
        return stored

    def _run(self, script: Script, names: Sequence[str], arguments: Sequence[Value]) -> object:
        given = (len(names), *names, *arguments)
        with _unavailable():
            try:
                return self._client.execute_command("EVALSHA", script.digest, *given)
            except NoScriptError:
                return self._client.execute_command("EVAL", script.text, *given)


class AsyncRedisLimitsStore:
    """A store whose rate limits are in Redis, awaited.

    Args:
        store: For everything else.
        client: How Redis is asked; see `clients`.
    """

    def __init__(self, store: AsyncStore, client: AsyncRedis) -> None:
        self._store = store
        self._client = client

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, from the other store."""
        return await self._store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load rate limits from Redis and everything else from the other store."""
        loaded = await self._store.load(_without_limits(needs), key_digest)
        keys = _rate_keys(needs)
        if not keys:
            return _with_limits(needs, loaded, ())
        with _unavailable():
            held = await self._client.execute_command("MGET", *map(_name, keys))
        return _with_limits(needs, loaded, _states(keys, held))

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Charge, then commit everything else; where that is refused, give back."""
        inner, others, charge = _parted(loaded, changes)
        if charge is None:
            return await self._store.commit(inner, others, page)
        answer = await self._run(CHARGE, charge.names, charge.arguments())
        if answer is None:
            return False
        if _is_nothing(others, page):
            return True
        try:
            stored = await self._store.commit(inner, others, page)
        except (StoreFullError, StoreUnchangedError, ArgumentError):
            await self._run(GIVE_BACK, charge.names, charge.returned(answer))
            raise
        if not stored:
            await self._run(GIVE_BACK, charge.names, charge.returned(answer))
        return stored

    async def _run(
        self, script: Script, names: Sequence[str], arguments: Sequence[Value]
    ) -> object:
        given = (len(names), *names, *arguments)
        with _unavailable():
            try:
                return await self._client.execute_command("EVALSHA", script.digest, *given)
            except NoScriptError:
                return await self._client.execute_command("EVAL", script.text, *given)


# --- What is loaded ---------------------------------------------------------------------------


def _without_limits(needs: Needs) -> Needs:
    return attrs.evolve(needs, buckets=(), limit=None)


def _rate_keys(needs: Needs) -> tuple[RateKey, ...]:
    return needs.buckets if needs.limit is None else (*needs.buckets, needs.limit)


def _with_limits(needs: Needs, loaded: Loaded, states: Sequence[RateState | None]) -> Loaded:
    # The other store is given back its own with the commit.
    limit = None if needs.limit is None else states[-1]
    buckets = tuple(states[: len(needs.buckets)])
    snapshot = attrs.evolve(loaded.snapshot, buckets=buckets, limit=limit)
    return Loaded(caller=loaded.caller, snapshot=snapshot, now=loaded.now, seen=loaded)


def _name(key: RateKey) -> str:
    # What stands in braces is all that a cluster places a key by: one account, one node.
    owner = key.owner if isinstance(key, BucketKey) else key.app_user
    return f"curae:{{{key_of(owner.customer_account_id)}}}:{rate_key(key)}"


def _states(keys: Sequence[RateKey], held: object) -> list[RateState | None]:
    return [_state(key, text) for key, text in zip(keys, _texts(held), strict=True)]


def _texts(answer: object) -> list[str]:
    # What Redis answers may be bytes, and nothing is an empty text.
    assert isinstance(answer, list)  # noqa: S101 - Redis says so
    parts = cast("list[bytes | str | None]", answer)
    return [each.decode() if isinstance(each, bytes) else each or "" for each in parts]


def _state(key: RateKey, held: str) -> RateState | None:
    if not held:
        return None
    form, *parts = held.split(" ")
    kind = LogState if isinstance(key, LimitKey) else BucketState
    if form != str(_FORM):
        raise NewerFormatError(kind.__name__, int(form), _FORM)
    if kind is LogState:
        return LogState(bytes.fromhex("".join(parts)))
    seconds, micros, part, of = map(int, parts[:4])
    return BucketState(seconds * SECOND + micros, part, of)


# --- What is charged --------------------------------------------------------------------------


def _parted(loaded: Loaded, changes: Changes) -> tuple[Loaded, Changes, _Charge | None]:
    # What the other store loaded and is to commit, and what is charged.
    rates = [write for write in changes.writes if isinstance(write, RateWrite)]
    others = tuple([write for write in changes.writes if not isinstance(write, RateWrite)])
    if not isinstance(loaded.seen, Loaded):
        raise ArgumentError("loaded", "what this store loaded")
    charge = _Charge.of(rates, to_epoch_microseconds(loaded.now)) if rates else None
    return loaded.seen, attrs.evolve(changes, writes=others), charge


def _is_nothing(changes: Changes, page: HostedPage | None) -> bool:
    return page is None and not (changes.writes or changes.effects or changes.events)


@attrs.frozen
class _Charge:
    """The limits that one decision charges.

    Attributes:
        at: The instant, in microseconds.
        names: Their keys, the log's last.
        buckets: The rules of the buckets, in the order of their keys.
        log: What becomes of the app user's log, where one is charged.
    """

    at: int
    names: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    log: RateWrite | None

    @classmethod
    def of(cls, rates: Sequence[RateWrite], at: int) -> _Charge:
        """The charge that these writes make."""
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

    def arguments(self) -> list[Value]:
        """The arguments of `CHARGE`."""
        margin = CLOCK_TOLERANCE // _MILLISECOND
        given: list[Value] = [*_time(self.at, 1), margin, len(self.buckets)]
        for bucket in self.buckets:
            token = bucket.seconds * SECOND
            most = _time(bucket.capacity * token, bucket.refill)
            given += [bucket.refill, *_time(token, bucket.refill), *most]
        if self.log is not None:
            until = -(-to_epoch_microseconds(self.log.expires_at) // _MILLISECOND) + margin
            given += [*self._log(self.log), max(1, until)]
        return given

    def returned(self, answer: object) -> list[Value]:
        """The arguments of `GIVE_BACK`, given what `CHARGE` answered."""
        given: list[Value] = [*_time(self.at, 1), len(self.buckets)]
        for bucket, became in zip(self.buckets, _texts(answer), strict=True):
            given += [bucket.refill, *_time(bucket.seconds * SECOND, bucket.refill), became]
        if self.log is not None:
            given += [
                *self._log(self.log),
                _hex(LogState.of([from_epoch_microseconds(self.at)]))[0],
            ]
        return given

    def _log(self, log: RateWrite) -> tuple[str, str]:
        return "" if log.before is None else _log_text(log.before), _log_text(log.after)


_MILLISECOND: Final = 1000


def _time(units: int, parts: int) -> tuple[int, int, int]:
    # A time in seconds, microseconds and parts of one, of which there are so many.
    whole, part = divmod(units, parts)
    return *divmod(whole, SECOND), part


def _log_text(state: RateState) -> str:
    assert isinstance(state, LogState)  # noqa: S101 - as its rule is no bucket
    return " ".join([str(_FORM), *_hex(state)])


def _hex(state: LogState) -> list[str]:
    text = state.hex()
    return [text[place : place + 16] for place in range(0, len(text), 16)]


# --- What fails -------------------------------------------------------------------------------


@contextmanager
def _unavailable() -> Generator[None, None, None]:
    try:
        yield
    except _PASSING as error:
        raise StoreUnavailableError(f"the limits ({type(error).__name__})") from None
