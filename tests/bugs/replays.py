"""Servers that get replays wrong: what is kept, for how long, and what a retry gets."""

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
from curae_lifecycle.service.changes import Changes, RecordWrite, Write
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.stores.keys import record_name
from curae_lifecycle.web.request import Request, header
from curae_lifecycle.web.respond import Answer
from curae_lifecycle.web.shapes import format_connection
from tests.bugs.bug import VisibleBug
from tests.bugs.keys import Compared
from tests.bugs.service import (
    Service,
    document,
    http_date,
    part,
    with_body,
    with_header,
    with_members,
    without_header,
)
from tests.memory import overwrite

# --- How long, and what is kept --------------------------------------------------------------


class RetentionSlides(Service):
    def load(self, call: Call) -> Snapshot:
        asked = self.asked(call).record
        record = None if asked is None else self.memory._records.of(asked)
        if record is not None:
            moved = attrs.evolve(record, first_used_at=self.now())
            self.memory._records[record_name(record.key)] = moved
        return super().load(call)


class RetentionOfAnHour(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return record if elapsed(record.first_used_at, self.now()) < HOUR else None


class KeptForEver(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return attrs.evolve(record, first_used_at=self.now())

    def purge(self) -> None:
        pass


class _NotKept(Service):
    """Keeps no answer of some status."""

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
    """Keeps the answers of one status too, which never reached the rule."""

    status = 0

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[tuple[str, ...], Response] = {}

    def send(self, request: Request) -> Response:
        names = ("authorization", "idempotency-key")
        key = tuple(value for name in names for value in header(request, name))
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
    """Does something to every replay."""

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
        return with_body(response, {**body, "connection": format_connection(latest, self.now())})


class _KeepsHeader(Service):
    """Sets a header of its own each time, and keeps it with the answer."""

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
            first = super().decide(call, unknown, now, new_ids)
            if first.status == 429:
                return first
        return super().decide(call, snapshot, now, new_ids)


class ReplayChargesTheUser(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        if decision.replayed and isinstance(call.operation, Initiate):
            anew = super().decide(call, attrs.evolve(snapshot, record=None), now, new_ids)
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
        "retention-slides",
        "Every replay prolongs the retention of its record.",
        "idempotency.absent",
        "",
        ("idempotency.retention",),
        RetentionSlides,
    ),
    VisibleBug(
        "retention-of-an-hour",
        "A record is dropped after one hour, and the retry executes.",
        "law 12; idempotency.completed.same",
        "granit-dotnet#1151",
        ("idempotency.retention",),
        RetentionOfAnHour,
    ),
    VisibleBug(
        "kept-for-ever",
        "A record outlives its 24 hours.",
        "idempotency.absent",
        "AnchorNet#221",
        ("idempotency.retention",),
        KeptForEver,
    ),
    VisibleBug(
        "conflict-not-kept",
        "A 409 is judged anew when it is retried with the same key.",
        "law 9; idempotency.completed.same",
        "idemkit, django-idem-key and drf-idem run 4xx again; idempotency4j#45",
        ("idempotency.kept.409",),
        ConflictNotKept,
    ),
    VisibleBug(
        "unknown-not-kept",
        "A 404 leaves no record, so its key is free for another request.",
        "law 9; idempotency.completed.other",
        "idemkit, django-idem-key and drf-idem run 4xx again",
        ("idempotency.kept.404",),
        UnknownNotKept,
    ),
    VisibleBug(
        "bad-request-frozen",
        "A malformed request burns its key: the corrected one gets the same 400.",
        "law 12; idempotency.absent",
        "powertools-python#3821",
        ("idempotency.not-kept.400",),
        BadRequestFrozen,
    ),
    VisibleBug(
        "limit-frozen",
        "A 429 is kept under the key, so the retry is refused for 24 hours.",
        "idempotency.absent",
        "snok, fastapi-idempotency and drf-idempotency freeze it; codatio/codat-docs#1842",
        ("idempotency.not-kept.429",),
        LimitFrozen,
    ),
    VisibleBug(
        "replay-serialised-again",
        "A replay is parsed and printed again, so its bytes differ.",
        "law 9",
        "snok; actor-ts#1308",
        ("idempotency.replay.initiate",),
        ReplaySerialisedAgain,
    ),
    VisibleBug(
        "replay-is-always-200",
        "A replay has the status 200, whatever the first answer had.",
        "law 9",
        "yoyowallet#25",
        ("idempotency.at-once.charged-once",),
        ReplayIsAlways200,
    ),
    VisibleBug(
        "replay-is-a-conflict",
        "A replay has the status 409.",
        "law 9",
        "yoyowallet#36, django-idem-key",
        ("idempotency.at-once.charged-once",),
        ReplayIsConflict,
    ),
    VisibleBug(
        "replay-loses-headers",
        "A replay lacks a header of the first answer.",
        "law 9",
        "IdempotentAPI#85, concerns_on_rails#47",
        ("idempotency.replay.initiate",),
        ReplayLosesHeaders,
    ),
    VisibleBug(
        "replay-marked",
        "A replay carries a header of its own.",
        "law 9",
        "KeeperHub/keeperhub#1849 asks for it; Stripe does it",
        ("idempotency.replay.initiate",),
        ReplayMarked,
    ),
    VisibleBug(
        "replay-marked-inside",
        "A replay carries a member of its own.",
        "law 9; law 13",
        "KeeperHub/keeperhub#1849",
        ("idempotency.replay.initiate",),
        ReplayMarkedInside,
    ),
    VisibleBug(
        "replay-shows-the-latest",
        "A replay shows the connection as it is now and not as it was answered.",
        "law 9",
        "PayPal, AIP-155 and EC2 answer the latest state",
        ("idempotency.replay.after-all-moved",),
        ReplayShowsTheLatest,
    ),
    VisibleBug(
        "cookie-replayed",
        "A replay sets the cookie of the first caller's session.",
        "law 9, kept headers",
        "granit-dotnet#1151; fastidempotent and django-idem-key do it",
        ("idempotency.cookies",),
        CookieReplayed,
    ),
    VisibleBug(
        "date-replayed",
        "A replay carries the date of the first answer.",
        "law 9, kept headers",
        "",
        ("idempotency.dates",),
        DateReplayed,
    ),
    VisibleBug(
        "limit-before-key",
        "At the limit a retry is refused, and the lost answer cannot be learned.",
        "law 9; request.idempotency",
        "Stripe asks the limiter first",
        ("idempotency.replay-is-free",),
        LimitBeforeKey,
    ),
    VisibleBug(
        "replay-charges-the-user",
        "Every replay counts as one of the app user's initiates.",
        "law 9",
        "",
        ("idempotency.at-once.charged-once",),
        ReplayChargesTheUser,
    ),
    VisibleBug(
        "lookup-locked-alone",
        "The record is looked up under a lock and written without one: duplicates at once run.",
        "law 12",
        "yoyowallet PR#61: five of five ran; django-idem-key and drf-idem",
        ("idempotency.at-once.create",),
        LookupLockedAlone,
        slowly=True,
    ),
)
"""What is wrong with replays."""
