"""Tests of the package against a model that was written from the rules alone."""

from __future__ import annotations

import ast
from collections import Counter
from itertools import repeat
from pathlib import Path
from typing import Final

import pytest

from curae_lifecycle.service.json_schema import Json
from tests.proof import comparison
from tests.proof.comparison import OneToOne, differences, main, run

HERE: Final = Path(__file__).parent
SEEDS: Final = range(60)


@pytest.mark.parametrize(
    "seed",
    [
        *SEEDS[:3],
        *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[3:15]),
        *(pytest.param(seed, marks=pytest.mark.heavy) for seed in SEEDS[15:]),
    ],
)
def test_package_gives_the_same_responses_as_the_reference_model(seed: int) -> None:
    difference = run(seed).difference
    assert difference is None, difference


@pytest.mark.heavy
def test_random_traffic_reaches_every_operation_and_problem() -> None:
    counts = sum((run(seed).counts for seed in SEEDS), Counter[str]())
    assert counts.keys() == AT_LEAST.keys()
    assert {name: counts[name] for name, least in AT_LEAST.items() if counts[name] < least} == {}


MODELS = sorted(HERE.glob("reference/[!_]*.py"))
"""The modules that were written from the rules alone."""


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_reference_model_imports_nothing_from_the_package(model: Path) -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(model.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(each.name for each in node.names)]
    }
    ours = {name for name in imported if name and name.startswith(("curae_lifecycle", "tests."))}
    modules = {f"tests.proof.reference.{path.stem}" for path in MODELS}
    assert ours <= {*modules, "tests.proof.reference"}


AT_LEAST: Final = {
    "400 BAD_REQUEST": 190,
    "400 IDEMPOTENCY_KEY_INVALID": 40,
    "400 IDEMPOTENCY_KEY_NOT_ALLOWED": 10,
    "400 IDEMPOTENCY_KEY_REQUIRED": 10,
    "401 UNAUTHENTICATED": 10,
    "403 SCOPE_INSUFFICIENT": 50,
    "403 WRONG_ENVIRONMENT": 360,
    "404 NOT_FOUND": 90,
    "409 BINDING_NOT_LIMITED": 80,
    "409 CONNECTION_NOT_RECONNECTABLE": 70,
    "409 CONNECTION_SUPERSEDED": 50,
    "422 IDEMPOTENCY_KEY_REUSED": 30,
    "429 RATE_LIMITED": 220,
    "GET connections/ID 200": 670,
    "GET curae-connect/account-state 200": 280,
    "GET curae-connect/account-state 304": 50,
    "POST connections 201": 510,
    "POST connections/ID:reconnect 201": 400,
    "POST connections/ID:revoke 200": 70,
    "POST curae-connect/graduation-handoff 201": 60,
    "POST curae-connect/initiate 201": 590,
    "access: ACTION_REQUIRED": 10,
    "access: EXPIRED": 90,
    "access: LAPSED": 50,
    "access: PACKAGE_NOT_GRANTED": 50,
    "access: PENDING": 50,
    "access: REVOKED": 160,
    "access: granted": 20,
    "binding.graduate: BINDING_CHANGED": 50,
    "binding.graduate: BINDING_CONFLICT": 20,
    "binding.graduate: done": 20,
    "binding.graduate: ignored": 10,
    "binding.tombstone: done": 60,
    "binding.tombstone: ignored": 4,
    "broken line": 930,
    "buckets": 180,
    "connection.authorize: CONNECTION_NOT_PENDING": 30,
    "connection.authorize: CONNECTION_SUPERSEDED": 40,
    "connection.authorize: HANDOFF_LAPSED": 20,
    "connection.authorize: NOT_FOUND": 50,
    "connection.authorize: done": 260,
    "connection.authorize: ignored": 10,
    "connection.expire: NOT_FOUND": 10,
    "connection.expire: done": 60,
    "connection.expire: ignored": 50,
    "connection.require_action: NOT_FOUND": 20,
    "connection.require_action: done": 50,
    "connection.require_action: ignored": 80,
    "connection.revoke: NOT_FOUND": 40,
    "connection.revoke: done": 190,
    "connection.revoke: ignored": 30,
    "handoff.complete: BINDING_CHANGED": 40,
    "handoff.complete: BINDING_CONFLICT": 20,
    "handoff.complete: HANDOFF_NOT_REQUIRED": 50,
    "handoff.complete: NOT_FOUND": 20,
    "handoff.complete: SESSION_EXPIRED": 20,
    "handoff.complete: done": 60,
    "handoff.complete: ignored": 10,
    "register": 310,
    "replay": 170,
}
"""Everything that can happen on a line, with about half of its count."""


@pytest.mark.parametrize(
    ("model", "package", "found"),
    [
        ({"status": 200}, {"status": 200}, []),
        ({"status": 200}, {"status": 201}, ["status"]),
        ({"replayed": 0}, {"replayed": False}, ["replayed"]),
        ({"rules": [1], "error": "a"}, {"rules": [], "error": "b"}, []),
        ({"body": '{"title":1}'}, {"body": '{"title":2}'}, []),
        ({"body": '{"type":1}'}, {"body": '{"type":2}'}, ["body.type"]),
        ({"body": '{"details":1}'}, {"body": '{"details":2}'}, []),
        (
            {"body": '{"code":"CONNECTION_SUPERSEDED","details":1}'},
            {"body": '{"code":"CONNECTION_SUPERSEDED","details":2}'},
            ["body.details"],
        ),
        ({"body": '{"a":{"title":1}}'}, {"body": '{"a":{"title":2}}'}, ["body.a.title"]),
        ({"body": '{"a":[1,2]}'}, {"body": '{"a":[1,3]}'}, ["body.a.1"]),
        ({"body": "{}"}, {"body": None}, ["body"]),
        ({"body": '{"a":1}'}, {"body": '{"b":1}'}, ["body.a", "body.b"]),
        ({"as": "see https://connect.example/1"}, {"as": "see https://connect.example/9"}, []),
        ({"as": "see https://connect.example/1"}, {"as": "see"}, ["as"]),
    ],
)
def test_reference_comparison_reports_every_planted_difference(
    model: Json, package: Json, found: list[str]
) -> None:
    assert sorted(differences(model, package, OneToOne())) == found


@pytest.mark.parametrize("path", ["etag", "id"])
def test_reference_comparison_matches_ids_one_to_one(path: str) -> None:
    def answers(*numbers: int) -> list[Json]:
        ids = [f"00000000-0000-4000-8000-{number:012}" for number in numbers]
        return [{"headers": {path: each}} for each in ids]

    def differ(model: list[Json], package: list[Json]) -> bool:
        pairs = OneToOne()
        return any(map(differences, model, package, repeat(pairs)))

    assert not differ(answers(1, 2, 1), answers(7, 8, 7))
    assert differ(answers(1, 2, 1), answers(7, 8, 8))
    assert differ(answers(1, 2), answers(7, 7))


def test_reference_comparison_command_prints_differences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = [comparison.Run(None, Counter()), comparison.Run("seed 4, line 1", Counter())]
    asked: list[tuple[int, int]] = []

    def answered(seed: int, length: int) -> comparison.Run:
        asked.append((seed, length))
        return compared[seed % 2]

    monkeypatch.setattr(comparison, "run", answered)
    assert main(1, 50, 2) == 0
    assert main(2, 60, 2) == 1
    assert asked == [(2, 50), (2, 60), (3, 60)]
    assert capsys.readouterr().out == (
        "1 logs of 50 lines, 0 with a difference\n"
        "seed 4, line 1\n\n2 logs of 60 lines, 1 with a difference\n"
    )
