"""The fact that the hosted page returned its user to the app."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.session import complete_handoff
from curae_lifecycle.rules.values import SessionId, UserId, check_type, parse_opaque
from curae_lifecycle.service.changes import landing_changes
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.members import FACT_SESSION_ID, HAPPENED_AT, PAGE_URL, USER_ID
from curae_lifecycle.service.snapshot import Needs, Snapshot


@attrs.frozen
class HandoffCompleted(fact.Fact):
    """The fact that a user signed up on the hosted page and was returned to the app.

    In the platform's words: completeHandoff.

    Attributes:
        session_id: The session's id.
        user_id: The platform's id of the user who signed up; no repr shows it.
        happened_at: When the hand-off happened, in UTC; `None` for the instant of recording.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page. No repr shows it.
    """

    session_id: SessionId
    user_id: UserId = attrs.field(repr=False)
    happened_at: datetime | None = None
    page_url: str | None = attrs.field(default=None, repr=False)

    kind = "handoff.complete"
    members = (FACT_SESSION_ID, USER_ID, HAPPENED_AT, PAGE_URL)

    def __attrs_post_init__(self) -> None:
        """Check the session's id, the user's id, and the members that every fact has.

        Raises:
            ArgumentError: The session's id is no text, the user's id or `page_url` is empty, no
                text or holds a surrogate, or `happened_at` is no UTC instant.
        """
        check_type("session_id", self.session_id, str, allowed="the text of a session's id")
        parse_opaque("user_id", self.user_id)
        super().__attrs_post_init__()

    def needs(self) -> Needs:
        """Return the keys to load: the session's id, and the digest of the fact's page, if any.

        The store then loads the session, the binding of its coordinate, and the page.
        """
        return Needs(session=self.session_id, page=self.page_digest())

    def page_key(self) -> tuple[PageKind, str]:
        """Return the key of the session's hosted pages: their kind and the session's id.

        `record_fact` refuses the fact if it comes from a page with another key.
        """
        return PageKind.SESSION, self.session_id

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that record the hand-off and bind the user: both or neither.

        The fact is ignored if the hand-off was recorded for this user before. It is refused if

        - the session is not on path B, or expired before the hand-off,
        - the session landed for another user, or another user is bound, or
        - the account is LIMITED or TOMBSTONED, or was tombstoned since the session was made.
        """
        session, binding = snapshot.session, snapshot.binding
        assert session is not None  # noqa: S101 - `record_fact` looked
        answer = complete_handoff(
            session, binding=binding, user_id=self.user_id, now=now, happened_at=self.happened_at
        )
        return fact.to_fact_answer(
            answer,
            lambda landing: landing_changes(session, binding=binding, landing=landing, now=now),
        )
