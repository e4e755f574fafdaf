"""Tests that actions on a hosted page become facts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4  # noqa: TID251 - an account that no other test has

import attrs
import pytest

from curae_lifecycle.rules.values import AppId, AppUserId, Coordinate, CustomerAccountId
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.hosted_pages import csrf_token
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.support.databases.postgres import database as fresh
from tests.support.wire.meanwhile import COMMIT, LOAD, Meanwhile
from tests.support.wire.raw import Wire
from tests.support.wire.running import (
    PATIENCE,
    Behind,
    RunningServer,
    engine_of,
    running_server,
    said,
    sqlite,
)
from tests.support.wire.serve import Control, read_control
from tests.support.wire.visiting import pressed

BASE = "/api/sdk/v1"
CREATE: dict[str, object] = {"appUserId": "ada", "dataPackages": ["labs"]}
DONE = "You can go back to the app."
NO = "Nothing is shared. You can go back to the app."
NOWHERE = "This page is over, or a newer one took its place."
BEFORE = "This was done before. You can go back to the app."
KEPT = "This was done before, and nothing was cancelled. You can go back to the app."


@pytest.mark.slow
def test_get_of_hosted_page_sends_csp_header_and_changes_nothing(app: App) -> None:
    created = app.ask("connections", CREATE)
    shown = app.visit(created, "", "GET")
    assert shown.status == 200
    assert b"for 90 days: labs." in shown.body
    headers = dict(shown.headers)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    for policy in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert policy in headers["content-security-policy"]
    for target in ("?from=mail", "/finish", "/cancel"):
        assert app.visit(created, target, "GET").body == shown.body
        assert app.visit(created, target, "HEAD").status == 200
    for method, action in (("POST", ""), ("PUT", "/finish"), ("DELETE", "")):
        refused = app.visit(created, action, method)
        assert refused.status == 405
        assert dict(refused.headers)["allow"].startswith("GET, HEAD")
    assert app.visit(created, "/other", "POST").status == 404
    for button in ("/finish", "/cancel"):
        assert app.visit(created, button, "POST").status == 403
    assert app.status_of(created) == "PENDING"


@pytest.mark.slow
def test_head_of_a_hosted_page_gives_its_length_without_a_body(app: App) -> None:
    created = app.ask("connections", CREATE)
    wire = Wire(app.server, app.api_key)
    path = urlsplit(json.loads(created.body)["nextAction"]["url"]).path
    sent = wire.request(b"HEAD", path.encode(), body=b"")
    address = ("127.0.0.1", app.server.port)
    with socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    assert body == b""
    length = len(app.visit(created, "", "GET").body)
    assert f"content-length: {length}".encode() in head.lower()


@pytest.mark.slow
def test_finishing_a_hosted_page_authorizes_once_for_90_days(app: App) -> None:
    created = app.ask("connections", CREATE)
    assert app.outcome(created, "finish") == (200, DONE)
    assert app.outcome(created, "finish") == (200, BEFORE)
    assert app.outcome(created, "cancel") == (200, KEPT)
    assert app.status_of(created) == "AUTHORIZED"
    app.behind.pass_time(timedelta(days=90))
    assert app.status_of(created) == "AUTHORIZED"
    app.behind.pass_time(timedelta(minutes=31))
    assert app.status_of(created) == "EXPIRED"


@pytest.mark.slow
def test_cancel_on_predecessors_hosted_page_ends_the_successor(app: App) -> None:
    first = app.ask("connections", CREATE)
    path = f"connections/{json.loads(first.body)['connection']['id']}"
    assert app.ask(f"{path}:revoke", {}).status == 200
    second = app.ask(f"{path}:reconnect", {})
    assert b"A newer page took this one" in app.visit(first, "", "GET").body
    assert app.outcome(first, "cancel") == (200, NO)
    assert app.status_of(second) == "REVOKED"
    assert app.outcome(second, "finish")[0] == 409


@pytest.mark.slow
def test_second_finish_of_a_sign_up_page_says_already_done(app: App) -> None:
    entered = app.ask("curae-connect/initiate", {"appUserId": "ada", "preferSignup": True})
    assert app.outcome(entered, "cancel")[1].startswith("Nothing was cancelled")
    assert app.outcome(entered, "finish") == (200, DONE)
    assert app.outcome(entered, "finish") == (200, BEFORE)


@pytest.mark.slow
def test_graduation_page_of_a_tombstoned_user_cannot_be_finished(app: App) -> None:
    assert app.ask("curae-connect/initiate", {"appUserId": "ada"}).status == 201
    started = app.ask("curae-connect/graduation-handoff", {"appUserId": "ada"}, key=False)
    assert b"Complete your account?" in app.visit(started, "", "GET").body
    app.behind.record_fact(Tombstoned(app.coordinate))
    assert app.ask("curae-connect/initiate", {"appUserId": "ada"}).status == 201
    assert app.visit(started, "", "GET").status == 410
    assert app.outcome(started, "finish")[0] == 409
    started = app.ask("curae-connect/graduation-handoff", {"appUserId": "ada"}, key=False)
    assert app.outcome(started, "finish") == (200, DONE)
    again = app.ask("curae-connect/initiate", {"appUserId": "ada"})
    assert json.loads(again.body)["session"]["handoff"] == "LANDED"


@pytest.mark.slow
def test_replaced_or_expired_hosted_page_gives_404(app: App) -> None:
    created = app.ask("connections", CREATE)
    path = f"connections/{json.loads(created.body)['connection']['id']}"
    assert app.ask(f"{path}:revoke", {}).status == 200
    second, again = (app.ask(f"{path}:reconnect", {}) for _ in range(2))
    assert app.outcome(second, "finish")[0] == 404
    app.behind.pass_time(timedelta(minutes=30))
    assert app.outcome(again, "finish")[0] == 404
    for target, status in (("/pages/", 404), ("/pages", 401), ("/pages/unknown/finish", 403)):
        assert app.server.send(Request("POST", target)).status == status
    # Stored data about pages reveals neither URLs nor tokens.
    with app.behind.engine.connect() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM curae_page").all())
    for answer in (created, second, again):
        url = json.loads(answer.body)["nextAction"]["url"]
        assert url.rpartition("/")[2] not in stored
        assert csrf_token(url) not in stored


@pytest.mark.slow
@pytest.mark.parametrize("point", [LOAD, COMMIT])
@pytest.mark.parametrize("button", ["finish", "cancel"])
def test_connection_page_replaced_during_its_post_gives_404(
    app: App, point: str, button: str
) -> None:
    path = app.revoked_connection()
    second = app.ask(f"{path}:reconnect", {})
    app.plan(point, f"{path}:reconnect", {})
    assert app.outcome(second, button) == (404, NOWHERE)
    assert app.status_of(second) == "PENDING"
    newest = app.ask(f"{path}:reconnect", {})
    assert app.outcome(newest, button) == (200, DONE if button == "finish" else NO)
    assert app.outcome(second, button) == (404, NOWHERE)


@pytest.mark.slow
@pytest.mark.parametrize("point", [LOAD, COMMIT])
def test_account_graduation_page_replaced_during_post_gives_404(app: App, point: str) -> None:
    assert app.ask("curae-connect/initiate", {"appUserId": "ada"}).status == 201
    path, body = "curae-connect/graduation-handoff", dict[str, object](appUserId="ada")
    started = app.ask(path, body, key=False)
    app.plan(point, path, body, key=False)
    assert app.outcome(started, "finish") == (404, NOWHERE)
    # The user is still LIMITED, or this would be refused.
    newest = app.ask(path, body, key=False)
    assert newest.status == 201
    assert app.outcome(newest, "finish") == (200, DONE)


@pytest.mark.slow
@pytest.mark.parametrize("point", [LOAD, COMMIT])
def test_connection_revoked_during_a_hosted_page_post_gives_409(app: App, point: str) -> None:
    created = app.ask("connections", CREATE)
    path = f"connections/{json.loads(created.body)['connection']['id']}"
    app.plan(point, f"{path}:revoke", {}, status=200)
    assert app.outcome(created, "finish")[0] == 409
    assert app.status_of(created) == "REVOKED"
    recovered = app.ask(f"{path}:reconnect", {})
    assert app.outcome(created, "finish")[0] == 409
    assert app.outcome(recovered, "finish") == (200, DONE)


@pytest.mark.slow
def test_response_and_event_use_the_configured_status_spelling(app: App) -> None:
    created = app.ask("connections", CREATE)
    assert app.outcome(created, "finish") == (200, DONE)
    assert app.status_of(created) == "AUTHORIZED"
    query = "SELECT document FROM curae_outbox WHERE kind = 'connection.authorized'"
    with app.behind.engine.connect() as connection:
        events = [json.loads(each) for each in connection.exec_driver_sql(query).scalars()]
    id_ = json.loads(created.body)["connection"]["id"]
    subjects = [each["subject"] for each in events if each["subject"]["id"] == id_]
    assert [each["status"] for each in subjects] == ["AUTHORIZED"]


@attrs.define
class App:
    """An app that calls a server, and its user who opens pages."""

    server: RunningServer
    behind: Behind
    api_key: str
    coordinate: Coordinate
    asked: int = 0

    def ask(
        self, path: str, body: dict[str, object] | None = None, *, key: bool = True
    ) -> Response:
        self.asked += 1
        headers = [("Authorization", f"Bearer {self.api_key}")]
        if key and body is not None:
            headers.append(("Idempotency-Key", f"key-{self.asked}"))
        method, sent = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
        return self.server.send(
            Request(method=method, target=f"{BASE}/{path}", headers=tuple(headers), body=sent)
        )

    def revoked_connection(self) -> str:
        """Create a connection and revoke it; return its path."""
        created = self.ask("connections", CREATE)
        path = f"connections/{json.loads(created.body)['connection']['id']}"
        assert self.ask(f"{path}:revoke", {}).status == 200
        return path

    def plan(
        self, point: str, path: str, body: dict[str, object], *, key: bool = True, status: int = 201
    ) -> None:
        """Let the server get a request at a point of the next press."""
        self.asked += 1
        headers = [("Authorization", f"Bearer {self.api_key}")]
        if key:
            headers.append(("Idempotency-Key", f"key-{self.asked}"))
        planned = Meanwhile(
            point=point,
            target=f"{BASE}/{path}",
            headers=tuple(headers),
            body=json.dumps(body),
            status=status,
        )
        file = self.server.control
        attrs.evolve(read_control(file), meanwhile=planned).write(file)

    def visit(self, answer: Response, action: str, method: str) -> Response:
        url = urlsplit(json.loads(answer.body)["nextAction"]["url"])
        return self.server.send(Request(method, url.path + action))

    def outcome(self, answer: Response, button: str) -> tuple[int, str]:
        """Press a button; return the status and the message."""
        seen = self.server.send(pressed(json.loads(answer.body)["nextAction"]["url"], button))
        text = seen.body.decode().partition('<p id="outcome">')[2].partition("</p>")[0]
        return seen.status, text

    def status_of(self, answer: Response) -> str:
        id_ = json.loads(answer.body)["connection"]["id"]
        return str(json.loads(self.ask(f"connections/{id_}").body)["connection"]["status"])


PLACES = (
    pytest.param("fastapi postgresql", marks=pytest.mark.heavy),
    "fastapi sqlite",
    "flask sqlite",
    "asgi sqlite",
    "django sqlite",
)


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, Behind]]:
    name, database = str(request.param).split()
    directory = tmp_path_factory.mktemp("pages")
    Control(spelling="AUTHORIZED").write(directory / "control.json")
    with ExitStack() as stack:
        if database == "sqlite":
            url = sqlite(directory)
        else:
            url = stack.enter_context(fresh(request.getfixturevalue("postgres_server")))
        server = stack.enter_context(running_server(name, url, directory))
        engine = stack.enter_context(engine_of(url))
        behind = Behind(server.control, engine)
        yield server, behind
        assert said(server.log) == []


@pytest.fixture
def app(place: tuple[RunningServer, Behind]) -> App:
    server, behind = place
    # A fresh account, so that tests do not share users.
    wanted = ApiKeyRequest("app-1", str(uuid4()))
    account = CustomerAccountId(wanted.customer_account_id)
    ada = Coordinate(
        environment=wanted.environment,
        app_id=AppId(wanted.app_id),
        customer_account_id=account,
        app_user_id=AppUserId("ada"),
    )
    return App(server=server, behind=behind, api_key=behind.make_key(wanted), coordinate=ada)
