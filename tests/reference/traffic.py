"""Seeded random traffic: log lines for `replay` that reach every rule of the specification.

`traffic(seed, lines)` writes the same lines for the same seed, whoever answers them. It
sees no answer, so what it refers to later it knows in advance: a recorded `response` from
which an id is adopted, or an alias. It keeps a rough idea of the world (which ids were
asked for, which instants matter) and no rules: most lines are sensible, many arrive at, or
one microsecond beside, an instant where something changes, and some are wrong in every way
that a line, a request or a fact can be wrong.

One seed in sixteen runs in the first days of year 1, one in the last days of year 9999.
"""

# The wrong ones are long lists of cases:

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar
from urllib.parse import quote, quote_plus
from uuid import UUID

Chosen = TypeVar("Chosen")

TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HALF_HOUR = timedelta(minutes=30)
DAY = timedelta(days=1)
FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC)

API = "/api/sdk/v1/"
CREATE = API + "connections"
INITIATE = API + "curae-connect/initiate"
ACCOUNT = API + "curae-connect/account-state"
GRADUATION = API + "curae-connect/graduation-handoff"

ACCOUNT_1 = "11111111-aaaa-4bbb-8ccc-000000000001"
ACCOUNT_2 = "22222222-aaaa-4bbb-8ccc-000000000002"
# name: app, account, environment, scopes
KEYS: dict[str, tuple[str, str, str, list[str]]] = {
    "cae_live_k1": ("app-1", ACCOUNT_1, "live", ["connection:write"]),
    "cae_live_k2": ("app-1", ACCOUNT_1, "live", ["other:read", "connection:write"]),
    "cae_live_k3": ("app-2", ACCOUNT_1, "live", ["connection:write"]),
    "cae_live_k4": ("app-1", ACCOUNT_2, "live", ["connection:write"]),
    "cae_test_k5": ("app-1", ACCOUNT_1, "test", ["connection:write"]),
    "cae_live_k6": ("app-1", ACCOUNT_1, "live", []),
}
NO_SCOPE = "cae_live_k6"
MAIN_KEYS = ["cae_live_k1"] * 6 + list(KEYS)
USERS = ["user-1", "user-2", "user-3", "user-4", "Ünal Öz", "用户", "a\u2028b", "😀", "x" * 256]
PLATFORM_USERS = ["u-1", "u-2", "u-3"]
PACKAGES = ["clinical_summary", "labs", "a", "vitals_2", "z9"]
FACTS = ["authorize", "require_action", "expire", "revoke"]
ACTORS = ["APP", "PATIENT", "PLATFORM", "UPSTREAM"]

BAD_USERS: list[object] = [
    "",
    " user-1",
    "user-1 ",
    "\u00a0user",
    "user\u3000",
    "us\ner",
    "us\u0085er",
    "us\x7fer",
    "\x00",
    "x" * 257,
    "\ud800",
    "us\udfffer",
    None,
    7,
    True,
    ["user-1"],
    {"appUserId": "user-1"},
]
BAD_PACKAGES: list[object] = [
    [],
    None,
    "labs",
    {},
    ["Labs"],
    ["9labs"],
    ["_labs"],
    ["labs "],
    ["labs\n"],
    ["l\u00e4bs"],
    [""],
    ["a" * 65],
    ["labs", None],
    ["labs", 7],
    [["labs"]],
    [f"p{n}" for n in range(65)],
]
BAD_PREFERENCES: list[object] = [None, 0, 1, "true", [], {}]
BAD_TEXTS = [
    "",
    "{",
    "nothing",
    "null",
    "[]",
    "7",
    '"text"',
    "{} {}",
    '{"appUserId":"user-1",}',
    "{'appUserId':'user-1'}",
    '{"appUserId":NaN}',
    '{"appUserId":"user-1","preferSignup":Infinity}',
    '{"appUserId":"user-1","preferSignup":-Infinity}',
    '{"appUserId":"user-1","appUserId":"user-1"}',
    '{"appUserId":"user-1","dataPackages":["labs"],"dataPackages":["labs"]}',
    '{"appUserId":"user-1","preferSignup":true,"preferSignup":true}',
    '{"appUserId":"\\ud800"}',
    '{"appUserId":"user-1\\u0000"}',
    '{"appUserId":"us\ner"}',
    '{"appUserId":"user-1","dataPackages":["labs"],"x":{"y":1,"y":2}}',
    '{"appUserId":"user-1","n":' + "9" * 5000 + "}",
    '{"appUserId":"user-1","n":1e999}',
    "[" * 100_000,
    '{"appUserId":' * 100_000,
    "\ud800",
]
BAD_IDS = [
    "nothing",
    "0",
    "497f6eca62764993bfeb53cbbbba6f08",
    "{497f6eca-6276-4993-bfeb-53cbbbba6f08}",
    "497f6eca-6276-4993-bfeb-53cbbbba6f0",
    "497f6eca-6276-4993-bfeb-53cbbbba6f080",
    "497f6eca-6276-4993-bfeb-53cbbbba6g08",
    "497f6eca-6276-4993-bfeb_53cbbbba6f08",
    "497f6eca-6276-4993-bfeb-53cbbbba6f0\u0668",
    " 497f6eca-6276-4993-bfeb-53cbbbba6f08",
]
BAD_KEYS: list[object] = [
    "",
    "  ",
    '""',
    '"open',
    '"quote"s"',
    '"k"x',
    '"k";a=1',
    '"k";',
    '"a\\b"',
    '"a\\',
    '"a"b"',
    "two words",
    '"two words"',
    '" k"',
    "k\u00e9",
    "k\tk",
    "k\x00",
    "k" * 256,
    '"' + "k" * 256 + '"',
    ["k-1", "k-1"],
    ["k-1", "k-2"],
]
BAD_AUTHORIZATIONS: list[object] = [
    "",
    "Bearer",
    "Bearer ",
    "cae_live_k1",
    "Basic cae_live_k1",
    "Bearer cae_live_nobody",
    "Bearer cae_live_",
    "Bearer CAE_LIVE_K1",
    "Bearer cae_live_k1x",
    "Bearer cae_live_k1 x",
    ["Bearer cae_live_k1", "Bearer cae_live_k2"],
    [],
    "Bearer \u00e9",
]
BAD_TIMES: list[object] = [
    "2026-11-24T10:00:00",
    "2026-11-24T10:00:00+00:00",
    "2026-11-24t10:00:00z",
    "2026-11-24 10:00:00Z",
    "2026-11-24T10:00Z",
    "2026-11-24T10:00:00.Z",
    "2026-11-24T10:00:00.1234567Z",
    "2026-02-30T10:00:00Z",
    "2026-11-24T24:00:00Z",
    "2026-11-24T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "12026-01-01T00:00:00Z",
    "2026-11-24T10:00:00Z ",
    "\u0662026-11-24T10:00:00Z",
    "",
    1,
    None,
    True,
]
BAD_LINES = [
    b"",
    b"   ",
    b"\t\r",
    b"nothing",
    b"null",
    b"[]",
    b"{}",
    b'"at"',
    b"{",
    b"\xff\xfe",
    b'{"at": "\xff"}',
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"at":' * 100_000,
    b"{} {}",
    b"NaN",
    b"9" * 5000,
]


