"""Servers that get idempotency wrong: whose key it is, what is the same, what is kept."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.rules.idempotency import Fingerprint, IdempotencyKey, Record, RecordKey
from curae_lifecycle.rules.merge import RANK
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT
from curae_lifecycle.rules.values import HOUR, ApiKeyId, ConnectionId, elapsed
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes, RecordWrite, Write
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.web.request import Request, header
from curae_lifecycle.web.respond import Answer
from curae_lifecycle.web.shapes import format_connection
from tests.bugs.bug import VisibleBug
from tests.bugs.service import (
    Service,
    code_of,
    document,
    http_date,
    part,
    with_body,
    with_header,
    with_members,
    without_header,
)

# --- Whose key --------------------------------------------------------------------------------


class _Rekeyed(Service):
    """Stores its idempotency records under other keys than the rules say."""

    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        del call
        return key

    def asked(self, call: Call) -> Needs:
        asked = super().asked(call)
        if asked.record is None:
            return asked
        return attrs.evolve(asked, record=self.record_key(call, asked.record))

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        own = super().asked(call).record
        if snapshot.record is None or own is None:
            return snapshot
        return attrs.evolve(snapshot, record=attrs.evolve(snapshot.record, key=own))

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is not None:
            writes = tuple(self._moved(call, write) for write in writes)
        return super().store(call, writes)

    def _moved(self, call: Call, write: Write) -> Write:
        if not isinstance(write, RecordWrite):
            return write
        key = self.record_key(call, write.key)
        before = None if write.before is None else attrs.evolve(write.before, key=key)
        return RecordWrite(key, before, attrs.evolve(write.after, key=key))


class KeySharedByAll(_Rekeyed):
    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        del call
        return attrs.evolve(key, api_key_id=ApiKeyId("anonymous"))


class KeySharedInAnAccount(_Rekeyed):
    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        account = call.caller.customer_account_id
        return attrs.evolve(key, api_key_id=ApiKeyId(f"account {account}"))


class KeyPerOperation(_Rekeyed):
    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        name = call.operation.rule.name
        return attrs.evolve(key, key=IdempotencyKey(f"{name}:{key.key}"))


# --- The same request -------------------------------------------------------------------------


class _Compared(Service):
    """Sees another fingerprint in the record than the one that was stored."""

    compares = False

    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return record

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if snapshot.record is None:
            return snapshot
        return attrs.evolve(snapshot, record=self.compared(call, snapshot.record))


class BodyNotCompared(_Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        own = fingerprint(call.operation)
        same = own.operation == record.fingerprint.operation
        return attrs.evolve(record, fingerprint=own) if same else record


class PathIdNotCompared(_Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        own = fingerprint(call.operation)
        same = own.operation == record.fingerprint.operation
        by_id = isinstance(call.operation, Reconnect | Revoke)
        return attrs.evolve(record, fingerprint=own) if same and by_id else record


class NothingCompared(_Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        return attrs.evolve(record, fingerprint=fingerprint(call.operation))


class OtherBodyExecutes(_Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        return record if record.fingerprint == fingerprint(call.operation) else None


class KeyIgnored(_Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call, record
        return None


class TextCompared(_Compared):
    def __init__(self) -> None:
        super().__init__()
        self.text = b""
        self.texts: dict[RecordKey, bytes] = {}

    def essence(self, body: bytes) -> bytes:
        return body

    def read(self, request: Request, now: datetime) -> Call | Decision:
        self.text = self.essence(request.body) if isinstance(request.body, bytes) else b""
        return super().read(request, now)

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        asked = self.asked(call).record
        if asked is not None and snapshot.record is None:
            self.texts[asked] = self.text
        return snapshot

    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        if self.texts[record.key] == self.text:
            return record
        return attrs.evolve(record, fingerprint=Fingerprint.of(record.fingerprint.operation, "-"))


class AbsentIsNotFalse(TextCompared):
    def essence(self, body: bytes) -> bytes:
        return b"told" if b"preferSignup" in body else b"absent"


class ReusedIsConflict(Service):
    def answered(self, response: Response) -> Response:
        if code_of(response) == "IDEMPOTENCY_KEY_REUSED":
            return attrs.evolve(with_members(response, "", status=409), status=409)
        return response


class ReusedTellsTheValues(Service):
    def answered(self, response: Response) -> Response:
        if code_of(response) == "IDEMPOTENCY_KEY_REUSED":
            return with_members(response, "details", first={"appUserId": "user"})
        return response


# --- Reading the key --------------------------------------------------------------------------


class _RereadKey(Service):
    """Reads the `Idempotency-Key` headers in its own way."""

    def key_values(self, values: list[str]) -> list[str]:
        return values

    def read(self, request: Request, now: datetime) -> Call | Decision:
        others = tuple(pair for pair in request.headers if pair[0].lower() != "idempotency-key")
        values = self.key_values(header(request, "idempotency-key"))
        keys = tuple(("idempotency-key", value) for value in values)
        if request.target.endswith("graduation-handoff"):
            return super().read(request, now)
        return super().read(attrs.evolve(request, headers=(*others, *keys)), now)


class KeyOptional(_RereadKey):
    def __init__(self) -> None:
        super().__init__()
        self.made = count()

    def key_values(self, values: list[str]) -> list[str]:
        return values or [f"made-{next(self.made)}"]


class AnonymousKey(_RereadKey):
    def key_values(self, values: list[str]) -> list[str]:
        return [value or "anonymous" for value in values]


class LongKeyCut(_RereadKey):
    def key_values(self, values: list[str]) -> list[str]:
        return [value[:255] for value in values]


class QuotedIsAnother(_RereadKey):
    def key_values(self, values: list[str]) -> list[str]:
        return [value.replace('"', "%22") for value in values]


class FirstOfTwoKeys(_RereadKey):
    def key_values(self, values: list[str]) -> list[str]:
        return values[:1]


class CaseFoldedKey(_RereadKey):
    def key_values(self, values: list[str]) -> list[str]:
        return [value.lower() for value in values]


class GraduationTakesAKey(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        if request.target.endswith("graduation-handoff"):
            kept = tuple(pair for pair in request.headers if pair[0].lower() != "idempotency-key")
            request = attrs.evolve(request, headers=kept)
        return super().read(request, now)


# --- How long, and what is kept ---------------------------------------------------------------


class RetentionSlides(Service):
    def load(self, call: Call) -> Snapshot:
        asked = self.asked(call).record
        record = None if asked is None else self.world._records.get(asked)
        if record is not None:
            self.world._records[record.key] = attrs.evolve(record, first_used_at=self.now())
        return super().load(call)


class RetentionOfAnHour(_Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return record if elapsed(record.first_used_at, self.now()) < HOUR else None


class KeptForEver(_Compared):
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


# --- The replay -------------------------------------------------------------------------------


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
        latest = self.world.connection(shown)
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


# --- At the same time -------------------------------------------------------------------------


class LookupLockedAlone(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            if isinstance(write, RecordWrite):
                self.world._set(self._over_what_is_there(write))
        return super().store(
            call, tuple(write for write in writes if not isinstance(write, RecordWrite))
        )


BUGS: Final = (
    VisibleBug(
        "key-shared-by-all",
        "Idempotency keys are looked up without the API key: a stranger gets the answer.",
        "law 15; idempotency.completed.same, per API key",
        "arun0009/idempotent#217, paveg/hono-idempotency#126, idempotency4j#9",
        ("idempotency.scope",),
        KeySharedByAll,
    ),
    VisibleBug(
        "key-shared-in-an-account",
        "All API keys of one customer account share their idempotency keys.",
        "idempotency.completed.same, per API key",
        "titen#37, devlink#773",
        ("idempotency.scope",),
        KeySharedInAnAccount,
    ),
    VisibleBug(
        "key-per-operation",
        "The same key on another path executes.",
        "idempotency.completed.other",
        "idemkit, fastidempotent and Restate look the path up with the key",
        ("limit.costs-nothing",),
        KeyPerOperation,
    ),
    VisibleBug(
        "body-not-compared",
        "The same key with another body gets the first one's answer.",
        "idempotency.completed.other",
        "snok replays the wrong answer",
        (
            "idempotency.completed.other",
            "idempotency.other-request.tells-no-values",
        ),
        BodyNotCompared,
    ),
    VisibleBug(
        "path-id-not-compared",
        "The same key for another connection gets the first one's answer.",
        "idempotency.completed.other",
        "theam/facility#196",
        ("idempotency.other-request.path",),
        PathIdNotCompared,
    ),
    VisibleBug(
        "nothing-compared",
        "The same key gets the first answer, whatever is asked.",
        "idempotency.completed.other",
        "snok and Modern Treasury compare nothing of the request",
        (
            "idempotency.completed.other",
            "idempotency.other-request.tells-no-values",
        ),
        NothingCompared,
    ),
    VisibleBug(
        "other-body-executes",
        "The same key with another body executes that body.",
        "idempotency.completed.other",
        "django-idem-key and drf-idem execute",
        (
            "idempotency.completed.other",
            "idempotency.other-request.tells-no-values",
        ),
        OtherBodyExecutes,
    ),
    VisibleBug(
        "key-ignored",
        "A retry executes again.",
        "law 12; idempotency.completed.same",
        "drf-idem runs the same request twice",
        ("idempotency.at-once.charged-once",),
        KeyIgnored,
    ),
    VisibleBug(
        "text-compared",
        "The fingerprint is of the body's text, so another order of members is another request.",
        "idempotency.completed.same",
        "idempo#21, fineract#5674",
        ("idempotency.same-request.order-of-members",),
        TextCompared,
    ),
    VisibleBug(
        "absent-is-not-false",
        "An absent preferSignup and a false one are different requests.",
        "idempotency.completed.same",
        "fineract#5674",
        ("idempotency.same-request.false-preference",),
        AbsentIsNotFalse,
    ),
    VisibleBug(
        "reused-is-a-conflict",
        "A reused key is answered with 409.",
        "problem.key-reused",
        "fastapi-idempotency-key, fastidempotent and snok answer 409",
        ("idempotency.other-request.tells-no-values",),
        ReusedIsConflict,
    ),
    VisibleBug(
        "reused-tells-the-values",
        "The refusal of a reused key tells what the first request said.",
        "law 13; problem.key-reused",
        "",
        ("idempotency.other-request.preference",),
        ReusedTellsTheValues,
    ),
    VisibleBug(
        "key-optional",
        "A mutation without a key executes.",
        "request.key-required",
        "snok, idemkit and drf-idem execute twice",
        ("request.key-required",),
        KeyOptional,
    ),
    VisibleBug(
        "anonymous-key",
        "An empty key is read as a constant one.",
        "request.key-invalid",
        "Truxify#2382, devlink#773",
        ("request.key-invalid",),
        AnonymousKey,
    ),
    VisibleBug(
        "long-key-cut",
        "A key of more than 255 characters is cut, so that two keys become one.",
        "request.key-invalid",
        "snok and fastapi-idempotency-key take any length",
        ("request.key-invalid",),
        LongKeyCut,
    ),
    VisibleBug(
        "quoted-is-another",
        "A key in quotes is another key than the same one without.",
        "idempotency.completed.same",
        "all the libraries that were run but idemkit",
        ("idempotency.same-key.quoted",),
        QuotedIsAnother,
    ),
    VisibleBug(
        "first-of-two-keys",
        "Of two key headers the first one counts.",
        "request.key-invalid",
        "",
        ("request.key-invalid",),
        FirstOfTwoKeys,
    ),
    VisibleBug(
        "case-folded-key",
        "Keys that differ in their case are one key.",
        "idempotency.absent",
        "",
        ("idempotency.other-key.case",),
        CaseFoldedKey,
    ),
    VisibleBug(
        "graduation-takes-a-key",
        "A graduation hand-off takes an idempotency key and does nothing with it.",
        "request.key-not-allowed",
        "",
        ("request.key-not-allowed",),
        GraduationTakesAKey,
    ),
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
        "laws 9 and 13",
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
"""What is wrong with idempotency."""
