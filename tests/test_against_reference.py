"""The package's `replay` beside the reference model: two readings of one specification.

Both answer the same generated traffic, line by line. Free, and so not compared: the trail of
rules, the text of errors, and a problem's `title`, `detail`, `type` and `details`. What either
side numbers by itself (ids, urls, entity tags) is matched one to one over a whole log.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from itertools import repeat
from typing import Final

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.web.json import Json
from tests.reference.model import Model
from tests.reference.traffic import traffic

SEEDS: Final = range(60)
LINES: Final = 250

FREE: Final = {"rules", "error"}
FREE_IN_BODIES: Final = {"title", "detail", "type", "details"}
NUMBERED: Final = re.compile(r"https://connect\.example/\d+|00000000-0000-4000-8000-[0-9a-f]{12}")
"""What a replay numbers where no recorded response gives it, wherever it stands."""


class OneToOne:
    """Which of the model's numbered values is which of the package's."""

    def __init__(self) -> None:
        self._forth: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def matches(self, model: str, package: str) -> bool:
        forth = self._forth.setdefault(model, package)
        return forth == package and self._back.setdefault(package, model) == model


def differences(model: Json, package: Json, pairs: OneToOne, path: str = "") -> list[str]:
    """The paths at which two answers differ."""
    if isinstance(model, dict) and isinstance(package, dict):
        free = FREE_IN_BODIES if path == "body" else FREE if path == "" else set()
        found = [f"{path}.{name}" for name in model.keys() ^ package.keys()]
        for name in (model.keys() & package.keys()) - free:
            inner = f"{path}.{name}".removeprefix(".")
            found += differences(model[name], package[name], pairs, inner)
        return found
    if isinstance(model, list) and isinstance(package, list) and len(model) == len(package):
        items = enumerate(zip(model, package, strict=True))
        return [each for n, (a, b) in items for each in differences(a, b, pairs, f"{path}.{n}")]
    if isinstance(model, str) and isinstance(package, str):
        if path == "body":
            return differences(json.loads(model), json.loads(package), pairs, path)
        if path == "headers.etag":
            return [] if pairs.matches(model, package) else [path]
        numbered = NUMBERED.findall(model), NUMBERED.findall(package)
        same = (
            NUMBERED.split(model) == NUMBERED.split(package)
            and len(numbered[0]) == len(numbered[1])
            and all(pairs.matches(a, b) for a, b in zip(*numbered, strict=True))
        )
        return [] if same else [path]
    return [] if type(model) is type(package) and model == package else [path]


def served(seed: int) -> str | None:
    """The one environment of the server that answers a seed's traffic; mostly it serves both."""
    return {6: "live", 7: "test"}.get(seed % 8)


def names_of(raw: bytes, answer: dict[str, Json]) -> list[str]:
    """What happened on a line, by name, to be counted."""
    if "error" in answer:
        return ["broken line"]
    line = json.loads(raw)
    if "request" in line:
        if answer["replayed"]:
            return ["replay"]
        status = answer["status"]
        if status in {200, 201, 304}:
            path = line["request"]["path"].partition("?")[0]
            path = re.sub(r"connections/[^/]+?(:\w+)?$", r"connections/ID\1", path)
            return [f"{line['request']['method']} {path.removeprefix('/api/sdk/v1/')} {status}"]
        return [f"{status} {json.loads(str(answer['body']))['code']}"]
    if "fact" in line:
        told = answer["code"] or answer["outcome"]
        return [f"{line['fact']['type']}: {told}"]
    if "ask" in line:
        return [f"access: {answer['reason'] or 'granted'}"]
    return ["register" if "register" in line else "buckets"]


@attrs.frozen
class Run:
    """One log, answered twice."""

    difference: str | None
    counts: Counter[str]


@cache
def run(seed: int) -> Run:
    """Answer a seed's traffic with both, up to the first difference."""
    environment = served(seed)
    model, pairs, counts = Model(environment), OneToOne(), Counter[str]()
    lines = traffic(seed, LINES)
    assert len(lines) == LINES
    answers = replay(lines, environment=Environment(environment) if environment else None)
    for number, (raw, replayed) in enumerate(zip(lines, answers, strict=True), 1):
        expected: dict[str, Json] = json.loads(json.dumps(model.line(raw, number)))
        found = differences(expected, replayed.answer, pairs)
        if found:
            told = f"seed {seed}, line {number}, at {', '.join(found)}\n  line:    {raw.decode()}"
            return Run(f"{told}\n  model:   {expected}\n  package: {replayed.answer}", counts)
        counts.update(names_of(raw, replayed.answer))
    return Run(None, counts)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_package_answers_as_the_reference_does(seed: int) -> None:
    difference = run(seed).difference
    assert difference is None, difference


