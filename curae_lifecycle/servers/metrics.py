"""What a server counts, as Prometheus reads it; needs the extra `prometheus`.

The law of this module: **no label holds what a stranger sends**: operations, codes and limits are
the rules' and the settings' own, and whatever else there is has one name together.

Where the environment has `PROMETHEUS_MULTIPROC_DIR`, every worker of a server counts in files there,
and whichever is asked answers for all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from curae_lifecycle import __version__
from curae_lifecycle.servers.log import RequestLine
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.stores.sql.outbox_statements import Backlog

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What Prometheus calls the text that it reads."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The bounds of the histogram: nothing takes longer than the last where the limits are kept."""

_NONE: Final = "none"


class Metrics:
    """The counters of one process; make one, when it starts, and give it to its endpoint."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, said: str, *labels: str) -> Counter:
            return Counter(f"curae_{name}", said, labels, registry=self._registry)

        self._requests = counter(
            *("requests", "Requests that were answered."),
            *("operation", "status", "code", "replayed"),
        )
        self._seconds = Histogram(
            "curae_request_seconds",
            "How long requests took.",
            ("operation",),
            registry=self._registry,
            buckets=SECONDS,
        )
        self._attempts = counter("attempts", "Attempts at the store, by how they ended.", "ended")
        self._waited = counter("waited_seconds", "Seconds that were waited between attempts.")
        self._refusals = counter(
            "refusals", "Requests that a rule refused, by the family of its name.", "family"
        )
        self._limits = counter("limits_reached", "Requests that a limit refused.", "limit")
        self._failures = counter("store_failures", "What failed at the store.", "kind")

    def count(self, line: RequestLine, stats: RetryStats) -> None:
        """Count a request that was answered, or that nobody waited for any more.

        Args:
            line: The request's line of the log.
            stats: What it took.
        """
        operation, code = line.operation or _NONE, line.code or _NONE
        status = _NONE if line.status is None else str(line.status)
        replayed = "true" if line.replayed else "false"
        self._requests.labels(operation, status, code, replayed).inc()
        self._seconds.labels(operation).observe(line.seconds)
        self._waited.inc(stats.seconds_waited)
        failed = {
            "overtaken": stats.conflicts,
            "unavailable": stats.unavailable,
            "late": stats.timeouts,
            "unforeseen": stats.unexpected_errors,
        }
        # What nobody foresaw can happen before there is an attempt.
        done = max(0, stats.attempts - sum(failed.values()))
        _add(self._attempts, {"done": done, **failed})
        _add(self._failures, {**failed, "overtaken": 0, "full": stats.store_full})
        if line.code is not None and line.rules:
            self._refusals.labels(line.rules[-1].partition(".")[0]).inc()
        if line.limit is not None:
            self._limits.labels(line.limit).inc()

    def render(self, backlog: Backlog | None = None) -> tuple[str, bytes]:
        """What all workers have counted, and what the outbox holds, as Prometheus reads it."""
        registry = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it comes without types
        else:
            registry.register(_All(self._registry.collect))
        registry.register(_All(lambda: _gauges(backlog)))
        return MEDIA_TYPE, generate_latest(registry)


def _add(counter: Counter, counts: dict[str, int]) -> None:
    for label, number in counts.items():
        if number:
            counter.labels(label).inc(number)


def _gauges(backlog: Backlog | None) -> Iterator[Metric]:
    build = GaugeMetricFamily("curae_build_info", "Which version runs.", labels=("version",))
    build.add_metric((__version__,), 1)
    yield build
    if backlog is None:
        return
    for name, said, value in (
        ("messages", "Messages that are to be shipped.", backlog.messages),
        ("dead", "Messages that are dead.", backlog.dead),
        ("seconds", "For how long the first message has been due.", backlog.oldest_due_seconds),
    ):
        yield GaugeMetricFamily(f"curae_outbox_{name}", said, value)


class _All(Collector):
    """Collects what a function gives."""

    def __init__(self, collected: Callable[[], Iterable[Metric]]) -> None:
        self._collected = collected

    def collect(self) -> Iterable[Metric]:
        return self._collected()
