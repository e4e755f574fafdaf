"""Responses recorded in a log: the values to adopt from them, and their divergences.

The laws of this module:

- **Only an id that is not in use is adopted.**
- **Ids match one to one over a whole log.** Two recorded ids are equal exactly if the two decided
  ids are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import parse_opaque, parse_time, parse_uuid
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.json import MalformedError, parse_json

_Value = TypeVar("_Value")

_FIXED: Final = frozenset({"status", "retryable"})
"""The members of a problem, besides its code, that the catalogue fixes."""

_ID_MEMBERS: Final = frozenset({"id", "previousConnectionId"})
"""The members of a body whose values are ids of connections and sessions."""


@attrs.frozen
class Divergence:
    """A difference between a recorded response and the response by the rules.

    Attributes:
        member: The place of the difference: `status`, `code`, or the path of a member of the body,
            such as `body.connection.status`.
        recorded: The recorded value; None if there is none.
        decided: The value by the rules; None if there is none.
        rule: The name of the rule that decided.
    """

    member: str
    recorded: Json = attrs.field(repr=False)
    decided: Json = attrs.field(repr=False)
    rule: str


@attrs.frozen
class Recorded:
    """A recorded response, as far as it can be read.

    Attributes:
        members: The members of the log's object for the response, such as `status` and `body`.
        body: The body as a JSON value; None if the body is missing or not JSON.
    """

    members: dict[str, Json] = attrs.field(repr=False)
    body: Json = attrs.field(repr=False)

    @classmethod
    def of(cls, response: dict[str, Json]) -> Recorded:
        """Read a response of a log; its member `body` is a JSON value, or a string of raw text."""
        body = response.get("body")
        if isinstance(body, str):
            try:
                body = parse_json(body)
            except MalformedError:
                body = None
        return cls(response, body)

    def id(self, member: str) -> str | None:
        """Return the id of the connection or session in the body; None if the body has no valid id.

        Args:
            member: The member of the body that has the id: `connection` or `session`.
        """
        return self._read(parse_uuid, member, "id")

    def url(self) -> str | None:
        """Return the URL of the next action in the body; None if the body has no valid one."""
        return self._read(parse_opaque, "nextAction", "url")

    def next_action_end(self) -> datetime | None:
        """Return when the next action in the body expires; None if the body has no valid expiry."""
        return self._read(parse_time, "nextAction", "expiresAt")

    def _read(
        self, parse: Callable[[str, object], _Value], outer: str, inner: str
    ) -> _Value | None:
        holder = self.body.get(outer) if isinstance(self.body, dict) else None
        if not isinstance(holder, dict):
            return None
        try:
            return parse(inner, holder.get(inner))
        except ArgumentError:
            return None


class Comparison:
    """Comparison of the recorded responses of one log with the responses by the rules.

    Use one object for all responses of a log, in order, since it matches ids across the responses.
    """

    def __init__(self) -> None:
        self._decided_ids: dict[str, str] = {}
        self._recorded_ids: dict[str, str] = {}

    def divergences(
        self, recorded: Recorded, response: Response, rule: str
    ) -> tuple[Divergence, ...]:
        """Return the divergences of one response: in the status, then in the problem or body.

        Of a problem only the code, the status and `retryable` are compared. The texts of a problem
        may change [P], and its details can differ from server to server. If the log has neither
        code nor body, only the status is compared.

        Args:
            recorded: The response in the log.
            response: The response by the rules.
            rule: The name of the rule that decided.
        """
        found: list[Divergence] = []
        members = recorded.members
        decided = parse_json(response.body) if response.body else None
        if "status" in members and members["status"] != response.status:
            found.append(
                Divergence(
                    member="status", recorded=members["status"], decided=response.status, rule=rule
                )
            )
        ours, theirs = _problem_members(decided), _problem_members(recorded.body)
        if "code" in members:
            theirs = theirs | {"code": members["code"]}
        elif "body" not in members:
            return tuple(found)
        if ours.get("code") != theirs.get("code"):
            found.append(
                Divergence(
                    member="code", recorded=theirs.get("code"), decided=ours.get("code"), rule=rule
                )
            )
        elif not ours and "body" in members:
            self._compare("body", recorded=recorded.body, decided=decided, rule=rule, found=found)
        else:
            for name in sorted(theirs.keys() & _FIXED):
                self._compare(
                    f"body.{name}",
                    recorded=theirs[name],
                    decided=ours[name],
                    rule=rule,
                    found=found,
                )
        return tuple(found)

    def _compare(
        self, path: str, recorded: Json, decided: Json, rule: str, found: list[Divergence]
    ) -> None:
        if isinstance(recorded, dict) and isinstance(decided, dict):
            for name in sorted(recorded.keys() | decided.keys()):
                inner = f"{path}.{name}"
                if name not in recorded or name not in decided:
                    found.append(
                        Divergence(
                            member=inner,
                            recorded=recorded.get(name),
                            decided=decided.get(name),
                            rule=rule,
                        )
                    )
                else:
                    self._compare(
                        inner,
                        recorded=recorded[name],
                        decided=decided[name],
                        rule=rule,
                        found=found,
                    )
        elif not self._is_same(path, recorded, decided):
            found.append(Divergence(member=path, recorded=recorded, decided=decided, rule=rule))

    def _is_same(self, path: str, recorded: Json, decided: Json) -> bool:
        if type(recorded) is not type(decided):
            return False
        if isinstance(recorded, str) and isinstance(decided, str):
            if path.rpartition(".")[2] in _ID_MEMBERS:
                return self._ids_match(recorded.lower(), decided)
            return recorded == decided or _is_same_instant(recorded, decided)
        return recorded == decided

    def _ids_match(self, recorded: str, decided: str) -> bool:
        if recorded not in self._decided_ids and decided not in self._recorded_ids:
            self._decided_ids[recorded] = decided
            self._recorded_ids[decided] = recorded
        return self._decided_ids.get(recorded) == decided


def _problem_members(body: Json) -> dict[str, Json]:
    return body if isinstance(body, dict) and "code" in body else {}


def _is_same_instant(recorded: str, decided: str) -> bool:
    try:
        return parse_time("recorded", recorded) == parse_time("decided", decided)
    except ArgumentError:
        return False
