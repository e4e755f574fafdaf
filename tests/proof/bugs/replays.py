"""Servers with wrong replays: what is stored, for how long, and what a retry gets."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.merge import RANK
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT
from curae_lifecycle.rules.values import HOUR, ConnectionId, elapsed
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import RecordWrite, Write
from curae_lifecycle.stores.keys import record_key_parts
from curae_lifecycle.web.request import Request, header_values
from curae_lifecycle.web.respond import Answer
from curae_lifecycle.web.wire_format import format_connection
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.keys import Compared
from tests.proof.bugs.service import (
    Service,
    document,
    http_date,
    part,
    with_body,
    with_header,
    with_members,
    without_header,
)
from tests.support.memory import overwrite

# --- How long, and what is kept --------------------------------------------------------------


class RetentionSlides(Service):
    def load(self, call: Call) -> Snapshot:
        asked = self.asked(call).record
        record = None if asked is None else self.memory._records.of(asked)
        if record is not None:
            moved = attrs.evolve(record, first_used_at=self.now())
            self.memory._records[record_key_parts(record.key)] = moved
        return super().load(call)


class RetentionOfAnHour(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return record if elapsed(record.first_used_at, self.now()) < HOUR else None


class RefusalsOfAnHour(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        is_refusal = isinstance(record.response, Response) and record.response.status >= 400
        return None if is_refusal and elapsed(record.first_used_at, self.now()) >= HOUR else record


class KeptForEver(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return attrs.evolve(record, first_used_at=self.now())

    def purge(self) -> None:
        pass


class _NotKept(Service):
    """A server that does not store responses with some status."""

    status = 0

    def respond(self, call: Call | None, decision: Decision) -> Answer:
        answer = super().respond(call, decision)
        if answer.replayed or answer.response.status != self.status:
            return answer
        changes = answer.changes
        writes = tuple(write for write in changes.writes if not isinstance(write, RecordWrite))
        left = Changes(writes, changes.effects, changes.events)
        return attrs.evolve(answer, changes=left)


class ConflictNotKept(_NotKept):
    status = 409


class UnknownNotKept(_NotKept):
    status = 404


class _Frozen(Service):
    """A server that stores refusals that never reached the rule."""

    status = 0

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[tuple[str, ...], Response] = {}

    def send(self, request: Request) -> Response:
        names = ("authorization", "idempotency-key")
        key = tuple(value for name in names for value in header_values(request, name))
        response = self.frozen.get(key)
        if response is None:
            response = super().send(request)
            if response.status == self.status and len(key) == len(names):
                self.frozen[key] = response
        return response


class BadRequestFrozen(_Frozen):
    status = 400


class LimitFrozen(_Frozen):
    status = 429


# --- The replay ------------------------------------------------------------------------------


class _Replayed(Service):
    """A server that changes every replay."""

    def replay(self, response: Response) -> Response:
        return response

    def respond(self, call: Call | None, decision: Decision) -> Answer:
        answer = super().respond(call, decision)
        if not answer.replayed:
            return answer
        return attrs.evolve(answer, response=self.replay(answer.response))


class ReplaySerialisedAgain(_Replayed):
    def replay(self, response: Response) -> Response:
        body = json.dumps(json.loads(response.body), sort_keys=True).encode()
        return attrs.evolve(response, body=body)


class ReplayIsAlways200(_Replayed):
    def replay(self, response: Response) -> Response:
        return attrs.evolve(response, status=200)


class ReplayIsConflict(_Replayed):
    def replay(self, response: Response) -> Response:
        return attrs.evolve(response, status=409)


class ReplayLosesHeaders(_Replayed):
    def replay(self, response: Response) -> Response:
        return without_header(response, "cache-control")


class ReplayMarked(_Replayed):
    def replay(self, response: Response) -> Response:
        return with_header(response, "idempotent-replayed", "true")


class ReplayMarkedInside(_Replayed):
    def replay(self, response: Response) -> Response:
        return with_members(response, "", replayed=True)


class ReplayShowsTheLatest(_Replayed):
    def replay(self, response: Response) -> Response:
        body = document(response)
        shown = ConnectionId(str(part(body, "connection").get("id")))
        latest = self.memory.connection(shown)
        if latest is None or RANK[latest.status] == 0:
            return response
        return with_body(
            response, {**body, "connection": format_connection(latest, self.now(), binding=None)}
        )


class _KeepsHeader(Service):
    """A server that stores a header that must be fresh for each response."""

    name = ""

    def value(self) -> str:
        return f"session={next(self.numbers)}"

    def respond(self, call: Call | None, decision: Decision) -> Answer:
        answer = super().respond(call, decision)
        if answer.replayed:
            return answer
        response = with_header(answer.response, self.name, self.value())
        changes = answer.changes
        writes = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, response=response))
            if isinstance(write, RecordWrite)
            else write
            for write in changes.writes
        )
        return attrs.evolve(answer, response=response, changes=attrs.evolve(changes, writes=writes))


class CookieReplayed(_KeepsHeader):
    name = "set-cookie"


class DateReplayed(_KeepsHeader):
    name = "date"

    def value(self) -> str:
        return http_date(self.now())


class LimitBeforeKey(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        if isinstance(call.operation, Initiate):
            unknown = attrs.evolve(snapshot, record=None)
            first = super().decide(call, unknown, now, new_ids=new_ids)
            if first.status == 429:
                return first
        return super().decide(call, snapshot, now, new_ids=new_ids)


class ReplayChargesTheUser(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        if decision.replayed and isinstance(call.operation, Initiate):
            anew = super().decide(call, attrs.evolve(snapshot, record=None), now, new_ids=new_ids)
            charges = tuple(
                write
                for write in anew.changes.writes
                if getattr(getattr(write, "key", None), "policy", "") == INITIATE_LIMIT.name
            )
            changes = attrs.evolve(decision.changes, writes=decision.changes.writes + charges)
            return attrs.evolve(decision, changes=changes)
        return decision


# --- At the same time ------------------------------------------------------------------------


class LookupLockedAlone(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            if isinstance(write, RecordWrite):
                overwrite(self.memory, self._over_what_is_there(write))
        return super().store(
            call, tuple(write for write in writes if not isinstance(write, RecordWrite))
        )


BUGS: Final = (
    VisibleBug(
        name="retention-slides",
        wrong="Every replay prolongs the retention of its record.",
        breaks="idempotency.absent",
        found_by=("idempotency.retention",),
        make=RetentionSlides,
    ),
    VisibleBug(
        name="retention-of-an-hour",
        wrong="A record is dropped after one hour, and the retry executes.",
        breaks="law 12; idempotency.completed.same",
        seen="granit-dotnet#1151",
        found_by=("idempotency.retention",),
        make=RetentionOfAnHour,
    ),
    VisibleBug(
        name="refusals-of-an-hour",
        wrong="The record of a 404 or a 409 is dropped after one hour.",
        breaks="law 12; idempotency.completed.same",
        found_by=(
            "idempotency.retention",
            "idempotency.retention.other",
        ),
        make=RefusalsOfAnHour,
    ),
    VisibleBug(
        name="kept-for-ever",
        wrong="A record outlives its 24 hours.",
        breaks="idempotency.absent",
        seen="AnchorNet#221",
        found_by=("idempotency.retention",),
        make=KeptForEver,
    ),
    VisibleBug(
        name="conflict-not-kept",
        wrong="A 409 is judged anew when it is retried with the same key.",
        breaks="law 9; idempotency.completed.same",
        seen="idemkit, django-idem-key and drf-idem run 4xx again; idempotency4j#45",
        found_by=("idempotency.kept.409",),
        make=ConflictNotKept,
    ),
    VisibleBug(
        name="unknown-not-kept",
        wrong="A 404 leaves no record, so its key is free for another request.",
        breaks="law 9; idempotency.completed.other",
        seen="idemkit, django-idem-key and drf-idem run 4xx again",
        found_by=("idempotency.kept.404",),
        make=UnknownNotKept,
    ),
    VisibleBug(
        name="bad-request-frozen",
        wrong="A malformed request burns its key: the corrected one gets the same 400.",
        breaks="law 12; idempotency.absent",
        seen="powertools-python#3821",
        found_by=("idempotency.not-kept.400",),
        make=BadRequestFrozen,
    ),
    VisibleBug(
        name="limit-frozen",
        wrong="A 429 is kept under the key, so the retry is refused for 24 hours.",
        breaks="idempotency.absent",
        seen="snok, fastapi-idempotency and drf-idempotency freeze it; codatio/codat-docs#1842",
        found_by=("idempotency.not-kept.429",),
        make=LimitFrozen,
    ),
    VisibleBug(
        name="replay-serialised-again",
        wrong="A replay is parsed and printed again, so its bytes differ.",
        breaks="law 9",
        seen="snok; actor-ts#1308",
        found_by=("idempotency.replay.initiate",),
        make=ReplaySerialisedAgain,
    ),
    VisibleBug(
        name="replay-is-always-200",
        wrong="A replay has the status 200, whatever the first answer had.",
        breaks="law 9",
        seen="yoyowallet#25",
        found_by=("idempotency.at-once.charged-once",),
        make=ReplayIsAlways200,
    ),
    VisibleBug(
        name="replay-is-a-conflict",
        wrong="A replay has the status 409.",
        breaks="law 9",
        seen="yoyowallet#36, django-idem-key",
        found_by=("idempotency.at-once.charged-once",),
        make=ReplayIsConflict,
    ),
    VisibleBug(
        name="replay-loses-headers",
        wrong="A replay lacks a header of the first answer.",
        breaks="law 9",
        seen="IdempotentAPI#85, concerns_on_rails#47",
        found_by=("idempotency.replay.initiate",),
        make=ReplayLosesHeaders,
    ),
    VisibleBug(
        name="replay-marked",
        wrong="A replay carries a header of its own.",
        breaks="law 9",
        seen="KeeperHub/keeperhub#1849 asks for it; Stripe does it",
        found_by=("idempotency.replay.initiate",),
        make=ReplayMarked,
    ),
    VisibleBug(
        name="replay-marked-inside",
        wrong="A replay carries a member of its own.",
        breaks="law 9; law 13",
        seen="KeeperHub/keeperhub#1849",
        found_by=("idempotency.replay.initiate",),
        make=ReplayMarkedInside,
    ),
    VisibleBug(
        name="replay-shows-the-latest",
        wrong="A replay shows the connection as it is now and not as it was answered.",
        breaks="law 9",
        seen="PayPal, AIP-155 and EC2 answer the latest state",
        found_by=("idempotency.replay.after-all-moved",),
        make=ReplayShowsTheLatest,
    ),
    VisibleBug(
        name="cookie-replayed",
        wrong="A replay sets the cookie of the first caller's session.",
        breaks="law 9, kept headers",
        seen="granit-dotnet#1151; fastidempotent and django-idem-key do it",
        found_by=("idempotency.cookies",),
        make=CookieReplayed,
    ),
    VisibleBug(
        name="date-replayed",
        wrong="A replay carries the date of the first answer.",
        breaks="law 9, kept headers",
        found_by=("idempotency.dates",),
        make=DateReplayed,
    ),
    VisibleBug(
        name="limit-before-key",
        wrong="At the limit a retry is refused, and the lost answer cannot be learned.",
        breaks="law 9; request.idempotency",
        seen="Stripe asks the limiter first",
        found_by=("idempotency.replay-is-free",),
        make=LimitBeforeKey,
    ),
    VisibleBug(
        name="replay-charges-the-user",
        wrong="Every replay counts as one of the app user's initiates.",
        breaks="law 9",
        found_by=("idempotency.at-once.charged-once",),
        make=ReplayChargesTheUser,
    ),
    VisibleBug(
        name="lookup-locked-alone",
        wrong="The record is looked up under a lock and written without one: duplicates at once run.",
        breaks="law 12",
        seen="yoyowallet PR#61: five of five ran; django-idem-key and drf-idem",
        found_by=("idempotency.at-once.create",),
        make=LookupLockedAlone,
        slowly=True,
    ),
)
"""The seeded bugs about replays."""
