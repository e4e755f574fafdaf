"""Section 4 of the rules: the record's table by hand, fencing, and law 12 by exhaustion."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Final, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.attempt import (
    ATTEMPT,
    UPKEEP,
    LeaseLost,
    complete,
    forget,
    release,
    renew,
    resolve,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    BEGIN,
    RECORD_STANDING,
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    LostLease,
    Match,
    Record,
    RecordKey,
    RecordState,
    StoredResponse,
    begin,
    completed_record,
    in_flight_record,
    parse_key,
    record_expires_at,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ApiKeyId
from curae_lifecycle.service.response import Response, ResponseReference, kept_headers
from tests.explore.clients import Clients
from tests.explore.engine import ViolationError, explore
from tests.explore.key import Held
from tests.strategies import START, TICK

KEY: Final = RecordKey(ApiKeyId("key-1"), IdempotencyKey("k-1"))
SAME: Final = Fingerprint.of("initiate", "user-1", "false")
OTHERS: Final = {
    "values": Fingerprint.of("initiate", "user-2", "false"),
    "operation": Fingerprint.of("revoke", "user-1", "false"),
}
ANSWER: Final = Response(201, (("content-type", "application/json"),), b'{"a": 1}')
LATER_ANSWER: Final = Response(201, (), b'{"a": 2}')
LEASE: Final = timedelta(minutes=1)
DAY: Final = timedelta(hours=24)
NAIVE: Final = START.replace(tzinfo=None)
BOTH: Final = tuple(LostLease)

Act = Literal["renew", "complete", "release"]
ACTS: Final[tuple[Act, ...]] = ("renew", "complete", "release")


def first_attempt(now: datetime = START) -> Attempt:
    attempt = begin(None, KEY, SAME, now)
    assert isinstance(attempt, Attempt)
    return attempt


def running(lost_lease: LostLease = LostLease.EXECUTE, now: datetime = START) -> Record:
    return in_flight_record(first_attempt(now), lost_lease=lost_lease)


def done(answer: object) -> Record:
    assert isinstance(answer, Done)
    record = answer.value
    assert isinstance(record, Record)
    return record


def act(
    name: Act, record: Record | None, attempt: Attempt, now: datetime
) -> Done[Record] | LeaseLost:
    match name:
        case "renew":
            return renew(record, attempt, now)
        case "complete":
            return complete(record, attempt, ANSWER, now)
        case "release":
            return release(record, attempt, now)


# What is stored, and the instant at which it is asked.
RECORDS: Final[list[tuple[str, Record | None, datetime]]] = [
    ("absent", None, START),
    ("absent", running(), START + DAY),
    ("absent", running(LostLease.UNKNOWN), START + DAY),
    ("absent", completed_record(first_attempt(), ANSWER), START + DAY),
    ("absent", done(release(running(), first_attempt(), START)), START + DAY),
    ("absent", done(forget(running(), START)), START + DAY),
    ("released", done(release(running(), first_attempt(), START)), START + TICK),
    ("released", done(release(running(), first_attempt(), START)), START + DAY - TICK),
    ("released", done(resolve(running(), START + LEASE, response=None)), START + LEASE),
    ("in flight", running(), START),
    ("in flight", running(LostLease.UNKNOWN), START + LEASE - TICK),
    ("lease over", running(), START + LEASE),
    ("lease over", running(), START + DAY - TICK),
    ("unknown", running(LostLease.UNKNOWN), START + LEASE),
    ("unknown", running(LostLease.UNKNOWN), START + DAY - TICK),
    ("completed", completed_record(first_attempt(), ANSWER), START),
    ("completed", done(complete(running(), first_attempt(), ANSWER, START)), START + DAY - TICK),
    ("completed", done(resolve(running(), START + LEASE, response=ANSWER)), START + LEASE),
    ("forgotten", done(forget(completed_record(first_attempt(), ANSWER), START)), START),
    ("forgotten", done(forget(running(), START)), START + DAY - TICK),
]

# The spec's table, transcribed: record, the same fingerprint, another fingerprint.
SPEC: Final = {
    "absent": ("execute", "execute"),
    "released": ("execute", "IDEMPOTENCY_KEY_REUSED"),
    "in flight": ("IDEMPOTENCY_KEY_IN_FLIGHT", "IDEMPOTENCY_KEY_REUSED"),
    "lease over": ("execute", "IDEMPOTENCY_KEY_REUSED"),
    "unknown": ("IDEMPOTENCY_OUTCOME_UNKNOWN", "IDEMPOTENCY_KEY_REUSED"),
    "completed": ("replay", "IDEMPOTENCY_KEY_REUSED"),
    "forgotten": ("IDEMPOTENCY_KEY_FORGOTTEN", "IDEMPOTENCY_KEY_REUSED"),
}


def test_the_spec_was_transcribed_whole_and_every_row_is_tried() -> None:
    assert {name for name, _, _ in RECORDS} == set(SPEC)
    assert len(BEGIN) == 2 * len(SPEC)
    assert len(RECORD_STANDING) == 4 * 2 * 2
    assert len(ATTEMPT) == 3 * 7 * 2
    assert len(UPKEEP) == 3 * 7
    assert {str(row.outcome) for _, row in ATTEMPT} == {
        "lease lost",
        "IN_FLIGHT",
        "COMPLETED",
        "RELEASED",
    }


@pytest.mark.parametrize(("name", "record", "now"), RECORDS)
@pytest.mark.parametrize("differs", [None, "operation", "values"])
def test_every_cell_of_the_record_table_is_the_specs(
    name: str, record: Record | None, now: datetime, differs: str | None
) -> None:
    fingerprint = SAME if differs is None else OTHERS[differs]
    cell = SPEC[name][differs is not None]
    before = deepcopy(record)
    answer = begin(record, KEY, fingerprint, now)
    assert record == before
    assert begin(record, KEY, fingerprint, now) == answer
    standing = record_standing(record, now)
    assert standing.startswith(name) or standing == f"in flight, {name}"
    match = Match.SAME if differs is None else Match.OTHER
    assert str(BEGIN[standing, match].outcome).removeprefix("refuse ") == cell
    assert answer.rules[0].startswith("idempotency." + name.replace(" ", "-"))
    if cell == "execute":
        used_first = record is None or name == "absent"
        assert isinstance(answer, Attempt)
        assert (answer.key, answer.fingerprint, answer.at) == (KEY, fingerprint, now)
        assert answer.token == (1 if record is None else record.token + 1)
        assert answer.first_used_at == (now if used_first else START)
    elif cell == "replay":
        assert isinstance(answer, KnownResponse)
        assert answer.response is ANSWER
    else:
        assert isinstance(answer, Refused)
        assert answer.problem.code == cell
        if cell == "IDEMPOTENCY_KEY_REUSED":
            assert answer.problem.details == {"differs": differs}


# --- What an attempt may still do ------------------------------------------------------------

HOLDERS: Final = {
    "this attempt": lambda attempt: attempt,
    "an earlier token": lambda attempt: attrs.evolve(attempt, token=attempt.token - 1),
    "a later token": lambda attempt: attrs.evolve(attempt, token=attempt.token + 1),
    "the token of an earlier retention": lambda attempt: attrs.evolve(
        attempt, first_used_at=attempt.first_used_at - DAY
    ),
    "another record's": lambda attempt: attrs.evolve(
        attempt, key=RecordKey(ApiKeyId("key-2"), IdempotencyKey("k-1"))
    ),
}


@pytest.mark.parametrize(("name", "record", "now"), RECORDS)
@pytest.mark.parametrize("what", ACTS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_only_the_holder_of_a_running_lease_can_renew_complete_or_release(
    name: str, record: Record | None, now: datetime, what: Act, holder: str
) -> None:
    attempt = HOLDERS[holder](first_attempt())
    before = deepcopy(record)
    answer = act(what, record, attempt, now)
    assert record == before
    assert act(what, record, attempt, now) == answer
    if record is None or name != "in flight" or holder != "this attempt":
        assert isinstance(answer, LeaseLost)
        assert answer.record is record
        assert answer.rules[0].startswith(f"attempt.{name.replace(' ', '-')}")
        return
    assert isinstance(answer, Done)
    assert answer.rules == (f"attempt.{what}",)
    after = {
        "renew": (RecordState.IN_FLIGHT, now + LEASE, None),
        "complete": (RecordState.COMPLETED, None, ANSWER),
        "release": (RecordState.RELEASED, None, None),
    }[what]
    state, lease_until, response = after
    assert answer.value == attrs.evolve(
        record, state=state, seen_at=now, lease_until=lease_until, response=response
    )


# --- What the server may do without one ------------------------------------------------------

UPKEEP_SPEC: Final = {
    "absent": ("ignore", "ignore", "ignore"),
    "released": ("ignore", "ignore", "FORGOTTEN"),
    "in flight": ("ignore", "ignore", "FORGOTTEN"),
    "lease over": ("COMPLETED", "RELEASED", "FORGOTTEN"),
    "unknown": ("COMPLETED", "RELEASED", "FORGOTTEN"),
    "completed": ("ignore", "ignore", "FORGOTTEN"),
    "forgotten": ("ignore", "ignore", "ignore"),
}
"""By record: resolved with a response, resolved as not executed, forgotten."""


@pytest.mark.parametrize(("name", "record", "now"), RECORDS)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_server_resolves_what_nobody_holds_and_forgets_anything(
    name: str, record: Record | None, now: datetime, column: int
) -> None:
    def upkeep() -> Done[Record] | Ignored[Record | None]:
        if column == 2:
            return forget(record, now)
        return resolve(record, now, response=None if column else LATER_ANSWER)

    before = deepcopy(record)
    answer = upkeep()
    assert record == before
    assert upkeep() == answer
    act_name = ("resolve-answered", "resolve-nothing", "forget")[column]
    assert answer.rules == (f"record-upkeep.{act_name}.{name.replace(' ', '-')}",)
    cell = UPKEEP_SPEC[name][column]
    if record is None or cell == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is record
    else:
        assert answer.value == attrs.evolve(
            record,
            state=RecordState(cell),
            seen_at=now,
            lease_until=None,
            response=LATER_ANSWER if cell == "COMPLETED" else None,
        )


# --- Tokens, leases, clocks, retention -------------------------------------------------------


@pytest.mark.parametrize("what", ACTS)
def test_a_zombie_can_do_nothing_before_and_after_a_takeover(what: Act) -> None:
    zombie = first_attempt()
    record = in_flight_record(zombie)
    late = START + LEASE
    assert isinstance(act(what, record, zombie, late), LeaseLost)
    heir = begin(record, KEY, SAME, late)
    assert isinstance(heir, Attempt)
    taken = in_flight_record(heir)
    assert heir.token == 2
    for now in (START, late, late + LEASE - TICK):
        assert isinstance(act(what, taken, zombie, now), LeaseLost)
    assert isinstance(act(what, taken, heir, late), Done)


def test_the_token_grows_through_release_takeover_forgetting_and_retention() -> None:
    attempt, record, now = first_attempt(), running(), START
    for expected in range(2, 6):
        record = done(release(record, attempt, now))
        again = begin(record, KEY, SAME, now)
        assert isinstance(again, Attempt)
        assert again.token == expected
        attempt, record = again, in_flight_record(again)
    record = done(forget(record, now))
    assert record.token == 5
    over = begin(record, KEY, OTHERS["values"], record_expires_at(record))
    assert isinstance(over, Attempt)
    assert over.token == 6


@pytest.mark.parametrize("what", ACTS)
def test_an_attempt_of_a_record_that_was_dropped_after_retention_is_not_taken_for_the_new_one(
    what: Act,
) -> None:
    old = first_attempt()
    new = first_attempt(START + DAY)
    assert (old.key, old.token) == (new.key, new.token)
    record = in_flight_record(new)
    assert isinstance(act(what, record, old, START + DAY), LeaseLost)
    assert isinstance(act(what, record, new, START + DAY), Done)


def test_retention_is_24_hours_from_the_first_use_however_late_the_answer() -> None:
    attempt = first_attempt()
    record = done(renew(in_flight_record(attempt), attempt, START, lease=23 * 3600 * 10**6))
    record = done(complete(record, attempt, ANSWER, START + timedelta(hours=22)))
    assert record_expires_at(record) == START + DAY
    assert isinstance(begin(record, KEY, SAME, START + DAY - TICK), KnownResponse)
    assert isinstance(begin(record, KEY, SAME, START + DAY), Attempt)


def test_a_clock_that_steps_back_is_clamped_to_what_the_record_has_seen() -> None:
    attempt, seen, back = first_attempt(), START + LEASE / 2, START - DAY
    record = done(renew(in_flight_record(attempt), attempt, seen))
    waits = begin(record, KEY, SAME, back)
    assert isinstance(waits, Refused)
    assert waits.problem.details == {"retryAfter": 60}
    renewed = done(renew(record, attempt, back))
    assert (renewed.seen_at, renewed.lease_until) == (seen, seen + LEASE)
    assert done(complete(record, attempt, ANSWER, back)).seen_at == seen
    assert done(forget(record, back)).seen_at == seen
    released = done(release(record, attempt, back))
    assert released.seen_at == seen
    again = begin(released, KEY, SAME, back)
    assert isinstance(again, Attempt)
    assert (again.at, again.first_used_at) == (seen, START)


@given(st.integers(1, 10**8), st.integers(0, 10**8))
def test_what_is_left_of_the_lease_is_told_in_whole_seconds_and_is_enough(
    lease: int, passed: int
) -> None:
    record = in_flight_record(first_attempt(), lease=lease)
    now = START + timedelta(microseconds=passed)
    answer = begin(record, KEY, SAME, now)
    if passed >= lease:
        assert isinstance(answer, Attempt)
        return
    assert isinstance(answer, Refused)
    wait = answer.problem.details["retryAfter"]
    assert isinstance(wait, int)
    assert wait >= 1
    assert isinstance(begin(record, KEY, SAME, now + timedelta(seconds=wait)), Attempt)
    if wait > 1:
        assert isinstance(begin(record, KEY, SAME, now + timedelta(seconds=wait - 1)), Refused)


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "renew", "complete", "release", "resolve", "forget"]),
        st.one_of(
            st.sampled_from([0, 60 * 10**6 - 1, 60 * 10**6, 24 * 3600 * 10**6]),
            st.integers(0, 50 * 3600 * 10**6),
        ).map(lambda us: START + timedelta(microseconds=us)),
        st.sampled_from(LostLease),
    ),
    max_size=20,
)


@given(steps)
def test_whatever_the_clocks_say_token_and_seen_never_fall(
    history: list[tuple[str, datetime, LostLease]],
) -> None:
    attempt, record = first_attempt(), running()
    for what, now, lost_lease in history:
        before = record
        match what:
            case "begin":
                answer = begin(record, KEY, SAME, now)
                if isinstance(answer, Attempt):
                    attempt, record = answer, in_flight_record(answer, lost_lease=lost_lease)
            case "renew" | "complete" | "release":
                acted = act(what, record, attempt, now)
                record = record if isinstance(acted, LeaseLost) else acted.value
            case "resolve":
                record = resolve(record, now, response=None).value or record
            case _:
                record = forget(record, now).value or record
        assert record.seen_at >= before.seen_at
        assert record.token == before.token + (record is not before and what == "begin")
        if before.first_used_at != record.first_used_at:
            assert what == "begin"
            assert record.first_used_at >= before.first_used_at + DAY
        if record is not before:
            assert record.seen_at >= now


# --- What is kept ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", range(100, 600))
def test_a_response_is_kept_if_the_rule_itself_reached_it(status: int) -> None:
    kept = 200 <= status <= 299 or status in {404, 409}
    assert is_kept(status) is kept
    late = START + LEASE
    for response in (Response(status, (), b""), ResponseReference(status, "vault/1")):
        if kept:
            for record in (
                completed_record(first_attempt(), response),
                done(complete(running(), first_attempt(), response, START)),
                done(resolve(running(), late, response=response)),
            ):
                assert record.response is response
            continue
        with pytest.raises(ArgumentError, match="response"):
            completed_record(first_attempt(), response)
        with pytest.raises(ArgumentError, match="response"):
            complete(running(), first_attempt(), response, START)
        with pytest.raises(ArgumentError, match="response"):
            resolve(running(), late, response=response)


@pytest.mark.parametrize(
    "response",
    [
        Response(200, (("b", "1"), ("a", "2"), ("b", "1")), b'{ "x":1.0}\n\xff'),
        ResponseReference(201, "vault/1"),
    ],
)
def test_a_replay_is_verbatim_and_beside_the_response(response: StoredResponse) -> None:
    replay = begin(completed_record(first_attempt(), response), KEY, SAME, START)
    assert isinstance(replay, KnownResponse)
    assert replay.response is response


def test_forgetting_erases_the_answer() -> None:
    forgotten = done(forget(completed_record(first_attempt(), ANSWER), START))
    assert forgotten.response is None


NEVER_KEPT: Final = [
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
def test_date_cookies_and_hop_by_hop_headers_are_never_kept(name: str) -> None:
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
def test_order_and_repetition_of_the_other_headers_are_kept(
    headers: tuple[tuple[str, str], ...],
) -> None:
    kept = [pair for pair in headers if pair[0] not in {"date", "TE"}]
    assert list(kept_headers(headers)) == kept


def test_what_a_connection_header_names_is_never_kept() -> None:
    headers = (("Connection", "close, X-Hop"), ("x-hop", "1"), ("x-stay", "2"))
    assert kept_headers(headers) == (("x-stay", "2"),)


def test_no_record_holds_what_is_never_kept() -> None:
    cookie = Response(201, (("set-cookie", "s"), ("etag", '"1"'), ("date", "today")), b"{}")
    kept = Response(201, (("etag", '"1"'),), b"{}")
    assert completed_record(first_attempt(), cookie).response == kept
    assert done(complete(running(), first_attempt(), cookie, START)).response == kept
    late = START + LEASE
    assert done(resolve(running(LostLease.UNKNOWN), late, response=cookie)).response == kept
    reference = ResponseReference(201, "vault/1")
    assert completed_record(first_attempt(), reference).response is reference


def test_two_values_are_told_from_one_that_holds_a_line_feed() -> None:
    texts = (("a", "b"), ("a\nb",), ("3:a\nb",), ("3:a", "b"), ("",), (), ("", ""), ("\n",))
    assert len({Fingerprint.of("initiate", *values) for values in texts}) == len(texts)


def test_no_repr_shows_a_kept_body() -> None:
    secret = Response(201, (), b"https://connect.example/secret")
    replay = begin(completed_record(first_attempt(), secret), KEY, SAME, START)
    for value in (secret, completed_record(first_attempt(), secret), replay):
        assert "secret" not in repr(value)


# --- Keys and fingerprints -------------------------------------------------------------------


@pytest.mark.parametrize("number", [*range(0x180), 0x3000, 0xD800, 0x1F600])
def test_a_key_is_visible_ascii(number: int) -> None:
    for text in (chr(number), f"a{chr(number)}", f"{chr(number)}a"):
        if 0x21 <= number <= 0x7E:
            assert parse_key(text) == text
        else:
            with pytest.raises(ArgumentError, match="Idempotency-Key"):
                parse_key(text)


@pytest.mark.parametrize(
    ("value", "good"),
    [("", False), ("k", True), ("k" * 255, True), ("k" * 256, False)]
    + [(wrong, False) for wrong in (None, 1, b"k", ["k"])],
)
def test_a_key_has_1_to_255_characters(value: object, good: bool) -> None:  # noqa: FBT001
    if good:
        assert parse_key(value) == value
    else:
        with pytest.raises(ArgumentError, match="Idempotency-Key"):
            parse_key(value)


@pytest.mark.parametrize("field", ["api_key_id", "key"])
def test_a_record_belongs_to_one_api_key_and_one_key(field: str) -> None:
    foreign = RecordKey(
        ApiKeyId("key-2") if field == "api_key_id" else KEY.api_key_id,
        IdempotencyKey("k-2") if field == "key" else KEY.key,
    )
    assert foreign != KEY
    with pytest.raises(ArgumentError, match="record"):
        begin(running(), foreign, SAME, START)


texts = st.lists(st.text("0123456789:,ab", min_size=1, max_size=3), max_size=4)


@given(texts, texts)
def test_two_lists_of_values_have_one_fingerprint_only_if_they_are_equal(
    one: list[str], two: list[str]
) -> None:
    assert (Fingerprint.of("x", *one) == Fingerprint.of("x", *two)) is (one == two)
    assert Fingerprint.of("x", *one) != Fingerprint.of("y", *one)


def test_a_fingerprint_holds_no_value() -> None:
    fingerprint = Fingerprint.of("initiate", "a-readable-user")
    assert "readable" not in repr(fingerprint)


@pytest.mark.parametrize("bad", [NAIVE, START.isoformat()])
def test_every_act_needs_a_utc_instant(bad: datetime) -> None:
    record, attempt = running(), first_attempt()
    for call in (
        lambda: begin(record, KEY, SAME, bad),
        lambda: begin(None, KEY, SAME, bad),
        lambda: renew(record, attempt, bad),
        lambda: complete(record, attempt, ANSWER, bad),
        lambda: release(record, attempt, bad),
        lambda: resolve(record, bad, response=None),
        lambda: forget(record, bad),
    ):
        with pytest.raises(ArgumentError) as error:
            call()
        assert error.value.argument == "now"


@pytest.mark.parametrize("lease", [0, -1])
def test_a_lease_lasts_at_least_one_microsecond(lease: int) -> None:
    with pytest.raises(ArgumentError, match="lease"):
        in_flight_record(first_attempt(), lease=lease)
    with pytest.raises(ArgumentError, match="lease"):
        renew(running(), first_attempt(), START, lease=lease)


# --- Law 12 ----------------------------------------------------------------------------------
#
# One key under every interleaving: `tests.explore.key` says what happens there.


@pytest.mark.parametrize(
    "world",
    [
        Held(1, 2, lost_leases=BOTH, forgets=True, at_once=True, steps_back=True),
        Held(2, 1, lost_leases=BOTH, forgets=True, at_once=True, steps_back=True),
        Held(3, 1, attempts=1, at_once=True),
    ],
)
def test_law_12_one_key_one_execution_and_one_answer_under_every_interleaving(world: Held) -> None:
    model = Clients(world)
    worlds = explore(model).order  # the law is asserted at every step
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
    assert ("resolves as COMPLETED" in steps) == (world.lost_leases == BOTH)
    assert ("forgets" in steps) == world.forgets
    assert ("steps back" in steps) == world.steps_back


def test_law_12_needs_a_store_that_compares() -> None:
    with pytest.raises(ViolationError, match="law 12 is broken: 2 executions took effect"):
        explore(Clients(Held(2, 0, at_once=True, compares=False)))
