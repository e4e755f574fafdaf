"""A model of an idempotency key's record: one dictionary and the sentences of the rules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

DAY = timedelta(hours=24)

Payload = tuple[str, str]
"""The operation and its values."""


class Stored(TypedDict):
    """The stored members of a key."""

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


class RecordModel:
    """The model of one key; `stored` is None without a record."""

    def __init__(self) -> None:
        self.stored: Stored | None = None

    def clamp(self, now: datetime) -> datetime:
        """Clamp a clock that steps back to the last seen instant."""
        if self.stored is not None and self.stored["seen"] > now:
            return self.stored["seen"]
        return now

    def standing(self, now: datetime) -> str:
        stored, now = self.stored, self.clamp(now)
        if stored is None or now >= stored["first"] + DAY:
            return "absent, or retention over"
        if stored["state"] != "IN_FLIGHT":
            return str(stored["state"]).lower()
        if stored["lease"] is not None and now < stored["lease"]:
            return "in flight, lease running"
        return "unknown" if stored["unknown"] else "in flight, lease over"

    def begin(self, payload: Payload, now: datetime) -> Claim | tuple[str, object]:
        """Return a claim to execute, the stored response, or a code with its details."""
        stored, standing, now = self.stored, self.standing(now), self.clamp(now)
        if stored is None:
            return {"payload": payload, "token": 1, "first": now, "at": now}
        token = stored["token"] + 1
        if standing.startswith("absent"):
            return {"payload": payload, "token": token, "first": now, "at": now}
        if stored["payload"] != payload:
            other = "operation" if stored["payload"][0] != payload[0] else "values"
            return "IDEMPOTENCY_KEY_REUSED", {"differs": other}
        if standing == "completed":
            return "replay", stored["answer"]
        if standing == "forgotten":
            return "IDEMPOTENCY_KEY_FORGOTTEN", {}
        if standing == "unknown":
            return "IDEMPOTENCY_OUTCOME_UNKNOWN", {}
        if standing == "in flight, lease running":
            assert stored["lease"] is not None
            left = (stored["lease"] - now) / timedelta(seconds=1)
            return "IDEMPOTENCY_KEY_IN_FLIGHT", {"retryAfter": max(1, -int(-left // 1))}
        return {"payload": payload, "token": token, "first": stored["first"], "at": now}

    def start(self, claim: Claim, lease: timedelta, *, unknown: bool) -> None:
        self._put(claim, state="IN_FLIGHT", lease=claim["at"] + lease, answer=None, unknown=unknown)

    def commit(self, claim: Claim, answer: object) -> None:
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

    def holds(self, claim: Claim, now: datetime) -> bool:
        """Return whether the attempt may act: its own lease runs."""
        stored = self.stored
        return (
            stored is not None
            and self.standing(now) == "in flight, lease running"
            and (stored["token"], stored["first"]) == (claim["token"], claim["first"])
        )

    def act(
        self, claim: Claim, now: datetime, state: str, lease: timedelta | None, answer: object
    ) -> bool:
        """Renew, complete or release; return whether it was still allowed."""
        if not self.holds(claim, now):
            return False
        self._move(now, state=state, lease=lease, answer=answer)
        return True

    def resolve(self, now: datetime, answer: object) -> bool:
        """Resolve an unknown outcome; return whether there was one."""
        if self.standing(now) not in ["in flight, lease over", "unknown"]:
            return False
        self._move(
            now, state="RELEASED" if answer is None else "COMPLETED", lease=None, answer=answer
        )
        return True

    def forget(self, now: datetime) -> bool:
        """Erase the response; return whether there was one."""
        if self.standing(now) in ["absent, or retention over", "forgotten"]:
            return False
        self._move(now, state="FORGOTTEN", lease=None, answer=None)
        return True

    def _move(self, now: datetime, state: str, lease: timedelta | None, answer: object) -> None:
        now = self.clamp(now)
        assert self.stored is not None
        self.stored["seen"] = now
        self.stored["state"] = state
        self.stored["lease"] = None if lease is None else now + lease
        self.stored["answer"] = answer
