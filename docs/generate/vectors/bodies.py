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
from curae_lifecycle.web.request import BODY_MAX, Request
from docs.generate.vectors.cases import START, Case, Verdict, connection_id, problem_members
from docs.generate.vectors.texts import CALLER

_KEY: Final = ("Idempotency-Key", "k-1")
_ID: Final = connection_id(1)
_CREATE: Final = "/api/sdk/v1/connections"
_INITIATE: Final = "/api/sdk/v1/curae-connect/initiate"
_GRADUATION: Final = "/api/sdk/v1/curae-connect/graduation-handoff"
_STATE: Final = "/api/sdk/v1/curae-connect/account-state"
_REVOKE: Final = f"{_CREATE}/{_ID}:revoke"


def _nested(depth: int) -> str:
    """Return objects inside each other, so many deep, as the value of an unknown member."""
    return '{"a":' * depth + "1" + "}" * depth


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
    # Names that mean something else in some languages.
    "initiate/name-of-a-prototype": (_INITIATE, '{"__proto__":{},"appUserId":"user-1"}'),
    "initiate/name-of-a-constructor": (_INITIATE, '{"constructor":1,"appUserId":"user-1"}'),
    "initiate/user-in-a-prototype": (_INITIATE, '{"__proto__":{"appUserId":"user-1"}}'),
    # The grammar of JSON.
    "initiate/every-white-space": (_INITIATE, ' \t\r\n{\t"appUserId" :\r"user-1" }\n'),
    "initiate/upper-case-escape": (_INITIATE, '{"appUserId":"\\u004A"}'),
    "initiate/every-escape": (_INITIATE, '{"appUserId":"\\"\\\\\\/"}'),
    "initiate/escaped-line-feed": (_INITIATE, '{"appUserId":"a\\nb"}'),
    "initiate/escaped-name": (_INITIATE, '{"appUser\\u0049d":"user-1"}'),
    "initiate/beyond-the-plane": (_INITIATE, '{"appUserId":"\U0001f9ec"}'),
    "initiate/no-break-space": (_INITIATE, '\u00a0{"appUserId":"user-1"}'),
    "initiate/form-feed": (_INITIATE, '\x0c{"appUserId":"user-1"}'),
    "initiate/trailing-comma": (_INITIATE, '{"appUserId":"user-1",}'),
    "initiate/missing-comma": (_INITIATE, '{"appUserId":"user-1" "preferSignup":true}'),
    "initiate/missing-colon": (_INITIATE, '{"appUserId" "user-1"}'),
    "initiate/single-quotes": (_INITIATE, "{'appUserId':'user-1'}"),
    "initiate/bare-name": (_INITIATE, '{appUserId:"user-1"}'),
    "initiate/unclosed-text": (_INITIATE, '{"appUserId":"user-1'),
    "initiate/unclosed-object": (_INITIATE, '{"appUserId":"user-1"'),
    "initiate/unclosed-list": (_INITIATE, '{"appUserId":["user-1"}'),
    "initiate/trailing-comma-of-a-list": (_INITIATE, '{"appUserId":[1,]}'),
    "initiate/upper-case-word": (_INITIATE, '{"appUserId":"user-1","preferSignup":True}'),
    "initiate/word-and-more": (_INITIATE, '{"appUserId":"user-1","preferSignup":truex}'),
    "initiate/other-word": (_INITIATE, '{"appUserId":Infinity}'),
    "initiate/line-feed-in-a-text": (_INITIATE, '{"appUserId":"user\n1"}'),
    "initiate/last-control-character-in-a-text": (_INITIATE, '{"appUserId":"user\x1f1"}'),
    "initiate/unknown-escape": (_INITIATE, '{"appUserId":"\\x41"}'),
    "initiate/short-escape": (_INITIATE, '{"appUserId":"\\u41"}'),
    "initiate/escape-without-digits": (_INITIATE, '{"appUserId":"\\u004g"}'),
    "initiate/question-mark-in-front": (_INITIATE, '?{"appUserId":"user-1"}'),
    "initiate/control-character-before-a-letter": (_INITIATE, '{"appUserId":"user\nn"}'),
    "initiate/unopened-name": (_INITIATE, '{xappUserId":"user-1"}'),
    "initiate/slash": (_INITIATE, '{"appUserId":"a/b"}'),
    "initiate/escaped-slash": (_INITIATE, '{"appUserId":"a\\/b"}'),
    "initiate/escaped-quote": (_INITIATE, '{"appUserId":"a\\"b"}'),
    "initiate/quote-by-its-number": (_INITIATE, '{"appUserId":"a\\u0022b"}'),
    "initiate/escaped-backslash": (_INITIATE, '{"appUserId":"a\\\\b"}'),
    "initiate/backslash-by-its-number": (_INITIATE, '{"appUserId":"a\\u005Cb"}'),
    "initiate/objects-too-deep": (_INITIATE, _nested(DEPTH_MAX + 1)),
    "initiate/deepest-objects": (_INITIATE, _nested(DEPTH_MAX)),
    # Numbers: those that can be read are INVALID, the others are no JSON.
    "initiate/integer": (_INITIATE, '{"appUserId":-10}'),
    "initiate/zero": (_INITIATE, '{"appUserId":0}'),
    "initiate/fraction-and-exponent": (_INITIATE, '{"appUserId":1.50e+2}'),
    "initiate/tiny-exponent": (_INITIATE, '{"appUserId":1E-999}'),
    "initiate/integer-of-400-digits": (_INITIATE, '{"appUserId":' + "9" * 400 + "}"),
    "initiate/longest-integer": (_INITIATE, '{"appUserId":-' + "9" * 4300 + "}"),
    "initiate/integer-too-long": (_INITIATE, '{"appUserId":' + "9" * 4301 + "}"),
    "initiate/largest-fraction": (_INITIATE, '{"appUserId":1.7e308}'),
    "initiate/fraction-beyond-doubles": (_INITIATE, '{"appUserId":-1.8e308}'),
    "initiate/leading-zero": (_INITIATE, '{"appUserId":01}'),
    "initiate/leading-plus": (_INITIATE, '{"appUserId":+1}'),
    "initiate/minus-alone": (_INITIATE, '{"appUserId":-}'),
    "initiate/fraction-without-digits": (_INITIATE, '{"appUserId":1.}'),
    "initiate/exponent-without-digits": (_INITIATE, '{"appUserId":1e}'),
    # The first fault is named.
    "initiate/repeated-by-an-escape": (
        _INITIATE,
        '{"appUserId":"user-1","appUser\\u0049d":"user-1"}',
    ),
    "initiate/repeated-before-unknown": (_INITIATE, '{"x":1,"appUserId":"u","appUserId":"u"}'),
    "initiate/unknown-repeated-first": (_INITIATE, '{"x":1,"x":1,"appUserId":"u","appUserId":"u"}'),
    "initiate/repeated-second-first": (
        _INITIATE,
        '{"appUserId":"u","preferSignup":true,"preferSignup":true,"appUserId":"u"}',
    ),
    "initiate/repeated-inside": (_INITIATE, '{"appUserId":{"a":1,"a":2}}'),
    "initiate/unknown-before-missing": (_INITIATE, '{"x":1}'),
    "initiate/empty-user": (_INITIATE, '{"appUserId":""}'),
    "initiate/preference-of-null-after-a-bad-user": (
        _INITIATE,
        '{"preferSignup":null,"appUserId":""}',
    ),
    "initiate/text-document": (_INITIATE, '"appUserId"'),
    "initiate/true-document": (_INITIATE, "true"),
    "create/another-user": (_CREATE, '{"appUserId":"user-2","dataPackages":["a","b"]}'),
    "create/one-package-of-both-letters": (
        _CREATE,
        '{"appUserId":"user-1","dataPackages":["ab"]}',
    ),
    "create/order-of-members": (_CREATE, '{"dataPackages":["a","b"],"appUserId":"user-1"}'),
    "create/both-missing": (_CREATE, "{}"),
    "create/both-at-fault": (_CREATE, '{"dataPackages":null,"appUserId":" "}'),
    "create/preference": (_CREATE, '{"appUserId":"u","dataPackages":["a"],"preferSignup":true}'),
    "graduation/plain": (_GRADUATION, '{"appUserId":"user-1"}'),
    "graduation/preference": (_GRADUATION, '{"appUserId":"user-1","preferSignup":false}'),
    "revoke/white-space": (_REVOKE, " "),
    "revoke/not-json": (_REVOKE, "{"),
    "revoke/repeated": (_REVOKE, '{"x":1,"x":1}'),
    "revoke/body-before-id": (f"{_CREATE}/1:revoke", "[]"),
    "revoke/id-alone": (f"{_CREATE}/1:revoke", ""),
    "revoke/another-connection": (f"{_CREATE}/{connection_id(2)}:revoke", ""),
    "reconnect/absent": (f"{_CREATE}/{_ID}:reconnect", ""),
    "reconnect/member": (f"{_CREATE}/{_ID}:reconnect", '{"x":1}'),
    "path/action-with-an-encoded-colon": (f"{_CREATE}/{_ID}%3Arevoke", ""),
    "path/no-id": (f"{_CREATE}/:revoke", ""),
    "path/action-in-upper-case": (f"{_CREATE}/{_ID}:REVOKE", ""),
    "path/two-actions": (f"{_CREATE}/{_ID}:revoke:revoke", ""),
    "path/query": (f"{_REVOKE}?x=1", ""),
    "path/two-slashes": (f"/{_CREATE}", ""),
    "path/in-upper-case": ("/API/sdk/v1/connections", ""),
    "path/no-prefix": ("/connections", ""),
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
    "not-encoded": f"{_STATE}?appUserId=Zoë",
    "other-parameter-not-encoded": f"{_STATE}?é=é&appUserId=user-1",
    "space-at-the-end": f"{_STATE}?appUserId=user-1+",
    "connection": f"{_CREATE}/{_ID}",
    "connection-in-upper-case": f"{_CREATE}/{_ID.upper().replace('0000', 'ABCD', 1)}",
    "connection-without-hyphens": f"{_CREATE}/{_ID.replace('-', '')}",
    "connection-no-uuid": f"{_CREATE}/1",
    "no-such-path": "/api/sdk/v1/connection",
    "trailing-slash": f"{_CREATE}/{_ID}/",
    "other-action": f"{_CREATE}/{_ID}:pause",
    "action-by-get": f"{_CREATE}/{_ID}:revoke",
    "encoded-space": f"{_STATE}?appUserId=user%201",
    "letter": f"{_STATE}?appUserId=a",
    "percent-in-upper-case": f"{_STATE}?appUserId=a%2Bb",
    "encoded-percent": f"{_STATE}?appUserId=a%25zzb",
    "encoded-equals": f"{_STATE}?appUserId=a%3Db",
    "prefix-of-a-path": f"/api/sdk/v1/x{_CREATE.rpartition('/')[2]}/{_ID}",
    "not-hexadecimal": f"{_STATE}?appUserId=a%zzb",
    "percent-alone": f"{_STATE}?appUserId=a%",
    "percent-and-one-digit": f"{_STATE}?appUserId=a%4",
    "percent-in-lower-case": f"{_STATE}?appUserId=a%2bb",
    "beyond-the-plane": f"{_STATE}?appUserId=%F0%9F%A7%AC",
    "byte-order-mark": f"{_STATE}?appUserId=%EF%BB%BFa",
    "equals-in-the-value": f"{_STATE}?appUserId=a=b",
    "empty-parts": f"{_STATE}?&appUserId=user-1&&",
    "semicolon": f"{_STATE}?x=1;appUserId=user-1",
    "question-mark": f"{_STATE}?appUserId=a?b",
    "name-in-lower-case": f"{_STATE}?appuserid=user-1",
    "repeated-by-an-encoded-name": f"{_STATE}?appUserId=user-1&app%55serId=user-2",
    "other-parameter-repeated": f"{_STATE}?x=1&x=1&appUserId=user-1",
    "other-parameter-not-utf-8": f"{_STATE}?%ff=%ff&appUserId=user-1",
    "overlong": f"{_STATE}?appUserId=%c1%81",
    "surrogate": f"{_STATE}?appUserId=%ed%a0%80",
    "nul": f"{_STATE}?appUserId=a%00",
    "encoded-space-at-the-end": f"{_STATE}?appUserId=user-1%20",
    "query-before-nothing": f"{_CREATE}/{_ID}?",
    "query-on-a-connection": f"{_CREATE}/{_ID}?appUserId=user-1&appUserId=user-1",
    "another-connection": f"{_CREATE}/{connection_id(2)}",
    "no-id": f"{_CREATE}/",
    "id-and-a-colon": f"{_CREATE}/{_ID}:",
    "encoded-hyphens": f"{_CREATE}/{_ID.replace('-', '%2D')}",
    "slash-and-more": f"{_CREATE}/{_ID}/x",
    "initiate-by-get": _INITIATE,
}


