"""The library's answers in every state of the explorer."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from itertools import product
from typing import Final, NamedTuple

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.attempt import forget, release
from curae_lifecycle.rules.binding import LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    deadline_kind,
    next_deadline,
    standing,
)
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    LostLeaseAction,
    Record,
    RecordKey,
    begin_attempt,
    completed_record,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import LogState
from curae_lifecycle.rules.session import CuraeConnectSession, complete_handoff
from curae_lifecycle.rules.values import DataPackage, SessionId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
)
from curae_lifecycle.web.respond import respond
from docs.explorer.states import MADE
from tests.support import specimens
from tests.support.server import CALLER
from tests.support.specimens import (
    ANSWER,
    BOUND,
    NEW_ID,
    NEW_USER,
    NOW,
    OLD_ID,
    stored,
    successor_of,
)
from tests.support.strategies import (
    COORDINATE,
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    at,
    next_action,
    uuid,
)

# --- The states, in the words of the page ------------------------------------------------------


class State(NamedTuple):
    """One choice of each kind, in the order of the page; empty if a line does not use it."""

    status: str = ""
    revocation: str = ""
    era: str = ""
    clock: str = ""
    successor: str = ""
    account: str = ""
    session: str = ""
    record: str = ""
    request: str = ""


PATH_B: Final = "NEW_ACTIVE_SIGNUP_HANDOFF"
CHOICES: Final = {
    "stored status": ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"],
    "revocation": ["no revokedAt", "a revokedAt"],
    "era": ["made under the present era", "made under another era"],
    "clock": ["before the deadline", "at the deadline", "after the deadline", "none set"],
    "successor": [
        "no successor",
        "successor PENDING",
        "successor LAPSED",
        "successor ACTIVE",
        "successor ACTION_REQUIRED",
        "successor EXPIRED",
        "successor REVOKED",
    ],
    "account": ["UNLINKED", "LIMITED", "ACTIVE", "TOMBSTONED"],
    "session": [
        f"{PATH_B}, waiting",
        f"{PATH_B}, over without landing",
        f"{PATH_B}, landed for the bound user",
        "EXISTING_ACTIVE_HANDOFF",
        "SILENT_LIMITED",
    ],
    "record": [
        "absent, or retention over",
        "released",
        "in flight, lease running",
        "in flight, lease over",
        "unknown",
        "completed",
        "forgotten",
    ],
    "request": ["same fingerprint", "other fingerprint"],
}
FIRST: Final = State(*(values[0] for values in CHOICES.values()))
SWEPT: Final = (
    ("status", "revocation", "era", "clock", "successor", "record", "request"),
    ("status", "revocation", "era", "clock", "successor", "account"),
    ("account", "record", "request"),
    ("era", "account", "session"),
)
"""The choices that the sweeps of the page combine. Each line depends on those of one sweep."""


def sweep(names: tuple[str, ...]) -> list[State]:
    """Return every combination of some choices, with the first value of the others."""
    values = dict(zip(State._fields, CHOICES.values(), strict=True))
    return [
        FIRST._replace(**dict(zip(names, chosen, strict=True)))
        for chosen in product(*(values[name] for name in names))
    ]


def connection_of(state: State) -> Connection:
    clock = CHOICES["clock"].index(state.clock)
    deadline = (NOW + TICK, NOW, NOW - TICK, None)[clock]
    revoked_at = at(10) if state.revocation == "a revokedAt" else None
    return stored(state.status, deadline, revoked_at=revoked_at)


def tombstone_after(state: State) -> LimitedAccountAppBinding | None:
    """Return the binding that makes the connection one of another era, if that was chosen."""
    binding = specimens.binding_in("LIMITED")
    assert binding is not None
    return attrs.evolve(binding, era=START) if state.era == "made under another era" else None


def successor_in(state: State) -> Connection | None:
    stands = state.successor.removeprefix("successor ")
    if stands == "no successor":
        return None
    like = stored("PENDING", NOW) if stands == "LAPSED" else stored(stands, NOW + TICK)
    if stands == "REVOKED":
        like = stored(stands, revoked_at=at(10))
    # Whatever stands as it says was made under the present era.
    identity = attrs.evolve(like.identity, era=present_era(tombstone_after(state)))
    return successor_of(stored(state.status), attrs.evolve(like, identity=identity))


def session_of(state: State) -> CuraeConnectSession:
    era = START if state.era == "made under another era" else None
    return attrs.evolve(session_under(state), era=era)


def session_under(state: State) -> CuraeConnectSession:
    match CHOICES["session"].index(state.session):
        case 0:
            return specimens.waiting()
        case 1:
            return specimens.mint(
                "UNLINKED", prefer_signup=True, now=NOW - NEXT_ACTION_LIFETIME
            ).value.session
        case 2:
            landed = complete_handoff(specimens.waiting(), binding=None, user_id=BOUND, now=START)
            assert isinstance(landed, Done)
            return landed.value.session
        case 3:
            return specimens.mint("ACTIVE", prefer_signup=False).value.session
        case _:
            return specimens.mint("LIMITED", prefer_signup=True).value.session


def binding_of(state: State) -> LimitedAccountAppBinding | None:
    binding = specimens.binding_in(state.account)
    if binding is None or state.account != "TOMBSTONED":
        return binding
    # The page's copy of a tombstone is one of this tombstone.
    return attrs.evolve(binding, tombstone_reported_at=MADE)


def record_of(state: State, operation: Operation, key: RecordKey) -> Record | None:
    same = state.request == "same fingerprint"
    wanted = fingerprint(operation) if same else Fingerprint.of(operation.rule.name, ["others"])
    late = begin_attempt(None, key=key, fingerprint=wanted, now=NOW)
    used = begin_attempt(None, key=key, fingerprint=wanted, now=START)
    assert isinstance(used, Attempt)
    assert isinstance(late, Attempt)
    match state.record:
        case "absent, or retention over":
            return None
        case "released":
            return specimens.done(release(in_flight_record(used), used, START))
        case "in flight, lease running":
            return in_flight_record(late)
        case "in flight, lease over":
            return in_flight_record(used)
        case "unknown":
            return in_flight_record(used, lost_lease=LostLeaseAction.UNKNOWN)
        case "completed":
            return completed_record(used, ANSWER)
        case _:
            return specimens.done(forget(in_flight_record(used), START))


# --- Answers of the library --------------------------------------------------------------------

USER: Final = COORDINATE.app_user_id
LABS: Final = DataPackage("labs")
SESSION: Final = SessionId(uuid(1))
NEW_IDS: Final = NewIds(
    connection_id=NEW_ID,
    session_id=SessionId(uuid(9)),
    user_id=NEW_USER,
    next_action=next_action(NOW),
)

OPERATIONS_ASKED: Final[dict[str, Operation]] = {
    "create-connection": CreateConnection(USER, (LABS,)),
    "get-connection": GetConnection(OLD_ID),
    "get-connection, its hand-off landed in time": GetConnection(OLD_ID),
    "reconnect": Reconnect(OLD_ID),
    "revoke": Revoke(OLD_ID),
    "initiate": Initiate(USER),
    "initiate with preferSignup": Initiate(USER, prefer_signup=True),
    "initiate, the eleventh in a minute": Initiate(USER),
    "account-state": GetAccountState(USER),
    "graduation-handoff": StartGraduation(USER),
    "graduation-handoff, the eleventh in a minute": StartGraduation(USER),
}
FACTS_ASKED: Final[dict[str, Fact]] = {
    "connection.authorize": Authorized(OLD_ID),
    "connection.authorize, happened before the deadline": Authorized(OLD_ID, None, START),
    "connection.require_action": ActionRequired(OLD_ID, "portal_login"),
    "connection.expire": Expired(OLD_ID),
    "connection.revoke by APP": Revoked(OLD_ID, Actor.APP),
    "connection.revoke by PATIENT": Revoked(OLD_ID, Actor.PATIENT),
    "connection.revoke by PLATFORM": Revoked(OLD_ID, Actor.PLATFORM),
    "connection.revoke by UPSTREAM": Revoked(OLD_ID, Actor.UPSTREAM),
    "handoff.complete for the bound user": HandoffCompleted(SESSION, BOUND),
    "handoff.complete for another user": HandoffCompleted(SESSION, NEW_USER),
    "binding.graduate of the bound user": Graduated(COORDINATE, BOUND),
    "binding.graduate of another user": Graduated(COORDINATE, NEW_USER),
    "binding.tombstone": Tombstoned(COORDINATE),
    "binding.tombstone, a copy of the last one": Tombstoned(COORDINATE, happened_at=MADE),
}
QUESTIONS: Final = ("standing", "deadline", "access", "access to another package")
NAMES: Final = [*QUESTIONS, *OPERATIONS_ASKED, *FACTS_ASKED]

TOLD: Final = {
    "create-connection": ("connection.status",),
    "get-connection": ("connection.status",),
    "reconnect": ("connection.status",),
    "revoke": ("connection.status", "revokedNow"),
    "initiate": ("session.path", "session.handoff"),
    "account-state": ("lifecycleState",),
    "graduation-handoff": (),
}
"""The members of each operation's response that the page shows."""

