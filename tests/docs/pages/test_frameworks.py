"""Tests of the programs on `docs/frameworks.md`: each serves exactly the endpoint's responses."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Final

import pytest

from curae_lifecycle.cli import main as command_line
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import BODY_MAX, Request
from tests.docs.pages import fixed_api
from tests.support.not_modified import headers_of_304
from tests.support.paths import ROOT
from tests.support.ports import free_port, wait_for
from tests.support.server import API_KEY, BASE
from tests.support.wire.running import send

PAGE: Final = (
    (ROOT / "docs/frameworks.md")
    .read_text(encoding="utf-8")
    .partition("\n## An existing Django project\n")[0]
)
API, SERVE, *_ = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS: Final[dict[str, str]] = dict(
    re.findall(r"^### (\w+)\n(?:.*\n)*?```python\n((?:.*\n)*?)```", PAGE, re.MULTILINE)
)
PATIENCE: Final = 60
"""Seconds after which a silent server counts as dead."""


def test_frameworks_docs_page_has_a_program_for_each_framework() -> None:
    names = {"FastAPI", "Starlette", "Litestar", "Falcon", "Sanic", "aiohttp", "Flask", "Django"}
    assert PROGRAMS.keys() == names
    assert PAGE.count("```python\n") == 2 + len(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_framework_program_has_at_most_15_lines_without_imports(name: str) -> None:
    compile(PROGRAMS[name], name, "exec")
    lines = [line for line in PROGRAMS[name].splitlines() if line]
    assert len([line for line in lines if not line.startswith(("from ", "import "))]) <= 15


@pytest.mark.slow
def test_frameworks_docs_page_endpoints_serve_a_new_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^python -m curae_lifecycle (.*)$", PAGE, re.MULTILINE)
    assert command_line.main(command.split()) == 0
    capsys.readouterr()
    (tmp_path / "program.py").write_text(API + USE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-W", "error", "program.py"]
    done = subprocess.run(run, capture_output=True, check=True, env=environment, text=True)
    assert json.loads(done.stdout) == [[200, 401], [200, 401]]


USE: Final = """
import asyncio, json
from curae_lifecycle import Request

asked = [Request("GET", "/readyz"), Request("GET", "/")]
direct = [endpoint(each).status for each in asked]

async def awaited():
    return [(await async_endpoint(each)).status for each in asked]

