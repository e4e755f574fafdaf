"""Generated stories about a whole coordinate, a chain, an owner, or clocks that disagree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tests.proof.reference.stories import Stories
from tests.proof.reference.writer import (
    CREATE,
    FACTS,
    FIRST,
    HALF_HOUR,
    KEYS,
    MINUTE,
    SECOND,
    SKEW,
    TICK,
    YEAR,
    Known,
    format_time,
)


class Sagas(Stories):
    """Longer stories about more than one connection."""

    def tombstone_story(self) -> None:
        """Tombstone a user with many connections, but not the neighbours and the next user."""
        key = self.one(["cae_live_k1", "cae_live_k1", "cae_live_k3", "cae_test_k5"])
        user = self.user() if self.chance(0.3) else f"gone-\u00e9-{self.number()}"
        twin = self.twin(user)
        if self.chance(0.5):
            self.write(buckets=[])
        if self.chance(0.9):
            self.initiate(key, user, prefer=False)
            if self.chance(0.3):
                self.binding("graduate", key, user)
        same = [key, "cae_live_k2"] if key == "cae_live_k1" else [key]
        mine = [self.a_life(self.one(same), user) for _ in range(self.random.randrange(1, 4))]
        mine += self.short_chain(mine[-1]) if self.chance(0.6) else []
        others = [self.a_life(self.one(list(KEYS)), user) for _ in range(self.one([0, 1, 2]))]
        others += [self.a_life(key, twin)] if self.chance(0.8) else []
        self.pass_time()
        if self.chance(0.3):
            mine.append(self.create(key, user))
        happened = self.when(mine[0])
        if self.chance(0.1):  # of another coordinate
            self.binding(
                "tombstone",
                self.one(list(KEYS)),
                self.one([user, twin]),
                bound=None,
                happened=happened,
            )
        self.binding("tombstone", key, user, bound=None, happened=happened)
        self.look_at([*mine, *others], 0.8)
        if self.chance(0.4):
            self.jump(self.after(SECOND))
            copied = happened if self.chance(0.5) else None
            self.binding("tombstone", key, user, bound=None, happened=copied)
        for _ in range(self.one([0, 1, 3])):
            self.fact(self.one([*FACTS, "authorize"]), self.one(mine))
        self.reconnect(self.one(mine))
        # The next user of the same coordinate.
        self.initiate(key, user, prefer=self.chance(0.5))
        mine.append(self.a_life(key, user))
        self.account_state(key, user)
        if self.chance(0.5):
            self.jump(self.after(MINUTE))
            self.binding("tombstone", key, user)
        self.look_at(mine, 0.5)

    def a_life(self, key: str, user: str) -> Known:
        """Create a connection and let something happen to it."""
        known = self.create(key, user)
        if self.chance(0.2):
            self.jump(self.after(self.one([TICK, SECOND, MINUTE])))
        for kind in self.one([[], ["authorize"], ["authorize"], ["authorize", *FACTS[1:3]]]):
            self.fact(kind, known, self.now)
        if self.chance(0.2):
            self.one([self.revoke, lambda known: self.fact("revoke", known)])(known)
        return known

    def when(self, known: Known) -> datetime | None:
        """Return the reported instant of an event: often not now."""
        times = [self.before(TICK), self.before(MINUTE), known.created, self.skewed(known.created)]
        return self.one([None, None, self.now, *times, self.skewed(known.created)])

    def look_at(self, connections: list[Known], probability: float) -> None:
        for known in connections:
            if self.chance(probability):
                self.get(known)
            if self.chance(probability / 2):
                self.ask(known)

    def short_chain(self, known: Known) -> list[Known]:
        chain = [known]
        for _ in range(self.random.randrange(1, 4)):
            self.fact("revoke", chain[-1])
            chain.append(self.reconnect(chain[-1]))
            if self.chance(0.5):
                self.fact("authorize", chain[-1], self.now)
        return chain[1:]

    def long_chain_story(self) -> None:
        """Recover a connection dozens of times, hundreds now and then; then use old ids."""
        user = f"long-{self.number()}"
        links = self.random.randrange(100, 400) if self.chance(0.04) else self.random.randrange(25)
        self.write(buckets=[])
        self.initiate("cae_live_k1", user, prefer=False)
        chain = [self.create("cae_live_k1", user)]
        for _ in range(links):
            last = chain[-1].names[0]
            if self.now > FIRST + YEAR and self.chance(0.8) and self.after(YEAR).year < 9998:
                self.jump(self.after(4 * HALF_HOUR + TICK))
            else:
                revoked = {"type": "connection.revoke", "connectionId": last, "actor": "UPSTREAM"}
                self.write(fact=revoked)
            alias = f"r{self.number()}"
            self.mutation(f"{CREATE}/{last}:reconnect", key="cae_live_k1", body={}, alias=alias)
            name = f"{{{alias}.connection.id}}"
            chain.append(Known(key="cae_live_k1", names=[name], alias=alias, created=self.now))
        self.known += [chain[0], chain[len(chain) // 2], chain[-1]]
        if self.chance(0.5):
            self.fact("authorize", chain[-1], self.now)
        for _ in range(self.one([2, 4, 6])):
            known = self.one(chain)
            self.one([self.reconnect, self.reconnect, self.get, self.ask, self.revoke])(known)
            self.fact(self.one(FACTS), self.one(chain))
        if self.chance(0.5):
            self.fact("revoke", self.one(chain[:9]), self.when(chain[-1]))
        if self.chance(0.5):
            self.binding(
                "tombstone", "cae_live_k1", user, bound=None, happened=self.when(chain[-1])
            )
        self.look_at(chain, 9 / len(chain))

    def owner_story(self) -> None:
        """Register a key for another owner, and for the first one again."""
        key = self.one(["cae_live_k1", "cae_live_k1", "cae_live_k4", "cae_test_k5"])
        number = self.one([1, 2, 3])
        if self.chance(0.7):
            bucket = {"name": "own", "capacity": number, "refill": 1, "seconds": 7200}
            self.write(buckets=[bucket])
        user = self.user()
        makers = [self.create, self.initiate]
        known = self.one(makers)(key, user)
        sent = self.sent[-1]
        for owner in [self.one(list(KEYS)), self.one([key, self.one(list(KEYS))]), key]:
            self.register(key, None if self.chance(0.9) else ["connection:write"], owner)
            self.again(sent, same=True)
            if self.chance(0.5):
                self.one([self.get, self.reconnect, self.revoke])(known)
            for _ in range(number):
                self.one([self.account_state, *makers])(key, user)
            if self.chance(0.3):
                self.again(sent)
        if self.chance(0.9):
            self.write(buckets=[])
        else:
            self.buckets()

    def policy_story(self) -> None:
        """Replace half-empty buckets, sometimes by the same ones."""
        bucket: dict[str, object] = {"name": "same", "capacity": self.one([1, 2, 4])}
        bucket |= {"refill": 1, "seconds": 3600}
        changes: list[dict[str, object]] = [{}, {"capacity": 3}, {"refill": 7}, {"name": "Same"}]
        charged: list[Callable[[], object]] = [self.get, self.account_state, self.again]
        for change in [{}, self.one([{}, *changes]), {}]:
            self.write(buckets=[{**bucket, **change}])
            for _ in range(self.random.randrange(1, 6)):
                self.one(charged)()
        self.write(buckets=[])

    def skew_story(self) -> None:
        """Report facts of one connection and one session with wrong clocks."""
        known = self.create("cae_live_k1")
        session = self.initiate("cae_live_k1", f"skew-{self.number()}", prefer=True)
        if self.chance(0.3):
            self.jump(self.beside(self.one([known.deadline, self.after(MINUTE)])))
        happened = self.skewed(known.created)
        fact: dict[str, object] = {"type": "connection.authorize", "connectionId": known.names[0]}
        fact["happenedAt"] = format_time(happened)
        if self.chance(0.7):
            ends = [self.now, known.created, happened, self.after(SKEW), self.after(30 * YEAR)]
            fact["expiresAt"] = format_time(self.beside(self.one(ends)))
        self.write(fact=fact)
        self.look_at([known], 0.7)
        self.complete(session, None, self.skewed(session.created))
        for kind in self.random.sample(FACTS, 2):
            if self.chance(0.5):
                self.jump(self.after(self.one([TICK, SECOND, MINUTE])))
            self.fact(kind, known, self.skewed(known.created))
            self.look_at([known], 0.7)

    def decades_story(self) -> None:
        """Let access end decades later; rarely, it does end."""
        known = self.create("cae_live_k1")
        end = self.after(self.one([10, 30, 75]) * YEAR)
        fact: dict[str, object] = {"type": "connection.authorize", "connectionId": known.names[0]}
        if end > self.now:
            fact["expiresAt"] = format_time(end)
        self.write(fact=fact)
        self.look_at([known], 0.8)
        if self.chance(0.1):
            for time in [end - TICK, end]:
                self.jump(time)
                self.ask(known)
                self.one([self.get, self.reconnect])(known)
