"""Runs of the kit's comparison with `MemoryStore`, whose steps a test chooses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

import attrs
import pytest

from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.testing.blocking import Method
from curae_lifecycle.testing.conformance import HOOKS, Request, Response, model
from curae_lifecycle.testing.conformance.steps import HookCall, Names, NotConformingError, Step
from tests.support.kit import Reference, written
from tests.testing.conformance.answering import body_of, drive, header, in_words
from tests.testing.conformance.by_hand import context

(CHECK,) = model.CHECKS

CONNECTION: Final = re.compile("c0ffee00-0000-4000-8000-0{10}([0-9a-f]{2})")
SESSION: Final = re.compile("c0ffee00-0000-4000-9000-0{10}([0-9a-f]{2})")


MOST_RUNS: Final = 50
"""More runs than a test's few steps need."""


class Counted(Names):
    """Names that are counted for each kind, such as `user-1`."""

    def __init__(self) -> None:
        super().__init__("seed")
        self.made = Counter[str]()

    def uuid(self) -> str:
        self.made["uuid"] += 1
        return f"ab000000-0000-4000-8000-{self.made['uuid']:012}"

    def word(self, kind: str) -> str:
        self.made[kind] += 1
        return f"{kind}-{self.made[kind]}"


def short(text: str) -> str:
    """Return a text with short ids: c5 of the fifth thing that the server made, s5 of a session."""
    text = CONNECTION.sub(lambda found: f"c{int(found[1], 16)}", text)
    return SESSION.sub(lambda found: f"s{int(found[1], 16)}", text)


def line(step: Step) -> str:
    """Return a step on a line: a request begins with the number of its app."""
    if isinstance(step, HookCall):
        arguments = [
            f"{each.app_id}/{each.app_user_id}" if isinstance(each, Coordinate) else str(each)
            for each in step.arguments
        ]
        return short(" ".join([step.hook, *arguments]))
    assert isinstance(step, Request)
    number = int(str(header(step, "Authorization")).rpartition("_")[2]) - 1
    words = [str(number), in_words(step)]
    for name, value in (body_of(step) or {}).items():
        words.append(f"{name}={','.join(value) if isinstance(value, list) else value}")
    key = header(step, "Idempotency-Key")
    return short(" ".join([*words, *([] if key is None else [key])]))


Change = Callable[[int, Request, Response], Response]
"""Changes the response to the request of a number, from 1 in each run."""


class Served:
    """A run of the check on a server, whose responses and outcomes a test may change."""

    def __init__(
        self,
        server: Reference | None = None,
        change: Change = lambda _, __, answer: answer,
        outcomes: Mapping[str, object] | None = None,
    ) -> None:
        self.server = server or Reference()
        self.change = change
        self.outcomes = outcomes or {}
        self.number = 0
        self.runs = 0
        self.lines: list[str] = []

    def outcome(self, step: Step) -> object:
        if isinstance(step, HookCall):
            if step.hook == "make_key":
                self.runs += self.number > 0
                assert self.runs < MOST_RUNS, "the check tries shorter runs without end"
                self.number = 0
            else:
                self.lines.append(line(step))
            method = "record" if step.hook == "record_fact" else step.hook
            result = cast("Method", getattr(self.server, method))(*step.arguments)
            return self.outcomes.get(step.hook, result)
        assert isinstance(step, Request)
        self.number += 1
        self.lines.append(line(step))
        return self.change(self.number, step, self.server.send(step))


def at(number: int, **changes: object) -> Callable[[int, Request, Response], Response]:
    """Change the response to the request of a number: its status or, by path, its members."""

    def change(which: int, _: Request, answer: Response) -> Response:
        if which != number:
            return answer
        status = changes.get("status", answer.status)
        assert isinstance(status, int)
        return attrs.evolve(written(answer, changes), status=status)

    return change


class Compare(Protocol):
    """A function that runs the check with the steps of a test, each a kind and a pick."""

    def __call__(
        self,
        *steps: tuple[str, int],
        served: Served | None = None,
        varying: frozenset[str] = frozenset(),
        trials: int = 0,
    ) -> Served:
        """Run the check, and return the run."""
        ...


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Compare:
    def run(
        *steps: tuple[str, int],
        served: Served | None = None,
        varying: frozenset[str] = frozenset(),
        trials: int = 0,
    ) -> Served:
        drawn = [model.ModelStep(kind, pick) for kind, pick in steps]
        monkeypatch.setattr(model, "ROUNDS", 1)
        monkeypatch.setattr(model, "TRIALS", trials)
        monkeypatch.setattr(model, "draw_steps", lambda _seed, _hooks: list(drawn))
        kit = attrs.evolve(context(*HOOKS), names=Counted(), varying=varying)
        served = served or Served()
        drive(CHECK.begin(kit), served.outcome)
        return served

    return run


def failure(
    compare: Compare, *steps: tuple[str, int], served: Served, trials: int = 0
) -> tuple[str, list[str]]:
    """Run a check that must fail, and return what differs and the lines of its log."""
    with pytest.raises(NotConformingError) as raised:
        compare(*steps, served=served, trials=trials)
    what, _, log = raised.value.what.partition(", in the last line of this log:\n    ")
    return short(what), short(log).split("\n    ")
