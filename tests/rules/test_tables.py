"""Decision tables: totality, names of rules, rendering, and every table of the package."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import pkgutil
import re
from collections.abc import Callable
from enum import StrEnum
from math import prod

import attrs
import pytest

import curae_lifecycle
from curae_lifecycle.cli.table_formats import to_json, to_markdown, to_mermaid
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table, TableError, Wildcard, check_keys
from curae_lifecycle.rules.triggers import EXPIRY_RECORD


def test_table_overrides_every_writing_method_of_dict() -> None:
    reads = {
        "copy", "fromkeys", "get", "items", "keys", "values",
        "__class_getitem__", "__contains__", "__eq__", "__ge__", "__getattribute__",
        "__getitem__", "__gt__", "__init__", "__iter__", "__le__", "__len__", "__lt__", "__ne__",
        "__new__", "__or__", "__repr__", "__reversed__", "__ror__", "__sizeof__",
    }  # fmt: skip
    writes = {name for name in vars(dict) if callable(getattr(dict, name))} - reads
    assert writes == {
        "__setitem__", "__delitem__", "__ior__",
        "update", "pop", "popitem", "clear", "setdefault",
    }  # fmt: skip
    for name in writes:
        assert getattr(Table, name) is not getattr(dict, name), name


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


class Press(StrEnum):
    SHORT = "short"
    LONG = "long"


class OtherLight(StrEnum):
    RED = "red"


@attrs.frozen
class Turn:
    to: Light
    seconds: int = 5
    lamps: tuple[str, ...] = ("left", "right")
    note: str | None = None

    def __str__(self) -> str:
        return f"turn {self.to}"


@attrs.frozen
class Stay:
    def __str__(self) -> str:
        return "stay | as it was"


Verdict = Turn | Stay
LIGHT = Axis.of("light", Light)
PRESS = Axis.of("press", Press)
GO = Row[Verdict]((Light.RED, ANY), Turn(Light.GREEN), "[O] Any press will do.")
STOP = Row[Verdict]((Light.GREEN, Press.LONG), Turn(Light.RED), "[O] A long one.")
STAY = Row[Verdict]((Light.GREEN, Press.SHORT), Stay(), "[O] Too short.", name="stay")


def build(*rows: Row[Verdict], state: str | None = None) -> Table[tuple[Light, Press], Verdict]:
    return Table("light", "What a press does.", (LIGHT, PRESS), *rows, state=state)


def row(*key: StrEnum | Wildcard, why: str = "[O] So.", name: str = "x") -> Row[Verdict]:
    return Row(key, Stay(), why, name=name)


# --- Building ------------------------------------------------------------------------------


def test_row_name_is_table_plus_key_or_the_given_name() -> None:
    table = build(GO, STOP, STAY)
    assert [each.rule for each in table.rows] == ["light.red", "light.green.long", "light.stay"]
    assert [each.rules for each in table.rows] == [(each.rule,) for each in table.rows]
    assert attrs.evolve(table.rows[0], outcome=Stay()).rule == "light.red"
    named = Table[Light, Verdict](
        "light", "Law.", LIGHT, Row(ANY, Stay(), "[O] So.", name="any"), prefix="lamp"
    )
    assert named[Light.RED].rule == "lamp.any"


class Signal(StrEnum):
    ALL_DARK = "no lamp is lit"


def test_row_name_uses_enum_member_names_not_their_values() -> None:
    dark = Row(Signal.ALL_DARK, Stay(), "[O] So.")
    table = Table[Signal, Verdict]("signal", "Law.", Axis.of("signal", Signal), dark)
    assert table[Signal.ALL_DARK].rule == "signal.all-dark"


def test_table_maps_each_cell_to_its_one_row() -> None:
    table = build(GO, STOP, STAY)
    go, stop, stay = table.rows
    assert list(table.items()) == [
        ((Light.RED, Press.SHORT), go),
        ((Light.RED, Press.LONG), go),
        ((Light.GREEN, Press.SHORT), stay),
        ((Light.GREEN, Press.LONG), stop),
    ]
    assert list(table.cells()) == list(table.items())
    assert table[Light.GREEN, Press.LONG] is stop
    assert len(table) == 4
    assert repr(table) == "<Table light: 4 cells, 3 rules>"


def test_keys_of_a_one_axis_table_are_values_not_tuples() -> None:
    table = Table[Press, Verdict]("press", "Law.", PRESS, Row(ANY, Stay(), "[O] So.", name="any"))
    assert list(table) == [Press.SHORT, Press.LONG]
    assert [key for key, _ in table.cells()] == [(Press.SHORT,), (Press.LONG,)]
    assert table.axes == (PRESS,)
    assert [each.parts for each in table.rows] == [(ANY,)]


def test_wildcard_any_in_a_table_row_covers_its_whole_axis() -> None:
    table = build(row(ANY, ANY, name="off"))
    assert {found.rule for found in table.values()} == {"light.off"}
    assert len(table) == 4
    assert str(ANY) == "any"


WRITES: dict[str, Callable[[dict[tuple[Light, Press], Row[Verdict]]], object]] = {
    "set": lambda table: table.__setitem__((Light.RED, Press.LONG), STAY),
    "delete": lambda table: table.__delitem__((Light.RED, Press.LONG)),
    "update": lambda table: table.update({(Light.RED, Press.LONG): STAY}),
    "merge": lambda table: table.__ior__({(Light.RED, Press.LONG): STAY}),
    "pop": lambda table: table.pop((Light.RED, Press.LONG)),
    "pop or": lambda table: table.pop((Light.RED, Press.LONG), None),
    "popitem": lambda table: table.popitem(),
    "clear": lambda table: table.clear(),
    "setdefault": lambda table: table.setdefault((Light.RED, Press.LONG), STAY),
}


@pytest.mark.parametrize("write", WRITES)
def test_writing_to_a_table_raises_type_error(write: str) -> None:
    table = build(GO, STOP, STAY)
    before = dict(table)
    with pytest.raises(TypeError, match="a Table is read-only"):
        WRITES[write](table)
    assert dict(table) == before


@pytest.mark.parametrize("name", ["name", "law", "axes", "rows", "state", "anything"])
def test_setting_an_attribute_of_a_table_raises(name: str) -> None:
    table = build(GO, STOP, STAY)
    with pytest.raises((AttributeError, TypeError)):
        setattr(table, name, "other")
    with pytest.raises((AttributeError, TypeError)):
        delattr(table, name)
    assert table.name == "light"


def test_copy_of_a_table_is_the_table_itself() -> None:
    table = build(GO, STOP, STAY)
    assert copy.copy(table) is table
    assert copy.deepcopy({"table": table})["table"] is table


@pytest.mark.parametrize(
    ("rows", "fault", "cells"),
    [
        ((), "no rule decides a cell", 4),
        ((GO, STOP), "no rule decides a cell", ("green × short",)),
        ((GO, STAY, row(ANY, Press.LONG)), "decides a cell again", ("red × long",)),
        ((GO, STOP, STAY, row(ANY, ANY)), "decides a cell again", 4),
        ((GO, STOP, STAY, STOP), "a rule name is used twice", ("light.green.long",)),
        ((row(Press.LONG, Light.RED),), "a rule covers no cell of the axes", ("light.x",)),
        ((row(Light.RED),), "a rule covers no cell of the axes", ("light.x",)),
        ((row(ANY, ANY, ANY),), "a rule covers no cell of the axes", ("light.x",)),
        ((row(OtherLight.RED, ANY),), "a rule covers no cell of the axes", ("light.x",)),
        ((row(ANY, ANY, why=" "),), "a rule has no name or does not say why", ("light.x",)),
        ((row(ANY, ANY, name=""),), "a rule has no name or does not say why", ("light.",)),
        ((row(ANY, ANY, name=" "),), "a rule has no name or does not say why", ("light. ",)),
    ],
    ids=[
        "missing all",
        "missing one",
        "doubled one",
        "doubled all",
        "doubled rule name",
        "unreachable: axes swapped",
        "unreachable: too short",
        "unreachable: too long",
        "unreachable: same text, another enumeration",
        "no why",
        "no name",
        "a blank name",
    ],
)
def test_missing_or_ambiguous_cells_raise_table_error(
    rows: tuple[Row[Verdict], ...], fault: str, cells: int | tuple[str, ...]
) -> None:
    with pytest.raises(TableError, match=r"^table 'light': ") as error:
        build(*rows)
    assert fault in error.value.fault
    assert error.value.table == "light"
    assert cells in (error.value.cells, len(error.value.cells))
    assert all(cell in str(error.value) for cell in error.value.cells)


@pytest.mark.parametrize("values", [(), (Light.RED, Light.RED)])
def test_empty_or_repeated_axis_values_raise_table_error(
    values: tuple[Light, ...],
) -> None:
    with pytest.raises(TableError, match="an axis is empty or has a value twice: light"):
        Table("light", "What a press does.", Axis("light", values), row(ANY))


def test_mermaid_arrow_of_a_one_axis_table_has_no_label() -> None:
    assert "    ACTIVE --> EXPIRED\n" in to_mermaid(EXPIRY_RECORD)


def test_table_with_a_state_that_names_no_axis_raises() -> None:
    with pytest.raises(TableError, match="its state is none of its axes: colour"):
        build(GO, STOP, STAY, state="colour")


# --- Rendering -----------------------------------------------------------------------------

MERMAID = """\
stateDiagram-v2
    red --> green: short / long
    green --> red: long
