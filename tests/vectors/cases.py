"""What a test vector is, how one is printed, and the values that all of them are made of.

The law of this module: **a vector is computed, never written**. Its answer comes from the
production functions, so it cannot say anything else than they do; its text is the same on
every machine, so that a change of a rule shows as a change of a file.
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
    format_time,
    later,
    parse_uuid,
)
from curae_lifecycle.service.status import status_of
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.stores.formats import FORMAT

VERSION: Final = 1
"""The version of the format: of the members of a document and of a case."""

Members = Mapping[str, object]
"""A JSON object whose values are what `json` prints; instants are printed before."""

_Answer = TypeVar("_Answer")
_Done = TypeVar("_Done")


class Verdict(StrEnum):
    """Whether an input is to be taken."""

    VALID = "valid"
    INVALID = "invalid"
    ACCEPTABLE = "acceptable"


@attrs.frozen
class Case:
    """One test vector.

    Attributes:
        id: Stable across releases, unique among all documents.
        input: What goes in.
        answer: What must come out.
        rule: The rule that had the last word; `None` where no table is asked.
        verdict: Valid is taken, invalid is refused; acceptable is read, but never written so.
        comment: What the case is about, where its id does not say.
    """

    id: str
    input: Members
    answer: Members
    rule: str | None = None
    verdict: Verdict = Verdict.VALID
    comment: str | None = None


START: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""When everything in the vectors begins."""

HANDOFF: Final = 30 * MINUTE
"""How long a next action lives in the vectors, in microseconds."""

ACCOUNT: Final = CustomerAccountId("11111111-1111-4111-8111-111111111111")
COORDINATE: Final = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    app_user_id=AppUserId("user-1"),
)

BOUNDARY: Final = {"before": -1, "at": 0, "after": 1}
"""Microseconds around an instant: intervals are half-open, so at it is after it."""


def connection_id(number: int) -> ConnectionId:
    """The id of the vectors' nth connection."""
    return ConnectionId(parse_uuid("id", f"00000000-0000-4000-8000-{number:012x}"))


def next_action(now: datetime) -> NextAction:
    """The next action that a server mints at `now`."""
    return NextAction("https://connect.example.com/h/1", later(now, HANDOFF))


def cell_id(table: str, key: Iterable[str]) -> str:
    """The id of the case that drives one cell of a table."""
    return "/".join([table, *(part.translate(_PLAIN) for part in key)])


_PLAIN: Final = str.maketrans(" ", "-", ",'")


def camel(name: str) -> str:
    """A Python name as the wire spells it; dots stay."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def stored(value: Storable | None) -> Members | None:
    """A value with everything in it, internals too, in the wire's spelling.

    The number of the form that our own store gives it is left out.
    """
    if value is None:
        return None
    members = {name: member for name, member in dump(value).items() if name != FORMAT}
    return cast("Members", _camels(members))


def time_or_null(instant: datetime | None) -> str | None:
    """An instant as the wire prints it."""
    return None if instant is None else format_time(instant)


def problem_members(problem: Problem) -> Members:
    """A problem's contract; its sentences may change, so no vector holds them."""
    return {
        "code": problem.code,
        "status": status_of(problem),
        "retryable": problem.type.retryable,
        "details": {
            name: format_time(value) if isinstance(value, datetime) else value
            for name, value in problem.details.items()
        },
    }


def refused(answer: Refused) -> Members:
    """The answer of a refusal."""
    return {
        "outcome": "refused",
        "problem": problem_members(answer.problem),
        "rules": answer.rules,
    }


def mistake(error: ArgumentError) -> Members:
    """The answer to an argument that no correct program passes."""
    return {"outcome": "error", "argument": camel(error.argument)}


def answered(
    result: Done[_Done] | Ignored[object] | Refused | ArgumentError,
    show: Callable[[_Done], Members],
) -> Members:
    """The answer of a rule: what is new, that nothing is, or why not."""
    if isinstance(result, ArgumentError):
        return mistake(result)
    if isinstance(result, Refused):
        return refused(result)
    if isinstance(result, Ignored):
        return {"outcome": "ignored", "rules": result.rules}
    return {"outcome": "done", **show(result.value), "rules": result.rules}


def attempt(run: Callable[[], _Answer]) -> _Answer | ArgumentError:
    """What a function answers, or the mistake that it names."""
    try:
        return run()
    except ArgumentError as error:
        return error


def judged(
    id: str,  # noqa: A002 - the vectors' own word for it
    given: Members,
    answer: Members,
    comment: str | None = None,
) -> Case:
    """The case of a decision: its rule and its verdict are read from its answer."""
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
    """The text of one file."""
    document = {
        "name": name,
        "version": VERSION,
        "law": law,
        "cases": [_case(case) for case in cases],
    }
    # ASCII, since some of the inputs hold what no UTF-8 text can.
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
