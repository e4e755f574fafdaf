"""Benchmarks of idempotency keys: the first use of a key, and a retry with the same request.

The first use stores the response, and the retry gets it again. The request itself does no work.
Ours and the floor, the least code that could do the work, are given the instant; the peers read the
clock themselves. Each side stores its records in a dict.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Coroutine
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import attrs

from benchmarks.measure import Row, Side, Work
from benchmarks.rows.subjects import CALLER, NOW, SOON
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    Record,
    RecordKey,
    begin_attempt,
    completed_record,
)
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.values import HOUR, to_epoch_microseconds
from curae_lifecycle.service.response import Response

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency import BasePersistenceLayer
    from fastapi_idempotency_key import MemoryBackend

_Answer = TypeVar("_Answer")

PATH: Final = "/api/sdk/v1/curae-connect/initiate"
BODY: Final = b'{"appUserId": "user-1"}'
ANSWER: Final = b'{"session": {"id": "50000000-0000-4000-8000-000000000001", "path": "A"}}'
HEADERS: Final = (("content-type", "application/json"), ("cache-control", "no-store"))
RESPONSE: Final = Response(201, HEADERS, ANSWER)
DAY: Final = 86_400


def keys(calls: int) -> list[str]:
    """Return that many different idempotency keys."""
    return [f"0b7c1b2a-9a43-4b0f-8a57-{number:012}" for number in range(calls)]


# --- Ours -------------------------------------------------------------------------------------

_Records = dict[RecordKey, Record]


def _first(records: _Records, key: str) -> Record | None:
    asked = RecordKey(CALLER.key_owner, IdempotencyKey(key))
    begun = begin_attempt(
        records.get(asked),
        key=asked,
        fingerprint=Fingerprint.of("initiate", ["user-1", "false"]),
        now=NOW,
    )
    if not isinstance(begun, Attempt):
        return None
    kept = completed_record(begun, RESPONSE)
    records[asked] = kept
    return kept


def _ours_fresh(calls: int) -> Work:
    records, asking = _Records(), iter(keys(calls))
    return lambda: _first(records, next(asking))


def _ours_replay(calls: int) -> Work:
    records, asking = _Records(), iter(keys(calls))
    for key in keys(calls):
        _first(records, key)

    def work() -> Attempt | KnownResponse | Refused:
        asked = RecordKey(CALLER.key_owner, IdempotencyKey(next(asking)))
        fingerprint = Fingerprint.of("initiate", ["user-1", "false"])
        return begin_attempt(records.get(asked), key=asked, fingerprint=fingerprint, now=SOON)

    return work


def _ours_answer(answer: object) -> str:
    match answer:
        case Record(response=Response(status, _, body)):
            return f"kept {status} {len(body)}"
        case KnownResponse(Response(status, _, body)):
            return f"again {status} {len(body)}"
        case _:
            return type(answer).__name__


# --- The floors -------------------------------------------------------------------------------


@attrs.frozen
class _Stored:
    key: tuple[str, str]
    fingerprint: str
    state: str
    token: int
    first_used_at: int
    seen_at: int
    lease_until: int | None
    response: Response


def _digest(*values: str) -> str:
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


def _kept(records: dict[tuple[str, str], _Stored], key: str, now: int) -> Response | None:
    asked = ("key-1", key)
    fingerprint = _digest("initiate", "user-1", "false")
    if asked in records:
        return None
    records[asked] = _Stored(asked, fingerprint, "COMPLETED", 1, now, now, None, RESPONSE)
    return RESPONSE


def _floor_fresh(calls: int) -> Work:
    records, asking = dict[tuple[str, str], _Stored](), iter(keys(calls))
    now = to_epoch_microseconds(NOW)
    return lambda: _kept(records, next(asking), now)


def _floor_replay(calls: int) -> Work:
    records, asking = dict[tuple[str, str], _Stored](), iter(keys(calls))
    for key in keys(calls):
        _kept(records, key, to_epoch_microseconds(NOW))
    now = to_epoch_microseconds(SOON)

    def work() -> Response | None:
        record = records["key-1", next(asking)]
        fingerprint = _digest("initiate", "user-1", "false")
        if now - record.first_used_at < 24 * HOUR and fingerprint == record.fingerprint:
            return record.response
        return None

    return work


def _floor_answer(word: str) -> Callable[[object], str]:
    def says(answer: object) -> str:
        assert isinstance(answer, Response)
        return f"{word} {answer.status} {len(answer.body)}"

    return says


# --- fastapi-idempotency-key, through its functions and not its middleware --------------------


def _run(work: Coroutine[object, object, _Answer]) -> _Answer:
    # The peer's memory store never waits, so no event loop is needed.
    try:
        work.send(None)
    except StopIteration as done:
        answer: _Answer = done.value
        return answer
    raise AssertionError("the coroutine waits")


async def _fastapi_first(backend: MemoryBackend, key: str) -> str:
    from fastapi_idempotency_key import calculate_request_fingerprint

    fingerprint = calculate_request_fingerprint("POST", PATH, "", BODY)
    acquired, _ = await backend.try_lock(key, fingerprint, DAY, 0.0)
    if not acquired:
        return "known"
    await backend.store_response(key, 201, list(HEADERS), ANSWER, DAY)
    return f"kept 201 {len(ANSWER)}"


async def _fastapi_again(backend: MemoryBackend, key: str) -> str:
    from fastapi_idempotency_key import calculate_request_fingerprint

    fingerprint = calculate_request_fingerprint("POST", PATH, "", BODY)
    acquired, record = await backend.try_lock(key, fingerprint, DAY, 0.0)
    if acquired or record is None or record.fingerprint != fingerprint:
        return "fresh"
    return f"again {record.status_code} {len(record.body)}"


def _fastapi_fresh(calls: int) -> Work:
    from fastapi_idempotency_key import MemoryBackend

    backend, asking = MemoryBackend(), iter(keys(calls))
    return lambda: _run(_fastapi_first(backend, next(asking)))


def _fastapi_replay(calls: int) -> Work:
    from fastapi_idempotency_key import MemoryBackend

    backend, asking = MemoryBackend(), iter(keys(calls))
    for key in keys(calls):
        _run(_fastapi_first(backend, key))
    return lambda: _run(_fastapi_again(backend, next(asking)))


# --- idempotency ------------------------------------------------------------------------------


def _decorated(word: list[str]) -> Callable[[str], dict[str, object]]:
    from idempotency import MemoryStore, idempotent

    def initiate(key: str) -> dict[str, object]:
        del key
        word[0] = "kept"
        return {"status": 201, "body": ANSWER.decode()}

    once: Callable[[str], dict[str, object]]
    once = idempotent(ttl=DAY, store=MemoryStore(), key=lambda key: key)(initiate)
    return once


def _decorated_fresh(calls: int) -> Work:
    word, asking = ["again"], iter(keys(calls))
    initiate = _decorated(word)
    return lambda: (word, initiate(next(asking)))


def _decorated_replay(calls: int) -> Work:
    word, asking = ["again"], iter(keys(calls))
    initiate = _decorated(word)
    for key in keys(calls):
        initiate(key)
    word[0] = "again"
    return lambda: (word, initiate(next(asking)))


def _decorated_answer(answer: object) -> str:
    assert isinstance(answer, tuple)
    (word,), kept = answer
    return f"{word} {kept['status']} {len(kept['body'])}"


# --- Powertools for AWS Lambda ----------------------------------------------------------------


@cache
def _layer() -> type[BasePersistenceLayer]:
    from aws_lambda_powertools.utilities.idempotency import BasePersistenceLayer
    from aws_lambda_powertools.utilities.idempotency.exceptions import (
        IdempotencyItemAlreadyExistsError,
        IdempotencyItemNotFoundError,
    )
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import (
        DataRecord,
    )

    class InMemory(BasePersistenceLayer):
        """A persistence layer in a dict.

        It does as little as the peer's layer for DynamoDB does besides its two calls.
        """

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]  # the peer's, untyped
            self.records: dict[str, DataRecord] = {}

        def _get_record(self, idempotency_key: str) -> DataRecord:
            try:
                return self.records[idempotency_key]
            except KeyError:
                raise IdempotencyItemNotFoundError from None

        def _put_record(self, data_record: DataRecord) -> None:
            old = self.records.get(data_record.idempotency_key)
            if old is not None and not old.is_expired:
                raise IdempotencyItemAlreadyExistsError(old_data_record=old)
            self.records[data_record.idempotency_key] = data_record

        def _update_record(self, data_record: DataRecord) -> None:
            self.records[data_record.idempotency_key] = data_record

        def _delete_record(self, data_record: DataRecord) -> None:
            del self.records[data_record.idempotency_key]

    return InMemory


class _Initiate(Protocol):
    def __call__(self, *, request: dict[str, object]) -> object: ...


def _powertools(word: list[str]) -> Callable[[str], object]:
    from aws_lambda_powertools.utilities.idempotency import (
        IdempotencyConfig,
        idempotent_function,
    )

    config = IdempotencyConfig(
        event_key_jmespath="key",
        payload_validation_jmespath="[appUserId, preferSignup]",
        expires_after_seconds=DAY,
    )

    def initiate(*, request: dict[str, object]) -> dict[str, object]:
        del request
        word[0] = "kept"
        return {"status": 201, "body": ANSWER.decode()}

    # Outside of AWS Lambda the peer warns at each call.
    warnings.filterwarnings("ignore", message="Couldn't determine the remaining time left")
    request: dict[str, object] = {"appUserId": "user-1", "preferSignup": False}
    store = _layer()()
    once: _Initiate = idempotent_function(
        initiate, data_keyword_argument="request", persistence_store=store, config=config
    )

    def ask(key: str) -> object:
        return once(request={"key": key, **request})

    return ask


def _powertools_fresh(calls: int) -> Work:
    word, asking = ["again"], iter(keys(calls))
    initiate = _powertools(word)
    return lambda: (word, initiate(next(asking)))


def _powertools_replay(calls: int) -> Work:
    word, asking = ["again"], iter(keys(calls))
    initiate = _powertools(word)
    for key in keys(calls):
        initiate(key)
    word[0] = "again"
    return lambda: (word, initiate(next(asking)))


# --- The rows ---------------------------------------------------------------------------------


def rows() -> list[Row]:
    """Return the rows of idempotency keys."""
    fastapi, decorated = "fastapi-idempotency-key", "idempotency"
    powertools = "aws-lambda-powertools"
    no_owner = "no owner of a key"
    not_compared = "no owner of a key, and another request with the same key is not noticed"
    no_race = "one thread only, no owner of a key, no lease"
    return [
        Row(
            family="idempotency",
            name="a key's first use, and its answer kept",
            answer=f"kept 201 {len(ANSWER)}",
            sides=(
                Side("ours", _ours_fresh, _ours_answer),
                Side(
                    name="floor: sha256, a dict, a value",
                    make=_floor_fresh,
                    says=_floor_answer("kept"),
                    lacks=no_race,
                ),
                Side(name=fastapi, make=_fastapi_fresh, says=str, lacks=no_owner, package=fastapi),
                Side(
                    name=decorated,
                    make=_decorated_fresh,
                    says=_decorated_answer,
                    lacks=not_compared,
                    package=decorated,
                ),
                Side(
                    name=powertools,
                    make=_powertools_fresh,
                    says=_decorated_answer,
                    lacks=no_owner,
                    package=powertools,
                ),
            ),
        ),
        Row(
            family="idempotency",
            name="the same request again, and its answer found",
            answer=f"again 201 {len(ANSWER)}",
            sides=(
                Side("ours", _ours_replay, _ours_answer),
                Side(
                    name="floor: sha256 and a dict",
                    make=_floor_replay,
                    says=_floor_answer("again"),
                    lacks=no_race,
                ),
                Side(name=fastapi, make=_fastapi_replay, says=str, lacks=no_owner, package=fastapi),
                Side(
                    name=decorated,
                    make=_decorated_replay,
                    says=_decorated_answer,
                    lacks=not_compared,
                    package=decorated,
                ),
                Side(
                    name=powertools,
                    make=_powertools_replay,
                    says=_decorated_answer,
                    lacks=no_owner,
                    package=powertools,
                ),
            ),
        ),
    ]
