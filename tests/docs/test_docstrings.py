"""Tests that every public name has a docstring that describes its parts.

The reference is complete if each public module is on a page (`tests/docs/site/test_site.py`) and
each public name has a docstring: the site shows names with docstrings.
"""

from __future__ import annotations

import ast
from typing import Final

import pytest

import curae_lifecycle
from tests.docs.docstrings import Named, listed_modules, names_of, public_names, tells_of

pytestmark = pytest.mark.slow

INNER: Final = (
    "stores.sql.buckets",
    "stores.sql.callers",
    "stores.sql.outbox_statements",
    "stores.sql.clock",
    "stores.sql.drivers",
    "stores.sql.failures",
    "stores.sql.loading",
    "stores.sql.postgresql",
    "stores.sql.statement",
    "stores.sql.storing",
)
"""Modules with internal functions of the SQL store."""


def test_every_public_name_has_a_docstring() -> None:
    assert [named.name for named in public_names() if not named.says.strip()] == []


def test_docstrings_describe_every_public_parameter_and_field() -> None:
    untold = {named.name: named.untold for named in public_names() if named.untold}
    assert {name: parts for name, parts in untold.items() if not name.startswith(INNER)} == {}
    assert set(INNER) <= set(listed_modules())


def test_every_raised_error_and_outcome_is_documented() -> None:
    assert {named.name: named.unsaid for named in public_names() if named.unsaid} == {}


def test_every_parameter_of_each_exported_name_is_described() -> None:
    by_name = {named.name: named for named in public_names()}
    for home, names in curae_lifecycle._MODULES.items():
        for name in names:
            named = by_name[f"{home}.{name}"]
            said = f"{named.says}\n{named.told_elsewhere}"
            assert all(tells_of(said, part) for part in named.parts), name


def test_docstring_check_finds_hundreds_of_public_names() -> None:
    kinds = [named.kind for named in public_names()]
    assert kinds.count("function") >= 270
    assert kinds.count("class") >= 250
    assert kinds.count("method") >= 230
    assert kinds.count("constant") >= 120
    assert len({named.name for named in public_names()}) == len(kinds)


def found(source: str) -> dict[str, Named]:
    return {named.name: named for named in names_of("m", ast.parse(source).body)}


def test_docstring_check_reports_a_name_without_docstring() -> None:
    silent = found(
        "A: Final = 1\nB = 2\n'''What B is.'''\n\ndef f(): ...\n\nclass C: ...\n_d = 1\n"
    )
    assert {name: named.says.strip() for name, named in silent.items()} == {
        "m.A": "",
        "m.B": "What B is.",
        "m.f": "",
        "m.C": "",
    }


@pytest.mark.parametrize(
    ("source", "untold"),
    [
        ("def f(store, now):\n    '''At a store.'''", ("now",)),
        ("def f(store, now):\n    '''At `store`, `now`.'''", ()),
        ("def f(store):\n    '''Whatever.'''", ()),
        ("def f(a_key, *rest, **more):\n    '''The key.'''", ("a_key", "rest", "more")),
        ("def f(_inner, now, at):\n    '''Now, at.'''", ()),
        ("class f:\n    '''A thing.'''\n    one: int\n    two: int", ("one", "two")),
        ("class f:\n    '''Of one.'''\n    one: int\n    two: int\n    '''The two.'''", ()),
        ("class f:\n    '''A.'''\n    def __init__(self, one, two): ...", ("one", "two")),
        ("def f(store, id_factory):\n    '''Serve as `serve` does.'''", ()),
    ],
)
def test_docstring_check_reports_an_undescribed_parameter(
    source: str, untold: tuple[str, ...]
) -> None:
    assert found(source)["m.f"].untold == untold


@pytest.mark.parametrize(
    ("source", "unsaid"),
    [
        ("def f():\n    '''A.'''\n    if x:\n        raise a.MyError(1)", {"MyError"}),
        (
            "def f():\n    '''A.\n\n    Raises:\n        MyError: So.\n    '''\n    raise MyError",
            set(),
        ),
        ("def f():\n    '''A.'''\n    def g():\n        raise MyError", set()),
        ("def f():\n    '''A.'''\n    raise error", set()),
        ("def f() -> Done[int] | Refused:\n    '''Done: it is.'''", {"Refused"}),
    ],
)
def test_docstring_check_reports_an_undocumented_error(source: str, unsaid: set[str]) -> None:
    assert found(source)["m.f"].unsaid == unsaid


@pytest.mark.parametrize(
    ("said", "part", "told"),
    [
        ("The connection's id.", "connection_id", True),
        ("Its `connectionId`.", "connection_id", True),
        ("Its connection.", "connection_id", False),
        ("Data packages.", "data_packages", True),
        ("It knows.", "now", False),
    ],
)
def test_docstring_check_accepts_parameter_name_as_code_or_words(
    said: str, part: str, *, told: bool
) -> None:
    assert tells_of(said, part) is told
