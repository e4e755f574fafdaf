"""The extra `servers`: an endpoint behind a guard, served by Granian."""

import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from socket import socket
from urllib.error import URLError

APP = """
from curae_lifecycle import MemoryStore, RandomIds
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.web.asgi_wsgi import asgi_body, asgi_headers, asgi_request

endpoint = Endpoint(MemoryStore(), RandomIds("https://connect.example/"))

async def app(scope, receive, send):
    answer = endpoint(asgi_request(scope, await asgi_body(receive) or b""))
    head = {"type": "http.response.start", "status": answer.status}
    await send(head | {"headers": asgi_headers(answer)})
    await send({"type": "http.response.body", "body": answer.body})

served = Guard(app, max_concurrent=10, drain=endpoint.drain)
"""
with socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
Path("extra_app.py").write_text(APP, encoding="utf-8")
start = f"run('extra_app:served', host='127.0.0.1', port={port}, workers=1)"
program = (
    f"import sys; sys.path.insert(0, '.'); from curae_lifecycle.servers.run import run; {start}"
)
server = subprocess.Popen([sys.executable, "-c", program])
status = 0
for _ in range(200):
    time.sleep(0.1)
    with suppress(URLError, ConnectionError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            status = answer.status
        break
server.send_signal(signal.SIGTERM)
assert server.wait(60) == 0
assert status == 200
