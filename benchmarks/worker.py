"""One worker of `benchmarks/servers.py`: an example, or a route with one SELECT and one INSERT.

It prints its port, serves until its standard input ends, and leaves its processor time in a file:
all of it since the first request, and what of it went through the library.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "examples")]

import settings  # noqa: E402 - found by the line above
import sqlalchemy as sa  # noqa: E402 - as above
from fastapi import FastAPI, Response  # noqa: E402 - as above

from curae_lifecycle import Bucket, Settings  # noqa: E402 - as above
from curae_lifecycle.stores import request_loop  # noqa: E402 - as above
from curae_lifecycle.stores.sql import loading, storing  # noqa: E402 - as above
from curae_lifecycle.stores.sql.engine import (  # noqa: E402 - as above
    create_engine,
    create_engine_async,
)
from tests.support.wire.serve import reserve, serve_here  # noqa: E402 - as above

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

BUCKETS: Final = (Bucket(name="platform", capacity=1_000_000, refill=1_000_000, seconds=1),)
"""Never empty, so that each request charges it and none is refused."""

SPENT = {"rules": 0.0, "values": 0.0, "begun": 0.0}


def timed(work: Callable[Given, Answer], what: str) -> Callable[Given, Answer]:
    """The same function, its processor time added up under a name."""

    def run(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        SPENT["begun"] = SPENT["begun"] or time.process_time()
        begun = time.thread_time()
        try:
            return work(*args, **kwargs)
        finally:
            SPENT[what] += time.thread_time() - begun

    return run


def watch(names: MutableMapping[str, object], wanted: tuple[str, ...], what: str) -> None:
    """Add up what some functions of a module take."""
    for name in wanted:
        work = names[name]
        assert callable(work)
        names[name] = timed(work, what)


def bare() -> FastAPI:
    """A route that reads one row and stores one: as little as a server can do."""
    url, app = settings.DATABASE_URL, FastAPI()
    made = create_engine(url)
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS bare (id VARCHAR(99), body TEXT)")
    sqlite = made.dialect.name == "sqlite"
    select, insert = "SELECT body FROM bare WHERE id = ?", "INSERT INTO bare VALUES (?, ?)"
    if not sqlite:
        select, insert = select.replace("?", "%s"), insert.replace("?", "%s")
    waiting, awaited = made, None if sqlite else create_engine_async(url)

    def one_after_the_other(connection: sa.Connection, key: str, body: str) -> None:
        connection.exec_driver_sql(select, (key,)).all()
        connection.exec_driver_sql(insert, (key, body))

    def in_thread(key: str, body: str) -> None:
        with waiting.connect() as connection:
            automatic = connection.execution_options(isolation_level="AUTOCOMMIT")
            one_after_the_other(automatic, key, body)

    @app.post("/{path:path}", status_code=201)
    async def store(path: str, body: dict[str, object]) -> Response:
        SPENT["begun"] = SPENT["begun"] or time.process_time()
        text = path + json.dumps(body)
        if awaited is None:
            await asyncio.to_thread(in_thread, str(len(text)), text)
        else:
            async with awaited.connect() as connection:
                automatic = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await automatic.run_sync(one_after_the_other, str(len(text)), text)
        return Response('{"connection": {"id": ""}}', 201, media_type="application/json")

    return app


def main(how: str, buckets: str, file: str) -> None:
    """Serve, and say at the end what it took."""
    watch(request_loop.__dict__, ("bearer", "read", "decide", "respond"), "rules")
    watch(storing.__dict__, ("dump", "format_document"), "values")
    watch(loading.__dict__, ("load", "parse_json"), "values")
    if buckets == "buckets":
        settings.__dict__.update(SETTINGS=Settings(buckets=BUCKETS))
    app = bare() if how == "bare" else importlib.import_module(f"{how}_app").served
    if how != "bare":
        importlib.import_module("demo").prepare()

    def end() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    with reserve(0) as held:
        port = held.getsockname()[1]
        asyncio.run(serve_here(app, port, lambda: print(port, flush=True)))
    spent = {**SPENT, "all": time.process_time() - SPENT["begun"]}
    Path(file).write_text(json.dumps(spent))


if __name__ == "__main__":
    main(*sys.argv[1:])