print(json.dumps([direct, asyncio.run(awaited())]))
"""


# --- The programs, served -----------------------------------------------------------------------

CREATE: Final = b'{"appUserId":"ada","dataPackages":["labs"]}'
CONNECTIONS: Final = f"{BASE}/connections"
STATE: Final = f"{BASE}/curae-connect/account-state?appUserId=ada"
AUTHORIZED: Final = ("Authorization", f"Bearer {API_KEY}")


def ask(method: str, target: str, body: bytes = b"", *headers: tuple[str, str]) -> Request:
    # The response repeats this id; without one it would have a random id.
    named = (*headers, ("X-Request-Id", "0123456789abcdef"))
    return Request(method=method, target=target, headers=named, body=body)


def create(key: str, body: bytes = CREATE, *headers: tuple[str, str]) -> Request:
    return ask("POST", CONNECTIONS, body, AUTHORIZED, ("Idempotency-Key", key), *headers)


def raw(target: str) -> str:
    # The text that an endpoint gets if the client sends UTF-8 unescaped.
    return target.encode().decode("latin-1")


REQUESTS: Final = {
    "create": create("k-1"),
    "replay": create("k-1"),
    "other body under the key": create("k-1", CREATE.replace(b"ada", b"bob")),
    "no API key": ask("GET", STATE),
    "unknown path": ask("GET", "/nowhere?x=1", b"", AUTHORIZED),
    "root": ask("GET", "/", b"", AUTHORIZED),
    "whole URL": ask("GET", f"http://h.example{STATE}", b"", AUTHORIZED),
    "no path": ask("OPTIONS", "*", b"", AUTHORIZED),
    "trailing slash": ask("GET", f"{CONNECTIONS}/", b"", AUTHORIZED),
    "double slash": ask("GET", f"/{CONNECTIONS}", b"", AUTHORIZED),
    "dots": ask("GET", f"{CONNECTIONS}/a/../b;c", b"", AUTHORIZED),
    "escapes": ask("GET", f"{CONNECTIONS}/%2f..%2F%41", b"", AUTHORIZED),
    "no UTF-8": ask("GET", f"{CONNECTIONS}/%ff", b"", AUTHORIZED),
    "strange query": ask("GET", f"{STATE}&x=%20+%zz", b"", AUTHORIZED),
    "one byte too long": create("k-2", b"x" * (BODY_MAX + 1)),
    "3 MB": create("k-2", b"x" * 3_000_000),
    "broken body": create("k-2", CREATE[:-1]),
    "repeated key": create("k-3", CREATE, ("Idempotency-Key", "k-4")),
    "repeated authorization": create("k-3", CREATE, AUTHORIZED),
    "repeated tags": ask(
        "GET",
        STATE,
        b"",
        AUTHORIZED,
        ("If-None-Match", '"x"'),
        ("If-None-Match", '"account-unlinked"'),
    ),
    "comma in the key": create("k-3,k-4"),
    "key in Latin-1": create("k\xe9"),
    "read": ask("GET", STATE, b"", AUTHORIZED),
    "read with a body": ask("GET", STATE, CREATE, AUTHORIZED),
    "HEAD": ask("HEAD", STATE, b"", AUTHORIZED),
    "DELETE": ask("DELETE", CONNECTIONS, b"", AUTHORIZED),
    "TRACE": ask("TRACE", CONNECTIONS, b"", AUTHORIZED),
    "unknown method": ask("BREW", CONNECTIONS, CREATE, AUTHORIZED),
    "method in lower case": ask("get", STATE, b"", AUTHORIZED),
    "health": ask("GET", "/readyz"),
    "not really gzip": create("k-5", CREATE, ("Content-Encoding", "gzip")),
    "form": create("k-6", CREATE, ("Content-Type", "application/x-www-form-urlencoded")),
    "parts": create("k-7", CREATE, ("Content-Type", "multipart/form-data; boundary=x")),
    "cookie": create("k-8", CREATE, ("Cookie", "a=b; c")),
    "other method in a header": create("k-9", CREATE, ("X-HTTP-Method-Override", "DELETE")),
}
"""Requests in order, each under what is special about it."""

RAW: Final = {
    "raw path": ask("GET", raw(f"{CONNECTIONS}/\xe9"), b"", AUTHORIZED),
    "raw query": ask("GET", raw(f"{STATE}\xe9"), b"", AUTHORIZED),
    "no slash": ask("GET", "nowhere", b"", AUTHORIZED),
}
"""Requests whose targets are malformed, so that `http.client` does not send them."""

REFUSED_BY_PARSER: Final = {"aiohttp": ["unknown method", "method in lower case", *RAW]}
"""Requests that do not reach the program, since the server software refuses them with a 400."""

FIXED_API: Final = "from tests.docs.pages.fixed_api import async_endpoint, endpoint\n"

OF_THE_SERVER: Final = {"connection", "content-length", "date", "server"}
"""Headers that the server software adds."""


@pytest.mark.frameworks
@pytest.mark.parametrize("name", PROGRAMS)
def test_framework_program_responds_like_a_direct_endpoint_call(name: str, tmp_path: Path) -> None:
    expected = {case: direct(request) for case, request in (REQUESTS | RAW).items()}
    statuses = {each.status for each in expected.values()}
    assert statuses == {200, 201, 304, 400, 401, 404, 422}
    with served(name, tmp_path) as port:
        seen = {
            case: send(("127.0.0.1", port), request, PATIENCE) for case, request in REQUESTS.items()
        } | {case: send_raw(port, request) for case, request in RAW.items()}
    printed = (tmp_path / "log").read_text()
    # aiohttp logs a traceback of its parser.
    assert name == "aiohttp" or "Traceback" not in printed, printed
    for case in REFUSED_BY_PARSER.get(name, []):
        assert seen.pop(case).status == HTTPStatus.BAD_REQUEST
        del expected[case]
    assert {case: sent(each) for case, each in seen.items()} == {
        case: sent(each) for case, each in expected.items()
    }


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["Litestar", "Sanic", "Django"])
def test_framework_program_sends_no_content_length_with_a_304(name: str, tmp_path: Path) -> None:
    # Granian drops it, other server software does not.
    write(tmp_path, app=PROGRAMS[name], port=0)
    assert "content-length" not in headers_of_304("app", tmp_path)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", PROGRAMS)
def test_framework_program_logs_no_path_of_a_hosted_page(name: str, tmp_path: Path) -> None:
    page, failure = ask("GET", "/pages/a-secret"), ask("GET", "/fails/a-secret")
    with served(name, tmp_path, SECRET_PAGES) as port:
        statuses = [send(("127.0.0.1", port), each, PATIENCE).status for each in (page, failure)]
    printed = (tmp_path / "log").read_text()
    assert statuses == [200, 500]
    assert '"operation": "page"' in printed
    assert "a-secret" not in printed


SECRET_PAGES: Final = """
from curae_lifecycle import MemoryStore, RandomIds, Request, Response
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.servers.log import configure_logging
from tests.support.serving import Awaited

