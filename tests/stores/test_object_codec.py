"""Tests of the codecs of objects: what is read, what is refused, and what is written."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.stores.object_codec import (
    Document,
    FieldCodec,
    ObjectCodec,
    field_codec,
    nullable,
)
from tests.support.malformed import fault


@attrs.frozen
class Point:
    """A value with a required field, one that is text in its document, and one with a default."""

    x: int
    y: int
    note: str | None = None


def codec() -> ObjectCodec:
    """Return a codec of points, whose documents may have a further member `format`."""
    parts = {
        "x": FieldCodec(int),
        "y": field_codec(str, int, str),
        "note": nullable(field_codec(str, str.upper, str.lower)),
    }
    return ObjectCodec(Point, parts, "format")


@pytest.mark.parametrize(("note", "written"), [("HERE", "here"), (None, None)])
def test_object_codec_reads_the_document_that_it_wrote(
    note: str | None, written: str | None
) -> None:
    document = codec().write(Point(1, 2, note))
    assert document == {"x": 1, "y": "2", "note": written}
    assert codec().read(document) == Point(1, 2, note)


def test_making_a_codec_nullable_leaves_the_original_unchanged() -> None:
    text = FieldCodec(str)
    assert nullable(text) == FieldCodec(str, nullable=True)
    assert not text.nullable


def test_object_codec_accepts_no_extra_member_except_format() -> None:
    document: Document = {"x": 1, "y": "2", "format": 1}
    assert codec().read(document) == Point(1, 2)
    assert fault(lambda: codec().read({**document, "z": 3})) == (None, "INVALID")


@pytest.mark.parametrize(
    ("member", "wrong"),
    [("x", "1"), ("x", True), ("x", None), ("y", 2), ("y", "two"), ("y", None), ("note", 5)],
)
def test_object_codec_error_names_the_member_of_a_wrong_type(member: str, wrong: object) -> None:
    document: Document = {"x": 1, "y": "2", "note": "here", member: wrong}
    assert fault(lambda: codec().read(document)) == (member, "INVALID")


def test_missing_member_gets_its_default_or_raises_without_one() -> None:
    assert codec().read({"x": 1, "y": "2"}) == Point(1, 2)
    assert fault(lambda: codec().read({"x": 1})) == ("y", "INVALID")
