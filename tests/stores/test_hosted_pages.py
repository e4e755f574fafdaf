"""Tests of hosted pages: one page per subject, found by the digest of its URL until it expires."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
    NextAction,
    UserId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted, StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation, Replayed, Reply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores.hosted_pages import HostedPageCollection, csrf_token, hosted_page_for
from tests.support.server import CALLER, ID, LIMITED, PACKAGES, USER, call, new_ids
from tests.support.strategies import (
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    apply_trigger,
    at,
    pending,
    uuid,
)

URL: Final = "https://connect.example/1"
DIGEST: Final = hashlib.sha256(URL.encode()).hexdigest()
CONNECTION, SESSION, USER_PAGE = PageKind


def decided(operation: Operation, snapshot: Snapshot) -> Decision:
    key = None if operation.rule.key is not KeyUse.NEEDED else "k-1"
    return decide(call(operation, key), snapshot=snapshot, now=START, new_ids=new_ids(7))


REVOKED: Final = apply_trigger(pending(), "APP", START)

SENDING: Final[list[tuple[Operation, Snapshot, PageKind, str]]] = [
    (CreateConnection(USER, PACKAGES), Snapshot(), CONNECTION, uuid(7)),
    (Reconnect(ID), Snapshot(connection=REVOKED), CONNECTION, uuid(7)),
    (Initiate(USER), Snapshot(), SESSION, uuid(1007)),
    (
        StartGraduation(USER),
        Snapshot(binding=LIMITED),
        USER_PAGE,
        '["live", "app-1", "d8c60791-7301-441c-98e8-5bea9a162d9b", "user-1", "u-1"]',
    ),
]


@pytest.mark.parametrize(("operation", "snapshot", "kind", "subject"), SENDING)
def test_hosted_page_kind_and_subject_follow_from_the_operation(
    operation: Operation, snapshot: Snapshot, kind: PageKind, subject: str
) -> None:
    found = hosted_page_for(call(operation), decided(operation, snapshot).reply, snapshot.binding)
    assert found == HostedPage(
        digest=DIGEST, kind=kind, subject=subject, expires_at=START + NEXT_ACTION_LIFETIME
    )


def test_hosted_page_tests_cover_every_reply_with_a_next_action() -> None:
    sending = [each for each in OPERATIONS if "next_action" in each.reply.__match_args__]
    assert {type(operation) for operation, *_ in SENDING} == set(sending)


@pytest.mark.parametrize(
    ("operation", "snapshot"),
    [
        (GetConnection(ID), Snapshot(connection=pending())),
        (Revoke(ID), Snapshot(connection=pending())),
        (Reconnect(ID), Snapshot(connection=pending())),
        (StartGraduation(USER), Snapshot()),
    ],
)
def test_reply_without_next_action_opens_no_hosted_page(
    operation: Operation, snapshot: Snapshot
) -> None:
    reply = decided(operation, snapshot).reply
    assert hosted_page_for(call(operation), reply, snapshot.binding) is None


def test_replayed_response_opens_no_hosted_page() -> None:
    replayed = Replayed(Response(201, (), b"{}"))
    assert hosted_page_for(call(CreateConnection(USER, PACKAGES)), replayed, LIMITED) is None


@attrs.frozen
class Elsewhere(Reply):
    """A reply of a custom operation with a next action and nothing stored."""

    next_action: NextAction


def test_hosted_page_of_a_custom_operation_has_no_user_id() -> None:
    page = hosted_page_for(call(Initiate(USER)), Elsewhere(new_ids().next_action), None)
    assert page is not None
    assert page.kind is USER_PAGE
    assert page.user_id is None


@attrs.frozen
class Several(Reply):
    """A reply of a custom operation with a list of next actions."""

    next_actions: tuple[object, ...]


@pytest.mark.parametrize(
    "nest", [lambda it: (it,), lambda it: ((), ("x", it)), lambda it: (it, it)]
)
def test_next_action_in_a_list_of_a_reply_opens_a_hosted_page(
    nest: Callable[[NextAction], tuple[object, ...]],
) -> None:
    page = hosted_page_for(call(Initiate(USER)), Several(nest(new_ids().next_action)), None)
    assert page is not None
    assert (page.kind, page.digest) == (USER_PAGE, DIGEST)
    assert hosted_page_for(call(Initiate(USER)), Several(()), None) is None


def test_repr_of_a_hosted_page_hides_digest_and_subject() -> None:
    shown = repr(HostedPage(digest=DIGEST, kind=USER_PAGE, subject="ada", expires_at=START))
    assert DIGEST not in shown
    assert "ada" not in shown
    assert url_digest(URL) == DIGEST


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


@given(texts, st.uuids().map(str), texts, texts)
def test_account_graduation_page_has_coordinate_and_bound_user(
    app: str, account: str, user: str, bound: str
) -> None:
    coordinate = Coordinate(
        environment=Environment.TEST,
        app_id=AppId(app),
        customer_account_id=CustomerAccountId(account),
        app_user_id=AppUserId(user),
    )
    caller = attrs.evolve(
        CALLER,
        app_id=coordinate.app_id,
        customer_account_id=coordinate.customer_account_id,
        environment=coordinate.environment,
    )
    asked = Call(caller, StartGraduation(coordinate.app_user_id))
    binding = LimitedAccountAppBinding(
        coordinate=coordinate, user_id=UserId(bound), state=AccountState.LIMITED, generation=1
    )
    found = hosted_page_for(asked, GraduationStarted(new_ids().next_action), binding)
    assert found is not None
    assert (found.coordinate, found.user_id) == (coordinate, bound)


def test_hosted_page_subject_of_longest_id_is_under_612_chars() -> None:
    user = AppUserId("\N{GRINNING FACE}" * 256)
    bound = attrs.evolve(LIMITED, user_id=UserId(user))
    found = hosted_page_for(
        call(StartGraduation(user)), GraduationStarted(new_ids().next_action), bound
    )
    assert found is not None
    assert len(found.subject) < 2 * 256 + 100


def test_hosted_page_csrf_token_derives_from_url_not_digest() -> None:
    token = csrf_token(URL)
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert token == csrf_token(URL)
    digests = {DIGEST, csrf_token(DIGEST), url_digest(DIGEST), csrf_token(f"{URL}0")}
    assert token not in digests


def test_csrf_token_of_a_url_is_the_same_in_every_release() -> None:
    # A worker of the next release checks forms that this release showed.
    expected = "9871449d04059ce3ebf615cc3d6a9162a5560ed6235e6bbc95f3d614b91e1f57"
    assert csrf_token(URL) == expected


# --- Kept in memory -------------------------------------------------------------------------


def page(name: str, subject: str = "c-1", minutes: float = 30) -> HostedPage:
    return HostedPage(
        digest=url_digest(name), kind=CONNECTION, subject=subject, expires_at=at(minutes)
    )


def test_hosted_page_is_found_by_its_url_until_it_expires() -> None:
    pages = HostedPageCollection()
    pages.add(page("first"))
    assert pages.find("first", at(30) - TICK) == page("first")
    assert pages.find("first", at(30)) is None
    assert pages.find("another", START) is None


def test_later_hosted_page_of_a_subject_replaces_the_first() -> None:
    pages = HostedPageCollection()
    pages.add(page("first"))
    pages.add(page("of another", "c-2"))
    pages.add(page("second"))
    assert pages.find("first", START) is None
    assert pages.find("second", START) == page("second")
    assert pages.find("of another", START) == page("of another", "c-2")


def test_hosted_pages_of_two_kinds_for_one_id_are_both_found() -> None:
    pages = HostedPageCollection()
    pages.add(page("first"))
    pages.add(attrs.evolve(page("second"), kind=SESSION))
    assert pages.find("first", START) is not None
    assert pages.find("second", START) is not None


def held(pages: HostedPageCollection) -> tuple[int, int, int]:
    return len(pages._by_digest), len(pages._by_subject), len(pages._expiries)


def test_expired_hosted_page_is_dropped_after_five_minutes() -> None:
    pages = HostedPageCollection()
    pages.add(page("first"))
    pages.add(page("of another", "c-2", minutes=31))
    pages.drop_expired(at(35) - TICK)
    assert held(pages) == (2, 2, 2), "another clock may be five minutes behind"
    pages.drop_expired(at(35))
    assert held(pages) == (1, 1, 1)
    assert pages.find("of another", at(30)) is not None
    pages.drop_expired(at(36))
    assert held(pages) == (0, 0, 0)


def test_may_have_expired_is_false_until_the_first_page_expires() -> None:
    pages = HostedPageCollection()
    assert not pages.may_have_expired(at(60))
    pages.add(page("first"))
    assert not pages.may_have_expired(at(30))
    assert pages.may_have_expired(at(30) + TICK)


def test_lookup_by_digest_returns_even_an_expired_hosted_page() -> None:
    pages = HostedPageCollection()
    pages.add(page("first", minutes=0))
    assert pages.get(url_digest("first")) == page("first", minutes=0)
    assert pages.get(url_digest("second")) is None


def test_dropping_a_replaced_hosted_page_keeps_the_new_one() -> None:
    pages = HostedPageCollection()
    pages.add(page("first"))
    pages.add(page("second", minutes=60))
    pages.drop_expired(at(35))
    assert pages.find("second", at(35)) is not None
    assert held(pages) == (1, 1, 1)


def test_hosted_page_added_twice_is_kept_until_its_later_expiry() -> None:
    pages = HostedPageCollection()
    pages.add(page("same"))
    pages.add(page("same", minutes=60))
    pages.drop_expired(at(35))
    assert pages.find("same", at(59)) is not None
    # A URL of two subjects leads to the later one, and the end of the first does not change it.
    pages.add(page("same", "c-2", minutes=40))
    pages.add(page("other", "c-1", minutes=40))
    assert pages.find("same", at(39)) == page("same", "c-2", minutes=40)
    pages.drop_expired(at(100))
    assert held(pages) == (0, 0, 0)
