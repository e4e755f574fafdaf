"""The idempotency records of the model: one key's record, and the claims of its attempts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from tests.proof.reference import tables
from tests.proof.reference.values import RETENTION, SECOND, later

Payload = tuple[str, object]
"""The operation and its values."""
ABSENT = "absent, or retention over"


class Stored(TypedDict):
    """The stored members of a key; `unknown` if the outcome of a lost lease is."""

    payload: Payload
    state: str
    token: int
    first: datetime
    seen: datetime
    lease: datetime | None
    unknown: bool
    answer: object


class Claim(TypedDict):
    """The claim of an attempt."""

    payload: Payload
    token: int
    first: datetime
    at: datetime


class KeyRecord:
    """The record of one key; `stored` is None without one."""

    def __init__(self) -> None:
        self.stored: Stored | None = None

    def clamp(self, now: datetime) -> datetime:
        """Clamp a clock that steps back to the last seen instant."""
        if self.stored is not None and self.stored["seen"] > now:
            return self.stored["seen"]
        return now

    def standing(self, now: datetime) -> str:
        stored, now = self.stored, self.clamp(now)
        if stored is None or now >= later(stored["first"], RETENTION):
            return ABSENT
        runs = stored["lease"] is not None and now < stored["lease"]
        lease = "lease running" if runs else "lease over"
        after = "unknown" if stored["unknown"] else "execute"
        return tables.RECORD_STANDING[stored["state"], lease, after]

    def begin(self, payload: Payload, now: datetime) -> Claim | tuple[str, object]:
        """Return a claim to execute, "replay" with the response, or a code with its details."""
        stored, standing, now = self.stored, self.standing(now), self.clamp(now)
        same = stored is None or stored["payload"] == payload
        match = "same fingerprint" if same else "other fingerprint"
        verdict = tables.IDEMPOTENCY[standing, match]
        if verdict == "execute":
            first = now if stored is None or standing == ABSENT else stored["first"]
            token = 1 if stored is None else stored["token"] + 1
            return {"payload": payload, "token": token, "first": first, "at": now}
        assert stored is not None
        if verdict == "replay":
            return verdict, stored["answer"]
        code, details = verdict.removeprefix("refuse "), dict[str, object]()
        if code == "IDEMPOTENCY_KEY_REUSED":
            other = "operation" if stored["payload"][0] != payload[0] else "values"
            details["differs"] = other
        if code == "IDEMPOTENCY_KEY_IN_FLIGHT":
            assert stored["lease"] is not None
            details["retryAfter"] = max(1, -((now - stored["lease"]) // SECOND))
        return code, details

    def start(self, claim: Claim, lease: timedelta, *, unknown: bool) -> None:
        """Store that the attempt runs."""
        self._put(claim, state="IN_FLIGHT", lease=claim["at"] + lease, answer=None, unknown=unknown)

    def commit(self, claim: Claim, answer: object) -> None:
        """Store the response of an attempt that needed no lease."""
        self._put(claim, state="COMPLETED", lease=None, answer=answer, unknown=False)

    def _put(
        self, claim: Claim, state: str, lease: datetime | None, answer: object, *, unknown: bool
    ) -> None:
        self.stored = {
            "payload": claim["payload"],
            "state": state,
            "token": claim["token"],
            "first": claim["first"],
            "seen": claim["at"],
            "lease": lease,
            "unknown": unknown,
            "answer": answer,
        }

    def act(
        self, act: str, claim: Claim, now: datetime, lease: timedelta | None, answer: object
    ) -> bool:
        """Renew, complete or release; return whether the attempt may."""
        stored = self.stored
        mine = (claim["token"], claim["first"])
        held = stored is not None and (stored["token"], stored["first"]) == mine
        holder = "this attempt" if held else "another attempt"
        return self._move(
            tables.ATTEMPT[act, self.standing(now), holder], now, lease=lease, answer=answer
        )

    def resolve(self, now: datetime, answer: object) -> bool:
        """Resolve an unknown outcome; return whether there was one."""
        act = "resolve as not executed" if answer is None else "resolve with a response"
        return self._move(
            tables.RECORD_UPKEEP[act, self.standing(now)], now, lease=None, answer=answer
        )

    def forget(self, now: datetime) -> bool:
        """Erase the response; return whether there was one."""
        return self._move(
            tables.RECORD_UPKEEP["forget", self.standing(now)], now, lease=None, answer=None
        )

    def _move(self, verdict: str, now: datetime, lease: timedelta | None, answer: object) -> bool:
        if verdict in ["lease lost", "ignore"]:
            return False
        assert self.stored is not None
        now = self.clamp(now)
        self.stored["seen"] = now
        self.stored["state"] = verdict
        self.stored["lease"] = None if lease is None else now + lease
        self.stored["answer"] = answer
        return True
