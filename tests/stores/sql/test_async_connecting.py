"""Connections of async drivers are opened so that they hold nothing up."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, sys
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.statement import Statement

async def main():
    engine = create_engine_async(sys.argv[1])
    print(await AsyncSqlDatabase(engine).rows(Statement("SELECT 1")))

asyncio.run(main())
"""


def test_process_ends_though_its_connections_of_aiosqlite_are_open(sqlite_url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, sqlite_url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "[(1,)]\n")
