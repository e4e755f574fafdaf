"""Test vectors for implementations in other languages.

The law of this package: **the vectors say what the rules say**. They are computed by the functions
that decide, have the same bytes on every machine, and cover every cell that a function can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from docs.generate.vectors import (
    access,
    accounts,
    bodies,
    chains,
    clocks,
    connections,
    eras,
    keys,
    limit_states,
    limits,
    pages,
    requests,
    responses,
    texts,
    wire,
)
from docs.generate.vectors.cases import VERSION, Case, Verdict, format_document
from docs.generate.vectors.schemas import schema_file

__all__ = ["VERSION", "Case", "Verdict", "files", "schema_files"]

_DOCUMENTS: Final[dict[str, tuple[str, *tuple[Callable[[], Iterator[Case]], ...]]]] = {
    "deadline": (
        "A connection waits for its hand-off's end, then for its authorization's, then for none.",
        connections.deadlines,
    ),
    "standing": (
        "A standing follows from what is stored and the instant; intervals are half-open.",
        connections.standings,
        clocks.standings,
    ),
    "connection": (
        "A connection's stored rank never falls, whatever happens in whatever order.",
        connections.triggers,
        clocks.triggers,
    ),
    "expiry-record": (
        "An expiry that the clock brought is written down once.",
        connections.expiry_records,
    ),
    "authorization": (
        "A connection with a successor is never authorized.",
        connections.authorizations,
        clocks.authorizations,
    ),
    "recovery": (
        "A recovery makes one new connection, however often it is asked for.",
        chains.recoveries,
        clocks.recoveries,
    ),
    "revocation-reach": (
        "An app or an upstream revokes one id, a patient or the platform the rest of its chain.",
        chains.revocations,
    ),
    "life": (
        "A later connection lives while its patient can still give access by it.",
        chains.lives,
    ),
    "ending": (
        "What a connection leaves behind is ended: a live hand-off, or the access that it gave.",
        connections.endings,
    ),
    "access": (
        "Only an ACTIVE connection grants, only a granted package, and only until it ends.",
        access.accesses,
        clocks.accesses,
    ),
    "merge": (
        "Snapshots of one connection join to the same value in whatever order they arrive.",
        chains.merges,
    ),
    "wire-status": (
        "The wire has five statuses, and shows the standing.",
        wire.spellings,
    ),
    "stored-status": (
        "A status that is not known is an error and never grants anything.",
        wire.readings,
    ),
    "entry-path": (
        "The path is a function of the account's state and the app's preference alone.",
        accounts.paths,
        eras.paths,
    ),
    "binding": (
        "For one user a binding only rises, and a coordinate is never silently rebound.",
        accounts.bindings,
        eras.bindings,
    ),
    "tombstone": (
        "After a tombstone nothing that was made before it grants access, whatever user is bound.",
        accounts.tombstones,
        eras.tombstones,
    ),
    "tombstone-report": (
        "A copy of the last tombstone changes nothing.",
        accounts.tombstone_reports,
    ),
    "completion": (
        "A hand-off lands once, and in time.",
        accounts.completions,
        eras.completions,
    ),
    "page-fact": ("A page that was replaced cannot act.", pages.page_facts),
    "graduation-handoff": ("Only a LIMITED account graduates.", accounts.graduations),
    "record-standing": (
        "What a record is follows from what is stored and the latest instant it has seen.",
        keys.standings,
    ),
    "idempotency": ("One key, one execution.", keys.begins),
    "attempt": ("An attempt that lost its lease can do nothing to the record.", keys.attempts),
    "record-upkeep": (
        "A server resolves only what no attempt can, and what it erased stays erased.",
        keys.upkeep,
    ),
    "kept-response": ("A response is kept if the rule itself reached it.", keys.kept),
    "exact-log": ("In any half-open window at most the limit is admitted.", limits.logs),
    "token-bucket": ("A bucket is full at the start and never rounds.", limits.buckets),
    "several-limits": ("Several limits are all or nothing.", limits.several),
    "limit-state": (
        "A state belongs to its owner and name, and a bucket's to its numbers, too.",
        limit_states.shared,
    ),
    "permission": ("The environment is asked before the scope.", requests.permissions),
    "request": (
        "A request passes its gates in one order.",
        requests.gates,
        responses.gate_pairs,
        responses.keys_and_limits,
    ),
    "request-body": ("A body is read strictly, and only its values count.", bodies.bodies),
    "request-target": ("A path and a query are read strictly.", bodies.targets),
    "operation": (
        "Every operation answers with its own status and members.",
        requests.operations,
        responses.answers,
    ),
    "entity-tag": (
        "An account state that has not moved is not sent again.",
        requests.entity_tags,
        responses.entity_tags,
    ),
    "problems": ("A problem is a code and the values that its code allows.", requests.problems),
    "problem-status": (
        "A problem's kind decides its HTTP status, and whether its answer is kept.",
        requests.statuses,
    ),
    "app-user-id": ("An app user's id is opaque and compared exactly.", texts.app_user_ids),
    "uuid": ("A UUID is read in any case and written in lower case.", texts.uuids),
    "data-packages": ("Data packages are a set: order does not matter.", texts.data_packages),
    "time": ("A time is RFC 3339 in UTC, to the microsecond.", texts.times),
    "idempotency-key": ("A key is one header, bare or quoted.", texts.idempotency_keys),
    "authorization-header": (
        "A caller is known by exactly one bearer key.",
        texts.credentials,
    ),
}


def laws() -> dict[str, str]:
    """Return the law of each document by the document's name."""
    return {name: law for name, (law, *_) in _DOCUMENTS.items()}


def files() -> dict[str, str]:
    """Return the text of every document by its file name."""
    return {
        f"{name}.json": format_document(
            name, law, chain.from_iterable(cases() for cases in sources)
        )
        for name, (law, *sources) in _DOCUMENTS.items()
    }


def schema_files() -> dict[str, str]:
    """Return the JSON Schema of the cases of every document, by its file name."""
    return schema_file(files().values())
