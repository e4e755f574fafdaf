"""Instants, ids and other small values, the simplest of each first.

The law of this module: **the library's own parsers accept every drawn value**. Ids of accounts and
apps are few, so that two draws often agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules import values as rules
from curae_lifecycle.rules.credentials import ApiKey, KeyOwner
from curae_lifecycle.rules.idempotency import IdempotencyKey

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The beginning of every history."""

TICK: Final = timedelta(microseconds=1)
NEXT_ACTION_LIFETIME: Final = timedelta(minutes=30)
"""The lifetime of a drawn next action; the default of servers [O]."""

# In the order in which a counterexample should prefer them.
_CROWDED: Final = (
    *(timedelta(minutes=minutes) for minutes in (0, 1, 10, 29, 30, 31, 60, 61, 90)),
    *(timedelta(minutes=minutes) - TICK for minutes in (1, 30, 60, 90)),
)
REASONS: Final = ("portal_login", "mfa_required")
"""Reasons why a patient must act, the simplest first."""

_HOURS: Final = 3 * 60 * 60 * 1_000_000
_LONGEST_USER: Final = 256
_LONGEST_KEY: Final = 255


def offsets() -> st.SearchStrategy[timedelta]:
    """Draw spans of time after a beginning, many of them near the deadlines."""
    return st.one_of(
        st.sampled_from(_CROWDED), st.integers(0, _HOURS).map(lambda tick: tick * TICK)
    )


def instants() -> st.SearchStrategy[datetime]:
    """Draw UTC instants from `START` on, many of them near the deadlines."""
    return offsets().map(lambda offset: START + offset)


def uuids() -> st.SearchStrategy[str]:
    """Draw UUIDs in lower case; the simplest ends in 1."""
    return st.integers(1, 0xFFFF_FFFF).map(uuid_of)


def connection_ids() -> st.SearchStrategy[rules.ConnectionId]:
    """Draw ids of connections."""
    return uuids().map(rules.ConnectionId)


def session_ids() -> st.SearchStrategy[rules.SessionId]:
    """Draw ids of connect sessions."""
    return uuids().map(rules.SessionId)


def customer_account_ids() -> st.SearchStrategy[rules.CustomerAccountId]:
    """Draw ids of a few customer accounts."""
    return st.integers(1, 3).map(uuid_of).map(rules.CustomerAccountId)


def app_ids() -> st.SearchStrategy[rules.AppId]:
    """Draw ids of a few SDK apps."""
    return st.sampled_from(("app-1", "app-2")).map(rules.AppId)


def api_key_ids() -> st.SearchStrategy[rules.ApiKeyId]:
    """Draw a server's ids of API keys."""
    return st.sampled_from(("key-1", "key-2", "key-3")).map(rules.ApiKeyId)


def key_owners() -> st.SearchStrategy[KeyOwner]:
    """Draw API keys with their owners."""
    return st.builds(KeyOwner, api_key_ids(), environments(), app_ids(), customer_account_ids())


def api_keys() -> st.SearchStrategy[ApiKey]:
    """Draw API keys; no repr shows them."""
    return st.sampled_from(("cae_live_k1", "cae_test_k1")).map(ApiKey)


def user_ids() -> st.SearchStrategy[rules.UserId]:
    """Draw the platform's ids of users."""
    return st.integers(1, 9).map(user_of)


def app_user_ids() -> st.SearchStrategy[rules.AppUserId]:
    """Draw an app's ids of its users: mostly plain, and any other allowed text up to 256 long."""
    plain = st.sampled_from(("user-1", "user-2"))
    strange = st.text(
        st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=_LONGEST_USER
    )
    return st.one_of(plain, strange.filter(lambda text: text == text.strip())).map(rules.AppUserId)


def idempotency_keys() -> st.SearchStrategy[IdempotencyKey]:
    """Draw idempotency keys: mostly plain, and any visible ASCII up to 255 long."""
    visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
    plain = st.sampled_from(("k-1", "k-2"))
    return st.one_of(plain, st.text(visible, min_size=1, max_size=_LONGEST_KEY)).map(IdempotencyKey)


def data_package() -> st.SearchStrategy[rules.DataPackage]:
    """Draw one data package."""
    plain = st.sampled_from(("labs", "clinical_summary", "medications"))
    return st.one_of(plain, st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)).map(
        rules.DataPackage
    )


def data_packages() -> st.SearchStrategy[tuple[rules.DataPackage, ...]]:
    """Draw non-empty sets of packages as a connection holds them: sorted, each once."""
    return st.sets(data_package(), min_size=1, max_size=64).map(rules.parse_data_packages)


def environments() -> st.SearchStrategy[rules.Environment]:
    """Draw live or test."""
    return st.sampled_from(rules.Environment)


def coordinates() -> st.SearchStrategy[rules.Coordinate]:
    """Draw users of SDK apps."""
    return st.builds(
        rules.Coordinate, environments(), app_ids(), customer_account_ids(), app_user_ids()
    )


def app_users() -> st.SearchStrategy[rules.AppUser]:
    """Draw keys of app users' limits."""
    return coordinates().map(lambda coordinate: coordinate.app_user)


def next_actions(now: datetime = START) -> st.SearchStrategy[rules.NextAction]:
    """Draw next actions that end at or after an instant."""
    urls = st.integers(1, 99).map(lambda number: f"https://connect.example/{number}")
    lives = st.sampled_from((NEXT_ACTION_LIFETIME, timedelta(0), TICK, 2 * NEXT_ACTION_LIFETIME))
    return st.builds(rules.NextAction, urls, lives.map(lambda life: now + life))


def reasons() -> st.SearchStrategy[str]:
    """Draw reasons why a patient must act."""
    return st.sampled_from(REASONS)


def uuid_of(number: int) -> str:
    """Return the UUID that ends in a number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def user_of(number: int) -> rules.UserId:
    """Return the platform's user of a number."""
    return rules.UserId(f"u-{number}")


def next_action_at(now: datetime) -> rules.NextAction:
    """Return the next action that is valid for half an hour from an instant on."""
    return rules.NextAction("https://connect.example/1", now + NEXT_ACTION_LIFETIME)
