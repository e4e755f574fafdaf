"""Values that everything else is made of: ids, coordinates, next actions, instants.

The laws of this module: **an instant is an aware UTC datetime that came in as an argument**,
intervals are half-open, arithmetic on time is integer arithmetic in microseconds and saturates
at the last instant a datetime can hold; **text is checked once, where it enters**, and what it
may be is said by the `ArgumentError` that refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, NewType, TypeGuard, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError

ApiKeyId = NewType("ApiKeyId", str)
"""A server's own id of an API key: no secret."""

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
"""One second in microseconds, the tick of every computation here."""

MINUTE: Final = 60 * SECOND
"""A minute in microseconds."""

HOUR: Final = 60 * MINUTE
"""An hour in microseconds."""

CLOCK_TOLERANCE: Final = 5 * MINUTE
"""How far clocks may disagree, in microseconds, before it is a caller's mistake [O]."""

LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC)
"""The last instant that a datetime can hold: what is later is taken as this."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The instant from which microseconds are counted."""

TICK: Final = timedelta(microseconds=1)
"""One microsecond."""


APP_USER_ID_MAX_LENGTH: Final = 256
"""The longest that an app's id of its user may be, in code points."""

DATA_PACKAGES_MAX_COUNT: Final = 64
"""The most data packages of a connection [O]."""

DATA_PACKAGE_MAX_LENGTH: Final = 64
"""The longest name of a data package, in characters [O]."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OWN_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
_TWO: Final = tuple([f"{number:02}" for number in range(100)])
"""The numbers of two digits as text, of which an instant is put together: formatting them anew, or
asking the time zone as `isoformat` does, takes half as long again."""

_PACKAGE: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{DATA_PACKAGE_MAX_LENGTH - 1}}}")


class Environment(StrEnum):
    """Test and live never meet [O]."""

    LIVE = "live"
    TEST = "test"


@attrs.frozen
class Coordinate:
    """One user of one SDK app [S]; the environment keeps test and live apart [O].

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
        """Whom the app user's limit counts: the same user across apps."""
        return AppUser(self.environment, self.customer_account_id, self.app_user_id)


@attrs.frozen
class AppUser:
    """The key of an app user's limit: across apps, within one customer account [S].

    Attributes:
        environment: Test or live.
        customer_account_id: The customer account's id.
        app_user_id: The app's own id of its user.
    """

    environment: Environment
    customer_account_id: CustomerAccountId
    app_user_id: AppUserId


@attrs.frozen
class NextAction:
    """What the app must show the user: `{type: open_webview, url, expiresAt}` [S].

    Attributes:
        url: The hosted page. The server mints it; it can hold a secret, so no repr shows it.
        expires_at: When the page is no longer good (exclusive).
    """

    url: str = attrs.field(repr=False)
    expires_at: datetime


def check_instant(argument: str, value: object) -> None:
    """Raise `ArgumentError` unless `value` is a datetime whose tzinfo is `datetime.UTC` itself.

    One tzinfo everywhere makes comparisons of instants cheap and their text one text.
    """
    if not isinstance(value, datetime) or value.tzinfo is not UTC:
        raise ArgumentError(
            argument,
            "an aware datetime whose tzinfo is datetime.UTC: datetime.now(UTC), or "
            ".astimezone(UTC) of one that is aware; a naive one does not say what it means",
        )


def clamp_happened_at(happened_at: datetime | None, now: datetime) -> datetime:
    """The instant a fact happened: `now` unless said otherwise, and never later than that [O].

    Clocks disagree: what is said to have happened a little after `now` is taken as of `now`.

    Raises:
        ArgumentError: Either is no UTC instant, or `happened_at` is more than five minutes after
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
    """An instant in RFC 3339, in its shortest form, ending in `Z`."""
    day, fraction = _day(instant.toordinal()), instant.microsecond
    hour, minute, second = _TWO[instant.hour], _TWO[instant.minute], _TWO[instant.second]
    if not fraction:
        return f"{day}T{hour}:{minute}:{second}Z"
    ticks = f"{_TWO[fraction // 10_000]}{_TWO[fraction // 100 % 100]}{_TWO[fraction % 100]}"
    return f"{day}T{hour}:{minute}:{second}.{ticks.rstrip('0')}Z"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    # Most instants are of a few days.
    return date.fromordinal(number).isoformat()


def parse_time(argument: str, value: object) -> datetime:
    """An RFC 3339 time ending in `Z`, with at most six fraction digits.

    Args:
        argument: What the error names.
        value: What came in.

    Raises:
        ArgumentError: It is no such time.
    """
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise ArgumentError(argument, "an RFC 3339 time ending in Z, at most six fraction digits")


def to_epoch_microseconds(instant: datetime) -> int:
    """Whole microseconds since 1970, exact (a float would not be)."""
    return (instant - EPOCH) // TICK


def from_epoch_microseconds(since_epoch: int) -> datetime:
    """The instant so many microseconds after 1970, or the last one a datetime can hold."""
    return add_microseconds(EPOCH, since_epoch)


def add_microseconds(instant: datetime, by: int) -> datetime:
    """The instant `by` microseconds later, or the last one that a datetime can hold."""
    try:
        return instant + timedelta(microseconds=by)
    except OverflowError:
        return LAST_INSTANT


def elapsed(since: datetime, now: datetime) -> int:
    """Microseconds from `since` to `now`; negative where the clock ran backwards."""
    return (now - since) // TICK


def ceil_seconds(span: int) -> int:
    """A span of microseconds in whole seconds, rounded up, at least 1 (for `Retry-After`)."""
    return max(1, -(-span // SECOND))


def parse_app_user_id(value: object) -> AppUserId:
    """An app's own id of its user: opaque, compared exactly, safe to store and to show [P, O].

    Raises:
        ArgumentError: It is none.
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
    """Text that is somebody else's and only has to be kept and shown again: not empty.

    Args:
        argument: What the error names.
        value: What came in.

    Raises:
        ArgumentError: It is no such text.
    """
    if isinstance(value, str) and value and _SURROGATE.search(value) is None:
        return value
    raise ArgumentError(argument, "text that is not empty and holds no surrogates")


def parse_uuid(argument: str, value: object) -> str:
    """A UUID with hyphens, in any case; lower case comes back.

    Args:
        argument: What the error names.
        value: What came in.

    Raises:
        ArgumentError: It is none.
    """
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    raise ArgumentError(argument, "a UUID with hyphens")


def check_uuid(argument: str, value: object) -> None:
    """Raise unless `value` is the text of a UUID as we spell it; a `UUID` object is none.

    Args:
        argument: What the error names.
        value: What is held.
    """
    if not (isinstance(value, str) and _OWN_UUID.fullmatch(value)):
        raise ArgumentError(argument, "the text of a UUID with hyphens, in lower case")


def parse_data_packages(value: object) -> tuple[DataPackage, ...]:
    """A non-empty set of data package tokens, sorted; order and repetition do not matter [O].

    Raises:
        ArgumentError: It is no such set.
    """
    if isinstance(value, _COLLECTIONS):
        tokens = cast("Collection[object]", value)
        if all(map(_is_package, tokens)):
            packages = cast("set[DataPackage]", set(tokens))
            if 0 < len(packages) <= DATA_PACKAGES_MAX_COUNT:
                return tuple(sorted(packages))
    raise ArgumentError(
        "dataPackages", "1 to 64 different tokens [a-z][a-z0-9_]* of at most 64 characters"
    )


_COLLECTIONS: Final = (list, tuple, set, frozenset)


def _is_package(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _PACKAGE.fullmatch(value) is not None
