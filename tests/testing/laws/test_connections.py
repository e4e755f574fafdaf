"""Tests of the bounds in the laws about connections."""

from __future__ import annotations

import itertools
import json
from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules.access import AccessDecision, Granted, decide_access
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import (
    TICK,
    LawBrokenError,
    RevocationAnswer,
    check_access,
    check_chain,
    check_merge,
    check_one_pending_successor,
    check_rank_never_falls,
    check_revocation,
    check_standing_is_monotone,
    check_tombstone,
)
from curae_lifecycle.testing.watch_answers import rule_that_answers
from curae_lifecycle.web.wire_format import format_connection
from tests.support.strategies import START, at, pending, uuid
from tests.testing.watched import broken

END = at(30)
ERA = at(-5)
ACTIVE = attrs.evolve(pending(), status=Status.ACTIVE, authorized_at=START, expires_at=END)


def chain_of(status: Status) -> list[Connection]:
    """Return a chain of two connections of one status, which both end at `END`."""
    older, newer = pending(number=1), pending(number=2)
    identity = attrs.evolve(newer.identity, predecessor_id=older.id, root_id=older.id)
    authorized_at = None if status is Status.PENDING else START
    return [
        attrs.evolve(
            each,
            status=status,
            authorized_at=authorized_at,
            handoff_deadline=END if status is Status.PENDING else START,
            expires_at=None if status is Status.PENDING else END,
        )
        for each in (older, attrs.evolve(newer, identity=identity))
    ]


@pytest.mark.parametrize("status", [Status.PENDING, Status.ACTIVE])
def test_law_6_check_reports_two_live_connections_before_expiry(status: Status) -> None:
    chain = chain_of(status)
    with pytest.raises(LawBrokenError, match="law 6 is broken"):
        check_chain(chain, END - TICK, era=None)
    check_chain(chain, END, era=None)


def revoked_then(*statuses: Status, era: datetime | None = None) -> list[Connection]:
    """Return a chain of a revoked connection and others, which are of another era."""
    chain = [attrs.evolve(pending(number=1), status=Status.REVOKED)]
    for number, status in enumerate(statuses, 2):
        made = pending(number=number)
        identity = attrs.evolve(
            made.identity, predecessor_id=chain[-1].id, root_id=chain[0].id, era=era
        )
        chain.append(attrs.evolve(made, identity=identity, status=status))
    return chain


@pytest.mark.parametrize("era", [None, START])
def test_law_6_check_reports_two_active_connections_in_a_chain(era: datetime | None) -> None:
    with broken(6, "a second ACTIVE"):
        check_chain(revoked_then(Status.ACTIVE, Status.ACTIVE, era=era), START, era=era)


def test_law_6_check_reports_two_active_connections_of_one_era() -> None:
    first, *others = revoked_then(Status.ACTIVE, Status.ACTIVE, era=START)
    chain = [attrs.evolve(first, status=Status.ACTIVE), *others]
    check_chain(chain[:2], START, era=START)
    with broken(6, "a second ACTIVE"):
        check_chain(chain, START, era=START)


def test_law_6_check_reports_pending_connection_with_a_successor() -> None:
    with broken(6, "PENDING although it has a successor"):
        check_chain(revoked_then(Status.PENDING, Status.REVOKED), START, era=None)


def test_law_6_check_accepts_active_predecessor_of_pending_head() -> None:
    check_chain(revoked_then(Status.ACTIVE, Status.PENDING), START, era=None)


def test_law_6_error_lists_the_connections_after_a_chains_gap() -> None:
    gap = revoked_then(Status.REVOKED, Status.REVOKED, Status.REVOKED)
    del gap[1]
    with broken(6, "a cycle or a gap", where=f"{uuid(3)}, {uuid(4)}"):
        check_chain([gap[0], *reversed(gap[1:])], START, era=None)


def test_law_6_error_names_both_successors_of_one_predecessor() -> None:
    chain = revoked_then(Status.REVOKED, Status.REVOKED)
    fork = attrs.evolve(
        chain[2], identity=attrs.evolve(chain[2].identity, predecessor_id=chain[0].id)
    )
    with broken(
        6, f"{uuid(2)} and {uuid(3)} have the same predecessor", where=f"predecessor {uuid(1)}"
    ):
        check_chain([*chain[:2], fork], START, era=None)


