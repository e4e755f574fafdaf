"""Tests of the call in the platform's reference, run against each example as the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from curae_lifecycle.service.json_schema import Json
from tests.support.paths import ROOT
from tests.support.wire.trying import PATIENCE, started

PAGE: Final = (
    (ROOT / "docs" / "clients.md").read_text(encoding="utf-8").partition("\n## TypeScript\n")[0]
)
PRINTED, START, BEFORE, CALL = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

LOCAL: Final = "http://127.0.0.1:8000"
REFERENCE: Final = (
    'curl -X POST "https://example.com/api/sdk/v1/connections/'
    '497f6eca-6276-4993-bfeb-53cbbbba6f08:reconnect" '
    '-H "Idempotency-Key: string" -H "Content-Type: application/json" -d \'{}\''
)
"""The call of the reference, on one line."""


def joined(text: str) -> str:
    return " ".join(text.replace("\\\n", " ").split())


def test_curl_call_equals_reference_but_for_host_id_and_api_key() -> None:
    assert joined(PRINTED) == REFERENCE
    changed = (
        CALL.replace(LOCAL, "https://example.com")
        .replace("${id}", "497f6eca-6276-4993-bfeb-53cbbbba6f08")
        .replace('  -H "$key" \\\n', "")
    )
    assert changed == PRINTED


def test_curl_docs_page_starts_an_existing_server_file() -> None:
    command, file = START.split()
    assert command == "python"
    assert (ROOT / file).is_file()


def names(value: Json) -> Json:
    """Return the members of a response, in their order."""
    if isinstance(value, dict):
        return [[name, names(held)] for name, held in value.items()]
    return None


@pytest.mark.heavy
@pytest.mark.parametrize("app", ["fastapi_app", "flask_app", "django_app", "asgi_app"])
def test_curl_call_of_the_docs_page_gives_201_and_is_replayed(app: str, tmp_path: Path) -> None:
    assert shutil.which("curl"), "curl is not installed"
    (tmp_path / ".curlrc").write_text('no-progress-meter\nwrite-out = "%{stderr}%{http_code}\\n"\n')
    with started(app, tmp_path) as (initiate, *_):
        (base,) = re.findall(r"(http://\S+?)/api/", initiate)
        script = f"{BEFORE}\n{CALL}\necho\n{CALL}".replace(LOCAL, base)
        done = subprocess.run(
            ["/bin/sh", "-euc", script],
            capture_output=True,
            check=True,
            env={**os.environ, "CURL_HOME": str(tmp_path)},
            text=True,
            timeout=PATIENCE,
        )
    assert done.stderr.split() == ["201", "200", "201", "201"]
    first, again = done.stdout.splitlines()
    assert again == first
    (example,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    answer, shown = json.loads(first), json.loads(example)
    assert names(answer) == names(shown)
    assert answer["connection"]["status"] == shown["connection"]["status"]
    assert answer["connection"]["dataPackages"] == shown["connection"]["dataPackages"]
    assert answer["nextAction"]["type"] == shown["nextAction"]["type"]
    empty = {name for name, value in answer["connection"].items() if value is None}
    assert empty == {"authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"}
