"""The exact words of findings between two releases of a table."""

from __future__ import annotations

import json

import attrs

from curae_lifecycle.cli.release import Release, parse_release
from curae_lifecycle.cli.table_diff import Finding, compare, findings, format_changes
from curae_lifecycle.cli.table_formats import to_document
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table

LIGHT = Axis("light", ("red", "amber", "green"))
GO = Row("red", "go", "[O] It is safe.")
WAIT = Row("amber", "wait", "[O] It changes.")
STOP = Row("green", "stop", "[O] It is not.")


def release(*rows: Row[str], light: Axis = LIGHT, law: str = "What to do.") -> Release:
    table: Table[str, str] = Table("lamp", law, light, *rows)
    return parse_release(to_document([table]))


def said(old: Release, new: Release) -> list[Finding]:
    return [each for table in compare(old, new) for each in findings(table)]


OLD = release(GO, WAIT, STOP)


def test_table_diff_joins_cells_that_changed_in_the_same_way() -> None:
    all_wait = release(Row(ANY, "wait", "[O] So.", name="all"))
    (amber,) = [cell for cell in all_wait.tables["lamp"].cells if ("light", "amber") in cell]
    some_run = release(Row(ANY, "run", "[O] No.", name="all"))
    some_run.tables["lamp"].cells[amber] = all_wait.tables["lamp"].cells[amber]
    was, now = "was: wait, by lamp.all: [O] So.", "now: run, by lamp.all: [O] No."
    assert said(all_wait, some_run) == [
        Finding("red; green (2 cells)", "reason reworded, same answer in other words", (was, now))
    ]


def test_table_diff_lists_all_values_an_axis_gained_or_lost() -> None:
    small = release(GO, light=Axis("light", ("red",)))
    assert said(OLD, small)[0] == Finding("axis light", "lost values", ("amber, green",))
    assert said(small, OLD)[0] == Finding("axis light", "new values", ("amber, green",))


def test_table_diff_shows_unchanged_answer_of_a_renamed_rule() -> None:
    assert said(OLD, release(attrs.evolve(GO, name="go"), WAIT, STOP)) == [
        Finding(
            "red",
            "rule renamed",
            ("was: go, by lamp.red: [O] It is safe.", "now: go, by lamp.go: [O] It is safe."),
        )
    ]


def test_changes_of_tables_are_formatted_as_indented_json() -> None:
    new = release(attrs.evolve(GO, outcome="run"), WAIT, STOP, law="What you do.")

    def shape(law: str) -> dict[str, object]:
        return {"law": law, "state": None, "axes": {"light": ["red", "amber", "green"]}}

    def rule(says: str) -> dict[str, object]:
        why = "[O] It is safe."
        return {"name": "lamp.red", "outcome": {"kind": "str"}, "says": says, "why": why}

    lamp = {
        "name": "lamp",
        "before": shape("What to do."),
        "after": shape("What you do."),
        "cells": [
            {
                "kinds": ["same answer in other words"],
                "cells": [{"light": "red"}],
                "before": rule("go"),
                "after": rule("run"),
            }
        ],
    }
    document = {"from": "1", "to": "2", "changes": [lamp]}
    old, new = attrs.evolve(OLD, version="1"), attrs.evolve(new, version="2")
    assert format_changes(old, new, compare(old, new)) == json.dumps(document, indent=2) + "\n"
