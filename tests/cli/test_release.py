"""Differences between two releases in an outcome's members, and documents that cannot be read."""

from __future__ import annotations

import json

import pytest

from curae_lifecycle.cli.release import Release, UnreadableError, parse_release
from curae_lifecycle.cli.table_diff import Finding, compare, findings, summary
from curae_lifecycle.cli.table_formats import to_document
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rulebook import TABLES

DOCUMENT = to_document([TABLES["recovery"]])
OLD = parse_release(DOCUMENT)


def with_outcome(**members: Json) -> Release:
    """Return the release with more members in the outcome of its first cell."""
    document = json.loads(DOCUMENT)
    document["tables"][0]["cells"][0]["outcome"].update(members)
    return parse_release(json.dumps(document))


def said(old: Release, new: Release) -> list[Finding]:
    (table,) = compare(old, new)
    return list(findings(table))


@pytest.mark.parametrize(("was", "now"), [(True, 1), (False, 0), ([True], [1]), ({"a": 0}, {})])
def test_table_diff_reports_change_of_true_to_1_or_0_to_absent(was: Json, now: Json) -> None:
    old, new = with_outcome(member=was), with_outcome(member=now)
    assert summary(compare(old, new)) == "changed: 1 table; answer changed: 1 cell"
    (finding,) = said(old, new)
    for detail, value in zip(finding.details, (was, now), strict=True):
        assert f" {json.dumps({'member': value})}, by " in detail


def test_table_diff_reports_a_member_changed_from_absent_to_null() -> None:
    (finding,) = said(OLD, with_outcome(member=None))
    assert finding.what == "answer changed"
    assert '{"member": null}' in finding.details[1]


def test_table_diff_ignores_the_member_order_of_an_outcome() -> None:
    one = with_outcome(first=1, last={"a": 1, "b": 2})
    other = with_outcome(last={"b": 2, "a": 1}, first=1)
    assert compare(one, other) == ()


@pytest.mark.parametrize("values", [None, 1, "ab", {"a": "b"}])
def test_tables_json_whose_axis_is_no_list_raises_unreadable(values: Json) -> None:
    document = json.loads(DOCUMENT)
    axes = document["tables"][0]["axes"]
    axes[next(iter(axes))] = values
    with pytest.raises(UnreadableError, match="each axis must be a list of different values"):
        parse_release(json.dumps(document))
