"""Tests of `database_settings`, which turns a URL into an entry of DATABASES with timeouts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from warnings import catch_warnings, simplefilter

import pytest
from django.db import OperationalError, connections
from sqlalchemy.exc import SAWarning

from curae_lifecycle import ArgumentError
from curae_lifecycle.stores.django.settings import database_settings
from curae_lifecycle.stores.sql.engine import create_engine
from tests.support.django_project import database


def test_django_sqlite_settings_include_the_given_lock_timeout() -> None:
    assert database_settings("sqlite:///curae.db", timeout=3) == {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "curae.db",
        "OPTIONS": {
            "timeout": 3,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode = WAL",
        },
        "CONN_MAX_AGE": 600,
    }
    assert database_settings("sqlite:////var/curae.db")["NAME"] == "/var/curae.db"


def test_django_settings_have_all_url_parts_and_default_timeouts() -> None:
    url = "postgresql+psycopg://an%40app:p%2Fw@db.example:5433/of%20curae?sslmode=require"
    assert database_settings(url) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "of curae",
        "USER": "an@app",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {
            "sslmode": "require",
            "connect_timeout": 2,
            "options": ("-c synchronous_commit=on -c statement_timeout=2000 -c lock_timeout=1875"),
        },
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


def test_django_settings_add_timeouts_to_options_of_the_url() -> None:
    seen = database_settings(
        "postgresql:///curae?host=/run&port=1&options=-c%20a%3Db&options=-c%20c%3Dd", timeout=0.5
    )
    assert (seen["HOST"], seen["PORT"], seen["USER"]) == ("/run", "1", "")
    limits = "-c statement_timeout=500 -c lock_timeout=469"
    assert seen["OPTIONS"] == {
        "connect_timeout": 2,
        "options": f"-c synchronous_commit=on -c a=b -c c=d {limits}",
    }


def test_django_settings_leave_readyz_time_to_connect() -> None:
    options = database_settings("postgresql:///curae", timeout=5)["OPTIONS"]
    limits = "-c synchronous_commit=on -c statement_timeout=5000 -c lock_timeout=4875"
    assert options == {"connect_timeout": 2, "options": limits}


def test_django_login_and_host_absent_from_url_are_empty_text() -> None:
    seen = database_settings("postgresql:///curae")
    given = {name: seen[name] for name in ("USER", "PASSWORD", "HOST", "PORT")}
    assert given == {"USER": "", "PASSWORD": "", "HOST": "", "PORT": ""}


@pytest.mark.parametrize(
    ("query", "hosts", "ports"),
    [
        ("host=a:1&host=b:2", "a,b", "1,2"),
        ("host=a:1&host=b", "a,b", "1,"),
        ("host=a&host=b&port=1&port=2", "a,b", "1,2"),
        ("host=a,b&port=1,2", "a,b", "1,2"),
        ("host=::1", "::1", ""),
    ],
)
def test_django_settings_keep_each_host_and_port_of_the_url(
    query: str, hosts: str, ports: str
) -> None:
    seen = database_settings(f"postgresql:///curae?{query}")
    assert (seen["HOST"], seen["PORT"]) == (hosts, ports)
    assert not {"host", "port"} & set(str(seen["OPTIONS"]).split("'"))


def test_django_sqlite_file_may_have_a_hash_in_its_name() -> None:
    assert database_settings("sqlite:////var/a#b.db")["NAME"] == "/var/a#b.db"


@pytest.mark.parametrize(
    "file",
    [
        "a%20b.db",
        "a%2520b.db",
        "a%3Fb.db?timeout=9",
        "file:a%20b.db",
        "file:a%2520b.db?uri=true",
        "file:a.db?uri=off&mode=ro",
        "file:a.db?uri=1&timeout=9&mode=rwc&cache=private",
        "file:sub/../a.db?uri=%20YES%20",
    ],
)
def test_django_opens_the_same_sqlite_file_as_sqlalchemy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("sub").mkdir()
    with catch_warnings():
        # SQLAlchemy warns of a parameter that it ignores.
        simplefilter("ignore", SAWarning)
        engine = create_engine(f"sqlite:///{file}")
        connection = engine.raw_connection()
    with closing(connection) as opened:
        opened.cursor().execute("CREATE TABLE made_by_sqlalchemy (id INTEGER)")
    engine.dispose()
    settings = database_settings(f"sqlite:///{file}")
    with database("sqlite:///unused.db", migrated=False, changed=settings) as alias:
        assert connections[alias].introspection.table_names() == ["made_by_sqlalchemy"]


def test_sqlite_file_name_drops_uri_flag_and_keeps_parameters() -> None:
    for query, name in (("uri=true", "file:a.db"), ("uri=true&mode=ro", "file:a.db?mode=ro")):
        assert database_settings(f"sqlite:///file:a.db?{query}")["NAME"] == name


def test_django_raises_for_missing_sqlite_file_in_read_only_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = database_settings("sqlite:///file:absent.db?mode=ro&uri=true")
    with (
        database("sqlite:///unused.db", migrated=False, changed=settings) as alias,
        pytest.raises(OperationalError, match="unable to open"),
    ):
        connections[alias].ensure_connection()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:curae.db",
        "sqlite:/curae.db",
        "sqlite://host/curae.db",
        "sqlite:///file:curae.db?uri=maybe",
        " sqlite:///curae.db",
        "SQLITE:///curae.db",
        "postgresql:curae",
        "mariadb://localhost/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&uri=true",
        "curae.db",
        "",
        "postgresql://localhost:99999/x",
        "postgresql://user:with#hash@localhost/x",
        "postgresql://[::1/x",
    ],
)
def test_unsupported_django_database_url_raises_argument_error(url: str) -> None:
    with pytest.raises(ArgumentError, match="the URL of an SQLite file or of PostgreSQL") as caught:
        database_settings(url)
    assert caught.value.argument == "url"
    assert not url or url not in str(caught.value)