def test_law_1_check_names_the_position_of_the_wrong_snapshot() -> None:
    active, revoked = (
        attrs.evolve(pending(), status=status) for status in (Status.ACTIVE, Status.REVOKED)
    )
    other = pending(number=2)
    check_rank_never_falls([active, other, active, revoked])
    with broken(1, "REVOKED became ACTIVE", where=f"connection {uuid(1)}, snapshot 2"):
        check_rank_never_falls([revoked, other, active])


def merge_keeping_the_last_reason(left: Connection, right: Connection) -> Connection:
    """Keep the reason of the snapshot that was updated later, if it has one, else the other's."""
    older, newer = sorted(
        (left, right), key=lambda each: (each.updated_at, each.action_required_reason or "")
    )
    reason = newer.action_required_reason or older.action_required_reason
    return attrs.evolve(newer, action_required_reason=reason)


def test_law_3_check_accepts_the_merge_of_any_statuses() -> None:
    for statuses in itertools.combinations(Status, 3):
        a, b, c = (attrs.evolve(pending(), status=status) for status in statuses)
        check_merge(a, b, c)


def merge_to_the_middle(left: Connection, right: Connection) -> Connection:
    middle = left.updated_at + (right.updated_at - left.updated_at) / 2
    return attrs.evolve(left, updated_at=middle)


def test_law_3_check_reports_a_merge_that_is_not_associative() -> None:
    a, b, c = (attrs.evolve(pending(), updated_at=at(minutes)) for minutes in range(3))
    where = f"connection {uuid(1)}, statuses PENDING, PENDING, PENDING"
    with broken(3, where=where) as caught:
        check_merge(a, b, c, merge=merge_to_the_middle)
    what = "merge(merge(x, y), z) is not merge(x, merge(y, z)) in every order"
    assert caught.value.what == what


def test_law_4_5_17_checks_pass_given_instant_and_era_to_rules() -> None:
    asked: list[tuple[object, ...]] = []

    def standing(each: Connection, now: datetime, /, *, era: datetime | None) -> Standing:
        asked.append((each, now, era))
        return rules.standing(each, now, era=era)

    def decide(
        each: Connection, package: str, now: datetime, /, *, era: datetime | None
    ) -> AccessDecision:
        asked.append((each, package, now, era))
        return decide_access(each, package, now, era=era)

    check_standing_is_monotone(pending(), [at(5), START], era=ERA, standing=standing)
    check_access(ACTIVE, "labs", at(2), era=ERA, decide=decide)
    check_tombstone([ACTIVE], at(3), era=ERA, decide=decide)
    assert asked == [
        (pending(), START, ERA),
        (pending(), at(5), ERA),
        (ACTIVE, "labs", at(2), ERA),
        (ACTIVE, "clinical_summary", at(3), ERA),
        (ACTIVE, "labs", at(3), ERA),
    ]


@pytest.mark.parametrize("order", [*itertools.permutations([(1, "a"), (2, "c"), (3, None)])])
def test_law_3_check_reports_a_lost_reason_in_any_merge_order(
    order: tuple[tuple[int, str | None], ...],
) -> None:
    a, b, c = (
        attrs.evolve(pending(), updated_at=at(minutes), action_required_reason=reason)
        for minutes, reason in order
    )
    with pytest.raises(LawBrokenError, match="law 3 is broken"):
        check_merge(a, b, c, merge=merge_keeping_the_last_reason)


def decide_without_era(
    connection: Connection, package: str, now: datetime, /, *, era: datetime | None
) -> AccessDecision:
    del era
    return decide_access(connection, package, now, era=connection.identity.era)


def test_law_5_check_reports_access_granted_after_a_tombstone() -> None:
    active = attrs.evolve(pending(), status=Status.ACTIVE, authorized_at=START, expires_at=END)
    check_access(active, "labs", START, era=None, decide=decide_without_era)
    where = f"connection {uuid(1)}, package 'labs' at {START.isoformat()}"
    with broken(5, "granted although the connection is of another era", where=where):
        check_access(active, "labs", START, era=START, decide=decide_without_era)


def test_law_5_check_reports_access_granted_despite_a_revoked_at() -> None:
    revoked = attrs.evolve(ACTIVE, revoked_at=START)
    check_access(revoked, "labs", START, era=None)
    where = f"connection {uuid(1)}, package 'labs' at {START.isoformat()}"
    with broken(5, "granted although the connection has a revokedAt", where=where):
        check_access(revoked, "labs", START, era=None, decide=rule_that_answers(Granted(END, "r")))


