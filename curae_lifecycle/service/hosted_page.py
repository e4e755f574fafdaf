"""A hosted page as it is stored: the connection, session or user that it is about.

The laws of this module: **each subject has one page**: the page of a fresh next action replaces the
earlier page, whose URL then leads nowhere; **a page about a user is about that user alone**, never
about the next user of the same coordinate.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum

import attrs

from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
    UserId,
)


class PageKind(StrEnum):
    """The kind of value that a hosted page is about: a connection, a session or a user."""

    CONNECTION = "connection"
    SESSION = "session"
    USER = "user"


@attrs.frozen
class HostedPage:
    """A hosted page whose URL was handed out.

    Attributes:
        digest: The SHA-256 of the page's URL, in hex. It does not reveal the URL, so access to the
            database is not enough to open the page.
        kind: The kind of the subject.
        subject: The id of the connection or session that the page is about. For a page of kind
            USER: the text that `user_subject` returns.
        expires_at: When the page expires (exclusive). A store drops the page at that instant or
            later.
        version: The number of writes of the page, from 1. A fact that names the page raises it.
    """

    digest: str = attrs.field(repr=False)
    kind: PageKind
    subject: str = attrs.field(repr=False)
    expires_at: datetime
    version: int = 1

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate that a page of kind USER is about; `ValueError` for any other kind."""
        environment, app, account, user, _ = json.loads(self.subject)
        return Coordinate(
            environment=Environment(environment),
            app_id=AppId(app),
            customer_account_id=CustomerAccountId(account),
            app_user_id=AppUserId(user),
        )

    @property
    def user_id(self) -> UserId | None:
        """The user who was bound when the URL was handed out; `None` if no user was bound.

        Only a page of kind USER has this property; any other kind raises `ValueError`. Pass the id
        to the fact `Graduated`, so that an old URL cannot graduate a later user. If this is `None`,
        report no graduation: a fact without a user id is about the user who is bound when the fact
        is recorded.
        """
        user_id: str | None = json.loads(self.subject)[-1]
        return None if user_id is None else UserId(user_id)


def url_digest(url: str) -> str:
    """Return the SHA-256 of a hosted page's URL, in hex; `HostedPage.digest` holds the same."""
    return hashlib.sha256(url.encode()).hexdigest()


def user_subject(coordinate: Coordinate, bound: UserId | None) -> str:
    """Return the subject of a page of kind USER: the coordinate and the bound user's id, as JSON.

    Args:
        coordinate: The coordinate that the page is about.
        bound: The user who was bound when the page's URL was handed out; `None` for none.
    """
    # Escapes of non-ASCII characters would make the longest id six times as long.
    return json.dumps((*attrs.astuple(coordinate), bound), ensure_ascii=False)
