"""The data of the explorer: the library's answer to each request and fact, in each state.

The law of this module: **nothing is decided here**. Each answer comes from `decide`, `record_fact`,
`decide_access` or `standing`. The choices that it depends on follow from the values that the library
loads for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Final

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.connection import (
    DEADLINE,
    STANDING,
    Actor,
    EraState,
    Standing,
    deadline_kind,
)
from curae_lifecycle.rules.connection import standing as standing_of
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.rules.ratelimit import LogState
from curae_lifecycle.rules.tables import AnyTable
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation, ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.testing.cells import count_cell_lookups
from curae_lifecycle.web.wire_format import format_reply
from docs.explorer import states
from docs.explorer.reachable import Seen, connections, sessions
from docs.explorer.states import BOUND, CONNECTION, COORDINATE, MADE, NEW, NOW, USER, State

OF_DEADLINE: Final = states.OF_CONNECTION[:3]
OF_STANDING: Final = states.OF_CONNECTION[:4]
OF_CONNECTION: Final = states.OF_CONNECTION
OF_ACCOUNT: Final = ("account",)
OF_SESSION: Final = ("session", "era")
OF_KEY: Final = ("record", "request")

TELLING: Final = ("status", "revokedNow", "path", "handoff", "lifecycleState")
"""The members of a body that show the state; the others are ids and instants."""


DOCS: Final = Path(__file__).resolve().parents[1]
UNREACHABLE_CELL: Final = re.compile("^- (Unreachable, .*)$", re.MULTILINE)


@attrs.frozen
class Answer:
    """The parts of an answer that the explorer shows.

    Attributes:
        outcome: The kind of answer, such as the class of a reply.
        status: The HTTP status; `None` for a fact or a question about access.
        code: The code of the problem; `None` if the answer is no problem.
        says: The values in its details or in its body, in order.
        changes: The writes, the effects and the events.
        rules: The names of the rules that decided, in order.
    """

    outcome: str
    status: int | None
    code: str | None
    says: tuple[str, ...]
    changes: tuple[str, ...]
    rules: tuple[str, ...]


@attrs.frozen
class Asked:
    """One line of the page: a request, a fact or a question, and the choices that decide the answer."""

    group: str
    name: str
    choices: tuple[str, ...]
    answer: Callable[[State], Answer]


# --- Asking the library ----------------------------------------------------------------------


def _operation(
    operation: Operation, variant: str = "", *, landed: bool = False, eleventh: bool = False
) -> Asked:
    rule = operation.rule
    call = Call(states.CALLER, operation, states.KEY if rule.key is KeyUse.NEEDED else None)
    needs = call.needs
    choices = (
        (OF_CONNECTION if needs.connection is not None else ())
        + (OF_ACCOUNT if needs.binding is not None else ())
        + (OF_KEY if needs.record is not None else ())
    )
    charged = None if rule.limit is None or not eleventh else LogState.of([NOW] * rule.limit.limit)

    def answer(state: State) -> Answer:
        asked = needs.connection is not None
        successor = states.successor(state) if asked else None
        snapshot = Snapshot(
            record=None if needs.record is None else states.record(state, operation, needs.record),
            limit=charged,
            connection=states.connection(state) if asked else None,
            successor=successor,
            head=successor,
            binding=states.binding(state) if needs.binding is not None else None,
            landed_handoff=LandedHandoff(MADE, None) if landed else None,
        )
        decision = decide(call, snapshot=snapshot, now=NOW, new_ids=states.NEW_IDS)
        reply, changes, rules = decision.reply, _changes(decision.changes), decision.rules
        if decision.replayed:
            # A replay has the status of the first response, which the state leaves open.
            return Answer(
                outcome="replayed",
                status=None,
                code=None,
                says=("the first answer",),
                changes=changes,
                rules=rules,
            )
        if isinstance(reply, ProblemReply):
            code, says = str(reply.problem.code), _details(reply.problem)
            return Answer(
                outcome="refused",
                status=decision.status,
                code=code,
                says=says,
                changes=changes,
                rules=rules,
            )
        says = tuple(_words(format_reply(reply, NOW, binding=None)))
        return Answer(
            outcome="answered",
            status=decision.status,
            code=None,
            says=says,
            changes=changes,
            rules=rules,
        )

    return Asked(group="Operations", name=f"{rule.name}{variant}", choices=choices, answer=answer)


def _fact(fact: Fact, variant: str = "") -> Asked:
    needs = fact.needs()
    alone, chain = needs.connection is not None, needs.chain is not None
    whole = needs.connections is not None
    bound = needs.binding is not None or needs.session is not None
    choices = (
        (OF_CONNECTION if alone or chain or whole else ())
        + (OF_ACCOUNT if bound else ())
        + (OF_SESSION if needs.session is not None else ())
    )

    def answer(state: State) -> Answer:
        connection = states.connection(state) if alone or chain or whole else None
        successor = states.successor(state) if alone or chain or whole else None
        following = () if successor is None else (successor,)
        snapshot = Snapshot(
            connection=None if whole else connection,
            successor=successor if alone else None,
            head=successor if alone else None,
            following=following if chain else (),
            session=None if needs.session is None else states.session(state),
            binding=states.binding(state) if bound else None,
            connections=() if connection is None or not whole else (connection, *following),
        )
        said = record_fact(fact, snapshot, NOW)
        outcome = type(said).__name__.lower()
        if isinstance(said, Refused):
            code = str(said.problem.code)
            return Answer(
                outcome=outcome,
                status=None,
                code=code,
                says=_details(said.problem),
                changes=(),
                rules=said.rules,
            )
        return Answer(
            outcome=outcome,
            status=None,
            code=None,
            says=(),
            changes=_changes(said.value),
            rules=said.rules,
        )

    return Asked(group="Facts", name=f"{fact.kind}{variant}", choices=choices, answer=answer)


def _access(package: str, variant: str) -> Asked:
    def answer(state: State) -> Answer:
        said = decide_access(states.connection(state), package, NOW, era=None)
        if isinstance(said, Granted):
            return Answer(
                outcome="granted", status=None, code=None, says=(), changes=(), rules=(said.rule,)
            )
        code = str(said.problem.code)
        return Answer(
            outcome="denied",
            status=None,
            code=code,
            says=_details(said.problem),
            changes=(),
            rules=(said.rule,),
        )

    return Asked(
        group="The connection", name=f"access{variant}", choices=OF_STANDING, answer=answer
    )


def _standing(state: State) -> Answer:
    with count_cell_lookups([STANDING]) as looked_at:
        standing = standing_of(states.connection(state), NOW, era=None)
    return _looked_up(STANDING, looked_at, standing)


def _deadline(state: State) -> Answer:
    # The instant does not matter.
    connection = states.connection({**state, "clock": next(iter(states.CLOCKS))})
    with count_cell_lookups([DEADLINE]) as looked_at:
        kind = deadline_kind(connection, era=None)
    return _looked_up(DEADLINE, looked_at, kind)


def _looked_up(table: AnyTable, looked_at: Iterable[tuple[str, ...]], outcome: str) -> Answer:
    ((_, *cell),) = looked_at
    (rule,) = {row.rule for key, row in table.cells() if list(key) == cell}
    return Answer(outcome=outcome, status=None, code=None, says=(), changes=(), rules=(rule,))


# --- In words --------------------------------------------------------------------------------


def _details(problem: Problem) -> tuple[str, ...]:
    # The ids and instants are those of the example values, and show nothing of the state.
    shown = {name: value for name, value in problem.details.items() if not name.endswith("Id")}
    return tuple(
        f"{name} {value}" for name, value in shown.items() if not isinstance(value, datetime)
    )


def _words(body: Mapping[str, Json]) -> Iterator[str]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from _words(value)
        elif name in TELLING:
            yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _changes(changes: Changes) -> tuple[str, ...]:
    return (
        *(_written(write) for write in changes.writes),
        *(f"effect {type(effect).__name__}" for effect in changes.effects),
        *(f"event {event.kind}" for event in changes.events),
    )


def _written(write: Write) -> str:
    match write:
        case ConnectionWrite(before, after):
            name = "successor" if after.id == states.SUCCESSOR else "connection"
            return _moved(name, before.status if before else None, after.status)
        case BindingWrite(before, after):
            return _moved("binding", before.state if before else None, after.state)
        case SessionWrite(before, after):
            return _moved("session, hand-off", before.handoff if before else None, after.handoff)
        case RateWrite(policy=policy):
            return f"charges {policy.name}"
        case RecordWrite():
            raise AssertionError("the record is kept with the response, which is not made here")
        case PageWrite():
            raise AssertionError("no fact of the explorer names a hosted page")


def _moved(name: str, before: str | None, after: str) -> str:
    return f"writes new {name} {after}" if before is None else f"writes {name} {before} → {after}"


# --- Everything that is asked ----------------------------------------------------------------

ASKED: Final = (
    Asked(group="The connection", name="standing", choices=OF_STANDING, answer=_standing),
    Asked(group="The connection", name="deadline", choices=OF_DEADLINE, answer=_deadline),
    _access(states.PACKAGE, ""),
    _access("other", " to another package"),
    _operation(CreateConnection(USER, (states.PACKAGE,))),
    _operation(GetConnection(CONNECTION)),
    _operation(GetConnection(CONNECTION), ", its hand-off landed in time", landed=True),
    _operation(Reconnect(CONNECTION)),
    _operation(Revoke(CONNECTION)),
    _operation(Initiate(USER, prefer_signup=False)),
    _operation(Initiate(USER, prefer_signup=True), " with preferSignup"),
    _operation(Initiate(USER), ", the eleventh in a minute", eleventh=True),
    _operation(GetAccountState(USER)),
    _operation(StartGraduation(USER)),
    _operation(StartGraduation(USER), ", the eleventh in a minute", eleventh=True),
    _fact(Authorized(CONNECTION)),
    _fact(Authorized(CONNECTION, happened_at=MADE), ", happened before the deadline"),
    _fact(ActionRequired(CONNECTION, "portal_login")),
    _fact(Expired(CONNECTION)),
    *(_fact(Revoked(CONNECTION, actor), f" by {actor}") for actor in Actor),
    _fact(HandoffCompleted(states.SESSION, BOUND), " for the bound user"),
    _fact(HandoffCompleted(states.SESSION, NEW), " for another user"),
    _fact(Graduated(COORDINATE, BOUND), " of the bound user"),
    _fact(Graduated(COORDINATE, NEW), " of another user"),
    _fact(Tombstoned(COORDINATE)),
    _fact(Tombstoned(COORDINATE, happened_at=MADE), ", a copy of the last one"),
)
"""Every operation and fact, with each variant that a table decides by separate cells."""


def document() -> dict[str, Json]:
    """Return all data of the explorer: the choices, the lines, the distinct answers, the tables."""
    numbers: dict[Answer, int] = {}
    asked: list[Json] = []
    for each in ASKED:
        every = product(*(states.CHOICES[name] for name in each.choices))
        given = [each.answer(dict(zip(each.choices, chosen, strict=True))) for chosen in every]
        asked.append(
            {
                "group": each.group,
                "name": each.name,
                "choices": list(each.choices),
                "answers": [numbers.setdefault(answer, len(numbers)) for answer in given],
            }
        )
    reached = _reached()
    trails = {rule for answer in numbers for rule in answer.rules}
    return {
        "choices": {name: list(values) for name, values in states.CHOICES.items()},
        "asked": asked,
        "answers": [_plain(answer) for answer in numbers],
        "tables": [_table(table) for table in TABLES.values() if _rules(table) & trails],
        "reached": [
            {
                "of": of,
                "choices": list(names),
                "cells": "".join(
                    "01"[chosen in seen]
                    for chosen in product(*(states.CHOICES[name] for name in names))
                ),
            }
            for of, names, seen in reached
        ],
        "picture": (DOCS / "tables/connection.svg").read_text(encoding="utf-8"),
        "boxes": _boxes(connections()),
    }


def _reached() -> list[tuple[str, tuple[str, ...], frozenset[Seen]]]:
    """Return the states that requests and facts can lead to, for each group of choices."""
    alone = {each[: len(OF_STANDING)] for each in connections()}
    return [
        ("connection", OF_STANDING, frozenset(alone)),
        ("connection with this successor", OF_CONNECTION, connections()),
        ("session with this account", states.OF_SESSION, sessions()),
    ]


def _boxes(reached: frozenset[Seen]) -> dict[str, Json]:
    """Return the first state of each standing, for the boxes of the picture."""
    found: dict[str, Json] = {}
    for chosen in product(*(states.CHOICES[name] for name in OF_CONNECTION)):
        state = dict(zip(OF_CONNECTION, chosen, strict=True))
        # The picture shows one era: its arrows leave out the tombstone.
        if chosen in reached and state["era"] == EraState.THIS:
            found.setdefault(standing_of(states.connection(state), NOW, era=None), dict(state))
    assert set(found) == set(Standing)  # noqa: S101 - a box without a state could not be chosen
    return found


def _plain(answer: Answer) -> dict[str, Json]:
    return {
        "outcome": answer.outcome,
        "status": answer.status,
        "code": answer.code,
        "says": list(answer.says),
        "changes": list(answer.changes),
        "rules": list(answer.rules),
    }


def _rules(table: AnyTable) -> set[str]:
    return {row.rule for row in table.rows}


def _table(table: AnyTable) -> dict[str, Json]:
    # The page of examples says which cells are unreachable, and the tests prove it.
    page = (DOCS / f"tables/worked/{table.name}.md").read_text(encoding="utf-8")
    unreachable: dict[str, list[Json]] = {}
    for section in page.split("\n## ")[1:]:
        unreachable[section.split("\n", 1)[0]] = [*UNREACHABLE_CELL.findall(section)]
    return {
        "name": table.name,
        "law": table.law,
        "axes": [axis.name for axis in table.axes],
        "rows": [
            {
                "key": [str(part) for part in row.parts],
                "outcome": str(row.outcome),
                "rule": row.rule,
                "why": row.why,
                "unreachable": unreachable.get(row.rule, []),
            }
            for row in table.rows
        ],
    }


def script() -> str:
    """Return the data as a script, which a page that is opened from a disk may load."""
    text = json.dumps(document(), ensure_ascii=False, separators=(",", ":"))
    return f"const EXPLORER = {text};\n"
