"""Benchmarks of stored values: in the memory store, and as the JSON of other stores.

The floor of the JSON is the least code that could do the work: it only parses or writes the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from benchmarks.measure import Row, Side, Work
from benchmarks.rows.limits import full_log, limits_hits
from benchmarks.rows.requests import initiate_request, stored_record
from benchmarks.rows.subjects import (
    API_KEY,
    CALLER,
    COORDINATE,
    NOW,
    USER,
    new_ids,
    print_json,
)
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, LogState, admit_one, fresh_state
from curae_lifecycle.rules.values import AppUser, AppUserId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.outbox import Message, messages
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.web.json import format_json, parse_json
from curae_lifecycle.web.respond import Answer

# --- The store in memory ----------------------------------------------------------------------


_CHARGED = 9
"""The number of charges of each log before the measured one; there is room for one more."""


def limit_key(number: int) -> LimitKey:
    """Return the key of a user's log."""
    user = AppUserId(f"user-{number}")
    return LimitKey(
        AppUser(COORDINATE.environment, COORDINATE.customer_account_id, user), "initiate"
    )


def charge(store: MemoryStore, key: LimitKey) -> bool:
    """Load a user's log, charge it and store it; return False on a refusal or a conflict."""
    loaded = store.load(Needs(limit=key))
    before = loaded.snapshot.limit
    log = fresh_state(INITIATE_LIMIT) if before is None else before
    after = admit_one(INITIATE_LIMIT, log, NOW)
    if isinstance(after, int):
        return False
    write = RateWrite(key=key, policy=INITIATE_LIMIT, before=before, after=after)
    return store.commit(loaded, Changes((write,)))


def _charging(calls: int) -> Work:
    # By the machine's clock each log would have expired already, and the store would drop it.
    store = MemoryStore(capacity=max(1000, calls), clock=lambda: NOW)
    keys = [limit_key(number) for number in range(calls)]
    for key in keys:
        for _ in range(_CHARGED):
            charge(store, key)
    asking = iter(keys)
    held = [store.load(Needs(limit=key)).snapshot.limit for key in keys]
    if held != [LogState.of([NOW] * _CHARGED)] * calls:
        raise RuntimeError("the store does not hold the logs")
    return lambda: charge(store, next(asking))


def _initiating(calls: int) -> Work:
    store = MemoryStore(capacity=max(1000, 2 * calls), clock=lambda: NOW)
    store.register(API_KEY, CALLER)
    asked = iter(
        [
            (initiate_request(f"user-{each}", IdempotencyKey(f"key-{each}")), new_ids(each))
            for each in range(calls)
        ]
    )

    def work() -> Answer:
        request, minted = next(asked)
        return serve(store, request, lambda _: minted)

    return work


def _true(answer: object) -> str:
    return "admitted" if answer is True else "refused"


def _status(answer: object) -> str:
    assert isinstance(answer, Answer)
    return str(answer.response.status)


# --- As JSON ----------------------------------------------------------------------------------


def _text(value: Storable) -> str:
    return format_json(dump(value)).decode()


def _record() -> Storable:
    return stored_record()


def _log() -> Storable:
    return full_log()


def _reading(value: Callable[[], Storable]) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        kept = value()
        kind, text = type(kept), _text(kept)
        return lambda: load(kind, parse_json(text))

    return make


def _parsing(value: Callable[[], Storable]) -> Callable[[int], Work]:
    return lambda _calls: partial(json.loads, _text(value()))


def _writing_value(value: Callable[[], Storable]) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        kept = value()
        return lambda: format_json(dump(kept))

    return make


def _printing(document: Callable[[], object]) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        shown = document()
        return lambda: print_json(shown)

    return make


def _document(value: Callable[[], Storable]) -> Callable[[], object]:
    return lambda: dump(value())


def _read(answer: object) -> str:
    return "read" if answer else "nothing"


def _written(answer: object) -> str:
    return "written" if answer else "nothing"


def _changes() -> Changes:
    call = Call(CALLER, Initiate(USER), IdempotencyKey("key-1"))
    return decide(call, snapshot=Snapshot(), now=NOW, new_ids=new_ids(1)).changes


def _outbox(_calls: int) -> Work:
    changes = _changes()

    def work() -> list[bytes]:
        return [format_json(message.document) for message in messages(changes)]

    return work


def _documents() -> list[object]:
    found: tuple[Message, ...] = messages(_changes())
    return [message.document for message in found]


def _outbox_alone(_calls: int) -> Work:
    documents = _documents()

    def work() -> list[bytes]:
        return [print_json(each) for each in documents]

    return work


# --- The rows ---------------------------------------------------------------------------------

_ALONE = "floor: the JSON alone"


def _stored_rows(name: str, value: Callable[[], Storable]) -> list[Row]:
    return [
        Row(
            family="stored values",
            name=f"read {name}",
            answer="read",
            sides=(
                Side("ours", _reading(value), _read),
                Side(
                    name=_ALONE,
                    make=_parsing(value),
                    says=_read,
                    lacks="checks nothing, makes no value",
                ),
            ),
        ),
        Row(
            family="stored values",
            name=f"write {name}",
            answer="written",
            sides=(
                Side("ours", _writing_value(value), _written),
                Side(
                    name=_ALONE,
                    make=_printing(_document(value)),
                    says=_written,
                    lacks="of members at hand",
                ),
            ),
        ),
    ]


def rows() -> list[Row]:
    """Return the rows of the memory store and of stored values."""
    return [
        Row(
            family="the store in memory",
            name="load a log, charge it, store it",
            answer="admitted",
            sides=(
                Side("ours", _charging, _true),
                Side(
                    name="limits, moving window",
                    make=partial(limits_hits, rules=1, before=9),
                    says=_true,
                    lacks="a window of one rule and nothing else; says no wait",
                    package="limits",
                ),
            ),
        ),
        Row(
            family="the store in memory",
            name="an initiate, from bytes to bytes, stored",
            answer="201",
            sides=(Side("ours", _initiating, _status),),
        ),
        *_stored_rows("a record", _record),
        *_stored_rows("a full log", _log),
        Row(
            family="stored values",
            name="write an initiate's rows of the outbox",
            answer="written",
            sides=(
                Side("ours", _outbox, _written),
                Side(name=_ALONE, make=_outbox_alone, says=_written, lacks="of documents at hand"),
            ),
        ),
    ]