DETAILS: Final = (
    *("reason", "standing", "path", "lifecycleState"),
    *("differs", "policy", "retryAfter", "dataPackage"),
)
"""The members of problem details that the page shows; others are ids and instants."""


def line(*words: object) -> str:
    return " · ".join(str(word) for word in words)


def details(of: dict[str, object]) -> list[str]:
    return [f"{name} {value}" for name, value in of.items() if name in DETAILS]


def moved(name: str, was: str | None, now: str) -> str:
    return f"writes {name} {was} → {now}" if was else f"writes new {name} {now}"


def changed(changes: Changes) -> str:
    shown: list[str] = []
    for write in changes.writes:
        match write:
            case ConnectionWrite(before, after):
                name = "successor" if after.id == specimens.NEXT_ID else "connection"
                shown.append(moved(name, before.status if before else None, after.status))
            case BindingWrite(before, after):
                shown.append(moved("binding", before.state if before else None, after.state))
            case SessionWrite(before, after):
                was = before.handoff if before else None
                shown.append(moved("session, hand-off", was, after.handoff))
            case RateWrite(policy=policy):
                shown.append(f"charges {policy.name}")
            case RecordWrite() | PageWrite():
                # Every response is recorded, which the page does not repeat. No fact names a page.
                pass
    shown += [f"effect {type(effect).__name__}" for effect in changes.effects]
    shown += [f"event {event.kind}" for event in changes.events]
    return line(*shown)


