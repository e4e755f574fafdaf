"""Tests of the pytest plugin: three lines of a `conftest.py` give a named test per check."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.testing.conformance import CHECKS
from curae_lifecycle.testing.conformance.pytest_plugin import collect_checks
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")

SERVER = """
from contextlib import asynccontextmanager, contextmanager

import attrs

from curae_lifecycle import MemoryStore
from curae_lifecycle.testing.conformance import AsyncServer, Response
from curae_lifecycle.testing.conformance.store_server import server_for_store


def make_server():
    return attrs.evolve(server_for_store(MemoryStore()), environment=None, race_rounds=None)


@contextmanager
def server_in_context():
    yield make_server()
    print("closed")


def make_async():
    server = make_server()

    async def send(request):
        return server.send(request)

    async def make_key(wanted):
        return server.make_key(wanted)

    return AsyncServer(send, make_key)


@asynccontextmanager
async def async_in_context():
    yield make_async()


def make_broken():
    def send(request):
        raise ConnectionRefusedError(111, "down")

    return attrs.evolve(make_server(), send=send)


def make_lost_once():
    server = make_server()
    lost = []

    def send(request):
        if not lost:
            lost.append(request)
            raise ConnectionRefusedError(111, "down")
        return server.send(request)

    return attrs.evolve(server, send=send)


def make_broken_async():
    async def send(request):
        raise ConnectionRefusedError(111, "down")

    return AsyncServer(send, make_async().make_key)


broken, broken_async = make_broken(), make_broken_async()


@contextmanager
def broken_in_context():
    yield broken


@asynccontextmanager
async def broken_async_in_context():
    yield broken_async


made = []


def make_broken_first():
    made.append(make_server() if made else make_broken())
    return made[-1]


def make_wrong():
    server = make_server()

    def send(request):
        answer = server.send(request)
        return attrs.evolve(answer, status=200) if answer.status == 404 else answer

    return attrs.evolve(server, send=send)
"""

CONFTEST = """
from curae_lifecycle.testing.conformance.pytest_plugin import collect_checks
from my_server import {name}

pytest_collect_file = collect_checks(__file__, {name})
"""

FIXTURE = """
import pytest
from curae_lifecycle.testing.conformance.pytest_plugin import collect_checks
from my_server import {name}

@pytest.fixture(scope="session")
def server():
    return {name}()

pytest_collect_file = collect_checks(__file__, "server")
"""


PLAIN = ("-p", "no:cacheprovider", "-p", "no:schemathesis")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty directory, and forget the modules that pytest imports from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = sys.modules.copy()
    yield tmp_path
    for name in sys.modules.keys() - known.keys():
        where = getattr(sys.modules[name], "__file__", None)
        if where is not None and Path(where).is_relative_to(tmp_path):
            del sys.modules[name]


def write_files(directory: Path, conftest: str, files: Mapping[str, str]) -> None:
    (directory / "my_server.py").write_text(SERVER, encoding="utf-8")
    (directory / "conftest.py").write_text(conftest, encoding="utf-8")
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")


def run_pytest(
    directory: Path, conftest: str, *options: str, files: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run pytest with this `conftest.py` in this process, and return its status and output."""
    write_files(directory, conftest, files or {})
    told = StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        status = pytest.main([*PLAIN, *options])
    return int(status), told.getvalue()


def counts(told: str) -> dict[str, int]:
    """Return the numbers in the last line of pytest."""
    last = told.rstrip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last)}


