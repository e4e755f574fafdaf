"""Finding rules by their names and by the problems that they refuse with."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from curae_lifecycle.rules.access import DenialReason
from curae_lifecycle.rules.outcomes import Reason
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.triggers import RefusalReason
from curae_lifecycle.service.rulebook import find_refusals, find_rule, reasons_of


def test_find_rule_returns_none_unless_the_name_is_exact() -> None:
    found = find_rule("recovery.expired.none")
    assert found is not None
    assert (found.table.name, found.row.rule) == ("recovery", "recovery.expired.none")
    assert find_rule("recovery") is None
    assert find_rule("recovery.expired.never") is None


def test_pickling_keeps_a_rule_and_its_table_unchanged() -> None:
    found = find_rule("recovery.expired.none")
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - the bytes are from this test


@pytest.mark.parametrize(
    ("code", "rules"),
    [
        (
            ProblemCode.CONNECTION_ACCESS_DENIED,
            [
                ("access", "access.pending"),
                ("access", "access.lapsed"),
                ("access", "access.active-other-package"),
                ("access", "access.action-required"),
                ("access", "access.expired"),
                ("access", "access.revoked"),
            ],
        ),
        (
            ProblemCode.BINDING_CONFLICT,
            [
                ("binding", "binding.complete-sign-up.active.other"),
                ("binding", "binding.graduate.limited.other"),
                ("binding", "binding.graduate.active.other"),
                ("completion", "completion.landed.other"),
            ],
        ),
        (ProblemCode.INTERNAL, [("request", "request.room")]),
    ],
)
def test_find_refusals_lists_rules_in_table_order(
    code: ProblemCode, rules: list[tuple[str, str]]
) -> None:
    assert [(found.table.name, found.row.rule) for found in find_refusals(code)] == rules


def test_every_problem_code_has_rules_and_no_rule_has_two_codes() -> None:
    counts = Counter(found.row.rule for code in ProblemCode for found in find_refusals(code))
    assert all(find_refusals(code) for code in ProblemCode)
    assert set(counts.values()) == {1}


REASONS: dict[ProblemCode, tuple[Reason, ...]] = {
    ProblemCode.CONNECTION_ACCESS_DENIED: (
        DenialReason.PENDING,
        DenialReason.LAPSED,
        DenialReason.PACKAGE_NOT_GRANTED,
        DenialReason.ACTION_REQUIRED,
        DenialReason.EXPIRED,
        DenialReason.REVOKED,
    ),
    ProblemCode.CONNECTION_NOT_RECONNECTABLE: (
        RefusalReason.STILL_PENDING,
        RefusalReason.ALREADY_ACTIVE,
    ),
}


@pytest.mark.parametrize("code", ProblemCode)
def test_each_problem_code_has_exactly_the_expected_reasons(code: ProblemCode) -> None:
    assert reasons_of(code) == REASONS.get(code, ())
