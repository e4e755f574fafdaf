"""Test vectors: their form, their text, and the values that they share.

The law of this module: **a vector is computed, never written by hand**. Its answer comes from the
production functions, so the two cannot disagree. Its text is the same on every machine, so a change
of a rule is a change of a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.rules.values import (
    MINUTE,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    NextAction,
    add_microseconds,
    format_time,
    parse_uuid,
)
from curae_lifecycle.service.status import status_of
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.stores.formats import FORMAT

VERSION: Final = 1
"""The version of the format of documents and cases."""

Members = Mapping[str, object]
"""A JSON object with values that `json` can print. Instants are already text."""

_Answer = TypeVar("_Answer")
_Done = TypeVar("_Done")


class Verdict(StrEnum):
    """The treatment that an implementation must give to an input."""

    VALID = "valid"
    INVALID = "invalid"
    ACCEPTABLE = "acceptable"


@attrs.frozen
class Case:
    """One test vector.

    Attributes:
        id: An identifier, stable across releases and unique among all documents.
        input: The input.
        answer: The expected answer.
        rule: The last rule of the trail, or `None` if no table decides.
        verdict: A valid input is accepted, an invalid one refused. An acceptable one is read, but
            written in another form.
        comment: The subject of the case, if its id does not say it.
    """

    id: str
    input: Members
    answer: Members
    rule: str | None = None
    verdict: Verdict = Verdict.VALID
    comment: str | None = None


START: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""The first instant of the vectors."""

HANDOFF: Final = 30 * MINUTE
"""The lifetime of a next action in the vectors, in microseconds."""

ACCOUNT: Final = CustomerAccountId("11111111-1111-4111-8111-111111111111")
COORDINATE: Final = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    app_user_id=AppUserId("user-1"),
)

BOUNDARY: Final = {"before": -1, "at": 0, "after": 1}
"""Microseconds around an instant. Intervals are half-open, so the instant itself is after the end."""


def connection_id(number: int) -> ConnectionId:
    """Return the id of the nth connection of the vectors."""
    return ConnectionId(parse_uuid("id", f"00000000-0000-4000-8000-{number:012x}"))


def next_action(now: datetime) -> NextAction:
    """Return the next action that a server mints at `now`."""
    return NextAction("https://connect.example.com/h/1", add_microseconds(now, HANDOFF))


def cell_id(table: str, key: Iterable[str]) -> str:
    """Return the id of the case for one cell of a table."""
    return "/".join([table, *(part.translate(_PLAIN) for part in key)])


_PLAIN: Final = str.maketrans(" ", "-", ",'")


def camel(name: str) -> str:
    """Return a Python name in the wire's spelling; dots stay."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def stored(value: Storable | None) -> Members | None:
    """Return a value with all its members in the wire's spelling, internal ones included.

    It has no form number, since that belongs to the stores of this package.
    """
    if value is None:
        return None
    members = {name: member for name, member in dump(value).items() if name != FORMAT}
    return cast("Members", _camels(members))


def show_coordinate(coordinate: Coordinate) -> Members:
    """Return the members of a coordinate."""
    return {
        "environment": coordinate.environment,
        "appId": coordinate.app_id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
    }


def time_or_null(instant: datetime | None) -> str | None:
    """Return an instant as the wire prints it, or None."""
    return None if instant is None else format_time(instant)


def problem_members(problem: Problem) -> Members:
    """Return the members of a problem without its sentences, which may change."""
    return {
        "code": problem.code,
        "status": status_of(problem),
        "retryable": problem.problem_type.retryable,
        "details": {
            name: format_time(value) if isinstance(value, datetime) else value
            for name, value in problem.details.items()
        },
    }


def show_refusal(answer: Refused) -> Members:
    """Return the answer for a refusal."""
    return {
        "outcome": "refused",
        "problem": problem_members(answer.problem),
        "rules": answer.rules,
    }


def show_mistake(error: ArgumentError) -> Members:
    """Return the answer for an argument that no correct program passes."""
    return {"outcome": "error", "argument": camel(error.argument)}


def show_result(
    result: Done[_Done] | Ignored[object] | Refused | ArgumentError,
    show: Callable[[_Done], Members],
) -> Members:
    """Return the answer for a result of a rule; `show` gives the members of a new value."""
    if isinstance(result, ArgumentError):
        return show_mistake(result)
    if isinstance(result, Refused):
        return show_refusal(result)
    if isinstance(result, Ignored):
        return {"outcome": "ignored", "rules": result.rules}
    return {"outcome": "done", **show(result.value), "rules": result.rules}


def try_call(run: Callable[[], _Answer]) -> _Answer | ArgumentError:
    """Call a function and return its result, or the error that names an argument."""
    try:
        return run()
    except ArgumentError as error:
        return error


def make_case(
    id: str,  # noqa: A002 - the member of a vector
    given: Members,
    answer: Members,
    comment: str | None = None,
) -> Case:
    """Return the case of a decision, with the rule and the verdict that its answer shows."""
    rules = cast("tuple[str, ...]", answer.get("rules", ()))
    taken = answer["outcome"] not in {"refused", "error", "denied", "lease lost", "limited"}
    verdict = Verdict.VALID if taken else Verdict.INVALID
    return Case(
        id=id,
        input=given,
        answer=answer,
        rule=rules[-1] if rules else None,
        verdict=verdict,
        comment=comment,
    )


def format_document(name: str, law: str, cases: Iterable[Case]) -> str:
    """Return the text of one file."""
    document = {
        "name": name,
        "version": VERSION,
        "law": law,
        "cases": [_case(case) for case in cases],
    }
    # ASCII, since some inputs have lone surrogates, which UTF-8 cannot encode.
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _case(case: Case) -> Members:
    members: dict[str, object] = {
        "id": case.id,
        "input": case.input,
        "answer": case.answer,
        "rule": case.rule,
        "verdict": case.verdict,
    }
    return members if case.comment is None else members | {"comment": case.comment}


def _camels(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {camel(name): _camels(member) for name, member in members.items()}
    if isinstance(value, list | tuple):
        return [_camels(part) for part in cast("Iterable[object]", value)]
    return value
