"""Strategies for instants, IDs and other small values; each shrinks towards the plainest value.

The law of this module: **the library's own parsers accept every drawn value**. There are few
account and app IDs, so two draws often agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules import values as rules
from curae_lifecycle.rules.credentials import ApiKey, KeyOwner
from curae_lifecycle.rules.idempotency import IdempotencyKey

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The instant at which every drawn history begins."""

TICK: Final = timedelta(microseconds=1)
"""One microsecond, the smallest step of time."""

NEXT_ACTION_LIFETIME: Final = timedelta(minutes=30)
"""The lifetime of a next action in a drawn history: half an hour, a server's default [O]."""

# A counterexample shrinks towards the first offset.
_DEADLINE_OFFSETS: Final = (
    *(timedelta(minutes=minutes) for minutes in (0, 1, 10, 29, 30, 31, 60, 61, 90)),
    *(timedelta(minutes=minutes) - TICK for minutes in (1, 30, 60, 90)),
)
REASONS: Final = ("portal_login", "mfa_required")
"""The drawn reasons why a patient must act, the simplest first."""

_THREE_HOURS: Final = 3 * 60 * 60 * 1_000_000
_APP_USER_ID_MAX_LENGTH: Final = 256
_IDEMPOTENCY_KEY_MAX_LENGTH: Final = 255


def offsets() -> st.SearchStrategy[timedelta]:
    """Draw spans from 0 to 3 hours, crowded around the deadlines."""
    return st.one_of(
        st.sampled_from(_DEADLINE_OFFSETS),
        st.integers(0, _THREE_HOURS).map(lambda tick: tick * TICK),
    )


def instants() -> st.SearchStrategy[datetime]:
    """Draw UTC instants from `START` to 3 hours after it, crowded around the deadlines."""
    return offsets().map(lambda offset: START + offset)


def uuids() -> st.SearchStrategy[str]:
    """Draw UUIDs in lower case; the simplest ends in 1."""
    return st.integers(1, 0xFFFF_FFFF).map(uuid_of)


def connection_ids() -> st.SearchStrategy[rules.ConnectionId]:
    """Draw connection IDs."""
    return uuids().map(rules.ConnectionId)


def session_ids() -> st.SearchStrategy[rules.SessionId]:
    """Draw IDs of connect sessions."""
    return uuids().map(rules.SessionId)


def customer_account_ids() -> st.SearchStrategy[rules.CustomerAccountId]:
    """Draw one of three customer account IDs, so that two draws often agree."""
    return st.integers(1, 3).map(uuid_of).map(rules.CustomerAccountId)


def app_ids() -> st.SearchStrategy[rules.AppId]:
    """Draw one of two SDK app IDs, so that two draws often agree."""
    return st.sampled_from(("app-1", "app-2")).map(rules.AppId)


def api_key_ids() -> st.SearchStrategy[rules.ApiKeyId]:
    """Draw one of three IDs by which a server knows its API keys; never a secret."""
    return st.sampled_from(("key-1", "key-2", "key-3")).map(rules.ApiKeyId)


def key_owners() -> st.SearchStrategy[KeyOwner]:
    """Draw API key IDs with their owners: environment, app and customer account."""
    return st.builds(KeyOwner, api_key_ids(), environments(), app_ids(), customer_account_ids())


def api_keys() -> st.SearchStrategy[ApiKey]:
    """Draw one of two API keys, a live and a test key; their repr hides the secret."""
    return st.sampled_from(("cae_live_k1", "cae_test_k1")).map(ApiKey)


def user_ids() -> st.SearchStrategy[rules.UserId]:
    """Draw one of nine user IDs of the platform, never an app's own ID of a user."""
    return st.integers(1, 9).map(user_of)


def app_user_ids() -> st.SearchStrategy[rules.AppUserId]:
    """Draw an app's IDs of its users: plain ones, and any allowed text of up to 256 characters.

    No ID has white space at an end, a control character or a surrogate.
    """
    plain = st.sampled_from(("user-1", "user-2"))
    strange = st.text(
        st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=_APP_USER_ID_MAX_LENGTH
    )
    return st.one_of(plain, strange.filter(lambda text: text == text.strip())).map(rules.AppUserId)


def idempotency_keys() -> st.SearchStrategy[IdempotencyKey]:
    """Draw idempotency keys: plain ones, and any visible ASCII of up to 255 characters."""
    visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
    plain = st.sampled_from(("k-1", "k-2"))
    return st.one_of(plain, st.text(visible, min_size=1, max_size=_IDEMPOTENCY_KEY_MAX_LENGTH)).map(
        IdempotencyKey
    )


def data_package() -> st.SearchStrategy[rules.DataPackage]:
    """Draw one data package."""
    plain = st.sampled_from(("labs", "clinical_summary", "medications"))
    return st.one_of(plain, st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)).map(
        rules.DataPackage
    )


def data_packages() -> st.SearchStrategy[tuple[rules.DataPackage, ...]]:
    """Draw 1 to 64 data packages as a connection holds them: sorted and without duplicates."""
    return st.sets(data_package(), min_size=1, max_size=64).map(rules.parse_data_packages)


def environments() -> st.SearchStrategy[rules.Environment]:
    """Draw the live or the test environment."""
    return st.sampled_from(rules.Environment)


def coordinates() -> st.SearchStrategy[rules.Coordinate]:
    """Draw coordinates, each one user of one SDK app."""
    return st.builds(
        rules.Coordinate, environments(), app_ids(), customer_account_ids(), app_user_ids()
    )


def app_users() -> st.SearchStrategy[rules.AppUser]:
    """Draw app users without their app, as an app user's rate limit counts them."""
    return coordinates().map(lambda coordinate: coordinate.app_user)


def next_actions(now: datetime = START) -> st.SearchStrategy[rules.NextAction]:
    """Draw next actions made at `now`; each ends at `now` or up to an hour later, never before."""
    urls = st.integers(1, 99).map(lambda number: f"https://connect.example/{number}")
    lives = st.sampled_from((NEXT_ACTION_LIFETIME, timedelta(0), TICK, 2 * NEXT_ACTION_LIFETIME))
    return st.builds(rules.NextAction, urls, lives.map(lambda life: now + life))


def reasons() -> st.SearchStrategy[str]:
    """Draw reasons why a patient must act."""
    return st.sampled_from(REASONS)


def uuid_of(number: int) -> str:
    """Return the UUID that ends in `number`, written in hexadecimal."""
    return f"00000000-0000-4000-8000-{number:012x}"


def user_of(number: int) -> rules.UserId:
    """Return the platform's ID of user `number`."""
    return rules.UserId(f"u-{number}")


def next_action_at(now: datetime) -> rules.NextAction:
    """Return a next action that ends half an hour after `now`."""
    return rules.NextAction("https://connect.example/1", now + NEXT_ACTION_LIFETIME)
