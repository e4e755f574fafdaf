"""Facts that name the hosted page that they come from."""

from __future__ import annotations

from typing import cast

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import UserId
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest, user_subject
from curae_lifecycle.service.snapshot import Needs, Snapshot, check_snapshot
from curae_lifecycle.service.writes import PageWrite
from tests.support.server import ID, LIMITED
from tests.support.strategies import COORDINATE, apply_trigger, at, pending, uuid
from tests.support.subjects import SESSION, USER, WAITING

URL = "https://connect.example/1"


def page(kind: PageKind, subject: str) -> HostedPage:
    return HostedPage(digest=url_digest(URL), kind=kind, subject=subject, expires_at=at(30))


OF_CONNECTION = page(PageKind.CONNECTION, ID)
OF_SESSION = page(PageKind.SESSION, SESSION)
OF_USER = page(PageKind.USER, user_subject(COORDINATE, LIMITED.user_id))
ACTIVE = apply_trigger(pending(), "authorize", at(1))

NAMING: list[tuple[Fact, Snapshot]] = [
    (Authorized(ID, page_url=URL), Snapshot(connection=pending(), page=OF_CONNECTION)),
    (Revoked(ID, Actor.PATIENT, page_url=URL), Snapshot(connection=ACTIVE, page=OF_CONNECTION)),
    (Revoked(ID, Actor.APP, page_url=URL), Snapshot(connection=ACTIVE, page=OF_CONNECTION)),
    (ActionRequired(ID, "why", page_url=URL), Snapshot(connection=ACTIVE, page=OF_CONNECTION)),
    (Expired(ID, page_url=URL), Snapshot(connection=ACTIVE, page=OF_CONNECTION)),
    (HandoffCompleted(SESSION, USER, page_url=URL), Snapshot(session=WAITING, page=OF_SESSION)),
    (
        Graduated(COORDINATE, LIMITED.user_id, page_url=URL),
        Snapshot(binding=LIMITED, page=OF_USER),
    ),
]


def test_every_fact_but_a_tombstone_can_name_a_hosted_page() -> None:
    assert {type(fact) for fact, _ in NAMING} == {*FACTS} - {Tombstoned}
    assert Tombstoned(COORDINATE).page_key() is None


@pytest.mark.parametrize(("fact", "snapshot"), NAMING)
def test_fact_naming_a_hosted_page_also_bumps_the_page_version(
    fact: Fact, snapshot: Snapshot
) -> None:
    assert fact.needs().page == url_digest(URL)
    held = snapshot.page
    assert held is not None
    answer = record_fact(fact, snapshot, at(2))
    assert isinstance(answer, Done)
    assert answer.value.writes[0] == PageWrite(held, attrs.evolve(held, version=2))
    unnamed = record_fact(without_page(fact), attrs.evolve(snapshot, page=None), at(2))
    assert isinstance(unnamed, Done)
    assert answer.value.writes[1:] == unnamed.value.writes
    assert (answer.value.events, answer.rules) == (unnamed.value.events, unnamed.rules)


def without_page(fact: Fact) -> Fact:
    # Every fact is an attrs class, which the type of the base does not show.
    return attrs.evolve(cast("Expired", fact), page_url=None)


@pytest.mark.parametrize(("fact", "snapshot"), NAMING)
def test_fact_of_a_missing_or_wrong_hosted_page_gets_not_found(
    fact: Fact, snapshot: Snapshot
) -> None:
    others = (
        page(PageKind.CONNECTION, uuid(99)),
        page(PageKind.SESSION, ID),
        page(PageKind.CONNECTION, SESSION),
        page(PageKind.SESSION, uuid(99)),
        page(PageKind.USER, user_subject(COORDINATE, UserId("u-9"))),
        page(PageKind.USER, user_subject(COORDINATE, None)),
    )
    for each in (None, *others):
        answer = record_fact(fact, attrs.evolve(snapshot, page=each), at(2))
        assert isinstance(answer, Refused)
        assert (answer.problem.code, answer.rules) == ("NOT_FOUND", ("request.ownership",))


def test_repeated_authorization_of_a_live_hosted_page_is_ignored() -> None:
    answer = record_fact(
        Authorized(ID, page_url=URL), Snapshot(connection=ACTIVE, page=OF_CONNECTION), at(2)
    )
    assert isinstance(answer, Ignored)


def test_refused_fact_gets_not_found_if_its_hosted_page_is_gone() -> None:
    revoked = apply_trigger(pending(), "APP", at(1))
    snapshot = Snapshot(connection=revoked, page=OF_CONNECTION)
    answer = record_fact(Authorized(ID, page_url=URL), snapshot, at(2))
    assert isinstance(answer, Refused)
    assert answer.problem.code == "CONNECTION_NOT_PENDING"
    # A page that was replaced says nothing about its connection.
    gone = record_fact(Authorized(ID, page_url=URL), Snapshot(connection=revoked), at(2))
    assert isinstance(gone, Refused)
    assert gone.problem.code == "NOT_FOUND"


def test_account_graduation_with_page_but_no_user_gets_not_found() -> None:
    for held in (OF_USER, page(PageKind.USER, user_subject(COORDINATE, None))):
        snapshot = Snapshot(binding=LIMITED, page=held)
        answer = record_fact(Graduated(COORDINATE, page_url=URL), snapshot, at(2))
        assert isinstance(answer, Refused)
        assert answer.problem.code == "NOT_FOUND"


@pytest.mark.parametrize("wrong", ["", 7, b"https://connect.example/1"])
def test_fact_with_a_page_url_that_is_not_text_raises(wrong: object) -> None:
    with pytest.raises(ArgumentError, match=r"^page_url: "):
        Authorized(ID, page_url=cast("str", wrong))
    with pytest.raises(ArgumentError, match=r"^page_url: "):
        Graduated(COORDINATE, LIMITED.user_id, page_url=cast("str", wrong))


def test_repr_of_a_fact_hides_the_url_of_its_page() -> None:
    assert URL not in "".join(repr(fact) for fact, _ in NAMING)
    assert url_digest(URL) not in repr(Needs(page=url_digest(URL)))


def test_snapshot_with_another_hosted_page_than_needed_raises() -> None:
    check_snapshot(Needs(page=url_digest(URL)), Snapshot(page=OF_CONNECTION))
    with pytest.raises(ArgumentError, match=r"snapshot\.page: must be the hosted page"):
        check_snapshot(Needs(page=url_digest(f"{URL}1")), Snapshot(page=OF_CONNECTION))
