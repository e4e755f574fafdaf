"""Tests of the pictures: they show exactly their tables, and can be read.

The tests find every arrow in the text of the file by its rules, its sentence and the two boxes
that its line joins.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Final
from xml.etree import ElementTree as ET

import attrs
import pytest

from curae_lifecycle.rules.access import GRANT
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.chain import REISSUE
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.idempotency import EXECUTE, RecordState
from curae_lifecycle.rules.outcomes import IGNORE, MoveTo, RefuseWith
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.session import COMPLETION, ENTRY_PATHS
from curae_lifecycle.rules.triggers import RECOVER, TRIGGERS, Trigger
from curae_lifecycle.service.gates import REQUEST_GATES, Ask
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import (
    LETTER_WIDTH,
    LINE_HEIGHT,
    STYLE,
    Arrow,
    Box,
    Picture,
    Route,
    find_route,
    merge_arrows,
    to_svg,
    wrap_words,
)
from docs.generate.pictures import pictures
from docs.generate.pictures.connection import ANOTHER, START, draw_connection
from docs.generate.pictures.entry_paths import draw_entry_paths
from docs.generate.pictures.key_record import KEPT, draw_key_record
from docs.generate.pictures.moves import draw_moves
from docs.generate.pictures.recovery import draw_recovery
from docs.generate.pictures.request import draw_gates
from tests.proof.reference import tables
from tests.rules.test_tables import GO, STAY, STOP, build
from tests.support.cells import Key, outcome_of

SVG: Final = "{http://www.w3.org/2000/svg}"
PICTURES: Final = pictures()
DRAW: Final[dict[str, Callable[[], Picture]]] = {
    "connection": draw_connection,
    "recovery": draw_recovery,
    "entry-path": draw_entry_paths,
    "idempotency": draw_key_record,
    "request": draw_gates,
    "binding": lambda: draw_moves(TABLES["binding"]),
    "expiry-record": lambda: draw_moves(TABLES["expiry-record"]),
}
each_picture = pytest.mark.parametrize("name", PICTURES)
Ways = Counter[tuple[str, str, str]]


def ways(name: str) -> Ways:
    """Count the arrows of a picture by their boxes and words."""
    return Counter((each.source, each.target, each.words) for each in pictures()[name].arrows)


# --- Contents --------------------------------------------------------------------------------

STATUSES: Final = {status for status, *_ in tables.DEADLINE}
LATE: Final = "at or after the deadline"
STATES: Final = {
    "IN_FLIGHT": "in flight, lease running",
    "COMPLETED": "completed",
    "RELEASED": "released",
    "FORGOTTEN": "forgotten",
}
"""The standing of a record that was just stored."""


def arrows_of_a_connection() -> Ways:
    """Return the arrows that the tables written by hand give."""
    moves = [
        (standing, verdict if verdict in STATUSES else "EXPIRED", trigger, verdict)
        for (trigger, standing), verdict in tables.CONNECTION.items()
        if verdict in {*STATUSES, tables.RECORDS_EXPIRY}
    ]
    return Counter(
        [
            ("nothing", "PENDING", "create-connection"),
            *((a, b, by if b == verdict else f"{by}: {verdict}") for a, b, by, verdict in moves),
            *(
                (status, tables.STANDING[status, revoked, era, LATE], f"{deadline} is reached")
                for (status, revoked, era), deadline in tables.DEADLINE.items()
                if deadline != "none"
            ),
            ("LAPSED", "ACTIVE", "authorize that happened before the hand-off's deadline"),
            *(
                (standing, ANOTHER, trigger)
                for (trigger, standing), verdict in tables.CONNECTION.items()
                if verdict == "recover"
            ),
        ]
    )


def arrows_of_a_record() -> Ways:
    """Return the arrows that the tables written by hand give."""
    running, over = "in flight, lease running", "in flight, lease over"
    acts = [(standing, act, state) for (act, standing, _), state in tables.ATTEMPT.items()]
    acts += [(standing, act, state) for (act, standing), state in tables.RECORD_UPKEEP.items()]
    return Counter(
        [
            *(
                (standing, running, "a request: execute")
                for (standing, fingerprint), verdict in tables.IDEMPOTENCY.items()
                if (fingerprint, verdict) == ("same fingerprint", "execute")
            ),
            *((standing, STATES[to], act) for standing, act, to in acts if to in STATES),
            (running, over, "lease over, which means execute"),
            (running, "unknown", "lease over, which means unknown"),
            (KEPT, "absent, or retention over", "24 hours are over"),
        ]
    )


def test_connection_state_picture_has_the_expected_arrows() -> None:
    assert ways("connection") == arrows_of_a_connection()
    assert START == "nothing"
    assert PICTURES["connection"].notes == (
        "authorize, successor PENDING → refuse CONNECTION_SUPERSEDED",
        "authorize, successor anything else → refuse CONNECTION_SUPERSEDED",
    )


def test_idempotency_record_picture_has_the_expected_arrows() -> None:
    assert ways("idempotency") == arrows_of_a_record()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("recovery", {row.rule for row in TABLES["recovery"].rows}),
        ("connection", {row.rule for row in TRIGGERS.values() if row.outcome == RECOVER}),
        ("entry-path", {row.rule for table in (ENTRY_PATHS, COMPLETION) for row in table.rows}),
        ("request", {row.rule for row in REQUEST_GATES.rows}),
        *(
            (name, {row.rule for row in table.rows if isinstance(row.outcome, MoveTo)})
            for name, table in TABLES.items()
            if table.state is not None
        ),
    ],
)
def test_picture_shows_every_state_change_of_its_table(name: str, asked: set[str]) -> None:
    shown = {rule for arrow in PICTURES[name].arrows for rule in arrow.rules}
    assert asked <= shown
    assert shown <= {row.rule for table in TABLES.values() for row in table.rows}


def test_request_gates_picture_follows_the_table_order() -> None:
    picture = PICTURES["request"]
    order = [*(gate.value for gate in REQUEST_GATES), "the answer"]
    before = "a request"
    tops = {box.name: box.at[1] for box in picture.boxes}
    for gate in order:
        assert (before, gate, "") in ways("request")
        assert tops[before] < tops[gate]
        before = gate
    said = [box.lines[0] for box in picture.boxes if box.name.startswith("answer ")]
    assert said == [
        "401 UNAUTHENTICATED",
        "404 NOT_FOUND",
        "see permission: 403",
        "400 BAD_REQUEST",
        "400 IDEMPOTENCY_KEY_NOT_ALLOWED",
        "400 IDEMPOTENCY_KEY_REQUIRED",
        "400 IDEMPOTENCY_KEY_INVALID",
        "429 RATE_LIMITED",
        "see idempotency: 409 or 422",
        "429 RATE_LIMITED",
        "404 NOT_FOUND",
        "see the tables of the operation: 409",
        "500 INTERNAL",
    ]


def sources(picture: Picture) -> set[tuple[str, str]]:
    """Return each rule of a picture with its table; an operation is shown by its name alone."""
    shown = {rule for arrow in picture.arrows for rule in arrow.rules}
    found = {(name, row.rule) for name, table in TABLES.items() for row in table.rows}
    return {(name, rule) for name, rule in found if rule in shown and name != "operation"}


@each_picture
def test_changed_outcome_of_a_shown_rule_changes_the_picture(name: str) -> None:
    before = to_svg(PICTURES[name])
    for source, rule in sources(PICTURES[name]):
        cells = [(key, row) for key, row in TABLES[source].cells() if row.rule == rule]
        changed = 0
        for key, row in cells:
            others = [each.outcome for each in TABLES[source].rows if each.outcome != row.outcome]
            with outcome_of(source, key, others[0]):
                changed += to_svg(DRAW[name]()) != before
        assert changed, rule
    assert to_svg(DRAW[name]()) == before


REFUSED: Final = RefuseWith(ProblemCode.CONNECTION_SUPERSEDED)
TO_ACTIVE: Final = TRIGGERS[Trigger.AUTHORIZE, Standing.PENDING].outcome


@pytest.mark.parametrize(
    ("name", "table", "cell", "outcome", "come"),
    [
        ("connection", "connection", ("authorize", "REVOKED"), TO_ACTIVE, "REVOKED → ACTIVE: authorize"),
        ("connection", "connection", ("require_action", "LAPSED"), TO_ACTIVE,
         "LAPSED → ACTIVE: require_action"),
        ("connection", "access", ("EXPIRED", "package granted"), GRANT, ""),
        ("connection", "authorization", ("no successor",), REFUSED, "authorize, no successor → refuse"),
        ("recovery", "connection", ("reconnect", "PENDING"), IGNORE, "PENDING, any successor → ignore"),
        ("recovery", "recovery", ("REVOKED", "no successor"), REISSUE, "REVOKED, no successor → reissue"),
        ("idempotency", "idempotency", ("unknown", "same fingerprint"), EXECUTE, "unknown → in flight"),
        ("idempotency", "record-upkeep", ("forget", "forgotten"), MoveTo(RecordState.RELEASED),
         "forgotten → released: forget"),
        ("entry-path", "completion", ("SILENT_LIMITED", "waiting"), IGNORE,
         "SILENT_LIMITED, completeHandoff → waiting: ignore"),
        ("request", "request", ("ownership",), Ask("access"), "ownership → see access"),
        ("binding", "binding", ("tombstone", "TOMBSTONED", "same user"), MoveTo(AccountState.UNLINKED),
         "TOMBSTONED → UNLINKED: tombstone"),
    ],
)  # fmt: skip
def test_new_outcome_of_a_table_cell_appears_in_its_picture(
    name: str, table: str, cell: Key, outcome: object, come: str
) -> None:
    before = to_svg(DRAW[name]())
    with outcome_of(table, cell, outcome):
        after = to_svg(DRAW[name]())
    assert after != before
    assert come not in before or not come
    assert come in after


# --- The file ----------------------------------------------------------------------------------


@each_picture
def test_table_svg_has_each_arrow_once_between_its_boxes(name: str) -> None:
    picture = PICTURES[name]
    root = ET.fromstring(to_svg(picture))  # noqa: S314 - our own text
    drawn = [group for group in root.iter(f"{SVG}g") if "data-rules" in group.attrib]
    assert len(drawn) == len(picture.arrows)
    boxes = {box.name: box for box in picture.boxes}
    for group, arrow in zip(drawn, picture.arrows, strict=True):
        assert group.attrib["data-rules"].split() == list(arrow.rules)
        assert group.attrib["class"] == arrow.kind
        said = " ".join(filter(None, (each.text for each in group.iter(f"{SVG}text"))))
        assert said == arrow.words
        line, _tip = group.iter(f"{SVG}path")
        numbers = [int(number) for number in re.findall(r"-?\d+", line.attrib["d"])]
        assert touches(boxes[arrow.source], (numbers[0], numbers[1])), arrow
        assert touches(boxes[arrow.target], (numbers[-2], numbers[-1])), arrow
    described = root.find(f"{SVG}desc")
    assert described is not None
    assert described.text == " ".join(f"{sentence}." for sentence in picture.sentences)
    arrows = [arrow.sentence for arrow in picture.arrows]
    assert list(picture.sentences) == [*arrows, *picture.notes]
    below = [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "note"]
    assert below == [note for note in (picture.legend, *picture.notes) if note]
    title = root.find(f"{SVG}title")
    assert title is not None
    assert title.text == picture.title
    ids = [each.attrib["id"] for each in root.iter() if "id" in each.attrib]
    assert root.attrib["aria-labelledby"].split() == ids == [f"{name}-title", f"{name}-words"]


@each_picture
def test_table_svg_has_no_script_and_loads_no_file(name: str) -> None:
    text = to_svg(PICTURES[name])
    root = ET.fromstring(text)  # noqa: S314 - our own text
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "circle", "path", "text", "g"}
    assert not re.search(
        r"https?:(?!//www\.w3\.org/2000/svg\")|url\(|@import|@font-face|href|\son\w+=", text
    )
    # A blank line would end the HTML block within Markdown.
    assert "\n\n" not in text


# --- Whether it can be read ----------------------------------------------------------------------


def touches(box: Box, point: tuple[int, int]) -> bool:
    """Return whether a point lies on the border of a box, or within a box without a border."""
    (left, top), (width, height) = box.at, box.size
    across, down = point[0] - left, point[1] - top
    if not (-1 <= across <= width + 1 and -1 <= down <= height + 1):
        return False
    return box.kind == "plain" or min(across, down, width - across, height - down) <= 1


Area = tuple[float, float, float, float]


def area_of(route: Route, words: str) -> Area:
    lines = wrap_words(words, route.letters)
    width = LETTER_WIDTH * max(map(len, lines))
    left = route.words[0] - {"start": 0, "middle": width / 2, "end": width}[route.anchor]
    top = route.words[1] - 11
    return left, top, left + width, top + LINE_HEIGHT * len(lines) - 2


def meet(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@each_picture
def test_table_picture_labels_do_not_overlap_and_stay_inside(name: str) -> None:
    picture = PICTURES[name]
    boxes = [box for box in picture.boxes if box.kind != "frame"]
    areas: dict[str, Area] = {
        box.name: (*box.at, box.at[0] + box.size[0], box.at[1] + box.size[1]) for box in boxes
    }
    for (one, here), (other, there) in combinations(areas.items(), 2):
        assert not meet(here, there), (one, other)
    labels = {
        arrow.sentence: area_of(find_route(picture, arrow), arrow.words)
        for arrow in picture.arrows
        if arrow.words
    }
    for (one, here), (other, there) in combinations((labels | areas).items(), 2):
        assert not meet(here, there), (one, other)
    for words, (left, top, right, bottom) in (labels | areas).items():
        assert left >= 0, words
        assert top >= 0, words
        assert right <= picture.size[0], words
        assert bottom <= picture.size[1], words
    for box in picture.boxes:
        assert all(LETTER_WIDTH * len(line) <= box.size[0] + 20 for line in box.lines), box


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("number", range(4))
def test_picture_text_contrast_is_sufficient_in_light_and_dark(number: int) -> None:
    colours = dict(re.findall(r"--(\w+):(#\w{6})", STYLE.split("}\n")[number]))
    assert len(colours) == 9
    for behind in ("paper", "fill", "live"):
        assert contrast(colours["ink"], colours[behind]) >= 7
    for words in ("quiet", "clock", "again", "stop", "line"):
        assert contrast(colours[words], colours["paper"]) >= 4.5


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# --- Tables without a layout -----------------------------------------------------------------


def test_picture_of_a_table_without_layout_has_its_state_changes() -> None:
    picture = draw_moves(build(GO, STOP, STAY, state="light"))
    assert [arrow.sentence for arrow in picture.arrows] == [
        "red → green: short / long",
        "green → red: long",
    ]
    assert "red → green: short / long. green → red: long." in to_svg(picture)
    assert picture.size[0] > 300


def test_picture_arrow_without_a_route_is_straight_or_a_loop() -> None:
    boxes = (
        Box(name="a", at=(0, 0), size=(40, 20), lines=("a",)),
        Box(name="b", at=(100, 0), size=(40, 20), lines=("b",)),
        Box(name="c", at=(0, 100), size=(40, 20), lines=("c",)),
    )
    arrows = tuple(Arrow(source="a", target=to, words="go", kind="move", rules=()) for to in "abc")
    picture = Picture(name="p", title="A < B.", size=(200, 200), boxes=boxes, arrows=arrows)
    routes = [find_route(picture, arrow).points for arrow in arrows]
    assert routes[0] == ((40, 2), (62, 2), (62, 18), (40, 18))
    assert routes[1:] == [((40, 10), (100, 10)), ((20, 20), (20, 100))]
    assert '<title id="p-title">A &lt; B.</title>' in to_svg(picture)


def test_picture_arrows_between_the_same_boxes_are_merged() -> None:
    arrows = [
        Arrow(source="a", target="b", words=words, kind="move", rules=(words,))
        for words in ("x", "y", "x")
    ]
    assert merge_arrows(arrows) == (
        Arrow(source="a", target="b", words="x / y", kind="move", rules=("x", "y")),
    )
    assert len(merge_arrows([*arrows, attrs.evolve(arrows[0], kind="clock")])) == 2
