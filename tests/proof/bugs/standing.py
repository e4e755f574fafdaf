"""Servers with a wrong standing of a connection at an instant."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Standing, Status, standing
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.web.request import Request
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import MisreadFact, Service, document, part, with_members, with_writes


def _shown(request: Request, response: Response, service: Service) -> Connection | None:
    if request.method != "GET":
        return None
    shown = part(document(response), "connection")
    return service.memory.connection(ConnectionId(str(shown.get("id"))))


class StoredStatusShown(Service):
    def sent(self, request: Request, response: Response) -> Response:
        connection = _shown(request, response, self)
        if connection is None:
            return response
        return with_members(response, "connection", status=connection.status)


class NeverLapses(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        kept = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, handoff_deadline=None))
            if isinstance(write, ConnectionWrite)
            else write
            for write in writes
        )
        return super().store(call, kept)


class LapsesAtOnce(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        kept = tuple(
            attrs.evolve(
                write,
                after=attrs.evolve(write.after, handoff_deadline=write.after.identity.created_at),
            )
            if isinstance(write, ConnectionWrite)
            else write
            for write in writes
        )
        return super().store(call, kept)


class FiveMinutesLeeway(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        if isinstance(call.operation, GetConnection):
            now -= timedelta(minutes=5)
        return super().decide(call, snapshot, now, new_ids=new_ids)


class LapseIsStored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        connection = snapshot.connection
        if (
            isinstance(call.operation, GetConnection)
            and connection is not None
            and standing(connection, now, era=None) is Standing.LAPSED
        ):
            lapsed = attrs.evolve(connection, status=Status.EXPIRED)
            return with_writes(decision, ConnectionWrite(connection, lapsed))
        return decision


class LateCompletionAccepted(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Authorized) and connection.status is Status.PENDING:
            return attrs.evolve(connection, handoff_deadline=None)
        return connection


class AuthorizedOnArrival(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Authorized):
            fact = attrs.evolve(fact, happened_at=None)
        return super().judge_fact(fact, snapshot, now)


class CloseSignalEnds(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Expired) and connection.status is Status.PENDING:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class LastReasonStands(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, ActionRequired) and connection.status is Status.ACTION_REQUIRED:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class ExpiryMovesTheEnd(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        answer = super().judge_fact(fact, snapshot, now)
        if not isinstance(fact, Expired) or not isinstance(answer, Done):
            return answer
        writes = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, expires_at=now))
            if isinstance(write, ConnectionWrite)
            else write
            for write in answer.value.writes
        )
        return Done(attrs.evolve(answer.value, writes=writes), answer.rules)


class SecondAuthorizationMovesTheEnd(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Authorized) and connection.status is Status.ACTIVE:
            return attrs.evolve(connection, status=Status.PENDING, handoff_deadline=None)
        return connection


class LapsedSpelledOut(Service):
    def sent(self, request: Request, response: Response) -> Response:
        connection = _shown(request, response, self)
        if connection is None or standing(connection, self.now(), era=None) is not Standing.LAPSED:
            return response
        return with_members(response, "connection", status="LAPSED")


BUGS: Final = (
    VisibleBug(
        name="stored-status-shown",
        wrong="The wire shows what is stored, whatever the clock says.",
        breaks="law 4; wire-status.expired, standing.active-over",
        seen="Yapily shows AUTHORIZED after a revocation at the bank",
        found_by=(
            "standing.active-over",
            "connection.require-action.lapsed",
        ),
        make=StoredStatusShown,
    ),
    VisibleBug(
        name="never-lapses",
        wrong="A pending connection has no deadline: it stays pending for ever.",
        breaks="standing.lapsed",
        seen="NangoHQ/nango#5849, bytechefhq/bytechef#5238",
        found_by=(
            "standing.lapsed",
            "connection.require-action.lapsed",
        ),
        make=NeverLapses,
    ),
    VisibleBug(
        name="lapses-at-once",
        wrong="The deadline of the hosted page is computed without its lifetime.",
        breaks="standing.pending",
        seen="coralproject/talk#2356, SandeepVashishtha/Eventra#8049",
        found_by=(
            "standing.pending",
            "request.body.id-in-any-case",
        ),
        make=LapsesAtOnce,
    ),
    VisibleBug(
        name="five-minutes-leeway",
        wrong="What ended less than five minutes ago counts as going on.",
        breaks="standing.active-over",
        seen="Altinn/altinn-studio#4085, AzureAD/microsoft-authentication-library-for-js#3070",
        found_by=(
            "standing.active-over",
            "connection.require-action.lapsed",
        ),
        make=FiveMinutesLeeway,
    ),
    VisibleBug(
        name="lapse-is-stored",
        wrong="Reading a lapsed connection stores the lapse, which beats a completion recorded late.",
        breaks="connection.authorize.pending",
        seen="UsefulSoftwareCo/executor#735, vellum-ai/vellum-assistant#42296",
        found_by=("connection.authorize.lapsed",),
        make=LapseIsStored,
    ),
    VisibleBug(
        name="late-completion-accepted",
        wrong="An authorization that happened after the hosted page was over is accepted.",
        breaks="connection.authorize.lapsed",
        seen="plaid/plaid-link-android#332",
        found_by=("connection.authorize.lapsed",),
        make=LateCompletionAccepted,
    ),
    VisibleBug(
        name="authorized-on-arrival",
        wrong="An authorization is judged when it arrives and not when it happened.",
        breaks="connection.authorize.pending",
        seen="plaid/plaid-link-android#332",
        found_by=("authorization.no-successor",),
        make=AuthorizedOnArrival,
    ),
    VisibleBug(
        name="close-signal-ends",
        wrong="A closed window ends a pending connection, and its late completion is refused.",
        breaks="connection.expire.pending",
        seen="UsefulSoftwareCo/executor#735, vellum-ai/vellum-assistant#42296",
        found_by=("connection.expire.pending",),
        make=CloseSignalEnds,
    ),
    VisibleBug(
        name="last-reason-stands",
        wrong="A second reason to act overwrites the first.",
        breaks="connection.require-action.action-required",
        seen="get-engram/engram#389",
        found_by=("connection.require-action.action-required",),
        make=LastReasonStands,
    ),
    VisibleBug(
        name="expiry-moves-the-end",
        wrong="Recording an expiry overwrites expiresAt.",
        breaks="connection.expire.active",
        found_by=("connection.expire.active",),
        make=ExpiryMovesTheEnd,
    ),
    VisibleBug(
        name="second-authorization-moves-the-end",
        wrong="A repeated authorization restarts an active connection and moves its end.",
        breaks="connection.authorize.active",
        found_by=("connection.authorize.active",),
        make=SecondAuthorizationMovesTheEnd,
    ),
    VisibleBug(
        name="lapsed-spelled-out",
        wrong="The wire shows a sixth status, LAPSED.",
        breaks="wire-status.lapsed",
        found_by=("connection.require-action.lapsed",),
        make=LapsedSpelledOut,
    ),
)
"""The seeded bugs about standing and time."""
