"""Comparison of the tables of two releases: changes, findings, JSON and parsing."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from itertools import product
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.cli.release import (
    Cell,
    Release,
    ReleasedTable,
    Rule,
    TableShape,
    UnreadableError,
    parse_release,
)
from curae_lifecycle.cli.table_diff import (
    Finding,
    TableChange,
    compare,
    findings,
    format_changes,
    spread,
    summary,
)
from curae_lifecycle.cli.table_formats import to_document
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rulebook import TABLES

# --- Arbitrary releases --------------------------------------------------------------------


@st.composite
def sheets(draw: st.DrawFn) -> ReleasedTable:
    """Draw small tables of few words, so that two of them often overlap."""
    values = st.lists(st.sampled_from("123"), min_size=1, max_size=3, unique=True).map(tuple)
    axes = draw(st.dictionaries(st.sampled_from("xyz"), values, min_size=1, max_size=3))
    outcomes: st.SearchStrategy[dict[str, Json]] = st.sampled_from([{"to": "A"}, {"to": "B"}])
    why = st.sampled_from(["[O] So.", "[S] So.", "[O] Thus.", "", "[O]", "[O] "])
    rule = st.builds(Rule, st.sampled_from(["r.a", "r.b"]), outcomes, st.sampled_from("AB"), why)
    rules = draw(st.lists(rule, min_size=1, max_size=3))
    cells = {
        frozenset(zip(axes, place, strict=True)): draw(st.sampled_from(rules))
        for place in product(*axes.values())
    }
    frame = TableShape(
        draw(st.sampled_from(["Law.", "Rule."])), draw(st.sampled_from([None, "x"])), axes
    )
    return ReleasedTable(frame, cells)


def releases() -> st.SearchStrategy[Release]:
    return st.builds(Release, st.just("1"), st.dictionaries(st.sampled_from("abc"), sheets()))


def apply(changes: tuple[TableChange, ...], old: Release) -> Release:
    """Apply changes to a release and return the result."""
    made = dict(old.tables)
    for table in changes:
        before = made.pop(table.name, None)
        assert table.before == (None if before is None else before.shape)
        cells = {} if before is None else dict(before.cells)
        if table.before and table.after:
            cells = spread(cells, table.before, table.after)
        for change in table.cells:
            for cell in change.cells:
                assert cells.pop(cell, None) == change.before
                if change.after is not None:
                    cells[cell] = change.after
        if table.after is None:
            assert not cells
        else:
            coarse: dict[Cell, Rule] = {}
            for cell, rule in cells.items():
                own = frozenset((axis, value) for axis, value in cell if axis in table.after.axes)
                assert coarse.setdefault(own, rule) == rule
            made[table.name] = ReleasedTable(table.after, coarse)
    return Release(old.version, made)


@pytest.mark.slow
@given(releases())
def test_release_compared_with_itself_has_no_changes(release: Release) -> None:
    assert compare(release, release) == ()


@pytest.mark.slow
@given(releases(), releases())
def test_applying_table_changes_to_old_release_gives_new_release(
    old: Release, new: Release
) -> None:
    assert apply(compare(old, new), old) == new


@pytest.mark.slow
@given(releases(), releases())
def test_each_table_diff_entry_has_a_place_kind_and_details(old: Release, new: Release) -> None:
    for table in compare(old, new):
        said = list(findings(table))
        assert said
        assert all(each.where and each.what and each.details for each in said)
        assert all(change.kinds and change.cells for change in table.cells)


@pytest.mark.slow
@given(releases(), releases())
def test_table_diff_names_each_changed_cell_exactly_once(old: Release, new: Release) -> None:
    for table in compare(old, new):
        if table.before is None or table.after is None:
            continue
        said = [
            each for each in findings(table) if not each.where.startswith(("axis", "what", "the"))
        ]
        for change, finding in zip(table.cells, said, strict=True):
            frames = [table.after, table.before] if change.after else [table.before, table.after]
            own, other = (frame.axes for frame in frames)
            named = {axis for cell in change.cells for axis, _ in cell}
            axes = {
                axis: own.get(axis) or other[axis]
                for axis in (own if named == own.keys() else other)
            }
            cells = [
                frozenset(zip(axes, place, strict=True))
                for pattern in finding.where.partition(" (")[0].split("; ")
                for place in product(
                    *(
                        values if part == "any" else [part]
                        for part, values in zip(pattern.split(" × "), axes.values(), strict=True)
                    )
                )
            ]
            assert len(cells) == len(set(cells))
            assert set(cells) == change.cells
            assert finding.where.endswith(f"({len(cells)} cells)") == (len(cells) > 1)


@given(st.randoms(use_true_random=True))
def test_reordered_tables_cells_and_members_are_no_change(chance: Random) -> None:
    document = json.loads(to_document([TABLES["connection"], TABLES["permission"]]))

    def shuffled(value: Json) -> Json:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return [shuffled(each) for each in chance.sample(value, len(value))]
        if isinstance(value, dict):
            return {name: shuffled(value[name]) for name in chance.sample(list(value), len(value))}
        return value

    mixed = parse_release(json.dumps(shuffled(document)))
    assert compare(parse_release(json.dumps(document)), mixed) == ()


# --- Findings ------------------------------------------------------------------------------


class Light(StrEnum):
    RED = "red"
    GREEN = "green"
    DARK = "dark"


class Press(StrEnum):
    SHORT = "short"
    LONG = "long"


@attrs.frozen
class Turn:
    to: Light
    slowly: bool = False

    def __str__(self) -> str:
        return f"turn {self.to}"


@attrs.frozen
class Stay:
    why: str = "It is said beside the answer."
    derived: str = attrs.field(default="", eq=False)

    def __str__(self) -> str:
        return "stay"


Lamp = Row[Turn | Stay]
RED, GREEN = Turn(Light.RED), Turn(Light.GREEN)
PRESS = Axis.of("press", Press)
TWO = Axis("light", (Light.RED, Light.GREEN))
GO = Lamp((Light.RED, ANY), GREEN, "[O] Any press will do.")
STOP = Lamp((Light.GREEN, ANY), RED, "[O] Any press will do.")


def release(*rows: Lamp, law: str = "What a press does.", light: Axis = TWO) -> Release:
    table = Table[tuple[Light, Press], Turn | Stay]("lamp", law, (light, PRESS), *rows)
    return parse_release(to_document([table]))


def said(old: Release, new: Release) -> list[Finding]:
    return [each for table in compare(old, new) for each in findings(table)]


OLD = release(GO, STOP)


def test_table_diff_shows_old_and_new_reason_of_changed_answer() -> None:
    new = release(attrs.evolve(GO, outcome=Stay(), why="[S] It stays."), STOP)
    was = "was: turn green, by lamp.red: [O] Any press will do."
    now = "now: stay, by lamp.red: [S] It stays."
    kinds = "answer changed, source changed, reason reworded"
    assert said(OLD, new) == [Finding("red × any (2 cells)", kinds, (was, now))]
    assert summary(compare(OLD, new)) == (
        "changed: 1 table; answer changed: 2 cells; source changed: 2 cells; "
        "reason reworded: 2 cells"
    )
    assert summary(compare(OLD, OLD)) == "no difference"


def test_diff_names_each_cell_if_only_part_of_an_axis_changed() -> None:
    turned = Lamp((Light.RED, Press.LONG), Stay(), "[O] No.")
    others = [
        Lamp((Light.RED, Press.SHORT), GREEN, GO.why, "red"),
        Lamp((Light.GREEN, Press.LONG), RED, STOP.why, "green"),
        Lamp((Light.GREEN, Press.SHORT), Stay(), "[O] No.", "red.long"),
    ]
    changed, other = said(OLD, release(turned, *others[:2], attrs.evolve(others[2], name="x")))
    assert (changed.where, other.where) == ("red × long", "green × short")


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ((attrs.evolve(GO, name="go"), STOP), "rule renamed"),
        ((attrs.evolve(GO, why="[P] Any press will do."), STOP), "source changed"),
        ((attrs.evolve(GO, why="[O] Each press will do."), STOP), "reason reworded"),
        ((attrs.evolve(GO, name="go", why="[O] So."), STOP), "rule renamed, reason reworded"),
        (
            (attrs.evolve(GO, name="green"), attrs.evolve(STOP, name="red")),
            "decided by another rule",
        ),
        ((attrs.evolve(GO, outcome=Turn(Light.GREEN, slowly=True)), STOP), "answer changed"),
    ],
)
def test_each_kind_of_table_change_has_its_own_text(rows: tuple[Lamp, ...], what: str) -> None:
    first = said(OLD, release(*rows))[0]
    assert (first.where, first.what) == ("red × any (2 cells)", what)
    assert first.details[0].removeprefix("was: ") != first.details[1].removeprefix("now: ")
    assert len(first.details) == 2


def test_table_diff_shows_fields_if_old_and_new_text_are_equal() -> None:
    (finding,) = said(OLD, release(attrs.evolve(GO, outcome=Turn(Light.GREEN, slowly=True)), STOP))
    assert finding.details == (
        'was: turn green {"slowly": false}, by lamp.red: [O] Any press will do.',
        'now: turn green {"slowly": true}, by lamp.red: [O] Any press will do.',
    )


def test_table_diff_ignores_answer_fields_excluded_from_equality() -> None:
    plain = attrs.evolve(GO, outcome=Stay())
    same = attrs.evolve(GO, outcome=Stay("It is said again.", "by something else"))
    assert said(release(plain, STOP), release(same, STOP)) == []


def test_answer_whose_text_alone_changed_is_reported_as_reworded() -> None:
    def worded(words: str) -> Release:
        text = to_document([Table("t", "Law.", Axis("a", ("1",)), Row("1", "x", "[O] So."))])
        return parse_release(text.replace('"says": "x"', f'"says": "{words}"'))

    assert [each.what for each in said(worded("stay"), worded("keep"))] == [
        "same answer in other words"
    ]


def test_diff_finds_added_removed_and_moved_axis_values() -> None:
    dark = Lamp((Light.DARK, ANY), Stay(), "[O] It is broken.")
    three = Axis("light", (Light.GREEN, Light.DARK, Light.RED))
    new = release(GO, STOP, dark, light=three)
    broken = "stay, by lamp.dark: [O] It is broken."
    order = Finding("axis light", "other order", ("green, dark, red",))
    assert said(OLD, new) == [
        Finding("axis light", "new values", ("dark",)),
        order,
        Finding("dark × any (2 cells)", "new cell", (f"now: {broken}",)),
    ]
    assert said(new, OLD) == [
        Finding("axis light", "lost values", ("dark",)),
        Finding("axis light", "other order", ("red, green",)),
        Finding("dark × any (2 cells)", "cell is gone", (f"was: {broken}",)),
    ]


def test_diff_reports_an_added_or_removed_axis_and_its_cells() -> None:
    row = Lamp(ANY, Stay(), "[O] So.", "all")
    bare = Table[Light, Turn | Stay]("lamp", "What a press does.", TWO, row)
    one = parse_release(to_document([bare]))
    assert [(each.where, each.what) for each in said(OLD, one)] == [
        ("axis press", "is gone"),
        ("red × any (2 cells)", "answer changed, rule renamed, reason reworded"),
        ("green × any (2 cells)", "answer changed, rule renamed, reason reworded"),
    ]
    assert [(each.where, each.what) for each in said(one, OLD)] == [
        ("axis press", "is new"),
        ("red × any (2 cells)", "answer changed, rule renamed, reason reworded"),
        ("green × any (2 cells)", "answer changed, rule renamed, reason reworded"),
    ]


def test_diff_of_a_new_axis_lists_only_cells_that_changed() -> None:
    old = Table[Light, Turn | Stay](
        "lamp", "What a press does.", TWO, attrs.evolve(GO, key=Light.RED),
        attrs.evolve(STOP, key=Light.GREEN),
    )  # fmt: skip
    new = release(
        attrs.evolve(GO, key=(Light.RED, Press.SHORT), name="red"),
        Lamp((Light.RED, Press.LONG), Stay(), "[O] Too long."),
        STOP,
    )
    before = parse_release(to_document([old]))
    was, now = "was: turn green, by lamp.red: [O]", "now: stay, by lamp.red.long: [O]"
    assert said(before, new) == [
        Finding("axis press", "is new", ("short, long",)),
        Finding(
            "red × long",
            "answer changed, decided by another rule, reason reworded",
            (f"{was} Any press will do.", f"{now} Too long."),
        ),
    ]


def test_diff_of_a_replaced_axis_lists_its_old_and_new_cells() -> None:
    row = Lamp(ANY, Stay(), "[O] So.", "all")
    light, press = (
        parse_release(to_document([Table[str, Turn | Stay]("lamp", "Law.", axis, row)]))
        for axis in (TWO, PRESS)
    )
    assert [(each.where, each.what) for each in said(light, press)] == [
        ("axis light", "is gone"),
        ("axis press", "is new"),
        ("any (2 cells)", "cell is gone"),
        ("any (2 cells)", "new cell"),
    ]


def test_table_diff_has_one_entry_for_an_added_or_removed_table() -> None:
    none = Release("0", {})
    assert said(none, OLD) == [Finding("table lamp", "is new", ("4 cells, 2 rules",))]
    assert said(OLD, none) == [Finding("table lamp", "is gone", ("4 cells, 2 rules",))]


def test_diff_reports_a_changed_description_and_state_axis() -> None:
    table = Table[tuple[Light, Press], Turn | Stay](
        "lamp", "What it does.", (TWO, PRESS), GO, STOP, state="light"
    )
    new = parse_release(to_document([table]))
    assert said(OLD, new) == [
        Finding("what it decides", "reworded", ("was: What a press does.", "now: What it does.")),
        Finding("the axis that it moves", "changed", ("was: none", "now: light")),
    ]
    assert said(new, OLD)[1].details == ("was: light", "now: none")


def test_table_changes_are_printed_as_json() -> None:
    new = release(attrs.evolve(GO, outcome=Stay()), STOP)
    document = json.loads(format_changes(OLD, new, compare(OLD, new)))
    (table,) = document["changes"]
    (change,) = table["cells"]
    assert (document["from"], document["to"]) == (OLD.version, new.version)
    assert table["name"] == "lamp"
    assert table["before"] == table["after"]
    assert table["after"]["axes"] == {"light": ["red", "green"], "press": ["short", "long"]}
    assert change["kinds"] == ["answer changed"]
    assert change["cells"] == [
        {"light": "red", "press": "long"},
        {"light": "red", "press": "short"},
    ]
    assert (change["before"]["says"], change["after"]["says"]) == ("turn green", "stay")
    gone = json.loads(format_changes(OLD, Release("2", {}), compare(OLD, Release("2", {}))))
    assert gone["changes"][0]["after"] is None
    assert gone["changes"][0]["cells"][0]["after"] is None


# --- Reading -------------------------------------------------------------------------------

LAMP = to_document([Table("t", "Law.", Axis("a", ("1", "2")), Row(ANY, "x", "[O] So.", name="r"))])


def test_document_of_tables_parses_back_unchanged() -> None:
    rule = Rule(name="t.r", outcome={"kind": "str"}, says="x", why="[O] So.")
    cells = {frozenset({("a", "1")}): rule, frozenset({("a", "2")}): rule}
    sheet = ReleasedTable(TableShape("Law.", None, {"a": ("1", "2")}), cells)
    read = parse_release(LAMP)
    assert read.tables == {"t": sheet}
    assert read.version == json.loads(LAMP)["version"]
    assert parse_release(LAMP.encode()) == read


def broken(
    change: Callable[[dict[str, Json], dict[str, Json], list[dict[str, Json]]], object],
) -> str:
    document = json.loads(LAMP)
    table = document["tables"][0]
    change(document, table, table["cells"])
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        ('{"format": NaN}', "it is not JSON"),
        ("[" * 300, "it is not JSON"),
        ("[]", "it is not a document of tables: it must have format, version and tables"),
        ("null", "it is not a document of tables: it must have format, version and tables"),
        ("{}", "it is not a document of tables: it must have format, version and tables"),
        (f"[{LAMP}]", "it is not a document of tables: it must have format, version and tables"),
        ('{"format": 2}', "its format is 2, but this version reads only 1"),
        ('{"format": 0, "version": "1", "tables": []}', "it is not a document"),
        ('{"format": 1, "version": 1, "tables": []}', "it is not a document"),
        ('{"format": 1, "version": "1", "tables": {}}', "it is not a document"),
        (
            '{"format": 1, "version": "1", "tables": [1]}',
            "each of its tables must have name, law, state",
        ),
        (broken(lambda d, t, _: d.update(tables=[t, t])), "two of its tables have the same name"),
        (broken(lambda _, t, __: t.pop("state")), "each of its tables must have name, law, state"),
        (
            broken(lambda _, t, __: t.update(axes={})),
            "each of its tables must have name, law, state",
        ),
        (broken(lambda _, t, __: t.update(axes={"a": "12"})), "table t: each axis must be a list"),
        (broken(lambda _, t, __: t.update(axes={"a": []})), "table t: each axis must be a list"),
        (
            broken(lambda _, t, __: t.update(axes={"a": ["1", 2]})),
            "table t: each axis must be a list",
        ),
        (
            broken(lambda _, t, __: t.update(axes={"a": ["1", "1"]})),
            "table t: each axis must be a list",
        ),
        (broken(lambda _, __, c: c.pop()), "table t: must decide each cell exactly once"),
        (broken(lambda _, __, c: c.append(c[0])), "table t: must decide each cell exactly once"),
        (broken(lambda _, __, c: c[1].update(c[0])), "table t: must decide each cell exactly once"),
        (broken(lambda _, __, c: c[0].update(key={"a": "3"})), "table t: each cell must have"),
        (broken(lambda _, __, c: c[0].update(key={"a": ["1"]})), "table t: each cell must have"),
        (broken(lambda _, __, c: c[0].update(key={"b": "1"})), "table t: each cell must have"),
        (
            broken(lambda _, __, c: c[0].update(key={"a": "1", "b": "1"})),
            "table t: each cell must have",
        ),
        (broken(lambda _, __, c: c[0].pop("says")), "table t: each cell must have"),
        (broken(lambda _, __, c: c[0].update(outcome="x")), "table t: each cell must have"),
    ],
)
def test_malformed_document_of_tables_raises_with_its_reason(text: str | bytes, why: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_release(text)
    assert caught.value.why.startswith(why)
    assert str(caught.value) == caught.value.why


SCALARS: st.SearchStrategy[Json] = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner)
)


@st.composite
def mutated(draw: st.DrawFn, value: Json) -> Json:
    """Draw a copy of a value with one part replaced."""
    if not isinstance(value, dict | list) or not value or draw(st.booleans()):
        return draw(VALUES)
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(mutated(value[at])), *value[at + 1 :]]
    name = draw(st.sampled_from(sorted(value)))
    return value | {name: draw(mutated(value[name]))}


@pytest.mark.slow
@given(mutated(json.loads(LAMP)))
def test_mutated_tables_document_is_read_or_raises_unreadable(document: Json) -> None:
    try:
        read = parse_release(json.dumps(document))
    except UnreadableError:
        return
    assert compare(read, read) == ()