AT_LEAST: Final = {
    "400 BAD_REQUEST": 300,
    "400 IDEMPOTENCY_KEY_INVALID": 30,
    "400 IDEMPOTENCY_KEY_NOT_ALLOWED": 10,
    "400 IDEMPOTENCY_KEY_REQUIRED": 10,
    "401 UNAUTHENTICATED": 30,
    "403 SCOPE_INSUFFICIENT": 80,
    "403 WRONG_ENVIRONMENT": 300,
    "404 NOT_FOUND": 100,
    "409 BINDING_NOT_LIMITED": 80,
    "409 CONNECTION_NOT_RECONNECTABLE": 90,
    "409 CONNECTION_SUPERSEDED": 60,
    "422 IDEMPOTENCY_KEY_REUSED": 50,
    "429 RATE_LIMITED": 200,
    "GET connections/ID 200": 500,
    "GET curae-connect/account-state 200": 300,
    "GET curae-connect/account-state 304": 50,
    "POST connections 201": 400,
    "POST connections/ID:reconnect 201": 200,
    "POST connections/ID:revoke 200": 70,
    "POST curae-connect/graduation-handoff 201": 80,
    "POST curae-connect/initiate 201": 700,
    "access: ACTION_REQUIRED": 20,
    "access: EXPIRED": 100,
    "access: LAPSED": 70,
    "access: PACKAGE_NOT_GRANTED": 60,
    "access: PENDING": 30,
    "access: REVOKED": 90,
    "access: granted": 10,
    "binding.graduate: BINDING_CHANGED": 70,
    "binding.graduate: BINDING_CONFLICT": 30,
    "binding.graduate: done": 30,
    "binding.graduate: ignored": 10,
    "binding.tombstone: done": 30,
    "binding.tombstone: ignored": 40,
    "broken line": 1100,
    "buckets": 100,
    "connection.authorize: CONNECTION_NOT_PENDING": 30,
    "connection.authorize: CONNECTION_SUPERSEDED": 90,
    "connection.authorize: HANDOFF_LAPSED": 20,
    "connection.authorize: NOT_FOUND": 60,
    "connection.authorize: done": 100,
    "connection.authorize: ignored": 5,
    "connection.expire: NOT_FOUND": 10,
    "connection.expire: done": 40,
    "connection.expire: ignored": 40,
    "connection.require_action: NOT_FOUND": 20,
    "connection.require_action: done": 40,
    "connection.require_action: ignored": 50,
    "connection.revoke: NOT_FOUND": 30,
    "connection.revoke: done": 100,
    "connection.revoke: ignored": 20,
    "handoff.complete: BINDING_CHANGED": 20,
    "handoff.complete: BINDING_CONFLICT": 30,
    "handoff.complete: HANDOFF_NOT_REQUIRED": 80,
    "handoff.complete: NOT_FOUND": 30,
    "handoff.complete: SESSION_EXPIRED": 20,
    "handoff.complete: done": 40,
    "handoff.complete: ignored": 20,
    "register": 200,
    "replay": 200,
}
"""Everything that can happen on a line, and about half of how often it does."""


def test_the_traffic_reaches_every_operation_problem_and_outcome() -> None:
    counts = sum((run(seed).counts for seed in SEEDS), Counter[str]())
    assert counts.keys() == AT_LEAST.keys()
    assert {name: counts[name] for name, least in AT_LEAST.items() if counts[name] < least} == {}


@pytest.mark.parametrize(
    ("model", "package", "found"),
    [
        ({"status": 200}, {"status": 200}, []),
        ({"status": 200}, {"status": 201}, ["status"]),
        ({"replayed": 0}, {"replayed": False}, ["replayed"]),
        ({"rules": [1], "error": "a"}, {"rules": [], "error": "b"}, []),
        ({"body": '{"title":1}'}, {"body": '{"title":2}'}, []),
        ({"body": '{"a":{"title":1}}'}, {"body": '{"a":{"title":2}}'}, ["body.a.title"]),
        ({"body": '{"a":[1,2]}'}, {"body": '{"a":[1,3]}'}, ["body.a.1"]),
        ({"body": "{}"}, {"body": None}, ["body"]),
        ({"body": '{"a":1}'}, {"body": '{"b":1}'}, ["body.a", "body.b"]),
        ({"as": "see https://connect.example/1"}, {"as": "see https://connect.example/9"}, []),
        ({"as": "see https://connect.example/1"}, {"as": "see"}, ["as"]),
    ],
)
def test_the_comparison_sees_what_is_not_free(model: Json, package: Json, found: list[str]) -> None:
    assert sorted(differences(model, package, OneToOne())) == found


@pytest.mark.parametrize("path", ["etag", "id"])
def test_the_comparison_matches_one_to_one(path: str) -> None:
    def answers(*numbers: int) -> list[Json]:
        ids = [f"00000000-0000-4000-8000-{number:012}" for number in numbers]
        return [{"headers": {path: each}} for each in ids]

    def differ(model: list[Json], package: list[Json]) -> bool:
        pairs = OneToOne()
        return any(map(differences, model, package, repeat(pairs)))

    assert not differ(answers(1, 2, 1), answers(7, 8, 7))
    assert differ(answers(1, 2, 1), answers(7, 8, 8))
    assert differ(answers(1, 2), answers(7, 7))