def page(request):
    return Response(200, (), b"") if request.target.startswith("/pages/") else None

async def async_page(request):
    return page(request)

class FailingEndpoint:
    # Fails where an endpoint never does, so that the framework reports the failure.
    def __init__(self, endpoint):
        self.endpoint, self.drain = endpoint, endpoint.drain
    def __call__(self, request):
        if request.target.startswith("/fails/"):
            raise RuntimeError("on purpose")
        return self.endpoint(request)

configure_logging()
store, new_ids = MemoryStore(), RandomIds("https://connect.example/")
endpoint = FailingEndpoint(Endpoint(store, new_ids, hosted_pages=page))
async_endpoint = FailingEndpoint(
    AsyncEndpoint(Awaited(store), new_ids, hosted_pages=async_page)
)
"""


def direct(request: Request) -> Response:
    """Return the response of the endpoint itself, as a client is to get it."""
    answer = fixed_api.endpoint(request)
    # RFC 9110 allows no length in a 304 without the length that the 200 would have.
    length = () if answer.status == 304 else (("content-length", str(len(answer.body))),)
    body = b"" if request.method == "HEAD" else answer.body
    return Response(answer.status, (*answer.headers, *length), body)


def send_raw(port: int, request: Request) -> Response:
    """Send a request without a body, whatever its target."""
    lines = [f"{name}: {value}" for name, value in request.headers]
    head = [f"{request.method} {request.target} HTTP/1.1", "Host: h.example", *lines, "", ""]
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall("\r\n".join(head).encode("latin-1"))
        answer = HTTPResponse(connection)
        answer.begin()
        headers = tuple([(name.lower(), value) for name, value in answer.getheaders()])
        return Response(answer.status, headers, answer.read())


def sent(response: Response) -> tuple[int, list[tuple[str, str]], str | None, bytes]:
    """Return the status, the endpoint's headers in order, the length and the body."""
    headers = [each for each in response.headers if each[0] not in OF_THE_SERVER]
    length = dict(response.headers).get("content-length")
    return response.status, headers, length, response.body


@contextmanager
def served(name: str, directory: Path, api: str = FIXED_API) -> Iterator[int]:
    """Start a program of the page on the endpoints of `api`, and yield its port.

    The file `log` of the directory then holds what the program printed.
    """
    port = free_port()
    write(directory, app=PROGRAMS[name], port=port)
    (directory / "api.py").write_text(api)
    path = os.pathsep.join((str(ROOT), str(directory)))
    with (directory / "log").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py" if "__main__" in PROGRAMS[name] else "serve.py"],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"},
            stderr=subprocess.STDOUT,
            stdout=output,
        )
    try:
        wait_for(port, lambda: process.poll() is None)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def write(directory: Path, app: str, port: int) -> None:
    """Write the files of the page."""
    (directory / "api.py").write_text(API)
    (directory / "app.py").write_text(app.replace("port=8000", f"port={port}"))
    (directory / "serve.py").write_text(SERVE.replace("port=8000", f"port={port}"))


# --- The programs, type-checked -----------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    write(tmp_path, app=PROGRAMS["Flask"], port=8000)
    shutil.copy(ROOT / "tests/proof/programs/guarded.py", tmp_path)
    for name, program in PROGRAMS.items():
        # One name each; the package of the framework has the other one.
        (tmp_path / f"on_{name.lower()}.py").write_text(program)
    return sorted(each.name for each in tmp_path.glob("*.py"))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    "checker",
    [
        # Sanic reads a body with a method that has no types.
        ["mypy", "--strict", "--allow-untyped-calls", "--config-file=", "--no-error-summary"],
        ["pyright", "--pythonpath", sys.executable],
    ],
    ids=lambda checker: checker[0],
)
def test_framework_programs_have_no_type_errors(
    checker: list[str], files: list[str], tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(ROOT)], "typeCheckingMode": "standard"})
    )
    done = subprocess.run(
        [sys.executable, "-m", *checker, *files],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=environment,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
