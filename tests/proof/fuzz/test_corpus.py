"""Tests of every parser on a committed corpus and its mutants."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Final

import pytest

from curae_lifecycle.replay import log as logs
from curae_lifecycle.rules import values
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.web import json as jsons
from curae_lifecycle.web import request as requests
from curae_lifecycle.web import respond as responses
from tests.proof.fuzz import targets
from tests.proof.fuzz.corpus_files import CORPUS, load_corpus, store_corpus
from tests.proof.fuzz.mutate import LONGEST, mutate
from tests.proof.fuzz.outcomes import OUTCOMES
from tests.proof.fuzz.run import MUTANTS, FuzzError, fuzz, small
from tests.proof.fuzz.targets import TARGETS


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_fuzz_input_gives_a_value_or_a_documented_fault(target: str) -> None:
    assert small(target).total() == len(load_corpus(target)) * (1 + MUTANTS)


@pytest.mark.heavy
@pytest.mark.parametrize("target", TARGETS)
def test_long_fuzz_run_gives_only_values_or_documented_faults(target: str) -> None:
    counts = fuzz(target, 15 * MUTANTS, seed=1)
    assert counts.total() == len(load_corpus(target)) * (1 + 15 * MUTANTS)


# --- Outcomes of the runs --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_fuzz_corpus_reaches_every_documented_fault(target: str) -> None:
    seen = set(small(target))
    assert not OUTCOMES[target] - seen, "never reached"
    if target != "log":
        assert seen == OUTCOMES[target], "reached, but not documented here"


def test_loading_and_storing_fuzz_corpus_files_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.stem for path in CORPUS.iterdir()} == set(TARGETS)
    kept = {target: load_corpus(target) for target in TARGETS}
    assert sum(map(len, kept.values())) >= 400
    monkeypatch.setattr("tests.proof.fuzz.corpus_files.CORPUS", tmp_path / "corpus")
    for target, inputs in kept.items():
        store_corpus(target, inputs)
        assert load_corpus(target) == inputs
        written = (tmp_path / "corpus" / f"{target}.json").read_bytes()
        assert written == (CORPUS / f"{target}.json").read_bytes()


@pytest.mark.slow
def test_fuzz_mutations_depend_only_on_the_seed() -> None:
    inputs = list(load_corpus("http").values())

    def mutants(seed: int) -> list[bytes]:
        random = Random(seed)  # noqa: S311 - a seed is the point
        return [mutate(data, random, inputs) for data in inputs for _ in range(20)]

    assert mutants(1) == mutants(1) != mutants(2)
    assert len(set(mutants(1))) > 0.9 * len(mutants(1))
    assert max(map(len, mutants(1))) <= LONGEST


# --- That a run can fail ---------------------------------------------------------------------

ANY_ESCAPE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
STILL_QUOTED: Final = re.compile(r'("(?:[^"\\])*)"')
BLANKS_IN_TAGS: Final = re.compile(r'[ \t]*(?:(?:W/)?("[^"]*"))?[ \t]*(?:,|\Z)')
MISTAKES: Final[dict[str, tuple[str, object, str, object]]] = {
    "a reader that takes repeated names and NaN": ("json", jsons, "_DECODER", json.JSONDecoder()),
    "a body read with repeated names": ("create", jsons, "_DECODER", json.JSONDecoder()),
    "a reader that measures no depth": ("json", jsons, "_is_too_deep", lambda _: False),
    "a time without an end": ("time", values, "_TIME", re.compile(r"\d{4}-.*")),
    "a scheme of another name": ("authorization", requests, "_SCHEME", "basic"),
    "a secret of any kind": ("authorization", requests, "ApiKey", str),
    "a key with any escape": ("http", requests, "_QUOTED_KEY", ANY_ESCAPE),
    "a key that stays quoted": ("http", requests, "_QUOTED_KEY", STILL_QUOTED),
    "entity tags with blanks": ("if-none-match", requests, "_ENTITY_TAG", BLANKS_IN_TAGS),
    "a name that is not escaped": ("rate-headers", responses, "_quoted", '"{}"'.format),
    "another exception": ("log", ActionRequired, "from_members", {}.__getitem__),
    "a store that drops something": ("stored-record", targets, "dump", lambda _: {}),
    "ids that keep their case": ("uuid", targets, "parse_uuid", lambda _, value: value),
    "a blank that is cut off": ("app-user-id", targets, "parse_app_user_id", str.strip),
    "a key of any length": ("key", targets, "parse_idempotency_key", str),
    "any text": ("opaque", targets, "parse_opaque", lambda _, value: value),
    "packages as they come": ("packages", targets, "parse_data_packages", list),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_fuzzing_detects_a_broken_parser(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, module, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(FuzzError, match=f"law 16: {target}, from "):
        fuzz(target, MUTANTS, seed=0)


def test_fuzzing_detects_a_broken_log_line_that_changes_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = logs._LogRunner.answer_line

    def line(log: logs._LogRunner, number: int, raw: bytes) -> logs.LineAnswer:
        answer = plain(log, number, raw)
        if answer.broken:
            log._named.clear()
        return answer

    monkeypatch.setattr(logs._LogRunner, "answer_line", line)
    with pytest.raises(FuzzError, match=r"from .*a broken line did something"):
        fuzz("log", MUTANTS, seed=0)
