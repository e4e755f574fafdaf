"""One worker of `benchmarks/servers.py`: the FastAPI example, or one INSERT per request.

It prints its port, serves until its standard input ends, and leaves its processor time in a file:
all of it since the first request, and what of it went through the library.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "examples")]

import service  # noqa: E402 - found by the line above
import sqlalchemy as sa  # noqa: E402 - as above
import store  # noqa: E402 - as above
import uvicorn  # noqa: E402 - as above
from fastapi import FastAPI, Response  # noqa: E402 - as above
from sqlalchemy.ext.asyncio import create_async_engine  # noqa: E402 - as above

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

SPENT = {"rules": 0.0, "values": 0.0, "begun": 0.0}


def timed(work: Callable[Given, Answer], what: str) -> Callable[Given, Answer]:
    """The same function, its processor time added up under a name."""

    def run(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        begun = time.thread_time()
        SPENT["begun"] = SPENT["begun"] or begun
        try:
            return work(*args, **kwargs)
        finally:
            SPENT[what] += time.thread_time() - begun

    return run


def bare() -> FastAPI:
    """A route that stores its body in one statement."""
    engine = create_async_engine(service.DATABASE_URL)
    rows = sa.Table("bare", sa.MetaData(), sa.Column("body", sa.Text))
    app = FastAPI()

    @app.post("/{path:path}", status_code=201)
    async def insert(path: str, body: dict[str, object]) -> Response:
        SPENT["begun"] = SPENT["begun"] or time.thread_time()
        async with engine.begin() as connection:
            await connection.execute(sa.insert(rows).values(body=path + json.dumps(body)))
        return Response('{"connection": {"id": ""}}', 201, media_type="application/json")

    made = sa.create_engine(service.DATABASE_URL)
    rows.metadata.create_all(made)
    made.dispose()
    return app


def main(how: str, file: str) -> None:
    """Serve, and say at the end what it took."""
    for name in ("bearer", "read", "needs", "decide", "respond"):
        setattr(service, name, timed(getattr(service, name), "rules"))
    for name in ("format_value", "parse_value"):
        setattr(store, name, timed(getattr(store, name), "values"))
    if how == "bare":
        app = bare()
    else:
        import fastapi_app  # noqa: PLC0415 - it connects to the database

        app = fastapi_app.app
    # Whoever imports the stores before their functions are timed, times nothing.
    from tests.wire.serve import listen  # noqa: PLC0415

    listening = listen(0)
    print(listening.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))

    def end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run(sockets=[listening])
    spent = {**SPENT, "all": time.thread_time() - SPENT["begun"]}
    Path(file).write_text(json.dumps(spent))


if __name__ == "__main__":
    main(*sys.argv[1:])
