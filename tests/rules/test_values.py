"""Parsing and checks of values: texts, UUIDs, data packages, instants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    HOUR,
    LAST_INSTANT,
    MINUTE,
    SECOND,
    AppUser,
    Environment,
    NextAction,
    add_microseconds,
    ceil_seconds,
    check_instant,
    check_uuid,
    clamp_happened_at,
    elapsed,
    format_time,
    from_epoch_microseconds,
    parse_app_user_id,
    parse_data_packages,
    parse_time,
    parse_uuid,
    to_epoch_microseconds,
)
from curae_lifecycle.service import members
from tests.support.strategies import COORDINATE, START, TICK, at, uuid


@pytest.mark.parametrize(
    "text",
    [
        *("0001-01-01T00:00:00Z", "1999-12-31T23:59:59.9Z", "2000-02-29T01:02:03.000001Z"),
        *("2019-10-20T10:20:30.1002Z", "2101-11-12T13:14:15.01Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_parsed_time_is_utc_and_formats_back_unchanged(text: str) -> None:
    instant = parse_time("at", text)
    assert instant.tzinfo is UTC
    assert instant == datetime.fromisoformat(f"{text[:-1]}+00:00")
    assert format_time(instant) == text


def test_repr_of_next_action_hides_its_url() -> None:
    assert "secret" not in repr(NextAction("https://connect.example/secret", START))


NOT_TEXT: list[object] = [None, 7, b"user-1", ["user-1"], True]

# --- Text ----------------------------------------------------------------------------------

texts = pytest.mark.parametrize(
    ("argument", "parse"),
    [
        ("appUserId", parse_app_user_id),
        ("reason", members.REASON.parse),
        ("userId", members.USER_ID.parse),
        ("appId", members.APP_ID.parse),
    ],
)

WHITE_SPACE = [*filter(str.isspace, map(chr, range(sys.maxunicode + 1)))]
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]


@texts
@pytest.mark.parametrize(
    "text",
    ["u", "user-1", "USER-1", "a b", "名前", "a\u00a0b", "👩‍⚕️", "0", "x" * 256, "\U0001f600" * 256],
)
def test_valid_id_or_reason_text_is_parsed_unchanged(
    argument: str, parse: Callable[[object], str], text: str
) -> None:
    assert parse(text) == text, argument


@texts
@pytest.mark.parametrize("text", ["", "\ud800", "a\udfffb", *NOT_TEXT], ids=ascii)
def test_empty_or_non_text_id_or_reason_raises_naming_argument(
    argument: str, parse: Callable[[object], str], text: object
) -> None:
    with pytest.raises(ArgumentError, match=rf"^{argument}: must be ") as error:
        parse(text)
    assert error.value.argument == argument


def test_only_app_user_id_raises_for_padding_or_257_characters() -> None:
    for text in ("x" * 257, " padded ", "tab\t"):
        opaque = (members.REASON, members.USER_ID, members.APP_ID)
        assert {member.parse(text) for member in opaque} == {text}
        with pytest.raises(ArgumentError, match="appUserId: must be 1 to 256 code points"):
            parse_app_user_id(text)


def test_app_user_id_allows_white_space_inside_not_at_its_ends() -> None:
    assert {" ", "\u00a0", "\u2003", "\u3000", "\u2028"} < set(WHITE_SPACE)
    for space in WHITE_SPACE:
        for text in (space, f"{space}user", f"user{space}"):
            with pytest.raises(ArgumentError, match="appUserId"):
                parse_app_user_id(text)
        if space not in CONTROLS:
            assert parse_app_user_id(f"a{space}b") == f"a{space}b"


def test_app_user_id_with_a_control_character_anywhere_raises() -> None:
    for control in CONTROLS:
        with pytest.raises(ArgumentError, match="appUserId"):
            parse_app_user_id(f"a{control}b")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=300))
def test_app_user_id_length_must_be_1_to_256_code_points(text: str) -> None:
    if 1 <= len(text) <= 256:
        assert parse_app_user_id(text) == text
    else:
        with pytest.raises(ArgumentError, match="appUserId"):
            parse_app_user_id(text)


def test_app_user_id_error_never_repeats_the_value() -> None:
    with pytest.raises(ArgumentError) as error:
        parse_app_user_id("secret\x00")
    assert "secret" not in str(error.value)


# --- UUIDs ---------------------------------------------------------------------------------


@given(st.uuids(), st.booleans())
def test_uuid_in_any_case_is_returned_in_lower_case(
    number: object,
    upper: bool,  # noqa: FBT001 - Hypothesis passes it by name
) -> None:
    text = str(number)
    assert parse_uuid("id", text.upper() if upper else text) == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        uuid(1).replace("-", ""),
        uuid(1) + "\n",
        " " + uuid(1),
        "{" + uuid(1) + "}",
        "urn:uuid:" + uuid(1),
        uuid(1)[:-1],
        uuid(1) + "0",
        uuid(1)[:-1] + "g",
        uuid(1)[:-1] + "\uff11",
        *NOT_TEXT,
    ],
    ids=ascii,
)
def test_malformed_uuid_raises_argument_error(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^connectionId: must be a UUID with hyphens$"):
        parse_uuid("connectionId", value)


def test_check_uuid_accepts_only_lower_case_with_hyphens() -> None:
    check_uuid("id", uuid(10))
    for value in (uuid(10).upper(), uuid(10).replace("-", ""), UUID(uuid(10)), "", f"{uuid(10)}\n"):
        with pytest.raises(
            ArgumentError, match=r"^id: must be the text of a UUID .* lower case, not "
        ):
            check_uuid("id", value)


# --- Data packages -------------------------------------------------------------------------

tokens = st.from_regex(r"\A[a-z][a-z0-9_]{0,63}\Z")


@pytest.mark.slow
@given(st.lists(tokens, min_size=1, max_size=64))
def test_data_packages_are_sorted_without_duplicates(
    packages: list[str],
) -> None:
    expected = tuple(sorted(set(packages)))
    for given_as in (packages, packages[::-1], packages * 2, tuple(packages), set(packages)):
        assert parse_data_packages(given_as) == expected


def test_65_data_packages_or_one_of_65_characters_raise() -> None:
    most = [f"p{number:063}" for number in range(64)]
    assert len(parse_data_packages(most + most)) == 64
    with pytest.raises(ArgumentError, match="dataPackages"):
        parse_data_packages([*most, "one_more"])
    with pytest.raises(ArgumentError, match="dataPackages"):
        parse_data_packages(["p" * 65])


@pytest.mark.parametrize(
    "value",
    [
        [],
        "labs",
        {"labs": 1},
        None,
        [None],
        [1],
        [["labs"]],
        [""],
        ["Labs"],
        ["1abs"],
        ["_labs"],
        ["la bs"],
        ["labs\n"],
        ["läbs"],
        ["labs", "lab-s"],
        ["a\u0661"],
    ],
    ids=ascii,
)
def test_data_packages_not_a_list_of_tokens_raise(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^dataPackages: must be 1 to 64 different tokens"):
        parse_data_packages(value)


# --- Instants ------------------------------------------------------------------------------

NOT_INSTANTS = [
    START.replace(tzinfo=None),
    START.astimezone(timezone(timedelta(hours=1))),
    START.astimezone(timezone(timedelta(0), "Z")),
]


@pytest.mark.parametrize("value", [*NOT_INSTANTS, None, "2026-01-01T00:00:00Z", 0, START.date()])
def test_instant_not_a_utc_datetime_raises_argument_error(value: datetime) -> None:
    with pytest.raises(
        ArgumentError, match=r"^now: must be an aware datetime whose tzinfo is datetime.UTC"
    ):
        check_instant("now", value)
    check_instant("now", START)


def test_happened_at_defaults_to_now_and_is_never_later() -> None:
    assert clamp_happened_at(None, START) is START
    assert clamp_happened_at(START, START) == START
    assert clamp_happened_at(START, at(1)) == START
    # Clocks may differ by exactly five minutes.
    assert clamp_happened_at(START + TICK, START) is START
    assert clamp_happened_at(at(5), START) is START
    with pytest.raises(
        ArgumentError, match=r"^happened_at: must be no more than five minutes after now$"
    ):
        clamp_happened_at(at(5) + TICK, START)
    # Near the last instant nothing can be too far ahead.
    assert clamp_happened_at(LAST_INSTANT, LAST_INSTANT - TICK) == LAST_INSTANT - TICK
    for wrong in NOT_INSTANTS:
        with pytest.raises(ArgumentError, match=r"^now: "):
            clamp_happened_at(None, wrong)
        with pytest.raises(ArgumentError, match=r"^happened_at: "):
            clamp_happened_at(wrong, at(1))


def test_epoch_microseconds_count_from_1970() -> None:
    assert (SECOND, MINUTE, HOUR) == (1_000_000, 60_000_000, 3_600_000_000)
    assert CLOCK_TOLERANCE == 300_000_000
    assert to_epoch_microseconds(datetime(1970, 1, 1, 0, 1, tzinfo=UTC)) == MINUTE


any_instant = st.datetimes(timezones=st.just(UTC))


@given(any_instant, any_instant)
def test_time_arithmetic_is_exact_to_the_microsecond(one: datetime, other: datetime) -> None:
    assert from_epoch_microseconds(to_epoch_microseconds(one)) == one
    assert elapsed(one, other) == to_epoch_microseconds(other) - to_epoch_microseconds(one)
    assert add_microseconds(one, elapsed(one, other)) == other
    assert (elapsed(one, other) > 0) == (other > one)


@given(any_instant, st.integers(min_value=0))
def test_adding_time_past_datetime_max_gives_datetime_max(instant: datetime, by: int) -> None:
    room = elapsed(instant, LAST_INSTANT)
    assert add_microseconds(instant, by) == (instant + by * TICK if by <= room else LAST_INSTANT)
    assert add_microseconds(instant, room + 1) == add_microseconds(instant, 10**40) == LAST_INSTANT
    assert from_epoch_microseconds(10**40) == LAST_INSTANT


@given(any_instant, st.integers(min_value=0))
def test_subtracting_time_past_datetime_min_gives_datetime_min(instant: datetime, by: int) -> None:
    first = datetime.min.replace(tzinfo=UTC)
    room = elapsed(first, instant)
    assert add_microseconds(instant, -by) == (instant - by * TICK if by <= room else first)
    assert add_microseconds(instant, -room - 1) == add_microseconds(instant, -(10**40)) == first
    assert from_epoch_microseconds(-(10**40)) == first


@pytest.mark.parametrize(
    ("span", "seconds"),
    [(-5, 1), (0, 1), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (60_000_000, 60)],
)
def test_ceil_seconds_rounds_up_and_is_at_least_one(span: int, seconds: int) -> None:
    assert ceil_seconds(span) == seconds


@given(st.integers(min_value=1))
def test_ceil_seconds_is_the_fewest_seconds_not_below_the_span(span: int) -> None:
    seconds = ceil_seconds(span)
    assert seconds * 1_000_000 >= span
    assert seconds == 1 or (seconds - 1) * 1_000_000 < span


# --- Identity ------------------------------------------------------------------------------


def test_app_user_of_a_coordinate_has_no_app_id() -> None:
    expected = AppUser(Environment.LIVE, COORDINATE.customer_account_id, COORDINATE.app_user_id)
    assert COORDINATE.app_user == expected
    assert [str(environment) for environment in Environment] == ["live", "test"]
