"""Vectors of facts that name the hosted page that they come from.

The law of this module: **each kind of fact is tried on a live page, a replaced one, one whose row is
gone, another's page, and without a page**.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Status
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import Coordinate, SessionId, UserId, format_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest, user_subject
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    SessionWrite,
)
from curae_lifecycle.testing.log_format import format_fact
from docs.generate.vectors.accounts import bound
from docs.generate.vectors.cases import (
    COORDINATE,
    START,
    Case,
    Members,
    camel,
    connection_id,
    make_case,
    show_result,
    stored,
)
from docs.generate.vectors.connections import END, NOW, make

_EARLIER: Final = "https://connect.example.com/h/1"
_NEWEST: Final = "https://connect.example.com/h/2"
_USER: Final = UserId("u-1")
_WAITING: Final = CuraeConnectSession(
    id=SessionId("22222222-2222-4222-8222-222222222222"),
    coordinate=COORDINATE,
    path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
    handoff=HandoffState.AWAITED,
    created_at=START,
    expires_at=END,
    landed_at=None,
    user_id=None,
)
_LANDED: Final = attrs.evolve(_WAITING, handoff=HandoffState.LANDED, user_id=_USER, landed_at=START)
_OTHERS: Final = {
    PageKind.CONNECTION: connection_id(9),
    PageKind.SESSION: "99999999-9999-4999-8999-999999999999",
    PageKind.USER: user_subject(COORDINATE, UserId("u-2")),
}
"""Subjects that no fact of these vectors is about."""

_Named = Authorized | ActionRequired | Expired | Revoked | HandoffCompleted | Graduated


def page_facts() -> Iterator[Case]:
    """Yield each kind of fact on each kind of page."""
    for fact, values, afterwards in _subjects():
        kind, subject = _subject(fact)
        newest = HostedPage(digest=url_digest(_NEWEST), kind=kind, subject=subject, expires_at=END)
        other = attrs.evolve(newest, subject=_OTHERS[kind])
        named = attrs.evolve(fact, page_url=_NEWEST)
        replaced = attrs.evolve(fact, page_url=_EARLIER)
        yield _case("live", named, values, page=newest)
        yield _case("replaced", replaced, values, page=newest)
        yield _case("row-gone", named, values, page=None)
        yield _case("none-named", fact, values, page=newest)
        yield _case("about-another", named, values, page=other)
        yield _case("repeated", named, afterwards, page=newest)
        yield _case("repeated-after-it-was-replaced", replaced, afterwards, page=newest)
    nobody = HostedPage(
        digest=url_digest(_NEWEST),
        kind=PageKind.USER,
        subject=user_subject(COORDINATE, None),
        expires_at=END,
    )
    graduated = Graduated(COORDINATE, _USER, page_url=_NEWEST)
    limited = Snapshot(binding=bound(AccountState.LIMITED))
    yield _case("made-while-no-user-was-bound", graduated, limited, page=nobody)


def _subjects() -> Iterator[tuple[_Named, Snapshot, Snapshot]]:
    # Each fact, the values to judge it by, and the values after it was recorded.
    one = connection_id(1)
    for fact, before, after in (
        (Authorized(one, END), Status.PENDING, Status.ACTIVE),
        (ActionRequired(one, "portal_login"), Status.ACTIVE, Status.ACTION_REQUIRED),
        (Expired(one), Status.ACTIVE, Status.EXPIRED),
        (Revoked(one, Actor.PATIENT), Status.PENDING, Status.REVOKED),
    ):
        yield fact, Snapshot(connection=make(before)), Snapshot(connection=make(after))
    limited, active = bound(AccountState.LIMITED), bound(AccountState.ACTIVE)
    completed = HandoffCompleted(_WAITING.id, _USER)
    yield completed, Snapshot(session=_WAITING), Snapshot(session=_LANDED, binding=active)
    yield Graduated(COORDINATE, _USER), Snapshot(binding=limited), Snapshot(binding=active)


def _subject(fact: _Named) -> tuple[PageKind, str]:
    subject = fact.page_key()
    assert subject is not None
    return subject


def _case(word: str, fact: _Named, values: Snapshot, *, page: HostedPage | None) -> Case:
    given = {
        "fact": format_fact(fact),
        "connection": stored(values.connection),
        "session": stored(values.session),
        "binding": stored(values.binding),
        "pages": [] if page is None else [_show_page(page)],
        "now": format_time(NOW),
    }
    # A store looks the page up by the URL that the fact names.
    found = page if page is not None and page.digest == fact.page_digest() else None
    answer = record_fact(fact, attrs.evolve(values, page=found), NOW)
    return make_case(f"page-fact/{fact.kind}/{word}", given, show_result(answer, _show_changes))


def _show_page(page: HostedPage) -> Members:
    subject: object = page.subject
    if page.kind is PageKind.USER:
        subject = {"coordinate": _show_coordinate(page.coordinate), "userId": page.user_id}
    return {"url": _NEWEST, "kind": page.kind, "subject": subject, "version": page.version}


def _show_coordinate(coordinate: Coordinate) -> Members:
    return {camel(name): str(getattr(coordinate, name)) for name in Coordinate.__match_args__}


def _show_changes(changes: Changes) -> Members:
    shown: dict[str, object] = {"connection": None, "session": None, "binding": None, "pages": []}
    for write in changes.writes:
        match write:
            case ConnectionWrite(_, after):
                shown["connection"] = stored(after)
            case SessionWrite(_, after):
                shown["session"] = stored(after)
            case BindingWrite(_, after):
                shown["binding"] = stored(after)
            case PageWrite(_, after):
                shown["pages"] = [_show_page(after)]
            case _:
                raise AssertionError("a fact writes nothing else")
    return shown
