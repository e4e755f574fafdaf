"""The whole text of the metrics after known requests, on a fake time, beside the text by hand."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from curae_lifecycle import Bucket, Request, RetryPolicy, Settings, __version__
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers import endpoint
from curae_lifecycle.servers.endpoint import AsyncEndpoint
from curae_lifecycle.servers.guard import GuardEvent
from curae_lifecycle.servers.metrics import Metrics
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from tests.support.server import CALLER, request
from tests.support.serving import (
    BEFORE,
    HANGS,
    LOST,
    Awaited,
    FakeTime,
    Numbered,
    fake_time,
    faulty,
    run_async,
    then,
)

CREATE = request("create")
SETTINGS = Settings(buckets=(Bucket(name="small", capacity=25, refill=1, seconds=60),))


async def serve_requests(metrics: Metrics, time: FakeTime) -> None:
    """Serve requests that end in every way that is counted.

    The durations are sums of powers of two, so that floats add up exactly.
    """
    commits = [None, None, LOST, BEFORE]
    loads = [None, None, None, None, None, HANGS, None, None, None, HANGS]
    made = faulty(commits, loads=loads, settings=SETTINGS)
    served = AsyncEndpoint(
        Awaited(made), Numbered(), SETTINGS, counters=metrics, retry_policy=RetryPolicy(pause=2**-7)
    )

    async def send(asked: Request, *, seconds: float = 0.0) -> None:
        made.before_load = then(lambda: time.sleep(seconds))
        await served(asked)

    await send(CREATE, seconds=2**-8)
    await send(CREATE, seconds=2**-6)
    await send(request("create", key="conflict-and-failure"))
    await send(request("create", key="timeout"))
    full = StoreFullError(
        "Connection",
        capacity=1,
        environment=CALLER.environment,
        customer_account_id=CALLER.customer_account_id,
    )
    made.before_commit = lambda _: fail(full)
    await send(request("create", key="full"), seconds=2**-5)
    made.before_commit = lambda _: None
    made.before_load = lambda: fail(RuntimeError())
    await served(request("create", key="unexpected"))
    await send(attrs.evolve(CREATE, body=b"{"), seconds=6.0)
    cancelled = asyncio.create_task(send(request("create", key="cancelled")))
    await asyncio.sleep(0.1875)
    cancelled.cancel()
    with suppress(asyncio.CancelledError):
        await cancelled
    for number in range(11):
        await send(request("initiate", key=f"initiate-{number}"), seconds=2**-8)
    for _ in range(11):
        await send(request("graduation"), seconds=2**-3)
    # A limit that refuses takes no token of the bucket, so one is left.
    await send(request("create", key="last-token"))
    await send(request("create", key="empty-bucket"))
    await send(Request("GET", "/unknown"))


def fail(error: Exception) -> None:
    raise error


def test_metrics_after_fixed_requests_equal_a_handwritten_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, time = Metrics(), fake_time(monkeypatch)
    monkeypatch.setattr(endpoint, "perf_counter", time.monotonic)
    run_async(serve_requests(metrics, time), time)
    for event in (*GuardEvent, GuardEvent.QUEUE_TIMEOUT):
        metrics.count_guard_event(event)
    _, text = metrics.render(Backlog(messages=3, dead=1, oldest_due_seconds=2.5))
    # `prometheus_client` adds the time at which each sample was made.
    lasting = re.sub(r"^.*_created[ {].*\n", "", text.decode(), flags=re.MULTILINE)
    assert lasting.splitlines() == TEXT.replace("VERSION", __version__).splitlines()


# The order of the samples is the one in which they were first counted.
TEXT = """\
# HELP curae_requests_total Finished requests.
# TYPE curae_requests_total counter
curae_requests_total{code="none",operation="create-connection",replayed="false",status="201"} 4.0
curae_requests_total{code="none",operation="create-connection",replayed="true",status="201"} 1.0
curae_requests_total{code="INTERNAL",operation="create-connection",replayed="false",status="500"} 2.0
curae_requests_total{code="BAD_REQUEST",operation="create-connection",replayed="false",status="400"} 1.0
curae_requests_total{code="none",operation="none",replayed="false",status="none"} 1.0
curae_requests_total{code="none",operation="initiate",replayed="false",status="201"} 10.0
curae_requests_total{code="RATE_LIMITED",operation="initiate",replayed="false",status="429"} 1.0
curae_requests_total{code="none",operation="graduation-handoff",replayed="false",status="201"} 10.0
curae_requests_total{code="RATE_LIMITED",operation="graduation-handoff",replayed="false",status="429"} 1.0
curae_requests_total{code="RATE_LIMITED",operation="create-connection",replayed="false",status="429"} 1.0
curae_requests_total{code="UNAUTHENTICATED",operation="none",replayed="false",status="401"} 1.0
# HELP curae_request_seconds Duration of requests in seconds.
# TYPE curae_request_seconds histogram
curae_request_seconds_bucket{le="0.005",operation="create-connection"} 4.0
curae_request_seconds_bucket{le="0.01",operation="create-connection"} 4.0
curae_request_seconds_bucket{le="0.025",operation="create-connection"} 6.0
curae_request_seconds_bucket{le="0.05",operation="create-connection"} 7.0
curae_request_seconds_bucket{le="0.1",operation="create-connection"} 7.0
curae_request_seconds_bucket{le="0.25",operation="create-connection"} 7.0
curae_request_seconds_bucket{le="0.5",operation="create-connection"} 7.0
curae_request_seconds_bucket{le="1.0",operation="create-connection"} 7.0
curae_request_seconds_bucket{le="2.5",operation="create-connection"} 7.0
curae_request_seconds_bucket{le="5.0",operation="create-connection"} 8.0
curae_request_seconds_bucket{le="+Inf",operation="create-connection"} 9.0
curae_request_seconds_count{operation="create-connection"} 9.0
curae_request_seconds_sum{operation="create-connection"} 8.58203125
curae_request_seconds_bucket{le="0.005",operation="none"} 1.0
curae_request_seconds_bucket{le="0.01",operation="none"} 1.0
curae_request_seconds_bucket{le="0.025",operation="none"} 1.0
curae_request_seconds_bucket{le="0.05",operation="none"} 1.0
curae_request_seconds_bucket{le="0.1",operation="none"} 1.0
curae_request_seconds_bucket{le="0.25",operation="none"} 2.0
curae_request_seconds_bucket{le="0.5",operation="none"} 2.0
curae_request_seconds_bucket{le="1.0",operation="none"} 2.0
curae_request_seconds_bucket{le="2.5",operation="none"} 2.0
curae_request_seconds_bucket{le="5.0",operation="none"} 2.0
curae_request_seconds_bucket{le="+Inf",operation="none"} 2.0
curae_request_seconds_count{operation="none"} 2.0
curae_request_seconds_sum{operation="none"} 0.1875
curae_request_seconds_bucket{le="0.005",operation="initiate"} 11.0
curae_request_seconds_bucket{le="0.01",operation="initiate"} 11.0
curae_request_seconds_bucket{le="0.025",operation="initiate"} 11.0
curae_request_seconds_bucket{le="0.05",operation="initiate"} 11.0
curae_request_seconds_bucket{le="0.1",operation="initiate"} 11.0
curae_request_seconds_bucket{le="0.25",operation="initiate"} 11.0
curae_request_seconds_bucket{le="0.5",operation="initiate"} 11.0
curae_request_seconds_bucket{le="1.0",operation="initiate"} 11.0
curae_request_seconds_bucket{le="2.5",operation="initiate"} 11.0
curae_request_seconds_bucket{le="5.0",operation="initiate"} 11.0
curae_request_seconds_bucket{le="+Inf",operation="initiate"} 11.0
curae_request_seconds_count{operation="initiate"} 11.0
curae_request_seconds_sum{operation="initiate"} 0.04296875
curae_request_seconds_bucket{le="0.005",operation="graduation-handoff"} 0.0
curae_request_seconds_bucket{le="0.01",operation="graduation-handoff"} 0.0
curae_request_seconds_bucket{le="0.025",operation="graduation-handoff"} 0.0
curae_request_seconds_bucket{le="0.05",operation="graduation-handoff"} 0.0
curae_request_seconds_bucket{le="0.1",operation="graduation-handoff"} 0.0
curae_request_seconds_bucket{le="0.25",operation="graduation-handoff"} 11.0
curae_request_seconds_bucket{le="0.5",operation="graduation-handoff"} 11.0
curae_request_seconds_bucket{le="1.0",operation="graduation-handoff"} 11.0
curae_request_seconds_bucket{le="2.5",operation="graduation-handoff"} 11.0
curae_request_seconds_bucket{le="5.0",operation="graduation-handoff"} 11.0
curae_request_seconds_bucket{le="+Inf",operation="graduation-handoff"} 11.0
curae_request_seconds_count{operation="graduation-handoff"} 11.0
curae_request_seconds_sum{operation="graduation-handoff"} 1.375
# HELP curae_attempts_total Attempts at the store by how they ended.
# TYPE curae_attempts_total counter
curae_attempts_total{ended="done"} 30.0
curae_attempts_total{ended="conflict"} 1.0
curae_attempts_total{ended="unavailable"} 1.0
curae_attempts_total{ended="timeout"} 1.0
curae_attempts_total{ended="unexpected"} 1.0
curae_attempts_total{ended="cancelled"} 1.0
# HELP curae_waited_seconds_total Seconds spent waiting between attempts.
# TYPE curae_waited_seconds_total counter
curae_waited_seconds_total 0.03125
# HELP curae_refusals_total Requests that a rule refused, by the rule's name before its first dot.
# TYPE curae_refusals_total counter
curae_refusals_total{family="request"} 7.0
# HELP curae_limits_reached_total Requests that a limit refused.
# TYPE curae_limits_reached_total counter
curae_limits_reached_total{limit="initiate"} 1.0
curae_limits_reached_total{limit="graduation"} 1.0
curae_limits_reached_total{limit="small"} 1.0
# HELP curae_store_failures_total Store failures by kind.
# TYPE curae_store_failures_total counter
curae_store_failures_total{kind="unavailable"} 1.0
curae_store_failures_total{kind="timeout"} 1.0
curae_store_failures_total{kind="store_full"} 1.0
curae_store_failures_total{kind="unexpected"} 1.0
# HELP curae_guard_events_total Requests that the guard refused, cut off or dropped.
# TYPE curae_guard_events_total counter
curae_guard_events_total{event="body_timeout"} 1.0
curae_guard_events_total{event="body_broken"} 1.0
curae_guard_events_total{event="body_too_long"} 1.0
curae_guard_events_total{event="queue_timeout"} 2.0
curae_guard_events_total{event="client_left"} 1.0
# HELP curae_build_info The running version.
# TYPE curae_build_info gauge
curae_build_info{version="VERSION"} 1.0
# HELP curae_outbox_messages Messages waiting to be delivered.
# TYPE curae_outbox_messages gauge
curae_outbox_messages 3.0
# HELP curae_outbox_dead Dead messages.
# TYPE curae_outbox_dead gauge
curae_outbox_dead 1.0
# HELP curae_outbox_seconds Seconds since the first message became due.
# TYPE curae_outbox_seconds gauge
curae_outbox_seconds 2.5
"""


def test_metrics_of_several_workers_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = mmap_key("seen", "seen_total", ["operation"], ["get"], "Requests.")
    for worker, number in enumerate((3.0, 4.0)):
        values = MmapedDict(str(tmp_path / f"counter_{worker}.db"))  # type: ignore[no-untyped-call]  # it has no annotations
        values.write_value(key, number, 0.0)  # type: ignore[no-untyped-call]  # as above
        values.close()  # type: ignore[no-untyped-call]  # as above
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    _, text = Metrics().render()
    assert b'seen_total{operation="get"} 7.0\n' in text


@pytest.mark.parametrize("directory", ["", "missing"])
def test_metrics_raise_if_the_multiprocess_directory_is_missing(
    directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = directory and str(tmp_path / directory)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", path)
    message = "PROMETHEUS_MULTIPROC_DIR: must be an existing directory, or not set"
    with pytest.raises(ArgumentError, match=f"^{message}$"):
        Metrics()
