"""Every cell of every table, changed in every way: something must notice.

A mutant is one cell with another outcome that occurs in the same table; its rule name stays,
so that a trail alone does not give it away. An oracle per table drives the functions over the
whole finite product and says, in the words of the printed table, what was done. A mutant is

- *killed* where the functions now do something else;
- *misprinted* where they do the same, but the page would no longer say what they do;
- *unreachable* where no call asks the cell: `UNREACHABLE` lists those with their proof.

None survives otherwise, and the counts are pinned, so that a shrunken run is noticed.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Final, ParamSpec, TypeVar

import attrs
import pytest

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.access import ACCESS, Granted, decide_access
from curae_lifecycle.rules.attempt import (
    ATTEMPT,
    UPKEEP,
    LeaseLost,
    complete,
    forget,
    release,
    renew,
    resolve,
)
from curae_lifecycle.rules.binding import BINDING, GRADUATION_HANDOFF, AccountState
from curae_lifecycle.rules.chain import RECOVERY, REVOCATION_REACH, Minted
from curae_lifecycle.rules.connection import STANDING, Actor, Clock, Connection
from curae_lifecycle.rules.credentials import PERMISSION, check_permission
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    BEGIN,
    RECORD_STANDING,
    Attempt,
    KnownResponse,
    LostLease,
    Record,
    RecordState,
    begin,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import CATALOGUE, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState
from curae_lifecycle.rules.session import (
    COMPLETION,
    PATHS,
    EntryPath,
    Handoff,
    complete_handoff,
    initiate,
)
from curae_lifecycle.rules.tables import Row, Table
from curae_lifecycle.rules.triggers import (
    AUTHORIZATION,
    EXPIRY_RECORD,
    TRIGGERS,
    Successor,
    Trigger,
)
from curae_lifecycle.rules.values import Environment, SessionId, UserId
from curae_lifecycle.rules.wire_status import STORED_STATUS, WIRE_STATUS
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.gates import ORDER
from curae_lifecycle.service.operations.operation import KeyUse, ProblemReply
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.json import Json, MalformedError
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import respond
from curae_lifecycle.web.shapes import format_connection, format_problem, parse_connection
from tests import (
    server,
    test_access,
    test_binding,
    test_connection,
    test_credentials,
    test_idempotency,
    test_problems,
    test_session,
)
from tests.strategies import COORDINATE, START, TICK, next_action, pending, uuid
from tests.test_connection import NOW, SPECIMENS, successor_of

Key = tuple[str, ...]
Answer = tuple[Key, str, Key]
"""A cell, what the functions did there in the words of the page, and the trail."""

Oracle = Callable[[], list[Answer]]
AnyKey = TypeVar("AnyKey", bound="tuple[StrEnum, ...]")
Outcome = TypeVar("Outcome")
Given = ParamSpec("Given")
RAISED: Final = (
    ArgumentError,
    AssertionError,
    AttributeError,
    KeyError,
    MalformedError,
    TypeError,
    ValueError,
)


def answered(
    key: Key, call: Callable[Given, tuple[str, Key]], *given: Given.args, **named: Given.kwargs
) -> Answer:
    """What a call does; a mutant may make it raise."""
    try:
        deed, trail = call(*given, **named)
    except RAISED as error:
        return key, f"raises {type(error).__name__}", ()
    return key, deed, trail


def refused(answer: Refused) -> str:
    reason = answer.problem.details.get("reason")
    return f"refuse {answer.problem.code}" + (f" ({reason})" if reason else "")


# --- The connection's tables -----------------------------------------------------------------


def standings() -> list[Answer]:
    def stood(connection: Connection) -> tuple[str, Key]:
        return rules.standing(connection, NOW), ()

    return [
        answered(
            (status, clock),
            stood,
            test_connection.stored(status, deadline),
        )
        for status in test_connection.STANDINGS
        for clock, deadlines in (
            (Clock.BEFORE, (None, NOW + TICK)),
            (Clock.REACHED, (NOW, NOW - TICK)),
        )
        for deadline in deadlines
    ]


def happened(connection: Connection, event: str) -> tuple[str, Key]:
    if event == Trigger.RECONNECT:
        recovery = test_connection.reconnect(connection)
        early = isinstance(recovery, Refused) and len(recovery.rules) == 1
        deed = refused(recovery) if early and isinstance(recovery, Refused) else "recover"
        return deed, recovery.rules
    answer = test_connection.happen(connection, event)
    if len(answer.rules) > 1:
        return "EXPIRED (records it) or ignore", answer.rules
    match answer:
        case Done(value):
            return value.status, answer.rules
        case Ignored():
            return "ignore", answer.rules
        case Refused():
            return refused(answer), answer.rules


def events() -> list[Answer]:
    return [
        answered(
            (event, standing),
            happened,
            connection,
            event,
        )
        for event in Trigger
        for standing, specimens in SPECIMENS.items()
        for connection in specimens
    ]


def expiries() -> list[Answer]:
    def expired(connection: Connection) -> tuple[str, Key]:
        answer = triggers.expire(connection, NOW)
        return (answer.value.status if isinstance(answer, Done) else "ignore"), answer.rules

    return [
        answered(
            (status,),
            expired,
            test_connection.stored(status, deadline),
        )
        for status in test_connection.STANDINGS
        for deadline in (NOW, NOW - TICK)
    ]


def successors(connection: Connection) -> Iterator[tuple[Successor, Connection | None]]:
    yield Successor.NONE, None
    for standing, specimens in SPECIMENS.items():
        for like in specimens:
            kind = Successor.PENDING if standing == "PENDING" else Successor.OTHER
            yield kind, successor_of(connection, like)


def authorizations() -> list[Answer]:
    def authorized(successor: Connection | None) -> tuple[str, Key]:
        answer = triggers.authorize(pending(), NOW, successor=successor)
        return (refused(answer) if isinstance(answer, Refused) else "proceed"), answer.rules

    return [answered((kind,), authorized, successor) for kind, successor in successors(pending())]


def recoveries() -> list[Answer]:
    def recovered(connection: Connection, successor: Connection | None) -> tuple[str, Key]:
        answer = test_connection.reconnect(connection, successor)
        if isinstance(answer, Refused):
            return refused(answer), answer.rules
        minted = isinstance(answer.value, Minted)
        return ("mint a successor" if minted else "reissue the successor"), answer.rules

    return [
        answered(
            (standing, kind),
            recovered,
            connection,
            successor,
        )
        for standing, specimens in SPECIMENS.items()
        for connection in specimens
        for kind, successor in successors(connection)
    ]


def reaches() -> list[Answer]:
    def reached(actor: Actor) -> tuple[str, Key]:
        later = successor_of(pending(), pending())
        count = len(chains.revoke_chain(pending(), (later,), NOW, actor=actor))
        return ("that connection", "that connection and every later one")[count - 1], ()

    return [answered((actor,), reached, actor) for actor in Actor]


def accesses() -> list[Answer]:
    def asked(connection: Connection, package: str) -> tuple[str, Key]:
        answer = decide_access(connection, package, NOW)
        deed = "grant" if isinstance(answer, Granted) else f"deny {answer.reason}"
        return deed, (answer.rule,)

    return [
        answered(
            (standing, held),
            asked,
            connection,
            package,
        )
        for standing, specimens in SPECIMENS.items()
        for connection in specimens
        for held, package in (("package granted", "labs"), ("package not granted", "lab"))
    ]


# --- Bindings and sessions -------------------------------------------------------------------


def account_bindings() -> list[Answer]:
    def bound(event: str, state: str, user: UserId) -> tuple[str, Key]:
        answer = test_binding.happens(event, test_binding.binding_in(state), user)
        match answer:
            case Done(value):
                return value.state, answer.rules
            case Ignored():
                return "ignore", answer.rules
            case Refused():
                return refused(answer), answer.rules

    return [
        answered(
            (event, state, match),
            bound,
            event,
            state,
            user,
        )
        for event in bindings.BindingTrigger
        for state in AccountState
        for match, user in (
            (bindings.User.SAME, test_binding.BOUND),
            (bindings.User.OTHER, test_binding.OTHER),
        )
        if (BINDING.name, event, state, match) not in UNREACHABLE
    ]


def graduations() -> list[Answer]:
    def started(state: AccountState) -> tuple[str, Key]:
        answer = bindings.start_graduation(test_binding.binding_in(state))
        return (refused(answer) if isinstance(answer, Refused) else "proceed"), answer.rules

    return [answered((state,), started, state) for state in AccountState]


def entry_paths() -> list[Answer]:
    users = {
        ("UNLINKED", None): "none yet",
        ("LIMITED", test_session.BOUND): "the bound LIMITED user",
        ("ACTIVE", test_session.BOUND): "the bound user",
        ("UNLINKED", test_session.NEW): "a new LIMITED user",
        ("TOMBSTONED", test_session.NEW): "a new LIMITED user",
    }

    def entered(state: AccountState, *, prefers: bool) -> tuple[str, Key]:
        answer = initiate(
            test_session.binding_in(state),
            COORDINATE,
            START,
            prefer_signup=prefers,
            id=SessionId(uuid(1)),
            user_id=test_session.NEW,
            next_action=next_action(START),
        )
        session = answer.value.session
        landed = "" if (session.landed_at is None) is (session.handoff != "LANDED") else " amiss"
        user = users.get((state, session.user_id), "amiss")
        return f"{session.path}, hand-off {session.handoff}, {user}{landed}", answer.rules

    return [
        answered(
            (state, preference),
            entered,
            state,
            prefers=prefers,
        )
        for state in AccountState
        for preference, prefers in (
            ("preferSignup true", True),
            ("preferSignup false or absent", False),
        )
    ]


def completions() -> list[Answer]:
    waiting = test_session.waiting()
    end = waiting.expires_at

    def completed(path: EntryPath, at_end: timedelta, landed_for: str | None) -> tuple[str, Key]:
        session = attrs.evolve(waiting, path=path)
        if landed_for is not None:
            session = attrs.evolve(
                session, handoff=Handoff.LANDED, landed_at=START, user_id=UserId(landed_for)
            )
        answer = complete_handoff(session, None, UserId("u-1"), end + at_end)
        match answer:
            case Done():
                return "proceed", answer.rules
            case Ignored():
                return "ignore", answer.rules
            case Refused():
                return refused(answer), answer.rules

    return [
        answered(
            (path, completion),
            completed,
            path,
            at_end,
            landed_for,
        )
        for path in EntryPath
        for completion, at_end, landed_for in (
            ("waiting", -TICK, None),
            ("over without landing", timedelta(), None),
            ("landed for the same user", -TICK, "u-1"),
            ("landed for the same user", timedelta(), "u-1"),
            ("landed for another user", -TICK, "u-2"),
            ("landed for another user", timedelta(), "u-2"),
        )
    ]


# --- Idempotency -----------------------------------------------------------------------------

LONG: Final = {
    "absent": "absent, or retention over",
    "released": "released",
    "in flight": "in flight, lease running",
    "lease over": "in flight, lease over",
    "unknown": "unknown",
    "completed": "completed",
    "forgotten": "forgotten",
}
"""The short names of records in the other tests, as the tables spell them."""


def record_standings() -> list[Answer]:
    def stood(state: RecordState, means: LostLease, *, runs: bool) -> tuple[str, Key]:
        ends = START + (TICK if runs else timedelta())
        record = attrs.evolve(
            test_idempotency.running(), state=state, lease_until=ends, lost_lease=means
        )
        return record_standing(record, START), ()

    return [
        answered(
            (state, lease, means),
            stood,
            state,
            means,
            runs=runs,
        )
        for state in RecordState
        for lease, runs in (("lease running", True), ("lease over", False))
        for means in LostLease
    ]


def begins() -> list[Answer]:
    def begun(record: Record | None, now_at: int, *, same: bool) -> tuple[str, Key]:
        asked = test_idempotency.SAME if same else test_idempotency.OTHERS["values"]
        now = test_idempotency.RECORDS[now_at][2]
        answer = begin(record, test_idempotency.KEY, asked, now)
        match answer:
            case Attempt():
                return "execute", answer.rules
            case KnownResponse():
                return "replay", answer.rules
            case Refused():
                return refused(answer), answer.rules

    return [
        answered(
            (LONG[name], match),
            begun,
            record,
            number,
            same=same,
        )
        for number, (name, record, _) in enumerate(test_idempotency.RECORDS)
        for match, same in (("same fingerprint", True), ("other fingerprint", False))
    ]


def attempts() -> list[Answer]:
    def acted(number: int, act: str, *, current: bool) -> tuple[str, Key]:
        _, record, now = test_idempotency.RECORDS[number]
        attempt = test_idempotency.first_attempt()
        if not current:
            attempt = attrs.evolve(attempt, token=attempt.token + 1)
        match act:
            case "renew":
                answer = renew(record, attempt, now)
            case "complete":
                answer = complete(record, attempt, test_idempotency.ANSWER, now)
            case _:
                answer = release(record, attempt, now)
        deed = "lease lost" if isinstance(answer, LeaseLost) else answer.value.state
        return deed, answer.rules

    return [
        answered(
            (act, LONG[name], holder),
            acted,
            number,
            act,
            current=current,
        )
        for number, (name, record, _) in enumerate(test_idempotency.RECORDS)
        for act in ("renew", "complete", "release")
        for holder, current in (("this attempt", True), ("another attempt", False))
        if record is not None or not current
    ]


def upkeeps() -> list[Answer]:
    def kept(number: int, act: str) -> tuple[str, Key]:
        _, record, now = test_idempotency.RECORDS[number]
        match act:
            case "resolve with a response":
                answer = resolve(record, now, response=test_idempotency.ANSWER)
            case "resolve as not executed":
                answer = resolve(record, now, response=None)
            case _:
                answer = forget(record, now)
        return (answer.value.state if isinstance(answer, Done) else "ignore"), answer.rules

    return [
        answered((act, LONG[name]), kept, number, act)
        for number, (name, _, _) in enumerate(test_idempotency.RECORDS)
        for act in ("resolve with a response", "resolve as not executed", "forget")
    ]


# --- Requests and the wire -------------------------------------------------------------------


def permissions() -> list[Answer]:
    def permitted(served: Environment | None, scope: str | None) -> tuple[str, Key]:
        answer = check_permission(server.CALLER, scope, served)
        return ("proceed", ()) if answer is None else (refused(answer), answer.rules)

    return [
        answered(
            (environment, held),
            permitted,
            served,
            scope,
        )
        for environment, served in (
            ("environment served", None),
            ("environment served", Environment.LIVE),
            ("another environment", Environment.TEST),
        )
        for held, scope in (
            ("scope held or not needed", None),
            ("scope held or not needed", "connection:write"),
            ("scope missing", "connection:other"),
        )
    ]


FULL: Final = LogState((START,) * 10)
DRAINED: Final = Settings(buckets=(Bucket("platform", 1, 1, 60),))
EMPTY: Final = BucketState(10**18)


def decided(
    request: Request,
    snapshot: Snapshot,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    caller: bool = True,
    scopes: bool = True,
) -> Decision:
    """What a request is answered by `read` and `decide`."""
    who = server.CALLER if scopes else attrs.evolve(server.CALLER, scopes=frozenset())
    call = read(request, who if caller else None, START, settings)
    if isinstance(call, Decision):
        return call
    return decide(call, snapshot, START, server.new_ids(), settings)


ASKED: Final = {
    "permission": "see permission",
    "idempotency": "see idempotency",
    "connection": "see connection, recovery, entry-path, graduation-handoff",
}
"""The tables that had the last word, as the page of the order names them."""


def walks() -> dict[str, tuple[Request, Snapshot]]:
    """For each gate a request that is stopped there, and what is stored."""
    known = Snapshot(connection=pending())
    keyed = server.request("graduation", headers=(("Idempotency-Key", "k-1"),))
    taken = attrs.evolve(known, record=test_idempotency.running())
    return {
        "credentials": (server.request("get"), known),
        "path and method": (Request("PUT", "/", (), b""), known),
        "environment and scope": (server.request("revoke"), known),
        "path ids, query and body": (server.request("create", body=b"{"), known),
        "no key where none is allowed": (keyed, known),
        "a key where one is needed": (server.request("create", key=None), known),
        "a key that can be read": (server.request("create", key='"'), known),
        "the platform's buckets": (server.request("get"), attrs.evolve(known, buckets=(EMPTY,))),
        "the key's record": (server.request("revoke"), taken),
        "the app user's limit": (server.request("initiate"), Snapshot(limit=FULL)),
        "ownership": (server.request("get"), Snapshot()),
        "the rule itself": (server.request("reconnect"), known),
    }


def gates() -> list[Answer]:
    def gated(gate: str) -> tuple[str, Key]:
        if gate == "room in the store":
            answer = server.world(capacity=0).handle(
                server.request("create"), START, server.new_ids()
            )
            return f"refuse {server.code(answer)}", ()
        request, snapshot = walks()[gate]
        decision = decided(
            request,
            snapshot,
            DRAINED if snapshot.buckets else DEFAULT_SETTINGS,
            caller=gate != "credentials",
            scopes=gate != "environment and scope",
        )
        assert isinstance(decision.reply, ProblemReply)
        found = find_rule(decision.rules[-1])
        assert found is not None
        refusal = f"refuse {decision.reply.problem.code}"
        return ASKED.get(found.table.name, refusal), decision.rules

    return [answered((gate,), gated, gate) for (gate,), _ in ORDER]


def operations() -> list[Answer]:
    def probed(name: str) -> tuple[str, Key]:
        asked = "get" if name == "get-connection" else name.split("-", maxsplit=1)[0]
        asked = "account-state" if asked == "account" else asked
        plain = server.request(asked, key=None)
        keyed = attrs.evolve(plain, headers=(*plain.headers, ("Idempotency-Key", "k-1")))
        snapshot = Snapshot(connection=REVOKED, binding=server.LIMITED)
        with_key, without = decided(keyed, snapshot), decided(plain, snapshot)
        unscoped = decided(keyed, snapshot, scopes=False)
        scope = "no scope"
        if isinstance(unscoped.reply, ProblemReply) and unscoped.status == 403:
            scope = str(unscoped.reply.problem.details["scope"])
        if is_refusal(without, 400):
            key, taken = KeyUse.NEEDED, with_key
        elif is_refusal(with_key, 400):
            key, taken = KeyUse.NOT_ALLOWED, without
        else:
            key, taken = KeyUse.UNUSED, with_key
        full = decided(plain if taken is without else keyed, attrs.evolve(snapshot, limit=FULL))
        limited = full.reply.limited if isinstance(full.reply, ProblemReply) else None
        limit = "no limit" if limited is None else f"{limited.policy.limit} a minute"
        path = plain.target.partition("?")[0].replace(uuid(1), "{connectionId}")
        status = respond(taken).response.status
        deed = f"{plain.method} {path} → {status}; {scope}, {key}, {limit}"
        policy = () if limited is None else (limited.policy.name,)
        return deed, (*taken.rules, *policy)

    return [answered((name,), probed, name) for (name,), _ in OPERATION_TABLE]


REVOKED: Final = attrs.evolve(pending(), status=rules.Status.REVOKED)


def is_refusal(decision: Decision, status: int) -> bool:
    return isinstance(decision.reply, ProblemReply) and decision.status == status


FACTS: Final = {code: len(row.outcome.details) for (code,), row in CATALOGUE}


def problems() -> list[Answer]:
    def printed(code: ProblemCode) -> tuple[str, Key]:
        page = format_problem(Problem(code, tuple(str(n) for n in range(FACTS[code]))))
        details = page["details"]
        assert isinstance(details, dict)
        final = "retryable" if page["retryable"] else "final"
        deed = f"{page['status']}, {final}, details: {', '.join(details) or 'none'}"
        return deed, (str(page["title"]), str(page["detail"]))

    return [answered((code,), printed, code) for code in ProblemCode]


def wire_statuses() -> list[Answer]:
    def shown(connection: Connection) -> tuple[str, Key]:
        return str(format_connection(connection, NOW)["status"]), ()

    return [
        answered((standing,), shown, connection)
        for standing, specimens in SPECIMENS.items()
        for connection in specimens
    ]


def stored_statuses() -> list[Answer]:
    def stored(status: str) -> tuple[str, Key]:
        page: dict[str, Json] = {**format_connection(test_connection.stored("ACTIVE"), NOW)}
        made = parse_connection(
            page | {"status": status},
            environment=Environment.LIVE,
            app_id=COORDINATE.app_id,
        )
        return made.status, ()

    return [answered((status,), stored, status) for (status,), _ in STORED_STATUS]


# --- Mutants ---------------------------------------------------------------------------------


@attrs.frozen
class Mutant:
    """One cell with another outcome; `live` puts it in place, `dead` restores the table."""

    key: Key
    name: str
    live: Callable[[], None]
    dead: Callable[[], None]


@attrs.frozen
class Subject:
    """A table under test: its mutants, its oracle, and what its page says now."""

    name: str
    mutants: tuple[Mutant, ...]
    oracle: Oracle
    printed: Callable[[], dict[Key, str]]


def subject(table: Table[AnyKey, Outcome], oracle: Oracle) -> Subject:
    cells = table.cells
    assert isinstance(cells, dict)
    outcomes = {str(row.outcome) + repr(row.outcome): row.outcome for row in cells.values()}

    def mutant(key: AnyKey, row: Row[Outcome], outcome: Outcome) -> Mutant:
        changed = Row(row.rule, row.key, outcome, row.why)
        name = f"{table.name}: {' × '.join(key)}: {outcome}"
        return Mutant(
            tuple(map(str, key)),
            name,
            lambda: cells.__setitem__(key, changed),
            lambda: cells.__setitem__(key, row),
        )

    return Subject(
        table.name,
        tuple(
            mutant(key, row, outcome)
            for key, row in table
            for outcome in outcomes.values()
            if outcome != row.outcome
        ),
        oracle,
        lambda: {tuple(map(str, key)): str(row.outcome) for key, row in table},
    )


SUBJECTS: Final = (
    subject(STANDING, standings),
    subject(TRIGGERS, events),
    subject(EXPIRY_RECORD, expiries),
    subject(AUTHORIZATION, authorizations),
    subject(RECOVERY, recoveries),
    subject(REVOCATION_REACH, reaches),
    subject(ACCESS, accesses),
    subject(PATHS, entry_paths),
    subject(BINDING, account_bindings),
    subject(COMPLETION, completions),
    subject(GRADUATION_HANDOFF, graduations),
    subject(RECORD_STANDING, record_standings),
    subject(BEGIN, begins),
    subject(ATTEMPT, attempts),
    subject(UPKEEP, upkeeps),
    subject(PERMISSION, permissions),
    subject(ORDER, gates),
    subject(OPERATION_TABLE, operations),
    subject(CATALOGUE, problems),
    subject(WIRE_STATUS, wire_statuses),
    subject(STORED_STATUS, stored_statuses),
)

_NOBODY: Final = "Nobody is bound to an UNLINKED coordinate, so no user can be the bound one."
_BURIED: Final = "`tombstone` takes no user: it buries the one that is bound."

UNREACHABLE: Final = {
    ("binding", "provision", "UNLINKED", "same user"): _NOBODY,
    ("binding", "complete sign-up", "UNLINKED", "same user"): _NOBODY,
    ("binding", "graduate", "UNLINKED", "same user"): _NOBODY,
    ("binding", "tombstone", "UNLINKED", "same user"): _NOBODY,
    ("binding", "tombstone", "LIMITED", "other user, or none bound"): _BURIED,
    ("binding", "tombstone", "ACTIVE", "other user, or none bound"): _BURIED,
    ("binding", "tombstone", "TOMBSTONED", "other user, or none bound"): _BURIED,
    ("binding", "provision", "TOMBSTONED", "same user"): (
        "`provision` raises for the tombstoned user before the table is asked."
    ),
}
"""Cells that no call asks, with the proof."""


def misprints(answers: list[Answer], printed: dict[Key, str]) -> set[Key]:
    """The cells whose page says something else than what was done."""
    return {key for key, deed, _ in answers if deed != printed[key]}


def fate(mutant: Mutant, of: Subject, golden: list[Answer]) -> str:
    mutant.live()
    try:
        answers = of.oracle()
        if answers != golden:
            return "killed"
        if misprints(answers, of.printed()):
            return "misprinted"
    finally:
        mutant.dead()
    return "unreachable" if (of.name, *mutant.key) in UNREACHABLE else mutant.name


each_subject = pytest.mark.parametrize("of", SUBJECTS, ids=lambda of: of.name)


@pytest.mark.parametrize("state", ["UNLINKED", "LIMITED", "ACTIVE", "TOMBSTONED"])
def test_the_cells_that_no_call_asks_are_unreachable_for_the_reason_given(state: str) -> None:
    bound = test_binding.binding_in(state)
    assert (bound is None) is (state == "UNLINKED")
    assert list(inspect.signature(bindings.tombstone).parameters) == ["binding"]
    if state == "TOMBSTONED":
        with pytest.raises(ArgumentError, match="user_id"):
            bindings.provision(bound, COORDINATE, test_binding.BOUND)


def test_every_table_has_an_oracle_in_the_order_of_the_pages() -> None:
    assert [of.name for of in SUBJECTS] == list(TABLES)


@each_subject
def test_an_oracle_asks_every_cell_and_the_page_says_what_was_done(of: Subject) -> None:
    answers = of.oracle()
    asked = {key for key, _, _ in answers}
    unasked = {cell[1:] for cell in UNREACHABLE if cell[0] == of.name}
    assert asked | unasked == set(of.printed())
    assert misprints(answers, of.printed()) == set()
    assert of.oracle() == answers


@each_subject
def test_the_golden_answers_are_the_hand_written_ones(of: Subject) -> None:
    deeds: dict[Key, set[str]] = {}
    for key, deed, _ in of.oracle():
        deeds.setdefault(key, set()).add(deed)
    written = {key: {deed} for key, deed in by_hand()[of.name].items()}
    assert deeds == {
        key: deed for key, deed in written.items() if (of.name, *key) not in UNREACHABLE
    }


@each_subject
def test_every_mutant_is_noticed(of: Subject) -> None:
    golden = of.oracle()
    fates = Counter(fate(mutant, of, golden) for mutant in of.mutants)
    counts = tuple(fates.pop(kind, 0) for kind in ("killed", "misprinted", "unreachable"))
    assert not fates, "these mutants survive"
    assert (len(of.mutants), *counts) == COUNTS[of.name]
    assert of.oracle() == golden, "the table is restored"


def test_the_counts_add_up() -> None:
    assert tuple(map(sum, zip(*COUNTS.values(), strict=True))) == (1861, 1759, 62, 40)


# table: mutants, killed, misprinted, unreachable
COUNTS: Final = {
    "standing": (50, 50, 0, 0),
    "connection": (300, 300, 0, 0),
    # What is stored PENDING or REVOKED never stands EXPIRED, so those two cells are not asked.
    "expiry-record": (5, 3, 2, 0),
    "authorization": (3, 3, 0, 0),
    # PENDING and ACTIVE are refused by the connection's table before this one is asked.
    "recovery": (72, 48, 24, 0),
    "revocation-reach": (4, 4, 0, 0),
    "access": (72, 72, 0, 0),
    "entry-path": (24, 24, 0, 0),
    "binding": (160, 120, 0, 40),
    "completion": (48, 48, 0, 0),
    "graduation-handoff": (4, 4, 0, 0),
    "record-standing": (80, 80, 0, 0),
    "idempotency": (70, 70, 0, 0),
    "attempt": (126, 126, 0, 0),
    "record-upkeep": (63, 63, 0, 0),
    "permission": (8, 8, 0, 0),
    # The order is the order of the code; its table is read for the names of its rules alone.
    "request": (130, 100, 30, 0),
    # A method and a path are read when the routes are made, at import.
    "operation": (42, 36, 6, 0),
    "problems": (552, 552, 0, 0),
    "wire-status": (24, 24, 0, 0),
    "stored-status": (24, 24, 0, 0),
}


# --- Written by hand, here or in the tests of the modules -------------------------------------

RECOVERY_WORDS: Final = {
    "mint": "mint a successor",
    "reissue": "reissue the successor",
    "superseded": "refuse CONNECTION_SUPERSEDED",
    "STILL_PENDING": "refuse CONNECTION_NOT_RECONNECTABLE (STILL_PENDING)",
    "ALREADY_ACTIVE": "refuse CONNECTION_NOT_RECONNECTABLE (ALREADY_ACTIVE)",
}
PATH_USERS: Final = {
    ("ACTIVE", test_session.BOUND): "the bound user",
    ("LIMITED", test_session.BOUND): "the bound LIMITED user",
    ("UNLINKED", None): "none yet",
    ("UNLINKED", test_session.NEW): "a new LIMITED user",
    ("TOMBSTONED", test_session.NEW): "a new LIMITED user",
}
LANDINGS: Final = {
    "waiting": "proceed",
    "over without landing": "refuse SESSION_EXPIRED",
    "landed for the same user": "ignore",
    "landed for another user": "refuse BINDING_CONFLICT",
}
ATTEMPTED: Final = {"renew": "IN_FLIGHT", "complete": "COMPLETED", "release": "RELEASED"}
WRITE: Final = "connection:write"


def word(cell: str) -> str:
    """The page's word for a cell of the other tests: a code is a refusal."""
    return f"refuse {cell}" if cell in ProblemCode.__members__ else cell


