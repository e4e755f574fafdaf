"""Tests of stored formats: every older format is loaded, and a newer one is refused."""

from __future__ import annotations

import copy
import json
import pickle
import runpy
from pathlib import Path
from typing import cast, get_args

import attrs
import pytest

from curae_lifecycle import dump, load
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores import codec
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.formats import (
    UPGRADES,
    Document,
    NewerFormatError,
    Upgrade,
    newest_format,
    upgrade_document,
)
from curae_lifecycle.web.json import MalformedError
from tests.stores.formats import FOLDER, VALUES
from tests.support.strategies import pending

KINDS: dict[str, type[Storable]] = {kind.__name__: kind for kind in get_args(Storable)}


def stored(kind: str, form: int) -> list[Json]:
    return cast("list[Json]", json.loads((FOLDER / f"{kind}.{form}.json").read_text("utf-8")))


def test_format_corpus_has_a_file_for_every_stored_format() -> None:
    forms = {(kind, form) for kind in KINDS for form in range(1, newest_format(kind) + 1)}
    assert {tuple(file.name.split(".")[:2]) for file in FOLDER.glob("*.json")} == {
        (kind, str(form)) for kind, form in forms
    }
    assert UPGRADES.keys() <= KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_law_18_every_older_format_is_loaded(kind: str) -> None:
    for form in range(1, newest_format(kind) + 1):
        loaded = [load(KINDS[kind], document) for document in stored(kind, form)]
        assert loaded == VALUES[kind], form


@pytest.mark.parametrize("kind", KINDS)
def test_current_dump_equals_corpus_file_of_the_newest_format(kind: str) -> None:
    # A changed format without a new number fails here.
    written = json.loads(json.dumps([dump(value) for value in VALUES[kind]]))
    assert written == stored(kind, newest_format(kind))


def test_format_corpus_file_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.stores.formats.FOLDER", tmp_path)
    for _ in range(2):
        runpy.run_module("tests.stores.formats.__main__", run_name="__main__")
    file = tmp_path / "Connection.1.json"
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"never changed: Connection\.1\.json;"):
        runpy.run_module("tests.stores.formats.__main__", run_name="__main__")
    assert file.read_text(encoding="utf-8") == "[]"


# --- Upgrades -------------------------------------------------------------------------------


def renamed(document: Document) -> Document:
    document["reason"] = document.pop("why")
    return document


def counted(document: Document) -> Document:
    return {**document, "count": 1}


STEPS = {"Thing": (Upgrade("the reason has its name", renamed), Upgrade("it counts", counted))}


@pytest.mark.parametrize(
    ("document", "newest"),
    [
        ({"format": 1, "why": "x"}, {"reason": "x", "count": 1}),
        ({"format": 2, "reason": "x"}, {"reason": "x", "count": 1}),
        ({"format": 3, "reason": "x", "count": 7}, {"reason": "x", "count": 7}),
    ],
)
def test_stored_document_gets_its_missing_upgrades_in_order(
    document: Document, newest: Document
) -> None:
    before = copy.deepcopy(document)
    assert upgrade_document("Thing", document, STEPS) == newest
    assert document == before


def test_document_kind_without_upgrades_stays_at_format_1() -> None:
    assert newest_format("Thing", STEPS) == 3
    assert newest_format("Another", STEPS) == 1
    assert upgrade_document("Another", {"format": 1, "why": "x"}, STEPS) == {"why": "x"}


@pytest.mark.parametrize("form", [None, 0, -1, True, "1", 1.0, [1]])
def test_document_with_an_invalid_format_number_is_malformed(form: Json) -> None:
    with pytest.raises(MalformedError) as raised:
        load(Connection, {**dump(pending()), "format": form})
    assert (raised.value.member, raised.value.fault) == ("format", Fault.INVALID)


def test_document_without_a_format_number_is_malformed() -> None:
    document = dump(pending())
    del document["format"]
    with pytest.raises(MalformedError) as raised:
        load(Connection, document)
    assert raised.value.member == "format"


@pytest.mark.parametrize("kind", KINDS)
def test_law_18_newer_format_is_refused(kind: str) -> None:
    known = newest_format(kind)
    # The other members of a newer format are not read.
    bare: Document = {"format": known + 1}
    for document in (bare, {**dump(VALUES[kind][0]), **bare}):
        with pytest.raises(NewerFormatError) as raised:
            load(KINDS[kind], document)
        error = raised.value
        assert (error.kind, error.stored, error.known) == (kind, known + 1, known)
        assert str(error) == (
            f"{kind}: stored in form {known + 1} by a newer release; "
            f"this one reads forms up to {known}"
        )
        assert error.args == (kind, known + 1, known)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(again), str(again)) == (NewerFormatError, str(error))


def test_loading_an_old_document_runs_its_upgrades(monkeypatch: pytest.MonkeyPatch) -> None:
    def older(document: Document) -> Document:
        return {**document, "version": 1}

    steps = {"Connection": (Upgrade("a connection counts its writes", older),)}
    monkeypatch.setattr(
        codec, "upgrade_document", lambda kind, held: upgrade_document(kind, held, steps)
    )
    document = dump(pending())
    del document["version"]
    assert load(Connection, document) == pending()
    assert load(Connection, {**dump(pending()), "format": 2}) == pending()


def test_dump_writes_the_newest_format_and_load_upgrades_older(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = (Upgrade("a connection counts its writes", lambda held: {**held, "version": 1}),)
    monkeypatch.setitem(cast("dict[str, tuple[Upgrade, ...]]", UPGRADES), "Connection", steps)
    newest = attrs.evolve(pending(), version=7)
    assert dump(newest)["format"] == 2
    assert load(Connection, dump(newest)) == newest
    older = {**dump(newest), "format": 1}
    assert load(Connection, older) == attrs.evolve(newest, version=1)
