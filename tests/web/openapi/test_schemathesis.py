"""The served API, tested by Schemathesis with the configuration of `docs/conformance.md`."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from curae_lifecycle.testing.conformance import ApiKeyRequest
from tests.docs.blocks import files_on
from tests.support.paths import ROOT
from tests.support.wire.running import Behind, engine_of, running_server, sqlite

DOCUMENT = ROOT / "docs" / "openapi.json"
CONFIG = files_on(ROOT / "docs" / "conformance.md", "toml")
ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"


@pytest.mark.heavy
def test_served_api_passes_schemathesis_on_the_examples(tmp_path: Path) -> None:
    status, report = run(tmp_path, DOCUMENT, examples=1, phases="examples")
    assert status == 0, report


@pytest.mark.heavy
def test_served_api_passes_schemathesis_on_hundreds_of_requests(tmp_path: Path) -> None:
    check(tmp_path, examples=60, cases=500)


@pytest.mark.heavy
def test_schemathesis_reports_a_renamed_member_in_the_document(tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    right = DOCUMENT.read_text(encoding="utf-8")
    assert '"lifecycleState"' in right
    document.write_text(right.replace('"lifecycleState"', '"state"'), encoding="utf-8")
    status, report = run(tmp_path, document, examples=1, phases="examples")
    assert status == 1, report
    assert "lifecycleState" in report


FAILING = """
from hypothesis import given, settings, strategies


@settings(database=None, derandomize=True)
@given(strategies.integers())
def test_every_integer_is_below_ten(number):
    assert number < 10
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("options", "printed"), [((), "number=,"), (("-p", "no:schemathesis"), "number=10,")]
)
def test_schemathesis_plugin_hides_values_of_a_failing_example(
    tmp_path: Path, options: tuple[str, ...], printed: str
) -> None:
    (tmp_path / "test_small.py").write_text(FAILING, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_small.py"]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stderr
    assert printed in done.stdout


def test_docs_page_shows_the_schemathesis_configuration_in_use() -> None:
    assert CONFIG.keys() == {"schemathesis.toml"}
    checks = tomllib.loads(CONFIG["schemathesis.toml"])["checks"]
    assert checks == {
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "304", "404", "409", "422", "429"]
        },
        "unsupported_method": {"enabled": False},
    }


PHASES = "examples,coverage,fuzzing,stateful"


def run(directory: Path, document: Path, *, examples: int, phases: str) -> tuple[int, str]:
    """Run Schemathesis and return its exit status and its report."""
    for name, text in CONFIG.items():
        (directory / name).write_text(text, encoding="utf-8")
    url = sqlite(directory)
    with running_server("fastapi", url, directory) as server, engine_of(url) as engine:
        api_key = Behind(server.control, engine).make_key(ApiKeyRequest("app-1", ACCOUNT))
        asked = [
            *(str(document), f"--url=http://127.0.0.1:{server.port}"),
            f"--header=Authorization: Bearer {api_key}",
            *(f"--max-examples={examples}", f"--phases={phases}"),
            *("--seed=1", "--generation-deterministic", "--no-color"),
            # Speed depends on the machine.
            *("--suppress-health-check=too_slow", "--request-timeout=60"),
        ]
        ended = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", *asked],
            check=False,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert "a request failed" not in server.log.read_text()
    assert str(directory / "schemathesis.toml") in ended.stdout
    return ended.returncode, ended.stdout + ended.stderr


def check(directory: Path, *, examples: int, cases: int) -> None:
    status, report = run(directory, DOCUMENT, examples=examples, phases=PHASES)
    assert status == 0, report
    assert "Tested: 7" in report, report
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert re.search(rf"✅ {phase}", report), report
    followed = re.search(r"API Links: +(\d+) covered", report)
    assert followed is not None, report
    assert int(followed[1]) > 0, report
    sent = re.search(r"(\d+) generated", report)
    assert sent is not None, report
    assert int(sent[1]) >= cases, report