class Shown(NamedTuple):
    """One line of the page."""

    name: str
    said: str
    changes: str
    rules: str
    reasons: str


REASONS: Final = {
    row.rule: row.why.replace("`", "") for table in TABLES.values() for row in table.rows
}


def shown(name: str, said: str, changes: str, rules: tuple[str, ...]) -> Shown:
    return Shown(
        name=name,
        said=said,
        changes=changes,
        rules=" → ".join(rules),
        reasons=" → ".join([REASONS[rule] for rule in rules]),
    )


def word(body: dict[str, object], path: str) -> str:
    """Return one member of a body, as the page shows it."""
    *outer, member = path.split(".")
    inner = body
    for name in outer:
        value = inner[name]
        assert isinstance(value, dict)
        inner = value
    value = inner[member]
    return f"{member} {str(value).lower() if isinstance(value, bool) else value}"


def operation_answer(name: str, state: State) -> Shown:
    operation = OPERATIONS_ASKED[name]
    rule = operation.rule
    call = Call(CALLER, operation, IdempotencyKey("k-1") if rule.key is KeyUse.NEEDED else None)
    asked = call.needs
    successor = successor_in(state) if asked.connection else None
    snapshot = Snapshot(
        record=record_of(state, operation, asked.record) if asked.record else None,
        limit=LogState.of([NOW] * 10) if "eleventh" in name else None,
        connection=connection_of(state) if asked.connection else None,
        successor=successor,
        head=successor,
        binding=binding_of(state) if asked.binding else tombstone_after(state),
        landed_handoff=LandedHandoff(START, None) if "landed in time" in name else None,
    )
    answer = respond(decide(call, snapshot=snapshot, now=NOW, new_ids=NEW_IDS))
    status, body = answer.response.status, json.loads(answer.response.body)
    if answer.replayed:
        assert answer.response == ANSWER
        said = line("replayed", "the first answer")
    elif status >= 400:
        said = line("refused", status, body["code"], *details(body["details"]))
    else:
        told = [word(body, path) for path in TOLD[rule.name]]
        said = line("answered", status, *told)
    return shown(name, said=said, changes=changed(answer.changes), rules=answer.rules)


