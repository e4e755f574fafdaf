"""Tests of `run`, which starts the server software with its limits set."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers import guard
from curae_lifecycle.servers import run as running
from curae_lifecycle.servers.shutdown import GracefulShutdown
from curae_lifecycle.web.request import BODY_MAX
from tests.support.paths import ROOT

TARGET = f"{__name__}:served"


class Started:
    """The arguments of the server software."""

    given: dict[str, object]
    loader: Callable[[str], object]

    def __init__(self, target: str, **given: object) -> None:
        Started.given = {"target": target, **given}

    def serve(self, target_loader: Callable[[str], object]) -> None:
        Started.loader = target_loader


def test_run_passes_all_its_limits_to_the_granian_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "Granian", Started)
    running.run(TARGET, host="127.0.0.1", port=1, workers=3)
    given = Started.given
    assert {name: given[name] for name in ("address", "port", "workers")} == {
        "address": "127.0.0.1",
        "port": 1,
        "workers": 3,
    }
    assert given["http1_settings"] == running.HEADERS
    assert given["backpressure"] == running.CONNECTIONS
    assert given["workers_kill_timeout"] == running.DRAIN_SECONDS
    assert (given["websockets"], given["respawn_failed_workers"]) == (False, True)
    # The access log of the software would show paths.
    assert "log_access" not in given
    app = Started.loader(TARGET)
    assert isinstance(app, GracefulShutdown)
    assert app._app is served
    with pytest.raises(ArgumentError, match="the module and the name of a Guard"):
        Started.loader(f"{__name__}:plain")


PAGE = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")


def test_program_on_the_servers_page_builds_a_guarded_app() -> None:
    block = PAGE.split("```python\n")[1].split("```")[0]
    namespace: dict[str, object] = {"app": plain, "__name__": "my_module"}
    exec(block, namespace)  # noqa: S102 - the page's own code
    assert isinstance(namespace["served"], guard.Guard)
    assert namespace["run"] is running.run


@pytest.mark.parametrize(
    ("what", "bound"),
    [
        ("the headers of a request, and a connection", running.HEADERS.header_read_timeout / 1000),
        ("their size", running.HEADERS.max_buffer_size / 1024),
        ("connections of a worker", running.CONNECTIONS),
        ("a body, in seconds", guard.BODY_SECONDS),
        ("a body, in bytes", BODY_MAX),
        ("the wait for a turn", guard.QUEUE_SECONDS),
        ("an end", running.DRAIN_SECONDS),
    ],
)
def test_servers_page_states_each_limit_of_run(what: str, bound: float) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {what}")]
    assert re.search(rf"\b{bound:,.0f}\b", row.split("|")[2]), row


async def plain(scope: object, receive: object, send: object) -> None:
    """Serve nothing: an app for a test that never asks it."""


served = guard.Guard(plain, max_concurrent=1)
