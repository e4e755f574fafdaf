"""Servers whose hosted pages do more or less than their hand-off allows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service
from tests.support.hosted import Hosted, Page
from tests.support.memory import overwrite

_DAYS: Final = timedelta(days=30)


class FinishSaysThanks(Service):
    def finish(self, url: str) -> str:
        return "gone" if self.hosted.find(url, self.now()) is None else "ignored"


class ThanksAgain(Service):
    def finish(self, url: str) -> str:
        outcome = super().finish(url)
        return "done" if outcome in {"gone", "ignored"} else outcome


class FinishedAgain(Service):
    def finish(self, url: str) -> str:
        page = self.hosted.found.get(url)
        outcome = super().finish(url)
        if page is None:
            return outcome
        self.hosted.found[url] = page
        held = self.memory.connection(ConnectionId(str(page.subject)))
        if outcome != "ignored" or held is None or held.expires_at is None:
            return outcome
        longer = attrs.evolve(held, expires_at=held.expires_at + _DAYS)
        overwrite(self.memory, ConnectionWrite(held, longer))
        return "done"


class FactsOfAnyPage(Service):
    def record(self, fact: Fact) -> FactAnswer:
        if isinstance(fact, Authorized | HandoffCompleted | Revoked):
            fact = attrs.evolve(fact, page_url=None)
        return super().record(fact)


class _Opened(Hosted):
    def find(self, url: str, now: datetime) -> Page | None:
        del now
        return self.found.get(url)


class PagesNeverOver(Service):
    def pages(self) -> Hosted:
        return _Opened(self.memory)


class _Dated(_Opened):
    def finished(self, page: Page, now: datetime) -> Fact:
        fact = super().finished(page, now)
        if isinstance(fact, Authorized):
            return attrs.evolve(fact, happened_at=min(now, page.until - timedelta(seconds=1)))
        return fact


class FinishedAsOfTheOpening(Service):
    def pages(self) -> Hosted:
        return _Dated(self.memory)


class _Beside(Hosted):
    def open(self, url: str, page: Page) -> None:
        self.found[url] = page


class EarlierPageStays(Service):
    def pages(self) -> Hosted:
        return _Beside(self.memory)


class _ByPath(Hosted):
    def open(self, url: str, page: Page) -> None:
        super().open(_without_query(url), page)

    def find(self, url: str, now: datetime) -> Page | None:
        return super().find(_without_query(url), now)

    def close(self, url: str) -> None:
        super().close(_without_query(url))


def _without_query(url: str) -> str:
    return url.partition("?")[0]


class PagesByPath(Service):
    def pages(self) -> Hosted:
        return _ByPath(self.memory)

    def new_ids(self, now: datetime) -> NewIds:
        new = super().new_ids(now)
        url = new.next_action.url.replace("example/", "example/page?token=")
        return attrs.evolve(new, next_action=attrs.evolve(new.next_action, url=url))


class FinishedAfterARevocation(Service):
    def finish(self, url: str) -> str:
        page = self.hosted.found.get(url)
        outcome = super().finish(url)
        if outcome == "CONNECTION_NOT_PENDING" and page is not None:
            held = self.memory.connection(ConnectionId(str(page.subject)))
            assert held is not None
            back = attrs.evolve(held, status=Status.ACTIVE, revoked_at=None)
            overwrite(self.memory, ConnectionWrite(held, back))
            return "done"
        return outcome


class _Stranger(Hosted):
    def finished(self, page: Page, now: datetime) -> Fact:
        if isinstance(page.subject, Coordinate):
            return Graduated(page.subject, UserId("somebody"))
        return super().finished(page, now)


class GraduationOfAStranger(Service):
    def pages(self) -> Hosted:
        return _Stranger(self.memory)


class _Whoever(Hosted):
    def finished(self, page: Page, now: datetime) -> Fact:
        if isinstance(page.subject, Coordinate):
            return Graduated(page.subject)
        return super().finished(page, now)


class GraduatesWhoeverIsBound(Service):
    def pages(self) -> Hosted:
        return _Whoever(self.memory)


class SignUpOverEverything(Service):
    def finish(self, url: str) -> str:
        page = self.hosted.found.get(url)
        outcome = super().finish(url)
        if outcome != "BINDING_CHANGED" or page is None:
            return outcome
        session = self.memory.session(SessionId(str(page.subject)))
        assert session is not None
        bound = self.memory.binding(session.coordinate)
        assert bound is not None
        other = attrs.evolve(bound, user_id=UserId("signed-up"), state=AccountState.ACTIVE)
        overwrite(self.memory, BindingWrite(bound, other))
        return "done"


class _Shared(Hosted):
    def finished(self, page: Page, now: datetime) -> Fact:
        if page.session:
            return HandoffCompleted(SessionId("no-session"), UserId("user"))
        return super().finished(page, now)


class SignUpUnheard(Service):
    def pages(self) -> Hosted:
        return _Shared(self.memory)


class CancelClosesThePage(Service):
    def cancel(self, url: str) -> str:
        if self.hosted.find(url, self.now()) is None:
            return "gone"
        self.hosted.close(url)
        return "done"


class CancelsWhatIsFinished(Service):
    def followed(self, url: str, what: Callable[[Page], Fact | None]) -> str:
        page = self.hosted.found.get(url)
        outcome = super().followed(url, what)
        if page is not None:
            self.hosted.found[url] = page
        return outcome


class _Leaves(Hosted):
    def cancelled(self, page: Page) -> Fact | None:
        if isinstance(page.subject, Coordinate):
            return Tombstoned(page.subject)
        return super().cancelled(page)


class CancelledGraduationEndsTheUser(Service):
    def pages(self) -> Hosted:
        return _Leaves(self.memory)


BUGS: Final = (
    VisibleBug(
        name="finish-says-thanks",
        wrong="Whoever finishes a page is thanked, and nothing is recorded.",
        breaks="connection.authorize.pending",
        found_by=("page.finish", "page.finish.graduation"),
        make=FinishSaysThanks,
    ),
    VisibleBug(
        name="thanks-again",
        wrong="Whoever finishes a page that is over is told that it was done, as if for the first time.",
        breaks="section 2, a next action is for one hand-off",
        found_by=("page.finish", "page.finish.over", "page.finish.graduation"),
        make=ThanksAgain,
    ),
    VisibleBug(
        name="finished-again",
        wrong="Each time that a connection's page is finished, its authorization gets longer.",
        breaks="connection.authorize.active",
        found_by=("page.finish",),
        make=FinishedAgain,
    ),
    VisibleBug(
        name="pages-never-over",
        wrong="A page that is over can still be cancelled.",
        breaks="section 3, a next action lives 30 minutes",
        found_by=("page.cancel.over",),
        make=PagesNeverOver,
    ),
    VisibleBug(
        name="finished-as-of-the-opening",
        wrong="A page that is over is taken as finished while it was open.",
        breaks="connection.authorize.lapsed",
        found_by=("page.finish.over",),
        make=FinishedAsOfTheOpening,
    ),
    VisibleBug(
        name="earlier-page-stays",
        wrong="A reissue opens another page and leaves the earlier one open.",
        breaks="recovery.revoked.pending",
        found_by=("page.finish.replaced",),
        make=EarlierPageStays,
    ),
    VisibleBug(
        name="pages-by-path",
        wrong="A page is looked up without the query of its URL, which holds its token.",
        breaks="section 2, a page that was replaced cannot act",
        found_by=("page.finish.replaced", "page.finish.graduation-replaced"),
        make=PagesByPath,
    ),
    VisibleBug(
        name="finished-after-a-revocation",
        wrong="A page that is finished brings back what was revoked meanwhile.",
        breaks="law 1; connection.authorize.revoked",
        found_by=("page.finish.revoked",),
        make=FinishedAfterARevocation,
    ),
    VisibleBug(
        name="facts-of-any-page",
        wrong="A fact that names a hosted page is recorded without looking at the page.",
        breaks="section 2, a page that was replaced cannot act",
        found_by=("page.fact.replaced", "page.fact.session"),
        make=FactsOfAnyPage,
    ),
    VisibleBug(
        name="sign-up-unheard",
        wrong="The page of a sign-up reports it for a session that nobody has.",
        breaks="binding.complete-sign-up.unlinked",
        found_by=("page.finish.session",),
        make=SignUpUnheard,
    ),
    VisibleBug(
        name="sign-up-over-everything",
        wrong="A sign-up on an old page takes the place of whoever is bound by now.",
        breaks="binding.complete-sign-up.limited",
        found_by=("page.finish.session-of-before",),
        make=SignUpOverEverything,
    ),
    VisibleBug(
        name="graduation-of-a-stranger",
        wrong="The page of a graduation reports another user than the bound one.",
        breaks="binding.graduate.limited.other",
        found_by=("page.finish.graduation",),
        make=GraduationOfAStranger,
    ),
    VisibleBug(
        name="graduates-whoever-is-bound",
        wrong="An old graduation's page graduates the next user of the coordinate.",
        breaks="law 17",
        found_by=("page.finish.graduation-of-before",),
        make=GraduatesWhoeverIsBound,
    ),
    VisibleBug(
        name="cancel-closes-the-page",
        wrong="Whoever says no only closes the page, and the connection stays pending.",
        breaks="connection.revoke.pending",
        found_by=("page.cancel",),
        make=CancelClosesThePage,
    ),
    VisibleBug(
        name="cancels-what-is-finished",
        wrong="A page that was finished can be cancelled, as by the back button: it revokes.",
        breaks="section 2, a next action is for one hand-off",
        found_by=("page.cancel.finished",),
        make=CancelsWhatIsFinished,
    ),
    VisibleBug(
        name="cancelled-graduation-ends-the-user",
        wrong="Whoever says no to a graduation is gone.",
        breaks="law 17",
        found_by=("page.cancel.account",),
        make=CancelledGraduationEndsTheUser,
    ),
)
"""The seeded bugs about hosted pages."""
