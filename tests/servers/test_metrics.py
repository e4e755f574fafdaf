"""Tests of metrics: counts in one process and in several, and no labels from unknown input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from curae_lifecycle import Bucket, Request, Settings, __version__
from curae_lifecycle.servers.guard import GuardEvent
from curae_lifecycle.servers.metrics import MEDIA_TYPE, SECONDS, Metrics
from curae_lifecycle.stores.retry import ATTEMPT_GRACE_SECONDS, DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from tests.support.asking import KINDS, Asking, header
from tests.support.paths import ROOT
from tests.support.server import request
from tests.support.serving import BEFORE, LOST, fake_time, faulty
from tests.support.strategies import uuid

CREATE = request("create")
READ = Request("GET", "/metrics")


def samples(text: str) -> dict[str, float]:
    """Return the samples by name and sorted labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            labels = " ".join(f"{name}={value}" for name, value in sorted(each.labels.items()))
            found[f"{each.name} {labels}".strip()] = each.value
    return found


def whole(found: dict[str, float]) -> dict[str, float]:
    """Return every sample, except the durations and when a metric was made."""
    left_out = ("_bucket", "_created", "_seconds_sum")
    return {
        name: value
        for name, value in found.items()
        if not name.partition(" ")[0].endswith(left_out)
    }


def counted(asking: Asking) -> dict[str, float]:
    answer = asking(READ)
    assert (answer.status, header(answer, "content-type")) == (200, MEDIA_TYPE)
    return samples(answer.body.decode())


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_counted_by_http_status_and_problem_code(kind: str) -> None:
    settings = Settings(buckets=(Bucket(name="small", capacity=3, refill=1, seconds=60),))
    asking = Asking(
        kind=kind,
        store=faulty(settings=settings),
        settings=settings,
        counters=Metrics(),
        backlog=lambda: Backlog(3, 1, 2.5),
    )
    for asked in (CREATE, CREATE, attrs.evolve(CREATE, body=b"{"), CREATE, CREATE):
        asking(asked)
    found = counted(asking)
    made = "operation=create-connection"
    assert whole(found) == {
        f"curae_requests_total code=none {made} replayed=false status=201": 1,
        f"curae_requests_total code=none {made} replayed=true status=201": 2,
        f"curae_requests_total code=BAD_REQUEST {made} replayed=false status=400": 1,
        f"curae_requests_total code=RATE_LIMITED {made} replayed=false status=429": 1,
        f"curae_request_seconds_count {made}": 5,
        "curae_attempts_total ended=done": 5,
        "curae_waited_seconds_total": 0,
        "curae_limits_reached_total limit=small": 1,
        "curae_refusals_total family=request": 2,
        f"curae_build_info version={__version__}": 1,
        "curae_outbox_messages": 3,
        "curae_outbox_dead": 1,
        "curae_outbox_seconds": 2.5,
    }
    # The next read counts this one.
    ready = "curae_requests_total code=none operation=metrics replayed=false status=200"
    assert counted(asking)[ready] == 1


def test_refusal_metric_is_labelled_with_table_of_its_last_rule() -> None:
    metrics = Metrics()
    asking = Asking(kind="waits", store=faulty(), counters=metrics)
    made = json.loads(asking(CREATE).body)["connection"]["id"]
    for asked in (
        request("reconnect", id=made, key="k-2"),
        request("reconnect", id=uuid(9), key="k-3"),
        request("graduation"),
    ):
        asking(asked)
    found = samples(metrics.render()[1].decode())
    # Two of them passed a rule on idempotency keys before.
    assert {name: value for name, value in found.items() if "refusals_total" in name} == {
        "curae_refusals_total family=connection": 1,
        "curae_refusals_total family=request": 1,
        "curae_refusals_total family=graduation-handoff": 1,
    }


def test_replay_of_a_refusal_does_not_count_as_a_refusal() -> None:
    metrics = Metrics()
    asking = Asking(kind="waits", store=faulty(), counters=metrics)
    unknown, other = (request("reconnect", id=uuid(each), key="k-1") for each in (8, 9))
    for asked in (unknown, unknown, other):
        asking(asked)
    found = samples(metrics.render()[1].decode())
    assert {name: value for name, value in found.items() if "refusals_total" in name} == {
        "curae_refusals_total family=request": 1,
        "curae_refusals_total family=idempotency": 1,
    }
    not_found = "curae_requests_total code=NOT_FOUND operation=reconnect"
    assert found[f"{not_found} replayed=false status=404"] == 1
    assert found[f"{not_found} replayed=true status=404"] == 1


