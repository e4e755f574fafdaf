"""Vectors of the input of a request: bodies, query strings, ids in paths.

The law of this module: **an unreadable input is refused by its first fault**. The refusal names the
member if the rules know it, and never repeats the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.web.json import DEPTH_MAX
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from docs.generate.vectors.cases import START, Case, Verdict, connection_id, problem_members
from docs.generate.vectors.texts import CALLER

_KEY: Final = ("Idempotency-Key", "k-1")
_ID: Final = connection_id(1)
_CREATE: Final = "/api/sdk/v1/connections"
_INITIATE: Final = "/api/sdk/v1/curae-connect/initiate"
_STATE: Final = "/api/sdk/v1/curae-connect/account-state"
_REVOKE: Final = f"{_CREATE}/{_ID}:revoke"

_BODIES: Final[Mapping[str, tuple[str, str]]] = {
    "initiate/plain": (_INITIATE, '{"appUserId":"user-1"}'),
    "initiate/preference": (_INITIATE, '{"appUserId":"user-1","preferSignup":true}'),
    "initiate/false": (_INITIATE, '{"appUserId":"user-1","preferSignup":false}'),
    "initiate/order-and-space": (_INITIATE, '\n{ "preferSignup": true, "appUserId": "user-1" }\n'),
    "initiate/escapes": (_INITIATE, '{"appUserId":"\\u0075ser-1"}'),
    "initiate/surrogate-pair": (_INITIATE, '{"appUserId":"\\ud83e\\uddec"}'),
    "initiate/lone-surrogate": (_INITIATE, '{"appUserId":"\\ud83e"}'),
    "initiate/empty": (_INITIATE, ""),
    "initiate/not-json": (_INITIATE, "{"),
    "initiate/two-documents": (_INITIATE, '{"appUserId":"user-1"} {}'),
    "initiate/comment": (_INITIATE, '{"appUserId":"user-1"} // mine'),
    "initiate/not-a-number": (_INITIATE, '{"appUserId":NaN}'),
    "initiate/number-beyond-doubles": (_INITIATE, '{"appUserId":1e999}'),
    "initiate/byte-order-mark": (_INITIATE, '\ufeff{"appUserId":"user-1"}'),
    "initiate/too-deep": (_INITIATE, "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1)),
    "initiate/deepest": (_INITIATE, "[" * DEPTH_MAX + "]" * DEPTH_MAX),
    "initiate/list": (_INITIATE, "[]"),
    "initiate/null-document": (_INITIATE, "null"),
    "initiate/missing": (_INITIATE, "{}"),
    "initiate/unknown": (_INITIATE, '{"appUserId":"user-1","prefersSignup":true}'),
    "initiate/other-case": (_INITIATE, '{"appuserid":"user-1"}'),
    "initiate/repeated": (_INITIATE, '{"appUserId":"user-1","appUserId":"user-1"}'),
    "initiate/unknown-repeated": (_INITIATE, '{"appUserId":"user-1","x":1,"x":1}'),
    "initiate/null": (_INITIATE, '{"appUserId":null}'),
    "initiate/null-preference": (_INITIATE, '{"appUserId":"user-1","preferSignup":null}'),
    "initiate/text-preference": (_INITIATE, '{"appUserId":"user-1","preferSignup":"true"}'),
    "initiate/number-preference": (_INITIATE, '{"appUserId":"user-1","preferSignup":1}'),
    "create/plain": (_CREATE, '{"appUserId":"user-1","dataPackages":["a","b"]}'),
    "create/packages-in-any-order": (
        _CREATE,
        '{"appUserId":"user-1","dataPackages":["b","a","b"]}',
    ),
    "create/no-packages": (_CREATE, '{"appUserId":"user-1","dataPackages":[]}'),
    "create/packages-missing": (_CREATE, '{"appUserId":"user-1"}'),
    "create/packages-null": (_CREATE, '{"appUserId":"user-1","dataPackages":null}'),
    "revoke/absent": (_REVOKE, ""),
    "revoke/empty-object": (_REVOKE, "{}"),
    "revoke/member": (_REVOKE, '{"reason":"x"}'),
    "revoke/null": (_REVOKE, "null"),
    "revoke/list": (_REVOKE, "[]"),
}
_TARGETS: Final[Mapping[str, str]] = {
    "user": f"{_STATE}?appUserId=user-1",
    "plus-is-a-space": f"{_STATE}?appUserId=user+1",
    "percent": f"{_STATE}?appUserId=user%2B1",
    "encoded-name": f"{_STATE}?app%55serId=user-1",
    "other-parameters": f"{_STATE}?x=1&appUserId=user-1&y",
    "missing": _STATE,
    "empty": f"{_STATE}?appUserId=",
    "no-value": f"{_STATE}?appUserId",
    "repeated": f"{_STATE}?appUserId=user-1&appUserId=user-1",
    "not-utf-8": f"{_STATE}?appUserId=%ff",
    "space-at-the-end": f"{_STATE}?appUserId=user-1+",
    "connection": f"{_CREATE}/{_ID}",
    "connection-in-upper-case": f"{_CREATE}/{_ID.upper().replace('0000', 'ABCD', 1)}",
    "connection-without-hyphens": f"{_CREATE}/{_ID.replace('-', '')}",
    "connection-no-uuid": f"{_CREATE}/1",
    "no-such-path": "/api/sdk/v1/connection",
    "trailing-slash": f"{_CREATE}/{_ID}/",
    "other-action": f"{_CREATE}/{_ID}:pause",
    "action-by-get": f"{_CREATE}/{_ID}:revoke",
}


def bodies() -> Iterator[Case]:
    """Yield bodies as text; bodies with equal values are the same request."""
    for word, (target, text) in _BODIES.items():
        request = Request(method="POST", target=target, headers=(_KEY,), body=text.encode())
        given = {"method": "POST", "target": target, "body": text}
        yield _read(f"request-body/{word}", request, given)


def targets() -> Iterator[Case]:
    """Yield paths and query strings of GET requests."""
    for word, target in _TARGETS.items():
        given = {"method": "GET", "target": target}
        yield _read(f"request-target/{word}", Request("GET", target), given)


def _read(id: str, request: Request, given: Mapping[str, object]) -> Case:  # noqa: A002 - see `Case`
    result = read(request, CALLER, START)
    if isinstance(result, Call):
        request_of = fingerprint(result.operation)
        answer = {"outcome": "done", "operation": request_of.operation, "values": request_of.values}
        return Case(id, given, answer)
    # A decision of `read` is always a refusal.
    problem = cast("ProblemReply", result.reply).problem
    return Case(
        id=id,
        input=given,
        answer={"outcome": "refused", "problem": problem_members(problem), "rules": result.rules},
        rule=result.rules[-1],
        verdict=Verdict.INVALID,
    )
