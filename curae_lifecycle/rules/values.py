"""Values that everything else is made of: ids, coordinates, next actions, instants.

The laws of this module: **an instant is an aware UTC datetime that came in as an argument**,
intervals are half-open, arithmetic on time is integer arithmetic in microseconds and saturates
at the last instant a datetime can hold; **text is checked once, where it enters**, and the
`ArgumentError` that rejects it says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, NewType, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError, describe

ApiKeyId = NewType("ApiKeyId", str)
"""A server's id of an API key, which is no secret."""

AppId = NewType("AppId", str)
"""The id of an SDK app."""

AppUserId = NewType("AppUserId", str)
"""An app's own id of its user: opaque, compared exactly."""

ConnectionId = NewType("ConnectionId", str)
"""The id of a connection: a UUID in lower case."""

CustomerAccountId = NewType("CustomerAccountId", str)
"""The id of a customer account: a UUID in lower case."""

DataPackage = NewType("DataPackage", str)
"""The name of a data package, such as `clinical_summary`."""

SessionId = NewType("SessionId", str)
"""The id of a connect session: a UUID in lower case."""

UserId = NewType("UserId", str)
"""The platform's id of a user: never on the wire."""

SECOND: Final = 1_000_000
"""One second in microseconds, the unit of all arithmetic on time."""

MINUTE: Final = 60 * SECOND
"""One minute in microseconds."""

HOUR: Final = 60 * MINUTE
"""One hour in microseconds."""

CLOCK_TOLERANCE: Final = 5 * MINUTE
"""The most that two clocks may disagree, in microseconds [O].

A fact that is dated further after `now` is an error.
"""

_FIRST_INSTANT: Final = datetime.min.replace(tzinfo=UTC)
LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC)
"""The last instant that a datetime can hold; later instants saturate to it."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The instant from which microseconds are counted."""

TICK: Final = timedelta(microseconds=1)
"""One microsecond."""

APP_USER_ID_MAX_LENGTH: Final = 256
"""The maximum length of an app's id of its user, in code points."""

DATA_PACKAGES_MAX_COUNT: Final = 64
"""The maximum number of data packages of a connection [O]."""

