"""Generated stories of related lines around the instants at which something changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.proof.reference.writer import (
    DAY,
    FACTS,
    HALF_HOUR,
    LAST,
    MINUTE,
    SECOND,
    TICK,
    Known,
    format_time,
)
from tests.proof.reference.wrong import WrongTraffic


class Stories(WrongTraffic):
    """Related lines around the instants at which something changes."""

    def limit_story(self) -> None:
        """Reach the limit of one app user, and pass the end of the window."""
        user = self.user()
        keys = self.one([["cae_live_k1"], ["cae_live_k1", "cae_live_k3", "cae_live_k2"]])
        self.jump(self.after(MINUTE))
        graduation = self.chance(0.3)
        if graduation and self.chance(0.7):
            self.initiate(keys[0], user, prefer=False)
        start = self.now
        for _ in range(self.random.randrange(9, 13)):
            if graduation:
                self.graduation(self.one(keys), user)
            else:
                self.initiate(self.one(keys), user)
            if self.chance(0.3):
                self.jump(self.after(self.one([TICK, SECOND, 5 * SECOND])))
        if not graduation:
            self.again(self.recent(self.sent), same=True)
        if start >= LAST - MINUTE - TICK:
            return
        for time in [start + MINUTE - TICK, start + MINUTE, start + MINUTE + TICK]:
            self.jump(time)
            for _ in range(self.one([1, 1, 2])):
                if graduation:
                    self.graduation(self.one(keys), user)
                else:
                    self.initiate(self.one(keys), user)

    def bucket_story(self) -> None:
        """Empty a bucket, and reach the first instant at which it has a token again."""
        capacity, refill, seconds = (self.random.randrange(1, n) for n in (5, 8, 4))
        bucket = {"name": "small", "capacity": capacity, "refill": refill, "seconds": seconds}
        buckets: list[object] = [bucket, {**bucket, "name": self.one(["twin", "Small", "third"])}]
        self.write(buckets=self.one([[bucket], buckets, [{**bucket, "capacity": 9}, *buckets[1:]]]))
        charged: list[Callable[[], object]] = [self.get, self.account_state, self.initiate]
        charged += [self.again, self.bad_id]
        start = self.now
        for _ in range(capacity + 1):
            self.one(charged)()
        filled = timedelta(microseconds=-(-seconds * 1_000_000 // refill))
        if start < LAST - 2 * filled:
            for time in [start + filled - TICK, start + filled, start + 2 * filled]:
                self.jump(time)
                for _ in range(self.one([1, 1, 2])):
                    self.one(charged[:3])()
        if self.chance(0.8):
            self.write(buckets=[])

    def late_story(self) -> None:
        """Let a pending connection lapse; then report an authorization, in time or late."""
        known = self.create("cae_live_k1")
        self.jump(self.beside(known.deadline))
        self.get(known)
        successor = self.reconnect(known) if self.chance(0.4) else None
        happened = self.beside(known.deadline)
        if known.created <= happened <= self.now:
            self.fact("authorize", known, happened)
        if successor is not None:
            self.fact("authorize", successor)
            self.reconnect(known)
        self.get(known)
        self.ask(known)

    def chain_story(self) -> None:
        """Recover recoveries, reissue, and end one connection or all."""
        chain = [self.create("cae_live_k1")]
        for _ in range(self.random.randrange(1, 4)):
            last = chain[-1]
            how = self.one(["lapse", "revoke", "require_action", "expire"])
            if how == "lapse":
                self.jump(self.beside(self.after(HALF_HOUR)))
            else:
                self.fact("authorize", last)
                self.fact(how, last, None if self.chance(0.3) else self.now)
            chain.append(self.reconnect(last))
            if self.chance(0.5):
                self.jump(self.after(self.one([TICK, MINUTE])))
                self.reconnect(last)
                self.get(chain[-1])
        if self.chance(0.4):
            self.fact("authorize", self.one(chain))
        if self.chance(0.5):
            self.reconnect(self.one(chain))
        happened = self.before(self.one([TICK, SECOND, MINUTE])) if self.chance(0.3) else None
        for _ in range(self.one([1, 2])):
            self.fact("revoke", self.one(chain), happened)
        for known in chain:
            self.get(known)
        self.reconnect(chain[-1])

    def retention_story(self) -> None:
        """Repeat a request at the end of its retention."""
        makers: list[Callable[[], Known]] = [self.create, self.initiate, self.reconnect]
        self.one(makers)()
        sent, start = self.sent[-1], self.now
        self.again(sent)
        if start >= LAST - DAY - TICK:
            return
        for wait in [DAY - TICK, DAY, DAY + TICK]:
            if self.chance(0.8):
                self.jump(start + wait)
                self.again(sent, same=self.chance(0.5))

    def expiry_story(self) -> None:
        """Let access expire."""
        known = self.create("cae_live_k1")
        wait = self.one([SECOND, MINUTE, 7 * TICK, HALF_HOUR])
        end = self.after(wait)
        fact = {"type": "connection.authorize", "connectionId": known.names[0]}
        if end > self.now:
            fact["expiresAt"] = format_time(end)
        self.write(fact=fact)
        if self.chance(0.3):
            self.fact("require_action", known)
        for time in [end - TICK, end, end]:
            self.jump(time)
            self.ask(known)
            self.one([self.get, self.reconnect, self.ask])(known)
        for _ in range(2):
            self.fact(self.one(FACTS), known)
            self.get(known)

    def sign_up_story(self) -> None:
        """Sign up a new user twice, and continue with the account."""
        key = self.one(["cae_live_k1", "cae_live_k3", "cae_test_k5"])
        user = self.one([f"new-{self.number()}", self.user()])
        self.account_state(key, user)
        first = self.initiate(key, user, prefer=True)
        second = self.initiate(key, user, prefer=True)
        if self.chance(0.3):
            self.initiate(key, user, prefer=False)
        if self.chance(0.3):
            self.jump(self.beside(self.after(HALF_HOUR)))
        for _ in range(self.random.randrange(1, 5)):
            self.complete(self.one([first, second]), self.one(["u-1", "u-1", "u-2"]))
        self.account_state(key, user)
        for _ in range(self.random.randrange(1, 4)):
            roll = self.random.randrange(5)
            if roll == 0:
                self.binding("tombstone", key, user)
            elif roll == 1:
                self.binding("graduate", key, user, bound=self.one([None, "u-1", "u-2"]))
            elif roll == 2:
                self.graduation(key, user)
            elif roll == 3:
                self.initiate(key, user)
            else:
                self.complete(self.one([first, second]), self.one(["u-1", "u-2"]))
        self.account_state(key, user)

    def limited_story(self) -> None:
        """Provision a LIMITED user, who may graduate."""
        key = self.one(["cae_live_k1", "cae_live_k4"])
        user = f"new-{self.number()}"
        session = self.initiate(key, user, prefer=False)
        self.graduation(key, user)
        for _ in range(self.random.randrange(1, 4)):
            if self.chance(0.5):
                self.binding("graduate", key, user)
            elif self.chance(0.5):
                self.binding(None, key, user, bound="u-3")
            else:
                self.complete(session)
            self.account_state(key, user)
        self.initiate(key, user)
        self.graduation(key, user)
