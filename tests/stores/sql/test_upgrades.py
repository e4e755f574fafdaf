"""Tests of documents of other releases: an older one is updated, a newer one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.lab.judge import take_stock
from tests.support.wire.running import Behind, RunningServer, engine_of, running_server, sqlite

BASE = "/api/sdk/v1/connections"
ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"


@attrs.frozen
class Release:
    """A server of this release, and one connection that it created."""

    server: RunningServer
    behind: Behind
    headers: tuple[tuple[str, str], ...]
    connection_id: str

    def ask(self, method: str, path: str) -> Response:
        headers = (*self.headers, ("Idempotency-Key", "another"))
        return self.server.send(Request(method, f"{BASE}/{self.connection_id}{path}", headers))

    def rewrite(self, change: Callable[[str], str]) -> str:
        """Replace the stored document with that of another release."""
        document = self.document()
        with self.behind.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE curae_connection SET document = :new"), {"new": change(document)}
            )
        return change(document)

    def document(self) -> str:
        with self.behind.engine.connect() as connection:
            query = "SELECT document FROM curae_connection"
            return str(connection.exec_driver_sql(query).scalar_one())


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    url = sqlite(tmp_path)
    with running_server("flask", url, tmp_path) as server, engine_of(url) as engine:
        behind = Behind(server.control, engine)
        headers = (("Authorization", f"Bearer {behind.make_key(ApiKeyRequest('app-1', ACCOUNT))}"),)
        body = b'{"appUserId": "ada", "dataPackages": ["labs"]}'
        sent = Request(
            method="POST", target=BASE, headers=(*headers, ("Idempotency-Key", "one")), body=body
        )
        made = json.loads(server.send(sent).body)
        yield Release(
            server=server, behind=behind, headers=headers, connection_id=made["connection"]["id"]
        )


@pytest.mark.slow
def test_fact_updates_a_connection_stored_by_an_older_release(release: Release) -> None:
    # The same value with another text, as an older format would be.
    release.rewrite(lambda text: json.dumps(json.loads(text), indent=1))
    release.behind.record(Authorized(ConnectionId(release.connection_id)))
    stock = take_stock(release.behind.engine)
    assert [each.status for each in stock.connections] == [Status.ACTIVE]
    assert json.loads(release.ask("POST", ":revoke").body)["revokedNow"] is True


@pytest.mark.slow
def test_stored_document_in_newer_format_is_refused_and_kept(release: Release) -> None:
    newer = release.rewrite(lambda text: json.dumps({**json.loads(text), "format": 99}))
    with pytest.raises(NewerFormatError, match="Connection: stored in form 99"):
        release.behind.record(Authorized(ConnectionId(release.connection_id)))
    # The client is told to retry: another worker may run that release.
    refused = release.ask("POST", ":revoke")
    assert (refused.status, json.loads(refused.body)["code"]) == (500, "INTERNAL")
    assert json.loads(refused.body)["retryable"] is True
    assert release.document() == newer