DATA_PACKAGE_MAX_LENGTH: Final = 64
"""The maximum length of the name of a data package, in characters [O]."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LOWER_CASE_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
# Formatting each number, or asking the time zone as `isoformat` does, takes 50 % longer.
_TWO_DIGITS: Final = tuple([f"{number:02}" for number in range(100)])

_PACKAGE: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{DATA_PACKAGE_MAX_LENGTH - 1}}}")


class Environment(StrEnum):
    """The environment of a coordinate or an API key; test and live never meet [O]."""

    LIVE = "live"
    TEST = "test"


@attrs.frozen
class Coordinate:
    """One user of one SDK app in one customer account [S], in test or live [O].

    Attributes:
        environment: Test or live.
        app_id: The SDK app's id.
        customer_account_id: The customer account's id.
        app_user_id: The app's own id of its user.
    """

    environment: Environment
    app_id: AppId
    customer_account_id: CustomerAccountId
    app_user_id: AppUserId

    @property
    def app_user(self) -> AppUser:
        """The coordinate without its app: the key of a limit that counts a user across apps."""
        return AppUser(self.environment, self.customer_account_id, self.app_user_id)


@attrs.frozen
class AppUser:
    """A coordinate without its app: the key of the app user's rate limit [S].

    Users with the same id in several apps of one customer account are one `AppUser`, and share the
    limit.

    Attributes:
        environment: Test or live.
        customer_account_id: The customer account's id.
        app_user_id: The id by which each of the apps knows the user.
    """

    environment: Environment
    customer_account_id: CustomerAccountId
    app_user_id: AppUserId


@attrs.frozen
class NextAction:
    """The next step that the app must show the user: `{type: open_webview, url, expiresAt}` [S].

    Attributes:
        url: The hosted page. The server mints it. It can hold a secret, so no repr shows it.
        expires_at: When the page expires (exclusive).
    """

    url: str = attrs.field(repr=False)
    expires_at: datetime


def check_type(
    argument: str, value: object, kinds: type | tuple[type, ...], *, allowed: str
) -> None:
    """Check the type of an argument, for programs that run no type checker.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.
        kinds: The type, or the types.
        allowed: The allowed values in words, for the error.

    Raises:
        ArgumentError: The value is of another type.
    """
    if not isinstance(value, kinds):
        raise ArgumentError(argument, allowed, describe(value))


def check_instant(argument: str, value: object) -> None:
    """Check that `value` is a datetime whose tzinfo is `datetime.UTC` itself.

    With one tzinfo everywhere, instants compare cheaply and equal instants have equal text.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.

    Raises:
        ArgumentError: The value is anything else.
    """
    if not isinstance(value, datetime) or value.tzinfo is not UTC:
        raise ArgumentError(
            argument,
            "an aware datetime whose tzinfo is datetime.UTC, such as datetime.now(UTC) or "
            "aware.astimezone(UTC); a naive datetime has no time zone",
            describe(value),
        )


def clamp_happened_at(happened_at: datetime | None, now: datetime) -> datetime:
    """Return the instant at which the rules judge a fact: the earlier of the two arguments [O].

    Clocks disagree, so an instant up to five minutes after `now` is taken as `now`.

    Args:
        happened_at: The reported instant, in UTC; `None` if the fact happened at `now`.
        now: When the fact is recorded, in UTC.

    Raises:
        ArgumentError: An instant is not in UTC, or `happened_at` is more than five minutes after
            `now`.
    """
    check_instant("now", now)
    if happened_at is None:
        return now
    check_instant("happened_at", happened_at)
    if happened_at <= now:
        return happened_at
    if happened_at > add_microseconds(now, CLOCK_TOLERANCE):
        raise ArgumentError("happened_at", "no more than five minutes after now")
    return now


def format_time(instant: datetime) -> str:
    """Format an instant, which must be in UTC, in RFC 3339: in its shortest form, ending in `Z`."""
    day, fraction = _format_day(instant.toordinal()), instant.microsecond
    hour, minute = _TWO_DIGITS[instant.hour], _TWO_DIGITS[instant.minute]
    second = _TWO_DIGITS[instant.second]
    if not fraction:
        return f"{day}T{hour}:{minute}:{second}Z"
    high, middle, low = fraction // 10_000, fraction // 100 % 100, fraction % 100
    ticks = f"{_TWO_DIGITS[high]}{_TWO_DIGITS[middle]}{_TWO_DIGITS[low]}"
    return f"{day}T{hour}:{minute}:{second}.{ticks.rstrip('0')}Z"


@lru_cache(maxsize=1024)
def _format_day(ordinal: int) -> str:
    # Most instants fall on a few days, so the cache nearly always hits.
    return date.fromordinal(ordinal).isoformat()


def parse_time(argument: str, value: object) -> datetime:
    """Parse an RFC 3339 time that ends in `Z`, with at most six fraction digits.

    Args:
        argument: The name of the argument, for the error.
        value: The value to parse.

    Raises:
        ArgumentError: The value is not text, or not such a time.
    """
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise ArgumentError(argument, "an RFC 3339 time ending in Z, at most six fraction digits")


def to_epoch_microseconds(instant: datetime) -> int:
    """Return the whole microseconds from 1970 to a UTC instant, exactly; a float would round."""
    return (instant - EPOCH) // TICK


def from_epoch_microseconds(since_epoch: int) -> datetime:
    """Return the UTC instant that is `since_epoch` microseconds after 1970.

    A result that a datetime cannot hold becomes the first or the last instant that it can.
    """
    return add_microseconds(EPOCH, since_epoch)


def add_microseconds(instant: datetime, by: int) -> datetime:
    """Return the instant that is `by` microseconds after `instant`.

    A result that a datetime cannot hold becomes the first or the last instant that it can.
    """
    try:
        return instant + timedelta(microseconds=by)
    except OverflowError:
        return LAST_INSTANT if by > 0 else _FIRST_INSTANT


def elapsed(since: datetime, now: datetime) -> int:
    """Return the microseconds from `since` to `now`; negative if `now` is earlier."""
    return (now - since) // TICK


def ceil_seconds(span: int) -> int:
    """Convert `span` from microseconds to whole seconds, rounded up and at least 1.

    The header `Retry-After` carries whole seconds.
    """
    return max(1, -(-span // SECOND))


def parse_app_user_id(value: object) -> AppUserId:
    """Check an app's own id of its user and return it unchanged; it is opaque [P, O].

    Raises:
        ArgumentError: The value is not text, is empty or longer than `APP_USER_ID_MAX_LENGTH` code
            points, begins or ends with white space, or holds a control character or a surrogate.
    """
    text = value if isinstance(value, str) else ""
    if (
        0 < len(text) <= APP_USER_ID_MAX_LENGTH
        and text == text.strip()
        and not _UNSAFE.search(text)
    ):
        return AppUserId(text)
    raise ArgumentError(
        "appUserId",
        f"1 to {APP_USER_ID_MAX_LENGTH} code points with no white space at either end, no control "
        "characters and no surrogates",
    )


def parse_opaque(argument: str, value: object) -> str:
    """Check that text is not empty and holds no surrogates, and return it unchanged.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.

    Raises:
        ArgumentError: The value is not text, is empty, or holds a surrogate.
    """
    if isinstance(value, str) and value and _SURROGATE.search(value) is None:
        return value
    raise ArgumentError(
        argument,
        "text that is not empty and holds no surrogates",
        describe(value, "text that holds one"),
    )


def parse_uuid(argument: str, value: object) -> str:
    """Parse a UUID with hyphens, in upper or lower case, and return it in lower case.

    Args:
        argument: The name of the argument, for the error.
        value: The value to parse.

    Raises:
        ArgumentError: The value is not text, or not a UUID with hyphens.
    """
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    raise ArgumentError(argument, "a UUID with hyphens")


def check_uuid(argument: str, value: object) -> None:
    """Check that `value` is the text of a UUID with hyphens, in lower case.

    A `UUID` object fails the check.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.

    Raises:
        ArgumentError: The value is anything else.
    """
    if not (isinstance(value, str) and _LOWER_CASE_UUID.fullmatch(value)):
        allowed = "the text of a UUID with hyphens, in lower case"
        raise ArgumentError(argument, allowed, describe(value, "other text"))


def check_coordinate_members(argument: str, value: object) -> None:
    """Check that `value` is a `Coordinate` with an `Environment` and well-formed ids.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.

    Raises:
        ArgumentError: The value is no `Coordinate`, or a member fails its check.
    """
    check_type(argument, value, Coordinate, allowed="a Coordinate")
    coordinate = cast("Coordinate", value)
    check_environment(f"{argument}.environment", coordinate.environment)
    parse_opaque(f"{argument}.app_id", coordinate.app_id)
    check_uuid(f"{argument}.customer_account_id", coordinate.customer_account_id)
    parse_app_user_id(coordinate.app_user_id)


def check_environment(argument: str, value: object) -> None:
    """Check that `value` is a member of `Environment`; a text such as `live` fails the check.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.

    Raises:
        ArgumentError: The value is anything else.
    """
    check_type(argument, value, Environment, allowed="Environment.LIVE or Environment.TEST")


def parse_data_packages(value: object) -> tuple[DataPackage, ...]:
    """Parse a set of data package names and return it sorted [O].

    Order and repetition do not matter.

    Raises:
        ArgumentError: The value is not a list, tuple or set of 1 to 64 different names
            `[a-z][a-z0-9_]*` of at most 64 characters.
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        tokens = cast("Collection[object]", value)
        if all(map(_is_package, tokens)):
            packages = cast("set[DataPackage]", set(tokens))
            if 0 < len(packages) <= DATA_PACKAGES_MAX_COUNT:
                return tuple(sorted(packages))
    raise ArgumentError(
        "dataPackages", "1 to 64 different tokens [a-z][a-z0-9_]* of at most 64 characters"
    )


def _is_package(value: object) -> bool:
    return isinstance(value, str) and _PACKAGE.fullmatch(value) is not None
