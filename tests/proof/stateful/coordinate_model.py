"""A model of one coordinate: its user, state and sessions, in plain dictionaries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

Said = tuple[str, str | None, dict[str, object]]
"""The outcome (done, ignored, refused or mistake), a code and its details."""

DONE: Said = ("done", None, {})
IGNORED: Said = ("ignored", None, {})
MISTAKE: Said = ("mistake", None, {})


TOLERANCE = timedelta(minutes=5)
"""The largest difference between two clocks."""


class Session(TypedDict):
    """A session as it should be stored."""

    id: str
    path: str
    handoff: str
    created: datetime
    end: datetime
    landed: datetime | None
    user: str | None
    era: datetime | None


def show(time: datetime) -> str:
    """Format an instant for the wire: RFC 3339, the shortest form."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S")
    if time.microsecond:
        text += f".{time.microsecond:06}".rstrip("0")
    return text + "Z"


class CoordinateModel:
    """The bound user, and every session."""

    def __init__(self) -> None:
        self.state = "UNLINKED"
        self.user: str | None = None
        self.generation = self.version = 0
        self.sessions: dict[str, Session] = {}
        self.era: datetime | None = None
        self.tombstoned: datetime | None = None
        self.reported: datetime | None = None

    def refuse(self, code: str) -> Said:
        return "refused", code, {"lifecycleState": self.state}

    def bind(self, user: str, state: str) -> None:
        if user != self.user:
            self.generation += 1
        self.version += 1
        self.user, self.state = user, state

    def initiate(
        self, session_id: str, now: datetime, end: datetime, new_user: str, *, prefers: bool
    ) -> Said:
        if self.state == "ACTIVE":
            path, handoff, landed = "EXISTING_ACTIVE_HANDOFF", "LANDED", now
            user = self.user
        elif self.state == "UNLINKED" and prefers:
            path, handoff, landed = "NEW_ACTIVE_SIGNUP_HANDOFF", "AWAITED", None
            user = None
        else:
            path, handoff, landed = "SILENT_LIMITED", "NOT_REQUIRED", None
            if self.state == "TOMBSTONED" and new_user == self.user:
                return MISTAKE
            if self.state != "LIMITED":
                self.bind(new_user, "LIMITED")
            user = self.user
        self.sessions[session_id] = {
            "id": session_id,
            "path": path,
            "handoff": handoff,
            "created": now,
            "end": end,
            "landed": landed,
            "user": user,
            "era": self.era,
        }
        return DONE

    def complete(self, session_id: str, user: str, now: datetime, happened: datetime) -> Said:
        session = self.sessions[session_id]
        if happened > now + TOLERANCE:
            return MISTAKE
        happened = max(min(happened, now), session["created"])
        if session["path"] != "NEW_ACTIVE_SIGNUP_HANDOFF":
            details: dict[str, object] = {"sessionId": session_id, "path": session["path"]}
            return "refused", "HANDOFF_NOT_REQUIRED", details
        if session["handoff"] == "LANDED":
            return IGNORED if session["user"] == user else self.refuse("BINDING_CONFLICT")
        if happened >= session["end"]:
            details = {"sessionId": session_id, "expiresAt": show(session["end"])}
            return "refused", "SESSION_EXPIRED", details
        if session["era"] != self.era:
            return self.refuse("BINDING_CHANGED")
        bound = self.sign_up(user)
        if bound[0] == "refused":
            return bound
        session["handoff"], session["landed"], session["user"] = "LANDED", happened, user
        return DONE

    def provision(self, user: str) -> Said:
        if self.state in ["LIMITED", "ACTIVE"]:
            return IGNORED
        if user == self.user:
            return MISTAKE
        self.bind(user, "LIMITED")
        return DONE

    def sign_up(self, user: str) -> Said:
        if self.state in ["LIMITED", "TOMBSTONED"]:
            return self.refuse("BINDING_CHANGED")
        if self.state == "ACTIVE":
            return IGNORED if user == self.user else self.refuse("BINDING_CONFLICT")
        self.bind(user, "ACTIVE")
        return DONE

    def graduate(self, user: str) -> Said:
        if self.state in ["UNLINKED", "TOMBSTONED"]:
            return self.refuse("BINDING_CHANGED")
        if user != self.user:
            return self.refuse("BINDING_CONFLICT")
        if self.state == "ACTIVE":
            return IGNORED
        self.bind(user, "ACTIVE")
        return DONE

    def tombstone(self, now: datetime, happened: datetime | None) -> Said:
        if happened is not None and happened == self.reported:
            return IGNORED
        if happened is not None and happened > now + TOLERANCE:
            return MISTAKE
        self.state = "TOMBSTONED"
        self.version += 1
        last = self.era
        self.era = now if last is None or last < now else last + timedelta(microseconds=1)
        self.tombstoned = now if happened is None else min(happened, now)
        self.reported = happened
        return DONE

    def start_graduation(self) -> Said:
        return DONE if self.state == "LIMITED" else self.refuse("BINDING_NOT_LIMITED")
