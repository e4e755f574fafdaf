"""Responses recorded in a log: the values to adopt from them, and their divergences.

The laws of this module:

- **Only an id that is not in use is adopted.**
- **Ids match one to one over a whole log.** Two recorded ids are equal exactly if the two decided
  ids are.
- **A server may choose its entity tags.** If a request sends a tag recorded for its target, the
  tag is replaced before the decision by the one that the rules gave for the same state.
- **An absent value is not null.** A divergence says which of the two it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import (
    AppId,
    CustomerAccountId,
    Environment,
    parse_opaque,
    parse_time,
    parse_uuid,
)
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import SPELLINGS
from curae_lifecycle.web.json import MalformedError, parse_json
from curae_lifecycle.web.request import Request, bearer, header_values

_Value = TypeVar("_Value")


class Absent(Enum):
    """The type of `ABSENT`, the marker of a value that is not there."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""The marker of a member that a response does not have, unlike a member that is null."""

_FIXED: Final = frozenset({"status", "retryable"})
"""The members of a problem, besides its code, that the catalogue fixes."""

_ID_MEMBERS: Final = frozenset({"id", "previousConnectionId"})
"""The members of a body whose values are ids of connections and sessions."""


_COMPARED_HEADERS: Final = ("content-type", "cache-control", "www-authenticate")
"""The headers whose values the rules fix; the value of any other header may differ."""


@attrs.frozen
class Divergence:
    """A difference between a recorded response and the one that the rules give.

    Attributes:
        member: The place of the difference: `status`, `code`, the path of a member of the body,
            such as `body.connection.status`, or a header, such as `headers.cache-control`.
        recorded: The recorded value; `ABSENT` if there is none.
        decided: The value by the rules; `ABSENT` if there is none.
        rule: The name of the rule that decided this member.
    """

    member: str
    recorded: Json | Absent = attrs.field(repr=False)
    decided: Json | Absent = attrs.field(repr=False)
    rule: str

    def document(self) -> dict[str, Json]:
        """Format the difference as a JSON object.

        The object has no member `recorded` if the recorded response lacks the value, and no member
        `decided` if the response by the rules lacks it.
        """
        document: dict[str, Json] = {"member": self.member}
        if not isinstance(self.recorded, Absent):
            document["recorded"] = self.recorded
        if not isinstance(self.decided, Absent):
            document["decided"] = self.decided
        return document | {"rule": self.rule}


@attrs.frozen
class Recorded:
    """A response in a log, of which any part may be missing or malformed.

    Attributes:
        members: The members of the line's object `response`, such as `status` and `body`.
        body: The body as a JSON value; its text if it is not JSON, and None if it is missing or
            empty.
    """

    members: dict[str, Json] = attrs.field(repr=False)
    body: Json = attrs.field(repr=False)

    @classmethod
    def of(cls, response: dict[str, Json]) -> Recorded:
        """Read a response of a log; its member `body` is a JSON value, or a string of raw text."""
        body = response.get("body")
        if isinstance(body, str):
            # A text that is not JSON stays, so that it differs from an empty body.
            with suppress(MalformedError):
                body = parse_json(body) if body else None
        return cls(response, body)

    def entity_tag(self) -> str | None:
        """Return the response's entity tag in quotes; None if it has no valid one.

        A weak tag loses its prefix `W/`, because `If-None-Match` compares weakly.
        """
        headers = self.members.get("headers")
        for name, value in headers.items() if isinstance(headers, dict) else ():
            if name.lower() == "etag" and isinstance(value, str):
                found = _ENTITY_TAG.fullmatch(value.removeprefix("W/"))
                return None if found is None else found[0]
        return None

    def id(self, member: str) -> str | None:
        """Return the id of the connection or session in the body; None if the body has no valid id.

        Args:
            member: The member of the body that has the id: `connection` or `session`.
        """
        return self._read(parse_uuid, member, "id")

    def url(self) -> str | None:
        """Return `nextAction.url`, the page to show, from the body; None if the body has no URL."""
        return self._read(parse_opaque, "nextAction", "url")

    def next_action_end(self) -> datetime | None:
        """Return `nextAction.expiresAt` from the body; None if the body has no such valid time."""
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


class RecordedTags:
    """The entity tags recorded in a log, each with the tag that the rules gave for the same state.

    With these, a recorded `If-None-Match` matches in the replay as it did on the server. The tags
    of each resource are kept apart, since a server may use one tag for states of two users. A
    resource is a request target of an app, whichever of the app's API keys reads it.

    Args:
        caller_of: Returns the caller of an API key's digest; None if the key is unknown.
    """

    def __init__(self, caller_of: Callable[[str], Caller | None]) -> None:
        self._caller_of = caller_of
        self._decided: dict[_Resource, dict[str, str]] = {}

    def note(self, request: Request, recorded: Recorded | None, response: Response) -> None:
        """Remember which entity tag the rules gave to a response that has another one in the log.

        `translate` then replaces the recorded tag by the other in later `If-None-Match` headers.
        Nothing is remembered unless both responses have a tag.

        Args:
            request: The request of both responses; it names the resource that the tags are of.
            recorded: The response in the log, with the recorded tag; None if the line has none.
            response: The response by the rules, with the tag that replaces the recorded one.
        """
        theirs = None if recorded is None else recorded.entity_tag()
        ours = dict(response.headers).get("etag")
        if theirs is not None and ours is not None:
            self._decided.setdefault(self._resource(request), {})[theirs] = ours

    def translate(self, request: Request) -> Request:
        """Replace the recorded entity tags in `If-None-Match` by those that the rules gave.

        So the request matches in the replay if it matched when it was recorded.

        Returns:
            The request with the replaced tags. A tag that was not recorded for the request's
            resource stays.
        """
        if not self._decided or not header_values(request, "if-none-match"):
            return request
        decided = self._decided.get(self._resource(request), {})
        headers = [
            (name, _ENTITY_TAG.sub(lambda match: decided.get(match[0], match[0]), value))
            if name.lower() == "if-none-match"
            else (name, value)
            for name, value in request.headers
        ]
        return attrs.evolve(request, headers=tuple(headers))

    def _resource(self, request: Request) -> _Resource:
        api_key = bearer(request)
        caller = None if api_key is None else self._caller_of(api_key.digest())
        if caller is None:
            return None, request.target
        return (caller.environment, caller.app_id, caller.customer_account_id), request.target