@pytest.mark.parametrize(
    ("expires_at", "until"), [(END, END), (END, START + TICK), (None, None), (None, END)]
)
def test_law_5_check_accepts_a_grant_until_the_connection_ends(
    expires_at: datetime | None, until: datetime | None
) -> None:
    connection = attrs.evolve(ACTIVE, expires_at=expires_at)
    check_access(connection, "labs", START, era=None, decide=rule_that_answers(Granted(until, "r")))


@pytest.mark.parametrize(
    ("until", "granted"),
    [(None, "without an end"), (END + TICK, "until 2026-01-01T00:30:00.000001+00:00")],
)
def test_law_5_error_for_too_long_a_grant_says_when_it_ends(
    until: datetime | None, granted: str
) -> None:
    what = f"granted {granted} although the connection ends at 2026-01-01T00:30:00+00:00"
    where = f"connection {uuid(1)}, package 'labs' at 2026-01-01T00:00:00+00:00"
    with pytest.raises(LawBrokenError) as caught:
        check_access(ACTIVE, "labs", START, era=None, decide=rule_that_answers(Granted(until, "r")))
    assert (caught.value.what, caught.value.where) == (what, where)


def test_revoked_now_is_true_for_done_and_false_for_ignored() -> None:
    first = revoke(ACTIVE, at(1), actor=Actor.APP, era=None)
    assert isinstance(first, Done)
    assert RevocationAnswer.of(first) == RevocationAnswer(
        uuid(1), revoked_now=True, revoked_at=at(1)
    )
    again = revoke(first.value, at(2), actor=Actor.APP, era=None)
    assert isinstance(again, Ignored)
    assert RevocationAnswer.of(again) == RevocationAnswer(
        uuid(1), revoked_now=False, revoked_at=at(1)
    )


def revocation(
    *, revoked_at: object = "2026-01-01T00:00:00Z", revoked_now: object = True
) -> Response:
    """Return the response to a revocation."""
    connection = {**format_connection(pending(), START, binding=None), "revokedAt": revoked_at}
    body = {"connection": connection, "revokedNow": revoked_now}
    return Response(200, (), json.dumps(body).encode())


def test_wrongly_typed_revocation_members_read_as_false_or_none() -> None:
    at_once = RevocationAnswer(uuid(1), revoked_now=True, revoked_at="2026-01-01T00:00:00Z")
    assert RevocationAnswer.read(revocation()) == at_once
    assert not RevocationAnswer.read(revocation(revoked_now=False)).revoked_now
    assert RevocationAnswer.read(revocation(revoked_now="yes")).revoked_now is False
    assert RevocationAnswer.read(revocation(revoked_at=7)).revoked_at is None


@pytest.mark.parametrize(
    ("body", "what", "where"),
    [
        (b"{", "the body is not JSON", "body"),
        (b"[]", "it is not an object", "body"),
        (b'{"connection":null,"revokedNow":true}', "it is not an object", "connection"),
        (
            b'{"lifecycleState":"ACTIVE"}',
            "the body is not that of a revocation",
            "members lifecycleState",
        ),
    ],
)
def test_body_that_is_no_revocation_breaks_law_13(body: bytes, what: str, where: str) -> None:
    with broken(13, what, where=where):
        RevocationAnswer.read(Response(200, (), body))


def test_law_2_error_names_the_connection_and_the_wrong_answer() -> None:
    first = RevocationAnswer("c-1", revoked_now=True, revoked_at=START)
    other = RevocationAnswer("c-2", revoked_now=True, revoked_at=START)
    with broken(2, "although the connection was revoked before", where="connection c-1, answer 2"):
        check_revocation([first, other, first])


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"])
def test_law_2_check_treats_an_instant_and_its_text_as_equal(text: str) -> None:
    answer = RevocationAnswer("c-1", revoked_now=True, revoked_at=START)
    later = RevocationAnswer("c-1", revoked_now=False, revoked_at=text)
    check_revocation([answer, later])
    moved = attrs.evolve(later, revoked_at="2026-01-01T00:00:01Z")
    with pytest.raises(LawBrokenError, match=r"revokedAt moved from .* to 2026-01-01T00:00:01Z"):
        check_revocation([answer, moved])


def test_law_7_check_accepts_one_successor_for_each_connection() -> None:
    check_one_pending_successor([("c-1", "c-2"), ("c-3", "c-4"), ("c-1", "c-2")])
    with broken(7, "it was recovered by c-4 and by c-5", where="connection c-3"):
        check_one_pending_successor([("c-1", "c-2"), ("c-3", "c-4"), ("c-3", "c-5")])
