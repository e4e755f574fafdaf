"""Check a copy with the reason of the page: `ALREADY_AUTHORIZED`."""

from __future__ import annotations

from hypothesis import strategies as st

from curae_lifecycle import Refused, record_fact
from curae_lifecycle.cli.problems import to_markdown
from curae_lifecycle.rules.preview import PreviewOutcome, preview_triggers
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.triggers import RefusalReason, Trigger, authorize
from curae_lifecycle.service.facts.registry import FACT_BY_TRIGGER
from curae_lifecycle.service.rulebook import reasons_of
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.testing import strategies
from curae_lifecycle.testing.conformance.triggers import example_fact
from tests.docs.extending.checks import require_checks_to_pass, require_copy, require_drawn
from tests.support.strategies import at, pending

DECLINE = Trigger["DECLINE"]
CODE = ProblemCode["CONNECTION_NOT_DECLINABLE"]
REASON = RefusalReason["ALREADY_AUTHORIZED"]


def check_refusal() -> None:
    answer = authorize(pending(), at(1), era=None)
    assert not isinstance(answer, Refused)
    active = answer.value
    fact = example_fact(FACT_BY_TRIGGER[DECLINE], active.id)
    refused = record_fact(fact, Snapshot(connection=active), at(2))
    assert isinstance(refused, Refused)
    assert refused.problem == Problem(CODE, (active.id, REASON))
    assert refused.problem.detail.endswith(f"any more: {REASON}.")
    shown = {each.trigger: each for each in preview_triggers(active, at(2), era=None)}
    assert shown[DECLINE].outcome is PreviewOutcome.REFUSED


def check_page() -> None:
    assert reasons_of(CODE) == (REASON,)
    text = to_markdown(CODE)
    assert f"- `{REASON}`: {REASON.advice}" in text
    assert f'"reason": "{REASON}"' in text
    assert "`connection.decline.active`" in text


def check_strategies() -> None:
    strategies.register()
    require_drawn(st.from_type(Problem).map(lambda problem: REASON in problem.detail_values), True)


if __name__ == "__main__":
    require_copy()
    check_refusal()
    check_page()
    check_strategies()
    require_checks_to_pass("connection.decline.")
