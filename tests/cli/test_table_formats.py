"""Tables as Markdown, Mermaid and JSON, in full."""

from __future__ import annotations

import json
from enum import StrEnum

import attrs
import pytest

from curae_lifecycle import __version__
from curae_lifecycle.cli.table_formats import (
    markdown_table,
    to_document,
    to_json,
    to_markdown,
    to_mermaid,
)
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


class Press(StrEnum):
    SHORT = "short"
    LONG = "long"


class Power(StrEnum):
    ON = "on"


@attrs.frozen
class Turn:
    to: Light
    seconds: int = 2
    colours: tuple[Light, ...] = (Light.RED, Light.GREEN)
    after: str | None = None
    why: str = "It is said beside the outcome."
    derived: str = attrs.field(default="x", eq=False)
    slowly: bool = False

    def __str__(self) -> str:
        return f"turn {self.to} | {self.seconds} s"


@attrs.frozen
class Stay:
    def __str__(self) -> str:
        return "stay"


LIGHT, PRESS, POWER = Axis.of("light", Light), Axis.of("press", Press), Axis.of("power", Power)
ONE = Table[Light, Turn | Stay](
    "lamp",
    "What a press does.",
    LIGHT,
    Row(Light.RED, Turn(Light.GREEN), "[O] Red | green."),
    Row(Light.GREEN, Stay(), "[O] So."),
    state="light",
)
THREE = Table[tuple[Power, Light, Press], Turn | Stay](
    "lamp",
    "What a press does.",
    (POWER, LIGHT, PRESS),
    Row((ANY, Light.RED, ANY), Turn(Light.GREEN), "[O] So."),
    Row((ANY, Light.GREEN, Press.SHORT), Turn(Light.RED), "[O] So."),
    Row((ANY, Light.GREEN, Press.LONG), Stay(), "[O] So."),
    state="light",
)


def test_markdown_of_a_table_escapes_the_bars_in_its_texts() -> None:
    assert to_markdown(ONE) == (
        "# lamp\n\nWhat a press does.\n\n2 cells, 2 rules.\n\n"
        "| light | outcome | rule | why |\n"
        "| --- | --- | --- | --- |\n"
        "| red | turn green \\| 2 s | `lamp.red` | [O] Red \\| green. |\n"
        "| green | stay | `lamp.green` | [O] So. |\n"
    )


def test_markdown_table_without_rows_has_only_its_header() -> None:
    assert markdown_table(iter(("a|b", "c")), ()) == "| a\\|b | c |\n| --- | --- |\n"


def test_mermaid_arrow_label_lists_the_inputs_that_cause_it() -> None:
    assert to_mermaid(THREE) == (
        "stateDiagram-v2\n    red --> green: on short / on long\n    green --> red: on short\n"
    )


def test_mermaid_of_a_table_with_one_axis_has_no_labels() -> None:
    assert to_mermaid(ONE) == "stateDiagram-v2\n    red --> green\n"


def test_mermaid_of_a_table_without_state_change_raises() -> None:
    table: Table[str, str] = Table(
        "still", "What to do.", Axis("a", ("1",)), Row("1", "x", "[O] So.")
    )
    with pytest.raises(ValueError, match=r"^the table still moves no state, so it has no diagram$"):
        to_mermaid(table)


LAMP = {
    "name": "lamp",
    "law": "What a press does.",
    "state": "light",
    "axes": {"light": ["red", "green"]},
    "cells": [
        {
            "key": {"light": "red"},
            "rule": "lamp.red",
            "outcome": {
                "kind": "Turn",
                "to": "green",
                "seconds": 2,
                "colours": ["red", "green"],
                "after": None,
                "slowly": False,
            },
            "says": "turn green | 2 s",
            "why": "[O] Red | green.",
        },
        {
            "key": {"light": "green"},
            "rule": "lamp.green",
            "outcome": {"kind": "Stay"},
            "says": "stay",
            "why": "[O] So.",
        },
    ],
}


def test_json_of_a_table_has_its_axes_and_every_cell() -> None:
    assert to_json(ONE) == json.dumps(LAMP, indent=2) + "\n"


def test_json_of_several_tables_names_its_format_and_version() -> None:
    document = {"format": 1, "version": __version__, "tables": [LAMP]}
    assert to_document(iter([ONE])) == json.dumps(document, indent=2) + "\n"
