"""Every parser under a committed corpus and its mutants; law 16, round trips, second readings."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING, Final

import pytest

from curae_lifecycle.replay import log as logs
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.values import parse_time
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from tests.fuzz import targets
from tests.fuzz.corpus import CORPUS, load_corpus, store_corpus
from tests.fuzz.mutate import LONGEST, mutate
from tests.fuzz.targets import TARGETS
from tests.server import CALLER
from tests.strategies import START

if TYPE_CHECKING:
    from _typeshed import TraceFunction

MUTANTS: Final = 60
"""Mutants of each input; five times as many at the published size."""


class FuzzError(AssertionError):
    """An input that breaks law 16, a round trip, or what two readings agree on."""


def fuzz(target: str, mutants: int, seed: int) -> Counter[str]:
    """What came of the corpus of a target and its mutants, in a word each."""
    corpus, counts = load_corpus(target), Counter[str]()
    random, others = Random(f"{seed} {target}"), list(corpus.values())  # noqa: S311 - a seed is the point
    for name, data in corpus.items():
        for bent in [data, *(mutate(data, random, others) for _ in range(mutants))]:
            try:
                counts[TARGETS[target](bent)] += 1
            except Exception as error:
                law = "" if isinstance(error, LawBrokenError) else "law 16: "
                what = f"{law}{target}, from {name!r}: {error!r} for {bent[:300]!r}"
                raise FuzzError(what) from error
    return counts


@cache
def small(target: str) -> Counter[str]:
    return fuzz(target, MUTANTS, seed=0)


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_gives_a_value_or_a_documented_fault(target: str) -> None:
    assert small(target).total() == len(load_corpus(target)) * (1 + MUTANTS)


@pytest.mark.heavy
@pytest.mark.parametrize("target", TARGETS)
def test_every_input_gives_a_value_or_a_documented_fault_at_the_published_size(target: str) -> None:
    counts = fuzz(target, 5 * MUTANTS, seed=1)
    assert counts.total() == len(load_corpus(target)) * (1 + 5 * MUTANTS)


# --- What the runs reach ---------------------------------------------------------------------


def faults(*members: str) -> set[str]:
    """Every fault of a document and of its members."""
    whole = {"NOT_JSON", "NOT_AN_OBJECT", "UNKNOWN", "REPEATED"}
    parts = product(members, ("MISSING", "NULL", "INVALID", "REPEATED"))
    found = {f"document {fault}" for fault in whole} | {f"{name} {fault}" for name, fault in parts}
    return {"value", *found} - {"preferSignup MISSING"}


STORED: Final = {"value", "document NOT_JSON", "document INVALID"}
NULLABLE: Final = {"authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"}
CONNECTION: Final = {
    *("id", "customerAccountId", "appUserId", "status", "dataPackages", "createdAt"),
    *("updatedAt", *NULLABLE),
}
OUTCOMES: Final[dict[str, set[str]]] = {
    "json": {"value", "document NOT_JSON"},
    "create": faults("appUserId", "dataPackages"),
    "initiate": faults("appUserId", "preferSignup"),
    "graduation": faults("appUserId"),
    "nothing": faults(),
    "connection": faults(*CONNECTION) - {f"{name} NULL" for name in NULLABLE},
    "stored-connection": STORED,
    "stored-session": STORED,
    "stored-binding": STORED,
    "stored-record": STORED,
    "stored-log": STORED,
    "stored-bucket": STORED,
    "time": {"value", "not time"},
    "uuid": {"value", "not id"},
    "app-user-id": {"value", "not appUserId"},
    "opaque": {"value", "not text"},
    "key": {"value", "not Idempotency-Key"},
    "packages": {"value", "document NOT_JSON", "not dataPackages"},
    "http": {
        *("200", "201", "304", "UNAUTHENTICATED", "NOT_FOUND", "BAD_REQUEST"),
        *("IDEMPOTENCY_KEY_REQUIRED", "IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_NOT_ALLOWED"),
        "BINDING_NOT_LIMITED",
    },
    "authorization": {"value", "nobody"},
    "if-none-match": {"any", "known", "unknown"},
    "rate-headers": {"value", "not name", "not limit", "not seconds", "not capacity", "not refill"},
    "log": {"value", "1 broken"},
}


@pytest.mark.parametrize("target", TARGETS)
def test_every_documented_fault_of_every_member_is_seen(target: str) -> None:
    seen = set(small(target))
    assert not OUTCOMES[target] - seen, "never reached"
    if target != "log":
        assert seen == OUTCOMES[target], "reached, but not documented here"


def test_the_corpus_is_kept_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.stem for path in CORPUS.iterdir()} == set(TARGETS)
    kept = {target: load_corpus(target) for target in TARGETS}
    assert sum(map(len, kept.values())) >= 400
    monkeypatch.setattr("tests.fuzz.corpus.CORPUS", tmp_path / "corpus")
    for target, inputs in kept.items():
        store_corpus(target, inputs)
        assert load_corpus(target) == inputs
        written = (tmp_path / "corpus" / f"{target}.json").read_bytes()
        assert written == (CORPUS / f"{target}.json").read_bytes()


def test_mutants_are_the_same_for_a_seed_and_others_for_another() -> None:
    inputs = list(load_corpus("http").values())

    def mutants(seed: int) -> list[bytes]:
        random = Random(seed)  # noqa: S311 - a seed is the point
        return [mutate(data, random, inputs) for data in inputs for _ in range(20)]

    assert mutants(1) == mutants(1) != mutants(2)
    assert len(set(mutants(1))) > 0.9 * len(mutants(1))
    assert max(map(len, mutants(1))) <= LONGEST


# --- That a run can fail ---------------------------------------------------------------------

MISTAKES: Final[dict[str, tuple[str, object, str, object]]] = {
    "a reader that takes repeated names and NaN": ("json", wire, "_DECODER", json.JSONDecoder()),
    "a body read with repeated names": ("create", wire, "_DECODER", json.JSONDecoder()),
    "a reader that measures no depth": ("json", wire, "_is_too_deep", lambda _: False),
    "a time without an end": ("time", wire, "_TIME", re.compile(r"\d{4}-.*")),
    "a scheme in one case": ("authorization", http, "_BEARER", re.compile(r"Bearer +([!-~]+)")),
    "a key with any escape": ("http", http, "_QUOTED_KEY", re.compile(r'"((?:[^"\\]|\\.)*)"')),
    "a key that stays quoted": ("http", http, "_QUOTED_KEY", re.compile(r'("(?:[^"\\])*)"')),
    "entity tags with blanks": (
        "if-none-match",
        http,
        "_ENTITY_TAG",
        re.compile(r'[ \t]*(?:(?:W/)?("[^"]*"))?[ \t]*(?:,|\Z)'),
    ),
    "a name that is not escaped": ("rate-headers", ratelimit, "_sf_string", '"{}"'.format),
    "another exception": ("log", logs, "parse_reason", {}.__getitem__),
    "a store that drops something": ("stored-record", targets, "dump", lambda _: {}),
    "ids that keep their case": ("uuid", targets, "parse_uuid", lambda _, value: value),
    "a blank that is cut off": ("app-user-id", targets, "parse_app_user_id", str.strip),
    "a key of any length": ("key", targets, "parse_key", str),
    "any text": ("opaque", targets, "parse_opaque", lambda _, value: value),
    "packages as they come": ("packages", targets, "parse_data_packages", list),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_parser_with_a_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, module, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(FuzzError, match=f"law 16: {target}, from "):
        fuzz(target, MUTANTS, seed=0)


def test_a_broken_line_that_does_something_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = logs._Log.line

    def line(log: logs._Log, number: int, raw: bytes) -> logs.LineAnswer:
        answer = plain(log, number, raw)
        if answer.broken:
            log._named.clear()
        return answer

    monkeypatch.setattr(logs._Log, "line", line)
    with pytest.raises(FuzzError, match=r"from .*a broken line did something"):
        fuzz("log", MUTANTS, seed=0)


# --- How long it may take --------------------------------------------------------------------


def _read(method: str, target: str, *headers: tuple[str, str]) -> object:
    return read(Request(method, target, headers), CALLER, START)


def _state(query: str, *headers: tuple[str, str]) -> object:
    return _read("GET", f"/api/sdk/v1/curae-connect/account-state?{query}", *headers)


def _key(value: str) -> object:
    path = f"/api/sdk/v1/connections/{'0' * 8}-0000-4000-8000-{'0' * 12}:revoke"
    return _read("POST", path, ("Idempotency-Key", value))


def _fails(parse: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must be|NOT_JSON|REPEATED|INVALID"):
        parse()


def _named(line: str) -> object:
    """A line after one that named an answer, so that its texts are searched for names."""
    first = '{"at":"2026-01-01T00:00:00Z","as":"c1","request":{"method":"GET","path":"/"}}'
    return list(replay([first.encode(), json.dumps(line).encode()]))


GROWING: Final[dict[str, Callable[[int], object]]] = {
    "an open string": lambda n: _fails(lambda: parse_json('"' + '\\"' * n + "[" * 300)),
    "open brackets": lambda n: _fails(lambda: parse_json("[" * n)),
    "brackets in strings": lambda n: parse_json("[" + '"[[[",' * n + "0]"),
    "closing brackets": lambda n: _fails(lambda: parse_json("]" * n + "[" * 300)),
    "names": lambda n: _fails(
        lambda: read_nothing(parse_json("{" + "".join(f'"{i}":0,' for i in range(n)) + '"0":0}'))
    ),
    "packages": lambda n: _fails(
        lambda: read_create({"appUserId": "u", "dataPackages": [f"p{i}" for i in range(n)]})
    ),
    "digits of a fraction": lambda n: _fails(
        lambda: parse_time("at", f"2026-01-01T00:00:00.{'0' * n}Z")
    ),
    "blanks after the scheme": lambda n: bearer(
        Request("GET", "/", (("Authorization", f"Bearer{' ' * n}\n"),))
    ),
    "escapes in an open key": lambda n: _key('"' + '\\"' * n),
    "quotes in a key": lambda n: _key('"' * n),
    "parameters of a query": lambda n: _state("a=b&" * n),
    "percent signs": lambda n: _state("appUserId=" + "%" * n),
    "surrogates in percents": lambda n: _state("appUserId=" + "%ED%A0%80" * n),
    "entity tags": lambda n: _state("appUserId=u", ("If-None-Match", '"a",' * n)),
    "commas": lambda n: _state("appUserId=u", ("If-None-Match", "," * n)),
    "blanks between tags": lambda n: _state("appUserId=u", ("If-None-Match", " " * n + "x")),
    "an open tag": lambda n: _state("appUserId=u", ("If-None-Match", '"' + "a" * n)),
    "colons in a path": lambda n: _read("POST", "/api/sdk/v1/connections/" + ":a" * n),
    "open braces": lambda n: _named("{" * n),
    "braces and blanks": lambda n: _named(("{" + " " * 9) * n),
    "dots in a name": lambda n: _named("{c1" + ".a" * n),
    "names in a line": lambda n: _named("{c2.a}" * n),
}


@pytest.mark.parametrize("input_", GROWING)
def test_twice_the_input_takes_no_more_than_twice_the_lines(input_: str) -> None:
    GROWING[input_](500)  # what is made once is made now
    once, twice, four_times = (_lines_run(GROWING[input_], size) for size in (500, 1000, 2000))
    assert four_times - twice <= 2 * (twice - once) + 50, "law 16: more than linear"


@pytest.mark.parametrize("input_", GROWING)
def test_a_large_input_is_read_in_one_pass(input_: str) -> None:
    # A scan that starts over at every character would take minutes here.
    GROWING[input_](100_000)


def test_a_parser_that_starts_over_at_every_character_is_found() -> None:
    def slow(size: int) -> object:
        return [_one(text) for end in range(size) for text in range(end)]

    once, twice, four_times = (_lines_run(slow, size) for size in (50, 100, 200))
    assert four_times - twice > 2 * (twice - once) + 50


def _one(value: object) -> object:
    return value


def _lines_run(run: Callable[[int], object], size: int) -> int:
    """How many lines of Python a call runs; what C does in one of them is not seen."""
    lines = 0

    def trace(_: FrameType, event: str, __: object) -> TraceFunction:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(size)
    finally:
        sys.settrace(before)
    return lines
