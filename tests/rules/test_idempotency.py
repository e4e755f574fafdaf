"""Idempotency records (section 4 of the rules), and law 12 in every interleaving."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.attempt import complete, forget, release, renew, resolve
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    LostLeaseAction,
    Record,
    begin_attempt,
)
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.response import Response, ResponseReference, kept_headers
from curae_lifecycle.service.status import is_kept
from tests.proof.explore import clients, engine
from tests.proof.explore.key import Held
from tests.proof.reference.tables import IDEMPOTENCY
from tests.support import specimens
from tests.support.specimens import (
    ANSWER,
    DAY,
    KEY,
    LEASE,
    RECORDS,
    SAME,
    done,
    first_attempt,
    running,
)
from tests.support.strategies import START, TICK, Frozen, uuid


@pytest.mark.parametrize(("name", "record", "now"), RECORDS)
@pytest.mark.parametrize("differs", [None, "operation", "values"])
def test_request_with_a_used_key_matches_the_idempotency_table(
    name: str, record: Record | None, now: datetime, differs: str | None
) -> None:
    fingerprint = SAME if differs is None else specimens.OTHERS[differs]
    cell = IDEMPOTENCY[name, "same fingerprint" if differs is None else "other fingerprint"]
    before = deepcopy(record)
    answer = begin_attempt(record, key=KEY, fingerprint=fingerprint, now=now)
    assert record == before
    assert begin_attempt(record, key=KEY, fingerprint=fingerprint, now=now) == answer
    assert idempotency.record_standing(record, now) == name
    assert answer.rules[0].startswith(f"idempotency.{specimens.rule_word(name)}")
    if cell == "execute":
        used_first = record is None or name.startswith("absent")
        assert isinstance(answer, Attempt)
        assert (answer.key, answer.fingerprint, answer.started_at) == (KEY, fingerprint, now)
        assert answer.token == (1 if record is None else record.token + 1)
        assert answer.first_used_at == (now if used_first else START)
    elif cell == "replay":
        assert isinstance(answer, idempotency.KnownResponse)
        assert answer.response is ANSWER
    else:
        assert isinstance(answer, Refused)
        assert specimens.refusal(answer) == cell
        if cell == "refuse IDEMPOTENCY_KEY_REUSED":
            assert answer.problem.details == {"differs": differs}


# --- Tokens, leases and retention --------------------------------------------------------------


def test_attempt_token_increments_on_every_new_attempt() -> None:
    attempt, record, now = first_attempt(), running(), START
    for expected in range(2, 6):
        record = done(release(record, attempt, now))
        again = begin_attempt(record, key=KEY, fingerprint=SAME, now=now)
        assert isinstance(again, Attempt)
        assert again.token == expected
        attempt, record = again, idempotency.in_flight_record(again)
    record = done(forget(record, now))
    assert record.token == 5
    over = begin_attempt(
        record,
        key=KEY,
        fingerprint=specimens.OTHERS["values"],
        now=idempotency.record_expires_at(record),
    )
    assert isinstance(over, Attempt)
    assert over.token == 6


def test_idempotency_key_is_retained_24_hours_from_first_use() -> None:
    attempt = first_attempt()
    record = done(
        renew(idempotency.in_flight_record(attempt), attempt, START, lease=23 * 3600 * 10**6)
    )
    record = done(
        complete(record, attempt=attempt, response=ANSWER, now=START + timedelta(hours=22))
    )
    assert idempotency.record_expires_at(record) == START + DAY
    assert isinstance(
        begin_attempt(record, key=KEY, fingerprint=SAME, now=START + DAY - TICK),
        idempotency.KnownResponse,
    )
    assert isinstance(begin_attempt(record, key=KEY, fingerprint=SAME, now=START + DAY), Attempt)


@given(st.integers(1, 10**8), st.integers(0, 10**8))
def test_retry_after_is_remaining_lease_rounded_up_to_seconds(lease: int, passed: int) -> None:
    record = idempotency.in_flight_record(first_attempt(), lease=lease)
    now = START + timedelta(microseconds=passed)
    answer = begin_attempt(record, key=KEY, fingerprint=SAME, now=now)
    if passed >= lease:
        assert isinstance(answer, Attempt)
        return
    assert isinstance(answer, Refused)
    wait = answer.problem.details["retryAfter"]
    assert isinstance(wait, int)
    assert wait >= 1
    assert isinstance(
        begin_attempt(record, key=KEY, fingerprint=SAME, now=now + timedelta(seconds=wait)), Attempt
    )
    if wait > 1:
        assert isinstance(
            begin_attempt(record, key=KEY, fingerprint=SAME, now=now + timedelta(seconds=wait - 1)),
            Refused,
        )


# --- Stored responses --------------------------------------------------------------------------


KEPT = {*range(200, 300), 404, 409}


@pytest.mark.parametrize(
    "made",
    [lambda status: Response(status, (), b""), lambda status: ResponseReference(status, "vault/1")],
    ids=["a response", "a reference"],
)
def test_only_2xx_404_and_409_responses_are_stored_for_replay(
    made: Callable[[int], Response | ResponseReference],
) -> None:
    for status in range(100, 600):
        assert is_kept(status) is (status in KEPT), status
        response = made(status)
        if status in KEPT:
            assert idempotency.completed_record(first_attempt(), response).response is response
            continue
        with pytest.raises(ArgumentError, match="response"):
            idempotency.completed_record(first_attempt(), response)


@pytest.mark.parametrize(
    "response",
    [
        Response(200, (("b", "1"), ("a", "2"), ("b", "1")), b'{ "x":1.0}\n\xff'),
        ResponseReference(201, "vault/1"),
    ],
)
def test_replay_returns_the_stored_response_unchanged(response: idempotency.StoredResponse) -> None:
    replay = begin_attempt(
        idempotency.completed_record(first_attempt(), response),
        key=KEY,
        fingerprint=SAME,
        now=START,
    )
    assert isinstance(replay, idempotency.KnownResponse)
    assert replay.response is response


NEVER_KEPT = [
    "Date",
    "Set-Cookie",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
]


@pytest.mark.parametrize("name", NEVER_KEPT)
def test_date_cookie_and_hop_by_hop_headers_are_not_stored(name: str) -> None:
    for spelling in (name, name.lower(), name.upper()):
        assert kept_headers((("a", "1"), (spelling, "x"), ("b", "2"))) == (("a", "1"), ("b", "2"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["etag", "vary", "link", "Cache-Control", "x-date", "date", "TE"]),
            st.text(max_size=3),
        )
    ).map(tuple)
)
def test_stored_headers_keep_their_order_and_repetition(
    headers: tuple[tuple[str, str], ...],
) -> None:
    kept = [pair for pair in headers if pair[0] not in {"date", "TE"}]
    assert list(kept_headers(headers)) == kept


def test_headers_named_by_http_connection_header_are_not_stored() -> None:
    headers = (("Connection", "close, X-Hop"), ("x-hop", "1"), ("x-stay", "2"))
    assert kept_headers(headers) == (("x-stay", "2"),)


def test_completed_record_stores_no_date_or_cookie_header() -> None:
    cookie = Response(201, (("set-cookie", "s"), ("etag", '"1"'), ("date", "today")), b"{}")
    kept = Response(201, (("etag", '"1"'),), b"{}")
    assert idempotency.completed_record(first_attempt(), cookie).response == kept
    assert (
        done(complete(running(), attempt=first_attempt(), response=cookie, now=START)).response
        == kept
    )
    late = START + LEASE
    assert done(resolve(running(LostLeaseAction.UNKNOWN), late, response=cookie)).response == kept
    reference = ResponseReference(201, "vault/1")
    assert idempotency.completed_record(first_attempt(), reference).response is reference


def test_line_feed_in_a_value_cannot_forge_another_fingerprint() -> None:
    texts = (("a", "b"), ("a\nb",), ("3:a\nb",), ("3:a", "b"), ("",), (), ("", ""), ("\n",))
    assert len({Fingerprint.of("initiate", [*values]) for values in texts}) == len(texts)


def test_repr_hides_the_stored_response_body() -> None:
    secret = Response(201, (), b"https://connect.example/secret")
    replay = begin_attempt(
        idempotency.completed_record(first_attempt(), secret), key=KEY, fingerprint=SAME, now=START
    )
    for value in (secret, idempotency.completed_record(first_attempt(), secret), replay):
        assert "secret" not in repr(value)


# --- Keys and fingerprints -------------------------------------------------------------------


@pytest.mark.parametrize("where", ["{}", "a{}", "{}a"])
def test_idempotency_key_outside_visible_ascii_raises(where: str) -> None:
    for number in (*range(0x180), 0x3000, 0xD800, 0x1F600):
        text = where.format(chr(number))
        if 0x21 <= number <= 0x7E:
            assert idempotency.parse_idempotency_key(text) == text
            continue
        with pytest.raises(ArgumentError, match="idempotencyKey"):
            idempotency.parse_idempotency_key(text)


@pytest.mark.parametrize(
    ("value", "good"),
    [("", False), ("k", True), ("k" * 255, True), ("k" * 256, False)]
    + [(wrong, False) for wrong in (None, 1, b"k", ["k"])],
)
def test_idempotency_key_length_must_be_1_to_255(value: object, good: bool) -> None:  # noqa: FBT001
    if good:
        assert idempotency.parse_idempotency_key(value) == value
    else:
        with pytest.raises(ArgumentError, match="idempotencyKey"):
            idempotency.parse_idempotency_key(value)


FOREIGN: Final = {
    "the idempotency key": attrs.evolve(KEY, key=idempotency.IdempotencyKey("k-2")),
    "the API key": attrs.evolve(KEY, owner=attrs.evolve(KEY.owner, api_key_id=ApiKeyId("key-2"))),
    "its environment": attrs.evolve(
        KEY, owner=attrs.evolve(KEY.owner, environment=Environment.TEST)
    ),
    "its app": attrs.evolve(KEY, owner=attrs.evolve(KEY.owner, app_id=AppId("app-2"))),
    "its account": attrs.evolve(
        KEY, owner=attrs.evolve(KEY.owner, customer_account_id=CustomerAccountId(uuid(7)))
    ),
}
"""The record's key with one part changed."""


