"""The rule that decided each member of a response.

The law of this module: **a member is blamed on the rule that decided it**, also if that was the rule
of an earlier request or fact. A status that follows from the clock is blamed on a rule of the table
`standing`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.connection import (
    OTHER,
    STANDING,
    THIS,
    Connection,
    DeadlineState,
    RevocationState,
    next_deadline,
)
from curae_lifecycle.rules.problems import CATALOGUE, ProblemCode
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate
from curae_lifecycle.rules.wire_status import WireStatus
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.status import PROBLEM_STATUS
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer
from curae_lifecycle.web.wire_format import format_stored_connection

_CONNECTION_TABLES: Final = ("connection", "recovery", "authorization", "expiry-record")
"""The tables whose rules change a connection."""

_MEMBER_TABLES: Final = {
    "revokedNow": ("connection",),
    "previousConnectionId": ("recovery",),
    "session": ("entry-path",),
    "nextAction": ("recovery", "entry-path", "graduation-handoff"),
}
"""The tables that decide a member of a success, besides the operation's rule."""

_FIXED_BY_OPERATION: Final = frozenset({"id", "appUserId", "customerAccountId", "createdAt"})
"""The members of a session that do not depend on its entry path."""


class Deciders:
    """A record of which rule last changed each member of a store's connections and accounts.

    If a recorded response differs from the one that the rules give, the report of the difference
    names that rule. Pass all committed changes of the store to `note` or `after_request`, in order.

    Args:
        store: The store whose changes are noted.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._connections: dict[str, dict[str, str]] = {}
        # A request that names no coordinate is about no account, so None is never a key.
        self._accounts: dict[Coordinate | None, str] = {}

    def note(self, changes: Changes, rules: tuple[str, ...], now: datetime) -> None:
        """Remember the rule that changed each changed member of a connection or account.

        The report of a difference in such a member names this rule: the last of `rules` that comes
        from a table about connections (or accounts), or else the last of all `rules`.

        Args:
            changes: The changes that were committed.
            rules: The names of the rules that decided, in order.
            now: The instant of the decision.
        """
        for write in changes.writes:
            match write:
                case ConnectionWrite(before, after):
                    earlier = (
                        {}
                        if before is None
                        else format_stored_connection(before, now, WireStatus.ACTIVE)
                    )
                    rule = _last_of(_CONNECTION_TABLES, rules) or rules[-1]
                    deciders = self._connections.setdefault(after.id, {})
                    for name, value in format_stored_connection(
                        after, now, WireStatus.ACTIVE
                    ).items():
                        if name not in earlier or earlier[name] != value:
                            deciders[name] = rule
                case BindingWrite(before, after) if before is None or before.state != after.state:
                    rule = _last_of(("binding",), rules) or rules[-1]
                    self._accounts[after.coordinate] = rule
                case _:
                    pass

    def after_request(self, request: Request, answer: Answer) -> Callable[[str], str]:
        """Note the changes of an answer, and return a function that names the rule of a member.

        Args:
            request: The request.
            answer: The answer to the request: the response, the rules that decided it, and the
                changes that were committed with it.

        Returns:
            A function that takes the path of a member, such as `body.connection.status`, and
                returns the name of the rule that decided this member of the response. Call the
                function before the store changes again.
        """
        self.note(answer.changes, answer.rules, answer.decided_at)
        return lambda member: self._rule_of(member, request, answer)

    def _rule_of(self, member: str, request: Request, answer: Answer) -> str:
        last = answer.rules[-1]
        decided = parse_json(answer.response.body) if answer.response.body else None
        if answer.replayed or not isinstance(decided, dict):
            return last
        if "code" in decided:
            return _problem_rule(member, str(decided["code"])) or last
        if member == "body.lifecycleState":
            return self._accounts.get(self._coordinate(request), last)
        return self._success_rule(member, decided, answer) or last

    def _success_rule(self, member: str, decided: dict[str, Json], answer: Answer) -> str | None:
        operation = _last_of(("operation",), answer.rules)
        match member.split("."):
            case ["body", "connection", name, *_]:
                return self._connection_rule(name, decided, answer.decided_at) or operation
            case ["body", "session", name, *_] if name in _FIXED_BY_OPERATION:
                return operation
            case ["body", name, *_] if name in _MEMBER_TABLES:
                return _last_of(_MEMBER_TABLES[name], answer.rules) or operation
            case ["code"]:
                return None
            case _:
                return operation

    def _coordinate(self, request: Request) -> Coordinate | None:
        # The coordinate that a request for an account state names.
        api_key = bearer(request)
        caller = None if api_key is None else self._store.caller_of(api_key.digest())
        users = parse_qs(request.target.partition("?")[2]).get("appUserId", [])
        if caller is None or len(users) != 1:
            return None
        return caller.coordinate(AppUserId(users[0]))

    def _connection_rule(self, name: str, decided: dict[str, Json], now: datetime) -> str | None:
        shown = decided.get("connection")
        id_ = shown.get("id") if isinstance(shown, dict) else None
        if not isinstance(id_, str):
            return None
        connection = self._store.connection(ConnectionId(id_))
        if name == "status" and connection is not None:
            era = present_era(self._store.binding(connection.identity.coordinate))
            era_state = THIS if connection.identity.era == era else OTHER
            if era_state is OTHER or _is_over(connection, now):
                key = connection.status, _revocation(connection), era_state, DeadlineState.REACHED
                return STANDING[key].rule
        return self._connections.get(id_, {}).get(name)


def _revocation(connection: Connection) -> RevocationState:
    return RevocationState.NEVER if connection.revoked_at is None else RevocationState.ONCE


def _is_over(connection: Connection, now: datetime) -> bool:
    deadline = next_deadline(connection, era=connection.identity.era)
    return connection.revoked_at is None and deadline is not None and deadline <= now


def _problem_rule(member: str, code: str) -> str | None:
    if code not in ProblemCode.__members__:
        return None
    row = CATALOGUE[ProblemCode[code]]
    if member == "body.retryable":
        return row.rule
    return PROBLEM_STATUS[row.outcome.kind].rule if member == "body.status" else None


def _last_of(tables: tuple[str, ...], rules: tuple[str, ...]) -> str | None:
    for rule in reversed(rules):
        if rule.partition(".")[0] in tables:
            return rule
    return None
