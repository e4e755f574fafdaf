"""Check a copy with the problem of the page: `CONNECTION_NOT_DECLINABLE`."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from curae_lifecycle.cli.problems import to_markdown
from curae_lifecycle.rules.problems import CATALOGUE, WORDING, Problem, ProblemCode
from curae_lifecycle.service.status import status_of
from curae_lifecycle.testing import laws, strategies
from curae_lifecycle.web.openapi.schemas import problem_schema
from curae_lifecycle.web.wire_format import format_problem
from tests.docs.extending.checks import require_copy, require_drawn

CODE = ProblemCode["CONNECTION_NOT_DECLINABLE"]


def check_catalogue() -> None:
    assert CATALOGUE[CODE].outcome.details == ("connectionId", "reason")
    assert status_of(Problem(CODE)) == 409


def check_page() -> None:
    text = to_markdown(CODE)
    assert WORDING[CODE].advice in text
    assert "| `connectionId` | The connection of the request. |" in text


def check_schema() -> None:
    schema = problem_schema(CODE, "https://health.example/problems/")
    assert f'"const": "{CODE}"' in json.dumps(schema)


def check_law() -> None:
    laws.check_wire_members(json.dumps(format_problem(Problem(CODE, ("1", "2")))))


def check_strategies() -> None:
    strategies.register()
    require_drawn(st.from_type(Problem).map(lambda problem: problem.code), CODE)


if __name__ == "__main__":
    require_copy()
    check_catalogue()
    check_page()
    check_schema()
    check_law()
    check_strategies()
