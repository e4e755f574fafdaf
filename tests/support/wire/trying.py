"""Runs of an example and of the requests that it prints."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.support.paths import ROOT
from tests.support.ports import free_port, wait_for
from tests.support.wire.running import said

EXAMPLES: Final = ROOT / "docs" / "examples"
PATIENCE: Final = 60
"""Seconds after which a silent program counts as dead."""

_IS_LATE: Final = re.compile(r'"attempt \d+: no answer within [\d.]+ seconds"')
"""The log message of an example on a slow machine; it retries."""

Send = Callable[[str], tuple[int, str]]
"""A function that runs a printed line, and returns the status and body of the response."""


@contextmanager
def started(app: str, directory: Path) -> Iterator[list[str]]:
    """Run an example within the block; yield the command lines that it prints."""
    port = free_port()
    given = {"PORT": str(port), "PYTHONPATH": str(ROOT)}
    left_out = {"DATABASE_URL", "PUBLIC_URL", "REDIS_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    log = directory / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{app}.py")],
            cwd=directory,
            env={**inherited, **given},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        printed = ""
        # The text ends with the third line to try.
        while printed.count("curl ") < 3 or printed.endswith("\\\n"):
            line = process.stdout.readline()
            assert line, f"{app} did not start:\n{log.read_text()}"
            printed += line
        wait_for(port, lambda: process.poll() is None)
        yield re.findall(r"^  (curl (?:.*\\\n)*.*)$", printed, re.MULTILINE)
        assert [line for line in said(log) if not _IS_LATE.search(line)] == []
    finally:
        process.terminate()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


def send_parsed(line: str) -> tuple[int, str]:
    """Do what `curl` does with the few options of the lines."""
    words = shlex.split(line.replace("\\\n", ""))[1:]
    method, headers, body, url = "GET", {}, "", ""
    while words:
        match words.pop(0):
            case "-s":
                pass
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop(0)
            case word:
                assert not word.startswith("-"), word
                url = word
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.request(method, url.partition(parts.netloc)[2], body, headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def send_printed(settings: Path) -> Send:
    """Run the line as printed; a curl setting shows the status."""
    assert shutil.which("curl"), "curl is not installed"
    (settings / ".curlrc").write_text('write-out = "\\n%{http_code}"\n')

    def send(line: str) -> tuple[int, str]:
        said = subprocess.run(
            ["/bin/sh", "-c", line],
            capture_output=True,
            check=True,
            env={**os.environ, "CURL_HOME": str(settings)},
            text=True,
            timeout=PATIENCE,
        )
        body, _, status = said.stdout.rpartition("\n")
        return int(status), body

    return send


def walk(app: str, directory: Path, send: Send) -> None:
    """Follow the text: send, send again, finish in a browser, and read the result."""
    with started(app, directory) as (initiate, create, state):
        first = send(initiate)
        assert first[0] == 201, first
        assert send(initiate) == first
        created = send(create)
        assert created[0] == 201, created
        assert send(create) == created
        assert send(state) == (200, '{"lifecycleState":"UNLINKED"}')
        for answer in (first, created):
            url = json.loads(answer[1])["nextAction"]["url"]
            page = send(f"curl -s {url}")
            assert page[0] == 200
            assert 'id="finish"' in page[1]
            assert send(f"curl -s -X POST {url}/finish")[0] == 403
            (token,) = re.findall('name="token" value="(.*)"', page[1])
            assert send(f"curl -s -X POST {url}/finish -d token={token}")[0] == 200
        assert send(state) == (200, '{"lifecycleState":"ACTIVE"}')
        key = next(word for word in shlex.split(state) if word.startswith("Authorization"))
        connection_id = json.loads(created[1])["connection"]["id"]
        base = state[state.index("http") : state.index("curae-connect")]
        shown = send(f"curl -s {base}connections/{connection_id} -H '{key}'")
        assert json.loads(shown[1])["connection"]["status"] == "ACTIVE"
    assert (directory / "curae.db").exists()
