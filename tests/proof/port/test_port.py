"""Tests of a port of the rules to JavaScript that was written from the pages and the vectors alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.docs.node import run
from tests.support.paths import ROOT

PORT: Final = Path(__file__).parent
VECTORS: Final = ROOT / "docs" / "vectors"
FLOORS: Final = {
    "access": 17,
    "app-user-id": 26,
    "attempt": 57,
    "authorization": 4,
    "authorization-header": 12,
    "binding": 26,
    "completion": 34,
    "connection": 153,
    "data-packages": 23,
    "deadline": 20,
    "ending": 8,
    "entity-tag": 9,
    "entry-path": 8,
    "exact-log": 42,
    "expiry-record": 3,
    "graduation-handoff": 4,
    "idempotency": 37,
    "idempotency-key": 24,
    "kept-response": 15,
    "life": 6,
    "merge": 49,
    "operation": 10,
    "permission": 7,
    "problem-status": 8,
    "problems": 26,
    "record-standing": 35,
    "record-upkeep": 24,
    "recovery": 21,
    "request": 14,
    "request-body": 37,
    "request-target": 19,
    "revocation-reach": 8,
    "several-limits": 10,
    "standing": 52,
    "stored-status": 35,
    "time": 30,
    "token-bucket": 72,
    "tombstone": 14,
    "tombstone-report": 2,
    "uuid": 15,
    "wire-status": 12,
}
"""How many vectors each document has at least."""


@pytest.mark.node
def test_port_gives_the_answer_of_every_vector() -> None:
    done = run(PORT, "node", "vectors.mjs", str(VECTORS))
    *differences, counted = done.stdout.splitlines()
    assert differences == [], done.stderr
    assert done.returncode == 0, done.stderr
    counts = json.loads(counted)
    assert counts.keys() == FLOORS.keys()
    assert {name: count for name, count in counts.items() if count < FLOORS[name]} == {}
