"""An independent model of `replay`: the second reading of the specification.

The package is compared with this file, line by line, over generated traffic. It was
written from the specification alone, shares no code with the package, and is meant to be
read: plain dictionaries, lists and ifs, every search a loop over everything, every rate
limit a list of instants or a fraction of a token. It is slow on purpose.

One call of `Model.line` answers one line of the log. A line either is broken, and then
nothing at all has happened, or moves the clock to its `at` and gives an answer. So every
`Broken` is raised before the first change of the world. A request that may not run ends
in a `ProblemReply`; what is charged and what is kept then is spelled out in `Model._request`.

Where two readings were possible, a comment that begins with "Reading:" says which one
was taken and why. Free here, and not to be compared: `rules`, `title`, `detail`, `type`,
the text of an error, an entity tag's text, and ids and urls that no record gave.
"""

# A model that is read from top to bottom has long functions and plain arguments:
# ruff: noqa: C901, FBT001, PLR0912, PLR0915

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NoReturn, TypedDict
from urllib.parse import unquote_to_bytes

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HANDOFF_LIFE = timedelta(minutes=30)
RETENTION = timedelta(hours=24)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)

API = "/api/sdk/v1/"
KINDS = ["register", "buckets", "request", "fact", "ask"]
ACTORS = ["APP", "PATIENT", "PLATFORM", "UPSTREAM"]
ENVIRONMENTS = ["live", "test"]
READS = ["get", "account-state"]

STATUS = {
    "BAD_REQUEST": 400,
    "IDEMPOTENCY_KEY_REQUIRED": 400,
    "IDEMPOTENCY_KEY_INVALID": 400,
    "IDEMPOTENCY_KEY_NOT_ALLOWED": 400,
    "UNAUTHENTICATED": 401,
    "SCOPE_INSUFFICIENT": 403,
    "WRONG_ENVIRONMENT": 403,
    "NOT_FOUND": 404,
    "CONNECTION_NOT_RECONNECTABLE": 409,
    "CONNECTION_SUPERSEDED": 409,
    "BINDING_NOT_LIMITED": 409,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "RATE_LIMITED": 429,
}

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?Z"
)
PACKAGE = re.compile(r"[a-z][a-z0-9_]{0,63}")
VISIBLE = re.compile(r"[!-~]{1,255}")
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
ALIAS = re.compile(r"\{([^{}.]*)([^{}]*)\}")
ENTITY_TAG = r'(?:W/)?"[^"]*"'
ENTITY_TAGS = re.compile(rf"[ \t]*(?:{ENTITY_TAG})?(?:[ \t]*,[ \t]*(?:{ENTITY_TAG})?)*[ \t]*")


class Connection(TypedDict):
    """One authorization, stored; what it is at an instant is its standing."""

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


class Session(TypedDict):
    """One run of the entry flow."""

    path: str
    coordinate: tuple[str, str, str, str]
    created_at: datetime
    expires_at: datetime
    landed_user: str | None


class Key(TypedDict):
    """What an API key belongs to."""

    api_key: str
    app: str
    account: str
    scopes: list[str]
    environment: str


class Bucket(TypedDict):
    """One of the platform's token buckets, as configured."""

    name: str
    capacity: int
    refill: int
    seconds: int


class StoredResponse(TypedDict):
    """An answer kept for retries."""

    first_used: datetime
    fingerprint: object
    answer: Answer


Answer = tuple[int, dict[str, str], str | None]
Coordinate = tuple[str, str, str, str]