def fact_answer(name: str, state: State) -> Shown:
    fact = FACTS_ASKED[name]
    asked = fact.needs()
    of_line = asked.connection or asked.chain or asked.connections
    connection = connection_of(state) if of_line else None
    # The present era is that of the account, or the one that makes the connection another's.
    binding = binding_of(state) if asked.binding or asked.session else tombstone_after(state)
    successor = successor_in(state) if of_line else None
    chain = [each for each in (connection, successor) if each is not None]
    snapshot = Snapshot(
        connection=None if asked.connections else connection,
        successor=successor if asked.connection else None,
        head=successor if asked.connection else None,
        following=tuple(chain[1:]) if asked.chain else (),
        session=session_of(state) if asked.session else None,
        binding=binding,
        connections=tuple(chain) if asked.connections else (),
    )
    answer = record_fact(fact, snapshot, NOW)
    match answer:
        case Done(changes, rules):
            return shown(name, said="done", changes=changed(changes), rules=rules)
        case Ignored(changes, rules):
            return shown(name, said="ignored", changes=changed(changes), rules=rules)
        case Refused(problem, rules):
            said = line("refused", problem.code, *details(dict(problem.details)))
            return shown(name, said=said, changes="", rules=rules)


def question_answer(name: str, state: State) -> Shown:
    era = present_era(tombstone_after(state))
    if name == "deadline":
        unset = connection_of(state._replace(clock="none set"))
        kind = deadline_kind(unset, era=era)
        rule = rule_of("deadline", (state.status, state.revocation, state.era))
        return shown(name, said=kind, changes="", rules=(rule,))
    connection = connection_of(state)
    if name == "standing":
        rule = standing_rule(state, next_deadline(connection, era=era))
        return shown(name, said=standing(connection, NOW, era=era), changes="", rules=(rule,))
    package = "labs" if name == "access" else "other"
    answer = decide_access(connection, package, NOW, era=era)
    if isinstance(answer, Granted):
        return shown(name, said="granted", changes="", rules=(answer.rule,))
    said = line("denied", answer.problem.code, *details(dict(answer.problem.details)))
    return shown(name, said=said, changes="", rules=(answer.rule,))


def standing_rule(state: State, deadline: datetime | None) -> str:
    """Return the rule of the standing; a connection without a deadline is before it."""
    before = deadline is None or deadline > NOW
    clock = "before the deadline, or none set" if before else "at or after the deadline"
    return rule_of("standing", (state.status, state.revocation, state.era, clock))


def rule_of(table: str, cell: tuple[str, ...]) -> str:
    """Return the rule of one cell."""
    (rule,) = {row.rule for key, row in TABLES[table].cells() if key == cell}
    return rule


@cache
def answer_to(name: str, state: State) -> Shown:
    """Return the expected line of a name, in a state reduced to what it uses."""
    if name in OPERATIONS_ASKED:
        return operation_answer(name, state)
    return fact_answer(name, state) if name in FACTS_ASKED else question_answer(name, state)


@cache
def asks(name: str) -> frozenset[str]:
    """Return the parts of a state that a line loads."""
    alone = {"status", "revocation", "era"}
    line, key = {*alone, "clock", "successor"}, {"record", "request"}
    if name in QUESTIONS:
        return frozenset(alone if name == "deadline" else {*alone, "clock"})
    if name in OPERATIONS_ASKED:
        operation = OPERATIONS_ASKED[name]
        needs = operation.needs(CALLER)
        loaded = {
            **dict.fromkeys(line, needs.connection),
            **dict.fromkeys(key, operation.rule.key is KeyUse.NEEDED or None),
            "account": needs.binding,
        }
    else:
        needs = FACTS_ASKED[name].needs()
        loaded = {
            **dict.fromkeys(line, needs.connection or needs.chain or needs.connections),
            "account": needs.binding or needs.session,
            "session": needs.session,
            "era": needs.connection or needs.chain or needs.connections or needs.session,
        }
    return frozenset(part for part, value in loaded.items() if value is not None)


def expected(name: str, state: State) -> Shown:
    unasked = dict.fromkeys(set(State._fields) - asks(name), "")
    return answer_to(name, state._replace(**unasked))