def test_conformance_docs_page_shows_the_three_conftest_lines() -> None:
    (shown,) = re.findall(r"^```py\n(from .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = CONFTEST.format(name="my_server").replace("from my_server ", "from my_app.testing ")
    assert shown == lines.lstrip()


@pytest.mark.slow
def test_three_conftest_lines_collect_every_kit_check_by_name(tmp_path: Path) -> None:
    conftest = CONFTEST.format(name="make_server")
    assert len([line for line in conftest.splitlines() if line]) == 3
    status, told = run_pytest(tmp_path, conftest, "--collect-only", "-q")
    assert status == 0, told
    names = re.findall(r"^conftest\.py::(\S+)$", told, re.MULTILINE)
    assert names == [each.name for each in CHECKS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conftest", "name"),
    [
        (CONFTEST, "make_server"),
        (CONFTEST, "server_in_context"),
        (CONFTEST, "make_async"),
        (CONFTEST, "async_in_context"),
        (FIXTURE, "make_server"),
        (FIXTURE, "make_async"),
    ],
)
def test_pytest_kit_accepts_a_server_function_or_fixture(
    tmp_path: Path, conftest: str, name: str
) -> None:
    status, told = run_pytest(
        tmp_path, conftest.format(name=name), "-k", "registration or limit.at-once"
    )
    assert status == 0, told
    ended = counts(told)
    assert ended["passed"] + ended.get("skipped", 0) == 5


@pytest.mark.slow
def test_one_kit_check_runs_by_its_pytest_node_id(tmp_path: Path) -> None:
    conftest = CONFTEST.format(name="make_server")
    status, told = run_pytest(tmp_path, conftest, "conftest.py::request.limit", "-v")
    assert status == 0, told
    assert "conftest.py::request.limit PASSED" in told
    assert counts(told)["passed"] == 1


@pytest.mark.slow
def test_kit_check_not_run_is_skipped_in_pytest_with_its_reason(tmp_path: Path) -> None:
    status, told = run_pytest(
        tmp_path, CONFTEST.format(name="make_server"), "-rs", "-k", "wrong-environment"
    )
    assert status == 0, told
    assert "not run: needs environment" in told


@pytest.mark.slow
def test_pytest_kit_failure_shows_its_message_without_traceback(tmp_path: Path) -> None:
    status, told = run_pytest(tmp_path, CONFTEST.format(name="make_wrong"), "-k", "ownership")
    assert status == 1, told
    assert "the server answered 200 NOT_FOUND instead of 404 NOT_FOUND" in told
    assert "Traceback" not in told
    assert "FAILED conftest.py::request.ownership" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conftest", "name"),
    [
        (FIXTURE, "make_broken"),
        (FIXTURE, "make_broken_async"),
        (CONFTEST, "broken_in_context"),
        (CONFTEST, "broken_async_in_context"),
    ],
)
def test_server_that_is_down_fails_one_pytest_kit_test(
    tmp_path: Path, conftest: str, name: str
) -> None:
    status, told = run_pytest(tmp_path, conftest.format(name=name), "-k", "law or page")
    assert status == 1, told
    assert counts(told)["failed"] == 1
    assert "the server is down: send raised ConnectionRefusedError" in told


@pytest.mark.slow
def test_one_connection_error_in_send_fails_one_pytest_kit_test(tmp_path: Path) -> None:
    conftest = FIXTURE.format(name="make_lost_once")
    status, told = run_pytest(tmp_path, conftest, "-k", "registration")
    assert status == 1, told
    assert (counts(told)["failed"], counts(told)["passed"]) == (1, 3)
    assert "the server is down" not in told


@pytest.mark.slow
def test_pytest_kit_makes_a_new_server_if_the_first_one_is_down(tmp_path: Path) -> None:
    conftest = CONFTEST.format(name="make_broken_first")
    status, told = run_pytest(tmp_path, conftest, "-k", "registration")
    assert status == 1, told
    assert "the server is down: send raised ConnectionRefusedError" in told
    assert (counts(told)["failed"], counts(told)["passed"]) == (1, 3)


@pytest.mark.slow
def test_pytest_with_the_kit_still_collects_other_test_files(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    files = {
        "test_zebra.py": "def test_zebra(): pass\n",
        "deeper/conftest.py": "",
        "deeper/test_deeper.py": "def test_deeper(): pass\n",
    }
    conftest = CONFTEST.format(name="make_server")
    status, told = run_pytest(tmp_path, conftest, "-k", "zebra or deeper", files=files)
    assert status == 0, told
    assert counts(told)["passed"] == 2


@pytest.mark.heavy
def test_kit_checks_run_in_several_pytest_processes(tmp_path: Path) -> None:
    write_files(tmp_path, CONFTEST.format(name="make_server"), {})
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *PLAIN, "-n", "2", "-k", "registration"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert counts(ended.stdout)["passed"] == 4


def test_collect_checks_raises_if_conftest_path_is_relative() -> None:
    with pytest.raises(ArgumentError) as raised:
        collect_checks("tests/conftest.py", "server")
    message = "conftest: must be an absolute path: the __file__ of the conftest.py"
    assert str(raised.value) == message
