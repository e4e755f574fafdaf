"""Vectors of a connection on the wire: printed and read.

The law of this module: **every status is printed and read by the functions that servers call**. A
document that is not a connection is an error that names the member at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from curae_lifecycle.rules.connection import RevocationState, Standing, Status
from curae_lifecycle.rules.values import add_microseconds, format_time
from curae_lifecycle.rules.wire_status import (
    STORED_STATUS,
    WIRE_STATUS,
    AuthorizationEvidence,
    WireStatus,
)
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.wire_format import format_connection, parse_connection
from docs.generate.vectors.cases import (
    COORDINATE,
    Case,
    Members,
    Verdict,
    cell_id,
    connection_id,
    stored,
)
from docs.generate.vectors.connections import AT, END, NOW, make


def spellings() -> Iterator[Case]:
    """Yield a printed connection of each standing, in both spellings of ACTIVE."""
    for at, row in WIRE_STATUS.items():
        status, now = AT[at]
        for spelling in (WireStatus.ACTIVE, WireStatus.AUTHORIZED):
            cell = cell_id(WIRE_STATUS.name, (at,))
            given = {
                "connection": stored(make(status)),
                "now": format_time(now),
                "activeSpelling": spelling,
            }
            yield Case(
                id=cell if spelling is WireStatus.ACTIVE else f"{cell}/as-authorized",
                input=given,
                answer={"connection": format_connection(make(status), now, spelling, binding=None)},
                rule=row.rule,
            )
    behind = attrs.evolve(make(Status.ACTIVE), updated_at=add_microseconds(END, 1))
    given = {
        "connection": stored(behind),
        "now": format_time(NOW),
        "activeSpelling": WireStatus.ACTIVE,
    }
    yield Case(
        id="wire-status/clock-behind",
        input=given,
        answer={"connection": format_connection(behind, NOW, binding=None)},
        rule=WIRE_STATUS[Standing.ACTIVE].rule,
        comment="A read asks at its own clock.",
    )


def readings() -> Iterator[Case]:
    """Yield the reading of each status of the wire, and of documents at fault."""
    for (spelled, revocation, trace), row in STORED_STATUS.items():
        contradicts = (spelled is WireStatus.REVOKED) != (revocation is RevocationState.ONCE)
        yield _reading(
            cell_id(STORED_STATUS.name, (spelled, revocation, trace)),
            document=_printed(spelled, revocation, trace),
            rule=row.rule,
            verdict=Verdict.ACCEPTABLE if spelled is WireStatus.AUTHORIZED else Verdict.VALID,
            comment=_CONTRADICTS if contradicts else _UNPRINTED.get((spelled, trace)),
        )
    lapsed = format_connection(make(Status.PENDING), END, binding=None)
    reason = {**lapsed, "actionRequiredReason": "portal_login"}
    rule = STORED_STATUS[
        WireStatus.EXPIRED, RevocationState.NEVER, AuthorizationEvidence.SHOWN
    ].rule
    yield _reading(
        "stored-status/expired-with-reason", document=reason, rule=rule, verdict=Verdict.VALID
    )
    moved = attrs.evolve(make(Status.PENDING), updated_at=NOW)
    lapsed_row = STORED_STATUS[
        WireStatus.EXPIRED, RevocationState.NEVER, AuthorizationEvidence.NONE
    ]
    yield _reading(
        "stored-status/lapsed-after-a-reissue",
        document=format_connection(moved, END, binding=None),
        rule=lapsed_row.rule,
        verdict=Verdict.VALID,
        comment="Its hand-off's deadline is its `updatedAt`.",
    )
    active = format_connection(make(Status.ACTIVE), NOW, binding=None)
    tolerated: dict[str, Members] = {
        "unknown-member": {**active, "userId": "u-1"},
        "missing-reason": {name: active[name] for name in active if name != "actionRequiredReason"},
        "missing-revoked-at": {name: active[name] for name in active if name != "revokedAt"},
        "upper-case-id": {**active, "id": connection_id(10).upper()},
        "packages-in-any-order": {**active, "dataPackages": ["labs", "clinical_summary", "labs"]},
        "fraction-with-offset": {**active, "createdAt": "2030-01-01T00:00:00.500+00:00"},
        "time-with-offset": {**active, "createdAt": "2030-01-01T00:00:00+00:00"},
    }
    rule = STORED_STATUS[WireStatus.ACTIVE, RevocationState.NEVER, AuthorizationEvidence.SHOWN].rule
    for name, document in tolerated.items():
        comment = "Snapshots of others are read tolerantly."
        yield _reading(
            f"stored-status/{name}",
            document=document,
            rule=rule,
            verdict=Verdict.ACCEPTABLE,
            comment=comment,
        )
    broken: dict[str, Members] = {
        "unknown-status": {**active, "status": "PAUSED"},
        "lower-case-status": {**active, "status": "active"},
        "null-status": {**active, "status": None},
        "missing-member": {name: active[name] for name in active if name != "createdAt"},
        "id-without-hyphens": {**active, "id": connection_id(1).replace("-", "")},
        "time-with-another-offset": {**active, "createdAt": "2030-01-01T01:00:00+01:00"},
    }
    broken |= _faults(active)
    for name, document in broken.items():
        yield _reading(
            f"stored-status/{name}", document=document, rule=None, verdict=Verdict.INVALID
        )


def _faults(active: Members) -> dict[str, Members]:
    """Return documents with one or two members at fault."""
    required = ("id", "customerAccountId", "appUserId", "status", "dataPackages", "createdAt")
    faults: dict[str, Members] = {}
    for name in (*required, "updatedAt"):
        faults[f"fault/{name}/missing"] = {key: active[key] for key in active if key != name}
        faults[f"fault/{name}/null"] = {**active, name: None}
        faults[f"fault/{name}/invalid"] = {**active, name: ""}
    for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"):
        faults[f"fault/{name}/invalid"] = {**active, name: ""}
        faults[f"fault/{name}/number"] = {**active, name: 1}
    pairs = (("id", "updatedAt"), ("status", "customerAccountId"), ("createdAt", "expiresAt"))
    for one, two in pairs:
        faults[f"fault/{one}/and/{two}"] = {**active, one: "", two: ""}
    faults["fault/status/name-of-a-prototype"] = {**active, "status": "__proto__"}
    faults["fault/status/name-of-a-method"] = {**active, "status": "toString"}
    faults["fault/status/list"] = {**active, "status": ["ACTIVE"]}
    faults["fault/createdAt/minus-zero"] = {**active, "createdAt": "2030-01-01T00:00:00-00:00"}
    return faults


_ODD: Final = "No connection of the rules is printed like this; it is read as it is spelled."
_CONTRADICTS: Final = "A contradiction fails closed: what shows a `revokedAt` is REVOKED."
_UNPRINTED: Final = {
    (WireStatus.PENDING, AuthorizationEvidence.SHOWN): _ODD,
    (WireStatus.ACTIVE, AuthorizationEvidence.NONE): _ODD,
    (WireStatus.AUTHORIZED, AuthorizationEvidence.NONE): _ODD,
    (WireStatus.ACTION_REQUIRED, AuthorizationEvidence.NONE): _ODD,
}


def _printed(
    spelled: WireStatus, revocation: RevocationState, trace: AuthorizationEvidence
) -> Members:
    """Return a printed connection of a status, with or without a trace of an authorization."""
    status = STORED_STATUS[spelled, RevocationState.NEVER, trace].outcome.status
    lapsed = spelled is WireStatus.EXPIRED and trace is AuthorizationEvidence.NONE
    revoked_at = format_time(NOW) if revocation is RevocationState.ONCE else None
    shown = {
        **format_connection(make(status), END if lapsed else NOW, binding=None),
        "revokedAt": revoked_at,
    }
    printed: dict[str, object] = {**shown, "status": spelled}
    if trace is AuthorizationEvidence.NONE:
        return printed | dict.fromkeys(("authorizedAt", "expiresAt", "actionRequiredReason"))
    return printed | {"authorizedAt": printed["authorizedAt"] or printed["createdAt"]}


def _reading(
    id: str,  # noqa: A002 - see `Case`
    document: Members,
    rule: str | None,
    verdict: Verdict,
    comment: str | None = None,
) -> Case:
    given = {"document": document, "environment": "live", "appId": COORDINATE.app_id}
    try:
        # `format_connection` made the members, so they are JSON.
        read = parse_connection(
            dict(document),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            environment=COORDINATE.environment,
            app_id=COORDINATE.app_id,
        )
    except MalformedError as error:
        answer: Members = {"outcome": "error", "member": error.member, "fault": error.fault}
        return Case(id=id, input=given, answer=answer, rule=rule, verdict=verdict, comment=comment)
    answer = {"outcome": "done", "connection": stored(read)}
    return Case(id=id, input=given, answer=answer, rule=rule, verdict=verdict, comment=comment)
