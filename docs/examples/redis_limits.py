"""Rate limits in Redis or Valkey, everything else in another store.

The law of this module: **whatever was admitted was charged first**. The charge is the last thing
before the other store commits, so a commit that fails leaves a charge for nothing, and never the
other way round: this store errs on the side of refusing, and law 10 holds.

All states of a decision are compared and set by one script, so they are charged together or not
at all. A state is dropped when it equals one that was never charged, and later than that by
`CLOCKS_APART`: Redis goes by a clock of its own, and dropping one too late changes no answer.

What Redis forgets it admits again. Give it `appendonly yes` and `maxmemory-policy noeviction`,
and `appendfsync always` where a crash of its machine may not cost a second of charges.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final, Protocol

import attrs
import redis.asyncio
from store import Conflict, Store, Texts, format_value, rate_key

from curae_lifecycle import ApiKey, Caller, FactSnapshot, Snapshot
from curae_lifecycle.rules.ratelimit import RateState
from curae_lifecycle.rules.values import CustomerAccountId, microseconds
from curae_lifecycle.service.changes import Changes, RateKey, RateWrite
from curae_lifecycle.service.facts.fact import FactNeeds
from curae_lifecycle.service.snapshot import Needs

CLOCKS_APART: Final = timedelta(minutes=5)
"""How far the clock of Redis may be ahead of the servers'."""

TIMEOUT: Final = 2.0
"""Seconds after which a Redis that says nothing is taken for dead."""

COMPARE_AND_SET: Final = """
for number, key in ipairs(KEYS) do
  local held = redis.call('GET', key) or ''
  if held ~= ARGV[3 * number - 2] then return 0 end
end
for number, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[3 * number - 1], 'PXAT', ARGV[3 * number])
end
return 1
"""
"""For each key its state before (empty for none), after, and when it may go, in milliseconds."""


class Execute(Protocol):
    """Send one command to Redis and wait for its answer."""

    def __call__(self, *command: str | int) -> object:
        """The answer; texts may come as bytes."""
        ...


class ExecuteAsync(Protocol):
    """Send one command to Redis; its answer is awaited."""

    def __call__(self, *command: str | int) -> Awaitable[object]:
        """The answer; texts may come as bytes."""
        ...


class RedisLimits:
    """A store whose rate limits are in Redis, for one transaction of the other store.

    Args:
        store: For everything else.
        execute: How Redis is asked; its timeouts are the caller's to set.
    """

    def __init__(self, store: Store, execute: Execute) -> None:
        self._store = store
        self._execute = execute
        self._account: CustomerAccountId | None = None
        self._texts = Texts()

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """As the other store does."""
        self._store.register(api_key, caller)

    def caller(self, api_key: ApiKey | None) -> Caller | None:
        """As the other store does; the states of its account are kept side by side."""
        caller = self._store.caller(api_key)
        self._account = caller.customer_account_id if caller else None
        return caller

    def load(self, asked: Needs) -> Snapshot:
        """Rate limits from Redis, everything else from the other store."""
        others = self._store.load(attrs.evolve(asked, buckets=(), limit=None))
        keys: list[RateKey] = [*asked.buckets, *([asked.limit] if asked.limit else [])]
        held = self._held(keys)
        limit = held.pop() if asked.limit else None
        return attrs.evolve(others, buckets=tuple(held), limit=limit)

    def load_fact(self, asked: FactNeeds) -> FactSnapshot:
        """As the other store does: no fact is limited."""
        return self._store.load_fact(asked)

    def store(self, changes: Changes) -> None:
        """Store everything else first, uncommitted, then charge.

        Raises:
            Conflict: Something is no longer as it was read; roll back.
        """
        charges = [write for write in changes.writes if isinstance(write, RateWrite)]
        others = tuple([write for write in changes.writes if not isinstance(write, RateWrite)])
        self._store.store(attrs.evolve(changes, writes=others))
        if charges and not self._charge(charges):
            raise Conflict

    def purge(self, now: datetime) -> int:
        """As the other store does; Redis drops its own."""
        return self._store.purge(now)

    def open_page(self, url: str, subject: str) -> None:
        """As the other store does."""
        self._store.open_page(url, subject)

    def page(self, url: str) -> str | None:
        """As the other store does."""
        return self._store.page(url)

    def _held(self, keys: Sequence[RateKey]) -> list[RateState | None]:
        if not keys:
            return []
        held = self._execute("MGET", *[self._name(key) for key in keys])
        assert isinstance(held, list)  # noqa: S101 - Redis says so
        return [
            None if text is None else self._texts.parse_rate(key, _text(text))
            for key, text in zip(keys, held, strict=True)
        ]

    def _charge(self, charges: Sequence[RateWrite]) -> bool:
        names = [self._name(charge.key) for charge in charges]
        values: list[str | int] = []
        for charge in charges:
            before = "" if charge.before is None else self._texts.of(charge.before)
            values += [before, format_value(charge.after), drop_at(charge)]
        return self._execute("EVAL", COMPARE_AND_SET, len(names), *names, *values) == 1

    def _name(self, key: RateKey) -> str:
        # What stands in braces is all that a cluster places a key by: one account, one node.
        return f"rate:{{{self._account}}}:{json.dumps(rate_key(key))}"


def drop_at(charge: RateWrite) -> int:
    """When Redis may drop a state, in milliseconds since 1970, never before it may be."""
    return -(-microseconds(charge.expires_at) // 1000) + CLOCKS_APART // timedelta(milliseconds=1)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@cache
def execute(url: str) -> Execute:
    """Ask the Redis of a URL, through a pool; whoever does not hear in time answers 500."""
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT).execute_command


@cache
def execute_async(url: str) -> ExecuteAsync:
    """The same for a server that is asynchronous."""
    return redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT).execute_command
