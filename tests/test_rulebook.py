"""The rules by their names."""

from __future__ import annotations

from curae_lifecycle.service.rulebook import find_rule


def test_a_rule_is_found_by_its_name_and_no_other_is() -> None:
    found = find_rule("recovery.expired.none")
    assert found is not None
    assert (found.table.name, found.row.rule) == ("recovery", "recovery.expired.none")
    assert find_rule("recovery") is None
    assert find_rule("recovery.expired.never") is None