_Resource = tuple[tuple[Environment, AppId, CustomerAccountId] | None, str]
"""The app that reads a resource, or None for an unknown API key, and the request target."""

_ENTITY_TAG: Final = re.compile(r'"[!#-~\x80-\xff]*"')

_Difference = tuple[str, Json | Absent, Json | Absent]
"""The place of a difference, the recorded value and the value by the rules."""


class Comparison:
    """A comparison of the recorded responses of one log with those that the rules give.

    The replay may make other ids than the log has. So each recorded id is matched with one decided
    id, in all responses. Use one object for all responses of a log, in order.
    """

    def __init__(self) -> None:
        self._decided_ids: dict[str, str] = {}
        self._matched: set[str] = set()

    def divergences(
        self, recorded: Recorded, response: Response, rule_of: Callable[[str], str]
    ) -> tuple[Divergence, ...]:
        """Compare a recorded response with the one that the rules give; return the differences.

        Of a problem only the code, the status and `retryable` are compared. The texts of a problem
        may change [P], and its details can differ from server to server. If the log has neither
        the code nor the body of the response, only status and headers are compared. Of the headers
        in the log, those whose value the rules determine are compared.

        Args:
            recorded: The response in the log.
            response: The response by the rules.
            rule_of: Takes the path of a member and returns the name of the rule that decided it, as
                the function from `Deciders.after_request` does.
        """
        members = recorded.members
        decided = parse_json(response.body) if response.body else None
        found: list[_Difference] = []
        if "status" in members and members["status"] != response.status:
            found.append(("status", members["status"], response.status))
        found += self._content(recorded, decided)
        found += _header_differences(members.get("headers"), response)
        return tuple(
            [
                Divergence(member=member, recorded=theirs, decided=ours, rule=rule_of(member))
                for member, theirs, ours in found
            ]
        )

    def _content(self, recorded: Recorded, decided: Json) -> Iterator[_Difference]:
        members = recorded.members
        ours, theirs = _problem_members(decided), _problem_members(recorded.body)
        if "code" in members:
            theirs = theirs | {"code": members["code"]}
        elif "body" not in members:
            return
        if ours.get("code") != theirs.get("code"):
            yield "code", theirs.get("code", ABSENT), ours.get("code", ABSENT)
        elif not ours and "body" in members:
            yield from self._differences("body", recorded.body, decided)
        else:
            for name in sorted(theirs.keys() & _FIXED):
                yield from self._differences(f"body.{name}", theirs[name], ours[name])

    def _differences(self, path: str, recorded: Json, decided: Json) -> Iterator[_Difference]:
        if isinstance(recorded, dict) and isinstance(decided, dict):
            for name in sorted(recorded.keys() | decided.keys()):
                inner = f"{path}.{name}"
                if name in recorded and name in decided:
                    yield from self._differences(inner, recorded[name], decided[name])
                else:
                    yield inner, recorded.get(name, ABSENT), decided.get(name, ABSENT)
        elif not self._is_same(path, recorded, decided):
            yield path, recorded, decided

    def _is_same(self, path: str, recorded: Json, decided: Json) -> bool:
        if type(recorded) is not type(decided):
            return False
        if isinstance(recorded, str) and isinstance(decided, str):
            name = path.rpartition(".")[2]
            if name in _ID_MEMBERS:
                return self._ids_match(recorded.lower(), decided)
            if name == "status" and recorded in SPELLINGS and decided in SPELLINGS:
                return True
            return recorded == decided or _is_same_instant(recorded, decided)
        return recorded == decided

    def _ids_match(self, recorded: str, decided: str) -> bool:
        if recorded not in self._decided_ids and decided not in self._matched:
            self._decided_ids[recorded] = decided
            self._matched.add(decided)
        return self._decided_ids.get(recorded) == decided


def _header_differences(recorded: Json, response: Response) -> Iterator[_Difference]:
    if not isinstance(recorded, dict):
        return
    theirs = {name.lower(): value for name, value in recorded.items()}
    ours = dict(response.headers)
    for name in _COMPARED_HEADERS:
        if name not in theirs:
            continue
        value = theirs[name]
        values = value if isinstance(value, list) else [value]
        decided: list[Json] = [ours[name]] if name in ours else []
        if [*map(_header_value, values)] != [*map(_header_value, decided)]:
            yield f"headers.{name}", value, ours.get(name, ABSENT)


def _header_value(value: Json) -> str:
    # Of a media type, parameters such as the charset may differ.
    return str(value).partition(";")[0].strip().lower()


def _problem_members(body: Json) -> dict[str, Json]:
    return body if isinstance(body, dict) and "code" in body else {}


def _is_same_instant(recorded: str, decided: str) -> bool:
    try:
        return parse_time("recorded", recorded) == parse_time("decided", decided)
    except ArgumentError:
        return False
