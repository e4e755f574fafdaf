"""Runs of the conformance kit against each example, over sockets, half of it on each database."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.testing.conformance import CHECKS, run
from tests.support.wire.running import Behind, conformance_server, engine_of, running_server, said
from tests.support.wire.serve import Control, read_control

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


LIMITS = [check.name for check in CHECKS if re.search("limit|bucket", check.name)]
"""The checks of what Redis may store."""

HALVES = {
    ("fastapi", "postgres"): 1,
    ("fastapi", "redis"): 0,
    ("flask", "postgres"): 0,
    ("flask", "redis"): 1,
    ("asgi", "postgres"): 0,
    ("asgi", "sqlite"): 1,
    ("django", "postgres"): 1,
    ("django", "sqlite"): 0,
}
"""The half of the checks that each example passes on each database; Redis is beside SQLite.

`tests/stores/redis/test_servers.py` runs those with Redis.
"""


def half_of_checks(app: str, kind: str) -> list[str]:
    """Return the half of the checks for an example on a database, with those for each half."""
    always = [*AT_ONCE]
    if (app, "redis") in HALVES:
        always += LIMITS
    if kind == "postgres":
        always.append(ONE_ENVIRONMENT)
    return sorted({*NAMES[HALVES[app, kind] :: 2], *always})


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
@pytest.mark.parametrize(
    "place", [place for place in HALVES if "redis" not in place], ids=" on ".join
)
def test_example_server_passes_its_half_of_the_kit_checks(
    place: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    app, kind = place
    url = request.getfixturevalue(f"{kind}_url")
    check(app, url=url, directory=tmp_path, names=half_of_checks(app, kind))


@pytest.mark.parametrize("each", ["fastapi", "flask", "asgi", "django", "postgres"])
def test_both_halves_of_kit_checks_run_on_each_example_server(each: str) -> None:
    assert {half for place, half in HALVES.items() if each in place} == {0, 1}
    assert {half for (_, kind), half in HALVES.items() if kind != "postgres"} == {0, 1}


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