"""

MARKDOWN = """\
# light

What a press does.

4 cells, 3 rules.

| light | press | outcome | rule | why |
| --- | --- | --- | --- | --- |
| red | any | turn green | `light.red` | [O] Any press will do. |
| green | long | turn red | `light.green.long` | [O] A long one. |
| green | short | stay \\| as it was | `light.stay` | [O] Too short. |
"""


@pytest.mark.parametrize("state", [None, "light"])
def test_table_markdown_has_one_line_per_rule(state: str | None) -> None:
    assert to_markdown(build(GO, STOP, STAY, state=state)) == MARKDOWN


def test_mermaid_has_one_labelled_arrow_per_move() -> None:
    assert to_mermaid(build(GO, STOP, STAY, state="light")) == MERMAID


def test_mermaid_of_a_table_without_a_state_axis_raises() -> None:
    with pytest.raises(ValueError, match="table light moves no state"):
        to_mermaid(build(GO, STOP, STAY))


def test_table_json_has_one_object_per_cell() -> None:
    turn = {"kind": "Turn", "seconds": 5, "lamps": ["left", "right"], "note": None}
    green = {"outcome": turn | {"to": "green"}, "says": "turn green"}
    red = {"outcome": turn | {"to": "red"}, "says": "turn red"}
    go = {"rule": "light.red", **green, "why": "[O] Any press will do."}
    stop = {"rule": "light.green.long", **red, "why": "[O] A long one."}
    still = {"outcome": {"kind": "Stay"}, "says": "stay | as it was"}
    stay = {"rule": "light.stay", **still, "why": "[O] Too short."}
    table = build(GO, STOP, STAY, state="light")
    assert json.loads(to_json(table)) == {
        "name": "light",
        "law": "What a press does.",
        "state": "light",
        "axes": {"light": ["red", "green"], "press": ["short", "long"]},
        "cells": [
            {"key": {"light": "red", "press": "short"}, **go},
            {"key": {"light": "red", "press": "long"}, **go},
            {"key": {"light": "green", "press": "short"}, **stay},
            {"key": {"light": "green", "press": "long"}, **stop},
        ],
    }
    assert to_json(table) == to_json(table)


class Letter(StrEnum):
    A = "a"
    X = "X"


class Number(StrEnum):
    ONE = "one"


@attrs.frozen
class Move:
    to: Letter
    how: tuple[int, ...] = (1, 2)
    far: bool = False
    cause: str | None = None


def small(state: str | None = "letter") -> Table[tuple[Letter, Number, Number], Move | str]:
    return Table(
        "small",
        "What it is for: ü.",
        (Axis.of("letter", Letter), Axis.of("number", Number), Axis.of("other", Number)),
        Row[Move | str]((Letter.A, Number.ONE, Number.ONE), Move(Letter.X), "Why: ä."),
        Row[Move | str]((Letter.X, Number.ONE, Number.ONE), "stays", "Why | not.", name="x"),
        state=state,
    )


def test_axis_of_an_enum_has_the_given_name_and_its_members() -> None:
    assert Axis.of("letter", Letter) == Axis("letter", (Letter.A, Letter.X))


def test_mermaid_arrow_label_has_all_axis_values_but_the_state() -> None:
    assert to_mermaid(small()) == "stateDiagram-v2\n    a --> X: one one\n"


def test_table_json_is_indented_and_ascii() -> None:
    text = to_json(small())
    document = json.loads(text)
    key = {"number": "one", "other": "one"}
    assert document == {
        "name": "small",
        "law": "What it is for: ü.",
        "state": "letter",
        "axes": {"letter": ["a", "X"], "number": ["one"], "other": ["one"]},
        "cells": [
            {
                "key": {"letter": "a", **key},
                "rule": "small.a.one.one",
                "outcome": {
                    "kind": "Move",
                    "to": "X",
                    "how": ["1", "2"],
                    "far": False,
                    "cause": None,
                },
                "says": str(Move(Letter.X)),
                "why": "Why: ä.",
            },
            {
                "key": {"letter": "X", **key},
                "rule": "small.x",
                "outcome": {"kind": "str"},
                "says": "stays",
                "why": "Why | not.",
            },
        ],
    }
    assert text == json.dumps(document, indent=2) + "\n"
    assert text.isascii()


def test_table_error_names_the_table_and_cells() -> None:
    with pytest.raises(TableError) as caught:
        small("weather")
    assert (caught.value.table, caught.value.cells) == ("small", ("weather",))
    with pytest.raises(TableError) as caught:
        Table[str, str]("empty", "Law.", Axis("none", ()))
    assert (caught.value.table, caught.value.cells) == ("empty", ("none",))
    assert str(caught.value) == f"table 'empty': {caught.value.fault}: none"
    assert str(TableError("two", "missing", ("a", "b"))) == "table 'two': missing: a, b"


@pytest.mark.parametrize(
    ("entries", "missing"),
    [
        ((), ("red", "green")),
        ((Light.RED,), ("green",)),
        ((Light.GREEN, "blue"), ("red",)),
    ],
)
def test_check_keys_raises_table_error_naming_each_missing_key(
    entries: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    check_keys("lamps", (*entries, *missing), Light)
    with pytest.raises(TableError) as caught:
        check_keys("lamps", entries, Light)
    error = caught.value
    assert str(error).startswith(f"table 'lamps': no entry: {missing[0]}")
    assert (error.table, error.fault, error.cells) == ("lamps", "no entry", missing)
    assert {type(cell) for cell in error.cells} == {str}


# --- Every table of the package ------------------------------------------------------------


AnyTable = Table[tuple[StrEnum, ...] | str, object]


def every_table() -> list[AnyTable]:
    found: dict[int, AnyTable] = {}
    for module in pkgutil.walk_packages(curae_lifecycle.__path__, "curae_lifecycle."):
        if not module.name.endswith("__main__"):
            values: list[object] = list(vars(importlib.import_module(module.name)).values())
            found |= {id(value): value for value in values if isinstance(value, Table)}
    return sorted(found.values(), key=lambda table: table.name)


TABLES = every_table()
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@each_table
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_unpickled_table_equals_the_table(table: AnyTable, protocol: int) -> None:
    again: object = pickle.loads(pickle.dumps(table, protocol))  # noqa: S301 - the bytes are from this test
    assert isinstance(again, Table)
    assert again == table
    assert (again.name, again.law, again.axes) == (table.name, table.law, table.axes)
    assert (again.rows, again.state) == (table.rows, table.state)
    assert [row.rules for row in again.rows] == [row.rules for row in table.rows]


def test_table_names_are_unique_in_the_whole_package() -> None:
    names = [table.name for table in TABLES]
    assert len(set(names)) == len(names)
    assert {"standing", "connection", "recovery", "access", "problems"} <= set(names)


def test_rule_names_are_unique_in_the_whole_package() -> None:
    names = [row.rule for table in TABLES for row in table.rows]
    assert sorted(set(names)) == sorted(names)


@each_table
def test_every_rule_has_a_dotted_name_and_one_sourced_sentence(table: AnyTable) -> None:
    for rule in table.rows:
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", rule.rule), rule.rule
        assert re.fullmatch(r"\[[SPO]\] [^a-z\s].*[^.\s]\.", rule.why), rule.why
        assert not re.search(r"[.!?]\s+[A-Z]", rule.why), f"{rule.rule}: more than one sentence"
    assert table.law.endswith(".")


@each_table
def test_every_table_has_every_cell_of_its_axes(table: AnyTable) -> None:
    assert len(table) == prod(len(axis.values) for axis in table.axes)
    assert len({axis.name for axis in table.axes}) == len(table.axes)
    assert all(len(set(axis.values)) == len(axis.values) for axis in table.axes)


@each_table
def test_every_table_renders_all_rules_and_cells(table: AnyTable) -> None:
    page = to_markdown(table)
    assert all(f"| `{rule.rule}` | {rule.why} |" in page for rule in table.rows)
    document = json.loads(to_json(table))
    assert len(document["cells"]) == len(table)
    assert {cell["rule"] for cell in document["cells"]} == {rule.rule for rule in table.rows}


@pytest.mark.parametrize(
    "table", [table for table in TABLES if table.state], ids=lambda table: table.name
)
def test_state_diagram_arrows_link_only_states_of_their_table(table: AnyTable) -> None:
    (state,) = (axis for axis in table.axes if axis.name == table.state)
    head, *arrows = to_mermaid(table).splitlines()
    assert head == "stateDiagram-v2"
    assert arrows
    for arrow in arrows:
        before, _, after = arrow.partition(":")[0].strip().partition(" --> ")
        assert {before, after} <= set(state.values)
        assert re.fullmatch(r"\w+", before)
