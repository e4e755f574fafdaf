"""Tests of the steps that checks take, and of what they say of a server with one wrong answer.

After a change of a check, `python -m tests.testing.conformance.transcript` writes what they compare.
"""

from __future__ import annotations

from typing import Final

import pytest

from curae_lifecycle.testing.conformance import CHECKS
from tests.testing.conformance.transcript import (
    Transcript,
    checks_of,
    judge,
    load,
    modules,
    right_run,
    steps_if_paused,
)

BY_NAME: Final = {each.name: each for each in CHECKS}
TRANSCRIPTS: Final[dict[str, Transcript]] = {
    name: each for module in modules() for name, each in load(module).items()
}
WITH_OPTIONAL_HOOKS: Final = [name for name, each in TRANSCRIPTS.items() if "bare" in each]
SLOW: Final = [
    (name, pause) for name, each in TRANSCRIPTS.items() for pause in each.get("slow", ())
]
WRONG: Final = [(name, wrong) for name, each in TRANSCRIPTS.items() for wrong in each["wrong"]]


@pytest.mark.parametrize("module", modules())
def test_each_check_of_a_module_has_a_transcript(module: str) -> None:
    assert list(load(module)) == [each.name for each in checks_of(module)]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_check_sends_exactly_the_steps_of_its_transcript(name: str) -> None:
    assert right_run(BY_NAME[name]).lines == TRANSCRIPTS[name]["steps"]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_OPTIONAL_HOOKS)
def test_check_without_optional_hooks_follows_its_transcript(name: str) -> None:
    assert right_run(BY_NAME[name], is_bare=True).lines == TRANSCRIPTS[name].get("bare")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_kit_check_fails_a_wrong_answer_with_the_listed_message(name: str, wrong: str) -> None:
    assert judge(BY_NAME[name], wrong) == TRANSCRIPTS[name]["wrong"][wrong]


@pytest.mark.parametrize(("name", "pause"), SLOW)
def test_check_on_a_paused_server_takes_the_recorded_step_count(name: str, pause: str) -> None:
    expected = TRANSCRIPTS[name].get("slow", {})[pause]
    assert steps_if_paused(BY_NAME[name], pause) == expected
