"""Transcripts of the kit's checks: the steps that each takes, and what it says of a wrong answer.

The folder `transcripts` has a file for each module of checks. It holds, by the check's name:

- `steps`: each request or hook call with its outcome, as a correct server gives it. A random name
  or id stands as its kind and the order in which it appeared, such as `user#1`.
- `bare`: the steps on a server with only the hooks that the check needs, if others.
- `wrong`: by a wrong answer, the message of the failure, or null if the check must still pass. A
  wrong answer is the number of a step and the name of a change of its outcome, as in
  `tests/proof/assertions/wrong_answers.py`, or `bug` and the name of a seeded bug.
- `slow`: by the number of a step and how many seconds a correct server pauses before it, the
  number of steps that the check then takes until it passes.

After a change of a check, `python -m tests.testing.conformance.transcript` writes the files again;
read the difference. It keeps the wrong answers that the files name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Final, NotRequired, TypedDict, cast

import attrs

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import Server
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import in_short
from curae_lifecycle.testing.conformance.server import HOOKS
from curae_lifecycle.testing.conformance.steps import (
    Concurrently,
    HookCall,
    NotSeenError,
    SingleStep,
    Step,
)
from curae_lifecycle.testing.conformance.wording import format_argument
from curae_lifecycle.testing.laws import LawBrokenError
from tests.proof.assertions.wrong_answers import FROM_THEN_ON, NOT_CALLED, changes
from tests.proof.assertions.wrong_answers import Step as Taken
from tests.proof.bugs.catalogue import visible
from tests.proof.bugs.kit import server
from tests.proof.bugs.service import Service
from tests.testing.conformance.by_hand import context

FOLDER: Final = Path(__file__).with_name("transcripts")
MOST_STEPS: Final = 500
"""How many steps a check takes at most; a wrong answer may make it go on for ever."""

LONGEST_MESSAGE: Final = 240
"""A longer message of a failure is shown without its middle."""

ROUNDS: Final = 2
"""The number of rounds of a race; the first step alternates."""

OF_ONE_ENVIRONMENT: Final = "permission.wrong-environment"
"""The check that needs a server of one environment."""

_BUG: Final = "bug"
_BASE: Final = "/api/sdk/v1/"
_USUAL_HEADERS: Final = frozenset({"content-type"})
_FIRST_KEY: Final = "Bearer cae_live_1"
_UUID: Final = r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_RANDOM: Final = re.compile(rf"{_UUID}|(?P<kind>[a-zA-Z]+)-(?P<word>[0-9a-f]{{16}})")
_LONG: Final = re.compile(r"(.)\1{24,}")


class Transcript(TypedDict):
    """The part of a file about one check."""

    steps: list[str]
    bare: NotRequired[list[str]]
    wrong: dict[str, str | None]
    slow: NotRequired[dict[str, int]]


@attrs.define
class Run:
    """A check that is played against a correct server, with one wrong answer or none.

    Attributes:
        server: The server.
        number: The number of the step with the wrong answer; 0 if all answers are right.
        change: The name of the change.
        is_bare: Whether the server has only the hooks that the check needs.
        pause: How long the server pauses before the step of that number.
        taken: The steps so far, with the server's right outcomes.
        lines: The steps so far, as the transcript has them.
        random: The random names so far, each with what stands for it.
    """

    server: Server
    number: int = 0
    change: str = ""
    is_bare: bool = False
    pause: timedelta | None = None
    taken: list[Taken] = attrs.field(factory=list[Taken])
    lines: list[str] = attrs.field(factory=list[str])
    random: dict[str, str] = attrs.field(factory=dict[str, str])

    def play(self, check: Check) -> str | None:
        """Play a check to its end; return the message of its failure, None if it passes."""
        hooks = check.hooks if self.is_bare else [each for each in HOOKS if self._has(each)]
        environment = self.server.environment
        kit = context(*hooks) if environment is None else context(*hooks, environment=environment)
        steps = check.begin(attrs.evolve(kit, rounds=ROUNDS))
        outcome: object = None
        try:
            while True:
                outcome = self._take(steps.send(outcome))
        except StopIteration:
            return None
        except (AssertionError, LawBrokenError, NotSeenError) as error:
            return _without_middle(self._named(str(error)))
        except Exception as error:  # noqa: BLE001 - the kit reports any error as a failure
            return _without_middle(self._named(repr(error)))

    def _has(self, hook: str) -> bool:
        return hook == "race_rounds" or getattr(self.server, hook) is not None

    def _take(self, step: Step) -> object:
        if not isinstance(step, Concurrently):
            return self._take_one(step)
        self.lines.append("concurrently:")
        outcomes = tuple([self._take_one(each) for each in step.steps])
        self.lines.append("end")
        return outcomes

    def _take_one(self, step: SingleStep) -> object:
        assert len(self.taken) < MOST_STEPS, "the check goes on for ever"
        number = len(self.taken) + 1
        if self.pause is not None and number == self.number:
            assert self.server.pass_time is not None
            self.server.pass_time(self.pause)
        change = self.change.removesuffix(FROM_THEN_ON)
        lasts = change != self.change
        is_wrong = bool(change) and (number == self.number or (lasts and number > self.number))
        right = None if is_wrong and change == NOT_CALLED else self._call(step)
        arguments = step.arguments if isinstance(step, HookCall) else (step,)
        taken, earlier = Taken(arguments, right), [*self.taken]
        self.taken.append(taken)
        outcome = right
        if is_wrong:
            wrong = [each for name, each in changes(taken, earlier) if name == change]
            assert wrong or lasts, f"the outcome of step {number} cannot be changed to {change}"
            outcome = wrong[0] if wrong else right
        self.lines.append(self._named(f"{_shown(step)}: {_outcome(outcome)}"))
        return outcome

    def _call(self, step: SingleStep) -> object:
        if isinstance(step, HookCall):
            return getattr(self.server, step.hook)(*step.arguments)
        return self.server.send(step)

    def _named(self, text: str) -> str:
        def name(found: re.Match[str]) -> str:
            kind = found["kind"] or "id"
            before = sum(each.startswith(f"{kind}#") for each in self.random.values())
            return self.random.setdefault(found[0], f"{kind}#{before + 1}")

        text = _RANDOM.sub(name, text)
        return _LONG.sub(lambda found: f"{found[1]}({len(found[0])} times)", text)


def _without_middle(message: str) -> str:
    # Messages that hold whole documents are hard to read in a file.
    if len(message) < LONGEST_MESSAGE:
        return message
    return f"{message[: LONGEST_MESSAGE // 2]} ... {message[-LONGEST_MESSAGE // 4 :]}"


def _shown(step: SingleStep) -> str:
    if isinstance(step, HookCall):
        return f"{step.hook}({', '.join(map(_argument, step.arguments))})"
    parts = [step.method, step.target.removeprefix(_BASE)]
    parts += [
        f"{name}: {value}"
        for name, value in step.headers
        if name.lower() not in _USUAL_HEADERS and value != _FIRST_KEY
    ]
    if step.body:
        parts.append(step.body.decode(errors="replace") if isinstance(step.body, bytes) else "?")
    return " ".join(parts)


def _argument(argument: object) -> str:
    if attrs.has(type(argument)):
        # With the fields that no message shows, such as the URL of a page.
        argument = attrs.asdict(cast("attrs.AttrsInstance", argument), recurse=False)
    return format_argument(argument)


def _outcome(outcome: object) -> str:
    return in_short(outcome) if isinstance(outcome, Response) else format_argument(outcome)


def _correct_server(check: Check) -> Server:
    environment = Environment.LIVE if check.name == OF_ONE_ENVIRONMENT else None
    return server(Service(Settings(environment=environment)))


def right_run(check: Check, *, is_bare: bool = False) -> Run:
    """Play a check against a correct server, and return the run."""
    run = Run(_correct_server(check), is_bare=is_bare)
    assert run.play(check) is None
    return run


def judge(check: Check, wrong: str) -> str | None:
    """Play a check with one wrong answer; return the message of its failure, None if it passes."""
    number, _, name = wrong.partition(" ")
    if number == _BUG:
        return Run(server(_bugs()[name]())).play(check)
    return Run(_correct_server(check), int(number), name).play(check)


def steps_if_paused(check: Check, pause: str) -> int:
    """Play a check against a correct server that pauses; return how many steps it takes."""
    number, _, seconds = pause.partition(" ")
    run = Run(_correct_server(check), int(number), pause=timedelta(seconds=float(seconds)))
    assert run.play(check) is None
    return len(run.taken)


@cache
def _bugs() -> Mapping[str, Callable[[], Service]]:
    return {bug.name: bug.make for bug in visible() if not bug.slowly}


def transcript(check: Check, wrong: Iterable[str] = (), slow: Iterable[str] = ()) -> Transcript:
    """Return the transcript of a check with these wrong answers and pauses."""
    steps, bare = right_run(check).lines, right_run(check, is_bare=True).lines
    made: Transcript = {"steps": steps, "wrong": {each: judge(check, each) for each in wrong}}
    if steps != bare:
        made["bare"] = bare
    if counts := {each: steps_if_paused(check, each) for each in slow}:
        made["slow"] = counts
    return made


def again(check: Check, before: Mapping[str, Transcript]) -> Transcript:
    """Return the transcript of a check with the wrong answers and pauses that it had before."""
    old = before.get(check.name, {"steps": [], "wrong": {}})
    return transcript(check, old["wrong"], old.get("slow", {}))


def checks_of(module: str) -> list[Check]:
    """Return the checks of a module of the kit that are each a function of the module."""
    found = import_module(f"curae_lifecycle.testing.conformance.{module}").CHECKS
    return [each for each in cast("list[Check]", found) if isinstance(function(each), FunctionType)]


def function(check: Check) -> object:
    """Return the function that a check runs, or each round of its race."""
    return check.steps.args[0] if isinstance(check.steps, partial) else check.steps


def load(module: str) -> dict[str, Transcript]:
    """Return the transcripts of a module's checks, by their names."""
    path = FOLDER / f"{module}.json"
    text = path.read_text(encoding="utf-8") if path.exists() else "{}"
    return cast("dict[str, Transcript]", json.loads(text))


def save(module: str, transcripts: Mapping[str, Transcript]) -> None:
    """Write the transcripts of a module's checks."""
    text = json.dumps(transcripts, indent=1, ensure_ascii=False)
    (FOLDER / f"{module}.json").write_text(text + "\n", encoding="utf-8")


def modules() -> list[str]:
    """Return the modules that have a file."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def main() -> None:
    """Write every file again, with the wrong answers that it has."""
    for module in modules():
        before = load(module)
        save(module, {each.name: again(each, before) for each in checks_of(module)})


if __name__ == "__main__":
    main()
