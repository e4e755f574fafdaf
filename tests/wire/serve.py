"""Run an example as its users do, but with a clock that the tests can move.

`python -m tests.wire.serve APP CLOCK` serves `docs/examples/APP_app.py` on a free port of
127.0.0.1 and prints the port. CLOCK is a file that holds how far its clock is ahead, in
microseconds.
"""

from __future__ import annotations

import importlib
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

if TYPE_CHECKING:
    import service
else:
    sys.path.insert(0, str(EXAMPLES))
    service = importlib.import_module("service")


def main(app: str, clock: str) -> None:
    ahead = Path(clock)

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(microseconds=int(ahead.read_text()))  # noqa: TID251

    service.now = now
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    service.PUBLIC_URL = f"http://127.0.0.1:{port}"
    module = importlib.import_module(f"{app}_app")
    print(port, flush=True)  # noqa: T201 - whoever started this reads it
    match app:
        case "flask" | "django":
            import waitress  # noqa: PLC0415 - only where it is served by it

            waitress.serve(module.app, sockets=[listening], threads=8)
        case _:
            import uvicorn  # noqa: PLC0415 - the same

            config = uvicorn.Config(module.app, log_level="warning")
            uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
