"""Tests of the checks of the order of the gates, with responses that each test gives itself."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Final

import pytest

from curae_lifecycle.testing.conformance import CHECKS, ApiKeyRequest, Request, Response
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.steps import HookCall, NotConformingError, Step
from tests.testing.conformance.answering import body_of, drive, header, refuse, respond
from tests.testing.conformance.by_hand import context, play

BY_NAME: Final = {each.name: each for each in CHECKS}
PACKAGES: Final = ["clinical_summary", "labs"]

# fmt: off
REFUSALS: Final = {
    "credentials":     (401, "UNAUTHENTICATED"),
    "route":           (404, "NOT_FOUND"),
    "scope":           (403, "SCOPE_INSUFFICIENT"),
    "body":            (400, "BAD_REQUEST"),
    "key-missing":     (400, "IDEMPOTENCY_KEY_REQUIRED"),
    "key-invalid":     (400, "IDEMPOTENCY_KEY_INVALID"),
    "key-not-allowed": (400, "IDEMPOTENCY_KEY_NOT_ALLOWED"),
    "idempotency":     (422, "IDEMPOTENCY_KEY_REUSED"),
    "ownership":       (404, "NOT_FOUND"),
}
"""The status and the code with which each gate refuses."""

WAYS: Final = {
    "credentials":     ("credentials",     {"api key": "cae_live_nobody"}),
    "path":            ("route",           {"target": "/nothing"}),
    "method":          ("route",           {"method": "PUT"}),
    "scope":           ("scope",           {"api key": "reader"}),
    "extra":           ("body",            {"extra": ', "extra": 1'}),
    "id":              ("body",            {"id": "nonsense"}),
    "user":            ("body",            {"user": ""}),
    "key-missing":     ("key-missing",     {"key": "no key"}),
    "key-invalid":     ("key-invalid",     {"key": "k k"}),
    "key-not-allowed": ("key-not-allowed", {"key": "k"}),
    "idempotency":     ("idempotency",     {"key": "used"}),
    "limit":           ("limit",           {"user": "busy"}),
    "ownership":       ("ownership",       {"id": "foreign"}),
    "rule":            ("rule",            {}),
}
"""The ways to spoil a request: the gate that then refuses it, and the parts that change."""
# fmt: on

COMMON: Final = "credentials path method"
KEYED: Final = "key-missing key-invalid idempotency"
OPERATIONS: Final = (
    (
        ("POST", "/connections", "fresh", "appUserId dataPackages"),
        f"{COMMON} scope extra {KEYED} rule",
    ),
    (("GET", "/connections/{id}", "no key", ""), f"{COMMON} id ownership rule"),
    *(
        (
            ("POST", f"/connections/{{id}}:{name}", "fresh", ""),
            f"{COMMON} scope extra id {KEYED} ownership rule",
        )
        for name in ("reconnect", "revoke")
    ),
    (
        ("POST", "/curae-connect/initiate", "fresh", "appUserId"),
        f"{COMMON} scope extra {KEYED} limit rule",
    ),
    (
        ("GET", "/curae-connect/account-state?appUserId={user}", "no key", ""),
        f"{COMMON} user rule",
    ),
    (
        ("POST", "/curae-connect/graduation-handoff", "no key", "appUserId"),
        f"{COMMON} scope extra key-not-allowed limit rule",
    ),
)
"""Each operation: its valid request, and the ways to spoil it in the order of the gates."""


def written(valid: tuple[str, str, str, str], *ways: str) -> str:
    """Return the line of a valid request that was spoilt in these ways."""
    method, target, key, members = valid
    values = {
        "api key": "app",
        "method": method,
        "target": target,
        "key": key,
        "extra": "",
        "id": "pending",
        "user": "user",
    }
    for way in ways:
        values |= WAYS[way][1]
    shown = {"appUserId": f"appUserId={values['user']}", "dataPackages": "dataPackages"}
    body = "+".join([shown[each] for each in members.split()] + ["extra"] * bool(values["extra"]))
    path = values["target"].format_map(values)
    return f"{values['api key']} {values['method']} {path} {values['key']} {body}"


def read(request: Request, used: str | None) -> str:
    """Return the line of a request that the check sent."""
    key = header(request, "Idempotency-Key") or "no key"
    if re.fullmatch("key-[0-9a-f]{16}", key):
        key = "used" if key == used else "fresh"
    body = body_of(request) or {}
    assert body.get("dataPackages", PACKAGES) == PACKAGES
    assert body.get("extra", 1) == 1
    user = body.get("appUserId")
    members = [f"{each}={user}" if each == "appUserId" else each for each in body]
    caller = str(header(request, "Authorization")).removeprefix("Bearer ")
    target = request.target.removeprefix("/api/sdk/v1")
    return f"{caller} {request.method} {target} {key} {'+'.join(members)}"


class Gatekeeper:
    """A server that answers every request with the same response, after it made a scene."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        self.keys = iter(("app", "reader", "stranger"))
        self.ids = iter(("somebody", "pending", "foreign"))

    def outcome(self, step: Step) -> object:
        if isinstance(step, HookCall):
            return next(self.keys)
        made = next(self.ids, None)
        return self.answer if made is None else respond(201, {"connection": {"id": made}})


