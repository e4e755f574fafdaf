"""The platform of the model: connections, sessions, bindings, and the effects of facts."""

# A model that is read from top to bottom has long functions and plain arguments:
# ruff: noqa: C901, PLR0912, PLR0915

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from tests.proof.reference import tables
from tests.proof.reference.values import (
    SKEW,
    Broken,
    Members,
    format_time,
    is_app_user,
    members,
    parse_uuid,
    require_environment,
    require_text,
    require_time,
    require_uuid,
)

ACTORS = ["APP", "PATIENT", "PLATFORM", "UPSTREAM"]

Coordinate = tuple[str, str, str, str]
"""The environment, app, account and app user."""


class Connection(TypedDict):
    """A stored authorization; its standing depends on the instant."""

    id: str
    environment: str
    app: str
    account: str
    user: str
    packages: list[str]
    status: str
    authorized_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    reason: str | None
    created_at: datetime
    updated_at: datetime
    deadline: datetime
    previous: str | None
    over: bool
    """True if it was made under another era than the present one."""


class Session(TypedDict):
    """One session of the entry flow."""

    path: str
    coordinate: Coordinate
    created_at: datetime
    expires_at: datetime
    landed_user: str | None
    over: bool
    """True if it was made under another era than the present one."""


def deadline_of(connection: Connection) -> datetime | None:
    """Return the instant at which a connection changes by itself."""
    instants = {
        "the hand-off's deadline": connection["deadline"],
        "expiresAt": connection["expires_at"],
        "none": None,
    }
    return instants[tables.DEADLINE[connection["status"], revocation(connection), era(connection)]]


def revocation(connection: Connection) -> str:
    return "no revokedAt" if connection["revoked_at"] is None else "a revokedAt"


def era(connection: Connection) -> str:
    return "made under another era" if connection["over"] else "made under the present era"


def standing(connection: Connection, now: datetime) -> str:
    end = deadline_of(connection)
    early = end is None or now < end
    clock = "before the deadline, or none set" if early else "at or after the deadline"
    return tables.STANDING[connection["status"], revocation(connection), era(connection), clock]


def outcome(verdict: str) -> tuple[str, str | None]:
    """Return what a verdict of a table does, and the code of a refusal."""
    if verdict.startswith("refuse "):
        return "refused", verdict.split()[1]
    return ("ignored" if verdict == "ignore" else "done"), None


def format_connection(connection: Connection, now: datetime) -> dict[str, object]:
    return {
        "id": connection["id"],
        "customerAccountId": connection["account"],
        "appUserId": connection["user"],
        # Reading: the wire shows the standing, even if only `expiresAt` has passed.
        "status": tables.WIRE_STATUS[standing(connection, now),],
        "dataPackages": connection["packages"],
        "authorizedAt": format_time(connection["authorized_at"]),
        "expiresAt": format_time(connection["expires_at"]),
        "revokedAt": format_time(connection["revoked_at"]),
        "actionRequiredReason": connection["reason"],
        "createdAt": format_time(connection["created_at"]),
        "updatedAt": format_time(connection["updated_at"]),
    }


def coordinate_of(connection: Connection) -> Coordinate:
    return (
        connection["environment"],
        connection["app"],
        connection["account"],
        connection["user"],
    )


def touch(connection: Connection, now: datetime) -> None:
    """Record that the connection was written; this instant never goes back."""
    connection["updated_at"] = max(now, connection["updated_at"])


