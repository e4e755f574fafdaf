"""Broken lines in logs of traffic: each gives an error and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.replay.log import BrokenLineError, read_fact, replay
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import LAST_INSTANT, format_time
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.json_schema import Json
from tests.support.logs import (
    ASK,
    BINDING,
    BUCKET,
    FACT,
    K1,
    KEY,
    LAND,
    POST,
    RECONNECTED,
    REST,
    REVOKE,
    REVOKED,
    STORY,
    UNKNOWN,
    A,
    answers,
    asked,
    created,
    fact,
    is_broken,
    last,
    time,
    with_,
    without,
    written,
)
from tests.support.strategies import TICK, at


def test_unbroken_sample_log_lines_have_no_error() -> None:
    for line in [KEY, POST, FACT, BINDING, REVOKE, LAND, ASK, written(9, buckets=[BUCKET])]:
        assert not list(replay([*STORY, line]))[-1].broken


@pytest.mark.parametrize("lines", [[], [REVOKED], [A, RECONNECTED]])
def test_authorization_that_expires_when_it_begins_gets_an_error(
    lines: list[bytes],
) -> None:
    for connection in ["{c1.connection.id}", UNKNOWN]:
        late = fact(50, "connection.authorize", connectionId=connection, expiresAt=time(50))
        assert is_broken(last(A, *lines, late))


def test_log_lines_with_equal_times_are_valid() -> None:
    assert not any(map(is_broken, answers(K1, created(0), created(0, "c2"))))


def test_error_of_a_broken_log_line_never_repeats_the_value() -> None:
    line = with_(KEY, "register", apiKey="cae_live_secret two")
    assert "secret" not in str(last(line)["error"])


@given(st.binary(max_size=80))
def test_law_16_replay_continues_after_a_line_of_any_bytes(line: bytes) -> None:
    broken, ask = list(replay([K1, A, line, asked(9)]))[2:]
    assert is_broken(broken.answer)
    assert ask.answer["reason"] == "PENDING"


texts = st.text(max_size=8) | st.sampled_from(["{c1.connection.id}", "{c1}", time(2), UNKNOWN])
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([KEY, POST, FACT, BINDING, REVOKE, LAND, ASK]),
    st.integers(0, 40),
    values,
)
def test_law_16_log_line_with_any_value_gets_an_answer_or_error(
    line: bytes, place: int, value: Json
) -> None:
    document: Json = json.loads(line)
    places = list(_places(document))
    holder, name = places[place % len(places)]
    holder[name] = value
    answer = list(replay([*STORY, json.dumps(document).encode()], check=True))[-1].answer
    assert answer["line"] == len(STORY) + 1
    assert is_broken(answer) or {"status", "outcome", "granted"} & answer.keys()


def _places(document: Json) -> Iterator[tuple[dict[str, Json], str]]:
    if isinstance(document, dict):
        for name in list(document):
            yield document, name
            yield from _places(document[name])


# --- Kinds of broken lines --------------------------------------------------------------------

BUCKETS: Final[list[Json]] = [
    None,
    {},
    [7],
    [{}],
    [{**BUCKET, "colour": 1}],
    [BUCKET, BUCKET],
    [{**BUCKET, "name": ""}],
    [{**BUCKET, "name": None}],
    [{**BUCKET, "capacity": 0}],
    [{**BUCKET, "capacity": True}],
    [{**BUCKET, "refill": 1.0}],
    [{**BUCKET, "seconds": -1}],
    [{**BUCKET, "seconds": "1"}],
]


AHEAD: Final = format_time(at(14) + TICK)
"""A time further ahead of minute 9 than clocks may differ."""

BROKEN: Final[dict[str, list[bytes]]] = {
    "not JSON": [
        b"",
        b" ",
        b"\n",
        b"x",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf" + ASK,
        ASK + ASK,
        ASK.replace(b'"labs"', b"NaN"),
        ASK.replace(b'"labs"', b"9" * 5000),
        b"[" * 100_000,
    ],
    "no line": [
        b"null",
        b"7",
        b'"x"',
        b"[]",
        b"{}",
        b"[" + ASK + b"]",
        without(ASK, "ask"),
        without(ASK, "at"),
        with_(ASK, colour=1),
        ASK.replace(b'"at"', b'"at": "2026-01-01T00:09:00Z", "at"'),
    ],
    "two kinds": [
        with_(ASK, fact=json.loads(FACT)["fact"]),
        with_(KEY, buckets=[]),
        with_(POST, ask=json.loads(ASK)["ask"]),
    ],
    "a time": [
        with_(ASK, at=None),
        with_(ASK, at=7),
        with_(ASK, at="2026-01-01"),
        with_(ASK, at="2026-01-01T00:09:00"),
        with_(ASK, at="2026-01-01T00:09:00+00:00"),
        with_(ASK, at="2026-02-30T00:09:00Z"),
        with_(ASK, at="2026-01-01T00:09:00.0000000Z"),
        with_(ASK, at=time(1.99)),
    ],
    "a name or a response on another kind": [
        line[:-1] + more
        for line in [ASK, FACT, KEY, written(9, buckets=[])]
        for more in [b', "as": "x"}', b', "response": {"status": 200}}']
    ],
    "a request": [
        with_(POST, request=None),
        without(POST, "method"),
        without(POST, "path"),
        with_(POST, "request", method=None),
        with_(POST, "request", path=7),
        with_(POST, "request", headers=None),
        with_(POST, "request", headers=[]),
        with_(POST, "request", headers={"x": 7}),
        with_(POST, "request", headers={"x": ["y", None]}),
        with_(POST, "request", colour=1),
        POST.replace(b'"as": "broken"', b'"as": 7'),
        with_(POST, response=[]),
        with_(POST, response="201"),
        POST.replace(b'"status"', b'"status": 200, "status"'),
        with_(POST, response={"body": {"x": [{}]}}).replace(b"[{}]", b'[{"y": 1, "y": 2}]'),
    ],
    "a registration": [
        *(without(KEY, each) for each in ["apiKey", "appId", "customerAccountId", "scopes"]),
        with_(KEY, "register", colour=1),
        with_(KEY, "register", apiKey=""),
        with_(KEY, "register", apiKey="two words"),
        with_(KEY, "register", apiKey=7),
        with_(KEY, "register", apiKeyId=None),
        with_(KEY, "register", apiKeyId=""),
        with_(KEY, "register", appId=""),
        with_(KEY, "register", customerAccountId="account-1"),
        with_(KEY, "register", scopes="connection:write"),
        with_(KEY, "register", scopes=[7]),
        with_(KEY, "register", environment="prod"),
        with_(KEY, "register", environment=None),
        with_(KEY, register=[]),
    ],
    "buckets": [written(9, buckets=each) for each in BUCKETS],
    "a fact": [
        with_(FACT, fact=None),
        with_(FACT, fact=[]),
        without(FACT, "type"),
        with_(FACT, "fact", type="connection.create"),
        with_(FACT, "fact", type=["connection.authorize"]),
        with_(FACT, "fact", colour=1),
        with_(FACT, "fact", connectionId=None),
        without(FACT, "connectionId"),
        with_(FACT, "fact", expiresAt=None),
        with_(FACT, "fact", expiresAt="soon"),
        with_(FACT, "fact", happenedAt="before"),
        FACT.replace(b'"type"', b'"type": "connection.authorize", "type"'),
        fact(9, "connection.require_action"),
        fact(9, "connection.require_action", reason=""),
        without(REVOKE, "actor"),
        with_(REVOKE, "fact", actor="DOCTOR"),
        with_(REVOKE, "fact", actor=None),
        without(LAND, "userId"),
        with_(LAND, "fact", userId=""),
        with_(LAND, "fact", sessionId=7),
    ],
    "a coordinate": [
        with_(BINDING, "fact", customerAccountId="account-1"),
        with_(BINDING, "fact", appUserId=" user-1"),
        with_(BINDING, "fact", appUserId=""),
        with_(BINDING, "fact", appId=7),
        with_(BINDING, "fact", environment="prod"),
        with_(BINDING, "fact", userId=None),
        with_(fact(9, "binding.tombstone"), "fact", userId=7),
    ],
    "a question": [
        with_(ASK, ask=None),
        with_(ASK, "ask", type="consent"),
        with_(ASK, "ask", connectionId=UNKNOWN),
        with_(ASK, "ask", connectionId="no-uuid"),
        with_(ASK, "ask", connectionId=None),
        with_(ASK, "ask", dataPackage=None),
        with_(ASK, "ask", colour=1),
        without(ASK, "dataPackage"),
    ],
    "an occurrence": [
        with_(FACT, "fact", happenedAt=AHEAD),
        with_(FACT, "fact", expiresAt=time(9)),
        with_(FACT, "fact", expiresAt=time(9), happenedAt=time(14)),
        with_(FACT, "fact", expiresAt=time(2), happenedAt=time(2)),
        with_(FACT, "fact", expiresAt=time(1), happenedAt=time(0)),
        with_(REVOKE, "fact", happenedAt=AHEAD),
        fact(9, "connection.expire", happenedAt=AHEAD),
        fact(9, "connection.require_action", reason="x", happenedAt=AHEAD),
        with_(LAND, "fact", happenedAt=AHEAD),
        with_(BINDING, "fact", happenedAt=AHEAD),
        fact(9, "binding.tombstone", happenedAt=AHEAD),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=f"{why}-{n}") for why in BROKEN for n, line in enumerate(BROKEN[why])],
)
def test_broken_log_line_changes_nothing_and_replay_goes_on(line: bytes) -> None:
    # The line is at minute 9 and the rest before it: a broken line must not move the clock.
    *before, broken = list(replay([*STORY, line]))
    assert broken.broken
    assert is_broken(broken.answer)
    assert broken.answer["line"] == len(STORY) + 1
    assert isinstance(broken.answer["error"], str)
    assert not any(each.broken for each in before)
    whole = answers(*STORY, line, *REST)
    rest = [{**each, "line": 0} for each in whole[len(STORY) + 1 :]]
    assert rest == [{**each, "line": 0} for each in answers(*STORY, *REST)[len(STORY) :]]


# --- Errors of broken lines -------------------------------------------------------------------

LINE_MEMBERS: Final = "at, as?, ask?, buckets?, fact?, register?, request?, response?"
KEY_MEMBERS: Final = "apiKey, appId, customerAccountId, scopes, apiKeyId?, environment?"
FACT_KINDS: Final = (
    "connection.authorize, connection.require_action, connection.expire, connection.revoke, "
    "handoff.complete, binding.graduate, binding.tombstone"
)
NO_TIME: Final = "must be an RFC 3339 time ending in Z, at most six fraction digits"
NO_COUNT: Final = "must be an integer from 1 to 999999999999999"

ERRORS: Final[list[tuple[bytes, str]]] = [
    (b"", "the document: NOT_JSON"),
    (b"7", "the line: must be an object"),
    (b"{}", f"the line: must have the members {LINE_MEMBERS}"),
    (without(ASK, "ask"), "the line: must be exactly one of register, buckets, request, fact, ask"),
    (ASK.replace(b'"at"', b'"at": "", "at"'), "the line: has a member twice"),
    (ASK[:-1] + b', "as": "x"}', "the line: as and response go with a request"),
    (with_(ASK, response={}), "the line: as and response go with a request"),
    (with_(ASK, at=7), f"at: {NO_TIME}"),
    (with_(ASK, at=time(1.99)), "at: must not run backwards"),
    (POST.replace(b'"as": "broken"', b'"as": 7'), "as: must be a string"),
    (with_(POST, request=7), "request: must be an object"),
    (
        with_(POST, "request", colour=1),
        "request: must have the members method, path, body?, headers?",
    ),
    (with_(POST, "request", method=7), "request.method: must be a string"),
    (with_(POST, "request", path=7), "request.path: must be a string"),
    (with_(POST, "request", headers=7), "request.headers: must be an object"),
    (with_(POST, "request", headers={"x": 7}), "request.headers: must be a string"),
    (with_(POST, "request", headers={"x": ["y", 7]}), "request.headers: must be a string"),
    (with_(POST, response=7), "response: must be an object"),
    (POST.replace(b'"status"', b'"status": 7, "status"'), "response: has a member twice"),
    (with_(KEY, register=7), "register: must be an object"),
    (with_(KEY, "register", colour=1), f"register: must have the members {KEY_MEMBERS}"),
    (with_(KEY, "register", apiKey=7), "register.apiKey: must be a string"),
    (with_(KEY, "register", scopes=7), "register.scopes: must be a list of strings"),
    (with_(KEY, "register", scopes=[7]), "register.scopes: must be a string"),
    (
        with_(KEY, "register", customerAccountId="7"),
        "customerAccountId: must be a UUID with hyphens",
    ),
    (with_(KEY, "register", environment="7"), "environment: must be one of live, test"),
    (written(9, buckets=7), "buckets: must be a list"),
    (written(9, buckets=[7]), "buckets: must be an object"),
    (written(9, buckets=[{}]), "buckets: must have the members capacity, name, refill, seconds"),
    (written(9, buckets=[{**BUCKET, "name": 7}]), "buckets.name: must be a string"),
    (written(9, buckets=[{**BUCKET, "capacity": "7"}]), "buckets.capacity: must be an integer"),
    (written(9, buckets=[{**BUCKET, "refill": True}]), "buckets.refill: must be an integer"),
    (written(9, buckets=[{**BUCKET, "seconds": 7.0}]), "buckets.seconds: must be an integer"),
    (written(9, buckets=[{**BUCKET, "seconds": 0}]), f"seconds: {NO_COUNT}"),
    (with_(FACT, fact=7), f"fact.type: must be one of {FACT_KINDS}"),
    (with_(FACT, "fact", type="7"), f"fact.type: must be one of {FACT_KINDS}"),
    (
        with_(FACT, "fact", colour=1),
        "fact: must have the members connectionId, type, expiresAt?, happenedAt?, pageUrl?",
    ),
    (FACT.replace(b'"type"', b'"type": "7", "type"'), "fact: has a member twice"),
    (with_(FACT, "fact", expiresAt="7"), f"expiresAt: {NO_TIME}"),
    (with_(FACT, "fact", expiresAt=time(9)), "expiresAt: must be after the authorization"),
    (
        with_(FACT, "fact", happenedAt=AHEAD),
        "happenedAt: must be no more than five minutes after now",
    ),
    (with_(ASK, ask=7), "ask: must be an object"),
    (
        with_(ASK, "ask", colour=1),
        "ask: must have the members connectionId, dataPackage, type",
    ),
    (with_(ASK, "ask", type="7"), "ask.type: must be access"),
    (with_(ASK, "ask", connectionId="7"), "ask.connectionId: must be a UUID with hyphens"),
    (with_(ASK, "ask", connectionId=UNKNOWN), "ask.connectionId: must be a known connection"),
    (with_(ASK, "ask", dataPackage=7), "ask.dataPackage: must be a string"),
    (
        with_(ASK, "ask", dataPackage="{c1.connection.revokedAt}"),
        "names: {c1.connection.revokedAt} must lead to a string of an answer",
    ),
]


def test_second_tombstone_at_end_of_year_9999_gets_an_error() -> None:
    gone = with_(with_(BINDING, "fact", type="binding.tombstone"), at=format_time(LAST_INSTANT))
    first, second, third = answers(*STORY, gone, gone, with_(ASK, at=format_time(LAST_INSTANT)))[
        -3:
    ]
    assert first["outcome"] == "done"
    assert str(second["error"]).startswith("now: must be early enough for another era")
    assert third["granted"] is False


@pytest.mark.parametrize(("line", "error"), ERRORS)
def test_each_kind_of_broken_log_line_gets_its_own_error_text(line: bytes, error: str) -> None:
    assert answers(*STORY, line)[-1] == {"line": len(STORY) + 1, "error": error}


def test_error_of_a_custom_fact_names_its_member_in_camel_case() -> None:
    class Checked(Authorized):
        def check(self, now: datetime) -> None:
            raise ArgumentError("page_url", "a text of the platform", f"a text at {now.minute}")

    (*_, answer) = replay([*STORY, FACT], facts=(Checked,))
    assert answer.answer["error"] == "pageUrl: must be a text of the platform, not a text at 9"


def test_null_as_a_fact_gets_an_error_that_lists_the_fact_types() -> None:
    with pytest.raises(BrokenLineError) as raised:
        read_fact(None)
    assert raised.value.why == f"fact.type: must be one of {FACT_KINDS}"
    assert str(raised.value) == raised.value.why