def test_store_failures_are_counted_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_time(monkeypatch)
    metrics = Metrics()
    Asking(kind="waits", store=faulty([LOST, BEFORE]), counters=metrics)(CREATE)
    Asking(kind="waits", store=faulty([], capacity=0), counters=metrics)(CREATE)
    broken = attrs.evolve(CREATE, headers=(("Accept", "*/*"), ("Authorization", b"y")))  # type: ignore[arg-type]  # as no server has it
    Asking(kind="waits", store=faulty(), counters=metrics)(broken)
    found = samples(metrics.render()[1].decode())
    attempts, failures = (
        {name: value for name, value in found.items() if name.startswith(family)}
        for family in ("curae_attempts_total", "curae_store_failures_total")
    )
    assert attempts == {
        "curae_attempts_total ended=conflict": 1,
        "curae_attempts_total ended=unavailable": 1,
        "curae_attempts_total ended=unexpected": 1,
        "curae_attempts_total ended=done": 2,
    }
    # A conflict is no failure of the store.
    assert failures == {
        "curae_store_failures_total kind=unavailable": 1,
        "curae_store_failures_total kind=store_full": 1,
        "curae_store_failures_total kind=unexpected": 1,
    }
    assert found["curae_waited_seconds_total"] == pytest.approx(0.015)
    assert "curae_outbox_messages" not in found


def test_events_of_the_guard_are_counted_by_name() -> None:
    metrics = Metrics()
    for event in (*GuardEvent, GuardEvent.QUEUE_TIMEOUT):
        metrics.count_guard_event(event)
    found = samples(metrics.render()[1].decode())
    assert whole(found) == {
        **{
            f"curae_guard_events_total event={event}": 1 + (event is GuardEvent.QUEUE_TIMEOUT)
            for event in GuardEvent
        },
        "curae_waited_seconds_total": 0,
        f"curae_build_info version={__version__}": 1,
    }


def test_unknown_path_method_or_api_key_adds_no_metric_label() -> None:
    metrics = Metrics()
    asking = Asking(kind="waits", store=faulty(), counters=metrics)
    asking(CREATE)

    def labels() -> set[str]:
        return set(samples(metrics.render()[1].decode()))

    for asked in (Request("BREW", "/"), Request("GET", "/x")):
        asking(asked)
    before = labels()
    for number in range(50):
        key = (("Authorization", f"Bearer unknown-{number}"), ("x-request-id", f"{number:032}"))
        asking(
            Request(
                method=f"M{number}",
                target=f"/pages/{number}?x={number}",
                headers=key,
                body=b"%d" % number,
            )
        )
        asking(Request("GET", f"/{number}", key))
    assert labels() == before


def test_last_histogram_bucket_covers_the_default_retry_time() -> None:
    assert SECONDS[-1] >= DEFAULT_RETRY_POLICY.seconds + ATTEMPT_GRACE_SECONDS


@pytest.mark.slow
def test_metrics_of_several_worker_processes_are_summed(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for number in (2, 3):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.servers.counting", str(number)],
            cwd=ROOT,
            env=environ,
            check=True,
            capture_output=True,
            timeout=60,
        )
        told.append(samples(ended.stdout.decode()))
    made, read = "operation=create-connection", "operation=metrics"
    requests, buckets = "curae_requests_total code=none", "curae_request_seconds_bucket le=+Inf"
    always = {"curae_waited_seconds_total": 0, f"curae_build_info version={__version__}": 1}
    first = {
        f"{requests} {made} replayed=false status=201": 2,
        f"{requests} {made} replayed=true status=201": 1,
        f"curae_request_seconds_count {made}": 3,
        "curae_attempts_total ended=done": 3,
        **always,
    }
    second = {
        f"{requests} {made} replayed=false status=201": 5,
        f"{requests} {made} replayed=true status=201": 2,
        f"curae_request_seconds_count {made}": 7,
        "curae_attempts_total ended=done": 7,
        # The first worker's read of the metrics, which was counted after its response was made.
        f"{requests} {read} replayed=false status=200": 1,
        f"curae_request_seconds_count {read}": 1,
        **always,
    }
    assert [whole(each) for each in told] == [first, second]
    assert [each[f"{buckets} {made}"] for each in told] == [3, 7]


@pytest.mark.slow
def test_endpoint_is_importable_without_prometheus_client() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import curae_lifecycle.servers.endpoint, curae_lifecycle.servers.log\n"
        "try: import curae_lifecycle.servers.metrics\n"
        "except ImportError: print('missing')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, timeout=60
    )
    assert ended.stdout == b"missing\n"
