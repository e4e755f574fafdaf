"""Tests of the law about stored values."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores import codec
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.formats import FORMAT, NewerFormatError
from curae_lifecycle.testing.laws import check_stored
from tests.support.strategies import pending
from tests.testing.watched import broken


def test_law_18_check_tries_to_load_current_and_newer_format() -> None:
    loaded: list[tuple[type[Storable], Json]] = []
    document = codec.dump(pending())
    number = document[FORMAT]
    assert isinstance(number, int)

    def load(kind: type[Storable], stored: Json, /) -> object:
        loaded.append((kind, stored))
        return codec.load(kind, stored)

    check_stored(pending(), load=load)
    newer = {**document, FORMAT: number + 1}
    assert loaded == [(Connection, document), (Connection, newer)]


def dump_without_format(value: Storable) -> dict[str, Json]:
    return {name: member for name, member in codec.dump(value).items() if name != FORMAT}


def dump_another(value: Storable) -> dict[str, Json]:
    del value
    return codec.dump(pending(number=2))


def load_any_format(kind: type[Storable], stored: Json, /) -> object:
    assert isinstance(stored, dict)
    try:
        return codec.load(kind, stored)
    except NewerFormatError:
        return codec.load(kind, {**stored, FORMAT: codec.dump(pending())[FORMAT]})


def test_law_18_check_reports_a_loader_that_reads_newer_formats() -> None:
    with broken(18, "a document of a newer format was read instead of refused", "Connection"):
        check_stored(pending(), load=load_any_format)


def test_law_18_check_raises_if_the_loaded_value_differs() -> None:
    with broken(18, "the loaded value is not the stored one", where="Connection"):
        check_stored(pending(), dump=dump_another)


@pytest.mark.parametrize("number", [None, "1"])
def test_law_18_check_finds_a_document_without_a_format_number(number: Json) -> None:
    def dump(value: Storable) -> dict[str, Json]:
        return {**dump_without_format(value), FORMAT: number}

    def load(kind: type[Storable], stored: Json, /) -> object:
        del kind, stored
        return pending()

    with broken(18, "the stored document has no format number", where="Connection"):
        check_stored(pending(), dump=dump, load=load)
