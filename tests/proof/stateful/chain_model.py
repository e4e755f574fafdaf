"""A model of one chain of connections: a list of plain dictionaries, oldest first."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from tests.proof.stateful.coordinate_model import DONE, IGNORED, MISTAKE, TOLERANCE, Said, show

RANKED = ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"]
LIVE = ["PENDING", "ACTIVE", "ACTION_REQUIRED"]
PACKAGES = ["labs", "vitals"]


class Stored(TypedDict):
    """A connection, or a snapshot of one."""

    id: str
    previous: str | None
    root: str
    created: datetime
    status: str
    updated: datetime
    deadline: datetime | None
    authorized: datetime | None
    end: datetime | None
    reason: str | None
    revoked: datetime | None
    revoked_by: str | None
    version: int


def deadline_of(stored: Stored) -> datetime | None:
    """Return the instant at which a connection changes by itself."""
    if stored["revoked"] is not None:
        return None
    if stored["status"] == "PENDING":
        return stored["deadline"]
    return stored["end"] if stored["status"] in ["ACTIVE", "ACTION_REQUIRED"] else None


def standing(stored: Stored, at: datetime) -> str:
    deadline = deadline_of(stored)
    if stored["revoked"] is not None:
        return "REVOKED"
    if deadline is None or at < deadline:
        return stored["status"]
    return "LAPSED" if stored["status"] == "PENDING" else "EXPIRED"


def on_the_wire(stored: Stored, now: datetime, active: str) -> dict[str, object]:
    def optional(time: datetime | None) -> str | None:
        return None if time is None else show(time)

    status = standing(stored, now)
    return {
        "id": stored["id"],
        "status": {"LAPSED": "EXPIRED", "ACTIVE": active}.get(status, status),
        "dataPackages": PACKAGES,
        "authorizedAt": optional(stored["authorized"]),
        "expiresAt": optional(stored["end"]),
        "revokedAt": optional(stored["revoked"]),
        "actionRequiredReason": stored["reason"],
        "createdAt": show(stored["created"]),
        "updatedAt": show(stored["updated"]),
    }


def read_from_the_wire(stored: Stored, now: datetime) -> Stored:
    """Return a receiver's value, without the deadline and the actor of the revocation."""
    status = standing(stored, now)
    status = "EXPIRED" if status == "LAPSED" else status
    lapsed = status == "EXPIRED" and not stored["authorized"] and not stored["reason"]
    read = stored.copy()
    read["status"] = "PENDING" if lapsed else status
    read["deadline"] = stored["updated"] if lapsed else None
    read["revoked_by"] = None
    read["version"] = 1
    return read


def join(one: Stored, other: Stored) -> Stored:
    """Merge two snapshots of one connection."""
    joined = one.copy()
    statuses = [one["status"], other["status"]]
    joined["status"] = max(statuses, key=RANKED.index)
    joined["updated"] = max(one["updated"], other["updated"])
    joined["version"] = max(one["version"], other["version"])
    deadlines = [each["deadline"] for each in [one, other] if each["deadline"] is not None]
    joined["deadline"] = max(deadlines) if deadlines else None
    authorized = [each["authorized"] for each in [one, other] if each["authorized"] is not None]
    joined["authorized"] = min(authorized) if authorized else None
    ends = [each["end"] for each in [one, other] if each["end"] is not None]
    joined["end"] = min(ends) if ends else None
    reasons = [each["reason"] for each in [one, other] if each["reason"] is not None]
    joined["reason"] = min(reasons) if reasons else None
    revoked = [each["revoked"] for each in [one, other] if each["revoked"] is not None]
    joined["revoked"] = min(revoked) if revoked else None
    actors = [
        each["revoked_by"]
        for each in [one, other]
        if each["revoked"] == joined["revoked"] and each["revoked_by"] is not None
    ]
    joined["revoked_by"] = min(actors) if actors else None
    return joined