def lines_of(check: Check, answer: Response) -> list[str]:
    """Play a check against a server, and return the lines of the requests that it sent."""
    steps = drive(check.begin(context()), Gatekeeper(answer).outcome).steps
    sent = [step for step in steps if isinstance(step, Request)]
    used = header(sent[0], "Idempotency-Key")
    return [read(request, used) for request in sent]


@pytest.mark.parametrize("gate", REFUSALS)
def test_gate_order_check_sends_requests_that_two_gates_refuse(gate: str) -> None:
    expected = [
        written(valid, first, later)
        for valid, ways in OPERATIONS
        for first, later in combinations(ways.split(), 2)
        # Two ways that change the same part of a request cannot meet in one request.
        if WAYS[first][0] == gate and not WAYS[first][1].keys() & WAYS[later][1].keys()
    ]
    assert expected
    assert lines_of(BY_NAME[f"order.{gate}"], refuse(*REFUSALS[gate]))[23:] == expected


@pytest.mark.parametrize("gate", REFUSALS)
def test_refusal_by_the_wrong_gate_fails_the_gate_order_check(gate: str) -> None:
    status, code = REFUSALS[gate]
    for answer in (refuse(status, "OTHER"), refuse(500, code), respond(200, {})):
        with pytest.raises(NotConformingError, match=f"instead of {status} {code}$"):
            lines_of(BY_NAME[f"order.{gate}"], answer)


def test_gate_check_uses_an_idempotency_key_then_exhausts_limits() -> None:
    check = BY_NAME["order.credentials"]
    steps = drive(check.begin(context()), Gatekeeper(refuse(401, "UNAUTHENTICATED")).outcome).steps
    keys = [step.arguments[0] for step in steps if isinstance(step, HookCall)]
    own, reader, stranger = [key for key in keys if isinstance(key, ApiKeyRequest)]
    assert own.scopes == stranger.scopes == {"connection:write"}
    assert reader == ApiKeyRequest(own.app_id, own.customer_account_id, scopes=frozenset())
    assert own.customer_account_id != stranger.customer_account_id
    sent = [step for step in steps if isinstance(step, Request)][:23]
    users = [(body_of(each) or {}).get("appUserId") for each in sent]
    assert users[0] == "somebody"
    assert len({"somebody", "user", "busy", *users[1:3]}) == 5
    assert users[3:] == ["busy"] * 20
    lines = [
        read(each, header(sent[0], "Idempotency-Key")).partition(" appUserId")[0] for each in sent
    ]
    assert lines == [
        "app POST /connections used",
        "app POST /connections fresh",
        "stranger POST /connections fresh",
        *["app POST /curae-connect/initiate fresh"] * 10,
        *["app POST /curae-connect/graduation-handoff no key"] * 10,
    ]


NOT_LIMITED: Final = refuse(409, "BINDING_NOT_LIMITED")
RATE_LIMITED: Final = refuse(429, "RATE_LIMITED")


def test_limit_order_check_sends_11_graduation_handoff_requests() -> None:
    check = BY_NAME["order.limit"]
    outcomes = ("key", *[NOT_LIMITED] * 10, RATE_LIMITED)
    sent = play(check.begin(context()), *outcomes).steps[1:]
    graduate = "key POST /curae-connect/graduation-handoff no key appUserId=user"
    assert [read(each, None) for each in sent if isinstance(each, Request)] == [graduate] * 11


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([NOT_LIMITED] * 11, "409 BINDING_NOT_LIMITED instead of 429 RATE_LIMITED"),
        ([RATE_LIMITED], "429 RATE_LIMITED instead of 409 BINDING_NOT_LIMITED"),
        ([NOT_LIMITED] * 9 + [RATE_LIMITED], "instead of 409 BINDING_NOT_LIMITED"),
    ],
)
def test_limit_order_check_fails_without_ten_409s_and_then_a_429(
    answers: list[Response], message: str
) -> None:
    with pytest.raises(NotConformingError, match=f"{message}$"):
        play(BY_NAME["order.limit"].begin(context()), "key", *answers)
