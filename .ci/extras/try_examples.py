"""The extra `examples`: each example starts, and is ready."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from socket import socket
from urllib.error import URLError

EXAMPLES = Path(os.environ["TREE"], "docs/examples")


def start(name: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start an example, and return its process and its port."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    environment = os.environ | {"PORT": str(port), "DATABASE_URL": f"sqlite:///{name}.db"}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL), port


def status_at(port: int) -> int | None:
    """Return the status of the readiness check, or None if the server never answers."""
    for _ in range(300):
        with suppress(URLError, ConnectionError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                status: int = answer.status
            return status
        time.sleep(0.1)
    return None


for name in ("asgi_app", "django_app", "fastapi_app", "flask_app"):
    server, port = start(name)
    status = status_at(port)
    server.send_signal(signal.SIGTERM)
    ended = server.wait(60)
    assert (status, ended) == (200, 0), (name, status, ended)
