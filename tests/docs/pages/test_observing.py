"""Tests that the observing page states the logs, counters and timeouts of the package."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import attrs
import pytest

import curae_lifecycle
from curae_lifecycle.servers.endpoint import METRICS_PATH, REQUEST_ID_HEADER
from curae_lifecycle.servers.guard import GuardEvent
from curae_lifecycle.servers.health import LIVE_PATH, READY_PATH, READY_TIMEOUT_SECONDS
from curae_lifecycle.servers.log import _PATH_LOGGERS, RequestLine
from curae_lifecycle.servers.metrics import Metrics
from curae_lifecycle.stores.redis.clients import create_client
from curae_lifecycle.stores.retry import ATTEMPT_GRACE_SECONDS, DEFAULT_RETRY_POLICY, RetryStats
from curae_lifecycle.stores.sql import session_settings
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from tests.support.asking import logged
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "observing.md").read_text(encoding="utf-8")
PACKAGE = Path(curae_lifecycle.__file__).parent


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table with this heading, split into cells."""
    lines = PAGE.partition(f"| {heading}")[2].split("\n\n")[0].splitlines()[2:]
    assert lines, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def tables(heading: str) -> list[list[str]]:
    """Return the first cells of each table with this heading, without marks."""
    parts = PAGE.split(f"| {heading} |")[1:]
    return [
        [line.split("|")[1].strip(" `") for line in part.split("\n\n")[0].splitlines()[2:]]
        for part in parts
    ]


def test_observing_docs_page_program_runs() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    with logged():
        exec(block, {})  # noqa: S102 - the page's own code


def test_observing_docs_page_lists_every_log_member() -> None:
    line = RequestLine(
        operation="x",
        method="GET",
        status=200,
        rules=(),
        replayed=False,
        seconds=0,
        attempts=1,
        waited=0,
        code=None,
        retry_after=None,
        limit=None,
    )
    of_all, of_requests = tables("member")
    assert of_requests == [*line.members()]
    with logged() as log:
        import logging  # noqa: PLC0415 - the one place that logs for itself

        from curae_lifecycle.servers.log import REQUEST_ID  # noqa: PLC0415
        from curae_lifecycle.stores.request_loop import LOG_TRACEBACKS  # noqa: PLC0415

        token, debug = REQUEST_ID.set("0" * 32), LOG_TRACEBACKS.set(True)
        try:
            raise_one()
        except KeyError:
            logging.getLogger("x").exception("it failed")
        LOG_TRACEBACKS.reset(debug)
        REQUEST_ID.reset(token)
    assert of_all == [*log.lines[0]]


def raise_one() -> None:
    raise KeyError


def test_observing_docs_page_log_messages_match_the_package() -> None:
    source = "".join(
        file.read_text(encoding="utf-8")
        for room in ("servers", "stores")
        for file in (PACKAGE / room).rglob("*.py")
    )
    told = {row[1].strip("`") for row in table("level")}
    for message in told:
        assert f'"{message}' in source, message
    # Every message that the package logs is on the page.
    logged_texts = re.findall(r'(?:log_error\(|_LOG\.\w+\()"([^"%:]+)', source)
    assert {
        text for text in logged_texts if not any(text.startswith(each) for each in told)
    } == set()


def test_observing_docs_page_lists_every_metric_with_its_labels() -> None:
    metrics = Metrics()
    line = RequestLine(
        operation="x",
        method="GET",
        status=429,
        rules=("a.b",),
        replayed=False,
        seconds=0,
        attempts=1,
        waited=0,
        code="CODE",
        retry_after=1,
        limit="limit",
    )
    metrics.count(
        line,
        RetryStats(
            attempts=1,
            conflicts=1,
            unavailable=1,
            timeouts=1,
            cancelled=1,
            store_full=1,
            unexpected_errors=1,
            seconds_waited=1.0,
        ),
    )
    metrics.count_guard_event(GuardEvent.BODY_TIMEOUT)
    text = metrics.render(Backlog(1, 1, 1.0))[1].decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(curae_\w+)(?:\{(.*?)\})? ", text, re.MULTILINE):
        if name.endswith("_created"):
            continue
        plain = re.sub("_(bucket|sum|count)$", "", name)
        found.setdefault(plain, set()).update(set(re.findall(r"(\w+)=", labels)) - {"le"})
    said = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in table("metric")}
    assert said == found


def test_observing_docs_page_names_health_paths_and_loggers() -> None:
    assert [row[0].strip("`") for row in table("path")] == [LIVE_PATH, READY_PATH]
    assert f"`{METRICS_PATH}`" in PAGE
    assert f"`{REQUEST_ID_HEADER}`" in PAGE
    for name in _PATH_LOGGERS:
        software = name.removesuffix(".access")
        assert software in PAGE, name


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        ("all attempts", DEFAULT_RETRY_POLICY.seconds),
        ("one attempt", DEFAULT_RETRY_POLICY.attempt_seconds),
        ("the attempt that began last", ATTEMPT_GRACE_SECONDS),
        ("everything", DEFAULT_RETRY_POLICY.seconds + ATTEMPT_GRACE_SECONDS),
        ("the store", READY_TIMEOUT_SECONDS),
        ("its lock and its end", session_settings.DEFAULT_TIMEOUT),
        ("its answer, by this side's", session_settings.DEFAULT_TIMEOUT + session_settings.GRACE),
        ("being made, all its", session_settings.DEFAULT_TIMEOUT + session_settings.GRACE),
        ("a free connection", session_settings.DEFAULT_TIMEOUT),
        (
            "a pooled connection",
            float(str(signature(create_client).parameters["timeout"].default)),
        ),
    ],
)
def test_observing_docs_page_states_the_timeouts_of_the_package(what: str, seconds: float) -> None:
    (row,) = [row for row in table("who waits") if row[1].startswith(what)]
    assert row[2].startswith(f"{seconds:g} s")


def test_observing_docs_page_states_the_django_timeout() -> None:
    (row,) = [row for row in table("who waits") if "statement on Django" in row[0]]
    assert f"{session_settings.GRACE:g} s" in row[2]


LABELS = {
    "conflicts": "conflict",
    "unavailable": "unavailable",
    "timeouts": "timeout",
    "cancelled": "cancelled",
    "store_full": "store_full",
    "unexpected_errors": "unexpected",
}
"""The label of the counters for each count of `RetryStats`."""


def test_observing_docs_page_names_a_label_for_each_retry_count() -> None:
    counts = {field.name for field in attrs.fields(RetryStats)} - {"attempts", "seconds_waited"}
    named = set(re.findall(r"`(\w+)`", "".join(row[2] for row in table("metric"))))
    assert counts == set(LABELS)
    assert set(LABELS.values()) <= named
