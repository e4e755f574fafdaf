"""A state machine of the whole world: traffic to the package and to the reference model."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, precondition, rule

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import check_documented
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.proof.comparison import OneToOne, differences
from tests.proof.reference.model import Model
from tests.proof.stateful.running import START, TICK, CountedMachine, agree
from tests.support.instants import handle_at
from tests.support.server import document, new_ids, request, world

ACCOUNT: Final = "11111111-aaaa-4bbb-8ccc-000000000001"
KEYS: Final[dict[str, tuple[str, str, list[str]]]] = {
    "cae_live_k1": ("app-1", "live", ["connection:write"]),
    "cae_live_k2": ("app-2", "live", ["connection:write"]),
    "cae_test_k3": ("app-1", "test", ["connection:write"]),
    "cae_live_k4": ("app-1", "live", []),
}
API: Final = "/api/sdk/v1/"
UNKNOWN: Final = "99999999-0000-4000-8000-000000000000"
BUCKETS: Final[list[list[dict[str, Json]]]] = [
    [],
    [{"name": "platform", "capacity": 100, "refill": 50, "seconds": 1}],
    [
        {"name": "burst", "capacity": 2, "refill": 1, "seconds": 1},
        {"name": "slow", "capacity": 3, "refill": 2, "seconds": 7},
    ],
]

DAY: Final = timedelta(hours=24)
SPARE: Final = timedelta(minutes=5)
"""The delay of a store after a deadline, since another clock may be behind."""

connections = Bundle("connections")
sessions = Bundle("sessions")
api_keys = st.sampled_from(["cae_live_k1"] * 6 + [*KEYS, "cae_live_nobody"])
users = st.sampled_from(["user-1", "user-1", "user-2"])
idempotency_keys = st.sampled_from(["new"] * 6 + ["again", None, "", "two words"])
spans = st.sampled_from([0, 0, 1, 1_000_000, 6_000_000, 60_000_000, 1_800_000_000])
bad_bodies = st.sampled_from(["", "{", "[]", '{"appUserId":" "}', '{"x":1}'])


class WorldMachine(CountedMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.numbered = 0
        self.said: deque[bytes] = deque()
        self.edges: list[datetime] = []
        self.pairs = OneToOne()
        self.model = Model()
        self.answers = replay(self._lines())
        self.count = 0
        self.sent: list[dict[str, Json]] = []

    def _lines(self) -> Iterator[bytes]:
        while True:
            yield self.said.popleft()

    def _say(self, **line: Json) -> dict[str, Json]:
        self.count += 1
        at = self.now.isoformat().replace("+00:00", "Z")
        raw = json.dumps({"at": at, **line}).encode()
        self.said.append(raw)
        answer = next(self.answers).answer
        expected: dict[str, Json] = json.loads(json.dumps(self.model.line(raw, self.count)))
        found = differences(expected, answer, self.pairs)
        shown = f"line {raw.decode()}\n  model:   {expected}\n  package: {answer}"
        assert not found, f"the world differs at {', '.join(found)}\n  {shown}"
        if "status" in answer:
            self._check(answer)
        return answer

    def _check(self, answer: dict[str, Json]) -> None:
        status, headers, body = answer["status"], answer["headers"], answer["body"]
        assert isinstance(status, int)
        assert isinstance(headers, dict)
        pairs = tuple((name, str(value)) for name, value in headers.items())
        check_documented(Response(status, pairs, str(body or "").encode()))
        self.seen["replay" if answer["replayed"] else f"answered {status}"] += 1
        rules = answer["rules"]
        assert isinstance(rules, list)
        # No rule uses this table: an operation carries its own row, and the trail names it.
        for named in map(str, rules):
            table, _, name = named.partition(".")
            if table == OPERATION_TABLE.name:
                self.counts[table, name] += 1

    # The server -----------------------------------------------------------------------------

    @initialize(
        serves=st.sampled_from([None, None, "test", "live"]), buckets=st.sampled_from(BUCKETS)
    )
    def configure(self, serves: str | None, buckets: list[dict[str, Json]]) -> None:
        self.model = Model(serves)
        environment = Environment(serves) if serves else None
        self.answers = replay(self._lines(), environment=environment)
        for name in KEYS:
            self._register(name)
        self._say(buckets=list[Json](buckets))

    def _register(self, name: str) -> None:
        app, environment, scopes = KEYS[name]
        self._say(
            register={
                "apiKey": name,
                "appId": app,
                "customerAccountId": ACCOUNT,
                "scopes": list[Json](scopes),
                "environment": environment,
            }
        )

    @rule(name=st.sampled_from(list(KEYS)))
    def register_again(self, name: str) -> None:
        self._register(name)

    @rule(by=spans)
    def time_passes(self, by: int) -> None:
        self.now += by * TICK

    @precondition(lambda self: self.edges)
    @rule(n=st.integers(0, 3), tick=st.sampled_from([0, -1, 1]))
    def time_comes_to_a_deadline(self, n: int, tick: int) -> None:
        edge = self.edges[-1 - n % len(self.edges)]
        self.now = max(self.now, edge + tick * TICK)

    # Requests -------------------------------------------------------------------------------

    def _request(
        self, method: str, path: str, api_key: str, key: str | None, body: Json, name: str | None
    ) -> dict[str, Json]:
        headers: dict[str, Json] = {"Authorization": f"Bearer {api_key}"}
        if key is not None:
            if key == "new":
                self.numbered += 1
            headers["Idempotency-Key"] = f"k-{self.numbered}" if key in {"new", "again"} else key
        made: dict[str, Json] = {"method": method, "path": path, "headers": headers, "body": body}
        self.edges += [self.now + timedelta(minutes=1), self.now + timedelta(minutes=30)]
        self.edges.append(self.now + timedelta(hours=24))
        if key is not None:
            self.sent.append(made)
        return self._say(request=made, **({} if name is None else {"as": name}))

    @rule(target=connections, api_key=api_keys, key=idempotency_keys, user=users)
    def create(self, api_key: str, key: str | None, user: str) -> object:
        name = f"c{self.count}"
        body: Json = {"appUserId": user, "dataPackages": ["labs"]}
        answer = self._request(
            "POST", path=API + "connections", api_key=api_key, key=key, body=body, name=name
        )
        return name if answer["status"] == 201 else multiple()

    @rule(
        target=connections,
        connection=connections,
        api_key=api_keys,
        key=idempotency_keys,
        times=st.sampled_from([1, 2]),
    )
    def reconnect(self, connection: str, api_key: str, key: str | None, times: int) -> object:
        path = f"{API}connections/{{{connection}.connection.id}}:reconnect"
        name, answer = "", dict[str, Json]()
        for _ in range(times):
            name = f"c{self.count}"
            answer = self._request("POST", path=path, api_key=api_key, key=key, body={}, name=name)
        return name if answer["status"] == 201 else multiple()

    @rule(connection=connections, api_key=api_keys, key=idempotency_keys)
    def revoke(self, connection: str, api_key: str, key: str | None) -> None:
        path = f"{API}connections/{{{connection}.connection.id}}:revoke"
        self._request("POST", path=path, api_key=api_key, key=key, body={}, name=None)

    @rule(connection=connections, api_key=api_keys)
    def get(self, connection: str, api_key: str) -> None:
        path = f"{API}connections/{{{connection}.connection.id}}"
        self._request("GET", path=path, api_key=api_key, key=None, body=None, name=None)

    @rule(
        target=sessions,
        api_key=api_keys,
        key=idempotency_keys,
        user=users,
        prefers=st.booleans(),
        times=st.sampled_from([1, 1, 1, 11]),
    )
    def initiate(
        self,
        api_key: str,
        key: str | None,
        user: str,
        prefers: bool,  # noqa: FBT001 - drawn by name
        times: int,
    ) -> object:
        body: Json = {"appUserId": user, "preferSignup": prefers}
        name, answer = "", dict[str, Json]()
        for _ in range(times):
            name = f"s{self.count}"
            path = API + "curae-connect/initiate"
            answer = self._request(
                "POST", path=path, api_key=api_key, key=key, body=body, name=name
            )
        return name if answer["status"] == 201 else multiple()

    @rule(api_key=api_keys, user=users, key=st.sampled_from([None, None, "new"]))
    def graduation(self, api_key: str, user: str, key: str | None) -> None:
        path = API + "curae-connect/graduation-handoff"
        self._request(
            "POST", path=path, api_key=api_key, key=key, body={"appUserId": user}, name=None
        )

    @rule(api_key=api_keys, user=users)
    def account_state(self, api_key: str, user: str) -> None:
        path = f"{API}curae-connect/account-state?appUserId={user}"
        self._request("GET", path=path, api_key=api_key, key=None, body=None, name=None)

    @rule(
        method=st.sampled_from(["GET", "POST"]),
        path=st.sampled_from(
            [
                "/nowhere",
                API + "connections",
                API + "curae-connect/initiate",
                API + "connections/no-uuid:revoke",
                f"{API}connections/{UNKNOWN}:reconnect",
                f"{API}connections/{UNKNOWN}",
            ]
        ),
        api_key=api_keys,
        key=idempotency_keys,
        body=bad_bodies,
    )
    def odd_request(self, method: str, path: str, api_key: str, key: str | None, body: str) -> None:
        self._request(method, path=path, api_key=api_key, key=key, body=body, name=None)

    @precondition(lambda self: self.sent)
    @rule(n=st.sampled_from([0, 0, 1, 2]))
    def retry(self, n: int) -> None:
        """Send the same request with the same key, as if its response was lost."""
        self._say(request=self.sent[-1 - n % len(self.sent)])

    # Facts and questions --------------------------------------------------------------------

    @rule(
        connection=connections,
        kind=st.sampled_from(["authorize", "authorize", "require_action", "expire", "revoke"]),
        actor=st.sampled_from(["APP", "PATIENT", "PLATFORM", "UPSTREAM"]),
        late=st.sampled_from([0, 0, 1, 1_000_000]),
    )
    def fact(self, connection: str, kind: str, actor: str, late: int) -> None:
        happened = (self.now - late * TICK).isoformat().replace("+00:00", "Z")
        fact: dict[str, Json] = {
            "type": f"connection.{kind}",
            "connectionId": f"{{{connection}.connection.id}}",
            "happenedAt": happened,
        }
        if kind == "authorize":
            ends = self.now + timedelta(minutes=5)
            fact["expiresAt"] = ends.isoformat().replace("+00:00", "Z")
            self.edges.append(ends)
        elif kind == "require_action":
            fact["reason"] = "portal_login"
        elif kind == "revoke":
            fact["actor"] = actor
        self._say(fact=fact)

    @rule(session=sessions, user=st.sampled_from(["u-1", "u-2"]))
    def complete(self, session: str, user: str) -> None:
        found = f"{{{session}.session.id}}"
        self._say(fact={"type": "handoff.complete", "sessionId": found, "userId": user})

    @rule(user=users, kind=st.sampled_from(["graduate", "tombstone"]))
    def bind(self, user: str, kind: str) -> None:
        fact: dict[str, Json] = {"type": f"binding.{kind}", "appId": "app-1"}
        self._say(fact={**fact, "customerAccountId": ACCOUNT, "appUserId": user})

    @rule(connection=connections, package=st.sampled_from(["labs", "notes"]))
    def ask(self, connection: str, package: str) -> None:
        found = f"{{{connection}.connection.id}}"
        self._say(ask={"type": "access", "connectionId": found, "dataPackage": package})


class FullWorldMachine(CountedMachine):
    """A world with room for two values of a kind, and a count of its values."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.world: MemoryStore = world(
            Settings(buckets=(Bucket(name="b", capacity=99, refill=99, seconds=1),)), capacity=2
        )
        self.numbered = 0
        self.rows: dict[str, datetime] = {}
        self.connections = 0

    @rule(operation=st.sampled_from(["create", "create", "revoke"]), key=st.integers(0, 4))
    def ask(self, operation: str, key: int) -> None:
        self.numbered += 1
        name = f"{operation}-{key}"
        answer = self._handle(request(operation, key=name, id="9" * 8 + UNKNOWN[8:]))
        # A key is new after its retention, but its row exists until it is dropped.
        known = name in self.rows and self.now < self.rows[name] + DAY
        new_connection = operation == "create" and not known
        new_row = name not in self.rows
        full = (new_row and len(self.rows) == 2) or (new_connection and self.connections == 2)
        expected = 500 if full else 404 if operation == "revoke" else 201
        agree(f"{name} in a world with {len(self.rows)} records", expected, answer.response.status)
        if full:
            agree("a full world", "INTERNAL", document(answer)["code"])
            agree("law 11: what a full world refuses", (), answer.changes.writes)
        else:
            agree("a replay is said beside the answer", known, answer.replayed)
            self.connections += new_connection
            if not known:
                self.rows[name] = self.now
        self.seen[f"answered {expected}"] += 1

    def _handle(self, asked: Request) -> Answer:
        answer = handle_at(self.world, asked, self.now, new_ids=new_ids(self.numbered, self.now))
        check_documented(answer.response)
        return answer

    @rule(tick=st.sampled_from([0, -1, 1]), spare=st.sampled_from([timedelta(), SPARE, SPARE]))
    def a_day_passes(self, tick: int, spare: timedelta) -> None:
        if not self.rows:
            return
        self.now = max(self.now, min(self.rows.values()) + DAY + spare + tick * TICK)
        self.world.purge(self.now)
        over = [name for name, first in self.rows.items() if self.now >= first + DAY + SPARE]
        for name in over:
            del self.rows[name]
        self.seen["records dropped"] += len(over)