def by_hand() -> dict[str, dict[Key, str]]:
    clocks = ("before the deadline, or none set", "at or after the deadline")
    kinds = ("no successor", "successor PENDING", "successor anything else")
    records: dict[Key, str] = {
        (state, lease, means): state.lower()
        for state in ("RELEASED", "COMPLETED", "FORGOTTEN")
        for lease in ("lease running", "lease over")
        for means in ("execute", "unknown")
    }
    records |= {
        ("IN_FLIGHT", "lease running", "execute"): "in flight, lease running",
        ("IN_FLIGHT", "lease running", "unknown"): "in flight, lease running",
        ("IN_FLIGHT", "lease over", "execute"): "in flight, lease over",
        ("IN_FLIGHT", "lease over", "unknown"): "unknown",
    }
    api = "/api/sdk/v1"
    return {
        "standing": {
            (status, clock): standing
            for status, both in test_connection.STANDINGS.items()
            for clock, standing in zip(clocks, both, strict=True)
        },
        "connection": {
            (event, standing): answer for event, standing, answer in test_connection.CELLS
        },
        "expiry-record": {
            ("PENDING",): "ignore",
            ("ACTIVE",): "EXPIRED",
            ("ACTION_REQUIRED",): "EXPIRED",
            ("EXPIRED",): "ignore",
            ("REVOKED",): "ignore",
        },
        "authorization": {
            ("no successor",): "proceed",
            ("successor PENDING",): "refuse CONNECTION_SUPERSEDED",
            ("successor anything else",): "refuse CONNECTION_SUPERSEDED",
        },
        "recovery": {
            (standing, kind): RECOVERY_WORDS[cell]
            for standing, cells in test_connection.RECOVERIES.items()
            for kind, cell in zip(kinds, cells, strict=True)
        },
        "revocation-reach": {
            ("APP",): "that connection",
            ("PATIENT",): "that connection and every later one",
            ("PLATFORM",): "that connection and every later one",
            ("UPSTREAM",): "that connection",
        },
        "access": {
            (standing, package): answer if answer == "grant" else f"deny {answer}"
            for standing, both in test_access.ANSWERS.items()
            for package, answer in zip(
                ("package granted", "package not granted"), both, strict=True
            )
        },
        "entry-path": {
            (state, f"preferSignup {'true' if prefers else 'false or absent'}"): (
                f"{path}, hand-off {handoff}, {PATH_USERS[state, user]}"
            )
            for state, prefers, path, handoff, user, _ in test_session.SPEC
        },
        "binding": {
            (
                event,
                state,
                "same user" if user == test_binding.BOUND else "other user, or none bound",
            ): word(cell.removesuffix(" new"))
            for event, state, user, cell in test_binding.spec_cells()
        },
        "completion": {
            (path, session): (answer if path == test_session.B else "refuse HANDOFF_NOT_REQUIRED")
            for path in (test_session.A, test_session.B, test_session.C)
            for session, answer in LANDINGS.items()
        },
        "graduation-handoff": {
            ("UNLINKED",): "refuse BINDING_NOT_LIMITED",
            ("LIMITED",): "proceed",
            ("ACTIVE",): "refuse BINDING_NOT_LIMITED",
            ("TOMBSTONED",): "refuse BINDING_NOT_LIMITED",
        },
        "record-standing": records,
        "idempotency": {
            (LONG[name], match): word(cell)
            for name, both in test_idempotency.SPEC.items()
            for match, cell in zip(("same fingerprint", "other fingerprint"), both, strict=True)
        },
        "attempt": {
            (act, standing, holder): (
                state
                if (standing, holder) == ("in flight, lease running", "this attempt")
                else "lease lost"
            )
            for act, state in ATTEMPTED.items()
            for standing in LONG.values()
            for holder in ("this attempt", "another attempt")
        },
        "record-upkeep": {
            (act, LONG[name]): cell
            for name, cells in test_idempotency.UPKEEP_SPEC.items()
            for act, cell in zip(
                ("resolve with a response", "resolve as not executed", "forget"),
                cells,
                strict=True,
            )
        },
        "permission": {
            (
                "environment served" if served == "served" else "another environment",
                "scope held or not needed" if held == "held" else "scope missing",
            ): "proceed" if cell is None else f"refuse {cell}"
            for (served, held), cell in test_credentials.SPEC.items()
        },
        "request": {
            ("credentials",): "refuse UNAUTHENTICATED",
            ("path and method",): "refuse NOT_FOUND",
            ("environment and scope",): "see permission",
            ("path ids, query and body",): "refuse BAD_REQUEST",
            ("no key where none is allowed",): "refuse IDEMPOTENCY_KEY_NOT_ALLOWED",
            ("a key where one is needed",): "refuse IDEMPOTENCY_KEY_REQUIRED",
            ("a key that can be read",): "refuse IDEMPOTENCY_KEY_INVALID",
            ("the platform's buckets",): "refuse RATE_LIMITED",
            ("the key's record",): "see idempotency",
            ("the app user's limit",): "refuse RATE_LIMITED",
            ("ownership",): "refuse NOT_FOUND",
            ("the rule itself",): "see connection, recovery, entry-path, graduation-handoff",
            ("room in the store",): "refuse INTERNAL",
        },
        "operation": {
            ("create-connection",): (
                f"POST {api}/connections → 201; {WRITE}, key needed, no limit"
            ),
            ("get-connection",): (
                f"GET {api}/connections/{{connectionId}} → 200; "
                "no scope, key not looked at, no limit"
            ),
            ("reconnect",): (
                f"POST {api}/connections/{{connectionId}}:reconnect → 201; "
                f"{WRITE}, key needed, no limit"
            ),
            ("revoke",): (
                f"POST {api}/connections/{{connectionId}}:revoke → 200; "
                f"{WRITE}, key needed, no limit"
            ),
            ("initiate",): (
                f"POST {api}/curae-connect/initiate → 201; {WRITE}, key needed, 10 a minute"
            ),
            ("account-state",): (
                f"GET {api}/curae-connect/account-state → 200; "
                "no scope, key not looked at, no limit"
            ),
            ("graduation-handoff",): (
                f"POST {api}/curae-connect/graduation-handoff → 201; "
                f"{WRITE}, key not allowed, 10 a minute"
            ),
        },
        "problems": {
            (code,): f"{status}, {'retryable' if again else 'final'}, "
            f"details: {', '.join(details) or 'none'}"
            for code, (status, again, _, details) in test_problems.EXPECTED.items()
        },
        "wire-status": {
            ("PENDING",): "PENDING",
            ("LAPSED",): "EXPIRED",
            ("ACTIVE",): "ACTIVE",
            ("ACTION_REQUIRED",): "ACTION_REQUIRED",
            ("EXPIRED",): "EXPIRED",
            ("REVOKED",): "REVOKED",
        },
        "stored-status": {
            ("PENDING",): "PENDING",
            ("ACTIVE",): "ACTIVE",
            ("AUTHORIZED",): "ACTIVE",
            ("ACTION_REQUIRED",): "ACTION_REQUIRED",
            ("EXPIRED",): "EXPIRED",
            ("REVOKED",): "REVOKED",
        },
    }
