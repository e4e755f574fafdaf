"""An independent model of `replay`: the second reading of the rules.

The tests compare the package with these files, line by line, over generated traffic. The files were
written from the rules alone, share no code with the package, and are meant to be read: plain
dictionaries, lists and ifs, every search a loop over everything, every rate limit a list of
instants or a fraction of a token. All is slow on purpose.

One call of `Model.line` answers one line of the log. A line is either broken, and then nothing at
all has happened, or it moves the clock to its `at` and gives an answer. So every `Broken` is raised
before anything has changed. A request that may not run ends in a `ProblemReply`; `Model._request`
spells out what is charged and stored then.

If two readings were possible, a comment that begins with "Reading:" says which one was taken and
why. Not compared: `rules`, `title`, `detail`, the `details` of all problems but
CONNECTION_SUPERSEDED, the text of an error, an entity tag's text, and ids and urls that no record
gave.
"""

# A model that is read from top to bottom has long functions and plain arguments:
# ruff: noqa: C901, FBT001, PLR0912

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TypedDict, cast

from tests.proof.reference import tables
from tests.proof.reference.facts import Connection, Coordinate, format_connection, standing, touch
from tests.proof.reference.limits import Holder, Limits
from tests.proof.reference.recorded import Recorded
from tests.proof.reference.records import KeyRecord
from tests.proof.reference.requests import (
    Answer,
    ProblemReply,
    none_match,
    problem,
    read_body,
    read_idempotency_key,
    read_query,
    route,
    success,
)
from tests.proof.reference.values import (
    Broken,
    Members,
    format_time,
    header_values,
    members,
    parse_json,
    parse_uuid,
    read_headers,
    require_environment,
    require_no_repeats,
    require_text,
    require_time,
    require_uuid,
)

KINDS = ["register", "buckets", "request", "fact", "ask"]
READS = ["get", "account-state"]
ALIAS = re.compile(r"\{([^{}.]*)([^{}]*)\}")


class Key(TypedDict):
    """The owner of an API key, and its permissions."""

    api_key: str
    app: str
    account: str
    scopes: list[str]
    environment: str


