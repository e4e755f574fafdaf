"""Strategies for instants, IDs and other small values; each shrinks towards the plainest value.

The law of this module: **the library's own parsers accept every drawn value**. There are few
account and app IDs, so two draws often agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules import values as rules
from curae_lifecycle.rules.credentials import ApiKey, KeyOwner
from curae_lifecycle.rules.idempotency import IdempotencyKey

Drawn = TypeVar("Drawn")

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The instant at which drawn histories begin: the events that make each drawn value."""

TICK: Final = timedelta(microseconds=1)
"""One microsecond, the smallest step of time."""

NEXT_ACTION_LIFETIME: Final = timedelta(minutes=30)
"""The lifetime of next actions in drawn histories: half an hour, the default of a server [O].

A next action is a page that the app must show the user.
"""

# A counterexample shrinks towards the first offset.
_DEADLINE_OFFSETS: Final = (
    *(timedelta(minutes=minutes) for minutes in (0, 1, 10, 29, 30, 31, 60, 61, 90)),
    *(timedelta(minutes=minutes) - TICK for minutes in (1, 30, 60, 90)),
    timedelta(hours=3),
)
REASONS: Final = ("portal_login", "mfa_required")
"""The drawn reasons why a patient must act, the simplest first."""

_THREE_HOURS: Final = 3 * 60 * 60 * 1_000_000
_APP_USER_ID_MAX_LENGTH: Final = 256
_IDEMPOTENCY_KEY_MAX_LENGTH: Final = 255
_PACKAGE_MAX_LENGTH: Final = 64
_PACKAGES_MAX: Final = 64

# Chance alone rarely draws the shortest, the longest and the highest. U+10000 is the first character
# that takes two units of UTF-16 and four bytes of UTF-8.
_APP_USER_ID_EDGES: Final = (
    *("~", "\U00010000", "a" * _APP_USER_ID_MAX_LENGTH),
    "\U0001f600" * _APP_USER_ID_MAX_LENGTH,
)
_IDEMPOTENCY_KEY_EDGES: Final = ("!", "~" * _IDEMPOTENCY_KEY_MAX_LENGTH)
_PACKAGE_EDGES: Final = ("z", "z" * _PACKAGE_MAX_LENGTH)
_MOST_PACKAGES: Final = frozenset(
    rules.DataPackage(f"package_{number}") for number in range(_PACKAGES_MAX)
)


def offsets() -> st.SearchStrategy[timedelta]:
    """Draw spans of time from 0 to 3 hours: from `START` to an event of a drawn history.

    Many end exactly at a deadline, such as that of a hand-off, or a microsecond earlier.
    """
    return st.one_of(
        st.sampled_from(_DEADLINE_OFFSETS),
        st.integers(0, _THREE_HOURS).map(lambda tick: tick * TICK),
    )


def instants() -> st.SearchStrategy[datetime]:
    """Draw UTC instants from `START` to 3 hours later."""
    return offsets().map(lambda offset: START + offset)


def uuids() -> st.SearchStrategy[str]:
    """Draw UUIDs in lower case, all made by `uuid_of` of this module; the simplest ends in 1."""
    return st.integers(1, 0xFFFF_FFFF).map(uuid_of)


def connection_ids() -> st.SearchStrategy[rules.ConnectionId]:
    """Draw connection IDs: UUIDs in lower case."""
    return uuids().map(rules.ConnectionId)


def session_ids() -> st.SearchStrategy[rules.SessionId]:
    """Draw IDs of connect sessions: UUIDs in lower case."""
    return uuids().map(rules.SessionId)


def customer_account_ids() -> st.SearchStrategy[rules.CustomerAccountId]:
    """Draw one of three customer account IDs, so that two draws often agree."""
    return st.integers(1, 3).map(uuid_of).map(rules.CustomerAccountId)


def app_ids() -> st.SearchStrategy[rules.AppId]:
    """Draw one of two SDK app IDs, so that two draws often agree."""
    return st.sampled_from(("app-1", "app-2")).map(rules.AppId)


def api_key_ids() -> st.SearchStrategy[rules.ApiKeyId]:
    """Draw one of three IDs of API keys; the ID of an API key is not secret."""
    return st.sampled_from(("key-1", "key-2", "key-3")).map(rules.ApiKeyId)


def key_owners() -> st.SearchStrategy[KeyOwner]:
    """Draw IDs of API keys, each with its owner: environment, app and customer account."""
    return st.builds(KeyOwner, api_key_ids(), environments(), app_ids(), customer_account_ids())


def api_keys() -> st.SearchStrategy[ApiKey]:
    """Draw one of two secret API keys, a live key and a test key."""
    return st.sampled_from(("cae_live_k1", "cae_test_k1")).map(ApiKey)


