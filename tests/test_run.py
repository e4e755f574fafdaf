"""The server software is started with its bounds set, and logs nothing that came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from curae_lifecycle.servers import run as running
from curae_lifecycle.servers.leaving import Leaving


TARGET = f"{__name__}:served"


class Started:
    """What the server software was started with."""

    given: dict[str, object]
    loader: Callable[[str], object]

    def __init__(self, target: str, **given: object) -> None:
        Started.given = {"target": target, **given}

    def serve(self, target_loader: Callable[[str], object]) -> None:
        Started.loader = target_loader


def test_what_a_stranger_may_cost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
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
    # Its own access log would show paths.
    assert "log_access" not in given
    app = Started.loader(TARGET)
    assert isinstance(app, Leaving)
    assert app._app is served


async def served(scope: object, receive: object, send: object) -> None:
    """An app."""
