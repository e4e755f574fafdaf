"""The fact that a LIMITED user became ACTIVE."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.binding import graduate
from curae_lifecycle.rules.outcomes import Ignored
from curae_lifecycle.rules.values import Coordinate, UserId, clamp_happened_at, parse_opaque
from curae_lifecycle.service.changes import binding_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.hosted_page import PageKind, user_subject
from curae_lifecycle.service.members import (
    COORDINATE_MEMBERS,
    HAPPENED_AT,
    OPTIONAL_USER_ID,
    PAGE_URL,
    ParsedMembers,
)
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class Graduated(fact.UserFact):
    """The fact that the bound LIMITED user became ACTIVE: the account graduated.

    Attributes:
        coordinate: The coordinate of the user.
        user_id: The user who became ACTIVE; `None` for the bound user. If you pass `page_url`, pass
            the page's `HostedPage.user_id`, too: a fact with a page and without a user is refused.
        happened_at: When the user became ACTIVE, in UTC; `None` for the instant of recording.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page. No repr shows it.
    """

    coordinate: Coordinate
    user_id: UserId | None = attrs.field(default=None, repr=False)
    happened_at: datetime | None = None
    page_url: str | None = attrs.field(default=None, repr=False)

    kind = "binding.graduate"
    members = (*COORDINATE_MEMBERS, OPTIONAL_USER_ID, HAPPENED_AT, PAGE_URL)

    def __attrs_post_init__(self) -> None:
        """Check the user and the members that every fact about a user has.

        Raises:
            ArgumentError: The coordinate is no `Coordinate` or has a malformed member, the user's
                id or `page_url` is empty, no text or holds a surrogate, or `happened_at` is no UTC
                instant.
        """
        if self.user_id is not None:
            parse_opaque("user_id", self.user_id)
        super().__attrs_post_init__()

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Graduated:
        """Build the fact from its parsed members.

        Environment, app, account and app user become the field `coordinate`.
        """
        return cls(
            coordinate=parsed.coordinate(),
            user_id=parsed[OPTIONAL_USER_ID],
            happened_at=parsed[HAPPENED_AT],
            page_url=parsed[PAGE_URL],
        )

    def page_key(self) -> tuple[PageKind, str] | None:
        """Return the key of the user's hosted pages: their kind and subject.

        `record_fact` refuses the fact if it comes from a page with another key.

        Returns:
            `PageKind.USER`, and the coordinate and the user's id as one text (`user_subject`);
            `None` if the fact names no user.
        """
        if self.user_id is None:
            return None
        return PageKind.USER, user_subject(self.coordinate, self.user_id)

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that move a LIMITED binding to ACTIVE, if the fact's user is bound.

        A fact without a user means the bound user. The fact is ignored if that user is ACTIVE. It
        is refused if another user is bound, or if the account is UNLINKED or TOMBSTONED.

        Raises:
            ArgumentError: `happened_at` is more than five minutes after `now`, and the user was
                not ACTIVE before.
        """
        binding = snapshot.binding
        # Without a bound user the table refuses every user.
        bound = None if binding is None else binding.user_id
        user_id = self.user_id or bound or UserId("")
        answer = graduate(binding, self.coordinate, user_id)
        if not isinstance(answer, Ignored):
            clamp_happened_at(self.happened_at, now)
        return fact.to_fact_answer(
            answer,
            lambda after: binding_changes(
                EventKind.BINDING_GRADUATED, before=binding, after=after, now=now
            ),
        )
