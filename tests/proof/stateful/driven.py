"""The reference model as the machines of rules drive it: one owner, with the package's ids and times."""

from __future__ import annotations

import json
from datetime import datetime

from curae_lifecycle.rules.values import Coordinate
from tests.proof.reference import facts
from tests.proof.reference.model import Key, Model
from tests.proof.reference.requests import Answer, ProblemReply
from tests.proof.reference.values import Broken, Members, format_time

MISTAKE = "mistake", None


def recorded(kind: str, new_id: str, end: datetime) -> Members:
    """Return a recorded response, from which the model takes an id and the end of a next action."""
    action = Members([("url", "https://connect.example/1"), ("expiresAt", format_time(end))])
    body = Members([(kind, Members([("id", new_id)])), ("nextAction", action)])
    return Members([("body", body)])


class DrivenModel(Model):
    """The reference model of one coordinate. Its clock never steps back."""

    def __init__(self, coordinate: Coordinate) -> None:
        super().__init__()
        self.coordinate: facts.Coordinate = (
            str(coordinate.environment),
            coordinate.app_id,
            coordinate.customer_account_id,
            coordinate.app_user_id,
        )
        environment, app, account, _ = self.coordinate
        self.key: Key = {
            "api_key": "key-1",
            "app": app,
            "account": account,
            "scopes": [],
            "environment": environment,
        }

    @property
    def chain(self) -> list[facts.Connection]:
        """Return every connection, oldest first."""
        return list(self.connections.values())

    def mint(self, connection_id: str, now: datetime, deadline: datetime, *packages: str) -> None:
        """Create a connection that recovers no other."""
        self._mint(
            now,
            key=self.key,
            user=self.coordinate[3],
            packages=[*packages],
            deadline=deadline,
            previous=None,
            recorded=recorded("connection", connection_id, deadline),
        )

    def reconnect(
        self, n: int, now: datetime, new_id: str, deadline: datetime
    ) -> Answer | ProblemReply:
        """Recover a connection."""
        known = recorded("connection", new_id, deadline)
        try:
            return self._reconnect(now, key=self.key, connection=self.chain[n], recorded=known)
        except ProblemReply as refusal:
            return refusal

    def initiate(
        self, session_id: str, now: datetime, end: datetime, *, prefers: bool
    ) -> dict[str, object]:
        """Create a session, and return it as shown to the client."""
        known = recorded("session", session_id, end)
        _, _, body = self._initiate(now, coordinate=self.coordinate, prefer=prefers, recorded=known)
        session: dict[str, object] = json.loads(body or "{}")["session"]
        return session

    def fact(self, now: datetime, kind: str, **given: str | datetime) -> tuple[str, str | None]:
        """Record a fact, and return its outcome and code."""
        times = {
            name: format_time(value) if isinstance(value, datetime) else value
            for name, value in given.items()
        }
        try:
            return self._fact(now, Members([("type", kind), *times.items()]))
        except Broken:
            return MISTAKE

    def ask(self, n: int, now: datetime, package: str) -> dict[str, object]:
        """Ask for access to a package of a connection."""
        asked = {"type": "access", "connectionId": self.chain[n]["id"], "dataPackage": package}
        return self._ask(now, Members([*asked.items()]))

    def bind(self, trigger: str, user: str | None = None) -> tuple[str, str | None]:
        """Apply a trigger to the binding; no user stands for the bound one."""
        return self._bind(trigger, self.coordinate, user)

    def tombstone(self, now: datetime, happened: datetime | None) -> tuple[str, str | None]:
        """Record a tombstone; without `happened` it is reported without that member."""
        environment, app, account, user = self.coordinate
        return self.fact(
            now,
            "binding.tombstone",
            environment=environment,
            appId=app,
            customerAccountId=account,
            appUserId=user,
            **({} if happened is None else {"happenedAt": happened}),
        )

    @property
    def binding(self) -> tuple[str, str]:
        """Return the state of the account, and its user."""
        return self.bindings.get(self.coordinate, ("UNLINKED", ""))
