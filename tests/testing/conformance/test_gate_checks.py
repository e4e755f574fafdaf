"""Tests of the checks of gates with other operations, and in the test environment."""

from __future__ import annotations

import json
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.operation import BASE_PATH, Operation
from curae_lifecycle.testing.conformance import CHECKS, ApiKeyRequest, Request, Response
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.steps import HookCall
from tests.support.eighth import Relabel
from tests.support.kit import Reference
from tests.testing.conformance.by_hand import app, context

BY_NAME: Final = {each.name: each for each in CHECKS}
ID: Final = "c0ffee00-0000-4000-8000-00000000abcd"


def not_found() -> Response:
    """Return the response of a correct server to an unknown path."""
    reference, one = Reference(), app()
    key = reference.make_key(one.key_request)
    return reference.send(App(key, one.key_request, one.context).request("GET", "/nothing"))


def served_at(path: str) -> type[Operation]:
    rule = attrs.evolve(Relabel.rule, path=f"{BASE_PATH}{path}")
    return type("Added", (Relabel,), {"rule": rule})


def unknown_paths(*served: str) -> set[str]:
    """Return the paths that the check requests of a server of these paths."""
    kit = attrs.evolve(context(), operations=tuple(map(served_at, served)))
    steps = BY_NAME["request.route"].begin(kit)
    next(steps)
    steps.send("key")
    made = {"connection": {"id": ID, "status": "PENDING"}}
    step = steps.send(Response(201, (), json.dumps(made).encode()))
    requested = set[str]()
    while isinstance(step, Request) and step.target != f"{BASE_PATH}/connections/{ID}":
        requested.add(step.target.removeprefix(BASE_PATH))
        step = steps.send(not_found())
    return requested


@pytest.mark.parametrize(
    ("others", "is_sent"),
    [((), True), (("/labels/{connectionId}",), False), (("/labels",), True)],
)
def test_route_check_encodes_a_colon_only_if_no_path_matches_it(
    others: tuple[str, ...], *, is_sent: bool
) -> None:
    requested = unknown_paths("/labels/{connectionId}:relabel", *others)
    assert (f"/labels/{ID}%3Arelabel" in requested) == is_sent


def test_route_check_encodes_both_colons_of_a_path() -> None:
    requested = unknown_paths("/labels/{connectionId}:a:b", "/labels/{connectionId}:a")
    assert f"/labels/{ID}%3Aa%3Ab" in requested


@pytest.mark.parametrize("served", Environment)
def test_environment_check_makes_keys_for_the_other_environment(served: Environment) -> None:
    steps = BY_NAME["permission.wrong-environment"].begin(context(environment=served))
    made = [next(steps), steps.send("key"), steps.send("other key")]
    wanted = [step.arguments[0] for step in made if isinstance(step, HookCall)]
    environments = [each.environment for each in wanted if isinstance(each, ApiKeyRequest)]
    other = Environment.TEST if served is Environment.LIVE else Environment.LIVE
    assert environments == [served, other, other]
