"""Tests that every check ends with a readable message, whatever a server answers."""

from __future__ import annotations

import json
import re
from random import Random

import attrs
import pytest

from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.testing.conformance import CHECKS, Request, Response, run
from tests.support.kit import Reference

PYTHON = re.compile(r"frozenset\(|\bset\(|<\w+\.\w+: |datetime\.|(is|of) (None|True|\{')")
"""Python notation, which no message may contain."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "runs", "finds"),
    [
        (1.0, 1, 200),
        (0.3, 1, 150),
        pytest.param(1.0, 2, 220, marks=pytest.mark.heavy),
        pytest.param(0.3, 3, 210, marks=pytest.mark.heavy),
        pytest.param(0.05, 12, 200, marks=pytest.mark.heavy),
    ],
)
def test_garbled_responses_fail_kit_checks_with_clear_messages(
    rate: float, runs: int, finds: int
) -> None:
    found: set[str] = set()
    names = [check.name for check in CHECKS if check.name != "model.side-by-side"]
    for number in range(runs):
        garbled = Garbled(f"{rate} {number}", rate)
        report = run(garbled.server(), seed=str(number), only=names)
        assert len(report.passed) + len(report.failed) + len(report.not_run) == len(names)
        assert garbled.wrong
        for failure in report.failed:
            assert "could not be judged" not in failure.message, failure.message
            assert f"check: {failure.check}: " in failure.message
            assert PYTHON.search(failure.message) is None, failure.message
        found |= {failure.check for failure in report.failed}
    assert len(found) > finds


class Garbled(Reference):
    """A server that corrupts some answers and facts, chosen by a seed."""

    def __init__(self, seed: str, rate: float) -> None:
        super().__init__()
        self.random = Random(seed)  # noqa: S311 - a test's choices, not secrets
        self.rate = rate
        self.wrong = 0

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if self.random.random() >= self.rate:
            return answer
        self.wrong += 1
        return self.garble(answer)

    def record(self, fact: Fact) -> str:
        if self.random.random() >= self.rate:
            return super().record(fact)
        self.wrong += 1
        return self.random.choice(("done", "ignored", "BINDING_CHANGED", "NONSENSE"))

    def may_read(self, connection_id: str, package: str) -> bool:
        return super().may_read(connection_id, package) is (self.random.random() >= self.rate)

    def garble(self, answer: Response) -> Response:
        draw = self.random
        kind = draw.randrange(8)
        if kind == 0:
            return attrs.evolve(answer, status=draw.choice((200, 201, 304, 404, 409, 429, 500)))
        if kind == 1:
            return attrs.evolve(answer, body=draw.choice((b"", b"{", b"[]", b"7", b"{}", b"\xff")))
        if kind == 2:
            name, value = draw.choice((*answer.headers, ("x-odd", "1")))
            changed = draw.choice(((), ((name, value + "0"),), ((name, value), (name, value))))
            kept = tuple(pair for pair in answer.headers if pair[0] != name)
            return attrs.evolve(answer, headers=kept + changed)
        try:
            body = json.loads(answer.body)
        except ValueError:
            return answer
        holder = draw.choice([body, *(value for value in body.values() if isinstance(value, dict))])
        if not holder:
            return answer
        member = draw.choice(sorted(holder))
        if kind == 3:
            del holder[member]
        elif kind == 4:
            holder["unlisted"] = "cae_live_1"
        else:
            holder[member] = draw.choice(ODD)
        return attrs.evolve(answer, body=json.dumps(body).encode())


ODD: tuple[object, ...] = (
    *(None, True, False, 0, "", "x", [], {}, 1e400),
    *("PENDING", "REVOKED", "2026-01-05T09:00:00Z"),
)
