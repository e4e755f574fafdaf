"""One coordinate as the text of the rules has it: its binding, connections and sessions.

It is written from the sentences about tombstones, clocks, connections and entry paths, and shares no
code with the package. Every function returns what a client or a reporter sees.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

TICK: Final = timedelta(microseconds=1)
TOLERANCE: Final = timedelta(minutes=5)
LIFETIME: Final = timedelta(minutes=30)
ERROR: Final = "a caller's mistake"


@attrs.define
class Row:
    """A connection as it is stored."""

    id: str
    created: datetime
    era: datetime | None
    deadline: datetime
    updated: datetime
    status: str = "PENDING"
    authorized: datetime | None = None
    expires: datetime | None = None
    revoked: datetime | None = None
    successor: Row | None = None


@attrs.define
class Entry:
    """A session as it is stored."""

    id: str
    path: str
    created: datetime
    era: datetime | None
    landed: datetime | None = None
    user: str | None = None

    @property
    def expires(self) -> datetime:
        return self.created + LIFETIME


@attrs.define
class Account:
    """The binding of the coordinate, and everything that was made for it."""

    state: str = "UNLINKED"
    user: str | None = None
    generation: int = 0
    era: datetime | None = None
    reported: datetime | None = None
    counts: datetime | None = None
    swept: bool = True
    rows: list[Row] = attrs.Factory(list)
    entries: list[Entry] = attrs.Factory(list)
    touched: set[str] = attrs.Factory(set)
    """The ids of the rows that the last function wrote or relied on, and `binding`."""

    # What a connection is

    def standing(self, row: Row, at: datetime) -> str:
        if row.revoked is not None or row.era != self.era:
            return "REVOKED"
        if row.status == "PENDING":
            return "PENDING" if at < row.deadline else "LAPSED"
        return "ACTIVE" if row.expires is None or at < row.expires else "EXPIRED"

    def access(self, row: Row, now: datetime) -> str:
        # A read is judged at its own clock, also if that is behind the last write.
        standing = self.standing(row, now)
        return "granted" if standing == "ACTIVE" else standing

    def shown(self, row: Row, now: datetime) -> dict[str, object]:
        standing = self.standing(row, now)
        revoked = row.revoked
        if revoked is None and row.era != self.era:
            assert self.counts is not None
            revoked = max(self.counts, row.created)
        return {
            "id": row.id,
            "status": "EXPIRED" if standing == "LAPSED" else standing,
            "authorizedAt": row.authorized,
            "expiresAt": row.expires,
            "revokedAt": revoked,
            "createdAt": row.created,
            "updatedAt": row.updated,
        }

    # Requests

    def create(self, id_: str, now: datetime, era: datetime | None) -> None:
        self.rows.append(Row(id_, now, era=era, deadline=now + LIFETIME, updated=now))

    def reconnect(self, row: Row, now: datetime, id_: str, *, era: datetime | None) -> str:
        """Return the status with the id of the successor, or with the reason of the refusal."""
        successor = row.successor
        at = max(now, row.updated) if successor is None else max(now, successor.updated)
        standing = self.standing(row, max(at, row.updated))
        if standing in {"PENDING", "ACTIVE"}:
            return "STILL_PENDING" if standing == "PENDING" else "ALREADY_ACTIVE"
        if successor is None:
            # The deadline moves by as much as the clock was raised.
            row.successor = Row(id_, at, era=era, deadline=at + LIFETIME, updated=at)
            self.rows.append(row.successor)
            self.touched = {row.id}
            return f"201 {id_}"
        if self.standing(successor, at) != "PENDING":
            return "CONNECTION_SUPERSEDED"
        successor.deadline, successor.updated = at + LIFETIME, at
        self.touched = {successor.id}
        return f"201 {successor.id}"

    def revoke(self, row: Row, now: datetime) -> bool:
        """Return `revokedNow`."""
        at = max(now, row.updated)
        if self.standing(row, at) == "REVOKED":
            return False
        row.status, row.revoked, row.updated = "REVOKED", at, at
        return True

    def initiate(
        self, id_: str, now: datetime, user: str, *, prefer: bool, era: datetime | None
    ) -> str:
        """Return the path."""
        if self.state == "ACTIVE":
            entry = Entry(id_, "EXISTING_ACTIVE_HANDOFF", now, era=era, landed=now, user=self.user)
            self.touched = {"binding"}
        elif self.state == "UNLINKED" and prefer:
            entry = Entry(id_, "NEW_ACTIVE_SIGNUP_HANDOFF", now, era=era)
        else:
            entry = Entry(id_, "SILENT_LIMITED", now, era=era)
            if self.state != "LIMITED":
                self.bind("LIMITED", user)
        self.entries.append(entry)
        return entry.path

    # Facts

    def authorize(
        self, row: Row, now: datetime, happened: datetime | None, expires: datetime | None
    ) -> str:
        self.finish_sweep(now)
        at = max(now, row.updated)
        if happened is not None and happened > at + TOLERANCE:
            return ERROR
        happened = at if happened is None else max(min(happened, at), row.created)
        if expires is not None and expires <= happened:
            return ERROR
        if row.successor is not None:
            return "CONNECTION_SUPERSEDED"
        standing = self.standing(row, happened)
        if standing == "PENDING":
            row.status, row.authorized, row.expires = "ACTIVE", happened, expires
            row.updated = at
            self.touched = {row.id}
            return "done"
        if standing == "ACTIVE":
            return "ignored"
        return "HANDOFF_LAPSED" if standing == "LAPSED" else "CONNECTION_NOT_PENDING"

    def complete(self, entry: Entry, user: str, now: datetime) -> str:
        self.finish_sweep(now)
        at = max(now, entry.created)
        if entry.path != "NEW_ACTIVE_SIGNUP_HANDOFF":
            return "HANDOFF_NOT_REQUIRED"
        if entry.landed is not None:
            return "ignored" if entry.user == user else "BINDING_CONFLICT"
        if at >= entry.expires:
            return "SESSION_EXPIRED"
        if entry.era != self.era or self.state in {"LIMITED", "TOMBSTONED"}:
            return "BINDING_CHANGED"
        if self.state == "ACTIVE" and self.user != user:
            return "BINDING_CONFLICT"
        if self.state == "UNLINKED":
            self.bind("ACTIVE", user)
        entry.landed, entry.user = at, user
        self.touched = {"binding"}
        return "done"

    def graduate(self, now: datetime) -> str:
        self.finish_sweep(now)
        if self.state in {"UNLINKED", "TOMBSTONED"}:
            return "BINDING_CHANGED"
        if self.state == "ACTIVE":
            return "ignored"
        self.state = "ACTIVE"
        self.touched = {"binding"}
        return "done"

    def tombstone(self, now: datetime, reported: datetime | None, *, sweeps: bool = True) -> str:
        self.finish_sweep(now)
        if reported is not None and reported == self.reported:
            return "ignored"
        if reported is not None and reported > now + TOLERANCE:
            return ERROR
        self.era = now if self.era is None else max(now, self.era + TICK)
        self.state, self.reported = "TOMBSTONED", reported
        self.counts = now if reported is None else min(reported, now)
        self.touched.add("binding")
        self.swept = False
        if sweeps:
            self.finish_sweep(now)
        return "done"

    def finish_sweep(self, now: datetime) -> None:
        if self.swept:
            return
        assert self.counts is not None
        self.swept = True
        for row in self.rows:
            if row.era != self.era and row.revoked is None:
                row.status, row.revoked = "REVOKED", max(self.counts, row.created)
                row.updated = max(now, row.updated, self.counts)
                self.touched.add(row.id)

    def bind(self, state: str, user: str) -> None:
        self.state, self.user = state, user
        self.generation += 1
        self.touched = {"binding"}
