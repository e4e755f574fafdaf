"""Changes of a whole request as members of a vector: writes, effects and events.

The law of this module: **an order that means nothing is not shown**. All changes are committed
together, so they are sorted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.outbox import messages
from docs.generate.vectors.cases import Members, stored


def show_changes(changes: Changes) -> Members:
    """Return the changes of a decision; without ids of events.

    A record has no fingerprint and no response: they are those of the request and its answer.
    """
    told = [dict(message.document) for message in messages(changes)]
    events = [each for each in told if each.pop("id", None) is not None]
    return {
        "writes": _sorted(_write(each) for each in changes.writes),
        "effects": _sorted(each for each in told if each not in events),
        "events": _sorted(events),
    }


def _sorted(members: Iterable[Members]) -> list[Members]:
    return sorted(members, key=lambda each: json.dumps(each, sort_keys=True))


def _write(write: Write) -> Members:
    match write:
        case ConnectionWrite():
            return {"kind": "connection", "after": stored(write.after)}
        case SessionWrite():
            return {"kind": "session", "after": stored(write.after)}
        case BindingWrite():
            return {"kind": "binding", "after": stored(write.after)}
        case RateWrite():
            return {"kind": "limit", "policy": write.policy.name, "after": stored(write.after)}
        case RecordWrite():
            record = dict(cast("Members", stored(write.after)))
            del record["fingerprint"], record["response"]
            return {"kind": "record", "after": record}
        case _:
            raise AssertionError("no request writes anything else")
