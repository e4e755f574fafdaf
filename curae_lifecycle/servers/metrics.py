"""Prometheus metrics of a server; they need the extra `prometheus`.

The law of this module: **no label holds text that a client sent**. Operations, codes and limits
have the names of the rules and settings. Everything else shares the one name `none`.

If the environment has `PROMETHEUS_MULTIPROC_DIR`, every worker of a server counts in files there.
Any worker then answers with the counts of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from curae_lifecycle import __version__
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.guard import GuardEvent
from curae_lifecycle.servers.log import RequestLine
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.stores.sql.outbox_statements import Backlog

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of the Prometheus text format."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The upper bounds of the steps in the histogram of requests' durations, in seconds.

No request takes longer than the last bound if the store keeps its time limits.
"""

_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

_NONE: Final = "none"
"""The label value for anything that has no name of the rules or settings."""


class Metrics:
    """The Prometheus counters of one process, to pass to an `Endpoint` and a `Guard`.

    A `Guard` is middleware that limits the requests in an app. Create one `Metrics` when the
    process starts.

    Raises:
        ArgumentError: `PROMETHEUS_MULTIPROC_DIR` is set, but not to an existing directory.
    """

    def __init__(self) -> None:
        directory = os.environ.get(_DIRECTORY)
        if directory is not None and not (directory and Path(directory).is_dir()):
            raise ArgumentError(_DIRECTORY, "an existing directory, or not set")
        self._registry = CollectorRegistry()

        def counter(name: str, description: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"curae_{name}", description, labels, registry=self._registry)

        self._requests = counter(
            "requests", "Finished requests.", ("operation", "status", "code", "replayed")
        )
        self._seconds = Histogram(
            "curae_request_seconds",
            "Duration of requests in seconds.",
            ("operation",),
            registry=self._registry,
            buckets=SECONDS,
        )
        self._attempts = counter("attempts", "Attempts at the store by how they ended.", ("ended",))
        self._waited = counter("waited_seconds", "Seconds spent waiting between attempts.")
        self._refusals = counter(
            "refusals",
            "Requests that a rule refused, by the rule's name before its first dot.",
            ("family",),
        )
        self._limits = counter("limits_reached", "Requests that a limit refused.", ("limit",))
        self._failures = counter("store_failures", "Store failures by kind.", ("kind",))
        self._guard_events = counter(
            "guard_events", "Requests that the guard refused, cut off or dropped.", ("event",)
        )

    def count(self, line: RequestLine, stats: RetryStats) -> None:
        """Count a request that finished or was cancelled.

        Args:
            line: The request's log line.
            stats: The attempts that the request took, and the pauses between them.
        """
        operation, code = line.operation or _NONE, line.code or _NONE
        status = _NONE if line.status is None else str(line.status)
        replayed = "true" if line.replayed else "false"
        self._requests.labels(operation, status, code, replayed).inc()
        self._seconds.labels(operation).observe(line.seconds)
        self._waited.inc(stats.seconds_waited)
        failed = {
            "conflict": stats.conflicts,
            "unavailable": stats.unavailable,
            "timeout": stats.timeouts,
            "cancelled": stats.cancelled,
            "unexpected": stats.unexpected_errors,
        }
        # An unexpected error can occur before the first attempt, so the difference can be negative.
        done = max(0, stats.attempts - sum(failed.values()))
        _add(self._attempts, {"done": done, **failed})
        _add(
            self._failures,
            {**failed, "conflict": 0, "cancelled": 0, "store_full": stats.store_full},
        )
        if line.code is not None and line.rules and not line.replayed:
            self._refusals.labels(line.rules[-1].partition(".")[0]).inc()
        if line.limit is not None:
            self._limits.labels(line.limit).inc()

    def count_guard_event(self, event: GuardEvent) -> None:
        """Count a request that a `Guard` refused, cut off or dropped; `event` is the reason.

        A guard is middleware that limits the requests in an app.
        """
        self._guard_events.labels(event).inc()

    def render(self, backlog: Backlog | None = None) -> tuple[str, bytes]:
        """Format all counters as Prometheus text; return the media type and the text.

        With the environment variable `PROMETHEUS_MULTIPROC_DIR`, these are the counters of all
        worker processes; without it, those of this process.

        Args:
            backlog: The numbers of messages in the outbox, the store's queue of messages to
                deliver. None leaves their metrics out.
        """
        registry = CollectorRegistry()
        if _DIRECTORY in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no annotations
        else:
            registry.register(_FunctionCollector(self._registry.collect))
        registry.register(_FunctionCollector(lambda: _gauge_metrics(backlog)))
        return MEDIA_TYPE, generate_latest(registry)


def _add(counter: Counter, counts: dict[str, int]) -> None:
    for label, number in counts.items():
        if number:
            counter.labels(label).inc(number)


def _gauge_metrics(backlog: Backlog | None) -> Iterator[Metric]:
    build = GaugeMetricFamily("curae_build_info", "The running version.", labels=("version",))
    build.add_metric((__version__,), 1)
    yield build
    if backlog is None:
        return
    for name, description, value in (
        ("messages", "Messages waiting to be delivered.", backlog.messages),
        ("dead", "Dead messages.", backlog.dead),
        ("seconds", "Seconds since the first message became due.", backlog.oldest_due_seconds),
    ):
        yield GaugeMetricFamily(f"curae_outbox_{name}", description, value)


class _FunctionCollector(Collector):
    """A collector of the metrics that a function returns."""

    def __init__(self, collect_metrics: Callable[[], Iterable[Metric]]) -> None:
        self._collect_metrics = collect_metrics

    def collect(self) -> Iterable[Metric]:
        return self._collect_metrics()
