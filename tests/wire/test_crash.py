"""Workers are killed at any point, and nothing is half done, done twice or forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.wire.crash import crash
from tests.wire.postgres import database


@pytest.mark.heavy
def test_killed_workers_on_postgresql_leave_every_law_kept(
    postgres_url: str, tmp_path: Path
) -> None:
    seen = crash("asgi", postgres_url, tmp_path, requests=600, kills=3, rounds=3)
    assert seen.broken == [], str(seen)
    assert seen.sent >= 600
    assert seen.kills == 3
    # What the rules refuse for now is part of the load, and no server gave up.
    assert seen.statuses.keys() >= {200, 201, 409, 429}
    assert 500 not in seen.statuses, str(seen)


def test_killed_workers_on_a_sqlite_file_leave_every_law_kept(
    sqlite_url: str, tmp_path: Path
) -> None:
    seen = crash("asgi", sqlite_url, tmp_path, requests=300, kills=2, rounds=2, workers=2)
    assert seen.broken == [], str(seen)
    assert seen.kills == 2
    assert 500 not in seen.statuses, str(seen)


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        pytest.param("stepping", "law 12", id="one that commits in several steps"),
        pytest.param("trusting", "law 1", id="one that does not compare"),
    ],
)
@pytest.mark.heavy
def test_a_wrong_database_is_found(
    wrong: str, law: str, postgres_server: sa.URL, tmp_path: Path
) -> None:
    # How requests interleave is the machine's, so one run may find nothing; ten would not.
    def is_found(seed: int) -> bool:
        place = tmp_path / str(seed)
        with database(postgres_server) as url:
            seen = crash(
                "asgi",
                url,
                place,
                wrong=wrong,
                seed=seed,
                requests=150,
                kills=1,
                rounds=1,
                workers=2,
            )
        return any(each.startswith(law) for each in seen.broken)

    assert any(map(is_found, range(10)))


@pytest.mark.heavy
@pytest.mark.parametrize("app", ["asgi", "fastapi", "flask", "django"])
def test_many_killed_workers_leave_every_law_kept(
    app: str, postgres_url: str, tmp_path: Path
) -> None:
    seen = crash(app, postgres_url, tmp_path, requests=2_500, kills=8, rounds=5, workers=4)
    assert seen.broken == [], str(seen)
    assert seen.kills == 8