def user_ids() -> st.SearchStrategy[rules.UserId]:
    """Draw one of nine IDs that the platform gives its users; not an app's own IDs."""
    return st.integers(1, 9).map(user_of)


def app_user_ids() -> st.SearchStrategy[rules.AppUserId]:
    """Draw IDs that an app gives its users: two plain ones, and any text of 1 to 256 characters.

    The shortest, the longest and characters beyond U+FFFF are drawn often.
    No ID begins or ends with white space or holds a control character or a surrogate.
    """
    plain = st.sampled_from(("user-1", "user-2"))
    strange = st.text(
        st.characters(exclude_categories=("Cc", "Cs")),
        min_size=1,
        max_size=_APP_USER_ID_MAX_LENGTH,
    ).filter(lambda text: text == text.strip())
    return st.one_of(plain, strange, st.sampled_from(_APP_USER_ID_EDGES)).map(rules.AppUserId)


def idempotency_keys() -> st.SearchStrategy[IdempotencyKey]:
    """Draw idempotency keys: two plain ones, and any visible ASCII text of 1 to 255 characters."""
    visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
    plain = st.sampled_from(("k-1", "k-2"))
    strange = st.text(visible, min_size=1, max_size=_IDEMPOTENCY_KEY_MAX_LENGTH)
    edges = st.sampled_from(_IDEMPOTENCY_KEY_EDGES)
    return st.one_of(plain, strange, edges).map(IdempotencyKey)


def data_package() -> st.SearchStrategy[rules.DataPackage]:
    """Draw a data package: `labs`, `clinical_summary`, `medications` or any other allowed name."""
    plain = st.sampled_from(("labs", "clinical_summary", "medications"))
    strange = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
    return st.one_of(plain, strange, st.sampled_from(_PACKAGE_EDGES)).map(rules.DataPackage)


def data_packages() -> st.SearchStrategy[tuple[rules.DataPackage, ...]]:
    """Draw 1 to 64 data packages as a connection holds them: sorted and without duplicates."""
    some = st.sets(data_package(), min_size=1, max_size=_PACKAGES_MAX)
    return mostly(some, st.just(_MOST_PACKAGES)).map(rules.parse_data_packages)


def environments() -> st.SearchStrategy[rules.Environment]:
    """Draw the live or the test environment."""
    return st.sampled_from(rules.Environment)


def coordinates() -> st.SearchStrategy[rules.Coordinate]:
    """Draw coordinates, each one user of one SDK app in one environment."""
    return st.builds(
        rules.Coordinate, environments(), app_ids(), customer_account_ids(), app_user_ids()
    )


def app_users() -> st.SearchStrategy[rules.AppUser]:
    """Draw app users as rate limits know them: environment, customer account and app user ID."""
    return coordinates().map(lambda coordinate: coordinate.app_user)


def next_actions(now: datetime = START) -> st.SearchStrategy[rules.NextAction]:
    """Draw next actions, pages for the app to show; each expires at `now` or within an hour."""
    urls = st.integers(1, 99).map(lambda number: f"https://connect.example/{number}")
    lives = st.sampled_from((NEXT_ACTION_LIFETIME, timedelta(0), TICK, 2 * NEXT_ACTION_LIFETIME))
    return st.builds(rules.NextAction, urls, lives.map(lambda life: now + life))


def reasons() -> st.SearchStrategy[str]:
    """Draw one of the two `REASONS` why a patient must act."""
    return st.sampled_from(REASONS)


def mostly(
    usual: st.SearchStrategy[Drawn], edge: st.SearchStrategy[Drawn]
) -> st.SearchStrategy[Drawn]:
    """Draw from one strategy, and at most about one time in eight from another one.

    Args:
        usual: The strategy that a counterexample shrinks towards.
        edge: The strategy of edge cases that `usual` rarely draws.
    """
    # The usual value is drawn in any case: of two examples, Hypothesis prefers the one of fewer draws.
    return st.tuples(usual, st.integers(0, 7)).flatmap(
        lambda drawn: edge if drawn[1] == 7 else st.just(drawn[0])  # noqa: PLR2004 - the last
    )


def uuid_of(number: int) -> str:
    """Return the UUID whose last 12 hexadecimal digits are `number`, from 0 to 2^48 - 1."""
    return f"00000000-0000-4000-8000-{number:012x}"


def user_of(number: int) -> rules.UserId:
    """Return the ID that the platform gives user `number`: 1 gives `u-1`."""
    return rules.UserId(f"u-{number}")


def next_action_at(now: datetime) -> rules.NextAction:
    """Return a next action, a page for the app to show, which expires half an hour after `now`."""
    return rules.NextAction("https://connect.example/1", now + NEXT_ACTION_LIFETIME)
