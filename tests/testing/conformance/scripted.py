"""A driver that plays a check against a correct server, and may change one of its answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import groupby
from textwrap import dedent
from typing import Final, cast

import attrs
import pytest

from curae_lifecycle.rules.values import Coordinate, Environment, format_time, parse_time
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.blocking import Method
from curae_lifecycle.testing.conformance import CHECKS, HOOKS, ApiKeyRequest, Request, Response
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import PACKAGES
from curae_lifecycle.testing.conformance.steps import (
    CheckContext,
    Concurrently,
    HookCall,
    NotConformingError,
    NotSeenError,
    Step,
)
from curae_lifecycle.testing.conformance.wording import format_argument
from curae_lifecycle.testing.laws import LawBrokenError
from tests.support.kit import Reference
from tests.testing.conformance.by_hand import context

BY_NAME: Final = {each.name: each for each in CHECKS}
_MOST_STEPS: Final = 700
"""How many steps a check makes at most; a wrong answer may make it go on for ever."""

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAMES: Final = re.compile(
    rf"(?P<id>{_UUID})|(?P<page>https://connect.example/\d+)|(?P<word>[\w-]+)-[0-9a-f]{{16}}"
)

Change = Callable[[object], object]
"""A function that makes a wrong outcome of a step from the right one."""


def play_check(
    check: str | Check,
    changes: Mapping[int, Change] | None = None,
    *,
    reference: Reference | None = None,
    without: str = "",
) -> list[str]:
    """Play a check against a correct server, and return the steps, each as one line.

    Args:
        check: The check, or its name.
        changes: The wrong answers, by the number of the step: 1 after the first API key was made.
        reference: The server, if not the usual one.
        without: The name of a hook that the server lacks.
    """
    script = _script(check, changes or {}, reference=reference, without=without)
    script.play()
    return script.lines


def steps_of(check: str | Check, reference: Reference | None = None, without: str = "") -> str:
    """Return the steps of a check after the first API key was made, equal ones in one line."""
    lines = play_check(check, reference=reference, without=without)
    groups = [(line, len([*group])) for line, group in groupby(lines)]
    return "\n".join(line if count == 1 else f"{line} ({count} times)" for line, count in groups)


def failure_of(
    check: str | Check, changes: Mapping[int, Change], reference: Reference | None = None
) -> str:
    """Return the message with which a check fails, or is not run, after these wrong answers."""
    script = _script(check, changes, reference=reference)
    with pytest.raises((NotConformingError, LawBrokenError, NotSeenError)) as raised:
        script.play()
    is_seen = not isinstance(raised.value, NotSeenError)
    return ("" if is_seen else "not run: ") + script.plain(str(raised.value))


def _script(
    check: str | Check,
    changes: Mapping[int, Change],
    *,
    reference: Reference | None,
    without: str = "",
) -> Script:
    wanted = BY_NAME[check] if isinstance(check, str) else check
    one = Environment.LIVE if "environment" in wanted.hooks else None
    server = reference or Reference(Settings(environment=one))
    return Script(check=wanted, changes=changes, reference=server, without=without)


@attrs.define
class Script:
    """A correct server, and the steps that were played against it.

    Ids, pages and random names are numbered in the order in which they occur.
    """

    check: Check
    changes: Mapping[int, Change]
    reference: Reference
    without: str
    lines: list[str] = attrs.field(factory=list[str])
    _callers: list[str] = attrs.field(factory=list[str])
    _keys: dict[str, int] = attrs.field(factory=dict[str, int])
    _numbers: dict[str, dict[str, int]] = attrs.field(factory=dict[str, dict[str, int]])

    @property
    def context(self) -> CheckContext:
        """The context of a check for this server, with its hooks."""
        # In three rounds, the first step of a race alternates and returns.
        server = self.reference.server()
        hooks = [each for each in HOOKS if getattr(server, each) is not None]
        return attrs.evolve(context(*{*hooks} - {self.without}), rounds=3)

    def play(self) -> None:
        """Perform the steps of the check."""
        steps, outcome = self.check.begin(self.context), cast("object", None)
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration:
                return
            outcome = self._perform(step)
            if not self._is_first(step):
                self.lines.append(self._describe(step))
                number = len(self.lines)
                assert number < _MOST_STEPS, "the check does not end"
                if number in self.changes:
                    outcome = self.changes[number](outcome)

    def plain(self, text: str) -> str:
        """Return a text with a number in place of each id, page and random name."""

        def number(found: re.Match[str]) -> str:
            kind = found["word"] or ("id" if found["id"] else "page")
            known = self._numbers.setdefault(kind, {})
            return f"{kind}-{known.setdefault(found[0], len(known) + 1)}"

        return _NAMES.sub(number, text)

    def _is_first(self, step: Step) -> bool:
        is_key = isinstance(step, HookCall) and step.hook == "make_key"
        return is_key and len(self._callers) == 1

    def _perform(self, step: Step) -> object:
        match step:
            case Concurrently():
                return tuple([self._perform(each) for each in step.steps])
            case HookCall():
                server = self.reference.server()
                outcome = cast("Method", getattr(server, step.hook))(*step.arguments)
                if step.hook == "make_key":
                    self._callers.append(str(outcome))
                return outcome
            case _:
                return self.reference.send(step)

    def _describe(self, step: Step) -> str:
        match step:
            case Concurrently():
                each = [self._describe(each) for each in step.steps]
                return f"{len(each)} at once: " + ", ".join(dict.fromkeys(each))
            case HookCall():
                return self.plain(" ".join([step.hook, *map(_argument, step.arguments)]))
            case _:
                return self.plain(self._request(step))

    def _request(self, request: Request) -> str:
        parts = [request.method, _short(request.target), *_body(request)]
        for name, value in request.headers:
            match name.lower():
                case "authorization":
                    parts.insert(0, self._caller(value))
                case "idempotency-key":
                    parts.append(self._key(value))
                case "content-type":
                    pass
                case _:
                    parts.append(f"{name}: {value}")
        return " ".join(filter(None, parts))

    def _caller(self, value: str) -> str:
        key = value.removeprefix("Bearer ")
        if key not in self._callers:
            return f"{value}:"
        number = self._callers.index(key)
        return f"app {number + 1}:" if number else ""

    def _key(self, key: str) -> str:
        if _NAMES.fullmatch(key) is None:
            return f"key: {key}"
        first = self._keys.setdefault(key, len(self.lines) + 1)
        return "" if first == len(self.lines) + 1 else f"(key of {first})"


def _short(target: str) -> str:
    return target.removeprefix(BASE_PATH).removeprefix("/curae-connect")


def _argument(argument: object) -> str:
    match argument:
        case ApiKeyRequest():
            rest = sorted(argument.scopes)
        case Coordinate():
            rest = [argument.app_user_id]
        case _:
            return format_argument(argument)
    owner = (argument.app_id, argument.customer_account_id, argument.environment)
    return " ".join([*owner, *rest])


def _body(request: Request) -> Iterable[str]:
    raw = cast("bytes", request.body)
    if raw:
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict):
            for name, value in cast("dict[str, object]", body).items():
                if name == "appUserId":
                    yield str(value)
                elif name != "dataPackages" or value != [*PACKAGES]:
                    yield f"{name}={json.dumps(value)}"
        else:
            yield repr(raw[:60])


def written_steps(text: str) -> str:
    """Return the steps of an indented text, one in each line."""
    return dedent(text).strip()


def minted(number: int) -> str:
    """Return the id of the connection that the server makes with its number."""
    return f"c0ffee00-0000-4000-8000-{number:012x}"


# --- Wrong answers --------------------------------------------------------------------------


def members(**changed: object) -> Change:
    """Change members of a response by their path, such as `connection__id`.

    A value may be a function of the right one.
    """

    def change(right: object) -> object:
        answer = cast("Response", right)
        body = json.loads(answer.body)
        for path, value in changed.items():
            *outer, name = path.split("__")
            holder = body
            for each in outer:
                holder = holder[each]
            holder[name] = cast("Method", value)(holder[name]) if callable(value) else value
        return attrs.evolve(answer, body=json.dumps(body).encode())

    return change


def status(wrong: int, code: str | None = None) -> Change:
    """Answer with another status, or with a problem."""

    def change(right: object) -> object:
        answer = attrs.evolve(cast("Response", right), status=wrong)
        problem = json.dumps({"code": code, "details": {}}).encode()
        return answer if code is None else attrs.evolve(answer, body=problem)

    return change


def header(name: str, *values: str) -> Change:
    """Replace a header of a response; without values, leave it out."""

    def change(right: object) -> object:
        answer = cast("Response", right)
        rest = [pair for pair in answer.headers if pair[0] != name]
        return attrs.evolve(answer, headers=(*rest, *[(name, value) for value in values]))

    return change


def gives(wrong: object) -> Change:
    """Return this value instead, from a hook."""
    return lambda _: wrong


def at_once(change: Change, *places: int) -> Change:
    """Change the outcomes at these places of a concurrent step."""

    def change_some(right: object) -> object:
        outcomes = cast("tuple[object, ...]", right)
        return tuple(change(each) if n in places else each for n, each in enumerate(outcomes))

    return change_some


def moved_by(**span: float) -> Callable[[str], str]:
    """Return a function that moves the instant of a JSON value by `seconds` or `minutes`."""
    return lambda value: format_time(parse_time("it", value) + timedelta(**span))
