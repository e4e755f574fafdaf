"""Tests that each law holds for the library, and that its check finds a violation."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.access import AccessDecision, Granted, decide_access
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Standing, Status
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    IdempotencyKey,
    RecordKey,
    begin_attempt,
    completed_record,
)
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.problems import CATALOGUE, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    INITIATE_LIMIT,
    Bucket,
    Charge,
    ExactLog,
    LogState,
    RateLimited,
    admit,
)
from curae_lifecycle.rules.session import EntryPath
from curae_lifecycle.rules.values import AppId, ConnectionId, Coordinate, DataPackage
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.effects import AccessEnded
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.status import PROBLEM_STATUS, status_of
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite, RecordWrite
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.testing import laws
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.laws import LawBrokenError, RevocationAnswer
from curae_lifecycle.testing.laws.connections import AccessRule
from curae_lifecycle.testing.laws.wire import CODES
from curae_lifecycle.web.json import format_json
from curae_lifecycle.web.wire_format import format_problem
from tests.stores.formats import VALUES
from tests.support.instants import handle_at
from tests.support.server import CALLER, STRANGERS, new_ids, request, world
from tests.support.strategies import COORDINATE, START, at, pending, uuid

TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
PENDING = pending()
ACTIVE = attrs.evolve(PENDING, status=Status.ACTIVE, authorized_at=START, expires_at=at(60))
REVOKED = attrs.evolve(
    PENDING, status=Status.REVOKED, revoked_at=at(1), revoked_by=Actor.APP, updated_at=at(1)
)
OK = Response(200, (("content-type", "application/json"),), b'{"lifecycleState":"ACTIVE"}')
SMALL = Bucket(name="p", capacity=1, refill=1, seconds=1)
CHARGED = RateWrite(
    key=BucketKey(CALLER.key_owner, SMALL), policy=SMALL, before=None, after=FULL_BUCKET
)

check_access = partial(laws.check_access, era=None)
check_chain = partial(laws.check_chain, era=None)
check_monotone = partial(laws.check_standing_is_monotone, era=None)
check_tombstone = partial(laws.check_tombstone, era=None)
PAID = RateWrite(
    key=LimitKey(COORDINATE.app_user, "initiate"),
    policy=INITIATE_LIMIT,
    before=None,
    after=LogState(),
)
WRITTEN = ConnectionWrite(None, PENDING)
EFFECT = Changes(effects=(AccessEnded(PENDING.id, START),))
EVENT = Changes(events=(Event(next(iter(EventKind)), PENDING, START),))


def kin(
    number: int,
    older: int | None = None,
    *,
    coordinate: Coordinate = COORDINATE,
    packages: str = "clinical_summary labs",
    root: int = 1,
) -> Connection:
    identity = ConnectionIdentity(
        id=ConnectionId(uuid(number)),
        coordinate=coordinate,
        data_packages=tuple(map(DataPackage, packages.split())),
        created_at=START,
        predecessor_id=None if older is None else ConnectionId(uuid(older)),
        root_id=ConnectionId(uuid(root)),
    )
    return attrs.evolve(REVOKED, identity=identity)


def problem(**changes: object) -> Response:
    document = format_problem(Problem(ProblemCode.NOT_FOUND))
    body = {**document, **changes}
    kept = {name: value for name, value in body.items() if value != "gone"}
    return Response(404, (("content-type", "application/problem+json"),), json.dumps(kept).encode())


# --- They hold ------------------------------------------------------------------------------


@given(draw.connection_histories())
def test_laws_1_and_2_status_and_revoked_at_never_go_back(history: draw.ConnectionHistory) -> None:
    laws.check_rank_never_falls(history.snapshots)
    seen = [
        RevocationAnswer.of(step.answer)
        for step in history.steps
        if isinstance(step.fact, Revoked) and not isinstance(step.answer, Refused)
    ]
    laws.check_revocation(seen)


@given(draw.connection_histories(), st.data())
def test_law_3_snapshots_of_one_history_merge_in_any_order(
    history: draw.ConnectionHistory, data: st.DataObject
) -> None:
    snapshot = st.sampled_from(history.snapshots)
    laws.check_merge(data.draw(snapshot), data.draw(snapshot), data.draw(snapshot))


@given(draw.connections(), st.lists(draw.instants()), draw.data_package())
def test_laws_4_and_5_hold_for_random_connections_and_instants(
    connection: Connection, instants: list[datetime], package: str
) -> None:
    check_monotone(connection, instants)
    for now in instants:
        for each in (package, *connection.identity.data_packages):
            check_access(connection, each, now)


@given(draw.chains(), draw.offsets())
def test_laws_6_and_7_chain_stays_linear(chain: tuple[Connection, ...], after: timedelta) -> None:
    check_chain(chain, max(each.updated_at for each in chain) + after)
    laws.check_one_pending_successor([], stored=chain)


def test_law_6_check_accepts_a_pending_head_or_an_empty_chain() -> None:
    check_chain((attrs.evolve(kin(2, 1), status=Status.PENDING), kin(1)), START, era=None)
    check_chain((), START)


def test_law_6_check_skips_connections_made_before_a_tombstone() -> None:
    both = [attrs.evolve(each, status=Status.PENDING) for each in (kin(1), kin(2, 1))]
    laws.check_chain(both, START, era=START)
    with pytest.raises(LawBrokenError):
        laws.check_chain(both, START, era=None)


def test_law_8_holds_for_the_whole_entry_path_table() -> None:
    laws.check_entry_paths()


def test_laws_2_9_11_12_13_and_16_checks_accept_memory_store() -> None:
    here = world(Settings(), PENDING)
    first = handle_at(here, request("revoke"), START, new_ids=new_ids())
    again = handle_at(here, request("revoke"), at(1), new_ids=new_ids())
    other = handle_at(here, request("revoke", key="k-2"), at(2), new_ids=new_ids())
    laws.check_replay(first.response, again.response, again.changes)
    laws.check_one_execution([first.response, again.response], 1)
    laws.check_nothing_changed(PENDING, PENDING, other.changes)
    laws.check_revocation([RevocationAnswer.read(each.response) for each in (first, other)])
    for operation, name in itertools.product(
        ("create", "get", "reconnect", "revoke", "initiate", "account-state", "graduation"),
        ("k-3", None),
    ):
        laws.check_documented(
            handle_at(here, request(operation, key=name), at(3), new_ids=new_ids(7)).response
        )


@given(draw.charges(ExactLog("initiate", 3, 60)), draw.instants())
def test_law_10_holds_for_a_rate_limit_of_three_requests(charge: Charge, now: datetime) -> None:
    assert isinstance(charge.state, LogState)
    laws.check_rate_limit(charge.state.instants, limit=3)
    answer = admit((charge,), now)
    if isinstance(answer, RateLimited):
        wait = timedelta(microseconds=answer.retry_after)
        laws.check_retry_after(
            lambda then: not isinstance(admit((charge,), then), RateLimited), now, wait
        )


@given(draw.connections(), draw.instants())
def test_law_14_access_decision_is_deterministic(connection: Connection, now: datetime) -> None:
    decided = laws.check_deterministic(decide_access, connection, "labs", now=now, era=None)
    assert decided == decide_access(connection, "labs", now, era=None)


@pytest.mark.parametrize("caller", STRANGERS)
def test_law_15_another_tenants_id_looks_unknown(caller: Caller) -> None:
    here = world(Settings(), PENDING)
    here.register(ApiKey("cae_live_k1"), caller)
    theirs, nobodys = (handle_at(here, request("get", id=uuid(n)), START) for n in (1, 2))
    laws.check_indistinguishable(theirs.response, nobodys.response)


def test_law_18_values_load_back_equal_and_newer_formats_raise() -> None:
    for values in VALUES.values():
        for value in values:
            laws.check_stored(value)


def test_law_17_check_accepts_connections_without_access() -> None:
    check_tombstone([REVOKED, ACTIVE], at(60))
    check_tombstone([PENDING], START)
    check_tombstone([], START)


@given(draw.broken_requests())
def test_laws_13_and_16_broken_requests_get_documented_answers(broken: draw.BrokenRequest) -> None:
    answer = handle_at(world(), broken.request, START, new_ids=new_ids())
    laws.check_documented(answer.response)
    laws.check_nothing_changed(None, None, answer.changes)


@given(draw.problems())
def test_laws_13_and_16_every_problem_is_in_the_catalogue(refused: Problem) -> None:
    headers = (("Content-Type", "application/problem+json"),)
    body = format_json(format_problem(refused, instance="urn:1"))
    laws.check_documented(Response(status_of(refused), headers, body))


def test_problem_codes_match_the_list_and_laws_are_1_to_18() -> None:
    assert {
        code: (PROBLEM_STATUS[kind.kind].outcome.status, kind.retryable, kind.details)
        for code in ProblemCode
        for kind in [CATALOGUE[code].outcome]
    } == CODES
    assert list(laws.LAWS) == list(range(1, 19))


@pytest.mark.slow
def test_laws_import_without_hypothesis() -> None:
    program = (
        "import sys; sys.modules['hypothesis'] = None; "
        "from curae_lifecycle.testing.laws import check_entry_paths; check_entry_paths()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- They are broken ------------------------------------------------------------------------


def seen(now: bool, at_: str | None = "t1") -> RevocationAnswer:  # noqa: FBT001 - a column below
    return RevocationAnswer("c-1", now, at_)


def first(left: Connection, right: Connection) -> Connection:
    del right
    return left


def falls_apart(left: Connection, right: Connection) -> Connection:
    merged = merging.merge(left, right)
    return attrs.evolve(merged, status=min(left.status, right.status, key=merging.RANK.__getitem__))


def averages(left: Connection, right: Connection) -> Connection:
    middle = left.updated_at + (right.updated_at - left.updated_at) / 2
    return attrs.evolve(left, updated_at=middle)


def counts(left: Connection, right: Connection) -> Connection:
    return attrs.evolve(left, updated_at=max(left.updated_at, right.updated_at) + TICK)


def late(minutes: int) -> Connection:
    return attrs.evolve(PENDING, updated_at=at(minutes))


def heals(connection: Connection, now: datetime, /, *, era: datetime | None) -> Standing:
    del connection, era
    return Standing.PENDING if now > START else Standing.LAPSED


def until(end: datetime | None) -> AccessRule:
    def decide(
        connection: Connection, package: str, now: datetime, /, *, era: datetime | None
    ) -> AccessDecision:
        del connection, package, now, era
        return Granted(end, "mine")

    return decide


def chosen(*paths: EntryPath) -> Callable[[AccountState, bool], EntryPath]:
    answers = iter(paths)

    def path(state: AccountState, prefers: bool) -> EntryPath:  # noqa: FBT001 - a law's axis
        del state, prefers
        return next(answers)

    return path


def ticking() -> Callable[[], int]:
    numbers = itertools.count(1)
    return lambda: next(numbers)


A = EntryPath.EXISTING_ACTIVE_HANDOFF
B = EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
PENDING_1 = attrs.evolve(kin(1), status=Status.PENDING)
ACTIVE_1 = attrs.evolve(kin(1), status=Status.ACTIVE)
ACTIVE_2 = attrs.evolve(kin(2, 1), status=Status.ACTIVE)
OTHER_USER = attrs.evolve(COORDINATE, app_id=AppId("app-2"))
OTHER_HEADERS = attrs.evolve(OK, headers=(*OK.headers, ("x-worker", "2")))
OTHER_REVOCATION = attrs.evolve(OK, body=b'{"connection":{"token":1},"revokedNow":true}')
TWICE = attrs.evolve(OK, headers=OK.headers * 2)
OTHER_BODY = attrs.evolve(OK, body=OK.body[:-1] + b" }")
DEEP = b"[" * 200_000


def formless(value: Storable) -> dict[str, Json]:
    return {name: member for name, member in dump(value).items() if name != "format"}


VIOLATIONS: list[tuple[int, str, Callable[[], object]]] = [
    (1, "REVOKED became ACTIVE", lambda: laws.check_rank_never_falls([REVOKED, ACTIVE])),
    (2, "before", lambda: laws.check_revocation([seen(True), seen(True)])),
    (2, "before", lambda: laws.check_revocation([seen(True)], revoked=["c-1"])),
    (2, "never revoked", lambda: laws.check_revocation([seen(False)])),
    (2, "missing", lambda: laws.check_revocation([seen(True, None)])),
    (2, "moved from t1 to t2", lambda: laws.check_revocation([seen(True), seen(False, "t2")])),
    (3, "merge(y, x)", lambda: laws.check_merge(PENDING, ACTIVE, ACTIVE, merge=first)),
    (3, "lost: PENDING", lambda: laws.check_merge(PENDING, REVOKED, PENDING, merge=falls_apart)),
    (3, "merge(y, z)", lambda: laws.check_merge(late(0), late(1), late(2), merge=averages)),
    (3, "merge(x, x)", lambda: laws.check_merge(PENDING, PENDING, PENDING, merge=counts)),
    (4, "LAPSED became PENDING", lambda: check_monotone(PENDING, [at(1), START], standing=heals)),
    (5, "status is REVOKED", lambda: check_access(REVOKED, "labs", START, decide=until(None))),
    (5, "expired at", lambda: check_access(ACTIVE, "labs", at(60), decide=until(None))),
    (
        5,
        "does not include the package",
        lambda: check_access(ACTIVE, "x", START, decide=until(None)),
    ),
    (5, "which has passed", lambda: check_access(ACTIVE, "labs", START, decide=until(START))),
    (5, "without an end", lambda: check_access(ACTIVE, "labs", START, decide=until(None))),
    (5, "connection ends at", lambda: check_access(ACTIVE, "labs", START, decide=until(at(61)))),
    (6, "have the same predecessor", lambda: check_chain([kin(1), kin(2, 1), kin(3, 1)], START)),
    (6, "a cycle or a gap", lambda: check_chain([kin(1, 2), kin(2, 1)], START)),
    (6, "its coordinate", lambda: check_chain([kin(1), kin(2, 1, coordinate=OTHER_USER)], START)),
    (6, "its data packages", lambda: check_chain([kin(1), kin(2, 1, packages="labs")], START)),
    (6, "its root is", lambda: check_chain([kin(1), kin(2, 1, root=2)], START)),
    (6, "a second ACTIVE", lambda: check_chain([ACTIVE_1, ACTIVE_2], START)),
    (6, "has a successor", lambda: check_chain([PENDING_1, kin(2, 1)], START)),
    (
        7,
        "by c-2 and by c-3",
        lambda: laws.check_one_pending_successor([("1", "c-2"), ("1", "c-3")]),
    ),
    (7, "by itself", lambda: laws.check_one_pending_successor([("c-1", "c-1")])),
    (
        7,
        "recovered by",
        lambda: laws.check_one_pending_successor([], stored=[kin(1), kin(2, 1), kin(3, 1)]),
    ),
    (8, "expected EXISTING", lambda: laws.check_entry_paths(chosen(B))),
    (8, "then NEW", lambda: laws.check_entry_paths(chosen(A, B))),
    (9, "status 201", lambda: laws.check_replay(OK, attrs.evolve(OK, status=201))),
    (9, "x-worker", lambda: laws.check_replay(OK, OTHER_HEADERS)),
    (9, "order or repetition", lambda: laws.check_replay(OK, TWICE)),
    (9, "from byte 26", lambda: laws.check_replay(OK, OTHER_BODY)),
    (9, "from byte 0", lambda: laws.check_replay(OK, attrs.evolve(OK, body=b""))),
    (9, "something was written", lambda: laws.check_replay(OK, OK, Changes((WRITTEN,)))),
    (9, "limit was charged", lambda: laws.check_replay(OK, OK, Changes((CHARGED, PAID)))),
    (9, "an effect", lambda: laws.check_replay(OK, OK, EFFECT)),
    (9, "an event", lambda: laws.check_replay(OK, OK, EVENT)),
    (
        10,
        "11 admitted within 0:00:59.999999",
        lambda: laws.check_rate_limit([START + 60 * SECOND - TICK, *[START] * 10]),
    ),
    (10, "not positive", lambda: laws.check_retry_after(bool, START, timedelta(0))),
    (10, "refused again", lambda: laws.check_retry_after(lambda _: False, START, SECOND)),
    (10, "a microsecond before", lambda: laws.check_retry_after(bool, START, SECOND)),
    (11, "became", lambda: laws.check_nothing_changed(PENDING, ACTIVE)),
    (11, "written", lambda: laws.check_nothing_changed(1, 1, Changes((PAID, WRITTEN)))),
    (11, "an effect", lambda: laws.check_nothing_changed(1, 1, EFFECT)),
    (11, "an event", lambda: laws.check_nothing_changed(1, 1, EVENT)),
    (12, "2 executions", lambda: laws.check_one_execution([OK], 2)),
    (12, "bodies differ", lambda: laws.check_one_execution([OK, OTHER_BODY], 1)),
    (13, "no response has", lambda: laws.check_wire_members({"effects": []})),
    (13, "not JSON", lambda: laws.check_wire_members(b"{")),
    (13, "not JSON", lambda: laws.check_wire_members(DEEP)),
    (13, "not an object", lambda: laws.check_wire_members("[]")),
    (13, "not an object", lambda: laws.check_wire_members({"connection": None})),
    (13, "not listed: token", lambda: laws.check_wire_members(problem(token=1).body)),
    (13, "missing: title", lambda: laws.check_wire_members(problem(title="gone").body)),
    (
        13,
        "not listed: userId",
        lambda: laws.check_wire_members(problem(details={"userId": 1}).body),
    ),
    (13, "not listed: instance", lambda: laws.check_wire_members(problem(instance="urn:1").body)),
    (13, "not listed: token", lambda: laws.check_wire_members({"connection": {"token": 1}})),
    (13, "not listed: token", lambda: laws.check_documented(problem(token=1))),
    (13, "'NOPE' is not listed", lambda: laws.check_wire_members({"code": "NOPE"})),
    (13, "7 is not listed", lambda: laws.check_wire_members({"code": 7})),
    (13, "not listed: token", lambda: RevocationAnswer.read(OTHER_REVOCATION)),
    (13, "of a revocation", lambda: RevocationAnswer.read(OK)),
    (14, "returned 1, then 2", lambda: laws.check_deterministic(ticking())),
    (15, "status 200 instead", lambda: laws.check_indistinguishable(problem(), OK)),
    (15, "both have the status 200", lambda: laws.check_indistinguishable(OK, OK)),
    (16, "304 has a body", lambda: laws.check_documented(attrs.evolve(OK, status=304))),
    (16, "empty", lambda: laws.check_documented(Response(500, (), b""))),
    (16, "not JSON", lambda: laws.check_documented(Response(500, (), b"<html>"))),
    (16, "not one of success", lambda: laws.check_documented(attrs.evolve(OK, status=202))),
    (16, "the status 404", lambda: laws.check_documented(attrs.evolve(problem(), status=403))),
    (16, "the status 404", lambda: laws.check_documented(problem(status=403))),
    (16, "retryable False", lambda: laws.check_documented(problem(retryable=True))),
    (16, "media type", lambda: laws.check_documented(attrs.evolve(problem(), headers=OK.headers))),
    (17, "a tombstone came after", lambda: check_tombstone([REVOKED, ACTIVE], at(59))),
    (
        17,
        "a tombstone came after",
        lambda: check_tombstone([REVOKED], at(59), decide=until(at(60))),
    ),
    (18, "not the stored one", lambda: laws.check_stored(ACTIVE, dump=lambda _: dump(REVOKED))),
    (
        18,
        "no format number",
        lambda: laws.check_stored(ACTIVE, dump=formless, load=lambda *_: ACTIVE),
    ),
    (18, "instead of refused", lambda: laws.check_stored(ACTIVE, load=lambda *_: ACTIVE)),
]


@pytest.mark.parametrize(("law", "says", "broken"), VIOLATIONS)
def test_law_broken_error_names_its_law(law: int, says: str, broken: Callable[[], object]) -> None:
    with pytest.raises(LawBrokenError) as caught:
        broken()
    error = caught.value
    assert error.law == law
    assert error.law_text == laws.LAWS[law]
    assert says in error.what
    assert error.where
    assert str(error) == (
        f"law {law} is broken: {error.what}\n  where: {error.where}\n  law: {error.law_text}"
    )


def test_every_law_has_a_tested_violation() -> None:
    assert {law for law, _, _ in VIOLATIONS} == set(laws.LAWS)


def test_law_checks_accept_correct_replay_refusal_304_and_limit() -> None:
    laws.check_replay(OK, OK, Changes((CHARGED,)))
    key = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
    attempt = begin_attempt(
        None, key=key, fingerprint=fingerprint(GetConnection(PENDING.id)), now=START
    )
    assert isinstance(attempt, Attempt)
    kept = RecordWrite(key, None, completed_record(attempt, OK))
    laws.check_nothing_changed(1, 1, Changes((kept, CHARGED, PAID)))
    laws.check_documented(Response(304, (), b""))
    laws.check_rate_limit([START + 60 * SECOND, *[START] * 10])
    laws.check_one_execution([], 0)


def test_law_error_never_shows_a_body() -> None:
    secret = attrs.evolve(OK, body=b'{"url":"https://secret.example"}')
    with pytest.raises(LawBrokenError) as caught:
        laws.check_replay(secret, OK)
    assert "secret" not in str(caught.value)


def test_law_2_check_accepts_revoked_at_differing_between_ids() -> None:
    revoked = triggers.revoke(PENDING, at(1), actor=Actor.APP, era=None)
    assert isinstance(revoked, Done)
    again = triggers.revoke(revoked.value, at(2), actor=Actor.PATIENT, era=None)
    other = RevocationAnswer(uuid(2), revoked_now=True, revoked_at=at(5))
    laws.check_revocation([RevocationAnswer.of(revoked), other, RevocationAnswer.of(again)])
