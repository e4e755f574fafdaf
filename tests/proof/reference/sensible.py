"""Generated facts, settings and repetitions, mostly well-formed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tests.proof.reference.asked import Asked
from tests.proof.reference.writer import (
    ABSENT,
    ACTORS,
    CREATE,
    DAY,
    FACTS,
    FIRST,
    HALF_HOUR,
    INITIATE,
    KEYS,
    MINUTE,
    PLATFORM_TWINS,
    PLATFORM_USERS,
    SECOND,
    SKEW,
    TICK,
    YEAR,
    Known,
    Sent,
    format_time,
)
from tests.proof.reference.wrong_values import BAD_IDS


class Traffic(Asked):
    """Sensible lines, with a few wrong ones."""

    # Facts --------------------------------------------------------------------------------

    def skewed(self, made: datetime) -> datetime:
        """Return an instant of a wrong clock: ahead of `at`, or before the creation."""
        ahead = [TICK, SECOND, MINUTE, SKEW - TICK, SKEW, SKEW, SKEW + TICK, HALF_HOUR]
        if self.chance(0.6):
            return self.after(self.one(ahead))
        if self.chance(0.1):
            return FIRST
        wait = self.one([TICK, SECOND, SKEW, DAY])
        return made - wait if made > FIRST + wait else FIRST

    def happened(self, known: Known) -> str:
        if self.chance(0.25):
            return format_time(self.skewed(known.created))
        times = [self.now, self.before(TICK), self.before(SECOND), self.before(MINUTE)]
        times += [self.before(HALF_HOUR), known.created, self.beside(known.created)]
        times += [known.deadline, self.beside(known.deadline), self.beside(self.now)]
        if self.chance(0.1):
            return f"{{{known.alias}.connection.createdAt}}"
        fitting = [time for time in times if known.created <= time <= self.now]
        return format_time(self.one(fitting if fitting and self.chance(0.9) else times))

    def fact(self, kind: str, known: Known | None = None, happened: datetime | None = None) -> None:
        known = known or self.connection()
        fact: dict[str, object] = {"type": "connection." + kind}
        fact["connectionId"] = self.some_id(known)
        if happened is not None:
            fact["happenedAt"] = format_time(happened)
        elif self.chance(0.35):
            fact["happenedAt"] = self.happened(known)
        if kind == "authorize" and self.chance(0.7):
            some = self.random.randrange(1, 999) * SECOND
            wait = self.one([MINUTE, HALF_HOUR, 3 * SECOND, some, some, 30 * YEAR])
            fact["expiresAt"] = format_time(self.after(wait))
            self.edge(wait)
            if self.chance(0.12):
                near = [self.now, known.created, self.after(SECOND), known.deadline]
                fact["expiresAt"] = format_time(self.beside(self.one(near)))
            elif self.chance(0.05):
                fact["expiresAt"] = f"{{{known.alias}.nextAction.expiresAt}}"
        if kind == "require_action":
            fact["reason"] = self.one(["portal_login", "consent_changed", "Bitte anmelden: ü"])
        if kind == "revoke":
            fact["actor"] = self.one(ACTORS)
        self.write(fact=fact)

    def complete(
        self,
        session: Known | None = None,
        user: str | None = None,
        happened: datetime | None = None,
    ) -> None:
        session = session or (self.recent(self.sessions) if self.sessions else self.initiate())
        name = self.one(session.names)
        if self.chance(0.03):
            name = self.one([*BAD_IDS, self.uuid()])
        fact: dict[str, object] = {"type": "handoff.complete", "sessionId": name}
        fact["userId"] = user or self.one(PLATFORM_USERS[:2] * 9 + PLATFORM_TWINS)
        if happened is not None:
            fact["happenedAt"] = format_time(happened)
        elif self.chance(0.2):
            times = [self.now, self.beside(session.created), self.beside(session.deadline)]
            times += [self.skewed(session.created)]
            fitting = [time for time in times if time <= self.now]
            fact["happenedAt"] = format_time(self.one(fitting if self.chance(0.7) else times))
        self.write(fact=fact)

    def binding(
        self,
        kind: str | None = None,
        key: str | None = None,
        user: str | None = None,
        bound: str | None = None,
        happened: datetime | None = None,
    ) -> None:
        kind = kind or self.one(["graduate", "graduate", "tombstone"])
        app, account, environment, _ = KEYS[key or self.key()]
        fact: dict[str, object] = {"type": "binding." + kind, "appId": app}
        fact["customerAccountId"] = account.upper() if self.chance(0.1) else account
        fact["appUserId"] = user or self.user()
        if environment != "live" or self.chance(0.3):
            fact["environment"] = environment
        if kind == "graduate" and (bound is not None or self.chance(0.3)):
            fact["userId"] = bound or self.one([*PLATFORM_USERS * 3, *PLATFORM_TWINS])
        if happened is None and self.chance(0.2):
            happened = self.one([self.before(MINUTE), self.before(DAY), self.skewed(self.now)])
        if happened is not None:
            fact["happenedAt"] = format_time(happened)
        self.write(fact=fact)

    # Configuration ------------------------------------------------------------------------

    def register(self, key: str, scopes: list[str] | None = None, owner: str = "") -> None:
        """Register a key with its own owner, or with that of another key."""
        app, account, environment, usual = KEYS[owner or key]
        account = account.upper() if self.chance(0.1) else account
        given: dict[str, object] = {"apiKey": key, "appId": app, "customerAccountId": account}
        given["scopes"] = usual if scopes is None else scopes
        if environment != "live" or self.chance(0.5):
            given["environment"] = environment
        self.write(register=given)

    def register_again(self) -> None:
        key = self.key()
        if self.chance(0.3):
            self.register(key, [])
            self.any_request()
        self.register(key)

    def buckets(self) -> None:
        buckets: list[object] = []
        if self.chance(0.35):
            wide = {"name": "platform", "capacity": 100, "refill": 50, "seconds": 1}
            buckets.append(wide)
        if self.chance(0.45):
            every = ["burst", "hourly", "Burst", "burst.", "third"]
            names = self.random.sample(every, self.random.randrange(4))
            buckets.extend(
                {
                    "name": name,
                    "capacity": self.random.randrange(1, 9),
                    "refill": self.random.randrange(1, 8),
                    "seconds": self.random.randrange(1, 8),
                }
                for name in names
            )
        self.edge(*(n * SECOND / 7 for n in range(1, 5)))
        self.write(buckets=buckets)

    # The same again -----------------------------------------------------------------------

    def again(self, sent: Sent | None = None, *, same: bool = False) -> None:
        """Repeat an earlier request with its key: equal, respelled, or different."""
        if sent is None:
            if not self.sent:
                self.create()
            sent = self.recent(self.sent)
        key, path, body = sent.key, sent.path, sent.body
        if not same and self.chance(0.12):
            key = self.key()
        if not same and self.chance(0.15):
            path, body = self.other_request()
        elif isinstance(body, dict):
            body = self.said_otherwise(path, body, same=same)
        if not body:
            body = self.one([{}, ABSENT, ""])
        idempotency_key = sent.idempotency_key
        if not same and self.chance(0.06):  # a twin of the key is another one, or none
            twins = [idempotency_key.swapcase(), *(idempotency_key + end for end in "~-.\u200b")]
            idempotency_key = self.one(twins)
        response: object = ABSENT
        if self.chance(0.2):
            response = self.response(self.one(["connection", "session"]), self.uuid())
        self.request(
            "POST",
            path,
            key,
            idempotency_key=idempotency_key,
            body=body,
            alias=f"x{self.number()}" if self.chance(0.3) else None,
            response=response,
        )

    def other_request(self) -> tuple[str, object]:
        known = self.some_id(self.connection())
        return self.one(
            [
                (CREATE, {"appUserId": self.user(), "dataPackages": ["labs"]}),
                (INITIATE, {"appUserId": self.user()}),
                (f"{CREATE}/{known}:revoke", {}),
                (f"{CREATE}/{known}:reconnect", {}),
            ]
        )

    def said_otherwise(self, path: str, body: dict[str, object], *, same: bool) -> object:
        """Respell the same values; unless `same`, sometimes change them."""
        body = dict(body)
        packages = body.get("dataPackages")
        if isinstance(packages, list) and self.chance(0.5):
            body["dataPackages"] = [*reversed(packages), packages[0]]
        if path == INITIATE and not body.get("preferSignup"):
            body.pop("preferSignup", None)
            if self.chance(0.5):
                body["preferSignup"] = False
        if not same and path == INITIATE and self.chance(0.15):
            body["preferSignup"] = self.chance(0.5)
        if not same and "appUserId" in body and self.chance(0.1):
            body["appUserId"] = self.user()
        return body

    # Any of them --------------------------------------------------------------------------

    def any_request(self) -> None:
        requests: list[Callable[[], object]] = [self.create, self.get, self.reconnect]
        requests += [self.revoke, self.initiate, self.graduation, self.account_state, self.again]
        for _ in range(2):
            self.one(requests)()

    def any_fact(self) -> None:
        kind = self.one([*FACTS, "authorize", "authorize"])
        known = self.connection()
        self.fact(kind, known)
        if self.chance(0.25):
            self.ask(known)
