"""A server of the kit around a store, and stores that lack some methods, for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import cast

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.blocking import Method
from curae_lifecycle.testing.conformance import ApiKeyRequest, Request, Response
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.store_server import (
    StoreHooks,
)
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys
from tests.testing.conformance.by_hand import ACCOUNT, context

MINUTE = timedelta(minutes=1)
WANTED = ApiKeyRequest("app", ACCOUNT)
OTHER_START = datetime(2030, 7, 8, 9, tzinfo=UTC)


class Bare:
    """A store with the methods that every store needs, and no others."""

    def __init__(self) -> None:
        self.inner = MemoryStore(clock=lambda: OTHER_START)

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        self.inner.register(api_key, caller)
        return None

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.inner.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self.inner.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return self.inner.commit(loaded, changes, page)


class World:
    """A server around a store, and an app that calls it."""

    def __init__(
        self, store: StoreWithApiKeys | None = None, environment: Environment | None = None
    ) -> None:
        self.store = store or MemoryStore()
        self.hooks = StoreHooks(self.store)
        self.server = self.hooks.server(environment)
        self.key = self.server.make_key(WANTED)
        self.app = App(self.key, WANTED, context())

    def send(self, request: Request) -> Response:
        return self.server.send(request)

    def body(self, request: Request) -> dict[str, dict[str, str]]:
        answer = self.send(request)
        assert answer.status in {200, 201}, answer
        return cast("dict[str, dict[str, str]]", json.loads(answer.body))

    def created(self, user: str = "u") -> tuple[str, str]:
        """Create a connection, and return its id and the URL of its page."""
        made = self.body(self.app.create(user))
        return made["connection"]["id"], made["nextAction"]["url"]

    def status(self, connection_id: str) -> str:
        return self.body(self.app.get(connection_id))["connection"]["status"]

    def state(self, user: str = "u") -> object:
        return self.body(self.app.account_state(user))["lifecycleState"]

    def date(self) -> datetime:
        (date,) = [
            value
            for name, value in self.send(self.app.account_state("u")).headers
            if name == "date"
        ]
        assert date.endswith(" GMT")
        return parsedate_to_datetime(date)

    def hook(self, name: str, *arguments: object) -> object:
        return cast("Method", getattr(self.server, name))(*arguments)


class ReadOnly(MemoryStore):
    """A store whose clock cannot be replaced, and which notes its purges."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: OTHER_START)
        self.purges: list[datetime | None] = []

    def __setattr__(self, name: str, value: object) -> None:
        if name == "clock" and "clock" in vars(self):
            raise AttributeError("clock is read-only")
        super().__setattr__(name, value)

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        self.purges.append(now)
        return super().purge(now, limit)