@pytest.mark.parametrize("part", FOREIGN)
def test_begin_attempt_raises_for_record_of_another_key_or_owner(part: str) -> None:
    foreign = FOREIGN[part]
    assert foreign != KEY
    assert len({KEY, foreign}) == 2
    with pytest.raises(ArgumentError, match="record"):
        begin_attempt(running(), key=foreign, fingerprint=SAME, now=START)


texts = st.lists(st.text("0123456789:,ab", min_size=1, max_size=3), max_size=4)


@given(texts, texts)
def test_fingerprints_are_equal_only_for_equal_values(one: list[str], two: list[str]) -> None:
    assert (Fingerprint.of("x", [*one]) == Fingerprint.of("x", [*two])) is (one == two)
    assert Fingerprint.of("x", [*one]) != Fingerprint.of("y", [*one])


def test_fingerprint_repr_hides_the_values() -> None:
    fingerprint = Fingerprint.of("initiate", ["a-readable-user"])
    assert "readable" not in repr(fingerprint)


def test_begin_attempt_accepts_a_datetime_subclass() -> None:
    now = Frozen(2026, 1, 1, 0, 20, tzinfo=UTC)
    attempt = begin_attempt(None, key=KEY, fingerprint=SAME, now=now)
    assert isinstance(attempt, Attempt)
    assert attempt.started_at is now


