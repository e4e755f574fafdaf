"""Tests of the stateful suite of `docs/testing.md`: it runs, is short and shrinks failures."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from types import ModuleType
from typing import cast
from uuid import uuid4  # noqa: TID251 - a planted bug draws it

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.conformance.fact_hooks import outcome_name
from curae_lifecycle.testing.numbered_ids import NumberedIds
from curae_lifecycle.web.request import Request
from tests.support.paths import ROOT
from tests.support.strategies import START

PAGE = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
API_KEY = "cae_live_k1"
CALLER = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)


class MyServer:
    """A correct server."""

    def __init__(self, *, clock: Callable[[], datetime], id_factory: IdFactory) -> None:
        self.store = MemoryStore(clock=clock)
        self.store.register(ApiKey(API_KEY), CALLER)
        self.id_factory = id_factory

    def send(self, request: Request) -> Response:
        """Serve a request."""
        return serve(self.store, request, self.id_factory).response

    def record(self, fact: Fact) -> str:
        """Record a fact."""
        return outcome_name(record(self.store, fact))


class MakesFewerIds(MyServer):
    """A correct server that makes no ids for a revoke, and whose JSON has spaces."""

    def send(self, request: Request) -> Response:
        makes_ids = not request.target.endswith(":revoke")
        id_factory = self.id_factory if makes_ids else NumberedIds()
        answer = serve(self.store, request, id_factory).response
        return attrs.evolve(answer, body=json.dumps(json.loads(answer.body)).encode())


class ForgetsSuccessors(MyServer):
    """A server that makes a successor at each reconnect."""

    def send(self, request: Request) -> Response:
        if request.target.endswith(":reconnect"):
            self.store._connections._successors.clear()
        return super().send(request)


class ForgetsKeys(MyServer):
    """A server that executes retries again."""

    def send(self, request: Request) -> Response:
        headers = [header for header in request.headers if header[0] != "Idempotency-Key"]
        if len(headers) < len(request.headers):
            headers.append(("Idempotency-Key", f"k-{uuid4()}"))
        return super().send(attrs.evolve(request, headers=tuple(headers)))


class ForgetsKeysTooEarly(MyServer):
    """A server that executes a retry again after 23 hours."""

    def send(self, request: Request) -> Response:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(idempotency, "_RETENTION_SPAN", timedelta(hours=23))
            return super().send(request)


class RevokesTwice(MyServer):
    """A server that reports each revocation as the first."""

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        body = answer.body.replace(b'"revokedNow":false', b'"revokedNow":true')
        return attrs.evolve(answer, body=body)


def machine(server: type[MyServer], monkeypatch: pytest.MonkeyPatch) -> type[RuleBasedStateMachine]:
    """Run the page's program with a server, and return its state machine."""
    app = ModuleType("my_app.testing")
    vars(app).update(API_KEY=API_KEY, CALLER=CALLER, MyServer=server)
    monkeypatch.setitem(sys.modules, "my_app", ModuleType("my_app"))
    monkeypatch.setitem(sys.modules, "my_app.testing", app)
    namespace: dict[str, object] = {"__name__": "test_side_by_side"}
    exec(program(), namespace)  # noqa: S102 - the page's own code
    return cast("type[RuleBasedStateMachine]", namespace["SideBySide"])


def program() -> str:
    (found,) = re.findall(r"^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def shrunk(server: type[MyServer], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the steps of the shortest failure that Hypothesis finds, as it prints them."""
    few = settings(
        max_examples=300,
        stateful_step_count=15,
        database=None,
        derandomize=True,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(machine(server, monkeypatch), settings=few)
    notes = "\n".join(found.value.__notes__).splitlines()
    return [line for line in notes if "state." in line and "teardown" not in line]


def test_stateful_test_recipe_has_at_most_31_lines() -> None:
    lines = [line for line in program().splitlines() if line.strip()]
    machine_lines = lines[next(i for i, line in enumerate(lines) if line.startswith("class ")) :]
    code = [line for line in machine_lines if not line.startswith("TestSideBySide")]
    assert len(code) <= 31
    assert max(map(len, lines)) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("server", [MyServer, MakesFewerIds])
def test_correct_server_passes_the_stateful_test_recipe(
    server: type[MyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = settings(max_examples=20, stateful_step_count=20, database=None, deadline=None)
    run_state_machine_as_test(machine(server, monkeypatch), settings=few)


STEPS: dict[type[MyServer], list[str]] = {
    ForgetsKeys: ["create", "create"],
    ForgetsKeysTooEarly: ["create", "wait", "create"],
    RevokesTwice: ["create", "change", "change"],
}
"""The rules of the shortest failure of each planted bug."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "server",
    [
        ForgetsKeys,
        *[pytest.param(it, marks=pytest.mark.heavy) for it in (ForgetsKeysTooEarly, RevokesTwice)],
    ],
)
def test_stateful_recipe_shrinks_a_planted_bug_to_expected_steps(
    server: type[MyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = shrunk(server, monkeypatch)
    assert re.findall(r"state\.(\w+)\(", "\n".join(steps)) == STEPS[server]


@pytest.mark.heavy
def test_stateful_recipe_docs_page_shows_the_shrunk_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Releases of Hypothesis name values and choose between equal steps differently.
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    steps = shrunk(ForgetsSuccessors, monkeypatch)
    print("\n".join(steps))  # noqa: T201 - what the page shows
    for text in (shown, "\n".join(steps)):
        first, *others = re.findall(r"state\.(\w+)\(", text)
        assert (first, len(others)) == ("create", 3)
        assert others[1:] == ["change", "change"]
        assert text.count("reconnect") == 2


def test_two_numbered_id_factories_give_the_same_ids() -> None:
    one, other = NumberedIds(), NumberedIds()
    assert [one(START), one(START)] == [other(START), other(START)]
    assert one(START) != one(START)
    assert one(START).connection_id == "00000000-0000-4000-8000-000000000005"