_PADDED: Final[Mapping[str, tuple[str, int]]] = {
    "initiate/longest": ('{"appUserId":"user-1"}', BODY_MAX),
    "initiate/too-long": ('{"appUserId":"user-1"}', BODY_MAX + 1),
    "initiate/longest-in-bytes": ('{"appUserId":"\u00e9"}', BODY_MAX),
    "initiate/too-long-in-bytes": ('{"appUserId":"\u00e9"}', BODY_MAX + 1),
}
"""Bodies with spaces behind them, and their length in bytes."""


def bodies() -> Iterator[Case]:
    """Yield bodies as text; bodies with equal values are the same request."""
    for word, (target, text) in _BODIES.items():
        headers = () if target == _GRADUATION else (_KEY,)
        request = Request(method="POST", target=target, headers=headers, body=text.encode())
        given = {"method": "POST", "target": target, "body": text}
        yield _read(f"request-body/{word}", request, given)
    for word, (text, length) in _PADDED.items():
        spaces = length - len(text.encode())
        body = text.encode() + b" " * spaces
        request = Request(method="POST", target=_INITIATE, headers=(_KEY,), body=body)
        padded = {"method": "POST", "target": _INITIATE, "body": text, "spaces": spaces}
        yield _read(f"request-body/{word}", request, padded)


def targets() -> Iterator[Case]:
    """Yield paths and query strings of GET requests."""
    for word, target in _TARGETS.items():
        given = {"method": "GET", "target": target}
        yield _read(f"request-target/{word}", Request("GET", target), given)
    for method in ("HEAD", "get", "DELETE"):
        target = f"{_CREATE}/{_ID}"
        given = {"method": method, "target": target}
        yield _read(f"request-target/method/{method}", Request(method, target), given)


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
