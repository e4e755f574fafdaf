"""A world whose operations run one after the other through the real loop, and its history."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Final, TypedDict, Unpack

import attrs

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import LogState
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.lab.crash.history import Operation, at
from tests.lab.crash.load import ACCOUNT
from tests.lab.crash.search import Search, Verdict
from tests.lab.crash.traffic import BASE
from tests.lab.crash.world import Asked, Place, Posted, Rest, Told, Work, said_of

CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId(ACCOUNT),
    environment=Environment.LIVE,
    scopes=ApiKeyRequest("app-1", ACCOUNT).scopes,
)
USER: Final = Coordinate(
    environment=CALLER.environment,
    app_id=CALLER.app_id,
    customer_account_id=CALLER.customer_account_id,
    app_user_id=AppUserId("ada"),
)
MINT: Final = RandomIds("https://pages.example/")
START: Final = 1_800_000_000_000_000
STEP: Final = 10_000
"""Microseconds, longer than clocks may disagree by their resolution."""


class Alterations(TypedDict, total=False):
    """Members of an operation that a test may alter."""

    work: Work
    invoked: int
    returned: int | None
    answer: Response | str | None
    skew: int
    is_doubtful: bool
    offsets: tuple[int, int]


class Lived:
    """A world whose operations run one after the other through the real loop."""

    def __init__(self) -> None:
        self.moment = START
        self.posted: dict[str, list[Posted]] = defaultdict(list)
        self.store = MemoryStore(clock=lambda: at(self.moment), deliver=self._deliver)
        self.store.register(ApiKey("cae_live_1"), CALLER)
        self.history: list[Operation] = []
        self.connections: list[str] = []
        self.sessions: list[str] = []

    def _deliver(self, changes: Changes) -> None:
        for each in messages(changes):
            document = json.loads(json.dumps(each.document))
            self.posted[key_of(each.subject)].append((str(each.kind), document))

    def create(self, key: str) -> Response:
        body = {"appUserId": "ada", "dataPackages": ["labs"]}
        return self.ask("POST", path="connections", body=body, key=key)

    def initiate(self, key: str) -> Response:
        return self.ask("POST", path="curae-connect/initiate", body={"appUserId": "ada"}, key=key)

    def revoke(self, connection: str, key: str) -> Response:
        return self.ask("POST", path=f"connections/{connection}:revoke", body=None, key=key)

    def get(self, connection: str) -> Response:
        return self.ask("GET", f"connections/{connection}")

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Response:
        headers = [("Authorization", "Bearer cae_live_1")]
        if key is not None:
            headers.append(("Idempotency-Key", key))
        sent = b"" if body is None else json.dumps(body).encode()
        request = Request(method=method, target=f"{BASE}/{path}", headers=tuple(headers), body=sent)
        response = self._note(
            Asked(CALLER, request), lambda: serve(self.store, request, MINT).response
        )
        assert isinstance(response, Response)
        document = json.loads(response.body)
        if response.status == 201 and "connection" in document:
            self.connections.append(document["connection"]["id"])
        if "session" in document:
            self.sessions.append(document["session"]["id"])
        return response

    def tell(self, fact: Fact) -> str:
        said = self._note(Told(fact), lambda: said_of(record(self.store, fact)))
        assert isinstance(said, str)
        return said

    def _note(self, work: Work, act: Callable[[], Response | str]) -> Response | str:
        invoked = self.moment
        self.moment += STEP
        answer = act()
        self.moment += STEP
        self.history.append(
            Operation(
                user=USER.app_user,
                work=work,
                invoked=invoked,
                returned=self.moment,
                answer=answer,
            )
        )
        self.moment += STEP
        return answer

    def pass_time(self, seconds: int) -> None:
        self.moment += seconds * 1_000_000

    def rest(self) -> Rest:
        store, values = self.store, dict[Place, Storable]()
        values |= {("Connection", id_): each for id_, each in store._connections.items()}
        values |= {("CuraeConnectSession", id_): each for id_, each in store._sessions.items()}
        for name, binding in store._bindings.items():
            values["LimitedAccountAppBinding", key_of(*name)] = binding
        for name, kept in store._records.items():
            values["Record", key_of(*name)] = kept
        for name, (state, _) in store._rates.items():
            assert isinstance(state, LogState)
            values["LogState", key_of(*name)] = state
        return Rest(values, {key: list(each) for key, each in self.posted.items()})

    def judged(self, rest: Rest | None = None, budget: int = 5_000) -> Verdict:
        ended = self.rest() if rest is None else rest
        search = Search(self.history, Rest(), ended, ahead=0, until=self.moment, budget=budget)
        return search.run()

    def alter(self, number: int, **how: Unpack[Alterations]) -> None:
        """Replace members of an operation in the history."""
        self.history[number] = attrs.evolve(self.history[number], **how)
