"""Runs of the conformance kit against each example, over sockets, on both databases."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.testing.conformance import CHECKS, run
from tests.support.wire.running import Behind, conformance_server, engine_of, running_server, said
from tests.support.wire.serve import Control, read_control

APPS = ("fastapi", "flask", "asgi", "django")
ONE_ENVIRONMENT = "permission.wrong-environment"
"""The check that needs a server of one environment."""

OF_THE_FRONT = "idempotency.dates"
"""The check of the Date header, which granian sets from a clock that no test moves."""

NOT_HERE = frozenset({ONE_ENVIRONMENT, OF_THE_FRONT})
"""The checks that do not run on a server as it is started."""

CUT_OFF = "the guard cut a body off: it was too long"

PER_CHECK = timedelta(minutes=5)
"""A time limit per check for slow machines; no server hangs here."""

NAMES = [check.name for check in CHECKS]
AT_ONCE = [
    check.name for check in CHECKS if "race_rounds" in check.hooks or "at-once" in check.name
]
"""The checks with concurrent requests."""


def part_of_checks(number: int, parts: int, *always: str) -> list[str]:
    """Return one of several parts of the checks, with those that are in each part."""
    return sorted({*NAMES[number::parts], *AT_ONCE, *always})


def check(app: str, url: str, directory: Path, names: Collection[str]) -> None:
    with running_server(app, url, directory) as server, engine_of(url) as engine:
        behind = Behind(server.control, engine)
        seen = run(conformance_server(server, behind), only=names, seed="1", timeout=PER_CHECK)
        assert not seen.failed, str(seen)
        left = {each.check for each in seen.not_run}
        assert left == NOT_HERE.intersection(names), str(seen)
        if ONE_ENVIRONMENT in names:
            attrs.evolve(read_control(server.control), environment="test").write(server.control)
            served = conformance_server(server, behind, Environment.TEST)
            seen = run(served, only=[ONE_ENVIRONMENT], timeout=PER_CHECK)
            assert seen.passed == (ONE_ENVIRONMENT,)
    # The kit sends bodies that are too long, which the guard cuts off.
    assert [line for line in said(server.log) if CUT_OFF not in line] == []


@pytest.mark.slow
def test_example_server_passes_every_24th_conformance_check(
    sqlite_url: str, tmp_path: Path
) -> None:
    check("fastapi", url=sqlite_url, directory=tmp_path, names=[*NAMES[::24], ONE_ENVIRONMENT])


@pytest.mark.heavy
@pytest.mark.parametrize("app", APPS)
def test_example_servers_pass_conformance_checks_on_postgresql(
    app: str, postgres_url: str, tmp_path: Path
) -> None:
    check(app, url=postgres_url, directory=tmp_path, names=NAMES)


@pytest.mark.heavy
@pytest.mark.parametrize("app", APPS)
def test_example_servers_pass_conformance_checks_on_sqlite(
    app: str, sqlite_url: str, tmp_path: Path
) -> None:
    # Together they run every check; each has passed all of them on PostgreSQL.
    names = part_of_checks(APPS.index(app), len(APPS))
    check(app, url=sqlite_url, directory=tmp_path, names=names)


@pytest.mark.heavy
def test_conformance_fails_a_store_without_compare_and_set(
    postgres_url: str, tmp_path: Path
) -> None:
    Control(wrong="trusting").write(tmp_path / "control.json")
    with (
        running_server("asgi", postgres_url, tmp_path) as server,
        engine_of(postgres_url) as engine,
    ):
        wrong = conformance_server(server, Behind(server.control, engine))
        seen = run(wrong, only=["limit.at-once"], seed="1", timeout=PER_CHECK)
    assert [each.check for each in seen.failed] == ["limit.at-once"], str(seen)