class Members:
    """A JSON object as it was written, with repeated names still in it."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self.pairs = pairs


class Broken(Exception):  # noqa: N818
    """The line is broken: it does nothing."""


class ProblemReply(Exception):  # noqa: N818
    """The request, or the fact, may not run."""

    def __init__(
        self,
        code: str,
        details: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.details = details or {}
        self.headers = headers or {}


# Values -----------------------------------------------------------------------------------


def parse_json(text: str) -> object:
    """Strict JSON; objects become `Members`. ValueError or RecursionError otherwise."""

    def constant(name: str) -> NoReturn:
        raise ValueError(name)

    value: object = json.loads(text, object_pairs_hook=Members, parse_constant=constant)
    return value


def format_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_time(text: object) -> datetime | None:
    match = TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction = match.groups()
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second),
            int((fraction or "").ljust(6, "0")),
            tzinfo=UTC,
        )
    except ValueError:
        return None


def format_time(time: datetime | None) -> str | None:
    if time is None:
        return None
    text = time.replace(tzinfo=None, microsecond=0).isoformat()
    if time.microsecond:
        text += f".{time.microsecond:06}".rstrip("0")
    return text + "Z"


def later(time: datetime, wait: timedelta) -> datetime:
    try:
        return time + wait
    except OverflowError:
        return LAST_INSTANT


def parse_uuid(value: object) -> str | None:
    if isinstance(value, str) and UUID.fullmatch(value):
        return value.lower()
    return None


def is_text(value: object) -> bool:
    """A string that is not empty and can be written as UTF-8."""
    if not isinstance(value, str) or value == "":
        return False
    return not any(unicodedata.category(character) == "Cs" for character in value)


def is_app_user(value: object) -> bool:
    if not isinstance(value, str) or not is_text(value) or len(value) > 256:
        return False
    if value[0].isspace() or value[-1].isspace():
        return False
    return not any(unicodedata.category(character) == "Cc" for character in value)


def seconds_up(wait: timedelta | Fraction) -> int:
    """Whole seconds, rounded up."""
    exact = wait if isinstance(wait, Fraction) else Fraction(wait // timedelta.resolution, 10**6)
    return -(-exact.numerator // exact.denominator)


# Lines ------------------------------------------------------------------------------------


def members(value: object, required: list[str], optional: list[str]) -> dict[str, object]:
    """The members of an object of the log itself (not of a request's body)."""
    if not isinstance(value, Members):
        raise Broken("an object was expected")
    found: dict[str, object] = {}
    for name, member in value.pairs:
        if name in found:
            raise Broken("a member is repeated")
        # Reading: unknown members break the line inside `request`, `register`, a bucket, a
        # fact and a question as they do at the top: a mistyped name must not pass.
        if name not in required and name not in optional:
            raise Broken("a member is unknown")
        found[name] = member
    for name in required:
        if name not in found:
            raise Broken("a member is missing")
    return found


def require_time(value: object) -> datetime:
    time = parse_time(value)
    if time is None:
        raise Broken("a time was expected")
    return time


def require_text(value: object) -> str:
    if not isinstance(value, str) or not is_text(value):
        raise Broken("a string was expected")
    return value


def require_uuid(value: object) -> str:
    found = parse_uuid(value)
    if found is None:
        raise Broken("a UUID was expected")
    return found


def require_environment(value: object) -> str:
    if not isinstance(value, str) or value not in ENVIRONMENTS:
        raise Broken("an environment was expected")
    return value


def require_no_repeats(value: object) -> None:
    if isinstance(value, Members):
        names = [name for name, _ in value.pairs]
        if len(names) != len(set(names)):
            raise Broken("a member is repeated")
        for _, member in value.pairs:
            require_no_repeats(member)
    if isinstance(value, list):
        for item in value:
            require_no_repeats(item)


def read_headers(value: object) -> list[tuple[str, str]]:
    """The headers one by one; names in lower case."""
    if not isinstance(value, Members):
        raise Broken("headers are an object")
    headers = []
    for name, given in value.pairs:
        for text in given if isinstance(given, list) else [given]:
            if not isinstance(text, str):
                raise Broken("a header is a string or a list of strings")
            headers.append((name.lower(), text))
    return headers


def header_values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [text for header, text in headers if header == name]


# Requests ---------------------------------------------------------------------------------


def problem(refusal: ProblemReply) -> Answer:
    body = {
        "type": "https://problems.example/" + refusal.code.lower().replace("_", "-"),
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": STATUS[refusal.code],
        "detail": refusal.code,
        "code": refusal.code,
        "details": refusal.details,
        "retryable": refusal.code == "RATE_LIMITED",
    }
    headers = {"content-type": "application/problem+json", **refusal.headers}
    return STATUS[refusal.code], headers, format_json(body)


def success(status: int, body: dict[str, object]) -> Answer:
    headers = {"content-type": "application/json"}
    if "nextAction" in body:  # it holds a hand-off URL
        headers["cache-control"] = "no-store"
    return status, headers, format_json(body)


def limited(name: str, quota: int, window: int, wait: timedelta | Fraction) -> ProblemReply:
    after = max(1, seconds_up(wait))
    headers = {
        "cache-control": "no-store",
        "retry-after": str(after),
        "ratelimit-policy": f'"{name}";q={quota};w={window}',
        "ratelimit": f'"{name}";r=0;t={after}',
    }
    return ProblemReply("RATE_LIMITED", {}, headers)


def route(method: str, path: str) -> tuple[str, str]:
    """The operation and the id in the path, or a refusal."""
    # Reading: an id is any text without a slash or a colon. So `GET …/{id}:revoke` is an
    # unknown path and not a malformed id, since no operation has that path and method.
    if method == "POST" and path == API + "connections":
        return "create", ""
    if method == "POST" and path == API + "curae-connect/initiate":
        return "initiate", ""
    if method == "GET" and path == API + "curae-connect/account-state":
        return "account-state", ""
    if method == "POST" and path == API + "curae-connect/graduation-handoff":
        return "graduation", ""
    match = re.fullmatch(re.escape(API) + r"connections/([^/:]+)(?::(reconnect|revoke))?", path)
    if match and match[2] is None and method == "GET":
        return "get", match[1]
    if match and match[2] is not None and method == "POST":
        return match[2], match[1]
    raise ProblemReply("NOT_FOUND")


def read_body(operation: str, body: object) -> dict[str, object]:
    """The validated values of a body, or a refusal."""
    bad = ProblemReply("BAD_REQUEST")
    # Reading: `"body": null` is no body, as it is in an answer.
    if (body is None or body == "") and operation in ["reconnect", "revoke"]:
        return {}
    if isinstance(body, str):
        try:
            body.encode()
            body = parse_json(body)
        except (ValueError, RecursionError):
            raise bad from None
    if not isinstance(body, Members):
        raise bad
    names = [name for name, _ in body.pairs]
    if len(names) != len(set(names)):
        raise bad
    given = dict(body.pairs)
    if operation in ["reconnect", "revoke"]:
        if names:
            raise bad
        return {}

    allowed = {"create": "dataPackages", "initiate": "preferSignup"}.get(operation)
    if any(name not in ["appUserId", allowed] for name in names):
        raise bad
    if not is_app_user(given.get("appUserId")):
        raise bad
    values = {"appUserId": given["appUserId"]}
    if operation == "create":
        packages = given.get("dataPackages")
        if not isinstance(packages, list) or not packages:
            raise bad
        for package in packages:
            if not isinstance(package, str) or not PACKAGE.fullmatch(package):
                raise bad
        if len(set(packages)) > 64:
            raise bad
        values["dataPackages"] = sorted(set(packages))
    if operation == "initiate":
        prefer = given.get("preferSignup", False)
        if prefer is not True and prefer is not False:
            raise bad
        values["preferSignup"] = prefer
    return values


def decode(text: str) -> str | None:
    """A name or value of a query. Reading: bytes that are not UTF-8 are a fault, since two
    different ones would otherwise become one and the same user."""
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except ValueError:
        return None


def read_query(query: str) -> dict[str, object]:
    found = []
    for part in query.split("&"):
        name, _, text = part.partition("=")
        if decode(name) == "appUserId":
            found.append(decode(text))
    if len(found) != 1 or not is_app_user(found[0]):
        raise ProblemReply("BAD_REQUEST")
    return {"appUserId": found[0]}


def read_idempotency_key(headers: list[tuple[str, str]]) -> str:
    given = header_values(headers, "idempotency-key")
    if not given:
        raise ProblemReply("IDEMPOTENCY_KEY_REQUIRED")
    if len(given) > 1:
        raise ProblemReply("IDEMPOTENCY_KEY_INVALID")
    key = given[0].strip(" \t")
    # Reading: only a key that begins with a quote is a quoted one; in a bare key a quote, a
    # backslash or a semicolon is a visible character like any other.
    if key.startswith('"'):
        match = QUOTED.fullmatch(key)
        if match is None:
            raise ProblemReply("IDEMPOTENCY_KEY_INVALID")
        key = re.sub(r"\\(.)", r"\1", match[1])
    if not VISIBLE.fullmatch(key):
        raise ProblemReply("IDEMPOTENCY_KEY_INVALID")
    return key


def none_match(headers: list[tuple[str, str]], etag: str) -> bool:
    """Whether If-None-Match holds the tag, compared weakly."""
    text = ", ".join(header_values(headers, "if-none-match")).strip(" \t")
    if text == "*":
        return True
    # Reading: a field that is no list of entity tags matches nothing.
    return bool(ENTITY_TAGS.fullmatch(text)) and etag in re.findall(r'"[^"]*"', text)


# Connections ------------------------------------------------------------------------------


def standing(connection: Connection, now: datetime) -> str:
    status = connection["status"]
    if status == "PENDING":
        return "PENDING" if now < connection["deadline"] else "LAPSED"
    if status in ["ACTIVE", "ACTION_REQUIRED"]:
        end = connection["expires_at"]
        return status if end is None or now < end else "EXPIRED"
    return status


def format_connection(connection: Connection, now: datetime) -> dict[str, object]:
    at_now = standing(connection, now)
    return {
        "id": connection["id"],
        "customerAccountId": connection["account"],
        "appUserId": connection["user"],
        # Reading: the wire shows the standing, also where only `expiresAt` has passed.
        "status": "EXPIRED" if at_now == "LAPSED" else at_now,
        "dataPackages": connection["packages"],
        "authorizedAt": format_time(connection["authorized_at"]),
        "expiresAt": format_time(connection["expires_at"]),
        "revokedAt": format_time(connection["revoked_at"]),
        "actionRequiredReason": connection["reason"],
        "createdAt": format_time(connection["created_at"]),
        "updatedAt": format_time(connection["updated_at"]),
    }


class Model:
    """A world that a log of traffic runs through."""

    def __init__(self, environment: str | None = None) -> None:
        self.environment = environment
        self.clock: datetime | None = None
        self.keys: dict[str, Key] = {}
        self.buckets: list[Bucket] = []
        self.tokens: dict[tuple[str, str], tuple[Fraction, datetime]] = {}
        self.connections: dict[str, Connection] = {}
        self.sessions: dict[str, Session] = {}
        self.bindings: dict[Coordinate, tuple[str, str]] = {}
        self.kept: dict[tuple[str, str], StoredResponse] = {}
        self.charged: dict[tuple[str, str, str, str], list[datetime]] = {}
        self.named: dict[str, tuple[dict[str, str], object]] = {}
        self.numbered = 0

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
        # Reading: only a request's answer has a name or a recorded response: the specification
        # shows both there and nowhere else, and a fact's answer has no `as`.
        if kind != "request" and ("as" in line or "response" in line):
            raise Broken("only a request has that member")
        name = line.pop("as", None)
        if name is not None and not isinstance(name, str):
            raise Broken("a name is a string")
        # Reading: every string of the line but its own name is looked through for aliases,
        # values only, never the names of members.
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
            answer = self._answer(now, line["request"], line.get("response"), name)
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
        # Reading: what was kept, charged or filled for this API key stays; only what the key
        # may do is replaced. A key's prefix says nothing about its environment.
        self.keys[api_key] = {
            "api_key": api_key,
            "app": require_text(given["appId"]),
            "account": require_uuid(given["customerAccountId"]),
            "scopes": [require_text(scope) for scope in scopes],
            "environment": require_environment(given.get("environment", "live")),
        }
        return {"outcome": "done"}

    def _set_buckets(self, value: object) -> dict[str, object]:
        if not isinstance(value, list):
            raise Broken("buckets are a list")
        buckets: list[Bucket] = []
        for item in value:
            given = members(item, ["name", "capacity", "refill", "seconds"], [])
            name = require_text(given["name"])
            if not re.fullmatch(r"[!-~]+", name) or name in [one["name"] for one in buckets]:
                raise Broken("a bucket's name is visible ASCII and unique")
            numbers: list[int] = []
            for member in ["capacity", "refill", "seconds"]:
                number = given[member]
                if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                    raise Broken("a bucket's numbers are positive integers")
                numbers.append(number)
            buckets.append(
                {
                    "name": name,
                    "capacity": numbers[0],
                    "refill": numbers[1],
                    "seconds": numbers[2],
                }
            )
        self.buckets = buckets
        self.tokens = {}
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
                now, method, path, headers, given.get("body"), recorded
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
        if self.environment is not None and key["environment"] != self.environment:
            raise ProblemReply("WRONG_ENVIRONMENT")
        # Reading: the graduation hand-off is no read, so it needs the scope as well.
        if operation not in READS and "connection:write" not in key["scopes"]:
            raise ProblemReply("SCOPE_INSUFFICIENT")

        # Body (with the id in the path), then key: refused, nothing charged.
        values: dict[str, object] = {}
        if path_id != "":
            connection_id = parse_uuid(path_id)
            if connection_id is None:
                raise ProblemReply("BAD_REQUEST")
            values["connectionId"] = connection_id
        # Reading: a read has no body and needs no key; whatever came with it is not looked at.
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

        # The platform's buckets: asked here, charged below.
        self._ask_buckets(key["api_key"], now)

        # Idempotency: a replay and a reused key charge the buckets and nothing else.
        place = (key["api_key"], idempotency_key)
        fingerprint = (operation, values)
        if idempotency_key != "" and place in self.kept:
            kept = self.kept[place]
            if now < later(kept["first_used"], RETENTION):
                self._charge_buckets(key["api_key"], now)
                if kept["fingerprint"] != fingerprint:
                    raise ProblemReply("IDEMPOTENCY_KEY_REUSED")
                return kept["answer"], True

        # The app user's limit: refused, nothing charged; else both are charged.
        if operation in ["initiate", "graduation"]:
            user = str(values["appUserId"])
            self._charge_user(operation, key["environment"], key["account"], user, now)
        self._charge_buckets(key["api_key"], now)

        # Ownership and the rule: whatever they say is kept.
        try:
            answer = self._decide(now, key, operation, values, headers, recorded)
        except ProblemReply as refusal:
            answer = problem(refusal)
        if idempotency_key != "":
            self.kept[place] = {
                "first_used": now,
                "fingerprint": fingerprint,
                "answer": answer,
            }
        return answer, False

    def _authenticate(self, headers: list[tuple[str, str]]) -> Key:
        given = header_values(headers, "authorization")
        # Reading: two Authorization headers name no one. The scheme ignores case, as in HTTP.
        match = re.fullmatch(r"(?i:bearer) +([!-~]+)", given[0].strip(" \t")) if given else None
        if len(given) != 1 or match is None or match[1] not in self.keys:
            raise ProblemReply("UNAUTHENTICATED", {}, {"www-authenticate": "Bearer"})
        return self.keys[match[1]]

    def _tokens(self, bucket: Bucket, api_key: str, now: datetime) -> Fraction:
        capacity = Fraction(bucket["capacity"])
        if (bucket["name"], api_key) not in self.tokens:
            return capacity
        tokens, since = self.tokens[(bucket["name"], api_key)]
        passed = Fraction((now - since) // timedelta.resolution, 10**6)
        return min(capacity, tokens + passed * bucket["refill"] / bucket["seconds"])

    def _ask_buckets(self, api_key: str, now: datetime) -> None:
        longest = Fraction(0)
        refusal: ProblemReply | None = None
        for bucket in self.buckets:
            missing = 1 - self._tokens(bucket, api_key, now)
            wait = missing * bucket["seconds"] / bucket["refill"]
            if wait > longest:
                longest = wait
                full = Fraction(bucket["capacity"] * bucket["seconds"], bucket["refill"])
                refusal = limited(bucket["name"], bucket["capacity"], seconds_up(full), wait)
        if refusal is not None:
            raise refusal

    def _charge_buckets(self, api_key: str, now: datetime) -> None:
        for bucket in self.buckets:
            tokens = self._tokens(bucket, api_key, now) - 1
            self.tokens[(bucket["name"], api_key)] = (tokens, now)

    def _charge_user(
        self, operation: str, environment: str, account: str, user: str, now: datetime
    ) -> None:
        place = (operation, environment, account, user)
        recent = [time for time in self.charged.get(place, []) if now - time < MINUTE]
        if len(recent) >= 10:
            raise limited(operation, 10, 60, MINUTE - (now - recent[0]))
        self.charged[place] = [*recent, now]

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
            connection = self._mint(now, key, user, packages, deadline, None, recorded)
            return success(
                201, {"connection": format_connection(connection, now), "nextAction": action}
            )
        if operation in ["get", "reconnect", "revoke"]:
            connection = self._owned(key, str(values["connectionId"]))
            if operation == "reconnect":
                return self._reconnect(now, key, connection, recorded)
            if operation == "revoke":
                revoked_now = self._revoke(connection, now, now)
                return success(
                    200,
                    {"connection": format_connection(connection, now), "revokedNow": revoked_now},
                )
            return success(200, {"connection": format_connection(connection, now)})

        coordinate = (key["environment"], key["app"], key["account"], str(values["appUserId"]))
        state, user = self.bindings.get(coordinate, ("UNLINKED", ""))
        if operation == "account-state":
            etag = f'"{state.lower()}"'
            extra = {"etag": etag, "cache-control": "private, no-cache"}
            if none_match(headers, etag):
                return 304, extra, None
            _, sent, text = success(200, {"lifecycleState": state})
            return 200, {**sent, **extra}, text
        if operation == "graduation":
            if state != "LIMITED":
                raise ProblemReply("BINDING_NOT_LIMITED")
            action, _ = self._next_action(now, recorded)
            return success(201, {"nextAction": action})
        return self._initiate(now, coordinate, bool(values["preferSignup"]), recorded)

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
        }
        self.connections[connection["id"]] = connection
        return connection

    def _successor(self, connection: Connection) -> Connection | None:
        for other in self.connections.values():
            if other["previous"] == connection["id"]:
                return other
        return None

    def _reconnect(
        self, now: datetime, key: Key, connection: Connection, recorded: object
    ) -> Answer:
        at_now = standing(connection, now)
        if at_now == "PENDING":
            raise ProblemReply("CONNECTION_NOT_RECONNECTABLE", {"reason": "STILL_PENDING"})
        if at_now == "ACTIVE":
            raise ProblemReply("CONNECTION_NOT_RECONNECTABLE", {"reason": "ALREADY_ACTIVE"})
        successor = self._successor(connection)
        if successor is not None and standing(successor, now) != "PENDING":
            raise ProblemReply("CONNECTION_SUPERSEDED", {"nextConnectionId": successor["id"]})
        action, deadline = self._next_action(now, recorded)
        if successor is None:
            successor = self._mint(
                now,
                key,
                connection["user"],
                connection["packages"],
                deadline,
                connection["id"],
                recorded,
            )
        else:
            successor["deadline"] = deadline
            successor["updated_at"] = now
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
        landed: datetime | None = None
        landed_user: str | None = None
        if state == "ACTIVE":
            path, handoff, landed, landed_user = "EXISTING_ACTIVE_HANDOFF", "LANDED", now, user
        elif state == "UNLINKED" and prefer:
            path, handoff = "NEW_ACTIVE_SIGNUP_HANDOFF", "AWAITED"
        else:
            path, handoff = "SILENT_LIMITED", "NOT_REQUIRED"
            if state != "LIMITED":
                self.numbered += 1
                self.bindings[coordinate] = ("LIMITED", f"provisioned user {self.numbered}")
        self.sessions[session_id] = {
            "path": path,
            "coordinate": coordinate,
            "created_at": now,
            "expires_at": end,
            "landed_user": landed_user,
        }
        session = {
            "id": session_id,
            "customerAccountId": coordinate[2],
            "appUserId": coordinate[3],
            "path": path,
            "handoff": handoff,
            "createdAt": format_time(now),
            "expiresAt": format_time(end),
            "landedAt": format_time(landed),
        }
        return success(201, {"session": session, "nextAction": action})

    # What a recorded response gives -------------------------------------------------------

    def _recorded(self, recorded: object, first: str, second: str) -> object:
        """A member of a member of the recorded body, which may also be its exact text."""
        found = dict(recorded.pairs).get("body") if isinstance(recorded, Members) else None
        if isinstance(found, str):
            try:
                found = parse_json(found)
            except (ValueError, RecursionError):
                return None
        for name in [first, second]:
            found = dict(found.pairs).get(name) if isinstance(found, Members) else None
        return found

    def _fresh_id(self, recorded: object, kind: str) -> str:
        # Reading: connections and sessions share one space of ids; what is no UUID, or is in
        # use, is passed over.
        used = [*self.connections, *self.sessions]
        adopted = parse_uuid(self._recorded(recorded, kind, "id"))
        if adopted is not None and adopted not in used:
            return adopted
        while True:
            self.numbered += 1
            numbered = f"00000000-0000-4000-8000-{self.numbered:012}"
            if numbered not in used:
                return numbered

    def _next_action(self, now: datetime, recorded: object) -> tuple[dict[str, object], datetime]:
        url = self._recorded(recorded, "nextAction", "url")
        if not is_text(url):
            self.numbered += 1
            url = f"https://connect.example/{self.numbered}"
        end = parse_time(self._recorded(recorded, "nextAction", "expiresAt"))
        # Reading: an end that is not after the request's own time is not adopted.
        if end is None or end <= now:
            end = later(now, HANDOFF_LIFE)
        return {"type": "open_webview", "url": url, "expiresAt": format_time(end)}, end

    # Facts --------------------------------------------------------------------------------

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
        if happened > now:
            raise Broken("it happened after it was recorded")
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
                return self._graduate(coordinate, user)
            # Reading: a tombstone may name a user, as the log's line kind shows it, but none
            # of its table's cells asks for one.
            state, bound = self.bindings.get(coordinate, ("UNLINKED", ""))
            if state in ["UNLINKED", "TOMBSTONED"]:
                return "ignored", None
            self.bindings[coordinate] = ("TOMBSTONED", bound)
            return "done", None

        expires = require_time(given["expiresAt"]) if "expiresAt" in given else None
        if expires is not None and expires <= happened:
            raise Broken("the access ends before it begins")
        reason = require_text(given["reason"]) if "reason" in given else ""
        actor = given.get("actor", "APP")
        if not isinstance(actor, str) or actor not in ACTORS:
            raise Broken("an actor was expected")
        if not isinstance(given["connectionId"], str):
            raise Broken("an id is a string")
        connection = self.connections.get(parse_uuid(given["connectionId"]) or "")
        if connection is None:
            return "refused", "NOT_FOUND"
        if happened < connection["created_at"]:
            raise Broken("it happened before the connection was created")
        if kind == "connection.authorize":
            return self._authorize(connection, now, happened, expires)
        if kind == "connection.require_action":
            return self._require_action(connection, now, happened, reason)
        if kind == "connection.expire":
            return self._expire(connection, now)
        # Reading: a patient's or the platform's revoke is done if it ended anything, also
        # where the id it names had been revoked before. Every connection that it ends has the
        # fact's own instant as `revokedAt`, even one that was created after that instant.
        changed = self._revoke(connection, now, happened)
        while actor in ["PATIENT", "PLATFORM"]:
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
        if self._successor(connection) is not None:
            return "refused", "CONNECTION_SUPERSEDED"
        was = standing(connection, happened)
        if was == "LAPSED":
            return "refused", "HANDOFF_LAPSED"
        if was == "ACTIVE":
            return "ignored", None
        if was != "PENDING":
            return "refused", "CONNECTION_NOT_PENDING"
        connection["status"] = "ACTIVE"
        connection["authorized_at"] = happened
        connection["expires_at"] = expires
        connection["updated_at"] = now
        return "done", None

    def _require_action(
        self, connection: Connection, now: datetime, happened: datetime, reason: str
    ) -> tuple[str, str | None]:
        if standing(connection, happened) not in ["PENDING", "ACTIVE"]:
            return "ignored", None
        connection["status"] = "ACTION_REQUIRED"
        connection["reason"] = reason
        connection["updated_at"] = now
        return "done", None

    def _expire(self, connection: Connection, now: datetime) -> tuple[str, str | None]:
        # Whether it had come to its end by itself at that instant does not matter: what is
        # stored so is ended, or its end is recorded.
        if connection["status"] not in ["ACTIVE", "ACTION_REQUIRED"]:
            return "ignored", None
        connection["status"] = "EXPIRED"
        connection["updated_at"] = now
        return "done", None

    def _revoke(self, connection: Connection, now: datetime, happened: datetime) -> bool:
        """Whether this is the revoke that counts."""
        if connection["status"] == "REVOKED":
            return False
        connection["status"] = "REVOKED"
        connection["revoked_at"] = happened
        connection["updated_at"] = now
        return True

    def _complete(
        self, happened: datetime, session_id: object, user: str
    ) -> tuple[str, str | None]:
        if not isinstance(session_id, str):
            raise Broken("an id is a string")
        session = self.sessions.get(parse_uuid(session_id) or "")
        if session is None:
            return "refused", "NOT_FOUND"
        # Reading: what holds for a connection's creation holds for a session's.
        if happened < session["created_at"]:
            raise Broken("it happened before the session was created")
        if session["path"] != "NEW_ACTIVE_SIGNUP_HANDOFF":
            return "refused", "HANDOFF_NOT_REQUIRED"
        if session["landed_user"] is not None:
            if session["landed_user"] == user:
                return "ignored", None
            return "refused", "BINDING_CONFLICT"
        if happened >= session["expires_at"]:
            return "refused", "SESSION_EXPIRED"
        state, bound = self.bindings.get(session["coordinate"], ("UNLINKED", ""))
        if state in ["LIMITED", "TOMBSTONED"]:
            return "refused", "BINDING_CHANGED"
        if state == "ACTIVE" and bound != user:
            return "refused", "BINDING_CONFLICT"
        self.bindings[session["coordinate"]] = ("ACTIVE", user)
        session["landed_user"] = user
        return "done", None

    def _graduate(self, coordinate: Coordinate, user: str | None) -> tuple[str, str | None]:
        # Reading: a binding has no creation of its own, so `happenedAt` may be any earlier
        # time, and the binding is judged as it is when the fact is recorded.
        state, bound = self.bindings.get(coordinate, ("UNLINKED", ""))
        if state in ["UNLINKED", "TOMBSTONED"]:
            return "refused", "BINDING_CHANGED"
        if user is not None and user != bound:
            return "refused", "BINDING_CONFLICT"
        if state == "ACTIVE":
            return "ignored", None
        self.bindings[coordinate] = ("ACTIVE", bound)
        return "done", None

    # Questions ----------------------------------------------------------------------------

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
        reason = standing(connection, now)
        # Reading: a package that is no token is one that was not granted.
        if reason == "ACTIVE" and package not in connection["packages"]:
            reason = "PACKAGE_NOT_GRANTED"
        if reason != "ACTIVE":
            return {"granted": False, "reason": reason, "validUntil": None}
        end = connection["expires_at"]
        return {"granted": True, "reason": None, "validUntil": format_time(end)}
