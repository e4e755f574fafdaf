"""Responses that a log recorded: what is adopted from them, and where they diverge.

The laws of this module: **only an id that is not in use is adopted**; **ids match one to
one** over a whole log: two ids are one only where they always were.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import parse_opaque, parse_time, parse_uuid
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.json import Json, MalformedError, parse_json

_Value = TypeVar("_Value")

_FIXED: Final = frozenset({"status", "retryable"})
_ID_MEMBERS: Final = frozenset({"id", "previousConnectionId"})


@attrs.frozen
class Divergence:
    """Where a recorded response is not what the rules say.

    Attributes:
        member: `status`, `code`, or the path of a member of the body.
        recorded: What was recorded there.
        decided: What the rules say.
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
        members: The response's own members, such as `status` and `body`.
        body: Its body as a JSON value; `None` where there is none or it is no JSON.
    """

    members: dict[str, Json] = attrs.field(repr=False)
    body: Json = attrs.field(repr=False)

    @classmethod
    def of(cls, response: dict[str, Json]) -> Recorded:
        """Read a recorded response; its body may be a JSON value or a string of raw text."""
        body = response.get("body")
        if isinstance(body, str):
            try:
                body = parse_json(body)
            except MalformedError:
                body = None
        return cls(response, body)

    def id(self, member: str) -> str | None:
        """The id of the body's connection or session, where one can be read."""
        return self._read(parse_uuid, member, "id")

    def url(self) -> str | None:
        """The next action's URL, where one can be read."""
        return self._read(parse_opaque, "nextAction", "url")

    def next_action_end(self) -> datetime | None:
        """When the next action ends, where that can be read."""
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
    """Compares recorded responses of one log with what the rules say."""

    def __init__(self) -> None:
        self._decided: dict[str, str] = {}
        self._recorded: dict[str, str] = {}

    def divergences(
        self, recorded: Recorded, response: Response, rule: str
    ) -> tuple[Divergence, ...]:
        """Every divergence of one response: its status, then its problem or its body.

        Of a problem only what the catalogue fixes is compared; its text may change [P], and
        its details are each server's own.

        Args:
            recorded: What the log says.
            response: What was answered now.
            rule: The rule that decided.
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
        ours, theirs = _problem(decided), _problem(recorded.body)
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
        elif not self._same(path, recorded, decided):
            found.append(Divergence(member=path, recorded=recorded, decided=decided, rule=rule))

    def _same(self, path: str, recorded: Json, decided: Json) -> bool:
        if type(recorded) is not type(decided):
            return False
        if isinstance(recorded, str) and isinstance(decided, str):
            if path.rpartition(".")[2] in _ID_MEMBERS:
                return self._matched(recorded.lower(), decided)
            return recorded == decided or _same_instant(recorded, decided)
        return recorded == decided

    def _matched(self, recorded: str, decided: str) -> bool:
        if recorded not in self._decided and decided not in self._recorded:
            self._decided[recorded] = decided
            self._recorded[decided] = recorded
        return self._decided.get(recorded) == decided


def _problem(body: Json) -> dict[str, Json]:
    return body if isinstance(body, dict) and "code" in body else {}


def _same_instant(recorded: str, decided: str) -> bool:
    try:
        return parse_time("recorded", recorded) == parse_time("decided", decided)
    except ArgumentError:
        return False
