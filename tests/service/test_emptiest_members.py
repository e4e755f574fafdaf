"""Optional members with their emptiest legal values, which differ from absent members."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import combinations
from typing import Final, cast

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Ignored
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import HAPPENED_AT, Member, parse_flag
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from tests.support.server import API_KEY, CALLER
from tests.support.strategies import START


def parse_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ArgumentError("text", "a text")


def parse_count(value: object) -> int:
    if type(value) is int:
        return value
    raise ArgumentError("count", "an integer")


def parse_texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(parse_text, cast("list[object]", value)))
    raise ArgumentError("texts", "a list of texts")


NOTE: Final = Member[str | None]("note", parse_text, optional=True)
COUNT: Final = Member("count", parse_count, optional=True, default=7)
SHARED: Final = Member("shared", parse_flag, optional=True, default=True)
TAGS: Final[Member[tuple[str, ...]]] = Member("tags", parse_texts, optional=True, default=("t",))
LABELS: Final[Member[tuple[str, ...]]] = Member("labels", parse_texts, optional=True, default=())
SORT: Final = Member("sort", parse_text, optional=True, default="id")


@attrs.frozen
class Noted(operation.Reply):
    """A reply without members."""


@attrs.frozen
class Annotate(operation.Operation):
    """An operation whose members are all optional."""

    sort: str = "id"
    note: str | None = None
    count: int = 7
    shared: bool = True
    tags: tuple[str, ...] = ("t",)
    labels: tuple[str, ...] = ()

    reply = Noted
    rule = operation.OperationRule(
        name="annotate",
        why="[O] For these tests.",
        summary="Annotate",
        method="POST",
        path=f"{operation.BASE_PATH}/notes",
        scope=CONNECTION_WRITE,
        key=operation.KeyUse.NEEDED,
        status=200,
        query=(SORT,),
        body=(NOTE, COUNT, SHARED, TAGS, LABELS),
    )

    def needs(self, caller: Caller) -> Needs:
        del caller
        return Needs()

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        del context
        return operation.Ruling(Noted())


SETTINGS: Final = Settings(operations=(Annotate,))


def annotate(query: str, body: dict[str, Json]) -> operation.Operation:
    """Return the operation that is read from a request."""
    headers = (("Authorization", f"Bearer {API_KEY}"), ("Idempotency-Key", "k-1"))
    request = Request(
        method="POST",
        target=f"{operation.BASE_PATH}/notes{query}",
        headers=headers,
        body=json.dumps(body).encode(),
    )
    call = read(request, CALLER, START, settings=SETTINGS)
    assert isinstance(call, Call)
    assert call.key == IdempotencyKey("k-1")
    return call.operation


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("", {}, Annotate()),
        ("?sort=", {}, Annotate(sort="")),
        ("?sort", {}, Annotate(sort="")),
        ("", {"note": ""}, Annotate(note="")),
        ("", {"count": 0}, Annotate(count=0)),
        ("", {"shared": False}, Annotate(shared=False)),
        ("", {"tags": []}, Annotate(tags=())),
        ("", {"tags": [""]}, Annotate(tags=("",))),
    ],
)
def test_empty_or_zero_member_is_not_replaced_by_its_default(
    query: str, body: dict[str, Json], expected: Annotate
) -> None:
    assert annotate(query, body) == expected


APART: Final = (
    Annotate(),
    Annotate(sort=""),
    Annotate(note=""),
    Annotate(note="\0"),
    Annotate(note="\0\0"),
    Annotate(count=0),
    Annotate(shared=False),
    Annotate(tags=()),
    Annotate(tags=("",)),
    Annotate(tags=("", "")),
    Annotate(tags=(), labels=("t",)),
    Annotate(tags=("t", "u"), labels=("v",)),
    Annotate(tags=("t",), labels=("u", "v")),
    Annotate(tags=("\0001",), labels=("t",)),
)


def test_empty_zero_and_absent_members_differ_in_fingerprint() -> None:
    for one, other in combinations(APART, 2):
        assert fingerprint(one) != fingerprint(other), (one, other)


@attrs.frozen
class Observed(Fact):
    """A fact whose members are all optional."""

    note: str | None = None
    count: int = 7
    happened_at: datetime | None = None

    kind = "test.observe"
    members = (NOTE, COUNT, HAPPENED_AT)

    def needs(self) -> Needs:
        return Needs()

    def judge(self, snapshot: Snapshot, now: datetime) -> FactAnswer:
        del snapshot, now
        return Ignored(NO_CHANGES, (f"{self.note!r} {self.count}",))


@pytest.mark.parametrize(
    ("members", "rule"),
    [({}, "None 7"), ({"note": ""}, "'' 7"), ({"count": 0}, "None 0")],
)
def test_empty_or_zero_member_of_a_fact_replaces_the_default(
    members: dict[str, Json], rule: str
) -> None:
    line = json.dumps({"at": "2030-01-01T00:00:00Z", "fact": {"type": "test.observe", **members}})
    (step,) = replay([line.encode()], facts=(Observed,))
    assert step.answer["rules"] == [rule]
