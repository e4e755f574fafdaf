"""A correct server that gives one wrong answer: to one step of one check, in one place.

The law of this module: **everything else is right**. The server executes each request and each call
of a hook, and only the outcome that it returns is changed; or, as a change too, one hook is not called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Final, Never, Protocol, cast

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import Environment, format_time, parse_time
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import AsyncServer
from curae_lifecycle.testing.conformance.limits import FEW
from curae_lifecycle.testing.conformance.server import HOOKS
from curae_lifecycle.web.request import Request
from tests.proof.bugs.kit import server
from tests.proof.bugs.service import Service
from tests.support.kit import asynchronous

Outcome = object
"""The outcome of a step: a response, or the value that a hook returned."""

_SPANS: Final = tuple([timedelta(seconds=each) for each in (-86_400, -60, 1, 5, 60, 86_400)])
_OTHER_ID: Final = "abcdef00-0000-4000-8000-ffffffffffff"
_ID_LENGTH: Final = len(_OTHER_ID)


_OF_ONE_ENVIRONMENT: Final = "permission.wrong-environment"
FROM_THEN_ON: Final = ", from then on"
_ID: Final = re.compile(rb'"id":"[^"]+"')
NOT_CALLED: Final = "not called"
_STEPS_BACK: Final = 12
"""How many earlier steps a wrong answer may repeat or leak."""

_MOST_STEPS: Final = 500
"""How many steps a check makes at most; a wrong answer may make it go on for ever."""


class _Function(Protocol):
    def __call__(self, *arguments: object) -> Outcome: ...


class EndlessCheckError(AssertionError):
    """A check makes more steps than any check needs."""


@attrs.frozen
class Step:
    """A request or the call of a hook, with its outcome."""

    arguments: tuple[object, ...]
    outcome: Outcome


@attrs.define
class WrongAnswer:
    """A correct server that changes its answer to one step, or to all from that one on.

    Attributes:
        step: The number of the step, from 1; 0 changes nothing.
        change: The name of the change, one of `changes`. With `FROM_THEN_ON` at its end,
            every later step to which the change applies is changed, too.
        steps: The steps so far, with their right outcomes.
    """

    step: int = 0
    change: str = ""
    steps: list[Step] = attrs.field(factory=list[Step])
    _numbers: Iterator[int] = attrs.field(factory=lambda: count(1), repr=False)

    def server(self, check: str) -> AsyncServer:
        """Return the server with every hook that the check needs.

        The concurrent steps of the check run one after the other, in their order.
        """
        environment = Environment.LIVE if check == _OF_ONE_ENVIRONMENT else None
        right = attrs.evolve(server(Service(Settings(environment=environment))), race_rounds=1)
        steps = ("send", "make_key", *HOOKS)
        wrapped = {
            name: self._watched(hook) for name in steps if callable(hook := getattr(right, name))
        }
        # Each hook has another type.
        return asynchronous(attrs.evolve(right, **cast("dict[str, Never]", wrapped)))

    def _watched(self, function: _Function) -> _Function:
        def call(*arguments: object) -> Outcome:
            number = next(self._numbers)
            if number > _MOST_STEPS:
                raise EndlessCheckError
            change = self.change.removesuffix(FROM_THEN_ON)
            lasts = change != self.change
            is_wrong = number == self.step or (lasts and number > self.step > 0)
            right = None if is_wrong and change == NOT_CALLED else function(*arguments)
            step, earlier = Step(arguments, right), [*self.steps]
            self.steps.append(step)
            if not is_wrong:
                return right
            wrong = (each for name, each in changes(step, earlier) if name == change)
            return next(wrong, right)

        return call


def changes(step: Step, earlier: Sequence[Step]) -> Iterator[tuple[str, Outcome]]:
    """Yield wrong outcomes in place of a step's right one, each with its name.

    Args:
        step: The step.
        earlier: The steps before it.
    """
    for name, wrong in _all_changes(step, earlier):
        if wrong != step.outcome or name == NOT_CALLED:
            yield name, wrong


def _all_changes(step: Step, earlier: Sequence[Step]) -> Iterator[tuple[str, Outcome]]:
    match step.outcome:
        case Response():
            yield from _responses(step.outcome)
            yield from _headers(step.outcome)
            yield from _leaks(step.outcome, [*earlier, step])
            yield from _repeated(step.outcome, earlier)
        case bool():
            yield "the other", not step.outcome
        case None | str():
            yield NOT_CALLED, None
            yield from [(each, each) for each in ("done", "ignored", "NOT_FOUND")]
        case list():
            yield from _lists(cast("list[object]", step.outcome))
        case _:
            pass


def _leaks(right: Response, steps: Sequence[Step]) -> Iterator[tuple[str, Response]]:
    # Leaks what was sent, or given to a hook, at this step or before.
    body = _object(right.body)
    for number, step in enumerate(steps, 1):
        if body is not None and number > len(steps) - _STEPS_BACK:
            said = "".join(map(_text, step.arguments))
            told = _encode(body | {"told": said})
            yield f"told of step {number}", attrs.evolve(right, body=told)


def _text(argument: object) -> str:
    if not isinstance(argument, Request):
        return str(argument)
    body = argument.body if isinstance(argument.body, bytes) else b""
    return " ".join([*[value for _, value in argument.headers], body.decode(errors="replace")])


def _encode(value: object) -> bytes:
    # As the server writes it, so that an equal value gives equal bytes.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _object(body: bytes) -> dict[str, object] | None:
    value: object = json.loads(body) if body else None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _repeated(right: Response, earlier: Sequence[Step]) -> Iterator[tuple[str, Response]]:
    for number, step in enumerate(earlier, 1):
        before = step.outcome
        if not isinstance(before, Response) or number < len(earlier) - _STEPS_BACK:
            continue
        yield f"that of step {number}", before
        yield f"body of step {number}", attrs.evolve(right, body=before.body)
        mine, other = _ID.search(right.body), _ID.search(before.body)
        if mine is not None and other is not None:
            body = right.body.replace(mine[0], other[0])
            yield f"id of step {number}", attrs.evolve(right, body=body)
        tag = [pair for pair in before.headers if pair[0] == "etag"]
        rest = [pair for pair in right.headers if pair[0] != "etag"]
        if tag:
            yield f"etag of step {number}", attrs.evolve(right, headers=(*rest, *tag))


def _responses(right: Response) -> Iterator[tuple[str, Response]]:
    for status in (200, 201, 404, 409, 429, 500):
        yield f"status {status}", attrs.evolve(right, status=status)
    for text in (b"", b"[]", b"x"):
        yield f"body {text.decode()}", attrs.evolve(right, body=text)
    refused = b'{"code":"RATE_LIMITED","details":{}}'
    yield "refused", attrs.evolve(right, status=429, body=refused)
    if right.body:
        for name, body in _values(json.loads(right.body)):
            yield name, attrs.evolve(right, body=_encode(body))


def _headers(right: Response) -> Iterator[tuple[str, Response]]:
    yield "headers twice", attrs.evolve(right, headers=(*right.headers, *right.headers))
    for name, value in right.headers:
        rest = tuple([pair for pair in right.headers if pair[0] != name])
        yield f"no header {name}", attrs.evolve(right, headers=rest)
        for other in (f"{value}x", f"W/{value}"):
            yield f"{name}: {other}", attrs.evolve(right, headers=(*rest, (name, other)))
        if name == "retry-after":
            for seconds in {0, 1, int(value) - FEW.seconds, int(value) + 7, 9999}:
                yield f"wait of {seconds}", _with_wait(right, value, str(seconds))


def _with_wait(right: Response, before: str, after: str) -> Response:
    # Both the headers and the details of the problem hold the wait.
    headers = [
        (name, after if name == "retry-after" else value.replace(f"t={before}", f"t={after}"))
        for name, value in right.headers
    ]
    body = right.body.replace(f'"retryAfter":{before}'.encode(), f'"retryAfter":{after}'.encode())
    return attrs.evolve(right, headers=tuple(headers), body=body)


def _lists(right: Sequence[object]) -> Iterator[tuple[str, object]]:
    yield "empty", []
    yield "without the last", right[:-1]
    yield "without the first", right[1:]
    if right:
        yield "the last twice", [*right, right[-1]]
        yield "the first twice", [right[0], *right]
        yield "in reverse", right[::-1]
    for place in range(len(right))[-_STEPS_BACK:]:
        for name, value in _values(right[place]):
            yield f"message {place}: {name}", [*right[:place], value, *right[place + 1 :]]


def _values(right: object) -> Iterator[tuple[str, object]]:
    match right:
        case dict():
            members = cast("dict[str, object]", right)
            yield "one more", members | {"another": 1}
            for key, inner in members.items():
                yield f"no {key}", {name: each for name, each in members.items() if name != key}
                for name, value in _values(inner):
                    yield f"{key} {name}", members | {key: value}
        case list():
            items = cast("list[object]", right)
            yield "one less", items[:-1]
            yield "one twice", [*items, *items[-1:]]
            yield "in reverse", items[::-1]
        case bool():
            yield "the other", not right
        case int():
            for more in (-1000, -1, 1, 1000):
                yield f"{more:+}", right + more
        case str():
            yield from _texts(right)
            yield "null", None
        case _:
            yield "1", 1
            yield "a text", "x"
            yield "a time", "2026-01-05T09:00:00Z"


def _texts(right: str) -> Iterator[tuple[str, object]]:
    try:
        instant = parse_time("at", right)
    except ArgumentError:
        yield "longer", f"{right}x"
        yield "upper", right.upper()
    else:
        for span in _SPANS:
            yield f"{span.total_seconds():+.0f} s", format_time(instant + span)
        return
    if len(right) == _ID_LENGTH:
        yield "another id", _OTHER_ID
    for names in (list(Status), list(AccountState)):
        if right in {str(each) for each in names}:
            yield from [(str(each), str(each)) for each in names]
