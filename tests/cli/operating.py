"""A platform that the tests of operating and erasing run the command line on."""

from __future__ import annotations

import json
import os

import attrs

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request

MINT = RandomIds("https://pages.example/")
ACCOUNT = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
WRITER = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
KEY = ApiKey("cae_live_k1")
# Letters that no hexadecimal digest or id contains.
MARY = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    app_user_id=AppUserId("mary"),
)
NAMED = ("--app-id", "app-1", "--account", ACCOUNT, "--environment", "live")


@attrs.frozen
class Platform:
    """A database with the key of one app, and the actions of apps and patients on it."""

    url: str
    database: SqlDatabase
    store: SqlStore

    def ask(self, method: str, path: str, **body: object) -> tuple[int, dict[str, object]]:
        """Send a request and return the status and the document."""
        # A graduation takes no idempotency key.
        is_keyed = method == "POST" and "graduation" not in path
        keyed = [("Idempotency-Key", os.urandom(8).hex())] if is_keyed else []
        headers = (("Authorization", "Bearer cae_live_k1"), *keyed)
        sent = json.dumps(body).encode() if body else b""
        request = Request(method=method, target=f"/api/sdk/v1/{path}", headers=headers, body=sent)
        response = serve(self.store, request, MINT).response
        return response.status, json.loads(response.body)

    def connect(self, user: str = "mary", *, authorized: bool = True) -> str:
        """Create a connection of an app user and return its id."""
        _, made = self.ask("POST", "connections", appUserId=user, dataPackages=["labs"])
        connection = made["connection"]
        assert isinstance(connection, dict)
        if authorized:
            self.record(Authorized(ConnectionId(connection["id"])))
        return str(connection["id"])

    def sign_up(self, user: str = "mary") -> None:
        """Bind a user to an app user through the hosted page of a session."""
        initiate = {"appUserId": user, "preferSignup": True}
        _, begun = self.ask("POST", "curae-connect/initiate", **initiate)
        session = begun["session"]
        assert isinstance(session, dict)
        self.record(HandoffCompleted(SessionId(session["id"]), UserId(f"u-{session['id']}")))

    def record(self, fact: Fact) -> None:
        record(self.store, fact)

    def status(self, connection_id: str) -> object:
        """Return the wire status of a connection, or the problem code if it is refused."""
        _, document = self.ask("GET", f"connections/{connection_id}")
        held = document.get("connection")
        return held["status"] if isinstance(held, dict) else document["code"]

    def ship(self) -> list[Delivery]:
        """Deliver every message in the outbox."""
        shipped: list[Delivery] = []
        outbox = Outbox(self.database)
        while outbox.deliver_batch(shipped.append):
            pass
        return shipped

    def everything(self) -> str:
        """Return the text of every stored row except callers."""
        return "\n".join(
            str(row)
            for table in TABLE_NAMES
            if table != "curae_caller"
            for row in self.database.rows(Statement(f"SELECT * FROM {table}"))  # noqa: S608
        )