class ChainModel:
    """Every connection of the chain, oldest first."""

    def __init__(self) -> None:
        self.line: list[Stored] = []

    def mint(self, connection_id: str, now: datetime, deadline: datetime) -> None:
        self.line.append(
            {
                "id": connection_id,
                "previous": self.line[-1]["id"] if self.line else None,
                "root": self.line[0]["id"] if self.line else connection_id,
                "created": now,
                "status": "PENDING",
                "updated": now,
                "deadline": deadline,
                "authorized": None,
                "end": None,
                "reason": None,
                "revoked": None,
                "revoked_by": None,
                "version": 1,
            }
        )

    def _instants(
        self, n: int, now: datetime, happened: datetime
    ) -> tuple[datetime, datetime] | None:
        """Return the recorded and the effective instant; None for a mistake."""
        stored = self.line[n]
        at = max(now, stored["updated"])
        if happened > at + TOLERANCE:
            return None
        return at, max(min(happened, at), stored["created"])

    def _move(self, n: int, status: str, at: datetime) -> Stored:
        stored = self.line[n]
        stored["status"], stored["updated"] = status, at
        stored["version"] += 1
        return stored

    def authorize(self, n: int, now: datetime, happened: datetime, end: datetime | None) -> Said:
        stored, instants = self.line[n], self._instants(n, now, happened)
        if instants is None:
            return MISTAKE
        at, happened = instants
        if end is not None and end <= happened:
            return MISTAKE
        details: dict[str, object] = {"connectionId": stored["id"]}
        if n + 1 < len(self.line):
            details["nextConnectionId"] = self.line[n + 1]["id"]
            details["headConnectionId"] = self.line[-1]["id"]
            return "refused", "CONNECTION_SUPERSEDED", details
        was = standing(stored, happened)
        if was == "ACTIVE":
            return IGNORED
        if was == "LAPSED":
            assert stored["deadline"] is not None
            details["deadline"] = show(stored["deadline"])
            return "refused", "HANDOFF_LAPSED", details
        if was != "PENDING":
            details["standing"] = was
            return "refused", "CONNECTION_NOT_PENDING", details
        self._move(n, "ACTIVE", at)
        stored["authorized"], stored["end"] = happened, end
        return DONE

    def require_action(self, n: int, now: datetime, happened: datetime, reason: str) -> Said:
        stored, instants = self.line[n], self._instants(n, now, happened)
        if instants is None:
            return MISTAKE
        at, happened = instants
        if standing(stored, happened) != "ACTIVE":
            return IGNORED
        self._move(n, "ACTION_REQUIRED", at)["reason"] = reason
        return DONE

    def expire(self, n: int, now: datetime, happened: datetime) -> Said:
        stored, instants = self.line[n], self._instants(n, now, happened)
        if instants is None:
            return MISTAKE
        if stored["status"] not in ["ACTIVE", "ACTION_REQUIRED"]:
            return IGNORED
        self._move(n, "EXPIRED", instants[0])
        return DONE

    def revoke(
        self, n: int, now: datetime, happened: datetime, actor: str
    ) -> tuple[list[str], list[str]] | None:
        """Return the outcome of each reached connection, and the effects; None for a mistake."""
        whole = actor in ["PATIENT", "PLATFORM"]
        reached = range(n, len(self.line) if whole else n + 1)
        instants = [self._instants(place, now, happened) for place in reached]
        outcomes, effects = [], []
        for place, known in zip(reached, instants, strict=True):
            if known is None:
                # The named connection is checked first.
                return None
            stored, (at, revoked) = self.line[place], known
            if stored["revoked"] is not None:
                outcomes.append("ignored")
                continue
            outcomes.append("done")
            if stored["status"] == "PENDING":
                effects.append(f"cancel the hand-off of {stored['id']}")
            else:
                effects.append(f"access of {stored['id']} ended at {show(revoked)}")
            self._move(place, "REVOKED", at)
            stored["revoked"], stored["revoked_by"] = revoked, actor
        head = self.line[-1]
        goes_on = not whole and head["id"] != self.line[n]["id"]
        if goes_on and "done" in outcomes and standing(head, now) in LIVE:
            effects.append(f"{head['id']} lives on after {self.line[n]['id']}")
            self.rely_on(len(self.line) - 1)
        return outcomes, effects

    def rely_on(self, n: int) -> None:
        """Bump the version, as a decision that relied on a connection does."""
        self.line[n]["version"] += 1

    def reconnect(self, n: int, now: datetime, new_ids: str, deadline: datetime) -> Said:
        """Return done with the action and the id of the recovery in its details."""
        stored, is_last = self.line[n], n + 1 == len(self.line)
        details: dict[str, object] = {"connectionId": stored["id"]}
        # A reissued recovery is judged by itself: the last change of its predecessor does not
        # count.
        asked = now if is_last else max(now, self.line[n + 1]["updated"])
        at = max(asked, stored["updated"])
        at_now = standing(stored, at)
        if at_now in ["PENDING", "ACTIVE"]:
            details["reason"] = "STILL_PENDING" if at_now == "PENDING" else "ALREADY_ACTIVE"
            return "refused", "CONNECTION_NOT_RECONNECTABLE", details
        if is_last:
            self.mint(new_ids, at, deadline)
            self.rely_on(n)
            return "done", None, {"minted": new_ids}
        successor = self.line[n + 1]
        if standing(successor, asked) != "PENDING":
            details["nextConnectionId"] = successor["id"]
            details["headConnectionId"] = self.line[-1]["id"]
            return "refused", "CONNECTION_SUPERSEDED", details
        self._move(n + 1, successor["status"], asked)["deadline"] = deadline
        return "done", None, {"reissued": successor["id"]}

    def ask(self, n: int, now: datetime, package: str) -> tuple[str | None, datetime | None]:
        """Return the reason of a denial or None, and the end of the access."""
        stored = self.line[n]
        at_now = standing(stored, now)
        if at_now != "ACTIVE":
            return at_now, None
        if package not in PACKAGES:
            return "PACKAGE_NOT_GRANTED", None
        return None, stored["end"]