@pytest.mark.parametrize("bad", [specimens.NAIVE, START.isoformat()])
def test_begin_attempt_raises_if_now_is_not_utc(bad: datetime) -> None:
    for record in (running(), None):
        with pytest.raises(ArgumentError) as error:
            begin_attempt(record, key=KEY, fingerprint=SAME, now=bad)
        assert error.value.argument == "now"


@pytest.mark.parametrize("lease", [0, -1])
def test_lease_below_one_microsecond_raises_argument_error(lease: int) -> None:
    with pytest.raises(ArgumentError, match="lease"):
        idempotency.in_flight_record(first_attempt(), lease=lease)


# --- Law 12 ----------------------------------------------------------------------------------
#
# One key in every interleaving; `tests.proof.explore.key` describes the model.


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(
            Held(
                1,
                2,
                lost_leases=tuple(LostLeaseAction),
                forgets=True,
                at_once=True,
                steps_back=True,
            ),
            marks=pytest.mark.slow,
        ),
        Held(2, 1, lost_leases=tuple(LostLeaseAction), forgets=True, at_once=True, steps_back=True),
        Held(3, 1, attempts=1, at_once=True),
    ],
)
def test_law_12_one_key_executes_once_in_every_interleaving(world: Held) -> None:
    model = clients.Clients(world)
    worlds = engine.explore(model).order  # it asserts the law at every step
    steps = {label[1] for each in worlds for label, _, _ in model.steps(each)}
    assert steps >= {
        "request is executed at once",
        "request is refused: IDEMPOTENCY_KEY_IN_FLIGHT",
        "request is replayed",
        "duplicate request is replayed",
        "worker plans to renew",
        "worker would complete, its lease is lost",
        "worker stores IN_FLIGHT",
        "worker stores RELEASED",
        "worker stores COMPLETED",
        "worker dies",
        "worker lost the race",
        "answer is lost",
        "the lease is over",
    }
    assert ("resolves as COMPLETED" in steps) == (world.lost_leases == tuple(LostLeaseAction))
    assert ("forgets" in steps) == world.forgets
    assert ("steps back" in steps) == world.steps_back


def test_law_12_fails_in_a_model_without_compare_and_set() -> None:
    with pytest.raises(engine.ViolationError, match="law 12 is broken: 2 executions took effect"):
        engine.explore(clients.Clients(Held(2, 0, at_once=True, compares=False)))
