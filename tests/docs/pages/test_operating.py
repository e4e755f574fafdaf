"""Tests that the metrics of the operating page exist, and that its commands run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from tests.support.commands import run_page
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")


def test_metrics_of_the_operating_docs_page_exist_with_labels() -> None:
    counted = (ROOT / "docs/observing.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(curae_\w+)` \| (.*)$", counted, re.MULTILINE))
    watched = re.findall(r"^\| `(curae_\w+)`(.*?) \|", PAGE, re.MULTILINE)
    assert len(watched) >= 7
    for metric, more in watched:
        labels = re.findall(r'`(\w+)="', more)
        assert all(f"`{each}`" in rows[metric] for each in labels), metric


@pytest.mark.heavy
def test_commands_of_the_operating_docs_page_run_in_order(tmp_path: Path) -> None:
    printed = run_page(PAGE, tmp_path)
    # The withdrawn key, the listed one, and that one narrowed and withdrawn.
    assert [each.get("apiKeyId") for each in printed[:4]] == ["partner-7"] * 4
    assert [each["scopes"] for each in printed[:4]] == [[CONNECTION_WRITE]] * 2 + [[]] * 2
    assert printed[4]["code"] == "NOT_FOUND"
    # The event of the tombstone waits to be delivered.
    assert printed[5] == {"connections": 0, "sessions": 0, "waiting": 1}
    first, second = (
        json.loads((tmp_path / f"{each}.json").read_text()) for each in ("first", "second")
    )
    assert first["apiKey"] != second["apiKey"]