class Model(Limits, Recorded):
    """The state that a log of traffic runs through."""

    def __init__(self, environment: str | None = None) -> None:
        super().__init__()
        self.environment = environment
        self.clock: datetime | None = None
        self.keys: dict[str, Key] = {}
        self.kept: dict[tuple[Holder, str], KeyRecord] = {}
        self.named: dict[str, tuple[dict[str, str], object]] = {}

    def line(self, raw: bytes, number: int) -> dict[str, object]:
        """Answer one line of the log; `number` counts from one."""
        try:
            return {"line": number, **self._line(raw)}
        except Broken as broken:
            return {"line": number, "error": str(broken)}
        except RecursionError:
            return {"line": number, "error": "the line is nested too deeply"}

    def _line(self, raw: bytes) -> dict[str, object]:
        try:
            value = parse_json(raw.decode())
        except ValueError:
            raise Broken("not a JSON text") from None
        line = members(value, ["at"], [*KINDS, "as", "response"])
        kinds = [kind for kind in KINDS if kind in line]
        if len(kinds) != 1:
            raise Broken("a line has exactly one kind")
        kind = kinds[0]
        # Reading: only a request's answer has a name or a recorded response: the rules show both
        # there only, and a fact's answer has no `as`.
        if kind != "request" and ("as" in line or "response" in line):
            raise Broken("only a request has that member")
        name = line.pop("as", None)
        if name is not None and not isinstance(name, str):
            raise Broken("a name is a string")
        # Reading: every string of the line but its own name is searched for aliases; values only,
        # never the names of members.
        line = {member: self._with_aliases(content) for member, content in line.items()}
        now = require_time(line["at"])
        if self.clock is not None and now < self.clock:
            raise Broken("time runs backwards")

        answer: dict[str, object]
        if kind == "register":
            answer = self._register(line["register"])
        elif kind == "buckets":
            answer = self._set_buckets(line["buckets"])
        elif kind == "fact":
            outcome, code = self._fact(now, line["fact"])
            answer = {"outcome": outcome, "code": code, "rules": []}
        elif kind == "ask":
            answer = self._ask(now, line["ask"])
        else:
            answer = self._answer(
                now, value=line["request"], recorded=line.get("response"), name=name
            )
        self.clock = now
        return answer

    def _with_aliases(self, value: object) -> object:
        if isinstance(value, Members):
            return Members([(name, self._with_aliases(member)) for name, member in value.pairs])
        if isinstance(value, list):
            return [self._with_aliases(item) for item in value]
        if isinstance(value, str):
            return ALIAS.sub(self._alias, value)
        return value

    def _alias(self, match: re.Match[str]) -> str:
        name, path = match[1], match[2]
        if name not in self.named:
            return match[0]
        headers, body = self.named[name]
        # Reading: `{c1}` names an alias and no path, so its path is missing: broken.
        steps = path.split(".")[1:]
        found: object = body
        if steps and steps[0] == "headers":
            found, steps = headers, steps[1:]
        for step in steps:
            found = found.get(step) if isinstance(found, dict) else None
        if not isinstance(found, str):
            raise Broken("the named answer has no such string")
        return found

    # Configuration ------------------------------------------------------------------------

    def _register(self, value: object) -> dict[str, object]:
        given = members(value, ["apiKey", "appId", "customerAccountId", "scopes"], ["environment"])
        api_key = require_text(given["apiKey"])
        if not re.fullmatch(r"[!-~]+", api_key):
            raise Broken("an API key was expected")
        scopes = given["scopes"]
        if not isinstance(scopes, list):
            raise Broken("scopes are a list")
        # Reading: records and charges of this API key stay with the owner at that time, and apply
        # again if the key is registered for that owner again. The permissions of the key are
        # replaced. A key's prefix says nothing about its environment.
        self.keys[api_key] = {
            "api_key": api_key,
            "app": require_text(given["appId"]),
            "account": require_uuid(given["customerAccountId"]),
            "scopes": [require_text(scope) for scope in scopes],
            "environment": require_environment(given.get("environment", "live")),
        }
        return {"outcome": "done"}

    # Requests -----------------------------------------------------------------------------

    def _answer(
        self, now: datetime, value: object, recorded: object, name: str | None
    ) -> dict[str, object]:
        given = members(value, ["method", "path"], ["headers", "body"])
        method, path = given["method"], given["path"]
        if not isinstance(method, str) or not isinstance(path, str):
            raise Broken("method and path are strings")
        headers = read_headers(given.get("headers", Members([])))
        if recorded is not None and not isinstance(recorded, Members):
            raise Broken("a recorded response is an object")
        require_no_repeats(recorded)

        try:
            answer, replayed = self._request(
                now,
                method=method,
                path=path,
                headers=headers,
                body=given.get("body"),
                recorded=recorded,
            )
        except ProblemReply as refusal:
            answer, replayed = problem(refusal), False
        status, sent, body = answer
        if name is not None:
            self.named[name] = (sent, None if body is None else json.loads(body))
        return {
            "as": name,
            "status": status,
            "headers": dict(sent),
            "body": body,
            "replayed": replayed,
            "rules": [],
        }

    def _request(
        self,
        now: datetime,
        method: str,
        path: str,
        headers: list[tuple[str, str]],
        body: object,
        recorded: object,
    ) -> tuple[Answer, bool]:
        # Credentials, path, environment, scope: refused, nothing charged.
        key = self._authenticate(headers)
        path, _, query = path.partition("?")
        operation, path_id = route(method, path)
        served = self.environment in [None, key["environment"]]
        # Reading: the graduation hand-off is no read, so it needs the scope as well.
        held = operation in READS or "connection:write" in key["scopes"]
        verdict = tables.PERMISSION[
            "environment served" if served else "another environment",
            "scope held or not needed" if held else "scope missing",
        ]
        if verdict != "proceed":
            raise ProblemReply(verdict.removeprefix("refuse "))

        # Body (with the id in the path), then key: refused, nothing charged.
        values: dict[str, object] = {}
        if path_id != "":
            connection_id = parse_uuid(path_id)
            if connection_id is None:
                raise ProblemReply("BAD_REQUEST")
            values["connectionId"] = connection_id
        # Reading: a read has no body and needs no key; both are ignored.
        if operation == "account-state":
            values.update(read_query(query))
        elif operation != "get":
            values.update(read_body(operation, body))
        idempotency_key = ""
        if operation == "graduation":
            if header_values(headers, "idempotency-key"):
                raise ProblemReply("IDEMPOTENCY_KEY_NOT_ALLOWED")
        elif operation not in READS:
            idempotency_key = read_idempotency_key(headers)

        # The platform's buckets: checked here, charged below.
        holder = (key["api_key"], key["environment"], key["app"], key["account"])
        self._ask_buckets(holder, now)

        # Idempotency: a replay and a reused key charge the buckets and nothing else.
        record = self.kept.setdefault((holder, idempotency_key), KeyRecord())
        claim = record.begin((operation, values), now)
        if idempotency_key != "" and isinstance(claim, tuple):
            self._charge_buckets(holder, now)
            code, kept = claim
            if code != "replay":
                raise ProblemReply(code)
            return cast("Answer", kept), True

        # The app user's limit: refused, nothing charged; else both are charged.
        if operation in ["initiate", "graduation"]:
            user = str(values["appUserId"])
            self._charge_user(
                operation,
                environment=key["environment"],
                account=key["account"],
                user=user,
                now=now,
            )
        self._charge_buckets(holder, now)

        # Ownership and the rule: every result is stored.
        try:
            answer = self._decide(
                now, key=key, operation=operation, values=values, headers=headers, recorded=recorded
            )
        except ProblemReply as refusal:
            answer = problem(refusal)
        if idempotency_key != "":
            assert not isinstance(claim, tuple)
            record.commit(claim, answer)
        return answer, False

    def _authenticate(self, headers: list[tuple[str, str]]) -> Key:
        given = header_values(headers, "authorization")
        # Reading: two Authorization headers name no one. The scheme ignores case, as in HTTP.
        match = re.fullmatch(r"(?i:bearer) +([!-~]+)", given[0].strip(" \t")) if given else None
        if len(given) != 1 or match is None or match[1] not in self.keys:
            raise ProblemReply("UNAUTHENTICATED", {}, {"www-authenticate": "Bearer"})
        return self.keys[match[1]]

    # The rules of each operation ----------------------------------------------------------

    def _decide(
        self,
        now: datetime,
        key: Key,
        operation: str,
        values: dict[str, object],
        headers: list[tuple[str, str]],
        recorded: object,
    ) -> Answer:
        if operation == "create":
            user = str(values["appUserId"])
            packages = values["dataPackages"]
            assert isinstance(packages, list)
            action, deadline = self._next_action(now, recorded)
            connection = self._mint(
                now,
                key=key,
                user=user,
                packages=packages,
                deadline=deadline,
                previous=None,
                recorded=recorded,
            )
            return success(
                201, {"connection": format_connection(connection, now), "nextAction": action}
            )
        if operation in ["get", "reconnect", "revoke"]:
            connection = self._owned(key, str(values["connectionId"]))
            if operation == "reconnect":
                return self._reconnect(now, key=key, connection=connection, recorded=recorded)
            if operation == "revoke":
                revoked_now = self._revoke(connection, now, max(now, connection["updated_at"]))
                return success(
                    200,
                    {"connection": format_connection(connection, now), "revokedNow": revoked_now},
                )
            return success(200, {"connection": format_connection(connection, now)})

        coordinate = (key["environment"], key["app"], key["account"], str(values["appUserId"]))
        state, _ = self.bindings.get(coordinate, ("UNLINKED", ""))
        if operation == "account-state":
            etag = f'"{state.lower()}"'
            extra = {"etag": etag, "cache-control": "private, no-cache"}
            if none_match(headers, etag):
                return 304, extra, None
            _, sent, text = success(200, {"lifecycleState": state})
            return 200, {**sent, **extra}, text
        if operation == "graduation":
            verdict = tables.GRADUATION_HANDOFF[state,]
            if verdict != "proceed":
                raise ProblemReply(verdict.removeprefix("refuse "))
            action, _ = self._next_action(now, recorded)
            return success(201, {"nextAction": action})
        return self._initiate(
            now, coordinate=coordinate, prefer=bool(values["preferSignup"]), recorded=recorded
        )

    def _owned(self, key: Key, connection_id: str) -> Connection:
        connection = self.connections.get(connection_id)
        if (
            connection is None
            or connection["environment"] != key["environment"]
            or connection["app"] != key["app"]
            or connection["account"] != key["account"]
        ):
            raise ProblemReply("NOT_FOUND")
        return connection

    def _mint(
        self,
        now: datetime,
        key: Key,
        user: str,
        packages: list[str],
        deadline: datetime,
        previous: str | None,
        recorded: object,
    ) -> Connection:
        connection: Connection = {
            "id": self._fresh_id(recorded, "connection"),
            "environment": key["environment"],
            "app": key["app"],
            "account": key["account"],
            "user": user,
            "packages": packages,
            "status": "PENDING",
            "authorized_at": None,
            "expires_at": None,
            "revoked_at": None,
            "reason": None,
            "created_at": now,
            "updated_at": now,
            "deadline": deadline,
            "previous": previous,
            "over": False,
        }
        self.connections[connection["id"]] = connection
        return connection

    def _reconnect(
        self, now: datetime, key: Key, connection: Connection, recorded: object
    ) -> Answer:
        at_now = standing(connection, now)
        verdict = tables.CONNECTION["reconnect", at_now]
        if verdict != "recover":
            _, code, reason = verdict.split()
            raise ProblemReply(code, {"reason": reason.strip("()")})
        successor = self._successor(connection)
        verdict = tables.RECOVERY[at_now, self._successor_word(connection, now)]
        if verdict.startswith("refuse "):
            assert successor is not None
            details: dict[str, object] = {
                "connectionId": connection["id"],
                "nextConnectionId": successor["id"],
                "headConnectionId": self._head(successor)["id"],
            }
            raise ProblemReply(verdict.removeprefix("refuse "), details)
        action, deadline = self._next_action(now, recorded)
        if verdict == "mint a successor":
            successor = self._mint(
                now,
                key=key,
                user=connection["user"],
                packages=connection["packages"],
                deadline=deadline,
                previous=connection["id"],
                recorded=recorded,
            )
        else:
            assert successor is not None
            # Reading: the deadline is the end of the newest next action, even if it is earlier than
            # the one before. It is no recorded instant.
            successor["deadline"] = deadline
            touch(successor, now)
        # Reading: a reissue is 201 too: its next action is newly minted.
        return success(
            201,
            {
                "connection": format_connection(successor, now),
                "previousConnectionId": connection["id"],
                "nextAction": action,
            },
        )

    def _initiate(
        self, now: datetime, coordinate: Coordinate, prefer: bool, recorded: object
    ) -> Answer:
        state, user = self.bindings.get(coordinate, ("UNLINKED", ""))
        action, end = self._next_action(now, recorded)
        session_id = self._fresh_id(recorded, "session")
        preference = "preferSignup true" if prefer else "preferSignup false or absent"
        path, handoff, whose = tables.ENTRY_PATH[state, preference].split(", ")
        if whose == "a new LIMITED user":
            self.numbered += 1
            user = f"provisioned user {self.numbered}"
            self._bind("provision", coordinate, user)
        landed = now if handoff == "hand-off LANDED" else None
        self.sessions[session_id] = {
            "path": path,
            "coordinate": coordinate,
            "created_at": now,
            "expires_at": end,
            "landed_user": user if landed else None,
            "over": False,
        }
        session = {
            "id": session_id,
            "customerAccountId": coordinate[2],
            "appUserId": coordinate[3],
            "path": path,
            "handoff": handoff.removeprefix("hand-off "),
            "createdAt": format_time(now),
            "expiresAt": format_time(end),
            "landedAt": format_time(landed),
        }
        return success(201, {"session": session, "nextAction": action})