class Pairs(list[tuple[str, object]]):
    """A JSON object with its members as they come, repeated ones too."""


class Raw(str):
    """JSON text as it is, right or wrong."""

    __slots__ = ()


class Known:
    """A connection that was asked for: how to name it, and which instants matter to it."""

    def __init__(self, key: str, names: list[str], alias: str, created: datetime) -> None:
        self.key = key
        self.names = names
        self.alias = alias
        self.created = created
        self.deadline = created + HALF_HOUR if created < LAST - HALF_HOUR else LAST


class Sent:
    """A request that may be sent again."""

    def __init__(self, path: str, key: str, idempotency_key: str, body: object) -> None:
        self.path = path
        self.key = key
        self.idempotency_key = idempotency_key
        self.body = body


ABSENT = Raw("")


def format_time(time: datetime) -> str:
    text = time.replace(tzinfo=None, microsecond=0).isoformat()
    if time.microsecond:
        text += f".{time.microsecond:06}".rstrip("0")
    return text + "Z"


class Generator:
    """Writes the lines; `now` is the time of the next one."""

    def __init__(self, seed: int, lines: int) -> None:
        self.random = Random(seed)  # noqa: S311  # a seed is the point
        self.wanted = lines
        self.written: list[bytes] = []
        self.now = datetime(2026, 3, 1, 9, tzinfo=UTC)
        if seed % 16 == 14:
            self.now = FIRST
        if seed % 16 == 15:
            self.now = datetime(9999, 12, 30, 20, tzinfo=UTC)
        self.edges: list[datetime] = []
        self.known: list[Known] = []
        self.sessions: list[Known] = []
        self.states: list[str] = []
        self.sent: list[Sent] = []
        self.ids: list[str] = []
        self.count = 0

    # Chance -------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, values: Sequence[Chosen]) -> Chosen:
        return self.random.choice(values)

    def recent(self, values: list[Chosen]) -> Chosen:
        """One of them, the last few more often."""
        return self.random.choice(values[-4:] if self.chance(0.8) else values)

    def number(self) -> int:
        self.count += 1
        return self.count

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128)))

    def user(self) -> str:
        return self.one(USERS[:3]) if self.chance(0.8) else self.one(USERS)

    def key(self) -> str:
        return self.one(MAIN_KEYS)

    # Time ---------------------------------------------------------------------------------

    def after(self, wait: timedelta) -> datetime:
        return self.now + wait if self.now < LAST - wait else LAST

    def before(self, wait: timedelta) -> datetime:
        return self.now - wait if self.now > FIRST + wait else FIRST

    def edge(self, *waits: timedelta) -> None:
        self.edges.extend(self.after(wait) for wait in waits)

    def jump(self, time: datetime) -> None:
        self.now = min(max(time, self.now), LAST)

    def beside(self, time: datetime) -> datetime:
        """The instant itself or one tick beside it, where that is a time."""
        if not FIRST < time < LAST:
            return time
        return time + self.one([-1, 0, 0, 1]) * TICK

    def pass_time(self) -> None:
        roll = self.random.random()
        if roll < 0.5:
            return
        if roll < 0.7:
            self.jump(self.after(self.random.randrange(1, 5000) * TICK))
        elif roll < 0.86:
            self.jump(self.after(self.random.randrange(1, 20_000) * 1000 * TICK))
        elif roll < 0.96:
            self.edges = sorted(edge for edge in self.edges if edge >= self.now)[:200]
            if self.edges:
                edge = self.edges[0] if self.chance(0.85) else self.one(self.edges[:20])
                self.jump(self.beside(edge))
        elif roll < 0.985:
            self.jump(self.after(self.random.randrange(1, 40) * MINUTE))
        elif roll < 0.997:
            self.jump(self.after(self.random.randrange(1, 12) * HALF_HOUR))
        else:
            self.jump(self.after(DAY))

    # Text ---------------------------------------------------------------------------------

    def text(self, value: object) -> str:
        space = " " if self.chance(0.3) else ""
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, dict):
            pairs = list(value.items())
            self.random.shuffle(pairs)
            value = Pairs(pairs)
        if isinstance(value, Pairs):
            inner = (json.dumps(n) + f"{space}:{space}" + self.text(v) for n, v in value)
            return "{" + f",{space}".join(inner) + "}"
        if isinstance(value, list):
            return "[" + f",{space}".join(self.text(item) for item in value) + "]"
        plain = json.dumps(value, ensure_ascii=False)
        try:
            plain.encode()
        except UnicodeEncodeError:
            return json.dumps(value)
        return plain if self.chance(0.5) else json.dumps(value)

    def write(self, **line: object) -> None:
        self.written.append(self.text({"at": format_time(self.now), **line}).encode())

    # Requests -----------------------------------------------------------------------------

    def spell(self, name: str) -> str:
        return self.one([name, name, name, name.lower(), name.upper(), name.title()])

    def spell_key(self, key: str) -> object:
        quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return self.one([key, key, key, key, quoted, quoted, f" {key}\t", [key], f"  {quoted} "])

    def spell_id(self, text: str) -> str:
        return text.upper() if "{" not in text and self.chance(0.05) else text

    def request(
        self,
        method: str,
        path: str,
        key: str,
        *,
        idempotency_key: str | None = None,
        body: object = ABSENT,
        headers: Sequence[tuple[str, object]] = (),
        alias: str | None = None,
        response: object = ABSENT,
    ) -> None:
        pairs = Pairs([(self.spell("Authorization"), f"Bearer {key}")])
        if idempotency_key is not None:
            pairs.append((self.spell("Idempotency-Key"), self.spell_key(idempotency_key)))
        if self.chance(0.1):
            pairs.append(("Accept", ["application/json", "*/*"]))
        pairs.extend(headers)
        self.random.shuffle(pairs)
        request: dict[str, object] = {"method": method, "path": path, "headers": pairs}
        if body is not ABSENT:
            plain = isinstance(body, dict) and self.chance(0.2)
            request["body"] = self.text(body) if plain else body
        line: dict[str, object] = {"request": request}
        if alias is not None:
            line["as"] = alias
        if response is not ABSENT:
            line["response"] = response
        self.write(**line)

    def mutation(
        self,
        path: str,
        key: str,
        body: object,
        alias: str | None = None,
        response: object = ABSENT,
    ) -> None:
        """A POST with a key of its own, which may be sent again."""
        idempotency_key = self.one(["k-", "k-", "K-", 'q"', "b\\"]) + str(self.number())
        self.sent.append(Sent(path, key, idempotency_key, body))
        self.edge(DAY)
        self.request(
            "POST",
            path,
            key,
            idempotency_key=idempotency_key,
            body=body,
            alias=alias,
            response=response,
        )

    def next_action(self) -> object:
        """What a recorded answer says of its next action, sometimes wrongly."""
        action: dict[str, object] = {"type": "open_webview"}
        if self.chance(0.9):
            action["url"] = f"https://hand.off/{self.number()}?t=ä"
        elif self.chance(0.5):
            action["url"] = self.one([None, 7, ["https://hand.off"]])
        if self.chance(0.3):
            end = self.after(self.random.randrange(1, 7200) * SECOND + TICK)
            action["expiresAt"] = format_time(end)
        elif self.chance(0.1):
            action["expiresAt"] = self.one(BAD_TIMES)
        return action

    def response(self, kind: str, new_id: str) -> object:
        """A recorded answer; the id is the new one, or one in use, or none at all."""
        given: object = self.spell_id(new_id)
        body: dict[str, object] = {kind: {"id": given}, "nextAction": self.next_action()}
        if self.chance(0.05):
            body[kind] = self.one([None, 7, [], "x", {}, {"id": None}, {"id": self.one(BAD_IDS)}])
        if self.chance(0.05):
            body["nextAction"] = self.one([None, 7, [], "x", {}])
        answer: dict[str, object] = {"status": 201, "headers": {}, "body": body}
        if self.chance(0.3):
            answer["body"] = json.dumps(body)
        if self.chance(0.03):
            answer["body"] = self.one([None, 7, "{", "nothing", [], ""])
        return answer

    def names(self, kind: str, alias: str, new_id: str) -> list[str]:
        return [f"{{{alias}.{kind}.id}}", f"{{{alias}.{kind}.id}}", new_id]

    def create(self, key: str | None = None, user: str | None = None) -> Known:
        key = key or self.key()
        packages = self.random.sample(PACKAGES, self.random.randrange(1, 4))
        if self.chance(0.1):
            packages += packages[:1]
        if self.chance(0.02):
            packages = [f"p{n}" for n in range(64)] + ["p1", "p2"]
        alias = f"c{self.number()}" if self.chance(0.95) else "c1"
        new_id = self.uuid()
        known = Known(key, self.names("connection", alias, new_id), alias, self.now)
        response: object = ABSENT
        if self.ids and self.chance(0.04):
            response = self.response("connection", self.one(self.ids))
            known.names = known.names[:2]
        elif self.chance(0.8):
            response = self.response("connection", new_id)
        else:
            known.names = known.names[:2]
        body = {"appUserId": user or self.user(), "dataPackages": packages}
        self.mutation(CREATE, key, body, alias, response)
        self.ids.append(new_id)
        if key != NO_SCOPE or self.chance(0.1):
            self.known.append(known)
        self.edge(HALF_HOUR)
        return known

    def connection(self) -> Known:
        return self.recent(self.known) if self.known else self.create("cae_live_k1")

    def some_id(self, known: Known) -> str:
        if self.chance(0.03):
            return self.one([*BAD_IDS, self.uuid(), self.uuid()])
        if self.chance(0.02):
            alias = known.alias
            return self.one(
                [
                    f"{{{alias}.connection}}",
                    f"{{{alias}.connection.nothing}}",
                    f"{{{alias}.connection.id.more}}",
                    f"{{{alias}.previousConnectionId}}",
                    f"{{{alias}.headers.nothing}}",
                    "{nobody.connection.id}",
                ]
            )
        return self.spell_id(self.one(known.names))

    def other_key(self, known: Known) -> str:
        return known.key if self.chance(0.93) else self.key()

    def get(self, known: Known | None = None) -> None:
        known = known or self.connection()
        key = self.other_key(known)
        query = self.one(["", "", "", "?x=1", "?"])
        idempotency_key = "k-1" if self.chance(0.05) else None
        path = f"{CREATE}/{self.some_id(known)}{query}"
        self.request("GET", path, key, idempotency_key=idempotency_key)

    def reconnect(self, known: Known | None = None) -> Known:
        known = known or self.connection()
        key = self.other_key(known)
        alias, new_id = f"r{self.number()}", self.uuid()
        response = self.response("connection", new_id) if self.chance(0.7) else ABSENT
        names = self.names("connection", alias, new_id)[: 3 if self.chance(0.2) else 2]
        successor = Known(known.key, names, alias, self.now)
        body = self.one([{}, {}, {}, ABSENT, ""])
        path = f"{CREATE}/{self.some_id(known)}:reconnect"
        self.mutation(path, key, body, alias, response)
        # It may well have been refused, so the older one stays the likelier choice.
        self.known.append(successor if self.chance(0.35) else known)
        self.edge(HALF_HOUR)
        return successor

    def revoke(self, known: Known | None = None) -> None:
        known = known or self.connection()
        body = self.one([{}, {}, ABSENT, ""])
        path = f"{CREATE}/{self.some_id(known)}:revoke"
        self.mutation(path, self.other_key(known), body)

    def initiate(
        self, key: str | None = None, user: str | None = None, *, prefer: object = ABSENT
    ) -> Known:
        key = key or self.key()
        body: dict[str, object] = {"appUserId": user or self.user()}
        if prefer is ABSENT and self.chance(0.6):
            prefer = self.chance(0.75)
        if prefer is not ABSENT:
            body["preferSignup"] = prefer
        alias, new_id = f"s{self.number()}", self.uuid()
        session = Known(key, self.names("session", alias, new_id), alias, self.now)
        response: object = ABSENT
        if self.chance(0.8):
            response = self.response("session", new_id)
        else:
            session.names = session.names[:2]
        self.mutation(INITIATE, key, body, alias, response)
        if key != NO_SCOPE or self.chance(0.1):
            self.sessions.append(session)
        self.edge(MINUTE, HALF_HOUR)
        return session

    def graduation(self, key: str | None = None, user: str | None = None) -> None:
        key = key or self.key()
        response: object = ABSENT
        if self.chance(0.5):
            response = {"status": 201, "body": {"nextAction": self.next_action()}}
        headers: list[tuple[str, object]] = []
        if self.chance(0.05):
            headers.append((self.spell("Idempotency-Key"), self.one(["k-1", "", ["a", "b"]])))
        body = {"appUserId": user or self.user()}
        self.edge(MINUTE)
        self.request("POST", GRADUATION, key, body=body, headers=headers, response=response)

    def account_state(self, key: str | None = None, user: str | None = None) -> None:
        user = user or self.user()
        written = self.one([quote(user, safe=""), quote_plus(user)])
        query = self.one(["?appUserId={}", "?appUserId={}&x=1", "?a=b&&appUserId={}", "?{}"])
        query = query.replace("{}", written if "=" in query else f"appUserId={written}")
        headers: list[tuple[str, object]] = []
        if self.states and self.chance(0.6):
            tag = f"{{{self.recent(self.states)}.headers.etag}}"
            other = f"{{{self.recent(self.states)}.headers.etag}}"
            value: object = self.one(
                [
                    tag,
                    tag,
                    f"W/{tag}",
                    f'"other", {tag}',
                    f'W/"a,b" ,\t{tag},"c"',
                    f"{tag}, {other}",
                    [tag, '"other"'],
                    ['"other"', f"W/{tag}"],
                    "*",
                    '"other"',
                    'W/"other"',
                    "nothing",
                    "",
                    "{nobody.headers.etag}",
                ]
            )
            headers.append((self.spell("If-None-Match"), value))
        alias = f"a{self.number()}"
        self.request("GET", ACCOUNT + query, key or self.key(), headers=headers, alias=alias)
        self.states.append(alias)
        if self.chance(0.3):  # an account state that did not answer 200 may have no tag
            self.states = self.states[-6:]

    def ask(self, known: Known | None = None) -> None:
        known = known or self.connection()
        package = self.one([*PACKAGES[:2], *PACKAGES, "unknown_one"])
        asked = {"type": "access", "connectionId": self.some_id(known), "dataPackage": package}
        self.write(ask=asked)

    # Facts --------------------------------------------------------------------------------

    def happened(self, known: Known) -> str:
        times = [self.now, self.before(TICK), self.before(SECOND), self.before(MINUTE)]
        times += [self.before(HALF_HOUR), known.created, self.beside(known.created)]
        times += [known.deadline, self.beside(known.deadline), self.beside(self.now)]
        if self.chance(0.1):
            return f"{{{known.alias}.connection.createdAt}}"
        fitting = [time for time in times if known.created <= time <= self.now]
        return format_time(self.one(fitting if fitting and self.chance(0.9) else times))

    def fact(self, kind: str, known: Known | None = None, happened: datetime | None = None) -> None:
        known = known or self.connection()
        fact: dict[str, object] = {"type": "connection." + kind}
        fact["connectionId"] = self.some_id(known)
        if happened is not None:
            fact["happenedAt"] = format_time(happened)
        elif self.chance(0.35):
            fact["happenedAt"] = self.happened(known)
        if kind == "authorize" and self.chance(0.7):
            wait = self.one([MINUTE, HALF_HOUR, 3 * SECOND, self.random.randrange(1, 999) * SECOND])
            fact["expiresAt"] = format_time(self.after(wait))
            self.edge(wait)
            if self.chance(0.05):
                fact["expiresAt"] = format_time(self.one([self.now, self.before(TICK)]))
            elif self.chance(0.05):
                fact["expiresAt"] = f"{{{known.alias}.nextAction.expiresAt}}"
        if kind == "require_action":
            fact["reason"] = self.one(["portal_login", "consent_changed", "Bitte anmelden: ü"])
        if kind == "revoke":
            fact["actor"] = self.one(ACTORS)
        self.write(fact=fact)

    def complete(
        self,
        session: Known | None = None,
        user: str | None = None,
        happened: datetime | None = None,
    ) -> None:
        session = session or (self.recent(self.sessions) if self.sessions else self.initiate())
        name = self.one(session.names)
        if self.chance(0.03):
            name = self.one([*BAD_IDS, self.uuid()])
        fact: dict[str, object] = {"type": "handoff.complete", "sessionId": name}
        fact["userId"] = user or self.one(PLATFORM_USERS[:2])
        if happened is not None:
            fact["happenedAt"] = format_time(happened)
        elif self.chance(0.2):
            times = [self.now, self.beside(session.created), self.beside(session.deadline)]
            fitting = [time for time in times if time <= self.now]
            fact["happenedAt"] = format_time(self.one(fitting if self.chance(0.9) else times))
        self.write(fact=fact)

    def binding(
        self,
        kind: str | None = None,
        key: str | None = None,
        user: str | None = None,
        bound: str | None = None,
    ) -> None:
        kind = kind or self.one(["graduate", "graduate", "tombstone"])
        app, account, environment, _ = KEYS[key or self.key()]
        fact: dict[str, object] = {"type": "binding." + kind, "appId": app}
        fact["customerAccountId"] = account.upper() if self.chance(0.1) else account
        fact["appUserId"] = user or self.user()
        if environment != "live" or self.chance(0.3):
            fact["environment"] = environment
        if kind == "graduate" and (bound is not None or self.chance(0.3)):
            fact["userId"] = bound or self.one(PLATFORM_USERS)
        if self.chance(0.1):
            fact["happenedAt"] = format_time(self.before(MINUTE))
        self.write(fact=fact)

    # Configuration ------------------------------------------------------------------------

    def register(self, key: str, scopes: list[str] | None = None) -> None:
        app, account, environment, usual = KEYS[key]
        given: dict[str, object] = {"apiKey": key, "appId": app, "customerAccountId": account}
        given["scopes"] = usual if scopes is None else scopes
        if environment != "live" or self.chance(0.5):
            given["environment"] = environment
        self.write(register=given)

    def register_again(self) -> None:
        key = self.key()
        if self.chance(0.3):
            self.register(key, [])
            self.any_request()
        self.register(key)

    def buckets(self) -> None:
        buckets: list[object] = []
        if self.chance(0.35):
            wide = {"name": "platform", "capacity": 100, "refill": 50, "seconds": 1}
            buckets.append(wide)
        if self.chance(0.45):
            names = self.random.sample(["burst", "hourly", "third"], self.random.randrange(4))
            buckets.extend(
                {
                    "name": name,
                    "capacity": self.random.randrange(1, 9),
                    "refill": self.random.randrange(1, 8),
                    "seconds": self.random.randrange(1, 8),
                }
                for name in names
            )
        self.edge(*(n * SECOND / 7 for n in range(1, 5)))
        self.write(buckets=buckets)

    # The same again -----------------------------------------------------------------------

    def again(self, sent: Sent | None = None, *, same: bool = False) -> None:
        """An earlier request with its key: the same, the same said otherwise, or another one."""
        if sent is None:
            if not self.sent:
                self.create()
            sent = self.recent(self.sent)
        key, path, body = sent.key, sent.path, sent.body
        if not same and self.chance(0.12):
            key = self.key()
        if not same and self.chance(0.15):
            path, body = self.other_request()
        elif isinstance(body, dict):
            body = self.said_otherwise(path, body, same=same)
        if not body:
            body = self.one([{}, ABSENT, ""])
        response: object = ABSENT
        if self.chance(0.2):
            response = self.response(self.one(["connection", "session"]), self.uuid())
        self.request(
            "POST",
            path,
            key,
            idempotency_key=sent.idempotency_key,
            body=body,
            alias=f"x{self.number()}" if self.chance(0.3) else None,
            response=response,
        )

    def other_request(self) -> tuple[str, object]:
        known = self.some_id(self.connection())
        return self.one(
            [
                (CREATE, {"appUserId": self.user(), "dataPackages": ["labs"]}),
                (INITIATE, {"appUserId": self.user()}),
                (f"{CREATE}/{known}:revoke", {}),
                (f"{CREATE}/{known}:reconnect", {}),
            ]
        )

    def said_otherwise(self, path: str, body: dict[str, object], *, same: bool) -> object:
        """The same values in another spelling; unless `same`, sometimes other values."""
        body = dict(body)
        packages = body.get("dataPackages")
        if isinstance(packages, list) and self.chance(0.5):
            body["dataPackages"] = [*reversed(packages), packages[0]]
        if path == INITIATE and not body.get("preferSignup"):
            body.pop("preferSignup", None)
            if self.chance(0.5):
                body["preferSignup"] = False
        if not same and path == INITIATE and self.chance(0.15):
            body["preferSignup"] = self.chance(0.5)
        if not same and "appUserId" in body and self.chance(0.1):
            body["appUserId"] = self.user()
        return body

    # Wrong in every way -------------------------------------------------------------------

    def bad_body(self) -> None:
        known = self.connection()
        path = self.one([CREATE, CREATE, INITIATE, INITIATE, GRADUATION, ":reconnect", ":revoke"])
        body: object
        user: object = self.user()
        roll = self.random.randrange(7)
        if path.startswith(":"):
            path = f"{CREATE}/{self.some_id(known)}{path}"
            body = self.one(
                [[], 7, "null", "[]", " {} x", {"x": 1}, {"appUserId": user}, '{"":null}']
            )
        elif roll == 0:
            body = self.one(BAD_TEXTS)
        elif roll == 1:
            body = self.one([7, [], True, "x", 1.5, [{}], {}])
        elif roll == 2:
            body = {"appUserId": self.one(BAD_USERS), "dataPackages": ["labs"]}
        elif roll == 3 and path == CREATE:
            body = {"appUserId": user, "dataPackages": self.one(BAD_PACKAGES)}
        elif roll == 3:
            body = {"appUserId": user, "preferSignup": self.one(BAD_PREFERENCES)}
        elif roll == 4:
            body = Pairs([("appUserId", user), ("appUserId", user), ("dataPackages", ["labs"])])
        elif roll == 5:
            extra = self.one(["preferSignUp", "x", "", "appUserID", "status", "customerAccountId"])
            packages = {"dataPackages": ["labs"]} if path == CREATE else {}
            body = {"appUserId": user, extra: self.one([True, None, {"a": [1]}, "y"]), **packages}
        else:
            nested = Pairs([("a", 1), ("a", 2)])
            body = {"appUserId": user, "dataPackages": ["labs"], "more": nested}
        headers: list[tuple[str, object]] = []
        if self.chance(0.1):
            headers.append(("Idempotency-Key", self.one(BAD_KEYS)))
        idempotency_key = f"k-{self.number()}" if not headers and self.chance(0.8) else None
        self.request(
            "POST", path, self.key(), idempotency_key=idempotency_key, body=body, headers=headers
        )

    def bad_key(self) -> None:
        body: dict[str, object] = {"appUserId": self.user(), "dataPackages": ["labs"]}
        headers: list[tuple[str, object]] = []
        roll = self.random.randrange(5)
        if roll == 0:
            headers = [("Idempotency-Key", "k-1"), ("idempotency-key", "k-1")]
        elif roll == 1:
            headers = [("Idempotency-Key", "k-1"), ("Idempotency-Key", self.one(["k-1", "k-2"]))]
        elif roll <= 3:
            headers = [(self.spell("Idempotency-Key"), self.one(BAD_KEYS))]
        path = CREATE
        if self.chance(0.4):
            path = (
                f"{CREATE}/{self.some_id(self.connection())}{self.one([':revoke', ':reconnect'])}"
            )
            body = {}
        self.request("POST", path, self.key(), body=body, headers=headers)

    def good_key(self) -> None:
        """Odd keys that are keys; the same one in two spellings."""
        key = self.one(["k" * 255, "!~", 'a"odd', "#[]{}", "q\\q", "0"])
        quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for spelling in self.random.sample([key, quoted, f"\t{key} ", f" {quoted}", [quoted]], 2):
            body = {"appUserId": "user-1", "dataPackages": ["labs"]}
            headers = [("Idempotency-Key", spelling)]
            self.request("POST", CREATE, "cae_live_k1", body=body, headers=headers)

    def bad_authorization(self) -> None:
        headers = Pairs([(self.spell("Authorization"), self.one(BAD_AUTHORIZATIONS))])
        if self.chance(0.2):
            headers = Pairs([])
        elif self.chance(0.2):
            given = f"Bearer {self.key()}"
            headers = Pairs([("Authorization", given), (self.spell("AUTHORIZATION"), "Basic x")])
        headers.append(("Idempotency-Key", "k-1"))
        path = self.one([CREATE, INITIATE, ACCOUNT, GRADUATION, "/nowhere"])
        request: dict[str, object] = {"method": "POST", "path": path, "headers": headers}
        if self.chance(0.1):
            del request["headers"]
        self.write(request=request)

    def bad_path(self) -> None:
        known = self.connection()
        name = self.one(known.names)
        method, path = self.one(
            [
                ("GET", "/"),
                ("GET", ""),
                ("GET", CREATE),
                ("PUT", CREATE),
                ("post", CREATE),
                ("DELETE", f"{CREATE}/{name}"),
                ("POST", f"{CREATE}/{name}"),
                ("POST", f"{CREATE}/{name}:pause"),
                ("POST", f"{CREATE}/{name}/reconnect"),
                ("POST", f"{CREATE}/{name}:Reconnect"),
                ("POST", CREATE + "/"),
                ("POST", "/api/sdk/v2/connections"),
                ("GET", INITIATE),
                ("POST", ACCOUNT),
                ("GET", GRADUATION),
                ("POST", INITIATE + "/"),
                ("POST", INITIATE.upper()),
                ("PATCH", ACCOUNT + "?appUserId=user-1"),
                ("", CREATE),
            ]
        )
        body = {"appUserId": self.user(), "dataPackages": ["labs"]}
        self.request(method, path, self.key(), idempotency_key="k-1", body=body)

    def bad_id(self) -> None:
        bad = self.one(BAD_IDS)
        ending = self.one(["", ":reconnect", ":revoke"])
        body: object = self.one([{}, ABSENT, [], {"x": 1}]) if ending else ABSENT
        idempotency_key = f"k-{self.number()}" if self.chance(0.6) else None
        self.request(
            "POST" if ending else "GET",
            f"{CREATE}/{bad}{ending}",
            self.key(),
            idempotency_key=idempotency_key,
            body=body,
        )

    def bad_query(self) -> None:
        query = self.one(
            [
                "",
                "?",
                "?appUserId",
                "?appUserId=",
                "?appuserid=user-1",
                "?appUserId=user-1&appUserId=user-1",
                "?appUserId=user-1&appUserId=user-2",
                "?appUserId=user-1&appUserId=",
                "?appUserId=+user-1",
                "?appUserId=user-1%20",
                "?appUserId=user%00",
                "?appUserId=%0A",
                "?appUserId=%C2%A0x",
                "?appUserId=%FF",
                "?appUserId=%ED%A0%80",
                "?appUserId=\ud800",
                "?appUserId=" + "x" * 257,
            ]
        )
        self.request("GET", ACCOUNT + query, self.key())

    def bad_fact(self) -> None:
        known = self.connection()
        name = self.one(known.names)
        one_of = "connection." + self.one(FACTS)
        graduate: dict[str, object] = {
            "type": "binding.graduate",
            "customerAccountId": ACCOUNT_1,
            "appId": "app-1",
            "appUserId": "user-1",
        }
        authorize: dict[str, object] = {"type": "connection.authorize", "connectionId": name}
        revoke: dict[str, object] = {"type": "connection.revoke", "connectionId": name}
        login: dict[str, object] = {"type": "connection.require_action", "connectionId": name}
        complete: dict[str, object] = {"type": "handoff.complete", "sessionId": self.uuid()}
        unknown = self.one([self.uuid(), self.one(BAD_IDS)])
        ends = {"expiresAt": format_time(self.now)}
        future = {"happenedAt": format_time(self.after(TICK))}
        yesterday = {"happenedAt": format_time(self.before(DAY))}
        facts: list[object] = [
            {},
            [],
            "connection.expire",
            None,
            {"type": "connection.pause", "connectionId": name},
            {"type": 7, "connectionId": name},
            {"connectionId": name},
            {"type": one_of},
            {**authorize, "connectionId": self.one([None, 7, [], True])},
            {**authorize, "expiresAt": self.one(BAD_TIMES[:-1])},
            {**authorize, "happenedAt": self.one(BAD_TIMES[:-1])},
            {**authorize, **ends},
            {**authorize, **future},
            {**authorize, **yesterday},
            {**authorize, "connectionId": unknown, **ends},
            {**authorize, "connectionId": unknown, **future},
            {**authorize, "connectionId": unknown, **yesterday},
            {**authorize, "reason": "portal_login"},
            Pairs([*authorize.items(), ("connectionId", name)]),
            {**revoke},
            {**revoke, "actor": self.one(["patient", "", "NOBODY", 7, ["APP"]])},
            {**revoke, "actor": "PATIENT", "connectionId": unknown},
            {**login},
            {**login, "reason": self.one([7, [], {}, True])},
            {**complete},
            {**complete, "userId": self.one([7, [], True])},
            {**complete, "userId": "u-1"},
            {**complete, "userId": "u-1", "sessionId": self.one(BAD_IDS)},
            {**complete, "userId": "u-1", "sessionId": 7},
            {**complete, "userId": "u-1", "sessionId": name},
            {**graduate, "customerAccountId": self.one([*BAD_IDS, 7])},
            {**graduate, "appUserId": self.one(BAD_USERS)},
            {**graduate, "appId": self.one([7, [], True])},
            {**graduate, "environment": self.one(["LIVE", "prod", "", 7])},
            {**graduate, "userId": 7},
            {**graduate, **future},
        ]
        self.write(fact=self.one(facts))

    def bad_line(self) -> None:
        known = self.connection()
        name = self.one(known.names)
        alias = known.alias
        at = format_time(self.now)
        fact = {"type": "connection.expire", "connectionId": name}
        ask = {"type": "access", "connectionId": name, "dataPackage": "labs"}
        request: dict[str, object] = {"method": "GET", "path": f"{CREATE}/{name}"}
        bucket: dict[str, object] = {"name": "b", "capacity": 1, "refill": 1, "seconds": 1}
        app, account, _, scopes = KEYS["cae_live_k1"]
        key: dict[str, object] = {"apiKey": "cae_live_k9", "appId": app, "scopes": scopes}
        key["customerAccountId"] = account
        earlier = format_time(self.before(self.one([TICK, MINUTE])))
        lines: list[object] = [
            {"at": at},
            {"fact": fact},
            {"at": at, "fact": fact, "ask": ask},
            {"at": at, "request": request, "buckets": []},
            {"at": at, "fact": fact, "more": 1},
            {"at": self.one(BAD_TIMES), "fact": fact},
            {"at": earlier, "fact": fact},
            {"at": earlier, "buckets": []},
            {"at": earlier, "as": "p", "request": request},
            {"at": earlier, "ask": ask},
            Pairs([("at", at), ("at", at), ("fact", fact)]),
            Pairs([("at", at), ("fact", fact), ("fact", fact)]),
            {"at": at, "ask": {**ask, "connectionId": self.one([*BAD_IDS, self.uuid(), 7])}},
            {"at": at, "ask": {**ask, "type": "excess"}},
            {"at": at, "ask": {**ask, "dataPackage": 7}},
            {"at": at, "ask": {"type": "access", "connectionId": name}},
            {"at": at, "ask": self.one([None, [], "access", 7])},
            {"at": at, "request": self.one([None, [], "GET", 7, {}])},
            {"at": at, "request": {**request, "method": 7}},
            {"at": at, "request": {**request, "path": None}},
            {"at": at, "request": {"path": CREATE}},
            {"at": at, "request": {"method": "GET"}},
            {"at": at, "request": {**request, "headers": self.one([[], "x", 7])}},
            {"at": at, "request": {**request, "headers": {"x": self.one([7, {}, [7], True])}}},
            {"at": at, "as": 7, "request": request},
            {"at": at, "request": Pairs([*request.items(), ("path", "/")])},
            {"at": at, "request": request, "response": {"body": Pairs([("a", 1), ("a", 1)])}},
            {"at": at, "request": {**request, "path": f"{CREATE}/{{{alias}.connection.x}}"}},
            {"at": at, "request": {**request, "headers": {"x": [f"{{{alias}.nothing}}"]}}},
            {"at": at, "request": {**request, "body": {"x": f"{{{alias}.nextAction}}"}}},
            {"at": at, "fact": {**fact, "x": Raw("NaN")}},
            {"at": at, "buckets": self.one([None, {}, "x", [7], [[]]])},
            {"at": at, "buckets": [bucket, bucket]},
            {"at": at, "buckets": [{**bucket, self.one(["capacity", "refill", "seconds"]): 0}]},
            {"at": at, "buckets": [{**bucket, "capacity": self.one([-1, 1.5, "1", None, True])}]},
            {"at": at, "buckets": [{**bucket, "name": self.one([7, None, ""])}]},
            {"at": at, "buckets": [{"name": "b", "capacity": 1, "refill": 1}]},
            {"at": at, "register": self.one([None, [], "x", {}])},
            {"at": at, "register": {**key, "customerAccountId": self.one([*BAD_IDS, 7])}},
            {"at": at, "register": {**key, "environment": self.one(["LIVE", "", 7])}},
            {"at": at, "register": {**key, "scopes": self.one(["connection:write", None, [7]])}},
            {"at": at, "register": {**key, "apiKey": self.one(["", 7, None, "sk_live_k9"])}},
            {"at": at, "register": {**key, "appId": self.one([7, None, []])}},
            Pairs([("at", at), ("register", Pairs([*key.items(), ("appId", app)]))]),
        ]
        if self.chance(0.3):
            self.written.append(self.one(BAD_LINES))
        else:
            self.written.append(self.text(self.one(lines)).encode())

    def aliases(self) -> None:
        """Names used again, named by a refused request, or not named at all."""
        alias = self.one(["c1", "p", "s1"])
        body = self.one([{"appUserId": ""}, {"appUserId": "{c1.connection.appUserId}"}])
        self.request("POST", GRADUATION, self.key(), body=body, alias=alias)
        used = self.one([f"{{{alias}.code}}", f"{{{alias}.connection.id}}", "{p.nextAction.url}"])
        text = self.one(["{nobody.x}", "{nobody}", "{}", "{.}", "a{b", "{{", "}{", "{p q.r}"])
        user = self.one([used, text, f"{text}-{used}"])
        self.mutation(INITIATE, self.key(), {"appUserId": user})
        if self.chance(0.5):
            raw = f'{{"appUserId": "{used}", "dataPackages": ["labs"]}}'
            idempotency_key = f"k-{self.number()}"
            key = self.key()
            self.request("POST", CREATE, key, idempotency_key=idempotency_key, body=raw)

    # Stories ------------------------------------------------------------------------------

    def limit_story(self) -> None:
        """As many as one app user may, and what happens where the first one leaves the window."""
        user = self.user()
        keys = self.one([["cae_live_k1"], ["cae_live_k1", "cae_live_k3", "cae_live_k2"]])
        self.jump(self.after(MINUTE))
        graduation = self.chance(0.3)
        if graduation and self.chance(0.7):
            self.initiate(keys[0], user, prefer=False)
        start = self.now
        for _ in range(self.random.randrange(9, 13)):
            if graduation:
                self.graduation(self.one(keys), user)
            else:
                self.initiate(self.one(keys), user)
            if self.chance(0.3):
                self.jump(self.after(self.one([TICK, SECOND, 5 * SECOND])))
        if not graduation:
            self.again(self.recent(self.sent), same=True)
        if start >= LAST - MINUTE - TICK:
            return
        for time in [start + MINUTE - TICK, start + MINUTE, start + MINUTE + TICK]:
            self.jump(time)
            for _ in range(self.one([1, 1, 2])):
                if graduation:
                    self.graduation(self.one(keys), user)
                else:
                    self.initiate(self.one(keys), user)

    def bucket_story(self) -> None:
        """A bucket that is emptied, and the first instant at which it holds a token again."""
        capacity, refill, seconds = (self.random.randrange(1, n) for n in (5, 8, 4))
        bucket = {"name": "small", "capacity": capacity, "refill": refill, "seconds": seconds}
        buckets: list[object] = [bucket, {**bucket, "name": self.one(["twin", "same", "third"])}]
        self.write(buckets=self.one([[bucket], buckets, [{**bucket, "capacity": 9}, *buckets[1:]]]))
        charged: list[Callable[[], object]] = [self.get, self.account_state, self.initiate]
        charged += [self.again, self.bad_id]
        start = self.now
        for _ in range(capacity + 1):
            self.one(charged)()
        filled = timedelta(microseconds=-(-seconds * 1_000_000 // refill))
        if start < LAST - 2 * filled:
            for time in [start + filled - TICK, start + filled, start + 2 * filled]:
                self.jump(time)
                for _ in range(self.one([1, 1, 2])):
                    self.one(charged[:3])()
        if self.chance(0.8):
            self.write(buckets=[])

    def late_story(self) -> None:
        """A pending one lapses; then it turns out to have been authorized, in time or not."""
        known = self.create("cae_live_k1")
        self.jump(self.beside(known.deadline))
        self.get(known)
        successor = self.reconnect(known) if self.chance(0.4) else None
        happened = self.beside(known.deadline)
        if known.created <= happened <= self.now:
            self.fact("authorize", known, happened)
        if successor is not None:
            self.fact("authorize", successor)
            self.reconnect(known)
        self.get(known)
        self.ask(known)

    def chain_story(self) -> None:
        """Recoveries of recoveries, reissues, and an end of one or of all."""
        chain = [self.create("cae_live_k1")]
        for _ in range(self.random.randrange(1, 4)):
            last = chain[-1]
            how = self.one(["lapse", "revoke", "require_action", "expire"])
            if how == "lapse":
                self.jump(self.beside(self.after(HALF_HOUR)))
            else:
                self.fact("authorize", last)
                self.fact(how, last, None if self.chance(0.3) else self.now)
            chain.append(self.reconnect(last))
            if self.chance(0.5):
                self.jump(self.after(self.one([TICK, MINUTE])))
                self.reconnect(last)
                self.get(chain[-1])
        if self.chance(0.4):
            self.fact("authorize", self.one(chain))
        if self.chance(0.5):
            self.reconnect(self.one(chain))
        happened = self.before(self.one([TICK, SECOND, MINUTE])) if self.chance(0.3) else None
        for _ in range(self.one([1, 2])):
            self.fact("revoke", self.one(chain), happened)
        for known in chain:
            self.get(known)
        self.reconnect(chain[-1])

    def retention_story(self) -> None:
        """The same request where the memory of it ends."""
        makers: list[Callable[[], Known]] = [self.create, self.initiate, self.reconnect]
        self.one(makers)()
        sent, start = self.sent[-1], self.now
        self.again(sent)
        if start >= LAST - DAY - TICK:
            return
        for wait in [DAY - TICK, DAY, DAY + TICK]:
            if self.chance(0.8):
                self.jump(start + wait)
                self.again(sent, same=self.chance(0.5))

    def expiry_story(self) -> None:
        """An access that ends by itself."""
        known = self.create("cae_live_k1")
        wait = self.one([SECOND, MINUTE, 7 * TICK, HALF_HOUR])
        end = self.after(wait)
        fact = {"type": "connection.authorize", "connectionId": known.names[0]}
        if end > self.now:
            fact["expiresAt"] = format_time(end)
        self.write(fact=fact)
        if self.chance(0.3):
            self.fact("require_action", known)
        for time in [end - TICK, end, end]:
            self.jump(time)
            self.ask(known)
            self.one([self.get, self.reconnect, self.ask])(known)
        for _ in range(2):
            self.fact(self.one(FACTS), known)
            self.get(known)

    def sign_up_story(self) -> None:
        """A user who is new, signs up twice, and what the account becomes."""
        key = self.one(["cae_live_k1", "cae_live_k3", "cae_test_k5"])
        user = self.one([f"new-{self.number()}", self.user()])
        self.account_state(key, user)
        first = self.initiate(key, user, prefer=True)
        second = self.initiate(key, user, prefer=True)
        if self.chance(0.3):
            self.initiate(key, user, prefer=False)
        if self.chance(0.3):
            self.jump(self.beside(self.after(HALF_HOUR)))
        for _ in range(self.random.randrange(1, 5)):
            self.complete(self.one([first, second]), self.one(["u-1", "u-1", "u-2"]))
        self.account_state(key, user)
        for _ in range(self.random.randrange(1, 4)):
            roll = self.random.randrange(5)
            if roll == 0:
                self.binding("tombstone", key, user)
            elif roll == 1:
                self.binding("graduate", key, user, self.one([None, "u-1", "u-2"]))
            elif roll == 2:
                self.graduation(key, user)
            elif roll == 3:
                self.initiate(key, user)
            else:
                self.complete(self.one([first, second]), self.one(["u-1", "u-2"]))
        self.account_state(key, user)

    def limited_story(self) -> None:
        """A user provisioned in silence, who may graduate."""
        key = self.one(["cae_live_k1", "cae_live_k4"])
        user = f"new-{self.number()}"
        session = self.initiate(key, user, prefer=False)
        self.graduation(key, user)
        for _ in range(self.random.randrange(1, 4)):
            if self.chance(0.5):
                self.binding("graduate", key, user)
            elif self.chance(0.5):
                self.binding(None, key, user, "u-3")
            else:
                self.complete(session)
            self.account_state(key, user)
        self.initiate(key, user)
        self.graduation(key, user)

    # All of it ----------------------------------------------------------------------------

    def any_request(self) -> None:
        requests: list[Callable[[], object]] = [self.create, self.get, self.reconnect]
        requests += [self.revoke, self.initiate, self.graduation, self.account_state, self.again]
        for _ in range(2):
            self.one(requests)()

    def any_fact(self) -> None:
        kind = self.one([*FACTS, "authorize", "authorize"])
        known = self.connection()
        self.fact(kind, known)
        if self.chance(0.25):
            self.ask(known)

    def run(self) -> list[bytes]:
        if self.chance(0.05):
            self.bad_line()
        for key in KEYS:
            self.register(key)
        if self.chance(0.5):
            self.buckets()
        actions: list[tuple[int, Callable[[], object]]] = [
            (8, self.create),
            (7, self.get),
            (9, self.reconnect),
            (4, self.revoke),
            (6, self.initiate),
            (4, self.complete),
            (4, self.binding),
            (5, self.account_state),
            (3, self.graduation),
            (7, self.ask),
            (16, self.any_fact),
            (12, self.again),
            (4, self.bad_body),
            (2, self.bad_key),
            (1, self.good_key),
            (1, self.bad_authorization),
            (1, self.bad_path),
            (1, self.bad_id),
            (1, self.bad_query),
            (2, self.bad_fact),
            (4, self.bad_line),
            (1, self.aliases),
            (1, self.register_again),
            (1, self.buckets),
            (1, self.limit_story),
            (1, self.bucket_story),
            (2, self.late_story),
            (2, self.chain_story),
            (1, self.retention_story),
            (2, self.expiry_story),
            (2, self.sign_up_story),
            (1, self.limited_story),
        ]
        weights = [weight for weight, _ in actions]
        while len(self.written) < self.wanted:
            self.pass_time()
            self.random.choices(actions, weights)[0][1]()
        return self.written[: self.wanted]


def traffic(seed: int, lines: int) -> list[bytes]:
    """So many lines of a log, without line ends; the same for the same seed."""
    return Generator(seed, lines).run()
