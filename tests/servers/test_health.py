"""Tests of the health checks: what the readiness check loads, and each response."""

from __future__ import annotations

import pytest

from curae_lifecycle import Response
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.health import health, is_ready
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from tests.support.asking import logged
from tests.support.serving import Awaited, Faulty, faulty, run_async


class Recording(Faulty):
    """A store that records what it is asked to load, and then fails if it has an error."""

    loads_asked: list[tuple[Needs, str | None]]
    error: Exception | None = None

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.loads_asked.append((needs, key_digest))
        if self.error is not None:
            raise self.error
        return super().load(needs, key_digest)


def recording(error: Exception | None = None) -> Recording:
    plain = faulty()
    store = Recording(plain.store, plain.clock)
    store.loads_asked, store.error = [], error
    return store


def test_readiness_check_loads_only_a_caller_and_a_bucket() -> None:
    store = recording()
    assert run_async(is_ready(Awaited(store)))
    ((needs, key_digest),) = store.loads_asked
    (bucket,) = needs.buckets
    assert (key_digest, bucket.bucket.name) == ("readiness", "readiness")
    assert (needs.record, needs.limit, needs.connection, needs.binding) == (None,) * 4


@pytest.mark.parametrize(
    ("error", "level", "message"),
    [
        (
            StoreUnavailableError("no route"),
            "WARNING",
            "not ready: the store cannot be used now: no route",
        ),
        (ArgumentError("needs", "a-secret"), "ERROR", "not ready: ArgumentError at "),
    ],
)
def test_store_that_fails_is_not_ready_and_its_error_is_logged(
    error: Exception, level: str, message: str
) -> None:
    with logged() as log:
        assert not run_async(is_ready(Awaited(recording(error))))
    (line,) = log.lines
    assert line["level"] == level
    assert str(line["message"]).startswith(message)
    assert "a-secret" not in log.text
    assert level == "ERROR" or line["message"] == message


@pytest.mark.parametrize(
    ("status", "more"),
    [(200, ()), (499, ()), (500, (("retry-after", "1"),)), (503, (("retry-after", "1"),))],
)
def test_health_response_is_json_that_no_cache_stores(
    status: int, more: tuple[tuple[str, str], ...]
) -> None:
    headers = (("content-type", "application/json"), ("cache-control", "no-store"), *more)
    assert health(status, "fine") == Response(status, headers, b'{"status": "fine"}')
