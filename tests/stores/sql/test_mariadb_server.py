"""Test that two MariaDB servers of the suite, one of each process, share no folder."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.support.databases.mariadb import mariadb


@pytest.mark.mariadb
def test_two_mariadb_test_servers_use_different_tmp_folders(mariadb_server: sa.URL) -> None:
    # A server that starts deletes all temporary files in its folder; their owner would crash.
    with mariadb() as another:
        folders = {_temporary_folder(mariadb_server), _temporary_folder(another)}
    assert len(folders) == 2


def _temporary_folder(server: sa.URL) -> str:
    engine = sa.create_engine(server, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT @@tmpdir").scalar_one())