class Platform:
    """The values that facts change: connections, sessions, bindings."""

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}
        self.sessions: dict[str, Session] = {}
        self.bindings: dict[Coordinate, tuple[str, str]] = {}
        self.last_tombstones: dict[Coordinate, object] = {}

    def _successor(self, connection: Connection) -> Connection | None:
        for other in self.connections.values():
            if other["previous"] == connection["id"]:
                return other
        return None

    def _head(self, connection: Connection) -> Connection:
        """Return the last connection of a chain."""
        while True:
            successor = self._successor(connection)
            if successor is None:
                return connection
            connection = successor

    def _successor_word(self, connection: Connection, now: datetime) -> str:
        successor = self._successor(connection)
        if successor is None:
            return "no successor"
        waits = standing(successor, now) == "PENDING"
        return "successor PENDING" if waits else "successor anything else"

    def _fact(self, now: datetime, value: object) -> tuple[str, str | None]:
        kind = dict(value.pairs).get("type") if isinstance(value, Members) else None
        common = ["type"]
        given: dict[str, object]
        if kind == "connection.authorize":
            given = members(value, [*common, "connectionId"], ["happenedAt", "expiresAt"])
        elif kind == "connection.require_action":
            given = members(value, [*common, "connectionId", "reason"], ["happenedAt"])
        elif kind == "connection.expire":
            given = members(value, [*common, "connectionId"], ["happenedAt"])
        elif kind == "connection.revoke":
            given = members(value, [*common, "connectionId", "actor"], ["happenedAt"])
        elif kind == "handoff.complete":
            given = members(value, [*common, "sessionId", "userId"], ["happenedAt"])
        elif kind in ["binding.graduate", "binding.tombstone"]:
            given = members(
                value,
                [*common, "customerAccountId", "appId", "appUserId"],
                ["environment", "userId", "happenedAt"],
            )
        else:
            raise Broken("an unknown fact")
        # Reading: an optional member that is null is broken, as a null is in a body.
        happened = require_time(given["happenedAt"]) if "happenedAt" in given else now
        if happened - now > SKEW:
            raise Broken("it happened too long after it was recorded")
        happened = min(happened, now)
        user = require_text(given["userId"]) if "userId" in given else None

        if kind == "handoff.complete":
            assert user is not None
            return self._complete(happened, given["sessionId"], user)
        if kind in ["binding.graduate", "binding.tombstone"]:
            if not is_app_user(given["appUserId"]):
                raise Broken("an app user was expected")
            coordinate = (
                require_environment(given.get("environment", "live")),
                require_text(given["appId"]),
                require_uuid(given["customerAccountId"]),
                str(given["appUserId"]),
            )
            if kind == "binding.graduate":
                # Reading: a binding has no creation, so `happenedAt` may be any earlier time, and the
                # binding is judged as it is when the fact is recorded.
                return self._bind("graduate", coordinate, user)
            return self._tombstone(coordinate, now, happened, reported=given.get("happenedAt"))

        reason = require_text(given["reason"]) if "reason" in given else ""
        actor = given.get("actor", "APP")
        if not isinstance(actor, str) or actor not in ACTORS:
            raise Broken("an actor was expected")
        if not isinstance(given["connectionId"], str):
            raise Broken("an id is a string")
        connection = self.connections.get(parse_uuid(given["connectionId"]) or "")
        if connection is not None:
            happened = max(happened, connection["created_at"])
        # Reading: an end that is not after the authorization breaks the line, even if the
        # connection is unknown or cannot be authorized.
        expires = require_time(given["expiresAt"]) if "expiresAt" in given else None
        if expires is not None and expires <= happened:
            raise Broken("the access ends before it begins")
        if connection is None:
            return "refused", "NOT_FOUND"
        if kind == "connection.authorize":
            return self._authorize(connection, now=now, happened=happened, expires=expires)
        if kind == "connection.require_action":
            return self._require_action(connection, now=now, happened=happened, reason=reason)
        if kind == "connection.expire":
            return self._expire(connection, now, happened)
        # Reading: a revocation by patient or platform is done if it ended anything, even if the
        # named connection was revoked before.
        changed = self._revoke(connection, now, happened)
        while tables.REVOCATION_REACH[actor,] == "that connection and every later one":
            successor = self._successor(connection)
            if successor is None:
                break
            connection = successor
            changed = self._revoke(connection, now, happened) or changed
        return ("done" if changed else "ignored"), None

    def _authorize(
        self,
        connection: Connection,
        now: datetime,
        happened: datetime,
        expires: datetime | None,
    ) -> tuple[str, str | None]:
        verdict = tables.AUTHORIZATION[self._successor_word(connection, now),]
        if verdict == "proceed":
            verdict = tables.CONNECTION["authorize", standing(connection, happened)]
        if verdict == "ACTIVE":
            connection["status"] = verdict
            connection["authorized_at"] = happened
            connection["expires_at"] = expires
            touch(connection, now)
        return outcome(verdict)

    def _require_action(
        self, connection: Connection, now: datetime, happened: datetime, reason: str
    ) -> tuple[str, str | None]:
        verdict = tables.CONNECTION["require_action", standing(connection, happened)]
        if verdict == "ACTION_REQUIRED":
            connection["status"] = verdict
            connection["reason"] = reason
            touch(connection, now)
        return outcome(verdict)

    def _expire(
        self, connection: Connection, now: datetime, happened: datetime
    ) -> tuple[str, str | None]:
        verdict = tables.CONNECTION["expire", standing(connection, happened)]
        if verdict == tables.RECORDS_EXPIRY:
            verdict = tables.EXPIRY_RECORD[connection["status"],]
        if verdict == "EXPIRED":
            connection["status"] = verdict
            touch(connection, now)
        return outcome(verdict)

    def _revoke(self, connection: Connection, now: datetime, happened: datetime) -> bool:
        """Revoke a connection; return whether this revocation is the first."""
        verdict = tables.CONNECTION["revoke", standing(connection, now)]
        if verdict == "ignore":
            return False
        # Reading: if one fact ends many connections, each is clamped to its own creation. A late
        # revocation may be before `authorizedAt`: only recorded instants never go back, and
        # `revokedAt` was not recorded.
        connection["status"] = verdict
        connection["revoked_at"] = max(happened, connection["created_at"])
        touch(connection, now)
        return True

    def _complete(
        self, happened: datetime, session_id: object, user: str
    ) -> tuple[str, str | None]:
        if not isinstance(session_id, str):
            raise Broken("an id is a string")
        session = self.sessions.get(parse_uuid(session_id) or "")
        if session is None:
            return "refused", "NOT_FOUND"
        happened = max(happened, session["created_at"])
        if session["landed_user"] is not None:
            whose = "the same" if session["landed_user"] == user else "another"
            stands = f"landed for {whose} user"
        elif happened >= session["expires_at"]:
            stands = "over without landing"
        else:
            stands = "waiting, made under another era" if session["over"] else "waiting"
        verdict = tables.COMPLETION[session["path"], stands]
        if verdict == "proceed":
            result = self._bind("complete sign-up", session["coordinate"], user)
            if result[0] == "refused":
                return result
            session["landed_user"] = user
        return outcome(verdict)

    def _bind(
        self, trigger: str, coordinate: Coordinate, user: str | None
    ) -> tuple[str, str | None]:
        """Apply a trigger to a binding; no user stands for the bound one."""
        state, bound = self.bindings.get(coordinate, ("UNLINKED", ""))
        same = state != "UNLINKED" and user in [None, bound]
        beside = "same user" if same else "other user, or none bound"
        verdict = tables.BINDING[trigger, state, beside]
        if verdict in ["LIMITED", "ACTIVE", "TOMBSTONED"]:
            self.bindings[coordinate] = (verdict, bound if user is None else user)
        return outcome(verdict)

    def _tombstone(
        self, coordinate: Coordinate, now: datetime, happened: datetime, reported: object
    ) -> tuple[str, str | None]:
        # Reading: a tombstone may name a user, as the log's line kind shows it, but no cell of its
        # table asks for one.
        # Reading: a copy repeats the instant, however it is spelled.
        when = None if reported is None else require_time(reported)
        is_copy = when is not None and when == self.last_tombstones.get(coordinate)
        verdict = tables.TOMBSTONE_REPORT[
            "reported with the happenedAt of the last one"
            if is_copy
            else "any other, or without happenedAt",
        ]
        if verdict == "ignore":
            return outcome(verdict)
        result = self._bind("tombstone", coordinate, None)
        self.last_tombstones[coordinate] = when
        for session in self.sessions.values():
            if session["coordinate"] == coordinate:
                session["over"] = True
        # Reading: every connection that exists when the tombstone is recorded, even one created
        # after the tombstone happened.
        for connection in self.connections.values():
            if coordinate_of(connection) == coordinate:
                self._revoke(connection, now, happened)
                connection["over"] = True
        return result

    def _ask(self, now: datetime, value: object) -> dict[str, object]:
        given = members(value, ["type", "connectionId", "dataPackage"], [])
        if given["type"] != "access":
            raise Broken("an unknown question")
        package = given["dataPackage"]
        if not isinstance(package, str):
            raise Broken("a package is a string")
        connection = self.connections.get(parse_uuid(given["connectionId"]) or "")
        if connection is None:
            raise Broken("an unknown id")
        # Reading: a package that is no token is one that was not granted.
        held = "package granted" if package in connection["packages"] else "package not granted"
        verdict = tables.ACCESS[standing(connection, now), held]
        if verdict != "grant":
            reason = verdict.removeprefix("deny ")
            return {"granted": False, "reason": reason, "validUntil": None}
        end = connection["expires_at"]
        return {"granted": True, "reason": None, "validUntil": format_time(end)}
