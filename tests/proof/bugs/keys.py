"""Servers with wrong idempotency keys: their owner, the requests that they match, their syntax."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.rules.idempotency import Fingerprint, IdempotencyKey, Record, RecordKey
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RecordWrite, Write
from curae_lifecycle.web.request import Request, header_values
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import ANYBODY, Service, code_of, collated, with_members

# --- Owners ----------------------------------------------------------------------------------


class _Rekeyed(Service):
    """A server that stores idempotency records under other keys than the rules."""

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
        return attrs.evolve(key, owner=ANYBODY)


class KeySharedInAnAccount(_Rekeyed):
    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        account = call.caller.customer_account_id
        return attrs.evolve(key, owner=attrs.evolve(ANYBODY, customer_account_id=account))


class KeyKnownByItsIdAlone(_Rekeyed):
    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        owner = attrs.evolve(ANYBODY, api_key_id=call.caller.api_key_id)
        return attrs.evolve(key, owner=owner)


class KeyPerOperation(_Rekeyed):
    def record_key(self, call: Call, key: RecordKey) -> RecordKey:
        name = call.operation.rule.name
        return attrs.evolve(key, key=IdempotencyKey(f"{name}:{key.key}"))


# --- The same request ------------------------------------------------------------------------


class Compared(Service):
    """A server that compares another fingerprint than the stored one."""

    compares = False

    def compared(self, call: Call, record: Record) -> Record | None:
        del call
        return record

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if snapshot.record is None:
            return snapshot
        return attrs.evolve(snapshot, record=self.compared(call, snapshot.record))


class BodyNotCompared(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        own = fingerprint(call.operation)
        same = own.operation == record.fingerprint.operation
        return attrs.evolve(record, fingerprint=own) if same else record


class PathIdNotCompared(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        own = fingerprint(call.operation)
        same = own.operation == record.fingerprint.operation
        by_id = isinstance(call.operation, Reconnect | Revoke)
        return attrs.evolve(record, fingerprint=own) if same and by_id else record


class NothingCompared(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        return attrs.evolve(record, fingerprint=fingerprint(call.operation))


class OtherBodyExecutes(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        return record if record.fingerprint == fingerprint(call.operation) else None


class KeyIgnored(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        del call, record
        return None


class TextCompared(Compared):
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
        return attrs.evolve(record, fingerprint=Fingerprint.of(record.fingerprint.operation, ["-"]))


class TwinsCompared(Compared):
    def compared(self, call: Call, record: Record) -> Record | None:
        operation = call.operation
        if not isinstance(operation, CreateConnection):
            return record
        # The record has a digest of the first body, so every user id that folds alike is tried.
        own = collated(call.caller.coordinate(operation.app_user_id))
        twins = [
            fingerprint(attrs.evolve(operation, app_user_id=user))
            for user in self.users
            if collated(call.caller.coordinate(user)) == own
        ]
        if record.fingerprint in twins:
            return attrs.evolve(record, fingerprint=fingerprint(operation))
        return record

    def load(self, call: Call) -> Snapshot:
        if isinstance(call.operation, CreateConnection):
            self.users.add(call.operation.app_user_id)
        return super().load(call)

    def __init__(self) -> None:
        super().__init__()
        self.users: set[AppUserId] = set()


class AbsentIsNotFalse(TextCompared):
    def essence(self, body: bytes) -> bytes:
        return b"given" if b"preferSignup" in body else b"absent"


class ReusedIsConflict(Service):
    def answered(self, response: Response) -> Response:
        if code_of(response) == "IDEMPOTENCY_KEY_REUSED":
            return attrs.evolve(with_members(response, "", status=409), status=409)
        return response


class ReusedShowsTheValues(Service):
    def answered(self, response: Response) -> Response:
        if code_of(response) == "IDEMPOTENCY_KEY_REUSED":
            return with_members(response, "details", first={"appUserId": "user"})
        return response


# --- Reading the key -------------------------------------------------------------------------


class _RereadKey(Service):
    """A server with its own parser of the `Idempotency-Key` headers."""

    def key_values(self, values: list[str]) -> list[str]:
        return values

    def read(self, request: Request, now: datetime) -> Call | Decision:
        others = tuple(pair for pair in request.headers if pair[0].lower() != "idempotency-key")
        values = self.key_values(header_values(request, "idempotency-key"))
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


class KeyCutToItsColumn(_RereadKey):
    def key_values(self, values: list[str]) -> list[str]:
        return [value[:128] if len(value) < 256 else value for value in values]


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


BUGS: Final = (
    VisibleBug(
        name="key-shared-by-all",
        wrong="Idempotency keys are looked up without the API key: a stranger gets the answer.",
        breaks="law 15; idempotency.completed.same, per API key",
        seen="arun0009/idempotent#217, paveg/hono-idempotency#126, idempotency4j#9",
        found_by=("idempotency.scope",),
        make=KeySharedByAll,
    ),
    VisibleBug(
        name="key-shared-in-an-account",
        wrong="All API keys of one customer account share their idempotency keys.",
        breaks="idempotency.completed.same, per API key",
        seen="titen#37, devlink#773",
        found_by=("idempotency.scope",),
        make=KeySharedInAnAccount,
    ),
    VisibleBug(
        name="key-per-operation",
        wrong="The same key on another path executes.",
        breaks="idempotency.completed.other",
        seen="idemkit, fastidempotent and Restate look the path up with the key",
        found_by=("limit.costs-nothing",),
        make=KeyPerOperation,
    ),
    VisibleBug(
        name="body-not-compared",
        wrong="The same key with another body gets the first one's answer.",
        breaks="idempotency.completed.other",
        seen="snok replays the wrong answer",
        found_by=(
            "idempotency.completed.other",
            "idempotency.other-request.tells-no-values",
        ),
        make=BodyNotCompared,
    ),
    VisibleBug(
        name="path-id-not-compared",
        wrong="The same key for another connection gets the first one's answer.",
        breaks="idempotency.completed.other",
        seen="theam/facility#196",
        found_by=("idempotency.other-request.path",),
        make=PathIdNotCompared,
    ),
    VisibleBug(
        name="nothing-compared",
        wrong="The same key gets the first answer, whatever is asked.",
        breaks="idempotency.completed.other",
        seen="snok and Modern Treasury compare nothing of the request",
        found_by=(
            "idempotency.completed.other",
            "idempotency.other-request.tells-no-values",
        ),
        make=NothingCompared,
    ),
    VisibleBug(
        name="other-body-executes",
        wrong="The same key with another body executes that body.",
        breaks="idempotency.completed.other",
        seen="django-idem-key and drf-idem execute",
        found_by=(
            "idempotency.completed.other",
            "idempotency.other-request.tells-no-values",
        ),
        make=OtherBodyExecutes,
    ),
    VisibleBug(
        name="key-ignored",
        wrong="A retry executes again.",
        breaks="law 12; idempotency.completed.same",
        seen="drf-idem runs the same request twice",
        found_by=("idempotency.at-once.charged-once",),
        make=KeyIgnored,
    ),
    VisibleBug(
        name="text-compared",
        wrong="The fingerprint is of the body's text, so another order of members is another request.",
        breaks="idempotency.completed.same",
        seen="idempo#21, fineract#5674",
        found_by=("idempotency.same-request.order-of-members",),
        make=TextCompared,
    ),
    VisibleBug(
        name="absent-is-not-false",
        wrong="An absent preferSignup and a false one are different requests.",
        breaks="idempotency.completed.same",
        seen="fineract#5674",
        found_by=("idempotency.same-request.false-preference",),
        make=AbsentIsNotFalse,
    ),
    VisibleBug(
        name="reused-is-a-conflict",
        wrong="A reused key is answered with 409.",
        breaks="problem.key-reused",
        seen="fastapi-idempotency-key, fastidempotent and snok answer 409",
        found_by=("idempotency.other-request.tells-no-values",),
        make=ReusedIsConflict,
    ),
    VisibleBug(
        name="reused-shows-the-values",
        wrong="The refusal of a reused key shows what the first request said.",
        breaks="law 13; problem.key-reused",
        found_by=("idempotency.other-request.preference",),
        make=ReusedShowsTheValues,
    ),
    VisibleBug(
        name="key-optional",
        wrong="A mutation without a key executes.",
        breaks="request.key-required",
        seen="snok, idemkit and drf-idem execute twice",
        found_by=("request.key-required",),
        make=KeyOptional,
    ),
    VisibleBug(
        name="anonymous-key",
        wrong="An empty key is read as a constant one.",
        breaks="request.key-invalid",
        seen="Truxify#2382, devlink#773",
        found_by=("request.key-invalid",),
        make=AnonymousKey,
    ),
    VisibleBug(
        name="long-key-cut",
        wrong="A key of more than 255 characters is cut, so that two keys become one.",
        breaks="request.key-invalid",
        seen="snok and fastapi-idempotency-key take any length",
        found_by=("request.key-invalid",),
        make=LongKeyCut,
    ),
    VisibleBug(
        name="quoted-is-another",
        wrong="A key in quotes is another key than the same one without.",
        breaks="idempotency.completed.same",
        seen="all the libraries that were run but idemkit",
        found_by=("idempotency.same-key.quoted",),
        make=QuotedIsAnother,
    ),
    VisibleBug(
        name="first-of-two-keys",
        wrong="Of two key headers the first one counts.",
        breaks="request.key-invalid",
        found_by=("request.key-invalid",),
        make=FirstOfTwoKeys,
    ),
    VisibleBug(
        name="case-folded-key",
        wrong="Keys that differ in their case are one key.",
        breaks="idempotency.absent",
        found_by=("idempotency.other-key.case",),
        make=CaseFoldedKey,
    ),
    VisibleBug(
        name="graduation-takes-a-key",
        wrong="A graduation hand-off takes an idempotency key and does nothing with it.",
        breaks="request.key-not-allowed",
        found_by=("request.key-not-allowed",),
        make=GraduationTakesAKey,
    ),
    VisibleBug(
        name="key-known-by-its-id-alone",
        wrong="An API key that is registered again for another owner replays the old owner's answers.",
        breaks="section 4, scope",
        found_by=("idempotency.scope.owner",),
        make=KeyKnownByItsIdAlone,
    ),
    VisibleBug(
        name="twins-compared",
        wrong="Bodies are compared by a collation: another user's request gets the first one's answer.",
        breaks="idempotency.completed.other",
        found_by=("idempotency.other-request.twins",),
        make=TwinsCompared,
    ),
    VisibleBug(
        name="key-cut-to-its-column",
        wrong="Keys are kept in a column of 128 characters, so that two longer ones become one.",
        breaks="section 4, a key",
        found_by=("idempotency.other-key.last-character",),
        make=KeyCutToItsColumn,
    ),
)
"""The seeded bugs about idempotency keys."""
